//! Every bound of a file of a hot list with its unit (`hotlists.md` sections 2 to 4). One more is refused; a test stands at each.

/// Bytes of a file: the longest extract that a charter may allow, five million entries, with every field of the own format.
pub const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Bytes of a line. The longest lawful one has a note of 200 characters, each written as two escapes of six bytes.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// Rows of a file.
pub const ROWS_MAX: u64 = 10_000_000;
/// Rows of one JSON body, which is read whole and not line by line.
pub const JSON_ROWS_MAX: u64 = 10_000;
/// Bad lines that a file may always have.
pub const BAD_LINES_ALLOWED: u64 = 9;
/// Bad lines of a larger file, in 1/100 of its rows.
pub const BAD_PERCENT_MAX: u64 = 1;

/// Bytes of the list's name in the header.
pub const LIST_BYTES_MAX: usize = 64;
/// Bytes of an entry's id.
pub const ENTRY_ID_BYTES_MAX: usize = 64;
/// Bytes of a plate before it is brought to its canonical form.
pub const PLATE_RAW_BYTES_MAX: usize = 128;
/// Characters of a plate, at least.
pub const PLATE_CHARS_MIN: usize = 2;
/// Bytes of a source's own code of a class.
pub const CODE_BYTES_MAX: usize = 64;
/// Bytes of a case number.
pub const CASE_BYTES_MAX: usize = 64;
/// Bytes of the ORI of an agency; nine in NCIC.
pub const AGENCY_BYTES_MAX: usize = 32;
/// Bytes of a word: class, offence, level, state, date.
pub const WORD_BYTES_MAX: usize = 64;
/// Characters of a note.
pub const NOTE_CHARS_MAX: usize = 200;
/// Days after which a source may let an entry end.
pub const LIFE_DAYS_MAX: u64 = 3_650;

/// How far a file or an entry may lie ahead of our clock, s.
pub const CLOCK_AHEAD_SECONDS_MAX: u64 = 300;
/// Longest life of an entry of an extract, from the making of the file, s: `expiresInDays` of its load is 2.
pub const EXTRACT_LIFE_SECONDS_MAX: u64 = 2 * 86_400;
/// Longest life of an AMBER entry, s; renewed by entering it again.
pub const AMBER_LIFE_SECONDS_MAX: u64 = 72 * 3_600;
/// Longest life of a custom entry, s; renewed by entering it again.
pub const CUSTOM_LIFE_SECONDS_MAX: u64 = 30 * 86_400;

/// Bytes of a template.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// Rows of a map in a template: classes, states, levels, operations.
pub const TEMPLATE_MAP_ROWS_MAX: usize = 1_000;
/// Bytes of a text of a template.
pub const TEMPLATE_TEXT_BYTES_MAX: usize = 128;
/// Cells of a line.
pub const CELLS_MAX: usize = 256;
/// Characters of a line of fixed columns.
pub const WIDTH_MAX: usize = 4_096;
/// Steps of a path into a JSON object.
pub const PATH_STEPS_MAX: usize = 4;

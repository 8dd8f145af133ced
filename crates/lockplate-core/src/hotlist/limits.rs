//! Every bound of hot lists with its unit (`hotlists.md`). Numbers of the design stand with its section; the others keep one load within
//! memory.

/// Bytes of an entry's id.
pub const ENTRY_ID_BYTES_MAX: usize = 64;
/// Characters of the plate of an entry, at least (section 3).
pub const ENTRY_PLATE_CHARS_MIN: usize = 2;
/// Bytes of every other text of an entry; the note's 200 characters are the longest.
pub const ENTRY_TEXT_BYTES_MAX: usize = 1_024;
/// Entries of one set with one plate text: states and classes of one plate are fewer, and a comparison looks at all of them.
pub const SAME_TEXT_MAX: usize = 512;
/// Entries of one set that are matched with misreadings; each costs up to 19 texts.
pub const NEAR_ENTRIES_MAX: usize = 250_000;
/// The same as [`SAME_TEXT_MAX`] for one misreading: many plates may be misread as one text.
pub const SAME_NEAR_TEXT_MAX: usize = 8_192;
/// Bytes of one chunk of packed records. No record spans two.
pub const CHUNK_BYTES: usize = 1 << CHUNK_BITS;
/// Bits of a place inside its chunk.
pub const CHUNK_BITS: u32 = 20;
/// Chunks of one set: 2 GiB, far beyond what 5,000,000 entries need. A list that is fuller is refused.
pub const CHUNKS_MAX: usize = 2_048;

/// Confidence of a plate's text, of a state or of a class of vehicle from which it counts, 1/1000 (section 5).
pub const CONF_MIN: u16 = 800;
/// The same for the text where open-source OpenALPR read it.
pub const CONF_MIN_OPENALPR: u16 = 900;
/// Number of "motorcycle" in the list of body classes (`lockplate-intake`, `vehicle.rs`), which is final.
pub const MOTORCYCLE: u16 = 8;

/// A held read is compared once its text has been the same for so long, ms (section 5).
pub const SETTLED_MS: i64 = 3_000;
/// Tracks that are watched for it: as many as intake holds.
pub const TRACKS_MAX: usize = 20_000;
/// The same entry and camera within so many seconds is the same alert (rule 10).
pub const REPEAT_SECONDS: u64 = 600;
/// Alerts that are remembered for rule 10; beyond it the oldest goes, which notifies once more.
pub const REPEATS_MAX: usize = 100_000;

/// Entries of an extract unless the charter says more (section 4).
pub const EXTRACT_ENTRIES_DEFAULT: u64 = 1_000_000;
/// Entries that a charter may allow.
pub const EXTRACT_ENTRIES_MAX: u64 = 5_000_000;
/// Lines of one file: whole extracts carry classes that are dropped.
pub const LOAD_LINES_MAX: u64 = 20_000_000;
/// Removals, and additions, of one incremental file. Whoever changes more sends a full one.
pub const INCREMENT_LINES_MAX: usize = 1_000_000;
/// Live custom entries of an agency.
pub const CUSTOM_LIVE_MAX: u64 = 200;
/// Custom entries that one officer adds in a day.
pub const CUSTOM_NEW_A_DAY_MAX: u64 = 20;
/// Live AMBER alerts: a country has some tens.
pub const AMBER_LIVE_MAX: u64 = 200;
/// Plates of one case number without a human keeper.
pub const CASE_PLATES_MAX: usize = 5;
/// So many new plates in one custom upload are refused.
pub const CUSTOM_UPLOAD_REFUSED: u64 = 25;
/// Loads whose median is the usual size of a list.
pub const HISTORY_LOADS: usize = 14;
/// Growth of the usual size that is held, in percent, if it is also more than [`GROWTH_ENTRIES_MAX`].
pub const GROWTH_PERCENT_MAX: u64 = 10;
/// Growth of the usual size that is held, entries.
pub const GROWTH_ENTRIES_MAX: u64 = 1_000;
/// Shrinking that raises an alarm, percent.
pub const SHRINK_PERCENT_ALARM: u64 = 30;
/// Bad lines from which their share counts.
pub const BAD_LINES_MIN: u64 = 10;
/// One bad line in so many refuses a load.
pub const BAD_LINES_ONE_IN: u64 = 100;
/// A full file at least so often, s.
pub const FULL_SECONDS_MAX: u64 = 24 * 3_600;
/// Age of an extract from which there is an alarm, s.
pub const EXTRACT_ALARM_SECONDS: u64 = 13 * 3_600;
/// Age of an extract from which it is not matched, s.
pub const EXTRACT_AGE_SECONDS: u64 = 26 * 3_600;
/// Age of a list of AMBER alerts from which it is not matched, s.
pub const AMBER_AGE_SECONDS: u64 = 2 * 3_600;
/// Longest life of an AMBER alert without renewal, s (section 2).
pub const AMBER_LIFE_SECONDS: u64 = 72 * 3_600;
/// Longest life of a custom entry without review, s.
pub const CUSTOM_LIFE_SECONDS: u64 = 30 * 86_400;

/// Bytes of an alert before it is sealed; the crop is the longest part.
pub const ALERT_BYTES_MAX: usize = 512 * 1024;
/// Bytes of an alert's crop: intake's bound.
pub const ALERT_CROP_BYTES_MAX: usize = 256 * 1024;
/// Bytes of what a live check names: reference, who.
pub const CONFIRMATION_BYTES_MAX: usize = 256;
/// An alert is looked at within so many seconds, or cannot be acted on (section 6).
pub const LOOK_SECONDS: u64 = 30 * 60;
/// And is disposed of within so many.
pub const DISPOSITION_SECONDS: u64 = 72 * 3_600;
/// An expired alert is erased after so many seconds (section 7).
pub const EXPIRED_KEPT_SECONDS: u64 = 24 * 3_600;
/// A closed one.
pub const CLOSED_KEPT_SECONDS: u64 = 30 * 86_400;
/// A closed one on which somebody was stopped, where records law says nothing.
pub const STOPPED_KEPT_SECONDS: u64 = 2 * 365 * 86_400;
/// So often another state's plate, and an entry is matched with its state only.
pub const WRONG_STATE_TIMES: u8 = 2;
/// Share of a month's alerts of a camera and engine that were misreads, from which there is an alarm, percent.
pub const MISREAD_PERCENT_ALARM: u64 = 20;

/// Bytes of an account's id, a facility or a lane (section 8).
pub const ACCOUNT_TEXT_BYTES_MAX: usize = 64;
/// Accounts of one operator, whatever its charter says.
pub const ACCOUNTS_MAX: u64 = 10_000_000;

//! Files of hot lists (`hotlists.md` section 3 and steps 2 and 3 of section 4): from bytes to entries, in bounded memory.
//!
//! In scope: the own format as NDJSON and CSV; every other source by a template ([`Template`]); one [`Outcome`] a row; counts by class and
//! reason. Out of scope: where the bytes come from and who signed for them; policy, merging, caps and growth; the log; the swap.
//!
//! Rows are handed out while the file is read, and **nothing of them may be used before [`HotlistFile::finish`] says so**: a file
//! that was cut off, or of which too much cannot be read, is refused as a whole, and that is known at its end. Nothing here prints
//! a plate, a note or a case, and of a row that is dropped or refused nothing is kept but its class and reason.

mod classes;
mod dates;
mod entry;
pub mod limits;
mod object;
mod own;
mod states;
mod template;
mod template_rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::ListEntry;

use crate::lines::{Line, Lines};

pub use classes::{NCIC_FILES, never_loaded_name};
pub use entry::listed_plate;
pub use states::{NCIC_STATES, StateTable};
pub use template::{Template, TemplateFault, TemplateProblem};
pub use template_rows::Delivery;

use classes::LastFile;
use entry::Judge;
use limits::{
    BAD_LINES_ALLOWED, BAD_PERCENT_MAX, CLOCK_AHEAD_SECONDS_MAX, FILE_BYTES_MAX, LINE_BYTES_MAX, LIST_BYTES_MAX,
    ROWS_MAX,
};
use own::OwnRows;
use template_rows::TemplateRows;

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $is_bad:literal;)*) => {
        /// Why a row is no entry. The list is closed; each is counted by class.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Refusal { $($(#[$doc])* $variant,)* }

        impl Refusal {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The row does not have the form of its file. Too many of these refuse the file: who cannot read one row in a hundred
            /// does not know what the others mean.
            #[must_use]
            pub const fn is_bad_line(self) -> bool {
                match self { $(Self::$variant => $is_bad,)* }
            }
        }
    };
}

refusals! {
    /// Not a row: no JSON object, another number of cells, a key or column twice, not text, too long.
    BadLine = "bad_line", true;
    /// A field is there and cannot be read, or no field of that name exists.
    BadValue = "bad_value", true;
    /// A field that each entry must have is absent.
    MissingField = "missing_field", true;
    /// A state is named that the table does not know. Read as "unknown" it would meet the plates of all states.
    UnknownState = "unknown_state", false;
    /// `* % _ ?` in the plate.
    Wildcard = "wildcard", false;
    /// Under two characters.
    TooShort = "too_short", false;
    /// Over sixteen characters.
    TooLong = "too_long", false;
    /// A text that stands for "no plate", and nobody signed that it is one.
    Placeholder = "placeholder", false;
    /// No end is stated. It is never made up.
    NoExpiry = "no_expiry", false;
    /// Its end is past.
    Expired = "expired", false;
    /// It has been listed longer than its class lives, whatever end is stated.
    TooOld = "too_old", false;
    /// A custom entry without a case number.
    NoCase = "no_case", false;
}

/// What one row came to.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An entry to add, checked in form; policy has not seen it.
    Add(Box<ListEntry>),
    /// The id of an entry to remove.
    Remove(String),
    /// A class that nobody may load, or none that is known ([`ListClass::Unknown`]).
    Drop(ListClass),
    /// No entry any more: its time is over.
    Over {
        /// Its class.
        class: ListClass,
        /// Its id.
        entry_id: String,
    },
    /// No entry.
    Refuse {
        /// Its class as far as it was read.
        class: ListClass,
        /// Why.
        reason: Refusal,
    },
}

impl core::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Add(_) => f.write_str("Add(..)"),
            Self::Remove(_) => f.write_str("Remove(..)"),
            Self::Drop(class) => write!(f, "Drop({})", class.name()),
            Self::Over { class, .. } => write!(f, "Over({})", class.name()),
            Self::Refuse { class, reason } => write!(f, "Refuse({}, {})", class.name(), reason.name()),
        }
    }
}

/// What a file does to its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is the list.
    Full,
    /// It adds and removes.
    Incremental,
}

/// What a file says of itself: the first line of the own format, or whoever fetched a file that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name of the list, at most 64 bytes. It is compared with the name that was configured and means nothing else.
    pub list: String,
    /// What the file does.
    pub mode: Mode,
    /// Number of this load.
    pub sequence: u64,
    /// Of an incremental file: the load before it.
    pub base: Option<u64>,
    /// When the source made it.
    pub produced_at: Timestamp,
    /// Rows; none only where a source's format does not say.
    pub entries: Option<u64>,
}

impl Header {
    fn check(&self, now: Timestamp) -> Result<(), FileRefused> {
        let named = !self.list.is_empty() && self.list.len() <= LIST_BYTES_MAX && !self.list.contains(char::is_control);
        let in_order = match self.mode {
            Mode::Full => self.base.is_none(),
            Mode::Incremental => self.base.is_some_and(|base| base.checked_add(1) == Some(self.sequence)),
        };
        let made = self.produced_at.0 <= now.0.saturating_add(CLOCK_AHEAD_SECONDS_MAX);
        if !named || !in_order || !made {
            return Err(FileRefused::BadHeader);
        }
        match self.entries {
            // The old set stays: an empty full list would take everything out at once.
            Some(0) if self.mode == Mode::Full => Err(FileRefused::Empty),
            Some(rows) if rows > ROWS_MAX => Err(FileRefused::TooManyRows),
            Some(_) | None => Ok(()),
        }
    }
}

/// Why a whole file is refused. The set that was loaded before it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRefused {
    /// The first line, the row of column names or the frame of a JSON body is missing or has another form; or it comes from the future.
    BadHeader,
    /// More than [`FILE_BYTES_MAX`], or one JSON body of more than 8 MiB or a million values.
    TooLarge,
    /// More rows than a file, or a request of this source, may have.
    TooManyRows,
    /// A full list without a row.
    Empty,
    /// It ends before its end: another number of rows than stated, no line break at the end.
    Truncated,
    /// A body that is no JSON object, or is cut off.
    Malformed,
    /// More than 1 in 100 rows, and at least ten, are bad lines; or every row is.
    TooManyBadLines,
}

impl FileRefused {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadHeader => "bad_header",
            Self::TooLarge => "too_large",
            Self::TooManyRows => "too_many_rows",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::TooManyBadLines => "too_many_bad_lines",
        }
    }
}

/// How many rows came to what. Classes by their name in the policy schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows, blank lines and headers left out.
    pub rows: u64,
    /// To add.
    pub added: BTreeMap<&'static str, u64>,
    /// To remove; their class is not said.
    pub removed: u64,
    /// Of a class that nobody may load, or of none.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Refused, by class and reason.
    pub refused: BTreeMap<(&'static str, Refusal), u64>,
    /// Of those to add: with an end that was brought forward to the longest life of the class.
    pub lives_cut: u64,
    /// Of those to add: with a note that was cut to 200 characters.
    pub notes_cut: u64,
    /// Of those refused: bad lines.
    pub bad_lines: u64,
}

impl Counts {
    /// All rows of one reason.
    #[must_use]
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused.iter().filter(|((_, why), _)| *why == reason).map(|(_, n)| *n).sum()
    }

    fn take(&mut self, outcome: &Outcome) {
        let one_more = |n: &mut u64| *n = n.saturating_add(1);
        match outcome {
            Outcome::Add(entry) => one_more(self.added.entry(entry.class.name()).or_default()),
            Outcome::Remove(_) => one_more(&mut self.removed),
            Outcome::Drop(class) => one_more(self.dropped.entry(class.name()).or_default()),
            Outcome::Over { class, .. } => one_more(self.refused.entry((class.name(), Refusal::Expired)).or_default()),
            Outcome::Refuse { class, reason } => {
                one_more(self.refused.entry((class.name(), *reason)).or_default());
                if reason.is_bad_line() {
                    one_more(&mut self.bad_lines);
                }
            }
        }
    }
}

/// A file that was read to its end and not refused. There is no other way to get one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    header: Header,
    counts: Counts,
}

impl Complete {
    /// What the file says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What its rows came to.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// Form of a file in the own format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnForm {
    /// One JSON object a line, the first one the header.
    Ndjson,
    /// A line `#` with the header's JSON, a line of column names, and a line an entry. No field has a line break in it, and the last line
    /// has one at its end.
    Csv,
}

/// What is said by whoever loads a file, not by the file.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Our clock.
    pub now: Timestamp,
    /// Ids of entries whose plate is a placeholder's text and real; somebody signed for each.
    pub signed_placeholders: &'a BTreeSet<String>,
}

/// A file of a hot list, push by push. Memory does not grow with the file; one JSON body (at most 8 MiB) is held whole.
pub struct HotlistFile<'a> {
    lines: Lines,
    reading: Reading<'a>,
}

struct Reading<'a> {
    rows: Rows<'a>,
    load: Load<'a>,
    header: Option<Header>,
    counts: Counts,
    bytes: u64,
    /// The last byte so far was a line break.
    is_line_over: bool,
    /// The last row so far was none.
    is_last_bad: bool,
    is_first: bool,
    refused: Option<FileRefused>,
}

enum Rows<'a> {
    Own(OwnRows),
    Template(TemplateRows<'a>),
}

/// What a line of a file is.
enum Said {
    /// It says nothing about an entry.
    Nothing,
    /// The header of the file.
    Header(Header),
    /// A row, and what was cut of it.
    Row { outcome: Outcome, life_cut: bool, note_cut: bool },
}

impl Said {
    const fn row(outcome: Outcome) -> Self {
        Self::Row { outcome, life_cut: false, note_cut: false }
    }

    const fn refused(class: ListClass, reason: Refusal) -> Self {
        Self::row(Outcome::Refuse { class, reason })
    }
}

impl core::fmt::Debug for HotlistFile<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HotlistFile(..)")
    }
}

impl<'a> HotlistFile<'a> {
    /// A file in the own format.
    #[must_use]
    pub fn own(form: OwnForm, load: Load<'a>) -> Self {
        Self::start(Rows::Own(OwnRows::new(form)), None, load)
    }

    /// In the own format: a file that its source, or whoever brings it, calls so. It counts as the file of each line.
    #[must_use]
    pub fn of_source_file(mut self, name: &str) -> Self {
        if let Rows::Own(rows) = &mut self.reading.rows {
            rows.name(name);
        }
        self
    }

    /// A file of another source, read by its template.
    ///
    /// # Errors
    /// `BadHeader`, `Empty`, `TooManyRows` for what the delivery says of the file, as in a file of the own format.
    pub fn by_template(template: &'a Template, delivery: &'a Delivery, load: Load<'a>) -> Result<Self, FileRefused> {
        delivery.header.check(load.now)?;
        let rows = Rows::Template(TemplateRows::new(template, delivery));
        Ok(Self::start(rows, Some(delivery.header.clone()), load))
    }

    fn start(rows: Rows<'a>, header: Option<Header>, load: Load<'a>) -> Self {
        let counts = Counts::default();
        let reading = Reading {
            rows,
            load,
            header,
            counts,
            bytes: 0,
            is_line_over: true,
            is_last_bad: false,
            is_first: true,
            refused: None,
        };
        Self { lines: Lines::plain(), reading }
    }

    /// Takes more bytes and hands out what each row that is complete came to, with the number of its line (of its element, in JSON) from 1.
    ///
    /// # Errors
    /// Any of [`FileRefused`]; the same again for every further push.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(u64, Outcome)) -> Result<(), FileRefused> {
        let reading = &mut self.reading;
        reading.bytes = reading.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if reading.bytes > FILE_BYTES_MAX {
            reading.refuse(FileRefused::TooLarge);
        }
        if let Some(refused) = reading.refused {
            return Err(refused);
        }
        reading.is_line_over = bytes.last().map_or(reading.is_line_over, |last| *last == b'\n');
        match &mut reading.rows {
            Rows::Template(rows) if rows.is_whole() => {
                if !rows.push_whole(bytes) {
                    reading.refuse(FileRefused::TooLarge);
                }
            }
            Rows::Own(_) | Rows::Template(_) => self.lines.push(bytes, |at, line| reading.line(at, line, &mut take)),
        }
        reading.refused.map_or(Ok(()), Err)
    }

    /// What the file says of itself, as soon as it has said it: before its first row.
    #[must_use]
    pub const fn header(&self) -> Option<&Header> {
        self.reading.header.as_ref()
    }

    /// The end of the file: its last rows, and the word that all rows may be used.
    ///
    /// # Errors
    /// Any of [`FileRefused`]. Then every row that was handed out is void.
    pub fn finish(self, mut take: impl FnMut(u64, Outcome)) -> Result<Complete, FileRefused> {
        let mut reading = self.reading;
        self.lines.finish(|at, line| reading.line(at, line, &mut take));
        reading.finish(&mut take)
    }
}

impl Reading<'_> {
    fn refuse(&mut self, why: FileRefused) {
        self.refused.get_or_insert(why);
    }

    fn line(&mut self, at: u64, line: Line<'_>, take: &mut impl FnMut(u64, Outcome)) {
        if self.refused.is_some() {
            return;
        }
        let is_first = core::mem::replace(&mut self.is_first, false);
        let bytes = match line {
            Line::Whole(bytes) if bytes.len() <= LINE_BYTES_MAX => bytes,
            Line::Whole(_) | Line::TooLong if self.rows.is_started() => {
                return self.said(at, Said::refused(ListClass::Unknown, Refusal::BadLine), take);
            }
            Line::Whole(_) | Line::TooLong => return self.refuse(FileRefused::BadHeader),
        };
        let bytes = if is_first { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let said = match &mut self.rows {
            Rows::Own(rows) => rows.line(bytes, self.header.as_ref(), &self.load),
            Rows::Template(rows) => rows.line(bytes, &self.load),
        };
        match said {
            Ok(said) => self.said(at, said, take),
            Err(why) => self.refuse(why),
        }
    }

    fn said(&mut self, at: u64, said: Said, take: &mut impl FnMut(u64, Outcome)) {
        match said {
            Said::Nothing => {}
            Said::Header(header) => match header.check(self.load.now) {
                Ok(()) => self.header = Some(header),
                Err(why) => self.refuse(why),
            },
            Said::Row { outcome, life_cut, note_cut } => {
                self.counts.rows = self.counts.rows.saturating_add(1);
                let stated = self.header.as_ref().and_then(|header| header.entries);
                if self.counts.rows > self.rows.most_rows() {
                    return self.refuse(FileRefused::TooManyRows);
                }
                if stated.is_some_and(|stated| self.counts.rows > stated) {
                    return self.refuse(FileRefused::Truncated);
                }
                self.counts.take(&outcome);
                self.is_last_bad =
                    !self.rows.is_whole() && matches!(outcome, Outcome::Refuse { reason: Refusal::BadLine, .. });
                self.counts.lives_cut = self.counts.lives_cut.saturating_add(u64::from(life_cut));
                self.counts.notes_cut = self.counts.notes_cut.saturating_add(u64::from(note_cut));
                // Where the number of rows is known, nobody reads on for the verdict.
                if stated.is_some_and(|stated| has_too_many_bad(self.counts.bad_lines, stated)) {
                    return self.refuse(FileRefused::TooManyBadLines);
                }
                take(at, outcome);
            }
        }
    }

    fn finish(mut self, take: &mut impl FnMut(u64, Outcome)) -> Result<Complete, FileRefused> {
        if self.refused.is_none()
            && let Rows::Template(rows) = &self.rows
            && rows.is_whole()
        {
            for (at, said) in (1..).zip(rows.whole(&self.load)?) {
                self.said(at, said, take);
            }
        }
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let header = self.header.filter(|_| self.rows.is_started()).ok_or(FileRefused::BadHeader)?;
        // The number of rows can be right, and the last one be a half.
        if !self.is_line_over && (self.is_last_bad || self.rows.needs_line_break()) {
            return Err(FileRefused::Truncated);
        }
        if header.entries.is_some_and(|stated| stated != self.counts.rows) {
            return Err(FileRefused::Truncated);
        }
        if self.counts.rows == 0 && header.mode == Mode::Full {
            return Err(FileRefused::Empty);
        }
        if has_too_many_bad(self.counts.bad_lines, self.counts.rows) {
            return Err(FileRefused::TooManyBadLines);
        }
        Ok(Complete { header, counts: self.counts })
    }
}

/// A short file of which no row can be read is in another character set or of another source, and would empty the list.
const fn has_too_many_bad(bad: u64, rows: u64) -> bool {
    let beyond = bad > BAD_LINES_ALLOWED && bad.saturating_mul(100) > rows.saturating_mul(BAD_PERCENT_MAX);
    beyond || (bad > 0 && bad >= rows)
}

impl Rows<'_> {
    /// Everything that stands before the first row was read.
    const fn is_started(&self) -> bool {
        match self {
            Self::Own(rows) => rows.is_started(),
            Self::Template(rows) => rows.is_started(),
        }
    }

    /// Is it one JSON body?
    const fn is_whole(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Template(rows) => rows.is_whole(),
        }
    }

    /// Must the last row end in a line break? Where nothing closes a row, half a plate looks like a plate.
    const fn needs_line_break(&self) -> bool {
        match self {
            Self::Own(rows) => rows.needs_line_break(),
            Self::Template(rows) => rows.needs_line_break(),
        }
    }

    fn most_rows(&self) -> u64 {
        match self {
            Self::Own(_) => ROWS_MAX,
            Self::Template(rows) => rows.most_rows(),
        }
    }
}

/// A text of a list's row is short and has no control characters: it goes onto pages and into mails.
fn is_plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.contains(char::is_control)
}

/// The judge of a file's rows.
fn judge<'a>(load: &Load<'a>, header: &Header, life_seconds: Option<u64>, files: &'a LastFile) -> Judge<'a> {
    Judge { now: load.now, produced_at: header.produced_at, signed: load.signed_placeholders, life_seconds, files }
}

/// Was it entered before now, give or take a clock? An entry from the future would outlive its class.
fn is_past(entered_at: Timestamp, load: &Load<'_>) -> bool {
    entered_at.0 <= load.now.0.saturating_add(CLOCK_AHEAD_SECONDS_MAX)
}

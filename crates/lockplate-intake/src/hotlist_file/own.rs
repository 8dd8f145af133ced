//! The own format of hot lists (`hotlists.md` section 3). It is strict, because we say what it is: a key that nobody knows, a
//! key that stands twice and a word outside its list are refusals. `state_requird` must not quietly match the plates of every state.

use std::borrow::Cow;

use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::{AlertLevel, Variants};
use lockplate_core::read::Vehicle;
use lockplate_core::vocabulary::{Basis, Offence};

use super::classes::{LastFile, counted_as, never_loaded};
use super::dates::rfc3339;
use super::entry::Row;
use super::limits::{
    AGENCY_BYTES_MAX, CASE_BYTES_MAX, CELLS_MAX, CODE_BYTES_MAX, ENTRY_ID_BYTES_MAX, LIST_BYTES_MAX, NOTE_CHARS_MAX,
    PLATE_RAW_BYTES_MAX, WORD_BYTES_MAX,
};
use super::object::{Cell, Object};
use super::{FileRefused, Header, Load, Mode, Outcome, OwnForm, Refusal, Said, is_past, is_plain, judge};
use crate::jurisdiction::{TwoLetters, named};
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};

const KEYS: &[&str] = &[
    "entry_id",
    "op",
    "plate",
    "jurisdiction",
    "class",
    "source_file",
    "offence",
    "entered_at",
    "expires_at",
    "effective_at",
    "case",
    "basis",
    "agency",
    "vehicle",
    "level",
    "state_required",
    "variants",
    "note",
];
/// What `vehicle` has inside, and, with `vehicle_` before it, the columns of CSV.
const VEHICLE_KEYS: &[&str] = &["class", "make", "colour"];
const HEADER_KEYS: &[&str] = &["list", "mode", "sequence", "base", "produced_at", "entries"];

/// Reader of the rows of one file.
pub(super) struct OwnRows {
    form: OwnForm,
    has_header: bool,
    columns: Option<Vec<String>>,
    /// The file's name at its source; empty where nobody says it.
    file: String,
    /// The class of such a file, where nobody loads it.
    never: Option<ListClass>,
    files: LastFile,
}

impl OwnRows {
    pub(super) fn new(form: OwnForm) -> Self {
        Self { form, has_header: false, columns: None, file: String::new(), never: None, files: LastFile::default() }
    }

    pub(super) fn name(&mut self, file: &str) {
        file.clone_into(&mut self.file);
        self.never = never_loaded(file);
    }

    pub(super) const fn is_started(&self) -> bool {
        match self.form {
            OwnForm::Ndjson => self.has_header,
            OwnForm::Csv => self.columns.is_some(),
        }
    }

    pub(super) const fn needs_line_break(&self) -> bool {
        matches!(self.form, OwnForm::Csv)
    }

    pub(super) fn line(&mut self, bytes: &[u8], header: Option<&Header>, load: &Load<'_>) -> Result<Said, FileRefused> {
        let Some(header) = header else {
            self.has_header = true;
            let bytes = match self.form {
                OwnForm::Ndjson => bytes,
                OwnForm::Csv => bytes.strip_prefix(b"#").ok_or(FileRefused::BadHeader)?,
            };
            return read_header(bytes).map(Said::Header).ok_or(FileRefused::BadHeader);
        };
        let object = match (self.form, &self.columns) {
            (OwnForm::Ndjson, _) => Object::parse(bytes),
            (OwnForm::Csv, Some(columns)) => read_cells(bytes, columns),
            (OwnForm::Csv, None) => {
                self.columns = Some(read_columns(bytes).ok_or(FileRefused::BadHeader)?);
                return Ok(Said::Nothing);
            }
        };
        let Some(object) = object else {
            return Ok(Said::refused(ListClass::Unknown, Refusal::BadLine));
        };
        Ok(self.row(&object, header, load))
    }

    fn row(&self, object: &Object<'_>, header: &Header, load: &Load<'_>) -> Said {
        let fields = Fields(object);
        let class = match fields.class().map(|class| self.never.or(class)) {
            Ok(class) => class,
            Err(reason) => return Said::refused(self.never.unwrap_or(ListClass::Unknown), reason),
        };
        match fields.operation() {
            Err(reason) => Said::refused(class.unwrap_or(ListClass::Unknown), reason),
            Ok(Operation::Remove) if header.mode == Mode::Full => {
                Said::refused(class.unwrap_or(ListClass::Unknown), Refusal::BadValue)
            }
            Ok(Operation::Remove) => match fields.entry_id() {
                Ok(id) => Said::row(Outcome::Remove(id)),
                Err(reason) => Said::refused(class.unwrap_or(ListClass::Unknown), reason),
            },
            Ok(Operation::Add) => match class {
                // Nothing more of it is read.
                Some(class) if !class.may_be_loaded() => Said::row(Outcome::Drop(class)),
                None => Said::row(Outcome::Drop(ListClass::Unknown)),
                Some(class) => match fields.row(class, load) {
                    Err(reason) => Said::refused(class, reason),
                    Ok(mut row) => {
                        if row.source_file.is_empty() {
                            row.source_file.clone_from(&self.file);
                        }
                        let (outcome, life_cut) = judge(load, header, None, &self.files).judge(row);
                        Said::Row { outcome, life_cut, note_cut: false }
                    }
                },
            },
        }
    }
}

fn read_header(bytes: &[u8]) -> Option<Header> {
    let object = Object::parse(bytes)?;
    if object.keys().any(|key| !HEADER_KEYS.contains(&key)) {
        return None;
    }
    let text = |key: &str| match object.get(key) {
        Some(Cell::Text(text)) => Some(text.as_ref()),
        None | Some(Cell::Null | Cell::Flag(_) | Cell::Number(_) | Cell::Object(_) | Cell::Other) => None,
    };
    let number = |key: &str| match object.get(key) {
        None | Some(Cell::Null) => Some(None),
        Some(Cell::Number(number)) => Some(Some(*number)),
        Some(Cell::Flag(_) | Cell::Text(_) | Cell::Object(_) | Cell::Other) => None,
    };
    Some(Header {
        list: text("list").filter(|list| list.len() <= LIST_BYTES_MAX)?.to_owned(),
        mode: match text("mode")? {
            "full" => Mode::Full,
            "incremental" => Mode::Incremental,
            _ => return None,
        },
        sequence: number("sequence")??,
        base: number("base")?,
        produced_at: rfc3339(text("produced_at")?)?,
        entries: Some(number("entries")??),
    })
}

/// Names of columns: known ones, each once, and those that every row needs.
fn read_columns(bytes: &[u8]) -> Option<Vec<String>> {
    let columns = cells(core::str::from_utf8(bytes).ok()?, b',')?;
    let flat = |name: &str| name.strip_prefix("vehicle_").is_some_and(|inner| VEHICLE_KEYS.contains(&inner));
    let known = |name: &String| (KEYS.contains(&name.as_str()) && name != "vehicle") || flat(name);
    let mut sorted = columns.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == columns.len() && columns.iter().all(known)).then_some(columns)
}

fn read_cells<'a>(bytes: &[u8], columns: &'a [String]) -> Option<Object<'a>> {
    let cells = cells(core::str::from_utf8(bytes).ok()?, b',')?;
    if cells.len() != columns.len() {
        return None;
    }
    let (mut object, mut vehicle) = (Object::default(), Object::default());
    for (name, cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        let (of, name) = match name.strip_prefix("vehicle_") {
            Some(inner) => (&mut vehicle, inner),
            None => (&mut object, name.as_str()),
        };
        let cell = match cell.as_str() {
            "true" if name == "state_required" => Cell::Flag(true),
            "false" if name == "state_required" => Cell::Flag(false),
            _ => Cell::Text(Cow::Owned(cell)),
        };
        if !of.put(Cow::Borrowed(name), cell) {
            return None;
        }
    }
    let vehicle = if vehicle.is_empty() { Cell::Null } else { Cell::Object(vehicle) };
    object.put(Cow::Borrowed("vehicle"), vehicle).then_some(object)
}

/// The cells of a line that is one record and nothing behind it; `None` for NUL and for more than [`CELLS_MAX`].
pub(super) fn cells(text: &str, delimiter: u8) -> Option<Vec<String>> {
    // A quote that does not end would take the line break, and a carriage return inside would end the record unseen.
    if text.contains(['\0', '\r']) || text.bytes().filter(|b| *b == b'"').count() % 2 == 1 {
        return None;
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(text.len().saturating_add(1))
        .from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    let found = reader.read_record(&mut record).ok()?;
    (found && record.len() <= CELLS_MAX).then(|| record.iter().map(str::to_owned).collect())
}

enum Operation {
    Add,
    Remove,
}

/// The fields of one row.
struct Fields<'a>(&'a Object<'a>);

impl<'a> Fields<'a> {
    /// A text of at most `bytes_max` bytes; empty and null are absent.
    fn text(&self, key: &str, bytes_max: usize) -> Result<Option<&'a str>, Refusal> {
        match self.0.get(key) {
            None | Some(Cell::Null) => Ok(None),
            Some(Cell::Text(text)) if text.is_empty() => Ok(None),
            Some(Cell::Text(text)) if is_plain(text, bytes_max) => Ok(Some(text)),
            Some(Cell::Text(_) | Cell::Flag(_) | Cell::Number(_) | Cell::Object(_) | Cell::Other) => {
                Err(Refusal::BadValue)
            }
        }
    }

    fn needed(&self, key: &str, bytes_max: usize) -> Result<&'a str, Refusal> {
        self.text(key, bytes_max)?.ok_or(Refusal::MissingField)
    }

    /// A word of a closed list; absent: none.
    fn word<T>(&self, key: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        self.text(key, WORD_BYTES_MAX)?.map(|word| read(word).ok_or(Refusal::BadValue)).transpose()
    }

    fn class(&self) -> Result<Option<ListClass>, Refusal> {
        let Some(name) = self.text("class", WORD_BYTES_MAX)? else { return Ok(None) };
        Ok(Some(ListClass::from_name(name).unwrap_or_else(|| counted_as(name))))
    }

    fn operation(&self) -> Result<Operation, Refusal> {
        let known = |op: &str| match op {
            "add" => Some(Operation::Add),
            "remove" => Some(Operation::Remove),
            _ => None,
        };
        Ok(self.word("op", known)?.unwrap_or(Operation::Add))
    }

    fn entry_id(&self) -> Result<String, Refusal> {
        self.needed("entry_id", ENTRY_ID_BYTES_MAX).map(str::to_owned)
    }

    fn row(&self, class: ListClass, load: &Load<'_>) -> Result<Row, Refusal> {
        if self.0.keys().any(|key| !KEYS.contains(&key)) {
            return Err(Refusal::BadValue);
        }
        // A plate of any length has its own reasons.
        let plate = match self.0.get("plate") {
            Some(Cell::Text(plate)) if !plate.is_empty() => plate,
            None | Some(Cell::Null | Cell::Text(_)) => return Err(Refusal::MissingField),
            Some(Cell::Flag(_) | Cell::Number(_) | Cell::Object(_) | Cell::Other) => {
                return Err(Refusal::BadValue);
            }
        };
        let long_enough_to_refuse = PLATE_RAW_BYTES_MAX.saturating_add(1);
        let plate: String = plate.chars().take(long_enough_to_refuse).collect();
        let basis = self.word("basis", Basis::from_name)?.filter(|basis| *basis != Basis::None);
        let flag = match self.0.get("state_required") {
            None | Some(Cell::Null) => false,
            Some(Cell::Flag(flag)) => *flag,
            Some(Cell::Text(_) | Cell::Number(_) | Cell::Object(_) | Cell::Other) => {
                return Err(Refusal::BadValue);
            }
        };
        // Four bytes a character at most.
        let note = self.text("note", NOTE_CHARS_MAX.saturating_mul(4))?.unwrap_or_default();
        if note.chars().count() > NOTE_CHARS_MAX {
            return Err(Refusal::BadValue);
        }
        let row = Row {
            entry_id: self.entry_id()?,
            plate,
            jurisdiction: match self.text("jurisdiction", WORD_BYTES_MAX)? {
                None => None,
                // Its one form: a list that writes another may mean another.
                Some(code) => Some(
                    named(code, TwoLetters::Country)
                        .filter(|named| named.code() == code)
                        .ok_or(Refusal::UnknownState)?,
                ),
            },
            class,
            source_file: self.text("source_file", CODE_BYTES_MAX)?.unwrap_or_default().to_owned(),
            offence: self.word("offence", Offence::from_name)?.unwrap_or(Offence::None),
            entered_at: self.word("entered_at", rfc3339)?.ok_or(Refusal::MissingField)?,
            expires_at: self.word("expires_at", rfc3339)?,
            effective_at: self.word("effective_at", rfc3339)?,
            case: self.text("case", CASE_BYTES_MAX)?.unwrap_or_default().to_owned(),
            basis: basis.ok_or(Refusal::MissingField)?,
            agency: self.needed("agency", AGENCY_BYTES_MAX)?.to_owned(),
            vehicle: self.vehicle()?,
            level: self.word("level", level)?.unwrap_or(AlertLevel::Medium),
            state_required: flag,
            variants: self.word("variants", variants)?.unwrap_or_default(),
            note: note.to_owned(),
        };
        if is_past(row.entered_at, load) { Ok(row) } else { Err(Refusal::BadValue) }
    }

    fn vehicle(&self) -> Result<Vehicle, Refusal> {
        let object = match self.0.get("vehicle") {
            None | Some(Cell::Null) => return Ok(Vehicle::default()),
            Some(Cell::Object(object)) => object,
            Some(Cell::Flag(_) | Cell::Number(_) | Cell::Text(_) | Cell::Other) => {
                return Err(Refusal::BadValue);
            }
        };
        if object.keys().any(|key| !VEHICLE_KEYS.contains(&key)) {
            return Err(Refusal::BadValue);
        }
        let inner = Fields(object);
        Ok(Vehicle {
            class: coded(CLASSES, inner.text("class", WORD_BYTES_MAX)?, None),
            make: coded(MAKES, inner.text("make", WORD_BYTES_MAX)?, None),
            colour: coded(COLOURS, inner.text("colour", WORD_BYTES_MAX)?, None),
        })
    }
}

/// A level by its name.
pub(super) fn level(name: &str) -> Option<AlertLevel> {
    match name {
        "low" => Some(AlertLevel::Low),
        "medium" => Some(AlertLevel::Medium),
        "high" => Some(AlertLevel::High),
        _ => None,
    }
}

fn variants(name: &str) -> Option<Variants> {
    match name {
        "none" => Some(Variants::None),
        "near" => Some(Variants::Near),
        _ => None,
    }
}

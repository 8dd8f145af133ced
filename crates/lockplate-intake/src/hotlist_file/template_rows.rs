//! Rows of another source's file, read by its template. What the template gives no column for is not read at all: names of lists,
//! categories, reasons, permits and people have none.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::{AlertLevel, Variants};
use lockplate_core::plate::{Jurisdiction, Plate};
use lockplate_core::read::Vehicle;
use serde_json::{Map, Value};
use sha2::Sha256;

use super::classes::{LastFile, counted_as, never_loaded};
use super::entry::{Row, listed_plate};
use super::limits::{
    AGENCY_BYTES_MAX, CASE_BYTES_MAX, CODE_BYTES_MAX, ENTRY_ID_BYTES_MAX, LIFE_DAYS_MAX, NOTE_CHARS_MAX,
    PLATE_RAW_BYTES_MAX, ROWS_MAX, WORD_BYTES_MAX,
};
use super::own::cells;
use super::template::{ClassFrom, Field, Layout, Place, Template};
use super::{FileRefused, Header, Load, Mode, Outcome, Refusal, Said, is_past, is_plain, judge};
use crate::json;
use crate::limits::BODY_BYTES_MAX;
use crate::own::windows_1252;
use crate::source::Slug;
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};

/// What whoever fetched a file knows of it and its format does not say.
#[derive(Clone)]
pub struct Delivery {
    /// As the first line of the own format; `entries` if the source tells it elsewhere.
    pub header: Header,
    /// The source's own name of the file, as the steward configured it for this list: the code of every row where a source makes one file a
    /// class. It is not the name of the list. A file whose class nobody loads is never loaded, whatever its rows say.
    pub source_file: Option<String>,
    /// The whole file is of entries to remove.
    pub removes: bool,
    /// Key of the ids of entries that have none in the source. Anybody could find the plate behind an id without a key.
    pub id_key: [u8; 32],
}

impl core::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Delivery(..)")
    }
}

/// Reader of the rows of one file.
pub(super) struct TemplateRows<'a> {
    template: &'a Template,
    delivery: &'a Delivery,
    has_header: bool,
    /// Where the fields stand, names of columns resolved.
    places: BTreeMap<Field, Place>,
    cells: Option<usize>,
    /// The class of the whole file, where nobody loads one of its name.
    never: Option<ListClass>,
    files: LastFile,
    /// A JSON body.
    body: Vec<u8>,
}

impl<'a> TemplateRows<'a> {
    pub(super) fn new(template: &'a Template, delivery: &'a Delivery) -> Self {
        let (has_header, cells) = match &template.layout {
            Layout::Delimited { has_header, cells, .. } => (!has_header, *cells),
            Layout::Fixed { has_header, .. } => (!has_header, None),
            Layout::Json { .. } => (true, None),
        };
        let never = delivery.source_file.as_deref().and_then(never_loaded);
        Self {
            template,
            delivery,
            has_header,
            places: template.columns.clone(),
            cells,
            never,
            files: LastFile::default(),
            body: Vec::new(),
        }
    }

    pub(super) const fn is_started(&self) -> bool {
        self.has_header
    }

    pub(super) const fn needs_line_break(&self) -> bool {
        self.template.ends_with_line_break
    }

    /// Is it one JSON body?
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.template.layout, Layout::Json { .. })
    }

    pub(super) const fn most_rows(&self) -> u64 {
        match &self.template.layout {
            Layout::Json { rows_max, .. } => *rows_max,
            Layout::Delimited { .. } | Layout::Fixed { .. } => ROWS_MAX,
        }
    }

    /// Takes more of a JSON body; false if it is too large.
    pub(super) fn push_whole(&mut self, bytes: &[u8]) -> bool {
        let fits = self.body.len().saturating_add(bytes.len()) <= BODY_BYTES_MAX;
        if fits {
            self.body.extend_from_slice(bytes);
        }
        fits
    }

    /// The rows of a JSON body.
    pub(super) fn whole(&self, load: &Load<'_>) -> Result<Vec<Said>, FileRefused> {
        let Layout::Json { rows, rows_max } = &self.template.layout else { return Err(FileRefused::BadHeader) };
        let why = |slug| if slug == Slug::TooLarge { FileRefused::TooLarge } else { FileRefused::Malformed };
        let body = json::list(&self.body).map_err(|problem| why(problem.slug))?;
        let body = once_each(body, &self.body).ok_or(FileRefused::BadHeader)?;
        let elements = body.get(rows).and_then(Value::as_array).ok_or(FileRefused::BadHeader)?;
        if u64::try_from(elements.len()).unwrap_or(u64::MAX) > *rows_max {
            return Err(FileRefused::TooManyRows);
        }
        Ok(elements.iter().map(|element| self.element(element, load)).collect())
    }

    fn element(&self, element: &Value, load: &Load<'_>) -> Said {
        if !element.is_object() {
            return Said::refused(ListClass::Unknown, Refusal::BadLine);
        }
        self.row(load, |place| {
            let Place::Path(steps) = place else { return Ok(None) };
            let mut value = element;
            for step in steps {
                match value.get(step) {
                    None | Some(Value::Null) => return Ok(None),
                    Some(inner) => value = inner,
                }
            }
            match value {
                Value::String(text) => Ok(Some(Cow::Borrowed(text.as_str()))),
                Value::Number(number) => Ok(Some(Cow::Owned(number.to_string()))),
                Value::Null => Ok(None),
                Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(Refusal::BadValue),
            }
        })
    }

    pub(super) fn line(&mut self, bytes: &[u8], load: &Load<'_>) -> Result<Said, FileRefused> {
        let text: Option<Cow<'_, str>> = if self.template.is_latin {
            Some(Cow::Owned(bytes.iter().map(|byte| windows_1252(*byte)).collect()))
        } else {
            core::str::from_utf8(bytes).ok().map(Cow::Borrowed)
        };
        let text = text.filter(|text| !text.contains('\0'));
        if !self.has_header {
            self.has_header = true;
            self.header(text.as_deref().ok_or(FileRefused::BadHeader)?)?;
            return Ok(Said::Nothing);
        }
        Ok(text.map_or(Said::refused(ListClass::Unknown, Refusal::BadLine), |text| self.text_row(&text, load)))
    }

    /// Finds each column by its name, which must stand once.
    fn header(&mut self, text: &str) -> Result<(), FileRefused> {
        let Layout::Delimited { delimiter, .. } = self.template.layout else { return Ok(()) };
        let names = cells(text, delimiter).ok_or(FileRefused::BadHeader)?;
        for place in self.places.values_mut() {
            let Place::Named(wanted) = &*place else { continue };
            let mut found = names.iter().enumerate().filter(|(_, name)| name.trim() == wanted);
            match (found.next(), found.next()) {
                (Some((at, _)), None) => *place = Place::Cell(at),
                (Some(_), Some(_)) | (None, _) => return Err(FileRefused::BadHeader),
            }
        }
        self.cells = Some(names.len());
        Ok(())
    }

    fn text_row(&self, text: &str, load: &Load<'_>) -> Said {
        let bad = || Said::refused(ListClass::Unknown, Refusal::BadLine);
        match self.template.layout {
            Layout::Delimited { delimiter, .. } => {
                let Some(cells) = cells(text, delimiter).filter(|cells| Some(cells.len()) == self.cells) else {
                    return bad();
                };
                self.row(load, |place| {
                    let Place::Cell(at) = place else { return Ok(None) };
                    Ok(cells.get(*at).map(|cell| Cow::Borrowed(cell.as_str())))
                })
            }
            Layout::Fixed { width, .. } => {
                if width.is_some_and(|width| text.chars().count() != width) {
                    return bad();
                }
                self.row(load, |place| {
                    let Place::Span { from, length } = place else { return Ok(None) };
                    Ok(Some(Cow::Owned(text.chars().skip(*from).take(*length).collect())))
                })
            }
            Layout::Json { .. } => bad(),
        }
    }

    fn row<'t>(&self, load: &Load<'_>, at: impl Fn(&Place) -> Result<Option<Cow<'t, str>>, Refusal>) -> Said {
        let cells = Cells { rows: self, at };
        // The class before everything else: of a row that is dropped nothing more is read.
        let (code, class) = match cells.class() {
            Ok(found) => found,
            Err(reason) => return Said::refused(ListClass::Unknown, reason),
        };
        let adds = match cells.adds() {
            Ok(adds) => adds,
            Err(reason) => return Said::refused(class, reason),
        };
        if !adds {
            return match cells.removal(&code) {
                Ok(id) => Said::row(Outcome::Remove(id)),
                Err(reason) => Said::refused(class, reason),
            };
        }
        if !class.may_be_loaded() {
            return Said::row(Outcome::Drop(class));
        }
        match cells.entry(code, class, load) {
            Err(reason) => Said::refused(class, reason),
            Ok((row, note_cut)) => {
                let judge = judge(load, &self.delivery.header, self.template.life_seconds, &self.files);
                let (outcome, life_cut) = judge.judge(row);
                let note_cut = note_cut && matches!(outcome, Outcome::Add(_));
                Said::Row { outcome, life_cut, note_cut }
            }
        }
    }
}

/// The cells of one row.
struct Cells<'r, 'a, F> {
    rows: &'r TemplateRows<'a>,
    at: F,
}

impl<'t, F: Fn(&Place) -> Result<Option<Cow<'t, str>>, Refusal>> Cells<'_, '_, F> {
    /// What stands in a field's column, trimmed; empty is absent.
    fn raw(&self, field: Field) -> Result<Option<String>, Refusal> {
        let Some(place) = self.rows.places.get(&field) else { return Ok(None) };
        let text = (self.at)(place)?;
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    fn text(&self, field: Field, bytes_max: usize) -> Result<Option<String>, Refusal> {
        let text = self.raw(field)?;
        if text.as_ref().is_none_or(|text| is_plain(text, bytes_max)) { Ok(text) } else { Err(Refusal::BadValue) }
    }

    /// The source's code, and its class by the file's name or the template alone.
    fn class(&self) -> Result<(String, ListClass), Refusal> {
        let template = self.rows.template;
        let code = match template.class_from {
            ClassFrom::Column => self.text(Field::Class, CODE_BYTES_MAX)?,
            ClassFrom::File => self.rows.delivery.source_file.clone(),
            ClassFrom::Nothing => None,
        };
        let code = code.unwrap_or_default();
        let class = || template.classes.get(&code).copied().unwrap_or_else(|| counted_as(&code));
        // Whatever a row calls itself: it is of a file whose class nobody loads.
        let class = self.rows.never.unwrap_or_else(class);
        Ok((code, class))
    }

    fn adds(&self) -> Result<bool, Refusal> {
        let may_remove = self.rows.delivery.header.mode == Mode::Incremental;
        let adds = if self.rows.places.contains_key(&Field::Operation) {
            let word = self.text(Field::Operation, WORD_BYTES_MAX)?.ok_or(Refusal::MissingField)?;
            *self.rows.template.operations.get(&word).ok_or(Refusal::BadValue)?
        } else {
            !self.rows.delivery.removes
        };
        if adds || may_remove { Ok(adds) } else { Err(Refusal::BadValue) }
    }

    fn removal(&self, code: &str) -> Result<String, Refusal> {
        if self.rows.places.contains_key(&Field::EntryId) {
            return self.text(Field::EntryId, ENTRY_ID_BYTES_MAX)?.ok_or(Refusal::MissingField);
        }
        let plate = listed_plate(&self.plate()?)?;
        Ok(self.id_of(code, &plate, self.state()?))
    }

    fn plate(&self) -> Result<String, Refusal> {
        let raw = self.raw(Field::Plate)?.ok_or(Refusal::MissingField)?;
        // One more than may be is enough to be refused.
        Ok(raw.chars().take(PLATE_RAW_BYTES_MAX.saturating_add(1)).collect())
    }

    fn state(&self) -> Result<Option<Jurisdiction>, Refusal> {
        let Some(text) = self.text(Field::State, WORD_BYTES_MAX)? else { return Ok(None) };
        match self.rows.template.named_states.get(&text) {
            Some(named) => Ok(*named),
            None => self.rows.template.states.state(&text).map(Some).ok_or(Refusal::UnknownState),
        }
    }

    /// The same entry of the source, the same id in every load. A case or a remark that changes does not change it.
    fn id_of(&self, code: &str, plate: &Plate, state: Option<Jurisdiction>) -> String {
        // INVARIANT: HMAC takes keys of any length; this one is 32 bytes.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.rows.delivery.id_key) else { return String::new() };
        mac.update(b"LPv1 hot-list entry");
        for part in [code, plate.expose_text(), state.as_ref().map_or("", Jurisdiction::code)] {
            mac.update(&[0]);
            mac.update(part.as_bytes());
        }
        let whole = mac.finalize().into_bytes();
        whole.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn begin(&self, field: Field) -> Result<Option<Timestamp>, Refusal> {
        self.time(field, |dates, text| dates.begin(text))
    }

    fn time(
        &self,
        field: Field,
        read: impl Fn(&super::dates::DateForm, &str) -> Option<Timestamp>,
    ) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.text(field, WORD_BYTES_MAX)? else { return Ok(None) };
        let dates = self.rows.template.dates.as_ref().ok_or(Refusal::BadValue)?;
        read(dates, &text).map(Some).ok_or(Refusal::BadValue)
    }

    fn entered_at(&self) -> Result<Timestamp, Refusal> {
        if self.rows.places.contains_key(&Field::EnteredAt) {
            return self.begin(Field::EnteredAt)?.ok_or(Refusal::MissingField);
        }
        Ok(self.rows.delivery.header.produced_at)
    }

    /// The end that the row states. An extract states none and stands for the next two days at most; for the other classes that is
    /// no end.
    fn expires_at(&self, class: ListClass, entered_at: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        let has = |field: Field| self.rows.places.contains_key(&field);
        if has(Field::ExpiresAt) {
            return self.time(Field::ExpiresAt, |dates, text| dates.end(text));
        }
        if has(Field::ExpiresInDays) {
            let Some(days) = self.text(Field::ExpiresInDays, WORD_BYTES_MAX)? else { return Ok(None) };
            let days = days.parse::<u64>().ok().filter(|days| *days <= LIFE_DAYS_MAX).ok_or(Refusal::BadValue)?;
            return Ok(Some(Timestamp(entered_at.0.saturating_add(days.saturating_mul(86_400)))));
        }
        let produced_at = self.rows.delivery.header.produced_at.0;
        let is_extract = !matches!(class, ListClass::Custom | ListClass::AmberAlert);
        let life = self.rows.template.life_seconds.filter(|_| is_extract);
        Ok(life.map(|life| Timestamp(produced_at.saturating_add(life))))
    }

    fn entry(&self, code: String, class: ListClass, load: &Load<'_>) -> Result<(Row, bool), Refusal> {
        let template = self.rows.template;
        let plate = self.plate()?;
        let jurisdiction = self.state()?;
        let entered_at = self.entered_at()?;
        if !is_past(entered_at, load) {
            return Err(Refusal::BadValue);
        }
        let entry_id = if self.rows.places.contains_key(&Field::EntryId) {
            self.text(Field::EntryId, ENTRY_ID_BYTES_MAX)?.ok_or(Refusal::MissingField)?
        } else {
            self.id_of(&code, &listed_plate(&plate)?, jurisdiction)
        };
        let agency = match &template.agency {
            Some(agency) => agency.clone(),
            None => self.text(Field::Agency, AGENCY_BYTES_MAX)?.ok_or(Refusal::MissingField)?,
        };
        // Another system's remark may be longer, and may have line breaks.
        let said = self.raw(Field::Note)?.unwrap_or_default();
        let note: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(NOTE_CHARS_MAX).collect();
        let note_cut = said.chars().nth(NOTE_CHARS_MAX).is_some();
        let word = |field: Field| self.text(field, WORD_BYTES_MAX);
        let row = Row {
            entry_id,
            plate,
            jurisdiction,
            class,
            source_file: code,
            offence: template.offence,
            entered_at,
            expires_at: self.expires_at(class, entered_at)?,
            effective_at: self.begin(Field::EffectiveAt)?,
            case: self.text(Field::Case, CASE_BYTES_MAX)?.unwrap_or_default(),
            basis: template.basis,
            agency,
            vehicle: Vehicle {
                class: coded(CLASSES, word(Field::VehicleClass)?.as_deref(), None),
                make: coded(MAKES, word(Field::VehicleMake)?.as_deref(), None),
                colour: coded(COLOURS, word(Field::VehicleColour)?.as_deref(), None),
            },
            level: match word(Field::Level)? {
                None => AlertLevel::Medium,
                Some(word) => template.levels.get(&word).copied().ok_or(Refusal::BadValue)?,
            },
            state_required: template.state_required,
            variants: Variants::None,
            note,
        };
        Ok((row, note_cut))
    }
}

/// The members of an object that was read from `bytes`, if none is written twice.
fn once_each(value: Value, bytes: &[u8]) -> Option<Map<String, Value>> {
    if members_written(bytes) != members_kept(&value) {
        return None;
    }
    let Value::Object(object) = value else { return None };
    Some(object)
}

/// Colons outside of texts: one a member of an object, at any depth.
fn members_written(bytes: &[u8]) -> usize {
    let (mut in_text, mut is_escaped, mut colons) = (false, false, 0_usize);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_text,
            b'"' => in_text = !in_text,
            b':' if !in_text => colons = colons.saturating_add(1),
            _ => {}
        }
    }
    colons
}

/// Members of all objects of a value, which is not nested deeper than its reader allows.
fn members_kept(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.values().map(members_kept).fold(object.len(), usize::saturating_add),
        Value::Array(elements) => elements.iter().map(members_kept).fold(0, usize::saturating_add),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

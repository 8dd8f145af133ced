//! Templates: how another source's file is laid out (`hotlists.md` section 3), as TOML that a steward signs. They are read strictly: a key
//! that nobody knows, a field without a column, a class of no list and a contradiction are refused when the template is read,
//! not when the first file of it comes in the night. There is no default for a class and none for an end.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::AlertLevel;
use lockplate_core::plate::Jurisdiction;
use lockplate_core::vocabulary::{Basis, Offence};
use toml::{Table, Value};

use super::dates::{DateForm, pattern_has_clock};
use super::is_plain;
use super::limits::{
    AGENCY_BYTES_MAX, CELLS_MAX, CODE_BYTES_MAX, EXTRACT_LIFE_SECONDS_MAX, JSON_ROWS_MAX, PATH_STEPS_MAX,
    TEMPLATE_BYTES_MAX, TEMPLATE_MAP_ROWS_MAX, TEMPLATE_TEXT_BYTES_MAX, WIDTH_MAX, WORD_BYTES_MAX,
};
use super::own::level;
use super::states::StateTable;
use crate::jurisdiction::{TwoLetters, named};

/// What is wrong with a template, and at which key or table of the form. No value of the template is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateProblem {
    /// Key or table.
    pub at: &'static str,
    /// What.
    pub fault: TemplateFault,
}

/// What can be wrong with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateFault {
    /// Not TOML, in this line, from 1.
    NotToml(usize),
    /// Too large, or a map or text in it.
    TooLarge,
    /// A key that the form does not have, or not together with the others.
    UnknownKey,
    /// A key that must be there.
    Missing,
    /// Another type, or a word outside its list.
    BadValue,
    /// A list of plates that may pass is no hot list. Matching it would tell where its owners drive.
    NotAHotList,
    /// The template would let an entry that ran out come back with the next load.
    EndlessLife,
}

impl core::fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let what = match self.fault {
            TemplateFault::NotToml(line) => return write!(f, "line {line} is no TOML"),
            TemplateFault::TooLarge => "is too large, or has too many rows or too long a text",
            TemplateFault::UnknownKey => "is no key of a template, or does not go with its other keys",
            TemplateFault::Missing => "is missing",
            TemplateFault::BadValue => "has a value that may not stand there",
            TemplateFault::NotAHotList => "is not \"hot\": a list of plates that may pass is no hot list",
            TemplateFault::EndlessLife => "would let an entry that ran out come back with the next file",
        };
        write!(f, "`{}` {what}", self.at)
    }
}

impl core::error::Error for TemplateProblem {}

fn problem<T>(at: &'static str, fault: TemplateFault) -> Result<T, TemplateProblem> {
    Err(TemplateProblem { at, fault })
}

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A field that a column can be for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Field { $($(#[$doc])* $variant,)* }

        impl Field {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fields! {
    EntryId = "entry_id",
    Operation = "operation",
    Plate = "plate",
    State = "state",
    /// The source's own code, which the class map is asked about.
    Class = "class",
    EnteredAt = "entered_at",
    ExpiresAt = "expires_at",
    /// Days from the entering to the end.
    ExpiresInDays = "expires_in_days",
    EffectiveAt = "effective_at",
    Case = "case",
    Agency = "agency",
    VehicleClass = "vehicle_class",
    VehicleMake = "vehicle_make",
    VehicleColour = "vehicle_colour",
    Level = "level",
    Note = "note",
}

/// Where a field stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the column of this name.
    Named(String),
    /// In this cell, from 0.
    Cell(usize),
    /// In these characters of the line, from 0.
    Span {
        /// First one.
        from: usize,
        /// How many.
        length: usize,
    },
    /// Under these keys.
    Path(Vec<String>),
}

/// How rows are divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// By a character.
    Delimited {
        delimiter: u8,
        /// The first line names the columns.
        has_header: bool,
        /// Cells of each line; with a header, as many as it has.
        cells: Option<usize>,
    },
    /// By positions.
    Fixed {
        has_header: bool,
        /// Characters of each line, if all have as many.
        width: Option<usize>,
    },
    /// An array of objects in one JSON body.
    Json {
        /// The key of the array.
        rows: String,
        /// Most elements that the source's own interface takes.
        rows_max: u64,
    },
}

/// Where the code comes from that the class map is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClassFrom {
    /// From a column.
    Column,
    /// From the source's own name of the file, as the steward configured it.
    File,
    /// The source has no codes: every row is dropped.
    Nothing,
}

/// A template that was read and found whole.
#[derive(Clone, Debug)]
pub struct Template {
    pub(super) source: String,
    pub(super) layout: Layout,
    pub(super) is_latin: bool,
    pub(super) ends_with_line_break: bool,
    pub(super) dates: Option<DateForm>,
    pub(super) states: StateTable,
    pub(super) named_states: BTreeMap<String, Option<Jurisdiction>>,
    pub(super) class_from: ClassFrom,
    pub(super) classes: BTreeMap<String, ListClass>,
    pub(super) operations: BTreeMap<String, bool>,
    pub(super) levels: BTreeMap<String, AlertLevel>,
    pub(super) columns: BTreeMap<Field, Place>,
    pub(super) life_seconds: Option<u64>,
    pub(super) agency: Option<String>,
    pub(super) basis: Basis,
    pub(super) offence: Offence,
    pub(super) state_required: bool,
}

impl Template {
    /// Reads a template, at most 64 KiB of TOML.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TemplateProblem> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return problem("template", TemplateFault::TooLarge);
        }
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                let read = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                return problem("template", TemplateFault::NotToml(read.matches('\n').count().saturating_add(1)));
            }
        };
        let mut top = Section { name: "template", table };
        match top.needed("kind")?.as_str() {
            "hot" => {}
            _ => return problem("kind", TemplateFault::NotAHotList),
        }
        let layout = layout(&mut top)?;
        let columns = columns(&mut top, &layout)?;
        let is_json = matches!(layout, Layout::Json { .. });
        let template = Self {
            source: top.needed("source")?,
            is_latin: !is_json && top.one_of("encoding", &[("utf-8", false), ("windows-1252", true)])?,
            ends_with_line_break: !is_json && top.one_of("end", &[("line_break", true), ("any", false)])?,
            dates: dates(&mut top)?,
            states: StateTable::from_name(&top.needed("states")?)
                .ok_or(TemplateProblem { at: "states", fault: TemplateFault::BadValue })?,
            named_states: named_states(&mut top)?,
            class_from: top.one_of(
                "class_from",
                &[("column", ClassFrom::Column), ("file", ClassFrom::File), ("nothing", ClassFrom::Nothing)],
            )?,
            classes: classes(&mut top)?,
            operations: top.map("operations", |word| match word {
                "add" => Some(true),
                "remove" => Some(false),
                _ => None,
            })?,
            levels: top.map("levels", level)?,
            columns,
            life_seconds: life(&mut top)?,
            agency: match top.text("agency")? {
                Some(agency) if agency.len() > AGENCY_BYTES_MAX => return problem("agency", TemplateFault::BadValue),
                agency => agency,
            },
            basis: Basis::from_name(&top.needed("basis")?)
                .filter(|basis| *basis != Basis::None)
                .ok_or(TemplateProblem { at: "basis", fault: TemplateFault::BadValue })?,
            offence: match top.text("offence")? {
                None => Offence::None,
                Some(name) => Offence::from_name(&name)
                    .ok_or(TemplateProblem { at: "offence", fault: TemplateFault::BadValue })?,
            },
            state_required: top.flag("state_required")?.unwrap_or(false),
            layout,
        };
        let entered_by_file = top.flag("entered_at_from_file")?.unwrap_or(false);
        let id_from_plate = top.flag("entry_id_from_plate")?.unwrap_or(false);
        top.end()?;
        template.check(entered_by_file, id_from_plate)?;
        Ok(template)
    }

    /// Name of the source, for whoever chooses a template.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Does each row say what an entry must have, once, and does everything that is there mean something?
    fn check(&self, entered_by_file: bool, id_from_plate: bool) -> Result<(), TemplateProblem> {
        let has = |field: Field| self.columns.contains_key(&field);
        let either = |field: Field, otherwise: bool| match (has(field), otherwise) {
            (false, false) => problem(field.name(), TemplateFault::Missing),
            (true, true) => problem(field.name(), TemplateFault::UnknownKey),
            (true, false) | (false, true) => Ok(()),
        };
        let together = |field: Field, is_map_empty: bool| match (has(field), is_map_empty) {
            (true, true) => problem(field.name(), TemplateFault::Missing),
            (false, false) => problem(field.name(), TemplateFault::UnknownKey),
            (true, false) | (false, true) => Ok(()),
        };
        if !has(Field::Plate) {
            return problem(Field::Plate.name(), TemplateFault::Missing);
        }
        either(Field::EntryId, id_from_plate)?;
        either(Field::EnteredAt, entered_by_file)?;
        either(Field::Agency, self.agency.is_some())?;
        together(Field::Operation, self.operations.is_empty())?;
        together(Field::Level, self.levels.is_empty())?;
        match self.class_from {
            ClassFrom::Column => together(Field::Class, self.classes.is_empty())?,
            ClassFrom::File if has(Field::Class) => return problem("class_from", TemplateFault::UnknownKey),
            ClassFrom::File if self.classes.is_empty() => return problem("classes", TemplateFault::Missing),
            ClassFrom::File => {}
            ClassFrom::Nothing if has(Field::Class) || !self.classes.is_empty() => {
                return problem("class_from", TemplateFault::UnknownKey);
            }
            ClassFrom::Nothing => {}
        }
        let needs_dates = [Field::EnteredAt, Field::ExpiresAt, Field::EffectiveAt].into_iter().any(has);
        if needs_dates != self.dates.is_some() {
            let fault = if needs_dates { TemplateFault::Missing } else { TemplateFault::UnknownKey };
            return problem("date", fault);
        }
        if has(Field::ExpiresInDays) && has(Field::ExpiresAt) {
            return problem(Field::ExpiresInDays.name(), TemplateFault::UnknownKey);
        }
        if has(Field::ExpiresInDays) && !has(Field::EnteredAt) {
            // Counted from the file, the days would begin anew with each load.
            return problem(Field::ExpiresInDays.name(), TemplateFault::EndlessLife);
        }
        Ok(())
    }
}

fn layout(top: &mut Section) -> Result<Layout, TemplateProblem> {
    match top.needed("format")?.as_str() {
        "delimited" => {
            let delimiter = top.one_of("delimiter", &[(";", b';'), (",", b','), (":", b':'), ("tab", b'\t')])?;
            let has_header =
                top.flag("header")?.ok_or(TemplateProblem { at: "header", fault: TemplateFault::Missing })?;
            let cells = top.number("cells", CELLS_MAX)?;
            match (has_header, cells) {
                (true, Some(_)) => problem("cells", TemplateFault::UnknownKey),
                (false, None) => problem("cells", TemplateFault::Missing),
                (true, None) | (false, Some(_)) => Ok(Layout::Delimited { delimiter, has_header, cells }),
            }
        }
        "fixed" => Ok(Layout::Fixed {
            has_header: top.flag("header")?.ok_or(TemplateProblem { at: "header", fault: TemplateFault::Missing })?,
            width: top.number("width", WIDTH_MAX)?,
        }),
        "json" => {
            let most = usize::try_from(JSON_ROWS_MAX).unwrap_or(usize::MAX);
            let rows_max = top
                .number("rows_max", most)?
                .ok_or(TemplateProblem { at: "rows_max", fault: TemplateFault::Missing })?;
            Ok(Layout::Json { rows: top.needed("rows")?, rows_max: u64::try_from(rows_max).unwrap_or(JSON_ROWS_MAX) })
        }
        _ => problem("format", TemplateFault::BadValue),
    }
}

fn columns(top: &mut Section, layout: &Layout) -> Result<BTreeMap<Field, Place>, TemplateProblem> {
    let mut section =
        top.section("columns")?.ok_or(TemplateProblem { at: "columns", fault: TemplateFault::Missing })?;
    let mut columns = BTreeMap::new();
    for field in Field::ALL {
        if let Some(value) = section.table.remove(field.name()) {
            let found =
                place(&value, layout).ok_or(TemplateProblem { at: field.name(), fault: TemplateFault::BadValue })?;
            // One column for two fields: one of them is a mistake.
            if columns.values().any(|other| *other == found) {
                return problem(field.name(), TemplateFault::BadValue);
            }
            columns.insert(*field, found);
        }
    }
    section.end()?;
    Ok(columns)
}

fn place(value: &Value, layout: &Layout) -> Option<Place> {
    let name = || value.as_str().filter(|name| !name.is_empty() && is_plain(name, TEMPLATE_TEXT_BYTES_MAX));
    match layout {
        Layout::Delimited { has_header: true, .. } => name().map(|name| Place::Named(name.to_owned())),
        Layout::Delimited { cells, .. } => {
            let number = usize::try_from(value.as_integer()?).ok()?;
            let at = number.checked_sub(1)?;
            (number <= (*cells)?).then_some(Place::Cell(at))
        }
        Layout::Fixed { width, .. } => {
            let [from, length] = value.as_array()?.as_slice() else { return None };
            let (from, length) =
                (usize::try_from(from.as_integer()?).ok()?, usize::try_from(length.as_integer()?).ok()?);
            let from = from.checked_sub(1)?;
            let fits = length > 0 && from.checked_add(length)? <= width.unwrap_or(WIDTH_MAX);
            fits.then_some(Place::Span { from, length })
        }
        Layout::Json { .. } => {
            let steps: Vec<String> = name()?.split('.').map(str::to_owned).collect();
            let fits = steps.len() <= PATH_STEPS_MAX && steps.iter().all(|step| !step.is_empty());
            fits.then_some(Place::Path(steps))
        }
    }
}

fn dates(top: &mut Section) -> Result<Option<DateForm>, TemplateProblem> {
    let zone = top.text("zone")?;
    let last_day = top.flag("last_day_included")?;
    let Some(pattern) = top.text("date")? else {
        return match (zone, last_day) {
            (None, None) => Ok(None),
            (Some(_), _) | (None, Some(_)) => problem("date", TemplateFault::Missing),
        };
    };
    if pattern == "rfc3339" {
        return match (zone, last_day) {
            (None, None) => Ok(Some(DateForm::Rfc3339)),
            (Some(_), _) => problem("zone", TemplateFault::UnknownKey),
            (None, Some(_)) => problem("last_day_included", TemplateFault::UnknownKey),
        };
    }
    let has_clock =
        pattern_has_clock(&pattern).ok_or(TemplateProblem { at: "date", fault: TemplateFault::BadValue })?;
    let zone = zone.ok_or(TemplateProblem { at: "zone", fault: TemplateFault::Missing })?;
    let Ok(zone) = TimeZone::get(&zone) else { return problem("zone", TemplateFault::BadValue) };
    let last_day_included = match (has_clock, last_day) {
        (true, None) => false,
        (false, Some(included)) => included,
        (true, Some(_)) => return problem("last_day_included", TemplateFault::UnknownKey),
        (false, None) => return problem("last_day_included", TemplateFault::Missing),
    };
    Ok(Some(DateForm::Local { pattern, zone, has_clock, last_day_included }))
}

/// Codes beside the table: `MM = "unknown"` where a source writes that it does not know the state.
fn named_states(top: &mut Section) -> Result<BTreeMap<String, Option<Jurisdiction>>, TemplateProblem> {
    top.map("named_states", |code| match code {
        "unknown" => Some(None),
        code => named(code, TwoLetters::Country).filter(|named| named.code() == code).map(Some),
    })
}

/// Codes and their classes. `unknown` is no class: what is not known is not in the map.
fn classes(top: &mut Section) -> Result<BTreeMap<String, ListClass>, TemplateProblem> {
    let classes = top.map("classes", |name| ListClass::from_name(name).filter(|class| *class != ListClass::Unknown))?;
    let fits = classes.keys().all(|code| !code.is_empty() && is_plain(code, CODE_BYTES_MAX) && code.trim() == code);
    if fits { Ok(classes) } else { problem("classes", TemplateFault::BadValue) }
}

fn life(top: &mut Section) -> Result<Option<u64>, TemplateProblem> {
    let hours_max = usize::try_from(EXTRACT_LIFE_SECONDS_MAX / 3_600).unwrap_or(usize::MAX);
    let hours = top.number("life_hours", hours_max)?;
    Ok(hours.and_then(|hours| u64::try_from(hours).ok()).map(|hours| hours.saturating_mul(3_600)))
}

/// A table whose keys are taken out one by one; what is left is a key that nobody knows.
struct Section {
    name: &'static str,
    table: Table,
}

impl Section {
    fn text(&mut self, key: &'static str) -> Result<Option<String>, TemplateProblem> {
        match self.table.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && is_plain(&text, TEMPLATE_TEXT_BYTES_MAX) => Ok(Some(text)),
            Some(
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_)
                | Value::Table(_),
            ) => problem(key, TemplateFault::BadValue),
        }
    }

    fn needed(&mut self, key: &'static str) -> Result<String, TemplateProblem> {
        self.text(key)?.ok_or(TemplateProblem { at: key, fault: TemplateFault::Missing })
    }

    fn one_of<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Result<T, TemplateProblem> {
        let said = self.needed(key)?;
        let found = words.iter().find(|(word, _)| *word == said).map(|(_, meaning)| *meaning);
        found.ok_or(TemplateProblem { at: key, fault: TemplateFault::BadValue })
    }

    fn flag(&mut self, key: &'static str) -> Result<Option<bool>, TemplateProblem> {
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or(TemplateProblem { at: key, fault: TemplateFault::BadValue })
    }

    /// A whole number from 1 to `most`.
    fn number(&mut self, key: &'static str, most: usize) -> Result<Option<usize>, TemplateProblem> {
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        let number = value.as_integer().and_then(|number| usize::try_from(number).ok());
        let fits = number.filter(|number| (1..=most).contains(number));
        fits.map(Some).ok_or(TemplateProblem { at: key, fault: TemplateFault::BadValue })
    }

    fn section(&mut self, key: &'static str) -> Result<Option<Self>, TemplateProblem> {
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        let Value::Table(table) = value else { return problem(key, TemplateFault::BadValue) };
        Ok(Some(Self { name: key, table }))
    }

    /// A table of free keys, each with a word of a list.
    fn map<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<BTreeMap<String, T>, TemplateProblem> {
        let Some(section) = self.section(key)? else { return Ok(BTreeMap::new()) };
        if section.table.len() > TEMPLATE_MAP_ROWS_MAX {
            return problem(key, TemplateFault::TooLarge);
        }
        let mut map = BTreeMap::new();
        for (word, value) in section.table {
            let meaning = value.as_str().filter(|value| value.len() <= WORD_BYTES_MAX).and_then(&read);
            let meaning = meaning.ok_or(TemplateProblem { at: key, fault: TemplateFault::BadValue })?;
            map.insert(word, meaning);
        }
        Ok(map)
    }

    fn end(self) -> Result<(), TemplateProblem> {
        if self.table.is_empty() { Ok(()) } else { problem(self.name, TemplateFault::UnknownKey) }
    }
}

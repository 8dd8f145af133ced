//! Lockplate's own format (`intake.md` 8.1): NDJSON or CSV, pushed live or imported from a file, line by line in bounded
//! memory. A bad line never harms a good one. All other engines can be bridged to it.

use std::borrow::Cow;

use lockplate_core::read::{Motion, Vehicle};
use serde_json::{Map, Value};

use crate::confidence::confidence;
use crate::crop::crop;
use crate::json::{self, Cursor};
use crate::jurisdiction::named;
use crate::limits::{BODY_BYTES_MAX, COLUMNS_MAX, ID_BYTES_MAX, LINE_BYTES_MAX};
use crate::lines::{Line, Lines};
use crate::source::{AnswerRule, Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig, Stage};
use crate::time::{SourceTime, from_number, from_text};
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};

/// The own format, sent by a client that follows HTTP.
pub(crate) const PROFILE: Profile = Profile { answer: AnswerRule::HTTP, ..Profile::plain("own", &Own) };

/// Names of the fields a file may call differently. The other names of the format are fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMap {
    /// Plate text. A dot leads into an object.
    pub plate: String,
    /// Camera key.
    pub camera: String,
    /// Capture time.
    pub captured_at: String,
    /// Engine's id.
    pub id: String,
    /// Confidence, 0..1; of a list, one a character, the lowest. A dot leads into an object.
    pub conf: String,
    /// Jurisdiction.
    pub jurisdiction: String,
    /// Put before the jurisdiction's text: `US-` where a file says `CT`.
    pub jurisdiction_prefix: String,
}

impl FieldMap {
    /// The names of the format itself.
    #[must_use]
    pub fn own() -> Self {
        Self {
            plate: "plate".into(),
            camera: "camera".into(),
            captured_at: "captured_at".into(),
            id: "id".into(),
            conf: "conf".into(),
            jurisdiction: "jurisdiction".into(),
            jurisdiction_prefix: String::new(),
        }
    }

    /// Preset `traffic`: `plate, state, time, camera, confidence` with bare US states; `lat` and `lon` are not taken over.
    #[must_use]
    pub fn traffic() -> Self {
        Self {
            captured_at: "time".into(),
            conf: "confidence".into(),
            jurisdiction: "state".into(),
            jurisdiction_prefix: "US-".into(),
            ..Self::own()
        }
    }

    /// Preset `fast-alpr`: its results as lines, with `camera` and `captured_at` added. Its region is not taken over: it is the
    /// name of a country in full, and Georgia is one.
    #[must_use]
    pub fn fast_alpr() -> Self {
        Self { plate: "ocr.text".into(), conf: "ocr.confidence".into(), ..Self::own() }
    }

    /// A preset by its name in the configuration: `own`, `traffic`, `fast-alpr`.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "own" => Some(Self::own()),
            "traffic" => Some(Self::traffic()),
            "fast-alpr" => Some(Self::fast_alpr()),
            _ => None,
        }
    }

    fn knows(&self, key: &str) -> bool {
        const FIXED: &[&str] = &[
            "jurisdiction_conf",
            "vehicle",
            "vehicle_class",
            "vehicle_make",
            "vehicle_colour",
            "motion",
            "crop",
            "track",
            "final",
        ];
        let mapped = [&self.plate, &self.camera, &self.captured_at, &self.id, &self.conf, &self.jurisdiction];
        FIXED.contains(&key) || mapped.iter().any(|name| *name == key || name.split('.').next() == Some(key))
    }
}

/// Form of an own stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header row.
    Csv {
        /// The text is windows-1252; only if declared.
        latin: bool,
    },
}

impl Form {
    /// From a content type: `application/x-ndjson`, `application/json` (one object), `text/csv`.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let lower = content_type.to_ascii_lowercase();
        let (kind, parameters) = lower.split_once(';').unwrap_or((&lower, ""));
        let charset = parameters.split(';').find_map(|p| p.trim().strip_prefix("charset=")).unwrap_or("utf-8");
        match (kind.trim(), charset.trim_matches('"')) {
            ("application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json", "utf-8") => {
                Some(Self::Ndjson)
            }
            ("text/csv", "utf-8") => Some(Self::Csv { latin: false }),
            ("text/csv", "windows-1252" | "iso-8859-1") => Some(Self::Csv { latin: true }),
            _ => None,
        }
    }
}

/// Own format as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Own;

impl Source for Own {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        let Some(form) = Form::of_content_type(payload.content_type) else {
            return Parsed::refused(Problem::whole(Slug::UnsupportedType));
        };
        if payload.body.len() > BODY_BYTES_MAX {
            return Parsed::refused(Problem::whole(Slug::TooLarge));
        }
        let mut stream = OwnStream::new(config, form);
        stream.push(payload.body);
        stream.finish()
    }
}

/// An own stream, push by push. `lockplate import` calls [`OwnStream::take`] after each chunk.
#[derive(Debug)]
pub struct OwnStream<'c> {
    lines: Lines,
    rows: Rows<'c>,
}

#[derive(Debug)]
struct Rows<'c> {
    config: &'c SourceConfig,
    form: Form,
    header: Option<Vec<String>>,
    first: bool,
    dead: bool,
    parsed: Parsed,
}

impl<'c> OwnStream<'c> {
    /// An empty stream.
    #[must_use]
    pub fn new(config: &'c SourceConfig, form: Form) -> Self {
        let lines = match form {
            Form::Ndjson => Lines::plain(),
            Form::Csv { .. } => Lines::csv(),
        };
        let rows = Rows { config, form, header: None, first: true, dead: false, parsed: Parsed::default() };
        Self { lines, rows }
    }

    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let rows = &mut self.rows;
        self.lines.push(bytes, |at, line| rows.line(at, line));
    }

    /// What the lines complete so far said, and clears it.
    pub fn take(&mut self) -> Parsed {
        core::mem::take(&mut self.rows.parsed)
    }

    /// The rest, with a last line that has no line break.
    #[must_use]
    pub fn finish(self) -> Parsed {
        let mut rows = self.rows;
        self.lines.finish(|at, line| rows.line(at, line));
        rows.parsed
    }
}

impl Rows<'_> {
    fn line(&mut self, at: u64, line: Line<'_>) {
        let first = core::mem::replace(&mut self.first, false);
        if self.dead {
            return;
        }
        let Line::Whole(bytes) = line else {
            self.dead = self.needs_header();
            return self.parsed.refuse(Problem::whole(Slug::TooLarge).on_line(at));
        };
        if first && (bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])) {
            // UTF-16: every further line would be refused too.
            self.dead = true;
            return self.parsed.refuse(Problem::whole(Slug::UnsupportedType));
        }
        let bytes = if first { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        if self.needs_header() {
            match csv_row(bytes, self.form).filter(|names| names.len() <= COLUMNS_MAX) {
                Some(names) => self.header = Some(names.iter().map(|name| name.trim().to_owned()).collect()),
                None => {
                    self.dead = true;
                    self.parsed.refuse(Problem::whole(Slug::Malformed).on_line(at));
                }
            }
            return;
        }
        match self.row(at, bytes) {
            Ok(None) => {}
            Ok(Some(observation)) => self.parsed.observations.push(observation),
            Err(problem) => self.parsed.refuse(problem.on_line(at)),
        }
    }

    fn needs_header(&self) -> bool {
        matches!(self.form, Form::Csv { .. }) && self.header.is_none()
    }

    fn row(&mut self, at: u64, bytes: &[u8]) -> Result<Option<Observation>, Problem> {
        let value = match &self.header {
            None => json::parse(bytes)?,
            Some(header) => {
                let cells = csv_row(bytes, self.form).ok_or(Problem::whole(Slug::Malformed))?;
                if cells.len() != header.len() {
                    return Err(Problem::whole(Slug::Malformed));
                }
                let pairs = header.iter().cloned().zip(cells.into_iter().map(Value::String));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        };
        let root = Cursor::root(&value);
        if bytes.len() > LINE_BYTES_MAX && root.image("crop").is_none() {
            return Err(Problem::whole(Slug::TooLarge));
        }
        let found = observation(&root, self.config, &mut self.parsed)?;
        Ok(found.map(|o| Observation { line: Some(at), ..o }))
    }
}

/// Cells of one CSV record; `None` if it is not one, not text, or has NUL in it.
pub(crate) fn csv_row(bytes: &[u8], form: Form) -> Option<Vec<String>> {
    let text: Cow<'_, str> = match form {
        Form::Csv { latin: true } => Cow::Owned(bytes.iter().map(|b| windows_1252(*b)).collect()),
        Form::Ndjson | Form::Csv { latin: false } => Cow::Borrowed(core::str::from_utf8(bytes).ok()?),
    };
    if text.contains('\0') {
        return None;
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(text.len().saturating_add(1))
        .from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    let found = reader.read_record(&mut record).ok()?;
    found.then(|| record.iter().map(str::to_owned).collect())
}

/// windows-1252 (WHATWG Encoding): 0x80..0x9f differ from Latin-1.
pub(crate) fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    byte.checked_sub(0x80).and_then(|at| HIGH.get(usize::from(at)).copied()).unwrap_or(char::from(byte))
}

fn observation(root: &Cursor<'_>, config: &SourceConfig, parsed: &mut Parsed) -> Result<Option<Observation>, Problem> {
    if !root.is_object() {
        return Err(Problem::whole(Slug::Malformed));
    }
    let map = &config.fields;
    let ignored = &mut parsed.ignored;
    let unknown = root.keys().filter(|key| !map.knows(key)).count();
    ignored.unknown_fields = ignored.unknown_fields.saturating_add(u64::try_from(unknown).unwrap_or(u64::MAX));
    let raw = match place(root, &map.plate) {
        Some((place, key)) => place.plate(key)?,
        // A plate was found and nothing read of it: `"ocr": null`.
        None if map.plate.split('.').next().is_some_and(|outer| root.has(outer)) => None,
        None => return Err(Problem::at(Slug::MissingField, &root.pointer_to(&map.plate.replace('.', "/")))),
    };
    let camera = root.required_text(&map.camera, ID_BYTES_MAX)?;
    let time = required_time(root, &map.captured_at)?;
    let Some(plate) = parsed.readable(config, &camera, raw.as_deref()) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let bounded = |key: &str| match root.get(key) {
        None => Ok(None),
        Some(_) if root.text(key).is_none() => Ok(None),
        Some(_) => root.required_text(key, ID_BYTES_MAX).map(|text| Some(text.into_owned())),
    };
    let track = bounded("track")?;
    // Absent, null or an empty cell: the default, true.
    let refining = root.get("final").is_some_and(|v| v.is_bool() || v.as_text().is_some()) && !root.flag("final");
    if refining && track.is_none() {
        return Err(Problem::at(Slug::MissingField, &root.pointer_to("track")));
    }
    let mut out = Observation::new(camera.into_owned(), time, plate);
    out.engine_id = bounded(&map.id)?.or_else(|| track.clone());
    out.track = track;
    out.stage = if refining { Stage::Refining } else { Stage::Final };
    let conf = place(root, &map.conf).and_then(|(place, key)| lowest(&place.get(key)?));
    out.conf = confidence(conf, 1.0, ignored);
    out.jurisdiction = root
        .text(&map.jurisdiction)
        .and_then(|text| named(&format!("{}{text}", map.jurisdiction_prefix), config.two_letters));
    out.jur_conf = confidence(root.number("jurisdiction_conf"), 1.0, ignored);
    out.vehicle = vehicle(root);
    out.motion = match root.text("motion").as_deref() {
        Some("approaching" | "1") => Motion::Approaching,
        Some("receding" | "2") => Motion::Receding,
        _ => Motion::Unknown,
    };
    out.crop = crop(root.image("crop"), ignored);
    Ok(Some(out))
}

/// Where a mapped field lies and its key there; `None` if an object on the way is absent or null.
fn place<'a, 'n>(root: &Cursor<'a>, name: &'n str) -> Option<(Cursor<'a>, &'n str)> {
    match name.split_once('.') {
        Some((outer, inner)) if !root.has(name) => place(&root.get(outer)?, inner),
        Some(_) | None => Some((root.clone(), name)),
    }
}

/// A number, or the lowest of a list of them.
fn lowest(value: &Cursor<'_>) -> Option<f64> {
    if value.is_array() {
        value.items().map(|one| one.as_number()).reduce(|a, b| Some(a?.min(b?))).flatten()
    } else {
        value.as_number()
    }
}

fn required_time(root: &Cursor<'_>, key: &str) -> Result<SourceTime, Problem> {
    let text = root.required_text(key, 64)?;
    // No zone: local time is refused in this format.
    match text.parse::<f64>() {
        Ok(number) => from_number(number).ok_or_else(|| Problem::at(Slug::OutOfRange, &root.pointer_to(key))),
        Err(_no_number) => from_text(&text, None).ok_or_else(|| Problem::at(Slug::OutOfRange, &root.pointer_to(key))),
    }
}

fn vehicle(root: &Cursor<'_>) -> Vehicle {
    let nested = root.get("vehicle");
    let word = |inner: &str, flat: &str| nested.as_ref().and_then(|v| v.text(inner)).or_else(|| root.text(flat));
    Vehicle {
        class: coded(CLASSES, word("class", "vehicle_class").as_deref(), None),
        make: coded(MAKES, word("make", "vehicle_make").as_deref(), None),
        colour: coded(COLOURS, word("colour", "vehicle_colour").as_deref(), None),
    }
}

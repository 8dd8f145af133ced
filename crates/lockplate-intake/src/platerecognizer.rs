//! Plate Recognizer (`intake.md` 8.3): Stream webhooks of both types, Snapshot results, the cloud hook. Multipart, JSON or
//! urlencoded; and Stream's CSV files, of whose cells those with Python in them are not read. Dwell, clip and heartbeat events are
//! counted, driver and context data never looked at.

use std::borrow::Cow;

use crate::confidence::confidence;
use crate::json::{self, Cursor};
use crate::jurisdiction::named;
use crate::limits::{BODY_BYTES_MAX, COLUMNS_MAX, ID_BYTES_MAX, PARTS_MAX};
use crate::lines::{Line, Lines};
use crate::own::{Form, csv_row};
use crate::source::{Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig};
use crate::time::{SourceTime, Zone, from_text};
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};

/// Its cloud hook is removed after repeated errors.
pub(crate) const PROFILE: Profile =
    Profile { local_times: true, ..Profile::plain("platerecognizer", &PlateRecognizer) };

/// Plate Recognizer as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct PlateRecognizer;

impl Source for PlateRecognizer {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        if let Some(form @ Form::Csv { .. }) = Form::of_content_type(payload.content_type) {
            return stream_csv(payload, form, config);
        }
        let text = match json_text(payload) {
            Ok(text) => text,
            Err(problem) => return Parsed::refused(problem),
        };
        let value = match json::parse(&text) {
            Ok(value) => value,
            Err(problem) => return Parsed::refused(problem),
        };
        let root = Cursor::root(&value);
        let mut parsed = Parsed::default();
        if root.is_array() {
            for inner in root.items() {
                event(&inner, payload.camera_header, config, &mut parsed);
            }
        } else {
            event(&root, payload.camera_header, config, &mut parsed);
        }
        parsed
    }
}

/// The JSON of a payload: the part `json` (a field or a file), the body, or the urlencoded field `json`.
fn json_text<'a>(payload: &Payload<'a>) -> Result<Cow<'a, [u8]>, Problem> {
    if payload.parts.len() > PARTS_MAX || payload.body.len() > BODY_BYTES_MAX {
        return Err(Problem::whole(Slug::TooLarge));
    }
    if !payload.parts.is_empty() {
        let part = payload.parts.iter().find(|part| part.name == "json");
        return part.map(|part| Cow::Borrowed(part.body)).ok_or_else(|| Problem::at(Slug::MissingField, "/json"));
    }
    let kind = payload.content_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return form_field(payload.body, b"json")
            .map(Cow::Owned)
            .ok_or_else(|| Problem::at(Slug::MissingField, "/json"));
    }
    if kind.eq_ignore_ascii_case("application/json") || kind.is_empty() {
        return Ok(Cow::Borrowed(payload.body));
    }
    Err(Problem::whole(Slug::UnsupportedType))
}

/// A field of an urlencoded form, decoded; a broken escape stays as it is.
fn form_field(body: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let field = body.split(|b| *b == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))?;
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, beyond @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high.wrapping_shl(4) | low);
                    rest = beyond;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(byte),
        }
    }
    Some(out)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn event(root: &Cursor<'_>, camera_header: Option<&str>, config: &SourceConfig, parsed: &mut Parsed) {
    if !root.is_object() {
        return parsed.refuse(Problem::at(Slug::Malformed, root.pointer()));
    }
    let hook = root.get("hook");
    let name = hook.as_ref().and_then(|hook| hook.text("event"));
    let is_recognition = match name.as_deref() {
        None => true,
        Some(name) => matches!(name, "recognition" | "image.done"),
    };
    // Snapshot has its results at the top, webhooks under `data`.
    let data = root.get("data").filter(Cursor::is_object).unwrap_or_else(|| root.clone());
    let results = data.list("results");
    let has_list = data.get("results").is_some_and(|results| results.is_array());
    if is_recognition && !root.has("hook") && !root.has("data") && !has_list {
        return parsed.refuse(Problem::at(Slug::MissingField, &data.pointer_to("results")));
    }
    let camera = camera_key(&data, hook.as_ref(), camera_header);
    if !is_recognition || results.is_empty() {
        parsed.other_event();
        camera.iter().for_each(|camera| parsed.hear(camera));
        return;
    }
    let head = camera.and_then(|camera| Ok((captured_at(&data, config.zone_of(&camera))?, camera)));
    let (time, camera) = match head {
        Ok(head) => head,
        Err(problem) => return parsed.refuse(problem),
    };
    let filename = data.text("filename").or_else(|| hook.as_ref().and_then(|hook| hook.text("filename")));
    for (index, result) in results.iter().enumerate() {
        let mut found = observation(result, &camera, time, config, parsed);
        if let (Ok(Some(found)), Some(filename)) = (&mut found, &filename) {
            found.engine_id = Some(engine_id(&camera, filename, index));
        }
        parsed.observe(found);
    }
}

fn observation(
    result: &Cursor<'_>,
    camera: &str,
    time: SourceTime,
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    if !result.has("plate") {
        return Err(Problem::at(Slug::MissingField, &result.pointer_to("plate")));
    }
    // Type 2 says `{props: {plate: [{value, score}], region: [..]}}`, or null for a vehicle without a plate.
    let nested = result.get("plate").filter(Cursor::is_object);
    let (raw, score, region, region_score) = match &nested {
        Some(object) => {
            let first = |key: &str| object.get("props").and_then(|props| props.list(key).into_iter().next());
            let (plate, region) = (first("plate"), first("region"));
            (
                plate.as_ref().and_then(|p| p.text("value")),
                plate.as_ref().and_then(|p| p.number("score")),
                region.as_ref().and_then(|r| r.text("value")),
                region.as_ref().and_then(|r| r.number("score")),
            )
        }
        None => {
            let region = result.get("region");
            (
                result.plate("plate")?,
                result.number("score"),
                region.as_ref().and_then(|r| r.text("code")),
                region.as_ref().and_then(|r| r.number("score")),
            )
        }
    };
    let Some(plate) = parsed.readable(config, camera, raw.as_deref()) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let mut out = Observation::new(camera.to_owned(), time, plate);
    out.conf = confidence(score, 1.0, ignored);
    out.jurisdiction = region.and_then(|code| named(&code, config.two_letters));
    if out.jurisdiction.is_some() {
        out.jur_conf = confidence(region_score, 1.0, ignored);
    }
    if let Some(vehicle) = result.get("vehicle") {
        let class_conf = confidence(vehicle.number("score"), 1.0, ignored);
        out.vehicle.class = coded(CLASSES, vehicle.text("type").as_deref(), class_conf);
    }
    let first = |key: &str| result.list(key).into_iter().next();
    if let Some(make) = first("model_make") {
        let conf = confidence(make.number("score"), 1.0, ignored);
        out.vehicle.make = coded(MAKES, make.text("make").as_deref(), conf);
    }
    if let Some(colour) = first("color") {
        let conf = confidence(colour.number("score"), 1.0, ignored);
        out.vehicle.colour = coded(COLOURS, colour.text("color").as_deref(), conf);
    }
    Ok(Some(out))
}

/// A CSV file of Stream, or a part of it with the header. A file of a set-up that looks for vehicles first has no column `score`, and
/// Python where the plate should stand: it is refused.
fn stream_csv(payload: &Payload<'_>, form: Form, config: &SourceConfig) -> Parsed {
    if payload.body.len() > BODY_BYTES_MAX {
        return Parsed::refused(Problem::whole(Slug::TooLarge));
    }
    let mut rows = CsvRows {
        config,
        camera_header: payload.camera_header,
        header: None,
        picture: None,
        parsed: Parsed { is_file: true, ..Parsed::default() },
    };
    let mut take = |at: u64, line: Line<'_>| {
        if let Err(problem) = rows.line(line, form) {
            rows.parsed.refuse(problem.on_line(at));
        }
    };
    let body = payload.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload.body);
    let mut lines = Lines::csv();
    lines.push(body, &mut take);
    lines.finish(&mut take);
    rows.parsed
}

struct CsvRows<'c> {
    config: &'c SourceConfig,
    camera_header: Option<&'c str>,
    /// Empty where it is none: then nothing is read.
    header: Option<Vec<String>>,
    /// Of the row before, with how many rows are of it, less one.
    picture: Option<(String, usize)>,
    parsed: Parsed,
}

impl CsvRows<'_> {
    fn line(&mut self, line: Line<'_>, form: Form) -> Result<(), Problem> {
        let cells = match line {
            Line::Whole(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => return Ok(()),
            Line::Whole(bytes) => csv_row(bytes, form).ok_or(Problem::whole(Slug::Malformed)),
            Line::TooLong => Err(Problem::whole(Slug::TooLarge)),
        };
        let Some(header) = &self.header else {
            let names = cells.and_then(|names| is_header(&names).map(|()| names));
            self.header = Some(names.as_ref().map_or_else(|_no_header| Vec::new(), Clone::clone));
            return names.map(drop);
        };
        if header.is_empty() {
            return Ok(());
        }
        let cells = cells?;
        if cells.len() != header.len() {
            return Err(Problem::whole(Slug::Malformed));
        }
        let cell = |name: &str| {
            let at = header.iter().position(|known| known == name)?;
            cells.get(at).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
        };
        let picture = cell("file").map(|file| file.trim_start_matches('/'));
        let camera = [cell("camera_id"), picture.and_then(camera_of_picture), self.camera_header]
            .into_iter()
            .flatten()
            .find(|camera| (1..=ID_BYTES_MAX).contains(&camera.len()))
            .or(self.config.camera.as_deref());
        let camera = camera.ok_or_else(|| Problem::at(Slug::MissingField, "/camera_id"))?;
        let stamp = cell("timestamp").ok_or_else(|| Problem::at(Slug::MissingField, "/timestamp"))?;
        let time =
            from_text(stamp, self.config.zone_of(camera)).ok_or_else(|| Problem::at(Slug::OutOfRange, "/timestamp"))?;
        let raw = cell("plate");
        if raw.is_some_and(|raw| raw.starts_with(['{', '['])) {
            return Err(Problem::at(Slug::OutOfRange, "/plate"));
        }
        let index = match (&mut self.picture, picture) {
            (Some((same, count)), Some(picture)) if same == picture => {
                *count = count.saturating_add(1);
                *count
            }
            (_, picture) => {
                self.picture = picture.map(|picture| (picture.to_owned(), 0));
                0
            }
        };
        let Some(plate) = self.parsed.readable(self.config, camera, raw) else { return Ok(()) };
        let mut out = Observation::new(camera.to_owned(), time, plate);
        // A file that is sent again has the same rows.
        let of_picture = picture.map(|picture| engine_id(camera, picture, index));
        let of_row = || format!("{camera} {} {}", time.ms, out.plate.expose_text());
        out.engine_id = Some(of_picture.filter(|id| id.len() <= 4 * ID_BYTES_MAX).unwrap_or_else(of_row));
        out.conf = confidence(cell("score").and_then(|score| score.parse().ok()), 1.0, &mut self.parsed.ignored);
        self.parsed.observations.push(out);
        Ok(())
    }
}

fn is_header(names: &[String]) -> Result<(), Problem> {
    if names.len() > COLUMNS_MAX {
        return Err(Problem::whole(Slug::Malformed));
    }
    for (name, pointer) in [("timestamp", "/timestamp"), ("plate", "/plate"), ("score", "/score")] {
        if !names.iter().any(|known| known == name) {
            return Err(Problem::at(Slug::MissingField, pointer));
        }
    }
    Ok(())
}

/// Stream keeps the pictures of a camera in `CAMERA_screenshots/`.
fn camera_of_picture(picture: &str) -> Option<&str> {
    let (folder, _) = picture.split_once('/')?;
    folder.strip_suffix("_screenshots")
}

/// The engine has no id of its own.
fn engine_id(camera: &str, picture: &str, index: usize) -> String {
    format!("{camera}\u{1f}{picture}\u{1f}{index}")
}

fn camera_key(data: &Cursor<'_>, hook: Option<&Cursor<'_>>, header: Option<&str>) -> Result<String, Problem> {
    let short = |text: Cow<'_, str>| (text.len() <= ID_BYTES_MAX).then(|| text.into_owned());
    data.text("camera_id")
        .and_then(short)
        .or_else(|| hook.and_then(|hook| hook.text("id")).and_then(short))
        .or_else(|| header.filter(|h| !h.is_empty()).map(Cow::Borrowed).and_then(short))
        .ok_or_else(|| Problem::at(Slug::MissingField, &data.pointer_to("camera_id")))
}

/// `timestamp_camera` if it has an offset, else `timestamp`.
fn captured_at(data: &Cursor<'_>, zone: Option<&Zone>) -> Result<SourceTime, Problem> {
    // Without a zone only absolute times are read.
    if let Some(time) = data.text("timestamp_camera").and_then(|text| from_text(&text, None)) {
        return Ok(time);
    }
    let text = data.required_text("timestamp", 64)?;
    from_text(&text, zone).ok_or_else(|| Problem::at(Slug::OutOfRange, &data.pointer_to("timestamp")))
}

//! Plate Recognizer (`intake.md` 8.3): Stream webhooks of both types, Snapshot results, the cloud hook. Multipart, JSON or
//! urlencoded. Dwell, clip and heartbeat events are counted, driver and context data never looked at.

use std::borrow::Cow;

use lockplate_core::plate::Plate;

use crate::confidence::confidence;
use crate::json::{self, Cursor};
use crate::jurisdiction::named;
use crate::limits::{BODY_BYTES_MAX, ID_BYTES_MAX, PARTS_MAX, TEXT_BYTES_MAX};
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
    if !is_recognition || !data.get("results").is_some_and(|results| results.is_array()) {
        if is_recognition && !root.has("hook") && !root.has("data") {
            return parsed.refuse(Problem::at(Slug::MissingField, &data.pointer_to("results")));
        }
        parsed.ignored.other_events = parsed.ignored.other_events.saturating_add(1);
        return;
    }
    let results = data.list("results");
    if results.is_empty() {
        parsed.ignored.other_events = parsed.ignored.other_events.saturating_add(1);
        return;
    }
    let camera = camera_key(&data, hook.as_ref(), camera_header);
    let head = camera.and_then(|camera| Ok((captured_at(&data, config.zone_of(&camera))?, camera)));
    let (time, camera) = match head {
        Ok(head) => head,
        Err(problem) => return parsed.refuse(problem),
    };
    let filename = data.text("filename").or_else(|| hook.as_ref().and_then(|hook| hook.text("filename")));
    for (index, result) in results.iter().enumerate() {
        let mut found = observation(result, &camera, time, config, parsed);
        if let (Ok(Some(found)), Some(filename)) = (&mut found, &filename) {
            // The engine has no id of its own.
            found.engine_id = Some(format!("{camera}\u{1f}{filename}\u{1f}{index}"));
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
    let ignored = &mut parsed.ignored;
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
    let usable = raw.filter(|raw| raw.len() <= TEXT_BYTES_MAX && !config.is_placeholder(raw));
    let Some(plate) = usable.and_then(|raw| Plate::parse(&raw)) else {
        ignored.unreadable = ignored.unreadable.saturating_add(1);
        return Ok(None);
    };
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

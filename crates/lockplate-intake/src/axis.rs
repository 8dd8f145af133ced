//! Axis License Plate Verifier, made by FF (`intake.md` 8.7): events pushed as multipart, held until the car is lost. Lists,
//! positions, addresses of the camera and pictures of more than the plate are never looked at. A camera that is asked answers
//! with its log in XML, each car once; fetching it is the shell's.

use lockplate_core::read::Motion;

use crate::confidence::confidence;
use crate::crop::crop_bytes;
use crate::json::{self, Cursor};
use crate::jurisdiction::named;
use crate::limits::{ID_BYTES_MAX, PARTS_MAX};
use crate::source::{Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig, Stage};
use crate::time::from_text;
use crate::vehicle::{CLASSES, COLOURS, coded};
use crate::xml::{self, Element};

/// `lost` is sent 5 to 10 s after the last frame, and a camera can be set to send nothing else. Whether its
/// `capture_timestamp` is that of the last frame or of the message is unconfirmed: an earlier message with the same text has
/// the better time, and a read of which there is only `lost` is not taken for a wrong clock.
pub(crate) const PROFILE: Profile = Profile { keeps_time: true, delay_ms: 10_000, ..Profile::plain("axis", &Axis) };

const DAY_MS: i64 = 86_400_000;

/// Reads of one log.
const LOG_READS_MAX: usize = 20_000;

/// Digits of a time in ms, Unix time, as `intake.md` section 3 tells units by size: below 1e14.
const MS_DIGITS_MAX: usize = 14;

/// Axis License Plate Verifier as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Axis;

impl Source for Axis {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        if payload.parts.len() > PARTS_MAX {
            return Parsed::refused(Problem::whole(Slug::TooLarge));
        }
        if payload.parts.is_empty() && xml::begins_like_xml(payload.body) {
            return logged(payload.body, config).unwrap_or_else(Parsed::refused);
        }
        let part = |name: &str| payload.parts.iter().find(|part| part.name == name).map(|part| part.body);
        // Without a picture the event may stand alone.
        let event = if payload.parts.is_empty() { Some(payload.body) } else { part("event") };
        let value = event.ok_or_else(|| Problem::at(Slug::MissingField, "/event")).and_then(json::object);
        let mut parsed = Parsed::default();
        let observation =
            value.and_then(|value| observation(&Cursor::root(&value), part("image"), config, &mut parsed));
        parsed.observe(observation);
        parsed
    }
}

/// `search.cgi`: `event` elements under one root, of which only what another program reads of them was seen.
fn logged(body: &[u8], config: &SourceConfig) -> Result<Parsed, Problem> {
    let text = xml::text_of(body)?;
    let root = match xml::parse(&text) {
        Err(problem) if problem.slug == Slug::TooLarge => return Ok(logged_one_by_one(&text, config)),
        root => root?,
    };
    let mut parsed = Parsed::default();
    for event in root.children().filter(|child| child.name() == "event") {
        let observation = logged_event(event, config, &mut parsed);
        parsed.observe(observation);
    }
    if root.children().next().is_none() {
        parsed.other_event();
    }
    Ok(parsed)
}

/// A log of more cars than one document may have: each is a document.
fn logged_one_by_one(text: &str, config: &SourceConfig) -> Parsed {
    let mut parsed = Parsed::default();
    for piece in text.split_inclusive("</event>").filter(|piece| piece.ends_with("</event>")) {
        let Some(event) = piece.rfind("<event").and_then(|at| piece.get(at..)) else { continue };
        match xml::parse(event).and_then(|event| logged_event(&event, config, &mut parsed)) {
            Ok(Some(read)) if parsed.observations.len() < LOG_READS_MAX => parsed.observations.push(read),
            other => parsed.observe(other),
        }
    }
    if parsed.observations.is_empty() && parsed.ignored.unreadable == 0 && parsed.rejected == 0 {
        parsed.refuse(Problem::whole(Slug::TooLarge));
    }
    parsed
}

/// Whether a camera that was asked counts the times of its log in us, else in ms; none where the answer tells no time. It says so also
/// of an answer that cannot be read whole.
#[must_use]
pub fn counts_in_us(answer: &[u8]) -> Option<bool> {
    const STAMP: &[u8] = b"<TS>";
    let at = answer.windows(STAMP.len()).position(|window| window == STAMP)?;
    let stamp = answer.get(at..)?.get(STAMP.len()..)?.trim_ascii_start();
    let digits = stamp.iter().take_while(|byte| byte.is_ascii_digit()).take(MS_DIGITS_MAX.saturating_add(1)).count();
    (digits > 0).then_some(digits > MS_DIGITS_MAX)
}

fn logged_event(
    event: &Element<'_>,
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    let missing = |pointer| Problem::at(Slug::MissingField, pointer);
    let raw = event.get("LPR").ok_or_else(|| missing("/LPR"))?.as_text();
    // In ms or in us, by its size. `MOD_TS` has the same as text that says GMT and means the camera's zone.
    let stamp = event.text("TS").ok_or_else(|| missing("/TS"))?;
    let time = from_text(stamp, None).ok_or_else(|| Problem::at(Slug::OutOfRange, "/TS"))?;
    let camera = config.camera.clone().ok_or(Problem::whole(Slug::UnknownCamera))?;
    let Some(plate) = parsed.readable(config, &camera, raw) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let car = event.text("CAR_ID").or_else(|| event.text("LP_BMP")).unwrap_or_default();
    let id = format!("{stamp}\u{1f}{car}");
    let mut out = Observation::new(camera, time, plate);
    out.engine_id = (id.len() <= ID_BYTES_MAX).then_some(id);
    // The name is that of a threshold; the values seen are confidences.
    out.conf = confidence(event.number("THRESHOLD"), 1.0, ignored);
    out.jurisdiction = event.text("COUNTRY").and_then(|code| named(code, config.two_letters));
    out.motion = match event.text("DIRECTION") {
        Some("2") => Motion::Approaching,
        Some("3") => Motion::Receding,
        _ => Motion::Unknown,
    };
    out.vehicle.class = coded(CLASSES, event.text("CAR_M_TYPE"), None);
    out.vehicle.colour = coded(COLOURS, event.text("CAR_COLOR"), None);
    Ok(Some(out))
}

fn observation(
    root: &Cursor<'_>,
    image: Option<&[u8]>,
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    const PLATE: [&str; 3] = ["plateUTF8", "plateText", "plateASCII"];
    let raw = PLATE.iter().find_map(|key| root.text(key));
    if raw.is_none() && !PLATE.iter().any(|key| root.has(key)) {
        return Err(Problem::at(Slug::MissingField, "/plateUTF8"));
    }
    let time = root.required_time("capture_timestamp", None)?;
    let camera = root.get("camera_info").ok_or_else(|| Problem::at(Slug::MissingField, "/camera_info"))?;
    let serial = camera.required_text("SerialNumber", ID_BYTES_MAX)?.into_owned();
    let Some(plate) = parsed.readable(config, &serial, raw.as_deref()) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let car = root.short("carID");
    let mut out = Observation::new(serial, time, plate);
    // The camera counts anew after a restart; a car that passes at midnight is still one car, held under its number alone.
    let day = time.ms.div_euclid(DAY_MS);
    out.engine_id = car.as_ref().map(|car| format!("{}\u{1f}{day}\u{1f}{car}", out.camera_key));
    out.stage = match root.text("carState").as_deref() {
        Some("new" | "update" | "updated") if car.is_some() => Stage::Refining,
        _ => Stage::Final,
    };
    out.track = car;
    out.conf = confidence(root.number("plateConfidence"), 1.0, ignored);
    out.jurisdiction = root.text("plateCountry").and_then(|code| named(&code, config.two_letters));
    out.motion = match root.text("carMoveDirection").as_deref() {
        Some("in") => Motion::Approaching,
        Some("out") => Motion::Receding,
        _ => Motion::Unknown,
    };
    out.crop = crop_bytes(image.filter(|_| root.text("imageType").as_deref() == Some("plate")), ignored);
    Ok(Some(out))
}

#[cfg(test)]
mod tests;

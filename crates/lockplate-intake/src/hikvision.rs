//! Hikvision cameras that push (`intake.md` 8.5): `EventNotificationAlert` of ISAPI, as a part of a multipart body
//! beside pictures or as the whole body. Other events are counted and show that the camera lives. The picture of the
//! scene, list names, speed and occupants are never looked at. A camera that is asked answers with a list, `Plates`; fetching
//! it is the shell's.

use lockplate_core::read::Motion;

use crate::confidence::confidence;
use crate::crop::crop_bytes;
use crate::jurisdiction::named;
use crate::limits::ID_BYTES_MAX;
use crate::source::{
    AnswerRule, BusyAnswer, Heartbeat, Observation, Parsed, Part, Payload, Problem, Profile, Slug, Source, SourceConfig,
};
use crate::time::{SourceTime, Zone, from_text};
use crate::vehicle::{CLASSES, COLOURS, coded};
use crate::xml::{self, Element};

#[cfg(test)]
mod tests;

const SCALE: f64 = 100.0;

/// Characters of a `UUID` that is one; some firmware writes a letter.
const UUID_CHARS_MIN: usize = 8;

/// A camera of which was seen that it never repeats what was not answered well, and of which a manual says that it
/// does: storing is tried for long, and an id is remembered for long. Ids are UUIDs, so that the latter drops nothing
/// if the manual is wrong.
pub(crate) const PROFILE: Profile = Profile {
    answer: AnswerRule { busy: BusyAnswer::Unavailable { tried_ms: 5_000, retry_after_s: 5 }, ..AnswerRule::ONCE },
    resends: true,
    local_times: true,
    placeholders: &["unknown"],
    ..Profile::plain("hikvision", &Hikvision)
};

/// Hikvision push as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Hikvision;

impl Source for Hikvision {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        let mut parsed = Parsed::default();
        let said = xml::document(payload).and_then(|bytes| match bytes {
            Some(bytes) => event(bytes, payload.parts, config, &mut parsed),
            // A test of the connection.
            None if payload.parts.is_empty() && payload.body.trim_ascii().is_empty() => {
                parsed.ignored.other_events = 1;
                Ok(())
            }
            None => Err(Problem::whole(Slug::Malformed)),
        });
        if let Err(problem) = said {
            parsed.refuse(problem);
        }
        parsed
    }
}

fn event(bytes: &[u8], parts: &[Part<'_>], config: &SourceConfig, parsed: &mut Parsed) -> Result<(), Problem> {
    let text = xml::text_of(bytes)?;
    let root = xml::parse(&text)?;
    if root.name() == "Plates" {
        for plate in root.children().filter(|child| child.name() == "Plate") {
            let observation = listed(plate, config, parsed);
            parsed.observe(observation);
        }
        if parsed.observations.is_empty() {
            parsed.ignored.other_events = parsed.ignored.other_events.saturating_add(1);
        }
        return Ok(());
    }
    let is_alert = root.name() == "EventNotificationAlert";
    if is_alert && root.text("eventType").is_some_and(|kind| kind.eq_ignore_ascii_case("ANPR")) {
        let observation = observation(&root, parts, config, parsed)?;
        parsed.observe(Ok(observation));
    } else {
        parsed.ignored.other_events = parsed.ignored.other_events.saturating_add(1);
    }
    if parsed.observations.is_empty()
        && let Ok(camera) = camera_key(&root)
    {
        parsed.heartbeat = Some(Heartbeat { agent_time: None, cameras: vec![(camera, None)] });
    }
    Ok(())
}

fn observation(
    root: &Element<'_>,
    parts: &[Part<'_>],
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    let missing = |pointer| Problem::at(Slug::MissingField, pointer);
    let anpr = root.get("ANPR").ok_or_else(|| missing("/ANPR/licensePlate"))?;
    let raw = anpr.get("licensePlate").ok_or_else(|| missing("/ANPR/licensePlate"))?.as_text();
    let camera = camera_key(root)?;
    let time = captured_at(root, config.zone_of(&camera))?;
    let Some(plate) = parsed.readable(config, &camera, raw) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let mut out = Observation::new(camera, time, plate);
    out.engine_id = anpr.text("UUID").or_else(|| root.text("UUID")).filter(|id| is_id(id)).map(str::to_owned);
    out.conf = confidence(anpr.number("confidenceLevel"), SCALE, ignored);
    // `country` is a number of a table that is not public, or a word; a number names nothing.
    let words = [anpr.text("countryAbbreviation"), anpr.text("country")];
    out.jurisdiction = words.into_iter().flatten().find_map(|word| named(word, config.two_letters));
    out.motion = motion(anpr.text("direction"));
    out.vehicle.class = coded(CLASSES, anpr.text("vehicleType"), None);
    out.vehicle.colour = coded(COLOURS, anpr.get("vehicleInfo").and_then(|vehicle| vehicle.text("color")), None);
    out.crop =
        parts.iter().find(|part| is_plate_picture(part.name)).and_then(|part| crop_bytes(Some(part.body), ignored));
    Ok(Some(out))
}

/// One read of the list. It does not say which camera it is of.
fn listed(plate: &Element<'_>, config: &SourceConfig, parsed: &mut Parsed) -> Result<Option<Observation>, Problem> {
    let missing = |pointer| Problem::at(Slug::MissingField, pointer);
    let raw = plate.get("plateNumber").ok_or_else(|| missing("/plateNumber"))?.as_text();
    let stamp = plate.text("captureTime").ok_or_else(|| missing("/captureTime"))?;
    // `20240428T1300000000`: whether the last four digits are a fraction or an offset is unconfirmed, and others were seen. The
    // wall clock before them is the same either way.
    let digits: String = stamp.chars().filter(char::is_ascii_digit).take(14).chain("000".chars()).collect();
    let camera = config.camera.clone().ok_or(Problem::whole(Slug::UnknownCamera))?;
    let time = spaced(&digits).and_then(|text| from_text(&text, config.zone_of(&camera)));
    let time = time.ok_or_else(|| Problem::at(Slug::OutOfRange, "/captureTime"))?;
    let Some(read) = parsed.readable(config, &camera, raw) else { return Ok(None) };
    let mut out = Observation::new(camera, time, read);
    let id = format!("{stamp}/{}", plate.text("picName").unwrap_or_default());
    out.engine_id = (id.len() <= ID_BYTES_MAX).then_some(id);
    out.jurisdiction = plate.text("country").and_then(|word| named(word, config.two_letters));
    out.motion = motion(plate.text("direction"));
    Ok(Some(out))
}

fn motion(direction: Option<&str>) -> Motion {
    match direction {
        Some("forward") => Motion::Approaching,
        Some("reverse") => Motion::Receding,
        _ => Motion::Unknown,
    }
}

/// `macAddress`, else `ipAddress`; with `/channelID` where there is one.
fn camera_key(root: &Element<'_>) -> Result<String, Problem> {
    let device = root.text("macAddress").or_else(|| root.text("ipAddress"));
    let device = device.ok_or_else(|| Problem::at(Slug::MissingField, "/macAddress"))?;
    let key = match root.text("channelID") {
        Some(channel) => format!("{device}/{channel}"),
        None => device.to_owned(),
    };
    if key.len() <= ID_BYTES_MAX { Ok(key) } else { Err(Problem::at(Slug::OutOfRange, "/macAddress")) }
}

/// `dateTime`, whose offset may be missing; where it is absent, the local `absTime` of a picture.
fn captured_at(root: &Element<'_>, zone: Option<&Zone>) -> Result<SourceTime, Problem> {
    let (time, pointer) = match (root.text("dateTime"), root.find("absTime").and_then(Element::as_text)) {
        (Some(text), _) => (from_text(text, zone), "/dateTime"),
        (None, Some(digits)) => (spaced(digits).and_then(|text| from_text(&text, zone)), "/absTime"),
        (None, None) => return Err(Problem::at(Slug::MissingField, "/dateTime")),
    };
    time.ok_or_else(|| Problem::at(Slug::OutOfRange, pointer))
}

/// `yyyymmddHHMMSSmmm` as `yyyy-mm-dd HH:MM:SS.mmm`.
fn spaced(digits: &str) -> Option<String> {
    if digits.len() != 17 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let piece = |from: usize, to: usize| digits.get(from..to);
    let (year, month, day) = (piece(0, 4)?, piece(4, 6)?, piece(6, 8)?);
    let (hour, minute, second, ms) = (piece(8, 10)?, piece(10, 12)?, piece(12, 14)?, piece(14, 17)?);
    Some(format!("{year}-{month}-{day} {hour}:{minute}:{second}.{ms}"))
}

/// A `UUID` that tells events apart: not a letter, and not the UUID of nothing.
fn is_id(text: &str) -> bool {
    text.len() <= ID_BYTES_MAX
        && text.chars().count() >= UUID_CHARS_MIN
        && text.bytes().any(|byte| !matches!(byte, b'0' | b'-'))
}

/// The picture of the plate alone; `detectionPicture` shows the scene, with people.
fn is_plate_picture(name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.eq_ignore_ascii_case("licensePlatePicture")
}

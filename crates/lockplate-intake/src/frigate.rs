//! Frigate over MQTT (`intake.md` 8.4): tracked objects (topic `events`) and the plates read of them (topic
//! `tracked_object_update`), held until the object is gone. Names of known plates, sub labels, attributes, zones, paths
//! and speeds are never looked at. The connection to the broker is the shell's.

use std::borrow::Cow;

use lockplate_core::read::TimeQuality;

use crate::confidence::confidence;
use crate::json::{self, Cursor};
use crate::limits::ID_BYTES_MAX;
use crate::source::{Heartbeat, Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig, Stage};
use crate::time::{SourceTime, from_number};
use crate::vehicle::{CLASSES, coded};

/// A message that brings the text again, or says that the object is gone, is no new sighting: the time stays.
pub(crate) const PROFILE: Profile = Profile { keeps_time: true, ..Profile::plain("frigate", &Frigate) };

/// Frigate as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Frigate;

impl Source for Frigate {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        let mut parsed = Parsed::default();
        // The prefix of the topics is configured there. A bridge that posts the messages over HTTP has no topic to give.
        let topic = payload.topic.and_then(|topic| topic.rsplit('/').next());
        let is_elsewhere = topic.is_some_and(|name| !matches!(name, "events" | "tracked_object_update"));
        if payload.retained || is_elsewhere {
            parsed.other_event();
            return parsed;
        }
        match json::object(payload.body) {
            Ok(value) => message(&Cursor::root(&value), config, &mut parsed),
            Err(problem) => parsed.refuse(problem),
        }
        parsed
    }
}

fn message(root: &Cursor<'_>, config: &SourceConfig, parsed: &mut Parsed) {
    let observation = match root.text("type").as_deref() {
        Some("new" | "update") => tracked_object(root, Stage::Refining, config, parsed),
        Some("end") => tracked_object(root, Stage::Ending, config, parsed),
        Some("lpr") => plate_update(root, config, parsed),
        Some(_) => {
            parsed.other_event();
            root.short("camera").iter().for_each(|camera| parsed.hear(camera));
            Ok(None)
        }
        None => Err(Problem::at(Slug::MissingField, "/type")),
    };
    parsed.observe(observation);
}

/// Only `after` is looked at: `before` is the message before this one.
fn tracked_object(
    root: &Cursor<'_>,
    stage: Stage,
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    let object =
        root.get("after").filter(Cursor::is_object).ok_or_else(|| Problem::at(Slug::MissingField, "/after"))?;
    let id = object.required_text("id", ID_BYTES_MAX)?;
    let camera = object.required_text("camera", ID_BYTES_MAX)?;
    // Also without a plate: it is of now, where the time of a read may be that of its object's start.
    if let Some(now) = object.number("frame_time").and_then(from_number) {
        let cameras = vec![(camera.clone().into_owned(), None)];
        parsed.heartbeat = Some(Heartbeat { agent_time: Some(now.ms), cameras });
    }
    let Some((raw, score)) = recognized(&object).filter(|_| !object.flag("false_positive")) else {
        // Most objects never show a plate. That of a known car may have come with `lpr` alone: here is only its name.
        parsed.other_event();
        parsed.hear(&camera);
        parsed.over.extend((stage == Stage::Ending).then(|| id.into_owned()));
        return Ok(None);
    };
    let time = frame_time(&object)?;
    let Some(plate) = parsed.readable(config, &camera, Some(&raw)) else { return Ok(None) };
    let mut out = Observation::new(camera.into_owned(), time, plate);
    out.engine_id = Some(id.into_owned());
    out.conf = confidence(score, 1.0, &mut parsed.ignored);
    // A plate tracked by itself (label `license_plate`) has no class.
    out.vehicle.class = coded(CLASSES, object.text("label").as_deref(), None);
    out.parked = object.flag("stationary");
    out.stage = stage;
    Ok(Some(out))
}

/// A text with its score beside it, or both in an array; in the form of the HTTP interface under `data`.
fn recognized<'a>(object: &Cursor<'a>) -> Option<(Cow<'a, str>, Option<f64>)> {
    [Some(object.clone()), object.get("data")].into_iter().flatten().find_map(|place| {
        let plate = place.get("recognized_license_plate")?;
        let beside = || place.number("recognized_license_plate_score");
        let mut pair = plate.items();
        match pair.next() {
            Some(text) => Some((text.as_text()?, pair.next().and_then(|score| score.as_number()).or_else(beside))),
            None => Some((plate.as_text()?, beside())),
        }
    })
}

/// Of the best picture, else of the last frame, else the start of the object.
fn frame_time(object: &Cursor<'_>) -> Result<SourceTime, Problem> {
    let time = |place: &Cursor<'_>, key: &str| place.number(key).and_then(from_number);
    let frame = object
        .get("snapshot")
        .and_then(|snapshot| time(&snapshot, "frame_time"))
        .or_else(|| time(object, "frame_time"));
    frame
        .or_else(|| time(object, "start_time").map(object_start))
        .ok_or_else(|| Problem::at(Slug::MissingField, &object.pointer_to("frame_time")))
}

/// The plate of an object, as soon as it was read. Its time is that of the object's start, which may be long ago.
fn plate_update(root: &Cursor<'_>, config: &SourceConfig, parsed: &mut Parsed) -> Result<Option<Observation>, Problem> {
    let id = root.required_text("id", ID_BYTES_MAX)?;
    let camera = root.required_text("camera", ID_BYTES_MAX)?;
    let raw = root.plate("plate")?;
    let time = root.required_time("timestamp", None)?;
    let Some(plate) = parsed.readable(config, &camera, raw.as_deref()) else { return Ok(None) };
    let mut out = Observation::new(camera.into_owned(), object_start(time), plate);
    out.engine_id = Some(id.into_owned());
    out.conf = confidence(root.number("score"), 1.0, &mut parsed.ignored);
    out.stage = Stage::Refining;
    Ok(Some(out))
}

const fn object_start(time: SourceTime) -> SourceTime {
    SourceTime { quality: TimeQuality::ObjectStart, ..time }
}

#[cfg(test)]
mod tests;

//! Dahua cameras that push over ITSAPI (`intake.md` 8.6): one JSON object a vehicle. A variant in XML is unconfirmed;
//! one that has the same names is read, one that has not is counted. Lists (`AllowUser`), belts, telephones and the
//! pictures of the scene are never looked at. What the event stream of the same cameras says is read in
//! `dahua_events.rs`.

use lockplate_core::read::Motion;
use serde_json::{Map, Value};

use crate::confidence::confidence;
use crate::crop::crop;
use crate::json::{self, Cursor};
use crate::jurisdiction::named;
use crate::limits::{FLAT_KEY_BYTES_MAX, ID_BYTES_MAX, NESTING_MAX};
use crate::source::{
    AnswerRule, Heartbeat, Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig, SuccessBody,
};
use crate::time::from_text;
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};
use crate::xml;

#[cfg(test)]
mod tests;

const SCALE: f64 = 100.0;

/// What Dahua cameras write where they read nothing; an empty text is no plate anyway.
pub(crate) const PLACEHOLDERS: &[&str] = &["Unknown", "Unknow", "unknow", "<unknown>", "No Plate"];

/// It sends the same for as long as the answer does not say that it was taken; the text `true`, not the value.
pub(crate) const PROFILE: Profile = Profile {
    answer: AnswerRule { success: SuccessBody::Json(r#"{"result":"true"}"#), ..AnswerRule::ONCE },
    resends: true,
    local_times: true,
    placeholders: PLACEHOLDERS,
    ..Profile::plain("dahua", &Dahua)
};

/// Dahua ITSAPI as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Dahua;

impl Source for Dahua {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        match value_of(payload.body) {
            Ok(value) => notification(&Cursor::root(&nested(value)), config),
            Err(problem) => Parsed::refused(problem),
        }
    }
}

fn value_of(body: &[u8]) -> Result<Value, Problem> {
    if !xml::begins_like_xml(body) {
        return json::parse(body);
    }
    let text = xml::text_of(body)?;
    Ok(xml::parse(&text)?.to_value())
}

fn notification(root: &Cursor<'_>, config: &SourceConfig) -> Parsed {
    let mut parsed = Parsed::default();
    if !root.is_object() {
        return Parsed::refused(Problem::whole(Slug::Malformed));
    }
    let picture = root.get("Picture").filter(Cursor::is_object).unwrap_or_else(|| root.clone());
    if root.has("Picture") || picture.has("Plate") {
        let observation = observation(root, &picture, config, &mut parsed);
        parsed.observe(observation);
    } else {
        // `KeepAlive` and `DeviceInfo`.
        parsed.ignored.other_events = 1;
        let camera = root.text("DeviceID").filter(|camera| camera.len() <= ID_BYTES_MAX);
        parsed.heartbeat =
            camera.map(|camera| Heartbeat { agent_time: None, cameras: vec![(camera.into_owned(), None)] });
    }
    parsed
}

fn observation(
    root: &Cursor<'_>,
    picture: &Cursor<'_>,
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    let missing = |pointer: &str| Problem::at(Slug::MissingField, &picture.pointer_to(pointer));
    let said = picture.get("Plate");
    let raw = match &said {
        Some(said) => said.plate("PlateNumber")?,
        None if picture.has("Plate") => None,
        None => return Err(missing("Plate/PlateNumber")),
    };
    let snap = picture.get("SnapInfo").ok_or_else(|| missing("SnapInfo/DeviceID"))?;
    let camera = snap.required_text("DeviceID", ID_BYTES_MAX)?;
    let text = snap.required_text("AccurateTime", 64)?;
    let time = from_text(&text, config.zone_of(&camera))
        .ok_or_else(|| Problem::at(Slug::OutOfRange, &snap.pointer_to("AccurateTime")))?;
    let Some(plate) = parsed.readable(config, &camera, raw.as_deref()) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let part = |key: &str| picture.get(key).or_else(|| root.get(key));
    let mut out = Observation::new(camera.clone().into_owned(), time, plate);
    // The name is unique on its camera, not among cameras.
    let name = part("NormalPic").and_then(|normal| normal.text("PicName")).filter(|name| name.len() <= ID_BYTES_MAX);
    out.engine_id = name.map(|name| format!("{camera}/{name}"));
    if let Some(said) = &said {
        out.conf = confidence(said.number("Confidence"), SCALE, ignored);
        out.jurisdiction = said.text("Region").and_then(|word| named(&word, config.two_letters));
    }
    out.motion = motion(snap.text("Direction").as_deref());
    if let Some(vehicle) = picture.get("Vehicle") {
        out.vehicle.class = coded(CLASSES, vehicle.text("VehicleType").as_deref(), None);
        out.vehicle.colour = coded(COLOURS, vehicle.text("VehicleColor").as_deref(), None);
        out.vehicle.make = coded(MAKES, vehicle.text("VehicleSign").as_deref(), None);
    }
    out.crop = part("CutoutPic").and_then(|cutout| crop(cutout.image("Content"), ignored));
    Ok(Some(out))
}

/// The two words that say how the car moves towards the camera; numbers and `Obverse`, `Reverse` are headings of the
/// road, as far as is known.
pub(crate) fn motion(word: Option<&str>) -> Motion {
    match word {
        Some("Approach") => Motion::Approaching,
        Some("Leave") => Motion::Receding,
        _ => Motion::Unknown,
    }
}

/// An object with its dotted keys (`TrafficCar.PlateNumber`) turned into objects: some firmware writes flat keys into
/// JSON.
pub(crate) fn nested(value: Value) -> Value {
    match value {
        Value::Object(map) if map.keys().any(|key| key.contains('.')) => {
            let mut out = Map::new();
            for (key, inner) in map {
                put(&mut out, &key, inner);
            }
            Value::Object(out)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            value
        }
    }
}

/// Puts `value` where its dotted path says. A path that is too long or too deep, or leads through something that is no
/// object, is dropped.
pub(crate) fn put(tree: &mut Map<String, Value>, path: &str, value: Value) {
    if path.len() > FLAT_KEY_BYTES_MAX || path.split('.').count() > NESTING_MAX {
        return;
    }
    let (parents, last) = path.rsplit_once('.').map_or((None, path), |(parents, last)| (Some(parents), last));
    let mut place = tree;
    for name in parents.into_iter().flat_map(|parents| parents.split('.')) {
        let inner = place.entry(name).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return };
        place = inner;
    }
    place.insert(last.to_owned(), value);
}

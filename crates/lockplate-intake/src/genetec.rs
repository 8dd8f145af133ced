//! Genetec AutoVu (`intake.md` 8.10): one JSON object a read, in one of two forms: that of Security Center's exporter, in UTC
//! and without an id, and that of the HTTP extension of SharpV cameras. Pictures and positions are never looked at.

use lockplate_core::read::Motion;

use crate::confidence::confidence;
use crate::json::{self, Cursor};
use crate::jurisdiction::{TwoLetters, named};
use crate::limits::ID_BYTES_MAX;
use crate::source::{Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig};
use crate::time::{SourceTime, Zone, from_text};
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};

const SCALE: f64 = 100.0;

pub(crate) const PROFILE: Profile =
    Profile { two_letters: TwoLetters::Subdivision, ..Profile::plain("genetec", &Genetec) };

/// Genetec as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Genetec;

impl Source for Genetec {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        json::one_read(payload.body, |root, parsed| match root.has("PlateRead") {
            true => of_sharp(root, config, parsed),
            false => observation(root, config, parsed),
        })
    }
}

fn observation(root: &Cursor<'_>, config: &SourceConfig, parsed: &mut Parsed) -> Result<Option<Observation>, Problem> {
    let raw = root.plate("Plate")?;
    let camera = root.required_text("CameraName", ID_BYTES_MAX)?;
    let time = captured_at(root)?;
    let Some(plate) = parsed.readable(config, &camera, raw.as_deref()) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let mut out = Observation::new(camera.into_owned(), time, plate);
    out.conf = confidence(score(root, "ConfidenceScore"), SCALE, ignored);
    out.jurisdiction = root.text("State").and_then(|state| named(&state, config.two_letters));
    if let Some(attributes) = root.get("Attributes") {
        if out.jurisdiction.is_some() {
            out.jur_conf = confidence(score(&attributes, "State Name Confidence Score"), SCALE, ignored);
        }
        out.vehicle.class = coded(CLASSES, attributes.text("Vehicle Type").as_deref(), None);
        out.vehicle.make = coded(MAKES, attributes.text("Vehicle Make").as_deref(), None);
        out.vehicle.colour = coded(COLOURS, attributes.text("Vehicle Color").as_deref(), None);
        out.motion = motion(attributes.text("Relative Motion").as_deref());
    }
    Ok(Some(out))
}

/// SharpV: what it found out beside the plate stands in a list of `Key`, `Value` and `Score`.
fn of_sharp(root: &Cursor<'_>, config: &SourceConfig, parsed: &mut Parsed) -> Result<Option<Observation>, Problem> {
    let raw = root.plate("PlateRead")?;
    let camera = root.required_text("LprCameraName", ID_BYTES_MAX)?;
    // Without an offset; whether it is UTC or the site's time is unconfirmed. A zone is configured for the latter. Where that
    // is wrong, the camera's clock is off by hours, and the time of receipt is taken.
    let utc = Zone::parse("UTC");
    let time = root.required_time("Timestamp", config.zone.as_ref().or(utc.as_ref()))?;
    let Some(plate) = parsed.readable(config, &camera, raw.as_deref()) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let mut out = Observation::new(camera.into_owned(), time, plate);
    out.engine_id = root.short("Id");
    let analytics = root.list("PlateAnalytics");
    let found = |key: &str| analytics.iter().find(|entry| entry.text("Key").as_deref() == Some(key));
    let value = |key: &str| found(key).and_then(|entry| entry.text("Value"));
    out.conf = confidence(found("Confidence Score").and_then(|entry| score(entry, "Value")), SCALE, ignored);
    out.jurisdiction = value("State Name").and_then(|state| named(&state, config.two_letters));
    if out.jurisdiction.is_some() {
        // The scores in the list end at 1, that in the value at 100.
        out.jur_conf = confidence(found("State Name").and_then(|entry| score(entry, "Score")), 1.0, ignored);
    }
    out.vehicle.class = coded(CLASSES, value("Vehicle Type").as_deref(), None);
    out.vehicle.make = coded(MAKES, value("Vehicle Make").as_deref(), None);
    out.vehicle.colour = coded(COLOURS, value("Vehicle Color").as_deref(), None);
    out.motion = motion(value("Relative Motion").as_deref());
    Ok(Some(out))
}

fn motion(words: Option<&str>) -> Motion {
    match words.map(str::to_ascii_lowercase).as_deref() {
        Some("approaching") => Motion::Approaching,
        Some("moving away") => Motion::Receding,
        _ => Motion::Unknown,
    }
}

/// A negative score means that there is none.
fn score(place: &Cursor<'_>, key: &str) -> Option<f64> {
    place.number(key).filter(|score| *score >= 0.0)
}

/// `DateUtc` has the day first, whatever the language of the site.
fn captured_at(root: &Cursor<'_>) -> Result<SourceTime, Problem> {
    let date = root.required_text("DateUtc", 64)?;
    let clock = root.required_text("TimeUtc", 64)?;
    let mut parts = date.trim().splitn(3, '/');
    let iso = match (parts.next(), parts.next(), parts.next()) {
        (Some(day), Some(month), Some(year)) => format!("{year}-{month}-{day}T{}Z", clock.trim()),
        _ => return Err(Problem::at(Slug::OutOfRange, &root.pointer_to("DateUtc"))),
    };
    from_text(&iso, None).ok_or_else(|| Problem::at(Slug::OutOfRange, &root.pointer_to("DateUtc")))
}

#[cfg(test)]
mod tests;

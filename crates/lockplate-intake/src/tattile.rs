//! Tattile cameras (`intake.md` 8.12): one XML document a read. Pictures in it show the scene and are never looked at,
//! nor are lists, speed and lanes.

use lockplate_core::read::Motion;

use crate::confidence::confidence;
use crate::jurisdiction::named;
use crate::limits::ID_BYTES_MAX;
use crate::source::{Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig};
use crate::time::{SourceTime, Zone, from_text};
use crate::xml::{self, Element};

#[cfg(test)]
mod tests;

/// `OCRSCORE` goes up to 100, or to 999 where the configuration says so: a small number does not tell.
pub(crate) const SCALE: u16 = 100;

/// It sends local times and once.
pub(crate) const PROFILE: Profile = Profile { local_times: true, ..Profile::plain("tattile", &Tattile) };

/// Tattile as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Tattile;

impl Source for Tattile {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        let mut parsed = Parsed::default();
        let observation = read(payload, config, &mut parsed);
        parsed.observe(observation);
        parsed
    }
}

fn read(payload: &Payload<'_>, config: &SourceConfig, parsed: &mut Parsed) -> Result<Option<Observation>, Problem> {
    let bytes = xml::document(payload)?.ok_or(Problem::whole(Slug::Malformed))?;
    let text = xml::text_of(bytes)?;
    let root = xml::parse(&text)?;
    // The name of the root is the installer's choice.
    let raw = root.get("PLATE_STRING").ok_or_else(|| Problem::at(Slug::MissingField, "/PLATE_STRING"))?.as_text();
    let camera = required(&root, "DEVICE_SN")?;
    if camera.len() > ID_BYTES_MAX {
        return Err(Problem::at(Slug::OutOfRange, "/DEVICE_SN"));
    }
    let time = captured_at(&root, config.zone_of(camera))?;
    let Some(plate) = parsed.readable(config, camera, raw) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let mut out = Observation::new(camera.to_owned(), time, plate);
    let scale = config.confidence_scale.unwrap_or(SCALE);
    out.conf = confidence(root.number("OCRSCORE"), f64::from(scale), ignored);
    out.jurisdiction = root.text("PLATE_COUNTRY_CODE").and_then(|code| named(code, config.two_letters));
    out.motion = match root.text("DIRECTION") {
        Some("APPROACH") => Motion::Approaching,
        Some("GOAWAY") => Motion::Receding,
        _ => Motion::Unknown,
    };
    Ok(Some(out))
}

fn required<'a>(root: &'a Element<'_>, name: &'static str) -> Result<&'a str, Problem> {
    root.text(name).ok_or_else(|| Problem::at(Slug::MissingField, &format!("/{name}")))
}

/// `DATE` and `TIME`, local: `HH:MM:SS`, `HH-MM-SS-mmm`.
fn captured_at(root: &Element<'_>, zone: Option<&Zone>) -> Result<SourceTime, Problem> {
    let date = required(root, "DATE")?.replace('/', "-");
    let clock: Vec<&str> = required(root, "TIME")?.split([':', '-', '.']).take(5).collect();
    let text = match clock.as_slice() {
        [hour, minute, second] => Some(format!("{date} {hour}:{minute}:{second}")),
        [hour, minute, second, ms] => Some(format!("{date} {hour}:{minute}:{second}.{ms}")),
        _ => None,
    };
    text.and_then(|text| from_text(&text, zone)).ok_or_else(|| Problem::at(Slug::OutOfRange, "/TIME"))
}

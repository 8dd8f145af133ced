//! Milesight LPR cameras (`intake.md` 8.8): JSON pushed over HTTP, every value a text, `"-"` for none. A payload does not say
//! which camera it is from: each camera is a source of its own. The type of the plate (its list), the whole picture and
//! speed are never looked at. A camera that is asked answers with lines: its last reads, `plate_0=..` and so on; fetching them
//! is the shell's.

use std::collections::BTreeMap;

use lockplate_core::read::Motion;

use crate::confidence::confidence;
use crate::crop::crop;
use crate::json::{self, Cursor};
use crate::jurisdiction::named;
use crate::limits::{FLAT_LINES_MAX, ID_BYTES_MAX, TEXT_BYTES_MAX};
use crate::source::{Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig};
use crate::time::from_text;
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};

const SCALE: f64 = 100.0;

pub(crate) const PROFILE: Profile =
    Profile { local_times: true, camera_configured: true, ..Profile::plain("milesight", &Milesight) };

/// Milesight as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Milesight;

impl Source for Milesight {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        if payload.body.trim_ascii_start().starts_with(b"{") {
            return json::one_read(payload.body, |root, parsed| observation(root, config, parsed));
        }
        match core::str::from_utf8(payload.body) {
            Ok(text) if text.contains('=') => last_reads(text, config),
            Ok(_) | Err(_) => Parsed::refused(Problem::whole(Slug::Malformed)),
        }
    }
}

/// `key_0=value` lines: the number tells the reads apart. One camera's answer was seen, and no description of it; what
/// `direction` counts is as in another program that reads it (1 comes, 2 goes). Lines that mean nothing are none.
fn last_reads(text: &str, config: &SourceConfig) -> Parsed {
    let mut reads: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for line in text.lines().take(FLAT_LINES_MAX) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let Some((name, number)) = key.trim().rsplit_once('_') else { continue };
        let is_number = (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && value.len() <= TEXT_BYTES_MAX {
            reads.entry(number).or_default().insert(name, value.trim());
        }
    }
    let mut parsed = Parsed::default();
    for fields in reads.values().filter(|fields| fields.contains_key("plate")) {
        let observation = last_read(fields, config, &mut parsed);
        parsed.observe(observation);
    }
    if reads.is_empty() {
        parsed.other_event();
    }
    parsed
}

fn last_read(
    fields: &BTreeMap<&str, &str>,
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    let field = |name: &str| fields.get(name).copied().filter(|value| !value.is_empty() && *value != "-");
    let clock = field("time").ok_or_else(|| Problem::at(Slug::MissingField, "/time"))?;
    let camera = config.camera.clone().ok_or(Problem::whole(Slug::UnknownCamera))?;
    let time = from_text(clock, config.zone_of(&camera)).ok_or_else(|| Problem::at(Slug::OutOfRange, "/time"))?;
    let Some(plate) = parsed.readable(config, &camera, field("plate")) else { return Ok(None) };
    // The name of a picture may be used again; with the time it is that of one read.
    let picture = field("path").unwrap_or(plate.expose_text());
    let id = format!("{clock}/{picture}");
    let mut out = Observation::new(camera, time, plate);
    out.engine_id = (id.len() <= ID_BYTES_MAX).then_some(id);
    out.jurisdiction = field("region").and_then(|code| named(code, config.two_letters));
    out.motion = match field("direction") {
        Some("1") => Motion::Approaching,
        Some("2") => Motion::Receding,
        _ => Motion::Unknown,
    };
    Ok(Some(out))
}

fn observation(root: &Cursor<'_>, config: &SourceConfig, parsed: &mut Parsed) -> Result<Option<Observation>, Problem> {
    let raw = root.plate("plate")?;
    let camera = config.camera.clone().ok_or(Problem::whole(Slug::UnknownCamera))?;
    let time = root.required_time("time", config.zone_of(&camera))?;
    let Some(plate) = parsed.readable(config, &camera, raw.as_deref()) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let mut out = Observation::new(camera, time, plate);
    out.conf = confidence(root.number("confidence"), SCALE, ignored);
    out.jurisdiction = root.text("region").and_then(|code| named(&code, config.two_letters));
    out.motion = match root.text("direction").as_deref() {
        Some("Approach") => Motion::Approaching,
        Some("Away") => Motion::Receding,
        _ => Motion::Unknown,
    };
    out.vehicle.class = coded(CLASSES, root.text("vehicle_type").as_deref(), None);
    out.vehicle.colour = coded(COLOURS, root.text("vehicle_color").as_deref(), None);
    // Both spellings are sent, by different firmware.
    let make = root.text("Vehicle Brand").or_else(|| root.text("vehicle_brand"));
    out.vehicle.make = coded(MAKES, make.as_deref(), None);
    out.crop = crop(root.image("plate_image").filter(|text| *text != "-"), ignored);
    Ok(Some(out))
}

#[cfg(test)]
mod tests;

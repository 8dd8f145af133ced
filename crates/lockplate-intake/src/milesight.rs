//! Milesight LPR cameras (`intake.md` 8.8): JSON pushed over HTTP, every value a text, `"-"` for none. A payload does not say
//! which camera it is from: each camera is a source of its own. The type of the plate (its list), the whole picture and
//! speed are never looked at. Pulled lines are out of scope.

use lockplate_core::read::Motion;

use crate::confidence::confidence;
use crate::crop::crop;
use crate::json::{self, Cursor};
use crate::jurisdiction::named;
use crate::source::{Ignored, Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig};
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};

const SCALE: f64 = 100.0;

pub(crate) const PROFILE: Profile =
    Profile { local_times: true, camera_configured: true, ..Profile::plain("milesight", &Milesight) };

/// Milesight as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Milesight;

impl Source for Milesight {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        let mut parsed = Parsed::default();
        let observation = json::object(payload.body)
            .and_then(|value| observation(&Cursor::root(&value), config, &mut parsed.ignored));
        parsed.observe(observation);
        parsed
    }
}

fn observation(
    root: &Cursor<'_>,
    config: &SourceConfig,
    ignored: &mut Ignored,
) -> Result<Option<Observation>, Problem> {
    let raw = root.plate("plate")?;
    let camera = config.camera.clone().ok_or(Problem::whole(Slug::UnknownCamera))?;
    let time = root.required_time("time", config.zone_of(&camera))?;
    let Some(plate) = config.readable(raw.as_deref(), ignored) else { return Ok(None) };
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

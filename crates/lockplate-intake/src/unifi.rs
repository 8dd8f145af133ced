//! UniFi Protect (`intake.md` 8.9): webhooks of the alarm manager. It gives neither confidence nor jurisdiction. Names of
//! known plates, groups, thumbnails and links are never looked at; triggers about vehicles without a plate and about people
//! are counted.

use std::borrow::Cow;

use crate::json::{self, Cursor};
use crate::limits::ID_BYTES_MAX;
use crate::source::{Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig};

pub(crate) const PROFILE: Profile = Profile::plain("unifi", &UniFi);

/// UniFi Protect as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct UniFi;

impl Source for UniFi {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        match json::object(payload.body) {
            Ok(value) => alarm(&Cursor::root(&value), config),
            Err(problem) => Parsed::refused(problem),
        }
    }
}

fn alarm(root: &Cursor<'_>, config: &SourceConfig) -> Parsed {
    let Some(alarm) = root.get("alarm").filter(|alarm| alarm.get("triggers").is_some_and(|t| t.is_array())) else {
        return Parsed::refused(Problem::at(Slug::MissingField, "/alarm/triggers"));
    };
    let mut parsed = Parsed::default();
    for trigger in alarm.list("triggers") {
        // Whether the plate is known, and to whom, is dropped with the key.
        match trigger.text("key").as_deref() {
            Some("license_plate_unknown" | "license_plate_known" | "license_plate_of_interest") => {
                let observation = observation(&trigger, config, &mut parsed);
                parsed.observe(observation);
            }
            _ => {
                parsed.other_event();
                trigger.short("device").iter().for_each(|device| parsed.hear(device));
            }
        }
    }
    parsed
}

fn observation(
    trigger: &Cursor<'_>,
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    let raw = plate_text(trigger)?;
    let device = trigger.required_text("device", ID_BYTES_MAX)?;
    let time = trigger.required_time("timestamp", None)?;
    let Some(plate) = parsed.readable(config, &device, raw.as_deref()) else { return Ok(None) };
    let event = trigger.short("eventId");
    let mut out = Observation::new(device.into_owned(), time, plate);
    // Seen with one camera an event. Should two cameras share one, they are two reads all the same.
    out.engine_id = event.map(|event| format!("{}\u{1f}{event}", out.camera_key));
    Ok(Some(out))
}

/// A text, or an object around it. `group.name` can differ from it: that is another plate of the group.
fn plate_text<'a>(trigger: &Cursor<'a>) -> Result<Option<Cow<'a, str>>, Problem> {
    match trigger.get("value").filter(Cursor::is_object) {
        Some(inner) => inner.plate("value"),
        None => trigger.plate("value"),
    }
}

#[cfg(test)]
mod tests;

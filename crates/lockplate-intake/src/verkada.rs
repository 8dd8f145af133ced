//! Verkada (`intake.md` 8.12): webhooks about plates. Links to pictures and the organisation are never looked at; alerts of
//! its own lists and other webhooks on the address are counted.

use crate::confidence::confidence;
use crate::json::{self, Cursor};
use crate::jurisdiction::named;
use crate::limits::ID_BYTES_MAX;
use crate::source::{
    AnswerRule, BusyAnswer, Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig,
};
use crate::time::from_number;

/// It wants an answer within 2 s and repeats once. The id of the webhook is not that of a read: a repeat is known by camera,
/// plate and time.
/// It waits 2 s for an answer, and repeats once.
pub(crate) const PROFILE: Profile = Profile {
    answer: AnswerRule { busy: BusyAnswer::Unavailable { tried_ms: 1_500, retry_after_s: 5 }, ..AnswerRule::ONCE },
    ..Profile::plain("verkada", &Verkada)
};

/// Verkada as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Verkada;

impl Source for Verkada {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        let mut parsed = Parsed::default();
        let observation =
            json::object(payload.body).and_then(|value| observation(&Cursor::root(&value), config, &mut parsed));
        parsed.observe(observation);
        parsed
    }
}

fn observation(root: &Cursor<'_>, config: &SourceConfig, parsed: &mut Parsed) -> Result<Option<Observation>, Problem> {
    // The documentation has shown it in both cases.
    if !root.required_text("webhook_type", ID_BYTES_MAX)?.eq_ignore_ascii_case("lpr") {
        parsed.other_event();
        if let Some(camera) = root.get("data").and_then(|data| data.short("camera_id")) {
            parsed.hear(&camera);
        }
        return Ok(None);
    }
    let data = root.get("data").filter(Cursor::is_object).ok_or_else(|| Problem::at(Slug::MissingField, "/data"))?;
    let raw = data.plate("license_plate_number")?;
    let camera = data.required_text("camera_id", ID_BYTES_MAX)?;
    let time = match data.number("detected").and_then(from_number) {
        Some(detected) => detected,
        None => data.required_time("created", None)?,
    };
    let Some(plate) = parsed.readable(config, &camera, raw.as_deref()) else { return Ok(None) };
    let mut out = Observation::new(camera.into_owned(), time, plate);
    out.conf = confidence(data.number("confidence"), 1.0, &mut parsed.ignored);
    out.jurisdiction = data.text("license_plate_state").and_then(|state| named(&state, config.two_letters));
    Ok(Some(out))
}

#[cfg(test)]
mod tests;

//! Blue Iris with CodeProject.AI (`intake.md` 8.11): a JSON template that the user writes around Blue Iris' macros. Pictures,
//! paths, other objects and the labels of the models are never looked at.

use std::borrow::Cow;

use jiff::fmt::rfc2822;
use lockplate_core::read::TimeQuality;

use crate::confidence::confidence;
use crate::json::{self, Cursor};
use crate::limits::{ALIASES_MAX, ID_BYTES_MAX, OBSERVATIONS_MAX};
use crate::source::{Ignored, Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig};
use crate::time::{SourceTime, from_text};

pub(crate) const PROFILE: Profile = Profile { local_times: true, ..Profile::plain("blueiris", &BlueIris) };

/// How far the analysis may be from the alert, ms, for its UTC time to tell the zone of the alert's.
const ANALYSIS_MS_MAX: u64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// Blue Iris as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct BlueIris;

impl Source for BlueIris {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        // A template in which `&JSON` was left as it is makes no JSON: malformed.
        match json::object(payload.body).and_then(|value| alert(&Cursor::root(&value), config)) {
            Ok(parsed) => parsed,
            Err(problem) => Parsed::refused(problem),
        }
    }
}

/// A text that may be a plate, as the template gives it.
struct Found<'a> {
    raw: Cow<'a, str>,
    conf: Option<u16>,
    id: Option<String>,
    /// When it was analysed.
    analysed: Option<SourceTime>,
}

fn alert(root: &Cursor<'_>, config: &SourceConfig) -> Result<Parsed, Problem> {
    let camera = root.required_text("camera", ID_BYTES_MAX)?;
    let time = root.required_time("timestamp", config.zone_of(&camera))?;
    let mut parsed = Parsed::default();
    let mut found = predictions(root, &mut parsed);
    if found.is_empty() {
        found = match root.text("plate_number") {
            Some(raw) => vec![Found { raw, conf: None, id: None, analysed: None }],
            None => root.text("memo").map(|memo| memo_plates(&memo, &mut parsed.ignored)).unwrap_or_default(),
        };
    }
    if found.is_empty() {
        parsed.other_event();
        parsed.hear(&camera);
    }
    if found.len() > OBSERVATIONS_MAX {
        parsed.refuse(Problem::whole(Slug::TooLarge));
        found.truncate(OBSERVATIONS_MAX);
    }
    for one in found {
        let Some(plate) = parsed.readable(config, &camera, Some(&one.raw)) else { continue };
        // Several pictures of one alert: the text counts once, with the best confidence.
        if let Some(same) = parsed.observations.iter_mut().find(|o| o.plate == plate) {
            same.conf = same.conf.max(one.conf);
            same.aliases.extend(one.id.filter(|_| same.aliases.len() < ALIASES_MAX));
            continue;
        }
        let mut out = Observation::new(camera.clone().into_owned(), confirmed(time, one.analysed), plate);
        out.engine_id = one.id;
        out.conf = one.conf;
        parsed.observe(Ok(Some(out)));
    }
    Ok(parsed)
}

/// What the plate readers among the modules found. The whole dump can also be one module.
fn predictions<'a>(root: &Cursor<'a>, parsed: &mut Parsed) -> Vec<Found<'a>> {
    let dump = root.get("ai_dump");
    let whole = dump.clone().filter(Cursor::is_object);
    let modules = whole.into_iter().chain(dump.iter().flat_map(Cursor::items));
    let mut out = Vec::new();
    for module in modules.filter(|module| module.text("api").as_deref() == Some("alpr")) {
        let Some(found) = module.get("found").filter(|found| !failed(&module) && !failed(found)) else { continue };
        let request = found.short("requestId");
        let analysed = found.text("timestampUTC").and_then(|text| utc(&text));
        for (index, prediction) in found.list("predictions").iter().enumerate() {
            // `label` and `plate_number` may be prettier, or another plate's.
            let raw = match prediction.plate("plate") {
                Ok(Some(raw)) => raw,
                Ok(None) => {
                    parsed.ignored.unreadable = parsed.ignored.unreadable.saturating_add(1);
                    continue;
                }
                Err(problem) => {
                    parsed.refuse(problem);
                    continue;
                }
            };
            let conf = confidence(prediction.number("confidence"), 1.0, &mut parsed.ignored);
            let id = request.as_ref().map(|request| format!("{request}\u{1f}{index}"));
            out.push(Found { raw, conf, id, analysed });
        }
    }
    out
}

fn failed(place: &Cursor<'_>) -> bool {
    place.has("success") && !place.flag("success")
}

/// `ABC123:91%,car:88%`, also `[ABC123]`. Labels of objects have small letters and no digit: such a text is a plate only in
/// brackets.
fn memo_plates(memo: &str, ignored: &mut Ignored) -> Vec<Found<'static>> {
    let mut out = Vec::new();
    for entry in memo.split(',') {
        let (text, share) = entry.rsplit_once(':').unwrap_or((entry, ""));
        let text = text.trim();
        let number = share.trim().strip_suffix('%').and_then(|share| share.trim().parse::<f64>().ok());
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let is_label = text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_ascii_digit());
        let raw = match inner {
            Some(inner) => inner,
            None if number.is_some() && !is_label => text,
            // A label, or free words.
            None => continue,
        };
        let conf = confidence(number, 100.0, ignored);
        out.push(Found { raw: Cow::Owned(raw.to_owned()), conf, id: None, analysed: None });
    }
    out
}

/// The alert's time, exact if the analysis says in UTC that it took place at that time, which also tells the first from the
/// second of a repeated hour. The time of the analysis itself is not taken: old clips can be analysed again.
fn confirmed(time: SourceTime, analysed: Option<SourceTime>) -> SourceTime {
    let hour_later = (time.quality == TimeQuality::Ambiguous).then(|| time.ms.saturating_add(HOUR_MS));
    let agrees = |ms: &i64| analysed.is_some_and(|analysed| analysed.ms.abs_diff(*ms) <= ANALYSIS_MS_MAX);
    match [Some(time.ms), hour_later].into_iter().flatten().find(agrees) {
        Some(ms) if time.quality != TimeQuality::Exact => SourceTime { ms, quality: TimeQuality::Exact },
        _ => time,
    }
}

/// `Fri, 20 Mar 2026 09:46:40 GMT`, with and without the comma, or RFC 3339.
fn utc(text: &str) -> Option<SourceTime> {
    let text = text.trim();
    let date = text.find(|c: char| c.is_ascii_digit()).and_then(|at| text.get(at..))?;
    let exact = || rfc2822::parse(date).ok().map(|time| time.timestamp().to_string());
    from_text(text, None).or_else(|| from_text(&exact()?, None))
}

#[cfg(test)]
mod tests;

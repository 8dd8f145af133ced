//! OpenALPR and the Rekor agent (`intake.md` 8.2): finished groups, alerts around groups, single frames, heartbeats, and
//! the lines of `alpr -j`. List fields of alerts (names of lists, descriptions, sites) are never looked at.

use lockplate_core::hotlist::limits::CONF_MIN_OPENALPR;
use lockplate_core::read::Vehicle;

use crate::confidence::confidence;
use crate::crop::crop;
use crate::json::{self, Cursor};
use crate::jurisdiction::{TwoLetters, named};
use crate::limits::{ALIASES_MAX, BODY_BYTES_MAX, ID_BYTES_MAX};
use crate::lines::{Line, Lines};
use crate::source::{
    AnswerRule, BusyAnswer, Heartbeat, Ignored, Observation, Parsed, Payload, Problem, Profile, Slug, Source,
    SourceConfig, Stage,
};
use crate::time::{SourceTime, from_number};
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};

const SCALE: f64 = 100.0;

/// Open-source `alprd`: any HTTP status is delivery for it, and it repeats for ever what was not answered at all.
pub(crate) const ALPRD: Profile = Profile {
    answer: AnswerRule { busy: BusyAnswer::CloseUnanswered, ..AnswerRule::ONCE },
    conf_min: CONF_MIN_OPENALPR,
    ..Profile { name: "alprd", ..REKOR }
};

/// Rekor agent: repeats from its queue.
pub(crate) const REKOR: Profile =
    Profile { two_letters: TwoLetters::Subdivision, resends: true, ..Profile::plain("rekor", &OpenAlpr) };

/// `alpr -j`, sent by a client of one's own.
pub(crate) const ALPR_LINES: Profile = Profile {
    answer: AnswerRule::HTTP,
    two_letters: TwoLetters::Subdivision,
    camera_configured: true,
    conf_min: CONF_MIN_OPENALPR,
    ..Profile::plain("alpr-lines", &AlprLines)
};

/// Webhook of `alprd` and of the Rekor agent.
#[derive(Clone, Copy, Debug)]
pub struct OpenAlpr;

impl Source for OpenAlpr {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        match json::parse(payload.body) {
            Ok(value) => message(&Cursor::root(&value), config),
            Err(problem) => Parsed::refused(problem),
        }
    }
}

/// Lines of `alpr -j`: frames without `uuid` and `camera_id`; the camera comes from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct AlprLines;

impl Source for AlprLines {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        if payload.body.len() > BODY_BYTES_MAX {
            return Parsed::refused(Problem::whole(Slug::TooLarge));
        }
        let mut parsed = Parsed::default();
        let mut take = |at: u64, line: Line<'_>| match line {
            Line::Whole(bytes) => alpr_line(at, bytes, config, &mut parsed),
            Line::TooLong => parsed.refuse(Problem::whole(Slug::TooLarge).on_line(at)),
        };
        let mut lines = Lines::plain();
        lines.push(payload.body, &mut take);
        lines.finish(&mut take);
        parsed
    }
}

fn alpr_line(at: u64, bytes: &[u8], config: &SourceConfig, parsed: &mut Parsed) {
    let bytes = bytes.trim_ascii();
    if !bytes.starts_with(b"{") {
        // File names and "No license plates found." stand between the JSON lines.
        parsed.ignored.stray_lines = parsed.ignored.stray_lines.saturating_add(u64::from(!bytes.is_empty()));
        return;
    }
    let value = match json::parse(bytes) {
        Ok(value) => value,
        Err(problem) => return parsed.refuse(problem.on_line(at)),
    };
    let mut of_line = Parsed::default();
    frames(&Cursor::root(&value), config, &mut of_line);
    parsed.ignored.add(&of_line.ignored);
    of_line.heard.iter().for_each(|camera| parsed.hear(camera));
    parsed.observations.extend(of_line.observations.into_iter().map(|o| Observation { line: Some(at), ..o }));
    for problem in of_line.problems {
        parsed.refuse(problem.on_line(at));
    }
}

fn message(root: &Cursor<'_>, config: &SourceConfig) -> Parsed {
    let mut parsed = Parsed::default();
    if !root.is_object() {
        return Parsed::refused(Problem::whole(Slug::Malformed));
    }
    match root.text("data_type").as_deref() {
        Some("alpr_group") => group(root, config, &mut parsed),
        Some("alpr_alert") => match root.get("group") {
            Some(inner) => group(&inner, config, &mut parsed),
            None => parsed.refuse(Problem::at(Slug::MissingField, "/group")),
        },
        Some("alpr_results") => frames(root, config, &mut parsed),
        Some("heartbeat") => parsed.heartbeat = Some(heartbeat(root)),
        Some(_) => {
            parsed.other_event();
            camera_key(root, config).iter().for_each(|camera| parsed.hear(camera));
        }
        None => match root.get("group") {
            Some(inner) => group(&inner, config, &mut parsed),
            None if root.has("results") => frames(root, config, &mut parsed),
            None if root.has("openalpr_webhook") => parsed.ignored.other_events = 1,
            None => parsed.refuse(Problem::at(Slug::MissingField, "/data_type")),
        },
    }
    parsed
}

fn group(root: &Cursor<'_>, config: &SourceConfig, parsed: &mut Parsed) {
    let observation = group_observation(root, config, parsed);
    if observation.is_ok() {
        parsed.group_agent = Some(agent(root));
    }
    parsed.observe(observation);
}

fn group_observation(
    root: &Cursor<'_>,
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    let raw = root.plate("best_plate_number")?;
    let camera_key = camera_key(root, config)?;
    let start = root.required_time("epoch_start", None)?;
    let Some(plate) = parsed.readable(config, &camera_key, raw.as_deref()) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let best = root.short("best_uuid");
    let mut out = Observation::new(camera_key, best_time(root, start, best.as_deref()), plate);
    out.agent = agent(root);
    out.aliases = root
        .list("uuids")
        .iter()
        .filter_map(|id| id.as_text().filter(|text| text.len() <= ID_BYTES_MAX))
        .filter(|id| best.as_deref() != Some(id.as_ref()))
        .take(ALIASES_MAX)
        .map(|id| id.into_owned())
        .collect();
    out.engine_id = best.or_else(|| out.aliases.first().cloned());
    out.conf = confidence(root.number("best_confidence"), SCALE, ignored);
    region(root, "best_region", "best_region_confidence", config, &mut out, ignored);
    out.crop = crop(root.get("best_plate").and_then(|p| p.image("plate_crop_jpeg")), ignored);
    out.vehicle = root.get("vehicle").map(|v| vehicle(&v, ignored)).unwrap_or_default();
    out.parked = root.flag("is_parked");
    // Without an id nothing could be joined to a held preview.
    out.stage = if root.flag("is_preview") && out.engine_id.is_some() { Stage::Refining } else { Stage::Final };
    Ok(Some(out))
}

/// The ms that end `best_uuid` if they lie in the group, else its start.
fn best_time(root: &Cursor<'_>, start: SourceTime, best: Option<&str>) -> SourceTime {
    let tail = best.and_then(|id| id.rsplit('-').next()).and_then(|tail| tail.parse::<i64>().ok());
    let end = root.number("epoch_end").and_then(from_number);
    match (tail, end) {
        (Some(ms), Some(end)) if (start.ms..=end.ms).contains(&ms) => SourceTime { ms, ..start },
        _ => start,
    }
}

fn frames(root: &Cursor<'_>, config: &SourceConfig, parsed: &mut Parsed) {
    if !root.get("results").is_some_and(|results| results.is_array()) {
        return parsed.refuse(Problem::at(Slug::MissingField, "/results"));
    }
    let results = root.list("results");
    if results.is_empty() {
        parsed.other_event();
        camera_key(root, config).iter().for_each(|camera| parsed.hear(camera));
    }
    for result in &results {
        let observation = frame_observation(root, result, config, parsed);
        parsed.observe(observation);
    }
}

fn frame_observation(
    root: &Cursor<'_>,
    result: &Cursor<'_>,
    config: &SourceConfig,
    parsed: &mut Parsed,
) -> Result<Option<Observation>, Problem> {
    let raw = result.plate("plate")?;
    let camera_key = camera_key(root, config)?;
    let place = if root.get("epoch_time").is_some() { root } else { result };
    let time = place.required_time("epoch_time", None)?;
    let Some(plate) = parsed.readable(config, &camera_key, raw.as_deref()) else { return Ok(None) };
    let ignored = &mut parsed.ignored;
    let mut out = Observation::new(camera_key, time, plate);
    out.agent = agent(root);
    out.engine_id = root.short("uuid");
    out.conf = confidence(result.number("confidence"), SCALE, ignored);
    region(result, "region", "region_confidence", config, &mut out, ignored);
    out.stage = Stage::Frame;
    Ok(Some(out))
}

fn heartbeat(root: &Cursor<'_>) -> Heartbeat {
    let time = |place: &Cursor<'_>, key: &str| place.number(key).and_then(from_number).map(|t| t.ms);
    let agent = agent(root);
    let cameras = root
        .list("video_streams")
        .iter()
        .take(ALIASES_MAX)
        .filter_map(|stream| Some((joined_key(&agent, &stream.short("camera_id")?), time(stream, "last_update"))))
        .collect();
    Heartbeat { agent_time: time(root, "timestamp"), cameras }
}

fn region(
    place: &Cursor<'_>,
    name: &str,
    conf: &str,
    config: &SourceConfig,
    out: &mut Observation,
    ignored: &mut Ignored,
) {
    out.jurisdiction = place.text(name).and_then(|word| named(&word, config.two_letters));
    if out.jurisdiction.is_some() {
        out.jur_conf = confidence(place.number(conf), SCALE, ignored);
    }
}

fn vehicle(place: &Cursor<'_>, ignored: &mut Ignored) -> Vehicle {
    let mut first = |key: &str, list| {
        let entries = place.list(key);
        let entry = entries.first()?;
        coded(list, entry.text("name").as_deref(), confidence(entry.number("confidence"), SCALE, ignored))
    };
    Vehicle { class: first("body_type", CLASSES), make: first("make", MAKES), colour: first("color", COLOURS) }
}

fn agent(root: &Cursor<'_>) -> String {
    root.short("agent_uid").unwrap_or_default()
}

/// `agent_uid/camera_id`, or `camera_id` alone where no agent is named: camera numbers are only unique within an agent.
fn camera_key(root: &Cursor<'_>, config: &SourceConfig) -> Result<String, Problem> {
    match (&config.camera, root.get("camera_id")) {
        (Some(configured), None) => Ok(configured.clone()),
        _ => Ok(joined_key(&agent(root), &root.required_text("camera_id", ID_BYTES_MAX)?)),
    }
}

fn joined_key(agent: &str, camera: &str) -> String {
    if agent.is_empty() { camera.to_owned() } else { format!("{agent}/{camera}") }
}

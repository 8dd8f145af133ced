//! Cameras that are asked (`intake.md` 8.5 to 8.8): Hikvision, Axis and Milesight for their last reads every few seconds, Dahua for
//! a stream that does not end. Answers are bounded; a camera that does not answer is asked again, more and more seldom, for
//! ever. What an answer says is read in `lockplate-intake`; how a camera is reached stands in `camera.rs`.
//!
//! A camera tells its last reads again with each answer: those of the answer before are left out here. How far a source was read is kept
//! over restarts, to the minute: what a camera still holds of the time in which it was not asked is read then, late, and the reads of two
//! minutes can be sealed twice, with one engine reference. A camera that is asked for the first time tells the last quarter of an hour.
//! What it may have forgotten meanwhile, or tells in more bytes than are read, is counted as lost.

mod camera;
mod parts;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use lockplate_core::read::TimeQuality;
use lockplate_intake::axis::counts_in_us;
use lockplate_intake::limits::DUPLICATE_ID_MS;
use lockplate_intake::source::Heartbeat;
use lockplate_intake::time::{SourceTime, Zone, whole_minute};
use lockplate_intake::{Observation, Parsed, Slug, SourceKind};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use self::camera::{Camera, TOO_LARGE};
use self::parts::Parts;
use super::fetched::Pause;
use super::payload::Unpacked;
use super::settings::{USER_RULE, is_user};
use super::{Asked, Inner, RegisterDown};

/// Longest time between two questions, seconds.
const EVERY_SECONDS_MAX: u16 = 3_600;

/// How far back a camera is asked that was never asked before, ms.
const LOOK_BACK_MS: i64 = DUPLICATE_ID_MS;

/// How much earlier it is asked in the hour that a wall clock repeats, ms.
const HOUR_MS: i64 = 3_600_000;

/// `pull` of a source, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullTable {
    /// `http://10.1.0.7` or `https://camera.example:8443`, without a path.
    pub url: String,
    /// Name of an account of the camera.
    pub user: String,
    /// File with its password, mode 0600.
    pub password_file: PathBuf,
    /// Seconds between two questions; of no meaning for a stream.
    #[serde(default = "every_seconds")]
    pub every_seconds: u16,
    /// PEM of the authority that vouches for the camera; with `https`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the public key of the camera's certificate (SubjectPublicKeyInfo), 64 hexadecimal digits; with `https`.
    #[serde(default)]
    pub pin: Option<String>,
}

const fn every_seconds() -> u16 {
    5
}

/// How a camera is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trust {
    /// Not at all: plain HTTP.
    Plain,
    /// By its key.
    Pin([u8; 32]),
    /// By its name, for which an authority vouches.
    Authority(PathBuf),
}

/// A `pull` whose values hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSettings {
    base: Url,
    trust: Trust,
    user: String,
    password_file: PathBuf,
    every: Duration,
}

impl PullTable {
    /// Checks it for a source of `kind`.
    pub(super) fn check(&self, kind: SourceKind, has_camera: bool) -> Result<PullSettings, &'static str> {
        const ADDRESS: &str = "pull.url is an address such as http://10.1.0.7 or https://10.1.0.7:8443, without a path";
        if question(kind, None, 0, false).is_none() {
            return Err("pull is for the engines dahua-events, hikvision, axis and milesight");
        }
        if !has_camera {
            return Err("what a camera answers does not name it: set camera");
        }
        let base: Url = self.url.parse().map_err(|_no_url| ADDRESS)?;
        let is_bare = base.has_host()
            && base.username().is_empty()
            && base.password().is_none()
            && base.path() == "/"
            && base.query().is_none()
            && base.fragment().is_none();
        if !is_bare {
            return Err(ADDRESS);
        }
        let trust = match (base.scheme(), &self.pin, &self.ca_file) {
            ("http", None, None) => Trust::Plain,
            ("https", Some(digits), None) => {
                let mut pin = [0; 32];
                hex::decode_to_slice(digits, &mut pin).map_err(|_digits| "pull.pin is 64 hexadecimal digits")?;
                Trust::Pin(pin)
            }
            ("https", None, Some(file)) => Trust::Authority(file.clone()),
            ("http" | "https", _, _) => {
                return Err("pull.pin or pull.ca_file stands with https, one of them, and only there");
            }
            (_, _, _) => return Err(ADDRESS),
        };
        if !is_user(&self.user) {
            return Err(USER_RULE);
        }
        if !(1..=EVERY_SECONDS_MAX).contains(&self.every_seconds) {
            return Err("pull.every_seconds is from 1 to 3600");
        }
        let every = Duration::from_secs(self.every_seconds.into());
        Ok(PullSettings { base, trust, user: self.user.clone(), password_file: self.password_file.clone(), every })
    }
}

/// What is kept over restarts is rounded to it; and so much of what was read last is read once more: it may be held, in memory, ms.
const MINUTE_MS: i64 = 60_000;

/// What a camera is asked.
struct Question {
    method: Method,
    path_and_query: String,
    body: Option<String>,
    /// The answer does not end.
    is_stream: bool,
    /// It tells its last reads, however many there were since.
    is_last_only: bool,
}

/// The question to a camera of this kind for what it read from `since_ms` on, Unix time; `None` for what cannot be asked.
#[expect(clippy::wildcard_enum_match_arm, reason = "asks for four kinds; the others come by themselves")]
/// `in_us`: it counts so, where cameras of its kind differ.
fn question(kind: SourceKind, zone: Option<&Zone>, since_ms: i64, in_us: bool) -> Option<Question> {
    let get = |path_and_query: String| Question {
        method: Method::GET,
        path_and_query,
        body: None,
        is_stream: false,
        is_last_only: false,
    };
    match kind {
        SourceKind::DahuaEvents => {
            let path = "/cgi-bin/eventManager.cgi?action=attach&codes=[TrafficJunction]&heartbeat=5";
            Some(Question { is_stream: true, ..get(path.to_owned()) })
        }
        SourceKind::Hikvision => {
            // In its local time. Cameras were seen to be asked in several forms; what one of them answers too much is left out.
            let since = zone.and_then(|zone| zone.digits(since_ms)).unwrap_or_else(|| "0".to_owned());
            Some(Question {
                method: Method::POST,
                body: Some(format!("<AfterTime><picTime>{since}</picTime></AfterTime>")),
                ..get("/ISAPI/Traffic/channels/1/vehicledetect/plates".to_owned())
            })
        }
        SourceKind::Axis => {
            let since = if in_us { since_ms.saturating_mul(1_000) } else { since_ms };
            Some(get(format!("/local/fflprapp/search.cgi?TimestampFrom={since}")))
        }
        SourceKind::Milesight => {
            let path = "/cgi-bin/operator/operator.cgi?action=get.lpr.lastdata&format=inf";
            Some(Question { is_last_only: true, ..get(path.to_owned()) })
        }
        _ => None,
    }
}

/// Asks the camera of the source `name` for ever.
pub(super) async fn ask(inner: &Arc<Inner>, name: &str, settings: &PullSettings) {
    let mut pause = Pause::new();
    let mut stands = false;
    let Some((number, kind)) = inner.book().sources.get(name).map(|source| (source.config.number, source.config.kind))
    else {
        return;
    };
    let kept = loop {
        match inner.register.asked(number).await {
            Ok(kept) => break kept,
            // Without it nobody knows from when on to ask.
            Err(RegisterDown) => pause.wait().await,
        }
    };
    pause.reset();
    if kept.is_some() && question(kind, None, 0, false).is_some_and(|question| question.is_stream) {
        inner.lost(name, "nobody listened to the camera until now");
    }
    let mut seen = Seen { kept, ..Seen::default() };
    loop {
        let ended = match Camera::new(settings).await {
            Ok(mut camera) => questions(inner, name, settings, &mut camera, &mut seen, &mut stands, &mut pause).await,
            Err(why) => Some(why),
        };
        let Some(ended) = ended else { return };
        if core::mem::take(&mut stands) {
            inner.lost(name, ended);
        } else {
            tracing::warn!(source = name, why = ended, "the camera gives no answer");
        }
        pause.wait().await;
    }
}

/// Until the first that is not answered well; says why in fixed words. None where it is the source or the process that ends.
async fn questions(
    inner: &Arc<Inner>,
    name: &str,
    settings: &PullSettings,
    camera: &mut Camera,
    seen: &mut Seen,
    stands: &mut bool,
    pause: &mut Pause,
) -> Option<&'static str> {
    // An Axis camera is asked in ms until it is known to count in us: to a moment in ms, one that counts in us answers with its whole log,
    // and one that counts in ms would answer to a moment in us with nothing, for ever. Known anew where it was away: it may be another.
    let mut in_us = None;
    loop {
        let source = inner.book().sources.get(name).cloned()?;
        let asked_ms = inner.clock.now_ms();
        let since_ms = seen.since(asked_ms);
        let zone = source.config.zone_of(source.config.camera.as_deref().unwrap_or_default());
        let kind = source.config.kind;
        let is_unit_open = kind == SourceKind::Axis && in_us.is_none();
        let ask_from = |since_ms| question(kind, zone, since_ms, in_us == Some(true));
        let question = ask_from(since_ms)?;
        if question.is_stream {
            return stream(inner, name, camera, &question, seen, stands, pause).await;
        }
        let (content_type, body) = match camera.answer(&question).await {
            Ok(answer) => answer,
            // Asked in ms for nothing of the past, one that counts in us still tells everything.
            Err(TOO_LARGE) if is_unit_open => {
                match camera.answer(&ask_from(asked_ms)?).await {
                    Ok(_nothing) => in_us = Some(false),
                    Err(TOO_LARGE) => in_us = Some(true),
                    Err(why) => return Some(why),
                }
                continue;
            }
            Err(TOO_LARGE) if seen.leave_out(inner, name, &question, since_ms, asked_ms) => {
                tokio::time::sleep(settings.every).await;
                continue;
            }
            Err(why) => return Some(why),
        };
        *stands = true;
        pause.reset();
        if is_unit_open {
            let told = body.clone();
            in_us = tokio::task::spawn_blocking(move || counts_in_us(&told)).await.ok().flatten();
            if in_us == Some(true) {
                continue;
            }
        }
        let unpacked = Arc::new(Unpacked::answer(&content_type, body));
        let (source, mut parsed) = inner.parse_fetched(name, &unpacked).await?;
        let now_ms = inner.clock.now_ms();
        let is_too_large = parsed.is_poison() && parsed.problems.iter().any(|refused| refused.slug == Slug::TooLarge);
        if is_too_large && seen.leave_out(inner, name, &question, since_ms, asked_ms) {
            tokio::time::sleep(settings.every).await;
            continue;
        }
        if question.is_last_only && seen.has_gap(&parsed) {
            inner.lost(name, "the camera's last reads do not go back to those before");
        }
        let pause_ms = seen.pause_ms(now_ms);
        let mut now_seen = seen.keep_new(&mut parsed, now_ms);
        // It answers: it lives, also on a road where nobody drives.
        let camera_key = source.config.camera.iter().map(|camera| (camera.clone(), None));
        parsed.heartbeat.get_or_insert_with(|| Heartbeat { agent_time: None, cameras: camera_key.collect() });
        if !inner.deliver_fetched(&source, parsed, &unpacked, pause_ms).await {
            return None;
        }
        now_seen.keep(inner, source.config.number, asked_ms).await;
        *seen = now_seen;
        tokio::time::sleep(settings.every).await;
    }
}

/// One stream, to its end.
async fn stream(
    inner: &Arc<Inner>,
    name: &str,
    camera: &mut Camera,
    question: &Question,
    seen: &mut Seen,
    stands: &mut bool,
    pause: &mut Pause,
) -> Option<&'static str> {
    let (content_type, mut chunks) = match camera.stream(question).await {
        Ok(stream) => stream,
        Err(why) => return Some(why),
    };
    let Some(mut parts) = Parts::of(&content_type) else { return Some("the camera answers with no stream") };
    loop {
        match chunks.chunk().await {
            Ok(Some(chunk)) => parts.push(&chunk),
            Ok(None) => return Some("the camera ended the stream"),
            Err(_broken) => return Some("the stream broke off, or nothing came for half a minute"),
        }
        loop {
            let part: Bytes = match parts.next() {
                Ok(Some(part)) => part,
                Ok(None) => break,
                Err(parts::TooLarge) => {
                    inner.counters.rejected(name, Slug::TooLarge, 1);
                    return Some("a part of the stream is larger than 8 MiB");
                }
            };
            *stands = true;
            pause.reset();
            let unpacked = Arc::new(Unpacked::answer("text/plain", part));
            let (source, parsed) = inner.parse_fetched(name, &unpacked).await?;
            if !inner.deliver_fetched(&source, parsed, &unpacked, 0).await {
                return None;
            }
            seen.keep(inner, source.config.number, inner.clock.now_ms()).await;
        }
    }
}

/// What the last answer said.
#[derive(Clone, Debug, Default)]
struct Seen {
    newest: Option<SourceTime>,
    reads: Option<BTreeSet<(i64, Option<String>)>>,
    /// When it was asked for, Unix ms; none before the first answer to this run.
    asked_ms: Option<i64>,
    /// What is left out because it does not fit into one answer ends here, Unix ms.
    skipped_to_ms: Option<i64>,
    /// What is known after a restart.
    kept: Option<Asked>,
}

impl Asked {
    /// Where reading goes on, Unix ms. The source's clock may have been ahead, and set right since.
    fn goes_on_ms(self) -> i64 {
        self.read_to_ms.min(self.answered_ms)
    }
}

impl Seen {
    /// From when on to ask.
    fn since(&self, now_ms: i64) -> i64 {
        let since = match (self.newest, self.kept) {
            (Some(newest), _) => {
                // The wall clock goes back an hour: asked in it, the second pass would be over already.
                let back = if newest.quality == TimeQuality::Ambiguous { HOUR_MS } else { 0 };
                newest.ms.saturating_sub(back)
            }
            (None, Some(kept)) => kept.goes_on_ms(),
            (None, None) => now_ms.saturating_sub(LOOK_BACK_MS),
        };
        // A clock that is ahead, and is set right, would else not be asked for anything until then.
        since.max(self.skipped_to_ms.unwrap_or(i64::MIN)).min(now_ms)
    }

    /// How far back an answer of now tells what the answer before did not, ms: after a restart from where reading goes on.
    fn pause_ms(&self, now_ms: i64) -> i64 {
        let before = self.asked_ms.or(self.kept.map(Asked::goes_on_ms));
        before.map_or(LOOK_BACK_MS, |before| now_ms.saturating_sub(before))
    }

    /// The camera has more to tell than is read at a time; asked for the same again, it would never be done. False where less cannot
    /// be asked for.
    fn leave_out(&mut self, inner: &Inner, name: &str, question: &Question, since_ms: i64, now_ms: i64) -> bool {
        let helps = !question.is_last_only && self.skip(since_ms, now_ms);
        if helps {
            inner.lost(name, "the camera has more to tell than is read at a time: half of it is left out");
        }
        helps
    }

    /// Leaves the older half out. False where that would not help.
    fn skip(&mut self, since_ms: i64, now_ms: i64) -> bool {
        let half = now_ms.saturating_sub(since_ms) / 2;
        self.skipped_to_ms = Some(since_ms.saturating_add(half));
        half >= MINUTE_MS
    }

    /// Whether an answer that tells the last reads does not reach back to what was read before.
    fn has_gap(&self, parsed: &Parsed) -> bool {
        let Some(oldest) = parsed.observations.iter().map(|o| o.time.ms).min() else { return false };
        match (&self.reads, self.kept) {
            (Some(before), _) => !before.is_empty() && !parsed.observations.iter().any(|o| before.contains(&key(o))),
            // What was read last is at most two minutes behind what was kept of it.
            (None, Some(kept)) => oldest > kept.goes_on_ms().saturating_add(2 * MINUTE_MS),
            (None, None) => false,
        }
    }

    /// Leaves in `parsed` what the answer before did not say, and at a start what was not read before. What it said is the next to be
    /// compared with, once it is delivered.
    fn keep_new(&self, parsed: &mut Parsed, now_ms: i64) -> Self {
        let newest = parsed.observations.iter().map(|o| o.time).chain(self.newest).max_by_key(|time| time.ms);
        // An answer that could not be read says nothing about what will be said again.
        if parsed.is_poison() {
            return self.clone();
        }
        let reads = parsed.observations.iter().map(key).collect();
        let oldest = self.kept.map_or(now_ms.saturating_sub(LOOK_BACK_MS), Asked::goes_on_ms);
        parsed.observations.retain(|o| match &self.reads {
            Some(before) => !before.contains(&key(o)),
            None => o.time.ms >= oldest,
        });
        Self { newest, reads: Some(reads), asked_ms: self.asked_ms, skipped_to_ms: None, kept: self.kept }
    }

    /// Keeps how far the source was read over a restart: what it answered to a question of `asked_ms` is delivered.
    async fn keep(&mut self, inner: &Inner, source: u16, asked_ms: i64) {
        self.asked_ms = Some(asked_ms);
        let read_to_ms = match (self.newest, self.kept) {
            (Some(newest), _) => whole_minute(newest.ms.saturating_sub(MINUTE_MS)),
            (None, Some(kept)) => kept.read_to_ms,
            // It told nothing yet, of all it was asked for.
            (None, None) => whole_minute(asked_ms.saturating_sub(LOOK_BACK_MS)),
        };
        let asked = Asked { read_to_ms, answered_ms: whole_minute(asked_ms) };
        if self.kept == Some(asked) {
            return;
        }
        match inner.register.set_asked(source, asked).await {
            Ok(()) => self.kept = Some(asked),
            Err(RegisterDown) => {
                tracing::warn!("how far a camera was read cannot be kept: a restart goes back further")
            }
        }
    }
}

/// By what a read is known that is told again.
fn key(read: &Observation) -> (i64, Option<String>) {
    (read.time.ms, read.engine_id.clone())
}

//! Cameras that are asked (`intake.md` 8.5 to 8.8): Hikvision, Axis and Milesight for their last reads every few seconds, Dahua for
//! a stream that does not end. Answers are bounded; a camera that does not answer is asked again, more and more seldom, for
//! ever. What an answer says is read in `lockplate-intake`; how a camera is reached stands in `camera.rs`.
//!
//! A camera tells its last reads again with each answer: those of the answer before are left out here, and at a start those that
//! are old, which were sealed by the run before or would come in great numbers. So a restart can seal the reads of the last
//! quarter of an hour twice, with one engine reference.

mod camera;
mod parts;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use lockplate_core::read::TimeQuality;
use lockplate_intake::limits::DUPLICATE_ID_MS;
use lockplate_intake::source::Heartbeat;
use lockplate_intake::time::{SourceTime, Zone};
use lockplate_intake::{Observation, Parsed, SourceKind};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use self::camera::Camera;
use self::parts::Parts;
use super::Inner;
use super::fetched::Pause;
use super::payload::Unpacked;
use super::settings::{USER_RULE, is_user};

/// Longest time between two questions, seconds.
const EVERY_SECONDS_MAX: u16 = 3_600;

/// How far back a camera is asked at a start, ms.
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
        if question(kind, None, 0).is_none() {
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

/// What a camera is asked.
struct Question {
    method: Method,
    path_and_query: String,
    body: Option<String>,
    /// The answer does not end.
    is_stream: bool,
}

/// The question to a camera of this kind for what it read from `since_ms` on, Unix time; `None` for what cannot be asked.
#[expect(clippy::wildcard_enum_match_arm, reason = "asks for four kinds; the others come by themselves")]
fn question(kind: SourceKind, zone: Option<&Zone>, since_ms: i64) -> Option<Question> {
    let get = |path_and_query: String| Question { method: Method::GET, path_and_query, body: None, is_stream: false };
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
        // In us, as the one program asks that was seen to; a camera that counts in ms would answer with nothing.
        SourceKind::Axis => {
            let since_us = since_ms.saturating_mul(1_000);
            Some(get(format!("/local/fflprapp/search.cgi?TimestampFrom={since_us}")))
        }
        SourceKind::Milesight => {
            Some(get("/cgi-bin/operator/operator.cgi?action=get.lpr.lastdata&format=inf".to_owned()))
        }
        _ => None,
    }
}

/// Asks the camera of the source `name` for ever.
pub(super) async fn ask(inner: &Arc<Inner>, name: &str, settings: &PullSettings) {
    let mut pause = Pause::new();
    let mut seen = Seen::default();
    let mut stands = false;
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
    loop {
        let source = inner.book().sources.get(name).cloned()?;
        let since_ms = seen.since(inner.clock.now_ms());
        let question = question(source.config.kind, source.config.zone.as_ref(), since_ms)?;
        if question.is_stream {
            return stream(inner, name, camera, &question, stands, pause).await;
        }
        let (content_type, body) = match camera.answer(&question).await {
            Ok(answer) => answer,
            Err(why) => return Some(why),
        };
        *stands = true;
        pause.reset();
        let unpacked = Arc::new(Unpacked::answer(&content_type, body));
        let (source, mut parsed) = inner.parse_fetched(name, &unpacked).await?;
        let now_seen = seen.keep_new(&mut parsed, inner.clock.now_ms());
        // It answers: it lives, also on a road where nobody drives.
        let camera_key = source.config.camera.iter().map(|camera| (camera.clone(), None));
        parsed.heartbeat.get_or_insert_with(|| Heartbeat { agent_time: None, cameras: camera_key.collect() });
        if !inner.deliver_fetched(&source, parsed, &unpacked).await {
            return None;
        }
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
                    inner.counters.rejected(name, lockplate_intake::Slug::TooLarge, 1);
                    return Some("a part of the stream is larger than 8 MiB");
                }
            };
            *stands = true;
            pause.reset();
            let unpacked = Arc::new(Unpacked::answer("text/plain", part));
            let (source, parsed) = inner.parse_fetched(name, &unpacked).await?;
            if !inner.deliver_fetched(&source, parsed, &unpacked).await {
                return None;
            }
        }
    }
}

/// What the last answer said.
#[derive(Debug, Default)]
struct Seen {
    newest: Option<SourceTime>,
    reads: Option<BTreeSet<(i64, Option<String>)>>,
}

impl Seen {
    /// From when on to ask.
    fn since(&self, now_ms: i64) -> i64 {
        let Some(newest) = self.newest else { return now_ms.saturating_sub(LOOK_BACK_MS) };
        // The wall clock goes back an hour: asked in it, the second pass would be over already.
        let back = if newest.quality == TimeQuality::Ambiguous { HOUR_MS } else { 0 };
        // A clock that is ahead, and is set right, would else not be asked for anything until then.
        newest.ms.saturating_sub(back).min(now_ms)
    }

    /// Leaves in `parsed` what the answer before did not say, and at a start what is not old. What it said is the next to be
    /// compared with, once it is delivered.
    fn keep_new(&self, parsed: &mut Parsed, now_ms: i64) -> Self {
        let key = |o: &Observation| (o.time.ms, o.engine_id.clone());
        let newest = parsed.observations.iter().map(|o| o.time).chain(self.newest).max_by_key(|time| time.ms);
        // An answer that could not be read says nothing about what will be said again.
        if parsed.is_poison() {
            return Self { newest: self.newest, reads: self.reads.clone() };
        }
        let reads = parsed.observations.iter().map(key).collect();
        let oldest = now_ms.saturating_sub(LOOK_BACK_MS);
        parsed.observations.retain(|o| match &self.reads {
            Some(before) => !before.contains(&key(o)),
            None => o.time.ms >= oldest,
        });
        Self { newest, reads: Some(reads) }
    }
}

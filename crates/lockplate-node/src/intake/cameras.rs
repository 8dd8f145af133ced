//! Cameras one by one, for whoever holds the import key: `POST /v1/cameras/{camera}` changes one, `POST
//! /v1/cameras/{camera}/test` sends an invented read of it through its engine's parser and the recorder; and how each stands, for
//! the health page. Adding them is in `files.rs`. Nothing here sees what a camera sends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use lockplate_core::plate::{Plate, TEST_PLATE};
use lockplate_core::read::Read;
use lockplate_intake::hold::Held;
use lockplate_intake::normalise::{Arrival, CameraClock, Clock as Judged, Placement, Rules, normalise};
use lockplate_intake::sample::sample;
use lockplate_intake::source::{Observation, SourceConfig, SourceKind};
use lockplate_intake::time::Zone;
use serde::{Deserialize, Serialize};

use super::fetched::Fetched;
use super::payload::Unpacked;
use super::sink::{Fate, KnownCamera, NotTaken, Obstacle};
use super::{Book, Inner, IntakeState, SourceSettings, Way};
use crate::api::{CameraEdit, CameraState, CameraTested, Station, StationResult};
use crate::http::BoundedJson;
use crate::problem::{Problem, ProblemKind};

/// A camera not heard for this long is silent (`intake.md` section 5), ms.
pub const CAMERA_SILENT_MS: i64 = 15 * 60_000;

/// What is wrong with a camera, by the names of `intake.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CameraAlarm {
    /// Its clock is off: its reads are placed at their time of receipt.
    #[serde(rename = "camera-clock")]
    Clock,
    /// Not heard for [`CAMERA_SILENT_MS`].
    #[serde(rename = "camera-silent")]
    Silent,
}

impl CameraAlarm {
    /// As on the health page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "camera-clock",
            Self::Silent => "camera-silent",
        }
    }
}

/// How one camera stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraHealth {
    /// Its number.
    pub camera: u32,
    /// Active or paused.
    pub state: CameraState,
    /// When it was added, Unix seconds; 0 if that was before it was noted.
    pub added_at: u64,
    /// When it was last changed, likewise.
    pub changed_at: u64,
    /// Unix ms of its last sign of life since the start.
    pub last_seen_ms: Option<i64>,
    /// Reads sealed since the start.
    pub reads: u64,
    /// Smallest time from capture to receipt of its last 64 reads, ms; before eight of them that of the last. Positive: its
    /// clock is behind, or its reads are that long on their way. None before its first read as it passed.
    pub clock_offset_ms: Option<i64>,
    /// IANA zone in which its local times are read: its own, else its source's; none where neither has one.
    pub zone: Option<String>,
    /// What is wrong with it.
    pub alarms: Vec<CameraAlarm>,
}

/// An offset of a clock as people read it: `+0.2 s`.
#[must_use]
pub fn offset_text(ms: i64) -> String {
    let tenths = ms.unsigned_abs().saturating_add(50).div_euclid(100);
    let sign = if ms < 0 { '-' } else { '+' };
    format!("{sign}{}.{} s", tenths.div_euclid(10), tenths.rem_euclid(10))
}

/// `POST /v1/cameras/{camera}`: one change, behind its leaf and in force on return. A repeat is harmless: what is so already
/// stays.
pub(super) async fn change(
    State(state): State<IntakeState>,
    path: Result<Path<u32>, PathRejection>,
    headers: HeaderMap,
    body: Result<BoundedJson<CameraEdit>, Problem>,
) -> Response {
    let inner = state.0;
    if !inner.holds_import_key(&headers) {
        return ProblemKind::NotSignedIn.into_response();
    }
    let Ok(Path(camera)) = path else { return ProblemKind::NotFound.into_response() };
    let BoundedJson(edit) = match body {
        Ok(edit) => edit,
        Err(problem) => return problem.into_response(),
    };
    if let Some(fault) = edit.fault() {
        return Problem::new(ProblemKind::Invalid).with_pointer(fault.pointer).into_response();
    }
    let changed = match inner.register.change(camera, edit).await {
        Ok(changed) => changed,
        Err(kind) => return kind.into_response(),
    };
    match inner.refresh().await {
        Ok(()) => Json(changed).into_response(),
        Err(_down) => ProblemKind::Unavailable.into_response(),
    }
}

/// `POST /v1/cameras/{camera}/test`: 200 with the stations, also where the read was stopped.
pub(super) async fn test(
    State(state): State<IntakeState>,
    path: Result<Path<u32>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let inner = state.0;
    if !inner.holds_import_key(&headers) {
        return ProblemKind::NotSignedIn.into_response();
    }
    let Ok(Path(camera)) = path else { return ProblemKind::NotFound.into_response() };
    if inner.refresh().await.is_err() {
        return ProblemKind::Unavailable.into_response();
    }
    let mut stations = Vec::new();
    // Where it is stopped, the last station says so.
    let _stopped = inner.send_test_read(camera, &mut stations).await;
    Json(CameraTested { camera, plate: TEST_PLATE.to_owned(), stations }).into_response()
}

/// The read did not pass a station.
struct Stopped;

/// The stations behind the test read, in order.
type Behind = Vec<Station>;

fn note(behind: &mut Behind, station: &str, result: StationResult, says: impl Into<String>) {
    behind.push(Station { station: station.to_owned(), result, says: says.into() });
}

fn pass(behind: &mut Behind, station: &str, says: impl Into<String>) {
    note(behind, station, StationResult::Ok, says);
}

fn stop(behind: &mut Behind, station: &str, says: impl Into<String>) -> Stopped {
    note(behind, station, StationResult::Stops, says);
    Stopped
}

impl Inner {
    /// From the register over the engine's own parser to the spool. It goes past the state machine of intake on purpose: the read of a
    /// test must neither mend the offset of the camera's clock, nor be held or a repeat, nor be compared with a hot list.
    async fn send_test_read(&self, number: u32, behind: &mut Behind) -> Result<(), Stopped> {
        let book = self.book();
        let Some(camera) = book.known.get(&number) else {
            return Err(stop(behind, "register", "there is no such camera, or it was removed"));
        };
        pass(behind, "register", format!("camera {number} is registered"));
        let source = book.sources.values().find(|source| source.config.number == camera.source);
        match source {
            Some(source) => {
                let engine = source.config.kind.name();
                pass(behind, "source", format!("{} ({engine}) speaks for it", source.name));
            }
            None if camera.source == book.import_source => {
                pass(behind, "source", "files of `lockplate import` speak for it")
            }
            None => return Err(stop(behind, "source", "its source is not in agency.toml any more")),
        }
        if !camera.active {
            return Err(stop(behind, "camera", "it is paused: its reads are refused as those of an unknown camera"));
        }
        pass(behind, "camera", "its reads are taken");
        let read = self.parse_test_read(&book, camera, source, behind)?;
        let heard = self.counters.heard().get(&number).and_then(|heard| heard.last_seen_ms);
        match heard {
            Some(at) => {
                let seconds = self.clock.now_ms().saturating_sub(at).max(0) / 1_000;
                pass(behind, "heard", format!("it spoke {seconds} s ago"));
            }
            // Its own way here cannot be gone for it.
            None => {
                let says = "it did not speak since the start: look at its address, its credential and its key";
                note(behind, "heard", StationResult::Warning, says);
            }
        }
        match self.with(Way::Live, |intake| intake.clock_reading(number)) {
            None => pass(behind, "clock", "not measured yet: no read came since the start"),
            Some((offset, Judged::Good)) => pass(behind, "clock", offset_text(offset)),
            Some((offset, Judged::Off)) => {
                let says = format!("off by {}: its reads are placed at their time of receipt", offset_text(offset));
                note(behind, "clock", StationResult::Warning, says);
            }
        }
        let ends = self.closing.load(Ordering::SeqCst).then_some(Obstacle::Stopping);
        if let Some(obstacle) = ends.or(self.sink.obstacle().await) {
            return Err(stop(behind, "sealer", obstacle_text(obstacle)));
        }
        pass(behind, "sealer", "a period is open and its sealer runs");
        let fates = self.ask_sink(vec![(read, Placement::Open)]).await;
        let fate = fates.map_or_else(Fate::Not, |fates| fates.first().copied().unwrap_or(Fate::Not(NotTaken::Busy)));
        let stopped = match fate {
            Fate::Stored => None,
            Fate::TooOld => Some("it was taken for a read past its retention: the clock of this machine has jumped"),
            Fate::Not(NotTaken::Busy) => Some("it was not taken: the disk is full, or too many reads wait"),
            Fate::Not(NotTaken::Interrupted) => Some("the sealer ended before the read was durable"),
            Fate::Not(NotTaken::Stopping) => Some(obstacle_text(Obstacle::Stopping)),
        };
        if let Some(says) = stopped {
            return Err(stop(behind, "spool", says));
        }
        if self.in_memory {
            pass(behind, "spool", "sealed, in memory and nowhere else");
            pass(behind, "search", "none: no search opens a read of this archive");
        } else {
            pass(behind, "spool", "sealed, and on stable storage");
            pass(behind, "search", format!("once the period is closed, a search for {TEST_PLATE} finds it"));
        }
        Ok(())
    }

    /// The invented read as the source's parser reads it, if that leads to the camera.
    fn parse_test_read(
        &self,
        book: &Book,
        camera: &KnownCamera,
        source: Option<&Arc<SourceSettings>>,
        behind: &mut Behind,
    ) -> Result<Read, Stopped> {
        let now = self.clock.now_ms();
        // Files have no engine: their form is the own one.
        let of_files = SourceConfig::new(book.import_source, SourceKind::Own);
        let config = source.map_or(&of_files, |source| &source.config);
        let is_asked = source.is_some_and(|source| matches!(source.fetched, Some(Fetched::Pull(_))));
        let (engine, registered) = (config.kind.name(), &camera.key);
        let Some(sample) = sample(config, is_asked, registered, TEST_PLATE, now) else {
            return Err(stop(
                behind,
                "parser",
                "no read can be made: look at the source's zone and this machine's clock",
            ));
        };
        let parsed = Unpacked::invented(sample).parse(config);
        if let Some(problem) = parsed.problems.first() {
            let at = problem.pointer.as_deref().map(|pointer| format!(" at {pointer}")).unwrap_or_default();
            let why = problem.slug.detail();
            let says = format!(
                "a read of {engine} with the key {registered:?} is refused{at}: {why} Look at the key and at the source's section"
            );
            return Err(stop(behind, "parser", says));
        }
        let is_read = |seen: &Observation| Plate::parse(TEST_PLATE).is_some_and(|plate| plate == seen.plate);
        let Some(observation) = parsed.observations.into_iter().next().filter(is_read) else {
            let says = format!("no plate is found in a read of {engine}: look at the fields of the source");
            return Err(stop(behind, "parser", says));
        };
        let key = &observation.camera_key;
        let found = match source {
            Some(source) => book.camera_of(source.config.number, key),
            None => book.camera_of_file(key).map(|(number, _)| number),
        };
        if found != Some(camera.number) {
            let whose = match found {
                Some(other) => format!("which is camera {other}"),
                None => "which is not registered".to_owned(),
            };
            let or = if config.camera.is_some() { ", or change `camera` of the source" } else { "" };
            let says = format!(
                "its key is {registered:?}, but reads of {engine} come with {key:?}, {whose}: add a camera with that key{or}"
            );
            return Err(stop(behind, "parser", says));
        }
        let rules = Rules::new(config, Arrival::Live, self.retention_ms);
        let offset = now.saturating_sub(observation.time.ms);
        let held = Held {
            rules,
            camera: camera.number,
            received_at: now,
            observation,
            held_out: false,
            track: 0,
            of_frames: false,
        };
        let placed = normalise(&held, &mut CameraClock::default());
        match placed.clock {
            Judged::Good => pass(behind, "parser", format!("reads of {engine} with the key {registered:?} are of it")),
            // The hour that comes twice: local times of its second half mean the first.
            Judged::Off => {
                let says =
                    format!("its local time is read as one that is off by {}, and not believed", offset_text(offset));
                note(behind, "parser", StationResult::Warning, says);
            }
        }
        Ok(placed.read)
    }

    /// How each camera stands, by number.
    pub(super) fn camera_health(&self) -> Vec<CameraHealth> {
        let (book, heard, now) = (self.book(), self.counters.heard(), self.clock.now_ms());
        let clocks: BTreeMap<u32, (i64, Judged)> = self.with(Way::Live, |intake| {
            book.known.keys().filter_map(|camera| Some((*camera, intake.clock_reading(*camera)?))).collect()
        });
        let zones: BTreeMap<u16, &Zone> = (book.sources.values())
            .filter_map(|source| Some((source.config.number, source.config.zone.as_ref()?)))
            .collect();
        let health = |camera: &KnownCamera| {
            let heard = heard.get(&camera.number).copied().unwrap_or_default();
            let clock = clocks.get(&camera.number).copied();
            let changed_ms = i64::try_from(camera.changed_at.saturating_mul(1_000)).unwrap_or(i64::MAX);
            let since = heard.last_seen_ms.unwrap_or(self.started_ms).max(changed_ms);
            let silent = camera.source != book.import_source && now.saturating_sub(since) > CAMERA_SILENT_MS;
            let zone = camera.zone.as_ref().or_else(|| zones.get(&camera.source).copied());
            let off = clock.is_some_and(|(_, judged)| judged == Judged::Off);
            let alarms = [(CameraAlarm::Clock, off), (CameraAlarm::Silent, silent)].into_iter();
            CameraHealth {
                camera: camera.number,
                state: if camera.active { CameraState::Active } else { CameraState::Paused },
                added_at: camera.added_at,
                changed_at: camera.changed_at,
                last_seen_ms: heard.last_seen_ms,
                reads: heard.reads,
                clock_offset_ms: clock.map(|(offset, _)| offset),
                zone: zone.and_then(Zone::name).map(str::to_owned),
                alarms: alarms.filter(|(_, rings)| camera.active && *rings).map(|(alarm, _)| alarm).collect(),
            }
        };
        book.known.values().map(health).collect()
    }

    /// Traces an alarm of a camera when it begins, and when it is over.
    pub(super) fn trace_alarms(&self) {
        let health = self.camera_health();
        let ringing: BTreeSet<(u32, CameraAlarm)> =
            health.iter().flat_map(|camera| camera.alarms.iter().map(|alarm| (camera.camera, *alarm))).collect();
        let mut traced = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        for (camera, alarm) in ringing.difference(&traced) {
            tracing::warn!(camera, alarm = alarm.name(), "an alarm of a camera");
        }
        for (camera, alarm) in traced.difference(&ringing) {
            tracing::info!(camera, alarm = alarm.name(), "an alarm of a camera is over");
        }
        *traced = ringing;
    }
}

const fn obstacle_text(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::NoPrekeys => "no period is open: a keeper's prekeys are used up, and it has delivered no more",
        Obstacle::NoEpoch => "no period is open: its sealer does not run, or too few keepers have taken its shares",
        Obstacle::Stopping => "the agency's process ends",
    }
}

#[cfg(test)]
mod tests;

//! What intake counts, in memory: by source and slug, and when each camera was last heard. Numbers only, never a value of
//! a payload; they go to the health page of people on this machine.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lockplate_core::read::Read;
use lockplate_intake::Outcome;
use lockplate_intake::source::Slug;
use serde::Serialize;

use super::cameras::CameraHealth;
use super::load::LoadHealth;
use super::shapes::FailedShape;
use super::sink::Fate;

/// What one source did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceCounts {
    /// Payloads that were authenticated.
    pub payloads: u64,
    /// Reads sealed, also those that were held before.
    pub accepted: u64,
    /// Observations held.
    pub held: u64,
    /// Repeats.
    pub duplicate: u64,
    /// Plates with nothing readable.
    pub unreadable: u64,
    /// Heartbeats, tests, other event types.
    pub other_events: u64,
    /// Reads placed at their time of receipt, because the camera's clock is wrong.
    pub clock_off: u64,
    /// Payloads that were turned away because nothing could be made durable, or did not come whole in time, which a source that does not
    /// repeat has lost; and connections to a broker or a camera that were lost, with what was said meanwhile.
    pub lost_upstream: u64,
    /// Refused, by slug.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Of those refused as `intake-unknown-camera`: reads of cameras that are paused. The source is not told.
    pub of_paused_cameras: u64,
}

/// The body of `GET /v1/intake/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IntakeHealth {
    /// By source name.
    pub sources: BTreeMap<String, SourceCounts>,
    /// Reads of the last minute against the rated load.
    pub load: LoadHealth,
    /// Every camera that was not removed, by number.
    pub cameras: Vec<CameraHealth>,
    /// Held reads that wait for a sealer again.
    pub waiting: usize,
    /// Held reads given up, because the process had to end.
    pub lost_held: u64,
    /// The shapes of the last payloads that failed, for ten minutes after a camera or a source was added; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shapes: Option<Vec<FailedShape>>,
}

#[derive(Debug, Default)]
struct Book {
    sources: BTreeMap<String, SourceCounts>,
    heard: BTreeMap<u32, Heard>,
    lost_held: u64,
}

/// What was heard of a camera since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// Unix ms of its last sign of life.
    pub(super) last_seen_ms: Option<i64>,
    /// Reads sealed.
    pub(super) reads: u64,
}

/// The counters of all sources.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Book>);

impl Counters {
    /// Changes the counts of one source.
    pub(super) fn of(&self, source: &str, change: impl FnOnce(&mut SourceCounts)) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match book.sources.get_mut(source) {
            Some(counts) => change(counts),
            None => change(book.sources.entry(source.to_owned()).or_default()),
        }
    }

    /// Counts a refusal.
    pub(super) fn rejected(&self, source: &str, slug: Slug, times: u64) {
        self.of(source, |counts| {
            let count = counts.rejected.entry(slug.text()).or_default();
            *count = count.saturating_add(times);
        });
    }

    /// Counts what became of a payload, sealing apart.
    pub(super) fn outcome(&self, source: &str, now_ms: i64, outcome: &Outcome) {
        let listed = u64::try_from(outcome.problems.len()).unwrap_or(u64::MAX);
        self.of(source, |counts| {
            add(&mut counts.held, outcome.held);
            add(&mut counts.duplicate, outcome.duplicates);
            add(&mut counts.unreadable, outcome.ignored.unreadable);
            add(&mut counts.other_events, outcome.ignored.other_events);
            add(&mut counts.other_events, u64::from(outcome.heartbeat.is_some()));
            add(&mut counts.clock_off, u64::try_from(outcome.clocks_off.len()).unwrap_or(u64::MAX));
            for problem in &outcome.problems {
                add(counts.rejected.entry(problem.slug.text()).or_default(), 1);
            }
            // Those beyond the list have no slug any more.
            let unlisted = outcome.rejected.saturating_sub(listed);
            if unlisted > 0 {
                add(counts.rejected.entry("unlisted").or_default(), unlisted);
            }
        });
        self.seen(now_ms, &outcome.cameras_seen);
    }

    /// Notes a sign of life.
    pub(super) fn seen(&self, now_ms: i64, cameras: &[u32]) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for camera in cameras {
            book.heard.entry(*camera).or_default().last_seen_ms = Some(now_ms);
        }
    }

    /// Counts what became of reads at the sealer, whenever they came: of their cameras, and of the sources that still have a name.
    pub(super) fn judged<'a>(
        &self,
        reads: impl Iterator<Item = (&'a Read, Fate)>,
        name_of: impl Fn(u16) -> Option<&'a str>,
    ) {
        let mut of_sources: BTreeMap<(u16, bool), u64> = BTreeMap::new();
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (read, fate) in reads {
            let is_stored = match fate {
                Fate::Stored => true,
                Fate::TooOld => false,
                Fate::Not(_) => continue,
            };
            add(&mut book.heard.entry(read.camera).or_default().reads, u64::from(is_stored));
            add(of_sources.entry((read.source, is_stored)).or_default(), 1);
        }
        drop(book);
        for ((source, is_stored), times) in of_sources {
            match name_of(source) {
                Some(name) if is_stored => self.of(name, |counts| add(&mut counts.accepted, times)),
                Some(name) => self.rejected(name, Slug::TooOld, times),
                None => {}
            }
        }
    }

    /// What was heard of every camera that was heard.
    pub(super) fn heard(&self) -> BTreeMap<u32, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).heard.clone()
    }

    /// Counts held reads that were given up.
    pub(super) fn lost_held(&self, times: usize) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut book.lost_held, u64::try_from(times).unwrap_or(u64::MAX));
    }

    /// All of it.
    pub(super) fn health(
        &self,
        cameras: Vec<CameraHealth>,
        waiting: usize,
        load: LoadHealth,
        shapes: Option<Vec<FailedShape>>,
    ) -> IntakeHealth {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        IntakeHealth { sources: book.sources.clone(), cameras, waiting, lost_held: book.lost_held, load, shapes }
    }
}

/// Adds and saturates.
pub(super) fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}

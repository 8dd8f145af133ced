//! The whole way from [`Parsed`] to reads ready to be sealed, as one state machine: camera, clock, frames, duplicates, hold.
//! It never drops a good read in silence: each is sealed, held, or counted as a duplicate. What it returns goes to the
//! sealer; what could not be made durable must be given back with [`Intake::not_durable`].

use std::collections::BTreeMap;

use lockplate_core::read::Read;

use crate::duplicates::{Duplicates, Hasher};
use crate::frames::FrameGrouper;
use crate::hold::{Held, HoldTable};
use crate::limits::{CLOCKS_MAX, DUPLICATE_ID_MS, DUPLICATE_PARKED_MS, DUPLICATE_PLATE_MS, DUPLICATE_RESENT_MS};
use crate::normalise::{Arrival, CameraClock, Clock, Placement, Rules, normalise};
use crate::source::{Heartbeat, Ignored, Observation, Parsed, Problem, Slug, Stage};
use crate::time::whole_minute;

/// A read that is ready for the sealer.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealable {
    /// The read.
    pub read: Read,
    /// Its epoch: `Open` or `Late`.
    pub placement: Placement,
    /// Picture of the plate, for a blob.
    pub crop: Option<Vec<u8>>,
    /// Its source was told "held" before, and need not say it again.
    pub was_held: bool,
    notes: Vec<u64>,
    /// As hot lists look at it once it is durable; none of a file that is brought in.
    live: Option<Live>,
}

/// What hot lists need to know of a read beside itself.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Live {
    track: u64,
    of_frames: bool,
    conf_min: u16,
    is_parked: bool,
}

impl Live {
    fn of(held: &Held) -> Option<Self> {
        // Old reads are looked through with a request, and so they are looked through in public.
        let is_live = held.rules.arrival == Arrival::Live;
        is_live.then_some(Self {
            track: held.track,
            of_frames: held.of_frames,
            conf_min: held.rules.conf_min,
            is_parked: held.observation.parked,
        })
    }

    fn see(self, read: &Read, crop: Option<&Vec<u8>>, is_final: bool) -> Seen {
        let Self { track, of_frames, conf_min, is_parked } = self;
        Seen { read: read.clone(), crop: crop.cloned(), track, is_final, of_frames, conf_min, is_parked }
    }
}

impl Sealable {
    /// To be compared with hot lists once it is durable.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        self.live.map(|live| live.see(&self.read, self.crop.as_ref(), true))
    }
}

impl core::fmt::Debug for Sealable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sealable(..)")
    }
}

/// A read as hot lists are compared with it: once it is final and durable, and while it is held as often as its source says more.
#[derive(Clone)]
pub struct Seen {
    /// The read as it stands.
    pub read: Read,
    /// Picture of the plate.
    pub crop: Option<Vec<u8>>,
    /// The pass, the same for everything that was held for it; 0 of a read that was never held.
    pub track: u64,
    /// Nothing more comes of this pass.
    pub is_final: bool,
    /// Its source sends frames: a read of one frame is a glimpse.
    pub of_frames: bool,
    /// Confidence below which this engine's texts are too often wrong to act on, 1/1000; 0 for most.
    pub conf_min: u16,
    /// The source says parked or stationary.
    pub is_parked: bool,
}

impl core::fmt::Debug for Seen {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seen(..)")
    }
}

/// What became of a payload, or of what was waiting.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// To be sealed, in order.
    pub sealables: Vec<Sealable>,
    /// What is held, to be compared with hot lists as it stands.
    pub seen: Vec<Seen>,
    /// Observations that wait: held, or in the frame grouper.
    pub held: u64,
    /// Repeats, answered as success.
    pub duplicates: u64,
    /// Refused.
    pub rejected: u64,
    /// The first of the refused.
    pub problems: Vec<Problem>,
    /// Seen, not stored.
    pub ignored: Ignored,
    /// Cameras heard, for `last_seen`.
    pub cameras_seen: Vec<u32>,
    /// Cameras whose clock is off: alarm `camera-clock`.
    pub clocks_off: Vec<u32>,
    /// Sign of life.
    pub heartbeat: Option<Heartbeat>,
}

/// State of intake: one per recorder.
#[derive(Debug)]
pub struct Intake {
    hasher: Hasher,
    duplicates: Duplicates,
    hold: HoldTable,
    frames: FrameGrouper,
    clocks: BTreeMap<u32, (i64, CameraClock)>,
    remember_ms: i64,
}

impl Intake {
    /// With 32 random bytes for the duplicate hashes; they live as long as the process.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            hasher: Hasher::new(key),
            duplicates: Duplicates::default(),
            hold: HoldTable::default(),
            frames: FrameGrouper::default(),
            clocks: BTreeMap::new(),
            remember_ms: DUPLICATE_RESENT_MS,
        }
    }

    /// Remembers no read for longer than this, ms, nor for longer than any repeat is looked for (24 h): a keyed hash of a plate
    /// and a camera is no longer there than the read may be.
    #[must_use]
    pub fn forgetting_after(self, remember_ms: i64) -> Self {
        Self { remember_ms: remember_ms.clamp(0, DUPLICATE_RESENT_MS), ..self }
    }

    /// True if of what a payload says something would wait that does not belong to what is held already: once it is taken, there must
    /// be a place for it.
    pub fn holds_more(
        &self,
        now_ms: i64,
        rules: &Rules,
        parsed: &Parsed,
        mut camera_of: impl FnMut(&str) -> Option<u32>,
    ) -> bool {
        parsed.observations.iter().any(|o| match (o.stage, camera_of(&o.camera_key)) {
            (Stage::Final, _) | (_, None) => false,
            (Stage::Frame, Some(_)) => !self.frames.ignores(now_ms, rules.source, &o.agent),
            (Stage::Refining | Stage::Ending, Some(camera)) => !self.hold.holds(&self.hold_keys(rules, camera, o)),
        })
    }

    /// Takes what a payload said. `camera_of` is the camera register of this source.
    pub fn take(
        &mut self,
        now_ms: i64,
        rules: Rules,
        parsed: Parsed,
        mut camera_of: impl FnMut(&str) -> Option<u32>,
    ) -> Outcome {
        let mut out = Outcome {
            rejected: parsed.rejected,
            problems: parsed.problems,
            ignored: parsed.ignored,
            heartbeat: parsed.heartbeat,
            ..Outcome::default()
        };
        if let Some(agent) = &parsed.group_agent {
            self.frames.group_seen(now_ms, rules.source, agent);
        }
        for observation in parsed.observations {
            match camera_of(&observation.camera_key) {
                Some(camera) => {
                    if out.cameras_seen.last() != Some(&camera) {
                        out.cameras_seen.push(camera);
                    }
                    let (held_out, track, of_frames) = (false, 0, observation.stage == Stage::Frame);
                    let held = Held { rules, camera, received_at: now_ms, observation, held_out, track, of_frames };
                    self.admit(now_ms, held, &mut out);
                }
                None => refuse(&mut out, Slug::UnknownCamera, observation.line),
            }
        }
        for id in &parsed.over {
            self.hold.end(now_ms, self.hold_key(rules.source, id));
        }
        out.cameras_seen.sort_unstable();
        out.cameras_seen.dedup();
        out.clocks_off.sort_unstable();
        out.clocks_off.dedup();
        out
    }

    /// Forgets what [`forgetting_after`](Self::forgetting_after) says. Part of [`tick`](Self::tick).
    pub fn forget_old(&mut self, now_ms: i64) {
        self.duplicates.forget_before(now_ms.saturating_sub(self.remember_ms));
    }

    /// What has waited long enough. To be called about once a second.
    pub fn tick(&mut self, now_ms: i64) -> Outcome {
        self.forget_old(now_ms);
        let due: Vec<Held> = self.hold.tick(now_ms).into_iter().chain(self.frames.tick(now_ms)).collect();
        self.finish_all(now_ms, due)
    }

    /// Everything that waits: at SIGTERM, and at the end of an import.
    pub fn drain(&mut self, now_ms: i64) -> Outcome {
        let due: Vec<Held> = self.hold.drain().into_iter().chain(self.frames.drain()).collect();
        self.finish_all(now_ms, due)
    }

    /// A read could not be made durable and its source is told so: its repeat is not a duplicate.
    pub fn not_durable(&mut self, sealable: &Sealable) {
        for note in &sealable.notes {
            self.duplicates.forget(*note);
        }
    }

    /// What was known of clocks when the process before this one ended ([`right_clocks`](Self::right_clocks)): what a camera or a broker kept
    /// meanwhile is late, and no wrong clock.
    pub fn know_clocks(&mut self, right: BTreeMap<u32, i64>) {
        for (camera, at) in right.into_iter().take(CLOCKS_MAX) {
            self.clocks.insert(camera, (at, CameraClock::known(at)));
        }
    }

    /// Takes the time that an agent says with a sign of life of a camera: it is that of the camera's reads.
    pub fn hear_clock(&mut self, now_ms: i64, camera: u32, agent_time_ms: i64) {
        self.clock_of(now_ms, camera).judge(agent_time_ms, now_ms);
    }

    /// From when on each camera's queue may have kept reads ([`CameraClock::kept_from`]), Unix ms, to the minute: when a car passed is nobody's
    /// business.
    #[must_use]
    pub fn right_clocks(&self) -> BTreeMap<u32, i64> {
        self.clocks
            .iter()
            .filter_map(|(camera, (_, clock))| Some((*camera, whole_minute(clock.kept_from()?))))
            .collect()
    }

    /// What the clock of a camera shows ([`CameraClock::reading`]); none before its first live read.
    #[must_use]
    pub fn clock_reading(&self, camera: u32) -> Option<(i64, Clock)> {
        self.clocks.get(&camera)?.1.reading()
    }

    fn finish_all(&mut self, now_ms: i64, due: Vec<Held>) -> Outcome {
        let mut out = Outcome::default();
        for held in due {
            self.finish(now_ms, held, true, &mut out);
        }
        out
    }

    fn admit(&mut self, now_ms: i64, held: Held, out: &mut Outcome) {
        let o = &held.observation;
        match o.stage {
            Stage::Frame if self.frames.ignores(now_ms, held.rules.source, &o.agent) => {
                out.ignored.frames = out.ignored.frames.saturating_add(1);
            }
            Stage::Frame => {
                out.held = out.held.saturating_add(1);
                for over in self.frames.take(now_ms, held) {
                    self.finish(now_ms, over, true, out);
                }
            }
            Stage::Refining if self.is_duplicate(now_ms, &held) => {
                out.duplicates = out.duplicates.saturating_add(1);
            }
            // A last word is held without looking for it among the repeats: if it goes back to a text that was sealed, what was held
            // in between must not be sealed for it.
            Stage::Refining | Stage::Ending => {
                out.held = out.held.saturating_add(1);
                let keys = self.hold_keys(&held.rules, held.camera, &held.observation);
                let over = self.hold.hold(now_ms, keys, held);
                if let Some(held) = self.hold.latest() {
                    // Judged by a copy: only reads that are sealed tell how a camera's clock goes.
                    let mut clock = self.clocks.get(&held.camera).map(|(_, clock)| clock.clone()).unwrap_or_default();
                    let placed = normalise(held, &mut clock);
                    if let Some(live) = Live::of(held).filter(|_| placed.placement != Placement::TooOld) {
                        out.seen.push(live.see(&placed.read, held.observation.crop.as_ref(), false));
                    }
                }
                for over in over {
                    self.finish(now_ms, over, true, out);
                }
            }
            Stage::Final => {
                // What was held under the same pass is replaced by the final word.
                let keys = self.hold_keys(&held.rules, held.camera, &held.observation);
                let mut held = held;
                let earlier = self.hold.release(&keys);
                let was_held = earlier.is_some();
                if let Some(earlier) = earlier {
                    held.follow(earlier);
                }
                self.finish(now_ms, held, was_held, out);
            }
        }
    }

    fn finish(&mut self, now_ms: i64, held: Held, was_held: bool, out: &mut Outcome) {
        if self.is_duplicate(now_ms, &held) {
            out.duplicates = out.duplicates.saturating_add(1);
            return;
        }
        let placed = normalise(&held, self.clock_of(now_ms, held.camera));
        if placed.clock == Clock::Off {
            out.clocks_off.push(held.camera);
        }
        if placed.placement == Placement::TooOld {
            return refuse(out, Slug::TooOld, held.observation.line);
        }
        let mut notes = self.id_hashes(&held);
        // A row of a file is compared with no list: it must not stand for the live read of the same picture, which comes after it.
        if held.rules.arrival == Arrival::Import {
            notes = self.file_hashes(&notes);
        }
        for hash in &notes {
            self.duplicates.sealed(*hash, now_ms);
        }
        if held.rules.arrival == Arrival::Live {
            let pass = self.pass_hash(&held);
            self.duplicates.sealed(pass, held.observation.time.ms);
            notes.push(pass);
        }
        let live = Live::of(&held);
        let Held { observation, .. } = held;
        let crop = observation.crop;
        out.sealables.push(Sealable { read: placed.read, placement: placed.placement, crop, was_held, notes, live });
    }

    fn is_duplicate(&self, now_ms: i64, held: &Held) -> bool {
        let o = &held.observation;
        let id_window = if held.rules.resends { DUPLICATE_RESENT_MS } else { DUPLICATE_ID_MS };
        let mut ids = self.id_hashes(held);
        if held.rules.arrival == Arrival::Import {
            ids.extend(self.file_hashes(&ids));
        }
        let by_id = ids.iter().any(|hash| self.duplicates.seen(*hash, now_ms, id_window));
        let pass_window = match (held.rules.arrival, o.parked, o.engine_id.is_none()) {
            // Lines of a file are distinct events: a repeat has an id, or is a repeated line number.
            (Arrival::Import, _, _) | (Arrival::Live, false, false) => None,
            (Arrival::Live, true, _) => Some(DUPLICATE_PARKED_MS),
            (Arrival::Live, false, true) => Some(DUPLICATE_PLATE_MS),
        };
        by_id || pass_window.is_some_and(|window| self.duplicates.seen(self.pass_hash(held), o.time.ms, window))
    }

    /// One for each id. The text is part of it: the same id with another text is a correction, a new read.
    fn id_hashes(&self, held: &Held) -> Vec<u64> {
        let source = held.rules.source.to_be_bytes();
        let text = held.observation.plate.expose_text().as_bytes();
        held.observation.ids().map(|id| self.hasher.hash(&[b"id", &source, id.as_bytes(), text])).collect()
    }

    /// Of ids that stood in a file.
    fn file_hashes(&self, ids: &[u64]) -> Vec<u64> {
        ids.iter().map(|id| self.hasher.hash(&[b"file", &id.to_be_bytes()])).collect()
    }

    fn pass_hash(&self, held: &Held) -> u64 {
        let text = held.observation.plate.expose_text().as_bytes();
        self.hasher.hash(&[b"pass", &held.camera.to_be_bytes(), text])
    }

    fn hold_keys(&self, rules: &Rules, camera: u32, observation: &Observation) -> Vec<u64> {
        match &observation.track {
            Some(track) => {
                let (source, camera) = (rules.source.to_be_bytes(), camera.to_be_bytes());
                vec![self.hasher.hash(&[b"track", &source, &camera, track.as_bytes()])]
            }
            None => observation.ids().map(|id| self.hold_key(rules.source, id)).collect(),
        }
    }

    fn hold_key(&self, source: u16, id: &str) -> u64 {
        self.hasher.hash(&[b"hold", &source.to_be_bytes(), id.as_bytes()])
    }

    fn clock_of(&mut self, now_ms: i64, camera: u32) -> &mut CameraClock {
        if self.clocks.len() >= CLOCKS_MAX && !self.clocks.contains_key(&camera) {
            let stalest = self.clocks.iter().min_by_key(|(_, (heard, _))| *heard).map(|(camera, _)| *camera);
            if let Some(stalest) = stalest {
                self.clocks.remove(&stalest);
            }
        }
        let (heard, clock) = self.clocks.entry(camera).or_default();
        *heard = now_ms;
        clock
    }
}

fn refuse(out: &mut Outcome, slug: Slug, line: Option<u64>) {
    out.rejected = out.rejected.saturating_add(1);
    if out.problems.len() < crate::limits::PROBLEMS_MAX {
        out.problems.push(Problem { line, slug, pointer: None });
    }
}

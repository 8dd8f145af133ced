//! From an observation to a read: camera number, engine reference, the judgement of the camera's clock, and the epoch it
//! belongs to (`intake.md` sections 1 and 4). Nothing is corrected silently.

use std::collections::VecDeque;

use lockplate_core::read::{Read, ReadFlags, TimeQuality};
use sha2::{Digest as _, Sha256};

use crate::hold::Held;
use lockplate_core::limits::JURISDICTION_CONF_MIN;

use crate::limits::{
    CLOCK_OFFSET_EARLY_MS_MAX, CLOCK_OFFSET_MS_MAX, CLOCK_READS_MIN, CLOCK_RIGHT_MS, CLOCK_WINDOW_READS, LATE_AFTER_MS,
};
use crate::source::SourceConfig;

/// How payloads come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Pushed while it happens.
    Live,
    /// `lockplate import`: always late epochs, by capture time.
    Import,
}

/// What of a source's configuration the normalisation of its reads needs, also while they are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Source number.
    pub source: u16,
    /// A named jurisdiction without confidence becomes part of the key.
    pub trust_jurisdiction: bool,
    /// Ids are remembered for 24 h.
    pub resends: bool,
    /// The time of the first message with a text stays.
    pub keeps_time: bool,
    /// Longest ordinary time from the picture to its message, ms.
    pub delay_ms: i64,
    /// Confidence below which this engine's texts are too often wrong to act on, 1/1000; 0 for most.
    pub conf_min: u16,
    /// How it came.
    pub arrival: Arrival,
    /// Of an answer of a source that is asked: how far back it tells what was not asked for before, ms; else 0. Up to so old its reads
    /// are where it is our doing, and they say nothing of its clock.
    pub pause_ms: i64,
    /// Retention, ms.
    pub retention_ms: i64,
}

impl Rules {
    /// Of a source.
    #[must_use]
    pub const fn new(config: &SourceConfig, arrival: Arrival, retention_ms: i64) -> Self {
        let profile = config.kind.profile();
        Self {
            source: config.number,
            trust_jurisdiction: config.trust_jurisdiction,
            resends: config.resends,
            keeps_time: profile.keeps_time,
            delay_ms: profile.delay_ms,
            conf_min: profile.conf_min,
            arrival,
            pause_ms: 0,
            retention_ms,
        }
    }
}

/// The epoch a read belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The open one.
    Open,
    /// A late epoch labelled by this capture time, Unix ms.
    Late {
        /// Unix ms.
        captured_at: i64,
    },
    /// Past retention: refused.
    TooOld,
}

/// Is the camera's clock right?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Right.
    Good,
    /// Wrong: alarm `camera-clock`.
    Off,
}

/// The clock of one camera: offset is the smallest `received_at - captured_at` of its last reads.
#[derive(Clone, Debug, Default)]
pub struct CameraClock {
    offsets: VecDeque<i64>,
    heard_at: i64,
    /// When it was right last: whoever sends a backlog between two reads of now has a good clock, however many reads that are.
    right_at: Option<i64>,
    /// From when on a queue may have kept reads: when it was right before nobody could hear it, until nothing old has come for a while.
    kept_from: Option<i64>,
    /// When a queue was known to be filled last.
    kept_at: Option<i64>,
    /// That was before this process: nobody knows what happened to the camera since.
    is_of_before: bool,
    /// Offset and time of receipt of a read since that was not of now: the first one, and of a long backlog another each quarter of an hour.
    behind: Option<(i64, i64)>,
}

impl CameraClock {
    /// One of which a process before this one said [`kept_from`](Self::kept_from).
    #[must_use]
    pub fn known(kept_from: i64) -> Self {
        Self { right_at: Some(kept_from), kept_from: Some(kept_from), is_of_before: true, ..Self::default() }
    }

    /// What a process after this one must know, Unix ms: reads captured from then on may still come from a queue. Mostly when the clock was
    /// right last; where such reads come just now, when it was right before nobody could hear it.
    #[must_use]
    pub const fn kept_from(&self) -> Option<i64> {
        self.kept_from
    }

    /// Judges one read and remembers it.
    pub fn judge(&mut self, captured_at: i64, received_at: i64) -> Clock {
        let own = received_at.saturating_sub(captured_at);
        let silence = received_at.saturating_sub(self.heard_at);
        // Where a camera was away in the middle of its backlog, its times stood still meanwhile. Those of a wrong clock went on.
        let grew = self.offsets.back().map_or(0, |last| own.saturating_sub(*last));
        if silence > CLOCK_RIGHT_MS && grew >= silence / 2 {
            self.behind = None;
        }
        // Two in a row that come beside reads of now: the queue reaches back at least to the later of them.
        if let (Some(right_at), Some(last)) = (self.right_at, self.offsets.back()) {
            let queued = captured_at.max(self.heard_at.saturating_sub(*last));
            if !self.is_of_before && received_at.saturating_sub(right_at) <= CLOCK_RIGHT_MS {
                self.kept_from = self.kept_from.map(|from| from.min(queued));
            }
        }
        if self.offsets.len() >= CLOCK_WINDOW_READS {
            self.offsets.pop_front();
        }
        self.offsets.push_back(own);
        self.heard_at = received_at;
        if own.saturating_abs() <= CLOCK_OFFSET_MS_MAX {
            self.hear_right();
        } else {
            self.hear_other(own);
        }
        self.reading().map_or(Clock::Good, |(_, clock)| clock)
    }

    fn hear_right(&mut self) {
        let now = self.heard_at;
        // Signs of life and new reads overtake what a queue kept: after a time in which nobody could hear it, that comes from now on.
        let was_away = self.right_at.is_some_and(|at| self.passed(at) > LATE_AFTER_MS);
        if self.kept_at.is_none_or(|at| self.passed(at) > CLOCK_RIGHT_MS) {
            (self.kept_from, self.kept_at) = if was_away { (self.right_at, Some(now)) } else { (Some(now), None) };
        }
        (self.right_at, self.is_of_before, self.behind) = (Some(now), false, None);
    }

    fn hear_other(&mut self, own: i64) {
        if own > 0 && self.right_at.is_some() {
            self.kept_at = Some(self.heard_at);
        }
        // What a queue can have kept at most: one read of the far past says nothing of the next ones.
        let most = self.kept_from.map_or(i64::MAX, |from| self.passed(from).saturating_add(CLOCK_OFFSET_MS_MAX));
        let (first, first_at) = *self.behind.get_or_insert((own.min(most), self.heard_at));
        if self.passed(first_at) > CLOCK_RIGHT_MS && first.saturating_sub(own) >= self.passed(first_at) {
            self.behind = Some((own, self.heard_at));
        }
    }

    /// The offset, ms, and the judgement of the last read; none before the first. Positive: the camera's clock is behind, or
    /// its reads are that long on their way.
    #[must_use]
    pub fn reading(&self) -> Option<(i64, Clock)> {
        let own = *self.offsets.back()?;
        let (offset, bound) = if self.offsets.len() >= CLOCK_READS_MIN {
            (self.offsets.iter().copied().min().unwrap_or(own), CLOCK_OFFSET_MS_MAX)
        } else {
            (own, CLOCK_OFFSET_EARLY_MS_MAX)
        };
        let right = !self.is_of_before && self.right_at.is_some_and(|at| self.passed(at) <= CLOCK_RIGHT_MS);
        let good = right || offset.saturating_abs() <= bound || self.is_backlog(own);
        Some((offset, if good && own >= -CLOCK_OFFSET_MS_MAX { Clock::Good } else { Clock::Off }))
    }

    /// Whether a read is of the time since the clock was right before nobody could hear the camera: so comes what it, or its broker, kept. A
    /// clock that went wrong meanwhile by less than that can look the same; it is believed for as long as one that was right is, and beyond
    /// that only while the times of its reads go by twice as fast as they come, which those of a wrong clock do not.
    fn is_backlog(&self, own: i64) -> bool {
        let (Some(kept_from), Some((_, first_at))) = (self.kept_from, self.behind) else { return false };
        let captured_at = self.heard_at.saturating_sub(own);
        captured_at >= kept_from.saturating_sub(CLOCK_OFFSET_MS_MAX) && self.passed(first_at) <= CLOCK_RIGHT_MS
    }

    const fn passed(&self, since: i64) -> i64 {
        self.heard_at.saturating_sub(since)
    }
}

/// A read and where it belongs.
#[derive(Clone, PartialEq, Eq)]
pub struct Placed {
    /// The read.
    pub read: Read,
    /// Its epoch.
    pub placement: Placement,
    /// The judgement on the camera's clock.
    pub clock: Clock,
}

impl core::fmt::Debug for Placed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Placed(..)")
    }
}

/// Whether a read is old because its source was not asked before: that says nothing of a clock.
fn waited(rules: Rules, age: i64) -> bool {
    let on_its_way =
        if rules.pause_ms > LATE_AFTER_MS { LATE_AFTER_MS } else { rules.delay_ms.max(CLOCK_OFFSET_MS_MAX) };
    rules.pause_ms > 0 && age > CLOCK_OFFSET_MS_MAX && age <= rules.pause_ms.saturating_add(on_its_way)
}

/// Normalises; the age of a read counts up to the receipt of the message that its time is from.
#[must_use]
pub fn normalise(held: &Held, clock: &mut CameraClock) -> Placed {
    let (o, rules, received_at) = (&held.observation, held.rules, held.received_at);
    let age = received_at.saturating_sub(o.time.ms);
    let judged = match rules.arrival {
        // What is known of the clock stays, also where the time is that of an object's start, however long ago.
        Arrival::Live
            if waited(rules, age) || (o.time.quality == TimeQuality::ObjectStart && age >= -CLOCK_OFFSET_MS_MAX) =>
        {
            clock.reading().map_or(Clock::Good, |(_, known)| known)
        }
        Arrival::Live => {
            let delay = received_at.saturating_sub(o.time.ms).min(rules.delay_ms).max(0);
            clock.judge(o.time.ms, received_at.saturating_sub(delay))
        }
        Arrival::Import if o.time.ms.saturating_sub(received_at) > CLOCK_OFFSET_MS_MAX => Clock::Off,
        Arrival::Import => Clock::Good,
    };
    let late = rules.arrival == Arrival::Import || age > LATE_AFTER_MS;
    let mut flags = ReadFlags::default();
    if o.plate.is_overlong() {
        flags = flags.with(ReadFlags::OVERLONG);
    }
    if held.held_out {
        flags = flags.with(ReadFlags::HELD_OUT);
    }
    let (captured_at, source_time, time_quality, placement) = match judged {
        Clock::Off => {
            flags = flags.with(ReadFlags::CLOCK_OFF);
            (received_at, Some(o.time.ms), TimeQuality::ReceiveTime, Placement::Open)
        }
        Clock::Good if age > rules.retention_ms => (o.time.ms, None, o.time.quality, Placement::TooOld),
        Clock::Good if late => {
            flags = flags.with(ReadFlags::LATE);
            (o.time.ms, None, o.time.quality, Placement::Late { captured_at: o.time.ms })
        }
        Clock::Good => (o.time.ms, None, o.time.quality, Placement::Open),
    };
    let trusted =
        o.jurisdiction.is_some() && o.jur_conf.map_or(rules.trust_jurisdiction, |conf| conf >= JURISDICTION_CONF_MIN);
    let read = Read {
        source: rules.source,
        engine_ref: o.engine_id.as_deref().map(|id| engine_ref(rules.source, id)),
        camera: held.camera,
        captured_at,
        source_time,
        time_quality,
        plate: o.plate.clone(),
        jurisdiction: o.jurisdiction,
        jur_conf: o.jur_conf.filter(|_| o.jurisdiction.is_some()),
        jurisdiction_trusted: trusted,
        conf: o.conf,
        vehicle: o.vehicle,
        motion: o.motion,
        frames: o.frames,
        flags,
    };
    Placed { read, placement, clock: judged }
}

/// First 8 bytes of SHA-256("LPv1 engine-ref" || u16 source || the engine's id).
#[must_use]
pub fn engine_ref(source: u16, id: &str) -> [u8; 8] {
    let digest =
        Sha256::new().chain_update(b"LPv1 engine-ref").chain_update(source.to_be_bytes()).chain_update(id).finalize();
    let mut out = [0; 8];
    out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    out
}

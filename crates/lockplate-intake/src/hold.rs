//! Reads that may still be refined, in memory only. At a limit the oldest is handed out as it stands, never dropped; a
//! crash loses what is held.

use std::collections::BTreeMap;

use lockplate_core::read::TimeQuality;

use crate::limits::{ALIASES_MAX, HOLD_BYTES_MAX, HOLD_ENDING_MS, HOLD_MS_MAX, HOLD_READS_MAX};
use crate::normalise::Rules;
use crate::source::{Observation, Stage};

/// An observation whose camera is known.
#[derive(Clone)]
pub struct Held {
    /// Rules of its source.
    pub rules: Rules,
    /// Camera number.
    pub camera: u32,
    /// When the message that its time is from came, Unix ms.
    pub received_at: i64,
    /// What the source says so far.
    pub observation: Observation,
    /// The hold ended before the source said final.
    pub held_out: bool,
    /// The pass it belongs to, while it is held; 0 of one that never was.
    pub track: u64,
    /// Its source sends frames.
    pub of_frames: bool,
}

impl core::fmt::Debug for Held {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Held(..)")
    }
}

impl Held {
    /// Takes over from an earlier message about the same pass what this one does not say; its ids stay duplicate keys.
    pub(crate) fn follow(&mut self, earlier: Self) {
        self.track = earlier.track;
        let (to, from) = (&mut self.observation, earlier.observation);
        let is_better = to.time.quality != TimeQuality::ObjectStart && from.time.quality == TimeQuality::ObjectStart;
        if self.rules.keeps_time && to.plate == from.plate && !is_better {
            to.time = from.time;
            self.received_at = earlier.received_at;
        }
        let room = ALIASES_MAX.saturating_sub(to.aliases.len());
        let known: Vec<String> =
            from.ids().filter(|id| !to.ids().any(|own| own == *id)).take(room).map(str::to_owned).collect();
        to.aliases.extend(known);
        to.crop = to.crop.take().or(from.crop);
        to.vehicle.class = to.vehicle.class.or(from.vehicle.class);
    }

    /// Bytes it is counted with: its heap and a flat share for the tables.
    fn bytes(&self) -> usize {
        let o = &self.observation;
        let texts = [o.camera_key.len(), o.agent.len(), o.crop.as_ref().map_or(0, Vec::len)];
        let ids = o.ids().map(|id| id.len().saturating_add(64));
        texts.into_iter().chain(ids).fold(512, usize::saturating_add)
    }
}

#[derive(Debug)]
struct Entry {
    since: i64,
    /// Set once the source said that it is over.
    ends_at: Option<i64>,
    keys: Vec<u64>,
    bytes: usize,
    held: Held,
}

/// The hold table.
#[derive(Debug, Default)]
pub struct HoldTable {
    entries: BTreeMap<u64, Entry>,
    by_key: BTreeMap<u64, u64>,
    bytes: usize,
    serial: u64,
}

impl HoldTable {
    /// Holds `held` under all of `keys`, in place of what was held under any of them. Returns what the limits push out.
    pub fn hold(&mut self, now_ms: i64, mut keys: Vec<u64>, mut held: Held) -> Vec<Held> {
        let mut since = now_ms;
        let is_over = held.observation.stage == Stage::Ending;
        let mut ends_at = is_over.then(|| now_ms.saturating_add(HOLD_ENDING_MS));
        let older: Vec<u64> = keys.iter().filter_map(|key| self.by_key.get(key).copied()).collect();
        for serial in older {
            if let Some(entry) = self.remove(serial) {
                // The limit runs from the first message; ids seen before still lead here.
                since = since.min(entry.since);
                ends_at = ends_at.into_iter().chain(entry.ends_at).min();
                keys.extend(entry.keys);
                held.follow(entry.held);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(ALIASES_MAX.saturating_add(1));
        self.serial = self.serial.wrapping_add(1);
        if held.track == 0 {
            held.track = self.serial;
        }
        let bytes = held.bytes().saturating_add(keys.len().saturating_mul(64));
        self.bytes = self.bytes.saturating_add(bytes);
        self.by_key.extend(keys.iter().map(|key| (*key, self.serial)));
        self.entries.insert(self.serial, Entry { since, ends_at, keys, bytes, held });
        self.over_limits()
    }

    /// True if something is held under any of `keys`.
    #[must_use]
    pub fn holds(&self, keys: &[u64]) -> bool {
        keys.iter().any(|key| self.by_key.contains_key(key))
    }

    /// The source said that what is held under `key` is over, and no more.
    pub fn end(&mut self, now_ms: i64, key: u64) {
        if let Some(entry) = self.by_key.get(&key).and_then(|serial| self.entries.get_mut(serial)) {
            let at = now_ms.saturating_add(HOLD_ENDING_MS);
            entry.ends_at = Some(entry.ends_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// Ends the hold under any of `keys`: the source said final.
    pub fn release(&mut self, keys: &[u64]) -> Option<Held> {
        let serials: Vec<u64> = keys.iter().filter_map(|key| self.by_key.get(key).copied()).collect();
        serials.into_iter().filter_map(|serial| self.remove(serial)).last().map(|entry| entry.held)
    }

    /// What has been held for [`HOLD_MS_MAX`], or for [`HOLD_ENDING_MS`] after the source said that it is over.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Held> {
        let due = |entry: &Entry| {
            now_ms.saturating_sub(entry.since) >= HOLD_MS_MAX || entry.ends_at.is_some_and(|at| now_ms >= at)
        };
        let serials: Vec<u64> = self.entries.iter().filter(|(_, e)| due(e)).map(|(serial, _)| *serial).collect();
        serials.into_iter().filter_map(|serial| self.hold_out(serial)).collect()
    }

    /// Everything, at the end of the process.
    pub fn drain(&mut self) -> Vec<Held> {
        let serials: Vec<u64> = self.entries.keys().copied().collect();
        serials.into_iter().filter_map(|serial| self.hold_out(serial)).collect()
    }

    /// What was held last, as it stands now.
    #[must_use]
    pub fn latest(&self) -> Option<&Held> {
        self.entries.get(&self.serial).map(|entry| &entry.held)
    }

    /// Held reads.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn over_limits(&mut self) -> Vec<Held> {
        let mut out = Vec::new();
        while self.entries.len() > HOLD_READS_MAX || self.bytes > HOLD_BYTES_MAX {
            let Some((&oldest, _)) = self.entries.first_key_value() else { break };
            out.extend(self.hold_out(oldest));
        }
        out
    }

    fn hold_out(&mut self, serial: u64) -> Option<Held> {
        self.remove(serial).map(|entry| Held { held_out: entry.ends_at.is_none(), ..entry.held })
    }

    fn remove(&mut self, serial: u64) -> Option<Entry> {
        let entry = self.entries.remove(&serial)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        for key in &entry.keys {
            if self.by_key.get(key) == Some(&serial) {
                self.by_key.remove(key);
            }
        }
        Some(entry)
    }
}

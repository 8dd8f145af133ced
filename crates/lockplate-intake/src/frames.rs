//! Groups single video frames into one read a pass (`intake.md` 8.2, frame grouper). A state machine: time is an argument,
//! nothing is lost at a bound, the oldest track becomes final.

use std::collections::BTreeMap;

use crate::hold::Held;
use crate::limits::{
    AGENTS_MAX, TRACK_DISTANCE_MAX, TRACK_GROUPS_RULE_MS, TRACK_JOIN_MS_MAX, TRACK_SILENCE_MS, TRACK_TEXTS_MAX,
    TRACKS_MAX,
};

/// The frame grouper.
#[derive(Debug, Default)]
pub struct FrameGrouper {
    tracks: BTreeMap<(u16, u32), Vec<Track>>,
    count: usize,
    groups: BTreeMap<(u16, String), i64>,
}

#[derive(Debug)]
struct Track {
    votes: Vec<Vote>,
    last_ms: i64,
    touched: i64,
    frames: u16,
}

/// One text of a track.
#[derive(Debug)]
struct Vote {
    sum: u64,
    last_ms: i64,
    best: Held,
}

impl FrameGrouper {
    /// An agent sent a finished group: its frames are superfluous for a while.
    pub fn group_seen(&mut self, now_ms: i64, source: u16, agent: &str) {
        self.groups.retain(|_, at| now_ms.saturating_sub(*at) < TRACK_GROUPS_RULE_MS);
        if self.groups.len() < AGENTS_MAX {
            self.groups.insert((source, agent.to_owned()), now_ms);
        }
    }

    /// True while frames of this agent are to be ignored.
    #[must_use]
    pub fn ignores(&self, now_ms: i64, source: u16, agent: &str) -> bool {
        let at = self.groups.get(&(source, agent.to_owned()));
        at.is_some_and(|at| now_ms.saturating_sub(*at) < TRACK_GROUPS_RULE_MS)
    }

    /// Takes one frame's result; returns the passes that it shows to be over.
    pub fn take(&mut self, now_ms: i64, frame: Held) -> Vec<Held> {
        let key = (frame.rules.source, frame.camera);
        let time = frame.observation.time.ms;
        let tracks = self.tracks.entry(key).or_default();
        let (over, mut open): (Vec<Track>, Vec<Track>) = core::mem::take(tracks)
            .into_iter()
            .partition(|track| time.saturating_sub(track.last_ms) >= TRACK_SILENCE_MS);
        let text = frame.observation.plate.expose_text();
        let nearest = open
            .iter_mut()
            .filter(|track| track.last_ms.abs_diff(time) <= TRACK_JOIN_MS_MAX.unsigned_abs())
            .filter_map(|track| Some((distance(track.leading()?, text), track)))
            .filter(|(distance, _)| *distance <= TRACK_DISTANCE_MAX)
            .min_by_key(|(distance, _)| *distance);
        match nearest {
            Some((_, track)) => track.join(now_ms, frame),
            None => {
                open.push(Track::begin(now_ms, frame));
                self.count = self.count.saturating_add(1);
            }
        }
        *tracks = open;
        self.count = self.count.saturating_sub(over.len());
        let mut out: Vec<Held> = over.into_iter().filter_map(Track::finish).collect();
        if self.count > TRACKS_MAX {
            out.extend(self.oldest());
        }
        out
    }

    /// Passes that have been silent for [`TRACK_SILENCE_MS`].
    pub fn tick(&mut self, now_ms: i64) -> Vec<Held> {
        self.finish_where(|track| now_ms.saturating_sub(track.touched) >= TRACK_SILENCE_MS)
    }

    /// Everything, at the end of a file or of the process.
    pub fn drain(&mut self) -> Vec<Held> {
        self.finish_where(|_| true)
    }

    fn finish_where(&mut self, is_over: impl Fn(&Track) -> bool) -> Vec<Held> {
        let mut out = Vec::new();
        for tracks in self.tracks.values_mut() {
            let (over, open): (Vec<Track>, Vec<Track>) = core::mem::take(tracks).into_iter().partition(&is_over);
            *tracks = open;
            self.count = self.count.saturating_sub(over.len());
            out.extend(over.into_iter().filter_map(Track::finish));
        }
        self.tracks.retain(|_, tracks| !tracks.is_empty());
        out
    }

    fn oldest(&mut self) -> Vec<Held> {
        let touched = self.tracks.values().flatten().map(|track| track.touched).min();
        touched.map(|touched| self.finish_where(|track| track.touched <= touched)).unwrap_or_default()
    }
}

impl Track {
    fn begin(now_ms: i64, frame: Held) -> Self {
        let mut track = Self { votes: Vec::new(), last_ms: frame.observation.time.ms, touched: now_ms, frames: 0 };
        track.join(now_ms, frame);
        track
    }

    fn join(&mut self, now_ms: i64, frame: Held) {
        let time = frame.observation.time.ms;
        let weight = u64::from(frame.observation.conf.unwrap_or(1));
        self.last_ms = self.last_ms.max(time);
        self.touched = now_ms;
        let has_room = self.votes.len() < TRACK_TEXTS_MAX;
        let same = self.votes.iter_mut().find(|vote| vote.best.observation.plate == frame.observation.plate);
        match same {
            // The same text twice in one frame is one sighting.
            Some(vote) if vote.last_ms == time => {}
            Some(vote) => {
                vote.sum = vote.sum.saturating_add(weight);
                vote.last_ms = time;
                self.frames = self.frames.saturating_add(1);
                if frame.observation.conf > vote.best.observation.conf {
                    vote.best = frame;
                }
            }
            None if has_room => {
                self.frames = self.frames.saturating_add(1);
                self.votes.push(Vote { sum: weight, last_ms: time, best: frame });
            }
            None => self.frames = self.frames.saturating_add(1),
        }
    }

    /// The text with the largest sum of confidences; the earlier of two equal ones.
    fn leading(&self) -> Option<&str> {
        let best = self.votes.iter().rev().max_by_key(|vote| vote.sum)?;
        Some(best.best.observation.plate.expose_text())
    }

    fn finish(self) -> Option<Held> {
        let frames = self.frames;
        let mut best = self.votes.into_iter().rev().max_by_key(|vote| vote.sum)?.best;
        best.observation.frames = frames.max(1);
        best.observation.stage = crate::source::Stage::Final;
        Some(best)
    }
}

/// Levenshtein distance in characters; texts have at most 16.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (at, x) in a.chars().enumerate() {
        let mut diagonal = at;
        let mut left = at.saturating_add(1);
        let mut next = vec![left];
        for (y, &above) in b.chars().zip(row.iter().skip(1)) {
            let cell =
                diagonal.saturating_add(usize::from(x != y)).min(above.saturating_add(1)).min(left.saturating_add(1));
            next.push(cell);
            diagonal = above;
            left = cell;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        for (a, b, want) in
            [("627WI", "627WWI", 1), ("K179658", "K1T9658", 1), ("627WI", "K965B", 5), ("", "AB", 2), ("AB", "BA", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (want, want), "{a} {b}");
        }
    }
}

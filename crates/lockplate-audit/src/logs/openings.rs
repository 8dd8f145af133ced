//! What a keeper's log says about the openings of its own `request` leaves: embargoes prolonged by a court, openings published and erased,
//! reviews by auditors.

use std::collections::BTreeMap;

use lockplate_core::Timestamp;
use lockplate_core::entry::{EmbargoLeaf, OpeningPublished, OpeningsErased, ReviewLeaf};
use serde::Serialize;

use super::Said;

/// Where the openings of one leaf stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OpeningState {
    /// Closed.
    Closed,
    /// Window and notice are published.
    Published,
    /// Erased for ever.
    Erased,
}

/// Of one keeper's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpeningWords {
    /// Latest end of an embargo that a court prolonged, by index of the `request` leaf.
    embargoes: BTreeMap<u64, Timestamp>,
    /// Index of the leaf that says so, by index of the `request` leaf.
    published: BTreeMap<u64, u64>,
    /// Ends of erased ranges by their beginnings; no two of them touch.
    erased: BTreeMap<u64, u64>,
    /// How many openings were erased, by the log's own count.
    erased_count: u64,
    reviews: Vec<Said<ReviewLeaf>>,
}

impl OpeningWords {
    pub(super) fn embargo(&mut self, said: &EmbargoLeaf) {
        let until = self.embargoes.entry(said.request_index).or_insert(said.until);
        *until = said.until.max(*until);
    }

    pub(super) fn published(&mut self, index: u64, said: &OpeningPublished) {
        self.published.entry(said.index).or_insert(index);
    }

    pub(super) fn erased(&mut self, said: &OpeningsErased) {
        let (mut from, mut to) = (said.from, said.to);
        let before = self.erased.range(..=from).next_back().map(|(from, to)| (*from, *to));
        if let Some((begins, ends)) = before.filter(|(_, ends)| *ends >= from) {
            (from, to) = (begins, ends.max(to));
        }
        while let Some((begins, ends)) = self.erased.range(from..=to).next().map(|(from, to)| (*from, *to)) {
            self.erased.remove(&begins);
            to = ends.max(to);
        }
        self.erased.insert(from, to);
        self.erased_count = self.erased_count.saturating_add(said.count);
    }

    pub(super) fn review(&mut self, index: u64, time: Timestamp, said: &ReviewLeaf) {
        self.reviews.push(Said { index, time, entry: said.clone() });
    }

    /// Until when a court prolonged the embargo of a leaf.
    pub(crate) fn embargo_of(&self, index: u64) -> Option<Timestamp> {
        self.embargoes.get(&index).copied()
    }

    /// Where the openings of a leaf stand.
    pub(crate) fn state_of(&self, index: u64) -> OpeningState {
        let range = self.erased.range(..=index).next_back();
        if range.is_some_and(|(_, end)| index < *end) {
            OpeningState::Erased
        } else if self.published.contains_key(&index) {
            OpeningState::Published
        } else {
            OpeningState::Closed
        }
    }

    pub(crate) fn reviews(&self) -> &[Said<ReviewLeaf>] {
        &self.reviews
    }

    pub(crate) const fn erased_openings(&self) -> u64 {
        self.erased_count
    }
}

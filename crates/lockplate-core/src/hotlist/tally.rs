//! Numbers of alerts (`hotlists.md` section 7, "Published"): what a recorder counts in a day and puts into one leaf, and the figures that
//! raise alarms. No alert has a leaf of its own, and nothing here is finer than a day.

use std::collections::BTreeMap;

use super::alert::{AlertText, Closing};
use super::limits::MISREAD_PERCENT_ALARM;
use super::matching::Comparison;
use crate::entry::{
    AlertsClosed, AlertsEntryAge, AlertsLeaf, AlertsListAge, AlertsRaised, AlertsSuppressed, Day, Disposition,
    EntryAge, ListAge, ListClass, MatchKind, Suppression,
};

/// How old entry and list were when an alert was raised, as coarse as it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Of the entry.
    pub entry: EntryAge,
    /// Of the list.
    pub list: ListAge,
}

impl Ages {
    /// Of what an alert says.
    #[must_use]
    pub const fn of(text: &AlertText) -> Self {
        Self { entry: EntryAge::of_days(text.entry.age_days), list: ListAge::of_hours(text.entry.list_age_hours) }
    }
}

/// The alerts of one day while they are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayTally {
    raised: BTreeMap<(ListClass, MatchKind), u64>,
    handed: u64,
    taken: u64,
    entry_ages: BTreeMap<EntryAge, u64>,
    list_ages: BTreeMap<ListAge, u64>,
    suppressed: BTreeMap<Suppression, u64>,
    looked: u64,
    verified: u64,
    expired: u64,
    closed: BTreeMap<(ListClass, Disposition, bool), u64>,
    overdue: u64,
}

const fn more(count: &mut u64, n: u64) {
    *count = count.saturating_add(n);
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, n: u64) {
    more(counts.entry(key).or_default(), n);
}

/// The counts of a leaf, to go on from them after a restart.
impl From<&AlertsLeaf> for DayTally {
    fn from(leaf: &AlertsLeaf) -> Self {
        Self {
            raised: leaf.raised.iter().map(|one| ((one.class, one.matched), one.n)).collect(),
            handed: leaf.handed,
            taken: leaf.taken,
            entry_ages: leaf.entry_ages.iter().map(|one| (one.age, one.n)).collect(),
            list_ages: leaf.list_ages.iter().map(|one| (one.age, one.n)).collect(),
            suppressed: leaf.suppressed.iter().map(|one| (one.reason, one.n)).collect(),
            looked: leaf.looked,
            verified: leaf.verified,
            expired: leaf.expired,
            closed: leaf.closed.iter().map(|one| ((one.class, one.disposition, one.stopped), one.n)).collect(),
            overdue: leaf.overdue,
        }
    }
}

impl DayTally {
    /// What a comparison suppressed.
    pub fn compared(&mut self, comparison: &Comparison) {
        for (reason, n) in &comparison.suppressed {
            self.suppressed(*reason, *n);
        }
    }

    /// So many hits were suppressed for one reason.
    pub fn suppressed(&mut self, reason: Suppression, n: u64) {
        add(&mut self.suppressed, reason, n);
    }

    /// A hit at a camera here raised an alert.
    pub fn raised(&mut self, class: ListClass, matched: MatchKind, ages: Ages) {
        add(&mut self.raised, (class, matched), 1);
        add(&mut self.entry_ages, ages.entry, 1);
        add(&mut self.list_ages, ages.list, 1);
    }

    /// One that was raised is another agency's to look at.
    pub const fn handed(&mut self) {
        more(&mut self.handed, 1);
    }

    /// An alert that was raised elsewhere was taken over.
    pub const fn taken(&mut self) {
        more(&mut self.taken, 1);
    }

    /// Somebody looked at an alert.
    pub const fn looked(&mut self) {
        more(&mut self.looked, 1);
    }

    /// An alert was verified.
    pub const fn verified(&mut self) {
        more(&mut self.verified, 1);
    }

    /// So many alerts expired.
    pub const fn expired(&mut self, n: u64) {
        more(&mut self.expired, n);
    }

    /// A hit was the same alert once more (rule 10).
    pub fn repeated(&mut self) {
        add(&mut self.suppressed, Suppression::Repeated, 1);
    }

    /// An alert was closed.
    pub fn closed(&mut self, class: ListClass, closing: Closing) {
        add(&mut self.closed, (class, closing.disposition, closing.stopped), 1);
    }

    /// So many alerts became overdue.
    pub const fn overdue(&mut self, n: u64) {
        more(&mut self.overdue, n);
    }

    /// The day's leaf, in its order.
    #[must_use]
    pub fn leaf(&self, day: Day) -> AlertsLeaf {
        let raised =
            self.raised.iter().map(|((class, matched), n)| AlertsRaised { class: *class, matched: *matched, n: *n });
        let suppressed = self.suppressed.iter().map(|(reason, n)| AlertsSuppressed { reason: *reason, n: *n });
        let closed = self.closed.iter().map(|((class, disposition, stopped), n)| AlertsClosed {
            class: *class,
            disposition: *disposition,
            stopped: *stopped,
            n: *n,
        });
        let mut leaf = AlertsLeaf {
            day,
            raised: raised.collect(),
            handed: self.handed,
            taken: self.taken,
            entry_ages: self.entry_ages.iter().map(|(age, n)| AlertsEntryAge { age: *age, n: *n }).collect(),
            list_ages: self.list_ages.iter().map(|(age, n)| AlertsListAge { age: *age, n: *n }).collect(),
            suppressed: suppressed.collect(),
            looked: self.looked,
            verified: self.verified,
            expired: self.expired,
            closed: closed.collect(),
            overdue: self.overdue,
        };
        leaf.raised.sort_unstable_by_key(|one| (one.class.name(), one.matched.name()));
        leaf.suppressed.sort_unstable_by_key(|one| one.reason.name());
        leaf.closed.sort_unstable_by_key(|one| (one.class.name(), one.disposition.name(), one.stopped));
        leaf
    }
}

/// A month's alerts of one camera and engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MisreadRate {
    /// Closed as misreads.
    pub misread: u64,
    /// All alerts.
    pub alerts: u64,
}

impl MisreadRate {
    /// True above 20%: somebody looks after the camera, and the public sees the rate.
    #[must_use]
    pub const fn is_alarming(self) -> bool {
        self.misread.saturating_mul(100) > self.alerts.saturating_mul(MISREAD_PERCENT_ALARM)
    }
}

#[cfg(test)]
mod tests;

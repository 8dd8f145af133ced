//! Numbers of alerts (`hotlists.md` section 7, "Published"): what a recorder counts in a day and puts into one leaf, and the figures that
//! raise alarms. No alert has a leaf of its own, and nothing here is finer than a day.

use std::collections::BTreeMap;

use super::alert::Closing;
use super::limits::MISREAD_PERCENT_ALARM;
use super::matching::Comparison;
use crate::entry::Suppression;
use crate::entry::{AlertsClosed, AlertsLeaf, AlertsRaised, AlertsSuppressed, Day, Disposition, ListClass, MatchKind};

/// The alerts of one day while they are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayTally {
    raised: BTreeMap<(ListClass, MatchKind), u64>,
    suppressed: BTreeMap<Suppression, u64>,
    closed: BTreeMap<(ListClass, Disposition, bool), u64>,
    overdue: u64,
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, n: u64) {
    let sum = counts.entry(key).or_default();
    *sum = sum.saturating_add(n);
}

/// The counts of a leaf, to go on from them after a restart.
impl From<&AlertsLeaf> for DayTally {
    fn from(leaf: &AlertsLeaf) -> Self {
        Self {
            raised: leaf.raised.iter().map(|one| ((one.class, one.matched), one.n)).collect(),
            suppressed: leaf.suppressed.iter().map(|one| (one.reason, one.n)).collect(),
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

    /// A hit raised an alert.
    pub fn raised(&mut self, class: ListClass, matched: MatchKind) {
        add(&mut self.raised, (class, matched), 1);
    }

    /// A hit was the same alert once more (rule 10).
    pub fn repeated(&mut self) {
        add(&mut self.suppressed, Suppression::Repeated, 1);
    }

    /// An alert was closed.
    pub fn closed(&mut self, class: ListClass, closing: Closing) {
        add(&mut self.closed, (class, closing.disposition, closing.stopped), 1);
    }

    /// An alert became overdue.
    pub fn overdue(&mut self) {
        self.overdue = self.overdue.saturating_add(1);
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
            suppressed: suppressed.collect(),
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

/// Misreads a day to expect, of reads of which `right_per_mille` are right; and alerts from them alone, if a misread text falls on a list
/// of `entries` among `plates` texts that are in use. Rounded up: a small chance is not none.
#[must_use]
pub fn expected_misreads(reads: u64, right_per_mille: u16, entries: u64, plates: u64) -> (u64, u64) {
    let wrong = 1_000_u128.saturating_sub(u128::from(right_per_mille));
    let misreads = u128::from(reads).saturating_mul(wrong).div_ceil(1_000);
    let alerts = misreads.saturating_mul(u128::from(entries)).checked_div(u128::from(plates.max(1))).unwrap_or(0);
    let alerts = alerts.saturating_add(u128::from(alerts == 0 && misreads > 0 && entries > 0));
    (u64::try_from(misreads).unwrap_or(u64::MAX), u64::try_from(alerts).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;

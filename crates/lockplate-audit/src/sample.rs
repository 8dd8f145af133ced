//! Which leaves of a keeper's log an auditor must look at (`log.md` section 7). The root that decides is that of the first checkpoint
//! confirmed a day after the leaf, so nobody could know when the leaf was written; therefore an auditor keeps every checkpoint that he
//! fetches, and fetches often: he can only use what he has seen.

use lockplate_core::Timestamp;
use lockplate_core::audit::{SAMPLE_AFTER_SECONDS, is_sampled};
use lockplate_core::id::KeeperIndex;
use serde::Serialize;

use crate::logs::{Head, LeafRef, LogName, Logs};

/// A leaf to be audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Due {
    /// The `request` leaf.
    pub leaf: LeafRef,
    /// When it was written.
    #[serde(serialize_with = "crate::time::text")]
    pub time: Timestamp,
    /// Size of the checkpoint whose root decided.
    pub size: u64,
}

/// What is to be done for a range of leaves of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Leaves to be audited, in order.
    pub due: Vec<Due>,
    /// Leaves that the draw passed over.
    pub passed: u64,
    /// Leaves for which no checkpoint of a day later has been seen yet.
    pub undecided: u64,
    /// Of the leaves due, those whose openings the keeper has erased.
    pub erased: u64,
}

/// Plans the audit of the `request` leaves [from, to) of a keeper's log. `heads` are the checkpoints of that log that the auditor has
/// kept, in the order in which he fetched them; those that nobody confirmed, and those of another log, do not count.
#[must_use]
pub fn plan(logs: &Logs, keeper: KeeperIndex, heads: &[Head], from: u64, to: u64) -> Plan {
    let log = LogName::Keeper(keeper);
    let percent = logs.charter().charter().audit_percent;
    let own = |head: &&Head| Some(head.checkpoint.origin().as_str()) == logs.origin(&log);
    let mut heads: Vec<(Timestamp, &Head)> =
        heads.iter().filter(own).filter_map(|head| Some((head.confirmed?, head))).collect();
    heads.sort_by_key(|(confirmed, head)| (*confirmed, head.checkpoint.size()));
    let mut plan = Plan::default();
    for (index, time) in logs.request_leaves(keeper).into_iter().filter(|(index, _)| (from..to).contains(index)) {
        let decides_from = Timestamp(time.0.saturating_add(SAMPLE_AFTER_SECONDS));
        let first = heads.partition_point(|(confirmed, _)| *confirmed < decides_from);
        // One that does not hold the leaf was confirmed late or is an old copy.
        let later = heads.get(first..).unwrap_or_default();
        let Some((_, head)) = later.iter().find(|(_, head)| index < head.checkpoint.size()) else {
            plan.undecided = plan.undecided.saturating_add(1);
            continue;
        };
        if !is_sampled(head.checkpoint.root().as_bytes(), index, percent) {
            plan.passed = plan.passed.saturating_add(1);
            continue;
        }
        let leaf = LeafRef { log, index };
        let erased = logs.opening_state(&leaf) == crate::logs::OpeningState::Erased;
        plan.erased = plan.erased.saturating_add(u64::from(erased));
        plan.due.push(Due { leaf, time, size: head.checkpoint.size() });
    }
    plan
}

#[cfg(test)]
mod tests;

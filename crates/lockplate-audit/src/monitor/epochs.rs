//! Rules that look at one epoch in all logs: M4, and the half of M6 that shows in a dealing.

use core::cmp::Reverse;

use lockplate_core::Timestamp;
use lockplate_core::entry::{CharterLeaf, EpochDealt};

use super::{Alarm, CLOSE_WINDOWS, DESTROY_SECONDS, MonitorRule, TWIN_SECONDS};
use crate::logs::{EpochState, LeafRef, LogName, Logs, Said, WORDS_MAX, distinct};

pub(super) fn check(logs: &Logs, now: Timestamp, alarms: &mut Vec<Alarm>) {
    for epoch in logs.epochs().values() {
        alarms.extend(receipts(logs, now, epoch));
        alarms.extend(close(logs, now, epoch));
        alarms.extend(closed_twice(epoch));
        alarms.extend(destruction(logs, now, epoch));
        alarms.extend(charter(logs, epoch));
    }
}

/// Running sums of the cells of every closed epoch, largest first.
pub(super) fn largest_closed(logs: &Logs) -> Vec<u64> {
    let cells = logs.epochs().values().filter_map(|epoch| epoch.closings().iter().map(|said| said.entry.cells).max());
    let mut cells: Vec<u64> = cells.collect();
    cells.sort_unstable_by_key(|cells| Reverse(*cells));
    let mut sum = 0_u64;
    for cells in &mut cells {
        sum = sum.saturating_add(*cells);
        *cells = sum;
    }
    cells
}

const fn recorder(index: u64) -> LeafRef {
    LeafRef { log: LogName::Recorder, index }
}

fn receipt_leaves(epoch: &EpochState) -> impl Iterator<Item = LeafRef> {
    epoch.receipts().iter().map(|one| LeafRef { log: LogName::Keeper(one.keeper), index: one.index })
}

/// The keepers write their receipts before the recorder may say that the epoch is dealt.
fn receipts(logs: &Logs, now: Timestamp, epoch: &EpochState) -> Option<Alarm> {
    let dealt = epoch.dealing()?;
    let deadline = Timestamp(dealt.time.0.saturating_add(TWIN_SECONDS));
    let open = super::requests::open_logs(logs, deadline);
    let in_time = epoch.receipts().iter().filter(|one| one.time <= deadline);
    let receipted = distinct(in_time.map(|one| one.keeper));
    if now < deadline || receipted.saturating_add(open) >= usize::from(dealt.entry.t) {
        return None;
    }
    let leaves = receipt_leaves(epoch).chain([recorder(dealt.index)]).collect();
    Some(Alarm::new(MonitorRule::ReceiptsMissing, vec![LogName::Recorder], leaves).since(deadline))
}

fn close(logs: &Logs, now: Timestamp, epoch: &EpochState) -> Option<Alarm> {
    let dealt = epoch.dealing()?;
    let entry = &dealt.entry;
    let window = entry.cap_to.0.saturating_sub(entry.cap_from.0);
    // A late epoch has a label in the past: its time runs from the dealing.
    let ends = entry.cap_to.0.max(dealt.time.0);
    let deadline = Timestamp(ends.saturating_add(window.saturating_mul(CLOSE_WINDOWS)));
    let known = logs.known_until(&LogName::Recorder).is_some_and(|time| time >= deadline);
    if !epoch.closings().is_empty() || now < deadline || !known {
        return None;
    }
    Some(Alarm::new(MonitorRule::CloseMissing, vec![LogName::Recorder], vec![recorder(dealt.index)]).since(deadline))
}

fn closed_twice(epoch: &EpochState) -> Option<Alarm> {
    let second = epoch.closings().get(1)?;
    let leaves = epoch.closings().iter().map(|said| recorder(said.index)).collect();
    Some(Alarm::new(MonitorRule::ClosedTwice, vec![LogName::Recorder], leaves).since(second.time))
}

/// [`DESTROY_SECONDS`] after the time that the dealing names, or as long again as the epoch was kept: where a law counts in
/// minutes, a day late is not late but unlawful.
pub(crate) fn destruction_deadline(dealt: &EpochDealt) -> Timestamp {
    let kept = dealt.destroy_after.0.saturating_sub(dealt.cap_from.0);
    Timestamp(dealt.destroy_after.0.saturating_add(DESTROY_SECONDS.min(kept)))
}

fn destruction(logs: &Logs, now: Timestamp, epoch: &EpochState) -> Option<Alarm> {
    let dealt = epoch.dealing()?;
    let deadline = destruction_deadline(&dealt.entry);
    if now < deadline {
        return None;
    }
    let overdue = epoch.receipts().iter().filter(|one| {
        let known = logs.known_until(&LogName::Keeper(one.keeper)).is_some_and(|time| time >= deadline);
        known && epoch.destruction(one.keeper).is_none()
    });
    let leaves: Vec<LeafRef> =
        overdue.map(|one| LeafRef { log: LogName::Keeper(one.keeper), index: one.index }).collect();
    if leaves.is_empty() {
        return None;
    }
    let held_against = leaves.iter().map(|leaf| leaf.log).collect();
    let leaves = leaves.into_iter().chain([recorder(dealt.index)]).collect();
    Some(Alarm::new(MonitorRule::DestructionMissing, held_against, leaves).since(deadline))
}

/// A dealing by numbers that the charter in force does not have, and one that is still to come does.
fn charter(logs: &Logs, epoch: &EpochState) -> Option<Alarm> {
    let dealt = epoch.dealing()?;
    // Charters are few, and a log that says otherwise is not read to its end.
    let charters = logs.log(&LogName::Recorder)?.charters().iter().take(WORDS_MAX);
    let fits = |said: &&Said<CharterLeaf>| said.entry.t == dealt.entry.t && said.entry.n == dealt.entry.n;
    let in_force = charters.clone().filter(|said| said.entry.effective <= dealt.time);
    if in_force.max_by_key(|said| (said.entry.effective, said.index)).is_none_or(|said| fits(&said)) {
        return None;
    }
    let pending = charters.filter(|said| said.entry.effective > dealt.time).find(fits)?;
    let leaves = vec![recorder(pending.index), recorder(dealt.index)];
    Some(Alarm::new(MonitorRule::CharterTooEarly, vec![LogName::Recorder], leaves).since(dealt.time))
}

//! Rules that look at one log by itself: M6 (announcements), M7, M8, M9.

use lockplate_core::Timestamp;
use lockplate_core::entry::{KeyChange, KeySubject, PolicyRelation};

use super::{Alarm, KEY_SECONDS, LOOSER_SECONDS, MonitorRule, REFUSE_SECONDS, STALE_SECONDS};
use crate::logs::{Fault, LeafRef, LogName, LogState, Logs};

pub(super) fn check(logs: &Logs, now: Timestamp, alarms: &mut Vec<Alarm>) {
    for (log, state) in logs.logs() {
        leaves(log, state, alarms);
        forks(log, state, alarms);
        alarms.extend(stale(log, state, now));
        announcements(log, state, alarms);
        reviews(log, state, alarms);
    }
}

fn leaves(log: LogName, state: &LogState, alarms: &mut Vec<Alarm>) {
    for fault in state.faults() {
        let rule = match fault.fault {
            Fault::TimeBack => MonitorRule::TimeBack,
            Fault::Malformed
            | Fault::Origin
            | Fault::WrongLog
            | Fault::Genesis
            | Fault::AfterClose
            | Fault::Owner
            | Fault::TooMany => MonitorRule::LeafMalformed,
        };
        // "Both leaves": the one before it is what it contradicts.
        let before = fault.index.checked_sub(1).filter(|_| fault.fault == Fault::TimeBack);
        let indices = before.into_iter().chain([fault.index]);
        alarms.push(Alarm::new(rule, vec![log], indices.map(|index| LeafRef { log, index }).collect()));
    }
}

fn forks(log: LogName, state: &LogState, alarms: &mut Vec<Alarm>) {
    for fork in state.forks() {
        let mut alarm = Alarm::new(MonitorRule::Fork, vec![log], Vec::new());
        alarm.notes = vec![fork.one.clone(), fork.other.clone()];
        alarms.push(alarm);
    }
}

fn stale(log: LogName, state: &LogState, now: Timestamp) -> Option<Alarm> {
    // A log that was never seen is a gap: of its witnesses nothing is known.
    let confirmed = state.head()?.confirmed;
    let age = confirmed.map_or(u64::MAX, |time| now.0.saturating_sub(time.0));
    let rule = match age {
        0..STALE_SECONDS => return None,
        STALE_SECONDS..=REFUSE_SECONDS => MonitorRule::Stale,
        _ => MonitorRule::StaleRefused,
    };
    let alarm = Alarm::new(rule, vec![log], Vec::new());
    Some(match confirmed {
        Some(time) => alarm.since(Timestamp(time.0.saturating_add(STALE_SECONDS))),
        None => alarm,
    })
}

fn announcements(log: LogName, state: &LogState, alarms: &mut Vec<Alarm>) {
    // The first bundle of a log has none before it that it could be looser than.
    for said in state.policies().iter().skip(1) {
        let notice = said.entry.effective.0.saturating_sub(said.time.0);
        if said.entry.relation == PolicyRelation::Looser && notice < LOOSER_SECONDS {
            let leaf = LeafRef { log, index: said.index };
            alarms.push(Alarm::new(MonitorRule::LooserTooSoon, vec![log], vec![leaf]).since(said.time));
        }
    }
    for said in state.keys() {
        let change = &said.entry.entry;
        let notice = change.effective.0.saturating_sub(said.time.0);
        if change.change == KeyChange::Enrol && waits(change.subject) && notice < KEY_SECONDS {
            let leaf = LeafRef { log, index: said.index };
            alarms.push(Alarm::new(MonitorRule::KeyTooSoon, vec![log], vec![leaf]).since(said.time));
        }
    }
}

/// What an auditor opened does not say what its leaf says.
fn reviews(log: LogName, state: &LogState, alarms: &mut Vec<Alarm>) {
    for said in state.openings().reviews().iter().filter(|said| said.entry.failed > 0) {
        let leaf = LeafRef { log, index: said.index };
        alarms.push(Alarm::new(MonitorRule::ReviewFailed, vec![log], vec![leaf]).since(said.time));
    }
}

/// Whose fresh key counts only after a wait (`authorisation.md` section 7); the others come by a charter or a directory.
const fn waits(subject: KeySubject) -> bool {
    match subject {
        KeySubject::Court | KeySubject::Custodian | KeySubject::Agency | KeySubject::Auditor | KeySubject::Steward => {
            true
        }
        KeySubject::Supervisor
        | KeySubject::Officer
        | KeySubject::Keeper
        | KeySubject::Recorder
        | KeySubject::Witness => false,
    }
}

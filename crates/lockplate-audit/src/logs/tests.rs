//! Totality, and that pieces and order between logs do not matter.

use lockplate_core::Timestamp;
use lockplate_core::entry::{
    DestroyMethod, DestroyReason, DisclosureLeaf, EpochClosed, EpochDealt, EvaluationLeaf, HumanDecision, LogClosed,
    LogEntry, RequestLeaf, ShareDestroyed, ShareReceived,
};
use lockplate_core::id::KeeperIndex;
use proptest::prelude::*;

use super::*;
use crate::fixture::*;
use crate::monitor::{alarms, gaps};
use crate::register::Register;
use crate::report::Figures;
use crate::time::{Period, ZoneOffset};

#[test]
fn leaves_come_in_order() {
    let mut logs = Logs::new(charter());
    assert_eq!(logs.see(&keeper(1), 1, b"{}"), Err(SeeError::OutOfOrder { next: 0 }));
    assert_eq!(logs.see(&keeper(1), 0, b"{}"), Ok(()));
    assert_eq!(logs.see(&keeper(1), 0, b"{}"), Err(SeeError::OutOfOrder { next: 1 }));
    assert_eq!(logs.see(&keeper(4), 0, b"{}"), Err(SeeError::UnknownLog));
    assert_eq!(logs.see(&LogName::Desk(OWNER), 0, b"{}"), Err(SeeError::UnknownLog), "the owner runs no desk");
    assert_eq!(logs.seen(&keeper(1)), 1);
}

#[test]
fn a_log_is_known_once_all_leaves_of_its_checkpoint_are_taken() {
    let mut book = Book::founded();
    let mut other = book.clone();
    book.say(keeper(1), NOON, LogEntry::Request(Box::new(request())));
    let head = book.head(&keeper(1), Some(NOON));
    other.logs.tell_head(&keeper(1), head).unwrap();
    assert_eq!(other.logs.known_until(&keeper(1)), None);
    other.say(keeper(1), NOON, LogEntry::Request(Box::new(request())));
    assert_eq!(other.logs.known_until(&keeper(1)), Some(Timestamp(NOON)));
}

#[test]
fn the_threshold_is_that_of_its_time() {
    let mut book = Book::founded();
    book.say(keeper(1), NOON - 60, LogEntry::Charter(charter_leaf(3, 3, NOON)));
    assert_eq!(book.logs.threshold_at(Timestamp(NOON - 1)), 2);
    assert_eq!(book.logs.threshold_at(Timestamp(NOON)), 3);
    assert_eq!(book.logs.threshold_at(Timestamp(0)), 2, "before all leaves: that of the charter");
}

/// One statement of a small world, in which the same few things are said again and again.
fn statement() -> impl Strategy<Value = (LogName, u64, LogEntry)> {
    let log = prop_oneof![(1..=3_u8).prop_map(keeper), Just(LogName::Recorder), Just(DESK)];
    let digest = (0..3_u8).prop_map(|byte| [byte; 32]);
    (log, 0..400_u64, digest, 0..9_u8, 0..5_u64, any::<bool>()).prop_map(|(log, hours, digest, kind, number, flag)| {
        let place = if let LogName::Keeper(place) = log { place } else { KeeperIndex(1) };
        let entry = match (log, kind) {
            (LogName::Recorder, 0..4) => LogEntry::EpochDealt(EpochDealt { header: digest, ..dealt(NOON) }),
            (LogName::Recorder, 4..7) => {
                LogEntry::EpochClosed(EpochClosed { header: digest, cells: number, ..closed(NOON) })
            }
            (LogName::Desk(_), _) => {
                LogEntry::Disclosure(DisclosureLeaf { request: digest, cells: number, ..disclosure_leaf() })
            }
            (LogName::Keeper(_), 0) => LogEntry::Request(Box::new(RequestLeaf { request: digest, ..request() })),
            (LogName::Keeper(_), 1) => {
                LogEntry::Request(Box::new(RequestLeaf { request: digest, emergency: flag, ..asked() }))
            }
            (LogName::Keeper(_), 2) => LogEntry::Request(Box::new(RequestLeaf { request: digest, ..refused() })),
            (LogName::Keeper(_), 3) => {
                approval(number, if flag { HumanDecision::Approve } else { HumanDecision::Refuse })
            }
            (LogName::Keeper(_), 4) => LogEntry::Evaluation(EvaluationLeaf {
                request: digest,
                grant: [u8::from(flag); 32],
                epochs: number,
                elements: number,
            }),
            (LogName::Keeper(_), 5) => LogEntry::ShareReceived(ShareReceived { header: digest, index: place }),
            (LogName::Keeper(_), 6) => {
                let (method, reason) = (DestroyMethod::Tpm, DestroyReason::Order);
                LogEntry::ShareDestroyed(ShareDestroyed { header: digest, index: place, method, reason })
            }
            (LogName::Keeper(_) | LogName::Recorder, 7) => {
                let effective = NOON + hours * 3_600;
                LogEntry::Policy(policy_leaf(flag.then_some(POLICY), digest, effective))
            }
            (LogName::Keeper(_) | LogName::Recorder, _) if flag => {
                LogEntry::LogClosed(LogClosed { successor: String::new() })
            }
            (LogName::Keeper(_) | LogName::Recorder, _) => LogEntry::Charter(charter_leaf(2, 3, NOON + hours * 3_600)),
        };
        (log, NOON + hours * 3_600, entry)
    })
}

fn everything(logs: &Logs, now: u64) -> String {
    let now = Timestamp(now);
    let register = Register::of(logs, now);
    let entries: Vec<_> = register.entries().collect();
    let figures = Figures::of(logs, Period::All, ZoneOffset::UTC, now);
    let parts = (alarms(logs, now), gaps(logs), entries, register.facets(), register.summary(), register.chronicle());
    serde_json::to_string(&(parts, figures.rows())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn pieces_and_order_do_not_matter(
        statements in prop::collection::vec(statement(), 0..60),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 200),
        now in NOON..NOON + 60 * 86_400,
    ) {
        let mut book = Book::founded();
        for (log, time, entry) in statements {
            book.say(log, time, entry);
        }
        book.confirm(now);
        // The same leaves again, log by log in a random interleaving.
        let mut again = Logs::new(charter());
        let mut waiting: Vec<(LogName, std::slice::Iter<'_, Vec<u8>>)> =
            book.leaves().iter().map(|(log, leaves)| (*log, leaves.iter())).collect();
        for pick in picks.iter().cycle() {
            if waiting.is_empty() {
                break;
            }
            let at = pick.index(waiting.len());
            match waiting[at].1.next() {
                Some(leaf) => {
                    let log = waiting[at].0;
                    again.see(&log, again.seen(&log), leaf).unwrap();
                }
                None => drop(waiting.remove(at)),
            }
        }
        for log in book.logs.names() {
            again.tell_head(&log, book.head(&log, Some(now))).unwrap();
        }
        prop_assert_eq!(everything(&again, now), everything(&book.logs, now));
        prop_assert_eq!(again, book.logs);
    }

    #[test]
    fn any_bytes_are_taken(leaf in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut book = Book::founded();
        book.say_bytes(keeper(1), &leaf);
        book.say(keeper(2), NOON, LogEntry::Request(Box::new(request())));
        let mut changed = book.leaves()[&keeper(2)][3].clone();
        let at = cut.index(changed.len());
        changed[at] = byte;
        book.say_bytes(keeper(2), &changed);
        changed.truncate(at);
        book.say_bytes(keeper(3), &changed);
        book.confirm(NOON);
        prop_assert!(!everything(&book.logs, NOON).is_empty());
        prop_assert!(!everything(&book.logs, u64::MAX).is_empty());
    }
}

//! Totality, and that pieces and order between logs do not matter.

use lockplate_core::Timestamp;
use lockplate_core::entry::{
    AlertsClosed, AlertsLeaf, CameraChange, CameraLeaf, CanaryLeaf, CanaryResult, Day, DestroyMethod, DestroyReason,
    DisclosureLeaf, Disposition, EmbargoLeaf, EpochClosed, EpochDealt, EvaluationLeaf, HoldLeaf, HotlistLeaf,
    HumanApprovalLeaf, HumanDecision, ListClass, ListCounts, ListKind, LogClosed, LogEntry, LogResumed,
    OpeningPublished, OpeningsErased, PaperLeaf, PaperStatus, RequestLeaf, ReviewLeaf, ShareDestroyed, ShareReceived,
};
use lockplate_core::id::KeeperIndex;
use lockplate_core::salted::SaltedName;
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

/// The random part of one statement of a small world, in which the same few things are said again and again.
#[derive(Clone, Copy, Debug)]
struct Draw {
    hours: u64,
    digest: [u8; 32],
    kind: u8,
    number: u64,
    flag: bool,
}

impl Draw {
    const fn time(self) -> u64 {
        NOON + self.hours * 3_600
    }

    fn keeper_says(self, place: KeeperIndex) -> LogEntry {
        let Self { digest, number, flag, .. } = self;
        let until = Timestamp(self.time() + 60);
        match self.kind {
            0 => LogEntry::Request(Box::new(RequestLeaf { request: digest, ..request() })),
            1 => LogEntry::Request(Box::new(RequestLeaf { request: digest, emergency: flag, ..asked() })),
            2 => LogEntry::Request(Box::new(RequestLeaf { request: digest, ..refused() })),
            3 => {
                let decision = if flag { HumanDecision::Approve } else { HumanDecision::Refuse };
                let LogEntry::Approval(leaf) = approval(number + 3, decision) else { panic!("an approval") };
                LogEntry::Approval(HumanApprovalLeaf { request: digest, ..leaf })
            }
            4 => {
                let grant = [u8::from(flag); 32];
                LogEntry::Evaluation(EvaluationLeaf { request: digest, grant, epochs: number, elements: number })
            }
            5 => LogEntry::ShareReceived(ShareReceived { header: digest, index: place }),
            6 => {
                let (method, reason) = (DestroyMethod::Tpm, DestroyReason::Order);
                LogEntry::ShareDestroyed(ShareDestroyed { header: digest, index: place, method, reason })
            }
            7 => {
                let status = if flag { PaperStatus::Filed } else { PaperStatus::Overdue };
                let authorisation = flag.then_some([1; 32]);
                LogEntry::Paper(PaperLeaf { request: digest, status, deadline: until, authorisation })
            }
            8 => LogEntry::Embargo(EmbargoLeaf { request_index: number, until, authorisation: [1; 32] }),
            9 => {
                let names = BTreeSet::from([SaltedName::Notice]);
                LogEntry::OpeningPublished(OpeningPublished { index: number, names })
            }
            10 => LogEntry::OpeningsErased(OpeningsErased { from: number, to: number + 2, count: 1 }),
            11 => LogEntry::Review(ReviewLeaf { from: 0, to: 9, auditor: digest, sampled: number, failed: 0 }),
            _ => self.any_party_says(),
        }
    }

    fn recorder_says(self) -> LogEntry {
        let Self { digest, number, flag, .. } = self;
        match self.kind {
            0..4 => LogEntry::EpochDealt(EpochDealt { header: digest, ..dealt(self.time()) }),
            4..7 => LogEntry::EpochClosed(EpochClosed { header: digest, cells: number, ..closed(NOON) }),
            7 => {
                let result = if flag { CanaryResult::Found } else { CanaryResult::Missed };
                LogEntry::Canary(CanaryLeaf { header: digest, result, keepers: 2 })
            }
            8 => {
                let (change, register) = (CameraChange::Add, digest);
                let effective = Timestamp(self.time());
                LogEntry::Camera(CameraLeaf { owner: OWNER, change, register, cameras: number, effective })
            }
            9 => LogEntry::Alerts(AlertsLeaf {
                day: Day::of(Timestamp(self.time())),
                raised: vec![],
                handed: 0,
                taken: number,
                entry_ages: vec![],
                list_ages: vec![],
                suppressed: vec![],
                looked: number,
                verified: 0,
                expired: 0,
                closed: vec![AlertsClosed {
                    class: ListClass::Custom,
                    disposition: Disposition::Misread,
                    stopped: flag,
                    n: number,
                }],
                overdue: number,
            }),
            10 | 11 => {
                let one = ListCounts {
                    class: ListClass::StolenPlate,
                    accepted: number,
                    added: number,
                    removed: 0,
                    dropped: u64::from(flag),
                    refused: 0,
                };
                LogEntry::Hotlist(HotlistLeaf {
                    list: [digest[0]; 16],
                    kind: if flag { ListKind::Full } else { ListKind::Incremental },
                    sequence: number,
                    produced_at: Timestamp(self.time()),
                    classes: vec![one],
                    set: digest,
                    decisions: vec![digest],
                    sd: digests(),
                })
            }
            _ => self.any_party_says(),
        }
    }

    fn desk_says(self) -> LogEntry {
        let Self { digest, number, flag, .. } = self;
        if self.kind == 0 {
            let (grant, until) = ([u8::from(flag); 32], Timestamp(self.time()));
            return LogEntry::Hold(HoldLeaf { request: digest, grant, cells: number, until, sd: digests() });
        }
        let owner = if self.kind == 1 { STRANGER } else { OWNER };
        let grant = [u8::from(flag); 32];
        LogEntry::Disclosure(DisclosureLeaf { request: digest, grant, owner, cells: number, ..disclosure_leaf() })
    }

    fn any_party_says(self) -> LogEntry {
        match self.number {
            0 if self.flag => LogEntry::LogClosed(LogClosed { successor: String::new() }),
            0 | 1 => LogEntry::LogResumed(LogResumed { missing: BTreeSet::from(["k9.example/witness".to_owned()]) }),
            2 => LogEntry::Charter(charter_leaf(2, 3, self.time())),
            _ => LogEntry::Policy(policy_leaf(self.flag.then_some(POLICY), self.digest, self.time())),
        }
    }
}

fn statement() -> impl Strategy<Value = (LogName, u64, LogEntry)> {
    let log = prop_oneof![3 => (1..=3_u8).prop_map(keeper), 1 => Just(LogName::Recorder), 1 => Just(DESK)];
    let digest = (0..3_u8).prop_map(|byte| [byte; 32]);
    (log, 0..400_u64, digest, 0..13_u8, 0..5_u64, any::<bool>()).prop_map(|(log, hours, digest, kind, number, flag)| {
        let draw = Draw { hours, digest, kind, number, flag };
        let entry = match log {
            LogName::Keeper(place) => draw.keeper_says(place),
            LogName::Recorder => draw.recorder_says(),
            LogName::Desk(_) => draw.desk_says(),
        };
        (log, draw.time(), entry)
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

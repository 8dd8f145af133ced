//! For each rule a log that raises it and the nearest one that does not. Time edges are tested a second to either side.

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::entry::{
    DestroyMethod, DestroyReason, DisclosureLeaf, EpochDealt, Genesis, HotlistLeaf, HumanApprovalLeaf, HumanDecision,
    KeyChange, KeyChanged, KeyLeaf, KeyName, KeySubject, ListClass, ListCounts, ListKind, LogClosed, LogEntry, LogKind,
    PaperLeaf, PaperStatus, PolicyLeaf, PolicyRelation, RequestDecision, RequestLeaf, ReviewLeaf, ShareDestroyed,
};
use lockplate_core::id::KeeperIndex;
use lockplate_core::vocabulary::Purpose;

use super::*;
use crate::fixture::*;
use crate::logs::WORDS_MAX;

fn request_entry(leaf: RequestLeaf) -> LogEntry {
    LogEntry::Request(Box::new(leaf))
}

const LATER: u64 = NOON + 2 * 86_400;

#[test]
fn a_good_town_raises_nothing() {
    let mut book = Book::founded();
    book.good_epoch(NOON - 7_200);
    book.good_search(NOON);
    assert_eq!(book.raised(NOON + 20), BTreeSet::new());
    assert_eq!(book.raised(LATER), BTreeSet::new());
    for place in 1..=3 {
        book.say(keeper(place), NOON + 21 * 86_400, destroyed(place));
    }
    assert_eq!(book.raised(NOON + 60 * 86_400), BTreeSet::new());
    assert_eq!(gaps(&book.logs), [Gap::BundleUnknown { count: 1 }]);
    book.logs.tell_bundle(POLICY, BTreeSet::from(["base.search".to_owned()]));
    assert_eq!(gaps(&book.logs), []);
}

fn destroyed(place: u8) -> LogEntry {
    let (method, reason) = (DestroyMethod::Kek, DestroyReason::Retention);
    LogEntry::ShareDestroyed(ShareDestroyed { header: HEADER, index: KeeperIndex(place), method, reason })
}

#[test]
fn m1_an_evaluation_follows_its_request() {
    let mut good = Book::founded();
    good.good_search(NOON);
    assert_eq!(good.fresh_alarms(MonitorRule::EvaluationWithoutRequest, NOON), []);

    let mut book = Book::founded();
    let late = book.say(keeper(1), NOON, evaluation());
    let request = book.say(keeper(1), NOON, request_entry(request()));
    let found = book.fresh_alarms(MonitorRule::EvaluationWithoutRequest, NOON);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].leaves, [late, request]);
    assert_eq!(found[0].logs, [keeper(1)]);
}

#[test]
fn m1_another_keepers_request_does_not_help() {
    let mut book = Book::founded();
    book.say(keeper(1), NOON, request_entry(request()));
    book.say(keeper(2), NOON + 1, evaluation());
    assert_eq!(book.fresh_alarms(MonitorRule::EvaluationWithoutRequest, NOON + 2).len(), 1);
}

#[test]
fn m1_a_refused_or_waiting_request_does_not_help() {
    for leaf in [refused(), asked()] {
        let mut book = Book::founded();
        book.say(keeper(1), NOON, request_entry(leaf));
        book.say(keeper(1), NOON + 1, evaluation());
        assert_eq!(book.fresh_alarms(MonitorRule::EvaluationWithoutRequest, NOON + 2).len(), 1);
    }
}

#[test]
fn m1_a_human_must_have_said_yes_before() {
    let with = |decision, before: bool| {
        let mut book = Book::founded();
        let asked = book.say(keeper(1), NOON, request_entry(asked()));
        if before {
            book.say(keeper(1), NOON + 1, approval(asked.index, decision));
        }
        book.say(keeper(1), NOON + 2, evaluation());
        if !before {
            book.say(keeper(1), NOON + 3, approval(asked.index, decision));
        }
        book.fresh_alarms(MonitorRule::EvaluationWithoutRequest, NOON + 4).len()
    };
    assert_eq!(with(HumanDecision::Approve, true), 0);
    assert_eq!(with(HumanDecision::Refuse, true), 1);
    assert_eq!(with(HumanDecision::Approve, false), 1);
}

#[test]
fn m1_an_approval_names_a_request_that_waits() {
    let with = |leaf: RequestLeaf, offset: u64| {
        let mut book = Book::founded();
        let asked = book.say(keeper(1), NOON, request_entry(leaf));
        book.say(keeper(1), NOON + 1, approval(asked.index + offset, HumanDecision::Approve));
        book.fresh_alarms(MonitorRule::ApprovalWithoutRequest, NOON + 2).len()
    };
    assert_eq!(with(asked(), 0), 0);
    assert_eq!(with(asked(), 1), 1, "it names itself");
    assert_eq!(with(request(), 0), 1, "nobody was asked");
}

#[test]
fn m1_opened_reads_need_evaluations() {
    let with = |evaluations: u8, cells: u64| {
        let mut book = Book::founded();
        book.good_epoch(NOON - 7_200);
        for place in 1..=3 {
            book.say(keeper(place), NOON, request_entry(request()));
        }
        for place in 1..=evaluations {
            book.say(keeper(place), NOON + 1, evaluation());
        }
        book.say(DESK, NOON + 2, LogEntry::Disclosure(DisclosureLeaf { cells, ..disclosure_leaf() }));
        book.fresh_alarms(MonitorRule::DisclosureWithoutEvaluation, NOON + 2 + TWIN_SECONDS).len()
    };
    assert_eq!(with(2, 1), 0);
    assert_eq!(with(1, 1), 1);
    assert_eq!(with(0, 1), 1);
    assert_eq!(with(1, 0), 0, "a search that opened nothing may have failed on the way");
}

#[test]
fn m2_a_grant_stands_in_t_logs_within_a_minute() {
    let with = |second_at: Option<u64>| {
        let mut book = Book::founded();
        book.say(keeper(1), NOON, request_entry(request()));
        book.say(keeper(1), NOON + 1, evaluation());
        if let Some(time) = second_at {
            book.say(keeper(2), time, request_entry(request()));
        }
        book.raised(NOON + 3_600 * 3)
    };
    let deadline = NOON + 1 + TWIN_SECONDS;
    assert!(with(Some(deadline)).is_disjoint(&BTreeSet::from(["twin-missing", "grant-too-few"])));
    assert!(with(Some(deadline + 1)).contains("grant-too-few"));
    assert!(with(None).contains("twin-missing"));
}

#[test]
fn m2_a_refusal_is_no_twin() {
    let mut book = Book::founded();
    book.say(keeper(1), NOON, request_entry(request()));
    book.say(keeper(2), NOON, request_entry(refused()));
    book.say(keeper(3), NOON, request_entry(refused()));
    let said = book.say(keeper(1), NOON + 1, evaluation());
    let found = book.fresh_alarms(MonitorRule::GrantTooFew, NOON + 1 + TWIN_SECONDS);
    assert_eq!(found.len(), 1);
    assert!(found[0].leaves.contains(&said));
    assert_eq!(book.alarms(MonitorRule::TwinMissing, NOON + 1 + TWIN_SECONDS), []);
}

#[test]
fn m2_a_yes_by_other_rules_is_no_twin() {
    let with = |policy| {
        let mut book = Book::founded();
        let narrower = PolicyLeaf { relation: PolicyRelation::Narrower, ..policy_leaf(Some(POLICY), [6; 32], NOON) };
        book.say(keeper(2), NOON, LogEntry::Policy(narrower));
        book.say(keeper(1), NOON, request_entry(request()));
        book.say(keeper(2), NOON, request_entry(RequestLeaf { policy, ..request() }));
        book.say(keeper(1), NOON + 1, evaluation());
        book.fresh_alarms(MonitorRule::GrantTooFew, NOON + 1 + TWIN_SECONDS).len()
    };
    assert_eq!(with(POLICY), 0);
    assert_eq!(with([6; 32]), 1);
}

#[test]
fn m2_is_silent_while_the_other_logs_are_not_known_that_far() {
    let deadline = NOON + 1 + TWIN_SECONDS;
    let mut book = Book::founded();
    book.say(keeper(1), NOON, request_entry(request()));
    book.say(keeper(1), NOON + 1, evaluation());
    book.confirm(deadline - 1);
    assert_eq!(book.alarms(MonitorRule::TwinMissing, LATER), [], "the twins may still be there");
    book.confirm_one(keeper(2), deadline);
    assert_eq!(book.alarms(MonitorRule::TwinMissing, LATER), [], "one of two others would be enough");
    book.confirm_one(keeper(3), deadline);
    assert_eq!(book.alarms(MonitorRule::TwinMissing, LATER), [], "the evaluating keeper's own log may still say yes");
    book.confirm_one(keeper(1), deadline);
    assert_eq!(book.alarms(MonitorRule::TwinMissing, LATER).len(), 1);
    assert_eq!(book.alarms(MonitorRule::TwinMissing, deadline - 1), [], "a clock of ours that is behind");
}

#[test]
fn m2_people_must_have_approved_where_the_rules_say_so() {
    let with = |approved: bool| {
        let mut book = Book::founded();
        let first = book.say(keeper(1), NOON, request_entry(asked()));
        let duties = asked().obligations;
        book.say(keeper(2), NOON, request_entry(RequestLeaf { obligations: duties, ..request() }));
        book.say(keeper(3), NOON, request_entry(RequestLeaf { obligations: duties, ..request() }));
        if approved {
            book.say(keeper(1), NOON + 1, approval(first.index, HumanDecision::Approve));
        }
        book.say(keeper(2), NOON + 2, evaluation());
        book.say(keeper(3), NOON + 2, evaluation());
        book.fresh_alarms(MonitorRule::HumanMissing, NOON + 2 + TWIN_SECONDS).len()
    };
    assert_eq!(with(true), 0);
    assert_eq!(with(false), 1);
}

#[test]
fn m2_keepers_tell_one_story() {
    let with = |second: RequestLeaf| {
        let mut book = Book::founded();
        book.say(keeper(1), NOON, request_entry(request()));
        book.say(keeper(2), NOON, request_entry(second));
        book.fresh_alarms(MonitorRule::TwinsDiffer, NOON + 1)
    };
    assert_eq!(with(refused()), [], "a keeper may decide otherwise");
    let found = with(RequestLeaf { purpose: Purpose::CrimeInvestigation, ..request() });
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].logs, [keeper(1), keeper(2)]);
    assert_eq!(with(RequestLeaf { requester: STRANGER, ..request() }).len(), 1);
    assert_eq!(with(RequestLeaf { window_days: 8, ..request() }).len(), 1);
}

#[test]
fn m3_a_disclosure_follows_within_a_day() {
    let mut book = Book::founded();
    for place in 1..=2 {
        book.say(keeper(place), NOON, request_entry(request()));
        book.say(keeper(place), NOON + u64::from(place), evaluation());
    }
    let deadline = NOON + 1 + DISCLOSURE_SECONDS;
    assert_eq!(book.fresh_alarms(MonitorRule::DisclosureMissing, deadline - 1), []);
    let found = book.fresh_alarms(MonitorRule::DisclosureMissing, deadline);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].logs.as_slice(), found[0].since), ([DESK].as_slice(), Some(Timestamp(deadline))));
    assert_eq!(found[0].leaves.len(), 2, "both evaluations");
    book.say(DESK, deadline + 9, disclosure());
    assert_eq!(book.fresh_alarms(MonitorRule::DisclosureMissing, deadline + 10), [], "it was only late");
}

#[test]
fn m3_a_disclosure_of_another_grant_or_by_another_desk_does_not_help() {
    let mut book = Book::founded();
    book.good_search(NOON);
    let mut other = Book::founded();
    for place in 1..=2 {
        other.say(keeper(place), NOON, request_entry(request()));
        other.say(keeper(place), NOON + 1, evaluation());
    }
    other.say(DESK, NOON + 2, LogEntry::Disclosure(DisclosureLeaf { grant: [1; 32], ..disclosure_leaf() }));
    assert_eq!(book.fresh_alarms(MonitorRule::DisclosureMissing, LATER).len(), 0);
    assert_eq!(other.fresh_alarms(MonitorRule::DisclosureMissing, LATER).len(), 1);
}

#[test]
fn m3_what_a_desk_opens_elsewhere_is_no_business_of_this_archive() {
    let mut book = Book::founded();
    book.say(DESK, NOON, LogEntry::Disclosure(DisclosureLeaf { owner: STRANGER, cells: 9, ..disclosure_leaf() }));
    assert_eq!(book.raised(LATER), BTreeSet::new());
}

#[test]
fn m3_a_desk_that_nobody_knows_is_said() {
    let mut book = Book::founded();
    for place in 1..=2 {
        book.say(keeper(place), NOON, request_entry(RequestLeaf { requester: STRANGER, ..request() }));
    }
    book.confirm(LATER);
    assert!(!gaps(&book.logs).contains(&Gap::DeskUnknown { desk: LogName::Desk(STRANGER) }), "nothing was answered");
    book.say(keeper(1), NOON + 1, evaluation());
    book.confirm(LATER);
    assert!(gaps(&book.logs).contains(&Gap::DeskUnknown { desk: LogName::Desk(STRANGER) }));
    assert_eq!(book.alarms(MonitorRule::DisclosureMissing, LATER), []);
}

#[test]
fn m3_not_more_is_opened_than_there_is() {
    let with = |cells: u64, others: u64| {
        let mut book = Book::founded();
        book.good_epoch(NOON - 7_200);
        for place in 1..=2 {
            book.say(keeper(place), NOON, request_entry(request()));
            book.say(keeper(place), NOON + 1, evaluation());
        }
        let leaf = DisclosureLeaf { cells, others, ..disclosure_leaf() };
        book.say(DESK, NOON + 2, LogEntry::Disclosure(leaf));
        book.fresh_alarms(MonitorRule::DisclosureTooMany, NOON + 3).len()
    };
    assert_eq!(with(64, 64), 0, "all cells of the one epoch there is");
    assert_eq!(with(65, 0), 1);
    assert_eq!(with(3, 4), 1);
}

#[test]
fn m4_t_receipts_before_the_dealing() {
    let with = |places: &[u8], time: u64| {
        let mut book = Book::founded();
        book.say(LogName::Recorder, NOON, LogEntry::EpochDealt(dealt(NOON)));
        for place in places {
            book.say(keeper(*place), time, received(*place));
        }
        book.fresh_alarms(MonitorRule::ReceiptsMissing, NOON + 3_600).len()
    };
    assert_eq!(with(&[1, 3], NOON), 0);
    assert_eq!(with(&[1, 3], NOON + TWIN_SECONDS), 0);
    assert_eq!(with(&[1, 3], NOON + TWIN_SECONDS + 1), 1);
    assert_eq!(with(&[1], NOON), 1);
    assert_eq!(with(&[1, 1], NOON), 1, "one keeper twice is one keeper");
}

#[test]
fn m4_an_epoch_is_closed_within_two_windows() {
    let mut book = Book::founded();
    for place in 1..=3 {
        book.say(keeper(place), NOON, received(place));
    }
    let dealing = book.say(LogName::Recorder, NOON, LogEntry::EpochDealt(dealt(NOON)));
    let deadline = NOON + 3 * 3_600;
    assert_eq!(book.fresh_alarms(MonitorRule::CloseMissing, deadline - 1), []);
    assert_eq!(book.fresh_alarms(MonitorRule::CloseMissing, deadline)[0].leaves, [dealing]);
    book.say(LogName::Recorder, deadline, LogEntry::EpochClosed(closed(NOON)));
    assert_eq!(book.fresh_alarms(MonitorRule::CloseMissing, deadline), []);
    assert_eq!(book.alarms(MonitorRule::ClosedTwice, deadline), []);
    book.say(LogName::Recorder, deadline, LogEntry::EpochClosed(closed(NOON)));
    assert_eq!(book.alarms(MonitorRule::ClosedTwice, deadline).len(), 1);
}

#[test]
fn m4_a_late_epoch_has_its_windows_from_the_dealing() {
    let mut book = Book::founded();
    book.say(LogName::Recorder, NOON, LogEntry::EpochDealt(dealt(NOON - 5 * 86_400)));
    assert_eq!(book.fresh_alarms(MonitorRule::CloseMissing, NOON + 7_199), []);
    assert_eq!(book.fresh_alarms(MonitorRule::CloseMissing, NOON + 7_200).len(), 1);
}

#[test]
fn m4_shares_are_destroyed_a_day_after_their_date() {
    let mut book = Book::founded();
    book.good_epoch(NOON);
    let deadline = NOON + 3_600 + 21 * 86_400 + DESTROY_SECONDS;
    book.say(keeper(1), deadline - 3_600, destroyed(1));
    assert_eq!(book.fresh_alarms(MonitorRule::DestructionMissing, deadline - 1), []);
    let found = book.fresh_alarms(MonitorRule::DestructionMissing, deadline);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].logs, [keeper(2), keeper(3)]);
    book.say(keeper(2), deadline, destroyed(2));
    book.say(keeper(3), deadline, destroyed(3));
    assert_eq!(book.fresh_alarms(MonitorRule::DestructionMissing, deadline), []);
}

#[test]
fn m4_what_is_kept_for_minutes_is_destroyed_within_minutes() {
    let mut book = Book::founded();
    let minutes = EpochDealt { cap_to: Timestamp(NOON + 120), destroy_after: Timestamp(NOON + 165), ..dealt(NOON) };
    for place in 1..=3 {
        book.say(keeper(place), NOON - 1, received(place));
    }
    book.say(LogName::Recorder, NOON, LogEntry::EpochDealt(minutes));
    book.say(LogName::Recorder, NOON + 121, LogEntry::EpochClosed(closed(NOON)));
    book.say(keeper(1), NOON + 170, destroyed(1));
    book.say(keeper(2), NOON + 170, destroyed(2));
    assert_eq!(book.fresh_alarms(MonitorRule::DestructionMissing, NOON + 329), []);
    let found = book.fresh_alarms(MonitorRule::DestructionMissing, NOON + 330);
    assert_eq!(found.iter().map(|alarm| alarm.logs.clone()).collect::<Vec<_>>(), [vec![keeper(3)]]);
}

#[test]
fn m5_only_the_policy_in_force_counts() {
    let other = [6; 32];
    let mut book = Book::founded();
    book.say(keeper(1), NOON, request_entry(RequestLeaf { policy: other, ..request() }));
    assert_eq!(book.fresh_alarms(MonitorRule::PolicyNotInForce, NOON).len(), 1);

    let mut book = Book::founded();
    let narrower = PolicyLeaf { relation: PolicyRelation::Narrower, ..policy_leaf(Some(POLICY), other, NOON) };
    let announced = book.say(keeper(1), NOON - 60, LogEntry::Policy(narrower));
    book.say(keeper(1), NOON - 1, request_entry(request()));
    let early = book.say(keeper(1), NOON - 1, request_entry(RequestLeaf { policy: other, ..request() }));
    book.say(keeper(1), NOON, request_entry(RequestLeaf { policy: other, ..request() }));
    assert_eq!(book.fresh_alarms(MonitorRule::PolicyNotInForce, NOON), []);
    let found = book.alarms(MonitorRule::PolicyTooEarly, NOON);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].leaves, [announced, early]);
    book.say(keeper(1), NOON + 1, request_entry(request()));
    assert_eq!(book.fresh_alarms(MonitorRule::PolicyNotInForce, NOON).len(), 1, "the old one is over");
}

#[test]
fn m5_a_human_decides_by_the_rules_of_the_request() {
    let with = |other: bool| {
        let mut book = Book::founded();
        let asked = book.say(keeper(1), NOON, request_entry(asked()));
        let LogEntry::Approval(leaf) = approval(asked.index, HumanDecision::Approve) else { panic!() };
        let policy = if other { [6; 32] } else { leaf.policy };
        book.say(keeper(1), NOON, LogEntry::Approval(HumanApprovalLeaf { policy, ..leaf }));
        book.fresh_alarms(MonitorRule::PolicyNotInForce, NOON).len()
    };
    assert_eq!(with(false), 0);
    assert_eq!(with(true), 1);
}

#[test]
fn m5_a_rule_stands_in_the_bundle() {
    let with = |rule: &str| {
        let mut book = Book::founded();
        book.logs.tell_bundle(POLICY, BTreeSet::from(["base.search".to_owned()]));
        let rules = BTreeSet::from([rule.to_owned()]);
        book.say(keeper(1), NOON, request_entry(RequestLeaf { rules, ..request() }));
        book.fresh_alarms(MonitorRule::RuleUnknown, NOON).len()
    };
    assert_eq!(with("base.search"), 0);
    assert_eq!(with("keeper.quota"), 0, "a rule of the keeper's own code");
    assert_eq!(with("base.searches"), 1);
}

#[test]
fn m9_every_auditor_can_open_a_request_that_was_opened() {
    let with = |leaf: RequestLeaf| {
        let mut book = Book::founded();
        book.say(keeper(1), NOON, request_entry(leaf));
        book.fresh_alarms(MonitorRule::EscrowMissing, NOON).len()
    };
    let by = |decision, rules: &[&str]| {
        let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        RequestLeaf { decision, rules, escrow: vec![], ..refused() }
    };
    assert_eq!(with(request()), 0);
    assert_eq!(with(by(RequestDecision::Deny, &["keeper.opening"])), 0, "there was nothing to open");
    assert_eq!(with(by(RequestDecision::Deny, &["keeper.facts"])), 0);
    assert_eq!(with(by(RequestDecision::Deny, &["base.purpose"])), 1);
    assert_eq!(with(by(RequestDecision::Deny, &["base.purpose", "keeper.facts"])), 1);
    assert_eq!(with(RequestLeaf { escrow: vec![], ..request() }), 1);
    let rules = BTreeSet::from(["base.search".to_owned(), "keeper.facts".to_owned()]);
    assert_eq!(with(RequestLeaf { rules, escrow: vec![], ..request() }), 1, "an approval that hides behind a refusal");
}

#[test]
fn m6_a_looser_policy_waits_two_weeks() {
    let with = |relation, notice: u64| {
        let mut book = Book::founded();
        let leaf = PolicyLeaf { relation, ..policy_leaf(Some(POLICY), [6; 32], NOON + notice) };
        book.say(keeper(1), NOON, LogEntry::Policy(leaf));
        book.fresh_alarms(MonitorRule::LooserTooSoon, NOON).len()
    };
    assert_eq!(with(PolicyRelation::Looser, LOOSER_SECONDS), 0);
    assert_eq!(with(PolicyRelation::Looser, LOOSER_SECONDS - 1), 1);
    assert_eq!(with(PolicyRelation::Narrower, 0), 0);
    assert_eq!(with(PolicyRelation::Equal, 0), 0);
}

#[test]
fn m6_a_fresh_key_waits_three_days() {
    let with = |subject, change, notice: u64| {
        let mut book = Book::founded();
        let entry = KeyChanged { subject, change, list: [1; 32], effective: Timestamp(NOON + notice) };
        book.say(keeper(1), NOON, LogEntry::Key(KeyLeaf { entry, name: KeyName::Institution([2; 32]) }));
        book.fresh_alarms(MonitorRule::KeyTooSoon, NOON).len()
    };
    assert_eq!(with(KeySubject::Court, KeyChange::Enrol, KEY_SECONDS), 0);
    assert_eq!(with(KeySubject::Court, KeyChange::Enrol, KEY_SECONDS - 1), 1);
    assert_eq!(with(KeySubject::Court, KeyChange::Revoke, 0), 0, "a revocation counts at once");
    assert_eq!(with(KeySubject::Officer, KeyChange::Enrol, 0), 0, "officers come by their directory");
}

#[test]
fn m6_an_epoch_is_dealt_by_the_charter_in_force() {
    let with = |effective: u64, t: u8| {
        let mut book = Book::founded();
        book.say(LogName::Recorder, NOON - 60, LogEntry::Charter(charter_leaf(3, 3, effective)));
        book.say(LogName::Recorder, NOON, LogEntry::EpochDealt(EpochDealt { t, ..dealt(NOON) }));
        book.fresh_alarms(MonitorRule::CharterTooEarly, NOON).len()
    };
    assert_eq!(with(NOON, 3), 0);
    assert_eq!(with(NOON + 1, 2), 0);
    assert_eq!(with(NOON + 1, 3), 1);
}

#[test]
fn m7_two_roots_of_one_size_are_a_fork() {
    let mut book = Book::founded();
    let mut liar = book.clone();
    book.say(keeper(1), NOON, request_entry(request()));
    liar.say(keeper(1), NOON, request_entry(refused()));
    book.confirm(NOON);
    book.confirm(NOON + 1);
    assert_eq!(book.alarms(MonitorRule::Fork, NOON), [], "the same checkpoint, confirmed again");
    book.logs.tell_head(&keeper(1), liar.head(&keeper(1), Some(NOON))).unwrap();
    let found = book.alarms(MonitorRule::Fork, NOON);
    assert_eq!(found.len(), 1);
    assert!(found[0].rule.is_proof());
    assert_eq!(found[0].notes, [book.head(&keeper(1), None).note, liar.head(&keeper(1), None).note]);
    book.say(keeper(1), NOON, evaluation());
    assert_eq!(book.fresh_alarms(MonitorRule::Fork, LATER).len(), 1, "a fork is never cleared");
}

#[test]
fn m7_a_followers_finding_is_kept() {
    let mut book = Book::founded();
    let fork = crate::Fork { one: b"one".to_vec(), other: b"other".to_vec() };
    book.logs.tell_fork(&DESK, fork.clone()).unwrap();
    book.logs.tell_fork(&DESK, fork).unwrap();
    assert_eq!(book.fresh_alarms(MonitorRule::Fork, NOON).len(), 1);
    let unknown = LogName::Desk(STRANGER);
    let fork = crate::Fork { one: vec![], other: vec![] };
    assert_eq!(book.logs.tell_fork(&unknown, fork), Err(crate::SeeError::UnknownLog));
}

#[test]
fn m8_a_confirmation_ages() {
    let mut book = Book::founded();
    book.confirm(NOON);
    let raised = |book: &Book, age: u64| {
        let now = NOON + age;
        (book.alarms(MonitorRule::Stale, now).len(), book.alarms(MonitorRule::StaleRefused, now).len())
    };
    assert_eq!(raised(&book, STALE_SECONDS - 1), (0, 0));
    assert_eq!(raised(&book, STALE_SECONDS), (5, 0));
    assert_eq!(raised(&book, REFUSE_SECONDS), (5, 0));
    assert_eq!(raised(&book, REFUSE_SECONDS + 1), (0, 5));
    book.confirm_one(DESK, NOON + REFUSE_SECONDS);
    assert_eq!(raised(&book, REFUSE_SECONDS + 1), (0, 4));
    let never = Book::founded();
    assert_eq!(raised(&never, 0), (0, 0), "a log that nobody has seen is a gap");
}

#[test]
fn m8_an_older_copy_of_a_checkpoint_changes_nothing() {
    let mut book = Book::founded();
    let old = book.head(&keeper(1), Some(NOON));
    book.say(keeper(1), NOON, request_entry(request()));
    book.confirm(NOON + 10);
    book.logs.tell_head(&keeper(1), old).unwrap();
    assert_eq!(book.logs.head(&keeper(1)).unwrap().checkpoint.size(), 4);
}

#[test]
fn m9_a_leaf_is_in_its_form() {
    let good = |book: &Book| {
        let leaf = &book.leaves()[&keeper(1)][3];
        String::from_utf8(leaf.clone()).unwrap()
    };
    let mut book = Book::founded();
    book.say(keeper(1), NOON, request_entry(request()));
    assert_eq!(book.fresh_alarms(MonitorRule::LeafMalformed, NOON), []);
    let text = good(&book);
    let first_digest = "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",";
    let bad = [
        text.replacen(first_digest, "", 1),
        text.replacen("\"_sd\":[", &format!("\"_sd\":[{first_digest}"), 1),
        text.replacen(":", ": ", 1),
        text.replacen("\"elements\":2", "\"elements\":2.0", 1),
        text.replacen("\"elements\":2", "\"elements\":-2", 1),
        text.replacen("\"emergency\":false", "\"emergency\":null", 1),
        text.replacen(OWNER.to_string().as_str(), STRANGER.to_string().as_str(), 1),
        text.replacen("k1.example", "k2.example", 1),
    ];
    for (place, leaf) in bad.iter().enumerate() {
        assert_ne!(*leaf, text, "{place}");
        let mut book = book.clone();
        let place = book.say_bytes(keeper(1), leaf.as_bytes());
        let found = book.fresh_alarms(MonitorRule::LeafMalformed, NOON);
        assert_eq!(found.len(), 1, "{leaf}");
        assert_eq!(found[0].leaves, [place]);
    }
}

#[test]
fn m9_a_leaf_of_a_later_release_is_no_alarm() {
    let mut book = Book::founded();
    book.say(keeper(1), NOON, request_entry(request()));
    let text = String::from_utf8(book.leaves()[&keeper(1)][3].clone()).unwrap();
    book.say_bytes(keeper(1), text.replacen("\"type\":\"request\"", "\"type\":\"later\"", 1).as_bytes());
    assert_eq!(book.fresh_alarms(MonitorRule::LeafMalformed, NOON), []);
    assert!(gaps(&book.logs).contains(&Gap::UnknownLeaves { log: keeper(1), count: 1 }));
}

#[test]
fn m9_each_log_says_only_its_own() {
    let genesis = |role| LogEntry::Genesis(Genesis { party: [3; 16], role, charter: [4; 32] });
    let closing = || LogEntry::LogClosed(LogClosed { successor: String::new() });
    let mut book = Book::founded();
    book.say(keeper(1), NOON, disclosure());
    book.say(DESK, NOON, request_entry(request()));
    book.say(LogName::Recorder, NOON, received(1));
    book.say(keeper(1), NOON, received(2));
    book.say(keeper(2), NOON, genesis(LogKind::Keeper));
    book.say(keeper(3), NOON, closing());
    assert_eq!(book.fresh_alarms(MonitorRule::LeafMalformed, NOON).len(), 5);
    book.say(keeper(3), NOON, received(3));
    assert_eq!(book.fresh_alarms(MonitorRule::LeafMalformed, NOON).len(), 6, "nothing follows the last leaf");

    let mut logs = Logs::new(charter());
    let first = |role| {
        let entry = genesis(role);
        lockplate_core::entry::Stamped::with_nonce(entry, role, "k1.example/log/keeper", Timestamp(NOON), [0; 16])
    };
    logs.see(&keeper(1), 0, first(LogKind::Desk).unwrap().leaf_bytes()).unwrap();
    let found = alarms(&logs, Timestamp(NOON));
    assert!(found.iter().any(|alarm| alarm.rule == MonitorRule::LeafMalformed), "a keeper's log begins as a desk's");
}

#[test]
fn m9_nobody_repeats_himself_without_end() {
    let mut book = Book::founded();
    for _ in 0..WORDS_MAX {
        book.say(keeper(1), NOON, request_entry(request()));
        book.say(keeper(1), NOON, received(1));
        book.say(DESK, NOON, disclosure());
        book.say(LogName::Recorder, NOON, LogEntry::EpochDealt(dealt(NOON)));
    }
    assert_eq!(book.fresh_alarms(MonitorRule::LeafMalformed, NOON), []);
    book.say(keeper(2), NOON, received(2));
    assert_eq!(book.fresh_alarms(MonitorRule::LeafMalformed, NOON), [], "another log has its own count");
    for (log, entry) in [
        (keeper(1), request_entry(request())),
        (keeper(1), received(1)),
        (DESK, disclosure()),
        (LogName::Recorder, LogEntry::EpochDealt(dealt(NOON))),
    ] {
        let before = book.fresh_alarms(MonitorRule::LeafMalformed, NOON).len();
        book.say(log, NOON, entry);
        assert_eq!(book.fresh_alarms(MonitorRule::LeafMalformed, NOON).len(), before + 1);
    }
}

#[test]
fn m9_times_never_go_back() {
    let mut book = Book::founded();
    let first = book.say(keeper(1), NOON, request_entry(request()));
    book.say(keeper(1), NOON, evaluation());
    assert_eq!(book.fresh_alarms(MonitorRule::TimeBack, NOON), []);
    let before = book.say(keeper(1), NOON - 1, evaluation());
    let found = book.fresh_alarms(MonitorRule::TimeBack, NOON);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].leaves, [LeafRef { index: first.index + 1, ..first }, before]);
}

#[test]
fn m5_an_auditors_finding_is_an_alarm() {
    let with = |failed| {
        let mut book = Book::founded();
        let review = ReviewLeaf { from: 0, to: 3, auditor: [1; 32], sampled: 2, failed };
        book.say(keeper(1), NOON, LogEntry::Review(review));
        book.fresh_alarms(MonitorRule::ReviewFailed, NOON).len()
    };
    assert_eq!(with(0), 0);
    assert_eq!(with(1), 1);
}

fn paper(status: PaperStatus, deadline: u64) -> LogEntry {
    let authorisation = (status == PaperStatus::Filed).then_some([1; 32]);
    LogEntry::Paper(PaperLeaf { request: REQUEST, status, deadline: Timestamp(deadline), authorisation })
}

/// An emergency that two keepers allowed, with the deadline they name for its paper.
fn emergency(deadline: Option<u64>) -> Book {
    let mut book = Book::founded();
    for place in 1..=2 {
        book.say(keeper(place), NOON, request_entry(RequestLeaf { emergency: true, ..request() }));
        if let Some(deadline) = deadline {
            book.say(keeper(place), NOON, paper(PaperStatus::Due, deadline));
        }
    }
    book
}

#[test]
fn m10_an_emergency_has_its_paper_by_its_deadline() {
    for deadline in [Some(NOON + 3_600), None] {
        let ends = deadline.unwrap_or(NOON + PAPER_SECONDS);
        let mut book = emergency(deadline);
        assert_eq!(book.fresh_alarms(MonitorRule::PaperMissing, ends - 1), []);
        let found = book.fresh_alarms(MonitorRule::PaperMissing, ends);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].logs, [DESK]);
        book.say(keeper(1), ends, paper(PaperStatus::Filed, ends));
        assert_eq!(book.fresh_alarms(MonitorRule::PaperMissing, ends + 9).len(), 1, "one keeper's word is not t's");
        book.say(keeper(2), ends, paper(PaperStatus::Filed, ends));
        assert_eq!(book.fresh_alarms(MonitorRule::PaperMissing, ends + 9), [], "it was only late");
    }
}

#[test]
fn m10_is_of_emergencies_that_were_granted() {
    let mut book = Book::founded();
    book.say(keeper(1), NOON, request_entry(request()));
    book.say(keeper(2), NOON, request_entry(RequestLeaf { emergency: true, request: [1; 32], ..refused() }));
    assert_eq!(book.fresh_alarms(MonitorRule::PaperMissing, LATER), []);
}

#[test]
fn m10_is_silent_while_the_log_is_not_known_that_far() {
    let mut book = emergency(Some(NOON + 3_600));
    book.confirm(NOON + 3_599);
    assert_eq!(book.alarms(MonitorRule::PaperMissing, LATER), []);
    book.confirm_one(keeper(1), NOON + 3_600);
    assert_eq!(book.alarms(MonitorRule::PaperMissing, LATER).len(), 1);
}

const MINUTE: u64 = NOON;

fn counts(class: ListClass, accepted: u64, added: u64, removed: u64) -> ListCounts {
    ListCounts { class, accepted, added, removed, dropped: 0, refused: 0 }
}

fn load(kind: ListKind, sequence: u64, classes: &[ListCounts]) -> HotlistLeaf {
    let decisions = vec![[2; 32]; classes.len()];
    HotlistLeaf {
        list: [9; 16],
        kind,
        sequence,
        produced_at: Timestamp(MINUTE - 60),
        classes: classes.to_vec(),
        set: [1; 32],
        decisions,
        sd: digests(),
    }
}

/// Alarms of a hot list with these changes.
fn listed(changes: &[HotlistLeaf]) -> Vec<Alarm> {
    let mut book = Book::founded();
    for leaf in changes {
        book.say(LogName::Recorder, MINUTE, LogEntry::Hotlist(leaf.clone()));
    }
    book.fresh_alarms(MonitorRule::HotlistCounts, MINUTE)
}

#[test]
fn m11_each_number_follows_from_the_load_before() {
    use ListClass::{AmberAlert, StolenVehicle};
    use ListKind::{Full, Incremental, Retire};
    let first = load(Full, 1, &[counts(AmberAlert, 2, 2, 0), counts(StolenVehicle, 100, 100, 0)]);
    let second = |accepted, added, removed| load(Incremental, 2, &[counts(StolenVehicle, accepted, added, removed)]);
    let third = load(Full, 7, &[counts(AmberAlert, 0, 0, 2), counts(StolenVehicle, 91, 1, 5)]);
    let last = load(Retire, 8, &[]);
    assert_eq!(listed(&[first.clone(), second(95, 5, 10), third.clone(), last.clone()]), []);
    assert_eq!(listed(&[last]).len(), 1, "a list that never was");
    assert_eq!(listed(&[first.clone(), second(96, 5, 10)]).len(), 1);
    assert_eq!(listed(&[first.clone(), second(94, 5, 10)]).len(), 1);
    assert_eq!(listed(&[first.clone(), second(0, 0, 101)]).len(), 1, "more went than there were");
    assert_eq!(listed(&[first.clone(), first]).len(), 1, "the same load twice");
    assert_eq!(listed(&[third]).len(), 1, "entries out of nowhere");
}

#[test]
fn m11_what_is_signed_about_a_list_changes_no_entry_and_its_serial_rises() {
    use ListClass::StolenVehicle;
    use ListKind::{Config, Full, Incremental, Retire};
    let signed = |serial| load(Config, serial, &[]);
    let first = load(Full, 1, &[counts(StolenVehicle, 100, 100, 0)]);
    let second = load(Incremental, 2, &[counts(StolenVehicle, 101, 1, 0)]);
    assert_eq!(listed(&[signed(1), first.clone(), signed(2), second.clone(), load(Retire, 3, &[])]), []);
    assert_eq!(listed(&[signed(1), load(Retire, 1, &[])]), [], "registered, and ended without a load");
    assert_eq!(listed(&[signed(2), signed(2)]).len(), 1, "two words with one serial");
    assert_eq!(listed(&[signed(2), first, signed(1), second]).len(), 1);
}

#[test]
fn m11_no_load_is_missing_and_no_class() {
    use ListClass::{AmberAlert, StolenVehicle};
    use ListKind::{Full, Incremental};
    let first = load(Full, 1, &[counts(AmberAlert, 2, 2, 0), counts(StolenVehicle, 3, 3, 0)]);
    let plus = |sequence| load(Incremental, sequence, &[counts(StolenVehicle, 4, 1, 0)]);
    assert_eq!(listed(&[first.clone(), plus(2)]), []);
    assert_eq!(listed(&[first.clone(), plus(3)]).len(), 1, "a gap");
    assert_eq!(listed(&[plus(1)]).len(), 1, "additions to nothing");
    let whole = load(Full, 2, &[counts(StolenVehicle, 3, 0, 0)]);
    assert_eq!(listed(&[first.clone(), whole]).len(), 1, "two entries of another class went uncounted");
    let wrong = load(Full, 2, &[counts(AmberAlert, 5, 0, 0), counts(StolenVehicle, 3, 0, 0)]);
    let found = listed(&[first, wrong.clone(), load(Incremental, 3, &[counts(AmberAlert, 6, 1, 0)])]);
    assert_eq!(found.len(), 1, "one wrong load is one alarm");
    assert_eq!(found[0].leaves.len(), 2, "it and the load before");
}

#[test]
fn m11_no_list_has_more_entries_than_the_charter_lets() {
    use ListClass::{AmberAlert, StolenVehicle};
    use ListKind::{Full, Incremental};
    let full = load(Full, 1, &[counts(StolenVehicle, 1_000_000, 1_000_000, 0)]);
    assert_eq!(listed(core::slice::from_ref(&full)), []);
    let more = load(Incremental, 2, &[counts(AmberAlert, 1, 1, 0)]);
    let less = load(Incremental, 3, &[counts(StolenVehicle, 999_999, 0, 1)]);
    let found = listed(&[full, more, less]);
    assert_eq!(found.len(), 1, "one entry too many, over all classes, and no word when they are fewer again");
    assert_eq!(listed(&[load(Full, 1, &[counts(StolenVehicle, 1_000_001, 1_000_001, 0)])]).len(), 1);
}

/// An officer brings an entry that nobody signed for, or takes one off in the same file: what others signed for stays.
#[test]
fn m11_custom_entries_of_before_stay_beside_what_is_dropped() {
    use ListClass::{Custom, StolenVehicle};
    use ListKind::{Full, Incremental};
    let next = |class, kind, accepted, added, removed| {
        let first = load(Full, 1, &[counts(class, 8, 8, 0)]);
        let one = ListCounts { dropped: 1, ..counts(class, accepted, added, removed) };
        listed(&[first, load(kind, 2, &[one])]).len()
    };
    assert_eq!(next(Custom, Incremental, 8, 0, 0), 0);
    assert_eq!(next(Custom, Incremental, 7, 0, 1), 0);
    assert_eq!(next(Custom, Incremental, 8, 1, 1), 1, "dropped and let in at once");
    assert_eq!(next(Custom, Incremental, 9, 0, 0), 1, "an entry out of nowhere");
    assert_eq!(next(Custom, Incremental, 8, 0, 1), 1, "it does not add up");
    assert_eq!(next(Custom, Full, 8, 0, 0), 1, "a complete file is decided as a whole");
    assert_eq!(next(StolenVehicle, Incremental, 8, 0, 0), 1, "of an extract a class is let in or not");
}

#[test]
fn m11_what_is_dropped_is_not_loaded() {
    use ListClass::{ImmigrationViolator, WantedPerson};
    let with = |class, accepted, dropped| {
        let one = ListCounts { dropped, ..counts(class, accepted, accepted, 0) };
        listed(&[load(ListKind::Full, 1, &[one])]).len()
    };
    assert_eq!(with(ImmigrationViolator, 0, 700), 0);
    assert_eq!(with(ImmigrationViolator, 1, 0), 1, "no policy lets this class in");
    assert_eq!(with(WantedPerson, 5, 0), 0);
    assert_eq!(with(WantedPerson, 5, 1), 1, "a class is let in or not");
    let mut early = load(ListKind::Full, 1, &[]);
    early.produced_at = Timestamp(MINUTE);
    assert_eq!(listed(&[early.clone()]), []);
    early.produced_at = Timestamp(MINUTE + 60);
    assert_eq!(listed(&[early]).len(), 1, "loaded before it was made");
}

#[test]
fn every_rule_has_a_number_a_name_and_a_sentence() {
    let names: BTreeSet<_> = MonitorRule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(names.len(), MonitorRule::ALL.len());
    let numbers: BTreeSet<_> = MonitorRule::ALL.iter().map(|rule| rule.number()).collect();
    assert_eq!(numbers, (1..=11).collect());
    assert!(MonitorRule::ALL.is_sorted_by_key(|rule| rule.number()));
    assert!(MonitorRule::ALL.iter().all(|rule| MonitorRule::from_name(rule.name()) == Some(*rule)));
    assert!(MonitorRule::ALL.iter().all(|rule| !rule.explain().ends_with('.')));
}

#[test]
fn evidence_holds_the_bytes() {
    let mut book = Book::founded();
    let late = book.say(keeper(1), NOON, evaluation());
    book.confirm(NOON);
    let alarm = &book.alarms(MonitorRule::EvaluationWithoutRequest, NOON)[0];
    let leaves = book.leaves().clone();
    let evidence = alarm.evidence(&book.logs, |leaf| {
        let bytes = leaves.get(&leaf.log)?.get(usize::try_from(leaf.index).ok()?).cloned()?;
        Some((bytes, b"a receipt".to_vec()))
    });
    assert_eq!(evidence.leaves.len(), 1);
    assert_eq!(evidence.leaves[0].index, late.index);
    assert!(evidence.leaves[0].leaf.as_deref().unwrap().contains("\"type\":\"evaluation\""));
    assert_eq!(evidence.leaves[0].receipt.as_deref(), Some("a receipt"));
    assert_eq!(evidence.checkpoints.len(), 1);
    assert_eq!(evidence.number, "M1");
    let json = serde_json::to_value(&evidence).unwrap();
    assert_eq!(json["rule"], "evaluation-without-request");
    let unread = alarm.evidence(&book.logs, |_| None);
    assert_eq!(unread.leaves[0].leaf, None);
}

use lockplate_core::entry::{
    CameraChange, CameraLeaf, DisclosureLeaf, HumanDecision, LogEntry, PolicyLeaf, PolicyRelation, RequestLeaf,
};

use super::*;
use crate::fixture::*;

fn request_entry(leaf: RequestLeaf) -> LogEntry {
    LogEntry::Request(Box::new(leaf))
}

/// What a request comes to whose keepers say so.
fn decided(leaves: [Option<RequestLeaf>; 3]) -> Option<Decision> {
    let mut book = Book::founded();
    for (place, leaf) in (1..).zip(leaves) {
        if let Some(leaf) = leaf {
            book.say(keeper(place), NOON, request_entry(leaf));
        }
    }
    let register = Register::of(&book.logs, Timestamp(NOON));
    register.entry(EntryId(REQUEST)).map(|entry| entry.decision)
}

#[test]
fn a_decision_is_that_of_t_keepers() {
    let (yes, no, ask) = (|| Some(request()), || Some(refused()), || Some(asked()));
    assert_eq!(decided([yes(), yes(), no()]), Some(Decision::Granted));
    assert_eq!(decided([yes(), None, yes()]), Some(Decision::Granted));
    assert_eq!(decided([yes(), None, None]), Some(Decision::Waiting));
    assert_eq!(decided([yes(), no(), None]), Some(Decision::Waiting));
    assert_eq!(decided([yes(), no(), no()]), Some(Decision::Refused));
    assert_eq!(decided([no(), None, None]), Some(Decision::Refused), "all that answered refused");
    assert_eq!(decided([ask(), yes(), no()]), Some(Decision::Waiting));
    assert_eq!(decided([ask(), no(), no()]), Some(Decision::Refused));
    assert_eq!(decided([None, None, None]), None);
}

#[test]
fn a_humans_answer_counts_from_his_first_word() {
    let with = |decisions: &[HumanDecision]| {
        let mut book = Book::founded();
        let asked = book.say(keeper(1), NOON, request_entry(asked()));
        book.say(keeper(2), NOON, request_entry(request()));
        for decision in decisions {
            book.say(keeper(1), NOON + 60, approval(asked.index, *decision));
        }
        let entry = Register::of(&book.logs, Timestamp(NOON)).entry(EntryId(REQUEST)).unwrap();
        (entry.decision, entry.keepers[0].decision)
    };
    use HumanDecision::{Approve, Refuse};
    assert_eq!(with(&[]), (Decision::Waiting, KeeperDecision::Asked));
    assert_eq!(with(&[Approve]), (Decision::Granted, KeeperDecision::Approved));
    assert_eq!(with(&[Refuse]), (Decision::Waiting, KeeperDecision::RefusedByHuman(None)));
    assert_eq!(with(&[Refuse, Approve]), (Decision::Waiting, KeeperDecision::RefusedByHuman(None)));
}

#[test]
fn a_refused_replay_does_not_undo_an_answer() {
    let mut book = Book::founded();
    book.good_search(NOON);
    book.say(keeper(1), NOON + 60, request_entry(refused()));
    book.say(keeper(2), NOON + 60, request_entry(refused()));
    let entry = Register::of(&book.logs, Timestamp(NOON)).entry(EntryId(REQUEST)).unwrap();
    assert_eq!(entry.decision, Decision::Granted);
    assert_eq!(entry.rules, ["base.search"]);
}

#[test]
fn an_entry_tells_the_whole_story() {
    let mut book = Book::founded();
    book.good_search(NOON);
    let register = Register::of(&book.logs, Timestamp(NOON + 60));
    let entry = register.entries().next().unwrap();
    assert_eq!(register.len(), 1);
    assert_eq!(entry.id.to_string(), "ab".repeat(32));
    assert_eq!(EntryId::parse(&entry.id.to_string()), Some(entry.id));
    assert_eq!(entry.requester.label(), "Eastport Police");
    assert_eq!(entry.keepers.len(), 3);
    assert_eq!(entry.keepers[0].name, "Keeper 1");
    assert_eq!(entry.keepers[0].leaf, LeafRef { log: keeper(1), index: 3 });
    assert_eq!(entry.keepers[0].evaluations.len(), 1);
    assert_eq!(entry.keepers[2].evaluations.len(), 0);
    assert_eq!(entry.disclosure.unwrap().outcome, "none");
    let json = serde_json::to_value(&entry).unwrap();
    assert_eq!(json["time"], "2026-11-22T12:00:00Z");
    assert_eq!(json["month"], "2026-11");
    assert_eq!(json["decision"], "granted");
    assert_eq!(json["keepers"][1]["decision"], "allowed");
    assert_eq!(json["keepers"][1]["leaf"]["index"], 3);
    assert_eq!(json["obligations"]["retain_days"], 30);
    assert_eq!(json["authorisation"], serde_json::Value::Null);
}

#[test]
fn rules_are_those_of_the_keepers_that_decided() {
    let mut book = Book::founded();
    book.say(keeper(1), NOON, request_entry(request()));
    book.say(keeper(2), NOON, request_entry(refused()));
    book.say(keeper(3), NOON, request_entry(refused()));
    let entry = Register::of(&book.logs, Timestamp(NOON)).entry(EntryId(REQUEST)).unwrap();
    assert_eq!(entry.rules, ["base.civil-immigration"]);
}

#[test]
fn duties_are_the_strictest_and_the_embargo_the_latest() {
    let mut book = Book::founded();
    book.say(keeper(1), NOON, request_entry(request()));
    let duties = Obligations { approvers: 1, retain_days: 60, notice_days: 10, confirm_visual: false };
    let embargo = Timestamp(NOON + 200 * 86_400);
    book.say(keeper(2), NOON, request_entry(RequestLeaf { obligations: Some(duties), embargo, ..request() }));
    let entry = Register::of(&book.logs, Timestamp(NOON)).entry(EntryId(REQUEST)).unwrap();
    let strictest = Duties { approvers: 1, retain_days: 30, notice_days: 10, confirm_visual: true };
    assert_eq!(entry.obligations, Some(strictest));
    assert_eq!(entry.embargo, embargo);
}

#[test]
fn the_last_disclosure_of_the_requester_counts() {
    let mut book = Book::founded();
    book.good_search(NOON);
    book.say(DESK, NOON + 60, LogEntry::Disclosure(DisclosureLeaf { cells: 3, ..disclosure_leaf() }));
    let entry = Register::of(&book.logs, Timestamp(NOON)).entry(EntryId(REQUEST)).unwrap();
    assert_eq!(entry.disclosure.unwrap().cells, 3);
}

#[test]
fn an_id_has_one_form() {
    let good = "0123456789abcdef".repeat(4);
    assert!(EntryId::parse(&good).is_some());
    for bad in [
        "",
        good.strip_prefix('0').unwrap(),
        &format!("{good}0"),
        &format!("{good}00"),
        &good.to_uppercase(),
        &good.replace('0', "g"),
    ] {
        assert_eq!(EntryId::parse(bad), None, "{bad}");
    }
}

#[test]
fn entries_are_newest_first() {
    let mut book = Book::founded();
    for (digest, time) in [([1; 32], NOON), ([2; 32], NOON + 5), ([3; 32], NOON + 9)] {
        book.say(keeper(1), time, request_entry(RequestLeaf { request: digest, ..request() }));
    }
    // Another keeper wrote the second one down earlier than anybody.
    book.say(keeper(2), NOON - 9, request_entry(RequestLeaf { request: [2; 32], ..request() }));
    let register = Register::of(&book.logs, Timestamp(NOON));
    let order: Vec<_> = register.entries().map(|entry| entry.id.0[0]).collect();
    assert_eq!(order, [3, 1, 2]);
}

#[test]
fn facets_count_by_decision() {
    let mut book = Book::founded();
    book.good_search(NOON);
    let other = RequestLeaf { request: [1; 32], requester: STRANGER, ..refused() };
    book.say(keeper(1), NOON - 40 * 86_400, request_entry(other));
    let facets = Register::of(&book.logs, Timestamp(NOON)).facets();
    assert_eq!(facets.all, Counts { granted: 1, refused: 1, waiting: 0 });
    assert_eq!(facets.agencies.len(), 2);
    assert!(facets.agencies.iter().any(|(party, counts)| party.name.is_none() && counts.refused == 1));
    assert_eq!(facets.purposes, [("stolenVehicle", facets.all)]);
    assert_eq!(facets.rules.len(), 2);
    let months: Vec<_> = facets.months.iter().map(|(month, _)| month.to_string()).collect();
    assert_eq!(months, ["2026-11", "2026-10"]);
}

#[test]
fn the_first_screen_answers_what_people_ask() {
    let mut book = Book::founded();
    book.good_epoch(NOON - 7_200);
    book.good_search(NOON);
    let old = RequestLeaf { request: [1; 32], ..request() };
    book.say(keeper(1), NOON, request_entry(RequestLeaf { emergency: true, request: [2; 32], ..request() }));
    book.say(keeper(3), NOON - 40 * 86_400, request_entry(old));
    let camera = |cameras, effective| {
        let (change, register) = (CameraChange::Add, [15; 32]);
        LogEntry::Camera(CameraLeaf { owner: OWNER, change, register, cameras, effective: Timestamp(effective) })
    };
    book.say(LogName::Recorder, NOON, camera(8, NOON));
    let newest = book.say(LogName::Recorder, NOON, camera(9, NOON + 60));
    book.confirm(NOON + 30);
    let summary = Register::of(&book.logs, Timestamp(NOON + 59)).summary();
    assert_eq!(summary.cameras.unwrap().count, 8, "the ninth does not count yet");
    let summary = Register::of(&book.logs, Timestamp(NOON + 60)).summary();
    assert_eq!(summary.cameras.unwrap(), Cameras { count: 9, since: Timestamp(NOON + 60), leaf: newest });
    assert_eq!(summary.owner.label(), "Millbrook Police Department");
    assert_eq!(summary.retention_seconds, 21 * 86_400);
    assert!(!summary.custody_label);
    assert_eq!(summary.epochs, Epochs { dealt: 1, closed: 1, destroyed: 0 });
    assert_eq!(summary.month.to_string(), "2026-11");
    assert_eq!(summary.this_month, Counts { granted: 1, refused: 0, waiting: 1 });
    assert_eq!(summary.all_time.waiting, 2);
    assert_eq!(summary.emergencies, 1);
    assert_eq!(summary.who_asked.len(), 1);
    assert_eq!(summary.keepers.len(), 3);
    assert_eq!(summary.keepers[0].confirmed, Some(Timestamp(NOON + 30)));
    assert_eq!(summary.keepers[0].last_leaf, Some(Timestamp(NOON + 5)));
    assert_eq!(serde_json::to_value(&summary).unwrap()["keepers"][0]["confirmed"], "2026-11-22T12:00:30Z");
}

#[test]
fn the_custody_label_of_any_log_is_shown_once_in_force() {
    let mut book = Book::founded();
    let mut leaf = charter_leaf(2, 3, NOON);
    leaf.custody_label = true;
    book.say(keeper(2), NOON - 60, LogEntry::Charter(leaf));
    let label = |now| Register::of(&book.logs, Timestamp(now)).summary().custody_label;
    assert!(!label(NOON - 1));
    assert!(label(NOON));
}

#[test]
fn a_change_that_all_announce_is_told_once() {
    let mut book = Book::founded();
    let policy = || {
        let relation = PolicyRelation::Narrower;
        LogEntry::Policy(PolicyLeaf { relation, ..policy_leaf(Some(POLICY), [6; 32], NOON + 60) })
    };
    for place in 1..=3 {
        book.say(keeper(place), NOON + u64::from(place), policy());
    }
    let chronicle = Register::of(&book.logs, Timestamp(NOON)).chronicle();
    assert_eq!(chronicle[0].what, ChangeKind::Policy { relation: "narrower" });
    assert_eq!((chronicle[0].time, chronicle[0].effective), (Timestamp(NOON + 1), Timestamp(NOON + 60)));
    assert_eq!(chronicle[0].leaves.len(), 3);
    assert_eq!(chronicle.len(), 3, "founding charter and founding rules once each");
    let json = serde_json::to_value(&chronicle[0]).unwrap();
    assert_eq!(json["what"]["kind"], "policy");
}

use lockplate_core::entry::{
    AlertsClosed, AlertsEntryAge, AlertsLeaf, AlertsListAge, AlertsRaised, AlertsSuppressed, CanaryLeaf, CanaryResult,
    Day, DestroyMethod, DestroyReason, DisclosureLeaf, Disposition, EntryAge, HotlistLeaf, ListAge, ListClass,
    ListCounts, ListKind, LogEntry, MatchKind, PaperLeaf, PaperStatus, RequestLeaf, ReviewLeaf, ShareDestroyed,
    Suppression,
};
use lockplate_core::id::KeeperIndex;

use super::*;
use crate::fixture::*;
use crate::logs::LogName;
use crate::monitor::DESTROY_SECONDS;
use crate::time::Month;

fn november() -> Period {
    Period::Month(Month::parse("2026-11").unwrap())
}

fn say(book: &mut Book, digest: u8, time: u64, leaf: RequestLeaf) {
    book.say(keeper(1), time, LogEntry::Request(Box::new(RequestLeaf { request: [digest; 32], ..leaf })));
}

#[test]
fn a_month_holds_what_was_written_in_it() {
    let mut book = Book::founded();
    let (first, end) = (Month::parse("2026-11").unwrap().start().0, Month::parse("2026-11").unwrap().end().0);
    for (digest, time) in [(1, first - 1), (2, first), (3, end - 1), (4, end)] {
        say(&mut book, digest, time, refused());
    }
    let of = |period| Figures::of(&book.logs, period, ZoneOffset::UTC, Timestamp(end + 1)).requests.refused;
    assert_eq!(of(november()), 2);
    assert_eq!(of(Period::All), 4);
    assert_eq!(of(Period::Month(Month::parse("2025-11").unwrap())), 0);
}

#[test]
fn every_request_is_counted_once_in_every_table() {
    let mut book = Book::founded();
    book.good_search(NOON);
    say(&mut book, 1, NOON + 60, RequestLeaf { requester: STRANGER, on_behalf_of: EASTPORT, ..refused() });
    say(&mut book, 2, NOON + 61, RequestLeaf { emergency: true, judicial: true, ..request() });
    let figures = Figures::of(&book.logs, november(), ZoneOffset::UTC, Timestamp(NOON + 100));
    assert_eq!(figures.requests, Counts { granted: 1, refused: 1, waiting: 1 });
    let sum = |counts: Vec<Counts>| counts.iter().map(Counts::all).sum::<u64>();
    assert_eq!(sum(figures.by_agency.iter().map(|line| line.counts).collect()), 3);
    assert_eq!(sum(figures.by_purpose.iter().map(|line| line.counts).collect()), 3);
    assert_eq!(sum(figures.by_officer.iter().map(|line| line.counts).collect()), 3);
    assert_eq!(figures.by_agency[0].key.label(), "Eastport Police", "most requests first");
    assert_eq!(figures.by_officer.len(), 2, "one pseudonym at two agencies is two people");
    assert_eq!(figures.on_behalf_of.len(), 1);
    assert_eq!(figures.on_behalf_of[0].counts.refused, 1);
    assert_eq!(figures.emergencies, Counts { granted: 0, refused: 0, waiting: 1 });
    assert_eq!(figures.judicial, Share { part: 1, of: 3 });
    assert_eq!(figures.disclosed, Share { part: 1, of: 1 });
}

#[test]
fn the_night_is_that_of_the_place() {
    // 22:00, 05:59, 06:00 and 21:59 in a place five hours behind UTC.
    let midnight_there = NOON - 7 * 3_600;
    let hours = [22 * 3_600, 5 * 3_600 + 3_599, 6 * 3_600, 22 * 3_600 - 1];
    let mut book = Book::founded();
    for (digest, second) in (1..).zip(hours) {
        say(&mut book, digest, midnight_there - 86_400 + second, refused());
    }
    let share = |minutes| {
        let zone = ZoneOffset::from_minutes(minutes).unwrap();
        Figures::of(&book.logs, Period::All, zone, Timestamp(NOON)).off_hours
    };
    assert_eq!(share(-300), Share { part: 2, of: 4 });
    assert_eq!(share(-300).per_mille(), Some(500));
    assert_eq!(share(0), Share { part: 2, of: 4 }, "03:00, 02:59 are night in UTC, 10:59, 11:00 are not");
    assert_eq!(Share::default().per_mille(), None);
}

#[test]
fn destruction_is_counted_by_share() {
    let destroyed = |place| {
        let (method, reason) = (DestroyMethod::Kek, DestroyReason::Retention);
        LogEntry::ShareDestroyed(ShareDestroyed { header: HEADER, index: KeeperIndex(place), method, reason })
    };
    let mut book = Book::founded();
    book.good_epoch(NOON);
    let due = NOON + 3_600 + 21 * 86_400;
    let of = |book: &Book, now| Figures::of(&book.logs, Period::All, ZoneOffset::UTC, Timestamp(now)).destruction;
    assert_eq!(of(&book, due - 1), Destruction::default());
    assert_eq!(of(&book, due), Destruction { due: 3, ..Destruction::default() });
    book.say(keeper(1), due + 60, destroyed(1));
    let figures = |now| Figures::of(&book.logs, Period::All, ZoneOffset::UTC, Timestamp(now));
    assert_eq!(of(&book, due + DESTROY_SECONDS - 1), Destruction { due: 3, destroyed: 1, late: 0, overdue: 0 });
    assert_eq!(of(&book, due + DESTROY_SECONDS), Destruction { due: 3, destroyed: 1, late: 0, overdue: 2 });
    assert_eq!(figures(due + DESTROY_SECONDS).epochs.destroyed, 0, "two shares of three still open it");
    book.say(keeper(2), due + DESTROY_SECONDS, destroyed(2));
    assert_eq!(of(&book, due + DESTROY_SECONDS), Destruction { due: 3, destroyed: 2, late: 1, overdue: 1 });
    let all = Figures::of(&book.logs, Period::All, ZoneOffset::UTC, Timestamp(due + DESTROY_SECONDS));
    assert_eq!(all.epochs, Epochs { dealt: 1, closed: 1, destroyed: 1 });
    let month = Figures::of(&book.logs, november(), ZoneOffset::UTC, Timestamp(due + DESTROY_SECONDS));
    assert_eq!(month.destruction, Destruction::default(), "its date is in December");
}

#[test]
fn reads_opened_are_the_requesters_last_word() {
    let mut book = Book::founded();
    book.good_search(NOON);
    for cells in [5, 7] {
        book.say(DESK, NOON + 60, LogEntry::Disclosure(DisclosureLeaf { cells, ..disclosure_leaf() }));
    }
    assert_eq!(Figures::of(&book.logs, Period::All, ZoneOffset::UTC, Timestamp(NOON)).reads_opened, 7);
}

#[test]
fn confirmed_logs_are_those_of_the_last_hour() {
    let mut book = Book::founded();
    book.confirm(NOON - STALE_SECONDS);
    book.confirm_one(DESK, NOON - STALE_SECONDS + 1);
    let figures = Figures::of(&book.logs, Period::All, ZoneOffset::UTC, Timestamp(NOON));
    assert_eq!(figures.logs_confirmed, Share { part: 1, of: 5 });
}

#[test]
fn papers_of_granted_emergencies_are_counted_by_their_deadline() {
    let paper = |status, deadline: u64| {
        let authorisation = (status == PaperStatus::Filed).then_some([1; 32]);
        LogEntry::Paper(PaperLeaf { request: REQUEST, status, deadline: Timestamp(deadline), authorisation })
    };
    let mut book = Book::founded();
    for place in 1..=2 {
        let leaf = RequestLeaf { emergency: true, ..request() };
        book.say(keeper(place), NOON, LogEntry::Request(Box::new(leaf)));
    }
    let of = |book: &Book, now| Figures::of(&book.logs, Period::All, ZoneOffset::UTC, Timestamp(now)).papers;
    assert_eq!(of(&book, NOON + PAPER_SECONDS - 1), Papers { open: 1, ..Papers::default() });
    assert_eq!(of(&book, NOON + PAPER_SECONDS), Papers { overdue: 1, ..Papers::default() });
    book.say(keeper(1), NOON, paper(PaperStatus::Due, NOON + 60));
    assert_eq!(of(&book, NOON + 59), Papers { open: 1, ..Papers::default() });
    assert_eq!(of(&book, NOON + 60), Papers { overdue: 1, ..Papers::default() });
    let mut late = book.clone();
    book.say(keeper(1), NOON + 60, paper(PaperStatus::Filed, NOON + 60));
    assert_eq!(of(&book, NOON + 60), Papers { filed: 1, ..Papers::default() });
    late.say(keeper(1), NOON + 61, paper(PaperStatus::Filed, NOON + 60));
    assert_eq!(of(&late, NOON + 61), Papers { late: 1, ..Papers::default() });
}

#[test]
fn hot_lists_are_counted_by_class() {
    let mut book = Book::founded();
    for (sequence, kind, accepted) in [(1, ListKind::Full, 5), (2, ListKind::Incremental, 7)] {
        let stolen =
            ListCounts { class: ListClass::StolenVehicle, accepted, added: 2, removed: 1, dropped: 0, refused: 3 };
        let dropped = ListCounts {
            dropped: 10,
            accepted: 0,
            class: ListClass::ImmigrationViolator,
            added: 0,
            removed: 0,
            refused: 0,
        };
        let leaf = HotlistLeaf {
            list: [9; 16],
            kind,
            sequence,
            produced_at: Timestamp(NOON - 60),
            classes: vec![dropped, stolen],
            set: [1; 32],
            decisions: vec![[2; 32]; 2],
            sd: digests(),
        };
        let config = HotlistLeaf {
            kind: ListKind::Config,
            produced_at: Timestamp(NOON),
            classes: vec![],
            decisions: vec![],
            ..leaf.clone()
        };
        book.say(LogName::Recorder, NOON, LogEntry::Hotlist(leaf));
        book.say(LogName::Recorder, NOON, LogEntry::Hotlist(config));
    }
    let figures = Figures::of(&book.logs, november(), ZoneOffset::UTC, Timestamp(NOON));
    let [dropped, stolen] = figures.hot_lists.as_slice() else { panic!("two classes") };
    assert_eq!((dropped.class, dropped.received, dropped.dropped, dropped.loaded), ("immigrationViolator", 20, 20, 0));
    // What the second file left as it was did not come with it.
    assert_eq!((stolen.loads, stolen.received, stolen.loaded, stolen.refused), (2, 13, 7, 6));
    assert_eq!((stolen.added, stolen.removed), (4, 2));
    let summary = crate::register::Register::of(&book.logs, Timestamp(NOON)).summary();
    let list = &summary.hot_lists[0];
    assert_eq!((list.entries.as_slice(), list.produced_at.0), (&[("stolenVehicle", 7)][..], NOON - 60), "as loaded");
}

#[test]
fn alerts_are_counted_by_their_day() {
    let mut book = Book::founded();
    let closed = |class, disposition, stopped, n| AlertsClosed { class, disposition, stopped, n };
    let leaf = |day: u64| AlertsLeaf {
        day: Day::of(Timestamp(day)),
        raised: vec![
            AlertsRaised { class: ListClass::MissingPerson, matched: MatchKind::PlateAndState, n: 4 },
            AlertsRaised { class: ListClass::StolenVehicle, matched: MatchKind::PlateAndState, n: 10 },
        ],
        handed: 2,
        taken: 1,
        entry_ages: vec![
            AlertsEntryAge { age: EntryAge::UnderDay, n: 5 },
            AlertsEntryAge { age: EntryAge::UnderMonth, n: 4 },
            AlertsEntryAge { age: EntryAge::YearOrMore, n: 5 },
        ],
        list_ages: vec![AlertsListAge { age: ListAge::UnderHalfDay, n: 14 }],
        suppressed: vec![AlertsSuppressed { reason: Suppression::OtherState, n: 4 }],
        looked: 11,
        verified: 6,
        expired: 2,
        closed: vec![
            closed(ListClass::StolenVehicle, Disposition::Misread, true, 3),
            closed(ListClass::StolenVehicle, Disposition::Recovered, true, 5),
            closed(ListClass::StolenVehicle, Disposition::WrongState, false, 2),
        ],
        overdue: 1,
    };
    // Written after midnight of the month's end about its last day.
    let end = Month::parse("2026-11").unwrap().end().0;
    book.say(LogName::Recorder, end + 60, LogEntry::Alerts(leaf(end - 1)));
    book.say(LogName::Recorder, end + 86_400, LogEntry::Alerts(leaf(end)));
    let alerts = Figures::of(&book.logs, november(), ZoneOffset::UTC, Timestamp(end + 86_400)).alerts;
    assert_eq!((alerts.days, alerts.overdue), (1, 1));
    let raised: Vec<_> = alerts.raised.iter().map(|line| (line.class, line.alerts.to_string())).collect();
    assert_eq!(raised, [("missingPerson", "< 5".to_owned()), ("stolenVehicle", "10".to_owned())]);
    assert_eq!((alerts.raised_all, alerts.closed_all, alerts.taken), (14, 10, 1));
    assert_eq!(alerts.handed, Share { part: 2, of: 14 });
    // Fourteen of which two are others', and one from elsewhere.
    assert_eq!((alerts.looked, alerts.expired), (Share { part: 11, of: 13 }, Share { part: 2, of: 13 }));
    assert_eq!(alerts.verified, Share { part: 6, of: 11 });
    assert_eq!((alerts.entry_age_median, alerts.list_age_median), (Some("under_month"), Some("under_half_day")));
    assert_eq!(alerts.stale_entry, Share { part: 0, of: 10 });
    assert_eq!(alerts.suppressed[0].what, "other_state");
    assert_eq!(alerts.misread, Share { part: 3, of: 10 });
    assert_eq!(alerts.misread.per_mille(), Some(300));
    assert_eq!(alerts.wrong_state, Share { part: 2, of: 10 });
    assert_eq!(alerts.stopped, Share { part: 8, of: 10 });
    assert_eq!(alerts.stopped_wrongly, Share { part: 3, of: 8 });
}

#[test]
fn self_tests_and_reviews_are_counted() {
    let mut book = Book::founded();
    for result in [CanaryResult::Found, CanaryResult::Found, CanaryResult::Missed, CanaryResult::Error] {
        book.say(LogName::Recorder, NOON, LogEntry::Canary(CanaryLeaf { header: HEADER, result, keepers: 2 }));
    }
    let review = ReviewLeaf { from: 0, to: 3, auditor: [1; 32], sampled: 2, failed: 1 };
    book.say(keeper(2), NOON, LogEntry::Review(review));
    let figures = Figures::of(&book.logs, november(), ZoneOffset::UTC, Timestamp(NOON));
    assert_eq!(figures.self_tests, SelfTests { found: 2, missed: 1, error: 1 });
    assert_eq!(figures.oversight, Oversight { reviews: 1, sampled: 2, failed: 1, erased: 0 });
    let test = crate::register::Register::of(&book.logs, Timestamp(NOON)).summary().self_test.unwrap();
    assert_eq!((test.result, test.keepers), ("error", 2), "the last one");
}

#[test]
fn names_in_json_and_rows_stay() {
    let mut book = Book::founded();
    book.good_search(NOON);
    let zone = ZoneOffset::from_minutes(-300).unwrap();
    let figures = Figures::of(&book.logs, november(), zone, Timestamp(NOON));
    let json = serde_json::to_value(&figures).unwrap();
    assert_eq!(json["period"], "2026-11");
    assert_eq!(json["zone"], "UTC-05:00");
    assert_eq!(json["as_of"], "2026-11-22T12:00:00Z");
    assert_eq!(json["requests"]["granted"], 1);
    assert_eq!(json["by_agency"][0]["key"]["name"], "Eastport Police");
    assert_eq!(json["off_hours"]["of"], 1);
    let rows = figures.rows();
    let number = |figure, key: &str, count| {
        rows.iter()
            .find(|row| (row.figure, row.key.as_str(), row.count) == (figure, key, count))
            .map(|row| row.number.to_string())
    };
    assert_eq!(number("requests", "", "granted").as_deref(), Some("1"));
    assert_eq!(number("by_agency", "Eastport Police", "granted").as_deref(), Some("1"));
    assert_eq!(number("by_rule", "base.search", "granted").as_deref(), Some("1"));
    assert_eq!(number("off_hours", "", "of").as_deref(), Some("1"));
    assert_eq!(number("cameras", "", "cameras"), None, "nothing is said, which is not zero");
}

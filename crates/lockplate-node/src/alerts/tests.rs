//! What is stored of alerts, without an agency around it.

use lockplate_core::entry::{AlertsLeaf, Day, Disposition, EntryAge, ListAge, ListClass, MatchKind};
use lockplate_core::hotlist::alert::{AlertRecord, AlertState, Closing, StepKind};
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::hotlist::tally::{Ages, MisreadRate};

use super::store::{NewAlert, NewStep, Sightings, Stored};
use super::*;
use crate::agency_db::AgencyDb;

/// 2026-11-22T12:00:00Z.
const NOON: u64 = 1_795_348_800;
const DAY: u64 = 86_400;

fn store(folder: &std::path::Path) -> AlertStore {
    AlertStore::new(AgencyDb::open(&folder.join("agency.db")).unwrap().db().clone())
}

fn alert(id: u8, at: u64) -> NewAlert {
    let record = AlertRecord {
        alert: [id; 16],
        list: [0x4c; 16],
        kind: SetKind::Extract,
        class: ListClass::StolenVehicle,
        matched: MatchKind::PlateAndState,
        live: true,
        raised_at: Timestamp(at),
        state: AlertState::Raised,
    };
    let here = Some((7, Ages { entry: EntryAge::UnderDay, list: ListAge::UnderDay }));
    NewAlert { record, purpose: Purpose::StolenVehicle, own: true, here, count: 1, sealed: vec![id; 40] }
}

/// The counts of the day of [`NOON`], which is over.
async fn day(store: &AlertStore) -> AlertsLeaf {
    store.unlogged(Timestamp(NOON + DAY)).await.unwrap().remove(0)
}

fn numbers(stored: Vec<Stored>) -> Vec<u64> {
    stored.into_iter().map(|one| one.number).collect()
}

fn step(record: &AlertRecord, state: AlertState, kind: StepKind) -> NewStep {
    let record = AlertRecord { state, ..record.clone() };
    let closing = match state {
        AlertState::Closed { disposition, stopped, .. } => Some(Closing { disposition, stopped }),
        _ => None,
    };
    let erase_at = record.erase_at(None);
    NewStep { record, kind, signed: vec![1], said: vec![2], decision: [3; 32], erase_at, closing, misread: None }
}

#[tokio::test]
async fn every_state_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let states = [
        AlertState::Looked { by: [9; 32] },
        AlertState::Verified,
        AlertState::Rejected { reason: Disposition::WrongState },
        AlertState::Closed { disposition: Disposition::Arrest, stopped: true, verified: true, at: Timestamp(NOON) },
        AlertState::Expired { at: Timestamp(NOON) },
    ];
    for (id, state) in (1..).zip(states) {
        let new = alert(id, NOON);
        let sightings = Sightings { alerts: vec![new.clone()], ..Sightings::default() };
        let number = store.sighted(sightings, Timestamp(NOON)).await.unwrap()[0].number;
        let (row, sealed) = store.own([id; 16]).await.unwrap().unwrap();
        assert_eq!((&row.record, row.number, sealed), (&new.record, number, vec![id; 40]));
        store.step(number, step(&new.record, state, StepKind::Look), Timestamp(NOON)).await.unwrap();
        assert_eq!(store.own([id; 16]).await.unwrap().unwrap().0.record.state, state);
        let steps = store.steps(number).await.unwrap();
        assert_eq!((steps[0].kind, steps[0].signed.clone(), steps[0].said.clone()), (StepKind::Look, vec![1], vec![2]));
        let again = step(&new.record, state, StepKind::Look);
        assert!(store.step(number, again, Timestamp(NOON)).await.is_err(), "each step once");
    }
    let waiting: Vec<_> = store.waiting().await.unwrap().into_iter().map(|row| row.record.alert[0]).collect();
    assert_eq!(waiting, [1, 2, 3]);
}

#[tokio::test]
async fn what_time_does_it_does_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let alerts = vec![alert(1, NOON), alert(2, NOON), alert(3, NOON)];
    let records: Vec<_> = alerts.iter().map(|one| one.record.clone()).collect();
    let numbers = numbers(store.sighted(Sightings { alerts, ..Sightings::default() }, Timestamp(NOON)).await.unwrap());
    let looked = AlertState::Looked { by: [9; 32] };
    store.step(numbers[1], step(&records[1], looked, StepKind::Look), Timestamp(NOON)).await.unwrap();
    let closed =
        AlertState::Closed { disposition: Disposition::Lost, stopped: false, verified: false, at: Timestamp(NOON) };
    store.step(numbers[2], step(&records[2], closed, StepKind::Close), Timestamp(NOON)).await.unwrap();
    let tick = async |at: u64| {
        let ticked = store.tick(Timestamp(NOON + at), 600).await.unwrap();
        let numbers: Vec<_> = ticked.escalate.iter().map(|row| row.number).collect();
        (numbers, ticked.expired, ticked.overdue.len())
    };
    // The alert may have been raised in the last second of its minute.
    assert_eq!(tick(658).await, (vec![], 0, 0));
    assert_eq!(tick(659).await, (vec![numbers[0]], 0, 0));
    assert_eq!(tick(660).await, (vec![], 0, 0));
    assert_eq!(tick(1_800).await, (vec![], 1, 0));
    assert_eq!(tick(1_801).await, (vec![], 0, 0));
    assert_eq!(store.counts().await.unwrap().expired, 1);
    assert_eq!(tick(1_800 + DAY).await, (vec![], 0, 0));
    assert!(store.own([1; 16]).await.unwrap().is_none(), "expired alerts are gone after a day");
    assert_eq!(tick(3 * DAY).await, (vec![], 0, 1));
    assert_eq!(tick(3 * DAY + 1).await, (vec![], 0, 0));
    assert!(store.own([3; 16]).await.unwrap().is_some());
    tick(30 * DAY).await;
    assert!(store.own([3; 16]).await.unwrap().is_none(), "closed ones after thirty");
    assert!(store.steps(numbers[2]).await.unwrap().is_empty(), "with what was said");
    tick(33 * DAY - 1).await;
    assert!(store.own([2; 16]).await.unwrap().is_some(), "what is to be done stays");
    tick(33 * DAY).await;
    assert!(store.own([2; 16]).await.unwrap().is_none(), "and thirty days after it should have been done it goes");
    let more = store.sighted(Sightings { alerts: vec![alert(4, NOON)], ..Sightings::default() }, Timestamp(NOON));
    assert!(more.await.unwrap()[0].number > numbers[2], "no number comes twice: terminals go by them");
}

#[tokio::test]
async fn a_terminal_that_was_away_is_told_how_everything_stands_that_changed_since() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let late = NewAlert { record: AlertRecord { live: false, ..alert(5, NOON).record }, ..alert(5, NOON) };
    let alerts = vec![alert(1, NOON), alert(2, NOON), alert(3, NOON), NewAlert { own: false, ..alert(4, NOON) }, late];
    let records: Vec<_> = alerts.iter().map(|one| one.record.clone()).collect();
    let stored = store.sighted(Sightings { alerts, ..Sightings::default() }, Timestamp(NOON)).await.unwrap();
    let seen = stored[4].change;
    let told = async |seen: Option<u64>| {
        let (rows, last) = store.news(seen).await.unwrap();
        let shown = |row: AlertRow| (row.record.alert[0], row.late, row.record.state == AlertState::Raised);
        (rows.into_iter().map(shown).collect::<Vec<_>>(), last)
    };
    assert_eq!(told(Some(seen)).await, (vec![], seen));
    let waiting = vec![(1, false, true), (2, false, true), (3, false, true)];
    assert_eq!(told(None).await, (waiting.clone(), seen));
    assert_eq!(told(Some(seen + 1)).await, (waiting, seen), "a number that no change has is none");
    assert_eq!(told(Some(stored[1].change)).await.0, [(3, false, true)]);

    // Alerts that it has seen: one is looked at, of one it is said that nobody has.
    let looked = AlertState::Looked { by: [9; 32] };
    let step = step(&records[0], looked, StepKind::Look);
    let change = store.step(stored[0].number, step, Timestamp(NOON)).await.unwrap();
    let ticked = store.tick(Timestamp(NOON + 700), 600).await.unwrap();
    assert!(change > seen && ticked.escalate.iter().all(|row| row.change > change && row.late));
    let changed = vec![(1, false, false), (2, true, true), (3, true, true)];
    assert_eq!(told(Some(seen)).await, (changed, ticked.escalate[1].change));
    assert_eq!(told(Some(change)).await.0, [(2, true, true), (3, true, true)]);

    // And nobody says how the first ended.
    let ticked = store.tick(Timestamp(NOON + 3 * DAY), 600).await.unwrap();
    assert_eq!(ticked.overdue.iter().map(|row| row.record.alert[0]).collect::<Vec<_>>(), [1]);
    let last = ticked.overdue[0].change;
    assert_eq!(told(Some(last - 1)).await, (vec![(1, true, false)], last));
    // No number comes twice, whatever was erased.
    store.tick(Timestamp(NOON + 40 * DAY), 600).await.unwrap();
    assert_eq!(told(None).await, (vec![], last));
    let more = Sightings { alerts: vec![alert(6, NOON)], ..Sightings::default() };
    assert_eq!(store.sighted(more, Timestamp(NOON)).await.unwrap()[0].change, last + 1);
}

#[tokio::test]
async fn a_days_counts_survive_a_restart_and_are_final_once_logged() {
    let folder = tempfile::tempdir().unwrap();
    let suppressed = BTreeMap::from([(Suppression::OtherState, 3)]);
    let sightings = Sightings { alerts: vec![alert(1, NOON)], again: vec![[1; 16]; 2], suppressed };
    store(folder.path()).sighted(sightings.clone(), Timestamp(NOON)).await.unwrap();
    let store = store(folder.path());
    let more = Sightings { alerts: vec![alert(2, NOON)], ..sightings };
    store.sighted(more, Timestamp(NOON + 60)).await.unwrap();
    assert!(store.unlogged(Timestamp(NOON + 3_600)).await.unwrap().is_empty(), "the day is not over");
    let leaves = store.unlogged(Timestamp(NOON + DAY)).await.unwrap();
    let [leaf] = leaves.as_slice() else { panic!("one day") };
    assert_eq!((leaf.day, leaf.raised[0].n), (Day::of(Timestamp(NOON)), 2));
    let counts: Vec<_> = leaf.suppressed.iter().map(|one| (one.reason.name(), one.n)).collect();
    assert_eq!(counts, [("other_state", 6), ("repeated", 4)]);
    assert_eq!(store.own([1; 16]).await.unwrap().unwrap().0.count, 5);
    store.logged(leaf.day).await.unwrap();
    assert!(store.unlogged(Timestamp(NOON + DAY)).await.unwrap().is_empty());
    // A clock that went back: what is counted now is said with the next day, and not lost in one that was said.
    let late = Sightings { alerts: vec![alert(3, NOON)], ..Sightings::default() };
    store.sighted(late, Timestamp(NOON + 120)).await.unwrap();
    let leaves = store.unlogged(Timestamp(NOON + 2 * DAY)).await.unwrap();
    assert_eq!((leaves.len(), leaves[0].day, leaves[0].raised[0].n), (1, Day::of(Timestamp(NOON + DAY)), 1));
    // A quiet day has a leaf too.
    store.tick(Timestamp(NOON + 2 * DAY), 600).await.unwrap();
    let leaves = store.unlogged(Timestamp(NOON + 3 * DAY)).await.unwrap();
    assert!(leaves[1].raised.is_empty() && leaves[1].day == Day::of(Timestamp(NOON + 2 * DAY)));
}

#[tokio::test]
async fn misreads_count_against_the_camera_and_month_of_the_alert() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let alerts: Vec<_> = (1..=4).map(|id| alert(id, NOON)).collect();
    let record = alerts[0].record.clone();
    let numbers = numbers(store.sighted(Sightings { alerts, ..Sightings::default() }, Timestamp(NOON)).await.unwrap());
    let rejected = AlertState::Rejected { reason: Disposition::Misread };
    let misread = NewStep { misread: Some(7), ..step(&record, rejected, StepKind::Look) };
    store.step(numbers[0], misread, Timestamp(NOON)).await.unwrap();
    // What is another agency's, or comes from another's camera of the same number, says nothing of this one.
    let theirs = NewAlert { own: false, ..alert(5, NOON) };
    store.sighted(Sightings { alerts: vec![theirs], ..Sightings::default() }, Timestamp(NOON)).await.unwrap();
    store.take(vec![NewAlert { here: None, ..alert(6, NOON) }], Timestamp(NOON)).await.unwrap();
    let rates = store.misreads(Timestamp(NOON)).await.unwrap();
    assert_eq!(rates, BTreeMap::from([(7, MisreadRate { misread: 1, alerts: 4 })]));
    assert!(rates[&7].is_alarming());
    assert!(store.misreads(Timestamp(NOON + 30 * DAY)).await.unwrap().is_empty(), "December");
}

#[tokio::test]
async fn what_others_fetch_is_kept_until_they_say_that_they_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let list = [0x4c; 16];
    let theirs: Vec<_> = (1..=40).map(|id| NewAlert { own: false, ..alert(id, NOON) }).collect();
    let other = NewAlert { record: AlertRecord { list: [0x4d; 16], ..alert(50, NOON).record }, ..theirs[0].clone() };
    let sightings = Sightings { alerts: [theirs, vec![other, alert(60, NOON)]].concat(), ..Sightings::default() };
    store.sighted(sightings, Timestamp(NOON)).await.unwrap();
    let ids = async |after: u8| {
        let waiting = store.hand_over(list, [after; 16]).await.unwrap();
        waiting.iter().map(|one| (one.id[0], one.sealed.len())).collect::<Vec<_>>()
    };
    let page: Vec<_> = (1..=32).map(|id| (id, 40)).collect();
    assert_eq!(ids(0).await, page);
    assert_eq!(ids(99).await, page, "an id that nobody has confirms nothing");
    assert_eq!(ids(60).await, page, "nor does an alert that is not theirs");
    assert_eq!(ids(32).await, (33..=40).map(|id| (id, 40)).collect::<Vec<_>>());
    assert_eq!(ids(0).await.first(), Some(&(33, 40)), "what was confirmed is not there a second time");
    assert_eq!(ids(3).await.len(), 8, "an old confirmation takes nothing back");
    assert_eq!(store.counts().await.unwrap().to_hand, 9);
    let kept = move |db: &mut rusqlite::Connection| {
        Ok(db.query_row("SELECT count(*) FROM alert WHERE length(sealed) = 0", [], |row| row.get::<_, i64>(0))?)
    };
    assert_eq!(store.0.call(kept).await.unwrap(), 32, "and its content is erased");
    // The count stays, of all of them.
    let leaf = day(&store).await;
    assert_eq!((leaf.raised[0].n, leaf.handed, leaf.taken, leaf.expired), (42, 41, 0, 0));
    let ticked = store.tick(Timestamp(NOON + 1_800), 600).await.unwrap();
    assert_eq!((ticked.expired, ticked.unfetched), (1, 9), "only what nobody here looked at expires here");
    assert_eq!(store.tick(Timestamp(NOON + 1_801), 600).await.unwrap().unfetched, 0, "said once");
    store.tick(Timestamp(NOON + 1_800 + DAY), 600).await.unwrap();
    assert_eq!((ids(0).await, store.counts().await.unwrap().to_hand), (vec![], 0), "in the end it goes");
}

#[tokio::test]
async fn what_is_taken_over_is_here_once() {
    let folder = tempfile::tempdir().unwrap();
    let taken: Vec<_> = (1..=2).map(|id| NewAlert { here: None, count: 3, ..alert(id, NOON) }).collect();
    let numbers = store(folder.path()).take(taken.clone(), Timestamp(NOON)).await.unwrap().unwrap();
    assert!(numbers.iter().all(Option::is_some));
    let store = store(folder.path());
    let more = [taken, vec![NewAlert { here: None, ..alert(3, NOON) }]].concat();
    let numbers = store.take(more, Timestamp(NOON)).await.unwrap().unwrap();
    assert_eq!(numbers.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
    let (row, sealed) = store.own([1; 16]).await.unwrap().unwrap();
    assert_eq!((row.count, row.own, row.taken, sealed), (3, true, true, vec![1; 40]));
    let leaf = day(&store).await;
    assert_eq!((leaf.taken, leaf.raised.len(), leaf.handed), (3, 0, 0), "it was counted as raised where it was");
    // Another agency's machine does not fill this one's disk.
    let copy = |db: &mut rusqlite::Connection| {
        let columns = "list, kind, class, matched, purpose, own, live, raised_at, look_by, dispose_by, state, stopped, verified, \
                       count, escalated, overdue, sealed, taken";
        db.execute_batch(&format!(
            "WITH RECURSIVE n (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < 19997)
             INSERT INTO alert (id, {columns}) SELECT randomblob(16), {columns} FROM alert, n WHERE number = 1;"
        ))?;
        Ok(())
    };
    store.0.call(copy).await.unwrap();
    let next = || vec![NewAlert { here: None, ..alert(4, NOON) }];
    assert_eq!(store.take(next(), Timestamp(NOON)).await.unwrap(), None);
    assert!(store.take(next(), Timestamp(NOON + DAY + 60)).await.unwrap().is_some(), "a day later");
}

#[tokio::test]
async fn the_days_numbers_of_looks_and_ages_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let old = Some((7, Ages { entry: EntryAge::YearOrMore, list: ListAge::DayOrMore }));
    let alerts = vec![alert(1, NOON), alert(2, NOON), NewAlert { here: old, ..alert(3, NOON) }];
    let record = alerts[0].record.clone();
    let numbers = numbers(store.sighted(Sightings { alerts, ..Sightings::default() }, Timestamp(NOON)).await.unwrap());
    let at = Timestamp(NOON);
    store.step(numbers[0], step(&record, AlertState::Looked { by: [9; 32] }, StepKind::Look), at).await.unwrap();
    store.step(numbers[0], step(&record, AlertState::Verified, StepKind::LiveCheck), at).await.unwrap();
    let stale = AlertState::Rejected { reason: Disposition::StaleEntry };
    store.step(numbers[1], step(&record, AlertState::Looked { by: [9; 32] }, StepKind::Look), at).await.unwrap();
    store.step(numbers[1], step(&record, stale, StepKind::LiveCheck), at).await.unwrap();
    store.tick(Timestamp(NOON + 1_800), 600).await.unwrap();
    let leaf = day(&store).await;
    assert_eq!((leaf.looked, leaf.verified, leaf.expired), (2, 1, 1));
    let ages: Vec<_> = leaf.entry_ages.iter().map(|one| (one.age.name(), one.n)).collect();
    assert_eq!(ages, [("under_day", 2), ("year_or_more", 1)]);
    let ages: Vec<_> = leaf.list_ages.iter().map(|one| (one.age.name(), one.n)).collect();
    assert_eq!(ages, [("under_day", 2), ("day_or_more", 1)]);
}

/// A day as the release before wrote it.
const OLD_DAY: &str = r#"{"closed":[{"class":"stolenVehicle","disposition":"misread","n":2,"stopped":false}],"day":"2026-11-22","overdue":1,"raised":[{"class":"stolenVehicle","match":"plate_only","n":4}],"suppressed":[{"n":3,"reason":"other_state"}]}"#;

#[tokio::test]
async fn a_day_that_an_older_database_counts_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agency.db");
    {
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(store::MIGRATION).unwrap();
        let insert = "INSERT INTO alert_day (day, counts, logged) VALUES (?1, ?2, 0)";
        old.execute(
            insert,
            rusqlite::params![i64::try_from(Day::of(Timestamp(NOON)).begin().0).unwrap(), OLD_DAY.as_bytes()],
        )
        .unwrap();
        old.execute_batch(store::MIGRATION_SHARED).unwrap();
        old.execute_batch(store::MIGRATION_CHANGES).unwrap();
    }
    let db = crate::db::Db::open(&path, &[]).unwrap();
    let store = AlertStore::new(db);
    store.sighted(Sightings { alerts: vec![alert(1, NOON)], ..Sightings::default() }, Timestamp(NOON)).await.unwrap();
    let leaf = day(&store).await;
    let raised: Vec<_> = leaf.raised.iter().map(|one| (one.matched.name(), one.n)).collect();
    assert_eq!(raised, [("plate_and_state", 1), ("plate_only", 4)]);
    assert_eq!((leaf.closed[0].n, leaf.suppressed[0].n, leaf.overdue, leaf.entry_ages[0].n), (2, 3, 1, 1));
}

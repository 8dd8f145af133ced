//! What is stored of alerts, without an agency around it.

use lockplate_core::entry::{Day, Disposition, ListClass, MatchKind};
use lockplate_core::hotlist::alert::{AlertRecord, AlertState, Closing, StepKind};
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::hotlist::tally::MisreadRate;

use super::store::{NewAlert, NewStep, Sightings};
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
    NewAlert { record, purpose: Purpose::StolenVehicle, own: true, camera: 7, sealed: vec![id; 40] }
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
        let number = store.sighted(sightings, Timestamp(NOON)).await.unwrap()[0];
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
    let numbers = store.sighted(Sightings { alerts, ..Sightings::default() }, Timestamp(NOON)).await.unwrap();
    let looked = AlertState::Looked { by: [9; 32] };
    store.step(numbers[1], step(&records[1], looked, StepKind::Look), Timestamp(NOON)).await.unwrap();
    let closed =
        AlertState::Closed { disposition: Disposition::Lost, stopped: false, verified: false, at: Timestamp(NOON) };
    store.step(numbers[2], step(&records[2], closed, StepKind::Close), Timestamp(NOON)).await.unwrap();
    let tick = async |at: u64| {
        let ticked = store.tick(Timestamp(NOON + at), 600).await.unwrap();
        let numbers: Vec<_> = ticked.escalate.iter().map(|row| row.number).collect();
        (numbers, ticked.expired, ticked.overdue)
    };
    assert_eq!(tick(599).await, (vec![], 0, 0));
    assert_eq!(tick(600).await, (vec![numbers[0]], 0, 0));
    assert_eq!(tick(601).await, (vec![], 0, 0));
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
    assert!(store.own([2; 16]).await.unwrap().is_some(), "and what is to be done stays");
    let more = store.sighted(Sightings { alerts: vec![alert(4, NOON)], ..Sightings::default() }, Timestamp(NOON));
    assert!(more.await.unwrap()[0] > numbers[2], "no number comes twice: terminals go by them");
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
    let numbers = store.sighted(Sightings { alerts, ..Sightings::default() }, Timestamp(NOON)).await.unwrap();
    let rejected = AlertState::Rejected { reason: Disposition::Misread };
    let misread = NewStep { misread: Some(7), ..step(&record, rejected, StepKind::Look) };
    store.step(numbers[0], misread, Timestamp(NOON)).await.unwrap();
    let rates = store.misreads(Timestamp(NOON)).await.unwrap();
    assert_eq!(rates, BTreeMap::from([(7, MisreadRate { misread: 1, alerts: 4 })]));
    assert!(rates[&7].is_alarming());
    assert!(store.misreads(Timestamp(NOON + 30 * DAY)).await.unwrap().is_empty(), "December");
}

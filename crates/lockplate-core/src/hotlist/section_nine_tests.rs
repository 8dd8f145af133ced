//! False hits that must not happen again (`hotlists.md` section 9), each as a test, as far as it is pure.

use std::collections::BTreeMap;

use super::ListEntry;
use super::alert::{
    Acting, AlertLaw, AlertState, AlertStep, Closing, Effect, Raising, Seen, SeenOn, StepKind, Stepped, raise,
};
use super::fixture_tests::{
    DAY, HOUR, Load, NOW, after, before, compared, entry, extract, facts, key, plate, read, stamp, state, stolen,
};
use super::limits::MOTORCYCLE;
use super::load::{ListPolicy, LoadHeader, LoadMode, LoadOutcome, LoadRefusal, LoadRules, Loading, Ruling};
use super::matching::{Marks, Remark, Repeat, Repeats, compare};
use super::set::{ListSet, SetKind};
use super::tally::{Ages, DayTally, MisreadRate};
use crate::entry::{Day, Disposition, EntryAge, ListAge, ListClass, MatchKind, Suppression};
use crate::person::{ByPerson, PersonKey};
use crate::read::{Coded, Read, Vehicle};

const CA: Option<&str> = Some("US-CA");

/// The alert of the only hit, and what looking at it with the eyes of the road comes to.
fn look_at(set: &ListSet, read: &Read, typed: &str, code: &str) -> Stepped {
    let hit = compared(set, read).hits.into_iter().next().unwrap();
    let stamp = stamp();
    let law = AlertLaw { visual_confirmation: true, no_suspicion: true, retain_days: 30, rules: vec![] };
    let raising =
        Raising { alert: [1; 16], salt: [6; 32], stamp: &stamp, place: "", creator: None, law: &law, now: NOW };
    let (content, record) = raise(&hit, read, b"", &raising);
    let seen = Seen { plate: plate(typed), jurisdiction: Some(state(code)), on: SeenOn::Road };
    let said = seen.said(&content.text);
    let step = AlertStep { alert: [1; 16], step: StepKind::Look, said, time: NOW };
    let allowed = Ruling { allowed: true, digest: [0; 32] };
    let signed = ByPerson::with_key(&key(1), step);
    let acting = Acting::verify(&signed, &PersonKey::File(key(1).verify_key()), &allowed, NOW).unwrap();
    record.look(&content, &seen, &acting, NOW).unwrap()
}

fn vehicle(class: u16, make: u16, colour: u16, conf: Option<u16>) -> Vehicle {
    let part = |code| Some(Coded { code, conf });
    Vehicle { class: part(class), make: part(make), colour: part(colour) }
}

#[test]
fn denise_green_a_misread_closes_as_misread() {
    // A burgundy Lexus read as the plate of a stolen grey GMC pickup.
    let listed = ListEntry { vehicle: vehicle(4, 14, 3, None), ..stolen("a", "5SOW350", CA) };
    let set = extract(vec![listed]);
    let seen = Read { vehicle: vehicle(2, 24, 5, Some(900)), ..read("5SOW350", CA, Some(900)) };
    let weak = Read { conf: Some(700), ..seen.clone() };
    assert_eq!(compared(&set, &weak).suppressed, BTreeMap::from([(Suppression::LowConfidence, 1)]));
    let hit = &compared(&set, &seen).hits[0];
    for difference in [Remark::OtherClass, Remark::OtherMake, Remark::OtherColour] {
        assert!(hit.remarks.contains(&difference));
    }
    let looked = look_at(&set, &seen, "5SOW750", "US-CA");
    assert_eq!(looked.record.state, AlertState::Rejected { reason: Disposition::Misread });
    // From there only its own disposition leads on: see `alert::tests::dispositions_from_every_state`.
    assert_eq!(looked.effects.into_iter().collect::<Vec<_>>(), [Effect::CountMisread]);
}

#[test]
fn gilliam_family_a_montana_motorcycle_is_no_colorado_minivan() {
    let listed = |vehicle| ListEntry { vehicle, ..stolen("a", "AB12345", Some("US-MT")) };
    let motorcycle = Vehicle { class: Some(Coded { code: MOTORCYCLE, conf: None }), ..Vehicle::default() };
    let set = extract(vec![listed(motorcycle)]);
    let with_state = read("AB12345", Some("US-CO"), Some(900));
    assert_eq!(compared(&set, &with_state).suppressed, BTreeMap::from([(Suppression::OtherState, 1)]));
    let van = Vehicle { class: Some(Coded { code: 5, conf: Some(900) }), ..Vehicle::default() };
    let with_class = Read { vehicle: van, ..read("AB12345", None, None) };
    assert_eq!(compared(&set, &with_class).suppressed, BTreeMap::from([(Suppression::OtherVehicle, 1)]));
    let with_neither = compared(&set, &read("AB12345", None, None));
    assert_eq!(with_neither.hits[0].matched, MatchKind::PlateOnly);
    assert!(with_neither.hits[0].remarks.contains(&Remark::StateNotRead));
    let seen_on_the_road = look_at(&set, &read("AB12345", None, None), "AB12345", "US-CO");
    assert_eq!(seen_on_the_road.record.state, AlertState::Rejected { reason: Disposition::WrongState });
}

#[test]
fn roseville_seventy_one_percent_misreads_raise_the_alarm() {
    assert!(MisreadRate { misread: 1_011, alerts: 1_427 }.is_alarming());
    assert!(!MisreadRate { misread: 20, alerts: 100 }.is_alarming());
    assert!(MisreadRate { misread: 21, alerts: 100 }.is_alarming());
    assert!(!MisreadRate::default().is_alarming());
}

#[test]
fn story_county_another_states_plates_are_never_notified_as_plate_and_state() {
    // 214 wrong hits, 165 of them another state's plate; two in three of those with the state read.
    let set = extract((0..214).map(|n| stolen(&n.to_string(), &format!("IA{n:04}"), Some("US-IA"))).collect());
    let (mut suppressed, mut rejected) = (0, 0);
    for n in 0..165 {
        let conf = if n % 3 == 0 { Some(500) } else { Some(900) };
        let read = read(&format!("IA{n:04}"), Some("US-NE"), conf);
        let found = compared(&set, &read);
        assert!(found.hits.iter().all(|hit| hit.matched != MatchKind::PlateAndState));
        suppressed += found.suppressed.get(&Suppression::OtherState).copied().unwrap_or(0);
        if !found.hits.is_empty() {
            let looked = look_at(&set, &read, &format!("IA{n:04}"), "US-NE");
            assert_eq!(looked.record.state, AlertState::Rejected { reason: Disposition::WrongState });
            rejected += 1;
        }
    }
    assert_eq!((suppressed, rejected), (110, 55));
}

#[test]
fn los_angeles_repeats_are_one_alert_and_the_figures_are_in_the_log() {
    let set = extract(vec![stolen("a", "AB12345", CA)]);
    let hit = compared(&set, &read("AB12345", CA, Some(900))).hits.remove(0);
    let (mut repeats, mut tally) = (Repeats::default(), DayTally::default());
    for minute in 0..20 {
        match repeats.take(&hit, 1, [1; 16], after(minute * 60)) {
            Repeat::First => {
                tally.raised(hit.entry.class, hit.matched, Ages { entry: EntryAge::UnderDay, list: ListAge::UnderDay });
            }
            Repeat::Again { .. } => tally.repeated(),
        }
    }
    for (disposition, stopped, n) in
        [(Disposition::Recovered, true, 337), (Disposition::Arrest, true, 74), (Disposition::StaleEntry, true, 161)]
    {
        (0..n).for_each(|_| tally.closed(ListClass::StolenVehicle, Closing { disposition, stopped }));
    }
    let leaf = tally.leaf(Day::of(NOW));
    assert_eq!((leaf.raised[0].n, leaf.suppressed[0].n), (2, 18));
    let closed = |disposition| leaf.closed.iter().filter(|one| one.disposition == disposition).map(|one| one.n).sum();
    let figures: [u64; 3] = [Disposition::Recovered, Disposition::Arrest, Disposition::StaleEntry].map(closed);
    assert_eq!(figures, [337, 74, 161]);
}

#[test]
fn los_angeles_a_stale_entry_is_suspended_until_a_newer_load_names_it() {
    let set = extract(vec![stolen("a", "AB12345", CA)]);
    let read = read("AB12345", CA, Some(900));
    let mut marks = Marks::default();
    marks.suspend("a", NOW);
    assert!(compare(&set, &marks, &facts(&read), after(60)).hits.is_empty());
    let same =
        Load { sequence: 2, produced_at: before(60), ..Load::full(SetKind::Extract, vec![stolen("a", "AB12345", CA)]) };
    same.ready(Some(&set)).confirm(&mut marks);
    assert!(marks.is_suspended("a"), "made before the alert was closed");
    let newer = Load {
        sequence: 3,
        produced_at: after(HOUR),
        now: after(HOUR),
        ..Load::full(SetKind::Extract, vec![stolen("a", "AB12345", CA)])
    };
    newer.ready(Some(&set)).confirm(&mut marks);
    assert!(!marks.is_suspended("a"));
}

#[test]
fn jersey_village_a_list_without_steward_or_class_loads_nothing() {
    let line = || entry("a", "AB12345", CA, ListClass::Unknown);
    let nobody = Load { steward: None, ..Load::full(SetKind::Extract, vec![stolen("a", "AB12345", CA)]) };
    assert_eq!(nobody.run(None).err(), Some(LoadRefusal::NoSteward));
    let no_class = Load::full(SetKind::Extract, vec![line()]).ready(None);
    assert_eq!((no_class.set().entries(), no_class.counts()[0].dropped), (0, 1));
}

#[test]
fn removed_plates_alert_no_more_from_the_load_that_removes_them() {
    let set = extract(vec![stolen("a", "AB12345", CA), stolen("b", "XY12345", CA)]);
    let read = read("AB12345", CA, Some(900));
    assert_eq!(compared(&set, &read).hits.len(), 1);
    let incremental = Load::change(SetKind::Extract, 2, vec![], vec!["a"]).ready(Some(&set));
    let full = Load { sequence: 2, ..Load::full(SetKind::Extract, vec![stolen("b", "XY12345", CA)]) };
    for loaded in [incremental, full.ready(Some(&set))] {
        assert!(compared(loaded.set(), &read).hits.is_empty());
        assert_eq!(loaded.counts()[0].removed, 1);
    }
}

/// A federal sharer without a court: the policy refuses every class.
struct NoCourt;

impl ListPolicy for NoCourt {
    fn rule_on_class(&self, _: ListClass) -> Ruling {
        Ruling { allowed: false, digest: [0xfe; 32] }
    }

    fn rule_on_entry(&self, _: &ListEntry) -> Ruling {
        Ruling { allowed: false, digest: [0xfe; 32] }
    }
}

#[test]
fn hsi_master_the_whole_list_is_refused_and_counted() {
    let signed = std::collections::BTreeSet::new();
    let rules = LoadRules {
        settings: super::fixture_tests::settings(SetKind::Extract),
        steward: Some([1; 32]),
        entries_max: 1_000_000,
        signed: &signed,
        elsewhere: &[],
        new_today: 0,
        by_hand: false,
        history: &[],
        lost: &BTreeMap::new(),
        index_key: 7,
    };
    let header = LoadHeader {
        list: super::fixture_tests::LIST,
        mode: LoadMode::Full,
        sequence: 1,
        produced_at: before(HOUR),
        entries: Some(30),
    };
    let mut loading = Loading::begin(rules, header, None, &NoCourt, NOW).unwrap();
    (0..30).for_each(|n| loading.add(entry(&n.to_string(), "AB12345", CA, ListClass::WantedPerson)));
    let LoadOutcome::Ready(loaded) = loading.finish().unwrap() else { panic!("held") };
    assert_eq!(loaded.set().entries(), 0);
    let counts = &loaded.counts()[0];
    assert_eq!((counts.class, counts.accepted, counts.dropped), (ListClass::WantedPerson, 0, 30));
}

#[test]
fn the_whole_ncic_extract_loses_nine_of_thirteen_files() {
    let files = [
        ("stolenVehicle", true),
        ("stolenPlate", true),
        ("wantedPerson", true),
        ("missingPerson", true),
        ("immigrationViolator", false),
        ("protectionOrder", false),
        ("extremeRiskOrder", false),
        ("gang", false),
        ("terroristScreening", false),
        ("violentPerson", false),
        ("supervisedRelease", false),
        ("sexOffender", false),
        ("protectiveInterest", false),
    ];
    // One plate in every file: matched by the loaded ones alone, and nothing of the others is carried along.
    let lines = files.iter().map(|(class, _)| ListEntry {
        source_file: (*class).to_owned(),
        note: (*class).to_owned(),
        expires_at: after(DAY),
        ..entry(class, "AB12345", CA, ListClass::from_name(class).unwrap())
    });
    let loaded = Load::full(SetKind::Extract, lines.collect()).ready(None);
    assert_eq!((loaded.counts().len(), loaded.set().entries()), (13, 4));
    for (class, in_) in files {
        let counts = loaded.counts().iter().find(|one| one.class.name() == class).unwrap();
        assert_eq!((counts.accepted, counts.dropped), (u64::from(in_), u64::from(!in_)), "{class}");
    }
    let hits = compared(loaded.set(), &read("AB12345", CA, Some(900))).hits;
    assert_eq!(hits.len(), 4);
    assert!(hits.iter().all(|hit| hit.entry.note == hit.entry.class.name()));
}

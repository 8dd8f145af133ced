use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::super::ListEntry;
use super::super::fixture_tests::{
    DAY, HOUR, NOW, after, before, compared, directory, entry, key, key_id, plate, read, set_of, stamp, state,
};
use super::*;

const CT: Option<&str> = Some("US-CT");
const ALLOWED: Ruling = Ruling { allowed: true, digest: [8; 32] };

fn law() -> AlertLaw {
    let rules = vec!["base.hotlist".to_owned()];
    AlertLaw { visual_confirmation: true, no_suspicion: true, retain_days: 30, rules }
}

/// An alert on AB12345 of Connecticut, raised at [`NOW`] from a read of `text`; a custom one is officer 1's.
pub(super) fn alert_on(kind: SetKind, listed: ListEntry, seen: &Read, crop: &[u8]) -> (AlertContent, AlertRecord) {
    let set = set_of(kind, vec![listed]);
    let hit = compared(&set, seen).hits.into_iter().next().unwrap();
    let (stamp, law) = (stamp(), law());
    let own = (kind == SetKind::Custom).then_some(key_id(1));
    let raising = Raising {
        alert: [0xa1; 16],
        salt: [6; 32],
        stamp: &stamp,
        place: "Main St at Elm",
        creator: own,
        law: &law,
        now: NOW,
    };
    raise(&hit, seen, crop, &raising)
}

fn alert(kind: SetKind) -> (AlertContent, AlertRecord) {
    let class = match kind {
        SetKind::Extract => ListClass::StolenVehicle,
        SetKind::Custom => ListClass::Custom,
        SetKind::Amber => ListClass::AmberAlert,
    };
    alert_on(kind, entry("a", "AB12345", CT, class), &read("AB12345", CT, Some(900)), b"crop")
}

fn acting(officer: u8, step: StepKind, said: [u8; 32], now: Timestamp) -> Acting {
    let signed = ByPerson::with_key(&key(officer), AlertStep { alert: [0xa1; 16], step, said, time: now });
    Acting::verify(&signed, &PersonKey::File(key(officer).verify_key()), &ALLOWED, now).unwrap()
}

fn seen(text: &str, code: Option<&str>, on: SeenOn) -> Seen {
    Seen { plate: plate(text), jurisdiction: code.map(state), on }
}

fn look(at: &(AlertContent, AlertRecord), officer: u8, seen: &Seen, now: Timestamp) -> Result<Stepped> {
    at.1.look(&at.0, seen, &acting(officer, StepKind::Look, seen.said(&at.0.text), now), now)
}

fn looked(kind: SetKind, officer: u8) -> (AlertContent, AlertRecord) {
    let at = alert(kind);
    let stepped = look(&at, officer, &seen("AB12345", CT, SeenOn::Crop), after(60)).unwrap();
    assert_eq!(stepped.record.state, AlertState::Looked { by: key_id(officer) });
    assert!(stepped.effects.is_empty());
    (at.0, stepped.record)
}

fn check(at: &(AlertContent, AlertRecord), officer: u8, check: &LiveCheck, now: Timestamp) -> Result<Stepped> {
    let acting = acting(officer, StepKind::LiveCheck, check.said(&at.0.text), now);
    at.1.live_check(&at.0, check, &acting, &directory(), now)
}

fn close(at: &(AlertContent, AlertRecord), disposition: Disposition, stopped: bool, now: Timestamp) -> Result<Stepped> {
    let closing = Closing { disposition, stopped };
    at.1.close(&at.0, closing, &acting(2, StepKind::Close, closing.said(&at.0.text), now), now)
}

fn source(confirmed: bool, at: Timestamp) -> LiveCheck {
    let by = ConfirmedBy::Source { reference: "NIC/W123".to_owned(), who: "dispatch 7".to_owned(), at };
    LiveCheck { confirmed, by }
}

const ALL: [Disposition; 11] = [
    Disposition::Recovered,
    Disposition::Arrest,
    Disposition::LocatedSafe,
    Disposition::CheckedNoAction,
    Disposition::Misread,
    Disposition::WrongState,
    Disposition::WrongVehicle,
    Disposition::StaleEntry,
    Disposition::Lost,
    Disposition::NotFollowedUp,
    Disposition::Duplicate,
];

#[test]
fn an_alert_says_all_of_it_sealed_to_its_owner_alone() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let secret = HpkeSecretKey::random(&mut rng);
    let (content, record) = alert(SetKind::Extract);
    let text = &content.text;
    assert_eq!((text.banner.as_str(), text.entry.age_days, text.entry.list_age_hours), (BANNER, 1, 1));
    assert_eq!((text.look_by, text.dispose_by), (after(30 * 60), after(72 * HOUR)));
    assert_eq!(text.read.captured_at, "2026-11-22T14:00:00.250Z");
    let sealed = seal_alert(&secret.public_key().unwrap(), &content, &mut rng).unwrap();
    assert!(!sealed.windows(7).any(|part| part == b"AB12345"));
    assert!(open_alert(&secret, &record, &sealed).unwrap() == content);
    for other in [AlertRecord { alert: [0; 16], ..record.clone() }, AlertRecord { list: [0; 16], ..record.clone() }] {
        assert!(open_alert(&secret, &other, &sealed).is_err());
    }
    assert!(open_alert(&HpkeSecretKey::random(&mut rng), &record, &sealed).is_err());
    let said = seal_said(&secret.public_key().unwrap(), &record, StepKind::Look, b"AB12345", &mut rng).unwrap();
    assert!(!said.windows(7).any(|part| part == b"AB12345"));
    assert_eq!(open_said(&secret, &record, StepKind::Look, &said).unwrap().as_slice(), b"AB12345");
    assert!(open_said(&secret, &record, StepKind::Close, &said).is_err());
    assert!(open_said(&secret, &AlertRecord { alert: [0; 16], ..record.clone() }, StepKind::Look, &said).is_err());
    let shown = format!("{content:?} {text:?} {:?} {:?} {record:?}", text.entry, text.read);
    assert!(!shown.contains("AB12345") && !shown.contains("26-0417"), "{shown}");
}

#[test]
fn an_odd_byte_or_a_long_crop_costs_no_alert() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let to = HpkeSecretKey::random(&mut rng).public_key().unwrap();
    let note = "e\u{301}\u{7}\n\u{0}".repeat(100);
    let odd = ListEntry { note, case: "\u{1}9".to_owned(), ..entry("a", "AB12345", CT, ListClass::StolenVehicle) };
    let crop = vec![0; ALERT_CROP_BYTES_MAX + 1];
    let (content, _) = alert_on(SetKind::Extract, odd.clone(), &read("AB12345", CT, Some(900)), &crop);
    assert_eq!((content.text.entry.case.as_str(), content.crop.len()), ("9", 0));
    assert!(seal_alert(&to, &content, &mut rng).is_ok());
    let (content, _) = alert_on(SetKind::Extract, odd, &read("AB12345", CT, Some(900)), &crop[1..]);
    assert_eq!(content.crop.len(), ALERT_CROP_BYTES_MAX);
    assert!(seal_alert(&to, &content, &mut rng).is_ok());
}

#[test]
fn an_officer_signs_each_step_now_and_by_decision() {
    let (content, record) = alert(SetKind::Extract);
    let seen = seen("AB12345", CT, SeenOn::Crop);
    let said = seen.said(&content.text);
    let step = AlertStep { alert: record.alert, step: StepKind::Look, said, time: NOW };
    let signed = ByPerson::with_key(&key(1), step.clone());
    let own = PersonKey::File(key(1).verify_key());
    assert!(Acting::verify(&signed, &own, &ALLOWED, after(300)).is_ok());
    assert!(Acting::verify(&signed, &own, &ALLOWED, after(301)).is_err());
    assert!(Acting::verify(&signed, &own, &Ruling { allowed: false, ..ALLOWED }, NOW).is_err());
    assert!(Acting::verify(&signed, &PersonKey::File(key(2).verify_key()), &ALLOWED, NOW).is_err());
    assert_eq!(AlertStep::decode(&step.encode()).unwrap(), step);
    assert_eq!(step.encode().len(), AlertStep::BYTES_MAX);
    let others = [
        AlertStep { alert: [0; 16], ..step.clone() },
        AlertStep { step: StepKind::Close, ..step.clone() },
        AlertStep { said: [0; 32], ..step.clone() },
    ];
    for other in others {
        let signed = ByPerson::with_key(&key(1), other);
        let acting = Acting::verify(&signed, &own, &ALLOWED, NOW).unwrap();
        assert!(record.look(&content, &seen, &acting, NOW).is_err());
    }
    let acting = Acting::verify(&signed, &own, &ALLOWED, NOW).unwrap();
    assert_eq!((acting.officer(), acting.decision()), (&key_id(1), &[8; 32]));
    assert!(record.look(&content, &seen, &acting, NOW).is_ok());
    let salted = AlertText { salt: [0; 32], ..content.text.clone() };
    assert_ne!(seen.said(&salted), said, "nobody without the alert tries plates on it");
}

#[test]
fn a_look_types_plate_and_state() {
    let at = alert(SetKind::Extract);
    let state_of =
        |text: &str, code| look(&at, 1, &seen(text, code, SeenOn::Crop), NOW).map(|stepped| stepped.record.state);
    assert_eq!(state_of("AB12345", CT), Ok(AlertState::Looked { by: key_id(1) }));
    let misread = Ok(AlertState::Rejected { reason: Disposition::Misread });
    assert_eq!(state_of("A812345", CT), misread, "not folded");
    assert_eq!(state_of("XY99999", Some("US-NY")), misread);
    assert_eq!(state_of("AB12345", Some("US-NY")), Ok(AlertState::Rejected { reason: Disposition::WrongState }));
    assert!(state_of("AB12345", None).is_err(), "the state is part of it");
    let unlisted = alert_on(
        SetKind::Extract,
        entry("a", "AB12345", None, ListClass::StolenVehicle),
        &read("AB12345", None, None),
        b"crop",
    );
    let stepped = look(&unlisted, 1, &seen("AB12345", None, SeenOn::Crop), NOW).unwrap();
    assert_eq!(stepped.record.state, AlertState::Looked { by: key_id(1) });
}

#[test]
fn without_a_crop_only_the_road() {
    let listed = entry("a", "AB12345", CT, ListClass::StolenVehicle);
    let at = alert_on(SetKind::Extract, listed, &read("AB12345", CT, Some(900)), b"");
    assert!(look(&at, 1, &seen("AB12345", CT, SeenOn::Crop), NOW).is_err());
    assert!(look(&at, 1, &seen("AB12345", CT, SeenOn::Road), NOW).is_ok());
}

#[test]
fn nobody_looked_in_time_and_nothing_can_be_done() {
    let at = alert(SetKind::Extract);
    let good = seen("AB12345", CT, SeenOn::Crop);
    assert!(look(&at, 1, &good, after(30 * 60 - 1)).is_ok());
    assert!(look(&at, 1, &good, after(30 * 60)).is_err());
    let expired = at.1.at(after(HOUR));
    assert_eq!(expired.state, AlertState::Expired { at: after(30 * 60) });
    assert_eq!(expired.erase_at(None), Some(after(30 * 60 + DAY)));
    assert!(!expired.is_overdue(after(90 * DAY)));
    let expired = (at.0, expired);
    assert!(look(&expired, 1, &good, NOW).is_err());
    assert!(check(&expired, 2, &source(true, NOW), NOW).is_err());
    assert!(close(&expired, Disposition::Recovered, false, NOW).is_err());
}

#[test]
fn an_extract_is_confirmed_by_its_source_now() {
    let at = looked(SetKind::Extract, 1);
    assert_eq!(check(&at, 1, &source(true, after(60)), after(90)).unwrap().record.state, AlertState::Verified);
    assert!(check(&at, 1, &source(true, before(1)), after(90)).is_err(), "an answer from before the read");
    assert!(check(&at, 1, &source(true, after(900)), after(90)).is_err(), "of the future");
    for (reference, who) in [("", "dispatch"), ("NIC/1", " "), (&"r".repeat(257), "dispatch")] {
        let by = ConfirmedBy::Source { reference: reference.to_owned(), who: who.to_owned(), at: after(60) };
        assert!(check(&at, 1, &LiveCheck { confirmed: true, by }, after(90)).is_err());
    }
    for by in [ConfirmedBy::CaseOfficer, ConfirmedBy::Supervisor] {
        assert!(check(&at, 3, &LiveCheck { confirmed: true, by }, after(90)).is_err());
    }
    let raised = alert(SetKind::Extract);
    assert!(check(&raised, 1, &source(true, NOW), NOW).is_err(), "nobody has looked");
    let stale = check(&at, 1, &source(false, after(60)), after(90)).unwrap();
    assert_eq!(stale.record.state, AlertState::Rejected { reason: Disposition::StaleEntry });
    assert_eq!(stale.effects, BTreeSet::from([Effect::Suspend, Effect::NotifyAgency]));
    let amber = looked(SetKind::Amber, 1);
    assert!(check(&amber, 1, &source(true, after(60)), after(90)).is_ok());
}

#[test]
fn what_is_handed_over_says_itself_what_it_is() {
    let (secret, mut rng) = (HpkeSecretKey::random(&mut ChaCha20Rng::seed_from_u64(1)), ChaCha20Rng::seed_from_u64(2));
    let public = secret.public_key().unwrap();
    let (content, record) = alert(SetKind::Extract);
    let mut sealed = |content: &AlertContent| seal_alert(&public, content, &mut rng).unwrap();
    let good = sealed(&content);
    let open = |sealed: &[u8]| open_handed(&secret, &record.list, &record.alert, sealed);
    assert_eq!(open(&good).unwrap(), (content.clone(), record.clone()));
    assert!(open_handed(&secret, &[9; 16], &record.alert, &good).is_err(), "another list's");
    assert!(open_handed(&secret, &record.list, &[9; 16], &good).is_err(), "another alert's");
    let mut bad = |change: fn(&mut AlertText)| {
        let mut content = content.clone();
        change(&mut content.text);
        assert!(open(&sealed(&content)).is_err());
    };
    bad(|text| text.banner = "Stop this car.".to_owned());
    bad(|text| text.entry.origin = Origin::Custom);
    bad(|text| text.entry.class = ListClass::ImmigrationViolator);
    bad(|text| text.look_by = Timestamp(text.look_by.0 + 1));
    bad(|text| text.dispose_by = Timestamp(text.dispose_by.0 + 60));
}

#[test]
fn the_creator_of_a_custom_entry_does_not_verify_its_alert_alone() {
    let by = |by| LiveCheck { confirmed: true, by };
    let verify = |looker, checker, by_whom: ConfirmedBy| {
        check(&looked(SetKind::Custom, looker), checker, &by(by_whom), after(90)).map(|stepped| stepped.record.state)
    };
    assert!(verify(1, 1, ConfirmedBy::CaseOfficer).is_err(), "officer 1 created it and it is his case");
    assert_eq!(verify(2, 1, ConfirmedBy::CaseOfficer), Ok(AlertState::Verified));
    assert_eq!(verify(1, 3, ConfirmedBy::Supervisor), Ok(AlertState::Verified));
    assert!(verify(2, 4, ConfirmedBy::CaseOfficer).is_err(), "not his case");
    assert!(verify(1, 2, ConfirmedBy::Supervisor).is_err(), "no supervisor");
    assert!(check(&looked(SetKind::Custom, 2), 2, &source(true, after(60)), after(90)).is_err());
    // A creator whom the directory does not know (or who is not named) is not taken for somebody else.
    let (mut content, record) = looked(SetKind::Custom, 3);
    content.text.entry.creator = None;
    let at = (content, record);
    assert!(check(&at, 3, &by(ConfirmedBy::Supervisor), after(90)).is_err());
    let (mut content, record) = looked(SetKind::Custom, 2);
    content.text.entry.creator = Some([0xee; 32]);
    assert!(check(&(content, record), 3, &by(ConfirmedBy::Supervisor), after(90)).is_ok(), "two people");
    // One person's other key is the same person.
    let (mut content, record) = looked(SetKind::Custom, 5);
    content.text.entry.creator = Some(key_id(4));
    assert!(check(&(content, record), 4, &by(ConfirmedBy::CaseOfficer), after(90)).is_err());
}

#[test]
fn dispositions_from_every_state() {
    let raised = alert(SetKind::Extract);
    let looked = looked(SetKind::Extract, 1);
    let stepped = check(&looked, 1, &source(true, after(60)), after(90)).unwrap();
    let verified = (looked.0.clone(), stepped.record);
    let stepped = look(&raised, 1, &seen("AB12345", Some("US-NY"), SeenOn::Crop), after(60)).unwrap();
    let rejected = (raised.0.clone(), stepped.record);
    for disposition in ALL {
        assert!(close(&raised, disposition, false, after(90)).is_err());
        let state = |at| close(at, disposition, true, after(90)).map(|stepped| stepped.record.state);
        let closed = |verified| AlertState::Closed { disposition, stopped: true, verified, at: after(60) };
        assert_eq!(state(&looked), Ok(closed(false)));
        assert_eq!(state(&verified), Ok(closed(true)));
        let as_rejected = disposition == Disposition::WrongState;
        assert_eq!(state(&rejected).is_ok(), as_rejected, "{}", disposition.name());
        let done = (looked.0.clone(), close(&looked, disposition, true, after(90)).unwrap().record);
        assert!(close(&done, disposition, true, after(90)).is_err(), "once");
    }
}

#[test]
fn effects_come_once() {
    let at = alert(SetKind::Extract);
    let wrong = look(&at, 1, &seen("AB12345", Some("US-NY"), SeenOn::Crop), NOW).unwrap();
    assert_eq!(wrong.effects, BTreeSet::from([Effect::CountWrongState]));
    let closed = close(&(at.0, wrong.record), Disposition::WrongState, false, NOW).unwrap();
    assert!(closed.effects.is_empty());
    let at = looked(SetKind::Extract, 1);
    let effects = |disposition| close(&at, disposition, false, after(90)).unwrap().effects;
    assert_eq!(effects(Disposition::StaleEntry), BTreeSet::from([Effect::Suspend, Effect::NotifyAgency]));
    assert_eq!(effects(Disposition::Misread), BTreeSet::from([Effect::CountMisread]));
    assert!(effects(Disposition::Recovered).is_empty());
}

#[test]
fn overdue_after_72_hours_and_erased_in_time() {
    let at = looked(SetKind::Extract, 1);
    assert!(!at.1.is_overdue(after(72 * HOUR - 1)) && at.1.is_overdue(after(72 * HOUR)));
    assert_eq!(at.1.erase_at(None), Some(after(72 * HOUR + 30 * DAY)), "also if nobody does what is to be done");
    assert_eq!(alert(SetKind::Extract).1.erase_at(None), None, "what nobody looks at expires first");
    let closed = |stopped| close(&at, Disposition::Misread, stopped, after(2 * HOUR)).unwrap().record;
    assert!(!closed(false).is_overdue(after(99 * DAY)));
    assert_eq!(closed(false).erase_at(Some(5 * DAY)), Some(after(2 * HOUR + 30 * DAY)));
    assert_eq!(closed(true).erase_at(None), Some(after(2 * HOUR + 730 * DAY)));
    assert_eq!(closed(true).erase_at(Some(1_000 * DAY)), Some(after(2 * HOUR + 1_000 * DAY)));
}

#[test]
fn the_content_of_another_alert_is_refused() {
    let (mut content, record) = alert(SetKind::Extract);
    content.text.alert = [0; 16];
    assert!(look(&(content, record), 1, &seen("AB12345", CT, SeenOn::Crop), NOW).is_err());
}

proptest! {
    /// Whatever is typed: verified is reached with the listed plate and state alone.
    #[test]
    fn no_verified_state_with_another_plate_or_state(
        text in prop_oneof![Just("AB12345".to_owned()), "[A-Z0-9]{1,8}"],
        code in proptest::option::of("US-(CT|NY)"),
        road: bool,
    ) {
        let at = alert(SetKind::Extract);
        let on = if road { SeenOn::Road } else { SeenOn::Crop };
        if let Ok(stepped) = look(&at, 1, &seen(&text, code.as_deref(), on), NOW) {
            let same = text == "AB12345" && code.as_deref() == CT;
            let at = (at.0, stepped.record);
            let verified = check(&at, 2, &source(true, NOW), NOW).is_ok();
            prop_assert_eq!(verified, same);
        }
    }

    #[test]
    fn decoding_a_step_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(step) = AlertStep::decode(&bytes) {
            prop_assert_eq!(step.encode(), bytes);
        }
    }
}

use proptest::prelude::*;

use super::super::fixture_tests::{NOW, before, checked, entry, extract, set_of, settings, stamp, state, stolen};
use super::*;

fn any_entry() -> impl Strategy<Value = ListEntry> {
    let texts = ("[A-Z0-9]{2,10}", proptest::option::of("(US|CA)-[A-Z]{2}|PL"), "[a-z0-9]{1,64}", "\\PC{0,50}");
    let times = (0..NOW.0, NOW.0 + 1..NOW.0 * 2, proptest::option::of(0..NOW.0 * 2));
    let coded = || proptest::option::of((0..70_u16, proptest::option::of(0..=1_000_u16)));
    let rest = (coded(), coded(), coded(), any::<bool>(), any::<bool>(), 0..3_usize, 0..4_usize);
    (texts, times, rest).prop_map(|((text, code, id, note), (entered, expires, effective), rest)| {
        let (class, make, colour, state_required, near, level, kind) = rest;
        let coded = |part: Option<(u16, Option<u16>)>| part.map(|(code, conf)| Coded { code, conf });
        let classes =
            [ListClass::StolenVehicle, ListClass::StolenPlate, ListClass::WantedPerson, ListClass::MissingPerson];
        ListEntry {
            entered_at: Timestamp(entered),
            expires_at: Timestamp(expires),
            effective_at: effective.map(Timestamp),
            vehicle: Vehicle { class: coded(class), make: coded(make), colour: coded(colour) },
            level: [AlertLevel::Low, AlertLevel::Medium, AlertLevel::High][level],
            state_required,
            variants: if near { Variants::Near } else { Variants::None },
            note,
            basis: Basis::ALL[level],
            offence: Offence::ALL[level],
            ..entry(&id, &text, code.as_deref(), classes[kind])
        }
    })
}

proptest! {
    #[test]
    fn every_entry_comes_back_as_it_went_in(one in any_entry()) {
        let mut payload = vec![];
        pack(&one, &mut payload).unwrap();
        let view = EntryView::of(one.plate.expose_text(), &payload).unwrap();
        prop_assert_eq!(view.case(), Some(one.case.as_str()));
        prop_assert!(view.to_entry().unwrap() == one);
    }

    #[test]
    fn reading_a_record_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(merge_key(&bytes).is_none_or(|(key, _)| key.len() <= bytes.len()));
        if let Some(view) = EntryView::of("AB12", &bytes) {
            drop((view.case(), view.to_entry()));
        }
    }

    #[test]
    fn one_set_has_one_digest_whatever_the_order(
        mut entries in proptest::collection::vec(any_entry(), 1..20),
        salt: [u8; 16],
    ) {
        let forwards = extract(entries.clone());
        entries.reverse();
        let backwards = extract(entries);
        prop_assert_eq!(forwards.salted_digest(&salt), backwards.salted_digest(&salt));
        prop_assert_eq!(forwards.classes(), backwards.classes());
        prop_assert_eq!(forwards.entries(), forwards.classes().values().sum::<u64>());
    }
}

#[test]
fn every_class_has_a_code_of_its_own() {
    let classes: Vec<ListClass> = (0..=u8::MAX).filter_map(class_of).collect();
    assert_eq!(classes.len(), 16);
    assert!(classes.iter().all(|class| class_of(class_code(*class)) == Some(*class)));
}

#[test]
fn the_newest_of_one_plate_state_and_class_stands() {
    let at = |id: &str, entered| ListEntry { entered_at: entered, ..stolen(id, "AB12345", Some("US-CT")) };
    let set = extract(vec![
        at("a", before(200)),
        at("b", before(100)),
        at("c", before(300)),
        stolen("ny", "AB12345", Some("US-NY")),
        stolen("unknown", "AB12345", None),
        entry("plate", "AB12345", Some("US-CT"), ListClass::StolenPlate),
    ]);
    assert_eq!(set.entries(), 4);
    assert_eq!(set.classes()[&ListClass::StolenVehicle], 3);
    let ct = |view: &EntryView<'_>| view.jurisdiction == Some(state("US-CT"));
    let found: Vec<&str> = set
        .under("AB12345")
        .filter(|view| ct(view) && view.class == ListClass::StolenVehicle)
        .map(|view| view.entry_id)
        .collect();
    assert_eq!(found, ["b"]);
}

#[test]
fn the_digest_hangs_on_salt_and_every_entry() {
    let one = || stolen("a", "AB12345", Some("US-CT"));
    let digest = extract(vec![one()]).salted_digest(&[1; 16]);
    assert_eq!(extract(vec![one()]).salted_digest(&[1; 16]), digest);
    assert_ne!(extract(vec![one()]).salted_digest(&[2; 16]), digest);
    assert_ne!(extract(vec![]).salted_digest(&[1; 16]), digest);
    let renewed = ListEntry { expires_at: NOW, ..one() };
    let renewed = ListEntry { expires_at: Timestamp(renewed.expires_at.0 + 1), ..renewed };
    assert_ne!(extract(vec![renewed]).salted_digest(&[1; 16]), digest);
}

#[test]
fn one_text_has_a_bound_and_one_beyond_is_refused() {
    let codes =
        (b'A'..=b'Z').flat_map(|a| (b'A'..=b'Z').map(move |b| format!("US-{}{}", char::from(a), char::from(b))));
    let entries =
        |n: usize| codes.clone().take(n).map(|code| stolen(&code, "AB12345", Some(&code))).collect::<Vec<_>>();
    assert_eq!(extract(entries(SAME_TEXT_MAX)).entries(), SAME_TEXT_MAX as u64);
    let more = entries(SAME_TEXT_MAX + 1).into_iter().map(|one| checked(one, SetKind::Extract));
    assert!(ListSet::build(settings(SetKind::Extract), stamp(), 7, more).is_err());
}

#[test]
fn debug_shows_no_plate() {
    let set = set_of(SetKind::Extract, vec![stolen("a", "AB12345", None)]);
    let shown = format!("{set:?} {:?} {:?}", checked(stolen("a", "AB12345", None), SetKind::Extract), set.packed);
    assert!(!shown.contains("AB12345"), "{shown}");
}

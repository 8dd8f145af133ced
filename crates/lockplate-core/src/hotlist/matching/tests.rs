use proptest::prelude::*;

use super::super::Variants;
use super::super::alert::{AlertLaw, Raising, raise};
use super::super::fixture_tests::{
    DAY, HOUR, NOW, after, before, compared, entry, extract, facts, plate, read, set_of, stamp, stolen,
};
use super::super::set::SetStamp;
use super::*;
use crate::read::Vehicle;

fn only(comparison: Comparison) -> Hit {
    assert_eq!((comparison.hits.len(), comparison.suppressed.len()), (1, 0), "{:?}", comparison.suppressed);
    comparison.hits.into_iter().next().unwrap()
}

fn reasons(comparison: &Comparison) -> Vec<(Suppression, u64)> {
    assert!(comparison.hits.is_empty());
    comparison.suppressed.iter().map(|(reason, n)| (*reason, *n)).collect()
}

fn has(hit: &Hit, remarks: &[Remark]) -> bool {
    hit.remarks == remarks.iter().copied().collect()
}

const fn coded(code: u16, conf: Option<u16>) -> Option<Coded> {
    Some(Coded { code, conf })
}

const CT: Option<&str> = Some("US-CT");

#[test]
fn rule_1_text_and_state_are_equal() {
    let set = extract(vec![stolen("a", "AB12345", CT)]);
    for read in [read("AB12345", CT, Some(800)), read("AB12345", CT, None)] {
        let hit = only(compared(&set, &read));
        assert_eq!((hit.matched, hit.level, hit.live), (MatchKind::PlateAndState, AlertLevel::High, true));
        assert!(has(&hit, &[]));
    }
    assert_eq!(compared(&set, &read("AB12346", CT, Some(900))), Comparison::default());
    // Folded alike is not equal.
    assert_eq!(compared(&set, &read("A812345", CT, Some(900))), Comparison::default());
}

#[test]
fn rule_1_a_state_without_confidence_counts_only_where_source_and_list_trust_it() {
    let entries = || vec![stolen("a", "AB12345", CT)];
    let trusted = read("AB12345", CT, None);
    let untrusted = Read { jurisdiction_trusted: false, ..trusted.clone() };
    assert_eq!(only(compared(&extract(entries()), &untrusted)).matched, MatchKind::PlateOnly);
    let strict = ListSettings { trust_jurisdiction: false, ..*extract(vec![]).settings() };
    let checked = entries().into_iter().map(|one| super::super::fixture_tests::checked(one, SetKind::Extract));
    let set = ListSet::build(strict, stamp(), 7, checked).unwrap();
    assert_eq!(only(compared(&set, &trusted)).matched, MatchKind::PlateOnly);
}

#[test]
fn rule_2_the_state_is_not_read_weak_or_not_listed() {
    let set = extract(vec![stolen("a", "AB12345", CT)]);
    for read in [read("AB12345", None, None), read("AB12345", CT, Some(799)), read("AB12345", Some("US-NY"), Some(799))]
    {
        let hit = only(compared(&set, &read));
        assert_eq!((hit.matched, hit.level), (MatchKind::PlateOnly, AlertLevel::Medium));
        assert!(has(&hit, &[Remark::StateNotRead]));
    }
    let unlisted = extract(vec![stolen("a", "AB12345", None)]);
    for read in [read("AB12345", CT, Some(900)), read("AB12345", None, None)] {
        let hit = only(compared(&unlisted, &read));
        assert_eq!(hit.matched, MatchKind::PlateOnly);
        assert!(has(&hit, &[Remark::StateNotListed]));
    }
}

#[test]
fn rule_2_no_hit_where_the_entry_wants_its_state() {
    let wants = |code| ListEntry { state_required: true, ..stolen("a", "AB12345", code) };
    let set = extract(vec![wants(CT)]);
    assert_eq!(reasons(&compared(&set, &read("AB12345", None, None))), [(Suppression::StateRequired, 1)]);
    assert_eq!(only(compared(&set, &read("AB12345", CT, Some(900)))).matched, MatchKind::PlateAndState);
    let unlisted = extract(vec![wants(None)]);
    assert_eq!(reasons(&compared(&unlisted, &read("AB12345", CT, Some(900)))), [(Suppression::StateRequired, 1)]);
}

#[test]
fn rule_3_another_state_is_no_hit() {
    let set = extract(vec![stolen("a", "AB12345", CT), stolen("b", "AB12345", Some("US-NY"))]);
    let found = compared(&set, &read("AB12345", Some("US-NY"), Some(800)));
    assert_eq!((found.hits.len(), found.hits[0].entry.entry_id.as_str()), (1, "b"));
    assert_eq!(found.suppressed, BTreeMap::from([(Suppression::OtherState, 1)]));
    let other = compared(&set, &read("AB12345", Some("US-MT"), Some(800)));
    assert_eq!(reasons(&other), [(Suppression::OtherState, 2)]);
    // Trusted without a confidence is as certain for no as it is for yes.
    assert_eq!(reasons(&compared(&set, &read("AB12345", Some("US-MT"), None))), [(Suppression::OtherState, 2)]);
}

#[test]
fn rule_4_a_motorcycle_is_nothing_else_and_other_differences_are_shown() {
    let listed = |code| ListEntry {
        vehicle: Vehicle { class: coded(code, None), make: coded(14, None), colour: coded(3, None) },
        ..stolen("a", "AB12345", CT)
    };
    let seen = |code, conf| Read {
        vehicle: Vehicle { class: coded(code, conf), make: coded(24, Some(990)), colour: coded(5, None) },
        ..read("AB12345", CT, Some(900))
    };
    let motorcycle = extract(vec![listed(MOTORCYCLE)]);
    let pickup = extract(vec![listed(4)]);
    assert_eq!(reasons(&compared(&motorcycle, &seen(5, Some(800)))), [(Suppression::OtherVehicle, 1)]);
    assert_eq!(reasons(&compared(&pickup, &seen(MOTORCYCLE, Some(800)))), [(Suppression::OtherVehicle, 1)]);
    let all = [Remark::OtherClass, Remark::OtherMake, Remark::OtherColour];
    for conf in [Some(799), None] {
        assert!(has(&only(compared(&motorcycle, &seen(5, conf))), &all), "not certain enough");
    }
    assert!(has(&only(compared(&pickup, &seen(1, Some(1_000)))), &all), "a car and a pickup are told apart badly");
    let same = [Remark::OtherMake, Remark::OtherColour];
    assert!(has(&only(compared(&motorcycle, &seen(MOTORCYCLE, Some(990)))), &same));
    assert!(has(&only(compared(&motorcycle, &read("AB12345", CT, Some(900)))), &[]), "nothing read, nothing differs");
}

#[test]
fn rule_5_confidence_below_the_lists_or_the_engines_minimum() {
    let set = extract(vec![stolen("a", "AB12345", CT)]);
    let with = |conf| Read { conf, ..read("AB12345", CT, Some(900)) };
    assert_eq!(reasons(&compared(&set, &with(Some(799)))), [(Suppression::LowConfidence, 1)]);
    assert!(has(&only(compared(&set, &with(Some(800)))), &[]));
    assert!(has(&only(compared(&set, &with(None))), &[Remark::NoConfidence]));
    let openalpr = |conf| {
        let read = with(Some(conf));
        let facts = ReadFacts { conf_min: super::super::limits::CONF_MIN_OPENALPR, ..facts(&read) };
        compare(&set, &Marks::default(), &facts, NOW)
    };
    assert_eq!(reasons(&openalpr(899)), [(Suppression::LowConfidence, 1)]);
    assert_eq!(openalpr(900).hits.len(), 1);
}

#[test]
fn rule_6_one_frame_of_a_source_of_frames() {
    let set = extract(vec![stolen("a", "AB12345", CT)]);
    let with = |frames, of_frames| {
        let read = Read { frames, ..read("AB12345", CT, Some(900)) };
        compare(&set, &Marks::default(), &ReadFacts { of_frames, ..facts(&read) }, NOW)
    };
    assert_eq!(reasons(&with(1, true)), [(Suppression::OneFrame, 1)]);
    assert_eq!((with(2, true).hits.len(), with(1, false).hits.len()), (1, 1));
}

#[test]
fn rule_7_near_texts_of_entries_that_say_so() {
    let near = |variants| ListEntry { variants, ..entry("a", "ABC1234", CT, ListClass::MissingPerson) };
    let set = extract(vec![near(Variants::Near), stolen("b", "XYZ9876", CT)]);
    for text in ["A8C1234", "ABC123", "BC1234", "1ABC1234", "ABC12341"] {
        let hit = only(compared(&set, &read(text, CT, Some(900))));
        assert_eq!((hit.matched, hit.level), (MatchKind::PossibleMisread, AlertLevel::Low), "{text}");
        assert!(has(&hit, &[Remark::OtherText]), "{text}");
    }
    assert_eq!(only(compared(&set, &read("ABC1234", CT, Some(900)))).matched, MatchKind::PlateAndState);
    for text in ["AKC1234", "ABC12342", "2ABC1234", "XYZ987", "ABC12"] {
        assert_eq!(compared(&set, &read(text, CT, Some(900))), Comparison::default(), "{text}");
    }
    let plain = extract(vec![near(Variants::None)]);
    assert_eq!(compared(&plain, &read("ABC123", CT, Some(900))), Comparison::default());
    // What holds for an equal text holds for a near one.
    let other = compared(&set, &read("ABC123", Some("US-NY"), Some(900)));
    assert_eq!(reasons(&other), [(Suppression::OtherState, 1)]);
    let weak = Read { conf: Some(700), ..read("ABC123", CT, Some(900)) };
    assert_eq!(reasons(&compared(&set, &weak)), [(Suppression::LowConfidence, 1)]);
}

#[test]
fn rule_8_times_suspension_and_age() {
    let at = |set: &ListSet, marks: &Marks, now| {
        let read = read("AB12345", CT, Some(900));
        compare(set, marks, &facts(&read), now)
    };
    let none = Marks::default();
    let timed =
        ListEntry { expires_at: after(2 * HOUR), effective_at: Some(after(HOUR)), ..stolen("a", "AB12345", CT) };
    let set = extract(vec![timed]);
    assert_eq!(reasons(&at(&set, &none, after(HOUR - 1))), [(Suppression::NotEffective, 1)]);
    assert_eq!(at(&set, &none, after(HOUR)).hits.len(), 1);
    assert_eq!(at(&set, &none, after(2 * HOUR - 1)).hits.len(), 1);
    assert_eq!(reasons(&at(&set, &none, after(2 * HOUR))), [(Suppression::Expired, 1)]);

    let mut marks = Marks::default();
    marks.suspend("a", NOW);
    assert_eq!(reasons(&at(&set, &marks, after(HOUR))), [(Suppression::Suspended, 1)]);
    marks.confirmed("a", NOW);
    assert!(marks.is_suspended("a"), "made before somebody looked");
    marks.confirmed("a", after(1));
    assert_eq!(at(&set, &marks, after(HOUR)).hits.len(), 1);

    let made = |kind, class, age| {
        let one = ListEntry { expires_at: after(2 * DAY), ..entry("a", "AB12345", CT, class) };
        let stamp = SetStamp { produced_at: before(age), ..stamp() };
        let checked = core::iter::once(super::super::fixture_tests::checked(one, kind));
        ListSet::build(super::super::fixture_tests::settings(kind), stamp, 7, checked).unwrap()
    };
    for (kind, class, age) in [
        (SetKind::Extract, ListClass::StolenVehicle, EXTRACT_AGE_SECONDS),
        (SetKind::Amber, ListClass::AmberAlert, AMBER_AGE_SECONDS),
    ] {
        assert_eq!(reasons(&at(&made(kind, class, age), &none, NOW)), [(Suppression::ListTooOld, 1)]);
        assert_eq!(at(&made(kind, class, age - 1), &none, NOW).hits.len(), 1);
    }
    assert_eq!(at(&made(SetKind::Custom, ListClass::Custom, 29 * DAY), &none, NOW).hits.len(), 1);
    let stamp = |age| SetStamp { produced_at: before(age), ..stamp() };
    assert!(is_overdue(SetKind::Extract, &stamp(13 * HOUR), NOW) && !is_overdue(SetKind::Extract, &stamp(HOUR), NOW));
    assert!(is_overdue(SetKind::Amber, &stamp(2 * HOUR), NOW) && !is_overdue(SetKind::Custom, &stamp(DAY), NOW));
}

#[test]
fn rule_9_late_reads_notify_nobody_and_a_wrong_clock_is_said() {
    let set = extract(vec![stolen("a", "AB12345", CT)]);
    let late = Read { flags: ReadFlags(ReadFlags::LATE), ..read("AB12345", CT, Some(900)) };
    let hit = only(compared(&set, &late));
    assert!(!hit.live && has(&hit, &[Remark::NotLive]));
    let wrong = Read { time_quality: TimeQuality::ReceiveTime, ..read("AB12345", CT, Some(900)) };
    let hit = only(compared(&set, &wrong));
    assert!(hit.live && has(&hit, &[Remark::ClockWrong]));
}

#[test]
fn rule_10_the_same_entry_and_camera_within_ten_minutes() {
    let set = extract(vec![stolen("a", "AB12345", CT), stolen("b", "XY12345", CT)]);
    let hit = |text| only(compared(&set, &read(text, CT, Some(900))));
    let mut repeats = Repeats::default();
    assert_eq!(repeats.take(&hit("AB12345"), 1, [7; 16], NOW), Repeat::First);
    assert_eq!(repeats.take(&hit("AB12345"), 1, [8; 16], after(599)), Repeat::Again { alert: [7; 16] });
    assert_eq!(repeats.take(&hit("AB12345"), 2, [7; 16], after(1)), Repeat::First, "another camera");
    assert_eq!(repeats.take(&hit("XY12345"), 1, [7; 16], after(1)), Repeat::First, "another entry");
    let late = Hit { live: false, ..hit("AB12345") };
    assert_eq!(repeats.take(&late, 3, [7; 16], after(1)), Repeat::First);
    assert_eq!(repeats.take(&hit("AB12345"), 3, [7; 16], after(2)), Repeat::First, "a late read silences no live one");
    assert_eq!(repeats.take(&hit("AB12345"), 1, [7; 16], after(600)), Repeat::First, "ten minutes after the alert");
    assert_eq!(
        repeats.take(&hit("AB12345"), 1, [7; 16], before(HOUR)),
        Repeat::First,
        "a clock that went back hides nothing"
    );
}

#[test]
fn an_entry_that_was_corrected_is_another_one() {
    const NY: Option<&str> = Some("US-NY");
    let hit =
        |text, state, seen| only(compared(&extract(vec![stolen("a", text, state)]), &read(text, seen, Some(900))));
    let mut repeats = Repeats::default();
    assert_eq!(repeats.take(&hit("AB12345", CT, CT), 1, [7; 16], NOW), Repeat::First);
    assert_eq!(repeats.take(&hit("AB12346", CT, CT), 1, [8; 16], after(1)), Repeat::First, "another plate");
    assert_eq!(repeats.take(&hit("AB12345", NY, NY), 1, [9; 16], after(1)), Repeat::First, "another state");
    assert_eq!(repeats.take(&hit("AB12345", CT, None), 1, [6; 16], after(1)), Repeat::Again { alert: [7; 16] });
}

#[test]
fn an_alert_that_is_not_stored_silences_nobody_and_one_of_an_earlier_run_does() {
    let set = extract(vec![stolen("a", "AB12345", CT)]);
    let seen = read("AB12345", CT, Some(900));
    let hit = only(compared(&set, &seen));
    let mut repeats = Repeats::default();
    assert_eq!(repeats.take(&hit, 1, [7; 16], NOW), Repeat::First);
    assert_eq!(repeats.take(&hit, 2, [8; 16], NOW), Repeat::First);
    repeats.withdraw(&[7; 16]);
    assert_eq!(repeats.take(&hit, 1, [9; 16], after(1)), Repeat::First);
    assert_eq!(repeats.take(&hit, 2, [9; 16], after(1)), Repeat::Again { alert: [8; 16] });
    // What was withdrawn takes nothing of what came after it along when its time is over.
    assert_eq!(repeats.take(&hit, 1, [1; 16], after(600)), Repeat::Again { alert: [9; 16] });

    let (stamp, law) =
        (stamp(), AlertLaw { visual_confirmation: true, no_suspicion: true, retain_days: 30, rules: Vec::new() });
    let raising =
        Raising { alert: [7; 16], salt: [6; 32], stamp: &stamp, place: "", creator: None, law: &law, now: after(30) };
    let (content, record) = raise(&hit, &seen, b"", &raising);
    let mut restored = Repeats::default();
    restored.restore(&content.text, &record);
    assert_eq!(restored.take(&hit, seen.camera, [8; 16], after(599)), Repeat::Again { alert: [7; 16] });
    assert_eq!(restored.take(&hit, seen.camera, [8; 16], after(600)), Repeat::First, "ten minutes from its minute");
}

#[test]
fn beyond_the_bound_of_repeats_the_oldest_is_notified_once_more() {
    let set = extract(vec![stolen("a", "AB12345", CT)]);
    let hit = only(compared(&set, &read("AB12345", CT, Some(900))));
    let mut repeats = Repeats::default();
    for camera in 0..u32::try_from(REPEATS_MAX).unwrap() {
        assert_eq!(repeats.take(&hit, camera, [7; 16], NOW), Repeat::First);
    }
    assert_eq!(repeats.take(&hit, 0, [7; 16], after(1)), Repeat::Again { alert: [7; 16] });
    assert_eq!(repeats.take(&hit, u32::MAX, [7; 16], after(1)), Repeat::First);
    assert_eq!(repeats.take(&hit, 0, [7; 16], after(1)), Repeat::First);
}

#[test]
fn held_reads_are_compared_once_settled_or_final_and_once_a_track_and_entry() {
    let mut tracks = HeldTracks::default();
    let (one, other) = (plate("AB12345"), plate("A812345"));
    assert!(!tracks.observe(1, &one, false, 0));
    assert!(!tracks.observe(1, &one, false, 2_999));
    assert!(tracks.observe(1, &one, false, 3_000));
    assert!(!tracks.observe(1, &one, false, 3_001), "this text was compared");
    assert!(tracks.observe(1, &one, true, 3_002), "the last word may say more than the text");
    assert!(!tracks.observe(1, &other, false, 4_000), "another text starts anew");
    assert!(tracks.settled(6_999).is_empty());
    assert_eq!(tracks.settled(7_000), [1]);
    assert!(tracks.settled(9_000).is_empty());
    assert!(tracks.observe(2, &one, true, 9_000), "final at once");
    let set = extract(vec![stolen("a", "AB12345", CT), stolen("b", "AB12345", None)]);
    let hits = compared(&set, &read("AB12345", CT, Some(900))).hits;
    assert_eq!(hits.iter().map(|hit| tracks.is_first(1, hit)).collect::<Vec<_>>(), [true, true]);
    assert_eq!(hits.iter().map(|hit| tracks.is_first(1, hit)).collect::<Vec<_>>(), [false, false]);
    assert!(tracks.is_first(2, &hits[0]));
    tracks.forget(1);
    assert!(!tracks.observe(1, &one, false, 9_000));
}

#[test]
fn what_a_last_word_can_refute_is_no_hit_before_it() {
    let mut listed = stolen("a", "AB12345", CT);
    let set = extract(vec![listed.clone()]);
    let certain = read("AB12345", CT, Some(900));
    let first = |set: &ListSet, read: &Read| compared(set, read).hits.remove(0);
    assert!(is_beyond_refining(&first(&set, &certain), &certain));
    let stateless = read("AB12345", None, None);
    assert!(!is_beyond_refining(&first(&set, &stateless), &stateless), "the state may come yet");
    let class = |conf| Some(Coded { code: 1, conf });
    listed.vehicle.class = class(None);
    let set = extract(vec![listed]);
    assert!(!is_beyond_refining(&first(&set, &certain), &certain), "it may be a motorcycle");
    let mut seen = certain;
    seen.vehicle.class = class(Some(CONF_MIN));
    assert!(is_beyond_refining(&first(&set, &seen), &seen));
}

#[test]
fn beyond_the_bound_of_tracks_a_read_is_compared_as_it_stands() {
    let mut tracks = HeldTracks::default();
    let text = plate("AB12345");
    for track in 0..TRACKS_MAX as u64 {
        assert!(!tracks.observe(track, &text, false, 0));
    }
    assert!(tracks.observe(TRACKS_MAX as u64, &text, false, 0));
    tracks.forget(0);
    assert!(!tracks.observe(TRACKS_MAX as u64, &text, false, 0));
}

#[test]
fn a_cut_text_is_compared_with_nothing() {
    let set = extract(vec![stolen("a", "ABCDEFGHJKLMNPRT", CT)]);
    assert_eq!(compared(&set, &read("ABCDEFGHJKLMNPRT", CT, Some(900))).hits.len(), 1);
    assert_eq!(compared(&set, &read("ABCDEFGHJKLMNPRTX", CT, Some(900))), Comparison::default());
    let flags = ReadFlags(ReadFlags::OVERLONG);
    let record = Read { flags, ..read("ABCDEFGHJKLMNPRT", CT, Some(900)) };
    assert_eq!(compared(&set, &record), Comparison::default());
}

#[test]
fn two_wrong_states_and_an_entry_is_matched_with_its_state_only() {
    let set = set_of(SetKind::Extract, vec![stolen("a", "AB12345", CT)]);
    let unread = read("AB12345", None, None);
    let mut marks = Marks::default();
    marks.wrong_state("a");
    assert_eq!(compare(&set, &marks, &facts(&unread), NOW).hits.len(), 1);
    marks.wrong_state("a");
    assert_eq!(reasons(&compare(&set, &marks, &facts(&unread), NOW)), [(Suppression::StateRequired, 1)]);
}

#[test]
fn debug_shows_no_plate() {
    let set = extract(vec![stolen("a", "AB12345", CT)]);
    let found = compared(&set, &read("AB12345", CT, Some(900)));
    assert!(!format!("{found:?}").contains("AB12345"));
}

/// Few characters and short texts, so that texts are often equal or near.
fn text() -> impl Strategy<Value = String> {
    "[ABO018]{2,5}"
}

fn some_entries() -> impl Strategy<Value = Vec<ListEntry>> {
    let one = (text(), proptest::option::of("US-(CT|NY)"), any::<bool>(), any::<bool>(), 1..3_u64 * HOUR);
    proptest::collection::vec(one, 0..30).prop_map(|entries| {
        let made = entries.into_iter().enumerate().map(|(at, (text, code, near, wants, life))| ListEntry {
            variants: if near { Variants::Near } else { Variants::None },
            state_required: wants,
            expires_at: after(life),
            ..stolen(&at.to_string(), &text, code.as_deref())
        });
        // "00" and its like are no plates unless signed; the fixture signs.
        made.collect()
    })
}

proptest! {
    #[test]
    fn no_hit_without_an_equal_text_unless_near(entries in some_entries(), seen in text(), conf in 0..=1_000_u16) {
        let set = extract(entries);
        let read = read(&seen, CT, Some(conf));
        for hit in compared(&set, &read).hits {
            let listed = hit.entry.plate.expose_text();
            match hit.matched {
                MatchKind::PlateAndState => {
                    prop_assert!(listed == seen && hit.entry.jurisdiction == read.jurisdiction && conf >= 800);
                }
                MatchKind::PlateOnly => prop_assert!(listed == seen && !hit.entry.state_required),
                MatchKind::PossibleMisread => {
                    prop_assert!(listed != seen && hit.entry.variants == Variants::Near);
                    let near = crate::spellings::Spellings::new(listed, crate::spellings::Mode::Near, 0, 64).unwrap();
                    prop_assert!(near.expose_texts().contains(&read.plate.fold()));
                }
            }
            let certain = conf >= 800 && hit.entry.jurisdiction.is_some();
            prop_assert!(!certain || hit.entry.jurisdiction == read.jurisdiction, "another state never hits");
        }
    }

    #[test]
    fn expired_never_hits(entries in some_entries(), seen in text(), later in 0..4_u64 * HOUR) {
        let set = extract(entries);
        let read = read(&seen, None, None);
        let now = after(later);
        for hit in compare(&set, &Marks::default(), &facts(&read), now).hits {
            prop_assert!(hit.entry.expires_at > now);
        }
    }

    #[test]
    fn every_entry_with_the_text_is_a_hit_or_counted(entries in some_entries(), seen in text()) {
        let set = extract(entries);
        let found = compared(&set, &read(&seen, CT, Some(900)));
        let weighed = found.hits.len() as u64 + found.suppressed.values().sum::<u64>();
        let same = set.views().filter(|view| view.text == seen).count() as u64;
        let all = set.views().filter(|view| view.text == seen || view.variants == Variants::Near).count() as u64;
        prop_assert!((same..=all).contains(&weighed));
    }
}

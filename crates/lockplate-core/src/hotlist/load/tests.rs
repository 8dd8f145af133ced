use proptest::prelude::*;

use super::super::fixture_tests::{
    BasePack, DAY, HOUR, LIST, Load, NOW, after, before, compared, directory, entry, extract, history, key_id, read,
    set_of, settings, stolen,
};
use super::super::limits::EXTRACT_ENTRIES_DEFAULT;
use super::*;

const CT: Option<&str> = Some("US-CT");

fn refusal(entry: ListEntry, kind: SetKind, signed: bool) -> Option<Refusal> {
    check_form(entry, kind, signed, NOW).err()
}

fn of(loaded: &Loaded, class: ListClass) -> ListCounts {
    loaded.counts().iter().find(|one| one.class == class).unwrap().clone()
}

fn numbers(counts: &ListCounts) -> [u64; 5] {
    [counts.accepted, counts.added, counts.removed, counts.dropped, counts.refused]
}

fn many(n: usize) -> Vec<ListEntry> {
    (0..n).map(|at| stolen(&format!("id{at}"), &format!("P{at:05}"), CT)).collect()
}

fn custom(id: &str, text: &str) -> ListEntry {
    entry(id, text, CT, ListClass::Custom)
}

fn some_custom(n: usize) -> Vec<ListEntry> {
    (0..n).map(|at| ListEntry { case: format!("26-{at}"), ..custom(&format!("c{at}"), &format!("C{at:05}")) }).collect()
}

/// Entries of one case.
fn of_case(case: &str, from: usize, to: usize) -> Vec<ListEntry> {
    let one = |n| ListEntry { case: case.to_owned(), ..custom(&format!("c{n}"), &format!("C{n:05}")) };
    (from..to).map(one).collect()
}

#[test]
fn entries_that_are_refused_and_why() {
    let ok = |entry: ListEntry| refusal(entry, SetKind::Extract, false);
    assert_eq!(ok(stolen("a", "AB12345", CT)), None);
    assert_eq!(ok(stolen("a", "A", CT)), Some(Refusal::PlateLength));
    assert_eq!(ok(stolen("a", "A1", CT)), None);
    assert_eq!(ok(stolen("a", "ABCDEFGHJKLMNPRT", CT)), None);
    assert_eq!(ok(stolen("a", "ABCDEFGHJKLMNPRTX", CT)), Some(Refusal::PlateLength));
    for text in ["NONE", "UNKNOWN", "UNK", "NOPLATE", "NULL", "TEMP", "AAAA", "11"] {
        assert_eq!(ok(stolen("a", text, CT)), Some(Refusal::Placeholder), "{text}");
        assert_eq!(refusal(stolen("a", text, CT), SetKind::Extract, true), None, "{text} signed");
    }
    assert_eq!(
        refusal(stolen("a", TEST_PLATE, CT), SetKind::Extract, true),
        Some(Refusal::Placeholder),
        "whoever signed"
    );
    let expires = |at| ListEntry { expires_at: at, ..stolen("a", "AB12345", CT) };
    assert_eq!((ok(expires(NOW)), ok(expires(after(1)))), (Some(Refusal::Expired), None));
    assert_eq!(ok(stolen("", "AB12345", CT)), Some(Refusal::TextLength));
    assert_eq!(
        (ok(stolen(&"i".repeat(64), "AB12345", CT)), ok(stolen(&"i".repeat(65), "AB12345", CT))),
        (None, Some(Refusal::TextLength))
    );
    let note = |bytes| ListEntry { note: "n".repeat(bytes), ..stolen("a", "AB12345", CT) };
    assert_eq!((ok(note(1_024)), ok(note(1_025))), (None, Some(Refusal::TextLength)));
    let no_case = ListEntry { case: " ".to_owned(), ..custom("a", "AB12345") };
    assert_eq!(refusal(no_case, SetKind::Custom, true), Some(Refusal::NoCase));
}

#[test]
fn a_class_belongs_into_one_kind_of_list() {
    for (class, kind) in [
        (ListClass::StolenVehicle, SetKind::Extract),
        (ListClass::Custom, SetKind::Custom),
        (ListClass::AmberAlert, SetKind::Amber),
    ] {
        for other in [SetKind::Extract, SetKind::Custom, SetKind::Amber] {
            let want = (kind != other).then_some(Refusal::OtherKind);
            assert_eq!(refusal(entry("a", "AB12345", CT, class), other, true), want);
        }
    }
}

#[test]
fn an_expiry_beyond_the_life_of_a_class_is_cut_and_counted() {
    let checked = |class, kind, entered_at, expires_at| {
        let one = ListEntry { entered_at, expires_at, ..entry("a", "AB12345", CT, class) };
        check_form(one, kind, true, NOW).map(|checked| (checked.entry().expires_at, checked.cut))
    };
    let year = after(365 * DAY);
    let amber = |entered| checked(ListClass::AmberAlert, SetKind::Amber, entered, year);
    assert_eq!(amber(before(HOUR)), Ok((after(71 * HOUR), true)));
    assert_eq!(amber(after(DAY)), Ok((after(72 * HOUR), true)), "a future entry lives no longer");
    assert_eq!(amber(before(72 * HOUR)), Err(Refusal::Expired), "an old one is not renewed by being sent again");
    assert_eq!(checked(ListClass::Custom, SetKind::Custom, NOW, year), Ok((after(30 * DAY), true)));
    assert_eq!(checked(ListClass::Custom, SetKind::Custom, NOW, after(DAY)), Ok((after(DAY), false)));
    assert_eq!(checked(ListClass::StolenVehicle, SetKind::Extract, before(9 * DAY), year), Ok((year, false)));
    let loaded =
        Load::full(SetKind::Custom, vec![ListEntry { expires_at: year, ..custom("a", "AB12345") }]).ready(None);
    assert_eq!(loaded.cut(), 1);
}

#[test]
fn near_needs_its_class_or_a_signature() {
    let near = |class, kind, signed| {
        let one = ListEntry { variants: Variants::Near, ..entry("a", "AB12345", CT, class) };
        let checked = check_form(one, kind, signed, NOW).unwrap();
        (checked.entry().variants, checked.near_unsigned)
    };
    for (class, kind) in [
        (ListClass::MissingPerson, SetKind::Extract),
        (ListClass::AmberAlert, SetKind::Amber),
        (ListClass::Custom, SetKind::Custom),
    ] {
        assert_eq!(near(class, kind, false), (Variants::Near, false));
    }
    for class in [ListClass::StolenVehicle, ListClass::StolenPlate, ListClass::WantedPerson] {
        assert_eq!(near(class, SetKind::Extract, false), (Variants::None, true));
        assert_eq!(near(class, SetKind::Extract, true), (Variants::Near, false));
    }
}

#[test]
fn the_policy_decides_a_class_and_unknown_is_dropped_whatever_it_says() {
    struct Open;
    impl ListPolicy for Open {
        fn rule_on_class(&self, _: ListClass) -> Ruling {
            Ruling { allowed: true, digest: [7; 32] }
        }
        fn rule_on_entry(&self, _: &ListEntry) -> Ruling {
            Ruling { allowed: true, digest: [7; 32] }
        }
    }
    let signed = BTreeSet::new();
    let rules = LoadRules {
        settings: settings(SetKind::Extract),
        steward: Some([1; 32]),
        entries_max: EXTRACT_ENTRIES_DEFAULT,
        signed: &signed,
        elsewhere: &[],
        new_today: 0,
        by_hand: false,
        history: &history(0),
        lost: &BTreeMap::new(),
        index_key: 7,
    };
    let header =
        LoadHeader { list: LIST, mode: LoadMode::Full, sequence: 1, produced_at: before(HOUR), entries: Some(2) };
    let mut loading = Loading::begin(rules, header, None, &Open, NOW).unwrap();
    loading.add(entry("a", "AB12345", CT, ListClass::Unknown));
    loading.refuse(ListClass::StolenVehicle, Refusal::Wildcard);
    let LoadOutcome::Ready(loaded) = loading.finish().unwrap() else { panic!("held") };
    assert_eq!(numbers(&of(&loaded, ListClass::Unknown)), [0, 0, 0, 1, 0]);
    assert_eq!(numbers(&of(&loaded, ListClass::StolenVehicle)), [0, 0, 0, 0, 1]);
    assert_eq!(loaded.refusals(), &BTreeMap::from([(Refusal::Wildcard, 1)]));
    let unknown = check_form(entry("a", "AB12345", CT, ListClass::Unknown), SetKind::Extract, true, NOW).unwrap();
    assert_eq!(unknown.ruled(&Ruling { allowed: true, digest: [0; 32] }).err(), Some(Refusal::NotAllowed));
    let refused = check_form(stolen("a", "AB12345", CT), SetKind::Extract, true, NOW).unwrap();
    assert!(refused.ruled(&Ruling { allowed: false, digest: [0; 32] }).is_err());
}

#[test]
fn a_custom_entry_is_a_decision_of_its_own() {
    let entries = vec![custom("a", "AB12345"), custom("denied-b", "XY12345")];
    let loaded = Load::full(SetKind::Custom, entries).ready(None);
    assert_eq!(numbers(&of(&loaded, ListClass::Custom)), [1, 1, 0, 0, 1]);
    assert_eq!(loaded.refusals(), &BTreeMap::from([(Refusal::NotAllowed, 1)]));
    let one = Load::full(SetKind::Custom, vec![custom("a", "AB12345")]).ready(None);
    assert_ne!(one.decisions, loaded.decisions, "the refused one is decided as well");
}

#[test]
fn counts_follow_from_the_load_before_and_fit_the_leaf() {
    let first = Load::full(SetKind::Extract, many(5)).ready(None);
    assert_eq!(numbers(&of(&first, ListClass::StolenVehicle)), [5, 5, 0, 0, 0]);
    let mut entries = many(3);
    entries.push(stolen("new", "NEW123", CT));
    entries.push(entry("wanted", "NEW123", CT, ListClass::WantedPerson));
    entries.push(entry("gang", "NEW123", CT, ListClass::Gang));
    entries.push(stolen("none", "NONE", CT));
    let load = Load { sequence: 4, ..Load::full(SetKind::Extract, entries) };
    let second = load.ready(Some(first.set()));
    assert_eq!(numbers(&of(&second, ListClass::StolenVehicle)), [4, 1, 2, 0, 1]);
    assert_eq!(numbers(&of(&second, ListClass::WantedPerson)), [1, 1, 0, 0, 0]);
    assert_eq!(numbers(&of(&second, ListClass::Gang)), [0, 0, 0, 1, 0]);
    let sd = SaltedDigests::new(vec![[1; 32], [2; 32], [3; 32], [4; 32]]).unwrap();
    let leaf = second.leaf(&[1; 16], sd);
    assert_eq!((leaf.kind, leaf.sequence, leaf.list), (ListKind::Full, 4, LIST));
    assert_eq!(leaf.decisions.len(), leaf.classes.len());
    assert!(leaf.classes.is_sorted_by_key(|one| one.class.name()));
    assert!(leaf.produced_at.0.is_multiple_of(60) && leaf.produced_at <= NOW);
    let again = Load { sequence: 5, ..Load::full(SetKind::Extract, many(1)) }.ready(Some(second.set()));
    assert_eq!(numbers(&of(&again, ListClass::WantedPerson)), [0, 0, 1, 0, 0], "a class that went is named");
    assert_eq!(retired(second.set().classes()).iter().map(|one| one.removed).sum::<u64>(), 5);
}

#[test]
fn headers_that_are_refused() {
    let refused = |load: Load, before: Option<&ListSet>| load.run(before).err();
    let full = || Load::full(SetKind::Extract, many(2));
    let set = full().ready(None).into_set();
    assert_eq!(refused(Load { steward: None, ..full() }, None), Some(LoadRefusal::NoSteward));
    assert_eq!(refused(Load { lines: Some(3), ..full() }, None), Some(LoadRefusal::LineCount), "truncated");
    assert_eq!(refused(Load { lines: Some(1), ..full() }, None), Some(LoadRefusal::LineCount));
    assert_eq!(refused(Load::full(SetKind::Extract, vec![]), None), Some(LoadRefusal::Empty));
    assert_eq!(refused(Load::full(SetKind::Amber, vec![]), None), None, "no child is missing");
    assert_eq!(refused(Load { sequence: 1, ..full() }, Some(&set)), Some(LoadRefusal::Gap), "sent again");
    assert_eq!(refused(Load { sequence: 9, ..full() }, Some(&set)), None);
    let older = Load { sequence: 2, produced_at: before(2 * HOUR), ..full() };
    assert_eq!(refused(older, Some(&set)), Some(LoadRefusal::ProducedAt));
    assert_eq!(refused(Load { produced_at: after(300), ..full() }, None), None);
    assert_eq!(refused(Load { produced_at: after(301), ..full() }, None), Some(LoadRefusal::ProducedAt));
    let ahead = Load { produced_at: after(300), ..full() }.ready(None);
    assert_eq!(ahead.set().stamp().produced_at, NOW);
    let change = |sequence| Load::change(SetKind::Extract, sequence, vec![], vec!["id0"]);
    assert_eq!(refused(change(2), None), Some(LoadRefusal::Gap));
    assert_eq!(refused(change(3), Some(&set)), Some(LoadRefusal::Gap));
    assert_eq!(refused(change(2), Some(&set)), None);
    let skips = Load { sequence: 3, mode: LoadMode::Incremental { base: 1 }, ..change(2) };
    assert_eq!(refused(skips, Some(&set)), Some(LoadRefusal::Gap));
    let now = Timestamp(before(HOUR).0 + 24 * HOUR);
    assert_eq!(refused(Load { now, produced_at: now, ..change(2) }, Some(&set)), None);
    let late = Timestamp(now.0 + 1);
    assert_eq!(refused(Load { now: late, produced_at: late, ..change(2) }, Some(&set)), Some(LoadRefusal::NeedsFull));
}

#[test]
fn bad_lines_refuse_a_load_from_ten_and_one_in_a_hundred() {
    assert!(!too_many_bad(9, 9) && too_many_bad(10, 999) && !too_many_bad(10, 1_000));
    let load = |bad| Load { bad, ..Load::full(SetKind::Extract, many(100)) }.run(None).err();
    assert_eq!((load(9), load(10)), (None, Some(LoadRefusal::BadLines)));
}

#[test]
fn removals_come_before_additions_and_are_of_the_set_before() {
    let set = Load::full(SetKind::Extract, many(3)).ready(None).into_set();
    let moved = stolen("id1", "MOVED1", CT);
    let renewed = stolen("id2", "P00002", CT);
    let load = Load::change(SetKind::Extract, 2, vec![moved, renewed], vec!["id0", "id2", "nobody"]);
    let loaded = load.ready(Some(&set));
    let hits = |text: &str| compared(loaded.set(), &read(text, CT, Some(900))).hits.len();
    assert_eq!((hits("P00000"), hits("P00001"), hits("P00002"), hits("MOVED1")), (0, 0, 1, 1));
    assert_eq!(numbers(&of(&loaded, ListClass::StolenVehicle)), [2, 1, 2, 0, 0]);
    assert_eq!(loaded.removals_unknown(), 1);
    // A removed entry does not come back by itself.
    let next = Load::change(SetKind::Extract, 3, vec![], vec![]).ready(Some(loaded.set()));
    assert!(compared(next.set(), &read("P00000", CT, Some(900))).hits.is_empty());
    assert_eq!(next.set().stamp().full_at, set.stamp().full_at);
}

#[test]
fn an_incremental_load_leaves_out_what_ended_or_is_lawful_no_more() {
    let ends = ListEntry { expires_at: after(HOUR), ..stolen("ends", "ENDS12", CT) };
    let set = extract(vec![ends, stolen("stays", "STAYS1", CT), entry("gang", "GANG12", CT, ListClass::Gang)]);
    let load = Load { now: after(HOUR), ..Load::change(SetKind::Extract, 2, vec![], vec![]) };
    let loaded = load.ready(Some(&set));
    assert_eq!(loaded.set().entries(), 1);
    assert_eq!(numbers(&of(&loaded, ListClass::Gang)), [0, 0, 1, 0, 0]);
    let refused = ListEntry { expires_at: NOW, ..stolen("stays", "STAYS1", CT) };
    let loaded = Load::change(SetKind::Extract, 2, vec![refused], vec![]).ready(Some(&set));
    assert!(compared(loaded.set(), &read("STAYS1", CT, Some(900))).hits.is_empty(), "its source says it has ended");
}

#[test]
fn growth_and_a_new_class_wait_for_two_people() {
    assert!(!grows(1_000, &[]) && grows(1_001, &[]));
    assert!(!grows(11_000, &history(10_000)) && grows(11_001, &history(10_000)));
    assert!(!grows(110_000, &history(100_000)) && grows(110_001, &history(100_000)));
    assert!(!grows(0, &history(100_000)));
    let mut mixed = history(0);
    mixed.extend(history(10_000));
    assert!(!grows(10_500, &mixed), "only the last fourteen count");

    let held = |history: Vec<PastLoad>, entries| {
        let load = Load { history, ..Load::full(SetKind::Extract, entries) };
        match load.run(None).unwrap() {
            LoadOutcome::Held(held) => held,
            LoadOutcome::Ready(_) | LoadOutcome::Void(_) => panic!("not held"),
        }
    };
    let grown = held(history(0), many(1_001));
    assert_eq!(grown.reasons(), &BTreeSet::from([HoldReason::Growth]));
    let directory = directory();
    assert_eq!(TwoPeople::new(&directory, &key_id(4), &key_id(5)), None, "one person's two keys");
    assert_eq!(TwoPeople::new(&directory, &key_id(1), &[0; 32]), None);
    let grown = grown.release(None, Some(HumanKeeper(()))).unwrap_err();
    let two = TwoPeople::new(&directory, &key_id(1), &key_id(2));
    assert_eq!(grown.release(two, None).unwrap().set().entries(), 1_001);
    let first = held(vec![], many(1));
    assert_eq!(first.reasons(), &BTreeSet::from([HoldReason::NewClass]));
    let known =
        history(5).into_iter().map(|load| PastLoad { classes: BTreeSet::from([ListClass::StolenVehicle]), ..load });
    let class = held(known.collect(), vec![entry("w", "AB12345", CT, ListClass::WantedPerson)]);
    assert_eq!(class.reasons(), &BTreeSet::from([HoldReason::NewClass]));
    let amber = vec![entry("a", "AB12345", CT, ListClass::AmberAlert)];
    Load { history: vec![], ..Load::full(SetKind::Amber, amber) }.ready(None);
}

#[test]
fn shrinking_is_applied_at_once_with_an_alarm_beyond_thirty_percent() {
    let set = Load::full(SetKind::Extract, many(10)).ready(None).into_set();
    let smaller = |n| Load { sequence: 2, ..Load::full(SetKind::Extract, many(n)) }.ready(Some(&set));
    assert!(smaller(7).alarms().is_empty());
    let shrunk = smaller(6);
    assert_eq!(shrunk.alarms(), &BTreeSet::from([LoadAlarm::Shrunk]));
    assert!(compared(shrunk.set(), &read("P00009", CT, Some(900))).hits.is_empty());
}

fn void(load: Load, before: Option<&ListSet>) -> Option<LoadRefusal> {
    match load.run(before).unwrap() {
        LoadOutcome::Void(void) => Some(void.why()),
        LoadOutcome::Ready(_) | LoadOutcome::Held(_) => None,
    }
}

/// The source renamed its codes, the template does not fit any more, a signature is missing: the set before stays.
#[test]
fn no_load_empties_a_list_by_what_it_leaves_out() {
    let emptied = Some(LoadRefusal::Emptied);
    let renamed = || many(20).into_iter().map(|one| ListEntry { class: ListClass::Unknown, ..one }).collect::<Vec<_>>();
    let expired = || many(20).into_iter().map(|one| ListEntry { expires_at: NOW, ..one }).collect::<Vec<_>>();
    let set = Load::full(SetKind::Extract, many(20)).ready(None).into_set();
    let next = |add| Load { sequence: 2, ..Load::full(SetKind::Extract, add) };
    for add in [renamed(), expired(), vec![stolen("w", "NONE", CT)]] {
        assert_eq!(void(next(add), Some(&set)), emptied);
    }
    assert_eq!(void(Load { bad: 1, ..next(vec![]) }, Some(&set)), emptied, "no line can be read");
    assert_eq!(void(next(renamed()), None), None, "there was none: the attempt is logged");
    let mut one_left = renamed();
    one_left.push(stolen("id0", "P00000", CT));
    assert_eq!(void(next(one_left), Some(&set)), None, "it shrinks, with an alarm");
    // What is taken off is gone, whatever else the file says; an alert that is over as well.
    let one = extract(vec![stolen("only", "ONLY12", CT)]);
    assert_eq!(void(Load::change(SetKind::Extract, 2, vec![], vec!["only"]), Some(&one)), None);
    let over = ListEntry { expires_at: NOW, ..stolen("only", "ONLY12", CT) };
    assert_eq!(void(Load::change(SetKind::Extract, 2, vec![over], vec![]), Some(&one)), None);
    for left_out in [stolen("new", "NONE", CT), ListEntry { class: ListClass::Gang, ..stolen("new", "GANG12", CT) }] {
        let change = Load::change(SetKind::Extract, 2, vec![left_out], vec!["only"]);
        assert_eq!(change.ready(Some(&one)).set().entries(), 0, "taken off beside a line that is left out");
    }
    let alert = ListEntry { class: ListClass::AmberAlert, ..stolen("a", "AM0001", CT) };
    let amber = Load::full(SetKind::Amber, vec![alert.clone()]).ready(None).into_set();
    let again = |one| Load { sequence: 2, ..Load::full(SetKind::Amber, vec![one]) };
    let over = ListEntry { expires_at: NOW, ..alert.clone() };
    assert_eq!(void(again(over.clone()), Some(&amber)), None);
    let left_out = ListEntry { class: ListClass::AmberAlert, ..stolen("b", "NONE", CT) };
    let with = Load { sequence: 2, ..Load::full(SetKind::Amber, vec![over, left_out]) };
    assert_eq!(void(with, Some(&amber)), None, "it is over, whatever the other line is");
    let three =
        |n: u64| ListEntry { class: ListClass::AmberAlert, ..stolen(&format!("m{n}"), &format!("AM000{n}"), CT) };
    let in_force = Load::full(SetKind::Amber, (1..4).map(three).collect()).ready(None).into_set();
    let one_over = |n| match n {
        1 => ListEntry { expires_at: NOW, ..three(n) },
        _ => ListEntry { class: ListClass::Unknown, ..three(n) },
    };
    let one_is_over = Load { sequence: 2, ..Load::full(SetKind::Amber, (1..4).map(one_over).collect()) };
    assert_eq!(void(one_is_over, Some(&in_force)), emptied, "two of three are not");
    let all_over = (1..4).map(|n| ListEntry { expires_at: NOW, ..three(n) }).collect();
    assert_eq!(void(Load { sequence: 2, ..Load::full(SetKind::Amber, all_over) }, Some(&in_force)), None);
    assert_eq!(void(again(ListEntry { class: ListClass::Unknown, ..alert }), Some(&amber)), emptied);
    // Nobody beside the officer: a whole custom list is not switched off by a file that nobody signed.
    let own = set_of(SetKind::Custom, some_custom(5));
    let alone = Load { alone: true, sequence: 2, ..Load::full(SetKind::Custom, some_custom(1)) };
    assert_eq!(void(alone, Some(&own)), emptied);
}

#[test]
fn a_whole_custom_file_that_changes_nothing_is_refused_and_an_incremental_one_is_no_gap() {
    let nothing = Some(LoadRefusal::NothingTaken);
    let set = set_of(SetKind::Custom, some_custom(5));
    let more = || vec![ListEntry { case: "9".into(), ..custom("x", "X123") }];
    let change = |add, remove| Load::change(SetKind::Custom, 2, add, remove);
    assert_eq!(void(Load { alone: true, ..Load::full(SetKind::Custom, more()) }, None), nothing, "no supervisor");
    assert_eq!(void(Load::full(SetKind::Custom, vec![custom("x", "A")]), None), nothing, "no plate");
    let unsigned = Load { alone: true, ..change(more(), vec![]) };
    for second in [unsigned, change(vec![], vec!["nobody"]), change(vec![custom("x", "A")], vec![])] {
        let second = second.ready(Some(&set));
        assert_eq!(second.set().entries(), 5);
        let third = Load::change(SetKind::Custom, 3, vec![], vec!["c0"]).ready(Some(second.set()));
        assert_eq!(third.set().entries(), 4, "a feed goes on with its next number");
    }
    // A person whose file changes nothing does not move the list on past the feed.
    let by_hand = |load| Load { by_hand: true, ..load };
    for load in [change(vec![custom("x", "A")], vec![]), change(vec![], vec!["nobody"]), change(vec![], vec![])] {
        assert_eq!(void(by_hand(load), Some(&set)), nothing);
    }
    assert_eq!(void(by_hand(change(vec![], vec!["c0"])), Some(&set)), None);
}

#[test]
fn caps_of_extracts_and_custom_lists() {
    let capped = |n| Load { entries_max: 10, ..Load::full(SetKind::Extract, many(n)) }.run(None).err();
    assert_eq!((capped(10), capped(11)), (None, Some(LoadRefusal::TooMany)));

    let others =
        |n: usize| -> Vec<ListSet> { [n / 2, n - n / 2].map(|n| set_of(SetKind::Custom, some_custom(n))).into() };
    let upload = |n, elsewhere: usize, new_today| {
        let elsewhere = others(elsewhere);
        let load = Load { elsewhere, new_today, ..Load::full(SetKind::Custom, some_custom(n)) };
        load.run(None).err()
    };
    assert_eq!((upload(20, 0, 0), upload(21, 0, 0)), (None, Some(LoadRefusal::CustomDay)));
    assert_eq!((upload(24, 0, 0), upload(25, 0, 0)), (Some(LoadRefusal::CustomDay), Some(LoadRefusal::CustomUpload)));
    assert_eq!((upload(5, 0, 15), upload(5, 0, 16)), (None, Some(LoadRefusal::CustomDay)));
    assert_eq!((upload(5, 195, 0), upload(5, 196, 0)), (None, Some(LoadRefusal::CustomLive)));
    // Removing is always possible.
    let set = set_of(SetKind::Custom, some_custom(30));
    let remove = Load { elsewhere: others(999), new_today: 20, ..Load::change(SetKind::Custom, 2, vec![], vec!["c0"]) };
    assert_eq!(remove.ready(Some(&set)).set().entries(), 29);
}

#[test]
fn amber_alerts_that_a_person_adds_need_two_people_and_are_some_tens() {
    let alert =
        |n: usize| ListEntry { class: ListClass::AmberAlert, ..stolen(&format!("a{n}"), &format!("AM{n:04}"), CT) };
    let brought = |n, by_hand| Load { by_hand, ..Load::full(SetKind::Amber, (0..n).map(alert).collect()) };
    let Ok(LoadOutcome::Held(held)) = brought(1, true).run(None) else { panic!("one person alone") };
    assert_eq!(held.reasons(), &BTreeSet::from([HoldReason::AmberByHand]));
    let set = brought(200, false).ready(None).into_set();
    assert_eq!(brought(201, false).run(None).err(), Some(LoadRefusal::TooMany));
    let fewer = Load { sequence: 2, ..brought(199, true) };
    assert_eq!(fewer.ready(Some(&set)).set().entries(), 199, "an alert that is over goes at once");
}

/// Whoever takes one entry off, or brings one, need not sign for those that others signed for.
#[test]
fn custom_entries_of_before_stay_whoever_brings_the_next_file() {
    let set = set_of(SetKind::Custom, some_custom(5));
    for lines in [vec![], vec![ListEntry { case: "9".into(), ..custom("x", "X123") }]] {
        let change = Load { alone: true, ..Load::change(SetKind::Custom, 2, lines, vec!["c0"]) };
        assert_eq!(change.ready(Some(&set)).set().entries(), 4, "the new one is not signed for, the old ones were");
    }
}

#[test]
fn an_entry_that_is_brought_again_under_another_case_is_new() {
    let both = [of_case("26-0001", 0, 5), of_case("26-0002", 5, 10)].concat();
    let set = Load::full(SetKind::Custom, both).ready(None).into_set();
    for case in ["26-0001", "26-000\u{ff11}", "26 0001"] {
        let moved = Load::change(SetKind::Custom, 2, of_case(case, 5, 10), vec![]);
        let LoadOutcome::Held(held) = moved.run(Some(&set)).unwrap() else { panic!("{case}: not held") };
        assert_eq!(held.reasons(), &BTreeSet::from([HoldReason::CasePlates]));
    }
    let again = Load::change(SetKind::Custom, 2, of_case("26-0002", 5, 10), vec![]).ready(Some(&set));
    assert_eq!(of(&again, ListClass::Custom).added, 0);
}

#[test]
fn more_than_five_plates_of_one_case_wait_for_a_human_keeper() {
    let five = Load::full(SetKind::Custom, of_case("26-0417", 0, 5)).ready(None).into_set();
    let sixth = Load::change(SetKind::Custom, 2, of_case("26-0417", 5, 6), vec![]);
    let LoadOutcome::Held(held) = sixth.run(Some(&five)).unwrap() else { panic!("not held") };
    assert_eq!(held.reasons(), &BTreeSet::from([HoldReason::CasePlates]));
    let two = TwoPeople::new(&directory(), &key_id(1), &key_id(2));
    let held = held.release(two, None).unwrap_err();
    let six = held.release(None, Some(HumanKeeper(()))).unwrap().into_set();
    let other = Load::change(SetKind::Custom, 3, vec![ListEntry { case: "9".into(), ..custom("x", "X123") }], vec![]);
    assert_eq!(other.ready(Some(&six)).set().entries(), 7, "another case is not held for it");
}

#[test]
fn plates_of_a_case_are_counted_over_all_lists_and_however_its_number_is_written() {
    let is_held = |elsewhere: Vec<ListEntry>, add: Vec<ListEntry>| {
        let elsewhere = vec![set_of(SetKind::Custom, elsewhere)];
        matches!(Load { elsewhere, ..Load::full(SetKind::Custom, add) }.run(None).unwrap(), LoadOutcome::Held(_))
    };
    assert!(!is_held(of_case("26-42a", 0, 3), of_case("26-42a", 3, 5)), "five");
    assert!(is_held(of_case("26-42a", 0, 3), of_case("26-42a", 3, 6)), "six in two lists");
    assert!(is_held(of_case("26-42a", 0, 3), of_case(" 26 42A", 3, 6)), "the same case");
    assert!(!is_held(of_case("26-43", 0, 3), of_case("26-42", 3, 6)), "two cases");
    assert!(!is_held(of_case("26-42", 0, 5), of_case("26-42", 0, 5)), "the same plates");
    let ends = of_case("26-42", 0, 3).into_iter().map(|one| ListEntry { expires_at: after(HOUR), ..one });
    let elsewhere = vec![set_of(SetKind::Custom, ends.collect())];
    let load = Load { elsewhere, now: after(HOUR), ..Load::full(SetKind::Custom, of_case("26-42", 3, 6)) };
    assert_eq!(load.ready(None).set().entries(), 3, "those elsewhere have ended");
}

#[test]
fn a_human_keeper_is_one_of_the_charter_and_signed_this_very_order() {
    use crate::town::Town;
    let town = Town::new(1);
    let charter = town.charter.charter();
    let order = LoadOrder { list: LIST, file: [2; 32], delivery: None, time: NOW };
    let signed = ByPerson::with_key(&town.keepers[0].human, order.clone());
    assert!(HumanKeeper::new(charter, &signed).is_some());
    assert!(HumanKeeper::new(charter, &ByPerson::with_key(&super::super::fixture_tests::key(1), order)).is_none());
    let mut bytes = signed.to_bytes();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(
        HumanKeeper::new(charter, &ByPerson::from_bytes(&bytes).unwrap()).is_none(),
        "a signature of something else"
    );
    let mut own = charter.clone();
    for keeper in &mut own.keepers {
        keeper.legal_entity.clone_from(&own.owner.name);
    }
    assert!(HumanKeeper::new(&own, &signed).is_none(), "the owner's own keeper");
}

#[test]
fn a_newer_load_that_names_an_entry_ends_its_suspension() {
    let mut marks = Marks::default();
    marks.suspend("id0", before(2 * HOUR));
    marks.suspend("id1", before(2 * HOUR));
    marks.suspend("id2", NOW);
    let suspended = |marks: &Marks| ["id0", "id1", "id2"].map(|id| marks.is_suspended(id));
    let first = Load::full(SetKind::Extract, many(3)).ready(None);
    let mut again = Load::full(SetKind::Extract, many(3)).ready(None);
    again.confirms_nothing();
    let mut all = marks.clone();
    again.confirm(&mut all);
    assert_eq!(suspended(&all), [true; 3], "the same bytes once more");
    first.confirm(&mut all);
    assert_eq!(suspended(&all), [false, false, true], "one was suspended after the file was made");
    let change = Load::change(SetKind::Extract, 2, vec![stolen("id1", "P00001", CT)], vec![]);
    change.ready(Some(first.set())).confirm(&mut marks);
    assert_eq!(suspended(&marks), [true, false, true], "an incremental file confirms what it names");
    marks.wrong_state("id0");
    marks.wrong_state("id0");
    let without = Load { sequence: 3, ..Load::full(SetKind::Extract, many(3).split_off(2)) };
    without.ready(None).confirm(&mut marks);
    assert_eq!(
        (suspended(&marks), marks.needs_state("id0")),
        ([false, false, true], false),
        "what is gone is forgotten"
    );
}

#[test]
fn bounds_of_a_file() {
    let lines = |lines| Load { lines: Some(lines), ..Load::full(SetKind::Extract, many(1)) }.run(None).err();
    assert_eq!(lines(LOAD_LINES_MAX), Some(LoadRefusal::LineCount), "as many may be announced");
    assert_eq!(lines(LOAD_LINES_MAX + 1), Some(LoadRefusal::TooMany));
    let set = Load::full(SetKind::Extract, many(1)).ready(None).into_set();
    let signed = BTreeSet::new();
    let history = history(1);
    let removals = |n: usize| {
        let rules = LoadRules {
            settings: settings(SetKind::Extract),
            steward: Some([1; 32]),
            entries_max: u64::MAX,
            signed: &signed,
            elsewhere: &[],
            new_today: 0,
            by_hand: false,
            history: &history,
            lost: &BTreeMap::new(),
            index_key: 7,
        };
        assert_eq!(entries_max(&rules), EXTRACT_ENTRIES_MAX, "whatever a charter says");
        let header = LoadHeader {
            list: LIST,
            mode: LoadMode::Incremental { base: 1 },
            sequence: 2,
            produced_at: before(HOUR),
            entries: Some(n as u64),
        };
        let mut loading = Loading::begin(rules, header, Some(&set), &BasePack, NOW).unwrap();
        (0..n).for_each(|at| loading.remove(&at.to_string()));
        loading.finish().err()
    };
    assert_eq!(removals(INCREMENT_LINES_MAX), None);
    assert_eq!(removals(INCREMENT_LINES_MAX + 1), Some(LoadRefusal::TooMany));
}

#[test]
fn debug_shows_no_plate() {
    let loaded = Load::full(SetKind::Extract, many(1)).ready(None);
    assert!(!format!("{loaded:?}").contains("P0000"));
    let checked = check_form(stolen("a", "AB12345", CT), SetKind::Extract, false, NOW).unwrap();
    assert!(!format!("{checked:?} {:?}", checked.entry()).contains("AB12345"));
}

/// Every class there is, mostly of those that the base pack drops.
fn any_line() -> impl Strategy<Value = ListEntry> {
    let names = [
        "stolenVehicle",
        "stolenPlate",
        "wantedPerson",
        "missingPerson",
        "amberAlert",
        "custom",
        "protectionOrder",
        "extremeRiskOrder",
        "gang",
        "terroristScreening",
        "supervisedRelease",
        "sexOffender",
        "immigrationViolator",
        "protectiveInterest",
        "violentPerson",
        "unknown",
    ];
    let text = prop_oneof!["[A-Z0-9]{1,18}", Just("NONE".to_owned()), Just("AAAA".to_owned())];
    (text, 0..16_usize, -3_i64..3, "[a-z]{0,3}").prop_map(move |(text, class, life, id)| ListEntry {
        expires_at: Timestamp(NOW.0.checked_add_signed(life * 3_600).unwrap()),
        ..entry(&id, &text, CT, ListClass::from_name(names[class]).unwrap())
    })
}

proptest! {
    #[test]
    fn no_unlawful_row_is_loaded_and_every_line_is_counted(
        lines in proptest::collection::vec(any_line(), 1..60),
        kind in 0..3_usize,
    ) {
        let kind = [SetKind::Extract, SetKind::Custom, SetKind::Amber][kind];
        let total = lines.len() as u64;
        let load = Load::full(kind, lines);
        let loaded = match load.run(None) {
            Ok(LoadOutcome::Ready(loaded)) => *loaded,
            Ok(LoadOutcome::Held(held)) => held.release(None, Some(HumanKeeper(()))).unwrap(),
            Ok(LoadOutcome::Void(void)) => void.into_loaded(),
            Err(refusal) => {
                prop_assert!(matches!(refusal, LoadRefusal::CustomDay | LoadRefusal::CustomUpload));
                return Ok(());
            }
        };
        for view in loaded.set().views() {
            prop_assert!(BasePack.rule_on_class(view.class).allowed && belongs(view.class, kind));
            prop_assert!(view.expires_at > NOW && !is_placeholder(view.text));
            prop_assert!((2..=16).contains(&view.text.chars().count()));
        }
        let counted: u64 = loaded.counts().iter().map(|one| one.accepted + one.dropped + one.refused).sum();
        prop_assert!(counted <= total, "merged lines stand once");
        for one in loaded.counts() {
            prop_assert!(one.dropped == 0 || (one.accepted == 0 && one.added == 0));
            prop_assert_eq!(one.added - one.removed, one.accepted);
        }
    }

    #[test]
    fn removed_never_hits_and_counts_add_up(
        texts in proptest::collection::vec("[AB01]{2,4}", 1..30),
        gone in proptest::collection::btree_set(0..30_usize, 0..20),
        new in proptest::collection::vec("[AB01]{2,4}", 0..10),
    ) {
        const IDS: [&str; 30] = [
            "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18",
            "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29",
        ];
        let line = |(at, text): (usize, &String)| stolen(IDS[at], text, CT);
        let signed: BTreeSet<String> = IDS.iter().map(|id| (*id).to_owned()).chain(["n".to_owned()]).collect();
        let full = Load { signed: signed.clone(), ..Load::full(SetKind::Extract, texts.iter().enumerate().map(line).collect()) };
        let before_load = full.ready(None).into_set();
        let add: Vec<ListEntry> = new.iter().map(|text| stolen("n", text, CT)).collect();
        let remove: Vec<&'static str> = gone.iter().map(|at| IDS[*at]).collect();
        let change = Load { signed, ..Load::change(SetKind::Extract, 2, add, remove.clone()) };
        let loaded = change.ready(Some(&before_load));
        for text in texts.iter().chain(&new) {
            for hit in compared(loaded.set(), &read(text, CT, Some(900))).hits {
                prop_assert!(!remove.contains(&hit.entry.entry_id.as_str()));
            }
        }
        if let Some(counts) = loaded.counts().first() {
            prop_assert_eq!(before_load.entries() + counts.added - counts.removed, counts.accepted);
        }
        // The same set made in one piece has the same digest.
        let kept = before_load.views().filter(|view| !remove.contains(&view.entry_id)).map(|view| view.to_entry().unwrap());
        let whole = extract(kept.chain(new.iter().map(|text| stolen("n", text, CT))).collect());
        prop_assert_eq!(whole.salted_digest(&[1; 16]), loaded.set().salted_digest(&[1; 16]));
    }
}

use super::super::fixture_tests::{NOW, compared, extract, read, stolen};
use super::*;
use crate::json::Field as _;

#[test]
fn a_days_leaf_is_sorted_and_comes_back() {
    let mut tally = DayTally::default();
    let set = extract(vec![stolen("a", "AB12345", Some("US-CT")), stolen("b", "AB12345", Some("US-NY"))]);
    tally.compared(&compared(&set, &read("AB12345", Some("US-CT"), Some(900))));
    tally.repeated();
    let fresh = Ages { entry: EntryAge::UnderDay, list: ListAge::UnderHalfDay };
    let old = Ages { entry: EntryAge::YearOrMore, list: ListAge::UnderHalfDay };
    tally.raised(ListClass::WantedPerson, MatchKind::PlateOnly, old);
    tally.raised(ListClass::StolenVehicle, MatchKind::PlateAndState, fresh);
    tally.raised(ListClass::StolenVehicle, MatchKind::PlateAndState, fresh);
    tally.handed();
    tally.taken();
    tally.taken();
    (0..3).for_each(|_| tally.looked());
    tally.verified();
    tally.expired(4);
    tally.closed(ListClass::StolenVehicle, Closing { disposition: Disposition::Recovered, stopped: true });
    tally.closed(ListClass::StolenVehicle, Closing { disposition: Disposition::Misread, stopped: false });
    tally.overdue(1);
    let leaf = tally.leaf(Day::of(NOW));
    assert!(AlertsLeaf::from_json(leaf.to_json()).unwrap() == leaf);
    assert_eq!(DayTally::from(&leaf), tally, "a restart goes on counting");
    let raised: Vec<_> = leaf.raised.iter().map(|one| (one.class.name(), one.n)).collect();
    assert_eq!(raised, [("stolenVehicle", 2), ("wantedPerson", 1)]);
    let suppressed: Vec<_> = leaf.suppressed.iter().map(|one| (one.reason.name(), one.n)).collect();
    assert_eq!(suppressed, [("other_state", 1), ("repeated", 1)]);
    let closed: Vec<_> = leaf.closed.iter().map(|one| (one.disposition.name(), one.stopped)).collect();
    assert_eq!((closed, leaf.overdue), (vec![("misread", false), ("recovered", true)], 1));
    assert_eq!((leaf.handed, leaf.taken, leaf.looked, leaf.verified, leaf.expired), (1, 2, 3, 1, 4));
    let ages: Vec<_> = leaf.entry_ages.iter().map(|one| (one.age.name(), one.n)).collect();
    assert_eq!(ages, [("under_day", 2), ("year_or_more", 1)]);
    assert_eq!((leaf.list_ages[0].age, leaf.list_ages[0].n), (ListAge::UnderHalfDay, 3));
}

#[test]
fn ages_are_published_in_steps() {
    let days = [0, 1, 6, 7, 29, 30, 179, 180, 364, 365, u64::MAX].map(|days| EntryAge::of_days(days).name());
    let expected = [
        "under_day",
        "under_week",
        "under_week",
        "under_month",
        "under_month",
        "under_half_year",
        "under_half_year",
        "under_year",
        "under_year",
        "year_or_more",
        "year_or_more",
    ];
    assert_eq!(days, expected);
    let hours = [0, 5, 6, 12, 13, 25, 26, u64::MAX].map(|hours| ListAge::of_hours(hours).name());
    let expected = [
        "under_quarter_day",
        "under_quarter_day",
        "under_half_day",
        "under_half_day",
        "under_day",
        "under_day",
        "day_or_more",
        "day_or_more",
    ];
    assert_eq!(hours, expected);
}

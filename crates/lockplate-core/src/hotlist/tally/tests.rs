use super::super::fixture_tests::{NOW, compared, extract, read, stolen};
use super::*;
use crate::json::Field as _;

#[test]
fn a_days_leaf_is_sorted_and_comes_back() {
    let mut tally = DayTally::default();
    let set = extract(vec![stolen("a", "AB12345", Some("US-CT")), stolen("b", "AB12345", Some("US-NY"))]);
    tally.compared(&compared(&set, &read("AB12345", Some("US-CT"), Some(900))));
    tally.repeated();
    tally.raised(ListClass::WantedPerson, MatchKind::PlateOnly);
    tally.raised(ListClass::StolenVehicle, MatchKind::PlateAndState);
    tally.raised(ListClass::StolenVehicle, MatchKind::PlateAndState);
    tally.closed(ListClass::StolenVehicle, Closing { disposition: Disposition::Recovered, stopped: true });
    tally.closed(ListClass::StolenVehicle, Closing { disposition: Disposition::Misread, stopped: false });
    tally.overdue();
    let leaf = tally.leaf(Day::of(NOW));
    assert!(AlertsLeaf::from_json(leaf.to_json()).unwrap() == leaf);
    assert_eq!(DayTally::from(&leaf), tally, "a restart goes on counting");
    let raised: Vec<_> = leaf.raised.iter().map(|one| (one.class.name(), one.n)).collect();
    assert_eq!(raised, [("stolenVehicle", 2), ("wantedPerson", 1)]);
    let suppressed: Vec<_> = leaf.suppressed.iter().map(|one| (one.reason.name(), one.n)).collect();
    assert_eq!(suppressed, [("other_state", 1), ("repeated", 1)]);
    let closed: Vec<_> = leaf.closed.iter().map(|one| (one.disposition.name(), one.stopped)).collect();
    assert_eq!((closed, leaf.overdue), (vec![("misread", false), ("recovered", true)], 1));
}

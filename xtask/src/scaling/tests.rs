//! The formulas agree with what is played, and no longer do when something else is played than they assume.

use super::figures::Report;
use super::profile::Profile;
use super::wire::{Wire, evaluation_bytes};
use super::{compare, profile};

const SEED: u64 = 7;

/// A few towns of the nation's kind: all its assumptions, little of its size.
fn towns(changed: &[(&str, &str)]) -> Profile {
    let mut text = profile::NATION.to_owned();
    let small = [
        ("reads_a_day = 55e6", "reads_a_day = 900e3"),
        ("most = 1_750", "most = 60"),
        ("retention_days = 21", "retention_days = 4"),
        (
            "searches_a_month = { median = 207, nine_of_ten = 1_201, most = 13_255 }",
            "searches_a_month = { median = 6_000, nine_of_ten = 9_000, most = 13_255 }",
        ),
        (
            "{ hours = 168, part = 0.5 }, { hours = 504, part = 0.25 }",
            "{ hours = 48, part = 0.5 }, { hours = 96, part = 0.25 }",
        ),
    ];
    for (old, new) in small.iter().chain(changed) {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    Profile::parse(&text).unwrap()
}

fn played(days: u64, seed: u64) -> Report {
    let towns = towns(&[]);
    compare(&towns, towns.agencies(seed), days, seed).unwrap()
}

fn apart(report: &Report) -> Vec<&'static str> {
    report.lines().filter(|line| !line.agrees()).map(|line| line.name).collect()
}

#[test]
fn the_model_agrees_with_what_is_played() {
    let report = played(4, SEED);
    assert_eq!(apart(&report), [""; 0], "{}", report.to_markdown());
    assert!(report.agrees());
}

#[test]
fn one_seed_is_one_table_and_another_is_another() {
    let text = |seed| played(1, seed).to_json().to_string();
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn a_model_with_a_wrong_assumption_is_found_out() {
    let wrong = [
        (("keepers = 3", "keepers = 5"), "shares dealt"),
        (("threshold = 2", "threshold = 3"), "element-epochs evaluated"),
        (("retention_days = 4", "retention_days = 5"), "objects stored"),
        (("late_windows_a_day = 2", "late_windows_a_day = 6"), "epochs closed"),
        (("reads_a_trip = 3", "reads_a_trip = 6"), "cores that seal, mean"),
        (("put_ms = 20", "put_ms = 200"), "PUT of standbys' journals"),
        (("pooled = 0.05", "pooled = 0.2"), "requests at owners"),
        (("{ hours = 24, part = 0.25 }", "{ hours = 12, part = 0.25 }"), "buckets fetched"),
        (("near = true, part = 0.31", "part = 0.31"), "buckets fetched"),
        (("element_epochs_max = 2_000", "element_epochs_max = 500"), "buckets fetched"),
        (("epoch_seconds = 3_600", "epoch_seconds = 1_800"), "PUT"),
        (("1.50, 1.61, 1.58, 1.48, 1.32", "1.00, 1.00, 1.00, 3.17, 1.32"), "cells with padding"),
    ];
    let played = played(4, SEED);
    for (change, line) in wrong {
        let assumed = towns(&[change]);
        let expected = super::model::figures(&assumed, &played.agencies);
        let report =
            Report { expected, name: String::new(), agencies: Vec::new(), counted: played.counted.clone(), ..played };
        assert!(apart(&report).contains(&line), "{change:?}: {:?}", apart(&report));
    }
}

#[test]
fn an_evaluation_is_as_long_as_the_known_answer() {
    let text = include_str!("../../../spec/vectors/v1/good_search.json");
    let vector: serde_json::Value = serde_json::from_str(text).unwrap();
    let asked = &vector["steps"][0]["in"];
    let (elements, epochs) = (asked["inputs"].as_array().unwrap().len(), asked["headers"].as_array().unwrap().len());
    let known = asked["evaluations"][0]["evaluation"].as_str().unwrap().len() / 2;
    let key = lockplate_core::sign::SigningKey::from_seed(&lockplate_oprf::Secret::new([1; 32]));
    assert!(elements > 0 && epochs > 1);
    assert_eq!(evaluation_bytes(&key, elements as u64, epochs as u64).unwrap(), known as u64);
}

#[test]
fn one_agency_searches_as_agencies_of_its_size() {
    let profile = Profile::parse(profile::NATION).unwrap();
    let of = |cameras| (profile.one_agency(cameras)[0].searches_a_day * 30.0).round();
    assert_eq!((of(28), of(128)), (207.0, 1_201.0));
    assert!(of(16) < 207.0 && of(1_750) > 1_201.0);
}

#[test]
fn a_profile_that_does_not_add_up_is_refused() {
    for (old, new) in [
        ("part = 0.69", "part = 0.70"),
        ("0.52, 0.47", "0.62, 0.47"),
        ("epoch_seconds = 3_600", "epoch_seconds = 7_000"),
    ] {
        assert!(Profile::parse(&profile::NATION.replace(old, new)).is_err(), "{new}");
    }
    assert!(Wire::new(&towns(&[])).is_ok());
}

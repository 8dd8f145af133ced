//! The 546 cases of `cases.ndjson`, written by `cases.py`, a plain-Python reading of the rules that shares nothing with
//! Cedar; and that a file of cases which is not exactly of that form is refused.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::facts::PolicyAnswer;
use lockplate_policy::{Bundle, Case, CedarPolicy, Question};

const CASES: &str = include_str!("../data/cases.ndjson");

#[test]
fn the_engine_agrees_with_the_plain_reading() {
    let all = CedarPolicy::load(&Bundle::shipped_all()).unwrap();
    assert_eq!(all.rules().count(), 59);
    // A state's shipped bundle must say the same as all packs together.
    let mut shipped: BTreeMap<&str, CedarPolicy> = BTreeMap::new();
    let cases = Case::read_all(CASES).unwrap();
    let (mut searches, mut hot_lists) = (0, 0);
    let mut seen = BTreeSet::new();
    for case in &cases {
        match case.question {
            Question::Search(_) => searches += 1,
            Question::List(_) => hot_lists += 1,
        }
        assert_eq!(all.answer(&case.question), case.expected, "{}", case.id);
        let own = shipped
            .entry(case.owner.code())
            .or_insert_with(|| CedarPolicy::load(&Bundle::shipped(case.owner)).unwrap());
        assert_eq!(own.answer(&case.question), case.expected, "{} under the bundle of its owner's state", case.id);
        let spoken = all.spoken(&case.question);
        match &case.expected {
            PolicyAnswer::Allow { rules, .. } => {
                assert_eq!((&spoken.permits, spoken.forbids.len()), (rules, 0), "{}", case.id)
            }
            PolicyAnswer::Deny { rules } => assert_eq!(&spoken.forbids, rules, "{}", case.id),
        }
        let (PolicyAnswer::Allow { rules, .. } | PolicyAnswer::Deny { rules }) = &case.expected;
        seen.extend(rules.iter().map(String::as_str));
    }
    assert_eq!((searches, hot_lists), (472, 74));
    assert_eq!(shipped.len(), 11, "ten states with a pack, and one without");
    let unseen: Vec<&str> = all.rules().filter(|rule| !seen.contains(*rule)).collect();
    assert!(unseen.is_empty(), "no case for {unseen:?}");
}

#[test]
fn a_refusal_names_the_permits_as_well_where_they_are_asked_for() {
    let all = CedarPolicy::load(&Bundle::shipped_all()).unwrap();
    let both = Case::read_all(CASES).unwrap().iter().any(|case| {
        let spoken = all.spoken(&case.question);
        !spoken.permits.is_empty() && !spoken.forbids.is_empty()
    });
    assert!(both);
}

#[test]
fn a_file_of_another_form_is_refused_with_its_line() {
    let refused = |from: &str, to: &str| {
        assert!(CASES.contains(from), "no {from}");
        Case::read_all(&CASES.replacen(from, to, 1)).unwrap_err().to_string()
    };
    assert_eq!(refused("\"cases\":546", "\"cases\":545"), "line 1: the head says 545 cases, and 546 follow");
    let unknown = refused("{\"id\":\"S001\",", "{\"id\":\"S001\",\"why\":1,");
    assert!(unknown.starts_with("line 2: column 18: unknown key `why`"), "{unknown}");
    assert_eq!(refused("\"set\":{\"owner\":\"CT\",", "\"set\":{\"owners\":\"CT\","), "line 2: unknown key `owners`");
    let purpose = refused("\"purpose\":\"crimeInvestigation\"", "\"purpose\":\"curiosity\"");
    assert_eq!(purpose, "line 2: the value is none of the purposes of the policy schema");
    let kind = refused("\"basis\":\"reasonableSuspicion\"", "\"basis\":7");
    assert_eq!(kind, "line 2: the value is not a string");
    assert_eq!(refused("\"retain\":\"P90D\"", "\"retain\":\"90\""), "line 2: a duty cannot be read");
    let duties = refused("\"expect\":\"Allow\"", "\"expect\":\"Deny\"");
    assert_eq!(duties, "line 2: duties come with an Allow, and only with one");
    assert_eq!(Case::read_all("").unwrap_err().to_string(), "line 1: there is no head line");
    assert_eq!(refused("\"trained\":true,", ""), "line 2: missing key `trained`");
    let answer = refused("\"default\":", "\"default\":{},\"default\":");
    assert!(answer.starts_with("line 1: column ") && answer.ends_with("duplicate key `default`"), "{answer}");
}

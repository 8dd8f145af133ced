//! Request files: the sample of the handbook is read, and nothing is guessed or passed over.

use lockplate_core::facts::PolicyAnswer;
use lockplate_policy::{Bundle, CedarPolicy, QUESTION_BYTES_MAX, Question};

use crate::sample::{state, stolen_car};

const HANDBOOK: &str = include_str!("../../../../docs/policy.md");

/// The request file that `docs/policy.md` shows.
fn sample() -> &'static str {
    let start = HANDBOOK.find("```json request\n").unwrap() + "```json request\n".len();
    let length = HANDBOOK[start..].find("```").unwrap();
    &HANDBOOK[start..start + length]
}

fn refused(from: &str, to: &str) -> String {
    assert!(sample().contains(from), "the sample has no {from}");
    let error = Question::from_json(&sample().replacen(from, to, 1)).unwrap_err().to_string();
    error.rsplit_once("column ").map_or(error.clone(), |(_, rest)| rest.split_once(": ").unwrap().1.to_owned())
}

#[test]
fn the_sample_is_a_federal_request_that_is_refused_by_name() {
    let question = Question::from_json(sample()).unwrap();
    let policy = CedarPolicy::load(&Bundle::shipped(state("CT"))).unwrap();
    let rules =
        ["base.civil-immigration", "base.federal-needs-court", "base.immigration-paper", "ct.out-of-state", "ct.uses"];
    assert_eq!(policy.answer(&question), PolicyAnswer::Deny { rules: rules.map(str::to_owned).into() });
    assert!(policy.spoken(&question).permits.contains("base.search-immigration"));
}

#[test]
fn every_key_is_needed_and_no_other_is_taken() {
    let Question::Search(read) = Question::from_json(sample()).unwrap() else { panic!("a search") };
    assert_eq!(read.element_epochs, 168);
    let lines: Vec<&str> = sample().lines().collect();
    let mut keys = 0;
    for place in 0..lines.len() {
        // A line that holds one simple pair.
        let Some((key, value)) = lines[place].trim().split_once(": ") else { continue };
        if value.ends_with('{') || !value.ends_with(',') {
            continue;
        }
        keys += 1;
        let rest: Vec<&str> =
            lines.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, line)| *line).collect();
        let error = Question::from_json(&rest.join("\n")).unwrap_err().to_string();
        let told = error.contains("missing key") || error.contains("does not describe");
        assert!(told, "without {key}: {error}");
    }
    assert!(keys > 20, "{keys}");
    assert!(refused("\"mfa\":", "\"colour\": 1, \"mfa\":").starts_with("unknown key `colour`"));
    assert_eq!(refused("\"mfa\": true", "\"mfa\": true, \"mfa\": true"), "duplicate key `mfa`");
}

#[test]
fn no_value_is_repeated() {
    let secret = "XR29QP1";
    for (from, to, said) in [
        ("\"civilImmigration\"", "\"XR29QP1\"", "the value is none of the purposes of the policy schema"),
        ("\"plates\": 1", "\"plates\": \"XR29QP1\"", "the value is not u32"),
        ("\"mfa\": true", "\"mfa\": \"XR29QP1\"", "the value is not a boolean"),
        (
            "\"now\": \"2026-11-22T12:00:00Z\"",
            "\"now\": \"XR29QP1\"",
            "the value is not a time such as 2026-11-22T14:00:00Z",
        ),
        ("\"onBehalfOf\": \"", "\"onBehalfOf\": \"XR29QP1", "an agency is named that `agencies` does not describe"),
        ("\"officer\": \"", "\"officer\": \"XR29QP1", "an officer is named that `officers` does not describe"),
        ("\"plates\": 1", "\"plates\": XR29QP1", "is not JSON"),
    ] {
        let error = refused(from, to);
        assert_eq!(error, said);
        assert!(!error.contains(secret));
    }
    assert_eq!(Question::from_json("{").unwrap_err().to_string(), "line 1, column 1: is not JSON: it ends too early");
    let long = format!("{}{}", sample(), " ".repeat(QUESTION_BYTES_MAX));
    assert_eq!(Question::from_json(&long).unwrap_err().to_string(), "is longer than a request file may be");
}

#[test]
fn a_hot_list_has_facts_of_its_own() {
    let mut list = sample().replace("\"search\"", "\"addHotlistEntry\"");
    for key in [
        "from",
        "to",
        "windowDays",
        "ageDays",
        "plates",
        "variants",
        "elementEpochs",
        "priorSamePlate30d",
        "requestsLast24h",
        "registeredOwner",
    ] {
        let start = list.find(&format!("\"{key}\"")).unwrap();
        let end = start + list[start..].find('\n').unwrap();
        list.replace_range(start..end, "");
    }
    let list = list.replacen(
        "\"coRegistrantsConsent\": false",
        "\"listClass\": \"immigrationViolator\", \"expiresInDays\": 7",
        1,
    );
    let question = Question::from_json(&list).unwrap();
    let policy = CedarPolicy::load(&Bundle::shipped(state("CT"))).unwrap();
    let PolicyAnswer::Deny { rules } = policy.answer(&question) else { panic!("refused") };
    assert!(rules.contains("base.list-class") && rules.contains("base.hotlist-purpose"), "{rules:?}");
    let mixed = list.replacen("\"listClass\"", "\"plates\": 1, \"listClass\"", 1);
    assert!(Question::from_json(&mixed).unwrap_err().to_string().contains("unknown key `plates`"));
}

#[test]
fn an_ordinary_search_is_answered_as_the_keeper_answers_it() {
    let policy = CedarPolicy::load(&Bundle::shipped(state("CT"))).unwrap();
    let answer = policy.answer(&Question::Search(stolen_car()));
    assert!(matches!(answer, PolicyAnswer::Allow { rules, .. } if rules == ["base.search".to_owned()].into()));
}

//! The 546 cases of `cases.ndjson`, written by `cases.py`, a plain-Python reading of the rules that shares nothing with
//! Cedar; that a request file with the facts of each is read and explained as it is decided; and that a file of cases which is
//! not exactly of that form is refused.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::facts::{AccessPolicy as _, AgencyFacts, LegalFacts, OfficerFacts, PolicyAnswer, SearchFacts};
use lockplate_core::json::time_text;
use lockplate_policy::{Bundle, Case, CedarPolicy, Question};
use serde_json::{Map, Value, json};

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
        if let Question::Search(facts) = &case.question {
            // Around every age that a rule names; many ages of one request are told by what few policies say of them.
            let ages = [facts.age_days, 0, 1, 3, 7, 8, 14, 21, 22, 30, 60, 61, 90, 181, 182, 400, i64::MAX].into();
            for (age, told) in all.rule_on_ages(facts, &ages) {
                let alone = SearchFacts { age_days: age, ..facts.clone() };
                assert_eq!(told, all.rule_on(&alone), "{} at {age} days", case.id);
            }
        }
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

/// A request file for `lockplate policy explain`. The labels say which agencies and officers are the same.
fn request_file(question: &Question) -> String {
    let (mut agencies, mut officers) = (Map::new(), Map::new());
    let mut agency = |facts: &AgencyFacts| {
        let label = format!("agency {}", facts.id);
        let described = json!({
            "state": facts.state.code(),
            "level": facts.level.name(),
            "lawEnforcement": facts.law_enforcement,
            "declarations": facts.declarations.iter().map(|name| name.name()).collect::<Vec<_>>(),
            "overduePapers": facts.overdue_papers,
        });
        let before = agencies.insert(label.clone(), described.clone());
        assert!(before.is_none_or(|before| before == described), "one agency has one description");
        label
    };
    let mut officer = |facts: &OfficerFacts, of: String| {
        let label = format!("officer {}", facts.key_id[0]);
        let trained = time_text(facts.trained_until);
        officers.insert(label.clone(), json!({ "agency": of, "active": facts.active, "trainedUntil": trained }));
        label
    };
    let legal = |facts: &LegalFacts| {
        json!({
            "kind": facts.kind.name(),
            "judicial": facts.judicial,
            "assurance": facts.assurance.name(),
            "validFrom": time_text(facts.valid_from),
            "validUntil": time_text(facts.valid_until),
            "caseNumber": facts.case_number,
            "offence": facts.offence.name(),
            "factsStated": facts.facts_stated,
        })
    };
    let mut file = match question {
        Question::Search(facts) => json!({
            "action": facts.action.name(),
            "officer": officer(&facts.officer, agency(&facts.officer.agency)),
            "archive": { "owner": agency(&facts.owner), "kind": facts.archive_kind.name() },
            "onBehalfOf": agency(&facts.on_behalf_of),
            "now": time_text(facts.now),
            "from": time_text(facts.from),
            "to": time_text(facts.to),
            "windowDays": facts.window_days,
            "ageDays": facts.age_days,
            "purpose": facts.purpose.name(),
            "legal": legal(&facts.legal),
            "plates": facts.plates,
            "variants": facts.variants,
            "elementEpochs": facts.element_epochs,
            "approvers":
                facts.approvers.iter().map(|one| officer(one, agency(&one.agency))).collect::<Vec<_>>(),
            "approverRoles": facts.approver_roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
            "mfa": facts.mfa,
            "emergencyDeclared": facts.emergency_declared,
            "priorSamePlate30d": facts.prior_same_plate_30d,
            "requestsLast24h": facts.requests_last_24h,
            "registeredOwner": facts.registered_owner,
            "coRegistrantsConsent": facts.co_registrants_consent,
        }),
        Question::List(facts) => json!({
            "action": facts.action.name(),
            "officer": officer(&facts.officer, agency(&facts.officer.agency)),
            "archive": { "owner": agency(&facts.owner), "kind": facts.archive_kind.name() },
            "onBehalfOf": agency(&facts.on_behalf_of),
            "now": time_text(facts.now),
            "purpose": facts.purpose.name(),
            "legal": legal(&facts.legal),
            "listClass": facts.list_class.name(),
            "expiresInDays": facts.expires_in_days,
            "approvers":
                facts.approvers.iter().map(|one| officer(one, agency(&one.agency))).collect::<Vec<_>>(),
            "approverRoles": facts.approver_roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
            "mfa": facts.mfa,
            "emergencyDeclared": facts.emergency_declared,
        }),
    };
    file["agencies"] = Value::Object(agencies);
    file["officers"] = Value::Object(officers);
    file.to_string()
}

#[test]
fn a_request_file_of_each_case_is_explained_as_it_is_decided() {
    let mut shipped: BTreeMap<&str, CedarPolicy> = BTreeMap::new();
    let cases = Case::read_all(CASES).unwrap();
    for case in &cases {
        let file = request_file(&case.question);
        let read = Question::from_json(&file).unwrap_or_else(|error| panic!("{}: {error}", case.id));
        // What `lockplate policy explain` asks: the shipped rules of the archive owner's state.
        let policy = shipped
            .entry(case.owner.code())
            .or_insert_with(|| CedarPolicy::load(&Bundle::shipped(case.owner)).unwrap());
        assert_eq!(policy.answer(&read), case.expected, "{}", case.id);
        // What it prints: every rule with its words.
        let (PolicyAnswer::Allow { rules, .. } | PolicyAnswer::Deny { rules }) = &case.expected;
        for rule in rules {
            assert!(policy.explain(rule).is_some_and(|reason| !reason.say.is_empty()), "{}: {rule}", case.id);
        }
        let spoken = policy.spoken(&read);
        match &case.expected {
            PolicyAnswer::Allow { .. } => {
                assert_eq!((&spoken.permits, spoken.forbids.len()), (rules, 0), "{}", case.id)
            }
            PolicyAnswer::Deny { .. } => assert_eq!(&spoken.forbids, rules, "{}", case.id),
        }
    }
    assert_eq!(cases.len(), 546);
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

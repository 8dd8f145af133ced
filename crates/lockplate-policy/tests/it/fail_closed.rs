//! Trouble is never an Allow, and more rules never allow more (T1 and T3 of the reliability page).

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::facts::{AccessPolicy, PolicyAnswer, SearchFacts};
use lockplate_core::vocabulary::{Assurance, Basis, Level, Purpose};
use lockplate_policy::{Bundle, CONSTITUTION_RULE, CedarPolicy, ENGINE_RULE};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::sample::{NOW, agency, any_facts, formatted, officer, shipped, state, stolen_car, warrant, with_file};

fn denied(policy: &CedarPolicy, facts: &SearchFacts) -> BTreeSet<String> {
    match policy.rule_on(facts) {
        PolicyAnswer::Deny { rules } => rules,
        PolicyAnswer::Allow { rules, .. } => panic!("allowed by {rules:?}"),
    }
}

/// So many random cases; a failure prints its facts, nothing is written beside the tests.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn rules(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn facts_that_make_no_request_are_refused_by_the_engine_rule() {
    let policy = shipped("CT");
    assert!(matches!(policy.rule_on(&stolen_car()), PolicyAnswer::Allow { .. }));

    let mut beyond_all_time = stolen_car();
    beyond_all_time.legal.valid_until = Timestamp(u64::MAX);
    let mut contradictory_agency = stolen_car();
    contradictory_agency.owner.law_enforcement = false;
    let mut contradictory_officer = stolen_car();
    contradictory_officer.approvers.push(contradictory_officer.officer.clone());
    contradictory_officer.approvers[0].active = false;
    let mut huge = stolen_car();
    huge.approvers = (2..=18).map(|number| officer(number, &huge.owner)).collect();
    for facts in [beyond_all_time, contradictory_agency, contradictory_officer, huge] {
        assert_eq!(denied(&policy, &facts), rules(&[ENGINE_RULE]));
    }
    let mut largest = stolen_car();
    largest.approvers = (2..=17).map(|number| officer(number, &largest.owner)).collect();
    assert!(matches!(policy.rule_on(&largest), PolicyAnswer::Allow { .. }));
}

#[test]
fn datetimes_reach_the_rules_exactly() {
    let policy = shipped("CT");
    for (trained_until, allowed) in [(NOW, false), (NOW + 1, true), (253_402_300_800, true)] {
        let mut facts = stolen_car();
        facts.officer.trained_until = Timestamp(trained_until);
        assert_eq!(matches!(policy.rule_on(&facts), PolicyAnswer::Allow { .. }), allowed, "{trained_until}");
    }
}

#[test]
fn an_administrative_warrant_is_no_warrant() {
    let policy = shipped("CT");
    let mut facts = stolen_car();
    facts.purpose = Purpose::CivilImmigration;
    facts.legal.kind = Basis::AdministrativeWarrant;
    let refused = rules(&["base.civil-immigration", "base.immigration-paper", "ct.uses"]);
    assert_eq!(denied(&policy, &facts), refused);
    assert_eq!(denied(&shipped("OH"), &facts), rules(&["base.civil-immigration", "base.immigration-paper"]));

    let federal = {
        let mut office = agency(9, "US");
        office.level = Level::Federal;
        office
    };
    facts.officer = officer(9, &federal);
    facts.on_behalf_of = federal;
    let refused = denied(&policy, &facts);
    for rule in ["base.civil-immigration", "base.immigration-paper", "base.federal-needs-court", "ct.out-of-state"] {
        assert!(refused.contains(rule), "{rule}");
    }
}

#[test]
fn civil_immigration_under_a_judges_warrant_passes_with_two_humans() {
    // The other side of the next test: without it, refusing everything would pass.
    let mut facts = stolen_car();
    facts.purpose = Purpose::CivilImmigration;
    warrant(&mut facts);
    let PolicyAnswer::Allow { rules: permits, obligations } = shipped("CT").rule_on(&facts) else { panic!("refused") };
    assert_eq!(permits, rules(&["base.search", "base.search-human", "base.search-immigration"]));
    assert_eq!((obligations.approvers, obligations.retain_days, obligations.notice_days), (2, 30, 90));
    assert!(!obligations.confirm_visual);
}

#[test]
fn civil_immigration_without_a_judge_is_never_allowed() {
    let policies = [shipped("CT"), shipped("OH")];
    let mut runner = TestRunner::new(cases(10_000)); // two bundles: 20,000 decisions
    runner
        .run(&any_facts(), |mut facts| {
            facts.purpose = Purpose::CivilImmigration;
            let legal = &mut facts.legal;
            let in_force = legal.valid_from <= facts.now && facts.now < legal.valid_until;
            let judge = legal.judicial && legal.kind == Basis::SearchWarrant && legal.assurance == Assurance::CourtKey;
            if judge && in_force {
                legal.judicial = false;
            }
            for policy in &policies {
                let refused = matches!(policy.rule_on(&facts), PolicyAnswer::Deny { .. });
                prop_assert!(refused);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_answer_names_rules_with_words_and_the_engine_never_fails() {
    let policy = shipped("CT");
    let mut runner = TestRunner::new_with_rng(
        cases(3_000),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let seen = std::cell::Cell::new(0_u32);
    runner
        .run(&any_facts(), |facts| {
            let names = match policy.rule_on(&facts) {
                PolicyAnswer::Allow { rules, .. } => {
                    seen.set(seen.get() + 1);
                    rules
                }
                PolicyAnswer::Deny { rules } => {
                    prop_assert!(rules.iter().all(|rule| policy.explain(rule).unwrap().fix.is_some()));
                    rules
                }
            };
            prop_assert!(!names.is_empty() && !names.contains(ENGINE_RULE));
            prop_assert!(names.iter().all(|rule| !policy.explain(rule).unwrap().say.is_empty()));
            Ok(())
        })
        .unwrap();
    let allowed = seen.get();
    assert!(allowed > 100, "the random facts are worth little: {allowed} of 3,000 allowed");
}

/// Conditions a local pack might hold.
const ATOMS: [&str; 12] = [
    "context.mfa",
    "context.legal.judicial",
    "context.legal.factsStated",
    "principal.active",
    "principal.agency.lawEnforcement",
    "principal.agency == resource.owner",
    "context.onBehalfOf == principal.agency",
    "context.ageDays > 7",
    "context.windowDays <= 31",
    r#"context.purpose == Lockplate::Purpose::"stolenVehicle""#,
    r#"resource.owner.state == Lockplate::State::"CT""#,
    r#"context.approverRoles.contains(Lockplate::Role::"supervisor")"#,
];

fn any_forbid() -> impl Strategy<Value = String> {
    let atom = (select(ATOMS.to_vec()), any::<bool>())
        .prop_map(|(atom, not)| if not { format!("!({atom})") } else { atom.to_owned() });
    let action =
        select(vec!["action", r#"action == Lockplate::Action::"search""#, r#"action == Lockplate::Action::"readHit""#]);
    (vec(atom, 1..4), any::<bool>(), select(vec!["when", "unless"]), action).prop_map(|(atoms, all, clause, action)| {
        // Facts of searches only, so a forbid over every action may use nothing else: name the three.
        let action = if action == "action" {
            r#"action in [Lockplate::Action::"search", Lockplate::Action::"holdEvidence", Lockplate::Action::"ownerAccess"]"#
        } else {
            action
        };
        let condition = atoms.join(if all { " && " } else { " || " });
        let condition = if action.contains("readHit") { "context.mfa".to_owned() } else { condition };
        formatted(&format!(
            r#"@id("local.x") @cite("c") @since("2026-10-01") @mark("C") @say("s") @fix("f")
            forbid (principal, {action}, resource) {clause} {{ {condition} }};"#
        ))
    })
}

#[test]
fn adding_any_forbid_never_turns_deny_into_allow() {
    let bundle = Bundle::shipped(state("CT"));
    let floor = CedarPolicy::load(&bundle).unwrap();
    let narrowed = std::cell::Cell::new(0_u32);
    let mut runner = TestRunner::new(cases(48));
    runner
        .run(&(any_forbid(), vec(any_facts(), 60)), |(forbid, many)| {
            let with_more = Bundle::from_files(with_file(&bundle, "local.cedar", &forbid)).unwrap();
            let more = CedarPolicy::load(&with_more).unwrap();
            prop_assert_ne!(more.digest(), floor.digest());
            for facts in many.iter().chain([&stolen_car()]) {
                match (floor.rule_on(facts), more.rule_on(facts)) {
                    (PolicyAnswer::Deny { rules: before }, PolicyAnswer::Deny { rules: after }) => {
                        prop_assert!(after.is_superset(&before));
                    }
                    (PolicyAnswer::Deny { .. }, PolicyAnswer::Allow { .. }) => {
                        prop_assert!(false, "a forbid allowed something");
                    }
                    (PolicyAnswer::Allow { .. }, PolicyAnswer::Deny { rules }) => {
                        narrowed.set(narrowed.get() + 1);
                        prop_assert_eq!(rules, BTreeSet::from(["local.x".to_owned()]));
                    }
                    (before @ PolicyAnswer::Allow { .. }, after @ PolicyAnswer::Allow { .. }) => {
                        prop_assert_eq!(before, after);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(narrowed.get() > 0, "no random forbid ever matched");
}

#[test]
fn the_keepers_own_rules_have_words() {
    let policy = shipped("CT");
    for rule in ["opening", "expired", "replay", "epochs", "quota", "facts", "engine"] {
        let reason = policy.explain(&format!("keeper.{rule}")).unwrap();
        assert_eq!(reason.rule, format!("keeper.{rule}"));
        assert!(!reason.say.is_empty() && reason.fix.is_some() && reason.cite.is_none());
    }
    assert!(policy.explain("keeper.else").is_none());
    assert!(policy.explain("base.search").unwrap().fix.is_none());
}

#[test]
fn one_policy_serves_many_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&shipped("CT"));
}

/// The rules without those that keep immigration requests out; the promises stand as the charter pins them.
fn without_immigration_rules() -> Bundle {
    let dropped = ["base.civil-immigration", "base.immigration-paper", "ct.uses"];
    let shipped = Bundle::shipped(state("CT"));
    let files = shipped.files().map(|(path, text)| {
        let rules = text.split_inclusive("};\n").filter(|rule| {
            path.starts_with("props/") || !dropped.iter().any(|id| rule.contains(&format!("@id(\"{id}\")")))
        });
        let rest: String = rules.map(without_redundant).collect();
        (path.to_owned(), if path.ends_with(".cedar") { formatted(&rest) } else { rest })
    });
    Bundle::from_files(files.collect::<Vec<_>>()).unwrap()
}

fn without_redundant(rule: &str) -> String {
    rule.split_inclusive('\n').filter(|line| !line.starts_with("@redundant")).collect()
}

#[test]
fn what_the_charter_pins_is_refused_though_the_rules_in_force_allow_it() {
    let policy = CedarPolicy::load(&without_immigration_rules()).unwrap();
    let mut facts = stolen_car();
    facts.purpose = Purpose::CivilImmigration;
    assert_eq!(denied(&policy, &facts), rules(&[CONSTITUTION_RULE]));
    assert!(policy.explain(CONSTITUTION_RULE).is_some());
    warrant(&mut facts);
    facts.legal.kind = Basis::SearchWarrant;
    assert!(matches!(policy.rule_on(&facts), PolicyAnswer::Allow { .. }), "a judge's warrant still carries it");
    facts.legal.assurance = Assurance::CustodianAttested;
    assert_eq!(denied(&policy, &facts), rules(&[CONSTITUTION_RULE]));
    let mut detainer = stolen_car();
    detainer.legal.kind = Basis::Detainer;
    assert_eq!(denied(&policy, &detainer), rules(&[CONSTITUTION_RULE]));
}

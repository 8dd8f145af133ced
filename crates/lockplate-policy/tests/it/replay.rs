//! What an auditor takes in a keeper's favour is in its favour: under the shipped rules no honest keeper is accused by a replay.

use lockplate_core::audit::replay::{Guess, favour};
use lockplate_core::facts::{AccessPolicy, AgencyFacts, PolicyAnswer};
use lockplate_core::vocabulary::Assurance;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::sample::{any_facts, shipped};

fn guess(agency: &AgencyFacts) -> Guess {
    Guess { state: agency.state, level: agency.level, law_enforcement: agency.law_enforcement }
}

#[test]
fn what_is_taken_in_a_keepers_favour_allows_no_less_and_refuses_by_no_other_rule() {
    let policies = [shipped("CT"), shipped("OH")];
    let config = ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() };
    let seen = std::cell::Cell::new((0_u32, 0_u32));
    TestRunner::new(config)
        .run(&any_facts(), |mut facts| {
            // What a keeper computes: no paper without an assurance, no role without a person, one description of an agency.
            facts.legal.judicial &= facts.legal.assurance != Assurance::None;
            if facts.approvers.is_empty() {
                facts.approver_roles.clear();
            }
            let requester = &facts.officer.agency;
            if facts.on_behalf_of.id != facts.owner.id && facts.on_behalf_of.id != requester.id {
                facts.on_behalf_of = AgencyFacts { id: facts.on_behalf_of.id, ..requester.clone() };
            }
            let favoured = favour(&facts, guess(&facts.officer.agency));
            for policy in &policies {
                match (policy.rule_on(&facts), policy.rule_on(&favoured)) {
                    (PolicyAnswer::Allow { .. }, PolicyAnswer::Deny { rules }) => {
                        prop_assert!(false, "accused by {:?}: {:?}", rules, facts);
                    }
                    (allowed @ PolicyAnswer::Allow { .. }, favoured @ PolicyAnswer::Allow { .. }) => {
                        seen.set((seen.get().0 + 1, seen.get().1));
                        prop_assert_eq!(allowed, favoured, "accused by its permits and duties");
                    }
                    (PolicyAnswer::Deny { .. }, PolicyAnswer::Allow { .. }) => {}
                    (PolicyAnswer::Deny { rules: named }, PolicyAnswer::Deny { rules }) => {
                        seen.set((seen.get().0, seen.get().1 + 1));
                        prop_assert!(rules.is_subset(&named), "accused by {:?}, not {:?}: {:?}", rules, named, facts);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    let (allowed, refused) = seen.get();
    assert!(allowed > 50 && refused > 500, "the random facts are worth little: {allowed} allowed, {refused} refused");
}

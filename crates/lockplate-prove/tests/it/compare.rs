//! The relation of two bundles, and that what a keeper sees of it without a solver is never more than the solver finds.

use std::collections::BTreeSet;

use lockplate_policy::{Bundle, SeenRelation, seen_relation};
use lockplate_prove::{Comparison, Cvc5, Looser, Relation, compare};

use crate::sample::{changed, checked, cvc5, emergency_amendment, local, shipped, with};

fn compared(old: &Bundle, new: &Bundle, cvc5: &Cvc5) -> Comparison {
    let found = compare(&checked(old), &checked(new), cvc5).unwrap();
    match seen_relation(old, new) {
        SeenRelation::Equal => assert_eq!(found.relation, Relation::Equal),
        SeenRelation::Narrower => assert_ne!(found.relation, Relation::Looser, "{found:?}"),
        SeenRelation::NotSeen(_) => {}
    }
    found
}

#[test]
fn the_same_rules_are_equal() {
    let Some(cvc5) = cvc5() else { return };
    let old = shipped("VT");
    let found = compared(&old, &old, &cvc5);
    assert_eq!(found.relation, Relation::Equal);
    // Written otherwise: a keeper does not see it, the solver does.
    let new = changed(&old, "vt.cedar", "context.ageDays > 181", "181 < context.ageDays");
    assert!(matches!(seen_relation(&old, &new), SeenRelation::NotSeen(_)));
    let found = compared(&old, &new, &cvc5);
    assert_eq!((found.relation, found.altered.as_slice()), (Relation::Equal, &["vt.six-months".to_owned()][..]));
}

#[test]
fn one_more_forbid_is_narrower_and_its_end_looser() {
    let Some(cvc5) = cvc5() else { return };
    let old = shipped("OH");
    let new = with(&old, "local.cedar", &local("context.emergencyDeclared"));
    let found = compared(&old, &new, &cvc5);
    assert_eq!((found.relation, found.looser.as_slice()), (Relation::Narrower, &[][..]));
    assert_eq!(found.added, ["local.x"]);
    let actions: BTreeSet<&str> = found.refused.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions.len(), 5, "{actions:?}");
    assert!(found.refused.iter().all(|(_, story)| story.to_string().contains("and is refused by local.x.")));

    let found = compared(&new, &old, &cvc5);
    assert_eq!((found.relation, found.removed.as_slice()), (Relation::Looser, &["local.x".to_owned()][..]));
    assert_eq!(found.looser.len(), 5);
}

#[test]
fn an_emergency_that_needs_no_judge_is_looser() {
    let Some(cvc5) = cvc5() else { return };
    let old = shipped("OH");
    let found = compared(&old, &emergency_amendment(&old), &cvc5);
    assert_eq!(found.relation, Relation::Looser);
    let mut actions = BTreeSet::new();
    let mut broken = BTreeSet::new();
    for looser in &found.looser {
        match looser {
            Looser::Allows { action, story } => {
                actions.insert(action.as_str());
                let story = story.to_string();
                assert!(story.contains("Purpose: civil immigration."), "{story}");
                assert!(
                    story.contains("It was refused by base.civil-immigration, and is allowed by base.search"),
                    "{story}"
                );
            }
            Looser::Property(failure) => {
                broken.insert(failure.about.clone().unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(actions, BTreeSet::from(["holdEvidence", "search"]));
    assert_eq!(broken, BTreeSet::from(["P1".to_owned()]));
}

#[test]
fn duties_and_permits_that_the_solver_does_not_see() {
    let Some(cvc5) = cvc5() else { return };
    let old = shipped("OH");
    let lighter = changed(&old, "00-base.cedar", "@approvers(\"2\")", "@approvers(\"1\")");
    let found = compared(&old, &lighter, &cvc5);
    let [Looser::Duty(change)] = found.looser.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (change.rule.as_str(), change.duty, change.before, change.after),
        ("base.search-immigration", "approvers", 2, 1)
    );
    let found = compared(&lighter, &old, &cvc5);
    assert_eq!((found.relation, found.duties.len()), (Relation::Narrower, 1));

    // The permit that carries the duty of two people, gone: the others cover the same requests, so nothing becomes allowed.
    let text = old.files().find(|(path, _)| *path == "00-base.cedar").unwrap().1;
    let start = text.find("@id(\"base.search-immigration\")").unwrap();
    let end = start + text[start..].find("@id(\"base.owner-access\")").unwrap();
    let gone = with(&old, "00-base.cedar", &format!("{}{}", &text[..start], &text[end..]));
    let found = compared(&old, &gone, &cvc5);
    assert_eq!(found.looser, [Looser::PermitGone("base.search-immigration".to_owned())]);
    assert_eq!(found.relation, Relation::Looser);
}

#[test]
fn a_changed_schema_is_looser_and_a_dropped_promise_is_named() {
    let Some(cvc5) = cvc5() else { return };
    let old = shipped("OH");
    let new = changed(&old, "lockplate.cedarschema", "// Lockplate policy vocabulary", "// The policy vocabulary");
    let found = compared(&old, &new, &cvc5);
    assert_eq!((found.relation, found.looser.as_slice()), (Relation::Looser, &[Looser::Schema][..]));

    let text = old.files().find(|(path, _)| *path == "props/00-base.cedar").unwrap().1;
    let start = text.find("@id(\"P2\")").unwrap();
    let end = start + text[start..].find("@id(\"P3\")").unwrap();
    let new = with(&old, "props/00-base.cedar", &format!("{}{}", &text[..start], &text[end..]));
    let found = compared(&old, &new, &cvc5);
    assert_eq!(found.relation, Relation::Equal, "it holds all the same: {found:?}");
    assert!(found.dropped.len() == 1 && found.dropped[0].id == "P2" && found.dropped[0].constitution);
}

#[test]
fn a_forbid_that_breaks_an_always_is_looser_to_the_solver() {
    let Some(cvc5) = cvc5() else { return };
    let old = shipped("CT");
    let new = with(&old, "local.cedar", &local("context.purpose == Lockplate::Purpose::\"stolenVehicle\""));
    // The one thing that a keeper does not see, and says so: nothing becomes allowed, but something promised is refused.
    assert_eq!(seen_relation(&old, &new), SeenRelation::Narrower);
    let found = compare(&checked(&old), &checked(&new), &cvc5).unwrap();
    assert_eq!(found.relation, Relation::Looser);
    let [Looser::Property(failure)] = found.looser.as_slice() else { panic!("{found:?}") };
    assert_eq!(failure.about.as_deref(), Some("CT5"));
}

//! The registered owner's access (Connecticut Public Act 26-14): what the packs allow, and by which rule each missing piece is
//! refused.

use lockplate_core::facts::{AccessPolicy as _, PolicyAnswer, SearchFacts};
use lockplate_core::vocabulary::{Action, Basis, Offence, Purpose};

use crate::sample::{agency, officer, shipped, stolen_car};

/// The records officer asks for the own vehicle of a registered owner.
fn own_record() -> SearchFacts {
    let mut facts = stolen_car();
    facts.action = Action::OwnerAccess;
    facts.purpose = Purpose::OwnRecord;
    facts.legal.kind = Basis::StatutoryDuty;
    facts.legal.offence = Offence::None;
    facts.officer = officer(1, &facts.owner.clone());
    facts.on_behalf_of = facts.owner.clone();
    facts.registered_owner = true;
    facts.co_registrants_consent = true;
    facts
}

fn refused_by(facts: &SearchFacts, rule: &str) -> bool {
    match shipped("CT").rule_on(facts) {
        PolicyAnswer::Deny { rules } => rules.contains(rule),
        PolicyAnswer::Allow { .. } => false,
    }
}

#[test]
fn a_registered_owner_with_all_consents_is_answered_without_a_human() {
    match shipped("CT").rule_on(&own_record()) {
        PolicyAnswer::Allow { rules, obligations } => {
            assert!(rules.contains("base.owner-access"), "{rules:?}");
            assert_eq!((obligations.approvers, obligations.retain_days, obligations.notice_days), (0, 7, 0));
        }
        PolicyAnswer::Deny { rules } => panic!("refused by {rules:?}"),
    }
}

#[test]
fn each_missing_piece_is_refused_by_its_rule() {
    for (what, rule, change) in [
        ("no registration", "base.owner-proof", (|f| f.registered_owner = false) as fn(&mut SearchFacts)),
        ("no consent", "base.owner-proof", |f| f.co_registrants_consent = false),
        ("another agency's officer", "base.owner-proof", |f| f.officer = officer(1, &agency(2, "CT"))),
        ("another purpose", "base.owner-proof", |f| f.purpose = Purpose::StolenVehicle),
        ("two plates", "base.one-plate", |f| f.plates = 2),
        ("untrained", "base.session", |f| f.officer.trained_until = f.now),
        ("one factor", "base.session", |f| f.mfa = false),
    ] {
        let mut facts = own_record();
        change(&mut facts);
        assert!(refused_by(&facts, rule), "{what}: {:?}", shipped("CT").rule_on(&facts));
    }
}

#[test]
fn a_proof_of_ownership_opens_no_search() {
    let mut facts = own_record();
    facts.action = Action::Search;
    assert!(matches!(shipped("CT").rule_on(&facts), PolicyAnswer::Deny { .. }));
}

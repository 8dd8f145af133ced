//! Facts to start from, and random ones. All of it invented.

use lockplate_core::Timestamp;
use lockplate_core::facts::{AgencyFacts, LegalFacts, OfficerFacts, SearchFacts};
use lockplate_core::vocabulary::{
    Action, ArchiveKind, Assurance, Basis, DeclarationName, Level, Offence, Purpose, Role, State,
};
use lockplate_policy::{Bundle, CedarPolicy};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) use crate::stolen_car::{DAY, NOW, agency, officer, state, stolen_car};

pub(crate) fn shipped(code: &str) -> CedarPolicy {
    CedarPolicy::load(&Bundle::shipped(state(code))).unwrap()
}

/// A bundle's files with one replaced or added.
pub(crate) fn with_file(bundle: &Bundle, path: &str, text: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = bundle
        .files()
        .filter(|(other, _)| *other != path)
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect();
    files.push((path.to_owned(), text.to_owned()));
    files
}

/// The form in which a pack is accepted.
pub(crate) fn formatted(text: &str) -> String {
    let call = serde_json::json!({ "policyText": text, "lineWidth": 120, "indentWidth": 2 });
    match cedar_policy::ffi::format(serde_json::from_value(call).unwrap()) {
        cedar_policy::ffi::FormattingAnswer::Success { formatted_policy } => formatted_policy,
        cedar_policy::ffi::FormattingAnswer::Failure { errors } => panic!("{errors:?}"),
    }
}

/// A judge's search warrant in force, verified with a court's key.
pub(crate) fn warrant(facts: &mut SearchFacts) {
    facts.legal.kind = Basis::SearchWarrant;
    facts.legal.judicial = true;
    facts.legal.assurance = Assurance::CourtKey;
    facts.legal.valid_from = Timestamp(NOW - DAY);
    facts.legal.valid_until = Timestamp(NOW + 9 * DAY);
}

/// A yes that is often yes, so that random facts come near an Allow.
fn mostly(usual: bool) -> impl Strategy<Value = bool> {
    prop::bool::weighted(if usual { 0.9 } else { 0.1 })
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => (0..80 * DAY).prop_map(|ahead| Timestamp(NOW - 40 * DAY + ahead)),
        1 => select(vec![0, NOW - 1, NOW, NOW + 1]).prop_map(Timestamp),
        1 => (0..u64::from(u32::MAX)).prop_map(Timestamp),
    ]
}

prop_compose! {
    fn any_agency(number: u8)(
        code in prop_oneof![select(vec!["CT", "MA", "US"]), select(State::ALL.to_vec())],
        level in prop_oneof![3 => Just(Level::Local), 1 => select(Level::ALL.to_vec())],
        law_enforcement in mostly(true),
        declarations in btree_set(select(DeclarationName::ALL.to_vec()), 0..3),
        overdue_papers in prop_oneof![9 => Just(0), 1 => any::<u32>()],
    ) -> AgencyFacts {
        AgencyFacts { declarations, level, law_enforcement, overdue_papers, ..agency(number, code) }
    }
}

prop_compose! {
    fn any_legal()(
        kind in prop_oneof![Just(Basis::SearchWarrant), Just(Basis::CourtOrder), select(Basis::ALL.to_vec())],
        judicial in any::<bool>(),
        assurance in select(Assurance::ALL.to_vec()),
        valid_from in prop_oneof![Just(Timestamp(NOW - DAY)), moment()],
        valid_until in prop_oneof![Just(Timestamp(NOW + DAY)), moment()],
        case_number in mostly(true),
        offence in select(Offence::ALL.to_vec()),
        facts_stated in mostly(true),
    ) -> LegalFacts {
        LegalFacts { kind, judicial, assurance, valid_from, valid_until, case_number, offence, facts_stated }
    }
}

prop_compose! {
    /// No paper, or a good one with at most one flaw.
    fn any_paper()(good in any::<bool>(), flaw in 0..8_u8, kind in select(Basis::ALL.to_vec()), other in moment()) -> LegalFacts {
        let mut facts = stolen_car();
        if good {
            warrant(&mut facts);
        }
        match flaw {
            0 => facts.legal.kind = kind,
            1 => facts.legal.judicial = !good,
            2 => facts.legal.assurance = Assurance::CustodianAttested,
            3 => facts.legal.valid_from = other,
            4 => facts.legal.valid_until = other,
            _ => {}
        }
        facts.legal
    }
}

prop_compose! {
    /// Who takes part: agencies 1 to 3 and officers 1 to 3, so that the requester is often the owner and sometimes the
    /// second person too.
    fn any_parties()(
        agencies in [any_agency(0), any_agency(1), any_agency(2)],
        (requester, owner, behalf) in (prop_oneof![2 => Just(0), 1 => 0..3_usize], Just(0_usize), prop::option::weighted(0.2, 0..3_usize)),
        actives in [mostly(true), mostly(true), mostly(true)],
        trained in [moment(), moment(), moment()],
        always_trained in mostly(true),
        approvers in vec(0..3_u8, 0..3),
    ) -> (OfficerFacts, AgencyFacts, AgencyFacts, Vec<OfficerFacts>) {
        let person = |number: u8| {
            let place = usize::from(number);
            let trained_until = if always_trained { Timestamp(NOW + DAY) } else { trained[place] };
            OfficerFacts { trained_until, active: actives[place], ..officer(number, &agencies[requester]) }
        };
        let behalf = agencies[behalf.unwrap_or(requester)].clone();
        (person(0), agencies[owner].clone(), behalf, approvers.into_iter().map(person).collect())
    }
}

prop_compose! {
    fn any_numbers()(
        window_days in prop_oneof![9 => 1..32_i64, 1 => any::<i64>()],
        age_days in prop_oneof![9 => 0..23_i64, 1 => any::<i64>()],
        plates in prop_oneof![9 => Just(1), 1 => any::<u32>()],
        variants in prop_oneof![9 => 1..65_u32, 1 => any::<u32>()],
        element_epochs in prop_oneof![9 => 0..2002_u32, 1 => any::<u32>()],
        prior in prop_oneof![9 => 0..11_u32, 1 => any::<u32>()],
        last in prop_oneof![9 => 0..201_u32, 1 => any::<u32>()],
        from in prop_oneof![9 => Just(Timestamp(NOW - 7 * DAY)), 1 => moment()],
        to in prop_oneof![9 => Just(Timestamp(NOW)), 1 => moment()],
    ) -> SearchFacts {
        SearchFacts {
            window_days, age_days, plates, variants, element_epochs, from, to,
            prior_same_plate_30d: prior, requests_last_24h: last, ..stolen_car()
        }
    }
}

prop_compose! {
    /// Facts of any kind, contradictory ones included; weighted so that a good part is allowed.
    pub(crate) fn any_facts()(
        numbers in any_numbers(),
        (officer, owner, on_behalf_of, approvers) in any_parties(),
        legal in prop_oneof![any_legal(), any_paper()],
        action in select(Action::ALL.to_vec()),
        purpose in prop_oneof![select(Purpose::ALL.to_vec()), select(vec![Purpose::StolenVehicle, Purpose::MissingPerson])],
        archive_kind in prop_oneof![3 => Just(ArchiveKind::Police), 1 => select(ArchiveKind::ALL.to_vec())],
        approver_roles in btree_set(select(Role::ALL.to_vec()), 0..4),
        mfa in mostly(true),
        emergency_declared in mostly(false),
        registered_owner in any::<bool>(),
        co_registrants_consent in any::<bool>(),
    ) -> SearchFacts {
        SearchFacts {
            action, officer, owner, archive_kind, purpose, legal, on_behalf_of, approvers, approver_roles, mfa,
            emergency_declared, registered_owner, co_registrants_consent, ..numbers
        }
    }
}

//! From a case of the policy's matrix to a request that can be made: who asks, what comes along, which window. A case whose facts no
//! request can have is left out, with the reason.

use std::collections::BTreeSet;

use lockplate_core::facts::SearchFacts;
use lockplate_core::vocabulary::{Assurance, Basis, Level, Purpose, Role, State};
use lockplate_policy::{Case, MinuteLaw, Question};

use super::ask::{Ask, By, CourtPaper, Filer, Flaw, Second};
use super::nation::{Hours, Nation, OwnerKind, PartyKind};
use crate::keeper::{DAY, HOUR, NOW};

const CASES: &str = include_str!("../../../../lockplate-policy/tests/data/cases.ndjson");

/// All cases of the file but those of owners whose law counts in minutes: no keeper starts under a charter with hours there, so there
/// is no hour to ask about. They are refused at real keepers in `crates/lockplate/tests/new_hampshire.rs`.
pub(super) fn all() -> Vec<Case> {
    let mut cases = Case::read_all(CASES).unwrap();
    cases.retain(|case| MinuteLaw::of(case.owner).is_none());
    cases
}

/// A request before its parties are there.
pub(super) struct Recipe {
    pub(super) owner: OwnerKind,
    /// None for the owner itself.
    pub(super) requester: Option<PartyKind>,
    /// None for the requester itself.
    pub(super) on_behalf_of: Option<PartyKind>,
    facts: SearchFacts,
    filer: Filer,
    seconds: Vec<Second>,
    paper: Option<CourtPaper>,
    window: (u64, u64),
}

impl Recipe {
    /// What has to be asked so that a keeper finds the facts of the case.
    pub(super) fn of(case: &Case) -> Result<Self, &'static str> {
        let Question::Search(facts) = &case.question else { return Err("asked of the hot-list door, by hotlist::law") };
        if facts.requests_last_24h > 0 {
            return Err("asked by a_hostile_desk_cannot_get_round_the_limits_of_an_officer_and_a_plate");
        }
        if facts.plates == 0 || !(1..=64).contains(&facts.variants) {
            return Err("a request without a plate, or with more than 64 spellings, has no form");
        }
        if facts.purpose != Purpose::OwnRecord && (facts.registered_owner || facts.co_registrants_consent) {
            return Err("a proof of registration counts for the owner's own record alone");
        }
        let busy = facts.element_epochs >= 2_000;
        let aged = !busy && !matches!(facts.age_days, -1 | 5);
        let officer = &facts.officer;
        let own = officer.agency.id == facts.owner.id;
        let party = |agency: &lockplate_core::facts::AgencyFacts, acted_for| PartyKind {
            state: match agency.level {
                Level::Federal => State::parse("US").unwrap(),
                Level::Foreign => State::parse("XX").unwrap(),
                _ => agency.state,
            },
            level: agency.level,
            law_enforcement: agency.law_enforcement,
            declares: agency.declarations.clone(),
            acted_for,
        };
        let behalf = &facts.on_behalf_of;
        let paper = paper(facts)?;
        let owner = OwnerKind {
            archive: facts.archive_kind,
            law_enforcement: !own || officer.agency.law_enforcement,
            accept_attested: facts.legal.assurance != Assurance::CustodianAttested || facts.legal.judicial,
            hours: if busy {
                Hours::Busy
            } else if aged {
                Hours::Old
            } else {
                Hours::Young
            },
            late: officer.agency.overdue_papers > 0 || behalf.overdue_papers > 0,
            ..OwnerKind::police(case.owner)
        };
        Ok(Self {
            owner,
            requester: (!own).then(|| party(&officer.agency, false)),
            on_behalf_of: (behalf.id != officer.agency.id).then(|| party(behalf, true)),
            filer: match (officer.active, officer.trained_until > facts.now) {
                (false, _) => Filer::Inactive,
                (true, false) => Filer::Untrained,
                (true, true) if facts.approvers.iter().any(|one| one.key_id == officer.key_id) => Filer::First,
                (true, true) => Filer::InTurn,
            },
            seconds: seconds(facts)?,
            paper,
            window: window(facts, owner.hours),
            facts: facts.clone(),
        })
    }

    /// The request, among the parties of a nation.
    pub(super) fn ask<'n>(&self, nation: &'n Nation) -> Ask<'n> {
        let (facts, owner) = (&self.facts, &nation.owners[&self.owner]);
        let requester = self.requester.as_ref().map_or(&owner.own, |kind| &nation.parties[kind]);
        let legal = &facts.legal;
        let ownership = (facts.registered_owner, facts.co_registrants_consent);
        // Hours and spellings of the two cases about their product.
        let variants = match facts.element_epochs {
            2_000 => 40,
            2_001 => 29,
            _ => usize::try_from(facts.variants).unwrap(),
        };
        Ask {
            nation,
            owner,
            requester,
            on_behalf_of: self.on_behalf_of.as_ref().map_or(requester, |kind| &nation.parties[kind]),
            filer: self.filer,
            mfa: facts.mfa,
            seconds: self.seconds.clone(),
            purpose: facts.purpose,
            basis: legal.kind,
            offence: legal.offence,
            case_number: legal.case_number,
            facts: legal.facts_stated,
            paper: self.paper,
            ownership: (ownership != (false, false)).then_some(ownership),
            window: self.window,
            plates: facts.plates,
            variants,
            hold: facts.action == lockplate_core::vocabulary::Action::HoldEvidence,
            emergency: facts.emergency_declared,
            prior: facts.prior_same_plate_30d,
            overdue: (facts.officer.agency.overdue_papers, facts.on_behalf_of.overdue_papers),
        }
    }
}

fn paper(facts: &SearchFacts) -> Result<Option<CourtPaper>, &'static str> {
    let legal = &facts.legal;
    let by = match legal.assurance {
        Assurance::CourtKey => By::Judge,
        Assurance::CustodianAttested => By::Custodian,
        Assurance::None if !legal.judicial && legal.valid_from.0 == 0 => return Ok(None),
        Assurance::None => return Err("a keeper finds no judge's word in a paper that nobody vouches for"),
    };
    let in_force = legal.valid_from <= facts.now && facts.now < legal.valid_until;
    if !in_force || !matches!(legal.kind, Basis::CourtOrder | Basis::SearchWarrant) {
        return Err("a keeper takes no judge's word from a paper that is not in force or of another kind");
    }
    Ok(Some(CourtPaper { kind: legal.kind, by, flaw: Flaw::None }))
}

fn seconds(facts: &SearchFacts) -> Result<Vec<Second>, &'static str> {
    let himself = |one: &lockplate_core::facts::OfficerFacts| one.key_id == facts.officer.key_id;
    let mut seconds: Vec<Second> = facts.approvers.iter().filter(|one| himself(one)).map(|_| Second::Himself).collect();
    let roles: Vec<Role> = facts.approver_roles.iter().copied().collect();
    let others = facts.approvers.len() - seconds.len();
    match (others, roles.as_slice()) {
        (0, []) => {}
        (1, []) => seconds.push(Second::Colleague),
        // A role comes with the person who has it.
        (0 | 1, [role]) => seconds.push(Second::With(*role)),
        _ => return Err("nobody has these roles"),
    }
    Ok(seconds)
}

fn window(facts: &SearchFacts, hours: Hours) -> (u64, u64) {
    let from = |days: i64| NOW - u64::try_from(days).unwrap() * DAY;
    let length = u64::try_from(facts.window_days).unwrap();
    if hours == Hours::Busy {
        let hours = if facts.element_epochs == 2_000 { 50 } else { 69 };
        return (from(5) + HOUR, from(5) + HOUR + hours * HOUR);
    }
    if facts.from >= facts.to {
        return (from(5), from(5));
    }
    if facts.age_days < 0 {
        return (NOW + HOUR, NOW + HOUR + length * DAY);
    }
    if facts.to > facts.now {
        return (NOW + 1 - length * DAY, NOW + 1);
    }
    // Of old reads one hour is in it, and no other.
    let length = if hours == Hours::Old { 1 } else { length };
    let begin = from(facts.age_days.max(i64::try_from(length).unwrap()));
    (begin, begin + length * DAY)
}

/// Kinds of everybody in some recipes.
pub(super) fn kinds<'r>(recipes: impl Iterator<Item = &'r Recipe> + Clone) -> (BTreeSet<OwnerKind>, Vec<PartyKind>) {
    let owners = recipes.clone().map(|recipe| recipe.owner).collect();
    let parties = recipes.flat_map(|recipe| recipe.requester.iter().chain(&recipe.on_behalf_of)).cloned().collect();
    (owners, parties)
}

/// States of the owners, as in the file: nine with a pack, and one without.
pub(super) fn states() -> Vec<State> {
    let states: BTreeSet<State> = all().iter().map(|case| case.owner).collect();
    states.into_iter().collect()
}

/// An agency of police.
pub(super) fn police(state: &str, level: Level) -> PartyKind {
    PartyKind {
        state: State::parse(state).unwrap(),
        level,
        law_enforcement: true,
        declares: BTreeSet::new(),
        acted_for: false,
    }
}

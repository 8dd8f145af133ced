//! What the policy says of entries and hits: facts go in, a [`Ruling`] comes out (`law.md`, `hotlists.md` section 4, step 4). Any error
//! while deciding is a refusal. It verifies nobody: who an officer is, and whose signatures there are, its callers have verified.

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::charter::{Charter, Owner};
use lockplate_core::entry::ListClass;
use lockplate_core::facts::{AccessPolicy as _, AgencyFacts, LegalFacts, OfficerFacts, PolicyAnswer};
use lockplate_core::hotlist::alert::AlertLaw;
use lockplate_core::hotlist::load::Ruling;
use lockplate_core::vocabulary::{ArchiveKind, Assurance, Basis, Offence, Purpose, Role};
use lockplate_core::wire::th;
use lockplate_policy::{Bundle, CedarPolicy, ListAction, ListFacts, LoadError};

/// Days until the end of an entry of an extract: it lives while it stands in the current one, which is two days old at most.
pub const EXTRACT_DAYS: i64 = 2;

/// The rules of the owner of the recorder.
#[derive(Debug)]
pub struct ListLaw {
    policy: CedarPolicy,
    owner: AgencyFacts,
    kind: ArchiveKind,
}

/// Who does something with an entry or a hit, and for whom.
#[derive(Clone, Debug)]
pub struct Acted {
    /// Who does it.
    pub officer: OfficerFacts,
    /// Second persons whose signatures were verified, with their roles.
    pub approvers: Vec<(OfficerFacts, BTreeSet<Role>)>,
    /// The agency for whose purposes it is done.
    pub on_behalf_of: AgencyFacts,
    /// A judge's paper was verified for it.
    pub judicial: bool,
    /// Two factors.
    pub mfa: bool,
    /// The clock.
    pub now: Timestamp,
}

/// What is added or read.
#[derive(Clone, Copy, Debug)]
pub struct Matter {
    /// Class of the entry.
    pub class: ListClass,
    /// Purpose: of a custom entry as its list says, of every other one that of its class ([`purpose_of`]).
    pub purpose: Purpose,
    /// Legal basis.
    pub basis: Basis,
    /// It has a case number.
    pub case_number: bool,
    /// Offence.
    pub offence: Offence,
    /// Days until it ends, rounded up.
    pub expires_in_days: i64,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Allowed or not, with its digest.
    pub ruling: Ruling,
    /// Rules that took part.
    pub rules: BTreeSet<String>,
    /// Days that what comes of it may be kept; 0 where it is refused.
    pub retain_days: u32,
}

/// The purpose of a class; none for one that is not loaded, and for `custom`, whose list says it.
#[must_use]
pub const fn purpose_of(class: ListClass) -> Option<Purpose> {
    match class {
        ListClass::StolenVehicle => Some(Purpose::StolenVehicle),
        ListClass::StolenPlate => Some(Purpose::StolenPlate),
        ListClass::WantedPerson => Some(Purpose::WantedPerson),
        ListClass::MissingPerson => Some(Purpose::MissingPerson),
        ListClass::AmberAlert => Some(Purpose::AmberAlert),
        ListClass::Custom
        | ListClass::ProtectionOrder
        | ListClass::ExtremeRiskOrder
        | ListClass::Gang
        | ListClass::TerroristScreening
        | ListClass::SupervisedRelease
        | ListClass::SexOffender
        | ListClass::ImmigrationViolator
        | ListClass::ProtectiveInterest
        | ListClass::ViolentPerson
        | ListClass::Unknown => None,
    }
}

/// The owner of an archive as the policy sees it, in the words of its own directory. Declarations are made to owners by others, and
/// overdue papers are the keepers' business.
#[must_use]
pub const fn owner_facts(charter: &Charter, law_enforcement: bool) -> AgencyFacts {
    let Owner { id, state, level, .. } = charter.owner;
    AgencyFacts { id, state, level, law_enforcement, declarations: BTreeSet::new(), overdue_papers: 0 }
}

impl ListLaw {
    /// Under a bundle. Some tens of milliseconds.
    ///
    /// # Errors
    /// The bundle does not pass its checks.
    pub fn new(charter: &Charter, law_enforcement: bool, bundle: &Bundle) -> Result<Self, LoadError> {
        let owner = owner_facts(charter, law_enforcement);
        Ok(Self { policy: CedarPolicy::load(bundle)?, owner, kind: charter.archive_kind })
    }

    /// The recorder's owner.
    #[must_use]
    pub const fn owner(&self) -> &AgencyFacts {
        &self.owner
    }

    /// May entries like this be matched?
    #[must_use]
    pub fn add_entry(&self, acted: &Acted, matter: &Matter) -> Decided {
        self.decide(ListAction::AddEntry, acted, matter)
    }

    /// May this officer see and work on such a hit?
    #[must_use]
    pub fn read_hit(&self, acted: &Acted, matter: &Matter) -> Decided {
        self.decide(ListAction::ReadHit, acted, matter)
    }

    fn decide(&self, action: ListAction, acted: &Acted, matter: &Matter) -> Decided {
        let legal = LegalFacts {
            kind: matter.basis,
            judicial: acted.judicial,
            assurance: Assurance::None,
            valid_from: Timestamp(0),
            valid_until: Timestamp(0),
            case_number: matter.case_number,
            offence: matter.offence,
            facts_stated: false,
        };
        let facts = ListFacts {
            action,
            officer: acted.officer.clone(),
            owner: self.owner.clone(),
            archive_kind: self.kind,
            now: acted.now,
            purpose: matter.purpose,
            legal,
            list_class: matter.class,
            expires_in_days: matter.expires_in_days,
            on_behalf_of: acted.on_behalf_of.clone(),
            approvers: acted.approvers.iter().map(|(officer, _)| officer.clone()).collect(),
            approver_roles: acted.approvers.iter().flat_map(|(_, roles)| roles.iter().copied()).collect(),
            mfa: acted.mfa,
            emergency_declared: false,
        };
        let (allowed, rules, retain_days) = match self.policy.rule_on_list(&facts) {
            PolicyAnswer::Allow { rules, obligations } => (true, rules, obligations.retain_days),
            PolicyAnswer::Deny { rules } => (false, rules, 0),
        };
        let named: Vec<&str> = rules.iter().map(String::as_str).collect();
        let head: [&[u8]; 7] = [
            &self.policy.digest(),
            action.name().as_bytes(),
            matter.class.name().as_bytes(),
            matter.purpose.name().as_bytes(),
            matter.basis.name().as_bytes(),
            &acted.now.0.to_be_bytes(),
            &[u8::from(allowed)],
        ];
        let parts: Vec<&[u8]> = head.into_iter().chain(named.iter().map(|rule| rule.as_bytes())).collect();
        Decided { ruling: Ruling { allowed, digest: th("list-decision", &parts) }, rules, retain_days }
    }

    /// The words of an alert about the law of the place: base rules want a look at plate and state everywhere; in these states the law
    /// itself says that an alert alone is no suspicion (`law.md` section 1).
    #[must_use]
    pub fn alert_law(&self, decided: &Decided) -> AlertLaw {
        const NO_SUSPICION: [&str; 4] = ["MT", "NH", "VA", "WA"];
        AlertLaw {
            visual_confirmation: true,
            no_suspicion: NO_SUSPICION.contains(&self.owner.state.code()),
            retain_days: decided.retain_days,
            rules: decided.rules.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use lockplate_core::id::AgencyId;
    use lockplate_core::vocabulary::{DeclarationName, Level, State};

    use super::*;

    const STATES: [&str; 10] = ["CA", "CT", "IL", "MN", "NH", "NJ", "NM", "VA", "VT", "WA"];
    const NOW: Timestamp = Timestamp(1_795_348_800);

    fn classes() -> Vec<ListClass> {
        let names = "stolenVehicle stolenPlate wantedPerson missingPerson amberAlert custom protectionOrder extremeRiskOrder gang \
                     terroristScreening supervisedRelease sexOffender immigrationViolator protectiveInterest violentPerson unknown";
        names.split_whitespace().map(|name| ListClass::from_name(name).unwrap()).collect()
    }

    pub(in crate::hotlist) fn law(state: &str) -> ListLaw {
        let state = State::parse(state).unwrap();
        let owner = AgencyFacts {
            id: AgencyId([1; 16]),
            state,
            level: Level::Local,
            law_enforcement: true,
            declarations: BTreeSet::new(),
            overdue_papers: 0,
        };
        ListLaw { policy: CedarPolicy::load(&Bundle::shipped(state)).unwrap(), owner, kind: ArchiveKind::Police }
    }

    fn agency(number: u8, state: &str, level: Level) -> AgencyFacts {
        AgencyFacts {
            id: AgencyId([number; 16]),
            state: State::parse(state).unwrap(),
            level,
            law_enforcement: true,
            declarations: DeclarationName::ALL.iter().copied().collect(),
            overdue_papers: 0,
        }
    }

    fn person(key: u8, agency: &AgencyFacts) -> OfficerFacts {
        OfficerFacts {
            key_id: [key; 32],
            agency: agency.clone(),
            trained_until: Timestamp(NOW.0 + 1_000),
            active: true,
        }
    }

    pub(in crate::hotlist) fn acted(by: &AgencyFacts, second: bool) -> Acted {
        let approvers = second.then(|| (person(9, by), BTreeSet::from([Role::Supervisor]))).into_iter().collect();
        let officer = person(8, by);
        Acted { officer, approvers, on_behalf_of: by.clone(), judicial: false, mfa: true, now: NOW }
    }

    fn matter(class: ListClass, purpose: Purpose) -> Matter {
        Matter {
            class,
            purpose,
            basis: Basis::StatutoryDuty,
            case_number: true,
            offence: Offence::Felony,
            expires_in_days: 2,
        }
    }

    #[test]
    fn no_state_matches_the_classes_that_nobody_matches_whoever_asks_for_whatever_purpose() {
        let mut asked = 0;
        for state in STATES {
            let law = law(state);
            let own = law.owner().clone();
            let others = [
                agency(2, state, Level::County),
                agency(3, "NY", Level::State),
                agency(4, "US", Level::Federal),
                agency(5, state, Level::Tribal),
            ];
            for by in [own].into_iter().chain(others) {
                for class in classes().iter().filter(|class| !class.may_be_loaded()) {
                    for purpose in Purpose::ALL {
                        for second in [false, true] {
                            let entry = law.add_entry(&acted(&by, second), &matter(*class, *purpose));
                            assert!(!entry.ruling.allowed, "{state} {} {}", class.name(), purpose.name());
                            assert!(!law.read_hit(&acted(&by, second), &matter(*class, *purpose)).ruling.allowed);
                            asked += 2;
                        }
                    }
                }
            }
        }
        assert_eq!(asked, 10 * 5 * 10 * 14 * 2 * 2);
    }

    #[test]
    fn no_list_is_matched_for_civil_immigration_and_none_of_a_federal_agency_without_a_court() {
        for state in STATES {
            let law = law(state);
            let federal = agency(4, "US", Level::Federal);
            for class in &classes() {
                for by in [law.owner().clone(), federal.clone()] {
                    let civil = law.add_entry(&acted(&by, true), &matter(*class, Purpose::CivilImmigration));
                    assert!(!civil.ruling.allowed, "{state} {}", class.name());
                }
                let purpose = purpose_of(*class).unwrap_or(Purpose::MissingPerson);
                let shared = law.add_entry(&acted(&federal, true), &matter(*class, purpose));
                assert!(!shared.ruling.allowed, "{state} {}", class.name());
                assert!(shared.rules.iter().any(|rule| !rule.is_empty()), "a rule says why");
            }
        }
    }

    #[test]
    fn what_a_neighbour_of_the_same_state_shares_needs_a_second_person() {
        let law = law("CT");
        let neighbour = agency(2, "CT", Level::Local);
        let stolen = matter(ListClass::StolenVehicle, Purpose::StolenVehicle);
        let alone = law.add_entry(&acted(&neighbour, false), &stolen);
        assert!(!alone.ruling.allowed && alone.rules.contains("base.second-person"), "{:?}", alone.rules);
        let two = law.add_entry(&acted(&neighbour, true), &stolen);
        assert!(two.ruling.allowed, "{:?}", two.rules);
        assert_ne!(alone.ruling.digest, two.ruling.digest);
    }

    #[test]
    fn an_own_extract_is_matched_and_a_custom_entry_needs_case_and_supervisor() {
        for state in STATES {
            let law = law(state);
            let own = law.owner().clone();
            let stolen = law.add_entry(&acted(&own, false), &matter(ListClass::StolenVehicle, Purpose::StolenVehicle));
            assert!(stolen.ruling.allowed, "{state}: {:?}", stolen.rules);
            let custom = matter(ListClass::Custom, Purpose::MissingPerson);
            assert!(!law.add_entry(&acted(&own, false), &custom).ruling.allowed, "{state}");
            let signed = law.add_entry(&acted(&own, true), &custom);
            assert!(signed.ruling.allowed, "{state}: {:?}", signed.rules);
            let caseless = Matter { case_number: false, ..custom };
            assert!(!law.add_entry(&acted(&own, true), &caseless).ruling.allowed, "{state}");
            let signed_out = Acted { mfa: false, ..acted(&own, true) };
            assert!(!law.add_entry(&signed_out, &custom).ruling.allowed, "{state}");
        }
    }
}

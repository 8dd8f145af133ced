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

    /// Digest of the bundle.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.policy.digest()
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

//! What a keeper lays before the policy, and what comes back. Facts are computed by the keeper from evidence it verified
//! itself, never copied from a request (`law.md` section 4); the policy engine sees nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::Timestamp;
use crate::id::AgencyId;
use crate::vocabulary::{Action, ArchiveKind, Assurance, Basis, DeclarationName, Level, Offence, Purpose, Role, State};

/// An agency as the signed directory and the keeper's own log show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgencyFacts {
    /// Its id.
    pub id: AgencyId,
    /// Its state; `US` for federal agencies, `XX` for foreign ones.
    pub state: State,
    /// Its level.
    pub level: Level,
    /// A law-enforcement agency?
    pub law_enforcement: bool,
    /// Declarations on file with the owner and in force now.
    pub declarations: BTreeSet<DeclarationName>,
    /// Emergency requests of this agency whose paper is past its deadline.
    pub overdue_papers: u32,
}

/// An officer as the signed directory shows him. The key id stands for the person's key, not the name.
#[derive(Clone, PartialEq, Eq)]
pub struct OfficerFacts {
    /// Id of the signing key, 32 bytes (`authorisation.md` section 4).
    pub key_id: [u8; 32],
    /// The officer's agency.
    pub agency: AgencyFacts,
    /// Training is valid until this moment.
    pub trained_until: Timestamp,
    /// Active in the directory?
    pub active: bool,
}

impl core::fmt::Debug for OfficerFacts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OfficerFacts(..)")
    }
}

/// The legal side of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalFacts {
    /// As stated in the signed request.
    pub kind: Basis,
    /// Computed by `authorisation.md` section 3.
    pub judicial: bool,
    /// How the court paper was verified.
    pub assurance: Assurance,
    /// Of the paper; the Unix epoch twice where there is none.
    pub valid_from: Timestamp,
    /// End of the paper's validity, exclusive.
    pub valid_until: Timestamp,
    /// The opening holds a usable case number.
    pub case_number: bool,
    /// Class of the offence stated.
    pub offence: Offence,
    /// The opening holds a usable statement of facts.
    pub facts_stated: bool,
}

/// Everything the policy may look at for one (request, epoch age).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchFacts {
    /// What is asked for.
    pub action: Action,
    /// Who asks.
    pub officer: OfficerFacts,
    /// Owner of the archive.
    pub owner: AgencyFacts,
    /// Kind of the archive.
    pub archive_kind: ArchiveKind,
    /// The keeper's clock.
    pub now: Timestamp,
    /// Window asked, from (inclusive).
    pub from: Timestamp,
    /// Window asked, to (exclusive).
    pub to: Timestamp,
    /// ceil((to - from) / 86,400 s); negative for a reversed window.
    pub window_days: i64,
    /// ceil((now - `cap_from` of the epoch) / 86,400 s).
    pub age_days: i64,
    /// Purpose stated.
    pub purpose: Purpose,
    /// The legal side.
    pub legal: LegalFacts,
    /// Distinct plates named.
    pub plates: u32,
    /// Elements of the request.
    pub variants: u32,
    /// Elements times closed, undestroyed epochs inside the window.
    pub element_epochs: u32,
    /// For whom the officer signs that the request is made.
    pub on_behalf_of: AgencyFacts,
    /// Second persons whose signature over this request was verified.
    pub approvers: Vec<OfficerFacts>,
    /// Their roles.
    pub approver_roles: BTreeSet<Role>,
    /// Signed in with two factors.
    pub mfa: bool,
    /// Declared as an emergency.
    pub emergency_declared: bool,
    /// Earlier allowed requests of this agency for the same plate within 30 days.
    pub prior_same_plate_30d: u32,
    /// Requests of this officer within 24 hours, this one not counted.
    pub requests_last_24h: u32,
    /// Owner access: registration and identity checked.
    pub registered_owner: bool,
    /// Owner access: every co-registrant consents.
    pub co_registrants_consent: bool,
}

/// Duties that come with an Allow (`law.md` section 5, point 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obligations {
    /// Approvals given by a human that a grant needs, besides the threshold.
    pub approvers: u8,
    /// Longest time a requester may keep opened reads outside a hold, days.
    pub retain_days: u32,
    /// Longest embargo without a court, days.
    pub notice_days: u32,
    /// A person compares plate and state before anybody acts.
    pub confirm_visual: bool,
}

/// What the policy says about one set of facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyAnswer {
    /// Allowed by the permits named, with their duties taken together.
    Allow {
        /// Ids of the permits that matched, sorted.
        rules: BTreeSet<String>,
        /// Their duties, strictest of each.
        obligations: Obligations,
    },
    /// Refused by the rules named.
    Deny {
        /// Ids of the forbids that matched; `keeper.engine` where the engine itself failed. Never empty.
        rules: BTreeSet<String>,
    },
}

/// A rule in words: shown to the officer and on the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Policy id, for example `base.civil-immigration`.
    pub rule: String,
    /// Why.
    pub say: String,
    /// Statute, where the rule has one. Not legal advice.
    pub cite: Option<String>,
    /// What would make it lawful.
    pub fix: Option<String>,
}

/// Who may search: the seam to the policy engine. Implementations are pure and fail closed: an error while deciding is a
/// [`PolicyAnswer::Deny`] with the rule `keeper.engine`, never an Allow.
pub trait AccessPolicy {
    /// Digest of the bundle in force (`law.md` section 7).
    fn digest(&self) -> [u8; 32];
    /// Name and version of the engine, as it stands in leaves.
    fn engine(&self) -> &str;
    /// One decision on one set of facts.
    fn rule_on(&self, facts: &SearchFacts) -> PolicyAnswer;
    /// One decision for each age of the reads in days; all else is as the facts say, [`SearchFacts::age_days`] is not looked at.
    fn rule_on_ages(&self, facts: &SearchFacts, ages: &BTreeSet<i64>) -> BTreeMap<i64, PolicyAnswer> {
        let ruled = |age_days: i64| self.rule_on(&SearchFacts { age_days, ..facts.clone() });
        ages.iter().map(|age| (*age, ruled(*age))).collect()
    }
    /// The words of a rule; `None` for a rule this bundle does not hold.
    fn explain(&self, rule: &str) -> Option<Reason>;
}

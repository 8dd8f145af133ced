//! From evidence to facts: what a keeper verified about a request and its parties becomes the facts the policy sees
//! (`law.md` section 4) and the leaf the public sees (`log.md` section 6.1). A fact that cannot be computed is a refusal,
//! never a default; nothing is copied from the request but what the law says is stated there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockplate_log::note::VerifierKey;
use rand_core::CryptoRng;

use crate::Timestamp;
use crate::audit::auditor_digest;
use crate::authorisation::{PaperRequest, Step, Verified, Withdrawn, agency_keys, judge, verify_session};
use crate::charter::{AcceptKeyFiles, Charter, CharterFile, Owner};
use crate::decision::{CodeRule, DecisionRecord, Outcome};
use crate::directory::{Trust, VerifiedDirectory, verify_declaration};
use crate::disclosure::{SD_REQUEST, fill_digests};
use crate::emergency::{Declared, verify_exigency};
use crate::entry::{Escrow, RequestDecision, RequestLeaf, SaltedDigests, SdAlgorithm, officer_pseudonym};
use crate::error::{Error, Result};
use crate::facts::{AgencyFacts, LegalFacts, Obligations, OfficerFacts, SearchFacts};
use crate::id::{AgencyId, EpochId};
use crate::notice::NoticeTag;
use crate::ownership::{OwnershipFacts, judge_ownership};
use crate::request::{FiledRequest, Opened, SearchRequest};
use crate::salted::digests_of;
use crate::signed::SignedObject;
use crate::vocabulary::{Action, ArchiveKind, Assurance, Basis, DeclarationName, Purpose, Role};

const DAY: u64 = 86_400;
/// Longest embargo of a request that no rule allowed, days.
pub(crate) const NO_DUTIES_NOTICE_DAYS: u32 = 180;

/// A closed, undestroyed epoch of this owner whose whole capture window lies inside the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochInWindow {
    /// Its id.
    pub epoch_id: EpochId,
    /// Begin of its capture window; its age counts from there.
    pub cap_from: Timestamp,
}

/// Everything a keeper verified about one request and its parties.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The officer, from the requester's signed directory.
    pub officer: OfficerFacts,
    /// The owner of the archive.
    pub owner: AgencyFacts,
    /// For whom the request is made.
    pub on_behalf_of: AgencyFacts,
    /// Second persons whose signature was verified, other persons than the officer.
    pub approvers: Vec<OfficerFacts>,
    /// Their roles.
    pub approver_roles: BTreeSet<Role>,
    /// Two factors, by the desk's session statement.
    pub mfa: bool,
    /// The court paper.
    pub paper: Verified,
    /// Why a paper that the request names does not count; none for one that does, or without one.
    pub paper_fault: Option<Step>,
    /// The emergency that two people declared, if that holds.
    pub emergency: Option<Declared>,
    /// The proof of registration, for owner access.
    pub ownership: OwnershipFacts,
    /// Kind of the archive, from the charter.
    pub archive_kind: ArchiveKind,
    /// Epochs inside the window that can be evaluated.
    pub epochs: Vec<EpochInWindow>,
    /// Epochs inside the window whose keys are destroyed.
    pub epochs_destroyed: u32,
    /// Earlier allowed requests of the agency for this plate, 30 days.
    pub prior_same_plate_30d: u32,
    /// Earlier requests of the officer, 24 hours.
    pub requests_last_24h: u32,
    /// The requester used this request id for another request.
    pub replayed: bool,
    /// The desk asks this keeper's human, if the policy wants one.
    pub ask_human: bool,
}

/// What a keeper has at hand when a request comes: verified objects and its own counters. The shell only loads them.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The owner's charter.
    pub charter: &'a Charter,
    /// The trust list in force.
    pub trust: &'a Trust,
    /// What was withdrawn.
    pub withdrawn: &'a Withdrawn,
    /// Verified directories by agency: the requester's, and that of the agency it acts for.
    pub directories: &'a BTreeMap<AgencyId, Arc<VerifiedDirectory>>,
    /// Declarations on file with this owner, as filed; each is verified again.
    pub declarations: &'a [SignedObject],
    /// The exact words a declaration may carry, by SHA-256.
    pub declaration_texts: &'a BTreeMap<DeclarationName, [u8; 32]>,
    /// Overdue papers by agency, from the own log.
    pub overdue_papers: &'a BTreeMap<AgencyId, u32>,
    /// `.auth` files that came with the request.
    pub attachments: &'a [Vec<u8>],
    /// The desk's session statement.
    pub session: Option<&'a [u8]>,
    /// Factors that count, by the names of `amr` (RFC 8176).
    pub factors: &'a BTreeSet<String>,
    /// Other requests under the same paper in the own log.
    pub paper_uses: u64,
    /// Closed, held epochs inside the window.
    pub epochs: Vec<EpochInWindow>,
    /// Epochs inside the window whose keys are destroyed.
    pub epochs_destroyed: u32,
    /// Earlier allowed requests of the agency for this plate, 30 days.
    pub prior_same_plate_30d: u32,
    /// Earlier requests of the officer, 24 hours.
    pub requests_last_24h: u32,
    /// The requester used this request id for another request.
    pub replayed: bool,
    /// The desk asks this keeper's human.
    pub ask_human: bool,
}

/// Why a request is refused before the policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotGathered {
    /// The rule of the keeper's own code.
    pub rule: CodeRule,
    /// The step at which the paper fell, if it is the paper's fault.
    pub paper_fault: Option<Step>,
}

impl From<CodeRule> for NotGathered {
    fn from(rule: CodeRule) -> Self {
        Self { rule, paper_fault: None }
    }
}

/// Computes everything the policy may see from verified evidence. Pure.
///
/// # Errors
/// [`CodeRule::Facts`] if a fact cannot be computed: an unknown or stale directory, an officer who is not in it, an unknown
/// second person, a paper for another basis.
pub fn gather(
    request: &Opened<SearchRequest>,
    evidence: Evidence<'_>,
    now: Timestamp,
) -> core::result::Result<Standing, NotGathered> {
    let asked = request.request();
    let statement = request.text().statement.statement();
    let directory = evidence.directory(asked.requester_agency, now)?;
    let requester = evidence.agency(directory, now);
    let officer = directory.officer_facts(&asked.officer_key, requester.clone()).ok_or(CodeRule::Facts)?;
    let on_behalf_of = if statement.on_behalf_of == asked.requester_agency {
        requester.clone()
    } else {
        let other = evidence.directory(statement.on_behalf_of, now)?;
        evidence.agency(other, now)
    };
    let mut approvers = Vec::new();
    let mut approver_roles = BTreeSet::new();
    for second in &request.filed().seconds {
        let facts = directory.officer_facts(&second.key_id, requester.clone()).ok_or(CodeRule::Facts)?;
        // The filer's own second key does not count, nor does a person who is no longer active.
        if !directory.are_two_persons(&asked.officer_key, &second.key_id) || !facts.active || facts.trained_until <= now
        {
            return Err(CodeRule::Facts.into());
        }
        approver_roles.extend(directory.roles(&second.key_id).into_iter().flatten());
        approvers.push(facts);
    }
    let (paper, paper_fault) = evidence.judge_paper(request, now)?;
    Ok(Standing {
        officer,
        owner: evidence.owner(),
        on_behalf_of,
        approvers,
        approver_roles,
        mfa: evidence.signed_in_with_two_factors(request, directory, now),
        paper,
        paper_fault,
        emergency: evidence.declared_emergency(request, directory, now),
        ownership: evidence.judge_ownership(request, now),
        archive_kind: evidence.charter.archive_kind,
        epochs: evidence.epochs,
        epochs_destroyed: evidence.epochs_destroyed,
        prior_same_plate_30d: evidence.prior_same_plate_30d,
        requests_last_24h: evidence.requests_last_24h,
        replayed: evidence.replayed,
        ask_human: evidence.ask_human,
    })
}

/// The `.auth` file that a request names, among those that came with it.
#[must_use]
pub fn named_attachment<'a>(attachments: &'a [Vec<u8>], asked: &SearchRequest) -> Option<(&'a [u8], SignedObject)> {
    attachments.iter().find_map(|bytes| {
        let object = SignedObject::parse(bytes).ok()?;
        (object.digest() == asked.authorisation_digest).then_some((bytes.as_slice(), object))
    })
}

/// Of the declarations that were filed, those of an agency that are in force for an owner. `keys` sign for the agency.
#[must_use]
pub fn declarations_in_force(
    filed: &[SignedObject],
    agency: &VerifiedDirectory,
    keys: &[VerifierKey],
    owner: &Owner,
    texts: &BTreeMap<DeclarationName, [u8; 32]>,
    now: Timestamp,
) -> BTreeSet<DeclarationName> {
    let owner = (owner.id, owner.state);
    filed.iter().filter_map(|object| verify_declaration(object, agency, keys, owner, texts, now).ok()).collect()
}

impl<'a> Evidence<'a> {
    fn directory(&self, agency: AgencyId, now: Timestamp) -> core::result::Result<&'a VerifiedDirectory, CodeRule> {
        self.directories
            .get(&agency)
            .map(Arc::as_ref)
            .filter(|directory| directory.is_fresh(now))
            .ok_or(CodeRule::Facts)
    }

    fn agency(&self, directory: &VerifiedDirectory, now: Timestamp) -> AgencyFacts {
        let agency = directory.body().agency;
        let keys = agency_keys(self.trust, self.withdrawn, agency, now);
        let (owner, texts) = (&self.charter.owner, self.declaration_texts);
        let declarations = declarations_in_force(self.declarations, directory, &keys, owner, texts, now);
        directory.agency_facts(declarations, self.overdue_papers.get(&agency).copied().unwrap_or(0))
    }

    fn owner(&self) -> AgencyFacts {
        let owner = &self.charter.owner;
        AgencyFacts {
            id: owner.id,
            state: owner.state,
            level: owner.level,
            // A charter does not say it; the owner's own directory, where the owner asks, does. Two descriptions of one agency
            // would be no request for the engine.
            law_enforcement: self.directories.get(&owner.id).is_none_or(|own| own.body().law_enforcement),
            declarations: BTreeSet::new(),
            overdue_papers: self.overdue_papers.get(&owner.id).copied().unwrap_or(0),
        }
    }

    fn signed_in_with_two_factors(
        &self,
        request: &Opened<SearchRequest>,
        directory: &VerifiedDirectory,
        now: Timestamp,
    ) -> bool {
        let own = directory.body().agency == self.charter.owner.id;
        let key_files_count = own || self.charter.accept_key_files == AcceptKeyFiles::All;
        let digest = request.request().digest();
        let session = self.session.and_then(|bytes| SignedObject::parse(bytes).ok());
        key_files_count
            && session.is_some_and(|session| {
                verify_session(&session, &directory.body().desk_key, &digest, self.factors, now).unwrap_or(false)
            })
    }

    /// Only a request for owner access can rest on a proof of registration.
    fn judge_ownership(&self, request: &Opened<SearchRequest>, now: Timestamp) -> OwnershipFacts {
        let (asked, text) = (request.request(), request.text());
        match named_attachment(self.attachments, asked) {
            Some((_, object)) if action_of(asked.purpose, text.statement.statement().hold) == Action::OwnerAccess => {
                judge_ownership(
                    &object,
                    self.charter.owner.id,
                    &text.statement.statement().plate,
                    &text.disclosures,
                    self.trust,
                    self.withdrawn,
                    now,
                )
            }
            Some(_) | None => OwnershipFacts::NONE,
        }
    }

    /// The first good declaration among what came along, where the officer states an emergency.
    fn declared_emergency(
        &self,
        request: &Opened<SearchRequest>,
        directory: &VerifiedDirectory,
        now: Timestamp,
    ) -> Option<Declared> {
        let stated = request.text().statement.statement().emergency && request.request().basis == Basis::Exigency;
        let mut attached = self.attachments.iter().filter(|_| stated);
        attached.find_map(|bytes| verify_exigency(&SignedObject::parse(bytes).ok()?, request, directory, now).ok())
    }

    fn judge_paper(
        &self,
        request: &Opened<SearchRequest>,
        now: Timestamp,
    ) -> core::result::Result<(Verified, Option<Step>), NotGathered> {
        let asked = request.request();
        if asked.authorisation_digest == [0; 32] || asked.purpose == Purpose::OwnRecord {
            return Ok((Verified::NONE, None));
        }
        let Some((file, _)) = named_attachment(self.attachments, asked) else {
            return Ok((Verified::NONE, Some(Step::Digest)));
        };
        let paper = PaperRequest { uses: self.paper_uses, ..PaperRequest::of(request) };
        match judge(
            file,
            &paper,
            &request.text().disclosures,
            self.trust,
            self.withdrawn,
            self.charter.accept_attested,
            now,
        ) {
            Ok(verified) => Ok((verified, None)),
            Err(step @ Step::Basis) => Err(NotGathered { rule: CodeRule::Facts, paper_fault: Some(step) }),
            // A paper that does not hold counts as none; the policy then refuses a claimed court basis by name.
            Err(step) => Ok((Verified::NONE, Some(step))),
        }
    }
}

impl Standing {
    /// Days since the begin of an epoch's capture window, rounded up: all in which the facts of two epochs differ.
    #[must_use]
    pub fn age_days(now: Timestamp, cap_from: Timestamp) -> i64 {
        days_up(cap_from, now)
    }

    /// The facts for one epoch, named by the begin of its capture window.
    #[must_use]
    pub fn facts(&self, request: &Opened<SearchRequest>, now: Timestamp, cap_from: Timestamp) -> SearchFacts {
        let asked = request.request();
        let statement = request.text().statement.statement();
        let elements = u32::try_from(asked.elements.len()).unwrap_or(u32::MAX);
        SearchFacts {
            action: action_of(asked.purpose, statement.hold),
            officer: self.officer.clone(),
            owner: self.owner.clone(),
            archive_kind: self.archive_kind,
            now,
            from: asked.win_from,
            to: asked.win_to,
            window_days: days_up(asked.win_from, asked.win_to),
            age_days: Self::age_days(now, cap_from),
            purpose: asked.purpose,
            legal: LegalFacts {
                kind: asked.basis,
                judicial: self.paper.judicial,
                assurance: self.paper.assurance,
                valid_from: self.paper.valid_from,
                valid_until: self.paper.valid_until,
                case_number: statement.has_case_number(),
                offence: statement.offence.class,
                facts_stated: statement.has_facts(),
            },
            plates: plates_named(request),
            variants: elements,
            element_epochs: elements.saturating_mul(u32::try_from(self.epochs.len()).unwrap_or(u32::MAX)),
            on_behalf_of: self.on_behalf_of.clone(),
            approvers: self.approvers.clone(),
            approver_roles: self.approver_roles.clone(),
            mfa: self.mfa,
            // Stated beside another basis it is none, and the policy says so; stated as the basis it takes two people.
            emergency_declared: self.emergency.is_some() || (statement.emergency && asked.basis != Basis::Exigency),
            prior_same_plate_30d: self.prior_same_plate_30d,
            requests_last_24h: self.requests_last_24h,
            registered_owner: self.ownership.registered_owner,
            co_registrants_consent: self.ownership.co_registrants_consent,
        }
    }
}

/// What the rules are asked about. A hold is one whatever its purpose, so that none escapes the rules of holds.
pub(crate) const fn action_of(purpose: Purpose, hold: bool) -> Action {
    match (hold, purpose) {
        (true, _) => Action::HoldEvidence,
        (false, Purpose::OwnRecord) => Action::OwnerAccess,
        (false, _) => Action::Search,
    }
}

/// Days between two moments, rounded up; negative if `to` is before `from`.
pub(crate) fn days_up(from: Timestamp, to: Timestamp) -> i64 {
    let days = |seconds: u64| i64::try_from(seconds.div_ceil(DAY)).unwrap_or(i64::MAX);
    if to >= from {
        days(to.0.saturating_sub(from.0))
    } else {
        days(from.0.saturating_sub(to.0)).saturating_neg().min(-1)
    }
}

/// 1 if every element's input is a listed spelling of the one plate the statement names, at this owner; otherwise the
/// number of distinct texts, at least 2. A registered owner is answered about the plate as it is registered: a near spelling may
/// be the neighbour's.
pub(crate) fn plates_named(request: &Opened<SearchRequest>) -> u32 {
    let statement = request.text().statement.statement();
    let Ok(plate) = statement.plate.plate() else { return 0 };
    let listed = match action_of(request.request().purpose, statement.hold) {
        Action::OwnerAccess => BTreeSet::from([plate.fold()]),
        Action::Search | Action::HoldEvidence => crate::spellings::listed(plate.expose_text()),
    };
    let mut others = BTreeSet::new();
    for (input, _) in &request.text().elements {
        let at_owner = input.agency() == request.request().owner_agency;
        let state_fits = match (input.jurisdiction_text(), statement.plate.state) {
            ("?", _) | (_, None) => true,
            (code, Some(state)) => code == state.code(),
        };
        if !at_owner || !state_fits || !listed.contains(input.folded_text()) {
            others.insert(input.expose_bytes());
        }
    }
    if others.is_empty() { 1 } else { u32::try_from(others.len()).unwrap_or(u32::MAX).saturating_add(1) }
}

/// The public leaf of a decided request. `tags` are the keeper's notice tags under the nonce that the leaf will have.
pub(crate) fn request_leaf(
    request: &Opened<SearchRequest>,
    tags: &[NoticeTag],
    standing: &Standing,
    record: &DecisionRecord,
    engine: &str,
    charter: &CharterFile,
    rng: &mut impl CryptoRng,
) -> Result<RequestLeaf> {
    let statement = request.text().statement.statement();
    let digests = digests_of(request, tags)?;
    let keepers = charter.charter().keepers.len();
    let escrow = charter
        .charter()
        .auditors
        .iter()
        .zip(request.opening_hashes().iter().skip(keepers))
        .map(|(auditor, opening)| Escrow { auditor: auditor_digest(&auditor.opening_key), opening: *opening })
        .collect();
    let leaf = RequestLeaf {
        on_behalf_of: standing.on_behalf_of.id,
        action: action_of(request.request().purpose, statement.hold),
        assurance: standing.paper.assurance,
        judicial: standing.paper.judicial,
        emergency: statement.emergency,
        sd: SaltedDigests::new(fill_digests(&digests, SD_REQUEST, rng)?)?,
        escrow,
        ..bare_leaf(request.filed(), record, engine, charter, rng)?
    };
    Ok(leaf)
}

/// The public leaf of a request that could not be opened or whose facts could not be computed: digests are decoys.
pub(crate) fn bare_leaf(
    filed: &FiledRequest,
    record: &DecisionRecord,
    engine: &str,
    charter: &CharterFile,
    rng: &mut impl CryptoRng,
) -> Result<RequestLeaf> {
    let asked = filed.request.claimed();
    let owner = charter.charter().owner.id;
    let (decision, obligations, notice_days) = match record.outcome {
        Outcome::Allow(duties) => (RequestDecision::Allow, Some(duties), duties.notice_days),
        Outcome::Ask(duties) => (RequestDecision::Ask, Some(duties), duties.notice_days),
        Outcome::Deny => (RequestDecision::Deny, None::<Obligations>, NO_DUTIES_NOTICE_DAYS),
    };
    let window = asked.win_to.0.saturating_sub(asked.win_from.0).div_ceil(DAY);
    Ok(RequestLeaf {
        request: record.request_digest,
        owner,
        requester: asked.requester_agency,
        on_behalf_of: asked.requester_agency,
        officer: officer_pseudonym(owner, &asked.officer_key, record.time),
        // Whether it is a hold stands in the statement, which could not be read or did not count.
        action: action_of(asked.purpose, false),
        purpose: asked.purpose,
        basis: asked.basis,
        assurance: Assurance::None,
        judicial: false,
        emergency: false,
        authorisation: (asked.authorisation_digest != [0; 32]).then_some(asked.authorisation_digest),
        elements: u64::try_from(asked.elements.len()).unwrap_or(u64::MAX),
        window_days: window,
        epochs_allowed: u64::try_from(record.epochs.len()).unwrap_or(u64::MAX),
        epochs_refused: u64::from(record.epochs_refused),
        decision,
        rules: record.rules.clone(),
        obligations,
        policy: record.policy_digest,
        engine: engine.to_owned(),
        embargo: embargo_of(asked, record.time, notice_days),
        sd: SaltedDigests::new(fill_digests(&[], SD_REQUEST, rng)?)?,
        sd_alg: SdAlgorithm::Sha256,
        escrow: Vec::new(),
    })
}

/// Until when the embargoed fields of a request decided at `time` stay closed.
pub(crate) fn embargo_of(asked: &SearchRequest, time: Timestamp, notice_days: u32) -> Timestamp {
    let latest = time.0.saturating_add(u64::from(notice_days).saturating_mul(DAY));
    Timestamp(asked.notice_after.0.min(latest))
}

/// Window days in a leaf are an integer that JSON keeps; a hostile window cannot make the leaf unwritable.
pub(crate) fn check_window(request: &SearchRequest) -> Result<()> {
    const LATEST: u64 = 253_402_300_799;
    let sane =
        [request.win_from, request.win_to, request.not_after, request.notice_after].iter().all(|t| t.0 <= LATEST);
    if sane { Ok(()) } else { Err(Error::malformed("a request holds a time after the year 9999")) }
}

#[cfg(test)]
mod tests;

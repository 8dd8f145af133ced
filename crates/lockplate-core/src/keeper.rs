//! The keeper's order of work: decide, log, and only then answer; check a grant, log, and only then multiply. Everything here
//! is pure but for the log it owns. What the shell adds is storage, clocks and doors.
//!
//! The promise is in the types. A [`Decision`] comes only from [`Keeper::decide`], an approval only from a decision that the
//! log has made durable, an evaluation only from a checked grant that the log has made durable; each is consumed on the way.
//!
//! ```
//! use lockplate_core::keeper::{Answer, Decision, Keeper};
//! use lockplate_log::storage::LogStorage;
//! fn once<S: LogStorage>(keeper: &mut Keeper<S>, decision: Decision) -> lockplate_core::Result<Answer> {
//!     keeper.answer(decision)
//! }
//! ```
//! The same decision answered twice, a forged decision, and an approval without its leaf do not compile:
//! ```compile_fail,E0382
//! use lockplate_core::keeper::{Decision, Keeper};
//! use lockplate_log::storage::LogStorage;
//! fn twice<S: LogStorage>(keeper: &mut Keeper<S>, decision: Decision) {
//!     let _ = keeper.answer(decision);
//!     let _ = keeper.answer(decision);
//! }
//! ```
//! ```compile_fail,E0451
//! use lockplate_core::keeper::Decision;
//! fn forge(seen: Decision) -> Decision { Decision { ..seen } }
//! ```
//! ```compile_fail,E0624
//! use lockplate_core::keeper::Keeper;
//! use lockplate_log::storage::LogStorage;
//! fn unlogged<S: LogStorage>() { let _ = Keeper::<S>::approve; }
//! ```
//! ```compile_fail,E0624
//! use lockplate_core::keeper::Keeper;
//! use lockplate_log::storage::LogStorage;
//! fn unlogged<S: LogStorage>() { let _ = Keeper::<S>::multiply::<rand_chacha::ChaCha20Rng>; }
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use lockplate_log::append::{Entry, Log, Logged};
use lockplate_log::checkpoint::SignedCheckpoint;
use lockplate_log::note::NoteSignature;
use lockplate_log::storage::LogStorage;
use lockplate_oprf::oprf;
use lockplate_oprf::proof::{self, KeyStatement};
use lockplate_oprf::sharing::ShareIndex;
use rand_core::CryptoRng;

use crate::Timestamp;
use crate::approval::{Approval, Decided, Grant};
use crate::charter::CharterFile;
pub use crate::decision::{CodeRule, DecisionRecord, HumanDecision, Outcome, Verdict};
use crate::disclosure::Disclosure;
use crate::emergency::Declared;
use crate::entry::{
    EvaluationLeaf, HumanApprovalLeaf, LogEntry, LogKind, RequestDecision, Stamped, evaluated_grant, human_outcome,
    request_outcome,
};
use crate::envelope::encrypt;
use crate::epoch::{DealtShare, EpochClose, EpochHeader, HeldShare};
use crate::error::{Error, ErrorKind, Result};
use crate::evidence::{EpochInWindow, Standing};
use crate::facts::{AccessPolicy, Obligations, PolicyAnswer};
use crate::id::{EpochId, KeeperIndex};
use crate::limits::ELEMENT_EPOCHS_MAX;
use crate::notice::NoticeKey;
use crate::open::{Evaluation, EvaluationText, evaluation_info};
use crate::person::{ByPerson, PersonKey};
use crate::request::{FiledRequest, Opened, SearchRequest};
use crate::sign::{Signed, SigningKey, VerifyKey};
use crate::vocabulary::Assurance;

/// Requests of one person within 24 hours before which no hold is one too many; as `base.quota` for searches.
const HOLDS_A_DAY_MAX: u32 = 200;
/// Allowed requests for one plate within 30 days after which a hold needs a judge; as `base.repeat` for searches.
const HOLDS_OF_A_PLATE_MAX: u32 = 10;

/// One keeper of one owner, with its key and its log.
pub struct Keeper<S> {
    index: KeeperIndex,
    charter: CharterFile,
    key: SigningKey,
    notice: NoticeKey,
    policy: Box<dyn AccessPolicy + Send>,
    log: Log<S>,
    origin: String,
}

impl<S> core::fmt::Debug for Keeper<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Keeper({})", self.index.0)
    }
}

/// What a keeper decided, before anybody is told: only [`Keeper::decide`] and [`Keeper::refuse`] make one.
pub struct Decision {
    stamped: Stamped,
    record: DecisionRecord,
}

impl core::fmt::Debug for Decision {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Decision(..)")
    }
}

impl Entry for Decision {
    fn leaf(&self) -> Vec<u8> {
        self.stamped.leaf()
    }

    fn time(&self) -> u64 {
        self.stamped.time()
    }
}

/// What leaves a keeper. A refusal is an answer, not an error.
#[derive(Debug)]
pub enum Answer {
    /// A signed yes.
    Approved {
        /// To be shown to the other keepers.
        approval: Signed<Approval>,
        /// For the shell to keep.
        record: DecisionRecord,
    },
    /// The rules allow it; a human is asked.
    Waiting {
        /// For the shell to keep, and to hand to [`Keeper::conclude`].
        record: DecisionRecord,
    },
    /// A signed no.
    Refused {
        /// The refusal.
        approval: Signed<Approval>,
        /// For the shell to keep; names the rules.
        record: DecisionRecord,
    },
}

impl Answer {
    /// What the shell keeps.
    #[must_use]
    pub const fn record(&self) -> &DecisionRecord {
        match self {
            Self::Approved { record, .. } | Self::Waiting { record } | Self::Refused { record, .. } => record,
        }
    }
}

/// Evidence that an epoch is closed: the recorder signed its header and its close. Nothing in it is secret or changes, so that it is made
/// once an epoch and not once a request. Only [`ClosedEpoch::new`] makes one.
#[derive(Debug)]
pub struct ClosedEpoch {
    header: EpochHeader,
    dealt: DealtShare,
}

impl ClosedEpoch {
    /// From the recorder's signed header and close, for the keeper at a place.
    ///
    /// # Errors
    /// As [`DealtShare::of`]; `Invalid` if a signature is not the recorder's, or the close belongs to another header: an open epoch would be live tracking, and
    /// is never evaluated.
    pub fn new(
        header: &Signed<EpochHeader>,
        close: &Signed<EpochClose>,
        recorder: &VerifyKey,
        index: KeeperIndex,
    ) -> Result<Self> {
        let header = header.verify(recorder)?;
        let dealt = DealtShare::of(header, index)?;
        if close.verify(recorder)?.header_hash != *dealt.header_hash() {
            return Err(Error::invalid("a close belongs to another epoch"));
        }
        Ok(Self { header: header.clone(), dealt })
    }

    /// What the keeper's share of it must fit.
    #[must_use]
    pub const fn dealt(&self) -> &DealtShare {
        &self.dealt
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &EpochHeader {
        &self.header
    }
}

/// Evidence that an epoch is closed and that this keeper holds its share: the only thing it evaluates. Only
/// [`HeldEpoch::new`] makes one.
#[derive(Debug)]
pub struct HeldEpoch {
    closed: Arc<ClosedEpoch>,
    share: HeldShare,
}

impl HeldEpoch {
    /// From a closed epoch and the stored share.
    ///
    /// # Errors
    /// `Invalid` if the share belongs to another header.
    pub fn new(closed: Arc<ClosedEpoch>, share: HeldShare) -> Result<Self> {
        if share.header_hash() != *closed.dealt.header_hash() {
            return Err(Error::invalid("a share belongs to another epoch"));
        }
        Ok(Self { closed, share })
    }
}

/// Evidence that a grant may be multiplied: t approvals of one digest, own yes, closed and held epochs. Only
/// [`Keeper::evaluate`] makes one, and the log consumes it.
pub struct ValidGrant {
    stamped: Stamped,
    grant: Grant,
    epochs: Vec<HeldEpoch>,
}

impl core::fmt::Debug for ValidGrant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ValidGrant(..)")
    }
}

impl Entry for ValidGrant {
    fn leaf(&self) -> Vec<u8> {
        self.stamped.leaf()
    }

    fn time(&self) -> u64 {
        self.stamped.time()
    }
}

impl<S: LogStorage> Keeper<S> {
    /// A keeper at its place in a verified charter, with its signing key, the key of its notice tags and its log.
    ///
    /// # Errors
    /// `Invalid` if the key is not the charter's key of that keeper.
    pub fn new(
        index: KeeperIndex,
        charter: CharterFile,
        key: SigningKey,
        notice: NoticeKey,
        policy: Box<dyn AccessPolicy + Send>,
        log: Log<S>,
    ) -> Result<Self> {
        let entry = charter.charter().keeper(index).ok_or(Error::invalid("the charter has no such keeper"))?;
        if entry.key.public_key() != key.verify_key().0 {
            return Err(Error::invalid("the key is not the charter's key of this keeper"));
        }
        let origin = entry.log_key.name().as_str().to_owned();
        Ok(Self { index, charter, key, notice, policy, log, origin })
    }

    /// Decides a request on facts the keeper verified itself. Pure; consumes the request.
    ///
    /// # Errors
    /// `Internal` if the leaf cannot be written.
    pub fn decide(
        &self,
        request: Opened<SearchRequest>,
        standing: &Standing,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Decision> {
        crate::evidence::check_window(request.request())?;
        let verdict = match self.code_rule(&request, standing, now) {
            Some(rule) => PolicyVerdict::refused_by(rule),
            None => self.ask_policy(&request, standing, now),
        };
        let mut record = self.record(request.filed(), verdict, standing.ask_human, standing.epochs_destroyed, now);
        if standing.paper.assurance != Assurance::None {
            record.not_after = record.not_after.min(standing.paper.valid_until);
        }
        if record.outcome != Outcome::Deny {
            record.paper_due = standing.emergency.map(Declared::deadline);
        }
        // The nonce comes first: the notice tags, which the leaf commits to, hang on it.
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let tags = self.notice.tags(request.text().elements.iter().map(|(input, _)| input), &nonce)?;
        let engine = self.policy.engine();
        let leaf = crate::evidence::request_leaf(&request, &tags, standing, &record, engine, &self.charter, rng)?;
        let entry = LogEntry::Request(Box::new(leaf));
        let stamped = Stamped::with_nonce(entry, LogKind::Keeper, &self.origin, now, nonce)?;
        Ok(Decision { stamped, record })
    }

    /// Refuses a request whose officer signature is good, but that cannot be decided: the Opening does not open, or a fact
    /// cannot be computed. It is logged like any other refusal.
    ///
    /// # Errors
    /// `Invalid` if the officer's signature is not good: strangers could fill the log.
    pub fn refuse(
        &self,
        filed: &FiledRequest,
        rule: CodeRule,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Decision> {
        filed.verify()?;
        crate::evidence::check_window(filed.request.claimed())?;
        let record = self.record(filed, PolicyVerdict::refused_by(rule), false, 0, now);
        let leaf = crate::evidence::bare_leaf(filed, &record, self.policy.engine(), &self.charter, rng)?;
        let stamped = self.stamp(LogEntry::Request(Box::new(leaf)), now, rng)?;
        Ok(Decision { stamped, record })
    }

    /// Makes the decision durable, then tells it. Refusals are logged as well.
    ///
    /// # Errors
    /// `Unavailable` if the log cannot be written: then nothing is told.
    pub fn answer(&mut self, decision: Decision) -> Result<Answer> {
        let logged = self.log.append(decision).map_err(log_failed)?;
        Ok(self.approve(logged))
    }

    /// As [`Keeper::answer`] for several at once, in order, under one signed head: what a keeper with many callers does.
    ///
    /// # Errors
    /// `Unavailable` if the log cannot be written: then nothing is told to anybody.
    pub fn answer_batch(&mut self, decisions: Vec<Decision>) -> Result<Vec<Answer>> {
        let logged = self.log.append_batch(decisions).map_err(log_failed)?;
        Ok(logged.into_iter().map(|logged| self.approve(logged)).collect())
    }

    /// The answer to a request whose leaf is durable already, because the process ended between the leaf and the answer. The
    /// leaf is read back and must be for the same request; if it says no, the answer is no.
    ///
    /// # Errors
    /// `Internal` if the leaf is not a request leaf of this request.
    pub fn resume(&mut self, mut decision: Decision, leaf_index: u64) -> Result<Answer> {
        let torn = Error::internal("a leaf is not the request's");
        let leaf = request_outcome(&self.log.leaf(leaf_index).map_err(log_failed)?).ok_or_else(|| torn.clone())?;
        if leaf.request != decision.record.request_digest {
            return Err(torn);
        }
        // The public leaf binds: a fresh decision may only be stricter than it.
        match (leaf.decision, &decision.record.outcome) {
            (RequestDecision::Deny, _) => {
                decision.record.outcome = Outcome::Deny;
                decision.record.epochs.clear();
            }
            (RequestDecision::Ask, Outcome::Allow(duties)) => decision.record.outcome = Outcome::Ask(*duties),
            (RequestDecision::Ask | RequestDecision::Allow, _) => {}
        }
        Ok(self.approve_at(decision.record, leaf_index))
    }

    fn approve(&self, logged: Logged<Decision>) -> Answer {
        let index = logged.index();
        self.approve_at(logged.into_inner().record, index)
    }

    fn approve_at(&self, mut record: DecisionRecord, leaf_index: u64) -> Answer {
        record.leaf_index = Some(leaf_index);
        match record.outcome {
            Outcome::Allow(_) => Answer::Approved {
                approval: self.sign_approval(&record, Decided::ApprovedByRule, record.time, leaf_index),
                record,
            },
            Outcome::Ask(_) => Answer::Waiting { record },
            Outcome::Deny => Answer::Refused {
                approval: self.sign_approval(&record, Decided::RefusedByRule, record.time, leaf_index),
                record,
            },
        }
    }

    /// Ends the waiting of a request by the signed decision of one of this keeper's people: leaf first, then the answer. The
    /// disclosure opens who decided; the shell keeps it with the request's Opening.
    ///
    /// # Errors
    /// `Invalid` if the request does not wait, the decision is for another one, or the key is none of this keeper's people;
    /// `Unavailable` if the log cannot be written.
    pub fn conclude(
        &mut self,
        record: DecisionRecord,
        decision: &ByPerson<HumanDecision>,
        human: &PersonKey,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(Answer, Disclosure)> {
        let entry = self.charter.charter().keeper(self.index).ok_or(Error::internal("a keeper without its charter"))?;
        if !entry.human_keys.contains(&human.id()) {
            return Err(Error::invalid("the key is not that of a person who decides for this keeper"));
        }
        let value = decision.verify(human)?;
        if value.request_digest != record.request_digest || value.index != self.index {
            return Err(Error::invalid("the decision is for another request or keeper"));
        }
        let (Outcome::Ask(_), Some(request_index)) = (&record.outcome, record.leaf_index) else {
            return Err(Error::invalid("the request does not wait for a person"));
        };
        if now >= record.not_after {
            return Err(Error::invalid("the request has expired"));
        }
        let (leaf, who) = HumanApprovalLeaf::new(&record, request_index, value.verdict, &human.id(), rng)?;
        let stamped = self.stamp(LogEntry::Approval(leaf), now, rng)?;
        let leaf_index = self.log.append(stamped).map_err(log_failed)?.index();
        Ok((self.finish(record, leaf_index)?, who))
    }

    /// The end of the waiting of a request whose `approval` leaf is durable already, because the process ended between the leaf
    /// and the answer. The leaf is read back and decides; nobody is asked again.
    ///
    /// # Errors
    /// `Internal` if the leaf is not a person's decision on this request.
    pub fn finish(&self, mut record: DecisionRecord, leaf_index: u64) -> Result<Answer> {
        let torn = Error::internal("a leaf is not a decision on the request");
        let leaf = human_outcome(&self.log.leaf(leaf_index).map_err(log_failed)?).ok_or_else(|| torn.clone())?;
        if leaf.request != record.request_digest || Some(leaf.request_index) != record.leaf_index {
            return Err(torn);
        }
        if leaf.approved {
            let approval = self.sign_approval(&record, Decided::ApprovedByHuman, leaf.time, leaf_index);
            Ok(Answer::Approved { approval, record })
        } else {
            record.outcome = Outcome::Deny;
            record.epochs.clear();
            let approval = self.sign_approval(&record, Decided::RefusedByHuman, leaf.time, leaf_index);
            Ok(Answer::Refused { approval, record })
        }
    }

    /// Checks a grant against this keeper's own record, logs the evaluation, and only then multiplies. `epochs` are those of
    /// the grant, in its order, closed and held. `resumed` is the index of the evaluation leaf where the process ended between
    /// leaf and answer; the leaf is read back and no second one is written.
    ///
    /// # Errors
    /// `TooFewKeepers` or `Invalid` if the grant does not hold; `Unavailable` if the log cannot be written.
    pub fn evaluate<R: CryptoRng>(
        &mut self,
        grant: Grant,
        record: &DecisionRecord,
        epochs: Vec<HeldEpoch>,
        resumed: Option<u64>,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Signed<Evaluation>> {
        let valid = self.check_grant(grant, record, epochs, now, rng)?;
        if let Some(index) = resumed {
            let leaf = self.log.leaf(index).map_err(log_failed)?;
            if evaluated_grant(&leaf) != Some(valid.grant.digest()) {
                return Err(Error::internal("a leaf is not the grant's"));
            }
            return self.multiply_checked(valid, rng);
        }
        let logged = self.log.append(valid).map_err(log_failed)?;
        self.multiply(logged, rng)
    }

    fn check_grant(
        &self,
        grant: Grant,
        record: &DecisionRecord,
        epochs: Vec<HeldEpoch>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<ValidGrant> {
        let request = grant.request.verify(&VerifyKey(grant.request.claimed().officer_key))?;
        if grant.request.signed_hash() != record.request_digest {
            return Err(Error::invalid("the grant is for another request than the one decided"));
        }
        let humans = match record.outcome {
            Outcome::Allow(obligations) | Outcome::Ask(obligations) => obligations.approvers,
            Outcome::Deny => return Err(Error::invalid("this keeper refused the request")),
        };
        if now >= record.not_after {
            return Err(Error::invalid("the request has expired"));
        }
        grant.check_approvals(self.charter.charter(), &record.policy_digest, humans)?;
        if grant.epoch_ids.is_empty() || grant.epoch_ids.iter().any(|id| record.epochs.binary_search(id).is_err()) {
            return Err(Error::invalid("the grant names an epoch that this keeper did not allow"));
        }
        let mut held = epochs.iter().map(|epoch| epoch.closed.header.epoch_id);
        if !held.by_ref().eq(grant.epoch_ids.iter().copied()) {
            return Err(Error::internal("held epochs and the grant's are not in the same order"));
        }
        for header in epochs.iter().map(|epoch| &epoch.closed.header) {
            let inside = request.win_from <= header.cap_from && header.cap_to <= request.win_to;
            if !inside || header.agency != request.owner_agency || header.agency != self.charter.charter().owner.id {
                return Err(Error::invalid("an epoch lies outside the request's window or archive"));
            }
            if header.destroy_after <= now {
                return Err(Error::new(ErrorKind::EpochDestroyed, "an epoch is past its retention"));
            }
        }
        let leaf = EvaluationLeaf {
            request: record.request_digest,
            grant: grant.digest(),
            epochs: u64::try_from(epochs.len()).unwrap_or(u64::MAX),
            elements: u64::try_from(request.elements.len()).unwrap_or(u64::MAX),
        };
        let stamped = self.stamp(LogEntry::Evaluation(leaf), now, rng)?;
        Ok(ValidGrant { stamped, grant, epochs })
    }

    fn multiply<R: CryptoRng>(&self, logged: Logged<ValidGrant>, rng: &mut R) -> Result<Signed<Evaluation>> {
        self.multiply_checked(logged.into_inner(), rng)
    }

    fn multiply_checked<R: CryptoRng>(&self, valid: ValidGrant, rng: &mut R) -> Result<Signed<Evaluation>> {
        let ValidGrant { grant, epochs, .. } = valid;
        let grant_digest = grant.digest();
        let request = grant.request.claimed();
        let at = ShareIndex::new(self.index.0)?;
        let shares: Vec<_> = epochs.iter().map(|epoch| &epoch.share.share).collect();
        let mut elements = Vec::with_capacity(request.elements.len());
        for element in &request.elements {
            let evaluated = oprf::blind_evaluate_each(&shares, &element.blinded)?;
            let dealt = epochs.iter().map(|epoch| &epoch.closed.dealt);
            let statements: Vec<KeyStatement<'_>> = dealt
                .zip(&evaluated)
                .map(|(dealt, evaluated)| KeyStatement {
                    header_hash: dealt.header_hash(),
                    public_share: dealt.public_share(),
                    evaluated,
                })
                .collect();
            let proof = proof::prove(&grant_digest, at, &element.blinded, &statements, &shares, rng)?;
            elements.push((proof, evaluated));
        }
        let peppers =
            epochs.iter().map(|epoch| (epoch.closed.header.epoch_id, epoch.share.pepper.to_bytes())).collect();
        let text = EvaluationText { peppers, elements }.encode();
        let sealed = encrypt(&request.response_pk, &evaluation_info(&grant_digest), &[self.index.0], &text, rng)?;
        Ok(self.key.sign(Evaluation { grant_digest, index: self.index, sealed }))
    }

    fn code_rule(&self, opened: &Opened<SearchRequest>, standing: &Standing, now: Timestamp) -> Option<CodeRule> {
        let (owner, request) = (self.charter.charter().owner.id, opened.request());
        let element_epochs = request.elements.len().saturating_mul(standing.epochs.len());
        // The base pack counts searches. A hold opens reads too, so that uncounted it would be a search without end.
        let hold = opened.text().statement.statement().hold;
        let followed = standing.prior_same_plate_30d >= HOLDS_OF_A_PLATE_MAX && !standing.paper.judicial;
        let too_many = standing.requests_last_24h >= HOLDS_A_DAY_MAX || followed;
        if request.owner_agency != owner {
            Some(CodeRule::Facts)
        } else if now >= request.not_after {
            Some(CodeRule::Expired)
        } else if standing.replayed {
            Some(CodeRule::Replay)
        } else if element_epochs > ELEMENT_EPOCHS_MAX || (hold && too_many) {
            Some(CodeRule::Quota)
        } else {
            None
        }
    }

    fn ask_policy(&self, request: &Opened<SearchRequest>, standing: &Standing, now: Timestamp) -> PolicyVerdict {
        let mut verdict = PolicyVerdict::default();
        let facts = standing.facts(request, now, request.request().win_from);
        if standing.epochs.is_empty() {
            match self.policy.rule_on(&facts) {
                PolicyAnswer::Deny { rules } => verdict.rules.extend(rules),
                PolicyAnswer::Allow { .. } => {
                    verdict.rules.insert(CodeRule::Epochs.id().to_owned());
                }
            }
            return verdict;
        }
        let age = |epoch: &EpochInWindow| Standing::age_days(now, epoch.cap_from);
        let ages: BTreeSet<i64> = standing.epochs.iter().map(age).collect();
        let answers = self.policy.rule_on_ages(&facts, &ages);
        let mut permits = BTreeSet::new();
        for answer in answers.values() {
            match answer {
                PolicyAnswer::Allow { rules, obligations } => {
                    permits.extend(rules.iter().cloned());
                    let strictest = verdict.obligations.map_or(*obligations, |before| strictest(before, *obligations));
                    verdict.obligations = Some(strictest);
                }
                PolicyAnswer::Deny { rules } => verdict.rules.extend(rules.iter().cloned()),
            }
        }
        for epoch in &standing.epochs {
            match answers.get(&age(epoch)) {
                Some(PolicyAnswer::Allow { .. }) => verdict.epochs.push(epoch.epoch_id),
                Some(PolicyAnswer::Deny { .. }) | None => verdict.refused = verdict.refused.saturating_add(1),
            }
        }
        verdict.rules.extend(permits);
        verdict.epochs.sort_unstable();
        verdict
    }

    fn record(
        &self,
        filed: &FiledRequest,
        verdict: PolicyVerdict,
        ask_human: bool,
        epochs_destroyed: u32,
        now: Timestamp,
    ) -> DecisionRecord {
        let request = filed.request.claimed();
        let outcome = match verdict.obligations {
            Some(obligations) if obligations.approvers > 0 && ask_human => Outcome::Ask(obligations),
            Some(obligations) => Outcome::Allow(obligations),
            None => Outcome::Deny,
        };
        DecisionRecord {
            request_digest: filed.request.signed_hash(),
            request_id: request.request_id.0,
            officer_key: request.officer_key,
            outcome,
            rules: verdict.rules,
            epochs: verdict.epochs,
            epochs_refused: verdict.refused,
            epochs_destroyed,
            paper_due: None,
            policy_digest: self.policy.digest(),
            not_after: request.not_after,
            time: now,
            leaf_index: None,
        }
    }

    fn sign_approval(
        &self,
        record: &DecisionRecord,
        decision: Decided,
        time: Timestamp,
        leaf_index: u64,
    ) -> Signed<Approval> {
        self.key.sign(Approval {
            request_digest: record.request_digest,
            keeper_key: self.key.verify_key().0,
            decision,
            opened: !record.rules.contains(CodeRule::Opening.id()),
            policy_digest: record.policy_digest,
            time,
            log_origin: self.origin.clone(),
            leaf_index,
            epochs: if decision.is_approval() { record.epochs.clone() } else { Vec::new() },
        })
    }

    fn stamp(&self, entry: LogEntry, now: Timestamp, rng: &mut impl CryptoRng) -> Result<Stamped> {
        Stamped::new(entry, LogKind::Keeper, &self.origin, now, rng)
    }

    /// Appends a statement about shares, charters, policies or keys: it is durable when this returns.
    ///
    /// # Errors
    /// `Invalid` if the entry is a request, approval or evaluation, which have their own doors; `Unavailable` if the log cannot
    /// be written.
    pub fn state(&mut self, entries: Vec<LogEntry>, now: Timestamp, rng: &mut impl CryptoRng) -> Result<Vec<u64>> {
        if entries.iter().any(|e| matches!(e, LogEntry::Request(_) | LogEntry::Approval(_) | LogEntry::Evaluation(_))) {
            return Err(Error::invalid("this entry is written by its own step only"));
        }
        let stamped = entries.into_iter().map(|entry| self.stamp(entry, now, rng)).collect::<Result<Vec<_>>>()?;
        let logged = self.log.append_batch(stamped).map_err(log_failed)?;
        Ok(logged.iter().map(Logged::index).collect())
    }

    /// Shows a head of this log to strangers, with the cosignatures that its witnesses gave; the caller has counted them.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be written, is not this log's, or is smaller than what they see already.
    pub fn publish(&mut self, head: &SignedCheckpoint, cosignatures: &[NoteSignature]) -> Result<()> {
        self.log.publish(head, cosignatures).map_err(log_failed)
    }

    /// The keeper's log, for reading.
    #[must_use]
    pub const fn log(&self) -> &Log<S> {
        &self.log
    }

    /// Its place in the charter.
    #[must_use]
    pub const fn index(&self) -> KeeperIndex {
        self.index
    }

    /// Its charter.
    #[must_use]
    pub const fn charter(&self) -> &CharterFile {
        &self.charter
    }

    /// The key of its notice tags: for what is published after the embargo, and for owners' codes.
    #[must_use]
    pub const fn notice_key(&self) -> &NoticeKey {
        &self.notice
    }

    /// Its signing key: prekeys and receipts are signed by the shell through it.
    #[must_use]
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Decides by another policy from now on. The caller has logged the change, and its time has come; requests in hand keep the digest they
    /// were decided under.
    pub fn adopt(&mut self, policy: Box<dyn AccessPolicy + Send>) {
        self.policy = policy;
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &dyn AccessPolicy {
        self.policy.as_ref()
    }
}

#[derive(Default)]
struct PolicyVerdict {
    rules: BTreeSet<String>,
    epochs: Vec<EpochId>,
    refused: u32,
    obligations: Option<Obligations>,
}

impl PolicyVerdict {
    fn refused_by(rule: CodeRule) -> Self {
        Self { rules: BTreeSet::from([rule.id().to_owned()]), ..Self::default() }
    }
}

fn strictest(a: Obligations, b: Obligations) -> Obligations {
    Obligations {
        approvers: a.approvers.max(b.approvers),
        retain_days: a.retain_days.min(b.retain_days),
        notice_days: a.notice_days.min(b.notice_days),
        confirm_visual: a.confirm_visual || b.confirm_visual,
    }
}

fn log_failed(error: lockplate_log::Error) -> Error {
    let what = if matches!(error, lockplate_log::Error::ClockBack) {
        "clock-back: the clock is behind the newest entry of the log"
    } else {
        "the log cannot be written"
    };
    Error::new(ErrorKind::Unavailable, what)
}

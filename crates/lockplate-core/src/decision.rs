//! What a keeper decided, as data: the record it keeps of a request, the reasons of its own beside the policy's, and the signed
//! word of its people. No plate is in any of it. [`keeper`](crate::keeper) makes and consumes these.

use std::collections::BTreeSet;

use crate::Timestamp;
use crate::error::{Error, Result};
use crate::facts::Obligations;
use crate::id::{EpochId, KeeperIndex};
use crate::limits::ELEMENT_EPOCHS_MAX;
use crate::sign::Statement;
use crate::wire::{Reader, Writer};

/// Version of the stored form of a decision; earlier ones are read.
const RECORD_VERSION: u8 = 2;

/// The outcome of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed by rule.
    Allow(Obligations),
    /// Allowed by rule; this keeper's human is asked.
    Ask(Obligations),
    /// Refused.
    Deny,
}

/// What a keeper keeps of a request it decided: enough to check a grant and to answer a retry. It holds no plate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// The request's digest.
    pub request_digest: [u8; 32],
    /// The requester's own name for it.
    pub request_id: [u8; 16],
    /// The officer's key id.
    pub officer_key: [u8; 32],
    /// What was decided.
    pub outcome: Outcome,
    /// Ids of the rules that took part, sorted.
    pub rules: BTreeSet<String>,
    /// Epochs allowed, sorted.
    pub epochs: Vec<EpochId>,
    /// Closed epochs inside the window that the rules refuse.
    pub epochs_refused: u32,
    /// Epochs inside the window whose keys are destroyed.
    pub epochs_destroyed: u32,
    /// When the paper of a declared emergency is due, if the request is one and is allowed.
    pub paper_due: Option<Timestamp>,
    /// Policy bundle in force.
    pub policy_digest: [u8; 32],
    /// Nothing is evaluated from this moment on.
    pub not_after: Timestamp,
    /// When it was decided.
    pub time: Timestamp,
    /// Index of the request's leaf; `None` until it is durable.
    pub leaf_index: Option<u64>,
}

impl DecisionRecord {
    /// The stored form; fixed order, read back by [`DecisionRecord::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(RECORD_VERSION).raw(&self.request_digest).raw(&self.request_id).raw(&self.officer_key);
        let (code, duties) = match self.outcome {
            Outcome::Allow(duties) => (1, duties),
            Outcome::Ask(duties) => (2, duties),
            Outcome::Deny => (3, Obligations { approvers: 0, retain_days: 0, notice_days: 0, confirm_visual: false }),
        };
        w.u8(code).u8(duties.approvers).u32(duties.retain_days).u32(duties.notice_days);
        w.u8(u8::from(duties.confirm_visual)).u8(u8::try_from(self.rules.len()).unwrap_or(u8::MAX));
        for rule in self.rules.iter().take(usize::from(u8::MAX)) {
            w.lv8(rule.as_bytes());
        }
        w.u32(u32::try_from(self.epochs.len()).unwrap_or(u32::MAX));
        for epoch in &self.epochs {
            w.raw(&epoch.0);
        }
        w.u32(self.epochs_refused).u32(self.epochs_destroyed).raw(&self.policy_digest);
        w.u64(self.not_after.0).u64(self.time.0).u64(self.leaf_index.unwrap_or(u64::MAX));
        w.u64(self.paper_due.map_or(0, |due| due.0)).finish()
    }

    /// Reads the stored form; total.
    ///
    /// # Errors
    /// `Malformed` if the bytes are not what [`DecisionRecord::to_bytes`] writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let torn = Error::malformed("a stored decision is not well-formed");
        let mut r = Reader::new(bytes);
        let version = r.u8()?;
        if !(1..=RECORD_VERSION).contains(&version) {
            return Err(torn);
        }
        let (request_digest, request_id, officer_key) = (r.array()?, r.array()?, r.array()?);
        let code = r.u8()?;
        let duties = Obligations {
            approvers: r.u8()?,
            retain_days: r.u32()?,
            notice_days: r.u32()?,
            confirm_visual: r.u8()? == 1,
        };
        let outcome = match code {
            1 => Outcome::Allow(duties),
            2 => Outcome::Ask(duties),
            3 => Outcome::Deny,
            _ => return Err(torn),
        };
        let mut rules = BTreeSet::new();
        for _ in 0..r.u8()? {
            rules.insert(core::str::from_utf8(r.lv8()?).map_err(|_utf8| torn.clone())?.to_owned());
        }
        let count = usize::try_from(r.u32()?).unwrap_or(usize::MAX);
        if count > ELEMENT_EPOCHS_MAX {
            return Err(torn);
        }
        let epochs = (0..count).map(|_| Ok(EpochId(r.array()?))).collect::<Result<_>>()?;
        let mut record = Self {
            request_digest,
            request_id,
            officer_key,
            outcome,
            rules,
            epochs,
            epochs_refused: r.u32()?,
            epochs_destroyed: r.u32()?,
            paper_due: None,
            policy_digest: r.array()?,
            not_after: Timestamp(r.u64()?),
            time: Timestamp(r.u64()?),
            leaf_index: Some(r.u64()?).filter(|index| *index != u64::MAX),
        };
        if version >= 2 {
            record.paper_due = Some(Timestamp(r.u64()?)).filter(|due| due.0 != 0);
        }
        r.end()?;
        Ok(record)
    }
}

/// Reasons for which a keeper refuses before, or beside, the policy (`log.md` section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeRule {
    /// The Opening does not open, or does not say what the request binds.
    Opening,
    /// The request is past its `not_after`.
    Expired,
    /// The requester used this request id before.
    Replay,
    /// No closed epoch lies inside the window.
    Epochs,
    /// More element-epochs than one request may have.
    Quota,
    /// A fact could not be computed.
    Facts,
}

impl CodeRule {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Opening, Self::Expired, Self::Replay, Self::Epochs, Self::Quota, Self::Facts];

    /// The rule's id.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Opening => "keeper.opening",
            Self::Expired => "keeper.expired",
            Self::Replay => "keeper.replay",
            Self::Epochs => "keeper.epochs",
            Self::Quota => "keeper.quota",
            Self::Facts => "keeper.facts",
        }
    }
}

/// A human keeper's signed decision on a waiting request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HumanDecision {
    /// The request.
    pub request_digest: [u8; 32],
    /// The keeper.
    pub index: KeeperIndex,
    /// Approve, or refuse with a reason.
    pub verdict: Verdict,
    /// The human's clock.
    pub time: Timestamp,
}

/// Yes, or no with a reason from the closed list of `log.md` section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// The paper cannot be read or judged.
    PaperUnclear,
    /// The paper names another plate.
    WrongPlate,
    /// The paper does not cover what is asked.
    OutOfScope,
    /// The keeper doubts what is stated.
    Doubt,
    /// Another reason.
    Other,
}

impl Verdict {
    const ALL: [Self; 6] =
        [Self::Approve, Self::PaperUnclear, Self::WrongPlate, Self::OutOfScope, Self::Doubt, Self::Other];

    const fn code(self) -> u8 {
        match self {
            Self::Approve => 0,
            Self::PaperUnclear => 1,
            Self::WrongPlate => 2,
            Self::OutOfScope => 3,
            Self::Doubt => 4,
            Self::Other => 5,
        }
    }

    /// Name of the reason in the leaf and on the command line; `approve` for a yes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::PaperUnclear => "paper_unclear",
            Self::WrongPlate => "wrong_plate",
            Self::OutOfScope => "out_of_scope",
            Self::Doubt => "doubt",
            Self::Other => "other",
        }
    }

    /// From its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

impl Statement for HumanDecision {
    const LABEL: &'static str = "human-decision";
    const BYTES_MAX: usize = 42;

    fn encode(&self) -> Vec<u8> {
        Writer::new().raw(&self.request_digest).u8(self.index.0).u8(self.verdict.code()).u64(self.time.0).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let (request_digest, index, code) = (r.array()?, KeeperIndex(r.u8()?), r.u8()?);
        let verdict = Verdict::ALL
            .into_iter()
            .find(|verdict| verdict.code() == code)
            .ok_or(Error::malformed("a human decision has an unknown verdict"))?;
        let decision = Self { request_digest, index, verdict, time: Timestamp(r.u64()?) };
        r.end()?;
        Ok(decision)
    }
}

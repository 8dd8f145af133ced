//! Approvals and grants (LPv1 section 8). One keeper's signed yes or no, and the quorum of them. A grant is only a bundle of
//! bytes until a keeper has checked it against its own record: see [`keeper`](crate::keeper).

use std::collections::BTreeSet;

use crate::Timestamp;
use crate::charter::{Charter, fold_entity};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{EpochId, KeeperIndex};
use crate::limits::{ELEMENT_EPOCHS_MAX, KEEPERS_MAX};
use crate::request::SearchRequest;
use crate::sign::{Signed, Statement, VerifyKey};
use crate::wire::{Reader, Writer, th};

/// How a keeper decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// 1: approved by rule.
    ApprovedByRule,
    /// 2: approved by a human.
    ApprovedByHuman,
    /// 3: refused by rule.
    RefusedByRule,
    /// 4: refused by a human.
    RefusedByHuman,
}

impl Decided {
    const fn code(self) -> u8 {
        match self {
            Self::ApprovedByRule => 1,
            Self::ApprovedByHuman => 2,
            Self::RefusedByRule => 3,
            Self::RefusedByHuman => 4,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::ApprovedByRule),
            2 => Some(Self::ApprovedByHuman),
            3 => Some(Self::RefusedByRule),
            4 => Some(Self::RefusedByHuman),
            _ => None,
        }
    }

    /// A yes?
    #[must_use]
    pub const fn is_approval(self) -> bool {
        matches!(self, Self::ApprovedByRule | Self::ApprovedByHuman)
    }
}

/// One keeper's signed answer to a request. `leaf_index` in the log named `log_origin` is where it stands in public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// What is answered.
    pub request_digest: [u8; 32],
    /// Who answers: the keeper's signing key.
    pub keeper_key: [u8; 32],
    /// Yes or no.
    pub decision: Decided,
    /// The keeper has opened its Opening and recomputed every B.
    pub opened: bool,
    /// Policy bundle in force.
    pub policy_digest: [u8; 32],
    /// The keeper's clock.
    pub time: Timestamp,
    /// The keeper's log.
    pub log_origin: String,
    /// Its leaf.
    pub leaf_index: u64,
    /// The epochs this keeper's rules allow, sorted; empty for a refusal.
    pub epochs: Vec<EpochId>,
}

impl Statement for Approval {
    const LABEL: &'static str = "approve";
    const BYTES_MAX: usize = 32 + 32 + 2 + 32 + 8 + 256 + 8 + 4 + 16 * ELEMENT_EPOCHS_MAX;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(&self.request_digest).raw(&self.keeper_key).u8(self.decision.code()).u8(u8::from(self.opened));
        w.raw(&self.policy_digest).u64(self.time.0).lv8(self.log_origin.as_bytes()).u64(self.leaf_index);
        write_epochs(&mut w, &self.epochs);
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let approval = Self {
            request_digest: r.array()?,
            keeper_key: r.array()?,
            decision: Decided::from_code(r.u8()?).ok_or(Error::malformed("an approval has an unknown decision"))?,
            opened: match r.u8()? {
                0 => false,
                1 => true,
                _ => return Err(Error::malformed("an approval has a flag that is neither 0 nor 1")),
            },
            policy_digest: r.array()?,
            time: Timestamp(r.u64()?),
            log_origin: core::str::from_utf8(r.lv8()?)
                .map_err(|_utf8| Error::malformed("a log origin is not UTF-8"))?
                .to_owned(),
            leaf_index: r.u64()?,
            epochs: read_epochs(&mut r)?,
        };
        r.end()?;
        Ok(approval)
    }
}

fn write_epochs(w: &mut Writer, epochs: &[EpochId]) {
    w.u32(u32::try_from(epochs.len()).unwrap_or(u32::MAX));
    for epoch in epochs {
        w.raw(&epoch.0);
    }
}

fn read_epochs(r: &mut Reader<'_>) -> Result<Vec<EpochId>> {
    let count = usize::try_from(r.u32()?).unwrap_or(usize::MAX);
    if count > ELEMENT_EPOCHS_MAX {
        return Err(Error::malformed("a list of epochs is too long"));
    }
    let mut epochs = Vec::with_capacity(count);
    for _ in 0..count {
        let epoch = EpochId(r.array()?);
        if epochs.last().is_some_and(|last| *last >= epoch) {
            return Err(Error::malformed("a list of epochs is not sorted"));
        }
        epochs.push(epoch);
    }
    Ok(epochs)
}

/// The quorum of approvals: one request, at least t approvals, the epochs to evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The request with the officer's signature.
    pub request: Signed<SearchRequest>,
    /// Approvals of distinct keepers.
    pub approvals: Vec<Signed<Approval>>,
    /// Epochs to evaluate, sorted by id.
    pub epoch_ids: Vec<EpochId>,
}

impl Grant {
    /// `grant_digest = TH("grant", grant)`.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        th("grant", &[&self.to_bytes()])
    }

    /// `lv32(signed request) || uint8 count || lv32(signed approval)* || uint32 count || epoch_id[16]*`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.lv32(&self.request.to_bytes()).u8(u8::try_from(self.approvals.len()).unwrap_or(u8::MAX));
        for approval in &self.approvals {
            w.lv32(&approval.to_bytes());
        }
        write_epochs(&mut w, &self.epoch_ids);
        w.finish()
    }

    /// Reads what [`Grant::to_bytes`] wrote; nothing is verified here.
    ///
    /// # Errors
    /// `Malformed` if the bytes are not well-formed or the epochs not sorted.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let request = Signed::from_bytes(r.lv32(SearchRequest::BYTES_MAX.saturating_add(68))?)?;
        let count = r.u8()?;
        if count > KEEPERS_MAX {
            return Err(Error::malformed("a grant has more approvals than a charter has keepers"));
        }
        let mut approvals = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            approvals.push(Signed::from_bytes(r.lv32(Approval::BYTES_MAX.saturating_add(68))?)?);
        }
        let epoch_ids = read_epochs(&mut r)?;
        r.end()?;
        Ok(Self { request, approvals, epoch_ids })
    }

    /// Counts the approvals under the owner's charter: every one signed by a keeper of it, a yes with an opened Opening, for
    /// this request digest and `policy_digest`, distinct keepers, at least t in number and of t distinct legal entities
    /// (as many as the charter has, where it carries the custody label), every asked epoch in every approval, and at least
    /// `humans` of them given by a human.
    ///
    /// # Errors
    /// `TooFewKeepers` if they are too few; `Invalid` for anything else.
    pub fn check_approvals(&self, charter: &Charter, policy_digest: &[u8; 32], humans: u8) -> Result<()> {
        let digest = self.request.signed_hash();
        let mut keepers: BTreeSet<KeeperIndex> = BTreeSet::new();
        let mut entities: BTreeSet<String> = BTreeSet::new();
        let mut by_human = 0_u8;
        for signed in &self.approvals {
            let claimed = signed.claimed();
            let keeper = charter
                .keepers
                .iter()
                .find(|keeper| keeper.key.public_key() == claimed.keeper_key)
                .ok_or(Error::invalid("a grant carries an approval of a party that is no keeper here"))?;
            let approval = signed.verify(&VerifyKey(claimed.keeper_key))?;
            if approval.request_digest != digest {
                return Err(Error::invalid("a grant carries an approval of another request"));
            }
            if !approval.decision.is_approval() || !approval.opened {
                return Err(Error::invalid("a grant carries a refusal"));
            }
            if approval.policy_digest != *policy_digest {
                return Err(Error::invalid("a grant carries an approval under another policy"));
            }
            if !self.epoch_ids.iter().all(|epoch| approval.epochs.binary_search(epoch).is_ok()) {
                return Err(Error::invalid("a grant names an epoch that an approval does not allow"));
            }
            if !keepers.insert(keeper.index) {
                return Err(Error::invalid("a grant carries two approvals of one keeper"));
            }
            entities.insert(fold_entity(&keeper.legal_entity));
            if approval.decision == Decided::ApprovedByHuman {
                by_human = by_human.saturating_add(1);
            }
        }
        let needed = charter.threshold()?.t();
        let got = u8::try_from(keepers.len()).unwrap_or(u8::MAX);
        let too_few = |got| Error::new(ErrorKind::TooFewKeepers { got, needed }, "a grant carries too few approvals");
        if got < needed {
            return Err(too_few(got));
        }
        if entities.len() < usize::from(needed).min(charter.legal_entities()) {
            return Err(too_few(u8::try_from(entities.len()).unwrap_or(u8::MAX)));
        }
        if by_human < humans {
            return Err(Error::invalid("a grant lacks the approval of a human keeper that the policy asks for"));
        }
        Ok(())
    }
}

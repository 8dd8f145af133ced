//! What the logs say about one request: each keeper's decision and evaluations, and the desk's disclosures, by request digest.

use std::collections::BTreeSet;
use std::sync::Arc;

use lockplate_core::Timestamp;
use lockplate_core::entry::{
    DisclosureLeaf, EvaluationLeaf, HoldLeaf, HumanApprovalLeaf, HumanDecision, PaperLeaf, PaperStatus, RefusalReason,
    RequestDecision, RequestLeaf,
};
use lockplate_core::facts::Obligations;
use lockplate_core::id::{AgencyId, KeeperIndex};
use lockplate_core::vocabulary::{Action, Assurance, Basis, Purpose};

use super::{Said, WORDS_MAX, insert_exact, push_exact};
use crate::register::KeeperDecision;

/// What every keeper must say alike of one request: it follows from the signed request and the statement that the keepers compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) requester: AgencyId,
    pub(crate) on_behalf_of: AgencyId,
    pub(crate) action: Action,
    pub(crate) purpose: Purpose,
    pub(crate) basis: Basis,
    pub(crate) authorisation: Option<[u8; 32]>,
    pub(crate) emergency: bool,
    pub(crate) elements: u64,
    pub(crate) window_days: u64,
}

/// One `request` leaf. Keepers may differ in everything but [`Stated`]: rules, epochs, how the paper was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestWord {
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
    pub(crate) stated: Arc<Stated>,
    pub(crate) officer: [u8; 10],
    pub(crate) assurance: Assurance,
    pub(crate) judicial: bool,
    pub(crate) epochs_allowed: u64,
    pub(crate) epochs_refused: u64,
    pub(crate) decision: RequestDecision,
    pub(crate) rules: Arc<BTreeSet<String>>,
    pub(crate) obligations: Option<Obligations>,
    pub(crate) policy: [u8; 32],
    pub(crate) embargo: Timestamp,
    /// Every auditor of the charter has an Opening, or there is nothing to open.
    pub(crate) auditable: bool,
}

impl RequestWord {
    /// True if the leaf waits for a human.
    pub(crate) fn is_asked(&self) -> bool {
        self.decision == RequestDecision::Ask
    }
}

/// One `approval` leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Approved {
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
    pub(crate) request_index: u64,
    pub(crate) policy: [u8; 32],
    pub(crate) yes: bool,
    pub(crate) reason: Option<RefusalReason>,
}

/// One `evaluation` leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evaluated {
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
    pub(crate) grant: [u8; 32],
    pub(crate) epochs: u64,
    pub(crate) elements: u64,
}

/// One `paper` leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paper {
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
    pub(crate) status: PaperStatus,
    pub(crate) deadline: Timestamp,
}

/// All that one keeper's log says of one request, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeeperWords {
    pub(crate) keeper: KeeperIndex,
    pub(crate) requests: Vec<RequestWord>,
    pub(crate) approvals: Vec<Approved>,
    pub(crate) evaluations: Vec<Evaluated>,
    pub(crate) papers: Vec<Paper>,
}

/// A keeper's answer with the leaf that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) decision: KeeperDecision,
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
}

impl KeeperWords {
    const fn new(keeper: KeeperIndex) -> Self {
        Self { keeper, requests: Vec::new(), approvals: Vec::new(), evaluations: Vec::new(), papers: Vec::new() }
    }

    /// What a `request` leaf came to: by rule, or by the first decision of a human on it.
    pub(crate) fn answer_of(&self, word: &RequestWord) -> Answered {
        let (index, time) = (word.index, word.time);
        match word.decision {
            RequestDecision::Allow => Answered { decision: KeeperDecision::Allowed, index, time },
            RequestDecision::Deny => Answered { decision: KeeperDecision::RefusedByRule, index, time },
            RequestDecision::Ask => {
                let human = self.approvals.iter().find(|one| one.request_index == word.index);
                human.map_or(Answered { decision: KeeperDecision::Asked, index, time }, |human| {
                    let decision =
                        if human.yes { KeeperDecision::Approved } else { KeeperDecision::RefusedByHuman(human.reason) };
                    Answered { decision, index: human.index, time: human.time }
                })
            }
        }
    }

    /// The keeper's answer: the first yes if there is one, else one that is still open, else the first refusal. A replay that was
    /// refused does not undo the answer before it.
    pub(crate) fn answer(&self) -> Option<(Answered, &RequestWord)> {
        let rank = |decision: KeeperDecision| match decision {
            KeeperDecision::Allowed | KeeperDecision::Approved => 0_u8,
            KeeperDecision::Asked => 1,
            KeeperDecision::RefusedByHuman(_) => 2,
            KeeperDecision::RefusedByRule => 3,
        };
        let answers = self.requests.iter().map(|word| (self.answer_of(word), word));
        answers.min_by_key(|(answered, _)| (rank(answered.decision), answered.index))
    }
}

/// One request, by its digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestState {
    keepers: Vec<KeeperWords>,
    disclosures: Vec<(AgencyId, Said<DisclosureLeaf>)>,
    holds: Vec<(AgencyId, Said<HoldLeaf>)>,
}

impl RequestState {
    fn words(&mut self, keeper: KeeperIndex) -> Option<&mut KeeperWords> {
        let at = match self.keepers.binary_search_by_key(&keeper, |words| words.keeper) {
            Ok(at) => at,
            Err(at) => {
                insert_exact(&mut self.keepers, at, KeeperWords::new(keeper));
                at
            }
        };
        self.keepers.get_mut(at)
    }

    pub(super) fn request(
        &mut self,
        keeper: KeeperIndex,
        index: u64,
        time: Timestamp,
        said: &RequestLeaf,
        (rules, auditable): (Arc<BTreeSet<String>>, bool),
    ) -> bool {
        let stated = Stated {
            requester: said.requester,
            on_behalf_of: said.on_behalf_of,
            action: said.action,
            purpose: said.purpose,
            basis: said.basis,
            authorisation: said.authorisation,
            emergency: said.emergency,
            elements: said.elements,
            window_days: said.window_days,
        };
        let known = self.keepers.iter().flat_map(|words| &words.requests).find(|word| *word.stated == stated);
        let stated = known.map_or_else(|| Arc::new(stated), |word| Arc::clone(&word.stated));
        let word = RequestWord {
            index,
            time,
            stated,
            officer: said.officer,
            assurance: said.assurance,
            judicial: said.judicial,
            epochs_allowed: said.epochs_allowed,
            epochs_refused: said.epochs_refused,
            decision: said.decision,
            rules,
            obligations: said.obligations,
            policy: said.policy,
            embargo: said.embargo,
            auditable,
        };
        self.words(keeper).is_some_and(|words| push_exact(&mut words.requests, word))
    }

    pub(super) fn approval(
        &mut self,
        keeper: KeeperIndex,
        index: u64,
        time: Timestamp,
        said: &HumanApprovalLeaf,
    ) -> bool {
        let approved = Approved {
            index,
            time,
            request_index: said.request_index,
            policy: said.policy,
            yes: said.decision == HumanDecision::Approve,
            reason: said.reason,
        };
        self.words(keeper).is_some_and(|words| push_exact(&mut words.approvals, approved))
    }

    pub(super) fn evaluation(
        &mut self,
        keeper: KeeperIndex,
        index: u64,
        time: Timestamp,
        said: &EvaluationLeaf,
    ) -> bool {
        let (grant, epochs, elements) = (said.grant, said.epochs, said.elements);
        let evaluated = Evaluated { index, time, grant, epochs, elements };
        self.words(keeper).is_some_and(|words| push_exact(&mut words.evaluations, evaluated))
    }

    pub(super) fn paper(&mut self, keeper: KeeperIndex, index: u64, time: Timestamp, said: &PaperLeaf) -> bool {
        let paper = Paper { index, time, status: said.status, deadline: said.deadline };
        self.words(keeper).is_some_and(|words| push_exact(&mut words.papers, paper))
    }

    pub(super) fn hold(&mut self, agency: AgencyId, index: u64, time: Timestamp, said: &HoldLeaf) -> bool {
        insert_by_desk(&mut self.holds, agency, Said { index, time, entry: said.clone() })
    }

    pub(super) fn disclosure(&mut self, agency: AgencyId, index: u64, time: Timestamp, said: &DisclosureLeaf) -> bool {
        insert_by_desk(&mut self.disclosures, agency, Said { index, time, entry: said.clone() })
    }

    /// The keepers that said anything, by place.
    pub(crate) fn keepers(&self) -> &[KeeperWords] {
        &self.keepers
    }

    /// Disclosures by desk, in order.
    pub(crate) fn disclosures(&self) -> &[(AgencyId, Said<DisclosureLeaf>)] {
        &self.disclosures
    }

    /// Evidence holds by desk, in order.
    pub(crate) fn holds(&self) -> &[(AgencyId, Said<HoldLeaf>)] {
        &self.holds
    }

    /// The first `request` leaf of the keeper with the lowest place: the one whose fields are shown.
    pub(crate) fn first_word(&self) -> Option<&RequestWord> {
        self.keepers.iter().find_map(|words| words.requests.first())
    }

    /// When the request was first written down.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.keepers.iter().flat_map(|words| &words.requests).map(|word| word.time).min()
    }
}

/// Keeps desks apart and each desk's words in order, whatever came first; false if a desk says too much.
fn insert_by_desk<T>(words: &mut Vec<(AgencyId, Said<T>)>, agency: AgencyId, said: Said<T>) -> bool {
    if words.iter().filter(|(other, _)| *other == agency).count() >= WORDS_MAX {
        return false;
    }
    let at = words.partition_point(|(other, one)| (*other, one.index) < (agency, said.index));
    insert_exact(words, at, (agency, said));
    true
}

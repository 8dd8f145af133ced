//! The caller's side of what keepers answer to registered owners, auditors and everybody about what was searched (`log.md` section
//! 7). It carries bytes and judges nothing: what a keeper says is compared with its proved log by the audit crate and core.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use lockplate_core::charter::Charter;
use lockplate_core::id::KeeperIndex;
use lockplate_oprf::Element;

use crate::api::{B64, Done, NoticeEvaluated, ObjectFiled, OpeningGiven, PaperFiled, PolicyFiled, ReviewLogged};
use crate::client::{AddressError, CallLimits, PeerClient, PeerError, PeerTrust};
use crate::keeper::LOG_PREFIX;
use crate::problem::ProblemKind;

/// Bytes of an answer: two sealed Openings and a request, in base64.
const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// Bytes of what is served of one leaf: a few disclosures of 32 KiB each.
const SERVED_BYTES_MAX: usize = 256 * 1024;
/// Leaves that are asked for at a time at one keeper.
const ASKED_AT_ONCE: usize = 8;

/// What a keeper serves of one of its leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// The texts of the disclosures.
    Disclosures(Vec<String>),
    /// Nothing: still closed, or no request.
    Nothing,
    /// Erased for ever.
    Erased,
}

/// Clients of all keepers of a charter, under the pins of the charter.
#[derive(Debug)]
pub struct Oversight {
    keepers: BTreeMap<KeeperIndex, PeerClient>,
}

impl Oversight {
    /// # Errors
    /// [`AddressError`] for an address of the charter that is none.
    pub fn new(charter: &Charter) -> Result<Self, AddressError> {
        let limits = CallLimits { body_bytes: ANSWER_BYTES_MAX, ..CallLimits::default() };
        let client = |url: &str, pin| PeerClient::new(url, PeerTrust::Pinned(pin), limits);
        let keepers = charter.keepers.iter().map(|keeper| Ok((keeper.index, client(&keeper.url, keeper.tls_pin)?)));
        Ok(Self { keepers: keepers.collect::<Result<_, AddressError>>()? })
    }

    fn at(&self, keeper: KeeperIndex) -> Result<&PeerClient, PeerError> {
        self.keepers.get(&keeper).ok_or(PeerError::Malformed)
    }

    /// Shows a keeper an owner's code; the evaluated elements, not compared with anything yet.
    ///
    /// # Errors
    /// [`PeerError`]; the problem `spent` if the code was answered more than a day ago.
    pub async fn evaluate_code(&self, keeper: KeeperIndex, code: &[u8]) -> Result<Vec<Element>, PeerError> {
        let body = ObjectFiled { object: B64(code.to_vec()) };
        let answer: NoticeEvaluated = self.at(keeper)?.post_json("/v1/notice", &body, None).await?;
        elements(&answer.elements)
    }

    /// What a keeper serves of these leaves.
    ///
    /// # Errors
    /// [`PeerError`] of the first leaf that could not be asked for.
    pub async fn served(&self, keeper: KeeperIndex, indices: &[u64]) -> Result<BTreeMap<u64, Served>, PeerError> {
        let client = self.at(keeper)?;
        let mut asked = stream::iter(indices.iter().copied())
            .map(|index| async move { Ok((index, served_by(client, index).await?)) })
            .buffer_unordered(ASKED_AT_ONCE);
        let mut answers = BTreeMap::new();
        while let Some(answer) = asked.next().await {
            let (index, served) = answer?;
            answers.insert(index, served);
        }
        Ok(answers)
    }

    /// Fetches the Opening that an auditor's signed call asks for.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn opening(&self, keeper: KeeperIndex, call: &[u8]) -> Result<OpeningGiven, PeerError> {
        let body = ObjectFiled { object: B64(call.to_vec()) };
        self.at(keeper)?.post_json("/v1/auditor/openings", &body, None).await
    }

    /// Files an auditor's signed review; the index of its leaf.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn file_review(&self, keeper: KeeperIndex, review: &[u8]) -> Result<u64, PeerError> {
        let body = ObjectFiled { object: B64(review.to_vec()) };
        let logged: ReviewLogged = self.at(keeper)?.post_json("/v1/reviews", &body, None).await?;
        Ok(logged.register)
    }

    /// Files what a court, a custodian or policy signers ordered; a repeat is harmless.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn file_order(&self, keeper: KeeperIndex, order: &[u8]) -> Result<(), PeerError> {
        let body = ObjectFiled { object: B64(order.to_vec()) };
        let Done {} = self.at(keeper)?.post_json("/v1/authorisations", &body, None).await?;
        Ok(())
    }

    /// Files a policy change with its bundle; a repeat is harmless.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn file_policy(&self, keeper: KeeperIndex, change: &PolicyFiled) -> Result<(), PeerError> {
        let Done {} = self.at(keeper)?.post_json("/v1/policies", change, None).await?;
        Ok(())
    }

    /// Files the paper of an emergency; a repeat is harmless.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn file_paper(&self, keeper: KeeperIndex, paper: &PaperFiled) -> Result<(), PeerError> {
        let Done {} = self.at(keeper)?.post_json("/v1/papers", paper, None).await?;
        Ok(())
    }
}

/// Evaluated elements as they travel.
///
/// # Errors
/// [`PeerError::Malformed`] for what is no element of the group.
pub fn elements(answered: &[B64]) -> Result<Vec<Element>, PeerError> {
    answered.iter().map(|B64(bytes)| Element::from_bytes(bytes).map_err(|_group| PeerError::Malformed)).collect()
}

async fn served_by(keeper: &PeerClient, index: u64) -> Result<Served, PeerError> {
    match keeper.get_bytes(&format!("{LOG_PREFIX}/openings/{index}"), &[]).await {
        Ok(bytes) if bytes.len() <= SERVED_BYTES_MAX => {
            serde_json::from_slice(&bytes).map(Served::Disclosures).map_err(|_form| PeerError::Malformed)
        }
        Ok(_long) => Err(PeerError::Malformed),
        Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::NotFound => Ok(Served::Nothing),
        Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::OpeningErased => Ok(Served::Erased),
        Err(other) => Err(other),
    }
}

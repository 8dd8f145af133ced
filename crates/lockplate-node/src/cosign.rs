//! The log's side of witnessing (`log.md` sections 3 and 5): who the witnesses of a log are, what they are asked before
//! anything is signed, and the rounds in which the newest head collects its cosignatures and is published. Nothing here signs
//! or holds the log's lock: proofs are made from the public tiles, and [`Publish`] hands a head with its quorum back to
//! whoever owns the log.

mod peer;
mod rounds;
mod start;

use core::fmt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lockplate_core::charter::{Charter, CharterWitness, LogName};
use lockplate_log::{NoteSignature, SignedCheckpoint, VerifierKey, WitnessPolicy};

pub use peer::{NoCosignature, WitnessPeer};
pub use rounds::{Cosigner, Heads};
pub use start::{NotStarted, Said, ask_before_start};

use crate::client::{AddressError, CallLimits, PeerClient, PeerTrust};

/// What one question to a witness may spend.
pub const WITNESS_CALL: CallLimits =
    CallLimits { connect: Duration::from_secs(2), total: Duration::from_secs(3), body_bytes: 64 * 1024 };

/// Where a witness's doors are below its address.
pub const WITNESS_PREFIX: &str = "/witness";

/// The witnesses of one log: how they are reached, and how many are enough. A desk's log may stand in the charters of several
/// owners; then it needs the quorum of each.
#[derive(Clone)]
pub struct WitnessSet {
    log: VerifierKey,
    policies: Vec<WitnessPolicy>,
    peers: Vec<WitnessPeer>,
}

impl fmt::Debug for WitnessSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WitnessSet").field("log", &self.log.name()).field("peers", &self.peers.len()).finish()
    }
}

/// Why the witnesses of a log are not known.
#[derive(Debug)]
pub enum NoWitnesses {
    /// The charter names no such log, or its quorum cannot be reached.
    Charter(lockplate_core::Error),
    /// An address of the charter.
    Address(AddressError),
}

impl fmt::Display for NoWitnesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Charter(cause) => cause.fmt(f),
            Self::Address(cause) => write!(f, "the address of a witness: {cause}"),
        }
    }
}

impl core::error::Error for NoWitnesses {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Charter(cause) => Some(cause),
            Self::Address(cause) => Some(cause),
        }
    }
}

impl WitnessSet {
    /// The witnesses that a charter gives one of its logs.
    ///
    /// # Errors
    /// [`NoWitnesses`].
    pub fn of(charter: &Charter, log: &LogName) -> Result<Self, NoWitnesses> {
        let unknown = lockplate_core::Error::invalid("the charter has no such log");
        let key = charter.log(log).ok_or(NoWitnesses::Charter(unknown))?.key;
        let policies = vec![charter.witness_policy(log).map_err(NoWitnesses::Charter)?];
        let peer = |witness: CharterWitness<'_>| {
            let trust = PeerTrust::Pinned(witness.tls_pin);
            let client = PeerClient::new(witness.base_url, trust, WITNESS_CALL).map_err(NoWitnesses::Address)?;
            // The policy of a charter calls a witness by the name of its key.
            let name = witness.key.name().as_str().to_owned();
            Ok(WitnessPeer::new(name, witness.key.clone(), client))
        };
        let peers = charter.witnesses_of(log).map(peer).collect::<Result<_, _>>()?;
        Ok(Self { log: key.clone(), policies, peers })
    }

    /// A log that nobody witnesses.
    #[must_use]
    pub const fn nobody(log: VerifierKey) -> Self {
        Self { log, policies: Vec::new(), peers: Vec::new() }
    }

    /// From its parts, for a log outside of a charter.
    #[must_use]
    pub fn new(log: VerifierKey, policy: WitnessPolicy, peers: Vec<WitnessPeer>) -> Self {
        Self { log, policies: vec![policy], peers }
    }

    /// With the witnesses of another charter for the same log.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.policies.extend(other.policies);
        let known: Vec<VerifierKey> = self.peers.iter().map(|peer| peer.key().clone()).collect();
        self.peers.extend(other.peers.into_iter().filter(|peer| !known.contains(peer.key())));
        self
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &VerifierKey {
        &self.log
    }

    /// Whether these witnesses are enough to publish.
    #[must_use]
    pub fn is_quorum(&self, present: &dyn Fn(&VerifierKey) -> bool) -> bool {
        self.policies.iter().all(|policy| policy.is_quorum(present))
    }

    /// Whether these answers are enough to start: nothing can have been published that nobody of them knows.
    #[must_use]
    pub fn is_enough_answers(&self, answered: &dyn Fn(&VerifierKey) -> bool) -> bool {
        self.policies.iter().all(|policy| policy.is_enough_answers(answered))
    }

    /// The witnesses, in the order of the policy.
    #[must_use]
    pub fn peers(&self) -> &[WitnessPeer] {
        &self.peers
    }

    /// Leaves of a published checkpoint that has its quorum; what an earlier release published without one counts as nothing. `now`
    /// is in seconds since 1970.
    #[must_use]
    pub fn published_size(&self, published: Option<&SignedCheckpoint>, now: u64) -> u64 {
        let confirmed = published
            .filter(|published| self.policies.iter().all(|policy| policy.check_note(published.note(), now).is_ok()));
        confirmed.map_or(0, |published| published.checkpoint().size())
    }

    /// Whether every name is that of a witness here.
    #[must_use]
    pub fn knows(&self, names: &BTreeSet<String>) -> bool {
        names.iter().all(|name| self.knows_one(name))
    }

    /// Whether this is the name of a witness here.
    #[must_use]
    pub fn knows_one(&self, name: &str) -> bool {
        self.peers.iter().any(|peer| peer.is_called(name))
    }
}

/// Whoever owns a log puts a head with its quorum where strangers read it.
pub trait Publish: Send + Sync {
    /// Publishes; afterwards everybody who waits for that size goes on.
    fn publish(
        &self,
        head: Arc<SignedCheckpoint>,
        cosignatures: Vec<NoteSignature>,
    ) -> BoxFuture<'_, Result<(), NotPublished>>;
}

/// A head could not be published; it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPublished;

impl fmt::Display for NotPublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the confirmed checkpoint could not be published")
    }
}

impl core::error::Error for NotPublished {}

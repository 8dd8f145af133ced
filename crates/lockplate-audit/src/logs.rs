//! The state that all logs of one charter add up to. It takes proved leaves one after the other and keeps what the register, the figures
//! and the monitor need; it never judges and never waits. A leaf is a *statement* of its log's owner: it is put where its log says, and
//! two logs that contradict each other are both kept.

mod epoch;
mod openings;
mod recorder;
mod request;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockplate_core::Timestamp;
use lockplate_core::audit::auditor_digest;
use lockplate_core::charter::CharterFile;
pub use lockplate_core::charter::LogName;
use lockplate_core::entry::{EpochDealt, EpochKind, Leaf, LogEntry, LogKind, RequestLeaf, Stamped, parse_leaf};
use lockplate_core::id::{AgencyId, KeeperIndex};
use lockplate_log::policy::Cosigned;
use lockplate_log::{Checkpoint, Hash};
use serde::{Serialize, Serializer};

pub(crate) use epoch::{EpochState, distinct};
pub use openings::OpeningState;
pub(crate) use openings::OpeningWords;
pub use recorder::LISTS_MAX;
pub(crate) use recorder::RecorderWords;
pub(crate) use request::{Evaluated, KeeperWords, RequestState, RequestWord};
pub use state::Fault;
pub(crate) use state::{LogState, Said};

/// Which leaves a log takes.
pub(crate) const fn kind_of(log: &LogName) -> LogKind {
    match log {
        LogName::Keeper(_) => LogKind::Keeper,
        LogName::Recorder => LogKind::Recorder,
        LogName::Desk(_) => LogKind::Desk,
    }
}

/// Statements of one kind that one log may make of one request or epoch. An honest log makes one, or a few after replays; whatever is
/// beyond this is a fault of the log (M9), so that no log can make its readers work without bound.
pub const WORDS_MAX: usize = 64;

/// One leaf of one log. Its bytes are in the log's tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafRef {
    /// The log.
    pub log: LogName,
    /// Its index there.
    pub index: u64,
}

impl Serialize for LeafRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut leaf = serializer.serialize_struct("LeafRef", 2)?;
        leaf.serialize_field("log", &self.log.to_string())?;
        leaf.serialize_field("index", &self.index)?;
        leaf.end()
    }
}

/// Why a leaf was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeeError {
    /// The charter knows no such log.
    UnknownLog,
    /// Leaves come in order, each once; this is the index that comes next.
    OutOfOrder {
        /// The index wanted.
        next: u64,
    },
}

impl core::fmt::Display for SeeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::UnknownLog => f.write_str("the charter names no such log"),
            Self::OutOfOrder { next } => write!(f, "leaves come in order; the next is {next}"),
        }
    }
}

impl core::error::Error for SeeError {}

/// The published checkpoint of a log as a follower proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the log signed.
    pub checkpoint: Checkpoint,
    /// The note as it was published, for evidence.
    pub note: Vec<u8>,
    /// Newest moment at or after which a whole quorum of the charter confirmed this checkpoint; `None` where no quorum did. For a log
    /// whose charter asks for no witness it is the moment of fetching.
    pub confirmed: Option<Timestamp>,
}

impl Head {
    /// From a note that the trust file of its log found good, fetched at `fetched`.
    #[must_use]
    pub fn of(cosigned: &Cosigned, fetched: Timestamp) -> Self {
        Self {
            checkpoint: cosigned.signed.checkpoint().clone(),
            note: cosigned.signed.to_bytes(),
            confirmed: Some(cosigned.quorum_at.map_or(fetched, Timestamp)),
        }
    }
}

/// Two statements of one log that cannot both be true, as signed notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The one seen first.
    pub one: Vec<u8>,
    /// The other.
    pub other: Vec<u8>,
}

/// All that the logs of one charter have said so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    charter: CharterFile,
    agencies: BTreeMap<AgencyId, String>,
    logs: BTreeMap<LogName, LogState>,
    requests: BTreeMap<[u8; 32], RequestState>,
    epochs: BTreeMap<[u8; 32], EpochState>,
    recorder: RecorderWords,
    /// The largest threshold that a charter leaf of a keeper's log states, by the moment from which it holds.
    thresholds: BTreeMap<Timestamp, u8>,
    bundles: BTreeMap<[u8; 32], BTreeSet<String>>,
    /// Equal sets of rules are one allocation: nearly every request cites one of a few.
    rules: BTreeSet<Arc<BTreeSet<String>>>,
}

impl Logs {
    /// Nothing said yet. The logs are the keepers', the recorder's, and those of the desks that the charter names.
    #[must_use]
    pub fn new(charter: CharterFile) -> Self {
        let body = charter.charter();
        let logs = body.logs().map(|log| (log.name, LogState::new(log.key.name()))).collect();
        let agencies = body.agencies.iter().map(|agency| (agency.id, agency.name.clone())).collect();
        let (requests, epochs, thresholds) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (recorder, bundles, rules) = (RecorderWords::default(), BTreeMap::new(), BTreeSet::new());
        Self { charter, agencies, logs, requests, epochs, recorder, thresholds, bundles, rules }
    }

    /// The charter.
    #[must_use]
    pub const fn charter(&self) -> &CharterFile {
        &self.charter
    }

    /// The logs, in the order keepers, recorder, desks.
    pub fn names(&self) -> impl Iterator<Item = LogName> {
        self.logs.keys().copied()
    }

    /// The origin of a log.
    #[must_use]
    pub fn origin(&self, log: &LogName) -> Option<&str> {
        self.logs.get(log).map(LogState::origin)
    }

    /// The name of an agency, if the charter knows it.
    #[must_use]
    pub fn agency(&self, id: AgencyId) -> Option<&str> {
        self.agencies.get(&id).map(String::as_str)
    }

    /// Leaves of a log taken so far: the index that [`Logs::see`] wants next.
    #[must_use]
    pub fn seen(&self, log: &LogName) -> u64 {
        self.logs.get(log).map_or(0, LogState::next)
    }

    /// The newest checkpoint told of.
    #[must_use]
    pub fn head(&self, log: &LogName) -> Option<&Head> {
        self.logs.get(log)?.head()
    }

    /// Takes the next leaf of a log. A leaf that is malformed, or that this log may not say, is counted and kept as a fault; a leaf that
    /// is not known is counted. Neither is interpreted, and neither is an error here.
    ///
    /// # Errors
    /// [`SeeError::UnknownLog`]; [`SeeError::OutOfOrder`] for any index but [`Logs::seen`].
    pub fn see(&mut self, log: &LogName, index: u64, leaf: &[u8]) -> Result<(), SeeError> {
        let state = self.logs.get_mut(log).ok_or(SeeError::UnknownLog)?;
        if index != state.next() {
            return Err(SeeError::OutOfOrder { next: state.next() });
        }
        let owner = self.charter.charter().owner.id;
        match parse_leaf(leaf) {
            Err(_malformed) => state.fault(Fault::Malformed),
            Ok(Leaf::Unknown(leaf)) => state.unknown(&leaf.origin, leaf.time),
            Ok(Leaf::Known(leaf)) => {
                if state.known(log, owner, &leaf) && !self.take(log, index, &leaf) {
                    self.logs.get_mut(log).ok_or(SeeError::UnknownLog)?.too_many(index);
                }
            }
        }
        Ok(())
    }

    /// Tells the newest checkpoint of a log. One of a size told before with another root is a fork, whoever says otherwise.
    ///
    /// # Errors
    /// [`SeeError::UnknownLog`].
    pub fn tell_head(&mut self, log: &LogName, head: Head) -> Result<(), SeeError> {
        self.logs.get_mut(log).ok_or(SeeError::UnknownLog)?.tell_head(head);
        Ok(())
    }

    /// Tells of two checkpoints of a log that its follower found inconsistent.
    ///
    /// # Errors
    /// [`SeeError::UnknownLog`].
    pub fn tell_fork(&mut self, log: &LogName, fork: Fork) -> Result<(), SeeError> {
        self.logs.get_mut(log).ok_or(SeeError::UnknownLog)?.tell_fork(fork);
        Ok(())
    }

    /// Tells which rules a policy bundle holds, so that a citation of another one is found.
    pub fn tell_bundle(&mut self, digest: [u8; 32], rules: BTreeSet<String>) {
        self.bundles.insert(digest, rules);
    }

    /// The root that a log's newest checkpoint signs.
    #[must_use]
    pub fn root(&self, log: &LogName) -> Option<Hash> {
        self.head(log).map(|head| head.checkpoint.root())
    }

    pub(crate) fn log(&self, log: &LogName) -> Option<&LogState> {
        self.logs.get(log)
    }

    pub(crate) fn logs(&self) -> impl Iterator<Item = (LogName, &LogState)> {
        self.logs.iter().map(|(name, state)| (*name, state))
    }

    pub(crate) fn keeper_logs(&self) -> impl Iterator<Item = (KeeperIndex, &LogState)> {
        self.logs.iter().filter_map(|(name, state)| match name {
            LogName::Keeper(index) => Some((*index, state)),
            LogName::Recorder | LogName::Desk(_) => None,
        })
    }

    pub(crate) const fn requests(&self) -> &BTreeMap<[u8; 32], RequestState> {
        &self.requests
    }

    pub(crate) const fn epochs(&self) -> &BTreeMap<[u8; 32], EpochState> {
        &self.epochs
    }

    pub(crate) const fn recorder(&self) -> &RecorderWords {
        &self.recorder
    }

    /// Index and time of every `request` leaf of a keeper's log, in order.
    pub(crate) fn request_leaves(&self, keeper: KeeperIndex) -> Vec<(u64, Timestamp)> {
        let words = self.requests.values().flat_map(RequestState::keepers).filter(|words| words.keeper == keeper);
        let mut leaves: Vec<_> = words.flat_map(|words| &words.requests).map(|word| (word.index, word.time)).collect();
        leaves.sort_unstable();
        leaves
    }

    /// Until when the embargo of a keeper's `request` leaf was prolonged by a court, if it was.
    #[must_use]
    pub fn embargo_prolonged(&self, leaf: &LeafRef) -> Option<Timestamp> {
        self.logs.get(&leaf.log)?.openings().embargo_of(leaf.index)
    }

    /// Where the openings of a keeper's `request` leaf stand, by that keeper's log.
    #[must_use]
    pub fn opening_state(&self, leaf: &LeafRef) -> OpeningState {
        self.logs.get(&leaf.log).map_or(OpeningState::Closed, |state| state.openings().state_of(leaf.index))
    }

    pub(crate) const fn bundles(&self) -> &BTreeMap<[u8; 32], BTreeSet<String>> {
        &self.bundles
    }

    /// The moment up to which a log is known: what it said by then has been taken. `None` while leaves of its checkpoint are missing here
    /// or nobody confirmed it.
    pub(crate) fn known_until(&self, log: &LogName) -> Option<Timestamp> {
        self.logs.get(log)?.known_until()
    }

    /// Keepers that had to agree at a moment: the threshold of the charter in force then, by the largest that any keeper's log states.
    pub(crate) fn threshold_at(&self, time: Timestamp) -> usize {
        let in_force = self.thresholds.range(..=time).next_back();
        usize::from(in_force.map_or(self.charter.threshold().t(), |(_, t)| *t))
    }

    /// Epochs that the recorder says it dealt for capture windows inside [from, to), canaries aside; none where its log is not known up to
    /// `at`.
    #[must_use]
    pub fn dealt_within(&self, (from, to): (Timestamp, Timestamp), at: Timestamp) -> Option<u64> {
        self.known_until(&LogName::Recorder).filter(|known| *known >= at)?;
        let inside = |said: &Said<EpochDealt>| {
            from <= said.entry.cap_from && said.entry.cap_to <= to && said.entry.kind != EpochKind::Canary
        };
        let count = self.epochs.values().filter(|epoch| epoch.dealing().is_some_and(inside)).count();
        Some(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// An Opening for every auditor of the charter.
    fn is_escrowed(&self, said: &RequestLeaf) -> bool {
        let auditors = &self.charter.charter().auditors;
        auditors.iter().all(|auditor| {
            let digest = auditor_digest(&auditor.opening_key);
            said.escrow.iter().any(|escrow| escrow.auditor == digest)
        })
    }

    /// Puts a statement where it belongs; false if there are too many of its kind.
    fn take(&mut self, log: &LogName, index: u64, leaf: &Stamped) -> bool {
        let time = leaf.at();
        let owner = self.charter.charter().owner.id;
        match (log, leaf.entry()) {
            (LogName::Keeper(keeper), LogEntry::Request(said)) => {
                let auditable = said.is_bare_refusal() || self.is_escrowed(said);
                let rules = pooled(&mut self.rules, &said.rules);
                let words = (rules, auditable);
                self.requests.entry(said.request).or_default().request(*keeper, index, time, said, words)
            }
            (LogName::Keeper(keeper), LogEntry::Approval(said)) => {
                self.requests.entry(said.request).or_default().approval(*keeper, index, time, said)
            }
            (LogName::Keeper(keeper), LogEntry::Evaluation(said)) => {
                self.requests.entry(said.request).or_default().evaluation(*keeper, index, time, said)
            }
            // A desk asks many owners; what it opened elsewhere is another register's business.
            (LogName::Desk(agency), LogEntry::Disclosure(said)) if said.owner == owner => {
                self.requests.entry(said.request).or_default().disclosure(*agency, index, time, said)
            }
            (LogName::Keeper(keeper), LogEntry::ShareReceived(said)) => {
                self.epochs.entry(said.header).or_default().received(*keeper, index, time)
            }
            (LogName::Keeper(keeper), LogEntry::ShareDestroyed(said)) => {
                self.epochs.entry(said.header).or_default().destroyed(*keeper, index, time, said)
            }
            (LogName::Keeper(keeper), LogEntry::Paper(said)) => {
                self.requests.entry(said.request).or_default().paper(*keeper, index, time, said)
            }
            (LogName::Desk(agency), LogEntry::Hold(said)) => {
                // A hold names no owner. One of another archive stays beside no request, and is not shown.
                self.requests.entry(said.request).or_default().hold(*agency, index, time, said)
            }
            (LogName::Recorder, LogEntry::Camera(said)) => {
                self.recorder.camera(index, time, said);
                true
            }
            (LogName::Recorder, LogEntry::Hotlist(said)) => self.recorder.hotlist(index, time, said),
            (LogName::Recorder, LogEntry::Alerts(said)) => {
                self.recorder.alerts(index, time, said);
                true
            }
            (LogName::Recorder, LogEntry::Canary(said)) => {
                self.recorder.self_test(index, time, said);
                true
            }
            (LogName::Keeper(_), LogEntry::Charter(said)) => {
                let t = self.thresholds.entry(said.effective).or_insert(said.t);
                *t = said.t.max(*t);
                true
            }
            (LogName::Recorder, LogEntry::EpochDealt(said)) => {
                self.epochs.entry(said.header).or_default().dealt(index, time, said)
            }
            (LogName::Recorder, LogEntry::EpochClosed(said)) => {
                self.epochs.entry(said.header).or_default().closed(index, time, said)
            }
            // What concerns the log alone was put there by `LogState::known`.
            _ => true,
        }
    }
}

/// Inserts without room to spare while there are few; `at` is at most the length. Of each thing there is nearly always one a request,
/// and a million requests; the usual growth would keep three quarters of the memory empty.
fn insert_exact<T>(values: &mut Vec<T>, at: usize, value: T) {
    if values.len() < 4 {
        values.reserve_exact(1);
    }
    values.insert(at, value);
}

/// Pushes so, unless [`WORDS_MAX`] are there.
fn push_exact<T>(values: &mut Vec<T>, value: T) -> bool {
    let fits = values.len() < WORDS_MAX;
    if fits {
        insert_exact(values, values.len(), value);
    }
    fits
}

fn pooled(pool: &mut BTreeSet<Arc<BTreeSet<String>>>, rules: &BTreeSet<String>) -> Arc<BTreeSet<String>> {
    if let Some(known) = pool.get(rules) {
        return Arc::clone(known);
    }
    let fresh = Arc::new(rules.clone());
    pool.insert(Arc::clone(&fresh));
    fresh
}

#[cfg(test)]
mod tests;

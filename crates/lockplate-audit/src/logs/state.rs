//! What one log has said about itself and its party, and what is wrong with its leaves as such.

use core::ops::Bound;
use std::collections::BTreeMap;

use lockplate_core::Timestamp;
use lockplate_core::entry::{CharterLeaf, DeclarationLeaf, KeyLeaf, LogEntry, LogResumed, PolicyLeaf, Stamped};
use lockplate_core::id::AgencyId;
use lockplate_log::note::Origin;

use super::{Fork, Head, LogName, OpeningWords, WORDS_MAX, kind_of};

/// A leaf's statement with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said<T> {
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
    pub(crate) entry: T,
}

/// What is wrong with a leaf by itself (M9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Not canonical, over a limit, a field missing, a wrong number of salted digests.
    Malformed,
    /// Written for another log.
    Origin,
    /// Of a type that logs of this kind do not take.
    WrongLog,
    /// The first leaf is no `genesis` of this kind of log, or a later one is.
    Genesis,
    /// Its time is before that of the leaf before it.
    TimeBack,
    /// It stands after the leaf that closed the log.
    AfterClose,
    /// It speaks of the archive of another owner, or for another keeper.
    Owner,
    /// The log says the same thing again and again, beyond [`WORDS_MAX`](super::WORDS_MAX) times.
    TooMany,
}

/// One faulty leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeafFault {
    pub(crate) index: u64,
    pub(crate) fault: Fault,
}

/// One log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    origin: String,
    next: u64,
    first_time: Option<Timestamp>,
    last_time: Option<Timestamp>,
    closed: bool,
    unknown: u64,
    faults: Vec<LeafFault>,
    charters: Vec<Said<CharterLeaf>>,
    policies: Vec<Said<PolicyLeaf>>,
    /// Places in `policies` by when they take effect and where they stand.
    policies_by_effect: BTreeMap<(Timestamp, u64), usize>,
    keys: Vec<Said<KeyLeaf>>,
    declarations: Vec<Said<DeclarationLeaf>>,
    resumed: Vec<Said<LogResumed>>,
    openings: OpeningWords,
    head: Option<Head>,
    forks: Vec<Fork>,
}

impl LogState {
    pub(super) fn new(origin: &Origin) -> Self {
        Self {
            origin: origin.as_str().to_owned(),
            next: 0,
            first_time: None,
            last_time: None,
            closed: false,
            unknown: 0,
            faults: Vec::new(),
            charters: Vec::new(),
            policies: Vec::new(),
            policies_by_effect: BTreeMap::new(),
            keys: Vec::new(),
            declarations: Vec::new(),
            resumed: Vec::new(),
            openings: OpeningWords::default(),
            head: None,
            forks: Vec::new(),
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults.push(LeafFault { index: self.next, fault });
        self.next = self.next.saturating_add(1);
    }

    pub(super) fn too_many(&mut self, index: u64) {
        self.faults.push(LeafFault { index, fault: Fault::TooMany });
    }

    pub(super) fn unknown(&mut self, origin: &str, time: Timestamp) {
        match self.common(origin, time) {
            Some(fault) => self.faults.push(LeafFault { index: self.next, fault }),
            None => self.unknown = self.unknown.saturating_add(1),
        }
        self.next = self.next.saturating_add(1);
    }

    /// Takes a known leaf; true if its statement counts.
    pub(super) fn known(&mut self, log: &LogName, owner: AgencyId, leaf: &Stamped) -> bool {
        let common = self.common(leaf.origin(), leaf.at());
        let misplaced = self.misplaced(log, owner, leaf.entry());
        // A clock that went back makes the time doubtful, not the statement: an evaluation it names did happen.
        let counts = misplaced.is_none() && matches!(common, None | Some(Fault::TimeBack));
        for fault in common.into_iter().chain(misplaced) {
            self.faults.push(LeafFault { index: self.next, fault });
        }
        if counts {
            self.keep(leaf);
        }
        self.next = self.next.saturating_add(1);
        counts
    }

    fn common(&mut self, origin: &str, time: Timestamp) -> Option<Fault> {
        if origin != self.origin {
            return Some(Fault::Origin);
        }
        if self.closed {
            return Some(Fault::AfterClose);
        }
        if self.last_time.is_some_and(|last| time < last) {
            return Some(Fault::TimeBack);
        }
        self.first_time.get_or_insert(time);
        self.last_time = Some(time);
        None
    }

    fn misplaced(&self, log: &LogName, owner: AgencyId, entry: &LogEntry) -> Option<Fault> {
        if !entry.belongs_in(kind_of(log)) {
            return Some(Fault::WrongLog);
        }
        let genesis = matches!(entry, LogEntry::Genesis(genesis) if genesis.role == kind_of(log));
        if genesis != (self.next == 0) {
            return Some(Fault::Genesis);
        }
        (!speaks_for(log, owner, entry)).then_some(Fault::Owner)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other statements concern a request or an epoch, not the log"
    )]
    fn keep(&mut self, leaf: &Stamped) {
        let (index, time) = (self.next, leaf.at());
        match leaf.entry() {
            LogEntry::Charter(said) => self.charters.push(Said { index, time, entry: said.clone() }),
            LogEntry::Policy(said) => {
                self.policies_by_effect.insert((said.effective, index), self.policies.len());
                self.policies.push(Said { index, time, entry: said.clone() });
            }
            LogEntry::Key(said) => self.keys.push(Said { index, time, entry: said.clone() }),
            LogEntry::Declaration(said) => self.declarations.push(Said { index, time, entry: said.clone() }),
            LogEntry::LogResumed(said) => self.resumed.push(Said { index, time, entry: said.clone() }),
            LogEntry::Embargo(said) => self.openings.embargo(said),
            LogEntry::OpeningPublished(said) => self.openings.published(index, said),
            LogEntry::OpeningsErased(said) => self.openings.erased(said),
            LogEntry::Review(said) => self.openings.review(index, time, said),
            LogEntry::LogClosed(_) => self.closed = true,
            _ => {}
        }
    }

    pub(super) fn tell_head(&mut self, head: Head) {
        let Some(known) = self.head.take() else {
            self.head = Some(head);
            return;
        };
        let (old, new) = (&known.checkpoint, &head.checkpoint);
        if old.size() == new.size() && old.root() != new.root() {
            self.tell_fork(Fork { one: known.note.clone(), other: head.note.clone() });
        }
        // An older copy of the checkpoint says nothing new; a newer confirmation of the same one does.
        let is_news = (new.size(), head.confirmed) >= (old.size(), known.confirmed);
        self.head = Some(if is_news { head } else { known });
    }

    pub(super) fn tell_fork(&mut self, fork: Fork) {
        if !self.forks.contains(&fork) {
            self.forks.push(fork);
        }
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    pub(crate) const fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    pub(crate) const fn last_time(&self) -> Option<Timestamp> {
        self.last_time
    }

    pub(crate) const fn unknown_leaves(&self) -> u64 {
        self.unknown
    }

    pub(crate) fn faults(&self) -> &[LeafFault] {
        &self.faults
    }

    pub(crate) fn forks(&self) -> &[Fork] {
        &self.forks
    }

    pub(crate) fn charters(&self) -> &[Said<CharterLeaf>] {
        &self.charters
    }

    pub(crate) fn policies(&self) -> &[Said<PolicyLeaf>] {
        &self.policies
    }

    /// The policy that this log says is in force at a moment: of those whose time has come the latest, of those of one moment the last
    /// written. Whether it was written before it was used shows in its index.
    pub(crate) fn policy_in_force(&self, at: Timestamp) -> Option<&Said<PolicyLeaf>> {
        let (_, place) = self.policies_by_effect.range(..=(at, u64::MAX)).next_back()?;
        self.policies.get(*place)
    }

    /// The first policy of a digest that is still to come at a moment.
    pub(crate) fn policy_to_come(&self, new: &[u8; 32], at: Timestamp) -> Option<&Said<PolicyLeaf>> {
        let later = self.policies_by_effect.range((Bound::Excluded((at, u64::MAX)), Bound::Unbounded));
        later.take(WORDS_MAX).filter_map(|(_, place)| self.policies.get(*place)).find(|said| said.entry.new == *new)
    }

    pub(crate) fn keys(&self) -> &[Said<KeyLeaf>] {
        &self.keys
    }

    pub(crate) fn declarations(&self) -> &[Said<DeclarationLeaf>] {
        &self.declarations
    }

    pub(crate) fn resumed(&self) -> &[Said<LogResumed>] {
        &self.resumed
    }

    pub(crate) const fn openings(&self) -> &OpeningWords {
        &self.openings
    }

    pub(crate) fn known_until(&self) -> Option<Timestamp> {
        let head = self.head.as_ref()?;
        if self.next < head.checkpoint.size() { None } else { head.confirmed }
    }
}

/// A party speaks for its own archive and for itself alone.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other leaves name neither owner nor keeper")]
fn speaks_for(log: &LogName, owner: AgencyId, entry: &LogEntry) -> bool {
    let is_keeper = |index| *log == LogName::Keeper(index);
    match entry {
        LogEntry::EpochDealt(said) => said.owner == owner,
        LogEntry::Request(said) => said.owner == owner,
        LogEntry::Charter(said) => said.owner == owner,
        LogEntry::Policy(said) => said.owner == owner,
        LogEntry::Declaration(said) => said.owner == owner,
        LogEntry::Camera(said) => said.owner == owner,
        LogEntry::ShareReceived(said) => is_keeper(said.index),
        LogEntry::ShareDestroyed(said) => is_keeper(said.index),
        _ => true,
    }
}

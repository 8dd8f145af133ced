//! The log of an agency's recorder or desk, as async code uses it: append, publish, read. It must never let anything go on
//! after a failed write: what is on the disk is then unknown, and the process stops (`reliability.md` section 1). Callers that
//! come while a commit runs are committed together under the next head; its witnesses are asked while the next batch is written.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use lockplate_core::Timestamp;
use lockplate_core::charter::LeafWait;
use lockplate_core::entry::{Genesis, Leaf, LogEntry, LogKind, LogResumed, Stamped, parse_leaf};
use lockplate_log::{Error as LogError, Log, NoteSignature, NoteSigner, Origin, SignedCheckpoint, WitnessRecord};
use lockplate_store::log_files::{AcquireError, FaultRecord, FileLogStorage};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::cosign::{Cosigner, Heads, NotPublished, NotStarted, Publish, WitnessSet, ask_before_start};
use crate::log_door::{LogDoor, Receipts};
use crate::own_log::OwnLog;
use crate::problem::{Problem, ProblemKind};
use crate::release::{Published, Releaser};
use crate::rng::SystemRng;
use crate::shutdown::{ExitKind, Tasks};
use crate::standby::{LogShip, PartyStorage};

/// Leaves of one batch: so many of the longest leaf (16 KiB) are within the 8 MiB of a batch.
const BATCH_LEAVES: usize = 512;

/// Leaves at the end of the log among which a repeated statement is looked for.
const TAIL_LEAVES: u64 = 1_024;

/// Why a log could not be taken up.
#[derive(Debug)]
pub enum OpenError {
    /// Its folder: another process has it, or it cannot be made.
    Folder(AcquireError),
    /// What lies there is not a good log of this key, or is older than what was published, or the clock is behind it.
    Log(LogError),
    /// What its witnesses said before anything was signed.
    NotStarted(NotStarted),
    /// The first leaf could not be written down.
    Leaf,
    /// There is something to log, and the clock is behind the newest entry.
    ClockBack,
    /// A thread that opened it died: our bug.
    Ended,
}

impl OpenError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Folder(_) | Self::Log(_) | Self::NotStarted(_) | Self::ClockBack => ExitKind::Config,
            Self::Leaf | Self::Ended => ExitKind::Internal,
        }
    }
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Folder(_) => f.write_str("the folder of the log cannot be used"),
            Self::Log(_) => f.write_str("the log on the disk cannot be taken up\nrun: lockplate doctor --store DIR"),
            Self::NotStarted(cause) => cause.fmt(f),
            Self::Leaf => f.write_str("the first leaf of the log could not be written down"),
            Self::ClockBack => f.write_str("the clock is behind the newest entry of the log: set the clock"),
            Self::Ended => f.write_str("opening the log failed: internal error, our bug"),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Folder(cause) => Some(cause),
            Self::Log(cause) => Some(cause),
            Self::NotStarted(cause) => cause.source(),
            Self::Leaf | Self::ClockBack | Self::Ended => None,
        }
    }
}

/// What an entry stands for must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLogged {
    /// It was not logged, or nobody knows.
    Unwritten,
    /// It is logged, and its quorum has not confirmed it yet. The leaf stays; a repeat finds it.
    Unwitnessed,
    /// It was not logged, because the clock is behind the newest entry. The log is whole; a repeat works once the clock has caught up.
    ClockBack,
}

impl NotLogged {
    /// What the caller is told.
    #[must_use]
    pub const fn problem(self) -> ProblemKind {
        match self {
            Self::Unwritten | Self::ClockBack => ProblemKind::Unavailable,
            Self::Unwitnessed => ProblemKind::LogUnwitnessed,
        }
    }
}

impl core::fmt::Display for NotLogged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unwritten => "the log cannot be written",
            Self::Unwitnessed => "the log's witnesses have not confirmed the entry yet",
            Self::ClockBack => "the clock is behind the newest entry of the log",
        })
    }
}

impl core::error::Error for NotLogged {}

/// Who confirms a log, and what its leaves wait for.
#[derive(Clone, Debug)]
pub struct LogWitnesses {
    /// The witnesses.
    pub set: WitnessSet,
    /// Names of those that a person does not wait for at the start.
    pub without: BTreeSet<String>,
    /// What leaves wait for; those of cameras and hot lists always wait for the quorum.
    pub wait: LeafWait,
}

/// A log's files, found good; nothing is signed yet.
pub struct LogOnDisk {
    log: OwnLog<PartyStorage>,
    signer_name: Origin,
    kind: LogKind,
    first: ([u8; 16], [u8; 32]),
    public: PathBuf,
    faults: FaultRecord,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

impl core::fmt::Debug for LogOnDisk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LogOnDisk").field("origin", &self.signer_name).finish_non_exhaustive()
    }
}

impl LogOnDisk {
    /// Takes up the log of `signer` below `logs`, if there is one: `party` and `charter` will stand in the first leaf of a new one.
    /// Blocks. A write that fails later stops `tasks`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn load(
        logs: &Path,
        signer: NoteSigner,
        kind: LogKind,
        party: ([u8; 16], [u8; 32]),
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        Self::load_shipped(logs, signer, kind, party, clock, tasks, None)
    }

    /// The same, with its files shipped to a standby.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn load_shipped(
        logs: &Path,
        signer: NoteSigner,
        kind: LogKind,
        (party, charter): ([u8; 16], [u8; 32]),
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
        ship: Option<LogShip>,
    ) -> Result<Self, OpenError> {
        let signer_name = signer.verifier_key().name().clone();
        let files = FileLogStorage::acquire(logs, &signer_name).map_err(OpenError::Folder)?;
        let storage = PartyStorage::new(files, ship);
        let (public, faults) = (storage.public(), storage.faults());
        let now = seconds(clock.as_ref());
        let log = OwnLog::load(storage, signer, now).map_err(OpenError::Log)?;
        let tasks = tasks.clone();
        Ok(Self { log, signer_name, kind, first: (party, charter), public, faults, clock, tasks })
    }

    /// Asks the log's witnesses, then begins it or goes on with it, and has its heads cosigned and published from now on. Waits until
    /// enough witnesses have answered.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing was signed.
    pub async fn start(self, witnesses: LogWitnesses) -> Result<PartyLog, OpenError> {
        let fits = |record: &WitnessRecord| self.log.check_witnessed(record.checkpoint());
        let stopping = self.tasks.stopping().clone();
        let said = ask_before_start(&witnesses.set, &witnesses.without, fits, &stopping).await;
        let said = said.map_err(OpenError::NotStarted)?;
        if !said.missing.is_empty() {
            let missing = said.missing.join(", ");
            tracing::warn!(missing, "a person had the log start without these witnesses; the log says so");
        }
        let (missing, set) = (said.missing, witnesses.set.clone());
        let (public, clock, tasks) = (self.public.clone(), Arc::clone(&self.clock), self.tasks.clone());
        let opened = tokio::task::spawn_blocking(move || self.open(&set, missing, witnesses.wait)).await;
        let (log, published) = opened.map_err(|_panicked| OpenError::Ended)??;
        let cosigner = Cosigner { set: witnesses.set, public, sizes: said.sizes, clock };
        cosigner.start(&log.inner.heads, published, Arc::new(log.clone()), &tasks);
        Ok(log)
    }

    fn open(self, set: &WitnessSet, missing: Vec<String>, wait: LeafWait) -> Result<(PartyLog, Published), OpenError> {
        let Self { log, signer_name, kind, first: (party, charter), public, faults, clock, tasks } = self;
        let now = seconds(clock.as_ref());
        let origin: Arc<str> = signer_name.as_str().into();
        let mut log = log.begin().map_err(OpenError::Log)?;
        let published = Published::new(set.published_size(log.published(), now));
        let mut first = Vec::new();
        if log.size() == 0 {
            first.push(LogEntry::Genesis(Genesis { party, role: kind, charter }));
        }
        if !missing.is_empty() {
            first.push(LogEntry::LogResumed(LogResumed { missing: missing.into_iter().collect() }));
        }
        // A log's time never goes back. With nothing to log it starts all the same.
        if !first.is_empty() && is_behind(now, &log) {
            return Err(OpenError::ClockBack);
        }
        let time = Timestamp(now);
        let stamped = first.into_iter().map(|entry| Stamped::new(entry, kind, &origin, time, &mut SystemRng));
        let stamped = stamped.collect::<Result<Vec<_>, _>>().map_err(|_text| OpenError::Leaf)?;
        log.append_batch(stamped).map(drop).map_err(OpenError::Log)?;
        let heads = Heads::new();
        heads.show(log.head());
        let inner = Inner {
            log: Mutex::new(log),
            queue: Mutex::default(),
            kind,
            origin,
            public,
            faults,
            clock,
            tasks,
            heads,
            releaser: published.releaser(),
            wait,
        };
        Ok((PartyLog { inner: Arc::new(inner) }, published))
    }
}

/// One log. Cheap to clone; all clones are the same log.
#[derive(Clone)]
pub struct PartyLog {
    inner: Arc<Inner>,
}

struct Inner {
    log: Mutex<Log<PartyStorage>>,
    /// Who waits for the next commit.
    queue: Mutex<VecDeque<Waiting>>,
    kind: LogKind,
    origin: Arc<str>,
    public: PathBuf,
    faults: FaultRecord,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    heads: Heads,
    releaser: Releaser,
    wait: LeafWait,
}

/// Entries that one caller logs together, and where their indices are told.
struct Waiting {
    entries: Vec<LogEntry>,
    reply: oneshot::Sender<Result<Vec<u64>, NotLogged>>,
}

impl core::fmt::Debug for PartyLog {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PartyLog").field("origin", &self.inner.origin).finish_non_exhaustive()
    }
}

impl PartyLog {
    /// Logs entries under one head, in order. On return they are durable, and confirmed by the log's witnesses where the charter has
    /// them wait for that; the index of each. Callers that come while a commit runs share the next one.
    ///
    /// # Errors
    /// [`NotLogged`]: nothing may be done that needed the entry. Where the disk failed the process is stopping.
    pub async fn append(&self, entries: Vec<LogEntry>) -> Result<Vec<u64>, NotLogged> {
        let always = entries.iter().any(|entry| matches!(entry, LogEntry::Camera(_) | LogEntry::Hotlist(_)));
        let (reply, told) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        inner.queue.lock().map_err(|_poisoned| NotLogged::Unwritten)?.push_back(Waiting { entries, reply });
        // Whoever gets the lock first commits for all who wait; the others find nothing left to do.
        let committing = tokio::task::spawn_blocking(move || inner.commit());
        committing.await.map_err(|_panicked| NotLogged::Unwritten)?;
        let indices = told.await.map_err(|_dropped| NotLogged::Unwritten)??;
        if let Some(last) = indices.last() {
            self.confirmed(*last, always).await?;
        }
        Ok(indices)
    }

    /// Whether the clock lets anything be logged now. For a caller that would use up something before it comes to its entry.
    ///
    /// # Errors
    /// [`NotLogged::ClockBack`]; [`NotLogged::Unwritten`] where a panic left the log in an unknown state.
    pub async fn may_append(&self) -> Result<(), NotLogged> {
        let clock = Arc::clone(&self.inner.clock);
        let behind = self.read(move |log| Ok(is_behind(seconds(clock.as_ref()), log))).await?;
        if behind { Err(NotLogged::ClockBack) } else { Ok(()) }
    }

    /// Waits for the quorum of a leaf that is there already, where the charter has this log's leaves wait for it.
    ///
    /// # Errors
    /// [`NotLogged::Unwitnessed`].
    pub async fn confirm(&self, index: u64) -> Result<(), NotLogged> {
        self.confirmed(index, false).await
    }

    /// Waits for the quorum of a leaf that is there already, whatever the charter has this log's leaves wait for.
    ///
    /// # Errors
    /// [`NotLogged::Unwitnessed`].
    pub async fn quorum(&self, index: u64) -> Result<(), NotLogged> {
        self.confirmed(index, true).await
    }

    /// Whether the quorum of a leaf is in.
    #[must_use]
    pub fn is_confirmed(&self, index: u64) -> bool {
        self.inner.releaser.published() > index
    }

    /// Waits until a leaf is confirmed, as far as it must be.
    async fn confirmed(&self, index: u64, always: bool) -> Result<(), NotLogged> {
        if always || self.inner.wait == LeafWait::Cosigned {
            let size = index.saturating_add(1);
            self.inner.releaser.wait_for(size).await.map_err(|_unwitnessed| NotLogged::Unwitnessed)?;
        }
        Ok(())
    }

    /// As [`append`](Self::append) of one entry, unless the same is being said already: the newest leaf of which `same` says that it is
    /// of this kind (`Some`), if it says the same (`Some(true)`), among the last thousand. For what is tried again because its quorum was
    /// missing.
    ///
    /// # Errors
    /// [`NotLogged`].
    pub async fn append_once(
        &self,
        entry: LogEntry,
        same: impl Fn(&LogEntry) -> Option<bool> + Send + 'static,
    ) -> Result<u64, NotLogged> {
        let always = matches!(entry, LogEntry::Camera(_) | LogEntry::Hotlist(_));
        let there = self.read(move |log| {
            let size = log.size();
            for index in (size.saturating_sub(TAIL_LEAVES)..size).rev() {
                if let Ok(Leaf::Known(stamped)) = parse_leaf(&log.leaf(index).map_err(|_log| NotLogged::Unwritten)?)
                    && let Some(same) = same(stamped.entry())
                {
                    return Ok(same.then_some(index));
                }
            }
            Ok(None)
        });
        match there.await? {
            Some(index) => self.confirmed(index, always).await.map(|()| index),
            None => self.append(vec![entry]).await?.first().copied().ok_or(NotLogged::Unwritten),
        }
    }

    /// Entries in the log.
    ///
    /// # Errors
    /// [`NotLogged`] where a panic left the log in an unknown state.
    pub async fn size(&self) -> Result<u64, NotLogged> {
        self.read(|log| Ok(log.size())).await
    }

    /// Is there an entry at or after `from` for which `wanted` says yes? Entries that this release does not know are skipped.
    ///
    /// # Errors
    /// [`NotLogged`] where the log cannot be read.
    pub async fn contains(
        &self,
        from: u64,
        wanted: impl Fn(&LogEntry) -> bool + Send + 'static,
    ) -> Result<bool, NotLogged> {
        Ok(self.find(from, wanted).await?.is_some())
    }

    /// Index of the first entry at or after `from` for which `wanted` says yes. Entries that this release does not know are
    /// skipped.
    ///
    /// # Errors
    /// [`NotLogged`] where the log cannot be read.
    pub async fn find(
        &self,
        from: u64,
        wanted: impl Fn(&LogEntry) -> bool + Send + 'static,
    ) -> Result<Option<u64>, NotLogged> {
        self.read(move |log| {
            for index in from..log.size() {
                let leaf = log.leaf(index).map_err(|_storage| NotLogged::Unwritten)?;
                match parse_leaf(&leaf) {
                    Ok(Leaf::Known(stamped)) if wanted(stamped.entry()) => return Ok(Some(index)),
                    Ok(Leaf::Known(_) | Leaf::Unknown(_)) | Err(_) => {}
                }
            }
            Ok(None)
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Log<PartyStorage>) -> Result<T, NotLogged> + Send + 'static,
    ) -> Result<T, NotLogged> {
        let inner = Arc::clone(&self.inner);
        let ran =
            tokio::task::spawn_blocking(move || work(&*inner.log.lock().map_err(|_poisoned| NotLogged::Unwritten)?));
        ran.await.map_err(|_panicked| NotLogged::Unwritten)?
    }

    /// The log as strangers read it.
    #[must_use]
    pub fn door(&self) -> LogDoor {
        LogDoor::new(self.inner.public.clone(), Some(Arc::new(self.clone())))
    }
}

impl Inner {
    /// Commits everything that waits, batch by batch. Blocks.
    fn commit(&self) {
        let Ok(mut log) = self.log.lock() else { return };
        loop {
            let batch = self.next_batch();
            if batch.is_empty() {
                return;
            }
            self.commit_batch(&mut log, batch);
        }
    }

    /// Those who waited longest, as many as fit under one head.
    fn next_batch(&self) -> Vec<Waiting> {
        let Ok(mut queue) = self.queue.lock() else { return Vec::new() };
        let (mut batch, mut leaves) = (Vec::<Waiting>::new(), 0_usize);
        while let Some(next) = queue.front() {
            leaves = leaves.saturating_add(next.entries.len());
            if !batch.is_empty() && leaves > BATCH_LEAVES {
                break;
            }
            batch.extend(queue.pop_front());
        }
        batch
    }

    fn commit_batch(&self, log: &mut Log<PartyStorage>, batch: Vec<Waiting>) {
        // A log's time never goes back, and a leaf tells no time that no clock showed: nothing is stamped.
        let now = seconds(self.clock.as_ref());
        if is_behind(now, log) {
            for Waiting { reply, .. } in batch {
                let _gone = reply.send(Err(NotLogged::ClockBack));
            }
            return;
        }
        let now = Timestamp(now);
        let mut all = Vec::new();
        let mut callers = Vec::new();
        for Waiting { entries, reply } in batch {
            let count = entries.len();
            let stamped = entries
                .into_iter()
                .map(|entry| Stamped::new(entry, self.kind, &self.origin, now, &mut SystemRng))
                .collect::<Result<Vec<_>, _>>();
            match stamped {
                Ok(stamped) => {
                    all.extend(stamped);
                    callers.push((count, reply));
                }
                // One caller's text that cannot be a leaf is no reason to keep the others waiting.
                Err(_text) => drop(reply.send(Err(NotLogged::Unwritten))),
            }
        }
        match log.append_batch(all) {
            Ok(logged) => {
                self.heads.show(log.head());
                let mut indices = logged.iter().map(lockplate_log::Logged::index);
                for (count, reply) in callers {
                    let _gone = reply.send(Ok(indices.by_ref().take(count).collect()));
                }
            }
            Err(error) => {
                let failed = self.failed(&error);
                for (_count, reply) in callers {
                    let _gone = reply.send(Err(failed));
                }
            }
        }
    }

    fn failed(&self, error: &LogError) -> NotLogged {
        let fault = self.faults.take().map(|fault| fault.source.kind());
        tracing::error!(error = %error, ?fault, "the log cannot be written: the process stops");
        let fatal = matches!(error, LogError::Storage { .. } | LogError::HeadReplaced | LogError::Poisoned);
        if fatal {
            // Essential and ended: the role stops with a failure.
            self.tasks.spawn_essential("log", async {});
        }
        NotLogged::Unwritten
    }
}

impl Publish for PartyLog {
    fn publish(
        &self,
        head: Arc<SignedCheckpoint>,
        cosignatures: Vec<NoteSignature>,
    ) -> BoxFuture<'_, Result<(), NotPublished>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let published = tokio::task::spawn_blocking(move || {
                let mut log = inner.log.lock().map_err(|_poisoned| NotPublished)?;
                log.publish(&head, &cosignatures).map_err(|_traced| NotPublished)
            });
            published.await.map_err(|_panicked| NotPublished)?
        })
    }
}

impl Receipts for PartyLog {
    fn receipt(&self, index: u64) -> BoxFuture<'_, Result<Vec<u8>, Problem>> {
        Box::pin(async move {
            let inner = Arc::clone(&self.inner);
            let made = tokio::task::spawn_blocking(move || {
                let log = inner.log.lock().map_err(|_poisoned| ProblemKind::Unavailable)?;
                log.receipt(index).map_err(|_not_published| ProblemKind::NotFound)
            });
            Ok(made.await.map_err(|_panicked| ProblemKind::Internal)??)
        })
    }
}

/// Whether a clock that shows `now` is behind the newest leaf, which raises the alarm (`log.md` section 3, step 1).
fn is_behind(now: u64, log: &Log<PartyStorage>) -> bool {
    let last = log.last_time().unwrap_or(0);
    let behind = now < last;
    if behind {
        tracing::error!(log = %log.origin(), now, last, "clock-back: the clock is behind the newest entry: nothing is logged");
    }
    behind
}

/// The clock in whole Unix seconds; before 1970 it is 0.
#[must_use]
pub fn seconds(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.now_ms().div_euclid(1_000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TestClock;
    use lockplate_core::entry::EvaluationLeaf;
    use lockplate_core::entry::{DisclosureLeaf, Outcome};
    use lockplate_core::id::AgencyId;

    fn disclosure(cells: u64) -> LogEntry {
        LogEntry::Disclosure(DisclosureLeaf {
            request: [1; 32],
            grant: [2; 32],
            owner: AgencyId([3; 16]),
            cells,
            others: 0,
            outcome: Outcome::None,
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn callers_that_come_together_share_a_head_and_a_bad_one_spoils_nobodys_entry() {
        let folder = tempfile::tempdir().unwrap();
        let signer = NoteSigner::new(Origin::parse("harbour.example/log/desk").unwrap(), &[3; 32]).unwrap();
        let set = WitnessSet::nobody(signer.verifier_key().clone());
        let clock = Arc::new(TestClock::new(1_800_000_000_000));
        let (tasks, party) = (Tasks::new(), ([9; 16], [0; 32]));
        let log = LogOnDisk::load(folder.path(), signer, LogKind::Desk, party, clock, &tasks).unwrap();
        let witnesses = LogWitnesses { set, without: BTreeSet::new(), wait: LeafWait::Cosigned };
        let log = log.start(witnesses).await.unwrap();
        // The first leaf is published before there is a second.
        let shown = async {
            while !log.inner.public.join("checkpoint").exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), shown).await.unwrap();
        let appends = (0..60_u64).map(|cells| {
            let log = log.clone();
            async move {
                if cells == 30 {
                    // No entry of a desk: it cannot be stamped.
                    let foreign = EvaluationLeaf { request: [1; 32], grant: [2; 32], epochs: 1, elements: 1 };
                    assert_eq!(log.append(vec![LogEntry::Evaluation(foreign)]).await, Err(NotLogged::Unwritten));
                    return None;
                }
                Some(log.append(vec![disclosure(cells), disclosure(cells)]).await.unwrap())
            }
        });
        let indices: Vec<u64> = futures_util::future::join_all(appends).await.into_iter().flatten().flatten().collect();
        assert_eq!(indices.iter().collect::<BTreeSet<_>>().len(), 118, "each its own");
        assert!(indices.chunks(2).all(|pair| pair[1] == pair[0] + 1), "one caller's stand together");
        assert_eq!(log.size().await, Ok(119));
        // Each head left its partial tile.
        let heads = std::fs::read_dir(log.inner.public.join("tile/0/000.p")).unwrap().count();
        assert!(heads < 50, "{heads} heads for 59 callers");
        // What is said already is not said again; what is new is.
        let same = |cells: u64| {
            move |entry: &LogEntry| match entry {
                LogEntry::Disclosure(leaf) => Some(leaf.cells == cells),
                _ => None,
            }
        };
        let first = log.append_once(disclosure(1_000), same(1_000)).await.unwrap();
        assert_eq!(log.append_once(disclosure(1_000), same(1_000)).await, Ok(first));
        assert_eq!(log.append_once(disclosure(1_001), same(1_001)).await, Ok(first + 1));
        tasks.finish(std::time::Duration::from_secs(10)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn with_a_clock_behind_the_newest_leaf_nothing_is_logged_until_it_has_caught_up() {
        const NOW_MS: i64 = 1_800_000_000_000;
        let folder = tempfile::tempdir().unwrap();
        let signer = || NoteSigner::new(Origin::parse("harbour.example/log/desk").unwrap(), &[3; 32]).unwrap();
        let set = WitnessSet::nobody(signer().verifier_key().clone());
        let clock = Arc::new(TestClock::new(NOW_MS));
        // A publication that was under way when its tasks ended may hold the lock of the folder for a moment.
        let load = async |tasks: &Tasks| {
            for _ in 0..1_000 {
                let party = ([9; 16], [0; 32]);
                match LogOnDisk::load(folder.path(), signer(), LogKind::Desk, party, clock.clone(), tasks) {
                    Err(OpenError::Folder(_)) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                    loaded => return loaded.unwrap(),
                }
            }
            panic!("the folder stays locked");
        };
        let witnesses = || LogWitnesses { set: set.clone(), without: BTreeSet::new(), wait: LeafWait::Durable };
        let tasks = Tasks::new();
        let log = load(&tasks).await.start(witnesses()).await.unwrap();
        assert_eq!(log.append(vec![disclosure(1)]).await, Ok(vec![1]));
        assert_eq!(log.may_append().await, Ok(()));

        clock.jump_to(NOW_MS - 1_000);
        let told = tokio::join!(log.append(vec![disclosure(2)]), log.append(vec![disclosure(3)]));
        assert_eq!(told, (Err(NotLogged::ClockBack), Err(NotLogged::ClockBack)));
        assert_eq!(log.may_append().await, Err(NotLogged::ClockBack));
        assert_eq!(log.size().await, Ok(2), "nothing was logged");
        assert!(!tasks.stopping().is_cancelled(), "and the process goes on");

        // Equal is not behind.
        clock.jump_to(NOW_MS);
        assert_eq!(log.append(vec![disclosure(2)]).await, Ok(vec![2]));
        drop(log);
        tasks.finish(std::time::Duration::from_secs(10)).await.unwrap();

        // At a start: no leaf is written, and where none is needed the log is taken up.
        let tasks = Tasks::new();
        let there = load(&tasks).await;
        clock.jump_to(NOW_MS - 1_000);
        let refused = there.open(&set, vec!["court.example/witness".into()], LeafWait::Durable).err();
        assert!(matches!(refused, Some(OpenError::ClockBack)), "{refused:?}");
        clock.jump_to(NOW_MS);
        let there = load(&tasks).await;
        clock.jump_to(NOW_MS - 1_000);
        let log = there.start(witnesses()).await.unwrap();
        assert_eq!(log.size().await, Ok(3));
        assert_eq!(log.append(vec![disclosure(3)]).await, Err(NotLogged::ClockBack));
        drop(log);
        tasks.finish(std::time::Duration::from_secs(10)).await.unwrap();
    }
}

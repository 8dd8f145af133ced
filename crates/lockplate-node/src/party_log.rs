//! The log of an agency's recorder or desk, as async code uses it: append, publish, read. It must never let anything go on
//! after a failed write: what is on the disk is then unknown, and the process stops (`reliability.md` section 1).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use lockplate_core::Timestamp;
use lockplate_core::entry::{Genesis, Leaf, LogEntry, LogKind, Stamped, leaf_time, parse_leaf};
use lockplate_log::{Error as LogError, Log, LogFile, NoteSigner};
use lockplate_store::log_files::{AcquireError, FaultRecord, FileLogStorage};

use crate::clock::Clock;
use crate::log_door::{LogDoor, Receipts};
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;
use crate::shutdown::{ExitKind, Tasks};

/// Why a log could not be taken up.
#[derive(Debug)]
pub enum OpenError {
    /// Its folder: another process has it, or it cannot be made.
    Folder(AcquireError),
    /// What lies there is not a good log of this key, or is older than what was published, or the clock is behind it.
    Log(LogError),
    /// The first leaf could not be written down.
    Leaf,
}

impl OpenError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Folder(_) | Self::Log(_) => ExitKind::Config,
            Self::Leaf => ExitKind::Internal,
        }
    }
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Folder(_) => "the folder of the log cannot be used",
            Self::Log(_) => "the log on the disk cannot be taken up\nrun: lockplate doctor --store DIR",
            Self::Leaf => "the first leaf of the log could not be written down",
        })
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Folder(cause) => Some(cause),
            Self::Log(cause) => Some(cause),
            Self::Leaf => None,
        }
    }
}

/// An entry was not logged, so what it stands for must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLogged;

impl core::fmt::Display for NotLogged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the log cannot be written")
    }
}

impl core::error::Error for NotLogged {}

/// One log. Cheap to clone; all clones are the same log.
#[derive(Clone)]
pub struct PartyLog {
    log: Arc<Mutex<Log<FileLogStorage>>>,
    kind: LogKind,
    origin: Arc<str>,
    public: PathBuf,
    faults: FaultRecord,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

impl core::fmt::Debug for PartyLog {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PartyLog").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl PartyLog {
    /// Takes up the log of `signer` below `logs`, or begins it: `party` and `charter` stand in its first leaf. Publishes the
    /// head. Blocks; call it at start. A write that fails later stops `tasks`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        logs: &Path,
        signer: NoteSigner,
        kind: LogKind,
        (party, charter): ([u8; 16], [u8; 32]),
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let name = signer.verifier_key().name().clone();
        let storage = FileLogStorage::acquire(logs, &name).map_err(OpenError::Folder)?;
        let (public, faults) = (storage.public(), storage.faults());
        let now = seconds(clock.as_ref());
        let origin: Arc<str> = name.as_str().into();
        let mut log = if storage_is_new(&storage)? {
            Log::create(storage, signer).map_err(OpenError::Log)?
        } else {
            Log::load(storage, signer, leaf_time, now).map_err(OpenError::Log)?
        };
        if log.size() == 0 {
            let genesis = LogEntry::Genesis(Genesis { party, role: kind, charter });
            let leaf = Stamped::new(genesis, kind, &origin, Timestamp(now), &mut SystemRng)
                .map_err(|_text| OpenError::Leaf)?;
            log.append(leaf).map(drop).map_err(OpenError::Log)?;
        }
        let head = log.head().clone();
        log.publish(&head, &[]).map_err(OpenError::Log)?;
        let log = Arc::new(Mutex::new(log));
        Ok(Self { log, kind, origin, public, faults, clock, tasks: tasks.clone() })
    }

    /// Logs entries under one head, in order, and publishes it. On return they are durable; the index of each.
    ///
    /// # Errors
    /// [`NotLogged`]: nothing may be done that needed the entry. Where the disk failed the process is stopping.
    pub async fn append(&self, entries: Vec<LogEntry>) -> Result<Vec<u64>, NotLogged> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.append_now(entries)).await.map_err(|_panicked| NotLogged)?
    }

    fn append_now(&self, entries: Vec<LogEntry>) -> Result<Vec<u64>, NotLogged> {
        let mut log = self.log.lock().map_err(|_poisoned| NotLogged)?;
        // A log's time never goes back: a clock that was set back waits at the last leaf's.
        let now = seconds(self.clock.as_ref()).max(log.last_time().unwrap_or(0));
        let stamped = entries
            .into_iter()
            .map(|entry| Stamped::new(entry, self.kind, &self.origin, Timestamp(now), &mut SystemRng))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_text| NotLogged)?;
        let logged = log.append_batch(stamped).map_err(|error| self.failed(&error))?;
        let head = log.head().clone();
        log.publish(&head, &[]).map_err(|error| self.failed(&error))?;
        Ok(logged.iter().map(lockplate_log::Logged::index).collect())
    }

    fn failed(&self, error: &LogError) -> NotLogged {
        let fault = self.faults.take().map(|fault| fault.source.kind());
        tracing::error!(error = %error, ?fault, "the log cannot be written: the process stops");
        let fatal = matches!(error, LogError::Storage { .. } | LogError::HeadReplaced | LogError::Poisoned);
        if fatal {
            // Essential and ended: the role stops with a failure.
            self.tasks.spawn_essential("log", async {});
        }
        NotLogged
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
                let leaf = log.leaf(index).map_err(|_storage| NotLogged)?;
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
        work: impl FnOnce(&Log<FileLogStorage>) -> Result<T, NotLogged> + Send + 'static,
    ) -> Result<T, NotLogged> {
        let log = Arc::clone(&self.log);
        let ran = tokio::task::spawn_blocking(move || work(&*log.lock().map_err(|_poisoned| NotLogged)?)).await;
        ran.map_err(|_panicked| NotLogged)?
    }

    /// The log as strangers read it.
    #[must_use]
    pub fn door(&self) -> LogDoor {
        LogDoor::new(self.public.clone(), Some(Arc::new(self.clone())))
    }
}

impl Receipts for PartyLog {
    fn receipt(&self, index: u64) -> BoxFuture<'_, Result<Vec<u8>, Problem>> {
        Box::pin(async move {
            let log = Arc::clone(&self.log);
            let made = tokio::task::spawn_blocking(move || {
                let log = log.lock().map_err(|_poisoned| ProblemKind::Unavailable)?;
                log.receipt(index).map_err(|_not_published| ProblemKind::NotFound)
            });
            Ok(made.await.map_err(|_panicked| ProblemKind::Internal)??)
        })
    }
}

fn storage_is_new(storage: &FileLogStorage) -> Result<bool, OpenError> {
    use lockplate_log::LogStorage as _;
    let head = storage.read_head().map_err(|fault| OpenError::Log(LogError::Storage { file: LogFile::Head, fault }))?;
    Ok(head.is_none())
}

/// The clock in whole Unix seconds; before 1970 it is 0.
#[must_use]
pub fn seconds(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.now_ms().div_euclid(1_000)).unwrap_or(0)
}

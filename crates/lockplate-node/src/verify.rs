//! Verifying everything that one charter's parties publish: its signatures, every log from the first leaf to the last, and the rules of the
//! monitor. `lockplate verify` asks once and acts on the answer, `lockplate audit watch` asks again and again. It must never call anything
//! valid that it could not read: a log that cannot be had is its own result, never an empty one. What a leaf means, and what is an alarm, is
//! `lockplate-audit`'s.
//!
//! # The folder
//!
//! ```text
//! charter.auth      the charter that everything is checked against
//! <origin, / as +>/ one folder a log, in the layout of [`crate::follow`]
//! evidence/         alarms with the leaves they are about
//! ```

pub mod alarm;
pub mod package;
pub mod pin;
pub mod receipt;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use lockplate_audit::logs::{Fork, Head, SeeError};
use lockplate_audit::monitor::{self, Alarm, Gap, MonitorRule};
use lockplate_audit::{LeafRef, Logs};
use lockplate_core::Timestamp;
use lockplate_core::charter::{Charter, CharterFile, CharterLog, LogName};
use lockplate_log::{Checkpoint, Error as LogError, VerifierKey, WitnessPolicy};
use lockplate_store::durable;
use sha2::{Digest as _, Sha256};

use crate::client::PeerTrust;
use crate::cosign::WitnessSet;
use crate::follow::evidence::{EVIDENCE_FOLDER, Evidence, Fork as TreeFork, Verdict};
use crate::follow::{
    CHECKPOINT_FILE, FollowError, Followed, Freshness, Lie, LogSource, Reader, blocking, follow, open,
};
use crate::shutdown::ExitKind;
use crate::witness::{TileSource, mirror_prefix};

/// Name of the charter in the folder.
pub const CHARTER_FILE: &str = "charter.auth";
/// How long a log has to show what a witness confirmed: it publishes within ten seconds, or its answers fail.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(15);
/// Evidence files of alarms that one folder keeps.
const ALARM_FILES_MAX: usize = 1_000;

/// The folder of a log below the folder of its town. Origins have neither `+` nor a part that leads out.
#[must_use]
pub fn log_folder(folder: &Path, origin: &str) -> PathBuf {
    folder.join(origin.replace('/', "+"))
}

/// All logs of one charter, followed into one folder and added up.
#[derive(Debug)]
pub struct Watch {
    charter: CharterFile,
    folder: PathBuf,
    reader: Reader,
    logs: Arc<Mutex<Logs>>,
    followed: BTreeMap<LogName, Arc<Followed>>,
}

/// What one round found.
#[derive(Debug)]
pub struct Look {
    /// When, in seconds since 1970.
    pub at: u64,
    /// Each log, in the charter's order.
    pub logs: Vec<LogLook>,
    /// The alarms that stand.
    pub alarms: Vec<Alarm>,
    /// What could not be checked.
    pub gaps: Vec<Gap>,
}

/// One log in one round.
#[derive(Debug)]
pub struct LogLook {
    /// Whose it is.
    pub name: LogName,
    /// Its origin.
    pub origin: String,
    /// What was proved, or why nothing was.
    pub seen: Result<LogSeen, FollowError>,
}

/// A log that was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSeen {
    /// Leaves.
    pub size: u64,
    /// Of them, those that this round added.
    pub added: u64,
    /// Who confirmed the newest checkpoint.
    pub confirmed_by: Vec<Confirmation>,
    /// Since when a whole quorum has, in seconds since 1970.
    pub confirmed_at: Option<u64>,
    /// How young that is.
    pub freshness: Freshness,
}

/// A witness that confirmed a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Its name for people.
    pub name: String,
    /// The legal entity behind it.
    pub operator: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Look {
    /// What the round comes to: somebody lied, something could not be read, alarms stand, or all is well; the first that holds.
    #[must_use]
    pub fn exit_kind(&self) -> ExitKind {
        let kinds: Vec<ExitKind> =
            self.logs.iter().filter_map(|log| log.seen.as_ref().err()).map(FollowError::exit_kind).collect();
        let lied = kinds.contains(&ExitKind::Lied) || self.alarms.iter().any(|alarm| alarm.rule.is_proof());
        if lied {
            return ExitKind::Lied;
        }
        let ours = kinds.iter().find(|kind| matches!(kind, ExitKind::Internal | ExitKind::Config));
        match (ours, kinds.first()) {
            (Some(kind), _) | (None, Some(kind)) => *kind,
            (None, None) if self.alarms.is_empty() => ExitKind::Done,
            (None, None) => ExitKind::Problems,
        }
    }
}

impl Watch {
    /// Nothing seen yet. Makes the folder and puts the charter in it; a folder of another charter is refused.
    ///
    /// # Errors
    /// [`FollowError::Folder`].
    pub fn new(charter: CharterFile, folder: &Path, reader: Reader) -> Result<Self, FollowError> {
        durable::create_dir(folder)?;
        let file = folder.join(CHARTER_FILE);
        match std::fs::read(&file) {
            Ok(there) if there == charter.bytes() => {}
            Ok(_other) => return Err(FollowError::Folder(io::Error::other("the folder is of another charter"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => durable::replace(&file, charter.bytes())?,
            Err(error) => return Err(FollowError::Folder(error)),
        }
        let mut logs = Logs::new(charter.clone());
        for log in charter.charter().logs() {
            let kept = log_folder(folder, log.key.name().as_str()).join(EVIDENCE_FOLDER);
            for fork in Evidence::kept_forks(&kept, log.key) {
                tell_fork(&mut logs, &log.name, fork);
            }
        }
        let logs = Arc::new(Mutex::new(logs));
        Ok(Self { charter, folder: folder.to_path_buf(), reader, logs, followed: BTreeMap::new() })
    }

    /// The charter.
    #[must_use]
    pub const fn charter(&self) -> &CharterFile {
        &self.charter
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the logs add up to so far.
    pub fn with_logs<T>(&self, read: impl FnOnce(&Logs) -> T) -> T {
        read(&self.logs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells which rules a policy bundle holds, so that a citation of another one is found.
    pub fn tell_bundle(&self, digest: [u8; 32], rules: BTreeSet<String>) {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).tell_bundle(digest, rules);
    }

    /// Follows every log to its newest checkpoint, all at once, takes what is new, and judges at `now` (seconds since 1970). A log that cannot
    /// be followed keeps what was proved of it before.
    pub async fn look(&mut self, now: u64) -> Look {
        self.round(now, true).await
    }

    /// What was saved in the folder, judged as of the moment at which the newest of it was confirmed: what was due later cannot be in it.
    /// Asks nobody.
    pub async fn look_at_saved_as_of_then(&mut self, now: u64) -> Look {
        let look = self.round(now, false).await;
        let confirmed = look.logs.iter().filter_map(|log| log.seen.as_ref().ok()?.confirmed_at);
        let at = confirmed.max().unwrap_or(now).min(now);
        let alarms = self.with_logs(|logs| monitor::alarms(logs, Timestamp(at)));
        Look { at, alarms, ..look }
    }

    /// As [`Watch::look`], but of what was saved in the folder; asks nobody.
    pub async fn look_at_saved(&mut self, now: u64) -> Look {
        self.round(now, false).await
    }

    async fn round(&mut self, now: u64, ask: bool) -> Look {
        let charter = self.charter.charter();
        let names: Vec<_> = charter.logs().map(|log| (log.name, log.key.name().to_string())).collect();
        let results = join_all(charter.logs().map(|log| self.see_log(log, now, ask))).await;
        let mut logs = Vec::new();
        for ((name, origin), (followed, seen)) in names.into_iter().zip(results) {
            if let Some(followed) = followed {
                self.followed.insert(name, followed);
            }
            logs.push(LogLook { name, origin, seen });
        }
        let (alarms, gaps) = self.with_logs(|logs| (monitor::alarms(logs, Timestamp(now)), monitor::gaps(logs)));
        Look { at: now, logs, alarms, gaps }
    }

    async fn see_log(
        &self,
        log: CharterLog<'_>,
        now: u64,
        ask: bool,
    ) -> (Option<Arc<Followed>>, Result<LogSeen, FollowError>) {
        let charter = self.charter.charter();
        let Ok(policy) = charter.witness_policy(&log.name) else { return (None, Err(FollowError::UnknownLog)) };
        let folder = log_folder(&self.folder, log.key.name().as_str());
        let source = LogSource {
            prefix_url: log.url(),
            trust: PeerTrust::Pinned(log.tls_pin),
            policy: policy.clone(),
            reader: self.reader,
        };
        let result = if ask {
            follow(&source, &folder, now).await
        } else {
            let (folder, policy, reader) = (folder.clone(), policy.clone(), self.reader);
            blocking(move || open(&folder, &policy, reader, now)).await
        };
        let witnesses = WitnessSet::of(charter, &log.name).ok().filter(|_| ask);
        let convicted = match &witnesses {
            Some(witnesses) => refused_by(witnesses, log.key, &folder).await.err(),
            None => None,
        };
        let (followed, fault) = match (result, witnesses) {
            (Ok(followed), Some(witnesses)) => {
                let (followed, fault) = match convicted {
                    Some(error) => (followed, Some(error)),
                    None => {
                        let read = (followed, &source, folder.as_path());
                        compared(charter, &witnesses, &log, read, now).await
                    }
                };
                if let Some(error) = &fault {
                    self.tell_fork(&log.name, error);
                }
                (Some(followed), fault)
            }
            (Ok(followed), None) => (Some(followed), None),
            (Err(error), _) => {
                let error = if error.exit_kind() == ExitKind::Lied { error } else { convicted.unwrap_or(error) };
                self.tell_fork(&log.name, &error);
                // A monitor that starts while a log is away goes on from what it proved before.
                let known = self.followed.contains_key(&log.name) || !folder.join(CHECKPOINT_FILE).exists();
                let saved = if known || !ask {
                    None
                } else {
                    blocking(move || open(&folder, &policy, Reader::Monitor, now)).await.ok()
                };
                (saved, Some(error))
            }
        };
        let Some(followed) = followed.map(Arc::new) else {
            return (None, Err(fault.unwrap_or(FollowError::Internal)));
        };
        let (logs, name, view) = (Arc::clone(&self.logs), log.name, Arc::clone(&followed));
        let added = blocking(move || take(&logs, &name, &view, now)).await;
        let seen = match (fault, added) {
            (Some(fault), _) | (None, Err(fault)) => Err(fault),
            (None, Ok(added)) => Ok(self.seen(&log.name, &followed, added, now)),
        };
        (Some(followed), seen)
    }

    fn seen(&self, name: &LogName, followed: &Followed, added: u64, now: u64) -> LogSeen {
        let charter = self.charter.charter();
        let confirmed_by = followed.cosigned().cosignatures.iter().filter_map(|cosignature| {
            let witness = charter.witnesses_of(name).find(|witness| witness.key.name() == cosignature.witness())?;
            let (name, operator) = (witness.name.to_owned(), witness.operator.to_owned());
            Some(Confirmation { name, operator, at: cosignature.time() })
        });
        LogSeen {
            size: followed.checkpoint().size(),
            added,
            confirmed_by: confirmed_by.collect(),
            confirmed_at: followed.cosigned().quorum_at,
            freshness: followed.freshness(now),
        }
    }

    /// A fork that the follower found is the monitor's as well.
    fn tell_fork(&self, name: &LogName, error: &FollowError) {
        let FollowError::Lied { lie: Lie::Forked, evidence } = error else { return };
        if let Some(fork) = std::fs::read(evidence).ok().and_then(|bytes| Evidence::parse(&bytes).ok()) {
            tell_fork(&mut self.logs.lock().unwrap_or_else(PoisonError::into_inner), name, fork);
        }
    }

    /// Writes an alarm with the exact bytes of its leaves and their receipts into the folder's `evidence`, durable on return, and says
    /// where. The same alarm is the same file.
    ///
    /// # Errors
    /// [`FollowError::Folder`].
    pub fn keep_alarm(&self, alarm: &Alarm) -> Result<PathBuf, FollowError> {
        // A fork has its file already, which convicts by itself.
        for log in alarm.logs.iter().filter(|_| alarm.rule == MonitorRule::Fork) {
            let Some(log) = self.charter.charter().log(log) else { continue };
            let kept = log_folder(&self.folder, log.key.name().as_str()).join(EVIDENCE_FOLDER);
            let forks = Evidence::kept_fork_files(&kept, log.key);
            if let Some((path, _)) = forks.into_iter().find(|(_, fork)| fork.notes() == alarm.notes) {
                return Ok(path);
            }
        }
        let read = |leaf: &LeafRef| {
            let (bytes, receipt) = self.followed.get(&leaf.log)?.receipt(leaf.index).ok()?;
            Some((bytes, receipt.to_bytes()))
        };
        let evidence = self.with_logs(|logs| alarm.evidence(logs, read));
        let bytes = serde_json::to_vec_pretty(&evidence).map_err(|_our_type| FollowError::Internal)?;
        let told =
            serde_json::to_vec(&(&evidence.leaves, &evidence.notes)).map_err(|_our_type| FollowError::Internal)?;
        let digest = hex::encode(Sha256::digest(&told).get(..8).unwrap_or_default());
        let folder = self.folder.join(EVIDENCE_FOLDER);
        durable::create_dir(&folder)?;
        let path = folder.join(format!("{}-{digest}.json", alarm.rule.name()));
        let count = std::fs::read_dir(&folder).map_err(FollowError::Folder)?.take(ALARM_FILES_MAX).count();
        if count >= ALARM_FILES_MAX && !path.exists() {
            return Ok(folder);
        }
        durable::replace(&path, &bytes)?;
        Ok(path)
    }

    /// Writes receipts of the first, middle and last leaf of each log that was proved, for verifiers that read receipts only.
    ///
    /// # Errors
    /// As [`Followed::save_receipts`].
    pub fn save_receipts(&self) -> Result<(), FollowError> {
        for followed in self.followed.values() {
            let Some(last) = followed.checkpoint().size().checked_sub(1) else { continue };
            let folder = log_folder(&self.folder, followed.checkpoint().origin().as_str());
            followed.save_receipts(&folder, [0, last / 2, last])?;
        }
        Ok(())
    }
}

/// What witnesses refused to confirm because it cannot be true convicts the log, whatever it shows to others. A witness that is away says
/// nothing.
async fn refused_by(witnesses: &WitnessSet, log: &VerifierKey, folder: &Path) -> Result<(), FollowError> {
    let shown = join_all(witnesses.peers().iter().map(|witness| witness.forks(log))).await;
    for fork in shown.into_iter().flatten().flatten() {
        if matches!(fork.check(), Ok(Verdict::Forked(key)) if *key == *log) {
            durable::create_dir(folder)?;
            let evidence = fork.keep(&folder.join(EVIDENCE_FOLDER))?;
            return Err(FollowError::Lied { lie: Lie::Forked, evidence });
        }
    }
    Ok(())
}

/// A log that was read beside what its witnesses confirmed. Where they confirmed more it is given the time to show that, and read again: what
/// it goes on withholding is no reason to call it a liar, and none to call it valid.
async fn compared(
    charter: &Charter,
    witnesses: &WitnessSet,
    log: &CharterLog<'_>,
    (followed, source, folder): (Followed, &LogSource, &Path),
    now: u64,
) -> (Followed, Option<FollowError>) {
    let confirmed = match confirmed_by(charter, witnesses, log, (folder, &source.policy), &followed, now).await {
        Ok(confirmed) if confirmed > followed.checkpoint().size() => confirmed,
        Ok(_) => return (followed, None),
        Err(error) => return (followed, Some(error)),
    };
    tokio::time::sleep(PUBLISHED_WITHIN).await;
    match follow(source, folder, now.saturating_add(PUBLISHED_WITHIN.as_secs())).await {
        Ok(again) => {
            let shown = again.checkpoint().size();
            let fault = (shown < confirmed).then_some(FollowError::Withheld { shown, confirmed });
            (again, fault)
        }
        Err(error) => (followed, Some(error)),
    }
}

/// What witnesses confirmed of a log must be of the log that was read: else one of them was shown another. Leaves of the most that one of
/// them confirmed, or of what was read.
async fn confirmed_by(
    charter: &Charter,
    witnesses: &WitnessSet,
    log: &CharterLog<'_>,
    (folder, policy): (&Path, &WitnessPolicy),
    followed: &Followed,
    now: u64,
) -> Result<u64, FollowError> {
    let records = join_all(witnesses.peers().iter().map(|witness| witness.newest(log.key))).await;
    let shown = followed.checkpoint().size();
    // Witnesses mostly confirmed the same: its tiles are read once.
    let mut beyond: Vec<Checkpoint> = Vec::new();
    for record in records.into_iter().flatten().flatten() {
        followed.check_against(folder, policy, record.signed(), now)?;
        if record.checkpoint().size() <= shown || beyond.contains(record.checkpoint()) {
            continue;
        }
        if let Some(fork) = fork_beyond(charter, log, followed, record.checkpoint()).await {
            let evidence = Evidence::fork(log.key, (followed.signed(), record.signed()), Some(&fork), now);
            let evidence = evidence.keep(&folder.join(EVIDENCE_FOLDER))?;
            return Err(FollowError::Lied { lie: Lie::Forked, evidence });
        }
        beyond.push(record.checkpoint().clone());
    }
    Ok(beyond.iter().map(Checkpoint::size).max().unwrap_or(shown))
}

/// The fork, if what a witness confirmed beyond what is shown does not begin with it. The log's own server has the tiles, or a mirror.
async fn fork_beyond(
    charter: &Charter,
    log: &CharterLog<'_>,
    followed: &Followed,
    larger: &Checkpoint,
) -> Option<TreeFork> {
    let own = TileSource::new(log.base_url, PeerTrust::Pinned(log.tls_pin), log.name.path());
    let copies = charter.witnesses_of(&log.name).filter(|witness| witness.keeper.is_none()).map(|witness| {
        TileSource::new(witness.base_url, PeerTrust::Pinned(witness.tls_pin), &mirror_prefix(log.key.name()))
    });
    // Made before anything is waited for: the iterator is not one that tasks can carry.
    let sources: Vec<TileSource> = core::iter::once(own).chain(copies).flatten().collect();
    for source in sources {
        if let Ok(looked) = source.fork(larger.clone(), followed.checkpoint().clone()).await {
            return looked;
        }
    }
    None
}

fn tell_fork(logs: &mut Logs, name: &LogName, fork: Evidence) {
    if let Ok([one, other]) = <[Vec<u8>; 2]>::try_from(fork.notes()) {
        // The charter has the log, or it would not have been followed.
        let _known = logs.tell_fork(name, Fork { one, other });
    }
}

/// Why a leaf was not taken.
enum TakeError {
    Log(LogError),
    See(SeeError),
}

impl From<LogError> for TakeError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// Takes the leaves that have not been taken yet, then the checkpoint; says how many.
fn take(logs: &Mutex<Logs>, name: &LogName, followed: &Followed, now: u64) -> Result<u64, FollowError> {
    let mut logs = logs.lock().unwrap_or_else(PoisonError::into_inner);
    let (from, view) = (logs.seen(name), followed.view());
    let first = from / u64::from(lockplate_log::limits::TILE_WIDTH);
    let taken = view.verify(first..view.bundle_count(), |index, leaf| {
        if index < from { Ok(()) } else { logs.see(name, index, leaf).map_err(TakeError::See) }
    });
    taken.map_err(|error| match error {
        TakeError::Log(LogError::Altered(file) | LogError::Missing(file)) => FollowError::Damaged(file),
        TakeError::Log(_) | TakeError::See(SeeError::OutOfOrder { .. }) => FollowError::Internal,
        TakeError::See(SeeError::UnknownLog) => FollowError::UnknownLog,
    })?;
    let head = Head::of(followed.cosigned(), Timestamp(now));
    logs.tell_head(name, head).map_err(|_unknown| FollowError::UnknownLog)?;
    Ok(followed.checkpoint().size().saturating_sub(from))
}

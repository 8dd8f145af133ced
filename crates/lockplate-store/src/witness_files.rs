//! What a witness keeps about the logs it watches: [`WitnessFiles`]. It decides nothing by itself; the decision is
//! [`lockplate_log::consider`], and [`WitnessFiles::add_checkpoint`] puts it and the disk under one lock a log, in the order that keeps a
//! witness honest: read the record, consider, persist, and only then let the cosignature out.
//!
//! Layout, below the party's `witness` folder; `<id>` is the hex of SHA-256 of the origin:
//!
//! ```text
//! lock                                   exclusive; a second process is refused
//! <id>                                   the last checkpoint cosigned, served as it is
//! <id>.frozen                            there is evidence: nothing of this log is cosigned before a human clears it
//! <id>.evidence/<16 hex of sha256>.asked     the body that did not fit
//! <id>.evidence/<16 hex of sha256>.recorded  what was recorded when it was kept
//! <id>.evidence/fork-<16 hex of sha256>.*    the same two of a body that proves a fork; counted apart
//! <id>.evidence/fork-*.json                  what convicts the log, as the caller wrote it and shows it to everybody
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lockplate_log::limits::{ADD_CHECKPOINT_BYTES_MAX, NOTE_BYTES_MAX};
use lockplate_log::{
    AddCheckpoint, CosignError, CosignatureSigner, Origin, Refusal, Standing, VerifierKey, WitnessRecord, consider,
};
use sha2::{Digest as _, Sha256};

use crate::durable::{self, LockFile};
use crate::log_files::{AcquireError, read_bounded};

/// Suspicions kept against one log. Enough for a human to see what happens, and a bound for a stranger who sends rubbish under a signed
/// checkpoint.
pub const SUSPICIONS_MAX: usize = 32;

/// Proofs of a fork kept against one log. The first freezes it, so more than one comes only where a human cleared it again.
pub const PROOFS_MAX: usize = 16;

/// What the names of proofs begin with; no hash does.
const PROOF_PREFIX: &str = "fork-";

/// How the names of bodies end.
const BODY_SUFFIX: &str = ".asked";

/// What a body that is kept says about its log. The two have bounds of their own: strangers can make suspicions, and however many they
/// make, the proof finds room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceSort {
    /// The proof in it fails. Nobody has signed that, so anybody may have made it.
    Suspicion,
    /// The log's own key has signed two histories.
    Proof,
}

impl EvidenceSort {
    const fn of(refusal: Refusal) -> Self {
        if refusal.proves_fork() { Self::Proof } else { Self::Suspicion }
    }

    /// Bodies of this sort that are kept against one log.
    const fn bodies_max(self) -> usize {
        match self {
            Self::Suspicion => SUSPICIONS_MAX,
            Self::Proof => PROOFS_MAX,
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Suspicion => "",
            Self::Proof => PROOF_PREFIX,
        }
    }

    /// Whether a file of this name is a body of this sort.
    fn is_body(self, name: &str) -> bool {
        name.ends_with(BODY_SUFFIX) && name.starts_with(PROOF_PREFIX) == matches!(self, Self::Proof)
    }
}

/// Why a witness did not cosign.
#[derive(Debug)]
pub enum AddError {
    /// The request does not deserve it; what to answer.
    Refused(Refusal),
    /// The clock is before the last cosignature of this log, or out of range.
    Clock(lockplate_log::Error),
    /// The record on the disk is not one this witness wrote for this log: a human must look.
    Altered(lockplate_log::Error),
    /// The disk failed. Where [`durable::Error::must_stop`], the process must exit.
    Storage(durable::Error),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Clock(_) => f.write_str("the clock is before the last cosignature of this log"),
            Self::Altered(_) => f.write_str("the witness's record of this log is not one that it wrote"),
            Self::Storage(_) => f.write_str("the witness's record of this log could not be read or written"),
        }
    }
}

impl std::error::Error for AddError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Clock(error) | Self::Altered(error) => Some(error),
            Self::Storage(error) => Some(error),
        }
    }
}

/// The folder of a witness, locked for as long as this value lives. Shared between threads.
#[derive(Debug)]
pub struct WitnessFiles {
    folder: PathBuf,
    /// One lock a log that was ever asked about; the caller only asks about logs it knows, so there are few.
    logs: Mutex<BTreeMap<Origin, Arc<Mutex<()>>>>,
    _lock: LockFile,
}

impl WitnessFiles {
    /// Locks `folder`, makes it if it is missing, and removes what a crash left half written.
    ///
    /// # Errors
    /// [`AcquireError`], by cause.
    pub fn acquire(folder: &Path) -> Result<Self, AcquireError> {
        durable::create_dir(folder).map_err(AcquireError::Folder)?;
        let lock = LockFile::acquire(folder).map_err(AcquireError::Lock)?;
        durable::remove_temporaries(folder).map_err(AcquireError::Folder)?;
        // A record that was renamed and not synced before a crash may be in the cache only, and its cosignature may be out.
        durable::sync_dir(folder).map_err(AcquireError::Folder)?;
        Ok(Self { folder: folder.to_owned(), logs: Mutex::new(BTreeMap::new()), _lock: lock })
    }

    /// The record of a log as it is served under `<witness>/<id>/checkpoint`; `None` if this witness never cosigned it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn read(&self, origin: &Origin) -> io::Result<Option<Vec<u8>>> {
        read_bounded(&self.record(origin), NOTE_BYTES_MAX)
    }

    /// Replaces the record of a log; durable on return. [`WitnessFiles::add_checkpoint`] does this with the checks around it; alone it is for
    /// a mirror that adopts its own record from elsewhere, and for tests.
    ///
    /// # Errors
    /// As [`durable::replace`].
    pub fn replace(&self, origin: &Origin, record: &[u8]) -> Result<(), durable::Error> {
        durable::replace(&self.record(origin), record)
    }

    /// The whole of `add-checkpoint` after the body was parsed and the log's key was found: decides, persists, and returns the new record,
    /// whose [`answer`](WitnessRecord::answer) may then be sent. Evidence is kept, and a proved fork freezes the log, before this returns.
    /// Requests about one log wait for each other; `now` (seconds since 1970) is asked when it is this one's turn, so that times do not run
    /// back. Blocks on the disk for a few milliseconds.
    ///
    /// # Errors
    /// [`AddError`]. Nothing was cosigned. [`AddError::Refused`] with [`Refusal::is_evidence`] must be told to a human (alarm `log-fork`).
    pub fn add_checkpoint(
        &self,
        asked: &AddCheckpoint,
        log: &VerifierKey,
        witness: &CosignatureSigner,
        now: impl FnOnce() -> u64,
    ) -> Result<WitnessRecord, AddError> {
        let turn = self.turn(log.name());
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = self.standing(log, witness.verifier_key())?;
        match consider(asked, log, &standing) {
            Ok(consistent) => {
                let persist = |record: &[u8]| self.replace(log.name(), record);
                consistent.cosign(witness, now(), persist).map_err(|error| match error {
                    CosignError::Log(error) => AddError::Clock(error),
                    CosignError::Persist(error) => AddError::Storage(error),
                })
            }
            Err(refusal) => {
                if refusal.is_evidence() {
                    let sort = EvidenceSort::of(refusal);
                    self.keep_evidence(log.name(), sort, &asked.to_bytes()).map_err(AddError::Storage)?;
                }
                if refusal.proves_fork() {
                    self.freeze(log.name()).map_err(AddError::Storage)?;
                }
                Err(AddError::Refused(refusal))
            }
        }
    }

    /// How a log stands here.
    ///
    /// # Errors
    /// [`AddError::Storage`]; [`AddError::Altered`] if the record is not by both keys.
    pub fn standing(&self, log: &VerifierKey, witness: &VerifierKey) -> Result<Standing, AddError> {
        let bytes = self.read(log.name()).map_err(|error| AddError::Storage(durable::Error::cannot_open(error)))?;
        let newest = bytes.map(|bytes| WitnessRecord::parse(&bytes, log, witness)).transpose();
        let frozen =
            self.is_frozen(log.name()).map_err(|error| AddError::Storage(durable::Error::cannot_open(error)))?;
        Ok(Standing { newest: newest.map_err(AddError::Altered)?, frozen })
    }

    /// Keeps a body that did not fit, and what is recorded now, for a human; durable on return. The same body twice is kept once, as a proof
    /// if it is one. Above [`SUSPICIONS_MAX`] or [`PROOFS_MAX`] bodies of one log nothing more of that sort is kept. Freezes nothing: whoever
    /// only holds a failing proof holds a suspicion (see [`lockplate_log::witness`]).
    ///
    /// # Errors
    /// As [`durable::replace`].
    pub fn keep_evidence(&self, origin: &Origin, sort: EvidenceSort, body: &[u8]) -> Result<(), durable::Error> {
        let folder = self.evidence_folder(origin);
        durable::create_dir(&folder)?;
        let digest = body_id(body);
        let asked = |sort: EvidenceSort| folder.join(format!("{}{digest}{BODY_SUFFIX}", sort.prefix()));
        let recorded = |sort: EvidenceSort| folder.join(format!("{}{digest}.recorded", sort.prefix()));
        let kept = self.bodies(origin, sort).map_err(durable::Error::cannot_open)?;
        if kept.len() >= sort.bodies_max() || kept.contains(&asked(sort)) || asked(EvidenceSort::Proof).exists() {
            return Ok(());
        }
        if let Some(record) = self.read(origin).map_err(durable::Error::cannot_open)? {
            durable::replace(&recorded(sort), &record)?;
        }
        durable::replace(&asked(sort), body)?;
        let suspicion = asked(EvidenceSort::Suspicion);
        if sort == EvidenceSort::Proof && suspicion.exists() {
            // It is a proof now, and lies on the disk as one.
            durable::remove(&suspicion)?;
            durable::remove(&recorded(EvidenceSort::Suspicion))?;
        }
        Ok(())
    }

    /// Drops a suspicion, because its checkpoint was found to be of the log that is recorded. A proof stays.
    ///
    /// # Errors
    /// As [`durable::remove`].
    pub fn drop_suspicion(&self, origin: &Origin, body: &[u8]) -> Result<(), durable::Error> {
        let turn = self.turn(origin);
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (folder, digest) = (self.evidence_folder(origin), body_id(body));
        for file in [folder.join(format!("{digest}{BODY_SUFFIX}")), folder.join(format!("{digest}.recorded"))] {
            if file.exists() {
                durable::remove(&file)?;
            }
        }
        Ok(())
    }

    /// Where the bodies kept against a log lie. A caller that can say more of a proof puts it beside them, as `fork-*.json`.
    #[must_use]
    pub fn evidence_folder(&self, origin: &Origin) -> PathBuf {
        self.folder.join(format!("{}.evidence", record_id(origin)))
    }

    /// The bodies kept against a log: proofs first, then suspicions, each in the order of their names.
    ///
    /// # Errors
    /// The operating system's.
    pub fn evidence(&self, origin: &Origin) -> io::Result<Vec<Vec<u8>>> {
        let mut paths = self.bodies(origin, EvidenceSort::Proof)?;
        paths.extend(self.bodies(origin, EvidenceSort::Suspicion)?);
        read_bodies(&paths)
    }

    /// The suspicions among them.
    ///
    /// # Errors
    /// The operating system's.
    pub fn suspicions(&self, origin: &Origin) -> io::Result<Vec<Vec<u8>>> {
        read_bodies(&self.bodies(origin, EvidenceSort::Suspicion)?)
    }

    /// The bodies of one sort kept against a log, by name. Only this type writes into the folder, within the bounds of
    /// [`WitnessFiles::keep_evidence`], so the list is short.
    fn bodies(&self, origin: &Origin, sort: EvidenceSort) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        match fs::read_dir(self.evidence_folder(origin)) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry?;
                    if entry.file_name().to_str().is_some_and(|name| sort.is_body(name)) {
                        paths.push(entry.path());
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        paths.sort();
        Ok(paths)
    }

    /// For a caller that has turned a suspicion into proof: keeps its body as a proof and freezes the log, durable on return. The body may
    /// not have found room among the suspicions. Waits for requests about the log. A body that cannot be kept is no reason to cosign on:
    /// the log is frozen all the same.
    ///
    /// # Errors
    /// As [`durable::replace`].
    pub fn freeze_on(&self, origin: &Origin, body: &[u8]) -> Result<(), durable::Error> {
        let turn = self.turn(origin);
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.keep_evidence(origin, EvidenceSort::Proof, body);
        self.freeze(origin)?;
        kept
    }

    /// Stops cosigning a log until [`WitnessFiles::thaw`]; durable on return.
    ///
    /// # Errors
    /// As [`durable::replace`].
    pub fn freeze(&self, origin: &Origin) -> Result<(), durable::Error> {
        durable::replace(&self.frozen(origin), format!("{origin}\n").as_bytes())
    }

    /// Whether a log is frozen.
    ///
    /// # Errors
    /// The operating system's; not knowing is not "no".
    pub fn is_frozen(&self, origin: &Origin) -> io::Result<bool> {
        self.frozen(origin).try_exists()
    }

    /// Cosigns a log again, because a human has decided so. The evidence stays.
    ///
    /// # Errors
    /// As [`durable::remove`].
    pub fn thaw(&self, origin: &Origin) -> Result<(), durable::Error> {
        durable::remove(&self.frozen(origin))
    }

    fn turn(&self, origin: &Origin) -> Arc<Mutex<()>> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(logs.entry(origin.clone()).or_default())
    }

    fn record(&self, origin: &Origin) -> PathBuf {
        self.folder.join(record_id(origin))
    }

    fn frozen(&self, origin: &Origin) -> PathBuf {
        self.folder.join(format!("{}.frozen", record_id(origin)))
    }
}

/// The name under which a witness keeps and serves what it knows of a log: the hex of SHA-256 of the origin.
#[must_use]
pub fn record_id(origin: &Origin) -> String {
    hex(&Sha256::digest(origin.as_str()))
}

/// What the files of a body are called by.
fn body_id(body: &[u8]) -> String {
    let mut digest = hex(&Sha256::digest(body));
    digest.truncate(16);
    digest
}

fn read_bodies(paths: &[PathBuf]) -> io::Result<Vec<Vec<u8>>> {
    paths.iter().filter_map(|path| read_bounded(path, ADD_CHECKPOINT_BYTES_MAX).transpose()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "witness_files_tests.rs"]
mod tests;

//! Bringing back a log whose files are gone (`lockplate keeper restore --log-from`): everything comes from a mirror or the keeper's
//! old address, is proved against a checkpoint with this log's own signature, and is then put where the log lies. The charter's
//! quorum need not stand on it, because a mirror shows its newest head before everybody has confirmed it; strangers are shown it
//! here only if the quorum does. Else the next start has it confirmed and shows it. Restoring signs nothing, and never makes the
//! log smaller: what the own disk has and the copy has not is a reason to stop.

use core::fmt;
use std::path::Path;

use lockplate_core::charter::{CharterFile, LogName};
use lockplate_core::entry::leaf_time;
use lockplate_log::limits::TILE_WIDTH;
use lockplate_log::tile::{parse_bundle, push_leaf};
use lockplate_log::{
    Checkpoint, Error as LogError, Log, LogStorage as _, LogView, NoteSigner, PolicyLog, SignedCheckpoint, SignedNote,
    StorageFault, TileKind, TilePath, VerifierKey, WitnessPolicy, tiles_between,
};
use lockplate_oprf::Secret;
use lockplate_store::durable;
use lockplate_store::log_files::{AcquireError, FileLogStorage, folder_reader};

use super::{KeeperSettings, now};
use crate::client::PeerTrust;
use crate::clock::Clock;
use crate::follow::{FollowError, LogSource, Reader, follow};
use crate::settings::{DataFolder, KeyFileError, read_public_file, read_signing_key};
use crate::shutdown::ExitKind;

/// Where the copy is fetched to, in the data folder. Kept where a fetch is cut off, so that the next one goes on.
const FETCHED: &str = "restore";

/// What was brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Leaves that were here before.
    pub before: u64,
    /// Leaves that are here now.
    pub after: u64,
}

/// Why nothing was brought back.
#[derive(Debug)]
pub enum RestoreError {
    /// A key file, the charter, or the lock of the data folder: the keeper must be stopped.
    File(KeyFileError),
    /// A value that does not fit another: a fixed sentence that says what to mend.
    Unfit(&'static str),
    /// The charter.
    Core(lockplate_core::Error),
    /// The copy cannot be fetched, does not prove, or lacks the log's own signature.
    Follow(FollowError),
    /// The copy is smaller than what lies here.
    Smaller,
    /// The copy is not a continuation of what lies here, and the log's key has signed both.
    Forked,
    /// The log's folder.
    Folder(AcquireError),
    /// A file of the log cannot be written.
    Storage(StorageFault),
    /// What was put together is not a good log: it is left as it is, and nothing was signed.
    Log(LogError),
    /// A thread died: our bug.
    Ended,
}

impl RestoreError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::File(_) | Self::Unfit(_) | Self::Core(_) | Self::Smaller | Self::Folder(_) | Self::Log(_) => {
                ExitKind::Config
            }
            Self::Follow(error) => error.exit_kind(),
            Self::Forked => ExitKind::Lied,
            Self::Storage(_) => ExitKind::Unavailable,
            Self::Ended => ExitKind::Internal,
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(cause) => cause.fmt(f),
            Self::Unfit(what) => f.write_str(what),
            Self::Core(cause) => write!(f, "the charter was refused: {cause}"),
            Self::Follow(cause) => cause.fmt(f),
            Self::Smaller => {
                f.write_str("the copy has fewer entries than the log here: there is nothing to bring back from it")
            }
            Self::Forked => f.write_str(
                "the copy is not a continuation of the log here, and this log's key has signed both: a fork",
            ),
            Self::Folder(_) => f.write_str("the folder of the log cannot be used"),
            Self::Storage(_) => f.write_str("a file of the log cannot be written"),
            Self::Log(_) => f.write_str("what was brought back is not a good log; nothing was signed"),
            Self::Ended => f.write_str("a thread died: internal error, our bug"),
        }
    }
}

impl core::error::Error for RestoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File(cause) => Some(cause),
            Self::Core(cause) => Some(cause),
            Self::Follow(cause) => Some(cause),
            Self::Folder(cause) => Some(cause),
            Self::Log(cause) => Some(cause),
            Self::Unfit(_) | Self::Smaller | Self::Forked | Self::Storage(_) | Self::Ended => None,
        }
    }
}

macro_rules! from_cause {
    ($($variant:ident($cause:ty))*) => {$(
        impl From<$cause> for RestoreError {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        }
    )*};
}

from_cause! {
    File(KeyFileError) Core(lockplate_core::Error) Follow(FollowError) Folder(AcquireError) Storage(StorageFault) Log(LogError)
}

/// Brings the log of a stopped keeper to what the log served at `prefix_url` has. `pin` is the SHA-256 of the server's TLS key; without
/// it the address must be one of the charter's parties, or plain HTTP on this machine.
///
/// # Errors
/// [`RestoreError`].
pub async fn restore(
    settings: &KeeperSettings,
    prefix_url: &str,
    pin: Option<[u8; 32]>,
    clock: &dyn Clock,
) -> Result<Restored, RestoreError> {
    let _folder = DataFolder::lock(&settings.data)?;
    let charter = CharterFile::verify(&read_public_file(&settings.charter)?)?;
    let name = LogName::Keeper(settings.place);
    let log = charter.charter().log(&name).ok_or(RestoreError::Unfit("`place` names no keeper of the charter"))?;
    let key = log.key.clone();
    let quorum = charter.charter().witness_policy(&name)?;
    // A mirror shows the newest head before everybody has confirmed it: the log's own signature says that it is ours, and the
    // witnesses are asked again before anything is signed.
    let own = PolicyLog { key: key.clone(), url: None };
    let policy = WitnessPolicy::new(vec![own], Vec::new(), Vec::new(), None)?;
    let source = LogSource {
        prefix_url: prefix_url.trim_end_matches('/').to_owned(),
        trust: trust(&charter, prefix_url, pin)?,
        policy,
        // However old: it is what there is.
        reader: Reader::Monitor,
    };
    let now = now(clock).0;
    let fetched = settings.data.join(FETCHED);
    let followed = follow(&source, &fetched, now).await?;
    let signed = followed.cosigned().signed.clone();
    drop(followed);
    let confirmed = quorum.check(&signed.to_bytes(), now).is_ok();
    let (data, key_file) = (settings.data.clone(), settings.keys.log.clone());
    let adopted = tokio::task::spawn_blocking(move || {
        let seed = Secret::new(read_signing_key(&key_file)?.to_bytes());
        let signer = NoteSigner::new(key.name().clone(), seed.expose_secret())?;
        if *signer.verifier_key() != key {
            return Err(RestoreError::Unfit("the log key is not the charter's key of this keeper's log"));
        }
        let restored = adopt(&data.join("log"), &fetched, &signed, &key, confirmed)?;
        // Signs nothing, and finds what the next start would.
        Log::load(FileLogStorage::acquire(&data.join("log"), key.name())?, signer, leaf_time, now)?;
        std::fs::remove_dir_all(&fetched).map_err(|cause| KeyFileError::io(&fetched, cause))?;
        Ok(restored)
    });
    adopted.await.map_err(|_panicked| RestoreError::Ended)?
}

/// How the server is known.
fn trust(charter: &CharterFile, url: &str, pin: Option<[u8; 32]>) -> Result<PeerTrust, RestoreError> {
    if url.starts_with("http://") {
        return Ok(PeerTrust::PlainLoopback);
    }
    if let Some(pin) = pin {
        return Ok(PeerTrust::Pinned(pin));
    }
    let charter = charter.charter();
    let logs = charter.logs().map(|log| (log.base_url, log.tls_pin));
    let outsiders = charter.witnesses.iter().map(|witness| (witness.url.as_str(), witness.tls_pin));
    let known =
        logs.chain(outsiders).find(|(base, _)| url.strip_prefix(*base).is_some_and(|path| path.starts_with('/')));
    known.map(|(_, pin)| PeerTrust::Pinned(pin)).ok_or(RestoreError::Unfit(
        "the address is not one of the charter's parties: say which TLS key answers there with --pin",
    ))
}

/// Puts what was proved where the log lies: files first, then the head, then what strangers see, which stays as it is unless the
/// charter's quorum has `confirmed` the checkpoint. Cut off anywhere, it may be done again. Blocks.
fn adopt(
    logs: &Path,
    fetched: &Path,
    signed: &SignedCheckpoint,
    key: &VerifierKey,
    confirmed: bool,
) -> Result<Restored, RestoreError> {
    let mut storage = FileLogStorage::acquire(logs, key.name())?;
    let new = signed.checkpoint();
    let view = LogView::load(new.clone(), folder_reader(fetched))?;
    let before = match storage.read_head()? {
        None => 0,
        Some(head) => {
            let here: Checkpoint = SignedCheckpoint::parse(&head, key)?.checkpoint().clone();
            if here.size() > new.size() {
                return Err(RestoreError::Smaller);
            }
            if !view.extends(&here)? {
                return Err(RestoreError::Forked);
            }
            here.size()
        }
    };
    for path in tiles_between(0, new.size()) {
        let bytes = file(fetched, path)?;
        match storage.create_tile(path, &bytes) {
            Ok(()) => {}
            // What lies here is not what was signed; the copy is.
            Err(StorageFault::Conflict) => {
                durable::replace(&storage.public().join(path.to_string()), &bytes).map_err(|_os| StorageFault::Io)?;
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    // A batch that was staged under a head that is gone was never told to anybody.
    for staged in storage.list_staging()? {
        storage.remove_staging(staged)?;
    }
    let own = signed.note().signatures().iter().find(|line| line.id() == key.id() && line.name() == key.name());
    let own = own.cloned().ok_or(LogError::NoKnownSignature)?;
    storage.replace_head(&SignedNote::new(signed.note().text(), vec![own])?.to_bytes())?;
    if confirmed {
        storage.replace_published(&signed.to_bytes())?;
    }
    Ok(Restored { before, after: new.size() })
}

/// A proved file of the copy; a partial tile that is gone there is cut from the full one. What is cut wrongly is found by the load that
/// follows.
fn file(fetched: &Path, path: TilePath) -> Result<Vec<u8>, RestoreError> {
    let read = folder_reader(fetched);
    let missing = LogError::Missing(lockplate_log::LogFile::Tile(path));
    if let Some(bytes) = read(path)? {
        return Ok(bytes);
    }
    let full = read(TilePath::new(path.kind(), path.index(), TILE_WIDTH)?)?.ok_or(missing)?;
    let width = usize::from(path.width());
    match path.kind() {
        TileKind::Hashes(_) => Ok(full.get(..width.saturating_mul(32)).ok_or(missing)?.to_vec()),
        TileKind::Entries => {
            let mut bundle = Vec::new();
            for leaf in parse_bundle(&full, TILE_WIDTH)?.into_iter().take(width) {
                push_leaf(&mut bundle, leaf)?;
            }
            Ok(bundle)
        }
    }
}

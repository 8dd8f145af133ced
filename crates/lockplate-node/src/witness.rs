//! The doors of a witness (`log.md` sections 4 and 5): it cosigns a log's checkpoint if that extends the last one it cosigned, and
//! remembers it. It knows nothing of what a log says, needs nothing that the rest of its process holds, and answers before that
//! is ready: all parties of a town may start at once. The order that keeps it honest (consider, persist, answer, under one lock a
//! log) stands in [`WitnessFiles::add_checkpoint`]; here stand the doors, the quotas, and what is done about a suspicion.
//!
//! A proof that fails is signed by nobody, so a stranger can send one. The log's own tiles decide: where they do not extend what is
//! recorded here, the log is frozen until a person has looked ([`Witness::clear`]). What convicts a log is served to everybody under
//! `/witness/<id>/evidence`: the witness that was shown the other history may be the only one that knows.

use core::fmt;
use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lockplate_core::charter::{AGENCIES_MAX, Charter};
use lockplate_log::limits::ADD_CHECKPOINT_BYTES_MAX;
use lockplate_log::witness::SIZE_CONTENT_TYPE;
use lockplate_log::{
    AddCheckpoint, Checkpoint, CosignatureSigner, Error as LogError, LogFile, Origin, Refusal, SignedCheckpoint,
    Standing, StorageFault, TilePath, VerifierKey, WitnessRecord, consider,
};
use lockplate_store::log_files::{AcquireError, BUNDLE_BYTES_MAX};
use lockplate_store::witness_files::{AddError, WitnessFiles, record_id};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::client::{AddressError, CallLimits, PeerClient, PeerError, PeerTrust};
use crate::clock::Clock;
use crate::cosign::WITNESS_PREFIX;
use crate::follow::evidence::{Evidence, Fork, NotTold};
use crate::http::{BoundedBytes, Verbatim};
use crate::party_log::seconds;
use crate::problem::{Problem, ProblemKind};
use crate::shutdown::{ExitKind, Tasks};

pub(crate) use mirror::mirror_prefix;
pub use mirror::{Incomplete, Mirror, Mirrored};

mod mirror;
pub mod role;
mod suspicions;

/// Logs that one witness watches: those of the largest charter, and of some smaller ones.
pub const LOGS_MAX: usize = 512;
// Sixteen keepers, a recorder, and a desk of each agency.
const _: () = assert!(16 + 1 + AGENCIES_MAX <= LOGS_MAX, "no keeper of the largest charter would start");
/// Requests a second about one log that are answered, of those that move it forward and of all others each. Two counts, so that a
/// stranger who repeats old checkpoints does not use up the log's own.
const QUOTA_A_SECOND: u32 = 10;
/// Proofs against one log that are shown to everybody.
pub const FORKS_SHOWN_MAX: usize = 4;
/// What a look at a log's tiles may spend on one of them.
const TILE_CALL: CallLimits =
    CallLimits { connect: Duration::from_secs(2), total: Duration::from_secs(20), body_bytes: BUNDLE_BYTES_MAX };

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const SHORT: HeaderValue = HeaderValue::from_static("max-age=5");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

/// A log to watch.
#[derive(Clone, Debug)]
pub struct WatchedLog {
    /// Its key; the key's name is its origin.
    pub key: VerifierKey,
    /// Where its tiles are; without it suspicions are kept for a person and nothing is mirrored.
    pub tiles: Option<TileSource>,
}

/// Where a log's files are served.
#[derive(Clone, Debug)]
pub struct TileSource {
    client: PeerClient,
    prefix: String,
}

impl TileSource {
    /// The log served at `prefix` below `base_url`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(base_url: &str, trust: PeerTrust, prefix: &str) -> Result<Self, AddressError> {
        Ok(Self { client: PeerClient::new(base_url, trust, TILE_CALL)?, prefix: prefix.to_owned() })
    }

    /// One tile or bundle; none where it is not there.
    async fn tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, PeerError> {
        match self.client.get_bytes(&format!("{}/{path}", self.prefix), &[]).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// [`Fork::under`], by the tiles as they are served here.
    pub(crate) async fn fork(&self, large: Checkpoint, small: Checkpoint) -> Result<Option<Fork>, NotTold> {
        let (tiles, runtime) = (self.clone(), tokio::runtime::Handle::current());
        let looked = tokio::task::spawn_blocking(move || {
            let read = |path: TilePath| {
                let fault = LogError::Storage { file: LogFile::Tile(path), fault: StorageFault::Io };
                runtime.block_on(tiles.tile(path)).map_err(|_peer| fault)
            };
            Fork::under(large, &small, read)
        });
        looked.await.unwrap_or(Err(NotTold))
    }

    /// Its newest published checkpoint, as it is.
    async fn checkpoint(&self) -> Result<Vec<u8>, PeerError> {
        Ok(self.client.get_bytes(&format!("{}/checkpoint", self.prefix), &[]).await?.to_vec())
    }
}

/// The logs of a charter, but for the own one.
///
/// # Errors
/// [`AddressError`] for an address of the charter that cannot be one.
pub fn logs_of(charter: &Charter, own: Option<&VerifierKey>) -> Result<Vec<WatchedLog>, AddressError> {
    let others = charter.logs().filter(|log| Some(log.key) != own);
    let watched = others.map(|log| {
        let tiles = TileSource::new(log.base_url, PeerTrust::Pinned(log.tls_pin), log.name.path())?;
        Ok(WatchedLog { key: log.key.clone(), tiles: Some(tiles) })
    });
    watched.collect()
}

/// Why a witness does not start.
#[derive(Debug)]
pub enum WitnessError {
    /// Its folder.
    Folder(AcquireError),
    /// More logs than [`LOGS_MAX`], or two of one origin.
    Logs,
}

impl WitnessError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        ExitKind::Config
    }
}

impl fmt::Display for WitnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(_) => f.write_str("the folder of the witness cannot be used"),
            Self::Logs => write!(f, "a witness watches at most {LOGS_MAX} logs, each named once"),
        }
    }
}

impl core::error::Error for WitnessError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Folder(cause) => Some(cause),
            Self::Logs => None,
        }
    }
}

/// A witness. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Witness {
    inner: Arc<Inner>,
}

struct Inner {
    signer: CosignatureSigner,
    files: WitnessFiles,
    logs: BTreeMap<String, Watched>,
    mirror: Option<Mirror>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

/// A log that is watched.
struct Watched {
    key: VerifierKey,
    tiles: Option<TileSource>,
    forward: Quota,
    others: Quota,
    /// Something is kept against it that no look has settled.
    suspected: AtomicBool,
    /// One look, and one that waits for it.
    looks: Semaphore,
    /// One look at a time.
    looking: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("logs", &self.inner.logs.len()).finish_non_exhaustive()
    }
}

/// How a log stands with a witness, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStanding {
    /// The log.
    pub origin: Origin,
    /// Leaves of the newest checkpoint that was cosigned; none if none was.
    pub size: Option<u64>,
    /// Nothing of it is cosigned before a person has cleared it.
    pub frozen: bool,
    /// Bodies that are kept against it.
    pub evidence: usize,
}

/// What was asked about a log that is not watched here, or could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingError {
    /// No log of this origin is watched.
    Unknown,
    /// The witness's folder cannot be read or written.
    Disk,
}

impl Witness {
    /// Takes up the witness whose records lie in `folder`. Blocks. With a `mirror` it cosigns only what that holds completely.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn open(
        folder: &FilePath,
        signer: CosignatureSigner,
        logs: Vec<WatchedLog>,
        mirror: Option<Mirror>,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, WitnessError> {
        let files = WitnessFiles::acquire(folder).map_err(WitnessError::Folder)?;
        let count = logs.len();
        let watched = |log: WatchedLog| {
            let watched = Watched {
                tiles: log.tiles,
                forward: Quota::default(),
                others: Quota::default(),
                suspected: AtomicBool::new(true),
                looks: Semaphore::new(2),
                looking: tokio::sync::Mutex::new(()),
                key: log.key,
            };
            (record_id(watched.key.name()), watched)
        };
        let logs: BTreeMap<_, _> = logs.into_iter().map(watched).collect();
        if count > LOGS_MAX || logs.len() != count {
            return Err(WitnessError::Logs);
        }
        Ok(Self { inner: Arc::new(Inner { signer, files, logs, mirror, clock, tasks: tasks.clone() }) })
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        self.inner.signer.verifier_key()
    }

    /// The doors, below `/witness`.
    pub fn routes(&self) -> Router {
        let limit = DefaultBodyLimit::max(ADD_CHECKPOINT_BYTES_MAX);
        Router::new()
            .route(&format!("{WITNESS_PREFIX}/add-checkpoint"), post(add_checkpoint).layer(limit))
            .route(&format!("{WITNESS_PREFIX}/{{id}}/checkpoint"), get(newest))
            .route(&format!("{WITNESS_PREFIX}/{{id}}/evidence"), get(evidence))
            .with_state(self.clone())
    }

    /// How every log stands.
    ///
    /// # Errors
    /// [`StandingError::Disk`].
    pub async fn standings(&self) -> Result<Vec<LogStanding>, StandingError> {
        self.blocking(|inner| inner.logs.values().map(|watched| inner.standing(watched)).collect()).await
    }

    /// Cosigns a log again, because a person has looked at the evidence and decided so. The evidence stays. False if it was not
    /// frozen.
    ///
    /// # Errors
    /// [`StandingError`].
    pub async fn clear(&self, origin: &str) -> Result<bool, StandingError> {
        let origin = Origin::parse(origin).map_err(|_grammar| StandingError::Unknown)?;
        self.blocking(move |inner| {
            let watched = inner.logs.get(&record_id(&origin)).ok_or(StandingError::Unknown)?;
            let name = watched.key.name();
            let frozen = inner.files.is_frozen(name).map_err(|_os| StandingError::Disk)?;
            if frozen {
                inner.files.thaw(name).map_err(|_os| StandingError::Disk)?;
                tracing::warn!(log = %name, "a person has cleared a log: it is cosigned again");
            }
            Ok(frozen)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StandingError> + Send + 'static,
    ) -> Result<T, StandingError> {
        let inner = Arc::clone(&self.inner);
        let ran = tokio::task::spawn_blocking(move || work(&inner)).await;
        ran.map_err(|_panicked| StandingError::Disk)?
    }

    /// The whole of a request: the record whose cosignature may be sent.
    async fn add(&self, bytes: Vec<u8>) -> Result<WitnessRecord, NotAdded> {
        let asked = AddCheckpoint::parse(&bytes).map_err(|_grammar| Refusal::Malformed)?;
        let id = record_id(asked.origin());
        let watched = self.inner.logs.get(&id).ok_or(Refusal::UnknownLog)?;
        let standing =
            self.blocking(move |inner| inner.read_standing(inner.logs.get(&id).ok_or(StandingError::Unknown)?));
        let standing = standing.await.map_err(|_disk| NotAdded::Down)?;
        let would = consider(&asked, &watched.key, &standing).map(drop);
        let recorded = standing.newest.as_ref().map_or(0, |record| record.checkpoint().size());
        let forward = would.is_ok() && asked.checkpoint().size() > recorded;
        let quota = if forward { &watched.forward } else { &watched.others };
        if !quota.take(self.inner.clock.monotonic()) {
            return Err(NotAdded::Busy);
        }
        match (&self.inner.mirror, would) {
            (Some(mirror), Ok(())) => {
                let tiles = watched.tiles.as_ref().ok_or(NotAdded::Busy)?;
                if let Err(incomplete) = mirror.complete(tiles, asked.checkpoint()).await {
                    tracing::info!(log = %watched.key.name(), %incomplete, "not cosigned yet");
                    // The copy holds another history than the one that is asked for.
                    if incomplete == Incomplete::Unproved {
                        self.hold(&asked, watched).await;
                    }
                    return Err(NotAdded::Busy);
                }
            }
            // What is evidence stays so, whoever asks in between; the rest may be good in a moment and would pass uncopied.
            (Some(_), Err(refusal)) if !refusal.is_evidence() => return Err(NotAdded::Refused(refusal)),
            (Some(_), Err(_)) | (None, _) => {}
        }
        let inner = Arc::clone(&self.inner);
        let (asked_too, key) = (asked.clone(), watched.key.clone());
        let added = tokio::task::spawn_blocking(move || {
            inner.files.add_checkpoint(&asked_too, &key, &inner.signer, || seconds(inner.clock.as_ref()))
        });
        let added = added.await.map_err(|_panicked| NotAdded::Down)?;
        match added {
            Ok(record) => {
                if let Some(mirror) = &self.inner.mirror
                    && let Err(error) = mirror.show(&record).await
                {
                    tracing::warn!(%error, log = %watched.key.name(), "the copy's newest checkpoint is not served yet");
                }
                // What was kept against the log is held against what is recorded now.
                if watched.suspected.load(Ordering::Acquire) {
                    self.look(watched);
                }
                Ok(record)
            }
            Err(AddError::Refused(refusal)) => {
                if refusal.is_evidence() {
                    self.suspect(&asked, refusal, watched).await;
                }
                Err(NotAdded::Refused(refusal))
            }
            Err(AddError::Clock(error)) => {
                tracing::error!(%error, log = %watched.key.name(), "clock-back: the clock is behind the last cosignature");
                Err(NotAdded::Down)
            }
            Err(AddError::Altered(error)) => {
                tracing::error!(%error, log = %watched.key.name(), "the record of a log is not one of this witness");
                Err(NotAdded::Down)
            }
            Err(AddError::Storage(error)) => {
                tracing::error!(%error, "the witness's disk failed");
                if error.must_stop() {
                    // Essential and ended: the role stops with a failure.
                    self.inner.tasks.spawn_essential("witness-files", async {});
                }
                Err(NotAdded::Down)
            }
        }
    }
}

impl Inner {
    fn read_standing(&self, watched: &Watched) -> Result<Standing, StandingError> {
        let standing = self.files.standing(&watched.key, self.signer.verifier_key());
        standing
            .inspect_err(|error| tracing::error!(%error, log = %watched.key.name(), "a record cannot be used"))
            .map_err(|_told| StandingError::Disk)
    }

    /// The checkpoints of a log that this witness stands for: the one it cosigned, and the one that its copy serves.
    fn known(&self, watched: &Watched) -> Result<Vec<SignedCheckpoint>, StandingError> {
        let recorded = self.read_standing(watched)?.newest.map(|record| record.signed().clone());
        let served = self.mirror.as_ref().and_then(|mirror| mirror.served(&watched.key));
        Ok(recorded.into_iter().chain(served).collect())
    }

    fn shown(&self, watched: &Watched) -> Result<Shown, StandingError> {
        let frozen = self.files.is_frozen(watched.key.name()).map_err(|_os| StandingError::Disk)?;
        let mut forks = Evidence::kept_forks(&self.files.evidence_folder(watched.key.name()), &watched.key);
        forks.truncate(FORKS_SHOWN_MAX);
        Ok(Shown { frozen, forks })
    }

    fn standing(&self, watched: &Watched) -> Result<LogStanding, StandingError> {
        let origin = watched.key.name().clone();
        let standing = self.read_standing(watched)?;
        Ok(LogStanding {
            size: standing.newest.map(|record| record.checkpoint().size()),
            frozen: standing.frozen,
            evidence: self.files.evidence(&origin).map_err(|_os| StandingError::Disk)?.len(),
            origin,
        })
    }
}

/// Why nothing was cosigned.
#[derive(Debug)]
enum NotAdded {
    Refused(Refusal),
    /// Later.
    Busy,
    Down,
}

impl From<Refusal> for NotAdded {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

async fn add_checkpoint(State(witness): State<Witness>, BoundedBytes(body): BoundedBytes) -> Response {
    match witness.add(body.to_vec()).await {
        Ok(record) => ([(header::CONTENT_TYPE, TEXT)], record.answer()).into_response(),
        Err(NotAdded::Refused(refusal)) => refused(refusal),
        Err(NotAdded::Busy) => ProblemKind::Rate.into_response(),
        Err(NotAdded::Down) => ProblemKind::Unavailable.into_response(),
    }
}

/// The statuses of C2SP's `tlog-witness`, whose clients read no problem documents.
fn refused(refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (media_type, body) = match refusal.size_body() {
        Some(size) => (HeaderValue::from_static(SIZE_CONTENT_TYPE), size),
        None => (TEXT, format!("{refusal}\n")),
    };
    let mut response = (status, [(header::CONTENT_TYPE, media_type)], body).into_response();
    response.extensions_mut().insert(Verbatim);
    response
}

/// What a witness shows of a log that it convicted: `GET /witness/<id>/evidence`. Each fork is an evidence file as `lockplate verify FILE`
/// reads it, and needs no belief in the witness.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shown {
    /// Nothing of the log is cosigned before a person has cleared it.
    pub frozen: bool,
    /// At most [`FORKS_SHOWN_MAX`]: one is enough.
    pub forks: Vec<Evidence>,
}

async fn evidence(State(witness): State<Witness>, Path(id): Path<String>) -> Result<Response, Problem> {
    let shown = witness.blocking(move |inner| inner.shown(inner.logs.get(&id).ok_or(StandingError::Unknown)?)).await;
    match shown {
        Ok(shown) => {
            Ok(([(header::CACHE_CONTROL, SHORT), (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN)], Json(shown))
                .into_response())
        }
        Err(StandingError::Unknown) => Err(ProblemKind::NotFound.into()),
        Err(StandingError::Disk) => Err(ProblemKind::Unavailable.into()),
    }
}

async fn newest(State(witness): State<Witness>, Path(id): Path<String>) -> Result<Response, Problem> {
    let watched = witness.inner.logs.get(&id).ok_or(ProblemKind::NotFound)?;
    let origin = watched.key.name().clone();
    let inner = Arc::clone(&witness.inner);
    let read = tokio::task::spawn_blocking(move || inner.files.read(&origin)).await;
    let record = read.map_err(|_panicked| ProblemKind::Internal)?.map_err(|_os| ProblemKind::Unavailable)?;
    let record = record.ok_or(ProblemKind::NotFound)?;
    let headers: HeaderMap = [
        (header::CONTENT_TYPE, TEXT),
        (header::CACHE_CONTROL, SHORT),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN),
    ]
    .into_iter()
    .collect();
    Ok((headers, Body::from(record)).into_response())
}

/// So many at once, then so many a second.
#[derive(Default)]
struct Quota {
    /// Time of the monotonic clock up to which the requests of the past are paid for.
    paid: Mutex<Duration>,
}

impl Quota {
    fn take(&self, now: Duration) -> bool {
        let price = Duration::from_secs(1) / QUOTA_A_SECOND;
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*paid).max(now) + price;
        let free = next <= now + Duration::from_secs(1);
        if free {
            *paid = next;
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_requests_a_second_pass_and_the_eleventh_does_not() {
        let quota = Quota::default();
        let start = Duration::from_secs(5);
        let taken = (0..20).filter(|_| quota.take(start)).count();
        assert_eq!(taken, 10);
        assert!(!quota.take(start + Duration::from_millis(99)));
        assert!(quota.take(start + Duration::from_millis(100)));
        assert!(!quota.take(start + Duration::from_millis(100)));
        let later = (0..20).filter(|_| quota.take(start + Duration::from_secs(60))).count();
        assert_eq!(later, 10, "unused seconds are not saved up");
    }
}

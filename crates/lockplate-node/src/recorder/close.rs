//! The end of an epoch, in the order of `reliability.md` section 4, rule 2: sealer gone → spool read back → segment durable
//! → close signed and remembered → `epoch.closed` logged → archive confirmed → spool removed; the keepers are told by the
//! courier, which goes on until each was. A crash between any two steps is taken up at the next start from what is durable:
//! one close and one root an epoch, whatever happens (A14).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lockplate_core::Timestamp;
use lockplate_core::entry::{EpochClosed, LogEntry};
use lockplate_core::epoch::{EpochClose, EpochHeader};
use lockplate_core::id::EpochId;
use lockplate_core::segment::Segment;
use lockplate_core::sign::Signed;
use lockplate_store::contract::{Archive as _, EpochStat, Error as ArchiveError};
use lockplate_store::durable;
use lockplate_store::segment_store;
use lockplate_store::spool::{self, SPOOL_SUFFIX, SpoolReader, SpoolTally, check_tally};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::actor::Shared;
use super::publish::{Untold, publish};
use crate::agency_db::{EpochRow, EpochState};
use crate::client::PeerError;
use crate::db::DbError;
use crate::party_log::NotLogged;
use crate::problem::ProblemKind;
use crate::rng::SystemRng;
use crate::standby::Piece;

const PANICKED: &str = "a step that panicked";
/// Pause before a step that failed for want of room is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Where a store behind a network is away the pause doubles up to this: an hour's cells are read back and built anew for each try.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Epochs of an earlier run that are closed at once in a store behind a network.
const RESUMED_AT_ONCE: usize = 2;
/// Closes told to a keeper in one round.
const TOLD_ROUND_MAX: u32 = 100;
/// Rounds of the courier where there is nothing to hurry.
const COURIER_PAUSE: Duration = Duration::from_secs(10);
/// Epochs taken up at a start in one go.
const RESUME_MAX: usize = 100_000;

/// The steps of a close, for tests that end the process after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseStep {
    /// The sealer is gone.
    SealerGone,
    /// The segment is in the archive.
    Segment,
    /// The close is signed and in the database.
    Signed,
    /// The leaf is in the log.
    Logged,
    /// The archive serves the epoch.
    Archived,
    /// The spool is removed.
    SpoolRemoved,
}

/// Why a close stopped halfway. The next start goes on with it.
enum Halted {
    /// The spool does not hold what was acknowledged.
    Damaged,
    /// Log, archive or database failed in a way that ends the process, or the process stops.
    Fatal(&'static str),
    /// No room, no quorum yet, or a clock that the log waits for; try again.
    Full,
    /// A store behind a network failed, in whatever way: the spool stays, and it is tried again.
    Away(ArchiveError),
}

impl From<NotLogged> for Halted {
    fn from(not_logged: NotLogged) -> Self {
        match not_logged {
            NotLogged::Unwritten => Self::Fatal("the log"),
            // The leaf is there; the next try finds it and waits on.
            NotLogged::Unwitnessed => Self::Full,
            // Nothing is there, nothing is lost, and the close is remembered: the next try logs it.
            NotLogged::ClockBack => Self::Full,
        }
    }
}

impl From<DbError> for Halted {
    fn from(error: DbError) -> Self {
        match error.kind() {
            crate::db::DbErrorKind::Full | crate::db::DbErrorKind::Busy => Self::Full,
            crate::db::DbErrorKind::Fatal
            | crate::db::DbErrorKind::Constraint
            | crate::db::DbErrorKind::NoRow
            | crate::db::DbErrorKind::Foreign
            | crate::db::DbErrorKind::Internal => Self::Fatal("the database"),
        }
    }
}

impl Halted {
    fn of_archive(error: ArchiveError, remote: bool) -> Self {
        match error {
            // Nothing in memory or on this machine's disk is in doubt, and what a network answered once it may answer otherwise: an object
            // that is not there, or has other bytes. A second writer stays a reason to end.
            ArchiveError::Unavailable(_)
            | ArchiveError::Full(_)
            | ArchiveError::NotFound
            | ArchiveError::NotClosed
            | ArchiveError::NoSuchBucket
            | ArchiveError::Damaged(_)
                if remote =>
            {
                Self::Away(error)
            }
            ArchiveError::Full(_) => Self::Full,
            ArchiveError::Damaged(_) => Self::Damaged,
            // A failed write may have been a failed sync (contract): memory and disk are not assumed to agree.
            ArchiveError::Unavailable(_)
            | ArchiveError::NotFound
            | ArchiveError::NotClosed
            | ArchiveError::NoSuchBucket
            | ArchiveError::Conflict
            | ArchiveError::Invalid => Self::Fatal("the archive"),
        }
    }
}

/// Closes an epoch whose sealer is gone. `tally` is what the sealer said it had acknowledged; `None` if it died. Returns when
/// the epoch is in the archive, or when that has to wait for a person or for the next start (traced).
pub(super) async fn close(shared: &Arc<Shared>, header: &Signed<EpochHeader>, tally: Option<SpoolTally>) {
    let erased_at = Timestamp(shared.now());
    let mut pause = RETRY_PAUSE;
    // One seed for all tries, so that a repeat makes the same segment and overwrites what a failed one left in a bucket.
    let mut seed = Zeroizing::new([0; 32]);
    SystemRng.fill_bytes(seed.as_mut_slice());
    stop_after(shared, CloseStep::SealerGone);
    loop {
        let halted = match try_close(shared, header, tally, erased_at, &seed).await {
            Ok(()) => {
                shared.courier.notify_one();
                return;
            }
            Err(halted) => halted,
        };
        let wait = match halted {
            Halted::Damaged => {
                tracing::error!(
                    "a spool does not hold what was acknowledged: the epoch stays open for a person to look at"
                );
                let marked = shared.parts.db.epoch_is(header.claimed().epoch_id, EpochState::Damaged).await;
                if let Err(error) = marked {
                    tracing::error!(%error, "and that could not be noted");
                }
                return;
            }
            Halted::Fatal(what) => {
                tracing::error!(what, "an epoch cannot be closed: the process stops, and the next start goes on");
                shared.tasks.spawn_essential("close", async {});
                return;
            }
            Halted::Full => {
                tracing::warn!(
                    "an epoch cannot be closed for want of room, of a quorum or of a right clock; trying again"
                );
                RETRY_PAUSE
            }
            Halted::Away(error) => {
                tracing::error!(
                    %error,
                    why = segment_store::why(&error),
                    "an epoch cannot be closed in the archive's store; its reads are kept here, and it is tried again"
                );
                let now = pause;
                pause = pause.saturating_mul(2).min(RETRY_PAUSE_MAX);
                now
            }
        };
        tokio::select! {
            () = shared.tasks.stopping().cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn try_close(
    shared: &Shared,
    header: &Signed<EpochHeader>,
    tally: Option<SpoolTally>,
    erased_at: Timestamp,
    seed: &[u8; 32],
) -> Result<(), Halted> {
    let (db, epoch) = (&shared.parts.db, header.claimed().epoch_id);
    let known = db.epoch(epoch).await?.ok_or(Halted::Fatal("an epoch without a row"))?;
    let (close, orphaned) = match known.close {
        // A close was made before a crash or a full disk: it is the one.
        Some(close) => (close, known.orphaned),
        None => {
            let (stat, cells) = store_segment(shared, header, tally, seed).await?;
            stop_after(shared, CloseStep::Segment);
            let close = shared.parts.key.sign(EpochClose {
                header_hash: header.claimed().hash(),
                cells_padded: stat.cells_padded,
                segment_root: stat.segment_root,
                erased_at,
            });
            let from = shared.parts.log.size().await?;
            db.epoch_closes(epoch, close.clone(), tally.is_none(), cells, from).await?;
            stop_after(shared, CloseStep::Signed);
            shared.parts.log.append(vec![closed_leaf(header.claimed(), &close, tally.is_none())]).await?;
            return confirm(shared, epoch, close).await;
        }
    };
    // Only a restart, or a try after a failure, comes here: the leaf may or may not be there.
    let header_hash = header.claimed().hash();
    let logged = move |entry: &LogEntry| matches!(entry, LogEntry::EpochClosed(leaf) if leaf.header == header_hash);
    match shared.parts.log.find(known.log_from, logged).await? {
        Some(index) => shared.parts.log.confirm(index).await?,
        None => drop(shared.parts.log.append(vec![closed_leaf(header.claimed(), &close, orphaned)]).await?),
    }
    confirm(shared, epoch, close).await
}

/// After the leaf: served, spool gone, done.
async fn confirm(shared: &Shared, epoch: EpochId, close: Signed<EpochClose>) -> Result<(), Halted> {
    stop_after(shared, CloseStep::Logged);
    still_active(shared).await?;
    match shared.parts.archive.put_close(epoch, Bytes::from(close.to_bytes())).await {
        // The segment of an earlier run went with the memory it was in: there is nothing to serve, and the log has its close.
        Err(ArchiveError::NotFound) if shared.parts.in_memory => {
            return Ok(shared.parts.db.epoch_is(epoch, EpochState::Destroyed).await?);
        }
        put => put.map_err(|error| away(shared, error))?,
    }
    // Before a keeper hears of it: whoever is granted the epoch finds it listed, at whichever server.
    publish(shared, Some(epoch)).await.map_err(|untold| match untold {
        Untold::Table(error) => Halted::from(error),
        Untold::Store(error) => away(shared, error),
    })?;
    stop_after(shared, CloseStep::Archived);
    let path = spool_path(shared, epoch);
    blocking(move || if path.exists() { durable::remove(&path) } else { Ok(()) })
        .await?
        .map_err(|_removal| Halted::Fatal("the spool folder"))?;
    if let Some(shipper) = &shared.parts.shipper {
        shipper.later(vec![Piece::SpoolGone(epoch)]);
        shipper.base_is_due();
    }
    stop_after(shared, CloseStep::SpoolRemoved);
    shared.parts.db.epoch_is(epoch, EpochState::Closed).await?;
    Ok(())
}

/// The segment that is in the archive, or else the one built from the spool. With it the number of reads in the spool.
async fn store_segment(
    shared: &Shared,
    header: &Signed<EpochHeader>,
    tally: Option<SpoolTally>,
    seed: &[u8; 32],
) -> Result<(EpochStat, u64), Halted> {
    let (epoch, bucket_bits) = (header.claimed().epoch_id, header.claimed().bucket_bits);
    let path = spool_path(shared, epoch);
    // First, because it is cheap: a store that is away is asked every minute.
    let stored = match shared.parts.archive.stat(epoch).await {
        Ok(stat) => Some(stat),
        Err(ArchiveError::NotFound) => None,
        Err(error) => return Err(away(shared, error)),
    };
    // Of one epoch at a time the cells are in memory twice.
    let builder = shared.builder.lock().await;
    let recovered = on(&builder, move || SpoolReader::recover(&path, epoch)).await?;
    let (cells, found) = match recovered {
        Ok(recovered) => (recovered.cells, recovered.tally),
        // The sealer makes its spool when it starts, so one that never started has none.
        Err(spool::Error::Read(error)) if error.kind() == std::io::ErrorKind::NotFound => (Vec::new(), empty_tally()),
        Err(error) => {
            tracing::error!(%error, "a spool cannot be read back");
            return Err(Halted::Damaged);
        }
    };
    if let Some(acknowledged) = tally {
        // D9: changed between write and close. Never silently fewer cells.
        check_tally(&acknowledged, &found).map_err(|mismatch| {
            tracing::error!(acknowledged = mismatch.acknowledged, found = mismatch.found, "a spool was changed");
            Halted::Damaged
        })?;
    }
    // The padding is random: a second segment of the same cells would be another one. What is durable is it.
    if let Some(stat) = stored {
        return Ok((stat, found.count));
    }
    let mut padding = ChaCha20Rng::from_seed(*seed);
    let segment = on(&builder, move || Segment::build(bucket_bits, cells, &mut padding)).await?;
    let segment = segment.map_err(|_bounds| Halted::Damaged)?;
    drop(builder);
    still_active(shared).await?;
    let put = shared.parts.archive.put_segment(epoch, Bytes::from(header.to_bytes()), segment).await;
    Ok((put.map_err(|error| away(shared, error))?, found.count))
}

fn away(shared: &Shared, error: ArchiveError) -> Halted {
    Halted::of_archive(error, shared.parts.archive.is_remote())
}

/// The archive is one for all machines of the agency: what has lost the journal to another writes nothing there.
async fn still_active(shared: &Shared) -> Result<(), Halted> {
    match &shared.parts.shipper {
        None => Ok(()),
        Some(shipper) => shipper.ship(Vec::new()).await.map_err(|_not_shipped| Halted::Fatal("the standby's journal")),
    }
}

fn empty_tally() -> SpoolTally {
    use sha2::Digest as _;
    SpoolTally { count: 0, digest: sha2::Sha256::new().finalize().into() }
}

fn closed_leaf(header: &EpochHeader, close: &Signed<EpochClose>, orphaned: bool) -> LogEntry {
    let value = close.claimed();
    LogEntry::EpochClosed(EpochClosed {
        header: value.header_hash,
        root: value.segment_root,
        cells: value.cells_padded,
        bucket_bits: header.bucket_bits,
        erased_at: value.erased_at,
        orphaned,
    })
}

pub(super) fn spool_path(shared: &Shared, epoch: EpochId) -> PathBuf {
    shared.parts.spool.join(format!("{epoch}{SPOOL_SUFFIX}"))
}

/// One thread, on which the cells of all epochs are read back and their segments built. The C library keeps a heap for each thread and gives little of it back:
/// of a pool of threads each would keep the room of the largest segment that it ever built.
pub(super) fn builder() -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    // A step that panicked is told to whoever waits for it ([`on`]).
    rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "segments".to_owned()).panic_handler(drop).build()
}

async fn on<T: Send + 'static>(
    builder: &rayon::ThreadPool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Halted> {
    let (done, built) = oneshot::channel();
    // Nobody waits any more where the recorder has ended.
    builder.spawn(move || drop(done.send(work())));
    built.await.map_err(|_panicked| Halted::Fatal(PANICKED))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Halted> {
    tokio::task::spawn_blocking(work).await.map_err(|_panicked| Halted::Fatal(PANICKED))
}

/// Ends the process the hard way where a test asked for it; nothing in a binary without the feature.
fn stop_after(shared: &Shared, step: CloseStep) {
    if cfg!(feature = "failpoints") && shared.settings.stop_after == Some(step) {
        tracing::warn!(?step, "stopped by a failpoint");
        std::process::abort();
    }
}

/// Closes what an earlier run of this process left: called before anything else is sealed.
pub(super) async fn resume(shared: &Arc<Shared>) -> Result<(), DbError> {
    let db = &shared.parts.db;
    if shared.parts.in_memory {
        db.archive_is_gone().await?;
    }
    let mut left = Vec::new();
    for EpochRow { header, state, log_from, .. } in
        db.epochs_in(&[EpochState::Dealt, EpochState::Open, EpochState::Closing], RESUME_MAX).await?
    {
        let epoch = header.claimed().epoch_id;
        if state == EpochState::Dealt {
            let header_hash = header.claimed().hash();
            let dealt =
                move |entry: &LogEntry| matches!(entry, LogEntry::EpochDealt(leaf) if leaf.header == header_hash);
            match shared.parts.log.contains(log_from, dealt).await {
                Ok(true) => {}
                Ok(false) => {
                    db.epoch_never_was(epoch).await?;
                    continue;
                }
                Err(_unreadable) => return Err(DbError::new(crate::db::DbErrorKind::Fatal)),
            }
        }
        tracing::info!(?state, "an epoch of an earlier run is closed");
        left.push(header);
    }
    if shared.parts.archive.is_remote() {
        // It may be away for hours, and new reads need only the spool.
        let closing = Arc::clone(shared);
        shared.tasks.spawn("close", async move {
            futures_util::stream::iter(left)
                .for_each_concurrent(RESUMED_AT_ONCE, async |header| close(&closing, &header, None).await)
                .await;
        });
        return Ok(());
    }
    for header in left {
        close(shared, &header, None).await;
    }
    Ok(())
}

/// Tells keepers of closes, and the archive of epochs that are past their retention, until the recorder stops.
pub(super) async fn courier(shared: Arc<Shared>) {
    let stopping = shared.tasks.stopping().clone();
    loop {
        courier_round(&shared).await;
        tokio::select! {
            () = stopping.cancelled() => return,
            () = shared.courier.notified() => {}
            () = tokio::time::sleep(COURIER_PAUSE) => {}
        }
    }
}

/// One round, all keepers at once.
pub(super) async fn courier_round(shared: &Arc<Shared>) {
    let keepers = shared.keepers.iter().map(|keeper| async {
        let untold = match shared.parts.db.untold(keeper.index.0, TOLD_ROUND_MAX).await {
            Ok(untold) => untold,
            Err(error) => return tracing::warn!(%error, "closes could not be told"),
        };
        for row in untold {
            let Some(close) = row.close else { continue };
            match keeper.tell_close(&close).await {
                Ok(()) => {}
                Err(PeerError::Problem(problem)) if is_final(problem.kind()) => {
                    // It holds no share of this epoch (it was away), or it knows another close and says so for good.
                    tracing::warn!(
                        keeper = keeper.index.0,
                        problem = problem.kind().slug(),
                        "a keeper refuses a close"
                    );
                }
                Err(error) => {
                    return tracing::debug!(keeper = keeper.index.0, %error, "a keeper could not be told of a close");
                }
            }
            if let Err(error) = shared.parts.db.told(row.header.claimed().epoch_id, keeper.index.0).await {
                return tracing::warn!(%error, "a told close could not be noted");
            }
        }
    });
    futures_util::future::join_all(keepers).await;
    match publish(shared, None).await {
        Ok(()) => {}
        Err(Untold::Table(error)) => tracing::warn!(%error, "archive servers could not be told of epochs"),
        Err(Untold::Store(error)) => {
            tracing::warn!(%error, why = segment_store::why(&error), "archive servers could not be told of epochs");
        }
    }
    forget_what_is_over(shared).await;
}

fn is_final(kind: ProblemKind) -> bool {
    matches!(
        kind,
        ProblemKind::NotFound | ProblemKind::Conflicting | ProblemKind::Invalid | ProblemKind::EpochDestroyed
    )
}

/// Housekeeping: an epoch is dead when its shares are destroyed; the archive then has no use for its cells.
async fn forget_what_is_over(shared: &Arc<Shared>) {
    let due = match shared.parts.db.epochs_due(shared.now(), TOLD_ROUND_MAX).await {
        Ok(due) => due,
        Err(error) => return tracing::warn!(%error, "epochs past their retention could not be listed"),
    };
    for row in due {
        let epoch = row.header.claimed().epoch_id;
        // One that cannot be dropped keeps none of the others.
        match shared.parts.archive.forget_epoch(epoch).await {
            Ok(()) => {
                if let Err(error) = shared.parts.db.epoch_is(epoch, EpochState::Destroyed).await {
                    tracing::warn!(%error, "that an epoch was dropped could not be noted; trying again");
                }
            }
            Err(error) => {
                tracing::warn!(%error, why = segment_store::why(&error), "an epoch past its retention could not be dropped; trying again");
            }
        }
    }
    let archive = Arc::clone(&shared.parts.archive);
    match tokio::task::spawn_blocking(move || archive.sweep()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the room of dropped epochs could not be given back; trying again"),
        Err(_panicked) => tracing::warn!("the room of dropped epochs could not be given back; trying again"),
    }
}

//! What a recorder lays beside the epochs in a bucket, so that archive servers need no table of it: which epochs there are, and the
//! cameras. One object, replaced whole, so a reader sees one moment.
//!
//! It is written after an epoch's close is stored and before any keeper is told of it: whoever was granted an epoch finds it listed. It must
//! never make a search answer with less than there is: an epoch that is listed as closed and cannot be read is no answer at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use lockplate_core::Timestamp;
use lockplate_core::epoch::{EpochClose, EpochHeader};
use lockplate_core::id::EpochId;
use lockplate_core::sign::Signed;
use lockplate_store::contract::{Archive as _, Error as ArchiveError};
use lockplate_store::segment_store::{SegmentStore, why};
use serde::{Deserialize, Serialize};

use crate::agency_db::{EpochRow, EpochState};
use crate::api::{B64, CameraList, EpochList, EpochListed};
use crate::problem::{Problem, ProblemKind};

/// Epochs that are told of, at most: their JSON stays below
/// [`PUBLIC_BYTES_MAX`](lockplate_store::segment_store::PUBLIC_BYTES_MAX). Twice the retention of hourly epochs, and imports of years.
pub const EPOCHS_PUBLISHED_MAX: usize = 50_000;
/// Papers that are read at once.
const PAPERS_AT_ONCE: usize = 16;
/// Papers kept in memory: 3 KiB each.
const PAPERS_MAX: usize = 20_000;

/// The object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Epochs, in order of id.
    pub epochs: Vec<EpochPublished>,
    /// The register of cameras.
    pub cameras: CameraList,
}

/// One epoch of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochPublished {
    /// Its id, hexadecimal.
    pub id: String,
    /// Window, Unix seconds, from (inclusive).
    pub from: u64,
    /// To (exclusive).
    pub to: u64,
    /// Its shares are destroyed from then on.
    pub destroy_after: u64,
    /// Header and close are in the bucket.
    pub closed: bool,
}

impl EpochPublished {
    /// As the recorder's table has it; `stored` where its close is in the bucket and the table does not say so yet. None of an epoch that
    /// takes no read yet.
    #[must_use]
    pub fn of(row: &EpochRow, stored: bool) -> Option<Self> {
        let header = row.header.claimed();
        let closed = match row.state {
            EpochState::Dealt => return None,
            EpochState::Closed | EpochState::Destroyed => true,
            EpochState::Open | EpochState::Closing | EpochState::Damaged => stored,
        };
        Some(Self {
            id: header.epoch_id.to_string(),
            from: header.cap_from.0,
            to: header.cap_to.0,
            destroy_after: header.destroy_after.0,
            closed,
        })
    }
}

/// What an archive server knows: the object, and the papers of epochs, which do not change.
#[derive(Debug)]
pub struct FromBucket {
    archive: Arc<SegmentStore>,
    last: Mutex<Option<(Bytes, Arc<Published>)>>,
    papers: Mutex<BTreeMap<EpochId, (Bytes, Bytes)>>,
}

impl FromBucket {
    /// Over the archive's store.
    #[must_use]
    pub fn new(archive: Arc<SegmentStore>) -> Self {
        Self { archive, last: Mutex::default(), papers: Mutex::default() }
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// `Unavailable`: it is not there, or does not parse, or the store failed.
    pub async fn published(&self) -> Result<Arc<Published>, Problem> {
        let bytes = self.archive.public().await.map_err(|error| unavailable(&error))?;
        if let Some((known, parsed)) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner)
            && *known == bytes
        {
            return Ok(Arc::clone(parsed));
        }
        let parsed: Published = serde_json::from_slice(&bytes).map_err(|_shape| {
            tracing::error!("the recorder's list in the bucket cannot be read");
            Problem::new(ProblemKind::Unavailable)
        })?;
        let parsed = Arc::new(parsed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((bytes, Arc::clone(&parsed)));
        Ok(parsed)
    }

    /// The answer to `GET /v1/epochs`: every epoch of the window, or a problem.
    ///
    /// # Errors
    /// `TooLarge` for more than `limit` epochs; `Unavailable`.
    pub async fn epochs(&self, from: u64, to: u64, now: Timestamp, limit: usize) -> Result<EpochList, Problem> {
        let published = self.published().await?;
        let inside = || published.epochs.iter().filter(|epoch| epoch.from >= from && epoch.to <= to);
        if inside().nth(limit).is_some() {
            return Err(Problem::new(ProblemKind::TooLarge).with_pointer("/to"));
        }
        let count = |is: fn(&EpochPublished, u64) -> bool| {
            u32::try_from(inside().filter(|epoch| is(epoch, now.0)).count()).unwrap_or(u32::MAX)
        };
        let destroyed = count(|epoch, now| epoch.closed && epoch.destroy_after <= now);
        let open = count(|epoch, _now| !epoch.closed);
        let wanted = inside().filter(|epoch| epoch.closed && epoch.destroy_after > now.0);
        let wanted: Option<Vec<EpochId>> = wanted.map(|epoch| EpochId::parse(&epoch.id)).collect();
        let wanted = wanted.ok_or_else(|| Problem::new(ProblemKind::Unavailable))?;
        let listed = futures_util::stream::iter(wanted).map(|id| self.listed(id)).buffered(PAPERS_AT_ONCE);
        Ok(EpochList { epochs: listed.try_collect().await?, destroyed, open })
    }

    async fn listed(&self, id: EpochId) -> Result<EpochListed, Problem> {
        let known = self.papers.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let (header, close) = match known {
            Some(known) => known,
            None => {
                let papers = self.archive.papers(id).await.map_err(|error| unavailable(&error))?;
                if !fit(id, &papers.header, &papers.close) {
                    tracing::error!("a header and a close in the bucket do not fit each other: run lockplate doctor");
                    return Err(Problem::new(ProblemKind::Unavailable));
                }
                let mut kept = self.papers.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() >= PAPERS_MAX {
                    kept.pop_first();
                }
                kept.insert(id, (papers.header.clone(), papers.close.clone()));
                (papers.header, papers.close)
            }
        };
        Ok(EpochListed { header: B64(header.to_vec()), close: B64(close.to_vec()) })
    }
}

/// That they are the papers of this epoch. Signatures are the asker's business, who knows the charter that was in force.
fn fit(id: EpochId, header: &[u8], close: &[u8]) -> bool {
    let papers = (Signed::<EpochHeader>::from_bytes(header), Signed::<EpochClose>::from_bytes(close));
    let (Ok(header), Ok(close)) = papers else { return false };
    header.claimed().epoch_id == id && close.claimed().header_hash == header.claimed().hash()
}

fn unavailable(error: &ArchiveError) -> Problem {
    tracing::warn!(%error, why = why(error), "the archive's bucket cannot be read");
    Problem::new(ProblemKind::Unavailable)
}

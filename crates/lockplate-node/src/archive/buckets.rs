//! Many buckets of many epochs in one request: `POST /v1/buckets` with [`BucketsAsked`]. The answer (`application/octet-stream`) is, in the
//! order asked, `u32 length (big-endian) | bucket with its proof` of each; it is sent while buckets are read, so that neither side has more
//! than some tens of them in memory. Where one of those that are read first cannot be given the answer is a problem; where a later one cannot, it breaks off.

use core::future::ready;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};
use lockplate_core::id::EpochId;
use lockplate_store::contract::Error as ArchiveError;
use lockplate_store::segment_store::SegmentStore;
use tokio::sync::OwnedSemaphorePermit;

use super::{ArchiveState, BucketPlaces, OCTETS, READS_MAX, UNSENT_KIB_MAX};
use crate::api::BucketsAsked;
use crate::http::BoundedJson;
use crate::problem::{Problem, ProblemKind};

/// Buckets of one request.
pub const BUCKETS_ASKED_MAX: usize = 64;

/// Buckets of one request that are read at a time, in a piece of the answer: from a folder few, so that they are sent and opened while the next ones
/// are read; from a store behind a network many, because it answers many as fast as one, each after some tens of milliseconds.
const fn read_together(archive: &SegmentStore) -> usize {
    if archive.is_remote() { READS_MAX / 2 } else { 4 }
}

pub(super) async fn buckets(
    State(state): State<ArchiveState>,
    BoundedJson(BucketsAsked { buckets }): BoundedJson<BucketsAsked>,
) -> Result<Response, Problem> {
    if state.in_memory {
        return Err(ProblemKind::NotFound.into());
    }
    if buckets.is_empty() || buckets.len() > BUCKETS_ASKED_MAX {
        return Err(Problem::new(ProblemKind::Invalid).with_pointer("/buckets"));
    }
    let places = buckets.into_iter().map(|asked| Some((EpochId(asked.epoch.0.try_into().ok()?), asked.bucket)));
    let places: Option<Vec<_>> = places.collect();
    let places = places.ok_or_else(|| Problem::new(ProblemKind::Invalid).with_pointer("/buckets"))?;
    let mut frames = Box::pin(frames(state.archive, state.places, places));
    let first = frames.next().await.ok_or(ProblemKind::Internal)??;
    let body = Body::from_stream(stream::once(ready(Ok(first))).chain(frames));
    Ok(([(header::CONTENT_TYPE, OCTETS)], body).into_response())
}

/// The frames, [`read_together`] of them at a time. Between two such pieces nothing is read: whoever stops reading his answer holds no place for
/// reads. What of the last piece may not be sent yet counts until the next is wanted.
fn frames(
    archive: Arc<SegmentStore>,
    places: Arc<BucketPlaces>,
    asked: Vec<(EpochId, u32)>,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let together: Vec<Vec<_>> = asked.chunks(read_together(&archive)).map(<[_]>::to_vec).collect();
    stream::try_unfold((together.into_iter(), None), move |(mut left, unsent)| {
        let (archive, places) = (Arc::clone(&archive), Arc::clone(&places));
        async move {
            drop::<Option<OwnedSemaphorePermit>>(unsent);
            let Some(asked) = left.next() else { return Ok(None) };
            let (piece, unsent) = piece(&archive, &places, asked).await?;
            Ok(Some((piece, (left, Some(unsent)))))
        }
    })
}

/// One piece, and its place among what is not sent yet.
async fn piece(
    archive: &SegmentStore,
    places: &BucketPlaces,
    asked: Vec<(EpochId, u32)>,
) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
    let closed = |_nobody_closes_it| ProblemKind::Internal;
    let reads = u32::try_from(asked.len()).map_err(|_more_than_may_be_asked_for| ProblemKind::Internal)?;
    let _reading = places.reads.acquire_many(reads).await.map_err(closed)?;
    let mut piece = BytesMut::new();
    for bucket in archive.get_buckets(&asked).await.map_err(problem)? {
        piece.put_u32(u32::try_from(bucket.len()).map_err(|_longer_than_any_bucket| ProblemKind::Internal)?);
        piece.extend_from_slice(&bucket);
    }
    let kib = u32::try_from(piece.len().div_ceil(1_024)).unwrap_or(u32::MAX).min(UNSENT_KIB_MAX);
    // Still at its place for reads: what waits here is bounded too.
    let unsent = Arc::clone(&places.unsent_kib).acquire_many_owned(kib).await.map_err(closed)?;
    Ok((piece.freeze(), unsent))
}

fn problem(error: ArchiveError) -> Problem {
    match error {
        ArchiveError::NotFound | ArchiveError::NotClosed | ArchiveError::NoSuchBucket => ProblemKind::NotFound.into(),
        ArchiveError::Damaged(what) => {
            tracing::error!(what, "the archive is damaged: run lockplate doctor --store DIR");
            ProblemKind::Unavailable.into()
        }
        ArchiveError::Full(_) | ArchiveError::Unavailable(_) | ArchiveError::Conflict | ArchiveError::Invalid => {
            ProblemKind::Unavailable.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use lockplate_core::limits::CELL_BYTES;
    use lockplate_core::segment::{Segment, SpoolCell};
    use lockplate_store::contract::Archive as _;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn whoever_stops_reading_his_answer_holds_no_place() {
        let slow =
            ThrottleConfig { wait_get_per_call: core::time::Duration::from_millis(20), ..ThrottleConfig::default() };
        let store = ThrottledStore::new(InMemory::new(), slow);
        let archive = Arc::new(SegmentStore::over(Arc::new(store), Path::from("millbrook"), true));
        let epoch = EpochId([3; 16]);
        let cells = (0..64).map(|n| SpoolCell { bucket: n % 8, cell: [0; CELL_BYTES] }).collect();
        let segment = Segment::build(3, cells, &mut ChaCha20Rng::seed_from_u64(2)).unwrap();
        archive.put_segment(epoch, Bytes::from_static(b"h"), segment).await.unwrap();
        archive.put_close(epoch, Bytes::from_static(b"c")).await.unwrap();
        // Room for two pieces of 32 buckets of 16 cells that are not sent yet.
        let together = read_together(&archive);
        let places = Arc::new(BucketPlaces { unsent_kib: Arc::new(Semaphore::new(288)), ..BucketPlaces::default() });
        let ask = || Box::pin(frames(Arc::clone(&archive), Arc::clone(&places), vec![(epoch, 1); 3 * together]));
        let (mut idle, mut other) = (ask(), ask());
        let first = idle.next().await.unwrap().unwrap();
        assert_eq!((together, first.len().div_ceil(1_024)), (32, 132));
        assert_eq!(places.reads.available_permits(), READS_MAX);
        // The other one reads on to its end.
        let mut all = Vec::new();
        while let Some(piece) = other.next().await {
            all.push(piece.unwrap());
        }
        assert_eq!((all.len(), &all[2]), (3, &first));
        // Two that read nothing have all the room: a third waits, and goes on when one of them is cut off.
        let mut idle_too = ask();
        idle_too.next().await.unwrap().unwrap();
        let mut third = ask();
        let soon = core::time::Duration::from_millis(300);
        assert!(tokio::time::timeout(soon, third.next()).await.is_err());
        drop(idle);
        assert_eq!(third.next().await.unwrap().unwrap(), first);
    }
}

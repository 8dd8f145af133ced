//! Many buckets of many epochs in one request: `POST /v1/buckets` with [`BucketsAsked`]. The answer (`application/octet-stream`) is, in the
//! order asked, `u32 length (big-endian) | bucket with its proof` of each; it is sent while buckets are read, so that neither side has more
//! than a few of them in memory. Where one of the first [`READ_TOGETHER`] cannot be given the answer is a problem; where a later one cannot, it breaks off.

use core::future::ready;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, BytesMut};
use futures_util::future::try_join_all;
use futures_util::stream::{self, Stream, StreamExt as _};
use lockplate_core::id::EpochId;
use lockplate_store::contract::{Archive as _, Error as ArchiveError};
use lockplate_store::segment_store::SegmentStore;
use tokio::sync::Semaphore;

use super::{ArchiveState, OCTETS};
use crate::api::BucketsAsked;
use crate::http::BoundedJson;
use crate::problem::{Problem, ProblemKind};

/// Buckets of one request.
pub const BUCKETS_ASKED_MAX: usize = 64;

/// Buckets of one request that are read from the store at a time: one behind a network answers several as fast as one.
const READ_TOGETHER: usize = 4;

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
    let mut frames = Box::pin(frames(state.archive, state.reads, places));
    let first = frames.next().await.ok_or(ProblemKind::Internal)??;
    let body = Body::from_stream(stream::once(ready(Ok(first))).chain(frames));
    Ok(([(header::CONTENT_TYPE, OCTETS)], body).into_response())
}

/// The frames, [`READ_TOGETHER`] of them at a time. Between two such pieces nothing is under way: whoever stops reading his answer holds none of
/// the places for reads.
fn frames(
    archive: Arc<SegmentStore>,
    reads: Arc<Semaphore>,
    places: Vec<(EpochId, u32)>,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let together: Vec<Vec<_>> = places.chunks(READ_TOGETHER).map(<[_]>::to_vec).collect();
    stream::iter(together).then(move |places| {
        let (archive, reads) = (Arc::clone(&archive), Arc::clone(&reads));
        async move {
            let mut piece = BytesMut::new();
            for bucket in try_join_all(places.into_iter().map(|place| read(&archive, &reads, place))).await? {
                piece.put_u32(u32::try_from(bucket.len()).map_err(|_longer_than_any_bucket| ProblemKind::Internal)?);
                piece.extend_from_slice(&bucket);
            }
            Ok(piece.freeze())
        }
    })
}

async fn read(archive: &SegmentStore, reads: &Semaphore, (epoch, bucket): (EpochId, u32)) -> Result<Bytes, Problem> {
    // An error means that nobody closes it: it never comes.
    let _place = reads.acquire().await;
    archive.get_bucket(epoch, bucket).await.map_err(|error| match error {
        ArchiveError::NotFound | ArchiveError::NotClosed | ArchiveError::NoSuchBucket => ProblemKind::NotFound.into(),
        ArchiveError::Damaged(what) => {
            tracing::error!(what, "the archive is damaged: run lockplate doctor --store DIR");
            ProblemKind::Unavailable.into()
        }
        ArchiveError::Full(_) | ArchiveError::Unavailable(_) | ArchiveError::Conflict | ArchiveError::Invalid => {
            ProblemKind::Unavailable.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use lockplate_core::limits::CELL_BYTES;
    use lockplate_core::segment::{Segment, SpoolCell};
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

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
        let reads = Arc::new(Semaphore::new(8));
        let mut frames = Box::pin(frames(archive, Arc::clone(&reads), vec![(epoch, 1); 3 * READ_TOGETHER]));
        let first = frames.next().await.unwrap().unwrap();
        assert_eq!(reads.available_permits(), 8);
        // And the rest comes to whoever reads on.
        let rest: Vec<_> = frames.map(Result::unwrap).collect().await;
        assert_eq!((rest.len(), &rest[1]), (2, &first));
    }
}

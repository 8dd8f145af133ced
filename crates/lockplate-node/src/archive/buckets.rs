//! Many buckets of many epochs in one request: `POST /v1/buckets` with [`BucketsAsked`]. The answer (`application/octet-stream`) is, in the
//! order asked, `u32 length (big-endian) | bucket with its proof` of each; it is sent while buckets are read, so that neither side has more
//! than a few of them in memory. Where the first cannot be given the answer is a problem; where a later one cannot, it breaks off.

use core::future::ready;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use lockplate_core::id::EpochId;
use lockplate_store::contract::{Archive as _, Error as ArchiveError};

use super::{ArchiveState, OCTETS};
use crate::api::BucketsAsked;
use crate::http::BoundedJson;
use crate::problem::{Problem, ProblemKind};

/// Buckets of one request.
pub const BUCKETS_ASKED_MAX: usize = 64;

/// Buckets of one request that are read from the store at a time: one behind a network answers several as fast as one.
const READ_AHEAD: usize = 4;

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
    let reads = places.into_iter().map(move |(epoch, bucket)| framed(state.clone(), epoch, bucket));
    let mut frames = Box::pin(stream::iter(reads).buffered(READ_AHEAD));
    let first = frames.next().await.ok_or(ProblemKind::Internal)??;
    let body = Body::from_stream(stream::once(ready(Ok(first))).chain(frames));
    Ok(([(header::CONTENT_TYPE, OCTETS)], body).into_response())
}

async fn framed(state: ArchiveState, epoch: EpochId, bucket: u32) -> Result<Bytes, Problem> {
    // An error means that nobody closes it: it never comes.
    let _place = state.reads.acquire().await;
    let bytes = state.archive.get_bucket(epoch, bucket).await.map_err(|error| match error {
        ArchiveError::NotFound | ArchiveError::NotClosed | ArchiveError::NoSuchBucket => ProblemKind::NotFound,
        ArchiveError::Damaged(what) => {
            tracing::error!(what, "the archive is damaged: run lockplate doctor --store DIR");
            ProblemKind::Unavailable
        }
        ArchiveError::Full(_) | ArchiveError::Unavailable(_) | ArchiveError::Conflict | ArchiveError::Invalid => {
            ProblemKind::Unavailable
        }
    })?;
    let length = u32::try_from(bytes.len()).map_err(|_longer_than_any_bucket| ProblemKind::Internal)?;
    let mut frame = BytesMut::with_capacity(bytes.len().saturating_add(4));
    frame.put_u32(length);
    frame.extend_from_slice(&bytes);
    Ok(frame.freeze())
}

//! The public archive of an owner agency over HTTP: which epochs there are, [`buckets`] of them with their proofs, the
//! camera register, the charter, the time. Everything here is public and the same for everybody; it is read-only. It must do the
//! same work for a bucket whoever asks and whatever is in it, and must trace neither epochs nor buckets that are asked for.
//!
//! The agency answers from its tables; an archive server ([`server`]) from what the recorder [`published`] in the bucket.

pub mod buckets;
pub mod published;
pub mod server;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::sign::SigningKey;
use lockplate_core::timekeeping::TimeStatement;
use lockplate_store::segment_store::SegmentStore;
use serde::Deserialize;
use tokio::sync::Semaphore;

use self::published::FromBucket;
use crate::agency_db::{self, AgencyDb, EpochRow, EpochState};
use crate::api::{B64, CameraList, EpochList, EpochListed, TimeTold};
use crate::clock::Clock;
use crate::db::DbError;
use crate::party_log::seconds;
use crate::problem::{Problem, ProblemKind};

/// Epochs of one window that are listed: their JSON stays below the 4 MiB that a client reads. A longer window is asked for in
/// parts.
pub const EPOCHS_LISTED_MAX: usize = 2_000;

/// What answers with buckets may hold of this machine, all together. Whoever comes later waits for a place.
#[derive(Debug)]
pub struct BucketPlaces {
    /// Buckets that are read from the store: one behind a network may be slow.
    reads: Arc<Semaphore>,
    /// KiB that were read and are not sent yet. A caller who reads nothing keeps his until his connection is cut
    /// ([`crate::http::Limits::stall`]).
    unsent_kib: Arc<Semaphore>,
}

/// Buckets that are read at once.
pub(crate) const READS_MAX: usize = 64;
/// 64 MiB.
const UNSENT_KIB_MAX: u32 = 64 * 1024;

impl Default for BucketPlaces {
    fn default() -> Self {
        let unsent = usize::try_from(UNSENT_KIB_MAX).unwrap_or(usize::MAX);
        Self { reads: Arc::new(Semaphore::new(READS_MAX)), unsent_kib: Arc::new(Semaphore::new(unsent)) }
    }
}

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What the archive answers from.
#[derive(Clone)]
pub struct ArchiveState {
    /// The charter in force.
    pub charter: Arc<CharterFile>,
    /// Epochs and cameras.
    pub known: Known,
    /// Segments.
    pub archive: Arc<SegmentStore>,
    /// They are in memory, because the owner's law lets no read leave: no bucket is served, sealed as it is.
    pub in_memory: bool,
    /// Signs the time: the recorder's key of the charter. An archive server has none and tells no time.
    pub key: Option<Arc<SigningKey>>,
    /// Bounds of answers with buckets.
    pub places: Arc<BucketPlaces>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Where epochs and cameras stand.
#[derive(Clone, Debug)]
pub enum Known {
    /// In the recorder's tables.
    Tables(AgencyDb),
    /// In the bucket.
    Bucket(Arc<FromBucket>),
}

impl core::fmt::Debug for ArchiveState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ArchiveState(..)")
    }
}

/// The archive's routes.
pub fn routes(state: ArchiveState) -> Router {
    let router = Router::new()
        .route("/v1/charter", get(charter))
        .route("/v1/epochs", get(epochs))
        .route("/v1/buckets", post(buckets::buckets))
        .route("/v1/cameras", get(cameras));
    let router = if state.key.is_some() { router.route("/v1/time", get(time)) } else { router };
    router.with_state(state)
}

async fn charter(State(state): State<ArchiveState>) -> Response {
    ([(header::CONTENT_TYPE, TEXT)], Body::from(state.charter.bytes().to_vec())).into_response()
}

/// `?from=<unix s>&to=<unix s>`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    from: Option<u64>,
    to: Option<u64>,
}

/// From and to of a window; a problem points at the one that is missing or does not fit.
fn bounds(window: Result<Query<Window>, QueryRejection>) -> Result<(u64, u64), Box<Problem>> {
    let pointed = |kind, name| Box::new(Problem::new(kind).with_pointer(name));
    let Query(Window { from, to }) = window.map_err(|_unreadable| Box::new(Problem::new(ProblemKind::Malformed)))?;
    let from = from.ok_or_else(|| pointed(ProblemKind::Malformed, "/from"))?;
    let to = to.ok_or_else(|| pointed(ProblemKind::Malformed, "/to"))?;
    if from < to { Ok((from, to)) } else { Err(pointed(ProblemKind::Invalid, "/to")) }
}

async fn epochs(
    State(state): State<ArchiveState>,
    window: Result<Query<Window>, QueryRejection>,
) -> Result<Json<EpochList>, Problem> {
    let (from, to) = bounds(window).map_err(|problem| *problem)?;
    let now = Timestamp(seconds(state.clock.as_ref()));
    let db = match &state.known {
        Known::Tables(db) => db,
        Known::Bucket(known) => return known.epochs(from, to, now, EPOCHS_LISTED_MAX).await.map(Json),
    };
    let rows = db.epochs_inside(from, to, EPOCHS_LISTED_MAX.saturating_add(1)).await.map_err(unavailable)?;
    if rows.len() > EPOCHS_LISTED_MAX {
        return Err(Problem::new(ProblemKind::TooLarge).with_pointer("/to"));
    }
    let mut list = EpochList { epochs: Vec::new(), destroyed: 0, open: 0 };
    for EpochRow { header, close, state, .. } in rows {
        // An epoch past its retention is dead by its label, whether housekeeping has come by or not.
        match (state, close) {
            (EpochState::Destroyed, _) => list.destroyed = list.destroyed.saturating_add(1),
            (EpochState::Closed, _) if header.claimed().destroy_after <= now => {
                list.destroyed = list.destroyed.saturating_add(1);
            }
            (EpochState::Closed, Some(close)) => {
                list.epochs.push(EpochListed { header: B64(header.to_bytes()), close: B64(close.to_bytes()) });
            }
            // Its shares are not receipted: no read will be under it unless they are.
            (EpochState::Dealt, _) => {}
            (EpochState::Open | EpochState::Closing | EpochState::Damaged | EpochState::Closed, _) => {
                list.open = list.open.saturating_add(1);
            }
        }
    }
    Ok(Json(list))
}

async fn cameras(State(state): State<ArchiveState>) -> Result<Json<CameraList>, Problem> {
    match &state.known {
        Known::Tables(db) => Ok(Json(agency_db::listed(&db.cameras().await.map_err(unavailable)?))),
        Known::Bucket(known) => Ok(Json(CameraList { cameras: known.published().await?.cameras.cameras.clone() })),
    }
}

/// `?nonce=<hex 16 bytes>`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    nonce: String,
}

async fn time(
    State(state): State<ArchiveState>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<TimeTold>, Problem> {
    let key = state.key.as_ref().ok_or(ProblemKind::NotFound)?;
    let Query(Asked { nonce: text }) = asked.map_err(|_unreadable| ProblemKind::Malformed)?;
    let mut nonce = [0; 16];
    hex::decode_to_slice(&text, &mut nonce).map_err(|_no_nonce| ProblemKind::Malformed)?;
    let time = Timestamp(seconds(state.clock.as_ref()));
    Ok(Json(TimeTold { time: B64(key.sign(TimeStatement { nonce, time }).to_bytes()) }))
}

fn unavailable(error: DbError) -> Problem {
    tracing::warn!(%error, "the archive's tables cannot be read");
    Problem::new(ProblemKind::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_both_ends_and_a_problem_points_at_the_one_that_is_missing() {
        let bounds = |query: &str| {
            let uri = format!("/v1/epochs{query}").parse().unwrap();
            bounds(Query::try_from_uri(&uri)).map_err(|problem| {
                let json: serde_json::Value = serde_json::from_str(&problem.to_json()).unwrap();
                let pointer = json.get("pointer").and_then(|text| text.as_str()).unwrap_or_default();
                (problem.kind().status(), pointer.to_owned())
            })
        };
        let refused = |status, pointer: &str| Err((status, pointer.to_owned()));
        assert_eq!(bounds("?from=1&to=2"), Ok((1, 2)));
        assert_eq!(bounds(""), refused(400, "/from"));
        assert_eq!(bounds("?to=2"), refused(400, "/from"));
        assert_eq!(bounds("?from=1"), refused(400, "/to"));
        assert_eq!(bounds("?from=2&to=2"), refused(422, "/to"));
        for unreadable in ["?from=x&to=2", "?from=1&to=-2", "?from=1&to=2&all=1", "?from=1&from=1&to=2"] {
            assert_eq!(bounds(unreadable), refused(400, ""), "{unreadable}");
        }
    }
}

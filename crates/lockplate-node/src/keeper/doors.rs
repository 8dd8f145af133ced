//! The keeper's HTTP doors. They decode, hand the rest to the one [`Desk`], and encode; nothing is decided here. Bodies are
//! those of [`crate::api`]; every signed structure in them is verified further in.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use rusqlite::Connection;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::office::{Desk, Office};
use super::requests::Filing;
use crate::api::{
    B64, Done, EpochEnded, Evaluated, GrantShown, ObjectFiled, OpeningGiven, PaperFiled, PolicyFiled, Prekeys,
    PrekeysAsked, RequestFiled, ReviewLogged, ShareDealt, ShareStored, TimeTold,
};
use crate::http::BoundedJson;
use crate::log_door::Receipts;
use crate::problem::{Problem, ProblemKind};

/// Bytes of a grant's body: sixteen approvals that each list 20,000 epochs, in base64.
const GRANT_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of a filing's body: nine sealed Openings of 64 KiB and seventeen objects of 16 KiB, in base64, and room.
const FILING_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a policy change's body: all packs that are shipped have a tenth of it.
const POLICY_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What the doors share.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    pub(super) desk: Desk,
    pub(super) stopping: CancellationToken,
}

/// What answers before the keeper is ready.
pub(super) fn early(charter: Bytes) -> Router {
    Router::new().route("/v1/charter", get(self::charter)).route("/livez", get(livez)).with_state(charter)
}

pub(super) fn routes(doors: Doors) -> Router {
    Router::new()
        .route("/v1/prekeys", post(prekeys))
        .route("/v1/shares", post(shares))
        .route("/v1/closes", post(closes))
        .route("/v1/directories", post(directories))
        .route("/v1/declarations", post(declarations))
        .route("/v1/requests", post(requests).layer(DefaultBodyLimit::max(FILING_BODY_BYTES_MAX)))
        .route("/v1/authorisations", post(authorisations))
        .route("/v1/papers", post(papers))
        .route("/v1/policies", post(policies).layer(DefaultBodyLimit::max(POLICY_BODY_BYTES_MAX)))
        .route("/v1/auditor/openings", post(auditor_openings))
        .route("/v1/reviews", post(reviews))
        .route("/v1/notice", post(notice))
        .route("/v1/evaluations", post(evaluations).layer(DefaultBodyLimit::max(GRANT_BODY_BYTES_MAX)))
        .route("/v1/time", get(time))
        .route("/readyz", get(readyz))
        .with_state(doors)
}

async fn prekeys(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<PrekeysAsked>,
) -> Result<Json<Prekeys>, Problem> {
    let B64(order) = body.order;
    let made = doors.desk.answer(move |office, db, now| office.make_prekeys(db, &order, now)).await?;
    Ok(Json(Prekeys { prekeys: made.into_iter().map(B64).collect() }))
}

async fn shares(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<ShareDealt>,
) -> Result<Json<ShareStored>, Problem> {
    let (B64(header), B64(envelope)) = (body.header, body.envelope);
    let receipt = doors.desk.answer(move |office, db, now| office.store_share(db, &header, &envelope, now)).await?;
    Ok(Json(ShareStored { receipt: B64(receipt) }))
}

async fn closes(State(doors): State<Doors>, BoundedJson(body): BoundedJson<EpochEnded>) -> Result<Json<Done>, Problem> {
    let B64(close) = body.close;
    doors.desk.answer(move |office, db, _now| office.store_close(db, &close)).await?;
    Ok(Json(Done {}))
}

async fn directories(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<ObjectFiled>,
) -> Result<Json<Done>, Problem> {
    let B64(object) = body.object;
    doors.desk.answer(move |office, db, now| office.store_directory(db, &object, now)).await?;
    Ok(Json(Done {}))
}

async fn declarations(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<ObjectFiled>,
) -> Result<Json<Done>, Problem> {
    let B64(object) = body.object;
    doors.desk.answer(move |office, db, now| office.store_declaration(db, &object, now)).await?;
    Ok(Json(Done {}))
}

async fn authorisations(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<ObjectFiled>,
) -> Result<Json<Done>, Problem> {
    let B64(object) = body.object;
    doors.desk.answer(move |office, db, now| office.file_order(db, &object, now)).await?;
    Ok(Json(Done {}))
}

async fn papers(State(doors): State<Doors>, BoundedJson(body): BoundedJson<PaperFiled>) -> Result<Json<Done>, Problem> {
    let request = body.request.0.as_slice().try_into().map_err(|_length| ProblemKind::Malformed)?;
    let filed = move |office: &mut Office, db: &mut Connection, now| {
        let sealed = body.disclosures.as_ref().map(|B64(sealed)| sealed.as_slice());
        office.file_paper(db, (request, &body.object.0, sealed), now)
    };
    doors.desk.answer(filed).await?;
    Ok(Json(Done {}))
}

async fn policies(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<PolicyFiled>,
) -> Result<Json<Done>, Problem> {
    doors.desk.answer(move |office, db, now| office.file_policy(db, &body, now)).await?;
    Ok(Json(Done {}))
}

async fn auditor_openings(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<ObjectFiled>,
) -> Result<Json<OpeningGiven>, Problem> {
    let B64(call) = body.object;
    Ok(Json(doors.desk.answer(move |office, db, now| office.give_opening(db, &call, now)).await?))
}

async fn reviews(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<ObjectFiled>,
) -> Result<Json<ReviewLogged>, Problem> {
    let B64(review) = body.object;
    let register = doors.desk.answer(move |office, db, now| office.store_review(db, &review, now)).await?;
    Ok(Json(ReviewLogged { register }))
}

async fn notice(State(doors): State<Doors>, BoundedJson(body): BoundedJson<ObjectFiled>) -> Result<Response, Problem> {
    let B64(code) = body.object;
    // It rests on no leaf: what it says is the same whatever the log says.
    Ok(json(doors.desk.visit(move |office, db, now| office.answer_code(db, &code, now)).await?))
}

async fn requests(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<RequestFiled>,
) -> Result<Response, Problem> {
    let filing = Filing::decode(body)?;
    Ok(json(doors.desk.file(filing).await?))
}

async fn evaluations(
    State(doors): State<Doors>,
    BoundedJson(body): BoundedJson<GrantShown>,
) -> Result<Json<Evaluated>, Problem> {
    let B64(grant) = body.grant;
    let clock = doors.desk.clock();
    let evaluation = doors
        .desk
        .answer(move |office, db, now| {
            let begun = clock.monotonic();
            let evaluated = office.evaluate(db, &grant, now);
            let took_us = clock.monotonic().saturating_sub(begun).as_micros();
            tracing::debug!(took_us, done = evaluated.is_ok(), "a grant was evaluated");
            evaluated
        })
        .await?;
    Ok(Json(Evaluated { evaluation: B64(evaluation) }))
}

/// Query of `GET /v1/time`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeAsked {
    nonce: String,
}

async fn time(State(doors): State<Doors>, Query(asked): Query<TimeAsked>) -> Result<Json<TimeTold>, Problem> {
    let mut nonce = [0; 16];
    hex::decode_to_slice(&asked.nonce, &mut nonce).map_err(|_form| ProblemKind::Malformed)?;
    let told = doors.desk.answer(move |office, _db, now| office.tell_time(nonce, now)).await?;
    Ok(Json(TimeTold { time: B64(told) }))
}

async fn charter(State(charter): State<Bytes>) -> Response {
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, media_type)], charter).into_response()
}

async fn livez() -> &'static str {
    "ok"
}

async fn readyz(State(doors): State<Doors>) -> Result<&'static str, Problem> {
    if doors.stopping.is_cancelled() || doors.desk.broken().is_cancelled() {
        return Err(ProblemKind::Unavailable.into());
    }
    Ok("ready")
}

/// Bytes that are JSON already: a repeat gets exactly the stored ones.
fn json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}

/// Receipts come from the process that owns the log.
#[derive(Debug)]
pub(super) struct LogReceipts(pub(super) Desk);

impl Receipts for LogReceipts {
    fn receipt(&self, index: u64) -> BoxFuture<'_, Result<Vec<u8>, Problem>> {
        let desk = self.0.clone();
        Box::pin(async move {
            let receipt = desk.visit(move |office, _db, _now| match office.keeper.log().receipt(index) {
                Ok(receipt) => Ok(receipt),
                Err(lockplate_log::Error::NotPublished | lockplate_log::Error::OutOfRange) => {
                    Err(ProblemKind::NotFound.into())
                }
                Err(_log) => Err(ProblemKind::Unavailable.into()),
            });
            Ok(receipt.await?)
        })
    }
}

pub(super) fn receipts(desk: Desk) -> Arc<dyn Receipts> {
    Arc::new(LogReceipts(desk))
}

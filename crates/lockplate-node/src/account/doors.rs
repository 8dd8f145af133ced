//! The operator's doors, opened with its token: passages are fetched and struck off, a gate asks whether a plate may pass, and passes are
//! counted by facility and hour. No plate leaves, and a gate's question is stored nowhere.

use std::sync::PoisonError;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::routing::{get, post};
use axum::{Json, Router};
use lockplate_core::Timestamp;
use lockplate_core::plate::{Jurisdiction, Plate};
use lockplate_core::read::Read;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{Accounts, HOUR_SECONDS};
use crate::api::{B64, Done};
use crate::http::BoundedJson;
use crate::party_log::seconds;
use crate::problem::{Problem, ProblemKind};

/// Passages in one answer.
const LISTED_MAX: i64 = 1_000;

/// A sealed passage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Its number; rises.
    pub number: i64,
    /// Sealed to the billing key.
    pub sealed: B64,
}

/// `GET /v1/passages?after=N`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassagesListed {
    /// Id of the list, hexadecimal; stands in the seal.
    pub list: String,
    /// The next ones, at most 1,000.
    pub passages: Vec<Sealed>,
    /// Passes since the start that were not compared or not kept: too many waited, there were no accounts, or the disk failed.
    pub lost: u64,
}

/// `POST /v1/passages/taken`: everything up to this number is with the operator and goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassagesTaken {
    /// The number.
    pub number: i64,
}

/// `POST /v1/gate`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateAsked {
    /// As it was read.
    pub plate: String,
    /// State, if it was read.
    #[serde(default)]
    pub jurisdiction: Option<String>,
}

impl core::fmt::Debug for GateAsked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("GateAsked(..)")
    }
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateAnswer {
    /// It is a customer's now.
    pub pass: bool,
}

/// One facility and hour of `GET /v1/passages/counts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassageCount {
    /// The facility.
    pub facility: String,
    /// Unix seconds at which the hour begins.
    pub hour: u64,
    /// Passes of customers.
    pub customers: u64,
    /// Every other pass.
    pub others: u64,
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: i64,
}

impl Accounts {
    /// The doors.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/v1/passages", get(passages))
            .route("/v1/passages/taken", post(taken))
            .route("/v1/passages/counts", get(counts))
            .route("/v1/gate", post(gate))
            .with_state(self.clone())
    }

    fn admits(&self, headers: &HeaderMap) -> Result<(), ProblemKind> {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        if self.inner.token.admits(token) { Ok(()) } else { Err(ProblemKind::NotSignedIn) }
    }
}

async fn passages(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    Query(After { after }): Query<After>,
) -> Result<Json<PassagesListed>, Problem> {
    accounts.admits(&headers)?;
    let listed = accounts.inner.db.db().call(move |connection| {
        let mut rows = connection
            .prepare_cached("SELECT number, sealed FROM passage WHERE number > ?1 ORDER BY number LIMIT ?2")?;
        let row = |row: &rusqlite::Row<'_>| Ok(Sealed { number: row.get(0)?, sealed: B64(row.get(1)?) });
        Ok(rows.query_map(params![after, LISTED_MAX], row)?.collect::<Result<_, _>>()?)
    });
    Ok(Json(PassagesListed {
        list: hex::encode(accounts.inner.list),
        passages: listed.await?,
        lost: accounts.inner.lost.load(std::sync::atomic::Ordering::Relaxed),
    }))
}

async fn taken(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    BoundedJson(PassagesTaken { number }): BoundedJson<PassagesTaken>,
) -> Result<Json<Done>, Problem> {
    accounts.admits(&headers)?;
    let gone = accounts.inner.db.db().transaction(move |connection| {
        connection.execute("DELETE FROM passage WHERE number <= ?1", [number])?;
        Ok(())
    });
    gone.await?;
    Ok(Json(Done {}))
}

async fn counts(State(accounts): State<Accounts>, headers: HeaderMap) -> Result<Json<Vec<PassageCount>>, Problem> {
    accounts.admits(&headers)?;
    let counts = accounts.inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = |((facility, hour), (customers, others)): (&(String, u64), &(u64, u64))| PassageCount {
        facility: facility.clone(),
        hour: hour.saturating_mul(HOUR_SECONDS),
        customers: *customers,
        others: *others,
    };
    Ok(Json(counts.iter().map(count).collect()))
}

async fn gate(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    BoundedJson(asked): BoundedJson<GateAsked>,
) -> Result<Json<GateAnswer>, Problem> {
    accounts.admits(&headers)?;
    let malformed = |pointer| Problem::new(ProblemKind::Malformed).with_pointer(pointer);
    let plate = Plate::parse(&asked.plate).ok_or_else(|| malformed("/plate"))?;
    let jurisdiction = match &asked.jurisdiction {
        None => None,
        Some(code) => Some(Jurisdiction::parse(code).ok_or_else(|| malformed("/jurisdiction"))?),
    };
    let now = Timestamp(seconds(accounts.inner.clock.as_ref()));
    let read = Read::beyond_doubt(plate, jurisdiction, accounts.inner.clock.now_ms());
    // A no without accounts would shut the gate to every customer.
    let set = accounts.inner.set().ok_or(ProblemKind::Unavailable)?;
    Ok(Json(GateAnswer { pass: set.may_pass(&read, now) }))
}

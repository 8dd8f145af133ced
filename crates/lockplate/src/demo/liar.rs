//! A keeper that lies, for the demo's fifth act: a front door at the keeper's address, with its TLS and signing keys, before
//! the keeper itself. It passes everything on; once it is told to, it answers grants with something else, correctly signed.
//! That is what a keeper whose machine was taken over could do; the proof in every answer is why nobody believes it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use clap::Args;
use lockplate_core::open::Evaluation;
use lockplate_core::sign::{Signed, SigningKey};
use lockplate_node::api::{B64, Evaluated};
use lockplate_node::client::{CallLimits, PeerClient, PeerError, PeerTrust};
use lockplate_node::founding::{self, KeeperFiles};
use lockplate_node::http::{BoundedBytes, Limits, ListenOn, Server, TlsMode, Verbatim};
use lockplate_node::problem::{Problem, ProblemKind};
use lockplate_node::shutdown::{ExitKind, SHUTDOWN_MAX, Tasks};
use lockplate_node::tls::TlsIdentity;
use serde_json::Value;

use crate::exit::Ended;

/// The front door.
#[derive(Debug, Args)]
pub(crate) struct LiarArgs {
    /// Where it listens: the keeper's address in the charter
    #[arg(long)]
    listen: SocketAddr,
    /// Where the keeper itself listens, plain HTTP on loopback
    #[arg(long)]
    behind: SocketAddr,
    /// Folder of the keeper's keys
    #[arg(long)]
    keys: PathBuf,
    /// It lies while this file is there
    #[arg(long)]
    lie_while: PathBuf,
}

#[derive(Clone)]
struct Door {
    behind: PeerClient,
    key: Arc<SigningKey>,
    lie_while: PathBuf,
}

/// Runs the front door.
pub(crate) async fn run(args: LiarArgs) -> Result<ExitKind> {
    let files = KeeperFiles::in_folder(&args.keys);
    let limits = CallLimits { body_bytes: 64 * 1024 * 1024, ..CallLimits::default() };
    let door = Door {
        behind: PeerClient::new(&format!("http://{}", args.behind), PeerTrust::PlainLoopback, limits)?,
        key: Arc::new(founding::statement_signer(&files.key)?),
        lie_while: args.lie_while,
    };
    let tls = TlsMode::Pinned(TlsIdentity::load_or_create(&files.tls)?.server_config()?);
    let tasks = Tasks::new();
    tasks.stop_on_signals().context("the system refuses signal handlers")?;
    let limits = Limits { body_bytes: 8 * 1024 * 1024, ..Limits::default() };
    let server = Server::bind(ListenOn { addr: args.listen, tls }, limits)
        .await
        .map_err(|error| Ended::config(error.to_string()))?;
    server.serve(Router::new().fallback(pass_on).with_state(door), &tasks);
    tasks.stopping().cancelled().await;
    tasks.finish(SHUTDOWN_MAX).await.map_err(|unfinished| Ended::internal(unfinished.to_string()))?;
    Ok(ExitKind::Done)
}

/// The doors of the witness speak another protocol than the keeper's own: status, type and body go through as they are.
async fn pass_witness(door: &Door, path: &str, request: Request) -> Result<Response, Problem> {
    let answer = if request.method() == Method::GET {
        door.behind.get_raw(path).await
    } else {
        let BoundedBytes(body) = <BoundedBytes as axum::extract::FromRequest<()>>::from_request(request, &()).await?;
        door.behind.post_raw(path, body).await
    };
    let answer = answer.map_err(problem)?;
    let status = StatusCode::from_u16(answer.status).map_err(|_status| ProblemKind::Unavailable)?;
    let media_type = answer.media_type.unwrap_or_default();
    let mut response = (status, [(header::CONTENT_TYPE, media_type)], Body::from(answer.body)).into_response();
    response.extensions_mut().insert(Verbatim);
    Ok(response)
}

async fn pass_on(State(door): State<Door>, RawQuery(query): RawQuery, request: Request) -> Result<Response, Problem> {
    let path = request.uri().path().to_owned();
    if path.starts_with("/witness/") {
        return pass_witness(&door, &path, request).await;
    }
    if request.method() == Method::GET {
        let query = query.unwrap_or_default();
        let pairs: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let bytes = door.behind.get_bytes(&path, &pairs).await.map_err(problem)?;
        let media_type = if path.starts_with("/v1/requests") || path.starts_with("/v1/time") {
            "application/json"
        } else {
            "application/octet-stream"
        };
        return Ok(([(header::CONTENT_TYPE, media_type)], Body::from(bytes)).into_response());
    }
    let BoundedBytes(body) = <BoundedBytes as axum::extract::FromRequest<()>>::from_request(request, &()).await?;
    let body: Value = serde_json::from_slice(&body).map_err(|_json| ProblemKind::Malformed)?;
    let answer: Value = door.behind.post_json(&path, &body, None).await.map_err(problem)?;
    let answer = if path == "/v1/evaluations" && door.lie_while.exists() { lie(&door.key, answer)? } else { answer };
    let bytes = serde_json::to_vec(&answer).map_err(|_our_type| ProblemKind::Internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], Bytes::from(bytes)).into_response())
}

/// Another answer than the keeper gave, under the keeper's own good signature.
fn lie(key: &SigningKey, answer: Value) -> Result<Value, ProblemKind> {
    let evaluated: Evaluated = serde_json::from_value(answer).map_err(|_form| ProblemKind::Internal)?;
    let honest = Signed::<Evaluation>::from_bytes(&evaluated.evaluation.0).map_err(|_form| ProblemKind::Internal)?;
    let mut sealed = honest.claimed().sealed.clone();
    if let Some(byte) = sealed.last_mut() {
        *byte ^= 1;
    }
    let lie = key.sign(Evaluation { sealed, ..honest.claimed().clone() });
    serde_json::to_value(Evaluated { evaluation: B64(lie.to_bytes()) }).map_err(|_our_type| ProblemKind::Internal)
}

fn problem(error: PeerError) -> Problem {
    match error {
        PeerError::Problem(problem) => *problem,
        PeerError::Unreachable
        | PeerError::TimedOut
        | PeerError::WrongKey
        | PeerError::TooLarge
        | PeerError::Malformed
        | PeerError::Unsendable => ProblemKind::Unavailable.into(),
    }
}

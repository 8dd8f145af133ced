//! What an operator puts before an agency and its archive servers: one address and one TLS key, the agency's; reads of the archive go to the
//! servers in turn, and to the next where one does not answer; everything else goes to the agency.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use lockplate_node::client::{CallLimits, PeerClient, PeerError, PeerTrust};
use lockplate_node::founding::AgencyFiles;
use lockplate_node::http::{Limits, ListenOn, Server, TlsMode};
use lockplate_node::shutdown::Tasks;
use lockplate_node::tls::TlsIdentity;

const BODY_MAX: usize = 8 * 1024 * 1024;

/// The front.
pub struct Front {
    served: Arc<Vec<AtomicUsize>>,
    tasks: Tasks,
    runtime: tokio::runtime::Runtime,
}

struct Behind {
    agency: PeerClient,
    servers: Vec<PeerClient>,
    served: Arc<Vec<AtomicUsize>>,
    turn: AtomicUsize,
}

impl Front {
    /// Listens at `addr` with the agency's key.
    pub fn start(keys: &std::path::Path, addr: SocketAddr, agency: SocketAddr, servers: &[SocketAddr]) -> Self {
        let limits = CallLimits { body_bytes: BODY_MAX, ..CallLimits::default() };
        let peer =
            |at: &SocketAddr| PeerClient::new(&format!("http://{at}"), PeerTrust::PlainLoopback, limits).unwrap();
        let served: Arc<Vec<AtomicUsize>> = Arc::new(servers.iter().map(|_| AtomicUsize::new(0)).collect());
        let behind = Arc::new(Behind {
            agency: peer(&agency),
            servers: servers.iter().map(peer).collect(),
            served: Arc::clone(&served),
            turn: AtomicUsize::new(0),
        });
        let identity = TlsIdentity::load_or_create(&AgencyFiles::in_folder(keys).tls).unwrap();
        let tls = TlsMode::Pinned(identity.server_config().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let tasks = Tasks::new();
        let (own, app) = (tasks.clone(), Router::new().fallback(pass).with_state(behind));
        runtime.block_on(async move {
            Server::bind(ListenOn { addr, tls }, Limits::default()).await.unwrap().serve(app, &own);
        });
        Self { served, tasks, runtime }
    }

    /// Answers that each server gave.
    pub fn served(&self) -> Vec<usize> {
        self.served.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Ends it.
    pub fn stop(self) {
        let Self { tasks, runtime, .. } = self;
        // It may be cut off: nobody else's data hangs on it.
        let _finished = runtime.block_on(async { tasks.finish(Duration::from_secs(5)).await });
    }
}

async fn pass(State(behind): State<Arc<Behind>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let query: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let archive = ["/v1/epochs", "/v1/buckets", "/v1/cameras", "/v1/charter"].contains(&path.as_str());
    let mut headers = head.headers.clone();
    for own in ["host", "content-length", "connection", "transfer-encoding"] {
        headers.remove(own);
    }
    let body = to_bytes(body, BODY_MAX).await.unwrap_or_default();
    // What is read there is the same however often it is asked for.
    let ask = async |of: &PeerClient| {
        if head.method == Method::GET {
            of.get_bytes(&path, &query).await
        } else {
            of.post_with(&path, headers.clone(), body.clone()).await
        }
    };
    let answer = if archive {
        let mut answer = None;
        for _try in &behind.servers {
            let at = behind.turn.fetch_add(1, Ordering::Relaxed) % behind.servers.len();
            let said = ask(&behind.servers[at]).await;
            if !matches!(said, Err(PeerError::Unreachable | PeerError::TimedOut)) {
                behind.served[at].fetch_add(1, Ordering::Relaxed);
                answer = Some(said);
                break;
            }
        }
        match answer {
            Some(answer) => answer,
            // No server runs yet.
            None => ask(&behind.agency).await,
        }
    } else {
        ask(&behind.agency).await
    };
    match answer {
        Ok(answer) => {
            let kind = if answer.starts_with(b"{") { "application/json" } else { "application/octet-stream" };
            ([("content-type", kind)], Body::from(answer)).into_response()
        }
        Err(PeerError::Problem(problem)) => problem.into_response(),
        Err(_unreachable) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

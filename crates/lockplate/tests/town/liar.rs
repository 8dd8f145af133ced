//! A keeper that lies: keeper 3's own front door, with its TLS key and its signing key, before the honest process. Everything
//! passes through but evaluations, which are altered and signed anew: the signature is good, the answer is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use lockplate_core::open::Evaluation;
use lockplate_core::sign::{Signed, SigningKey};
use lockplate_node::api::{B64, Evaluated};
use lockplate_node::client::{CallLimits, PeerClient, PeerError, PeerTrust};
use lockplate_node::founding::{KeeperFiles, statement_signer};
use lockplate_node::http::{Limits, ListenOn, Server, TlsMode};
use lockplate_node::shutdown::Tasks;
use lockplate_node::tls::TlsIdentity;

use super::Town;

const BODY_MAX: usize = 8 * 1024 * 1024;

/// The front door.
pub struct Liar {
    lies: Arc<AtomicU64>,
    tasks: Tasks,
    runtime: tokio::runtime::Runtime,
}

struct Front {
    honest: PeerClient,
    key: SigningKey,
    lies: Arc<AtomicU64>,
}

impl Liar {
    /// Listens at keeper 3's address of the charter.
    pub fn start(root: &std::path::Path, url: &str, behind: SocketAddr) -> Self {
        let keys = KeeperFiles::in_folder(&root.join("keeper-3/data/keys"));
        let limits = CallLimits { body_bytes: BODY_MAX, ..CallLimits::default() };
        let lies = Arc::new(AtomicU64::new(0));
        let front = Arc::new(Front {
            honest: PeerClient::new(&format!("http://{behind}"), PeerTrust::PlainLoopback, limits).unwrap(),
            key: statement_signer(&keys.key).unwrap(),
            lies: Arc::clone(&lies),
        });
        let addr: SocketAddr = url.strip_prefix("https://").unwrap().parse().unwrap();
        let tls = TlsMode::Pinned(TlsIdentity::load_or_create(&keys.tls).unwrap().server_config().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let tasks = Tasks::new();
        let (own, app) = (tasks.clone(), Router::new().fallback(pass).with_state(front));
        runtime.block_on(async move {
            let server = Server::bind(ListenOn { addr, tls }, Limits::default()).await.unwrap();
            server.serve(app, &own);
        });
        Self { lies, tasks, runtime }
    }

    /// Wrong answers given so far.
    pub fn lies(&self) -> u64 {
        self.lies.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub fn stop(self) {
        let Self { tasks, runtime, .. } = self;
        // It may be cut off: nobody else's data hangs on it.
        let _finished = runtime.block_on(async { tasks.finish(Duration::from_secs(5)).await });
    }
}

async fn pass(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let body = to_bytes(body, BODY_MAX).await.unwrap_or_default();
    let answer = if head.method == Method::GET {
        let query = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        front.honest.get_bytes(&path, &query.collect::<Vec<_>>()).await
    } else {
        let mut headers = axum::http::HeaderMap::new();
        if let Some(kind) = head.headers.get("content-type") {
            headers.insert("content-type", kind.clone());
        }
        front.honest.post_with(&path, headers, body).await
    };
    match answer {
        Ok(answer) if path == "/v1/evaluations" => front.lie(&answer).into_response(),
        Ok(answer) => {
            let kind = if answer.starts_with(b"{") { "application/json" } else { "application/octet-stream" };
            ([("content-type", kind)], Body::from(answer)).into_response()
        }
        Err(PeerError::Problem(problem)) => problem.into_response(),
        Err(_unreachable) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

impl Front {
    fn lie(&self, honest: &[u8]) -> axum::Json<Evaluated> {
        let evaluated: Evaluated = serde_json::from_slice(honest).unwrap();
        let signed = Signed::<Evaluation>::from_bytes(&evaluated.evaluation.0).unwrap();
        let mut lie = signed.claimed().clone();
        let middle = lie.sealed.len() / 2;
        lie.sealed[middle] ^= 1;
        self.lies.fetch_add(1, Ordering::Relaxed);
        axum::Json(Evaluated { evaluation: B64(self.key.sign(lie).to_bytes()) })
    }
}

impl Town {
    /// The lying front door of keeper 3.
    pub fn start_liar(&self) -> Liar {
        let url = &self.charter.charter().keepers[2].url;
        Liar::start(self.folder.path(), url, self.behind.unwrap())
    }
}

//! The HTTP server of every role: our own accept loop around an axum router, with a bound on everything a caller can
//! spend. No response may tell a path, a statement, a backtrace, a version or the text of a library: whatever is not a
//! [`Problem`] and not a success is replaced by one. Requests go to the router of the role; what leaves carries the
//! request id and the security headers.
//!
//! A handler's future is dropped where the caller goes away or the time is over, so work that must not stop halfway
//! belongs in [`crate::db::Db::transaction`] or a task of [`Tasks`], which run to their end.

use core::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::intake::CloseUnanswered;
use crate::problem::{CONTENT_TYPE, Problem, ProblemKind, RequestId};
use crate::rng::SystemRng;
use crate::shutdown::{ExitKind, Tasks};

/// Most header fields of one request.
pub const HEADERS_MAX: usize = 64;

/// Most bytes of request line and headers, and of the read buffer of a connection.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Pause after the operating system refused a connection, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The header by which request ids come in and go out.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `Retry-After` of a 429 or 503 whose problem names no time, in seconds.
const RETRY_AFTER_DEFAULT_S: u32 = 5;

/// Content-Security-Policy of a response that sets none (interfaces.md section 7, row "all").
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What a caller may spend. The defaults fit a keeper; a route that takes larger bodies layers its own
/// [`DefaultBodyLimit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a connection to the end of the TLS handshake, and from there, or the last response, to
    /// the end of the headers.
    pub header_read: Duration,
    /// From the end of the headers to the beginning of the response, the body included.
    pub request: Duration,
    /// A door whose requests have a bound of their own.
    pub slow: Option<SlowDoor>,
    /// Longest time in which a caller takes nothing of what is sent to him; then his connection is cut, and with it goes what waits for him in
    /// memory.
    pub stall: Duration,
    /// Life of a connection, however busy: ends callers that read a response one byte at a time.
    pub connection_age: Duration,
    /// What an old connection, or any at shutdown, still gets to finish the response it is in.
    pub drain: Duration,
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Connections at a time; more wait in the operating system's queue.
    pub connections: usize,
}

/// A door that takes what takes long: all of a path that begins and ends so. Its handler asks who calls before it reads a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowDoor {
    /// Begin of its path.
    pub begins: &'static str,
    /// End of its path.
    pub ends: &'static str,
    /// As [`Limits::request`].
    pub request: Duration,
}

impl Limits {
    fn request_to(&self, path: &str) -> Duration {
        let slow = self.slow.filter(|door| path.starts_with(door.begins) && path.ends_with(door.ends));
        slow.map_or(self.request, |door| door.request)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(10),
            request: Duration::from_secs(30),
            slow: None,
            stall: Duration::from_secs(60),
            connection_age: Duration::from_secs(600),
            drain: Duration::from_secs(15),
            body_bytes: 1024 * 1024,
            connections: 512,
        }
    }
}

/// How a listener protects what goes over it.
#[derive(Debug, Clone)]
pub enum TlsMode {
    /// TLS 1.3 with the key callers have pinned: [`crate::tls::TlsIdentity::server_config`].
    Pinned(Arc<ServerConfig>),
    /// No TLS, on loopback and nowhere else: behind a local reverse proxy, and for the demo.
    PlainLoopback,
    /// No TLS, on loopback or an address of a private network: for cameras that know none.
    PlainLan,
}

impl TlsMode {
    fn may_be_at(&self, ip: IpAddr) -> bool {
        match self {
            Self::Pinned(_) => true,
            Self::PlainLoopback => ip.is_loopback(),
            Self::PlainLan => is_of_private_network(ip),
        }
    }
}

/// True of the addresses that no router of the internet passes on (RFC 1918, 3927, 4193, 4291), and of no address that means all of them.
#[must_use]
pub const fn is_of_private_network(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Where to listen, and how.
#[derive(Debug, Clone)]
pub struct ListenOn {
    /// Address and port; port 0 takes any free one.
    pub addr: SocketAddr,
    /// TLS or, where nobody else comes, none.
    pub tls: TlsMode,
}

/// Why a server does not listen.
#[derive(Debug)]
pub enum ListenError {
    /// Plain HTTP was asked for on an address other machines can reach.
    PlainOffLoopback(SocketAddr),
    /// The operating system refused the address.
    Bind(SocketAddr, std::io::Error),
}

impl ListenError {
    /// The exit code that fits: both are a configuration to mend.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        ExitKind::Config
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainOffLoopback(addr) => {
                write!(f, "nobody may listen to plain HTTP at {addr}\nuse TLS, or listen on 127.0.0.1")
            }
            Self::Bind(addr, _) => write!(f, "cannot listen on {addr}"),
        }
    }
}

impl core::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Bind(_, cause) => Some(cause),
            Self::PlainOffLoopback(_) => None,
        }
    }
}

/// A bound listener: connections queue in the operating system until [`serve`](Self::serve).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    tls: TlsMode,
    limits: Limits,
}

impl Server {
    /// Binds the address. Nothing is answered yet, so a role can bind first and open its data afterwards.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(on: ListenOn, limits: Limits) -> Result<Self, ListenError> {
        if !on.tls.may_be_at(on.addr.ip()) {
            return Err(ListenError::PlainOffLoopback(on.addr));
        }
        let refused = |cause| ListenError::Bind(on.addr, cause);
        let listener = TcpListener::bind(on.addr).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, local_addr, tls: on.tls, limits })
    }

    /// The address bound, with its real port.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers with `app` until `tasks` stop: then no connection is taken any more, and those that are open finish the
    /// response they are in within [`Limits::drain`]. Returns at once; must be called inside a tokio runtime.
    ///
    /// Handlers find the address of the caller as [`ConnectInfo<SocketAddr>`] and the id of the request as
    /// [`RequestId`], both as extensions.
    pub fn serve(self, app: Router, tasks: &Tasks) {
        let acceptor = match &self.tls {
            TlsMode::Pinned(config) => Some(TlsAcceptor::from(Arc::clone(config))),
            TlsMode::PlainLoopback | TlsMode::PlainLan => None,
        };
        let edge = Edge { limits: self.limits, over_tls: acceptor.is_some() };
        let app = app
            .layer(DefaultBodyLimit::max(self.limits.body_bytes))
            .layer(middleware::from_fn_with_state(edge, at_the_edge));
        let connections = Connections { app, acceptor, limits: self.limits, tasks: tasks.clone() };
        tasks.spawn_essential("accept", accept_loop(self.listener, connections));
    }
}

/// What each connection of a listener shares.
#[derive(Clone)]
struct Connections {
    app: Router,
    acceptor: Option<TlsAcceptor>,
    limits: Limits,
    tasks: Tasks,
}

async fn accept_loop(listener: TcpListener, connections: Connections) {
    let places = Arc::new(Semaphore::new(connections.limits.connections));
    let stopping = connections.tasks.stopping().clone();
    let accept_all = async {
        // `acquire_owned` fails only on a closed semaphore, and nobody closes this one: the loop ends when its future
        // is dropped.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let connections = connections.clone();
                    let tasks = connections.tasks.clone();
                    tasks.spawn("connection", async move {
                        connections.run(stream, peer).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! { () = stopping.cancelled() => {}, () = accept_all => {} }
}

impl Connections {
    async fn run(self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(kind = ?error.kind(), "a connection went away at once");
            return;
        }
        let stopping = self.tasks.stopping().clone();
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.stall));
        let stream = Box::pin(stream);
        match self.acceptor {
            None => drive(stream, peer, self.app, self.limits, &stopping).await,
            Some(acceptor) => match tokio::time::timeout(self.limits.header_read, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drive(stream, peer, self.app, self.limits, &stopping).await,
                Ok(Err(error)) => tracing::debug!(kind = ?error.kind(), "a TLS handshake failed"),
                Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
            },
        }
    }
}

async fn drive<I>(io: I, peer: SocketAddr, app: Router, limits: Limits, stopping: &CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = app.clone().oneshot(request.map(Body::new));
        async move {
            let response = answer.await.unwrap_or_else(|never| match never {});
            match response.extensions().get::<CloseUnanswered>() {
                Some(CloseUnanswered) => Err(Unanswered),
                None => Ok(response),
            }
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let mut connection = core::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopping.cancelled() => None,
        () = tokio::time::sleep(limits.connection_age) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.drain, connection).await {
                Ok(ended) => ended,
                Err(_elapsed) => return tracing::debug!("a connection was cut off"),
            }
        }
    };
    if let Err(error) = ended {
        // The text of a hyper error names no data of the request; it is a client's fault or a broken line.
        tracing::debug!(timeout = error.is_timeout(), parse = error.is_parse(), "a connection ended early");
    }
}

/// A handler asked for the connection to be closed without an answer ([`CloseUnanswered`]): hyper does so when its service
/// fails.
#[derive(Debug)]
struct Unanswered;

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request is left unanswered")
    }
}

impl core::error::Error for Unanswered {}

/// What the outermost layer needs to know.
#[derive(Debug, Clone, Copy)]
struct Edge {
    limits: Limits,
    over_tls: bool,
}

/// The outermost layer: id in, time limit, panic barrier, problem out, headers.
async fn at_the_edge(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .and_then(RequestId::parse)
        .unwrap_or_else(|| RequestId::random(&mut SystemRng));
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let most = edge.limits.request_to(request.uri().path());
    let answered = tokio::time::timeout(most, AssertUnwindSafe(next.run(request)).catch_unwind()).await;
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => Problem::new(ProblemKind::Internal).into_response(),
        Err(_elapsed) => Problem::new(ProblemKind::Unavailable).into_response(),
    };
    let response = finish(response, &id, edge.over_tls);
    // Neither path nor caller: both can name a case. The method and status of a fault of ours is an error, of a
    // caller's is information.
    let status = response.status().as_u16();
    match status {
        500 => tracing::error!(%method, status, request_id = id.as_str(), "request failed: internal error, our bug"),
        400.. => tracing::info!(%method, status, request_id = id.as_str(), "request refused"),
        _ => tracing::debug!(%method, status, request_id = id.as_str(), "request answered"),
    }
    response
}

/// A response carries this as an extension where its status and body are those of another specification, whose clients read
/// no problem documents. The handler answers for every byte of it.
#[derive(Debug, Clone, Copy)]
pub struct Verbatim;

/// Gives a response its id and headers; whatever failed without a [`Problem`] becomes one, so that no text of a library
/// leaves.
fn finish(mut response: Response, id: &RequestId, over_tls: bool) -> Response {
    let status = response.status();
    let verbatim = response.extensions().get::<Verbatim>().is_some();
    if (status.is_client_error() || status.is_server_error()) && !verbatim {
        let problem = response
            .extensions_mut()
            .remove::<Problem>()
            .unwrap_or_else(|| Problem::new(ProblemKind::from_bare_status(status.as_u16())));
        let mut of_handler = core::mem::take(response.headers_mut());
        response = problem_response(&problem.with_request_id(id.clone()));
        if let Some(allow) = of_handler.remove(header::ALLOW) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if let header::Entry::Occupied(challenges) = of_handler.entry(header::WWW_AUTHENTICATE) {
            for challenge in challenges.iter() {
                response.headers_mut().append(header::WWW_AUTHENTICATE, challenge.clone());
            }
        }
    }
    let headers = response.headers_mut();
    headers.remove(header::SERVER);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    if over_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    response
}

fn problem_response(problem: &Problem) -> Response {
    let kind = problem.kind();
    let status = StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response =
        (status, [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))], problem.to_json()).into_response();
    let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    if let Some(seconds) = problem.retry_after_s().or(waits.then_some(RETRY_AFTER_DEFAULT_S)) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl IntoResponse for Problem {
    /// The outermost layer adds the request id; without that layer (a router under test) the document simply has none.
    fn into_response(self) -> Response {
        let mut response = problem_response(&self);
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for ProblemKind {
    fn into_response(self) -> Response {
        Problem::new(self).into_response()
    }
}

/// A JSON body as a `T` with `#[serde(deny_unknown_fields)]`: within the body limit, of media type `application/json`,
/// and nothing after it.
///
/// Refused with 413, 415, or 400 with line and column; a value or key of the body is never repeated.
#[derive(Debug, Clone, Copy)]
pub struct BoundedJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for BoundedJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(ProblemKind::UnsupportedType));
        }
        let BoundedBytes(bytes) = BoundedBytes::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let position = (u32::try_from(error.line()), u32::try_from(error.column()));
            match position {
                (Ok(line), Ok(column)) => Problem::new(ProblemKind::Malformed).with_position(line, column),
                (Err(_), _) | (_, Err(_)) => Problem::new(ProblemKind::Malformed),
            }
        })
    }
}

/// A body as it came, within the body limit: for signed structures. Refused with 413, or 400 where the line broke.
#[derive(Debug, Clone)]
pub struct BoundedBytes(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for BoundedBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| {
            let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            Problem::new(if too_large { ProblemKind::TooLarge } else { ProblemKind::Malformed })
        })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests;

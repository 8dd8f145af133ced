//! The HTTP client by which roles talk to each other: one value a peer, which connects to that peer and to nothing
//! else. It must never follow a redirect, use a proxy of the environment, read an unbounded body, or show text the peer
//! sent. Retries are the caller's business: only the caller knows whether a repeat is harmless. Answers go to the role,
//! failures as [`PeerError`].

use core::fmt;
use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::X_REQUEST_ID;
use crate::problem::{PROBLEM_BYTES_MAX, Problem, ProblemKind, RequestId};
use crate::shutdown::ExitKind;
use crate::tls;

/// The media type of bodies that are signed structures.
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The media type of bodies that are text.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The media type of JSON bodies.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Frames of an answer that is read frame by frame, at most.
const FRAMES_MAX: u32 = 64;

/// How a peer is reached and known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerTrust {
    /// `https`, and its key has this SHA-256 of SubjectPublicKeyInfo ([`tls::spki_pin`]).
    Pinned([u8; 32]),
    /// `https`, and whoever answers: only for what the caller knows by its hash, such as a charter somebody was told of.
    AnyKey,
    /// `http` to a literal loopback address: the demo, and processes behind one local proxy.
    PlainLoopback,
}

/// What a call may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Until the last byte of the body.
    pub total: Duration,
    /// Bytes of the body of an answer.
    pub body_bytes: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(30), body_bytes: 4 * 1024 * 1024 }
    }
}

/// Why a peer's address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// Not a URL, or one with a user, password, query or fragment.
    NotAnAddress,
    /// `https` without a pin, `http` with one, or another scheme.
    WrongScheme,
    /// Plain `http` to something else than a literal loopback address (a name could resolve anywhere).
    PlainOffLoopback,
    /// The TLS library refused to be set up.
    Tls,
}

impl AddressError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(self) -> ExitKind {
        match self {
            Self::NotAnAddress | Self::WrongScheme | Self::PlainOffLoopback => ExitKind::Config,
            Self::Tls => ExitKind::Internal,
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnAddress => "the address of the peer is not a plain URL of scheme, host, port and path",
            Self::WrongScheme => {
                "the address of the peer must begin with https where its key is pinned, with http on loopback"
            }
            Self::PlainOffLoopback => "plain http is for a literal loopback address only, such as 127.0.0.1",
            Self::Tls => "TLS could not be set up",
        })
    }
}

impl core::error::Error for AddressError {}

/// Why a peer gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerError {
    /// No connection, or it broke; the peer may or may not have acted.
    Unreachable,
    /// The time was over; the peer may or may not have acted.
    TimedOut,
    /// Somebody else answers there: it does not hold the pinned key. Nothing was sent.
    WrongKey,
    /// The peer said no, in its own words' kind.
    Problem(Box<Problem>),
    /// An answer larger than [`CallLimits::body_bytes`].
    TooLarge,
    /// An answer that no peer of this protocol gives: a status without a problem document, a redirect, or a body that
    /// does not parse.
    Malformed,
    /// The request could not be built from what the caller handed in: our bug.
    Unsendable,
}

impl PeerError {
    /// What the peer said no with; none where it said nothing that can be read.
    #[must_use]
    pub fn problem(&self) -> Option<ProblemKind> {
        if let Self::Problem(problem) = self { Some(problem.kind()) } else { None }
    }

    /// Which part of what was asked it said no to; none where it did not say.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        if let Self::Problem(problem) = self { problem.pointer() } else { None }
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the peer cannot be reached",
            Self::TimedOut => "the peer did not answer in time",
            Self::WrongKey => "another key than the pinned one answers at the peer's address",
            Self::Problem(problem) => problem.kind().detail(),
            Self::TooLarge => "the peer's answer is too large",
            Self::Malformed => "the peer's answer is not of this protocol",
            Self::Unsendable => "the request to the peer could not be built: internal error, our bug",
        })
    }
}

impl core::error::Error for PeerError {}

/// An answer as it came: for protocols of others, whose refusals are not problem documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAnswer {
    /// The status.
    pub status: u16,
    /// The media type without parameters.
    pub media_type: Option<String>,
    /// The body, at most [`CallLimits::body_bytes`].
    pub body: Bytes,
}

/// One peer. Cheap to clone; connections are kept and shared.
#[derive(Clone)]
pub struct PeerClient {
    client: Client,
    base: Url,
    total: Duration,
    body_bytes: usize,
}

impl fmt::Debug for PeerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerClient").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl PeerClient {
    /// A client of the peer at `base`, for example `https://keeper-2.example:8443`. Connects to nothing yet.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(base: &str, trust: PeerTrust, limits: CallLimits) -> Result<Self, AddressError> {
        let base = Url::parse(base).map_err(|_syntax| AddressError::NotAnAddress)?;
        let bare = base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        if !bare || base.cannot_be_a_base() {
            return Err(AddressError::NotAnAddress);
        }
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(limits.connect)
            .timeout(limits.total);
        let builder = match (base.scheme(), trust) {
            ("https", PeerTrust::Pinned(pin)) => {
                let config = tls::client_config(pin).map_err(|_library| AddressError::Tls)?;
                builder.https_only(true).tls_backend_preconfigured(config)
            }
            ("https", PeerTrust::AnyKey) => {
                let config = tls::client_config_any_key().map_err(|_library| AddressError::Tls)?;
                builder.https_only(true).tls_backend_preconfigured(config)
            }
            ("http", PeerTrust::PlainLoopback) if is_literal_loopback(&base) => {
                // reqwest sets TLS up even where none is used; a pin no key has keeps https shut.
                let config = tls::client_config([0; 32]).map_err(|_library| AddressError::Tls)?;
                builder.tls_backend_preconfigured(config)
            }
            ("http", PeerTrust::PlainLoopback) => return Err(AddressError::PlainOffLoopback),
            (_, PeerTrust::Pinned(_) | PeerTrust::AnyKey | PeerTrust::PlainLoopback) => {
                return Err(AddressError::WrongScheme);
            }
        };
        let client = builder.build().map_err(|_library| AddressError::Tls)?;
        Ok(Self { client, base, total: limits.total, body_bytes: limits.body_bytes })
    }

    /// GETs a JSON document. `path` begins with `/` and is appended to the base; `query` is encoded.
    ///
    /// # Errors
    /// [`PeerError`]. GET changes nothing at the peer: a repeat is harmless.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, PeerError> {
        decode(&self.get_bytes(path, query).await?)
    }

    /// GETs a body as it is, at most [`CallLimits::body_bytes`].
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub async fn get_bytes(&self, path: &str, query: &[(&str, &str)]) -> Result<Bytes, PeerError> {
        self.send(self.request(Method::GET, path, query)?).await
    }

    /// As [`get_bytes`](Self::get_bytes), with headers of the caller's.
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub async fn get_with(&self, path: &str, headers: HeaderMap) -> Result<Bytes, PeerError> {
        self.send(self.request(Method::GET, path, &[])?.headers(headers)).await
    }

    /// GETs text that comes as things happen, for as long as [`CallLimits::total`] lets it.
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub async fn lines(&self, path: &str, headers: HeaderMap) -> Result<Lines, PeerError> {
        let request = self.request(Method::GET, path, &[])?.headers(headers);
        let response = Self::success(request.send().await.map_err(|error| fault(&error))?).await?;
        Ok(Lines { response, rest: BytesMut::new(), line_bytes: self.body_bytes })
    }

    /// GETs a file of at most `body_bytes` that may not be there: `None` where the peer says 404, in whatever words. For logs, which any
    /// server of static files may serve.
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub async fn get_file(&self, path: &str, body_bytes: usize) -> Result<Option<Bytes>, PeerError> {
        let response = self.request(Method::GET, path, &[])?.send().await.map_err(|error| fault(&error))?;
        if response.status() == StatusCode::NOT_FOUND || response.status() == StatusCode::GONE {
            return Ok(None);
        }
        Self::read(response, body_bytes).await.map(Some)
    }

    /// POSTs a JSON document and reads one. `request_id` lets the peer's operator find the call; a retry carries the
    /// same one.
    ///
    /// # Errors
    /// [`PeerError`]; after `Unreachable` and `TimedOut` the peer may have acted, and the caller repeats only what is
    /// harmless to repeat.
    pub async fn post_json<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        request_id: Option<&RequestId>,
    ) -> Result<T, PeerError> {
        let bytes = serde_json::to_vec(body).map_err(|_our_type| PeerError::Unsendable)?;
        decode(&self.post(path, JSON, Bytes::from(bytes), request_id).await?)
    }

    /// As [`post_json`](Self::post_json), for an answer that is read frame by frame.
    ///
    /// # Errors
    /// As [`post_json`](Self::post_json).
    pub async fn post_json_framed<B: Serialize + Sync>(&self, path: &str, body: &B) -> Result<Frames, PeerError> {
        let bytes = serde_json::to_vec(body).map_err(|_our_type| PeerError::Unsendable)?;
        let request = self.request(Method::POST, path, &[])?.header(CONTENT_TYPE, JSON).body(bytes);
        // Each frame has the time of a call: over a narrow line many take many times as long.
        let request = request.timeout(self.total.saturating_mul(FRAMES_MAX));
        let response = tokio::time::timeout(self.total, request.send()).await.map_err(|_late| PeerError::TimedOut)?;
        let response = Self::success(response.map_err(|error| fault(&error))?).await?;
        Ok(Frames { response, rest: BytesMut::new(), frame_bytes: self.body_bytes, each: self.total })
    }

    /// POSTs bytes (a signed structure) and reads bytes.
    ///
    /// # Errors
    /// As [`post_json`](Self::post_json).
    pub async fn post_bytes(
        &self,
        path: &str,
        body: Bytes,
        request_id: Option<&RequestId>,
    ) -> Result<Bytes, PeerError> {
        self.post(path, OCTETS, body, request_id).await
    }

    /// As [`post_bytes`](Self::post_bytes), with headers of the caller's, `Content-Type` among them: for bodies that are
    /// neither JSON documents nor signed structures.
    ///
    /// # Errors
    /// As [`post_json`](Self::post_json).
    pub async fn post_with(&self, path: &str, headers: HeaderMap, body: impl Into<Body>) -> Result<Bytes, PeerError> {
        self.send(self.request(Method::POST, path, &[])?.headers(headers).body(body)).await
    }

    /// GETs whatever is there; a status of any kind is an answer.
    ///
    /// # Errors
    /// [`PeerError`] where there is no answer, or a larger one than allowed.
    pub async fn get_raw(&self, path: &str) -> Result<RawAnswer, PeerError> {
        self.send_raw(self.request(Method::GET, path, &[])?).await
    }

    /// POSTs text; a status of any kind is an answer.
    ///
    /// # Errors
    /// As [`get_raw`](Self::get_raw).
    pub async fn post_raw(&self, path: &str, body: Bytes) -> Result<RawAnswer, PeerError> {
        self.send_raw(self.request(Method::POST, path, &[])?.header(CONTENT_TYPE, TEXT).body(body)).await
    }

    async fn send_raw(&self, request: RequestBuilder) -> Result<RawAnswer, PeerError> {
        let response = request.send().await.map_err(|error| fault(&error))?;
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).map(|essence| essence.trim().to_owned());
        let status = response.status().as_u16();
        Ok(RawAnswer { status, media_type, body: read_bounded(response, self.body_bytes).await? })
    }

    async fn post(
        &self,
        path: &str,
        media_type: HeaderValue,
        body: Bytes,
        request_id: Option<&RequestId>,
    ) -> Result<Bytes, PeerError> {
        let mut request = self.request(Method::POST, path, &[])?.header(CONTENT_TYPE, media_type).body(body);
        if let Some(id) = request_id {
            request = request.header(X_REQUEST_ID, id.as_str());
        }
        self.send(request).await
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Result<RequestBuilder, PeerError> {
        // `set_path` encodes `?` and `#` and keeps scheme, host and port; `..` segments are resolved, so they are
        // refused beforehand.
        if !path.starts_with('/') || path.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(PeerError::Unsendable);
        }
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.client.request(method, url))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Bytes, PeerError> {
        let response = request.send().await.map_err(|error| fault(&error))?;
        Self::read(response, self.body_bytes).await
    }

    /// An answer whose body is read piece by piece; a problem is read whole.
    async fn success(response: Response) -> Result<Response, PeerError> {
        if response.status().is_success() {
            return Ok(response);
        }
        Self::read(response, 0).await?;
        Err(PeerError::Malformed)
    }

    async fn read(response: Response, body_bytes: usize) -> Result<Bytes, PeerError> {
        let status = response.status();
        if status.is_success() {
            return read_bounded(response, body_bytes).await;
        }
        if !status.is_client_error() && !status.is_server_error() {
            return Err(PeerError::Malformed);
        }
        let body = read_bounded(response, PROBLEM_BYTES_MAX).await?;
        let problem = Problem::parse(status.as_u16(), &body).map_err(|_not_a_problem| PeerError::Malformed)?;
        Err(PeerError::Problem(Box::new(problem)))
    }
}

/// A body that is read line by line.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    rest: BytesMut,
    line_bytes: usize,
}

impl Lines {
    /// The next line without its end; none where the peer has ended.
    ///
    /// # Errors
    /// [`PeerError`]: the connection broke, or a line is longer than [`CallLimits::body_bytes`] or no UTF-8.
    pub async fn next(&mut self) -> Result<Option<String>, PeerError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end.saturating_add(1));
                let text = core::str::from_utf8(&line).map_err(|_utf8| PeerError::Malformed)?;
                return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
            }
            if self.rest.len() > self.line_bytes {
                return Err(PeerError::TooLarge);
            }
            match self.response.chunk().await.map_err(|error| fault(&error))? {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// A body that is read frame by frame: `u32 length (big-endian) | bytes`.
#[derive(Debug)]
pub struct Frames {
    response: Response,
    rest: BytesMut,
    frame_bytes: usize,
    each: Duration,
}

impl Frames {
    /// The bytes of the next frame; none where the peer has ended.
    ///
    /// # Errors
    /// [`PeerError`]: the connection broke, a frame was cut off, took longer than [`CallLimits::total`], or is longer than
    /// [`CallLimits::body_bytes`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, PeerError> {
        tokio::time::timeout(self.each, self.read()).await.map_err(|_late| PeerError::TimedOut)?
    }

    async fn read(&mut self) -> Result<Option<Bytes>, PeerError> {
        loop {
            if let Some((length, rest)) = self.rest.split_first_chunk() {
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if length > self.frame_bytes {
                    return Err(PeerError::TooLarge);
                }
                if rest.len() >= length {
                    self.rest.advance(size_of::<u32>());
                    return Ok(Some(self.rest.split_to(length).freeze()));
                }
            }
            match self.response.chunk().await.map_err(|error| fault(&error))? {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None if self.rest.is_empty() => return Ok(None),
                None => return Err(PeerError::Malformed),
            }
        }
    }
}

fn is_literal_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn read_bounded(mut response: Response, limit: usize) -> Result<Bytes, PeerError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
        if chunk.len() > limit.saturating_sub(body.len()) {
            return Err(PeerError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PeerError> {
    serde_json::from_slice(bytes).map_err(|_peers_text| PeerError::Malformed)
}

/// The kind of a transport failure. The text of the library stays here: it can hold the address and what the peer sent.
fn fault(error: &reqwest::Error) -> PeerError {
    if tls_error(error).is_some_and(tls::is_wrong_key) {
        PeerError::WrongKey
    } else if error.is_timeout() {
        PeerError::TimedOut
    } else if error.is_builder() {
        PeerError::Unsendable
    } else {
        PeerError::Unreachable
    }
}

/// The TLS error at the bottom of a chain of causes. `io::Error` hides its inner error from `source`, so it is asked
/// for it.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        cause = match current.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => current.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests;

//! From a request body to the bytes a parser may see: bounded, unpacked, split into parts. It must never build anything
//! larger than [`BODY_BYTES_MAX`], and refuses a bomb before it has gone off. What is too large is read on for a while and thrown
//! away: a client that is still sending takes an answer for a broken connection, and sends it again.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderName};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use lockplate_intake::limits::{BODY_BYTES_MAX, ID_BYTES_MAX, PARTS_MAX};
use lockplate_intake::sample::Sample;
use lockplate_intake::shape::shape_of;
use lockplate_intake::source::{Parsed, Part, Payload, Problem, Slug, SourceConfig, SourceKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::packed::Packing;

/// Unpacked bytes to packed bytes (`intake.md` section 3).
const UNPACK_RATIO_MAX: usize = 100;

/// Bytes of a payload that is too large, with those that are thrown away.
const TOO_LARGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a payload may come that turns out too large: less than any may take.
const TOO_LARGE_MAX: Duration = Duration::from_secs(25);

/// Counted for a body that does not say how long it is, or is packed.
const UNDECLARED_BYTES: usize = 1_024 * 1_024;

/// KiB of payloads that one source may have here at a time, read, parsed or on their way: eight of the largest, or 64 that do not say.
pub(super) const ROOM_KIB: usize = 64 * 1_024;

/// Bodies of one source at a time that turn out larger than was counted.
const LARGE_MAX: usize = 4;

/// Longest `Content-Type` that is looked at.
const CONTENT_TYPE_BYTES_MAX: usize = 512;

/// The camera of a Plate Recognizer payload that has none inside.
const CAMERA_ID: HeaderName = HeaderName::from_static("camera-id");

/// A payload, owned, so that it can be parsed on another thread.
pub(super) struct Unpacked {
    content_type: String,
    body: Bytes,
    parts: Vec<(String, Option<String>, Bytes)>,
    camera_header: Option<String>,
    topic: Option<String>,
    retained: bool,
}

impl Unpacked {
    /// What a camera answered to a question of ours; bounded by whoever read it.
    pub(super) fn answer(content_type: &str, body: Bytes) -> Self {
        let content_type = content_type.to_owned();
        Self { content_type, body, parts: Vec::new(), camera_header: None, topic: None, retained: false }
    }

    /// A message of a broker; bounded by whoever read it.
    pub(super) fn message(body: Bytes, topic: &str, retained: bool) -> Self {
        Self { topic: Some(topic.to_owned()), retained, ..Self::answer("application/json", body) }
    }

    /// The invented read of a camera's test.
    pub(super) fn invented(sample: Sample) -> Self {
        let Sample { content_type, body, parts, topic } = sample;
        let parts = parts.into_iter().map(|(name, body)| (name.to_owned(), None, Bytes::from(body))).collect();
        Self { parts, topic: topic.map(str::to_owned), ..Self::answer(content_type, Bytes::from(body)) }
    }

    /// Bytes to be parsed.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().fold(self.body.len(), |sum, part| sum.saturating_add(part.2.len()))
    }

    /// Runs the parser of `config`.
    pub(super) fn parse(&self, config: &SourceConfig) -> Parsed {
        self.with(|payload| config.kind.parser().parse(payload, config))
    }

    /// What it looks like, without a value of it.
    pub(super) fn shape(&self) -> Vec<String> {
        self.with(shape_of)
    }

    fn with<T>(&self, work: impl FnOnce(&Payload<'_>) -> T) -> T {
        let parts: Vec<Part<'_>> = self
            .parts
            .iter()
            .map(|(name, content_type, body)| Part { name, content_type: content_type.as_deref(), body })
            .collect();
        work(&Payload {
            content_type: &self.content_type,
            body: &self.body,
            parts: &parts,
            camera_header: self.camera_header.as_deref(),
            topic: self.topic.as_deref(),
            retained: self.retained,
        })
    }
}

/// What bodies of one source may take at a time: one that sends much waits for itself, and takes no memory of others. Each takes what it
/// declares, or a little and, where it turns out larger, one of a few places: nobody who has begun waits for another who waits.
#[derive(Clone)]
pub(super) struct Room {
    pub(super) kib: Arc<Semaphore>,
    pub(super) large: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self { kib: Arc::new(Semaphore::new(ROOM_KIB)), large: Arc::new(Semaphore::new(LARGE_MAX)) }
    }
}

/// What one body takes, given back when dropped.
pub(super) struct Place {
    room: Room,
    kib: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Waits until there is room for what a body declares.
    pub(super) async fn wait(room: Room, headers: &HeaderMap) -> Self {
        let kib = u32::try_from(bytes_expected(headers).div_ceil(1_024)).unwrap_or(u32::MAX);
        // Never closed.
        let kib = Arc::clone(&room.kib).acquire_many_owned(kib).await.ok();
        Self { room, kib, large: None }
    }

    /// The body turns out larger than was counted.
    async fn grow(&mut self) {
        if self.large.is_none() {
            self.large = Arc::clone(&self.room.large).acquire_owned().await.ok();
        }
    }

    /// Gives back what a body of `bytes` does not need.
    fn shrink(&mut self, bytes: usize) {
        if let Some(kib) = &mut self.kib {
            drop(kib.split(kib.num_permits().saturating_sub(bytes.div_ceil(1_024))));
        }
        drop(self.large.take_if(|_| bytes <= UNDECLARED_BYTES));
    }
}

/// Reads a body whole, at most [`BODY_BYTES_MAX`].
pub(super) async fn bounded_body(request: Request, place: &mut Place) -> Result<Bytes, Problem> {
    let too_large = Problem::whole(Slug::TooLarge);
    let declared = bytes_declared(request.headers());
    let is_too_large = declared.is_some_and(|bytes| bytes > BODY_BYTES_MAX);
    let counted = if declared.is_some() { BODY_BYTES_MAX } else { UNDECLARED_BYTES };
    if is_too_large && request.headers().contains_key(EXPECT) {
        // It sends nothing before it has an answer.
        return Err(too_large);
    }
    let too_long = tokio::time::sleep(TOO_LARGE_MAX);
    let mut body = request.into_body().into_data_stream();
    let mut whole = BytesMut::new();
    if !is_too_large {
        loop {
            match body.next().await {
                None => return Ok(whole.freeze()),
                Some(Err(_broken)) => return Err(Problem::whole(Slug::Malformed)),
                Some(Ok(chunk)) if whole.len().saturating_add(chunk.len()) > BODY_BYTES_MAX => break,
                Some(Ok(chunk)) => {
                    if whole.len().saturating_add(chunk.len()) > counted {
                        place.grow().await;
                    }
                    whole.extend_from_slice(&chunk);
                }
            }
        }
    }
    drop(whole);
    // However it ends: the answer is the same.
    tokio::select! {
        () = too_long => {}
        () = throw_away(body) => {}
    }
    Err(too_large)
}

async fn throw_away(mut body: BodyDataStream) {
    let mut left = TOO_LARGE_BYTES_MAX.saturating_sub(BODY_BYTES_MAX);
    while let Some(Ok(chunk)) = body.next().await {
        match left.checked_sub(chunk.len()) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// Reads and unpacks a request of a source.
pub(super) async fn unpack(request: Request, kind: SourceKind, place: &mut Place) -> Result<Unpacked, Problem> {
    let headers = request.headers().clone();
    let content_type = text_of(&headers, &CONTENT_TYPE, CONTENT_TYPE_BYTES_MAX).unwrap_or_default();
    let camera_header = text_of(&headers, &CAMERA_ID, ID_BYTES_MAX);
    let encoding = headers.get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    let body = bounded_body(request, place).await?;
    let packing = Packing::of_encoding(encoding)
        .filter(|packing| *packing == Packing::Plain || kind == SourceKind::Own)
        .ok_or_else(|| Problem::whole(Slug::UnsupportedType))?;
    let body = if packing == Packing::Plain {
        body
    } else {
        place.grow().await;
        Bytes::from(unpacked(packing, &body)?)
    };
    place.shrink(body.len());
    let is_multipart =
        content_type.trim_start().get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    if !is_multipart {
        return Ok(Unpacked { camera_header, ..Unpacked::answer(&content_type, body) });
    }
    let parts = split(&content_type, body).await?;
    Ok(Unpacked { parts, camera_header, ..Unpacked::answer(&content_type, Bytes::new()) })
}

fn bytes_declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What room is kept for a body: all that it declares. One that does not say, or is packed, is mostly small; [`Place::grow`] counts the others.
fn bytes_expected(headers: &HeaderMap) -> usize {
    let as_it_is = bytes_declared(headers).filter(|_| !headers.contains_key(CONTENT_ENCODING));
    as_it_is.map_or(UNDECLARED_BYTES, |bytes| bytes.min(BODY_BYTES_MAX))
}

fn text_of(headers: &HeaderMap, name: &HeaderName, bytes_max: usize) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= bytes_max).then(|| value.to_owned())
}

/// Stops at [`BODY_BYTES_MAX`] or [`UNPACK_RATIO_MAX`], whichever comes first.
pub(super) fn unpacked(packing: Packing, packed: &[u8]) -> Result<Vec<u8>, Problem> {
    let limit = packed.len().saturating_mul(UNPACK_RATIO_MAX).min(BODY_BYTES_MAX);
    let mut out = Vec::with_capacity(packed.len().saturating_mul(4).min(limit));
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    packing.unpack(packed).take(one_more).read_to_end(&mut out).map_err(|_library| Problem::whole(Slug::Malformed))?;
    if out.len() > limit { Err(Problem::whole(Slug::TooLarge)) } else { Ok(out) }
}

type NamedPart = (String, Option<String>, Bytes);

async fn split(content_type: &str, body: Bytes) -> Result<Vec<NamedPart>, Problem> {
    let malformed = |_library: axum::extract::multipart::MultipartError| Problem::whole(Slug::Malformed);
    let mut request = Request::builder()
        .header(CONTENT_TYPE, content_type)
        .body(Body::from(body))
        .map_err(|_header: axum::http::Error| Problem::whole(Slug::Malformed))?;
    // The body is bounded already; left alone, the extractor would apply its own, smaller default.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut multipart =
        Multipart::from_request(request, &()).await.map_err(|_boundary| Problem::whole(Slug::Malformed))?;
    let mut parts = Vec::new();
    while let Some(field) = multipart.next_field().await.map_err(malformed)? {
        if parts.len() >= PARTS_MAX {
            return Err(Problem::whole(Slug::TooLarge));
        }
        // File names are never looked at: nothing is stored under them.
        let name = field.name().unwrap_or_default().to_owned();
        let kind = field.content_type().map(str::to_owned);
        parts.push((name, kind, field.bytes().await.map_err(malformed)?));
    }
    if parts.is_empty() { Err(Problem::whole(Slug::Malformed)) } else { Ok(parts) }
}

//! `POST /v1/import`, `POST /v1/import/done` and `POST /v1/cameras`: files of reads, chunk by chunk, and the camera register,
//! for whoever holds the agency's import key (`Authorization: Bearer`, 64 hexadecimal digits or 43 of base64url).
//!
//! `POST /v1/import`: on 200 every read of the chunk that is counted as accepted or duplicate is durable. The client
//! retries after 503, 429, a timeout or a broken line; a repeat is harmless, because a line without an id gets one from
//! the file's digest and its number. The rule "same camera and plate within 10 s is one read" is not applied to files:
//! their lines are events. Chunks run side by side in any order. The client is trusted to speak for every camera of the
//! register, and for nothing but reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse as _, Response};
use lockplate_core::hotlist::limits::ACCOUNT_TEXT_BYTES_MAX;
use lockplate_core::vocabulary::ArchiveKind;
use lockplate_intake::Sealable;
use lockplate_intake::limits::{ID_BYTES_MAX, PROBLEMS_MAX};
use lockplate_intake::normalise::{Arrival, Rules, engine_ref};
use lockplate_intake::own::{FieldMap, Form, OwnStream};
use lockplate_intake::source::{Parsed, Problem as Refusal, Slug, SourceConfig, SourceKind, Stage};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{oneshot, watch};

use super::counters::add;
use super::payload::{Place, bounded_body};
use super::settings::IMPORT_SOURCE_NAME;
use super::sink::NewCamera;
use super::{Book, Inner, IntakeState, Way, kind_of};
use crate::api::{Done, ImportAnswer, ImportProblem};
use crate::http::BoundedJson;
use crate::problem::{Problem, ProblemKind};

/// SHA-256 of the file, 64 hexadecimal digits.
pub const HEADER_FILE: HeaderName = HeaderName::from_static("lockplate-file");

/// What is added to a line number of the body to get the line number of the file.
pub const HEADER_LINE_OFFSET: HeaderName = HeaderName::from_static("lockplate-line-offset");

/// Preset of field names: `own` (default), `traffic` or `fast-alpr`.
pub const HEADER_FIELDS: HeaderName = HeaderName::from_static("lockplate-fields");

/// Only reads of cameras of this group are taken; the others are counted as skipped.
pub const HEADER_GROUP: HeaderName = HeaderName::from_static("lockplate-camera-group");

/// `true`: a named jurisdiction without a confidence becomes part of the key.
pub const HEADER_TRUST: HeaderName = HeaderName::from_static("lockplate-trust-jurisdiction");

/// Cameras of one `POST /v1/cameras`.
pub const CAMERAS_OF_CALL_MAX: usize = 1_000;

/// How long `POST /v1/import/done` waits before it says "again": within the 30 s of a request.
const DONE_WAIT: Duration = Duration::from_secs(20);

/// Body of `POST /v1/cameras`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CamerasNew {
    /// At most [`CAMERAS_OF_CALL_MAX`].
    pub cameras: Vec<NewCamera>,
}

/// Its answer. A camera that is there already stays as it is, so that a repeat is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CamerasAdded {
    /// New in the register, each behind a `camera` leaf.
    pub added: u64,
    /// There before.
    pub known: u64,
}

/// What the headers of a chunk say.
struct Chunk {
    file: [u8; 32],
    offset: u64,
    form: Form,
    group: Option<String>,
    config: SourceConfig,
}

impl Chunk {
    fn of(headers: &HeaderMap, import_source: u16) -> Result<Self, ProblemKind> {
        let text = |name: &HeaderName| match headers.get(name) {
            None => Ok(None),
            Some(value) => core::str::from_utf8(value.as_bytes()).map(Some).map_err(|_bytes| ProblemKind::Malformed),
        };
        let mut file = [0; 32];
        hex::decode_to_slice(text(&HEADER_FILE)?.ok_or(ProblemKind::Malformed)?, &mut file)
            .map_err(|_text| ProblemKind::Malformed)?;
        let offset = text(&HEADER_LINE_OFFSET)?.unwrap_or("0").parse().map_err(|_text| ProblemKind::Malformed)?;
        let group = text(&HEADER_GROUP)?.map(str::to_owned);
        if group.as_ref().is_some_and(|group| group.is_empty() || group.len() > ID_BYTES_MAX) {
            return Err(ProblemKind::Malformed);
        }
        let mut config = SourceConfig::new(import_source, SourceKind::Own);
        config.fields = FieldMap::preset(text(&HEADER_FIELDS)?.unwrap_or("own")).ok_or(ProblemKind::Invalid)?;
        config.trust_jurisdiction = text(&HEADER_TRUST)? == Some("true");
        // A broken upload is repeated hours later: ids are remembered as long as they can be.
        config.resends = true;
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let form = Form::of_content_type(kind).ok_or(ProblemKind::IntakeUnsupportedType)?;
        Ok(Self { file, offset, form, group, config })
    }

    /// Parses, numbers and names every line; leaves out what other groups' cameras saw.
    fn read(&self, body: &[u8], book: &Book) -> (Parsed, u64) {
        let mut stream = OwnStream::new(&self.config, self.form);
        stream.push(body);
        let mut parsed = stream.finish();
        let before = parsed.observations.len();
        if let Some(group) = &self.group {
            // A camera nobody knows belongs to no group; it is refused below, not left out in silence.
            parsed.observations.retain(|o| book.camera_of_file(&o.camera_key).is_none_or(|(_, of)| of == group));
        }
        let skipped = before.saturating_sub(parsed.observations.len());
        for problem in &mut parsed.problems {
            problem.line = problem.line.map(|line| line.saturating_add(self.offset));
        }
        for observation in &mut parsed.observations {
            let line = observation.line.unwrap_or(0).saturating_add(self.offset);
            observation.line = Some(line);
            if observation.engine_id.is_none() {
                let id = Sha256::new().chain_update(self.file).chain_update(line.to_be_bytes()).finalize();
                observation.engine_id = Some(hex::encode(id));
            }
        }
        (parsed, u64::try_from(skipped).unwrap_or(u64::MAX))
    }
}

impl Inner {
    /// True if the caller holds the import key. Without one configured nobody does.
    pub(super) fn holds_import_key(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        self.import_key.is_some_and(|key| key.admits(token))
    }
}

/// `POST /v1/import`.
pub(super) async fn import(State(state): State<IntakeState>, request: Request) -> Response {
    match import_chunk(&state.0, request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(kind) => kind.into_response(),
    }
}

async fn import_chunk(inner: &Arc<Inner>, request: Request) -> Result<ImportAnswer, ProblemKind> {
    if !inner.holds_import_key(request.headers()) {
        return Err(ProblemKind::NotSignedIn);
    }
    let book = inner.book();
    let chunk = Chunk::of(request.headers(), book.import_source)?;
    let mut place = Place::wait(inner.import_room.clone(), request.headers()).await;
    let body = bounded_body(request, &mut place).await.map_err(|refusal| kind_of(refusal.slug))?;
    // In a task of its own: a caller that goes away between the judgement and the sealing would leave lines that are
    // remembered as seen and sealed nowhere.
    let (tell, told) = oneshot::channel();
    let working = Arc::clone(inner);
    inner.tasks.spawn("import a chunk", async move {
        drop(tell.send(settle_chunk(&working, chunk, book, body).await));
    });
    told.await.map_err(|_task_ended| ProblemKind::Internal)?
}

async fn settle_chunk(
    inner: &Arc<Inner>,
    chunk: Chunk,
    book: Arc<Book>,
    body: Bytes,
) -> Result<ImportAnswer, ProblemKind> {
    let entered = inner.import.passing.enter(chunk.config.number);
    if inner.closing.load(Ordering::SeqCst) {
        return Err(ProblemKind::IntakeUnavailable);
    }
    let now = inner.clock.now_ms();
    let working = Arc::clone(inner);
    let judged = tokio::task::spawn_blocking(move || {
        let (parsed, skipped) = chunk.read(&body, &book);
        let lines: Vec<([u8; 8], u64)> = (parsed.observations.iter())
            .filter_map(|o| Some((engine_ref(chunk.config.number, o.engine_id.as_deref()?), o.line?)))
            .collect();
        let refining = parsed.observations.iter().any(|o| o.stage != Stage::Final);
        let rules = Rules::new(&chunk.config, Arrival::Import, working.retention_ms);
        let mut of_paused_cameras = 0;
        let outcome = working.with(Way::Import, |intake| {
            let mut outcome = intake.take(now, rules, parsed, |key| {
                let camera = book.camera_of_file(key).map(|(camera, _)| camera);
                add(&mut of_paused_cameras, u64::from(camera.is_none() && book.paused.contains_key(key)));
                camera
            });
            if refining {
                // Nothing of a file waits: what the chunk leaves open is sealed as it stands.
                let rest = intake.drain(now);
                outcome.sealables.extend(rest.sealables);
                add(&mut outcome.duplicates, rest.duplicates);
                add(&mut outcome.rejected, rest.rejected);
                outcome.problems.extend(rest.problems);
                outcome.held = 0;
            }
            outcome
        });
        (outcome, skipped, lines, of_paused_cameras)
    });
    let (mut outcome, skipped, lines, of_paused_cameras) = judged.await.map_err(|_panicked| ProblemKind::Internal)?;
    inner.counters.of(IMPORT_SOURCE_NAME, |counts| {
        add(&mut counts.payloads, 1);
        add(&mut counts.of_paused_cameras, of_paused_cameras);
    });
    inner.counters.outcome(IMPORT_SOURCE_NAME, now, &outcome);
    let reads: Vec<Sealable> = core::mem::take(&mut outcome.sealables);
    let settled = inner
        .settle(Way::Import, entered, reads, outcome.duplicates > 0)
        .await
        .map_err(|_why| ProblemKind::IntakeUnavailable)?;
    for reference in &settled.too_old {
        add(&mut outcome.rejected, 1);
        let line = lines.iter().find(|(of_line, _)| Some(*of_line) == *reference).map(|(_, line)| *line);
        outcome.problems.push(Refusal { line, slug: Slug::TooOld, pointer: None });
    }
    let problem = |refusal: Refusal| ImportProblem {
        line: refusal.line.unwrap_or(0),
        r#type: refusal.slug.text().to_owned(),
        pointer: refusal.pointer,
    };
    Ok(ImportAnswer {
        accepted: settled.stored,
        duplicate: outcome.duplicates,
        unreadable: outcome.ignored.unreadable,
        skipped,
        rejected: outcome.rejected,
        problems: outcome.problems.into_iter().take(PROBLEMS_MAX).map(problem).collect(),
    })
}

/// `POST /v1/import/done`: closes the late epochs, so that what was imported can be searched. 503 with `Retry-After` while
/// that goes on; a repeat is harmless.
pub(super) async fn done(State(state): State<IntakeState>, request: Request) -> Response {
    let inner = state.0;
    if !inner.holds_import_key(request.headers()) {
        return ProblemKind::NotSignedIn.into_response();
    }
    let mut ended = {
        let mut running = inner.late_done.lock().await;
        match running.as_ref().filter(|ended| ended.borrow().is_none()) {
            Some(ended) => ended.clone(),
            None => {
                let (tell, ended) = watch::channel(None);
                let working = Arc::clone(&inner);
                inner.tasks.spawn("close late epochs", async move {
                    working.import.passing.all_ended().await;
                    let result = working.sink.late_done().await;
                    tell.send_replace(Some(result));
                });
                *running = Some(ended.clone());
                ended
            }
        }
    };
    let waited = tokio::time::timeout(DONE_WAIT, ended.wait_for(Option::is_some)).await;
    let closed = matches!(waited, Ok(Ok(result)) if *result == Some(Ok(())));
    if closed {
        Json(Done {}).into_response()
    } else {
        Problem::new(ProblemKind::IntakeUnavailable).with_retry_after_s(1).into_response()
    }
}

/// `POST /v1/cameras`: adds cameras behind their leaves. All are checked before the first is added; after a 503 some may be
/// in the register, and a repeat adds the rest.
pub(super) async fn cameras(
    State(state): State<IntakeState>,
    headers: HeaderMap,
    body: Result<BoundedJson<CamerasNew>, Problem>,
) -> Response {
    if !state.0.holds_import_key(&headers) {
        return ProblemKind::NotSignedIn.into_response();
    }
    let BoundedJson(new) = match body {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    match add_cameras(&state.0, new.cameras).await {
        Ok(added) => Json(added).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn add_cameras(inner: &Arc<Inner>, cameras: Vec<NewCamera>) -> Result<CamerasAdded, Box<Problem>> {
    let problem = |kind| Box::new(Problem::new(kind));
    if cameras.len() > CAMERAS_OF_CALL_MAX {
        return Err(problem(ProblemKind::TooLarge));
    }
    let unavailable = |_down| problem(ProblemKind::Unavailable);
    let invalid = |pointer| Box::new(Problem::new(ProblemKind::Invalid).with_pointer(pointer));
    inner.refresh().await.map_err(unavailable)?;
    let book = inner.book();
    let mut checked = Vec::with_capacity(cameras.len());
    for camera in cameras {
        let source = match &camera.source {
            None => Some(book.import_source),
            Some(name) => book.sources.get(name).map(|source| source.config.number),
        };
        let source = source.ok_or_else(|| invalid("/cameras/source"))?;
        if camera.purpose.as_deref().is_some_and(|purpose| purpose != inner.archive_kind.name()) {
            return Err(invalid("/cameras/purpose"));
        }
        if let Some(fault) = camera.fault() {
            return Err(invalid(fault.pointer));
        }
        if inner.archive_kind != ArchiveKind::Police {
            // Or its passages could not be billed.
            let is_too_long = |text: &str| text.len() > ACCOUNT_TEXT_BYTES_MAX;
            let pointers = [(&camera.place, "/cameras/place"), (&camera.group, "/cameras/group")];
            if let Some((_, pointer)) = pointers.into_iter().find(|(text, _)| is_too_long(text)) {
                return Err(invalid(pointer));
            }
        }
        checked.push((source, camera));
    }
    let mut answer = CamerasAdded { added: 0, known: 0 };
    let mut new = std::collections::BTreeSet::new();
    for (source, camera) in checked {
        let place = (source, camera.key.clone());
        if book.cameras.contains_key(&place) || book.is_paused(source, &camera.key) || !new.insert(place) {
            add(&mut answer.known, 1);
            continue;
        }
        inner.register.add(source, camera).await.map_err(unavailable)?;
        add(&mut answer.added, 1);
        inner.shapes.watch(inner.clock.monotonic());
    }
    inner.refresh().await.map_err(unavailable)?;
    Ok(answer)
}

//! `POST /in/v1/{source}/{token}`, `POST /in/v1/{source}` and Dahua's own paths: one payload of one source, answered as that
//! source understands answers (`intake.md` section 5).
//!
//! On success every read of it is durable, held in memory, a repeat of one that is, or refused for good. Who retries: the
//! source, by its own habits; a repeat is harmless. Payloads run side by side in any order. The source is not trusted: it
//! can speak for its own cameras and for nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use lockplate_intake::normalise::{Arrival, Rules};
use lockplate_intake::source::{BusyAnswer, Parsed, PoisonAnswer, Problem as Refusal, Slug, SourceKind, SuccessBody};
use lockplate_intake::{Outcome, Sealable};
use serde::Serialize;

use super::access::TokenHash;
use super::counters::add;
use super::payload::{self, Place, Unpacked};
use super::shapes::FailedShape;
use super::{CloseUnanswered, Door, Inner, IntakeState, NotTaken, SourceSettings, Way, kind_of, peer_of};
use crate::problem::{Problem, ProblemKind};

/// Payloads from this size on are parsed beside the event loop, bytes.
pub(super) const PARSE_INLINE_BYTES_MAX: usize = 64 * 1024;

/// Large payloads that are parsed at a time.
pub(super) const PARSERS_MAX: usize = 4;

/// How long a body may take to come.
const BODY_MAX: Duration = Duration::from_secs(30);

/// Pause between two tries to store a payload of a source that is kept waiting.
pub(super) const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What became of a payload.
pub(super) struct Delivered {
    outcome: Outcome,
    /// Reads that are durable.
    stored: u64,
}

/// Answer to a good payload of the own format.
#[derive(Debug, Serialize)]
struct OwnAnswer {
    accepted: u64,
    held: u64,
    duplicate: u64,
    rejected: u64,
    problems: Vec<LineProblem>,
    /// `memory` where a read ends with the process; else it is durable, and nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_in: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct LineProblem {
    line: Option<u64>,
    r#type: String,
}

/// The endpoint with a token in its address.
pub(super) async fn by_token(
    state: IntakeState,
    door: Door,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let inner = state.0;
    let source = path.ok().and_then(|Path((name, token))| inner.by_token(&name, &token));
    match source.filter(|source| inner.may_come(source, door, &request)) {
        Some(source) => inner.answer_to(&source, request).await,
        None => Problem::new(ProblemKind::IntakeNotFound).into_response(),
    }
}

/// An endpoint where the source signs in. `name`: of the source, in its address; none on the paths of ITSAPI, which are the same
/// for every camera.
pub(super) async fn by_login(state: IntakeState, door: Door, name: Option<&str>, request: Request) -> Response {
    let inner = state.0;
    match inner.signed_in(door, name, &request) {
        Ok(source) => inner.answer_to(&source, request).await,
        Err(why) => inner.refuse(door, why, request).await,
    }
}

impl Inner {
    /// The source, if the token is its own.
    pub(super) fn by_token(&self, name: &str, token: &str) -> Option<Arc<SourceSettings>> {
        let source = self.book().sources.get(name).cloned();
        // An unknown source costs the same hash and comparison as a wrong token.
        let admitted = source.as_ref().map_or(TokenHash::NOBODY, |source| source.token).admits(token);
        source.filter(|_| admitted)
    }

    /// True if the request comes from an address and over a listener of its source.
    pub(super) fn may_come(&self, source: &SourceSettings, door: Door, request: &Request) -> bool {
        let peer = peer_of(request.extensions());
        let from_here =
            source.allow.is_empty() || peer.is_some_and(|peer| source.allow.iter().any(|range| range.contains(peer)));
        from_here && (door == Door::Protected || source.lan)
    }

    async fn answer_to(self: &Arc<Self>, source: &Arc<SourceSettings>, request: Request) -> Response {
        let kind = source.config.kind;
        self.counters.of(&source.name, |counts| add(&mut counts.payloads, 1));
        if !self.admits(source.config.number) {
            self.counters.rejected(&source.name, Slug::Rate, 1);
            return match kind.answer_rule().busy {
                BusyAnswer::CloseUnanswered => CloseUnanswered.into_response(),
                BusyAnswer::Unavailable { .. } => {
                    Problem::new(ProblemKind::IntakeRate).with_retry_after_s(1).into_response()
                }
            };
        }
        let (unpacked, _place) = match tokio::time::timeout(BODY_MAX, self.receive(source, request)).await {
            Ok(Ok((unpacked, place))) => (Arc::new(unpacked), place),
            Ok(Err(refusal)) => {
                self.counters.rejected(&source.name, refusal.slug, 1);
                return poison(kind, &[refusal], 1);
            }
            // Sent again it may come whole: nothing that its source takes for a delivery.
            Err(_elapsed) => return self.busy(source),
        };
        let parsed = self.parse(source, &unpacked).await;
        match self.deliver_patiently(source, parsed).await {
            Ok(delivered) => {
                self.note_shape(source, &delivered, &unpacked).await;
                answer(kind, &delivered.outcome, delivered.stored, self.in_memory)
            }
            Err(_why) => self.busy(source),
        }
    }

    /// Reads a payload once the source has room for it.
    async fn receive(&self, source: &SourceSettings, request: Request) -> Result<(Unpacked, Place), Refusal> {
        let mut place = Place::wait(self.room(source.config.number), request.headers()).await;
        let unpacked = payload::unpack(request, source.config.kind, &mut place).await?;
        Ok((unpacked, place))
    }

    /// Runs the parser of `source`, beside the event loop where there is much to do.
    pub(super) async fn parse(&self, source: &Arc<SourceSettings>, unpacked: &Arc<Unpacked>) -> Parsed {
        if unpacked.len() <= PARSE_INLINE_BYTES_MAX {
            return unpacked.parse(&source.config);
        }
        let _one_of_few = self.parsers.acquire().await;
        let (source, unpacked) = (Arc::clone(source), Arc::clone(unpacked));
        let parsed = tokio::task::spawn_blocking(move || unpacked.parse(&source.config)).await;
        // Parsers are total: a task that did not come back is a bug of ours, and the payload cannot be read.
        parsed.unwrap_or_else(|_panicked| Parsed::refused(Refusal::whole(Slug::Malformed)))
    }

    /// Delivers, and tries it again for as long as this kind of source is to be kept waiting.
    async fn deliver_patiently(
        self: &Arc<Self>,
        source: &Arc<SourceSettings>,
        parsed: Parsed,
    ) -> Result<Delivered, NotTaken> {
        let tried = match source.config.kind.answer_rule().busy {
            BusyAnswer::Unavailable { tried_ms, .. } => Duration::from_millis(tried_ms.into()),
            BusyAnswer::CloseUnanswered => Duration::ZERO,
        };
        if tried.is_zero() {
            return self.deliver(source, parsed, 0).await;
        }
        // A try that is given up goes on by itself; what it makes durable, a repeat finds.
        let patient = async {
            loop {
                match self.deliver(source, parsed.clone(), 0).await {
                    Err(NotTaken::Busy | NotTaken::Interrupted) => tokio::time::sleep(TRY_AGAIN).await,
                    done => return done,
                }
            }
        };
        tokio::time::timeout(tried, patient).await.unwrap_or(Err(NotTaken::Busy))
    }

    /// Takes what one payload says. On success every read of it is durable, held, a repeat, or refused for good. `pause_ms` is that of
    /// [`Rules`].
    pub(super) async fn deliver(
        self: &Arc<Self>,
        source: &Arc<SourceSettings>,
        parsed: Parsed,
        pause_ms: i64,
    ) -> Result<Delivered, NotTaken> {
        let entered = self.live.passing.enter(source.config.number);
        if self.closing.load(Ordering::SeqCst) {
            return Err(NotTaken::Stopping);
        }
        let now = self.clock.now_ms();
        let book = self.book();
        let arrival = if parsed.is_file { Arrival::Import } else { Arrival::Live };
        let rules = Rules { pause_ms, ..Rules::new(&source.config, arrival, self.retention_ms) };
        let number = source.config.number;
        let alive: Vec<u32> = parsed.alive(&source.config).filter_map(|key| book.camera_of(number, key)).collect();
        // INVARIANT: no await between here and the task that `settle` starts, so that a caller that goes away cannot leave a
        // read remembered and not sealed.
        let mut of_paused_cameras = 0;
        let taken = self.with(Way::Live, |intake| {
            // What is held is acknowledged. Of what was held before some cannot be sealed: there is no place for more.
            if !self.may_hold_more() && intake.holds_more(now, &rules, &parsed, |key| book.camera_of(number, key)) {
                return Err(NotTaken::Busy);
            }
            if let Some((beat, at)) = parsed.heartbeat.as_ref().and_then(|beat| Some((beat, beat.agent_time?))) {
                let cameras = beat.cameras.iter().filter_map(|(key, _)| book.camera_of(number, key));
                cameras.for_each(|camera| intake.hear_clock(now, camera, at));
            }
            Ok(intake.take(now, rules, parsed, |key| {
                let camera = book.camera_of(number, key);
                add(&mut of_paused_cameras, u64::from(camera.is_none() && book.is_paused(number, key)));
                camera
            }))
        });
        let mut outcome = taken?;
        self.beside.observe(core::mem::take(&mut outcome.seen));
        let reads: Vec<Sealable> = core::mem::take(&mut outcome.sealables);
        let settled = self.settle(Way::Live, entered, reads, outcome.duplicates > 0).await?;
        self.counters.seen(now, &alive);
        self.counters.outcome(&source.name, now, &outcome);
        self.counters.of(&source.name, |counts| add(&mut counts.of_paused_cameras, of_paused_cameras));
        let too_old = u64::try_from(settled.too_old.len()).unwrap_or(u64::MAX);
        if too_old > 0 {
            add(&mut outcome.rejected, too_old);
            outcome.problems.push(Refusal::whole(Slug::TooOld));
        }
        Ok(Delivered { outcome, stored: settled.stored })
    }

    /// Keeps the shape of a payload of which something was refused, while somebody is at work who needs to see it.
    pub(super) async fn note_shape(&self, source: &SourceSettings, delivered: &Delivered, unpacked: &Arc<Unpacked>) {
        let now = self.clock.monotonic();
        let Some(problem) = delivered.outcome.problems.first().filter(|_| self.shapes.is_open(now)) else { return };
        let unpacked = Arc::clone(unpacked);
        let Ok(lines) = tokio::task::spawn_blocking(move || unpacked.shape()).await else { return };
        let (source, at_ms) = (source.name.clone(), self.clock.now_ms());
        self.shapes.note(now, FailedShape { source, at_ms, slug: problem.slug.text(), lines });
    }

    fn busy(&self, source: &SourceSettings) -> Response {
        self.counters.of(&source.name, |counts| add(&mut counts.lost_upstream, 1));
        match source.config.kind.answer_rule().busy {
            BusyAnswer::CloseUnanswered => CloseUnanswered.into_response(),
            BusyAnswer::Unavailable { retry_after_s, .. } => {
                Problem::new(ProblemKind::IntakeUnavailable).with_retry_after_s(retry_after_s).into_response()
            }
        }
    }
}

fn answer(kind: SourceKind, outcome: &Outcome, accepted: u64, in_memory: bool) -> Response {
    let useful = accepted > 0 || outcome.held > 0 || outcome.duplicates > 0 || outcome.heartbeat.is_some();
    if outcome.rejected > 0 && !useful {
        return poison(kind, &outcome.problems, outcome.rejected);
    }
    match kind.answer_rule().success {
        SuccessBody::Counts => {
            let problem = |refusal: &Refusal| LineProblem {
                line: refusal.line,
                r#type: format!("{}{}", crate::problem::TYPE_PREFIX, refusal.slug.text()),
            };
            let answer = OwnAnswer {
                accepted,
                held: outcome.held,
                duplicate: outcome.duplicates,
                rejected: outcome.rejected,
                problems: outcome.problems.iter().map(problem).collect(),
                kept_in: in_memory.then_some("memory"),
            };
            Json(answer).into_response()
        }
        SuccessBody::Empty | SuccessBody::Json(_) => delivered(kind),
    }
}

/// What makes the source believe that it need not send the payload again.
fn delivered(kind: SourceKind) -> Response {
    match kind.answer_rule().success {
        SuccessBody::Empty | SuccessBody::Counts => StatusCode::OK.into_response(),
        SuccessBody::Json(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
    }
}

/// Nothing of the payload can ever be stored.
fn poison(kind: SourceKind, refusals: &[Refusal], rejected: u64) -> Response {
    match (kind.answer_rule().poison, refusals.first()) {
        (PoisonAnswer::Success, _) => delivered(kind),
        (PoisonAnswer::Problem, None) => Problem::new(ProblemKind::IntakeMalformed).into_response(),
        (PoisonAnswer::Problem, Some(first)) => refuse(first, refusals, rejected).into_response(),
    }
}

/// One line or the whole payload: its slug. Several lines: 422, with the slug if it is one of that status and the same for
/// all.
fn refuse(first: &Refusal, refusals: &[Refusal], rejected: u64) -> Problem {
    let same = refusals.iter().all(|refusal| refusal.slug == first.slug);
    let kind = kind_of(first.slug);
    let kind = if rejected <= 1 || (same && kind.status() == 422) { kind } else { ProblemKind::Invalid };
    let problem = Problem::new(kind);
    match first.line.and_then(|line| u32::try_from(line).ok()) {
        Some(line) => problem.with_position(line, 1),
        None => problem,
    }
}

//! The officers' doors: what waits, a stream of events, one alert with its content, and the steps that officers take. Everybody here is
//! signed in for a shift and in service; content is shown only after the policy has let this officer read this hit, and each time
//! it is shown or refused is noted with the alert.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HeaderName};
use axum::response::IntoResponse;
use axum::response::sse::{KeepAlive, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, StreamExt as _};
use lockplate_core::hotlist::alert::{
    Acting, AlertContent, AlertState, AlertStep, Effect, Stepped, open_said, seal_said,
};
use lockplate_core::json::{Field as _, time_text};
use lockplate_core::person::{ByPerson, PersonKey};
use lockplate_core::sign::VerifyKey;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::duty::{OnDuty, on_duty};
use super::feed::{Event, body};
use super::notify::Why;
use super::store::{AlertRow, NewStep, SHOWN_MAX};
use super::wire::{
    AlertHealth, AlertLine, AlertList, AlertOpened, Introduction, Meant, Said, StepAsked, StepTaken, alert_id,
};
use super::{Alerts, Inner};
use crate::api::B64;
use crate::db::DbError;
use crate::hotlist::law::Decided;
use crate::http::BoundedJson;
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;

/// Bytes of a step: a signature and a few words.
const STEP_BYTES_MAX: usize = 16 * 1024;
/// A line without meaning, so often, keeps a stream's connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Where a terminal says what it saw last.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What proxies set.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[derive(Clone)]
struct Door {
    alerts: Alerts,
}

impl Door {
    fn inner(&self) -> &Inner {
        &self.alerts.0
    }
}

impl Alerts {
    /// `/v1/alerts` and below.
    pub(crate) fn routes(&self) -> Router {
        let door = Door { alerts: self.clone() };
        Router::new()
            .route("/v1/alerts", get(list))
            .route("/v1/alerts/stream", get(events))
            .route("/v1/alerts/health", get(health))
            .route("/v1/alerts/introduction", get(introduction))
            .route("/v1/alerts/{id}", get(show))
            .route("/v1/alerts/{id}/steps", post(step).layer(DefaultBodyLimit::max(STEP_BYTES_MAX)))
            .with_state(door)
    }
}

impl From<DbError> for Problem {
    fn from(_: DbError) -> Self {
        Self::new(ProblemKind::Unavailable)
    }
}

async fn list(State(door): State<Door>, headers: HeaderMap) -> Result<Json<AlertList>, Problem> {
    on_duty(&door.inner().shifts, &headers).await?;
    let now = door.alerts.now();
    let waiting = door.inner().store.waiting().await?;
    // The clock may be a second behind what is true.
    let alerts = waiting.iter().map(|row| AlertLine::of(&row.record.at(now), row.count)).collect();
    Ok(Json(AlertList { alerts }))
}

/// Without `Last-Event-ID` what nobody has looked at, with it how everything stands that has changed since; then what comes. It ends with the shift, and where the officer goes out of
/// service.
async fn events(State(door): State<Door>, headers: HeaderMap) -> Result<impl IntoResponse, Problem> {
    let officer = on_duty(&door.inner().shifts, &headers).await?;
    let place = door.inner().duty.enter(&officer)?;
    let watching = door.inner().shifts.watch(&headers);
    let over = door.inner().duty.over(&officer, door.inner().shifts.clone(), headers.clone());
    let seen = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.parse().ok());
    // Before the look at what is there, so that nothing falls between.
    let fresh = door.inner().feed.events();
    let (missed, last) = door.inner().store.news(seen).await?;
    // A terminal that missed more than is read at once comes again for the rest.
    let is_all = u32::try_from(missed.len()).is_ok_and(|missed| missed < SHOWN_MAX);
    let alerts = door.alerts.clone();
    let missed = stream::iter(missed).filter_map(move |row| {
        let alerts = alerts.clone();
        async move {
            // Its state may be newer by now: then that comes as the event of its own.
            let (_, sealed) = alerts.0.store.own(row.record.alert).await.ok()??;
            alerts.open(&row, &sealed).map(|says| Event::news(&row, &says.text.read.place))
        }
    });
    let fresh = fresh.take(if is_all { usize::MAX } else { 0 });
    let fresh = fresh.filter(move |event| core::future::ready(event.number.is_none_or(|number| number > last)));
    let stopping = door.inner().tasks.stopping().clone();
    let over = async move {
        tokio::select! { () = over => {}, () = stopping.cancelled() => {} }
    };
    let all = missed.chain(fresh).take_until(over).map(move |event| {
        let _held = (&place, &watching);
        event
    });
    Ok(Sse::new(body(all)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The alert of an id with its content, and what the policy says of this officer.
async fn opened(door: &Door, id: &str, officer: &OnDuty) -> Result<(AlertRow, AlertContent, Decided), Problem> {
    let id = alert_id(id).ok_or(ProblemKind::NotFound)?;
    let (row, sealed) = door.inner().store.own(id).await?.ok_or(ProblemKind::NotFound)?;
    let content = door.alerts.open(&row, &sealed).ok_or(ProblemKind::Internal)?;
    let decided = door.alerts.decide(&officer.key, &officer.officers, &row, &content).ok_or(ProblemKind::Lapsed)?;
    Ok((row, content, decided))
}

fn refused(decided: &Decided) -> Problem {
    let problem = Problem::new(ProblemKind::Refused);
    match decided.rules.first() {
        Some(rule) => problem.with_rule(rule.clone()),
        None => problem,
    }
}

async fn show(
    State(door): State<Door>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<AlertOpened>, Problem> {
    let officer = on_duty(&door.inner().shifts, &headers).await?;
    let (row, content, decided) = opened(&door, &id, &officer).await?;
    let (store, now) = (&door.inner().store, door.alerts.now());
    let ruling = decided.ruling;
    store.opened(row.number, officer.key, (ruling.allowed, ruling.digest), now).await?;
    if !ruling.allowed {
        return Err(refused(&decided));
    }
    let mut steps = Vec::new();
    for taken in store.steps(row.number).await? {
        let said = open_said(&door.inner().key, &row.record, taken.kind, &taken.said).ok();
        let said: Option<Said> = said.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let said = said.ok_or(ProblemKind::Internal)?;
        steps.push(StepTaken { step: B64(taken.signed), said, at: time_text(taken.at) });
    }
    let text = content.text.to_json().to_canonical_bytes_within(lockplate_core::hotlist::limits::ALERT_BYTES_MAX);
    let text = text.map_err(|_core| ProblemKind::Internal)?;
    let text = serde_json::from_slice(&text).map_err(|_json| ProblemKind::Internal)?;
    let alert = AlertLine::of(&row.record.at(now), row.count);
    Ok(Json(AlertOpened { alert, text, crop: B64(content.crop), steps }))
}

async fn step(
    State(door): State<Door>,
    Path(id): Path<String>,
    headers: HeaderMap,
    BoundedJson(asked): BoundedJson<StepAsked>,
) -> Result<Json<AlertLine>, Problem> {
    let officer = on_duty(&door.inner().shifts, &headers).await?;
    let (told, answer) = oneshot::channel();
    // A task of its own: a terminal that goes away must not leave a step half taken.
    let tasks = door.inner().tasks.clone();
    tasks.spawn("alert-step", async move {
        let _terminal_gone = told.send(take_step(&door, &id, &officer, asked).await);
    });
    answer.await.map_err(|_panicked| ProblemKind::Internal)?.map(Json)
}

async fn take_step(door: &Door, id: &str, officer: &OnDuty, asked: StepAsked) -> Result<AlertLine, Problem> {
    let meant = asked.said.meant().ok_or(ProblemKind::Invalid)?;
    let signed = ByPerson::<AlertStep>::from_bytes(&asked.step.0).map_err(|_core| ProblemKind::Malformed)?;
    let _turn = door.inner().turn.lock().await;
    let (row, content, decided) = opened(door, id, officer).await?;
    if !decided.ruling.allowed {
        return Err(refused(&decided));
    }
    let now = door.alerts.now();
    let key = PersonKey::File(VerifyKey(officer.key));
    let acting = Acting::verify(&signed, &key, &decided.ruling, now).map_err(|_core| ProblemKind::Invalid)?;
    let record = row.record.at(now);
    if !waits_for(&record.state, &meant) {
        return Err(ProblemKind::Conflicting.into());
    }
    let stepped = match &meant {
        Meant::Look(seen) => record.look(&content, seen, &acting, now),
        Meant::LiveCheck(check) => record.live_check(&content, check, &acting, &officer.officers, now),
        Meant::Close(closing) => record.close(&content, *closing, &acting, now),
    };
    let Stepped { record, effects } = stepped.map_err(|_core| ProblemKind::Invalid)?;
    let words = Zeroizing::new(serde_json::to_vec(&asked.said).map_err(|_our_type| ProblemKind::Internal)?);
    let said = seal_said(&door.inner().public, &record, meant.step(), &words, &mut SystemRng);
    let step = NewStep {
        kind: meant.step(),
        signed: asked.step.0,
        said: said.map_err(|_core| ProblemKind::Internal)?,
        decision: *acting.decision(),
        erase_at: record.erase_at(door.inner().settings.records_seconds),
        closing: if let Meant::Close(closing) = &meant { Some(*closing) } else { None },
        // Another recorder's camera has a number that is another camera's here.
        misread: (!row.taken && effects.contains(&Effect::CountMisread)).then_some(content.text.read.camera),
        record: record.clone(),
    };
    mark(door.inner(), &row, &content, &effects);
    let misread = step.misread;
    let change = door.inner().store.step(row.number, step, now).await?;
    door.inner().feed.step(change, &record);
    if effects.contains(&Effect::NotifyAgency) {
        let agency = content.text.entry.agency.clone();
        door.inner().feed.stale(&record, &agency);
        door.inner().notifier.notify(door.alerts.notice(&row, Why::Stale(agency), &content.text.read.place));
    }
    if let Some(camera) = misread {
        let rates = door.inner().store.misreads(now).await?;
        if rates.get(&camera).is_some_and(|rate| rate.is_alarming()) {
            tracing::warn!(camera, "camera-misreads: more than a fifth of this month's alerts were misreads");
        }
    }
    Ok(AlertLine::of(&record, row.count))
}

/// Before the step is stored: one that then is not has marked an entry once too often, which keeps alerts away; one that is stored and
/// has marked nothing would let a stale entry go on.
fn mark(inner: &Inner, row: &AlertRow, content: &AlertContent, effects: &BTreeSet<Effect>) {
    let marking = inner.marking.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(marking) = marking else { return };
    let entry = &content.text.entry.entry_id;
    if effects.contains(&Effect::Suspend) {
        marking.suspend(&row.record.list, entry);
    }
    if effects.contains(&Effect::CountWrongState) {
        marking.wrong_state(&row.record.list, entry);
    }
}

/// Whether the alert is in a state that the step leads on from. Somebody else may have been faster, or time.
const fn waits_for(state: &AlertState, meant: &Meant) -> bool {
    match (state, meant) {
        (AlertState::Raised, Meant::Look(_))
        | (AlertState::Looked { .. }, Meant::LiveCheck(_) | Meant::Close(_))
        | (AlertState::Verified | AlertState::Rejected { .. }, Meant::Close(_)) => true,
        (AlertState::Raised, Meant::LiveCheck(_) | Meant::Close(_))
        | (AlertState::Looked { .. }, Meant::Look(_))
        | (AlertState::Verified | AlertState::Rejected { .. }, Meant::Look(_) | Meant::LiveCheck(_))
        | (AlertState::Closed { .. } | AlertState::Expired { .. }, _) => false,
    }
}

/// For an officer who registers a list of this agency at another agency's recorder.
async fn introduction(State(door): State<Door>, headers: HeaderMap) -> Result<Json<Introduction>, Problem> {
    on_duty(&door.inner().shifts, &headers).await?;
    let directory = door.inner().shifts.signed_directory().await?;
    Ok(Json(Introduction { alert_key: B64(door.inner().public.as_bytes().to_vec()), directory }))
}

/// For whoever watches over the process, on its machine.
async fn health(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Json<AlertHealth>, Problem> {
    // A local proxy passes strangers on, and says so.
    let passed_on = headers.contains_key(FORWARDED) || headers.contains_key(X_FORWARDED_FOR);
    if !peer.ip().to_canonical().is_loopback() || passed_on {
        return Err(ProblemKind::NotFound.into());
    }
    let counts = door.inner().store.counts().await?;
    let rates = door.inner().store.misreads(door.alerts.now()).await?;
    let misreading = rates.into_iter().filter(|(_, rate)| rate.is_alarming()).map(|(camera, _)| camera);
    Ok(Json(AlertHealth {
        raised: counts.raised,
        waiting: counts.waiting,
        expired: counts.expired,
        overdue: counts.overdue,
        to_hand_over: counts.to_hand,
        silent_recorders: door.inner().silent.load(Ordering::Relaxed),
        hits_lost: door.inner().lost.load(Ordering::Relaxed),
        notices_lost: door.inner().notifier.lost(),
        misreading_cameras: misreading.collect(),
    }))
}

//! The door at which an agency fetches the alerts on its list that cameras here raised. It shows what the law of both sides has let in with
//! the list: the list's agency signed for it, and its alerts are sealed to its key. Whoever asks shows the agency's signed directory and
//! a statement under the desk key that stands in it ([`AlertsAsked`]); everything else is refused in one way. What the asker says it
//! has is erased here; the count stays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use lockplate_core::hotlist::handover::AlertsAsked;
use lockplate_core::sign::Signed;
use tokio::sync::{Semaphore, watch};

use super::Alerts;
use super::wire::{HandedAlert, HandedAsked, HandedGiven};
use crate::api::B64;
use crate::hotlist::{HotLists, LISTS_MAX};
use crate::http::BoundedJson;
use crate::problem::{Problem, ProblemKind};

/// Path of the door.
pub(super) const PATH: &str = "/v1/alerts/handed";
/// How long an answer waits for an alert.
pub(super) const WAIT: Duration = Duration::from_secs(20);
/// Bytes of a call: a directory and a signature.
const CALL_BYTES_MAX: usize = 512 * 1024;

/// Who waits for alerts, and what was asked last.
pub(super) struct Handing {
    /// Changes with every alert on another agency's list, and with every call.
    woken: watch::Sender<u64>,
    /// By list: time of the last call, and serial of its directory. A restart forgets them; a call of before it, which only the recorder
    /// has seen, could then be used for minutes, and shows what is sealed to its signer.
    last: Mutex<BTreeMap<[u8; 16], (u64, u64)>>,
    places: Semaphore,
}

impl Handing {
    pub(super) fn new() -> Self {
        let places = Semaphore::new(LISTS_MAX.saturating_mul(2));
        Self { woken: watch::Sender::new(0), last: Mutex::default(), places }
    }

    /// There may be something to fetch.
    pub(super) fn wake(&self) {
        self.woken.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// False for a call that is not later than the last one of its list, or shows an older directory.
    fn is_next(&self, list: [u8; 16], time_ms: u64, serial: u64) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.entry(list).or_default();
        let is_next = known.0 < time_ms && known.1 <= serial;
        if is_next {
            *known = (time_ms, serial);
        }
        is_next
    }

    fn is_last(&self, list: &[u8; 16], time_ms: u64) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(list).is_some_and(|known| known.0 == time_ms)
    }
}

#[derive(Clone)]
struct Door {
    alerts: Alerts,
    lists: HotLists,
}

impl Alerts {
    /// The door of other agencies; `lists` knows whose list is whose.
    pub(crate) fn handing_routes(&self, lists: &HotLists) -> Router {
        let door = Door { alerts: self.clone(), lists: lists.clone() };
        Router::new().route(PATH, post(hand)).layer(DefaultBodyLimit::max(CALL_BYTES_MAX)).with_state(door)
    }
}

/// The statement, if the agency whose list it is about made it for this recorder, now, and for the first time.
fn asked(door: &Door, asked: &HandedAsked) -> Result<AlertsAsked, ProblemKind> {
    let refused = ProblemKind::NotSignedIn;
    let call = Signed::<AlertsAsked>::from_bytes(&asked.call.0).map_err(|_form| ProblemKind::Malformed)?;
    let desk = door.lists.desk_of(&call.claimed().list, &asked.directory.0).ok_or(refused)?;
    let call = *call.verify(&desk.key).map_err(|_signature| refused)?;
    let is_mine = call.charter == desk.charter && call.is_fresh(door.alerts.now());
    if is_mine && door.alerts.0.handing.is_next(call.list, call.time_ms, desk.serial) { Ok(call) } else { Err(refused) }
}

async fn hand(
    State(door): State<Door>,
    BoundedJson(body): BoundedJson<HandedAsked>,
) -> Result<Json<HandedGiven>, Problem> {
    let call = asked(&door, &body)?;
    let inner = Arc::clone(&door.alerts.0);
    // An earlier call about the list that still waits ends: a list has one that waits.
    inner.handing.wake();
    let _place = inner.handing.places.try_acquire().map_err(|_full| ProblemKind::Unavailable)?;
    let mut wait = core::pin::pin!(tokio::time::sleep(WAIT));
    let (mut woken, mut over) = (inner.handing.woken.subscribe(), false);
    loop {
        let waiting = inner.store.hand_over(call.list, call.after).await?;
        if !waiting.is_empty() || over || !inner.handing.is_last(&call.list, call.time_ms) {
            let given = |one: super::store::ToHand| HandedAlert {
                id: hex::encode(one.id),
                count: one.count,
                sealed: B64(one.sealed),
            };
            return Ok(Json(HandedGiven { alerts: waiting.into_iter().map(given).collect() }));
        }
        tokio::select! {
            _changed = woken.changed() => {}
            () = &mut wait => over = true,
            () = inner.tasks.stopping().cancelled() => over = true,
        }
    }
}

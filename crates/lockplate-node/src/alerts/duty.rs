//! Who may go on watching. A stream of events is let in once and lasts for minutes: it ends as soon as its officer's shift is over or the
//! officer is out of service, and nobody has more than a few, so that one person's terminals do not keep the others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use lockplate_core::directory::VerifiedDirectory;
use tokio::sync::watch;

use crate::problem::{Problem, ProblemKind};
use crate::shift::Shifts;

/// Streams at a time.
const STREAMS_MAX: usize = 200;
/// Streams of one officer at a time: two terminals, each of which may have lost a connection that is not known to be dead yet.
const STREAMS_OFFICER_MAX: usize = 4;

/// An officer who is signed in and in service.
pub(super) struct OnDuty {
    pub(super) key: [u8; 32],
    pub(super) officers: VerifiedDirectory,
}

/// Whoever a request belongs to, if they may work now.
pub(super) async fn on_duty(shifts: &Shifts, headers: &HeaderMap) -> Result<OnDuty, Problem> {
    let key = shifts.officer(headers)?;
    let officers = shifts.officers().await?;
    if officers.is_in_service(&key, shifts.now()) {
        Ok(OnDuty { key, officers })
    } else {
        Err(ProblemKind::Lapsed.into())
    }
}

/// The streams that are open, and the officers as they were last looked up for them.
pub(super) struct Duty {
    /// By person: a second key is no second person.
    streams: Arc<Mutex<BTreeMap<[u8; 32], usize>>>,
    /// None where nobody could say who is in service.
    officers: watch::Sender<Option<Arc<VerifiedDirectory>>>,
}

/// One stream's place; it is free again when this is dropped.
pub(super) struct Place {
    streams: Arc<Mutex<BTreeMap<[u8; 32], usize>>>,
    person: [u8; 32],
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.person) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                streams.remove(&self.person);
            }
        }
    }
}

impl Duty {
    pub(super) fn new() -> Self {
        Self { streams: Arc::default(), officers: watch::Sender::new(None) }
    }

    /// A place for one more stream of an officer.
    ///
    /// # Errors
    /// `rate` if the officer has as many as one may have, `unavailable` if all have.
    pub(super) fn enter(&self, officer: &OnDuty) -> Result<Place, ProblemKind> {
        let person = officer.officers.person(&officer.key).ok_or(ProblemKind::Lapsed)?;
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.values().fold(0, |sum: usize, count| sum.saturating_add(*count)) >= STREAMS_MAX {
            return Err(ProblemKind::Unavailable);
        }
        let count = streams.entry(person).or_default();
        if *count >= STREAMS_OFFICER_MAX {
            return Err(ProblemKind::Rate);
        }
        *count = count.saturating_add(1);
        Ok(Place { streams: Arc::clone(&self.streams), person })
    }

    /// Looks up who is in service, if anybody watches. To be called every second or so.
    pub(super) async fn look(&self, shifts: &Shifts) {
        if self.officers.receiver_count() == 0 {
            return;
        }
        let officers = shifts.officers().await;
        self.officers.send_replace(officers.ok().map(Arc::new));
    }

    /// Returns when the officer of these headers may not watch any more, or nobody can say so.
    pub(super) fn over(
        &self,
        officer: &OnDuty,
        shifts: Shifts,
        headers: HeaderMap,
    ) -> impl Future<Output = ()> + Send + use<> {
        let mut officers = self.officers.subscribe();
        let key = officer.key;
        async move {
            while officers.changed().await.is_ok() {
                let known = officers.borrow_and_update().clone();
                let may = known.is_some_and(|officers| officers.is_in_service(&key, shifts.now()));
                if !may || shifts.officer(&headers).ok() != Some(key) {
                    return;
                }
            }
        }
    }
}

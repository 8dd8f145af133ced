//! The doors of a role that answers before it is ready: what others need so that they can start (the witness, the health of
//! the process) is open at once; the rest answers 503 until the role opens it, and sources of reads nothing. So all parties of a town may
//! start together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tower::ServiceExt as _;

use crate::intake::{CloseUnanswered, SOURCE_PATHS};
use crate::problem::ProblemKind;

/// Closed until [`Gate::open`]. Cheap to clone; all clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    doors: Arc<OnceLock<Router>>,
    standby: Arc<AtomicBool>,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers with `early` at once, and with everything else once the gate is open.
    pub fn behind(&self, early: Router) -> Router {
        early.fallback_service(Router::new().fallback(pass).with_state(self.clone()))
    }

    /// Opens the gate; the first call counts.
    pub fn open(&self, doors: Router) {
        let _opened_before = self.doors.set(doors);
    }

    /// Whether this is the machine that waits while another one is active: `/readyz` then says so.
    pub(crate) fn stand_by(&self, standby: bool) {
        self.standby.store(standby, Ordering::Relaxed);
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.doors.get().is_some()
    }
}

async fn pass(State(gate): State<Gate>, request: Request) -> Response {
    match gate.doors.get() {
        Some(doors) => doors.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
        // It is not known yet who they are, and one kind of them takes any status for a delivery.
        None if request.uri().path().starts_with(SOURCE_PATHS) => CloseUnanswered.into_response(),
        None if gate.standby.load(Ordering::Relaxed) && request.uri().path() == "/readyz" => {
            (StatusCode::SERVICE_UNAVAILABLE, "standby").into_response()
        }
        None => ProblemKind::Unavailable.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::routing::get;

    #[tokio::test]
    async fn only_the_early_doors_answer_before_the_gate_is_open() {
        let gate = Gate::new();
        let router = gate.behind(Router::new().route("/early", get(async || "early")));
        let ask = async |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let unanswered = response.extensions().get::<CloseUnanswered>().is_some();
            (!unanswered).then(|| response.status())
        };
        assert_eq!(ask("/early").await, Some(StatusCode::OK));
        assert_eq!(ask("/late").await, Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(ask("/in/v1/gate/token").await, None);
        gate.stand_by(true);
        let request = Request::builder().uri("/readyz").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(to_bytes(response.into_body(), 100).await.unwrap().as_ref(), b"standby");
        gate.open(Router::new().route("/late", get(async || "late")));
        assert_eq!(ask("/late").await, Some(StatusCode::OK));
        assert_eq!(ask("/nowhere").await, Some(StatusCode::NOT_FOUND));
    }
}

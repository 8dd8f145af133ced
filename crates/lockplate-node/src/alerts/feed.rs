//! Events of alerts for the terminals of officers: in clear, without a plate, each terminal's backlog bounded. A terminal that falls
//! behind is cut off and comes again with the last number it saw; what has changed since and what still waits is read from the database.

use std::convert::Infallible;

use axum::response::sse;
use futures_util::stream::{self, Stream, StreamExt as _};
use lockplate_core::hotlist::alert::{AlertRecord, AlertState};
use tokio::sync::broadcast;

use super::store::AlertRow;
use super::wire::{AlertEvent, AlertLine};

/// Events that a terminal may be behind.
const BEHIND_MAX: usize = 1_024;

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Of the change that it tells: what a terminal names when it comes again. None of what is told once and to those who are there.
    pub(super) number: Option<u64>,
    name: &'static str,
    data: AlertEvent,
}

/// Where events go.
#[derive(Debug)]
pub(super) struct Feed(broadcast::Sender<Event>);

impl Feed {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(BEHIND_MAX))
    }

    fn send(&self, event: Event) {
        // With no terminal there it is nobody's.
        let _terminals = self.0.send(event);
    }

    /// An alert was raised, or nobody has looked, or said how it ended.
    pub(super) fn news(&self, row: &AlertRow, place: &str) {
        self.send(Event::news(row, place));
    }

    /// An officer took a step.
    pub(super) fn step(&self, change: u64, record: &AlertRecord) {
        self.send(Event { number: Some(change), name: "step", data: of(record) });
    }

    /// The entry of an agency is out of date.
    pub(super) fn stale(&self, record: &AlertRecord, agency: &str) {
        self.send(Event {
            number: None,
            name: "stale",
            data: AlertEvent { agency: Some(agency.to_owned()), ..of(record) },
        });
    }

    /// Events from now on. Ends where the terminal is too far behind.
    pub(super) fn events(&self) -> impl Stream<Item = Event> + Send + use<> {
        let events = self.0.subscribe();
        stream::unfold(events, |mut events| async { events.recv().await.ok().map(|event| (event, events)) })
    }
}

impl Event {
    /// How an alert stands.
    pub(super) fn news(row: &AlertRow, place: &str) -> Self {
        let name = match row.record.state {
            _ if row.late => "escalated",
            AlertState::Raised => "alert",
            AlertState::Looked { .. }
            | AlertState::Verified
            | AlertState::Rejected { .. }
            | AlertState::Closed { .. }
            | AlertState::Expired { .. } => "step",
        };
        let data = AlertEvent { place: Some(place.to_owned()), ..of(&row.record) };
        Self { number: Some(row.change), name, data }
    }

    /// As it is sent.
    pub(super) fn to_sse(&self) -> sse::Event {
        // JSON has no line break, and the event no second `data`: the two things on which building one panics or fails.
        let text = serde_json::to_string(&self.data).unwrap_or_default();
        let event = sse::Event::default().event(self.name).data(text);
        match self.number {
            Some(number) => event.id(number.to_string()),
            None => event,
        }
    }
}

fn of(record: &AlertRecord) -> AlertEvent {
    let line = AlertLine::of(record, 1);
    AlertEvent {
        id: line.id,
        class: line.class,
        matched: line.matched,
        raised_at: line.raised_at,
        state: line.state,
        place: None,
        agency: None,
    }
}

/// Events as a body; infallible, since none of them can fail.
pub(super) fn body<S: Stream<Item = Event>>(events: S) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    events.map(|event| Ok(event.to_sse()))
}

//! The figures of a month or of all time, as the transparency report prints them. Every ratio comes with the two counts it is made of, and
//! nothing is in here that the logs do not say. Figures are what parties state; what is wrong with their statements is the monitor's part.

use std::collections::BTreeMap;

use lockplate_core::Timestamp;
use lockplate_core::id::b64url;
use lockplate_core::vocabulary::Purpose;
use serde::Serialize;

use crate::logs::Logs;
use crate::monitor::{DESTROY_SECONDS, STALE_SECONDS};
use crate::register::{Counts, Decision, Epochs, Party, cameras, count, deciding_rules, decision_of};
use crate::time::{self, Period, ZoneOffset};

/// First hour of the night, by the clocks of people.
pub const NIGHT_FROM: u8 = 22;
/// First hour of the day.
pub const NIGHT_TO: u8 = 6;

/// A part of a whole. There is no ratio without both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// How many.
    pub part: u64,
    /// Of how many.
    pub of: u64,
}

impl Share {
    /// Thousandths, rounded down; none of nothing.
    #[must_use]
    pub const fn per_mille(self) -> Option<u64> {
        self.part.saturating_mul(1_000).checked_div(self.of)
    }

    pub(crate) fn add(&mut self, counts: bool) {
        self.of = self.of.saturating_add(1);
        self.part = self.part.saturating_add(u64::from(counts));
    }
}

/// Counts of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line<K> {
    /// The value.
    pub key: K,
    /// How many requests.
    pub counts: Counts,
}

/// An officer by the pseudonym of a year, and the agency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Officer {
    /// The agency.
    pub agency: Party,
    /// The pseudonym, base64url.
    pub pseudonym: String,
}

/// Shares whose date fell into the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Destruction {
    /// Shares that were due.
    pub due: u64,
    /// Of them, destroyed by the keeper's word.
    pub destroyed: u64,
    /// Of the destroyed, later than a day after their date.
    pub late: u64,
    /// Not destroyed, and more than a day over their date.
    pub overdue: u64,
}

/// The figures of a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The period, `2026-11` or `all`.
    pub period: Period,
    /// The moment they hold for.
    #[serde(serialize_with = "time::text")]
    pub as_of: Timestamp,
    /// The clock by which day and night are told apart.
    pub zone: ZoneOffset,
    /// Requests.
    pub requests: Counts,
    /// By requesting agency, most requests first.
    pub by_agency: Vec<Line<Party>>,
    /// By agency on whose behalf somebody else asked, most first.
    pub on_behalf_of: Vec<Line<Party>>,
    /// By purpose, most first.
    pub by_purpose: Vec<Line<&'static str>>,
    /// By rule that decided, most first; a request may cite several.
    pub by_rule: Vec<Line<String>>,
    /// By officer pseudonym, most first.
    pub by_officer: Vec<Line<Officer>>,
    /// Requests between 22:00 and 06:00 by the clock of `zone`.
    pub off_hours: Share,
    /// Requests with a judge's paper that counts.
    pub judicial: Share,
    /// Requests declared as emergencies.
    pub emergencies: Counts,
    /// Granted requests whose requester said what it opened.
    pub disclosed: Share,
    /// Reads opened, by the requesters' word.
    pub reads_opened: u64,
    /// Periods dealt, closed and destroyed.
    pub epochs: Epochs,
    /// Destruction of shares.
    pub destruction: Destruction,
    /// Cameras at the end of the period; none where the recorder's log says nothing.
    pub cameras: Option<u64>,
    /// Logs that independent watchers confirmed within the hour before `as_of`.
    pub logs_confirmed: Share,
}

impl Figures {
    /// The figures of a period. `now` is the moment of looking: what is due later is not counted as due.
    #[must_use]
    pub fn of(logs: &Logs, period: Period, zone: ZoneOffset, now: Timestamp) -> Self {
        let mut table = Table::default();
        for request in logs.requests().values() {
            table.add(logs, period, zone, request);
        }
        let end = match period {
            Period::Month(month) => now.min(Timestamp(month.end().0.saturating_sub(1))),
            Period::All => now,
        };
        let mut confirmed = Share::default();
        for (_, log) in logs.logs() {
            let at = log.head().and_then(|head| head.confirmed);
            confirmed.add(at.is_some_and(|at| now.0.saturating_sub(at.0) < STALE_SECONDS));
        }
        Self {
            period,
            as_of: now,
            zone,
            requests: table.requests,
            by_agency: most_first(table.agencies),
            on_behalf_of: most_first(table.behalf),
            by_purpose: most_first(table.purposes),
            by_rule: most_first(table.rules),
            by_officer: most_first(table.officers),
            off_hours: table.off_hours,
            judicial: table.judicial,
            emergencies: table.emergencies,
            disclosed: table.disclosed,
            reads_opened: table.reads_opened,
            epochs: epochs(logs, period),
            destruction: destruction(logs, period, now),
            cameras: cameras(logs, end).map(|cameras| cameras.count),
            logs_confirmed: confirmed,
        }
    }

    /// One row a number, for CSV: figure, key (empty where it has none), what is counted, number. Names and order stay; rows are added.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Rows::default();
        rows.counts("requests", "", self.requests);
        for line in &self.by_agency {
            rows.counts("by_agency", line.key.label(), line.counts);
        }
        for line in &self.on_behalf_of {
            rows.counts("on_behalf_of", line.key.label(), line.counts);
        }
        for line in &self.by_purpose {
            rows.counts("by_purpose", line.key, line.counts);
        }
        for line in &self.by_rule {
            rows.counts("by_rule", &line.key, line.counts);
        }
        for line in &self.by_officer {
            rows.counts("by_officer", &line.key.pseudonym, line.counts);
        }
        rows.share("off_hours", self.off_hours);
        rows.share("judicial", self.judicial);
        rows.counts("emergencies", "", self.emergencies);
        rows.share("disclosed", self.disclosed);
        rows.number("reads_opened", "", "reads", self.reads_opened);
        rows.number("epochs", "", "dealt", self.epochs.dealt);
        rows.number("epochs", "", "closed", self.epochs.closed);
        rows.number("epochs", "", "destroyed", self.epochs.destroyed);
        rows.number("destruction", "", "due", self.destruction.due);
        rows.number("destruction", "", "destroyed", self.destruction.destroyed);
        rows.number("destruction", "", "late", self.destruction.late);
        rows.number("destruction", "", "overdue", self.destruction.overdue);
        if let Some(cameras) = self.cameras {
            rows.number("cameras", "", "cameras", cameras);
        }
        rows.share("logs_confirmed", self.logs_confirmed);
        rows.0
    }
}

/// One number of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Which figure.
    pub figure: &'static str,
    /// Of which agency, purpose, rule, officer, class; empty where it has none.
    pub key: String,
    /// What is counted.
    pub count: &'static str,
    /// The number.
    pub number: u64,
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn number(&mut self, figure: &'static str, key: &str, count: &'static str, number: u64) {
        self.0.push(Row { figure, key: key.to_owned(), count, number });
    }

    fn counts(&mut self, figure: &'static str, key: &str, counts: Counts) {
        self.number(figure, key, "granted", counts.granted);
        self.number(figure, key, "refused", counts.refused);
        self.number(figure, key, "waiting", counts.waiting);
    }

    fn share(&mut self, figure: &'static str, share: Share) {
        self.number(figure, "", "part", share.part);
        self.number(figure, "", "of", share.of);
    }
}

/// Everything that is counted request by request.
#[derive(Default)]
struct Table {
    requests: Counts,
    agencies: BTreeMap<Party, Counts>,
    behalf: BTreeMap<Party, Counts>,
    purposes: BTreeMap<&'static str, Counts>,
    rules: BTreeMap<String, Counts>,
    officers: BTreeMap<Officer, Counts>,
    off_hours: Share,
    judicial: Share,
    emergencies: Counts,
    disclosed: Share,
    reads_opened: u64,
}

impl Table {
    fn add(&mut self, logs: &Logs, period: Period, zone: ZoneOffset, request: &crate::logs::RequestState) {
        let (Some(word), Some(at)) = (request.first_word(), request.time()) else { return };
        if !period.holds(at) {
            return;
        }
        let decision = decision_of(logs, request);
        let stated = &word.stated;
        let agency = Party::of(logs, stated.requester);
        self.requests.add(decision);
        if stated.on_behalf_of != stated.requester {
            count(&mut self.behalf, Party::of(logs, stated.on_behalf_of), decision);
        }
        count(&mut self.purposes, Purpose::name(stated.purpose), decision);
        for rule in deciding_rules(request, decision) {
            count(&mut self.rules, rule.clone(), decision);
        }
        count(&mut self.officers, Officer { agency: agency.clone(), pseudonym: b64url(&word.officer) }, decision);
        count(&mut self.agencies, agency, decision);
        let hour = zone.hour(at);
        self.off_hours.add(!(NIGHT_TO..NIGHT_FROM).contains(&hour));
        self.judicial.add(word.judicial);
        if stated.emergency {
            self.emergencies.add(decision);
        }
        if decision == Decision::Granted {
            let last = request.disclosures().iter().rev().find(|(desk, _)| *desk == stated.requester);
            self.disclosed.add(last.is_some());
            let cells = last.map_or(0, |(_, said)| said.entry.cells);
            self.reads_opened = self.reads_opened.saturating_add(cells);
        }
    }
}

fn most_first<K: Ord>(table: BTreeMap<K, Counts>) -> Vec<Line<K>> {
    let mut lines: Vec<Line<K>> = table.into_iter().map(|(key, counts)| Line { key, counts }).collect();
    // Stable: equal counts stay in order of the key.
    lines.sort_by_key(|line| core::cmp::Reverse(line.counts.all()));
    lines
}

fn epochs(logs: &Logs, period: Period) -> Epochs {
    let mut counts = Epochs::default();
    let tick = |counter: &mut u64, counts: bool| *counter = counter.saturating_add(u64::from(counts));
    for epoch in logs.epochs().values() {
        tick(&mut counts.dealt, epoch.dealing().is_some_and(|said| period.holds(said.time)));
        tick(&mut counts.closed, epoch.closings().first().is_some_and(|said| period.holds(said.time)));
        tick(&mut counts.destroyed, epoch.dead_since().is_some_and(|time| period.holds(time)));
    }
    counts
}

fn destruction(logs: &Logs, period: Period, now: Timestamp) -> Destruction {
    let mut counts = Destruction::default();
    let tick = |counter: &mut u64, counts: bool| *counter = counter.saturating_add(u64::from(counts));
    for epoch in logs.epochs().values() {
        let Some(due) = epoch.dealing().map(|said| said.entry.destroy_after) else { continue };
        if due > now || !period.holds(due) {
            continue;
        }
        let deadline = Timestamp(due.0.saturating_add(DESTROY_SECONDS));
        for keeper in epoch.keepers_with_receipt() {
            let destroyed = epoch.destruction(keeper);
            tick(&mut counts.due, true);
            tick(&mut counts.destroyed, destroyed.is_some());
            tick(&mut counts.late, destroyed.is_some_and(|one| one.time >= deadline));
            tick(&mut counts.overdue, destroyed.is_none() && now >= deadline);
        }
    }
    counts
}

#[cfg(test)]
mod tests;

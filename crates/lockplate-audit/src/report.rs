//! The figures of a month or of all time, as the transparency report prints them. Every ratio comes with the two counts it is made of, and
//! nothing is in here that the logs do not say. Figures are what parties state; what is wrong with their statements is the monitor's part.

use std::collections::BTreeMap;

use lockplate_core::Timestamp;
use lockplate_core::entry::{CanaryResult, Disposition, EntryAge, ListAge, ListClass, ListKind};
use lockplate_core::id::b64url;
use lockplate_core::vocabulary::Purpose;
use serde::Serialize;

use crate::logs::{Logs, RequestState};
use crate::monitor::{PAPER_SECONDS, STALE_SECONDS, destruction_deadline};
use crate::register::{Counts, Decision, Epochs, Party, cameras, count, deciding_rules, decision_of, paper};
use crate::time::{self, Period, ZoneOffset};

/// First hour of the night, by the clocks of people.
pub const NIGHT_FROM: u8 = 22;
/// First hour of the day.
pub const NIGHT_TO: u8 = 6;

/// Numbers below it are not told by themselves where a class is about persons.
const FEW: u64 = 5;

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

    fn add(&mut self, counts: bool) {
        self.add_many(counts, 1);
    }

    fn add_many(&mut self, counts: bool, number: u64) {
        self.of = self.of.saturating_add(number);
        self.part = self.part.saturating_add(if counts { number } else { 0 });
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

/// Papers of emergencies that were granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Papers {
    /// Filed by their deadline.
    pub filed: u64,
    /// Filed after it.
    pub late: u64,
    /// Not filed, and not yet due.
    pub open: u64,
    /// Not filed, and over their deadline.
    pub overdue: u64,
}

/// Entries of hot lists of one class, over all loads of the period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListClassLine {
    /// The class.
    pub class: &'static str,
    /// Loads that had the class.
    pub loads: u64,
    /// Entries received, as far as the log says it: loaded, dropped or refused. Lines of one file for the same plate and state count
    /// once, and removals are no entries.
    pub received: u64,
    /// Of them, loaded: of a complete file those in the list after it, of one that says what changes the new ones.
    pub loaded: u64,
    /// Of them, dropped because the policy does not let the class in.
    pub dropped: u64,
    /// Of them, refused one by one.
    pub refused: u64,
    /// New entries.
    pub added: u64,
    /// Entries that went.
    pub removed: u64,
}

/// A number as it is shown: of a class that is about persons, one from 1 to 4 is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The number.
    Number(u64),
    /// 1 to 4.
    Few,
}

impl core::fmt::Display for Shown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Few => f.write_str("< 5"),
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => to.serialize_u64(*number),
            Self::Few => to.collect_str(self),
        }
    }
}

/// A number of alerts by what is told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertLine {
    /// Class of the entry; empty for alerts that were not raised.
    pub class: &'static str,
    /// How the read met the entry, why no alert was raised, or how the alert ended.
    pub what: &'static str,
    /// How many.
    pub alerts: Shown,
}

/// A number of alerts by an age in steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgeLine {
    /// The step.
    pub age: &'static str,
    /// How many.
    pub alerts: u64,
}

/// Alerts of the period, by the days that they fell on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Alerts {
    /// Days for which the recorder published counts.
    pub days: u64,
    /// Raised by hits at the cameras here, by class and match.
    pub raised: Vec<AlertLine>,
    /// All of them.
    pub raised_all: u64,
    /// Of the raised, those on other agencies' lists, which look at them.
    pub handed: Share,
    /// Raised at other agencies' cameras on lists of this one, and looked at here.
    pub taken: u64,
    /// Raised, by the age of the entry; youngest first.
    pub entry_ages: Vec<AgeLine>,
    /// The step in which the median of them lies; none without an alert.
    pub entry_age_median: Option<&'static str>,
    /// Raised, by the age of the list; youngest first.
    pub list_ages: Vec<AgeLine>,
    /// The step in which the median of them lies; none without an alert.
    pub list_age_median: Option<&'static str>,
    /// Not raised, by reason.
    pub suppressed: Vec<AlertLine>,
    /// Of those that officers here were to look at, those that they looked at.
    pub looked: Share,
    /// Of the looked at, those that were verified.
    pub verified: Share,
    /// Of those that officers here were to look at, those that expired because nobody did.
    pub expired: Share,
    /// Closed, by class and end.
    pub closed: Vec<AlertLine>,
    /// All of them.
    pub closed_all: u64,
    /// Of the closed, those on a misread plate.
    pub misread: Share,
    /// Of the closed, those on another state's plate.
    pub wrong_state: Share,
    /// Of the closed, those on an entry that was out of date.
    pub stale_entry: Share,
    /// Of the closed, those in which somebody was stopped.
    pub stopped: Share,
    /// Of the stops, those on an alert that was wrong: misread, another state, another vehicle, out of date.
    pub stopped_wrongly: Share,
    /// Not disposed of in time on the last of the days.
    pub overdue: u64,
}

/// Self-tests of the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SelfTests {
    /// Found what had been planted.
    pub found: u64,
    /// Did not find it.
    pub missed: u64,
    /// Could not be finished.
    pub error: u64,
}

/// What auditors and owners could look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Oversight {
    /// Reviews by auditors.
    pub reviews: u64,
    /// Entries that they opened.
    pub sampled: u64,
    /// Of them, entries that do not say what was asked.
    pub failed: u64,
    /// Openings erased since the logs began, by the keepers' counts.
    pub erased: u64,
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
    /// Papers of those that were granted.
    pub papers: Papers,
    /// Granted requests whose requester said what it opened.
    pub disclosed: Share,
    /// Reads opened, by the requesters' word.
    pub reads_opened: u64,
    /// Reads kept as evidence, by the requesters' word.
    pub reads_held: u64,
    /// Hot lists, by class.
    pub hot_lists: Vec<ListClassLine>,
    /// Alerts.
    pub alerts: Alerts,
    /// Self-tests.
    pub self_tests: SelfTests,
    /// Oversight.
    pub oversight: Oversight,
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
            table.add(logs, period, zone, now, request);
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
            papers: table.papers,
            disclosed: table.disclosed,
            reads_opened: table.reads_opened,
            reads_held: table.reads_held,
            hot_lists: hot_lists(logs, period),
            alerts: alerts(logs, period),
            self_tests: self_tests(logs, period),
            oversight: oversight(logs, period),
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
        rows.number("papers", "", "filed", self.papers.filed);
        rows.number("papers", "", "late", self.papers.late);
        rows.number("papers", "", "open", self.papers.open);
        rows.number("papers", "", "overdue", self.papers.overdue);
        rows.share("disclosed", self.disclosed);
        rows.number("reads_opened", "", "reads", self.reads_opened);
        rows.number("reads_held", "", "reads", self.reads_held);
        for line in &self.hot_lists {
            rows.number("hot_lists", line.class, "loads", line.loads);
            rows.number("hot_lists", line.class, "received", line.received);
            rows.number("hot_lists", line.class, "loaded", line.loaded);
            rows.number("hot_lists", line.class, "dropped", line.dropped);
            rows.number("hot_lists", line.class, "refused", line.refused);
            rows.number("hot_lists", line.class, "added", line.added);
            rows.number("hot_lists", line.class, "removed", line.removed);
        }
        rows.alerts(&self.alerts);
        rows.number("self_tests", "", "found", self.self_tests.found);
        rows.number("self_tests", "", "missed", self.self_tests.missed);
        rows.number("self_tests", "", "error", self.self_tests.error);
        rows.number("oversight", "", "reviews", self.oversight.reviews);
        rows.number("oversight", "", "sampled", self.oversight.sampled);
        rows.number("oversight", "", "failed", self.oversight.failed);
        rows.number("oversight", "", "erased", self.oversight.erased);
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
    pub number: Shown,
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn number(&mut self, figure: &'static str, key: &str, count: &'static str, number: u64) {
        self.shown(figure, key, count, Shown::Number(number));
    }

    fn shown(&mut self, figure: &'static str, key: &str, count: &'static str, number: Shown) {
        self.0.push(Row { figure, key: key.to_owned(), count, number });
    }

    fn counts(&mut self, figure: &'static str, key: &str, counts: Counts) {
        self.number(figure, key, "granted", counts.granted);
        self.number(figure, key, "refused", counts.refused);
        self.number(figure, key, "waiting", counts.waiting);
    }

    fn alerts(&mut self, alerts: &Alerts) {
        self.number("alerts", "", "days", alerts.days);
        self.number("alerts", "", "overdue", alerts.overdue);
        let kinds = [
            ("alerts_raised", &alerts.raised),
            ("alerts_suppressed", &alerts.suppressed),
            ("alerts_closed", &alerts.closed),
        ];
        for (figure, lines) in kinds {
            for line in lines {
                self.shown(figure, line.class, line.what, line.alerts);
            }
        }
        self.number("alerts_raised_all", "", "alerts", alerts.raised_all);
        self.number("alerts_taken", "", "alerts", alerts.taken);
        self.number("alerts_closed_all", "", "alerts", alerts.closed_all);
        self.share("alerts_handed", alerts.handed);
        self.share("alerts_looked", alerts.looked);
        self.share("alerts_verified", alerts.verified);
        self.share("alerts_expired", alerts.expired);
        for (figure, lines) in [("entry_age", &alerts.entry_ages), ("list_age", &alerts.list_ages)] {
            for line in lines {
                self.number(figure, line.age, "alerts", line.alerts);
            }
        }
        self.share("misread", alerts.misread);
        self.share("wrong_state", alerts.wrong_state);
        self.share("stale_entry", alerts.stale_entry);
        self.share("stopped", alerts.stopped);
        self.share("stopped_wrongly", alerts.stopped_wrongly);
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
    papers: Papers,
    disclosed: Share,
    reads_opened: u64,
    reads_held: u64,
}

impl Table {
    fn add(&mut self, logs: &Logs, period: Period, zone: ZoneOffset, now: Timestamp, request: &RequestState) {
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
            if decision == Decision::Granted {
                self.papers.add(request, at, now);
            }
        }
        for (_, said) in request.holds() {
            self.reads_held = self.reads_held.saturating_add(said.entry.cells);
        }
        if decision == Decision::Granted {
            let last = request.disclosures().iter().rev().find(|(desk, _)| *desk == stated.requester);
            self.disclosed.add(last.is_some());
            let cells = last.map_or(0, |(_, said)| said.entry.cells);
            self.reads_opened = self.reads_opened.saturating_add(cells);
        }
    }
}

impl Papers {
    fn add(&mut self, request: &RequestState, at: Timestamp, now: Timestamp) {
        let paper = paper(request);
        let usual = Timestamp(at.0.saturating_add(PAPER_SECONDS));
        let deadline = paper.map_or(usual, |paper| paper.deadline);
        let counter = match paper.and_then(|paper| paper.filed) {
            Some(filed) if filed <= deadline => &mut self.filed,
            Some(_) => &mut self.late,
            None if now < deadline => &mut self.open,
            None => &mut self.overdue,
        };
        *counter = counter.saturating_add(1);
    }
}

fn most_first<K: Ord>(table: BTreeMap<K, Counts>) -> Vec<Line<K>> {
    let mut lines: Vec<Line<K>> = table.into_iter().map(|(key, counts)| Line { key, counts }).collect();
    // Stable: equal counts stay in order of the key.
    lines.sort_by_key(|line| core::cmp::Reverse(line.counts.all()));
    lines
}

fn hot_lists(logs: &Logs, period: Period) -> Vec<ListClassLine> {
    let mut lines: BTreeMap<&'static str, ListClassLine> = BTreeMap::new();
    let loads = logs.recorder().lists().flat_map(|(_, changes)| changes).filter(|said| period.holds(said.time));
    for (kind, one) in loads.flat_map(|said| said.entry.classes.iter().map(|one| (said.entry.kind, one))) {
        // What an incremental file leaves as it was did not come with it.
        let loaded = if kind == ListKind::Full { one.accepted } else { one.added };
        let class = one.class.name();
        let line = lines.entry(class).or_insert_with(|| ListClassLine {
            class,
            loads: 0,
            received: 0,
            loaded: 0,
            dropped: 0,
            refused: 0,
            added: 0,
            removed: 0,
        });
        let add = |counter: &mut u64, number: u64| *counter = counter.saturating_add(number);
        add(&mut line.loads, 1);
        for number in [loaded, one.dropped, one.refused] {
            add(&mut line.received, number);
        }
        add(&mut line.loaded, loaded);
        add(&mut line.dropped, one.dropped);
        add(&mut line.refused, one.refused);
        add(&mut line.added, one.added);
        add(&mut line.removed, one.removed);
    }
    lines.into_values().collect()
}

fn alerts(logs: &Logs, period: Period) -> Alerts {
    let mut alerts = Alerts::default();
    let (mut raised, mut suppressed, mut closed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut entry_ages, mut list_ages) = (BTreeMap::new(), BTreeMap::new());
    let more = |counter: &mut u64, number: u64| *counter = counter.saturating_add(number);
    for said in logs.recorder().alert_days().iter().filter(|said| period.holds(said.entry.day.begin())) {
        let leaf = &said.entry;
        alerts.days = alerts.days.saturating_add(1);
        alerts.overdue = leaf.overdue;
        for one in &leaf.raised {
            tally(&mut raised, (Some(one.class), one.matched.name()), one.n);
            more(&mut alerts.raised_all, one.n);
        }
        more(&mut alerts.handed.part, leaf.handed);
        more(&mut alerts.taken, leaf.taken);
        leaf.entry_ages.iter().for_each(|one| more(entry_ages.entry(one.age).or_default(), one.n));
        leaf.list_ages.iter().for_each(|one| more(list_ages.entry(one.age).or_default(), one.n));
        for one in &leaf.suppressed {
            tally(&mut suppressed, (None, one.reason.name()), one.n);
        }
        more(&mut alerts.looked.part, leaf.looked);
        more(&mut alerts.verified.part, leaf.verified);
        more(&mut alerts.expired.part, leaf.expired);
        for one in &leaf.closed {
            tally(&mut closed, (Some(one.class), one.disposition.name()), one.n);
            more(&mut alerts.closed_all, one.n);
            let is = |disposition| one.disposition == disposition;
            let (misread, state, stale) =
                (is(Disposition::Misread), is(Disposition::WrongState), is(Disposition::StaleEntry));
            alerts.misread.add_many(misread, one.n);
            alerts.wrong_state.add_many(state, one.n);
            alerts.stale_entry.add_many(stale, one.n);
            alerts.stopped.add_many(one.stopped, one.n);
            if one.stopped {
                alerts.stopped_wrongly.add_many(misread || state || stale || is(Disposition::WrongVehicle), one.n);
            }
        }
    }
    alerts.raised = alert_lines(raised);
    alerts.suppressed = alert_lines(suppressed);
    alerts.closed = alert_lines(closed);
    alerts.handed.of = alerts.raised_all;
    // What is other agencies' is not looked at here.
    let to_look_at = alerts.raised_all.saturating_sub(alerts.handed.part).saturating_add(alerts.taken);
    (alerts.looked.of, alerts.expired.of, alerts.verified.of) = (to_look_at, to_look_at, alerts.looked.part);
    let age_lines = |lines: Vec<(&'static str, u64)>| {
        let median = median(&lines);
        (lines.into_iter().map(|(age, alerts)| AgeLine { age, alerts }).collect(), median)
    };
    (alerts.entry_ages, alerts.entry_age_median) =
        age_lines(entry_ages.into_iter().map(|(age, n): (EntryAge, u64)| (age.name(), n)).collect());
    (alerts.list_ages, alerts.list_age_median) =
        age_lines(list_ages.into_iter().map(|(age, n): (ListAge, u64)| (age.name(), n)).collect());
    alerts
}

/// The step in which the median lies, of steps in order; of an even number the lower one.
fn median(steps: &[(&'static str, u64)]) -> Option<&'static str> {
    let all = steps.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
    let mut below = 0_u64;
    let mut steps = steps.iter().filter(|(_, n)| *n > 0);
    steps
        .find(|(_, n)| {
            below = below.saturating_add(*n);
            below >= all.div_ceil(2)
        })
        .map(|(name, _)| *name)
}

type Tally = BTreeMap<(Option<ListClass>, &'static str), u64>;

fn tally(table: &mut Tally, key: (Option<ListClass>, &'static str), number: u64) {
    let counter = table.entry(key).or_default();
    *counter = counter.saturating_add(number);
}

fn alert_lines(table: Tally) -> Vec<AlertLine> {
    let line = |((class, what), n): ((Option<ListClass>, &'static str), u64)| {
        let is_few = (1..FEW).contains(&n) && class.is_some_and(ListClass::is_of_persons);
        let alerts = if is_few { Shown::Few } else { Shown::Number(n) };
        AlertLine { class: class.map_or("", ListClass::name), what, alerts }
    };
    let mut lines: Vec<AlertLine> = table.into_iter().map(line).collect();
    lines.sort_by_key(|line| (line.class, line.what));
    lines
}

fn self_tests(logs: &Logs, period: Period) -> SelfTests {
    let mut counts = SelfTests::default();
    for said in logs.recorder().self_tests().iter().filter(|said| period.holds(said.time)) {
        let counter = match said.entry.result {
            CanaryResult::Found => &mut counts.found,
            CanaryResult::Missed => &mut counts.missed,
            CanaryResult::Error => &mut counts.error,
        };
        *counter = counter.saturating_add(1);
    }
    counts
}

fn oversight(logs: &Logs, period: Period) -> Oversight {
    let mut counts = Oversight::default();
    for (_, state) in logs.keeper_logs() {
        counts.erased = counts.erased.saturating_add(state.openings().erased_openings());
        for said in state.openings().reviews().iter().filter(|said| period.holds(said.time)) {
            counts.reviews = counts.reviews.saturating_add(1);
            counts.sampled = counts.sampled.saturating_add(said.entry.sampled);
            counts.failed = counts.failed.saturating_add(said.entry.failed);
        }
    }
    counts
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
        let Some(dealt) = epoch.dealing().map(|said| &said.entry) else { continue };
        let due = dealt.destroy_after;
        if due > now || !period.holds(due) {
            continue;
        }
        let deadline = destruction_deadline(dealt);
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

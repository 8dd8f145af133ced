//! Alerts in `agency.db`. In clear stand id, list, kind, class, match, purpose of the list, minute, state, deadlines and counts; everything
//! else is sealed. No row names plate, case, entry or, of a single alert, its camera. The counts of a day are one row, in the form of
//! their leaf, changed in the transaction of what they count: a restart goes on with them.

use std::collections::BTreeMap;

use lockplate_core::Timestamp;
use lockplate_core::entry::{AlertsLeaf, Day, Disposition, ListClass, MatchKind, Suppression};
use lockplate_core::hotlist::alert::{AlertRecord, AlertState, Closing, StepKind};
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::hotlist::tally::{Ages, DayTally, MisreadRate};
use lockplate_core::json::{Field as _, parse_canonical, time_text};
use lockplate_core::vocabulary::Purpose;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::db::{Db, DbError, DbErrorKind};

/// What follows the tables of the agency before it.
pub(crate) const MIGRATION: &str = "
CREATE TABLE alert (number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, list BLOB NOT NULL, kind INTEGER NOT NULL,
    class TEXT NOT NULL, matched TEXT NOT NULL, purpose TEXT NOT NULL, own INTEGER NOT NULL, live INTEGER NOT NULL,
    raised_at INTEGER NOT NULL, look_by INTEGER NOT NULL, dispose_by INTEGER NOT NULL, state INTEGER NOT NULL, officer BLOB,
    disposition TEXT, stopped INTEGER NOT NULL, verified INTEGER NOT NULL, state_at INTEGER, erase_at INTEGER,
    count INTEGER NOT NULL, escalated INTEGER NOT NULL, overdue INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;
CREATE INDEX alert_open ON alert (state, number);
CREATE INDEX alert_erase ON alert (erase_at);
CREATE TABLE alert_step (alert INTEGER NOT NULL REFERENCES alert (number) ON DELETE CASCADE, kind INTEGER NOT NULL,
    signed BLOB NOT NULL, said BLOB NOT NULL, decision BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (alert, kind)) STRICT;
CREATE TABLE alert_opening (alert INTEGER NOT NULL REFERENCES alert (number) ON DELETE CASCADE, officer BLOB NOT NULL,
    decision BLOB NOT NULL, allowed INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX alert_opening_of ON alert_opening (alert);
CREATE TABLE alert_month (camera INTEGER NOT NULL, month TEXT NOT NULL, alerts INTEGER NOT NULL, misread INTEGER NOT NULL,
    PRIMARY KEY (camera, month)) STRICT;
CREATE TABLE alert_day (day INTEGER PRIMARY KEY, counts BLOB NOT NULL, logged INTEGER NOT NULL) STRICT;
";

/// Alerts go from one agency to another, and a day's leaf says more. A day that is being counted goes on with what it has.
pub(crate) const MIGRATION_SHARED: &str = "
ALTER TABLE alert ADD COLUMN handed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;
CREATE INDEX alert_handed ON alert (list, number) WHERE own = 0 AND handed = 0;
UPDATE alert_day SET counts = CAST(json_object(
        'closed', json_extract(CAST(counts AS TEXT), '$.closed'), 'day', json_extract(CAST(counts AS TEXT), '$.day'),
        'entry_ages', json('[]'), 'expired', 0, 'handed', 0, 'list_ages', json('[]'), 'looked', 0,
        'overdue', json_extract(CAST(counts AS TEXT), '$.overdue'), 'raised', json_extract(CAST(counts AS TEXT), '$.raised'),
        'suppressed', json_extract(CAST(counts AS TEXT), '$.suppressed'), 'taken', 0, 'verified', 0) AS BLOB)
    WHERE logged = 0;
";

/// Each alert has the number of its last change, by which a terminal that was away says what it saw; and what was looked at and never
/// closed ends as well.
pub(crate) const MIGRATION_CHANGES: &str = "
CREATE TABLE alert_change (number INTEGER PRIMARY KEY AUTOINCREMENT,
    alert INTEGER NOT NULL UNIQUE REFERENCES alert (number) ON DELETE CASCADE) STRICT;
INSERT INTO alert_change (number, alert) SELECT number, number FROM alert ORDER BY number;
UPDATE alert SET erase_at = dispose_by + 2592000 WHERE state IN (1, 2, 3) AND erase_at IS NULL;
";

/// Alerts that a list or a stream shows at once.
pub(super) const SHOWN_MAX: u32 = 1_000;
/// Alerts that are handed over at once, and bytes of them; whoever fetches comes again for the others.
const HANDED_MAX: u32 = 32;
const HANDED_BYTES_MAX: usize = 1024 * 1024;
/// Alerts of other recorders in 24 hours: several times what a large city's own cameras raise.
const TAKEN_A_DAY_MAX: i64 = 20_000;
/// Alerts that one look at the clock changes; the next look takes the others.
const CHANGED_MAX: u32 = 1_000;
/// Days of counts that are kept after their leaf, and months of misreads, s.
const COUNTS_KEPT_SECONDS: u64 = 400 * 86_400;

/// Of the second in which an alert was raised its minute is known: what must not come too early waits for the last one, s.
const MINUTE_REST: u64 = 59;

const COLUMNS: &str = "number, id, list, kind, class, matched, purpose, own, live, raised_at, state, officer, disposition, stopped, \
                       verified, state_at, count, taken,
                       (SELECT c.number FROM alert_change c WHERE c.alert = alert.number) AS change,
                       CASE state WHEN 0 THEN escalated WHEN 1 THEN overdue WHEN 2 THEN overdue WHEN 3 THEN overdue ELSE 0 END AS late";

/// An alert without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AlertRow {
    pub(super) number: u64,
    /// Number of its last change that was told; over all alerts, and none comes twice.
    pub(super) change: u64,
    /// It was said that nobody has looked, or how it ended.
    pub(super) late: bool,
    pub(super) record: AlertRecord,
    pub(super) purpose: Purpose,
    /// Sealed to the own key.
    pub(super) own: bool,
    /// Raised at another agency's recorder: its cameras have numbers of their own.
    pub(super) taken: bool,
    pub(super) count: u64,
}

/// An alert to be stored.
#[derive(Clone)]
pub(super) struct NewAlert {
    pub(super) record: AlertRecord,
    pub(super) purpose: Purpose,
    pub(super) own: bool,
    /// Camera that was passed, and how old entry and list were; none of an alert that was raised elsewhere.
    pub(super) here: Option<(u32, Ages)>,
    pub(super) count: u64,
    pub(super) sealed: Vec<u8>,
}

/// An alert on another agency's list, as that agency fetches it.
pub(super) struct ToHand {
    pub(super) id: [u8; 16],
    pub(super) count: u64,
    pub(super) sealed: Vec<u8>,
}

/// What a batch of sightings comes to.
#[derive(Clone, Default)]
pub(super) struct Sightings {
    pub(super) alerts: Vec<NewAlert>,
    /// Alerts that were hit once more.
    pub(super) again: Vec<[u8; 16]>,
    pub(super) suppressed: BTreeMap<Suppression, u64>,
}

/// A step to be stored, and what it counts.
pub(super) struct NewStep {
    /// The alert after it.
    pub(super) record: AlertRecord,
    pub(super) kind: StepKind,
    pub(super) signed: Vec<u8>,
    pub(super) said: Vec<u8>,
    pub(super) decision: [u8; 32],
    pub(super) erase_at: Option<Timestamp>,
    pub(super) closing: Option<Closing>,
    /// The camera that misread, if one did.
    pub(super) misread: Option<u32>,
}

/// A step that was taken.
pub(super) struct StepRow {
    pub(super) kind: StepKind,
    pub(super) signed: Vec<u8>,
    pub(super) said: Vec<u8>,
    pub(super) at: Timestamp,
}

/// What the clock did.
#[derive(Debug, Default)]
pub(super) struct Ticked {
    /// Nobody has looked at these.
    pub(super) escalate: Vec<AlertRow>,
    pub(super) expired: u64,
    /// Of other agencies' lists: nobody fetched them in time.
    pub(super) unfetched: u64,
    /// Looked at, and nobody said in time how they ended.
    pub(super) overdue: Vec<AlertRow>,
}

/// An alert that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) number: u64,
    pub(super) change: u64,
}

/// Numbers for whoever watches over the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) raised: u64,
    pub(super) waiting: u64,
    pub(super) expired: u64,
    pub(super) overdue: u64,
    pub(super) to_hand: u64,
}

/// The tables. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct AlertStore(pub(super) Db);

impl AlertStore {
    pub(super) const fn new(db: Db) -> Self {
        Self(db)
    }

    /// Stores alerts and counts, all or none. The numbers of each alert, in order.
    pub(super) async fn sighted(&self, sightings: Sightings, now: Timestamp) -> Result<Vec<Stored>, DbError> {
        self.0
            .transaction(move |db| {
                let mut numbers = Vec::new();
                for alert in &sightings.alerts {
                    numbers.push(insert(db, alert)?);
                    // What comes of another agency's alert is not known here, so it says nothing of the camera.
                    if let (Some((camera, _)), true) = (alert.here, alert.own) {
                        db.execute(
                            "INSERT INTO alert_month (camera, month, alerts, misread) VALUES (?1, ?2, 1, 0)
                             ON CONFLICT (camera, month) DO UPDATE SET alerts = alerts + 1",
                            params![camera, month(alert.record.raised_at)],
                        )?;
                    }
                }
                for alert in &sightings.again {
                    db.execute("UPDATE alert SET count = count + 1 WHERE id = ?1", [alert])?;
                }
                tally(db, now, |tally| {
                    sightings.alerts.iter().for_each(|new| count_new(tally, new));
                    sightings.again.iter().for_each(|_| tally.repeated());
                    sightings.suppressed.iter().for_each(|(reason, n)| tally.suppressed(*reason, *n));
                })?;
                Ok(numbers)
            })
            .await
    }

    /// Takes over alerts that another recorder handed over, all or none. The numbers of each in order; none of one that is here already.
    /// Nothing at all if too many came in a day: another agency's machine must not fill this one's disk.
    pub(super) async fn take(
        &self,
        alerts: Vec<NewAlert>,
        now: Timestamp,
    ) -> Result<Option<Vec<Option<Stored>>>, DbError> {
        self.0
            .transaction(move |db| {
                let since = integer(now.0.saturating_sub(86_400))?;
                let sql = "SELECT count(*) FROM alert WHERE taken = 1 AND raised_at > ?1";
                let taken: i64 = db.query_row(sql, [since], |row| row.get(0))?;
                if taken >= TAKEN_A_DAY_MAX {
                    return Ok(None);
                }
                let mut numbers = Vec::new();
                for alert in &alerts {
                    let id = alert.record.alert;
                    let known = db.query_row("SELECT 1 FROM alert WHERE id = ?1", [id], |_| Ok(())).optional()?;
                    numbers.push(match known {
                        Some(()) => None,
                        None => Some(insert(db, alert)?),
                    });
                }
                tally(db, now, |tally| {
                    let new = alerts.iter().zip(&numbers).filter(|(_, number)| number.is_some());
                    new.for_each(|(alert, _)| count_new(tally, alert));
                })?;
                Ok(Some(numbers))
            })
            .await
    }

    /// What waits for the agency whose list it is, oldest first. It has `after` and everything before: their content is erased, and what
    /// is left of them goes with time.
    pub(super) async fn hand_over(&self, list: [u8; 16], after: [u8; 16]) -> Result<Vec<ToHand>, DbError> {
        self.0
            .transaction(move |db| {
                let find = "SELECT number FROM alert WHERE id = ?1 AND list = ?2 AND own = 0";
                let last: Option<i64> = db.query_row(find, params![after, list], |row| row.get(0)).optional()?;
                if let Some(last) = last {
                    db.execute(
                        "UPDATE alert SET handed = 1, sealed = zeroblob(0)
                         WHERE list = ?1 AND own = 0 AND handed = 0 AND number <= ?2",
                        params![list, last],
                    )?;
                }
                let mut rows = db.prepare_cached(
                    "SELECT id, count, sealed FROM alert WHERE list = ?1 AND own = 0 AND handed = 0 ORDER BY number LIMIT ?2",
                )?;
                let mut found = rows.query(params![list, HANDED_MAX])?;
                let (mut waiting, mut bytes) = (Vec::new(), 0_usize);
                while bytes < HANDED_BYTES_MAX
                    && let Some(row) = found.next()?
                {
                    let one = ToHand { id: row.get(0)?, count: unsigned(row.get(1)?), sealed: row.get(2)? };
                    bytes = bytes.saturating_add(one.sealed.len());
                    waiting.push(one);
                }
                Ok(waiting)
            })
            .await
    }

    /// Own alerts of cameras here since a moment, oldest first; of very many the newest.
    pub(super) async fn raised_since(&self, since: Timestamp) -> Result<Vec<AlertRow>, DbError> {
        let newest = "own = 1 AND taken = 0 AND raised_at >= ?1 ORDER BY number DESC";
        let mut rows = self.rows(newest, since.0).await?;
        rows.reverse();
        Ok(rows)
    }

    /// Own alerts that wait: first those for a look, then those for a disposition, each oldest first.
    pub(super) async fn waiting(&self) -> Result<Vec<AlertRow>, DbError> {
        self.rows("state <= 3 AND own = 1 AND number > ?1 ORDER BY state > 0, number", 0).await
    }

    /// What a terminal is told at first, by last change, and the number of the last change of all: without a number, or with one that no
    /// change has yet, what somebody is to look at; with one, the present state of everything of which something was told since.
    pub(super) async fn news(&self, seen: Option<u64>) -> Result<(Vec<AlertRow>, u64), DbError> {
        self.0
            .call(move |db| {
                let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'alert_change'";
                let last = unsigned(db.query_row(sql, [], |row| row.get(0))?);
                let (condition, after) = match seen.filter(|seen| *seen <= last) {
                    None => ("state = 0 AND own = 1 AND live = 1 AND change > ?1 ORDER BY change", 0),
                    Some(seen) => (
                        "number IN (SELECT c.alert FROM alert_change c WHERE c.number > ?1) AND own = 1
                          AND (live = 1 OR state BETWEEN 1 AND 4) ORDER BY change",
                        seen,
                    ),
                };
                Ok((rows(db, condition, integer(after)?, SHOWN_MAX)?, last))
            })
            .await
    }

    async fn rows(&self, condition: &'static str, after: u64) -> Result<Vec<AlertRow>, DbError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.0.call(move |db| rows(db, condition, after, SHOWN_MAX)).await
    }

    /// One own alert with its sealed content.
    pub(super) async fn own(&self, id: [u8; 16]) -> Result<Option<(AlertRow, Vec<u8>)>, DbError> {
        self.0
            .call(move |db| {
                let sql = format!("SELECT {COLUMNS}, sealed FROM alert WHERE id = ?1 AND own = 1");
                Ok(db.query_row(&sql, [id], |row| Ok((row_of(row)?, row.get("sealed")?))).optional()?)
            })
            .await
    }

    /// Notes who was shown an alert, or was not.
    pub(super) async fn opened(
        &self,
        number: u64,
        officer: [u8; 32],
        (allowed, decision): (bool, [u8; 32]),
        now: Timestamp,
    ) -> Result<(), DbError> {
        self.0
            .transaction(move |db| {
                db.execute(
                    "INSERT INTO alert_opening (alert, officer, decision, allowed, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![integer(number)?, officer, decision, allowed, integer(now.0)?],
                )?;
                Ok(())
            })
            .await
    }

    /// Steps of an alert, in their order.
    pub(super) async fn steps(&self, number: u64) -> Result<Vec<StepRow>, DbError> {
        self.0
            .call(move |db| {
                let sql = "SELECT kind, signed, said, at FROM alert_step WHERE alert = ?1 ORDER BY kind";
                let mut rows = db.prepare_cached(sql)?;
                let steps = rows.query_map([integer(number)?], |row| {
                    let kind = match row.get::<_, i64>("kind")? {
                        1 => StepKind::Look,
                        2 => StepKind::LiveCheck,
                        3 => StepKind::Close,
                        code => return Err(rusqlite::Error::IntegralValueOutOfRange(0, code)),
                    };
                    let at = time_of(row.get("at")?);
                    Ok(StepRow { kind, signed: row.get("signed")?, said: row.get("said")?, at })
                })?;
                Ok(steps.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Stores a step with everything that it counts; the number of the change.
    ///
    /// # Errors
    /// [`DbErrorKind::NoRow`] if the alert is gone; others as they are.
    pub(super) async fn step(&self, number: u64, step: NewStep, now: Timestamp) -> Result<u64, DbError> {
        self.0
            .transaction(move |db| {
                let kind = match step.kind {
                    StepKind::Look => 1,
                    StepKind::LiveCheck => 2,
                    StepKind::Close => 3,
                };
                db.execute(
                    "INSERT INTO alert_step (alert, kind, signed, said, decision, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![integer(number)?, kind, step.signed, step.said, step.decision, integer(now.0)?],
                )?;
                set_state(db, number, &step.record, step.erase_at)?;
                if let Some(camera) = step.misread {
                    db.execute(
                        "UPDATE alert_month SET misread = misread + 1 WHERE camera = ?1 AND month = ?2",
                        params![camera, month(step.record.raised_at)],
                    )?;
                }
                tally(db, now, |tally| match (step.kind, step.closing) {
                    (StepKind::Look, _) => tally.looked(),
                    (StepKind::LiveCheck, _) if step.record.state == AlertState::Verified => tally.verified(),
                    (StepKind::Close, Some(closing)) => tally.closed(step.record.class, closing),
                    (StepKind::LiveCheck | StepKind::Close, _) => {}
                })?;
                changed(db, number)
            })
            .await
    }

    /// What time alone does: expires, escalates after so many seconds, counts what is overdue, erases.
    pub(super) async fn tick(&self, now: Timestamp, escalate_seconds: u64) -> Result<Ticked, DbError> {
        self.0
            .transaction(move |db| {
                let at = integer(now.0)?;
                let mut ticked = Ticked::default();
                for row in rows(db, "state = 0 AND look_by <= ?1", at, CHANGED_MAX)? {
                    let record = row.record.at(now);
                    set_state(db, row.number, &record, record.erase_at(None))?;
                    if row.own {
                        ticked.expired = ticked.expired.saturating_add(1);
                    }
                }
                // The agency whose list it is may be late; what it fetches now is expired there too.
                let unfetched = "own = 0 AND handed = 0 AND escalated = 0 AND look_by <= ?1";
                for row in rows(db, unfetched, at, CHANGED_MAX)? {
                    db.execute("UPDATE alert SET escalated = 1 WHERE number = ?1", [integer(row.number)?])?;
                    ticked.unfetched = ticked.unfetched.saturating_add(1);
                }
                let since = integer(now.0.saturating_sub(escalate_seconds).saturating_sub(MINUTE_REST))?;
                let unseen = "state = 0 AND live = 1 AND own = 1 AND escalated = 0 AND raised_at <= ?1";
                ticked.escalate = rows(db, unseen, since, CHANGED_MAX)?;
                for row in &mut ticked.escalate {
                    db.execute("UPDATE alert SET escalated = 1 WHERE number = ?1", [integer(row.number)?])?;
                    (row.change, row.late) = (changed(db, row.number)?, true);
                }
                let waits = "state IN (1, 2, 3) AND overdue = 0 AND dispose_by <= ?1";
                ticked.overdue = rows(db, waits, at, CHANGED_MAX)?;
                ticked.overdue.retain(|row| row.record.is_overdue(now));
                for row in &mut ticked.overdue {
                    db.execute("UPDATE alert SET overdue = 1 WHERE number = ?1", [integer(row.number)?])?;
                    (row.change, row.late) = (changed(db, row.number)?, true);
                }
                // The row of the day is there even if it stays empty: a day without alerts has a leaf too.
                tally(db, now, |tally| {
                    tally.overdue(u64::try_from(ticked.overdue.len()).unwrap_or(u64::MAX));
                    tally.expired(ticked.expired);
                })?;
                db.execute(
                    "DELETE FROM alert WHERE number IN (SELECT number FROM alert WHERE erase_at <= ?1 LIMIT ?2)",
                    params![at, CHANGED_MAX],
                )?;
                let before = Timestamp(now.0.saturating_sub(COUNTS_KEPT_SECONDS));
                db.execute("DELETE FROM alert_month WHERE month < ?1", [month(before)])?;
                db.execute("DELETE FROM alert_day WHERE logged = 1 AND day < ?1", [integer(before.0)?])?;
                Ok(ticked)
            })
            .await
    }

    /// Counts of days that are over and have no leaf yet, oldest first.
    pub(super) async fn unlogged(&self, now: Timestamp) -> Result<Vec<AlertsLeaf>, DbError> {
        self.0
            .call(move |db| {
                let mut rows =
                    db.prepare_cached("SELECT counts FROM alert_day WHERE logged = 0 AND day < ?1 ORDER BY day")?;
                let counts = rows.query_map([integer(Day::of(now).begin().0)?], |row| row.get::<_, Vec<u8>>(0))?;
                counts.map(|counts| leaf_of(&counts?)).collect()
            })
            .await
    }

    /// The leaf of a day is in the log: its counts are final.
    pub(super) async fn logged(&self, day: Day) -> Result<(), DbError> {
        self.0
            .transaction(move |db| {
                db.execute("UPDATE alert_day SET logged = 1 WHERE day = ?1", [integer(day.begin().0)?])?;
                Ok(())
            })
            .await
    }

    pub(super) async fn counts(&self) -> Result<Counts, DbError> {
        self.0
            .call(|db| {
                let sql =
                    "SELECT count(*) FILTER (WHERE own = 1 AND state = 0), count(*) FILTER (WHERE state IN (1, 2, 3)),
                                  count(*) FILTER (WHERE own = 1 AND state = 5),
                                  count(*) FILTER (WHERE state IN (1, 2, 3) AND overdue = 1),
                                  count(*) FILTER (WHERE own = 0 AND handed = 0)
                           FROM alert";
                Ok(db.query_row(sql, [], |row| {
                    let n = |at| row.get(at).map(unsigned);
                    Ok(Counts { raised: n(0)?, waiting: n(1)?, expired: n(2)?, overdue: n(3)?, to_hand: n(4)? })
                })?)
            })
            .await
    }

    /// Misreads of this month by camera.
    pub(super) async fn misreads(&self, now: Timestamp) -> Result<BTreeMap<u32, MisreadRate>, DbError> {
        self.0
            .call(move |db| {
                let sql = "SELECT camera, misread, alerts FROM alert_month WHERE month = ?1";
                let mut rows = db.prepare_cached(sql)?;
                let rates = rows.query_map([month(now)], |row| {
                    let rate = MisreadRate { misread: unsigned(row.get(1)?), alerts: unsigned(row.get(2)?) };
                    Ok((row.get(0)?, rate))
                })?;
                Ok(rates.collect::<Result<_, _>>()?)
            })
            .await
    }
}

/// Something of an alert is to be told: the number of this change.
fn changed(db: &Transaction<'_>, number: u64) -> Result<u64, DbError> {
    db.execute("INSERT OR REPLACE INTO alert_change (alert) VALUES (?1)", [integer(number)?])?;
    Ok(unsigned(db.last_insert_rowid()))
}

fn insert(db: &Transaction<'_>, new: &NewAlert) -> Result<Stored, DbError> {
    let record = &new.record;
    let kind = match record.kind {
        SetKind::Extract => 1,
        SetKind::Custom => 2,
        SetKind::Amber => 3,
    };
    db.execute(
        "INSERT INTO alert (id, list, kind, class, matched, purpose, own, live, raised_at, look_by, dispose_by, state, stopped,
                            verified, count, escalated, overdue, sealed, taken)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, 0, 0, ?12, 0, 0, ?13, ?14)",
        params![
            record.alert,
            record.list,
            kind,
            record.class.name(),
            record.matched.name(),
            new.purpose.name(),
            new.own,
            record.live,
            integer(record.raised_at.0)?,
            integer(record.look_by().0)?,
            integer(record.dispose_by().0)?,
            integer(new.count)?,
            new.sealed,
            new.here.is_none()
        ],
    )?;
    let number = unsigned(db.last_insert_rowid());
    Ok(Stored { number, change: changed(db, number)? })
}

fn count_new(tally: &mut DayTally, new: &NewAlert) {
    match new.here {
        Some((_, ages)) => tally.raised(new.record.class, new.record.matched, ages),
        None => tally.taken(),
    }
    if !new.own {
        tally.handed();
    }
}

fn set_state(
    db: &Transaction<'_>,
    number: u64,
    record: &AlertRecord,
    erase_at: Option<Timestamp>,
) -> Result<(), DbError> {
    let (code, officer, disposition, stopped, verified, at) = match record.state {
        AlertState::Raised => (0, None, None, false, false, None),
        AlertState::Looked { by } => (1, Some(by), None, false, false, None),
        AlertState::Verified => (2, None, None, false, false, None),
        AlertState::Rejected { reason } => (3, None, Some(reason), false, false, None),
        AlertState::Closed { disposition, stopped, verified, at } => {
            (4, None, Some(disposition), stopped, verified, Some(at))
        }
        AlertState::Expired { at } => (5, None, None, false, false, Some(at)),
    };
    let time = |time: Option<Timestamp>| time.map(|time| integer(time.0)).transpose();
    let changed = db.execute(
        "UPDATE alert SET state = ?2, officer = ?3, disposition = ?4, stopped = ?5, verified = ?6, state_at = ?7, erase_at = ?8
         WHERE number = ?1",
        params![
            integer(number)?,
            code,
            officer,
            disposition.map(Disposition::name),
            stopped,
            verified,
            time(at)?,
            time(erase_at)?
        ],
    )?;
    if changed == 1 { Ok(()) } else { Err(DbError::new(DbErrorKind::NoRow)) }
}

/// Changes the counts of today. A clock that went back over midnight counts on in the first day whose leaf is not written.
fn tally(db: &Transaction<'_>, now: Timestamp, count: impl FnOnce(&mut DayTally)) -> Result<(), DbError> {
    let last: Option<i64> = db.query_row("SELECT max(day) FROM alert_day WHERE logged = 1", [], |row| row.get(0))?;
    let first = last.map_or(0, |day| unsigned(day).saturating_add(86_400));
    let day = Day::of(Timestamp(now.0.max(first)));
    let at = integer(day.begin().0)?;
    let known: Option<Vec<u8>> =
        db.query_row("SELECT counts FROM alert_day WHERE day = ?1", [at], |row| row.get(0)).optional()?;
    let before = known.as_deref().map(leaf_of).transpose()?.as_ref().map(DayTally::from);
    let mut counts = before.clone().unwrap_or_default();
    count(&mut counts);
    if before.as_ref() == Some(&counts) {
        return Ok(());
    }
    let bytes = counts.leaf(day).to_json().to_canonical_bytes().map_err(|_core| broken())?;
    db.execute("INSERT OR REPLACE INTO alert_day (day, counts, logged) VALUES (?1, ?2, 0)", params![at, bytes])?;
    Ok(())
}

fn leaf_of(bytes: &[u8]) -> Result<AlertsLeaf, DbError> {
    parse_canonical(bytes).and_then(AlertsLeaf::from_json).map_err(|_core| broken())
}

const fn broken() -> DbError {
    DbError::new(DbErrorKind::Internal)
}

fn rows(db: &Connection, condition: &str, value: i64, limit: u32) -> Result<Vec<AlertRow>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM alert WHERE {condition} LIMIT ?2");
    let mut rows = db.prepare_cached(&sql)?;
    let found = rows.query_map(params![value, limit], row_of)?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<AlertRow> {
    let bad = |name: &str| rusqlite::Error::InvalidColumnName(name.to_owned());
    let text = |name: &'static str| row.get::<_, String>(name);
    let kind = match row.get::<_, i64>("kind")? {
        1 => SetKind::Extract,
        2 => SetKind::Custom,
        3 => SetKind::Amber,
        _ => return Err(bad("kind")),
    };
    let disposition = row.get::<_, Option<String>>("disposition")?;
    let disposition =
        disposition.map(|name| Disposition::from_name(&name).ok_or_else(|| bad("disposition"))).transpose()?;
    let at = row.get::<_, Option<i64>>("state_at")?.map(time_of);
    let state = match (row.get::<_, i64>("state")?, row.get::<_, Option<[u8; 32]>>("officer")?, disposition, at) {
        (0, ..) => AlertState::Raised,
        (1, Some(by), ..) => AlertState::Looked { by },
        (2, ..) => AlertState::Verified,
        (3, _, Some(reason), _) => AlertState::Rejected { reason },
        (4, _, Some(disposition), Some(at)) => {
            AlertState::Closed { disposition, stopped: row.get("stopped")?, verified: row.get("verified")?, at }
        }
        (5, _, _, Some(at)) => AlertState::Expired { at },
        _ => return Err(bad("state")),
    };
    let record = AlertRecord {
        alert: row.get("id")?,
        list: row.get("list")?,
        kind,
        class: ListClass::from_name(&text("class")?).ok_or_else(|| bad("class"))?,
        matched: MatchKind::from_name(&text("matched")?).ok_or_else(|| bad("matched"))?,
        live: row.get("live")?,
        raised_at: time_of(row.get("raised_at")?),
        state,
    };
    let purpose = Purpose::from_name(&text("purpose")?).ok_or_else(|| bad("purpose"))?;
    let number = |name: &'static str| row.get(name).map(unsigned);
    Ok(AlertRow {
        number: number("number")?,
        change: number("change")?,
        late: row.get("late")?,
        record,
        purpose,
        own: row.get("own")?,
        taken: row.get("taken")?,
        count: number("count")?,
    })
}

/// `2026-11`.
fn month(time: Timestamp) -> String {
    time_text(time).get(..7).unwrap_or_default().to_owned()
}

fn integer(value: u64) -> Result<i64, DbError> {
    i64::try_from(value).map_err(|_beyond_the_year_292_billion| broken())
}

/// Of a column that is written from a [`u64`].
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn time_of(seconds: i64) -> Timestamp {
    Timestamp(unsigned(seconds))
}

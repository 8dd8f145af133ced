//! The tables of `keeper.db`. Statements only: what may be done, and in which order, stands in the modules beside this one.
//! No column holds a plate, a share or a prekey in clear: secrets, and what is private of a request (`kept`, `shown`, `who`,
//! `escrow.opening`: see [`super::openings`]), are wrapped under keys of [`super::kek`]. Times are unix seconds.

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::entry::ReviewLeaf;
use lockplate_core::id::{AgencyId, EpochId};
use lockplate_core::keeper::DecisionRecord;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::kek::KekName;
use super::openings::months::Month;
use crate::db::{DbError, DbErrorKind};

pub(super) mod bundles;
pub(super) mod emergencies;
pub(super) mod orders;

/// Schema, oldest first; published entries are never edited.
pub(super) const MIGRATIONS: &[&str] = &["
CREATE TABLE prekey (id BLOB PRIMARY KEY, seed BLOB NOT NULL, not_after INTEGER NOT NULL) STRICT;
CREATE TABLE epoch (
    id BLOB PRIMARY KEY, header_hash BLOB NOT NULL UNIQUE, prekey BLOB NOT NULL UNIQUE, recorder BLOB NOT NULL,
    header BLOB NOT NULL, closed BLOB, cap_from INTEGER NOT NULL, cap_to INTEGER NOT NULL,
    destroy_after INTEGER NOT NULL, share BLOB, receipt BLOB, destroyed_at INTEGER
) STRICT;
CREATE INDEX epoch_window ON epoch (cap_from);
CREATE INDEX epoch_end ON epoch (destroy_after) WHERE destroyed_at IS NULL;
CREATE TABLE request (
    digest BLOB PRIMARY KEY, request_id BLOB NOT NULL, requester BLOB NOT NULL, officer BLOB NOT NULL,
    paper BLOB, filed_at INTEGER NOT NULL, allowed INTEGER NOT NULL, waits INTEGER NOT NULL,
    record BLOB NOT NULL, answer BLOB NOT NULL, plate_tag BLOB, leaf INTEGER NOT NULL UNIQUE,
    month INTEGER NOT NULL, embargo INTEGER NOT NULL, published INTEGER, kept BLOB, shown BLOB, who BLOB
) STRICT;
CREATE INDEX request_id ON request (request_id, requester);
CREATE INDEX request_officer ON request (officer, filed_at);
CREATE INDEX request_tag ON request (plate_tag, filed_at);
CREATE INDEX request_paper ON request (paper) WHERE paper IS NOT NULL;
CREATE INDEX request_waits ON request (filed_at) WHERE waits = 1;
CREATE INDEX request_closed ON request (embargo) WHERE published IS NULL AND kept IS NOT NULL;
CREATE INDEX request_month ON request (month) WHERE kept IS NOT NULL;
CREATE TABLE escrow (
    request BLOB NOT NULL REFERENCES request (digest), auditor BLOB NOT NULL, opening BLOB NOT NULL,
    PRIMARY KEY (request, auditor)
) STRICT;
CREATE TABLE delay (digest BLOB PRIMARY KEY) STRICT;
CREATE TABLE review (
    auditor BLOB NOT NULL, first INTEGER NOT NULL, after INTEGER NOT NULL, sampled INTEGER NOT NULL,
    failed INTEGER NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY (auditor, first, after)
) STRICT;
CREATE TABLE notice_code (
    digest BLOB PRIMARY KEY, answer BLOB, erase_at INTEGER NOT NULL, until INTEGER NOT NULL
) STRICT;
CREATE TABLE month_key (month INTEGER PRIMARY KEY, name BLOB NOT NULL) STRICT;
CREATE TABLE evaluation (
    grant_digest BLOB PRIMARY KEY, request BLOB NOT NULL, answer BLOB, erase_at INTEGER NOT NULL
) STRICT;
CREATE TABLE directory (agency BLOB PRIMARY KEY, serial INTEGER NOT NULL, object BLOB NOT NULL) STRICT;
CREATE TABLE declaration (
    digest BLOB PRIMARY KEY, agency BLOB NOT NULL, filed_at INTEGER NOT NULL, object BLOB NOT NULL
) STRICT;
CREATE TABLE period_key (period INTEGER PRIMARY KEY, name BLOB NOT NULL, secret BLOB NOT NULL) STRICT;
CREATE TABLE progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
", "
CREATE INDEX request_requester ON request (requester, filed_at);
CREATE TABLE emergency (
    request BLOB PRIMARY KEY REFERENCES request (digest), requester BLOB NOT NULL, on_behalf_of BLOB NOT NULL,
    deadline INTEGER NOT NULL, filed BLOB, overdue INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX emergency_open ON emergency (deadline) WHERE filed IS NULL;
CREATE TABLE withdrawn (digest BLOB NOT NULL, kind INTEGER NOT NULL, by TEXT NOT NULL, PRIMARY KEY (digest, kind, by)) STRICT;
CREATE TABLE revoked_key (vkey TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT;
CREATE TABLE trust_list (
    object BLOB PRIMARY KEY, serial INTEGER NOT NULL, effective INTEGER NOT NULL, leaf INTEGER NOT NULL
) STRICT;
CREATE TABLE policy_bundle (
    id INTEGER PRIMARY KEY, digest BLOB NOT NULL, files TEXT NOT NULL, allows TEXT, effective INTEGER NOT NULL,
    leaf INTEGER, state INTEGER NOT NULL
) STRICT;
", "
ALTER TABLE revoked_key ADD COLUMN revocation BLOB;
ALTER TABLE revoked_key ADD COLUMN logged INTEGER NOT NULL DEFAULT 1;
CREATE INDEX withdrawn_by ON withdrawn (kind, by);
CREATE INDEX emergency_paper ON emergency (filed) WHERE filed IS NOT NULL;
CREATE TABLE plate_tag (
    tag BLOB NOT NULL, request BLOB NOT NULL REFERENCES request (digest), PRIMARY KEY (tag, request)
) STRICT, WITHOUT ROWID;
CREATE INDEX plate_tag_request ON plate_tag (request);
INSERT INTO plate_tag (tag, request) SELECT plate_tag, digest FROM request WHERE plate_tag IS NOT NULL;
DROP INDEX request_tag;
ALTER TABLE request DROP COLUMN plate_tag;
"];

/// Name of the row of `progress` up to which the own log was compared with this database.
const LOG_INDEXED_TO: &str = "log_indexed_to";

/// Name of the row of `progress` that says when openings were last erased.
const OPENINGS_ERASED_AT: &str = "openings_erased_at";

pub(super) type Rows<T> = Result<T, DbError>;

/// A time as a column; times after the year 292 billion saturate.
pub(super) fn column(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn from_column(value: i64) -> Timestamp {
    Timestamp(u64::try_from(value).unwrap_or(0))
}

/// Fixed-length bytes of a column that only this program writes.
fn fixed<const N: usize>(bytes: Vec<u8>) -> Rows<[u8; N]> {
    bytes.try_into().map_err(|_length| DbError::new(DbErrorKind::Internal))
}

fn count(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// An immediate transaction: durable when [`Transaction::commit`] returns, without effect if it is dropped.
pub(super) fn begin(connection: &mut Connection) -> Rows<Transaction<'_>> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// Many reads, and perhaps a write, of one moment: the file is locked once and not once for each. What was written is durable when
/// [`Transaction::commit`] returns.
pub(super) fn at_once(connection: &Connection) -> Rows<Transaction<'_>> {
    Ok(connection.unchecked_transaction()?)
}

/// An epoch whose header was received.
pub(super) struct EpochRow {
    pub(super) header: Vec<u8>,
    pub(super) close: Option<Vec<u8>>,
    pub(super) destroy_after: Timestamp,
    /// Wrapped; none once destroyed.
    pub(super) share: Option<Vec<u8>>,
    pub(super) receipt: Option<Vec<u8>>,
    pub(super) destroyed: bool,
}

const EPOCH_COLUMNS: &str = "header, closed, destroy_after, share, receipt, destroyed_at IS NOT NULL";

fn epoch_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<EpochRow> {
    Ok(EpochRow {
        header: row.get(0)?,
        close: row.get(1)?,
        destroy_after: from_column(row.get(2)?),
        share: row.get(3)?,
        receipt: row.get(4)?,
        destroyed: row.get(5)?,
    })
}

pub(super) fn epoch(db: &Connection, id: EpochId) -> Rows<Option<EpochRow>> {
    let sql = format!("SELECT {EPOCH_COLUMNS} FROM epoch WHERE id = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([id.0], epoch_row).optional()?)
}

pub(super) fn epoch_by_header(db: &Connection, header_hash: &[u8; 32]) -> Rows<Option<(EpochId, EpochRow)>> {
    let sql = "SELECT id FROM epoch WHERE header_hash = ?1";
    let id: Option<Vec<u8>> = db.prepare_cached(sql)?.query_row([header_hash], |row| row.get(0)).optional()?;
    let Some(id) = id else { return Ok(None) };
    let id = EpochId(fixed(id)?);
    Ok(epoch(db, id)?.map(|row| (id, row)))
}

pub(super) fn prekey_is_used(db: &Connection, prekey: &[u8; 16]) -> Rows<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM epoch WHERE prekey = ?1")?.exists([prekey])?)
}

/// A closed epoch inside a window, for the facts.
pub(super) struct WindowRow {
    pub(super) id: EpochId,
    pub(super) cap_from: Timestamp,
    pub(super) gone: bool,
}

/// Epochs whose whole capture window lies in `[from, to)`: closed ones, and destroyed or expired ones whether closed or not.
/// At most `limit`. `expired` is the later of the two clocks.
pub(super) fn epochs_in_window(
    db: &Connection,
    window: (Timestamp, Timestamp),
    expired: Timestamp,
    limit: usize,
) -> Rows<Vec<WindowRow>> {
    let sql = "SELECT id, cap_from, destroyed_at IS NOT NULL OR destroy_after <= ?3 AS gone FROM epoch
               WHERE cap_from >= ?1 AND cap_to <= ?2 AND (closed IS NOT NULL OR gone) AND (share IS NOT NULL OR gone)
               ORDER BY id LIMIT ?4";
    let mut statement = db.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![column(window.0), column(window.1), column(expired), limit], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
    })?;
    rows.map(|row| {
        let (id, cap_from, gone) = row?;
        Ok(WindowRow { id: EpochId(fixed(id)?), cap_from: from_column(cap_from), gone })
    })
    .collect()
}

/// Epochs that are not destroyed and whose retention is over at `now`, oldest end first.
pub(super) fn epochs_due(db: &Connection, now: Timestamp, limit: u32) -> Rows<Vec<(EpochId, EpochRow)>> {
    let sql = format!(
        "SELECT {EPOCH_COLUMNS}, id FROM epoch WHERE destroyed_at IS NULL AND destroy_after <= ?1
         ORDER BY destroy_after, id LIMIT ?2"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows =
        statement.query_map(params![column(now), limit], |row| Ok((row.get::<_, Vec<u8>>(6)?, epoch_row(row)?)))?;
    rows.map(|row| {
        let (id, row) = row?;
        Ok((EpochId(fixed(id)?), row))
    })
    .collect()
}

/// Epochs that hold a share and are not destroyed.
pub(super) fn epochs_held(db: &Connection) -> Rows<Vec<(EpochId, bool)>> {
    let mut statement =
        db.prepare_cached("SELECT id, receipt IS NOT NULL FROM epoch WHERE destroyed_at IS NULL ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, bool>(1)?)))?;
    rows.map(|row| {
        let (id, receipted) = row?;
        Ok((EpochId(fixed(id)?), receipted))
    })
    .collect()
}

/// Capture windows of the epochs destroyed since a time.
pub(super) fn destroyed_windows(db: &Connection, since: Timestamp) -> Rows<Vec<(u64, u64)>> {
    let mut statement = db.prepare_cached("SELECT cap_from, cap_to FROM epoch WHERE destroyed_at > ?1")?;
    let rows = statement.query_map([column(since)], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    rows.map(|row| {
        let (from, to) = row?;
        Ok((from_column(from).0, from_column(to).0))
    })
    .collect()
}

pub(super) fn mark_destroyed(db: &Connection, id: EpochId, at: Timestamp) -> Rows<()> {
    db.execute("UPDATE epoch SET share = NULL, destroyed_at = ?2 WHERE id = ?1", params![id.0, column(at)])?;
    Ok(())
}

pub(super) fn prekeys_unused(db: &Connection, now: Timestamp) -> Rows<u32> {
    let sql = "SELECT count(*) FROM prekey WHERE not_after > ?1";
    Ok(count(db.prepare_cached(sql)?.query_row([column(now)], |row| row.get(0))?))
}

pub(super) fn prekey_seed(db: &Connection, id: &[u8; 16]) -> Rows<Option<Vec<u8>>> {
    Ok(db.prepare_cached("SELECT seed FROM prekey WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?)
}

/// Names of all prekeys, and whether each is over.
pub(super) fn prekeys(db: &Connection, now: Timestamp) -> Rows<Vec<(KekName, bool)>> {
    let mut statement = db.prepare_cached("SELECT id, not_after <= ?1 FROM prekey")?;
    let rows = statement.query_map([column(now)], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, bool>(1)?)))?;
    rows.map(|row| {
        let (id, over) = row?;
        Ok((fixed(id)?, over))
    })
    .collect()
}

/// A decided request.
pub(super) struct RequestRow {
    pub(super) record: DecisionRecord,
    /// Wrapped: what opens the request again; none once erased.
    pub(super) kept: Option<Vec<u8>>,
    /// The month whose key wraps it.
    pub(super) month: Month,
    pub(super) answer: Vec<u8>,
    pub(super) waits: bool,
}

const REQUEST_COLUMNS: &str = "record, kept, month, answer, waits";

type RawRequest = (Vec<u8>, Option<Vec<u8>>, u32, Vec<u8>, bool);

fn raw_request(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawRequest> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn request_row((record, kept, month, answer, waits): RawRequest) -> Rows<RequestRow> {
    let record = DecisionRecord::from_bytes(&record).map_err(|_torn| DbError::new(DbErrorKind::Internal))?;
    Ok(RequestRow { record, kept, month: Month(month), answer, waits })
}

/// Requests of which nothing is published and whose embargo is over at `now`, the longest ago first. What was erased unpublished
/// stays so.
pub(super) fn requests_closed(db: &Connection, now: Timestamp, limit: u32) -> Rows<Vec<RequestRow>> {
    let sql = format!(
        "SELECT {REQUEST_COLUMNS} FROM request WHERE published IS NULL AND kept IS NOT NULL AND embargo <= ?1
         ORDER BY embargo, leaf LIMIT ?2"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![column(now), limit], raw_request)?;
    rows.map(|row| request_row(row?)).collect()
}

/// What a stranger may see of a request leaf.
pub(super) struct ShownRow {
    pub(super) month: Month,
    /// Not erased.
    pub(super) kept: bool,
    /// Index of the leaf that says it is published.
    pub(super) published: Option<u64>,
    /// Wrapped: a JSON array of disclosures.
    pub(super) shown: Option<Vec<u8>>,
}

pub(super) fn shown(db: &Connection, leaf: u64) -> Rows<Option<ShownRow>> {
    let Ok(leaf) = i64::try_from(leaf) else { return Ok(None) };
    let sql = "SELECT month, kept IS NOT NULL, published, shown FROM request WHERE leaf = ?1";
    let row = |row: &rusqlite::Row<'_>| {
        let published: Option<i64> = row.get(2)?;
        let published = published.and_then(|leaf| u64::try_from(leaf).ok());
        Ok(ShownRow { month: Month(row.get(0)?), kept: row.get(1)?, published, shown: row.get(3)? })
    };
    Ok(db.prepare_cached(sql)?.query_row([leaf], row).optional()?)
}

/// The end of a request's embargo; none once it is published or erased.
pub(super) fn embargo(db: &Connection, leaf: u64) -> Rows<Option<Timestamp>> {
    let Ok(leaf) = i64::try_from(leaf) else { return Ok(None) };
    let sql = "SELECT embargo FROM request WHERE leaf = ?1 AND published IS NULL AND kept IS NOT NULL";
    let until: Option<i64> = db.prepare_cached(sql)?.query_row([leaf], |row| row.get(0)).optional()?;
    Ok(until.map(from_column))
}

/// Moves the end of an embargo back, never forward, and remembers by which order.
pub(super) fn extend_embargo(db: &Connection, leaf: u64, until: Timestamp, order: &[u8; 32]) -> Rows<()> {
    let Ok(leaf) = i64::try_from(leaf) else { return Ok(()) };
    let sql = "UPDATE request SET embargo = ?2 WHERE leaf = ?1 AND embargo < ?2 AND published IS NULL";
    db.execute(sql, params![leaf, column(until)])?;
    db.execute("INSERT OR IGNORE INTO delay (digest) VALUES (?1)", [order])?;
    Ok(())
}

pub(super) fn delay_is_known(db: &Connection, order: &[u8; 32]) -> Rows<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM delay WHERE digest = ?1")?.exists([order])?)
}

fn number_column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The leaf of an auditor's review of the same range, and whether it says the same.
pub(super) fn review(db: &Connection, review: &ReviewLeaf) -> Rows<Option<(u64, bool)>> {
    let sql = "SELECT leaf, sampled = ?4 AND failed = ?5 FROM review WHERE auditor = ?1 AND first = ?2 AND after = ?3";
    let [first, after, sampled, failed] = review_columns(review);
    let found = db.prepare_cached(sql)?.query_row(params![review.auditor, first, after, sampled, failed], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?))
    });
    Ok(found.optional()?.map(|(leaf, same)| (u64::try_from(leaf).unwrap_or(0), same)))
}

/// Notes the leaf of a review; the first of a range stays.
pub(super) fn store_review(db: &Connection, review: &ReviewLeaf, leaf: u64) -> Rows<()> {
    let [first, after, sampled, failed] = review_columns(review);
    db.execute(
        "INSERT OR IGNORE INTO review (auditor, first, after, sampled, failed, leaf) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![review.auditor, first, after, sampled, failed, number_column(leaf)],
    )?;
    Ok(())
}

fn review_columns(review: &ReviewLeaf) -> [i64; 4] {
    [review.from, review.to, review.sampled, review.failed].map(number_column)
}

/// What is counted for this keeper's own people; the numbers stand in the trace.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counter {
    /// Openings given to auditors.
    AuditorOpenings,
    /// Owners' codes answered.
    NoticeCodes,
}

/// Counts one more, and gives the number.
pub(super) fn count_up(db: &Connection, counter: Counter) -> Rows<i64> {
    let name = match counter {
        Counter::AuditorOpenings => "auditor_openings",
        Counter::NoticeCodes => "notice_codes",
    };
    let sql = "INSERT INTO progress (name, value) VALUES (?1, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1
               RETURNING value";
    Ok(db.prepare_cached(sql)?.query_row([name], |row| row.get(0))?)
}

/// The stored answer to a code: outer `None` if it was never shown, inner if the answer is erased.
#[expect(clippy::option_option, reason = "three states: never shown, shown and erased, shown and kept")]
pub(super) fn notice_code(db: &Connection, code: &[u8; 32], now: Timestamp) -> Rows<Option<Option<Vec<u8>>>> {
    let sql = "SELECT CASE WHEN erase_at > ?2 THEN answer END FROM notice_code WHERE digest = ?1";
    Ok(db.prepare_cached(sql)?.query_row(params![code, column(now)], |row| row.get(0)).optional()?)
}

/// The request of a leaf.
pub(super) fn request_at(db: &Connection, leaf: u64) -> Rows<Option<RequestRow>> {
    let Ok(leaf) = i64::try_from(leaf) else { return Ok(None) };
    let sql = format!("SELECT {REQUEST_COLUMNS} FROM request WHERE leaf = ?1");
    db.prepare_cached(&sql)?.query_row([leaf], raw_request).optional()?.map(request_row).transpose()
}

/// First and last leaf of a month of which something private is kept, and how many there are; none if there are none.
pub(super) fn kept_span(db: &Connection, month: Month) -> Rows<Option<(u64, u64, u64)>> {
    let sql = "SELECT min(leaf), max(leaf), count(*) FROM request WHERE month = ?1 AND kept IS NOT NULL";
    let (from, to, count): (Option<i64>, Option<i64>, i64) =
        db.prepare_cached(sql)?.query_row([month.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(from.zip(to).map(|(from, to)| (number(from), number(to), number(count))))
}

/// Digests of the requests of a month of which something private is kept.
pub(super) fn kept_requests(db: &Connection, month: Month) -> Rows<Vec<[u8; 32]>> {
    let mut statement = db.prepare_cached("SELECT digest FROM request WHERE month = ?1 AND kept IS NOT NULL")?;
    let rows = statement.query_map([month.0], |row| row.get(0))?;
    rows.map(|row| Ok(row?)).collect()
}

pub(super) fn last_erasure(db: &Connection) -> Rows<Option<Timestamp>> {
    let sql = "SELECT value FROM progress WHERE name = ?1";
    let value: Option<i64> = db.prepare_cached(sql)?.query_row([OPENINGS_ERASED_AT], |row| row.get(0)).optional()?;
    Ok(value.map(from_column))
}

pub(super) fn set_last_erasure(db: &Connection, at: Timestamp) -> Rows<()> {
    let sql = "INSERT OR REPLACE INTO progress (name, value) VALUES (?1, ?2)";
    db.execute(sql, params![OPENINGS_ERASED_AT, column(at)])?;
    Ok(())
}

/// The name of a month's key.
pub(super) fn month_key(db: &Connection, month: Month) -> Rows<Option<KekName>> {
    let sql = "SELECT name FROM month_key WHERE month = ?1";
    let name: Option<Vec<u8>> = db.prepare_cached(sql)?.query_row([month.0], |row| row.get(0)).optional()?;
    name.map(fixed).transpose()
}

/// All months that have a key, oldest first, and its name.
pub(super) fn month_keys(db: &Connection) -> Rows<Vec<(Month, KekName)>> {
    let mut statement = db.prepare_cached("SELECT month, name FROM month_key ORDER BY month")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    rows.map(|row| {
        let (month, name) = row?;
        Ok((Month(month), fixed(name)?))
    })
    .collect()
}

pub(super) fn request(db: &Connection, digest: &[u8; 32]) -> Rows<Option<RequestRow>> {
    let sql = format!("SELECT {REQUEST_COLUMNS} FROM request WHERE digest = ?1");
    db.prepare_cached(&sql)?.query_row([digest], raw_request).optional()?.map(request_row).transpose()
}

/// Requests that wait for a person, oldest first.
pub(super) fn requests_waiting(db: &Connection, limit: u32) -> Rows<Vec<RequestRow>> {
    let sql = format!("SELECT {REQUEST_COLUMNS} FROM request WHERE waits = 1 ORDER BY filed_at LIMIT ?1");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([limit], raw_request)?;
    rows.map(|row| request_row(row?)).collect()
}

/// The counters of `law.md` section 4; the request itself is not stored yet.
pub(super) struct Counters {
    pub(super) prior_same_plate_30d: u32,
    pub(super) requests_last_24h: u32,
    pub(super) replayed: bool,
    pub(super) paper_uses: u64,
}

/// Who and what the counters are about.
pub(super) struct CountedFor<'a> {
    pub(super) digest: &'a [u8; 32],
    pub(super) request_id: &'a [u8; 16],
    pub(super) requester: AgencyId,
    /// All keys of the officer.
    pub(super) officer_keys: &'a BTreeSet<[u8; 32]>,
    pub(super) paper: &'a [u8; 32],
    /// Tags of (agency, text) under the keys of this period and the one before, for each text that is asked for.
    pub(super) tags: &'a [[[u8; 32]; 2]],
}

pub(super) fn counters(db: &Connection, of: &CountedFor<'_>, now: Timestamp) -> Rows<Counters> {
    let since = |seconds: u64| column(Timestamp(now.0.saturating_sub(seconds)));
    let one = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> Rows<i64> {
        Ok(db.prepare_cached(sql)?.query_row(params, |row| row.get(0))?)
    };
    let mut same_plate: i64 = 0;
    for [this, last] in of.tags {
        let sql = "SELECT count(*) FROM plate_tag JOIN request ON digest = request
                   WHERE tag IN (?1, ?2) AND allowed = 1 AND filed_at > ?3 AND digest <> ?4";
        same_plate = same_plate.max(one(sql, params![this, last, since(30 * 86_400), of.digest])?);
    }
    let mut officer: i64 = 0;
    for key in of.officer_keys {
        let sql = "SELECT count(*) FROM request WHERE officer = ?1 AND filed_at > ?2 AND digest <> ?3";
        officer = officer.saturating_add(one(sql, params![key, since(86_400), of.digest])?);
    }
    let replays = one(
        "SELECT count(*) FROM request WHERE request_id = ?1 AND requester = ?2 AND digest <> ?3",
        params![of.request_id, of.requester.0, of.digest],
    )?;
    let papers = paper_uses(db, of.paper, of.digest)?;
    Ok(Counters {
        prior_same_plate_30d: count(same_plate),
        requests_last_24h: count(officer),
        replayed: replays > 0,
        paper_uses: papers,
    })
}

/// Requests under a paper other than this one, and emergencies that it files.
pub(super) fn paper_uses(db: &Connection, paper: &[u8; 32], request: &[u8; 32]) -> Rows<u64> {
    let sql = "SELECT count(*) FROM request WHERE paper = ?1 AND digest <> ?2";
    let requests: i64 = db.prepare_cached(sql)?.query_row(params![paper, request], |row| row.get(0))?;
    Ok(u64::try_from(requests).unwrap_or(0).saturating_add(emergencies::filed_by(db, paper)?.into()))
}

/// Requests of an agency since a time, refused ones too.
pub(super) fn requests_of(db: &Connection, requester: AgencyId, since: Timestamp) -> Rows<u32> {
    let sql = "SELECT count(*) FROM request WHERE requester = ?1 AND filed_at > ?2";
    Ok(count(db.prepare_cached(sql)?.query_row(params![requester.0, column(since)], |row| row.get(0))?))
}

/// A filed declaration, by the digest of its object.
pub(super) fn declaration(db: &Connection, digest: &[u8; 32]) -> Rows<Option<Vec<u8>>> {
    let sql = "SELECT object FROM declaration WHERE digest = ?1";
    Ok(db.prepare_cached(sql)?.query_row([digest], |row| row.get(0)).optional()?)
}

pub(super) fn delete_declaration(db: &Connection, digest: &[u8; 32]) -> Rows<()> {
    db.execute("DELETE FROM declaration WHERE digest = ?1", [digest])?;
    Ok(())
}

pub(super) fn declarations(db: &Connection, agency: AgencyId) -> Rows<Vec<Vec<u8>>> {
    let mut statement =
        db.prepare_cached("SELECT object FROM declaration WHERE agency = ?1 ORDER BY filed_at, digest")?;
    let rows = statement.query_map([agency.0], |row| row.get(0))?;
    rows.map(|row| Ok(row?)).collect()
}

pub(super) fn directory(db: &Connection, agency: AgencyId) -> Rows<Option<(u64, Vec<u8>)>> {
    let mut statement = db.prepare_cached("SELECT serial, object FROM directory WHERE agency = ?1")?;
    let row = statement.query_row([agency.0], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional()?;
    Ok(row.map(|(serial, object)| (u64::try_from(serial).unwrap_or(0), object)))
}

/// Answers whose time is over go; that the grant was spent stays.
pub(super) fn erase_evaluations(db: &Connection, now: Timestamp) -> Rows<()> {
    let sql = "UPDATE evaluation SET answer = NULL WHERE answer IS NOT NULL AND erase_at <= ?1";
    db.prepare_cached(sql)?.execute([column(now)])?;
    Ok(())
}

/// The stored answer of a grant: outer `None` if it was never spent, inner if the answer is erased.
#[expect(clippy::option_option, reason = "three states: never spent, spent and erased, spent and kept")]
pub(super) fn evaluation(db: &Connection, grant: &[u8; 32], now: Timestamp) -> Rows<Option<Option<Vec<u8>>>> {
    let sql = "SELECT CASE WHEN erase_at > ?2 THEN answer END FROM evaluation WHERE grant_digest = ?1";
    Ok(db.prepare_cached(sql)?.query_row(params![grant, column(now)], |row| row.get(0)).optional()?)
}

pub(super) fn log_indexed_to(db: &Connection) -> Rows<u64> {
    let sql = "SELECT value FROM progress WHERE name = ?1";
    let value: Option<i64> = db.prepare_cached(sql)?.query_row([LOG_INDEXED_TO], |row| row.get(0)).optional()?;
    Ok(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0))
}

pub(super) fn set_log_indexed_to(db: &Connection, index: u64) -> Rows<()> {
    let value = i64::try_from(index).unwrap_or(i64::MAX);
    db.execute("INSERT OR REPLACE INTO progress (name, value) VALUES (?1, ?2)", params![LOG_INDEXED_TO, value])?;
    Ok(())
}

//! The desk's own database, `desk.db`: requests, what keepers answered, locks of passcodes, the directory in force. Everything in
//! it is sealed or public: Openings for keepers, answers for the officer's client, digests. A plate never comes here, not even
//! inside a disclosure: those travel in the Openings.

use lockplate_core::entry::Outcome;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::api::KeeperAnswer;
use crate::db::{DbError, DbErrorKind};

/// Schema, one entry a version.
pub(super) const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE request (digest BLOB PRIMARY KEY, owner BLOB NOT NULL, filed BLOB NOT NULL, openings TEXT NOT NULL,
    attachments TEXT NOT NULL, session BLOB, not_after INTEGER NOT NULL, grant_bytes BLOB,
    claim BLOB, outcome TEXT, log_from INTEGER, register INTEGER) STRICT;
CREATE TABLE keeper (digest BLOB NOT NULL REFERENCES request (digest), place INTEGER NOT NULL, ask INTEGER, answer TEXT,
    problem TEXT, rejected INTEGER NOT NULL DEFAULT 0, evaluating INTEGER NOT NULL DEFAULT 0, evaluation BLOB,
    PRIMARY KEY (digest, place)) STRICT;
CREATE TABLE passcode (key BLOB PRIMARY KEY, tries INTEGER NOT NULL, locked_until INTEGER NOT NULL) STRICT;
CREATE TABLE directory (one INTEGER PRIMARY KEY CHECK (one = 1), serial INTEGER NOT NULL, issued INTEGER NOT NULL,
    roster BLOB NOT NULL, object BLOB NOT NULL) STRICT;
",
    "
CREATE TABLE hold (digest BLOB PRIMARY KEY REFERENCES request (digest), claim BLOB NOT NULL, log_from INTEGER NOT NULL,
    register INTEGER) STRICT;
",
];

/// A request as stored.
pub(super) struct RequestRow {
    pub(super) owner: [u8; 16],
    pub(super) filed: Vec<u8>,
    /// JSON of `Vec<B64>`.
    pub(super) openings: String,
    /// JSON of `Vec<B64>`: signed objects.
    pub(super) attachments: String,
    pub(super) session: Option<Vec<u8>>,
    pub(super) not_after: i64,
    pub(super) grant: Option<Vec<u8>>,
    /// The last disclosure that was claimed.
    pub(super) claimed: Option<Claimed>,
    pub(super) register: Option<i64>,
}

impl RequestRow {
    /// The disclosure is logged and says how it ended. After "failed" the search may still go on: an archive can come to its
    /// senses, another keeper can answer.
    pub(super) fn is_done(&self) -> bool {
        self.register.is_some() && self.claimed.as_ref().is_none_or(|claimed| !claimed.has_failed())
    }
}

impl Claimed {
    /// The search could not be finished.
    pub(super) fn has_failed(&self) -> bool {
        self.outcome == Outcome::Failed.name()
    }
}

/// A disclosure as the officer's client claimed it, written down before its leaf.
pub(super) struct Claimed {
    /// Statement and signature.
    pub(super) claim: Vec<u8>,
    pub(super) outcome: String,
    /// Size of the desk's log before the leaf: where a repeat looks for a leaf whose number was lost in a crash.
    pub(super) log_from: i64,
}

/// A hold as the officer's client claimed it, written down before its leaf.
pub(super) struct Held {
    /// Statement and signature.
    pub(super) claim: Vec<u8>,
    /// Size of the desk's log before the leaf.
    pub(super) log_from: i64,
    /// Its entry, once it is known to be there.
    pub(super) register: Option<i64>,
}

/// The hold of a request.
pub(super) fn hold(connection: &Connection, digest: &[u8; 32]) -> Result<Option<Held>, DbError> {
    let sql = "SELECT claim, log_from, register FROM hold WHERE digest = ?1";
    let read = |row: &Row<'_>| Ok(Held { claim: row.get(0)?, log_from: row.get(1)?, register: row.get(2)? });
    Ok(connection.query_row(sql, [digest], read).optional()?)
}

/// Writes a hold down before its leaf.
pub(super) fn insert_hold(connection: &Connection, digest: &[u8; 32], held: &Held) -> Result<(), DbError> {
    let sql = "INSERT INTO hold (digest, claim, log_from, register) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, params![digest, held.claim, held.log_from, held.register])?;
    Ok(())
}

/// One keeper of a request.
pub(super) struct KeeperRow {
    pub(super) place: u8,
    pub(super) ask: Option<bool>,
    pub(super) answer: Option<KeeperAnswer>,
    pub(super) problem: Option<String>,
    pub(super) rejected: bool,
    /// 0 none, 1 here, 2 wrong, 3 refused, 4 destroyed.
    pub(super) evaluating: u8,
    pub(super) evaluation: Option<Vec<u8>>,
}

fn blob<const N: usize>(row: &Row<'_>, at: usize) -> rusqlite::Result<[u8; N]> {
    row.get::<_, [u8; N]>(at)
}

fn claimed(row: &Row<'_>) -> rusqlite::Result<Option<Claimed>> {
    let Some(claim) = row.get(7)? else { return Ok(None) };
    Ok(Some(Claimed { claim, outcome: row.get(8)?, log_from: row.get(9)? }))
}

/// Writes a claim down before its leaf.
pub(super) fn claim(connection: &Connection, digest: &[u8; 32], claimed: &Claimed) -> Result<(), DbError> {
    connection.execute(
        "UPDATE request SET claim = ?2, outcome = ?3, log_from = ?4, register = NULL WHERE digest = ?1",
        params![digest, claimed.claim, claimed.outcome, claimed.log_from],
    )?;
    Ok(())
}

/// The request of a digest.
pub(super) fn request(connection: &Connection, digest: &[u8; 32]) -> Result<Option<RequestRow>, DbError> {
    let row = connection
        .query_row(
            "SELECT owner, filed, openings, attachments, session, not_after, grant_bytes, claim, outcome, log_from, register
             FROM request WHERE digest = ?1",
            [digest],
            |row| {
                Ok(RequestRow {
                    owner: blob(row, 0)?,
                    filed: row.get(1)?,
                    openings: row.get(2)?,
                    attachments: row.get(3)?,
                    session: row.get(4)?,
                    not_after: row.get(5)?,
                    grant: row.get(6)?,
                    claimed: claimed(row)?,
                    register: row.get(10)?,
                })
            },
        )
        .optional()?;
    Ok(row)
}

/// Its keepers, in charter order.
pub(super) fn keepers(connection: &Connection, digest: &[u8; 32]) -> Result<Vec<KeeperRow>, DbError> {
    let mut statement = connection.prepare(
        "SELECT place, ask, answer, problem, rejected, evaluating, evaluation FROM keeper WHERE digest = ?1 ORDER BY place",
    )?;
    let rows = statement.query_map([digest], |row| {
        let answer: Option<String> = row.get(2)?;
        Ok((
            KeeperRow {
                place: row.get(0)?,
                ask: row.get(1)?,
                answer: None,
                problem: row.get(3)?,
                rejected: row.get(4)?,
                evaluating: row.get(5)?,
                evaluation: row.get(6)?,
            },
            answer,
        ))
    })?;
    let mut keepers = Vec::new();
    for row in rows {
        let (mut keeper, answer) = row?;
        let parse = |text: String| serde_json::from_str(&text).map_err(|_our_row| DbError::new(DbErrorKind::Internal));
        keeper.answer = answer.map(parse).transpose()?;
        keepers.push(keeper);
    }
    Ok(keepers)
}

/// Stores a request with its keepers; a repeat only renews the session.
pub(super) fn insert(
    connection: &Connection,
    digest: &[u8; 32],
    row: &RequestRow,
    places: &[u8],
) -> Result<(), DbError> {
    connection.execute(
        "INSERT INTO request (digest, owner, filed, openings, attachments, session, not_after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (digest) DO UPDATE SET session = COALESCE(excluded.session, session)",
        params![digest, row.owner, row.filed, row.openings, row.attachments, row.session, row.not_after],
    )?;
    for place in places {
        connection.execute("INSERT OR IGNORE INTO keeper (digest, place) VALUES (?1, ?2)", params![digest, place])?;
    }
    Ok(())
}

/// Requests that are not past their time and not done: what a start goes on with.
pub(super) fn unfinished(connection: &Connection, now: i64) -> Result<Vec<[u8; 32]>, DbError> {
    let mut statement =
        connection.prepare("SELECT digest FROM request WHERE not_after > ?1 AND (register IS NULL OR outcome = ?2)")?;
    let rows = statement.query_map(params![now, Outcome::Failed.name()], |row| blob(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Drops the sealed Openings of requests that are done or past their time: no keeper gets them any more, and the keepers' erasure
/// (`log.md` section 7) would be worth little if a copy lay here for ever.
pub(super) fn forget_openings(connection: &Connection, now: i64) -> Result<(), DbError> {
    connection.execute(
        "UPDATE request SET openings = '[]'
         WHERE openings <> '[]' AND (not_after <= ?1 OR (register IS NOT NULL AND outcome <> ?2))",
        params![now, Outcome::Failed.name()],
    )?;
    Ok(())
}

/// Fixes `ask_human` of a keeper before it is first told: the stored value wins.
pub(super) fn fix_ask(connection: &Connection, digest: &[u8; 32], place: u8, ask: bool) -> Result<bool, DbError> {
    connection.execute(
        "UPDATE keeper SET ask = COALESCE(ask, ?3) WHERE digest = ?1 AND place = ?2",
        params![digest, place, ask],
    )?;
    Ok(connection.query_row(
        "SELECT ask FROM keeper WHERE digest = ?1 AND place = ?2",
        params![digest, place],
        |row| row.get(0),
    )?)
}

/// Counts a try before it is made; the number of tries, or until when the key is locked.
pub(super) fn begin_try(
    connection: &Connection,
    key: &[u8; 32],
    now: i64,
    (tries_max, lock_seconds): (u32, i64),
) -> Result<Option<i64>, DbError> {
    let known: Option<(u32, i64)> = connection
        .query_row("SELECT tries, locked_until FROM passcode WHERE key = ?1", [key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let (tries, locked_until) = known.unwrap_or((0, 0));
    if locked_until > now {
        return Ok(Some(locked_until.saturating_sub(now)));
    }
    // The lock that ended wipes the slate.
    let tries = if locked_until > 0 { 1 } else { tries.saturating_add(1) };
    let until = if tries >= tries_max { now.saturating_add(lock_seconds) } else { 0 };
    connection.execute(
        "INSERT OR REPLACE INTO passcode (key, tries, locked_until) VALUES (?1, ?2, ?3)",
        params![key, tries, until],
    )?;
    Ok(None)
}

/// A good try forgets the bad ones.
pub(super) fn end_try(connection: &Connection, key: &[u8; 32]) -> Result<(), DbError> {
    connection.execute("DELETE FROM passcode WHERE key = ?1", [key])?;
    Ok(())
}

/// The directory in force.
#[derive(Clone)]
pub(super) struct DirectoryRow {
    pub(super) serial: i64,
    pub(super) issued: i64,
    pub(super) roster: [u8; 32],
    pub(super) object: Vec<u8>,
}

/// Reads it.
pub(super) fn directory(connection: &Connection) -> Result<Option<DirectoryRow>, DbError> {
    Ok(connection
        .query_row("SELECT serial, issued, roster, object FROM directory", [], |row| {
            Ok(DirectoryRow { serial: row.get(0)?, issued: row.get(1)?, roster: blob(row, 2)?, object: row.get(3)? })
        })
        .optional()?)
}

/// Replaces the one of serial `old` (0: none) and gives what is in force then: the stored one, if another was faster.
pub(super) fn replace_directory(connection: &Connection, row: DirectoryRow, old: i64) -> Result<DirectoryRow, DbError> {
    if let Some(known) = directory(connection)?
        && known.serial != old
    {
        return Ok(known);
    }
    connection.execute(
        "INSERT OR REPLACE INTO directory (one, serial, issued, roster, object) VALUES (1, ?1, ?2, ?3, ?4)",
        params![row.serial, row.issued, row.roster, row.object],
    )?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_openings_go_when_no_keeper_gets_them_any_more() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(MIGRATIONS[0]).unwrap();
        let sql = "INSERT INTO request (digest, owner, filed, openings, attachments, not_after, register, outcome)
                   VALUES (?1, x'00', x'00', '[\"b3A=\"]', '[]', ?2, ?3, ?4)";
        for (digest, not_after, register, outcome) in [
            (1_u8, 100, None, None),
            (2, 101, None, None),
            (3, 101, Some(7), Some("found")),
            (4, 101, Some(8), Some("failed")),
        ] {
            db.execute(sql, params![[digest; 32], not_after, register, outcome]).unwrap();
        }
        forget_openings(&db, 100).unwrap();
        let kept: Vec<[u8; 32]> = db
            .prepare("SELECT digest FROM request WHERE openings <> '[]' ORDER BY digest")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(kept, [[2; 32], [4; 32]], "one that waits, and one that may still be finished");
    }
}

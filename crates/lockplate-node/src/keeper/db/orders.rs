//! What was withdrawn, and trust lists.

use lockplate_core::Timestamp;
use lockplate_core::authorisation::{Withdrawn, WithdrawnBy};
use rusqlite::{Connection, params};

use super::{Rows, column, count, fixed, from_column, number_column};
use crate::db::{DbError, DbErrorKind};

const fn withdrawn_columns(by: &WithdrawnBy) -> (i64, &str) {
    match by {
        WithdrawnBy::Issuer(name) => (1, name.as_str()),
        WithdrawnBy::Court(name) => (2, name.as_str()),
        WithdrawnBy::Signers => (3, ""),
    }
}

/// Papers that one party has withdrawn.
pub(in crate::keeper) fn withdrawn_count(db: &Connection, by: &WithdrawnBy) -> Rows<u32> {
    let (kind, name) = withdrawn_columns(by);
    let sql = "SELECT count(*) FROM withdrawn WHERE kind = ?1 AND by = ?2";
    Ok(count(db.prepare_cached(sql)?.query_row(params![kind, name], |row| row.get(0))?))
}

pub(in crate::keeper) fn insert_withdrawn(db: &Connection, digest: &[u8; 32], by: &WithdrawnBy) -> Rows<()> {
    let (kind, name) = withdrawn_columns(by);
    db.execute("INSERT OR IGNORE INTO withdrawn (digest, kind, by) VALUES (?1, ?2, ?3)", params![digest, kind, name])?;
    Ok(())
}

/// Remembers a revoked key; that its leaf is there is said by [`set_revocation_logged`].
pub(in crate::keeper) fn insert_revoked_key(
    db: &Connection,
    vkey: &str,
    since: Timestamp,
    revocation: &[u8; 32],
) -> Rows<()> {
    let sql = "INSERT INTO revoked_key (vkey, since, revocation, logged) VALUES (?1, ?2, ?3, 0)
               ON CONFLICT (vkey) DO UPDATE SET since = min(since, ?2), revocation = ?3, logged = 0";
    db.execute(sql, params![vkey, column(since), revocation])?;
    Ok(())
}

pub(in crate::keeper) fn set_revocation_logged(db: &Connection, revocation: &[u8; 32]) -> Rows<()> {
    db.execute("UPDATE revoked_key SET logged = 1 WHERE revocation = ?1", [revocation])?;
    Ok(())
}

/// Revoked keys whose leaf is not there yet: the key, since when, and the digest of its revocation.
pub(in crate::keeper) fn revocations_to_log(db: &Connection) -> Rows<Vec<(String, Timestamp, [u8; 32])>> {
    let mut statement = db.prepare_cached("SELECT vkey, since, revocation FROM revoked_key WHERE logged = 0")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?)))?;
    rows.map(|row| {
        let (vkey, since, revocation) = row?;
        Ok((vkey, from_column(since), fixed(revocation)?))
    })
    .collect()
}

/// Everything that was withdrawn.
pub(in crate::keeper) fn withdrawn(db: &Connection) -> Rows<Withdrawn> {
    let mut all = Withdrawn::default();
    let mut statement = db.prepare_cached("SELECT digest, kind, by FROM withdrawn")?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?)))?;
    for row in rows {
        let (digest, kind, by) = row?;
        let by = match kind {
            1 => WithdrawnBy::Issuer(by),
            2 => WithdrawnBy::Court(by),
            3 => WithdrawnBy::Signers,
            _ => return Err(DbError::new(DbErrorKind::Internal)),
        };
        all.papers.entry(fixed(digest)?).or_default().insert(by);
    }
    let mut statement = db.prepare_cached("SELECT vkey, since FROM revoked_key")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
    for row in rows {
        let (vkey, since) = row?;
        all.keys.insert(vkey, from_column(since));
    }
    Ok(all)
}

pub(in crate::keeper) fn trust_list_is_known(db: &Connection, object: &[u8]) -> Rows<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM trust_list WHERE object = ?1")?.exists([object])?)
}

pub(in crate::keeper) fn insert_trust_list(
    db: &Connection,
    object: &[u8],
    serial: u64,
    (effective, leaf): (Timestamp, u64),
) -> Rows<()> {
    let sql = "INSERT INTO trust_list (object, serial, effective, leaf) VALUES (?1, ?2, ?3, ?4)";
    db.execute(sql, params![object, number_column(serial), column(effective), number_column(leaf)])?;
    Ok(())
}

/// All trust lists that were taken, in that order.
pub(in crate::keeper) fn trust_lists(db: &Connection) -> Rows<Vec<(Vec<u8>, Timestamp, u64)>> {
    let mut statement = db.prepare_cached("SELECT object, effective, leaf FROM trust_list ORDER BY leaf")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))?;
    rows.map(|row| {
        let (object, effective, leaf) = row?;
        Ok((object, from_column(effective), u64::try_from(leaf).unwrap_or(0)))
    })
    .collect()
}

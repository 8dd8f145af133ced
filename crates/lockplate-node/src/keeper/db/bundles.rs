//! Policy bundles, with what they allow anew and when they count.

use lockplate_core::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Rows, column, count, from_column, number_column};
use crate::db::{DbError, DbErrorKind};
use crate::keeper::policies::{BundleRow, BundleState};

pub(in crate::keeper) fn count_all(db: &Connection) -> Rows<u32> {
    Ok(count(db.prepare_cached("SELECT count(*) FROM policy_bundle")?.query_row([], |row| row.get(0))?))
}

pub(in crate::keeper) fn is_known(db: &Connection, digest: &[u8; 32]) -> Rows<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM policy_bundle WHERE digest = ?1")?.exists([digest])?)
}

pub(in crate::keeper) fn insert(
    db: &Connection,
    digest: &[u8; 32],
    files: &str,
    allows: Option<&str>,
    effective: Timestamp,
) -> Rows<i64> {
    let sql = "INSERT INTO policy_bundle (digest, files, allows, effective, state) VALUES (?1, ?2, ?3, ?4, 0)";
    db.execute(sql, params![digest, files, allows, column(effective)])?;
    Ok(db.last_insert_rowid())
}

pub(in crate::keeper) fn set_leaf(db: &Connection, id: i64, leaf: u64) -> Rows<()> {
    db.execute("UPDATE policy_bundle SET leaf = ?2 WHERE id = ?1", params![id, number_column(leaf)])?;
    Ok(())
}

/// The leaf of a change that waits, read back from the log.
pub(in crate::keeper) fn note_leaf(db: &Connection, digest: &[u8; 32], leaf: u64) -> Rows<()> {
    let sql = "UPDATE policy_bundle SET leaf = ?2 WHERE digest = ?1 AND leaf IS NULL AND state = 0";
    db.execute(sql, params![digest, number_column(leaf)])?;
    Ok(())
}

pub(in crate::keeper) fn set_state(db: &Connection, id: i64, state: BundleState) -> Rows<()> {
    db.execute("UPDATE policy_bundle SET state = ?2 WHERE id = ?1", params![id, state as i64])?;
    Ok(())
}

/// Changes whose leaf was never written: nobody was told of them.
pub(in crate::keeper) fn forget_unlogged(db: &Connection) -> Rows<()> {
    db.execute("DELETE FROM policy_bundle WHERE leaf IS NULL AND state = 0", [])?;
    Ok(())
}

/// All bundles in the order in which they came.
pub(in crate::keeper) fn all(db: &Connection) -> Rows<Vec<BundleRow>> {
    let mut statement = db.prepare_cached("SELECT id, files, effective, leaf, state FROM policy_bundle ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let leaf: Option<i64> = row.get(3)?;
        Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?, leaf, row.get::<_, i64>(4)?))
    })?;
    rows.map(|row| {
        let (id, files, effective, leaf, state) = row?;
        let state = BundleState::of(state).ok_or(DbError::new(DbErrorKind::Internal))?;
        let leaf = leaf.and_then(|leaf| u64::try_from(leaf).ok());
        Ok(BundleRow { id, files, effective: from_column(effective), leaf, state })
    })
    .collect()
}

/// Files, published text and time of a bundle; the newest of its digest.
pub(in crate::keeper) fn newest(
    db: &Connection,
    digest: &[u8; 32],
) -> Rows<Option<(String, Option<String>, Timestamp)>> {
    let sql = "SELECT files, allows, effective FROM policy_bundle WHERE digest = ?1 ORDER BY id DESC LIMIT 1";
    let row = db.prepare_cached(sql)?.query_row([digest], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?)));
    Ok(row.optional()?.map(|(files, allows, effective)| (files, allows, from_column(effective))))
}

//! Allowed emergencies and their papers.

use lockplate_core::Timestamp;
use lockplate_core::id::AgencyId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Rows, column, count, fixed, from_column};

/// An allowed emergency.
pub(in crate::keeper) struct Emergency {
    pub(in crate::keeper) requester: AgencyId,
    pub(in crate::keeper) deadline: Timestamp,
    /// Digest of the paper that files it.
    pub(in crate::keeper) filed: Option<[u8; 32]>,
}

pub(in crate::keeper) fn insert(
    db: &Connection,
    request: &[u8; 32],
    (requester, on_behalf_of): (AgencyId, AgencyId),
    deadline: Timestamp,
) -> Rows<()> {
    let sql = "INSERT OR IGNORE INTO emergency (request, requester, on_behalf_of, deadline) VALUES (?1, ?2, ?3, ?4)";
    db.execute(sql, params![request, requester.0, on_behalf_of.0, column(deadline)])?;
    Ok(())
}

pub(in crate::keeper) fn find(db: &Connection, request: &[u8; 32]) -> Rows<Option<Emergency>> {
    let sql = "SELECT requester, deadline, filed FROM emergency WHERE request = ?1";
    let row = db.prepare_cached(sql)?.query_row([request], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<Vec<u8>>>(2)?))
    });
    let Some((requester, deadline, filed)) = row.optional()? else { return Ok(None) };
    let filed = filed.map(fixed).transpose()?;
    Ok(Some(Emergency { requester: AgencyId(fixed(requester)?), deadline: from_column(deadline), filed }))
}

/// Emergencies that a paper files already.
pub(in crate::keeper) fn filed_by(db: &Connection, paper: &[u8; 32]) -> Rows<u32> {
    let sql = "SELECT count(*) FROM emergency WHERE filed = ?1";
    Ok(count(db.prepare_cached(sql)?.query_row([paper], |row| row.get(0))?))
}

pub(in crate::keeper) fn set_filed(db: &Connection, request: &[u8; 32], paper: &[u8; 32]) -> Rows<()> {
    db.execute("UPDATE emergency SET filed = ?2 WHERE request = ?1 AND filed IS NULL", params![request, paper])?;
    Ok(())
}

pub(in crate::keeper) fn set_overdue(db: &Connection, request: &[u8; 32]) -> Rows<()> {
    db.execute("UPDATE emergency SET overdue = 1 WHERE request = ?1", [request])?;
    Ok(())
}

/// Papers that an agency owes, its own and those of requests made for it, past their deadline.
pub(in crate::keeper) fn overdue(db: &Connection, agency: AgencyId, now: Timestamp) -> Rows<u32> {
    let sql = "SELECT count(*) FROM emergency
               WHERE filed IS NULL AND deadline <= ?2 AND (requester = ?1 OR on_behalf_of = ?1)";
    Ok(count(db.prepare_cached(sql)?.query_row(params![agency.0, column(now)], |row| row.get(0))?))
}

/// Papers past their deadline of which no leaf says so yet.
pub(in crate::keeper) fn newly_overdue(
    db: &Connection,
    now: Timestamp,
    limit: u32,
) -> Rows<Vec<([u8; 32], Timestamp)>> {
    let sql = "SELECT request, deadline FROM emergency WHERE filed IS NULL AND overdue = 0 AND deadline <= ?1
               ORDER BY deadline LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![column(now), limit], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (request, deadline) = row?;
        Ok((fixed(request)?, from_column(deadline)))
    })
    .collect()
}

//! Hot lists in `agency.db`: what their stewards signed, the numbers of their loads, and sealed what lives with the recorder. No entry of
//! an extract is here in any form.

use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::kept::Kept;
use lockplate_core::hotlist::limits::HISTORY_LOADS;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::db::{Db, DbError, DbErrorKind};

/// The tables; an entry of the migrations of `agency.db`.
pub(crate) const MIGRATION: &str = "
CREATE TABLE hotlist (list BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE, config BLOB NOT NULL, approval BLOB, template TEXT,
    directory BLOB, mfa INTEGER NOT NULL) STRICT;
CREATE TABLE hotlist_load (list BLOB NOT NULL, sequence INTEGER NOT NULL, loaded_at INTEGER NOT NULL, file BLOB NOT NULL,
    officer BLOB NOT NULL, added INTEGER NOT NULL, entries INTEGER NOT NULL, classes TEXT NOT NULL, set_salt BLOB NOT NULL,
    steward TEXT NOT NULL, PRIMARY KEY (list, sequence)) STRICT;
CREATE TABLE hotlist_kept (list BLOB NOT NULL, sequence INTEGER NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (list, sequence)) STRICT;
CREATE TABLE hotlist_marks (list BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
";

/// A list as it was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListRow {
    pub(super) list: [u8; 16],
    pub(super) name: String,
    /// `ByPerson<ListConfig>` of the steward.
    pub(super) config: Vec<u8>,
    /// The same by a second person, of another agency's list.
    pub(super) approval: Option<Vec<u8>>,
    /// The template whose digest the steward signed.
    pub(super) template: Option<String>,
    /// The directory of another agency whose list it is.
    pub(super) directory: Option<Vec<u8>>,
    /// The steward was signed in with two factors.
    pub(super) mfa: bool,
}

/// A load, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoadRow {
    pub(super) sequence: u64,
    pub(super) loaded_at: Timestamp,
    /// SHA-256 of the file.
    pub(super) file: [u8; 32],
    /// Key of whoever brought it.
    pub(super) officer: [u8; 32],
    pub(super) added: u64,
    pub(super) entries: u64,
    pub(super) classes: Vec<(ListClass, u64)>,
    /// Opens the digest of the set in the leaf.
    pub(super) set_salt: [u8; 16],
    /// Opens the steward in the leaf.
    pub(super) steward: String,
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) async fn lists(db: &Db) -> Result<Vec<ListRow>, DbError> {
    db.call(|connection| {
        let mut rows = connection.prepare_cached(
            "SELECT list, name, config, approval, template, directory, mfa FROM hotlist ORDER BY name",
        )?;
        let row = |row: &Row<'_>| {
            Ok(ListRow {
                list: row.get(0)?,
                name: row.get(1)?,
                config: row.get(2)?,
                approval: row.get(3)?,
                template: row.get(4)?,
                directory: row.get(5)?,
                mfa: row.get(6)?,
            })
        };
        Ok(rows.query_map([], row)?.collect::<Result<_, _>>()?)
    })
    .await
}

/// Writes a list down, in place of what it was. A name that another list has is a conflict.
pub(super) async fn put_list(db: &Db, row: ListRow) -> Result<(), DbError> {
    db.transaction(move |connection| {
        connection.execute(
            "INSERT INTO hotlist (list, name, config, approval, template, directory, mfa) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (list) DO UPDATE SET name = ?2, config = ?3, approval = ?4, template = ?5, directory = ?6, mfa = ?7",
            params![row.list, row.name, row.config, row.approval, row.template, row.directory, row.mfa],
        )?;
        Ok(())
    })
    .await
}

/// The last loads, the latest last.
pub(super) async fn loads(db: &Db, list: [u8; 16]) -> Result<Vec<LoadRow>, DbError> {
    db.call(move |connection| {
        let mut rows = connection.prepare_cached(
            "SELECT sequence, loaded_at, file, officer, added, entries, classes, set_salt, steward FROM hotlist_load
             WHERE list = ?1 ORDER BY sequence DESC LIMIT ?2",
        )?;
        let mut loads = Vec::new();
        let mut found = rows.query(params![list, i64::try_from(HISTORY_LOADS).unwrap_or(i64::MAX)])?;
        while let Some(row) = found.next()? {
            loads.push(load_of(row)?);
        }
        loads.reverse();
        Ok(loads)
    })
    .await
}

fn load_of(row: &Row<'_>) -> Result<LoadRow, DbError> {
    let torn = || DbError::new(DbErrorKind::Foreign);
    let classes: Vec<(String, u64)> = serde_json::from_str(&row.get::<_, String>(6)?).map_err(|_json| torn())?;
    let class = |(name, n): (String, u64)| Ok((ListClass::from_name(&name).ok_or_else(torn)?, n));
    Ok(LoadRow {
        sequence: count(row.get(0)?),
        loaded_at: Timestamp(count(row.get(1)?)),
        file: row.get(2)?,
        officer: row.get(3)?,
        added: count(row.get(4)?),
        entries: count(row.get(5)?),
        classes: classes.into_iter().map(class).collect::<Result<_, DbError>>()?,
        set_salt: row.get(7)?,
        steward: row.get(8)?,
    })
}

/// Entries that an officer has added to the agency's custom lists since a moment.
pub(super) async fn added_by(
    db: &Db,
    officer: [u8; 32],
    since: Timestamp,
    lists: Vec<[u8; 16]>,
) -> Result<u64, DbError> {
    db.call(move |connection| {
        let mut sum: u64 = 0;
        for list in lists {
            let added: i64 = connection.query_row(
                "SELECT coalesce(sum(added), 0) FROM hotlist_load WHERE list = ?1 AND officer = ?2 AND loaded_at >= ?3",
                params![list, officer, number(since.0)],
                |row| row.get(0),
            )?;
            sum = sum.saturating_add(count(added));
        }
        Ok(sum)
    })
    .await
}

/// Writes a load down that is logged, with what is kept of it. `is_full`: what was kept of earlier loads goes.
pub(super) async fn put_load(
    db: &Db,
    list: [u8; 16],
    row: LoadRow,
    kept: Option<Vec<u8>>,
    is_full: bool,
) -> Result<(), DbError> {
    db.transaction(move |connection| {
        let classes: Vec<(&str, u64)> = row.classes.iter().map(|(class, n)| (class.name(), *n)).collect();
        let classes = serde_json::to_string(&classes).map_err(|_our_type| DbError::new(DbErrorKind::Internal))?;
        connection.execute(
            "INSERT OR REPLACE INTO hotlist_load (list, sequence, loaded_at, file, officer, added, entries, classes, set_salt,
             steward) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                list,
                number(row.sequence),
                number(row.loaded_at.0),
                row.file,
                row.officer,
                number(row.added),
                number(row.entries),
                classes,
                row.set_salt,
                row.steward
            ],
        )?;
        if is_full {
            connection.execute("DELETE FROM hotlist_kept WHERE list = ?1", [list])?;
        }
        if let Some(sealed) = kept {
            connection.execute(
                "INSERT OR REPLACE INTO hotlist_kept (list, sequence, sealed) VALUES (?1, ?2, ?3)",
                params![list, number(row.sequence), sealed],
            )?;
        }
        Ok(())
    })
    .await
}

/// What is kept of a list's loads, in their order.
pub(super) async fn kept(db: &Db, list: [u8; 16]) -> Result<Vec<(Kept, Vec<u8>)>, DbError> {
    db.call(move |connection| {
        let mut rows =
            connection.prepare_cached("SELECT sequence, sealed FROM hotlist_kept WHERE list = ?1 ORDER BY sequence")?;
        let row = |row: &Row<'_>| Ok((Kept::Load { sequence: count(row.get(0)?) }, row.get(1)?));
        Ok(rows.query_map([list], row)?.collect::<Result<_, _>>()?)
    })
    .await
}

/// The list ended: nothing of its loads is kept but their numbers.
pub(super) async fn forget_kept(db: &Db, list: [u8; 16]) -> Result<(), DbError> {
    db.transaction(move |connection| {
        connection.execute("DELETE FROM hotlist_kept WHERE list = ?1", [list])?;
        connection.execute("DELETE FROM hotlist_marks WHERE list = ?1", [list])?;
        Ok(())
    })
    .await
}

pub(super) async fn marks(db: &Db, list: [u8; 16]) -> Result<Option<Vec<u8>>, DbError> {
    db.call(move |connection: &mut Connection| {
        Ok(connection
            .query_row("SELECT sealed FROM hotlist_marks WHERE list = ?1", [list], |row| row.get(0))
            .optional()?)
    })
    .await
}

pub(super) async fn put_marks(db: &Db, list: [u8; 16], sealed: Vec<u8>) -> Result<(), DbError> {
    db.transaction(move |connection| {
        connection
            .execute("INSERT OR REPLACE INTO hotlist_marks (list, sealed) VALUES (?1, ?2)", params![list, sealed])?;
        Ok(())
    })
    .await
}

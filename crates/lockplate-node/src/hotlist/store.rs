//! Hot lists in `agency.db`: what their stewards signed, the numbers of their loads, and sealed what lives with the recorder. No entry of
//! an extract is here in any form.

use lockplate_core::Timestamp;
use lockplate_core::entry::{HotlistLeaf, LEAF_BYTES_READ_MAX, ListClass, ListCounts, ListKind};
use lockplate_core::hotlist::limits::HISTORY_LOADS;
use lockplate_core::json::{Field as _, parse_canonical_within};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::change::{Change, Effect};
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

/// Changes that are written down and wait for their leaf to be confirmed, one a list: of a load, or of what somebody signed.
pub(crate) const MIGRATION_CHANGES: &str = "
CREATE TABLE hotlist_change (list BLOB PRIMARY KEY, from_leaf INTEGER NOT NULL, leaf BLOB NOT NULL, loaded_at INTEGER, file BLOB,
    officer BLOB, set_salt BLOB, steward TEXT, kept BLOB, is_full INTEGER, name TEXT, config BLOB, approval BLOB, template TEXT,
    directory BLOB, mfa INTEGER) STRICT;
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

impl LoadRow {
    /// The numbers of a load as its leaf has them.
    pub(super) fn of(leaf: &HotlistLeaf, said: LoadSaid) -> Self {
        let sum = |of: fn(&ListCounts) -> u64| leaf.classes.iter().map(of).fold(0, u64::saturating_add);
        Self {
            sequence: leaf.sequence,
            loaded_at: said.loaded_at,
            file: said.file,
            officer: said.officer,
            added: sum(|one| one.added),
            entries: sum(|one| one.accepted),
            classes: leaf.classes.iter().map(|one| (one.class, one.accepted)).collect(),
            set_salt: said.set_salt,
            steward: said.steward,
        }
    }
}

/// What is known of a load beyond its leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoadSaid {
    pub(super) loaded_at: Timestamp,
    pub(super) file: [u8; 32],
    pub(super) officer: [u8; 32],
    pub(super) set_salt: [u8; 16],
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
        let row = |row: &Row<'_>| list_of(row.get(0)?, row, 1);
        Ok(rows.query_map([], row)?.collect::<Result<_, _>>()?)
    })
    .await
}

/// A list whose columns from its name on begin at `from`.
fn list_of(list: [u8; 16], row: &Row<'_>, from: usize) -> rusqlite::Result<ListRow> {
    let at = |further: usize| from.saturating_add(further);
    Ok(ListRow {
        list,
        name: row.get(at(0))?,
        config: row.get(at(1))?,
        approval: row.get(at(2))?,
        template: row.get(at(3))?,
        directory: row.get(at(4))?,
        mfa: row.get(at(5))?,
    })
}

/// Writes a list down, in place of what it was: the same configuration with a newer directory, which is no change of the list.
pub(super) async fn put_list(db: &Db, row: ListRow) -> Result<(), DbError> {
    db.transaction(move |connection| write_list(connection, &row)).await
}

fn write_list(connection: &Connection, row: &ListRow) -> Result<(), DbError> {
    connection.execute(
        "INSERT INTO hotlist (list, name, config, approval, template, directory, mfa) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (list) DO UPDATE SET name = ?2, config = ?3, approval = ?4, template = ?5, directory = ?6, mfa = ?7",
        params![row.list, row.name, row.config, row.approval, row.template, row.directory, row.mfa],
    )?;
    Ok(())
}

const CHANGE_COLUMNS: &str =
    "SELECT list, from_leaf, leaf, loaded_at, file, officer, set_salt, steward, kept, is_full, name, config,
    approval, template, directory, mfa FROM hotlist_change";

/// Writes down a change that is about to be logged.
pub(super) async fn put_change(db: &Db, change: Change) -> Result<(), DbError> {
    db.transaction(move |connection| {
        let Change { from, leaf, effect } = change;
        let text = leaf.to_json().to_canonical_bytes_within(LEAF_BYTES_READ_MAX);
        let text = text.map_err(|_not_a_leaf| DbError::new(DbErrorKind::Internal))?;
        connection.execute(
            "INSERT INTO hotlist_change (list, from_leaf, leaf) VALUES (?1, ?2, ?3)",
            params![leaf.list, number(from), text],
        )?;
        match effect {
            Effect::Load { row, kept, is_full } => connection.execute(
                "UPDATE hotlist_change SET loaded_at = ?2, file = ?3, officer = ?4, set_salt = ?5, steward = ?6, kept = ?7,
                 is_full = ?8 WHERE list = ?1",
                params![
                    leaf.list,
                    number(row.loaded_at.0),
                    row.file,
                    row.officer,
                    row.set_salt,
                    row.steward,
                    kept,
                    is_full
                ],
            )?,
            Effect::Signed(row) => connection.execute(
                "UPDATE hotlist_change SET name = ?2, config = ?3, approval = ?4, template = ?5, directory = ?6, mfa = ?7
                 WHERE list = ?1",
                params![leaf.list, row.name, row.config, row.approval, row.template, row.directory, row.mfa],
            )?,
        };
        Ok(())
    })
    .await
}

/// Changes that are written down, one a list at most.
pub(super) async fn changes(db: &Db) -> Result<Vec<Change>, DbError> {
    db.call(|connection| {
        let mut rows = connection.prepare_cached(&format!("{CHANGE_COLUMNS} ORDER BY list"))?;
        let mut changes = Vec::new();
        let mut found = rows.query([])?;
        while let Some(row) = found.next()? {
            changes.push(read_change(row)?);
        }
        Ok(changes)
    })
    .await
}

/// The change of a list that is written down.
pub(super) async fn change_of(db: &Db, list: [u8; 16]) -> Result<Option<Change>, DbError> {
    db.call(move |connection| {
        let mut rows = connection.prepare_cached(&format!("{CHANGE_COLUMNS} WHERE list = ?1"))?;
        let mut found = rows.query([list])?;
        found.next()?.map(read_change).transpose()
    })
    .await
}

fn read_change(row: &Row<'_>) -> Result<Change, DbError> {
    let torn = |_error| DbError::new(DbErrorKind::Foreign);
    let text: Vec<u8> = row.get(2)?;
    let leaf = parse_canonical_within(&text, LEAF_BYTES_READ_MAX).and_then(HotlistLeaf::from_json).map_err(torn)?;
    let effect = match row.get::<_, Option<i64>>(3)? {
        Some(loaded_at) => {
            let said = LoadSaid {
                loaded_at: Timestamp(count(loaded_at)),
                file: row.get(4)?,
                officer: row.get(5)?,
                set_salt: row.get(6)?,
                steward: row.get(7)?,
            };
            Effect::Load { row: LoadRow::of(&leaf, said), kept: row.get(8)?, is_full: row.get(9)? }
        }
        None => Effect::Signed(list_of(row.get(0)?, row, 10)?),
    };
    Ok(Change { from: count(row.get(1)?), leaf, effect })
}

/// The change never came to the log.
pub(super) async fn forget_change(db: &Db, list: [u8; 16]) -> Result<(), DbError> {
    db.transaction(move |connection| forget(connection, list)).await
}

fn forget(connection: &Connection, list: [u8; 16]) -> Result<(), DbError> {
    connection.execute("DELETE FROM hotlist_change WHERE list = ?1", [list])?;
    Ok(())
}

/// The change is confirmed: what it does is done, in one step with its end.
pub(super) async fn take_effect(db: &Db, change: Change) -> Result<(), DbError> {
    db.transaction(move |connection| {
        let list = change.leaf.list;
        match change.effect {
            Effect::Load { row, kept, is_full } => write_load(connection, list, &row, kept, is_full)?,
            Effect::Signed(row) => {
                write_list(connection, &row)?;
                if change.leaf.kind == ListKind::Retire {
                    // Nothing of its loads is kept but their numbers.
                    connection.execute("DELETE FROM hotlist_kept WHERE list = ?1", [list])?;
                    connection.execute("DELETE FROM hotlist_marks WHERE list = ?1", [list])?;
                }
            }
        }
        forget(connection, list)
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
fn write_load(
    connection: &Connection,
    list: [u8; 16],
    row: &LoadRow,
    kept: Option<Vec<u8>>,
    is_full: bool,
) -> Result<(), DbError> {
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
}

/// What is kept of a list's loads, by sequence.
pub(super) async fn kept(db: &Db, list: [u8; 16]) -> Result<Vec<(u64, Vec<u8>)>, DbError> {
    db.call(move |connection| {
        let mut rows =
            connection.prepare_cached("SELECT sequence, sealed FROM hotlist_kept WHERE list = ?1 ORDER BY sequence")?;
        let row = |row: &Row<'_>| Ok((count(row.get(0)?), row.get(1)?));
        Ok(rows.query_map([list], row)?.collect::<Result<_, _>>()?)
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

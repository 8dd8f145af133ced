//! The database of an agency process: cameras, sources, epochs, prekeys, and the tables of [`crate::alerts`]. Never a key, never a read, never a plate. Rows
//! come from the recorder, the intake and the command line; each change of a camera is logged before it is accepted.

mod cameras;

use std::collections::BTreeMap;
use std::path::Path;

use lockplate_core::Timestamp;
use lockplate_core::epoch::{EpochClose, EpochHeader};
use lockplate_core::id::EpochId;
use lockplate_core::sign::Signed;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::alerts;
use crate::db::{Db, DbError, DbErrorKind};
use crate::intake::Asked;
use crate::recorder::plan::{Slot, SlotKind};
use crate::standby::DbShip;

pub use cameras::{Camera, CameraError, NewCamera, listed, register_digest};

/// Cameras of one agency, those that were removed among them: the largest known has 1,750.
pub const CAMERAS_MAX: usize = 20_000;
/// Sources of one agency.
pub const SOURCES_MAX: usize = 1_000;
/// Characters of a camera's key, place or group, and of a source's name.
pub const TEXT_CHARS_MAX: usize = 200;

const MIGRATIONS: &[&str] = &["
CREATE TABLE source (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, token_hash BLOB NOT NULL,
    settings TEXT NOT NULL) STRICT;
CREATE TABLE camera (number INTEGER PRIMARY KEY, source INTEGER NOT NULL REFERENCES source (number), key TEXT NOT NULL,
    place TEXT NOT NULL, lat REAL, lon REAL, grp TEXT NOT NULL, active INTEGER NOT NULL, UNIQUE (source, key)) STRICT;
CREATE TABLE epoch (id BLOB PRIMARY KEY, kind INTEGER NOT NULL, cap_from INTEGER NOT NULL, cap_to INTEGER NOT NULL,
    destroy_after INTEGER NOT NULL, header BLOB NOT NULL, close BLOB, state INTEGER NOT NULL, log_from INTEGER NOT NULL,
    orphaned INTEGER NOT NULL, cells INTEGER NOT NULL, created_at INTEGER NOT NULL) STRICT;
CREATE INDEX epoch_window ON epoch (cap_from);
CREATE TABLE told (epoch BLOB NOT NULL REFERENCES epoch (id), keeper INTEGER NOT NULL, PRIMARY KEY (epoch, keeper)) STRICT;
CREATE TABLE prekey (keeper INTEGER NOT NULL, id BLOB NOT NULL, signed BLOB NOT NULL, not_after INTEGER NOT NULL,
    PRIMARY KEY (keeper, id)) STRICT;
CREATE TABLE prekey_used (id BLOB PRIMARY KEY, not_after INTEGER NOT NULL) STRICT;
", "
CREATE TABLE camera_2 (number INTEGER PRIMARY KEY, source INTEGER NOT NULL REFERENCES source (number), key TEXT NOT NULL,
    place TEXT NOT NULL, lat REAL, lon REAL, grp TEXT NOT NULL, purpose TEXT NOT NULL, zone TEXT NOT NULL, state INTEGER NOT NULL,
    added_at INTEGER NOT NULL, changed_at INTEGER NOT NULL) STRICT;
INSERT INTO camera_2 SELECT number, source, key, place, lat, lon, grp, '', '', active, 0, 0 FROM camera;
DROP TABLE camera;
ALTER TABLE camera_2 RENAME TO camera;
CREATE UNIQUE INDEX camera_key ON camera (source, key) WHERE state <> 2;
", crate::hotlist::store::MIGRATION, alerts::store::MIGRATION, crate::account::MIGRATION,
    alerts::store::MIGRATION_SHARED, crate::hotlist::store::MIGRATION_CHANGES, "
CREATE TABLE asked (source INTEGER PRIMARY KEY REFERENCES source (number), read_to INTEGER NOT NULL,
    answered INTEGER NOT NULL) STRICT;
", crate::account::MIGRATION_ONCE, crate::account::MIGRATION_SIZE, alerts::store::MIGRATION_CHANGES, "
CREATE TABLE right_clock (camera INTEGER PRIMARY KEY REFERENCES camera (number), at INTEGER NOT NULL) STRICT;
"];

/// Version of `agency.db`.
pub(crate) fn schema() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// How far an epoch is. The numbers stand in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EpochState {
    /// 0: shares are out; its leaf may be in the log.
    Dealt,
    /// 1: `epoch.dealt` is logged; reads may be in its spool.
    Open,
    /// 2: its segment is in the archive and its close is signed; the leaf may be in the log.
    Closing,
    /// 3: logged, in the archive, served.
    Closed,
    /// 4: forgotten by the archive, past its retention or with the memory it was in.
    Destroyed,
    /// 5: its spool does not hold what was acknowledged; a person must look.
    Damaged,
}

impl EpochState {
    const ALL: [Self; 6] = [Self::Dealt, Self::Open, Self::Closing, Self::Closed, Self::Destroyed, Self::Damaged];

    const fn code(self) -> i64 {
        match self {
            Self::Dealt => 0,
            Self::Open => 1,
            Self::Closing => 2,
            Self::Closed => 3,
            Self::Destroyed => 4,
            Self::Damaged => 5,
        }
    }
}

/// An epoch as the recorder remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRow {
    /// Signed header, exact bytes.
    pub header: Signed<EpochHeader>,
    /// Signed close, from `Closing` on.
    pub close: Option<Signed<EpochClose>>,
    /// How far.
    pub state: EpochState,
    /// Size of the log before the leaf that `state` is about to write: where to look for it after a crash.
    pub log_from: u64,
    /// Its sealer died.
    pub orphaned: bool,
}

/// A configured source of reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// Number in records.
    pub number: u16,
    /// Name in its address.
    pub name: String,
    /// Engine, by the name of `lockplate_intake::SourceKind`.
    pub kind: String,
    /// SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// Settings as JSON; the intake knows what they mean.
    pub settings: String,
}

/// The tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AgencyDb {
    db: Db,
    /// Held while a camera change is logged and then made, so that the digest logged is the digest made.
    register: std::sync::Arc<tokio::sync::Mutex<()>>,
}

impl AgencyDb {
    /// Opens `agency.db` in a data folder whose lock the caller holds. Blocks.
    ///
    /// # Errors
    /// As [`Db::open`].
    pub fn open(path: &Path) -> Result<Self, DbError> {
        Self::open_shipped(path, None)
    }

    /// The same, with every change shipped to a standby. Blocks.
    ///
    /// # Errors
    /// As [`Db::open_shipped`].
    pub fn open_shipped(path: &Path, ship: Option<DbShip>) -> Result<Self, DbError> {
        Ok(Self { db: Db::open_shipped(path, MIGRATIONS, ship)?, register: std::sync::Arc::default() })
    }

    /// Ends the role as soon as the database cannot be relied on; see [`Db::end_with`].
    pub fn end_with(&self, tasks: &crate::shutdown::Tasks) {
        self.db.end_with(tasks);
    }

    /// The connection, for the tables of other modules.
    pub(crate) const fn db(&self) -> &Db {
        &self.db
    }

    /// All sources, by number.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn sources(&self) -> Result<Vec<SourceRow>, DbError> {
        self.db
            .call(|db| {
                let mut rows =
                    db.prepare_cached("SELECT number, name, kind, token_hash, settings FROM source ORDER BY number")?;
                let sources = rows.query_map([], |row| {
                    Ok(SourceRow {
                        number: row.get(0)?,
                        name: row.get(1)?,
                        kind: row.get(2)?,
                        token_hash: row.get(3)?,
                        settings: row.get(4)?,
                    })
                })?;
                Ok(sources.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Adds a source and gives it the next number, from 1.
    ///
    /// # Errors
    /// [`DbErrorKind::Constraint`] if the name is taken, empty or too long, or there are [`SOURCES_MAX`]; others as they are.
    pub async fn add_source(
        &self,
        name: String,
        kind: String,
        token_hash: [u8; 32],
        settings: String,
    ) -> Result<u16, DbError> {
        let refused = DbError::new(DbErrorKind::Constraint);
        if name.trim().is_empty() || name.chars().count() > TEXT_CHARS_MAX {
            return Err(refused);
        }
        self.db
            .transaction(move |db| {
                let last: u16 = db.query_row("SELECT coalesce(max(number), 0) FROM source", [], |row| row.get(0))?;
                if usize::from(last) >= SOURCES_MAX {
                    return Err(refused);
                }
                let number = last.saturating_add(1);
                db.execute(
                    "INSERT INTO source (number, name, kind, token_hash, settings) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![number, name, kind, token_hash, settings],
                )?;
                Ok(number)
            })
            .await
    }

    /// Replaces kind, token and settings of a source.
    ///
    /// # Errors
    /// [`DbErrorKind::NoRow`] if there is no such source.
    pub async fn change_source(&self, source: SourceRow) -> Result<(), DbError> {
        self.db
            .transaction(move |db| {
                let changed = db.execute(
                    "UPDATE source SET kind = ?2, token_hash = ?3, settings = ?4 WHERE number = ?1",
                    params![source.number, source.kind, source.token_hash, source.settings],
                )?;
                if changed == 1 { Ok(()) } else { Err(DbError::new(DbErrorKind::NoRow)) }
            })
            .await
    }

    /// How far a source that is asked was read; none where it never answered.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn asked(&self, source: u16) -> Result<Option<Asked>, DbError> {
        self.db
            .call(move |db| {
                let mut row = db.prepare_cached("SELECT read_to, answered FROM asked WHERE source = ?1")?;
                let asked = |row: &Row<'_>| Ok(Asked { read_to_ms: row.get(0)?, answered_ms: row.get(1)? });
                Ok(row.query_row([source], asked).optional()?)
            })
            .await
    }

    /// Remembers it, in place of what was.
    ///
    /// # Errors
    /// [`DbErrorKind::Constraint`] if there is no such source; others as they are.
    pub async fn set_asked(&self, source: u16, asked: Asked) -> Result<(), DbError> {
        self.db
            .transaction(move |db| {
                db.execute(
                    "INSERT OR REPLACE INTO asked (source, read_to, answered) VALUES (?1, ?2, ?3)",
                    params![source, asked.read_to_ms, asked.answered_ms],
                )?;
                Ok(())
            })
            .await
    }

    /// When the clock of each camera was right last, Unix ms.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn right_clocks(&self) -> Result<BTreeMap<u32, i64>, DbError> {
        self.db
            .call(|db| {
                let mut rows = db.prepare_cached("SELECT camera, at FROM right_clock")?;
                Ok(rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Remembers that, and nothing else.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn set_right_clocks(&self, right: BTreeMap<u32, i64>) -> Result<(), DbError> {
        self.db
            .transaction(move |db| {
                db.execute("DELETE FROM right_clock", ())?;
                let mut insert =
                    db.prepare_cached("INSERT INTO right_clock SELECT number, ?2 FROM camera WHERE number = ?1")?;
                for (camera, at) in right {
                    insert.execute(params![camera, at])?;
                }
                Ok(())
            })
            .await
    }

    /// Remembers an epoch whose shares are about to go out.
    ///
    /// # Errors
    /// [`DbErrorKind::Constraint`] if its id was used before; others as they are.
    pub async fn epoch_dealt(
        &self,
        header: Signed<EpochHeader>,
        slot: Slot,
        log_from: u64,
        now: Timestamp,
    ) -> Result<(), DbError> {
        self.db
            .transaction(move |db| {
                let value = header.claimed();
                let kind = match slot.kind {
                    SlotKind::Live => 1,
                    SlotKind::Late => 2,
                };
                db.execute(
                    "INSERT INTO epoch (id, kind, cap_from, cap_to, destroy_after, header, state, log_from, orphaned, cells, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, 0, 0, ?8)",
                    params![
                        value.epoch_id.0,
                        kind,
                        integer(value.cap_from.0)?,
                        integer(value.cap_to.0)?,
                        integer(value.destroy_after.0)?,
                        header.to_bytes(),
                        integer(log_from)?,
                        integer(now.0)?
                    ],
                )?;
                Ok(())
            })
            .await
    }

    /// Moves an epoch on.
    ///
    /// # Errors
    /// [`DbErrorKind::NoRow`] if it is not known; others as they are.
    pub async fn epoch_is(&self, epoch: EpochId, state: EpochState) -> Result<(), DbError> {
        self.change_epoch(move |db| {
            Ok(db.execute("UPDATE epoch SET state = ?2 WHERE id = ?1", params![epoch.0, state.code()])?)
        })
        .await
    }

    /// Notes the size of the log before the `epoch.dealt` leaf of an epoch is written.
    ///
    /// # Errors
    /// As [`AgencyDb::epoch_is`].
    pub async fn epoch_logs_from(&self, epoch: EpochId, log_from: u64) -> Result<(), DbError> {
        self.change_epoch(move |db| {
            Ok(db.execute("UPDATE epoch SET log_from = ?2 WHERE id = ?1", params![epoch.0, integer(log_from)?])?)
        })
        .await
    }

    /// Remembers the one close of an epoch before it is logged. `cells` is the number of reads, padding not counted.
    ///
    /// # Errors
    /// As [`AgencyDb::epoch_is`].
    pub async fn epoch_closes(
        &self,
        epoch: EpochId,
        close: Signed<EpochClose>,
        orphaned: bool,
        cells: u64,
        log_from: u64,
    ) -> Result<(), DbError> {
        self.change_epoch(move |db| {
            Ok(db.execute(
                "UPDATE epoch SET close = ?2, orphaned = ?3, cells = ?4, log_from = ?5, state = 2 WHERE id = ?1 AND close IS NULL",
                params![epoch.0, close.to_bytes(), orphaned, integer(cells)?, integer(log_from)?],
            )?)
        })
        .await
    }

    /// Drops an epoch of which nothing was ever logged or sealed.
    ///
    /// # Errors
    /// As [`AgencyDb::epoch_is`].
    pub async fn epoch_never_was(&self, epoch: EpochId) -> Result<(), DbError> {
        self.change_epoch(move |db| Ok(db.execute("DELETE FROM epoch WHERE id = ?1 AND state = 0", [epoch.0])?)).await
    }

    async fn change_epoch(
        &self,
        change: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<usize, DbError> + Send + 'static,
    ) -> Result<(), DbError> {
        self.db
            .transaction(move |db| if change(db)? == 1 { Ok(()) } else { Err(DbError::new(DbErrorKind::NoRow)) })
            .await
    }

    /// Epochs in one of the states, in order of their window; at most `limit`.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn epochs_in(&self, states: &'static [EpochState], limit: usize) -> Result<Vec<EpochRow>, DbError> {
        self.db
            .call(move |db| {
                let list: Vec<String> = states.iter().map(|state| state.code().to_string()).collect();
                let sql = format!(
                    "SELECT header, close, state, log_from, orphaned FROM epoch WHERE state IN ({}) ORDER BY cap_from, id LIMIT ?1",
                    list.join(",")
                );
                let mut rows = db.prepare(&sql)?;
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let epochs = rows.query_map([limit], epoch_of)?.collect::<Result<_, _>>()?;
                Ok(epochs)
            })
            .await
    }

    /// Epochs whose window lies inside `[from, to)`, Unix seconds, in order of id; at most `limit`.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn epochs_inside(&self, from: u64, to: u64, limit: usize) -> Result<Vec<EpochRow>, DbError> {
        let bound = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
        let (from, to, limit) = (bound(from), bound(to), i64::try_from(limit).unwrap_or(i64::MAX));
        self.db
            .call(move |db| {
                let mut rows = db.prepare_cached(
                    "SELECT header, close, state, log_from, orphaned FROM epoch WHERE cap_from >= ?1 AND cap_to <= ?2
                     ORDER BY id LIMIT ?3",
                )?;
                let epochs = rows.query_map([from, to, limit], epoch_of)?.collect::<Result<_, _>>()?;
                Ok(epochs)
            })
            .await
    }

    /// One epoch.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn epoch(&self, epoch: EpochId) -> Result<Option<EpochRow>, DbError> {
        self.db
            .call(move |db| {
                let sql = "SELECT header, close, state, log_from, orphaned FROM epoch WHERE id = ?1";
                Ok(db.query_row(sql, [epoch.0], epoch_of).optional()?)
            })
            .await
    }

    /// Live and late epochs dealt since `since` (Unix seconds), and the most reads that one of the last 24 closed epochs of each
    /// kind held.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn volume(&self, since: u64) -> Result<Volume, DbError> {
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        self.db
            .call(move |db| {
                let mut count = db.prepare_cached("SELECT count(*) FROM epoch WHERE kind = ?1 AND created_at >= ?2")?;
                let mut most = db.prepare_cached(
                    "SELECT coalesce(max(cells), 0) FROM (SELECT cells FROM epoch WHERE kind = ?1 AND state >= 2
                     ORDER BY created_at DESC LIMIT 24)",
                )?;
                let mut of = |kind: i64| -> Result<(u32, u64), DbError> {
                    let dealt: u32 = count.query_row([kind, since], |row| row.get(0))?;
                    let cells: i64 = most.query_row([kind], |row| row.get(0))?;
                    Ok((dealt, u64::try_from(cells).unwrap_or(0)))
                };
                let ((live_dealt, live_cells), (late_dealt, late_cells)) = (of(1)?, of(2)?);
                Ok(Volume { live_dealt, late_dealt, live_cells, late_cells })
            })
            .await
    }

    /// Windows from `cap_from` on that had a live epoch.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn live_windows(&self, cap_from: u64) -> Result<Vec<u64>, DbError> {
        let cap_from = integer(cap_from)?;
        self.db
            .call(move |db| {
                let mut windows =
                    db.prepare_cached("SELECT DISTINCT cap_from FROM epoch WHERE kind = 1 AND cap_from >= ?1")?;
                let rows = windows.query_map([cap_from], |row| row.get::<_, i64>(0))?;
                Ok(rows
                    .filter_map(|window| window.map(|at| u64::try_from(at).ok()).transpose())
                    .collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Notes that a keeper was told of a close.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn told(&self, epoch: EpochId, keeper: u8) -> Result<(), DbError> {
        self.db
            .transaction(move |db| {
                db.execute("INSERT OR IGNORE INTO told (epoch, keeper) VALUES (?1, ?2)", params![epoch.0, keeper])?;
                Ok(())
            })
            .await
    }

    /// Closes that this keeper was not told of, oldest first; at most `limit`.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn untold(&self, keeper: u8, limit: u32) -> Result<Vec<EpochRow>, DbError> {
        self.db
            .call(move |db| {
                let mut rows = db.prepare_cached(
                    "SELECT header, close, state, log_from, orphaned FROM epoch WHERE state = 3
                     AND NOT EXISTS (SELECT 1 FROM told WHERE told.epoch = epoch.id AND told.keeper = ?1)
                     ORDER BY created_at LIMIT ?2",
                )?;
                let epochs = rows.query_map([u32::from(keeper), limit], epoch_of)?.collect::<Result<_, _>>()?;
                Ok(epochs)
            })
            .await
    }

    /// Closed epochs whose retention ended by `now` (Unix seconds); at most `limit`.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn epochs_due(&self, now: u64, limit: u32) -> Result<Vec<EpochRow>, DbError> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.db
            .call(move |db| {
                let mut rows = db.prepare_cached(
                    "SELECT header, close, state, log_from, orphaned FROM epoch WHERE state = 3 AND destroy_after <= ?1 LIMIT ?2",
                )?;
                let epochs = rows.query_map(params![now, limit], epoch_of)?.collect::<Result<_, _>>()?;
                Ok(epochs)
            })
            .await
    }

    /// The archive was in memory and went with it: no closed epoch of an earlier run is served again.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn archive_is_gone(&self) -> Result<(), DbError> {
        self.db
            .transaction(move |db| {
                let (closed, destroyed) = (EpochState::Closed.code(), EpochState::Destroyed.code());
                db.execute("UPDATE epoch SET state = ?1 WHERE state = ?2", params![destroyed, closed])?;
                Ok(())
            })
            .await
    }

    /// Adds prekeys of a keeper to the stock; one that was ever used or is there is left out. How many are new.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn stock_prekeys(&self, keeper: u8, prekeys: Vec<([u8; 16], u64, Vec<u8>)>) -> Result<usize, DbError> {
        self.db
            .transaction(move |db| {
                let mut added = 0_usize;
                for (id, not_after, signed) in prekeys {
                    let rows = db.execute(
                        "INSERT OR IGNORE INTO prekey (keeper, id, signed, not_after)
                         SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM prekey_used WHERE id = ?2)",
                        params![keeper, id, signed, integer(not_after.min(i64::MAX.cast_unsigned()))?],
                    )?;
                    added = added.saturating_add(rows);
                }
                Ok(added)
            })
            .await
    }

    /// Takes one prekey of each keeper 1..=n out of the stock, for good (I10), that is valid until after `until`; `None`, and
    /// nothing taken, if one has none.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn take_prekeys(&self, keepers: u8, until: u64) -> Result<Option<Vec<Vec<u8>>>, DbError> {
        let until = i64::try_from(until).unwrap_or(i64::MAX);
        self.db
            .transaction(move |db| {
                let mut taken = Vec::new();
                for keeper in 1..=keepers {
                    let sql = "SELECT id, signed, not_after FROM prekey WHERE keeper = ?1 AND not_after > ?2 ORDER BY not_after LIMIT 1";
                    let found: Option<([u8; 16], Vec<u8>, i64)> = db
                        .query_row(sql, params![keeper, until], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                        .optional()?;
                    let Some(found) = found else { return Ok(None) };
                    taken.push(found);
                }
                for (id, _, not_after) in &taken {
                    db.execute("DELETE FROM prekey WHERE id = ?1", [id])?;
                    db.execute("INSERT OR IGNORE INTO prekey_used (id, not_after) VALUES (?1, ?2)", params![id, not_after])?;
                }
                Ok(Some(taken.into_iter().map(|(_, signed, _)| signed).collect()))
            })
            .await
    }

    /// Prekeys in stock of keepers 1..=n that are valid after `now`; expired ones are dropped.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn prekeys(&self, keepers: u8, now: u64) -> Result<Vec<u32>, DbError> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.db
            .transaction(move |db| {
                db.execute("DELETE FROM prekey WHERE not_after <= ?1", [now])?;
                db.execute("DELETE FROM prekey_used WHERE not_after <= ?1", [now])?;
                let count = |keeper: u8| {
                    Ok(db.query_row("SELECT count(*) FROM prekey WHERE keeper = ?1", [keeper], |row| row.get(0))?)
                };
                (1..=keepers).map(count).collect()
            })
            .await
    }
}

/// Recent volume of a recorder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Live epochs dealt.
    pub live_dealt: u32,
    /// Late epochs dealt.
    pub late_dealt: u32,
    /// Most reads in a recent live epoch.
    pub live_cells: u64,
    /// Most reads in a recent late epoch.
    pub late_cells: u64,
}

fn integer(value: u64) -> Result<i64, DbError> {
    i64::try_from(value).map_err(|_beyond_the_year_292_billion| DbError::new(DbErrorKind::Internal))
}

fn epoch_of(row: &Row<'_>) -> rusqlite::Result<EpochRow> {
    let bad = |column| {
        move |error: lockplate_core::Error| {
            rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
        }
    };
    let header = Signed::from_bytes(&row.get::<_, Vec<u8>>(0)?).map_err(bad(0))?;
    let close =
        row.get::<_, Option<Vec<u8>>>(1)?.map(|bytes| Signed::from_bytes(&bytes)).transpose().map_err(bad(1))?;
    let code: i64 = row.get(2)?;
    let state = EpochState::ALL.into_iter().find(|state| state.code() == code);
    let state = state.ok_or(rusqlite::Error::IntegralValueOutOfRange(2, code))?;
    let log_from = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
    Ok(EpochRow { header, close, state, log_from, orphaned: row.get(4)? })
}

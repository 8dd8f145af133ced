//! The SQLite database of a role: one file, one connection, called from async code without blocking it. It must never
//! go on after a failed sync (the disk and SQLite then disagree about what is durable) and never leave a deleted secret
//! readable in a file of its own. Rows come from and go to the role that owns the database; nothing here knows what
//! they mean.
//!
//! **Journal.** `journal_mode = TRUNCATE` with `synchronous = FULL` and `secure_delete = ON`, and not WAL, for three
//! reasons:
//! - Deletion. `secure_delete` zeroes deleted content in the main file at commit, and the rollback journal, which held
//!   the old page, is empty after the commit. In WAL mode the old page stays in the main file, and older frames in the
//!   WAL, until a checkpoint succeeds, which any open reader delays: a destroyed share would be readable for an
//!   unbounded time.
//! - Durability. With TRUNCATE and FULL, SQLite syncs the truncated journal before a commit returns. With DELETE and
//!   FULL it does not sync the folder, so a power loss can bring the journal back and undo the last commit: a spent
//!   grant would be unspent.
//! - One process with one connection (the data folder is locked) has no use for WAL's concurrent readers.
//!
//! With a standby ([`Db::open_shipped`]) it is WAL all the same, because the WAL is where the changed pages are to be had: the pages of each
//! call are shipped before its caller hears of it, and the WAL is checkpointed and emptied before the next call. The lock is exclusive, so
//! no reader delays that, and the three reasons above hold as they do for the rollback journal.
//!
//! What a file system or flash controller keeps of overwritten blocks is out of reach of all of this; so shares are
//! stored wrapped, and destroying one ends with destroying its key file.

use core::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::shutdown::{ExitKind, Tasks};
use crate::standby::{DbShip, NoPages};

/// How long SQLite waits for a lock of another process (a backup, a look by an operator) before it reports
/// [`DbErrorKind::Busy`].
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements that are kept: more than any role has, so that none is read anew for each request.
const STATEMENTS_KEPT: usize = 256;

/// What went wrong, by what the caller is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DbErrorKind {
    /// Input, output or sync failed, the file is damaged, or a call panicked midway. The database answers nothing any
    /// more; stop the process.
    Fatal,
    /// The disk is full. Nothing was changed; refuse, and try again later.
    Full,
    /// Another process holds the file. Nothing was changed; try again.
    Busy,
    /// A row contradicts a constraint (unique, foreign key, check). Nothing was changed.
    Constraint,
    /// A query that must return a row returned none.
    NoRow,
    /// The file was written by a later version of the program, or is no file of this program's.
    Foreign,
    /// The statement or the type of a column is wrong: our bug.
    Internal,
}

/// A database error: a kind and SQLite's extended code. Never a statement or a value: both may hold what must not be
/// traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DbError {
    kind: DbErrorKind,
    code: Option<i32>,
}

impl DbError {
    /// An error of this kind, also for callers whose own checks on a row fail ([`DbErrorKind::Internal`]).
    #[must_use]
    pub const fn new(kind: DbErrorKind) -> Self {
        Self { kind, code: None }
    }

    /// What to do about it.
    #[must_use]
    pub const fn kind(self) -> DbErrorKind {
        self.kind
    }

    /// The exit code where this ends a process.
    #[must_use]
    pub const fn exit_kind(self) -> ExitKind {
        match self.kind {
            DbErrorKind::Fatal | DbErrorKind::Full | DbErrorKind::Busy => ExitKind::Unavailable,
            DbErrorKind::Foreign => ExitKind::Config,
            DbErrorKind::Constraint | DbErrorKind::NoRow | DbErrorKind::Internal => ExitKind::Internal,
        }
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DbErrorKind::Fatal => "the database cannot be relied on any more",
            DbErrorKind::Full => "the disk of the database is full",
            DbErrorKind::Busy => "the database is held by another process",
            DbErrorKind::Constraint => "the change contradicts what the database holds",
            DbErrorKind::NoRow => "the row is not there",
            DbErrorKind::Foreign => "the database file belongs to another program or a later version",
            DbErrorKind::Internal => "a database statement failed: internal error, our bug",
        })?;
        if let Some(code) = self.code {
            write!(f, " (SQLite code {code})")?;
        }
        Ok(())
    }
}

impl core::error::Error for DbError {}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        if matches!(error, rusqlite::Error::QueryReturnedNoRows) {
            return Self::new(DbErrorKind::NoRow);
        }
        let code = error.sqlite_error().map(|sqlite| sqlite.extended_code);
        let kind = match error.sqlite_error_code() {
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly,
            ) => DbErrorKind::Fatal,
            Some(ErrorCode::NotADatabase) => DbErrorKind::Foreign,
            Some(ErrorCode::DiskFull) => DbErrorKind::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => DbErrorKind::Busy,
            Some(ErrorCode::ConstraintViolation) => DbErrorKind::Constraint,
            // The enum of rusqlite is non-exhaustive; what remains are statements and bindings that are wrong.
            _ => DbErrorKind::Internal,
        };
        Self { kind, code }
    }
}

/// A database. Cheap to clone; all clones share the one connection.
#[derive(Clone)]
pub struct Db {
    connection: Arc<Mutex<Connection>>,
    turn: Arc<Semaphore>,
    broken: CancellationToken,
    ship: Option<Arc<Shipped>>,
}

/// A database whose changes are shipped to a standby.
struct Shipped {
    path: PathBuf,
    ship: DbShip,
}

impl Shipped {
    /// Ships what was committed, then empties the write-ahead log. Blocks.
    fn ship(&self, connection: &Connection) -> Result<(), DbError> {
        let fatal = |cause: NoPages| {
            tracing::error!(%cause, "a change of a database is not known to be shipped: the database is used no more");
            DbError::new(DbErrorKind::Fatal)
        };
        if self.ship.committed(&self.path).map_err(fatal)? {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("broken", &self.broken.is_cancelled()).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the file at `path` (created with mode 0600) and brings it to the schema of `migrations`. Blocks; call it
    /// before serving.
    ///
    /// `migrations[i]` turns version `i` into version `i + 1`; published entries are never edited, only followed. All
    /// missing ones run in one transaction, so a crash leaves the old version.
    ///
    /// # Errors
    /// [`DbErrorKind::Foreign`] where the file is of a later version or no database, [`DbErrorKind::Fatal`] where it
    /// cannot be opened, [`DbErrorKind::Internal`] where a migration does not run.
    pub fn open(path: &Path, migrations: &[&str]) -> Result<Self, DbError> {
        Self::open_shipped(path, migrations, None)
    }

    /// The same, with every change shipped to a standby before its caller hears of it.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`DbErrorKind::Fatal`] where a migration is not known to be shipped.
    pub fn open_shipped(path: &Path, migrations: &[&str], ship: Option<DbShip>) -> Result<Self, DbError> {
        // SQLite gives its journal the mode of the main file, so making that one first closes both to others.
        let made = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|_path_not_shown| DbError::new(DbErrorKind::Fatal))?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let journal: &[(&str, &str)] = match ship {
            None => &[("journal_mode", "TRUNCATE")],
            Some(_) => &[("locking_mode", "EXCLUSIVE"), ("journal_mode", "WAL"), ("wal_autocheckpoint", "0")],
        };
        for (pragma, value) in journal.iter().copied().chain([
            ("synchronous", "FULL"),
            ("secure_delete", "ON"),
            ("foreign_keys", "ON"),
            ("temp_store", "MEMORY"),
            ("trusted_schema", "OFF"),
            ("cell_size_check", "ON"),
        ]) {
            connection.pragma_update(None, pragma, value)?;
        }
        migrate(&mut connection, migrations)?;
        let ship = ship.map(|ship| Arc::new(Shipped { path: path.to_owned(), ship }));
        if let Some(ship) = &ship {
            ship.ship(&connection)?;
        }
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            turn: Arc::new(Semaphore::new(1)),
            broken: CancellationToken::new(),
            ship,
        })
    }

    /// Runs `work` on a blocking thread with the connection, outside any transaction: for single statements and reads.
    ///
    /// Calls run one after the other in the order of arrival. Where the returned future is dropped after `work` has
    /// begun, `work` still runs to its end. `work` must not wait for anything but the database.
    ///
    /// # Errors
    /// What `work` returns; [`DbErrorKind::Fatal`] from then on for every call where it was fatal or `work` panicked.
    pub async fn call<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, DbError> + Send + 'static,
    {
        let fatal = DbError::new(DbErrorKind::Fatal);
        let (turn, connection, broken) = (Arc::clone(&self.turn), Arc::clone(&self.connection), self.broken.clone());
        let ship = self.ship.clone();
        let run = async move {
            // One blocking thread at a time, held by a permit: waiting calls wait here, not on threads.
            let permit = turn.acquire_owned().await.map_err(|_never_closed| fatal)?;
            let ran = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                if broken.is_cancelled() {
                    return Err(fatal);
                }
                let mut connection = connection.lock().map_err(|_poisoned| fatal)?;
                let mut result = work(&mut connection);
                // Whatever `work` says: what it committed is durable here, and must be there before anybody goes on from it.
                if let Some(Err(not_shipped)) = ship.map(|ship| ship.ship(&connection)) {
                    result = Err(not_shipped);
                }
                if result.as_ref().is_err_and(|error| error.kind == DbErrorKind::Fatal) {
                    // A failed sync is never retried: after one, the kernel may report the next as done though the
                    // pages are lost.
                    broken.cancel();
                }
                result
            });
            ran.await.map_err(|_panicked| fatal)?
        };
        // A task of its own: a caller that does not poll its future for a while (one of many in a set) must not hold the
        // turn that was handed to it. Dropped, the future gives its place up.
        #[expect(clippy::disallowed_methods, reason = "it ends with this one call, and is aborted with it")]
        let task = AbortOnDropHandle::new(tokio::spawn(run));
        task.await.map_err(|_panicked| fatal)?
    }

    /// Ends the role as soon as the database cannot be relied on: a process that goes on would decide on what it only
    /// believes to be stored.
    pub fn end_with(&self, tasks: &Tasks) {
        let (broken, stopping) = (self.broken.clone(), tasks.stopping().clone());
        tasks.spawn_essential("database", async move {
            tokio::select! {
                () = broken.cancelled() => {}
                () = stopping.cancelled() => {}
            }
        });
    }

    /// Runs `work` in one immediate transaction: durable when this returns `Ok`, without effect where it returns `Err`.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn transaction<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), DbError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let target = u32::try_from(migrations.len()).map_err(|_length| DbError::new(DbErrorKind::Internal))?;
    if version > target {
        return Err(DbError::new(DbErrorKind::Foreign));
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    for migration in migrations.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    if version < target {
        transaction.pragma_update(None, "user_version", target)?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    const FIRST: &str = "CREATE TABLE share (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL UNIQUE) STRICT";
    const SECOND: &str = "ALTER TABLE share ADD COLUMN epoch TEXT NOT NULL DEFAULT ''";

    fn version(db: &Db) -> u32 {
        db.connection.lock().unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    fn insert(bytes: Vec<u8>) -> impl FnOnce(&Transaction<'_>) -> Result<(), DbError> + Send + 'static {
        move |transaction| {
            transaction.execute("INSERT INTO share (bytes) VALUES (?1)", [bytes])?;
            Ok(())
        }
    }

    fn count(connection: &mut Connection) -> Result<u32, DbError> {
        Ok(connection.query_row("SELECT count(*) FROM share", [], |row| row.get(0))?)
    }

    #[tokio::test]
    async fn migrations_run_once_each_and_a_later_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.db");
        let db = Db::open(&path, &[FIRST]).unwrap();
        db.transaction(insert(vec![1])).await.unwrap();
        drop(db);
        let db = Db::open(&path, &[FIRST, SECOND]).unwrap();
        assert_eq!(version(&db), 2);
        assert_eq!(db.call(count).await, Ok(1), "the row of version 1 is still there");
        drop(db);
        assert_eq!(version(&Db::open(&path, &[FIRST, SECOND]).unwrap()), 2, "nothing to do the second time");
        assert_eq!(Db::open(&path, &[FIRST]).unwrap_err().kind(), DbErrorKind::Foreign);
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_the_old_version_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.db");
        drop(Db::open(&path, &[FIRST]).unwrap());
        assert_eq!(Db::open(&path, &[FIRST, SECOND, "NONSENSE"]).unwrap_err().kind(), DbErrorKind::Internal);
        assert_eq!(version(&Db::open(&path, &[FIRST]).unwrap()), 1);
    }

    #[tokio::test]
    async fn pragmas_and_mode_are_what_the_module_promises() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.db");
        let db = Db::open(&path, &[FIRST]).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        for (pragma, expected) in
            [("secure_delete", 1), ("synchronous", 2), ("foreign_keys", 1), ("temp_store", 2), ("trusted_schema", 0)]
        {
            let found = db.call(move |db| Ok(db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))?)).await;
            assert_eq!(found, Ok(expected), "{pragma}");
        }
        let mode = db.call(|db| Ok(db.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?)).await;
        assert_eq!(mode.as_deref(), Ok("truncate"));
    }

    #[tokio::test]
    async fn a_deleted_secret_is_in_no_file_of_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("keeper.db"), &[FIRST]).unwrap();
        let secret = b"a share that has to go away for good".to_vec();
        let found = || {
            std::fs::read_dir(folder.path()).unwrap().any(|file| {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                bytes.windows(secret.len()).any(|window| window == secret)
            })
        };
        db.transaction(insert(secret.clone())).await.unwrap();
        assert!(found(), "the search finds what is there");
        db.transaction(|transaction| Ok(transaction.execute("DELETE FROM share", [])?)).await.unwrap();
        assert!(!found());
    }

    #[tokio::test]
    async fn a_failed_transaction_has_no_effect_and_says_why_without_values() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("keeper.db"), &[FIRST]).unwrap();
        db.transaction(insert(vec![1])).await.unwrap();
        let twice = db
            .transaction(|transaction| {
                insert(vec![2])(transaction)?;
                insert(vec![1])(transaction)
            })
            .await
            .unwrap_err();
        assert_eq!(twice.kind(), DbErrorKind::Constraint);
        assert_eq!(twice.to_string(), "the change contradicts what the database holds (SQLite code 2067)");
        assert_eq!(db.call(count).await, Ok(1));
        let none =
            db.call(|db| Ok(db.query_row("SELECT id FROM share WHERE id = 9", [], |row| row.get::<_, i64>(0))?)).await;
        assert_eq!(none.unwrap_err().kind(), DbErrorKind::NoRow);
    }

    #[tokio::test]
    async fn after_a_fatal_error_or_a_panic_nothing_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| Db::open(&folder.path().join(name), &[FIRST]).unwrap();
        let io_error =
            || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None);
        let db = open("sync.db");
        assert_eq!(db.call(move |_| Err::<(), _>(io_error().into())).await.unwrap_err().kind(), DbErrorKind::Fatal);
        assert_eq!(db.call(count).await.unwrap_err().kind(), DbErrorKind::Fatal, "and stays so");
        let db = open("panic.db");
        let panicked = db.call(|_| -> Result<(), DbError> { panic!("a bug in a caller") }).await;
        assert_eq!(panicked.unwrap_err().kind(), DbErrorKind::Fatal);
        assert_eq!(db.call(count).await.unwrap_err().kind(), DbErrorKind::Fatal);
        let db = open("busy.db");
        let busy = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
        assert_eq!(db.call(move |_| Err::<(), _>(busy.into())).await.unwrap_err().kind(), DbErrorKind::Busy);
        assert_eq!(db.call(count).await, Ok(0), "busy is not fatal");
    }

    #[tokio::test]
    async fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keeper.db");
        std::fs::File::create(&path).unwrap().write_all(&[b'x'; 4096]).unwrap();
        assert_eq!(Db::open(&path, &[FIRST]).unwrap_err().kind(), DbErrorKind::Foreign);
    }
}

//! The files of an agency that the journal carries, and where they lie below a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockplate_core::id::EpochId;
use lockplate_store::spool::SPOOL_SUFFIX;

use super::record::{DbOf, LogFileName, LogOf};

/// What is replaced as a whole when a machine takes over; and what SQLite may have left beside its files.
pub(super) const TOP_LEVEL: [&str; 10] = [
    "agency.db",
    "desk.db",
    "log",
    "spool",
    "agency.db-wal",
    "agency.db-shm",
    "agency.db-journal",
    "desk.db-wal",
    "desk.db-shm",
    "desk.db-journal",
];

/// The folder, and the names of the logs' folders in it.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) root: PathBuf,
    pub(super) logs: BTreeMap<LogOf, String>,
}

impl Files {
    pub(super) fn db(&self, db: DbOf) -> PathBuf {
        self.root.join(match db {
            DbOf::Agency => "agency.db",
            DbOf::Desk => "desk.db",
        })
    }

    pub(super) fn spools(&self) -> PathBuf {
        self.root.join("spool")
    }

    pub(super) fn spool(&self, epoch: EpochId) -> PathBuf {
        self.spools().join(format!("{epoch}{SPOOL_SUFFIX}"))
    }

    /// `None` for a log that this machine's settings have not.
    pub(super) fn log(&self, log: LogOf) -> Option<PathBuf> {
        Some(self.root.join("log").join(self.logs.get(&log)?))
    }

    pub(super) fn log_file(&self, log: LogOf, file: LogFileName) -> Option<PathBuf> {
        Some(self.log(log)?.join(file.path()))
    }

    /// The same files below another folder.
    pub(super) fn below(&self, root: &Path) -> Self {
        Self { root: root.to_owned(), logs: self.logs.clone() }
    }
}

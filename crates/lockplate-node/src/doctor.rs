//! A look at a stopped data folder, and at the machine: `lockplate doctor`. Everything that is on the disk is compared with what
//! the signed papers and the log promise. It must never mend anything, and never say a plate, a key or a share: findings are
//! fixed sentences and places. Bounded memory: one bundle, one bucket, and one digest an epoch or request at a time.

mod agency;
mod found;
mod keeper;
mod log;
pub mod machine;

use core::fmt;
use std::path::{Path, PathBuf};

use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_store::segment_store::SegmentStore;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use crate::settings::{DataFolder, KeyFileError, KeyFileReason, others_may_enter, read_public_file};
use crate::shutdown::ExitKind;

/// Findings kept in a report; the rest are counted.
pub const FINDINGS_MAX: usize = 10_000;
/// Epochs, shares or requests of one folder that are compared with the log: a century of hours. A digest of each is in memory.
const COMPARED_MAX: usize = 1_000_000;
/// Folders in folders that are searched for temporaries: the log's tiles lie at most seven deep.
const DEPTH_MAX: usize = 10;
/// Name of the charter file that is looked for in the data folder and beside it.
const CHARTER_FILE: &str = "charter.auth";

/// How bad a finding is, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be, also after a crash: the next start deals with it.
    Ok,
    /// This machine does not say.
    CouldNotCheck,
    /// Somebody should look.
    Warning,
    /// Something that was acknowledged or logged is not there as it was.
    Failed,
}

impl Severity {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::CouldNotCheck => "could not check",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// A fixed sentence.
    pub what: &'static str,
    /// A path relative to the folder, or an id behind it. Never a plate, never a secret.
    #[serde(rename = "where")]
    pub place: String,
}

/// Whose folder it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An agency's.
    Agency,
    /// A keeper's.
    Keeper,
    /// No folder: the machine.
    Machine,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Entries of the logs, each proved against the signed head.
    pub log_entries: u64,
    /// Epochs of the archive.
    pub epochs: u64,
    /// Cells of the archive and of spools that hold.
    pub cells: u64,
    /// Spools.
    pub spools: u64,
    /// Shares that were opened and fit their headers.
    pub shares: u64,
    /// Requests compared with the log.
    pub requests: u64,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whose folder.
    pub role: Role,
    /// At most [`FINDINGS_MAX`], in the order of the checks.
    pub findings: Vec<Finding>,
    /// Findings left out.
    pub more: u64,
    /// How much was looked at.
    pub counts: Counts,
    #[serde(skip)]
    worst: Option<Severity>,
}

impl Report {
    const fn new(role: Role) -> Self {
        let counts = Counts { log_entries: 0, epochs: 0, cells: 0, spools: 0, shares: 0, requests: 0 };
        Self { role, findings: Vec::new(), more: 0, counts, worst: None }
    }

    fn add(&mut self, severity: Severity, what: &'static str, place: impl Into<String>) {
        self.worst = self.worst.max(Some(severity));
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { severity, what, place: place.into() });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn ok(&mut self, what: &'static str, place: impl Into<String>) {
        self.add(Severity::Ok, what, place);
    }

    fn warn(&mut self, what: &'static str, place: impl Into<String>) {
        self.add(Severity::Warning, what, place);
    }

    fn fail(&mut self, what: &'static str, place: impl Into<String>) {
        self.add(Severity::Failed, what, place);
    }

    /// The worst finding, also of those left out; [`Severity::Ok`] without any.
    #[must_use]
    pub fn worst(&self) -> Severity {
        self.worst.unwrap_or(Severity::Ok)
    }

    /// The exit code that fits: warnings are no problem.
    #[must_use]
    pub fn exit_kind(&self) -> ExitKind {
        match self.worst() {
            Severity::Ok | Severity::CouldNotCheck | Severity::Warning => ExitKind::Done,
            Severity::Failed => ExitKind::Problems,
        }
    }
}

/// Why a folder was not checked.
#[derive(Debug)]
pub enum StoreRefused {
    /// There is neither a keeper's nor an agency's data in it.
    NotADataFolder(PathBuf),
    /// There are both in it.
    TwoRoles(PathBuf),
    /// A process uses it.
    Running(PathBuf),
    /// No charter in it or beside it.
    NoCharter(PathBuf),
    /// The charter does not hold.
    Charter(lockplate_core::Error),
    /// The lock or the charter file.
    File(KeyFileError),
    /// The folder itself cannot be listed.
    Unreadable(PathBuf),
}

impl StoreRefused {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        ExitKind::Config
    }
}

impl fmt::Display for StoreRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADataFolder(path) => {
                write!(f, "{}: not the data folder of an agency or a keeper", path.display())
            }
            Self::TwoRoles(path) => {
                write!(f, "{}: holds the data of an agency and of a keeper, which never share a folder", path.display())
            }
            Self::Running(path) => {
                write!(f, "{}: a process uses this data folder\nstop it, then check again", path.display())
            }
            Self::NoCharter(path) => write!(
                f,
                "{}: no {CHARTER_FILE} in the folder or beside it\nname the charter with --charter FILE",
                path.display()
            ),
            Self::Charter(cause) => write!(f, "the charter was refused: {cause}"),
            Self::File(cause) => cause.fmt(f),
            Self::Unreadable(path) => write!(f, "{}: cannot be listed", path.display()),
        }
    }
}

impl core::error::Error for StoreRefused {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Charter(cause) => Some(cause),
            Self::File(cause) => Some(cause),
            Self::NotADataFolder(_)
            | Self::TwoRoles(_)
            | Self::Running(_)
            | Self::NoCharter(_)
            | Self::Unreadable(_) => None,
        }
    }
}

/// An archive that is in a bucket, and the runtime on which it is asked.
#[derive(Debug)]
pub struct InBucket {
    /// The archive.
    pub archive: SegmentStore,
    /// A runtime that this thread is not in.
    pub runtime: tokio::runtime::Handle,
}

/// Checks the data folder of a stopped agency or keeper. Its lock is held meanwhile; nothing but the empty lock file is written.
/// The charter is `charter`, or else `charter.auth` in the folder or beside it; an agency that only asks needs none. Blocks, and
/// reads everything: minutes for a large archive.
///
/// # Errors
/// [`StoreRefused`]: the folder was not checked. What is wrong inside it is a finding.
pub fn check_store(dir: &Path, charter: Option<&Path>, now: Timestamp) -> Result<Report, StoreRefused> {
    check_store_with(dir, charter, None, now)
}

/// As [`check_store`], of an agency whose closed epochs are in `bucket` where there is one. The bucket is asked, not written.
///
/// # Errors
/// As [`check_store`].
pub fn check_store_with(
    dir: &Path,
    charter: Option<&Path>,
    bucket: Option<&InBucket>,
    now: Timestamp,
) -> Result<Report, StoreRefused> {
    let there = |names: &[&str]| names.iter().any(|name| dir.join(name).exists());
    let role = match (there(&["agency.db", "archive", "spool", "desk.db"]), there(&["keeper.db", "kek"])) {
        (true, false) => Role::Agency,
        (false, true) => Role::Keeper,
        (false, false) => return Err(StoreRefused::NotADataFolder(dir.to_owned())),
        (true, true) => return Err(StoreRefused::TwoRoles(dir.to_owned())),
    };
    let _while_it_is_read = DataFolder::lock_as_it_is(dir).map_err(|error| {
        let held = matches!(error.reason(), KeyFileReason::Locked);
        if held { StoreRefused::Running(dir.to_owned()) } else { StoreRefused::File(error) }
    })?;
    let found = charter_path(dir, charter);
    let charter = match &found {
        Some(path) => {
            let bytes = read_public_file(path).map_err(StoreRefused::File)?;
            Some(CharterFile::verify(&bytes).map_err(StoreRefused::Charter)?)
        }
        None => None,
    };
    let mut report = Report::new(role);
    if others_may_enter(dir).map_err(|_io| StoreRefused::Unreadable(dir.to_owned()))?.is_some() {
        report.warn("others than the owner can enter the data folder: chmod 700", ".");
    }
    leftovers(dir, dir, DEPTH_MAX, &mut report).map_err(|_io| StoreRefused::Unreadable(dir.to_owned()))?;
    match (role, charter) {
        (Role::Agency, charter) => {
            // The card of the founding lies beside the charter and names the desk's log.
            let beside = found.as_deref().and_then(Path::parent).or_else(|| dir.parent());
            let owner = there(&["agency.db", "archive", "spool"]);
            match (owner, &charter) {
                (true, Some(charter)) => agency::check_owner(dir, charter, bucket, now, &mut report),
                (true, None) => return Err(StoreRefused::NoCharter(dir.to_owned())),
                (false, _) => {}
            }
            agency::check_desk(dir, beside, charter.as_ref(), now, &mut report);
        }
        (Role::Keeper, Some(charter)) => keeper::check(dir, &charter, now, &mut report),
        (Role::Keeper | Role::Machine, _) => return Err(StoreRefused::NoCharter(dir.to_owned())),
    }
    Ok(report)
}

fn charter_path(dir: &Path, given: Option<&Path>) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    // `canonicalize`, so that `--store .` has a parent.
    let beside = dir.canonicalize().ok().and_then(|dir| Some(dir.parent()?.join(CHARTER_FILE)));
    [Some(dir.join(CHARTER_FILE)), beside].into_iter().flatten().find(|path| path.is_file())
}

/// Temporaries of interrupted writes, in the whole folder but the archive and the spools, which tell their own.
fn leftovers(dir: &Path, folder: &Path, depth: usize, report: &mut Report) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let own_check = folder == dir && ["archive", "spool"].iter().any(|name| entry.file_name() == *name);
        if entry.file_type()?.is_dir() {
            if own_check {
                continue;
            }
            match depth.checked_sub(1) {
                Some(depth) => leftovers(dir, &path, depth, report)?,
                None => report.warn("folders lie deeper than this program makes them", place(dir, &path)),
            }
        } else if lockplate_store::durable::is_temporary(&path) {
            report.warn("a temporary file of an interrupted write; the next start removes it", place(dir, &path));
        }
    }
    Ok(())
}

/// A path as it stands in findings.
fn place(dir: &Path, path: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).to_string_lossy().into_owned()
}

/// Opens a database to be read. `None`, with a finding, where it cannot be relied on.
fn open_db(dir: &Path, name: &str, schema: u32, report: &mut Report) -> Option<Connection> {
    let path = dir.join(name);
    if !path.is_file() {
        report.fail("the database is missing", name);
        return None;
    }
    // A hot journal can only be rolled back by writing.
    if std::fs::metadata(dir.join(format!("{name}-journal"))).is_ok_and(|journal| journal.len() > 0) {
        report.warn(
            "a change of the database was cut off, so it was not read; start and stop the process, which undoes it, and check again",
            name,
        );
        return None;
    }
    let read = || -> rusqlite::Result<(Connection, bool, u32)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags)?;
        let whole: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        let version = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((db, whole == "ok", version))
    };
    match read() {
        Ok((db, true, version)) if version == schema => {
            report.ok("the database is whole and of this release", name);
            Some(db)
        }
        Ok((_, true, _)) => {
            report.fail("the database is of another release", name);
            None
        }
        Ok((_, false, _)) | Err(_) => {
            report.fail("the database is damaged", name);
            None
        }
    }
}

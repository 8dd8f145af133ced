//! Which of an agency's machines is the active one. A process that starts with `[standby]` first reads the journal to its end and keeps
//! its files as the journal says; it becomes the active one by making the next record, and by nothing else. It comes back from here only
//! as that, on files that hold everything that was ever acknowledged.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockplate_store::durable;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::apply::{Applier, NotApplied};
use super::base::{self, BaseFault, Known};
use super::cipher::Run;
use super::files::{Files, TOP_LEVEL};
use super::journal::{Claimed, Journal, Record, StoreFault};
use super::record::{LogOf, Piece};
use super::ship::{Ended, Shipper};
use super::watch::{Event, Step, Watch};
use crate::clock::Clock;
use crate::db::Db;
use crate::shutdown::{ExitKind, Tasks};

/// Pause of a standby at the end of the journal.
const POLL: Duration = Duration::from_millis(500);
/// Pause where the store does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(2);
/// Shortest time between two bases, so that short epochs do not write one each.
const BASE_PAUSE: Duration = Duration::from_secs(5);
/// Folder of a standby's files in the data folder.
const WARM: &str = "standby";
/// File of the data folder that names the runs of this machine that may have owned the journal, a line each.
const RUN_FILE: &str = "standby.run";
const RUN_BYTES_MAX: usize = 1024 * 1024;

/// Why a machine can be neither active nor standby.
#[derive(Debug)]
pub enum StandbyError {
    /// A file of the data folder.
    Io(io::Error),
    /// The same, in a durable write.
    Durable(durable::Error),
    /// The store, or what is in it.
    Store(StoreFault),
    /// A record.
    Apply(NotApplied),
    /// A base.
    Base(BaseFault),
    /// A thread died: our bug.
    Panicked,
}

impl StandbyError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Store(StoreFault::Foreign | StoreFault::NotConditional) | Self::Apply(NotApplied::OtherSettings) => {
                ExitKind::Config
            }
            Self::Panicked | Self::Store(StoreFault::Internal) | Self::Apply(NotApplied::Gap) => ExitKind::Internal,
            Self::Io(_)
            | Self::Durable(_)
            | Self::Store(StoreFault::Down | StoreFault::Lost)
            | Self::Apply(NotApplied::Io(_)) => ExitKind::Unavailable,
            Self::Base(_) => ExitKind::Unavailable,
        }
    }
}

impl fmt::Display for StandbyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) | Self::Durable(_) => f.write_str("the standby's files in the data folder cannot be used"),
            Self::Store(cause) => cause.fmt(f),
            Self::Apply(cause) => cause.fmt(f),
            Self::Base(cause) => cause.fmt(f),
            Self::Panicked => f.write_str("the standby failed: internal error, our bug"),
        }
    }
}

impl core::error::Error for StandbyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(cause) => Some(cause),
            Self::Durable(cause) => Some(cause),
            Self::Apply(cause) => cause.source(),
            Self::Store(_) | Self::Base(_) | Self::Panicked => None,
        }
    }
}

macro_rules! from_cause {
    ($($variant:ident($cause:ty))*) => {$(
        impl From<$cause> for StandbyError {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        }
    )*};
}

from_cause! { Io(io::Error) Durable(durable::Error) Store(StoreFault) Apply(NotApplied) Base(BaseFault) }

/// What a machine takes part with. Whoever makes it holds the lock of the data folder.
pub struct StandbyParts {
    /// The journal.
    pub journal: Journal,
    /// The data folder.
    pub data: PathBuf,
    /// Names of the logs' folders below `log`.
    pub logs: BTreeMap<LogOf, String>,
    /// The active makes a record at least so often.
    pub signs_of_life: Duration,
    /// The standby takes over after a silence of so long.
    pub takeover: Duration,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for StandbyParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandbyParts").field("takeover", &self.takeover).finish_non_exhaustive()
    }
}

/// This machine is the active one.
#[derive(Debug)]
pub struct Active {
    shipper: Shipper,
    /// Not those of the agency: the journal outlives them, for what they have to say at their end.
    tasks: Tasks,
    journal: Journal,
    files: Files,
    known: Known,
}

/// What a machine has that just became the active one.
struct Owned {
    /// The record by which it did.
    number: u64,
    run: Run,
    known: Known,
    /// Another machine was the owner before.
    inherited: bool,
}

/// Reads the journal and keeps warm until this machine is the active one; `None` where it was asked to stop before.
///
/// # Errors
/// [`StandbyError`]: a person must look.
pub async fn take_part(
    parts: StandbyParts,
    stopping: &CancellationToken,
    fenced: impl FnOnce() + Send + 'static,
) -> Result<Option<Active>, StandbyError> {
    let taking = async {
        while let Err(fault) = parts.journal.probe().await {
            fault_or_wait(fault).await?;
        }
        loop {
            // Anew each time: a run of this very process that came to nothing is as dead.
            let dead = read_runs(&parts.data)?;
            match parts.once(&dead).await {
                Ok(Some(owned)) => return Ok(owned),
                Ok(None) => {}
                Err(StandbyError::Store(fault) | StandbyError::Base(BaseFault::Store(fault))) => {
                    fault_or_wait(fault).await?;
                }
                Err(error) => return Err(error),
            }
        }
    };
    let Owned { number, run, known, inherited } = tokio::select! {
        taken = taking => taken?,
        () = stopping.cancelled() => return Ok(None),
    };
    tracing::info!(record = number, "this machine is the active one");
    let StandbyParts { journal, data, logs, signs_of_life, takeover, clock } = parts;
    let shipper = Shipper::new(number.saturating_add(1), inherited, clock);
    let tasks = Tasks::new();
    let shipping = shipper.clone().run(journal.clone(), run, signs_of_life, takeover);
    tasks.spawn("journal", async move {
        if shipping.await == Ended::Fenced {
            tracing::error!("another machine has taken over: this process ends now and acknowledges nothing more");
            fenced();
        }
    });
    Ok(Some(Active { shipper, tasks, journal, files: Files { root: data, logs }, known }))
}

async fn fault_or_wait(fault: StoreFault) -> Result<(), StandbyError> {
    match fault {
        StoreFault::Down => {
            tracing::warn!(%fault, "trying again");
            tokio::time::sleep(STORE_PAUSE).await;
            Ok(())
        }
        StoreFault::Foreign | StoreFault::Lost | StoreFault::NotConditional | StoreFault::Internal => Err(fault.into()),
    }
}

impl StandbyParts {
    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// From the newest base to the ownership of the journal. `None`: begin again, a newer base replaced what was being read.
    async fn once(&self, dead: &BTreeSet<Run>) -> Result<Option<Owned>, StandbyError> {
        match self.journal.newest_base().await? {
            None => self.found(dead).await,
            Some(from) => self.follow(from, dead).await,
        }
    }

    /// There is no base: the journal begins with the files of the machine that makes its first record. Nothing is acknowledged before they
    /// are a base, so no other machine may go on from there.
    async fn found(&self, dead: &BTreeSet<Run>) -> Result<Option<Owned>, StandbyError> {
        let (mut next, mut last) = (0_u64, None);
        let mut known = Known::default();
        while let Some(record) = self.journal.read(next).await? {
            note_owner(&record, next, &mut known);
            last = Some(record.run);
            next = next.saturating_add(1);
        }
        if last.is_some_and(|run| !dead.contains(&run)) {
            tracing::warn!(
                "the journal has no base yet: the machine that began it writes one, or has to be started again"
            );
            tokio::time::sleep(STORE_PAUSE).await;
            return Ok(None);
        }
        let Some(run) = self.claim(next).await? else { return Ok(None) };
        known.owners.insert(next);
        let (journal, files, from) = (self.journal.clone(), self.files(), next.saturating_add(1));
        let known = blocking(move || {
            settle_databases(&files)?;
            base::write(&journal, &files, from, &Handle::current(), known).map_err(StandbyError::from)
        })
        .await?;
        Ok(Some(Owned { number: next, run, known, inherited: false }))
    }

    fn files(&self) -> Files {
        Files { root: self.data.clone(), logs: self.logs.clone() }
    }

    /// Follows the journal from a base.
    async fn follow(&self, from: u64, dead: &BTreeSet<Run>) -> Result<Option<Owned>, StandbyError> {
        let warm = self.data.join(WARM);
        let files = self.files().below(&warm);
        let journal = self.journal.clone();
        let begun = blocking(move || {
            remove_folder(&warm)?;
            let mut applier = Applier::new(files)?;
            let mut failed = None;
            let read = base::read(&journal, from, &Handle::current(), |piece| {
                applier.apply(piece).map_err(|error| {
                    failed = Some(error);
                    io::Error::other("a piece of a base")
                })
            });
            match failed {
                Some(error) => Err(error.into()),
                None => Ok(read?.map(|known| (applier, known))),
            }
        });
        let Some((mut applier, mut known)) = begun.await? else {
            // Replaced by a newer base, or else not whole.
            return self.lost_or_replaced(from).await;
        };
        let mut watch = Watch::new(from, self.now(), dead.clone());
        let mut old_is_away = false;
        let mut last = None;
        loop {
            let event = match watch.plan(self.now(), self.takeover) {
                Step::Read(number) => match self.journal.read(number).await {
                    Ok(Some(record)) => {
                        note_owner(&record, number, &mut known);
                        last = Some(record.run);
                        let (run, resigned) = (record.run, record.pieces.contains(&Piece::Resigned));
                        applier = apply(applier, record).await?;
                        Event::Record { run, resigned }
                    }
                    Ok(None) => {
                        if !old_is_away && self.journal.lacks(number).await? {
                            return self.lost_or_replaced(number).await;
                        }
                        if !old_is_away {
                            // Everything acknowledged is here now: what lies in the data folder is of no use but to a person.
                            self.put_away(number, last.is_some_and(|run| dead.contains(&run)))?;
                            old_is_away = true;
                            tracing::info!(record = number, "this machine has read the journal to its end");
                        }
                        Event::Nothing
                    }
                    Err(StoreFault::Down) => {
                        tokio::time::sleep(STORE_PAUSE).await;
                        Event::NoAnswer
                    }
                    Err(fault) => return Err(fault.into()),
                },
                Step::Pause => {
                    tokio::time::sleep(POLL).await;
                    Event::Woke
                }
                // The owner may be far beyond, and alive.
                Step::Claim(number) if self.journal.lacks(number).await? => return self.lost_or_replaced(number).await,
                Step::Claim(number) => match self.claim(number).await? {
                    None => Event::Taken,
                    Some(run) => {
                        // A base beyond it: this machine slept, the number was removed, and the record that it made is nobody's.
                        if self.journal.newest_base().await?.is_some_and(|newest| newest > number) {
                            tracing::info!("this machine was behind the newest base and begins again");
                            return Ok(None);
                        }
                        let before = known.owners.last().copied();
                        known.owners.insert(number);
                        drop(applier);
                        self.move_in()?;
                        let before = match before {
                            Some(before) => self.journal.read(before).await?,
                            None => None,
                        };
                        let inherited = before.is_none_or(|record| !dead.contains(&record.run));
                        return Ok(Some(Owned { number, run, known, inherited }));
                    }
                },
            };
            watch = watch.apply(event, self.now());
        }
    }

    /// What is to be read next is not there though there is more: a newer base replaced it, and this machine begins again with that, or
    /// the store has lost it.
    async fn lost_or_replaced(&self, number: u64) -> Result<Option<Owned>, StandbyError> {
        match self.journal.newest_base().await? {
            Some(newest) if newest > number => Ok(None),
            Some(_) | None => Err(StoreFault::Lost.into()),
        }
    }

    /// Makes record `number` the one by which a new run owns the journal. `None`: somebody else's is there.
    async fn claim(&self, number: u64) -> Result<Option<Run>, StandbyError> {
        let run = Run::random();
        let mut runs = read_runs(&self.data)?;
        runs.insert(run);
        let lines: Vec<String> = runs.iter().map(|run| hex::encode(run.0)).collect();
        // All of them: one whose claim was made may be followed by one whose claim was not.
        durable::replace(&self.data.join(RUN_FILE), lines.join("\n").as_bytes())?;
        let object = self.journal.record(run, number, &[Piece::Owner])?;
        loop {
            match self.journal.claim(number, &object).await {
                Ok(Claimed::Mine) => return Ok(Some(run)),
                Ok(Claimed::Taken) => return Ok(None),
                // Only the same bytes again tell whether it is there.
                Err(StoreFault::Down) => tokio::time::sleep(STORE_PAUSE).await,
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// The files of an earlier life of this machine: removed where the journal goes on from them, kept aside where another machine has
    /// owned it since, for they may hold cells and leaves that nobody else has.
    fn put_away(&self, number: u64, superseded: bool) -> Result<(), StandbyError> {
        let there: Vec<&str> = TOP_LEVEL.into_iter().filter(|name| self.data.join(name).exists()).collect();
        if there.is_empty() {
            return Ok(());
        }
        let aside = self.data.join(format!("fenced-{number}"));
        if !superseded {
            durable::create_dir(&aside)?;
            tracing::warn!(folder = %aside.display(), "another machine took over from this one: its files are kept aside");
        }
        for name in there {
            let path = self.data.join(name);
            if !superseded {
                rename(&path, &aside.join(name))?;
            } else if path.is_dir() {
                remove_folder(&path)?;
            } else {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(durable::sync_dir(&self.data)?)
    }

    /// The warm files become those of the data folder.
    fn move_in(&self) -> Result<(), StandbyError> {
        let warm = self.data.join(WARM);
        for name in TOP_LEVEL {
            let path = warm.join(name);
            if path.exists() {
                rename(&path, &self.data.join(name))?;
            }
        }
        remove_folder(&warm)?;
        Ok(durable::sync_file_system(&self.data)?)
    }
}

fn note_owner(record: &Record, number: u64, known: &mut Known) {
    if record.pieces.contains(&Piece::Owner) {
        known.owners.insert(number);
    }
}

async fn apply(mut applier: Applier, record: Record) -> Result<Applier, StandbyError> {
    blocking(move || {
        record.pieces.iter().try_for_each(|piece| applier.apply(piece))?;
        Ok(applier)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StandbyError> + Send + 'static,
) -> Result<T, StandbyError> {
    tokio::task::spawn_blocking(work).await.map_err(|_panicked| StandbyError::Panicked)?
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    rustix::fs::rename(from, to).map_err(io::Error::from)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn read_runs(data: &Path) -> io::Result<BTreeSet<Run>> {
    let text = lockplate_store::log_files::read_bounded(&data.join(RUN_FILE), RUN_BYTES_MAX)?.unwrap_or_default();
    let run = |line: &[u8]| Some(Run(hex::decode(line).ok()?.try_into().ok()?));
    Ok(text.split(|byte| *byte == b'\n').filter_map(run).collect())
}

/// What a crash left beside the main files of the databases goes into them, so that they alone are the databases.
fn settle_databases(files: &Files) -> Result<(), StandbyError> {
    for db in [super::record::DbOf::Agency, super::record::DbOf::Desk] {
        let path = files.db(db);
        if path.exists() {
            let settled = rusqlite::Connection::open(&path).and_then(|connection| {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))?;
                connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_row| Ok(()))
            });
            settled.map_err(|_damaged| io::Error::other("a database of the data folder cannot be opened"))?;
        }
    }
    Ok(())
}

impl Active {
    /// Where changes are shipped.
    #[must_use]
    pub const fn shipper(&self) -> &Shipper {
        &self.shipper
    }

    /// Writes bases when they are due, as long as the agency runs. `databases` are those that are open.
    pub fn write_bases(&self, databases: Vec<Db>) {
        let (shipper, journal, files) = (self.shipper.clone(), self.journal.clone(), self.files.clone());
        let mut known = self.known.clone();
        // Soon after a takeover: the standby that comes then has little to read.
        shipper.base_is_due();
        let work = async move {
            loop {
                shipper.until_base_is_due().await;
                match write_base(&shipper, &journal, &files, &databases, known.clone()).await {
                    Ok(written) => known = written,
                    Err(error) => {
                        tracing::warn!(%error, "a base was not written; the journal grows until the next one");
                    }
                }
                tokio::time::sleep(BASE_PAUSE).await;
            }
        };
        let over = self.shipper.is_over();
        self.tasks.spawn("base", async move {
            tokio::select! { () = work => {}, () = over.cancelled() => {} }
        });
    }

    /// The end of the process, after everything that ships has ended. `in_order`: the standby need not wait.
    pub async fn end(self, in_order: bool) {
        self.shipper.end(in_order).await;
        if self.tasks.finish(STORE_PAUSE).await.is_err() {
            tracing::warn!("a record or a base was cut off at the end");
        }
    }
}

async fn write_base(
    shipper: &Shipper,
    journal: &Journal,
    files: &Files,
    databases: &[Db],
    known: Known,
) -> Result<Known, StandbyError> {
    // What was shipped before this moment is on its way into the files, behind the locks that the following lines wait for.
    let from = shipper.next();
    for db in databases {
        db.call(|_connection| Ok(())).await.map_err(|_failed| io::Error::other("a database"))?;
    }
    let (shipper, journal, files) = (shipper.clone(), journal.clone(), files.clone());
    blocking(move || {
        drop(shipper.while_heads_stand());
        Ok(base::write(&journal, &files, from, &Handle::current(), known)?)
    })
    .await
}

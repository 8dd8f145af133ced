//! An agency as one process: settings, data folder, listeners, and the roles it plays. An owner has `[recorder]` (recorder,
//! archive, intake); an agency that only asks has `[desk]` alone; most have both. This module wires and decides nothing.
//!
//! Order of the end (`interfaces.md` section 6): not ready → no new connections → what intake holds is sealed → every epoch is
//! closed and logged → exit 0, within 45 s.

mod desk_section;
pub(crate) mod memory;
mod register_section;
mod settings;
mod standby_section;

use core::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use lockplate_core::charter::{Charter, CharterFile, LogName};
use lockplate_core::entry::LogKind;
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::vocabulary::ArchiveKind;
use lockplate_log::NoteSigner;
use lockplate_oprf::Secret;
use lockplate_policy::{Bundle, KeptTooLong, LoadError, MinuteLaw};
use lockplate_store::contract::Error as ArchiveError;
use lockplate_store::durable;
use lockplate_store::segment_store::{self, NoConditionalPut, SegmentStore};
use serde::Serialize;

pub use desk_section::{DeskConfig, OwnerConfig};
pub use memory::MemoryRefused;
pub use register_section::RegisterConfig;
pub use settings::{
    AgencyConfig, AgencyKeysConfig, AgencySettings, IntakeConfig, ListenConfig, RecorderConfig, TestingConfig,
};
pub use standby_section::StandbyConfig;

use crate::account::{AccountParts, Accounts};
use crate::agency_db::AgencyDb;
use crate::alerts::{AlertParts, Alerts, NoNotices};
use crate::archive::{self, ArchiveState, BucketPlaces, Known};
use crate::clock::Clock;
use crate::cosign::{NoWitnesses, NotStarted, WitnessSet};
use crate::db::DbError;
use crate::desk::{self, Desk, DeskError};
use crate::founding::{self, FoundingError};
use crate::gate::Gate;
use crate::hotlist::law::ListLaw;
use crate::hotlist::{HotListError, HotListParts, HotLists, Matcher};
use crate::http::{Limits, ListenError, ListenOn, Server, SlowDoor, TlsMode};
use crate::intake::{AgencyRegister, Beside, Door, IntakeParts, IntakeState, Nobody, RegisterDown, SourcesRefused};
use crate::log_door;
use crate::object_storage::BucketRefused;
use crate::party_log::{LogOnDisk, LogWitnesses, OpenError, PartyLog};
use crate::policy_folder::{self, PolicyFolderError};
use crate::problem::{Problem, ProblemKind};
use crate::recorder::{self, RecorderHandle, RecorderParts, StartError};
use crate::register::{self, Shown};
use crate::rng::SystemRng;
use crate::settings::{DataFolder, KeyFileError, read_or_create_secret, read_public_file};
use crate::shift::Shifts;
use crate::shutdown::{ExitKind, SHUTDOWN_MAX, Tasks};
use crate::standby::{Active, DbOf, DbShip, LogOf, LogShip, Shipper, StandbyError};
use crate::tls::{TlsError, TlsIdentity};
use memory::{MemoryFolder, cells_on_disk, holds_anything};
use settings::RecorderSection;

/// How long closing the epochs may take at the end: what is left is closed at the next start.
const CLOSE_MAX: Duration = Duration::from_secs(20);
/// Longest wait for what intake holds; it waits for as long as a standby's store is away.
const INTAKE_MAX: Duration = Duration::from_secs(20);
/// Left for tasks, whatever closing took.
const TASKS_MIN: Duration = Duration::from_secs(5);
/// Requests of an import are whole chunks, durable before they are answered.
const REQUEST_MAX: Duration = Duration::from_secs(120);
/// A list of millions is judged while it comes. As long as a connection lives.
const LIST_LOAD_MAX: Duration = Duration::from_secs(600);
/// Connections of a listener at a time. Each of a county's 1,750 cameras keeps its own: with fewer places than cameras they wait for each
/// other's idle ones.
const CONNECTIONS_MAX: usize = 4_096;
/// How long a camera of the LAN may be silent between two posts: in a county each posts every quarter of a minute on average, and not every engine sends
/// again what met a connection that was just closed.
const CAMERA_IDLE_MAX: Duration = Duration::from_secs(60);

/// Why an agency does not start, or has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum AgencyError {
    /// A key file, the charter, or the lock of the data folder.
    File(KeyFileError),
    /// A key of the founding.
    Founding(FoundingError),
    /// A value that does not fit another: a fixed sentence that says what to mend.
    Unfit(&'static str),
    /// The charter.
    Core(lockplate_core::Error),
    /// The charter keeps reads longer than the law of the owner's state lets.
    TooLong(KeptTooLong),
    /// The folder in memory.
    Memory(MemoryRefused),
    /// A log.
    Log(OpenError),
    /// The witnesses of a log.
    Witnesses(NoWitnesses),
    /// The database.
    Db(DbError),
    /// The archive's or spools' folder.
    Store(durable::Error),
    /// The archive's bucket.
    Bucket(BucketRefused),
    /// The desk.
    Desk(DeskError),
    /// The recorder.
    Recorder(StartError),
    /// The register of sources and cameras.
    Register(RegisterDown),
    /// A source of the configuration.
    Sources(SourcesRefused),
    /// The policy of entries and hits.
    Law(LoadError),
    /// The folder of the rules.
    Policy(PolicyFolderError),
    /// Hot lists.
    Lists(HotListError),
    /// TLS.
    Tls(TlsError),
    /// An address.
    Listen(ListenError),
    /// The standby.
    Standby(StandbyError),
    /// It was asked to stop while it stood by.
    Stopping,
    /// A task that the agency cannot do without has ended.
    Ended,
}

impl AgencyError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::File(_)
            | Self::Unfit(_)
            | Self::Core(_)
            | Self::TooLong(_)
            | Self::Memory(_)
            | Self::Witnesses(_)
            | Self::Law(_)
            | Self::Policy(_)
            | Self::Recorder(_) => ExitKind::Config,
            Self::Founding(error) => error.exit_kind(),
            Self::Log(error) => error.exit_kind(),
            Self::Db(error) => error.exit_kind(),
            Self::Bucket(error) => error.exit_kind(),
            Self::Desk(error) => error.exit_kind(),
            Self::Lists(error) => error.exit_kind(),
            Self::Sources(SourcesRefused::Source(_)) => ExitKind::Config,
            Self::Store(_) | Self::Register(_) | Self::Sources(SourcesRefused::Down(_)) => ExitKind::Unavailable,
            Self::Tls(error) => error.exit_kind(),
            Self::Listen(error) => error.exit_kind(),
            Self::Standby(error) => error.exit_kind(),
            Self::Stopping => ExitKind::Done,
            Self::Ended => ExitKind::Internal,
        }
    }
}

impl fmt::Display for AgencyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(cause) => cause.fmt(f),
            Self::Founding(cause) => cause.fmt(f),
            Self::Unfit(what) => f.write_str(what),
            Self::Core(cause) => write!(f, "the charter was refused: {cause}"),
            Self::TooLong(cause) => write!(f, "the charter was refused: {cause}"),
            Self::Memory(cause) => cause.fmt(f),
            Self::Log(cause) => cause.fmt(f),
            Self::Witnesses(cause) => write!(f, "the witnesses of a log: {cause}"),
            Self::Db(cause) => cause.fmt(f),
            Self::Store(cause) => write!(f, "the archive cannot be used: {cause}"),
            Self::Bucket(cause) => cause.fmt(f),
            Self::Desk(cause) => cause.fmt(f),
            Self::Recorder(cause) => cause.fmt(f),
            Self::Register(cause) => cause.fmt(f),
            Self::Sources(cause) => cause.fmt(f),
            Self::Law(cause) => cause.fmt(f),
            Self::Policy(cause) => cause.fmt(f),
            Self::Lists(cause) => cause.fmt(f),
            Self::Tls(cause) => cause.fmt(f),
            Self::Listen(cause) => cause.fmt(f),
            Self::Standby(cause) => cause.fmt(f),
            Self::Stopping => f.write_str("the agency was asked to stop"),
            Self::Ended => f.write_str("a task the agency cannot do without has ended; see the trace"),
        }
    }
}

impl core::error::Error for AgencyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File(cause) => Some(cause),
            Self::Founding(cause) => Some(cause),
            Self::Core(cause) => Some(cause),
            Self::TooLong(cause) => Some(cause),
            Self::Memory(cause) => Some(cause),
            Self::Log(cause) => Some(cause),
            Self::Witnesses(cause) => Some(cause),
            Self::Db(cause) => Some(cause),
            Self::Store(cause) => Some(cause),
            Self::Bucket(cause) => Some(cause),
            Self::Desk(cause) => Some(cause),
            Self::Recorder(cause) => Some(cause),
            Self::Register(cause) => Some(cause),
            Self::Sources(cause) => Some(cause),
            Self::Law(cause) => Some(cause),
            Self::Policy(cause) => Some(cause),
            Self::Lists(cause) => Some(cause),
            Self::Tls(cause) => Some(cause),
            Self::Listen(cause) => Some(cause),
            Self::Standby(cause) => Some(cause),
            Self::Unfit(_) | Self::Stopping | Self::Ended => None,
        }
    }
}

macro_rules! from_cause {
    ($($variant:ident($cause:ty))*) => {$(
        impl From<$cause> for AgencyError {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        }
    )*};
}

from_cause! {
    File(KeyFileError) Founding(FoundingError) Core(lockplate_core::Error) TooLong(KeptTooLong)
    Memory(MemoryRefused) Log(OpenError) Db(DbError) Store(durable::Error) Bucket(BucketRefused)
    Desk(DeskError) Recorder(StartError) Register(RegisterDown) Sources(SourcesRefused) Law(LoadError) Policy(PolicyFolderError) Lists(HotListError) Tls(TlsError)
    Listen(ListenError) Standby(StandbyError)
}

impl From<NoNotices> for AgencyError {
    fn from(cause: NoNotices) -> Self {
        match cause {
            NoNotices::File(cause) => Self::File(cause),
            NoNotices::Tls(cause) => Self::Tls(cause),
            NoNotices::Unfit(what) => Self::Unfit(what),
        }
    }
}

/// A running agency: its addresses, and what has to be ended in order.
#[derive(Debug)]
pub struct Agency {
    /// Where it answers.
    pub address: SocketAddr,
    /// Where cameras of the local network reach it, if they may.
    pub lan: Option<SocketAddr>,
    owner: Option<Owner>,
    alerts: Option<Alerts>,
    tasks: Tasks,
    /// Where this agency has a second machine: the journal that it owns.
    active: Option<Active>,
    _folder: DataFolder,
    /// Emptied when everything that writes to it has ended.
    _memory: Option<MemoryFolder>,
}

/// What reads are compared with: the hot lists of the police, or the customers of an operator, never both.
#[derive(Debug, Clone)]
enum BesideReads {
    HotLists(Matcher),
    Accounts(Accounts),
    Nothing,
}

impl BesideReads {
    fn start(
        settings: &AgencySettings,
        charter: &Charter,
        db: &AgencyDb,
        clock: &Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, AgencyError> {
        match (charter.archive_kind, settings.account.clone()) {
            (ArchiveKind::Police, None) => Ok(Self::HotLists(Matcher::new())),
            (ArchiveKind::Police, Some(_)) => Err(AgencyError::Unfit("`[account]` is for toll and parking operators")),
            (ArchiveKind::Toll | ArchiveKind::Parking, _) if !settings.fetched.is_empty() => Err(AgencyError::Unfit(
                "`[[hotlist]]` is for police: a toll or parking operator's reads are not matched with hot lists",
            )),
            (ArchiveKind::Toll | ArchiveKind::Parking, None) => Ok(Self::Nothing),
            (ArchiveKind::Toll | ArchiveKind::Parking, Some(_)) if charter.accounts_max == 0 => {
                Err(AgencyError::Unfit("`[account]`: the charter states no accounts (`accounts_max` of its terms)"))
            }
            (archive @ (ArchiveKind::Toll | ArchiveKind::Parking), Some(section)) => {
                let (db, clock, tasks) = (db.clone(), Arc::clone(clock), tasks.clone());
                let pass_key = read_or_create_secret(&settings.keys.passage, &mut SystemRng)?;
                let Charter { accounts_max, retention_seconds, .. } = *charter;
                let parts =
                    AccountParts { section, archive, accounts_max, retention_seconds, pass_key, db, clock, tasks };
                let started = Accounts::start(parts);
                started.map(Self::Accounts).map_err(|cause| AgencyError::Lists(HotListError::Thread(cause)))
            }
        }
    }

    /// Ends what compares reads. Blocks.
    fn finish(&self) {
        match self {
            Self::HotLists(matcher) => matcher.finish(),
            Self::Accounts(accounts) => accounts.finish(),
            Self::Nothing => {}
        }
    }

    fn observer(&self) -> Arc<dyn Beside> {
        match self {
            Self::HotLists(matcher) => Arc::new(matcher.clone()),
            Self::Accounts(accounts) => Arc::new(accounts.clone()),
            Self::Nothing => Arc::new(Nobody),
        }
    }
}

/// The owner's roles.
#[derive(Debug, Clone)]
struct Owner {
    charter: CharterFile,
    recorder: RecorderHandle,
    intake: IntakeState,
    beside: BesideReads,
    db: AgencyDb,
    log: PartyLog,
}

/// Runs an agency until `tasks` stop, and ends it in order. The caller installs the signal handlers.
///
/// # Errors
/// [`AgencyError`] where it does not start, or [`AgencyError::Ended`] where it ended by itself.
pub async fn run(settings: AgencySettings, clock: Arc<dyn Clock>, tasks: Tasks) -> Result<(), AgencyError> {
    let agency = match start(settings, clock, &tasks).await {
        // Asked to end while it waited for its witnesses.
        Err(AgencyError::Stopping | AgencyError::Log(OpenError::NotStarted(NotStarted::Stopping)))
            if !tasks.failed() =>
        {
            return Ok(());
        }
        started => started?,
    };
    tracing::info!(address = %agency.address, "the agency answers");
    tasks.stopping().cancelled().await;
    agency.end().await
}

impl Agency {
    /// The recorder, where this agency has one.
    #[must_use]
    pub fn recorder(&self) -> Option<&RecorderHandle> {
        self.owner.as_ref().map(|owner| &owner.recorder)
    }

    /// The desk of alerts, where this agency has cameras and officers.
    #[must_use]
    pub const fn alerts(&self) -> Option<&Alerts> {
        self.alerts.as_ref()
    }

    /// Seals what intake holds, closes every epoch, and waits for all tasks.
    ///
    /// # Errors
    /// [`AgencyError::Ended`] where a task had failed or did not end in time.
    pub async fn end(self) -> Result<(), AgencyError> {
        self.tasks.stop();
        let begun = tokio::time::Instant::now();
        let left = || SHUTDOWN_MAX.saturating_sub(TASKS_MIN).saturating_sub(begun.elapsed());
        if let Some(Owner { recorder, intake, beside, .. }) = &self.owner {
            if tokio::time::timeout(INTAKE_MAX, intake.finish()).await.is_err() {
                tracing::warn!(
                    "reads on their way could not be made durable in time: their cameras were told nothing and send them again"
                );
            }
            let beside = beside.clone();
            if tokio::task::spawn_blocking(move || beside.finish()).await.is_err() {
                tracing::error!("what compares reads could not be ended: internal error, our bug");
            }
            self.alerts.iter().for_each(Alerts::finish);
            if tokio::time::timeout(CLOSE_MAX.min(left()), recorder.stop()).await.is_err() {
                tracing::warn!("not every epoch was closed in time; the next start closes them");
            }
        }
        let finished = self.tasks.finish(left().saturating_add(TASKS_MIN)).await;
        if let Some(active) = self.active {
            // Last, because everything before had something to ship.
            active.end(finished.is_ok() && !self.tasks.failed()).await;
        }
        if finished.is_err() || self.tasks.failed() { Err(AgencyError::Ended) } else { Ok(()) }
    }
}

/// Starts an agency; it runs as tasks of `tasks`. What an earlier run left open is closed before anything is answered.
///
/// # Errors
/// [`AgencyError`].
pub async fn start(settings: AgencySettings, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<Agency, AgencyError> {
    let folder = DataFolder::lock(&settings.data)?;
    let server = Server::bind(listen_on(&settings.listen, &settings)?, limits()).await?;
    let address = server.local_addr();
    // Nothing but the health of the process answers before the witnesses of the logs have.
    let gate = Gate::new();
    server.serve(gate.behind(Router::new().route("/livez", get(async || "ok"))), tasks);
    let active = match &settings.standby {
        Some(section) => {
            // What a takeover needs is tried before it is needed.
            if let Some(addr) = settings.recorder.as_ref().and_then(|recorder| recorder.lan) {
                drop(Server::bind(ListenOn { addr, tls: TlsMode::PlainLan }, limits()).await?);
            }
            gate.stand_by(true);
            let taken = Box::pin(section.take_part(&settings, &clock, tasks)).await?;
            gate.stand_by(false);
            Some(taken.ok_or(AgencyError::Stopping)?)
        }
        None => None,
    };
    let shipper = active.as_ref().map(Active::shipper);
    let mut databases = Vec::new();
    let mut router = Router::new();
    let mut owner = None;
    let mut lan = None;
    let mut register = None;
    let mut memory = None;
    let mut alerts = None;
    let mut hot_lists = None;
    if let Some(section) = &settings.recorder {
        let charter = Arc::new(CharterFile::verify(&read_public_file(&section.charter)?)?);
        memory = memory_of(&settings, section, &charter)?;
        let (routes, roles) =
            Box::pin(open_owner(&settings, section, charter, memory.as_ref(), &clock, tasks, shipper)).await?;
        databases.push(roles.db.db().clone());
        router = router.merge(routes).merge(roles.intake.routes(Door::Protected));
        if let Some(addr) = section.lan {
            let limits = Limits { header_read: CAMERA_IDLE_MAX, ..limits() };
            let door = Server::bind(ListenOn { addr, tls: TlsMode::PlainLan }, limits).await?;
            lan = Some(door.local_addr());
            door.serve(roles.intake.routes(Door::Lan), tasks);
        }
        if let Some(kept) = settings.register {
            let shown = Shown::new();
            router = router.merge(register::routes(shown.clone()));
            register = Some((kept, shown, roles.charter.clone()));
        }
        owner = Some(roles);
    }
    if let Some(section) = settings.desk.clone() {
        let (desk, door) = section.open(&settings.data, &clock, tasks, &settings.without, shipper.cloned()).await?;
        databases.push(desk.db().clone());
        if let Some(owner) = &owner {
            let shifts = Shifts::new(desk.clone(), Arc::clone(&clock));
            router = router.merge(shifts.routes());
            match &owner.beside {
                BesideReads::HotLists(matcher) => {
                    let (opened, lists) =
                        Box::pin(open_lists(&settings, owner, matcher, &desk, &shifts, &clock, tasks)).await?;
                    router = router.merge(opened.routes()).merge(opened.handing_routes(&lists)).merge(lists.routes());
                    alerts = Some(opened);
                    hot_lists = Some(lists);
                }
                BesideReads::Accounts(accounts) => router = router.merge(accounts.routes()),
                BesideReads::Nothing => {}
            }
        }
        router = router.merge(desk::routes(desk)).merge(log_door::routes("/log/desk", door));
    }
    if let Some(active) = &active {
        active.write_bases(databases);
    }
    let health = Health {
        shipper: shipper.cloned(),
        in_memory: memory.is_some(),
        recorder: owner.as_ref().map(|owner| (owner.recorder.clone(), owner.intake.clone())),
        hot_lists,
        tasks: tasks.clone(),
    };
    gate.open(router.merge(Router::new().route("/readyz", get(readyz)).with_state(health)));
    if let Some((kept, shown, charter)) = register {
        kept.start(charter, &settings.data, shown, &clock, tasks)?;
    }
    Ok(Agency { address, lan, owner, alerts, tasks: tasks.clone(), active, _folder: folder, _memory: memory })
}

fn limits() -> Limits {
    let slow = SlowDoor { begins: "/v1/hotlists/", ends: "/loads", request: LIST_LOAD_MAX };
    Limits { request: REQUEST_MAX, slow: Some(slow), connections: CONNECTIONS_MAX, ..Limits::default() }
}

fn listen_on(listen: &ListenConfig, settings: &AgencySettings) -> Result<ListenOn, AgencyError> {
    let tls = if listen.plain_loopback {
        TlsMode::PlainLoopback
    } else {
        TlsMode::Pinned(TlsIdentity::load_or_create(&settings.keys.tls)?.server_config()?)
    };
    Ok(ListenOn { addr: listen.address, tls })
}

/// The folder in memory, where the law of the owner's state asks for one, and nowhere else: it loses what was acknowledged.
fn memory_of(
    settings: &AgencySettings,
    section: &RecorderSection,
    charter: &CharterFile,
) -> Result<Option<MemoryFolder>, AgencyError> {
    match (MinuteLaw::of_charter(charter.charter())?, &section.memory) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(AgencyError::Unfit(
            "`recorder.memory` is for owners whose law lets a read be kept for minutes: here a restart would lose reads",
        )),
        (Some(law), None) => Err(AgencyError::Unfit(law.memory_only())),
        (Some(_), Some(_)) if cells_on_disk(&settings.data) => Err(AgencyError::Unfit(
            "the data folder holds sealed reads, which this owner's law does not let lie on a disk: remove its folders \
             `spool` and `archive`",
        )),
        (Some(_), Some(path)) => Ok(Some(MemoryFolder::open(path)?)),
    }
}

async fn open_owner(
    settings: &AgencySettings,
    section: &RecorderSection,
    charter: Arc<CharterFile>,
    memory: Option<&MemoryFolder>,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
    shipper: Option<&Shipper>,
) -> Result<(Router, Owner), AgencyError> {
    let spool = memory.map_or_else(|| settings.data.join("spool"), MemoryFolder::spool);
    let segments = memory.map_or_else(|| settings.data.join("archive"), MemoryFolder::archive);
    let (opened, clock_too, tasks_too) = (settings.clone(), Arc::clone(clock), tasks.clone());
    let (charter_too, spool_too, shipper_too) = (Arc::clone(&charter), spool.clone(), shipper.cloned());
    let spawned = tokio::task::spawn_blocking(move || {
        Stores::open(&opened, &spool_too, &segments, &charter_too, clock_too, &tasks_too, shipper_too)
    })
    .await;
    let Stores { db, log, archive, key, recorder } = spawned.map_err(|_panicked| AgencyError::Ended)??;
    db.end_with(tasks);
    match Box::pin(archive.try_conditional_put()).await {
        Ok(()) => {}
        Err(ArchiveError::Unavailable(cause)) if cause.is::<NoConditionalPut>() => {
            return Err(AgencyError::Unfit(
                "`recorder.archive`: the store ignores `If-None-Match: *`, so two recorders could overwrite each other's periods; \
                 use a store that honours it, or read docs/operating.md and say `conditional_put = false`",
            ));
        }
        // Reads are sealed without the store, and closed when it is there.
        Err(error) => {
            tracing::error!(%error, why = segment_store::why(&error), "the archive's store does not answer as it should; reads are kept until it does");
        }
    }
    let set = WitnessSet::of(charter.charter(), &LogName::Recorder).map_err(AgencyError::Witnesses)?;
    let without = settings.without.iter().filter(|name| set.knows_one(name)).cloned().collect();
    let log = log.start(LogWitnesses { set, without, wait: charter.charter().agency_leaves }).await?;
    let device_secret = read_or_create_secret(&settings.keys.device, &mut SystemRng)?;
    let parts = RecorderParts {
        charter: Arc::clone(&charter),
        recorder,
        key: Arc::clone(&key),
        device_secret,
        db: db.clone(),
        log: log.clone(),
        archive: Arc::clone(&archive),
        shipper: shipper.cloned(),
        spool,
        in_memory: memory.is_some(),
        clock: Arc::clone(clock),
    };
    let handle = recorder::start(parts, section.settings(charter.charter()), tasks).await?;
    let register =
        AgencyRegister::open(db.clone(), log.clone(), charter.charter(), Arc::clone(clock), &settings.sources).await?;
    let import_key = match &settings.keys.import {
        Some(path) => Some(read_or_create_secret(path, &mut SystemRng)?),
        None => None,
    };
    let beside = BesideReads::start(settings, charter.charter(), &db, clock, tasks)?;
    let retention_ms = i64::try_from(charter.charter().retention_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let parts = IntakeParts {
        sink: Arc::new(handle.clone()),
        beside: beside.observer(),
        register: Arc::new(register),
        import_key,
        retention_ms,
        archive_kind: charter.charter().archive_kind,
        in_memory: memory.is_some(),
        rated_reads_per_second: section.rated_reads_per_second(),
        clock: Arc::clone(clock),
        tasks: tasks.clone(),
    };
    let intake = IntakeState::new(parts, &mut SystemRng).await?;
    intake.start();
    let own = CharterFile::clone(&charter);
    let in_memory = memory.is_some();
    let state = ArchiveState {
        charter,
        known: Known::Tables(db.clone()),
        archive,
        in_memory,
        key: Some(key),
        places: Arc::new(BucketPlaces::default()),
        clock: Arc::clone(clock),
    };
    let routes = archive::routes(state).merge(log_door::routes("/log/recorder", log.door()));
    Ok((routes, Owner { charter: own, recorder: handle, intake, beside, db, log }))
}

/// Hot lists and the desk of alerts: hits need cameras, and lists and looks at hits need officers.
async fn open_lists(
    settings: &AgencySettings,
    owner: &Owner,
    matcher: &Matcher,
    desk: &Desk,
    shifts: &Shifts,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<(Alerts, HotLists), AgencyError> {
    let (charter, law_enforcement) = (owner.charter.clone(), desk.agency().law_enforcement);
    let keys = (settings.keys.alert.clone(), settings.keys.hotlist.clone());
    let folder = settings.recorder.as_ref().and_then(|recorder| recorder.policy.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let bundle = match &folder {
            Some(folder) => policy_folder::read(folder)?,
            None => Bundle::shipped(charter.charter().owner.state),
        };
        if bundle.digest() != charter.charter().policy {
            tracing::warn!(
                "the rules for hot lists are not those that the charter names: after a change of policy, set `recorder.policy`"
            );
        }
        let law = ListLaw::new(charter.charter(), law_enforcement, &bundle)?;
        let key = |path: &Path| {
            read_or_create_secret(path, &mut SystemRng).map(|seed| HpkeSecretKey::from_seed(Secret::new(*seed)))
        };
        Ok::<_, AgencyError>((law, key(&keys.0)?, key(&keys.1)?))
    });
    let (law, alert_key, list_key) = opened.await.map_err(|_panicked| AgencyError::Ended)??;
    let law = Arc::new(law);
    let parts = AlertParts {
        db: owner.db.clone(),
        log: owner.log.clone(),
        shifts: shifts.clone(),
        law: Arc::clone(&law),
        key: alert_key,
        settings: settings.alerts.clone(),
    };
    let (clock_too, tasks_too) = (Arc::clone(clock), tasks.clone());
    let started = tokio::task::spawn_blocking(move || Alerts::start(parts, clock_too, &tasks_too));
    let alerts = started.await.map_err(|_panicked| AgencyError::Ended)??;
    let parts = HotListParts {
        charter: Arc::new(owner.charter.clone()),
        law,
        shifts: shifts.clone(),
        db: owner.db.clone(),
        log: owner.log.clone(),
        key: list_key,
        matcher: matcher.clone(),
        fetched: settings.fetched.clone(),
        clock: Arc::clone(clock),
        tasks: tasks.clone(),
    };
    matcher.start(Arc::new(alerts.clone()), Arc::clone(clock)).map_err(HotListError::Thread)?;
    let lists = HotLists::start(parts).await?;
    alerts.attach(lists.marking());
    let (taking, desk, alert_settings) = (alerts.clone(), desk.clone(), settings.alerts.clone());
    let begun = tokio::task::spawn_blocking(move || taking.take_from(&alert_settings, &desk));
    begun.await.map_err(|_panicked| AgencyError::Ended)??;
    Ok((alerts, lists))
}

/// What blocks while it is opened.
struct Stores {
    db: AgencyDb,
    log: LogOnDisk,
    archive: Arc<SegmentStore>,
    key: Arc<lockplate_core::sign::SigningKey>,
    recorder: lockplate_core::id::RecorderId,
}

impl Stores {
    fn open(
        settings: &AgencySettings,
        spool: &Path,
        segments: &Path,
        charter: &CharterFile,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
        shipper: Option<Shipper>,
    ) -> Result<Self, AgencyError> {
        let key = founding::statement_signer(&settings.keys.recorder)?;
        let recorder = charter.charter().recorders.iter().find(|entry| entry.key == key.verify_key().0);
        let recorder = recorder.ok_or(AgencyError::Unfit("the recorder's key is none of the charter's recorders"))?.id;
        let log_key = &charter.charter().archive.log_key;
        let signer: NoteSigner = founding::note_signer(&settings.keys.recorder_log, log_key.name().as_str())?;
        if signer.verifier_key() != log_key {
            return Err(AgencyError::Unfit("the recorder log's key is not the one in the charter"));
        }
        let section = settings.recorder.as_ref().and_then(|section| section.archive.as_ref());
        if section.is_some() && holds_anything(segments) {
            return Err(AgencyError::Unfit(
                "`recorder.archive` names a bucket, and the data folder still holds an archive: copy what is in its folder `archive` to \
                 the bucket, below the prefix, and remove the folder",
            ));
        }
        durable::create_dir(spool)?;
        durable::remove_temporaries(spool)?;
        let db_ship = shipper.clone().map(|shipper| DbShip::new(shipper, DbOf::Agency));
        let db = AgencyDb::open_shipped(&settings.data.join("agency.db"), db_ship)?;
        let party = (recorder.0, charter.hash());
        let (logs, ship) = (settings.data.join("log"), shipper.map(|shipper| LogShip::new(shipper, LogOf::Recorder)));
        let log = LogOnDisk::load_shipped(&logs, signer, LogKind::Recorder, party, clock, tasks, ship)?;
        let archive = match section {
            Some(section) => {
                let bucket = section.open()?;
                SegmentStore::over(bucket.store, bucket.prefix, bucket.conditional_put)
            }
            None => SegmentStore::open_folder(segments)?,
        };
        let archive = Arc::new(archive);
        Ok(Self { db, log, archive, key: Arc::new(key), recorder })
    }
}

#[derive(Clone)]
struct Health {
    shipper: Option<Shipper>,
    in_memory: bool,
    recorder: Option<(RecorderHandle, IntakeState)>,
    hot_lists: Option<HotLists>,
    tasks: Tasks,
}

/// Answer of `/readyz`: each check is `ok`, `warning` or `failed`.
#[derive(Serialize)]
struct Ready {
    running: &'static str,
    sealing: &'static str,
    next_epoch: &'static str,
    prekeys: &'static str,
    spools: &'static str,
    hot_lists: &'static str,
    /// Not a check: `memory` where the end of the process is the end of the reads.
    reads_are_on: &'static str,
}

async fn readyz(State(health): State<Health>) -> Result<Json<Ready>, Problem> {
    let behind = health.shipper.as_ref().is_some_and(Shipper::is_behind);
    if health.tasks.stopping().is_cancelled() || behind {
        return Err(Problem::new(ProblemKind::Unavailable));
    }
    let mark = |good: bool, otherwise: &'static str| if good { "ok" } else { otherwise };
    let reads_are_on = if health.in_memory { "memory" } else { "disk" };
    // A list that is away or too old stops no read.
    let hot_lists = mark(health.hot_lists.as_ref().is_none_or(HotLists::is_well), "warning");
    let mut ready =
        Ready { running: "ok", sealing: "ok", next_epoch: "ok", prekeys: "ok", spools: "ok", hot_lists, reads_are_on };
    if let Some((recorder, intake)) = &health.recorder {
        let state = recorder.state().await.map_err(|_stopping| ProblemKind::Unavailable)?;
        // A period may be open on a disk that is full.
        if !state.sealing || !intake.seals() {
            return Err(Problem::new(ProblemKind::Unavailable));
        }
        ready.next_epoch = mark(state.next_ready, "warning");
        // Below a day of hourly epochs (`reliability.md` section 4, rule 6).
        ready.prekeys = mark(state.prekeys.iter().all(|stock| *stock >= 24), "warning");
        ready.spools = mark(state.epochs_damaged == 0, "warning");
    }
    Ok(Json(ready))
}

/// Where relative paths of a file begin.
fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
}

#[cfg(test)]
mod tests;

//! The keeper process: one office that holds one share of every epoch of one owner, decides requests by policy, logs first,
//! and answers grants. It never sees a read and holds no plate but sealed. This file reads the configuration, opens what is on
//! the disk in the order in which it may refuse to start, and starts the doors; the work stands in the modules below.

pub mod admin;
mod db;
mod destruction;
mod directories;
mod doors;
mod emergencies;
pub mod enrol;
mod evaluations;
pub mod kek;
mod notice;
mod office;
pub mod once;
mod openings;
mod orders;
mod page;
mod parties;
mod people;
mod policies;
pub mod prekeys;
mod prompts;
mod recovery;
mod requests;
pub mod restore;
pub mod sign_page;
mod standing;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::authorisation::Withdrawn;
use lockplate_core::charter::{Charter, CharterFile, KeeperEntry, LogName};
use lockplate_core::directory::Trust;
use lockplate_core::entry::{CharterLeaf, Genesis, LogEntry, LogKind, LogResumed, PolicyLeaf, PolicyRelation};
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::facts::AccessPolicy as _;
use lockplate_core::id::KeeperIndex;
use lockplate_core::keeper::Keeper;
use lockplate_core::notice::NoticeKey;
use lockplate_core::sign::SigningKey;
use lockplate_core::vocabulary::DeclarationName;
use lockplate_log::{CosignatureSigner, NoteSigner, WitnessRecord};
use lockplate_oprf::Secret;
use lockplate_policy::{Bundle, CedarPolicy, KeptTooLong, LOOK_SECONDS_MAX, LoadError, MinuteLaw};
use lockplate_store::log_files::{AcquireError, FileLogStorage};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use self::directories::Directories;
use self::kek::{KekError, KekTable};
use self::notice::CodesNow;
use self::office::{Desk, Office, Unfinished};
pub use self::page::PageConfig;
use self::page::{PageDoor, PageSettings};
pub use self::people::PersonConfig;
use self::people::{People, PersonSettings};
use self::policies::Policies;
use crate::client::AddressError;
use crate::clock::Clock;
use crate::cosign::{Cosigner, Heads, NoWitnesses, NotStarted, WitnessSet, ask_before_start};
use crate::db::{Db, DbError};
use crate::founding::{KeeperFiles, declaration_texts};
use crate::gate::Gate;
use crate::http::{Limits, ListenError, ListenOn, Server, TlsMode};
use crate::log_door::{self, LogDoor};
use crate::mail::{MailConfig, MailRefused, MailSettings, Mailer};
use crate::own_log::OwnLog;
use crate::passkeys::PasskeyFileError;
use crate::policy_folder::{self, PolicyFolderError};
use crate::release::Published;
use crate::rng::SystemRng;
use crate::settings::{self, ConfigError, DataFolder, KeyFileError, read_public_file, read_secret, read_signing_key};
use crate::shutdown::{ExitKind, Tasks};
use crate::tls::{TlsError, TlsIdentity};
use crate::witness::{self, Witness, WitnessError};

/// Where the keeper's log is served; the rest of the log's name is the host.
pub const LOG_PREFIX: &str = "/log/keeper";

/// Largest stock of prekeys that may be configured, days.
const STOCK_DAYS_MAX: u32 = 31;

/// Longest pause between two looks at the clock, seconds.
const EVERY_SECONDS_MAX: u64 = 3_600;

/// `keeper.toml`, one to one. Paths are relative to the folder of the file; `docs/samples/keeper.toml` explains every key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeeperConfig {
    /// Data folder, of this keeper alone.
    pub data: PathBuf,
    /// The signed charter.
    pub charter: PathBuf,
    /// Place in the charter, from 1.
    pub place: u8,
    /// Where to listen.
    pub listen: ListenConfig,
    /// Key files.
    #[serde(default)]
    pub keys: KeysConfig,
    /// Policy bundle.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// What counts as a second factor.
    #[serde(default)]
    pub login: LoginConfig,
    /// Exact words of declarations beside those shipped: name as in the policy schema, file with the text.
    #[serde(default)]
    pub declarations: BTreeMap<String, PathBuf>,
    /// Stock of prekeys.
    #[serde(default)]
    pub prekeys: PrekeysConfig,
    /// Scheduled destruction.
    #[serde(default)]
    pub destruction: DestructionConfig,
    /// The page of this keeper's people; without it there is none.
    pub page: Option<PageConfig>,
    /// Prompts by mail; without it there are none.
    pub mail: Option<MailConfig>,
    /// Who decides here.
    #[serde(default)]
    pub people: Vec<PersonConfig>,
    /// What one agency may ask for.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// `[listen]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// Address and port.
    pub address: SocketAddr,
    /// No TLS, on loopback and nowhere else: behind a local proxy that holds the key of the charter.
    #[serde(default)]
    pub plain_loopback: bool,
}

/// `[keys]`: paths relative to the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// Ed25519, PKCS#8 PEM: approvals, receipts, prekeys, evaluations.
    pub signing: PathBuf,
    /// Ed25519, PKCS#8 PEM: the log's heads.
    pub log: PathBuf,
    /// X-Wing seed, 64 hex digits: opens Openings.
    pub opening: PathBuf,
    /// Ed25519, PKCS#8 PEM: cosigns the logs of others.
    pub witness: PathBuf,
    /// Seed of the key of notice tags, 64 hex digits.
    pub notice: PathBuf,
    /// TLS key, PKCS#8 PEM.
    pub tls: PathBuf,
}

impl Default for KeysConfig {
    fn default() -> Self {
        let files = KeeperFiles::in_folder(Path::new("keys"));
        Self {
            signing: files.key,
            log: files.log,
            opening: files.opening,
            notice: files.notice,
            witness: files.witness,
            tls: files.tls,
        }
    }
}

/// `[policy]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Folder of the bundle; without it the bundle shipped for the owner's state.
    pub folder: Option<PathBuf>,
}

/// `[login]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginConfig {
    /// Values of `amr` (RFC 8176) of which a session statement must show two.
    pub factors: BTreeSet<String>,
}

impl Default for LoginConfig {
    fn default() -> Self {
        Self { factors: ["pwd", "swk", "hwk", "otp", "fpt", "face"].map(str::to_owned).into() }
    }
}

/// `[prekeys]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrekeysConfig {
    /// Days for which unused prekeys may lie ahead, at 200 epochs a day.
    pub stock_days: u32,
}

impl Default for PrekeysConfig {
    fn default() -> Self {
        Self { stock_days: 7 }
    }
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests that one agency may file in an hour, refused ones too. More are turned away without an entry, so that nobody can fill the
    /// log; the quota of an officer is the policy's.
    pub requests_an_hour: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { requests_an_hour: 1_000 }
    }
}

/// `[destruction]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DestructionConfig {
    /// Seconds between two looks at the clock; at most [`LOOK_SECONDS_MAX`] count where the owner's law counts in minutes.
    pub every_seconds: u64,
}

impl Default for DestructionConfig {
    fn default() -> Self {
        Self { every_seconds: 60 }
    }
}

/// A configuration whose values hold, with absolute or working-folder-relative paths.
#[derive(Debug, Clone)]
pub struct KeeperSettings {
    data: PathBuf,
    charter: PathBuf,
    place: KeeperIndex,
    listen: ListenConfig,
    keys: KeysConfig,
    policy_folder: Option<PathBuf>,
    factors: BTreeSet<String>,
    declarations: BTreeMap<DeclarationName, PathBuf>,
    stock_days: u32,
    every: Duration,
    people: Vec<PersonSettings>,
    page: Option<PageSettings>,
    mail: Option<MailSettings>,
    requests_an_hour: u32,
    /// Names of witnesses of the own log that a person does not wait for.
    without: BTreeSet<String>,
}

impl KeeperSettings {
    /// Reads `keeper.toml`, with `LOCKPLATE_*` of `environment` over it ([`settings::load_over`]).
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        Self::try_from((path, settings::load_over::<KeeperConfig>(path, environment)?))
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A person has the keeper start without this witness of its log, once; the log will say so.
    pub fn start_without(&mut self, witness: &str) {
        self.without.insert(witness.to_owned());
    }

    /// The socket of the keeper's own people.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.data.join(admin::SOCKET_NAME)
    }
}

impl TryFrom<(&Path, KeeperConfig)> for KeeperSettings {
    type Error = ConfigError;

    /// Checks the values of a file; its path is what relative paths are relative to, and stands in errors.
    fn try_from((file, config): (&Path, KeeperConfig)) -> Result<Self, ConfigError> {
        let refuse = |what: String| ConfigError::refused(file, None, what);
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let data = folder.join(&config.data);
        let mut declarations = BTreeMap::new();
        for (name, path) in &config.declarations {
            let known = DeclarationName::from_name(name)
                .ok_or_else(|| refuse(format!("`declarations.{name}` is no declaration of the policy schema")))?;
            declarations.insert(known, folder.join(path));
        }
        if config.place == 0 {
            return Err(refuse("`place` is counted from 1".to_owned()));
        }
        if !(1..=STOCK_DAYS_MAX).contains(&config.prekeys.stock_days) {
            return Err(refuse(format!("`prekeys.stock_days` is from 1 to {STOCK_DAYS_MAX}")));
        }
        let every_seconds = config.destruction.every_seconds;
        if !(1..=EVERY_SECONDS_MAX).contains(&every_seconds) {
            return Err(refuse(format!("`destruction.every_seconds` is from 1 to {EVERY_SECONDS_MAX}")));
        }
        if config.limits.requests_an_hour == 0 {
            return Err(refuse("`limits.requests_an_hour` is at least 1".to_owned()));
        }
        if config.login.factors.len() < 2 {
            return Err(refuse(
                "`login.factors` names fewer than two factors, so nobody could ever show two".to_owned(),
            ));
        }
        if config.mail.is_some() && config.page.is_none() {
            return Err(refuse("`mail` needs a `page`, to which its link leads".to_owned()));
        }
        let keys = KeysConfig {
            signing: data.join(&config.keys.signing),
            log: data.join(&config.keys.log),
            opening: data.join(&config.keys.opening),
            witness: data.join(&config.keys.witness),
            notice: data.join(&config.keys.notice),
            tls: data.join(&config.keys.tls),
        };
        Ok(Self {
            charter: folder.join(&config.charter),
            place: KeeperIndex(config.place),
            listen: config.listen,
            keys,
            policy_folder: config.policy.folder.map(|path| folder.join(path)),
            factors: config.login.factors,
            declarations,
            stock_days: config.prekeys.stock_days,
            every: Duration::from_secs(every_seconds),
            people: people::check(file, config.people)?,
            page: config.page.map(|page| PageSettings::check(file, &data, page)).transpose()?,
            mail: config.mail.map(|mail| MailSettings::check(file, "mail", mail)).transpose()?,
            requests_an_hour: config.limits.requests_an_hour,
            without: BTreeSet::new(),
            data,
        })
    }
}

/// Why a keeper does not start, or has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeeperError {
    /// A key file, the charter, or the lock of the data folder.
    File(KeyFileError),
    /// A value that does not fit another: a fixed sentence that says what to mend.
    Unfit(&'static str),
    /// The charter, or another object of the protocol.
    Core(lockplate_core::Error),
    /// The charter keeps reads longer than the law of the owner's state lets.
    TooLong(KeptTooLong),
    /// The policy bundle.
    Policy(LoadError),
    /// The folder of the policy bundle.
    PolicyFolder(std::io::Error),
    /// The folder of the log.
    LogFolder(AcquireError),
    /// The log: altered, an old copy, or ahead of the clock.
    Log(lockplate_log::Error),
    /// The table of key-encryption keys.
    Kek(KekError),
    /// The database.
    Db(DbError),
    /// The database or log refused what was left of the last run.
    Recovery,
    /// The file of a person's passkey.
    Passkey(PasskeyFileError),
    /// TLS.
    Tls(TlsError),
    /// The address.
    Listen(ListenError),
    /// An address of the charter.
    Address(AddressError),
    /// The witnesses of the own log.
    Witnesses(NoWitnesses),
    /// The own witness of others' logs.
    Witness(WitnessError),
    /// What the witnesses of the own log said before anything was signed.
    NotStarted(NotStarted),
    /// The admin socket.
    Admin(std::io::Error),
    /// A task that the keeper cannot do without has ended.
    Ended,
}

impl KeeperError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::File(_)
            | Self::Passkey(_)
            | Self::Unfit(_)
            | Self::Core(_)
            | Self::TooLong(_)
            | Self::Policy(_)
            | Self::PolicyFolder(_)
            | Self::LogFolder(_)
            | Self::Log(_)
            | Self::Kek(_)
            | Self::Recovery
            | Self::Witnesses(_)
            | Self::Witness(_)
            | Self::NotStarted(_)
            | Self::Admin(_) => ExitKind::Config,
            Self::Db(error) => error.exit_kind(),
            Self::Tls(error) => error.exit_kind(),
            Self::Listen(error) => error.exit_kind(),
            Self::Address(error) => error.exit_kind(),
            Self::Ended => ExitKind::Internal,
        }
    }
}

impl fmt::Display for KeeperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(cause) => cause.fmt(f),
            Self::Passkey(cause) => cause.fmt(f),
            Self::Unfit(what) => f.write_str(what),
            Self::Core(cause) => cause.fmt(f),
            Self::TooLong(cause) => write!(f, "the charter was refused: {cause}"),
            Self::Policy(cause) => write!(f, "the policy bundle was refused: {cause}"),
            Self::PolicyFolder(_) => f.write_str("the folder of the policy bundle cannot be read"),
            Self::LogFolder(cause) => cause.fmt(f),
            Self::Log(cause) => write!(f, "the keeper's log was refused: {cause}"),
            Self::Kek(cause) => cause.fmt(f),
            Self::Db(cause) => cause.fmt(f),
            Self::Recovery => f.write_str("what the last run left cannot be made to agree; see the trace"),
            Self::Tls(cause) => cause.fmt(f),
            Self::Listen(cause) => cause.fmt(f),
            Self::Address(cause) => write!(f, "an address of the charter: {cause}"),
            Self::Witnesses(cause) => write!(f, "the witnesses of the keeper's log: {cause}"),
            Self::Witness(cause) => cause.fmt(f),
            Self::NotStarted(cause) => cause.fmt(f),
            Self::Admin(_) => f.write_str("the admin socket cannot be made in the data folder"),
            Self::Ended => f.write_str("a task the keeper cannot do without has ended; see the trace"),
        }
    }
}

impl core::error::Error for KeeperError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File(cause) => Some(cause),
            Self::Passkey(cause) => Some(cause),
            Self::Core(cause) => Some(cause),
            Self::TooLong(cause) => Some(cause),
            Self::Policy(cause) => Some(cause),
            Self::PolicyFolder(cause) | Self::Admin(cause) => Some(cause),
            Self::LogFolder(cause) => Some(cause),
            Self::Log(cause) => Some(cause),
            Self::Kek(cause) => Some(cause),
            Self::Db(cause) => Some(cause),
            Self::Tls(cause) => Some(cause),
            Self::Listen(cause) => Some(cause),
            Self::Address(cause) => Some(cause),
            Self::Witnesses(cause) => Some(cause),
            Self::Witness(cause) => Some(cause),
            Self::NotStarted(cause) => Some(cause),
            Self::Unfit(_) | Self::Recovery | Self::Ended => None,
        }
    }
}

macro_rules! from_cause {
    ($($variant:ident($cause:ty))*) => {$(
        impl From<$cause> for KeeperError {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        }
    )*};
}

from_cause! {
    File(KeyFileError) Passkey(PasskeyFileError) Core(lockplate_core::Error) TooLong(KeptTooLong) Policy(LoadError)
    LogFolder(AcquireError) Log(lockplate_log::Error) Kek(KekError) Db(DbError) Tls(TlsError) Listen(ListenError) Address(AddressError) Witnesses(NoWitnesses)
    Witness(WitnessError) NotStarted(NotStarted)
}

/// Runs a keeper until `tasks` stop. The caller installs the signal handlers and afterwards calls [`Tasks::finish`].
///
/// # Errors
/// [`KeeperError`] where it does not start, or [`KeeperError::Ended`] where it ended by itself.
pub async fn run(settings: KeeperSettings, clock: Arc<dyn Clock>, tasks: Tasks) -> Result<(), KeeperError> {
    let mut started = start(settings, clock, &tasks).await?;
    tracing::info!(address = %started.address, "the keeper witnesses; the rest waits for the witnesses of its own log");
    match started.ready().await {
        // Asked to end while it waited.
        Err(KeeperError::NotStarted(NotStarted::Stopping)) if !tasks.failed() => return Ok(()),
        opened => opened?,
    }
    tracing::info!(address = %started.address, "the keeper answers");
    tasks.stopping().cancelled().await;
    if tasks.failed() { Err(KeeperError::Ended) } else { Ok(()) }
}

/// A keeper that witnesses the logs of others already, and answers for itself once it is ready.
#[derive(Debug)]
pub struct Started {
    /// Where it answers.
    pub address: SocketAddr,
    /// Where the page of its people answers, once it is ready.
    pub page: Option<SocketAddr>,
    opened: oneshot::Receiver<Result<(), KeeperError>>,
}

impl Started {
    /// Waits until the witnesses of its own log have answered and all doors are open. To be asked once.
    ///
    /// # Errors
    /// [`KeeperError`]; then nothing was signed, and `tasks` stop.
    pub async fn ready(&mut self) -> Result<(), KeeperError> {
        (&mut self.opened).await.map_err(|_panicked| KeeperError::Ended)?
    }
}

/// Starts a keeper. When this returns, everything on its own disk was found good, and it answers as a witness of others; its own log
/// signs nothing before its own witnesses have answered ([`Started::ready`]), so that all keepers of a town may start at once. It runs as
/// tasks of `tasks`; the data folder stays locked until the last of them has ended.
///
/// # Errors
/// [`KeeperError`]; then nothing was answered, and nothing signed.
pub async fn start(mut settings: KeeperSettings, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<Started, KeeperError> {
    let folder = DataFolder::lock(&settings.data)?;
    let charter = CharterFile::verify(&read_public_file(&settings.charter)?)?;
    if MinuteLaw::of_charter(charter.charter())?.is_some() {
        // A share that waits for the next look is a read that is kept.
        settings.every = settings.every.min(Duration::from_secs(LOOK_SECONDS_MAX));
    }
    let index = settings.place;
    let entry =
        charter.charter().keeper(index).cloned().ok_or(KeeperError::Unfit("`place` names no keeper of the charter"))?;
    let charter_bytes = Bytes::copy_from_slice(charter.bytes());
    let tls = tls_mode(&settings, &entry)?;
    let server = Server::bind(ListenOn { addr: settings.listen.address, tls }, Limits::default()).await?;
    let address = server.local_addr();
    let page = match settings.page.clone() {
        Some(page) => Some(PageDoor::bind(page).await?),
        None => None,
    };
    let page_address = page.as_ref().map(PageDoor::address);
    let timekeepers = destruction::witnesses(charter.charter(), index)?;
    let witnesses = WitnessSet::of(charter.charter(), &LogName::Keeper(index))?;
    if !witnesses.knows(&settings.without) {
        return Err(NotStarted::UnknownName.into());
    }

    let (tasks_too, opening_clock) = (tasks.clone(), Arc::clone(&clock));
    let opened = tokio::task::spawn_blocking(move || {
        let witness = open_witness(&settings, charter.charter(), &entry, &opening_clock, &tasks_too)?;
        let prepared = prepare(settings, charter, &entry, opening_clock.as_ref())?;
        Ok::<_, KeeperError>((witness, prepared))
    });
    let (witness, prepared) = opened.await.map_err(|_panicked| KeeperError::Ended)??;
    let gate = Gate::new();
    server.serve(gate.behind(doors::early(charter_bytes).merge(witness.routes())), tasks);

    let tasks_of_opening = tasks.clone();
    let opening =
        Opening { prepared, witnesses, witness, timekeepers, folder, gate, clock, page, tasks: tasks_of_opening };
    let (told, opened) = oneshot::channel();
    let tasks_too = tasks.clone();
    tasks.spawn("opening", async move {
        let ended = opening.open().await;
        if ended.is_err() {
            tasks_too.stop();
        }
        let _nobody_asks = told.send(ended);
    });
    Ok(Started { address, page: page_address, opened })
}

/// What waits for the witnesses of the own log.
struct Opening {
    prepared: Prepared,
    witnesses: WitnessSet,
    witness: Witness,
    timekeepers: Vec<destruction::Witness>,
    folder: DataFolder,
    gate: Gate,
    clock: Arc<dyn Clock>,
    page: Option<PageDoor>,
    tasks: Tasks,
}

impl Opening {
    /// Start-up check 5, then everything that signs.
    async fn open(self) -> Result<(), KeeperError> {
        let Self { prepared, witnesses, witness, timekeepers, folder, gate, clock, page, tasks } = self;
        let stopping = tasks.stopping().clone();
        let fits = |record: &WitnessRecord| prepared.log.check_witnessed(record.checkpoint());
        let said = ask_before_start(&witnesses, &prepared.settings.without, fits, &stopping).await?;
        if !said.missing.is_empty() {
            let missing = said.missing.join(", ");
            tracing::warn!(missing, "a person had the keeper start without these witnesses; the log says so");
        }
        let (every, admin_socket) = (prepared.settings.every, prepared.settings.admin_socket());
        let people = prepared.people.clone();
        let mailer = prepared.mailer()?;
        let data = prepared.settings.data.clone();
        let opening_clock = Arc::clone(&clock);
        let (missing, set) = (said.missing, witnesses.clone());
        let opened = tokio::task::spawn_blocking(move || prepared.open(&set, missing, opening_clock.as_ref())).await;
        let Opened { office, database, public, published } = opened.map_err(|_panicked| KeeperError::Ended)??;
        database.end_with(&tasks);
        let heads = office.heads.clone();
        let desk = Desk::new(office, database, Arc::clone(&clock));
        let cosigner =
            Cosigner { set: witnesses, public: public.clone(), sizes: said.sizes, clock: Arc::clone(&clock) };
        cosigner.start(&heads, published, Arc::new(desk.clone()), &tasks);
        desk.visit(Office::recover).await.map_err(|_traced| KeeperError::Recovery)?;

        let listener = admin::bind(&admin_socket).map_err(KeeperError::Admin)?;
        admin::serve(listener, desk.clone(), witness, &tasks);
        if let Some(page) = page {
            let named = desk.visit(|office, _db, _now| Ok(office.named())).await;
            let named = named.map_err(|_traced| KeeperError::Recovery)?;
            page.serve(desk.clone(), people.clone(), named, Arc::clone(&clock), &tasks);
        }
        if let Some(mailer) = mailer {
            let prompts = prompts::run(desk.clone(), people, mailer, data, Arc::clone(&clock), stopping.clone());
            tasks.spawn("prompts", prompts);
        }
        let timer = destruction::run(desk.clone(), timekeepers, every, clock, stopping.clone());
        tasks.spawn_essential("destruction", timer);
        let watched = desk.clone();
        tasks.spawn_essential("office", async move {
            // Ends by itself only when the office is broken, which stops the role; holds the lock until then.
            tokio::select! { () = watched.broken().cancelled() => {}, () = stopping.cancelled() => {} }
            drop(folder);
        });
        let door = LogDoor::new(public, Some(doors::receipts(desk.clone())));
        let opened = openings::publication::routes(LOG_PREFIX, desk.clone());
        let shared = doors::Doors { desk: desk.clone(), stopping: tasks.stopping().clone() };
        let rules = policies::routes(desk);
        gate.open(doors::routes(shared).merge(rules).merge(opened).merge(log_door::routes(LOG_PREFIX, door)));
        Ok(())
    }
}

/// The witness of the others' logs.
fn open_witness(
    settings: &KeeperSettings,
    charter: &Charter,
    entry: &KeeperEntry,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Witness, KeeperError> {
    let seed = Secret::new(read_signing_key(&settings.keys.witness)?.to_bytes());
    let signer = CosignatureSigner::new(entry.witness_key.name().clone(), seed.expose_secret())?;
    if *signer.verifier_key() != entry.witness_key {
        return Err(KeeperError::Unfit("the witness key is not the charter's witness key of this keeper"));
    }
    let logs = witness::logs_of(charter, Some(&entry.log_key))?;
    Ok(Witness::open(&settings.data.join("witness"), signer, logs, None, Arc::clone(clock), tasks)?)
}

fn tls_mode(settings: &KeeperSettings, entry: &KeeperEntry) -> Result<TlsMode, KeeperError> {
    if settings.listen.plain_loopback {
        return Ok(TlsMode::PlainLoopback);
    }
    let identity = TlsIdentity::load_or_create(&settings.keys.tls)?;
    if identity.pin() != entry.tls_pin {
        return Err(KeeperError::Unfit("the TLS key is not the one that the charter pins for this keeper"));
    }
    Ok(TlsMode::Pinned(identity.server_config()?))
}

/// Everything that lies on the disk, found good; nothing is signed yet.
struct Prepared {
    settings: KeeperSettings,
    charter: CharterFile,
    signing: SigningKey,
    opening_key: HpkeSecretKey,
    notice: NoticeKey,
    policy: CedarPolicy,
    policies: Policies,
    declaration_texts: BTreeMap<DeclarationName, [u8; 32]>,
    people: People,
    log: OwnLog<FileLogStorage>,
    public: PathBuf,
    /// None before the log is begun.
    database: Option<Db>,
    kek: KekTable,
}

/// What works once the log may sign.
struct Opened {
    office: Office,
    database: Db,
    public: PathBuf,
    published: Published,
}

/// Opens everything on the disk and compares it with the charter. Blocks.
fn prepare(
    settings: KeeperSettings,
    charter: CharterFile,
    entry: &KeeperEntry,
    clock: &dyn Clock,
) -> Result<Prepared, KeeperError> {
    let seed = |path: &Path| read_signing_key(path).map(|key| Secret::new(key.to_bytes()));
    let signing = SigningKey::from_seed(&seed(&settings.keys.signing)?);
    let own_key: &[u8] = &signing.verify_key().0;
    if entry.key.public_key() != own_key {
        return Err(KeeperError::Unfit("the signing key is not the charter's key of this keeper"));
    }
    let log_seed = seed(&settings.keys.log)?;
    let signer = NoteSigner::new(entry.log_key.name().clone(), log_seed.expose_secret())?;
    if *signer.verifier_key() != entry.log_key {
        return Err(KeeperError::Unfit("the log key is not the charter's key of this keeper's log"));
    }
    let opening_key = HpkeSecretKey::from_seed(Secret::new(*read_secret(&settings.keys.opening)?));
    if opening_key.public_key()?.as_bytes() != &entry.opening_key {
        return Err(KeeperError::Unfit("the opening key is not the charter's opening key of this keeper"));
    }
    let notice = NoticeKey::from_seed(&Secret::new(*read_secret(&settings.keys.notice)?))?;
    let bundle = bundle(&settings, charter.charter())?;
    let policy = CedarPolicy::load(&bundle)?;
    if policy.digest() != charter.charter().policy {
        return Err(KeeperError::Unfit("the policy bundle is not the one that the charter names by its digest"));
    }
    let mut declaration_texts = declaration_texts();
    for (name, path) in &settings.declarations {
        declaration_texts.insert(*name, Sha256::digest(read_public_file(path)?.as_slice()).into());
    }
    let database_path = settings.data.join("keeper.db");
    let known = database_path.exists();
    let storage = FileLogStorage::acquire(&settings.data.join("log"), entry.log_key.name())?;
    let public = storage.public();
    let log = OwnLog::load(storage, signer, now(clock).0)?;
    let first = log.is_new();
    if first && known {
        return Err(KeeperError::Unfit("keeper.db is there and the log is not; restore the folder `log`"));
    }
    // A new one is made after the log, so that it is never there without it.
    let database = if first { None } else { Some(Db::open(&database_path, db::MIGRATIONS)?) };
    let kek = KekTable::open(&settings.data.join("kek"), &mut SystemRng)?;
    Ok(Prepared {
        people: People::read(&settings.people, &entry.human_keys)?,
        settings,
        charter,
        signing,
        opening_key,
        notice,
        policy,
        policies: Policies::founding(bundle),
        declaration_texts,
        log,
        public,
        database,
        kek,
    })
}

impl Prepared {
    /// What sends prompts, if people are to be told by mail, and the origin to which they lead.
    fn mailer(&self) -> Result<Option<(Mailer, String)>, KeeperError> {
        match (&self.settings.mail, &self.settings.page) {
            (Some(mail), Some(page)) => {
                let mailer = Mailer::new(mail).map_err(|refused| match refused {
                    MailRefused::File(cause) => KeeperError::File(cause),
                    MailRefused::Unfit(what) => KeeperError::Unfit(what),
                })?;
                Ok(Some((mailer, page.origin.clone())))
            }
            (Some(_) | None, Some(_) | None) => Ok(None),
        }
    }

    /// Begins the log or goes on with it. Blocks.
    fn open(self, set: &WitnessSet, missing: Vec<String>, clock: &dyn Clock) -> Result<Opened, KeeperError> {
        let Self {
            settings,
            charter,
            signing,
            opening_key,
            notice,
            policy,
            policies,
            declaration_texts,
            people,
            log,
            public,
            database,
            kek,
        } = self;
        let now = now(clock);
        let log = log.begin()?;
        let published = Published::new(set.published_size(log.published(), now.0));
        let fresh = log.size() == 0;
        let database = match database {
            Some(database) => database,
            None => Db::open(&settings.data.join("keeper.db"), db::MIGRATIONS)?,
        };
        let trust = Trust::founding(charter.charter().owner.id, &charter.charter().trust);
        let mut keeper = Keeper::new(settings.place, charter, signing, notice, Box::new(policy), log)?;
        let mut leaves = if fresh { founding_leaves(&keeper, now) } else { Vec::new() };
        if !missing.is_empty() {
            leaves.push(LogEntry::LogResumed(LogResumed { missing: missing.into_iter().collect() }));
        }
        if !leaves.is_empty() {
            keeper.state(leaves, now, &mut SystemRng)?;
        }
        let office = Office {
            keeper,
            kek,
            opening_key,
            trust,
            passkeys: people.passkeys(),
            pending_trust: None,
            withdrawn: Withdrawn::default(),
            policies,
            declaration_texts,
            factors: settings.factors,
            requests_an_hour: settings.requests_an_hour,
            prekeys_max: prekeys::stock_max(settings.stock_days),
            unfinished: Unfinished::default(),
            closed: BTreeMap::new(),
            directories: Directories::default(),
            codes_now: CodesNow::default(),
            second_clock_ahead_s: 0,
            heads: Heads::new(),
            releaser: published.releaser(),
        };
        Ok(Opened { office, database, public, published })
    }
}

/// The first leaves of a keeper's log.
fn founding_leaves(keeper: &Keeper<FileLogStorage>, now: Timestamp) -> Vec<LogEntry> {
    let file = keeper.charter();
    let charter = file.charter();
    let mut party = [0; 16];
    party.iter_mut().zip(keeper.key().verify_key().0).for_each(|(to, from)| *to = from);
    let owner = charter.owner.id;
    let charter_leaf = CharterLeaf {
        owner,
        old: None,
        new: file.hash(),
        t: file.threshold().t(),
        n: file.threshold().n(),
        legal_entities: u64::try_from(charter.legal_entities()).unwrap_or(u64::MAX),
        custody_label: charter.custody_label(),
        effective: now,
    };
    // There is no earlier bundle that this one could be equal to or narrower than. Its signers are those of the charter.
    let relation = PolicyRelation::Looser;
    let policy_leaf =
        PolicyLeaf { owner, old: None, new: keeper.policy().digest(), relation, signers: 0, effective: now };
    vec![
        LogEntry::Genesis(Genesis { party, role: LogKind::Keeper, charter: file.hash() }),
        LogEntry::Charter(charter_leaf),
        LogEntry::Policy(policy_leaf),
    ]
}

fn bundle(settings: &KeeperSettings, charter: &Charter) -> Result<Bundle, KeeperError> {
    let Some(folder) = &settings.policy_folder else { return Ok(Bundle::shipped(charter.owner.state)) };
    policy_folder::read(folder).map_err(|error| match error {
        PolicyFolderError::Io(error) => KeeperError::PolicyFolder(error),
        PolicyFolderError::TooLarge => {
            KeeperError::Unfit("the folder of the policy bundle holds too many files, or too large ones")
        }
        PolicyFolderError::NotText => KeeperError::Unfit("a file of the policy bundle is not text, or its name is not"),
        PolicyFolderError::Bundle(error) => error.into(),
    })
}

/// The clock in whole seconds; times before 1970 are zero, which every validity refuses.
fn now(clock: &dyn Clock) -> Timestamp {
    Timestamp(u64::try_from(clock.now_ms().div_euclid(1_000)).unwrap_or(0))
}

#[cfg(test)]
mod tests;

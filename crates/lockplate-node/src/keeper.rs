//! The keeper process: one office that holds one share of every epoch of one owner, decides requests by policy, logs first,
//! and answers grants. It never sees a read and holds no plate but sealed. This file reads the configuration, opens what is on
//! the disk in the order in which it may refuse to start, and starts the doors; the work stands in the modules below.

pub mod admin;
mod db;
mod destruction;
mod doors;
mod evaluations;
pub mod kek;
mod office;
mod openings;
mod parties;
pub mod prekeys;
mod recovery;
mod requests;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::charter::{Charter, CharterFile, KeeperEntry};
use lockplate_core::directory::Trust;
use lockplate_core::entry::{CharterLeaf, Genesis, LogEntry, LogKind, PolicyLeaf, PolicyRelation, leaf_time};
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::facts::AccessPolicy as _;
use lockplate_core::id::KeeperIndex;
use lockplate_core::keeper::Keeper;
use lockplate_core::sign::SigningKey;
use lockplate_core::vocabulary::DeclarationName;
use lockplate_log::{Log, LogStorage as _, NoteSigner};
use lockplate_oprf::Secret;
use lockplate_policy::{Bundle, CedarPolicy, FILES_MAX, LoadError};
use lockplate_store::log_files::{AcquireError, FileLogStorage};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use self::kek::{KekError, KekTable};
use self::office::{Desk, Office, Unfinished};
use crate::client::AddressError;
use crate::clock::Clock;
use crate::db::{Db, DbError};
use crate::founding::{KeeperFiles, declaration_texts};
use crate::http::{Limits, ListenError, ListenOn, Server, TlsMode};
use crate::log_door::{self, LogDoor};
use crate::rng::SystemRng;
use crate::settings::{self, ConfigError, DataFolder, KeyFileError, read_public_file, read_secret, read_signing_key};
use crate::shutdown::{ExitKind, Tasks};
use crate::tls::{TlsError, TlsIdentity};

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
    /// TLS key, PKCS#8 PEM.
    pub tls: PathBuf,
}

impl Default for KeysConfig {
    fn default() -> Self {
        let files = KeeperFiles::in_folder(Path::new("keys"));
        Self { signing: files.key, log: files.log, opening: files.opening, tls: files.tls }
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

/// `[destruction]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DestructionConfig {
    /// Seconds between two looks at the clock.
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
        if config.login.factors.len() < 2 {
            return Err(refuse(
                "`login.factors` names fewer than two factors, so nobody could ever show two".to_owned(),
            ));
        }
        let keys = KeysConfig {
            signing: data.join(&config.keys.signing),
            log: data.join(&config.keys.log),
            opening: data.join(&config.keys.opening),
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
    /// TLS.
    Tls(TlsError),
    /// The address.
    Listen(ListenError),
    /// An address of the charter.
    Address(AddressError),
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
            | Self::Unfit(_)
            | Self::Core(_)
            | Self::Policy(_)
            | Self::PolicyFolder(_)
            | Self::LogFolder(_)
            | Self::Log(_)
            | Self::Kek(_)
            | Self::Recovery
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
            Self::Unfit(what) => f.write_str(what),
            Self::Core(cause) => cause.fmt(f),
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
            Self::Admin(_) => f.write_str("the admin socket cannot be made in the data folder"),
            Self::Ended => f.write_str("a task the keeper cannot do without has ended; see the trace"),
        }
    }
}

impl core::error::Error for KeeperError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File(cause) => Some(cause),
            Self::Core(cause) => Some(cause),
            Self::Policy(cause) => Some(cause),
            Self::PolicyFolder(cause) | Self::Admin(cause) => Some(cause),
            Self::LogFolder(cause) => Some(cause),
            Self::Log(cause) => Some(cause),
            Self::Kek(cause) => Some(cause),
            Self::Db(cause) => Some(cause),
            Self::Tls(cause) => Some(cause),
            Self::Listen(cause) => Some(cause),
            Self::Address(cause) => Some(cause),
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
    File(KeyFileError) Core(lockplate_core::Error) Policy(LoadError) LogFolder(AcquireError) Log(lockplate_log::Error)
    Kek(KekError) Db(DbError) Tls(TlsError) Listen(ListenError) Address(AddressError)
}

/// Runs a keeper until `tasks` stop. The caller installs the signal handlers and afterwards calls [`Tasks::finish`].
///
/// # Errors
/// [`KeeperError`] where it does not start, or [`KeeperError::Ended`] where it ended by itself.
pub async fn run(settings: KeeperSettings, clock: Arc<dyn Clock>, tasks: Tasks) -> Result<(), KeeperError> {
    let address = start(settings, clock, &tasks).await?;
    tracing::info!(%address, "the keeper answers");
    tasks.stopping().cancelled().await;
    if tasks.failed() { Err(KeeperError::Ended) } else { Ok(()) }
}

/// Starts a keeper and returns the address it answers at. It runs as tasks of `tasks`; the data folder stays locked until the
/// last of them has ended.
///
/// # Errors
/// [`KeeperError`]; then nothing was answered, and nothing signed.
pub async fn start(settings: KeeperSettings, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<SocketAddr, KeeperError> {
    let folder = DataFolder::lock(&settings.data)?;
    let charter = CharterFile::verify(&read_public_file(&settings.charter)?)?;
    let index = settings.place;
    let entry =
        charter.charter().keeper(index).cloned().ok_or(KeeperError::Unfit("`place` names no keeper of the charter"))?;
    let charter_bytes = Bytes::copy_from_slice(charter.bytes());
    let tls = tls_mode(&settings, &entry)?;
    let server = Server::bind(ListenOn { addr: settings.listen.address, tls }, Limits::default()).await?;
    let address = server.local_addr();
    let witnesses = destruction::witnesses(charter.charter(), index)?;
    let every = settings.every;
    let admin_socket = settings.admin_socket();

    let opening = clock.clone();
    let opened = tokio::task::spawn_blocking(move || open(&settings, charter, &entry, opening.as_ref())).await;
    let (office, database, public) = opened.map_err(|_panicked| KeeperError::Ended)??;
    database.end_with(tasks);
    let desk = Desk::new(office, database, clock.clone());
    desk.visit(Office::recover).await.map_err(|_traced| KeeperError::Recovery)?;

    let stopping = tasks.stopping().clone();
    let listener = admin::bind(&admin_socket).map_err(KeeperError::Admin)?;
    admin::serve(listener, desk.clone(), tasks);
    let timer = destruction::run(desk.clone(), witnesses, every, clock, stopping.clone());
    tasks.spawn_essential("destruction", timer);
    let watched = desk.clone();
    tasks.spawn_essential("office", async move {
        // Ends by itself only when the office is broken, which stops the role; holds the lock until then.
        tokio::select! { () = watched.broken().cancelled() => {}, () = stopping.cancelled() => {} }
        drop(folder);
    });
    let door = LogDoor::new(public, Some(doors::receipts(desk.clone())));
    let shared = doors::Doors { desk, charter: charter_bytes, stopping: tasks.stopping().clone() };
    server.serve(doors::routes(shared).merge(log_door::routes(LOG_PREFIX, door)), tasks);
    Ok(address)
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

/// Opens everything on the disk. Blocks.
fn open(
    settings: &KeeperSettings,
    charter: CharterFile,
    entry: &KeeperEntry,
    clock: &dyn Clock,
) -> Result<(Office, Db, PathBuf), KeeperError> {
    let seed = |path: &Path| read_signing_key(path).map(|key| Secret::new(key.to_bytes()));
    let signing = SigningKey::from_seed(&seed(&settings.keys.signing)?);
    let log_seed = seed(&settings.keys.log)?;
    let signer = NoteSigner::new(entry.log_key.name().clone(), log_seed.expose_secret())?;
    if *signer.verifier_key() != entry.log_key {
        return Err(KeeperError::Unfit("the log key is not the charter's key of this keeper's log"));
    }
    let opening_key = HpkeSecretKey::from_seed(Secret::new(*read_secret(&settings.keys.opening)?));
    if opening_key.public_key()?.as_bytes() != &entry.opening_key {
        return Err(KeeperError::Unfit("the opening key is not the charter's opening key of this keeper"));
    }
    let policy = CedarPolicy::load(&bundle(settings, charter.charter())?)?;
    if policy.digest() != charter.charter().policy {
        return Err(KeeperError::Unfit("the policy bundle is not the one that the charter names by its digest"));
    }
    let mut texts = declaration_texts();
    for (name, path) in &settings.declarations {
        texts.insert(*name, Sha256::digest(read_public_file(path)?.as_slice()).into());
    }
    let now = now(clock);
    let database_path = settings.data.join("keeper.db");
    let known = database_path.exists();
    let storage = FileLogStorage::acquire(&settings.data.join("log"), entry.log_key.name())?;
    let public = storage.public();
    let first = storage.read_head().map_err(|_fault| KeeperError::Unfit("the log's head cannot be read"))?.is_none();
    if first && known {
        return Err(KeeperError::Unfit("keeper.db is there and the log is not; restore the folder `log`"));
    }
    let log = if first { Log::create(storage, signer)? } else { Log::load(storage, signer, leaf_time, now.0)? };
    let fresh = log.size() == 0;
    let database = Db::open(&database_path, db::MIGRATIONS)?;
    let kek = KekTable::open(&settings.data.join("kek"), &mut SystemRng)?;
    let trust = Trust::founding(charter.charter().owner.id, &charter.charter().trust);
    let mut keeper = Keeper::new(settings.place, charter, signing, Box::new(policy), log)?;
    if fresh {
        let first_leaves = founding_leaves(&keeper, now);
        keeper.state(first_leaves, now, &mut SystemRng)?;
    }
    let office = Office {
        keeper,
        kek,
        opening_key,
        trust,
        declaration_texts: texts,
        factors: settings.factors.clone(),
        prekeys_max: prekeys::stock_max(settings.stock_days),
        unfinished: Unfinished::default(),
        second_clock_ahead_s: 0,
        published: watch::Sender::new(0),
    };
    Ok((office, database, public))
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
    let mut files = Vec::new();
    for (folder, prefix) in [(folder.clone(), ""), (folder.join("props"), "props/")] {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !prefix.is_empty() => continue,
            Err(error) => return Err(KeeperError::PolicyFolder(error)),
        };
        for entry in entries {
            let entry = entry.map_err(KeeperError::PolicyFolder)?;
            let path = entry.path();
            if !path.is_file() {
                continue;
            }
            if files.len() > FILES_MAX {
                return Err(KeeperError::Unfit("the folder of the policy bundle holds too many files"));
            }
            let unreadable = KeeperError::Unfit("a file of the policy bundle is not text, or its name is not");
            let bytes = std::fs::read(&path).map_err(KeeperError::PolicyFolder)?;
            let (Ok(name), Ok(text)) = (entry.file_name().into_string(), String::from_utf8(bytes)) else {
                return Err(unreadable);
            };
            files.push((format!("{prefix}{name}"), text));
        }
    }
    Ok(Bundle::from_files(files)?)
}

/// The clock in whole seconds; times before 1970 are zero, which every validity refuses.
fn now(clock: &dyn Clock) -> Timestamp {
    Timestamp(u64::try_from(clock.now_ms().div_euclid(1_000)).unwrap_or(0))
}

#[cfg(test)]
mod tests;

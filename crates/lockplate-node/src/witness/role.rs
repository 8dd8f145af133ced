//! The role of outsiders: a court, a library, a newspaper that watches the logs of towns, and may keep a copy of them. It holds no
//! share, decides nothing, and sees what everybody sees. This file reads its configuration and wires it.

use core::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use lockplate_core::charter::CharterFile;
use lockplate_log::{CosignatureSigner, Origin, WitnessPolicy};
use lockplate_store::witness_files::WitnessFiles as Records;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{Incomplete, LOGS_MAX, Mirror, TileSource, WatchedLog, Witness, WitnessError, logs_of};
use crate::client::{AddressError, PeerTrust};
use crate::clock::Clock;
use crate::founding::{FoundingError, WitnessFiles, cosignature_signer};
use crate::http::{Limits, ListenError, ListenOn, Server, TlsMode};
use crate::problem::{Problem, ProblemKind};
use crate::settings::{self, ConfigError, DataFolder, KeyFileError, read_public_file};
use crate::shutdown::{ExitKind, Tasks};
use crate::tls::{TlsError, TlsIdentity};

/// Where the records lie in the data folder.
const RECORDS: &str = "witness";
/// Where the copies lie in the data folder.
const COPIES: &str = "mirror";
/// Longest pause between two looks at a log, seconds.
const EVERY_SECONDS_MAX: u64 = 86_400;

/// `witness.toml`, one to one. Paths are relative to the folder of the file; `docs/samples/witness.toml` explains every key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Data folder, of this witness alone.
    pub data: PathBuf,
    /// Name of this machine: the key's name is `<host>/witness`.
    pub host: String,
    /// Where to listen.
    pub listen: ListenConfig,
    /// Key files.
    #[serde(default)]
    pub keys: KeysConfig,
    /// Charters whose logs are watched.
    #[serde(default)]
    pub charter: Vec<CharterConfig>,
    /// A trust file whose logs are watched as well.
    pub trust: Option<PathBuf>,
    /// Copies.
    #[serde(default)]
    pub mirror: MirrorConfig,
}

/// `[listen]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// Address and port.
    pub address: SocketAddr,
    /// No TLS, on loopback and nowhere else: behind a local proxy that holds the key of the card.
    #[serde(default)]
    pub plain_loopback: bool,
}

/// `[keys]`: paths relative to the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// Ed25519, PKCS#8 PEM: cosignatures.
    pub witness: PathBuf,
    /// TLS key, PKCS#8 PEM.
    pub tls: PathBuf,
}

impl Default for KeysConfig {
    fn default() -> Self {
        let files = WitnessFiles::in_folder(Path::new("keys"));
        Self { witness: files.witness, tls: files.tls }
    }
}

/// `[[charter]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CharterConfig {
    /// The signed charter.
    pub file: PathBuf,
    /// Its hash, 64 hexadecimal digits: what pins it.
    pub hash: String,
}

/// `[mirror]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MirrorConfig {
    /// Keep and serve a copy of every log, and cosign only what is held completely.
    pub enabled: bool,
    /// Seconds between two looks at logs that do not ask.
    pub every_seconds: u64,
}

impl Default for MirrorConfig {
    fn default() -> Self {
        Self { enabled: false, every_seconds: 60 }
    }
}

/// A configuration whose values hold.
#[derive(Debug, Clone)]
pub struct WitnessSettings {
    data: PathBuf,
    name: Origin,
    listen: ListenConfig,
    keys: KeysConfig,
    charters: Vec<(PathBuf, [u8; 32])>,
    trust: Option<PathBuf>,
    mirror: bool,
    every: Duration,
}

impl WitnessSettings {
    /// Reads `witness.toml`, with `LOCKPLATE_*` of `environment` over it ([`settings::load_over`]).
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        Self::try_from((path, settings::load_over::<WitnessConfig>(path, environment)?))
    }

    /// Keeps a copy of every log, whatever the file says.
    #[must_use]
    pub const fn with_mirror(mut self) -> Self {
        self.mirror = true;
        self
    }
}

impl TryFrom<(&Path, WitnessConfig)> for WitnessSettings {
    type Error = ConfigError;

    /// Checks the values of a file; its path is what relative paths are relative to, and stands in errors.
    fn try_from((file, config): (&Path, WitnessConfig)) -> Result<Self, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, what);
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let data = folder.join(&config.data);
        let name = Origin::parse(&format!("{}/witness", config.host));
        let name = name.map_err(|_grammar| refuse("`host` is the name of a machine"))?;
        if config.charter.is_empty() && config.trust.is_none() {
            return Err(refuse("no log is watched: add `[[charter]]` or `trust`"));
        }
        if config.charter.len() > LOGS_MAX {
            return Err(refuse("more charters than a witness can watch"));
        }
        if !(1..=EVERY_SECONDS_MAX).contains(&config.mirror.every_seconds) {
            return Err(refuse("`mirror.every_seconds` is from 1 to 86400"));
        }
        let charters = config.charter.iter().map(|charter| {
            let mut hash = [0; 32];
            hex::decode_to_slice(&charter.hash, &mut hash)
                .map_err(|_digits| refuse("`charter.hash` has 64 hexadecimal digits"))?;
            Ok((folder.join(&charter.file), hash))
        });
        Ok(Self {
            name,
            listen: config.listen,
            keys: KeysConfig { witness: data.join(&config.keys.witness), tls: data.join(&config.keys.tls) },
            charters: charters.collect::<Result<_, ConfigError>>()?,
            trust: config.trust.map(|path| folder.join(path)),
            mirror: config.mirror.enabled,
            every: Duration::from_secs(config.mirror.every_seconds),
            data,
        })
    }
}

/// Why a witness does not start, or has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum RoleError {
    /// A key file, a charter, a trust file, or the lock of the data folder.
    File(KeyFileError),
    /// The witness's key.
    Founding(FoundingError),
    /// A value that does not fit another: a fixed sentence that says what to mend.
    Unfit(&'static str),
    /// A charter.
    Core(lockplate_core::Error),
    /// The trust file.
    Trust(lockplate_log::Error),
    /// An address of a charter.
    Address(AddressError),
    /// The records.
    Witness(WitnessError),
    /// The copies.
    Mirror(Incomplete),
    /// TLS.
    Tls(TlsError),
    /// The address to listen at.
    Listen(ListenError),
    /// No log of this origin was ever cosigned here, or it is not frozen.
    NotFrozen,
    /// A task that the witness cannot do without has ended.
    Ended,
}

impl RoleError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::File(_) | Self::Unfit(_) | Self::Core(_) | Self::Trust(_) | Self::Witness(_) | Self::Mirror(_) => {
                ExitKind::Config
            }
            Self::Founding(error) => error.exit_kind(),
            Self::Address(error) => error.exit_kind(),
            Self::Tls(error) => error.exit_kind(),
            Self::Listen(error) => error.exit_kind(),
            Self::NotFrozen => ExitKind::Usage,
            Self::Ended => ExitKind::Internal,
        }
    }
}

impl fmt::Display for RoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(cause) => cause.fmt(f),
            Self::Founding(cause) => cause.fmt(f),
            Self::Unfit(what) => f.write_str(what),
            Self::Core(cause) => write!(f, "a charter was refused: {cause}"),
            Self::Trust(cause) => write!(f, "the trust file was refused: {cause}"),
            Self::Address(cause) => write!(f, "an address of a charter: {cause}"),
            Self::Witness(cause) => cause.fmt(f),
            Self::Mirror(_) => f.write_str("the copies of the logs cannot be taken up"),
            Self::Tls(cause) => cause.fmt(f),
            Self::Listen(cause) => cause.fmt(f),
            Self::NotFrozen => f.write_str("no log of this origin is frozen here"),
            Self::Ended => f.write_str("a task the witness cannot do without has ended; see the trace"),
        }
    }
}

impl core::error::Error for RoleError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File(cause) => Some(cause),
            Self::Founding(cause) => Some(cause),
            Self::Core(cause) => Some(cause),
            Self::Trust(cause) => Some(cause),
            Self::Address(cause) => Some(cause),
            Self::Witness(cause) => Some(cause),
            Self::Mirror(cause) => Some(cause),
            Self::Tls(cause) => Some(cause),
            Self::Listen(cause) => Some(cause),
            Self::Unfit(_) | Self::NotFrozen | Self::Ended => None,
        }
    }
}

macro_rules! from_cause {
    ($($variant:ident($cause:ty))*) => {$(
        impl From<$cause> for RoleError {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        }
    )*};
}

from_cause! {
    File(KeyFileError) Founding(FoundingError) Core(lockplate_core::Error) Trust(lockplate_log::Error) Address(AddressError)
    Witness(WitnessError) Mirror(Incomplete) Tls(TlsError) Listen(ListenError)
}

/// Runs a witness until `tasks` stop. The caller installs the signal handlers and afterwards calls [`Tasks::finish`].
///
/// # Errors
/// [`RoleError`] where it does not start, or [`RoleError::Ended`] where it ended by itself.
pub async fn run(settings: WitnessSettings, clock: Arc<dyn Clock>, tasks: Tasks) -> Result<(), RoleError> {
    let address = start(settings, clock, &tasks).await?;
    tracing::info!(%address, "the witness answers");
    tasks.stopping().cancelled().await;
    if tasks.failed() { Err(RoleError::Ended) } else { Ok(()) }
}

/// Starts a witness and returns the address it answers at. It runs as tasks of `tasks`; the data folder stays locked until they have
/// ended.
///
/// # Errors
/// [`RoleError`].
pub async fn start(settings: WitnessSettings, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<SocketAddr, RoleError> {
    let folder = DataFolder::lock(&settings.data)?;
    let tls = if settings.listen.plain_loopback {
        TlsMode::PlainLoopback
    } else {
        TlsMode::Pinned(TlsIdentity::load_or_create(&settings.keys.tls)?.server_config()?)
    };
    let server = Server::bind(ListenOn { addr: settings.listen.address, tls }, Limits::default()).await?;
    let address = server.local_addr();
    let (every, mirrors, tasks_too) = (settings.every, settings.mirror, tasks.clone());
    let opened = tokio::task::spawn_blocking(move || open(&settings, clock, &tasks_too)).await;
    let (witness, mirror, logs) = opened.map_err(|_panicked| RoleError::Ended)??;
    let mut router = witness.routes();
    if let Some(mirror) = mirror.filter(|_| mirrors) {
        router = router.merge(mirror.routes());
        tasks.spawn_essential("mirrors", follow(witness.clone(), mirror, logs, every, tasks.stopping().clone()));
    }
    let stopping = tasks.stopping().clone();
    tasks.spawn_essential("witness", async move {
        stopping.cancelled().await;
        drop(folder);
    });
    let health = Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(readyz))
        .with_state(tasks.stopping().clone());
    server.serve(router.merge(health), tasks);
    Ok(address)
}

async fn readyz(State(stopping): State<CancellationToken>) -> Result<&'static str, Problem> {
    if stopping.is_cancelled() { Err(ProblemKind::Unavailable.into()) } else { Ok("ready") }
}

/// Cosigns a log again, because a person has looked at the evidence. For a witness that does not run.
///
/// # Errors
/// [`RoleError`]; [`RoleError::NotFrozen`] where there is nothing to clear.
pub fn clear(settings: &WitnessSettings, origin: &str) -> Result<(), RoleError> {
    let _folder = DataFolder::lock(&settings.data)?;
    let origin = Origin::parse(origin).map_err(|_grammar| RoleError::NotFrozen)?;
    let records = Records::acquire(&settings.data.join(RECORDS)).map_err(WitnessError::Folder)?;
    let disk = |_os| RoleError::Unfit("the records of the witness cannot be read or written");
    if !records.is_frozen(&origin).map_err(disk)? {
        return Err(RoleError::NotFrozen);
    }
    records.thaw(&origin).map_err(|_os| RoleError::Unfit("the records of the witness cannot be read or written"))
}

/// What blocks while it is opened.
fn open(
    settings: &WitnessSettings,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<(Witness, Option<Mirror>, Vec<WatchedLog>), RoleError> {
    let signer: CosignatureSigner = cosignature_signer(&settings.keys.witness, settings.name.as_str())?;
    let mut logs: Vec<WatchedLog> = Vec::new();
    for (path, hash) in &settings.charters {
        let charter = CharterFile::verify(&read_public_file(path)?)?;
        if charter.hash() != *hash {
            return Err(RoleError::Unfit("a charter is not the one whose hash stands beside it"));
        }
        for log in logs_of(charter.charter(), None)? {
            // A desk may stand in the charters of several owners.
            if !logs.iter().any(|known| known.key == log.key) {
                logs.push(log);
            }
        }
    }
    if let Some(path) = &settings.trust {
        let bytes = read_public_file(path)?;
        let text = core::str::from_utf8(&bytes).map_err(|_text| RoleError::Unfit("the trust file is not text"))?;
        for log in WitnessPolicy::parse(text)?.logs() {
            if !logs.iter().any(|known| known.key == log.key) {
                // Only an address of this machine can be used without a pin, and a trust file has none.
                let tiles = log.url.as_deref().and_then(|url| TileSource::new(url, PeerTrust::PlainLoopback, "").ok());
                logs.push(WatchedLog { key: log.key.clone(), tiles });
            }
        }
    }
    let mirror = if settings.mirror {
        if logs.iter().any(|log| log.tiles.is_none()) {
            return Err(RoleError::Unfit(
                "a log of the trust file cannot be copied: only a charter says by which key it is served",
            ));
        }
        Some(Mirror::open(&settings.data.join(COPIES), &logs, tasks)?)
    } else {
        None
    };
    let records = settings.data.join(RECORDS);
    let witness = Witness::open(&records, signer, logs.clone(), mirror.clone(), clock, tasks)?;
    Ok((witness, mirror, logs))
}

/// Fetches what logs have published, whether they ask or not, until the role stops.
async fn follow(witness: Witness, mirror: Mirror, logs: Vec<WatchedLog>, every: Duration, stopping: CancellationToken) {
    loop {
        for log in &logs {
            let Some(tiles) = &log.tiles else { continue };
            let followed = tokio::select! {
                followed = mirror.follow(&log.key, tiles) => followed,
                () = stopping.cancelled() => return,
            };
            match followed {
                Ok(()) => {}
                Err(Incomplete::Unproved) => {
                    tracing::error!(log = %log.key.name(), "log-fork: the log shows what it did not sign, or not before");
                    witness.doubt(&log.key).await;
                }
                Err(incomplete) => tracing::warn!(log = %log.key.name(), %incomplete, "the copy of a log is behind"),
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> WitnessConfig {
        settings::parse(Path::new("witness.toml"), include_str!("../../../../docs/samples/witness.toml")).unwrap()
    }

    #[test]
    fn the_sample_is_read_and_its_values_hold() {
        let settings = WitnessSettings::try_from((Path::new("/etc/lockplate/witness.toml"), sample())).unwrap();
        assert_eq!(settings.data, Path::new("/var/lib/lockplate/witness"));
        assert_eq!(settings.name.as_str(), "library.millbrook.example/witness");
        assert_eq!(settings.keys.witness, Path::new("/var/lib/lockplate/witness/keys/witness.pem"));
        assert_eq!(settings.charters.len(), 1);
        assert!(!settings.mirror && settings.with_mirror().mirror);
    }

    #[test]
    fn values_that_do_not_hold_are_refused_by_name() {
        type Change = fn(&mut WitnessConfig);
        let cases: [(Change, &str); 5] = [
            (|config| config.host = "two words".to_owned(), "`host`"),
            (|config| config.charter.clear(), "`[[charter]]`"),
            (|config| config.charter[0].hash = "00".to_owned(), "`charter.hash`"),
            (|config| config.mirror.every_seconds = 0, "`mirror.every_seconds`"),
            (|config| config.mirror.every_seconds = EVERY_SECONDS_MAX + 1, "`mirror.every_seconds`"),
        ];
        for (change, named) in cases {
            let mut config = sample();
            change(&mut config);
            let error = WitnessSettings::try_from((Path::new("witness.toml"), config)).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}

//! `agency.toml`: the mirror of the file, and the values that hold. Paths are relative to the file, keys and data to the data
//! folder. No secret stands in it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lockplate_core::charter::Charter;
use lockplate_core::limits::EPOCHS_PER_DAY_MAX;
use lockplate_core::segment::SEGMENT_CELLS_MAX;
use serde::Deserialize;

use super::desk_section::{DeskConfig, DeskSection};
use super::folder_of;
use super::register_section::{RegisterConfig, RegisterSection};
use super::standby_section::{StandbyConfig, StandbySection};
use crate::account::{AccountConfig, AccountSection};
use crate::alerts::{AlertSettings, AlertsConfig};
use crate::founding::AgencyFiles;
use crate::hotlist::{self, Fetched, HotlistTable};
use crate::http::is_of_private_network;
use crate::intake::{SourceTable, check_tables};
use crate::object_storage::{BucketConfig, BucketSettings};
use crate::recorder::plan::Rules;
use crate::recorder::{CloseStep, RecorderSettings, SealerProgram};
use crate::settings::{self, ConfigError};

/// Late epochs open at once, at most: each is a process with its locked memory.
const LATE_OPEN_MAX: usize = 64;
/// Late epochs in a day, at most: a year of hourly epochs.
const LATE_PER_DAY_MAX: u32 = 9_000;
/// Live epochs in a day, at most: what a charter with windows of a second lets.
const LIVE_PER_DAY_MAX: u32 = 2 * 86_400;
/// Prekeys in stock of one keeper, at most: 7 days of the most epochs there may be.
const PREKEYS_MAX: u32 = 10_000;
/// Rated reads a second, at most: far beyond any one machine.
const RATED_MAX: u32 = 1_000_000;

/// `agency.toml`, one to one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgencyConfig {
    /// Data folder, of this agency alone.
    pub data: PathBuf,
    /// The listener of everything public, the desk, and protected intake.
    pub listen: ListenConfig,
    /// Key files.
    #[serde(default)]
    pub keys: AgencyKeysConfig,
    /// Recorder and archive; absent for an agency that only asks.
    pub recorder: Option<RecorderConfig>,
    /// Desk: officers and the owners they may ask; absent for an agency whose officers ask nobody.
    pub desk: Option<DeskConfig>,
    /// The public register of the archive; an owner serves it even without the section.
    pub register: Option<RegisterConfig>,
    /// Sources of reads.
    #[serde(default)]
    pub intake: IntakeConfig,
    /// Who is told of alerts beside the officers' terminals.
    pub alerts: Option<AlertsConfig>,
    /// The account list of a toll or parking operator.
    pub account: Option<AccountConfig>,
    /// Hot lists whose files are fetched.
    #[serde(default)]
    pub hotlist: Vec<HotlistTable>,
    /// A second machine of this agency takes over when the active one fails.
    pub standby: Option<StandbyConfig>,
    /// Tests of crashes.
    #[serde(default)]
    pub testing: TestingConfig,
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

/// `[keys]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgencyKeysConfig {
    /// Folder of the key files that the founding made, in the data folder.
    pub folder: PathBuf,
    /// 32 bytes in hexadecimal that `lockplate import` shows; made where the file is absent.
    pub import: Option<PathBuf>,
}

impl Default for AgencyKeysConfig {
    fn default() -> Self {
        Self { folder: PathBuf::from("keys"), import: None }
    }
}

/// `[recorder]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecorderConfig {
    /// The signed charter of this agency's archive.
    pub charter: PathBuf,
    /// A folder on a file system in memory, for spools and archive: where the owner's law counts in minutes, and only there.
    pub memory: Option<PathBuf>,
    /// A bucket of an S3-compatible store for closed epochs; without it they are in the data folder.
    pub archive: Option<BucketConfig>,
    /// A listener of plain HTTP for cameras that know no TLS; an address of a private network.
    pub lan: Option<SocketAddr>,
    /// Folder of the rules that hot lists and alerts are decided by; without it those that the program has for the owner's state.
    pub policy: Option<PathBuf>,
    /// The binary that is executed as a sealer; as a rule this one.
    pub sealer: Option<PathBuf>,
    /// How long a live epoch takes its own reads after its window has ended, seconds.
    pub overlap_seconds: Option<u64>,
    /// Late epochs open at once.
    #[serde(default = "late_open_max")]
    pub late_open_max: usize,
    /// A late epoch without reads for so long is closed, seconds.
    #[serde(default = "late_idle_seconds")]
    pub late_idle_seconds: u64,
    /// Live epochs in 24 hours; as many as the charter's windows need where it is absent.
    pub live_epochs_per_day_max: Option<u32>,
    /// Late epochs in 24 hours.
    #[serde(default = "late_epochs_per_day_max")]
    pub late_epochs_per_day_max: u32,
    /// Prekeys to have of each keeper.
    #[serde(default = "prekeys_target")]
    pub prekeys_target: u32,
    /// Below it more are ordered.
    #[serde(default = "prekeys_low")]
    pub prekeys_low: u32,
    /// Reads of an epoch to expect before any was closed.
    #[serde(default = "cells_expected")]
    pub cells_expected: u64,
    /// Reads a second that this machine is rated for; the alarm `rated-load` says that a minute's mean was above it.
    #[serde(default = "rated_reads_per_second")]
    pub rated_reads_per_second: u32,
}

fn late_open_max() -> usize {
    Rules::default().late_open_max
}
fn late_idle_seconds() -> u64 {
    Rules::default().late_idle_seconds
}
fn late_epochs_per_day_max() -> u32 {
    Rules::default().late_per_day_max
}
fn prekeys_target() -> u32 {
    Rules::default().prekeys_target
}
fn prekeys_low() -> u32 {
    Rules::default().prekeys_low
}
const fn cells_expected() -> u64 {
    4_096
}
const fn rated_reads_per_second() -> u32 {
    150
}

/// `[intake]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntakeConfig {
    /// `[[intake.source]]`.
    pub source: Vec<SourceTable>,
}

/// `[testing]`: refused unless the binary was built for tests of crashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TestingConfig {
    /// The process aborts after this step of a close.
    pub stop_after: Option<CloseStep>,
}

/// Where key files lie.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) tls: PathBuf,
    pub(super) recorder: PathBuf,
    pub(super) recorder_log: PathBuf,
    pub(super) device: PathBuf,
    pub(super) alert: PathBuf,
    pub(super) hotlist: PathBuf,
    pub(super) passage: PathBuf,
    pub(super) standby: PathBuf,
    pub(super) import: Option<PathBuf>,
}

/// A configuration whose values hold.
#[derive(Debug, Clone)]
pub struct AgencySettings {
    pub(super) data: PathBuf,
    pub(super) listen: ListenConfig,
    pub(super) keys: Keys,
    pub(super) recorder: Option<RecorderSection>,
    pub(super) desk: Option<DeskSection>,
    pub(super) register: Option<RegisterSection>,
    pub(super) standby: Option<StandbySection>,
    pub(super) sources: Vec<SourceTable>,
    pub(super) alerts: AlertSettings,
    pub(super) account: Option<AccountSection>,
    /// Lists that are fetched.
    pub(super) fetched: Vec<Fetched>,
    /// Names of witnesses of the own logs that a person does not wait for.
    pub(super) without: BTreeSet<String>,
}

/// `[recorder]` with its values checked.
#[derive(Debug, Clone)]
pub(super) struct RecorderSection {
    pub(super) charter: PathBuf,
    pub(super) memory: Option<PathBuf>,
    pub(super) archive: Option<BucketSettings>,
    pub(super) policy: Option<PathBuf>,
    pub(super) lan: Option<SocketAddr>,
    config: RecorderConfig,
    program: SealerProgram,
    stop_after: Option<CloseStep>,
}

impl RecorderSection {
    /// Reads a second that this machine is rated for.
    pub(super) const fn rated_reads_per_second(&self) -> u32 {
        self.config.rated_reads_per_second
    }

    /// With the charter's part of the numbers.
    pub(super) fn settings(&self, charter: &Charter) -> RecorderSettings {
        let config = &self.config;
        // By default two minutes and a half beyond the window: reads as they pass are up to 120 s old, held ones 30 s more
        // (`intake.md` section 4). Where windows are short, their length bounds it. Whatever is configured, no sealer holds a
        // key whose shares are due.
        let overlap = config.overlap_seconds.unwrap_or(Rules::default().overlap_seconds.min(charter.epoch_seconds));
        let live_max = charter.live_epochs_per_day_max();
        RecorderSettings {
            program: self.program.clone(),
            rules: Rules {
                epoch_seconds: charter.epoch_seconds,
                retention_seconds: charter.retention_seconds,
                overlap_seconds: overlap.min(charter.retention_seconds),
                late_open_max: config.late_open_max,
                late_idle_seconds: config.late_idle_seconds,
                live_per_day_max: config.live_epochs_per_day_max.map_or(live_max, |wished| wished.min(live_max)),
                late_per_day_max: config.late_epochs_per_day_max,
                prekeys_target: config.prekeys_target,
                prekeys_low: config.prekeys_low,
            },
            cells_expected: config.cells_expected,
            stop_after: self.stop_after,
        }
    }
}

impl AgencySettings {
    /// Reads `agency.toml`, with `LOCKPLATE_*` of `environment` over it ([`settings::load_over`]).
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        Self::try_from((path, settings::load_over::<AgencyConfig>(path, environment)?))
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A person has the agency start without this witness of its logs, once; the logs will say so.
    pub fn start_without(&mut self, witness: &str) {
        self.without.insert(witness.to_owned());
    }

    /// The bucket of the archive, where it is in one.
    #[must_use]
    pub fn bucket(&self) -> Option<&BucketSettings> {
        self.recorder.as_ref().and_then(|recorder| recorder.archive.as_ref())
    }

    /// The list of officers; none where there is no `[desk]`.
    #[must_use]
    pub fn officers(&self) -> Option<&Path> {
        self.desk.as_ref().map(|desk| desk.officers.as_path())
    }

    /// Another program as sealer, with its arguments: for tests, whose own binary is not this one.
    #[must_use]
    pub fn with_sealer(mut self, program: SealerProgram) -> Self {
        if let Some(recorder) = &mut self.recorder {
            recorder.program = program;
        }
        self
    }
}

impl TryFrom<(&Path, AgencyConfig)> for AgencySettings {
    type Error = ConfigError;

    /// Checks the values of a file; its path is what relative paths are relative to, and stands in errors.
    fn try_from((file, mut config): (&Path, AgencyConfig)) -> Result<Self, ConfigError> {
        let refuse = |what: String| ConfigError::refused(file, None, what);
        let data = folder_of(file).join(&config.data);
        let keys = data.join(&config.keys.folder);
        let files = AgencyFiles::in_folder(&keys);
        config.intake.source.iter_mut().for_each(|source| source.resolve(folder_of(file)));
        check_tables(&config.intake.source).map_err(|refused| refuse(refused.to_string()))?;
        if config.testing.stop_after.is_some() && !cfg!(feature = "failpoints") {
            return Err(refuse("`testing` is for a binary built for tests of crashes".to_owned()));
        }
        if config.recorder.is_none() && !config.intake.source.is_empty() {
            return Err(refuse("`intake.source` needs a `[recorder]` to send reads to".to_owned()));
        }
        if config.recorder.is_none() && config.register.is_some() {
            return Err(refuse("`[register]` needs a `[recorder]`: it is the register of an archive".to_owned()));
        }
        if config.alerts.is_some() && (config.recorder.is_none() || config.desk.is_none()) {
            return Err(refuse("`[alerts]` needs a `[recorder]` for hits and a `[desk]` for officers".to_owned()));
        }
        if !config.hotlist.is_empty() && (config.recorder.is_none() || config.desk.is_none()) {
            return Err(refuse(
                "`[[hotlist]]` needs a `[recorder]` that matches and a `[desk]` for its steward".to_owned(),
            ));
        }
        let fetched = hotlist::check_tables(file, &config.hotlist)?;
        let account = config.account.map(|account| AccountSection::of(file, &account)).transpose()?;
        let alerts = AlertSettings::check(file, &data, config.alerts.unwrap_or_default())?;
        let register = match (&config.recorder, config.register) {
            (Some(_), section) => RegisterSection::of(file, &section.unwrap_or_default())?,
            (None, _) => None,
        };
        let recorder = match config.recorder {
            None => None,
            Some(recorder) => Some(section(file, &data, recorder, config.testing.stop_after)?),
        };
        let bucket = recorder.as_ref().and_then(|recorder| recorder.archive.as_ref());
        let standby = config.standby.map(|standby| StandbySection::of(standby, bucket));
        let standby = standby.transpose().map_err(|what| refuse(what.to_owned()))?;
        let own = recorder.as_ref().map(|recorder| recorder.charter.as_path());
        let desk = match config.desk {
            None => None,
            Some(desk) => Some(DeskSection::of(file, desk, &data, files.clone(), own)?),
        };
        Ok(Self {
            keys: Keys {
                tls: files.tls,
                recorder: files.recorder,
                recorder_log: files.recorder_log,
                device: files.device,
                alert: files.alert,
                hotlist: files.hotlist,
                passage: files.passage,
                standby: keys.join("standby"),
                import: config.keys.import.map(|path| data.join(path)),
            },
            listen: config.listen,
            recorder,
            desk,
            register,
            standby,
            sources: config.intake.source,
            alerts,
            account,
            fetched,
            without: BTreeSet::new(),
            data,
        })
    }
}

fn section(
    file: &Path,
    data: &Path,
    config: RecorderConfig,
    stop_after: Option<CloseStep>,
) -> Result<RecorderSection, ConfigError> {
    let refuse = |what: String| ConfigError::refused(file, None, what);
    let in_range = |name: &str, value: u64, range: core::ops::RangeInclusive<u64>| {
        let (least, most) = (range.start(), range.end());
        if range.contains(&value) {
            Ok(())
        } else {
            Err(refuse(format!("`recorder.{name}` is from {least} to {most}")))
        }
    };
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    in_range("overlap_seconds", config.overlap_seconds.unwrap_or(0), 0..=3_600)?;
    in_range("late_open_max", wide(config.late_open_max), 1..=wide(LATE_OPEN_MAX))?;
    in_range("late_idle_seconds", config.late_idle_seconds, 1..=86_400)?;
    let live = config.live_epochs_per_day_max.unwrap_or(EPOCHS_PER_DAY_MAX);
    in_range("live_epochs_per_day_max", live.into(), 1..=LIVE_PER_DAY_MAX.into())?;
    in_range("late_epochs_per_day_max", config.late_epochs_per_day_max.into(), 0..=LATE_PER_DAY_MAX.into())?;
    in_range("prekeys_target", config.prekeys_target.into(), 2..=PREKEYS_MAX.into())?;
    in_range("prekeys_low", config.prekeys_low.into(), 1..=u64::from(config.prekeys_target))?;
    in_range("rated_reads_per_second", config.rated_reads_per_second.into(), 1..=RATED_MAX.into())?;
    in_range("cells_expected", config.cells_expected, 1..=wide(SEGMENT_CELLS_MAX))?;
    if config.lan.is_some_and(|addr| !is_of_private_network(addr.ip())) {
        return Err(refuse(
            "`recorder.lan` is plain HTTP: it is an address of this machine in a private network, such as 10.1.0.2:8080".to_owned(),
        ));
    }
    if config.archive.is_some() && config.memory.is_some() {
        return Err(refuse(
            "`recorder.memory` and `recorder.archive` exclude each other: where the law lets no sealed read lie on a disk, it lets none \
             lie in a bucket"
                .to_owned(),
        ));
    }
    let archive = config.archive.clone();
    let archive = archive.map(|bucket| BucketSettings::of(file, "recorder.archive", data, bucket)).transpose()?;
    let path = match &config.sealer {
        Some(path) => folder_of(file).join(path),
        None => std::env::current_exe()
            .map_err(|_proc| refuse("this binary's own path cannot be found: set `recorder.sealer`".to_owned()))?,
    };
    Ok(RecorderSection {
        charter: folder_of(file).join(&config.charter),
        memory: config.memory.as_ref().map(|path| folder_of(file).join(path)),
        archive,
        policy: config.policy.as_ref().map(|path| folder_of(file).join(path)),
        lan: config.lan,
        program: SealerProgram { path, arguments: vec!["sealer".to_owned()] },
        config,
        stop_after,
    })
}

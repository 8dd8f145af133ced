//! `[desk]` of `agency.toml`: who the agency is, whom it may ask, where its officers stand; and the desk made from it. The
//! charters of other owners are pinned by their hash, the own one by the file that `[recorder]` names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockplate_core::charter::{CharterFile, LeafWait, LogName};
use lockplate_core::entry::LogKind;
use lockplate_core::id::AgencyId;
use lockplate_core::vocabulary::{Level, State};
use lockplate_log::VerifierKey;
use lockplate_store::durable;
use serde::Deserialize;

use super::{AgencyError, folder_of};
use crate::clock::Clock;
use crate::cosign::WitnessSet;
use crate::desk::{Desk, DeskSettings};
use crate::founding::{AgencyCard, AgencyFiles, note_signer, statement_signer};
use crate::log_door::LogDoor;
use crate::officers::AgencyIdentity;
use crate::party_log::{LogOnDisk, LogWitnesses};
use crate::settings::{ConfigError, read_public_file};
use crate::shutdown::Tasks;
use crate::standby::{DbOf, DbShip, LogOf, LogShip, Shipper};

/// Owners that one desk may ask.
const OWNERS_MAX: usize = 256;
/// Declarations that one desk files.
const DECLARATIONS_MAX: usize = 256;

/// `[desk]`. Paths are relative to the file, the officers' to the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeskConfig {
    /// The agency's own card.
    pub card: PathBuf,
    /// The list of officers, in the data folder.
    pub officers: PathBuf,
    /// `[[desk.owner]]`: other owners that may be asked. The own archive needs no entry.
    pub owner: Vec<OwnerConfig>,
    /// Signed declarations that are filed with those owners.
    pub declarations: Vec<PathBuf>,
}

impl Default for DeskConfig {
    fn default() -> Self {
        Self {
            card: PathBuf::from("card.json"),
            officers: PathBuf::from("officers.json"),
            owner: Vec::new(),
            declarations: Vec::new(),
        }
    }
}

/// One `[[desk.owner]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerConfig {
    /// Its charter.
    pub charter: PathBuf,
    /// The charter's hash, 64 hexadecimal digits: what pins it.
    pub hash: String,
}

/// `[desk]` with its values checked.
#[derive(Debug, Clone)]
pub(super) struct DeskSection {
    pub(super) officers: PathBuf,
    card: PathBuf,
    owners: Vec<(PathBuf, Option<[u8; 32]>)>,
    declarations: Vec<PathBuf>,
    keys: AgencyFiles,
}

impl DeskSection {
    /// Checks `[desk]`; `own` is the charter of `[recorder]`.
    pub(super) fn of(
        file: &Path,
        config: DeskConfig,
        data: &Path,
        keys: AgencyFiles,
        own: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, what);
        let folder = folder_of(file);
        if config.owner.len() > OWNERS_MAX || config.declarations.len() > DECLARATIONS_MAX {
            return Err(refuse("`desk` names too many owners or declarations"));
        }
        let mut owners: Vec<_> = own.map(|path| (path.to_owned(), None)).into_iter().collect();
        for owner in &config.owner {
            let mut hash = [0; 32];
            hex::decode_to_slice(&owner.hash, &mut hash)
                .map_err(|_digits| refuse("`desk.owner.hash` has 64 hexadecimal digits"))?;
            owners.push((folder.join(&owner.charter), Some(hash)));
        }
        if owners.is_empty() {
            return Err(refuse("`desk` names no owner that could be asked: add `[[desk.owner]]`"));
        }
        Ok(Self {
            officers: data.join(&config.officers),
            card: folder.join(&config.card),
            owners,
            declarations: config.declarations.iter().map(|path| folder.join(path)).collect(),
            keys,
        })
    }

    /// Opens the desk and its log; waits for the witnesses of the log.
    pub(super) async fn open(
        self,
        data: &Path,
        clock: &Arc<dyn Clock>,
        tasks: &Tasks,
        without: &BTreeSet<String>,
        standby: Option<Shipper>,
    ) -> Result<(Desk, LogDoor), AgencyError> {
        let (data, clock_too, tasks_too) = (data.to_owned(), Arc::clone(clock), tasks.clone());
        let loaded = tokio::task::spawn_blocking(move || self.load(&data, clock_too, &tasks_too, standby)).await;
        let (settings, log, key) = loaded.map_err(|_panicked| AgencyError::Ended)??;
        let witnesses = witnesses(&settings, key, without)?;
        let log = log.start(witnesses).await?;
        let door = log.door();
        let (clock, tasks) = (Arc::clone(clock), tasks.clone());
        // Its task is started from there, so the blocking thread has to know the runtime: spawn_blocking's threads do.
        let started = tokio::task::spawn_blocking(move || Desk::start(settings, log, clock, &tasks)).await;
        Ok((started.map_err(|_panicked| AgencyError::Ended)??, door))
    }

    fn card(&self) -> Result<AgencyCard, AgencyError> {
        let unreadable =
            AgencyError::Unfit("the agency's own card cannot be read: write it with lockplate agency init");
        serde_json::from_slice(&read_public_file(&self.card)?).map_err(|_json| unreadable)
    }

    /// The key of the desk's log, by the agency's card. Blocks.
    pub(super) fn log_key(&self) -> Result<VerifierKey, AgencyError> {
        let unknown = AgencyError::Unfit("the agency's own card names no key of a log");
        VerifierKey::parse(&self.card()?.desk_log_key).map_err(|_form| unknown)
    }

    /// Everything on the disk. Blocks.
    fn load(
        &self,
        data: &Path,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
        standby: Option<Shipper>,
    ) -> Result<(DeskSettings, LogOnDisk, VerifierKey), AgencyError> {
        let card = self.card()?;
        let agency = identity(&card)?;
        let mut owners = Vec::new();
        for (path, hash) in &self.owners {
            let charter = CharterFile::verify(&read_public_file(path)?)?;
            if hash.is_some_and(|hash| hash != charter.hash()) {
                return Err(AgencyError::Unfit("a charter of `desk.owner` is not the one whose hash stands beside it"));
            }
            owners.push(charter);
        }
        // Its first leaf names a charter; a desk that asks several owners names the first.
        let charter = owners.first().map(CharterFile::hash).unwrap_or_default();
        let declarations = self
            .declarations
            .iter()
            .map(|path| Ok(read_public_file(path)?.to_vec()))
            .collect::<Result<Vec<_>, AgencyError>>()?;
        let desk_log = signer(&self.keys.desk_log, &card.desk_log_key)?;
        let log_key = desk_log.verifier_key().clone();
        let settings = DeskSettings {
            data: data.to_owned(),
            officers: self.officers.clone(),
            agency_key: signer(&self.keys.agency, &card.agency_key)?,
            desk_key: signer(&self.keys.desk, &card.desk_key)?,
            slip_key: statement_signer(&self.keys.desk)?,
            log_origin: desk_log.verifier_key().name().as_str().to_owned(),
            owners,
            declarations,
            agency,
            inherited: standby.as_ref().is_some_and(Shipper::is_inherited),
            ship: standby.clone().map(|shipper| DbShip::new(shipper, DbOf::Desk)),
        };
        durable::create_dir(data)?;
        let party = (settings.agency.id.0, charter);
        let log = LogOnDisk::load_shipped(
            &data.join("log"),
            desk_log,
            LogKind::Desk,
            party,
            clock,
            tasks,
            standby.map(|shipper| LogShip::new(shipper, LogOf::Desk)),
        )?;
        Ok((settings, log, log_key))
    }
}

/// The keepers of every owner that names this desk in its charter; nobody, where none does. It waits for the quorum where one of them
/// wants that.
fn witnesses(
    settings: &DeskSettings,
    key: VerifierKey,
    without: &BTreeSet<String>,
) -> Result<LogWitnesses, AgencyError> {
    let name = LogName::Desk(settings.agency.id);
    let mut set = WitnessSet::nobody(key.clone());
    let mut wait = LeafWait::Durable;
    for owner in &settings.owners {
        let charter = owner.charter();
        if charter.log(&name).is_some_and(|log| *log.key == key) {
            set = set.and(WitnessSet::of(charter, &name).map_err(AgencyError::Witnesses)?);
            if charter.agency_leaves == LeafWait::Cosigned {
                wait = LeafWait::Cosigned;
            }
        }
    }
    let without = without.iter().filter(|name| set.knows_one(name)).cloned().collect();
    Ok(LogWitnesses { set, without, wait })
}

fn identity(card: &AgencyCard) -> Result<AgencyIdentity, AgencyError> {
    match (AgencyId::parse(&card.id), State::parse(&card.state), Level::from_name(&card.level)) {
        (Some(id), Some(state), Some(level)) => Ok(AgencyIdentity {
            id,
            name: card.name.clone(),
            ori: card.ori.clone(),
            state,
            level,
            law_enforcement: card.law_enforcement,
        }),
        (None, _, _) | (_, None, _) | (_, _, None) => {
            Err(AgencyError::Unfit("the agency's own card names an unknown id, state or level"))
        }
    }
}

/// The key file as the signer that the card names.
fn signer(path: &Path, named: &str) -> Result<lockplate_log::NoteSigner, AgencyError> {
    let other = AgencyError::Unfit("a key file is not the key that the agency's card names");
    let Ok(named) = VerifierKey::parse(named) else { return Err(other) };
    let signer = note_signer(path, named.name().as_str())?;
    if *signer.verifier_key() == named { Ok(signer) } else { Err(other) }
}

//! The logs of a charter: where they are, who witnesses them, and what counts as witnessed (`log.md` sections 1 and 5). The one
//! place that knows the quorum, so that publishing, the start-up check, monitors and verifiers cannot disagree.

use core::fmt;

use lockplate_log::note::VerifierKey;
use lockplate_log::policy::{PolicyGroup, PolicyLog, PolicyWitness, Threshold, WitnessPolicy};

use super::Charter;
use crate::error::{Error, Result};
use crate::id::{AgencyId, KeeperIndex};

/// Group of a trust file: the keepers that may witness the log.
const KEEPERS: &str = "keepers";
/// Group of a trust file: the outside witnesses of the charter.
const OUTSIDE: &str = "outside";
/// Group of a trust file: both of them, where the charter demands outsiders.
const BOTH: &str = "both";

/// One log of a charter, by whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogName {
    /// A keeper's.
    Keeper(KeeperIndex),
    /// The owner's recorder's.
    Recorder,
    /// The desk's of an agency that the charter names.
    Desk(AgencyId),
}

impl LogName {
    /// Path of the log under its party's base address; `/checkpoint` and `/tile/..` follow.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        match self {
            Self::Keeper(_) => "/log/keeper",
            Self::Recorder => "/log/recorder",
            Self::Desk(_) => "/log/desk",
        }
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keeper(index) => write!(f, "keeper {}", index.0),
            Self::Recorder => f.write_str("recorder"),
            Self::Desk(id) => write!(f, "desk {id}"),
        }
    }
}

/// A log of a charter and where it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CharterLog<'a> {
    /// Whose it is.
    pub name: LogName,
    /// Its key; the key's name is the log's origin.
    pub key: &'a VerifierKey,
    /// Base address of its party.
    pub base_url: &'a str,
    /// SHA-256 of its party's TLS SubjectPublicKeyInfo.
    pub tls_pin: [u8; 32],
}

impl CharterLog<'_> {
    /// Address of the log: the prefix of `/checkpoint` and `/tile/..`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.base_url, self.name.path())
    }
}

/// A witness of a log and where it takes checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CharterWitness<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// The legal entity behind it.
    pub operator: &'a str,
    /// Its cosigning key, type 0x04.
    pub key: &'a VerifierKey,
    /// Base address of its party.
    pub base_url: &'a str,
    /// SHA-256 of its party's TLS SubjectPublicKeyInfo.
    pub tls_pin: [u8; 32],
    /// The keeper it is; none for an outsider.
    pub keeper: Option<KeeperIndex>,
}

impl CharterWitness<'_> {
    /// Address of its doors: the prefix of `/add-checkpoint` and `/<origin hash>/checkpoint`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/witness", self.base_url)
    }
}

impl Charter {
    /// All logs: the keepers' in order, the recorder's, the desks' of the agencies that have one.
    pub fn logs(&self) -> impl Iterator<Item = CharterLog<'_>> {
        let keepers = self.keepers.iter().map(|keeper| CharterLog {
            name: LogName::Keeper(keeper.index),
            key: &keeper.log_key,
            base_url: &keeper.url,
            tls_pin: keeper.tls_pin,
        });
        let recorder = CharterLog {
            name: LogName::Recorder,
            key: &self.archive.log_key,
            base_url: &self.archive.url,
            tls_pin: self.archive.tls_pin,
        };
        let desks = self.agencies.iter().filter_map(|agency| {
            let name = LogName::Desk(agency.id);
            Some(CharterLog { name, key: agency.desk_log.as_ref()?, base_url: &agency.url, tls_pin: agency.tls_pin })
        });
        keepers.chain([recorder]).chain(desks)
    }

    /// The log of a name, if the charter has it.
    #[must_use]
    pub fn log(&self, name: &LogName) -> Option<CharterLog<'_>> {
        self.logs().find(|log| log.name == *name)
    }

    /// Who may cosign a log: every keeper but the log's own, then the outside witnesses.
    pub fn witnesses_of(&self, log: &LogName) -> impl Iterator<Item = CharterWitness<'_>> {
        let log = *log;
        let keepers = self.keepers.iter().filter(move |keeper| log != LogName::Keeper(keeper.index)).map(|keeper| {
            CharterWitness {
                name: &keeper.name,
                operator: &keeper.legal_entity,
                key: &keeper.witness_key,
                base_url: &keeper.url,
                tls_pin: keeper.tls_pin,
                keeper: Some(keeper.index),
            }
        });
        let outside = self.witnesses.iter().map(|witness| CharterWitness {
            name: &witness.name,
            operator: &witness.operator,
            key: &witness.key,
            base_url: &witness.url,
            tls_pin: witness.tls_pin,
            keeper: None,
        });
        keepers.chain(outside)
    }

    /// The trust file of a log. Its quorum: of a keeper's log t-1 of the n-1 other keepers, because a grant needs t live keepers
    /// anyway; of a recorder's or desk's log t of the n keepers; and [`Charter::outside_witnesses`] of the outsiders on top. An
    /// outsider that need not cosign stands in the file all the same: a known witness's forged line spoils the checkpoint.
    ///
    /// # Errors
    /// `Invalid` if the charter has no such log, or a name or address in it does not fit a trust file. Never in a charter that
    /// was checked, for a log that it has.
    pub fn witness_policy(&self, log: &LogName) -> Result<WitnessPolicy> {
        let served = self.log(log).ok_or(Error::invalid("the charter has no such log"))?;
        let logs = vec![PolicyLog { key: served.key.clone(), url: Some(served.url()) }];
        let (mut witnesses, mut keepers, mut outside) = (Vec::new(), Vec::new(), Vec::new());
        for witness in self.witnesses_of(log) {
            let name = witness.key.name().as_str().to_owned();
            let members = if witness.keeper.is_some() { &mut keepers } else { &mut outside };
            members.push(name.clone());
            witnesses.push(PolicyWitness { name, key: witness.key.clone(), url: Some(witness.url()) });
        }
        let of_keepers = match log {
            LogName::Keeper(_) => self.threshold.saturating_sub(1),
            LogName::Recorder | LogName::Desk(_) => self.threshold,
        };
        let group = |name: &str, threshold, members| PolicyGroup { name: name.to_owned(), threshold, members };
        let mut groups = vec![group(KEEPERS, Threshold::AtLeast(usize::from(of_keepers)), keepers)];
        let quorum = if self.outside_witnesses == 0 {
            KEEPERS
        } else {
            groups.push(group(OUTSIDE, Threshold::AtLeast(usize::from(self.outside_witnesses)), outside));
            groups.push(group(BOTH, Threshold::All, vec![KEEPERS.to_owned(), OUTSIDE.to_owned()]));
            BOTH
        };
        WitnessPolicy::new(logs, witnesses, groups, Some(quorum.to_owned()))
            .ok()
            .ok_or(Error::invalid("a log's or witness's name or address does not fit a trust file"))
    }
}

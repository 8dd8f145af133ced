//! What people sign about a list: its steward how it is matched, and whoever brings a load which file it is. A list that nobody signed
//! for loads nothing (`hotlists.md` section 1, rule 3). Signatures are checked here; whether these people may is the policy's.

use rand_core::CryptoRng;

use super::AlertLevel;
use super::limits::EXTRACT_ENTRIES_MAX;
use super::set::{ListSettings, SetKind};
use crate::Timestamp;
use crate::disclosure::{Disclosure, SD_OTHER, fill_digests};
use crate::entry::SaltedDigests;
use crate::envelope::HpkePublicKey;
use crate::error::{Error, Result};
use crate::hotlist::load::LoadMode;
use crate::id::AgencyId;
use crate::json::Field as _;
use crate::person::ByPerson;
use crate::sign::Statement;
use crate::vocabulary::Purpose;
use crate::wire::{Reader, Writer, th};

/// Bytes of a list's name.
pub const LIST_NAME_BYTES_MAX: usize = 64;
/// Bytes of the source's own name of a file.
pub const SOURCE_FILE_BYTES_MAX: usize = 64;
/// People who sign one load: the steward, a supervisor, another who releases it, a human keeper.
pub const SIGNERS_MAX: usize = 4;

impl SetKind {
    /// Its number in statements.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Extract => 1,
            Self::Custom => 2,
            Self::Amber => 3,
        }
    }

    /// From the number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Extract),
            2 => Some(Self::Custom),
            3 => Some(Self::Amber),
            _ => None,
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Custom => "custom",
            Self::Amber => "amber",
        }
    }

    /// From the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Extract, Self::Custom, Self::Amber].into_iter().find(|kind| kind.name() == name)
    }
}

impl AlertLevel {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How a list is matched, as its steward signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListConfig {
    /// The agency whose list it is, and for whose purposes it is matched.
    pub agency: AgencyId,
    /// Name for people; it means nothing.
    pub name: String,
    /// Settings of matching.
    pub settings: ListSettings,
    /// What the entries of a custom list are for; of other lists the class says it.
    pub purpose: Option<Purpose>,
    /// SHA-256 of the template that reads its files; zero for the own format.
    pub template: [u8; 32],
    /// Entries it may have.
    pub entries_max: u64,
    /// To whom alerts are sealed, if not to the recorder's own agency.
    pub alert_key: Option<HpkePublicKey>,
    /// Rises with each change.
    pub serial: u64,
    /// The list ends.
    pub retired: bool,
    /// The steward's clock.
    pub time: Timestamp,
}

impl Statement for ListConfig {
    const LABEL: &'static str = "list-config";
    const BYTES_MAX: usize = 256 + LIST_NAME_BYTES_MAX + crate::charter::OPENING_KEY_BYTES;

    fn encode(&self) -> Vec<u8> {
        let settings = &self.settings;
        let mut w = Writer::new();
        w.raw(&self.agency.0).raw(&settings.list).lv8(self.name.as_bytes()).u8(settings.kind.code());
        w.u16(self.purpose.map_or(0, Purpose::code)).u16(settings.conf_min);
        w.u8(u8::from(settings.trust_jurisdiction)).raw(&self.template).u64(self.entries_max);
        w.lv16(self.alert_key.as_ref().map_or(&[], |key| key.as_bytes().as_slice()));
        w.u64(self.serial).u8(u8::from(self.retired)).u64(self.time.0).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let bad = || Error::malformed("a list's configuration is not well-formed");
        let mut r = Reader::new(bytes);
        let (agency, list) = (AgencyId(r.array()?), r.array()?);
        let name = core::str::from_utf8(r.lv8()?).map_err(|_utf8| bad())?.to_owned();
        if name.trim().is_empty() || name.len() > LIST_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(bad());
        }
        let kind = SetKind::from_code(r.u8()?).ok_or_else(bad)?;
        let purpose = match r.u16()? {
            0 => None,
            code => Some(Purpose::from_code(code).ok_or_else(bad)?),
        };
        let (conf_min, trust) = (r.u16()?, r.u8()?);
        let (template, entries_max) = (r.array()?, r.u64()?);
        let alert_key = match r.lv16()? {
            [] => None,
            key => Some(HpkePublicKey::from_slice(key).ok_or_else(bad)?),
        };
        let (serial, retired, time) = (r.u64()?, r.u8()?, Timestamp(r.u64()?));
        r.end()?;
        // A custom list says what it is for, and nobody else does.
        let too_many = entries_max > EXTRACT_ENTRIES_MAX;
        if too_many || trust > 1 || retired > 1 || conf_min > 1_000 || purpose.is_some() != (kind == SetKind::Custom) {
            return Err(bad());
        }
        let settings = ListSettings { list, kind, conf_min, trust_jurisdiction: trust == 1 };
        Ok(Self {
            agency,
            name,
            settings,
            purpose,
            template,
            entries_max,
            alert_key,
            serial,
            retired: retired == 1,
            time,
        })
    }
}

/// What a file is whose format does not say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedDelivery {
    /// Full or incremental.
    pub mode: LoadMode,
    /// Number of the load.
    pub sequence: u64,
    /// When its source made it.
    pub produced_at: Timestamp,
    /// The source's own name of the file, the code of every row where a source makes one file a class; may be empty. A file whose class
    /// nobody loads is never loaded.
    pub source_file: String,
    /// The whole file is of entries to remove.
    pub removes: bool,
}

/// A file that somebody brings for a list. All who sign one load sign the same bytes: the steward or officer who brings it, the
/// supervisor of a custom entry, the two who release a load that grew, the human keeper of a case with many plates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOrder {
    /// The list.
    pub list: [u8; 16],
    /// SHA-256 of the file.
    pub file: [u8; 32],
    /// What the file does not say of itself; in the own format none, or its source's name for the file.
    pub delivery: Option<OrderedDelivery>,
    /// The first signer's clock.
    pub time: Timestamp,
}

impl Statement for LoadOrder {
    const LABEL: &'static str = "load-order";
    const BYTES_MAX: usize = 96 + SOURCE_FILE_BYTES_MAX;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(&self.list).raw(&self.file);
        match &self.delivery {
            None => {
                w.u8(0);
            }
            Some(delivery) => {
                let (code, base) = match delivery.mode {
                    LoadMode::Full => (1, 0),
                    LoadMode::Incremental { base } => (2, base),
                };
                w.u8(code).u64(base).u64(delivery.sequence).u64(delivery.produced_at.0);
                w.lv8(delivery.source_file.as_bytes()).u8(u8::from(delivery.removes));
            }
        }
        w.u64(self.time.0).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let bad = || Error::malformed("an order to load a file is not well-formed");
        let mut r = Reader::new(bytes);
        let (list, file) = (r.array()?, r.array()?);
        let delivery = match r.u8()? {
            0 => None,
            code @ (1 | 2) => {
                let base = r.u64()?;
                let mode = match (code, base) {
                    (1, 0) => LoadMode::Full,
                    (1, _) => return Err(bad()),
                    (_, base) => LoadMode::Incremental { base },
                };
                let (sequence, produced_at) = (r.u64()?, Timestamp(r.u64()?));
                let source_file = core::str::from_utf8(r.lv8()?).map_err(|_utf8| bad())?.to_owned();
                let removes = r.u8()?;
                if removes > 1 || source_file.len() > SOURCE_FILE_BYTES_MAX {
                    return Err(bad());
                }
                Some(OrderedDelivery { mode, sequence, produced_at, source_file, removes: removes == 1 })
            }
            _ => return Err(bad()),
        };
        let order = Self { list, file, delivery, time: Timestamp(r.u64()?) };
        r.end()?;
        Ok(order)
    }
}

/// What the leaf of a configuration, or of an end, says of it: a digest of what was signed. The signature in it keeps the name and the
/// settings from being tried.
#[must_use]
pub fn config_digest(signed: &ByPerson<ListConfig>) -> [u8; 32] {
    th("hotlist-config", &[&signed.to_bytes()])
}

/// The salted digest of a steward for a leaf, and what opens it.
///
/// # Errors
/// `Internal` if the digests do not fit, which they do.
pub fn steward_digests(steward: &[u8; 32], rng: &mut impl CryptoRng) -> Result<(SaltedDigests<SD_OTHER>, Disclosure)> {
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    let who = Disclosure::new(salt, "steward", &steward.to_json())?;
    Ok((SaltedDigests::new(fill_digests(&[who.digest()], SD_OTHER, rng)?)?, who))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ListConfig {
        ListConfig {
            agency: AgencyId([7; 16]),
            name: "state extract".into(),
            settings: ListSettings { list: [1; 16], kind: SetKind::Extract, conf_min: 800, trust_jurisdiction: true },
            purpose: None,
            template: [3; 32],
            entries_max: 1_000_000,
            alert_key: None,
            serial: 4,
            retired: false,
            time: Timestamp(1_000),
        }
    }

    #[test]
    fn what_is_signed_comes_back_and_nothing_else_does() {
        let custom = ListConfig {
            settings: ListSettings { kind: SetKind::Custom, ..config().settings },
            purpose: Some(Purpose::MissingPerson),
            ..config()
        };
        for config in [config(), custom] {
            let bytes = config.encode();
            assert!(bytes.len() <= ListConfig::BYTES_MAX);
            assert_eq!(ListConfig::decode(&bytes).unwrap(), config);
            for cut in 0..bytes.len() {
                assert!(ListConfig::decode(&bytes[..cut]).is_err());
            }
        }
        let nameless = ListConfig { name: " ".into(), ..config() };
        let purposed = ListConfig { purpose: Some(Purpose::StolenVehicle), ..config() };
        let too_certain = ListConfig { settings: ListSettings { conf_min: 1_001, ..config().settings }, ..config() };
        for wrong in [nameless, purposed, too_certain] {
            assert!(ListConfig::decode(&wrong.encode()).is_err());
        }
        let delivery = OrderedDelivery {
            mode: LoadMode::Incremental { base: 4 },
            sequence: 5,
            produced_at: Timestamp(900),
            source_file: "Vehicle".into(),
            removes: true,
        };
        let full = OrderedDelivery { mode: LoadMode::Full, removes: false, ..delivery.clone() };
        for delivery in [None, Some(delivery), Some(full)] {
            let order = LoadOrder { list: [1; 16], file: [2; 32], delivery, time: Timestamp(1_000) };
            let bytes = order.encode();
            assert!(bytes.len() <= LoadOrder::BYTES_MAX);
            assert_eq!(LoadOrder::decode(&bytes).unwrap(), order);
            for cut in 0..bytes.len() {
                assert!(LoadOrder::decode(&bytes[..cut]).is_err());
            }
        }
    }
}

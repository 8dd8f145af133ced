//! What a configuration says about sources of reads: from `[[intake.source]]` tables to checked values. A source that
//! would drop or mistime reads is refused at start.

use core::fmt;
use std::collections::BTreeSet;

use lockplate_intake::own::FieldMap;
use lockplate_intake::source::{ConfigFault, SourceConfig, SourceKind};
use lockplate_intake::time::Zone;
use serde::{Deserialize, Serialize};

use super::access::{AddressRange, TokenHash};

/// Sources of one agency.
pub const SOURCES_MAX: usize = 999;

/// Bytes of a source's name, which stands in its address: lower-case letters, digits and hyphens.
pub const SOURCE_NAME_BYTES_MAX: usize = 64;

/// Name of the source of files brought in with `lockplate import`. It has no token, so nothing can be pushed to it.
pub const IMPORT_SOURCE_NAME: &str = "import";

/// One `[[intake.source]]` of the configuration, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTable {
    /// Name in the address: `POST /in/v1/{name}/{token}`.
    pub name: String,
    /// `own`, `openalpr` (also `alprd`), `rekor`, `alpr-lines`, `platerecognizer`, `hikvision`, `dahua`, `dahua-events`, `axis`,
    /// `milesight`, `tattile`, `unifi`, `genetec`, `blueiris`, `verkada`, `frigate`.
    pub engine: String,
    /// SHA-256 of the 32-byte token, 64 hexadecimal digits.
    pub token_sha256: String,
    /// Address ranges it may come from; empty: any.
    #[serde(default)]
    pub allow: Vec<String>,
    /// IANA zone of its local times.
    #[serde(default)]
    pub zone: Option<String>,
    /// A named jurisdiction without a confidence becomes part of the key.
    #[serde(default)]
    pub trust_jurisdiction: bool,
    /// Field names of the own format: `own`, `traffic` or `fast-alpr`.
    #[serde(default)]
    pub fields: Option<String>,
    /// Camera key where the payload carries none.
    #[serde(default)]
    pub camera: Option<String>,
    /// What the engine calls certain, where engines of its kind differ: `tattile` 100, the default, or 999.
    #[serde(default)]
    pub confidence_scale: Option<u16>,
    /// It may come over plain HTTP, on the listener for it.
    #[serde(default)]
    pub lan: bool,
}

/// Why a source is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRefused {
    /// Its name, or its place in the list where the name is what is wrong.
    pub source: String,
    /// What is wrong and what to write.
    pub reason: &'static str,
}

impl fmt::Display for SourceRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "intake source {}: {}", self.source, self.reason)
    }
}

impl core::error::Error for SourceRefused {}

/// A source, checked.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Name in the address.
    pub name: String,
    /// Its parser's configuration.
    pub config: SourceConfig,
    /// Its token's hash.
    pub token: TokenHash,
    /// Address ranges; empty: any.
    pub allow: Vec<AddressRange>,
    /// It may come over plain HTTP.
    pub lan: bool,
}

impl SourceTable {
    /// Checks one table; `number` is the source's in records and engine references, and never changes.
    ///
    /// # Errors
    /// [`SourceRefused`] with what to mend.
    pub fn check(&self, number: u16) -> Result<SourceSettings, SourceRefused> {
        let refuse = |reason| SourceRefused { source: self.name.chars().take(SOURCE_NAME_BYTES_MAX).collect(), reason };
        let name_fits = (1..=SOURCE_NAME_BYTES_MAX).contains(&self.name.len())
            && self.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !name_fits {
            return Err(refuse("a name is 1 to 64 lower-case letters, digits and hyphens"));
        }
        if self.name == IMPORT_SOURCE_NAME {
            return Err(refuse("this name is that of imported files: take another"));
        }
        let engine = if self.engine == "openalpr" { SourceKind::Alprd.name() } else { self.engine.as_str() };
        let kind = SourceKind::from_name(engine).ok_or(refuse(
            "engine must be own, openalpr, rekor, alpr-lines, platerecognizer, hikvision, dahua, dahua-events, axis, milesight, \
             tattile, unifi, genetec, blueiris, verkada or frigate",
        ))?;
        let token =
            TokenHash::from_hex(&self.token_sha256).ok_or(refuse("token_sha256 must be 64 hexadecimal digits"))?;
        let allow = self.allow.iter().map(|range| AddressRange::parse(range)).collect::<Option<Vec<_>>>();
        let mut config = SourceConfig::new(number, kind);
        if let Some(name) = &self.zone {
            config.zone = Some(Zone::parse(name).ok_or(refuse("zone must be an IANA name such as America/New_York"))?);
        }
        if let Some(preset) = &self.fields {
            config.fields = FieldMap::preset(preset).ok_or(refuse("fields must be own, traffic or fast-alpr"))?;
        }
        if self.confidence_scale.is_some_and(|scale| !(1..=1000).contains(&scale)) {
            return Err(refuse("confidence_scale must be between 1 and 1000"));
        }
        config.confidence_scale = self.confidence_scale;
        config.trust_jurisdiction = self.trust_jurisdiction;
        config.camera = self.camera.clone();
        config.check().map_err(|fault| match fault {
            ConfigFault::ZoneMissing => refuse("this engine can send local times: set zone"),
            ConfigFault::CameraMissing => refuse("this engine sends no camera key: set camera"),
        })?;
        Ok(SourceSettings {
            name: self.name.clone(),
            config,
            token,
            allow: allow.ok_or(refuse("allow holds address ranges such as 10.1.0.0/16"))?,
            lan: self.lan,
        })
    }
}

/// Checks all tables of a configuration together, before any of them has a number: no name twice, at most
/// [`SOURCES_MAX`].
///
/// # Errors
/// [`SourceRefused`] for the first that does not hold.
pub fn check_tables(tables: &[SourceTable]) -> Result<(), SourceRefused> {
    let refuse = |table: &SourceTable, reason| SourceRefused { source: table.name.clone(), reason };
    let mut names = BTreeSet::new();
    for (at, table) in tables.iter().enumerate() {
        drop(table.check(1)?);
        if at >= SOURCES_MAX {
            return Err(refuse(table, "too many sources"));
        }
        if !names.insert(&table.name) {
            return Err(refuse(table, "this name is used twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(change: impl FnOnce(&mut SourceTable)) -> SourceTable {
        let mut table: SourceTable = toml::from_str(&format!(
            "name = \"gate\"\nengine = \"openalpr\"\ntoken_sha256 = \"{}\"\nallow = [\"10.0.0.0/8\"]",
            "ab".repeat(32)
        ))
        .unwrap();
        change(&mut table);
        table
    }

    #[test]
    fn a_good_source_is_taken_and_each_fault_is_named() {
        let good = table(|_| ()).check(1).unwrap();
        assert_eq!((good.config.kind, good.config.number, good.lan), (SourceKind::Alprd, 1, false));
        let faults: [(SourceTable, &str); 12] = [
            (table(|t| t.name = "Gate".into()), "name"),
            (table(|t| t.name = String::new()), "name"),
            (table(|t| t.name = "import".into()), "imported files"),
            (table(|t| t.engine = "other".into()), "engine"),
            (table(|t| t.token_sha256 = "ab".into()), "token_sha256"),
            (table(|t| t.allow = vec!["10/8".into()]), "allow"),
            (table(|t| t.zone = Some("Mars/Olympus".into())), "IANA"),
            (table(|t| t.engine = "platerecognizer".into()), "set zone"),
            (table(|t| t.engine = "alpr-lines".into()), "set camera"),
            (table(|t| t.engine = "hikvision".into()), "set zone"),
            (table(|t| t.confidence_scale = Some(0)), "confidence_scale"),
            (table(|t| t.confidence_scale = Some(1001)), "confidence_scale"),
        ];
        for (bad, word) in faults {
            assert!(bad.check(1).unwrap_err().to_string().contains(word), "{word}");
        }
    }

    #[test]
    fn names_stand_once() {
        let second = table(|t| t.name = "other".into());
        assert!(check_tables(&[table(|_| ()), second]).is_ok());
        assert!(check_tables(&[table(|_| ()), table(|_| ())]).unwrap_err().reason.contains("twice"));
        let many: Vec<_> = (0..=SOURCES_MAX).map(|at| table(|t| t.name = format!("s{at}"))).collect();
        assert!(check_tables(&many[..SOURCES_MAX]).is_ok() && check_tables(&many).is_err());
    }
}

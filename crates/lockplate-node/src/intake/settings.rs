//! What a configuration says about sources of reads: from `[[intake.source]]` tables to checked values. A source that
//! would drop or mistime reads is refused at start. Passwords are never here, only the paths of their files.

use core::fmt;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lockplate_intake::own::FieldMap;
use lockplate_intake::source::{ConfigFault, SourceConfig, SourceKind};
use lockplate_intake::time::Zone;
use serde::{Deserialize, Serialize};

use super::access::{AddressRange, TokenHash};
use super::fetched::Fetched;
use super::mqtt::MqttTable;
use super::pull::PullTable;
use crate::settings::{KeyFileError, read_password, read_public_file};

/// Sources of one agency.
pub const SOURCES_MAX: usize = 999;

/// Bytes of a source's name, which stands in its address: lower-case letters, digits and hyphens.
pub const SOURCE_NAME_BYTES_MAX: usize = 64;

/// Name of the source of files brought in with `lockplate import`. It has no token, so nothing can be pushed to it.
pub const IMPORT_SOURCE_NAME: &str = "import";

/// Bytes of the name by which a camera signs in.
const USER_BYTES_MAX: usize = 64;

/// Bytes of a camera's password, at least: whoever reaches the listener can try them, as fast as it answers.
const PASSWORD_BYTES_MIN: usize = 12;

/// One `[[intake.source]]` of the configuration, as written. How it comes in is said by `token_sha256`, by `user` or by both, or
/// by `mqtt` or `pull` alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTable {
    /// Name in the address: `POST /in/v1/{name}/{token}`.
    pub name: String,
    /// `own`, `openalpr` (also `alprd`), `rekor`, `alpr-lines`, `platerecognizer`, `hikvision`, `dahua`, `dahua-events`, `axis`,
    /// `milesight`, `tattile`, `unifi`, `genetec`, `blueiris`, `verkada`, `frigate`.
    pub engine: String,
    /// SHA-256 of the 32-byte token, 64 hexadecimal digits.
    #[serde(default)]
    pub token_sha256: Option<String>,
    /// Name by which it signs in with Basic or Digest; with `password_file`.
    #[serde(default)]
    pub user: Option<String>,
    /// File with that password, mode 0600.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// It is read from a broker.
    #[serde(default)]
    pub mqtt: Option<MqttTable>,
    /// The camera is asked.
    #[serde(default)]
    pub pull: Option<PullTable>,
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

/// How a camera signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its name, of this source alone.
    pub user: String,
    /// File with its password.
    pub password_file: PathBuf,
}

/// A source, checked.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Name in the address.
    pub name: String,
    /// Its parser's configuration.
    pub config: SourceConfig,
    /// Its token's hash; [`TokenHash::NO_TOKEN`] where it has none.
    pub token: TokenHash,
    /// Name and password file with which it signs in.
    pub login: Option<Login>,
    /// Where it is fetched, if it does not come by itself.
    pub fetched: Option<Fetched>,
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
        let token = match &self.token_sha256 {
            Some(digits) => TokenHash::from_hex(digits).ok_or(refuse("token_sha256 must be 64 hexadecimal digits"))?,
            None => TokenHash::NO_TOKEN,
        };
        let login = self.login().map_err(refuse)?;
        let comes = self.token_sha256.is_some() || login.is_some();
        let fetched = match (&self.mqtt, &self.pull) {
            (None, None) if comes => None,
            (None, None) => return Err(refuse("set token_sha256, user and password_file, mqtt or pull")),
            (Some(mqtt), None) if !comes => Some(Fetched::Mqtt(mqtt.check(kind, &self.name).map_err(refuse)?)),
            (None, Some(pull)) if !comes => {
                Some(Fetched::Pull(pull.check(kind, self.camera.is_some()).map_err(refuse)?))
            }
            (Some(_), _) | (_, Some(_)) => {
                return Err(refuse("mqtt or pull stands alone, without the other, token_sha256 and user"));
            }
        };
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
            login,
            fetched,
            allow: allow.ok_or(refuse("allow holds address ranges such as 10.1.0.0/16"))?,
            lan: self.lan,
        })
    }

    fn login(&self) -> Result<Option<Login>, &'static str> {
        match (&self.user, &self.password_file) {
            (None, None) => Ok(None),
            (Some(user), Some(file)) if is_user(user) => {
                Ok(Some(Login { user: user.clone(), password_file: file.clone() }))
            }
            (Some(_), Some(_)) => Err(USER_RULE),
            (Some(_), None) | (None, Some(_)) => Err("user and password_file go together"),
        }
    }

    /// Makes the paths in it absolute that are relative to `folder`, that of the configuration file.
    pub fn resolve(&mut self, folder: &Path) {
        let of_mqtt = self.mqtt.iter_mut().flat_map(|mqtt| [&mut mqtt.password_file, &mut mqtt.ca_file]);
        let of_pull = self.pull.iter_mut().flat_map(|pull| {
            pull.password_file = folder.join(&pull.password_file);
            [&mut pull.ca_file]
        });
        for path in of_mqtt.chain(of_pull).chain([&mut self.password_file]).flatten() {
            *path = folder.join(&*path);
        }
    }

    /// Reads the files it names, so that a wrong one is found at the start and not at night. True if its own password is long
    /// enough.
    fn read_files(&self) -> Result<bool, KeyFileError> {
        let mqtt = self.mqtt.iter();
        let own = self.password_file.as_deref().map(read_password).transpose()?;
        let secrets = (mqtt.clone().filter_map(|mqtt| mqtt.password_file.as_ref()))
            .chain(self.pull.iter().map(|pull| &pull.password_file));
        let authorities = (mqtt.filter_map(|mqtt| mqtt.ca_file.as_ref()))
            .chain(self.pull.iter().filter_map(|pull| pull.ca_file.as_ref()));
        for path in secrets {
            drop(read_password(path)?);
        }
        for path in authorities {
            drop(read_public_file(path)?);
        }
        Ok(own.is_none_or(|password| password.len() >= PASSWORD_BYTES_MIN))
    }
}

/// What [`is_user`] asks for.
pub(super) const USER_RULE: &str =
    "user is 1 to 64 printable ASCII characters without colon, quotation mark and backslash";

/// A name that can stand in both schemes of HTTP as it is.
pub(super) fn is_user(user: &str) -> bool {
    (1..=USER_BYTES_MAX).contains(&user.len())
        && user.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b':' | b'"' | b'\\'))
}

/// Reads the files of passwords and authorities that the tables name.
///
/// # Errors
/// [`SourceRefused`] for the first that cannot be used.
pub fn check_files(tables: &[SourceTable]) -> Result<(), SourceRefused> {
    for table in tables {
        let refuse = |reason| SourceRefused { source: table.name.clone(), reason };
        let long_enough = table.read_files().map_err(|file| {
            tracing::error!(source = table.name, "{file}");
            refuse("a file it names cannot be used; a password file is one line of text, with mode 0600")
        })?;
        if !long_enough {
            return Err(refuse("the password in password_file has 12 characters at least"));
        }
    }
    Ok(())
}

/// Checks all tables of a configuration together, before any of them has a number: no name and no user twice, at most
/// [`SOURCES_MAX`].
///
/// # Errors
/// [`SourceRefused`] for the first that does not hold.
pub fn check_tables(tables: &[SourceTable]) -> Result<(), SourceRefused> {
    let refuse = |table: &SourceTable, reason| SourceRefused { source: table.name.clone(), reason };
    let (mut names, mut users) = (BTreeSet::new(), BTreeSet::new());
    for (at, table) in tables.iter().enumerate() {
        drop(table.check(1)?);
        if at >= SOURCES_MAX {
            return Err(refuse(table, "too many sources"));
        }
        if !names.insert(&table.name) {
            return Err(refuse(table, "this name is used twice"));
        }
        if table.user.as_ref().is_some_and(|user| !users.insert(user)) {
            return Err(refuse(table, "this user is that of two sources"));
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
            (table(|t| t.token_sha256 = Some("ab".into())), "token_sha256"),
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
    fn one_way_in_and_what_each_needs() {
        let with = |lines: &str| {
            let of_engine = |engine: &str| {
                let text = format!("name = \"gate\"\nengine = \"{engine}\"\nzone = \"America/New_York\"\n{lines}");
                toml::from_str::<SourceTable>(&text).unwrap().check(1).map_err(|refused| refused.reason)
            };
            ["frigate", "dahua", "hikvision"].map(of_engine)
        };
        let [.., hikvision] =
            with("camera = \"c\"\npull = { url = \"http://10.0.0.7\", user = \"a\", password_file = \"p\" }");
        assert!(matches!(hikvision.unwrap().fetched, Some(Fetched::Pull(_))));
        let [frigate, ..] = with("mqtt = { broker = \"mqtt://10.0.0.5\" }");
        let frigate = frigate.unwrap();
        assert!(matches!(frigate.fetched, Some(Fetched::Mqtt(_))) && frigate.token == TokenHash::NO_TOKEN);
        let [_, dahua, _] = with("user = \"gate\"\npassword_file = \"p\"");
        assert_eq!(dahua.unwrap().login.unwrap().user, "gate");

        let hash = format!("token_sha256 = \"{}\"\n", "ab".repeat(32));
        let pull = |rest: &str| format!("camera = \"c\"\npull = {{ user = \"a\", password_file = \"p\", {rest} }}");
        let pin = "ab".repeat(32);
        let faults: Vec<(usize, String, &str)> = vec![
            (1, String::new(), "set token_sha256"),
            (1, "user = \"gate\"".into(), "go together"),
            (1, "password_file = \"p\"".into(), "go together"),
            (1, "user = \"a:b\"\npassword_file = \"p\"".into(), "user is"),
            (1, "mqtt = { broker = \"mqtt://h\" }".into(), "engine frigate"),
            (0, format!("{hash}mqtt = {{ broker = \"mqtt://h\" }}"), "stands alone"),
            (0, "mqtt = { broker = \"http://h\" }".into(), "mqtt.broker"),
            (0, "mqtt = { broker = \"mqtt://u:p@h\" }".into(), "mqtt.broker"),
            (0, "mqtt = { broker = \"mqtt://h/x\" }".into(), "mqtt.broker"),
            (0, "mqtt = { broker = \"mqtts://h\" }".into(), "ca_file is needed"),
            (0, "mqtt = { broker = \"mqtt://h\", ca_file = \"c\" }".into(), "begins with mqtts"),
            (0, "mqtt = { broker = \"mqtt://h\", topics = [] }".into(), "mqtt.topics"),
            (0, "mqtt = { broker = \"mqtt://h\", topics = [\"a/#/b\"] }".into(), "mqtt.topics"),
            (0, "mqtt = { broker = \"mqtt://h\", username = \"u\" }".into(), "go together"),
            (0, "mqtt = { broker = \"mqtt://h\", client_id = \"\" }".into(), "client_id"),
            (0, pull("url = \"http://h\""), "engines dahua-events"),
            (2, pull("url = \"http://h/x\""), "pull.url"),
            (2, pull("url = \"http://u:p@h\""), "pull.url"),
            (2, pull("url = \"ftp://h\""), "pull.url"),
            (2, pull("url = \"https://h\""), "pull.pin or"),
            (2, pull(&format!("url = \"http://h\", pin = \"{pin}\"")), "pull.pin or"),
            (2, pull(&format!("url = \"https://h\", pin = \"{pin}\", ca_file = \"c\"")), "pull.pin or"),
            (2, pull("url = \"https://h\", pin = \"ab\""), "64 hexadecimal"),
            (2, pull("url = \"http://h\", every_seconds = 0"), "every_seconds"),
            (2, pull("url = \"http://h\"").replace("camera = \"c\"\n", ""), "set camera"),
            (2, format!("{hash}{}", pull("url = \"http://h\"")), "stands alone"),
        ];
        for (engine, lines, word) in faults {
            let reason = with(&lines)[engine].clone().unwrap_err();
            assert!(reason.contains(word), "{lines}: {reason}");
        }
    }

    #[test]
    fn files_are_found_beside_the_configuration_and_must_be_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = table(|t| {
            t.engine = "dahua".into();
            t.zone = Some("America/New_York".into());
            (t.user, t.password_file) = (Some("gate".into()), Some("password".into()));
        });
        table.resolve(folder.path());
        let path = folder.path().join("password");
        assert_eq!(table.password_file.as_ref(), Some(&path));
        assert!(check_files(&[table.clone()]).is_err(), "not there");
        crate::settings::create_secret_file(&path, b"secret word\n").unwrap();
        assert!(check_files(&[table.clone()]).unwrap_err().reason.contains("12 characters"));
        std::fs::remove_file(&path).unwrap();
        crate::settings::create_secret_file(&path, b"a secret word\n").unwrap();
        assert_eq!(check_files(&[table.clone()]), Ok(()));
        assert!(!serde_json::to_string(&table).unwrap().contains("secret word"));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert!(check_files(&[table.clone()]).is_err(), "open to others");
        let twice = [table.clone(), SourceTable { name: "other".into(), ..table }];
        assert!(check_tables(&twice).unwrap_err().reason.contains("two sources"));
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

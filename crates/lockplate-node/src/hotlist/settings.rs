//! `[[hotlist]]` of `agency.toml`: how the files of a list are fetched. How a list is matched stands in what its steward signed, not here.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;

use super::fetch::{Machine, host_key};
use crate::settings::ConfigError;

/// Lists that are fetched.
const FETCHED_MAX: usize = 64;

/// One `[[hotlist]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HotlistTable {
    /// Name of the list, as its steward signed it.
    pub name: String,
    /// A folder in which somebody puts its files; the newest one is loaded.
    pub watch: Option<PathBuf>,
    /// An address from which it is fetched.
    pub pull: Option<PullTable>,
    /// The source's own name of its files, where a source makes one file a class.
    #[serde(default)]
    pub source_file: String,
}

/// `pull` of a `[[hotlist]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullTable {
    /// `https://..`; `http://` to a literal loopback address only; `sftp://user@host:port/path` of a file or a folder.
    pub url: String,
    /// How often, seconds.
    #[serde(default = "hourly")]
    pub every_seconds: u64,
    /// Certificates to trust instead of those of the web, PEM.
    pub ca_file: Option<PathBuf>,
    /// File of mode 0600 with the value of an `Authorization` header.
    pub authorization_file: Option<PathBuf>,
    /// With `sftp`, and there always: the Ed25519 key of the machine, `ssh-ed25519 AAAA..`.
    pub host_key: Option<String>,
    /// With `sftp`, and there always: file of mode 0600 with an Ed25519 key of OpenSSH that the machine knows.
    pub key_file: Option<PathBuf>,
}

const fn hourly() -> u64 {
    3_600
}

/// A list that is fetched, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub(super) name: String,
    pub(super) from: From,
    pub(super) source_file: String,
}

/// Where its files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Folder(PathBuf),
    Address(PullTable),
    Machine { machine: Machine, every_seconds: u64 },
}

/// `https`, or `http` to this machine: judged as the library that asks will read it. A password has its file.
fn is_address(text: &str) -> bool {
    let Ok(url) = text.parse::<Url>() else { return false };
    let host = url.host_str().map(|host| host.trim_matches(['[', ']']).parse::<IpAddr>());
    let is_here = host.is_some_and(|host| host.is_ok_and(|ip| ip.is_loopback()));
    let is_private = url.scheme() == "https" || (url.scheme() == "http" && is_here);
    is_private && url.has_host() && url.username().is_empty() && url.password().is_none()
}

/// The machine that an `sftp` address means.
fn machine(base: &Path, pull: &PullTable) -> Result<Machine, &'static str> {
    const ADDRESS: &str = "url is an address such as sftp://user@lists.example:22/out, without a password";
    let url: Url = pull.url.parse().map_err(|_no_url| ADDRESS)?;
    let host = url.host_str().filter(|host| !host.is_empty() && !host.contains('%')).ok_or(ADDRESS)?;
    let is_bare = url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    // What would have to be decoded is written in no path of a list.
    let is_plain = [url.username(), url.path()].iter().all(|part| !part.is_empty() && !part.contains('%'));
    if url.scheme() != "sftp" || !is_bare || !is_plain {
        return Err(ADDRESS);
    }
    if pull.ca_file.is_some() || pull.authorization_file.is_some() {
        return Err("ca_file and authorization_file go with an https:// address");
    }
    let host_key = pull.host_key.as_deref().and_then(host_key);
    let key_file = pull.key_file.as_ref().ok_or("an sftp:// address needs key_file")?;
    Ok(Machine {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(22),
        user: url.username().to_owned(),
        path: url.path().to_owned(),
        host_key: host_key
            .ok_or("an sftp:// address needs host_key, ssh-ed25519 AAAA..: no machine is trusted at first sight")?,
        key_file: base.join(key_file),
    })
}

/// Checks the tables of a file; paths are relative to it.
///
/// # Errors
/// [`ConfigError`] with what to mend.
pub fn check(file: &Path, tables: &[HotlistTable]) -> Result<Vec<Fetched>, ConfigError> {
    let refuse = |table: &HotlistTable, what: &str| {
        ConfigError::refused(file, None, format!("hotlist {}: {what}", table.name.chars().take(64).collect::<String>()))
    };
    let base = file.parent().unwrap_or_else(|| Path::new(""));
    let mut fetched: Vec<Fetched> = Vec::new();
    for table in tables {
        if fetched.len() >= FETCHED_MAX || fetched.iter().any(|other| other.name == table.name) {
            return Err(refuse(table, "this name is there already, or there are too many lists"));
        }
        let from = match (&table.watch, &table.pull) {
            (Some(folder), None) => From::Folder(base.join(folder)),
            (None, Some(pull)) => {
                if !(60..=86_400).contains(&pull.every_seconds) {
                    return Err(refuse(table, "every_seconds is between 60 and 86400"));
                }
                if pull.url.starts_with("sftp:") {
                    let machine = machine(base, pull).map_err(|what| refuse(table, what))?;
                    let from = From::Machine { machine, every_seconds: pull.every_seconds };
                    fetched.push(Fetched { name: table.name.clone(), from, source_file: table.source_file.clone() });
                    continue;
                }
                if !is_address(&pull.url) {
                    return Err(refuse(table, "url is an https:// address without a name or a password in it"));
                }
                if pull.host_key.is_some() || pull.key_file.is_some() {
                    return Err(refuse(table, "host_key and key_file go with an sftp:// address"));
                }
                From::Address(PullTable {
                    ca_file: pull.ca_file.as_ref().map(|path| base.join(path)),
                    authorization_file: pull.authorization_file.as_ref().map(|path| base.join(path)),
                    ..pull.clone()
                })
            }
            (Some(_), Some(_)) | (None, None) => return Err(refuse(table, "set either watch or pull")),
        };
        fetched.push(Fetched { name: table.name.clone(), from, source_file: table.source_file.clone() });
    }
    Ok(fetched)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(url: &str) -> HotlistTable {
        let pull = PullTable {
            url: url.into(),
            every_seconds: 60,
            ca_file: None,
            authorization_file: None,
            host_key: None,
            key_file: None,
        };
        HotlistTable { name: "state".into(), watch: None, pull: Some(pull), source_file: String::new() }
    }

    #[test]
    fn a_list_is_fetched_where_nobody_reads_along() {
        for (url, good) in [
            ("https://lists.example/state.csv", true),
            ("http://127.0.0.1:8080/state.csv", true),
            ("http://[::1]/state.csv", true),
            ("http://lists.example/state.csv", false),
            // They begin like this machine and are another.
            ("http://127.0.0.1.lists.example/state.csv", false),
            ("http://127.0.0.1@lists.example/state.csv", false),
            ("http://[::1]@lists.example/state.csv", false),
            ("https://user:secret@lists.example/state.csv", false),
            ("https:///", false),
            ("ftp://lists.example/state.csv", false),
            ("lists.example", false),
        ] {
            let checked = check(Path::new("agency.toml"), &[table(url)]);
            assert_eq!(checked.is_ok(), good, "{url}");
            let said = checked.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_list_comes_from_one_place_and_not_all_the_time() {
        let good = table("https://lists.example/state.csv");
        let pull = |every_seconds| good.pull.clone().map(|pull| PullTable { every_seconds, ..pull });
        let both = HotlistTable { watch: Some("drop".into()), ..good.clone() };
        let neither = HotlistTable { pull: None, ..good.clone() };
        let often = HotlistTable { pull: pull(59), ..good.clone() };
        let seldom = HotlistTable { pull: pull(86_401), ..good.clone() };
        for refused in [vec![both], vec![neither], vec![often], vec![seldom], vec![good.clone(), good.clone()]] {
            assert!(check(Path::new("agency.toml"), &refused).is_err(), "{refused:?}");
        }
        assert!(check(Path::new("agency.toml"), &[good]).is_ok());
    }

    #[test]
    fn a_machine_with_sftp_is_known_before_it_is_asked() {
        const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
        let machine = |url: &str, host_key: Option<&str>, key_file: Option<&str>| {
            let table = table(url);
            let (host_key, key_file) = (host_key.map(str::to_owned), key_file.map(PathBuf::from));
            let pull = table.pull.map(|pull| PullTable { host_key, key_file, ..pull });
            check(Path::new("/etc/agency.toml"), &[HotlistTable { pull, ..table }])
        };
        let good = machine("sftp://alpr@lists.example/out", Some(KEY), Some("list.key")).unwrap();
        let From::Machine { machine: good, every_seconds: 60 } = &good[0].from else { panic!("{good:?}") };
        assert_eq!((good.host.as_str(), good.port, good.user.as_str()), ("lists.example", 22, "alpr"));
        assert_eq!((good.path.as_str(), good.key_file.as_path()), ("/out", Path::new("/etc/list.key")));
        for (url, host_key, key_file) in [
            ("sftp://alpr@lists.example/out", None, Some("list.key")),
            ("sftp://alpr@lists.example/out", Some("ssh-rsa AAAA"), Some("list.key")),
            ("sftp://alpr@lists.example/out", Some(KEY), None),
            ("sftp://alpr:secret@lists.example/out", Some(KEY), Some("list.key")),
            ("sftp://lists.example/out", Some(KEY), Some("list.key")),
            ("sftp://alpr@lists.example", Some(KEY), Some("list.key")),
            ("sftp://alpr@lists.example/a%2f", Some(KEY), Some("list.key")),
            ("sftp:alpr", Some(KEY), Some("list.key")),
            ("https://lists.example/out", Some(KEY), Some("list.key")),
        ] {
            assert!(machine(url, host_key, key_file).is_err(), "{url}");
        }
    }
}

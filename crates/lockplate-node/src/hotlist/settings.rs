//! `[[hotlist]]` of `agency.toml`: how the files of a list are fetched. How a list is matched stands in what its steward signed, not here.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;

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
    /// `https://..`; `http://` to a literal loopback address only.
    pub url: String,
    /// How often, seconds.
    #[serde(default = "hourly")]
    pub every_seconds: u64,
    /// Certificates to trust instead of those of the web, PEM.
    pub ca_file: Option<PathBuf>,
    /// File of mode 0600 with the value of an `Authorization` header.
    pub authorization_file: Option<PathBuf>,
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
}

/// `https`, or `http` to this machine: judged as the library that asks will read it. A password has its file.
fn is_address(text: &str) -> bool {
    let Ok(url) = text.parse::<Url>() else { return false };
    let host = url.host_str().map(|host| host.trim_matches(['[', ']']).parse::<IpAddr>());
    let is_here = host.is_some_and(|host| host.is_ok_and(|ip| ip.is_loopback()));
    let is_private = url.scheme() == "https" || (url.scheme() == "http" && is_here);
    is_private && url.has_host() && url.username().is_empty() && url.password().is_none()
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
                if !is_address(&pull.url) {
                    return Err(refuse(table, "url is an https:// address without a name or a password in it"));
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
        let pull = PullTable { url: url.into(), every_seconds: 60, ca_file: None, authorization_file: None };
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
}

//! `[[hotlist]]` of `agency.toml`: how the files of a list are fetched. How a list is matched stands in what its steward signed, not here.

use std::path::{Path, PathBuf};

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
                let loopback = ["http://127.0.0.1", "http://[::1]"].iter().any(|start| pull.url.starts_with(start));
                if !pull.url.starts_with("https://") && !loopback {
                    return Err(refuse(table, "url begins with https://"));
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

//! The configuration files of the roles as a founding writes them: every path relative to the file, so that a folder can be
//! moved. The commented samples explain the keys; these files hold only what differs from the defaults.

use core::fmt::Write as _;
use std::net::SocketAddr;

/// Name of the file with the words of the declaration under CT Public Act 26-14, beside `keeper.toml`.
pub const DECLARATION_FILE: &str = "declaration-ct-26-14.txt";

/// What a keeper's configuration says beyond the defaults. Paths: data in `data`, charter in `charter.auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperTerms {
    /// Place in the charter.
    pub place: u8,
    /// Where it listens.
    pub listen: SocketAddr,
    /// No TLS, behind a local proxy that holds the charter's TLS key.
    pub plain_loopback: bool,
    /// Seconds between two looks at the clock for shares whose retention is over.
    pub destruction_every_seconds: u64,
}

/// `keeper.toml`.
#[must_use]
pub fn keeper_toml(terms: &KeeperTerms) -> String {
    let KeeperTerms { place, listen, plain_loopback, destruction_every_seconds } = terms;
    format!(
        "data = \"data\"\ncharter = \"charter.auth\"\nplace = {place}\n\n[listen]\naddress = \"{listen}\"\n\
         plain_loopback = {plain_loopback}\n\n[declarations]\n\"CT-26-14\" = \"{DECLARATION_FILE}\"\n\n\
         [destruction]\nevery_seconds = {destruction_every_seconds}\n"
    )
}

/// What an officer's configuration says. Paths are relative to the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfficerTerms {
    /// The owner's charter.
    pub charter: String,
    /// Its hash, 32 bytes: what pins it.
    pub charter_hash: [u8; 32],
    /// Id of the officer's agency, base64url.
    pub agency: String,
    /// Address of the officer's own desk.
    pub desk: String,
    /// SHA-256 of its TLS key, base64url.
    pub desk_pin: String,
    /// The officer's key file.
    pub key: String,
    /// File with the passcode for the desk; none asks at the terminal.
    pub passcode_file: Option<String>,
    /// Folder of searches under way and of evidence files.
    pub folder: String,
}

/// `officer.toml`.
#[must_use]
pub fn officer_toml(terms: &OfficerTerms) -> String {
    let mut text = String::new();
    let lines = [
        ("charter", terms.charter.clone()),
        ("charter_hash", hex::encode(terms.charter_hash)),
        ("agency", terms.agency.clone()),
        ("desk", terms.desk.clone()),
        ("desk_pin", terms.desk_pin.clone()),
        ("key", terms.key.clone()),
        ("folder", terms.folder.clone()),
    ];
    for (key, value) in lines.into_iter().chain(terms.passcode_file.clone().map(|file| ("passcode_file", file))) {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{key} = {}", toml::Value::String(value));
    }
    text
}

//! What an administrator's command line says to running processes: the way to the own agency, declarations to keepers; and the
//! tokens of its sources.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;
use lockplate_core::charter::CharterFile;
use lockplate_intake::SourceKind;
use lockplate_node::agency::AgencyConfig;
use lockplate_node::api::{B64, Done, ObjectFiled};
use lockplate_node::client::{CallLimits, PeerClient, PeerTrust};
use lockplate_node::founding::AgencyFiles;
use lockplate_node::import::ImportClient;
use lockplate_node::intake::{SourceTable, TokenHash, token_text};
use lockplate_node::rng::SystemRng;
use lockplate_node::settings::{self, read_public_file, read_secret};
use lockplate_node::shutdown::ExitKind;
use lockplate_node::tls::TlsIdentity;
use rand_core::CryptoRng;
use reqwest::Url;
use serde_json::json;
use zeroize::Zeroizing;

use crate::exit::Ended;
use crate::screen::Screen;

/// Tasks around sources.
#[derive(Debug, Subcommand)]
pub(crate) enum SourceTask {
    /// Make a token; prints the section for agency.toml and the address for the engine. The token is shown once
    New {
        /// Name in the address: lower-case letters, digits and hyphens
        name: String,
        /// own, openalpr, rekor, alpr-lines, platerecognizer, hikvision, dahua, dahua-events, axis, milesight, tattile, unifi, genetec, blueiris, verkada, frigate
        #[arg(long)]
        engine: String,
        /// IANA zone of its local times
        #[arg(long)]
        zone: Option<String>,
        /// Key of its camera, for engines that send none; without this the name
        #[arg(long)]
        camera: Option<String>,
    },
}

/// The own agency as its administrator reaches it: the configuration says where, the key files who.
pub(crate) struct OwnAgency {
    /// Client of its listener.
    pub(crate) client: PeerClient,
    /// Its charter's file, if it has cameras.
    charter: Option<PathBuf>,
    sources: Vec<SourceTable>,
    /// Its listener for cameras that know no TLS.
    lan: Option<SocketAddr>,
    /// Base address.
    base: String,
    trust: PeerTrust,
    import_key: Option<Zeroizing<[u8; 32]>>,
}

impl OwnAgency {
    /// Reads `agency.toml` and the key files it names.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let config: AgencyConfig = settings::load_over(path, std::env::vars())?;
        let home = path.parent().unwrap_or_else(|| Path::new(""));
        let data = home.join(&config.data);
        let lan = config.recorder.as_ref().and_then(|recorder| recorder.lan);
        let charter = config.recorder.map(|recorder| home.join(recorder.charter));
        let keys = AgencyFiles::in_folder(&data.join(&config.keys.folder));
        let mut address = config.listen.address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let (scheme, trust) = if config.listen.plain_loopback {
            ("http", PeerTrust::PlainLoopback)
        } else {
            ("https", PeerTrust::Pinned(TlsIdentity::load_or_create(&keys.tls)?.pin()))
        };
        let base = format!("{scheme}://{address}");
        let import_key = config.keys.import.map(|file| read_secret(&data.join(file))).transpose()?;
        let client = PeerClient::new(&base, trust, CallLimits::default())?;
        Ok(Self { client, charter, sources: config.intake.source, lan, base, trust, import_key })
    }

    /// The charter of its archive.
    pub(crate) fn charter(&self) -> Result<CharterFile> {
        let path = self.charter.as_ref().ok_or_else(|| Ended::config("this agency has no cameras: no `[recorder]`"))?;
        Ok(CharterFile::verify(&read_public_file(path)?)?)
    }

    /// A source of the configuration, with its engine.
    pub(crate) fn source(&self, name: &str) -> Option<(&SourceTable, SourceKind)> {
        let table = self.sources.iter().find(|table| table.name == name)?;
        Some((table, table.check(1).ok()?.config.kind))
    }

    /// What stands before the path where a source's engine posts to.
    pub(crate) fn base_for(&self, source: Option<&SourceTable>) -> Result<Url> {
        let text = match self.lan.filter(|_| source.is_some_and(|source| source.lan)) {
            Some(lan) => format!("http://{lan}"),
            None => self.charter()?.charter().archive.url.clone(),
        };
        Ok(Url::parse(&text).map_err(|_charter| Ended::config("the charter's address of the archive is none"))?)
    }

    /// The door for files, opened with the import key.
    pub(crate) fn import_client(&self) -> Result<ImportClient> {
        let key = self.import_key.as_ref().ok_or_else(|| {
            Ended::config("the configuration names no import key\nset `import = \"keys/import.key\"` in `[keys]` and restart the agency")
        })?;
        Ok(ImportClient::new(&self.base, self.trust, key)?)
    }
}

/// A source that is in no configuration yet.
pub(crate) struct NewSource {
    /// Its section of `agency.toml`.
    pub(crate) section: String,
    /// Its engine.
    pub(crate) kind: SourceKind,
    /// Its token as it stands in the address.
    pub(crate) token: Zeroizing<String>,
}

/// Draws a token; `key` is the camera of an engine that sends none itself.
pub(crate) fn new_source(name: &str, engine: &str, zone: Option<&str>, key: Option<&str>) -> Result<NewSource> {
    let mut token = Zeroizing::new([0; 32]);
    draw(&mut SystemRng, token.as_mut_slice());
    let hash = TokenHash::of(&token).to_hex();
    let table = SourceTable {
        name: name.to_owned(),
        engine: engine.to_owned(),
        token_sha256: Some(hash.clone()),
        user: None,
        password_file: None,
        mqtt: None,
        pull: None,
        allow: Vec::new(),
        zone: zone.map(str::to_owned),
        trust_jurisdiction: false,
        fields: None,
        // Where none is known, whoever pastes the section fills it in.
        camera: Some(key.unwrap_or("camera").to_owned()),
        confidence_scale: None,
        lan: false,
    };
    let kind = table.check(1).map_err(|refused| Ended::usage(refused.to_string()))?.config.kind;
    let mut section =
        format!("[[intake.source]]\nname = \"{name}\"\nengine = \"{engine}\"\ntoken_sha256 = \"{hash}\"\n");
    if let Some(zone) = zone {
        section.push_str(&format!("zone = \"{zone}\"\n"));
    }
    if let Some(key) = key.filter(|_| kind.profile().camera_configured) {
        section.push_str(&format!("camera = {}\n", json!(key)));
    }
    Ok(NewSource { section, kind, token: token_text(&token) })
}

/// Carries out a task around sources.
pub(crate) fn source(task: &SourceTask, screen: &Screen) -> Result<ExitKind> {
    let SourceTask::New { name, engine, zone, camera } = task;
    // What sends no key of a camera is one camera, called as its source unless it is said otherwise.
    let camera = camera.as_ref().unwrap_or(name);
    let NewSource { section, token, .. } = new_source(name, engine, zone.as_deref(), Some(camera))?;
    let path = format!("/in/v1/{name}/{}", token.as_str());
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/agency/1", "section": section, "path": path }));
    } else {
        screen.line(section.trim_end());
        screen.line("");
        screen.line(&format!("# Post to: {path}"));
        screen.line("# The token in this address is shown only once; the configuration holds its hash.");
    }
    Ok(ExitKind::Done)
}

fn draw(rng: &mut impl CryptoRng, bytes: &mut [u8]) {
    rng.fill_bytes(bytes);
}

/// Files a declaration with every keeper of an owner; the names of those that took it. At least the threshold must.
pub(crate) async fn file_declaration(charter: &CharterFile, object: &[u8]) -> Result<Vec<String>> {
    let mut took = Vec::new();
    let mut last = None;
    for keeper in &charter.charter().keepers {
        let client = PeerClient::new(&keeper.url, PeerTrust::Pinned(keeper.tls_pin), CallLimits::default())?;
        let body = ObjectFiled { object: B64(object.to_vec()) };
        match client.post_json::<_, Done>("/v1/declarations", &body, None).await {
            Ok(Done {}) => took.push(keeper.name.clone()),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if took.len() < usize::from(charter.threshold().t()) => {
            Err(anyhow::Error::from(error).context("too few keepers took the declaration"))
        }
        Some(_) | None => Ok(took),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_of_a_new_source_is_good_and_its_hash_is_that_of_the_token() {
        let zone = Some("America/New_York");
        for kind in SourceKind::ALL {
            let engine = kind.name();
            let made = new_source("gate", engine, zone, Some("north \"1\"")).unwrap();
            let text = format!("data = 'a'\n[listen]\naddress = '127.0.0.1:1'\n{}", made.section);
            let config: AgencyConfig = settings::parse(Path::new("agency.toml"), &text).unwrap();
            let checked = config.intake.source[0].check(1).unwrap();
            assert!(checked.token.admits(&made.token) && checked.config.kind == made.kind, "{engine}");
            assert_eq!(checked.config.camera.is_some(), kind.profile().camera_configured, "{engine}");
        }
        for (name, engine, zone) in [("gate", "other", None), ("Gate", "own", None), ("gate", "hikvision", None)] {
            assert!(new_source(name, engine, zone, None).is_err(), "{name} {engine}");
        }
    }
}

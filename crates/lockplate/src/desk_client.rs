//! What an administrator's command line says to running processes: cameras to the own agency, declarations to keepers.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;
use lockplate_core::charter::CharterFile;
use lockplate_intake::SourceKind;
use lockplate_node::agency::AgencyConfig;
use lockplate_node::api::{B64, CameraList, Done, ObjectFiled};
use lockplate_node::client::{CallLimits, PeerClient, PeerTrust};
use lockplate_node::founding::AgencyFiles;
use lockplate_node::import::ImportClient;
use lockplate_node::intake::{CamerasAdded, TokenHash, token_text};
use lockplate_node::rng::SystemRng;
use lockplate_node::settings::{self, read_secret};
use lockplate_node::shutdown::ExitKind;
use lockplate_node::tls::TlsIdentity;
use lockplate_store::durable;
use rand_core::CryptoRng;
use serde_json::json;
use zeroize::Zeroizing;

use crate::exit::Ended;
use crate::screen::Screen;

/// Tasks around cameras.
#[derive(Debug, Subcommand)]
pub(crate) enum CameraTask {
    /// Add one camera
    Add {
        /// The engine's name for it
        #[arg(long)]
        key: String,
        /// Where it stands, in words; public
        #[arg(long)]
        place: String,
        /// Degrees north; public
        #[arg(long, allow_hyphen_values = true)]
        lat: Option<f64>,
        /// Degrees east; public
        #[arg(long, allow_hyphen_values = true)]
        lon: Option<f64>,
        /// Group
        #[arg(long, default_value = "")]
        group: String,
        /// The source that speaks for it; without one it belongs to imported files
        #[arg(long)]
        source: Option<String>,
    },
    /// List the cameras
    List,
    /// Add the cameras of a CSV file: columns key, place, lat, lon, group, source
    Import {
        /// The file
        file: PathBuf,
    },
}

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
    /// Its data folder.
    data: PathBuf,
    /// Base address.
    base: String,
    trust: PeerTrust,
    import_key: Option<Zeroizing<[u8; 32]>>,
}

impl OwnAgency {
    /// Reads `agency.toml` and the key files it names.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let config: AgencyConfig = settings::load_over(path, std::env::vars())?;
        let data = path.parent().unwrap_or_else(|| Path::new("")).join(&config.data);
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
        Ok(Self { client, data, base, trust, import_key })
    }

    /// The door for files, opened with the import key.
    pub(crate) fn import_client(&self) -> Result<ImportClient> {
        let key = self.import_key.as_ref().ok_or_else(|| {
            Ended::config("the configuration names no import key\nset `import = \"keys/import.key\"` in `[keys]` and restart the agency")
        })?;
        Ok(ImportClient::new(&self.base, self.trust, key)?)
    }
}

/// Carries out a task around cameras.
pub(crate) async fn camera(task: CameraTask, config: &Path, screen: &Screen) -> Result<ExitKind> {
    let agency = OwnAgency::open(config)?;
    let (file, is_temporary) = match task {
        CameraTask::Add { key, place, lat, lon, group, source } => {
            let degrees = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
            let (lat, lon, source) = (degrees(lat), degrees(lon), source.unwrap_or_default());
            (one_camera(&agency.data, [&key, &place, &lat, &lon, &group, &source])?, true)
        }
        CameraTask::Import { file } => (file, false),
        CameraTask::List => {
            let list: CameraList = agency.client.get_json("/v1/cameras", &[]).await?;
            if screen.json() {
                screen.document(&json!({ "schema": "lockplate/agency/1", "cameras": list.cameras }));
            } else {
                for camera in &list.cameras {
                    screen.line(&format!("{:>6}  {}  {}", camera.camera, camera.key, camera.place));
                }
            }
            return Ok(ExitKind::Done);
        }
    };
    let client = agency.import_client()?;
    let said = client.add_cameras(&file).await;
    if is_temporary {
        durable::remove(&file)?;
    }
    let CamerasAdded { added, known } = said?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/agency/1", "added": added, "known": known }));
    } else {
        screen.line(&format!("{added} cameras added, {known} were there before."));
    }
    Ok(ExitKind::Done)
}

/// A camera file of one line, for the one way in that there is.
fn one_camera(data: &Path, fields: [&str; 6]) -> Result<PathBuf> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["key", "place", "lat", "lon", "group", "source"])?;
    writer.write_record(fields)?;
    let bytes = writer.into_inner().map_err(|_memory| Ended::internal("a line could not be written to memory"))?;
    let path = data.join(format!("camera-{}.csv", std::process::id()));
    durable::replace(&path, &bytes)?;
    Ok(path)
}

/// Carries out a task around sources.
pub(crate) fn source(task: &SourceTask, screen: &Screen) -> Result<ExitKind> {
    let SourceTask::New { name, .. } = task;
    let mut token = Zeroizing::new([0; 32]);
    draw(&mut SystemRng, token.as_mut_slice());
    let text = token_text(&token);
    let section = section_of(task, TokenHash::of(&token));
    if screen.json() {
        screen.document(&json!({
            "schema": "lockplate/agency/1", "section": section, "path": format!("/in/v1/{name}/{}", text.as_str()),
        }));
    } else {
        screen.line(section.trim_end());
        screen.line("");
        screen.line(&format!("# Post to: /in/v1/{name}/{}", text.as_str()));
        screen.line("# The token in this address is shown only once; the configuration holds its hash.");
    }
    Ok(ExitKind::Done)
}

/// The source's section of agency.toml. What sends no key of a camera is one camera, called as its source unless it is said
/// otherwise.
fn section_of(task: &SourceTask, hash: TokenHash) -> String {
    let SourceTask::New { name, engine, zone, camera } = task;
    let needs_camera = SourceKind::from_name(engine).is_some_and(|kind| kind.profile().camera_configured);
    let camera = camera.as_ref().or_else(|| needs_camera.then_some(name));
    let line =
        |key: &str, value: Option<&String>| value.map_or_else(String::new, |value| format!("{key} = \"{value}\"\n"));
    let (zone, camera, hash) = (line("zone", zone.as_ref()), line("camera", camera), hash.to_hex());
    format!("[[intake.source]]\nname = \"{name}\"\nengine = \"{engine}\"\ntoken_sha256 = \"{hash}\"\n{zone}{camera}")
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
    fn the_section_of_each_engine_is_a_configuration() {
        for kind in SourceKind::ALL {
            let (name, engine) = ("gate".to_owned(), kind.name().to_owned());
            let task = SourceTask::New { name, engine, zone: Some("America/New_York".to_owned()), camera: None };
            let section = section_of(&task, TokenHash::of(&[7; 32]));
            let text = format!("data = \"d\"\n[listen]\naddress = \"127.0.0.1:1\"\n{section}");
            let config: AgencyConfig = settings::parse(Path::new("agency.toml"), &text).unwrap();
            let source = config.intake.source[0].check(1).unwrap();
            assert_eq!(source.config.camera.is_some(), kind.profile().camera_configured, "{}", kind.name());
        }
    }
}

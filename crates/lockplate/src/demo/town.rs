//! Founding of the demo's town: the commands that people would type, each party in a folder of its own. All names are invented.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::id::from_b64url;
use lockplate_core::json::time_text;
use lockplate_log::VerifierKey;
use lockplate_node::client::{CallLimits, PeerClient, PeerTrust};
use lockplate_node::founding::{AgencyCard, KeeperTerms, OfficerTerms, keeper_toml, officer_toml};
use lockplate_store::durable;
use serde_json::Value;

use super::cameras;
use super::children::Children;
use super::register::Register;
use crate::agency::now;
use crate::exit::Ended;

/// Length of a period, seconds: an hour in a city, a moment here.
pub(super) const PERIOD_SECONDS: u64 = 4;
/// Retention after the end of a period, seconds: 21 days in Connecticut, three quarters of a minute here.
pub(super) const RETENTION_SECONDS: u64 = 45;
/// Keepers: folder, name, legal entity.
pub(super) const KEEPERS: [(&str, &str, &str); 3] = [
    ("clerk", "Town Clerk", "Town of Millbrook"),
    ("auditor", "County Auditor", "County of Ashfield"),
    ("court", "Superior Court", "Judicial District of Ashfield"),
];
/// The keeper before whom the lying front door stands, by its place from 0.
pub(super) const LIAR: usize = 1;
/// Agencies: folder, name, state, level.
const AGENCIES: [(&str, &str, &str, &str); 3] = [
    ("millbrook", "Millbrook Police Department", "CT", "local"),
    ("eastport", "Eastport Police Department", "NY", "local"),
    ("federal", "Federal Agency", "US", "federal"),
];
/// Name of the judge's key and of the court.
pub(super) const JUDGE: &str = "judge.district-court.example";
pub(super) const COURT: &str = "District Court of Invented County";
/// Days for which officers are trained.
const TRAINED_SECONDS: u64 = 90 * 86_400;

/// The town as it is on the disk.
pub(super) struct Town {
    pub(super) charter: CharterFile,
    pub(super) folder: PathBuf,
    pub(super) cards: Vec<AgencyCard>,
    pub(super) rekor: String,
    pub(super) stream: String,
    ports: Vec<SocketAddr>,
}

/// Free ports of the loopback, held together so that no two are the same. They lie below the range from which the kernel
/// takes the ports of outgoing connections, which could take one before its listener does.
fn free_ports(count: usize) -> Result<Vec<SocketAddr>> {
    let begin = 3_000_u16.saturating_add(u16::try_from(std::process::id() % 6_000).unwrap_or(0));
    let held: Vec<_> =
        (begin..10_000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).take(count).collect();
    held.iter().map(|listener| listener.local_addr().context("a port has no address")).collect()
}

fn write(path: &Path, text: &str) -> Result<()> {
    durable::replace(path, text.as_bytes()).with_context(|| format!("{}: cannot be written", path.display()))
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).context("a file cannot be closed to others")
}

impl Town {
    /// Keys, cards, charter, signatures, officers, a judge.
    pub(super) async fn found(children: &Children, folder: &Path) -> Result<Self> {
        let ports = free_ports(KEEPERS.len() + AGENCIES.len() + 1)?;
        let port = |at: usize| ports.get(at).copied().ok_or_else(|| Ended::internal("too few ports"));
        crate::keeper::private_folder(&folder.join("people"))?;
        for (at, (name, title, entity)) in KEEPERS.into_iter().enumerate() {
            let (host, url) = (format!("{name}.millbrook.example"), format!("https://{}", port(at)?));
            let human = format!("people/{name}.pem");
            let line = [
                "keeper",
                "init",
                "--folder",
                name,
                "--name",
                title,
                "--legal-entity",
                entity,
                "--host",
                &host,
                "--url",
                &url,
                "--human",
                &human,
            ];
            children.must(&line).await?;
        }
        let mut cards = Vec::new();
        for (at, (name, title, state, level)) in AGENCIES.into_iter().enumerate() {
            let (host, url) = (format!("{name}.example"), format!("https://{}", port(KEEPERS.len() + at)?));
            let mut line = vec![
                "agency", "init", "--folder", name, "--name", title, "--state", state, "--level", level, "--host",
                &host, "--url", &url,
            ];
            if at > 0 {
                line.push("--asks-only");
            }
            children.must(&line).await?;
            let card = std::fs::read(folder.join(name).join("card.json")).context("a card is missing")?;
            cards.push(serde_json::from_slice::<AgencyCard>(&card)?);
        }
        let judge = children.must(&["sign", "new-key", "--key", "people/judge.pem", "--name", JUDGE]).await?;
        let mut signers = Vec::new();
        for name in ["custodian", "council"] {
            let (file, key) = (format!("people/{name}.pem"), format!("{name}.millbrook.example"));
            signers.push(format!(
                "{:?}",
                children.must(&["sign", "new-key", "--key", &file, "--name", &key]).await?.trim()
            ));
        }
        let keepers: Vec<String> = KEEPERS.iter().map(|(name, ..)| format!("\"{name}/card.json\"")).collect();
        let terms = format!(
            "keepers = [{}]\nthreshold = 2\nepoch_seconds = {PERIOD_SECONDS}\nretention_seconds = {RETENTION_SECONDS}\n\
             accept_key_files = \"all\"\npolicy_signers = [{}]\npolicy_quorum = 2\n\
             agencies = [\"eastport/card.json\", \"federal/card.json\"]\n\n\
             [[judge]]\nname = \"Judge of the demo\"\ncourt = \"{COURT}\"\nkey = \"{}\"\n",
            keepers.join(", "),
            signers.join(", "),
            judge.trim()
        );
        write(&folder.join("terms.toml"), &terms)?;
        children.must(&["agency", "charter", "draft", "--folder", "millbrook", "--terms", "terms.toml"]).await?;
        let mut line = vec![
            "--json".to_owned(),
            "agency".to_owned(),
            "charter".to_owned(),
            "assemble".to_owned(),
            "--folder".to_owned(),
            "millbrook".to_owned(),
        ];
        for (at, (name, ..)) in KEEPERS.into_iter().enumerate() {
            let listen = port(at)?.to_string();
            children
                .must(&[
                    "keeper",
                    "sign-charter",
                    "--folder",
                    name,
                    "--draft",
                    "millbrook/charter.draft",
                    "--listen",
                    &listen,
                ])
                .await?;
            line.extend(["--signature".to_owned(), format!("{name}/charter.sig")]);
        }
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let assembled: Value = serde_json::from_str(&children.must(&line).await?)?;
        let hash = assembled.get("hash").and_then(Value::as_str).unwrap_or_default().to_owned();
        let bytes = std::fs::read(folder.join("millbrook/charter.auth")).context("the charter is missing")?;
        let charter = CharterFile::verify(&bytes)?;
        for name in KEEPERS.iter().map(|(name, ..)| *name).chain(["eastport", "federal"]) {
            durable::replace(&folder.join(name).join("charter.auth"), &bytes)?;
        }
        let behind = KeeperTerms {
            place: u8::try_from(LIAR + 1).unwrap_or(0),
            listen: port(KEEPERS.len() + AGENCIES.len())?,
            plain_loopback: true,
            destruction_every_seconds: 1,
        };
        write(&folder.join("auditor/keeper.toml"), &keeper_toml(&behind))?;
        let mut tokens = Vec::new();
        let mut sources = String::new();
        for (name, engine) in [("rekor", "rekor"), ("stream", "platerecognizer")] {
            let said = children
                .must(&["--json", "agency", "source", "new", name, "--engine", engine, "--zone", "America/New_York"])
                .await?;
            let said: Value = serde_json::from_str(&said)?;
            let field = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            sources.push_str(&format!("\n{}", field("section")));
            tokens.push(field("path"));
        }
        for (at, (name, ..)) in AGENCIES.into_iter().enumerate() {
            let listen = port(KEEPERS.len() + at)?;
            let text = if at == 0 {
                format!(
                    "data = \"data\"\n\n[listen]\naddress = \"{listen}\"\n\n[keys]\nimport = \"keys/import.key\"\n\n\
                     [recorder]\ncharter = \"charter.auth\"\noverlap_seconds = 1\nprekeys_target = 48\nprekeys_low = 24\ncells_expected = 64\n\n\
                     [desk]\n{sources}"
                )
            } else {
                format!(
                    "data = \"data\"\n\n[listen]\naddress = \"{listen}\"\n\n[desk]\n\n[[desk.owner]]\ncharter = \"charter.auth\"\nhash = \"{hash}\"\n"
                )
            };
            write(&folder.join(name).join("agency.toml"), &text)?;
        }
        let town = Self {
            charter,
            folder: folder.to_owned(),
            cards,
            rekor: tokens.first().cloned().unwrap_or_default(),
            stream: tokens.get(1).cloned().unwrap_or_default(),
            ports,
        };
        town.officers(children).await?;
        durable::replace(&folder.join("cameras.csv"), &cameras::csv()?)?;
        Ok(town)
    }

    /// Two officers an agency: one files, a supervisor signs the same request where the law wants a second person.
    async fn officers(&self, children: &Children) -> Result<()> {
        let until = time_text(Timestamp(now().0.saturating_add(TRAINED_SECONDS)));
        for ((name, ..), card) in AGENCIES.into_iter().zip(&self.cards) {
            let home = self.folder.join(name);
            write_secret(&home.join("passcode"), "demo passcode of nobody\n")?;
            let (config, passcode) = (format!("{name}/agency.toml"), format!("{name}/passcode"));
            for (person, role) in [("officer", None), ("supervisor", Some("supervisor"))] {
                let key = format!("{name}/{person}.pem");
                let mut line = vec![
                    "--config",
                    &config,
                    "agency",
                    "officer",
                    "add",
                    "--key",
                    &key,
                    "--trained-until",
                    &until,
                    "--passcode-file",
                    &passcode,
                ];
                line.extend(role.into_iter().flat_map(|role| ["--role", role]));
                children.must(&line).await?;
            }
            let terms = OfficerTerms {
                charter: "charter.auth".to_owned(),
                charter_hash: self.charter.hash(),
                agency: card.id.clone(),
                desk: card.url.clone(),
                desk_pin: card.tls_pin.clone(),
                key: "officer.pem".to_owned(),
                passcode_file: Some("passcode".to_owned()),
                folder: "searches".to_owned(),
            };
            write(&home.join("officer.toml"), &officer_toml(&terms))?;
        }
        Ok(())
    }

    /// Starts every process: three keepers, the front door, three agencies.
    pub(super) fn start(&self, children: &mut Children) -> Result<()> {
        for (name, ..) in KEEPERS {
            children.start(name, &["--config", &format!("{name}/keeper.toml"), "keeper"])?;
        }
        let port = |at: usize| self.ports.get(at).map(ToString::to_string).unwrap_or_default();
        let (listen, behind) = (port(LIAR), port(KEEPERS.len() + AGENCIES.len()));
        let line = [
            "demo-liar",
            "--listen",
            &listen,
            "--behind",
            &behind,
            "--keys",
            "auditor/data/keys",
            "--lie-while",
            "LIE",
        ];
        children.start("front-door", &line)?;
        for (name, ..) in AGENCIES {
            children.start(name, &["--config", &format!("{name}/agency.toml"), "agency"])?;
        }
        Ok(())
    }

    /// A client of an agency, by its place.
    pub(super) fn agency(&self, at: usize) -> Result<PeerClient> {
        let card = self.cards.get(at).ok_or_else(|| Ended::internal("there is no such agency"))?;
        let pin = from_b64url(&card.tls_pin).ok_or_else(|| Ended::internal("a card has no pin"))?;
        Ok(PeerClient::new(&card.url, PeerTrust::Pinned(pin), CallLimits::default())?)
    }

    /// The public registers: keepers, recorder, three desks.
    pub(super) fn registers(&self) -> Result<Vec<Register>> {
        let mut registers = Vec::new();
        for keeper in &self.charter.charter().keepers {
            let client = PeerClient::new(&keeper.url, PeerTrust::Pinned(keeper.tls_pin), CallLimits::default())?;
            registers.push(Register {
                name: keeper.name.clone(),
                client,
                prefix: "/log/keeper",
                key: keeper.log_key.clone(),
            });
        }
        let key = self.charter.charter().archive.log_key.clone();
        registers.push(Register {
            name: "Millbrook recorder".to_owned(),
            client: self.agency(0)?,
            prefix: "/log/recorder",
            key,
        });
        for (at, card) in self.cards.iter().enumerate() {
            let key =
                VerifierKey::parse(&card.desk_log_key).map_err(|_grammar| Ended::internal("a card has no key"))?;
            registers.push(Register {
                name: format!("Desk of {}", card.name),
                client: self.agency(at)?,
                prefix: "/log/desk",
                key,
            });
        }
        Ok(registers)
    }
}

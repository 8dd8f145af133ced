//! `lockplate witness`: for outsiders who watch the logs of towns, and may keep a copy of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use lockplate_core::charter::WitnessKind;
use lockplate_node::clock::SystemClock;
use lockplate_node::founding::{self, WitnessFiles, WitnessParty};
use lockplate_node::rng::SystemRng;
use lockplate_node::shutdown::{ExitKind, SHUTDOWN_MAX, Tasks};
use lockplate_node::witness::role::{self, WitnessSettings};
use lockplate_store::durable;
use serde_json::json;

use crate::Globals;
use crate::exit::Ended;
use crate::keeper::{private_data, write_json};
use crate::screen::Screen;

/// The commented template, which is the sample of the documentation.
const TEMPLATE: &str = include_str!("../../../docs/samples/witness.toml");

/// Watch the public logs of towns.
#[derive(Debug, Args)]
pub(crate) struct WitnessArgs {
    /// Print a commented configuration and exit
    #[arg(long)]
    print_config: bool,
    /// Keep and serve a copy of every log, and confirm only what is held
    #[arg(long)]
    mirror: bool,
    #[command(subcommand)]
    task: Option<WitnessTask>,
}

#[derive(Debug, Subcommand)]
enum WitnessTask {
    /// Run the witness (what happens without a subcommand)
    Run,
    /// Make this witness's keys, its card for the agency, and witness.toml
    Init(InitArgs),
    /// Confirm a log again after a person has looked at the evidence; the witness must be stopped
    Clear(ClearArgs),
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Folder to make: keys and data in DIR/data, the card in DIR/card.json
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Name for people, such as "Millbrook Public Library"
    #[arg(long)]
    name: String,
    /// The legal entity that runs it; neither the agency nor a keeper's
    #[arg(long, value_name = "ENTITY")]
    operator: String,
    /// Name of this machine; the name of its key begins with it
    #[arg(long)]
    host: String,
    /// Address under which the others reach it, https://..
    #[arg(long)]
    url: String,
    /// Address and port it listens at
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
}

#[derive(Debug, Args)]
struct ClearArgs {
    /// The log's origin, such as clerk.millbrook.example/log/keeper
    #[arg(long)]
    origin: String,
}

/// Carries out one task.
pub(crate) async fn run(args: WitnessArgs, globals: &Globals, screen: &Screen) -> Result<ExitKind> {
    if args.print_config {
        screen.line(TEMPLATE.trim_end());
        return Ok(ExitKind::Done);
    }
    match args.task {
        None | Some(WitnessTask::Run) => serve(settings(globals, args.mirror)?).await,
        Some(WitnessTask::Init(init)) => make(&init, args.mirror, screen),
        Some(WitnessTask::Clear(clear)) => {
            role::clear(&settings(globals, args.mirror)?, &clear.origin)?;
            if screen.json() {
                screen.document(&json!({ "schema": "lockplate/witness/1", "cleared": clear.origin }));
            } else {
                screen.line("Cleared: the log is confirmed again from the next start on. The evidence stays.");
            }
            Ok(ExitKind::Done)
        }
    }
}

fn settings(globals: &Globals, mirror: bool) -> Result<WitnessSettings> {
    let path = globals.config.clone().unwrap_or_else(|| PathBuf::from("witness.toml"));
    let settings = WitnessSettings::load(&path, std::env::vars())?;
    Ok(if mirror { settings.with_mirror() } else { settings })
}

async fn serve(settings: WitnessSettings) -> Result<ExitKind> {
    let tasks = Tasks::new();
    tasks.stop_on_signals().context("the system refuses signal handlers")?;
    let ran = role::run(settings, Arc::new(SystemClock::new()), tasks.clone()).await;
    let finished = tasks.finish(SHUTDOWN_MAX).await;
    ran?;
    finished.map_err(|unfinished| Ended::internal(unfinished.to_string()))?;
    Ok(ExitKind::Done)
}

fn make(args: &InitArgs, mirror: bool, screen: &Screen) -> Result<ExitKind> {
    let keys = args.folder.join("data/keys");
    private_data(&keys)?;
    let party = WitnessParty {
        name: args.name.clone(),
        operator: args.operator.clone(),
        host: args.host.clone(),
        url: args.url.clone(),
        kind: if mirror { WitnessKind::Mirror } else { WitnessKind::Witness },
    };
    let card = founding::found_witness(&WitnessFiles::in_folder(&keys), &party, &mut SystemRng)?;
    let path = args.folder.join("card.json");
    write_json(&path, &serde_json::to_value(&card)?)?;
    let config = args.folder.join("witness.toml");
    durable::replace(&config, configuration(args, mirror).as_bytes())?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/witness/1", "card": card, "file": path }));
    } else {
        screen.line(&format!("Keys made in {} (closed to everybody else).", keys.display()));
        screen.line(&format!("Send {} to the agency; it holds no secret.", path.display()));
        screen.line(&format!("When the charter is signed, add it to {}.", config.display()));
    }
    Ok(ExitKind::Done)
}

/// `witness.toml`: what differs from the defaults.
fn configuration(args: &InitArgs, mirror: bool) -> String {
    let host = toml_text(&args.host);
    let listen = args.listen;
    format!(
        "data = \"data\"\nhost = {host}\n\n[listen]\naddress = \"{listen}\"\n\n[mirror]\nenabled = {mirror}\n\n\
         # [[charter]]\n# file = \"charter.auth\"\n# hash = \"64 hexadecimal digits, as the agency says them by phone\"\n"
    )
}

/// A basic string of TOML. A host with other characters than these is refused when the key is made.
fn toml_text(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockplate_node::witness::role::WitnessConfig;
    use std::path::Path;

    #[test]
    fn the_template_is_a_configuration_and_init_writes_one_that_lacks_only_its_logs() {
        let file = Path::new("docs/samples/witness.toml");
        let config: WitnessConfig = lockplate_node::settings::parse(file, TEMPLATE).unwrap();
        assert!(WitnessSettings::try_from((file, config)).is_ok());
        let home = tempfile::tempdir().unwrap();
        let args = InitArgs {
            folder: home.path().join("library"),
            name: "Millbrook Public Library".to_owned(),
            operator: "Town Library Board".to_owned(),
            host: "library.millbrook.example".to_owned(),
            url: "https://127.0.0.1:8449".to_owned(),
            listen: "127.0.0.1:8449".parse().unwrap(),
        };
        let screen = Screen::new(false, true, false);
        assert!(make(&args, true, &screen).is_ok());
        let text = std::fs::read_to_string(args.folder.join("witness.toml")).unwrap();
        let config: WitnessConfig = lockplate_node::settings::parse(file, &text).unwrap();
        assert!(config.mirror.enabled && config.charter.is_empty());
        let error = WitnessSettings::try_from((file, config)).unwrap_err();
        assert!(error.to_string().contains("[[charter]]"), "{error}");
        let card = std::fs::read_to_string(args.folder.join("card.json")).unwrap();
        assert!(card.contains("library.millbrook.example/witness+") && card.contains("\"mirror\""), "{card}");
    }
}

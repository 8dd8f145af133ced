//! `lockplate agency register`: the public register as a folder, made by anybody from the charter and the logs. No key of the
//! agency is needed or read.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use lockplate_node::register::{ExportError, Keeping, write_to};
use lockplate_node::shutdown::ExitKind;
use serde_json::json;

use crate::audit::{CharterArgs, zone};
use crate::exit::Ended;
use crate::screen::Screen;
use crate::verify::shipped_policy;

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    charter: CharterArgs,
    /// Folder for the pages; empty or not there yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder that keeps the logs, so that the next time only what is new is fetched [default: beside the pages]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Minutes that clocks there are ahead of UTC, by which the report tells night from day
    #[arg(long, value_name = "MINUTES", default_value_t = 0, allow_negative_numbers = true)]
    utc_offset_minutes: i16,
}

/// Follows all logs once and writes the pages. Where a log could not be followed the pages say so, and so does the exit code.
pub(crate) async fn run(args: RegisterArgs, screen: &Screen) -> Result<ExitKind> {
    let zone = zone(args.utc_offset_minutes)?;
    let charter = args.charter.charter(screen).await?;
    let policy = shipped_policy(charter.charter())?;
    let known: Vec<String> = policy.rules().map(str::to_owned).collect();
    let data = args.data.unwrap_or_else(|| {
        let mut beside = args.out.clone().into_os_string();
        beside.push(".logs");
        beside.into()
    });
    let keeping = Keeping::new(charter, &data, Arc::new(policy), known)?;
    let mut keeping = Keeping { zone, ..keeping };
    let (site, look) = keeping.site(super::now().0).await;
    let kind = look.exit_kind();
    if look.logs.iter().all(|log| log.seen.is_err()) && kind != ExitKind::Lied {
        return Err(Ended::of(kind, "no log could be followed, so there is nothing to show").into());
    }
    let out = args.out;
    let (written, out) = tokio::task::spawn_blocking(move || (write_to(&site, &out), out)).await?;
    let files = written.map_err(|error| match error {
        ExportError::NotEmpty | ExportError::Folder(_) => Ended::config(error.to_string()),
        ExportError::Render(_) => Ended::internal(error.to_string()),
    })?;
    let missing: Vec<String> = look.logs.iter().filter(|log| log.seen.is_err()).map(|log| log.origin.clone()).collect();
    if screen.json() {
        screen.document(&json!({
            "schema": "lockplate/agency/1",
            "register": out,
            "files": files,
            "not_followed": missing,
            "alarms": look.alarms.len(),
        }));
    } else {
        screen.line(&format!("Written: {files} files; open {}.", out.join("index.html").display()));
        if !missing.is_empty() {
            screen.line(&format!("NOT FOLLOWED, and said so on the pages: {}.", missing.join(", ")));
        }
        if !look.alarms.is_empty() {
            screen.line(&format!("ALARMS, and said so on the pages: {}.", look.alarms.len()));
        }
    }
    Ok(kind)
}

//! `lockplate doctor`: a look at this machine, or with `--store DIR` at a stopped data folder. It mends nothing.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use lockplate_node::agency::AgencySettings;
use lockplate_node::doctor::{self, InBucket, Severity};
use lockplate_node::shutdown::ExitKind;
use lockplate_store::segment_store::SegmentStore;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::Globals;
use crate::agency::now;
use crate::exit::Ended;
use crate::screen::Screen;

/// Check this machine, or a stopped data folder.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Data folder of a keeper or an agency, which no process uses; without it this machine is looked at. With --config
    /// agency.toml also the archive's bucket that it names
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The charter, where it is not in the folder or beside it
    #[arg(long, value_name = "FILE", requires = "store")]
    charter: Option<PathBuf>,
}

/// The archive's bucket, where `--config` names an agency's configuration that has one.
fn bucket(globals: &Globals, runtime: &Runtime) -> Result<Option<InBucket>> {
    let Some(config) = &globals.config else { return Ok(None) };
    let settings = AgencySettings::load(config, std::env::vars())?;
    let Some(bucket) = settings.bucket() else { return Ok(None) };
    let bucket = bucket.open().map_err(|refused| Ended::of(refused.exit_kind(), refused.to_string()))?;
    let archive = SegmentStore::over(bucket.store, bucket.prefix, bucket.conditional_put);
    Ok(Some(InBucket { archive, runtime: runtime.handle().clone() }))
}

/// Checks and says what was found; exit 7 where something failed.
pub(crate) fn run(args: &DoctorArgs, globals: &Globals, runtime: &Runtime, screen: &Screen) -> Result<ExitKind> {
    let report = match &args.store {
        Some(store) => {
            let bucket = bucket(globals, runtime)?;
            doctor::check_store_with(store, args.charter.as_deref(), bucket.as_ref(), now())?
        }
        None => {
            // The disk that counts is the one the role's configuration stands on.
            let beside = globals.config.as_deref().and_then(Path::parent).filter(|path| !path.as_os_str().is_empty());
            doctor::machine::check_machine(beside.unwrap_or_else(|| Path::new(".")), now())
        }
    };
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/doctor/1", "worst": report.worst(), "report": report }));
        return Ok(report.exit_kind());
    }
    for finding in &report.findings {
        let line = format!("{:<15} {}: {}", finding.severity.word(), finding.place, finding.what);
        // What is as it should be is for those who ask for all of it.
        if finding.severity == Severity::Ok { screen.note(&line) } else { screen.line(&line) }
    }
    if report.more > 0 {
        screen.line(&format!("{} findings more", report.more));
    }
    let counts = report.counts;
    screen.line(&format!(
        "{}: {} entries of logs, {} periods, {} sealed reads, {} spools, {} shares, {} requests looked at",
        report.worst().word(),
        counts.log_entries,
        counts.epochs,
        counts.cells,
        counts.spools,
        counts.shares,
        counts.requests
    ));
    Ok(report.exit_kind())
}

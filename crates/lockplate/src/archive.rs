//! `lockplate archive`: a server for reading an archive that is in a bucket.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use lockplate_node::archive::server::{self, ArchiveSettings};
use lockplate_node::clock::SystemClock;
use lockplate_node::shutdown::{ExitKind, SHUTDOWN_MAX, Tasks};

use crate::Globals;
use crate::exit::Ended;
use crate::screen::Screen;

/// The commented template, which is the sample of the documentation.
const TEMPLATE: &str = include_str!("../../../docs/samples/archive.toml");

/// Serve an archive that is in a bucket, beside its agency.
#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    /// Print a commented configuration and exit
    #[arg(long)]
    print_config: bool,
}

/// Runs a server until it is stopped.
pub(crate) async fn run(args: ArchiveArgs, globals: &Globals, screen: &Screen) -> Result<ExitKind> {
    if args.print_config {
        screen.line(TEMPLATE.trim_end());
        return Ok(ExitKind::Done);
    }
    let path = globals.config.clone().unwrap_or_else(|| PathBuf::from("archive.toml"));
    let settings = ArchiveSettings::load(&path, std::env::vars())?;
    let tasks = Tasks::new();
    tasks.stop_on_signals().context("the system refuses signal handlers")?;
    server::start(settings, Arc::new(SystemClock::new()), &tasks).await?;
    tasks.stopping().cancelled().await;
    let finished = tasks.finish(SHUTDOWN_MAX).await;
    finished.map_err(|unfinished| Ended::internal(unfinished.to_string()))?;
    if tasks.failed() {
        return Err(Ended::internal("a task the server cannot do without has ended; see the trace").into());
    }
    Ok(ExitKind::Done)
}

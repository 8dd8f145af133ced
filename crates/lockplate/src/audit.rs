//! `lockplate audit`: oversight by anybody, from the public logs. Only `mine` (an owner's code) and `sample` (an auditor's keys) need
//! more than a charter.

mod mine;
mod report;
mod sample;
mod watch;

use anyhow::Result;
use clap::{Args, Subcommand};
use lockplate_audit::time::ZoneOffset;
use lockplate_core::charter::CharterFile;
use lockplate_node::shutdown::ExitKind;
use lockplate_node::verify::pin::{self, Target};

use crate::exit::Ended;
use crate::screen::Screen;
use crate::verify::pinned;

/// Watch the public logs, and count what they say.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    task: AuditTask,
}

#[derive(Debug, Subcommand)]
enum AuditTask {
    /// Follow all logs of a charter and tell each alarm once, and when it is over
    Watch(watch::WatchArgs),
    /// Figures of a month from the logs
    Report(report::ReportArgs),
    /// Was my plate searched? For a registered owner with a code from the agency
    Mine(mine::MineArgs),
    /// Make an auditor's keys and card
    Init(sample::InitArgs),
    /// Look at the entries that chance has chosen, with an auditor's keys
    Sample(sample::SampleArgs),
}

/// Does what was asked.
pub(crate) async fn run(args: AuditArgs, screen: &Screen) -> Result<ExitKind> {
    match args.task {
        AuditTask::Watch(args) => watch::run(args, screen).await,
        AuditTask::Report(args) => report::run(args, screen).await,
        AuditTask::Mine(args) => mine::run(args, screen).await,
        AuditTask::Init(args) => sample::init(&args, screen),
        AuditTask::Sample(args) => sample::run(args, screen).await,
    }
}

/// Which charter.
#[derive(Debug, Args)]
pub(crate) struct CharterArgs {
    /// Charter file, or address with the charter's hash (https://host/#HASH)
    charter: String,
    /// Hash that the charter must have, where it is a file
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
}

impl CharterArgs {
    /// The charter, pinned. A file without a hash pins itself, which is said aloud.
    pub(crate) async fn charter(&self, screen: &Screen) -> Result<CharterFile> {
        let hash = self.hash.as_deref().map(pin::parse_hash).transpose()?;
        match Target::parse(&self.charter)? {
            Target::Url { .. } if hash.is_some() => {
                Err(Ended::usage("the address has the hash of the charter; --hash is for files").into())
            }
            Target::Url { base, hash } => pinned(pin::fetch_charter(&base, hash).await),
            Target::Path(file) => {
                let charter = pinned(pin::read_charter(&file, hash))?;
                if hash.is_none() {
                    let digits: String = charter.hash().iter().map(|byte| format!("{byte:02x}")).collect();
                    screen.note(&format!(
                        "TRUSTING THE FILE ITSELF: its charter has the hash {digits}; compare it with what the agency and the keepers print"
                    ));
                }
                Ok(charter)
            }
        }
    }
}

/// The zone of `--utc-offset-minutes`.
pub(crate) fn zone(minutes: i16) -> Result<ZoneOffset> {
    let far = Ended::usage("--utc-offset-minutes: no place is more than 14 hours away from UTC");
    Ok(ZoneOffset::from_minutes(minutes).ok_or(far)?)
}

//! `lockplate`: the one binary. It reads the command line and the configuration, wires the roles of `lockplate-node`, and turns
//! what happened into text and an exit code. It decides nothing about plates, law or thresholds.

mod agency;
mod alerts;
mod archive;
mod audit;
mod completions;
mod demo;
mod desk_client;
mod doctor;
mod exit;
mod import;
mod keeper;
mod load_order;
mod owner_code;
mod policy;
mod screen;
mod search;
mod sign;
mod verify;
mod witness;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{ArgAction, Args, Parser, Subcommand};
use lockplate_node::sealer;
use lockplate_node::shutdown::ExitKind;
use lockplate_node::trace::{self, TraceFormat};

use crate::screen::Screen;

/// A licence-plate-reader database that cannot be browsed, pooled, or searched alone or unseen.
#[derive(Debug, Parser)]
#[command(name = "lockplate", version, about, disable_help_subcommand = true, subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// Configuration file of the role
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    json: bool,
    /// Print the result only
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Trace more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// No colour
    #[arg(long, global = true)]
    no_color: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a keeper, or decide at one
    Keeper(Box<keeper::KeeperArgs>),
    /// Play the whole story on this machine, offline, with real processes
    Demo(demo::DemoArgs),
    /// Run an agency, or keep its registers
    Agency(Box<agency::AgencyArgs>),
    /// Serve an archive that is in a bucket, beside its agency
    Archive(archive::ArchiveArgs),
    /// Watch the public logs of towns, for outsiders
    Witness(Box<witness::WitnessArgs>),
    /// Bring files of reads in
    Import(import::ImportArgs),
    /// Ask the keepers of one or more owners about one plate
    Search(Box<search::SearchArgs>),
    /// Sign a court's order, or a proof of registration
    Sign(sign::SignArgs),
    /// Look at rules, ask them, test them, prove what they promise
    Policy(policy::PolicyArgs),
    /// Check what an agency and its keepers publish, and say by whom it is valid
    Verify(verify::VerifyArgs),
    /// Watch the public logs, and count what they say
    Audit(audit::AuditArgs),
    /// A keeper's front door that lies; started by `lockplate demo`
    #[command(hide = true)]
    DemoLiar(demo::liar::LiarArgs),
    /// Check a stopped data folder, or this machine
    Doctor(doctor::DoctorArgs),
    /// Hold one period's key; started by `lockplate agency` and by nobody else
    #[command(hide = true)]
    Sealer,
    /// Print a completion script
    #[command(hide = true)]
    Completions(completions::CompletionsArgs),
}

impl Verb {
    const fn name(&self) -> &'static str {
        match self {
            Self::Archive(_) => "archive",
            Self::Audit(_) => "audit",
            Self::Verify(_) => "verify",
            Self::Demo(_) => "demo",
            Self::DemoLiar(_) => "demo-liar",
            Self::Agency(_) => "agency",
            Self::Doctor(_) => "doctor",
            Self::Import(_) => "import",
            Self::Keeper(_) => "keeper",
            Self::Search(_) => "search",
            Self::Witness(_) => "witness",
            Self::Sign(_) => "sign",
            Self::Policy(_) => "policy",
            Self::Sealer => "sealer",
            Self::Completions(_) => "completions",
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for, everything else is wrong usage; clap knows which stream is which.
            let _closed_pipe = error.print();
            return code(if error.use_stderr() { ExitKind::Usage } else { ExitKind::Done });
        }
    };
    if matches!(cli.verb, Verb::Sealer) {
        // Before any thread and any file: the child hardens itself first.
        return code(sealer::run_child());
    }
    forbid_cores();
    let colour = !cli.globals.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let screen = Screen::new(cli.globals.json, cli.globals.quiet, colour);
    let verb = cli.verb.name();
    match run(cli, &screen) {
        Ok(kind) => code(kind),
        Err(error) => {
            let (kind, text) = (exit::kind_of(&error), exit::message(&error));
            if screen.json() {
                screen.document(&exit::problem(verb, kind, &text));
            } else {
                screen.error(&text);
            }
            code(kind)
        }
    }
}

/// No process leaves its memory behind on a disk: reads pass through an agency in clear, and every role holds keys. One byte
/// and not none: that is less than a core file can have, and for a kernel that pipes cores to a program the one value that
/// stops it (core(5)). A system that refuses to lower a limit does not exist; the roles work all the same.
fn forbid_cores() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _best_effort = setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) });
}

fn code(kind: ExitKind) -> ExitCode {
    ExitCode::from(kind.code())
}

fn run(cli: Cli, screen: &Screen) -> Result<ExitKind> {
    let Cli { globals, verb } = cli;
    trace::install(globals.verbose, TraceFormat::Text)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the system refuses threads")?;
    match verb {
        Verb::Demo(args) => runtime.block_on(demo::run(args, screen)),
        Verb::DemoLiar(args) => runtime.block_on(demo::liar::run(args)),
        Verb::Agency(args) => runtime.block_on(agency::run(*args, &globals, screen)),
        Verb::Archive(args) => runtime.block_on(archive::run(args, &globals, screen)),
        Verb::Doctor(args) => doctor::run(&args, &globals, &runtime, screen),
        Verb::Import(args) => runtime.block_on(import::run(args, &globals, screen)),
        Verb::Keeper(args) => runtime.block_on(keeper::run(*args, &globals, screen)),
        Verb::Search(args) => runtime.block_on(search::run(*args, &globals, screen)),
        Verb::Witness(args) => runtime.block_on(witness::run(*args, &globals, screen)),
        Verb::Sign(args) => runtime.block_on(sign::run(args, screen)),
        Verb::Policy(args) => policy::run(&args, screen),
        Verb::Verify(args) => runtime.block_on(verify::run(args, screen)),
        Verb::Audit(args) => runtime.block_on(audit::run(args, screen)),
        Verb::Sealer => Ok(ExitKind::Usage),
        Verb::Completions(args) => completions::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

//! `lockplate completions SHELL`: the completion script of a shell, from the same definition as the help.

use anyhow::Result;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use lockplate_node::shutdown::ExitKind;

/// Print a completion script.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitKind> {
    let mut command = crate::Cli::command();
    clap_complete::generate(args.shell, &mut command, "lockplate", &mut std::io::stdout());
    Ok(ExitKind::Done)
}

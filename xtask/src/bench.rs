//! `cargo xtask bench`: measures the product against its bars, in release. What is measured, and how, stands in `crates/lockplate/benches/bars`.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let status = Command::new("cargo")
        .args(["bench", "--quiet", "--locked", "--workspace", "--bench", "bars", "--"])
        .args(arguments)
        .current_dir(crate::tidy::workspace_root()?)
        .status()
        .context("cargo cannot be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

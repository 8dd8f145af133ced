//! `cargo xtask bench`: measures the product against its bars, in release. What is measured, and how, stands in `crates/lockplate/benches/bars`.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

/// Measures a build for this machine's processor alone, which is not what is shipped (`docs/performance.md`).
const NATIVE: &str = "--native";

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let (native, arguments): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|argument| *argument == NATIVE);
    let mut cargo = Command::new("cargo");
    // The features of the whole workspace, so that what other commands built is not built again.
    cargo.args(["bench", "--quiet", "--locked", "--workspace", "--bench", "bars"]);
    if !native.is_empty() {
        // A folder of its own, or each kind of build would throw the other's away.
        cargo.args(["--target-dir", "target/native"]).env("RUSTFLAGS", "-C target-cpu=native");
    }
    let status = cargo
        .arg("--")
        .args(arguments)
        .current_dir(crate::tidy::workspace_root()?)
        .status()
        .context("cargo cannot be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

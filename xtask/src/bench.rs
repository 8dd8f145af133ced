//! `cargo xtask bench`: measures the product against its bars, in release. A row is a bench target of the crate it is about, which measures,
//! compares with its peer and reports by itself; here stands only which there are. Today: S7, the log.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

/// Rows, with the crate and the bench target.
const ROWS: &[(&str, &str, &str)] = &[("S7", "lockplate-store", "s7")];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let root = crate::tidy::workspace_root()?;
    let mut met = true;
    for (row, package, target) in ROWS {
        println!("row {row}");
        let status = Command::new("cargo")
            .args(["bench", "--quiet", "--locked", "--package", package, "--bench", target, "--"])
            .args(arguments)
            .current_dir(&root)
            .status()
            .context("cargo cannot be started")?;
        met &= status.success();
    }
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

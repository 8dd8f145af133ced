//! `cargo xtask check`: everything a change must pass, in one command.
//!
//! It runs all steps even after a failure, so that one run shows all that is wrong. A tool that is not installed is reported
//! as skipped, by name; it never counts as passed. The verdict goes to the exit code: 0 only if no step failed.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped(&'static str),
}

/// The names that `--skip` takes, in the order in which the steps run (the cheap ones first).
const STEPS: &[&str] = &["fmt", "tidy", "deny", "clippy", "tests", "doc-tests"];

/// Runs all steps but those named by `--skip`.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let skipped = parse(arguments)?;
    let root = crate::tidy::workspace_root()?;
    let mut results = Vec::new();
    for name in STEPS {
        println!("\n== {name}");
        let started = Instant::now();
        let outcome =
            if skipped.iter().any(|skip| skip == name) { Outcome::Skipped("asked for") } else { step(name, &root)? };
        results.push((*name, outcome, started.elapsed().as_secs()));
    }
    println!("\n== summary");
    for (name, outcome, seconds) in &results {
        match outcome {
            Outcome::Passed => println!("{name:<10} passed   {seconds:>4} s"),
            Outcome::Failed => println!("{name:<10} FAILED   {seconds:>4} s"),
            Outcome::Skipped(why) => println!("{name:<10} SKIPPED  ({why})"),
        }
    }
    let failed = results.iter().any(|(_, outcome, _)| *outcome == Outcome::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `--skip NAME`, any number of times; a name that is no step is an error, not a silent pass.
fn parse(arguments: &[String]) -> anyhow::Result<Vec<String>> {
    let mut skipped = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument != "--skip" {
            bail!("unknown argument {argument:?}; the only one is --skip NAME");
        }
        let name = rest.next().context("--skip needs the name of a step")?;
        if !STEPS.contains(&name.as_str()) {
            bail!("no step is called {name:?}; the steps are {STEPS:?}");
        }
        skipped.push(name.clone());
    }
    Ok(skipped)
}

fn step(name: &str, root: &Path) -> anyhow::Result<Outcome> {
    match name {
        "fmt" => cargo(root, &["fmt", "--all", "--check"]),
        "tidy" => {
            let clean = crate::tidy::run(&[])? == ExitCode::SUCCESS;
            Ok(if clean { Outcome::Passed } else { Outcome::Failed })
        }
        "deny" if !installed("deny") => Ok(Outcome::Skipped("cargo-deny is not installed")),
        "deny" => cargo(root, &["deny", "--offline", "check", "bans", "licenses", "sources"]),
        "clippy" => cargo(
            root,
            &["clippy", "--workspace", "--all-targets", "--all-features", "--locked", "--", "-D", "warnings"],
        ),
        "tests" if installed("nextest") => cargo(root, &["nextest", "run", "--workspace", "--locked"]),
        "tests" => cargo(root, &["test", "--workspace", "--locked", "--lib", "--bins", "--tests"]),
        "doc-tests" => cargo(root, &["test", "--workspace", "--locked", "--doc"]),
        other => bail!("step {other:?} is in the list but has no command"),
    }
}

/// Whether `cargo NAME` exists on this machine.
fn installed(name: &str) -> bool {
    Command::new("cargo")
        .args([name, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<Outcome> {
    println!("cargo {}", arguments.join(" "));
    let status = Command::new("cargo").args(arguments).current_dir(root).status().context("cargo cannot be started")?;
    Ok(if status.success() { Outcome::Passed } else { Outcome::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn skip_takes_names_of_steps_only() {
        assert_eq!(parse(&words("--skip clippy --skip deny")).unwrap(), ["clippy", "deny"]);
        assert!(parse(&words("--skip clipy")).is_err());
        assert!(parse(&words("--skip")).is_err());
        assert!(parse(&words("--fast")).is_err());
    }

    #[test]
    fn a_tool_that_does_not_exist_is_not_installed() {
        assert!(!installed("lockplate-no-such-subcommand"));
        assert!(installed("fmt"), "the toolchain file asks for rustfmt");
    }
}

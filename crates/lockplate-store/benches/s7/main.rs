//! Row S7 of the bars, with the peer in the same run: how many leaves a second the log makes durable, and how long a whole log takes to be
//! verified. Started by `cargo xtask bench`. Writes what it saw as JSON and as a Markdown table: medians and spread, machine, commit. A bar
//! that is missed is said to be; a peer that is not there is skipped by name.
//!
//! Every figure stands beside one measured in turn with it on the same machine and folder, because absolute times of a shared machine mean
//! little.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench has a clock, files and something to say, and never runs in the product"
)]

mod log;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

const USAGE: &str = "usage: cargo xtask bench [--quick] [--out FOLDER] [--work FOLDER] [--go LOGCHECK]
  --quick   a log of 100,000 leaves instead of 1,000,000, and fewer rounds
  --out     where s7.json and s7.md are written; target/bench if not given
  --work    where the logs are written and removed again; the file system to be measured. Below --out if not given
  --go      the built Go verifier; otherwise LOCKPLATE_LOGCHECK, then target/verifiers/logcheck (tests/verifiers/install makes it)";

/// What the person asked for.
#[derive(Debug)]
struct Options {
    quick: bool,
    out: PathBuf,
    work: PathBuf,
    go: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = parse(&root, &arguments)?;
    if cfg!(debug_assertions) {
        bail!("a debug build measures nothing that anybody runs; start it with `cargo xtask bench`");
    }
    std::fs::create_dir_all(&options.out).context("no folder for the results")?;
    std::fs::create_dir_all(&options.work).context("no folder to work in")?;
    let row = log::measure(&options)?;
    let report =
        json!({ "row": "S7", "quick": options.quick, "machine": machine(&root, &options.work), "results": row.json });
    let markdown = format!("{}\n{}", heading(&report), row.markdown);
    std::fs::write(options.out.join("s7.json"), serde_json::to_vec_pretty(&report)?).context("s7.json")?;
    std::fs::write(options.out.join("s7.md"), &markdown).context("s7.md")?;
    println!("{markdown}\nwritten to {}", options.out.display());
    Ok(if row.bars_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(root: &Path, arguments: &[String]) -> anyhow::Result<Options> {
    let (mut quick, mut out, mut work, mut go) = (false, None, None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().map(PathBuf::from).with_context(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--quick" => quick = true,
            // Cargo's own.
            "--bench" => {}
            "--out" => out = Some(value()?),
            "--work" => work = Some(value()?),
            "--go" => go = Some(value()?),
            _ => bail!("{USAGE}"),
        }
    }
    let out = out.unwrap_or_else(|| root.join("target/bench"));
    let go = go.or_else(|| std::env::var_os("LOCKPLATE_LOGCHECK").map(PathBuf::from));
    Ok(Options {
        quick,
        work: work.unwrap_or_else(|| out.join("work")),
        out,
        go: go.unwrap_or_else(|| root.join("target/verifiers/logcheck")),
    })
}

/// A row's results.
struct Row {
    json: Value,
    markdown: String,
    bars_met: bool,
}

/// Several measurements of one thing.
#[derive(Debug)]
struct Series(Vec<f64>);

impl Series {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
            (Some(low), Some(high)) if sorted.len().is_multiple_of(2) => f64::midpoint(*low, *high),
            (_, Some(middle)) => *middle,
            _ => f64::NAN,
        }
    }

    fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    fn json(&self) -> Value {
        json!({ "median": self.median(), "min": self.min(), "max": self.max(), "all": self.0 })
    }

    /// Median, and in brackets what it lies between.
    fn show(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$} to {:.digits$})", self.median(), self.min(), self.max())
    }
}

/// Seconds that something takes.
fn seconds<T>(what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(f64, T)> {
    let begun = Instant::now();
    let value = what()?;
    Ok((begun.elapsed().as_secs_f64(), value))
}

/// What was measured, and on what.
fn machine(root: &Path, work: &Path) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let dirty =
        said("git", &["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    json!({
        "processor": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "load": read("/proc/loadavg").trim(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "file_system": said("df", &["--output=fstype", &work.display().to_string()])
            .and_then(|text| text.lines().last().map(str::to_owned)),
        "rustc": said("rustc", &["--version"]),
        "commit": said("git", &["rev-parse", "HEAD"]),
        "changed_since_commit": dirty,
        "profile": "release",
    })
}

fn heading(report: &Value) -> String {
    let machine = &report["machine"];
    let text = |name: &str| machine[name].as_str().map_or_else(|| machine[name].to_string(), str::to_owned);
    format!(
        "# Bench, row S7{}\n\n{}, {} cores, {}, Linux {}, {}; load when it ended: {}. {}. Commit {}{}.\n",
        if report["quick"] == true { " (quick)" } else { "" },
        text("processor"),
        text("cores"),
        text("memory"),
        text("kernel"),
        text("file_system"),
        text("load"),
        text("rustc"),
        text("commit"),
        if machine["changed_since_commit"] == true { ", with changes that are not in it" } else { "" },
    )
}

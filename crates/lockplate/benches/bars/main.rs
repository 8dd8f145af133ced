//! The rows of the bars (`docs/performance.md`): what Lockplate does, beside what a well-known program does with the same reads, in turn, on
//! the same machine and file system, because absolute times of a shared machine mean little. Started by `cargo xtask bench`.
//!
//! A row is a module that measures and gives back [`report::Figure`]s; how they are compared, shown and drawn is the same for all of them. A
//! bar that is missed is said to be; a peer that is not there is skipped by name. Nothing here is a double: reads come over HTTP to the
//! binary, keepers are processes.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench has a clock, files and something to say, and never runs in the product"
)]

mod cluster;
mod filled;
mod growth;
mod hotlist;
mod import;
mod keepers;
mod memory;
mod plates;
mod postgres;
mod report;
mod s1;
mod s7;
mod sealing;
// Its parts for faults and secrets are not used here.
#[expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the town of the tests, where a panic is a failed test"
)]
#[path = "../../tests/town/mod.rs"]
mod town;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};

use report::{Figure, Report};

const USAGE: &str = "usage: cargo xtask bench [--native] [ROW...] [--quick] [--out FOLDER] [--work FOLDER] [--go LOGCHECK] [--postgres FOLDER] [--cells N]
  ROW         S1 to S12; all of them if none is given
  --native    a build for this machine's processor alone, in target/native
  --quick     smaller data and fewer rounds
  --out       where bars.json, bars.md and bars.svg are written; target/bench if not given
  --work      where data is written and removed again: the file system to be measured. Below --out if not given
  --go        the built Go verifier; otherwise LOCKPLATE_LOGCHECK, then target/verifiers/logcheck (tests/verifiers/install makes it)
  --cells     archives of more cells than this are skipped by name (they need 290 bytes a cell)
  --postgres  the programs of PostgreSQL 15; /usr/lib/postgresql/15/bin if not given (Debian: apt-get install postgresql-15)";

/// A row: its name, what it is about, and what measures it.
struct Row {
    name: &'static str,
    about: &'static str,
    measure: fn(&Options) -> anyhow::Result<Measured>,
}

const ROWS: &[Row] = &[
    Row { name: "S1", about: "Durable sealed reads over HTTP", measure: s1::measure },
    Row { name: "S2", about: "A file of reads to closed segments", measure: import::measure_speed },
    Row { name: "S3", about: "Bytes on disk", measure: import::measure_bytes },
    Row { name: "S4", about: "Search of one plate over a week", measure: growth::week },
    Row { name: "S5", about: "Search of one plate over three weeks", measure: growth::three_weeks },
    Row { name: "S6", about: "Capacity of a keeper", measure: keepers::measure },
    Row { name: "S7", about: "The log: leaves made durable, a whole log verified", measure: s7::measure },
    Row { name: "S8", about: "The longest hot list", measure: hotlist::measure },
    Row { name: "S9", about: "Growth", measure: growth::growth },
    Row { name: "S10", about: "Memory of a recorder", measure: memory::measure },
    Row { name: "S11", about: "The end of an epoch", measure: growth::dropping },
    Row { name: "S12", about: "The archive on a cluster of a store", measure: cluster::measure },
];

/// What a row measured, and how: settings of both sides, sentences.
struct Measured {
    figures: Vec<Figure>,
    how: Vec<String>,
}

/// What the person asked for.
#[derive(Debug)]
struct Options {
    rows: Vec<String>,
    quick: bool,
    out: PathBuf,
    work: PathBuf,
    go: PathBuf,
    postgres: PathBuf,
    /// Most cells of an archive.
    cells: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, binary, cells] = arguments.as_slice()
        && first == filled::SEALER
    {
        return filled::sealer(binary, cells.parse()?).map(|()| ExitCode::SUCCESS);
    }
    let options = parse(&root, &arguments)?;
    if cfg!(debug_assertions) {
        bail!("a debug build measures nothing that anybody runs; start it with `cargo xtask bench`");
    }
    std::fs::create_dir_all(&options.out).context("no folder for the results")?;
    let mut failed = false;
    let mut report = Report::new(options.quick, report::machine(&root, &options.work));
    for row in ROWS.iter().filter(|row| options.rows.is_empty() || options.rows.iter().any(|name| name == row.name)) {
        eprintln!("{}: {}", row.name, row.about);
        fresh(&options.work)?;
        fresh(&options.agency_folder())?;
        // One that fails takes nothing from the others, and is said in its place.
        match (row.measure)(&options) {
            Ok(measured) => report.add(row.name, row.about, measured.figures, measured.how),
            Err(error) => {
                eprintln!("{}: {error:#}", row.name);
                report.add(row.name, row.about, Vec::new(), vec![format!("**Failed**: {error:#}")]);
                failed = true;
            }
        }
        report.write(&options.out)?;
    }
    std::fs::remove_dir_all(&options.work).context("what was measured cannot be removed")?;
    println!("{}\nwritten to {}", report.markdown(), options.out.display());
    Ok(if report.bars_met() && !failed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(root: &Path, arguments: &[String]) -> anyhow::Result<Options> {
    let (mut rows, mut quick, mut out, mut work, mut go, mut postgres) = (Vec::new(), false, None, None, None, None);
    let mut cells = u64::MAX;
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
            "--postgres" => postgres = Some(value()?),
            "--cells" => cells = value()?.to_str().and_then(|text| text.parse().ok()).context(USAGE)?,
            name if ROWS.iter().any(|row| row.name == name) => rows.push(name.to_owned()),
            _ => bail!("{USAGE}"),
        }
    }
    let out = out.unwrap_or_else(|| root.join("target/bench"));
    let go = go.or_else(|| std::env::var_os("LOCKPLATE_LOGCHECK").map(PathBuf::from));
    Ok(Options {
        rows,
        quick,
        // A folder of its own, because it is removed.
        work: work.unwrap_or_else(|| out.clone()).join("lockplate-bench"),
        out,
        go: go.unwrap_or_else(|| root.join("target/verifiers/logcheck")),
        postgres: postgres.unwrap_or_else(|| PathBuf::from("/usr/lib/postgresql/15/bin")),
        cells,
    })
}

impl Options {
    /// The data folder of a row's agency, on the file system that is measured.
    fn agency_folder(&self) -> PathBuf {
        self.work.join("agency")
    }
}

/// Seconds that something takes.
fn seconds<T>(what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(f64, T)> {
    let begun = Instant::now();
    let value = what()?;
    Ok((begun.elapsed().as_secs_f64(), value))
}

/// An empty folder.
fn fresh(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).context("an old folder cannot be removed")?;
    }
    std::fs::create_dir_all(folder).context("no folder to work in")
}

/// Bytes of all files below a folder.
fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += if about.is_dir() { bytes_below(&entry.path())? } else { about.len() };
    }
    Ok(sum)
}

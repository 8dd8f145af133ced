//! Rows S2 and S3: a file of reads, from its first byte to closed segments, beside `COPY` of the same reads into the indexed table; and what
//! is on the disk afterwards.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::plates::{Dice, REPEATED_ONE_IN, plate};
use super::postgres::Postgres;
use super::report::{Bar, Figure, Series};
use super::town::{BINARY, Terms, Town, command, now_ms};
use super::{Measured, Options, bytes_below, sealing, seconds};

const HOUR_MS: i64 = 3_600_000;
/// Hours of reads in a file.
const HOURS: i64 = 6;
/// Share of the sealing of all cores that a bulk import must reach.
const OF_SEALING_MIN: f64 = 0.8;
/// Reads an hour of the large city at its mean: 1.75 M a day.
const LARGE_CITY_HOUR: u64 = 73_000;

/// Reads of some hours, in both forms.
struct Batch {
    numbers: Vec<u64>,
    ndjson: PathBuf,
    csv: PathBuf,
}

/// In order of time, one plate in four read before. Round `round` has plates, ids and hours of its own.
fn batch(folder: &Path, round: u64, count: u64) -> anyhow::Result<Batch> {
    let mut dice = Dice::new(round);
    let first = round * 1_000_000_000;
    let hour = now_ms() / HOUR_MS - (i64::try_from(round)? + 1) * (HOURS + 1);
    let (ndjson, csv) = (folder.join(format!("reads-{round}.ndjson")), folder.join(format!("reads-{round}.csv")));
    let mut lines = BufWriter::new(std::fs::File::create(&ndjson)?);
    let mut rows = BufWriter::new(std::fs::File::create(&csv)?);
    let mut numbers = Vec::new();
    for at in 0..count {
        let number = first + if at > 0 && dice.below(REPEATED_ONE_IN) == 0 { dice.below(at) } else { at };
        numbers.push(number);
        let ms = hour * HOUR_MS + HOURS * HOUR_MS * i64::try_from(at)? / i64::try_from(count)?;
        let (plate, id) = (plate(number), format!("{round}-{at}"));
        let line = json!({
            "plate": plate, "camera": "file-1", "captured_at": ms, "id": id, "conf": 0.93, "jurisdiction": "US-CT",
            "jurisdiction_conf": 0.95, "vehicle_class": "car", "vehicle_colour": "white", "motion": "approaching",
        });
        writeln!(lines, "{line}")?;
        let time = lockplate_core::json::time_text(lockplate_core::Timestamp(u64::try_from(ms / 1_000)?));
        writeln!(rows, "1,\\x{:016x},7,{time},,1,{plate},US-CT,950,t,930,3,900,12,800,4,850,1,1,0", first + at)?;
    }
    lines.flush()?;
    rows.flush()?;
    Ok(Batch { numbers, ndjson, csv })
}

/// `lockplate import`, from start to exit; every read must have been taken.
fn import(town: &Town, batch: &Batch) -> anyhow::Result<f64> {
    let (took, output) = seconds(|| {
        let mut import = command(BINARY);
        import.args(["--json", "import"]).arg(&batch.ndjson).arg("--state").arg(batch.ndjson.with_extension("state"));
        Ok(import.arg("--config").arg(town.home("agency").join("agency.toml")).output()?)
    })?;
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let taken = said.pointer("/files/0/report/accepted").and_then(serde_json::Value::as_u64);
    if !output.status.success() || taken != Some(u64::try_from(batch.numbers.len())?) {
        bail!("the import took {taken:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(took)
}

fn copy(postgres: &Postgres, batch: &Batch) -> anyhow::Result<f64> {
    let statement = format!("COPY reads FROM '{}' (FORMAT csv)", batch.csv.display());
    Ok(seconds(|| postgres.sql(&statement))?.0)
}

fn town(options: &Options, cells_expected: u64) -> Town {
    Town::start(Terms {
        epoch_seconds: 3_600,
        verbose: 0,
        cells_expected,
        agency_data: Some(options.agency_folder()),
        ..Terms::default()
    })
}

pub(super) fn measure_speed(options: &Options) -> anyhow::Result<Measured> {
    let (rounds, count) = if options.quick { (2, 60_000) } else { (5, 600_000) };
    let cores = std::thread::available_parallelism()?.get();
    let mut town = town(options, count / u64::try_from(HOURS)?);
    let postgres = Postgres::start(&options.postgres, &options.work)?;
    let (mut ours, mut peers, mut of_sealing, mut sealing) =
        (Series::default(), Series::default(), Series::default(), Series::default());
    for round in 0..=rounds {
        // The first is not measured: it says how full an hour is.
        let count = if round == 0 { count / 4 } else { count };
        let batch = batch(&options.work, round, count)?;
        let reads = f64::from(u32::try_from(count)?);
        let rate = reads / import(&town, &batch)?;
        let copied = postgres.as_ref().map(|postgres| copy(postgres, &batch)).transpose()?;
        if round > 0 {
            ours.0.push(rate);
            peers.0.extend(copied.map(|took| reads / took));
            let most = batch.numbers.len().min(100_000 * cores);
            let pure = sealing::rate(cores, batch.numbers.get(..most).unwrap_or_default())?;
            sealing.0.push(pure);
            of_sealing.0.push(rate / pure);
        }
        std::fs::remove_file(&batch.ndjson)?;
        std::fs::remove_file(&batch.csv)?;
    }
    town.agency.take().context("the agency")?.stop();
    let steps = sealing::steps()?.into_iter().map(|(what, took)| Figure {
        what: what.to_owned(),
        unit: "µs",
        ours: Series(vec![took]),
        peer: None,
        bar: None,
    });
    let peer = |name: &str, series: Series| Some((name.to_owned(), series)).filter(|_| postgres.is_some());
    Ok(Measured {
        figures: [
            Figure {
                what: "a file to closed segments".to_owned(),
                unit: "reads/s",
                ours,
                peer: peer("COPY", peers),
                bar: Some(Bar::TimesPeerAtLeast(0.5)),
            },
            Figure {
                what: "part of what the cores seal in memory".to_owned(),
                unit: "",
                ours: of_sealing,
                peer: None,
                bar: Some(Bar::AtLeast(OF_SEALING_MIN)),
            },
            Figure {
                what: format!("sealing in memory, {cores} threads"),
                unit: "reads/s",
                ours: sealing,
                peer: None,
                bar: None,
            },
        ]
        .into_iter()
        .chain(steps)
        .collect(),
        how: vec![
            format!(
                "{rounds} rounds in turn, {count} reads of {HOURS} hours in order of time, one plate in {REPEATED_ONE_IN} read before. Lockplate: \
                 `lockplate import` from start to exit, when every hour is closed, logged and in the archive; one agency and three keepers on the same cores."
            ),
            "PostgreSQL: `COPY` of a CSV file of the same reads into the table with its index, committed; defaults."
                .to_owned(),
            "Sealing in memory: one sealer a core, reads that are parsed already, nothing written.".to_owned(),
        ],
    })
}

pub(super) fn measure_bytes(options: &Options) -> anyhow::Result<Measured> {
    let hours = u64::try_from(HOURS)?;
    let an_hour = if options.quick { LARGE_CITY_HOUR / 10 } else { LARGE_CITY_HOUR };
    let count = an_hour * hours;
    let mut town = town(options, an_hour);
    let postgres = Postgres::start(&options.postgres, &options.work)?;
    let folder = options.work.join("agency");
    let before = bytes_below(&folder)?;
    let batch = batch(&options.work, 1, count)?;
    import(&town, &batch)?;
    // What is kept while it runs and what is left when it has ended are the same but for the spools of the live epoch.
    town.agency.take().context("the agency")?.stop();
    let reads = f64::from(u32::try_from(count)?);
    let a_read = |bytes: u64| Ok::<f64, anyhow::Error>(f64::from(u32::try_from(bytes)?) / reads);
    let archive = bytes_below(&folder.join("archive"))?;
    let all = bytes_below(&folder)?.saturating_sub(before);
    let mut peers = Series::default();
    if let Some(postgres) = &postgres {
        copy(postgres, &batch)?;
        let bytes: u64 = postgres.sql("SELECT pg_total_relation_size('reads')")?.trim().parse()?;
        peers.0.push(a_read(bytes)?);
    }
    Ok(Measured {
        figures: vec![
            Figure {
                what: "archive, log, tables of the agency".to_owned(),
                unit: "bytes a read",
                ours: Series(vec![a_read(all)?]),
                peer: postgres.is_some().then(|| ("table and index".to_owned(), peers)),
                bar: Some(Bar::TimesPeerAtMost(1.0)),
            },
            Figure {
                what: "of them in segments and their indices".to_owned(),
                unit: "bytes a read",
                ours: Series(vec![a_read(archive)?]),
                peer: None,
                bar: None,
            },
        ],
        how: vec![format!(
            "{count} reads, {an_hour} an hour. A sealed read is 256 bytes whatever is in it (LPv1 section 6), and every bucket is filled to a multiple \
             of 16. PostgreSQL: `pg_total_relation_size` after `COPY`, the write-ahead log not counted."
        )],
    })
}

//! Row S1: 64 cameras that stay connected and post one read a request, each answered when the read is sealed and synced; beside 64 clients
//! that insert one row a transaction into PostgreSQL.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::plates::{Dice, REPEATED_ONE_IN, plate};
use super::postgres::Postgres;
use super::report::{Bar, Figure, Series};
use super::town::{Terms, Town, lan::Lan, now_ms};
use super::{Measured, Options};

const CLIENTS: usize = 64;
/// Sources that a connection speaks for in turn.
const SOURCES_EACH: usize = 2;
/// Plates a client has to itself: far more than it can send.
const PLATES_EACH: u64 = 100_000_000;

const INSERT: &str = "\\set k :k + 1
\\set old random(1, 4)
\\set n case when :old = 1 then random(1, :k) else :client_id * 100000000 + :k end
INSERT INTO reads VALUES (1, int8send(:k), :client_id, now(), NULL, 1, 'P' || :n, 'US-CT', 950, true, 930, 3, 900, 12, 800, 4, 850, 1, 1, 0);
";

/// A camera with its connection.
struct Camera {
    number: u64,
    lan: Lan,
    /// A source each: one takes 200 payloads a second, which no camera comes near to.
    doors: Vec<String>,
    dice: Dice,
    sent: u64,
}

impl Camera {
    /// Posts one read and waits for its answer; milliseconds it took.
    fn post(&mut self) -> anyhow::Result<f64> {
        self.sent += 1;
        // Of another camera's plates, because a plate that the same camera reads again within seconds is one pass.
        let number = match self.dice.below(REPEATED_ONE_IN) {
            0 => (self.number + 1) % u64::try_from(CLIENTS)? * PLATES_EACH + self.dice.below(self.sent),
            _ => self.number * PLATES_EACH + self.sent,
        };
        let at = now_ms();
        let line = json!({
            "plate": plate(number), "camera": "c1", "captured_at": at, "id": format!("{}-{}", self.number, self.sent), "conf": 0.93,
            "jurisdiction": "US-CT", "jurisdiction_conf": 0.95, "vehicle_class": "car", "vehicle_colour": "white", "motion": "approaching",
        });
        let begun = Instant::now();
        let door = self.doors.get(usize::try_from(self.sent)? % SOURCES_EACH).context("a source")?;
        let (status, body) = self.lan.post(door, "application/x-ndjson", line.to_string().as_bytes())?;
        let took = begun.elapsed().as_secs_f64() * 1_000.0;
        let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        // A plate that two cameras read at the same moment is taken as one pass of neither.
        if status != 200 || answer["accepted"] != 1 {
            bail!("a read was not acknowledged: {status} {answer}");
        }
        Ok(took)
    }
}

/// All cameras post for so long; reads a second, and the milliseconds of each.
fn round(cameras: &mut [Camera], length: Duration) -> anyhow::Result<(f64, Vec<f64>)> {
    let begun = Instant::now();
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = cameras
            .iter_mut()
            .map(|camera| {
                scope.spawn(move || {
                    let mut took = Vec::new();
                    while begun.elapsed() < length {
                        took.push(camera.post()?);
                    }
                    Ok(took)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a camera panicked")))
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let took = begun.elapsed().as_secs_f64();
    let answers = answers.concat();
    Ok((f64::from(u32::try_from(answers.len())?) / took, answers))
}

pub(super) fn measure(options: &Options) -> anyhow::Result<Measured> {
    let (rounds, seconds) = if options.quick { (2, 4) } else { (7, 15) };
    let mut town = Town::start(Terms {
        epoch_seconds: 3_600,
        verbose: 0,
        sources: CLIENTS * SOURCES_EACH,
        formats: &[("own", "own")],
        agency_data: Some(options.agency_folder()),
        ..Terms::default()
    });
    let mut cameras: Vec<Camera> = (0..CLIENTS)
        .map(|at| {
            let number = u64::try_from(at).unwrap_or(0);
            Camera {
                number,
                lan: town.lan(),
                doors: (0..SOURCES_EACH).map(|of| town.door(&format!("own-{}", of * CLIENTS + at))).collect(),
                dice: Dice::new(number),
                sent: 0,
            }
        })
        .collect();
    let postgres = Postgres::start(&options.postgres, &options.work)?;
    // Once each, unmeasured: connections, caches, plans.
    round(&mut cameras, Duration::from_secs(2))?;
    if let Some(postgres) = &postgres {
        postgres.load("insert.sql", INSERT, CLIENTS, 2)?;
    }
    let (mut ours, mut peers, mut middle, mut slow) =
        (Series::default(), Series::default(), Series::default(), Series::default());
    for _ in 0..rounds {
        let (rate, took) = round(&mut cameras, Duration::from_secs(seconds))?;
        ours.0.push(rate);
        let took = Series(took);
        middle.0.push(took.median());
        slow.0.push(took.quantile(0.99));
        if let Some(postgres) = &postgres {
            peers.0.push(postgres.load("insert.sql", INSERT, CLIENTS, seconds)?);
        }
    }
    let sent: u64 = cameras.iter().map(|camera| camera.sent).sum();
    drop(cameras);
    let version = postgres.as_ref().map(|postgres| postgres.sql("SHOW server_version")).transpose()?;
    // In order, so that what it was asked is on the disk to the end.
    town.agency.take().context("the agency")?.stop();
    Ok(Measured {
        figures: vec![
            Figure {
                what: format!("{CLIENTS} connections, one read a request"),
                unit: "reads/s",
                ours,
                peer: version.as_ref().map(|_| ("INSERT".to_owned(), peers)),
                bar: Some(Bar::TimesPeerAtLeast(1.0)),
            },
            Figure::alone("request to acknowledgement, p50", "ms", middle, None),
            Figure::alone("request to acknowledgement, p99", "ms", slow, None),
        ],
        how: vec![
            format!(
                "{rounds} rounds of {seconds} s, in turn. Lockplate: one agency and three keepers as processes, plain HTTP on the loopback, epochs of an \
                 hour, each answer after the group's fsync; {sent} reads sent and acknowledged. One plate in {REPEATED_ONE_IN} was read before."
            ),
            format!(
                "PostgreSQL {}: defaults (fsync and synchronous_commit on), {CLIENTS} clients of pgbench with prepared statements over a Unix \
                 socket; the table has the fields of a read and an index on (plate, time).",
                version.as_deref().unwrap_or("is not here").trim()
            ),
        ],
    })
}

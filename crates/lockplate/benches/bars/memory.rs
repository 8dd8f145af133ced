//! Row S10: what a recorder holds in memory at 10.6 million reads a day, an epoch an hour. Memory does not depend on how fast an hour's reads
//! come but on how many there are, so the hours are short here: each takes the reads of a whole one, and is closed while the next is filled.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::plates::{Dice, REPEATED_ONE_IN, plate};
use super::report::{Bar, Figure, Series};
use super::town::process::{descendants, status_kib};
use super::town::{Terms, Town, now_ms, pause};
use super::{Measured, Options};

/// The big county's busiest hour: 1.61 times the mean of 442,000.
const HOUR: u64 = 711_000;
const MEMORY_MAX_MB: f64 = 500.0;
const SOURCES: usize = 16;
/// Reads a payload: a camera that kept them a moment.
const LINES: u64 = 50;
const WATCH: Duration = Duration::from_millis(200);

/// What a process has for itself; nothing if it has just ended.
pub(super) fn own_kib(pid: u32) -> u64 {
    status_kib(pid, "RssAnon:").unwrap_or(0)
}

/// Most of what the agency and its sealers have for themselves, in KiB, until `over`.
fn watch(town_pid: u32, over: &std::sync::atomic::AtomicBool) -> (u64, u64) {
    let (mut agency, mut sealers) = (0, 0);
    while !over.load(std::sync::atomic::Ordering::Relaxed) {
        agency = agency.max(own_kib(town_pid));
        sealers = sealers.max(descendants(town_pid).into_iter().map(own_kib).sum());
        std::thread::sleep(WATCH);
    }
    (agency, sealers)
}

pub(super) fn measure(options: &Options) -> anyhow::Result<Measured> {
    let (hours, an_hour, seconds) = if options.quick { (2_u64, HOUR / 20, 6_u64) } else { (3, HOUR, 150) };
    let mut town = Town::start(Terms {
        epoch_seconds: seconds,
        verbose: 0,
        sources: SOURCES,
        cells_expected: an_hour,
        agency_data: Some(options.agency_folder()),
        ..Terms::default()
    });
    let pid = town.agency.as_ref().context("the agency")?.pid();
    let over = std::sync::atomic::AtomicBool::new(false);
    let (sent, (agency, sealers)) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(pid, &over));
        let mut sent = 0;
        for hour in 0..hours {
            // An hour's reads in one epoch, from its beginning.
            let into = now_ms() / 1_000 % i64::try_from(seconds).unwrap_or(1);
            pause(u64::try_from(i64::try_from(seconds).unwrap_or(1) - into).unwrap_or(0) * 1_000);
            sent += fill(&town, hour, an_hour, Duration::from_secs(seconds * 9 / 10))?;
        }
        // The last one is closed too while it is looked at.
        town.wait_closed();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let seen = watching.join().map_err(|_panic| anyhow::anyhow!("the watcher panicked"))?;
        Ok::<_, anyhow::Error>((sent, seen))
    })?;
    town.agency.take().context("the agency")?.stop();
    let mb = |kib: u64| Ok::<f64, anyhow::Error>(f64::from(u32::try_from(kib)?) * 1_024.0 / 1e6);
    let figure = |what: &str, value, bar| Figure::alone(what, "MB", Series(vec![value]), bar);
    Ok(Measured {
        figures: vec![
            figure("agency and its sealers together, at most", mb(agency + sealers)?, Some(Bar::AtMost(MEMORY_MAX_MB))),
            figure("the agency alone, at most", mb(agency)?, None),
            figure("its sealers, at most", mb(sealers)?, None),
        ],
        how: vec![format!(
            "{hours} epochs of {seconds} s, {an_hour} reads asked for in each (the big county's busiest hour), {sent} sent and acknowledged in all, \
             {SOURCES} connections, {LINES} lines a payload; each is closed while the next is filled. Memory is `RssAnon`, looked at five times a second: \
             the highest of both are added though they were not at the same moment. The slope over hours is the soak's (docs/soak.md)."
        )],
    })
}

/// Sends so many reads, at most for so long; how many were acknowledged.
fn fill(town: &Town, hour: u64, count: u64, most: Duration) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let each = count / u64::try_from(SOURCES)?;
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SOURCES)
            .map(|at| {
                let (mut lan, door) = (town.lan(), town.door(&format!("own-{at}")));
                scope.spawn(move || {
                    let first = (hour * u64::try_from(SOURCES)? + u64::try_from(at)?) * 100_000_000;
                    let mut dice = Dice::new(first);
                    let mut sent = 0;
                    while sent < each && begun.elapsed() < most {
                        let now = now_ms();
                        let mut body = String::new();
                        for line in sent..(sent + LINES).min(each) {
                            let of = if line > LINES && dice.below(REPEATED_ONE_IN) == 0 { dice.below(line - LINES) } else { line };
                            let read = json!({
                                "plate": plate(first + of), "camera": if line % 2 == 0 { "c1" } else { "7" }, "captured_at": now,
                                "id": format!("{first}-{line}"), "conf": 0.93, "jurisdiction": "US-CT", "jurisdiction_conf": 0.95,
                            });
                            body.push_str(&format!("{read}\n"));
                        }
                        let (status, answer) = lan.post(&door, "application/x-ndjson", body.as_bytes())?;
                        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
                        if status != 200 {
                            bail!("a payload was not acknowledged: {status} {answer}");
                        }
                        sent += LINES.min(each - sent);
                    }
                    Ok(sent)
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().unwrap_or_else(|_| bail!("a sender panicked"))).sum()
    })
}

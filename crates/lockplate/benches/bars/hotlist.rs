//! Row S8: the longest hot list that a charter may allow. A steward loads it by command into a running agency; what it holds in memory is
//! what the agency's process has more of; comparisons are made in this process, on a list that went through the same checks.

use std::hint::black_box;
use std::io::{BufWriter, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::load::{Ruling, check_form};
use lockplate_core::hotlist::matching::{Marks, ReadFacts, compare};
use lockplate_core::hotlist::set::{ListSet, ListSettings, SetKind, SetStamp};
use lockplate_core::hotlist::{AlertLevel, ListEntry, Variants};
use lockplate_core::plate::{Jurisdiction, Plate};
use lockplate_core::read::{Coded, Read, Vehicle};
use lockplate_core::vocabulary::{Basis, Offence};
use serde_json::{Value, json};

use super::memory::own_kib;
use super::plates::plate;
use super::report::{Bar, Figure, Series};
use super::town::{BINARY, Terms, Town, command, now_ms};
use super::{Measured, Options, sealing, seconds};

const ENTRIES: u64 = 5_000_000;
const LOAD_SECONDS_MAX: f64 = 20.0;
const MEMORY_MAX_MB: f64 = 600.0;
const COMPARISONS_MIN: f64 = 500_000.0;
/// Reads that a round compares, one in a thousand of them a hit.
const READS: u64 = 500_000;
const HIT_ONE_IN: u64 = 1_000;
const STATES: [&str; 8] = ["US-CA", "US-CT", "US-NY", "US-TX", "US-CO", "US-IL", "US-WA", "CA-QC"];
const CLASSES: [(ListClass, &str); 4] = [
    (ListClass::StolenVehicle, "stolenVehicle"),
    (ListClass::StolenPlate, "stolenPlate"),
    (ListClass::WantedPerson, "wantedPerson"),
    (ListClass::MissingPerson, "missingPerson"),
];
const DAY: u64 = 86_400;

/// Class and state of entry `number`.
fn kind_of(number: u64) -> ((ListClass, &'static str), &'static str) {
    let pick = |of: u64| usize::try_from(of).unwrap_or(0);
    (
        CLASSES.get(pick(number / 7 % 4)).copied().unwrap_or((ListClass::StolenVehicle, "stolenVehicle")),
        STATES.get(pick(number % 8)).copied().unwrap_or("US-CT"),
    )
}

/// An entry as long as those of an extract are.
fn entry(number: u64, now: u64) -> anyhow::Result<ListEntry> {
    let ((class, _), state) = kind_of(number);
    let part = |code| Some(Coded { code, conf: None });
    Ok(ListEntry {
        entry_id: format!("W{number:09}"),
        plate: Plate::parse(&plate(number)).context("an invented plate is one")?,
        jurisdiction: Jurisdiction::parse(state),
        class,
        source_file: "INV".to_owned(),
        offence: Offence::Felony,
        entered_at: Timestamp(now - DAY),
        expires_at: Timestamp(now + DAY),
        effective_at: None,
        case: format!("26-{number:07}"),
        basis: Basis::StatutoryDuty,
        agency: "CT0000000".to_owned(),
        vehicle: Vehicle { class: part(1), make: part(13), colour: part(3) },
        level: AlertLevel::Low,
        state_required: false,
        variants: Variants::None,
        note: String::new(),
    })
}

/// The same entries as a file of the own format.
fn write_file(options: &Options, entries: u64, now: u64) -> anyhow::Result<std::path::PathBuf> {
    let file = options.work.join("list.ndjson");
    let mut lines = BufWriter::new(std::fs::File::create(&file)?);
    let time = |seconds| lockplate_core::json::time_text(Timestamp(seconds));
    let (entered, expires) = (time(now - DAY), time(now + DAY));
    let header =
        json!({ "list": "state", "mode": "full", "sequence": 1, "produced_at": time(now), "entries": entries });
    writeln!(lines, "{header}")?;
    // Number 0 is one letter seven times, which no list takes.
    for number in 1..=entries {
        let ((_, class), state) = kind_of(number);
        let line = json!({
            "entry_id": format!("W{number:09}"), "plate": plate(number), "jurisdiction": state, "class": class, "source_file": "INV",
            "offence": "felony", "entered_at": entered, "expires_at": expires, "case": format!("26-{number:07}"), "basis": "statutoryDuty",
            "agency": "CT0000000", "vehicle": { "class": "car", "colour": "white" },
        });
        writeln!(lines, "{line}")?;
    }
    lines.flush()?;
    Ok(file)
}

fn at_the_lists(town: &Town, arguments: &[&str]) -> anyhow::Result<Value> {
    let mut lists = command(BINARY);
    lists.args(["--json", "agency", "hotlist"]).args(arguments);
    let output = lists.arg("--config").arg(town.home("officer").join("officer.toml")).output()?;
    if !output.status.success() {
        bail!(
            "agency hotlist {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Seconds of the command, MB more in the agency afterwards, and at most meanwhile.
fn load(options: &Options, entries: u64) -> anyhow::Result<(f64, f64, f64)> {
    let mut town = Town::start(Terms {
        epoch_seconds: 3_600,
        verbose: 0,
        extract_entries_max: entries,
        agency_data: Some(options.agency_folder()),
        ..Terms::default()
    });
    let second = town.supervisor().display().to_string();
    let file = write_file(options, entries, u64::try_from(now_ms() / 1_000)?)?.display().to_string();
    let most = entries.to_string();
    at_the_lists(&town, &["new", "--name", "state", "--kind", "extract", "--entries-max", &most])?;
    let pid = town.agency.as_ref().context("the agency")?.pid();
    let before = own_kib(pid);
    let over = std::sync::atomic::AtomicBool::new(false);
    let (took, most) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                most = most.max(own_kib(pid));
                std::thread::sleep(Duration::from_millis(50));
            }
            most
        });
        let loaded = seconds(|| at_the_lists(&town, &["load", &file, "--list", "state", "--second", &second]));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let most = watching.join().unwrap_or(0);
        loaded.map(|(took, said)| (took, said, most))
    })
    .and_then(|(took, said, most)| {
        let (state, taken) = (&said["load"]["state"], &said["load"]["entries"]);
        if *state == "live" && *taken == entries { Ok((took, most)) } else { bail!("the list was not taken: {said}") }
    })?;
    let mb = |kib: u64| Ok::<f64, anyhow::Error>(f64::from(u32::try_from(kib.saturating_sub(before))?) * 1_024.0 / 1e6);
    let (now, most) = (mb(own_kib(pid))?, mb(most)?);
    town.agency.take().context("the agency")?.stop();
    std::fs::remove_file(file)?;
    Ok((took, now, most))
}

/// Comparisons a second, a round.
fn comparisons(entries: u64, rounds: usize) -> anyhow::Result<Series> {
    let now = u64::try_from(now_ms() / 1_000)?;
    let at = Timestamp(now);
    let settings = ListSettings { list: [1; 16], kind: SetKind::Extract, conf_min: 800, trust_jurisdiction: false };
    let stamp = SetStamp { sequence: 1, produced_at: at, full_at: at };
    let ruling = Ruling { allowed: true, digest: [0; 32] };
    let checked = (1..=entries).map_while(|number| {
        check_form(entry(number, now).ok()?, SetKind::Extract, false, at).ok()?.ruled(&ruling).ok()
    });
    let set = ListSet::build(settings, stamp, 0x1234_5678, checked)?;
    if set.entries() != entries {
        bail!("the list has {} entries of {entries}", set.entries());
    }
    let reads: Vec<Read> = (0..READS)
        .map(|at| {
            let number = at.wrapping_mul(7_919) % entries + 1;
            sealing::read(if at.is_multiple_of(HIT_ONE_IN) { number } else { entries + number })
        })
        .collect::<anyhow::Result<_>>()?;
    let marks = Marks::default();
    let mut rates = Series::default();
    for _ in 0..rounds {
        let (took, ()) = seconds(|| {
            for read in &reads {
                black_box(compare(&set, &marks, &ReadFacts { read, of_frames: false, conf_min: 0 }, at));
            }
            Ok(())
        })?;
        rates.0.push(f64::from(u32::try_from(READS)?) / took);
    }
    Ok(rates)
}

pub(super) fn measure(options: &Options) -> anyhow::Result<Measured> {
    let (entries, rounds) = if options.quick { (ENTRIES / 25, 3) } else { (ENTRIES, 7) };
    let share = f64::from(u32::try_from(entries)?) / f64::from(u32::try_from(ENTRIES)?);
    let (took, memory, most) = load(options, entries)?;
    Ok(Measured {
        figures: vec![
            Figure::alone(
                "comparisons, one core",
                "reads/s",
                comparisons(entries, rounds)?,
                Some(Bar::AtLeast(COMPARISONS_MIN)),
            ),
            Figure::alone(
                "memory of the list in the agency",
                "MB",
                Series(vec![memory]),
                Some(Bar::AtMost(MEMORY_MAX_MB * share)),
            ),
            Figure::alone("the same while it is loaded, at most", "MB", Series(vec![most]), None),
            Figure::alone("load by command", "s", Series(vec![took]), Some(Bar::AtMost(LOAD_SECONDS_MAX * share))),
        ],
        how: vec![format!(
            "{entries} entries (bars are for {ENTRIES}, in proportion). Load: `lockplate agency hotlist load` from start to exit, two people, the file's \
             every line parsed, judged and logged. Memory: `RssAnon` of the agency after it, less what it was before. Comparisons: {READS} reads a round, one in \
             {HIT_ONE_IN} a hit, one thread of this process, the list built by the same checks."
        )],
    })
}

//! Measures the targets of `hotlists.md` section 4: 5,000,000 entries in 600 MB and 20 s, 500,000 comparisons a second. Ignored: the build
//! machine runs it for its memory; for its times run it alone, optimised, with `--run-ignored only --no-capture`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "it measures time and says it"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::fixture_tests::{BasePack, HOUR, LIST, NOW, before, facts, history, read, settings, stolen};
use super::load::{LoadHeader, LoadMode, LoadOutcome, LoadRules, Loading};
use super::matching::{Marks, compare};
use super::set::SetKind;
use super::{ListEntry, Variants};
use crate::entry::ListClass;

const ENTRIES: u64 = 5_000_000;

/// Seven characters, spread over all that plates use.
fn text(n: u64) -> String {
    const ALPHABET: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut rest = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8;
    (0..7)
        .map(|_| {
            let c = ALPHABET[usize::try_from(rest % 36).unwrap()];
            rest /= 36;
            char::from(c)
        })
        .collect()
}

/// As long as an entry of an extract is: an id, an ORI, a case, a vehicle, a short note on every tenth.
fn line(n: u64) -> ListEntry {
    const STATES: [&str; 8] = ["US-CA", "US-CT", "US-NY", "US-TX", "US-CO", "US-IL", "US-WA", "CA-QC"];
    let class = [ListClass::StolenVehicle, ListClass::StolenPlate, ListClass::WantedPerson, ListClass::MissingPerson];
    let class = class[usize::try_from(n / 7 % 4).unwrap()];
    let part = |code| Some(crate::read::Coded { code, conf: None });
    let near = class == ListClass::MissingPerson && n % 1_000 == 21;
    ListEntry {
        class,
        case: format!("26-{n:07}"),
        vehicle: crate::read::Vehicle { class: part(1), make: part(13), colour: part(3) },
        note: if n.is_multiple_of(10) { "caution: approach with two units".to_owned() } else { String::new() },
        variants: if near { Variants::Near } else { Variants::None },
        ..stolen(&format!("W{n:09}"), &text(n), Some(STATES[usize::try_from(n % 8).unwrap()]))
    }
}

/// What the kernel counts as resident, and at most ever was, MiB.
fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1_024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

#[test]
#[ignore = "a measurement of minutes"]
fn five_million_entries() {
    let signed = BTreeSet::new();
    let history = history(ENTRIES);
    let rules = LoadRules {
        settings: settings(SetKind::Extract),
        steward: Some([1; 32]),
        entries_max: ENTRIES,
        signed: &signed,
        elsewhere: &[],
        new_today: 0,
        by_hand: false,
        history: &history,
        lost: &BTreeMap::new(),
        index_key: 0x1234_5678,
    };
    let header =
        LoadHeader { list: LIST, mode: LoadMode::Full, sequence: 1, produced_at: before(HOUR), entries: Some(ENTRIES) };
    let begun = Instant::now();
    for n in 0..ENTRIES {
        drop(std::hint::black_box(line(n)));
    }
    let making = begun.elapsed();
    let begun = Instant::now();
    let mut loading = Loading::begin(rules, header, None, &BasePack, NOW).unwrap();
    (0..ENTRIES).for_each(|n| loading.add(line(n)));
    let LoadOutcome::Ready(loaded) = loading.finish().unwrap() else { panic!("held") };
    let building = begun.elapsed().saturating_sub(making);
    let begun = Instant::now();
    let digest = loaded.set().salted_digest(&[1; 16]);
    let digesting = begun.elapsed();
    let set = loaded.into_set();
    // Speed is said and not judged; memory is the same on every machine.
    assert!(set.heap_bytes() <= 600_000_000, "{} bytes", set.heap_bytes());
    println!("entries {}, heap {} MB, resident {:?} MiB", set.entries(), set.heap_bytes() / 1_000_000, resident());
    println!("making lines {making:?}, loading {building:?}, digest {digesting:?} {:02x}", digest[0]);

    let marks = Marks::default();
    for (name, from, misses) in [("one hit in 1,000", 0, 999), ("all hit", 0, 0), ("no hit", ENTRIES, 0)] {
        let reads: Vec<_> = (0..200_000_u64)
            .map(|n| {
                let at = n.wrapping_mul(7_919) % ENTRIES;
                let n = if misses > 0 && n % 1_000 != 0 { ENTRIES + n } else { from + at };
                read(&text(n), Some("US-CT"), Some(900))
            })
            .collect();
        let begun = Instant::now();
        let mut met = 0;
        for _ in 0..5 {
            for read in &reads {
                let found = compare(&set, &marks, &facts(read), NOW);
                met += found.hits.len() + found.suppressed.len();
            }
        }
        let spent = begun.elapsed();
        println!("{name}: {:.0} comparisons a second, met {met}", 1_000_000.0 / spent.as_secs_f64());
    }
}

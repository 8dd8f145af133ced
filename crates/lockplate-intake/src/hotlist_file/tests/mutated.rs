//! Mutated files: ten thousand of each format. None may panic, and what is handed out is lawful, whatever the bytes.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::limits::*;
use super::super::*;
use super::templates::{FLOCK, GENETEC, NCIC, REKOR, SAMPLES, STATE, VIGILANT, delivery, ncic_line};
use super::{NOW, ROW, Told, WHOLE, header, load, told};

/// Ten thousand texts: a good one with a few bytes changed, cut, doubled; then random bytes. Same seed, same run.
fn mutate(seeds: &[String], read: &dyn Fn(&[u8])) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]);
    let config = Config { cases: 10_000, failure_persistence: None, ..Config::default() };
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5_u8), 0..8);
    let random = proptest::collection::vec(any::<u8>(), 0..64);
    TestRunner::new_with_rng(config, rng)
        .run(&(any::<prop::sample::Index>(), edits, random, any::<u8>()), |(seed, edits, random, form)| {
            let mut body = seeds[seed.index(seeds.len())].clone().into_bytes();
            for (at, byte, kind) in edits {
                let at = at.index(body.len().max(1)).min(body.len());
                match kind {
                    0 if at < body.len() => body[at] = byte,
                    1 => body.truncate(at),
                    2 => body.insert(at, byte),
                    3 => body.extend_from_within(at..),
                    _ => body.splice(at..at, *b"\n,;:\t").for_each(drop),
                }
            }
            read(if form < 16 { &random } else { &body });
            Ok(())
        })
        .unwrap();
}

/// Whatever the bytes were: nothing unlawful, nothing out of nothing, and counts that add up.
fn is_lawful(told: &Told, bytes: &[u8]) {
    for entry in told.entries() {
        assert!(entry.class.may_be_loaded() && entry.expires_at > NOW);
        assert!(entry.class != ListClass::Custom || !entry.case.is_empty());
        assert!((PLATE_CHARS_MIN..=16).contains(&entry.plate.expose_text().chars().count()));
        assert!(entry.note.chars().count() <= NOTE_CHARS_MAX && entry.entry_id.len() <= ENTRY_ID_BYTES_MAX);
        assert!(!entry.entry_id.is_empty() && !entry.agency.is_empty());
        assert!(entry.expires_at.0 <= NOW.0 + CLOCK_AHEAD_SECONDS_MAX + CUSTOM_LIFE_SECONDS_MAX);
    }
    let places = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'{' | b',' | b'[')).count();
    assert!(told.rows.len() <= places + 1, "no row out of nothing");
    if let Ok(complete) = &told.verdict {
        let counts = complete.counts();
        let sum = counts.added.values().chain(counts.dropped.values()).chain(counts.refused.values()).sum::<u64>();
        assert_eq!((sum + counts.removed, counts.rows), (counts.rows, told.rows.len() as u64));
        assert_eq!(counts.added.values().sum::<u64>(), told.entries().len() as u64);
    }
}

fn own(form: OwnForm, seeds: &[String]) {
    mutate(seeds, &|bytes| is_lawful(&told(HotlistFile::own(form, load()), bytes, 97), bytes));
}

fn templated(template: &str, source_file: &str, seeds: &[String]) {
    let template = Template::parse(template).unwrap();
    let delivery = delivery(Mode::Incremental, source_file);
    let file = || HotlistFile::by_template(&template, &delivery, load()).unwrap();
    // The seeds themselves are good.
    for seed in seeds {
        assert!(told(file(), seed.as_bytes(), 97).verdict.is_ok());
    }
    mutate(seeds, &|bytes| is_lawful(&told(file(), bytes, 97), bytes));
}

#[test]
fn ten_thousand_mutated_files_of_lines() {
    let removal = r#"{"entry_id":"s-9","op":"remove"}"#;
    own(
        OwnForm::Ndjson,
        &[
            format!("{}\n{WHOLE}\n{ROW}\n", header("full", 2)),
            format!("{}\n{ROW}\n{removal}\n{ROW}\n", header("incremental", 3)),
        ],
    );
}

#[test]
fn ten_thousand_mutated_files_of_csv() {
    let columns = "entry_id,op,plate,jurisdiction,class,entered_at,expires_at,case,basis,agency,vehicle_make,note";
    let row = "c-7,add,XK41207,US-CT,custom,2026-03-18T08:00:00Z,2026-03-25T08:00:00Z,26-1,reasonableSuspicion,CT0000001,gmc,\"a, b\"";
    own(OwnForm::Csv, &[format!("#{}\n{columns}\n{row}\n{row}\n", header("full", 2))]);
}

#[test]
fn ten_thousand_mutated_files_of_the_extract() {
    let line = |class: &str| ncic_line("V1", "XK41207", "CT", class);
    templated(NCIC, "", &[format!("{}{}", line("Vehicle"), line("Wanted Person")), line("Immigration Violator")]);
}

#[test]
fn ten_thousand_mutated_files_of_a_state() {
    let header = "RECORD\tACTION\tLIC\tLIS\tCODE\tDOE\tOCA\tVMA\tMIS\n";
    let line = |action: &str| format!("1\t{action}\tXK41207\tCO\tSV\t03/18/2026 08:00:00\t26-1\tFORD\tred\n");
    templated(STATE, "", &[format!("{header}{}{}", line("A"), line("D"))]);
}

#[test]
fn ten_thousand_mutated_requests_of_flock() {
    let entry = r#"{"plate":"XK41207","reason":"x","caseNumber":"26-1","state":"ohio","expiry":"2026-03-21T09:00:00Z","note":{"message":"m"}}"#;
    templated(FLOCK, "custom-list", &[format!(r#"{{"entries":[{entry},{entry}]}}"#)]);
}

#[test]
fn ten_thousand_mutated_files_of_vigilant() {
    let header = "Hot Plate,State,Alert,Entered,Inactive After,Case Number,Comment\n";
    let line = "XK41207,New York,High,2026-03-18,5,26-1,\"gone, they say\"\n";
    templated(VIGILANT, "hot-plates", &[format!("{header}{line}{line}")]);
}

#[test]
fn ten_thousand_mutated_files_of_genetec() {
    templated(GENETEC, "stolen", &["QC;DEF228;2026-03-19;2026-03-21;P1\nQC;DEF229;;2026-03-21;P2\n".into()]);
}

#[test]
fn ten_thousand_mutated_files_of_rekor() {
    templated(REKOR, "", &["XK41207,\nXK41208,stolen\n".into()]);
}

#[test]
fn ten_thousand_mutated_templates() {
    let seeds = SAMPLES.map(str::to_owned);
    mutate(&seeds, &|bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(template) = Template::parse(&text) {
            let delivery = delivery(Mode::Full, "stolen");
            let file = HotlistFile::by_template(&template, &delivery, load()).unwrap();
            let row = b"QC;DEF228;2026-03-19;2026-03-21;P1\n";
            is_lawful(&told(file, row, 97), row);
        }
    });
}

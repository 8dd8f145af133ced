//! The main job at reduced size: an agency and three keepers as real processes, a street's reads imported from a file, searches
//! whose answers are compared with a plain scan of that file by an independent program (`scripts/main-job`, Python).
#![cfg(test)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Reads of the invented street.
const READS: u64 = 3_000;

#[expect(clippy::disallowed_methods, reason = "a test starts the program that judges")]
fn script(name: &str, args: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name);
    // python3 by name: the script is also run where it is not executable.
    Command::new("python3").arg(script).args(args).output().unwrap()
}

fn main_job(args: &[&str]) -> Output {
    script("main-job", args)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_answer_is_exactly_that_of_a_plain_scan() {
    let reads = READS.to_string();
    // A fixed seed, as the checks below ask for cases that a small draw could miss; the full job draws its own.
    let output = main_job(&["--bin", env!("CARGO_BIN_EXE_lockplate"), "--invented", &reads, "--seed", "1", "--json"]);
    let said = format!("{}\n{}", text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["right"], true, "{said}");
    assert_eq!(report["import"]["counts"]["accepted"], READS, "{said}");
    let searches = &report["searches"];
    for nothing in ["missing", "extra", "state_shown_wrong", "answers_wrong", "absent_found"] {
        assert_eq!(searches[nothing], 0, "{nothing}\n{said}");
    }
    // The street is large enough that each of these must occur; without them the comparison would have nothing to miss.
    for something in ["reads_found", "same_text", "same_after_folding", "state_not_read"] {
        assert!(searches[something].as_u64().unwrap() > 0, "{something}\n{said}");
    }
    assert_eq!((searches["vehicles"].as_u64(), searches["absent"].as_u64()), (Some(12), Some(5)));
}

#[test]
fn the_judgement_of_the_soak_notices_faults() {
    let output = script("soak", &["--self-test"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn the_comparison_notices_wrong_answers() {
    let output = main_job(&["--self-test"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

//! `lockplate verify` and `lockplate audit` before a town that tells the truth and before towns that do not.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::wildcard_enum_match_arm,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says by a panic what is wrong"
)]

mod paper;
mod town;

use std::path::{Path, PathBuf};

use lockplate_core::charter::LogName;
use serde_json::Value;

use paper::{DESK, PaperTown, Said, copy, keeper, now, write};

/// A town in which somebody searched lawfully.
fn town() -> PaperTown {
    let mut town = PaperTown::found();
    town.good_search(0xa1, now() - 2 * 86_400);
    town.publish();
    town
}

fn verified(town: &PaperTown, more: &[&str]) -> Said {
    town.run(&[&["verify", &town.url()], more].concat())
}

/// The one evidence file that a document names; it is there.
fn evidence(said: &Said, document: &Value) -> PathBuf {
    let named = document["evidence"].as_array().unwrap();
    assert_eq!(named.len(), 1, "{document}");
    let file = said.at.join(named[0].as_str().unwrap());
    assert!(file.is_file(), "{}", file.display());
    file
}

/// Somebody lied, and the one evidence file convicts by itself.
fn convicted(town: &PaperTown, said: &Said) {
    assert_eq!(said.code, 5, "{said:?}");
    let file = evidence(said, &said.document());
    let proved = town.run(&["verify", &file.display().to_string(), "--json"]);
    assert_eq!((proved.code, proved.document()["proved"].as_bool()), (5, Some(true)), "{proved:?}");
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    write(file, &bytes);
}

fn rules(document: &Value) -> Vec<String> {
    let alarms = document["alarms"].as_array().unwrap();
    alarms.iter().map(|alarm| alarm["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn valid_only_with_those_who_say_so() {
    let town = town();
    let said = verified(&town, &[]);
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        "valid: 15 entries of 5 registers",
        "owner: Millbrook Police Department",
        "2 of 3 must agree: Keeper 1 (Office 1); Keeper 2 (Office 2); Keeper 3 (Office 3)",
        "custody: 3 legal entities hold the keys, and none of them can open anything alone",
        "confirmed by: Keeper 1 (Office 1); Keeper 2 (Office 2); Keeper 3 (Office 3); Public Library (Millbrook Public Library)",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    assert!(!said.at.join("lockplate-evidence").exists());

    let document = verified(&town, &["--json"]).document();
    assert_eq!((document["valid"].as_bool(), document["exit"].as_u64()), (Some(true), Some(0)), "{document}");
    assert_eq!(document["charter"].as_str(), Some(town.hash().as_str()));
    assert_eq!((document["pinned_by"].as_str(), document["custody_label"].as_bool()), (Some("hash"), Some(false)));
    assert_eq!(document["logs"].as_array().unwrap().len(), 5);
    assert_eq!(document["confirmed_by"].as_array().unwrap().len(), 4);

    // A keeper has the charter as well, and a file pins itself, aloud.
    let keepers = format!("{}#{}", town.address(keeper(2)), town.hash());
    assert_eq!(town.run(&["verify", &keepers]).code, 0);
    let file = town.charter_file().display().to_string();
    let by_itself = town.run(&["verify", &file]);
    assert_eq!(by_itself.code, 0, "{by_itself:?}");
    assert!(by_itself.err.contains("TRUSTING THE FILE ITSELF") && by_itself.err.contains(&town.hash()));
    let by_hash = town.run(&["verify", &file, "--hash", &town.hash()]);
    assert!(by_hash.code == 0 && !by_hash.err.contains("TRUSTING"), "{by_hash:?}");
}

#[test]
fn what_pins_nothing_or_something_else_is_refused() {
    let town = town();
    let (address, file) = (town.address(LogName::Recorder), town.charter_file().display().to_string());
    let other = "ab".repeat(32);
    assert_eq!(town.run(&["verify", &address]).code, 2, "no hash");
    assert_eq!(town.run(&["verify", &format!("{address}/#abc")]).code, 2, "no hash of 64 digits");
    let said = town.run(&["verify", &format!("{address}/#{other}")]);
    assert!(said.code == 5 && said.at.join("lockplate-evidence/other-charter.auth").is_file(), "{said:?}");
    assert_eq!(town.run(&["verify", &file, "--hash", &other]).code, 5);
    let unsigned = town.folder.path().join("unsigned.auth");
    let text = String::from_utf8(town.charter.bytes().to_vec()).unwrap();
    let without: String =
        text.lines().filter(|line| !line.contains("k3.example/keeper ")).map(|line| format!("{line}\n")).collect();
    write(&unsigned, without.as_bytes());
    assert_eq!(town.run(&["verify", &unsigned.display().to_string()]).code, 3, "a keeper did not sign");
    assert_eq!(
        town.run(&["verify", "https://127.0.0.1:9/#0000000000000000000000000000000000000000000000000000000000000000"])
            .code,
        6
    );
    assert_eq!(town.run(&["verify", "/nothing/here"]).code, 3);
}

#[test]
fn a_saved_town_is_checked_again_without_anybody() {
    let town = town();
    let saved = town.folder.path().join("saved");
    let path = saved.display().to_string();
    assert_eq!(verified(&town, &["--save", &path]).code, 0);
    let log = saved.join("k1.example+log+keeper");
    for file in
        ["policy", "checkpoint", "tile/0/000.p/4", "tile/entries/000.p/4", "receipts/0.tlog-proof", "receipts/3.leaf"]
    {
        assert!(log.join(file).is_file(), "{file}");
    }
    for name in town.names() {
        town.show(name, Path::new(""));
    }
    let said = town.run(&["verify", &path, "--hash", &town.hash(), "--json"]);
    assert_eq!((said.code, said.document()["valid"].as_bool()), (0, Some(true)), "{said:?}");
    let charter = town.charter_file().display().to_string();
    let (one, trust) = (log.display().to_string(), log.join("policy").display().to_string());
    let said = town.run(&["verify", &one, "--charter", &charter]);
    assert!(said.code == 0 && said.out.contains("valid") && said.out.contains("custody: "), "{said:?}");
    // The trust file in the folder is the word of whoever made the folder: it must be named, and says nobody's name.
    assert_eq!(town.run(&["verify", &one]).code, 2);
    let said = town.run(&["verify", &one, "--trust", &trust]);
    assert!(said.code == 0 && !said.out.contains("valid"), "{said:?}");
    flip(&log.join("tile/entries/000.p/4"), 30);
    let said = town.run(&["verify", &path, "--json"]);
    assert_eq!(said.code, 5, "{said:?}");
    assert_eq!(town.run(&["verify", &one, "--charter", &charter]).code, 5);
    let said = town.run(&["verify", &path, "--hash", &town.hash()]);
    assert!(said.out.contains("NOT AS SIGNED") && !said.out.contains("LIED"), "nobody was asked: {said:?}");
}

#[test]
fn a_saved_town_is_judged_as_of_its_time() {
    let mut town = town();
    for name in town.names() {
        town.publish_one(name, now() - 3 * 86_400, &[1, 2, 3]);
    }
    let saved = town.folder.path().join("saved").display().to_string();
    assert_eq!(verified(&town, &["--save", &saved]).code, 6, "too old to rely on");
    let _alarms = town.run(&["audit", "watch", &town.url(), "--data", &saved, "--once"]);
    let said = town.run(&["verify", &saved, "--hash", &town.hash()]);
    assert!(said.code == 0 && said.err.contains("as of "), "{said:?}");
}

#[test]
fn a_receipt_is_checked_against_somebody() {
    let town = town();
    let saved = town.folder.path().join("saved");
    assert_eq!(verified(&town, &["--save", &saved.display().to_string()]).code, 0);
    let receipts = saved.join("k1.example+log+keeper/receipts");
    let (receipt, charter) = (receipts.join("3.tlog-proof"), town.charter_file().display().to_string());
    let file = receipt.display().to_string();
    let said = town.run(&["verify", &file, "--charter", &charter, "--json"]);
    let document = said.document();
    assert_eq!((said.code, document["type"].as_str()), (0, Some("evaluation")), "{said:?}");
    assert_eq!(document["owner"].as_str(), Some("Millbrook Police Department"));
    assert_eq!(town.run(&["verify", &file]).code, 2, "the trust file beside it is nobody's word");
    let trust = receipts.with_file_name("policy").display().to_string();
    let said = town.run(&["verify", &file, "--trust", &trust]);
    assert!(said.code == 0 && !said.out.contains("valid"), "{said:?}");
    let alone = town.folder.path().join("alone.tlog-proof");
    std::fs::copy(&receipt, &alone).unwrap();
    assert_eq!(town.run(&["verify", &alone.display().to_string()]).code, 2, "nobody to trust");
    assert_eq!(town.run(&["verify", &alone.display().to_string(), "--charter", &charter]).code, 0);
    write(&receipts.join("3.leaf"), b"{}");
    let said = town.run(&["verify", &file, "--charter", &charter]);
    assert!(said.code == 5 && said.err.contains("evidence"), "{said:?}");
}

#[test]
fn an_altered_register_is_a_lie_with_evidence() {
    let town = town();
    let altered = town.folder.path().join("altered");
    copy(town.public(keeper(2)), &altered);
    flip(&altered.join("tile/entries/000.p/4"), 200);
    town.show(keeper(2), &altered);
    let said = verified(&town, &["--json"]);
    let document = said.document();
    assert_eq!((said.code, document["valid"].as_bool()), (5, Some(false)), "{said:?}");
    let lied: Vec<_> = document["logs"].as_array().unwrap().iter().filter(|log| log["lied"] == true).collect();
    assert!(lied.len() == 1 && lied[0]["log"].as_str().unwrap().contains('2'), "{document}");
    let file = evidence(&said, &document);
    // Altered bytes are the word of whoever shows them, which the program says.
    let shown = town.run(&["verify", &file.display().to_string()]);
    assert!(shown.code == 7 && shown.out.contains("not proved"), "{shown:?}");
    let people = verified(&town, &[]);
    assert!(people.code == 5 && people.out.contains("NOT VALID: somebody lied"), "{people:?}");
    assert!(people.out.contains("LIED") && people.out.contains("evidence: lockplate-evidence/"), "{people:?}");
}

#[test]
fn a_fork_ends_the_watch_with_proof() {
    let mut town = town();
    let mut twin = PaperTown::found();
    twin.good_search(0xb2, now() - 2 * 86_400);
    twin.publish();
    let data = town.folder.path().join("data");
    let (data, charter) = (data.display().to_string(), town.charter_file().display().to_string());
    let watch = ["audit", "watch", &charter, "--data", &data, "--once", "--json"];
    let said = town.run(&watch);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.lines().iter().all(|event| event["event"] == "log"), "{said:?}");
    let said = town.run(&watch);
    assert_eq!(said.code, 0, "{said:?}");

    // The same key signs another history of the same length.
    town.show(keeper(1), twin.public(keeper(1)));
    let said = town.run(&watch);
    assert_eq!(said.code, 5, "{said:?}");
    let events = said.lines();
    let lied = events.iter().find(|event| event["event"] == "lied").unwrap();
    let file = lied["evidence"].as_str().unwrap();
    assert!(events.iter().any(|event| event["alarm"]["rule"] == "fork"), "{said:?}");
    let proved = town.run(&["verify", file, "--charter", &charter, "--json"]);
    assert_eq!((proved.code, proved.document()["proved"].as_bool()), (5, Some(true)), "{proved:?}");

    // It shows the first again: what was proved is not forgotten, by the next run or by whoever looks at the folder.
    let honest = town.public(keeper(1)).to_path_buf();
    town.show(keeper(1), &honest);
    assert_eq!(town.run(&watch).code, 5);
    let said = town.run(&["verify", &data, "--hash", &town.hash()]);
    assert!(said.code == 5 && said.out.contains("ALARM M7"), "{said:?}");
    town.show(keeper(1), twin.public(keeper(1)));

    // And a longer one: the notes alone do not show it, the proof in the file does.
    twin.good_search(0xb3, now() - 86_400);
    twin.publish();
    town.good_search(0xa2, now() - 86_400);
    let without_once = ["audit", "watch", &charter, "--data", &data, "--every", "1"];
    let said = town.run(&without_once);
    assert_eq!(said.code, 5, "a fork ends it without --once as well: {said:?}");
    let line = said.out.lines().find(|line| line.contains("LIED")).unwrap();
    let file = line.rsplit("evidence: ").next().unwrap();
    let proved = town.run(&["verify", file, "--json"]);
    assert_eq!((proved.code, proved.document()["proved"].as_bool()), (5, Some(true)), "{proved:?}");
}

#[test]
fn stale_is_not_valid_and_not_a_lie() {
    let mut town = town();
    let saved = now();
    town.publish_one(keeper(3), saved - 86_500, &[1, 2]);
    let said = verified(&town, &["--json"]);
    assert_eq!((said.code, said.document()["valid"].as_bool()), (6, Some(false)), "{said:?}");
    let data = town.folder.path().join("data").display().to_string();
    let watched = town.run(&["audit", "watch", &town.url(), "--data", &data, "--once", "--json"]);
    assert_eq!(watched.code, 7, "{watched:?}");
    assert!(watched.lines().iter().any(|event| event["number"] == "M8"), "{watched:?}");
    // Too few confirmations are none.
    town.publish_one(LogName::Recorder, saved, &[1]);
    town.publish_one(keeper(3), saved, &[1, 2]);
    let said = verified(&town, &[]);
    assert!(said.code == 6 && said.out.contains("too few witnesses"), "{said:?}");
    town.publish();
    assert_eq!(verified(&town, &[]).code, 0);
}

#[test]
fn a_register_that_is_away_is_unavailable() {
    let town = town();
    town.show(DESK, Path::new(""));
    let said = verified(&town, &[]);
    assert!(said.code == 6 && said.out.contains("NOT SEEN") && !said.out.contains("\nvalid"), "{said:?}");
}

#[test]
fn broken_rules_are_alarms_and_no_lie() {
    // Granted and answered by one keeper alone; answered and never disclosed; answered without a request.
    let mut town = town();
    let long_ago = now() - 86_400 - 3_600;
    town.request(keeper(1), 0xb1, long_ago);
    town.evaluation(keeper(1), 0xb1, long_ago + 2);
    town.disclosure(0xb1, long_ago + 3);
    town.publish();
    let said = verified(&town, &["--json"]);
    assert_eq!(said.code, 7, "{said:?}");
    let found = rules(&said.document());
    assert!(found.iter().any(|rule| rule == "twin-missing"), "{found:?}");

    for place in 1..=3 {
        town.request(keeper(place), 0xb2, long_ago + 10);
    }
    for place in 1..=2 {
        town.evaluation(keeper(place), 0xb2, long_ago + 12);
    }
    town.evaluation(keeper(2), 0xb3, long_ago + 20);
    // The desk's register is known beyond the day it had.
    town.good_search(0xb4, now() - 60);
    town.publish();
    let data = town.folder.path().join("data").display().to_string();
    let watch = ["audit", "watch", &town.url(), "--data", &data, "--once"];
    let said = town.run(&watch);
    assert_eq!(said.code, 7, "{said:?}");
    for rule in ["M1", "M2", "M3"] {
        assert!(said.out.contains(&format!("ALARM {rule}")), "{rule}: {said:?}");
    }
    let said = verified(&town, &["--json"]);
    let found = rules(&said.document());
    for rule in ["evaluation-without-request", "disclosure-missing"] {
        assert!(found.iter().any(|found| found == rule), "{rule}: {found:?}");
    }
    let save = town.folder.path().join("save").display().to_string();
    let document = verified(&town, &["--json", "--save", &save]).document();
    let alarms = document["evidence"].as_array().unwrap();
    let first: Value = serde_json::from_slice(&std::fs::read(alarms[0].as_str().unwrap()).unwrap()).unwrap();
    assert!(first["leaves"][0]["leaf"].as_str().unwrap().starts_with('{'), "{first}");
}

/// No honest witness confirms a fork: the log's own signature convicts it.
#[test]
fn a_fork_that_nobody_confirmed_is_proof_as_well() {
    let town = town();
    let mut twin = PaperTown::found();
    twin.good_search(0xb2, now() - 2 * 86_400);
    twin.publish_one(keeper(1), now(), &[]);
    let (data, charter) =
        (town.folder.path().join("data").display().to_string(), town.charter_file().display().to_string());
    let watch = ["audit", "watch", &charter, "--data", &data, "--once", "--json"];
    assert_eq!(town.run(&watch).code, 0);
    town.show(keeper(1), twin.public(keeper(1)));
    let said = town.run(&watch);
    assert_eq!(said.code, 5, "{said:?}");
    let events = said.lines();
    let file = events.iter().find(|event| event["event"] == "lied").unwrap()["evidence"].as_str().unwrap();
    let proved = town.run(&["verify", file, "--charter", &charter, "--json"]);
    assert_eq!((proved.code, proved.document()["proved"].as_bool()), (5, Some(true)), "{proved:?}");
    assert!(events.iter().any(|event| event["alarm"]["rule"] == "fork"), "{said:?}");
}

/// A log that shows its readers one history and a witness another.
#[test]
fn a_witness_that_confirmed_another_history_convicts_the_log() {
    let town = town();
    town.record(2, keeper(1), &town);
    assert_eq!(verified(&town, &[]).code, 0, "its record is of this history");
    let mut twin = PaperTown::found();
    twin.good_search(0xb2, now() - 2 * 86_400);
    town.record(2, keeper(1), &twin);
    let said = verified(&town, &["--json"]);
    convicted(&town, &said);
}

/// A log that shows its readers less than a witness confirmed: no lie is proved, and nothing is valid.
#[test]
fn a_log_that_shows_less_than_a_witness_confirmed_is_not_valid() {
    let mut town = town();
    town.good_search(0xb4, now() - 3_600);
    town.record(2, keeper(1), &town);
    let said = verified(&town, &["--json"]);
    assert_eq!(said.code, 6, "{said:?}");
    assert!(said.out.contains("a witness confirmed"), "{said:?}");
    town.publish();
    assert_eq!(verified(&town, &[]).code, 0);
}

/// A witness confirmed more, and of another history: the log's own tiles there convict it.
#[test]
fn a_witness_that_confirmed_more_of_another_history_convicts_the_log() {
    let town = town();
    let mut twin = PaperTown::found();
    twin.good_search(0xb2, now() - 2 * 86_400);
    twin.good_search(0xb4, now() - 3_600);
    twin.publish();
    town.record(2, keeper(1), &twin);
    // Its server shows the old checkpoint beside the tiles of the other history.
    let mixed = town.folder.path().join("mixed");
    copy(twin.public(keeper(1)), &mixed);
    std::fs::copy(town.public(keeper(1)).join("checkpoint"), mixed.join("checkpoint")).unwrap();
    let data = town.folder.path().join("data").display().to_string();
    let charter = town.charter_file().display().to_string();
    let watch = ["audit", "watch", &charter, "--data", &data, "--once", "--json"];
    assert_eq!(town.run(&watch).code, 6, "nobody shows the tiles of what is confirmed");
    town.show(keeper(1), &mixed);
    let said = town.run(&watch);
    assert_eq!(said.code, 5, "{said:?}");
    let file = said.lines().iter().find_map(|line| Some(line["evidence"].as_str()?.to_owned())).unwrap();
    let proved = town.run(&["verify", &file, "--json"]);
    assert_eq!((proved.code, proved.document()["proved"].as_bool()), (5, Some(true)), "{proved:?}");
    // The alarm names the file that convicts.
    let alarm = said.lines().into_iter().find(|line| line["alarm"]["rule"] == "fork").unwrap();
    assert_eq!(alarm["evidence"].as_str(), Some(file.as_str()), "{alarm}");
}

/// A witness that was shown the other history confirmed nothing, and is the only one that knows.
#[test]
fn a_witness_that_refused_another_history_convicts_the_log() {
    let town = town();
    town.refuse(3, keeper(1), &town);
    assert_eq!(verified(&town, &[]).code, 0, "twice the same head is no fork, whatever the witness says");
    let mut twin = PaperTown::found();
    twin.good_search(0xb2, now() - 2 * 86_400);
    town.refuse(3, keeper(1), &twin);
    let said = verified(&town, &["--json"]);
    convicted(&town, &said);
    // What the witness serves can be handed to somebody as it is; a spoilt file in it does not hide the one that convicts.
    let served = town.refused(3, keeper(1));
    let mut shown: Value = serde_json::from_slice(&served).unwrap();
    let mut spoilt = shown["forks"][0].clone();
    spoilt["notes"][1] = spoilt["notes"][0].clone();
    shown["forks"].as_array_mut().unwrap().insert(0, spoilt);
    for (body, code) in
        [(served, 5), (shown.to_string().into_bytes(), 5), (br#"{"frozen":false,"forks":[]}"#.to_vec(), 3)]
    {
        let file = town.folder.path().join("shown.json");
        write(&file, &body);
        assert_eq!(town.run(&["verify", &file.display().to_string()]).code, code);
    }
    // Also while the log itself is away.
    town.show(keeper(1), Path::new(""));
    let said = verified(&town, &["--json"]);
    assert_eq!(said.code, 5, "{said:?}");
}

#[test]
fn a_leaf_of_the_wrong_form_or_log_is_an_alarm() {
    let mut town = town();
    town.say_bytes(keeper(1), now(), b"{\"v\":1 }");
    town.publish();
    let said = verified(&town, &["--json"]);
    assert_eq!((said.code, rules(&said.document())), (7, vec!["leaf-malformed".to_owned()]), "{said:?}");
}

#[test]
fn an_alarm_is_told_once_and_its_end_as_well() {
    let mut town = town();
    let data = town.folder.path().join("data").display().to_string();
    let long_ago = now() - 86_400 - 3_600;
    for place in 1..=3 {
        town.request(keeper(place), 0xb2, long_ago);
    }
    for place in 1..=2 {
        town.evaluation(keeper(place), 0xb2, long_ago + 2);
    }
    town.publish();
    let url = town.url();
    let mut watching = paper::command();
    watching.args(["audit", "watch", &url, "--data", &data, "--every", "1", "--json"]);
    let mut child = watching.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut told = std::io::BufRead::lines(out).map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let alarm = told.find(|event| event["event"] == "alarm").unwrap();
    assert_eq!(alarm["number"], "M3", "{alarm}");
    town.disclosure(0xb2, now());
    town.publish();
    let next = told.find(|event| event["event"] != "log").unwrap();
    assert_eq!((next["event"].as_str(), next["number"].as_str()), (Some("over"), Some("M3")), "{next}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_later_run_goes_on_where_the_last_one_ended() {
    let mut town = town();
    let data = town.folder.path().join("data").display().to_string();
    let charter = town.charter_file().display().to_string();
    let long_ago = now() - 86_400 - 3_600;
    for place in 1..=3 {
        town.request(keeper(place), 0xb2, long_ago);
    }
    for place in 1..=2 {
        town.evaluation(keeper(place), 0xb2, long_ago + 2);
    }
    town.publish();
    let watch = ["audit", "watch", &charter, "--data", &data, "--once", "--json"];
    let told = |event: &str, said: &Said| said.lines().iter().filter(|line| line["event"] == event).count();
    let first = town.run(&watch);
    assert_eq!((first.code, told("alarm", &first), told("stands", &first)), (7, 1, 0), "{first:?}");
    assert!(told("log", &first) >= 5, "{first:?}");

    // The alarm's file is checked by somebody else: its entries are proved, and one that was changed is found.
    let file = first.lines().iter().find_map(|line| Some(line["evidence"].as_str()?.to_owned())).unwrap();
    let proved = town.run(&["verify", &file, "--charter", &charter, "--json"]);
    let document = proved.document();
    assert_eq!((proved.code, document["number"].as_str()), (7, Some("M3")), "{proved:?}");
    assert_eq!(document["entries_proved"].as_array().unwrap().len(), 2, "{document}");
    assert_eq!(town.run(&["verify", &file]).code, 2, "whose keys?");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = town.folder.path().join("changed.json");
    let mut alarm: Value = serde_json::from_str(&text).unwrap();
    let leaf = alarm["leaves"][0]["leaf"].as_str().unwrap().replace("\"elements\":", "\"elements\":1");
    alarm["leaves"][0]["leaf"] = leaf.into();
    write(&changed, alarm.to_string().as_bytes());
    assert_eq!(town.run(&["verify", &changed.display().to_string(), "--charter", &charter]).code, 5);

    let second = town.run(&watch);
    assert_eq!((second.code, told("alarm", &second), told("stands", &second)), (7, 0, 1), "{second:?}");
    assert_eq!(told("log", &second), 0, "nothing has grown: {second:?}");
    town.disclosure(0xb2, now());
    town.publish();
    let third = town.run(&watch);
    assert_eq!((third.code, told("over", &third), told("log", &third)), (0, 1, 1), "{third:?}");
    write(&town.folder.path().join("data/told.json"), b"{");
    assert_eq!(town.run(&watch).code, 3);
}

#[test]
fn the_report_counts_what_the_registers_say() {
    let mut town = town();
    for place in 1..=3 {
        town.request(keeper(place), 0xc1, now() - 3_600);
    }
    town.publish();
    let said = town.run(&["audit", "report", &town.url(), "--json"]);
    let document = said.document();
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(document["figures"]["requests"]["granted"], 2, "{document}");
    assert_eq!(document["figures"]["period"], "all", "{document}");
    let csv = town.run(&["audit", "report", &town.url(), "--csv", "--month", "1999-01"]);
    assert!(csv.out.starts_with("figure,key,count,number\nrequests,,granted,0\n"), "{csv:?}");
    assert_eq!(town.run(&["audit", "report", &town.url(), "--month", "1999-13"]).code, 2);
}

/// Real keepers, a real agency, a real search: who says that it is valid, and what is said once a keeper's folder was altered.
#[test]
fn a_real_town_is_valid_until_a_keeper_alters_its_register() {
    let mut town = town::Town::start(town::Terms::default());
    let read = town.post_all(&["REAL1"], 3);
    town.find_all(&read);
    let charter = town.home("agency").join("charter.auth").display().to_string();
    let hash: String = town.charter.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let verify = |target: &str, more: &[&str]| {
        let line = [&["verify", target, "--json"], more].concat();
        let done = paper::command().args(line).current_dir(town.folder.path()).output().unwrap();
        let document: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        (done.status.code().unwrap_or(-1), document, String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (code, document, said) = verify(&charter, &["--hash", &hash]);
    assert_eq!((code, document["valid"].as_bool()), (0, Some(true)), "{document} {said}");
    assert_eq!(document["keepers"].as_array().unwrap().len(), 3, "{document}");
    assert!(document["confirmed_by"].as_array().unwrap().len() >= 2, "{document}");
    let url = format!("{}#{hash}", town.charter.charter().keepers[0].url);
    let (code, document, said) = verify(&url, &[]);
    assert_eq!(code, 0, "{document} {said}");

    // Keeper 2 stops, and somebody with its TLS key shows an altered copy of its register.
    town.keepers[1].take().unwrap().stop();
    let entry = &town.charter.charter().keepers[1];
    let folder = entry.log_key.name().as_str().replace('/', "+");
    let altered = town.folder.path().join("altered");
    copy(&town.data("keeper-2").join("log").join(folder).join("public"), &altered);
    let bundle = std::fs::read_dir(altered.join("tile/entries/000.p")).unwrap().next().unwrap().unwrap().path();
    for entry in std::fs::read_dir(altered.join("tile/entries/000.p")).unwrap() {
        flip(&entry.unwrap().path(), 100);
    }
    assert!(bundle.is_file());
    let key = town.data("keeper-2").join("keys/tls.pem");
    let _server = paper::serve(town.runtime(), &key, &entry.url, "/log/keeper", &altered);
    let (code, document, said) = verify(&charter, &["--hash", &hash]);
    assert_eq!(code, 5, "{document} {said}");
    let lied: Vec<_> = document["logs"].as_array().unwrap().iter().filter(|log| log["lied"] == true).collect();
    assert!(lied.len() == 1 && lied[0]["origin"] == entry.log_key.name().as_str(), "{document}");
    let file = town.folder.path().join(document["evidence"][0].as_str().unwrap());
    assert!(file.is_file(), "{document}");
}

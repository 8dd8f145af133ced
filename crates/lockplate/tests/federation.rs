//! A search of two owners at the command line, with real processes: a town that answers, and one that nobody has started. Answers come
//! owner by owner, the silent one is named, and one number goes on with what is open.
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

mod town;

use std::path::Path;

use serde_json::Value;
use town::{BINARY, Terms, Town, command, write};

const PLATE: &str = "KLM8067";

/// Exit code, lines of standard output, standard error.
fn search(town: &Town, words: &[&str]) -> (i32, Vec<String>, String) {
    let config = town.home("officer").join("officer.toml");
    let done = command(BINARY).arg("--config").arg(config).arg("search").args(words).output().unwrap();
    let stdout = String::from_utf8(done.stdout).unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    (done.status.code().unwrap_or(-1), stdout.lines().map(str::to_owned).collect(), stderr)
}

const FACTS: &str = "The owner reported the grey van stolen from the yard this morning.";

/// The plate and the facts in files, as in real use; then the words are those of [`asked`].
fn search_by_files(town: &Town, words: &[&str]) -> (i32, Vec<String>, String) {
    let file = |name: &str, text: &str| {
        let path = town.home("officer").join(name);
        write(&path, text.as_bytes());
        path.display().to_string()
    };
    let (plate, facts) =
        (file("plate.txt", &format!("{PLATE}\n")), file("facts.txt", &FACTS.replace(" from", "\nfrom")));
    let mut line = asked(words);
    for (from, to) in [("--plate", ["--plate-file", &plate]), ("--facts", ["--facts-file", &facts])] {
        let at = line.iter().position(|word| *word == from).unwrap();
        line.splice(at..at + 2, to);
    }
    search(town, &line)
}

fn asked<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let facts = ["--facts", FACTS];
    let plate = ["--plate", PLATE, "--state", "US-CT", "--purpose", "stolenVehicle", "--case", "26-1234"];
    let window = ["--from", "-30m", "--to", "now", "--offence", "felony"];
    [words, &plate, &facts, &window].concat()
}

fn documents(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Names the charter of `other` to the desk and to the officer of `town`.
fn introduce(town: &Town, other: &Town) {
    let hash: String = other.charter.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let add = |file: &Path, change: &dyn Fn(String) -> String| {
        let text = std::fs::read_to_string(file).unwrap();
        write(file, change(text).as_bytes());
    };
    for party in ["agency", "officer"] {
        write(&town.home(party).join("eastport.auth"), other.charter.bytes());
    }
    let owner = format!("[desk]\n[[desk.owner]]\ncharter = \"eastport.auth\"\nhash = \"{hash}\"\n");
    add(&town.home("agency").join("agency.toml"), &|text| text.replacen("[desk]\n", &owner, 1));
    let owner = format!("[[owner]]\nname = \"Eastport\"\ncharter = \"eastport.auth\"\ncharter_hash = \"{hash}\"\n");
    add(&town.home("officer").join("officer.toml"), &|text| format!("{text}{owner}"));
}

#[test]
fn answers_come_owner_by_owner_and_one_number_goes_on_with_what_is_open() {
    let mut town = Town::found(Terms::default());
    let silent = Town::found(Terms::default());
    introduce(&town, &silent);
    town.start_everything();
    let reads = town.post_all(&[PLATE], 2);
    town.wait_closed();

    // In words: the reads under their owner's name, who is silent, the counts; 6, because one owner has not said its last word.
    let (code, lines, stderr) = search_by_files(&town, &["--all-owners", "--wait", "8"]);
    let text = lines.join("\n");
    assert_eq!(code, 6, "{text}\n{stderr}");
    assert!(text.contains("Millbrook Police Department: 2 reads found ("), "{text}");
    let rows = lines.iter().filter(|line| line.contains(PLATE) && line.contains("Millbrook"));
    assert_eq!(rows.count(), reads.len(), "{text}");
    assert!(text.contains("Eastport: too few keepers can be reached"), "{text}");
    assert_eq!(lines.last().unwrap(), "1 of 2 answered, 1 with reads, 1 cannot be reached.");
    let number = stderr.lines().find_map(|line| line.strip_prefix("Search ")).unwrap();
    assert!(stderr.contains(&format!("go on with: lockplate search fetch {number}")), "{stderr}");

    // By the number: where both stand, and once more what is open; who has answered is counted and not asked again.
    let (code, lines, _) = search(&town, &["status", number]);
    assert_eq!((code, lines.len()), (0, 2), "{lines:?}");
    assert!(lines[0].starts_with("Millbrook Police Department: answered and accounted for"), "{lines:?}");
    assert!(lines[1].starts_with("Eastport: too few keepers can be reached; no answer yet of Keeper 1"), "{lines:?}");
    let (code, lines, _) = search(&town, &["fetch", number, "--wait", "1", "--json"]);
    let told = documents(&lines);
    assert_eq!((code, told.len()), (6, 2), "{lines:?}");
    assert_eq!(told[0]["owner"]["name"], "Eastport");
    assert_eq!((&told[0]["exit"], &told[0]["search"]), (&Value::from(6), &Value::from(number)));
    let summary = &told[1]["summary"];
    assert_eq!(
        (&summary["owners"], &summary["with_reads"], &summary["unavailable"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!((&told[1]["request"], &told[1]["exit"]), (&Value::from(number), &Value::from(6)));

    // As documents: a line an owner, then the summary.
    let (code, lines, _) =
        search(&town, &asked(&["--owner", "eastport", "--owner", town.agency_id(), "--wait", "8", "--json"]));
    let told = documents(&lines);
    assert_eq!((code, told.len()), (6, 3), "{lines:?}");
    assert!(told.iter().all(|one| one["schema"] == "lockplate/search/1"));
    let found = told.iter().find(|one| one["result"] == "found").unwrap();
    assert_eq!((&found["owner"]["id"], found["found"].as_array().unwrap().len()), (&town.agency_id().into(), 2));

    // Filed and left: the number alone on standard output. One owner by name is one document, as ever.
    let (code, lines, _) = search(&town, &[&["file"], asked(&["--all-owners"]).as_slice()].concat());
    assert_eq!((code, lines.len(), lines[0].len()), (0, 1, 64), "{lines:?}");
    let (code, lines, stderr) = search(&town, &asked(&["--owner", "millbrook police department", "--json"]));
    let told = documents(&lines);
    assert_eq!((code, told.len()), (0, 1), "{lines:?} {stderr}");
    assert_eq!((&told[0]["result"], &told[0]["owner"]["id"]), (&"found".into(), &town.agency_id().into()));
    assert!(told[0]["search"].is_null() && told[0]["summary"].is_null());

    // Wrong words.
    let (code, _, stderr) = search(&town, &asked(&["--owner", "Westport"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("--owner: expected the name or id of an owner of officer.toml"), "{stderr}");
    town.stop_and_check();
    town.nobody_panicked();
}

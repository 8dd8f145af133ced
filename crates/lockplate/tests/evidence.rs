//! An evidence package and a hold from the command line, with real processes: what a court and a records custodian can do with them
//! when the town is gone.
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
use town::{BINARY, Terms, Town, command, pause, write};

const PLATE: &str = "KLM8067";
const HELD: &str = "XYT4431";

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or(Value::Null)
    }
}

fn run(at: &Path, args: &[&str]) -> Said {
    let output = command(BINARY).current_dir(at).args(args).output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_court_and_a_custodian_need_nobody_of_the_town() {
    let mut town = Town::start(Terms::default());
    let mut lan = town.lan();
    for plate in [PLATE, HELD, PLATE] {
        town.post(&mut lan, plate).unwrap();
    }
    town.wait_closed();
    let court = tempfile::tempdir().unwrap();
    let at = court.path();
    let package = at.join("case").display().to_string();
    let kept = town.search_with(PLATE, &["--package", &package]);
    assert_eq!(kept.code, 0, "{} {}", kept.document, kept.stderr);
    assert_eq!(kept.document["result"], "found", "the result is shown as well");

    let supervisor = town.supervisor().display().to_string();
    let made = run(at, &["sign", "new-case-key", "--key", "case.key", "--name", "Records, Millbrook", "--json"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let fingerprint = made.document()["case_key"].as_str().unwrap().to_owned();
    assert_eq!(fingerprint.len(), 64);
    assert_eq!(
        run(at, &["sign", "new-case-key", "--key", "case.key", "--name", "Records"]).code,
        3,
        "never overwritten"
    );
    let public = at.join("case.key.pub").display().to_string();
    let folder = at.display().to_string();
    let alone = town.search_with(HELD, &["--hold", "--case-key", &public, "--hold-folder", &folder]);
    assert_eq!(alone.code, 4, "a supervisor must sign: {} {}", alone.document, alone.stderr);
    assert_eq!(town.search_with(HELD, &["--hold"]).code, 2, "held for whom?");
    let hold = ["--hold", "--case-key", &public, "--hold-folder", &folder, "--second", &supervisor];
    let mut held = town.search_with(HELD, &hold);
    // The new list of officers reaches the keepers within seconds.
    for _again in 0..20 {
        if held.code == 0 {
            break;
        }
        pause(500);
        held = town.search_with(HELD, &hold);
    }
    assert_eq!(held.code, 0, "{} {}", held.document, held.stderr);
    assert!(held.document["found"].is_null() && !held.document.to_string().contains(HELD), "what is held is not shown");
    let file = held.document["file"].as_str().unwrap().to_owned();
    let charter = town.home("officer").join("charter.auth");
    let kept_charter = at.join("charter.auth");
    write(&kept_charter, &std::fs::read(charter).unwrap());
    let hash: String = town.charter.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    town.stop_all();
    drop(town);

    // Another machine, no network, nobody left of the town.
    let good = run(at, &["verify", "case", "--hash", &hash]);
    assert_eq!(good.code, 0, "{} {}", good.out, good.err);
    for part in [
        "valid: 2 reads, each sealed and logged before anybody asked; the page says the same",
        "owner: Millbrook Police Department",
        "keepers, 2 of 3 must agree",
        "under the rules: base.search (asked again, they can give this decision)",
        "confirmed by: Keeper ",
        "not proved: that nothing else was found",
    ] {
        assert!(good.out.contains(part), "{part}: {}", good.out);
    }
    assert!(!good.out.contains(PLATE), "the plate is in the package, not on the screen");
    let by_file = run(at, &["verify", "case/package.json", "--charter", "charter.auth", "--json"]);
    assert_eq!(by_file.code, 0, "{}", by_file.err);
    let document = by_file.document();
    assert_eq!((document["kind"].as_str(), document["page"].as_bool()), (Some("package"), Some(true)), "{document}");
    assert_eq!((document["reads"].as_u64(), document["valid"].as_bool()), (Some(2), Some(true)));
    let unpinned = run(at, &["verify", "case"]);
    assert!(unpinned.code == 2 && unpinned.err.contains(&hash), "{}", unpinned.err);
    assert_eq!(run(at, &["verify", "case", "--hash", &"ab".repeat(32)]).code, 5);

    // Whatever is changed: exit 5, with what it was.
    let (json, page) = (at.join("case/package.json"), at.join("case/index.html"));
    let (whole, shown) = (std::fs::read(&json).unwrap(), std::fs::read(&page).unwrap());
    let text = String::from_utf8(whole.clone()).unwrap();
    let time = text.split("\"time\":\"").nth(1).unwrap()[..24].to_owned();
    let moved = time.replace(&time[14..16], if &time[14..16] == "59" { "58" } else { "59" });
    for (from, to, reason) in [
        (format!("\"plate\":\"{PLATE}\""), "\"plate\":\"KLM8068\"".to_owned(), "shown otherwise than it was sealed"),
        (format!("\"time\":\"{time}\""), format!("\"time\":\"{moved}\""), "shown otherwise than it was sealed"),
        ("\"maker\":\"lockplate".to_owned(), "\"maker\":\"somebody".to_owned(), "after the officer signed"),
        (
            "\"schema\":\"lockplate/package/1\"".to_owned(),
            "\"schema\":\"lockplate/package/2\"".to_owned(),
            "the form of a package",
        ),
        ("{".to_owned(), "[".to_owned(), "the form of a package"),
    ] {
        assert!(text.contains(&from), "{from}");
        write(&json, text.replacen(&from, &to, 1).as_bytes());
        let bad = run(at, &["verify", "case", "--charter", "charter.auth"]);
        assert!(bad.code == 5 && bad.err.contains(reason), "{from}: {} {}", bad.code, bad.err);
    }
    for field in
        ["charter", "filed", "statement", "grant", "disclosure", "receipts", "header", "close", "proof", "key", "rules"]
    {
        let mut changed = whole.clone();
        let inside = text.find(&format!("\"{field}\":")).unwrap() + field.len() + 30;
        changed[inside] ^= 1;
        write(&json, &changed);
        let bad = run(at, &["verify", "case", "--charter", "charter.auth"]);
        assert_eq!(bad.code, 5, "{field}: {}", bad.err);
    }
    write(&json, &whole);
    write(&page, String::from_utf8(shown.clone()).unwrap().replacen(PLATE, "KLM8068", 1).as_bytes());
    let bad = run(at, &["verify", "case", "--charter", "charter.auth"]);
    assert!(bad.code == 5 && bad.err.contains("the page beside the package"), "{}", bad.err);
    std::fs::remove_file(&page).unwrap();
    assert_eq!(run(at, &["verify", "case", "--charter", "charter.auth"]).code, 0, "the page is for people");

    // The custodian opens the hold into a package, which is checked like any other.
    let open =
        run(at, &["search", "open-hold", &file, "--key", "case.key", "--package", "opened", "--hash", &hash, "--json"]);
    assert_eq!(open.code, 0, "{} {}", open.out, open.err);
    assert_eq!((open.document()["reads"].as_u64(), open.document()["pinned"].as_bool()), (Some(1), Some(true)));
    let checked = run(at, &["verify", "opened", "--hash", &hash, "--json"]).document();
    assert_eq!((checked["held"].as_bool(), checked["exit"].as_u64()), (Some(true), Some(0)), "{checked}");
    assert_eq!(run(at, &["sign", "new-case-key", "--key", "other.key", "--name", "Somebody"]).code, 0);
    assert_eq!(run(at, &["search", "open-hold", &file, "--key", "other.key", "--package", "x"]).code, 3);
    let mut altered = std::fs::read(at.join(&file)).unwrap();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    write(&at.join("altered.sealed"), &altered);
    let bad = run(at, &["search", "open-hold", "altered.sealed", "--key", "case.key", "--package", "x"]);
    assert!(bad.code == 5 && bad.err.contains("altered.sealed"), "{} {}", bad.code, bad.err);
    assert!(!at.join("x").exists());
    let taken = run(at, &["search", "open-hold", &file, "--key", "case.key", "--package", "opened"]);
    assert!(taken.code == 3 && taken.err.contains("not empty"), "{} {}", taken.code, taken.err);
}

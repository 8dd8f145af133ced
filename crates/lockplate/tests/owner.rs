//! A registered owner's two rights, end to end with real processes: the reads of the own vehicle (Connecticut Public Act 26-14; not
//! legal advice), and "was my plate searched?". What an officer of the agency gets is refused by rule without the custodian's
//! paper; what the owner asks is compared on the owner's own machine.
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

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use town::{BINARY, COURT, CUSTODIAN, JUDGE, Terms, Town, command, now_ms, wait_until, write};

const OWN: &str = "KLM8067";
const NEIGHBOUR: &str = "XYT4431";
const OTHER: &str = "PRW9936";

/// Runs the binary and gives its one document.
fn run(args: &[&str]) -> (i32, Value, Output) {
    let output = command(BINARY).args(args).output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap_or(-1), document, output)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

struct Counter {
    folder: PathBuf,
    key: PathBuf,
    charter: PathBuf,
    owner: String,
}

impl Counter {
    /// A proof of registration and the disclosure of its plate, signed with `lockplate sign`.
    fn ownership(&self, name: &str, plate: &str, consent: bool) -> (PathBuf, PathBuf) {
        let (order, auth) = (self.folder.join(format!("{name}.json")), self.folder.join(format!("{name}.auth")));
        let until = lockplate_core::Timestamp(u64::try_from(now_ms() / 1_000).unwrap() + 20 * 86_400);
        let body = json!({
            "kind": "ownership", "issuer": CUSTODIAN, "owner": self.owner, "person": "Jane Invented, born 1 January",
            "plates": [{ "state": "US-CT", "text": plate }], "registered": true, "co_registrants_consent": consent,
            "until": lockplate_core::json::time_text(until),
        });
        write(&order, body.to_string().as_bytes());
        let (code, _, output) = run(&[
            "sign",
            &order.display().to_string(),
            "--key",
            &self.key.display().to_string(),
            "--out",
            &auth.display().to_string(),
            "--yes",
        ]);
        assert_eq!(code, 0, "{}", text(&output));
        let disclosure = PathBuf::from(format!("{}.disclosure-1", auth.display()));
        (auth, disclosure)
    }

    /// A court's delay of notice for a request, signed and handed to every keeper.
    fn delay(&self, town: &Town, request: &str, issuer: &str, key: &str) -> (i32, Value, Output) {
        let (order, auth) = (self.folder.join("delay.json"), self.folder.join("delay.auth"));
        let until = lockplate_core::Timestamp(u64::try_from(now_ms() / 1_000).unwrap() + 250 * 86_400);
        let body = json!({
            "kind": "delay-notice", "issuer": issuer, "court": COURT, "docket": "26-18", "request": request,
            "until": lockplate_core::json::time_text(until),
        });
        write(&order, body.to_string().as_bytes());
        let _absent = std::fs::remove_file(&auth);
        let (order, auth) = (order.display().to_string(), auth.display().to_string());
        let key = town.home("people").join(key).display().to_string();
        let (code, _, output) = run(&["sign", &order, "--key", &key, "--out", &auth, "--yes"]);
        assert_eq!(code, 0, "{}", text(&output));
        let file = || run(&["--json", "sign", "file", &auth, &self.charter.display().to_string()]);
        let (first, again) = (file(), file());
        assert_eq!((first.0, &first.1), (again.0, &again.1), "a repeat is harmless");
        first
    }

    /// A code for a plate.
    fn code(&self, name: &str, plate: &str) -> (PathBuf, PathBuf) {
        let (file, out) = (self.folder.join(format!("{name}.plate")), self.folder.join(format!("{name}.code")));
        write(&file, plate.as_bytes());
        let (code, _, output) = run(&[
            "agency",
            "owner-code",
            "--plate-file",
            &file.display().to_string(),
            "--state",
            "US-CT",
            "--key",
            &self.key.display().to_string(),
            "--charter",
            &self.charter.display().to_string(),
            "--out",
            &out.display().to_string(),
        ]);
        assert_eq!(code, 0, "{}", text(&output));
        assert!(!text(&output).contains(plate), "the plate is in no trace");
        (file, out)
    }

    fn mine(&self, code: &Path, plate: &Path) -> (i32, Value, Output) {
        run(&[
            "--json",
            "audit",
            "mine",
            "--code",
            &code.display().to_string(),
            "--plate-file",
            &plate.display().to_string(),
            &self.charter.display().to_string(),
        ])
    }
}

#[test]
fn an_owner_gets_the_own_reads_by_rule_and_learns_who_searched() {
    let mut town = Town::found(Terms::default());
    for place in 1..=3 {
        let file = town.home(&format!("keeper-{place}")).join("keeper.toml");
        let quick = std::fs::read_to_string(&file).unwrap().replace("every_seconds = 60", "every_seconds = 1");
        assert!(quick.contains("every_seconds = 1"));
        write(&file, quick.as_bytes());
    }
    town.start_everything();
    let reads = town.post_all(&[OWN, NEIGHBOUR], 8);
    town.wait_closed();
    let counter = Counter {
        folder: town.home("counter"),
        key: town.home("people").join("records.pem"),
        charter: town.home("agency").join("charter.auth"),
        owner: town.agency_id().to_owned(),
    };

    // The reads of the own vehicle: by the custodian's paper, and by nothing less.
    let none = town.own_record(OWN, None);
    assert_eq!(none.code, 4, "{} {}", none.document, none.stderr);
    let (auth, disclosure) = counter.ownership("own", OWN, true);
    let granted = town.own_record(OWN, Some((&auth, &disclosure)));
    assert_eq!(granted.code, 0, "{} {}", granted.document, granted.stderr);
    let own = reads.iter().filter(|read| read.plate == OWN).count();
    assert_eq!(granted.times().len(), own);
    let (neighbour_auth, neighbour_disclosure) = counter.ownership("neighbour", NEIGHBOUR, false);
    for (plate, auth, disclosure) in [
        (NEIGHBOUR, &auth, &disclosure),
        (NEIGHBOUR, &neighbour_auth, &neighbour_disclosure),
        (OWN, &auth, &neighbour_disclosure),
    ] {
        let refused = town.own_record(plate, Some((auth, disclosure)));
        assert_eq!(refused.code, 4, "{plate}: {} {}", refused.document, refused.stderr);
        let said = refused.document.to_string();
        assert!(said.contains("base.owner-proof") && refused.times().is_empty(), "{said}");
    }

    // A search whose embargo is not over, of the own plate as well.
    let search = town.search(OWN);
    assert_eq!(search.code, 0, "{}", search.stderr);

    // A court puts off its notice: at every keeper, and not by whoever has some key.
    let number = search.document["request"].as_str().unwrap();
    for (issuer, key, expected) in [(JUDGE, "judge.pem", 0), (CUSTODIAN, "records.pem", 4)] {
        let (code, document, output) = counter.delay(&town, number, issuer, key);
        assert_eq!(code, expected, "{}", text(&output));
        assert_eq!(document["filed"].as_array().unwrap().len(), 3, "{document}");
    }

    // "Was my plate searched?": the owner access is open at once, the other is still closed.
    let (plate, code) = counter.code("own", OWN);
    let mut said = Value::Null;
    wait_until("the owner's entry opens", || {
        let (exit, document, output) = counter.mine(&code, &plate);
        assert!([0, 7].contains(&exit), "{}", text(&output));
        said = document;
        said["answer"]["verdict"] == "searched"
    });
    let searches = said["answer"]["searches"].as_array().unwrap();
    assert!(searches.iter().any(|one| one["purpose"] == "ownRecord" && one["decision"] == "granted"), "{said}");
    assert!(searches.iter().all(|one| one["purpose"] == "ownRecord"), "{said}");
    assert!(said["answer"]["closed"].as_u64().unwrap() >= 1 && said["answer"]["closed_until"].is_string(), "{said}");
    assert_eq!(said["silent"], json!({}), "{said}");

    // A plate that nobody asked for; another plate cannot be asked with one's own code; the code cannot be changed.
    let (other_plate, other) = counter.code("other", OTHER);
    let (exit, document, output) = counter.mine(&other, &other_plate);
    assert_eq!(exit, 0, "{}", text(&output));
    assert_eq!(document["answer"]["verdict"], "not_among_published", "{document}");
    assert!(document["answer"]["compared"].as_u64().unwrap() >= 1);
    let (exit, _, output) = counter.mine(&code, &other_plate);
    assert_eq!(exit, 2, "{}", text(&output));
    let altered = counter.folder.join("altered.code");
    std::fs::copy(&code, &altered).unwrap();
    let mut file: Value = serde_json::from_slice(&std::fs::read(&code).unwrap()).unwrap();
    file["elements"] = serde_json::from_slice::<Value>(&std::fs::read(&other).unwrap()).unwrap()["elements"].clone();
    write(&altered, file.to_string().as_bytes());
    let (exit, _, output) = counter.mine(&altered, &other_plate);
    assert_eq!(exit, 3, "{}", text(&output));

    // An auditor's round on a day on which nothing can be decided yet.
    let (exit, document, output) = run(&[
        "--json",
        "audit",
        "sample",
        "--auditor-key",
        &town.home("auditor").display().to_string(),
        "--data",
        &town.home("audit").display().to_string(),
        &counter.charter.display().to_string(),
    ]);
    assert_eq!(exit, 0, "{}", text(&output));
    assert_eq!(document["keepers"].as_array().unwrap().len(), 3);
    assert!(document["keepers"][0]["undecided"].as_u64().unwrap() > 0);

    // No keeper's disk and no trace knows the plates.
    town.stop_and_check();
    for place in 1..=3 {
        let data = town.data(&format!("keeper-{place}"));
        for file in ["keeper.db", "admin.sock"] {
            let bytes = std::fs::read(data.join(file)).unwrap_or_default();
            for plate in [OWN, NEIGHBOUR, OTHER] {
                assert!(!bytes.windows(plate.len()).any(|part| part == plate.as_bytes()), "{file}");
            }
        }
    }
    let traces = town.all_said();
    for plate in [OWN, NEIGHBOUR, OTHER] {
        assert!(!traces.contains(plate), "a trace names a plate");
    }
}

//! A toll operator with real processes: customers' passes leave sealed to the billing key and without a plate, a gate is answered, nobody
//! else's pass is handed to anybody, and no hot list is taken.
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

use axum::body::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::json::time_text;
use lockplate_core::vocabulary::ArchiveKind;
use lockplate_node::account::{GateAnswer, GateAsked, PassageCount};
use lockplate_node::intake::token_text;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use rusqlite::{Connection, OpenFlags};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use town::{BINARY, OPERATOR, Terms, Town, command, now_ms, pause, wait_until, write};

const DAY_MS: i64 = 86_400_000;

fn headers() -> HeaderMap {
    let bearer = HeaderValue::from_str(&format!("Bearer {}", token_text(&OPERATOR).as_str())).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, bearer), (CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

fn ask<T: DeserializeOwned>(town: &Town, plate: &str, state: Option<&str>) -> T {
    serde_json::from_slice(&try_to_ask(town, plate, state).unwrap()).unwrap()
}

fn try_to_ask(town: &Town, plate: &str, state: Option<&str>) -> Result<Bytes, String> {
    let asked = GateAsked { plate: plate.to_owned(), jurisdiction: state.map(str::to_owned) };
    let body = serde_json::to_vec(&asked).unwrap();
    let answer = town.runtime().block_on(town.agency_peer().post_with("/v1/gate", headers(), body));
    answer.map_err(|error| format!("{error:?}"))
}

/// Passages on the recorder's disk.
fn on_disk(town: &Town) -> i64 {
    let db = Connection::open_with_flags(town.data("agency").join("agency.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
    db.unwrap().query_row("SELECT count(*) FROM passage", [], |row| row.get(0)).unwrap()
}

fn restart(town: &mut Town) {
    town.agency.take().unwrap().stop();
    town.start_agency();
    town.wait_sealing();
}

#[test]
fn a_customer_is_billed_under_traffic_after_a_start_and_once() {
    let terms = Terms { archive_kind: ArchiveKind::Toll, ..Terms::default() };
    let mut town = Town::found(terms);
    let plates: Vec<String> = (10..40).map(|number| format!("KXT41{number}")).collect();
    let mut accounts = "plate,jurisdiction,account_id,valid_from,valid_to\n".to_owned();
    for (number, plate) in plates.iter().enumerate() {
        accounts.push_str(&format!("{plate},US-CT,A-{number},2026-01-01T00:00:00Z,2030-01-01T00:00:00Z\n"));
    }
    let file = town.home("people").join("accounts.csv");
    write(&file, accounts.as_bytes());
    town.start_everything();
    let customers: Vec<&str> = plates.iter().map(String::as_str).collect();

    wait_until("the accounts are read", || try_to_ask(&town, customers[0], Some("US-CT")).is_ok());
    // Strangers do not stop passing: there is no silence in which to write.
    town.post_all(&customers[..20], 20);
    let (strangers, refused) = town.post_for(1_000, &["ZZZ111", "ZZZ222"]);
    let written = on_disk(&town);
    eprintln!(
        "{written} of 20 customers on disk after {} strangers without a pause; {:?}",
        strangers.len(),
        refused.first()
    );
    assert!(written == 20 && strangers.len() > 10, "{written} {}", strangers.len());

    // The first after a start.
    restart(&mut town);
    town.post_all(&customers[20..25], 5);
    wait_until("the first customers are written", || on_disk(&town) == 25);

    // One pass, told before a restart and after it.
    let (_, line) = town.read(customers[25]);
    let door = town.door("own-0");
    let tell = |town: &Town| town.lan().post(&door, "application/x-ndjson", line.as_bytes()).unwrap().0;
    assert_eq!(tell(&town), 200);
    wait_until("the pass is written", || on_disk(&town) == 26);
    restart(&mut town);
    assert_eq!(tell(&town), 200);
    town.post_all(&customers[26..27], 1);
    wait_until("the pass after it is written", || on_disk(&town) >= 27);
    pause(500);
    eprintln!("{} passages after 27 passes, one of them told twice", on_disk(&town));
    assert_eq!(on_disk(&town), 27);

    // Without accounts nobody is a stranger: a pass waits, and a gate is told that there is no answer.
    write(&file, b"not yet\n");
    restart(&mut town);
    town.post_all(&customers[27..28], 1);
    let said = try_to_ask(&town, customers[27], Some("US-CT")).unwrap_err();
    assert!(said.contains("kind: Unavailable"), "{said}");
    pause(500);
    assert_eq!(on_disk(&town), 27);
    write(&file, accounts.as_bytes());
    wait_until("the accounts are read", || try_to_ask(&town, customers[27], Some("US-CT")).is_ok());
    wait_until("the pass that waited is written", || on_disk(&town) == 28);
    town.stop_and_check();
    town.nobody_panicked();
}

#[test]
fn who_had_the_plate_then_is_billed_and_a_parked_car_once() {
    let mut town = Town::found(Terms { archive_kind: ArchiveKind::Toll, ..Terms::default() });
    let now = now_ms();
    let at = |ms: i64| time_text(Timestamp(u64::try_from((now + ms) / 1_000).unwrap()));
    let (begin, sold, end) = (at(-DAY_MS), at(-40_000), at(DAY_MS));
    let accounts = format!(
        "plate,jurisdiction,account_id,valid_from,valid_to\nKXT4107,US-CT,A-1,{begin},{sold}\nKXT4107,US-CT,A-2,{sold},{end}\n\
         WRN3317,US-CT,A-3,{begin},{end}\n"
    );
    write(&town.home("people").join("accounts.csv"), accounts.as_bytes());
    town.start_everything();
    wait_until("the accounts are read", || try_to_ask(&town, "KXT4107", Some("US-CT")).is_ok());
    let line = |plate: &str, ms: i64| {
        json!({ "plate": plate, "camera": "c1", "captured_at": ms, "jurisdiction": "US-CT", "jurisdiction_conf": 0.95 })
            .to_string()
    };
    let own = town.door("own-0");
    let tell =
        |line: String| assert_eq!(town.lan().post(&own, "application/x-ndjson", line.as_bytes()).unwrap().0, 200);
    tell(line("KXT4107", now - 80_000));
    tell(line("KXT4107", now_ms()));
    // The same car before the same camera, told every 16 minutes: never twice within the window of repeats.
    let rekor = town.door("openalpr-0");
    for minutes in [48, 32, 16, 0] {
        let ms = now_ms() - minutes * 60_000;
        let group = json!({
            "data_type": "alpr_group", "version": 2, "camera_id": 7, "epoch_start": ms, "epoch_end": ms + 1,
            "best_uuid": format!("u-{minutes}"), "best_plate_number": "WRN3317", "best_confidence": 95.0, "best_region": "us-ct",
            "best_region_confidence": 95.0, "is_preview": false, "is_parked": true,
        });
        let said = town.lan().post(&rekor, "application/json", group.to_string().as_bytes()).unwrap();
        assert_eq!(said.0, 200, "{}", String::from_utf8_lossy(&said.1));
    }
    wait_until("three passages", || on_disk(&town) >= 3);
    pause(1_000);
    let rows = passages(&town);
    let mut billed: Vec<&str> =
        rows.lines().skip(1).filter_map(|row| row.split(',').find(|cell| cell.starts_with("A-"))).collect();
    billed.sort_unstable();
    assert_eq!(billed, ["A-1", "A-2", "A-3"], "{rows}");
    town.stop_and_check();
    town.nobody_panicked();
}

/// Fetches what there is, with the operator's key.
fn passages(town: &Town) -> String {
    let (people, config) = (town.home("people"), town.home("agency").join("agency.toml"));
    let to = people.join("fetched.csv");
    let mut line = command(BINARY);
    line.args(["--json", "agency", "passages", "--config"]).arg(&config);
    line.arg("--key").arg(people.join("billing.key")).arg("--token-file").arg(people.join("operator.token"));
    let done = line.arg("--to").arg(&to).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read_to_string(&to).unwrap()
}

#[test]
fn a_customer_is_billed_and_everybody_else_is_only_counted() {
    let terms = Terms { archive_kind: ArchiveKind::Toll, ..Terms::default() };
    let mut town = Town::found(terms);
    let accounts = "plate,jurisdiction,account_id,valid_from,valid_to\n\
                    KXT 4107,US-CT,A-1,2026-01-01T00:00:00Z,2030-01-01T00:00:00Z\n\
                    WRN3317,US-CT,A-2,2026-01-01T00:00:00Z,2026-02-01T00:00:00Z\n";
    write(&town.home("people").join("accounts.csv"), accounts.as_bytes());
    town.start_everything();
    wait_until("the accounts are read", || try_to_ask(&town, "KXT4107", Some("US-CT")).is_ok());
    assert!(ask::<GateAnswer>(&town, "KXT4107", Some("US-CT")).pass);
    // Another state, no state, an account that ended, a stranger.
    for (plate, state) in
        [("KXT4107", Some("US-NY")), ("KXT4107", None), ("WRN3317", Some("US-CT")), ("ZZZ111", Some("US-CT"))]
    {
        assert!(!ask::<GateAnswer>(&town, plate, state).pass, "{plate} {state:?}");
    }
    let plates = ["KXT4107", "WRN3317", "ZZZ111", "KXT4107"];
    let acknowledged = town.post_all(&plates, plates.len());

    let people = town.home("people");
    let to = people.join("passes.csv");
    let config = town.home("agency").join("agency.toml");
    let fetch = || {
        let mut line = command(BINARY);
        line.args(["--json", "agency", "passages", "--config"]).arg(&config);
        line.arg("--key").arg(people.join("billing.key")).arg("--token-file").arg(people.join("operator.token"));
        let done = line.arg("--to").arg(&to).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        let document: Value = serde_json::from_slice(&done.stdout).unwrap();
        document["fetched"].as_u64().unwrap()
    };
    let mut fetched = 0;
    wait_until("the passes are there", || {
        fetched += fetch();
        fetched >= 2
    });
    assert_eq!(fetch(), 0, "what was fetched is struck off");
    let rows = std::fs::read_to_string(&to).unwrap();
    assert_eq!(rows.lines().count(), 3, "{rows}");
    assert!(rows.lines().skip(1).all(|row| row.contains(",A-1,")) && !rows.contains("KXT"), "{rows}");

    // Counts, by hour, and no word of who the others were.
    let answer = town.runtime().block_on(town.agency_peer().get_with("/v1/passages/counts", headers())).unwrap();
    let counts: Vec<PassageCount> = serde_json::from_slice(&answer).unwrap();
    let sum = |count: fn(&PassageCount) -> u64| counts.iter().map(count).sum::<u64>();
    assert_eq!((sum(|one| one.customers), sum(|one| one.others)), (2, 2));

    // Without the token nothing; and there are no hot lists and no alerts here.
    let peer = town.agency_peer();
    for path in ["/v1/passages", "/v1/passages/counts", "/v1/hotlists", "/v1/alerts"] {
        assert!(town.runtime().block_on(peer.get_bytes(path, &[])).is_err(), "{path}");
    }

    // So it has no key to which another agency's recorder could seal alerts: it registers no list there either.
    let neighbours = vec![town.card().clone()];
    let city = Town::found(Terms { host: "alpr.harbour.example", neighbours, ..Terms::default() });
    let officer = town.home("officer");
    let hash: String = city.charter.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    write(&officer.join("city.charter"), city.charter.bytes());
    let mut config = std::fs::read_to_string(officer.join("officer.toml")).unwrap();
    config.push_str(&format!("\n[[owner]]\nname = \"City\"\ncharter = \"city.charter\"\ncharter_hash = \"{hash}\"\n"));
    write(&officer.join("lists.toml"), config.as_bytes());
    let mut line = command(BINARY);
    line.args([
        "--json", "agency", "hotlist", "new", "--name", "tolls", "--kind", "extract", "--at", "City", "--second",
    ]);
    let done = line.arg(officer.join("officer.pem")).arg("--config").arg(officer.join("lists.toml")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.code() == Some(4) && said.contains("your agency has no alert key"), "{said}");

    // Sealed like any read; police open it under a court's order or not at all.
    town.wait_closed();
    let searched = town.search("KXT4107");
    assert_ne!(searched.code, 0, "{}", searched.document);
    assert!(searched.document.to_string().contains("base.toll"), "{} {}", searched.document, searched.stderr);
    assert_eq!(acknowledged.len(), 4);
    town.stop_and_check();
    town.nobody_panicked();
}

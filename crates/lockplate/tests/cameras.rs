//! The register of cameras with the real processes of a town, by the commands of its administrator: added, moved, paused,
//! resumed, tested, removed. Each change stands in the agency's public log with the digest of the register it made, and
//! without the log's witnesses there is none.
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

use lockplate_core::entry::{Leaf, LogEntry, parse_leaf};
use lockplate_core::plate::TEST_PLATE;
use lockplate_core::wire::th;
use serde_json::{Value, json};
use town::{Terms, Town, wait_until};

const PLATE: &str = "QXZ4471";

/// Change, digest and count of every `camera` leaf.
fn said(town: &Town) -> Vec<(&'static str, [u8; 32], u64)> {
    let mut said = Vec::new();
    for leaf in town.leaves("recorder") {
        if let Leaf::Known(stamped) = parse_leaf(&leaf).unwrap()
            && let LogEntry::Camera(camera) = stamped.entry()
        {
            said.push((camera.change.name(), camera.register, camera.cameras));
        }
    }
    said
}

/// The register as anybody gets it, and its digest.
fn register(town: &Town) -> (Value, [u8; 32]) {
    let body = town.get("/v1/cameras").unwrap();
    (serde_json::from_slice(&body).unwrap(), th("camera-register", &[&body]))
}

fn done(town: &Town, task: &[&str]) -> Value {
    let (code, document) = town.agency_says(task);
    assert_eq!(code, 0, "{task:?}: {document}");
    document
}

/// What a read of the camera `bridge-1` is answered.
fn status(town: &mut Town) -> u16 {
    let (_, line) = town.read(PLATE);
    let line = line.replace("\"c1\"", "\"bridge-1\"");
    let mut lan = town.lan();
    lan.post(&town.door("own-0"), "application/x-ndjson", line.as_bytes()).unwrap().0
}

#[test]
fn a_camera_is_added_moved_paused_resumed_tested_and_removed_each_behind_its_leaf() {
    let mut town = Town::start(Terms::default());
    let before = said(&town);
    assert_eq!(status(&mut town), 403, "nobody knows the camera");

    // Each task, the leaf it leaves, and what a read of the camera is answered afterwards.
    let add = "camera add --key bridge-1 --place Bridge --lat 41.5 --lon -72.7 --source own-0 --purpose police";
    let count = before.last().unwrap().2;
    let moved = "camera move --key bridge-1 --place Mill --lat 41.6 --lon -72.8 --zone America/Chicago";
    let mut leaves = Vec::new();
    for (task, change, cameras, answer) in [
        (add, "add", count + 1, 200),
        (moved, "change", count + 1, 200),
        ("camera pause --key bridge-1", "pause", count + 1, 403),
        ("camera resume --key bridge-1", "change", count + 1, 200),
    ] {
        let document = done(&town, &task.split(' ').collect::<Vec<_>>());
        let digest = register(&town).1;
        leaves.push((change, digest, cameras));
        assert_eq!(said(&town)[before.len()..], leaves, "{task}");
        assert_eq!(status(&mut town), answer, "{task}");
        if task == add {
            let address = document["address"].as_str().unwrap();
            assert!(address.ends_with("/in/v1/own-0/TOKEN") && document["snippet"].as_str().unwrap().contains(address));
        }
    }
    assert_eq!(town.agency_says(&["camera", "add", "--key", "toll-1", "--place", "Gate", "--purpose", "toll"]).0, 2);
    assert_eq!(done(&town, &["camera", "resume", "--key", "bridge-1"])["changed"], false);
    assert_eq!(said(&town).len(), before.len() + leaves.len(), "what is refused or so already is not said");

    // The list of people on this machine: what was heard of it.
    let listed = done(&town, &["camera", "list"]);
    assert!(listed["profile"].is_null(), "no law of minutes here");
    let camera =
        listed["cameras"].as_array().unwrap().iter().find(|camera| camera["key"] == "bridge-1").unwrap().clone();
    let number = camera["camera"].to_string();
    for (member, expected) in [
        ("place", json!("Mill")),
        ("lat", json!(41.6)),
        ("purpose", json!("police")),
        ("engine", json!("own")),
        ("state", json!("active")),
        ("zone", json!("America/Chicago")),
        ("reads", json!(3)),
        ("alarms", json!([])),
    ] {
        assert_eq!(camera[member], expected, "{member} of {camera}");
    }
    assert!(camera["clock_offset_ms"].as_i64().is_some_and(|ms| ms.abs() < 5_000), "{camera}");

    // The test of it seals one read, and a search finds that.
    let tested = done(&town, &["camera", "test", &number]);
    let stations = tested["test"]["stations"].as_array().unwrap().clone();
    let names: Vec<&str> = stations.iter().map(|station| station["station"].as_str().unwrap()).collect();
    assert_eq!(names, ["register", "source", "camera", "parser", "heard", "clock", "sealer", "spool", "search"]);
    town.wait_closed();
    let searched = town.search(TEST_PLATE);
    assert_eq!((searched.code, searched.times().len()), (0, 1), "{} {}", searched.document, searched.stderr);
    done(&town, &["camera", "pause", &number]);
    let (code, tested) = town.agency_says(&["camera", "test", &number]);
    assert_eq!((code, &tested["test"]["stations"][2]["result"]), (7, &json!("stops")), "{tested}");
    let (code, tested) = town.agency_says(&["camera", "test", "--key", "nobody"]);
    assert_eq!((code, &tested["test"]["stations"][0]["result"]), (7, &json!("stops")), "{tested}");

    // Without the log's witnesses the leaf is not confirmed, and nothing happens; once they are back the same task finds it.
    for place in [1, 2] {
        town.keepers[place].take().unwrap().stop();
    }
    let (code, refused) = town.agency_says(&["camera", "remove", &number]);
    assert_eq!((code, state(&town)), (6, "paused".to_owned()), "{refused}");
    for place in [1, 2] {
        town.start_keeper(place);
    }
    let mut last = Value::Null;
    wait_until("the witnesses confirm the removal", || {
        let (code, document) = town.agency_says(&["camera", "remove", &number]);
        last = document;
        code == 0
    });
    assert_eq!((&last["changed"], state(&town)), (&json!(true), "removed".to_owned()));
    let said = said(&town);
    let ends: Vec<(&str, u64)> =
        said[before.len() + leaves.len()..].iter().map(|(change, _, n)| (*change, *n)).collect();
    assert_eq!(ends, [("pause", count + 1), ("remove", count)], "one leaf for one removal");
    assert_eq!(said.last().unwrap().1, register(&town).1);
    assert_eq!(status(&mut town), 403);
    town.nobody_panicked();
    town.stop_and_check();
}

fn state(town: &Town) -> String {
    let cameras = register(town).0["cameras"].as_array().unwrap().clone();
    let camera = cameras.into_iter().find(|camera| camera["key"] == "bridge-1").unwrap();
    camera["state"].as_str().unwrap().to_owned()
}

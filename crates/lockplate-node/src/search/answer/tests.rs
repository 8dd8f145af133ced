//! The lines of a result and the document that scripts read.

use super::*;
use crate::api::CameraState;
use lockplate_core::Timestamp;
use lockplate_core::id::EpochId;
use lockplate_core::plate::Plate;
use lockplate_core::read::{Motion, Read, ReadFlags, TimeQuality, Vehicle};

fn read(text: &str, captured_at: i64, engine_ref: Option<[u8; 8]>, state: Option<(&str, u16)>) -> Read {
    Read {
        source: 1,
        engine_ref,
        camera: 7,
        captured_at,
        source_time: None,
        time_quality: TimeQuality::Exact,
        plate: Plate::parse(text).unwrap(),
        jurisdiction: state.and_then(|(code, _)| Jurisdiction::parse(code)),
        jur_conf: state.map(|(_, conf)| conf),
        jurisdiction_trusted: state.is_some_and(|(_, conf)| conf >= 800),
        conf: Some(980),
        vehicle: Vehicle::default(),
        motion: Motion::default(),
        frames: 1,
        flags: ReadFlags::default(),
    }
}

fn cell(read: Read) -> OpenedCell {
    let proof = Proof { epoch_id: [1; 16], header_hash: [2; 32], segment_root: [3; 32], bucket: 5, tag: [4; 32] };
    OpenedCell { read: OpenedRead { read, epoch_id: EpochId([1; 16]), element: 0, counter: 0, tag: [4; 32] }, proof }
}

fn found(cells: Vec<OpenedCell>, asked: &str) -> (Vec<Found>, u64) {
    let camera = CameraListed {
        camera: 7,
        key: "k".to_owned(),
        place: "Bridge".to_owned(),
        lat: None,
        lon: None,
        purpose: "police".to_owned(),
        engine: "own".to_owned(),
        state: CameraState::Active,
        zone: None,
    };
    lines(cells, asked, Jurisdiction::parse("US-CT"), &BTreeMap::from([(7, camera)]))
}

#[test]
fn lines_are_oldest_first_and_what_cannot_be_the_plate_is_counted_not_shown() {
    let cells = vec![
        cell(read("AB12345", 3_000, None, Some(("US-CT", 990)))),
        cell(read("A812345", 1_000, None, Some(("US-CT", 300)))),
        cell(read("AB12345", 2_000, None, None)),
        cell(read("AB12345", 4_000, None, Some(("US-NY", 990)))),
        cell(read("XY99999", 5_000, None, Some(("US-CT", 990)))),
    ];
    let (found, others) = found(cells, "AB12345");
    let shown: Vec<_> = found.iter().map(|one| (one.time_ms, one.why_text(), one.why_state())).collect();
    let expected = [
        (1_000, "same after folding", "state uncertain"),
        (2_000, "same text", "state not read"),
        (3_000, "same text", "state the same"),
    ];
    assert_eq!((shown.as_slice(), others), (expected.as_slice(), 2));
    assert!(found.iter().all(|one| one.place.as_deref() == Some("Bridge")));
    assert_eq!(format!("{found:?}"), "[Found(..), Found(..), Found(..)]");
}

#[test]
fn one_engine_event_in_two_cells_is_one_line() {
    let event = Some([9; 8]);
    let mut elsewhere = read("AB12345", 1_000, event, None);
    elsewhere.source = 2;
    let cells = vec![
        cell(read("AB12345", 1_000, event, None)),
        cell(read("AB12345", 1_000, event, None)),
        cell(read("AB12345", 1_000, Some([8; 8]), None)),
        cell(read("AB12345", 1_000, None, None)),
        cell(read("AB12345", 1_000, None, None)),
        cell(elsewhere),
    ];
    let (found, others) = found(cells, "AB12345");
    // Without an engine's reference nothing says that two reads are one.
    let mut merged: Vec<_> = found.iter().map(|one| one.merged).collect();
    merged.sort_unstable();
    assert_eq!((merged, others), (vec![0, 0, 0, 0, 1], 0));
}

#[test]
fn a_time_of_receipt_is_said_to_be_one() {
    let wrong = Read {
        source_time: Some(1_774_000_000_000),
        time_quality: TimeQuality::ReceiveTime,
        flags: ReadFlags(ReadFlags::CLOCK_OFF),
        ..read("AB12345", 1_795_345_200_042, None, None)
    };
    let (found, _) = found(vec![cell(wrong), cell(read("AB12345", 1_795_345_200_050, None, None))], "AB12345");
    let words = ["camera clock wrong: time of receipt", "the camera said 2026-03-20T09:46:40.000Z"];
    assert_eq!(found[0].remarks(), words);
    assert!(found[1].remarks().is_empty());
    let document = fetched(found).to_json();
    let first = &document["found"][0];
    assert_eq!(first["time_quality"], "receive_time");
    assert_eq!(first["source_time"], "2026-03-20T09:46:40.000Z");
    assert_eq!(first["flags"], json!(["clock_off"]));
}

fn fetched(found: Vec<Found>) -> Fetched {
    Fetched {
        request_digest: [0xaa; 32],
        grant_digest: [0xbb; 32],
        window: Snapped { from: Timestamp(1_795_345_200), to: Timestamp(1_795_348_800), moved: false },
        elements: 2,
        epochs: 3,
        epochs_destroyed: 1,
        epochs_not_searched: 0,
        cells: 1,
        others: 0,
        culprits: vec![Culprit { keeper: 2, name: "Clerk".to_owned(), evidence: None }],
        register: vec![(1, "Court".to_owned(), 17)],
        kept: None,
        timings: Timings::default(),
        disclosure: Some(4),
        found,
    }
}

#[test]
fn the_document_is_the_one_that_scripts_know() {
    let (found, _) = found(vec![cell(read("AB12345", 1_795_345_200_042, None, Some(("US-CT", 990))))], "AB12345");
    let golden = format!(
        concat!(
            r#"{{"culprits":[{{"evidence":null,"keeper":2,"name":"Clerk"}}],"disclosure":4,"elements":2,"epochs":3,"#,
            r#""epochs_destroyed":1,"epochs_not_searched":0,"found":[{{"camera":7,"confidence":0.98,"flags":[],"merged":0,"place":"Bridge","#,
            r#""proof":{{"bucket":5,"epoch":"{}","header_hash":"{}","segment_root":"{}","tag":"{}"}},"#,
            r#""source_time":null,"state":"US-CT","text":"AB12345","time":"2026-11-22T11:00:00.042Z","time_quality":"exact","#,
            r#""why":{{"possible_misread":false,"state":"state the same","text":"same text"}}}}],"#,
            r#""grant":"{}","others":0,"register":[{{"entry":17,"keeper":1,"name":"Court"}}],"request":"{}","#,
            r#""result":"found","schema":"lockplate/search/1","#,
            r#""window":{{"from":"2026-11-22T11:00:00Z","to":"2026-11-22T12:00:00Z"}}}}"#
        ),
        "01".repeat(16),
        "02".repeat(32),
        "03".repeat(32),
        "04".repeat(32),
        "bb".repeat(32),
        "aa".repeat(32),
    );
    assert_eq!(fetched(found).to_json(), serde_json::from_str::<Value>(&golden).unwrap());
    let none = fetched(Vec::new());
    assert!(none.is_no_match());
    assert_eq!(none.to_json()["result"], "no match, checked");
}

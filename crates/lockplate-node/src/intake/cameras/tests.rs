use super::super::tests::{
    NOW_MS, Town, address, answer, camera, good, name_of, own_line, post_of, source_table, town,
};
use super::super::{NotTaken, REFRESH, SourceTable, token_text};
use super::*;
use crate::clock::Clock as _;
use crate::intake::tests::IMPORT_KEY;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use lockplate_intake::SourceKind;
use lockplate_intake::time::Zone;
use std::collections::BTreeSet;
use std::time::Duration;

fn with_key(path: &str, body: &str) -> Request {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", token_text(&IMPORT_KEY).as_str()))
        .body(Body::from(body.to_owned()))
        .unwrap()
}

/// Changes camera by camera what the register says, and has it read again.
async fn change_all(town: &Town, change: impl Fn(&mut KnownCamera)) {
    town.register.0.lock().unwrap().cameras.iter_mut().for_each(change);
    town.state.refresh().await.unwrap();
}

async fn tested(town: &Town, number: u32) -> CameraTested {
    let (status, text, _) = answer(town, with_key(&format!("/v1/cameras/{number}/test"), "")).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn health_of(town: &Town, number: u32) -> CameraHealth {
    town.state.health().cameras.into_iter().find(|camera| camera.camera == number).unwrap()
}

#[tokio::test]
async fn a_read_of_an_unknown_camera_is_refused_and_counted_whatever_the_engine_and_so_is_one_of_a_paused_camera() {
    for &kind in SourceKind::ALL {
        let (town, name) = (town().await, name_of(kind));
        let (content_type, body) = good(kind, "AB123");
        let send = || answer(&town, post_of(&address(name), content_type, body.clone()));
        let mut answers = BTreeSet::new();
        for paused in [true, false] {
            if paused {
                change_all(&town, |camera| camera.active = false).await;
            } else {
                town.register.0.lock().unwrap().cameras.clear();
                town.state.refresh().await.unwrap();
            }
            let (status, text, closes) = send().await;
            answers.insert((status.as_u16(), text, closes));
        }
        assert_eq!(answers.len(), 1, "{kind:?}: outside the two are the same: {answers:?}");
        let counts = town.state.health().sources[name].clone();
        assert_eq!(
            (counts.rejected["intake-unknown-camera"], counts.of_paused_cameras, counts.accepted, counts.held),
            (2, 1, 0, 0),
            "{kind:?}"
        );
        town.state.finish().await;
        assert_eq!(town.sink.texts(), [""; 0], "{kind:?}: and nothing was held");
    }
}

#[tokio::test]
async fn local_times_are_read_in_the_zone_of_the_camera_where_it_has_one() {
    let local = |kind, text: String| match kind {
        SourceKind::Hikvision => text.replace("05:46:40-04:00", "05:46:40"),
        SourceKind::PlateRecognizer => text.replace("2026-03-20T09:46:40Z", "2026-03-20 05:46:40"),
        SourceKind::DahuaEvents => {
            text.replace(&format!("\"RealUTC\":{}", NOW_MS / 1_000), &format!("\"UTC\":{}", NOW_MS / 1_000 - 4 * 3_600))
        }
        _ => text,
    };
    let kinds = SourceKind::ALL.iter().filter(|kind| kind.profile().local_times);
    for &kind in kinds {
        for (zone, behind_ms) in [(None, None), (Some("America/Halifax"), Some(3_600_000))] {
            let town = town().await;
            change_all(&town, |camera| camera.zone = zone.and_then(Zone::parse)).await;
            let (content_type, body) = good(kind, "AB123");
            let (status, text, _) =
                answer(&town, post_of(&address(name_of(kind)), content_type, local(kind, body))).await;
            assert_eq!(status, 200, "{kind:?} {text}");
            let sealed = town.sink.sealed.lock().unwrap();
            // An hour earlier is a clock that is off: the time of the source stands beside that of the receipt.
            assert_eq!(sealed[0].0.source_time, behind_ms.map(|ms| NOW_MS - ms), "{kind:?} {zone:?}");
        }
    }
}

#[tokio::test]
async fn a_camera_of_which_something_is_said_that_is_no_read_is_not_silent() {
    let town = town().await;
    let number = (1..).zip(SourceKind::ALL).find(|(_, kind)| **kind == SourceKind::UniFi).unwrap().0;
    let trigger = |device| {
        format!(r#"{{"alarm":{{"triggers":[{{"key":"vehicle","device":"{device}","timestamp":{NOW_MS}}}]}}}}"#)
    };
    town.clock.advance(Duration::from_millis(CAMERA_SILENT_MS.unsigned_abs() + 1));
    for (device, seen) in [("another", None), ("1", Some(NOW_MS + CAMERA_SILENT_MS + 1))] {
        let sent = answer(&town, post_of(&address("unifi"), "application/json", trigger(device))).await;
        let health = health_of(&town, number);
        assert_eq!((sent.0.as_u16(), health.last_seen_ms), (200, seen), "{device}");
        assert_eq!(health.alarms.contains(&CameraAlarm::Silent), seen.is_none());
    }
}

#[tokio::test]
async fn a_field_of_a_camera_that_cannot_be_so_is_named_and_nothing_of_it_registered() {
    let town = town().await;
    let before = town.register.0.lock().unwrap().cameras.len();
    let camera = |field: &str, value: serde_json::Value| {
        let mut camera = serde_json::json!({ "key": "k", "place": "Main Street", "lat": 1.0, "lon": 2.0 });
        camera[field] = value;
        camera
    };
    let bad = [
        ("key", "a\nb".into()),
        ("key", "".into()),
        ("place", "y\nz\u{1b}[31m".into()),
        ("place", "x".repeat(201).into()),
        ("group", "north\u{7f}".into()),
        ("zone", "Mars/Olympus".into()),
        ("zone", "America/New_York\n".into()),
        ("lat", 91.0.into()),
        ("lon", (-181.0).into()),
        ("lon", serde_json::Value::Null),
    ];
    for (field, value) in bad {
        let body = serde_json::json!({ "cameras": [camera(field, value.clone())] }).to_string();
        let (status, text, _) = answer(&town, with_key("/v1/cameras", &body)).await;
        assert!(status == 422 && text.contains(&format!("\"/cameras/{field}\"")), "{field} {value}: {text}");
        if !["key", "group"].contains(&field) {
            let mut edit = camera(field, value.clone());
            edit["change"] = "move".into();
            edit.as_object_mut().unwrap().remove("key");
            let (status, text, _) = answer(&town, with_key("/v1/cameras/1", &edit.to_string())).await;
            assert!(status == 422 && text.contains(&format!("\"/{field}\"")), "{field} {value}: {text}");
        }
    }
    assert_eq!(town.register.0.lock().unwrap().cameras.len(), before);
    let good = serde_json::json!({ "cameras": [camera("place", "Straße 5, 蓝".into())] }).to_string();
    assert_eq!(answer(&town, with_key("/v1/cameras", &good)).await.0, 200);
}

#[tokio::test]
async fn a_test_read_says_where_it_stops() {
    let town = town().await;
    let refused = Request::post("/v1/cameras/1/test").body(Body::empty()).unwrap();
    assert_eq!(answer(&town, refused).await.0, 401);
    let stations = |tested: &CameraTested| tested.stations.iter().map(|s| s.station.clone()).collect::<Vec<_>>();

    let way = tested(&town, 1).await;
    assert!(way.passed(), "{way:?}");
    assert_eq!(
        stations(&way),
        ["register", "source", "camera", "parser", "heard", "clock", "sealer", "spool", "search"]
    );
    assert_eq!(way.stations[4].result, StationResult::Warning, "nobody has spoken yet");
    {
        let sealed = town.sink.sealed.lock().unwrap();
        let (read, placement) = &sealed[0];
        assert_eq!((read.plate.expose_text(), read.camera, read.captured_at), (TEST_PLATE, 1, NOW_MS));
        assert_eq!((*placement, sealed.len()), (Placement::Open, 1));
    }
    let health = health_of(&town, 1);
    assert_eq!(
        (health.reads, health.last_seen_ms, health.clock_offset_ms),
        (0, None, None),
        "the camera was not heard"
    );

    let refuses = |why| *town.sink.refuses.lock().unwrap() = why;
    let obstacle = |why| *town.sink.obstacle.lock().unwrap() = why;
    let mut stops = Vec::new();
    for (refusal, beforehand) in [
        (None, Some(Obstacle::NoPrekeys)),
        (None, Some(Obstacle::NoEpoch)),
        (Some(NotTaken::Busy), None),
        (Some(NotTaken::Interrupted), None),
    ] {
        refuses(refusal);
        obstacle(beforehand);
        stops.push(tested(&town, 1).await);
    }
    refuses(None);
    obstacle(None);
    change_all(&town, |camera| camera.key = "-".to_owned()).await;
    stops.push(tested(&town, 1).await);
    change_all(&town, |camera| camera.active = false).await;
    stops.push(tested(&town, 1).await);
    town.register.0.lock().unwrap().sources.clear();
    stops.push(tested(&town, 1).await);
    stops.push(tested(&town, 4_711).await);
    let last: Vec<(String, bool)> = stops
        .iter()
        .map(|way| {
            let last = way.stations.last().unwrap();
            (last.station.clone(), last.result == StationResult::Stops && !way.passed())
        })
        .collect();
    let expected = ["sealer", "sealer", "spool", "spool", "parser", "camera", "source", "register"];
    assert_eq!(last, expected.map(|station| (station.to_owned(), true)));
    let says: BTreeSet<_> = stops.iter().map(|way| way.stations.last().unwrap().says.clone()).collect();
    assert_eq!(says.len(), stops.len(), "each for its own reason: {says:?}");
    assert_eq!(town.sink.texts(), [TEST_PLATE], "only the first was sealed");
}

#[tokio::test]
async fn a_test_read_goes_through_the_parser_of_its_source_whatever_the_engine() {
    let town = town().await;
    town.register.0.lock().unwrap().cameras.push(camera(500, super::super::tests::IMPORT_NUMBER, "file"));
    {
        let mut all = town.register.0.lock().unwrap();
        for source in all.sources.clone() {
            let pull = toml::from_str("url = \"http://10.1.0.7\"\nuser = \"a\"\npassword_file = \"p\"").unwrap();
            let table = SourceTable {
                pull: Some(pull),
                token_sha256: None,
                ..source_table(&source.name, source.config.kind.name())
            };
            let number = source.config.number + 100;
            let Ok(asked) = table.check(number) else { continue };
            all.sources.push(SourceSettings { name: format!("asked-{}", source.name), ..asked });
            all.cameras.push(camera(number.into(), number, "1"));
        }
    }
    // In the zone of each camera, where the source has another one.
    change_all(&town, |camera| camera.zone = Zone::parse("Asia/Kolkata")).await;
    let cameras = town.register.0.lock().unwrap().cameras.clone();
    for camera in &cameras {
        let way = tested(&town, camera.number).await;
        let parser = way.stations.iter().find(|station| station.station == "parser").unwrap();
        assert_eq!((parser.result, way.passed()), (StationResult::Ok, true), "{way:?}");
        let (read, placement) = town.sink.sealed.lock().unwrap().pop().unwrap();
        assert_eq!((read.camera, read.source, placement), (camera.number, camera.source, Placement::Open));
        assert_eq!(
            (read.plate.expose_text(), read.captured_at, read.source_time),
            (TEST_PLATE, NOW_MS, None),
            "{way:?}"
        );
    }
    assert_eq!(
        cameras.len(),
        SourceKind::ALL.len() + 5,
        "four kinds can also be asked, and there is one camera of files"
    );
    assert!(town.state.health().cameras.iter().all(|camera| camera.clock_offset_ms.is_none() && camera.reads == 0));
}

#[tokio::test]
async fn in_the_hour_that_comes_twice_a_test_says_that_local_times_are_not_believed() {
    let town = town().await;
    // 2026-11-01 01:30 in New York, the second one.
    let second_ms: i64 = 1_793_514_600_000;
    town.clock.advance(Duration::from_millis(u64::try_from(second_ms - NOW_MS).unwrap()));
    let number_of = |kind| SourceKind::ALL.iter().position(|known| *known == kind).unwrap() + 1;
    for (kind, result) in [(SourceKind::Tattile, StationResult::Warning), (SourceKind::Hikvision, StationResult::Ok)] {
        let way = tested(&town, u32::try_from(number_of(kind)).unwrap()).await;
        let parser = way.stations.iter().find(|station| station.station == "parser").unwrap();
        assert_eq!((parser.result, way.passed()), (result, true), "{way:?}");
        assert_eq!(parser.says.contains("off by +3600.0 s"), result == StationResult::Warning, "{parser:?}");
        assert_eq!(town.sink.sealed.lock().unwrap().pop().unwrap().0.captured_at, second_ms);
    }
}

#[tokio::test]
async fn a_test_read_stops_at_the_parser_where_the_engine_calls_the_camera_otherwise() {
    let town = town().await;
    let number_of = |kind| {
        let all = town.register.0.lock().unwrap();
        u32::from(all.sources.iter().find(|source| source.config.kind == kind).unwrap().config.number)
    };
    for (kind, registered, read) in [
        (SourceKind::AlprLines, "2", "\"1\", which is not registered"),
        (SourceKind::Milesight, "2", "\"1\", which is not registered"),
        (SourceKind::DahuaEvents, "1/0", "\"1\", which is not registered"),
        (SourceKind::Rekor, "agent/01", "\"agent/1\", which is not registered"),
        (SourceKind::Tattile, "1 ", "\"1\", which is camera 700"),
    ] {
        let number = number_of(kind);
        change_all(&town, |camera| {
            if camera.number == number {
                camera.key = registered.to_owned();
            }
        })
        .await;
        if read.contains("700") {
            town.register.0.lock().unwrap().cameras.push(camera(700, u16::try_from(number).unwrap(), "1"));
        }
        let way = tested(&town, number).await;
        let last = way.stations.last().unwrap();
        assert_eq!((last.station.as_str(), last.result), ("parser", StationResult::Stops), "{kind:?} {way:?}");
        assert!(last.says.contains(read), "{kind:?} {last:?}");
    }
    assert_eq!(town.sink.texts(), [""; 0], "nothing was sealed");
}

#[tokio::test]
async fn a_camera_is_changed_at_once_and_only_with_the_key() {
    let town = town().await;
    let send = || answer(&town, post_of(&address("own"), "application/x-ndjson", own_line("AB123", NOW_MS)));
    let own = town.register.0.lock().unwrap().sources.iter().find(|s| s.name == "own").unwrap().config.number;
    let path = format!("/v1/cameras/{own}");
    let stranger = Request::post(&path).header(header::CONTENT_TYPE, "application/json");
    let stranger = stranger.body(Body::from("{\"change\":\"pause\"}")).unwrap();
    assert_eq!(answer(&town, stranger).await.0, 401);
    assert_eq!(answer(&town, with_key(&path, "{\"change\":\"pause\"}")).await.0, 200);
    assert_eq!((send().await.0.as_u16(), health_of(&town, own.into()).state), (403, CameraState::Paused));
    assert_eq!(answer(&town, with_key(&path, "{\"change\":\"resume\"}")).await.0, 200);
    assert_eq!(send().await.0, 200);
    assert_eq!(answer(&town, with_key(&path, "{\"change\":\"remove\"}")).await.0, 200);
    assert_eq!(send().await.0, 403);
    for (path, body, status) in [
        (path.as_str(), "{\"change\":\"pause\"}", 404),
        ("/v1/cameras/x", "{\"change\":\"pause\"}", 404),
        ("/v1/cameras/1", "{\"change\":\"sell\"}", 400),
        ("/v1/cameras/1", "{\"change\":\"move\"}", 400),
    ] {
        assert_eq!(answer(&town, with_key(path, body)).await.0, status, "{path} {body}");
    }
}

#[tokio::test]
async fn the_health_of_a_camera_tells_its_clock_its_reads_and_its_silence() {
    let town = town().await;
    let own = town.register.0.lock().unwrap().sources.iter().find(|s| s.name == "own").unwrap().config.number;
    town.register.0.lock().unwrap().cameras.push(camera(500, super::super::tests::IMPORT_NUMBER, "file"));
    town.state.refresh().await.unwrap();
    let lines = |behind: i64, from: usize| -> String {
        (from..from + 9).map(|at| own_line(&format!("T{at}"), town.clock.now_ms() - behind)).collect()
    };
    answer(&town, post_of(&address("own"), "application/x-ndjson", lines(200, 0))).await;
    let health = health_of(&town, own.into());
    assert_eq!((health.reads, health.clock_offset_ms, health.alarms), (9, Some(200), vec![]));
    assert_eq!(health.last_seen_ms, Some(NOW_MS));

    // Its clock is set an hour ahead: the least offset of its reads is that.
    answer(&town, post_of(&address("own"), "application/x-ndjson", lines(-3_600_000, 9))).await;
    let health = health_of(&town, own.into());
    assert_eq!((health.clock_offset_ms, health.alarms), (Some(-3_600_000), vec![CameraAlarm::Clock]));
    let way = tested(&town, own.into()).await;
    let clock = way.stations.iter().find(|station| station.station == "clock").unwrap();
    assert_eq!(clock.result, StationResult::Warning);
    assert!(clock.says.contains("off by -3600.0 s") && way.passed(), "{clock:?}");
    let heard = way.stations.iter().find(|station| station.station == "heard").unwrap();
    assert_eq!((heard.result, heard.says.as_str()), (StationResult::Ok, "it spoke 0 s ago"));

    let silence = Duration::from_millis(u64::try_from(CAMERA_SILENT_MS).unwrap());
    town.clock.advance(silence);
    assert!(!health_of(&town, own.into()).alarms.contains(&CameraAlarm::Silent));
    town.clock.advance(Duration::from_millis(1));
    assert!(health_of(&town, own.into()).alarms.contains(&CameraAlarm::Silent));
    assert_eq!(health_of(&town, 2).alarms, [CameraAlarm::Silent], "never heard since the start");
    assert_eq!(health_of(&town, 500).alarms, [], "files are not heard");
    town.clock.advance(REFRESH);
    town.state.0.refresh_when_due().await;
    assert_eq!(town.state.0.alarms.lock().unwrap().iter().filter(|(camera, _)| *camera == u32::from(own)).count(), 2);
    change_all(&town, |camera| camera.active = false).await;
    assert_eq!(health_of(&town, own.into()).alarms, [], "a paused camera is not expected to say anything");
}

#[test]
fn offsets_as_people_read_them() {
    let cases =
        [(0, "+0.0 s"), (249, "+0.2 s"), (250, "+0.3 s"), (-5_001, "-5.0 s"), (i64::MIN, "-9223372036854775.8 s")];
    for (ms, text) in cases {
        assert_eq!(offset_text(ms), text);
    }
}

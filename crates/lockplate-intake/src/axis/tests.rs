//! The `T` items of `intake.md` 8.7, what must never be taken over, mutated payloads. Every plate is invented.

use lockplate_core::read::{Motion, ReadFlags};

use crate::axis::counts_in_us;
use crate::intake::{Intake, Outcome};
use crate::limits::{CROP_BYTES_MAX, HOLD_MS_MAX, PARTS_MAX};
use crate::source::{Parsed, Part, Payload, Slug, SourceKind, Stage};
use crate::tests::{NOW, config, mutate, mutate_with, not_taken_over, parse, sealed, slugs, take, texts};

const KIND: SourceKind = SourceKind::Axis;
const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 1, 2, 3];

fn event(state: &str, plate: &str, at_ms: i64) -> String {
    format!(
        r#"{{"packetCounter":"7","datetime":"20260320 054640123","plateUTF8":"{plate}","plateText":"QZ1","plateASCII":"QZ2",
        "plateCountry":"POL","plateConfidence":"0.719034","carState":"{state}","carID":"41","plateList":"allow",
        "plateListMode":"BLOCKED","plateListDescription":"Jane Example","geotag":{{"lat":50.418114,"lon":30.476213}},
        "imageType":"plate","plateImageType":"jpeg","plateImageSize":"7","carMoveDirection":"in","sensorProviderID":"north",
        "capture_timestamp":"{at_ms}","frame_timestamp":"155131902113266",
        "camera_info":{{"SerialNumber":"ACCC8E000001","ProdShortName":"P1455","MACAddress":"ac:cc","IPAddress":"10.1.2.3"}}}}"#
    )
}

fn with_image(event: &str, image: &[u8]) -> Parsed {
    let parts = [
        Part { name: "event", content_type: Some("application/json"), body: event.as_bytes() },
        Part { name: "image", content_type: Some("image/jpeg"), body: image },
    ];
    let payload = Payload { content_type: "multipart/form-data", parts: &parts, ..Payload::default() };
    KIND.parser().parse(&payload, &config(KIND))
}

fn push(event: &str) -> Parsed {
    with_image(event, JPEG)
}

fn after(intake: &mut Intake, offset: i64, text: &str) -> Outcome {
    take(intake, NOW + offset, KIND, push(text))
}

#[test]
fn the_fields_of_an_event() {
    let parsed = push(&event("new", "rz 3832h", NOW));
    let o = &parsed.observations[0];
    assert_eq!((o.plate.expose_text(), o.camera_key.as_str(), o.conf), ("RZ3832H", "ACCC8E000001", Some(719)));
    assert_eq!((o.jurisdiction.unwrap().code(), o.jur_conf, o.motion), ("PL", None, Motion::Approaching));
    assert_eq!((o.time.ms, o.stage, o.crop.as_deref()), (NOW, Stage::Refining, Some(JPEG)));
    for (from, to, want) in [("\"in\"", "\"out\"", Motion::Receding), ("\"in\"", "\"unk\"", Motion::Unknown)] {
        assert_eq!(push(&event("lost", "X1", NOW).replace(from, to)).observations[0].motion, want);
    }
    // The event alone, and the other names of the plate.
    assert_eq!(texts(&parse(KIND, "application/json", event("lost", "X1", NOW).as_bytes())), ["X1"]);
    assert_eq!(texts(&push(&event("lost", "X1", NOW).replace("\"plateUTF8\"", "\"x\""))), ["QZ1"]);
    assert_eq!(texts(&push(&event("lost", "", NOW).replace("\"plateText\"", "\"x\""))), ["QZ2"]);
    let none = event("lost", "", NOW).replace("QZ1", "").replace("QZ2", "-");
    assert_eq!((push(&none).ignored.unreadable, push(&none).rejected), (1, 0));
}

#[test]
fn mandatory_fields_and_parts() {
    for (key, pointer) in [
        ("capture_timestamp", "/capture_timestamp"),
        ("camera_info", "/camera_info"),
        ("SerialNumber", "/camera_info/SerialNumber"),
    ] {
        let parsed = push(&event("lost", "X1", NOW).replace(&format!("\"{key}\""), "\"other\""));
        assert_eq!(
            (slugs(&parsed), parsed.problems[0].pointer.as_deref()),
            (vec![(None, Slug::MissingField)], Some(pointer))
        );
    }
    let without = event("lost", "X1", NOW).replace("\"plate", "\"other");
    assert_eq!(push(&without).problems[0].pointer.as_deref(), Some("/plateUTF8"));
    let image = [Part { name: "image", content_type: None, body: JPEG }];
    let many = [Part { name: "event", content_type: None, body: b"{}" }; PARTS_MAX + 1];
    for (parts, slug) in [(image.as_slice(), Slug::MissingField), (many.as_slice(), Slug::TooLarge)] {
        let payload = Payload { parts, ..Payload::default() };
        assert_eq!(slugs(&KIND.parser().parse(&payload, &config(KIND))), [(None, slug)]);
    }
}

#[test]
fn a_car_is_one_read_when_it_is_lost_with_the_time_it_was_seen() {
    let mut intake = Intake::new(&[5; 32]);
    assert_eq!(after(&mut intake, 50, &event("new", "RZ3832", NOW)).held, 1);
    // The text changes with an update.
    assert_eq!(after(&mut intake, 450, &event("update", "RZ3832H", NOW + 400)).held, 1);
    assert_eq!(after(&mut intake, 900, &event("updated", "RZ3832H", NOW + 850)).held, 1);
    let out = after(&mut intake, 8000, &event("lost", "RZ3832H", NOW + 8000));
    assert_eq!(sealed(&out), ["RZ3832H"]);
    let read = &out.sealables[0].read;
    assert_eq!((read.captured_at, read.flags.has(ReadFlags::HELD_OUT)), (NOW + 400, false));
    assert_eq!(after(&mut intake, 8100, &event("lost", "RZ3832H", NOW + 8000)).duplicates, 1);
    assert!(intake.tick(NOW + 60_000).sealables.is_empty());
}

#[test]
fn without_lost_it_is_held_for_30_seconds() {
    let mut intake = Intake::new(&[5; 32]);
    after(&mut intake, 0, &event("new", "RZ3832H", NOW));
    assert!(intake.tick(NOW + HOLD_MS_MAX - 1).sealables.is_empty());
    let out = intake.tick(NOW + HOLD_MS_MAX);
    assert!(out.sealables[0].read.flags.has(ReadFlags::HELD_OUT));
    assert_eq!(after(&mut intake, 31_000, &event("lost", "RZ3832H", NOW + 31_000)).duplicates, 1);
}

#[test]
fn a_camera_that_sends_only_lost_has_no_wrong_clock() {
    let mut intake = Intake::new(&[5; 32]);
    for n in 0..20_i64 {
        let text = event("lost", &format!("RZ{n}"), NOW + n * 60_000).replace("\"41\"", &format!("\"{n}\""));
        let out = after(&mut intake, n * 60_000 + 10_000, &text);
        assert_eq!((out.sealables.len(), out.clocks_off.len()), (1, 0), "{n}");
        assert_eq!(out.sealables[0].read.captured_at, NOW + n * 60_000);
    }
}

#[test]
fn the_held_car_is_judged_by_the_message_its_time_is_from() {
    let mut intake = Intake::new(&[5; 32]);
    for n in 0..20_i64 {
        let (begin, id) = (n * 60_000, format!("\"{n}\""));
        after(&mut intake, begin + 50, &event("new", &format!("RZ{n}"), NOW + begin).replace("\"41\"", &id));
        let lost = event("lost", &format!("RZ{n}"), NOW + begin + 25_000).replace("\"41\"", &id);
        let out = after(&mut intake, begin + 25_000, &lost);
        assert_eq!((out.sealables.len(), out.clocks_off.len()), (1, 0), "{n}");
        assert_eq!(out.sealables[0].read.captured_at, NOW + begin);
    }
}

#[test]
fn a_crop_only_of_the_plate_and_of_an_image() {
    let crop = |kind: &str, image: &[u8]| {
        let parsed = with_image(&event("lost", "X1", NOW).replace(r#""imageType":"plate""#, kind), image);
        (parsed.observations[0].crop.as_ref().map(Vec::len), parsed.ignored.crops)
    };
    let of_plate = r#""imageType":"plate""#;
    assert_eq!(crop(of_plate, JPEG), (Some(7), 0));
    for other in ["frame", "vehicle", "mmrcrop", ""] {
        assert_eq!(crop(&format!(r#""imageType":"{other}""#), JPEG), (None, 0));
    }
    // `plateImageSize` "0": an empty part, or none.
    assert_eq!(crop(of_plate, b""), (None, 0));
    let alone = event("lost", "X1", NOW).replace(r#""plateImageSize":"7""#, r#""plateImageSize":"0""#);
    let parsed = parse(KIND, "application/json", alone.as_bytes());
    assert_eq!((texts(&parsed), parsed.observations[0].crop.is_none(), parsed.ignored.crops), (vec!["X1"], true, 0));
    assert_eq!(crop(of_plate, b"GIF89a"), (None, 1));
    for (len, fits) in [(CROP_BYTES_MAX, true), (CROP_BYTES_MAX + 1, false)] {
        let mut image = vec![0; len];
        image[..3].copy_from_slice(&JPEG[..3]);
        assert_eq!(crop(of_plate, &image), if fits { (Some(len), 0) } else { (None, 1) });
    }
}

#[test]
fn datetime_is_not_used() {
    for datetime in ["20260320 054640123", "20260320 054640123+0900", "", "never"] {
        let parsed = push(&event("lost", "X1", NOW).replace("20260320 054640123", datetime));
        assert_eq!(parsed.observations[0].time.ms, NOW);
    }
}

#[test]
fn a_car_number_that_comes_again_is_another_car() {
    let day = 86_400_000;
    let id = |at_ms: i64| push(&event("lost", "X1", at_ms)).observations[0].engine_id.clone().unwrap();
    assert_ne!(id(NOW), id(NOW + day));
    assert_eq!(id(NOW), id(NOW + 1000));
    let mut intake = Intake::new(&[5; 32]);
    assert_eq!(sealed(&after(&mut intake, 0, &event("lost", "RZ1", NOW))), ["RZ1"]);
    assert_eq!(sealed(&after(&mut intake, 60_000, &event("lost", "RZ2", NOW + 60_000))), ["RZ2"]);
    // A car that passes at midnight has two ids and is one read.
    let midnight = (NOW / day + 1) * day - NOW;
    after(&mut intake, midnight - 1000, &event("new", "RZ3", NOW + midnight - 1000));
    let out = after(&mut intake, midnight + 5000, &event("lost", "RZ3", NOW + midnight + 5000));
    assert_eq!(sealed(&out), ["RZ3"]);
    assert!(intake.drain(NOW + midnight + 6000).sealables.is_empty());
    // Without a number nothing could be joined to it.
    assert_eq!(push(&event("new", "X1", NOW).replace("\"carID\"", "\"x\"")).observations[0].stage, Stage::Final);
}

#[test]
fn lists_positions_and_addresses_are_not_taken_over() {
    let words = ["Jane", "allow", "BLOCKED", "50.418114", "north", "10.1.2.3", "ACCC8E000001"];
    not_taken_over(KIND, push(&event("lost", "RZ3832H", NOW)), &words);
}

#[test]
fn ten_thousand_mutated_payloads() {
    let seeds = [event("new", "RZ3832H", NOW), event("lost", "RZ3832H", NOW)];
    mutate(KIND, "application/json", &seeds);
    mutate_with(KIND, &seeds, &|body| {
        let parts = [
            Part { name: "event", content_type: None, body },
            Part { name: "image", content_type: None, body: body.get(..9).unwrap_or(body) },
        ];
        KIND.parser().parse(&Payload { parts: &parts, ..Payload::default() }, &config(KIND))
    });
}

const LOG: &str = "<?xml version=\"1.0\"?><events><event><TS>1774000000000</TS><MOD_TS>2026-03-20 05:46:40 GMT</MOD_TS>\
    <LPR>xk-41 207</LPR><CAR_ID>41</CAR_ID><THRESHOLD>0.7954</THRESHOLD><COUNTRY>POL</COUNTRY><DIRECTION>2</DIRECTION>\
    <CAR_M_TYPE>SUV</CAR_M_TYPE><CAR_COLOR>BLACK</CAR_COLOR><CAR_CONF>0.5</CAR_CONF><LPR_USER>Jane Example</LPR_USER>\
    <LP_BMP>tools.cgi?action=getImage&amp;name=a.jpg</LP_BMP></event><event><TS>1774000001000250</TS><LPR>XK41208</LPR>\
    <DIRECTION>3</DIRECTION></event></events>";

fn asked(text: &str) -> Parsed {
    let mut config = config(KIND);
    config.camera = Some("gate".into());
    KIND.parser().parse(&Payload { content_type: "text/xml", body: text.as_bytes(), ..Payload::default() }, &config)
}

#[test]
fn the_log_of_a_camera_that_is_asked() {
    let parsed = asked(LOG);
    assert_eq!((texts(&parsed), parsed.rejected), (vec!["XK41207", "XK41208"], 0));
    let (a, b) = (&parsed.observations[0], &parsed.observations[1]);
    assert_eq!((a.time.ms, b.time.ms, a.camera_key.as_str(), a.conf), (NOW, NOW + 1_000, "gate", Some(795)));
    assert_eq!((a.motion, b.motion, a.stage), (Motion::Approaching, Motion::Receding, Stage::Final));
    assert_eq!((a.jurisdiction.unwrap().code(), a.vehicle.class.unwrap().code), ("PL", 3));
    assert_ne!(a.engine_id, b.engine_id);
    not_taken_over(KIND, parsed, &["Jane", "getImage"]);
    assert_eq!(asked("<events/>").ignored.other_events, 1);
    assert_eq!(
        slugs(&asked(&LOG.replacen("<TS>", "<X>", 1).replacen("</TS>", "</X>", 1))),
        [(None, Slug::MissingField)]
    );
    assert!(asked("<events>").is_poison());
    // Nothing in it says which camera it is of.
    assert_eq!(slugs(&parse(KIND, "text/xml", LOG.as_bytes()))[0], (None, Slug::UnknownCamera));
}

#[test]
fn a_log_of_more_cars_than_a_document_may_have_is_read_car_by_car() {
    let car = |n: i64| format!("<event><TS>{}</TS>{}<LPR>LG{n:05}</LPR></event>", NOW + n, "<x>1</x>".repeat(40));
    let log = |cars: i64| format!("<events>{}</events>", (0..cars).map(car).collect::<String>());
    for cars in [10, 2_000] {
        let parsed = asked(&log(cars));
        assert_eq!((parsed.observations.len(), parsed.rejected), (usize::try_from(cars).unwrap(), 0));
        assert_eq!(parsed.observations.last().map(|o| o.time.ms), Some(NOW + cars - 1));
    }
    // One of them cannot be read; one has no end.
    let broken = log(2_000).replacen("<LPR>LG00007", "<LPR><LPR>LG00007", 1).replacen("LG01999</LPR></event>", "", 1);
    let parsed = asked(&broken);
    assert_eq!((parsed.observations.len(), slugs(&parsed)), (1_998, vec![(None, Slug::Malformed)]));
    assert!(asked(&format!("<events>{}</events>", "<x/>".repeat(30_000))).is_poison());
    let stamps = [("1774000000000", Some(false)), (" 1774000001000250", Some(true)), ("now", None)];
    for (stamp, in_us) in stamps {
        assert_eq!(counts_in_us(format!("<events><event><TS>{stamp}</TS>").as_bytes()), in_us);
    }
    assert_eq!(counts_in_us(b"<events/>"), None);
}

#[test]
fn ten_thousand_mutated_logs() {
    mutate_with(KIND, &[LOG.to_owned()], &|body| asked(&String::from_utf8_lossy(body)));
}

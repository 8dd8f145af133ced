//! The `T` items of `intake.md` 8.10, what must never be taken over, mutated payloads. Every plate is invented.

use lockplate_core::read::{Motion, TimeQuality};

use crate::intake::Intake;
use crate::source::{Parsed, Slug, SourceKind};
use crate::tests::{NOW, mutate, not_taken_over, parse, sealed, slugs, take, texts};

const KIND: SourceKind = SourceKind::Genetec;

const READ: &str = r#"{"CameraName":"North Gate","Plate":"xk-41 207","DateUtc":"20/03/2026","TimeUtc":"09:46:40","State":"CT",
    "ConfidenceScore":"87","Latitude":44.8,"Longitude":-68.75,"ContextImage":"/9j/4AECAw==","UserName":"Jane Example",
    "Attributes":{"State Name Confidence Score":"91","Vehicle Type":"Car","Vehicle Color":"Dark Blue","Vehicle Make":"Ford",
    "Relative Motion":"Moving Away"}}"#;

fn push(text: &str) -> Parsed {
    parse(KIND, "application/json", text.as_bytes())
}

#[test]
fn the_fields_of_a_read_with_spaces_in_their_keys() {
    let parsed = push(READ);
    let o = &parsed.observations[0];
    assert_eq!((o.plate.expose_text(), o.camera_key.as_str(), o.conf), ("XK41207", "North Gate", Some(870)));
    assert_eq!((o.time.ms, o.time.quality), (NOW, TimeQuality::Exact));
    assert_eq!((o.jurisdiction.unwrap().code(), o.jur_conf), ("US-CT", Some(910)));
    let v = &o.vehicle;
    assert_eq!((v.class.unwrap().code, v.make.unwrap().code, v.colour.unwrap().code), (1, 13, 6));
    assert_eq!((o.motion, o.engine_id.is_none(), o.crop.is_none()), (Motion::Receding, true, true));
    for (word, want) in
        [("Approaching", Motion::Approaching), ("-", Motion::Unknown), ("moving away", Motion::Receding)]
    {
        assert_eq!(push(&READ.replace("Moving Away", word)).observations[0].motion, want);
    }
    // A score of -1 means that there is none.
    let unscored = push(&READ.replace("\"91\"", "-1.0").replace("\"87\"", "\"-1\""));
    assert_eq!((unscored.observations[0].jur_conf, unscored.observations[0].conf), (None, None));
    for state in ["-", "", "US", "unknown"] {
        assert!(push(&READ.replace("\"CT\"", &format!("\"{state}\""))).observations[0].jurisdiction.is_none());
    }
}

#[test]
fn the_day_comes_first() {
    let time = |date: &str, clock: &str| {
        let body = READ.replace("20/03/2026", date).replace("09:46:40", clock);
        push(&body).observations.first().map(|o| o.time.ms)
    };
    // 3 April 2026.
    assert_eq!(time("03/04/2026", "00:00:00"), Some(1_775_174_400_000));
    assert_eq!(time("20/03/2026", "09:46:40.250"), Some(NOW + 250));
    for (date, clock) in [
        ("03/20/2026", "09:46:40"),
        ("2026-03-20", "09:46:40"),
        ("20/03", "09:46:40"),
        ("20/03/2026", "25:00:00"),
        ("20/03/2026/1", "09:46:40"),
        ("20/03/2026", "+04:00"),
        ("a/b/c", "d"),
    ] {
        assert_eq!(time(date, clock), None, "{date} {clock}");
    }
    assert_eq!(slugs(&push(&READ.replace("20/03/2026", "32/03/2026"))), [(None, Slug::OutOfRange)]);
}

#[test]
fn two_plates_in_one_second_are_two_reads_and_a_repeat_is_none() {
    let mut intake = Intake::new(&[5; 32]);
    assert_eq!(sealed(&take(&mut intake, NOW + 500, KIND, push(READ))), ["XK41207"]);
    assert_eq!(sealed(&take(&mut intake, NOW + 600, KIND, push(&READ.replace("207", "208")))), ["XK41208"]);
    assert_eq!(take(&mut intake, NOW + 700, KIND, push(READ)).duplicates, 1);
}

#[test]
fn without_attributes() {
    let (head, _) = READ.split_once(",\n    \"Attributes\"").unwrap();
    for text in [format!("{head}}}"), format!("{head},\"Attributes\":null}}"), format!("{head},\"Attributes\":[]}}")] {
        let parsed = push(&text);
        let o = &parsed.observations[0];
        assert_eq!((texts(&parsed), o.jur_conf, o.motion), (vec!["XK41207"], None, Motion::Unknown));
        assert!(o.vehicle.class.is_none() && o.jurisdiction.is_some());
    }
}

#[test]
fn mandatory_fields() {
    for key in ["CameraName", "Plate", "DateUtc", "TimeUtc"] {
        let parsed = push(&READ.replace(&format!("\"{key}\""), "\"other\""));
        assert_eq!(slugs(&parsed), [(None, Slug::MissingField)], "{key}");
    }
    assert!(push("<AutoVu/>").is_poison() && push("[]").is_poison());
    assert_eq!(push(&READ.replace("xk-41 207", "")).ignored.unreadable, 1);
}

#[test]
fn pictures_positions_and_names_are_not_taken_over() {
    not_taken_over(KIND, push(READ), &["Jane", "44.8", "-68.75", "North", "/9j/"]);
}

#[test]
fn ten_thousand_mutated_payloads() {
    mutate(KIND, "application/json", &[READ.to_owned()]);
}

const SHARP: &str = r#"{"ContextCameraName":"Context","ContextImage":"/9j/4AECAw==","Id":"32cf870a-46aa-4cfd-914b-00062d98e93a",
    "Latitude":44.8,"Longitude":-68.75,"LprCameraName":"Lpr Camera","PlateAnalytics":[{"Key":"State Name","Score":0.93,"Value":"CT"},
    {"Key":"Vehicle Type","Score":1.0,"Value":"-"},{"Key":"Vehicle Color","Score":1.0,"Value":"Dark Blue"},
    {"Key":"Confidence Score","Score":1,"Value":"87"},{"Key":"Relative Motion","Score":-1.0,"Value":"Approaching"},
    {"Key":"Context","Score":1.0,"Value":"US"}],"PlateImage":"","PlateRead":"xk-41 207","SourceUrl":"SHARPV1",
    "Timestamp":"2026-03-20T05:46:40.250"}"#;

#[test]
fn the_form_of_sharpv_cameras() {
    let parsed = push(SHARP);
    let o = &parsed.observations[0];
    assert_eq!((o.plate.expose_text(), o.camera_key.as_str(), o.conf), ("XK41207", "Lpr Camera", Some(870)));
    assert_eq!((o.time.ms, o.time.quality), (NOW + 250, TimeQuality::AssumedZone));
    assert_eq!(o.engine_id.as_deref(), Some("32cf870a-46aa-4cfd-914b-00062d98e93a"));
    assert_eq!((o.jurisdiction.unwrap().code(), o.jur_conf, o.motion), ("US-CT", Some(930), Motion::Approaching));
    assert_eq!((o.vehicle.class, o.vehicle.colour.unwrap().code), (None, 6));
    let unscored = push(&SHARP.replace("0.93", "-1.0"));
    assert_eq!(unscored.observations[0].jur_conf, None);
    // Without a zone: UTC.
    let mut config = crate::tests::config(KIND);
    config.zone = None;
    let payload = crate::source::Payload { body: SHARP.as_bytes(), ..Default::default() };
    assert_eq!(KIND.parser().parse(&payload, &config).observations[0].time.ms, NOW + 250 - 4 * 3_600_000);
    assert_eq!(slugs(&push(&SHARP.replace("LprCameraName", "x"))), [(None, Slug::MissingField)]);
    assert_eq!(push(&SHARP.replace("xk-41 207", "-")).ignored.unreadable, 1);
}

//! The `T` items of `intake.md` 8.8, what must never be taken over, mutated payloads. Every plate is invented.

use lockplate_core::read::{Motion, TimeQuality};

use crate::intake::Intake;
use crate::source::{ConfigFault, Parsed, Slug, SourceConfig, SourceKind};
use crate::tests::{NOW, config, mutate, not_taken_over, parse, sealed, slugs, take, texts};
use crate::time::Zone;

const KIND: SourceKind = SourceKind::Milesight;

const READ: &str = r#"{"device":"Jane Example's gate","time":"2026-03-20 05:46:40.250","plate":"xk-41 207","type":"White",
    "speed":"61","direction":"Approach","detection_region":"1","region":"POL","resolution_width":"1920",
    "confidence":"93.4","plate_color":"White","vehicle_type":"Car","vehicle_color":"Black","Vehicle Brand":"Ford",
    "plate_image":"/9j/4AECAw==","full_image":"/9j/4AECAw=="}"#;

fn push(text: &str) -> Parsed {
    parse(KIND, "application/json", text.as_bytes())
}

#[test]
fn the_fields_of_a_read() {
    let parsed = push(READ);
    let o = &parsed.observations[0];
    assert_eq!((o.plate.expose_text(), o.camera_key.as_str(), o.conf), ("XK41207", "gate", Some(934)));
    assert_eq!((o.time.ms, o.time.quality), (NOW + 250, TimeQuality::AssumedZone));
    assert_eq!((o.jurisdiction.unwrap().code(), o.motion, o.engine_id.is_none()), ("PL", Motion::Approaching, true));
    let (class, colour) = (o.vehicle.class.unwrap().code, o.vehicle.colour.unwrap().code);
    assert_eq!((class, colour, o.crop.as_ref().map(Vec::len)), (1, 1, Some(7)));
    assert_eq!(push(&READ.replace("Approach", "Away")).observations[0].motion, Motion::Receding);
    assert_eq!(push(&READ.replace("Approach", "-")).observations[0].motion, Motion::Unknown);
}

#[test]
fn a_dash_is_absent_everywhere() {
    for (from, confidences) in [("93.4", 0), ("160", 1)] {
        let parsed = push(&READ.replace("93.4", if from == "93.4" { "-" } else { from }));
        assert_eq!((parsed.observations[0].conf, parsed.ignored.confidences), (None, confidences));
    }
    let mut dashes = READ.to_owned();
    for value in ["POL", "Approach", "93.4", "Car", "Black", "Ford", "/9j/4AECAw=="] {
        dashes = dashes.replace(&format!("\"{value}\""), "\"-\"");
    }
    let parsed = push(&dashes);
    let o = &parsed.observations[0];
    assert!(o.jurisdiction.is_none() && o.crop.is_none() && o.conf.is_none() && o.vehicle.make.is_none());
    assert_eq!((parsed.ignored.crops, parsed.ignored.confidences), (0, 0));
    let none = push(&READ.replace("xk-41 207", "-"));
    assert_eq!((none.ignored.unreadable, none.rejected, none.observations.len()), (1, 0, 0));
}

#[test]
fn a_picture_that_is_none_costs_the_crop_and_not_the_read() {
    for picture in ["no base64!", "R0lGODlh"] {
        let parsed = push(&READ.replacen("/9j/4AECAw==", picture, 1));
        assert_eq!((texts(&parsed), parsed.ignored.crops), (vec!["XK41207"], 1));
        assert!(parsed.observations[0].crop.is_none());
    }
}

#[test]
fn the_repeated_hour_is_ambiguous_and_a_zone_is_needed() {
    let time = |text: &str| push(&READ.replace("2026-03-20 05:46:40.250", text)).observations.first().map(|o| o.time);
    let repeated = time("2026-11-01 01:30:00").unwrap();
    assert_eq!((repeated.ms, repeated.quality), (1_793_511_000_000, TimeQuality::Ambiguous));
    assert_eq!(time("2026-11-01 00:30:00").unwrap().quality, TimeQuality::AssumedZone);
    assert!(time("yesterday").is_none());
    let mut config = SourceConfig::new(1, KIND);
    assert_eq!(config.check(), Err(ConfigFault::ZoneMissing));
    config.zone = Zone::parse("America/New_York");
    assert_eq!(config.check(), Err(ConfigFault::CameraMissing));
    config.camera = Some("gate".into());
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn both_spellings_of_the_make() {
    for spelling in ["Vehicle Brand", "vehicle_brand"] {
        let parsed = push(&READ.replace("Vehicle Brand", spelling));
        assert_eq!(parsed.observations[0].vehicle.make.unwrap().code, 13, "{spelling}");
    }
    let both = READ.replace(r#""Vehicle Brand":"Ford""#, r#""Vehicle Brand":"-","vehicle_brand":"Ford""#);
    assert_eq!(push(&both).observations[0].vehicle.make.unwrap().code, 13);
}

#[test]
fn a_repeat_within_ten_seconds_is_one_read() {
    let mut intake = Intake::new(&[5; 32]);
    assert_eq!(sealed(&take(&mut intake, NOW + 500, KIND, push(READ))), ["XK41207"]);
    assert_eq!(take(&mut intake, NOW + 900, KIND, push(READ)).duplicates, 1);
    let later = READ.replace("05:46:40.250", "05:46:51.250");
    assert_eq!(take(&mut intake, NOW + 11_500, KIND, push(&later)).sealables.len(), 1);
}

#[test]
fn mandatory_fields() {
    for key in ["plate", "time"] {
        let parsed = push(&READ.replacen(&format!("\"{key}\""), "\"other\"", 1));
        assert_eq!(slugs(&parsed), [(None, Slug::MissingField)], "{key}");
    }
    assert!(push("plate_0=XK41207").is_poison() && push("[]").is_poison());
    // Refused at start; without a camera here, nothing is guessed.
    let mut unfit = config(KIND);
    unfit.camera = None;
    let payload = crate::source::Payload { body: READ.as_bytes(), ..Default::default() };
    assert_eq!(slugs(&KIND.parser().parse(&payload, &unfit)), [(None, Slug::UnknownCamera)]);
}

#[test]
fn lists_names_and_speed_are_not_taken_over() {
    not_taken_over(KIND, push(READ), &["Jane", "White", "61", "gate", "1920"]);
}

#[test]
fn ten_thousand_mutated_payloads() {
    mutate(KIND, "application/json", &[READ.to_owned(), READ.replace("Vehicle Brand", "vehicle_brand")]);
}

const LAST: &str = "time_0=2026-03-20 05:46:40\nplate_0=xk-41 207\npath_0=20260320/a.jpg\nregion_0=POL\ndirection_0=2\n\
    roi_id_0=1\nplate_left_0=356\nplate_top_0=546\r\ntime_1=2026-03-20 05:46:30\nplate_1=XK41208\npath_1=20260320/b.jpg\n\
    region_1=-\ndirection_1=1\n";

#[test]
fn the_last_reads_of_a_camera_that_is_asked() {
    let parsed = push(LAST);
    assert_eq!((texts(&parsed), parsed.rejected), (vec!["XK41207", "XK41208"], 0));
    let (a, b) = (&parsed.observations[0], &parsed.observations[1]);
    assert_eq!((a.time.ms, b.time.ms, a.camera_key.as_str()), (NOW, NOW - 10_000, "gate"));
    assert_eq!((a.jurisdiction.unwrap().code(), b.jurisdiction), ("PL", None));
    assert_eq!((a.motion, b.motion), (Motion::Receding, Motion::Approaching));
    assert_eq!(a.engine_id.as_deref(), Some("2026-03-20 05:46:40/20260320/a.jpg"));
    // Two cars within a second, without pictures.
    let bare = push(&LAST.replace("path_", "p_").replace("05:46:30", "05:46:40"));
    assert_ne!(bare.observations[0].engine_id, bare.observations[1].engine_id);
    assert_eq!(push("count=0\n").ignored.other_events, 1);
    assert_eq!(slugs(&push(&LAST.replace("time_1", "x_1"))), [(None, Slug::MissingField)]);
    assert_eq!(push(&LAST.replace("XK41208", "-")).ignored.unreadable, 1);
    assert!(push("error").is_poison());
    // The camera tells its last reads again and again.
    let mut intake = Intake::new(&[1; 32]);
    assert_eq!(sealed(&take(&mut intake, NOW, KIND, push(LAST))).len(), 2);
    assert_eq!(take(&mut intake, NOW + 20_000, KIND, push(LAST)).duplicates, 2);
}

#[test]
fn ten_thousand_mutated_answers() {
    mutate(KIND, "text/plain", &[LAST.to_owned()]);
}

//! What `intake.md` 8.12 says of Tattile. Every plate is invented.

use lockplate_core::read::TimeQuality;

use super::*;
use crate::intake::Intake;
use crate::source::SourceKind;
use crate::tests::{NOW, config, mutate, parse, slugs, take, texts};

const KIND: SourceKind = SourceKind::Tattile;

const MESSAGE: &str = "<?xml version=\"1.0\"?>\r\n<Msg><PLATE_STRING>XK 41207</PLATE_STRING><DATE>2026-03-20</DATE>\
    <TIME>05-46-40-120</TIME><OCRSCORE>87</OCRSCORE><PLATE_COUNTRY_CODE>LVA</PLATE_COUNTRY_CODE>\
    <DEVICE_SN>T-0001</DEVICE_SN><DEVICE_NAME>Jane Example Street</DEVICE_NAME><DIRECTION>GOAWAY</DIRECTION>\
    <SPEED>61</SPEED><LIST_NAME>Wanted by Jane Example</LIST_NAME><IMAGE_OCR>/9j/c2NlbmU=</IMAGE_OCR></Msg>";

fn message(text: &str) -> Parsed {
    parse(KIND, "text/xml", text.as_bytes())
}

#[test]
fn a_message_with_all_its_fields() {
    let parsed = message(MESSAGE);
    let o = &parsed.observations[0];
    assert_eq!((o.camera_key.as_str(), texts(&parsed), o.conf), ("T-0001", vec!["XK41207"], Some(870)));
    assert_eq!((o.time.ms, o.time.quality), (NOW + 120, TimeQuality::AssumedZone));
    assert_eq!((o.jurisdiction.unwrap().code(), o.jur_conf, o.motion), ("LV", None, Motion::Receding));
    assert_eq!((o.engine_id.as_deref(), o.crop.as_deref()), (None, None));
}

#[test]
fn both_forms_of_the_clock() {
    let at = |date: &str, clock: &str| {
        let text = MESSAGE.replace("2026-03-20", date).replace("05-46-40-120", clock);
        message(&text).observations.first().map(|o| o.time.ms)
    };
    for (date, clock, ms) in [
        ("2026-03-20", "05:46:40", Some(NOW)),
        ("2026/03/20", "05-46-40-007", Some(NOW + 7)),
        ("2026-03-20", "05:46:40.120", Some(NOW + 120)),
        ("20 March 2026", "05:46:40", None),
        ("2026-03-20", "05:46", None),
        ("2026-03-20", "05:46:40:1:2:3", None),
        ("2026-03-20", "25:00:00", None),
    ] {
        assert_eq!(at(date, clock), ms, "{date} {clock}");
    }
    assert!(SourceConfig::new(1, KIND).check().is_err());
}

#[test]
fn the_scale_of_the_score_is_configured() {
    let score = |scale: Option<u16>, score: &str| {
        let body = MESSAGE.replace(">87<", &format!(">{score}<"));
        let config = SourceConfig { confidence_scale: scale, ..config(KIND) };
        let payload = Payload { body: body.as_bytes(), ..Payload::default() };
        let parsed = KIND.parser().parse(&payload, &config);
        (parsed.observations[0].conf, parsed.ignored.confidences)
    };
    assert_eq!(score(None, "87"), (Some(870), 0));
    assert_eq!(score(Some(999), "87"), (Some(87), 0));
    assert_eq!(score(Some(999), "999"), (Some(1000), 0));
    assert_eq!(score(None, "999"), (None, 1));
    assert_eq!(score(None, ""), (None, 0));
    assert_eq!(score(Some(0), "87"), (None, 1));
}

#[test]
fn mandatory_fields_and_the_empty_plate() {
    for tag in ["PLATE_STRING", "DATE", "TIME", "DEVICE_SN"] {
        let parsed = message(&MESSAGE.replace(tag, "OTHER"));
        assert_eq!(slugs(&parsed), [(None, Slug::MissingField)], "{tag}");
        assert_eq!(parsed.problems[0].pointer.as_deref(), Some(format!("/{tag}").as_str()));
    }
    let parsed = message(&MESSAGE.replace("XK 41207", ""));
    assert_eq!((parsed.ignored.unreadable, parsed.rejected), (1, 0));
    for bad in ["", "{}", "<Msg>"] {
        assert_eq!(slugs(&message(bad)), [(None, Slug::Malformed)]);
    }
    for (len, fits) in [(ID_BYTES_MAX, true), (ID_BYTES_MAX + 1, false)] {
        assert_eq!(message(&MESSAGE.replace("T-0001", &"T".repeat(len))).observations.len(), usize::from(fits));
    }
}

#[test]
fn what_must_never_be_taken_over_is_not_in_the_record() {
    let out = take(&mut Intake::new(&[5; 32]), NOW, KIND, message(MESSAGE));
    let record = out.sealables[0].read.to_record().unwrap();
    for word in [&b"Jane"[..], b"Wanted", b"61", b"T-0001", b"scene"] {
        assert!(!record.windows(word.len()).any(|w| w == word));
    }
    assert_eq!(out.sealables[0].crop, None);
}

#[test]
fn ten_thousand_mutated_payloads_of_tattile() {
    mutate(KIND, "text/xml", &[MESSAGE.to_owned()]);
}

//! The `T` items of `intake.md` 8.6 that ITSAPI is about. Every plate is invented.

use lockplate_core::read::TimeQuality;

use super::*;
use crate::intake::Intake;
use crate::source::SourceKind;
use crate::tests::{NOW, mutate, parse, sealed, slugs, take, texts};

const KIND: SourceKind = SourceKind::Dahua;

const NOTIFICATION: &str = r#"{"Picture":{"CutoutPic":{"Content":"/9j/cGxhdGU=","PicName":"cutout.jpg"},
    "NormalPic":{"Content":"/9j/SmFuZQ==","PicName":"20260320054640_0007.jpg"},
    "Plate":{"BoundingBox":[1,2,3,4],"Channel":0,"Confidence":93,"IsExist":true,"PlateColor":"White","PlateNumber":"Z A12345",
    "PlateType":"Normal","Region":"LVA","UploadNum":1},
    "SnapInfo":{"AccurateTime":"2026-03-20 05:46:40.120","AllowUser":"Jane Example","AllowUserEndTime":"","BlockUser":true,
    "DefenceCode":"d41d8cd9","DeviceID":"D-0001","Direction":"Approach","InCarPeopleNum":3,"LanNo":1,"OpenStrobe":true,
    "SnapTime":"2026-03-20 05:46:40","TimeZone":12},
    "Vehicle":{"VehicleBoundingBox":[1,2,3,4],"VehicleColor":"DarkGray","VehicleSeries":"Unknown","VehicleSign":"Toyota",
    "VehicleType":"SUV","SafeBelt":"WithSafeBelt","Calling":true,"RiderAge":77,"Speed":61}}}"#;

fn notify(text: &str) -> Parsed {
    parse(KIND, "application/json;charset=UTF-8", text.as_bytes())
}

#[test]
fn a_notification_with_all_its_fields() {
    let parsed = notify(NOTIFICATION);
    let o = &parsed.observations[0];
    assert_eq!((o.camera_key.as_str(), texts(&parsed), o.conf), ("D-0001", vec!["ZA12345"], Some(930)));
    assert_eq!((o.time.ms, o.time.quality), (NOW + 120, TimeQuality::AssumedZone));
    assert_eq!((o.jurisdiction.unwrap().code(), o.motion), ("LV", Motion::Approaching));
    assert_eq!(
        (o.vehicle.class.unwrap().code, o.vehicle.make.unwrap().code, o.vehicle.colour.unwrap().code),
        (3, 50, 3)
    );
    assert_eq!(o.engine_id.as_deref(), Some("D-0001/20260320054640_0007.jpg"));
    assert_eq!(o.crop.as_deref(), Some(b"\xff\xd8\xffplate".as_slice()));
    assert_eq!((parsed.rejected, parsed.ignored), (0, crate::source::Ignored::default()));
    assert_eq!(texts(&notify(&NOTIFICATION.replace("Z A12345", "abc-123"))), ["ABC123"]);
    assert!(SourceConfig::new(1, KIND).check().is_err());
}

#[test]
fn a_confidence_of_160_is_none_and_counted() {
    let parsed = notify(&NOTIFICATION.replace("\"Confidence\":93", "\"Confidence\":160"));
    assert_eq!((parsed.observations[0].conf, parsed.ignored.confidences), (None, 1));
}

#[test]
fn placeholders_empty_texts_and_nulls() {
    for text in ["Unknown", "Unknow", "unknow", "<unknown>", "No Plate", "", "-"] {
        let parsed = notify(&NOTIFICATION.replace("Z A12345", text));
        assert_eq!((parsed.ignored.unreadable, parsed.rejected, parsed.observations.len()), (1, 0, 0), "{text}");
    }
    for plate in ["UNKNOWN", "NOPLATE", "NO PLATE", "NULL"] {
        assert_eq!(notify(&NOTIFICATION.replace("Z A12345", plate)).observations.len(), 1, "{plate}");
    }
    let value: Value = serde_json::from_str(NOTIFICATION).unwrap();
    for place in ["/Picture/CutoutPic", "/Picture/NormalPic", "/Picture/Vehicle", "/Picture/SnapInfo/Direction"] {
        let mut nulled = value.clone();
        *nulled.pointer_mut(place).unwrap() = Value::Null;
        assert_eq!(texts(&notify(&nulled.to_string())), ["ZA12345"], "{place}");
    }
    for place in ["/Picture/Plate", "/Picture/Plate/PlateNumber"] {
        let mut nulled = value.clone();
        *nulled.pointer_mut(place).unwrap() = Value::Null;
        assert_eq!(notify(&nulled.to_string()).ignored.unreadable, 1, "{place}");
    }
    for (place, pointer) in [
        ("/Picture", "/Plate/PlateNumber"),
        ("/Picture/SnapInfo", "/Picture/SnapInfo/DeviceID"),
        ("/Picture/SnapInfo/DeviceID", "/Picture/SnapInfo/DeviceID"),
        ("/Picture/SnapInfo/AccurateTime", "/Picture/SnapInfo/AccurateTime"),
    ] {
        let mut nulled = value.clone();
        *nulled.pointer_mut(place).unwrap() = Value::Null;
        let parsed = notify(&nulled.to_string());
        assert_eq!((slugs(&parsed), parsed.is_poison()), (vec![(None, Slug::MissingField)], true), "{place}");
        assert_eq!(parsed.problems[0].pointer.as_deref(), Some(pointer));
    }
    assert_eq!(slugs(&notify(&NOTIFICATION.replace("2026-03-20 05", "2026-03-20 25"))), [(None, Slug::OutOfRange)]);
}

#[test]
fn signs_of_life_are_counted_and_heard() {
    let alive = notify(r#"{"Active":"keepAlive","DeviceID":"D-0001"}"#);
    assert_eq!((alive.ignored.other_events, alive.rejected), (1, 0));
    assert_eq!(alive.heartbeat.unwrap().cameras, [("D-0001".to_owned(), None)]);
    let device = notify(r#"{"DeviceName":"x","DeviceModel":"y"}"#);
    assert_eq!((device.ignored.other_events, device.heartbeat), (1, None));
    for bad in ["", "[]", "1", "{\"Picture\"", "<Picture>"] {
        assert!(notify(bad).is_poison(), "{bad}");
    }
}

#[test]
fn the_same_picture_is_one_read_and_the_same_name_on_another_camera_another() {
    let mut intake = Intake::new(&[5; 32]);
    assert_eq!(sealed(&take(&mut intake, NOW, KIND, notify(NOTIFICATION))), ["ZA12345"]);
    let hours = 23 * 3_600_000;
    assert_eq!(take(&mut intake, NOW + hours, KIND, notify(NOTIFICATION)).duplicates, 1);
    let other = notify(&NOTIFICATION.replace("D-0001", "D-0002"));
    assert_eq!(sealed(&take(&mut intake, NOW, KIND, other)), ["ZA12345"]);
}

#[test]
fn other_shapes_of_the_same_object() {
    let whole = notify(NOTIFICATION).observations;
    // Without the wrapper.
    let value: Value = serde_json::from_str(NOTIFICATION).unwrap();
    assert_eq!(notify(&value["Picture"].to_string()).observations, whole);
    // Flat keys in a JSON object.
    let mut flat = Map::new();
    for (group, inner) in value["Picture"].as_object().unwrap() {
        for (key, inner) in inner.as_object().unwrap() {
            flat.insert(format!("Picture.{group}.{key}"), inner.clone());
        }
    }
    assert_eq!(notify(&Value::Object(flat).to_string()).observations, whole);
    // XML with the same names.
    let xml = "<TollgateInfo><Picture><Plate><PlateNumber>Z A12345</PlateNumber><Confidence>93</Confidence></Plate><SnapInfo>\
        <DeviceID>D-0001</DeviceID><AccurateTime>2026-03-20 05:46:40.120</AccurateTime></SnapInfo></Picture></TollgateInfo>";
    let parsed = parse(KIND, "application/xml", xml.as_bytes());
    assert_eq!((texts(&parsed), parsed.observations[0].conf), (vec!["ZA12345"], Some(930)));
    assert_eq!(notify(&xml.replace("Z A12345", "&lt;unknown&gt;")).ignored.unreadable, 1);
    assert_eq!(notify("<Other><Names/></Other>").ignored.other_events, 1);
}

#[test]
fn dotted_keys_at_the_bounds() {
    let depth = |n: usize| nested(serde_json::json!({ vec!["a"; n].join("."): 1 }));
    assert_eq!(depth(3), serde_json::json!({"a": {"a": {"a": 1}}}));
    assert!(depth(NESTING_MAX).get("a").is_some() && depth(NESTING_MAX + 1).get("a").is_none());
    for (len, kept) in [(FLAT_KEY_BYTES_MAX, true), (FLAT_KEY_BYTES_MAX + 1, false)] {
        let key = format!("a.{}", "b".repeat(len - 2));
        assert_eq!(nested(serde_json::json!({ key: 1 })).get("a").is_some(), kept);
    }
    // What leads through something that is no object is dropped.
    assert_eq!(nested(serde_json::json!({"a": 1, "a.b": 2})), serde_json::json!({"a": 1}));
}

#[test]
fn what_must_never_be_taken_over_is_not_in_the_record() {
    let out = take(&mut Intake::new(&[5; 32]), NOW, KIND, notify(NOTIFICATION));
    let record = out.sealables[0].read.to_record().unwrap();
    for word in [&b"Jane"[..], b"WithSafeBelt", b"61", b"77", b"D-0001", b"0007"] {
        assert!(!record.windows(word.len()).any(|w| w == word), "{word:?}");
    }
    assert_eq!(out.sealables[0].crop.as_deref(), Some(b"\xff\xd8\xffplate".as_slice()));
    let uncut = NOTIFICATION.replace("/9j/cGxhdGU=", "no picture");
    let parsed = notify(&uncut);
    assert_eq!((parsed.observations[0].crop.as_deref(), parsed.ignored.crops), (None, 1));
}

#[test]
fn ten_thousand_mutated_payloads_of_dahua() {
    let xml = "<Picture><Plate><PlateNumber>Z A12345</PlateNumber></Plate><SnapInfo><DeviceID>D</DeviceID>\
        <AccurateTime>2026-03-20 05:46:40.120</AccurateTime></SnapInfo></Picture>";
    mutate(KIND, "application/json", &[NOTIFICATION.to_owned(), xml.to_owned()]);
}

//! The `T` items of `intake.md` 8.6 that the event stream is about. Every plate is invented.

use lockplate_core::read::{Motion, TimeQuality};

use super::*;
use crate::intake::Intake;
use crate::source::{ConfigFault, SourceKind};
use crate::tests::{NOW, config, mutate, parse, sealed, slugs, take, texts};

const KIND: SourceKind = SourceKind::DahuaEvents;

/// As the camera writes it: over several lines.
const DATA: &str = r#"{
   "CommInfo" : { "AllowUser" : "Jane Example", "Seat" : [ { "SafeBelt" : "WithSafeBelt", "Type" : "Main" } ] },
   "CountInGroup" : 1,
   "EventID" : 516,
   "GroupID" : 175706653,
   "IndexInGroup" : 1,
   "MainSeat" : { "DriverCalling" : "Calling", "DriverSmoking" : "Smoking" },
   "NonMotor" : { "RiderList" : [ { "Age" : 34, "Helmet" : 1 } ] },
   "Object" : { "Confidence" : 160, "ObjectType" : "Plate", "Text" : "Z A12345" },
   "RealUTC" : 1774000000,
   "TimeZone" : 12,
   "TrafficCar" : { "PlateNumber" : "Z A12345", "VehicleColor" : "Blue", "VehicleSign" : "Toyota", "Speed" : 61,
      "DrivingDirection" : [ "Leave", "out {", "in" ], "UTC" : 1773985600, "MachineName" : "M-0001" },
   "UTC" : 1773985600,
   "UTCMS" : 305,
   "Vehicle" : { "Category" : "LargeTruck", "Confidence" : 160, "Text" : null }
}"#;

fn stream(text: &str) -> Parsed {
    parse(KIND, "text/plain", text.as_bytes())
}

fn line(data: &str) -> String {
    format!("Code=TrafficJunction;action=Pulse;index=0;data={data}\r\n\r\n")
}

fn flat(prefix: &str, plate: &str) -> String {
    [
        "EventBaseInfo.Code=TrafficJunction",
        "EventBaseInfo.Action=Pulse",
        "EventBaseInfo.Index=0",
        "GroupID=7",
        "RealUTC=1774000000",
        "TrafficCar.AllowUser=Jane Example",
        "TrafficCar.DrivingDirection[0]=Approach",
        &format!("TrafficCar.PlateNumber={plate}"),
        "UTCMS= 305",
    ]
    .iter()
    .map(|pair| format!("{prefix}.{pair}\r\n"))
    .collect()
}

fn data(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(DATA).unwrap();
    change(&mut value);
    line(&value.to_string())
}

#[test]
fn the_three_shapes_say_the_same() {
    let whole = stream(&line(DATA));
    let o = &whole.observations[0];
    assert_eq!((o.camera_key.as_str(), texts(&whole), o.conf), ("gate", vec!["ZA12345"], Some(627)));
    assert_eq!((o.time.ms, o.time.quality), (NOW + 305, TimeQuality::Exact));
    assert_eq!((o.engine_id.as_deref(), o.motion), (Some("gate/175706653"), Motion::Receding));
    assert_eq!(
        (o.vehicle.class.unwrap().code, o.vehicle.make.unwrap().code, o.vehicle.colour.unwrap().code),
        (6, 50, 6)
    );
    let call = |code: &str| {
        format!(
            r#"{{"id":3,"method":"client.notifyEventStream","params":{{"SID":5,"eventList":[{{"Action":"Pulse",{code}"Data":{DATA}}}]}}}}"#
        )
    };
    for json in [
        call(r#""Code":"TrafficJunction","#),
        call(r#""EventBaseInfo":{"Code":"TrafficJunction","Index":0},"#),
        call(""),
    ] {
        assert_eq!(stream(&json).observations, whole.observations);
    }
    for prefix in ["Events[0]", "ReturnEvents[0]", "Events[1].Data"] {
        let text = flat(prefix, "Z A12345");
        let text = if prefix.ends_with("Data") { text.replace("].Data.EventBase", "].EventBase") } else { text };
        let parsed = stream(&text);
        let o = &parsed.observations[0];
        assert_eq!(
            (texts(&parsed), o.time.ms, o.motion),
            (vec!["ZA12345"], NOW + 305, Motion::Approaching),
            "{prefix}"
        );
        assert_eq!((o.engine_id.as_deref(), parsed.ignored), (Some("gate/7"), crate::source::Ignored::default()));
    }
}

#[test]
fn events_after_each_other_with_and_without_their_frames() {
    let framed = |body: &str| {
        format!("--myboundary\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let many = [
        framed("Heartbeat\r\n"),
        framed(&line(DATA)),
        framed(&flat("Events[0]", "abc-123")),
        "Code=VideoMotion;action=Start;index=0\r\nCode=NewFile;action=Pulse;index=0;data=null\n".to_owned(),
        "Success......\r\n".to_owned(),
        // No blank line between two: the key that comes again begins the second.
        flat("Events[0]", "QZ1"),
        flat("Events[0]", "QZ2"),
        flat("Events[0]", "QZ3").replace("Events[0]", "Events[1]"),
    ]
    .concat();
    let parsed = stream(&many);
    assert_eq!(texts(&parsed), ["ZA12345", "ABC123", "QZ1", "QZ2", "QZ3"]);
    assert_eq!((parsed.ignored.other_events, parsed.ignored.stray_lines, parsed.rejected), (3, 1, 0));
    assert_eq!(parsed.heartbeat.unwrap().cameras, [("gate".to_owned(), None)]);
}

#[test]
fn a_bad_event_does_not_harm_a_good_one() {
    let parsed = stream(&format!("Code=TrafficJunction;action=Pulse;index=0;data={{x}}\n{}{{\"a\":", line(DATA)));
    assert_eq!((texts(&parsed), parsed.rejected), (vec!["ZA12345"], 2));
    assert_eq!(slugs(&parsed), [(None, Slug::Malformed), (None, Slug::Malformed)]);
    assert_eq!(slugs(&stream("Code=TrafficJunction;action=Pulse;index=0\n")), [(None, Slug::MissingField)]);
    for bad in [b"Events[0].Code=\0\n".as_slice(), b"\xff\xfe"] {
        assert_eq!(slugs(&parse(KIND, "", bad)), [(None, Slug::Malformed)]);
    }
    assert_eq!(stream("").rejected, 0);
}

#[test]
fn utc_is_local_time_dressed_as_utc() {
    let at = |change: fn(&mut Value)| stream(&data(change)).observations.first().map(|o| (o.time.ms, o.time.quality));
    // 14,400 s off: New York in March.
    assert_eq!(at(|d| d["RealUTC"] = Value::Null), Some((NOW + 305, TimeQuality::AssumedZone)));
    assert_eq!(
        at(|d| {
            d["RealUTC"] = 0.into();
            d["UTC"] = "1773985600".into();
            d["UTCMS"] = 1000.into();
        }),
        Some((NOW, TimeQuality::AssumedZone))
    );
    assert_eq!(
        at(|d| {
            d["RealUTC"] = Value::Null;
            d["UTC"] = "2026-03-20 05:46:40".into();
        }),
        Some((NOW, TimeQuality::AssumedZone))
    );
    assert_eq!(at(|d| d["RealUTC"] = "1774000000".into()), Some((NOW + 305, TimeQuality::Exact)));
    // The same in Bangkok: 25,200 s.
    let bangkok = SourceConfig { zone: Zone::parse("Asia/Bangkok"), ..config(KIND) };
    let text = data(|d| {
        d["RealUTC"] = Value::Null;
        d["UTC"] = 1_774_025_200.into();
    });
    let payload = Payload { body: text.as_bytes(), ..Payload::default() };
    assert_eq!(KIND.parser().parse(&payload, &bangkok).observations[0].time.ms, NOW + 305);
    let none = data(|d| {
        d["RealUTC"] = Value::Null;
        d["UTC"] = Value::Null;
        d["TrafficCar"]["UTC"] = Value::Null;
    });
    assert_eq!(slugs(&stream(&none)), [(None, Slug::MissingField)]);
    let bad = data(|d| {
        d["RealUTC"] = Value::Null;
        d["UTC"] = "soon".into();
    });
    assert_eq!(slugs(&stream(&bad)), [(None, Slug::OutOfRange)]);
}

#[test]
fn a_true_utc_elsewhere_is_a_wrong_clock_and_not_a_wrong_time() {
    let text = data(|d| {
        d["RealUTC"] = Value::Null;
        d["UTC"] = 1_774_000_000.into();
    });
    let out = take(&mut Intake::new(&[5; 32]), NOW, KIND, stream(&text));
    let read = &out.sealables[0].read;
    assert_eq!((read.captured_at, read.time_quality), (NOW, TimeQuality::ReceiveTime));
    assert_eq!(read.source_time, Some(NOW + 14_400_305));
}

#[test]
fn placeholders_nulls_and_the_text_of_the_object() {
    for text in ["Unknown", "Unknow", "unknow", "<unknown>", "No Plate", ""] {
        let parsed = stream(&line(&DATA.replace("Z A12345", text)));
        assert_eq!((parsed.ignored.unreadable, parsed.rejected, parsed.observations.len()), (1, 0, 0), "{text}");
    }
    for empty in [Value::Null, "".into(), "Unknown".into()] {
        let parsed = stream(&data(|d| d["TrafficCar"]["PlateNumber"] = empty));
        assert_eq!((texts(&parsed), parsed.observations[0].conf), (vec!["ZA12345"], Some(627)));
    }
    // The text of a vehicle is its make.
    let make = stream(&data(|d| {
        d["TrafficCar"]["PlateNumber"] = Value::Null;
        d["Object"]["ObjectType"] = "Vehicle".into();
        d["Object"]["Text"] = "Toyota".into();
    }));
    assert_eq!((make.ignored.unreadable, make.observations.len()), (1, 0));
    // The number is about the object's own text.
    let other = stream(&data(|d| d["Object"]["Text"] = "Z A1234S".into()));
    assert_eq!((texts(&other), other.observations[0].conf), (vec!["ZA12345"], None));
    let nulls = stream(&data(|d| {
        for key in ["CommInfo", "Object", "Vehicle", "GroupID", "EventID", "UTCMS", "CountInGroup", "IndexInGroup"] {
            d[key] = Value::Null;
        }
        for key in ["VehicleColor", "VehicleSign", "DrivingDirection"] {
            d["TrafficCar"][key] = Value::Null;
        }
    }));
    let o = &nulls.observations[0];
    assert_eq!((texts(&nulls), o.conf, o.engine_id.as_deref(), o.time.ms), (vec!["ZA12345"], None, None, NOW));
    let none = data(|d| {
        d["TrafficCar"] = Value::Null;
        d["Object"] = Value::Null;
    });
    assert_eq!(slugs(&stream(&none)), [(None, Slug::MissingField)]);
}

#[test]
fn a_group_is_one_read_and_other_plates_in_it_are_others() {
    let mut intake = Intake::new(&[5; 32]);
    let picture = |index: u64, plate: &str| {
        let plate = plate.to_owned();
        stream(&data(move |d| {
            d["CountInGroup"] = 2.into();
            d["IndexInGroup"] = index.into();
            d["EventID"] = index.into();
            d["TrafficCar"]["PlateNumber"] = plate.into();
        }))
    };
    let first = take(&mut intake, NOW, KIND, picture(1, "Z A12345"));
    assert_eq!(sealed(&first), ["ZA12345"]);
    assert_eq!(take(&mut intake, NOW + 300, KIND, picture(2, "Z A12345")).duplicates, 1);
    let behind = take(&mut intake, NOW + 300, KIND, picture(2, "QZ 777"));
    assert_eq!(sealed(&behind), ["QZ777"]);
    assert_eq!(behind.sealables[0].read.engine_ref, first.sealables[0].read.engine_ref);
    // Without a group each event is one; 0 is no group.
    let single = |event: u64| {
        stream(&data(move |d| {
            d["GroupID"] = 0.into();
            d["EventID"] = event.into();
        }))
    };
    assert_eq!(single(516).observations[0].engine_id.as_deref(), Some("gate/event/516"));
    assert_eq!(single(0).observations[0].engine_id, None);
}

#[test]
fn front_and_back_plates_that_differ_are_two_reads() {
    let sides = |front: &'static str, back: &'static str| {
        stream(&data(move |d| {
            d["TrafficCar"]["FrontPlateNumber"] = front.into();
            d["BackPlateNumber"] = back.into();
        }))
    };
    let two = sides("Z A12345", "QZ 777");
    assert_eq!(
        (texts(&two), two.observations[0].conf, two.observations[1].conf),
        (vec!["ZA12345", "QZ777"], Some(627), None)
    );
    assert_ne!(two.observations[0].engine_id, two.observations[1].engine_id);
    assert_eq!(sealed(&take(&mut Intake::new(&[5; 32]), NOW, KIND, two)), ["ZA12345", "QZ777"]);
    assert_eq!(texts(&sides("za-12345", "Unknown")), ["ZA12345"]);
}

#[test]
fn other_events_in_the_batch_are_counted() {
    let list =
        |others: &str| format!(r#"{{"params":{{"eventList":[{others}{{"Code":"TrafficJunction","Data":{DATA}}}]}}}}"#);
    let batch = list(
        r#"{"Code":"VideoMotion","Data":{}},{"Code":"TrafficParking","Data":{"TrafficCar":{"PlateNumber":"QZ1"}}},
        {"Code":null,"Data":{"Object":{"Text":"x"}}},null,7,[],"#,
    );
    let parsed = stream(&batch);
    assert_eq!((texts(&parsed), parsed.ignored.other_events, parsed.rejected), (vec!["ZA12345"], 6, 0));
    assert_eq!(stream("[]").ignored.other_events, 0);
}

#[test]
fn flat_keys_in_a_json_object() {
    let object = r#"{"Events[0].Code":"TrafficJunction","Events[0].TrafficCar.PlateNumber":"Z A12345","Events[0].RealUTC":1774000000,
        "Events[0].TrafficCar.AllowUser":"Jane Example","Events[1].Code":"Other"}"#;
    let inner = r#"{"Code":"TrafficJunction","Data":{"TrafficCar.PlateNumber":"Z A12345","RealUTC":"1774000000"}}"#;
    for text in [object.to_owned(), inner.to_owned(), format!("{{\"Events\":[{inner}]}}"), format!("[{inner}]")] {
        let parsed = stream(&text);
        assert_eq!((texts(&parsed), parsed.observations[0].time.ms), (vec!["ZA12345"], NOW), "{text}");
    }
    let data = r#"{"TrafficCar.PlateNumber":"Z A12345","RealUTC":1774000000}"#;
    assert_eq!(texts(&stream(&line(data))), ["ZA12345"]);
}

#[test]
fn the_camera_is_configured_and_further_channels_are_others() {
    for (index, key) in [("0", "gate"), ("", "gate"), ("3", "gate/3"), ("x", "gate"), ("12345", "gate")] {
        let text = line(DATA).replace("index=0", &format!("index={index}"));
        assert_eq!(stream(&text).observations[0].camera_key, key, "{index}");
    }
    assert_eq!(SourceConfig { camera: None, ..config(KIND) }.check(), Err(ConfigFault::CameraMissing));
    let nowhere = SourceConfig { camera: None, ..config(KIND) };
    let text = line(DATA) + "Heartbeat\n";
    let parsed = KIND.parser().parse(&Payload { body: text.as_bytes(), ..Payload::default() }, &nowhere);
    assert_eq!(slugs(&parsed), [(None, Slug::MissingField)]);
}

#[test]
fn limits_at_the_bound_and_beyond() {
    let events = |n: usize| stream(&line(r#"{"TrafficCar":{"PlateNumber":"A1"},"RealUTC":1774000000}"#).repeat(n));
    assert_eq!((events(OBSERVATIONS_MAX).observations.len(), events(OBSERVATIONS_MAX).rejected), (OBSERVATIONS_MAX, 0));
    let over = events(OBSERVATIONS_MAX + 1);
    assert_eq!((over.observations.len(), slugs(&over)), (OBSERVATIONS_MAX, vec![(None, Slug::TooLarge)]));
    let lines = |n: usize| stream(&(0..n).map(|at| format!("Events[0].K{at}=1\n")).collect::<String>());
    assert_eq!((lines(FLAT_LINES_MAX).rejected, lines(FLAT_LINES_MAX + 1).rejected), (0, 1));
    for (len, fits) in [(BODY_BYTES_MAX, true), (BODY_BYTES_MAX + 1, false)] {
        assert_eq!(stream(&" ".repeat(len)).rejected, u64::from(!fits));
    }
    for (len, fits) in [(ID_BYTES_MAX, true), (ID_BYTES_MAX + 1, false)] {
        let text = data(move |d| {
            d["GroupID"] = "7".repeat(len).into();
            d["EventID"] = Value::Null;
        });
        assert_eq!(stream(&text).observations[0].engine_id.is_some(), fits);
    }
}

#[test]
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "how long a refusal takes is what is tested")]
fn long_texts_cost_no_more_than_their_length() {
    const MIB: usize = 1 << 20;
    let long = |unit: &str| unit.repeat(8 * MIB / unit.len());
    for (name, text) in [
        ("braces", long("{")),
        ("values on a line", long("{}")),
        ("values on lines", long("{}\n")),
        ("bad values on lines", long("{x}\n")),
        ("events on a line", long("Code=A;data={}")),
        ("events on lines", long("Code=A\n")),
        ("flat keys", long("Events[0].A=1\n")),
        ("quotes", format!("{{{}", long("\""))),
    ] {
        let began = std::time::Instant::now();
        drop(stream(&text));
        // It takes milliseconds; what grows with the square of the length would take hours.
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{name}");
    }
}

#[test]
fn what_must_never_be_taken_over_is_not_in_the_record() {
    for text in [line(DATA), flat("Events[0]", "Z A12345")] {
        let out = take(&mut Intake::new(&[5; 32]), NOW, KIND, stream(&text));
        let record = out.sealables[0].read.to_record().unwrap();
        for word in [&b"Jane"[..], b"WithSafeBelt", b"Calling", b"Smoking", b"61", b"M-0001", b"1757066"] {
            assert!(!record.windows(word.len()).any(|w| w == word), "{word:?}");
        }
        assert_eq!(out.sealables[0].crop, None);
        assert!(!format!("{out:?}").contains("ZA12345"));
    }
}

#[test]
fn ten_thousand_mutated_payloads_of_dahua_events() {
    let list = format!(r#"{{"params":{{"eventList":[{{"Code":"TrafficJunction","Data":{DATA}}}]}}}}"#);
    mutate(KIND, "text/plain", &[line(DATA), flat("Events[0]", "QZ1") + &flat("Events[0]", "QZ2"), list]);
}

//! The `T` items of `intake.md` 8.5. Every plate is invented.

use lockplate_core::read::{ReadFlags, TimeQuality};

use super::*;
use crate::intake::Intake;
use crate::limits::{CROP_BYTES_MAX, PARTS_MAX};
use crate::normalise::Placement;
use crate::source::SourceKind;
use crate::tests::{NOW, config, mutate, parse, sealed, slugs, take, texts};

const KIND: SourceKind = SourceKind::Hikvision;

const ALERT: &str = r#"<?xml version="1.0" encoding="UTF-8" ?>
<EventNotificationAlert version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<ipAddress>192.0.2.64</ipAddress><portNo>80</portNo><protocol>HTTP</protocol>
<macAddress>02:00:5e:00:00:01</macAddress><channelID>1</channelID>
<dateTime>2026-03-20T05:46:40.120-04:00</dateTime><activePostCount>1</activePostCount>
<eventType>ANPR</eventType><eventState>active</eventState><eventDescription>ANPR</eventDescription>
<channelName>Jane Example Street</channelName>
<ANPR><country>3</country><licensePlate>XK41207</licensePlate><line>1</line><direction>forward</direction>
<confidenceLevel>97</confidenceLevel><plateType>unknown</plateType><plateColor>white</plateColor><licenseBright>0</licenseBright>
<dangmark>no</dangmark><twoWheelVehicle>no</twoWheelVehicle><pilotsafebelt>yes</pilotsafebelt><vicepilotsafebelt>no</vicepilotsafebelt>
<uphone>yes</uphone><pdvs>1</pdvs><vehicleType>SUVMPV</vehicleType><detectType>2</detectType>
<vehicleInfo><index>1</index><colorDepth>2</colorDepth><color>deepGray</color><speed>61</speed><length>0</length>
<vehicleLogoRecog>1036</vehicleLogoRecog><vehileModel>7</vehileModel></vehicleInfo>
<vehicleListName>Wanted by Jane Example</vehicleListName><plateCharBelieve>99,98,97,97,96,95,94</plateCharBelieve>
<pictureInfoList><pictureInfo><fileName>detectionPicture.jpg</fileName><absTime>20260320054640119</absTime></pictureInfo></pictureInfoList>
<countryAbbreviation>POL</countryAbbreviation></ANPR>
<UUID>0c6c3c5e-1dd2-11b2-8a41-02005e000001</UUID><picNum>2</picNum><isDataRetransmission>false</isDataRetransmission>
</EventNotificationAlert>
"#;

fn alert(text: &str) -> Parsed {
    parse(KIND, "application/xml; charset=\"UTF-8\"", text.as_bytes())
}

fn part<'a>(name: &'a str, body: &'a [u8]) -> Part<'a> {
    Part { name, content_type: None, body }
}

fn multipart(parts: &[Part<'_>]) -> Parsed {
    let payload = Payload { content_type: "multipart/form-data; boundary=b", parts, ..Payload::default() };
    KIND.parser().parse(&payload, &config(KIND))
}

fn without(tag: &str) -> String {
    let (before, rest) = ALERT.split_once(&format!("<{tag}>")).unwrap();
    format!("{before}{}", rest.split_once(&format!("</{tag}>")).unwrap().1)
}

#[test]
fn an_alert_with_all_its_fields() {
    let parsed = alert(ALERT);
    let o = &parsed.observations[0];
    assert_eq!((o.camera_key.as_str(), texts(&parsed), o.conf), ("02:00:5e:00:00:01/1", vec!["XK41207"], Some(970)));
    assert_eq!((o.time.ms, o.time.quality), (NOW + 120, TimeQuality::Exact));
    assert_eq!(o.engine_id.as_deref(), Some("0c6c3c5e-1dd2-11b2-8a41-02005e000001"));
    assert_eq!((o.jurisdiction.unwrap().code(), o.jur_conf, o.motion), ("PL", None, Motion::Approaching));
    assert_eq!((o.vehicle.class.unwrap().code, o.vehicle.colour.unwrap().code, o.vehicle.make), (3, 3, None));
    assert!(parsed.heartbeat.is_none() && parsed.rejected == 0);
}

#[test]
fn any_namespace_or_none_and_no_declaration() {
    let bare = ALERT.split_once('\n').unwrap().1;
    let plain = bare.replace(r#" xmlns="http://www.hikvision.com/ver20/XMLSchema""#, "");
    let isapi = ALERT.replace("www.hikvision.com", "www.isapi.org");
    let prefixed = plain.replace("</", "</h:").replace('<', "<h:").replace("<h:/h:", "</h:");
    for text in [bare, &plain, &isapi, &prefixed] {
        assert_eq!(alert(text).observations, alert(ALERT).observations);
    }
}

#[test]
fn misspelt_and_empty_tags_are_absent() {
    let empty = |tag: &str| {
        let text = without(tag);
        text.replacen("<ANPR>", &format!("<ANPR><{tag}/>"), 1)
    };
    let o = &alert(&empty("direction").replace("vehicleType>", "vehileType>")).observations[0];
    assert_eq!((o.motion, o.vehicle.class), (Motion::Unknown, None));
    for tag in ["UUID", "confidenceLevel", "country", "countryAbbreviation", "vehicleInfo"] {
        assert_eq!(texts(&alert(&empty(tag))), ["XK41207"], "{tag}");
    }
    let unread = alert(&empty("licensePlate"));
    assert_eq!((unread.ignored.unreadable, unread.rejected, unread.observations.len()), (1, 0, 0));
    assert_eq!(unread.heartbeat.unwrap().cameras, [("02:00:5e:00:00:01/1".to_owned(), None)]);
}

#[test]
fn no_plate_and_words_that_are_plates() {
    for (text, plates) in [("unknown", 0), ("", 0), ("-", 0), ("UNKNOWN", 1), ("NOPLATE", 1), ("noplate", 1)] {
        let parsed = alert(&ALERT.replace("XK41207", text));
        assert_eq!((parsed.observations.len(), parsed.ignored.unreadable), (plates, 1 - plates as u64), "{text}");
    }
}

#[test]
fn mandatory_fields_and_their_bounds() {
    for (tag, pointer) in [("licensePlate", "/ANPR/licensePlate"), ("ANPR", "/ANPR/licensePlate")] {
        let parsed = alert(&without(tag));
        assert_eq!(
            (slugs(&parsed), parsed.problems[0].pointer.as_deref()),
            (vec![(None, Slug::MissingField)], Some(pointer))
        );
        assert!(parsed.is_poison());
    }
    let by_address = without("macAddress");
    assert_eq!(alert(&by_address).observations[0].camera_key, "192.0.2.64/1");
    let no_camera = by_address.replace("192.0.2.64", "");
    assert_eq!(slugs(&alert(&no_camera)), [(None, Slug::MissingField)]);
    assert_eq!(alert(&without("channelID")).observations[0].camera_key, "02:00:5e:00:00:01");
    for (len, fits) in [(ID_BYTES_MAX, true), (ID_BYTES_MAX + 1, false)] {
        let mac = "m".repeat(len - "/1".len());
        assert_eq!(alert(&ALERT.replace("02:00:5e:00:00:01", &mac)).observations.len(), usize::from(fits));
    }
}

#[test]
fn times_with_and_without_milliseconds_and_offset() {
    let at = |text: &str| {
        let parsed = alert(&ALERT.replace("2026-03-20T05:46:40.120-04:00", text));
        parsed.observations.first().map(|o| (o.time.ms, o.time.quality))
    };
    assert_eq!(at("2026-03-20T05:46:40-04:00"), Some((NOW, TimeQuality::Exact)));
    assert_eq!(at("2026-03-20T09:46:40Z"), Some((NOW, TimeQuality::Exact)));
    assert_eq!(at("2026-03-20T05:46:40"), Some((NOW, TimeQuality::AssumedZone)));
    assert_eq!(at("2026-03-20T05:46:40.120"), Some((NOW + 120, TimeQuality::AssumedZone)));
    assert_eq!(at("2026-11-01T01:30:00"), Some((1_793_511_000_000, TimeQuality::Ambiguous)));
    assert_eq!(at("yesterday"), None);
    // Without it the picture's own time.
    assert_eq!(at(""), Some((NOW + 119, TimeQuality::AssumedZone)));
    let pictureless = without("dateTime").replace("20260320054640119", "");
    assert_eq!(slugs(&alert(&pictureless)), [(None, Slug::MissingField)]);
    for bad in ["2026032005464011", "202603200546401199", "2026032005464011x", "20261320054640119"] {
        assert_eq!(slugs(&alert(&without("dateTime").replace("20260320054640119", bad))), [(None, Slug::OutOfRange)]);
    }
    assert_eq!(SourceConfig::new(1, KIND).check(), Err(crate::source::ConfigFault::ZoneMissing));
}

#[test]
fn a_clock_in_2034_gives_the_time_of_receipt() {
    let parsed = alert(&ALERT.replace("2026-03-20", "2034-03-20"));
    let out = take(&mut Intake::new(&[5; 32]), NOW, KIND, parsed);
    let read = &out.sealables[0].read;
    assert_eq!((read.captured_at, read.time_quality, out.clocks_off), (NOW, TimeQuality::ReceiveTime, vec![7]));
    assert!(read.flags.has(ReadFlags::CLOCK_OFF) && read.source_time.is_some());
}

#[test]
fn the_parts_are_found_by_content_and_only_the_plate_is_kept() {
    let scene = b"\xff\xd8\xffscene".as_slice();
    let plate = b"\xff\xd8\xffplate".as_slice();
    let xml = part("anpr.xml", ALERT.as_bytes());
    for parts in [
        vec![xml, part("licensePlatePicture.jpg", plate), part("detectionPicture.jpg", scene)],
        vec![part("detectionPicture.jpg", scene), part("licensePlatePicture", plate), part("", ALERT.as_bytes())],
    ] {
        let parsed = multipart(&parts);
        assert_eq!((parsed.observations[0].crop.as_deref(), parsed.ignored.crops), (Some(plate), 0));
    }
    for (picture, dropped) in [(Vec::new(), 0), (b"GIF89a".to_vec(), 1), (vec![0xff; CROP_BYTES_MAX + 1], 1)] {
        let parsed = multipart(&[xml, part("licensePlatePicture.jpg", &picture)]);
        assert_eq!((texts(&parsed), parsed.ignored.crops), (vec!["XK41207"], dropped));
        assert_eq!(parsed.observations[0].crop, None);
    }
    let many = vec![xml; PARTS_MAX + 1];
    assert_eq!(slugs(&multipart(&many)), [(None, Slug::TooLarge)]);
    assert_eq!(multipart(&many[1..]).observations.len(), 1);
    assert_eq!(slugs(&multipart(&[part("detectionPicture.jpg", scene)])), [(None, Slug::Malformed)]);
}

#[test]
fn a_colour_letter_before_the_plate_and_thai_text_stay_as_sent() {
    for (sent, canonical) in [("蓝苏A8HK52", "蓝苏A8HK52"), ("กก 1234", "กก1234")] {
        assert_eq!(texts(&alert(&ALERT.replace("XK41207", sent))), [canonical]);
    }
    assert_eq!(texts(&alert(&ALERT.replace("Jane Example Street", "ถนนตัวอย่าง"))), ["XK41207"]);
}

#[test]
fn countries_by_word_and_code_and_not_by_number() {
    for (country, short, named) in [
        ("3", "POL", Some("PL")),
        ("3", "NON", None),
        ("84", "", None),
        ("LVA", "NON", Some("LV")),
        ("gb", "", Some("GB")),
        ("Ruritania", "RUR", None),
        ("US", "USA", None),
    ] {
        let text =
            ALERT.replace("<country>3<", &format!("<country>{country}<")).replace(">POL<", &format!(">{short}<"));
        assert_eq!(alert(&text).observations[0].jurisdiction.as_ref().map(|j| j.code()), named, "{country} {short}");
    }
}

#[test]
fn a_transmission_that_comes_late_is_late_and_comes_once() {
    let mut intake = Intake::new(&[5; 32]);
    // A camera whose clock is known to be right.
    for n in 0..8 {
        let other = alert(&ALERT.replace("XK41207", &format!("QZ{n}")).replace("0c6c3c5e", &format!("0000000{n}")));
        assert_eq!(take(&mut intake, NOW + 120, KIND, other).sealables.len(), 1);
    }
    let again = ALERT.replace("<isDataRetransmission>false", "<isDataRetransmission>true");
    let later = NOW + 3_600_000;
    let first = take(&mut intake, later, KIND, alert(&again));
    assert_eq!(first.sealables[0].placement, Placement::Late { captured_at: NOW + 120 });
    let second = take(&mut intake, later + 20 * 3_600_000, KIND, alert(&again));
    assert_eq!((second.sealables.len(), second.duplicates), (0, 1));
}

#[test]
fn the_same_uuid_is_one_read_and_one_letter_is_no_uuid() {
    let mut intake = Intake::new(&[5; 32]);
    let first = take(&mut intake, NOW, KIND, alert(ALERT));
    assert_eq!((sealed(&first), first.sealables[0].read.engine_ref.is_some()), (vec!["XK41207"], true));
    assert_eq!(take(&mut intake, NOW + 1000, KIND, alert(ALERT)).duplicates, 1);
    let uuid = "0c6c3c5e-1dd2-11b2-8a41-02005e000001";
    for no_id in ["x", "1234567", "00000000-0000-0000-0000-000000000000", &"u".repeat(ID_BYTES_MAX + 1)] {
        let mut intake = Intake::new(&[5; 32]);
        let one = ALERT.replace(uuid, no_id);
        let two = one.replace("XK41207", "XK41208");
        let later = one.replace("05:46:40.120", "05:46:50.121");
        assert_eq!(alert(&one).observations[0].engine_id, None, "{no_id}");
        assert_eq!(sealed(&take(&mut intake, NOW, KIND, alert(&one))), ["XK41207"]);
        assert_eq!(sealed(&take(&mut intake, NOW, KIND, alert(&two))), ["XK41208"]);
        assert_eq!(sealed(&take(&mut intake, NOW + 10_000, KIND, alert(&later))), ["XK41207"]);
    }
    assert_eq!(alert(&ALERT.replace(uuid, "12345678")).observations[0].engine_id.as_deref(), Some("12345678"));
}

#[test]
fn other_events_are_counted_and_show_that_the_camera_lives() {
    for kind in ["heartBeat", "videoloss", "VMD", ""] {
        let parsed = alert(&ALERT.replace("<eventType>ANPR<", &format!("<eventType>{kind}<")));
        assert_eq!((parsed.ignored.other_events, parsed.observations.len(), parsed.rejected), (1, 0, 0), "{kind}");
        assert_eq!(parsed.heartbeat.unwrap().cameras, [("02:00:5e:00:00:01/1".to_owned(), None)]);
    }
    for other in ["<SubscribeEventCap/>", "", " \r\n"] {
        let parsed = alert(other);
        assert_eq!((parsed.ignored.other_events, parsed.rejected, parsed.heartbeat), (1, 0, None), "{other}");
    }
    for bad in ["<html>", "{\"eventType\":\"ANPR\"}", "ANPR", ALERT.split_at(900).0] {
        assert_eq!(slugs(&alert(bad)), [(None, Slug::Malformed)]);
    }
}

#[test]
fn what_must_never_be_taken_over_is_not_in_the_record() {
    let parts = [part("a", ALERT.as_bytes()), part("detectionPicture.jpg", b"\xff\xd8\xffJane Example")];
    let out = take(&mut Intake::new(&[5; 32]), NOW, KIND, multipart(&parts));
    let record = out.sealables[0].read.to_record().unwrap();
    for word in [&b"Jane"[..], b"Wanted", b"yes", b"61", b"1036", b"192.0.2", b"02:00", b"0c6c3c5e"] {
        assert!(!record.windows(word.len()).any(|w| w == word), "{word:?}");
    }
    assert_eq!(out.sealables[0].crop, None);
    assert!(!format!("{out:?}").contains("XK41207") && !format!("{:?}", xml::parse(ALERT)).contains("XK41207"));
}

#[test]
fn ten_thousand_mutated_payloads_of_hikvision() {
    mutate(KIND, "application/xml", &[ALERT.to_owned(), ALERT.replace("ANPR<", "videoloss<")]);
}

const PLATES: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Plates version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<Plate><captureTime>20260320T0546400000</captureTime><plateNumber>XK41207</plateNumber><picName>202603200546400001</picName>
<country>POL</country><laneNo>1</laneNo><direction>forward</direction></Plate>
<Plate><captureTime>20260320T054641-0400</captureTime><plateNumber>XK41208</plateNumber><picName>202603200546410001</picName>
<direction>reverse</direction></Plate>
<Plate><captureTime>20260320T0546420400</captureTime><plateNumber>unknown</plateNumber><picName>x</picName></Plate></Plates>"#;

fn asked(text: &str) -> Parsed {
    let mut config = config(KIND);
    config.camera = Some("gate".into());
    KIND.parser()
        .parse(&Payload { content_type: "application/xml", body: text.as_bytes(), ..Payload::default() }, &config)
}

#[test]
fn the_list_of_a_camera_that_is_asked() {
    let parsed = asked(PLATES);
    assert_eq!((texts(&parsed), parsed.rejected, parsed.ignored.unreadable), (vec!["XK41207", "XK41208"], 0, 1));
    let (a, b) = (&parsed.observations[0], &parsed.observations[1]);
    assert_eq!((a.time.ms, b.time.ms, a.camera_key.as_str()), (NOW, NOW + 1_000, "gate"));
    assert_eq!((a.time.quality, a.motion, b.motion), (TimeQuality::AssumedZone, Motion::Approaching, Motion::Receding));
    assert_eq!(
        (a.jurisdiction.unwrap().code(), a.engine_id.as_deref()),
        ("PL", Some("20260320T0546400000/202603200546400001"))
    );
    assert_eq!(asked("<Plates/>").ignored.other_events, 1);
    assert_eq!(slugs(&asked(&PLATES.replacen("20260320T0546400000", "yesterday", 1))), [(None, Slug::OutOfRange)]);
    // Nothing in it says which camera it is of.
    assert_eq!(slugs(&alert(PLATES))[0], (None, Slug::UnknownCamera));
}

#[test]
fn ten_thousand_mutated_lists() {
    crate::tests::mutate_with(KIND, &[PLATES.to_owned()], &|body| asked(&String::from_utf8_lossy(body)));
}

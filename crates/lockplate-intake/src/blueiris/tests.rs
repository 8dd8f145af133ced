//! The `T` items of `intake.md` 8.11, what must never be taken over, mutated payloads. Every plate is invented.

use lockplate_core::read::TimeQuality;

use crate::intake::Intake;
use crate::limits::OBSERVATIONS_MAX;
use crate::source::{Parsed, Slug, SourceKind};
use crate::tests::{NOW, mutate, not_taken_over, parse, sealed, slugs, take, texts};

const KIND: SourceKind = SourceKind::BlueIris;

fn prediction(plate: &str, conf: f64) -> String {
    format!(
        r#"{{"confidence":{conf},"label":"Plate: QZ1","plate":"{plate}","plate_number":"QZ2","x_min":1,"x_max":2,"y_min":3,"y_max":4}}"#
    )
}

fn module(request: &str, predictions: &[String]) -> String {
    format!(
        r#"{{"api":"alpr","found":{{"success":true,"processMs":61,"message":"Found Jane Example","predictions":[{}],
        "requestId":"{request}","timestampUTC":"Fri, 20 Mar 2026 09:46:41 GMT"}}}}"#,
        predictions.join(",")
    )
}

fn alert(fields: &str) -> String {
    format!(
        r#"{{{fields}"Image":"/9j/4AECAw==","camera":"cam1","ALERT_PATH":"cam1.20260320_054640.0.5-1.jpg","ALERT_CLIP":"@17",
        "timestamp":"2026-03-20T09:46:40.250Z"}}"#
    )
}

fn dump(modules: &[String]) -> String {
    alert(&format!("\"ai_dump\":[{}],", modules.join(",")))
}

fn good() -> String {
    let objects =
        r#"{"api":"objects","found":{"success":true,"predictions":[{"label":"car","confidence":0.88,"plate":"QZ3"}]}}"#;
    dump(&[objects.into(), module("r-1", &[prediction("xk 41207", 0.91)])])
}

fn push(text: &str) -> Parsed {
    parse(KIND, "application/json", text.as_bytes())
}

#[test]
fn the_plate_of_the_reader_among_several_modules() {
    let parsed = push(&good());
    let o = &parsed.observations[0];
    // A plate with a space; label, plate_number and other modules differ and lose.
    assert_eq!((texts(&parsed), o.camera_key.as_str(), o.conf), (vec!["XK41207"], "cam1", Some(910)));
    assert_eq!(
        (o.time.ms, o.time.quality, o.engine_id.as_deref()),
        (NOW + 250, TimeQuality::Exact, Some("r-1\u{1f}0"))
    );
    let whole = alert(&format!("\"ai_dump\":{},", module("r-1", &[prediction("XK41207", 0.91)])));
    assert!(push(&whole).observations == parsed.observations);
}

#[test]
fn a_macro_that_was_not_expanded_is_malformed() {
    let parsed = push(&alert("\"ai_dump\":&JSON,"));
    assert_eq!((slugs(&parsed), parsed.is_poison()), (vec![(None, Slug::Malformed)], true));
}

#[test]
fn two_plates_are_two_reads_and_one_plate_in_two_pictures_is_one() {
    let two = dump(&[module("r-1", &[prediction("XK41207", 0.91), prediction("XK41208", 0.8)])]);
    let parsed = push(&two);
    assert_eq!(texts(&parsed), ["XK41207", "XK41208"]);
    let ids: Vec<_> = parsed.observations.iter().map(|o| o.engine_id.clone().unwrap()).collect();
    assert_eq!(ids, ["r-1\u{1f}0", "r-1\u{1f}1"]);
    let mut intake = Intake::new(&[5; 32]);
    assert_eq!(sealed(&take(&mut intake, NOW + 900, KIND, parsed)), ["XK41207", "XK41208"]);
    assert_eq!(take(&mut intake, NOW + 60_000, KIND, push(&two)).duplicates, 2);

    let pictures = dump(&[module("r-2", &[prediction("XK41207", 0.7)]), module("r-3", &[prediction("XK41207", 0.9)])]);
    let parsed = push(&pictures);
    assert_eq!((texts(&parsed), parsed.observations[0].conf), (vec!["XK41207"], Some(900)));
    assert_eq!(parsed.observations[0].aliases, ["r-3\u{1f}0"]);
}

#[test]
fn failed_modules_and_empty_results() {
    for text in [
        dump(&[module("r-1", &[prediction("XK41207", 0.9)]).replace("\"success\":true", "\"success\":false")]),
        dump(&[module("r-1", &[prediction("XK41207", 0.9)]).replace("\"api\"", "\"success\":false,\"api\"")]),
        dump(&[module("r-1", &[])]),
        dump(&[]),
        alert("\"ai_dump\":null,"),
        alert(""),
    ] {
        let parsed = push(&text);
        assert_eq!((parsed.observations.len(), parsed.rejected, parsed.ignored.other_events), (0, 0, 1));
    }
    let unread = push(&dump(&[module("r-1", &[prediction("", 0.9), prediction("XK41207", 0.8)])]));
    assert_eq!((texts(&unread), unread.ignored.unreadable), (vec!["XK41207"], 1));
    let keyless =
        push(&dump(&[module("r-1", &[prediction("X1", 0.9).replace("\"plate\"", "\"x\""), prediction("X2", 0.8)])]));
    assert_eq!((texts(&keyless), slugs(&keyless)), (vec!["X2"], vec![(None, Slug::MissingField)]));
}

#[test]
fn plate_number_else_memo() {
    let of = |fields: &str| {
        let parsed = push(&alert(fields));
        parsed.observations.iter().map(|o| (o.plate.expose_text().to_owned(), o.conf)).collect::<Vec<_>>()
    };
    let read = |text: &str, conf| (text.to_owned(), conf);
    assert_eq!(of(r#""plate_number":"xk41207","memo":"QZ1:91%","#), [read("XK41207", None)]);
    assert_eq!(of(r#""memo":"ABC123:91%,car:88%","#), [read("ABC123", Some(910))]);
    assert_eq!(
        of(r#""memo":"[ABC123]:91%, person:50%, AB 12:77%","#),
        [read("ABC123", Some(910)), read("AB12", Some(770))]
    );
    assert_eq!(of(r#""memo":"[abc123],DayPlate:80%","#), [read("ABC123", None)]);
    assert_eq!(
        of(r#""memo":"ab12:60%,traffic light:50%,CAR:70%","#),
        [read("AB12", Some(600)), read("CAR", Some(700))]
    );
    for nothing in ["Motion A", "cancelled", "car:88%", "", "-", ",,,", ":91%", "[]:91%"] {
        assert_eq!(of(&format!("\"memo\":\"{nothing}\",")), [], "{nothing}");
    }
    assert_eq!(of(r#""memo":"ABC123:910%","#), [read("ABC123", None)]);
}

#[test]
fn utc_of_the_analysis_confirms_a_local_time_and_no_more() {
    let time = |local: &str, utc: &str| {
        let body = good().replace("2026-03-20T09:46:40.250Z", local).replace("Fri, 20 Mar 2026 09:46:41 GMT", utc);
        push(&body).observations.first().map(|o| (o.time.ms, o.time.quality))
    };
    let (local, exact) = ("2026-03-20 05:46:40.250", Some((NOW + 250, TimeQuality::Exact)));
    // With and without the comma.
    for utc in [
        "Fri, 20 Mar 2026 09:46:41 GMT",
        "Fri 20 Mar 2026 09:46:41 GMT",
        "2026-03-20T09:46:41Z",
        "20 Mar 2026 09:46:41 GMT",
    ] {
        assert_eq!(time(local, utc), exact, "{utc}");
    }
    let assumed = Some((NOW + 250, TimeQuality::AssumedZone));
    for utc in ["", "never", "Fri, 20 Mar 2026 09:48:41 GMT", "Fri, 20 Mar 2026 10:46:41 GMT"] {
        assert_eq!(time(local, utc), assumed, "{utc}");
    }
    // The repeated hour of 1 November 2026: the first at -04:00, the second at -05:00.
    let repeated = "2026-11-01 01:30:00";
    assert_eq!(time(repeated, ""), Some((1_793_511_000_000, TimeQuality::Ambiguous)));
    assert_eq!(time(repeated, "Sun, 01 Nov 2026 05:30:01 GMT"), Some((1_793_511_000_000, TimeQuality::Exact)));
    assert_eq!(time(repeated, "Sun, 01 Nov 2026 06:30:01 GMT"), Some((1_793_514_600_000, TimeQuality::Exact)));
    assert_eq!(time("2026-03-20T09:46:40.250Z", "Fri, 20 Mar 2026 10:46:41 GMT"), exact);
    assert!(SourceKind::BlueIris.profile().local_times);
    assert!(crate::source::SourceConfig::new(1, KIND).check().is_err());
}

#[test]
fn mandatory_fields_and_the_bound_of_predictions() {
    for key in ["camera", "timestamp"] {
        assert_eq!(slugs(&push(&good().replace(&format!("\"{key}\""), "\"other\""))), [(None, Slug::MissingField)]);
    }
    assert!(push("").is_poison() && push("[]").is_poison());
    for (count, rejected) in [(OBSERVATIONS_MAX, 0), (OBSERVATIONS_MAX + 1, 1)] {
        let many: Vec<String> = (0..count).map(|n| prediction(&format!("A{n}"), 0.5)).collect();
        let parsed = push(&dump(&[module("r", &many)]));
        assert_eq!((parsed.observations.len(), parsed.rejected), (OBSERVATIONS_MAX, rejected));
    }
}

#[test]
fn pictures_paths_and_labels_are_not_taken_over() {
    not_taken_over(KIND, push(&good()), &["Jane", "QZ1", "QZ2", "QZ3", "cam1", "@17", "/9j/"]);
}

#[test]
fn ten_thousand_mutated_payloads() {
    let seeds = [good(), alert(r#""memo":"[ABC123]:91%,car:88%,AB12:50%","#), alert(r#""plate_number":"XK41207","#)];
    mutate(KIND, "application/json", &seeds);
}

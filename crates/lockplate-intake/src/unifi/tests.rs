//! The `T` items of `intake.md` 8.9, what must never be taken over, mutated payloads. Every plate is invented.

use lockplate_core::read::TimeQuality;

use crate::intake::Intake;
use crate::limits::OBSERVATIONS_MAX;
use crate::source::{Parsed, Slug, SourceKind};
use crate::tests::{NOW, mutate, not_taken_over, parse, rules, sealed, slugs, take, texts};

const KIND: SourceKind = SourceKind::UniFi;

fn trigger(key: &str, device: &str, value: &str) -> String {
    format!(
        r#"{{"device":"{device}","value":{value},"key":"{key}","group":{{"name":"QZ1"}},"eventId":"682ce2a7","timestamp":{NOW}}}"#
    )
}

fn alarm(triggers: &[String]) -> String {
    format!(
        r#"{{"alarm":{{"name":"Jane Example comes home","sources":[{{"device":"937A6EA0A219","type":"include"}}],
        "conditions":[{{"condition":{{"type":"is","source":"license_plate_unknown"}}}}],"triggers":[{}],
        "eventPath":"/protect/events/event/682ce2a7","eventLocalLink":"https://192.168.1.1/x",
        "thumbnail":"data:image/jpeg;base64,/9j/4AECAw=="}},"timestamp":{}}}"#,
        triggers.join(","),
        NOW + 1018
    )
}

fn one(key: &str, value: &str) -> String {
    alarm(&[trigger(key, "937A6EA0A219", value)])
}

fn push(text: &str) -> Parsed {
    parse(KIND, "application/json", text.as_bytes())
}

#[test]
fn each_of_the_three_keys_is_a_read_and_none_of_them_is_kept() {
    let keys = ["license_plate_unknown", "license_plate_known", "license_plate_of_interest"];
    let reads: Vec<Parsed> = keys.iter().map(|key| push(&one(key, "\"xk-41 207\""))).collect();
    for parsed in &reads {
        let o = &parsed.observations[0];
        assert_eq!((o.plate.expose_text(), o.camera_key.as_str(), o.conf), ("XK41207", "937A6EA0A219", None));
        assert_eq!((o.time.ms, o.time.quality, o.jurisdiction.is_none()), (NOW, TimeQuality::Exact, true));
        assert!(parsed.observations == reads[0].observations);
    }
    // A known plate that is of interest too is one read.
    let both =
        alarm(&[trigger(keys[1], "937A6EA0A219", "\"XK41207\""), trigger(keys[2], "937A6EA0A219", "\"XK41207\"")]);
    let out = take(&mut Intake::new(&[5; 32]), NOW, KIND, push(&both));
    assert_eq!((out.sealables.len(), out.duplicates), (1, 1));
}

#[test]
fn siblings_about_vehicles_and_people_are_counted() {
    let text = alarm(&[
        r#"{"key":"vehicle","device":"937A6EA0A219","timestamp":1774000000000}"#.into(),
        trigger("license_plate_unknown", "937A6EA0A219", "\"XK41207\""),
        r#"{"key":"person","value":"Jane Example"}"#.into(),
        "null".into(),
    ]);
    let parsed = push(&text);
    assert_eq!((texts(&parsed), parsed.ignored.other_events, parsed.rejected), (vec!["XK41207"], 3, 0));
}

#[test]
fn the_value_wins_over_the_group_and_may_be_an_object() {
    assert_eq!(texts(&push(&one("license_plate_known", "\"XK41207\""))), ["XK41207"]);
    assert_eq!(texts(&push(&one("license_plate_known", r#"{"value":"XK41207"}"#))), ["XK41207"]);
    for (value, slug) in [
        (r#"{"text":"XK41207"}"#, Slug::MissingField),
        (r#"{"value":{"value":"XK41207"}}"#, Slug::Malformed),
        (r#"["XK41207"]"#, Slug::Malformed),
    ] {
        let parsed = push(&one("license_plate_known", value));
        assert_eq!((slugs(&parsed), parsed.is_poison()), (vec![(None, slug)], true), "{value}");
    }
    for nothing in ["null", "\"\"", r#"{"value":null}"#] {
        let parsed = push(&one("license_plate_known", nothing));
        assert_eq!((parsed.ignored.unreadable, parsed.rejected), (1, 0), "{nothing}");
    }
}

#[test]
fn timestamps_as_number_and_as_text() {
    let time = |text: &str| {
        let body = one("license_plate_unknown", "\"XK41207\"").replacen(&format!("\"timestamp\":{NOW}"), text, 1);
        push(&body).observations.first().map(|o| o.time.ms)
    };
    assert_eq!(time(r#""timestamp":"2026-03-20T09:46:40.000Z""#), Some(NOW));
    assert_eq!(time(r#""timestamp":"2026-03-20T05:46:40-04:00""#), Some(NOW));
    assert_eq!(time(r#""timestamp":"1774000000000""#), Some(NOW));
    assert_eq!(time(r#""timestamp":"2026-03-20T05:46:40""#), None);
    assert_eq!(time(r#""when":1"#), None);
}

#[test]
fn two_cameras_are_two_reads_also_of_one_event() {
    let text = alarm(&[
        trigger("license_plate_unknown", "937A6EA0A219", "\"XK41207\""),
        trigger("license_plate_unknown", "937A6EA0A220", "\"XK41207\""),
    ]);
    let mut intake = Intake::new(&[5; 32]);
    let camera = |key: &str| Some(if key.ends_with('9') { 7 } else { 8 });
    let out = intake.take(NOW, rules(KIND), push(&text), camera);
    assert_eq!(sealed(&out), ["XK41207", "XK41207"]);
    assert_eq!((out.sealables[0].read.camera, out.sealables[1].read.camera), (7, 8));
    assert_eq!(intake.take(NOW + 1000, rules(KIND), push(&text), camera).duplicates, 2);
}

#[test]
fn mandatory_fields_and_the_bound_of_triggers() {
    for key in ["value", "device", "timestamp"] {
        let trigger = trigger("license_plate_unknown", "d", "\"XK41207\"").replace(&format!("\"{key}\""), "\"other\"");
        let parsed = push(&alarm(&[trigger]));
        assert_eq!(slugs(&parsed), [(None, Slug::MissingField)], "{key}");
        assert_eq!(parsed.problems[0].pointer.as_deref(), Some(format!("/alarm/triggers/0/{key}").as_str()));
    }
    for text in ["{}", r#"{"alarm":{}}"#, r#"{"alarm":{"triggers":{}}}"#] {
        assert_eq!(slugs(&push(text)), [(None, Slug::MissingField)]);
    }
    assert!(push("").is_poison());
    for (count, rejected) in [(OBSERVATIONS_MAX, 0), (OBSERVATIONS_MAX + 1, 1)] {
        let parsed = push(&alarm(&vec![trigger("license_plate_unknown", "d", "\"XK41207\""); count]));
        assert_eq!((parsed.observations.len(), parsed.rejected), (OBSERVATIONS_MAX, rejected));
    }
}

#[test]
fn names_groups_and_links_are_not_taken_over() {
    let words = ["Jane", "QZ1", "license_plate", "192.168", "937A6EA0A219", "682ce2a7"];
    not_taken_over(KIND, push(&one("license_plate_known", "\"XK41207\"")), &words);
}

#[test]
fn ten_thousand_mutated_payloads() {
    let seeds = [one("license_plate_known", "\"XK41207\""), one("license_plate_unknown", r#"{"value":"XK41207"}"#)];
    mutate(KIND, "application/json", &seeds);
}

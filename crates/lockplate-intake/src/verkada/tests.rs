//! Verkada's part of `intake.md` 8.12, what must never be taken over, mutated payloads. Every plate is invented.

use lockplate_core::read::TimeQuality;

use crate::intake::Intake;
use crate::source::{Parsed, Slug, SourceKind};
use crate::tests::{NOW, mutate, not_taken_over, parse, sealed, slugs, take, texts};

const KIND: SourceKind = SourceKind::Verkada;

const HOOK: &str = r#"{"org_id":"Jane Example Ltd","webhook_type":"lpr","created_at":1774000002,"webhook_id":"a73b17d4",
    "data":{"camera_id":"38718198-8a78","created":1773999999,"detected":1774000000250,"license_plate_number":"xk41207",
    "confidence":0.963,"crop":[0.306,0.332,0.529,0.558],"image_url":"https://images.example/x","license_plate_state":"us-ca"}}"#;

fn push(text: &str) -> Parsed {
    parse(KIND, "application/json", text.as_bytes())
}

#[test]
fn the_fields_of_a_webhook() {
    for text in [HOOK.to_owned(), HOOK.replace("\"lpr\"", "\"LPR\"")] {
        let parsed = push(&text);
        let o = &parsed.observations[0];
        assert_eq!((o.plate.expose_text(), o.camera_key.as_str(), o.conf), ("XK41207", "38718198-8a78", Some(963)));
        assert_eq!((o.time.ms, o.time.quality), (NOW + 250, TimeQuality::Exact));
        assert_eq!((o.jurisdiction.unwrap().code(), o.jur_conf), ("US-CA", None));
        // The webhook has an id, the read has none.
        assert!(o.engine_id.is_none() && o.crop.is_none());
    }
    let seconds = push(&HOOK.replace("\"detected\"", "\"x\""));
    assert_eq!(seconds.observations[0].time.ms, NOW - 1000);
    assert!(push(&HOOK.replace("us-ca", "unknown")).observations[0].jurisdiction.is_none());
}

#[test]
fn a_repeat_is_one_read_whatever_the_webhook_id() {
    let mut intake = Intake::new(&[5; 32]);
    assert_eq!(sealed(&take(&mut intake, NOW + 2500, KIND, push(HOOK))), ["XK41207"]);
    assert_eq!(take(&mut intake, NOW + 4500, KIND, push(HOOK)).duplicates, 1);
    assert_eq!(take(&mut intake, NOW + 4600, KIND, push(&HOOK.replace("a73b17d4", "b1"))).duplicates, 1);
    // The id of the webhook is the same for all reads of a subscription.
    let next = HOOK.replace("xk41207", "xk41208").replace("1774000000250", "1774000001250");
    assert_eq!(sealed(&take(&mut intake, NOW + 4700, KIND, push(&next))), ["XK41208"]);
}

#[test]
fn other_webhooks_are_counted_and_mandatory_fields_named() {
    let other = push(&HOOK.replace("\"lpr\"", "\"notification\""));
    assert_eq!((other.ignored.other_events, other.observations.len(), other.rejected), (1, 0, 0));
    for (key, pointer) in [
        ("webhook_type", "/webhook_type"),
        ("data", "/data"),
        ("camera_id", "/data/camera_id"),
        ("license_plate_number", "/data/license_plate_number"),
    ] {
        let parsed = push(&HOOK.replace(&format!("\"{key}\""), "\"other\""));
        assert_eq!(
            (slugs(&parsed), parsed.problems[0].pointer.as_deref()),
            (vec![(None, Slug::MissingField)], Some(pointer))
        );
    }
    let timeless = push(&HOOK.replace("\"detected\"", "\"x\"").replace("\"created\"", "\"y\""));
    assert_eq!(slugs(&timeless), [(None, Slug::MissingField)]);
    assert_eq!(push(&HOOK.replace("\"xk41207\"", "null")).ignored.unreadable, 1);
    assert!(texts(&push("[]")).is_empty() && push("").is_poison());
}

#[test]
fn organisation_links_and_pictures_are_not_taken_over() {
    not_taken_over(KIND, push(HOOK), &["Jane", "images.example", "38718198", "a73b17d4", "0.306"]);
}

#[test]
fn ten_thousand_mutated_payloads() {
    mutate(KIND, "application/json", &[HOOK.to_owned()]);
}

//! The `T` items of `intake.md` 8.4, the hold after `end`, what must never be taken over, mutated messages. Every plate is
//! invented.

use lockplate_core::read::{ReadFlags, TimeQuality};

use crate::intake::{Intake, Outcome};
use crate::limits::{HOLD_ENDING_MS, HOLD_MS_MAX, ID_BYTES_MAX};
use crate::source::{Parsed, Payload, Slug, SourceKind, Stage};
use crate::tests::{NOW, config, mutate, not_taken_over, parse, sealed, slugs, take, texts};

const KIND: SourceKind = SourceKind::Frigate;

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// A message of a tracked object; `plate` is JSON.
fn event(kind: &str, plate: &str, at_ms: i64) -> String {
    let at = seconds(at_ms);
    format!(
        r#"{{"type":"{kind}","before":null,"after":{{"id":"1773999990.5-abc","camera":"gate","frame_time":{at},
        "snapshot":{{"frame_time":{at},"box":[1,2,3,4],"score":0.7,"attributes":[]}},"label":"car","sub_label":null,
        "top_score":0.95,"false_positive":false,"start_time":1773999990.5,"end_time":null,"stationary":false,
        "current_zones":["school"],"entered_zones":["school"],"attributes":{{"license_plate":0.8}},
        "current_attributes":[{{"label":"license_plate","box":[1,2,3,4],"score":0.7}}],"current_estimated_speed":61.5,
        "path_data":[[[0.111,0.222],1773999990.5]],"recognized_license_plate":{plate},
        "recognized_license_plate_score":0.91}}}}"#
    )
}

fn lpr(plate: &str) -> String {
    format!(
        r#"{{"type":"lpr","id":"1773999990.5-abc","name":"Jane Example","plate":{plate},"score":0.83,
        "timestamp":1773999990.5,"camera":"gate"}}"#
    )
}

fn say(text: &str) -> Parsed {
    parse(KIND, "application/json", text.as_bytes())
}

fn on(topic: &str, retained: bool, text: &str) -> Parsed {
    let payload = Payload { body: text.as_bytes(), topic: Some(topic), retained, ..Payload::default() };
    KIND.parser().parse(&payload, &config(KIND))
}

fn after(intake: &mut Intake, offset: i64, text: &str) -> Outcome {
    take(intake, NOW + offset, KIND, say(text))
}

fn fresh() -> Intake {
    Intake::new(&[5; 32])
}

#[test]
fn both_topics_under_any_prefix_and_no_other() {
    for (topic, text) in [
        ("frigate/events", event("new", "\"xk-41 207\"", NOW)),
        ("site/7/frigate/events", event("end", "\"xk-41 207\"", NOW)),
        ("frigate/tracked_object_update", lpr("\"XK41207\"")),
    ] {
        assert_eq!(texts(&on(topic, false, &text)), ["XK41207"], "{topic}");
    }
    for topic in ["frigate/reviews", "frigate/stats", "frigate/gate/car/snapshot", "events/x", ""] {
        let parsed = on(topic, false, &event("new", "\"XK41207\"", NOW));
        assert_eq!((parsed.ignored.other_events, parsed.observations.len(), parsed.rejected), (1, 0, 0), "{topic}");
    }
    for kind in ["description", "face", "classification"] {
        assert_eq!(say(&lpr("\"XK41207\"").replace("lpr", kind)).ignored.other_events, 1);
    }
    let o = &say(&event("update", "\"XK41207\"", NOW + 250)).observations[0];
    assert_eq!((o.camera_key.as_str(), o.engine_id.as_deref()), ("gate", Some("1773999990.5-abc")));
    assert_eq!((o.time.ms, o.time.quality, o.conf), (NOW + 250, TimeQuality::Exact, Some(910)));
    assert_eq!((o.vehicle.class.unwrap().code, o.stage, o.parked), (1, Stage::Refining, false));
}

#[test]
fn plate_as_text_array_null_and_under_data() {
    let conf = |text: &str| say(text).observations.first().map(|o| (o.plate.expose_text().to_owned(), o.conf));
    let one = |conf| Some(("XK41207".to_owned(), Some(conf)));
    assert_eq!(conf(&event("update", r#"["XK41207",0.77]"#, NOW)), one(770));
    assert_eq!(conf(&event("update", r#"["XK41207"]"#, NOW)), one(910));
    assert_eq!(conf(&event("update", r#"["XK41207",null]"#, NOW)), one(910));
    for nothing in ["null", "\"\"", "[]", "[null,0.5]", "{}"] {
        assert_eq!(conf(&event("update", nothing, NOW)), None, "{nothing}");
    }
    let under = event("update", "null", NOW).replace(
        "\"path_data\"",
        r#""data":{"recognized_license_plate":"XK41207","recognized_license_plate_score":0.5,"attributes":[]},"path_data""#,
    );
    assert_eq!(conf(&under), one(500));
}

#[test]
fn sub_labels_names_and_attributes_of_every_form_are_dropped() {
    let plain = say(&event("update", "\"XK41207\"", NOW));
    for sub_label in ["null", "\"Jane Example\"", r#"["Jane Example",0.93]"#] {
        let text = event("update", "\"XK41207\"", NOW)
            .replace("\"sub_label\":null", &format!("\"name\":\"Jane Example\",\"sub_label\":{sub_label}"));
        let parsed = say(&text);
        assert!(parsed.observations == plain.observations, "{sub_label}");
        not_taken_over(KIND, parsed, &["Jane", "school", "61.5", "0.111", "gate", "1773999990.5-abc"]);
    }
    not_taken_over(KIND, say(&lpr("\"XK41207\"")), &["Jane", "gate"]);
    // One is a map, the other a list; neither is looked at, whatever it is.
    for (from, to) in [
        (r#""attributes":{"license_plate":0.8}"#, r#""attributes":[{"label":"QZ1"}]"#),
        (r#""current_attributes":["#, r#""current_attributes_were":["#),
    ] {
        let parsed = say(&event("update", "\"XK41207\"", NOW).replace(from, to));
        assert!(parsed.observations == plain.observations);
    }
}

#[test]
fn a_plate_tracked_by_itself_is_a_read_without_a_class() {
    let parsed = say(&event("update", "\"XK41207\"", NOW).replace(r#""label":"car""#, r#""label":"license_plate""#));
    assert_eq!((texts(&parsed), parsed.observations[0].vehicle.class), (vec!["XK41207"], None));
}

#[test]
fn the_plate_that_stands_two_seconds_after_the_end_is_sealed_with_the_time_of_its_message() {
    let mut intake = fresh();
    assert_eq!(after(&mut intake, 0, &event("new", "null", NOW)).held, 0);
    assert_eq!(after(&mut intake, 300, &event("update", "\"XK4120\"", NOW + 250)).held, 1);
    assert_eq!(after(&mut intake, 900, &event("update", "\"XK41207\"", NOW + 850)).held, 1);
    assert_eq!(after(&mut intake, 4000, &event("update", "\"XK41207\"", NOW + 3950)).held, 1);
    assert_eq!(after(&mut intake, 8000, &event("end", "\"XK41207\"", NOW + 7900)).held, 1);
    assert!(intake.tick(NOW + 8000 + HOLD_ENDING_MS - 1).sealables.is_empty());
    let out = intake.tick(NOW + 8000 + HOLD_ENDING_MS);
    assert_eq!(sealed(&out), ["XK41207"]);
    let read = &out.sealables[0].read;
    assert_eq!((read.captured_at, read.time_quality), (NOW + 850, TimeQuality::Exact));
    assert!(!read.flags.has(ReadFlags::HELD_OUT) && out.clocks_off.is_empty());
    assert!(intake.tick(NOW + 60_000).sealables.is_empty());
}

#[test]
fn before_is_never_looked_at() {
    let text = event("update", "\"XK41207\"", NOW);
    for before in ["{}", "[]", r#"{"id":"x","camera":"unknown","recognized_license_plate":"QZ1"}"#] {
        assert_eq!(texts(&say(&text.replace(r#""before":null"#, &format!("\"before\":{before}")))), ["XK41207"]);
    }
    let gone = text.replace("\"after\"", "\"later\"");
    assert_eq!(
        (slugs(&say(&gone)), say(&gone).problems[0].pointer.as_deref()),
        (vec![(None, Slug::MissingField)], Some("/after"))
    );
}

#[test]
fn an_end_without_a_plate_seals_nothing_of_its_own_and_ends_what_is_held() {
    let mut intake = fresh();
    let out = after(&mut intake, 0, &event("end", "null", NOW));
    assert_eq!((out.held, out.rejected, out.ignored.other_events), (0, 0, 1));
    after(&mut intake, 0, &lpr("\"XK41207\""));
    // An update without a plate ends nothing.
    after(&mut intake, 50, &event("update", "null", NOW));
    after(&mut intake, 100, &event("end", "null", NOW));
    // Delivered once more, and the end of another object.
    after(&mut intake, 900, &event("end", "null", NOW));
    after(&mut intake, 900, &event("end", "null", NOW).replace("-abc", "-def"));
    assert!(intake.tick(NOW + 100 + HOLD_ENDING_MS - 1).sealables.is_empty());
    let out = intake.tick(NOW + 100 + HOLD_ENDING_MS);
    assert_eq!(sealed(&out), ["XK41207"]);
    assert!(!out.sealables[0].read.flags.has(ReadFlags::HELD_OUT));
    assert!(intake.tick(NOW + 60_000).sealables.is_empty());
}

#[test]
fn lpr_after_the_end_refines_and_does_not_lengthen_the_hold() {
    let mut intake = fresh();
    after(&mut intake, 0, &event("end", "\"XK4120\"", NOW));
    assert_eq!(after(&mut intake, 1500, &lpr("\"XK41207\"")).held, 1);
    // The broker delivers the end once more.
    after(&mut intake, 1800, &event("end", "\"XK41207\"", NOW));
    assert!(intake.tick(NOW + 1999).sealables.is_empty());
    let out = intake.tick(NOW + 2000);
    assert_eq!(sealed(&out), ["XK41207"]);
    assert!(!out.sealables[0].read.flags.has(ReadFlags::HELD_OUT));
    // Later with the same text it is a repeat, with another a correction.
    assert_eq!(after(&mut intake, 3000, &lpr("\"XK41207\"")).duplicates, 1);
    assert_eq!(after(&mut intake, 3000, &lpr("\"XK41208\"")).held, 1);
    let corrected = intake.drain(NOW + 4000);
    assert_eq!(sealed(&corrected), ["XK41208"]);
    assert_eq!(corrected.sealables[0].read.engine_ref, out.sealables[0].read.engine_ref);
}

#[test]
fn lpr_alone_has_the_time_of_the_object_and_gives_way_to_a_frame() {
    let mut intake = fresh();
    let alone = say(&lpr("\"XK41207\""));
    assert_eq!((alone.observations[0].conf, alone.observations[0].stage), (Some(830), Stage::Refining));
    take(&mut intake, NOW, KIND, alone);
    let read = intake.tick(NOW + HOLD_MS_MAX).sealables.remove(0).read;
    assert_eq!((read.captured_at, read.time_quality), (NOW - 9500, TimeQuality::ObjectStart));
    let mut intake = fresh();
    after(&mut intake, 0, &lpr("\"XK41207\""));
    after(&mut intake, 100, &event("update", "\"XK41207\"", NOW + 50));
    after(&mut intake, 200, &lpr("\"XK41207\""));
    after(&mut intake, 300, &event("end", "\"XK41207\"", NOW + 250));
    let read = intake.tick(NOW + 2300).sealables.remove(0).read;
    assert_eq!((read.captured_at, read.time_quality), (NOW + 50, TimeQuality::Exact));
    // What only the object says stays, also when the plate's message comes last.
    let mut intake = fresh();
    after(&mut intake, 0, &event("update", "\"XK4120\"", NOW));
    after(&mut intake, 100, &lpr("\"XK41207\""));
    let read = intake.drain(NOW + 200).sealables.remove(0).read;
    assert_eq!((read.plate.expose_text(), read.vehicle.class.unwrap().code), ("XK41207", 1));
}

#[test]
fn without_an_end_it_is_held_for_30_seconds_and_with_a_late_one_no_longer() {
    let mut intake = fresh();
    after(&mut intake, 0, &event("update", "\"XK41207\"", NOW));
    after(&mut intake, 29_000, &event("update", "\"XK41207\"", NOW + 29_000));
    assert!(intake.tick(NOW + HOLD_MS_MAX - 1).sealables.is_empty());
    let out = intake.tick(NOW + HOLD_MS_MAX);
    assert!(out.sealables[0].read.flags.has(ReadFlags::HELD_OUT));
    assert_eq!(after(&mut intake, 31_000, &event("update", "\"XK41207\"", NOW + 31_000)).duplicates, 1);
    after(&mut intake, 32_000, &event("end", "\"XK41207\"", NOW + 32_000));
    let end = intake.tick(NOW + 34_000);
    assert_eq!((end.sealables.len(), end.duplicates), (0, 1));

    let mut intake = fresh();
    after(&mut intake, 0, &event("update", "\"XK41207\"", NOW));
    after(&mut intake, 29_000, &event("end", "\"XK41207\"", NOW));
    let out = intake.tick(NOW + HOLD_MS_MAX);
    assert_eq!(sealed(&out), ["XK41207"]);
    assert!(!out.sealables[0].read.flags.has(ReadFlags::HELD_OUT));
}

#[test]
fn an_end_that_goes_back_to_a_sealed_text_drops_what_was_held_instead() {
    let mut intake = fresh();
    after(&mut intake, 0, &event("update", "\"XK41207\"", NOW));
    assert_eq!(intake.tick(NOW + HOLD_MS_MAX).sealables.len(), 1);
    after(&mut intake, 31_000, &event("update", "\"XK4I2O7X\"", NOW + 31_000));
    after(&mut intake, 32_000, &event("end", "\"XK41207\"", NOW + 32_000));
    let out = intake.tick(NOW + 90_000);
    assert_eq!((out.sealables.len(), out.duplicates), (0, 1));
}

#[test]
fn a_retained_message_is_ignored() {
    let parsed = on("frigate/events", true, &event("update", "\"XK41207\"", NOW));
    assert_eq!((parsed.observations.len(), parsed.ignored.other_events, parsed.rejected), (0, 1, 0));
}

#[test]
fn a_message_delivered_twice_is_one_read() {
    let mut intake = fresh();
    for offset in [0, 10] {
        after(&mut intake, offset, &event("update", "\"XK41207\"", NOW));
    }
    for offset in [500, 510] {
        after(&mut intake, offset, &event("end", "\"XK41207\"", NOW));
    }
    assert_eq!(sealed(&intake.tick(NOW + 2500)), ["XK41207"]);
    after(&mut intake, 2600, &event("end", "\"XK41207\"", NOW));
    let again = intake.tick(NOW + 10_000);
    assert_eq!((again.sealables.len(), again.duplicates), (0, 1));
}

#[test]
fn the_start_of_an_object_says_nothing_of_a_clock_unless_it_is_in_the_future() {
    let (starts, minute) = (lpr("\"XK41207\""), 60_000);
    for (age, off) in [(20 * minute, false), (-minute, true)] {
        let mut intake = fresh();
        after(&mut intake, age - 9_500, &starts);
        let out = intake.tick(NOW + age + 60_000);
        assert_eq!((out.sealables.len(), out.clocks_off.len()), (1, usize::from(off)), "{age}");
        let read = &out.sealables[0].read;
        let expected =
            if off { (TimeQuality::ReceiveTime, NOW + age - 9_500) } else { (TimeQuality::ObjectStart, NOW - 9_500) };
        assert_eq!((read.time_quality, read.captured_at), expected);
        assert_eq!(intake.clock_reading(read.camera).is_some(), off);
    }
}

#[test]
fn a_parked_car_is_one_read_a_quarter() {
    let mut intake = fresh();
    let mut reads = 0;
    for second in 0..3600_i64 {
        if second % 60 == 0 {
            let text = event("update", "\"PK1\"", NOW + second * 1000);
            after(&mut intake, second * 1000, &text.replace(r#""stationary":false"#, r#""stationary":true"#));
        }
        reads += intake.tick(NOW + second * 1000).sealables.len();
    }
    assert_eq!(reads, 4);
    // A car that is lost and found while it stands gets another id.
    let found = event("end", "\"PK1\"", NOW + 3_605_000).replace("-abc", "-def");
    after(&mut intake, 3_606_000, &found.replace(r#""stationary":false"#, r#""stationary":true"#));
    assert_eq!(intake.tick(NOW + 3_609_000).duplicates, 1);
}

#[test]
fn false_positives_are_discarded_and_characters_of_the_small_model_kept() {
    let parsed =
        say(&event("update", "\"XK41207\"", NOW).replace(r#""false_positive":false"#, r#""false_positive":true"#));
    assert_eq!((parsed.observations.len(), parsed.ignored.other_events), (0, 1));
    assert_eq!(texts(&say(&event("update", "\"苏A·8HK52\"", NOW))), ["苏A8HK52"]);
}

#[test]
fn times_in_their_order() {
    let text = event("update", "\"XK41207\"", NOW);
    let time = |text: &str| say(text).observations.first().map(|o| (o.time.ms, o.time.quality));
    let of_snapshot =
        text.replace(r#""snapshot":{"frame_time":1774000000.000"#, r#""snapshot":{"frame_time":1773999999.25"#);
    assert_eq!(time(&of_snapshot), Some((NOW - 750, TimeQuality::Exact)));
    let cut = text.replace(r#""snapshot":{"#, r#""snapshot":null,"was":{"#);
    assert_eq!(time(&cut), Some((NOW, TimeQuality::Exact)));
    let start = cut.replace(r#""frame_time""#, r#""other_time""#);
    assert_eq!(time(&start), Some((NOW - 9500, TimeQuality::ObjectStart)));
    let none = start.replace(r#""start_time""#, r#""other""#);
    assert_eq!((time(&none), slugs(&say(&none))), (None, vec![(None, Slug::MissingField)]));
}

#[test]
fn mandatory_fields_and_the_bound_of_ids() {
    for key in ["id", "camera", "plate", "timestamp"] {
        assert_eq!(
            slugs(&say(&lpr("\"X1\"").replace(&format!("\"{key}\""), "\"other\""))),
            [(None, Slug::MissingField)]
        );
    }
    for (len, fits) in [(ID_BYTES_MAX, true), (ID_BYTES_MAX + 1, false)] {
        let text = lpr("\"X1\"").replace("1773999990.5-abc", &"i".repeat(len));
        assert_eq!(say(&text).observations.len() == 1, fits);
    }
    assert!(say("[]").is_poison() && say("").is_poison() && say("online").is_poison() && say("{}").is_poison());
}

#[test]
fn ten_thousand_mutated_messages() {
    let seeds = [event("update", "\"XK41207\"", NOW), event("end", r#"["XK41207",0.9]"#, NOW), lpr("\"XK41207\"")];
    mutate(KIND, "application/json", &seeds);
}

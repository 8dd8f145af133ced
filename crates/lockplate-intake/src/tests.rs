//! Tests over the modules: the `T` items of `intake.md` 8.1 to 8.3 (those of other sources stand beside them), what must never
//! be taken over, and mutated payloads. Every plate is invented.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::intake::{Intake, Outcome};
use crate::limits::{HOLD_READS_MAX, LINE_BYTES_MAX};
use crate::normalise::{Arrival, CameraClock, Clock, Placement, Rules};
use crate::own::FieldMap;
use crate::source::{
    AnswerRule, BusyAnswer, Parsed, Part, Payload, PoisonAnswer, Slug, SourceConfig, SourceKind, SuccessBody,
};
use crate::time::Zone;
use lockplate_core::read::{ReadFlags, TimeQuality};

pub(crate) const NOW: i64 = 1_774_000_000_000;
pub(crate) const YEAR_MS: i64 = 365 * 86_400_000;

pub(crate) fn config(kind: SourceKind) -> SourceConfig {
    let mut config = SourceConfig::new(3, kind);
    config.zone = Zone::parse("America/New_York");
    if kind.profile().camera_configured {
        config.camera = Some("gate".into());
    }
    config
}

pub(crate) fn parse(kind: SourceKind, content_type: &str, body: &[u8]) -> Parsed {
    kind.parser().parse(&Payload { content_type, body, ..Payload::default() }, &config(kind))
}

fn ndjson(body: &str) -> Parsed {
    parse(SourceKind::Own, "application/x-ndjson", body.as_bytes())
}

fn csv(body: &[u8]) -> Parsed {
    parse(SourceKind::Own, "text/csv; charset=utf-8", body)
}

fn rekor(body: &str) -> Parsed {
    parse(SourceKind::Rekor, "application/json", body.as_bytes())
}

fn recognizer(body: &str) -> Parsed {
    parse(SourceKind::PlateRecognizer, "application/json", body.as_bytes())
}

pub(crate) fn texts(parsed: &Parsed) -> Vec<&str> {
    parsed.observations.iter().map(|o| o.plate.expose_text()).collect()
}

pub(crate) fn slugs(parsed: &Parsed) -> Vec<(Option<u64>, Slug)> {
    parsed.problems.iter().map(|p| (p.line, p.slug)).collect()
}

pub(crate) fn rules(kind: SourceKind) -> Rules {
    Rules::new(&config(kind), Arrival::Live, YEAR_MS)
}

pub(crate) fn take(intake: &mut Intake, now: i64, kind: SourceKind, parsed: Parsed) -> Outcome {
    intake.take(now, rules(kind), parsed, |key| (key != "unknown").then_some(7))
}

pub(crate) fn sealed(outcome: &Outcome) -> Vec<&str> {
    outcome.sealables.iter().map(|s| s.read.plate.expose_text()).collect()
}

const LINE: &str = r#"{"plate":"xk-41 207","camera":"c1","captured_at":"2026-03-20T09:46:40Z","id":"a","conf":0.9}"#;

#[test]
fn a_backlog_between_two_reads_of_now_does_not_make_a_clock_wrong() {
    let mut clock = CameraClock::default();
    let (now, hour) = (1_800_000_000_000_i64, 3_600_000_i64);
    assert_eq!(clock.judge(now - 300, now), Clock::Good);
    // As fast as they were captured: nothing tells them from reads of a clock that goes wrong.
    let slowly = |clock: &mut CameraClock, at: i64| {
        let judged = (0..200).map(|n| clock.judge(at - 48 * hour + n * 1_000, at + n * 1_000));
        judged.filter(|judged| *judged == Clock::Good).count()
    };
    assert_eq!(slowly(&mut clock, now + 60_000), 200, "a minute after a read of now");
    assert_eq!(slowly(&mut clock, now + 20 * 60_000), 0, "a quarter of an hour without one");
    assert_eq!(clock.judge(now + 30 * 60_000, now + 30 * 60_000), Clock::Good);
}

#[test]
fn a_backlog_before_any_read_of_now_does_not_make_a_clock_wrong() {
    let (now, hour) = (1_800_000_000_000_i64, 3_600_000_i64);
    // A vehicle every 7 s, oldest first, ten a second, until it has caught up.
    let backlog = |clock: &mut CameraClock, at: i64| {
        let judged: Vec<_> = (0..500).map(|n| clock.judge(at - hour + n * 7_000, at + n * 100)).collect();
        judged.iter().rposition(|judged| *judged == Clock::Off).map_or(0, |at| at + 1)
    };
    // The camera had no network for an hour.
    let mut clock = CameraClock::default();
    (0..100).for_each(|n| assert_eq!(clock.judge(now + n * 7_000 - 300, now + n * 7_000), Clock::Good));
    assert_eq!(backlog(&mut clock, now + 2 * hour), 0);
    // A new one, of which nothing is known: each read stands alone.
    assert_eq!(backlog(&mut CameraClock::default(), now), 500);
}

#[test]
fn what_was_kept_over_a_restart_is_believed_and_no_clock_that_went_wrong_meanwhile() {
    let (now, hour) = (1_800_000_000_000_i64, 3_600_000_i64);
    // Right until an hour ago.
    let known = || CameraClock::known(now - hour);
    assert_eq!(known().judge(now - 600_000, now), Clock::Good, "kept while nobody listened");
    assert_eq!(known().judge(now - 2 * hour, now), Clock::Off, "of before that");
    assert_eq!(known().judge(now - 30 * 24 * hour, now), Clock::Off);
    assert_eq!(known().judge(now + 6_000, now), Clock::Off);
    // Behind by less than the hour: for a quarter of an hour nobody can tell.
    let (mut clock, mut judged) = (known(), Vec::new());
    (0..40).for_each(|n| judged.push(clock.judge(now - hour / 2 + n * 60_000, now + n * 60_000)));
    assert_eq!(judged.iter().filter(|judged| **judged == Clock::Good).count(), 16);
    assert_eq!(judged.last(), Some(&Clock::Off));
    // What one read says that is far off does not vouch for the next.
    let mut clock = CameraClock::default();
    clock.judge(now - 20_000 * 24 * hour, now);
    assert!((1..100).all(|n| clock.judge(now - hour + n * 10_000, now + n * 10_000) == Clock::Off));
}

#[test]
fn one_read_of_the_far_past_does_not_make_a_wrong_clock_believed() {
    let (now, minute) = (1_800_000_000_000_i64, 60_000_i64);
    for far in [26 * 365 * 24 * 60 * minute, 48 * 60 * minute, 20 * minute] {
        let mut clock = CameraClock::default();
        assert_eq!(clock.judge(now, now), Clock::Good);
        clock.judge(now + 1_000 - far, now + 1_000);
        // Five minutes behind from then on, a read each ten seconds.
        let judged = (1..360).map(|n| clock.judge(now + n * 10_000 - 5 * minute, now + n * 10_000));
        let believed = judged.filter(|judged| *judged == Clock::Good).count();
        assert!(believed <= 6 * 21, "{believed} of an hour's reads of a clock that is wrong");
    }
}

#[test]
fn a_backlog_goes_on_over_a_restart_and_over_a_time_away() {
    let (now, minute) = (1_800_000_000_000_i64, 60_000_i64);
    // Right, then away for three hours; what it kept comes 20 times as fast as it was captured, a sign of life beside it each minute.
    let mut clock = CameraClock::default();
    clock.judge(now, now);
    let back = now + 180 * minute;
    let backlog = |clock: &mut CameraClock, from: i64, captured: i64, seconds: i64| {
        (0..seconds).all(|n| clock.judge(captured + n * 20_000, from + n * 1_000) == Clock::Good)
    };
    assert_eq!(clock.judge(back, back), Clock::Good, "a sign of life before any of it");
    assert!(backlog(&mut clock, back + 1_000, now + minute, 60));
    assert_eq!(clock.judge(back + minute, back + minute), Clock::Good);
    let mut after = CameraClock::known(clock.kept_from().unwrap());
    assert!(backlog(&mut after, back + 2 * minute, now + 21 * minute, 60), "after a restart");
    // Away again for an hour, without a restart and without a sign of life.
    assert!(backlog(&mut after, back + 63 * minute, now + 41 * minute, 60), "after a time away");
    // Older than anything that was heard, beside a read of now: the queue was there before us.
    let mut new = CameraClock::default();
    new.judge(now, now);
    assert!(backlog(&mut new, now + 1_000, now - 180 * minute, 60));
    let mut after_it = CameraClock::known(new.kept_from().unwrap());
    assert!(backlog(&mut after_it, now + 2 * minute, now - 160 * minute, 60));
    assert_eq!(CameraClock::known(now).judge(now - 180 * minute, now), Clock::Off);
    // Once nothing else has come for a quarter of an hour, what may have been kept is of now.
    let calm = back + 80 * minute;
    (0..18).for_each(|n| assert_eq!(after.judge(calm + n * minute, calm + n * minute), Clock::Good));
    assert_eq!(after.kept_from(), Some(calm + 17 * minute));
}

#[test]
fn a_wrong_clock_stays_wrong_over_delays() {
    let (now, hour) = (1_800_000_000_000_i64, 3_600_000_i64);
    let mut clock = CameraClock::default();
    // One in five waits 12 s for the network, and the next ones are there before it.
    let delay = |n: i64| 300 + if n % 5 == 4 { 12_000 } else { 0 };
    let judged: Vec<_> = (0..200).map(|n| clock.judge(now - hour + n * 13_000, now + n * 13_000 + delay(n))).collect();
    assert!(judged.iter().all(|judged| *judged == Clock::Off));
    // A minute without network: what comes at once then looks like a backlog, but it is known by now.
    let at = now + hour;
    let judged: Vec<_> = (0..10).map(|n| clock.judge(at - hour + n * 6_000, at + 60_000)).collect();
    assert!(judged.iter().all(|judged| *judged == Clock::Off));
}

#[test]
fn own_bom_crlf_unknown_keys_and_bad_lines_beside_good_ones() {
    let parsed = ndjson(&format!("\u{feff}{LINE}\r\n{{\"cut\r\n\r\n{{\"plate\":\"AA1\",\"camera\":\"c\"}}\n{LINE}"));
    assert_eq!(texts(&parsed), ["XK41207", "XK41207"]);
    assert_eq!(slugs(&parsed), [(Some(2), Slug::Malformed), (Some(4), Slug::MissingField)]);
    assert_eq!(parsed.observations[1].line, Some(5));
    assert_eq!(parsed.problems[1].pointer.as_deref(), Some("/captured_at"));
    assert!(!parsed.is_poison() && ndjson("x").is_poison());
}

#[test]
fn own_csv_quoted_newline_other_column_order_unknown_column() {
    let body = b"\xef\xbb\xbfcaptured_at,note,camera,plate,vehicle_make,final\r\n1774000000123,\"two\nlines, \"\"x\"\"\",c1,XK41207,Ford,\r\n\
        2026-03-20T09:46:40Z,n,c1,XK41208,,true\r\nonly,three,cells\r\n";
    let parsed = csv(body);
    assert_eq!(texts(&parsed), ["XK41207", "XK41208"]);
    assert_eq!((parsed.ignored.unknown_fields, slugs(&parsed)), (2, vec![(Some(5), Slug::Malformed)]));
    assert_eq!(parsed.observations[0].vehicle.make.unwrap().code, 13);
    assert_eq!(parsed.observations[0].time.ms, 1_774_000_000_123);
    let latin =
        parse(SourceKind::Own, "text/csv; charset=windows-1252", b"plate,camera,captured_at\n\xc4B1,c,1774000000123");
    assert_eq!(texts(&latin), ["ÄB1"]);
    assert!(csv(b"plate,camera,captured_at\n\xc4B1,c,1774000000123").is_poison());
}

#[test]
fn own_refuses_local_time_utf16_nul_and_other_types() {
    assert_eq!(slugs(&ndjson(&LINE.replace("40Z", "40"))), [(Some(1), Slug::OutOfRange)]);
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(LINE.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(slugs(&parse(SourceKind::Own, "application/x-ndjson", &utf16)), [(None, Slug::UnsupportedType)]);
    assert!(parse(SourceKind::Own, "application/x-ndjson", &utf16[2..]).is_poison());
    assert!(csv(b"plate,camera,captured_at\nA\x001,c,1774000000123").is_poison());
    assert_eq!(slugs(&parse(SourceKind::Own, "text/xml", b"")), [(None, Slug::UnsupportedType)]);
}

#[test]
fn own_line_at_the_bound_and_beyond() {
    for (len, fits) in [(LINE_BYTES_MAX, true), (LINE_BYTES_MAX + 1, false)] {
        let head = LINE.strip_suffix('}').unwrap();
        let pad = "x".repeat(len - head.len() - r#","pad":""}"#.len());
        let line = format!(r#"{head},"pad":"{pad}"}}"#);
        assert_eq!((line.len(), ndjson(&line).observations.len() == 1), (len, fits));
    }
}

#[test]
fn own_id_twice_is_one_read_and_a_correction_is_another_with_the_same_reference() {
    let mut intake = Intake::new(&[5; 32]);
    let first = take(&mut intake, NOW, SourceKind::Own, ndjson(&format!("{LINE}\n{LINE}")));
    assert_eq!((sealed(&first), first.duplicates), (vec!["XK41207"], 1));
    let corrected = take(&mut intake, NOW + 60_000, SourceKind::Own, ndjson(&LINE.replace("207", "208")));
    assert_eq!(sealed(&corrected), ["XK41208"]);
    assert_eq!(corrected.sealables[0].read.engine_ref, first.sealables[0].read.engine_ref);
    assert!(first.sealables[0].read.engine_ref.is_some());
    intake.not_durable(&first.sealables[0]);
    assert_eq!(sealed(&take(&mut intake, NOW + 1, SourceKind::Own, ndjson(LINE))), ["XK41207"]);
}

#[test]
fn own_track_is_held_until_final_and_no_longer_than_30_seconds() {
    let mut intake = Intake::new(&[5; 32]);
    let part = |plate: &str, last: bool| {
        ndjson(&format!(r#"{{"plate":"{plate}","camera":"c1","captured_at":{NOW},"track":"t9","final":{last}}}"#))
    };
    let held = take(&mut intake, NOW, SourceKind::Own, part("XK4120", false));
    assert_eq!((held.held, held.sealables.len()), (1, 0));
    assert_eq!(sealed(&take(&mut intake, NOW + 900, SourceKind::Own, part("XK41207", true))), ["XK41207"]);
    assert!(sealed(&intake.tick(NOW + 60_000)).is_empty());
    take(&mut intake, NOW, SourceKind::Own, part("QZ1", false));
    assert!(intake.tick(NOW + 29_999).sealables.is_empty());
    let out = intake.tick(NOW + 30_000);
    assert_eq!(sealed(&out), ["QZ1"]);
    assert!(out.sealables[0].read.flags.has(ReadFlags::HELD_OUT));
    assert_eq!(slugs(&ndjson(&LINE.replace(r#""conf":0.9"#, r#""final":false"#))), [(Some(1), Slug::MissingField)]);
}

#[test]
fn the_hold_table_seals_the_oldest_beyond_its_bound() {
    let mut intake = Intake::new(&[5; 32]);
    let lines: String = (0..=HOLD_READS_MAX)
        .map(|n| {
            format!("{{\"plate\":\"T{n}\",\"camera\":\"c\",\"captured_at\":{NOW},\"track\":\"{n}\",\"final\":false}}\n")
        })
        .collect();
    let out = take(&mut intake, NOW, SourceKind::Own, ndjson(&lines));
    assert_eq!(sealed(&out), ["T0"]);
    assert_eq!(intake.drain(NOW).sealables.len(), HOLD_READS_MAX);
}

#[test]
fn the_traffic_preset_names_states_and_drops_positions() {
    let mut traffic = config(SourceKind::Own);
    traffic.fields = FieldMap::traffic();
    traffic.trust_jurisdiction = true;
    let body = br#"{"plate":"EB1","state":"CT","time":"2026-03-20T09:46:40Z","camera":"cam-03","lat":44.8,"lon":-68.7,"confidence":0.891}"#;
    let payload = Payload { content_type: "application/x-ndjson", body, ..Payload::default() };
    let parsed = SourceKind::Own.parser().parse(&payload, &traffic);
    assert_eq!((parsed.ignored.unknown_fields, parsed.observations[0].conf), (2, Some(891)));
    let out = Intake::new(&[1; 32]).take(NOW, Rules::new(&traffic, Arrival::Import, YEAR_MS), parsed, |_| Some(3));
    let read = &out.sealables[0].read;
    assert_eq!(read.key_jurisdiction().unwrap().code(), "US-CT");
    assert!(read.flags.has(ReadFlags::LATE));
    assert_eq!(out.sealables[0].placement, Placement::Late { captured_at: read.captured_at });
}

fn fast_alpr(body: &str) -> Parsed {
    let mut config = config(SourceKind::Own);
    config.fields = FieldMap::preset("fast-alpr").unwrap();
    let payload = Payload { content_type: "application/x-ndjson", body: body.as_bytes(), ..Payload::default() };
    SourceKind::Own.parser().parse(&payload, &config)
}

const FAST_ALPR: &str = r#"{"camera":"c1","captured_at":1774000000123,"detection":{"label":"License Plate","confidence":0.88,
    "bounding_box":{"x1":1,"y1":2,"x2":3,"y2":4}},"ocr":{"text":"XK41207__","confidence":[0.99,0.81,0.97],"region":"Georgia",
    "region_confidence":0.99}}"#;

#[test]
fn fast_alpr_confidence_of_both_forms_padding_and_nothing_read() {
    let list = FAST_ALPR.replace('\n', "");
    let parsed = fast_alpr(&list);
    assert_eq!((texts(&parsed), parsed.observations[0].conf), (vec!["XK41207"], Some(810)));
    // A country, not the state of that name.
    assert!(parsed.observations[0].jurisdiction.is_none());
    assert_eq!(parsed.ignored.unknown_fields, 1);
    for (conf, want) in [("0.9", Some(900)), ("[]", None), ("[0.9,null]", None), ("[0.9,\"x\"]", None), ("null", None)]
    {
        let parsed = fast_alpr(&list.replace("[0.99,0.81,0.97]", conf));
        assert_eq!(parsed.observations[0].conf, want, "{conf}");
    }
    let (head, _) = list.split_once("\"ocr\"").unwrap();
    for nothing in ["null", r#"{"text":"","confidence":0.1}"#, r#"{"text":"____","confidence":[]}"#, r#"{"text":null}"#]
    {
        let parsed = fast_alpr(&format!("{head}\"ocr\":{nothing}}}"));
        assert_eq!((parsed.ignored.unreadable, parsed.rejected, parsed.observations.len()), (1, 0, 0), "{nothing}");
    }
    let absent = fast_alpr(&format!("{}}}", head.trim_end_matches(',')));
    assert_eq!(
        (slugs(&absent), absent.problems[0].pointer.as_deref()),
        (vec![(Some(1), Slug::MissingField)], Some("/ocr/text"))
    );
    assert_eq!(slugs(&fast_alpr(&format!("{head}\"ocr\":{{}}}}"))), [(Some(1), Slug::MissingField)]);
    not_taken_over(SourceKind::Own, parsed, &["Georgia", "GA", "License"]);
    // In CSV the name is that of the column.
    let mut config = config(SourceKind::Own);
    config.fields = FieldMap::fast_alpr();
    let body = b"camera,captured_at,ocr.text,ocr.confidence\nc1,1774000000123,XK41207,0.9\n";
    let csv =
        SourceKind::Own.parser().parse(&Payload { content_type: "text/csv", body, ..Payload::default() }, &config);
    assert_eq!((texts(&csv), csv.observations[0].conf, csv.ignored.unknown_fields), (vec!["XK41207"], Some(900), 0));
}

#[test]
fn ten_thousand_mutated_payloads_of_fast_alpr() {
    let line = FAST_ALPR.replace('\n', "");
    mutate_with(SourceKind::Own, &[format!("{line}\n{line}\n")], &|body| {
        let mut config = config(SourceKind::Own);
        config.fields = FieldMap::fast_alpr();
        SourceKind::Own
            .parser()
            .parse(&Payload { content_type: "application/x-ndjson", body, ..Payload::default() }, &config)
    });
}

#[test]
fn vanity_plates_that_look_like_placeholders_are_sealed_and_empty_ones_counted() {
    for plate in ["NULL", "NONE", "NOPLATE", "UNKNOWN"] {
        assert_eq!(texts(&ndjson(&LINE.replace("xk-41 207", plate))), [plate]);
    }
    for plate in ["----", "", "-"] {
        let parsed = ndjson(&LINE.replace("xk-41 207", plate));
        assert_eq!((parsed.ignored.unreadable, parsed.rejected, parsed.observations.len()), (1, 0, 0));
    }
}

fn group(preview: bool, plate: &str, uuids: &str, extra: &str) -> String {
    format!(
        r#"{{"data_type":"alpr_group","agent_uid":"A","camera_id":12,"best_plate_number":"{plate}","best_confidence":91.5,
        "best_region":"us-mo","best_region_confidence":81,"best_uuid":"A-cam12-{}","uuids":[{uuids}],"epoch_start":{NOW},
        "epoch_end":{},"is_preview":{preview},"img_width":640,"img_height":480,"img_width":640,"img_height":480,
        "matches_template":true,"gps_latitude":44.8{extra}}}"#,
        NOW + 500,
        NOW + 900
    )
}

#[test]
fn rekor_group_with_duplicate_keys() {
    let vehicle = r#","vehicle":{"color":[{"name":"silver-gray","confidence":80}],"make":[{"name":"ford","confidence":70.5}],"body_type":[]}"#;
    let parsed = rekor(&group(false, "XK41207", "\"u1\"", vehicle));
    let o = &parsed.observations[0];
    assert_eq!((o.camera_key.as_str(), o.time.ms, o.conf), ("A/12", NOW + 500, Some(915)));
    assert_eq!((o.jurisdiction.unwrap().code(), o.jur_conf), ("US-MO", Some(810)));
    assert_eq!((o.vehicle.make.unwrap().conf, o.vehicle.class, o.aliases.len()), (Some(705), None, 1));
    let outside = rekor(&group(false, "XK41207", "", "").replace(&format!("cam12-{}", NOW + 500), "cam12-5"));
    assert_eq!(outside.observations[0].time.ms, NOW);
    assert!(rekor(&group(false, "X1", "", r#","best_region":"""#)).observations[0].jurisdiction.is_none());
}

#[test]
fn rekor_preview_then_final_is_one_read_and_parked_is_one_per_quarter() {
    let mut intake = Intake::new(&[5; 32]);
    let kind = SourceKind::Rekor;
    assert_eq!(take(&mut intake, NOW, kind, rekor(&group(true, "XK4120", "\"u1\"", ""))).held, 1);
    let last = group(false, "XK41207", "\"u1\",\"u2\"", "").replace("cam12-", "cam12-9-");
    assert_eq!(sealed(&take(&mut intake, NOW + 2000, kind, rekor(&last))), ["XK41207"]);
    assert_eq!(take(&mut intake, NOW + 3000, kind, rekor(&last)).duplicates, 1);
    assert!(intake.tick(NOW + 90_000).sealables.is_empty());
    let parked = |minute: i64| {
        let text = group(false, "PK1", "", r#","is_parked":true"#);
        let at = NOW + minute * 60_000;
        (
            at,
            text.replace(&format!("\"epoch_start\":{NOW}"), &format!("\"epoch_start\":{at}"))
                .replace("cam12-", &format!("p{minute}-")),
        )
    };
    let sum: usize =
        (0..60).map(parked).map(|(at, text)| take(&mut intake, at, kind, rekor(&text)).sealables.len()).sum();
    assert_eq!(sum, 4);
}

#[test]
fn rekor_alerts_tests_heartbeats_and_absent_data_types() {
    let wrapped = format!(
        r#"{{"data_type":"alpr_alert","alert_list":"wanted","description":"Jane Example","site_name":"alpr_group","group":{}}}"#,
        group(false, "XK41207", "", "")
    );
    assert_eq!(texts(&rekor(&wrapped)), ["XK41207"]);
    assert_eq!(texts(&rekor(&wrapped.replace("\"alpr_alert\"", "null"))), ["XK41207"]);
    assert_eq!(rekor(r#"{"openalpr_webhook":1}"#).ignored.other_events, 1);
    assert_eq!(rekor(r#"{"data_type":"vehicle"}"#).ignored.other_events, 1);
    assert_eq!(slugs(&rekor("{}")), [(None, Slug::MissingField)]);
    let beat = rekor(
        r#"{"data_type":"heartbeat","agent_uid":"A","timestamp":1774000000000,"license_key":"SECRETKEY",
        "disk_drive_free_bytes":8031714103340852224,"video_streams":[{"camera_id":12,"last_update":1773999999000}]}"#,
    );
    let heartbeat = beat.heartbeat.clone().unwrap();
    assert_eq!(heartbeat.cameras, [("A/12".to_owned(), Some(NOW - 1000))]);
    assert!(!format!("{beat:?}").contains("SECRET"));
}

fn frame(at_ms: i64, plates: &[(&str, f64)]) -> String {
    let results: Vec<String> = plates
        .iter()
        .map(|(p, c)| format!(r#"{{"plate":"{p}","confidence":{c},"matches_template":0,"region":"","candidates":[]}}"#))
        .collect();
    format!(
        r#"{{"data_type":"alpr_results","uuid":"","camera_id":4,"epoch_time":{at_ms},"img_width":1,"img_width":1,"results":[{}]}}"#,
        results.join(",")
    )
}

fn run_frames(frames: &[(i64, Vec<(&str, f64)>)]) -> Vec<(String, u16)> {
    let mut intake = Intake::new(&[5; 32]);
    for (offset, plates) in frames {
        let out = take(&mut intake, NOW + offset, SourceKind::Alprd, rekor(&frame(NOW + offset, plates)));
        assert!(out.sealables.is_empty() && out.rejected == 0);
    }
    let last = NOW + frames.last().unwrap().0;
    assert!(intake.tick(last + 2000).sealables.is_empty());
    let reads = intake.tick(last + 3300).sealables;
    assert!(
        reads.iter().all(|one| one.seen().is_some_and(|seen| seen.of_frames && seen.is_final)),
        "rule 6 asks for it"
    );
    let mut out: Vec<_> = reads.iter().map(|s| (s.read.plate.expose_text().to_owned(), s.read.frames)).collect();
    out.sort();
    out
}

#[test]
fn frames_become_one_read_a_pass() {
    let mut frames: Vec<(i64, Vec<(&str, f64)>)> = (0..19).map(|n| (n * 100, vec![("K179658", 90.0)])).collect();
    frames[7].1[0].0 = "K1T9658";
    frames[8].1[0].0 = "K1T9658";
    // Frames come up to 0.2 s out of order.
    frames.swap(3, 5);
    assert_eq!(run_frames(&frames), [("K179658".to_owned(), 19)]);
    assert_eq!(run_frames(&[(0, vec![("205014", 80.0), ("205014", 70.0)])]), [("205014".to_owned(), 1)]);
    let others = [(0, vec![("627WI", 70.0)]), (100, vec![("627WWI", 90.0), ("K965B", 88.0)])];
    assert_eq!(run_frames(&others), [("627WWI".to_owned(), 2), ("K965B".to_owned(), 1)]);
}

#[test]
fn frames_are_ignored_while_the_agent_sends_groups() {
    let mut intake = Intake::new(&[5; 32]);
    let of_agent = frame(NOW, &[("K1", 90.0)]).replace("\"camera_id\"", "\"agent_uid\":\"A\",\"camera_id\"");
    take(&mut intake, NOW, SourceKind::Rekor, rekor(&group(false, "XK41207", "", "")));
    assert_eq!(take(&mut intake, NOW + 599_999, SourceKind::Rekor, rekor(&of_agent)).ignored.frames, 1);
    assert_eq!(take(&mut intake, NOW + 600_000, SourceKind::Rekor, rekor(&of_agent)).held, 1);
}

#[test]
fn old_frames_carry_seconds_in_the_result() {
    let old = r#"{"camera_id":1,"results":[{"plate":"QX81","confidence":81,"region_confidence":12.5,"epoch_time":1404947912}]}"#;
    assert_eq!(rekor(old).observations[0].time.ms, 1_404_947_912_000);
}

#[test]
fn alpr_lines_between_other_lines() {
    let line = r#"{"version":2,"epoch_time":1774000000123,"results":[{"plate":"QX81","confidence":81}]}"#;
    let body = format!("/srv/a.jpg\n{line}\nNo license plates found.\n{{\"results\":[]}}\n{}", line.split_at(40).0);
    let parsed = parse(SourceKind::AlprLines, "", body.as_bytes());
    assert_eq!((texts(&parsed), parsed.ignored.stray_lines, parsed.ignored.other_events), (vec!["QX81"], 2, 1));
    assert_eq!(slugs(&parsed), [(Some(5), Slug::Malformed)]);
    assert_eq!(parsed.observations[0].camera_key, "gate");
}

const TYPE_1: &str = r#"{"hook":{"event":"recognition","id":"cam-h","filename":"h.jpg"},"data":{"camera_id":"cam-1","filename":"f.jpg",
    "timestamp":"2026-03-20 05:46:40.030345","timestamp_local":"x","results":[{"plate":"xk41207","score":0.871,
    "region":{"code":"us-ct","score":0.9},"vehicle":{"type":"Sedan","score":0.5},"color":[{"color":"black","score":0.7}],
    "model_make":[{"make":"Ford","model":"F","score":0.3}],"direction":210,"speed":61,"source_url":"x","driver":"Jane Example"}]}}"#;

#[test]
fn plate_recognizer_type_1_types_mixed_and_region_forms() {
    let parsed = recognizer(TYPE_1);
    let o = &parsed.observations[0];
    assert_eq!((o.plate.expose_text(), o.camera_key.as_str(), o.conf), ("XK41207", "cam-1", Some(871)));
    assert_eq!((o.time.ms, o.time.quality), (1_774_000_000_030, TimeQuality::AssumedZone));
    assert_eq!((o.jurisdiction.unwrap().code(), o.jur_conf), ("US-CT", Some(900)));
    assert_eq!(
        (o.vehicle.class.unwrap().code, o.vehicle.make.unwrap().code, o.vehicle.colour.unwrap().code),
        (2, 13, 1)
    );
    for (time, quality) in
        [("2026-03-20T09:46:40.03Z", TimeQuality::Exact), ("2026-03-20 09:46:40.03+00:00", TimeQuality::Exact)]
    {
        let parsed = recognizer(&TYPE_1.replace("2026-03-20 05:46:40.030345", time));
        assert_eq!((parsed.observations[0].time.ms, parsed.observations[0].time.quality), (1_774_000_000_030, quality));
    }
    let vague = TYPE_1.replace(r#""code":"us-ct","score":0.9"#, r#""code":"us","score":0"#);
    assert!(recognizer(&vague).observations[0].jurisdiction.is_none());
    let two = r#"{"plate":{"props":{"plate":[{"value":"ab12","score":"0.7"}],"region":[{"value":"gb","score":0.8}]},"position_sec":"1.5"}},
        {"plate":null,"position_sec":2},"#;
    let mixed = recognizer(&TYPE_1.replace(r#""results":["#, &format!(r#""results":[{two}"#)));
    assert_eq!((texts(&mixed), mixed.ignored.unreadable), (vec!["AB12", "XK41207"], 1));
    assert_eq!((mixed.observations[0].conf, mixed.observations[0].jurisdiction.unwrap().code()), (Some(700), "GB"));
}

#[test]
fn plate_recognizer_ways_of_transport() {
    let config = config(SourceKind::PlateRecognizer);
    let parser = SourceKind::PlateRecognizer.parser();
    let part = |name, content_type, body| Part { name, content_type, body };
    let json = TYPE_1.as_bytes();
    for parts in [
        vec![part("json", None, json)],
        vec![part("upload", Some("image/jpeg"), b"x".as_slice()), part("json", Some("application/json"), json)],
    ] {
        let payload = Payload { content_type: "multipart/form-data", parts: &parts, ..Payload::default() };
        assert_eq!(texts(&parser.parse(&payload, &config)), ["XK41207"]);
    }
    let encoded: String = TYPE_1.bytes().map(|b| format!("%{b:02X}")).collect();
    let form = parse(
        SourceKind::PlateRecognizer,
        "application/x-www-form-urlencoded",
        format!("a=1&json={encoded}").as_bytes(),
    );
    assert_eq!(texts(&form), ["XK41207"]);
    let headless = TYPE_1.replace(r#""camera_id":"cam-1","#, "").replace(r#""id":"cam-h","#, "");
    let payload = Payload {
        content_type: "application/json",
        body: headless.as_bytes(),
        camera_header: Some("cam-x"),
        ..Payload::default()
    };
    assert_eq!(parser.parse(&payload, &config).observations[0].camera_key, "cam-x");
    assert_eq!(slugs(&recognizer(&headless)), [(None, Slug::MissingField)]);
    let snapshot = r#"[{"results":[{"plate":"ab1","score":1}],"filename":"f","camera_id":"c","timestamp":"2026-03-20T09:46:40Z"}]"#;
    assert_eq!(texts(&recognizer(snapshot)), ["AB1"]);
}

#[test]
fn plate_recognizer_events_without_a_read_are_counted() {
    for event in ["dwell", "clip", "heartbeat"] {
        let parsed = recognizer(&TYPE_1.replace("recognition", event));
        assert_eq!((parsed.ignored.other_events, parsed.observations.len(), parsed.rejected), (1, 0, 0));
    }
    assert_eq!(recognizer(r#"{"hook":{"event":"recognition"},"data":{"camera_id":"c"}}"#).ignored.other_events, 1);
    assert!(SourceConfig::new(1, SourceKind::PlateRecognizer).check().is_err());
}

/// Stream's columns; the cells with Python in them, as it writes them, are not read.
const STREAM_CSV: &str = "timestamp,plate,score,dscore,file,box,model_make,color,vehicle,region,orientation,candidates,source_url,position_sec,direction\n\
    2026-03-20 05:46:40.250000-04:00,xk41207,0.781,0.441,/gate_screenshots/26-03-20/05-46-40.jpg,\"{'xmin': 1, 'ymin': 80}\",\"[{'make': 'Opel', 'model': 'Corsa', 'score': 0.9}]\",\"[{'color': 'white', 'score': 0.9}]\",\"{'score': 0.9, 'type': 'Sedan'}\",\"{'code': 'us-ct', 'score': 0.9}\",[],\"[{'plate': 'jane'}]\",rtsp://x,4,\n\
    2026-03-20 05:46:40.250000,ab123,0.5,0.4,/gate_screenshots/26-03-20/05-46-40.jpg,{},[],[],{},{},[],[],rtsp://x,4,\n\
    2026-03-20 05:46:41,,0.5,0.4,/west_screenshots/26-03-20/05-46-41.jpg,{},[],[],{},{},[],[],rtsp://x,4,\n";

fn stream(text: &str) -> Parsed {
    parse(SourceKind::PlateRecognizer, "text/csv", text.as_bytes())
}

#[test]
fn the_csv_of_plate_recognizer_is_read_by_its_scalars() {
    let parsed = stream(STREAM_CSV);
    assert_eq!((texts(&parsed), slugs(&parsed), parsed.ignored.unreadable), (vec!["XK41207", "AB123"], vec![], 1));
    let [first, second] = parsed.observations.as_slice() else { panic!("two reads") };
    assert_eq!((first.camera_key.as_str(), first.time.ms, first.time.quality), ("gate", NOW + 250, TimeQuality::Exact));
    assert_eq!((second.time.ms, second.time.quality), (NOW + 250, TimeQuality::AssumedZone));
    assert_eq!(
        (first.conf, first.jurisdiction, first.vehicle),
        (Some(781), None, lockplate_core::read::Vehicle::default())
    );
    assert_eq!(first.engine_id.as_deref(), Some("gate\u{1f}gate_screenshots/26-03-20/05-46-40.jpg\u{1f}0"));
    assert_ne!(first.engine_id, second.engine_id, "two plates of one picture are two reads");
    assert_eq!(parsed.heard.iter().collect::<Vec<_>>(), ["west"]);
    // Of the past, whatever the clock: late, and nobody is told of it.
    let mut intake = Intake::new(&[5; 32]);
    let file = Rules::new(&config(SourceKind::PlateRecognizer), Arrival::Import, YEAR_MS);
    let out = intake.take(NOW + 3_600_000, file, parsed.clone(), |_| Some(7));
    assert!(parsed.is_file && out.clocks_off.is_empty());
    assert!(
        out.sealables
            .iter()
            .all(|ready| ready.placement == Placement::Late { captured_at: NOW + 250 } && ready.seen().is_none())
    );
    assert_eq!(intake.take(NOW + 3_600_000, file, parsed.clone(), |_| Some(7)).duplicates, 2);
    // The row was compared with nothing: the live read of the same picture still is, and a row after it is a repeat.
    let live = Rules { arrival: Arrival::Live, ..file };
    let out = intake.take(NOW + 1_000, live, parsed.clone(), |_| Some(7));
    assert!(
        out.duplicates == 0 && out.sealables.len() == 2 && out.sealables.iter().all(|ready| ready.seen().is_some())
    );
    let mut intake = Intake::new(&[5; 32]);
    intake.take(NOW + 1_000, live, parsed.clone(), |_| Some(7));
    assert_eq!(intake.take(NOW + 2_000, file, parsed, |_| Some(7)).duplicates, 2);

    let config = config(SourceKind::PlateRecognizer);
    let cut = STREAM_CSV.replace("_screenshots", "");
    let payload = Payload {
        content_type: "text/csv; charset=utf-8",
        body: cut.as_bytes(),
        camera_header: Some("h"),
        ..Payload::default()
    };
    assert_eq!(SourceKind::PlateRecognizer.parser().parse(&payload, &config).observations[0].camera_key, "h");
    assert_eq!(
        slugs(&stream(&cut)),
        [(Some(2), Slug::MissingField), (Some(3), Slug::MissingField), (Some(4), Slug::MissingField)]
    );
    // No header; a file of vehicles, whose plates are Python; such a plate; a time that is none; a cell too many.
    let (_, headless) = STREAM_CSV.split_once('\n').unwrap();
    assert_eq!(slugs(&stream(headless)), [(Some(1), Slug::MissingField)]);
    let vehicles = "timestamp,file,source_url,position_sec,direction,plate,vehicle\n2026-03-20 05:46:40,/gate_screenshots/a.jpg,x,4,,None,{}\n";
    assert_eq!(slugs(&stream(vehicles)), [(Some(1), Slug::MissingField)]);
    for (from, to, slug) in [
        ("xk41207", "{'type': 'Plate'}", Slug::OutOfRange),
        ("2026-03-20 05:46:40.250000-04:00", "yesterday", Slug::OutOfRange),
        ("xk41207", "xk41207,0.1", Slug::Malformed),
    ] {
        let parsed = stream(&STREAM_CSV.replace(from, to));
        assert_eq!((slugs(&parsed), texts(&parsed)), (vec![(Some(2), slug)], vec!["AB123"]), "{to}");
    }
    // A day's file has more rows than a payload of another form has reads.
    let (header, rows) = STREAM_CSV.split_once('\n').unwrap();
    let day = format!("{header}\n{}", rows.lines().next().map(|row| format!("{row}\n")).unwrap().repeat(1_001));
    assert_eq!(stream(&day).observations.len(), 1_001);
}

#[test]
fn what_is_no_read_is_a_sign_of_life_of_the_camera_that_it_names() {
    use SourceKind as K;
    let json = "application/json";
    let hook = |event: &str, results: &str| {
        format!(r#"{{"hook":{{"event":"{event}","id":"c"}},"data":{{"timestamp":"2026-03-20T09:46:40Z"{results}}}}}"#)
    };
    let said = [
        (K::PlateRecognizer, hook("heartbeat", "")),
        (K::PlateRecognizer, hook("recognition", r#","results":[]"#)),
        (K::PlateRecognizer, hook("recognition", r#","results":[{"plate":null}]"#)),
        (K::Dahua, r#"{"Picture":{"Plate":{"PlateNumber":"Unknown"},"SnapInfo":{"DeviceID":"c","AccurateTime":"2026-03-20 05:46:40"}}}"#.into()),
        (K::Dahua, r#"{"DeviceID":"c"}"#.into()),
        (K::Alprd, r#"{"data_type":"alpr_results","camera_id":"c","results":[]}"#.into()),
        (K::Rekor, r#"{"data_type":"vehicle","camera_id":"c"}"#.into()),
        (K::UniFi, r#"{"alarm":{"triggers":[{"key":"vehicle","device":"c","timestamp":1774000000000}]}}"#.into()),
        (K::Frigate, r#"{"type":"new","after":{"id":"x","camera":"c","label":"car","recognized_license_plate":null}}"#.into()),
        (K::Verkada, r#"{"webhook_type":"lpr_alert","data":{"camera_id":"c"}}"#.into()),
        (K::Genetec, r#"{"CameraName":"c","Plate":"","DateUtc":"20/03/2026","TimeUtc":"09:46:40"}"#.into()),
        (K::BlueIris, r#"{"camera":"c","timestamp":"2026-03-20T05:46:40","ai_dump":[]}"#.into()),
        (K::Milesight, r#"{"plate":"-","time":"2026-03-20 05:46:40"}"#.into()),
        (K::Milesight, "nothing=".into()),
        (K::Axis, r#"{"plateUTF8":"","capture_timestamp":"1774000000000","camera_info":{"SerialNumber":"c"}}"#.into()),
        (K::Axis, "<events/>".into()),
        (K::Own, r#"{"plate":"----","camera":"c","captured_at":1774000000000}"#.into()),
        (K::Tattile, "<r><PLATE_STRING/><DEVICE_SN>c</DEVICE_SN><DATE>2026-03-20</DATE><TIME>05:46:40</TIME></r>".into()),
        (K::Hikvision, "<EventNotificationAlert><macAddress>c</macAddress><eventType>videoloss</eventType></EventNotificationAlert>".into()),
        (K::AlprLines, "No license plates found.".into()),
        (K::DahuaEvents, r#"Code=TrafficJunction;action=Pulse;index=0;data={"TrafficCar":{"PlateNumber":""},"RealUTC":1774000000}"#.into()),
    ];
    for (kind, body) in said {
        let of_camera = SourceConfig { camera: Some("c".into()), ..config(kind) };
        let parsed = kind
            .parser()
            .parse(&Payload { content_type: json, body: body.as_bytes(), ..Payload::default() }, &of_camera);
        assert_eq!((parsed.observations.len(), slugs(&parsed)), (0, vec![]), "{kind:?} {body}");
        assert_eq!(parsed.alive(&of_camera).collect::<Vec<_>>(), ["c"], "{kind:?} {body}");
    }
    // What cannot be read says nothing, nor does what names another camera about the one configured.
    let of_camera = SourceConfig { camera: Some("c".into()), ..config(K::Rekor) };
    for (body, alive) in [("{", vec![]), (r#"{"data_type":"vehicle","camera_id":"d"}"#, vec!["d"])] {
        assert_eq!(parse(K::Rekor, json, body.as_bytes()).alive(&of_camera).collect::<Vec<_>>(), alive, "{body}");
    }
    let kept = Payload { body: br#"{"type":"x","camera":"c"}"#, retained: true, ..Payload::default() };
    assert_eq!(K::Frigate.parser().parse(&kept, &config(K::Frigate)).heard.len(), 0, "nothing that happens now");
    let many: String =
        (0..2000).map(|n| format!("{{\"plate\":\"\",\"camera\":\"{n}\",\"captured_at\":{NOW}}}\n")).collect();
    assert_eq!(ndjson(&many).heard.len(), crate::limits::OBSERVATIONS_MAX);
}

#[test]
fn what_must_never_be_taken_over_is_not_in_the_record() {
    let alert = format!(
        r#"{{"data_type":"alpr_alert","alert_list":"Jane Example","group":{}}}"#,
        group(
            false,
            "XK41207",
            "",
            r#","gps_longitude":-68.75,"travel_direction":210.5,"vehicle_signature":"Jane Example""#
        )
    );
    for (kind, parsed) in [(SourceKind::Rekor, rekor(&alert)), (SourceKind::PlateRecognizer, recognizer(TYPE_1))] {
        let out = take(&mut Intake::new(&[5; 32]), NOW, kind, parsed);
        let record = out.sealables[0].read.to_record().unwrap();
        for word in [&b"Jane"[..], b"44.8", b"-68.75", b"210", b"cam-1", b"f.jpg"] {
            assert!(!record.windows(word.len()).any(|w| w == word));
        }
        assert!(!format!("{out:?}").contains("XK41207"));
    }
}

#[test]
fn an_ordinary_delay_of_a_source_is_no_fault_of_the_clock() {
    let judged = |delay_ms: i64, behind_ms: i64| {
        let mut intake = Intake::new(&[5; 32]);
        let rules = Rules { delay_ms, ..rules(SourceKind::Own) };
        let lines: String = (0..9)
            .map(|n| format!("{{\"plate\":\"D{n}\",\"camera\":\"c\",\"captured_at\":{}}}\n", NOW - behind_ms))
            .collect();
        intake.take(NOW, rules, ndjson(&lines), |_| Some(7)).clocks_off.is_empty()
    };
    assert!(!judged(0, 8_000) && judged(10_000, 8_000) && judged(10_000, 15_000) && !judged(10_000, 15_001));
    assert!(!judged(10_000, -5_001) && judged(10_000, -5_000));
}

#[test]
fn what_a_source_tells_after_a_pause_is_late_and_says_nothing_of_its_clock() {
    let judged = |pause_ms: i64, behind_ms: i64| {
        let mut intake = Intake::new(&[5; 32]);
        let rules = Rules { pause_ms, ..rules(SourceKind::Own) };
        let lines: String = (0..9)
            .map(|n| format!("{{\"plate\":\"D{n}\",\"camera\":\"c\",\"captured_at\":{}}}\n", NOW - behind_ms))
            .collect();
        let out = intake.take(NOW, rules, ndjson(&lines), |_| Some(7));
        let late = Placement::Late { captured_at: NOW - behind_ms };
        let is_late = out.sealables.iter().all(|ready| ready.placement == late);
        (out.clocks_off.is_empty(), is_late, intake.clock_reading(7).is_some())
    };
    let (believed, doubted) = ((true, true, false), (false, false, true));
    assert_eq!((judged(7_200_000, 3_600_000), judged(7_200_000, 7_320_000)), (believed, believed));
    assert_eq!((judged(7_200_000, 7_320_001), judged(0, 3_600_000)), (doubted, doubted));
    // A pause in which nothing can become late is none.
    assert_eq!(judged(120_000, 200_000), doubted);
    assert_eq!(judged(7_200_000, 4_000), (true, false, true), "a read of now is judged as ever");
}

#[test]
fn reads_that_are_told_again_after_a_short_pause_do_not_judge_a_clock() {
    let mut intake = Intake::new(&[5; 32]);
    let rules = Rules { pause_ms: 72_000, ..rules(SourceKind::Own) };
    let line = |ms: i64| format!("{{\"plate\":\"D{ms}\",\"camera\":\"c\",\"captured_at\":{ms}}}\n");
    // Ten reads of the minute before, told 12 s after the start.
    let told: String = (0..10).map(|n| line(NOW - 12_000 - n * 5_000)).collect();
    let out = intake.take(NOW, rules, ndjson(&told), |_| Some(7));
    assert_eq!((out.clocks_off, intake.clock_reading(7)), (Vec::new(), None));
    let own = |ready: &crate::Sealable| ready.placement == Placement::Open && ready.read.source_time.is_none();
    assert!(out.sealables.len() == 10 && out.sealables.iter().all(own));
    // What is older than the pause is judged, and a clock that is known to be wrong stays wrong in a pause.
    let told: String = (0..8).map(|n| line(NOW - 80_000 - n)).collect();
    assert_eq!(intake.take(NOW, rules, ndjson(&told), |_| Some(7)).clocks_off, [7]);
    assert_eq!(intake.take(NOW, rules, ndjson(&line(NOW - 60_000)), |_| Some(7)).clocks_off, [7]);
}

#[test]
fn the_clock_of_a_camera() {
    let mut clock = CameraClock::default();
    assert_eq!(clock.reading(), None);
    assert_eq!((clock.judge(NOW - 120_000, NOW), clock.judge(NOW - 120_001, NOW)), (Clock::Good, Clock::Off));
    assert_eq!((clock.judge(NOW + 5000, NOW), clock.judge(NOW + 5001, NOW)), (Clock::Good, Clock::Off));
    let mut clock = CameraClock::default();
    for _ in 0..7 {
        assert_eq!(clock.judge(NOW - 6000, NOW), Clock::Good);
    }
    assert_eq!(clock.judge(NOW - 6000, NOW), Clock::Off);
    assert_eq!(clock.judge(NOW - 4000, NOW), Clock::Good);
    // A read of three days ago from a camera whose clock is right is late, not wrong.
    assert_eq!(clock.judge(NOW - 3 * 86_400_000, NOW), Clock::Good);
}

#[test]
fn a_wrong_clock_a_late_read_and_one_past_retention() {
    let one = |ms: i64| ndjson(&format!(r#"{{"plate":"A{ms}","camera":"c","captured_at":{ms}}}"#));
    let mut intake = Intake::new(&[5; 32]);
    let off = take(&mut intake, NOW, SourceKind::Own, one(NOW + 86_400_000));
    let read = &off.sealables[0].read;
    assert_eq!((read.captured_at, read.source_time), (NOW, Some(NOW + 86_400_000)));
    assert_eq!(
        (read.time_quality, off.sealables[0].placement, off.clocks_off),
        (TimeQuality::ReceiveTime, Placement::Open, vec![7])
    );
    for _ in 0..8 {
        take(&mut intake, NOW, SourceKind::Own, one(NOW - 100));
    }
    let mut fresh = Intake::new(&[5; 32]);
    for n in 0..8 {
        take(&mut fresh, NOW, SourceKind::Own, one(NOW - n));
    }
    let late = take(&mut fresh, NOW, SourceKind::Own, one(NOW - 120_001));
    assert_eq!(late.sealables[0].placement, Placement::Late { captured_at: NOW - 120_001 });
    assert_eq!(take(&mut fresh, NOW, SourceKind::Own, one(NOW - 120_000)).sealables[0].placement, Placement::Open);
    let old = take(&mut fresh, NOW, SourceKind::Own, one(NOW - YEAR_MS - 1));
    assert_eq!((old.rejected, old.problems[0].slug), (1, Slug::TooOld));
    assert_eq!(take(&mut fresh, NOW, SourceKind::Own, one(NOW - YEAR_MS)).sealables.len(), 1);
}

#[test]
fn unknown_cameras_seal_nothing() {
    let out = take(&mut Intake::new(&[5; 32]), NOW, SourceKind::Own, ndjson(&LINE.replace("c1", "unknown")));
    assert_eq!((out.problems[0].slug, out.problems[0].line, out.sealables.len()), (Slug::UnknownCamera, Some(1), 0));
}

#[test]
fn answers_of_the_page() {
    let busy_503 = BusyAnswer::Unavailable { tried_ms: 0, retry_after_s: 5 };
    let tried_503 = BusyAnswer::Unavailable { tried_ms: 5_000, retry_after_s: 5 };
    for (kind, success, poison, busy) in [
        (SourceKind::Own, SuccessBody::Counts, PoisonAnswer::Problem, busy_503),
        (SourceKind::Alprd, SuccessBody::Empty, PoisonAnswer::Success, BusyAnswer::CloseUnanswered),
        (SourceKind::Rekor, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (SourceKind::PlateRecognizer, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (SourceKind::Hikvision, SuccessBody::Empty, PoisonAnswer::Success, tried_503),
        (SourceKind::Dahua, SuccessBody::Json(r#"{"result":"true"}"#), PoisonAnswer::Success, busy_503),
        (SourceKind::DahuaEvents, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (SourceKind::Tattile, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (SourceKind::Frigate, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (SourceKind::Axis, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (SourceKind::Milesight, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (SourceKind::UniFi, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (SourceKind::Genetec, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (SourceKind::BlueIris, SuccessBody::Empty, PoisonAnswer::Success, busy_503),
        (
            SourceKind::Verkada,
            SuccessBody::Empty,
            PoisonAnswer::Success,
            BusyAnswer::Unavailable { tried_ms: 1_500, retry_after_s: 5 },
        ),
    ] {
        assert_eq!(kind.answer_rule(), AnswerRule { success, poison, busy });
        assert_eq!(SourceKind::from_name(kind.name()), Some(kind));
    }
}

/// Nothing of what stands in `words` is in a record made of `parsed`, nor in what is printed of it.
pub(crate) fn not_taken_over(kind: SourceKind, parsed: Parsed, words: &[&str]) {
    let found = parsed.observations.len();
    let mut intake = Intake::new(&[5; 32]);
    let mut out = take(&mut intake, NOW, kind, parsed);
    out.sealables.extend(intake.drain(NOW + 1000).sealables);
    assert_eq!((out.sealables.len(), found > 0), (found, true));
    for sealable in &out.sealables {
        let record = sealable.read.to_record().unwrap();
        for word in words {
            assert!(!record.windows(word.len()).any(|w| w == word.as_bytes()), "{word}");
        }
    }
    let printed = format!("{out:?}");
    assert!(words.iter().all(|word| !printed.contains(word)));
}

/// 10,000 payloads: a good one with a few bytes changed, cut, doubled; then random bytes. Same seed, same run.
pub(crate) fn mutate(kind: SourceKind, content_type: &str, seeds: &[String]) {
    mutate_with(kind, seeds, &|body| parse(kind, content_type, body));
}

/// The same for payloads that are more than a body.
pub(crate) fn mutate_with(kind: SourceKind, seeds: &[String], parse: &dyn Fn(&[u8]) -> Parsed) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]);
    let mut runner =
        TestRunner::new_with_rng(Config { cases: 10_000, failure_persistence: None, ..Config::default() }, rng);
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5_u8), 0..8);
    let random = proptest::collection::vec(any::<u8>(), 0..64);
    let intake = std::cell::RefCell::new(Intake::new(&[5; 32]));
    runner
        .run(&(any::<prop::sample::Index>(), edits, random, any::<u8>()), |(seed, edits, random, form)| {
            let mut body = seeds[seed.index(seeds.len())].clone().into_bytes();
            for (at, byte, kind) in edits {
                let at = at.index(body.len().max(1));
                match kind {
                    0 if at < body.len() => body[at] = byte,
                    1 => body.truncate(at),
                    2 => body.insert(at.min(body.len()), byte),
                    3 => body.extend_from_within(at.min(body.len())..),
                    _ => body.splice(at.min(body.len())..at.min(body.len()), *b"1e400").for_each(drop),
                }
            }
            if form < 16 {
                body = random;
            }
            let parsed = parse(&body);
            let found = parsed.observations.len();
            for o in &parsed.observations {
                prop_assert!((1..=16).contains(&o.plate.expose_text().chars().count()));
                prop_assert!(o.conf.is_none_or(|c| c <= 1000) && o.jur_conf.is_none_or(|c| c <= 1000));
            }
            let out = take(&mut intake.borrow_mut(), NOW, kind, parsed);
            prop_assert!(out.sealables.len() <= found + 1);
            for sealable in &out.sealables {
                prop_assert!(sealable.read.to_record().is_ok());
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn ten_thousand_mutated_payloads_of_ndjson() {
    mutate(SourceKind::Own, "application/x-ndjson", &[format!("{LINE}\n{LINE}\n")]);
}

#[test]
fn ten_thousand_mutated_payloads_of_csv() {
    let text = "plate,camera,captured_at,conf,note\r\nXK41207,c1,1774000000123,0.9,\"a\nb\"\r\nXK41208,c1,2026-03-20T09:46:40Z,,\r\n";
    mutate(SourceKind::Own, "text/csv", &[text.to_owned()]);
}

#[test]
fn ten_thousand_mutated_payloads_of_openalpr() {
    let seeds = [group(true, "XK41207", "\"u1\"", ""), frame(NOW, &[("K1", 90.0), ("QQ777", 60.0)])];
    mutate(SourceKind::Rekor, "application/json", &seeds);
    mutate(SourceKind::AlprLines, "", &seeds);
}

#[test]
fn ten_thousand_mutated_payloads_of_plate_recognizer() {
    mutate(SourceKind::PlateRecognizer, "application/json", &[TYPE_1.to_owned()]);
    mutate(SourceKind::PlateRecognizer, "application/x-www-form-urlencoded", &[format!("json={TYPE_1}")]);
    mutate(SourceKind::PlateRecognizer, "text/csv", &[STREAM_CSV.to_owned()]);
}

//! Who waits for whom, and for how long; and what a restart must not forget.

use super::*;
use crate::intake::payload::ROOM_KIB;

const SOON: Duration = Duration::from_secs(2);

fn hung(town: &Town) -> Arc<Notify> {
    let gate = Arc::new(Notify::new());
    *town.sink.gate.lock().unwrap() = Some(gate.clone());
    gate
}

#[tokio::test]
async fn a_repeat_waits_for_its_read_and_nobody_waits_for_the_repeat() {
    let town = town().await;
    let gate = hung(&town);
    let send = || post_of(&address("rekor"), "application/json", group("u-1", "AB123", false));
    let (mut first, mut repeat) = (Box::pin(answer(&town, send())), Box::pin(answer(&town, send())));
    let pause = Duration::from_millis(50);
    assert!(tokio::time::timeout(pause, &mut first).await.is_err());
    assert!(tokio::time::timeout(pause, &mut repeat).await.is_err());
    *town.sink.gate.lock().unwrap() = None;
    for engine in ["own", "verkada"] {
        let (content_type, body) = match engine {
            "own" => ("application/x-ndjson", own_line("CD456", NOW_MS)),
            _ => ("application/json", verkada("EF789")),
        };
        let other = answer(&town, post_of(&address(engine), content_type, body));
        assert_eq!(tokio::time::timeout(SOON, other).await.expect("waits for nobody").0, 200, "{engine}");
    }
    gate.notify_one();
    assert_eq!((first.await.0.as_u16(), repeat.await.0.as_u16()), (200, 200));
    assert_eq!(town.sink.texts(), ["CD456", "EF789", "AB123"]);
}

#[tokio::test]
async fn a_source_that_does_not_wait_is_told_busy_in_its_time_and_its_repeat_finds_the_read() {
    let town = town().await;
    let gate = hung(&town);
    let send = || answer(&town, post_of(&address("verkada"), "application/json", verkada("AB123")));
    let busy = tokio::time::timeout(SOON, send()).await.expect("an answer within two seconds");
    assert_eq!((busy.0.as_u16(), town.state.health().sources["verkada"].lost_upstream), (503, 1));
    gate.notify_one();
    assert_eq!(send().await.0, 200);
    assert_eq!(town.sink.texts(), ["AB123"]);
}

#[tokio::test]
async fn a_source_that_sends_much_at_a_time_waits_for_itself() {
    let town = town().await;
    let number =
        town.register.0.lock().unwrap().sources.iter().find(|source| source.name == "own").unwrap().config.number;
    let room = town.state.0.room(number).kib;
    let mut taken = room.acquire_many(u32::try_from(ROOM_KIB).unwrap()).await.unwrap();
    let send = |engine: &str, body: String| answer(&town, post_of(&address(engine), "application/x-ndjson", body));
    let mut waits = Box::pin(send("own", own_line("AB123", NOW_MS)));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waits).await.is_err());
    assert_eq!(send("rekor", group("u-1", "CD456", false)).await.0, 200, "others do not");
    drop(taken.split(8 * 1_024));
    assert_eq!(waits.await.0, 200);
    drop(taken);
    assert_eq!(room.available_permits(), ROOM_KIB, "all is given back");
}

/// What does not say how long it is, or is packed, turns out large when it is here.
#[tokio::test]
async fn bodies_that_turn_out_large_are_a_few_at_a_time() {
    let town = town().await;
    let number =
        town.register.0.lock().unwrap().sources.iter().find(|source| source.name == "own").unwrap().config.number;
    let undeclared = |body: String| {
        let chunks: Vec<_> =
            body.into_bytes().chunks(64 * 1_024).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        post_of(&address("own"), "application/x-ndjson", Body::from_stream(futures_util::stream::iter(chunks)))
    };
    let line = |plate: &str, spaces: usize| format!("{}\n{}", own_line(plate, NOW_MS), " ".repeat(spaces));
    let large = town.state.0.room(number).large;
    let taken = Arc::clone(&large).acquire_many_owned(u32::try_from(large.available_permits()).unwrap()).await.unwrap();
    let mut waits = Box::pin(answer(&town, undeclared(line("AB123", 3 * 1_024 * 1_024))));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut waits).await.is_err());
    assert_eq!(answer(&town, undeclared(line("CD456", 1_024))).await.0, 200, "a small one does not");
    drop(taken);
    assert_eq!(waits.await.0, 200);
    assert_eq!(town.sink.texts(), ["CD456", "AB123"]);
    assert!(large.available_permits() > 0 && town.state.0.room(number).kib.available_permits() == ROOM_KIB);
}

#[tokio::test]
async fn what_was_kept_for_us_over_a_restart_is_late_where_the_clock_was_right() {
    let old = |uuid: &str| group(uuid, "AB123", false).replace(&NOW_MS.to_string(), &(NOW_MS - 3_600_000).to_string());
    let send = async |town: &Town, body: String| {
        assert_eq!(answer(town, post_of(&address("rekor"), "application/json", body)).await.0, 200);
    };
    let before = town().await;
    send(&before, group("u-1", "CD456", false)).await;
    before.state.finish().await;
    let right = before.register.2.lock().unwrap().clone();
    assert_eq!(right.values().collect::<Vec<_>>(), [&(NOW_MS - NOW_MS % 60_000)], "to the minute");
    // That was two hours ago.
    let right: BTreeMap<u32, i64> = right.into_iter().map(|(camera, at)| (camera, at - 2 * 3_600_000)).collect();

    let after = town_that_knows(right).await;
    send(&after, old("u-2")).await;
    assert_eq!(after.sink.placements(), [late(NOW_MS - 3_600_000)]);
    assert_eq!(after.state.health().sources["rekor"].clock_off, 0);

    // Older than what it was then: its clock went wrong.
    send(&after, old("u-9").replace(&(NOW_MS - 3_600_000).to_string(), &(NOW_MS - 3 * 3_600_000).to_string())).await;
    assert_eq!(after.sink.placements()[1..], [Placement::Open]);

    // Nothing is known, but the agent's own time is right.
    let new = town().await;
    let beat = format!(
        r#"{{"data_type":"heartbeat","timestamp":{NOW_MS},"video_streams":[{{"camera_id":1,"last_update":{NOW_MS}}}]}}"#
    );
    send(&new, beat).await;
    send(&new, old("u-3")).await;
    assert_eq!(new.sink.placements(), [late(NOW_MS - 3_600_000)]);

    // And one that is wrong rings, before any read.
    let wrong = town().await;
    let wrong_ms = NOW_MS - 3 * 3_600_000;
    let beat = format!(
        r#"{{"data_type":"heartbeat","timestamp":{wrong_ms},"video_streams":[{{"camera_id":1,"last_update":{wrong_ms}}}]}}"#
    );
    send(&wrong, beat).await;
    let health = wrong.state.health();
    let camera = health.cameras.iter().find(|camera| camera.clock_offset_ms.is_some()).unwrap();
    assert_eq!((camera.clock_offset_ms, camera.alarms.as_slice()), (Some(3 * 3_600_000), &[CameraAlarm::Clock][..]));
}

/// The plate of a known car comes with the time of its object's start alone; that the clock is wrong is said by the messages of the object.
#[tokio::test]
async fn the_clock_of_frigate_is_that_of_its_frames() {
    let town = town().await;
    let ms = NOW_MS - 3_600_000;
    let seconds = ms / 1_000;
    let send = async |body: String| {
        assert_eq!(answer(&town, post_of(&address("frigate"), "application/json", body)).await.0, 200);
    };
    let object = |kind: &str| {
        format!(
            r#"{{"type":"{kind}","before":null,"after":{{"id":"o-1","camera":"1","label":"car","frame_time":{seconds}.5}}}}"#
        )
    };
    send(object("new")).await;
    send(format!(r#"{{"type":"lpr","id":"o-1","camera":"1","plate":"AB123","score":0.9,"timestamp":{seconds}.0}}"#))
        .await;
    send(object("end")).await;
    town.clock.advance(Duration::from_secs(3));
    assert!(town.state.0.release(false).await);
    assert_eq!(town.sink.placements(), [Placement::Open], "at its time of receipt");
    let read = town.sink.sealed.lock().unwrap()[0].0.clone();
    assert_eq!((read.time_quality, read.source_time), (lockplate_core::read::TimeQuality::ReceiveTime, Some(ms)));
}

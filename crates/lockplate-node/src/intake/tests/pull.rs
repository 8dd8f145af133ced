//! Cameras that are asked, against a server that does what such a camera does: Digest with MD5, XML, lines, a stream.

use std::collections::VecDeque;

use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Redirect;
use md5::{Digest as _, Md5};

use super::*;

const PASSWORD: &str = "a secret word";
const REALM: &str = "Login to 5c0e11";

/// What a camera answers next, and what it was asked.
#[derive(Clone, Default)]
struct Device(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    answers: VecDeque<Answer>,
    asked: Vec<(String, String)>,
    refused: usize,
}

#[derive(Clone)]
enum Answer {
    Text(&'static str, String),
    Parts(Vec<String>),
    Elsewhere,
    Endless,
}

fn hashed(text: &str) -> String {
    hex::encode(Md5::digest(text.as_bytes()))
}

/// Written apart from the code under test.
fn is_signed(header: &str, method: &Method, target: &str) -> bool {
    let field = |name: &str| {
        let (_, rest) = header.split_once(&format!("{name}=")).unwrap_or_default();
        rest.split([',']).next().unwrap_or_default().trim_matches('"').to_owned()
    };
    let (ha1, ha2) = (hashed(&format!("admin:{REALM}:{PASSWORD}")), hashed(&format!("{method}:{target}")));
    let right = hashed(&format!("{ha1}:abc:{}:{}:auth:{ha2}", field(" nc"), field("cnonce")));
    header.starts_with("Digest ") && field("response") == right && field(" uri") == target
}

async fn device(State(device): State<Device>, method: Method, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let target = uri.path_and_query().unwrap().as_str().to_owned();
    let signed =
        headers.get(header::AUTHORIZATION).is_some_and(|value| is_signed(value.to_str().unwrap(), &method, &target));
    let mut told = device.0.lock().unwrap();
    if !signed {
        told.refused += 1;
        let challenge = format!("Digest realm=\"{REALM}\", qop=\"auth\", nonce=\"abc\", opaque=\"xyz\"");
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    }
    told.asked.push((format!("{method} {target}"), body));
    match told.answers.pop_front() {
        Some(Answer::Text(content_type, text)) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Some(Answer::Parts(parts)) => {
            let chunks = parts.into_iter().map(|text| {
                let length = text.len();
                Ok::<_, std::io::Error>(format!(
                    "--myboundary\r\nContent-Type: text/plain\r\nContent-Length:{length}\r\n\r\n{text}\r\n"
                ))
            });
            let body = Body::from_stream(futures_util::stream::iter(chunks));
            ([(header::CONTENT_TYPE, "multipart/x-mixed-replace; boundary=myboundary")], body).into_response()
        }
        Some(Answer::Elsewhere) => Redirect::temporary("/elsewhere").into_response(),
        Some(Answer::Endless) => {
            let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'<'; 1 << 20]));
            Body::from_stream(chunks).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// A town with a source `asked` of `engine`, and its camera.
async fn with_device(engine: &str, folder: &std::path::Path, password: &str, answers: Vec<Answer>) -> (Town, Device) {
    let town = town().await;
    let camera = asks_device(&town, engine, folder, password, answers).await;
    (town, camera)
}

/// As after a restart `later`, with what the run before kept.
async fn again_later(
    before: Town,
    later: Duration,
    engine: &str,
    folder: &std::path::Path,
    answers: Vec<Answer>,
) -> (Town, Device) {
    let town = town().await;
    before.tasks.finish(Duration::from_secs(5)).await.unwrap();
    town.clock.advance(later);
    town.register.1.lock().unwrap().clone_from(&before.register.1.lock().unwrap());
    let camera = asks_device(&town, engine, folder, PASSWORD, answers).await;
    (town, camera)
}

async fn asks_device(
    town: &Town,
    engine: &str,
    folder: &std::path::Path,
    password: &str,
    answers: Vec<Answer>,
) -> Device {
    let camera = Device::default();
    camera.0.lock().unwrap().answers = answers.into();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(device).with_state(camera.clone());
    let stopping = town.tasks.stopping().clone();
    town.tasks.spawn("a camera", async move {
        axum::serve(listener, router).with_graceful_shutdown(async move { stopping.cancelled().await }).await.unwrap();
    });
    let file = if folder.join("password").exists() { folder.join("password") } else { password_file(folder, password) };
    ask(
        town,
        engine,
        PullTable { url, user: "admin".into(), password_file: file, every_seconds: 1, ca_file: None, pin: None },
    )
    .await;
    camera
}

async fn ask(town: &Town, engine: &str, pull: PullTable) {
    let table = SourceTable { token_sha256: None, pull: Some(pull), ..source_table("asked", engine) };
    town.add(table.check(60).unwrap(), "1").await;
    town.state.start();
}

fn plates(reads: &[(&str, &str)]) -> Answer {
    let plate = |(time, plate): &(&str, &str)| {
        format!(
            "<Plate><captureTime>{time}</captureTime><plateNumber>{plate}</plateNumber><picName>{time}</picName></Plate>"
        )
    };
    let list: String = reads.iter().map(plate).collect();
    Answer::Text("application/xml", format!("<Plates>{list}</Plates>"))
}

#[tokio::test]
async fn a_hikvision_camera_is_asked_for_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let (old, now, next) =
        (("20260320T0506400000", "OLD1"), ("20260320T0546300000", "AB123"), ("20260320T0546350000", "CD456"));
    let answers = vec![plates(&[old, now]), plates(&[now]), plates(&[now, next]), plates(&[now, next]), plates(&[])];
    let (town, camera) = with_device("hikvision", folder.path(), PASSWORD, answers).await;
    town.until("five answers", |_| camera.0.lock().unwrap().answers.is_empty()).await;
    town.until("both reads", |town| town.sink.texts().len() >= 2).await;
    assert_eq!(town.sink.texts(), ["AB123", "CD456"], "what is old is left out at a start, and a repeat later");
    assert_eq!((town.counts("asked").duplicate, town.counts("asked").accepted), (0, 2));
    let asked = camera.0.lock().unwrap().asked.clone();
    assert!(asked.iter().all(|(line, _)| line == "POST /ISAPI/Traffic/channels/1/vehicledetect/plates"));
    let since: Vec<&str> = asked.iter().take(4).map(|(_, body)| body.as_str()).collect();
    let body = |text: &str| format!("<AfterTime><picTime>{text}</picTime></AfterTime>");
    assert_eq!(
        since,
        [body("20260320T053140"), body("20260320T054630"), body("20260320T054630"), body("20260320T054635")]
    );
    assert_eq!(camera.0.lock().unwrap().refused, 1, "the challenge is used again");
    assert!(town.state.health().cameras.iter().any(|camera| camera.camera == 60), "an answer is a sign of life");
    // It does not answer any more.
    town.until("a loss", |town| town.counts("asked").lost_upstream == 1).await;
}

#[tokio::test]
async fn a_camera_in_another_zone_than_its_source_is_asked_and_read_in_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let answers = vec![plates(&[]), plates(&[]), plates(&[("20260320T0446300000", "AB123")])];
    let (town, camera) = with_device("hikvision", folder.path(), PASSWORD, answers).await;
    let zone = Zone::parse("America/Chicago");
    town.register.0.lock().unwrap().cameras.iter_mut().for_each(|camera| camera.zone.clone_from(&zone));
    town.state.refresh().await.unwrap();
    town.until("the read", |town| !town.sink.texts().is_empty()).await;
    assert_eq!(town.sink.sealed.lock().unwrap()[0].0.captured_at, NOW_MS - 10_000);
    let asked = camera.0.lock().unwrap().asked.clone();
    assert!(asked.iter().any(|(_, body)| body.contains("20260320T043140")), "{asked:?}");
}

#[tokio::test]
async fn axis_and_milesight_cameras_are_asked_in_their_ways() {
    let axis = format!("<events><event><TS>{NOW_MS}</TS><LPR>AX123</LPR><LP_BMP>a</LP_BMP></event></events>");
    let milesight = "time_0=2026-03-20 05:46:40\nplate_0=MS123\npath_0=a.jpg\n".to_owned();
    for (engine, answer, question, plate) in [
        ("axis", Answer::Text("text/xml", axis), "GET /local/fflprapp/search.cgi?TimestampFrom=1773999100000", "AX123"),
        (
            "milesight",
            Answer::Text("text/plain", milesight),
            "GET /cgi-bin/operator/operator.cgi?action=get.lpr.lastdata&format=inf",
            "MS123",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (town, camera) = with_device(engine, folder.path(), PASSWORD, vec![answer.clone(), answer]).await;
        town.until("two answers", |_| camera.0.lock().unwrap().asked.len() >= 2).await;
        assert_eq!(town.sink.texts(), [plate]);
        assert_eq!(camera.0.lock().unwrap().asked[0].0, question);
    }
}

#[tokio::test]
async fn an_axis_camera_is_asked_in_the_unit_that_it_counts_in() {
    let log = |reads: &[(i64, &str)], scale: i64| {
        let event = |(ms, plate): &(i64, &str)| format!("<event><TS>{}</TS><LPR>{plate}</LPR></event>", ms * scale);
        Answer::Text("text/xml", format!("<events>{}</events>", reads.iter().map(event).collect::<String>()))
    };
    let (old, now, next) = ((NOW_MS - 7_200_000, "OLD1"), (NOW_MS - 10_000, "AB123"), (NOW_MS - 5_000, "CD456"));
    let since = |ms: i64| format!("GET /local/fflprapp/search.cgi?TimestampFrom={ms}");
    let first = since(NOW_MS - 900_000);
    // Kept to the minute.
    let kept = NOW_MS - 900_000 - (NOW_MS - 900_000) % 60_000;
    let cases = [
        // In ms: what it tells is what it was asked for.
        (vec![log(&[], 1), log(&[now], 1), log(&[now, next], 1)], vec![first.clone(), since(kept), since(now.0)]),
        // In us: a moment in ms is long ago for it, and it tells its whole log, once.
        (
            vec![log(&[], 1_000), log(&[old, now], 1_000), log(&[now], 1_000), log(&[now, next], 1_000)],
            vec![first.clone(), since(kept), since(kept * 1_000), since(now.0 * 1_000)],
        ),
        // Its log is too large to be told.
        (
            vec![Answer::Endless, Answer::Endless, log(&[now], 1_000), log(&[next], 1_000)],
            vec![first.clone(), since(NOW_MS), since((NOW_MS - 900_000) * 1_000), since(now.0 * 1_000)],
        ),
        // In ms, and it has more to tell of that time than is read at once.
        (
            vec![Answer::Endless, log(&[], 1), Answer::Endless, log(&[now, next], 1)],
            vec![first.clone(), since(NOW_MS), first, since(NOW_MS - 450_000)],
        ),
    ];
    for (answers, questions) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (town, camera) = with_device("axis", folder.path(), PASSWORD, answers).await;
        town.until("both reads", |town| town.sink.texts().len() >= 2).await;
        assert_eq!(town.sink.texts(), ["AB123", "CD456"]);
        let asked = camera.0.lock().unwrap().asked.clone();
        assert_eq!(asked.iter().take(questions.len()).map(|(line, _)| line.clone()).collect::<Vec<_>>(), questions);
    }
}

#[tokio::test]
async fn the_stream_of_a_dahua_camera_is_taken_up_again_and_its_loss_counted() {
    let folder = tempfile::tempdir().unwrap();
    let answers = vec![
        Answer::Parts(vec!["Heartbeat".into(), junction("DH123")]),
        Answer::Parts(vec![junction("DH123"), junction("DH456"), "Heartbeat".into()]),
    ];
    let (town, camera) = with_device("dahua-events", folder.path(), PASSWORD, answers).await;
    town.until("both streams", |town| town.sink.texts().len() == 2 && town.counts("asked").lost_upstream == 2).await;
    assert_eq!((town.sink.texts(), town.counts("asked").duplicate), (vec!["DH123".into(), "DH456".into()], 1));
    let asked = camera.0.lock().unwrap().asked.clone();
    assert_eq!(asked[0].0, "GET /cgi-bin/eventManager.cgi?action=attach&codes=[TrafficJunction]&heartbeat=5");
}

#[tokio::test]
async fn a_stream_is_not_read_on_while_nothing_can_be_made_durable() {
    let folder = tempfile::tempdir().unwrap();
    let parts = (0..5).map(|at| junction(&format!("DH{at}"))).collect();
    let (town, camera) = with_device("dahua-events", folder.path(), PASSWORD, Vec::new()).await;
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    camera.0.lock().unwrap().answers.push_back(Answer::Parts(parts));
    town.until("the first", |town| town.counts("asked").payloads == 1).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(town.counts("asked").payloads, 1);
    *town.sink.refuses.lock().unwrap() = None;
    town.until("all", |town| town.sink.texts().len() == 5).await;
}

#[tokio::test]
async fn a_wrong_password_a_redirect_and_an_endless_answer_bring_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (town, camera) = with_device("milesight", folder.path(), "another word", Vec::new()).await;
    town.until("it was asked twice", |_| camera.0.lock().unwrap().refused >= 2).await;
    assert_eq!(camera.0.lock().unwrap().asked.len(), 0);
    assert_eq!(town.counts("asked").lost_upstream, 0, "what never stood is not lost");

    let folder = tempfile::tempdir().unwrap();
    let answers = vec![Answer::Elsewhere, Answer::Endless];
    let (town, camera) = with_device("milesight", folder.path(), PASSWORD, answers).await;
    town.until("both answers", |_| camera.0.lock().unwrap().asked.len() >= 3).await;
    assert!(camera.0.lock().unwrap().asked.iter().all(|(line, _)| !line.contains("elsewhere")));
    assert_eq!(town.counts("asked").payloads, 0);
}

#[tokio::test]
async fn over_tls_only_the_pinned_camera_is_shown_anything() {
    for right in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let town = town().await;
        let camera = Device::default();
        let line = "time_0=2026-03-20 05:46:40\nplate_0=MS123\n".to_owned();
        camera.0.lock().unwrap().answers = vec![Answer::Text("text/plain", line)].into();
        let identity = crate::tls::TlsIdentity::load_or_create(&folder.path().join("tls.key")).unwrap();
        let on = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::Pinned(identity.server_config().unwrap()) };
        let server = Server::bind(on, Limits::default()).await.unwrap();
        let pull = PullTable {
            url: format!("https://{}", server.local_addr()),
            user: "admin".into(),
            password_file: password_file(folder.path(), PASSWORD),
            every_seconds: 1,
            ca_file: None,
            pin: Some(hex::encode(if right { identity.pin() } else { [7; 32] })),
        };
        server.serve(Router::new().fallback(device).with_state(camera.clone()), &town.tasks);
        ask(&town, "milesight", pull).await;
        if right {
            town.until("the read", |town| town.sink.texts() == ["MS123"]).await;
        } else {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            assert_eq!((camera.0.lock().unwrap().refused, town.sink.texts()), (0, Vec::new()));
        }
    }
}

/// What was sealed: text, where, and whether the clock was blamed for it.
fn sealed(town: &Town) -> Vec<(String, Placement, bool)> {
    let sealed = town.sink.sealed.lock().unwrap();
    let one =
        |(read, place): &(Read, Placement)| (read.plate.expose_text().to_owned(), *place, read.source_time.is_some());
    sealed.iter().map(one).collect()
}

#[tokio::test]
async fn after_a_restart_a_camera_tells_what_it_saw_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (early, now) = (("20260320T0538000000", "EARLY1"), ("20260320T0546300000", "AB123"));
    let answers = vec![plates(&[early, now]), plates(&[now])];
    let (town, camera) = with_device("hikvision", folder.path(), PASSWORD, answers).await;
    town.until("both answers", |_| camera.0.lock().unwrap().answers.is_empty()).await;
    let of = |time: i64| NOW_MS - 40_000 + time * 60_000;
    let (first, last) = (late(of(-8)), Placement::Open);
    assert_eq!(sealed(&town), [("EARLY1".to_owned(), first, false), ("AB123".to_owned(), last, false)]);
    let kept = Asked { read_to_ms: of(-1), answered_ms: of(0) };
    assert_eq!(town.register.1.lock().unwrap().get(&60), Some(&kept), "to the minute");

    // Two hours later: one read every ten minutes in between, older ones than any clock may be wrong by.
    let texts: Vec<String> = (0..12).map(|number| format!("GONE{number}")).collect();
    let times: Vec<String> = (0..12)
        .map(|number| format!("20260320T{:02}{:02}000000", 5 + (50 + number * 10) / 60, (50 + number * 10) % 60))
        .collect();
    let mut seen: Vec<(&str, &str)> = vec![early, now];
    seen.extend(times.iter().map(String::as_str).zip(texts.iter().map(String::as_str)));
    seen.push(("20260320T0746350000", "CD456"));
    let (town, camera) =
        again_later(town, Duration::from_secs(7_200), "hikvision", folder.path(), vec![plates(&seen), plates(&seen)])
            .await;
    town.until("both answers", |_| camera.0.lock().unwrap().answers.is_empty()).await;
    assert_eq!(camera.0.lock().unwrap().asked[0].1, "<AfterTime><picTime>20260320T054500</picTime></AfterTime>");
    let mut expected = vec![("AB123".to_owned(), late(NOW_MS - 10_000), false)];
    expected.extend((0..).zip(&texts).map(|(number, text)| (text.clone(), late(of(4 + number * 10)), false)));
    expected.push(("CD456".to_owned(), Placement::Open, false));
    assert_eq!(sealed(&town), expected, "each at its time, and what was read before the last two minutes not again");
    assert_eq!((town.counts("asked").clock_off, town.counts("asked").lost_upstream), (0, 0));
}

#[tokio::test]
async fn reads_told_again_after_a_short_restart_keep_their_times() {
    let folder = tempfile::tempdir().unwrap();
    let before = town().await;
    let kept = Asked { read_to_ms: NOW_MS - 100_000, answered_ms: NOW_MS - 40_000 };
    before.register.1.lock().unwrap().insert(60, kept);
    let of = |second: usize| (format!("20260320T0545{second:02}0000"), format!("AB{second}"));
    let told: Vec<(String, String)> = (1..11).map(|number| of(number * 5)).collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(time, plate)| (time.as_str(), plate.as_str())).collect();
    let (town, _camera) =
        again_later(before, Duration::from_secs(12), "hikvision", folder.path(), vec![plates(&told)]).await;
    town.until("the reads", |town| sealed(town).len() == 10).await;
    assert!(sealed(&town).iter().all(|(_, place, off)| *place == Placement::Open && !off), "{:?}", sealed(&town));
    assert_eq!(town.counts("asked").clock_off, 0);
}

#[tokio::test]
async fn a_camera_whose_clock_is_wrong_is_not_believed_after_a_pause_either() {
    let folder = tempfile::tempdir().unwrap();
    let (town, camera) = with_device("hikvision", folder.path(), PASSWORD, vec![plates(&[])]).await;
    town.until("the answer", |_| camera.0.lock().unwrap().answers.is_empty()).await;
    // Half an hour later, and a read that is older than that.
    let seen = plates(&[("20260320T0400000000", "SLOW1")]);
    let (town, camera) =
        again_later(town, Duration::from_secs(1_800), "hikvision", folder.path(), vec![plates(&[]), seen]).await;
    town.until("the answer", |_| camera.0.lock().unwrap().answers.is_empty()).await;
    town.until("the read", |town| town.counts("asked").clock_off == 1).await;
    assert_eq!(sealed(&town), [("SLOW1".to_owned(), Placement::Open, true)]);
}

#[tokio::test]
async fn more_than_is_read_at_a_time_is_left_out_counted_and_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    // In bytes, and in elements.
    for too_much in [Answer::Endless, plates(&[("20260320T0546300000", "AB123"); 3_000])] {
        let answers = vec![too_much, plates(&[("20260320T0546300000", "AB123")])];
        let (town, camera) = with_device("hikvision", folder.path(), PASSWORD, answers).await;
        town.until("the read", |town| town.sink.texts() == ["AB123"]).await;
        let asked: Vec<String> = camera.0.lock().unwrap().asked.iter().map(|(_, body)| body.clone()).take(2).collect();
        let body = |text: &str| format!("<AfterTime><picTime>{text}</picTime></AfterTime>");
        assert_eq!(asked, [body("20260320T053140"), body("20260320T053910")]);
        assert_eq!(town.counts("asked").lost_upstream, 1);
    }
}

#[tokio::test]
async fn last_reads_that_do_not_reach_back_to_those_before_are_a_loss() {
    let reads = |of: &[(u8, &str)]| {
        let line = |(at, (second, plate)): (usize, &(u8, &str))| {
            format!("time_{at}=2026-03-20 05:46:{second}\nplate_{at}={plate}\npath_{at}=a.jpg\n")
        };
        Answer::Text("text/plain", of.iter().enumerate().map(line).collect())
    };
    let folder = tempfile::tempdir().unwrap();
    let answers = vec![
        reads(&[(10, "A1")]),
        reads(&[(10, "A1"), (20, "A2")]),
        reads(&[(30, "A3")]),
        reads(&[(30, "A3"), (35, "A4")]),
    ];
    let (town, camera) = with_device("milesight", folder.path(), PASSWORD, answers).await;
    town.until("every answer", |_| camera.0.lock().unwrap().answers.is_empty()).await;
    town.until("every read", |town| town.sink.texts() == ["A1", "A2", "A3", "A4"]).await;
    // The third, and the end of the answers.
    town.until("the losses", |town| town.counts("asked").lost_upstream == 2).await;

    for (gap, seen) in [(false, reads(&[(35, "A4")])), (true, reads(&[(10, "A5")]))] {
        let before = super::town().await;
        let kept = Asked { read_to_ms: NOW_MS - 160_000, answered_ms: NOW_MS - 40_000 };
        let kept = if gap { Asked { read_to_ms: NOW_MS - 400_000, ..kept } } else { kept };
        before.register.1.lock().unwrap().insert(60, kept);
        let (town, _camera) = again_later(before, Duration::ZERO, "milesight", folder.path(), vec![seen]).await;
        town.until("the read", |town| town.sink.texts().len() == 1).await;
        let expected = if gap { 2 } else { 1 };
        town.until("the losses", |town| town.counts("asked").lost_upstream == expected).await;
    }
}

#[tokio::test]
async fn a_stream_that_nobody_listened_to_is_counted_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let answers = || vec![Answer::Parts(vec!["Heartbeat".into(), junction("DH123")])];
    let (town, _camera) = with_device("dahua-events", folder.path(), PASSWORD, answers()).await;
    town.until("the end", |town| town.counts("asked").lost_upstream == 1).await;
    let (town, _camera) = again_later(town, Duration::from_secs(60), "dahua-events", folder.path(), answers()).await;
    town.until("both losses", |town| town.counts("asked").lost_upstream == 2).await;
}

#[tokio::test]
async fn how_far_a_camera_was_read_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let open = || crate::agency_db::AgencyDb::open(&folder.path().join("agency.db")).unwrap();
    let asked = Asked { read_to_ms: NOW_MS, answered_ms: NOW_MS + 60_000 };
    {
        let db = open();
        let number = db.add_source("west".into(), "hikvision".into(), [1; 32], "{}".into()).await.unwrap();
        assert_eq!(db.asked(number).await, Ok(None));
        db.set_asked(number, Asked { read_to_ms: 0, answered_ms: 0 }).await.unwrap();
        db.set_asked(number, asked).await.unwrap();
        assert!(db.set_asked(number + 1, asked).await.is_err(), "of a source that is there");
    }
    assert_eq!(open().asked(1).await, Ok(Some(asked)));
}

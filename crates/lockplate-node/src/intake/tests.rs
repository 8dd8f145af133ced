mod mqtt;
mod pull;
mod signing_in;
mod waiting;

use super::*;
use crate::api::{CameraChanged, CameraEdit, CameraListed, CameraState};
use crate::clock::TestClock;
use crate::http::{Limits, ListenOn, Server, TlsMode};
use crate::rng::SystemRng;
use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use lockplate_core::read::Read;
use lockplate_intake::SourceKind;
use lockplate_intake::normalise::Placement;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tower::ServiceExt as _;

pub(crate) const NOW_MS: i64 = 1_774_000_000_000;
const TOKEN: [u8; 32] = [7; 32];
pub(crate) const IMPORT_KEY: [u8; 32] = [9; 32];
pub(crate) const IMPORT_NUMBER: u16 = 90;

/// A recorder that remembers what it was given, and can be told to refuse.
#[derive(Default)]
pub(crate) struct FakeSink {
    pub(crate) sealed: Mutex<Vec<(Read, Placement)>>,
    pub(crate) refuses: Mutex<Option<NotTaken>>,
    gate: Mutex<Option<Arc<Notify>>>,
    /// No more reads than about these, until it is taken away.
    pub(crate) limit: Mutex<Option<usize>>,
    /// Minutes of the past for which there is an epoch in one call, where they are few.
    minutes: Mutex<Option<usize>>,
    pub(crate) late_done: AtomicU64,
    pub(super) obstacle: Mutex<Option<Obstacle>>,
}

impl FakeSink {
    pub(crate) fn texts(&self) -> Vec<String> {
        self.sealed.lock().unwrap().iter().map(|(read, _)| read.plate.expose_text().to_owned()).collect()
    }

    fn placements(&self) -> Vec<Placement> {
        self.sealed.lock().unwrap().iter().map(|(_, place)| *place).collect()
    }
}

impl ReadSink for FakeSink {
    fn seal(&self, reads: Vec<(Read, Placement)>) -> BoxFuture<'_, Result<Vec<Fate>, NotTaken>> {
        async move {
            assert!(!reads.is_empty() && reads.len() <= SINK_READS_MAX);
            let gate = self.gate.lock().unwrap().clone();
            if let Some(gate) = gate {
                gate.notified().await;
            }
            while self.limit.lock().unwrap().is_some_and(|limit| self.sealed.lock().unwrap().len() >= limit) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if let Some(why) = *self.refuses.lock().unwrap() {
                return Err(why);
            }
            let minute = |place: &Placement| match place {
                Placement::Late { captured_at } => Some(captured_at / 60_000),
                Placement::Open | Placement::TooOld => None,
            };
            let mut open: BTreeSet<i64> = reads.iter().rev().filter_map(|(_, place)| minute(place)).collect();
            while self.minutes.lock().unwrap().is_some_and(|most| open.len() > most) {
                open.pop_first();
            }
            let is_taken = |place: &Placement| minute(place).is_none_or(|minute| open.contains(&minute));
            let fate = |place| if is_taken(place) { Fate::Stored } else { Fate::Not(NotTaken::Busy) };
            let fates = reads.iter().map(|(_, place)| fate(place)).collect();
            self.sealed.lock().unwrap().extend(reads.into_iter().filter(|(_, place)| is_taken(place)));
            Ok(fates)
        }
        .boxed()
    }

    fn late_done(&self) -> BoxFuture<'_, Result<(), NotTaken>> {
        self.late_done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        core::future::ready(Ok(())).boxed()
    }

    fn obstacle(&self) -> BoxFuture<'_, Option<Obstacle>> {
        core::future::ready(*self.obstacle.lock().unwrap()).boxed()
    }
}

/// A camera of the fakes.
pub(super) fn camera(number: u32, source: u16, key: &str) -> KnownCamera {
    KnownCamera {
        number,
        source,
        key: key.into(),
        place: String::new(),
        group: String::new(),
        active: true,
        zone: None,
        added_at: 0,
        changed_at: 0,
    }
}

/// A register in memory.
pub(crate) struct FakeRegister(
    pub(crate) Mutex<Registered>,
    pub(super) Mutex<BTreeMap<u16, Asked>>,
    pub(super) Mutex<BTreeMap<u32, i64>>,
);

impl Register for FakeRegister {
    fn registered(&self) -> BoxFuture<'_, Result<Registered, RegisterDown>> {
        core::future::ready(Ok(self.0.lock().unwrap().clone())).boxed()
    }

    fn add(&self, source: u16, new: NewCamera) -> BoxFuture<'_, Result<(), RegisterDown>> {
        let mut all = self.0.lock().unwrap();
        let number = u32::try_from(all.cameras.len()).unwrap() + 1;
        all.cameras.push(KnownCamera { group: new.group, place: new.place, ..camera(number, source, &new.key) });
        core::future::ready(Ok(())).boxed()
    }

    fn asked(&self, source: u16) -> BoxFuture<'_, Result<Option<Asked>, RegisterDown>> {
        core::future::ready(Ok(self.1.lock().unwrap().get(&source).copied())).boxed()
    }

    fn set_asked(&self, source: u16, asked: Asked) -> BoxFuture<'_, Result<(), RegisterDown>> {
        self.1.lock().unwrap().insert(source, asked);
        core::future::ready(Ok(())).boxed()
    }

    fn right_clocks(&self) -> BoxFuture<'_, Result<BTreeMap<u32, i64>, RegisterDown>> {
        core::future::ready(Ok(self.2.lock().unwrap().clone())).boxed()
    }

    fn set_right_clocks(&self, right: BTreeMap<u32, i64>) -> BoxFuture<'_, Result<(), RegisterDown>> {
        *self.2.lock().unwrap() = right;
        core::future::ready(Ok(())).boxed()
    }

    fn change(&self, camera: u32, edit: CameraEdit) -> BoxFuture<'_, Result<CameraChanged, ProblemKind>> {
        let mut all = self.0.lock().unwrap();
        let Some(at) = all.cameras.iter().position(|known| known.number == camera) else {
            return core::future::ready(Err(ProblemKind::NotFound)).boxed();
        };
        let known = &mut all.cameras[at];
        let state = match edit {
            CameraEdit::Pause => CameraState::Paused,
            CameraEdit::Resume | CameraEdit::Move { .. } => CameraState::Active,
            CameraEdit::Remove => CameraState::Removed,
        };
        known.active = state == CameraState::Active;
        let (key, place) = (known.key.clone(), "Main Street".to_owned());
        if state == CameraState::Removed {
            all.cameras.remove(at);
        }
        let (purpose, engine) = ("police".to_owned(), "own".to_owned());
        let camera = CameraListed { camera, key, place, lat: None, lon: None, purpose, engine, state, zone: None };
        core::future::ready(Ok(CameraChanged { camera, changed: true })).boxed()
    }
}

/// Looks on beside the sink: what it is told of cameras, and the places of the cameras of what it sees.
#[derive(Default)]
pub(crate) struct Onlooker {
    places: Mutex<BTreeMap<u32, String>>,
    seen_at: Mutex<Vec<Option<String>>>,
}

impl Beside for Onlooker {
    fn know(&self, cameras: &[KnownCamera]) {
        self.places.lock().unwrap().extend(cameras.iter().map(|camera| (camera.number, camera.place.clone())));
    }

    fn observe(&self, seen: Vec<lockplate_intake::Seen>) {
        let places = self.places.lock().unwrap();
        self.seen_at.lock().unwrap().extend(seen.iter().map(|seen| places.get(&seen.read.camera).cloned()));
    }
}

pub(crate) struct Town {
    onlooker: Arc<Onlooker>,
    pub(crate) sink: Arc<FakeSink>,
    pub(crate) register: Arc<FakeRegister>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) tasks: Tasks,
    pub(crate) state: IntakeState,
}

pub(super) fn source_table(name: &str, engine: &str) -> SourceTable {
    SourceTable {
        name: name.into(),
        engine: engine.into(),
        token_sha256: Some(TokenHash::of(&TOKEN).to_hex()),
        user: None,
        password_file: None,
        mqtt: None,
        pull: None,
        allow: Vec::new(),
        zone: Some("America/New_York".into()),
        trust_jurisdiction: false,
        fields: None,
        camera: Some("1".into()),
        confidence_scale: None,
        lan: false,
    }
}

fn source(name: &str, number: u16, engine: &str) -> SourceSettings {
    source_table(name, engine).check(number).unwrap()
}

impl Town {
    /// Puts a source into the register, with one camera, and reads that.
    async fn add(&self, source: SourceSettings, camera: &str) {
        {
            let mut all = self.register.0.lock().unwrap();
            let number = source.config.number;
            all.cameras.push(self::camera(number.into(), number, camera));
            all.sources.push(source);
        }
        self.state.refresh().await.unwrap();
    }

    /// Waits for something that other tasks bring about.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _look in 0..400 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what}: {:?} {:?}", self.sink.texts(), self.state.health());
    }

    fn counts(&self, source: &str) -> SourceCounts {
        self.state.health().sources.get(source).cloned().unwrap_or_default()
    }
}

/// A file with a password, as it must be.
fn password_file(folder: &std::path::Path, password: &str) -> std::path::PathBuf {
    let path = folder.join("password");
    crate::settings::create_secret_file(&path, format!("{password}\n").as_bytes()).unwrap();
    path
}

pub(crate) async fn town() -> Town {
    town_that_knows(BTreeMap::new()).await
}

/// One whose run before this one knew the clocks of these cameras.
async fn town_that_knows(right_clocks: BTreeMap<u32, i64>) -> Town {
    let numbered = || (1_u16..).zip(SourceKind::ALL.iter().map(|&kind| name_of(kind)));
    let registered = Registered {
        cameras: numbered().map(|(number, _)| camera(u32::from(number), number, "1")).collect(),
        sources: numbered().map(|(number, engine)| source(engine, number, engine)).collect(),
        import_source: IMPORT_NUMBER,
    };
    let (onlooker, sink) = (Arc::new(Onlooker::default()), Arc::new(FakeSink::default()));
    let register = Arc::new(FakeRegister(Mutex::new(registered), Mutex::default(), Mutex::new(right_clocks)));
    let clock = Arc::new(TestClock::new(NOW_MS));
    let tasks = Tasks::new();
    let parts = IntakeParts {
        sink: sink.clone(),
        beside: onlooker.clone(),
        register: register.clone(),
        import_key: Some(Zeroizing::new(IMPORT_KEY)),
        retention_ms: 30 * 86_400_000,
        archive_kind: ArchiveKind::Police,
        in_memory: false,
        rated_reads_per_second: 150,
        clock: clock.clone(),
        tasks: tasks.clone(),
    };
    let state = IntakeState::new(parts, &mut SystemRng).await.unwrap();
    Town { onlooker, sink, register, clock, tasks, state }
}

pub(crate) const fn late(captured_at: i64) -> Placement {
    Placement::Late { captured_at }
}

pub(super) fn address(source: &str) -> String {
    format!("/in/v1/{source}/{}", token_text(&TOKEN).as_str())
}

pub(super) fn post_of(uri: &str, content_type: &str, body: impl Into<Body>) -> Request {
    Request::post(uri).header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap()
}

pub(super) async fn answer(town: &Town, request: Request) -> (StatusCode, String, bool) {
    let response = town.state.routes(Door::Protected).oneshot(request).await.unwrap();
    let closes = response.extensions().get::<CloseUnanswered>().is_some();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap(), closes)
}

pub(super) fn own_line(plate: &str, ms: i64) -> String {
    format!("{{\"plate\":\"{plate}\",\"camera\":\"1\",\"captured_at\":{ms}}}\n")
}

fn group(uuid: &str, plate: &str, preview: bool) -> String {
    format!(
        r#"{{"data_type":"alpr_group","epoch_start":{NOW_MS},"epoch_end":{NOW_MS},"camera_id":1,
        "best_plate_number":"{plate}","best_confidence":91.5,"best_uuid":"{uuid}","uuids":["{uuid}"],
        "best_region":"us-ct","is_preview":{preview},"img_width":1,"img_width":1}}"#
    )
}

fn hook(plate: &str) -> String {
    format!(
        r#"{{"hook":{{"event":"recognition","id":"1","filename":"f-{plate}"}},"data":{{"camera_id":"1",
        "timestamp":"2026-03-20T09:46:40Z","results":[{{"plate":"{plate}","score":0.9,"region":{{"code":"us-ct","score":0.9}}}}]}}}}"#
    )
}

fn alpr_line(plate: &str) -> String {
    format!(
        r#"{{"version":2,"data_type":"alpr_results","epoch_time":{NOW_MS},"results":[{{"plate":"{plate}","confidence":90.1}}]}}"#
    )
}

fn alert(plate: &str) -> String {
    format!(
        "<EventNotificationAlert xmlns=\"http://www.hikvision.com/ver20/XMLSchema\"><macAddress>1</macAddress>\
        <dateTime>2026-03-20T05:46:40-04:00</dateTime><eventType>ANPR</eventType><ANPR><licensePlate>{plate}</licensePlate>\
        <confidenceLevel>90</confidenceLevel></ANPR><UUID>uuid-of-{plate}</UUID></EventNotificationAlert>"
    )
}

fn toll_gate(plate: &str) -> String {
    format!(
        r#"{{"Picture":{{"Plate":{{"PlateNumber":"{plate}","Confidence":90}},"NormalPic":{{"PicName":"{plate}.jpg"}},
        "SnapInfo":{{"DeviceID":"1","AccurateTime":"2026-03-20 05:46:40.000"}}}}}}"#
    )
}

fn junction(plate: &str) -> String {
    format!(
        "Code=TrafficJunction;action=Pulse;index=0;data={{\"GroupID\":\"{plate}\",\"RealUTC\":{},\
        \"TrafficCar\":{{\"PlateNumber\":\"{plate}\"}}}}\r\n",
        NOW_MS / 1000
    )
}

fn tattile(plate: &str) -> String {
    format!(
        "<Msg><PLATE_STRING>{plate}</PLATE_STRING><DATE>2026-03-20</DATE><TIME>05:46:40</TIME><OCRSCORE>90</OCRSCORE>\
        <DEVICE_SN>1</DEVICE_SN></Msg>"
    )
}

/// `end`: held for two seconds more.
fn frigate(plate: &str) -> String {
    format!(
        r#"{{"type":"end","before":null,"after":{{"id":"f-{plate}","camera":"1","label":"car","sub_label":null,
        "frame_time":1774000000.0,"recognized_license_plate":["{plate}",0.9],"stationary":false}}}}"#
    )
}

fn axis(plate: &str) -> String {
    format!(
        "--XX\r\nContent-Disposition: form-data; name=\"event\"\r\n\r\n{{\"plateUTF8\":\"{plate}\",\"carState\":\"lost\",\
         \"carID\":\"{plate}\",\"capture_timestamp\":\"{NOW_MS}\",\"camera_info\":{{\"SerialNumber\":\"1\"}}}}\r\n--XX--\r\n"
    )
}

fn milesight(plate: &str) -> String {
    format!(
        r#"{{"plate":"{plate}","time":"2026-03-20 05:46:40","confidence":"90","region":"-","Vehicle Brand":"Ford"}}"#
    )
}

fn unifi(plate: &str) -> String {
    format!(
        r#"{{"alarm":{{"triggers":[{{"key":"license_plate_unknown","value":"{plate}","device":"1","timestamp":{NOW_MS},
        "eventId":"e-{plate}"}}]}}}}"#
    )
}

fn genetec(plate: &str) -> String {
    format!(
        r#"{{"CameraName":"1","Plate":"{plate}","DateUtc":"20/03/2026","TimeUtc":"09:46:40","State":"CT",
        "Attributes":{{"Relative Motion":"Moving Away"}}}}"#
    )
}

fn blueiris(plate: &str) -> String {
    format!(
        r#"{{"camera":"1","timestamp":"2026-03-20 05:46:40","ai_dump":[{{"api":"alpr","found":{{"success":true,
        "requestId":"r-{plate}","predictions":[{{"plate":"{plate}","confidence":0.9}}]}}}}]}}"#
    )
}

fn verkada(plate: &str) -> String {
    format!(
        r#"{{"webhook_type":"lpr","webhook_id":"w","data":{{"camera_id":"1","license_plate_number":"{plate}",
        "confidence":0.9,"detected":{NOW_MS},"license_plate_state":"us-ct"}}}}"#
    )
}

/// A good payload of each kind, with its content type.
pub(super) fn good(kind: SourceKind, plate: &str) -> (&'static str, String) {
    match kind {
        SourceKind::Own => ("application/x-ndjson", own_line(plate, NOW_MS)),
        SourceKind::Alprd | SourceKind::Rekor => ("application/json", group(&format!("u-{plate}"), plate, false)),
        SourceKind::AlprLines => ("application/x-ndjson", alpr_line(plate)),
        SourceKind::PlateRecognizer => ("application/json", hook(plate)),
        SourceKind::Hikvision => ("application/xml; charset=\"UTF-8\"", alert(plate)),
        SourceKind::Dahua => ("application/json", toll_gate(plate)),
        SourceKind::DahuaEvents => ("text/plain", junction(plate)),
        SourceKind::Tattile => ("text/xml", tattile(plate)),
        SourceKind::Frigate => ("application/json", frigate(plate)),
        SourceKind::Axis => ("multipart/form-data; boundary=XX", axis(plate)),
        SourceKind::Milesight => ("application/json", milesight(plate)),
        SourceKind::UniFi => ("application/json", unifi(plate)),
        SourceKind::Genetec => ("application/json", genetec(plate)),
        SourceKind::BlueIris => ("application/json", blueiris(plate)),
        SourceKind::Verkada => ("application/json", verkada(plate)),
    }
}

pub(super) fn name_of(kind: SourceKind) -> &'static str {
    if kind == SourceKind::Alprd { "openalpr" } else { kind.name() }
}

#[tokio::test]
async fn a_wrong_token_an_unknown_source_a_wrong_address_and_a_wrong_listener_are_one_answer() {
    let town = town().await;
    {
        let mut all = town.register.0.lock().unwrap();
        let mut fenced = source("fenced", 77, "own");
        fenced.allow = vec![AddressRange::parse("10.0.0.0/8").unwrap()];
        all.sources.push(fenced);
    }
    town.state.refresh().await.unwrap();
    let wrong = token_text(&[8; 32]);
    let line = own_line("AB123", NOW_MS);
    let mut answers = BTreeSet::new();
    for uri in [
        format!("/in/v1/own/{}", wrong.as_str()),
        "/in/v1/own/x".into(),
        "/in/v1/own/%ff".into(),
        format!("/in/v1/nobody/{}", token_text(&TOKEN).as_str()),
        format!("/in/v1/import/{}", hex::encode([0; 32])),
        address("fenced"),
    ] {
        let (status, body, _) = answer(&town, post_of(&uri, "application/x-ndjson", line.clone())).await;
        answers.insert((status.as_u16(), body));
    }
    let lan = town.state.routes(Door::Lan);
    let refused = lan.clone().oneshot(post_of(&address("own"), "application/x-ndjson", line.clone())).await.unwrap();
    let body = to_bytes(refused.into_body(), 1 << 20).await.unwrap();
    answers.insert((404, String::from_utf8(body.to_vec()).unwrap()));
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(status, body)| *status == 404 && body.contains("intake-not-found")));
    assert_eq!(town.sink.texts(), [""; 0]);
    // The same address from where it may come, and a lan source on the plain listener.
    let mut inside = post_of(&address("fenced"), "application/x-ndjson", line.clone());
    inside.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 1, 2, 3], 9))));
    let (status, body, _) = answer(&town, inside).await;
    assert!(
        status == 422 || status == 403,
        "{body}: camera 1 is not of this source: another agency's camera is refused"
    );
    town.register.0.lock().unwrap().sources.iter_mut().for_each(|source| source.lan = true);
    town.state.refresh().await.unwrap();
    let taken = lan.clone().oneshot(post_of(&address("own"), "application/x-ndjson", line)).await.unwrap();
    assert_eq!(taken.status(), 200);
    let files = lan.oneshot(post_of("/v1/import", "application/x-ndjson", "")).await.unwrap();
    assert_eq!(files.status(), 404, "files never come over the plain listener");
}

#[tokio::test]
async fn a_revoked_source_is_refused_after_the_register_was_read_again() {
    let town = town().await;
    let send = || post_of(&address("own"), "application/x-ndjson", own_line("AB123", NOW_MS));
    assert_eq!(answer(&town, send()).await.0, 200);
    town.register.0.lock().unwrap().sources.clear();
    town.clock.advance(REFRESH);
    town.state.0.refresh_when_due().await;
    assert_eq!(answer(&town, send()).await.0, 404);
}

#[tokio::test]
async fn every_source_is_answered_by_its_rule() {
    for &kind in SourceKind::ALL {
        let town = town().await;
        let uri = address(name_of(kind));
        let (content_type, body) = good(kind, "AB123");
        let (status, text, closes) = answer(&town, post_of(&uri, content_type, body.clone())).await;
        assert_eq!((status.as_u16(), closes), (200, false), "{kind:?} {text}");
        let says = matches!(kind, SourceKind::Own | SourceKind::AlprLines | SourceKind::Dahua);
        assert_eq!(text.is_empty(), !says, "{kind:?} {text}");
        let held = matches!(kind, SourceKind::AlprLines | SourceKind::Frigate);
        assert_eq!(town.sink.texts().len(), usize::from(!held), "{kind:?}: success means durable or held");
        if !held {
            assert_eq!(
                answer(&town, post_of(&uri, content_type, body)).await.0,
                200,
                "{kind:?}: a repeat is a success"
            );
            assert_eq!(town.sink.texts().len(), 1, "{kind:?}: and sealed once");
        }

        let poisons = [
            ("application/json", "{\"plate\":".to_owned(), 400),
            ("application/json", "[".repeat(100_000), 400),
            ("text/html", "<html>".to_owned(), 415),
        ];
        for (content_type, poison, own_status) in poisons {
            let began = Instant::now();
            let (status, text, closes) = answer(&town, post_of(&uri, content_type, poison)).await;
            assert!(began.elapsed() < Duration::from_millis(50), "{kind:?}");
            let expected = match kind {
                SourceKind::Own => own_status,
                // Lines that do not begin with a brace are none of its payload.
                SourceKind::AlprLines => status.as_u16(),
                _ => 200,
            };
            assert_eq!((status.as_u16(), closes), (expected, false), "{kind:?} {text}");
            assert!(status.as_u16() < 500 && !text.contains("html>"));
        }

        *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
        if !held {
            let (content_type, body) = good(kind, "CD456");
            let (status, _, closes) = answer(&town, post_of(&uri, content_type, body.clone())).await;
            match kind {
                SourceKind::Alprd => assert!(closes),
                _ => assert_eq!((status.as_u16(), closes), (503, false), "{kind:?}"),
            }
            *town.sink.refuses.lock().unwrap() = None;
            assert_eq!(answer(&town, post_of(&uri, content_type, body)).await.0, 200);
            assert_eq!(town.sink.texts(), ["AB123", "CD456"], "{kind:?}: what was not durable is no duplicate");
        }
    }
}

#[tokio::test]
async fn alprd_gets_no_byte_while_nothing_can_be_made_durable() {
    let town = town().await;
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    let on = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, Limits::default()).await.unwrap();
    let addr = server.local_addr();
    server.serve(town.state.routes(Door::Protected), &town.tasks);
    let send = |name: &'static str, body: String| async move {
        let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            address(name),
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _end_or_reset = stream.read_to_string(&mut answer).await;
        answer
    };
    assert_eq!(send("openalpr", group("u-1", "AB123", false)).await, "");
    assert!(send("rekor", group("u-1", "AB123", false)).await.starts_with("HTTP/1.1 503 "));
    *town.sink.refuses.lock().unwrap() = None;
    assert!(send("openalpr", group("u-1", "AB123", false)).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(town.sink.texts(), ["AB123"]);
    assert_eq!(town.state.health().sources["openalpr"].lost_upstream, 1);
}

#[tokio::test]
async fn a_repeat_of_a_read_that_is_still_on_its_way_is_no_success_before_that_read_is_durable() {
    let town = town().await;
    let gate = Arc::new(Notify::new());
    *town.sink.gate.lock().unwrap() = Some(gate.clone());
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    let send = || post_of(&address("rekor"), "application/json", group("u-1", "AB123", false));
    let (first, second) = (answer(&town, send()), answer(&town, send()));
    let opener = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.notify_one();
    };
    let ((first, ..), (second, ..), ()) = tokio::join!(first, second, opener);
    assert_eq!((first.as_u16(), second.as_u16()), (503, 503));
    assert_eq!(town.sink.texts(), [""; 0]);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_its_read_sealed_not_only_remembered() {
    let town = town().await;
    let gate = Arc::new(Notify::new());
    *town.sink.gate.lock().unwrap() = Some(gate.clone());
    let send = || post_of(&address("rekor"), "application/json", group("u-1", "AB123", false));
    let gone = tokio::time::timeout(Duration::from_millis(50), answer(&town, send())).await;
    assert!(gone.is_err());
    gate.notify_one();
    town.state.finish().await;
    assert_eq!(town.sink.texts(), ["AB123"]);
}

#[tokio::test]
async fn sizes_at_the_bound_and_beyond_and_bombs() {
    let town = town().await;
    let uri = address("own");
    let mut body = own_line("AB123", NOW_MS).into_bytes();
    body.resize(BODY_BYTES_MAX, b'\n');
    assert_eq!(answer(&town, post_of(&uri, "application/x-ndjson", body.clone())).await.0, 200);
    body.push(b'\n');
    let (status, text, _) = answer(&town, post_of(&uri, "application/x-ndjson", body.clone())).await;
    assert!(status == 413 && text.contains("intake-too-large"));
    let chunks = futures_util::stream::iter(
        body.chunks(65_536).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect::<Vec<_>>(),
    );
    let undeclared = post_of(&uri, "application/x-ndjson", Body::from_stream(chunks));
    assert_eq!(answer(&town, undeclared).await.0, 413);

    // Whoever is still sending would take the answer for a broken connection; who waits for it is not made to send.
    for (expects, read) in [(false, body.len()), (true, 0)] {
        let taken = Arc::new(AtomicU64::new(0));
        let counted = taken.clone();
        let chunks: Vec<Vec<u8>> = body.chunks(65_536).map(<[u8]>::to_vec).collect();
        let counting = futures_util::stream::iter(chunks).map(move |chunk| {
            counted.fetch_add(chunk.len() as u64, std::sync::atomic::Ordering::SeqCst);
            Ok::<_, std::io::Error>(chunk)
        });
        let mut declared = post_of(&address("dahua"), "application/json", Body::from_stream(counting));
        declared.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
        if expects {
            declared.headers_mut().insert(header::EXPECT, "100-continue".parse().unwrap());
        }
        assert!(answer(&town, declared).await.1.contains("true"));
        assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), read as u64, "{expects}");
    }

    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    let packed = |uri: &str, encoding: &str, bytes: Vec<u8>| {
        let mut request = post_of(uri, "application/x-ndjson", bytes);
        request.headers_mut().insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        request
    };
    let spaces = vec![b' '; 64 << 20];
    for (encoding, pack, plate) in [("gzip", &gzip as &dyn Fn(&[u8]) -> Vec<u8>, "EF789"), ("ZSTD", &zstd, "EF790")] {
        let good = pack(own_line(plate, NOW_MS).as_bytes());
        assert_eq!(answer(&town, packed(&uri, encoding, good.clone())).await.0, 200);
        assert!(town.sink.texts().contains(&plate.to_owned()));
        assert_eq!(answer(&town, packed(&uri, encoding, good[..good.len() - 9].to_vec())).await.0, 400, "cut");
        for bomb in [pack(&spaces), pack(&pack(&spaces)), pack(&spaces[..40_000])] {
            let (status, ..) = answer(&town, packed(&uri, encoding, bomb)).await;
            assert!(status == 413 || status == 400, "{encoding}: {status}");
        }
        let (status, ..) = answer(&town, packed(&address("platerecognizer"), encoding, good)).await;
        assert_eq!(status, 200);
    }
    assert_eq!(town.state.health().sources["platerecognizer"].rejected["intake-unsupported-type"], 2);
    assert_eq!(answer(&town, packed(&uri, "br", b"x".to_vec())).await.0, 415);
}

#[tokio::test]
async fn multipart_and_urlencoded_forms_of_plate_recognizer() {
    let town = town().await;
    let uri = address("platerecognizer");
    let multipart = |parts: &str| post_of(&uri, "multipart/form-data; boundary=XX", format!("{parts}--XX--\r\n"));
    let part = |name: &str, body: &str| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"../../x\"\r\n\r\n{body}\r\n")
    };
    let both = part("json", &hook("MP1")) + &part("upload", "JPEG");
    assert_eq!(answer(&town, multipart(&both)).await.0, 200);
    let encoded: String = hook("UE2").bytes().map(|byte| format!("%{byte:02x}")).collect();
    let form = post_of(&uri, "application/x-www-form-urlencoded", format!("x=1&json={encoded}"));
    assert_eq!(answer(&town, form).await.0, 200);
    assert_eq!(town.sink.texts(), ["MP1", "UE2"]);
    let many: String = (0..=32).map(|at| part(&format!("p{at}"), "x")).collect();
    for bad in [multipart(&many), multipart("--XX\r\nnonsense"), post_of(&uri, "multipart/form-data", "x")] {
        assert_eq!(answer(&town, bad).await.0, 200, "poison: an error would make the cloud remove the hook");
    }
    let rejected = town.state.health().sources["platerecognizer"].rejected.clone();
    assert_eq!((rejected["intake-too-large"], rejected["intake-malformed"]), (1, 2));
}

#[tokio::test]
async fn a_batch_with_bad_lines_keeps_the_good_ones_and_numbers_the_bad() {
    let town = town().await;
    let uri = address("own");
    let unknown = own_line("ZZ9", NOW_MS).replace("\"1\"", "\"2\"");
    let body =
        own_line("AB1", NOW_MS) + "{\"plate\":\"SECRET\"}\n" + &unknown + "nonsense\n" + &own_line("AB2", NOW_MS);
    let (status, text, _) = answer(&town, post_of(&uri, "application/x-ndjson", body)).await;
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status.as_u16(), &said["accepted"], &said["rejected"]), (200, &2.into(), &3.into()));
    let mut problems: Vec<(u64, &str)> = (said["problems"].as_array().unwrap().iter())
        .map(|p| {
            (p["line"].as_u64().unwrap(), p["type"].as_str().unwrap().strip_prefix("urn:lockplate:problem:").unwrap())
        })
        .collect();
    problems.sort_unstable();
    assert_eq!(problems, [(2, "intake-missing-field"), (3, "intake-unknown-camera"), (4, "intake-malformed")]);
    assert!(!text.contains("SECRET"));
    for (body, expected) in [
        (unknown.clone(), 403),
        (unknown.repeat(2), 422),
        ("{\"plate\":\"SECRET\"}\n".repeat(2), 422),
        // Its clock was right a moment ago, so this read is as old as it says.
        (own_line("OLD1", NOW_MS - 31 * 86_400_000), 422),
    ] {
        let (status, text, _) = answer(&town, post_of(&uri, "application/x-ndjson", body)).await;
        assert_eq!(status.as_u16(), expected, "{text}");
        assert!(!text.contains("SECRET") && !text.contains("ZZ9"));
    }
}

#[tokio::test]
async fn the_201st_payload_of_a_second_is_too_many() {
    let town = town().await;
    for (name, expected) in [("own", Some(429)), ("openalpr", None)] {
        let send = || post_of(&address(name), "application/json", "{}");
        for _payload in 0..PAYLOADS_PER_SECOND_MAX {
            let (status, _, closes) = answer(&town, send()).await;
            assert!(status != 429 && !closes);
        }
        let (status, _, closes) = answer(&town, send()).await;
        assert_eq!((expected.unwrap_or(200), expected.is_none()), (status.as_u16(), closes));
        town.clock.advance(Duration::from_millis(5));
        assert!(!answer(&town, send()).await.2);
    }
}

#[tokio::test]
async fn held_reads_are_sealed_once_when_due_and_at_the_end() {
    let town = town().await;
    let uri = address("rekor");
    for (uuid, plate) in [("u-1", "AB123"), ("u-2", "CD456")] {
        let (status, ..) = answer(&town, post_of(&uri, "application/json", group(uuid, plate, true))).await;
        assert_eq!(status, 200);
    }
    assert_eq!(town.sink.texts(), [""; 0], "a preview waits");
    let last = group("u-1", "AB123", false);
    assert_eq!(answer(&town, post_of(&uri, "application/json", last)).await.0, 200);
    assert_eq!(town.sink.texts(), ["AB123"]);
    town.clock.advance(Duration::from_secs(30));
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    assert!(!town.state.0.release(false).await);
    assert_eq!(town.state.health().waiting, 1, "kept while nothing can be sealed");
    *town.sink.refuses.lock().unwrap() = None;
    assert!(town.state.0.release(false).await);
    assert_eq!(town.sink.texts(), ["AB123", "CD456"]);

    answer(&town, post_of(&uri, "application/json", group("u-3", "EF789", true))).await;
    town.state.finish().await;
    assert_eq!(town.sink.texts(), ["AB123", "CD456", "EF789"]);
    let after = post_of(&uri, "application/json", group("u-4", "GH012", false));
    assert_eq!(answer(&town, after).await.0, 503, "nothing is taken after the end");
    assert_eq!(town.state.health().lost_held, 0);
}

/// Its source was told "held", and says it once: what cannot be sealed with the last word waits here.
/// What a recorder does that opens few epochs of the past at a time.
#[tokio::test]
async fn a_window_without_an_epoch_holds_up_its_own_reads_alone() {
    let town = town().await;
    *town.sink.minutes.lock().unwrap() = Some(3);
    // The camera's clock is right: it tells what it saw while it had no network.
    answer(&town, post_of(&address("own"), "application/x-ndjson", own_line("NOW01", NOW_MS))).await;
    let lines: String = (0..12).map(|at| own_line(&format!("LATE{at}"), NOW_MS - 600_000 - at * 60_000)).collect();
    let send = || async { answer(&town, post_of(&address("own"), "application/x-ndjson", lines.clone())).await.0 };
    let mut answers = Vec::new();
    while answers.last() != Some(&StatusCode::OK) && answers.len() < 9 {
        answers.push(send().await);
    }
    assert_eq!(answers, [503, 503, 503, 200], "each time three windows more");
    let mut texts = town.sink.texts();
    texts.sort();
    texts.dedup();
    assert_eq!((texts.len(), town.sink.texts().len()), (13, 13), "each read once");
}

#[tokio::test]
async fn a_held_read_outlives_a_last_word_that_cannot_be_sealed() {
    let town = town().await;
    let said = |plate: &str, state: &str| {
        let (kind, body) = good(SourceKind::Axis, plate);
        post_of(&address("axis"), kind, body.replace("\"lost\"", &format!("\"{state}\"")))
    };
    for plate in ["AB123", "CD456"] {
        assert_eq!(answer(&town, said(plate, "new")).await.0, 200);
    }
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    assert_eq!(answer(&town, said("AB123", "lost")).await.0, 200, "it is held on");
    assert_eq!((town.sink.texts().len(), town.state.health().waiting), (0, 1));
    // One comes to wait while the other is tried again.
    let gate = Arc::new(Notify::new());
    *town.sink.gate.lock().unwrap() = Some(gate.clone());
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    let released = async {
        pause(30).await;
        town.state.0.release(false).await
    };
    let opener = async {
        for _ in 0..2 {
            pause(60).await;
            gate.notify_one();
        }
    };
    let ((status, ..), is_empty, ()) = tokio::join!(answer(&town, said("CD456", "lost")), released, opener);
    assert_eq!((status.as_u16(), is_empty, town.state.health().waiting), (200, false, 2));
    *town.sink.gate.lock().unwrap() = None;
    *town.sink.refuses.lock().unwrap() = None;
    assert!(town.state.0.release(false).await);
    assert_eq!(town.sink.texts().into_iter().collect::<BTreeSet<_>>(), ["AB123", "CD456"].map(str::to_owned).into());
    assert_eq!(answer(&town, said("AB123", "lost")).await.0, 200);
    assert_eq!((town.sink.texts().len(), town.state.health().lost_held), (2, 0), "and once");
}

/// A payload that is held, of each kind of source that refines.
fn refining(kind: SourceKind, plate: &str) -> (&'static str, String) {
    let (content_type, body) = good(kind, plate);
    let body = match kind {
        SourceKind::Own => tracked(plate),
        SourceKind::Alprd | SourceKind::Rekor => group(&format!("u-{plate}"), plate, true),
        _ => body.replace("\"lost\"", "\"new\""),
    };
    (content_type, body)
}

/// A line that is held.
fn tracked(plate: &str) -> String {
    let more = format!("\"track\":\"{plate}\",\"final\":false,\"plate\"");
    own_line(plate, NOW_MS).replace("\"plate\"", &more)
}

/// Their sources were told "held": while one of them cannot be sealed, nothing may be added to them.
#[tokio::test]
async fn while_a_held_read_waits_no_other_is_acknowledged() {
    let kinds = [
        SourceKind::Own,
        SourceKind::Alprd,
        SourceKind::Rekor,
        SourceKind::AlprLines,
        SourceKind::Frigate,
        SourceKind::Axis,
    ];
    for kind in kinds {
        let (town, name) = (town().await, name_of(kind));
        let send = async |plate| {
            let (content_type, body) = refining(kind, plate);
            let (status, _, closes) = answer(&town, post_of(&address(name), content_type, body)).await;
            (status.as_u16(), closes)
        };
        let taken = (200, false);
        assert_eq!(send("AB123").await, taken, "{kind:?}");
        town.clock.advance(Duration::from_secs(30));
        assert_eq!(send("EF789").await, taken, "{kind:?}");
        *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
        assert!(!town.state.0.release(false).await && !town.state.seals());
        let (is_closed, is_frame) = (kind == SourceKind::Alprd, kind == SourceKind::AlprLines);
        let refused = if is_closed { (200, true) } else { (503, false) };
        assert_eq!(send("CD456").await, refused, "{kind:?}");
        assert_eq!(send("EF789").await, if is_frame { refused } else { taken }, "{kind:?}: more of what is held");
        assert_eq!((town.state.health().waiting, town.counts(name).accepted), (1, 0));

        *town.sink.refuses.lock().unwrap() = None;
        assert!(town.state.0.release(false).await && town.state.seals());
        assert_eq!(send("CD456").await, taken, "{kind:?}");
        town.state.finish().await;
        assert_eq!(town.sink.texts(), ["AB123", "EF789", "CD456"], "{kind:?}");
        let (health, counts) = (town.state.health(), town.counts(name));
        assert_eq!((health.lost_held, counts.accepted, counts.lost_upstream), (0, 3, 1 + u64::from(is_frame)));
    }
}

/// A storm of cameras that had no network: nearly everything waits for an epoch of its window, and live reads go on.
#[tokio::test]
async fn what_waits_for_many_windows_of_the_past_is_sealed_few_at_a_time_and_once() {
    let town = town().await;
    let send = |body: String| async { answer(&town, post_of(&address("own"), "application/x-ndjson", body)).await.0 };
    assert_eq!(send(own_line("NOW01", NOW_MS)).await, 200);
    *town.sink.minutes.lock().unwrap() = Some(3);
    let of_minute = |at: i64| {
        let late = (NOW_MS - 600_000 - at * 60_000).to_string();
        tracked(&format!("LATE{at}")).replace(&NOW_MS.to_string(), &late)
    };
    assert_eq!(send((0..30).map(of_minute).collect()).await, 200);
    town.clock.advance(Duration::from_secs(30));
    let mut looks = 0;
    while !town.state.0.release(false).await {
        assert_eq!(send(tracked(&format!("LIVE{looks}"))).await, 200, "windows of the past stand in no way");
        looks += 1;
        assert!(looks < 30, "{:?}", town.state.health().waiting);
    }
    town.state.finish().await;
    let texts = town.sink.texts();
    assert_eq!((texts.iter().collect::<BTreeSet<_>>().len(), texts.len()), (31 + looks, 31 + looks), "each once");
    assert!(looks >= 3, "few at a time");
}

#[tokio::test]
async fn of_a_flood_that_cannot_be_sealed_every_acknowledged_read_is_kept() {
    let town = town().await;
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    let mut acknowledged = 0;
    for payload in 0..14 {
        let body: String = (0..6_000).map(|line| tracked(&format!("T{payload}X{line}"))).collect();
        let (status, ..) = answer(&town, post_of(&address("own"), "application/x-ndjson", body)).await;
        acknowledged += if status == 200 { 6_000 } else { 0 };
    }
    assert_eq!(acknowledged, 24_000, "as many as can be held, and the payload that passes it");
    *town.sink.refuses.lock().unwrap() = None;
    town.clock.advance(Duration::from_secs(30));
    assert!(town.state.0.release(false).await);
    let texts = town.sink.texts().into_iter().collect::<BTreeSet<_>>();
    assert_eq!((texts.len(), town.counts("own").accepted, town.state.health().lost_held), (24_000, 24_000, 0));
}

#[tokio::test]
async fn what_waits_for_a_sealer_takes_no_room_for_pictures() {
    let town = town().await;
    let line = tracked("AB123").replace("\"plate\"", "\"crop\":\"/9j/4AAQSkZJRg==\",\"plate\"");
    assert_eq!(answer(&town, post_of(&address("own"), "application/x-ndjson", line)).await.0, 200);
    town.clock.advance(Duration::from_secs(30));
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    assert!(!town.state.0.release(false).await);
    let waiting: Vec<_> = town.state.0.waiting.lock().unwrap().iter().map(|read| read.crop.clone()).collect();
    assert_eq!(waiting, [None]);
}

#[tokio::test]
async fn a_token_is_revoked_while_a_held_read_waits_for_its_sealer() {
    let town = town().await;
    let send = |plate| answer(&town, post_of(&address("own"), "application/x-ndjson", tracked(plate)));
    assert_eq!(send("AB123").await.0, 200);
    town.clock.advance(Duration::from_secs(30));
    *town.sink.gate.lock().unwrap() = Some(Arc::default());
    town.state.start();
    tokio::time::sleep(3 * sealing::TICK).await;
    town.register.0.lock().unwrap().sources.retain(|source| source.name != "own");
    town.clock.advance(REFRESH);
    tokio::time::sleep(3 * sealing::TICK).await;
    assert_eq!((send("CD456").await.0, town.sink.texts().len()), (StatusCode::NOT_FOUND, 0));
}

#[tokio::test]
async fn it_does_not_seal_while_reads_are_refused() {
    let town = town().await;
    let send = |plate| answer(&town, post_of(&address("own"), "application/x-ndjson", own_line(plate, NOW_MS)));
    assert_eq!((send("AB123").await.0.as_u16(), town.state.seals()), (200, true));
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    assert_eq!((send("CD456").await.0.as_u16(), town.state.seals()), (503, false));
    *town.sink.refuses.lock().unwrap() = None;
    assert_eq!((send("CD456").await.0.as_u16(), town.state.seals()), (200, true));
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    assert_eq!((send("EF789").await.0.as_u16(), town.state.seals()), (503, false));
    town.clock.advance(Duration::from_secs(30));
    assert!(town.state.seals(), "nobody knows whether it would be refused now");
}

#[tokio::test]
async fn a_body_that_sticks_is_given_up_after_half_a_minute_as_each_source_understands_it() {
    let town = town().await;
    let began = Instant::now();
    let stuck = SourceKind::ALL.iter().map(|&kind| {
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>("{\"data_type\":")]);
        let body = Body::from_stream(begun.chain(futures_util::stream::pending()));
        answer(&town, post_of(&address(name_of(kind)), "application/json", body)).map(move |answer| (kind, answer))
    });
    for (kind, (status, _, closes)) in futures_util::future::join_all(stuck).await {
        let expected = if kind == SourceKind::Alprd { (200, true) } else { (503, false) };
        assert_eq!((status.as_u16(), closes), expected, "{kind:?}");
    }
    assert!((30..40).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(town.counts("openalpr").lost_upstream, 1);
}

#[tokio::test]
async fn a_payload_that_failed_shows_its_shape_after_a_camera_was_added_and_then_no_more() {
    let town = town().await;
    let bad = || post_of(&address("own"), "application/x-ndjson", "{\"plate\":\"SECRET7\",\"camera\":\"1\"}\n");
    assert_eq!(answer(&town, bad()).await.0, 422);
    assert_eq!(town.state.health().shapes, None);
    add_camera(&town, new_camera("7", "Gate", None)).await;
    assert_eq!(answer(&town, bad()).await.0, 422);
    answer(&town, post_of(&address("own"), "application/x-ndjson", own_line("GOOD1", NOW_MS))).await;
    let shapes = town.state.health().shapes.unwrap();
    let lines = ["content-type: application/x-ndjson", ": object(2)", "/camera: text(1) 9", "/plate: text(7) AAAAAA9"];
    assert_eq!(
        (shapes.len(), shapes[0].slug, &shapes[0].lines[..]),
        (1, "intake-missing-field", &lines.map(String::from)[..])
    );
    assert!(!serde_json::to_string(&town.state.health()).unwrap().contains("SECRET"));
    town.clock.advance(Duration::from_secs(600));
    assert_eq!(town.state.health().shapes, None);
}

fn new_camera(key: &str, place: &str, source: Option<&str>) -> NewCamera {
    NewCamera {
        key: key.into(),
        place: place.into(),
        lat: None,
        lon: None,
        group: String::new(),
        source: source.map(str::to_owned),
        purpose: None,
        zone: None,
    }
}

async fn add_camera(town: &Town, camera: NewCamera) {
    let body = serde_json::to_vec(&CamerasNew { cameras: vec![camera] }).unwrap();
    let mut request = post_of("/v1/cameras", "application/json", body);
    let bearer = format!("Bearer {}", hex::encode(IMPORT_KEY));
    request.headers_mut().insert(header::AUTHORIZATION, bearer.parse().unwrap());
    assert_eq!(answer(town, request).await.0, 200);
}

#[tokio::test]
async fn who_looks_on_knows_a_camera_before_its_first_read() {
    let town = town().await;
    for (key, place) in [("bridge", "Mill Bridge"), ("depot", "Depot Road")] {
        add_camera(&town, new_camera(key, place, Some("own"))).await;
        let line = format!("{{\"plate\":\"AB123\",\"camera\":\"{key}\",\"captured_at\":{NOW_MS}}}\n");
        assert_eq!(answer(&town, post_of(&address("own"), "application/x-ndjson", line)).await.0, 200);
        assert_eq!(town.onlooker.seen_at.lock().unwrap().pop(), Some(Some(place.to_owned())));
    }
}

#[tokio::test]
async fn counters_are_for_callers_on_this_machine_only() {
    let town = town().await;
    answer(&town, post_of(&address("own"), "application/x-ndjson", own_line("AB123", NOW_MS))).await;
    let ask = |peer: [u8; 4]| {
        let mut request = Request::get("/v1/intake/health").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 9))));
        request
    };
    assert_eq!(answer(&town, ask([192, 0, 2, 1])).await.0, 404);
    let (status, text, _) = answer(&town, ask([127, 0, 0, 1])).await;
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status.as_u16(), &said["sources"]["own"]["accepted"]), (200, &1.into()));
    let load = serde_json::json!({"rated_reads_per_second": 150, "reads_last_minute": 1, "rated_load_passed": false});
    assert_eq!(said["load"], load);
    assert_eq!(said["cameras"][0]["camera"], 1);
    assert!(!text.contains("AB123"));
}

/// A generator good enough to choose mutations, with a printed seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    const PIECES: &[&str] = &[
        "null",
        "\"\"",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\u0000",
        "\\ud800",
        "1e400",
        "-1",
        "18446744073709551616",
        "\n",
        ",",
        "\u{feff}",
        "\u{0}",
        "true",
        ":",
        "NaN",
        "--XX",
        "</a>",
        "<a>",
        "&#0;",
        "<![CDATA[",
        "<!DOCTYPE a [",
        "%",
        "é",
        "\u{202e}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ];
    for _change in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        let to = (at + dice.below(24)).min(bytes.len());
        match dice.below(6) {
            0 if !bytes.is_empty() => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            3 => bytes.truncate(at),
            _ => {
                let piece = PIECES[dice.below(PIECES.len())];
                bytes.splice(at..to, piece.bytes());
            }
        }
    }
}

/// Anonymous memory of this process, KiB. Of this test alone where each has a process of its own, as nextest gives it.
fn memory_kib() -> Option<u64> {
    std::env::var_os("NEXTEST")?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find(|line| line.starts_with("RssAnon"))?.split_whitespace().nth(1)?.parse().ok()
}

#[tokio::test]
async fn ten_thousand_mutated_payloads_a_format_give_no_unexpected_answer_and_leave_no_memory_behind() {
    let seed = 20_260_320;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let csv = format!("plate,camera,captured_at\nAB123,1,{NOW_MS}\n\"C\n1\",1,{NOW_MS}\n");
    let parts = format!("--XX\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{}\r\n--XX--\r\n", hook("MP1"));
    let mut formats: Vec<(&str, &str, String)> = vec![
        ("own", "text/csv", csv),
        ("platerecognizer", "multipart/form-data; boundary=XX", parts),
        ("platerecognizer", "application/x-www-form-urlencoded", format!("json={}", hook("UE2").replace('"', "%22"))),
    ];
    formats.extend(SourceKind::ALL.iter().map(|&kind| {
        let (content_type, body) = good(kind, "AB123");
        (name_of(kind), content_type, body)
    }));
    for (name, content_type, sample) in formats {
        let town = town().await;
        let router = town.state.routes(Door::Protected);
        let uri = address(name);
        let mut before = None;
        for number in 0..10_000 {
            // What a first payload brings into memory, it brings once.
            if number == 1_000 {
                before = memory_kib();
            }
            // Five milliseconds each: within the pace.
            town.clock.advance(Duration::from_millis(5));
            let mut body = sample.clone().into_bytes();
            mutate(&mut dice, &mut body);
            let response = router.clone().oneshot(post_of(&uri, content_type, body)).await.unwrap();
            let status = response.status().as_u16();
            assert!(matches!(status, 200 | 400 | 403 | 413 | 415 | 422), "{name} {content_type} {number}: {status}");
            assert!(response.extensions().get::<CloseUnanswered>().is_none());
        }
        assert_eq!(town.state.health().sources[name].payloads, 10_000);
        if let (Some(before), Some(after)) = (before, memory_kib()) {
            let grown = after.saturating_sub(before);
            println!("{name} {content_type}: {} reads, {grown} KiB more", town.sink.texts().len());
            assert!(grown < 64 * 1024, "{name} {content_type}: {grown} KiB");
        }
    }
}

/// What no door takes, whatever format is behind it: small on the line, large or deep where somebody believes it.
#[tokio::test]
async fn bombs_are_refused_at_every_door() {
    let town = town().await;
    let depth = 100_000;
    let entities: String = (1..10).fold("<!ENTITY e0 \"ha\">".to_owned(), |all, n| {
        let inner = format!("&e{};", n - 1).repeat(10);
        format!("{all}<!ENTITY e{n} \"{inner}\">")
    });
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    let bombs: [(&str, &str, bool, Vec<u8>); 6] = [
        ("arrays", "application/json", false, "[".repeat(depth).into_bytes()),
        ("objects", "application/json", false, "{\"a\":".repeat(depth).into_bytes()),
        ("elements", "application/xml", false, "<a>".repeat(depth).into_bytes()),
        ("a billion laughs", "application/xml", false, format!("<!DOCTYPE a [{entities}]><a>&e9;</a>").into_bytes()),
        ("zeros", "application/json", true, gzip(&vec![b'0'; 64 << 20])),
        ("spaces", "application/xml", true, gzip(&vec![b' '; 64 << 20])),
    ];
    for &kind in SourceKind::ALL {
        for (what, content_type, packed, bomb) in &bombs {
            let name = name_of(kind);
            let before =
                town.state.health().sources.get(name).map_or(0, |counts| counts.rejected.values().sum::<u64>());
            let mut request = post_of(&address(name), content_type, bomb.clone());
            if *packed {
                request.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
            }
            town.clock.advance(Duration::from_millis(20));
            let (status, ..) = answer(&town, request).await;
            assert!(status.as_u16() < 500, "{name} {what}: {status}");
            let refused = town.state.health().sources[name].rejected.values().sum::<u64>() > before;
            // Lines that are none of the engine's are passed over there.
            let of_lines = matches!(kind, SourceKind::AlprLines | SourceKind::DahuaEvents);
            assert!(refused || of_lines, "{name} {what}: {status}");
        }
    }
    assert!(town.sink.texts().is_empty());
}

use super::*;

use axum::body::Body;
use axum::http::Request;
use lockplate_core::authorisation::verify_session;
use lockplate_core::charter::LeafWait;
use lockplate_core::entry::LogKind;
use lockplate_core::id::AgencyId;
use lockplate_core::vocabulary::{Level, State as UsState};
use lockplate_log::Origin;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::clock::TestClock;
use crate::cosign::WitnessSet;
use crate::party_log::{LogOnDisk, LogWitnesses};

/// Seed of the officer's key.
const OFFICER: [u8; 32] = [7; 32];
const NOW_MS: i64 = 1_800_000_000_000;

fn key(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_seed(&Secret::new(seed))
}

fn officer() -> [u8; 32] {
    key(OFFICER).verify_key().0
}

struct Office {
    _folder: tempfile::TempDir,
    desk: Desk,
    router: Router,
    desk_key: lockplate_log::VerifierKey,
    clock: Arc<TestClock>,
    roster: Roster,
    tasks: Tasks,
}

async fn office() -> Office {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::new(NOW_MS));
    let tasks = Tasks::new();
    let signer = |name: &str, seed| NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap();
    let (desk_key, log_key) = (signer("harbour.example/desk", 2), signer("harbour.example/log/desk", 3));
    let party = ([9; 16], [0; 32]);
    let set = WitnessSet::nobody(log_key.verifier_key().clone());
    let witnesses = LogWitnesses { set, without: BTreeSet::new(), wait: LeafWait::Durable };
    let log = LogOnDisk::load(&folder.path().join("log"), log_key, LogKind::Desk, party, clock.clone(), &tasks);
    let log = log.unwrap().start(witnesses).await.unwrap();
    let officers = folder.path().join("officers.json");
    let roster = Roster::at(&officers);
    let trained = Timestamp(1_900_000_000);
    roster.add_officer(&officer(), trained, &BTreeSet::new(), Some("correct horse"), &mut SystemRng).unwrap();
    let public = desk_key.verifier_key().clone();
    let settings = DeskSettings {
        data: folder.path().to_owned(),
        officers,
        agency: AgencyIdentity {
            id: AgencyId([9; 16]),
            name: "Harbour Police Department".to_owned(),
            ori: String::new(),
            state: UsState::parse("CT").unwrap(),
            level: Level::Local,
            law_enforcement: true,
        },
        agency_key: signer("harbour.example/agency", 1),
        desk_key,
        slip_key: SigningKey::from_seed(&Secret::new([2; 32])),
        log_origin: "harbour.example/log/desk".to_owned(),
        owners: Vec::new(),
        declarations: Vec::new(),
        ship: None,
        inherited: false,
    };
    let desk = Desk::start(settings, log, clock.clone(), &tasks).unwrap();
    Office { _folder: folder, router: routes(desk.clone()), desk, desk_key: public, clock, roster, tasks }
}

impl Office {
    async fn post(&self, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let request = Request::post(path).header("content-type", "application/json").body(Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status().as_u16();
        (status, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    async fn sign_in(&self, seed: [u8; 32], passcode: &str) -> (u16, Vec<u8>) {
        let now = Timestamp(u64::try_from(self.clock.now_ms() / 1_000).unwrap());
        let call = DeskCall { request_digest: [4; 32], kind: DeskCallKind::Session, time: now };
        self.sign_in_with(key(seed).verify_key().0, passcode, key(seed).sign(call).to_bytes()).await
    }

    async fn sign_in_with(&self, officer: [u8; 32], passcode: &str, call: Vec<u8>) -> (u16, Vec<u8>) {
        let asked = json!({
            "officer_key": B64(officer.to_vec()), "passcode": passcode, "request_digest": B64(vec![4; 32]),
            "call": B64(call),
        });
        self.post("/v1/desk/sessions", &asked).await
    }
}

#[tokio::test]
async fn a_stranger_without_the_key_uses_up_no_tries() {
    let office = office().await;
    let now = Timestamp(1_800_000_000);
    let good = DeskCall { request_digest: [4; 32], kind: DeskCallKind::Session, time: now };
    let calls = [
        key([8; 32]).sign(good.clone()),
        key(OFFICER).sign(DeskCall { kind: DeskCallKind::Look, ..good.clone() }),
        key(OFFICER).sign(DeskCall { request_digest: [5; 32], ..good.clone() }),
        key(OFFICER).sign(DeskCall { time: Timestamp(now.0 - 301), ..good }),
    ];
    let calls: Vec<Vec<u8>> = calls.iter().map(Signed::to_bytes).chain([Vec::new()]).collect();
    for call in calls {
        for passcode in ["wrong horse", "correct horse"] {
            assert_eq!(office.sign_in_with(officer(), passcode, call.clone()).await.0, 401);
        }
    }
    assert_eq!(office.sign_in(OFFICER, "correct horse").await.0, 200, "ten of them lock nobody out");
    office.tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_session_shows_two_factors_for_one_request_for_half_an_hour() {
    let office = office().await;
    let (status, body) = office.sign_in(OFFICER, "correct horse").await;
    assert_eq!(status, 200);
    let given: SessionGiven = serde_json::from_slice(&body).unwrap();
    let object = SignedObject::parse(&given.session.0).unwrap();
    let factors = BTreeSet::from(["pwd".to_owned(), "swk".to_owned()]);
    let shows = |digest: [u8; 32], at| verify_session(&object, &office.desk_key, &digest, &factors, Timestamp(at));
    let now = 1_800_000_000;
    assert!(shows([4; 32], now + 1_800).unwrap());
    assert!(!shows([5; 32], now).unwrap(), "for another request it shows nothing");
    assert!(!shows([4; 32], now + 1_801).unwrap());
    assert!(!String::from_utf8(given.session.0).unwrap().contains("correct horse"));
    office.tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn five_bad_passcodes_lock_the_key_for_ten_minutes_and_no_longer() {
    let office = office().await;
    assert_eq!(office.sign_in([8; 32], "correct horse").await.0, 401, "an unknown key");
    for _ in 0..4 {
        assert_eq!(office.sign_in(OFFICER, "wrong horse").await.0, 401);
    }
    assert_eq!(office.sign_in(OFFICER, "correct horse").await.0, 200, "a good one wipes the slate");
    for _ in 0..5 {
        assert_eq!(office.sign_in(OFFICER, "wrong horse").await.0, 401);
    }
    assert_eq!(office.sign_in(OFFICER, "correct horse").await.0, 429);
    office.clock.advance(Duration::from_secs(599));
    assert_eq!(office.sign_in(OFFICER, "correct horse").await.0, 429);
    office.clock.advance(Duration::from_secs(1));
    assert_eq!(office.sign_in(OFFICER, "correct horse").await.0, 200);
    office.roster.set_active(&officer(), false).unwrap();
    assert_eq!(office.sign_in(OFFICER, "correct horse").await.0, 401, "revoked: in force at once");
    office.tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn what_is_no_request_of_an_owner_known_here_is_refused() {
    let office = office().await;
    let nothing = json!({"filed": "", "openings": [], "attachments": [], "session": null});
    assert_eq!(office.post("/v1/desk/requests", &nothing).await.0, 400);
    let unknown = format!("/v1/desk/requests/{}/disclosure", "00".repeat(32));
    let claim = json!({"cells": 0, "others": 0, "outcome": "none", "signed": B64(vec![0; 64])});
    assert_eq!(office.post(&unknown, &claim).await.0, 404);
    assert_eq!(office.post("/v1/desk/requests/zz/disclosure", &claim).await.0, 404);
    let named = json!({"keeper": 1, "call": ""});
    assert_eq!(office.post(&format!("/v1/desk/requests/{}/culprits", "00".repeat(32)), &named).await.0, 404);
    office.tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_desk_works_on_so_many_requests_and_no_more() {
    let office = office().await;
    let digest = |number: usize| {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        digest
    };
    let begin = |number| {
        let job = Job { flags: Vec::new(), again: false, wake: Arc::default() };
        locked(&office.desk.inner.jobs).insert(digest(number), job);
    };
    (1..UNDER_WAY_MAX).for_each(begin);
    assert!(office.desk.has_room(&digest(0)), "the last place");
    begin(0);
    assert!(!office.desk.has_room(&digest(UNDER_WAY_MAX)));
    assert!(office.desk.has_room(&digest(7)), "one that is under way comes again");
    office.desk.forget(&digest(7));
    assert!(office.desk.has_room(&digest(UNDER_WAY_MAX)));
    office.tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn one_keeper_gets_so_many_calls_at_a_time() {
    use crate::http::{Limits, ListenOn, Server, TlsMode};
    use std::sync::atomic::{AtomicUsize, Ordering};

    let tasks = Tasks::new();
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let slow = |State(counts): State<Arc<(AtomicUsize, AtomicUsize)>>| async move {
        let now = counts.0.fetch_add(1, Ordering::Relaxed) + 1;
        counts.1.fetch_max(now, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        counts.0.fetch_sub(1, Ordering::Relaxed);
        Json(Done {})
    };
    let on = ListenOn { addr: "127.0.0.1:0".parse().unwrap(), tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, Limits::default()).await.unwrap();
    let address = format!("http://{}", server.local_addr());
    server.serve(Router::new().route("/slow", post(slow)).with_state(Arc::clone(&counts)), &tasks);
    let client = PeerClient::new(&address, PeerTrust::PlainLoopback, CallLimits::default()).unwrap();
    let keeper = KeeperClient { client, turns: Semaphore::new(CALLS_A_KEEPER) };
    let calls = (0..5 * CALLS_A_KEEPER).map(|_| keeper.post_json::<_, Done>("/slow", &Done {}));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(counts.1.load(Ordering::Relaxed), CALLS_A_KEEPER);
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}

//! Witnessing over real HTTP on loopback: every refusal of the witness's doors, forks and suspicions, and three keepers as one
//! town that witness each other: what is told only with its quorum, what waits, and which copies of a log do not start.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use lockplate_core::charter::LogName;
use lockplate_core::entry::request_outcome;
use lockplate_core::vocabulary::{Basis, Purpose};
use lockplate_log::witness::read_answer;
use lockplate_log::{
    AddCheckpoint, Cosignature, CosignatureSigner, Entry, Hash, Log, NoteSigner, Origin, SignedCheckpoint,
    WitnessRecord,
};
use lockplate_node::api::{AnswerState, KeeperAnswer};
use lockplate_node::client::{CallLimits, PeerClient, PeerTrust, RawAnswer};
use lockplate_node::clock::{Clock as _, TestClock};
use lockplate_node::cosign::NotStarted;
use lockplate_node::follow::evidence::Verdict;
use lockplate_node::http::{Limits, ListenOn, Server, TlsMode};
use lockplate_node::keeper::KeeperError;
use lockplate_node::keeper::restore::{self, RestoreError};
use lockplate_node::log_door::{self, LogDoor};
use lockplate_node::problem::ProblemKind;
use lockplate_node::shutdown::Tasks;
use lockplate_node::witness::{LogStanding, Mirror, Shown, TileSource, WatchedLog, Witness};
use lockplate_store::log_files::FileLogStorage;
use lockplate_store::witness_files::record_id;
use tempfile::TempDir;

use crate::keeper::{NOW, Town, post, problem};

const LOG: &str = "k1.example/log/keeper";

/// A leaf of nothing in particular.
struct Said(u64);

impl Entry for Said {
    fn leaf(&self) -> Vec<u8> {
        format!("said {}", self.0).into_bytes()
    }

    fn time(&self) -> u64 {
        NOW
    }
}

fn log_signer() -> NoteSigner {
    NoteSigner::new(Origin::parse(LOG).unwrap(), &[7; 32]).unwrap()
}

/// The log with `shared` leaves, then one of its own kind.
fn log_of(folder: &Path, shared: u64, branch: u64) -> Log<FileLogStorage> {
    let storage = FileLogStorage::acquire(folder, &Origin::parse(LOG).unwrap()).unwrap();
    let mut log = Log::create(storage, log_signer()).unwrap();
    drop(log.append_batch((0..shared).map(Said).collect()).unwrap());
    if branch > 0 {
        drop(log.append(Said(1_000 + branch)).unwrap());
    }
    log
}

fn body(log: &Log<FileLogStorage>, old: u64) -> Vec<u8> {
    let proof = log.consistency_proof(old, log.size()).unwrap();
    AddCheckpoint::new(&proof, log.head()).unwrap().to_bytes()
}

struct Office {
    folder: TempDir,
    clock: Arc<TestClock>,
    witness: Witness,
    client: PeerClient,
    tasks: Tasks,
}

fn witness_signer() -> CosignatureSigner {
    CosignatureSigner::new(Origin::parse("k2.example/witness").unwrap(), &[9; 32]).unwrap()
}

async fn serve(router: Router, tasks: &Tasks) -> String {
    let on = ListenOn { addr: "127.0.0.1:0".parse().unwrap(), tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, Limits::default()).await.unwrap();
    let url = format!("http://{}", server.local_addr());
    server.serve(router, tasks);
    url
}

impl Office {
    async fn open(folder: TempDir, tiles: Option<TileSource>, mirrored: bool) -> Self {
        let clock = Arc::new(TestClock::new(i64::try_from(NOW * 1_000).unwrap()));
        let tasks = Tasks::new();
        let watched = vec![WatchedLog { key: log_signer().verifier_key().clone(), tiles }];
        let mirror = mirrored.then(|| Mirror::open(&folder.path().join("mirror"), &watched, &tasks).unwrap());
        let copies = mirror.as_ref().map(Mirror::routes).unwrap_or_default();
        let records = folder.path().join("witness");
        let witness = Witness::open(&records, witness_signer(), watched, mirror, clock.clone(), &tasks).unwrap();
        let url = serve(witness.routes().merge(copies), &tasks).await;
        let client = PeerClient::new(&url, PeerTrust::PlainLoopback, CallLimits::default()).unwrap();
        Self { folder, clock, witness, client, tasks }
    }

    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), None, false).await
    }

    async fn add(&self, body: impl Into<Bytes>) -> RawAnswer {
        self.client.post_raw("/witness/add-checkpoint", body.into()).await.unwrap()
    }

    async fn status(&self, body: impl Into<Bytes>) -> u16 {
        self.add(body).await.status
    }

    /// The size that is recorded, as strangers read it.
    async fn recorded(&self) -> Option<u64> {
        let id = record_id(&Origin::parse(LOG).unwrap());
        let answer = self.client.get_raw(&format!("/witness/{id}/checkpoint")).await.unwrap();
        if answer.status == 404 {
            return None;
        }
        let key = log_signer().verifier_key().clone();
        let record = WitnessRecord::parse(&answer.body, &key, witness_signer().verifier_key()).unwrap();
        Some(record.checkpoint().size())
    }

    /// What strangers are shown against the log; each file convicts it.
    async fn shown(&self) -> Shown {
        let id = record_id(&Origin::parse(LOG).unwrap());
        let shown: Shown = self.client.get_json(&format!("/witness/{id}/evidence"), &[]).await.unwrap();
        let key = log_signer().verifier_key().clone();
        assert!(shown.forks.iter().all(|fork| fork.check() == Ok(Verdict::Forked(Box::new(key.clone())))), "{shown:?}");
        shown
    }

    async fn standing(&self) -> LogStanding {
        self.witness.standings().await.unwrap().remove(0)
    }

    /// Waits for what a task of the witness does; the caller asserts it.
    async fn until(&self, done: impl Fn(&LogStanding) -> bool) {
        for _tenth in 0..100 {
            if done(&self.standing().await) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn close(self) -> TempDir {
        let Self { folder, witness, client, tasks, .. } = self;
        tasks.finish(Duration::from_secs(20)).await.unwrap();
        drop((witness, client));
        folder
    }
}

fn cosigned(answer: &RawAnswer, head: &SignedCheckpoint) -> Cosignature {
    assert_eq!(answer.status, 200, "{answer:?}");
    read_answer(&answer.body, witness_signer().verifier_key(), head.checkpoint(), NOW).unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_is_cosigned_and_every_bad_request_has_its_status() {
    let logs = tempfile::tempdir().unwrap();
    let mut log = log_of(logs.path(), 5, 0);
    let office = Office::new().await;
    assert_eq!(office.recorded().await, None, "never cosigned is 404");
    let unknown = office.client.get_raw(&format!("/witness/{}/checkpoint", "0".repeat(64))).await.unwrap();
    assert_eq!(unknown.status, 404);

    // A proof where none belongs.
    let text = String::from_utf8(body(&log, 0)).unwrap();
    let with_proof = text.replacen("old 0\n", &format!("old 0\n{}\n", Hash::empty().to_base64()), 1);
    assert_eq!(office.status(with_proof).await, 422);
    assert_eq!(office.recorded().await, None);

    assert_eq!(cosigned(&office.add(body(&log, 0)).await, log.head()).time(), NOW);
    assert_eq!(office.recorded().await, Some(5));

    // In the order of the page: 400, 404, 403, 400, 409, 422.
    assert_eq!(office.status("old 5\n\nnothing of a note").await, 400);
    assert_eq!(office.status(text.replacen("old 0", "old 05", 1)).await, 400);
    assert_eq!(office.status(vec![b'x'; 65 * 1024]).await, 413);
    let stranger = tempfile::tempdir().unwrap();
    let name = Origin::parse("stranger.example/log/keeper").unwrap();
    let foreign = FileLogStorage::acquire(stranger.path(), &name).unwrap();
    let mut foreign = Log::create(foreign, NoteSigner::new(name, &[8; 32]).unwrap()).unwrap();
    drop(foreign.append(Said(1)).unwrap());
    assert_eq!(office.status(body(&foreign, 0)).await, 404);
    let other = tempfile::tempdir().unwrap();
    let same_name = FileLogStorage::acquire(other.path(), &Origin::parse(LOG).unwrap()).unwrap();
    let mut wrong_key =
        Log::create(same_name, NoteSigner::new(Origin::parse(LOG).unwrap(), &[8; 32]).unwrap()).unwrap();
    drop(wrong_key.append(Said(1)).unwrap());
    assert_eq!(office.status(body(&wrong_key, 0)).await, 403);
    assert_eq!(office.status(text.replacen("old 0", "old 6", 1)).await, 400, "above the size");
    let conflict = office.add(body(&log, 0)).await;
    assert_eq!((conflict.status, conflict.body.as_ref()), (409, b"5\n".as_ref()));
    assert_eq!(conflict.media_type.as_deref(), Some("text/x.tlog.size"));
    drop(log.append_batch((5..9).map(Said).collect()).unwrap());
    let good = String::from_utf8(body(&log, 5)).unwrap();
    let mut lines: Vec<&str> = good.lines().collect();
    let zero = Hash::empty().to_base64();
    lines[1] = &zero;
    assert_eq!(office.status(lines.join("\n") + "\n").await, 422, "a proof that does not lead there");
    assert_eq!(office.recorded().await, Some(5));
    // Of the two wrong proofs one is about what is recorded now: it is dropped. Nobody shows the tiles of the other.
    office.until(|standing| standing.evidence == 1).await;
    let standing = office.standing().await;
    assert!(!standing.frozen && standing.evidence == 1, "anybody can send a wrong proof: {standing:?}");

    // The log itself goes on, and refreshes its time.
    cosigned(&office.add(good).await, log.head());
    office.clock.advance(Duration::from_secs(60));
    let again = office.add(body(&log, 9)).await;
    let (_, cosignature) =
        read_answer(&again.body, witness_signer().verifier_key(), log.head().checkpoint(), NOW + 60).unwrap();
    assert_eq!(cosignature.time(), NOW + 60);
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_never_goes_back_in_a_race_a_restart_or_time() {
    let logs = tempfile::tempdir().unwrap();
    let mut log = log_of(logs.path(), 1, 0);
    let office = Office::new().await;
    cosigned(&office.add(body(&log, 0)).await, log.head());
    let mut recorded = 1;
    for round in 0..4_u64 {
        // Two heads that both extend what is recorded: one of them wins, or the larger after the smaller.
        office.clock.advance(Duration::from_secs(1));
        let old = log.size();
        drop(log.append(Said(10 + round)).unwrap());
        let small = body(&log, old);
        drop(log.append(Said(20 + round)).unwrap());
        let large = body(&log, old);
        let (one, two) = tokio::join!(office.add(small), office.add(large));
        assert!(one.status == 200 || two.status == 200, "{one:?} {two:?}");
        let now = office.recorded().await.unwrap();
        assert!(now > recorded);
        recorded = now;
        let answer = office.add(body(&log, recorded)).await;
        cosigned(&answer, log.head());
        recorded = log.size();
    }

    // The answer was lost: the record is there after a restart, and the same request finds it.
    drop(log.append(Said(99)).unwrap());
    let lost = body(&log, recorded);
    assert_eq!(office.status(lost.clone()).await, 200);
    let folder = office.close().await;
    let office = Office::open(folder, None, false).await;
    office.clock.advance(Duration::from_secs(10));
    assert_eq!(office.recorded().await, Some(log.size()));
    let conflict = office.add(lost).await;
    assert_eq!((conflict.status, conflict.body.as_ref()), (409, format!("{}\n", log.size()).as_bytes()));
    cosigned(&office.add(body(&log, log.size())).await, log.head());
    let folder = office.close().await;

    // A clock behind the last cosignature cosigns nothing.
    let office = Office::open(folder, None, false).await;
    office.clock.jump_to(i64::try_from((NOW - 10) * 1_000).unwrap());
    assert_eq!(office.status(body(&log, log.size())).await, 503);
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_freezes_the_log_until_a_person_clears_it() {
    let (honest, forked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut log = log_of(honest.path(), 4, 1);
    let fork = log_of(forked.path(), 4, 2);
    let office = Office::new().await;
    cosigned(&office.add(body(&log, 0)).await, log.head());
    // One size, two roots, both signed: proof, whoever sends it.
    let answer = office.add(body(&fork, 5)).await;
    assert_eq!((answer.status, answer.media_type.as_deref()), (409, Some("text/plain")));
    let standing = office.standing().await;
    assert!(standing.frozen && standing.evidence == 1, "{standing:?}");
    let shown = office.shown().await;
    assert!(shown.frozen && shown.forks.len() == 1, "{shown:?}");
    drop(log.append(Said(9)).unwrap());
    assert_eq!(office.status(body(&log, 5)).await, 403, "nothing of this log any more");
    let other = record_id(&Origin::parse("nobody.example/log/keeper").unwrap());
    assert_eq!(office.client.get_raw(&format!("/witness/{other}/evidence")).await.unwrap().status, 404);
    let folder = office.close().await;
    let office = Office::open(folder, None, false).await;
    assert_eq!(office.status(body(&log, 5)).await, 403, "a restart forgives nothing");
    assert!(office.witness.clear("nobody.example/log/keeper").await.is_err());
    assert_eq!(office.witness.clear(LOG).await, Ok(true));
    assert_eq!(office.witness.clear(LOG).await, Ok(false));
    cosigned(&office.add(body(&log, 5)).await, log.head());
    assert_eq!(office.standing().await.evidence, 1, "the evidence stays");
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspicion_becomes_proof_by_the_logs_own_tiles_and_by_nothing_else() {
    let (honest, forked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = log_of(honest.path(), 4, 1);
    let mut fork = log_of(forked.path(), 4, 2);
    drop(fork.append(Said(50)).unwrap());
    // The log's server shows the tree that does not extend what was cosigned.
    let tiles = Tasks::new();
    let door = log_door::routes("/log/keeper", LogDoor::new(fork.storage().public(), None));
    let url = serve(door, &tiles).await;
    let source = TileSource::new(&url, PeerTrust::PlainLoopback, "/log/keeper").unwrap();
    let office = Office::open(tempfile::tempdir().unwrap(), Some(source), false).await;
    cosigned(&office.add(body(&log, 0)).await, log.head());
    assert_eq!(office.status(body(&fork, 5)).await, 422);
    office.until(|standing| standing.frozen).await;
    assert!(office.standing().await.frozen, "the tiles convict it");
    assert_eq!(office.shown().await.forks.len(), 1, "a larger tree, with the proof of how it begins");
    office.close().await;

    // The same with an honest log and a stranger who sends a wrong proof.
    drop(log);
    let mut log = log_of(tempfile::tempdir().unwrap().keep().as_path(), 5, 0);
    let door = log_door::routes("/log/keeper", LogDoor::new(log.storage().public(), None));
    let url = serve(door, &tiles).await;
    let source = TileSource::new(&url, PeerTrust::PlainLoopback, "/log/keeper").unwrap();
    let office = Office::open(tempfile::tempdir().unwrap(), Some(source), false).await;
    cosigned(&office.add(body(&log, 0)).await, log.head());
    drop(log.append(Said(60)).unwrap());
    let good = String::from_utf8(body(&log, 5)).unwrap();
    let mut lines: Vec<&str> = good.lines().collect();
    let zero = Hash::empty().to_base64();
    lines[1] = &zero;
    assert_eq!(office.status(lines.join("\n") + "\n").await, 422);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let standing = office.standing().await;
    assert!(!standing.frozen, "a stranger's proof convicts nobody");
    assert_eq!(standing.evidence, 0, "it was found to be of the log, and dropped");
    cosigned(&office.add(good).await, log.head());
    office.close().await;
    tiles.finish(Duration::from_secs(20)).await.unwrap();
}

/// A suspicion about more than is recorded, whose tiles nobody has: when the record has grown to its size, the two are the proof.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspicion_is_looked_at_again_when_the_record_grows() {
    let (honest, forked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut log = log_of(honest.path(), 4, 1);
    let mut fork = log_of(forked.path(), 4, 2);
    drop(fork.append(Said(50)).unwrap());
    let office = Office::new().await;
    cosigned(&office.add(body(&log, 0)).await, log.head());
    assert_eq!(office.status(body(&fork, 5)).await, 422);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!office.standing().await.frozen, "nobody shows tiles");
    drop(log.append(Said(60)).unwrap());
    cosigned(&office.add(body(&log, 5)).await, log.head());
    office.until(|standing| standing.frozen).await;
    let shown = office.shown().await;
    assert!(shown.frozen && shown.forks.len() == 1, "{shown:?}");
    // Cleared by a person, the proof is not held against the log a second time.
    assert_eq!(office.witness.clear(LOG).await, Ok(true));
    drop(log.append(Said(61)).unwrap());
    cosigned(&office.add(body(&log, 6)).await, log.head());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!office.standing().await.frozen);
    office.close().await;
}

/// What a mirror has copied and serves, its witness stands for as well, also before it has cosigned it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_convicts_by_what_the_log_published() {
    let (honest, forked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut log = log_of(honest.path(), 4, 1);
    log.publish(&log.head().clone(), &[]).unwrap();
    let fork = log_of(forked.path(), 4, 2);
    let tasks = Tasks::new();
    let door = log_door::routes("/log/keeper", LogDoor::new(log.storage().public(), None));
    let url = serve(door, &tasks).await;
    let source = TileSource::new(&url, PeerTrust::PlainLoopback, "/log/keeper").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let watched = vec![WatchedLog { key: log_signer().verifier_key().clone(), tiles: Some(source.clone()) }];
    let mirror = Mirror::open(&folder.path().join("mirror"), &watched, &tasks).unwrap();
    mirror.follow(log_signer().verifier_key(), &source).await.unwrap();
    drop(mirror);
    let office = Office::open(folder, Some(source), true).await;
    assert_eq!(office.status(body(&fork, 0)).await, 429, "not cosigned");
    let shown = office.shown().await;
    assert!(shown.frozen && shown.forks.len() == 1, "{shown:?}");
    office.close().await;
    tasks.finish(Duration::from_secs(20)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_cosigns_only_what_it_holds_and_serves_it() {
    let logs = tempfile::tempdir().unwrap();
    let mut log = log_of(logs.path(), 300, 0);
    let tiles = Tasks::new();
    let public = log.storage().public();
    let url = serve(log_door::routes("/log/keeper", LogDoor::new(public.clone(), None)), &tiles).await;
    let source = TileSource::new(&url, PeerTrust::PlainLoopback, "/log/keeper").unwrap();
    let office = Office::open(tempfile::tempdir().unwrap(), Some(source), true).await;
    cosigned(&office.add(body(&log, 0)).await, log.head());
    let id = record_id(&Origin::parse(LOG).unwrap());
    let full = office.client.get_raw(&format!("/mirror/{id}/tile/entries/000")).await.unwrap();
    assert_eq!(
        (full.status, full.body.as_ref()),
        (200, std::fs::read(public.join("tile/entries/000")).unwrap().as_slice())
    );

    // A file is gone at the log: the head that needs it is not cosigned, and nothing is recorded.
    drop(log.append_batch((300..520).map(Said).collect()).unwrap());
    let gone = public.join("tile/entries/001");
    let kept = std::fs::read(&gone).unwrap();
    std::fs::remove_file(&gone).unwrap();
    assert_eq!(office.status(body(&log, 300)).await, 429);
    assert_eq!(office.recorded().await, Some(300));
    // It is altered: the same.
    let mut altered = kept.clone();
    altered[100] ^= 1;
    write(&gone, &altered);
    assert_eq!(office.status(body(&log, 300)).await, 429);
    assert_eq!(office.recorded().await, Some(300));
    write(&gone, &kept);
    cosigned(&office.add(body(&log, 300)).await, log.head());

    // The newest head is served from that moment, though the log has not published it.
    let shown = office.client.get_raw(&format!("/mirror/{id}/checkpoint")).await.unwrap();
    let record =
        WitnessRecord::parse(&shown.body, log_signer().verifier_key(), witness_signer().verifier_key()).unwrap();
    assert_eq!(record.checkpoint(), log.head().checkpoint());
    office.close().await;
    tiles.finish(Duration::from_secs(20)).await.unwrap();
}

fn write(path: &Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
}

/// Every checkpoint that a keeper of the town shows has the quorum of the charter, and covers so many leaves.
async fn confirmed(town: &Town, place: usize) -> u64 {
    let index = town.charter.charter().keepers[place].index;
    let policy = town.charter.charter().witness_policy(&LogName::Keeper(index)).unwrap();
    let note = town.keepers()[place].get_bytes("/log/keeper/checkpoint", &[]).await.unwrap();
    let now = u64::try_from(town.clock.now_ms() / 1_000).unwrap();
    policy.check(&note, now).unwrap().signed.checkpoint().size()
}

fn stolen(town: &Town) -> crate::keeper::Searched {
    town.ask(Purpose::StolenVehicle, Basis::None, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_waits_for_the_quorum_of_its_leaf_and_the_same_request_goes_on_when_it_is_there() {
    let mut town = Town::new().await;
    let keepers = town.keepers();

    // All there; then one of the two others away: still enough.
    let first = stolen(&town);
    for (place, keeper) in keepers.iter().enumerate() {
        let answer: KeeperAnswer = post(keeper, "/v1/requests", &first.body[place]).await.unwrap();
        assert!(confirmed(&town, place).await > answer.register, "what is told is confirmed");
    }
    town.stop(2).await;
    let second = stolen(&town);
    let answer: KeeperAnswer = post(&keepers[0], "/v1/requests", &second.body[0]).await.unwrap();
    assert!(confirmed(&town, 0).await > answer.register);

    // Both away: nothing is told, the leaf stays, strangers do not see it.
    town.stop(1).await;
    let shown = confirmed(&town, 0).await;
    let third = stolen(&town);
    let refused = post::<_, KeeperAnswer>(&keepers[0], "/v1/requests", &third.body[0]).await;
    assert_eq!(problem(refused), ProblemKind::LogUnwitnessed);
    assert_eq!(confirmed(&town, 0).await, shown);
    // The keeper itself restarts with nobody there: it signs nothing, and answers 503.
    town.stop(0).await;
    let mut alone = town.begin(0).await;
    let waiting = tokio::time::timeout(Duration::from_millis(700), alone.ready()).await;
    assert!(waiting.is_err(), "it waits");
    let refused = post::<_, KeeperAnswer>(&keepers[0], "/v1/requests", &third.body[0]).await;
    assert_eq!(problem(refused), ProblemKind::Unavailable);

    // All start again, at once.
    let (mut one, mut two) = (town.begin(1).await, town.begin(2).await);
    one.ready().await.unwrap();
    two.ready().await.unwrap();
    alone.ready().await.unwrap();
    let answer: KeeperAnswer = post(&keepers[0], "/v1/requests", &third.body[0]).await.unwrap();
    assert_eq!(answer.register, shown, "the leaf of the first time");
    assert_ne!(answer.state, AnswerState::Waiting);
    let digest = third.filed.request.signed_hash();
    let leaves = town.leaves(0).await;
    let mine = leaves.iter().filter(|leaf| request_outcome(leaf).is_some_and(|outcome| outcome.request == digest));
    assert_eq!(mine.count(), 1, "no second leaf");
    for place in 0..3 {
        town.stop(place).await;
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_of_a_log_does_not_start_until_what_is_missing_is_brought_back() {
    let mut town = Town::new().await;
    let keepers = town.keepers();
    let asked = stolen(&town);
    let _answer: KeeperAnswer = post(&keepers[0], "/v1/requests", &asked.body[0]).await.unwrap();
    town.stop(0).await;
    let (data, old) = (town.data(0), town.folder.path().join("old"));
    copy(&data, &old);
    town.start(0).await;
    let newer = stolen(&town);
    let told: KeeperAnswer = post(&keepers[0], "/v1/requests", &newer.body[0]).await.unwrap();
    town.stop(0).await;

    // Yesterday's disk: perfect by itself.
    let new = town.folder.path().join("new");
    std::fs::rename(&data, &new).unwrap();
    copy(&old, &data);
    let head = std::fs::read(head_of(&data)).unwrap();
    let mut started = town.begin(0).await;
    let refused = started.ready().await.unwrap_err();
    assert!(matches!(refused, KeeperError::NotStarted(NotStarted::OldCopy { .. })), "{refused:?}");
    assert!(refused.to_string().contains("old copy") && refused.to_string().contains("restore"), "{refused}");
    assert_eq!(refused.exit_kind().code(), 3);
    town.stop(0).await;
    assert_eq!(std::fs::read(head_of(&data)).unwrap(), head, "nothing was signed");

    // A new log under the old key is refused as well.
    std::fs::remove_dir_all(data.join("log")).unwrap();
    std::fs::remove_file(data.join("keeper.db")).unwrap();
    let mut started = town.begin(0).await;
    let refused = started.ready().await.unwrap_err();
    assert!(matches!(refused, KeeperError::NotStarted(NotStarted::OldCopy { .. })), "{refused:?}");
    town.stop(0).await;
    assert!(!data.join("keeper.db").exists(), "and leaves nothing behind that stops the next start");

    // Nothing comes from a copy that is smaller, altered, or of another log.
    std::fs::remove_dir_all(&data).unwrap();
    copy(&new, &data);
    let mirrors = Tasks::new();
    let (whole, less) = (public_of(&new), public_of(&old));
    let whole_url = serve(log_door::routes("/mirror/1", LogDoor::new(whole.clone(), None)), &mirrors).await;
    let less_url = serve(log_door::routes("/mirror/1", LogDoor::new(less, None)), &mirrors).await;
    let bring_back = async |town: &Town, url: &str| {
        restore::restore(town.settings_of(0), &format!("{url}/mirror/1"), None, town.clock.as_ref()).await
    };
    let refused = bring_back(&town, &less_url).await.unwrap_err();
    assert!(matches!(refused, RestoreError::Smaller), "{refused:?}");
    std::fs::remove_dir_all(data.join("restore")).unwrap();

    // Yesterday's disk and today's copy: the keeper goes on, and what it told stands.
    std::fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);
    let restored = bring_back(&town, &whole_url).await.unwrap();
    assert!(restored.after > restored.before, "{restored:?}");
    assert_eq!(std::fs::read(head_of(&data)).unwrap(), std::fs::read(head_of(&new)).unwrap(), "the very head");
    town.start(0).await;
    let again: KeeperAnswer = post(&keepers[0], "/v1/requests", &newer.body[0]).await.unwrap();
    assert_eq!((again.register, again.state), (told.register, told.state), "by the leaf that came back");
    mirrors.finish(Duration::from_secs(20)).await.unwrap();
    for place in 0..3 {
        town.stop(place).await;
    }
}

fn head_of(data: &Path) -> std::path::PathBuf {
    let log = std::fs::read_dir(data.join("log")).unwrap().next().unwrap().unwrap();
    log.path().join("head")
}

fn public_of(data: &Path) -> std::path::PathBuf {
    head_of(data).with_file_name("public")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filings_that_come_together_are_each_answered_once_and_a_bad_one_fails_alone() {
    let mut town = Town::new().await;
    let keeper = town.keepers().remove(0);
    let before = confirmed(&town, 0).await;
    let filings: Vec<_> = (0..6).map(|_| stolen(&town)).collect();
    let mut bodies: Vec<_> = filings.iter().map(|filing| filing.body[0].clone()).collect();
    bodies.push(filings[0].body[0].clone());
    let mut spoilt = stolen(&town).body.remove(0);
    spoilt.session = None;
    bodies.push(spoilt);
    let answers = bodies.iter().map(async |body| post::<_, KeeperAnswer>(&keeper, "/v1/requests", body).await);
    let mut answers = futures_util::future::join_all(answers).await;
    assert_eq!(problem(answers.pop().unwrap()), ProblemKind::NotSignedIn, "its slip is for another filing");
    let again = answers.pop().unwrap().unwrap();
    let answers: Vec<KeeperAnswer> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(again, answers[0], "a repeat in the same moment has the same answer");
    let mut registers: Vec<u64> = answers.iter().map(|answer| answer.register).collect();
    registers.sort_unstable();
    assert_eq!(registers, (before..before + 6).collect::<Vec<_>>(), "a leaf each, and none twice");
    assert_eq!(confirmed(&town, 0).await, before + 6);
    for place in 0..3 {
        town.stop(place).await;
    }
}

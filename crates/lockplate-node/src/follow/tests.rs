use super::evidence::{EVIDENCE_FILES_MAX, NotEvidence, Verdict};
use super::*;
use crate::http::{Limits, ListenOn, Server, TlsMode};
use crate::log_door::{LogDoor, routes};
use crate::shutdown::Tasks;
use lockplate_log::{CosignatureSigner, Entry, Log, NoteSignature, NoteSigner, Origin};
use lockplate_store::log_files::FileLogStorage;
use std::io::Write as _;

const ORIGIN: &str = "clerk.millbrook.example/log/keeper";
const NOW: u64 = 1_795_000_000;

struct Line(String);

impl Entry for Line {
    fn leaf(&self) -> Vec<u8> {
        self.0.clone().into_bytes()
    }
    fn time(&self) -> u64 {
        NOW
    }
}

fn witness(name: &str, seed: u8) -> CosignatureSigner {
    CosignatureSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap()
}

fn witnesses() -> [CosignatureSigner; 2] {
    [witness("court.millbrook.example/witness", 1), witness("paper.example/witness", 2)]
}

fn policy(quorum: &str) -> WitnessPolicy {
    let log = NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[9; 32]).unwrap();
    let [court, paper] = witnesses().map(|witness| witness.verifier_key().to_string());
    let text = format!(
        "log {}\nwitness court {court}\nwitness paper {paper}\ngroup both all court paper\nquorum {quorum}\n",
        log.verifier_key()
    );
    WitnessPolicy::parse(&text).unwrap()
}

/// A log on a disk, whose public folder is served.
struct Town {
    _folder: tempfile::TempDir,
    log: Log<FileLogStorage>,
    public: PathBuf,
    written: u64,
    _tasks: Tasks,
    url: String,
}

impl Town {
    async fn new() -> Self {
        Self::saying("").await
    }

    /// A log of the same key whose leaves say something else.
    async fn saying(word: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signer = NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[9; 32]).unwrap();
        let storage = FileLogStorage::acquire(folder.path(), &Origin::parse(ORIGIN).unwrap()).unwrap();
        let public = storage.public();
        let mut log = Log::create(storage, signer).unwrap();
        log.append(Line(format!("the first leaf {word}"))).map(drop).unwrap();
        let server =
            Server::bind(ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::PlainLoopback }, Limits::default());
        let (server, tasks) = (server.await.unwrap(), Tasks::new());
        let url = format!("http://{}/log/keeper", server.local_addr());
        server.serve(routes("/log/keeper", LogDoor::new(public.clone(), None)), &tasks);
        Self { _folder: folder, log, public, written: 1, _tasks: tasks, url }
    }

    fn grow_to(&mut self, size: u64) -> &mut Self {
        while self.written < size {
            let end = size.min(self.written + 4_000);
            let lines = (self.written..end).map(|index| Line(format!("leaf {index}"))).collect();
            self.log.append_batch(lines).map(drop).unwrap();
            self.written = end;
        }
        self
    }

    fn publish_at(&mut self, time: u64) -> &mut Self {
        let head = self.log.head().clone();
        let lines: Vec<NoteSignature> =
            witnesses().iter().map(|witness| witness.cosign(head.checkpoint(), time).unwrap()).collect();
        self.log.publish(&head, &lines).unwrap();
        self
    }

    fn source(&self) -> LogSource {
        self.source_for(Reader::RelyingParty)
    }

    fn source_for(&self, reader: Reader) -> LogSource {
        LogSource { prefix_url: self.url.clone(), trust: PeerTrust::PlainLoopback, policy: policy("both"), reader }
    }

    fn served(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.public.join(file)).unwrap()
    }

    fn serve(&self, file: &str, bytes: &[u8]) {
        std::fs::File::create(self.public.join(file)).unwrap().write_all(bytes).unwrap();
    }

    fn flip(&self, file: &str, at: usize) {
        let mut bytes = self.served(file);
        bytes[at] ^= 1;
        self.serve(file, &bytes);
    }
}

fn lie(result: Result<Followed, FollowError>) -> (Lie, PathBuf) {
    match result.unwrap_err() {
        FollowError::Lied { lie, evidence } => (lie, evidence),
        other => panic!("no lie: {other:?}"),
    }
}

fn verdict(evidence: &Path) -> Result<Verdict, NotEvidence> {
    Evidence::parse(&std::fs::read(evidence).unwrap()).unwrap().check()
}

fn key() -> Box<VerifierKey> {
    Box::new(NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[9; 32]).unwrap().verifier_key().clone())
}

#[tokio::test]
async fn a_log_is_followed_as_it_grows() {
    let mut town = Town::new().await;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made/here");
    assert!(matches!(follow(&town.source(), &dir, NOW).await.unwrap_err(), FollowError::Unpublished));
    let mut before = None;
    for size in [1, 2, 255, 256, 257, 300, 300, 1_000, 9_000] {
        town.grow_to(size).publish_at(NOW);
        let followed = follow(&town.source(), &dir, NOW).await.unwrap();
        assert_eq!(followed.checkpoint().size(), size);
        assert_eq!(followed.old().map(Checkpoint::size), before);
        assert_eq!(followed.new_leaves(), before.unwrap_or(0)..size);
        assert_eq!(followed.freshness(NOW), Freshness::Fresh);
        assert_eq!(followed.cosigned().cosignatures.len(), 2);
        for index in [0, size / 2, size - 1] {
            assert_eq!(followed.view().leaf(index).unwrap(), town.log.leaf(index).unwrap());
        }
        before = Some(size);
        let saved = open(&dir, &policy("both"), Reader::RelyingParty, NOW).unwrap();
        assert_eq!(saved.checkpoint(), followed.checkpoint());
    }
    assert_eq!(std::fs::read(dir.join("checkpoint")).unwrap(), town.served("checkpoint"));
    assert_eq!(std::fs::read_to_string(dir.join("policy")).unwrap(), policy("both").to_text());
    let old = open(&dir, &policy("both"), Reader::RelyingParty, NOW).unwrap().old().map(Checkpoint::size);
    assert_eq!(old, Some(1_000));
    let partials: Vec<_> = ["tile/0/001.p/1", "tile/0/001.p/44", "tile/0/003.p/232", "tile/0/035.p/40"]
        .map(|path| dir.join(path).exists())
        .into();
    assert_eq!(partials, [false, false, true, true], "only those of the two checkpoints are kept");
    assert!(!dir.join("evidence").exists());
}

#[tokio::test]
async fn a_partial_tile_that_is_gone_is_cut_from_the_full_one() {
    let mut town = Town::new().await;
    town.grow_to(200).publish_at(NOW);
    let published = town.served("checkpoint");
    town.grow_to(300).publish_at(NOW);
    town.serve("checkpoint", &published);
    for gone in ["tile/0/000.p/200", "tile/entries/000.p/200"] {
        std::fs::remove_file(town.public.join(gone)).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let followed = follow(&town.source(), dir.path(), NOW).await.unwrap();
    assert_eq!((followed.checkpoint().size(), followed.view().bundle(0).unwrap().len()), (200, 200));
    open(dir.path(), &policy("both"), Reader::RelyingParty, NOW).unwrap();
    std::fs::remove_file(town.public.join("tile/0/000")).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let error = follow(&town.source(), empty.path(), NOW).await.unwrap_err();
    assert!(matches!(error, FollowError::Incomplete(path) if path.to_string() == "tile/0/000.p/200"), "{error:?}");
    assert_eq!(error.exit_kind(), ExitKind::Unavailable);
}

#[tokio::test]
async fn a_fork_convicts_by_itself() {
    // (size known, size of the fork): of one size, larger, smaller; the left side a whole subtree or not.
    for (known, other) in [(300, 300), (256, 300), (300, 257), (3, 700), (700, 64)] {
        let (mut town, mut fork) = (Town::new().await, Town::saying("with another word").await);
        town.grow_to(known).publish_at(NOW);
        fork.grow_to(other).publish_at(NOW);
        let dir = tempfile::tempdir().unwrap();
        follow(&town.source(), dir.path(), NOW).await.unwrap();
        let (lie, evidence) = lie(follow(&fork.source(), dir.path(), NOW).await);
        assert_eq!(lie, Lie::Forked, "{known} {other}");
        assert_eq!(verdict(&evidence), Ok(Verdict::Forked(key())), "{known} {other}");
        let text = std::fs::read_to_string(&evidence).unwrap();
        // Without its proof, or with another note, the same file convicts nobody.
        if known != other {
            let mut without: serde_json::Value = serde_json::from_str(&text).unwrap();
            without.as_object_mut().unwrap().remove("root_at_smaller");
            let without = Evidence::parse(&serde_json::to_vec(&without).unwrap()).unwrap();
            assert_eq!(without.check(), Ok(Verdict::Record(key())));
        }
        let mut twice: serde_json::Value = serde_json::from_str(&text).unwrap();
        twice["notes"][0] = twice["notes"][1].clone();
        assert_eq!(Evidence::parse(&serde_json::to_vec(&twice).unwrap()).unwrap().check(), Ok(Verdict::Record(key())));
        // What was proved stays, and goes on.
        town.grow_to(known + 1).publish_at(NOW);
        let again = follow(&town.source(), dir.path(), NOW).await.unwrap();
        assert_eq!(again.checkpoint().size(), known + 1);
        assert!(evidence.exists());
    }
}

#[tokio::test]
async fn a_log_that_goes_back_is_told_from_a_fork() {
    let mut town = Town::new().await;
    town.grow_to(257).publish_at(NOW);
    let earlier = town.served("checkpoint");
    town.grow_to(300).publish_at(NOW);
    let dir = tempfile::tempdir().unwrap();
    follow(&town.source(), dir.path(), NOW).await.unwrap();
    town.serve("checkpoint", &earlier);
    let (lie, evidence) = lie(follow(&town.source(), dir.path(), NOW).await);
    assert_eq!(lie, Lie::WentBack);
    assert_eq!(verdict(&evidence), Ok(Verdict::Record(key())));
    let kept = open(dir.path(), &policy("both"), Reader::RelyingParty, NOW).unwrap();
    assert_eq!(kept.checkpoint().size(), 300);
}

#[tokio::test]
async fn an_altered_file_is_named_kept_and_asked_for_again() {
    let mut town = Town::new().await;
    town.grow_to(600).publish_at(NOW);
    let edge = Lie::AlteredEdge;
    let tile = |path: &str| Lie::AlteredTile(TilePath::parse(path).unwrap());
    for (file, at, expected) in [
        ("tile/0/001", 8_191, tile("tile/0/001")),
        ("tile/entries/000", 7, tile("tile/entries/000")),
        ("tile/entries/001", 0, tile("tile/entries/001")),
        ("tile/entries/002.p/88", 5, tile("tile/entries/002.p/88")),
        ("tile/0/002.p/88", 31, edge),
        ("tile/1/000.p/2", 0, edge),
    ] {
        let dir = tempfile::tempdir().unwrap();
        town.flip(file, at);
        let (lie, evidence) = lie(follow(&town.source(), dir.path(), NOW).await);
        assert_eq!(lie, expected, "{file}");
        assert_eq!(verdict(&evidence), Ok(Verdict::Record(key())), "{file}");
        assert!(!dir.path().join("checkpoint").exists(), "{file}");
        town.flip(file, at);
        assert_eq!(follow(&town.source(), dir.path(), NOW).await.unwrap().checkpoint().size(), 600, "{file}");
    }
    for (file, bytes) in [("tile/0/000", 8_160_usize), ("tile/entries/000", 2_000)] {
        let dir = tempfile::tempdir().unwrap();
        let whole = town.served(file);
        town.serve(file, &whole[..bytes]);
        let (lie, _) = lie(follow(&town.source(), dir.path(), NOW).await);
        assert_eq!(lie, tile(file));
        town.serve(file, &whole);
    }
    town.serve("tile/0/000", &[0; lockplate_store::log_files::TILE_BYTES_MAX + 1]);
    let dir = tempfile::tempdir().unwrap();
    let error = follow(&town.source(), dir.path(), NOW).await.unwrap_err();
    assert!(matches!(error, FollowError::Unavailable(PeerError::TooLarge)), "{error:?}");
}

#[tokio::test]
async fn an_altered_checkpoint_is_not_the_logs() {
    let mut town = Town::new().await;
    town.grow_to(300).publish_at(NOW);
    let good = String::from_utf8(town.served("checkpoint")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let swapped = |line: &str| format!("{}AAAA{}", &line[..line.len() - 8], &line[line.len() - 4..]);
    for bad in [
        good.replacen("\n300\n", "\n301\n", 1),
        good.replacen("\n300\n", "\n300\nmore\n", 1),
        good.replace(lines[4], &swapped(lines[4])),
        good.replace(lines[6], &swapped(lines[6])),
        good.replacen("clerk", "klerk", 1),
        "nothing".to_owned(),
    ] {
        town.serve("checkpoint", bad.as_bytes());
        let (lie, evidence) = lie(follow(&town.source(), dir.path(), NOW).await);
        assert_eq!(lie, Lie::AlteredCheckpoint, "{bad}");
        assert_eq!(verdict(&evidence), Ok(Verdict::Record(key())), "{bad}");
    }
    town.serve("checkpoint", format!("{good}\u{2014} who.example/x AAAAAAAA\n").as_bytes());
    assert_eq!(follow(&town.source(), dir.path(), NOW).await.unwrap().checkpoint().size(), 300);
    assert_eq!(Evidence::parse(b"{}"), Err(NotEvidence));
    // Evidence of one folder has a bound.
    for number in 0..=EVIDENCE_FILES_MAX {
        town.serve("checkpoint", format!("nothing {number}").as_bytes());
        lie(follow(&town.source(), dir.path(), NOW).await);
    }
    let kept = std::fs::read_dir(dir.path().join("evidence")).unwrap().count();
    assert_eq!(kept, EVIDENCE_FILES_MAX);
}

#[tokio::test]
async fn the_quorum_must_be_there_and_young() {
    let mut town = Town::new().await;
    town.grow_to(2).publish_at(NOW);
    let good = String::from_utf8(town.served("checkpoint")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let one_less: String = good.lines().take(6).map(|line| format!("{line}\n")).collect();
    assert!(one_less.contains("court") && !one_less.contains("paper"));
    town.serve("checkpoint", one_less.as_bytes());
    let error = follow(&town.source(), dir.path(), NOW).await.unwrap_err();
    assert!(matches!(error, FollowError::Unconfirmed), "{error:?}");
    let any = LogSource { policy: policy("court"), ..town.source() };
    follow(&any, dir.path(), NOW).await.unwrap();
    let none = LogSource { policy: policy("none"), ..town.source() };
    assert_eq!(follow(&none, dir.path(), NOW).await.unwrap().freshness(NOW), Freshness::Unwitnessed);

    town.serve("checkpoint", good.as_bytes());
    for (age, expected) in
        [(3_600, Freshness::Fresh), (3_601, Freshness::Old), (86_400, Freshness::Old), (86_401, Freshness::Stale)]
    {
        let watched = follow(&town.source_for(Reader::Monitor), dir.path(), NOW + age).await.unwrap();
        assert_eq!(watched.freshness(NOW + age), expected);
        let relied = follow(&town.source(), dir.path(), NOW + age).await;
        match expected {
            Freshness::Stale => assert!(matches!(relied.unwrap_err(), FollowError::Stale(NOW))),
            Freshness::Unwitnessed | Freshness::Fresh | Freshness::Old => drop(relied.unwrap()),
        }
    }
    assert!(matches!(follow(&town.source(), dir.path(), NOW - 301).await.unwrap_err(), FollowError::Clock));
}

#[tokio::test]
async fn torn_leftovers_are_nobodys_lie() {
    let mut town = Town::new().await;
    town.grow_to(300).publish_at(NOW);
    let dir = tempfile::tempdir().unwrap();
    follow(&town.source(), dir.path(), NOW).await.unwrap();
    town.grow_to(900).publish_at(NOW);
    for torn in ["tile/entries/001", "tile/0/002", "tile/0/003.p/132"] {
        put(&dir.path().join(torn), b"").unwrap();
    }
    assert_eq!(follow(&town.source(), dir.path(), NOW).await.unwrap().checkpoint().size(), 900);
    assert!(!dir.path().join("evidence").exists());
}

#[tokio::test]
async fn a_damaged_folder_is_not_blamed_on_the_server() {
    let mut town = Town::new().await;
    town.grow_to(300).publish_at(NOW);
    let dir = tempfile::tempdir().unwrap();
    follow(&town.source(), dir.path(), NOW).await.unwrap();
    let held = LockFile::acquire(dir.path()).unwrap();
    assert!(matches!(follow(&town.source(), dir.path(), NOW).await.unwrap_err(), FollowError::Folder(_)));
    drop(held);
    put(&dir.path().join("tile/0/000"), &[0; 8_192]).unwrap();
    let error = open(dir.path(), &policy("both"), Reader::RelyingParty, NOW).unwrap_err();
    assert!(matches!(error, FollowError::Lied { lie: Lie::AlteredTile(_), .. }), "{error:?}");
    put(&dir.path().join("checkpoint"), b"nothing").unwrap();
    town.grow_to(301).publish_at(NOW);
    assert!(matches!(follow(&town.source(), dir.path(), NOW).await.unwrap_err(), FollowError::Damaged(_)));
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let town = Town::new().await;
    let nobody = LogSource { prefix_url: "http://127.0.0.1:9/log/keeper".to_owned(), ..town.source() };
    let dir = tempfile::tempdir().unwrap();
    let error = follow(&nobody, dir.path(), NOW).await.unwrap_err();
    assert!(matches!(error, FollowError::Unavailable(PeerError::Unreachable)), "{error:?}");
    assert_eq!(error.exit_kind(), ExitKind::Unavailable);
}

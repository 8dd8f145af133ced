//! Our logs before other people's programs (`tests/verifiers`): what we write they accept, what somebody altered they refuse, and so
//! does our own reader. The programs are made by `tests/verifiers/install`, which `scripts/test` calls; one that is not there is left
//! out with a line on standard error, and `scripts/test` says so in its summary.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lockplate_core::Timestamp;
use lockplate_core::entry::{Genesis, LogEntry, LogKind, ShareReceived, Stamped};
use lockplate_core::id::KeeperIndex;
use lockplate_log::{CosignatureSigner, Log, NoteSigner, Origin, WitnessPolicy};
use lockplate_node::client::PeerTrust;
use lockplate_node::clock::{Clock as _, SystemClock};
use lockplate_node::follow::{LogSource, Reader, follow, open};
use lockplate_node::http::{Limits, ListenOn, Server, TlsMode};
use lockplate_node::log_door::{LogDoor, routes};
use lockplate_node::rng::SystemRng;
use lockplate_node::shutdown::Tasks;
use lockplate_store::log_files::FileLogStorage;

const ORIGIN: &str = "clerk.millbrook.example/log/keeper";
const SIZES: [u64; 7] = [1, 2, 255, 256, 257, 300, 65_537];
/// The size whose copies are altered: two bundles, a partial tile on every level.
const ALTERED_SIZE: u64 = 300;

fn now() -> u64 {
    u64::try_from(SystemClock::new().now_ms() / 1_000).unwrap()
}

/// The programs, as far as they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Ours,
    Go,
    Js,
    Python,
}

use Program::{Go, Js, Ours, Python};

const ALL: &[Program] = &[Ours, Go, Js, Python];
/// Those that read the tree; the others read receipts.
const TREE: &[Program] = &[Ours, Go];
const RECEIPTS: &[Program] = &[Go, Js, Python];

impl Program {
    fn is_there(self) -> bool {
        match self {
            Ours => true,
            Go => ready().join("logcheck").exists(),
            Js => ready().join("js.stamp").exists(),
            Python => ready().join("python.stamp").exists(),
        }
    }

    /// What it says of a folder: nothing, or why it is refused.
    fn judge(self, folder: &Path) -> Result<(), String> {
        let verifiers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verifiers");
        let mut command = match self {
            Ours => {
                let policy = std::fs::read_to_string(folder.join("policy")).unwrap();
                let policy = WitnessPolicy::parse(&policy).map_err(|error| error.to_string())?;
                let opened = open(folder, &policy, Reader::RelyingParty, now());
                return opened.map(drop).map_err(|error| error.to_string());
            }
            Go => {
                let mut command = Command::new(ready().join("logcheck"));
                command.args(["-json", "-proofs", "97"]);
                command
            }
            Js => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", ready().join("sigstore-js/node_modules"));
                command.arg(verifiers.join("sigstore-js/receipts.js"));
                command
            }
            Python => {
                let mut command = Command::new(ready().join("sigstore-python/bin/python"));
                command.arg("-B").arg(verifiers.join("sigstore-python/receipts.py"));
                command
            }
        };
        said(command.arg(folder))
    }
}

/// What a program says: it ends with 0 and `OK`, or with 1 and `REFUSED`; anything else is a broken program, not a judgement.
fn said(command: &mut Command) -> Result<(), String> {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) if out.ends_with("OK\n") => Ok(()),
        Some(1) if err.starts_with("REFUSED: ") => Err(err.into_owned()),
        code => panic!("{command:?} ended with {code:?}: {out}{err}"),
    }
}

/// Where `tests/verifiers/install` puts them: beside this program's profile folder.
fn ready() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(3).unwrap().join("verifiers")
}

/// The Python of one of the folders of `tests/verifiers`, if it was made ready.
pub(crate) fn python_of(name: &str) -> Option<PathBuf> {
    if !ready().join(format!("{name}.stamp")).exists() {
        eprintln!("SKIPPED: {name} not installed; run tests/verifiers/install");
        return None;
    }
    Some(ready().join(name).join("bin/python"))
}

#[test]
fn other_peoples_code_judges_the_passkey_vectors_as_ours_does() {
    let Some(python) = python_of("passkeys") else { return };
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let judge = |vectors: &Path| {
        said(Command::new(&python).arg("-B").arg(top.join("tests/verifiers/passkeys/assertions.py")).arg(vectors))
    };
    let vectors = top.join("spec/vectors/v1");
    judge(&vectors).unwrap();
    // The program can refuse: a good case whose challenge is another's, called good.
    let altered = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(&vectors).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.contains("_passkey_") {
            let text = std::fs::read_to_string(&file).unwrap();
            let text = if name == "good_passkey_ed25519.json" { text.replace("070707", "070708") } else { text };
            std::fs::write(altered.path().join(name), text).unwrap();
        }
    }
    assert!(judge(altered.path()).unwrap_err().contains("good_passkey_ed25519"));
}

fn present(programs: &[Program]) -> Vec<Program> {
    let (there, absent): (Vec<Program>, Vec<Program>) = programs.iter().partition(|program| program.is_there());
    if !absent.is_empty() {
        eprintln!("SKIPPED: {absent:?} not installed; run tests/verifiers/install");
    }
    there
}

fn witnesses() -> [CosignatureSigner; 2] {
    let witness = |name: &str, seed| CosignatureSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap();
    [witness("court.millbrook.example/witness", 1), witness("paper.example/witness", 2)]
}

/// A log that our code writes, cosigned by two witnesses and served.
struct Town {
    _folder: tempfile::TempDir,
    log: Log<FileLogStorage>,
    policy: WitnessPolicy,
    word: u8,
    url: String,
    _tasks: Tasks,
}

impl Town {
    async fn new(word: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (origin, seed) = (Origin::parse(ORIGIN).unwrap(), [9; 32]);
        let signer = NoteSigner::new(origin.clone(), &seed).unwrap();
        let [court, paper] = witnesses().map(|witness| witness.verifier_key().to_string());
        let policy = format!(
            "# who must confirm\nlog {}\nwitness court {court}\nwitness paper {paper}\ngroup town all court paper\nquorum town\n",
            signer.verifier_key()
        );
        let storage = FileLogStorage::acquire(folder.path(), &origin).unwrap();
        let public = storage.public();
        let log = Log::create(storage, signer).unwrap();
        let listen = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::PlainLoopback };
        let server = Server::bind(listen, Limits::default()).await.unwrap();
        let (url, tasks) = (format!("http://{}/log/keeper", server.local_addr()), Tasks::new());
        server.serve(routes("/log/keeper", LogDoor::new(public, None)), &tasks);
        Self { _folder: folder, log, policy: WitnessPolicy::parse(&policy).unwrap(), word, url, _tasks: tasks }
    }

    /// Grows, and publishes what both witnesses cosigned.
    fn publish(&mut self, size: u64) {
        while self.log.size() < size {
            let end = size.min(self.log.size() + 4_000);
            let leaves = (self.log.size()..end).map(|index| self.leaf(index)).collect();
            self.log.append_batch(leaves).map(drop).unwrap();
        }
        let head = self.log.head().clone();
        let lines: Vec<_> =
            witnesses().iter().map(|witness| witness.cosign(head.checkpoint(), now()).unwrap()).collect();
        self.log.publish(&head, &lines).unwrap();
    }

    fn leaf(&self, index: u64) -> Stamped {
        let entry = if index == 0 {
            LogEntry::Genesis(Genesis { party: [self.word; 16], role: LogKind::Keeper, charter: [7; 32] })
        } else {
            LogEntry::ShareReceived(ShareReceived { header: [self.word; 32], index: KeeperIndex(1) })
        };
        Stamped::new(entry, LogKind::Keeper, ORIGIN, Timestamp(1_790_000_000), &mut SystemRng).unwrap()
    }

    async fn save(&self, folder: &Path) {
        let source = LogSource {
            prefix_url: self.url.clone(),
            trust: PeerTrust::PlainLoopback,
            policy: self.policy.clone(),
            reader: Reader::RelyingParty,
        };
        let followed = follow(&source, folder, now()).await.unwrap();
        let last = followed.checkpoint().size() - 1;
        followed.save_receipts(folder, [0, last / 2, last]).unwrap();
    }

    fn published(&self) -> Vec<u8> {
        self.log.published().unwrap().to_bytes()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of a saved log that somebody alters.
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn of(saved: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(saved, folder.path());
        Self { folder }
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(file)).unwrap()
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        std::fs::File::create(self.folder.path().join(file)).unwrap().write_all(bytes).unwrap();
    }

    fn flip(&self, file: &str, at: usize) {
        let mut bytes = self.read(file);
        bytes[at] ^= 1;
        self.write(file, &bytes);
    }

    fn replace(&self, file: &str, old: &str, new: &str) {
        let text = String::from_utf8(self.read(file)).unwrap();
        assert!(text.contains(old), "{file} has no {old:?}");
        self.write(file, text.replacen(old, new, 1).as_bytes());
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.folder.path().join(file)).unwrap();
    }

    /// Changes one character in the middle of the signature of `name`.
    fn spoil(&self, file: &str, name: &str) {
        self.line(file, name, |line| {
            let at = line.len() - 20;
            let other = if &line[at..=at] == "A" { "B" } else { "A" };
            Some(format!("{}{other}{}", &line[..at], &line[at + 1..]))
        });
    }

    fn line(&self, file: &str, name: &str, change: impl Fn(&str) -> Option<String>) {
        let text = String::from_utf8(self.read(file)).unwrap();
        let begin = format!("\u{2014} {name} ");
        assert!(text.lines().any(|line| line.starts_with(&begin)), "{file} has no line of {name}");
        let changed =
            text.lines().filter_map(|line| if line.starts_with(&begin) { change(line) } else { Some(line.to_owned()) });
        let changed: String = changed.map(|line| line + "\n").collect();
        self.write(file, changed.as_bytes());
    }
}

type Change = Box<dyn Fn(&Copy)>;

/// What is altered, how, and who must notice.
fn alterations(fork: Vec<u8>) -> Vec<(&'static str, Change, &'static [Program])> {
    let change = |change: fn(&Copy)| -> Change { Box::new(change) };
    const RECEIPT: &str = "receipts/149.tlog-proof";
    vec![
        ("a byte of a leaf", change(|copy| copy.flip("tile/entries/000", 90)), TREE),
        ("a byte of the last leaf", change(|copy| copy.flip("tile/entries/001.p/44", 60)), TREE),
        (
            "a bundle with a byte more",
            change(|copy| copy.write("tile/entries/000", &[copy.read("tile/entries/000"), vec![0]].concat())),
            TREE,
        ),
        (
            "a bundle with a byte less",
            change(|copy| copy.write("tile/entries/000", &copy.read("tile/entries/000")[1..])),
            TREE,
        ),
        ("no bundle", change(|copy| copy.remove("tile/entries/000")), TREE),
        ("a byte of a tile", change(|copy| copy.flip("tile/0/000", 40)), TREE),
        ("a byte of the tile at the edge", change(|copy| copy.flip("tile/0/001.p/44", 0)), TREE),
        ("a byte of the upper tile", change(|copy| copy.flip("tile/1/000.p/1", 31)), TREE),
        ("a tile less a hash", change(|copy| copy.write("tile/0/000", &copy.read("tile/0/000")[32..])), TREE),
        ("another size", change(|copy| copy.replace("checkpoint", "\n300\n", "\n299\n")), TREE),
        ("a size with a zero", change(|copy| copy.replace("checkpoint", "\n300\n", "\n0300\n")), TREE),
        ("a fourth line", change(|copy| copy.replace("checkpoint", "\n300\n", "\n300\nmore\n")), TREE),
        ("the log's signature", change(|copy| copy.spoil("checkpoint", ORIGIN)), TREE),
        ("a witness's signature", change(|copy| copy.spoil("checkpoint", "paper.example/witness")), TREE),
        ("a witness too few", change(|copy| copy.line("checkpoint", "paper.example/witness", |_| None)), TREE),
        ("an old checkpoint of another root", change(|copy| copy.spoil("checkpoint.old", ORIGIN)), TREE),
        ("a fork of an earlier size", Box::new(move |copy| copy.write("checkpoint.old", &fork)), TREE),
        ("a log that nobody knows", change(|copy| copy.replace("policy", "log clerk.", "log klerk.")), ALL),
        ("a quorum that is not defined", change(|copy| copy.replace("policy", "quorum town", "quorum city")), TREE),
        ("a receipt with another leaf", change(|copy| copy.write("receipts/149.leaf", b"{}")), RECEIPTS),
        (
            "a receipt with the neighbour's index",
            change(|copy| copy.replace(RECEIPT, "index 149", "index 150")),
            RECEIPTS,
        ),
        (
            "a receipt with a hash less",
            change(|copy| {
                let text = String::from_utf8(copy.read(RECEIPT)).unwrap();
                let (head, note) = text.split_once("\n\n").unwrap();
                let (head, _) = head.rsplit_once('\n').unwrap();
                copy.write(RECEIPT, format!("{head}\n\n{note}").as_bytes());
            }),
            RECEIPTS,
        ),
        ("a receipt of another size", change(|copy| copy.replace(RECEIPT, "\n300\n", "\n301\n")), RECEIPTS),
        ("a receipt that the log did not sign", change(|copy| copy.spoil(RECEIPT, ORIGIN)), RECEIPTS),
        (
            "a receipt with a witness too few",
            change(|copy| copy.line(RECEIPT, "court.millbrook.example/witness", |_| None)),
            &[Go],
        ),
    ]
}

/// What is done to a copy.
type Touch = fn(&Copy);

/// What is no alteration, though the bytes differ.
fn harmless() -> Vec<(&'static str, Touch)> {
    vec![
        ("nothing", |_| ()),
        ("an unknown signature", |copy| {
            let more = "\u{2014} who.example/x AAAAAAAA\n".as_bytes().to_vec();
            copy.write("checkpoint", &[copy.read("checkpoint"), more].concat());
        }),
        ("no old checkpoint", |copy| copy.remove("checkpoint.old")),
        ("a file that belongs to nobody", |copy| copy.write("tile/0/999", b"nothing")),
    ]
}

#[tokio::test]
async fn other_peoples_programs_accept_what_we_write_and_refuse_what_somebody_altered() {
    let programs = present(ALL);
    let place = tempfile::tempdir().unwrap();
    let (mut town, mut fork) = (Town::new(1).await, Town::new(2).await);
    fork.publish(257);
    let growing = place.path().join("growing");
    let mut checkpoints = Vec::new();
    for size in SIZES {
        town.publish(size);
        let file = place.path().join(format!("checkpoint-{size}"));
        std::fs::File::create(&file).unwrap().write_all(&town.published()).unwrap();
        checkpoints.push(file);
        town.save(&growing).await;
        copy(&growing, &place.path().join(size.to_string()));
        for program in &programs {
            assert_eq!(program.judge(&growing), Ok(()), "{program:?}, {size} leaves");
        }
    }

    if Go.is_there() {
        let chain = |dir: &Path, files: &[PathBuf]| {
            said(Command::new(ready().join("logcheck")).arg("-chain").arg(dir).args(files))
        };
        assert_eq!(chain(&growing, &checkpoints), Ok(()), "every two published checkpoints");
        let foreign = place.path().join("fork");
        std::fs::File::create(&foreign).unwrap().write_all(&fork.published()).unwrap();
        checkpoints.push(foreign);
        let refused = chain(&growing, &checkpoints).unwrap_err();
        assert!(refused.contains("forked"), "{refused}");
        let every =
            said(Command::new(ready().join("logcheck")).args(["-json", "-proofs", "1"]).arg(place.path().join("300")));
        assert_eq!(every, Ok(()), "every inclusion proof of 300 leaves");
    }

    let saved = place.path().join(ALTERED_SIZE.to_string());
    for (what, change) in harmless() {
        let altered = Copy::of(&saved);
        change(&altered);
        for program in &programs {
            assert_eq!(program.judge(altered.folder.path()), Ok(()), "{program:?}, {what}");
        }
    }
    for (what, change, notice) in alterations(fork.published()) {
        let altered = Copy::of(&saved);
        change(&altered);
        for program in present(notice) {
            assert!(program.judge(altered.folder.path()).is_err(), "{program:?} does not notice {what}");
        }
    }
}

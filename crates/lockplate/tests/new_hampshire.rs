//! An owner in New Hampshire (RSA 261:75-b; not legal advice), with the real processes of a town: sealed reads are in memory
//! and nowhere else, their shares are gone in time by the keepers' own logs, and nobody opens one through any door. The law's
//! three minutes are seconds here; everything else is as it is.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::wildcard_enum_match_arm,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says by a panic what is wrong"
)]

mod town;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockplate_core::entry::{Leaf, LogEntry, RequestDecision, parse_leaf};
use lockplate_core::id::EpochId;
use lockplate_node::api::{B64, BucketAsked, BucketsAsked};
use lockplate_node::client::PeerError;
use lockplate_node::problem::ProblemKind;
use lockplate_policy::ENDING_SECONDS;
use tempfile::TempDir;
use town::process::Process;
use town::scan::Scanner;
use town::{BINARY, Searched, Terms, Town, command, has_tool, now_ms, pause, wait_until, write};

const EPOCH: u64 = 4;
const RETENTION: u64 = 30;
const PLATES: [&str; 3] = ["KXT4107", "KXT4206", "WRN3317"];

/// A folder in memory, removed at the end; none, said loudly, where the machine has no tmpfs at the usual place.
fn memory(test: &str) -> Option<TempDir> {
    let shm = Path::new("/dev/shm");
    if !has_tool(test, "a tmpfs at /dev/shm", shm.is_dir()) {
        return None;
    }
    Some(tempfile::Builder::new().prefix("lockplate-nh-").tempdir_in(shm).unwrap())
}

fn terms(memory: Option<&Path>) -> Terms {
    Terms {
        epoch_seconds: EPOCH,
        retention_seconds: RETENTION,
        state: "NH",
        memory: memory.map(Path::to_owned),
        ..Terms::default()
    }
}

/// Files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut all, mut next) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = next.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { next.push(path) } else { all.push(path) }
        }
    }
    all
}

/// Whole cells of the segments and spools in memory: what must be nowhere else.
fn cells(memory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut cells = Vec::new();
    for path in files(memory) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap_or_default();
        // A spool's first cell stands behind its head, the head of the frame and the bucket's number.
        let begin = if name == "segment" { 0 } else { 32 + 20 + 4 };
        if (name == "segment" || name.ends_with(".cells")) && bytes.len() >= begin + 256 {
            cells.push((format!("a cell of {name}"), bytes[begin..begin + 256].to_vec()));
        }
    }
    cells
}

/// What a keeper's log says.
#[derive(Default)]
struct Said {
    /// Each request: refused, and by which rules.
    requests: Vec<(bool, BTreeSet<String>)>,
    received: BTreeSet<[u8; 32]>,
    destroyed: BTreeMap<[u8; 32], u64>,
}

impl Said {
    fn by(leaves: &[Vec<u8>]) -> Self {
        let mut said = Self::default();
        for leaf in leaves {
            let parsed = parse_leaf(leaf).unwrap();
            let time = parsed.time().0;
            let Leaf::Known(stamped) = parsed else { continue };
            match stamped.entry() {
                LogEntry::Request(request) => {
                    said.requests.push((request.decision == RequestDecision::Deny, request.rules.clone()));
                }
                LogEntry::ShareReceived(leaf) => drop(said.received.insert(leaf.header)),
                LogEntry::ShareDestroyed(leaf) => drop(said.destroyed.insert(leaf.header, time)),
                _ => {}
            }
        }
        said
    }

    fn refused_by_the_law(&self) -> usize {
        assert!(self.requests.iter().all(|(refused, _)| *refused), "{:?}", self.requests);
        self.requests.iter().filter(|(_, rules)| rules.contains("nh.no-history")).count()
    }
}

/// When the shares of each dealt epoch must be gone, by header.
fn due(leaves: &[Vec<u8>]) -> BTreeMap<[u8; 32], u64> {
    let mut due = BTreeMap::new();
    for leaf in leaves {
        if let Leaf::Known(stamped) = parse_leaf(leaf).unwrap()
            && let LogEntry::EpochDealt(dealt) = stamped.entry()
        {
            due.insert(dealt.header, dealt.destroy_after.0);
        }
    }
    due
}

fn refused_by_the_law(searched: &Searched) {
    assert_eq!(searched.code, 4, "{} {}", searched.document, searched.stderr);
    assert!(searched.document.to_string().contains("nh.no-history"), "{}", searched.document);
}

fn now() -> u64 {
    u64::try_from(now_ms() / 1_000).unwrap()
}

#[test]
fn minutes_in_memory_no_history_and_nothing_of_a_read_on_a_disk() {
    let Some(memory) = memory("minutes_in_memory") else { return };
    let folder = memory.path().join("reads");
    let mut town = Town::start(terms(Some(&folder)));
    assert_eq!(town.readiness()["reads_are_on"], "memory");

    // A camera posts; the answer says where the read is kept.
    let mut lan = town.lan();
    let (_, line) = town.read(PLATES[0]);
    let (status, body) = lan.post(&town.door("own-0"), "application/x-ndjson", line.as_bytes()).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, answer["accepted"].as_u64(), answer["kept_in"].as_str()), (200, Some(1), Some("memory")));
    town.post_all(&PLATES, 60);
    let mut seen = cells(&folder);
    town.wait_closed();
    seen.extend(cells(&folder));
    assert!(
        seen.iter().any(|(name, _)| name.contains(".cells")) && seen.iter().any(|(name, _)| name.contains("segment"))
    );

    // Nobody gets one, sealed as it is. (An epoch that is there has a bucket 0.)
    let segment = files(&folder.join("archive")).into_iter().find(|path| path.ends_with("segment")).unwrap();
    let name = segment.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let epoch = EpochId::parse(name).unwrap().0.to_vec();
    let asked = BucketsAsked { buckets: vec![BucketAsked { epoch: B64(epoch), bucket: 0 }] };
    let answer = town.runtime().block_on(town.agency_peer().post_json_framed("/v1/buckets", &asked));
    let Err(PeerError::Problem(problem)) = answer else { panic!("{answer:?}") };
    assert_eq!(problem.kind(), ProblemKind::NotFound);
    // Nobody opens one, while it is there to be opened: neither a search nor a hold, and the registers say so.
    refused_by_the_law(&town.search(PLATES[0]));
    let case = town.home("officer").join("case.key").display().to_string();
    let made = command(BINARY).args(["sign", "new-case-key", "--name", "Records", "--key", &case]).output().unwrap();
    assert_eq!(made.status.code(), Some(0));
    let (public, supervisor) = (format!("{case}.pub"), town.supervisor().display().to_string());
    let hold = ["--hold", "--case-key", &public, "--second", &supervisor];
    // The new list of officers reaches the keepers within seconds.
    let mut held = town.search_with(PLATES[1], &hold);
    for _again in 0..20 {
        if held.document.to_string().contains("nh.no-history") {
            break;
        }
        pause(500);
        held = town.search_with(PLATES[1], &hold);
    }
    refused_by_the_law(&held);
    for place in 0..3 {
        // Two keepers' answers are enough for the officer; the third one's come a moment later.
        wait_until("both refusals are in the keeper's log", || {
            Said::by(&town.keeper_leaves(place)).refused_by_the_law() >= 2
        });
    }

    // Nothing of them is on a disk. The scanner finds each of these cells where they are.
    let scanner = Scanner::new(&PLATES.map(str::to_owned), &seen);
    let control = files(&folder)
        .iter()
        .flat_map(|path| scanner.bytes("memory", &std::fs::read(path).unwrap_or_default()))
        .count();
    assert!(control > 0, "the cells are in memory");
    let (hits, looked_at) = scanner.folder(town.folder.path());
    assert!(hits.is_empty() && looked_at.len() > 30, "{:?}", hits.first());
    for name in ["spool", "archive"] {
        assert!(!town.data("agency").join(name).exists(), "{name}");
    }

    // Shares go in time, by every keeper's log, although the keepers' files say that they look once a minute; so do the cells.
    let held = files(&folder.join("archive"));
    let over = now() + RETENTION + ENDING_SECONDS;
    assert!(!held.is_empty());
    while now() <= over {
        pause(200);
    }
    assert!(held.iter().all(|path| !path.exists()), "segments outlive the retention");
    // The last entries are published a moment after they are made.
    pause(5_000);
    let due = due(&town.leaves("recorder"));
    let mut ended = 0;
    for place in 0..3 {
        let Said { received, destroyed, .. } = Said::by(&town.keeper_leaves(place));
        for (header, due) in
            due.iter().filter(|(header, due)| received.contains(*header) && **due + ENDING_SECONDS <= over)
        {
            let at = destroyed.get(header).unwrap_or_else(|| panic!("keeper {} holds a share past {due}", place + 1));
            assert!((*due..=due + ENDING_SECONDS).contains(at), "destroyed {} s late", at - due);
            ended += 1;
        }
    }
    assert!(ended >= 3, "{ended} shares of the first epoch were looked at");

    // A crash leaves sealed cells behind until the next start, which begins with none and goes on.
    town.post_all(&PLATES, 9);
    town.agency.take().unwrap().kill();
    let left = cells(&folder);
    assert!(!left.is_empty(), "there is something to remove");
    town.start_agency();
    town.wait_sealing();
    // The headers of epochs that were cut off come again, to be closed as orphaned.
    let kept: Vec<Vec<u8>> = files(&folder).into_iter().filter_map(|path| std::fs::read(path).ok()).collect();
    let is_there = |cell: &[u8]| kept.iter().any(|file| file.windows(cell.len()).any(|part| part == cell));
    let stays: Vec<_> = left.iter().filter(|(_, cell)| is_there(cell)).map(|(name, _)| name).collect();
    assert!(stays.is_empty(), "of an earlier run: {stays:?}");
    town.post_all(&PLATES, 9);
    town.wait_closed();
    assert!(town.closes().values().any(|(_, orphaned)| *orphaned), "the log says that an epoch was orphaned");
    refused_by_the_law(&town.search(PLATES[2]));

    // An orderly end leaves nothing, and the stores are sound without an archive.
    town.nobody_panicked();
    town.stop_and_check();
    let left: Vec<PathBuf> = files(&folder).into_iter().filter(|path| path.file_name().unwrap() != "lock").collect();
    assert!(left.is_empty(), "{left:?}");
    let doctor = |town: &Town| {
        let done = command(BINARY).args(["doctor", "--json", "--store"]).arg(town.data("agency")).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let (code, report) = doctor(&town);
    assert!(code == Some(0) && report.contains("no sealed read is on the disk"), "{report}");
    // The scanner of folders finds a planted cell, doctor a planted spool, and the agency does not start over it.
    write(&town.data("agency").join("spool/0.cells"), &seen[0].1);
    assert!(!scanner.folder(town.folder.path()).0.is_empty());
    let (code, report) = doctor(&town);
    assert!(code == Some(7) && report.contains("sealed reads lie on the disk"), "{report}");
    assert!(does_not_start(&town).contains("remove its folders"));
}

/// Starts the agency, which must end with 3 at once; what it said.
fn does_not_start(town: &Town) -> String {
    let mut process = Process::start("agency", BINARY, &town.role("agency"), &town.traces(), &town.home("agency"));
    let status = process.wait(Duration::from_secs(20)).expect("it does not run");
    assert_eq!(status.code(), Some(3), "{}", process.said());
    process.said()
}

#[test]
fn without_a_folder_in_memory_the_agency_does_not_start() {
    let town = Town::found(terms(None));
    let said = does_not_start(&town);
    assert!(
        said.contains("recorder.memory") && said.contains("261:75-b") && said.contains("not legal advice"),
        "{said}"
    );
    assert!(!town.data("agency").join("archive").exists() && !town.data("agency").join("spool").exists());
    // A disk is none, whatever it is called.
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let town = Town::found(terms(Some(disk.path())));
    assert!(does_not_start(&town).contains("is on a disk"));
    // Where reads are kept for days, a restart must not lose them.
    let Some(memory) = memory("without_a_folder_in_memory") else { return };
    let town = Town::found(Terms { memory: Some(memory.path().join("reads")), ..Terms::default() });
    assert!(does_not_start(&town).contains("a restart would lose reads"));
    wait_until("nothing is left in memory", || files(memory.path()).is_empty());
}

//! Real logs of several tile levels, whole and damaged.

use std::fs;
use std::path::PathBuf;

use lockplate_core::entry::{Genesis, LogClosed, Stamped};
use lockplate_log::limits::{BATCH_LEAVES_MAX, TILE_WIDTH};
use lockplate_log::merkle::leaf_hash;
use lockplate_log::tile::{parse_bundle, tile_bytes};
use lockplate_log::{Hash, Log, NoteSigner, Origin};
use lockplate_store::log_files::FileLogStorage;
use tempfile::TempDir;

use super::*;
use crate::doctor::{Role, Severity};
use crate::rng::SystemRng;

const ORIGIN: &str = "desk.example/log/desk";

struct Grown {
    data: TempDir,
    key: VerifierKey,
}

impl Grown {
    /// A log of `sizes.last()` entries that was published at each size, entry n at second n.
    fn new(sizes: &[u64]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let signer = NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[3; 32]).unwrap();
        let key = signer.verifier_key().clone();
        let storage = FileLogStorage::acquire(&data.path().join("log"), key.name()).unwrap();
        let mut log = Log::create(storage, signer).unwrap();
        for size in sizes {
            let entries = (log.size()..*size).map(|at| {
                let entry = match at {
                    0 => LogEntry::Genesis(Genesis { party: [0; 16], role: LogKind::Desk, charter: [0; 32] }),
                    _ => LogEntry::LogClosed(LogClosed { successor: String::new() }),
                };
                Stamped::new(entry, LogKind::Desk, ORIGIN, Timestamp(at), &mut SystemRng).unwrap()
            });
            drop(log.append_batch(entries.collect()).unwrap());
            let head = log.head().clone();
            log.publish(&head, &[]).unwrap();
        }
        Self { data, key }
    }

    fn folder(&self) -> PathBuf {
        self.data.path().join("log").join(folder_name(&self.key))
    }

    fn check_with(&self, key: Option<&VerifierKey>, now: u64) -> (bool, u64, Report) {
        let mut report = Report::new(Role::Agency);
        let folder = self.folder();
        let log = LogCheck { dir: self.data.path(), folder: &folder, key, kind: LogKind::Desk, now: Timestamp(now) };
        let mut seen = 0;
        let holds = log.run(&mut report, |index, _| {
            // An entry that cannot be read is left out, none comes twice.
            assert!(index >= seen);
            seen = index + 1;
        });
        (holds, seen, report)
    }

    fn check(&self) -> (bool, u64, Report) {
        self.check_with(Some(&self.key), 1 << 40)
    }

    fn flip(&self, path: &str) {
        let path = self.folder().join(path);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_log_of_three_levels_is_read_to_its_end_and_every_tile_counts() {
    let batch = u64::try_from(BATCH_LEAVES_MAX).unwrap();
    let mut sizes: Vec<u64> = (1..=16).map(|n| n * batch).collect();
    sizes.push(66_000);
    let log = Grown::new(&sizes);
    let (holds, seen, report) = log.check();
    assert!(holds, "{:?}", report.findings);
    assert_eq!((seen, report.counts.log_entries), (66_000, 66_000));
    assert_eq!(report.worst(), Severity::Ok);
    for path in ["tile/0/256", "tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"] {
        log.flip(&format!("public/{path}"));
        let (holds, _, report) = log.check();
        let failed: Vec<_> = report.findings.iter().filter(|found| found.severity == Severity::Failed).collect();
        assert!(!holds && failed.len() == 1 && failed[0].place.ends_with(path), "{path}: {:?}", report.findings);
        log.flip(&format!("public/{path}"));
    }
    assert!(log.check().0, "every flip was undone");
}

#[test]
fn each_damaged_file_is_named() {
    for (path, place) in [
        ("public/tile/entries/000", "public/tile/entries/000"),
        ("public/tile/entries/001", "public/tile/entries/001"),
        ("public/tile/entries/002.p/88", "public/tile/entries/002.p/88"),
        ("public/tile/0/001", "public/tile/0/001"),
        ("head", "head"),
        ("public/checkpoint", "public/checkpoint"),
    ] {
        let log = Grown::new(&[1, 300, 600]);
        assert!(log.check().0);
        log.flip(path);
        let (holds, _, report) = log.check();
        let found = report.findings.iter().find(|found| found.severity == Severity::Failed).unwrap();
        assert!(!holds && found.place.ends_with(place), "{path}: {:?}", report.findings);
        fs::remove_file(log.folder().join(path)).unwrap();
        let (holds, _, report) = log.check();
        let worst = if path == "public/checkpoint" { Severity::Warning } else { Severity::Failed };
        assert_eq!((holds, report.worst()), (path == "public/checkpoint", worst), "{path} gone");
    }
}

#[test]
fn both_a_bundle_and_its_tile_altered_are_not_believed() {
    let log = Grown::new(&[1, 300]);
    let folder = log.folder().join("public/tile");
    let mut bundle = fs::read(folder.join("entries/000")).unwrap();
    let last = bundle.len() - 10;
    bundle[last] ^= 1;
    let hashes: Vec<Hash> = parse_bundle(&bundle, TILE_WIDTH).unwrap().into_iter().map(leaf_hash).collect();
    fs::write(folder.join("entries/000"), &bundle).unwrap();
    fs::write(folder.join("0/000"), tile_bytes(&hashes)).unwrap();
    let (holds, _, report) = log.check();
    assert!(!holds && report.worst() == Severity::Failed, "{:?}", report.findings);
}

#[test]
fn an_append_that_was_cut_off_is_a_warning_and_an_old_copy_is_not() {
    let log = Grown::new(&[1, 20]);
    let older = fs::read(log.folder().join("public/checkpoint")).unwrap();
    let longer = Grown::new(&[1, 20, 30]);
    // The nonces differ, so the two logs fork: the older head is not of the longer one's tree.
    fs::write(longer.folder().join("public/checkpoint"), &older).unwrap();
    assert_eq!(longer.check().2.worst(), Severity::Failed);

    let log = Grown::new(&[1, 20]);
    let older = fs::read(log.folder().join("public/checkpoint")).unwrap();
    let signer = NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[3; 32]).unwrap();
    let storage = FileLogStorage::acquire(&log.data.path().join("log"), log.key.name()).unwrap();
    let mut grown = Log::load(storage, signer, lockplate_core::entry::leaf_time, 1 << 40).unwrap();
    let entry = LogEntry::LogClosed(LogClosed { successor: String::new() });
    drop(grown.append(Stamped::new(entry, LogKind::Desk, ORIGIN, Timestamp(99), &mut SystemRng).unwrap()).unwrap());
    let staging = format!("staging/{}", StagingName::of(grown.head().checkpoint()));
    drop(grown);
    // As a crash after the head was replaced leaves it: the tiles are in the staging file only.
    fs::remove_file(log.folder().join("public/tile/entries/000.p/21")).unwrap();
    fs::remove_file(log.folder().join("public/tile/0/000.p/21")).unwrap();
    assert_eq!(fs::read(log.folder().join("public/checkpoint")).unwrap(), older);
    assert_eq!(log.check().2.worst(), Severity::Failed, "without a staging file they are lost");
    fs::write(log.folder().join(&staging), b"not looked at").unwrap();
    let (holds, _, report) = log.check();
    assert_eq!((holds, report.worst()), (false, Severity::Warning), "{:?}", report.findings);
    log.flip("public/tile/entries/000.p/20");
    assert_eq!(log.check().2.worst(), Severity::Failed, "what strangers saw must hold all the same");
}

#[test]
fn another_key_another_role_and_a_late_clock_are_told() {
    let log = Grown::new(&[1, 20]);
    let other = NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[4; 32]).unwrap();
    assert_eq!(log.check_with(Some(other.verifier_key()), 99).2.worst(), Severity::Failed);
    assert!(log.check_with(None, 99).0, "without a key only the tree is checked");
    assert_eq!(log.check_with(Some(&log.key), 5).2.worst(), Severity::Warning, "the clock is behind the log");
    let mut report = Report::new(Role::Agency);
    let folder = log.folder();
    let (dir, key) = (log.data.path(), Some(&log.key));
    let as_recorder = LogCheck { dir, folder: &folder, key, kind: LogKind::Recorder, now: Timestamp(99) };
    assert!(!as_recorder.run(&mut report, |_, _| {}), "its founding says desk");
}

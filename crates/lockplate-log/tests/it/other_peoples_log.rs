//! A log that Go code wrote (`../shared/verifiers/testlog`): 300 leaves, two cosignatures, six receipts. All of it must be ours to read.

use std::path::{Path, PathBuf};

use lockplate_log::merkle::{leaf_hash, root};
use lockplate_log::tile::{parse_bundle, parse_tile};
use lockplate_log::{Entry, Log, Receipt, SignedCheckpoint, SignedNote, TilePath, VerifierKey};

use crate::memory::{Memory, signer};

#[expect(clippy::disallowed_methods, reason = "test data lies in files")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// The folder, or `None` and a loud line.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/verifiers/testlog");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is absent, the log written by Go was NOT read", folder.display());
    None
}

#[test]
fn a_log_written_by_go_is_read() {
    let Some(folder) = folder() else { return };
    let policy = String::from_utf8(read(&folder.join("policy"))).unwrap();
    let keys: Vec<VerifierKey> = policy
        .lines()
        .filter(|line| line.starts_with("log ") || line.starts_with("witness "))
        .map(|line| VerifierKey::parse(line.split(' ').next_back().unwrap()).unwrap())
        .collect();
    assert_eq!(keys.len(), 4);
    let log = &keys[0];

    let bytes = read(&folder.join("checkpoint"));
    let head = SignedCheckpoint::parse(&bytes, log).unwrap();
    assert_eq!(head.to_bytes(), bytes);
    assert_eq!(head.checkpoint().size(), 300);
    let good = SignedNote::parse(&bytes).unwrap();
    let good = good.verify(&keys).unwrap();
    assert_eq!(good.len(), 3, "the log and two witnesses");
    assert_eq!(good.iter().filter(|signature| signature.cosigned_at.is_some()).count(), 2);

    let tile = |text: &str| (TilePath::parse(text).unwrap().width(), read(&folder.join(text)));
    let mut hashes = Vec::new();
    for (entries, level_0) in [("tile/entries/000", "tile/0/000"), ("tile/entries/001.p/44", "tile/0/001.p/44")] {
        let (width, bytes) = tile(entries);
        let leaves: Vec<_> = parse_bundle(&bytes, width).unwrap().into_iter().map(leaf_hash).collect();
        let (width, bytes) = tile(level_0);
        assert_eq!(parse_tile(&bytes, width).unwrap(), leaves);
        hashes.extend(leaves);
    }
    assert_eq!(root(&hashes), head.checkpoint().root());
    let (width, bytes) = tile("tile/1/000.p/1");
    assert_eq!(parse_tile(&bytes, width).unwrap(), [root(&hashes[..256])]);
    let old = SignedCheckpoint::parse(&read(&folder.join("checkpoint.old")), log).unwrap();
    assert_eq!(root(&hashes[..usize::try_from(old.checkpoint().size()).unwrap()]), old.checkpoint().root());

    for name in ["200-0", "200-1", "200-2", "300-0", "300-1", "300-2"] {
        let bytes = read(&folder.join(format!("receipts/{name}.tlog-proof")));
        let leaf = read(&folder.join(format!("receipts/{name}.leaf")));
        let receipt = Receipt::parse(&bytes).unwrap();
        assert_eq!(receipt.to_bytes(), bytes);
        receipt.verify(log, &leaf).unwrap();
        assert!(receipt.verify(log, &leaf[1..]).is_err());
        assert!(receipt.verify(&keys[1], &leaf).is_err());
    }
}

/// A leaf of that log, appended to ours.
struct Again(Vec<u8>);

impl Entry for Again {
    fn leaf(&self) -> Vec<u8> {
        self.0.clone()
    }
    fn time(&self) -> u64 {
        0
    }
}

#[test]
fn the_same_leaves_give_the_same_tiles_byte_for_byte() {
    let Some(folder) = folder() else { return };
    let mut leaves = Vec::new();
    for text in ["tile/entries/000", "tile/entries/001.p/44"] {
        let width = TilePath::parse(text).unwrap().width();
        leaves.extend(
            parse_bundle(&read(&folder.join(text)), width).unwrap().into_iter().map(|leaf| Again(leaf.to_vec())),
        );
    }
    let storage = Memory::default();
    let mut log = Log::create(storage.restart(None), signer()).unwrap();
    let rest = leaves.split_off(200);
    drop(log.append_batch(leaves).unwrap());
    drop(log.append_batch(rest).unwrap());
    // The two sizes that were published there are the two batches here, so the files are the same ones.
    let files = storage.0.borrow().seen.tiles.clone();
    assert_eq!(files.len(), 7);
    for (path, bytes) in files {
        assert_eq!(bytes, read(&folder.join(path.to_string())), "{path}");
    }
}

//! The log as its callers see it: limits, order, batches, proofs, receipts, and start-ups that must be refused.

use lockplate_log::limits::{BATCH_LEAVES_MAX, LEAF_BYTES_MAX};
use lockplate_log::merkle::{leaf_hash, root};
use lockplate_log::{
    Checkpoint, CosignatureSigner, Entry, Error, Hash, Log, LogFile, NoteSigner, Origin, Receipt, StagingName, TilePath,
};

use crate::memory::{Memory, NOW, ORIGIN, leaf_time, said, signer};

fn created() -> (Memory, Log<Memory>) {
    let storage = Memory::default();
    let log = Log::create(storage.restart(None), signer()).unwrap();
    (storage, log)
}

/// A log of `count` leaves in batches of `batch`.
fn grown(count: usize, batch: usize) -> (Memory, Log<Memory>) {
    let (storage, mut log) = created();
    let numbers: Vec<usize> = (0..count).collect();
    for part in numbers.chunks(batch) {
        drop(log.append_batch(part.iter().copied().map(said).collect()).unwrap());
    }
    (storage, log)
}

fn load(storage: &Memory) -> Result<Log<Memory>, Error> {
    Log::load(storage.restart(None), signer(), leaf_time, NOW)
}

fn tile(text: &str) -> TilePath {
    TilePath::parse(text).unwrap()
}

/// Bytes as an entry.
struct Raw(u64, Vec<u8>);

impl Entry for Raw {
    fn leaf(&self) -> Vec<u8> {
        self.1.clone()
    }
    fn time(&self) -> u64 {
        self.0
    }
}

#[test]
fn roots_do_not_depend_on_batches_and_are_right_at_every_size() {
    let (_, mut one_by_one) = created();
    let mut hashes = Vec::new();
    for number in 0..600 {
        assert_eq!(one_by_one.root(), root(&hashes));
        let logged = one_by_one.append(said(number)).unwrap();
        assert_eq!((logged.index(), logged.into_inner()), (number as u64, said(number)));
        hashes.push(leaf_hash(&said(number).leaf()));
    }
    for batch in [7, 255, 256, 257, 600] {
        let (storage, log) = grown(600, batch);
        assert_eq!(log.root(), root(&hashes));
        let files = storage.0.borrow();
        for path in ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/002.p/88"] {
            assert_eq!(
                files.seen.tiles[&tile(path)],
                one_by_one.storage().0.borrow().seen.tiles[&tile(path)],
                "{path}"
            );
        }
        assert!(files.seen.staging.is_empty());
        if batch == 600 {
            assert_eq!(files.seen.tiles.len(), 7, "only the partial tiles of the last size are written");
        }
    }
}

#[test]
fn the_third_level_works() {
    let (storage, log) = grown(66_000, 4_096);
    assert!(storage.0.borrow().seen.tiles.contains_key(&tile("tile/2/000.p/1")));
    assert!(storage.0.borrow().seen.tiles.contains_key(&tile("tile/1/000")));
    let hashes: Vec<Hash> = (0..66_000).map(|number| leaf_hash(&said(number).leaf())).collect();
    assert_eq!(log.root(), root(&hashes));
    drop(log);
    let log = load(&storage).unwrap();
    for (index, size) in
        [(0, 66_000), (65_535, 65_536), (65_536, 65_537), (65_999, 66_000), (300, 65_600), (12_345, 54_321)]
    {
        let at = usize::try_from(size).unwrap();
        let proof = log.inclusion_proof(index, size).unwrap();
        proof.verify(hashes[usize::try_from(index).unwrap()], root(&hashes[..at])).unwrap();
        log.consistency_proof(size, 66_000).unwrap().verify(root(&hashes[..at]), log.root()).unwrap();
    }
}

#[test]
fn limits_refuse_before_anything_is_written() {
    let (storage, mut log) = grown(3, 3);
    let writes = storage.0.borrow().writes;
    let raw = |length: usize| Raw(2_000, vec![b'a'; length]);
    assert_eq!(log.append(raw(0)).unwrap_err(), Error::LeafLength);
    assert_eq!(log.append(raw(LEAF_BYTES_MAX + 1)).unwrap_err(), Error::LeafLength);
    assert_eq!(log.append_batch((0..=BATCH_LEAVES_MAX).map(said).collect()).unwrap_err(), Error::BatchTooLarge);
    assert_eq!(log.append_batch((0..129).map(|_| raw(LEAF_BYTES_MAX)).collect()).unwrap_err(), Error::BatchTooLarge);
    assert_eq!(log.append(Raw(999, vec![1])).unwrap_err(), Error::ClockBack);
    assert_eq!(log.append_batch(vec![Raw(3_000, vec![1]), Raw(2_999, vec![1])]).unwrap_err(), Error::ClockBack);
    assert!(log.append_batch(Vec::<Raw>::new()).unwrap().is_empty());
    assert_eq!((log.size(), storage.0.borrow().writes), (3, writes));
    // At the bounds; the log still works after refusals.
    drop(log.append_batch((0..128).map(|_| raw(LEAF_BYTES_MAX)).collect()).unwrap());
    drop(log.append_batch((0..BATCH_LEAVES_MAX).map(|_| raw(1)).collect()).unwrap());
    assert_eq!(log.leaf(130).unwrap().len(), LEAF_BYTES_MAX);
    assert_eq!(log.size(), 3 + 128 + 4_096);
    drop(log.append(Raw(2_000, vec![1])).unwrap());
    assert_eq!(log.last_time(), Some(2_000));
}

#[test]
fn the_largest_batch_survives_a_restart_from_staging() {
    let (storage, mut log) = created();
    drop(log.append_batch((0..127).map(|_| Raw(1, vec![0; LEAF_BYTES_MAX])).collect()).unwrap());
    drop(log.append_batch((0..127).map(|_| Raw(1, vec![0; LEAF_BYTES_MAX])).collect()).unwrap());
    let writes = storage.0.borrow().writes;
    // The third write of an append is the first tile: the head is in place.
    storage.0.borrow_mut().plan = Some((writes + 2, crate::memory::Strike::Before));
    let batch = (0..BATCH_LEAVES_MAX).map(|_| Raw(1, vec![0; 2_047])).collect();
    assert!(log.append_batch(batch).unwrap_err().is_fatal());
    drop(log);
    let log = Log::load(storage.restart(None), signer(), leaf_time, NOW).unwrap();
    assert_eq!(log.size(), 254 + 4_096);
    assert_eq!(log.leaf(4_349).unwrap().len(), 2_047);
}

#[test]
fn time_goes_on_across_a_restart() {
    let (storage, log) = grown(10, 10);
    let last = log.last_time().unwrap();
    drop(log);
    let mut log = load(&storage).unwrap();
    assert_eq!(log.last_time(), Some(last));
    assert_eq!(log.append(Raw(last - 1, vec![1])).unwrap_err(), Error::ClockBack);
    drop(log);
    assert_eq!(Log::load(storage.restart(None), signer(), leaf_time, last - 1).unwrap_err(), Error::ClockAhead);
    assert!(Log::load(storage.restart(None), signer(), leaf_time, last).is_ok());
    assert_eq!(Log::load(storage.restart(None), signer(), |_| None, NOW).unwrap_err(), Error::LeafTime);
}

#[test]
fn receipts_are_for_the_published_checkpoint_and_carry_cosignatures() {
    let (_, mut log) = grown(300, 300);
    assert_eq!(log.receipt(0).unwrap_err(), Error::NotPublished);
    let head = log.head().clone();
    let witness = CosignatureSigner::new(Origin::parse("town.millbrook.example/witness").unwrap(), &[9; 32]).unwrap();
    let cosignature = witness.cosign(head.checkpoint(), 1_234_567).unwrap();
    drop(log.append(said(300)).unwrap());
    log.publish(&head, core::slice::from_ref(&cosignature)).unwrap();
    assert_eq!(log.receipt(300).unwrap_err(), Error::NotPublished);
    let newest = log.head().clone();
    for index in [0, 255, 256, 299] {
        let bytes = log.receipt(index).unwrap();
        let receipt = Receipt::parse(&bytes).unwrap();
        assert_eq!(receipt.to_bytes(), bytes);
        let leaf = said(usize::try_from(index).unwrap()).leaf();
        assert_eq!(receipt.leaf(), Some(leaf.as_slice()));
        let checkpoint = receipt.verify(signer().verifier_key(), &leaf).unwrap();
        assert_eq!(checkpoint.checkpoint(), head.checkpoint());
        let keys = [signer().verifier_key().clone(), witness.verifier_key().clone()];
        let good = receipt.note().verify(&keys).unwrap();
        assert_eq!(good.iter().map(|signature| signature.cosigned_at).collect::<Vec<_>>(), [None, Some(1_234_567)]);
        assert_eq!(receipt.verify(signer().verifier_key(), b"another").unwrap_err(), Error::InvalidProof);
    }
    // Published size only grows; the same size may gain cosignatures.
    log.publish(&newest, &[]).unwrap();
    assert_eq!(log.publish(&head, &[]).unwrap_err(), Error::PublishedBackwards);
    assert_eq!(log.publish(&newest, &[cosignature.clone(), cosignature]).unwrap_err(), Error::MalformedNote);
    let (_, other) = grown(400, 400);
    assert_eq!(log.publish(other.head(), &[]).unwrap_err(), Error::OutOfRange);
}

/// Group commit: the next batch is logged while the last head is being cosigned, and that head is published afterwards.
#[test]
fn an_earlier_head_is_published_while_appends_go_on() {
    let (_, mut log) = grown(300, 300);
    let witness = CosignatureSigner::new(Origin::parse("town.example/witness").unwrap(), &[9; 32]).unwrap();
    let asked = log.head().clone();
    drop(log.append_batch((300..700).map(said).collect()).unwrap());
    let line = witness.cosign(asked.checkpoint(), 1_700_000_000).unwrap();
    log.publish(&asked, core::slice::from_ref(&line)).unwrap();
    assert_eq!(log.published().unwrap().checkpoint().size(), 300);
    assert_eq!(log.receipt(300).unwrap_err(), Error::NotPublished);
    assert!(log.receipt(299).is_ok());
    // The same size again, with a fresher line; then the newest, and nothing before it.
    let fresher = witness.cosign(asked.checkpoint(), 1_700_000_600).unwrap();
    log.publish(&asked, core::slice::from_ref(&fresher)).unwrap();
    assert_eq!(log.published().unwrap().note().signatures()[1], fresher);
    let newest = log.head().clone();
    log.publish(&newest, &[]).unwrap();
    assert_eq!(log.publish(&asked, &[line]).unwrap_err(), Error::PublishedBackwards);
    // A head that the same key signed over another tree is not shown to anybody.
    let (_, mut fork) = created();
    drop(fork.append_batch((1..701).map(said).collect()).unwrap());
    assert_eq!(log.publish(fork.head(), &[]).unwrap_err(), Error::HeadReplaced);
    assert_eq!(log.published(), Some(&newest));
}

#[test]
fn a_batch_may_hold_entries_of_several_kinds() {
    let (_, mut log) = created();
    let batch: Vec<Box<dyn Entry>> = vec![Box::new(said(0)), Box::new(Raw(2_000, b"raw".to_vec()))];
    let logged = log.append_batch(batch).unwrap();
    assert_eq!(logged.iter().map(lockplate_log::Logged::index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(log.leaf(1).unwrap(), b"raw");
    assert_eq!(log.last_time(), Some(2_000));
}

#[test]
fn proofs_outside_of_the_tree_are_refused() {
    let (_, log) = grown(300, 300);
    for (index, size) in [(300, 300), (0, 0), (0, 301), (5, 5), (u64::MAX, u64::MAX), (0, 1 << 63)] {
        assert_eq!(log.inclusion_proof(index, size).unwrap_err(), Error::OutOfRange, "{index} of {size}");
    }
    for (old, new) in [(5, 4), (0, 301), (301, 301), (0, u64::MAX)] {
        assert_eq!(log.consistency_proof(old, new).unwrap_err(), Error::OutOfRange, "{old} to {new}");
    }
    for index in [300, 511, 512, u64::MAX] {
        assert_eq!(log.leaf(index).unwrap_err(), Error::OutOfRange);
    }
}

#[test]
fn a_tile_altered_while_the_log_runs_is_found_by_whoever_reads_it() {
    let (storage, log) = grown(600, 600);
    storage.tamper(|files| files.tiles.get_mut(&tile("tile/0/000")).unwrap()[40] ^= 1);
    assert_eq!(log.inclusion_proof(3, 600).unwrap_err(), Error::Altered(LogFile::Tile(tile("tile/0/000"))));
    assert_eq!(log.leaf(200).unwrap_err(), Error::Altered(LogFile::Tile(tile("tile/0/000"))));
    storage.tamper(|files| files.tiles.get_mut(&tile("tile/entries/001")).unwrap()[40] ^= 1);
    assert_eq!(log.leaf(256).unwrap_err(), Error::Altered(LogFile::Tile(tile("tile/entries/001"))));
    storage.tamper(|files| drop(files.tiles.remove(&tile("tile/entries/001"))));
    assert_eq!(log.leaf(256).unwrap_err(), Error::Missing(LogFile::Tile(tile("tile/entries/001"))));
    assert!(log.leaf(599).is_ok(), "the edge is in memory");
}

#[test]
fn a_log_is_made_once() {
    let (storage, log) = grown(1, 1);
    drop(log);
    assert_eq!(Log::create(storage.restart(None), signer()).unwrap_err(), Error::AlreadyExists);
    assert_eq!(load(&Memory::default()).unwrap_err(), Error::Missing(LogFile::Head));
    // A folder that has lost its head is not an empty folder.
    storage.tamper(|files| {
        files.head = None;
        files.published = Some(b"x".to_vec());
    });
    assert_eq!(Log::create(storage.restart(None), signer()).unwrap_err(), Error::AlreadyExists);
}

#[test]
fn a_head_of_another_key_or_with_another_line_is_refused() {
    let (storage, log) = grown(300, 300);
    let head = log.head().clone();
    drop(log);
    let other = NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[8; 32]).unwrap();
    assert_eq!(Log::load(storage.restart(None), other, leaf_time, NOW).unwrap_err(), Error::NoKnownSignature);
    let other = NoteSigner::new(Origin::parse("paper.example/log").unwrap(), &[7; 32]).unwrap();
    assert_eq!(Log::load(storage.restart(None), other, leaf_time, NOW).unwrap_err(), Error::ForeignOrigin);
    let witness = CosignatureSigner::new(Origin::parse("w").unwrap(), &[9; 32]).unwrap();
    let two = head.note().clone().with_signature(witness.cosign(head.checkpoint(), 1).unwrap()).unwrap();
    storage.tamper(|files| files.head = Some(two.to_bytes()));
    assert_eq!(load(&storage).unwrap_err(), Error::Altered(LogFile::Head));
}

#[test]
fn an_altered_right_edge_or_last_bundle_stops_the_start() {
    for (count, path, expected) in [
        (300, "tile/0/001.p/44", Error::EdgeUnproved),
        (300, "tile/1/000.p/1", Error::EdgeUnproved),
        (300, "tile/entries/001.p/44", Error::Altered(LogFile::Tile(tile("tile/entries/001.p/44")))),
        (512, "tile/entries/001", Error::Altered(LogFile::Tile(tile("tile/entries/001")))),
        (512, "tile/0/001", Error::Altered(LogFile::Tile(tile("tile/0/001")))),
    ] {
        let (storage, log) = grown(count, count);
        drop(log);
        let whole = storage.0.borrow().seen.clone();
        storage.tamper(|files| *files.tiles.get_mut(&tile(path)).unwrap().last_mut().unwrap() ^= 1);
        assert_eq!(load(&storage).unwrap_err(), expected, "{path} flipped");
        storage.tamper(|files| *files = whole.clone());
        storage.tamper(|files| {
            files.tiles.get_mut(&tile(path)).unwrap().pop();
        });
        assert_eq!(load(&storage).unwrap_err(), Error::Altered(LogFile::Tile(tile(path))), "{path} cut");
        storage.tamper(|files| *files = whole.clone());
        storage.tamper(|files| drop(files.tiles.remove(&tile(path))));
        assert_eq!(load(&storage).unwrap_err(), Error::Missing(LogFile::Tile(tile(path))), "{path} missing");
    }
}

#[test]
fn what_was_published_must_be_of_this_tree_and_not_ahead_of_it() {
    let (storage, mut log) = grown(10, 10);
    let old = storage.0.borrow().seen.clone();
    drop(log.append(said(10)).unwrap());
    let head = log.head().clone();
    log.publish(&head, &[]).unwrap();
    drop(log);
    let ahead = storage.0.borrow().seen.published.clone();
    // An old copy of everything but what strangers have seen.
    storage.tamper(|files| {
        *files = old.clone();
        files.published = ahead.clone();
    });
    assert_eq!(load(&storage).unwrap_err(), Error::PublishedAhead);
    // The same key, another tree, at a size below and at the head's.
    for size in [5, 10] {
        let (_, mut other) = created();
        drop(other.append_batch((0..size).map(|n| said(n + 1)).collect()).unwrap());
        storage.tamper(|files| {
            *files = old.clone();
            files.published = Some(other.head().to_bytes());
        });
        assert_eq!(load(&storage).unwrap_err(), Error::PublishedAhead, "{size}");
    }
    storage.tamper(|files| files.published = Some(b"nothing".to_vec()));
    assert_eq!(load(&storage).unwrap_err(), Error::MalformedNote);
}

#[test]
fn staging_of_another_root_is_deleted_and_forged_staging_refused() {
    let (storage, mut log) = grown(10, 10);
    let writes = storage.0.borrow().writes;
    storage.0.borrow_mut().plan = Some((writes + 1, crate::memory::Strike::Before));
    assert!(log.append(said(10)).is_err());
    drop(log);
    assert_eq!(storage.0.borrow().seen.staging.len(), 1, "staged, not committed");
    let staged = storage.0.borrow().seen.staging.values().next().unwrap().clone();
    let log = load(&storage).unwrap();
    assert_eq!(log.size(), 10);
    assert!(storage.0.borrow().seen.staging.is_empty());
    // A whole staging file of another append under the name of this head.
    let name = StagingName::of(log.head().checkpoint());
    drop(log);
    let before = storage.0.borrow().seen.tiles.clone();
    for bytes in [staged.clone(), staged[..staged.len() - 1].to_vec(), Vec::new()] {
        storage.tamper(|files| drop(files.staging.insert(name, bytes.clone())));
        assert_eq!(load(&storage).unwrap_err(), Error::Altered(LogFile::Staging));
        assert_eq!(storage.0.borrow().seen.tiles, before, "nothing of it was applied");
    }
}

#[test]
fn a_head_replaced_under_the_process_stops_it() {
    let (storage, mut log) = grown(10, 10);
    let (_, other) = grown(11, 11);
    storage.tamper(|files| files.head = Some(other.head().to_bytes()));
    assert_eq!(log.append(said(10)).unwrap_err(), Error::HeadReplaced);
    assert_eq!(log.append(said(10)).unwrap_err(), Error::Poisoned);
    assert_eq!(storage.0.borrow().seen.head, Some(other.head().to_bytes()), "not overwritten");
}

#[test]
fn an_immutable_tile_with_other_bytes_stops_the_append() {
    let (storage, mut log) = grown(10, 10);
    storage.tamper(|files| drop(files.tiles.insert(tile("tile/0/000.p/11"), vec![0; 352])));
    let error = log.append(said(10)).unwrap_err();
    assert!(matches!(error, Error::Storage { file: LogFile::Tile(_), .. }), "{error:?}");
}

#[test]
fn an_empty_log_is_a_log() {
    let (storage, mut log) = created();
    assert_eq!((log.size(), log.root()), (0, Hash::empty()));
    let head = log.head().clone();
    log.publish(&head, &[]).unwrap();
    assert_eq!(Checkpoint::parse(head.note().text()).unwrap().size(), 0);
    drop(log);
    let log = load(&storage).unwrap();
    assert_eq!(log.published(), Some(&head));
    assert!(log.consistency_proof(0, 0).unwrap().hashes().is_empty());
    assert_eq!(log.leaf(0).unwrap_err(), Error::OutOfRange);
}

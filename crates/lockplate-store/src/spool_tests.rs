#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose, which `durable` cannot")]
use std::fs::OpenOptions;

use super::*;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tempfile::tempdir;

const EPOCH: EpochId = EpochId([7; 16]);

fn cells(rng: &mut ChaCha20Rng, count: usize) -> Vec<SpoolCell> {
    (0..count)
        .map(|_| {
            let mut cell = [0; CELL_BYTES];
            rng.fill_bytes(&mut cell);
            SpoolCell { bucket: rng.next_u32() % 64, cell }
        })
        .collect()
}

struct Spool {
    bytes: Vec<u8>,
    /// After the head and after each frame: length of the file, cells so far.
    ends: Vec<(usize, usize)>,
    cells: Vec<SpoolCell>,
    tally: SpoolTally,
}

fn spool(seed: u64, batches: &[usize]) -> Spool {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.cells");
    let mut writer = SpoolWriter::create(&path, EPOCH).unwrap();
    let mut all = Vec::new();
    let mut ends = vec![(FILE_HEAD_BYTES, 0)];
    for &batch in batches {
        let batch = cells(&mut rng, batch);
        writer.append(&batch).unwrap();
        all.extend(batch);
        ends.push((usize::try_from(std::fs::metadata(&path).unwrap().len()).unwrap(), all.len()));
    }
    Spool { bytes: std::fs::read(&path).unwrap(), ends, cells: all, tally: writer.tally() }
}

fn read(bytes: &[u8]) -> Result<Recovered, Error> {
    let mut cells = Vec::new();
    let Walked { tally, torn_tail } = walk(bytes, EPOCH, |cell| cells.push(cell))?;
    Ok(Recovered { cells, tally, torn_tail })
}

/// What must hold of any damaged copy: an error, or a whole-frame prefix that either is marked torn or is caught by the tally.
fn detected_or_harmless(spool: &Spool, damaged: &[u8]) {
    let Ok(found) = read(damaged) else { return };
    assert!(spool.ends.iter().any(|&(_, count)| count == found.cells.len()), "only whole frames");
    assert_eq!(found.cells, spool.cells[..found.cells.len()], "no cell is invented or altered");
    assert_eq!(found.tally.count, found.cells.len() as u64);
    if found.cells.len() < spool.cells.len() {
        assert!(check_tally(&spool.tally, &found.tally).is_err(), "D9: never silently fewer");
    }
}

#[test]
fn what_was_appended_is_read_back() {
    let spool = spool(1, &[1, 3, 4_096, 0, 2]);
    let found = read(&spool.bytes).unwrap();
    assert_eq!(found.cells, spool.cells);
    assert!(!found.torn_tail);
    assert_eq!(found.tally, spool.tally);
    check_tally(&spool.tally, &found.tally).unwrap();
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.cells");
    std::fs::write(&path, &spool.bytes).unwrap();
    assert_eq!(SpoolReader::recover(&path, EPOCH).unwrap().cells, spool.cells);
    assert!(matches!(SpoolReader::recover(&path, EpochId([8; 16])), Err(Error::Foreign)));
    assert!(matches!(SpoolReader::recover(&folder.path().join("b"), EPOCH), Err(Error::Read(_))));
}

#[test]
fn the_digest_is_the_plain_one_of_the_module_page() {
    let spool = spool(1, &[2, 3]);
    let mut hash = Sha256::new();
    for cell in &spool.cells {
        hash.update(cell.bucket.to_be_bytes());
        hash.update(cell.cell);
    }
    let digest: [u8; 32] = hash.finalize().into();
    assert_eq!(spool.tally, SpoolTally { count: 5, digest });
}

// A4: cut at each of the last 65,536 bytes. A spool of small frames, so that every frame is cut at every byte.
#[test]
fn a_cut_anywhere_is_a_torn_tail_or_a_whole_prefix() {
    let spool = spool(2, &[3; 85]);
    assert!(spool.bytes.len() > 65_536);
    for length in spool.bytes.len() - 65_536..spool.bytes.len() {
        let found = read(&spool.bytes[..length]).unwrap();
        let (end, count) = *spool.ends.iter().rfind(|(end, _)| *end <= length).unwrap();
        assert_eq!(found.cells.len(), count, "every whole frame before the cut is there");
        assert_eq!(found.torn_tail, length != end);
        assert_eq!(found.cells, spool.cells[..count]);
    }
}

#[test]
fn a_head_cut_short_was_never_used() {
    let spool = spool(2, &[1]);
    for length in 0..FILE_HEAD_BYTES {
        let found = read(&spool.bytes[..length]).unwrap();
        assert!(found.torn_tail && found.cells.is_empty(), "{length}");
    }
    assert!(read(&[0; FILE_HEAD_BYTES]).unwrap().torn_tail, "blocks that were never written read as zeros");
}

// A4: each of the last 65,536 bytes flipped.
#[test]
fn a_flip_anywhere_is_detected() {
    let spool = spool(3, &[60, 60, 60, 60, 13]);
    assert!(spool.bytes.len() > 65_536);
    let last_frame = spool.ends[spool.ends.len() - 2].0;
    let mut bytes = spool.bytes.clone();
    for at in spool.bytes.len() - 65_536..spool.bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        match read(&bytes) {
            Err(Error::Damaged { offset }) => {
                assert!(at < last_frame, "the last frame may never have been acknowledged");
                assert!(spool.ends.iter().any(|&(end, _)| end as u64 == offset), "the damaged frame is named");
            }
            Ok(found) => {
                assert!(at >= last_frame, "damage to an acknowledged frame at {at} passed for a torn tail");
                assert!(found.torn_tail);
                detected_or_harmless(&spool, &bytes);
            }
            Err(other) => panic!("{other}"),
        }
        bytes[at] ^= 1 << (at % 8);
    }
    for at in 0..FILE_HEAD_BYTES {
        bytes[at] ^= 1;
        assert!(matches!(read(&bytes), Err(Error::Foreign)));
        bytes[at] ^= 1;
    }
}

#[test]
fn frames_that_are_dropped_swapped_or_repeated_are_damage() {
    let spool = spool(4, &[2, 2, 2, 2]);
    let frame = |n: usize| spool.bytes[spool.ends[n].0..spool.ends[n + 1].0].to_vec();
    let with = |order: &[usize]| {
        let mut bytes = spool.bytes[..FILE_HEAD_BYTES].to_vec();
        order.iter().for_each(|&n| bytes.extend(frame(n)));
        read(&bytes)
    };
    assert_eq!(with(&[0, 1, 2, 3]).unwrap().cells, spool.cells);
    for order in [&[0, 2, 3][..], &[1, 2, 3], &[0, 2, 1, 3], &[0, 1, 1, 2, 3], &[0, 1, 2, 3, 3], &[3]] {
        assert!(matches!(with(order), Err(Error::Damaged { .. })), "{order:?}");
    }
}

#[test]
fn damage_that_swallows_the_rest_is_not_taken_for_a_torn_tail() {
    // More rubbish than one frame can be was more than one append.
    let spool = spool(5, &[2]);
    let mut bytes = spool.bytes.clone();
    bytes.resize(bytes.len() + FRAME_BYTES_MAX, 0);
    assert!(read(&bytes).unwrap().torn_tail);
    bytes.push(0);
    assert!(matches!(read(&bytes), Err(Error::Damaged { .. })));
}

#[test]
fn bounds_of_a_batch_and_of_an_epoch() {
    let folder = tempdir().unwrap();
    let mut writer = SpoolWriter::create(&folder.path().join("a.cells"), EPOCH).unwrap();
    let one = SpoolCell { bucket: 0, cell: [1; CELL_BYTES] };
    assert!(matches!(writer.append(&vec![one; FRAME_CELLS_MAX + 1]), Err(Error::BatchTooLarge)));
    assert_eq!(writer.tally().count, 0);
    writer.append(&vec![one; FRAME_CELLS_MAX]).unwrap();
    writer.running.count = SEGMENT_CELLS_MAX - 1;
    assert!(matches!(writer.append(&[one, one]), Err(Error::Full)));
    writer.append(&[one]).unwrap();
    assert!(matches!(writer.append(&[one]), Err(Error::Full)));
}

#[test]
fn an_epoch_has_one_spool() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.cells");
    drop(SpoolWriter::create(&path, EPOCH).unwrap());
    let Err(Error::Durable(error)) = SpoolWriter::create(&path, EPOCH) else { panic!() };
    assert_eq!(error.io_kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn cells_of_a_failed_append_are_not_counted() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.cells");
    let mut writer = SpoolWriter::create(&path, EPOCH).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    writer.append(&cells(&mut rng, 2)).unwrap();
    let before = writer.tally();
    // A file that refuses to be written, in place of the disk that is full.
    let good = std::mem::replace(&mut writer.file, AppendFile::of(OpenOptions::new().read(true).open(&path).unwrap()));
    assert!(matches!(writer.append(&cells(&mut rng, 2)), Err(Error::Durable(_))));
    assert_eq!(writer.tally(), before);
    writer.file = good;
    writer.append(&cells(&mut rng, 1)).unwrap();
    let found = SpoolReader::recover(&path, EPOCH).unwrap();
    assert_eq!(found.tally, writer.tally());
    assert_eq!(found.tally.count, 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_damage_is_detected_or_harmless(
        batches in proptest::collection::vec(1_usize..40, 0..8),
        seed in any::<u64>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let spool = spool(seed, &batches);
        let mut bytes = spool.bytes.clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        detected_or_harmless(&spool, &bytes);
        bytes.truncate(cut.index(bytes.len().saturating_add(1)));
        detected_or_harmless(&spool, &bytes);
    }

    #[test]
    fn reading_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), headed in any::<bool>()) {
        let head = if headed { file_head(EPOCH) } else { Vec::new() };
        drop(read(&[head, bytes].concat()));
    }
}

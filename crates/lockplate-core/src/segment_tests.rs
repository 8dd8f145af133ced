use super::*;
use crate::error::ErrorKind;
use lockplate_log::merkle;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn cells(seed: u64, buckets: &[u32]) -> Vec<SpoolCell> {
    let mut rng = rng(seed);
    buckets
        .iter()
        .map(|&bucket| {
            let mut cell = [0; CELL_BYTES];
            rng.fill_bytes(&mut cell);
            SpoolCell { bucket, cell }
        })
        .collect()
}

fn kind<T: core::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

prop_compose! {
    fn spool()(bits in 0_u8..=6)(
        bits in Just(bits),
        buckets in proptest::collection::vec(0..1_u32 << bits, 0..120),
        seed in any::<u64>(),
    ) -> (u8, Vec<u32>, u64) {
        (bits, buckets, seed)
    }
}

proptest! {
    #[test]
    fn every_cell_is_in_its_bucket_and_every_bucket_is_proved((bits, buckets, seed) in spool()) {
        let cells = cells(seed, &buckets);
        let segment = Segment::build(bits, cells.clone(), &mut rng(!seed)).unwrap();
        let mut leaves = Vec::new();
        let mut total = 0_u64;
        for bucket in 0..segment.buckets() {
            let proof = segment.prove(bucket).unwrap();
            let decoded = BucketProof::from_bytes(&proof.to_bytes()).unwrap();
            prop_assert!(decoded == proof);
            let verified = decoded.verify(bucket, &segment.root(), bits).unwrap();
            let real = cells.iter().filter(|cell| cell.bucket == bucket).count();
            prop_assert_eq!(verified.cells().len(), real.max(1).next_multiple_of(16));
            for cell in cells.iter().filter(|cell| cell.bucket == bucket) {
                prop_assert_eq!(verified.find(cell.cell.first_chunk().unwrap()), Some(&cell.cell));
            }
            prop_assert_eq!(verified.bytes(), segment.bucket(bucket).unwrap());
            total = total.saturating_add(verified.cells().len() as u64);
            leaves.push(leaf_hash(verified.bytes()));
        }
        prop_assert_eq!(segment.cells_padded(), total);
        let plain = *merkle::root(&leaves).as_bytes();
        prop_assert_eq!(segment.root(), plain, "the root is that of RFC 6962's plain definition");
        prop_assert!(segment.bucket(segment.buckets()).is_none());
        prop_assert_eq!(kind(segment.prove(segment.buckets())), ErrorKind::Invalid);
    }

    #[test]
    fn arrival_order_leaves_no_trace((bits, buckets, seed) in spool()) {
        let mut cells = cells(seed, &buckets);
        let forward = Segment::build(bits, cells.clone(), &mut rng(1)).unwrap();
        cells.reverse();
        let backward = Segment::build(bits, cells, &mut rng(1)).unwrap();
        prop_assert_eq!(forward.bytes(), backward.bytes());
    }

    // D8: whatever an archive does to the bytes of an answer, the result is an error that blames the owner, or no answer at all.
    #[test]
    fn a_changed_answer_is_refused((bits, buckets, seed) in spool(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let segment = Segment::build(bits, cells(seed, &buckets), &mut rng(seed)).unwrap();
        let wanted = u32::try_from(seed & u64::from(segment.buckets().saturating_sub(1))).unwrap();
        let good = segment.prove(wanted).unwrap().to_bytes();
        let mut bad = good.clone();
        let at = at.index(bad.len());
        bad[at] ^= flip;
        if let Ok(proof) = BucketProof::from_bytes(&bad) {
            prop_assert_eq!(kind(proof.verify(wanted, &segment.root(), bits)), ErrorKind::OwnerMisbehaved);
        }
        prop_assert_eq!(kind(BucketProof::from_bytes(&good[..at])), ErrorKind::Malformed);
        let mut long = good;
        long.push(0);
        prop_assert_eq!(kind(BucketProof::from_bytes(&long)), ErrorKind::Malformed);
    }

    #[test]
    fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(BucketProof::from_bytes(&bytes));
    }
}

// D8, case by case: each differs from a good answer in one thing.
#[test]
fn an_archive_that_lies_is_caught() {
    let bits = 3;
    let segment = Segment::build(bits, cells(1, &[0, 1, 1, 2, 5, 5, 5, 7]), &mut rng(2)).unwrap();
    let older = Segment::build(bits, cells(3, &[0, 1, 1, 2, 5, 5, 5, 7]), &mut rng(4)).unwrap();
    let root = segment.root();
    let good = segment.prove(5).unwrap();
    let refused = |what: &str, proof: &BucketProof, root: &[u8; 32], bits: u8| {
        assert_eq!(kind(proof.verify(5, root, bits)), ErrorKind::OwnerMisbehaved, "{what}");
    };
    good.verify(5, &root, bits).unwrap();
    refused("neighbour, honestly labelled", &segment.prove(4).unwrap(), &root, bits);
    refused("neighbour under the wanted number", &BucketProof { bucket: 5, ..segment.prove(4).unwrap() }, &root, bits);
    refused("neighbour's path", &BucketProof { path: segment.path(4).unwrap(), ..good.clone() }, &root, bits);
    refused("older segment", &older.prove(5).unwrap(), &root, bits);
    refused("root other than logged", &good, &older.root(), bits);
    refused("fewer buckets", &good, &root, bits - 1);
    refused("more buckets", &good, &root, bits + 1);
    refused("absurd bucket count", &good, &root, 255);
    refused("cells dropped", &BucketProof { cells: Vec::new(), ..good.clone() }, &root, bits);
    let mut longer = good.clone();
    longer.cells.extend_from_within(..16 * CELL_BYTES);
    refused("cells added", &longer, &root, bits);
    let mut moved = good.clone();
    moved.cells.rotate_left(CELL_BYTES);
    refused("cell moved", &moved, &root, bits);
    refused("path short", &BucketProof { path: good.path[1..].to_vec(), ..good.clone() }, &root, bits);
    let mut long = good.clone();
    long.path.push([0; 32]);
    refused("path long", &long, &root, bits);
}

#[test]
fn a_recorder_that_does_not_sort_is_caught() {
    let segment = Segment::build(0, cells(1, &[0; 16]), &mut rng(2)).unwrap();
    let mut unsorted = segment.prove(0).unwrap();
    unsorted.cells.rotate_left(CELL_BYTES);
    let root = *leaf_hash(&unsorted.cells).as_bytes();
    assert_eq!(kind(unsorted.verify(0, &root, 0)), ErrorKind::OwnerMisbehaved);
}

#[test]
fn an_empty_epoch_has_sixteen_random_cells_a_bucket() {
    let segment = Segment::build(2, Vec::new(), &mut rng(1)).unwrap();
    assert_eq!((segment.buckets(), segment.cells_padded()), (4, 64));
    let mut all = segment.bytes().as_chunks::<CELL_BYTES>().0.to_vec();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 64, "no cell is used twice");
    assert_ne!(segment.root(), Segment::build(2, Vec::new(), &mut rng(2)).unwrap().root());
}

#[test]
fn padding_stands_anywhere_in_its_bucket() {
    // 8 real cells among 16: if padding went first or last, every segment would show real cells on one side only.
    let cells = cells(1, &[0; 8]);
    let places = |seed| -> Vec<bool> {
        let segment = Segment::build(0, cells.clone(), &mut rng(seed)).unwrap();
        segment.bytes().chunks(CELL_BYTES).map(|cell| cells.iter().any(|real| real.cell == cell)).collect()
    };
    assert_ne!(places(1), places(2));
    assert!((0..32).any(|seed| places(seed)[0]) && (0..32).any(|seed| !places(seed)[0]));
}

#[test]
fn bounds_of_a_segment() {
    let stray = vec![SpoolCell { bucket: 4, cell: [0; CELL_BYTES] }];
    assert_eq!(kind(Segment::build(2, stray, &mut rng(1))), ErrorKind::Invalid);
    for bits in [19, 24, 25, 255] {
        assert_eq!(kind(Segment::build(bits, Vec::new(), &mut rng(1))), ErrorKind::Invalid, "{bits}");
    }
    let one = SpoolCell { bucket: 0, cell: [0; CELL_BYTES] };
    assert_eq!(kind(Segment::build(0, vec![one; SEGMENT_CELLS_MAX + 1], &mut rng(1))), ErrorKind::Invalid);
}

/// More cells than are given back together, twice: nothing is lost or moved by the giving back.
#[test]
fn what_is_given_back_on_the_way_is_what_was_written() {
    let bits = 6;
    let buckets: Vec<u32> = (0..150_000_u32).map(|at| at.wrapping_mul(2_654_435_761) >> 26).collect();
    let cells = cells(5, &buckets);
    let segment = Segment::build(bits, cells.clone(), &mut rng(6)).unwrap();
    let mut leaves = Vec::new();
    let mut found = 0;
    for bucket in 0..segment.buckets() {
        let verified = segment.prove(bucket).unwrap();
        let verified = verified.verify(bucket, &segment.root(), bits).unwrap();
        for cell in cells.iter().filter(|cell| cell.bucket == bucket) {
            assert_eq!(verified.find(cell.cell.first_chunk().unwrap()), Some(&cell.cell));
            found += 1;
        }
        leaves.push(leaf_hash(verified.bytes()));
    }
    assert_eq!(found, cells.len());
    assert_eq!(segment.root(), *merkle::root(&leaves).as_bytes());
}

/// A forecast may be too low by sixteen times; from then on the epoch ends, and the next has enough buckets within a few.
#[test]
fn an_epoch_ends_where_its_buckets_would_be_too_large() {
    for (bits, most) in
        [(0, 2_048), (1, 4_096), (5, 65_536), (9, SEGMENT_CELLS_MAX), (13, SEGMENT_CELLS_MAX), (255, SEGMENT_CELLS_MAX)]
    {
        assert_eq!(epoch_cells_max(bits), most, "{bits}");
    }
    let mut bits = bucket_bits_for(5);
    let mut epochs = 1;
    while epoch_cells_max(bits) < SEGMENT_CELLS_MAX {
        bits = bucket_bits_for(2 * epoch_cells_max(bits) as u64);
        epochs += 1;
    }
    assert_eq!(epochs, 3);
}

#[test]
fn bucket_bits_follow_the_volume() {
    let expected =
        [(0, 0), (1, 0), (128, 0), (129, 1), (256, 1), (4_000, 5), (711_000, 13), (1 << 20, 13), (u64::MAX, 13)];
    for (cells, bits) in expected {
        assert_eq!(bucket_bits_for(cells), bits, "{cells}");
    }
}

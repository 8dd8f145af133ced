//! Reading a log of somebody else: what it says, that it is proved, and whole-log verification.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use lockplate_log::merkle::{leaf_hash, root};
use lockplate_log::{Checkpoint, Entry, Error, Hash, Log, LogFile, LogView, TileKind, TilePath, tiles_between};
use proptest::prelude::*;

use crate::memory::{Memory, said, signer};

type Tiles = BTreeMap<TilePath, Vec<u8>>;

/// A log of `count` leaves in batches, its last head, and its tiles without the partial ones that are full now.
fn grown(count: usize, batch: usize) -> (Log<Memory>, Tiles) {
    let storage = Memory::default();
    let mut log = Log::create(storage.clone(), signer()).unwrap();
    let numbers: Vec<usize> = (0..count).collect();
    for part in numbers.chunks(batch) {
        drop(log.append_batch(part.iter().copied().map(said).collect()).unwrap());
    }
    let tiles = storage.0.borrow().seen.tiles.clone();
    (log, tiles)
}

fn reader(tiles: &Tiles) -> impl Fn(TilePath) -> Result<Option<Vec<u8>>, Error> + '_ {
    |path| Ok(tiles.get(&path).cloned())
}

fn all(
    view: &LogView<impl Fn(TilePath) -> Result<Option<Vec<u8>>, Error>>,
    range: Range<u64>,
) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    let mut leaves = Vec::new();
    view.verify::<Error>(range, |index, leaf| {
        leaves.push((index, leaf.to_vec()));
        Ok(())
    })?;
    Ok(leaves)
}

/// The checkpoint of the first `size` of the invented leaves.
fn head_at(size: usize) -> Checkpoint {
    let hashes: Vec<Hash> = (0..size).map(|number| leaf_hash(&said(number).leaf())).collect();
    Checkpoint::new(signer().verifier_key().name().clone(), size as u64, root(&hashes)).unwrap()
}

#[test]
fn a_view_says_what_the_log_says() {
    let (log, tiles) = grown(1_100, 97);
    let view = LogView::load(log.head().checkpoint().clone(), reader(&tiles)).unwrap();
    assert_eq!(view.bundle_count(), 5);
    for index in [0, 1, 255, 256, 700, 1_023, 1_024, 1_099] {
        assert_eq!(view.leaf(index).unwrap(), log.leaf(index).unwrap());
        for size in [index + 1, 1_100] {
            assert_eq!(view.inclusion_proof(index, size).unwrap(), log.inclusion_proof(index, size).unwrap());
        }
    }
    assert_eq!(view.bundle(4).unwrap().len(), 76);
    for (old, new) in [(0, 0), (0, 1_100), (1, 2), (255, 257), (256, 1_024), (1_099, 1_100), (1_100, 1_100_u16)] {
        let head = head_at(usize::from(new));
        let (old, new): (u64, u64) = (old, u64::from(new));
        assert_eq!(view.consistency_proof(old, new).unwrap(), log.consistency_proof(old, new).unwrap());
        assert_eq!(view.root_at(new).unwrap(), log.root_at(new).unwrap());
        assert!(view.extends(&head).unwrap());
    }
    // A tree of one size with another root is no beginning of it.
    let forked = Checkpoint::new(log.origin().clone(), 500, leaf_hash(b"other")).unwrap();
    assert_eq!(view.extends(&forked), Ok(false));
    let foreign = Checkpoint::new(lockplate_log::Origin::parse("mayor.example").unwrap(), 0, Hash::empty()).unwrap();
    assert_eq!(view.extends(&foreign), Err(Error::ForeignOrigin));
    // Outside of the tree.
    assert_eq!(view.leaf(1_100), Err(Error::OutOfRange));
    assert_eq!(view.leaf(u64::MAX), Err(Error::OutOfRange));
    assert_eq!(view.bundle(5), Err(Error::OutOfRange));
    assert_eq!(view.bundle(u64::MAX), Err(Error::OutOfRange));
    assert_eq!(view.inclusion_proof(5, 5), Err(Error::OutOfRange));
    assert_eq!(view.inclusion_proof(0, 1_101), Err(Error::OutOfRange));
    assert_eq!(view.consistency_proof(2, 1), Err(Error::OutOfRange));
    assert_eq!(view.consistency_proof(0, 1 << 63), Err(Error::OutOfRange));
    assert_eq!(view.root_at(1_101), Err(Error::OutOfRange));
    assert_eq!(view.extends(&head_at(1_101)), Err(Error::OutOfRange));
}

#[test]
fn an_old_checkpoint_is_read_from_a_log_that_has_grown() {
    let (_, mut tiles) = grown(1_100, 97);
    // Once a tile is full, its partial forms may be gone.
    tiles.retain(|path, _| path.is_full() || path.kind() == TileKind::Hashes(1) || path.index() == 4);
    let expected: Vec<(u64, Vec<u8>)> = (0..1_100).map(|number| (number as u64, said(number).leaf())).collect();
    for size in [0_usize, 1, 2, 255, 256, 257, 600, 1_023, 1_024] {
        let view = LogView::load(head_at(size), reader(&tiles)).unwrap();
        assert_eq!(all(&view, 0..view.bundle_count()).unwrap(), expected[..size]);
    }
    // The tile of an old size that is neither there nor in a full one.
    assert!(matches!(LogView::load(head_at(1_050), reader(&tiles)).unwrap_err(), Error::Missing(LogFile::Tile(_))));
    // Cut from a full one that lies.
    let full = TilePath::parse("tile/0/001").unwrap();
    tiles.get_mut(&full).unwrap()[40] ^= 1;
    assert_eq!(LogView::load(head_at(300), reader(&tiles)).unwrap_err(), Error::EdgeUnproved);
    tiles.get_mut(&full).unwrap()[40] ^= 1;
    tiles.get_mut(&TilePath::parse("tile/entries/001").unwrap()).unwrap()[2] ^= 1;
    assert!(matches!(LogView::load(head_at(300), reader(&tiles)).unwrap_err(), Error::Altered(LogFile::Tile(_))));
}

/// `log.md` section 10, line "Tile, bundle": every byte of every file of a small log, flipped, cut and lengthened.
#[test]
fn verification_finds_every_altered_file_and_names_it() {
    let size = 600;
    let (log, tiles) = grown(size, size);
    let head = log.head().checkpoint().clone();
    let verdict =
        |tiles: &Tiles| LogView::load(head.clone(), reader(tiles)).and_then(|view| all(&view, 0..3).map(|_| ()));
    assert_eq!(verdict(&tiles), Ok(()));
    let needed: Vec<TilePath> = tiles_between(0, size as u64).collect();
    assert_eq!(
        needed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "tile/0/000",
            "tile/0/001",
            "tile/0/002.p/88",
            "tile/1/000.p/2",
            "tile/entries/000",
            "tile/entries/001",
            "tile/entries/002.p/88",
        ]
    );
    for path in &needed {
        let named = |error: Error| {
            matches!(error, Error::Altered(LogFile::Tile(found)) if found == *path) || error == Error::EdgeUnproved
        };
        let length = tiles[path].len();
        for at in (0..length).step_by(if length > 3_000 { 13 } else { 1 }) {
            let mut tiles = tiles.clone();
            tiles.get_mut(path).unwrap()[at] ^= 0x40;
            assert!(named(verdict(&tiles).unwrap_err()), "{path}, byte {at} flipped");
        }
        for change in [
            |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1),
            |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 32),
            |bytes: &mut Vec<u8>| bytes.push(0),
            |bytes: &mut Vec<u8>| bytes.extend([0; 32]),
            |bytes: &mut Vec<u8>| bytes.extend([0, 0]),
            |bytes: &mut Vec<u8>| bytes.clear(),
        ] {
            let mut tiles = tiles.clone();
            change(tiles.get_mut(path).unwrap());
            let error = verdict(&tiles).unwrap_err();
            assert!(matches!(error, Error::Altered(LogFile::Tile(found)) if found == *path), "{path}: {error:?}");
        }
        let mut gone = tiles.clone();
        gone.remove(path);
        assert_eq!(verdict(&gone), Err(Error::Missing(LogFile::Tile(*path))), "{path}");
    }
    // Two bundles in each other's place, each good in itself.
    let mut swapped = tiles.clone();
    let (a, b) = (TilePath::parse("tile/entries/000").unwrap(), TilePath::parse("tile/entries/001").unwrap());
    swapped.insert(a, tiles[&b].clone());
    swapped.insert(b, tiles[&a].clone());
    assert_eq!(verdict(&swapped), Err(Error::Altered(LogFile::Tile(a))));
}

/// Levels 0 to 2, ranges of any cut, each file read once.
#[test]
fn ranges_cover_the_log_and_read_each_file_once() {
    let size = 65_536 + 256 + 3;
    let (log, tiles) = grown(size, 4_096);
    let reads = RefCell::new(BTreeMap::<TilePath, usize>::new());
    let view = LogView::load(log.head().checkpoint().clone(), |path| {
        *reads.borrow_mut().entry(path).or_default() += 1;
        Ok(tiles.get(&path).cloned())
    })
    .unwrap();
    assert_eq!(view.bundle_count(), 258);
    let mut next = 0;
    view.verify::<Error>(0..258, |index, leaf| {
        assert_eq!((index, leaf), (next, &said(usize::try_from(index).unwrap()).leaf()[..]));
        next += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(next, size as u64);
    let once: Vec<TilePath> = tiles_between(0, size as u64).collect();
    assert_eq!(reads.borrow().keys().copied().collect::<std::collections::BTreeSet<_>>(), once.into_iter().collect());
    assert!(reads.borrow().values().all(|&count| count == 1), "each file once");
    for cuts in [vec![0, 129, 258], vec![0, 1, 256, 257, 300], vec![0, 0, 258, 258, u64::MAX]] {
        let leaves: usize = cuts.windows(2).map(|cut| all(&view, cut[0]..cut[1]).unwrap().len()).sum();
        assert_eq!(leaves, size, "{cuts:?}");
    }
    // What `visit` says stops it.
    assert_eq!(
        view.verify(0..258, |index, _| if index == 300 { Err(Error::LeafTime) } else { Ok(()) }),
        Err(Error::LeafTime)
    );
}

#[test]
fn tiles_between_two_sizes_are_those_the_second_has_and_the_first_has_not() {
    let of = |size: u64| tiles_between(0, size).collect::<std::collections::BTreeSet<_>>();
    let mut sizes: Vec<u64> = (0..6).chain(253..260).chain([511, 512, 513, 65_535, 65_536, 65_537, 65_792]).collect();
    sizes.sort_unstable();
    for &old in &sizes {
        for &new in &sizes {
            let between: Vec<TilePath> = tiles_between(old, new).collect();
            let expected: std::collections::BTreeSet<_> =
                if old < new { of(new).difference(&of(old)).copied().collect() } else { Default::default() };
            assert_eq!(between.len(), expected.len(), "{old} to {new}: none twice");
            assert_eq!(between.into_iter().collect::<std::collections::BTreeSet<_>>(), expected, "{old} to {new}");
        }
    }
    // Against what a log writes.
    for size in [1_usize, 256, 300, 1_100] {
        let (_, tiles) = grown(size, size);
        assert_eq!(tiles.keys().copied().collect::<std::collections::BTreeSet<_>>(), of(size as u64));
    }
    assert_eq!(tiles_between(0, 1 << 48).count(), 0);
    assert_eq!(tiles_between(5, 5).count(), 0);
    let last = tiles_between((1 << 48) - 2, (1 << 48) - 1).map(|path| path.to_string()).collect::<Vec<_>>();
    assert_eq!(last.len(), 2, "a leaf that fills no tile changes one tile and one bundle: {last:?}");
    assert!(matches!(tiles_between(0, 70_000).map(|path| path.kind()).last(), Some(TileKind::Entries)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_size_is_read(size in 0_usize..1_400, from in 0_u64..8, to in 0_u64..8) {
        let (log, tiles) = grown(size, 300);
        let view = LogView::load(log.head().checkpoint().clone(), reader(&tiles)).unwrap();
        let leaves = all(&view, from..to).unwrap();
        let expected: Vec<(u64, Vec<u8>)> = (0..size)
            .filter(|number| (from..to).contains(&(*number as u64 / 256)))
            .map(|number| (number as u64, said(number).leaf()))
            .collect();
        prop_assert_eq!(leaves, expected);
    }
}

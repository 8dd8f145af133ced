//! Tile paths, tiles and bundles.

use lockplate_log::tile::{parse_bundle, parse_tile, push_leaf, tile_bytes};
use lockplate_log::{Error, Hash, TileKind, TilePath};
use proptest::prelude::*;

#[test]
fn paths_are_those_of_the_specification() {
    for (kind, index, width, text) in [
        (TileKind::Hashes(0), 0, 256, "tile/0/000"),
        (TileKind::Hashes(0), 1_234_067, 256, "tile/0/x001/x234/067"),
        (TileKind::Hashes(1), 999, 1, "tile/1/999.p/1"),
        (TileKind::Hashes(63), 1_000, 255, "tile/63/x001/000.p/255"),
        (TileKind::Entries, 273, 16, "tile/entries/273.p/16"),
        (TileKind::Entries, 281_474_976_710_655, 255, "tile/entries/x281/x474/x976/x710/655.p/255"),
    ] {
        let path = TilePath::new(kind, index, width).unwrap();
        assert_eq!(path.to_string(), text);
        assert_eq!(TilePath::parse(text).unwrap(), path);
    }
}

#[test]
fn malformed_paths_are_refused() {
    for bad in [
        "",
        "/",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile//000",
        "/tile/0/000",
        "tile/64/000",
        "tile/255/000",
        "tile/256/000",
        "tile/00/000",
        "tile/01/000",
        "tile/+1/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/x001",
        "tile/0/1234",
        "tile/0/12",
        "tile/0/001/234",
        "tile/0/x000/000",
        "tile/0/x1/000",
        "tile/0/xx001/000",
        "tile/0/+01",
        "tile/0/..",
        "tile/../000",
        "tile/0/../../head",
        "tile/0/%2e%2e",
        "tile/0/000/",
        "tile/0/000 ",
        "tile/0/000\n",
        "tile/0/x281/x474/x976/x710/656",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/data/000",
        "tile/8/0/000",
        "tile/Entries/000",
        "tile/0/\u{0661}00",
    ] {
        assert_eq!(TilePath::parse(bad), Err(Error::MalformedTilePath), "{bad}");
    }
    for (kind, index, width) in [
        (TileKind::Hashes(64), 0, 1),
        (TileKind::Hashes(0), 0, 0),
        (TileKind::Hashes(0), 0, 257),
        (TileKind::Entries, 1 << 48, 1),
        (TileKind::Entries, u64::MAX, 256),
    ] {
        assert_eq!(TilePath::new(kind, index, width), Err(Error::MalformedTilePath));
    }
}

#[test]
fn a_path_fits_a_tree_or_does_not() {
    let fits = |text: &str, size: u64| TilePath::parse(text).unwrap().fits(size);
    assert!(fits("tile/0/001.p/44", 300));
    assert!(fits("tile/0/001.p/3", 300), "an earlier size's");
    assert!(!fits("tile/0/001.p/45", 300), "partial wider than the tree");
    assert!(!fits("tile/0/001", 300));
    assert!(fits("tile/0/000", 300));
    assert!(fits("tile/1/000.p/1", 300));
    assert!(!fits("tile/2/000.p/1", 300), "level above the tree");
    assert!(!fits("tile/63/000.p/1", u64::MAX));
    assert!(!fits("tile/0/000.p/1", 0));
    assert!(fits("tile/entries/001.p/44", 300));
    assert!(!fits("tile/entries/002.p/1", 300));
}

#[test]
fn tiles_are_exactly_their_width() {
    let hashes = [Hash::from([1; 32]), Hash::from([2; 32])];
    let bytes = tile_bytes(&hashes);
    assert_eq!(parse_tile(&bytes, 2).unwrap(), hashes);
    assert_eq!(parse_tile(&bytes, 1), Err(Error::MalformedTile), "one hash more");
    assert_eq!(parse_tile(&bytes, 3), Err(Error::MalformedTile));
    assert_eq!(parse_tile(&bytes[..63], 2), Err(Error::MalformedTile), "cut");
    assert_eq!(parse_tile(&[&bytes[..], &[0]].concat(), 2), Err(Error::MalformedTile));
}

#[test]
fn bundles_are_exactly_their_leaves() {
    let mut bundle = Vec::new();
    push_leaf(&mut bundle, b"one").unwrap();
    push_leaf(&mut bundle, &[7; 65_535]).unwrap();
    assert_eq!(push_leaf(&mut bundle, b""), Err(Error::LeafLength));
    assert_eq!(push_leaf(&mut bundle, &[7; 65_536]), Err(Error::LeafLength));
    assert_eq!(parse_bundle(&bundle, 2).unwrap(), [&b"one"[..], &[7; 65_535]]);
    for (bytes, width) in [
        (bundle[..bundle.len() - 1].to_vec(), 2),
        ([&bundle[..], &[0]].concat(), 2),
        (bundle.clone(), 1),
        (bundle.clone(), 3),
        (vec![0, 0], 1),
        (vec![0, 2, 1], 1),
        (vec![0], 1),
        (Vec::new(), 1),
        (vec![0xff, 0xff, 1], 1),
    ] {
        assert_eq!(parse_bundle(&bytes, width), Err(Error::MalformedBundle));
    }
}

proptest! {
    #[test]
    fn every_path_is_read_as_written(level in prop::option::of(0_u8..=63), index in 0_u64..1 << 48, width in 1_u16..=256) {
        let path = TilePath::new(level.map_or(TileKind::Entries, TileKind::Hashes), index, width).unwrap();
        prop_assert_eq!(TilePath::parse(&path.to_string()), Ok(path));
    }

    #[test]
    fn a_path_has_one_spelling(text in "tile/([0-9]{1,3}|entries)(/x?[0-9]{1,4}){1,4}(\\.p/[0-9]{1,3})?") {
        if let Ok(path) = TilePath::parse(&text) {
            prop_assert_eq!(path.to_string(), text);
        }
    }
}

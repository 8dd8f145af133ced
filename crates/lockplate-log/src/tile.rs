//! C2SP tlog-tiles: the paths of hash tiles and entry bundles, and their contents. It never touches a file: a path that has been through
//! [`TilePath::parse`] is safe to join to a folder, nothing else is. Tiles go to the storage and, as they are, to every reader.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use core::fmt;

use crate::error::Error;
use crate::limits::{LEAF_BYTES_MAX, TILE_PATH_BYTES_MAX, TILE_WIDTH, TREE_SIZE_END};
use crate::merkle::Hash;

/// Levels are 0 to 63 in the grammar. A tree below 2^48 leaves has levels 0 to 5; [`TilePath::fits`] says so.
const LEVEL_MAX: u8 = 63;

/// What lies at a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TileKind {
    /// Hashes of this level; level 0 has the hashes of leaves, level L the roots of full tiles of level L-1.
    Hashes(u8),
    /// Leaves.
    Entries,
}

/// Where a tile or bundle lies: `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl TilePath {
    /// A path from its parts: `index` below 2^48, `width` 1 to 256 hashes or leaves, 256 being full.
    ///
    /// # Errors
    /// [`Error::MalformedTilePath`] outside of these ranges, or above level 63.
    pub const fn new(kind: TileKind, index: u64, width: u16) -> Result<Self, Error> {
        let level_is_legal = match kind {
            TileKind::Hashes(level) => level <= LEVEL_MAX,
            TileKind::Entries => true,
        };
        if !level_is_legal || index >= TREE_SIZE_END || width == 0 || width > TILE_WIDTH {
            return Err(Error::MalformedTilePath);
        }
        Ok(Self { kind, index, width })
    }

    /// Reads a path. Total: every path has one spelling, all others are refused.
    ///
    /// # Errors
    /// [`Error::MalformedTilePath`] on anything that is not exactly what Display writes.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > TILE_PATH_BYTES_MAX {
            return Err(Error::MalformedTilePath);
        }
        let path = Self::parse_loosely(text).ok_or(Error::MalformedTilePath)?;
        // Leading zeros, a lone x, a sign: all of it shows by writing the path again.
        if path.to_string() == text { Ok(path) } else { Err(Error::MalformedTilePath) }
    }

    fn parse_loosely(text: &str) -> Option<Self> {
        let (level, rest) = text.strip_prefix("tile/")?.split_once('/')?;
        let kind = if level == "entries" { TileKind::Entries } else { TileKind::Hashes(level.parse().ok()?) };
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse().ok().filter(|&width: &u16| width < TILE_WIDTH)?),
            None => (rest, TILE_WIDTH),
        };
        let mut index = 0_u64;
        for group in groups.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            index = index.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
        }
        Self::new(kind, index, width).ok()
    }

    /// Hashes of which level, or leaves.
    #[must_use]
    pub const fn kind(&self) -> TileKind {
        self.kind
    }

    /// The tile's number within its level, from 0.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Hashes or leaves in it, 1 to 256.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Whether it has 256.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// Whether a tree of `size` leaves has this many hashes or leaves at this place. A level above the tree, and a partial tile wider than
    /// the tree, do not fit.
    #[must_use]
    pub fn fits(&self, size: u64) -> bool {
        let level = match self.kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let at_level = size.checked_shr(u32::from(level).saturating_mul(8)).unwrap_or(0);
        let end =
            self.index.checked_mul(u64::from(TILE_WIDTH)).and_then(|start| start.checked_add(u64::from(self.width)));
        end.is_some_and(|end| end <= at_level)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        // Groups of three digits, the most significant first; all but the last marked x, so that no file is also a folder.
        let mut groups = Vec::new();
        let mut rest = self.index;
        loop {
            groups.push(rest % 1_000);
            rest /= 1_000;
            if rest == 0 {
                break;
            }
        }
        while let Some(group) = groups.pop() {
            if groups.is_empty() {
                write!(f, "{group:03}")?;
            } else {
                write!(f, "x{group:03}/")?;
            }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// All tiles and bundles that a tree of `new` leaves has and one of `old` leaves has not; with `old` 0, all of them. Levels from the leaves up,
/// then the bundles; within each by index, a partial one last. None if `old` is not below `new` or `new` not below 2^48.
pub fn tiles_between(old: u64, new: u64) -> impl Iterator<Item = TilePath> {
    let end = if new < TREE_SIZE_END { new } else { 0 };
    let kinds = (0..6).map(TileKind::Hashes).chain([TileKind::Entries]);
    kinds.flat_map(move |kind| {
        let shift = match kind {
            TileKind::Hashes(level) => u32::from(level).saturating_mul(8),
            TileKind::Entries => 0,
        };
        let (old, new) = (old.checked_shr(shift).unwrap_or(0), end.checked_shr(shift).unwrap_or(0));
        let [width, ..] = new.to_le_bytes();
        let partial = if old < new && width > 0 { TilePath::new(kind, new >> 8, u16::from(width)).ok() } else { None };
        let full = (old >> 8..new >> 8).filter_map(move |index| TilePath::new(kind, index, TILE_WIDTH).ok());
        full.chain(partial)
    })
}

/// The bytes of a hash tile: 32 a hash, nothing else.
#[must_use]
pub fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Reads a hash tile of `width` hashes.
///
/// # Errors
/// [`Error::MalformedTile`] if the bytes are not exactly that many hashes.
pub fn parse_tile(bytes: &[u8], width: u16) -> Result<Vec<Hash>, Error> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || hashes.len() != usize::from(width) {
        return Err(Error::MalformedTile);
    }
    Ok(hashes.iter().copied().map(Hash::from).collect())
}

/// Appends one leaf to a bundle: its length in two bytes, big-endian, then the leaf.
///
/// # Errors
/// [`Error::LeafLength`] if it is empty or over 65,535 bytes; the bundle is then unchanged.
pub fn push_leaf(bundle: &mut Vec<u8>, leaf: &[u8]) -> Result<(), Error> {
    debug_assert!(LEAF_BYTES_MAX == usize::from(u16::MAX), "the limit is what the length field can say");
    let length = u16::try_from(leaf.len()).ok().filter(|&length| length > 0).ok_or(Error::LeafLength)?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(leaf);
    Ok(())
}

/// Reads an entry bundle of `width` leaves.
///
/// # Errors
/// [`Error::MalformedBundle`] if it is cut, has a byte too many, another number of leaves, or an empty one.
pub fn parse_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, Error> {
    let mut rest = bytes;
    let mut leaves = Vec::with_capacity(usize::from(width));
    for _ in 0..width {
        let (&length, tail) = rest.split_first_chunk::<2>().ok_or(Error::MalformedBundle)?;
        let (leaf, tail) =
            tail.split_at_checked(usize::from(u16::from_be_bytes(length))).ok_or(Error::MalformedBundle)?;
        if leaf.is_empty() {
            return Err(Error::MalformedBundle);
        }
        leaves.push(leaf);
        rest = tail;
    }
    if rest.is_empty() { Ok(leaves) } else { Err(Error::MalformedBundle) }
}

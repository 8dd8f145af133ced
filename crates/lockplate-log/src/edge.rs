//! The right edge of the tree: the partial tile of every level and the partial bundle, held in memory, and the reader that proves every other
//! tile against it. It never believes a byte of the disk: the edge is proved against the signed head, and all the rest against the edge.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use crate::checkpoint::Checkpoint;
use crate::error::{Error, LogFile};
use crate::limits::{TILE_WIDTH, TREE_SIZE_END};
use crate::merkle::{Hash, HashSource, fold, leaf_hash, root};
use crate::tile::{TileKind, TilePath, parse_bundle, parse_tile, push_leaf, tile_bytes};

/// Files to be written, in order.
pub(crate) type Files = Vec<(TilePath, Vec<u8>)>;

/// What [`RightEdge::load`] and [`TileReader`] read files with.
pub(crate) type ReadTile<'a> = dyn Fn(TilePath) -> Result<Option<Vec<u8>>, Error> + 'a;

/// The right edge. INVARIANT: `levels[l]` has floor(size / 256^l) mod 256 hashes, `bundle` the last `size` mod 256 leaves; at most six levels.
#[derive(Clone, Debug, Default)]
pub(crate) struct RightEdge {
    size: u64,
    levels: Vec<Vec<Hash>>,
    bundle: Vec<u8>,
}

/// The tile of `level` at the right edge of a tree of `size` leaves: its index, and its width, which is 0 if the tile does not exist.
fn edge_place(size: u64, level: usize) -> (u64, u16) {
    let shift = u32::try_from(level).unwrap_or(u32::MAX).saturating_mul(8);
    let at_level = size.checked_shr(shift).unwrap_or(0);
    let (index, width) = tile_of(at_level);
    (index, u16::from(width))
}

/// The tile that has the hash (or the bundle that has the leaf) of this number, and its place there: quotient and remainder by 256.
pub(crate) const fn tile_of(number: u64) -> (u64, u8) {
    let [place, ..] = number.to_le_bytes();
    (number >> 8, place)
}

/// Levels of hash tiles of a tree of this size.
fn level_count(size: u64) -> usize {
    let mut count = 0_usize;
    let mut rest = size;
    while rest > 0 {
        count = count.saturating_add(1);
        rest >>= 8;
    }
    count
}

fn hashes_at(level: usize) -> Result<TileKind, Error> {
    u8::try_from(level).ok().map(TileKind::Hashes).ok_or(Error::TreeFull)
}

impl RightEdge {
    /// Reads the edge of `head` tile by tile and proves it: its root must be the head's, and the partial bundle must hash to level 0.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Altered`] with the file; [`Error::EdgeUnproved`] if the whole does not hash to the root.
    pub(crate) fn load(head: &Checkpoint, read: &ReadTile<'_>) -> Result<Self, Error> {
        let size = head.size();
        let mut levels = Vec::new();
        for level in 0..level_count(size) {
            let (index, width) = edge_place(size, level);
            let mut hashes = Vec::new();
            if width > 0 {
                let path = TilePath::new(hashes_at(level)?, index, width)?;
                let bytes = read(path)?.ok_or(Error::Missing(LogFile::Tile(path)))?;
                hashes = parse_tile(&bytes, width).ok().ok_or(Error::Altered(LogFile::Tile(path)))?;
            }
            levels.push(hashes);
        }
        let mut edge = Self { size, levels, bundle: Vec::new() };
        if edge.root() != head.root() {
            return Err(Error::EdgeUnproved);
        }
        let (index, width) = edge_place(size, 0);
        if width > 0 {
            let path = TilePath::new(TileKind::Entries, index, width)?;
            let bytes = read(path)?.ok_or(Error::Missing(LogFile::Tile(path)))?;
            let hashes = edge.levels.first().map_or(&[][..], Vec::as_slice);
            check_bundle(&bytes, hashes).ok().ok_or(Error::Altered(LogFile::Tile(path)))?;
            edge.bundle = bytes;
        }
        Ok(edge)
    }

    /// The number of leaves.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The partial tile of a level: the number within its level of its first hash, and the hashes. None above the tree.
    pub(crate) fn level(&self, level: usize) -> Option<(u64, &[Hash])> {
        let (index, _) = edge_place(self.size, level);
        Some((index.checked_mul(u64::from(TILE_WIDTH))?, self.levels.get(level)?.as_slice()))
    }

    /// The root over all leaves.
    pub(crate) fn root(&self) -> Hash {
        // The perfect subtrees of the tree are, smallest first: those of the level-0 tile, then those of level 1, and so on.
        let mut parts = Vec::new();
        for hashes in &self.levels {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let width = 1_usize.checked_shl(rest.len().trailing_zeros()).unwrap_or(0);
                let Some((head, tail)) = rest.len().checked_sub(width).and_then(|at| rest.split_at_checked(at)) else {
                    break;
                };
                parts.push(root(tail));
                rest = head;
            }
        }
        fold(parts.into_iter()).unwrap_or_else(Hash::empty)
    }

    /// Adds leaves and returns the files that are new: each tile and bundle that became full, and the partial ones of the **last** size only.
    ///
    /// # Errors
    /// [`Error::LeafLength`], [`Error::TreeFull`]; the edge is then spoilt and must be dropped.
    pub(crate) fn extend(&mut self, leaves: &[Vec<u8>]) -> Result<Files, Error> {
        let mut files = Files::new();
        let mut levels_touched = 0_usize;
        for leaf in leaves {
            let size = self.size.checked_add(1).filter(|&size| size < TREE_SIZE_END).ok_or(Error::TreeFull)?;
            push_leaf(&mut self.bundle, leaf)?;
            self.size = size;
            if size.is_multiple_of(u64::from(TILE_WIDTH)) {
                let (end, _) = edge_place(size, 0);
                let path = TilePath::new(TileKind::Entries, end.saturating_sub(1), TILE_WIDTH)?;
                files.push((path, core::mem::take(&mut self.bundle)));
            }
            levels_touched = self.push(leaf_hash(leaf), &mut files)?.max(levels_touched);
        }
        for (level, hashes) in self.levels.iter().enumerate().take(levels_touched) {
            let (index, width) = edge_place(self.size, level);
            if width > 0 {
                files.push((TilePath::new(hashes_at(level)?, index, width)?, tile_bytes(hashes)));
            }
        }
        let (index, width) = edge_place(self.size, 0);
        if width > 0 && levels_touched > 0 {
            files.push((TilePath::new(TileKind::Entries, index, width)?, self.bundle.clone()));
        }
        Ok(files)
    }

    /// Pushes a leaf hash, and the root of every tile that this fills to the level above. Returns the number of levels touched.
    fn push(&mut self, leaf: Hash, files: &mut Files) -> Result<usize, Error> {
        let mut carry = leaf;
        let mut level = 0_usize;
        loop {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let next = level.saturating_add(1);
            let hashes = self.levels.get_mut(level).ok_or(Error::TreeFull)?;
            hashes.push(carry);
            if hashes.len() < usize::from(TILE_WIDTH) {
                return Ok(next);
            }
            let full = core::mem::take(hashes);
            let (end, _) = edge_place(self.size, level);
            files.push((TilePath::new(hashes_at(level)?, end.saturating_sub(1), TILE_WIDTH)?, tile_bytes(&full)));
            carry = root(&full);
            level = next;
        }
    }
}

/// Checks that a bundle's leaves hash to these level-0 hashes, and returns them.
pub(crate) fn check_bundle<'a>(bytes: &'a [u8], hashes: &[Hash]) -> Result<Vec<&'a [u8]>, Error> {
    let width = u16::try_from(hashes.len()).ok().ok_or(Error::MalformedBundle)?;
    let leaves = parse_bundle(bytes, width)?;
    if leaves.iter().zip(hashes).all(|(leaf, hash)| leaf_hash(leaf) == *hash) {
        Ok(leaves)
    } else {
        Err(Error::MalformedBundle)
    }
}

/// Reads tiles and bundles and proves each against the right edge: a full tile's root must be in the tile above, up to the edge. At most six
/// files a tile.
pub(crate) struct TileReader<'a> {
    pub(crate) edge: &'a RightEdge,
    pub(crate) read: &'a ReadTile<'a>,
}

impl TileReader<'_> {
    /// The hashes of tile `index` of `level`, full or at the edge.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no such tile; [`Error::Missing`], [`Error::Altered`] with the file.
    pub(crate) fn tile(&self, level: usize, index: u64) -> Result<Vec<Hash>, Error> {
        let (edge_index, width) = edge_place(self.edge.size, level);
        if index == edge_index && width > 0 {
            return self.edge.levels.get(level).cloned().ok_or(Error::OutOfRange);
        }
        if index >= edge_index {
            return Err(Error::OutOfRange);
        }
        let path = TilePath::new(hashes_at(level)?, index, TILE_WIDTH)?;
        let bytes = (self.read)(path)?.ok_or(Error::Missing(LogFile::Tile(path)))?;
        let hashes = parse_tile(&bytes, TILE_WIDTH).ok().ok_or(Error::Altered(LogFile::Tile(path)))?;
        let (parent, place) = tile_of(index);
        let above = self.tile(level.saturating_add(1), parent)?;
        if above.get(usize::from(place)) != Some(&root(&hashes)) {
            return Err(Error::Altered(LogFile::Tile(path)));
        }
        Ok(hashes)
    }

    /// The bytes of bundle `index`, full or at the edge, and how many leaves it has.
    ///
    /// # Errors
    /// As [`TileReader::tile`].
    pub(crate) fn bundle(&self, index: u64) -> Result<(Vec<u8>, u16), Error> {
        let (edge_index, width) = edge_place(self.edge.size, 0);
        if index == edge_index && width > 0 {
            return Ok((self.edge.bundle.clone(), width));
        }
        let hashes = self.tile(0, index)?;
        let path = TilePath::new(TileKind::Entries, index, TILE_WIDTH)?;
        let bytes = (self.read)(path)?.ok_or(Error::Missing(LogFile::Tile(path)))?;
        check_bundle(&bytes, &hashes).ok().ok_or(Error::Altered(LogFile::Tile(path)))?;
        Ok((bytes, TILE_WIDTH))
    }

    /// Proves one file that a staging file wants to create: it must be exactly what the tree has there.
    ///
    /// # Errors
    /// [`Error::Altered`] of the staging file.
    pub(crate) fn check_staged(&self, path: TilePath, bytes: &[u8]) -> Result<(), Error> {
        let proved = match path.kind() {
            TileKind::Hashes(level) => self.tile(usize::from(level), path.index()).map(|hashes| tile_bytes(&hashes)),
            TileKind::Entries => self.bundle(path.index()).map(|(bytes, _)| bytes),
        };
        match proved {
            Ok(proved) if proved == bytes && path.fits(self.edge.size) => Ok(()),
            Err(error @ Error::Storage { .. }) => Err(error),
            Ok(_) | Err(_) => Err(Error::Altered(LogFile::Staging)),
        }
    }
}

impl HashSource for TileReader<'_> {
    fn subtree(&self, height: u32, index: u64) -> Result<Hash, Error> {
        let level = usize::try_from(height / 8).ok().ok_or(Error::OutOfRange)?;
        let within = height % 8;
        let start = index.checked_shl(within).filter(|start| start >> within == index).ok_or(Error::OutOfRange)?;
        let (tile, place) = tile_of(start);
        let hashes = self.tile(level, tile)?;
        let from = usize::from(place);
        let to = 1_usize.checked_shl(within).and_then(|width| from.checked_add(width)).ok_or(Error::OutOfRange)?;
        hashes.get(from..to).map(root).ok_or(Error::OutOfRange)
    }
}

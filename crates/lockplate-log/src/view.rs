//! A log of somebody else, read through its tiles: [`LogView`]. It believes nothing but one checkpoint, which its maker has verified; every
//! tile, bundle and leaf is proved against that root before it is returned. It reads no file and no network: the caller hands in how a tile
//! is got. Monitors, verifiers, mirrors and the register stand on it.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use core::fmt;
use core::ops::Range;

use crate::checkpoint::Checkpoint;
use crate::edge::{RightEdge, TileReader, check_bundle, tile_of};
use crate::error::{Error, LogFile};
use crate::limits::TILE_WIDTH;
use crate::merkle::{ConsistencyProof, Hash, InclusionProof, root, root_at};
use crate::tile::{TileKind, TilePath, parse_bundle, parse_tile, push_leaf};

/// A log as one checkpoint describes it. `F` gets the bytes at a path, `None` if there are none; it may be a folder, a server or a cache, and
/// is trusted with nothing. Shared between threads where `F` can be.
///
/// ```
/// use lockplate_log::{Error, LogView, TilePath, VerifierKey, SignedCheckpoint};
///
/// fn first_leaf(note: &[u8], log: &VerifierKey, read: impl Fn(TilePath) -> Result<Option<Vec<u8>>, Error>) -> Result<Vec<u8>, Error> {
///     let signed = SignedCheckpoint::parse(note, log)?;
///     LogView::load(signed.checkpoint().clone(), read)?.leaf(0)
/// }
/// ```
pub struct LogView<F> {
    head: Checkpoint,
    edge: RightEdge,
    read: F,
}

impl<F: Fn(TilePath) -> Result<Option<Vec<u8>>, Error>> LogView<F> {
    /// Reads the right edge of the tree and proves it against `head`, whose signatures the caller has verified. A partial tile that is gone is
    /// cut from the full one, so an old checkpoint can be read from a log that has grown.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Altered`] with the file; [`Error::EdgeUnproved`] if the tiles do not hash to the root; those of `read`.
    pub fn load(head: Checkpoint, read: F) -> Result<Self, Error> {
        let edge = RightEdge::load(&head, &|path| read_or_cut(&read, path))?;
        Ok(Self { head, edge, read })
    }

    /// The checkpoint that everything is proved against.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.head
    }

    /// Leaf `index`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is none; [`Error::Missing`], [`Error::Altered`] with the file; those of the reader.
    pub fn leaf(&self, index: u64) -> Result<Vec<u8>, Error> {
        let (bundle, place) = tile_of(index);
        let (bytes, width) = self.tiles().bundle(bundle)?;
        let leaf = parse_bundle(&bytes, width)?.get(usize::from(place)).map(|leaf| leaf.to_vec());
        leaf.ok_or(Error::OutOfRange)
    }

    /// The leaves 256 * `bundle` .. 256 * (`bundle` + 1), as far as they exist. To read them all, [`LogView::verify`] is ten times faster.
    ///
    /// # Errors
    /// As [`LogView::leaf`].
    pub fn bundle(&self, bundle: u64) -> Result<Vec<Vec<u8>>, Error> {
        let (bytes, width) = self.tiles().bundle(bundle)?;
        Ok(parse_bundle(&bytes, width)?.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The proof that leaf `index` is in the first `size` leaves.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `index` is not below `size` or `size` above the checkpoint's; otherwise as [`LogView::leaf`].
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<InclusionProof, Error> {
        self.check_size(size)?;
        InclusionProof::make(&self.tiles(), index, size)
    }

    /// The proof that the first `old` leaves are the beginning of the first `new`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `old` is above `new` or `new` above the checkpoint's size; otherwise as [`LogView::leaf`].
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<ConsistencyProof, Error> {
        self.check_size(new)?;
        ConsistencyProof::make(&self.tiles(), old, new)
    }

    /// The root over the first `size` leaves.
    ///
    /// # Errors
    /// As [`LogView::consistency_proof`].
    pub fn root_at(&self, size: u64) -> Result<Hash, Error> {
        self.check_size(size)?;
        root_at(&self.tiles(), size)
    }

    /// Whether this log, as its checkpoint describes it, begins with the tree of another checkpoint of the same origin. `false` with a
    /// checkpoint that the log has signed is a fork, and both notes with the tiles are the proof.
    ///
    /// # Errors
    /// [`Error::ForeignOrigin`]; [`Error::OutOfRange`] if the other checkpoint is larger (open that one instead, and ask it about this one);
    /// otherwise as [`LogView::leaf`].
    pub fn extends(&self, older: &Checkpoint) -> Result<bool, Error> {
        if older.origin() != self.head.origin() {
            return Err(Error::ForeignOrigin);
        }
        Ok(self.root_at(older.size())? == older.root())
    }

    /// The number of bundles, the partial one at the end included: what [`LogView::verify`] counts in.
    #[must_use]
    pub const fn bundle_count(&self) -> u64 {
        self.edge.size().div_ceil(TILE_WIDTH as u64)
    }

    /// Verifies the bundles of `range` (as far as they exist) and every hash tile above them, and shows each leaf with its index to `visit`,
    /// in order. Each file is read once; memory is a bundle and a tile a level. `0..bundle_count()` is the whole log: every tile of this size
    /// and every leaf. Callers with several threads split that range; only the few tiles above a split are then read twice.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Altered`] with the first file that is wrong; those of the reader and of `visit`, which stop it.
    pub fn verify<E: From<Error>>(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Below each hash of the edge there is a perfect subtree; the highest level has the oldest leaves.
        for level in (1..=5_u8).rev() {
            let Some((first, hashes)) = self.edge.level(usize::from(level)) else { continue };
            for (index, &hash) in (first..).zip(hashes) {
                self.descend(level.saturating_sub(1), index, hash, &range, &mut visit)?;
            }
        }
        let (bundle, width) = tile_of(self.edge.size());
        if width > 0 && range.contains(&bundle) {
            // Proved when the view was opened.
            let (bytes, width) = self.tiles().bundle(bundle)?;
            show(bundle, &parse_bundle(&bytes, width)?, &mut visit)?;
        }
        Ok(())
    }

    /// Verifies the full tile `index` of `level`, whose root must be `expected`, and what is below it, as far as `range` needs it.
    fn descend<E: From<Error>>(
        &self,
        level: u8,
        index: u64,
        expected: Hash,
        range: &Range<u64>,
        visit: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let shift = u32::from(level).saturating_mul(8);
        let first = index.checked_shl(shift).unwrap_or(u64::MAX);
        let end = index.saturating_add(1).checked_shl(shift).unwrap_or(u64::MAX);
        if end <= range.start || range.end <= first {
            return Ok(());
        }
        let path = TilePath::new(TileKind::Hashes(level), index, TILE_WIDTH)?;
        let hashes = parse_tile(&self.must_read(path)?, TILE_WIDTH).ok().filter(|hashes| root(hashes) == expected);
        let hashes = hashes.ok_or(Error::Altered(LogFile::Tile(path)))?;
        let Some(below) = level.checked_sub(1) else {
            let path = TilePath::new(TileKind::Entries, index, TILE_WIDTH)?;
            let bytes = self.must_read(path)?;
            let leaves = check_bundle(&bytes, &hashes).ok().ok_or(Error::Altered(LogFile::Tile(path)))?;
            return show(index, &leaves, visit);
        };
        let children = index.checked_mul(u64::from(TILE_WIDTH)).ok_or(Error::OutOfRange)?;
        (children..).zip(hashes).try_for_each(|(child, hash)| self.descend(below, child, hash, range, visit))
    }

    fn must_read(&self, path: TilePath) -> Result<Vec<u8>, Error> {
        (self.read)(path)?.ok_or(Error::Missing(LogFile::Tile(path)))
    }

    fn tiles(&self) -> TileReader<'_> {
        TileReader { edge: &self.edge, read: &self.read }
    }

    const fn check_size(&self, size: u64) -> Result<(), Error> {
        if size > self.edge.size() { Err(Error::OutOfRange) } else { Ok(()) }
    }
}

impl<F> fmt::Debug for LogView<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogView").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Shows the leaves of a bundle.
fn show<E>(bundle: u64, leaves: &[&[u8]], visit: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
    let first = bundle.saturating_mul(u64::from(TILE_WIDTH));
    (first..).zip(leaves).try_for_each(|(index, leaf)| visit(index, leaf))
}

/// Reads a partial tile, or cuts it from the full one that has taken its place. What is cut wrongly fails its proof.
fn read_or_cut(
    read: &impl Fn(TilePath) -> Result<Option<Vec<u8>>, Error>,
    path: TilePath,
) -> Result<Option<Vec<u8>>, Error> {
    let found = read(path)?;
    if found.is_some() || path.is_full() {
        return Ok(found);
    }
    let full = read(TilePath::new(path.kind(), path.index(), TILE_WIDTH)?)?;
    Ok(full.map(|bytes| cut(&bytes, path).unwrap_or(bytes)))
}

/// The first hashes or leaves of a full tile or bundle.
fn cut(full: &[u8], path: TilePath) -> Option<Vec<u8>> {
    let width = usize::from(path.width());
    match path.kind() {
        TileKind::Hashes(_) => full.get(..width.checked_mul(32)?).map(<[u8]>::to_vec),
        TileKind::Entries => {
            let mut bundle = Vec::new();
            for leaf in parse_bundle(full, TILE_WIDTH).ok()?.into_iter().take(width) {
                push_leaf(&mut bundle, leaf).ok()?;
            }
            Some(bundle)
        }
    }
}

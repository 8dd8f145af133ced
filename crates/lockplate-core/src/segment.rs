//! The segment (LPv1 section 7): the cells of one closed epoch in 2^`bucket_bits` padded buckets under one Merkle root, and the proof that a
//! bucket is one of them. It opens nothing and trusts no archive: a bucket that does not lead to the logged root is an error, never "no
//! match". Segments go to the archive, proofs to whoever opens.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use lockplate_log::merkle::{Hash, HashSource, InclusionProof, leaf_hash, node_hash};
use rand_core::CryptoRng;

use crate::error::{Error, Result};
use crate::limits::{BUCKET_BITS_MAX, BUCKET_CELLS_PLANNED, BUCKET_PAD_CELLS, CELL_BYTES};
use crate::wire::{Reader, Writer};

/// Cells of one epoch, padding not counted: 291 a second for an hour, the 1,750 cameras of a big county at their peak included (`scale.md`).
/// The recorder ends the epoch and starts the next when it is reached, so that closing never meets more.
pub const SEGMENT_CELLS_MAX: usize = 1 << 20;
/// Cells of one segment with its padding: 1 GiB. Met only where `bucket_bits` is far too large for the cells there are.
pub const SEGMENT_PADDED_CELLS_MAX: usize = 1 << 22;
/// Cells of one bucket: all of an epoch, if all are of one plate. A multiple of 16.
pub const BUCKET_CELLS_MAX: usize = SEGMENT_CELLS_MAX;
/// Bytes of a tag, the head of each cell.
pub const TAG_BYTES: usize = 32;
/// Bytes of one hash of an inclusion path.
const HASH_BYTES: usize = 32;

/// An epoch of so many times the cells that it was planned for has too few buckets.
const OUTGROWN: usize = 16;

/// Cells that were written whose room is given back together: 16 MiB.
const GIVEN_BACK_CELLS: usize = 64 * 1024;

/// A sealed cell and the bucket it belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpoolCell {
    /// Bucket number, below 2^`bucket_bits` of the epoch.
    pub bucket: u32,
    /// Tag (32 bytes), nonce (12), ciphertext with its AEAD tag (212).
    pub cell: [u8; CELL_BYTES],
}

impl core::fmt::Debug for SpoolCell {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Equal bucket numbers hint at equal plates: they stay out of traces.
        f.write_str("SpoolCell(..)")
    }
}

/// `bucket_bits` for the next epoch of a recorder whose recent epochs held `recent_cells` cells: buckets of about 128 cells (64 to 128 where
/// the forecast holds). At most 13: an epoch holds no more than [`SEGMENT_CELLS_MAX`].
#[must_use]
pub fn bucket_bits_for(recent_cells: u64) -> u8 {
    let cells = recent_cells.min(u64::try_from(SEGMENT_CELLS_MAX).unwrap_or(u64::MAX));
    let buckets = cells.div_ceil(BUCKET_CELLS_PLANNED).max(1).next_power_of_two();
    u8::try_from(buckets.trailing_zeros()).unwrap_or(BUCKET_BITS_MAX)
}

/// Cells that an epoch of 2^`bucket_bits` buckets takes: sixteen times what its buckets were planned for. Where the forecast was too low by more, the
/// recorder ends the epoch and starts one with more buckets: a search that fetches a bucket is not to fetch an hour.
#[must_use]
pub fn epoch_cells_max(bucket_bits: u8) -> usize {
    let a_bucket = usize::try_from(BUCKET_CELLS_PLANNED).unwrap_or(usize::MAX).saturating_mul(OUTGROWN);
    let buckets = 1_usize.checked_shl(u32::from(bucket_bits)).unwrap_or(usize::MAX);
    a_bucket.saturating_mul(buckets).min(SEGMENT_CELLS_MAX)
}

/// Cells of a bucket that holds `cells` sealed ones, with its padding: a multiple of 16, and at least 16.
#[must_use]
pub const fn padded_cells(cells: usize) -> usize {
    let least = if cells == 0 { 1 } else { cells };
    least.next_multiple_of(BUCKET_PAD_CELLS)
}

/// The cells of one closed epoch, sorted by bucket and tag and padded. Bytes are the buckets back to back; a bucket is its cells back to back.
#[derive(Clone)]
pub struct Segment {
    bucket_bits: u8,
    bytes: Vec<u8>,
    /// First byte of each bucket, and the end of the last: 2^`bucket_bits` + 1 numbers.
    starts: Vec<usize>,
    tree: Tree,
}

impl core::fmt::Debug for Segment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Segment").field("bucket_bits", &self.bucket_bits).field("bytes", &self.bytes.len()).finish()
    }
}

impl Segment {
    /// Sorts the cells by (bucket, tag) and fills **every** bucket, an empty one too, with random cells to a multiple of 16 and at least 16.
    /// (LPv1 says "a multiple of 16"; with none in an empty bucket, its emptiness would be exact.) A random cell looks like a sealed one, and
    /// it stands where its tag sorts it, so neither content nor place tells padding from reads. Nor does the order tell when a read came.
    ///
    /// Memory: the padded segment and a little more; what is written is given back on the way. The padding is fresh each time: two segments of one spool have two roots, so a segment that
    /// is durable is kept, never built again.
    ///
    /// # Errors
    /// `Invalid` if a cell's bucket is not below 2^`bucket_bits`, if there are more than [`SEGMENT_CELLS_MAX`] cells, or if the padded segment
    /// would exceed [`SEGMENT_PADDED_CELLS_MAX`].
    pub fn build(bucket_bits: u8, mut cells: Vec<SpoolCell>, rng: &mut impl CryptoRng) -> Result<Self> {
        if bucket_bits > BUCKET_BITS_MAX {
            return Err(Error::invalid("a segment would have too many buckets"));
        }
        if cells.len() > SEGMENT_CELLS_MAX {
            return Err(Error::invalid("an epoch has too many cells for one segment"));
        }
        // Backwards, so that what is written is the end, and its room can be given back.
        cells.sort_unstable_by(|a, b| (b.bucket, &b.cell).cmp(&(a.bucket, &a.cell)));
        let counts = padded_counts(bucket_bits, &cells)?;
        let padded = counts.iter().fold(0_usize, |sum, &count| sum.saturating_add(count));
        let mut bytes = Vec::with_capacity(padded.saturating_mul(CELL_BYTES));
        let mut starts = Vec::with_capacity(counts.len().saturating_add(1));
        let mut leaves = Vec::with_capacity(counts.len());
        starts.push(0);
        for (bucket, &count) in (0_u32..).zip(&counts) {
            let start = bytes.len();
            let left = cells.iter().rposition(|cell| cell.bucket != bucket).map_or(0, |last| last.saturating_add(1));
            append_bucket(&mut bytes, cells.get(left..).unwrap_or_default(), count, rng);
            cells.truncate(left);
            if cells.capacity().saturating_sub(left) > GIVEN_BACK_CELLS {
                cells.shrink_to_fit();
            }
            leaves.push(leaf_hash(bytes.get(start..).unwrap_or_default()));
            starts.push(bytes.len());
        }
        Ok(Self { bucket_bits, bytes, starts, tree: Tree::over(leaves) })
    }

    /// Buckets are 2^this.
    #[must_use]
    pub const fn bucket_bits(&self) -> u8 {
        self.bucket_bits
    }

    /// `segment_root` of the `EpochClose`: the RFC 6962 root over the buckets.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        *self.tree.root().as_bytes()
    }

    /// `cells_padded` of the `EpochClose`: real and random cells together.
    #[must_use]
    pub fn cells_padded(&self) -> u64 {
        u64::try_from(self.bytes.chunks(CELL_BYTES).len()).unwrap_or(u64::MAX)
    }

    /// All buckets back to back.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Number of buckets, at most 2^18.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        1_u32.checked_shl(u32::from(self.bucket_bits)).unwrap_or(0)
    }

    /// Cells of bucket `bucket`, padding included, or `None` beyond the last bucket.
    #[must_use]
    pub fn bucket(&self, bucket: u32) -> Option<&[u8]> {
        let at = usize::try_from(bucket).ok()?;
        self.bytes.get(*self.starts.get(at)?..*self.starts.get(at.checked_add(1)?)?)
    }

    /// The inclusion path of one bucket, leaf to root, `bucket_bits` hashes.
    ///
    /// # Errors
    /// `Invalid` beyond the last bucket.
    pub fn path(&self, bucket: u32) -> Result<Vec<[u8; 32]>> {
        let proof = InclusionProof::make(&self.tree, u64::from(bucket), u64::from(self.buckets()))
            .map_err(|_range| Error::invalid("a segment has no such bucket"))?;
        Ok(proof.hashes().iter().map(|hash| *hash.as_bytes()).collect())
    }

    /// One bucket with its proof.
    ///
    /// # Errors
    /// `Invalid` beyond the last bucket.
    pub fn prove(&self, bucket: u32) -> Result<BucketProof> {
        let cells = self.bucket(bucket).ok_or(Error::invalid("a segment has no such bucket"))?.to_vec();
        Ok(BucketProof { bucket, cells, path: self.path(bucket)? })
    }
}

/// Cells of each bucket with padding.
fn padded_counts(bucket_bits: u8, cells: &[SpoolCell]) -> Result<Vec<usize>> {
    let too_large = || Error::invalid("a segment would have too many cells with its padding");
    let buckets = 1_usize.checked_shl(u32::from(bucket_bits)).ok_or_else(too_large)?;
    // Checked before anything is allocated: an absurd bucket count must not cost its memory first.
    if buckets.saturating_mul(BUCKET_PAD_CELLS) > SEGMENT_PADDED_CELLS_MAX {
        return Err(too_large());
    }
    let mut counts = vec![0_usize; buckets];
    for cell in cells {
        let count = usize::try_from(cell.bucket).ok().and_then(|bucket| counts.get_mut(bucket));
        let count = count.ok_or(Error::invalid("a cell is of a bucket that the epoch does not have"))?;
        *count = count.saturating_add(1);
    }
    let mut total = 0_usize;
    for count in &mut counts {
        *count = padded_cells(*count);
        total = total.saturating_add(*count);
    }
    if total > SEGMENT_PADDED_CELLS_MAX { Err(too_large()) } else { Ok(counts) }
}

/// Merges `real`, which is sorted backwards, with random cells up to `count`.
fn append_bucket(bytes: &mut Vec<u8>, real: &[SpoolCell], count: usize, rng: &mut impl CryptoRng) {
    let mut padding = vec![[0_u8; CELL_BYTES]; count.saturating_sub(real.len())];
    for cell in &mut padding {
        rng.fill_bytes(cell);
    }
    padding.sort_unstable();
    let mut padding = padding.iter().peekable();
    for SpoolCell { cell, .. } in real.iter().rev() {
        while let Some(random) = padding.next_if(|random| *random < cell) {
            bytes.extend_from_slice(random);
        }
        bytes.extend_from_slice(cell);
    }
    padding.for_each(|random| bytes.extend_from_slice(random));
}

/// Every node over the buckets, level by level from the leaves up: what [`InclusionProof::make`] asks for.
#[derive(Clone)]
struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// `leaves` are a power of two, so every pair is whole.
    fn over(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let above = level.as_chunks().0.iter().map(|[left, right]| node_hash(*left, *right)).collect();
            levels.push(above);
        }
        Self { levels }
    }

    fn root(&self) -> Hash {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_else(Hash::empty)
    }
}

impl HashSource for Tree {
    fn subtree(&self, height: u32, index: u64) -> core::result::Result<Hash, lockplate_log::Error> {
        let level = usize::try_from(height).ok().and_then(|height| self.levels.get(height));
        let hash = level.zip(usize::try_from(index).ok()).and_then(|(level, index)| level.get(index));
        hash.copied().ok_or(lockplate_log::Error::OutOfRange)
    }
}

/// One bucket as an archive serves it: nothing is proved before [`BucketProof::verify`].
///
/// ```text
/// struct { uint32 bucket; opaque cells<4096..2^28>; /* uint32 length, a multiple of 4096 bytes */
///          opaque path<0..768>;                     /* uint32 length, 32 bytes a hash, leaf to root */ } BucketProof;
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BucketProof {
    /// Which bucket the sender says it is.
    pub bucket: u32,
    /// Its cells back to back, a multiple of 16 and at least 16.
    pub cells: Vec<u8>,
    /// Inclusion path, leaf to root.
    pub path: Vec<[u8; 32]>,
}

impl core::fmt::Debug for BucketProof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("BucketProof(..)")
    }
}

impl BucketProof {
    /// Bytes of the longest encoding.
    pub const BYTES_MAX: usize = 12 + BUCKET_CELLS_MAX * CELL_BYTES + BUCKET_BITS_MAX as usize * HASH_BYTES;

    /// The wire form above.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Writer::new().u32(self.bucket).lv32(&self.cells).lv32(self.path.as_flattened()).finish()
    }

    /// Reads the wire form. Total; allocates no more than the input is long.
    ///
    /// # Errors
    /// `Malformed` for a length that is cut, over its bound, or no multiple of its unit; for no cells; for a trailing byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let bucket = reader.u32()?;
        let cells = reader.lv32(BUCKET_CELLS_MAX.saturating_mul(CELL_BYTES))?;
        let path = reader.lv32(usize::from(BUCKET_BITS_MAX).saturating_mul(HASH_BYTES))?;
        reader.end()?;
        if !whole_bucket(cells) {
            return Err(Error::malformed("a bucket is not a multiple of 16 cells"));
        }
        let (path, rest) = path.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() {
            return Err(Error::malformed("an inclusion path is not a whole number of hashes"));
        }
        Ok(Self { bucket, cells: cells.to_vec(), path: path.to_vec() })
    }

    /// Checks that these cells are bucket `wanted` of the segment with `root` (from the logged `EpochClose`) and `bucket_bits` (from the signed
    /// header). Without `wanted`, an archive could answer with a neighbour, valid proof and all, and have it taken for "no match".
    ///
    /// # Errors
    /// `OwnerMisbehaved` if it is another bucket, or the path does not lead from these cells to that root, or the cells are not sorted by tag
    /// (then the recorder broke LPv1 section 7). No cell may be used.
    pub fn verify(&self, wanted: u32, root: &[u8; 32], bucket_bits: u8) -> Result<VerifiedBucket<'_>> {
        if self.bucket != wanted {
            return Err(Error::owner("the archive answered with another bucket"));
        }
        let unproved = || Error::owner("a bucket does not lead to the logged segment root");
        let (cells, _) = self.cells.as_chunks::<CELL_BYTES>();
        if bucket_bits > BUCKET_BITS_MAX || !whole_bucket(&self.cells) {
            return Err(unproved());
        }
        let size = 1_u64.checked_shl(u32::from(bucket_bits)).ok_or_else(unproved)?;
        let hashes = self.path.iter().copied().map(Hash::from).collect();
        InclusionProof::from_parts(u64::from(wanted), size, hashes)
            .and_then(|proof| proof.verify(leaf_hash(&self.cells), Hash::from(*root)))
            .map_err(|_unproved| unproved())?;
        if !cells.is_sorted_by_key(tag_of) {
            return Err(Error::owner("the cells of a bucket are not sorted by tag"));
        }
        Ok(VerifiedBucket { cells })
    }
}

fn whole_bucket(cells: &[u8]) -> bool {
    let pad = BUCKET_PAD_CELLS.saturating_mul(CELL_BYTES);
    !cells.is_empty() && cells.len().is_multiple_of(pad)
}

fn tag_of(cell: &[u8; CELL_BYTES]) -> [u8; TAG_BYTES] {
    cell.first_chunk().copied().unwrap_or([0; TAG_BYTES])
}

/// The cells of a bucket that is proved to be the one asked for. Only [`BucketProof::verify`] makes it.
#[derive(Clone, Copy)]
pub struct VerifiedBucket<'a> {
    cells: &'a [[u8; CELL_BYTES]],
}

impl core::fmt::Debug for VerifiedBucket<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("VerifiedBucket(..)")
    }
}

impl<'a> VerifiedBucket<'a> {
    /// The cells, sorted by tag, padding among them.
    #[must_use]
    pub const fn cells(&self) -> &'a [[u8; CELL_BYTES]] {
        self.cells
    }

    /// The same bytes back to back.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.cells.as_flattened()
    }

    /// The first cell with this tag. Runs on the requester's own machine after the fetch; nobody else can time it.
    #[must_use]
    pub fn find(&self, tag: &[u8; TAG_BYTES]) -> Option<&'a [u8; CELL_BYTES]> {
        let at = self.cells.partition_point(|cell| tag_of(cell) < *tag);
        self.cells.get(at).filter(|cell| tag_of(cell) == *tag)
    }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;

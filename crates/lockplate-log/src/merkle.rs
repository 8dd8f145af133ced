//! RFC 6962 Merkle trees: hashes, roots, inclusion and consistency proofs, made and verified. It never reads a file: a maker of proofs asks a
//! [`HashSource`] for the roots of perfect subtrees. What it returns goes into receipts and, as consistency proofs, to witnesses.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::limits::{PROOF_HASHES_MAX, TREE_SIZE_END};

/// Characters of a hash in base64.
const HASH_TEXT_LENGTH: usize = 44;

/// A SHA-256 hash of a leaf, a node or a tree: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The root of the empty tree: SHA-256 of nothing (RFC 6962 section 2.1).
    #[must_use]
    pub fn empty() -> Self {
        Self(Sha256::digest(b"").into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads exactly 44 characters of padded standard base64.
    ///
    /// # Errors
    /// [`Error::MalformedProof`] on anything else, bits beyond the 32 bytes included.
    pub fn from_base64(text: &str) -> Result<Self, Error> {
        if text.len() != HASH_TEXT_LENGTH {
            return Err(Error::MalformedProof);
        }
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or(Error::MalformedProof)
    }

    /// 44 characters of padded standard base64.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", self.to_base64())
    }
}

/// The hash of a leaf: SHA-256(0x00 || leaf). RFC 6962 section 2.1.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0x00]).chain_update(leaf).finalize().into())
}

/// The hash of a node: SHA-256(0x01 || left || right). RFC 6962 section 2.1.
#[must_use]
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    Hash(Sha256::new().chain_update([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root over any number of leaf hashes in order; of none, [`Hash::empty`]. Linear in their number.
#[must_use]
pub fn root(hashes: &[Hash]) -> Hash {
    // One pass a level. A lone last hash moves up unchanged, which is RFC 6962's split at the largest power of two.
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(*left, *right)),
                [lone] => Some(*lone),
                _ => None,
            })
            .collect();
    }
    level.first().copied().unwrap_or_else(Hash::empty)
}

/// Where a proof maker finds the roots of perfect subtrees. Implemented over tiles inside this crate and over plain lists in tests.
pub trait HashSource {
    /// The root of the perfect subtree of 2^`height` leaves that begins at leaf `index` * 2^`height`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the tree has no such subtree; storage errors as they come.
    fn subtree(&self, height: u32, index: u64) -> Result<Hash, Error>;
}

/// The root of the first `size` leaves.
///
/// # Errors
/// [`Error::OutOfRange`] if `size` is 2^48 or more; otherwise those of the source.
pub fn root_at(source: &impl HashSource, size: u64) -> Result<Hash, Error> {
    if size >= TREE_SIZE_END {
        return Err(Error::OutOfRange);
    }
    if size == 0 { Ok(Hash::empty()) } else { range_root(source, 0, size) }
}

/// The root of the leaves `start..end`, where `start` is a multiple of the least power of two that is not below `end - start` (which holds
/// for every right part that RFC 6962's recursion makes). Not for an empty range.
fn range_root(source: &impl HashSource, start: u64, end: u64) -> Result<Hash, Error> {
    let mut rest = end.checked_sub(start).ok_or(Error::OutOfRange)?;
    let mut from = start;
    let mut parts = Vec::new();
    while rest > 0 {
        let height = rest.ilog2();
        let width = 1_u64.checked_shl(height).ok_or(Error::OutOfRange)?;
        parts.push(source.subtree(height, from >> height)?);
        from = from.checked_add(width).ok_or(Error::OutOfRange)?;
        rest = rest.checked_sub(width).ok_or(Error::OutOfRange)?;
    }
    fold(parts.into_iter().rev()).ok_or(Error::OutOfRange)
}

/// Joins perfect subtrees, given smallest (rightmost) first, into the root of the tree they make up.
pub(crate) fn fold(smallest_first: impl Iterator<Item = Hash>) -> Option<Hash> {
    smallest_first.reduce(|right, left| node_hash(left, right))
}

/// The largest power of two below `size`; for 0 and 1 there is none.
fn split(size: u64) -> Option<u64> {
    size.checked_sub(1).and_then(u64::checked_ilog2).and_then(|height| 1_u64.checked_shl(height))
}

/// An audit path: that one leaf is in the tree of one root. RFC 6962 section 2.1.1; hashes from leaf to root, at most 63.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    index: u64,
    size: u64,
    hashes: Vec<Hash>,
}

impl InclusionProof {
    /// A proof somebody else made. Nothing is proved before [`InclusionProof::verify`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `index` is not below `size` or `size` not below 2^48; [`Error::MalformedProof`] over 63 hashes.
    pub fn from_parts(index: u64, size: u64, hashes: Vec<Hash>) -> Result<Self, Error> {
        if index >= size || size >= TREE_SIZE_END {
            return Err(Error::OutOfRange);
        }
        if hashes.len() > PROOF_HASHES_MAX {
            return Err(Error::MalformedProof);
        }
        Ok(Self { index, size, hashes })
    }

    /// Makes the proof for leaf `index` in the first `size` leaves.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `index` is not below `size` or `size` not below 2^48; otherwise those of the source.
    pub fn make(source: &impl HashSource, index: u64, size: u64) -> Result<Self, Error> {
        if index >= size || size >= TREE_SIZE_END {
            return Err(Error::OutOfRange);
        }
        let (mut start, mut end) = (0_u64, size);
        let mut hashes = Vec::new();
        while let Some(width) = end.checked_sub(start).and_then(split) {
            let middle = start.checked_add(width).ok_or(Error::OutOfRange)?;
            if index < middle {
                hashes.push(range_root(source, middle, end)?);
                end = middle;
            } else {
                hashes.push(range_root(source, start, middle)?);
                start = middle;
            }
        }
        hashes.reverse();
        Ok(Self { index, size, hashes })
    }

    /// The leaf's index.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The size of the tree the proof is for.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The hashes from leaf to root.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Checks that the leaf is at this index of the tree with this root (RFC 9162 section 2.1.3.2).
    ///
    /// # Errors
    /// [`Error::InvalidProof`] if it is not, or if the path is too long or too short for index and size.
    pub fn verify(&self, leaf: Hash, root: Hash) -> Result<(), Error> {
        let mut node = self.index;
        let mut last = self.size.checked_sub(1).ok_or(Error::InvalidProof)?;
        let mut hash = leaf;
        for &sibling in &self.hashes {
            if last == 0 {
                return Err(Error::InvalidProof);
            }
            if node & 1 == 1 || node == last {
                hash = node_hash(sibling, hash);
                while node & 1 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                hash = node_hash(hash, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        if last == 0 && hash == root { Ok(()) } else { Err(Error::InvalidProof) }
    }
}

/// That the tree of `old_size` leaves is a prefix of the tree of `new_size` leaves. RFC 6962 section 2.1.2; at most 63 hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    old_size: u64,
    new_size: u64,
    hashes: Vec<Hash>,
}

impl ConsistencyProof {
    /// A proof somebody else made. Nothing is proved before [`ConsistencyProof::verify`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `old_size` is above `new_size` or `new_size` not below 2^48; [`Error::MalformedProof`] over 63 hashes.
    pub fn from_parts(old_size: u64, new_size: u64, hashes: Vec<Hash>) -> Result<Self, Error> {
        if old_size > new_size || new_size >= TREE_SIZE_END {
            return Err(Error::OutOfRange);
        }
        if hashes.len() > PROOF_HASHES_MAX {
            return Err(Error::MalformedProof);
        }
        Ok(Self { old_size, new_size, hashes })
    }

    /// Makes the proof; empty if `old_size` is 0 or equal to `new_size`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] as in [`ConsistencyProof::from_parts`]; otherwise those of the source.
    pub fn make(source: &impl HashSource, old_size: u64, new_size: u64) -> Result<Self, Error> {
        if old_size > new_size || new_size >= TREE_SIZE_END {
            return Err(Error::OutOfRange);
        }
        let mut hashes = Vec::new();
        if old_size > 0 && old_size < new_size {
            let (mut start, mut end, mut whole) = (0_u64, new_size, true);
            while old_size < end {
                let width = end.checked_sub(start).and_then(split).ok_or(Error::OutOfRange)?;
                let middle = start.checked_add(width).ok_or(Error::OutOfRange)?;
                if old_size <= middle {
                    hashes.push(range_root(source, middle, end)?);
                    end = middle;
                } else {
                    hashes.push(range_root(source, start, middle)?);
                    start = middle;
                    whole = false;
                }
            }
            // The verifier knows the old root already, so a subtree that is the whole old tree is left out.
            if !whole {
                hashes.push(range_root(source, start, end)?);
            }
            hashes.reverse();
        }
        Ok(Self { old_size, new_size, hashes })
    }

    /// The size of the older tree.
    #[must_use]
    pub const fn old_size(&self) -> u64 {
        self.old_size
    }

    /// The size of the newer tree.
    #[must_use]
    pub const fn new_size(&self) -> u64 {
        self.new_size
    }

    /// The hashes in RFC 6962's order.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Checks that the older root's tree is a prefix of the newer's (RFC 9162 section 2.1.4.2).
    ///
    /// # Errors
    /// [`Error::InvalidProof`] if it is not; also if sizes are equal with other roots, if size 0 comes with another root than
    /// [`Hash::empty`], and if a proof is given where none is needed.
    pub fn verify(&self, old_root: Hash, new_root: Hash) -> Result<(), Error> {
        let given = |holds: bool| if holds { Ok(()) } else { Err(Error::InvalidProof) };
        if self.old_size == self.new_size {
            let right = self.old_size > 0 || old_root == Hash::empty();
            return given(self.hashes.is_empty() && old_root == new_root && right);
        }
        if self.old_size == 0 {
            return given(self.hashes.is_empty() && old_root == Hash::empty());
        }
        let mut node = self.old_size.checked_sub(1).ok_or(Error::InvalidProof)?;
        let mut last = self.new_size.checked_sub(1).ok_or(Error::InvalidProof)?;
        while node & 1 == 1 {
            node >>= 1;
            last >>= 1;
        }
        let mut path = self.hashes.iter().copied();
        // An old size that is a power of two is one perfect subtree: its root is the old root and is not in the path.
        let seed = if self.old_size.is_power_of_two() { old_root } else { path.next().ok_or(Error::InvalidProof)? };
        let (mut old, mut new) = (seed, seed);
        for sibling in path {
            if last == 0 {
                return Err(Error::InvalidProof);
            }
            if node & 1 == 1 || node == last {
                old = node_hash(sibling, old);
                new = node_hash(sibling, new);
                while node & 1 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                new = node_hash(new, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        given(last == 0 && old == old_root && new == new_root)
    }
}

//! What was sealed lately, as keyed 64-bit hashes: neither plates nor ids are kept. The key lives as long as the process.

use std::collections::{BTreeMap, VecDeque};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::limits::DUPLICATES_MAX;

/// Keyed hashes of ids and plates: HMAC-SHA-256 cut to 64 bits.
#[derive(Clone)]
pub struct Hasher(Hmac<Sha256>);

impl core::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Hasher(..)")
    }
}

impl Hasher {
    /// With 32 random bytes of this process.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC pads a short key with zeros to its block of 64 bytes; done here, it cannot fail.
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        Self(Hmac::new(&block.into()))
    }

    /// Of parts; each is length-prefixed, so that no two lists of parts are one text.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> u64 {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        let tag = mac.finalize().into_bytes();
        tag.iter().take(8).fold(0, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte))
    }
}

/// The table: hash to the time of the read that was sealed.
#[derive(Debug, Default)]
pub struct Duplicates {
    sealed: BTreeMap<u64, (i64, u64)>,
    order: VecDeque<(u64, u64)>,
    serial: u64,
}

impl Duplicates {
    /// True if a read with `hash` was sealed within `window_ms` of `at_ms`, before or after.
    #[must_use]
    pub fn seen(&self, hash: u64, at_ms: i64, window_ms: i64) -> bool {
        let distance = |sealed: i64| i64::try_from(sealed.abs_diff(at_ms)).unwrap_or(i64::MAX);
        self.sealed.get(&hash).is_some_and(|(sealed, _)| distance(*sealed) <= window_ms)
    }

    /// Notes a sealed read. Beyond [`DUPLICATES_MAX`] the oldest goes.
    pub fn sealed(&mut self, hash: u64, at_ms: i64) {
        self.serial = self.serial.wrapping_add(1);
        self.sealed.insert(hash, (at_ms, self.serial));
        self.order.push_back((hash, self.serial));
        // Stale entries of `order` (noted again since, or forgotten) go with the same sweep.
        while self.sealed.len() > DUPLICATES_MAX || self.order.len() > DUPLICATES_MAX.saturating_mul(2) {
            let Some((oldest, serial)) = self.order.pop_front() else { break };
            if self.sealed.get(&oldest).is_some_and(|entry| entry.1 == serial) {
                self.sealed.remove(&oldest);
            }
        }
    }

    /// Takes a note back: the read could not be made durable.
    pub fn forget(&mut self, hash: u64) {
        self.sealed.remove(&hash);
    }

    /// Forgets what was noted for a time before `at_ms`, as far as nothing later was noted before it: the order is that of the
    /// notes, which differ from their times by the lateness of a read.
    pub fn forget_before(&mut self, at_ms: i64) {
        while let Some(&(hash, serial)) = self.order.front() {
            match self.sealed.get(&hash) {
                Some((sealed, last)) if *last == serial && *sealed >= at_ms => return,
                Some((_, last)) if *last == serial => drop(self.sealed.remove(&hash)),
                // Noted again since, or taken back.
                Some(_) | None => {}
            }
            self.order.pop_front();
        }
    }

    /// Remembered hashes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sealed.len()
    }

    /// True if nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sealed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_at_the_bound_and_beyond() {
        let mut table = Duplicates::default();
        table.sealed(1, 100_000);
        assert!(table.seen(1, 110_000, 10_000) && table.seen(1, 90_000, 10_000));
        assert!(!table.seen(1, 110_001, 10_000) && !table.seen(1, 89_999, 10_000) && !table.seen(2, 100_000, 10_000));
        table.forget(1);
        assert!(!table.seen(1, 100_000, 10_000));
    }

    #[test]
    fn what_is_old_is_forgotten_and_what_was_noted_again_is_not() {
        let mut table = Duplicates::default();
        (1..=3).for_each(|hash| table.sealed(hash, 1_000 * i64::try_from(hash).unwrap()));
        table.sealed(1, 9_000);
        table.forget_before(3_000);
        assert!(table.seen(1, 9_000, 0) && !table.seen(2, 2_000, 0) && table.seen(3, 3_000, 0));
        assert_eq!((table.len(), table.order.len()), (2, 2));
        table.forget_before(9_001);
        assert!(table.is_empty() && table.order.is_empty());
    }

    #[test]
    fn the_oldest_goes_at_the_bound() {
        let mut table = Duplicates::default();
        let max = u64::try_from(DUPLICATES_MAX).unwrap();
        (0..max).for_each(|hash| table.sealed(hash, 0));
        assert!(table.len() == DUPLICATES_MAX && table.seen(0, 0, 1));
        table.sealed(max, 0);
        assert!(table.len() == DUPLICATES_MAX && !table.seen(0, 0, 1) && table.seen(1, 0, 1) && table.seen(max, 0, 1));
        (0..3 * max).for_each(|_| table.sealed(7, 0));
        assert!(table.order.len() <= 2 * DUPLICATES_MAX);
    }

    #[test]
    fn hashes_depend_on_key_and_on_part_borders() {
        let (a, b) = (Hasher::new(&[1; 32]), Hasher::new(&[2; 32]));
        assert_ne!(a.hash(&[b"ab", b"c"]), a.hash(&[b"a", b"bc"]));
        assert_ne!(a.hash(&[b"ab"]), b.hash(&[b"ab"]));
        assert_eq!(a.hash(&[b"ab"]), a.hash(&[b"ab"]));
    }
}

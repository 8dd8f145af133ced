//! Records by text, in few large blocks of bytes: what a set of entries and a list of accounts are stored in. It knows no entry and no
//! account, and gives back the bytes that it was given. It must never print them: they hold plates. Blocks are never moved once
//! written, so that no copy of a plate stays behind, and are wiped when the store goes.
#![deny(clippy::arithmetic_side_effects)]

use core::hash::Hasher as _;
use std::collections::hash_map::DefaultHasher;

use zeroize::Zeroize as _;

use super::limits::{CHUNK_BITS, CHUNK_BYTES, CHUNKS_MAX};
use crate::error::{Error, Result};

/// Slots of the smallest index.
const SLOTS_MIN: usize = 64;
/// Bytes before a record's text: its length in two, the text's in one.
const HEAD_BYTES: usize = 3;

/// What a new record means for one that stands under the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Both stand.
    Both,
    /// The new one takes the old one's place.
    Replace,
    /// The old one stays, the new one is not stored.
    Keep,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// Stored beside all others.
    Added,
    /// Stored in place of another.
    Replaced,
    /// Not stored: another stays.
    Kept,
    /// Not stored: too many stand under one text.
    TooMany,
}

/// The store: blocks of records, and an open-addressed index over their texts.
///
/// A record is `u16 bytes behind the head's text, u8 bytes of text, text, payload`. A slot is one byte of the text's hash (0: free) and
/// the record's place; a miss seldom touches a block.
pub(super) struct Packed {
    chunks: Vec<Vec<u8>>,
    tags: Vec<u8>,
    places: Vec<u32>,
    len: usize,
    /// Keys the hash, so that nobody can write a list whose texts all fall on one slot.
    key: u64,
}

impl Drop for Packed {
    fn drop(&mut self) {
        for chunk in &mut self.chunks {
            chunk.zeroize();
        }
        self.tags.zeroize();
        self.places.zeroize();
    }
}

impl core::fmt::Debug for Packed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Packed(..)")
    }
}

impl Packed {
    /// Empty, with room in the index for about `expected` records.
    pub(super) fn new(key: u64, expected: usize) -> Self {
        let slots =
            expected.saturating_add(expected / 4).max(SLOTS_MIN).checked_next_power_of_two().unwrap_or(SLOTS_MIN);
        Self { chunks: Vec::new(), tags: vec![0; slots], places: vec![0; slots], len: 0, key }
    }

    /// Records.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(Vec::capacity).fold(0, usize::saturating_add);
        let slots = self.tags.capacity().saturating_add(self.places.capacity().saturating_mul(4));
        chunks.saturating_add(slots)
    }

    /// Stores a record under `text`; `beside` says what it means for each that stands there, of which there may be `same_max`.
    ///
    /// # Errors
    /// `Invalid` if the store is full; `Internal` if a text or record is longer than the bounds of entries allow.
    pub(super) fn put(
        &mut self,
        text: &str,
        payload: &[u8],
        same_max: usize,
        beside: impl Fn(&[u8]) -> Beside,
    ) -> Result<Put> {
        self.grow_if_full()?;
        let (tag, mut slot) = self.start(text);
        let mut same: usize = 0;
        loop {
            match self.tags.get(slot).copied() {
                None => return Err(Error::internal("a slot of the index is inside it")),
                Some(0) => break,
                Some(found) if found == tag => {
                    if let Some(old) = self.payload_at(slot, text) {
                        match beside(old) {
                            Beside::Both => same = same.saturating_add(1),
                            Beside::Keep => return Ok(Put::Kept),
                            Beside::Replace => {
                                let place = self.write(text, payload)?;
                                if let Some(entry) = self.places.get_mut(slot) {
                                    *entry = place;
                                }
                                return Ok(Put::Replaced);
                            }
                        }
                    }
                }
                Some(_) => {}
            }
            slot = self.next(slot);
        }
        if same >= same_max {
            return Ok(Put::TooMany);
        }
        let place = self.write(text, payload)?;
        self.occupy(slot, tag, place);
        self.len = self.len.saturating_add(1);
        Ok(Put::Added)
    }

    /// The records under `text`.
    pub(super) fn under<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let (tag, start) = self.start(text);
        let mut slot = start;
        // INVARIANT: `grow_if_full` leaves free slots, so the walk ends.
        core::iter::from_fn(move || {
            loop {
                let found = self.tags.get(slot).copied().unwrap_or(0);
                let here = slot;
                slot = self.next(slot);
                if found == 0 {
                    return None;
                }
                if found == tag
                    && let Some(payload) = self.payload_at(here, text)
                {
                    return Some(payload);
                }
            }
        })
    }

    /// The place and the bytes of every record, in no order that means anything.
    pub(super) fn records(&self) -> impl Iterator<Item = (u32, &str, &[u8])> {
        let taken = self.tags.iter().zip(&self.places).filter(|(tag, _)| **tag != 0);
        taken.filter_map(|(_, place)| self.record(*place).map(|(text, payload)| (*place, text, payload)))
    }

    /// The record at a place that [`Packed::records`] gave.
    pub(super) fn record(&self, place: u32) -> Option<(&str, &[u8])> {
        let chunk = self.chunks.get(usize::try_from(place >> CHUNK_BITS).ok()?)?;
        let at = usize::try_from(place & ((1 << CHUNK_BITS) - 1)).ok()?;
        let (head, rest) = chunk.get(at..)?.split_first_chunk::<HEAD_BYTES>()?;
        let &[high, low, text] = head;
        let (text, rest) = rest.split_at_checked(usize::from(text))?;
        let payload = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
        Some((core::str::from_utf8(text).ok()?, payload))
    }

    /// The payload of a slot whose record has this very text.
    fn payload_at(&self, slot: usize, text: &str) -> Option<&[u8]> {
        let place = *self.places.get(slot)?;
        let chunk = self.chunks.get(usize::try_from(place >> CHUNK_BITS).ok()?)?;
        let at = usize::try_from(place & ((1 << CHUNK_BITS) - 1)).ok()?;
        let (&[high, low, length], rest) = chunk.get(at..)?.split_first_chunk::<HEAD_BYTES>()?;
        if usize::from(length) != text.len() {
            return None;
        }
        let rest = rest.strip_prefix(text.as_bytes())?;
        rest.get(..usize::from(u16::from_be_bytes([high, low])))
    }

    fn start(&self, text: &str) -> (u8, usize) {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.key);
        hasher.write(text.as_bytes());
        let hash = hasher.finish();
        let tag = u8::try_from(hash >> 56).unwrap_or(u8::MAX).max(1);
        (tag, usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0) & self.mask())
    }

    const fn mask(&self) -> usize {
        self.tags.len().saturating_sub(1)
    }

    const fn next(&self, slot: usize) -> usize {
        slot.wrapping_add(1) & self.mask()
    }

    fn occupy(&mut self, slot: usize, tag: u8, place: u32) {
        if let (Some(to_tag), Some(to_place)) = (self.tags.get_mut(slot), self.places.get_mut(slot)) {
            *to_tag = tag;
            *to_place = place;
        }
    }

    /// At most four fifths of the slots are taken.
    fn grow_if_full(&mut self) -> Result<()> {
        if self.len < self.tags.len().saturating_sub(self.tags.len() / 5) {
            return Ok(());
        }
        let slots = self.tags.len().checked_mul(2).ok_or(Error::invalid("a list is too large"))?;
        let tags = core::mem::replace(&mut self.tags, vec![0; slots]);
        let places = core::mem::replace(&mut self.places, vec![0; slots]);
        for place in tags.into_iter().zip(places).filter(|(tag, _)| *tag != 0).map(|(_, place)| place) {
            let Some((tag, mut slot)) = self.record(place).map(|(text, _)| self.start(text)) else { continue };
            while self.tags.get(slot).is_some_and(|tag| *tag != 0) {
                slot = self.next(slot);
            }
            self.occupy(slot, tag, place);
        }
        Ok(())
    }

    fn write(&mut self, text: &str, payload: &[u8]) -> Result<u32> {
        let too_long = Error::internal("a record is longer than the bounds of entries allow");
        let text_len = u8::try_from(text.len()).map_err(|_long| too_long.clone())?;
        let payload_len = u16::try_from(payload.len()).map_err(|_long| too_long.clone())?;
        let bytes = HEAD_BYTES.saturating_add(text.len()).saturating_add(payload.len());
        let room = |chunk: &Vec<u8>| CHUNK_BYTES.saturating_sub(chunk.len());
        if self.chunks.last().is_none_or(|chunk| room(chunk) < bytes) {
            if self.chunks.len() >= CHUNKS_MAX {
                return Err(Error::invalid("a list is too large"));
            }
            self.chunks.push(Vec::with_capacity(CHUNK_BYTES));
        }
        let number = self.chunks.len().saturating_sub(1);
        let chunk = self.chunks.last_mut().ok_or_else(|| too_long.clone())?;
        let at = chunk.len();
        chunk.extend_from_slice(&payload_len.to_be_bytes());
        chunk.push(text_len);
        chunk.extend_from_slice(text.as_bytes());
        chunk.extend_from_slice(payload);
        let place = u32::try_from(at).ok().zip(u32::try_from(number).ok());
        place.map(|(at, number)| (number << CHUNK_BITS) | at).ok_or(too_long)
    }
}

/// Appends a number in groups of seven bits, lowest first, the highest bit of each byte but the last set: 1 to 10 bytes.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

/// Appends a text with its length.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, u64::try_from(text.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(text.as_bytes());
}

/// Takes fields of a record in the order in which they were put.
pub(super) struct Taker<'a>(pub(super) &'a [u8]);

impl<'a> Taker<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0_u32..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        core::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests;

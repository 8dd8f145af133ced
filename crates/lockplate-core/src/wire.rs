//! The only module that knows bytes: readers and writers for the TLS presentation language of LPv1 section 2 (big-endian,
//! fixed order, no optional field), and the transcript hash. Reading is total: every length is checked before use.

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// `TH(label, m1, ..)` of LPv1 section 2: SHA-256 over length-prefixed protocol name, label and messages. 32 bytes.
#[must_use]
pub fn th(label: &str, messages: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [b"LOCKPLATE-V1".as_slice(), label.as_bytes()].iter().chain(messages) {
        hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Appends fields in order.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// One length byte; callers stay below 256 by construction.
    pub(crate) fn lv8(&mut self, bytes: &[u8]) -> &mut Self {
        self.u8(u8::try_from(bytes.len()).unwrap_or(u8::MAX)).raw(bytes)
    }

    /// Two length bytes; callers stay below 65,536 by construction.
    pub(crate) fn lv16(&mut self, bytes: &[u8]) -> &mut Self {
        self.u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX)).raw(bytes)
    }

    /// Four length bytes.
    pub(crate) fn lv32(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).raw(bytes)
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.0)
    }
}

/// Takes fields in order; [`Reader::end`] refuses a trailing byte.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn raw(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Error::malformed("a message is cut short"))?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.raw(N)?.try_into().map_err(|_length| Error::internal("a slice of N bytes has N bytes"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn lv8(&mut self) -> Result<&'a [u8]> {
        let len = self.u8()?;
        self.raw(usize::from(len))
    }

    pub(crate) fn lv16(&mut self) -> Result<&'a [u8]> {
        let len = self.u16()?;
        self.raw(usize::from(len))
    }

    /// A four-byte length of at most `max`.
    pub(crate) fn lv32(&mut self, max: usize) -> Result<&'a [u8]> {
        let len = usize::try_from(self.u32()?).map_err(|_wide| Error::malformed("a length is too large"))?;
        if len > max {
            return Err(Error::malformed("a length is too large"));
        }
        self.raw(len)
    }

    /// What is left, for formats of other people that say their length themselves.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::malformed("a message has trailing bytes")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transcript_hash_separates_its_parts() {
        assert_ne!(th("a", &[b"bc"]), th("ab", &[b"c"]));
        assert_ne!(th("a", &[b"b", b"c"]), th("a", &[b"bc"]));
    }

    #[test]
    fn a_reader_refuses_what_is_cut_long_or_oversized() {
        let bytes = Writer::new().lv32(b"abc").u8(1).finish();
        assert!(Reader::new(&bytes).lv32(2).is_err());
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.lv32(3).unwrap(), b"abc");
        assert!(reader.end().is_err());
        assert!(Reader::new(&bytes[..5]).lv32(10).is_err());
    }
}

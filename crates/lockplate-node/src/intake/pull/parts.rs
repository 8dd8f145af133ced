//! The parts of an answer that does not end (`multipart/x-mixed-replace`), as bytes come. It must never keep more than one part
//! and a chunk. A part with a length is there as soon as its last byte is; one without ends where the next begins.

use bytes::{Buf as _, Bytes, BytesMut};
use lockplate_intake::limits::BODY_BYTES_MAX;

/// Bytes of a boundary (RFC 2046).
const BOUNDARY_BYTES_MAX: usize = 70;

/// Bytes of the head of a part.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a part that does not say its length: it is searched through anew with each chunk.
const UNMEASURED_BYTES_MAX: usize = 256 * 1024;

/// A part, or its head, is larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The splitter.
pub(super) struct Parts {
    delimiter: Vec<u8>,
    buffer: BytesMut,
}

impl Parts {
    /// For an answer with this `Content-Type`; none if that is no multipart.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let mut fields = content_type.split(';').map(str::trim);
        let is_multipart = fields.next()?.to_ascii_lowercase().starts_with("multipart/");
        let value = fields.find_map(|field| {
            let (name, value) = field.split_once('=')?;
            name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
        })?;
        // Some cameras write the two hyphens into the parameter as well.
        let boundary = value.trim_start_matches("--");
        let fits = is_multipart && (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len());
        fits.then(|| Self { delimiter: format!("--{boundary}").into_bytes(), buffer: BytesMut::new() })
    }

    /// More of it.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next part that is whole.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, TooLarge> {
        let Some(at) = find(&self.buffer, &self.delimiter) else {
            // Nothing in it can be the beginning of a part but its end.
            let beyond = self.buffer.len().saturating_sub(self.delimiter.len());
            self.buffer.advance(beyond);
            return Ok(None);
        };
        self.buffer.advance(at);
        let behind = self.buffer.get(self.delimiter.len()..).unwrap_or_default();
        let Some((head_len, gap)) = end_of_head(behind) else {
            return if behind.len() > HEAD_BYTES_MAX { Err(TooLarge) } else { Ok(None) };
        };
        let length = length_in(behind.get(..head_len).unwrap_or_default());
        let body_at = self.delimiter.len().saturating_add(head_len).saturating_add(gap);
        let body = self.buffer.get(body_at..).unwrap_or_default();
        let length = match length {
            Some(length) if length > BODY_BYTES_MAX => return Err(TooLarge),
            Some(length) if body.len() >= length => length,
            Some(_) => return Ok(None),
            None => match find(body, &self.delimiter) {
                Some(next) => next,
                None if body.len() > UNMEASURED_BYTES_MAX => return Err(TooLarge),
                None => return Ok(None),
            },
        };
        self.buffer.advance(body_at);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Where a head ends, and the bytes of the blank line behind it.
fn end_of_head(bytes: &[u8]) -> Option<(usize, usize)> {
    let long = find(bytes, b"\r\n\r\n").map(|at| (at, 4));
    let short = find(bytes, b"\n\n").map(|at| (at, 2));
    long.into_iter().chain(short).min()
}

fn length_in(head: &[u8]) -> Option<usize> {
    core::str::from_utf8(head).ok()?.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &[u8] = b"preamble\r\n--myboundary\r\nContent-Type: text/plain\r\nContent-Length:5\r\n\r\nfirst\r\n\
        --myboundary\r\nContent-Type: text/plain\r\n\r\nsecond --my\r\n--myboundary\n\nHeartbeat\r\n--myboundary--";

    fn parts(chunks: &[&[u8]]) -> Vec<String> {
        let mut parts = Parts::of("multipart/x-mixed-replace; boundary=myboundary").unwrap();
        let mut found = Vec::new();
        for chunk in chunks {
            parts.push(chunk);
            while let Some(part) = parts.next().unwrap() {
                found.push(String::from_utf8(part.to_vec()).unwrap().trim().to_owned());
            }
        }
        found
    }

    #[test]
    fn parts_are_found_however_they_are_cut() {
        let expected = ["first", "second --my", "Heartbeat"];
        assert_eq!(parts(&[STREAM]), expected);
        assert_eq!(parts(&STREAM.chunks(1).collect::<Vec<_>>()), expected);
        // With a length it does not wait for the next one.
        assert_eq!(parts(&[&STREAM[..75]]), ["first"]);
    }

    #[test]
    fn content_types() {
        for good in ["multipart/x-mixed-replace; boundary=x", "Multipart/Mixed;charset=a; Boundary=\"--x\""] {
            assert_eq!(Parts::of(good).unwrap().delimiter, b"--x");
        }
        let long = format!("multipart/mixed; boundary={}", "x".repeat(71));
        for bad in ["", "text/plain", "text/plain; boundary=x", "multipart/mixed", "multipart/mixed; boundary=", &long]
        {
            assert!(Parts::of(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_part_at_its_bound_and_beyond() {
        let head = |length: usize| format!("--x\r\nContent-Length: {length}\r\n\r\n");
        let mut parts = Parts::of("multipart/mixed; boundary=x").unwrap();
        parts.push(head(BODY_BYTES_MAX).as_bytes());
        parts.push(&vec![b'a'; BODY_BYTES_MAX]);
        assert_eq!(parts.next().unwrap().unwrap().len(), BODY_BYTES_MAX);
        parts.push(head(BODY_BYTES_MAX + 1).as_bytes());
        assert_eq!(parts.next(), Err(TooLarge));
        let mut endless = Parts::of("multipart/mixed; boundary=x").unwrap();
        endless.push(b"--x\r\n\r\n");
        endless.push(&vec![b'a'; UNMEASURED_BYTES_MAX]);
        assert_eq!(endless.next(), Ok(None));
        endless.push(b"a");
        assert_eq!(endless.next(), Err(TooLarge));
        let mut headless = Parts::of("multipart/mixed; boundary=x").unwrap();
        headless.push(b"--x");
        headless.push(&vec![b'a'; HEAD_BYTES_MAX + 1]);
        assert_eq!(headless.next(), Err(TooLarge));
        // What belongs to no part is not kept.
        let mut noise = Parts::of("multipart/mixed; boundary=x").unwrap();
        noise.push(&vec![b'a'; 100_000]);
        assert_eq!((noise.next(), noise.buffer.len()), (Ok(None), 3));
    }

    /// Pieces of what such a stream is made of.
    fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let byte = prop::sample::select(b"-xab\r\n:9Content-Length".to_vec());
        prop::collection::vec(prop::collection::vec(byte, 0..40), 0..20)
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_or_refused(chunks in chunks()) {
            let mut parts = Parts::of("multipart/mixed; boundary=x").unwrap();
            for chunk in chunks {
                parts.push(&chunk);
                while let Ok(Some(_)) = parts.next() {}
            }
        }
    }
}

//! Splits a stream into lines or CSV records, push by push, in bounded memory: a line that is too long is skipped to its
//! end and reported. It must never keep more than one line.

use crate::limits::LINE_WITH_CROP_BYTES_MAX;

/// One line of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// Its bytes, without the line break.
    Whole(&'a [u8]),
    /// Longer than [`LINE_WITH_CROP_BYTES_MAX`]; skipped.
    TooLong,
}

impl core::fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Line(..)")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// Line breaks always end a line.
    Never,
    /// At the start of a CSV field.
    FieldStart,
    /// In a field without quotes.
    Plain,
    /// Inside quotes: line breaks belong to the field.
    Quoted,
    /// Behind a quote inside quotes: its end, or the first of a doubled quote.
    QuoteSeen,
}

/// The splitter.
#[derive(Debug)]
pub struct Lines {
    buffer: Buffer,
    quoting: Quoting,
    line: u64,
    starts_at: u64,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    overrun: bool,
}

impl Buffer {
    fn extend(&mut self, bytes: &[u8]) {
        // A carriage return more than the longest line.
        if self.bytes.len().saturating_add(bytes.len()) > LINE_WITH_CROP_BYTES_MAX.saturating_add(1) {
            self.overrun = true;
            // Something stays, so that the end of the input is the end of a line.
            self.bytes.clear();
            self.bytes.push(b' ');
        } else if !self.overrun {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

impl core::fmt::Debug for Quoting {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Quoting")
    }
}

impl Lines {
    /// Lines of NDJSON.
    #[must_use]
    pub fn plain() -> Self {
        Self { buffer: Buffer::default(), quoting: Quoting::Never, line: 1, starts_at: 1 }
    }

    /// Records of CSV (RFC 4180): a quoted field may contain line breaks.
    #[must_use]
    pub fn csv() -> Self {
        Self { quoting: Quoting::FieldStart, ..Self::plain() }
    }

    /// Takes more bytes and hands out every line that is complete, with the number of its first line, from 1.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(u64, Line<'_>)) {
        if self.quoting == Quoting::Never {
            return self.push_plain(bytes, take);
        }
        for &byte in bytes {
            let ends = byte == b'\n' && self.quoting != Quoting::Quoted;
            self.quoting = next_state(self.quoting, byte);
            if byte == b'\n' {
                self.line = self.line.saturating_add(1);
            }
            if ends {
                self.hand_out(&mut take);
            } else if self.buffer.bytes.len() > LINE_WITH_CROP_BYTES_MAX {
                self.buffer.overrun = true;
                self.buffer.bytes.truncate(1);
            } else if !self.buffer.overrun {
                self.buffer.bytes.push(byte);
            }
        }
    }

    /// As [`push`](Self::push), where every line break ends a line: a file of a hot list has more than a billion bytes.
    fn push_plain(&mut self, bytes: &[u8], mut take: impl FnMut(u64, Line<'_>)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.buffer.extend(line);
            self.line = self.line.saturating_add(1);
            self.hand_out(&mut take);
            rest = after.get(1..).unwrap_or_default();
        }
        self.buffer.extend(rest);
    }

    /// Hands out the last line, if it had no line break.
    pub fn finish(mut self, mut take: impl FnMut(u64, Line<'_>)) {
        if !self.buffer.bytes.is_empty() {
            self.hand_out(&mut take);
        }
    }

    fn hand_out(&mut self, take: &mut impl FnMut(u64, Line<'_>)) {
        let bytes = self.buffer.bytes.strip_suffix(b"\r").unwrap_or(&self.buffer.bytes);
        let too_long = self.buffer.overrun || bytes.len() > LINE_WITH_CROP_BYTES_MAX;
        take(self.starts_at, if too_long { Line::TooLong } else { Line::Whole(bytes) });
        self.buffer.bytes.clear();
        self.buffer.overrun = false;
        self.starts_at = self.line;
    }
}

const fn next_state(state: Quoting, byte: u8) -> Quoting {
    match (state, byte) {
        (Quoting::Never, _) => Quoting::Never,
        (Quoting::FieldStart, b'"') | (Quoting::QuoteSeen, b'"') => Quoting::Quoted,
        (Quoting::Quoted, b'"') => Quoting::QuoteSeen,
        (Quoting::Quoted, _) => Quoting::Quoted,
        (_, b',' | b'\n') => Quoting::FieldStart,
        (Quoting::FieldStart | Quoting::Plain | Quoting::QuoteSeen, _) => Quoting::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(mut lines: Lines, chunks: &[&[u8]]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut out = Vec::new();
        let mut take = |at: u64, line: Line<'_>| {
            out.push((
                at,
                match line {
                    Line::Whole(bytes) => Some(bytes.to_vec()),
                    Line::TooLong => None,
                },
            ));
        };
        for chunk in chunks {
            lines.push(chunk, &mut take);
        }
        lines.finish(&mut take);
        out
    }

    #[test]
    fn lines_across_chunks_and_quoted_breaks() {
        let some = |s: &str| Some(s.as_bytes().to_vec());
        assert_eq!(
            split(Lines::plain(), &[b"a\r\nb", b"b\n\nc"]),
            [(1, some("a")), (2, some("bb")), (3, some("")), (4, some("c"))]
        );
        assert_eq!(
            split(Lines::csv(), &[b"a,\"b\n\"\"b\"\nc\"d,e\nf"]),
            [(1, some("a,\"b\n\"\"b\"")), (3, some("c\"d,e")), (4, some("f"))]
        );
    }

    #[test]
    fn a_line_at_the_bound_and_beyond() {
        for (len, fits) in [(LINE_WITH_CROP_BYTES_MAX, true), (LINE_WITH_CROP_BYTES_MAX + 1, false)] {
            let mut text = vec![b'x'; len];
            text.extend(b"\nnext\n");
            let out = split(Lines::plain(), &[&text]);
            assert_eq!((out.len(), out[0].1.is_some(), out[1].0), (2, fits, 2));
        }
    }

    #[test]
    fn a_line_of_100_megabytes_is_skipped_in_bounded_memory() {
        let chunk = vec![b'x'; 1024 * 1024];
        let mut lines = Lines::plain();
        for _ in 0..100 {
            lines.push(&chunk, |_, _| panic!("no line ended"));
            assert!(lines.buffer.bytes.capacity() <= 2 * LINE_WITH_CROP_BYTES_MAX + 2);
        }
        let mut seen = Vec::new();
        lines.push(b"\n{}\n", |at, line| seen.push((at, line == Line::TooLong)));
        assert_eq!(seen, [(1, true), (2, false)]);
    }
}

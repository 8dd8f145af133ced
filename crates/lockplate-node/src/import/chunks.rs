//! From a file to chunks of lines, in bounded memory and with true line numbers. It runs on a blocking thread and waits
//! while the agency is slower than the disk.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use lockplate_intake::lines::{Line, Lines};
use lockplate_intake::own::Form;
use tokio::sync::mpsc::Sender;

use crate::packed::Packing;

/// Lines of a chunk: the reads of one group commit.
pub(super) const CHUNK_LINES_MAX: u64 = 4_096;

/// Bytes from which a chunk is sent; with one more line it stays below the 8 MiB of a body.
pub(super) const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

const READ_BYTES: usize = 64 * 1024;

/// Lines of a file, ready to be sent.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The header row, if the form has one, and the lines. Empty if every line was too long.
    pub(super) body: Bytes,
    /// Line number in the file minus line number in the body.
    pub(super) line_offset: u64,
    /// The first line of the file that is not in this chunk.
    pub(super) next_line: u64,
    /// Bytes of the file read so far.
    pub(super) bytes_done: u64,
    /// Lines that are too long to be sent.
    pub(super) too_long: Vec<u64>,
}

/// A reading of a file.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) path: PathBuf,
    pub(super) form: Form,
    pub(super) first_line: u64,
}

struct Cutter<'a> {
    give: &'a Sender<Chunk>,
    bytes_done: Arc<AtomicU64>,
    first_line: u64,
    wants_header: bool,
    header: Vec<u8>,
    header_lines: u64,
    body: Vec<u8>,
    begins_at: u64,
    next_line: u64,
    lines: u64,
    too_long: Vec<u64>,
    gone: bool,
}

impl Reading {
    /// Reads the file and gives chunks until its end, or until nobody takes them any more.
    pub(super) fn run(self, give: &Sender<Chunk>) -> std::io::Result<()> {
        let bytes_done = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: File::open(&self.path)?, count: Arc::clone(&bytes_done) };
        let mut packed = BufReader::with_capacity(READ_BYTES, counted);
        let mut source = Packing::of_file(packed.fill_buf()?).unpack(packed);
        let is_csv = matches!(self.form, Form::Csv { .. });
        let mut lines = if is_csv { Lines::csv() } else { Lines::plain() };
        let mut cutter = Cutter {
            give,
            bytes_done,
            first_line: self.first_line,
            wants_header: is_csv,
            header: Vec::new(),
            header_lines: 0,
            body: Vec::new(),
            begins_at: 0,
            next_line: 1,
            lines: 0,
            too_long: Vec::new(),
            gone: false,
        };
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = match source.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // What stands before a broken end is good: it is sent before the fault is told.
                    cutter.flush();
                    return Err(error);
                }
            };
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() || cutter.gone {
                break;
            }
            lines.push(bytes, |at, line| cutter.line(at, line));
        }
        lines.finish(|at, line| cutter.line(at, line));
        cutter.flush();
        Ok(())
    }
}

impl Cutter<'_> {
    fn line(&mut self, at: u64, line: Line<'_>) {
        let after = match line {
            Line::Whole(bytes) => at.saturating_add(count_breaks(bytes)).saturating_add(1),
            Line::TooLong => at.saturating_add(1),
        };
        if self.wants_header {
            self.wants_header = false;
            if let Line::Whole(bytes) = line {
                self.header = bytes.to_vec();
                self.header.push(b'\n');
                self.header_lines = after.saturating_sub(at);
            } else {
                self.too_long.push(at);
            }
            self.next_line = after;
            return;
        }
        if at < self.first_line {
            self.next_line = after;
            return;
        }
        // A record that was too long may have spanned lines: numbers begin anew behind it.
        let is_gap = !self.body.is_empty() && at != self.next_line;
        if is_gap || self.lines >= CHUNK_LINES_MAX || self.body.len() >= CHUNK_BYTES_MAX {
            self.flush();
        }
        if self.body.is_empty() {
            self.begins_at = at;
        }
        match line {
            Line::Whole(bytes) => {
                self.body.extend_from_slice(bytes);
                self.body.push(b'\n');
            }
            Line::TooLong => {
                self.too_long.push(at);
                self.body.push(b'\n');
            }
        }
        self.lines = self.lines.saturating_add(1);
        self.next_line = after;
    }

    fn flush(&mut self) {
        if self.body.is_empty() && self.too_long.is_empty() {
            return;
        }
        let lines = core::mem::take(&mut self.body);
        let mut body = self.header.clone();
        body.extend_from_slice(&lines);
        let chunk = Chunk {
            body: if lines.is_empty() { Bytes::new() } else { Bytes::from(body) },
            line_offset: self.begins_at.saturating_sub(1).saturating_sub(self.header_lines),
            next_line: self.next_line,
            bytes_done: self.bytes_done.load(Ordering::Relaxed),
            too_long: core::mem::take(&mut self.too_long),
        };
        self.lines = 0;
        self.gone |= self.give.blocking_send(chunk).is_err();
    }
}

fn count_breaks(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u64::MAX)
}

/// Counts what is read of a file.
struct Counted {
    inner: File,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(read)
    }
}

//! The spool: the sealed cells of the open epoch, durable before they are acknowledged (invariant I1). It never holds anything but cells,
//! and it never reports fewer than were acknowledged without saying so. At close its cells become the segment; then it is removed.
//!
//! # Format
//!
//! ```text
//! head   "LPSPOOL1" | epoch_id[16] | check[8]                                                          32 bytes
//! frame  "LPSF" | uint32 number (0, 1, ..) | uint32 cells (1..4096) | check[8] | (uint32 bucket | cell[256])* | chain[16]
//! ```
//! `check` is the start of SHA-256 over what stands before it in its head; `chain` the start of SHA-256 over every cell of the spool so far
//! and this frame's. A frame is one append and one sync, so the next begins only when it is durable: **only the last frame can be torn**.
//! A bad frame with a sound frame head after it, or with more bytes after it than a frame can have, was therefore acknowledged and is
//! reported as damage; a bad frame at the very end was perhaps never acknowledged, is dropped, and is reported as a torn tail.
//!
//! # What the file alone cannot show
//!
//! A spool cut off exactly between two frames looks like a shorter spool, and damage to the last frame looks like a torn one. The sealer
//! holds count and digest of what it had acknowledged ([`SpoolTally`]); the close compares both with what was read back (`check_tally`).
//! Where the sealer died, no one holds them: the epoch is closed from what there is, and its log entry says that it was orphaned.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use lockplate_core::id::EpochId;
use lockplate_core::limits::CELL_BYTES;
use lockplate_core::segment::{SEGMENT_CELLS_MAX, SpoolCell};
use sha2::{Digest as _, Sha256};

use crate::durable::{self, AppendFile};

/// Cells of one batch, that is, of one group commit: 1 MiB.
pub const FRAME_CELLS_MAX: usize = 4_096;
/// Ending of a spool's name: `<epoch>.cells`.
pub const SPOOL_SUFFIX: &str = ".cells";

const FILE_MAGIC: &[u8; 8] = b"LPSPOOL1";
const FRAME_MAGIC: &[u8; 4] = b"LPSF";
const CHECK_BYTES: usize = 8;
const CHAIN_BYTES: usize = 16;
const FILE_HEAD_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 20;
const RECORD_BYTES: usize = CELL_BYTES + 4;
const FRAME_BYTES_MAX: usize = FRAME_HEAD_BYTES + FRAME_CELLS_MAX * RECORD_BYTES + CHAIN_BYTES;

/// Why a spool could not be written or read.
#[derive(Debug)]
pub enum Error {
    /// The write failed. [`durable::Error::must_stop`] says whether the process exits or answers 503.
    Durable(durable::Error),
    /// Reading failed. Nothing is known of the cells.
    Read(io::Error),
    /// A batch has more cells than [`FRAME_CELLS_MAX`]. The caller's mistake; nothing was written.
    BatchTooLarge,
    /// The epoch has [`SEGMENT_CELLS_MAX`] cells, or would have more. Nothing was written: end the epoch and seal into the next one.
    Full,
    /// The file is no spool, or one of another epoch.
    Foreign,
    /// A frame that was acknowledged is damaged: closing the epoch from this file would lose cells. A person decides.
    Damaged {
        /// First byte of the damaged frame.
        offset: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durable(_) => f.write_str("the spool could not be written"),
            Self::Read(_) => f.write_str("the spool could not be read"),
            Self::BatchTooLarge => f.write_str("a batch has too many cells for one frame"),
            Self::Full => f.write_str("the epoch has as many cells as a segment may hold"),
            Self::Foreign => f.write_str("the file is not the spool of this epoch"),
            Self::Damaged { offset } => {
                write!(
                    f,
                    "the spool is damaged at byte {offset}, before its last frame: acknowledged cells would be lost"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Durable(error) => Some(error),
            Self::Read(error) => Some(error),
            Self::BatchTooLarge | Self::Full | Self::Foreign | Self::Damaged { .. } => None,
        }
    }
}

/// Count and digest of the cells of a spool, in order: SHA-256 over (uint32 bucket || cell) of each. What a sealer remembers of what it had
/// acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolTally {
    /// Cells.
    pub count: u64,
    /// Digest, 32 bytes.
    pub digest: [u8; 32],
}

/// The spool read back is not what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TallyMismatch {
    /// Cells acknowledged.
    pub acknowledged: u64,
    /// Cells found.
    pub found: u64,
}

impl fmt::Display for TallyMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the spool has {} cells where {} were acknowledged, or others", self.found, self.acknowledged)
    }
}

impl std::error::Error for TallyMismatch {}

/// Compares what the sealer acknowledged with what was read back. On a mismatch the epoch is not closed as if nothing had happened: the
/// recorder refuses, or closes with the gap in the log (`reliability.md` D9).
///
/// # Errors
/// [`TallyMismatch`] if count or digest differ.
pub fn check_tally(acknowledged: &SpoolTally, found: &SpoolTally) -> Result<(), TallyMismatch> {
    if acknowledged == found {
        Ok(())
    } else {
        Err(TallyMismatch { acknowledged: acknowledged.count, found: found.count })
    }
}

/// The running tally, on both sides of the file.
#[derive(Clone, Default)]
struct Running {
    hash: Sha256,
    count: usize,
}

impl Running {
    fn add(&mut self, records: &[u8]) {
        self.hash.update(records);
        self.count = self.count.saturating_add(records.chunks(RECORD_BYTES).len());
    }

    fn tally(&self) -> SpoolTally {
        SpoolTally { count: u64::try_from(self.count).unwrap_or(u64::MAX), digest: self.hash.clone().finalize().into() }
    }

    fn chain(&self) -> [u8; CHAIN_BYTES] {
        self.tally().digest.first_chunk().copied().unwrap_or_default()
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.first_chunk().copied().unwrap_or_default()
}

fn file_head(epoch: EpochId) -> Vec<u8> {
    let mut head = [FILE_MAGIC.as_slice(), &epoch.0].concat();
    head.extend_from_slice(&check(&head));
    head
}

fn frame_head(number: u32, cells: u32) -> Vec<u8> {
    let mut head = [FRAME_MAGIC.as_slice(), &number.to_be_bytes(), &cells.to_be_bytes()].concat();
    head.extend_from_slice(&check(&head));
    head
}

/// Number and cells of a sound frame head.
fn parse_frame_head(head: &[u8; FRAME_HEAD_BYTES]) -> Option<(u32, usize)> {
    let (body, sum) = head.split_last_chunk::<CHECK_BYTES>()?;
    let (magic, rest) = body.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let cells = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
    let sound = magic == FRAME_MAGIC && check(body) == *sum && (1..=FRAME_CELLS_MAX).contains(&cells);
    sound.then_some((u32::from_be_bytes(*number), cells))
}

/// Writes one epoch's spool. Lives in the sealer, as long as its key.
pub struct SpoolWriter {
    file: AppendFile,
    running: Running,
    frames: u32,
}

impl fmt::Debug for SpoolWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolWriter").field("cells", &self.running.count).finish_non_exhaustive()
    }
}

impl SpoolWriter {
    /// Creates the spool; on return it is on stable storage, name included.
    ///
    /// # Errors
    /// [`Error::Durable`], with kind `AlreadyExists` if there is one: an epoch is one run of one sealer and is never continued.
    pub fn create(path: &Path, epoch: EpochId) -> Result<Self, Error> {
        let file = AppendFile::create(path, &file_head(epoch)).map_err(Error::Durable)?;
        Ok(Self { file, running: Running::default(), frames: 0 })
    }

    /// Appends one group commit with one sync. On return every cell is on stable storage and may be acknowledged; on error none may. An
    /// empty batch does nothing. The order within the batch is the caller's, who shuffles it (LPv1 section 6).
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::BatchTooLarge`] before anything is written. [`Error::Durable`]: unless it must stop, later appends may
    /// succeed, and the cells of this one are gone (at most, after a crash, they are found though nobody was told: harmless, I9).
    pub fn append(&mut self, batch: &[SpoolCell]) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let cells = u32::try_from(batch.len()).map_err(|_wide| Error::BatchTooLarge)?;
        if batch.len() > FRAME_CELLS_MAX {
            return Err(Error::BatchTooLarge);
        }
        if self.running.count.saturating_add(batch.len()) > SEGMENT_CELLS_MAX {
            return Err(Error::Full);
        }
        let mut frame = frame_head(self.frames, cells);
        for SpoolCell { bucket, cell } in batch {
            frame.extend_from_slice(&bucket.to_be_bytes());
            frame.extend_from_slice(cell);
        }
        let mut running = self.running.clone();
        running.add(frame.get(FRAME_HEAD_BYTES..).unwrap_or_default());
        frame.extend_from_slice(&running.chain());
        self.file.append(&frame).map_err(Error::Durable)?;
        // Only what is durable is counted.
        self.running = running;
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    /// Count and digest of all cells acknowledged so far.
    #[must_use]
    pub fn tally(&self) -> SpoolTally {
        self.running.tally()
    }

    /// Bytes of the file that are durable.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.length()
    }
}

/// A spool read back.
#[derive(Clone)]
pub struct Recovered {
    /// The cells in the order in which they were acknowledged.
    pub cells: Vec<SpoolCell>,
    /// Their count and digest.
    pub tally: SpoolTally,
    /// The file ended in a frame that was not whole, and its cells are left out. After a crash this is an append that was never
    /// acknowledged; without one, it is damage.
    pub torn_tail: bool,
}

impl fmt::Debug for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovered")
            .field("tally", &self.tally)
            .field("torn_tail", &self.torn_tail)
            .finish_non_exhaustive()
    }
}

/// What a walk through a spool found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Count and digest of the cells.
    pub tally: SpoolTally,
    /// As in [`Recovered`].
    pub torn_tail: bool,
}

/// Reads spools.
#[derive(Clone, Copy, Debug)]
pub struct SpoolReader;

impl SpoolReader {
    /// Reads every acknowledged cell of the spool of `epoch`. Changes nothing on the disk.
    ///
    /// # Errors
    /// [`Error::Damaged`] if an acknowledged cell would be lost; [`Error::Foreign`]; [`Error::Full`] beyond [`SEGMENT_CELLS_MAX`] cells;
    /// [`Error::Read`].
    pub fn recover(path: &Path, epoch: EpochId) -> Result<Recovered, Error> {
        let mut cells = Vec::new();
        let Walked { tally, torn_tail } = Self::walk(path, epoch, |cell| cells.push(cell))?;
        Ok(Recovered { cells, tally, torn_tail })
    }

    /// The same without keeping the cells: no more than one frame (1 MiB) is in memory. Cells that were visited before an error are void.
    ///
    /// # Errors
    /// As [`SpoolReader::recover`].
    pub fn walk(path: &Path, epoch: EpochId, visit: impl FnMut(SpoolCell)) -> Result<Walked, Error> {
        walk(BufReader::new(File::open(path).map_err(Error::Read)?), epoch, visit)
    }
}

fn walk(mut source: impl Read, epoch: EpochId, mut visit: impl FnMut(SpoolCell)) -> Result<Walked, Error> {
    let mut running = Running::default();
    // The head is durable before `create` returns. A spool whose head is short or bad and that has nothing behind it was never used.
    let head = read_up_to(&mut source, FILE_HEAD_BYTES)?;
    if head != file_head(epoch) {
        let sound = head.split_last_chunk::<CHECK_BYTES>().is_some_and(|(body, sum)| check(body) == *sum);
        return if sound || !read_up_to(&mut source, 1)?.is_empty() {
            Err(Error::Foreign)
        } else {
            Ok(Walked { tally: running.tally(), torn_tail: true })
        };
    }
    let mut number = 0_u32;
    let mut offset = FILE_HEAD_BYTES;
    loop {
        let frame = read_frame(&mut source, number, &running)?;
        match frame {
            Frame::End => return Ok(Walked { tally: running.tally(), torn_tail: false }),
            Frame::Bad(read) => return tail(&mut source, read, offset, number, &running),
            Frame::Whole { records, after } => {
                running = after;
                if running.count > SEGMENT_CELLS_MAX {
                    return Err(Error::Full);
                }
                for record in records.as_chunks::<RECORD_BYTES>().0 {
                    if let (Some(bucket), Some(cell)) = (record.first_chunk(), record.last_chunk()) {
                        visit(SpoolCell { bucket: u32::from_be_bytes(*bucket), cell: *cell });
                    }
                }
                number = number.saturating_add(1);
                offset =
                    offset.saturating_add(FRAME_HEAD_BYTES).saturating_add(records.len()).saturating_add(CHAIN_BYTES);
            }
        }
    }
}

enum Frame {
    /// The file ends where a frame may begin.
    End,
    /// A sound frame and the tally with it.
    Whole { records: Vec<u8>, after: Running },
    /// Not a sound frame; the bytes that were read in finding out.
    Bad(Vec<u8>),
}

fn read_frame(source: &mut impl Read, number: u32, before: &Running) -> Result<Frame, Error> {
    let mut read = read_up_to(source, FRAME_HEAD_BYTES)?;
    if read.is_empty() {
        return Ok(Frame::End);
    }
    let cells = match read.first_chunk().and_then(parse_frame_head) {
        Some((found, cells)) if found == number => cells,
        Some(_) | None => return Ok(Frame::Bad(read)),
    };
    let body = read_up_to(source, cells.saturating_mul(RECORD_BYTES).saturating_add(CHAIN_BYTES))?;
    if let Some((records, chain)) = body.split_last_chunk::<CHAIN_BYTES>() {
        let mut after = before.clone();
        after.add(records);
        if records.len() == cells.saturating_mul(RECORD_BYTES) && after.chain() == *chain {
            return Ok(Frame::Whole { records: records.to_vec(), after });
        }
    }
    read.extend_from_slice(&body);
    Ok(Frame::Bad(read))
}

/// Is the bad frame at `offset` the torn end of the file, or damage before acknowledged frames?
fn tail(
    source: &mut impl Read,
    mut read: Vec<u8>,
    offset: usize,
    number: u32,
    running: &Running,
) -> Result<Walked, Error> {
    let rest = read_up_to(source, FRAME_BYTES_MAX.saturating_sub(read.len()).saturating_add(1))?;
    read.extend_from_slice(&rest);
    // A head of this number at the very start is the torn frame itself.
    let acknowledged_after = read.windows(FRAME_HEAD_BYTES).enumerate().any(|(at, window)| {
        let head = window.first_chunk().filter(|head| head.starts_with(FRAME_MAGIC)).and_then(parse_frame_head);
        head.is_some_and(|(found, _)| at > 0 || found != number)
    });
    if read.len() > FRAME_BYTES_MAX || acknowledged_after {
        return Err(Error::Damaged { offset: u64::try_from(offset).unwrap_or(u64::MAX) });
    }
    Ok(Walked { tally: running.tally(), torn_tail: true })
}

/// Fewer bytes than `length` only at the end of the file.
fn read_up_to(source: &mut impl Read, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    source.by_ref().take(limit).read_to_end(&mut bytes).map_err(Error::Read)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;

//! What is on a disk after a crash: every archive epoch, every spool and every log of a stopped data folder, checked and told as findings. It
//! changes nothing, and it knows no signatures: the caller gives what the signed papers promise. `lockplate doctor --store` prints the report.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use lockplate_core::id::EpochId;
use lockplate_core::limits::{BUCKET_PAD_CELLS, CELL_BYTES};
use lockplate_core::segment::{BucketProof, SEGMENT_PADDED_CELLS_MAX};
use lockplate_log::limits::TILE_WIDTH;
use lockplate_log::tile::{parse_bundle, parse_tile, tile_bytes};
use lockplate_log::{Checkpoint, Hash, LogFile, LogView, TileKind, TilePath, merkle};

use crate::contract::PAPER_BYTES_MAX;
use crate::durable::is_temporary;
use crate::log_files::folder_reader;
use crate::segment_store::{CLOSE, HEADER, INDEX, INDEX_HEAD_BYTES, IndexHead, SEGMENT, is_staging};
use crate::spool::{self, SPOOL_SUFFIX, SpoolReader, SpoolTally};

/// Findings kept in a report; the rest are counted.
pub const FINDINGS_MAX: usize = 10_000;

/// What the signed papers of an epoch promise, once the caller has verified them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// From the header.
    pub bucket_bits: u8,
    /// From the close.
    pub cells_padded: u64,
    /// From the close, as logged.
    pub segment_root: [u8; 32],
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be after a crash; the next start deals with it.
    Ok,
    /// Somebody should look.
    Warning,
    /// Something acknowledged or logged is not there as it was.
    Failed,
}

/// What is wrong with an epoch's objects or with a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A temporary of an interrupted write.
    LeftoverTemporary,
    /// A file or folder that this archive did not write.
    Foreign,
    /// An epoch without index: `put_segment` was interrupted; the spool must still be there.
    Unfinished,
    /// A segment without close: the close was interrupted and goes on from this segment.
    NotClosed,
    /// A closed epoch lacks its header, or a paper is empty or too long.
    Papers,
    /// The caller could not verify the papers.
    Unverified,
    /// Index, segment and promise do not agree.
    Mismatch(&'static str),
    /// A file that the signed head of a log promises is not there.
    Missing,
    /// A bucket does not lead to the root.
    Bucket(u32),
    /// An object could not be read.
    Unreadable(io::ErrorKind),
    /// A spool whose sealer is gone, whole: it will be closed as orphaned.
    OrphanSpool(SpoolTally),
    /// The same with a torn tail, which was dropped.
    TornSpool(SpoolTally),
    /// A spool that is damaged where cells were acknowledged, or is none.
    DamagedSpool,
}

impl Problem {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::LeftoverTemporary | Self::Unfinished | Self::NotClosed | Self::OrphanSpool(_) => Severity::Ok,
            Self::Foreign | Self::TornSpool(_) => Severity::Warning,
            Self::Papers
            | Self::Unverified
            | Self::Mismatch(_)
            | Self::Missing
            | Self::Bucket(_)
            | Self::Unreadable(_)
            | Self::DamagedSpool => Severity::Failed,
        }
    }
}

/// A problem and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// File or folder.
    pub path: PathBuf,
    /// What.
    pub problem: Problem,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Epochs, spools or logs looked at.
    pub epochs: u64,
    /// Cells or leaves that were read and hold.
    pub cells: u64,
    /// At most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Findings left out.
    pub more: u64,
    /// Was a failure among those left out?
    pub more_failed: bool,
}

impl Report {
    /// The worst finding; [`Severity::Ok`] without any. A report with findings left out is at least a warning.
    #[must_use]
    pub fn worst(&self) -> Severity {
        let worst = self.findings.iter().map(|finding| finding.problem.severity()).max().unwrap_or(Severity::Ok);
        let left_out = match (self.more_failed, self.more) {
            (true, _) => Severity::Failed,
            (false, 0) => Severity::Ok,
            (false, _) => Severity::Warning,
        };
        worst.max(left_out)
    }

    fn add(&mut self, path: &Path, problem: Problem) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { path: path.to_owned(), problem });
        } else {
            self.more = self.more.saturating_add(1);
            self.more_failed |= problem.severity() == Severity::Failed;
        }
    }
}

/// How far a check of an archive is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments that are behind.
    pub done: u64,
    /// Bytes of all segments, as the folder told them at the beginning.
    pub total: u64,
}

/// Checks every epoch of a local archive folder. Reads all of it; in memory is one bucket at a time (32 KiB as a rule, 256 MiB at most).
/// `promise` verifies header and close (epoch, header bytes, close bytes) and says what they promise, or `None` if they do not verify.
/// `progress` is told of every bucket.
///
/// # Errors
/// The folder itself cannot be listed. All else is a finding.
pub fn check_archive(
    folder: &Path,
    mut promise: impl FnMut(EpochId, &[u8], &[u8]) -> Option<Promise>,
    mut progress: impl FnMut(Progress),
) -> io::Result<Report> {
    let mut report = Report::default();
    let entries = listed(folder)?;
    let length = |path: &Path| std::fs::metadata(path.join(SEGMENT)).map_or(0, |file| file.len());
    let total = entries.iter().fold(0_u64, |sum, (path, _)| sum.saturating_add(length(path)));
    let mut done = 0_u64;
    let mut read = |bytes: u64| {
        done = done.saturating_add(bytes);
        progress(Progress { done, total });
    };
    for (path, name) in entries {
        match EpochId::parse(&name) {
            Some(epoch) if path.is_dir() => {
                report.epochs = report.epochs.saturating_add(1);
                let checked = check_epoch(&path, epoch, &mut promise, &mut read, &mut report);
                if let Err(error) = checked {
                    report.add(&path, Problem::Unreadable(error.kind()));
                }
            }
            Some(_) | None if is_temporary(&path) => report.add(&path, Problem::LeftoverTemporary),
            Some(_) | None => report.add(&path, Problem::Foreign),
        }
    }
    Ok(report)
}

/// Checks every spool of a folder. Its data folder must be locked or stopped, so each spool found has lost its sealer.
///
/// # Errors
/// The folder itself cannot be listed. All else is a finding.
pub fn check_spools(folder: &Path) -> io::Result<Report> {
    let mut report = Report::default();
    for (path, name) in listed(folder)? {
        let Some(epoch) = name.strip_suffix(SPOOL_SUFFIX).and_then(EpochId::parse) else {
            let problem = if is_temporary(&path) { Problem::LeftoverTemporary } else { Problem::Foreign };
            report.add(&path, problem);
            continue;
        };
        report.epochs = report.epochs.saturating_add(1);
        let problem = match SpoolReader::walk(&path, epoch, |_cell| ()) {
            Ok(walked) => {
                report.cells = report.cells.saturating_add(walked.tally.count);
                if walked.torn_tail { Problem::TornSpool(walked.tally) } else { Problem::OrphanSpool(walked.tally) }
            }
            Err(spool::Error::Read(error)) => Problem::Unreadable(error.kind()),
            Err(
                spool::Error::Damaged { .. }
                | spool::Error::Foreign
                | spool::Error::Full
                | spool::Error::BatchTooLarge
                | spool::Error::Durable(_),
            ) => Problem::DamagedSpool,
        };
        report.add(&path, problem);
    }
    Ok(report)
}

/// Checks a log's `public` folder against a head whose signature the caller has verified: every leaf and every tile of that size, and that
/// nothing else is there. Reads all of it; in memory is a bundle. `visit` gets the leaves that are proved, with their indices. Partial tiles of earlier sizes are as they should be and are not read.
///
/// # Errors
/// The folder itself cannot be listed. All else is a finding.
pub fn check_log(public: &Path, head: &Checkpoint, mut visit: impl FnMut(u64, &[u8])) -> io::Result<Report> {
    let mut report = Report { epochs: 1, ..Report::default() };
    for (path, name) in listed(public)? {
        match name.as_str() {
            "checkpoint" => {}
            "tile" => list_tiles(public, "tile", head.size(), &mut report)?,
            _ if is_temporary(&path) => report.add(&path, Problem::LeftoverTemporary),
            _ => report.add(&path, Problem::Foreign),
        }
    }
    let view = match LogView::load(head.clone(), folder_reader(public)) {
        Ok(view) => view,
        Err(lockplate_log::Error::EdgeUnproved) => {
            match edge_at_fault(public, head.size()) {
                Some(path) => {
                    let what = "a tile of the right edge does not follow from what lies below it";
                    report.add(&public.join(path.to_string()), Problem::Mismatch(what));
                }
                None => report.add(public, Problem::Mismatch("the entries of the log do not lead to its signed head")),
            }
            return Ok(report);
        }
        Err(error) => {
            add_log_error(public, error, &mut report);
            return Ok(report);
        }
    };
    let mut next = 0;
    while next < view.bundle_count() {
        let mut leaves = 0_u64;
        let checked = view.verify::<lockplate_log::Error>(next..view.bundle_count(), |index, leaf| {
            leaves = leaves.saturating_add(1);
            visit(index, leaf);
            Ok(())
        });
        report.cells = report.cells.saturating_add(leaves);
        let Err(error) = checked else { break };
        // What is below a bad tile cannot be proved; the rest can.
        let after = add_log_error(public, error, &mut report).map_or(u64::MAX, |path| match path.kind() {
            TileKind::Entries => path.index().saturating_add(1),
            TileKind::Hashes(level) => {
                let bundles = 1_u64.checked_shl(u32::from(level).saturating_mul(8)).unwrap_or(u64::MAX);
                path.index().saturating_add(1).saturating_mul(bundles)
            }
        });
        next = after.max(next.saturating_add(1));
    }
    Ok(report)
}

/// Adds what [`LogView`] found, and returns the tile it is about.
fn add_log_error(public: &Path, error: lockplate_log::Error, report: &mut Report) -> Option<TilePath> {
    let (file, problem) = if let lockplate_log::Error::Missing(file) = error {
        (Some(file), Problem::Missing)
    } else if let lockplate_log::Error::Altered(file) = error {
        (Some(file), Problem::Mismatch("a file of the log does not fit the signed head"))
    } else if let lockplate_log::Error::Storage { file, .. } = error {
        (Some(file), Problem::Mismatch("a file of the log cannot be read"))
    } else {
        (None, Problem::Mismatch("the entries of the log do not lead to its signed head"))
    };
    match file {
        Some(LogFile::Tile(path)) => {
            report.add(&public.join(path.to_string()), problem);
            Some(path)
        }
        Some(LogFile::Head | LogFile::Staging | LogFile::Published) | None => {
            report.add(public, problem);
            None
        }
    }
}

/// The first tile of the right edge, from below, that is not what the tiles or entries below it make. None if all of them agree: then
/// they are of another log than the head.
fn edge_at_fault(public: &Path, size: u64) -> Option<TilePath> {
    let read = folder_reader(public);
    let tile = |kind, index, width| read(TilePath::new(kind, index, width).ok()?).ok()?;
    let full = u64::from(TILE_WIDTH);
    let mut below = TileKind::Entries;
    let mut count = size;
    for level in 0..=u8::try_from(size.checked_ilog2().unwrap_or(0) / 8).ok()? {
        let (index, width) = (count.checked_div(full)?, u16::try_from(count.checked_rem(full)?).ok()?);
        if width > 0 {
            let kind = TileKind::Hashes(level);
            let made: Option<Vec<Hash>> = match below {
                TileKind::Entries => {
                    let bundle = tile(TileKind::Entries, index, width)?;
                    parse_bundle(&bundle, width).ok().map(|leaves| leaves.into_iter().map(merkle::leaf_hash).collect())
                }
                TileKind::Hashes(_) => {
                    let first = index.saturating_mul(full);
                    (first..first.saturating_add(width.into()))
                        .map(|at| Some(merkle::root(&parse_tile(&tile(below, at, TILE_WIDTH)?, TILE_WIDTH).ok()?)))
                        .collect()
                }
            };
            let made = made.as_deref().map(tile_bytes);
            if made.is_none() || made != tile(kind, index, width) {
                return TilePath::new(kind, index, width).ok();
            }
        }
        (below, count) = (TileKind::Hashes(level), index);
    }
    None
}

/// Looks at the names below `public/tile`: temporaries, what is no tile, and what a log of this size cannot have.
fn list_tiles(public: &Path, below: &str, size: u64, report: &mut Report) -> io::Result<()> {
    for (path, name) in listed(&public.join(below))? {
        let below = format!("{below}/{name}");
        if path.is_dir() {
            list_tiles(public, &below, size, report)?;
        } else if is_temporary(&path) {
            report.add(&path, Problem::LeftoverTemporary);
        } else {
            match TilePath::parse(&below) {
                Ok(tile) if tile.fits(size) => {}
                Ok(_) => report.add(&path, Problem::Mismatch("the signed head is of a smaller log")),
                Err(_) => report.add(&path, Problem::Foreign),
            }
        }
    }
    Ok(())
}

/// Entries in order of name, so that two runs give one report.
fn listed(folder: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        entries.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
    }
    entries.sort_unstable();
    Ok(entries)
}

fn check_epoch(
    folder: &Path,
    epoch: EpochId,
    promise: &mut impl FnMut(EpochId, &[u8], &[u8]) -> Option<Promise>,
    read: &mut impl FnMut(u64),
    report: &mut Report,
) -> io::Result<()> {
    for (path, name) in listed(folder)? {
        match name.as_str() {
            HEADER | SEGMENT | INDEX | CLOSE => {}
            _ if is_staging(&name) || is_temporary(&path) => report.add(&path, Problem::LeftoverTemporary),
            _ => report.add(&path, Problem::Foreign),
        }
    }
    let close = read_paper(&folder.join(CLOSE))?;
    if !folder.join(INDEX).try_exists()? {
        let problem =
            if close.is_some() { Problem::Mismatch("a closed epoch has no index") } else { Problem::Unfinished };
        report.add(folder, problem);
        return Ok(());
    }
    let mut index = BufReader::new(File::open(folder.join(INDEX))?);
    let head = take(&mut index, INDEX_HEAD_BYTES)?;
    let Some(head) = IndexHead::parse(&head) else {
        report.add(&folder.join(INDEX), Problem::Mismatch("the head of the index is damaged"));
        return Ok(());
    };
    match (read_paper(&folder.join(HEADER))?, close) {
        (_, None) => report.add(folder, Problem::NotClosed),
        (Some(Some(header)), Some(Some(close))) => match promise(epoch, &header, &close) {
            None => report.add(folder, Problem::Unverified),
            Some(promised) => {
                let stored =
                    Promise { bucket_bits: head.bucket_bits, cells_padded: head.cells_padded, segment_root: head.root };
                if promised != stored {
                    report.add(folder, Problem::Mismatch("the signed papers promise another segment"));
                }
            }
        },
        (_, Some(_)) => report.add(folder, Problem::Papers),
    }
    check_segment(folder, &head, index, read, report)
}

/// `None`: absent. `Some(None)`: empty or too long.
#[expect(clippy::option_option, reason = "an absent close is an interrupted one, a bad close is damage")]
fn read_paper(path: &Path) -> io::Result<Option<Option<Vec<u8>>>> {
    if !path.try_exists()? {
        return Ok(None);
    }
    let bytes = take(&mut File::open(path)?, PAPER_BYTES_MAX.saturating_add(1))?;
    Ok(Some(Some(bytes).filter(|bytes| !bytes.is_empty() && bytes.len() <= PAPER_BYTES_MAX)))
}

/// Every bucket against the root, in order; the index must tile the segment without a gap.
fn check_segment(
    folder: &Path,
    head: &IndexHead,
    mut index: impl Read,
    read: &mut impl FnMut(u64),
    report: &mut Report,
) -> io::Result<()> {
    let path = folder.join(SEGMENT);
    if !path.try_exists()? {
        report.add(&path, Problem::Mismatch("the segment is missing"));
        return Ok(());
    }
    let buckets = usize::try_from(head.buckets()).unwrap_or(usize::MAX);
    if buckets.saturating_mul(BUCKET_PAD_CELLS) > SEGMENT_PADDED_CELLS_MAX {
        report.add(&path, Problem::Mismatch("the index names more buckets than a segment can have"));
        return Ok(());
    }
    let mut segment = BufReader::new(File::open(&path)?);
    let mut expected_start = 0_usize;
    for bucket in 0..head.buckets() {
        let record = head.parse_record(&take(&mut index, head.record_bytes())?);
        let Some(record) = record.filter(|record| record.bytes.start == expected_start) else {
            report.add(&folder.join(INDEX), Problem::Mismatch("the index does not tile the segment"));
            return Ok(());
        };
        expected_start = record.bytes.end;
        let cells = take(&mut segment, record.bytes.len())?;
        let count = u64::try_from(cells.chunks(CELL_BYTES).len()).unwrap_or(u64::MAX);
        read(u64::try_from(cells.len()).unwrap_or(u64::MAX));
        let proof = BucketProof { bucket, cells, path: record.path };
        if proof.verify(bucket, &head.root, head.bucket_bits).is_ok() {
            report.cells = report.cells.saturating_add(count);
        } else {
            report.add(&path, Problem::Bucket(bucket));
        }
    }
    let cells = u64::try_from(expected_start.checked_div(CELL_BYTES).unwrap_or(0)).unwrap_or(u64::MAX);
    if cells != head.cells_padded {
        report.add(&folder.join(INDEX), Problem::Mismatch("the index counts other cells than it names"));
    }
    if !take(&mut segment, 1)?.is_empty() || !take(&mut index, 1)?.is_empty() {
        report.add(folder, Problem::Mismatch("index or segment goes on after the last bucket"));
    }
    Ok(())
}

/// Fewer bytes than `length` only at the end.
fn take(source: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.by_ref().take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "fsck_tests.rs"]
mod tests;

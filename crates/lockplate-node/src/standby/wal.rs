//! What a transaction changed in a database of SQLite: the pages that its write-ahead log holds. The log is emptied after each call
//! (`db.rs`), so it holds the pages of that call and no others. The format is SQLite's own, <https://sqlite.org/fileformat2.html#walformat>.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::record::{CHUNK_BYTES, DbOf, Piece};
use super::ship::{NotShipped, Shipper};

const HEAD_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 24;
/// The magic number where checksums are of little-endian words; with the lowest bit set, of big-endian ones.
const MAGIC: u32 = 0x377f_0682;
/// Pieces that are shipped together, which bounds the memory of a large transaction.
const PIECES_TOGETHER: usize = 4;

/// Why pages could not be shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPages {
    /// The write-ahead log could not be read.
    Unread(io::ErrorKind),
    /// They are not known to be in the journal.
    NotShipped,
}

impl core::fmt::Display for NoPages {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unread(kind) => write!(f, "the write-ahead log could not be read: {kind}"),
            Self::NotShipped => NotShipped.fmt(f),
        }
    }
}

impl From<io::Error> for NoPages {
    fn from(cause: io::Error) -> Self {
        Self::Unread(cause.kind())
    }
}

impl From<NotShipped> for NoPages {
    fn from(_cause: NotShipped) -> Self {
        Self::NotShipped
    }
}

/// Ships the pages of one database.
#[derive(Clone, Debug)]
pub struct DbShip {
    shipper: Shipper,
    db: DbOf,
}

/// The newest committed content of each page.
struct Committed {
    page_bytes: u32,
    /// Pages of the whole file.
    pages: u32,
    /// Where in the log the page of a number stands.
    places: BTreeMap<u32, u64>,
}

impl DbShip {
    /// For the database `db`.
    #[must_use]
    pub const fn new(shipper: Shipper, db: DbOf) -> Self {
        Self { shipper, db }
    }

    /// Ships what was committed since the write-ahead log of the database at `path` was emptied. Whether there was anything. Blocks.
    pub(crate) fn committed(&self, path: &Path) -> Result<bool, NoPages> {
        let file = match File::open(wal_of(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let Some(committed) = read(&file)? else { return Ok(false) };
        let whole = usize::try_from(committed.page_bytes).unwrap_or(usize::MAX).saturating_add(4);
        let at_once = CHUNK_BYTES.checked_div(whole).unwrap_or(1).max(1);
        let Committed { page_bytes, pages, places } = committed;
        let places: Vec<(u32, u64)> = places.into_iter().filter(|(page, _)| *page <= pages).collect();
        let mut chunks = places.chunks(at_once).peekable();
        let mut together = Vec::new();
        while let Some(chunk) = chunks.next() {
            let mut content = Vec::with_capacity(whole.saturating_mul(chunk.len()));
            for (page, place) in chunk {
                let mut bytes = vec![0; whole.saturating_sub(4)];
                file.read_exact_at(&mut bytes, *place)?;
                content.extend_from_slice(&page.to_be_bytes());
                content.extend_from_slice(&bytes);
            }
            let more = chunks.peek().is_some();
            together.push(Piece::Pages { db: self.db, page_bytes, pages, more, content });
            if !more || together.len() >= PIECES_TOGETHER {
                self.shipper.ship_blocking(core::mem::take(&mut together))?;
            }
        }
        Ok(true)
    }
}

/// The write-ahead log of a database.
pub(crate) fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// SQLite's checksum of whole pairs of words, going on from `(first, second)`.
fn checksum(bytes: &[u8], (mut first, mut second): (u32, u32), big_endian: bool) -> (u32, u32) {
    let word = |bytes: [u8; 4]| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    for pair in bytes.as_chunks::<8>().0 {
        let [a, b, c, d, e, f, g, h] = *pair;
        first = first.wrapping_add(word([a, b, c, d])).wrapping_add(second);
        second = second.wrapping_add(word([e, f, g, h])).wrapping_add(first);
    }
    (first, second)
}

fn be(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at.saturating_add(4)).and_then(|four| four.first_chunk());
    four.map_or(0, |four| u32::from_be_bytes(*four))
}

/// Frames up to the last one that commits. Those of a transaction that was rolled back, and of earlier uses of the file, do not fit the
/// running checksum or are followed by no commit.
fn read(file: &File) -> io::Result<Option<Committed>> {
    let mut head = [0; HEAD_BYTES];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let (magic, page_bytes) = (be(&head, 0), be(&head, 8));
    let big_endian = magic & 1 == 1;
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    if magic & !1 != MAGIC || !page_bytes.is_power_of_two() || !(512..=65_536).contains(&page_bytes) {
        return Err(damaged());
    }
    let mut sum = checksum(head.get(..24).unwrap_or_default(), (0, 0), big_endian);
    if sum != (be(&head, 24), be(&head, 28)) {
        return Err(damaged());
    }
    let mut frame = vec![0; usize::try_from(page_bytes).unwrap_or(0).saturating_add(FRAME_HEAD_BYTES)];
    let (mut at, frame_bytes) = (32_u64, u64::from(page_bytes).saturating_add(24));
    let (mut found, mut pending) = (None, BTreeMap::new());
    loop {
        match file.read_exact_at(&mut frame, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(found),
            read => read?,
        }
        sum = checksum(frame.get(..8).unwrap_or_default(), sum, big_endian);
        sum = checksum(frame.get(FRAME_HEAD_BYTES..).unwrap_or_default(), sum, big_endian);
        let same_salt = frame.get(8..16) == head.get(16..24);
        if !same_salt || sum != (be(&frame, 16), be(&frame, 20)) {
            return Ok(found);
        }
        pending.insert(be(&frame, 0), at.saturating_add(24));
        let pages = be(&frame, 4);
        if pages != 0 {
            let committed = found.get_or_insert_with(|| Committed { page_bytes, pages, places: BTreeMap::new() });
            committed.pages = pages;
            committed.places.append(&mut pending);
        }
        at = at.saturating_add(frame_bytes);
    }
}

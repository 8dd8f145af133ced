//! What one record of the journal says: pieces, in the order in which they were made. Total and bounded: nothing here trusts a length
//! it has read, and what was written is read back the same, or not at all. `docs/standby.md` has the layout.

use lockplate_core::id::EpochId;
use lockplate_log::{StagingName, TilePath};

/// Bytes of one piece's content, at most: what is longer goes in several pieces.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;
/// Bytes of a record before it is encrypted, at most.
pub(super) const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a piece beside its content, at most.
const PIECE_HEAD_BYTES_MAX: usize = 128;
/// Pages of SQLite are 512 bytes to 64 KiB.
const PAGE_BYTES: core::ops::RangeInclusive<u32> = 512..=65_536;
/// First byte of the plaintext.
const VERSION: u8 = 1;

/// A log of the agency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogOf {
    /// The recorder's.
    Recorder,
    /// The desk's.
    Desk,
}

/// A file of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogFileName {
    /// The newest signed head.
    Head,
    /// The checkpoint that strangers see.
    Published,
    /// The files of an append.
    Staging(StagingName),
    /// A tile or bundle.
    Tile(TilePath),
}

impl LogFileName {
    /// The path below the log's folder.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Self::Head => "head".to_owned(),
            Self::Published => "public/checkpoint".to_owned(),
            Self::Staging(name) => format!("staging/{name}"),
            Self::Tile(path) => format!("public/{path}"),
        }
    }

    /// Reads a path; `None` for every other file.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "head" => return Some(Self::Head),
            "public/checkpoint" => return Some(Self::Published),
            _ => {}
        }
        if let Some(name) = path.strip_prefix("staging/") {
            return StagingName::parse(name).map(Self::Staging);
        }
        path.strip_prefix("public/").and_then(|path| TilePath::parse(path).ok()).map(Self::Tile)
    }
}

/// A database of the agency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DbOf {
    /// `agency.db`.
    Agency,
    /// `desk.db`.
    Desk,
}

/// One thing that became durable.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// From this record on the journal is that of the run that wrote it.
    Owner,
    /// The run has ended in order: nothing follows from it.
    Resigned,
    /// Bytes of a spool.
    Spool {
        /// Its epoch.
        epoch: EpochId,
        /// Where they begin.
        at: u64,
        /// Sealed cells in their frames.
        bytes: Vec<u8>,
    },
    /// A spool was removed: its epoch is closed.
    SpoolGone(EpochId),
    /// Bytes of a file of a log, which is replaced as a whole.
    Log {
        /// Whose.
        log: LogOf,
        /// Which file.
        file: LogFileName,
        /// Where they begin; at 0 a new file begins.
        at: u64,
        /// The file ends with them.
        last: bool,
        /// Content.
        bytes: Vec<u8>,
    },
    /// A file of a log was removed.
    LogGone {
        /// Whose.
        log: LogOf,
        /// Which file.
        file: LogFileName,
    },
    /// Pages of a database, as one or several transactions left them.
    Pages {
        /// Which.
        db: DbOf,
        /// Bytes of a page.
        page_bytes: u32,
        /// Pages of the whole file afterwards.
        pages: u32,
        /// They hold together with the pages of the next piece of this database: none is applied before the last.
        more: bool,
        /// For each page its number (from 1, 4 bytes, big-endian) and its content.
        content: Vec<u8>,
    },
}

impl core::fmt::Debug for Piece {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let bytes = self.bytes();
        match self {
            Self::Owner => f.write_str("Owner"),
            Self::Resigned => f.write_str("Resigned"),
            Self::Spool { epoch, at, .. } => write!(f, "Spool({epoch}, {at}, {bytes} bytes)"),
            Self::SpoolGone(epoch) => write!(f, "SpoolGone({epoch})"),
            Self::Log { log, file, at, last, .. } => write!(f, "Log({log:?}, {file:?}, {at}, {last}, {bytes} bytes)"),
            Self::LogGone { log, file } => write!(f, "LogGone({log:?}, {file:?})"),
            Self::Pages { db, pages, more, .. } => write!(f, "Pages({db:?}, {pages}, {more}, {bytes} bytes)"),
        }
    }
}

impl Piece {
    fn bytes(&self) -> usize {
        match self {
            Self::Owner | Self::Resigned | Self::SpoolGone(_) | Self::LogGone { .. } => 0,
            Self::Spool { bytes, .. } | Self::Log { bytes, .. } => bytes.len(),
            Self::Pages { content, .. } => content.len(),
        }
    }

    /// Bytes in a record, at most.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes().saturating_add(PIECE_HEAD_BYTES_MAX)
    }

    /// The pieces of a file of a log.
    pub fn log_file(log: LogOf, file: LogFileName, bytes: &[u8]) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut chunks = bytes.chunks(CHUNK_BYTES).peekable();
        let mut at = 0_u64;
        if chunks.peek().is_none() {
            pieces.push(Self::Log { log, file, at, last: true, bytes: Vec::new() });
        }
        while let Some(chunk) = chunks.next() {
            pieces.push(Self::Log { log, file, at, last: chunks.peek().is_none(), bytes: chunk.to_vec() });
            at = at.saturating_add(wide(chunk.len()));
        }
        pieces
    }

    fn write(&self, out: &mut Vec<u8>) {
        let text = |out: &mut Vec<u8>, file: &LogFileName| {
            let path = file.path();
            out.push(u8::try_from(path.len()).unwrap_or(0));
            out.extend_from_slice(path.as_bytes());
        };
        let log = |log: &LogOf| match log {
            LogOf::Recorder => 0_u8,
            LogOf::Desk => 1,
        };
        let content = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(bytes);
        };
        match self {
            Self::Owner => out.push(1),
            Self::Resigned => out.push(2),
            Self::Spool { epoch, at, bytes } => {
                out.push(3);
                out.extend_from_slice(&epoch.0);
                out.extend_from_slice(&at.to_be_bytes());
                content(out, bytes);
            }
            Self::SpoolGone(epoch) => {
                out.push(4);
                out.extend_from_slice(&epoch.0);
            }
            Self::Log { log: whose, file, at, last, bytes } => {
                out.extend_from_slice(&[5, log(whose)]);
                text(out, file);
                out.extend_from_slice(&at.to_be_bytes());
                out.push(u8::from(*last));
                content(out, bytes);
            }
            Self::LogGone { log: whose, file } => {
                out.extend_from_slice(&[6, log(whose)]);
                text(out, file);
            }
            Self::Pages { db, page_bytes, pages, more, content: bytes } => {
                let db = match db {
                    DbOf::Agency => 0,
                    DbOf::Desk => 1,
                };
                out.extend_from_slice(&[7, db]);
                out.extend_from_slice(&page_bytes.to_be_bytes());
                out.extend_from_slice(&pages.to_be_bytes());
                out.push(u8::from(*more));
                content(out, bytes);
            }
        }
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The plaintext of a record.
#[must_use]
pub(super) fn encode(pieces: &[Piece]) -> Vec<u8> {
    let mut out = vec![VERSION];
    pieces.iter().for_each(|piece| piece.write(&mut out));
    out
}

/// Reads the plaintext of a record; `None` on anything that [`encode`] does not write.
#[must_use]
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Piece>> {
    if bytes.len() > RECORD_BYTES_MAX {
        return None;
    }
    let mut rest = Rest(bytes);
    if rest.byte()? != VERSION {
        return None;
    }
    let mut pieces = Vec::new();
    while !rest.0.is_empty() {
        pieces.push(rest.piece()?);
    }
    Some(pieces)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        Some(u8::from_be_bytes(self.array()?))
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.array()?))
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn content(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        (length <= CHUNK_BYTES).then(|| self.take(length))?.map(<[u8]>::to_vec)
    }

    fn log(&mut self) -> Option<LogOf> {
        Some(if self.flag()? { LogOf::Desk } else { LogOf::Recorder })
    }

    fn file(&mut self) -> Option<LogFileName> {
        let length = usize::from(self.byte()?);
        let path = core::str::from_utf8(self.take(length)?).ok()?;
        LogFileName::parse(path).filter(|file| file.path() == path)
    }

    fn piece(&mut self) -> Option<Piece> {
        Some(match self.byte()? {
            1 => Piece::Owner,
            2 => Piece::Resigned,
            3 => Piece::Spool { epoch: EpochId(self.array()?), at: self.number()?, bytes: self.content()? },
            4 => Piece::SpoolGone(EpochId(self.array()?)),
            5 => Piece::Log {
                log: self.log()?,
                file: self.file()?,
                at: self.number()?,
                last: self.flag()?,
                bytes: self.content()?,
            },
            6 => Piece::LogGone { log: self.log()?, file: self.file()? },
            7 => self.pages()?,
            _ => return None,
        })
    }

    fn pages(&mut self) -> Option<Piece> {
        let db = if self.flag()? { DbOf::Desk } else { DbOf::Agency };
        let page_bytes = u32::from_be_bytes(self.array()?);
        let pages = u32::from_be_bytes(self.array()?);
        let more = self.flag()?;
        let content = self.content()?;
        let whole = usize::try_from(page_bytes).ok()?.checked_add(4)?;
        let sound = PAGE_BYTES.contains(&page_bytes) && page_bytes.is_power_of_two();
        if !sound || !content.len().is_multiple_of(whole) {
            return None;
        }
        let numbered = content.chunks(whole).all(|page| {
            page.first_chunk().is_some_and(|number| (1..=pages).contains(&u32::from_be_bytes(*number)) || more)
        });
        numbered.then_some(Piece::Pages { db, page_bytes, pages, more, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn piece() -> impl Strategy<Value = Piece> {
        let epoch = any::<[u8; 16]>().prop_map(EpochId);
        let file = prop::sample::select(vec![
            "head",
            "public/checkpoint",
            "staging/300-00ff00ff00ff00ff",
            "public/tile/0/000",
            "public/tile/entries/x001/000.p/3",
        ]);
        let file = file.prop_map(|path| LogFileName::parse(path).unwrap());
        let log = prop::sample::select(vec![LogOf::Recorder, LogOf::Desk]);
        let db = prop::sample::select(vec![DbOf::Agency, DbOf::Desk]);
        let bytes = prop::collection::vec(any::<u8>(), 0..50);
        prop_oneof![
            Just(Piece::Owner),
            Just(Piece::Resigned),
            (epoch.clone(), any::<u64>(), bytes.clone()).prop_map(|(epoch, at, bytes)| Piece::Spool {
                epoch,
                at,
                bytes
            }),
            epoch.prop_map(Piece::SpoolGone),
            (log.clone(), file.clone(), any::<u64>(), any::<bool>(), bytes)
                .prop_map(|(log, file, at, last, bytes)| Piece::Log { log, file, at, last, bytes }),
            (log, file).prop_map(|(log, file)| Piece::LogGone { log, file }),
            (db, any::<bool>(), 0..3_u32).prop_map(|(db, more, pages)| Piece::Pages {
                db,
                page_bytes: 512,
                pages,
                more,
                content: (1..=pages).flat_map(|number| [&number.to_be_bytes()[..], &[7; 512]].concat()).collect(),
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_written_and_no_part_of_it_is_one(pieces in prop::collection::vec(piece(), 0..6)) {
            let bytes = encode(&pieces);
            prop_assert!(pieces.iter().zip([0_usize; 6]).all(|(piece, _)| encode(core::slice::from_ref(piece)).len() <= piece.size()));
            prop_assert_eq!(decode(&bytes), Some(pieces.clone()));
            for cut in 0..bytes.len() {
                // A record that ends earlier is another record or none.
                prop_assert!(decode(&bytes[..cut]).is_none_or(|other| other != pieces));
            }
        }

        #[test]
        fn decoding_is_total(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(decode(&bytes));
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Some(pieces) = decode(&bytes) {
                prop_assert_eq!(encode(&pieces), bytes);
            }
        }
    }

    #[test]
    fn a_path_out_of_the_folder_and_a_page_out_of_the_file_are_refused() {
        for path in ["../head", "public/../head", "staging/../../keys/tls", "public/checkpoint.tmp", "lock", ""] {
            assert_eq!(LogFileName::parse(path), None, "{path}");
        }
        let pages = |number: u32| {
            let content = [&number.to_be_bytes()[..], &[7; 512]].concat();
            decode(&encode(&[Piece::Pages { db: DbOf::Agency, page_bytes: 512, pages: 2, more: false, content }]))
        };
        assert!(pages(2).is_some());
        assert_eq!(pages(0), None);
        assert_eq!(pages(3), None);
    }

    #[test]
    fn a_long_file_goes_in_several_pieces() {
        let bytes = vec![7; CHUNK_BYTES + 1];
        let pieces = Piece::log_file(LogOf::Desk, LogFileName::Head, &bytes);
        assert_eq!(pieces.len(), 2);
        assert!(
            matches!(&pieces[1], Piece::Log { at, last: true, bytes, .. } if *at == CHUNK_BYTES as u64 && bytes.len() == 1)
        );
        assert_eq!(Piece::log_file(LogOf::Desk, LogFileName::Head, &[]).len(), 1);
    }
}

//! The seam between the log and its disk: [`LogStorage`], its contract in prose, and the staging file's name and format. No I/O here; the file
//! backend is `lockplate-store::log_files`, the double is in this crate's tests.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::checkpoint::{Checkpoint, parse_decimal};
use crate::error::{Error, LogFile, StorageFault};
use crate::limits::{STAGING_BYTES_MAX, STAGING_FILES_MAX, TILE_PATH_BYTES_MAX};
use crate::tile::TilePath;

/// Where one log keeps its files (`log.md` section 3). Trusted for availability only: all it returns is proved against the signed head before
/// it is used, so a storage that lies can stop the log, not fork it.
///
/// **One process.** Whoever makes an implementation holds an exclusive lock on the log's folder for as long as the value lives; a second
/// process must be refused before a `LogStorage` exists. Calls come one at a time.
///
/// **Durable on return.** Every writing method returns `Ok` only when bytes *and* directory entry are on stable storage (write a temporary,
/// fsync it, rename, fsync the directory). A reader that comes after a crash sees the whole file as written or the one before it, never a
/// part. `Err` means *not known*: the write may or may not have happened, and may be lost later. The log then stops; **nobody retries** in
/// this process, because after a failed fsync the page cache may show what the disk does not have.
///
/// **Order.** Calls take effect in the order they are made; a write is durable before the next call begins.
///
/// **Repeats.** After a restart the log repeats [`replace_head`](Self::replace_head) with the bytes it read and
/// [`create_tile`](Self::create_tile) with the bytes of the staging file; each must write them anew and so make them durable, even if equal
/// bytes seem to be there.
pub trait LogStorage {
    /// The bytes of `head`, or `None` if there never was one.
    ///
    /// # Errors
    /// Final: any fault.
    fn read_head(&self) -> Result<Option<Vec<u8>>, StorageFault>;

    /// Replaces `head`. This is the log's commit point: a crash leaves the old head or this one.
    ///
    /// # Errors
    /// Final: any fault.
    fn replace_head(&mut self, bytes: &[u8]) -> Result<(), StorageFault>;

    /// The bytes of `public/checkpoint`, or `None` if nothing was ever published.
    ///
    /// # Errors
    /// Final: any fault.
    fn read_published(&self) -> Result<Option<Vec<u8>>, StorageFault>;

    /// Replaces `public/checkpoint`, which strangers read: from the rename on, they may have seen it.
    ///
    /// # Errors
    /// Any fault. The log goes on: the caller may publish again, which writes anew.
    fn replace_published(&mut self, bytes: &[u8]) -> Result<(), StorageFault>;

    /// The bytes of a tile or bundle, or `None` if there is none of exactly this path. Never a wider one cut down.
    ///
    /// # Errors
    /// Final: any fault.
    fn read_tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, StorageFault>;

    /// Creates an immutable tile or bundle, which strangers may read from then on. If it exists with these bytes it is written again.
    ///
    /// # Errors
    /// [`StorageFault::Conflict`] if it exists with other bytes, which stay. Final: any fault.
    fn create_tile(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), StorageFault>;

    /// The names in `staging/`, in any order. Files of other names are none of ours and are not listed.
    ///
    /// # Errors
    /// Final: any fault.
    fn list_staging(&self) -> Result<Vec<StagingName>, StorageFault>;

    /// The bytes of a staging file, or `None` if there is none of this name.
    ///
    /// # Errors
    /// Final: any fault.
    fn read_staging(&self, name: StagingName) -> Result<Option<Vec<u8>>, StorageFault>;

    /// Writes a staging file. Nobody but this log reads it.
    ///
    /// # Errors
    /// Final: any fault.
    fn write_staging(&mut self, name: StagingName, bytes: &[u8]) -> Result<(), StorageFault>;

    /// Removes a staging file. `Ok` also if there is none. Need not be durable: a staging file that comes back is applied again or deleted.
    ///
    /// # Errors
    /// Final: any fault.
    fn remove_staging(&mut self, name: StagingName) -> Result<(), StorageFault>;
}

/// The name of a staging file: `<size>-<first 16 hex of root>`, of the head that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StagingName {
    size: u64,
    root: u64,
}

impl StagingName {
    /// The name of the staging file of the append that makes this head.
    #[must_use]
    pub fn of(head: &Checkpoint) -> Self {
        let root = head.root().as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first));
        Self { size: head.size(), root }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (size, root) = text.split_once('-')?;
        let name = Self { size: parse_decimal(size)?, root: u64::from_str_radix(root, 16).ok()? };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for StagingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.size, self.root)
    }
}

/// First line of a staging file.
const STAGING_MAGIC: &[u8] = b"lockplate.log/staging@v1\n";

/// The staging file: magic; then for each file its path's length (1 byte), path, content's length (4 bytes, big-endian), content; then the
/// SHA-256 of all before it, which finds a rotten or foreign file before anything of it is applied.
pub(crate) fn staging_bytes(files: &[(TilePath, Vec<u8>)]) -> Result<Vec<u8>, Error> {
    let mut out = STAGING_MAGIC.to_vec();
    for (path, bytes) in files {
        let path = path.to_string();
        out.push(u8::try_from(path.len()).ok().ok_or(Error::BatchTooLarge)?);
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(&u32::try_from(bytes.len()).ok().ok_or(Error::BatchTooLarge)?.to_be_bytes());
        out.extend_from_slice(bytes);
    }
    let digest: [u8; 32] = Sha256::digest(&out).into();
    out.extend_from_slice(&digest);
    if files.len() > STAGING_FILES_MAX || out.len() > STAGING_BYTES_MAX { Err(Error::BatchTooLarge) } else { Ok(out) }
}

/// Reads a staging file.
///
/// # Errors
/// [`Error::Altered`] on anything that [`staging_bytes`] does not write.
pub(crate) fn parse_staging(bytes: &[u8]) -> Result<Vec<(TilePath, Vec<u8>)>, Error> {
    parse_staging_inner(bytes).ok_or(Error::Altered(LogFile::Staging))
}

fn parse_staging_inner(bytes: &[u8]) -> Option<Vec<(TilePath, Vec<u8>)>> {
    let (body, digest) = bytes.split_last_chunk::<32>().filter(|_| bytes.len() <= STAGING_BYTES_MAX)?;
    if <[u8; 32]>::from(Sha256::digest(body)) != *digest {
        return None;
    }
    let mut rest = body.strip_prefix(STAGING_MAGIC)?;
    let mut files = Vec::new();
    while let Some((&length, tail)) = rest.split_first() {
        let (path, tail) =
            tail.split_at_checked(usize::from(length)).filter(|_| usize::from(length) <= TILE_PATH_BYTES_MAX)?;
        let (&length, tail) = tail.split_first_chunk::<4>()?;
        let (content, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
        files.push((TilePath::parse(core::str::from_utf8(path).ok()?).ok()?, content.to_vec()));
        if files.len() > STAGING_FILES_MAX {
            return None;
        }
        rest = tail;
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// A staging file around any body, with the right digest.
    fn around(body: &[u8]) -> Vec<u8> {
        let mut bytes = [STAGING_MAGIC, body].concat();
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        bytes.extend_from_slice(&digest);
        bytes
    }

    #[test]
    fn staging_is_read_as_written() {
        let file = |path: &str, length: usize| (TilePath::parse(path).unwrap(), vec![7; length]);
        for files in [vec![], vec![file("tile/0/000", 8_192), file("tile/entries/x001/000.p/3", 0)]] {
            let bytes = staging_bytes(&files).unwrap();
            assert_eq!(parse_staging(&bytes).unwrap(), files);
            for cut in 0..bytes.len().min(200) {
                assert!(parse_staging(&bytes[..cut]).is_err());
            }
        }
        assert_eq!(staging_bytes(&vec![file("tile/0/000", 1); STAGING_FILES_MAX + 1]), Err(Error::BatchTooLarge));
        assert!(parse_staging(&around(&[5, b't'])).is_err());
        assert!(parse_staging(&around(&[0, 0, 0, 0, 0])).is_err(), "an empty path");
    }

    #[test]
    fn names_have_one_spelling() {
        let name = StagingName::parse("300-00ff00ff00ff00ff").unwrap();
        assert_eq!(name.to_string(), "300-00ff00ff00ff00ff");
        for bad in [
            "",
            "-",
            "1-",
            "01-00ff00ff00ff00ff",
            "1-00FF00ff00ff00ff",
            "1-0ff",
            "1-+0ff00ff00ff00ff",
            "1-00ff00ff00ff00ff.tmp",
            "../1",
        ] {
            assert_eq!(StagingName::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn staging_is_total(body in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(parse_staging(&body));
            if let Ok(files) = parse_staging(&around(&body)) {
                prop_assert_eq!(staging_bytes(&files).unwrap(), around(&body));
            }
        }
    }
}

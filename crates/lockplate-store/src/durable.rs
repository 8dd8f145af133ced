//! Durable writes: the one module that puts bytes on stable storage (`reliability.md` section 4, rule 1), for spools, logs, share stores and
//! every other file that an acknowledgement rests on. It never retries an fsync and never returns `Ok` for bytes that may be lost.
//! What it writes is read back by the spool, the log's file backend and `fsck`.
//!
//! # The good path, call by call
//!
//! - [`replace`]: open a temporary with `O_EXCL`, write, `fsync(temporary)`, `rename` over the target, `fsync(folder)`.
//! - [`write_new`]: the same with `link` and `unlink` in place of `rename`, because `link` refuses to overwrite.
//! - [`remove`]: `unlink`, `fsync(folder)`.
//! - [`AppendFile::append`]: `write`, `fdatasync`. The size of the file is data in this sense: `fdatasync` flushes it.
//! - [`create_dir`]: `mkdir`, `fsync(parent)`, for each level that was missing.
//!
//! # What fsync does not give
//!
//! - **The name.** `fsync` of a file says nothing of its folder entry. A file synced alone may be gone after a power cut. Hence the folder's.
//! - **A second chance.** After a failed fsync Linux marks the dirty pages clean: a second fsync returns success with the data lost. So any
//!   failed fsync is final ([`Error::must_stop`]) and the process exits; what is on the disk is read anew at the next start.
//!   `std::fs::File::sync_all` repeats an interrupted call, so it is not used here.
//! - **Atomic content.** A crash in a plain write leaves any mix of old and new pages. Hence whole files go through a temporary, and appended
//!   frames carry a checksum and are dropped at the tail if it is wrong.
//! - **Honest hardware.** A disk that acknowledges a flush and keeps the data in a volatile cache loses acknowledged bytes at a power cut, and
//!   nothing in this process can see it. This hole remains; operators are told to buy drives with power-loss protection.
//! - **Erasure.** [`remove`] makes the name disappear, not the bytes. Secrets are never written, or only under a key that is destroyed.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, FlockOperation};

/// Ending of the temporaries of this module. A file with it was never complete and may be deleted when no process owns the folder.
pub const TEMPORARY_SUFFIX: &str = ".tmp";
/// Bytes of disk held back so that a full keeper can still log its refusals (`reliability.md` section 4, rule 5).
pub const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Name of the lock file in a data folder.
pub const LOCK_FILE_NAME: &str = "lock";
/// Name of the reserve file in a data folder.
pub const RESERVE_FILE_NAME: &str = "reserve";
/// Attempts to find a free temporary name; more taken names than this are a folder that nobody cleans.
const TEMPORARY_NAMES_MAX: u32 = 1_000;
/// Only the owner reads and writes: sealed or not, nothing in a data folder is anybody else's business.
const FILE_MODE: u32 = 0o600;

/// Which step of a durable write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opening, creating, locking or reserving: nothing was changed.
    Open,
    /// Writing into a file that is not in place yet, or appending: what was there before is still there.
    Write,
    /// Putting the file in place or taking it away.
    Rename,
    /// `fsync` or `fdatasync` of a file: what the disk has is not known.
    SyncFile,
    /// `fsync` of a folder: whether the name is on the disk is not known.
    SyncFolder,
}

/// A durable write that did not happen, or may not have.
#[derive(Debug)]
pub struct Error {
    step: Step,
    source: io::Error,
}

impl Error {
    fn at(step: Step) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { step, source }
    }

    /// A folder or store that could not be opened.
    pub(crate) const fn cannot_open(source: io::Error) -> Self {
        Self { step: Step::Open, source }
    }

    /// The step that failed.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.step
    }

    /// The kind of the operating system's error, for callers that expect one (`AlreadyExists`, `NotFound`, `StorageFull`).
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether the process must exit: memory and disk can no longer be assumed to agree. Never answer this error with a retry.
    /// The other errors (a full disk, above all) leave what was durable as it was, and the caller may try again later.
    #[must_use]
    pub const fn must_stop(&self) -> bool {
        match self.step {
            Step::SyncFile | Step::SyncFolder => true,
            Step::Open | Step::Write | Step::Rename => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            Step::Open => "a file could not be opened or created",
            Step::Write => "a file could not be written",
            Step::Rename => "a file could not be put in place or removed",
            Step::SyncFile => "fsync of a file failed; what is on the disk is not known",
            Step::SyncFolder => "fsync of a folder failed; what is on the disk is not known",
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<Error> for io::Error {
    /// Keeps the kind, so that a caller of plain `io` functions can still tell a full disk from a broken one.
    fn from(error: Error) -> Self {
        Self::new(error.source.kind(), error)
    }
}

/// Creates `path` with `bytes`. On return the whole file is on stable storage under its name.
///
/// # Errors
/// `Rename` with kind `AlreadyExists` if there is a file of this name, which stays as it is. After a crash the file is there whole or not at
/// all. See [`Error::must_stop`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    put(path, bytes, |temporary| {
        std::fs::hard_link(temporary, path)?;
        std::fs::remove_file(temporary)
    })
}

/// Creates or replaces `path` with `bytes`. On return the new content is on stable storage; after a crash a reader finds the old content or
/// the new one, never a part.
///
/// # Errors
/// See [`Error::must_stop`]. Unless it says stop, the old content is in place.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    put(path, bytes, |temporary| rename(temporary, path))
}

#[expect(clippy::disallowed_methods, reason = "this is the module that other code is told to use")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

fn put(path: &Path, bytes: &[u8], place: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    let (mut file, temporary) = create_temporary(path).map_err(Error::at(Step::Open))?;
    let placed = file
        .write_all(bytes)
        .map_err(Error::at(Step::Write))
        .and_then(|()| sync_file(&file))
        .and_then(|()| place(&temporary).map_err(Error::at(Step::Rename)));
    if let Err(error) = placed {
        // The temporary is worthless. If it cannot be removed either, `fsck` lists it and the next start removes it.
        drop(std::fs::remove_file(&temporary));
        return Err(error);
    }
    sync_dir(folder_of(path))
}

/// Creates or replaces `path` with `bytes`, whole, and **not durable** on return: for many files that are proved again before anybody believes
/// them, such as the tiles of a stranger's log. [`sync_file_system`] then makes all of them durable at once, a hundred times faster than one by
/// one.
///
/// # Errors
/// As [`replace`]; never one that says stop.
pub fn place(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let (mut file, temporary) = create_temporary(path).map_err(Error::at(Step::Open))?;
    let placed = file
        .write_all(bytes)
        .map_err(Error::at(Step::Write))
        .and_then(|()| rename(&temporary, path).map_err(Error::at(Step::Rename)));
    if placed.is_err() {
        drop(std::fs::remove_file(&temporary));
    }
    placed
}

/// Puts all that was written to the file system of `folder` on stable storage, by this process or another.
///
/// # Errors
/// `SyncFile`: what was written is not known to be there. `Open` if the folder cannot be opened.
pub fn sync_file_system(folder: &Path) -> Result<(), Error> {
    let folder = File::open(folder).map_err(Error::at(Step::Open))?;
    rustix::fs::syncfs(&folder).map_err(|errno| Error::at(Step::SyncFile)(errno.into()))
}

/// Removes the file at `path`. On return its absence is on stable storage. An absent file is no error: the removal before a crash may not
/// have been durable, and repeating it is how it becomes so.
///
/// # Errors
/// See [`Error::must_stop`].
pub fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::at(Step::Rename)(error)),
        Ok(()) | Err(_) => {}
    }
    sync_dir(folder_of(path))
}

/// Takes a folder out of the way in one step, whatever it holds: under a temporary's name, for [`remove_aside`]. Not durable: after a power
/// cut it may be back. An absent folder is no error.
///
/// # Errors
/// `Rename`.
pub(crate) fn lay_aside(path: &Path) -> Result<(), Error> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(TEMPORARY_SUFFIX);
    let aside = PathBuf::from(aside);
    match rename(path, &aside) {
        // It was laid aside before and came back.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            std::fs::remove_dir_all(&aside).and_then(|()| rename(path, &aside)).map_err(Error::at(Step::Rename))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::at(Step::Rename)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes the folders in `folder` that [`lay_aside`] renamed, as long as that takes. Only for the process that holds the lock.
///
/// # Errors
/// `Open`, `Rename`: what could not be removed is found by the next call.
pub(crate) fn remove_aside(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(Error::at(Step::Open))? {
        let path = entry.map_err(Error::at(Step::Open))?.path();
        if is_temporary(&path) && path.is_dir() {
            std::fs::remove_dir_all(&path).map_err(Error::at(Step::Rename))?;
        }
    }
    Ok(())
}

/// Creates a folder and those above it that are missing. On return all of them are on stable storage.
/// A folder that exists is synced into its parent again: its maker may have crashed before doing so.
///
/// # Errors
/// See [`Error::must_stop`].
pub fn create_dir(path: &Path) -> Result<(), Error> {
    if !path.is_dir() {
        let parent = folder_of(path);
        if parent != path && !parent.is_dir() {
            create_dir(parent)?;
        }
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::at(Step::Open)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    sync_dir(folder_of(path))
}

/// Puts the entries of a folder on stable storage. Does nothing for the files in it.
///
/// # Errors
/// `SyncFolder`: the process must stop. `Open` if the folder cannot be opened.
pub fn sync_dir(path: &Path) -> Result<(), Error> {
    let folder = File::open(path).map_err(Error::at(Step::Open))?;
    rustix::fs::fsync(&folder).map_err(|errno| Error::at(Step::SyncFolder)(errno.into()))
}

fn sync_file(file: &File) -> Result<(), Error> {
    rustix::fs::fsync(file).map_err(|errno| Error::at(Step::SyncFile)(errno.into()))
}

/// The folder that holds the entry of `path`.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Is this the name of a temporary of this module?
#[must_use]
pub fn is_temporary(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(TEMPORARY_SUFFIX.as_bytes())
}

/// Removes the temporaries that a crash left in `folder` and returns how many there were. Only for the process that holds the folder's
/// [`LockFile`]: another one's temporary may be in use.
///
/// # Errors
/// As [`remove`].
pub fn remove_temporaries(folder: &Path) -> Result<u64, Error> {
    let mut removed = 0_u64;
    for entry in std::fs::read_dir(folder).map_err(Error::at(Step::Open))? {
        let path = entry.map_err(Error::at(Step::Open))?.path();
        if is_temporary(&path) && path.is_file() {
            std::fs::remove_file(&path).map_err(Error::at(Step::Rename))?;
            removed = removed.saturating_add(1);
        }
    }
    if removed > 0 {
        sync_dir(folder)?;
    }
    Ok(removed)
}

/// Syncs `folder` and each folder in it, and removes from those the files whose names `is_leftover` knows as temporaries of a crashed process.
/// Only for the process that holds the lock.
pub(crate) fn settle_folders(folder: &Path, is_leftover: impl Fn(&str) -> bool) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(Error::at(Step::Open))? {
        let inner = entry.map_err(Error::at(Step::Open))?.path();
        if inner.is_dir() {
            for entry in std::fs::read_dir(&inner).map_err(Error::at(Step::Open))? {
                let entry = entry.map_err(Error::at(Step::Open))?;
                if entry.file_name().to_str().is_some_and(&is_leftover) {
                    std::fs::remove_file(entry.path()).map_err(Error::at(Step::Rename))?;
                }
            }
            sync_dir(&inner)?;
        }
    }
    sync_dir(folder)
}

/// A temporary beside `path`, so that the rename stays within one file system.
fn create_temporary(path: &Path) -> io::Result<(File, PathBuf)> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    for _ in 0..TEMPORARY_NAMES_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}{TEMPORARY_SUFFIX}", SERIAL.fetch_add(1, Ordering::Relaxed)));
        let temporary = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary) {
            // Left by a process that crashed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => return Ok((file, temporary)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporaries of one name"))
}

/// A file that only grows, each append durable on return.
///
/// A write that fails (a full disk) is taken back by cutting the file to its last durable length, and later appends may succeed. After a
/// failed sync, or if the cut fails, nothing more can be appended.
#[derive(Debug)]
pub struct AppendFile {
    file: File,
    length: u64,
    poisoned: bool,
}

impl AppendFile {
    /// Creates the file with `head` in it; durable on return, name included.
    ///
    /// # Errors
    /// `Open` with kind `AlreadyExists` if there is one. See [`Error::must_stop`].
    pub fn create(path: &Path, head: &[u8]) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)
            .map_err(Error::at(Step::Open))?;
        let mut appended = Self { file, length: 0, poisoned: false };
        appended.append(head)?;
        sync_dir(folder_of(path))?;
        Ok(appended)
    }

    /// Appends `bytes`: on stable storage on return, in full. On error none of them count, though after a crash any part of them may be
    /// found at the tail.
    ///
    /// # Errors
    /// `Write`: nothing was appended, try again later. `SyncFile`, or any call after one: the process must stop.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.poisoned {
            return Err(Error::at(Step::SyncFile)(io::Error::other("an earlier append failed")));
        }
        let length = u64::try_from(bytes.len()).ok().and_then(|more| self.length.checked_add(more));
        let Some(length) = length else {
            return Err(Error::at(Step::Write)(io::ErrorKind::FileTooLarge.into()));
        };
        if let Err(error) = self.file.write_all(bytes) {
            self.poisoned = self.file.set_len(self.length).is_err();
            return Err(Error::at(Step::Write)(error));
        }
        if let Err(errno) = rustix::fs::fdatasync(&self.file) {
            self.poisoned = true;
            return Err(Error::at(Step::SyncFile)(errno.into()));
        }
        self.length = length;
        Ok(())
    }

    /// Any file in place of one made here, so that tests can let it fail.
    #[cfg(test)]
    pub(crate) const fn of(file: File) -> Self {
        Self { file, length: 0, poisoned: false }
    }

    /// Bytes that are durable.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}

/// Why a data folder could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process works on this folder. A second writer would fork a log or lose cells, so this one exits (code 3).
    Held,
    /// The lock file could not be opened, or the file system knows no locks.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "another process holds this data folder",
            Self::Io(_) => "the lock file of the data folder cannot be used",
        })
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Held => None,
            Self::Io(error) => Some(error),
        }
    }
}

/// The exclusive right to a data folder: one process a folder (`reliability.md` section 4, rule 4). Held until dropped, and given up by the
/// kernel when the process dies however it dies, so no stale lock is ever left. Child processes do not inherit it (`O_CLOEXEC`).
/// The file itself stays.
#[derive(Debug)]
pub struct LockFile {
    _file: File,
}

impl LockFile {
    /// Takes the lock of `folder` or says at once that another process has it. Never waits.
    ///
    /// # Errors
    /// [`LockError::Held`]; [`LockError::Io`].
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(folder.join(LOCK_FILE_NAME))
            .map_err(LockError::Io)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Held),
            Err(errno) => Err(LockError::Io(errno.into())),
        }
    }
}

/// 64 MiB of disk that are given up when the disk is full, so that refusals can still be logged.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// Takes the reserve in `folder`, or keeps the one that is there. Blocks are allocated, not only the length.
    ///
    /// # Errors
    /// `Open` if there is no room, or if the file system cannot allocate ahead. See [`Error::must_stop`].
    pub fn take(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(RESERVE_FILE_NAME);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(Error::at(Step::Open))?;
        if let Err(errno) = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            // A part of a reserve helps nobody and keeps the disk full.
            drop(std::fs::remove_file(&path));
            return Err(Error::at(Step::Open)(errno.into()));
        }
        sync_file(&file)?;
        sync_dir(folder)?;
        Ok(Self { path })
    }

    /// Gives the 64 MiB back to the file system. [`Reserve::take`] again once there is room.
    ///
    /// # Errors
    /// As [`remove`].
    pub fn release(self) -> Result<(), Error> {
        remove(&self.path)
    }
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;

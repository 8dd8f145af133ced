//! The files of one log: [`FileLogStorage`] is `lockplate_log`'s [`LogStorage`] on a folder. It decides nothing about the tree, and keeps no
//! promise that `durable` does not keep for it. Its `public/` folder is served as it is.
//!
//! Layout (`log.md` section 3), below the `log` folder of the party:
//!
//! ```text
//! <origin, / as +>/lock                 exclusive; a second process is refused
//! <origin, / as +>/head                 the signed checkpoint
//! <origin, / as +>/staging/<size>-<16 hex>
//! <origin, / as +>/public/checkpoint, public/tile/..
//! <origin, / as +>/private/             openings; not read or written here
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lockplate_log::limits::{LEAF_BYTES_MAX, NOTE_BYTES_MAX, STAGING_BYTES_MAX, TILE_WIDTH};
use lockplate_log::{Error, LogFile, LogStorage, Origin, StagingName, StorageFault, TileKind, TilePath};

use crate::durable::{self, LockError, LockFile};

/// Bytes of a full hash tile.
pub const TILE_BYTES_MAX: usize = 32 * TILE_WIDTH as usize;
/// Bytes of a full bundle of the longest leaves.
pub const BUNDLE_BYTES_MAX: usize = (LEAF_BYTES_MAX + 2) * TILE_WIDTH as usize;

/// What the operating system said when a storage call failed: `lockplate_log`'s errors name the file's role only.
#[derive(Debug)]
pub struct Fault {
    /// The file or folder.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// Keeps the first [`Fault`] of a storage; a clone taken before the storage moves into a log can still be asked after the log is gone.
#[derive(Clone, Debug, Default)]
pub struct FaultRecord(Arc<Mutex<Option<Fault>>>);

impl FaultRecord {
    /// Takes the fault out, if there was one.
    #[must_use]
    pub fn take(&self) -> Option<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, path: &Path, source: impl Into<io::Error>) -> StorageFault {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Later faults follow from the first.
        first.get_or_insert_with(|| Fault { path: path.to_owned(), source: source.into() });
        StorageFault::Io
    }
}

/// Why a log's folder could not be taken.
#[derive(Debug)]
pub enum AcquireError {
    /// The origin cannot be the name of a folder.
    Origin,
    /// Another process has the log (exit 3), or the lock file cannot be used.
    Lock(LockError),
    /// A folder could not be made or cleaned.
    Folder(durable::Error),
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin => "the origin cannot be a folder name",
            Self::Lock(_) => "the folder of the log could not be locked",
            Self::Folder(_) => "the folder of the log could not be made or cleaned",
        })
    }
}

impl std::error::Error for AcquireError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Origin => None,
            Self::Lock(error) => Some(error),
            Self::Folder(error) => Some(error),
        }
    }
}

/// One log's folder, locked for as long as this value lives.
#[derive(Debug)]
pub struct FileLogStorage {
    folder: PathBuf,
    /// Folders that this process has made sure are on stable storage.
    durable_folders: BTreeSet<PathBuf>,
    faults: FaultRecord,
    _lock: LockFile,
}

impl FileLogStorage {
    /// Locks the folder of the log `origin` below `logs` (`data/keeper/log`), makes what is missing, and removes what a crash left half
    /// written in the folders where temporaries arise at every append.
    ///
    /// # Errors
    /// [`AcquireError`], by cause.
    pub fn acquire(logs: &Path, origin: &Origin) -> Result<Self, AcquireError> {
        let folder = logs.join(folder_name(origin)?);
        durable::create_dir(&folder).map_err(AcquireError::Folder)?;
        let lock = LockFile::acquire(&folder).map_err(AcquireError::Lock)?;
        for made in ["staging", "public/tile", "private"] {
            durable::create_dir(&folder.join(made)).map_err(AcquireError::Folder)?;
        }
        // A crash may have made this folder and not synced it; `create_dir` syncs only the last one where all exist.
        durable::create_dir(&folder.join("public")).map_err(AcquireError::Folder)?;
        for swept in [&folder, &folder.join("staging"), &folder.join("public")] {
            durable::remove_temporaries(swept).map_err(AcquireError::Folder)?;
        }
        let durable_folders = BTreeSet::from([folder.join("public/tile")]);
        Ok(Self { folder, durable_folders, faults: FaultRecord::default(), _lock: lock })
    }

    /// Where the details of a failure will be found.
    #[must_use]
    pub fn faults(&self) -> FaultRecord {
        self.faults.clone()
    }

    /// The folder that is served: `checkpoint` and `tile/..`.
    #[must_use]
    pub fn public(&self) -> PathBuf {
        self.folder.join("public")
    }

    /// The folder for openings, never served as it is.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.folder.join("private")
    }

    fn head(&self) -> PathBuf {
        self.folder.join("head")
    }

    fn published(&self) -> PathBuf {
        self.folder.join("public/checkpoint")
    }

    fn staging(&self, name: StagingName) -> PathBuf {
        self.folder.join("staging").join(name.to_string())
    }

    /// A tile path has been parsed or made from numbers, so it stays below `public/`.
    fn tile(&self, path: TilePath) -> PathBuf {
        self.folder.join("public").join(path.to_string())
    }

    fn read(&self, path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, StorageFault> {
        match read_up_to(path, bytes_max) {
            Ok(Some(bytes)) if bytes.len() > bytes_max => Err(StorageFault::TooLarge),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(self.faults.note(path, error)),
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StorageFault> {
        durable::replace(path, bytes).map_err(|error| self.faults.note(path, error))
    }

    /// Makes a folder below `public/tile`, level by level, and puts it and those above it on stable storage. A folder that exists may have
    /// been made by a process that died before its parent was synced, so the first use in each process syncs every level.
    fn make_folder(&mut self, folder: &Path) -> Result<(), StorageFault> {
        if self.durable_folders.contains(folder) {
            return Ok(());
        }
        let Some(parent) = folder.parent().filter(|parent| parent.starts_with(&self.folder)) else {
            return Ok(());
        };
        self.make_folder(parent)?;
        durable::create_dir(folder).map_err(|error| self.faults.note(folder, error))?;
        self.durable_folders.insert(folder.to_owned());
        Ok(())
    }
}

/// Name of a log's folder: the origin with `/` as `+`, which no origin has, so that two origins never share a folder.
///
/// # Errors
/// [`AcquireError::Origin`].
pub fn folder_name(origin: &Origin) -> Result<String, AcquireError> {
    let name = origin.as_str().replace('/', "+");
    if name == "." || name == ".." || name.contains('\\') {
        return Err(AcquireError::Origin);
    }
    Ok(name)
}

/// A file of at most `bytes_max` bytes, `None` if it is not there.
///
/// # Errors
/// The operating system's; [`io::ErrorKind::FileTooLarge`].
pub fn read_bounded(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    match read_up_to(path, bytes_max)? {
        Some(bytes) if bytes.len() > bytes_max => Err(io::ErrorKind::FileTooLarge.into()),
        bytes => Ok(bytes),
    }
}

/// At most one byte more than `bytes_max`.
fn read_up_to(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Reads tiles below a folder that has the layout of a served log (`checkpoint`, `tile/..`): one's own `public/`, a mirror, or one that was
/// fetched. What it returns is proved by [`LogView`](lockplate_log::LogView): a file with a byte too many is altered, and is said to be.
pub fn folder_reader(folder: &Path) -> impl Fn(TilePath) -> Result<Option<Vec<u8>>, Error> + Send + Sync + use<> {
    let folder = folder.to_owned();
    move |path| {
        read_up_to(&folder.join(path.to_string()), tile_bytes_max(path))
            .map_err(|_cause| Error::Storage { file: LogFile::Tile(path), fault: StorageFault::Io })
    }
}

/// Bytes of the largest honest file at a path.
#[must_use]
pub const fn tile_bytes_max(path: TilePath) -> usize {
    match path.kind() {
        TileKind::Hashes(_) => TILE_BYTES_MAX,
        TileKind::Entries => BUNDLE_BYTES_MAX,
    }
}

impl LogStorage for FileLogStorage {
    fn read_head(&self) -> Result<Option<Vec<u8>>, StorageFault> {
        self.read(&self.head(), NOTE_BYTES_MAX)
    }

    fn replace_head(&mut self, bytes: &[u8]) -> Result<(), StorageFault> {
        self.replace(&self.head(), bytes)
    }

    fn read_published(&self) -> Result<Option<Vec<u8>>, StorageFault> {
        self.read(&self.published(), NOTE_BYTES_MAX)
    }

    fn replace_published(&mut self, bytes: &[u8]) -> Result<(), StorageFault> {
        self.replace(&self.published(), bytes)
    }

    fn read_tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, StorageFault> {
        self.read(&self.tile(path), tile_bytes_max(path))
    }

    fn create_tile(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), StorageFault> {
        let file = self.tile(path);
        if let Some(folder) = file.parent() {
            self.make_folder(folder)?;
        }
        match self.read_tile(path)? {
            None => durable::write_new(&file, bytes).map_err(|error| self.faults.note(&file, error)),
            // Equal bytes may be in the page cache only: write them again.
            Some(existing) if existing == bytes => self.replace(&file, bytes),
            Some(_) => Err(StorageFault::Conflict),
        }
    }

    fn list_staging(&self) -> Result<Vec<StagingName>, StorageFault> {
        let folder = self.folder.join("staging");
        let list = || -> io::Result<Vec<StagingName>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&folder)? {
                names.extend(entry?.file_name().to_str().and_then(StagingName::parse));
            }
            names.sort_unstable();
            Ok(names)
        };
        list().map_err(|error| self.faults.note(&folder, error))
    }

    fn read_staging(&self, name: StagingName) -> Result<Option<Vec<u8>>, StorageFault> {
        self.read(&self.staging(name), STAGING_BYTES_MAX)
    }

    fn write_staging(&mut self, name: StagingName, bytes: &[u8]) -> Result<(), StorageFault> {
        self.replace(&self.staging(name), bytes)
    }

    fn remove_staging(&mut self, name: StagingName) -> Result<(), StorageFault> {
        let path = self.staging(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.faults.note(&path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use lockplate_log::{Entry, Log, NoteSigner, Receipt, SignedCheckpoint};

    /// An entry whose first eight bytes are its time.
    struct Said(u64, usize);

    impl Entry for Said {
        fn leaf(&self) -> Vec<u8> {
            let mut leaf = self.0.to_be_bytes().to_vec();
            leaf.extend_from_slice(format!("entry {}", self.1).repeat(1 + self.1 % 7).as_bytes());
            leaf
        }
        fn time(&self) -> u64 {
            self.0
        }
    }

    fn leaf_time(leaf: &[u8]) -> Option<u64> {
        leaf.first_chunk::<8>().map(|time| u64::from_be_bytes(*time))
    }

    fn origin() -> Origin {
        Origin::parse("clerk.millbrook.example/log/keeper").unwrap()
    }

    fn signer() -> NoteSigner {
        NoteSigner::new(origin(), &[7; 32]).unwrap()
    }

    fn load(logs: &Path) -> Result<Log<FileLogStorage>, Error> {
        Log::load(FileLogStorage::acquire(logs, &origin()).unwrap(), signer(), leaf_time, 1_000_000)
    }

    fn grown(logs: &Path, batches: &[usize]) -> Log<FileLogStorage> {
        let mut log = Log::create(FileLogStorage::acquire(logs, &origin()).unwrap(), signer()).unwrap();
        let mut n = 0;
        for &batch in batches {
            let logged = log.append_batch((n..n + batch).map(|i| Said(i as u64, i)).collect()).unwrap();
            assert_eq!(logged.len(), batch);
            n += batch;
        }
        log
    }

    #[test]
    fn a_log_is_written_read_and_taken_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("log");
        let mut log = grown(&logs, &[1, 1, 253, 1, 1, 600, 256, 3]);
        let head = log.head().clone();
        log.publish(&head, &[]).unwrap();
        let folder = logs.join("clerk.millbrook.example+log+keeper");
        for file in
            ["head", "public/checkpoint", "public/tile/0/000", "public/tile/1/000.p/4", "public/tile/entries/004.p/92"]
        {
            assert!(folder.join(file).is_file(), "{file}");
        }
        assert_eq!(fs::read_dir(folder.join("staging")).unwrap().count(), 0, "nothing is left in staging");
        drop(log);

        let log = load(&logs).unwrap();
        assert_eq!(log.size(), 1_116);
        assert_eq!(log.head(), &head);
        for index in [0, 1, 255, 256, 1_023, 1_024, 1_115] {
            let leaf = Said(index, usize::try_from(index).unwrap()).leaf();
            assert_eq!(log.leaf(index).unwrap(), leaf);
            let receipt = Receipt::parse(&log.receipt(index).unwrap()).unwrap();
            assert_eq!(receipt.verify(signer().verifier_key(), &leaf).unwrap(), head);
        }
    }

    #[test]
    fn a_second_process_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = FileLogStorage::acquire(dir.path(), &origin()).unwrap();
        assert!(matches!(FileLogStorage::acquire(dir.path(), &origin()), Err(AcquireError::Lock(LockError::Held))));
        drop(first);
        assert!(FileLogStorage::acquire(dir.path(), &origin()).is_ok());
    }

    /// A file, what is done to it, and whether the error is the right one.
    type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a dyn Fn(Error) -> bool);

    #[test]
    fn an_altered_missing_or_foreign_file_stops_the_start() {
        let tile = |text: &str| LogFile::Tile(TilePath::parse(text).unwrap());
        let flipped = |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            durable::replace(path, &bytes).unwrap();
        };
        let cases: [Case<'_>; 7] = [
            ("head", &flipped, &|_| true),
            ("head", &|path| fs::remove_file(path).unwrap(), &|error| error == Error::Missing(LogFile::Head)),
            ("public/tile/0/001.p/44", &flipped, &|error| error == Error::EdgeUnproved),
            ("public/tile/1/000.p/1", &flipped, &|error| error == Error::EdgeUnproved),
            ("public/tile/entries/001.p/44", &flipped, &|error| error == Error::Altered(tile("tile/entries/001.p/44"))),
            ("public/tile/0/001.p/44", &|path| fs::remove_file(path).unwrap(), &|error| {
                error == Error::Missing(tile("tile/0/001.p/44"))
            }),
            ("public/checkpoint", &flipped, &|_| true),
        ];
        for (file, alter, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            let mut log = grown(dir.path(), &[300]);
            let head = log.head().clone();
            log.publish(&head, &[]).unwrap();
            drop(log);
            alter(&dir.path().join("clerk.millbrook.example+log+keeper").join(file));
            let error = load(dir.path()).unwrap_err();
            assert!(expected(error), "{file}: {error}");
        }
    }

    #[test]
    fn a_copy_that_is_older_than_what_was_published_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let log = grown(dir.path(), &[10]);
        let folder = dir.path().join("clerk.millbrook.example+log+keeper");
        let old = fs::read(folder.join("head")).unwrap();
        drop(log);
        let mut log = load(dir.path()).unwrap();
        drop(log.append(Said(11, 11)).unwrap());
        let head: SignedCheckpoint = log.head().clone();
        log.publish(&head, &[]).unwrap();
        drop(log);
        durable::replace(&folder.join("head"), &old).unwrap();
        assert_eq!(load(dir.path()).unwrap_err(), Error::PublishedAhead);
    }

    #[test]
    fn a_failing_disk_poisons_the_log_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = grown(dir.path(), &[10]);
        let faults = log.storage().faults();
        let staging = dir.path().join("clerk.millbrook.example+log+keeper/staging");
        fs::remove_dir(&staging).unwrap();
        let error = log.append(Said(11, 11)).unwrap_err();
        assert_eq!(error, Error::Storage { file: LogFile::Staging, fault: StorageFault::Io });
        assert!(faults.take().unwrap().path.starts_with(&staging));
        fs::create_dir(&staging).unwrap();
        assert_eq!(log.append(Said(11, 11)).unwrap_err(), Error::Poisoned, "nothing is retried");
        drop(log);
        assert_eq!(load(dir.path()).unwrap().size(), 10);
    }

    #[test]
    fn a_head_replaced_under_the_process_stops_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = grown(dir.path(), &[10]);
        let head = dir.path().join("clerk.millbrook.example+log+keeper/head");
        let mut bytes = fs::read(&head).unwrap();
        bytes.push(b'\n');
        durable::replace(&head, &bytes).unwrap();
        assert_eq!(log.append(Said(11, 11)).unwrap_err(), Error::HeadReplaced);
        assert_eq!(log.append(Said(11, 11)).unwrap_err(), Error::Poisoned);
    }

    #[test]
    fn origins_that_leave_the_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".", ".."] {
            assert!(FileLogStorage::acquire(dir.path(), &Origin::parse(name).unwrap()).is_err());
        }
        let escape = FileLogStorage::acquire(dir.path(), &Origin::parse("../up").unwrap()).unwrap();
        assert!(escape.public().starts_with(dir.path().join("..+up")));
    }
}

//! Spools and archive in memory, for an owner whose law lets no read lie on a disk. The folder must be on a file system that
//! is in memory, belong to this user alone, and hold nothing else. What an earlier run left in it is removed at the start,
//! what this run leaves at its end. After a `kill -9` sealed cells stay until the next start or until the machine is off;
//! their keys are gone on time all the same, by the keepers' clocks.

use core::fmt;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lockplate_store::durable::{self, LOCK_FILE_NAME, LockError, LockFile};
use rustix::fs::{FsWord, Mode, OFlags};

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` of Linux' `magic.h`: the file systems that have no disk behind them.
const IN_MEMORY: [FsWord; 2] = [0x0102_1994, 0x8584_58F6];
const MODE: u32 = 0o700;
const MODE_OTHERS: u32 = 0o077;
const SPOOL: &str = "spool";
const ARCHIVE: &str = "archive";

/// Why a folder is not used: a fixed sentence that says what to do.
#[derive(Debug)]
pub enum MemoryRefused {
    /// It cannot be made or looked at.
    Io(PathBuf, std::io::Error),
    /// It is on a disk.
    OnDisk(PathBuf),
    /// It is a link, or another user's, or others can enter it.
    NotOwn(PathBuf),
    /// Something else lies in it.
    Foreign(PathBuf),
    /// Another process uses it.
    Locked(PathBuf),
}

impl fmt::Display for MemoryRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, what) = match self {
            Self::Io(path, _) => (path, "`recorder.memory`: the folder cannot be made or read"),
            Self::OnDisk(path) => {
                (path, "`recorder.memory`: the folder is on a disk; name one on a tmpfs, such as /dev/shm/lockplate")
            }
            Self::NotOwn(path) => (
                path,
                "`recorder.memory`: the folder must be this user's own, no link, and closed to others (chmod 700)",
            ),
            Self::Foreign(path) => {
                (path, "`recorder.memory`: the folder holds something else, which would be removed; name another one")
            }
            Self::Locked(path) => (path, "`recorder.memory`: another process uses the folder"),
        };
        write!(f, "{}: {what}", path.display())
    }
}

impl core::error::Error for MemoryRefused {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(_, cause) => Some(cause),
            Self::OnDisk(_) | Self::NotOwn(_) | Self::Foreign(_) | Self::Locked(_) => None,
        }
    }
}

/// The folder, locked and empty at first. Dropped, it is emptied again; the folder itself and its empty lock file stay.
#[derive(Debug)]
pub(super) struct MemoryFolder {
    path: PathBuf,
    _lock: LockFile,
}

impl MemoryFolder {
    /// Makes the folder (mode 0700) or takes the one that is there, and empties it.
    ///
    /// # Errors
    /// [`MemoryRefused`]; then nothing in it was touched.
    pub(super) fn open(path: &Path) -> Result<Self, MemoryRefused> {
        let io = |cause: std::io::Error| MemoryRefused::Io(path.to_owned(), cause);
        match std::fs::DirBuilder::new().mode(MODE).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        // The open folder is judged, not the path: the path may be another one in between.
        let folder = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| match errno {
                rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => MemoryRefused::NotOwn(path.to_owned()),
                other => io(other.into()),
            })?;
        if !in_memory(&folder).map_err(io)? {
            return Err(MemoryRefused::OnDisk(path.to_owned()));
        }
        let stat = rustix::fs::fstat(&folder).map_err(|errno| io(errno.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & MODE_OTHERS != 0 {
            return Err(MemoryRefused::NotOwn(path.to_owned()));
        }
        for entry in std::fs::read_dir(path).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            if ![SPOOL, ARCHIVE, LOCK_FILE_NAME].iter().any(|own| name == *own) {
                return Err(MemoryRefused::Foreign(path.to_owned()));
            }
        }
        let lock = LockFile::acquire(path).map_err(|error| match error {
            LockError::Held => MemoryRefused::Locked(path.to_owned()),
            LockError::Io(cause) => io(cause),
        })?;
        let made = Self { path: path.to_owned(), _lock: lock };
        made.empty().map_err(io)?;
        durable::create_dir(&made.spool()).map_err(|error| io(std::io::Error::other(error)))?;
        Ok(made)
    }

    /// Where spools lie.
    pub(super) fn spool(&self) -> PathBuf {
        self.path.join(SPOOL)
    }

    /// Where segments lie.
    pub(super) fn archive(&self) -> PathBuf {
        self.path.join(ARCHIVE)
    }

    fn empty(&self) -> std::io::Result<()> {
        for folder in [self.spool(), self.archive()] {
            match std::fs::remove_dir_all(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Drop for MemoryFolder {
    fn drop(&mut self) {
        if let Err(error) = self.empty() {
            tracing::warn!(%error, "the folder in memory could not be emptied; the next start does it");
        }
    }
}

fn in_memory(folder: &impl AsFd) -> std::io::Result<bool> {
    Ok(IN_MEMORY.contains(&rustix::fs::fstatfs(folder)?.f_type))
}

/// True if a data folder holds spools or an archive: sealed reads on a disk.
pub(crate) fn cells_on_disk(data: &Path) -> bool {
    [SPOOL, ARCHIVE].iter().any(|name| holds_anything(&data.join(name)))
}

/// True of a folder with something in it. One that cannot be read may hold anything.
pub(super) fn holds_anything(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder on a tmpfs, where the machine has one at the usual place.
    fn memory() -> Option<tempfile::TempDir> {
        let shm = Path::new("/dev/shm");
        shm.is_dir().then(|| tempfile::Builder::new().prefix("lockplate-test-").tempdir_in(shm).unwrap())
    }

    fn private(path: &Path) {
        std::fs::create_dir_all(path).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE)).unwrap();
    }

    #[test]
    fn what_an_earlier_run_left_is_removed_at_the_start_and_at_the_end() {
        let Some(base) = memory() else { return };
        let path = base.path().join("reads");
        // As after `kill -9`.
        private(&path);
        std::fs::create_dir_all(path.join("archive/00")).unwrap();
        std::fs::create_dir(path.join("spool")).unwrap();
        for left in ["archive/00/segment", "spool/00.cells", "lock"] {
            std::fs::File::create(path.join(left)).unwrap();
        }
        assert!(cells_on_disk(&path));
        let folder = MemoryFolder::open(&path).unwrap();
        assert!(!cells_on_disk(&path) && folder.spool().is_dir());
        assert!(matches!(MemoryFolder::open(&path), Err(MemoryRefused::Locked(_))), "two agencies would mix");
        std::fs::File::create(folder.spool().join("01.cells")).unwrap();
        drop(folder);
        assert!(!cells_on_disk(&path), "an orderly end leaves nothing");
        let fresh = base.path().join("fresh");
        let _made = MemoryFolder::open(&fresh).unwrap();
        assert_eq!(std::fs::metadata(&fresh).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_disk_a_strange_folder_and_a_link_are_refused_and_left_alone() {
        // Everything that is not one of the two counts as a disk.
        assert!(matches!(MemoryFolder::open(Path::new("/proc")), Err(MemoryRefused::OnDisk(_))));
        let Some(base) = memory() else { return };
        let foreign = base.path().join("foreign");
        private(&foreign);
        std::fs::create_dir(foreign.join("archive")).unwrap();
        std::fs::File::create(foreign.join("diary")).unwrap();
        assert!(matches!(MemoryFolder::open(&foreign), Err(MemoryRefused::Foreign(_))));
        assert!(foreign.join("archive").is_dir(), "nothing was removed");
        let open = base.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(MemoryFolder::open(&open), Err(MemoryRefused::NotOwn(_))));
        let link = base.path().join("link");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert!(matches!(MemoryFolder::open(&link), Err(MemoryRefused::NotOwn(_))));
        assert!(matches!(MemoryFolder::open(&base.path().join("no/parent")), Err(MemoryRefused::Io(..))));
    }
}

//! The standby's end of the journal: pieces become files, in order. It trusts the order of the journal and nothing else: what does not
//! follow from what is there stops the standby, which would otherwise take over with less than it believes to have.
//!
//! Nothing is synced here. A machine that starts builds its files anew from the store, so what a power cut takes from a standby was
//! never what it relied on.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::files::Files;
use super::record::{DbOf, Piece};

/// Why a piece could not be applied.
#[derive(Debug)]
pub enum NotApplied {
    /// A file could not be written.
    Io(io::Error),
    /// It does not follow from what is here.
    Gap,
    /// It is of a log that this machine's settings have not.
    OtherSettings,
}

impl From<io::Error> for NotApplied {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

impl core::fmt::Display for NotApplied {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Io(_) => "a file of the standby could not be written",
            Self::Gap => "a record of the journal does not follow from those before it",
            Self::OtherSettings => "the journal has a log that the settings of this machine have not",
        })
    }
}

impl core::error::Error for NotApplied {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(cause) => Some(cause),
            Self::Gap | Self::OtherSettings => None,
        }
    }
}

/// Applies pieces below a folder.
#[derive(Debug)]
pub(super) struct Applier {
    files: Files,
    /// Databases of which some pages wait for the others of their transaction.
    waiting: BTreeSet<DbOf>,
}

impl Applier {
    /// On an empty folder.
    pub(super) fn new(files: Files) -> Result<Self, NotApplied> {
        std::fs::create_dir_all(files.spools())?;
        Ok(Self { files, waiting: BTreeSet::new() })
    }

    /// Applies one piece. Blocks.
    pub(super) fn apply(&mut self, piece: &Piece) -> Result<(), NotApplied> {
        match piece {
            Piece::Owner => {
                // What the owner before had begun and not finished was never told to anybody.
                for db in core::mem::take(&mut self.waiting) {
                    remove(&self.waiting_pages(db))?;
                }
                Ok(())
            }
            Piece::Resigned => Ok(()),
            // A base may hold more than the records it begins with: a spool that was removed meanwhile, of which only the end comes, is
            // removed again by a later piece.
            Piece::Spool { epoch, at, bytes } => Ok(open(&self.files.spool(*epoch))?.write_all_at(bytes, *at)?),
            Piece::SpoolGone(epoch) => Ok(remove(&self.files.spool(*epoch))?),
            Piece::Log { log, file, at, last, bytes } => {
                let path = self.files.log_file(*log, *file).ok_or(NotApplied::OtherSettings)?;
                self.apply_log(&path, *at, *last, bytes)
            }
            Piece::LogGone { log, file } => {
                Ok(remove(&self.files.log_file(*log, *file).ok_or(NotApplied::OtherSettings)?)?)
            }
            Piece::Pages { db, page_bytes, pages, more, content } => {
                self.apply_pages(*db, *page_bytes, *pages, *more, content)
            }
        }
    }

    /// A file is there under its name once its last piece is.
    fn apply_log(&self, path: &Path, at: u64, last: bool, bytes: &[u8]) -> Result<(), NotApplied> {
        let begun = with_ending(path, ".part");
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if at == 0 {
            remove(&begun)?;
        }
        let part = open(&begun)?;
        if part.metadata()?.len() != at {
            // It began before the base, which then has the whole file.
            return Ok(remove(&begun)?);
        }
        part.write_all_at(bytes, at)?;
        if last {
            rustix::fs::rename(&begun, path).map_err(io::Error::from)?;
        }
        Ok(())
    }

    fn waiting_pages(&self, db: DbOf) -> PathBuf {
        with_ending(&self.files.db(db), ".waiting")
    }

    fn apply_pages(
        &mut self,
        db: DbOf,
        page_bytes: u32,
        pages: u32,
        more: bool,
        content: &[u8],
    ) -> Result<(), NotApplied> {
        let waiting = self.waiting_pages(db);
        if more || self.waiting.contains(&db) {
            self.waiting.insert(db);
            OpenOptions::new().append(true).create(true).mode(0o600).open(&waiting)?.write_all(content)?;
        }
        if more {
            return Ok(());
        }
        let file = open(&self.files.db(db))?;
        if self.waiting.remove(&db) {
            write_pages(&file, page_bytes, BufReader::new(File::open(&waiting)?))?;
            remove(&waiting)?;
        } else {
            write_pages(&file, page_bytes, content)?;
        }
        file.set_len(u64::from(page_bytes).saturating_mul(pages.into()))?;
        Ok(())
    }
}

fn write_pages(file: &File, page_bytes: u32, mut source: impl io::Read) -> Result<(), NotApplied> {
    let mut page = vec![0; usize::try_from(page_bytes).unwrap_or(0)];
    let mut number = [0; 4];
    loop {
        match source.read_exact(&mut number) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        source.read_exact(&mut page)?;
        let before = u64::from(u32::from_be_bytes(number)).checked_sub(1).ok_or(NotApplied::Gap)?;
        file.write_all_at(&page, before.saturating_mul(page_bytes.into()))?;
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

//! The register as a folder: the same bytes that the agency serves, one file a path. Whoever holds the charter and has followed
//! the logs can write it and compare; no key is needed.

use core::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::site::{RenderError, Site};

/// Why a folder was not written.
#[derive(Debug)]
pub enum ExportError {
    /// There is something in it: old pages beside new ones would be taken for them.
    NotEmpty,
    /// The folder cannot be written.
    Folder(io::Error),
    /// A page cannot be made: our bug.
    Render(RenderError),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty => {
                f.write_str("the folder for the register is not empty\nname one that is, or is not there")
            }
            Self::Folder(cause) => write!(f, "the folder for the register cannot be written: {}", cause.kind()),
            Self::Render(cause) => cause.fmt(f),
        }
    }
}

impl core::error::Error for ExportError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NotEmpty => None,
            Self::Folder(cause) => Some(cause),
            Self::Render(cause) => Some(cause),
        }
    }
}

impl From<io::Error> for ExportError {
    fn from(cause: io::Error) -> Self {
        Self::Folder(cause)
    }
}

impl From<RenderError> for ExportError {
    fn from(cause: RenderError) -> Self {
        Self::Render(cause)
    }
}

/// Writes every file of a site into `folder`, which must be empty or absent; the number of files. Nothing is synced to disk:
/// an export that a crash cut short is made again.
///
/// # Errors
/// [`ExportError`].
pub fn write_to(site: &Site, folder: &Path) -> Result<u64, ExportError> {
    std::fs::create_dir_all(folder)?;
    if std::fs::read_dir(folder)?.next().is_some() {
        return Err(ExportError::NotEmpty);
    }
    let mut files = 0_u64;
    for path in site.paths() {
        let Some(file) = site.file(&path)? else { return Err(RenderError.into()) };
        let target = folder.join(&path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        File::create_new(&target)?.write_all(&file.bytes)?;
        files = files.saturating_add(1);
    }
    Ok(files)
}

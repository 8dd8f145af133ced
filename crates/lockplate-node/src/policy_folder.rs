//! A policy bundle in a folder: the schema and packs side by side, their properties in `props/`. It reads every file that is there,
//! so that nothing in the folder is left out in silence, and judges none of them: [`Bundle`] and the lint do.

use std::fmt;
use std::io;
use std::path::Path;

use lockplate_policy::{Bundle, FILE_BYTES_MAX, FILES_MAX, LoadError};
use lockplate_store::log_files::read_bounded;

/// Why a folder is no bundle.
#[derive(Debug)]
pub enum PolicyFolderError {
    /// The folder or a file cannot be read.
    Io(io::Error),
    /// More files than a bundle has, or one that is larger than a file of a bundle may be.
    TooLarge,
    /// A file is not text, or its name is not.
    NotText,
    /// The files are not those of a bundle.
    Bundle(LoadError),
}

impl fmt::Display for PolicyFolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("the folder of the policy bundle cannot be read"),
            Self::TooLarge => f.write_str("the folder of the policy bundle holds too many files, or too large ones"),
            Self::NotText => f.write_str("a file of the policy bundle is not text, or its name is not"),
            Self::Bundle(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PolicyFolderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Bundle(error) => Some(error),
            Self::TooLarge | Self::NotText => None,
        }
    }
}

/// Reads the bundle in `folder`.
///
/// # Errors
/// See [`PolicyFolderError`]. The bundle that comes back has the shape of one; whether it can be loaded is another question.
pub fn read(folder: &Path) -> Result<Bundle, PolicyFolderError> {
    let mut files = Vec::new();
    for (folder, prefix) in [(folder.to_owned(), ""), (folder.join("props"), "props/")] {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !prefix.is_empty() => continue,
            Err(error) => return Err(PolicyFolderError::Io(error)),
        };
        for entry in entries {
            let entry = entry.map_err(PolicyFolderError::Io)?;
            let path = entry.path();
            if !path.is_file() {
                continue;
            }
            if files.len() > FILES_MAX {
                return Err(PolicyFolderError::TooLarge);
            }
            let bytes = match read_bounded(&path, FILE_BYTES_MAX) {
                Ok(bytes) => bytes.unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(PolicyFolderError::TooLarge),
                Err(error) => return Err(PolicyFolderError::Io(error)),
            };
            let (Ok(name), Ok(text)) = (entry.file_name().into_string(), String::from_utf8(bytes)) else {
                return Err(PolicyFolderError::NotText);
            };
            files.push((format!("{prefix}{name}"), text));
        }
    }
    Bundle::from_files(files).map_err(PolicyFolderError::Bundle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockplate_core::vocabulary::State;

    fn written() -> (tempfile::TempDir, Bundle) {
        let bundle = Bundle::shipped(State::parse("VT").unwrap());
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("props")).unwrap();
        for (path, text) in bundle.files() {
            std::fs::write(folder.path().join(path), text).unwrap();
        }
        (folder, bundle)
    }

    #[test]
    fn a_folder_is_read_whole() {
        let (folder, bundle) = written();
        assert_eq!(read(folder.path()).unwrap(), bundle);
        assert!(matches!(read(&folder.path().join("none")), Err(PolicyFolderError::Io(_))));
        std::fs::remove_dir_all(folder.path().join("props")).unwrap();
        assert_ne!(read(folder.path()).unwrap().digest(), bundle.digest());
    }

    #[test]
    fn what_does_not_belong_there_is_not_passed_over() {
        let (folder, _) = written();
        let extra = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let read = read(folder.path());
            std::fs::remove_file(path).unwrap();
            read
        };
        assert!(matches!(extra("notes.txt", b"x"), Err(PolicyFolderError::Bundle(_))));
        assert!(matches!(extra("local.cedar", &[0xff]), Err(PolicyFolderError::NotText)));
        assert!(matches!(extra("local.cedar", &vec![b'/'; FILE_BYTES_MAX + 1]), Err(PolicyFolderError::TooLarge)));
        assert!(extra("local.cedar", b"").is_ok());
    }
}

//! Files with the public half of a passkey: made by `keeper enrol`, read at the founding of a keeper and at its start. They hold no
//! secret; whoever alters one only makes a key that the charter does not name. They go to the settings of the roles.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockplate_core::passkey::{CREDENTIAL_ID_BYTES_MAX, CoseKey, Passkey, RelyingParty};
use serde::{Deserialize, Serialize};

use crate::settings::{KeyFileError, read_public_file};

/// What such a file calls itself.
const SCHEMA: &str = "lockplate-passkey/1";

/// `lockplate-passkey/1`, as it stands on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyFile {
    /// Always `lockplate-passkey/1`.
    pub schema: String,
    /// Name of the person, for people.
    pub name: String,
    /// Id by which a browser finds the passkey, base64url.
    pub credential: String,
    /// COSE key, base64url.
    pub cose_key: String,
    /// RP ID of the pages for which it signs.
    pub rp_id: String,
    /// Exact origins of those pages.
    pub origins: Vec<String>,
}

/// One that was read, and whose key and site hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledPasskey {
    /// Name of the person, for people.
    pub name: String,
    /// Id by which a browser finds it.
    pub credential: Vec<u8>,
    /// Key and site.
    pub passkey: Passkey,
}

/// Why a passkey's file was not taken.
#[derive(Debug)]
pub enum PasskeyFileError {
    /// It cannot be read.
    File(KeyFileError),
    /// The file at this path is not of this form, or its key is none.
    Malformed(PathBuf),
}

impl core::fmt::Display for PasskeyFileError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::File(cause) => cause.fmt(f),
            Self::Malformed(path) => {
                write!(f, "{}: not a file that `lockplate keeper enrol` wrote", path.display())
            }
        }
    }
}

impl core::error::Error for PasskeyFileError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File(cause) => cause.source(),
            Self::Malformed(_) => None,
        }
    }
}

impl EnrolledPasskey {
    /// Reads a file.
    ///
    /// # Errors
    /// [`PasskeyFileError`].
    pub fn read(path: &Path) -> Result<Self, PasskeyFileError> {
        let text = read_public_file(path).map_err(PasskeyFileError::File)?;
        Self::parse(&text).ok_or_else(|| PasskeyFileError::Malformed(path.to_owned()))
    }

    /// Reads the text of a file; none if it is not one of these, or key or site do not hold.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let file: PasskeyFile = serde_json::from_slice(text).ok()?;
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let credential = bytes(&file.credential)?;
        let fits = (1..=CREDENTIAL_ID_BYTES_MAX).contains(&credential.len());
        if file.schema != SCHEMA || !fits {
            return None;
        }
        let key = CoseKey::parse(&bytes(&file.cose_key)?).ok()?;
        let site = RelyingParty::new(&file.rp_id, &file.origins).ok()?;
        Some(Self { name: file.name, credential, passkey: Passkey { key, site } })
    }

    /// As it is written.
    #[must_use]
    pub fn to_file(&self) -> PasskeyFile {
        let Passkey { key, site } = &self.passkey;
        PasskeyFile {
            schema: SCHEMA.to_owned(),
            name: self.name.clone(),
            credential: URL_SAFE_NO_PAD.encode(&self.credential),
            cose_key: URL_SAFE_NO_PAD.encode(key.as_bytes()),
            rp_id: site.rp_id().to_owned(),
            origins: site.origins().to_vec(),
        }
    }

    /// True if the file at `path` begins like one of these and not like a PEM key.
    ///
    /// # Errors
    /// [`KeyFileError`] if it is there and cannot be read.
    pub fn is_at(path: &Path) -> Result<bool, KeyFileError> {
        if !path.try_exists().map_err(|cause| KeyFileError::io(path, cause))? {
            return Ok(false);
        }
        Ok(read_public_file(path)?.trim_ascii_start().starts_with(b"{"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The point of FIPS 186-4's P-256 base, x and y.
    const X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    const Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

    pub(crate) fn sample() -> EnrolledPasskey {
        let cose = hex::decode(format!("a5010203262001215820{X}225820{Y}")).unwrap();
        let site = RelyingParty::new("clerk.example", &["https://clerk.example".to_owned()]).unwrap();
        let passkey = Passkey { key: CoseKey::parse(&cose).unwrap(), site };
        EnrolledPasskey { name: "A. Clerk".to_owned(), credential: vec![1; 16], passkey }
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clerk.json");
        assert!(!EnrolledPasskey::is_at(&path).unwrap());
        let text = serde_json::to_string_pretty(&sample().to_file()).unwrap();
        std::fs::write(&path, &text).unwrap();
        assert!(EnrolledPasskey::is_at(&path).unwrap());
        assert_eq!(EnrolledPasskey::read(&path).unwrap(), sample());
        for (old, new) in [
            (SCHEMA, "lockplate-passkey/2"),
            ("\"name\"", "\"nome\""),
            ("https://clerk.example", "https://clerk.example/"),
            ("pQEC", "pQED"),
            ("AQEBAQEBAQEBAQEBAQEBAQ", ""),
        ] {
            assert!(text.contains(old), "{old}");
            assert!(EnrolledPasskey::parse(text.replace(old, new).as_bytes()).is_none(), "{old}");
        }
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        assert!(!EnrolledPasskey::is_at(&path).unwrap());
    }
}

//! From what somebody typed to a charter that is pinned: by the hash in a URL, by a hash given beside a file, or by the file itself, which
//! the caller must then say aloud. A charter whose hash is another one is never used, whoever shows it.

use core::fmt;
use std::path::{Path, PathBuf};

use lockplate_core::charter::{CharterFile, charter_hash};
use lockplate_core::limits::CHARTER_BYTES_MAX;
use lockplate_log::SignedNote;

use crate::client::{AddressError, CallLimits, PeerClient, PeerError, PeerTrust};
use crate::shutdown::ExitKind;

/// Where a party shows the charter, below its base address.
const CHARTER_PATH: &str = "/v1/charter";

/// What to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `https://host/..#<64 hex>`: the charter is got from there and must have this hash.
    Url {
        /// What stands before the `#`, without a final slash.
        base: String,
        /// SHA-256 that the charter must have.
        hash: [u8; 32],
    },
    /// A file or folder.
    Path(PathBuf),
}

/// Why there is no charter to check against.
#[derive(Debug)]
pub enum PinError {
    /// A URL without the charter's hash: it would pin nothing.
    NoHash,
    /// Not 64 hexadecimal digits.
    Hash,
    /// The address is none.
    Address(AddressError),
    /// The server gives no usable answer.
    Unavailable(PeerError),
    /// The server has no charter there.
    NoCharter,
    /// The file cannot be read.
    File(std::io::Error),
    /// No charter, or one that not all of its parties signed.
    Invalid,
    /// A charter of another hash; its bytes.
    OtherCharter(Vec<u8>),
}

impl PinError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::NoHash | Self::Hash => ExitKind::Usage,
            Self::Address(_) => ExitKind::Usage,
            Self::Unavailable(_) | Self::NoCharter => ExitKind::Unavailable,
            Self::File(_) | Self::Invalid => ExitKind::Config,
            Self::OtherCharter(_) => ExitKind::Lied,
        }
    }
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHash => {
                "the address has no hash of a charter, and without one anybody's charter would do\n\
                 write the address as the agency or a keeper prints it: https://host/#<64 digits>"
            }
            Self::Hash => "the hash of a charter is 64 hexadecimal digits",
            Self::Address(_) => "the address cannot be used",
            Self::Unavailable(_) => "the charter cannot be got",
            Self::NoCharter => "there is no charter at this address",
            Self::File(_) => "the file cannot be read",
            Self::Invalid => "this is no charter that its agency and every one of its keepers signed",
            Self::OtherCharter(_) => "the charter shown is not the one with this hash",
        })
    }
}

impl core::error::Error for PinError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Address(cause) => Some(cause),
            Self::Unavailable(cause) => Some(cause),
            Self::File(cause) => Some(cause),
            Self::NoHash | Self::Hash | Self::NoCharter | Self::Invalid | Self::OtherCharter(_) => None,
        }
    }
}

impl Target {
    /// Reads what somebody typed. Whatever has a scheme is a URL.
    ///
    /// # Errors
    /// [`PinError::NoHash`], [`PinError::Hash`].
    pub fn parse(text: &str) -> Result<Self, PinError> {
        if !text.starts_with("https://") && !text.starts_with("http://") {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        let (base, hash) = text.split_once('#').ok_or(PinError::NoHash)?;
        Ok(Self::Url { base: base.trim_end_matches('/').to_owned(), hash: parse_hash(hash)? })
    }
}

/// Reads the hash of a charter.
///
/// # Errors
/// [`PinError::Hash`].
pub fn parse_hash(text: &str) -> Result<[u8; 32], PinError> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).map_err(|_digits| PinError::Hash)?;
    Ok(hash)
}

/// Gets the charter from a party and pins it by its hash. The party's TLS key is not checked, because the charter is what would say which
/// one it is: a stranger in between can withhold the charter and cannot change it.
///
/// # Errors
/// [`PinError`].
pub async fn fetch_charter(base: &str, hash: [u8; 32]) -> Result<CharterFile, PinError> {
    let trust = if base.starts_with("https://") { PeerTrust::AnyKey } else { PeerTrust::PlainLoopback };
    let client = PeerClient::new(base, trust, CallLimits::default()).map_err(PinError::Address)?;
    let got = client.get_file(CHARTER_PATH, CHARTER_BYTES_MAX).await.map_err(PinError::Unavailable)?;
    pin(&got.ok_or(PinError::NoCharter)?, Some(hash))
}

/// Reads a charter from a file. Without a hash the file itself is the pin, which the caller must say.
///
/// # Errors
/// [`PinError`].
pub fn read_charter(file: &Path, hash: Option<[u8; 32]>) -> Result<CharterFile, PinError> {
    pin(&std::fs::read(file).map_err(PinError::File)?, hash)
}

/// A charter from its bytes: signed by all of its parties, and of this hash.
///
/// # Errors
/// [`PinError::OtherCharter`], [`PinError::Invalid`].
pub fn pin(bytes: &[u8], hash: Option<[u8; 32]>) -> Result<CharterFile, PinError> {
    if let Some(hash) = hash {
        // Before the signatures: another town's charter is signed as well.
        let note = SignedNote::parse(bytes).map_err(|_form| PinError::Invalid)?;
        if charter_hash(note.text()) != hash {
            return Err(PinError::OtherCharter(bytes.to_vec()));
        }
    }
    CharterFile::verify(bytes).map_err(|_refused| PinError::Invalid)
}

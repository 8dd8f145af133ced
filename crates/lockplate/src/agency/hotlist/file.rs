//! The file that a steward brings. A regular file is read twice, for what is signed of it and on its way to the recorder, and is never whole in
//! memory: a state's extract may be larger than the terminal's room. What comes through a pipe comes once, and is read whole before it is sent.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use axum::body::Bytes;
use lockplate_intake::hotlist_file::limits::FILE_BYTES_MAX;
use reqwest::Body;
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;
use zeroize::Zeroizing;

use crate::exit::Ended;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// What is loaded.
pub(super) enum ListFile {
    /// A regular file. One that changes meanwhile is not what was signed for, and the recorder refuses it.
    OnDisk { path: PathBuf, sha256: [u8; 32] },
    /// What comes once only: through a pipe, or made by a command.
    InMemory(Zeroizing<Vec<u8>>),
}

impl ListFile {
    /// Reads a file for its digest; of a pipe all that comes.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let unreadable = || format!("{}: cannot be read", path.display());
        let file = std::fs::File::open(path).with_context(unreadable)?;
        let metadata = file.metadata().with_context(unreadable)?;
        let mut bounded = file.take(FILE_BYTES_MAX.saturating_add(1));
        let (length, read) = if metadata.is_file() {
            let (mut hash, mut length) = (Sha256::new(), 0_u64);
            let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
            loop {
                let read = bounded.read(&mut piece).with_context(unreadable)?;
                let Some(more) = piece.get(..read).filter(|more| !more.is_empty()) else { break };
                hash.update(more);
                length = length.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            }
            (length, Self::OnDisk { path: path.to_owned(), sha256: hash.finalize().into() })
        } else {
            let mut bytes = Zeroizing::new(Vec::new());
            let length = bounded.read_to_end(&mut bytes).with_context(unreadable)?;
            (u64::try_from(length).unwrap_or(u64::MAX), Self::InMemory(bytes))
        };
        if length > FILE_BYTES_MAX {
            return Err(Ended::usage(format!("{}: more than 2 GiB", path.display())).into());
        }
        Ok(read)
    }

    /// SHA-256 of it, which an order names.
    pub(super) fn sha256(&self) -> [u8; 32] {
        match self {
            Self::OnDisk { sha256, .. } => *sha256,
            Self::InMemory(bytes) => Sha256::digest(bytes.as_slice()).into(),
        }
    }

    /// It, as the body of a request.
    pub(super) async fn body(self) -> Result<Body> {
        Ok(match self {
            Self::OnDisk { path, .. } => {
                let file = tokio::fs::File::open(path).await.context("the file cannot be read any more")?;
                Body::wrap_stream(ReaderStream::with_capacity(file, PIECE_BYTES))
            }
            // Not copied, and wiped once it is sent.
            Self::InMemory(bytes) => Bytes::from_owner(bytes).into(),
        })
    }
}

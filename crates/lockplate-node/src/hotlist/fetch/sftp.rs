//! A machine that gives files by SFTP. It is known by the one key of the configuration: no other is trusted, not even at first. It is shown
//! a key that no other machine is shown, and nothing is written there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use russh::client::{self, Handle};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, decode_secret_key};
use russh::{Disconnect, Preferred};
use russh_sftp::client::fs::Metadata;
use russh_sftp::client::{Config, SftpSession};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::{Newest, PIECE_BYTES, SILENCE_MAX, Sent};
use crate::settings::read_secret_file;

/// Until the machine is known and knows us.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// Where files are, as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hotlist) struct Machine {
    pub(in crate::hotlist) host: String,
    pub(in crate::hotlist) port: u16,
    pub(in crate::hotlist) user: String,
    /// A file, or a folder whose newest file is meant.
    pub(in crate::hotlist) path: String,
    pub(in crate::hotlist) host_key: PublicKey,
    /// File of mode 0600 with an Ed25519 key of OpenSSH.
    pub(in crate::hotlist) key_file: PathBuf,
}

/// A host's key as `ssh-keyscan` writes it, without the host. Ed25519 alone.
pub(in crate::hotlist) fn host_key(text: &str) -> Option<PublicKey> {
    let key = PublicKey::from_openssh(text.trim()).ok()?;
    (key.algorithm() == Algorithm::Ed25519).then_some(key)
}

/// Knows the machine by its key.
struct Pinned(PublicKey);

impl client::Handler for Pinned {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let is_it = |key: &PublicKey| key.key_data() == self.0.key_data();
        Ok(matches!(shown, PublicKeyOrCertificate::PublicKey { key, .. } if is_it(key)))
    }
}

/// A connection that stands.
pub(super) struct Connection {
    ssh: Handle<Pinned>,
    files: SftpSession,
    path: String,
}

impl Machine {
    /// The error is said in fixed words: the library's own hold names.
    pub(super) async fn connect(&self) -> Result<Connection, &'static str> {
        tokio::time::timeout(CONNECT_MAX, self.begin()).await.unwrap_or(Err("the machine does not answer in time"))
    }

    async fn begin(&self) -> Result<Connection, &'static str> {
        const UNREAD: &str = "the key file is no Ed25519 key of OpenSSH of mode 0600";
        let path = self.key_file.clone();
        let read = tokio::task::spawn_blocking(move || read_secret_file(&path)).await;
        let pem = read.ok().and_then(Result::ok).ok_or(UNREAD)?;
        let key = core::str::from_utf8(&pem).ok().and_then(|text| decode_secret_key(text, None).ok());
        let key = key.filter(|key| key.algorithm() == Algorithm::Ed25519).ok_or(UNREAD)?;
        let config = client::Config {
            // Of several keys a machine has it shows the one that is pinned.
            preferred: Preferred { key: vec![Algorithm::Ed25519].into(), ..Preferred::default() },
            inactivity_timeout: Some(SILENCE_MAX),
            ..client::Config::default()
        };
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|_cause| "the machine cannot be reached")?;
        let pinned = Pinned(self.host_key.clone());
        let ssh = client::connect_stream(Arc::new(config), stream, pinned).await;
        let mut ssh = ssh.map_err(|error| {
            if matches!(error, russh::Error::UnknownKey) {
                "the machine shows another key than the one of the configuration"
            } else {
                "the machine does not speak SSH as it is spoken here"
            }
        })?;
        let shown = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        let is_known = ssh.authenticate_publickey(self.user.as_str(), shown).await;
        if !is_known.is_ok_and(|answer| answer.success()) {
            return Err("the machine refuses the name or the key");
        }
        const NO_SFTP: &str = "the machine offers no SFTP";
        let channel = ssh.channel_open_session().await.map_err(|_library| NO_SFTP)?;
        channel.request_subsystem(true, "sftp").await.map_err(|_library| NO_SFTP)?;
        let limits = Config { request_timeout_secs: CONNECT_MAX.as_secs(), ..Config::default() };
        let files = SftpSession::new_with_config(channel.into_stream(), limits).await.map_err(|_library| NO_SFTP)?;
        Ok(Connection { ssh, files, path: self.path.clone() })
    }
}

impl Connection {
    /// The file that is meant, or those of the folder.
    pub(super) async fn list(&self) -> Result<Vec<Newest>, &'static str> {
        let unread = |_library| "the path of its files cannot be read there";
        let found = self.files.metadata(self.path.as_str()).await.map_err(unread)?;
        if !is_kind(&found, FOLDER) {
            return Ok(newest(Path::new(&self.path).to_owned(), &found).into_iter().collect());
        }
        let entries = self.files.read_dir(self.path.as_str()).await.map_err(unread)?;
        let file = |entry: russh_sftp::client::fs::DirEntry| {
            newest(Path::new(&self.path).join(entry.file_name()), &entry.metadata())
        };
        Ok(entries.filter_map(file).collect())
    }

    /// As for a file of this machine.
    pub(super) async fn send(&self, file: &Newest, to: &mpsc::Sender<Option<Bytes>>) -> Sent {
        let Some(path) = file.path.to_str() else { return Sent::Unreadable };
        let Ok(mut open) = self.files.open(path).await else { return Sent::Unreadable };
        let is_same = async |open: &russh_sftp::client::fs::File| {
            let found = open.metadata().await.ok();
            found.and_then(|found| newest(file.path.clone(), &found)).as_ref() == Some(file)
        };
        if !is_same(&open).await {
            return Sent::Changed;
        }
        let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
        loop {
            let read = tokio::time::timeout(SILENCE_MAX, open.read(&mut piece)).await;
            let Ok(Ok(bytes)) = read else { return Sent::Unreadable };
            if bytes == 0 && !is_same(&open).await {
                return Sent::Changed;
            }
            let sent = piece.get(..bytes).map(Bytes::copy_from_slice).unwrap_or_default();
            if to.send(Some(sent)).await.is_err() {
                return Sent::Unwanted;
            }
            if bytes == 0 {
                return Sent::Whole;
            }
        }
    }

    pub(super) async fn end(self) {
        // A machine that is gone has ended it too.
        let _gone = self.ssh.disconnect(Disconnect::ByApplication, "", "").await;
    }
}

/// The kind of a file among the bits of its mode (POSIX): the library's own questions take a link for a file.
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

fn is_kind(found: &Metadata, kind: u32) -> bool {
    found.permissions.is_some_and(|mode| mode & KIND == kind)
}

fn newest(path: PathBuf, found: &Metadata) -> Option<Newest> {
    let modified_ms = u64::from(found.mtime?).saturating_mul(1_000);
    is_kind(found, FILE).then_some(Newest { path, bytes: found.size?, modified_ms })
}

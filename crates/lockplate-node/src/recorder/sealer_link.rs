//! The recorder's end of a sealer: starts the child, speaks `sealer/wire.rs` to it, and sees it gone. A sealer that does not
//! answer in time, or answers nonsense, is killed: its epoch is then an orphan, never a half-trusted one.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use crate::sealer::wire::{Ask, Tell, frame_length};

/// Longest wait for an answer: a group commit on a disk that stalls.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Longest wait for the exit of a sealer that has closed its epoch; then it is killed.
const EXIT_MAX: Duration = Duration::from_secs(5);

/// What is executed as a sealer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealerProgram {
    /// The binary: as a rule this one.
    pub path: PathBuf,
    /// Its arguments: as a rule `sealer`.
    pub arguments: Vec<String>,
}

/// The sealer is gone or not to be trusted any more; [`SealerLink::gone`] makes sure of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkBroken;

/// A running sealer. Dropped, it is killed.
pub(super) struct SealerLink {
    child: Child,
    stream: UnixStream,
}

impl SealerLink {
    /// Executes the program and waits until it says that it is hardened. The environment of the child is empty.
    pub(super) async fn start(program: &SealerProgram) -> Result<Self, LinkBroken> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(|_descriptors| LinkBroken)?;
        ours.set_nonblocking(true).map_err(|_descriptors| LinkBroken)?;
        let stream = UnixStream::from_std(ours).map_err(|_runtime| LinkBroken)?;
        let child = Command::new(&program.path)
            .args(&program.arguments)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                tracing::warn!(kind = ?error.kind(), "the sealer could not be started");
                LinkBroken
            })?;
        let mut link = Self { child, stream };
        let Tell::Hello { locked } = link.answer().await? else { return Err(LinkBroken) };
        if !locked {
            tracing::debug!("the sealer runs without locked memory: raise LimitMEMLOCK");
        }
        Ok(link)
    }

    /// Asks and waits for the answer.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Result<Tell, LinkBroken> {
        let frame = ask.to_frame().map_err(|_too_large| LinkBroken)?;
        let written = tokio::time::timeout(ANSWER_MAX, self.stream.write_all(&frame)).await;
        written.map_err(|_elapsed| LinkBroken)?.map_err(|_gone| LinkBroken)?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Tell, LinkBroken> {
        let read = async {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head).await.map_err(|_gone| LinkBroken)?;
            let mut frame = Zeroizing::new(vec![0; frame_length(head).map_err(|_bad| LinkBroken)?]);
            self.stream.read_exact(&mut frame).await.map_err(|_gone| LinkBroken)?;
            Tell::from_frame(&frame).map_err(|_bad| LinkBroken)
        };
        tokio::time::timeout(ANSWER_MAX, read).await.map_err(|_elapsed| LinkBroken)?
    }

    /// Resolves when the sealer's end of the socket is closed, which before a close means that it died. Cancel-safe.
    pub(super) async fn died(&self) {
        loop {
            let mut byte = [0; 1];
            if self.stream.readable().await.is_err() {
                return;
            }
            match self.stream.try_read(&mut byte) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                // Nothing is said without being asked: a byte here is as bad as an end.
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Sees the process gone: waits for its exit, kills it if it does not come. On return there is no such process.
    pub(super) async fn gone(mut self) {
        drop(self.stream);
        if tokio::time::timeout(EXIT_MAX, self.child.wait()).await.is_err() {
            tracing::warn!("a sealer did not exit and is killed");
            if let Err(error) = self.child.kill().await {
                tracing::error!(kind = ?error.kind(), "a sealer could not be killed");
            }
        }
    }
}

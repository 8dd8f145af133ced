//! The recorder's end of a sealer: starts the child, speaks `sealer/wire.rs` to it, and sees it gone. Several commits may be under way; they
//! are answered in their order. A sealer that does not
//! answer in time, or answers nonsense, is killed: its epoch is then an orphan, never a half-trusted one.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::sealer::wire::{Ask, Tell, frame_length};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

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
    /// What it said of its next answer so far.
    heard: BytesMut,
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
        let mut link = Self { child, stream, heard: BytesMut::new() };
        let Tell::Hello { locked } = link.hear().await? else { return Err(LinkBroken) };
        if !locked {
            tracing::debug!("the sealer runs without locked memory: raise LimitMEMLOCK");
        }
        Ok(link)
    }

    /// Asks and waits for the answer.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Result<Tell, LinkBroken> {
        self.send(ask).await?;
        self.hear().await
    }

    /// Asks; the answer is heard after those to what was asked before.
    pub(super) async fn send(&mut self, ask: &Ask) -> Result<(), LinkBroken> {
        let frame = ask.to_frame().map_err(|_too_large| LinkBroken)?;
        let written = tokio::time::timeout(ANSWER_MAX, self.stream.write_all(&frame)).await;
        written.map_err(|_elapsed| LinkBroken)?.map_err(|_gone| LinkBroken)
    }

    /// The next answer. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Result<Tell, LinkBroken> {
        tokio::time::timeout(ANSWER_MAX, self.next()).await.map_err(|_elapsed| LinkBroken)?
    }

    async fn next(&mut self) -> Result<Tell, LinkBroken> {
        loop {
            if let Some((head, rest)) = self.heard.split_first_chunk::<4>() {
                let length = frame_length(*head).map_err(|_bad| LinkBroken)?;
                if let Some(frame) = rest.get(..length) {
                    let tell = Tell::from_frame(frame).map_err(|_bad| LinkBroken)?;
                    self.heard.advance(length.saturating_add(head.len()));
                    return Ok(tell);
                }
            }
            if self.stream.read_buf(&mut self.heard).await.map_err(|_gone| LinkBroken)? == 0 {
                return Err(LinkBroken);
            }
        }
    }

    /// Resolves when the sealer's end of the socket is closed, which before a close means that it died. Cancel-safe. Nothing is said
    /// without being asked: an answer here is as bad as an end.
    pub(super) async fn died(&mut self) {
        drop(self.next().await);
    }

    /// Ends the process, and whatever it holds with it.
    pub(super) async fn kill(&mut self) {
        kill(&mut self.child).await;
    }

    /// Sees the process gone: waits for its exit, kills it if it does not come. On return there is no such process.
    pub(super) async fn gone(self) {
        let Self { mut child, stream, .. } = self;
        drop(stream);
        if tokio::time::timeout(EXIT_MAX, child.wait()).await.is_err() {
            tracing::warn!("a sealer did not exit and is killed");
            kill(&mut child).await;
        }
    }
}

async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::error!(kind = ?error.kind(), "a sealer could not be killed");
    }
}

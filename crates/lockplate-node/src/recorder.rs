//! The recorder: reads go in, acknowledged when they are durable in a spool, and leave as closed epochs in the archive. It
//! must never write a read in clear, acknowledge one that is not on stable storage, or seal under an epoch that fewer than
//! t keepers can open. Everything it decides stands in [`plan`]; the key of an epoch lives in a child process
//! ([`crate::sealer`]) and never here.
//!
//! One task (`actor`) routes reads to epochs and carries out what the plan says; one task an epoch (`epoch`) deals it,
//! seals its reads in group commits, and closes it in the order of `reliability.md` section 4, rule 2.

mod actor;
mod close;
mod epoch;
mod keepers;
pub mod plan;
mod publish;
mod sealer_link;

use core::fmt;
use std::sync::Arc;

use lockplate_core::read::Read;
pub use lockplate_intake::normalise::Placement;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use actor::{RecorderParts, RecorderSettings, StartError, start};
pub use close::CloseStep;
pub use sealer_link::SealerProgram;

use crate::standby::Shipper;

/// Reads that may wait for an epoch or a commit, in all callers together. They are the only reads in clear outside of the
/// sealer, and they are in memory.
pub const READS_WAITING_MAX: usize = 20_000;

/// Reads of one call of [`RecorderHandle::seal`].
pub const READS_OF_CALL_MAX: usize = 10_000;

/// Commands that wait for the recorder's task.
const COMMANDS_MAX: usize = 1_024;

/// A read and where it belongs in time.
#[derive(Clone, PartialEq, Eq)]
pub struct PlacedRead {
    /// The read.
    pub read: Read,
    /// `Open` for reads as they pass, `Late` for reads with a past label.
    pub place: Placement,
}

impl fmt::Debug for PlacedRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlacedRead(..)")
    }
}

/// What became of one read of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// It is a cell on stable storage, under an epoch with at least t receipts.
    Stored,
    /// Its window is past the retention: it was not sealed and will never be.
    TooOld,
    /// It was not sealed now. It may be durable all the same; sending it again is harmless (`reliability.md` I9).
    Not(RecorderError),
}

/// Why a read was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecorderError {
    /// No receipted epoch, too many reads waiting, the disk is full, or the epochs of the day are used up: keep the reads and send
    /// them later.
    Busy,
    /// The sealer died before it acknowledged: send the reads again now.
    Interrupted,
    /// The recorder stops.
    Stopping,
}

impl fmt::Display for RecorderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "reads cannot be sealed at the moment",
            Self::Interrupted => "the sealer ended before the reads were durable",
            Self::Stopping => "the recorder stops",
        })
    }
}

impl core::error::Error for RecorderError {}

/// How the recorder stands; for `/readyz` and for people. Counts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderState {
    /// A receipted epoch takes reads now.
    pub sealing: bool,
    /// The next window's epoch is receipted.
    pub next_ready: bool,
    /// Reads that wait.
    pub reads_waiting: usize,
    /// Epochs that are open, live and late.
    pub epochs_open: usize,
    /// Epochs whose close could not be made and needs a person (a spool that does not hold what was acknowledged).
    pub epochs_damaged: u64,
    /// Prekeys in stock, in charter order.
    pub prekeys: Vec<u32>,
}

/// The door to the recorder. Cheap to clone.
#[derive(Clone)]
pub struct RecorderHandle {
    commands: mpsc::Sender<Command>,
    waiting: Arc<Semaphore>,
    shipper: Option<Shipper>,
}

impl fmt::Debug for RecorderHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecorderHandle(..)")
    }
}

/// What the recorder's task is asked.
enum Command {
    Seal {
        reads: Vec<PlacedRead>,
        places: OwnedSemaphorePermit,
        reply: oneshot::Sender<Result<Vec<Sealed>, RecorderError>>,
    },
    LateDone(oneshot::Sender<()>),
    State(oneshot::Sender<RecorderState>),
    Stop(oneshot::Sender<()>),
}

impl RecorderHandle {
    /// Seals reads. When this returns `Ok`, each read that is [`Sealed::Stored`] is durable; the answers stand in the order
    /// of the reads. Reads go into as many epochs as their windows are, and one window that has none yet keeps no read of another
    /// from being sealed. Calls that arrive while a commit is on its way share the next one.
    ///
    /// Where the future is dropped the reads may or may not be sealed.
    ///
    /// # Errors
    /// [`RecorderError`], where no read of the call was looked at. More than [`READS_OF_CALL_MAX`] reads are `Busy`.
    pub async fn seal(&self, reads: Vec<PlacedRead>) -> Result<Vec<Sealed>, RecorderError> {
        if reads.is_empty() {
            return Ok(Vec::new());
        }
        // Nothing could be acknowledged while the standby's journal does not go on: better said at once than after minutes.
        if reads.len() > READS_OF_CALL_MAX || self.shipper.as_ref().is_some_and(Shipper::is_behind) {
            return Err(RecorderError::Busy);
        }
        let count = u32::try_from(reads.len()).map_err(|_bounded_above| RecorderError::Busy)?;
        let places =
            Arc::clone(&self.waiting).try_acquire_many_owned(count).map_err(|_none_free| RecorderError::Busy)?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Seal { reads, places, reply }).await?;
        answer.await.map_err(|_gone| RecorderError::Stopping)?
    }

    /// Closes the late epochs now, at the end of an import, and returns when they are closed, logged and in the archive.
    ///
    /// # Errors
    /// `Stopping`.
    pub async fn late_done(&self) -> Result<(), RecorderError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::LateDone(reply)).await?;
        answer.await.map_err(|_gone| RecorderError::Stopping)
    }

    /// How the recorder stands.
    ///
    /// # Errors
    /// `Stopping`.
    pub async fn state(&self) -> Result<RecorderState, RecorderError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::State(reply)).await?;
        answer.await.map_err(|_gone| RecorderError::Stopping)
    }

    /// Takes no more reads, closes every epoch, and returns when all are closed, logged and in the archive. Intake has
    /// given up what it held before.
    pub async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        if self.send(Command::Stop(reply)).await.is_ok() {
            // An error means that the task is gone, which is what was asked for.
            let _gone = answer.await;
        }
    }

    async fn send(&self, command: Command) -> Result<(), RecorderError> {
        self.commands.send(command).await.map_err(|_gone| RecorderError::Stopping)
    }
}

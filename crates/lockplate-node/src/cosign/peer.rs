//! One witness of a log, as the log asks it: the newest checkpoint it cosigned, and a cosignature for a head. What it answers
//! is believed as far as its key signed it.

use core::fmt;
use std::path::Path;

use bytes::Bytes;
use lockplate_log::witness::{SIZE_CONTENT_TYPE, read_answer, read_conflict};
use lockplate_log::{
    AddCheckpoint, Checkpoint, Error as LogError, LogView, NoteSignature, SignedCheckpoint, VerifierKey, WitnessRecord,
};
use lockplate_store::log_files::folder_reader;
use lockplate_store::witness_files::record_id;

use super::WITNESS_PREFIX;
use crate::client::{PeerClient, PeerError};
use crate::follow::evidence::Evidence;
use crate::witness::Shown;

/// Most 409 answers in a row that one question follows: the record of an honest witness moves only by our own asking.
const CONFLICTS_MAX: usize = 3;

/// A witness of a policy.
#[derive(Clone)]
pub struct WitnessPeer {
    name: String,
    key: VerifierKey,
    client: PeerClient,
}

impl fmt::Debug for WitnessPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WitnessPeer").field(&self.name).finish()
    }
}

/// Why a witness gave no cosignature, or no record.
#[derive(Debug, PartialEq, Eq)]
pub enum NoCosignature {
    /// No answer.
    Peer(PeerError),
    /// It asks to be asked later.
    Busy,
    /// It refuses with this status.
    Refused(u16),
    /// What it answered does not verify.
    Lied(LogError),
    /// It has cosigned more of this log than there is.
    KnowsMore,
    /// The own tiles do not give the proof.
    Own(LogError),
}

impl fmt::Display for NoCosignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(cause) => cause.fmt(f),
            Self::Busy => f.write_str("the witness asks to be asked later"),
            Self::Refused(status) => write!(f, "the witness refuses with status {status}"),
            Self::Lied(_) => f.write_str("the answer of the witness does not verify and is not used"),
            Self::KnowsMore => f.write_str("the witness has cosigned more of this log than there is"),
            Self::Own(cause) => write!(f, "no proof can be made from the log's own files: {cause}"),
        }
    }
}

impl core::error::Error for NoCosignature {}

impl WitnessPeer {
    /// A witness at the address of `client`.
    #[must_use]
    pub const fn new(name: String, key: VerifierKey, client: PeerClient) -> Self {
        Self { name, key, client }
    }

    /// Its name in the policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Whether a person means this one: by its name in the policy, or by that of its key.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.key.name().as_str() == name
    }

    /// The newest checkpoint of `log` that it cosigned; `None` if it never did.
    ///
    /// # Errors
    /// [`NoCosignature::Peer`], [`NoCosignature::Refused`], [`NoCosignature::Lied`].
    pub async fn newest(&self, log: &VerifierKey) -> Result<Option<WitnessRecord>, NoCosignature> {
        let path = format!("{WITNESS_PREFIX}/{}/checkpoint", record_id(log.name()));
        let answer = self.client.get_raw(&path).await.map_err(NoCosignature::Peer)?;
        match answer.status {
            200 => WitnessRecord::parse(&answer.body, log, &self.key).map(Some).map_err(NoCosignature::Lied),
            404 => Ok(None),
            429 | 503 => Err(NoCosignature::Busy),
            status => Err(NoCosignature::Refused(status)),
        }
    }

    /// What it shows that convicts `log`. Only the form is checked: each file convicts by itself or not at all.
    ///
    /// # Errors
    /// [`NoCosignature::Peer`], [`NoCosignature::Refused`].
    pub async fn forks(&self, log: &VerifierKey) -> Result<Vec<Evidence>, NoCosignature> {
        let path = format!("{WITNESS_PREFIX}/{}/evidence", record_id(log.name()));
        let shown: Shown = self.client.get_json(&path, &[]).await.map_err(NoCosignature::Peer)?;
        Ok(shown.forks)
    }

    /// Has it cosign `head`, proving from `old` leaves; on a 409 from the size it says. `old` becomes what it has then. The proof
    /// is made from the tiles in `public`. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`NoCosignature`]; `old` may have changed.
    pub(super) async fn cosign(
        &self,
        head: &SignedCheckpoint,
        old: &mut u64,
        public: &Path,
        now: impl Fn() -> u64,
    ) -> Result<NoteSignature, NoCosignature> {
        let size = head.checkpoint().size();
        for _conflict in 0..=CONFLICTS_MAX {
            if *old > size {
                return Err(NoCosignature::KnowsMore);
            }
            let (from, signed, folder) = (*old, head.clone(), public.to_owned());
            let made = tokio::task::spawn_blocking(move || body(&signed, from, &folder)).await;
            let body = made.map_err(|_panicked| NoCosignature::Own(LogError::Poisoned))?.map_err(NoCosignature::Own)?;
            let path = format!("{WITNESS_PREFIX}/add-checkpoint");
            let answer = self.client.post_raw(&path, Bytes::from(body)).await.map_err(NoCosignature::Peer)?;
            match answer.status {
                200 => {
                    let read = read_answer(&answer.body, &self.key, head.checkpoint(), now());
                    let (line, _cosignature) = read.map_err(NoCosignature::Lied)?;
                    *old = size;
                    return Ok(line);
                }
                409 if answer.media_type.as_deref() == Some(SIZE_CONTENT_TYPE) => {
                    *old = read_conflict(&answer.body).map_err(NoCosignature::Lied)?;
                }
                429 | 503 => return Err(NoCosignature::Busy),
                status => return Err(NoCosignature::Refused(status)),
            }
        }
        Err(NoCosignature::Refused(409))
    }
}

/// The body of `add-checkpoint`. Blocks.
fn body(head: &SignedCheckpoint, old: u64, public: &Path) -> Result<Vec<u8>, LogError> {
    let checkpoint: Checkpoint = head.checkpoint().clone();
    let size = checkpoint.size();
    let view = LogView::load(checkpoint, folder_reader(public))?;
    Ok(AddCheckpoint::new(&view.consistency_proof(old, size)?, head)?.to_bytes())
}

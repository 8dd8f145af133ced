//! C2SP tlog-witness, both sides, without files, clock or network: the body of `add-checkpoint`, the witness's decision ([`consider`]), its
//! record, and what the log reads out of the answer.
//!
//! **Order of a witness.** Under one lock a log: read the [`Standing`]; [`consider`]; [`Consistent::cosign`], which makes the new record, has
//! it persisted by its caller, and only then hands out the cosignature. A witness that answered before it persisted could cosign two trees
//! after a crash; one that checked outside of the lock could roll its record back.
//!
//! **What a failing proof shows.** The proof lines are signed by nobody, and anybody may send a log's checkpoint to a witness. So a proof that
//! fails is a *suspicion* ([`Refusal::Inconsistent`]): the body is kept and somebody is told. Two checkpoints of one size with other roots,
//! both signed by the log ([`Refusal::Forked`]), are *proof*, whoever sent them: the origin is frozen. A suspicion becomes proof when the
//! log's own tiles under the new checkpoint do not extend the recorded one ([`LogView::extends`](crate::view::LogView::extends)). Were every
//! failing proof a reason to freeze, a stranger could stop a log with one request.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use core::fmt;

use crate::checkpoint::{Checkpoint, SignedCheckpoint, parse_decimal};
use crate::cosignature::{Cosignature, CosignatureSigner};
use crate::error::Error;
use crate::limits::{ADD_CHECKPOINT_BYTES_MAX, PROOF_HASHES_MAX};
use crate::merkle::{ConsistencyProof, Hash};
use crate::note::{NoteSignature, Origin, SignedNote, VerifierKey};

/// What begins the first line of a body.
const OLD: &str = "old ";

/// The body of `add-checkpoint`: the size the log believes the witness has, the proof from there, and the checkpoint. Read from a stranger or
/// made by a log; no signature is verified before [`consider`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: Vec<Hash>,
    checkpoint: Checkpoint,
    note: SignedNote,
}

impl AddCheckpoint {
    /// What a log sends for its head: `proof` leads from the size that the witness has (0 if it has none, or that is not known) to the head's.
    ///
    /// # Errors
    /// [`Error::InvalidProof`] if the proof is to another size; [`Error::MalformedRequest`] if the whole is over 64 KiB.
    pub fn new(proof: &ConsistencyProof, head: &SignedCheckpoint) -> Result<Self, Error> {
        if proof.new_size() != head.checkpoint().size() {
            return Err(Error::InvalidProof);
        }
        let asked = Self {
            old: proof.old_size(),
            proof: proof.hashes().to_vec(),
            checkpoint: head.checkpoint().clone(),
            note: head.note().clone(),
        };
        if asked.to_bytes().len() > ADD_CHECKPOINT_BYTES_MAX { Err(Error::MalformedRequest) } else { Ok(asked) }
    }

    /// Reads a body: `old <size>`; at most 63 proof hashes, one a line; an empty line; a note whose text is a checkpoint.
    ///
    /// # Errors
    /// [`Error::MalformedRequest`] on anything else; answered with status 400.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse_inner(bytes).ok_or(Error::MalformedRequest)
    }

    fn parse_inner(bytes: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok().filter(|text| text.len() <= ADD_CHECKPOINT_BYTES_MAX)?;
        let (head, note) = text.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = lines.next()?.strip_prefix(OLD).and_then(parse_decimal)?;
        let proof: Vec<Hash> = lines
            .take(PROOF_HASHES_MAX.saturating_add(1))
            .map(|line| Hash::from_base64(line).ok())
            .collect::<Option<_>>()?;
        if proof.len() > PROOF_HASHES_MAX {
            return None;
        }
        let note = SignedNote::parse(note.as_bytes()).ok()?;
        let checkpoint = Checkpoint::parse(note.text()).ok()?;
        Some(Self { old, proof, checkpoint, note })
    }

    /// The size that the sender believes the witness has.
    #[must_use]
    pub const fn old(&self) -> u64 {
        self.old
    }

    /// The proof's hashes.
    #[must_use]
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The log it claims to be about.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        self.checkpoint.origin()
    }

    /// The checkpoint, whose signature nobody has verified yet.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint's note.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The body as it is sent, and kept as evidence.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{OLD}{}\n", self.old);
        for hash in &self.proof {
            out.push_str(&hash.to_base64());
            out.push('\n');
        }
        out.push('\n');
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.note.to_bytes());
        out
    }
}

/// Why a witness does not cosign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The body is no `add-checkpoint`.
    Malformed,
    /// No log of this origin is known here.
    UnknownLog,
    /// The log's key did not sign, or a line by it is bad.
    Untrusted,
    /// There is evidence against this origin; a human must clear it first.
    Frozen,
    /// `old` is larger than the checkpoint.
    OldAboveSize,
    /// `old` is not what this witness recorded last, which is this size.
    Conflict(u64),
    /// The log signed another root for the size that is recorded: a fork, proved by both notes.
    Forked,
    /// The proof does not lead from the recorded checkpoint to this one, or there is one where none belongs.
    Inconsistent,
}

impl Refusal {
    /// The HTTP status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::OldAboveSize => 400,
            Self::Untrusted | Self::Frozen => 403,
            Self::UnknownLog => 404,
            Self::Conflict(_) | Self::Forked => 409,
            Self::Inconsistent => 422,
        }
    }

    /// The body of the answer where it is more than words: the recorded size for [`Refusal::Conflict`], of type
    /// [`SIZE_CONTENT_TYPE`].
    #[must_use]
    pub fn size_body(self) -> Option<String> {
        match self {
            Self::Conflict(size) => Some(format!("{size}\n")),
            Self::Malformed
            | Self::UnknownLog
            | Self::Untrusted
            | Self::Frozen
            | Self::OldAboveSize
            | Self::Forked
            | Self::Inconsistent => None,
        }
    }

    /// Whether the body must be kept and a human told (alarm `log-fork`): the log's own signature is on something that does not fit.
    #[must_use]
    pub const fn is_evidence(self) -> bool {
        matches!(self, Self::Forked | Self::Inconsistent)
    }

    /// Whether the recorded note and this one together prove a fork to everybody, so that the origin is frozen at once.
    #[must_use]
    pub const fn proves_fork(self) -> bool {
        matches!(self, Self::Forked)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed add-checkpoint body",
            Self::UnknownLog => "unknown log",
            Self::Untrusted => "not signed by the log's key, or badly",
            Self::Frozen => {
                "there is evidence against this log; nothing of it is cosigned before a human has cleared it"
            }
            Self::OldAboveSize => "the old size is above the checkpoint's",
            Self::Conflict(_) => "the old size is not the one recorded here",
            Self::Forked => "the log has signed another root of this size: a fork",
            Self::Inconsistent => "the proof does not lead from the recorded checkpoint to this one",
        })
    }
}

impl core::error::Error for Refusal {}

/// The content type of a [`Refusal::size_body`].
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// What a witness has on disk about one log: the newest checkpoint it cosigned, with the log's line and its own, and nothing else. Served as
/// it is under `<witness>/<hex of sha256(origin)>/checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessRecord {
    signed: SignedCheckpoint,
    line: NoteSignature,
    time: u64,
}

impl WitnessRecord {
    /// Reads a record: one's own at start, or another witness's that was fetched (start-up check 5 of a log).
    ///
    /// # Errors
    /// As [`SignedCheckpoint::parse`] for the log's signature and [`Cosignature::verify`] for the witness's; a record without the latter is
    /// [`Error::NoKnownSignature`].
    pub fn parse(bytes: &[u8], log: &VerifierKey, witness: &VerifierKey) -> Result<Self, Error> {
        let signed = SignedCheckpoint::parse(bytes, log)?;
        let line = signed.note().signatures().iter().find(|line| line.is_by(witness)).ok_or(Error::NoKnownSignature)?;
        let time = Cosignature::verify(line, witness, signed.checkpoint())?.time();
        let line = line.clone();
        Ok(Self { signed, line, time })
    }

    /// What was cosigned.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        self.signed.checkpoint()
    }

    /// What was cosigned, with the log's signature.
    #[must_use]
    pub const fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// The witness's line.
    #[must_use]
    pub const fn line(&self) -> &NoteSignature {
        &self.line
    }

    /// When, in seconds since 1970.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// The record as it is stored and served.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.signed.to_bytes()
    }

    /// The body of the answer to `add-checkpoint`, status 200: one signature line.
    #[must_use]
    pub fn answer(&self) -> String {
        format!("{}\n", self.line)
    }
}

/// How a log stands with a witness. The default is a log that was never seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The newest checkpoint cosigned, if there is one.
    pub newest: Option<WitnessRecord>,
    /// Whether there is evidence against the log that no human has cleared.
    pub frozen: bool,
}

/// A checkpoint that is consistent with everything this witness has cosigned of its log. Used up by [`Consistent::cosign`].
#[derive(Debug)]
#[must_use = "a checkpoint was considered so that it may be cosigned"]
pub struct Consistent {
    signed: SignedCheckpoint,
    /// The log's own line, without those of others.
    line: NoteSignature,
    last_time: u64,
}

/// Decides on a request, in the order of `log.md` section 5: origin known, log's signature, not frozen, `old` not above the size, `old` as
/// recorded, the proof. The caller has parsed the body ([`Refusal::Malformed`]) and found the log's key by [`AddCheckpoint::origin`]
/// ([`Refusal::UnknownLog`]), and **holds the lock of this log from before it read `standing` until the answer is made**.
///
/// # Errors
/// The [`Refusal`]. If it [is evidence](Refusal::is_evidence), the caller keeps the body and tells a human; if it
/// [proves a fork](Refusal::proves_fork), it freezes the origin before it answers.
pub fn consider(asked: &AddCheckpoint, log: &VerifierKey, standing: &Standing) -> Result<Consistent, Refusal> {
    if asked.origin() != log.name() {
        return Err(Refusal::UnknownLog);
    }
    let signed = SignedCheckpoint::from_note(asked.note.clone(), log).ok().ok_or(Refusal::Untrusted)?;
    let line = signed.note().signatures().iter().find(|line| line.is_by(log)).cloned().ok_or(Refusal::Untrusted)?;
    if standing.frozen {
        return Err(Refusal::Frozen);
    }
    let size = signed.checkpoint().size();
    if asked.old > size {
        return Err(Refusal::OldAboveSize);
    }
    let (old_size, old_root, last_time) = match &standing.newest {
        Some(record) => (record.checkpoint().size(), record.checkpoint().root(), record.time),
        None => (0, Hash::empty(), 0),
    };
    if asked.old != old_size {
        return Err(Refusal::Conflict(old_size));
    }
    if asked.old == size && old_root != signed.checkpoint().root() {
        return Err(Refusal::Forked);
    }
    let proof = ConsistencyProof::from_parts(asked.old, size, asked.proof.clone());
    let proof = proof.ok().ok_or(Refusal::Inconsistent)?;
    proof.verify(old_root, signed.checkpoint().root()).ok().ok_or(Refusal::Inconsistent)?;
    Ok(Consistent { signed, line, last_time })
}

/// Why a checkpoint that was found consistent was not cosigned. Nothing has left the witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CosignError<E> {
    /// [`Error::ClockBack`]: the clock is before the last cosignature of this log. [`Error::CosignatureTime`]: it is 0 or beyond 2^63.
    Log(Error),
    /// The record could not be persisted.
    Persist(E),
}

impl<E: fmt::Display> fmt::Display for CosignError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::Persist(error) => write!(f, "the record of the witness could not be kept: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for CosignError<E> {}

impl Consistent {
    /// What will be cosigned.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        self.signed.checkpoint()
    }

    /// Cosigns at `now`, in seconds since 1970: makes the new record, has `persist` put its bytes on stable storage in the place of the last
    /// one, and then returns it; [`WitnessRecord::answer`] is what the log gets. Without a successful `persist` no cosignature leaves.
    ///
    /// # Errors
    /// [`CosignError::Log`] if `now` is before the last cosignature of this log, whose time never goes back; [`CosignError::Persist`] with
    /// what `persist` said.
    pub fn cosign<E>(
        self,
        witness: &CosignatureSigner,
        now: u64,
        persist: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<WitnessRecord, CosignError<E>> {
        if now < self.last_time {
            return Err(CosignError::Log(Error::ClockBack));
        }
        let line = witness.cosign(self.signed.checkpoint(), now).map_err(CosignError::Log)?;
        let note =
            SignedNote::new(self.signed.note().text(), vec![self.line, line.clone()]).map_err(CosignError::Log)?;
        let signed = self.signed.with_note(note);
        let record = WitnessRecord { signed, line, time: now };
        persist(&record.to_bytes()).map_err(CosignError::Persist)?;
        Ok(record)
    }
}

/// Reads the answer of a witness, status 200: signature lines, of which the one by `witness` must verify over `checkpoint` and not be more than
/// 300 s after `now` (seconds since 1970). Lines of others are ignored.
///
/// # Errors
/// [`Error::MalformedNote`]; [`Error::NoKnownSignature`] if no line is by this key; [`Error::BadSignature`], [`Error::CosignatureTime`]: the
/// line is dropped, and the witness named.
pub fn read_answer(
    body: &[u8],
    witness: &VerifierKey,
    checkpoint: &Checkpoint,
    now: u64,
) -> Result<(NoteSignature, Cosignature), Error> {
    // With the checkpoint's text above them they are a note, with all of its rules and bounds.
    let note = SignedNote::parse(&[checkpoint.to_text().as_bytes(), b"\n", body].concat())?;
    let line = note.signatures().iter().find(|line| line.is_by(witness)).ok_or(Error::NoKnownSignature)?;
    let cosignature = Cosignature::verify(line, witness, checkpoint)?;
    Cosignature::check_time(cosignature.time(), now)?;
    Ok((line.clone(), cosignature))
}

/// Reads the body of a 409 of type [`SIZE_CONTENT_TYPE`]: the size that the witness has. Proves nothing; the next proof is made from it.
///
/// # Errors
/// [`Error::MalformedRequest`] if it is not a decimal and LF.
pub fn read_conflict(body: &[u8]) -> Result<u64, Error> {
    let size = core::str::from_utf8(body).ok().and_then(|text| text.strip_suffix('\n')).and_then(parse_decimal);
    size.ok_or(Error::MalformedRequest)
}

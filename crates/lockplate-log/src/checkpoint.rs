//! C2SP checkpoints: the three lines a log signs. It never writes an extension line and refuses one when read, because witnesses do not agree
//! on them. A signed checkpoint is a log's head, goes to witnesses, and stands at the end of every receipt.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use crate::error::Error;
use crate::limits::TREE_SIZE_END;
use crate::merkle::Hash;
use crate::note::{NoteSigner, Origin, SignedNote, VerifierKey};

/// What a log signs: its origin, its size (below 2^48) and the root over its leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    origin: Origin,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// A checkpoint from its parts.
    ///
    /// # Errors
    /// [`Error::MalformedCheckpoint`] if the size is 2^48 or more, or is 0 with another root than [`Hash::empty`].
    pub fn new(origin: Origin, size: u64, root: Hash) -> Result<Self, Error> {
        if size >= TREE_SIZE_END || (size == 0 && root != Hash::empty()) {
            return Err(Error::MalformedCheckpoint);
        }
        Ok(Self { origin, size, root })
    }

    /// Reads exactly three lines: origin; size, decimal without leading zero or sign; root, 44 characters of base64.
    ///
    /// # Errors
    /// [`Error::MalformedCheckpoint`] on anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = text.strip_suffix('\n').ok_or(Error::MalformedCheckpoint)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(Error::MalformedCheckpoint);
        };
        let origin = Origin::parse(origin).ok().ok_or(Error::MalformedCheckpoint)?;
        let size = parse_decimal(size).ok_or(Error::MalformedCheckpoint)?;
        let root = Hash::from_base64(root).ok().ok_or(Error::MalformedCheckpoint)?;
        Self::new(origin, size, root)
    }

    /// The log.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// The three lines, each ending in LF: what is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }
}

/// Decimal digits without sign or leading zero.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A checkpoint with a verified signature of its own log. Made by signing, or by verifying.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
}

impl SignedCheckpoint {
    /// Signs a checkpoint. Only [`Log`](crate::append::Log) does: whoever signs two inconsistent ones has forked his log.
    pub(crate) fn sign(checkpoint: Checkpoint, signer: &NoteSigner) -> Result<Self, Error> {
        if checkpoint.origin != *signer.verifier_key().name() {
            return Err(Error::ForeignOrigin);
        }
        let text = checkpoint.to_text();
        let note = SignedNote::new(&text, vec![signer.sign(&text)?])?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a signed checkpoint of the log whose key is `log`. Cosignatures are kept and not looked at.
    ///
    /// # Errors
    /// [`Error::MalformedNote`], [`Error::MalformedCheckpoint`]; [`Error::ForeignOrigin`] if it is another log's;
    /// [`Error::NoKnownSignature`], [`Error::BadSignature`] if `log` did not sign it.
    pub fn parse(bytes: &[u8], log: &VerifierKey) -> Result<Self, Error> {
        Self::from_note(SignedNote::parse(bytes)?, log)
    }

    /// As [`SignedCheckpoint::parse`], from a note already read.
    ///
    /// # Errors
    /// As [`SignedCheckpoint::parse`].
    pub fn from_note(note: SignedNote, log: &VerifierKey) -> Result<Self, Error> {
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin() != log.name() {
            return Err(Error::ForeignOrigin);
        }
        // The key's own name is the origin, so its one signature is the log's.
        note.verify(core::slice::from_ref(log))?;
        Ok(Self { checkpoint, note })
    }

    /// The same checkpoint with other lines below the log's own, which the caller has kept.
    pub(crate) fn with_note(self, note: SignedNote) -> Self {
        Self { note, ..self }
    }

    /// What was signed.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, with all its signatures.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The note as it is stored and served.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.note.to_bytes()
    }
}

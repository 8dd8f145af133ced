//! C2SP tlog-proof receipts: one file that shows to anybody, offline, that a leaf is in a log. Whom it takes to believe the checkpoint inside
//! is the reader's trust file. Receipts are served by keepers and lie beside the evidence they are about.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, SignedCheckpoint, parse_decimal};
use crate::error::Error;
use crate::limits::{LEAF_BYTES_MAX, PROOF_HASHES_MAX, RECEIPT_BYTES_MAX, TREE_SIZE_END};
use crate::merkle::{Hash, InclusionProof, leaf_hash};
use crate::note::{SignedNote, VerifierKey};
use crate::policy::{Cosigned, WitnessPolicy};

/// First line of a receipt.
const MAGIC: &str = "c2sp.org/tlog-proof@v1";
/// What begins the line with the leaf.
const EXTRA: &str = "extra ";
/// What begins the line with the index.
const INDEX: &str = "index ";

/// A receipt: the leaf (so that one file is enough; not authenticated before [`Receipt::verify`]), its index, the path to the root, and the
/// signed checkpoint with that root. At most 96 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    leaf: Option<Vec<u8>>,
    index: u64,
    hashes: Vec<Hash>,
    note: SignedNote,
}

impl Receipt {
    /// A receipt for a leaf from its proof and the checkpoint the proof is for.
    ///
    /// # Errors
    /// [`Error::LeafLength`]; [`Error::InvalidProof`] if the proof does not lead from the leaf to the checkpoint's root;
    /// [`Error::MalformedProof`] if it would be over 96 KiB (a leaf near the format's bound; this project's are at most 16 KiB).
    pub fn new(leaf: &[u8], proof: &InclusionProof, checkpoint: &SignedCheckpoint) -> Result<Self, Error> {
        if leaf.is_empty() || leaf.len() > LEAF_BYTES_MAX {
            return Err(Error::LeafLength);
        }
        if proof.size() != checkpoint.checkpoint().size() {
            return Err(Error::InvalidProof);
        }
        proof.verify(leaf_hash(leaf), checkpoint.checkpoint().root())?;
        let receipt = Self {
            leaf: Some(leaf.to_vec()),
            index: proof.index(),
            hashes: proof.hashes().to_vec(),
            note: checkpoint.note().clone(),
        };
        if receipt.to_bytes().len() > RECEIPT_BYTES_MAX { Err(Error::MalformedProof) } else { Ok(receipt) }
    }

    /// Reads a receipt: `c2sp.org/tlog-proof@v1`; optionally `extra ` and the base64 of the leaf; `index ` and a decimal; proof hashes, one a
    /// line; an empty line; the signed checkpoint. Nothing is verified.
    ///
    /// # Errors
    /// [`Error::MalformedProof`] on anything else; [`Error::MalformedNote`], [`Error::MalformedCheckpoint`] for the checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(Error::MalformedProof);
        }
        let text = core::str::from_utf8(bytes).ok().ok_or(Error::MalformedProof)?;
        let (head, note) = text.split_once("\n\n").ok_or(Error::MalformedProof)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(MAGIC) {
            return Err(Error::MalformedProof);
        }
        let leaf = match lines.peek().and_then(|line| line.strip_prefix(EXTRA)) {
            Some(extra) => {
                let leaf = STANDARD.decode(extra).ok().ok_or(Error::MalformedProof)?;
                lines.next();
                Some(leaf)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix(INDEX)).and_then(parse_decimal);
        let index = index.filter(|&index| index < TREE_SIZE_END).ok_or(Error::MalformedProof)?;
        let hashes: Result<Vec<_>, Error> =
            lines.take(PROOF_HASHES_MAX.saturating_add(1)).map(Hash::from_base64).collect();
        let hashes = hashes?;
        if hashes.len() > PROOF_HASHES_MAX {
            return Err(Error::MalformedProof);
        }
        let note = SignedNote::parse(note.as_bytes())?;
        Checkpoint::parse(note.text())?;
        Ok(Self { leaf, index, hashes, note })
    }

    /// The leaf that came along. Hash it (that is what [`Receipt::verify`] does) before believing it.
    #[must_use]
    pub fn leaf(&self) -> Option<&[u8]> {
        self.leaf.as_deref()
    }

    /// The leaf's index.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The checkpoint's note, with cosignatures. Whether they are enough is the reader's policy.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Checks that the log with key `log` signed a checkpoint whose tree has `leaf` at this index, and returns the checkpoint. A leaf that
    /// came along must be this one.
    ///
    /// # Errors
    /// Those of [`SignedCheckpoint::from_note`]; [`Error::InvalidProof`] if the path does not lead from the leaf to the root, or the leaf in
    /// the receipt is another.
    pub fn verify(&self, log: &VerifierKey, leaf: &[u8]) -> Result<SignedCheckpoint, Error> {
        let signed = SignedCheckpoint::from_note(self.note.clone(), log)?;
        self.prove(signed.checkpoint(), leaf)?;
        Ok(signed)
    }

    /// Checks that a log of the trust file signed, and a quorum of it cosigned, a checkpoint whose tree has `leaf` at this index; `now` is in
    /// seconds since 1970. A leaf that came along must be this one. Evidence may be old, so how long ago the quorum cosigned is for the
    /// reader to judge: [`Cosigned::check_age`].
    ///
    /// # Errors
    /// Those of [`WitnessPolicy::check`]; [`Error::InvalidProof`] as in [`Receipt::verify`].
    pub fn check(&self, policy: &WitnessPolicy, leaf: &[u8], now: u64) -> Result<Cosigned, Error> {
        let cosigned = policy.check_note(&self.note, now)?;
        self.prove(cosigned.signed.checkpoint(), leaf)?;
        Ok(cosigned)
    }

    fn prove(&self, checkpoint: &Checkpoint, leaf: &[u8]) -> Result<(), Error> {
        if self.leaf.as_deref().is_some_and(|extra| extra != leaf) {
            return Err(Error::InvalidProof);
        }
        let proof = InclusionProof::from_parts(self.index, checkpoint.size(), self.hashes.clone());
        proof.ok().ok_or(Error::InvalidProof)?.verify(leaf_hash(leaf), checkpoint.root())
    }

    /// The receipt as it is stored and sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{MAGIC}\n");
        if let Some(leaf) = &self.leaf {
            out.push_str(EXTRA);
            out.push_str(&STANDARD.encode(leaf));
            out.push('\n');
        }
        out.push_str(INDEX);
        out.push_str(&self.index.to_string());
        out.push('\n');
        for hash in &self.hashes {
            out.push_str(&hash.to_base64());
            out.push('\n');
        }
        out.push('\n');
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.note.to_bytes());
        out
    }
}

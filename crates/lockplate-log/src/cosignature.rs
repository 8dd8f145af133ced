//! C2SP cosignature/v1: a witness's statement that it saw this checkpoint at this time, consistent with all it saw before. It never decides
//! whether to cosign (that is the witness's record of the last size); it makes and reads the bytes. Cosignatures go below the log's own
//! signature in the published checkpoint.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::limits::COSIGNATURE_AHEAD_SECONDS_MAX;
use crate::note::{NoteSignature, Origin, SignatureType, VerifierKey, verify_ed25519};

/// Times are below 2^63.
const TIME_END: u64 = 1 << 63;

/// What is signed: a header with the time in seconds, then the checkpoint's lines.
fn message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// Verifies the signature field `u64 big-endian time || Ed25519` over a checkpoint's text, and returns the time.
pub(crate) fn verify(key: &VerifyingKey, text: &str, signature: &[u8]) -> Result<u64, Error> {
    let (time, signature) = signature.split_first_chunk::<8>().ok_or(Error::BadSignature)?;
    let time = u64::from_be_bytes(*time);
    if time == 0 || time >= TIME_END {
        return Err(Error::CosignatureTime);
    }
    verify_ed25519(key, message(time, text).as_bytes(), signature)?;
    Ok(time)
}

/// A verified cosignature: whose, and of when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosignature {
    witness: Origin,
    time: u64,
}

impl Cosignature {
    /// Verifies a line that a witness answered, against that witness's key and the checkpoint it was asked about.
    ///
    /// # Errors
    /// [`Error::NoKnownSignature`] if the line is not by this key or the key is not of type 0x04; [`Error::BadSignature`] if it does not
    /// verify; [`Error::CosignatureTime`] if its time is 0 or 2^63 and more.
    pub fn verify(line: &NoteSignature, key: &VerifierKey, checkpoint: &Checkpoint) -> Result<Self, Error> {
        if key.signature_type() != SignatureType::CosignatureV1 || !line.is_by(key) {
            return Err(Error::NoKnownSignature);
        }
        let public = <&[u8; 32]>::try_from(key.public_key()).ok().ok_or(Error::MalformedKey)?;
        let point = VerifyingKey::from_bytes(public).ok().ok_or(Error::MalformedKey)?;
        let time = verify(&point, &checkpoint.to_text(), line.signature())?;
        Ok(Self { witness: key.name().clone(), time })
    }

    /// One that [`SignedNote::verify`](crate::note::SignedNote::verify) has verified.
    pub(crate) const fn verified(witness: Origin, time: u64) -> Self {
        Self { witness, time }
    }

    /// The witness's key name.
    #[must_use]
    pub const fn witness(&self) -> &Origin {
        &self.witness
    }

    /// When it was made, in seconds since 1970.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// Checks a cosignature's time against the reader's clock, both in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::CosignatureTime`] if it is more than 300 s ahead of `now`.
    pub const fn check_time(time: u64, now: u64) -> Result<(), Error> {
        if time > now.saturating_add(COSIGNATURE_AHEAD_SECONDS_MAX) { Err(Error::CosignatureTime) } else { Ok(()) }
    }
}

/// A witness's private key. Its Debug shows the name only; dropping it wipes the key.
pub struct CosignatureSigner {
    verifier: VerifierKey,
    key: SigningKey,
}

impl CosignatureSigner {
    /// A signer from its name (`clerk.millbrook.example/witness`) and its 32-byte Ed25519 seed, which signs nothing else.
    ///
    /// # Errors
    /// [`Error::MalformedKey`] if the seed gives a weak key, which no random one does.
    pub fn new(name: Origin, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, SignatureType::CosignatureV1, key.verifying_key().as_bytes())?;
        Ok(Self { verifier, key })
    }

    /// The public half.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Cosigns a checkpoint at `time`, in seconds since 1970. The caller has checked consistency and **persisted its record first**.
    ///
    /// # Errors
    /// [`Error::CosignatureTime`] if `time` is 0 or 2^63 and more.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> Result<NoteSignature, Error> {
        if time == 0 || time >= TIME_END {
            return Err(Error::CosignatureTime);
        }
        let mut field = time.to_be_bytes().to_vec();
        field.extend_from_slice(&self.key.sign(message(time, &checkpoint.to_text()).as_bytes()).to_bytes());
        NoteSignature::new(self.verifier.name().clone(), self.verifier.id(), &field)
    }
}

impl fmt::Debug for CosignatureSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CosignatureSigner").field("name", self.verifier.name()).finish_non_exhaustive()
    }
}

//! Signed statements: one label a kind of statement, and no way to sign plain bytes. The exact bytes travel with the value
//! and are never re-serialised; a value cannot be reached without naming the key that must have signed it.

use ed25519_dalek::Signer as _;
use lockplate_oprf::Secret;
use rand_core::CryptoRng;

use crate::error::{Error, Result};
use crate::wire::{Reader, Writer, th};

/// A structure that a party signs. Implemented by the wire structures of LPv1 and nothing else.
pub trait Statement: Sized {
    /// Label of the signature's transcript hash.
    const LABEL: &'static str;
    /// Longest encoding in bytes.
    const BYTES_MAX: usize;

    /// The fixed encoding.
    fn encode(&self) -> Vec<u8>;

    /// Reads the fixed encoding; total.
    ///
    /// # Errors
    /// `Malformed` for every byte string that [`Statement::encode`] does not produce.
    fn decode(bytes: &[u8]) -> Result<Self>;

    /// The 32 bytes that Ed25519 signs; LPv1 section 2: `TH(label, bytes)`.
    #[must_use]
    fn signed_hash(bytes: &[u8]) -> [u8; 32] {
        th(Self::LABEL, &[bytes])
    }
}

/// Public half of a party's Ed25519 key; its 32 bytes are the party's key id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyKey(pub [u8; 32]);

impl core::fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "VerifyKey({})", crate::id::b64url(&self.0))
    }
}

/// A party's Ed25519 key.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new key.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(&Secret::random(rng))
    }

    /// From the 32-byte seed of RFC 8032.
    #[must_use]
    pub fn from_seed(seed: &Secret<32>) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed.expose_secret()))
    }

    /// The seed, for a key file.
    #[must_use]
    pub fn to_seed(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn verify_key(&self) -> VerifyKey {
        VerifyKey(self.0.verifying_key().to_bytes())
    }

    /// Signs one statement.
    #[must_use]
    pub fn sign<T: Statement>(&self, value: T) -> Signed<T> {
        let bytes = value.encode();
        let signature = self.0.sign(&T::signed_hash(&bytes)).to_bytes();
        Signed { value, bytes, signature }
    }

    /// A further signature over a statement that another party made: a second person's.
    #[must_use]
    pub fn countersign<T: Statement>(&self, statement: &Signed<T>) -> [u8; 64] {
        self.0.sign(&T::signed_hash(&statement.bytes)).to_bytes()
    }
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// A statement with its exact bytes and one signature. Nothing is proved until [`Signed::verify`] has named the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed<T> {
    value: T,
    bytes: Vec<u8>,
    signature: [u8; 64],
}

impl<T: Statement> Signed<T> {
    /// `lv32(statement) || signature[64]`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Writer::new().lv32(&self.bytes).raw(&self.signature).finish()
    }

    /// Reads what [`Signed::to_bytes`] wrote; the signature is not checked here.
    ///
    /// # Errors
    /// `Malformed` if the frame or the statement is not well-formed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let statement = reader.lv32(T::BYTES_MAX)?;
        let signature = reader.array()?;
        reader.end()?;
        Ok(Self { value: T::decode(statement)?, bytes: statement.to_vec(), signature })
    }

    /// The value, if `key` signed it (`verify_strict`).
    ///
    /// # Errors
    /// `Invalid` if it did not.
    pub fn verify(&self, key: &VerifyKey) -> Result<&T> {
        check_signature::<T>(key, &self.bytes, &self.signature)?;
        Ok(&self.value)
    }

    /// Checks a further signature over the same bytes.
    ///
    /// # Errors
    /// `Invalid` if `key` did not make it.
    pub fn verify_countersignature(&self, key: &VerifyKey, signature: &[u8; 64]) -> Result<()> {
        check_signature::<T>(key, &self.bytes, signature)
    }

    /// The value as its sender claims it, signature unchecked: for finding out which key must have signed.
    #[must_use]
    pub const fn claimed(&self) -> &T {
        &self.value
    }

    /// The exact bytes of the statement.
    #[must_use]
    pub fn statement_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Value, exact bytes and signature, for the container of a person's signature.
    pub(crate) fn into_parts(self) -> (T, Vec<u8>, [u8; 64]) {
        (self.value, self.bytes, self.signature)
    }

    /// The hash that was signed; for most statements also their digest.
    #[must_use]
    pub fn signed_hash(&self) -> [u8; 32] {
        T::signed_hash(&self.bytes)
    }
}

impl<T> core::fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Signed({} bytes)", self.bytes.len())
    }
}

pub(crate) fn check_signature<T: Statement>(key: &VerifyKey, bytes: &[u8], signature: &[u8; 64]) -> Result<()> {
    let refused = Error::invalid("a signature does not belong to the key that must have made it");
    let key = ed25519_dalek::VerifyingKey::from_bytes(&key.0).map_err(|_not_a_point| refused.clone())?;
    key.verify_strict(&T::signed_hash(bytes), &ed25519_dalek::Signature::from_bytes(signature))
        .map_err(|_mismatch| refused)
}

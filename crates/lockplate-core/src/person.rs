//! What one person signs: with a key file or with a passkey, under one key id. A charter and a directory name people's keys by id
//! only, so that both kinds are told apart by nobody but the verifier; the public half of a passkey comes from whoever keeps it.
//!
//! ```text
//! struct { uint8 kind; /* 1 Ed25519, 2 passkey */ opaque key_id[32]; opaque sig<1..2048>; } KeySignature;
//! ByPerson = lv32(bytes) || KeySignature
//! ```
//! Kind 1 signs TH(label, bytes); kind 2 is an assertion whose challenge is TH(label, bytes). The value cannot be reached without
//! naming the key that must have signed it.

use crate::error::{Error, Result};
use crate::passkey::{ASSERTION_BYTES_MAX, Assertion, Passkey};
use crate::sign::{Signed, SigningKey, Statement, VerifyKey};
use crate::wire::{Reader, Writer};

const KIND_ED25519: u8 = 1;
const KIND_PASSKEY: u8 = 2;

/// The public half of a person's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonKey {
    /// A key file.
    File(VerifyKey),
    /// A passkey, with its site.
    Passkey(Box<Passkey>),
}

impl PersonKey {
    /// Its id: the Ed25519 public key itself, or TH("passkey", COSE key). 32 bytes.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        match self {
            Self::File(key) => key.0,
            Self::Passkey(passkey) => passkey.key.id(),
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
enum Proof {
    File([u8; 64]),
    Passkey(Assertion),
}

/// A statement with its exact bytes and one person's signature. Nothing is proved until [`ByPerson::verify`] has named the key.
#[derive(Clone, PartialEq, Eq)]
pub struct ByPerson<T> {
    value: T,
    bytes: Vec<u8>,
    key_id: [u8; 32],
    proof: Proof,
}

impl<T> core::fmt::Debug for ByPerson<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ByPerson({} bytes)", self.bytes.len())
    }
}

impl<T: Statement> ByPerson<T> {
    /// Signs with a key file.
    #[must_use]
    pub fn with_key(key: &SigningKey, value: T) -> Self {
        let signed: Signed<T> = key.sign(value);
        let (value, bytes, signature) = signed.into_parts();
        Self { value, bytes, key_id: key.verify_key().0, proof: Proof::File(signature) }
    }

    /// Joins a statement with the answer of a passkey to [`T::signed_hash`](Statement::signed_hash) of its bytes.
    #[must_use]
    pub fn with_assertion(value: T, key_id: [u8; 32], assertion: Assertion) -> Self {
        let bytes = value.encode();
        Self { value, bytes, key_id, proof: Proof::Passkey(assertion) }
    }

    /// As it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, signature) = match &self.proof {
            Proof::File(signature) => (KIND_ED25519, signature.to_vec()),
            Proof::Passkey(assertion) => (KIND_PASSKEY, assertion.to_bytes()),
        };
        Writer::new().lv32(&self.bytes).u8(kind).raw(&self.key_id).lv16(&signature).finish()
    }

    /// Reads what [`ByPerson::to_bytes`] wrote; the signature is not checked here.
    ///
    /// # Errors
    /// `Malformed` if the frame, the statement or the kind of signature is not well-formed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let statement = r.lv32(T::BYTES_MAX)?;
        let (kind, key_id, signature) = (r.u8()?, r.array()?, r.lv16()?);
        r.end()?;
        let bad = Error::malformed("a person's signature is of no known kind or length");
        let proof = match kind {
            KIND_ED25519 => Proof::File(signature.try_into().map_err(|_length| bad)?),
            KIND_PASSKEY if signature.len() <= ASSERTION_BYTES_MAX => Proof::Passkey(Assertion::from_bytes(signature)?),
            _ => return Err(bad),
        };
        Ok(Self { value: T::decode(statement)?, bytes: statement.to_vec(), key_id, proof })
    }

    /// The value, if `key` signed exactly these bytes.
    ///
    /// # Errors
    /// `Invalid` if it did not, or the container names another key.
    pub fn verify(&self, key: &PersonKey) -> Result<&T> {
        let refused = Error::invalid("a signature does not belong to the key that must have made it");
        if key.id() != self.key_id {
            return Err(refused);
        }
        match (key, &self.proof) {
            (PersonKey::File(key), Proof::File(signature)) => {
                crate::sign::check_signature::<T>(key, &self.bytes, signature)?
            }
            (PersonKey::Passkey(passkey), Proof::Passkey(assertion)) => {
                passkey.verify(&T::signed_hash(&self.bytes), assertion)?;
            }
            (PersonKey::File(_), Proof::Passkey(_)) | (PersonKey::Passkey(_), Proof::File(_)) => return Err(refused),
        }
        Ok(&self.value)
    }

    /// The value as its sender claims it, signature unchecked.
    #[must_use]
    pub const fn claimed(&self) -> &T {
        &self.value
    }

    /// The key id it claims: by it the verifier finds the key.
    #[must_use]
    pub const fn claimed_key(&self) -> &[u8; 32] {
        &self.key_id
    }
}

#[cfg(test)]
mod tests;

//! Scalars and hashing under the public modules: decoding, sampling, and `expand_message_xmd`. Nothing here is public, so that no caller
//! can hash or multiply without going through a named step of the protocol.

use curve25519_dalek::scalar::Scalar;
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::error::Error;

/// Decodes 32 bytes, little-endian, below the group order and not zero.
pub(crate) fn decode_nonzero_scalar(bytes: &[u8]) -> Result<Scalar, Error> {
    let scalar = decode_scalar(bytes)?;
    if scalar == Scalar::ZERO {
        return Err(Error::ZeroScalar);
    }
    Ok(scalar)
}

/// Decodes 32 bytes, little-endian, below the group order.
pub(crate) fn decode_scalar(bytes: &[u8]) -> Result<Scalar, Error> {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(bytes.try_into().map_err(|_error| Error::MalformedScalar)?);
    Option::from(Scalar::from_canonical_bytes(*bytes)).ok_or(Error::MalformedScalar)
}

/// A uniform scalar that is not zero (RFC 9497 §4.7 `RandomScalar`). A generator stuck at zero makes this wait for ever, which is the safe
/// failure: it never hands out a key anybody can guess.
pub(crate) fn random_nonzero_scalar(rng: &mut (impl CryptoRng + ?Sized)) -> Scalar {
    loop {
        let scalar = Scalar::random(rng);
        if scalar != Scalar::ZERO {
            return scalar;
        }
    }
}

/// RFC 9497 §4.1 `HashToScalar` with another domain separation tag: 64 bytes of `expand_message_xmd`, little-endian, modulo the order.
pub(crate) fn hash_to_scalar(message: &[&[u8]], tag: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&expand_message_xmd(message, tag))
}

/// RFC 9380 §5.3.1 `expand_message_xmd` for SHA-512 and an output of 64 bytes, which is exactly one block of output. The message is the
/// concatenation of `message`.
///
/// The tags are constants of this crate of 30 to 45 bytes, well below the 255 after which RFC 9380 wants another rule.
pub(crate) fn expand_message_xmd(message: &[&[u8]], tag: &[u8]) -> [u8; 64] {
    debug_assert!(tag.len() <= 255);
    let tag_length = [u8::try_from(tag.len()).unwrap_or(u8::MAX)];
    let mut first = Sha512::new();
    first.update([0; 128]); // Z_pad: one input block of SHA-512
    for part in message {
        first.update(part);
    }
    first.update([0, 64, 0]); // l_i_b_str: 64 bytes wanted; then I2OSP(0, 1)
    first.update(tag);
    first.update(tag_length);
    let b_0 = first.finalize();
    Sha512::new().chain_update(b_0).chain_update([1]).chain_update(tag).chain_update(tag_length).finalize().into()
}

//! RFC 9497 OPRF(ristretto255, SHA-512) in mode 0x00, unmodified: blind, evaluate, unblind, finalize, and the direct evaluation for
//! whoever holds the key. It must never accept the identity element or a zero scalar, and never branch on a secret. Evaluations made
//! with shares go to [`combine`](crate::sharing::combine); outputs go to the caller's key derivation.

use core::fmt;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::Error;
use crate::group::{decode_nonzero_scalar, expand_message_xmd, hash_to_scalar, random_nonzero_scalar};
use crate::secret::Secret;
use crate::sharing::KeyShare;

/// Longest input in bytes: the length is written as two bytes (RFC 9497 §3.3.1).
pub const INPUT_BYTES_MAX: usize = 65_535;

/// Shares from which on a table of the element pays: making it costs about ten multiplications.
pub const TABLE_SHARES_MIN: usize = 16;

/// Bytes of an encoded [`Element`].
pub const ELEMENT_BYTES: usize = 32;

/// `"HashToGroup-" || contextString` of RFC 9497 §4.1 for mode 0x00.
const HASH_TO_GROUP_TAG: &[u8] = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512";

/// `"DeriveKeyPair" || contextString` of RFC 9497 §3.2.1 for mode 0x00.
const DERIVE_KEY_PAIR_TAG: &[u8] = b"DeriveKeyPairOPRFV1-\x00-ristretto255-SHA512";

/// A ristretto255 element that is not the identity, with its encoding (computed once: transcripts and comparisons need only the bytes).
///
/// Made by the requester (`B`), by keepers (`E_j`), by the dealer (`A_m`). Most elements are public, but `HashToGroup(plate)` and an
/// unblinded element identify their input to anybody who tries all inputs, so `Debug` shows none of them.
#[derive(Clone, Copy)]
pub struct Element {
    point: RistrettoPoint,
    bytes: CompressedRistretto,
}

impl Element {
    /// Decodes 32 bytes (RFC 9496 §4.3.1).
    ///
    /// # Errors
    /// [`Error::MalformedElement`] for another length or a non-canonical encoding, [`Error::IdentityElement`] for the identity.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = CompressedRistretto::from_slice(bytes).map_err(|_error| Error::MalformedElement)?;
        let point = bytes.decompress().ok_or(Error::MalformedElement)?;
        if point.is_identity() {
            return Err(Error::IdentityElement);
        }
        Ok(Self { point, bytes })
    }

    /// The canonical encoding, 32 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ELEMENT_BYTES] {
        self.bytes.to_bytes()
    }

    pub(crate) fn from_point(point: RistrettoPoint) -> Result<Self, Error> {
        if point.is_identity() {
            return Err(Error::IdentityElement);
        }
        Ok(Self::from_nonidentity(point))
    }

    /// For points whose maker has shown them not to be the identity.
    pub(crate) fn from_nonidentity(point: RistrettoPoint) -> Self {
        Self { point, bytes: point.compress() }
    }

    pub(crate) fn point(&self) -> &RistrettoPoint {
        &self.point
    }

    pub(crate) fn as_bytes(&self) -> &[u8; ELEMENT_BYTES] {
        self.bytes.as_bytes()
    }
}

impl PartialEq for Element {
    /// Constant time.
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Element {}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Element(..)")
    }
}

/// The blinding factor `r` of one element of one request: a scalar that is not zero.
///
/// Made by the requester, fresh for every element of every request; shown to keepers and auditors inside an Opening only. Whoever has it
/// and `B` can find the input by trying all.
///
/// ```compile_fail,E0599
/// # use lockplate_oprf::Blind;
/// fn twice(r: &Blind) -> Blind {
///     r.clone()
/// }
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Blind {
    r: Scalar,
    /// Kept because a request unblinds once for every epoch, and an inversion costs half a multiplication.
    inverse: Scalar,
}

impl Blind {
    /// Decodes 32 bytes, little-endian.
    ///
    /// # Errors
    /// [`Error::MalformedScalar`] for another length or a value not below the order, [`Error::ZeroScalar`] for zero, with which `B` would
    /// be the identity whatever the input.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        decode_nonzero_scalar(bytes).map(Self::from_nonzero)
    }

    /// A fresh blinding factor.
    #[must_use]
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_nonzero(random_nonzero_scalar(rng))
    }

    /// The 32 bytes, little-endian, for the Opening.
    #[must_use]
    pub fn to_secret(&self) -> Secret<32> {
        Secret::new(self.r.to_bytes())
    }

    fn from_nonzero(r: Scalar) -> Self {
        Self { r, inverse: r.invert() }
    }

    pub(crate) fn inverse(&self) -> &Scalar {
        &self.inverse
    }
}

impl fmt::Debug for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blind(..)")
    }
}

/// The whole key `k` of one epoch: a scalar that is not zero.
///
/// Lives in the recorder's sealer process while its epoch is open, is dealt by [`split`](crate::sharing::split), and dies with that
/// process. There is no way to write it down: the type has no export and no `Clone`.
///
/// ```compile_fail,E0599
/// # use lockplate_oprf::PrfKey;
/// fn keep(key: &PrfKey) -> lockplate_oprf::Secret<32> {
///     key.to_secret()
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use lockplate_oprf::PrfKey;
/// fn twice(key: &PrfKey) -> PrfKey {
///     key.clone()
/// }
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PrfKey(Scalar);

impl PrfKey {
    /// Decodes 32 bytes, little-endian: for known answers.
    ///
    /// # Errors
    /// [`Error::MalformedScalar`] for another length or a value not below the order, [`Error::ZeroScalar`] for zero.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        decode_nonzero_scalar(bytes).map(Self)
    }

    /// A fresh key.
    #[must_use]
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self(random_nonzero_scalar(rng))
    }

    /// The key of a seed of 32 random bytes, for one use that `info` names (RFC 9497 §3.2.1 `DeriveKeyPair`): for a key that must come
    /// back after a restart, which an epoch's never does.
    ///
    /// # Errors
    /// [`Error::InputTooLong`] if `info` is longer than [`INPUT_BYTES_MAX`]; [`Error::ZeroScalar`] with a probability of 2^-64,000
    /// (RFC 9497 `DeriveKeyPairError`).
    pub fn derive(seed: &Secret<32>, info: &[u8]) -> Result<Self, Error> {
        let length = u16::try_from(info.len()).ok().ok_or(Error::InputTooLong)?.to_be_bytes();
        for counter in 0..=u8::MAX {
            let scalar = hash_to_scalar(&[seed.expose_secret(), &length, info, &[counter]], DERIVE_KEY_PAIR_TAG);
            if scalar != Scalar::ZERO {
                return Ok(Self(scalar));
            }
        }
        Err(Error::ZeroScalar)
    }

    pub(crate) fn scalar(&self) -> &Scalar {
        &self.0
    }
}

impl fmt::Debug for PrfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrfKey(..)")
    }
}

/// RFC 9497 §4.1 `HashToGroup`.
///
/// # Errors
/// [`Error::InputTooLong`] beyond [`INPUT_BYTES_MAX`]; [`Error::IdentityElement`] with probability 2^-252 (RFC 9497 `InvalidInputError`).
pub fn hash_to_group(input: &[u8]) -> Result<Element, Error> {
    Element::from_point(hash_to_point(input)?)
}

/// Requester: `B = r * HashToGroup(input)`, which hides the input perfectly and binds it (RFC 9497 §3.3.1, LPv1 §8).
///
/// A keeper that was shown `(input, r)` recomputes `B` with the same function.
///
/// # Errors
/// As [`hash_to_group`].
pub fn blind(input: &[u8], r: &Blind) -> Result<Element, Error> {
    Element::from_point(hash_to_point(input)? * r.r)
}

/// Keeper `j`: `E_j = s_j * B` (RFC 9497 §3.3.1 with a share for the key).
///
/// # Errors
/// [`Error::IdentityElement`] cannot occur for values of these types in a group of prime order; it is checked, not assumed.
pub fn blind_evaluate(share: &KeyShare, blinded: &Element) -> Result<Element, Error> {
    Element::from_point(blinded.point() * share.scalar())
}

/// [`blind_evaluate`] with many shares at one element: those of one keeper in many epochs. From [`TABLE_SHARES_MIN`] on a table of
/// the element's multiples is made first (30 KiB), and each multiplication then costs a third. Constant time in the shares.
///
/// # Errors
/// As [`blind_evaluate`].
pub fn blind_evaluate_each(shares: &[&KeyShare], blinded: &Element) -> Result<Vec<Element>, Error> {
    if shares.len() < TABLE_SHARES_MIN {
        return shares.iter().map(|share| blind_evaluate(share, blinded)).collect();
    }
    let table = RistrettoBasepointTable::create(blinded.point());
    shares.iter().map(|share| Element::from_point(&table * share.scalar())).collect()
}

/// The same for whoever holds a whole key: `BlindEvaluate` of RFC 9497 §3.3.1.
///
/// # Errors
/// As [`blind_evaluate`].
pub fn evaluate_blinded(key: &PrfKey, blinded: &Element) -> Result<Element, Error> {
    Element::from_point(blinded.point() * key.scalar())
}

/// Requester: removes the blinding factor from the combined evaluation, `N = r^-1 * n`.
///
/// The result identifies the input to whoever tries all inputs under a leaked key: pass it to [`finalize`] and drop it.
///
/// # Errors
/// [`Error::IdentityElement`] cannot occur for values of these types; it is checked, not assumed.
pub fn unblind(n: &Element, r: &Blind) -> Result<Element, Error> {
    Element::from_point(n.point() * r.inverse)
}

/// `SHA-512(lv16(input) || lv16(N) || "Finalize")`, 64 bytes (RFC 9497 §3.3.1).
///
/// No element can be made from an input beyond [`INPUT_BYTES_MAX`], so [`blind`] and [`evaluate`] refuse it first. Should one come here all
/// the same, its length is written as 65,535: what follows the input has a fixed length, so different inputs still hash different bytes.
#[must_use]
pub fn finalize(input: &[u8], unblinded: &Element) -> Secret<64> {
    finalize_bytes(input, unblinded.as_bytes())
}

/// The direct evaluation for whoever holds the key: the same bytes as blind, blind-evaluate, combine, unblind, finalize, in one
/// multiplication (RFC 9497 §3.3.1 `Evaluate`; the recorder's path, LPv1 §6).
///
/// # Errors
/// As [`hash_to_group`].
pub fn evaluate(key: &PrfKey, input: &[u8]) -> Result<Secret<64>, Error> {
    let hashed = hash_to_point(input)?;
    // INVARIANT: the key is not zero and the group has prime order, so only an identity hash can give the identity.
    if hashed.is_identity() {
        return Err(Error::IdentityElement);
    }
    let evaluated = Zeroizing::new(hashed * key.0);
    let bytes = Zeroizing::new(evaluated.compress().to_bytes());
    Ok(finalize_bytes(input, &bytes))
}

fn hash_to_point(input: &[u8]) -> Result<RistrettoPoint, Error> {
    if input.len() > INPUT_BYTES_MAX {
        return Err(Error::InputTooLong);
    }
    Ok(RistrettoPoint::from_uniform_bytes(&expand_message_xmd(&[input], HASH_TO_GROUP_TAG)))
}

fn finalize_bytes(input: &[u8], unblinded: &[u8; ELEMENT_BYTES]) -> Secret<64> {
    let input_length = u16::try_from(input.len()).unwrap_or(u16::MAX);
    Secret::new(
        Sha512::new()
            .chain_update(input_length.to_be_bytes())
            .chain_update(input)
            .chain_update(LV16_ELEMENT)
            .chain_update(unblinded)
            .chain_update(b"Finalize")
            .finalize()
            .into(),
    )
}

/// `lv16` prefix of a 32-byte element.
pub(crate) const LV16_ELEMENT: [u8; 2] = [0, 32];

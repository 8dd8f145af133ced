//! Public-key encryption of LPv1 section 2: HPKE (RFC 9180) base mode with X-Wing (0x647A), HKDF-SHA-256 and AES-256-GCM.
//! Every use has its own info string; callers are the share envelopes, Openings, evaluation answers and evidence holds, and nothing else.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use lockplate_oprf::Secret;
use rand_core::CryptoRng;

use crate::error::{Error, Result};

/// Bytes of an X-Wing public key.
pub const PUBLIC_KEY_BYTES: usize = 1216;
/// Bytes of the encapsulated key at the head of every ciphertext.
pub const ENCAPPED_KEY_BYTES: usize = 1120;
/// Bytes of the AEAD tag at its end.
pub const TAG_BYTES: usize = 16;

/// An X-Wing public key, 1,216 bytes, checked only when used.
#[derive(Clone, PartialEq, Eq)]
pub struct HpkePublicKey(Box<[u8; PUBLIC_KEY_BYTES]>);

impl HpkePublicKey {
    /// From its bytes; `None` if there are not exactly 1,216.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Box::<[u8]>::from(bytes).try_into().ok().map(Self)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.0
    }
}

impl core::fmt::Debug for HpkePublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HpkePublicKey(..)")
    }
}

/// An X-Wing private key: the 32-byte seed.
#[derive(Clone, Debug)]
pub struct HpkeSecretKey(Secret<32>);

impl HpkeSecretKey {
    /// A new key.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// From its seed.
    #[must_use]
    pub const fn from_seed(seed: Secret<32>) -> Self {
        Self(seed)
    }

    /// Its seed, for wrapped storage.
    #[must_use]
    pub const fn seed(&self) -> &Secret<32> {
        &self.0
    }

    /// The public half.
    ///
    /// # Errors
    /// `Internal` if the library refuses a 32-byte seed, which it does not.
    pub fn public_key(&self) -> Result<HpkePublicKey> {
        let public = XWing::sk_to_pk(&self.parse()?).to_bytes();
        HpkePublicKey::from_slice(&public).ok_or(Error::internal("an X-Wing public key has 1216 bytes"))
    }

    fn parse(&self) -> Result<<XWing as hpke::Kem>::PrivateKey> {
        <XWing as hpke::Kem>::PrivateKey::from_bytes(self.0.expose_secret())
            .map_err(|_length| Error::internal("an X-Wing seed has 32 bytes"))
    }
}

/// Encrypts to `to`: encapsulated key (1,120 bytes), ciphertext, tag.
pub(crate) fn encrypt(
    to: &HpkePublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    let key = <XWing as hpke::Kem>::PublicKey::from_bytes(to.as_bytes())
        .map_err(|_invalid| Error::malformed("a public encryption key is not valid"))?;
    let (encapped, ciphertext) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, XWing>(
        &OpModeS::Base,
        &key,
        info,
        plaintext,
        aad,
        rng,
    )
    .map_err(|_failed| Error::internal("HPKE encryption failed"))?;
    Ok([encapped.to_bytes().as_slice(), &ciphertext].concat())
}

/// Decrypts what [`encrypt`] made under the same info and aad.
pub(crate) fn decrypt(secret: &HpkeSecretKey, info: &[u8], aad: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
    let refused = Error::malformed("an encrypted message does not open under this key");
    let (encapped, ciphertext) = bytes.split_at_checked(ENCAPPED_KEY_BYTES).ok_or_else(|| refused.clone())?;
    let encapped = <XWing as hpke::Kem>::EncappedKey::from_bytes(encapped).map_err(|_invalid| refused.clone())?;
    hpke::single_shot_open::<AesGcm256, HkdfSha256, XWing>(
        &OpModeR::Base,
        &secret.parse()?,
        &encapped,
        info,
        ciphertext,
        aad,
    )
    .map_err(|_mismatch| refused)
}

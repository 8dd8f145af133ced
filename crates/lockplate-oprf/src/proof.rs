//! One proof that a keeper used its committed share in every epoch of an answer: many keys over one element (LPv1 §9). It must never
//! reuse a nonce, and never weigh statements by anything the prover can choose after seeing the weights. Verified evaluations go to
//! [`combine`](crate::sharing::combine); a proof that fails names the keeper.

use core::fmt;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::group::{decode_scalar, hash_to_scalar};
use crate::oprf::{ELEMENT_BYTES, Element, LV16_ELEMENT};
use crate::secret::Secret;
use crate::sharing::{KeyShare, ShareIndex};

/// Most statements in one proof: the element-epochs of one request (LPv1 §9).
pub const STATEMENTS_MAX: usize = 20_000;

/// Bytes of an encoded [`Proof`], whatever the number of statements.
pub const PROOF_BYTES: usize = 64;

const WEIGHTS_LABEL: &[u8] = b"LPv1 bdleq weights";
const NONCE_LABEL: &[u8] = b"LPv1 bdleq nonce";
const CHALLENGE_TAG: &[u8] = b"LPv1-BDLEQ-ristretto255-SHA512";

/// What is proved for one epoch `e`: some `s` has `F_e = s G` and `E_e = s B`.
#[derive(Clone, Copy, Debug)]
pub struct KeyStatement<'a> {
    /// Hash of the epoch's header, which ties the statement to its epoch.
    pub header_hash: &'a [u8; 32],
    /// `F_e`, from [`VssCommitment::public_share`](crate::sharing::VssCommitment::public_share).
    pub public_share: &'a Element,
    /// `E_e`, from [`blind_evaluate`](crate::oprf::blind_evaluate).
    pub evaluated: &'a Element,
}

/// A proof for any number of statements: the challenge `c`, then the response `u - c x`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    challenge: Scalar,
    response: Scalar,
}

impl Proof {
    /// Decodes 64 bytes: two scalars, little-endian.
    ///
    /// # Errors
    /// [`Error::MalformedProof`] for another length or a scalar not below the order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let ([challenge, response], []) = bytes.as_chunks::<32>() else {
            return Err(Error::MalformedProof);
        };
        Ok(Self {
            challenge: decode_scalar(challenge).map_err(|_error| Error::MalformedProof)?,
            response: decode_scalar(response).map_err(|_error| Error::MalformedProof)?,
        })
    }

    /// `c || (u - c x)`, 64 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PROOF_BYTES] {
        let mut bytes = [0; PROOF_BYTES];
        let (challenge, response) = bytes.split_at_mut(32);
        challenge.copy_from_slice(self.challenge.as_bytes());
        response.copy_from_slice(self.response.as_bytes());
        bytes
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

/// Keeper `j`: proves that each `E_e` was made from `blinded` with its share of epoch `e`.
///
/// `shares` are keeper `j`'s shares in the order of `statements` (epochs sorted by id). The statements are not checked against the shares:
/// a proof of a false statement comes out, and does not verify.
///
/// # Errors
/// [`Error::StatementCount`] for no statement, more than [`STATEMENTS_MAX`], or another number of shares; [`Error::IndexMismatch`] for a share
/// of another keeper.
pub fn prove(
    grant_digest: &[u8; 32],
    j: ShareIndex,
    blinded: &Element,
    statements: &[KeyStatement<'_>],
    shares: &[&KeyShare],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Proof, Error> {
    let witness = Witness::new(grant_digest, j, blinded, statements, shares)?;
    let nonce = witness.nonce(&Secret::random(rng));
    Ok(witness.prove(&nonce))
}

/// Requester: checks keeper `j`'s proof for all its evaluations of one element.
///
/// # Errors
/// [`Error::StatementCount`] for no statement or more than [`STATEMENTS_MAX`]; [`Error::InvalidProof`] if any evaluation, public share, header
/// hash, their order, the grant, the index or the element differs from what was proved: keeper `j` has answered wrongly.
pub fn verify(
    grant_digest: &[u8; 32],
    j: ShareIndex,
    blinded: &Element,
    statements: &[KeyStatement<'_>],
    proof: &Proof,
) -> Result<(), Error> {
    let seed = weights_seed(grant_digest, j, blinded, statements)?;
    verify_weighted(&weights(&seed, statements.len()), grant_digest, j, blinded, statements, proof)
}

/// Variable time throughout: everything here is known to whoever may verify.
fn verify_weighted(
    weights: &[Scalar],
    grant_digest: &[u8; 32],
    j: ShareIndex,
    blinded: &Element,
    statements: &[KeyStatement<'_>],
    proof: &Proof,
) -> Result<(), Error> {
    let public_sum = RistrettoPoint::vartime_multiscalar_mul(
        weights,
        statements.iter().map(|statement| statement.public_share.point()),
    );
    let evaluated_sum = RistrettoPoint::vartime_multiscalar_mul(
        weights,
        statements.iter().map(|statement| statement.evaluated.point()),
    );
    let t2 = RistrettoPoint::vartime_double_scalar_mul_basepoint(&proof.challenge, &public_sum, &proof.response);
    let t3 =
        RistrettoPoint::vartime_multiscalar_mul([proof.response, proof.challenge], [*blinded.point(), evaluated_sum]);
    if challenge(grant_digest, j, blinded, &public_sum, &evaluated_sum, &t2, &t3) == proof.challenge {
        Ok(())
    } else {
        Err(Error::InvalidProof)
    }
}

/// What the prover knows after weighing: `x = sum d_e s_e`, and with it `M = x G` and `Z = x B`.
///
/// For true statements these are the sums `sum d_e F_e` and `sum d_e E_e` that the verifier forms, at the cost of two multiplications in
/// place of two per epoch. For a false one they are not, and the verifier's own sums expose it.
struct Witness<'a> {
    grant_digest: &'a [u8; 32],
    j: ShareIndex,
    blinded: &'a Element,
    seed: [u8; 64],
    x: Zeroizing<Scalar>,
}

impl<'a> Witness<'a> {
    fn new(
        grant_digest: &'a [u8; 32],
        j: ShareIndex,
        blinded: &'a Element,
        statements: &[KeyStatement<'_>],
        shares: &[&KeyShare],
    ) -> Result<Self, Error> {
        if shares.len() != statements.len() {
            return Err(Error::StatementCount);
        }
        if shares.iter().any(|share| share.index() != j) {
            return Err(Error::IndexMismatch);
        }
        let seed = weights_seed(grant_digest, j, blinded, statements)?;
        let mut x = Zeroizing::new(Scalar::ZERO);
        for (weight, share) in weights(&seed, shares.len()).iter().zip(shares) {
            *x += weight * share.scalar();
        }
        Ok(Self { grant_digest, j, blinded, seed, x })
    }

    /// `u`, hedged: from the secret, the transcript and fresh randomness. A generator that repeats itself still gives another nonce for
    /// another transcript, so it cannot give the share away; a good one makes the nonce independent of everything. The seed already binds
    /// grant, index, element and every statement.
    fn nonce(&self, fresh: &Secret<64>) -> Zeroizing<Scalar> {
        let wide: Zeroizing<[u8; 64]> = Zeroizing::new(
            Sha512::new()
                .chain_update(lv32(NONCE_LABEL))
                .chain_update(NONCE_LABEL)
                .chain_update(self.x.as_bytes())
                .chain_update(self.seed)
                .chain_update(fresh.expose_secret())
                .finalize()
                .into(),
        );
        Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide))
    }

    /// Constant time in the shares and the nonce.
    fn prove(&self, u: &Scalar) -> Proof {
        let challenge = challenge(
            self.grant_digest,
            self.j,
            self.blinded,
            &RistrettoPoint::mul_base(&self.x),
            &(self.blinded.point() * *self.x),
            &RistrettoPoint::mul_base(u),
            &(self.blinded.point() * u),
        );
        Proof { challenge, response: u - challenge * *self.x }
    }
}

/// Binds the weights to everything the prover could vary, so that it must fix all `E_e` before it learns any weight.
fn weights_seed(
    grant_digest: &[u8; 32],
    j: ShareIndex,
    blinded: &Element,
    statements: &[KeyStatement<'_>],
) -> Result<[u8; 64], Error> {
    if statements.is_empty() || statements.len() > STATEMENTS_MAX {
        return Err(Error::StatementCount);
    }
    let count = u32::try_from(statements.len()).map_err(|_error| Error::StatementCount)?;
    let mut seed = Sha512::new()
        .chain_update(lv32(WEIGHTS_LABEL))
        .chain_update(WEIGHTS_LABEL)
        .chain_update(lv32(grant_digest))
        .chain_update(grant_digest)
        .chain_update([j.get()])
        .chain_update(lv32(blinded.as_bytes()))
        .chain_update(blinded.as_bytes())
        .chain_update(count.to_be_bytes());
    for statement in statements {
        seed.update(statement.header_hash);
        seed.update(statement.public_share.as_bytes());
        seed.update(statement.evaluated.as_bytes());
    }
    Ok(seed.finalize().into())
}

/// One weight `d_i` of 128 bits for each statement.
fn weights(seed: &[u8; 64], count: usize) -> Vec<Scalar> {
    let seed = Sha256::new().chain_update(seed);
    (0_u32..)
        .take(count)
        .map(|i| {
            let digest: [u8; 32] = seed.clone().chain_update(i.to_be_bytes()).finalize().into();
            let (low, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
            Scalar::from(u128::from_le_bytes(*low))
        })
        .collect()
}

/// `c = HashToScalar(lv16(grant_digest) || j || lv16(M) || lv16(B) || lv16(Z) || lv16(t2) || lv16(t3))`.
fn challenge(
    grant_digest: &[u8; 32],
    j: ShareIndex,
    blinded: &Element,
    public_sum: &RistrettoPoint,
    evaluated_sum: &RistrettoPoint,
    t2: &RistrettoPoint,
    t3: &RistrettoPoint,
) -> Scalar {
    let bytes = |point: &RistrettoPoint| -> [u8; ELEMENT_BYTES] { point.compress().to_bytes() };
    hash_to_scalar(
        &[
            &LV16_ELEMENT, // a digest has the length of an element
            grant_digest,
            &[j.get()],
            &LV16_ELEMENT,
            &bytes(public_sum),
            &LV16_ELEMENT,
            blinded.as_bytes(),
            &LV16_ELEMENT,
            &bytes(evaluated_sum),
            &LV16_ELEMENT,
            &bytes(t2),
            &LV16_ELEMENT,
            &bytes(t3),
        ],
        CHALLENGE_TAG,
    )
}

/// The length prefix of `lv32(bytes)`; all that is prefixed here is a constant of at most 32 bytes.
fn lv32(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests;

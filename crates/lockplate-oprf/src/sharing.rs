//! Shamir sharing of an epoch's key with a Feldman commitment, uncommitted sharing of its pepper, and the combination of what keepers
//! answer. It must never rebuild a key: keys are combined in the exponent only, and just the pepper comes back as a scalar. Shares go to
//! keepers, the commitment goes into the epoch header, combined elements go to [`unblind`](crate::oprf::unblind).

use core::fmt;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity, VartimeMultiscalarMul as _};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::Error;
use crate::group::{decode_nonzero_scalar, random_nonzero_scalar};
use crate::oprf::{Blind, ELEMENT_BYTES, Element, PrfKey};
use crate::secret::Secret;

/// Most shares a key can have, and the highest share index (LPv1 §3).
pub const SHARES_MAX: u8 = 16;

/// How many of how many keepers: `2 <= t <= n <= 16`. A quorum of one cannot be expressed.
///
/// ```compile_fail,E0451
/// # use lockplate_oprf::Threshold;
/// let alone = Threshold { t: 1, n: 3 };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threshold {
    t: u8,
    n: u8,
}

impl Threshold {
    /// `t` shares of `n` suffice, fewer say nothing.
    ///
    /// # Errors
    /// [`Error::InvalidThreshold`] unless `2 <= t <= n <= 16`.
    pub fn new(t: u8, n: u8) -> Result<Self, Error> {
        if 2 <= t && t <= n && n <= SHARES_MAX { Ok(Self { t, n }) } else { Err(Error::InvalidThreshold) }
    }

    /// Shares needed, `2..=16`.
    #[must_use]
    pub fn t(self) -> u8 {
        self.t
    }

    /// Shares dealt, `t..=16`.
    #[must_use]
    pub fn n(self) -> u8 {
        self.n
    }

    /// The share indices `1..=n`, in order.
    pub fn indices(self) -> impl Iterator<Item = ShareIndex> {
        (1..=self.n).map(ShareIndex)
    }
}

/// The number `j` of a keeper's share, `1..=16`. Zero is not an index: the polynomial at zero is the key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareIndex(u8);

impl ShareIndex {
    /// Checks an index.
    ///
    /// # Errors
    /// [`Error::InvalidIndex`] outside `1..=16`.
    pub fn new(index: u8) -> Result<Self, Error> {
        if (1..=SHARES_MAX).contains(&index) { Ok(Self(index)) } else { Err(Error::InvalidIndex) }
    }

    /// The number, `1..=16`.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    fn all() -> impl Iterator<Item = Self> {
        (1..=SHARES_MAX).map(Self)
    }

    fn scalar(self) -> Scalar {
        Scalar::from(self.0)
    }
}

impl TryFrom<u8> for ShareIndex {
    type Error = Error;

    fn try_from(index: u8) -> Result<Self, Error> {
        Self::new(index)
    }
}

/// Keeper `j`'s share `s_j` of one epoch's key. Not zero.
///
/// Made by [`split`] in the sealer process, sent to keeper `j`, and seen by nobody else. There is no `Clone`, so destroying a share can
/// take it by value and leave none behind.
///
/// ```compile_fail,E0599
/// # use lockplate_oprf::KeyShare;
/// fn keep_a_copy(share: &KeyShare) -> KeyShare {
///     share.clone()
/// }
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct KeyShare {
    #[zeroize(skip)]
    index: ShareIndex,
    s: Scalar,
}

impl KeyShare {
    /// Decodes the 32 bytes of `s_j`, little-endian. Only [`VssCommitment::verify`] tells whether they are the share that was dealt.
    ///
    /// # Errors
    /// [`Error::MalformedScalar`] for another length or a value not below the order, [`Error::ZeroScalar`] for zero: an erased buffer must
    /// not pass for a share.
    pub fn from_bytes(index: ShareIndex, bytes: &[u8]) -> Result<Self, Error> {
        let s = decode_nonzero_scalar(bytes)?;
        Ok(Self { index, s })
    }

    /// Is it the share behind this public one? `s_j G = F_j`.
    ///
    /// # Errors
    /// [`Error::ShareOffCommitment`] if not.
    pub fn verify(&self, public_share: &Element) -> Result<(), Error> {
        match RistrettoPoint::mul_base(&self.s) == *public_share.point() {
            true => Ok(()),
            false => Err(Error::ShareOffCommitment),
        }
    }

    /// [`KeyShare::verify`] of many shares of one keeper, at a third of the cost: under random weights `sum w s G = sum w F`. A share that
    /// is not the one behind its public one passes with a probability of `2^-128`. Constant time in the shares.
    ///
    /// # Errors
    /// [`Error::ShareOffCommitment`] if any is not; which one is not told.
    pub fn verify_all(pairs: &[(&Self, &Element)], rng: &mut (impl CryptoRng + ?Sized)) -> Result<(), Error> {
        let mut sum = Zeroizing::new(Scalar::ZERO);
        let mut weights = Vec::with_capacity(pairs.len());
        for (share, _) in pairs {
            let weight = Scalar::from(rng.next_u64()) + Scalar::from(rng.next_u64()) * Scalar::from(1_u128 << 64);
            *sum += weight * share.s;
            weights.push(weight);
        }
        let public = RistrettoPoint::vartime_multiscalar_mul(weights, pairs.iter().map(|(_, public)| public.point()));
        if RistrettoPoint::mul_base(&sum) == public { Ok(()) } else { Err(Error::ShareOffCommitment) }
    }

    /// Which share this is.
    #[must_use]
    pub fn index(&self) -> ShareIndex {
        self.index
    }

    /// The 32 bytes of `s_j`, little-endian, for wrapping to its keeper and for the keeper's encrypted store.
    #[must_use]
    pub fn to_secret(&self) -> Secret<32> {
        Secret::new(self.s.to_bytes())
    }

    pub(crate) fn scalar(&self) -> &Scalar {
        &self.s
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyShare(..)")
    }
}

/// The Feldman commitment `A_0 .. A_{t-1}` to one key's polynomial. `A_0` is the public key `kG`.
///
/// Made by [`split`]; given to keepers, who check their share against it, and to requesters, who check proofs against it. Never published
/// (LPv1 §5). Its public shares are known not to be the identity: the constructors check all 16 indices.
#[derive(Clone, PartialEq, Eq)]
pub struct VssCommitment(Vec<Element>);

impl VssCommitment {
    /// Decodes `32 * t` bytes: `A_0`, then `A_1`, and so on.
    ///
    /// # Errors
    /// [`Error::MalformedCommitment`] for another length, [`Error::MalformedElement`] for a bad element, [`Error::IdentityElement`] if an
    /// element or any public share is the identity.
    pub fn from_bytes(bytes: &[u8], threshold: Threshold) -> Result<Self, Error> {
        let (elements, rest) = bytes.as_chunks::<ELEMENT_BYTES>();
        if elements.len() != usize::from(threshold.t()) || !rest.is_empty() {
            return Err(Error::MalformedCommitment);
        }
        let commitment = Self(elements.iter().map(|bytes| Element::from_bytes(bytes)).collect::<Result<_, _>>()?);
        if ShareIndex::all().any(|index| commitment.public_share_point(index).is_identity()) {
            return Err(Error::IdentityElement);
        }
        Ok(commitment)
    }

    /// `A_0 || A_1 || ..`, `32 * t` bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(Element::to_bytes).collect()
    }

    /// Keeper: is this the share that was dealt? `s_j G = sum j^m A_m` (LPv1 §5).
    ///
    /// # Errors
    /// [`Error::ShareOffCommitment`] if not. The keeper then signs no receipt.
    pub fn verify(&self, share: &KeyShare) -> Result<(), Error> {
        share.verify(&self.public_share(share.index))
    }

    /// `F_j = sum j^m A_m`, against which keeper `j`'s proofs are checked (LPv1 §9). About 5 µs at `t = 2`.
    #[must_use]
    pub fn public_share(&self, index: ShareIndex) -> Element {
        // INVARIANT: both constructors have refused a commitment with an identity among its public shares.
        Element::from_nonidentity(self.public_share_point(index))
    }

    /// Variable time in public values only.
    fn public_share_point(&self, index: ShareIndex) -> RistrettoPoint {
        self.0
            .iter()
            .rev()
            .fold(RistrettoPoint::identity(), |sum, element| times(&sum, index.0.into()) + element.point())
    }
}

impl fmt::Debug for VssCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VssCommitment({} elements)", self.0.len())
    }
}

/// The pepper scalar `c` of one epoch, shared like the key but without a commitment, so that nothing public depends on it: a copied store
/// stays closed even to somebody who can compute discrete logarithms (LPv1 §5). Not zero.
///
/// ```compile_fail,E0599
/// # use lockplate_oprf::Pepper;
/// fn twice(pepper: &Pepper) -> Pepper {
///     pepper.clone()
/// }
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Pepper(Scalar);

impl Pepper {
    /// Decodes 32 bytes, little-endian.
    ///
    /// # Errors
    /// [`Error::MalformedScalar`] for another length or a value not below the order, [`Error::ZeroScalar`] for zero.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        decode_nonzero_scalar(bytes).map(Self)
    }

    /// A fresh pepper.
    #[must_use]
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self(random_nonzero_scalar(rng))
    }

    /// The 32 bytes of `c`, little-endian, from which the caller derives kappa.
    #[must_use]
    pub fn to_secret(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(..)")
    }
}

/// Keeper `j`'s share `c_j` of one epoch's pepper. Not zero.
///
/// A keeper gives it to a requester with its evaluation. The requester checks it against the hash in the epoch header *before* combining:
/// nothing in this crate can tell a wrong one.
///
/// ```compile_fail,E0599
/// # use lockplate_oprf::PepperShare;
/// fn keep_a_copy(share: &PepperShare) -> PepperShare {
///     share.clone()
/// }
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PepperShare {
    #[zeroize(skip)]
    index: ShareIndex,
    c: Scalar,
}

impl PepperShare {
    /// Decodes the 32 bytes of `c_j`, little-endian.
    ///
    /// # Errors
    /// [`Error::MalformedScalar`] for another length or a value not below the order, [`Error::ZeroScalar`] for zero.
    pub fn from_bytes(index: ShareIndex, bytes: &[u8]) -> Result<Self, Error> {
        let c = decode_nonzero_scalar(bytes)?;
        Ok(Self { index, c })
    }

    /// Which share this is.
    #[must_use]
    pub fn index(&self) -> ShareIndex {
        self.index
    }

    /// The 32 bytes of `c_j`, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Secret<32> {
        Secret::new(self.c.to_bytes())
    }
}

impl fmt::Debug for PepperShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PepperShare(..)")
    }
}

/// Dealer: shares for the indices `1..=n` in order, `s_j = k + sum a_m j^m`, and the commitment to them (LPv1 §5).
///
/// The coefficients are wiped before this returns.
#[must_use]
pub fn split(
    key: &PrfKey,
    threshold: Threshold,
    rng: &mut (impl CryptoRng + ?Sized),
) -> (Vec<KeyShare>, VssCommitment) {
    let polynomial = Polynomial::random(key.scalar(), threshold, rng);
    let shares = threshold.indices().map(|index| KeyShare { index, s: *polynomial.at(index) }).collect();
    (shares, polynomial.commit())
}

/// Dealer: pepper shares for the indices `1..=n` in order, `c_j = c + sum b_m j^m` (LPv1 §5).
///
/// The coefficients are wiped before this returns.
#[must_use]
pub fn split_pepper(pepper: &Pepper, threshold: Threshold, rng: &mut (impl CryptoRng + ?Sized)) -> Vec<PepperShare> {
    let polynomial = Polynomial::random(&pepper.0, threshold, rng);
    threshold.indices().map(|index| PepperShare { index, c: *polynomial.at(index) }).collect()
}

/// Requester: `sum lambda_j E_j` over all given evaluations, which is `k * B` when each is `s_j * B` (LPv1 §10).
///
/// Verify the proofs first: this cannot tell a wrong evaluation from a right one. Any `t` or more evaluations give the same element.
///
/// # Errors
/// [`Error::TooFewShares`] below `t`, [`Error::InvalidIndex`] beyond `n`, [`Error::DuplicateIndex`], and [`Error::IdentityElement`] if the sum
/// is the identity, which right evaluations cannot give.
pub fn combine(evaluations: &[(ShareIndex, Element)], threshold: Threshold) -> Result<Element, Error> {
    let (sum, divisor) = weighted_sum(evaluations, threshold)?;
    Element::from_point(if divisor == Scalar::ONE { sum } else { sum * divisor.invert() })
}

/// Requester: [`combine`], then [`unblind`](crate::oprf::unblind), in one multiplication: once an epoch and element it is most of what a
/// search computes.
///
/// # Errors
/// As [`combine`].
pub fn combine_unblinded(
    evaluations: &[(ShareIndex, Element)],
    threshold: Threshold,
    r: &Blind,
) -> Result<Element, Error> {
    let (sum, divisor) = weighted_sum(evaluations, threshold)?;
    let factor = Zeroizing::new(if divisor == Scalar::ONE { *r.inverse() } else { r.inverse() * divisor.invert() });
    Element::from_point(sum * *factor)
}

/// `sum w_j E_j` and `d`, where `w_j / d` is `lambda_j`. Variable time in the weights, which follow from the indices alone.
fn weighted_sum(
    evaluations: &[(ShareIndex, Element)],
    threshold: Threshold,
) -> Result<(RistrettoPoint, Scalar), Error> {
    let indices: Vec<ShareIndex> = evaluations.iter().map(|(index, _)| *index).collect();
    check_indices(&indices, threshold)?;
    let Weights { weights, divisor } = Weights::at_zero(&indices);
    let terms = weights.iter().zip(evaluations).map(|(weight, (_, element))| {
        let product = times(element.point(), weight.unsigned_abs());
        if weight.is_negative() { -product } else { product }
    });
    Ok((terms.sum(), Scalar::from(divisor)))
}

/// Requester: the pepper `c = sum lambda_j c_j` from `t` or more of its shares, each checked against its hash before (LPv1 §10).
///
/// # Errors
/// As [`combine`], with [`Error::ZeroScalar`] for a sum of zero.
pub fn combine_peppers(shares: &[PepperShare], threshold: Threshold) -> Result<Pepper, Error> {
    let indices: Vec<ShareIndex> = shares.iter().map(|share| share.index).collect();
    check_indices(&indices, threshold)?;
    let Weights { weights, divisor } = Weights::at_zero(&indices);
    let mut sum = Zeroizing::new(Scalar::ZERO);
    for (weight, share) in weights.iter().zip(shares) {
        let term = Scalar::from(weight.unsigned_abs()) * share.c;
        if weight.is_negative() { *sum -= term } else { *sum += term }
    }
    if divisor > 1 {
        *sum *= Scalar::from(divisor).invert();
    }
    if *sum == Scalar::ZERO {
        return Err(Error::ZeroScalar);
    }
    Ok(Pepper(*sum))
}

/// A secret polynomial of degree `t - 1`: coefficient `m` at position `m`, the shared secret at position 0.
struct Polynomial(Zeroizing<Vec<Scalar>>);

impl Polynomial {
    /// Uniform coefficients, drawn again in the case (probability below 2^-247) that one of them, or the value at any index, is zero: those
    /// would be refused by whoever decodes them.
    fn random(secret: &Scalar, threshold: Threshold, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        loop {
            // The capacity is exact, so that no reallocation leaves a copy behind.
            let mut coefficients = Zeroizing::new(Vec::with_capacity(usize::from(threshold.t())));
            coefficients.push(*secret);
            coefficients.extend((1..threshold.t()).map(|_| random_nonzero_scalar(rng)));
            if let Some(polynomial) = Self::new(coefficients) {
                return polynomial;
            }
        }
    }

    fn new(coefficients: Zeroizing<Vec<Scalar>>) -> Option<Self> {
        let polynomial = Self(coefficients);
        let zero_coefficient = polynomial.0.contains(&Scalar::ZERO);
        let zero_share = ShareIndex::all().any(|index| *polynomial.at(index) == Scalar::ZERO);
        (!zero_coefficient && !zero_share).then_some(polynomial)
    }

    /// The value at `index`, by Horner's rule; constant time in the coefficients.
    fn at(&self, index: ShareIndex) -> Zeroizing<Scalar> {
        let x = index.scalar();
        let mut value = Zeroizing::new(Scalar::ZERO);
        for coefficient in self.0.iter().rev() {
            *value = *value * x + coefficient;
        }
        value
    }

    fn commit(&self) -> VssCommitment {
        // INVARIANT: `new` has refused zero coefficients and zero values, so neither `A_m` nor any `F_j` is the identity.
        VssCommitment(
            self.0.iter().map(|coefficient| Element::from_nonidentity(RistrettoPoint::mul_base(coefficient))).collect(),
        )
    }
}

/// At least `t` distinct indices, none beyond `n`; so at most 16.
fn check_indices(indices: &[ShareIndex], threshold: Threshold) -> Result<(), Error> {
    let mut seen = [false; SHARES_MAX as usize + 1];
    for index in indices {
        if index.get() > threshold.n() {
            return Err(Error::InvalidIndex);
        }
        let place = seen.get_mut(usize::from(index.get())).ok_or(Error::InvalidIndex)?;
        if core::mem::replace(place, true) {
            return Err(Error::DuplicateIndex);
        }
    }
    if indices.len() < usize::from(threshold.t()) {
        return Err(Error::TooFewShares);
    }
    Ok(())
}

/// `lambda_j = prod m / (m - j)` over the other indices `m`, in the order of the indices, as whole numbers over one divisor. For two or
/// three keepers they have a digit or two, and a multiplication by them is a few additions.
struct Weights {
    weights: Vec<i128>,
    divisor: u128,
}

impl Weights {
    /// `indices` are distinct, so no factor is zero. Every denominator divides 15!, so the divisor does too and is below 2^41; a numerator
    /// divides 16! and is below 2^45. Nothing overflows.
    fn at_zero(indices: &[ShareIndex]) -> Self {
        let others = |j: ShareIndex| indices.iter().filter(move |m| **m != j).map(|m| i128::from(m.0));
        let fractions: Vec<(i128, i128)> = indices
            .iter()
            .map(|j| {
                let (above, below): (i128, i128) =
                    (others(*j).product(), others(*j).map(|m| m - i128::from(j.0)).product());
                let common = gcd(above.unsigned_abs(), below.unsigned_abs()).cast_signed();
                (above / common, below / common)
            })
            .collect();
        let divisor = fractions.iter().fold(1, |lcm: u128, (_, below)| {
            let below = below.unsigned_abs();
            lcm / gcd(lcm, below) * below
        });
        let weights = fractions.iter().map(|(above, below)| above * (divisor.cast_signed() / below)).collect();
        Self { weights, divisor }
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `factor * point` by double and add: as many doublings as the factor has bits instead of 252.
fn times(point: &RistrettoPoint, factor: u128) -> RistrettoPoint {
    let mut product = RistrettoPoint::identity();
    for bit in (0..u128::BITS - factor.leading_zeros()).rev() {
        product += product;
        if factor >> bit & 1 == 1 {
            product += point;
        }
    }
    product
}

#[cfg(test)]
mod tests;

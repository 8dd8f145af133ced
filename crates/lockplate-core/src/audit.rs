//! What an auditor does (`log.md` section 7): which leaves are audited, the call by which he fetches his sealed Opening, the check
//! of that Opening against the leaf, and his signed review. Nobody can know when he writes a leaf whether it will be looked at:
//! the root that decides is that of a checkpoint cosigned at least a day later.

pub mod replay;

use lockplate_oprf::Element;
use sha2::{Digest as _, Sha256};

use crate::Timestamp;
use crate::authorisation::{Withdrawn, recognised};
use crate::charter::Charter;
use crate::directory::{Trust, TrustEntry, TrustRole};
use crate::entry::RequestLeaf;
use crate::envelope::HpkeSecretKey;
use crate::error::{Error, Result};
use crate::json::json_object;
use crate::limits::ELEMENTS_MAX;
use crate::notice::NoticeValue;
use crate::request::{FiledRequest, Opened, SearchRequest, check_opening};
use crate::salted::{SaltedName, disclosure_of};
use crate::signed::{SignedObject, signed_kind};

/// Seconds after a leaf from which on a checkpoint's root may decide whether it is audited.
pub const SAMPLE_AFTER_SECONDS: u64 = 24 * 3_600;
/// An auditor's call is valid for at most an hour: who finds an old one fetches nothing.
pub const CALL_SECONDS_MAX: u64 = 3_600;

/// Whether leaf `index` is audited: SHA-256(root || uint64 index), read as an integer, is below `percent` hundredths of 2^256.
/// `root` is that of the first checkpoint cosigned [`SAMPLE_AFTER_SECONDS`] after the leaf.
#[must_use]
pub fn is_sampled(root: &[u8; 32], index: u64, percent: u8) -> bool {
    let draw = Sha256::new().chain_update(root).chain_update(index.to_be_bytes()).finalize();
    // floor(100 * draw / 2^256) is the carry out of a multiplication by 100, byte by byte from the right.
    let carry = draw.iter().rev().fold(0_u32, |carry, byte| {
        u32::from(*byte).saturating_mul(100).saturating_add(carry).checked_shr(8).unwrap_or(0)
    });
    carry < u32::from(percent)
}

/// How the leaf's `escrow` and the `review` leaf name an auditor.
#[must_use]
pub fn auditor_digest(opening_key: &[u8]) -> [u8; 32] {
    Sha256::digest(opening_key).into()
}

json_object! {
    /// Fields of an auditor's call for his sealed Opening of one leaf.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AuditorCallBody {
        /// Origin of the log.
        log: String,
        /// Index of the `request` leaf.
        index: u64,
        /// The auditor, by the digest of his opening key.
        auditor: [u8; 32],
        /// Blinded elements to be evaluated under the keeper's notice key, so that he can check the tags; may be empty.
        elements: Vec<[u8; 32]>,
        /// Valid until (exclusive), at most an hour after it was issued.
        until: Timestamp,
    }
    /// Fields of a review.
    #[derive(Clone, Debug, PartialEq, Eq)]
    ReviewBody {
        /// Origin of the log.
        log: String,
        /// The auditor, by the digest of his opening key.
        auditor: [u8; 32],
        /// First index.
        from: u64,
        /// Index after the last.
        to: u64,
        /// Openings looked at.
        sampled: u64,
        /// Of them, openings that do not say what their leaf says.
        failed: u64,
    }
}

signed_kind! {
    /// An auditor's call, signed by him.
    AuditorCall(AuditorCallBody) = "auditor-call"
    /// An auditor's review of a range of leaves, signed by him.
    Review(ReviewBody) = "review"
}

/// A call that a keeper may answer. Only [`verify_call`] makes one.
#[derive(Debug)]
pub struct VerifiedCall {
    /// Index of the leaf.
    pub index: u64,
    /// Which auditor's Opening, by the digest of his opening key.
    pub auditor: [u8; 32],
    /// What to evaluate under the notice key.
    pub elements: Vec<Element>,
}

/// Whether one of `signers` is the auditor of the charter that `digest` names: trust list and charter are linked by his name.
fn is_auditor(charter: &Charter, signers: &[&TrustEntry], digest: &[u8; 32]) -> bool {
    let entry = charter.auditors.iter().find(|auditor| auditor_digest(&auditor.opening_key) == *digest);
    entry.is_some_and(|auditor| {
        signers.iter().any(|signer| signer.role == TrustRole::Auditor && signer.name == auditor.name)
    })
}

/// Checks a call for an Opening at the log `origin`.
///
/// # Errors
/// `Malformed` if it is no call; `Invalid` if signature, auditor, log, time or an element does not hold.
pub fn verify_call(
    object: &SignedObject,
    charter: &Charter,
    origin: &str,
    trust: &Trust,
    withdrawn: &Withdrawn,
    now: Timestamp,
) -> Result<VerifiedCall> {
    let call: AuditorCall = object.read()?;
    let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
    let signers = recognised(object, &call.header, trust, withdrawn, now);
    let body = call.body;
    rule(is_auditor(charter, &signers, &body.auditor), "the call is not signed by the auditor whom it names")?;
    rule(body.log == origin, "the call is for another log")?;
    let length = body.until.0.saturating_sub(call.header.issued.0);
    rule(now < body.until && length <= CALL_SECONDS_MAX, "the call is not in force, or for too long")?;
    rule(body.elements.len() <= ELEMENTS_MAX, "the call has too many elements")?;
    let elements = body.elements.iter().map(|bytes| Ok(Element::from_bytes(bytes)?)).collect::<Result<Vec<_>>>()?;
    Ok(VerifiedCall { index: body.index, auditor: body.auditor, elements })
}

/// Checks a review of the log `origin`, of which `size` leaves are known.
///
/// # Errors
/// `Malformed` if it is no review; `Invalid` if signature, auditor, log or a number does not hold.
pub fn verify_review(
    object: &SignedObject,
    charter: &Charter,
    log: (&str, u64),
    trust: &Trust,
    withdrawn: &Withdrawn,
    now: Timestamp,
) -> Result<ReviewBody> {
    let review: Review = object.read()?;
    let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
    let signers = recognised(object, &review.header, trust, withdrawn, now);
    let body = review.body;
    let (origin, size) = log;
    rule(is_auditor(charter, &signers, &body.auditor), "the review is not signed by the auditor whom it names")?;
    rule(body.log == origin, "the review is of another log")?;
    rule(body.from < body.to && body.to <= size, "the review is of leaves that are not there")?;
    let adds_up = body.failed <= body.sampled && body.sampled <= body.to.saturating_sub(body.from);
    rule(adds_up, "the review's numbers do not add up")?;
    Ok(body)
}

/// Why an Opening does not say what its leaf says. Each is a lie of whoever filed the request, but [`Notice`](Self::Notice), which
/// is the keeper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscrowFault {
    /// The leaf names no Opening of this auditor, or another one.
    Escrow,
    /// The request shown is not the leaf's, or its signatures do not hold.
    Request,
    /// The Opening does not open, or an element is not the blinding of what it says.
    Opening,
    /// A field is not the one that the leaf commits to.
    Salted(SaltedName),
    /// The tags are not those of the plate.
    Notice,
}

impl core::fmt::Display for EscrowFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Escrow => f.write_str("the leaf names another opening of this auditor, or none"),
            Self::Request => f.write_str("the request shown is not the leaf's"),
            Self::Opening => f.write_str("the opening does not open, or does not say what the request binds"),
            Self::Salted(name) => write!(f, "the leaf commits to another {}", name.name()),
            Self::Notice => f.write_str("the leaf's tags are not those of the plate"),
        }
    }
}

impl core::error::Error for EscrowFault {}

/// A leaf as an auditor has it in hand: the leaf proved under a checkpoint, the request and his sealed Opening from a keeper.
#[derive(Debug)]
pub struct Audited<'a> {
    /// The leaf.
    pub leaf: &'a RequestLeaf,
    /// Its nonce.
    pub nonce: [u8; 16],
    /// The request with its signatures.
    pub filed: FiledRequest,
    /// SHA-256 of every recipient's Opening, keepers in charter order, then auditors.
    pub hashes: Vec<[u8; 32]>,
    /// His sealed Opening.
    pub opening: &'a [u8],
}

/// Opens and checks one leaf: the Opening is the leaf's, the request is the leaf's, every B is r * H(input), and every field but
/// the tags is the one that the leaf commits to.
///
/// # Errors
/// The first [`EscrowFault`]; `Request` also if the charter has no auditor of this key.
pub fn check_escrow(
    charter: &Charter,
    secret: &HpkeSecretKey,
    audited: Audited<'_>,
) -> core::result::Result<Opened<SearchRequest>, EscrowFault> {
    let Audited { leaf, filed, hashes, opening, .. } = audited;
    let own = secret.public_key().ok().ok_or(EscrowFault::Escrow)?;
    let place = charter.auditors.iter().position(|auditor| auditor.opening_key == *own.as_bytes());
    let position = place.ok_or(EscrowFault::Escrow)?.saturating_add(charter.keepers.len());
    let named = leaf.escrow.iter().find(|escrow| escrow.auditor == auditor_digest(own.as_bytes()));
    if named.map(|escrow| escrow.opening) != Some(Sha256::digest(opening).into()) {
        return Err(EscrowFault::Escrow);
    }
    if filed.request.signed_hash() != leaf.request || filed.verify().is_err() {
        return Err(EscrowFault::Request);
    }
    let opened = check_opening(filed, opening, hashes, position, secret).ok().ok_or(EscrowFault::Opening)?;
    for name in SaltedName::ALL.iter().filter(|name| **name != SaltedName::Notice) {
        let digest = disclosure_of(&opened, *name, &[]).map(|one| one.digest());
        if !digest.is_ok_and(|digest| leaf.sd.contains(&digest)) {
            return Err(EscrowFault::Salted(*name));
        }
    }
    Ok(opened)
}

/// Checks the tags of a leaf with the plate's values at the keeper, which the auditor had evaluated blindly: a keeper that lied in
/// the leaf would have to know which blinded element this is.
///
/// # Errors
/// [`EscrowFault::Notice`].
pub fn check_notice(
    opened: &Opened<SearchRequest>,
    values: &[NoticeValue],
    leaf: &RequestLeaf,
    nonce: &[u8; 16],
) -> core::result::Result<(), EscrowFault> {
    let tags: Result<Vec<_>> = values.iter().map(|value| value.tag(nonce)).collect();
    let mut tags = tags.ok().ok_or(EscrowFault::Notice)?;
    tags.sort_unstable();
    let digest = disclosure_of(opened, SaltedName::Notice, &tags).map(|one| one.digest());
    if digest.is_ok_and(|digest| leaf.sd.contains(&digest)) { Ok(()) } else { Err(EscrowFault::Notice) }
}

#[cfg(test)]
mod tests;

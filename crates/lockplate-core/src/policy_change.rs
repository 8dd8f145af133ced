//! Changes of the policy (`law.md` section 7). Policy signers sign which bundle follows which. How much that takes is not for them to say:
//! what a keeper sees to be narrower needs one of them and no wait; anything else needs the charter's quorum, says in public what it newly
//! allows, and waits for the public's notice.

use crate::Timestamp;
use crate::charter::Charter;
use crate::directory::{CLOCK_SKEW_SECONDS_MAX, issued_by};
use crate::entry::PolicyRelation;
use crate::error::{Error, Result};
use crate::id::AgencyId;
use crate::json::json_object;
use crate::signed::{SignedObject, signed_kind};

/// Public notice of a change that is not seen to be narrower, seconds.
pub const NOTICE_SECONDS: u64 = 14 * 86_400;
/// A change takes effect at most a year after it is filed.
const AHEAD_SECONDS_MAX: u64 = 366 * 86_400;
const MINUTE: u64 = 60;

json_object! {
    /// Fields of a policy change.
    #[derive(Clone, Debug, PartialEq, Eq)]
    PolicyChangeBody {
        /// The owner whose keepers follow it.
        owner: AgencyId,
        /// Digest of the bundle that is in force now.
        old: [u8; 32],
        /// Digest of the bundle that follows; equal to `old` to cancel a change that waits.
        new: [u8; 32],
        /// Not before then.
        effective: Timestamp,
        /// SHA-256 of the published text that says what becomes allowed; none for a change that is narrower.
        allows: Option<[u8; 32]>,
    }
}

signed_kind! {
    /// A policy change, signed by policy signers.
    PolicyChange(PolicyChangeBody) = "policy-change"
}

/// A change that may be logged. Only [`verify_policy_change`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The bundle that follows.
    pub new: [u8; 32],
    /// How it relates to the one in force.
    pub relation: PolicyRelation,
    /// Policy signers that signed.
    pub signers: u64,
    /// From then on.
    pub effective: Timestamp,
    /// SHA-256 of what becomes allowed, for a looser one.
    pub allows: Option<[u8; 32]>,
}

/// The signed change as it is, before the bundle is looked at.
///
/// # Errors
/// `Malformed` if it is no policy change.
pub fn read_policy_change(object: &SignedObject) -> Result<PolicyChangeBody> {
    Ok(object.read::<PolicyChange>()?.body)
}

/// Checks a change against the bundle in force. `relation` is what the keeper itself sees between the two bundles; `Looser` is whatever it
/// does not see to be equal or narrower.
///
/// # Errors
/// `Malformed` if it is no policy change; `Invalid` if it is another owner's, follows another bundle, or has too few signers or too short
/// a notice for its relation.
pub fn verify_policy_change(
    object: &SignedObject,
    charter: &Charter,
    in_force: &[u8; 32],
    relation: PolicyRelation,
    now: Timestamp,
) -> Result<Accepted> {
    let change: PolicyChange = object.read()?;
    let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
    let good = object.verify(&charter.policy_signers)?;
    issued_by(&change.header, &good)?;
    let (body, issued) = (change.body, change.header.issued);
    rule(issued.0 <= now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX), "the policy change is of the future")?;
    rule(body.owner == charter.owner.id, "the policy change is another owner's")?;
    rule(body.old == *in_force, "the policy change follows another policy than the one in force")?;
    // The next full minute, so that keepers told within a minute of each other change together.
    let at_once = now.0.saturating_div(MINUTE).saturating_add(1).saturating_mul(MINUTE);
    let earliest = match relation {
        PolicyRelation::Equal | PolicyRelation::Narrower => at_once,
        PolicyRelation::Looser => {
            rule(good.len() >= usize::from(charter.policy_quorum), "the policy change has too few signers")?;
            rule(body.allows.is_some(), "a looser policy says in public what becomes allowed")?;
            let notice = now.0.saturating_add(NOTICE_SECONDS);
            rule(body.effective.0 >= notice, "a looser policy takes effect 14 days after it is filed, or later")?;
            notice
        }
    };
    rule(body.effective.0 <= now.0.saturating_add(AHEAD_SECONDS_MAX), "the policy change is too far ahead")?;
    Ok(Accepted {
        new: body.new,
        relation,
        signers: u64::try_from(good.len()).unwrap_or(u64::MAX),
        effective: Timestamp(body.effective.0.max(earliest)),
        allows: body.allows,
    })
}

#[cfg(test)]
mod tests;

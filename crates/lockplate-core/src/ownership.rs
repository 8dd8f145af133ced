//! The registered owner's access to the reads of the own vehicle (Connecticut Public Act 26-14; not legal advice). The owner
//! agency's records custodian checks identity and registration at the counter and signs an `ownership`; its officer files a
//! request for exactly that plate with the purpose `ownRecord`, and keepers decide it by rule. The two facts of the policy come
//! from the signed object and from nothing else.

use crate::Timestamp;
use crate::authorisation::{Withdrawn, names_plate, recognised};
use crate::directory::{Trust, TrustRole};
use crate::disclosure::Disclosure;
use crate::id::AgencyId;
use crate::json::json_object;
use crate::signed::{SignedObject, signed_kind};
use crate::statement::PlateName;

/// A proof of registration is valid for at most 30 days.
pub const OWNERSHIP_SECONDS_MAX: u64 = 30 * 86_400;

json_object! {
    /// Fields of a proof of registration. Person and plates are named by salted digests.
    #[derive(Clone, Debug, PartialEq, Eq)]
    OwnershipBody {
        /// The owner of the archive.
        owner: AgencyId,
        /// Salted digest of the person.
        person: [u8; 32],
        /// Salted digests of the plates.
        plates: Vec<[u8; 32]>,
        /// The person is the registered owner, and showed who he is.
        registered: bool,
        /// Every co-registrant consented, or there is none.
        co_registrants_consent: bool,
        /// Valid until (exclusive), at most 30 days after it was issued.
        until: Timestamp,
    }
}

signed_kind! {
    /// A proof of registration, signed by the owner's records custodian.
    Ownership(OwnershipBody) = "ownership"
}

/// The two facts of owner access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnershipFacts {
    /// Whoever asks is the registered owner of the plate asked.
    pub registered_owner: bool,
    /// Every co-registrant consented.
    pub co_registrants_consent: bool,
}

impl OwnershipFacts {
    /// No proof, or one that does not hold.
    pub const NONE: Self = Self { registered_owner: false, co_registrants_consent: false };
}

/// The facts of a proof of registration for the plate asked: signed by a records custodian of this owner, in force, not withdrawn,
/// and a disclosure that came along opens one of its plates to exactly this one. A proof that does not hold is none.
#[must_use]
pub fn judge_ownership(
    object: &SignedObject,
    owner: AgencyId,
    plate: &PlateName,
    disclosures: &[Disclosure],
    trust: &Trust,
    withdrawn: &Withdrawn,
    now: Timestamp,
) -> OwnershipFacts {
    let Ok(Ownership { header, body }) = object.read::<Ownership>() else { return OwnershipFacts::NONE };
    let by_custodian = recognised(object, &header, trust, withdrawn, now)
        .iter()
        .any(|entry| entry.role == TrustRole::Custodian && entry.agency == Some(owner.0));
    let in_force = now < body.until && body.until.0.saturating_sub(header.issued.0) <= OWNERSHIP_SECONDS_MAX;
    let holds = by_custodian
        && in_force
        && body.owner == owner
        && !withdrawn.covers(&object.digest(), &header.issuer, "")
        && names_plate(&body.plates, plate, disclosures);
    if holds {
        OwnershipFacts { registered_owner: body.registered, co_registrants_consent: body.co_registrants_consent }
    } else {
        OwnershipFacts::NONE
    }
}

#[cfg(test)]
mod tests;

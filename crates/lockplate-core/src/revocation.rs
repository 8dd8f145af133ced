//! Revocations (`authorisation.md` sections 2 and 7): a paper, a declaration or a key that no longer counts. Whoever made it takes it back,
//! and the owner's policy signers can; a revocation only ever takes away, so for a key one of them is enough.

use std::collections::BTreeSet;

use lockplate_log::note::VerifierKey;

use crate::Timestamp;
use crate::authorisation::WithdrawnBy;
use crate::charter::Charter;
use crate::directory::{CLOCK_SKEW_SECONDS_MAX, Trust, TrustEntry, TrustRole, issued_by};
use crate::error::{Error, Result};
use crate::json::{json_names, json_object};
use crate::signed::{SignedObject, signed_kind};

json_names! {
    /// Why it is revoked.
    RevocationReason {
        /// The key may be in other hands.
        Compromised = "compromised",
        /// It was made by mistake.
        Mistake = "mistake",
        /// What it was for is over.
        Ended = "ended",
        /// Another took its place.
        Superseded = "superseded",
        /// Another reason.
        Other = "other",
    }
}

json_object! {
    /// Fields of a revocation: of an object or of a key, never of both.
    #[derive(Clone, Debug, PartialEq, Eq)]
    RevocationBody {
        /// Digest of the object; none for a key.
        object: Option<[u8; 32]>,
        /// The key; none for an object.
        key: Option<VerifierKey>,
        /// Why.
        reason: RevocationReason,
        /// From then on, for a key; objects are withdrawn when it is filed.
        from: Timestamp,
    }
}

signed_kind! {
    /// A revocation.
    Revocation(RevocationBody) = "revocation"
}

/// What a good revocation takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// An object.
    Object {
        /// Its digest.
        digest: [u8; 32],
        /// Who says so.
        by: WithdrawnBy,
    },
    /// A key of the trust list.
    Key {
        /// The key.
        key: VerifierKey,
        /// From then on.
        from: Timestamp,
    },
}

/// Checks a revocation. A key of the trust list, or of the list that waits (`pending`), is revoked by one policy signer or by itself; an
/// object by enough policy signers, or by a key of the trust list that may issue objects, which counts if the object turns out to be its
/// own.
///
/// # Errors
/// `Malformed` if it is no revocation; `Invalid` if it names both or neither, a key that is not on the list, or is not so signed.
pub fn verify_revocation(
    object: &SignedObject,
    charter: &Charter,
    trust: &Trust,
    pending: &[TrustEntry],
    now: Timestamp,
) -> Result<Revoked> {
    let revocation: Revocation = object.read()?;
    let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
    // One of the two lists is enough; a passkey of the trust list counts as its key file would.
    let known: Vec<TrustEntry> = trust.entries().iter().chain(pending).cloned().collect();
    let (by_signers, by_list) = (object.verify(&charter.policy_signers), object.verify_entries(&known));
    let mut good = by_signers.unwrap_or_default();
    good.extend(by_list.unwrap_or_default().iter().map(|entry| &entry.vkey));
    issued_by(&revocation.header, &good)?;
    let issued = revocation.header.issued;
    rule(issued.0 <= now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX), "the revocation is of the future")?;
    let signers: BTreeSet<_> =
        good.iter().filter(|key| charter.policy_signers.contains(key)).map(|key| key.id()).collect();
    let signers = signers.len();
    let issuer = &revocation.header.issuer;
    match (revocation.body.object, revocation.body.key) {
        (Some(digest), None) => {
            let by_signers = signers >= usize::from(charter.policy_quorum);
            // A key that was revoked since may still take back what it signed: that never gives anybody anything.
            let issues = |entry: &TrustEntry| match entry.role {
                TrustRole::Judge | TrustRole::Clerk | TrustRole::Custodian | TrustRole::Agency => true,
                TrustRole::Supervisor | TrustRole::Auditor | TrustRole::Steward => false,
            };
            let issuers = trust.entries().iter().filter(|entry| good.contains(&&entry.vkey));
            rule(by_signers || issuers.into_iter().any(issues), "this key issues nothing that it could take back")?;
            let by = if by_signers { WithdrawnBy::Signers } else { WithdrawnBy::Issuer(issuer.clone()) };
            Ok(Revoked::Object { digest, by })
        }
        (None, Some(key)) => {
            rule(known.iter().any(|entry| entry.vkey == key), "the key is not on the trust list")?;
            rule(signers >= 1 || good.contains(&&key), "a key is revoked by a policy signer or by itself")?;
            Ok(Revoked::Key { key, from: revocation.body.from })
        }
        (Some(_), Some(_)) | (None, None) => Err(Error::invalid("a revocation names an object or a key")),
    }
}

#[cfg(test)]
mod tests;

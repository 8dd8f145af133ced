//! Who signed for a list or a load: signatures are verified and people found in their agency's directory. What they may do is the
//! policy's business.

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::authorisation::{Withdrawn, agency_keys};
use lockplate_core::charter::Charter;
use lockplate_core::directory::{Trust, VerifiedDirectory};
use lockplate_core::facts::{AgencyFacts, OfficerFacts};
use lockplate_core::person::{ByPerson, PersonKey};
use lockplate_core::sign::{Statement, VerifyKey};
use lockplate_core::signed::SignedObject;
use lockplate_core::vocabulary::Role;

use super::law::Acted;

/// An agency and its people, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) directory: VerifiedDirectory,
    pub(super) agency: AgencyFacts,
}

impl Party {
    /// The recorder's own agency.
    pub(super) fn own(directory: VerifiedDirectory) -> Self {
        let agency = directory.agency_facts(BTreeSet::new(), 0);
        Self { directory, agency }
    }

    /// Another agency of the charter, by a directory that it signed.
    pub(super) fn other(charter: &Charter, object: &[u8], now: Timestamp) -> Option<Self> {
        let object = SignedObject::parse(object).ok()?;
        let trust = Trust::founding(charter.owner.id, &charter.trust);
        charter.agencies.iter().find_map(|page| {
            let keys = agency_keys(&trust, &Withdrawn::default(), page.id, now);
            let directory = VerifiedDirectory::verify(&object, page, &keys, None, now).ok()?;
            let agency = directory.agency_facts(BTreeSet::new(), 0);
            Some(Self { directory, agency })
        })
    }

    /// The key of the agency's desk.
    pub(super) fn desk_key(&self) -> Option<VerifyKey> {
        self.directory.body().desk_key.public_key().try_into().ok().map(VerifyKey)
    }

    /// Whoever signed, as the policy sees them; none unless the signature is an officer's of this agency.
    pub(super) fn signer<T: Statement>(&self, signed: &ByPerson<T>) -> Option<(OfficerFacts, BTreeSet<Role>)> {
        let key = *signed.claimed_key();
        signed.verify(&PersonKey::File(VerifyKey(key))).ok()?;
        self.officer(&key)
    }

    /// An officer by key, as the policy sees them.
    pub(super) fn officer(&self, key: &[u8; 32]) -> Option<(OfficerFacts, BTreeSet<Role>)> {
        let facts = self.directory.officer_facts(key, self.agency.clone())?;
        Some((facts, self.directory.roles(key).cloned().unwrap_or_default()))
    }

    /// Whether somebody counts as a second person beside another: not the same under a second key, and in service now.
    pub(super) fn is_second(&self, first: &[u8; 32], second: &[u8; 32], now: Timestamp) -> bool {
        self.directory.are_two_persons(first, second) && self.directory.is_in_service(second, now)
    }

    /// What the first of these people does with the others as second persons: each another person than the first.
    pub(super) fn acted(
        &self,
        officer: OfficerFacts,
        seconds: Vec<(OfficerFacts, BTreeSet<Role>)>,
        mfa: bool,
        now: Timestamp,
    ) -> Acted {
        let first = officer.key_id;
        let approvers = seconds.into_iter().filter(|(second, _)| self.is_second(&first, &second.key_id, now)).collect();
        Acted { officer, approvers, on_behalf_of: self.agency.clone(), judicial: false, mfa, now }
    }
}

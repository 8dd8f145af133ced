//! Leaves of what happens after a decision: papers that are due, evidence that is held, embargoes, openings published and erased,
//! audits. Ranges of indices are [from, to).

use std::collections::BTreeSet;

use crate::Timestamp;
use crate::disclosure::SD_OTHER;
use crate::error::{Error, Result};
use crate::json::{json_names, json_object};
use crate::salted::SaltedName;

use super::SaltedDigests;

json_names! {
    /// How it stands with the paper of an emergency.
    PaperStatus {
        /// It must be filed.
        Due = "due",
        /// It was filed.
        Filed = "filed",
        /// It was not filed in time.
        Overdue = "overdue",
    }
}

json_object! {
    /// The paper of an emergency is due, filed, or overdue.
    #[derive(Clone, Debug, PartialEq, Eq)]
    PaperLeaf {
        /// `request_digest`.
        request: [u8; 32],
        /// How it stands.
        status: PaperStatus,
        /// When it must be filed.
        deadline: Timestamp,
        /// Digest of the paper filed; none before.
        authorisation: Option<[u8; 32]>,
    }
    /// Cells that a search found are kept as evidence.
    #[derive(Clone, Debug, PartialEq, Eq)]
    HoldLeaf {
        /// `request_digest`.
        request: [u8; 32],
        /// `grant_digest`.
        grant: [u8; 32],
        /// Cells kept.
        cells: u64,
        /// Until when.
        until: Timestamp,
        /// Salted digests of case and supervisor.
        sd: SaltedDigests<SD_OTHER> as "_sd",
    }
    /// A court delays the end of an embargo; precedes the effect.
    #[derive(Clone, Debug, PartialEq, Eq)]
    EmbargoLeaf {
        /// Index of the `request` leaf in this log.
        request_index: u64,
        /// Until when; later than every time said before.
        until: Timestamp,
        /// Digest of the court's `delay-notice`.
        authorisation: [u8; 32],
    }
    /// From now on the disclosures of these fields are served.
    #[derive(Clone, Debug, PartialEq, Eq)]
    OpeningPublished {
        /// Index of the `request` leaf in this log.
        index: u64,
        /// Names of the fields.
        names: BTreeSet<SaltedName>,
    }
    /// The openings of a range of leaves are destroyed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    OpeningsErased {
        /// First index.
        from: u64,
        /// Index after the last.
        to: u64,
        /// How many leaves in it had openings.
        count: u64,
    }
    /// An auditor reviewed the openings of a range of leaves.
    #[derive(Clone, Debug, PartialEq, Eq)]
    ReviewLeaf {
        /// First index.
        from: u64,
        /// Index after the last.
        to: u64,
        /// SHA-256 of the auditor's public opening key, as in `escrow`.
        auditor: [u8; 32],
        /// Openings looked at.
        sampled: u64,
        /// Of them, openings that do not say what their leaf says.
        failed: u64,
    }
}

/// Not empty, and no more of it counted than there is.
const fn check_range(from: u64, to: u64, counted: u64) -> Result<()> {
    if from < to && counted <= to.saturating_sub(from) {
        Ok(())
    } else {
        Err(Error::malformed("a range of leaves is empty, or more is counted than is in it"))
    }
}

impl PaperLeaf {
    pub(super) const fn check(&self) -> Result<()> {
        let filed = matches!(self.status, PaperStatus::Filed);
        if filed == self.authorisation.is_some() {
            Ok(())
        } else {
            Err(Error::malformed("a paper leaf names a paper that is not filed, or none that is"))
        }
    }
}

impl OpeningPublished {
    pub(super) fn check(&self) -> Result<()> {
        if !self.names.is_empty() && self.names.iter().all(|name| name.is_for_the_public()) {
            Ok(())
        } else {
            Err(Error::malformed("a leaf publishes nothing, or what is never published"))
        }
    }
}

impl OpeningsErased {
    pub(super) const fn check(&self) -> Result<()> {
        check_range(self.from, self.to, self.count)
    }
}

impl ReviewLeaf {
    pub(super) const fn check(&self) -> Result<()> {
        if self.failed > self.sampled {
            return Err(Error::malformed("a review fails more than it looked at"));
        }
        check_range(self.from, self.to, self.sampled)
    }
}

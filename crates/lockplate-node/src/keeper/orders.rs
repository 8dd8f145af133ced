//! Signed orders that change whom and what this keeper believes: revocations, later papers that take the place of earlier ones, trust lists
//! (`authorisation.md` sections 2 and 7). What takes away counts at once; what adds stands in the log first and waits, so that everybody
//! has the time to see a false court.

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::authorisation::{WithdrawnBy, supersedes};
use lockplate_core::directory::{Declaration, TRUST_NOTICE_SECONDS, Trust, TrustEntry, TrustRole};
use lockplate_core::entry::{
    DeclarationChange, DeclarationLeaf, KeyChange, KeyChanged, KeyLeaf, KeyName, KeySubject, LogEntry,
};
use lockplate_core::revocation::{Revoked, verify_revocation};
use lockplate_core::signed::SignedObject;
use lockplate_log::note::VerifierKey;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::db;
use super::office::{Fault, Office};
use crate::problem::ProblemKind;
use crate::release::Unreleased;
use crate::rng::SystemRng;

/// Withdrawn papers that are remembered for one issuer or court: whoever fills his own share takes nobody else's.
const WITHDRAWN_MAX: u32 = 10_000;

/// A trust list that waits for its time.
#[derive(Debug)]
pub(super) struct PendingTrust {
    next: Trust,
    effective: Timestamp,
    /// It counts once this leaf is published.
    leaf: u64,
}

impl Office {
    /// `POST /v1/authorisations`: whatever a court, a custodian or policy signers order. A repeat is harmless.
    pub(super) fn file_order(
        &mut self,
        connection: &mut Connection,
        order: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<()>, Fault> {
        let object = SignedObject::parse(order)?;
        match object.fields()?.take::<String>("kind")?.as_str() {
            "delay-notice" => self.delay_notice(connection, order, now),
            "revocation" => self.revoke(connection, &object, now),
            "trust-list" => self.take_trust_list(connection, &object, now),
            _ => Err(ProblemKind::Malformed.into()),
        }
    }

    fn revoke(
        &mut self,
        connection: &mut Connection,
        object: &SignedObject,
        now: Timestamp,
    ) -> Result<Unreleased<()>, Fault> {
        let pending = self.pending_trust.as_ref().map_or(&[][..], |waits| waits.next.entries());
        match verify_revocation(object, self.charter(), &self.trust, pending, now)? {
            Revoked::Object { digest, by } => {
                if let Some(declared) = db::declaration(connection, &digest)? {
                    self.withdraw_declaration(connection, &declared, &by, now)?;
                } else if self.issues_papers(&by) {
                    self.withdraw_paper(connection, digest, by)?;
                } else {
                    return Err(ProblemKind::NotFound.into());
                }
            }
            Revoked::Key { key, from } => {
                let text = key.to_string();
                if self.withdrawn.keys.get(&text).is_some_and(|known| *known <= from) {
                    return Ok(self.resting_on_all(()));
                }
                // In force before its leaf: that it counts a moment too early harms nobody, too late would.
                db::orders::insert_revoked_key(connection, &text, from, &object.digest())?;
                self.withdrawn.keys.insert(text, from);
                self.log_revocations(connection, now)?;
            }
        }
        Ok(self.resting_on_all(()))
    }

    /// Logs the revoked keys of which no leaf tells yet. Only a key of the trust list has one.
    pub(super) fn log_revocations(&mut self, connection: &Connection, now: Timestamp) -> Result<(), Fault> {
        for (key, from, revocation) in db::orders::revocations_to_log(connection)? {
            let effective = Timestamp(from.0.max(now.0));
            let pending = self.pending_trust.iter().flat_map(|waits| waits.next.entries());
            let entry = self.trust.entries().iter().chain(pending).find(|entry| entry.vkey.to_string() == key);
            let leaf = entry.map(|entry| key_leaf(entry, KeyChange::Revoke, revocation, effective));
            let logged = self.keeper.state(leaf.into_iter().collect(), now, &mut SystemRng);
            logged.map_err(|error| self.log_fault(error))?;
            self.publish();
            db::orders::set_revocation_logged(connection, &revocation)?;
        }
        Ok(())
    }

    /// An agency takes back declarations, which are all here; papers come later, and are noted before.
    fn issues_papers(&self, by: &WithdrawnBy) -> bool {
        let WithdrawnBy::Issuer(name) = by else { return true };
        let mut own = self.trust.entries().iter().filter(|entry| entry.vkey.name().as_str() == name);
        own.any(|entry| matches!(entry.role, TrustRole::Judge | TrustRole::Clerk | TrustRole::Custodian))
    }

    fn withdraw_declaration(
        &mut self,
        connection: &Connection,
        declared: &[u8],
        by: &WithdrawnBy,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let object = SignedObject::parse(declared)?;
        let Declaration { header, body } = object.read()?;
        let may = match by {
            WithdrawnBy::Issuer(name) => *name == header.issuer,
            WithdrawnBy::Signers => true,
            WithdrawnBy::Court(_) => false,
        };
        if !may {
            return Err(ProblemKind::Invalid.into());
        }
        let leaf = LogEntry::Declaration(DeclarationLeaf {
            owner: self.charter().owner.id,
            agency: body.agency,
            declaration: body.declaration,
            change: DeclarationChange::Withdraw,
            object: object.digest(),
            valid_from: body.valid_from,
            valid_until: body.valid_until,
        });
        self.keeper.state(vec![leaf], now, &mut SystemRng).map_err(|error| self.log_fault(error))?;
        self.publish();
        Ok(db::delete_declaration(connection, &object.digest())?)
    }

    /// Remembers a withdrawn paper. Whether whoever says so may is seen when the paper comes.
    fn withdraw_paper(&mut self, connection: &Connection, digest: [u8; 32], by: WithdrawnBy) -> Result<(), Fault> {
        let known = self.withdrawn.papers.entry(digest).or_default();
        if known.contains(&by) {
            return Ok(());
        }
        if by != WithdrawnBy::Signers && db::orders::withdrawn_count(connection, &by)? >= WITHDRAWN_MAX {
            return Err(ProblemKind::Rate.into());
        }
        db::orders::insert_withdrawn(connection, &digest, &by)?;
        known.insert(by);
        Ok(())
    }

    /// A good paper that says which one it takes the place of: from now on the earlier one counts for nothing here.
    pub(super) fn note_superseded(
        &mut self,
        connection: &Connection,
        attachments: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<(), Fault> {
        let owner = self.charter().owner.id;
        let objects = attachments.iter().filter_map(|bytes| SignedObject::parse(bytes).ok());
        let found: Vec<_> =
            objects.filter_map(|object| supersedes(&object, owner, &self.trust, &self.withdrawn, now)).collect();
        found.into_iter().try_for_each(|(digest, by)| self.withdraw_paper(connection, digest, by))
    }

    fn take_trust_list(
        &mut self,
        connection: &mut Connection,
        object: &SignedObject,
        now: Timestamp,
    ) -> Result<Unreleased<()>, Fault> {
        let digest = object.digest();
        let is_known = db::orders::trust_list_is_known(connection, &object.to_bytes())?;
        if is_known {
            return Ok(self.resting_on_all(()));
        }
        let charter = self.charter();
        let change = self.trust.follow(object, &charter.policy_signers, charter.policy_quorum)?;
        // One that only takes away overtakes one that waits, which then follows nothing any more.
        if self.pending_trust.is_some() && !change.added.is_empty() {
            return Err(ProblemKind::Conflicting.into());
        }
        let wait = if change.added.is_empty() { 0 } else { TRUST_NOTICE_SECONDS };
        let effective = Timestamp(now.0.saturating_add(wait));
        let holders: BTreeSet<_> = change.gone.iter().map(|entry| (&entry.name, entry.role)).collect();
        let kept: BTreeSet<_> = change.next.entries().iter().map(|entry| entry.vkey.to_string()).collect();
        let added = change.added.iter().map(|entry| {
            let replaces = holders.contains(&(&entry.name, entry.role));
            key_leaf(entry, if replaces { KeyChange::Replace } else { KeyChange::Enrol }, digest, effective)
        });
        // Who stays with another key, another court or a shorter time is a replacement.
        let gone = change.gone.iter().filter(|entry| !change.added.iter().any(|one| one.vkey == entry.vkey));
        let gone = gone.map(|entry| {
            let stays = kept.contains(&entry.vkey.to_string());
            key_leaf(entry, if stays { KeyChange::Replace } else { KeyChange::Revoke }, digest, effective)
        });
        let mut leaves: Vec<_> = added.chain(gone).collect();
        if leaves.is_empty() {
            // Nothing changes but the serial: then there is nothing to publish either.
            return Err(ProblemKind::Invalid.into());
        }
        leaves.truncate(lockplate_core::charter::TRUST_ENTRIES_MAX.saturating_mul(2));
        let logged = self.keeper.state(leaves, now, &mut SystemRng).map_err(|error| self.log_fault(error))?;
        let leaf = logged.last().copied().ok_or(ProblemKind::Internal)?;
        self.publish();
        db::orders::insert_trust_list(connection, &object.to_bytes(), change.next.serial(), (effective, leaf))?;
        self.pending_trust = Some(PendingTrust { next: change.next, effective, leaf });
        Ok(self.resting_on_all(()))
    }

    /// Puts what has waited long enough in force: trust list and policy.
    pub(super) fn come_into_force(&mut self, connection: &Connection, now: Timestamp) -> Result<(), Fault> {
        let published = self.releaser.published();
        if let Some(pending) = self.pending_trust.take_if(|one| one.effective <= now && one.leaf < published) {
            tracing::info!(serial = pending.next.serial(), "a trust list is in force");
            self.trust = pending.next;
        }
        self.put_policy_in_force(connection, published, now)
    }

    /// Reads back what was withdrawn, and the trust lists of the past and the one that waits. Run once at start.
    pub(super) fn load_orders(&mut self, connection: &Connection) -> Result<(), Fault> {
        self.withdrawn = db::orders::withdrawn(connection)?;
        for (bytes, effective, leaf) in db::orders::trust_lists(connection)? {
            let object = SignedObject::parse(&bytes)?;
            let charter = self.charter().clone();
            let (signers, quorum) = (&charter.policy_signers, charter.policy_quorum);
            let after_pending = self.pending_trust.as_ref().map(|one| one.next.follow(&object, signers, quorum));
            let change = match after_pending {
                // The one before was in force when this one was taken.
                Some(Ok(change)) => {
                    self.trust = self.pending_trust.take().map_or_else(|| self.trust.clone(), |one| one.next);
                    change
                }
                Some(Err(_)) | None => match self.trust.follow(&object, signers, quorum) {
                    Ok(change) => change,
                    Err(_other_chain) => continue,
                },
            };
            self.pending_trust = Some(PendingTrust { next: change.next, effective, leaf });
        }
        Ok(())
    }
}

fn key_leaf(entry: &TrustEntry, change: KeyChange, list: [u8; 32], effective: Timestamp) -> LogEntry {
    let subject = match entry.role {
        TrustRole::Judge | TrustRole::Clerk => KeySubject::Court,
        TrustRole::Custodian => KeySubject::Custodian,
        TrustRole::Supervisor => KeySubject::Supervisor,
        TrustRole::Agency => KeySubject::Agency,
        TrustRole::Auditor => KeySubject::Auditor,
        TrustRole::Steward => KeySubject::Steward,
    };
    let entry_leaf = KeyChanged { subject, change, list, effective };
    LogEntry::Key(KeyLeaf { entry: entry_leaf, name: KeyName::Institution(key_digest(&entry.vkey)) })
}

fn key_digest(key: &VerifierKey) -> [u8; 32] {
    Sha256::digest(key.to_string().as_bytes()).into()
}

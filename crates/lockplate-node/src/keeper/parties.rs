//! What other agencies leave with a keeper: their signed directories and declarations (`authorisation.md` sections 5 and 6).
//! They are verified before they are stored and again before each use; a directory is replaced by one of a higher serial and
//! never merged.

use lockplate_core::Timestamp;
use lockplate_core::directory::{Declaration, Directory, VerifiedDirectory, verify_declaration};
use lockplate_core::entry::{DeclarationChange, DeclarationLeaf, LogEntry};
use lockplate_core::signed::SignedObject;
use rusqlite::{Connection, params};

use super::db;
use super::office::{Fault, Office};
use crate::problem::ProblemKind;
use crate::release::Unreleased;
use crate::rng::SystemRng;

/// Declarations kept of one agency.
const DECLARATIONS_MAX: usize = 32;

impl Office {
    /// `POST /v1/directories`. A repeat of the one in use is harmless.
    pub(super) fn store_directory(
        &mut self,
        connection: &mut Connection,
        object: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<()>, Fault> {
        let signed = SignedObject::parse(object)?;
        let agency = signed.read::<Directory>()?.body.agency;
        let last = db::directory(connection, agency)?;
        if last.as_ref().is_some_and(|(_, known)| known == object) {
            return Ok(Unreleased::at_once(()));
        }
        let keys = self.agency_keys(agency, now);
        let last_serial = last.map(|(serial, _)| serial);
        let known = self.charter().agency(agency).ok_or(ProblemKind::Invalid)?;
        let verified = VerifiedDirectory::verify(&signed, known, &keys, last_serial, now)?;
        let serial = i64::try_from(verified.serial()).map_err(|_range| ProblemKind::Invalid)?;
        connection.execute(
            "INSERT OR REPLACE INTO directory (agency, serial, object) VALUES (?1, ?2, ?3)",
            params![agency.0, serial, object],
        )?;
        Ok(Unreleased::at_once(()))
    }

    /// `POST /v1/declarations`. A repeat is harmless.
    pub(super) fn store_declaration(
        &mut self,
        connection: &mut Connection,
        object: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<()>, Fault> {
        let signed = SignedObject::parse(object)?;
        let declared = signed.read::<Declaration>()?.body;
        let agency = declared.agency;
        let directory = self.fresh_directory(connection, agency, now)?.ok_or(ProblemKind::Invalid)?;
        let keys = self.agency_keys(agency, now);
        let owner = (self.charter().owner.id, self.charter().owner.state);
        verify_declaration(&signed, &directory, &keys, owner, &self.declaration_texts, now)?;
        let filed = db::declarations(connection, agency)?;
        if filed.iter().any(|known| known == object) {
            return Ok(self.resting_on_all(()));
        }
        if filed.len() >= DECLARATIONS_MAX {
            return Err(ProblemKind::Rate.into());
        }
        // On the public register before it takes effect, and there once: a repeat after a crash finds the leaf.
        let leaf = LogEntry::Declaration(DeclarationLeaf {
            owner: owner.0,
            agency,
            declaration: declared.declaration,
            change: DeclarationChange::File,
            object: signed.digest(),
            valid_from: declared.valid_from,
            valid_until: declared.valid_until,
        });
        if !self.unfinished.declarations.contains(&signed.digest()) {
            self.keeper.state(vec![leaf], now, &mut SystemRng).map_err(|error| self.log_fault(error))?;
            self.unfinished.declarations.insert(signed.digest());
            self.publish();
        }
        connection.execute(
            "INSERT OR IGNORE INTO declaration (digest, agency, filed_at, object) VALUES (?1, ?2, ?3, ?4)",
            params![signed.digest(), agency.0, db::column(now), object],
        )?;
        self.unfinished.declarations.remove(&signed.digest());
        Ok(self.resting_on_all(()))
    }
}

//! The directories of agencies as every decision needs them: fresh, and signed by a key that counts now. Reading and verifying one takes
//! longer than all else of a refusal, so what was verified is remembered with what it was verified against; it must never count a moment
//! longer than it would if it were read anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lockplate_core::Timestamp;
use lockplate_core::charter::AgencyPage;
use lockplate_core::directory::VerifiedDirectory;
use lockplate_core::id::AgencyId;
use lockplate_core::signed::SignedObject;
use lockplate_log::note::VerifierKey;
use rusqlite::Connection;

use super::db;
use super::office::{Fault, Office};

/// The last one of each agency of the charter.
#[derive(Debug, Default)]
pub(super) struct Directories(Mutex<BTreeMap<AgencyId, Verified>>);

#[derive(Debug)]
struct Verified {
    object: Vec<u8>,
    known: AgencyPage,
    keys: Vec<VerifierKey>,
    directory: Arc<VerifiedDirectory>,
}

impl Directories {
    fn verify(
        &self,
        object: Vec<u8>,
        known: &AgencyPage,
        keys: Vec<VerifierKey>,
        now: Timestamp,
    ) -> Option<Arc<VerifiedDirectory>> {
        let mut verified = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = verified.get(&known.id)
            && (&before.object, &before.known, &before.keys) == (&object, known, &keys)
        {
            return Some(Arc::clone(&before.directory)).filter(|directory| directory.is_fresh(now));
        }
        let parsed = SignedObject::parse(&object).ok()?;
        let directory = Arc::new(VerifiedDirectory::verify(&parsed, known, &keys, None, now).ok()?);
        verified.insert(known.id, Verified { object, known: known.clone(), keys, directory: Arc::clone(&directory) });
        Some(directory)
    }
}

impl Office {
    /// The directory in use of an agency, if it is fresh and still signed by a key that counts.
    pub(super) fn fresh_directory(
        &self,
        connection: &Connection,
        agency: AgencyId,
        now: Timestamp,
    ) -> Result<Option<Arc<VerifiedDirectory>>, Fault> {
        let (Some(known), Some((_serial, object))) =
            (self.charter().agency(agency), db::directory(connection, agency)?)
        else {
            return Ok(None);
        };
        Ok(self.directories.verify(object, known, self.agency_keys(agency, now), now))
    }
}

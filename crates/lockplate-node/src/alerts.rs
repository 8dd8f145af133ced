//! Alerts (`hotlists.md` sections 6 and 7): hits of the matcher become sealed alerts, are told to whoever is to look, and are worked on by
//! officers step by step. Nothing of an alert but id, list, class, kind of match, minute, state and deadlines is in clear anywhere.

use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::hotlist::matching::{Comparison, Hit};
use lockplate_core::hotlist::set::SetStamp;
use lockplate_core::read::Read;

/// A hit with everything that its alert says.
#[derive(Clone)]
pub struct Sighted {
    /// The hit.
    pub hit: Hit,
    /// The read.
    pub read: Read,
    /// JPEG or PNG of the plate; empty where there is none.
    pub crop: Vec<u8>,
    /// The set that was hit.
    pub stamp: SetStamp,
    /// Name of the list, for people.
    pub list_name: String,
    /// Place of the camera in words.
    pub place: String,
    /// Key of the creator of a custom entry.
    pub creator: Option<[u8; 32]>,
    /// Key of the officer whose case a custom entry is.
    pub case_officer: Option<[u8; 32]>,
    /// Alert key of another agency whose list this is; none: the own alert key.
    pub sealed_to: Option<HpkePublicKey>,
}

impl core::fmt::Debug for Sighted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sighted(..)")
    }
}

/// Where the matcher tells what it found. Both return at once: the matcher has reads waiting.
pub trait AlertSink: Send + Sync + 'static {
    /// A read met an entry.
    fn hit(&self, sighted: Sighted);
    /// What a comparison did not make a hit of, for the day's numbers.
    fn suppressed(&self, comparison: &Comparison);
}

/// What closed alerts do to lists (`lockplate_core::hotlist::alert::Effect`).
pub trait Marking: Send + Sync + 'static {
    /// The entry is stale: not matched until a newer load confirms it.
    fn suspend(&self, list: &[u8; 16], entry_id: &str);
    /// The entry was hit by another state's plate once more.
    fn wrong_state(&self, list: &[u8; 16], entry_id: &str);
}

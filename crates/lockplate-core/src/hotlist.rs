//! Hot lists (`hotlists.md`): what an entry is, the set that reads are compared with, what a comparison comes to, and what becomes of an
//! alert. Pure: files, clocks, keys and mail are elsewhere. Nothing here prints a plate.
//!
//! In scope: [`steward`] (what people sign about a list), [`load`] (which entries and classes a load lets in, and when people must release it), [`set`] (the packed entries),
//! [`matching`] (rules 1 to 10), [`alert`] (content and steps), [`handover`] (another agency fetches its own), [`tally`] (the day's numbers), [`account`] (a toll or parking operator's
//! own customers, which are no hot list).
//!
//! Out of scope: formats and templates (`lockplate-intake`), which classes are lawful (`lockplate-policy`), fetching, swapping, storing
//! and notifying (`lockplate-node`), figures of the register (`lockplate-audit`).

pub mod account;
pub mod alert;
pub mod handover;
pub mod kept;
pub mod limits;
pub mod load;
pub mod matching;
mod packed;
pub mod set;
pub mod steward;
pub mod tally;

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod measure_tests;
#[cfg(test)]
mod section_nine_tests;

use unicode_normalization::UnicodeNormalization as _;

use crate::Timestamp;
use crate::entry::ListClass;
use crate::plate::{Jurisdiction, Plate};
use crate::read::Vehicle;
use crate::vocabulary::{Basis, Offence};

/// Misreadings that an entry is matched with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variants {
    /// The text itself.
    #[default]
    None,
    /// Texts that a camera may read for it (`intake.md` section 9, `near`).
    Near,
}

/// How an alert is shown; it decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertLevel {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}

/// One entry of a list as its file says it, checked in form and nothing more.
#[derive(Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// Stable in its list, 1 to 64 bytes.
    pub entry_id: String,
    /// Canonical text, 2 to 16 characters.
    pub plate: Plate,
    /// Who issued it; none where the list does not know.
    pub jurisdiction: Option<Jurisdiction>,
    /// The class, by the source's file or code, never by a name or a note.
    pub class: ListClass,
    /// The source's own code, kept for the alert.
    pub source_file: String,
    /// Offence.
    pub offence: Offence,
    /// When it was entered.
    pub entered_at: Timestamp,
    /// It is not matched from then on.
    pub expires_at: Timestamp,
    /// Nor before then.
    pub effective_at: Option<Timestamp>,
    /// Case number; every custom entry has one.
    pub case: String,
    /// Legal basis, shown in the alert.
    pub basis: Basis,
    /// ORI of the agency that entered it.
    pub agency: String,
    /// Shown, and compared with the vehicle that was read.
    pub vehicle: Vehicle,
    /// How its alert is shown.
    pub level: AlertLevel,
    /// No hit where the state was not read.
    pub state_required: bool,
    /// Misreadings.
    pub variants: Variants,
    /// For whoever looks at the alert, at most 200 characters.
    pub note: String,
}

/// A case number as entries are counted by it: no space, dash, small letter or full width makes another case of it.
fn counted_case(case: &str) -> String {
    case.nfkc().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

impl core::fmt::Debug for ListEntry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ListEntry(..)")
    }
}

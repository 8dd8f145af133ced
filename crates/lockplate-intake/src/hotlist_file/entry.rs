//! From what a line says to an entry, or to the reason why it is none (`hotlists.md` section 4, step 3). The own format and the templates
//! meet here, so that no source is judged more mildly than another.

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::{AlertLevel, ListEntry, Variants};
use lockplate_core::plate::{Jurisdiction, Plate, has_wildcard};
use lockplate_core::read::Vehicle;
use lockplate_core::vocabulary::{Basis, Offence};

use super::classes::LastFile;
use super::limits::{
    AMBER_LIFE_SECONDS_MAX, CUSTOM_LIFE_SECONDS_MAX, EXTRACT_LIFE_SECONDS_MAX, PLATE_CHARS_MIN, PLATE_RAW_BYTES_MAX,
};
use super::{Outcome, Refusal};

/// Texts that stand in lists where no plate is known, in canonical form. Each can be a real plate too; then it is signed one by one.
const PLACEHOLDERS: &[&str] = &["NONE", "UNKNOWN", "UNK", "NOPLATE", "NULL", "TEMP"];

/// What a line says, checked in form.
pub(super) struct Row {
    pub(super) entry_id: String,
    /// As it stands in the file.
    pub(super) plate: String,
    pub(super) jurisdiction: Option<Jurisdiction>,
    pub(super) class: ListClass,
    pub(super) source_file: String,
    pub(super) offence: Offence,
    pub(super) entered_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) effective_at: Option<Timestamp>,
    pub(super) case: String,
    pub(super) basis: Basis,
    pub(super) agency: String,
    pub(super) vehicle: Vehicle,
    pub(super) level: AlertLevel,
    pub(super) state_required: bool,
    pub(super) variants: Variants,
    pub(super) note: String,
}

/// What an entry is judged by besides itself.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) now: Timestamp,
    /// When the source made the file.
    pub(super) produced_at: Timestamp,
    /// Ids of entries whose placeholder is a plate: somebody signed for each.
    pub(super) signed: &'a BTreeSet<String>,
    /// Further bound of the life of an entry, from the making of the file, s.
    pub(super) life_seconds: Option<u64>,
    pub(super) files: &'a LastFile,
}

/// The plate of a raw text that may stand in a list, apart from placeholders: whole, with two to sixteen characters.
///
/// # Errors
/// Why it may not: `Wildcard`, `TooShort`, `TooLong`.
pub fn listed_plate(raw: &str) -> Result<Plate, Refusal> {
    if raw.len() > PLATE_RAW_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    if has_wildcard(raw) {
        return Err(Refusal::Wildcard);
    }
    let plate = Plate::parse(raw).ok_or(Refusal::TooShort)?;
    if plate.is_overlong() {
        return Err(Refusal::TooLong);
    }
    if plate.expose_text().chars().count() < PLATE_CHARS_MIN {
        return Err(Refusal::TooShort);
    }
    Ok(plate)
}

fn is_placeholder(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next();
    PLACEHOLDERS.contains(&text) || characters.all(|c| Some(c) == first)
}

impl Judge<'_> {
    /// The entry, or why it is none; and whether its end had to be brought forward.
    pub(super) fn judge(&self, mut row: Row) -> (Outcome, bool) {
        // Whatever a line calls itself: it is of a file whose class nobody loads.
        row.class = self.files.never_loaded(&row.source_file).unwrap_or(row.class);
        let class = row.class;
        let over = row.expires_at.filter(|at| *at <= self.now).map(|_| row.entry_id.clone());
        match self.entry(row) {
            Ok((entry, is_cut)) => (Outcome::Add(Box::new(entry)), is_cut),
            Err(Refusal::Expired) => (Outcome::Over { class, entry_id: over.unwrap_or_default() }, false),
            Err(reason) => (Outcome::Refuse { class, reason }, false),
        }
    }

    fn entry(&self, row: Row) -> Result<(ListEntry, bool), Refusal> {
        let plate = listed_plate(&row.plate)?;
        if is_placeholder(plate.expose_text()) && !self.signed.contains(&row.entry_id) {
            return Err(Refusal::Placeholder);
        }
        if row.class == ListClass::Custom && row.case.is_empty() {
            return Err(Refusal::NoCase);
        }
        let stated = row.expires_at.ok_or(Refusal::NoExpiry)?;
        if stated <= self.now {
            return Err(Refusal::Expired);
        }
        let expires_at = stated.min(self.latest_end(row.class, row.entered_at));
        if expires_at <= self.now {
            return Err(Refusal::TooOld);
        }
        let entry = ListEntry {
            entry_id: row.entry_id,
            plate,
            jurisdiction: row.jurisdiction,
            class: row.class,
            source_file: row.source_file,
            offence: row.offence,
            entered_at: row.entered_at,
            expires_at,
            effective_at: row.effective_at,
            case: row.case,
            basis: row.basis,
            agency: row.agency,
            vehicle: row.vehicle,
            level: row.level,
            state_required: row.state_required,
            variants: row.variants,
            note: row.note,
        };
        Ok((entry, expires_at < stated))
    }

    /// An extract's entry lives as long as its file is the current one. The others live from their entering, not from the load: what ran out
    /// does not come back because the same file is loaded again.
    fn latest_end(&self, class: ListClass, entered_at: Timestamp) -> Timestamp {
        let (from, seconds) = if class == ListClass::Custom {
            (entered_at, CUSTOM_LIFE_SECONDS_MAX)
        } else if class == ListClass::AmberAlert {
            (entered_at, AMBER_LIFE_SECONDS_MAX)
        } else {
            (self.produced_at, EXTRACT_LIFE_SECONDS_MAX)
        };
        let of_class = from.0.saturating_add(seconds);
        let of_file = self.life_seconds.map_or(u64::MAX, |life| self.produced_at.0.saturating_add(life));
        Timestamp(of_class.min(of_file))
    }
}

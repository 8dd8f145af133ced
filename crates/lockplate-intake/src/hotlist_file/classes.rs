//! Which class a code of a source stands for. A class that describes who somebody is, and not an offence under way, is counted
//! and never taken over; no name of a list, no text of a reason and no note ever leads to a class.

use std::cmp::Reverse;
use std::sync::LazyLock;

use lockplate_core::entry::ListClass;

/// The 13 files of the NCIC extract for licence-plate readers, by the FBI's names ("License Plate Reader Data Extract in NCIC", CJIS
/// Link, 4 June 2024). The names serve to count what is dropped. They load nothing: what is loaded stands in a template.
pub const NCIC_FILES: [(&str, ListClass); 13] = [
    ("Vehicle", ListClass::StolenVehicle),
    ("License Plate", ListClass::StolenPlate),
    ("Wanted Person", ListClass::WantedPerson),
    ("Protection Order", ListClass::ProtectionOrder),
    ("Extreme Risk Protection Order", ListClass::ExtremeRiskOrder),
    ("Missing Person", ListClass::MissingPerson),
    ("Gang", ListClass::Gang),
    ("Threat Screening Center", ListClass::TerroristScreening),
    ("Supervised Release", ListClass::SupervisedRelease),
    ("National Sex Offender Registry", ListClass::SexOffender),
    ("Immigration Violator", ListClass::ImmigrationViolator),
    ("Protective Interest", ListClass::ProtectiveInterest),
    ("Violent Person", ListClass::ViolentPerson),
];

/// Under which class a row is counted whose code stands in no map. A file whose class may be loaded counts as unknown: its
/// code is not mapped, and a class that is loaded and dropped at once is an alarm of the monitors (M11).
pub(super) fn counted_as(code: &str) -> ListClass {
    never_loaded(code).unwrap_or(ListClass::Unknown)
}

/// The class of a file of the extract that nobody loads, where its name stands anywhere in `file`: sources put dates, endings and their
/// own name around it. Only letters count.
pub(super) fn never_loaded(file: &str) -> Option<ListClass> {
    if file.is_empty() {
        return None;
    }
    let words = words(file);
    let joined = words.concat();
    let is_in = |name: &str| match name {
        // A short name stands inside of other words.
        "GANG" => words.iter().any(|word| word == name || word.contains("GANGFILE")),
        _ => joined.contains(name),
    };
    NEVER_LOADED.iter().find(|(name, _)| is_in(name)).map(|(_, class)| *class)
}

/// Longer names first: "Extreme Risk Protection Order" has another one's name in it.
static NEVER_LOADED: LazyLock<Vec<(String, ListClass)>> = LazyLock::new(|| {
    let never = NCIC_FILES.iter().filter(|(_, class)| !class.may_be_loaded());
    let mut names: Vec<_> = never.map(|(name, class)| (words(name).concat(), *class)).collect();
    names.sort_by_key(|(name, _)| Reverse(name.len()));
    names
});

/// Its words in capital letters, each in the singular.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphabetic()).map(str::to_ascii_uppercase);
    words.map(|word| word.trim_start_matches("NCIC").trim_end_matches('S').to_owned()).collect()
}

//! Which class a code of a source stands for. A class that describes who somebody is, and not an offence under way, is counted
//! and never taken over; no name of a list, no text of a reason and no note ever leads to a class.

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

/// The class of a file of the extract that nobody loads, by its name in letters alone.
pub(super) fn never_loaded(file: &str) -> Option<ListClass> {
    let letters =
        |text: &str| text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let asked: String = letters(file);
    let known = NCIC_FILES.iter().find(|(name, _)| letters(name) == asked);
    known.map(|(_, class)| *class).filter(|class| !class.may_be_loaded())
}

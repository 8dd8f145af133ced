//! Which class a code of a source stands for. A class that describes who somebody is, and not an offence under way, is counted
//! and never taken over; no name of a list, no text of a reason and no note ever leads to a class.

use std::cell::RefCell;
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

/// Other names of files that nobody loads: what sources and people call them. Those of one word alone stand with [`SHORT`].
const OTHER_NAMES: [(&str, ListClass); 6] = [
    ("Order of Protection", ListClass::ProtectionOrder),
    ("Restraining Order", ListClass::ProtectionOrder),
    ("Threat Screening Centre", ListClass::TerroristScreening),
    ("Suspected Terrorist", ListClass::TerroristScreening),
    ("Terrorist Watch", ListClass::TerroristScreening),
    ("Immigration Violation", ListClass::ImmigrationViolator),
];

/// Names so short that they stand inside of other words too: they count as a word alone.
const SHORT: [(&str, ListClass); 4] = [
    ("ERPO", ListClass::ExtremeRiskOrder),
    ("NSOR", ListClass::SexOffender),
    ("KST", ListClass::TerroristScreening),
    ("ICE", ListClass::ImmigrationViolator),
];

/// The FBI's name of a file that nobody loads, where one of its names stands anywhere in `file`, the name of a file or of a list.
#[must_use]
pub fn never_loaded_name(file: &str) -> Option<&'static str> {
    let class = never_loaded(file)?;
    NCIC_FILES.iter().find(|(_, other)| *other == class).map(|(name, _)| *name)
}

/// The class of a file of the extract that nobody loads, where its name stands anywhere in `file`: sources put dates, endings and their
/// own name around it. Only letters count.
pub(super) fn never_loaded(file: &str) -> Option<ListClass> {
    if file.is_empty() {
        return None;
    }
    let words = split_words(file, false);
    let joined = words.concat();
    // Asked of every line of a list: capitals are looked at only where the letters are there.
    let is_word =
        |name: &str| joined.contains(name) && words.iter().chain(&split_words(file, true)).any(|word| word == name);
    let is_in = |name: &str| match name {
        // A short name stands inside of other words.
        "GANG" => is_word(name) || words.iter().any(|word| word.contains("GANGFILE")),
        _ => joined.contains(name),
    };
    let long = NEVER_LOADED.iter().find(|(name, _)| is_in(name)).map(|(_, class)| *class);
    long.or_else(|| SHORT.iter().find(|(name, _)| is_word(name)).map(|(_, class)| *class))
}

/// The last name of a file that was asked about: the lines of a list mostly have one.
#[derive(Default)]
pub(super) struct LastFile(RefCell<(String, Option<ListClass>)>);

impl LastFile {
    /// As [`never_loaded`].
    pub(super) fn never_loaded(&self, file: &str) -> Option<ListClass> {
        let mut last = self.0.borrow_mut();
        if last.0 != file {
            *last = (file.to_owned(), never_loaded(file));
        }
        last.1
    }
}

/// Longer names first: "Extreme Risk Protection Order" has another one's name in it.
static NEVER_LOADED: LazyLock<Vec<(String, ListClass)>> = LazyLock::new(|| {
    let never = NCIC_FILES.iter().filter(|(_, class)| !class.may_be_loaded());
    let own = never.clone().map(|(_, class)| (class.name(), *class));
    let others = never.copied().chain(OTHER_NAMES).chain(own);
    let mut names: Vec<_> = others.map(|(name, class)| (split_words(name, false).concat(), class)).collect();
    names.sort_by_key(|(name, _)| Reverse(name.len()));
    names
});

/// Its words in capital letters, each in the singular; `humps`: words that are told apart by their capital letters alone, too.
fn split_words(text: &str, humps: bool) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut letters = text.chars().peekable();
    let mut last = ' ';
    while let Some(letter) = letters.next() {
        let is_small = |c: char| c.is_ascii_lowercase();
        let begins = letter.is_ascii_uppercase() && (is_small(last) || letters.peek().copied().is_some_and(is_small));
        if !letter.is_ascii_alphabetic() || (humps && begins) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_ascii_alphabetic()) {
            word.push(letter.to_ascii_uppercase());
        }
        last = letter;
    }
    words.iter().map(|word| word.trim_start_matches("NCIC").trim_end_matches('S').to_owned()).collect()
}

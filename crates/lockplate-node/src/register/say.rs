//! Values in the words of a language: numbers, dates, spans, and the closed vocabularies of requests. Every match is
//! exhaustive: a value that a later release adds does not compile here until it has its words.

use lockplate_audit::time::Month;
use lockplate_core::Timestamp;
use lockplate_core::entry::{KeySubject, RefusalReason};
use lockplate_core::json::time_text;
use lockplate_core::vocabulary::{Assurance, Basis, Purpose};

use super::words::{Lang, fill};

const MONTHS_EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const MONTHS_ES: [&str; 12] = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
];

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// A moment for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// RFC 3339.
    pub(crate) iso: String,
    /// With its zone.
    pub(crate) text: String,
}

/// `November 24, 2026, 14:00 UTC`, `24 de noviembre de 2026, 14:00 UTC`.
pub(crate) fn moment(lang: Lang, time: Timestamp) -> Moment {
    let iso = time_text(time);
    let clock = iso.get(11..16).unwrap_or_default();
    let text = format!("{}, {clock} {}", date(lang, time), lang.words().utc);
    Moment { iso, text }
}

/// The day of a moment, in UTC.
pub(crate) fn date(lang: Lang, time: Timestamp) -> String {
    let iso = time_text(time);
    let part = |from: usize, to: usize| iso.get(from..to).unwrap_or_default();
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    let (month, day) = (month_name(lang, month.parse().unwrap_or(1)), day.trim_start_matches('0'));
    match lang {
        Lang::En => format!("{month} {day}, {year}"),
        Lang::Es => format!("{day} de {month} de {year}"),
    }
}

/// `November 2026`, `noviembre de 2026`.
pub(crate) fn month(lang: Lang, month: Month) -> String {
    let name = month_name(lang, month.month());
    match lang {
        Lang::En => format!("{name} {}", month.year()),
        Lang::Es => format!("{name} de {}", month.year()),
    }
}

fn month_name(lang: Lang, month: u8) -> &'static str {
    let names = match lang {
        Lang::En => &MONTHS_EN,
        Lang::Es => &MONTHS_ES,
    };
    names.get(usize::from(month).saturating_sub(1)).copied().unwrap_or_default()
}

/// Digits in groups of three with a comma, as both languages write them in the United States.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len().saturating_add(digits.len() / 3));
    for (digit, left) in digits.chars().zip((0..digits.len()).rev()) {
        text.push(digit);
        if left > 0 && left % 3 == 0 {
            text.push(',');
        }
    }
    text
}

/// A length of a collection.
pub(crate) fn count(len: usize) -> String {
    number(wide(len))
}

/// A length as it stands in leaves.
pub(crate) fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A length of time in the largest unit that it is a whole number of: 15 minutes must not be read as an hour. Only what is
/// no whole number of minutes is rounded up.
pub(crate) fn span(lang: Lang, seconds: u64) -> String {
    let w = lang.words();
    let (count, one, more) = match seconds {
        0..MINUTE => (seconds, w.second_one, w.seconds),
        _ if seconds.is_multiple_of(YEAR) => (seconds / YEAR, w.year_one, w.years),
        _ if seconds.is_multiple_of(DAY) => (seconds / DAY, w.day_one, w.days),
        _ if seconds.is_multiple_of(HOUR) => (seconds / HOUR, w.hour_one, w.hours),
        _ => (seconds.div_ceil(MINUTE), w.minute_one, w.minutes),
    };
    plural(count, one, more)
}

/// `one` for 1, else `more` with the number.
pub(crate) fn plural(count: u64, one: &str, more: &str) -> String {
    if count == 1 { one.to_owned() } else { fill(more, &[&number(count)]) }
}

/// Texts with "and" before the last.
pub(crate) fn list(lang: Lang, texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {} {last}", first.join(", "), lang.words().and),
    }
}

pub(crate) const fn purpose(lang: Lang, purpose: Purpose) -> &'static str {
    let w = lang.words();
    match purpose {
        Purpose::CrimeInvestigation => w.purpose_crime,
        Purpose::WantedPerson => w.purpose_wanted,
        Purpose::MissingPerson => w.purpose_missing,
        Purpose::AmberAlert => w.purpose_amber,
        Purpose::StolenVehicle => w.purpose_stolen_vehicle,
        Purpose::StolenPlate => w.purpose_stolen_plate,
        Purpose::HumanTrafficking => w.purpose_trafficking,
        Purpose::CourtProceeding => w.purpose_court,
        Purpose::OwnRecord => w.purpose_own,
        Purpose::TollOrParking => w.purpose_toll,
        Purpose::CivilImmigration => w.purpose_immigration,
        Purpose::ProtectedHealth => w.purpose_health,
        Purpose::ProtectedSpeech => w.purpose_speech,
        Purpose::ProtectedTrait => w.purpose_trait,
    }
}

pub(crate) const fn basis(lang: Lang, basis: Basis) -> &'static str {
    let w = lang.words();
    match basis {
        Basis::None => w.basis_none,
        Basis::ReasonableSuspicion => w.basis_suspicion,
        Basis::CourtOrder => w.basis_order,
        Basis::SearchWarrant => w.basis_warrant,
        Basis::Exigency => w.basis_exigency,
        Basis::AdministrativeWarrant => w.basis_admin_warrant,
        Basis::AdministrativeSubpoena => w.basis_admin_subpoena,
        Basis::Detainer => w.basis_detainer,
        Basis::Consent => w.basis_consent,
        Basis::StatutoryDuty => w.basis_duty,
    }
}

pub(crate) const fn assurance(lang: Lang, assurance: Assurance) -> &'static str {
    let w = lang.words();
    match assurance {
        Assurance::None => w.paper_none,
        Assurance::CustodianAttested => w.paper_attested,
        Assurance::CourtKey => w.paper_court,
    }
}

pub(crate) const fn reason(lang: Lang, reason: RefusalReason) -> &'static str {
    let w = lang.words();
    match reason {
        RefusalReason::PaperUnclear => w.reason_paper_unclear,
        RefusalReason::WrongPlate => w.reason_wrong_plate,
        RefusalReason::OutOfScope => w.reason_out_of_scope,
        RefusalReason::Doubt => w.reason_doubt,
        RefusalReason::Other => w.reason_other,
    }
}

pub(crate) const fn subject(lang: Lang, subject: KeySubject) -> &'static str {
    let w = lang.words();
    match subject {
        KeySubject::Court => w.subject_court,
        KeySubject::Custodian => w.subject_custodian,
        KeySubject::Supervisor => w.subject_supervisor,
        KeySubject::Officer => w.subject_officer,
        KeySubject::Agency => w.subject_agency,
        KeySubject::Steward => w.subject_steward,
        KeySubject::Keeper => w.subject_keeper,
        KeySubject::Recorder => w.subject_recorder,
        KeySubject::Auditor => w.subject_auditor,
        KeySubject::Witness => w.subject_witness,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockplate_core::json::parse_time;

    #[test]
    fn moments_name_their_zone_in_the_order_of_the_language() {
        let time = parse_time("2026-11-04T05:07:59Z").unwrap();
        assert_eq!(moment(Lang::En, time).text, "November 4, 2026, 05:07 UTC");
        assert_eq!(moment(Lang::Es, time).text, "4 de noviembre de 2026, 05:07 UTC");
        assert_eq!(moment(Lang::Es, time).iso, "2026-11-04T05:07:59Z");
        assert_eq!(month(Lang::Es, Month::of(time)), "noviembre de 2026");
        assert_eq!(month(Lang::En, Month::parse("2027-12").unwrap()), "December 2027");
    }

    #[test]
    fn numbers_and_spans_are_said_as_people_say_them() {
        let numbers = [0, 7, 999, 1_000, 12_345, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
        assert_eq!(span(Lang::En, 21 * DAY), "21 days");
        assert_eq!(span(Lang::En, DAY), "1 day");
        assert_eq!(span(Lang::En, 900), "15 minutes", "an hour would be four times as long");
        assert_eq!(span(Lang::Es, 36 * HOUR), "36 horas");
        assert_eq!(span(Lang::En, DAY + 1), "1,441 minutes", "never less than it is");
        assert_eq!([1, 59, 60].map(|seconds| span(Lang::Es, seconds)), ["1 segundo", "59 segundos", "1 minuto"]);
        assert_eq!(span(Lang::Es, 2 * YEAR), "2 años");
        assert_eq!(span(Lang::En, YEAR), "1 year");
        assert_eq!(span(Lang::Es, HOUR), "1 hora");
        assert_eq!(span(Lang::En, 0), "0 seconds");
    }

    #[test]
    fn a_stated_danger_is_not_the_word_for_an_emergency() {
        for lang in Lang::ALL {
            assert!(!basis(lang, Basis::Exigency).contains(lang.words().emergency));
        }
    }

    #[test]
    fn lists_end_in_and() {
        let texts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(Lang::En, &texts), "a, b and c");
        assert_eq!(list(Lang::Es, &texts[..2]), "a y b");
        assert_eq!(list(Lang::En, &texts[..1]), "a");
        assert_eq!(list(Lang::En, &[]), "");
    }
}

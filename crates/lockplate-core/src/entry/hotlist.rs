//! Leaves of hot lists and alerts (`hotlists.md`): counts and digests of lists, counts of alerts a day. No entry, plate, case or
//! camera is in one, and no alert has a leaf of its own.

use crate::Timestamp;
use crate::disclosure::SD_OTHER;
use crate::error::{Error, Result};
use crate::json::{Field, Json, json_names, json_object, parse_time, time_text};

use super::SaltedDigests;

const DAY_SECONDS: u64 = 86_400;

json_names! {
    /// What an entry of a hot list stands for; names are those of the policy schema.
    ListClass {
        /// A stolen vehicle.
        StolenVehicle = "stolenVehicle",
        /// A stolen plate.
        StolenPlate = "stolenPlate",
        /// A wanted person.
        WantedPerson = "wantedPerson",
        /// A missing person.
        MissingPerson = "missingPerson",
        /// An abducted child.
        AmberAlert = "amberAlert",
        /// An entry of the agency's own, with a case.
        Custom = "custom",
        /// Never loaded.
        ProtectionOrder = "protectionOrder",
        /// Never loaded.
        ExtremeRiskOrder = "extremeRiskOrder",
        /// Never loaded.
        Gang = "gang",
        /// Never loaded.
        TerroristScreening = "terroristScreening",
        /// Never loaded.
        SupervisedRelease = "supervisedRelease",
        /// Never loaded.
        SexOffender = "sexOffender",
        /// Never loaded.
        ImmigrationViolator = "immigrationViolator",
        /// Never loaded.
        ProtectiveInterest = "protectiveInterest",
        /// Never loaded.
        ViolentPerson = "violentPerson",
        /// No class, or one that nobody knows: dropped and counted.
        Unknown = "unknown",
    }
    /// How a list changes.
    ListKind {
        /// A complete set.
        Full = "full",
        /// Additions and removals.
        Incremental = "incremental",
        /// The list ends.
        Retire = "retire",
        /// Somebody signed how it is matched: a new list, or another word on one that is there.
        Config = "config",
    }
    /// How a read met an entry.
    MatchKind {
        /// Text and state are equal.
        PlateAndState = "plate_and_state",
        /// The text is equal; the state is not read or not known.
        PlateOnly = "plate_only",
        /// The text is near.
        PossibleMisread = "possible_misread",
    }
    /// Why a read that met an entry raised no alert.
    Suppression {
        /// Another state was read.
        OtherState = "other_state",
        /// The state was not read, and the entry wants it.
        StateRequired = "state_required",
        /// Another class of vehicle was read.
        OtherVehicle = "other_vehicle",
        /// Read with less confidence than the list wants.
        LowConfidence = "low_confidence",
        /// One frame of a source of frames.
        OneFrame = "one_frame",
        /// The entry is expired.
        Expired = "expired",
        /// The entry is not yet in force.
        NotEffective = "not_effective",
        /// The entry is suspended.
        Suspended = "suspended",
        /// The list is too old.
        ListTooOld = "list_too_old",
        /// The same entry and camera within ten minutes.
        Repeated = "repeated",
    }
    /// Age of an entry when it was hit. In steps: a day may have one alert, and its entry must not be found by its age.
    EntryAge {
        /// Entered less than a day before.
        UnderDay = "under_day",
        /// Less than a week.
        UnderWeek = "under_week",
        /// Less than 30 days.
        UnderMonth = "under_month",
        /// Less than 180 days.
        UnderHalfYear = "under_half_year",
        /// Less than 365 days.
        UnderYear = "under_year",
        /// Longer.
        YearOrMore = "year_or_more",
    }
    /// Age of a list when an entry of it was hit: below the alarm of an extract, below its end, beyond.
    ListAge {
        /// Made less than 6 hours before.
        UnderQuarterDay = "under_quarter_day",
        /// Less than 13 hours.
        UnderHalfDay = "under_half_day",
        /// Less than 26 hours.
        UnderDay = "under_day",
        /// Longer.
        DayOrMore = "day_or_more",
    }
    /// How an alert ended.
    Disposition {
        /// The vehicle or plate was recovered.
        Recovered = "recovered",
        /// Somebody was arrested.
        Arrest = "arrest",
        /// The person was found safe.
        LocatedSafe = "located_safe",
        /// Checked, nothing done.
        CheckedNoAction = "checked_no_action",
        /// The plate was misread.
        Misread = "misread",
        /// Another state's plate.
        WrongState = "wrong_state",
        /// Another vehicle.
        WrongVehicle = "wrong_vehicle",
        /// The entry was out of date.
        StaleEntry = "stale_entry",
        /// The vehicle was lost from sight.
        Lost = "lost",
        /// Nobody went.
        NotFollowedUp = "not_followed_up",
        /// Another alert about the same.
        Duplicate = "duplicate",
    }
}

impl EntryAge {
    /// Of so many whole days.
    #[must_use]
    pub const fn of_days(days: u64) -> Self {
        match days {
            0 => Self::UnderDay,
            1..7 => Self::UnderWeek,
            7..30 => Self::UnderMonth,
            30..180 => Self::UnderHalfYear,
            180..365 => Self::UnderYear,
            _ => Self::YearOrMore,
        }
    }
}

impl ListAge {
    /// Of so many whole hours.
    #[must_use]
    pub const fn of_hours(hours: u64) -> Self {
        match hours {
            0..6 => Self::UnderQuarterDay,
            6..13 => Self::UnderHalfDay,
            13..26 => Self::UnderDay,
            _ => Self::DayOrMore,
        }
    }
}

impl ListClass {
    /// Classes that say something of a person and not of a vehicle: small numbers of them are not shown by themselves. An agency's own
    /// entries are for any purpose, persons among them.
    #[must_use]
    pub const fn is_of_persons(self) -> bool {
        match self {
            Self::StolenVehicle | Self::StolenPlate => false,
            Self::WantedPerson
            | Self::MissingPerson
            | Self::AmberAlert
            | Self::Custom
            | Self::ProtectionOrder
            | Self::ExtremeRiskOrder
            | Self::Gang
            | Self::TerroristScreening
            | Self::SupervisedRelease
            | Self::SexOffender
            | Self::ImmigrationViolator
            | Self::ProtectiveInterest
            | Self::ViolentPerson
            | Self::Unknown => true,
        }
    }

    /// Classes that some pack may let in (`hotlists.md` section 2). The base pack forbids the others, and no pack can undo that.
    #[must_use]
    pub const fn may_be_loaded(self) -> bool {
        match self {
            Self::StolenVehicle
            | Self::StolenPlate
            | Self::WantedPerson
            | Self::MissingPerson
            | Self::AmberAlert
            | Self::Custom => true,
            Self::ProtectionOrder
            | Self::ExtremeRiskOrder
            | Self::Gang
            | Self::TerroristScreening
            | Self::SupervisedRelease
            | Self::SexOffender
            | Self::ImmigrationViolator
            | Self::ProtectiveInterest
            | Self::ViolentPerson
            | Self::Unknown => false,
        }
    }
}

/// A calendar day, UTC: `2026-11-22`. Nothing about alerts is published with a finer time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Timestamp);

impl Day {
    /// The day of a moment.
    #[must_use]
    pub const fn of(time: Timestamp) -> Self {
        Self(Timestamp(time.0.saturating_sub(time.0 % DAY_SECONDS)))
    }

    /// Its first second.
    #[must_use]
    pub const fn begin(self) -> Timestamp {
        self.0
    }
}

impl Field for Day {
    fn to_json(&self) -> Json {
        Json::text(time_text(self.0).get(..10).unwrap_or_default())
    }

    fn from_json(value: Json) -> Result<Self> {
        let midnight = format!("{}T00:00:00Z", String::from_json(value)?);
        parse_time(&midnight).map(Self).ok_or(Error::malformed("not a day"))
    }
}

json_object! {
    /// What a load did to the entries of one class.
    #[derive(Clone, Debug, PartialEq, Eq)]
    ListCounts {
        /// The class.
        class: ListClass,
        /// In the list after the load.
        accepted: u64,
        /// Of them new.
        added: u64,
        /// Gone since the load before.
        removed: u64,
        /// Of a class that the policy does not let in.
        dropped: u64,
        /// Refused one by one: wildcard, no expiry, expired.
        refused: u64,
    }
    /// A hot list changes; precedes the effect.
    #[derive(Clone, Debug, PartialEq, Eq)]
    HotlistLeaf {
        /// The list.
        list: [u8; 16],
        /// How it changes.
        kind: ListKind,
        /// Number of the load; of a configuration its serial.
        sequence: u64,
        /// When its source made it; of a configuration or an end, when it was signed.
        produced_at: Timestamp,
        /// What happened to which class; by name, each once. A configuration changes no entry.
        classes: Vec<ListCounts>,
        /// Salted digest of the set after the load; of a configuration or an end, digest of what was signed.
        set: [u8; 32],
        /// Digest of the policy decision on each class, in the order of `classes`.
        decisions: Vec<[u8; 32]>,
        /// Salted digest of the steward; of a configuration or an end, of whoever signed it.
        sd: SaltedDigests<SD_OTHER> as "_sd",
    }
    /// Alerts raised.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AlertsRaised {
        /// Class of the entry.
        class: ListClass,
        /// How the read met it.
        matched: MatchKind as "match",
        /// How many.
        n: u64,
    }
    /// Alerts not raised.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AlertsSuppressed {
        /// Why.
        reason: Suppression,
        /// How many.
        n: u64,
    }
    /// Alerts closed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AlertsClosed {
        /// Class of the entry.
        class: ListClass,
        /// How they ended.
        disposition: Disposition,
        /// Somebody was stopped.
        stopped: bool,
        /// How many.
        n: u64,
    }
    /// Alerts by the age of their entry.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AlertsEntryAge {
        /// How old.
        age: EntryAge,
        /// How many.
        n: u64,
    }
    /// Alerts by the age of their list.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AlertsListAge {
        /// How old.
        age: ListAge,
        /// How many.
        n: u64,
    }
    /// The alerts of one day, of this recorder's cameras and of this agency's officers.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AlertsLeaf {
        /// The day.
        day: Day,
        /// Raised by hits at the cameras here, by class and match, on other agencies' lists too.
        raised: Vec<AlertsRaised>,
        /// Of the raised, those on lists of other agencies, which look at them.
        handed: u64,
        /// Raised elsewhere on lists of this agency, and taken over to be looked at here.
        taken: u64,
        /// Of the raised, by the age of the entry; youngest first.
        entry_ages: Vec<AlertsEntryAge>,
        /// Of the raised, by the age of the list; youngest first.
        list_ages: Vec<AlertsListAge>,
        /// Not raised, by reason.
        suppressed: Vec<AlertsSuppressed>,
        /// Looked at, whatever was seen.
        looked: u64,
        /// Verified: looked at, and the entry confirmed.
        verified: u64,
        /// Expired: nobody looked in time.
        expired: u64,
        /// Closed, by class, disposition and stop.
        closed: Vec<AlertsClosed>,
        /// Not disposed of in time.
        overdue: u64,
    }
}

/// By name and each once: one set of counts has one text, and nobody hides a number by saying it in two places.
fn each_once<T, K: Ord>(counts: &[T], key: impl Fn(&T) -> K) -> Result<()> {
    if counts.is_sorted_by(|before, after| key(before) < key(after)) {
        Ok(())
    } else {
        Err(Error::malformed("counts of a leaf are not sorted, or stand twice"))
    }
}

impl HotlistLeaf {
    pub(super) fn check(&self) -> Result<()> {
        each_once(&self.classes, |one| one.class.name())?;
        if self.decisions.len() != self.classes.len() {
            return Err(Error::malformed("a hot-list leaf has not one decision a class"));
        }
        if self.kind == ListKind::Config && !self.classes.is_empty() {
            return Err(Error::malformed("a configuration of a hot list changes entries"));
        }
        // The second would tell which request to a list's source it belongs to.
        if self.produced_at.0.is_multiple_of(60) {
            Ok(())
        } else {
            Err(Error::malformed("a hot-list leaf's time of production has seconds"))
        }
    }
}

impl AlertsLeaf {
    pub(super) fn check(&self) -> Result<()> {
        each_once(&self.raised, |one| (one.class.name(), one.matched.name()))?;
        each_once(&self.suppressed, |one| one.reason.name())?;
        each_once(&self.entry_ages, |one| one.age)?;
        each_once(&self.list_ages, |one| one.age)?;
        let raised = self.raised.iter().fold(0_u64, |sum, one| sum.saturating_add(one.n));
        if self.handed > raised {
            return Err(Error::malformed("more alerts are other agencies' than were raised"));
        }
        each_once(&self.closed, |one| (one.class.name(), one.disposition.name(), one.stopped))
    }
}

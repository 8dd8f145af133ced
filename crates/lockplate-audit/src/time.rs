//! Months, periods and the hours of people. All times in logs are UTC seconds; a month of the register is a calendar month of UTC, so
//! that everybody counts the same. Hours of the day mean nothing in UTC, so whoever asks for them names an offset.

use core::fmt;

use lockplate_core::Timestamp;
use lockplate_core::json::{parse_time, time_text};
use serde::{Serialize, Serializer};

/// Seconds of a day.
pub const DAY: u64 = 86_400;
/// Seconds of an hour.
pub const HOUR: u64 = 3_600;
/// Largest offset from UTC that any place on earth has, minutes.
pub const ZONE_MINUTES_MAX: i16 = 14 * 60;

/// A calendar month of UTC, `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: u16,
    month: u8,
}

impl Month {
    /// The month that holds a moment; years end at 9999.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        // INVARIANT: `time_text` always writes `YYYY-MM-`.
        Self::parse(time_text(time).get(..7).unwrap_or_default()).unwrap_or(Self { year: 1970, month: 1 })
    }

    /// From exactly `YYYY-MM`, 1970 to 9999.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let digits = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return None;
        }
        let (year, month) = (year.parse().ok()?, month.parse().ok()?);
        (year >= 1970 && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// Year.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// Month, 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The month after; the last month of 9999 is its own successor.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self { year: 9_999, month: 12 } => self,
            Self { year, month: 12 } => Self { year: year.saturating_add(1), month: 1 },
            Self { year, month } => Self { year, month: month.saturating_add(1) },
        }
    }

    /// Its first second.
    #[must_use]
    pub fn start(self) -> Timestamp {
        parse_time(&format!("{self}-01T00:00:00Z")).unwrap_or(Timestamp(0))
    }

    /// The first second after it.
    #[must_use]
    pub fn end(self) -> Timestamp {
        if self.next() == self { Timestamp(u64::MAX) } else { self.next().start() }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What figures are counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// One calendar month of UTC.
    Month(Month),
    /// Since the logs began.
    All,
}

impl Period {
    /// True if the moment lies in it.
    #[must_use]
    pub fn holds(self, time: Timestamp) -> bool {
        match self {
            Self::Month(month) => month.start() <= time && time < month.end(),
            Self::All => true,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Month(month) => month.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Minutes that the clocks of people are ahead of UTC. No leaf says where its reader lives, so this is the caller's word and is printed
/// beside every figure that rests on it. One offset for a whole period: with daylight saving it is an hour wrong for part of the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneOffset(i16);

impl ZoneOffset {
    /// UTC itself.
    pub const UTC: Self = Self(0);

    /// From minutes ahead of UTC (Connecticut in winter: -300); `None` beyond 14 hours.
    #[must_use]
    pub fn from_minutes(minutes: i16) -> Option<Self> {
        (-ZONE_MINUTES_MAX..=ZONE_MINUTES_MAX).contains(&minutes).then_some(Self(minutes))
    }

    /// Minutes ahead of UTC.
    #[must_use]
    pub const fn minutes(self) -> i16 {
        self.0
    }

    /// Hour of the day there, 0 to 23.
    #[must_use]
    pub fn hour(self, time: Timestamp) -> u8 {
        // A day is added so that a place behind UTC does not go below zero at the beginning of time.
        let minutes = i64::try_from(time.0 / 60).unwrap_or(i64::MAX / 2).saturating_add(1_440);
        let hour = minutes.saturating_add(i64::from(self.0)).div_euclid(60).rem_euclid(24);
        u8::try_from(hour).unwrap_or(0)
    }
}

impl fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.unsigned_abs();
        write!(f, "UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl Serialize for ZoneOffset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

pub(crate) fn text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time_text(*time))
}

pub(crate) fn text_or_null<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_some(&time_text(*time)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        parse_time(text).unwrap()
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let november = Month::of(at("2026-11-30T23:59:59Z"));
        assert_eq!(november.to_string(), "2026-11");
        assert_eq!(november.next(), Month::of(at("2026-12-01T00:00:00Z")));
        assert_eq!(Month::parse("2026-12").unwrap().next().to_string(), "2027-01");
        assert!(Period::Month(november).holds(at("2026-11-01T00:00:00Z")));
        assert!(!Period::Month(november).holds(at("2026-10-31T23:59:59Z")));
        assert!(!Period::Month(november).holds(at("2026-12-01T00:00:00Z")));
        assert!(Period::All.holds(Timestamp(0)));
    }

    #[test]
    fn only_one_form_of_a_month_is_read() {
        for bad in ["2026-13", "2026-00", "1969-12", "2026-1", "26-11", "2026-11-01", "+026-11", ""] {
            assert_eq!(Month::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_hour_is_that_of_the_place() {
        let time = at("2026-11-22T03:30:00Z");
        assert_eq!(ZoneOffset::UTC.hour(time), 3);
        assert_eq!(ZoneOffset::from_minutes(-300).unwrap().hour(time), 22);
        assert_eq!(ZoneOffset::from_minutes(330).unwrap().hour(time), 9);
        assert_eq!(ZoneOffset::from_minutes(-300).unwrap().hour(Timestamp(0)), 19);
        assert_eq!(ZoneOffset::from_minutes(-300).unwrap().to_string(), "UTC-05:00");
        assert_eq!(ZoneOffset::from_minutes(840).unwrap().minutes(), 840);
        assert_eq!(ZoneOffset::from_minutes(841), None);
        assert_eq!(ZoneOffset::from_minutes(-841), None);
    }

    proptest! {
        #[test]
        fn every_moment_has_a_month_and_an_hour(time in any::<u64>(), minutes in -840_i16..=840) {
            let month = Month::of(Timestamp(time));
            prop_assert!(Month::parse(&month.to_string()) == Some(month));
            prop_assert!(ZoneOffset::from_minutes(minutes).unwrap().hour(Timestamp(time)) < 24);
        }
    }
}

//! Calendar months, UTC: the unit in which what is private of requests is wrapped, and erased.

use lockplate_core::Timestamp;

const DAY: u64 = 86_400;

/// A calendar month: twelve times the year, plus the month counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::keeper) struct Month(pub(in crate::keeper) u32);

impl Month {
    /// The month in which a moment lies.
    pub(in crate::keeper) fn of(time: Timestamp) -> Self {
        // Days from 0000-03-01, so that a leap day is the last day of its year (Hinnant, "chrono-compatible low-level date
        // algorithms"). An era is 400 years; nothing here can be negative.
        let days = (time.0 / DAY).saturating_add(719_468);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let march_year = era.saturating_mul(400).saturating_add(year_of_era);
        let months = march_year.saturating_mul(12).saturating_add(from_march).saturating_add(2);
        Self(u32::try_from(months).unwrap_or(u32::MAX))
    }

    /// The first moment that is no longer in it.
    pub(in crate::keeper) fn end(self) -> Timestamp {
        let from_march = u64::from(self.0).saturating_add(1).saturating_sub(2);
        let (year, month) = (from_march / 12, from_march % 12);
        let (era, year_of_era) = (year / 400, year % 400);
        let day_of_year = (153 * month + 2) / 5;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era.saturating_mul(146_097).saturating_add(day_of_era).saturating_sub(719_468);
        Timestamp(days.saturating_mul(DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn month(year: u32, month: u32) -> Month {
        Month(year * 12 + month - 1)
    }

    #[test]
    fn known_months_begin_and_end_where_the_calendar_says() {
        // Times by `date -u -d`.
        for (of, end) in [
            (month(1970, 1), 2_678_400),
            (month(2000, 2), 951_868_800),
            (month(2026, 2), 1_772_323_200),
            (month(2026, 11), 1_796_083_200),
            (month(2026, 12), 1_798_761_600),
            (month(2028, 2), 1_835_481_600),
            (month(2100, 2), 4_107_542_400),
        ] {
            assert_eq!(of.end(), Timestamp(end), "{of:?}");
            assert_eq!(Month::of(Timestamp(end - 1)), of);
            assert_eq!(Month::of(Timestamp(end)), Month(of.0 + 1));
        }
        assert_eq!(Month::of(Timestamp(0)), month(1970, 1));
    }

    proptest! {
        #[test]
        fn a_moment_lies_before_the_end_of_its_month_and_not_before_the_end_of_the_last(time in 0_u64..253_402_300_800) {
            let of = Month::of(Timestamp(time));
            prop_assert!(time < of.end().0);
            prop_assert!(of.0 == 1970 * 12 || Month(of.0 - 1).end().0 <= time);
        }

        #[test]
        fn every_time_has_a_month(time: u64) {
            let _total = Month::of(Timestamp(time)).end();
        }
    }
}

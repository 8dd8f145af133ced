//! The source's time (`intake.md` sections 3 and 4): texts with an offset and epoch numbers are exact, local texts need the
//! zone configured for the source. Nothing here knows the current time; the camera's clock is judged in `normalise.rs`.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};
use lockplate_core::read::TimeQuality;

/// 2000-01-01T00:00:00Z, ms. Earlier is no capture time.
pub const TIME_MS_MIN: i64 = 946_684_800_000;
/// 2100-01-01T00:00:00Z, ms. This or later is no capture time.
pub const TIME_MS_MAX: i64 = 4_102_444_800_000;

/// A time as the source gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceTime {
    /// Unix ms.
    pub ms: i64,
    /// How good it is.
    pub quality: TimeQuality,
}

/// The begin of its minute, ms: as near as what is kept over a restart says when something was read.
#[must_use]
pub const fn whole_minute(ms: i64) -> i64 {
    ms.saturating_sub(ms.rem_euclid(60_000))
}

/// An IANA zone; the database is compiled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// From its IANA name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.iana_name()
    }

    /// The wall clock of an instant as `yyyymmddTHHMMSS`, as cameras are asked in; `ms` is Unix time.
    #[must_use]
    pub fn digits(&self, ms: i64) -> Option<String> {
        self.wall_clock(ms, "%Y%m%dT%H%M%S")
    }

    /// The wall clock of an instant in the form of `strftime`; `ms` is Unix time.
    pub(crate) fn wall_clock(&self, ms: i64, form: &str) -> Option<String> {
        let at = Timestamp::from_millisecond(ms).ok()?;
        strtime::format(form, &ZonedDateTime::new(at, self.0.clone())).ok()
    }
}

/// A time from text: RFC 3339 with offset or `Z`, an epoch number in text, or local text in `zone`.
#[must_use]
pub fn from_text(text: &str, zone: Option<&Zone>) -> Option<SourceTime> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    if let Ok(number) = text.parse::<f64>() {
        return from_number(number);
    }
    if let Ok(exact) = text.parse::<Timestamp>() {
        return within(exact.as_millisecond(), TimeQuality::Exact);
    }
    let has_clock = text.contains(':') && text.len() >= 16;
    from_local(text.parse::<DateTime>().ok().filter(|_| has_clock)?, zone?)
}

/// A local time that is dressed as an epoch number, by size as in [`from_number`]: its wall clock, read in `zone`.
#[must_use]
pub fn from_local_number(number: f64, zone: Option<&Zone>) -> Option<SourceTime> {
    let dressed = Timestamp::from_millisecond(from_number(number)?.ms).ok()?;
    from_local(TimeZone::UTC.to_datetime(dressed), zone?)
}

fn from_local(local: DateTime, zone: &Zone) -> Option<SourceTime> {
    let ambiguous = zone.0.to_ambiguous_timestamp(local);
    let quality = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => TimeQuality::AssumedZone,
        AmbiguousOffset::Gap { .. } | AmbiguousOffset::Fold { .. } => TimeQuality::Ambiguous,
    };
    // The earlier instant of a repeated hour, the later of a skipped one.
    within(ambiguous.compatible().ok()?.as_millisecond(), quality)
}

/// A time from an epoch number, by size: < 1e11 seconds, < 1e14 ms, < 1e17 us, else ns. Outside 2000..2100: absent.
#[must_use]
pub fn from_number(number: f64) -> Option<SourceTime> {
    let ms = if number < 1e11 {
        number * 1e3
    } else if number < 1e14 {
        number
    } else if number < 1e17 {
        number / 1e3
    } else {
        number / 1e6
    };
    if !(0.0..1e13).contains(&ms) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "0..1e13 in the line above, far inside i64")]
    let whole = ms.round() as i64;
    within(whole, TimeQuality::Exact)
}

fn within(ms: i64, quality: TimeQuality) -> Option<SourceTime> {
    (TIME_MS_MIN..TIME_MS_MAX).contains(&ms).then_some(SourceTime { ms, quality })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(ms: i64) -> Option<SourceTime> {
        Some(SourceTime { ms, quality: TimeQuality::Exact })
    }

    #[test]
    fn numbers_by_size_and_the_bounds() {
        let t = 1_774_000_000.0;
        assert_eq!(from_number(t), exact(1_774_000_000_000));
        assert_eq!(from_number(t + 0.25), exact(1_774_000_000_250));
        assert_eq!(from_number(t * 1e3), exact(1_774_000_000_000));
        assert_eq!(from_number(t * 1e6), exact(1_774_000_000_000));
        assert_eq!(from_number(t * 1e9), exact(1_774_000_000_000));
        assert_eq!(from_text("1774000000123", None), exact(1_774_000_000_123));
        assert_eq!(from_number(946_684_800.0), exact(TIME_MS_MIN));
        assert_eq!(from_number(4_102_444_799.999), exact(TIME_MS_MAX - 1));
        for bad in [0.0, -1.0, 946_684_799.999, 4_102_444_800.0, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(from_number(bad), None, "{bad}");
        }
    }

    #[test]
    fn texts_with_offset_are_exact() {
        for text in ["2026-03-02T05:00:27.066Z", "2026-03-02T00:00:27.066-05:00", "2026-03-02 05:00:27.066+00:00"] {
            assert_eq!(from_text(text, None), exact(1_772_427_627_066), "{text}");
        }
    }

    #[test]
    fn local_texts_need_a_zone() {
        let zone = Zone::parse("America/New_York").unwrap();
        let at = |text: &str| from_text(text, Some(&zone)).map(|t| (t.ms, t.quality));
        assert_eq!(from_text("2026-03-02 00:00:27", None), None);
        assert_eq!(at("2026-03-02 00:00:27.066345"), Some((1_772_427_627_066, TimeQuality::AssumedZone)));
        // 2026-11-01 01:30 happens twice, the earlier is at -04:00; 2026-03-08 02:30 does not happen, the later is 03:30 -04:00.
        assert_eq!(at("2026-11-01 01:30:00"), Some((1_793_511_000_000, TimeQuality::Ambiguous)));
        assert_eq!(at("2026-03-08 02:30:00"), Some((1_772_955_000_000, TimeQuality::Ambiguous)));
        for bad in ["", "yesterday", "2026-03-02", "2026-13-02 00:00:00", "1999-12-31 00:00:00", "2026-03-02 25:00:00"]
        {
            assert_eq!(at(bad), None, "{bad}");
        }
        assert_eq!(Zone::parse("Mars/Olympus"), None);
    }

    #[test]
    fn an_instant_has_the_digits_of_its_wall_clock() {
        let zone = Zone::parse("America/New_York").unwrap();
        assert_eq!(zone.digits(1_772_427_627_066).as_deref(), Some("20260302T000027"));
        assert_eq!(zone.digits(i64::MAX), None);
    }

    #[test]
    fn local_numbers_mean_their_wall_clock() {
        let zone = Zone::parse("America/New_York").unwrap();
        let at = |number: f64| from_local_number(number, Some(&zone)).map(|t| (t.ms, t.quality));
        // As the texts 2026-03-02 00:00:27.066 and 2026-11-01 01:30:00.
        assert_eq!(at(1_772_409_627.066), Some((1_772_427_627_066, TimeQuality::AssumedZone)));
        assert_eq!(at(1_793_496_600.0), Some((1_793_511_000_000, TimeQuality::Ambiguous)));
        assert_eq!((from_local_number(1_772_409_627.0, None), at(0.0), at(f64::NAN)), (None, None, None));
    }
}

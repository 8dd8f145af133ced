//! Times in files of hot lists: RFC 3339, or a pattern of a template in the zone that the template names. There is no default: a text
//! that does not fit is a refusal, never another time.

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, ToSpan as _};
use lockplate_core::Timestamp;

use super::limits::WORD_BYTES_MAX;

/// What a pattern may say; no names of zones, no weekdays, no offsets.
const DIRECTIVES: &str = "YymdjbHMSIp";

/// How a template writes times.
#[derive(Clone, Debug)]
pub(super) enum DateForm {
    /// With an offset.
    Rfc3339,
    /// Local, by a pattern of `strptime`.
    Local {
        /// The pattern.
        pattern: String,
        /// Where its clock hangs.
        zone: TimeZone,
        /// It says the hour. Without one it means a day.
        has_clock: bool,
        /// An entry is in force on the day that its end names.
        last_day_included: bool,
    },
}

/// RFC 3339 with its offset, after 1970.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    // Eleven characters of date and `T`: jiff also reads shorter forms of ISO 8601.
    if text.len() > WORD_BYTES_MAX || !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    seconds(text.parse::<Instant>().ok()?)
}

fn seconds(instant: Instant) -> Option<Timestamp> {
    u64::try_from(instant.as_second()).ok().map(Timestamp)
}

/// Does the pattern say a day, and nothing that this reader does not know? With it: does it say the hour?
pub(super) fn pattern_has_clock(pattern: &str) -> Option<bool> {
    let mut said = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => said.push(rest.next().filter(|directive| DIRECTIVES.contains(*directive))?),
            ' '..='~' if !c.is_ascii_digit() => {}
            _ => return None,
        }
    }
    let says = |directive: char| said.contains(&directive);
    let year = says('Y') || says('y');
    let day = says('j') || ((says('m') || says('b')) && says('d'));
    let hour = says('H') || (says('I') && says('p'));
    let half_an_hour = says('I') != says('p') || (!hour && (says('M') || says('S')));
    (year && day && !half_an_hour).then_some(hour)
}

impl DateForm {
    /// When something begins.
    pub(super) fn begin(&self, text: &str) -> Option<Timestamp> {
        self.read(text, false)
    }

    /// When something ends.
    pub(super) fn end(&self, text: &str) -> Option<Timestamp> {
        self.read(text, true)
    }

    fn read(&self, text: &str, ends: bool) -> Option<Timestamp> {
        match self {
            Self::Rfc3339 => rfc3339(text),
            Self::Local { .. } if text.len() > WORD_BYTES_MAX => None,
            Self::Local { pattern, zone, has_clock, last_day_included } => {
                let broken = BrokenDownTime::parse(pattern, text).ok()?;
                let local = if *has_clock {
                    broken.to_datetime().ok()?
                } else {
                    let day = broken.to_date().ok()?;
                    let later = ends && *last_day_included;
                    let day = if later { day.checked_add(1.day()).ok()? } else { day };
                    day.at(0, 0, 0, 0)
                };
                seconds(zone.to_ambiguous_timestamp(local).compatible().ok()?)
            }
        }
    }
}

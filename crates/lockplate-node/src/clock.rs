//! The only place of the project that asks the operating system for the time. It must never decide anything from a
//! time: it hands out values, the floors below judge them. Every other module takes a [`Clock`], or a time as a
//! parameter, and tests hand in a [`TestClock`].

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the shell gets the time from (architecture.md, "Time and randomness are parameters").
///
/// Both methods are cheap, never block, and may be called from any thread.
pub trait Clock: Send + Sync {
    /// Wall-clock time: milliseconds since 1970-01-01T00:00:00Z, negative before it.
    ///
    /// May jump in both directions (NTP, an operator). Destruction never follows this clock alone.
    fn now_ms(&self) -> i64;

    /// Time since an arbitrary fixed point of this process; never goes back, does not follow changes of the wall clock.
    fn monotonic(&self) -> Duration;
}

/// The clock of the operating system.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic reading starts at zero.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this type is the one legitimate reader of the operating system's clocks"
    )]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this type is the one legitimate reader of the operating system's clocks"
    )]
    fn now_ms(&self) -> i64 {
        // A clock outside the range of i64 milliseconds saturates: it is then so wrong that every validity window
        // refuses it.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until told otherwise, for tests of this crate and of others.
///
/// Its two readings are set apart from each other, so that a test can make them disagree.
#[derive(Debug)]
pub struct TestClock {
    readings: Mutex<(i64, Duration)>,
}

impl TestClock {
    /// A clock that shows `now_ms` (unix milliseconds) and a monotonic reading of zero.
    #[must_use]
    pub const fn new(now_ms: i64) -> Self {
        Self { readings: Mutex::new((now_ms, Duration::ZERO)) }
    }

    /// Moves both readings forward by the same time, as real time passing would. Saturates.
    pub fn advance(&self, by: Duration) {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.0 = readings.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
        readings.1 = readings.1.saturating_add(by);
    }

    /// Sets the wall clock alone, as NTP or an attacker would.
    pub fn jump_to(&self, now_ms: i64) {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).0 = now_ms;
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_in_this_century_and_its_monotonic_reading_does_not_go_back() {
        let clock = SystemClock::new();
        let year_2020_ms = 1_577_836_800_000;
        assert!(clock.now_ms() > year_2020_ms);
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }

    #[test]
    fn a_jump_of_the_wall_clock_leaves_the_monotonic_reading_alone() {
        let clock = TestClock::new(1_000);
        clock.advance(Duration::from_secs(2));
        assert_eq!((clock.now_ms(), clock.monotonic()), (3_000, Duration::from_secs(2)));
        clock.jump_to(-5);
        assert_eq!((clock.now_ms(), clock.monotonic()), (-5, Duration::from_secs(2)));
        clock.jump_to(i64::MAX);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now_ms(), i64::MAX);
    }
}

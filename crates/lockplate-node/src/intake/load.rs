//! How many reads come in, against what the recorder is rated for. The alarm `rated-load` tells people that the machine carries more than
//! it was measured at, before anything is turned away; it must never turn anything away itself.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// The mean is that of so many seconds.
const MEAN_SECONDS: u32 = 60;

/// The load as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LoadHealth {
    /// Reads a second that the recorder is rated for.
    pub rated_reads_per_second: u32,
    /// Reads made durable in the last minute, those of imported files apart.
    pub reads_last_minute: u64,
    /// Alarm `rated-load`: the mean of the last minute is above the rated load.
    pub rated_load_passed: bool,
}

/// Counts reads by the second of a monotonic clock.
#[derive(Debug)]
pub(super) struct Load {
    rated: u32,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Second and reads, oldest first; at most [`MEAN_SECONDS`] of them.
    seconds: VecDeque<(u64, u64)>,
    told: bool,
}

impl Load {
    pub(super) fn new(rated: u32) -> Self {
        Self { rated, book: Mutex::default() }
    }

    /// Notes reads that became durable.
    pub(super) fn count(&self, now: Duration, reads: u64) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.forget(now);
        match book.seconds.back_mut() {
            // Later where another task was faster at the turn of a second.
            Some((second, count)) if *second >= now.as_secs() => *count = count.saturating_add(reads),
            Some(_) | None => book.seconds.push_back((now.as_secs(), reads)),
        }
    }

    pub(super) fn health(&self, now: Duration) -> LoadHealth {
        self.judge(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// Traces the alarm where it begins, and its end.
    pub(super) fn watch(&self, now: Duration) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let health = self.judge(&mut book, now);
        if health.rated_load_passed != book.told {
            book.told = health.rated_load_passed;
            let LoadHealth { rated_reads_per_second: rated, reads_last_minute: reads, .. } = health;
            if book.told {
                tracing::warn!(rated, reads, "rated-load: more reads in a minute than this recorder is rated for");
            } else {
                tracing::info!(rated, reads, "rated-load: over");
            }
        }
    }

    fn judge(&self, book: &mut Book, now: Duration) -> LoadHealth {
        book.forget(now);
        let reads_last_minute = book.seconds.iter().fold(0, |sum: u64, (_, reads)| sum.saturating_add(*reads));
        LoadHealth {
            rated_reads_per_second: self.rated,
            reads_last_minute,
            rated_load_passed: reads_last_minute > u64::from(self.rated).saturating_mul(MEAN_SECONDS.into()),
        }
    }
}

impl Book {
    fn forget(&mut self, now: Duration) {
        while self.seconds.front().is_some_and(|(at, _)| at.saturating_add(MEAN_SECONDS.into()) <= now.as_secs()) {
            self.seconds.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn the_alarm_is_that_of_a_minute_above_the_rated_load() {
        let load = Load::new(2);
        load.count(at(100), 120);
        assert!(!load.health(at(100)).rated_load_passed, "a burst that the minute can carry");
        load.count(Duration::from_millis(101_999), 1);
        assert_eq!(
            load.health(at(101)),
            LoadHealth { rated_reads_per_second: 2, reads_last_minute: 121, rated_load_passed: true }
        );
        assert!(load.health(at(159)).rated_load_passed);
        assert!(!load.health(at(160)).rated_load_passed, "the burst is a minute ago");
    }

    #[test]
    fn it_is_traced_where_it_begins_and_where_it_ends() {
        let load = Load::new(1);
        let told = |second| {
            load.watch(at(second));
            load.book.lock().unwrap().told
        };
        assert!(!told(1));
        load.count(at(1), 61);
        assert!(told(1) && told(2) && !told(61));
    }

    #[test]
    fn it_remembers_a_minute_however_long_it_runs() {
        let load = Load::new(1);
        (0..1_000).for_each(|second| load.count(at(second), u64::MAX));
        assert!(load.book.lock().unwrap().seconds.len() <= 60);
        assert_eq!(load.health(at(999)).reads_last_minute, u64::MAX);
    }
}

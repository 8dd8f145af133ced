//! What the searches of one command share, so that a hundred owners cost the own desk and this machine little more than one: how often
//! the desk is looked at, whose turn it is to log on. Nothing here makes one owner wait for another one's answer.

use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// Longest pause between two looks at the desk for one request.
const POLL: Duration = Duration::from_millis(250);
/// First pause: keepers that ask no person answer within milliseconds. Each one is half as long again as the one before, up to [`POLL`].
const POLL_FIRST: Duration = Duration::from_millis(5);
/// Looks after which a pause is [`POLL`], whatever the count.
const LOOKS_QUICK: u32 = 10;
/// Requests that may be looked at within one [`POLL`]: more make each look rarer, so that the desk answers some 32 looks a second.
const LOOKS_A_POLL: usize = 8;

/// The count of what is under way.
#[derive(Debug, Default)]
pub(super) struct Load {
    waiting: AtomicUsize,
    log_on: Mutex<()>,
}

/// Counts for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Load {
    /// A request whose answer is waited for.
    pub(super) fn waits(&self) -> Counted<'_> {
        Counted::new(&self.waiting)
    }

    /// Pause before the next look at the same request, after `looks` of them in vain.
    pub(super) fn pause(&self, looks: u32) -> Duration {
        let pause = (0..looks.min(LOOKS_QUICK)).fold(POLL_FIRST, |pause, _| pause.saturating_mul(3) / 2).min(POLL);
        let turns = self.waiting.load(Ordering::Relaxed).div_ceil(LOOKS_A_POLL).max(1);
        pause.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX))
    }

    /// The desk counts a try before it judges it and locks a key after five: so logging on goes one after the other.
    pub(super) async fn log_on(&self) -> MutexGuard<'_, ()> {
        self.log_on.lock().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_looks_are_quick_and_the_later_ones_are_not() {
        let load = Load::default();
        assert_eq!(load.pause(0), POLL_FIRST);
        let pauses: Vec<_> = (0..12).map(|looks| load.pause(looks)).collect();
        assert!(pauses.is_sorted());
        assert_eq!(pauses[10..], [POLL; 2]);
        assert!(
            pauses[..6].iter().sum::<Duration>() < POLL / 2,
            "a search that nobody thinks about waits for no long pause"
        );
    }

    #[test]
    fn many_owners_are_looked_at_more_rarely() {
        let load = Load::default();
        let late = u32::MAX;
        assert_eq!(load.pause(late), POLL, "also before anybody waits");
        let one = load.waits();
        assert_eq!(load.pause(late), POLL);
        let more: Vec<_> = (1..100).map(|_| load.waits()).collect();
        assert_eq!(load.pause(late), POLL * 13, "100 requests, 8 looks a quarter of a second");
        drop(more);
        assert_eq!(load.pause(late), POLL);
        drop(one);
    }
}

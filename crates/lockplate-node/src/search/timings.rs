//! How long the parts of one search took, by the clock of the officer's own machine. It holds durations and nothing of what was asked: a
//! trace may show it, and the bench reads it.

use core::time::Duration;

use crate::clock::Clock;

/// The parts, in their order; what is done side by side is counted where it is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Drawing up, logging on, until the desk has the request on its disk. Zero where it was filed before.
    pub filing: Duration,
    /// Until enough keepers have approved.
    pub approving: Duration,
    /// The list of periods and the register of the owner, beyond the wait for approvals.
    pub listing: Duration,
    /// Until enough keepers have evaluated and their answers are verified.
    pub evaluating: Duration,
    /// Combining, fetching every bucket, proving and opening it.
    pub opening: Duration,
    /// Names of places, and telling the desk what was disclosed.
    pub telling: Duration,
    /// Of all this, the cryptography of this machine after the filing: evaluations verified and combined, buckets proved and opened.
    pub cryptography: Duration,
}

/// Tells how long it was since it was asked last.
pub(super) struct Laps<'a> {
    clock: &'a dyn Clock,
    last: Duration,
}

impl<'a> Laps<'a> {
    pub(super) fn start(clock: &'a dyn Clock) -> Self {
        Self { clock, last: clock.monotonic() }
    }

    pub(super) fn lap(&mut self) -> Duration {
        let now = self.clock.monotonic();
        let lap = now.saturating_sub(self.last);
        self.last = now;
        lap
    }
}

//! Draws from the few distributions that a profile names.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// From this mean on, a number of events is drawn as a rounded normal.
const POISSON_SMALL_MAX: f64 = 50.0;

/// One stream of draws.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// A stream of its own for each `purpose`, so that what is drawn for one agency does not hang on another.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(purpose);
        Self(rng)
    }

    pub(super) fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Below 1, at least 0.
    pub(super) fn part(&mut self) -> f64 {
        real(self.bits() >> 11) / real(1 << 53)
    }

    /// Below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The bias of a multiplication by less than 2^32 is far below what is looked at here.
        u64::try_from((u128::from(self.bits()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.part()).ln()).sqrt() * (core::f64::consts::TAU * self.part()).cos()
    }

    /// How many events there are where `mean` are expected.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        if mean > POISSON_SMALL_MAX {
            return whole(mean + mean.sqrt() * self.normal());
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.part(), 0);
        while product > limit {
            product *= self.part();
            count += 1;
        }
        count
    }

    /// At least 1, with this mean.
    pub(super) fn geometric(&mut self, mean: f64) -> u64 {
        let mut count = 1;
        while self.part() >= 1.0 / mean {
            count += 1;
        }
        count
    }

    /// Time to the next event of `rate` a second.
    pub(super) fn gap(&mut self, rate: f64) -> f64 {
        -(1.0 - self.part()).ln() / rate
    }
}

/// As a number with a point. Exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

/// Rounded; 0 for what is negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and a cast of a float saturates")]
pub(super) fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

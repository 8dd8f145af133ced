//! Invented plates: one in four reads is of a plate that was read before (`docs/performance.md`), the same on both sides.

/// One plate in so many was read before.
pub(crate) const REPEATED_ONE_IN: u64 = 4;

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95) | 1)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// Plate number `number`: seven characters, every number another up to 36^7.
pub(crate) fn plate(number: u64) -> String {
    // Neighbours look alike in nothing: the factor is prime and no divisor of 36^7.
    let mut left = number.wrapping_mul(2_654_435_761) % 36_u64.pow(7);
    let mut text = String::with_capacity(7);
    for _ in 0..7 {
        text.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[usize::try_from(left % 36).unwrap_or(0)]));
        left /= 36;
    }
    text
}

//! The generators the binary hands down: the operating system's, and the recorder's hedged one. Neither may ever return
//! predictable bytes: a failing source aborts the process (LPv1 §2). The values go to every function of the lower
//! floors that takes `rng`.

use core::convert::Infallible;
use core::fmt;

use hkdf::Hkdf;
use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Fresh bytes drawn from the underlying source for each call of [`HedgedRng`] (LPv1 §2).
const HEDGE_IKM_BYTES: usize = 64;

/// Most bytes one HKDF-SHA-256 expansion yields: 255 blocks of 32 bytes (RFC 5869 §2.3).
const HKDF_OUTPUT_BYTES_MAX: usize = 255 * 32;

/// Domain of the hedged generator (LPv1 §2).
const HEDGE_LABEL: &[u8] = b"LPv1 rng";

/// The generator of the operating system (`getrandom`). Aborts the process where the source fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl TryRng for SystemRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this type is the one legitimate reader of the operating system's randomness"
    )]
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        if getrandom::fill(dst).is_err() {
            // Not a panic: an unwinding thread could be caught and go on with whatever `dst` holds.
            tracing::error!("the operating system's random source failed; the process stops");
            std::process::abort();
        }
        Ok(())
    }
}

impl TryCryptoRng for SystemRng {}

/// The recorder's generator: HKDF(salt = device secret, ikm = 64 fresh bytes of `source`, info = `"LPv1 rng" ||
/// epoch_id || counter`).
///
/// Secure while the operating system's source **or** the device secret is good: a machine image cloned with its random
/// state still gives other bytes on another device and epoch. `counter` is a big-endian u64 that counts the expansions
/// of this value. Source: LPv1 §2.
pub struct HedgedRng<S = SystemRng> {
    device_secret: Zeroizing<[u8; 32]>,
    epoch_id: [u8; 16],
    counter: u64,
    source: S,
}

impl HedgedRng<SystemRng> {
    /// A generator for one epoch, fed by the operating system.
    #[must_use]
    pub fn new(device_secret: Zeroizing<[u8; 32]>, epoch_id: [u8; 16]) -> Self {
        Self::with_source(device_secret, epoch_id, SystemRng)
    }
}

impl<S: CryptoRng> HedgedRng<S> {
    /// A generator over another source: seeded streams in tests and the simulator.
    #[must_use]
    pub fn with_source(device_secret: Zeroizing<[u8; 32]>, epoch_id: [u8; 16], source: S) -> Self {
        Self { device_secret, epoch_id, counter: 0, source }
    }

    fn expand(&mut self, okm: &mut [u8]) {
        let mut ikm = Zeroizing::new([0; HEDGE_IKM_BYTES]);
        self.source.fill_bytes(ikm.as_mut_slice());
        let kdf = Hkdf::<Sha256>::new(Some(self.device_secret.as_slice()), ikm.as_slice());
        let counter = self.counter.to_be_bytes();
        let expanded = kdf.expand_multi_info(&[HEDGE_LABEL, &self.epoch_id, &counter], okm);
        self.counter = self.counter.wrapping_add(1);
        if expanded.is_err() {
            // INVARIANT: `try_fill_bytes` hands in at most HKDF_OUTPUT_BYTES_MAX bytes. Were it broken, `okm` would
            // hold no randomness.
            std::process::abort();
        }
    }
}

impl<S> fmt::Debug for HedgedRng<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgedRng").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl<S: CryptoRng> TryRng for HedgedRng<S> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.expand(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.expand(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for part in dst.chunks_mut(HKDF_OUTPUT_BYTES_MAX) {
            self.expand(part);
        }
        Ok(())
    }
}

impl<S: CryptoRng> TryCryptoRng for HedgedRng<S> {}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    /// A source that has lost all its randomness: the case hedging exists for.
    struct Stuck;

    impl TryRng for Stuck {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(0)
        }
        fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
            dst.fill(0);
            Ok(())
        }
    }
    impl TryCryptoRng for Stuck {}

    fn drawn(secret: u8, epoch: u8, len: usize) -> Vec<u8> {
        let mut rng = HedgedRng::with_source(Zeroizing::new([secret; 32]), [epoch; 16], Stuck);
        let mut out = vec![0; len];
        rng.fill_bytes(&mut out);
        out
    }

    fn is_crypto_rng(_: &mut impl CryptoRng) {}

    #[test]
    fn both_generators_are_what_the_lower_floors_ask_for() {
        is_crypto_rng(&mut SystemRng);
        is_crypto_rng(&mut HedgedRng::new(Zeroizing::new([1; 32]), [2; 16]));
    }

    #[test]
    fn the_system_generator_does_not_repeat() {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        SystemRng.fill_bytes(&mut first);
        SystemRng.fill_bytes(&mut second);
        assert_ne!(first, second);
        assert_ne!(first, [0; 32]);
    }

    #[test]
    fn with_a_dead_source_secret_epoch_and_counter_still_part_the_streams() {
        assert_ne!(drawn(1, 1, 32), drawn(2, 1, 32), "another device");
        assert_ne!(drawn(1, 1, 32), drawn(1, 2, 32), "another epoch");
        let mut rng = HedgedRng::with_source(Zeroizing::new([1; 32]), [1; 16], Stuck);
        assert_ne!(rng.next_u64(), rng.next_u64(), "another call");
    }

    #[test]
    fn the_expansion_is_hkdf_as_written_in_the_protocol() {
        // RFC 5869 by hand over HMAC-free input: salt = 01*32, ikm = 00*64, info = label || 02*16 || counter 0.
        let kdf = Hkdf::<Sha256>::new(Some(&[1; 32]), &[0; 64]);
        let mut info = b"LPv1 rng".to_vec();
        info.extend_from_slice(&[2; 16]);
        info.extend_from_slice(&0_u64.to_be_bytes());
        let mut expected = vec![0; 100];
        kdf.expand(&info, &mut expected).unwrap();
        assert_eq!(drawn(1, 2, 100), expected);
    }

    #[test]
    fn a_buffer_longer_than_one_expansion_is_filled_to_its_end() {
        let out = drawn(1, 2, HKDF_OUTPUT_BYTES_MAX + 40);
        let tail = &out[HKDF_OUTPUT_BYTES_MAX..];
        assert_ne!(tail, &[0; 40]);
        assert_ne!(tail, &out[..40], "the tail has its own counter");
    }

    #[test]
    fn debug_shows_no_secret() {
        let rng = HedgedRng::new(Zeroizing::new([0xAB; 32]), [2; 16]);
        assert_eq!(format!("{rng:?}"), "HedgedRng { counter: 0, .. }");
    }
}

//! The public surface: standard vectors, an independent implementation as oracle, known answers, refusals, and every subset of keepers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed, in its helpers too")]

mod known;
mod oracle;
mod proof;
mod refusals;
mod rfc9497;
mod secrecy;
mod subsets;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

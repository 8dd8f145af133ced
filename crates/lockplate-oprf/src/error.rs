//! The one error of this crate: a closed list of `Copy` values that carry nothing taken from an input.

use core::fmt;

/// Why an operation was refused.
///
/// No variant holds data: a key, a share or an input can never travel in an error. Who is at fault follows from whose bytes were given; the
/// caller knows that, this crate does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Bytes are not 32 bytes long, or are not the canonical encoding of a ristretto255 element (RFC 9496 §4.3.1).
    MalformedElement,
    /// The identity element, which LPv1 §2 and §8 refuse everywhere: it would make every key give the same value.
    IdentityElement,
    /// Bytes are not 32 bytes long, or are not a scalar below the group order.
    MalformedScalar,
    /// The scalar zero, refused as key, share, blind and pepper.
    ZeroScalar,
    /// A proof is not 64 bytes long or holds a scalar that is not canonical.
    MalformedProof,
    /// A commitment is not `32 * t` bytes long.
    MalformedCommitment,
    /// An input is longer than [`INPUT_BYTES_MAX`](crate::oprf::INPUT_BYTES_MAX).
    InputTooLong,
    /// `2 <= t <= n <= 16` does not hold.
    InvalidThreshold,
    /// A share index is not in `1..=16`, or lies beyond the `n` of its threshold.
    InvalidIndex,
    /// One share index occurs twice.
    DuplicateIndex,
    /// Fewer than `t` shares or evaluations.
    TooFewShares,
    /// A share does not lie on the committed polynomial: dealer or transport gave a wrong share.
    ShareOffCommitment,
    /// No statement, more than [`STATEMENTS_MAX`](crate::proof::STATEMENTS_MAX), or another number of shares than of statements.
    StatementCount,
    /// A share given to the prover has another index than the one the proof is for.
    IndexMismatch,
    /// The proof does not hold for these statements: at least one evaluation was not made with the committed share.
    InvalidProof,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MalformedElement => "bytes are not a canonical ristretto255 element",
            Self::IdentityElement => "the identity element is refused",
            Self::MalformedScalar => "bytes are not a canonical scalar",
            Self::ZeroScalar => "the scalar zero is refused",
            Self::MalformedProof => "bytes are not a proof",
            Self::MalformedCommitment => "commitment has the wrong length for its threshold",
            Self::InputTooLong => "input is too long",
            Self::InvalidThreshold => "threshold must satisfy 2 <= t <= n <= 16",
            Self::InvalidIndex => "share index is out of range",
            Self::DuplicateIndex => "share index occurs twice",
            Self::TooFewShares => "fewer shares than the threshold",
            Self::ShareOffCommitment => "share does not match its commitment",
            Self::StatementCount => "wrong number of statements",
            Self::IndexMismatch => "share belongs to another index",
            Self::InvalidProof => "proof does not verify",
        })
    }
}

impl core::error::Error for Error {}

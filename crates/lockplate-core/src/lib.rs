//! The Lockplate protocol LPv1 (`spec/lockplate-v1.md`): plates, reads, epochs, requests, grants. Pure: no clock, no I/O, no
//! async; time and randomness are arguments.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "tests name the case they mean"))]

pub mod approval;
pub mod audit;
pub mod authorisation;
pub mod charter;
pub mod decision;
pub mod directory;
pub mod disclosure;
pub mod embargo;
pub mod emergency;
pub mod entry;
pub mod envelope;
pub mod epoch;
pub mod error;
pub mod evidence;
pub mod facts;
pub mod filing;
pub mod hold;
pub mod hotlist;
pub mod id;
pub mod json;
pub mod keeper;
pub mod limits;
pub mod notice;
pub mod open;
pub mod ownership;
pub mod package;
pub mod passkey;
pub mod person;
pub mod plate;
pub mod policy_change;
pub mod read;
pub mod request;
pub mod revocation;
pub mod salted;
pub mod seal;
pub mod segment;
pub mod sign;
pub mod signed;
pub mod spellings;
pub mod statement;
pub mod timekeeping;
pub mod vocabulary;
pub mod wire;

#[cfg(test)]
mod story_tests;
#[cfg(test)]
mod town;
#[cfg(test)]
mod vectors;

pub use error::{Error, ErrorKind, Result};

/// Seconds since the Unix epoch, UTC. Never milliseconds; those are `i64` and end in `_ms` or `_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The begin of its minute: as fine as anything public says when a list changed or an alert was raised.
    #[must_use]
    pub const fn to_minute(self) -> Self {
        Self(self.0.saturating_sub(self.0 % 60))
    }
}

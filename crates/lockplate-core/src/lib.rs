//! The Lockplate protocol LPv1 (`spec/lockplate-v1.md`): plates, reads, epochs, requests, grants. Pure: no clock, no I/O, no
//! async; time and randomness are arguments.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "tests name the case they mean"))]

pub mod error;
pub mod facts;
pub mod id;
pub mod limits;
pub mod plate;
pub mod read;
pub mod vocabulary;

pub use error::{Error, ErrorKind, Result};

/// Seconds since the Unix epoch, UTC. Never milliseconds; those are `i64` and end in `_ms` or `_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

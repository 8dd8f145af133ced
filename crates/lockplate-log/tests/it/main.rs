//! Integration tests of the log crate; one binary. The modules are `cfg(test)` so that the lints know test code where they see it.
#![allow(clippy::wildcard_enum_match_arm, reason = "tests match the one variant they are about")]

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod log;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod merkle;
#[cfg(test)]
mod notes;
#[cfg(test)]
mod other_peoples_log;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod tiles;
#[cfg(test)]
mod totality;
#[cfg(test)]
mod view;
#[cfg(test)]
mod witness;

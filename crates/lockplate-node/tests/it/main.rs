//! Roles over real sockets, files and cryptography, in this process. The modules are `cfg(test)` so that the lints know test
//! code where they see it.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests name the case they mean, and put files where a real keeper finds them"
)]

#[cfg(test)]
mod agency;
#[cfg(test)]
mod keeper;

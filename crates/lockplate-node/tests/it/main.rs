//! Roles over real sockets, files and cryptography, in this process.
#![allow(clippy::wildcard_enum_match_arm, missing_docs, reason = "tests name the case they mean")]

mod keeper;

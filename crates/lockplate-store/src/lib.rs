//! Sealed cells on stable storage: durable writes, spools, segments, the check of both.
//!
//! **In scope.** [`durable`] (the one module that syncs), [`spool`] (cells of the open epoch, durable before they are acknowledged),
//! [`log_files`] and [`witness_files`] (one's own logs, and what one cosigned of others'), [`contract`] (`trait Archive`) and [`segment_store`] (closed epochs as objects in a folder or an S3-compatible store), [`conformance`]
//! (what every archive must pass), [`fsck`] (what is on a disk after a crash).
//!
//! **Out of scope.** Keys, plates and meanings: nothing here can open a cell. Signatures and logs: the caller gives roots that it verified.
//! Clocks, threads and a runtime: the shell above owns them.
//!
//! **Trust.** Whoever writes to these folders can delete epochs and so make searches fail loudly; he cannot add, move or alter a cell
//! unseen, because a requester checks every bucket against the logged root (LPv1 section 10).
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "tests name the case they mean"))]

pub mod conformance;
pub mod contract;
pub mod durable;
pub mod fsck;
pub mod log_files;
pub mod segment_store;
pub mod spool;
pub mod witness_files;

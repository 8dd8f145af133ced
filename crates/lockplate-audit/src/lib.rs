//! What the public logs of one archive say, to people: monitor rules, register, figures, and "was my plate searched?".
//!
//! **In scope**
//! - the state that all logs of one charter add up to, fed leaf by leaf: [`Logs`] (`log.md` section 6);
//! - the register as people read it, one entry a request: [`register`];
//! - the figures of a month or of all time, each with the counts behind it: [`report`];
//! - the monitor rules M1 to M11 and the comparison of twins between logs: [`monitor`] (`log.md` section 8);
//! - "was my plate searched?" for whoever has the plate's values at the keepers: [`mine`] (`log.md` section 7);
//! - which leaves an auditor must look at: [`sample`].
//!
//! **Out of scope**
//! - fetching a log and proving it against its checkpoint: the follower in the node and `lockplate-log`. Every leaf that comes in here
//!   is one that a signed checkpoint holds; nothing here trusts what it *says*;
//! - pages, colours, translations, CSV and JSON texts: the node. Values derive `Serialize` with field names that stay;
//! - the words of rules: `lockplate-policy` through the node, siblings never import each other;
//! - what the logs cannot show: `t` keepers that evaluate without logging (`docs/threat-model.md`).
//!
//! Everything is a function of leaves, checkpoints and a moment that the caller names: the same logs give the same answer to everybody,
//! in whatever pieces and order between logs they came.
//!
//! **Memory.** About 200 bytes a leaf (measured on 180,000 leaves of requests, evaluations and disclosures), because a leaf's bytes are not
//! kept. What refers to a leaf is a [`LeafRef`]; whoever needs the bytes reads them from the log's tiles.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "tests name the case they mean"))]

#[cfg(test)]
mod fixture;
pub mod logs;
pub mod mine;
pub mod monitor;
pub mod register;
pub mod report;
pub mod sample;
pub mod time;

pub use logs::{Fork, Head, LeafRef, LogName, Logs, SeeError};

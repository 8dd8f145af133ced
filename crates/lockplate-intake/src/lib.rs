//! Intake: from a camera's payload to a [`Read`](lockplate_core::read::Read). In scope: one total parser a source, the
//! rules of time, confidence, jurisdiction and vehicle, duplicates and holding.
//! Out of scope: HTTP, multipart splitting, files, clocks and keys; `now_ms` and every key are arguments.
//! Nothing here prints, traces or keeps a plate longer than the hold table needs it.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "tests name the case they mean"))]

pub mod axis;
pub mod blueiris;
pub mod confidence;
pub mod crop;
pub mod dahua;
pub mod dahua_events;
pub mod duplicates;
pub mod frames;
pub mod frigate;
pub mod genetec;
pub mod hikvision;
pub mod hold;
pub mod hotlist_file;
pub mod intake;
pub mod json;
pub mod jurisdiction;
pub mod limits;
pub mod lines;
pub mod milesight;
pub mod normalise;
pub mod openalpr;
pub mod own;
pub mod platerecognizer;
pub mod sample;
pub mod shape;
pub mod source;
pub mod tattile;
#[cfg(test)]
mod tests;
pub mod time;
pub mod unifi;
pub mod vehicle;
pub mod verkada;
pub mod xml;

pub use intake::{Intake, Outcome, Sealable, Seen};
pub use source::{Observation, Parsed, Part, Payload, Problem, Slug, Source, SourceConfig, SourceKind};

//! An append-only transparency log in C2SP's formats: signed notes, checkpoints, tiles, proofs, receipts, append.
//!
//! **In scope.** RFC 6962 hashing and proofs, `signed-note`, `tlog-checkpoint`, `tlog-tiles`, `tlog-cosignature`, `tlog-witness` (both sides),
//! `tlog-policy` and `tlog-proof` as the design page of the log narrows them, the write order that makes a leaf durable before anything is
//! done about it, and reading a log of somebody else while believing nothing but a checkpoint.
//!
//! **Out of scope.** What a leaf says (it is bytes here), files, clocks, networks, threads. Files are behind [`storage::LogStorage`], the
//! time is an argument, and the caller owns every decision that rests on a leaf.
//!
//! The one promise other crates build on: a [`Logged<T>`](append::Logged) exists only after [`Log::append`](append::Log::append) has put its
//! leaf on stable storage under a checkpoint that this log has signed.
//!
//! ```
//! use lockplate_log::merkle::{leaf_hash, root};
//!
//! let leaves = [leaf_hash(b"one"), leaf_hash(b"two")];
//! assert_ne!(root(&leaves), root(&leaves[..1]));
//! ```
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "tests match the one variant they are about"))]

pub mod append;
pub mod checkpoint;
pub mod cosignature;
mod edge;
pub mod error;
pub mod limits;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod storage;
pub mod tile;
pub mod view;
pub mod witness;

pub use append::{Entry, LeafTime, Log, Logged};
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use cosignature::{Cosignature, CosignatureSigner};
pub use error::{Error, LogFile, PolicyFault, StorageFault};
pub use merkle::{ConsistencyProof, Hash, InclusionProof};
pub use note::{NoteSignature, NoteSigner, Origin, SignatureType, SignedNote, VerifierKey};
pub use policy::{Cosigned, PolicyGroup, PolicyLog, PolicyWitness, Threshold, WitnessPolicy};
pub use proof::Receipt;
pub use storage::{LogStorage, StagingName};
pub use tile::{TileKind, TilePath, tiles_between};
pub use view::LogView;
pub use witness::{AddCheckpoint, Consistent, CosignError, Refusal, Standing, WitnessRecord, consider};

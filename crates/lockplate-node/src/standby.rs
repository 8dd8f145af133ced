//! A second machine of an agency that takes over when the first one fails. What became durable on the active machine is in a journal in an
//! object store before anybody is told; the standby reads the journal and keeps its files as it says. It must never let two machines seal
//! or log at a time, nor lose what one of them acknowledged, though no clock is trusted and the failed machine's disk may be gone.
//!
//! Who is active is decided by the journal alone (`journal`); what a machine does next by a planner (`watch`). `record` and `cipher` are
//! the format, `ship`, `wal` and `log` the active's end of it, `apply` the standby's, `base` what both begin from. `docs/standby.md` says
//! what is promised.

mod apply;
mod base;
mod cipher;
mod files;
mod journal;
mod log;
mod record;
mod role;
mod ship;
mod wal;
mod watch;

pub use cipher::Cipher;
pub use journal::{Journal, StoreFault};
pub use log::{LogShip, PartyStorage};
pub(crate) use record::{CHUNK_BYTES, Piece};
pub use record::{DbOf, LogOf};
pub use role::{Active, StandbyError, StandbyParts, take_part};
pub use ship::{NotShipped, Shipper};
pub use wal::DbShip;
pub(crate) use wal::NoPages;

#[cfg(test)]
mod tests;

//! The async shell of Lockplate: it reads, calls the floors below, and writes; it decides nothing.
//!
//! **In scope:** sockets, TLS and HTTP ([`tls`], [`http`], [`client`], [`problem`]), time and randomness ([`clock`],
//! [`rng`]), databases and files of a role ([`db`], [`settings`]), the life of a process ([`shutdown`], [`trace`]).
//!
//! **Out of scope:** anything that depends on a plate, a law, a threshold or the meaning of a time: that stands in the
//! pure crates below and is handed values. Command lines and wiring stand in the binary above.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::disallowed_methods,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::string_slice,
        clippy::wildcard_enum_match_arm,
        reason = "a test names the case it means, starts processes, measures and prints; its inputs are its own"
    )
)]

pub mod account;
pub mod agency;
pub mod agency_db;
pub mod alerts;
pub mod api;
pub mod archive;
pub mod client;
pub mod clock;
pub mod cosign;
pub mod db;
pub mod desk;
pub mod doctor;
pub mod fingerprint;
pub mod follow;
pub mod founding;
pub mod gate;
pub mod hotlist;
pub mod http;
pub mod import;
pub mod intake;
pub mod keeper;
pub mod log_door;
pub mod mail;
pub mod object_storage;
pub mod officers;
pub mod oversight;
mod own_log;
mod packed;
pub mod party_log;
pub mod passkeys;
pub mod policy_folder;
pub mod problem;
pub mod recorder;
pub mod register;
pub mod release;
pub mod rng;
pub mod sealer;
pub mod search;
pub mod settings;
pub mod shift;
pub mod shutdown;
pub mod standby;
pub mod tls;
pub mod trace;
pub mod verify;
pub mod witness;

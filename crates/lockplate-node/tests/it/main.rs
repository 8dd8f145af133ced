//! Roles over real sockets, files and cryptography, in this process. The modules are `cfg(test)` so that the lints know test
//! code where they see it.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::disallowed_methods,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::string_slice,
        clippy::wildcard_enum_match_arm,
        reason = "a test names the case it means, starts processes, measures and prints; its inputs are its own"
    )
)]

#[cfg(test)]
mod agency;
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod authenticator;
#[cfg(test)]
mod court;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod federation;
#[cfg(test)]
mod hotlists;
#[cfg(test)]
mod keeper;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod openings;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod people;
#[cfg(test)]
mod ports;
#[cfg(test)]
mod register;
#[cfg(test)]
mod search;
#[cfg(test)]
mod town_clock;
#[cfg(test)]
mod verifiers;
#[cfg(test)]
mod witness;

//! What the shipped bundle decides, what a bundle may not be, and that trouble is never an Allow.
#![expect(clippy::string_slice, reason = "a test cuts its own texts, which are ASCII")]

#[cfg(test)]
mod bundle;
#[cfg(test)]
mod fail_closed;
#[cfg(test)]
mod lint;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod owner_access;
#[cfg(test)]
mod question;
#[cfg(test)]
mod relation;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod stolen_car;

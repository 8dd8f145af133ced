#![doc = include_str!("../README.md")]

mod error;
mod group;
pub mod oprf;
pub mod proof;
pub mod secret;
pub mod sharing;

pub use error::Error;
pub use oprf::{
    Blind, Element, PrfKey, blind, blind_evaluate, blind_evaluate_each, evaluate, evaluate_blinded, finalize,
    hash_to_group, unblind,
};
pub use proof::{KeyStatement, Proof, prove, verify};
pub use secret::Secret;
pub use sharing::{
    KeyShare, Pepper, PepperShare, ShareIndex, Threshold, VssCommitment, combine, combine_peppers, combine_unblinded,
    split, split_pepper,
};

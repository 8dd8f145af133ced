//! What a solver can say of rules: proofs about one bundle, and the relation of two. For whoever writes, signs or publishes rules
//! (`lockplate policy prove` and `diff`); no keeper, agency or search calls it.
//!
//! **In scope**
//! - the properties of `law.md` section 6, each for every kind of request: [`Prover`];
//! - the relation of section 7, narrower, equal or looser: [`compare()`];
//! - a request that breaks a promise, told in plain words: [`Story`];
//! - the solver cvc5 as a process: [`Cvc5`].
//!
//! **Out of scope**
//! - that the facts are right, that a stated purpose is honest, that a pack says what its statute says: code, audit, a lawyer;
//! - what a keeper sees of a change without a solver: `lockplate_policy::seen_relation`;
//! - who must sign a change: the charter.
//!
//! Trusted: Cedar's symbolic compiler (modelled and verified in Lean by its authors) and cvc5. A counterexample is asked again at
//! the engine itself; a proof is not, so that a wrong "proved" of theirs would be ours.
//!
//! **Not legal advice.**
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "tests name the case they mean"))]

mod compare;
mod prove;
mod scene;
mod solver;
mod story;

pub use compare::{Comparison, Dropped, DutyChange, Looser, Relation, compare};
pub use prove::{Because, Failure, NoThreads, Progress, Proof, Prover, Report};
pub use solver::{Cvc5, NoSolver};
pub use story::Story;

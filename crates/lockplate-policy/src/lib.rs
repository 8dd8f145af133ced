//! Who may search: the policy bundle, its load-time lint, and the engine behind [`lockplate_core::facts::AccessPolicy`].
//!
//! **In scope**
//! - a bundle of texts and its digest (`law.md` section 7): [`Bundle`];
//! - refusing to start on a bundle that is not exactly what the rules of section 3 ask for: [`CedarPolicy::load`];
//! - one decision on one set of facts, fail-closed (section 5): [`CedarPolicy`];
//! - the words of every rule, those of the keeper's own code included: `explain`;
//! - what is plain to see of a change from one bundle to another: [`seen_relation`];
//! - requests and test cases as files of facts: [`Question`], [`Case`];
//! - what a statute says of an archive that nobody asks: [`MinuteLaw`].
//!
//! **Out of scope**
//! - computing the facts and obeying the obligations: `lockplate-core` and the keeper;
//! - the time limit of 1 s on a decision: the keeper's shell, which has a clock;
//! - reading bundles from disk: the node and the binary; proving and comparing with a solver: `lockplate-prove`.
//!
//! **Not legal advice.** The packs are our reading of statutes; a lawyer must check each before anybody relies on it.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "tests name the case they mean"))]

mod bundle;
mod cases;
mod cedar;
mod checked;
mod error;
mod explain;
mod facts;
mod lint;
mod minutes;
mod question;
mod relation;
#[cfg(test)]
#[path = "../tests/it/stolen_car.rs"]
mod stolen_car;

pub use bundle::{BASE_PACK, Bundle, FILE_BYTES_MAX, FILES_MAX, LOCAL_PACK, POLICIES_MAX, SCHEMA};
pub use cases::{CASES_BYTES_MAX, Case, CasesError};
pub use cedar::{CedarPolicy, Spoken};
pub use checked::{Check, CheckedBundle, Property, Rule};
pub use error::{Fault, LoadError};
pub use explain::{CONSTITUTION_RULE, ENGINE_RULE};
pub use facts::{ListAction, ListFacts};
pub use minutes::{ENDING_SECONDS, KeptTooLong, LOOK_SECONDS_MAX, MinuteLaw};
pub use question::{QUESTION_BYTES_MAX, Question, QuestionError};
pub use relation::{SeenRelation, Unseen, looser_duty, same_body, seen_relation};

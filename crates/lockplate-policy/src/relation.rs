//! What a keeper sees by itself of a change of rules, without a solver: the two bundles are compared text by text, and only what
//! is plain to see counts. It must never take a looser bundle for a narrower one; what it does not see is not refused, but
//! needs the signers of a looser change. The answer goes to change control (`law.md` section 7).
//!
//! Why what is seen suffices: a Cedar set allows a request if a permit matches and no forbid does. Where every old rule stands
//! unaltered and all that was added is forbids, each request that the new set allows was allowed by the old one, with the same
//! duties or stricter ones. No rule can fail while deciding, the lint sees to that. So every `never` that held still holds.
//! An `always` may not: a forbid too many refuses a search too many, which a prover finds (`policy prove`) and one signer
//! takes back only with the others.

use core::fmt;
use std::collections::BTreeMap;

use cedar_policy::Policy;
use lockplate_core::facts::Obligations;
use serde_json::Value;

use crate::bundle::Bundle;
use crate::checked::{CheckedBundle, Property, Rule};
use crate::error::LoadError;

/// What is plain to see of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenRelation {
    /// The same schema text, rules and properties; only comments, order or files may differ.
    Equal,
    /// The same schema text, every rule and property still there, and nothing added but forbids, properties and stricter
    /// duties.
    Narrower,
    /// Neither is plain to see. It may be so all the same; a solver tells, a keeper does not ask one.
    NotSeen(Unseen),
}

/// Why a change is not seen to be narrower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The old bundle does not pass the lint.
    OldUnfit(LoadError),
    /// The new bundle does not pass the lint.
    NewUnfit(LoadError),
    /// The text of the schema differs.
    SchemaChanged,
    /// This rule is no longer there.
    RuleGone(String),
    /// The body of this rule differs, or an annotation that is no duty.
    RuleChanged(String),
    /// A duty of this permit is looser.
    DutyLooser {
        /// The permit.
        rule: String,
        /// Which duty, by the name of its annotation.
        duty: &'static str,
    },
    /// This permit was added.
    PermitAdded(String),
    /// This property is no longer there.
    PropertyGone(String),
    /// This property differs.
    PropertyChanged(String),
}

/// Compares two bundles. Tens of milliseconds.
#[must_use]
pub fn seen_relation(old: &Bundle, new: &Bundle) -> SeenRelation {
    if old.digest() == new.digest() {
        return SeenRelation::Equal;
    }
    match compare(old, new) {
        Ok(relation) => relation,
        Err(unseen) => SeenRelation::NotSeen(unseen),
    }
}

fn compare(old: &Bundle, new: &Bundle) -> Result<SeenRelation, Unseen> {
    let old = CheckedBundle::of(old).map_err(Unseen::OldUnfit)?;
    let new = CheckedBundle::of(new).map_err(Unseen::NewUnfit)?;
    if old.schema_text() != new.schema_text() {
        return Err(Unseen::SchemaChanged);
    }
    let rules = compare_rules(&old, &new)?;
    let properties = compare_properties(old.properties(), new.properties())?;
    Ok(if rules && properties { SeenRelation::Equal } else { SeenRelation::Narrower })
}

/// Whether nothing at all changed.
fn compare_rules(old: &CheckedBundle, new: &CheckedBundle) -> Result<bool, Unseen> {
    let mut added: BTreeMap<&str, Rule<'_>> = new.rules().map(|rule| (rule.reason.rule.as_str(), rule)).collect();
    let mut equal = true;
    for rule in old.rules() {
        let Some(other) = added.remove(rule.id()) else { return Err(Unseen::RuleGone(rule.id().to_owned())) };
        if !same_body(rule.policy, other.policy) || words(&rule) != words(&other) {
            return Err(Unseen::RuleChanged(rule.id().to_owned()));
        }
        if let (Some(before), Some(after)) = (rule.obligations, other.obligations) {
            if let Some(duty) = looser_duty(before, after) {
                return Err(Unseen::DutyLooser { rule: rule.id().to_owned(), duty });
            }
            equal &= before == after;
        }
    }
    match added.values().find(|rule| rule.is_permit()) {
        Some(permit) => Err(Unseen::PermitAdded(permit.id().to_owned())),
        None => Ok(equal && added.is_empty()),
    }
}

fn compare_properties(old: &[Property], new: &[Property]) -> Result<bool, Unseen> {
    for property in old {
        let Some(other) = new.iter().find(|other| other.id() == property.id()) else {
            return Err(Unseen::PropertyGone(property.id().to_owned()));
        };
        let (before, after) = (whole(&property.policy), whole(&other.policy));
        if before.is_none() || before != after {
            return Err(Unseen::PropertyChanged(property.id().to_owned()));
        }
    }
    Ok(old.len() == new.len())
}

/// The first duty that `after` asks less of than `before`, by the name of its annotation.
#[must_use]
pub const fn looser_duty(before: Obligations, after: Obligations) -> Option<&'static str> {
    if after.approvers < before.approvers {
        Some("approvers")
    } else if after.retain_days > before.retain_days {
        Some("retain")
    } else if after.notice_days > before.notice_days {
        Some("notice")
    } else if before.confirm_visual && !after.confirm_visual {
        Some("confirm")
    } else {
        None
    }
}

/// Whether two policies match the same requests word for word: effect, scope and conditions, annotations aside.
#[must_use]
pub fn same_body(one: &Policy, other: &Policy) -> bool {
    body(one).is_some() && body(one) == body(other)
}

/// Effect, scope and conditions of a policy; `None` for one without a JSON form, which is equal to nothing.
fn body(policy: &Policy) -> Option<Value> {
    let mut form = whole(policy)?;
    form.as_object_mut()?.remove("annotations");
    Some(form)
}

fn whole(policy: &Policy) -> Option<Value> {
    policy.to_json().ok()
}

/// All annotations but the duties.
fn words<'a>(rule: &Rule<'a>) -> BTreeMap<&'a str, &'a str> {
    let is_duty = |name: &str| ["approvers", "retain", "notice", "confirm"].contains(&name);
    rule.policy.annotations().filter(|(name, _)| !(rule.is_permit() && is_duty(name))).collect()
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldUnfit(error) => write!(f, "the old rules cannot be used: {error}"),
            Self::NewUnfit(error) => write!(f, "the new rules cannot be used: {error}"),
            Self::SchemaChanged => f.write_str("the schema was changed"),
            Self::RuleGone(rule) => write!(f, "{rule} was removed"),
            Self::RuleChanged(rule) => write!(f, "{rule} was altered"),
            Self::DutyLooser { rule, duty } => write!(f, "{rule}: @{duty} asks for less"),
            Self::PermitAdded(rule) => write!(f, "the permit {rule} was added"),
            Self::PropertyGone(property) => write!(f, "property {property} was removed"),
            Self::PropertyChanged(property) => write!(f, "property {property} was altered"),
        }
    }
}

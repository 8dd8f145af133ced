//! A bundle that passed the lint, in the engine's form: for whoever compares two bundles or proves one. It decides nothing;
//! who wants a decision loads a [`crate::CedarPolicy`].

use cedar_policy::{Policy, PolicyId, Schema};
use lockplate_core::facts::{Obligations, Reason};

use crate::bundle::Bundle;
use crate::error::LoadError;
use crate::lint::{self, Rules};

/// Schema, rules and properties of one bundle.
#[derive(Debug)]
pub struct CheckedBundle {
    rules: Rules,
    properties: Vec<Property>,
    schema_text: String,
    digest: [u8; 32],
}

/// One permit or forbid, with what its annotations say.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// The policy; its id is the `@id`.
    pub policy: &'a Policy,
    /// Path of its file in the bundle.
    pub file: &'a str,
    /// Id and words.
    pub reason: &'a Reason,
    /// Duties of a permit; `None` for a forbid.
    pub obligations: Option<Obligations>,
    /// Of a forbid that exists to name a refusal: the rules that refuse the same anyway.
    pub redundant: Option<&'a str>,
}

/// What a bundle promises, to be proved (`law.md` section 6).
#[derive(Clone, Debug)]
pub struct Property {
    /// The requests it speaks of, as a permit; its id is the `@id`.
    pub policy: Policy,
    /// Path of its file in the bundle.
    pub file: String,
    /// The promise in words.
    pub say: String,
    /// The promise.
    pub check: Check,
    /// Pinned by the charter: dropping it needs a new charter.
    pub constitution: bool,
}

/// What is promised of the requests that a property describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// None of them is allowed.
    Never,
    /// All of them are allowed.
    Always,
}

impl Property {
    /// Its id, such as `P1`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.policy.id().as_ref()
    }
}

impl Rule<'_> {
    /// Its id, such as `base.search`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.reason.rule
    }

    /// A permit has duties, a forbid has none.
    #[must_use]
    pub const fn is_permit(&self) -> bool {
        self.obligations.is_some()
    }
}

impl CheckedBundle {
    /// Reads and checks a bundle as [`crate::CedarPolicy::load`] does.
    ///
    /// # Errors
    /// The first thing found wrong, with file and policy id.
    pub fn of(bundle: &Bundle) -> Result<Self, LoadError> {
        let rules = lint::read(bundle)?;
        let properties = lint::check(bundle, &rules)?;
        let schema_text = bundle.schema().unwrap_or_default().to_owned();
        Ok(Self { rules, properties, schema_text, digest: bundle.digest() })
    }

    /// Policy digest, 32 bytes.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The schema.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.rules.schema
    }

    /// The schema word for word.
    #[must_use]
    pub fn schema_text(&self) -> &str {
        &self.schema_text
    }

    /// Every permit and forbid, sorted by id.
    pub fn rules(&self) -> impl Iterator<Item = Rule<'_>> {
        self.rules.words.iter().filter_map(|(id, words)| {
            Some(Rule {
                policy: self.rules.policies.policy(&PolicyId::new(id))?,
                file: &words.file,
                reason: &words.reason,
                obligations: words.obligations,
                redundant: words.redundant.as_deref(),
            })
        })
    }

    /// The rule of this id.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<Rule<'_>> {
        self.rules().find(|rule| rule.id() == id)
    }

    /// The properties in the order of the files.
    #[must_use]
    pub fn properties(&self) -> &[Property] {
        &self.properties
    }
}

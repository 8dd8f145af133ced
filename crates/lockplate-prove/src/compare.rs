//! The relation of a new bundle to an old one (`law.md` section 7), computed with a solver and never stated by anybody. It must
//! never call narrower what may allow more: a question without an answer, a changed schema, an altered permit all make it looser.
//! The relation says who must sign a change and when it takes effect; the stories are published beside it.

use cedar_policy::{Entities, PolicySet, Request, RequestEnv};
use cedar_policy_symcc::CompiledPolicySet;
use lockplate_core::facts::Obligations;
use lockplate_policy::{CheckedBundle, Property, Rule, looser_duty, same_body};

use crate::prove::{
    Because, Compiler, Failure, NoThreads, breaks, holds, outcome, over_each, proof_of, request_envs, set, told,
};
use crate::scene::{ask, describes};
use crate::solver::{Answer, Cvc5, Session, runtime};
use crate::story::Story;

/// What a new bundle is to an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Both allow the same, with the same duties.
    Equal,
    /// Nothing becomes allowed, no duty is lighter, every property of both holds.
    Narrower,
    /// Everything else, and what could not be decided.
    Looser,
}

impl Relation {
    /// Its word in documents and leaves.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Narrower => "narrower",
            Self::Looser => "looser",
        }
    }
}

/// A duty of a permit that changed. Days, or a number of persons; `confirm` is 1 where a person must compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DutyChange {
    /// The permit.
    pub rule: String,
    /// Name of the annotation.
    pub duty: &'static str,
    /// Before.
    pub before: u32,
    /// After.
    pub after: u32,
}

/// Why a change is looser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looser {
    /// The schema differs, and the two cannot be compared.
    Schema,
    /// This becomes allowed.
    Allows {
        /// Kind of request, as the schema calls it.
        action: String,
        /// A request that only the new rules allow.
        story: Story,
    },
    /// A permit of the old rules is gone; its duties with it.
    PermitGone(String),
    /// The body of a permit differs.
    PermitAltered(String),
    /// A permit asks for less.
    Duty(DutyChange),
    /// A property does not hold of the new rules.
    Property(Failure),
    /// A question of this kind of request got no answer.
    Undecided {
        /// Kind of request.
        action: String,
        /// Why.
        why: String,
    },
}

/// Two bundles compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Digest of the old bundle.
    pub old: [u8; 32],
    /// Digest of the new bundle.
    pub new: [u8; 32],
    /// The relation.
    pub relation: Relation,
    /// Why it is looser; empty where it is not.
    pub looser: Vec<Looser>,
    /// A request of each kind that becomes refused, by kind.
    pub refused: Vec<(String, Story)>,
    /// Every duty that changed, in either direction.
    pub duties: Vec<DutyChange>,
    /// Rules that are only in the new bundle.
    pub added: Vec<String>,
    /// Rules that are only in the old bundle.
    pub removed: Vec<String>,
    /// Rules in both whose conditions or words differ.
    pub altered: Vec<String>,
    /// Properties that are only in the old bundle. That they hold all the same is part of the relation; that nobody proves
    /// them from now on is not.
    pub dropped: Vec<Dropped>,
}

/// A property that the new bundle does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its id.
    pub id: String,
    /// Pinned by the charter: dropping it needs a new charter.
    pub constitution: bool,
}

/// Compares two bundles. Seconds.
///
/// # Errors
/// The system refuses threads. That something cannot be decided is no error: the relation is looser then.
pub fn compare(old: &CheckedBundle, new: &CheckedBundle, cvc5: &Cvc5) -> Result<Comparison, NoThreads> {
    let (mut looser, duties) = permits(old, new);
    let mut narrower_back = permits(new, old).0.is_empty();
    let mut refused = Vec::new();
    if old.schema_text() == new.schema_text() {
        let envs = request_envs(new.schema());
        let parts = over_each(&envs, |env| {
            let mut side = Sides::new(old, new, env, cvc5);
            runtime()?.block_on(side.all());
            Ok((side.looser, side.refused, side.back))
        })
        .map_err(NoThreads::new)?;
        for (more, story, back) in parts {
            looser.extend(more);
            refused.extend(story);
            narrower_back &= back;
        }
    } else {
        looser.insert(0, Looser::Schema);
    }
    let relation = match (looser.is_empty(), narrower_back) {
        (true, true) => Relation::Equal,
        (true, false) => Relation::Narrower,
        (false, _) => Relation::Looser,
    };
    let (added, removed, altered) = texts(old, new);
    let gone = old.properties().iter().filter(|one| new.properties().iter().all(|other| other.id() != one.id()));
    let dropped = gone.map(|one| Dropped { id: one.id().to_owned(), constitution: one.constitution }).collect();
    let (old, new) = (old.digest(), new.digest());
    Ok(Comparison { old, new, relation, looser, refused, duties, added, removed, altered, dropped })
}

/// Rule c: every old permit is still there with the same body and duties equal or stricter. The solver does not see duties, and
/// a permit's duties vanish where another permit covers the same request; so an altered permit is looser whatever it says.
fn permits(old: &CheckedBundle, new: &CheckedBundle) -> (Vec<Looser>, Vec<DutyChange>) {
    let (mut looser, mut duties) = (Vec::new(), Vec::new());
    for rule in old.rules().filter(Rule::is_permit) {
        let id = || rule.id().to_owned();
        match new.rule(rule.id()) {
            None => looser.push(Looser::PermitGone(id())),
            Some(other) if !same_body(rule.policy, other.policy) => looser.push(Looser::PermitAltered(id())),
            Some(other) => {
                if let (Some(before), Some(after)) = (rule.obligations, other.obligations) {
                    let changed = duty_changes(rule.id(), before, after);
                    let lighter = looser_duty(before, after);
                    looser.extend(
                        changed.iter().filter(|change| Some(change.duty) == lighter).cloned().map(Looser::Duty),
                    );
                    duties.extend(changed);
                }
            }
        }
    }
    (looser, duties)
}

fn duty_changes(rule: &str, before: Obligations, after: Obligations) -> Vec<DutyChange> {
    let numbers = |of: Obligations| {
        [
            ("approvers", u32::from(of.approvers)),
            ("retain", of.retain_days),
            ("notice", of.notice_days),
            ("confirm", u32::from(of.confirm_visual)),
        ]
    };
    let pairs = numbers(before).into_iter().zip(numbers(after));
    let changed = pairs.filter(|((_, before), (_, after))| before != after);
    changed.map(|((duty, before), (_, after))| DutyChange { rule: rule.to_owned(), duty, before, after }).collect()
}

/// Ids of rules added, removed, altered.
fn texts(old: &CheckedBundle, new: &CheckedBundle) -> (Vec<String>, Vec<String>, Vec<String>) {
    let ids = |rules: Vec<Rule<'_>>| rules.iter().map(|rule| rule.id().to_owned()).collect();
    let differs = |rule: &Rule<'_>| {
        old.rule(rule.id()).is_some_and(|before| before.policy.to_json().ok() != rule.policy.to_json().ok())
    };
    let added = new.rules().filter(|rule| old.rule(rule.id()).is_none()).collect();
    let removed = old.rules().filter(|rule| new.rule(rule.id()).is_none()).collect();
    let altered = new.rules().filter(differs).collect();
    (ids(added), ids(removed), ids(altered))
}

/// Both bundles for one kind of request.
struct Sides<'a> {
    env: &'a RequestEnv,
    new: &'a CheckedBundle,
    old_rules: PolicySet,
    new_rules: PolicySet,
    properties: Vec<&'a Property>,
    session: Session<'a>,
    looser: Vec<Looser>,
    refused: Option<(String, Story)>,
    /// The old rules allow nothing that the new ones refuse.
    back: bool,
}

impl<'a> Sides<'a> {
    fn new(old: &'a CheckedBundle, new: &'a CheckedBundle, env: &'a RequestEnv, cvc5: &'a Cvc5) -> Self {
        let kept = |property: &&Property| {
            let same = |other: &Property| {
                other.id() == property.id()
                    && other.check == property.check
                    && same_body(&other.policy, &property.policy)
            };
            !new.properties().iter().any(same)
        };
        Self {
            env,
            new,
            old_rules: set(old.rules().map(|rule| rule.policy)),
            new_rules: set(new.rules().map(|rule| rule.policy)),
            properties: new.properties().iter().chain(old.properties().iter().filter(kept)).collect(),
            session: Session::new(cvc5),
            looser: Vec::new(),
            refused: None,
            back: false,
        }
    }

    async fn all(&mut self) {
        let schema = self.new.schema();
        let compile = |rules: &PolicySet| {
            CompiledPolicySet::compile(rules, self.env, schema)
                .map_err(|error| format!("the rules cannot be put to the solver: {error}"))
        };
        match (compile(&self.old_rules), compile(&self.new_rules)) {
            (Ok(old), Ok(new)) => {
                self.becomes_allowed(&old, &new).await;
                self.becomes_refused(&old, &new).await;
                for property in self.properties.clone() {
                    self.property(property, &new).await;
                }
            }
            (Err(why), _) | (_, Err(why)) => self.undecided(why),
        }
    }

    /// Rule a.
    async fn becomes_allowed(&mut self, old: &CompiledPolicySet, new: &CompiledPolicySet) {
        match self.implies(new, old, false).await {
            Ok(None) => {}
            Ok(Some(story)) => self.looser.push(Looser::Allows { action: self.action(), story }),
            Err(why) => self.undecided(why),
        }
    }

    async fn becomes_refused(&mut self, old: &CompiledPolicySet, new: &CompiledPolicySet) {
        match self.implies(old, new, true).await {
            Ok(None) => self.back = true,
            Ok(Some(story)) => self.refused = Some((self.action(), story)),
            // Then it is not known to be equal, which is all that this question is for.
            Err(_why) => {}
        }
    }

    /// A request that `one` allows and `other` does not; `one` is the old side where `back`.
    async fn implies(
        &mut self,
        one: &CompiledPolicySet,
        other: &CompiledPolicySet,
        back: bool,
    ) -> Result<Option<Story>, String> {
        let asked = async |solver: &mut Compiler| solver.check_implies_with_counterexample_opt(one, other).await;
        let found = match self.session.ask(asked).await {
            Answer::Decided(None) => return Ok(None),
            Answer::Decided(Some(found)) => found,
            Answer::Undecided(why) => return Err(why),
        };
        let (one, other) = if back { (&self.old_rules, &self.new_rules) } else { (&self.new_rules, &self.old_rules) };
        let shows = |request: &Request, entities: &Entities| {
            ask(one, request, entities).allowed && !ask(other, request, entities).allowed
        };
        let ending = |request: &Request, entities: &Entities| {
            let (before, after) = (ask(&self.old_rules, request, entities), ask(&self.new_rules, request, entities));
            let said = |by: &[String]| if by.is_empty() { "no rule".to_owned() } else { by.join(", ") };
            if back {
                format!("It was allowed by {}, and is refused by {}.", said(&before.rules), said(&after.rules))
            } else {
                format!("It was refused by {}, and is allowed by {}.", said(&before.rules), said(&after.rules))
            }
        };
        match told(self.new.schema(), &found, shows, ending) {
            Because::Story(story) => Ok(Some(story)),
            Because::Empty(why) => Err(why.to_owned()),
            Because::Undecided(why) => Err(why),
        }
    }

    /// Rule b.
    async fn property(&mut self, property: &Property, new: &CompiledPolicySet) {
        let compiled = match CompiledPolicySet::compile(&set([&property.policy]), self.env, self.new.schema()) {
            Ok(compiled) => compiled,
            Err(error) => return self.undecided(format!("{} cannot be put to the solver: {error}", property.id())),
        };
        let because = match holds(&mut self.session, property.check, &compiled, new).await {
            Answer::Decided(None) => return,
            Answer::Decided(Some(found)) => {
                let rules = &self.new_rules;
                let shows = |request: &Request, entities: &Entities| {
                    describes(&property.policy, request, entities) && breaks(property.check, rules, request, entities)
                };
                told(self.new.schema(), &found, shows, |request, entities| outcome(rules, request, entities))
            }
            Answer::Undecided(why) => Because::Undecided(why),
        };
        self.looser.push(Looser::Property(Failure {
            proof: proof_of(property),
            about: Some(property.id().to_owned()),
            promise: property.say.clone(),
            action: Some(self.action()),
            because,
        }));
    }

    fn undecided(&mut self, why: String) {
        self.looser.push(Looser::Undecided { action: self.action(), why });
    }

    fn action(&self) -> String {
        self.env.action().id().unescaped().to_owned()
    }
}

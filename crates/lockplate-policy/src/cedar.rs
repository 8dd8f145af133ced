//! The engine behind the seam. Cedar skips a policy that fails while deciding, a forbid included; so an Allow counts only
//! where nothing failed (`law.md` section 5, point 3). It must never turn trouble into an Allow: what cannot be decided is
//! a Deny by [`ENGINE_RULE`]. Answers go to the keeper, which logs them before it acts.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Decision, Effect, Entities, PolicySet, Request, Response};
use lockplate_core::facts::{AccessPolicy, Obligations, PolicyAnswer, Reason, SearchFacts};

use crate::bundle::Bundle;
use crate::checked::Check;
use crate::error::LoadError;
use crate::explain::{CONSTITUTION_RULE, ENGINE_RULE, keeper_reason};
use crate::facts::{Asked, ListFacts};
use crate::lint::{self, Rules};
use crate::question::Question;

/// A checked bundle with the engine that decides under it. Immutable; shared by reference between threads.
#[derive(Debug)]
pub struct CedarPolicy {
    rules: Rules,
    /// What no rule may allow: the properties that the charter pins, as permits.
    never: PolicySet,
    /// Of the rules and of what is pinned, what looks at the age of the reads. All else says the same of every epoch.
    aged: [PolicySet; 2],
    authorizer: Authorizer,
    digest: [u8; 32],
    engine: String,
}

/// Every rule that matched, whatever was decided: where a forbid matched, the engine no longer names the permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// Ids of the permits that matched.
    pub permits: BTreeSet<String>,
    /// Ids of the forbids that matched.
    pub forbids: BTreeSet<String>,
}

impl CedarPolicy {
    /// Reads and checks a bundle (`law.md` section 3): strict validation with no error and no warning, annotations,
    /// unique ids, forbids only outside the base pack, no construct that could fail, the formatter's form. A few tens of
    /// milliseconds.
    ///
    /// # Errors
    /// The first thing found wrong, with file and policy id. The keeper must not start.
    pub fn load(bundle: &Bundle) -> Result<Self, LoadError> {
        let rules = lint::read(bundle)?;
        let properties = lint::check(bundle, &rules)?;
        let pinned = properties.into_iter().filter(|one| one.constitution && one.check == Check::Never);
        // Ids are unique, or the lint had said so.
        let never = PolicySet::from_policies(pinned.map(|one| one.policy)).unwrap_or_default();
        Ok(Self::of(rules, never, bundle.digest()))
    }

    fn of(rules: Rules, never: PolicySet, digest: [u8; 32]) -> Self {
        let engine = format!("cedar-policy {}", cedar_policy::get_sdk_version());
        let aged = [&rules.policies, &never].map(looking_at_age);
        Self { rules, never, aged, authorizer: Authorizer::new(), digest, engine }
    }

    /// Ids of all policies of the bundle, sorted; the rules of the keeper's code are not among them.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.words.keys().map(String::as_str)
    }

    /// One decision on an entry of a hot list or a hit, fail-closed as every decision.
    #[must_use]
    pub fn rule_on_list(&self, facts: &ListFacts) -> PolicyAnswer {
        self.answered(Asked::list(facts, &self.rules.schema).as_ref(), None)
    }

    /// One decision on a question of either kind.
    #[must_use]
    pub fn answer(&self, question: &Question) -> PolicyAnswer {
        match question {
            Question::Search(facts) => self.rule_on(facts),
            Question::List(facts) => self.rule_on_list(facts),
        }
    }

    /// Every rule that has something to say on a question. For explanations: it decides nothing.
    #[must_use]
    pub fn spoken(&self, question: &Question) -> Spoken {
        let (asked, age) = match question {
            Question::Search(facts) => (Asked::search(facts, &self.rules.schema), Some(facts.age_days)),
            Question::List(facts) => (Asked::list(facts, &self.rules.schema), None),
        };
        let request = asked.as_ref().and_then(|asked| asked.request(age));
        let Some((asked, request)) = asked.zip(request) else { return Spoken::default() };
        let alone = |effect: Effect| -> BTreeSet<String> {
            let some = self.rules.policies.policies().filter(|policy| policy.effect() == effect).cloned();
            // The ids are unique in the whole set, so they are in a part of it.
            let Ok(set) = PolicySet::from_policies(some) else { return BTreeSet::new() };
            matched(&self.authorizer.is_authorized(&request, &set, asked.entities()))
        };
        Spoken { permits: alone(Effect::Permit), forbids: alone(Effect::Forbid) }
    }

    /// True where a pinned property speaks of this request, or cannot be asked: then no rule allows it. A proof shows that of all
    /// requests before the rules are in force; this shows it of each one, whatever became of the proof.
    fn is_never_allowed(&self, request: &Request, entities: &Entities) -> bool {
        let response = self.authorizer.is_authorized(request, &self.never, entities);
        response.decision() == Decision::Allow || response.diagnostics().errors().next().is_some()
    }

    /// `None` where the facts make no request under the schema.
    fn answered(&self, asked: Option<&Asked<'_>>, age_days: Option<i64>) -> PolicyAnswer {
        match asked.and_then(|asked| Some((asked, asked.request(age_days)?))) {
            Some((asked, request)) => self.decided(&request, asked.entities()),
            None => refused(BTreeSet::new()),
        }
    }

    fn decided(&self, request: &Request, entities: &Entities) -> PolicyAnswer {
        let response = self.authorizer.is_authorized(request, &self.rules.policies, entities);
        let matched = matched(&response);
        let failed = response.diagnostics().errors().next().is_some();
        match response.decision() {
            Decision::Allow if failed => refused(BTreeSet::new()),
            Decision::Allow if self.is_never_allowed(request, entities) => {
                PolicyAnswer::Deny { rules: BTreeSet::from([CONSTITUTION_RULE.to_owned()]) }
            }
            Decision::Allow => match self.obligations(&matched) {
                Some(obligations) => PolicyAnswer::Allow { rules: matched, obligations },
                None => refused(BTreeSet::new()),
            },
            // Property R proves that a shipped bundle always names a rule; if one day it does not, that is a failure too.
            Decision::Deny if failed || matched.is_empty() => refused(matched),
            Decision::Deny => PolicyAnswer::Deny { rules: matched },
        }
    }

    /// All duties of the permits that matched: permits only ever add duties to each other.
    fn obligations(&self, permits: &BTreeSet<String>) -> Option<Obligations> {
        let each = permits.iter().map(|id| self.rules.words.get(id).and_then(|words| words.obligations));
        each.collect::<Option<Vec<_>>>()?.into_iter().reduce(|all, one| Obligations {
            approvers: all.approvers.max(one.approvers),
            retain_days: all.retain_days.min(one.retain_days),
            notice_days: all.notice_days.min(one.notice_days),
            confirm_visual: all.confirm_visual || one.confirm_visual,
        })
    }
}

impl AccessPolicy for CedarPolicy {
    fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn engine(&self) -> &str {
        &self.engine
    }

    fn rule_on(&self, facts: &SearchFacts) -> PolicyAnswer {
        self.answered(Asked::search(facts, &self.rules.schema).as_ref(), Some(facts.age_days))
    }

    fn rule_on_ages(&self, facts: &SearchFacts, ages: &BTreeSet<i64>) -> BTreeMap<i64, PolicyAnswer> {
        let asked = Asked::search(facts, &self.rules.schema);
        let mut told: Vec<([Response; 2], PolicyAnswer)> = Vec::new();
        let mut answer = |age: i64| {
            let compared = asked.as_ref().and_then(|asked| Some((asked, asked.unchecked(age)?)));
            let Some((asked, request)) = compared else { return refused(BTreeSet::new()) };
            // Where what looks at the age says the same of two ages, everything does; and that is a few policies of many.
            let said = self.aged.each_ref().map(|some| self.authorizer.is_authorized(&request, some, asked.entities()));
            if let Some((_, answer)) = told.iter().find(|(other, _)| *other == said) {
                return answer.clone();
            }
            let answer = self.answered(Some(asked), Some(age));
            told.push((said, answer.clone()));
            answer
        };
        ages.iter().map(|age| (*age, answer(*age))).collect()
    }

    fn explain(&self, rule: &str) -> Option<Reason> {
        self.rules.words.get(rule).map(|words| words.reason.clone()).or_else(|| keeper_reason(rule))
    }
}

fn matched(response: &Response) -> BTreeSet<String> {
    response.diagnostics().reason().map(ToString::to_string).collect()
}

/// The policies that look at the age of the reads. What cannot be told apart counts as such.
fn looking_at_age(all: &PolicySet) -> PolicySet {
    PolicySet::from_policies(all.policies().filter(|policy| lint::looks_at_age(policy)).cloned())
        .unwrap_or_else(|_taken| all.clone())
}

/// Refused because the engine failed, beside the forbids that matched all the same.
fn refused(mut rules: BTreeSet<String>) -> PolicyAnswer {
    rules.insert(ENGINE_RULE.to_owned());
    PolicyAnswer::Deny { rules }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;
    use crate::stolen_car::{state, stolen_car};

    /// A local pack whose only forbid overflows on the sample facts. Strict validation is content with it.
    const OVERFLOWS: &str = r#"@id("local.x")
@cite("c")
@since("2026-10-01")
@mark("C")
@say("s")
@fix("f")
forbid (
  principal,
  action == Lockplate::Action::"search",
  resource
)
when { context.elementEpochs * 9223372036854775807 > 5 };
"#;

    fn bundle() -> Bundle {
        let shipped = Bundle::shipped(state("CT"));
        let files = shipped.files().chain([("local.cedar", OVERFLOWS)]);
        Bundle::from_files(files.map(|(path, text)| (path.to_owned(), text.to_owned()))).unwrap()
    }

    #[test]
    fn a_forbid_that_fails_is_a_deny_though_the_engine_says_allow() {
        let bundle = bundle();
        // Past the lint, as if a construct that can fail were one day on its list.
        let policy = CedarPolicy::of(lint::read(&bundle).unwrap(), PolicySet::new(), bundle.digest());
        let facts = stolen_car();
        let asked = Asked::search(&facts, &policy.rules.schema).unwrap();
        let request = asked.request(Some(facts.age_days)).unwrap();
        let response = policy.authorizer.is_authorized(&request, &policy.rules.policies, asked.entities());
        assert_eq!(response.decision(), Decision::Allow, "Cedar skips the forbid");
        assert_eq!(response.diagnostics().errors().count(), 1);
        assert_eq!(policy.rule_on(&facts), refused(BTreeSet::new()));

        // Beside another forbid that matched: both are named.
        let tired = SearchFacts { mfa: false, ..facts.clone() };
        let named = ["base.session", ENGINE_RULE].map(str::to_owned);
        assert_eq!(policy.rule_on(&tired), PolicyAnswer::Deny { rules: named.into() });

        // Where it does not fail it is a rule like any other.
        let small = SearchFacts { element_epochs: 1, ..facts };
        assert_eq!(policy.rule_on(&small), PolicyAnswer::Deny { rules: ["local.x".to_owned()].into() });
    }

    #[test]
    fn what_looks_at_the_age_is_found_wherever_it_looks() {
        let looks = |condition: &str| {
            let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
            lint::looks_at_age(&text.parse().unwrap())
        };
        for condition in [
            "context.ageDays > 7",
            "context.mfa && !(resource.owner == principal.agency || [1, context.ageDays].contains(3))",
            r#"context["ageDays"] < 0"#,
            "context has ageDays",
            "context == resource.facts",
            "(if context.mfa then context else resource.facts).legal.judicial",
        ] {
            assert!(looks(condition), "{condition}");
        }
        for condition in
            ["context.legal.judicial", "context.windowDays > 7 || context.legal.ageDays == 1", "resource.ageDays > 7"]
        {
            assert!(!looks(condition), "{condition}");
        }
    }

    #[test]
    fn such_a_forbid_does_not_pass_the_lint() {
        let error = CedarPolicy::load(&bundle()).unwrap_err();
        assert_eq!((error.file(), error.rule()), ("local.cedar", Some("local.x")));
        assert_eq!(error.fault(), &Fault::Construct("*".to_owned()));
    }
}

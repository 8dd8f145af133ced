//! The proofs of `law.md` section 6, for each of the five kinds of request that the schema knows. It must never count as proved
//! what was not: an answer that did not come is a failure, and a counterexample is asked again at the engine. What fails goes to
//! the person who wrote the rules; a bundle with a failure is not put in force.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cedar_policy::{Effect, Entities, Policy, PolicyId, PolicySet, Request, RequestEnv, Schema};
use cedar_policy_symcc::{CompiledPolicy, CompiledPolicySet, Env};
use lockplate_policy::{Check, CheckedBundle, Property};

use crate::scene::{Scene, ask, describes};
use crate::solver::{Answer, Cvc5, Session, runtime};
use crate::story::Story;

/// What is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// P0: a rule cannot fail on any request that fits the schema.
    NeverFails,
    /// R: every refusal names a rule.
    RefusalNamed,
    /// V: something is allowed.
    AllowsSomething,
    /// V: a property describes a request at all.
    Describes,
    /// D: a forbid changes the answer to some request, or says that it does not.
    Needed,
    /// A property: nothing that it describes is allowed.
    Never,
    /// A property: all that it describes is allowed.
    Always,
}

impl Proof {
    /// Its sign in `law.md` and in documents: `P0`, `R`, `V`, `D`, `never`, `always`.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::NeverFails => "P0",
            Self::RefusalNamed => "R",
            Self::AllowsSomething | Self::Describes => "V",
            Self::Needed => "D",
            Self::Never => "never",
            Self::Always => "always",
        }
    }
}

/// One thing that could not be proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which proof.
    pub proof: Proof,
    /// Rule or property, where the proof is about one.
    pub about: Option<String>,
    /// The promise that does not hold, in words.
    pub promise: String,
    /// Kind of request, as the schema calls it; `None` where it is about all of them.
    pub action: Option<String>,
    /// Why.
    pub because: Because,
}

/// Why a proof failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// This request shows it.
    Story(Story),
    /// There is no request that would show it, and that is the failure.
    Empty(&'static str),
    /// No answer that counts: not proved.
    Undecided(String),
}

/// What was proved of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Digest of the bundle.
    pub digest: [u8; 32],
    /// Permits and forbids.
    pub rules: usize,
    /// Properties.
    pub properties: usize,
    /// Proofs of P0, R, V of the whole, never and always that were asked for.
    pub checks: usize,
    /// Forbids looked at for D.
    pub forbids: usize,
    /// Those among them that say of themselves that they change nothing.
    pub redundant: usize,
    /// What failed, in order of kind, request and rule.
    pub failures: Vec<Failure>,
}

/// How far a proof has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Questions answered.
    pub done: usize,
    /// Questions in all.
    pub planned: usize,
}

/// The system gives no threads or processes.
#[derive(Debug)]
pub struct NoThreads(std::io::Error);

impl NoThreads {
    pub(crate) const fn new(error: std::io::Error) -> Self {
        Self(error)
    }
}

impl core::fmt::Display for NoThreads {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the system refuses a thread for the proofs")
    }
}

impl core::error::Error for NoThreads {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Proves bundles, and remembers from one to the next which requests each forbid decides: most bundles share most rules, and
/// such a request is quicker asked again at the engine than found again by the solver.
#[derive(Debug)]
pub struct Prover {
    cvc5: Cvc5,
    witnesses: Mutex<Witnesses>,
}

/// Requests that showed a forbid to change an answer, of bundles with one schema.
#[derive(Debug, Default)]
struct Witnesses {
    schema_text: String,
    found: Vec<(PolicyId, Arc<Env>)>,
}

impl Prover {
    /// With a solver, and nothing to remember yet.
    #[must_use]
    pub fn new(cvc5: Cvc5) -> Self {
        Self { cvc5, witnesses: Mutex::default() }
    }

    /// Proves a bundle. Seconds to a minute; as many threads as processors, five at most. `told` hears of each answer.
    ///
    /// # Errors
    /// The system refuses threads. That something cannot be proved is no error but in the report.
    pub fn prove(&self, bundle: &CheckedBundle, told: &(dyn Fn(Progress) + Sync)) -> Result<Report, NoThreads> {
        Subject::of(bundle).prove(self, told)
    }

    /// Those of earlier bundles with this schema.
    fn known(&self, schema_text: &str) -> Vec<(PolicyId, Arc<Env>)> {
        match self.witnesses.lock() {
            Ok(witnesses) if witnesses.schema_text == schema_text => witnesses.found.clone(),
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    fn remember(&self, schema_text: &str, more: Vec<(PolicyId, Arc<Env>)>) {
        if let Ok(mut witnesses) = self.witnesses.lock() {
            if witnesses.schema_text != schema_text {
                *witnesses = Witnesses { schema_text: schema_text.to_owned(), found: Vec::new() };
            }
            witnesses.found.extend(more);
        }
    }
}

/// What is proved, in the engine's form.
pub(crate) struct Subject {
    pub(crate) digest: [u8; 32],
    pub(crate) schema: Schema,
    pub(crate) schema_text: String,
    pub(crate) rules: Vec<(Policy, Redundant)>,
    pub(crate) properties: Vec<Property>,
}

/// Whether a forbid says of itself that it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redundant {
    Declared,
    NotDeclared,
}

/// The proofs of one kind of request.
struct Bench<'a> {
    subject: &'a Subject,
    env: &'a RequestEnv,
    shared: &'a Shared<'a>,
    whole: PolicySet,
    session: Session<'a>,
    failures: Vec<Failure>,
    checks: usize,
    found: Vec<(PolicyId, Arc<Env>)>,
}

/// What the threads tell each other.
struct Shared<'a> {
    /// Of earlier bundles.
    known: Vec<(PolicyId, Arc<Env>)>,
    /// By forbid: it is known to change some answer.
    needed: Vec<(PolicyId, AtomicBool)>,
    /// By forbid: some question about it got no answer.
    undecided: Mutex<Vec<(PolicyId, String)>>,
    /// By property: it is known to describe something.
    describes: Vec<AtomicBool>,
    done: AtomicUsize,
    planned: usize,
    told: &'a (dyn Fn(Progress) + Sync),
}

impl Subject {
    pub(crate) fn of(bundle: &CheckedBundle) -> Self {
        let declared = |words: Option<&str>| if words.is_some() { Redundant::Declared } else { Redundant::NotDeclared };
        Self {
            digest: bundle.digest(),
            schema: bundle.schema().clone(),
            schema_text: bundle.schema_text().to_owned(),
            rules: bundle.rules().map(|rule| (rule.policy.clone(), declared(rule.redundant))).collect(),
            properties: bundle.properties().to_vec(),
        }
    }

    pub(crate) fn prove(&self, prover: &Prover, told: &(dyn Fn(Progress) + Sync)) -> Result<Report, NoThreads> {
        let envs = request_envs(&self.schema);
        let forbids: Vec<&(Policy, Redundant)> =
            self.rules.iter().filter(|(policy, _)| policy.effect() == Effect::Forbid).collect();
        let shared = Shared {
            known: prover.known(&self.schema_text),
            needed: forbids.iter().map(|(policy, _)| (policy.id().clone(), AtomicBool::new(false))).collect(),
            undecided: Mutex::new(Vec::new()),
            describes: self.properties.iter().map(|_| AtomicBool::new(false)).collect(),
            done: AtomicUsize::new(0),
            planned: envs.len() * (self.rules.len() + 2 + self.properties.len() + forbids.len()),
            told,
        };
        let parts = over_each(&envs, |env| {
            let mut bench = Bench {
                subject: self,
                env,
                shared: &shared,
                whole: set(self.rules.iter().map(|(policy, _)| policy)),
                session: Session::new(&prover.cvc5),
                failures: Vec::new(),
                checks: 0,
                found: Vec::new(),
            };
            let runtime = runtime()?;
            runtime.block_on(bench.all());
            Ok((bench.checks, bench.failures, bench.found))
        })
        .map_err(NoThreads::new)?;
        let checks = parts.iter().map(|(checks, ..)| checks).sum();
        let mut failures = Vec::new();
        for (_, failed, found) in parts {
            failures.extend(failed);
            prover.remember(&self.schema_text, found);
        }
        failures.extend(self.undescribed(&shared));
        failures.extend(self.unneeded(&shared));
        failures.sort_by(|one, other| (one.proof, &one.about).cmp(&(other.proof, &other.about)));
        Ok(Report {
            digest: self.digest,
            rules: self.rules.len(),
            properties: self.properties.len(),
            checks,
            forbids: forbids.len(),
            redundant: forbids.iter().filter(|(_, redundant)| *redundant == Redundant::Declared).count(),
            failures,
        })
    }

    /// Properties that describe no request of any kind: they would hold of any rules at all.
    fn undescribed(&self, shared: &Shared<'_>) -> Vec<Failure> {
        let each = self.properties.iter().zip(&shared.describes);
        let empty = each.filter(|(_, describes)| !describes.load(Ordering::Relaxed));
        empty
            .map(|(property, _)| Failure {
                proof: Proof::Describes,
                about: Some(property.id().to_owned()),
                promise: "A property speaks of some request.".to_owned(),
                action: None,
                because: Because::Empty("there is no request that it describes, so it promises nothing"),
            })
            .collect()
    }

    /// Forbids that change nothing and do not say so, or say so and change something.
    fn unneeded(&self, shared: &Shared<'_>) -> Vec<Failure> {
        let undecided = shared.undecided.lock().map_or_else(|_| Vec::new(), |list| list.clone());
        let mut failures = Vec::new();
        for (id, needed) in &shared.needed {
            let declared =
                self.rules.iter().any(|(policy, redundant)| policy.id() == id && *redundant == Redundant::Declared);
            let because = match (needed.load(Ordering::Relaxed), declared) {
                (true, false) => continue,
                (true, true) => {
                    Because::Empty("it is marked @redundant, and refuses something that no other rule does")
                }
                (false, declared) => match undecided.iter().find(|(other, _)| other == id) {
                    Some((_, why)) => Because::Undecided(why.clone()),
                    None if declared => continue,
                    None => Because::Empty("every request that it refuses is refused without it; mark it @redundant"),
                },
            };
            failures.push(Failure {
                proof: Proof::Needed,
                about: Some(id.to_string()),
                promise:
                    "A rule that forbids changes the answer to some request, or says that it only names a refusal."
                        .to_owned(),
                action: None,
                because,
            });
        }
        failures
    }
}

impl Bench<'_> {
    async fn all(&mut self) {
        let rules = &self.subject.rules;
        let permits = set(rules.iter().map(|(policy, _)| policy).filter(|policy| policy.effect() == Effect::Permit));
        self.never_fails().await;
        let Some(whole) = self.compiled(&self.whole.clone(), Proof::AllowsSomething, None) else { return };
        self.refusal_named(&permits).await;
        self.allows_something(&whole).await;
        for place in 0..self.subject.properties.len() {
            self.property(place, &whole).await;
        }
        self.needed(&whole).await;
    }

    /// P0.
    async fn never_fails(&mut self) {
        for (policy, _) in &self.subject.rules {
            self.checks += 1;
            let promise = "No rule can fail: one that fails is skipped, and a forbid that is skipped lets through.";
            let id = policy.id().to_string();
            let compiled = CompiledPolicy::compile(policy, self.env, &self.subject.schema);
            let answer = match &compiled {
                Ok(compiled) => {
                    let asked =
                        async |solver: &mut Compiler| solver.check_never_errors_with_counterexample_opt(compiled).await;
                    self.session.ask(asked).await
                }
                Err(error) => Answer::Undecided(format!("the rule cannot be put to the solver: {error}")),
            };
            let alone = set([policy]);
            let shows = |request: &Request, entities: &Entities| !ask(&alone, request, entities).failed.is_empty();
            self.found(Proof::NeverFails, Some(&id), promise, answer, shows, |_, _| {
                format!("On this request {id} fails.")
            });
        }
    }

    /// R.
    async fn refusal_named(&mut self, permits: &PolicySet) {
        self.checks += 1;
        let promise = "Every refusal names a rule.";
        let forbids =
            self.subject.rules.iter().map(|(policy, _)| policy).filter(|policy| policy.effect() == Effect::Forbid);
        let Some(everything) = permit_all() else { return };
        let left = set(forbids.chain([&everything]));
        let (Some(left), Some(right)) =
            (self.compiled(&left, Proof::RefusalNamed, None), self.compiled(permits, Proof::RefusalNamed, None))
        else {
            return;
        };
        let asked = async |solver: &mut Compiler| solver.check_implies_with_counterexample_opt(&left, &right).await;
        let answer = self.session.ask(asked).await;
        let whole = self.whole.clone();
        let shows = move |request: &Request, entities: &Entities| {
            let said = ask(&whole, request, entities);
            !said.allowed && said.rules.is_empty()
        };
        let ending = |_: &Request, _: &Entities| "No rule allows it, and no rule says why it is refused.".to_owned();
        self.found(Proof::RefusalNamed, None, promise, answer, shows, ending);
    }

    /// V of the whole.
    async fn allows_something(&mut self, whole: &CompiledPolicySet) {
        self.checks += 1;
        let promise = "The rules allow some request of each kind.";
        match self.session.ask(async |solver: &mut Compiler| solver.check_always_denies_opt(whole).await).await {
            Answer::Decided(false) => {}
            Answer::Decided(true) => {
                let because = Because::Empty(
                    "the rules refuse every request of this kind, so that whatever else is proved of it says nothing",
                );
                self.failed(Proof::AllowsSomething, None, promise, because);
            }
            Answer::Undecided(why) => self.failed(Proof::AllowsSomething, None, promise, Because::Undecided(why)),
        }
        self.tell();
    }

    /// never and always, where the property describes requests of this kind at all.
    async fn property(&mut self, place: usize, whole: &CompiledPolicySet) {
        let subject = self.subject;
        let (Some(property), Some(described)) = (subject.properties.get(place), self.shared.describes.get(place))
        else {
            return;
        };
        let proof = proof_of(property);
        let id = property.id();
        let Some(compiled) = self.compiled(&set([&property.policy]), proof, Some(id)) else { return };
        match self.session.ask(async |solver: &mut Compiler| solver.check_always_denies_opt(&compiled).await).await {
            Answer::Decided(true) => {
                self.tell();
                return;
            }
            Answer::Decided(false) => described.store(true, Ordering::Relaxed),
            Answer::Undecided(why) => {
                described.store(true, Ordering::Relaxed);
                self.checks += 1;
                self.failed(proof, Some(id), &property.say, Because::Undecided(why));
                self.tell();
                return;
            }
        }
        self.checks += 1;
        let answer = holds(&mut self.session, property.check, &compiled, whole).await;
        let rules = self.whole.clone();
        let check = property.check;
        let shows = |request: &Request, entities: &Entities| {
            describes(&property.policy, request, entities) && breaks(check, &rules, request, entities)
        };
        self.found(proof, Some(id), &property.say, answer, shows, |request, entities| {
            outcome(&rules, request, entities)
        });
    }

    /// D.
    async fn needed(&mut self, whole: &CompiledPolicySet) {
        let subject = self.subject;
        for (id, needed) in &self.shared.needed {
            let without = set(subject.rules.iter().map(|(policy, _)| policy).filter(|policy| policy.id() != id));
            if !needed.load(Ordering::Relaxed) {
                let policy = subject.rules.iter().map(|(policy, _)| policy).find(|policy| policy.id() == id);
                match self.changes(policy, &without, whole).await {
                    Answer::Decided(true) => needed.store(true, Ordering::Relaxed),
                    Answer::Decided(false) => {}
                    Answer::Undecided(why) => {
                        if let Ok(mut list) = self.shared.undecided.lock() {
                            list.push((id.clone(), why));
                        }
                    }
                }
            }
            self.tell();
        }
    }

    /// Whether the whole says something else than `without` on some request of this kind.
    async fn changes(
        &mut self,
        policy: Option<&Policy>,
        without: &PolicySet,
        whole: &CompiledPolicySet,
    ) -> Answer<bool> {
        let Some(policy) = policy else { return Answer::Decided(false) };
        if self.shown(policy.id(), without) {
            return Answer::Decided(true);
        }
        // Most rules are about other kinds of request, which is cheap to see.
        let unfit = |error| Answer::Undecided(format!("the rule cannot be put to the solver: {error}"));
        let alone = match CompiledPolicy::compile(policy, self.env, &self.subject.schema) {
            Ok(alone) => alone,
            Err(error) => return unfit(error),
        };
        match self.session.ask(async |solver: &mut Compiler| solver.check_never_matches_opt(&alone).await).await {
            Answer::Decided(true) => return Answer::Decided(false),
            Answer::Decided(false) => {}
            undecided @ Answer::Undecided(_) => return undecided,
        }
        let compiled = match CompiledPolicySet::compile(without, self.env, &self.subject.schema) {
            Ok(compiled) => compiled,
            Err(error) => return unfit(error),
        };
        let asked =
            async |solver: &mut Compiler| solver.check_equivalent_with_counterexample_opt(whole, &compiled).await;
        match self.session.ask(asked).await {
            Answer::Decided(None) => Answer::Decided(false),
            Answer::Decided(Some(env)) if differ(&self.whole, without, &env) => {
                self.found.push((policy.id().clone(), Arc::new(env)));
                Answer::Decided(true)
            }
            Answer::Decided(Some(_)) => Answer::Undecided(UNCONFIRMED.to_owned()),
            Answer::Undecided(why) => Answer::Undecided(why),
        }
    }

    /// Whether a request that showed it in an earlier bundle shows it in this one.
    fn shown(&self, id: &PolicyId, without: &PolicySet) -> bool {
        let earlier = self
            .shared
            .known
            .iter()
            .filter(|(other, env)| other == id && env.request.action() == Some(self.env.action()));
        earlier.into_iter().any(|(_, env)| differ(&self.whole, without, env))
    }

    fn compiled(&mut self, policies: &PolicySet, proof: Proof, about: Option<&str>) -> Option<CompiledPolicySet> {
        match CompiledPolicySet::compile(policies, self.env, &self.subject.schema) {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                let because = Because::Undecided(format!("the rules cannot be put to the solver: {error}"));
                self.failed(proof, about, "The rules can be proved.", because);
                None
            }
        }
    }

    /// Takes an answer with or without a counterexample, and confirms and tells the counterexample.
    fn found(
        &mut self,
        proof: Proof,
        about: Option<&str>,
        promise: &str,
        answer: Answer<Option<Env>>,
        shows: impl Fn(&Request, &Entities) -> bool,
        ending: impl FnOnce(&Request, &Entities) -> String,
    ) {
        match answer {
            Answer::Decided(None) => {}
            Answer::Decided(Some(env)) => {
                let because = told(&self.subject.schema, &env, shows, ending);
                self.failed(proof, about, promise, because);
            }
            Answer::Undecided(why) => self.failed(proof, about, promise, Because::Undecided(why)),
        }
        self.tell();
    }

    fn failed(&mut self, proof: Proof, about: Option<&str>, promise: &str, because: Because) {
        let action = Some(self.env.action().id().unescaped().to_owned());
        self.failures.push(Failure {
            proof,
            about: about.map(str::to_owned),
            promise: promise.to_owned(),
            action,
            because,
        });
    }

    fn tell(&self) {
        let done = self.shared.done.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        (self.shared.told)(Progress { done, planned: self.shared.planned });
    }
}

/// Said where the solver and the engine do not agree.
const UNCONFIRMED: &str = "the solver found a request which the engine does not confirm";

/// Whether two sets decide a request differently, and nothing failed in either.
fn differ(one: &PolicySet, other: &PolicySet, env: &Env) -> bool {
    let (one, other) = (ask(one, &env.request, &env.entities), ask(other, &env.request, &env.entities));
    one.failed.is_empty() && other.failed.is_empty() && one.allowed != other.allowed
}

/// The library's compiler over our process.
pub(crate) type Compiler = cedar_policy_symcc::CedarSymCompiler<cedar_policy_symcc::solver::LocalSolver>;

pub(crate) fn proof_of(property: &Property) -> Proof {
    match property.check {
        Check::Never => Proof::Never,
        Check::Always => Proof::Always,
    }
}

/// Whether a property holds; a request that shows it does not.
pub(crate) async fn holds(
    session: &mut Session<'_>,
    check: Check,
    property: &CompiledPolicySet,
    whole: &CompiledPolicySet,
) -> Answer<Option<Env>> {
    match check {
        Check::Never => {
            session
                .ask(async |solver: &mut Compiler| solver.check_disjoint_with_counterexample_opt(whole, property).await)
                .await
        }
        Check::Always => {
            session
                .ask(async |solver: &mut Compiler| solver.check_implies_with_counterexample_opt(property, whole).await)
                .await
        }
    }
}

/// Whether a request that a property describes breaks it.
pub(crate) fn breaks(check: Check, rules: &PolicySet, request: &Request, entities: &Entities) -> bool {
    match check {
        Check::Never => ask(rules, request, entities).allowed,
        Check::Always => !ask(rules, request, entities).allowed,
    }
}

/// What the rules do with a request, as the last line of a story.
pub(crate) fn outcome(rules: &PolicySet, request: &Request, entities: &Entities) -> String {
    let said = ask(rules, request, entities);
    match (said.allowed, said.rules.as_slice()) {
        (true, rules) => format!("It is allowed by {}.", rules.join(", ")),
        (false, []) => "It is refused, and no rule says why.".to_owned(),
        (false, rules) => format!("It is refused by {}.", rules.join(", ")),
    }
}

/// A counterexample as a story, after the engine has confirmed it.
pub(crate) fn told(
    schema: &Schema,
    found: &Env,
    shows: impl Fn(&Request, &Entities) -> bool,
    ending: impl FnOnce(&Request, &Entities) -> String,
) -> Because {
    if !shows(&found.request, &found.entities) {
        return Because::Undecided(UNCONFIRMED.to_owned());
    }
    let read = Scene::of(found)
        .filter(|scene| scene.build(schema).is_some_and(|(request, entities)| shows(&request, &entities)));
    let Some(scene) = read else {
        return Because::Story(Story::untold().ending(ending(&found.request, &found.entities)));
    };
    let scene = scene.ordinary(schema, shows);
    let story = Story::of(&scene);
    Because::Story(match scene.build(schema) {
        Some((request, entities)) => story.ending(ending(&request, &entities)),
        None => story,
    })
}

/// The kinds of request that the schema knows. The last name first: searches take longest, and should not come last.
pub(crate) fn request_envs(schema: &Schema) -> Vec<RequestEnv> {
    let all: BTreeSet<RequestEnv> = schema.request_envs().collect();
    all.into_iter().rev().collect()
}

/// Policies with unique ids as a set.
pub(crate) fn set<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> PolicySet {
    let mut set = PolicySet::new();
    for policy in policies {
        // A rule left out in silence could make a false proof.
        set.add(policy.clone()).expect("ids are unique in a bundle that passed the lint, and no rule is called `_`");
    }
    set
}

fn permit_all() -> Option<Policy> {
    Policy::parse(Some(PolicyId::new("_")), "permit (principal, action, resource);").ok()
}

/// `work` on each item, on as many threads as there are processors; the results in the order of the items.
pub(crate) fn over_each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> std::io::Result<R> + Sync,
) -> std::io::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let take = || {
        let mut mine = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            match items.get(place) {
                Some(item) => mine.push((place, work(item)?)),
                None => return Ok(mine),
            }
        }
    };
    let parts: Vec<std::io::Result<Vec<(usize, R)>>> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        let lost = || Err(std::io::Error::other("a thread of the proofs ended early"));
        started.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
    });
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    all.sort_by_key(|(place, _)| *place);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    /// One permit, and what is planted beside it.
    fn subject(planted: &str) -> Subject {
        let text = format!("@id(\"base.p\") permit (principal, action, resource) when {{ context.mfa }};\n{planted}");
        let schema_text = "entity U; entity A;
            action search appliesTo { principal: U, resource: A, context: { mfa: Bool, n: Long } };";
        let rules: PolicySet = text.parse().unwrap();
        let rules = rules.policies().map(|policy| {
            let id = PolicyId::new(policy.annotation("id").unwrap());
            (policy.new_id(id), Redundant::NotDeclared)
        });
        Subject {
            digest: [0; 32],
            schema: Schema::from_cedarschema_str(schema_text).unwrap().0,
            schema_text: schema_text.to_owned(),
            rules: rules.collect(),
            properties: Vec::new(),
        }
    }

    fn proved(planted: &str) -> Option<Report> {
        let named = std::env::var_os("CVC5").filter(|path| !path.is_empty());
        match Cvc5::at(&named.unwrap_or_else(|| OsString::from("cvc5"))) {
            Ok(cvc5) => Some(subject(planted).prove(&Prover::new(cvc5), &|_| {}).unwrap()),
            Err(error) => {
                #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
                {
                    eprintln!("SKIPPED: {error}; that a rule which can fail is found was NOT tested");
                }
                None
            }
        }
    }

    #[test]
    fn a_rule_that_can_fail_is_found() {
        // The lint refuses arithmetic; this is what it refuses it for. The overflow is on no request that a person would try.
        let forbid = "@id(\"base.f\") forbid (principal, action, resource) when { context.n + 1 > 5 || !context.mfa };";
        let Some(report) = proved(forbid) else { return };
        let failed: Vec<_> = report.failures.iter().filter(|failure| failure.proof == Proof::NeverFails).collect();
        assert_eq!(failed.len(), 1, "{report:?}");
        assert_eq!((failed[0].about.as_deref(), failed[0].action.as_deref()), (Some("base.f"), Some("search")));
        let Because::Story(story) = &failed[0].because else { panic!("{report:?}") };
        assert_eq!(story.lines().last().unwrap(), "On this request base.f fails.");

        let tame = "@id(\"base.f\") forbid (principal, action, resource) when { context.n > 4 || !context.mfa };";
        let report = proved(tame).unwrap();
        assert!(report.failures.iter().all(|failure| failure.proof != Proof::NeverFails), "{report:?}");
    }
}

//! The register as people read it: one entry a request, made from what all logs say of it, with the cameras, keepers and changes
//! around it. It shows what the parties state and by whom; whether they keep their word is the monitor's question. Pages, CSV and
//! JSON are made from these values; field names stay.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::Timestamp;
use lockplate_core::entry::{Outcome, PolicyRelation, RefusalReason};
use lockplate_core::facts::Obligations;
use lockplate_core::id::{AgencyId, KeeperIndex, b64url};
use lockplate_core::vocabulary::{Action, Assurance, Basis, Purpose};
use serde::{Serialize, Serializer};

use crate::logs::{KeeperWords, LeafRef, LogName, Logs, RequestState};
use crate::time::{self, Month};

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Allowed or approved in the logs of at least t keepers.
    Granted,
    /// So many keepers refused that t can no longer agree, or all that answered refused.
    Refused,
    /// Neither yet.
    Waiting,
}

/// What one keeper's log says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeeperDecision {
    /// Allowed by rule.
    Allowed,
    /// Approved by the keeper's human.
    Approved,
    /// The keeper's human was asked and has not answered.
    Asked,
    /// Refused by the keeper's human.
    RefusedByHuman(Option<RefusalReason>),
    /// Refused by rule.
    RefusedByRule,
}

impl KeeperDecision {
    /// A yes?
    #[must_use]
    pub const fn is_yes(self) -> bool {
        matches!(self, Self::Allowed | Self::Approved)
    }

    /// A no?
    #[must_use]
    pub const fn is_no(self) -> bool {
        matches!(self, Self::RefusedByHuman(_) | Self::RefusedByRule)
    }

    /// Its name in JSON and CSV.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Approved => "approved",
            Self::Asked => "asked",
            Self::RefusedByHuman(_) => "refused_by_human",
            Self::RefusedByRule => "refused_by_rule",
        }
    }
}

impl Serialize for KeeperDecision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The id of an entry, and its permanent address: 64 lower-case hex digits of the request digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub [u8; 32]);

impl EntryId {
    /// From exactly 64 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => byte.checked_sub(b'0'),
            b'a'..=b'f' => byte.checked_sub(b'a').and_then(|value| value.checked_add(10)),
            _ => None,
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let bytes =
            pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect::<Option<Vec<u8>>>()?;
        <[u8; 32]>::try_from(bytes).ok().map(Self)
    }
}

impl core::fmt::Display for EntryId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An agency as it is shown: its id, and its name where the charter knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Party {
    /// 22 characters of its id.
    pub id: String,
    /// Its name; none for an agency that the charter does not name.
    pub name: Option<String>,
}

impl Party {
    pub(crate) fn of(logs: &Logs, id: AgencyId) -> Self {
        Self { id: id.to_string(), name: logs.agency(id).map(str::to_owned) }
    }

    /// The name, or the id where there is none.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// Duties that come with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Duties {
    /// Human approvals needed besides the agreement of keepers.
    pub approvers: u8,
    /// Days for which what was found may be kept.
    pub retain_days: u32,
    /// Longest days until the time window and the notice are published.
    pub notice_days: u32,
    /// A person compares plate and state before anybody acts.
    pub confirm_visual: bool,
}

impl From<Obligations> for Duties {
    fn from(duties: Obligations) -> Self {
        let Obligations { approvers, retain_days, notice_days, confirm_visual } = duties;
        Self { approvers, retain_days, notice_days, confirm_visual }
    }
}

/// One keeper's part in an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeeperPart {
    /// Its place.
    pub keeper: u8,
    /// Its name.
    pub name: String,
    /// Its decision.
    pub decision: KeeperDecision,
    /// Why its human refused.
    pub reason: Option<&'static str>,
    /// The leaf that gave the decision.
    pub leaf: LeafRef,
    /// When.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// Rules it cites, sorted.
    pub rules: Vec<String>,
    /// Periods it allows.
    pub epochs_allowed: u64,
    /// Periods inside the window that it does not.
    pub epochs_refused: u64,
    /// Digest of its policy bundle, base64url.
    pub policy: String,
    /// Its answers to the search: leaf and time of each.
    pub evaluations: Vec<EvaluationPart>,
}

/// One answer of a keeper to a granted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EvaluationPart {
    /// The leaf.
    pub leaf: LeafRef,
    /// When.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// Periods.
    pub epochs: u64,
    /// Spellings in each.
    pub elements: u64,
}

/// What the requester said it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DisclosurePart {
    /// The leaf.
    pub leaf: LeafRef,
    /// When.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// Reads opened.
    pub cells: u64,
    /// Of them, reads that cannot be the plate asked for.
    pub others: u64,
    /// `found`, `none` or `failed`.
    pub outcome: &'static str,
}

/// One request, as all logs tell it. Public fields are those of the keeper with the lowest place; the monitor compares the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its permanent id.
    pub id: EntryId,
    /// When a keeper first wrote it down.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// The month of that.
    pub month: Month,
    /// What it came to.
    pub decision: Decision,
    /// Who asked.
    pub requester: Party,
    /// For whom; the requester itself where for nobody else.
    pub on_behalf_of: Party,
    /// The officer's pseudonym of this year, base64url.
    pub officer: String,
    /// `search`, `holdEvidence` or `ownerAccess`.
    pub action: &'static str,
    /// Purpose stated.
    pub purpose: &'static str,
    /// Basis stated.
    pub basis: &'static str,
    /// How a court's paper was verified.
    pub assurance: &'static str,
    /// A judge's paper that counts.
    pub judicial: bool,
    /// Declared as an emergency.
    pub emergency: bool,
    /// Fingerprint of the paper, base64url.
    pub authorisation: Option<String>,
    /// Spellings asked for.
    pub elements: u64,
    /// Days of the window, rounded up.
    pub window_days: u64,
    /// Rules that decided, of all keepers that decided so, sorted.
    pub rules: Vec<String>,
    /// Duties of a grant.
    pub obligations: Option<Duties>,
    /// Until then the window and the notice stay closed; the latest of all keepers.
    #[serde(serialize_with = "time::text")]
    pub embargo: Timestamp,
    /// Each keeper's part, by place.
    pub keepers: Vec<KeeperPart>,
    /// What the requester said it opened; the last word where it said more than one.
    pub disclosure: Option<DisclosurePart>,
}

/// How a list of values splits by decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Granted.
    pub granted: u64,
    /// Refused.
    pub refused: u64,
    /// Waiting.
    pub waiting: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, decision: Decision) {
        let counter = match decision {
            Decision::Granted => &mut self.granted,
            Decision::Refused => &mut self.refused,
            Decision::Waiting => &mut self.waiting,
        };
        *counter = counter.saturating_add(1);
    }

    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.granted.saturating_add(self.refused).saturating_add(self.waiting)
    }
}

/// What the register can be filtered by, each value with its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facets {
    /// Requesting agencies.
    pub agencies: Vec<(Party, Counts)>,
    /// Purposes, by name.
    pub purposes: Vec<(&'static str, Counts)>,
    /// Rules, by id.
    pub rules: Vec<(String, Counts)>,
    /// Months, latest first.
    pub months: Vec<(Month, Counts)>,
    /// All.
    pub all: Counts,
}

/// A keeper as the register shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeeperLine {
    /// Its place.
    pub keeper: u8,
    /// Its name.
    pub name: String,
    /// The legal entity it belongs to.
    pub legal_entity: String,
    /// Origin of its log.
    pub origin: String,
    /// Entries of its log.
    pub leaves: u64,
    /// Time of the last of them.
    #[serde(serialize_with = "time::text_or_null")]
    pub last_leaf: Option<Timestamp>,
    /// When its log was last confirmed by independent watchers; none if never.
    #[serde(serialize_with = "time::text_or_null")]
    pub confirmed: Option<Timestamp>,
}

/// The cameras, by the newest statement in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cameras {
    /// How many.
    pub count: u64,
    /// Since when.
    #[serde(serialize_with = "time::text")]
    pub since: Timestamp,
    /// The leaf that says so.
    pub leaf: LeafRef,
}

/// Periods of reads and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Epochs {
    /// Dealt.
    pub dealt: u64,
    /// Closed.
    pub closed: u64,
    /// Destroyed: so few keepers have a share left that nobody can open it.
    pub destroyed: u64,
}

/// The first screen: what a resident asks first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The owner.
    pub owner: Party,
    /// The moment it holds for.
    #[serde(serialize_with = "time::text")]
    pub as_of: Timestamp,
    /// Hash of the charter, base64url.
    pub charter: String,
    /// Keepers that must agree.
    pub threshold: u8,
    /// Keepers.
    pub keepers: Vec<KeeperLine>,
    /// Distinct legal entities among the keepers.
    pub legal_entities: u64,
    /// One party can open everything: by the charter, or by a charter leaf in force in any keeper's log.
    pub custody_label: bool,
    /// How long reads are kept, seconds after the end of their period.
    pub retention_seconds: u64,
    /// The cameras; none if the recorder's log says nothing.
    pub cameras: Option<Cameras>,
    /// Periods.
    pub epochs: Epochs,
    /// The current month.
    pub month: Month,
    /// Requests of the current month.
    pub this_month: Counts,
    /// Requests of all time.
    pub all_time: Counts,
    /// Who asked in the current month, most requests first.
    pub who_asked: Vec<(Party, Counts)>,
    /// Emergencies of the current month.
    pub emergencies: u64,
}

/// A change that the keepers and the recorder announced, once, with every log that says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// When it was first written down.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// From then on.
    #[serde(serialize_with = "time::text")]
    pub effective: Timestamp,
    /// What changes.
    pub what: ChangeKind,
    /// Digest of what it names, base64url.
    pub digest: String,
    /// The leaves that say so.
    pub leaves: Vec<LeafRef>,
}

/// What changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChangeKind {
    /// A charter.
    Charter {
        /// Keepers that must agree.
        t: u8,
        /// Keepers.
        n: u8,
        /// One party can open everything.
        custody_label: bool,
    },
    /// A policy bundle.
    Policy {
        /// `equal`, `narrower`, `looser`, or `first`.
        relation: &'static str,
    },
    /// A key.
    Key {
        /// Whose.
        subject: &'static str,
        /// `enrol`, `replace` or `revoke`.
        change: &'static str,
    },
    /// A declaration of another agency.
    Declaration {
        /// Who declares.
        agency: Party,
        /// Which declaration.
        declaration: &'static str,
        /// `file` or `withdraw`.
        change: &'static str,
    },
    /// The camera register.
    Camera {
        /// `add`, `change`, `remove` or `pause`.
        change: &'static str,
        /// Cameras after it.
        cameras: u64,
    },
}

/// The register at a moment.
#[derive(Clone, Debug)]
pub struct Register<'a> {
    logs: &'a Logs,
    now: Timestamp,
    /// Newest first.
    order: Vec<(Timestamp, [u8; 32])>,
}

impl<'a> Register<'a> {
    /// The register of what has been said. `now` decides only what is in force and which month is the current one.
    #[must_use]
    pub fn of(logs: &'a Logs, now: Timestamp) -> Self {
        let dated = logs.requests().iter().filter_map(|(digest, request)| Some((request.time()?, *digest)));
        let mut order: Vec<_> = dated.collect();
        order.sort_unstable_by(|one, other| other.cmp(one));
        Self { logs, now, order }
    }

    /// Number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.order.len()
    }

    /// No entry?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Entries, newest first.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<'_, 'a> {
        self.order.iter().filter_map(|(_, digest)| self.entry(EntryId(*digest)))
    }

    /// One entry.
    #[must_use]
    pub fn entry(&self, id: EntryId) -> Option<Entry> {
        entry(self.logs, id, self.logs.requests().get(&id.0)?)
    }

    /// What the register can be filtered by.
    #[must_use]
    pub fn facets(&self) -> Facets {
        let (mut agencies, mut purposes) = (BTreeMap::new(), BTreeMap::new());
        let (mut rules, mut months) = (BTreeMap::new(), BTreeMap::new());
        let mut all = Counts::default();
        for entry in self.entries() {
            let decision = entry.decision;
            all.add(decision);
            count(&mut agencies, entry.requester, decision);
            count(&mut purposes, entry.purpose, decision);
            count(&mut months, entry.month, decision);
            entry.rules.into_iter().for_each(|rule| count(&mut rules, rule, decision));
        }
        Facets {
            agencies: agencies.into_iter().collect(),
            purposes: purposes.into_iter().collect(),
            rules: rules.into_iter().collect(),
            months: months.into_iter().rev().collect(),
            all,
        }
    }

    /// The first screen.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let file = self.logs.charter();
        let charter = file.charter();
        let month = Month::of(self.now);
        let (mut this_month, mut all_time, mut emergencies) = (Counts::default(), Counts::default(), 0_u64);
        let mut who = BTreeMap::new();
        for entry in self.entries() {
            all_time.add(entry.decision);
            if entry.month == month {
                this_month.add(entry.decision);
                emergencies = emergencies.saturating_add(u64::from(entry.emergency));
                count(&mut who, entry.requester, entry.decision);
            }
        }
        let mut who_asked: Vec<(Party, Counts)> = who.into_iter().collect();
        who_asked.sort_by(|(_, one), (_, other)| other.all().cmp(&one.all()));
        let in_force = |effective: Timestamp| effective <= self.now;
        let stated = self.logs.keeper_logs().filter_map(|(_, log)| {
            log.charters().iter().rev().find(|said| in_force(said.entry.effective)).map(|said| said.entry.custody_label)
        });
        Summary {
            owner: Party::of(self.logs, charter.owner.id),
            as_of: self.now,
            charter: b64url(&file.hash()),
            threshold: charter.threshold,
            keepers: self.keepers(),
            legal_entities: u64::try_from(charter.legal_entities()).unwrap_or(u64::MAX),
            custody_label: charter.custody_label() || stated.into_iter().any(|label| label),
            retention_seconds: charter.retention_seconds,
            cameras: cameras(self.logs, self.now),
            epochs: self.epochs(),
            month,
            this_month,
            all_time,
            who_asked,
            emergencies,
        }
    }

    /// Changes of charter, policy, keys, declarations and cameras, newest first.
    #[must_use]
    pub fn chronicle(&self) -> Vec<Change> {
        let mut changes: BTreeMap<(ChangeKind, Timestamp, String), (Timestamp, Vec<LeafRef>)> = BTreeMap::new();
        for (log, state) in self.logs.logs() {
            let mut say = |what, effective, digest: &[u8], index, time: Timestamp| {
                let known = changes.entry((what, effective, b64url(digest))).or_insert((time, Vec::new()));
                known.0 = known.0.min(time);
                known.1.push(LeafRef { log, index });
            };
            for said in state.charters() {
                let leaf = &said.entry;
                let what = ChangeKind::Charter { t: leaf.t, n: leaf.n, custody_label: leaf.custody_label };
                say(what, leaf.effective, &leaf.new, said.index, said.time);
            }
            for said in state.policies() {
                let leaf = &said.entry;
                let relation = if leaf.old.is_none() { "first" } else { relation_name(leaf.relation) };
                say(ChangeKind::Policy { relation }, leaf.effective, &leaf.new, said.index, said.time);
            }
            for said in state.keys() {
                let leaf = &said.entry.entry;
                let what = ChangeKind::Key { subject: leaf.subject.name(), change: leaf.change.name() };
                say(what, leaf.effective, &leaf.list, said.index, said.time);
            }
            for said in state.declarations() {
                let leaf = &said.entry;
                let what = ChangeKind::Declaration {
                    agency: Party::of(self.logs, leaf.agency),
                    declaration: leaf.declaration.name(),
                    change: leaf.change.name(),
                };
                say(what, leaf.valid_from, &leaf.object, said.index, said.time);
            }
            for said in state.cameras() {
                let leaf = &said.entry;
                let what = ChangeKind::Camera { change: leaf.change.name(), cameras: leaf.cameras };
                say(what, leaf.effective, &leaf.register, said.index, said.time);
            }
        }
        let change = |((what, effective, digest), (time, leaves))| Change { time, effective, what, digest, leaves };
        let mut chronicle: Vec<Change> = changes.into_iter().map(change).collect();
        chronicle.sort_by(|one, other| other.cmp(one));
        chronicle
    }

    fn keepers(&self) -> Vec<KeeperLine> {
        let lines = self.logs.charter().charter().keepers.iter().map(|keeper| {
            let state = self.logs.log(&LogName::Keeper(keeper.index));
            KeeperLine {
                keeper: keeper.index.0,
                name: keeper.name.clone(),
                legal_entity: keeper.legal_entity.clone(),
                origin: keeper.log_key.name().as_str().to_owned(),
                leaves: state.map_or(0, |state| state.next()),
                last_leaf: state.and_then(|state| state.last_time()),
                confirmed: state.and_then(|state| state.head()?.confirmed),
            }
        });
        lines.collect()
    }

    fn epochs(&self) -> Epochs {
        let mut counts = Epochs::default();
        for epoch in self.logs.epochs().values() {
            counts.dealt = counts.dealt.saturating_add(u64::from(epoch.dealing().is_some()));
            counts.closed = counts.closed.saturating_add(u64::from(!epoch.closings().is_empty()));
            counts.destroyed = counts.destroyed.saturating_add(u64::from(epoch.dead_since().is_some()));
        }
        counts
    }
}

const fn relation_name(relation: PolicyRelation) -> &'static str {
    relation.name()
}

pub(crate) fn count<K: Ord>(table: &mut BTreeMap<K, Counts>, key: K, decision: Decision) {
    table.entry(key).or_default().add(decision);
}

/// The cameras at a moment.
pub(crate) fn cameras(logs: &Logs, at: Timestamp) -> Option<Cameras> {
    let said = logs.log(&LogName::Recorder)?.cameras();
    let newest = said.iter().rev().find(|said| said.entry.effective <= at)?;
    let leaf = LeafRef { log: LogName::Recorder, index: newest.index };
    Some(Cameras { count: newest.entry.cameras, since: newest.entry.effective, leaf })
}

/// What a request came to, by the logs of all keepers.
pub(crate) fn decision_of(logs: &Logs, request: &RequestState) -> Decision {
    let needed = request.time().map_or(usize::MAX, |time| logs.threshold_at(time));
    let keepers = logs.charter().charter().keepers.len();
    let answers: Vec<_> =
        request.keepers().iter().filter_map(|words| words.answer()).map(|(answer, _)| answer).collect();
    let yes = answers.iter().filter(|answer| answer.decision.is_yes()).count();
    let no = answers.iter().filter(|answer| answer.decision.is_no()).count();
    if yes >= needed {
        Decision::Granted
    } else if no == answers.len() || keepers.saturating_sub(no) < needed {
        Decision::Refused
    } else {
        Decision::Waiting
    }
}

/// Rules cited by the keepers that decided as the whole did; by all while the request waits.
pub(crate) fn deciding_rules(request: &RequestState, decision: Decision) -> BTreeSet<&String> {
    let decided = |answer: KeeperDecision| match decision {
        Decision::Granted => answer.is_yes(),
        Decision::Refused => answer.is_no(),
        Decision::Waiting => true,
    };
    let answers = request.keepers().iter().filter_map(|words| words.answer());
    answers.filter(|(answer, _)| decided(answer.decision)).flat_map(|(_, word)| word.rules.iter()).collect()
}

fn entry(logs: &Logs, id: EntryId, request: &RequestState) -> Option<Entry> {
    let word = request.first_word()?;
    let time = request.time()?;
    let stated = &word.stated;
    let decision = decision_of(logs, request);
    let keepers: Vec<KeeperPart> = request.keepers().iter().filter_map(|words| part(logs, words)).collect();
    let words = || request.keepers().iter().filter_map(|words| words.answer()).map(|(_, word)| word);
    let obligations = words().filter_map(|word| word.obligations).reduce(strictest).map(Duties::from);
    let disclosure = request.disclosures().iter().rev().find(|(desk, _)| *desk == stated.requester);
    Some(Entry {
        id,
        time,
        month: Month::of(time),
        decision,
        requester: Party::of(logs, stated.requester),
        on_behalf_of: Party::of(logs, stated.on_behalf_of),
        officer: b64url(&word.officer),
        action: Action::name(stated.action),
        purpose: Purpose::name(stated.purpose),
        basis: Basis::name(stated.basis),
        assurance: Assurance::name(word.assurance),
        judicial: word.judicial,
        emergency: stated.emergency,
        authorisation: stated.authorisation.map(|digest| b64url(&digest)),
        elements: stated.elements,
        window_days: stated.window_days,
        rules: deciding_rules(request, decision).into_iter().cloned().collect(),
        obligations,
        embargo: words().map(|word| word.embargo).max().unwrap_or(word.embargo),
        keepers,
        disclosure: disclosure.map(|(desk, said)| DisclosurePart {
            leaf: LeafRef { log: LogName::Desk(*desk), index: said.index },
            time: said.time,
            cells: said.entry.cells,
            others: said.entry.others,
            outcome: Outcome::name(said.entry.outcome),
        }),
    })
}

/// Of two keepers' duties the stricter of each, as the requester must obey both.
fn strictest(one: Obligations, other: Obligations) -> Obligations {
    Obligations {
        approvers: one.approvers.max(other.approvers),
        retain_days: one.retain_days.min(other.retain_days),
        notice_days: one.notice_days.min(other.notice_days),
        confirm_visual: one.confirm_visual || other.confirm_visual,
    }
}

fn part(logs: &Logs, words: &KeeperWords) -> Option<KeeperPart> {
    let (answered, word) = words.answer()?;
    let log = LogName::Keeper(words.keeper);
    let reason = match answered.decision {
        KeeperDecision::RefusedByHuman(reason) => reason.map(RefusalReason::name),
        KeeperDecision::Allowed | KeeperDecision::Approved | KeeperDecision::Asked | KeeperDecision::RefusedByRule => {
            None
        }
    };
    let evaluation = |said: &crate::logs::Evaluated| EvaluationPart {
        leaf: LeafRef { log, index: said.index },
        time: said.time,
        epochs: said.epochs,
        elements: said.elements,
    };
    Some(KeeperPart {
        keeper: words.keeper.0,
        name: keeper_name(logs, words.keeper),
        decision: answered.decision,
        reason,
        leaf: LeafRef { log, index: answered.index },
        time: answered.time,
        rules: word.rules.iter().cloned().collect(),
        epochs_allowed: word.epochs_allowed,
        epochs_refused: word.epochs_refused,
        policy: b64url(&word.policy),
        evaluations: words.evaluations.iter().map(evaluation).collect(),
    })
}

pub(crate) fn keeper_name(logs: &Logs, index: KeeperIndex) -> String {
    logs.charter().charter().keeper(index).map_or_else(String::new, |keeper| keeper.name.clone())
}

#[cfg(test)]
mod tests;

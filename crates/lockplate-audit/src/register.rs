//! The register as people read it: one entry a request, made from what all logs say of it, with the cameras, keepers and changes
//! around it. It shows what the parties state and by whom; whether they keep their word is the monitor's question. Pages, CSV and
//! JSON are made from these values; field names stay.

mod model;

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::Timestamp;
use lockplate_core::entry::{HoldLeaf, ListKind, Outcome, PaperStatus, RefusalReason};
use lockplate_core::facts::Obligations;
use lockplate_core::id::{AgencyId, KeeperIndex, b64url};
use lockplate_core::vocabulary::{Action, Assurance, Basis, Purpose};

use crate::logs::{Evaluated, KeeperWords, LeafRef, LogName, Logs, RequestState, Said};
use crate::time::Month;

pub use model::{
    Cameras, Change, ChangeKind, Counts, Decision, DisclosurePart, Duties, Entry, EntryId, Epochs, EvaluationPart,
    Facets, HoldPart, KeeperDecision, KeeperLine, KeeperPart, ListLine, PaperPart, Party, SelfTest, Summary,
};

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

    /// Entries of declared emergencies, newest first.
    pub fn emergencies(&self) -> impl Iterator<Item = Entry> + use<'_, 'a> {
        let declared = self.order.iter().filter(|(_, digest)| {
            let word = self.logs.requests().get(digest).and_then(|request| request.first_word());
            word.is_some_and(|word| word.stated.emergency)
        });
        declared.filter_map(|(_, digest)| self.entry(EntryId(*digest)))
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
        who_asked.sort_by_key(|(_, counts)| core::cmp::Reverse(counts.all()));
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
            self_test: self.self_test(),
            hot_lists: self.hot_lists(),
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
                let relation = if leaf.old.is_none() { "first" } else { leaf.relation.name() };
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
            for said in state.resumed() {
                let missing = said.entry.missing.iter().cloned().collect();
                say(ChangeKind::Resumed { log: log.to_string(), missing }, said.time, &[], said.index, said.time);
            }
            if log == LogName::Recorder {
                for said in self.logs.recorder().cameras() {
                    let leaf = &said.entry;
                    let what = ChangeKind::Camera { change: leaf.change.name(), cameras: leaf.cameras };
                    say(what, leaf.effective, &leaf.register, said.index, said.time);
                }
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

    fn self_test(&self) -> Option<SelfTest> {
        let last = self.logs.recorder().self_tests().last()?;
        let leaf = LeafRef { log: LogName::Recorder, index: last.index };
        let (result, keepers) = (last.entry.result.name(), last.entry.keepers);
        Some(SelfTest { time: last.time, result, keepers: u64::from(keepers), leaf })
    }

    fn hot_lists(&self) -> Vec<ListLine> {
        let lines = self.logs.recorder().lists().filter_map(|(list, changes)| {
            let last = changes.last()?;
            let mut entries: BTreeMap<&'static str, u64> = BTreeMap::new();
            for said in changes {
                match said.entry.kind {
                    ListKind::Full | ListKind::Retire => entries.clear(),
                    ListKind::Incremental | ListKind::Config => {}
                }
                entries.extend(said.entry.classes.iter().map(|one| (one.class.name(), one.accepted)));
            }
            let load = changes.iter().rev().find(|said| said.entry.kind != ListKind::Config).unwrap_or(last);
            Some(ListLine {
                list: b64url(list),
                leaf: LeafRef { log: LogName::Recorder, index: last.index },
                time: last.time,
                produced_at: load.entry.produced_at,
                retired: last.entry.kind == ListKind::Retire,
                entries: entries.into_iter().filter(|(_, n)| *n > 0).collect(),
            })
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

pub(crate) fn count<K: Ord>(table: &mut BTreeMap<K, Counts>, key: K, decision: Decision) {
    table.entry(key).or_default().add(decision);
}

/// The cameras at a moment.
pub(crate) fn cameras(logs: &Logs, at: Timestamp) -> Option<Cameras> {
    let said = logs.recorder().cameras();
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
        embargo: keepers.iter().map(|part| part.embargo).max().unwrap_or(word.embargo),
        paper: paper(request),
        holds: request.holds().iter().map(|(desk, said)| hold(*desk, said)).collect(),
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

fn hold(desk: AgencyId, said: &Said<HoldLeaf>) -> HoldPart {
    let leaf = LeafRef { log: LogName::Desk(desk), index: said.index };
    HoldPart { leaf, time: said.time, cells: said.entry.cells, until: said.entry.until }
}

/// How it stands with the paper of an emergency.
pub(crate) fn paper(request: &RequestState) -> Option<PaperPart> {
    let papers = || request.keepers().iter().flat_map(|words| &words.papers);
    let filed = papers().filter(|paper| paper.status == PaperStatus::Filed).map(|paper| paper.time).min();
    let last = papers().max_by_key(|paper| (paper.time, paper.index))?;
    let status = if filed.is_some() { PaperStatus::Filed } else { last.status };
    let deadline = papers().map(|paper| paper.deadline).min()?;
    Some(PaperPart { status: PaperStatus::name(status), deadline, filed })
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
    let request = LeafRef { log, index: word.index };
    let evaluation = |said: &Evaluated| EvaluationPart {
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
        request,
        embargo: logs.embargo_prolonged(&request).map_or(word.embargo, |later| later.max(word.embargo)),
        openings: logs.opening_state(&request),
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

//! Rules that look at one request in all logs: M1, M2, M3, M5, M10, and of M9 whether auditors can open it.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::Timestamp;
use lockplate_core::entry::PaperStatus;
use lockplate_core::id::AgencyId;

use super::{Alarm, DISCLOSURE_SECONDS, Gap, MonitorRule, PAPER_SECONDS, TWIN_SECONDS};
use crate::logs::{Evaluated, KeeperWords, LeafRef, LogName, Logs, RequestState, RequestWord};
use crate::register::KeeperDecision;

pub(super) fn check(logs: &Logs, now: Timestamp, alarms: &mut Vec<Alarm>) {
    let largest = crate::monitor::epochs::largest_closed(logs);
    for request in logs.requests().values() {
        for words in request.keepers() {
            own_log(words, alarms);
            for word in &words.requests {
                policy(logs, words, word, alarms);
                if !word.auditable {
                    let (log, here) = (LogName::Keeper(words.keeper), leaf(words, word.index));
                    alarms.push(Alarm::new(MonitorRule::EscrowMissing, vec![log], vec![here]).since(word.time));
                }
            }
        }
        alarms.extend(twins_differ(request));
        alarms.extend(twins(logs, now, request));
        alarms.extend(humans(logs, request));
        alarms.extend(paper(logs, now, request));
        disclosures(logs, now, request, &largest, alarms);
    }
}

/// Agencies whose desk is not known, and bundles whose rules are not.
pub(super) fn gaps(logs: &Logs) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut bundles = BTreeSet::new();
    for request in logs.requests().values() {
        bundles.extend(request.keepers().iter().flat_map(|words| &words.requests).map(|word| word.policy));
        let evaluated = request.keepers().iter().any(|words| !words.evaluations.is_empty());
        if let Some(word) = request.first_word().filter(|_| evaluated) {
            let desk = LogName::Desk(word.stated.requester);
            gaps.extend(logs.log(&desk).is_none().then_some(Gap::DeskUnknown { desk }));
        }
    }
    let unknown = bundles.iter().filter(|digest| !logs.bundles().contains_key(*digest)).count();
    if unknown > 0 {
        gaps.push(Gap::BundleUnknown { count: u64::try_from(unknown).unwrap_or(u64::MAX) });
    }
    gaps
}

const fn leaf(words: &KeeperWords, index: u64) -> LeafRef {
    LeafRef { log: LogName::Keeper(words.keeper), index }
}

/// Keepers' logs that are not known up to a moment: what is missing may still be there.
pub(super) fn open_logs(logs: &Logs, until: Timestamp) -> usize {
    logs.keeper_logs().filter(|(_, state)| state.known_until().is_none_or(|time| time < until)).count()
}

/// M1: what a keeper does must follow from what it wrote down before.
fn own_log(words: &KeeperWords, alarms: &mut Vec<Alarm>) {
    let log = LogName::Keeper(words.keeper);
    let grants_before = |index: u64| {
        words
            .requests
            .iter()
            .map(|word| words.answer_of(word))
            .any(|answer| answer.decision.is_yes() && answer.index < index)
    };
    for said in words.evaluations.iter().filter(|said| !grants_before(said.index)) {
        let context = words.requests.iter().map(|word| word.index);
        let context = context.chain(words.approvals.iter().map(|one| one.index));
        let leaves = context.chain([said.index]).map(|index| leaf(words, index)).collect();
        alarms.push(Alarm::new(MonitorRule::EvaluationWithoutRequest, vec![log], leaves).since(said.time));
    }
    let waits = |index: u64, before: u64| {
        index < before && words.requests.iter().any(|word| word.index == index && word.is_asked())
    };
    for said in words.approvals.iter().filter(|said| !waits(said.request_index, said.index)) {
        let leaves = [said.request_index, said.index].map(|index| leaf(words, index)).to_vec();
        alarms.push(Alarm::new(MonitorRule::ApprovalWithoutRequest, vec![log], leaves).since(said.time));
    }
}

/// M2: all keepers got the same signed request and compared the same statement.
fn twins_differ(request: &RequestState) -> Option<Alarm> {
    let words = || request.keepers().iter().flat_map(|words| words.requests.iter().map(move |word| (words, word)));
    let (first, first_word) = words().next()?;
    let (other, other_word) = words().find(|(_, word)| word.stated != first_word.stated)?;
    let leaves = vec![leaf(first, first_word.index), leaf(other, other_word.index)];
    let logs = leaves.iter().map(|leaf| leaf.log).collect();
    Some(Alarm::new(MonitorRule::TwinsDiffer, logs, leaves).since(first_word.time.max(other_word.time)))
}

/// M2: a grant carries the approvals of t keepers, and each of them stands in its keeper's log before it is given.
fn twins(logs: &Logs, now: Timestamp, request: &RequestState) -> Option<Alarm> {
    let evaluations =
        request.keepers().iter().flat_map(|words| words.evaluations.iter().map(move |said| (words, said)));
    let (words, said) = evaluations.min_by_key(|(words, said)| (said.time, words.keeper))?;
    let deadline = after(said.time, TWIN_SECONDS);
    let needed = logs.threshold_at(said.time);
    let open = open_logs(logs, deadline);
    // All approvals of a grant are given by the same rules.
    let policy = words.answer().map(|(_, word)| word.policy);
    let yes = |words: &KeeperWords| {
        let (answer, word) = words.answer()?;
        let counts = answer.decision.is_yes() && answer.time <= deadline && policy.is_none_or(|it| it == word.policy);
        counts.then(|| leaf(words, answer.index))
    };
    let granted: Vec<LeafRef> = request.keepers().iter().filter_map(yes).collect();
    if now < deadline || granted.len().saturating_add(open) >= needed {
        return None;
    }
    let standing = request.keepers().iter().filter(|words| !words.requests.is_empty()).count();
    let rule = if standing.saturating_add(open) < needed { MonitorRule::TwinMissing } else { MonitorRule::GrantTooFew };
    let evaluated =
        request.keepers().iter().flat_map(|words| words.evaluations.iter().map(|said| leaf(words, said.index)));
    let held_against = evaluated.clone().map(|leaf| leaf.log).collect();
    let leaves = granted.iter().copied().chain(evaluated).chain([leaf(words, said.index)]).collect();
    Some(Alarm::new(rule, held_against, leaves).since(deadline))
}

/// M2: the duties of the grant name how many people must have approved.
fn humans(logs: &Logs, request: &RequestState) -> Option<Alarm> {
    let evaluating = || request.keepers().iter().filter(|words| !words.evaluations.is_empty());
    let duties = evaluating().flat_map(|words| &words.requests).filter_map(|word| word.obligations);
    let needed = usize::from(duties.map(|duties| duties.approvers).max()?);
    let first = evaluating().flat_map(|words| &words.evaluations).map(|said| said.time).min()?;
    let deadline = after(first, TWIN_SECONDS);
    let open = open_logs(logs, deadline);
    let approved = request.keepers().iter().filter_map(|words| {
        let (answer, _) = words.answer()?;
        (answer.decision == KeeperDecision::Approved && answer.time <= deadline).then(|| leaf(words, answer.index))
    });
    let approved: Vec<LeafRef> = approved.collect();
    if approved.len().saturating_add(open) >= needed {
        return None;
    }
    let evaluated = evaluating().flat_map(|words| words.evaluations.iter().map(|said| leaf(words, said.index)));
    let held_against = evaluated.clone().map(|leaf| leaf.log).collect();
    Some(Alarm::new(MonitorRule::HumanMissing, held_against, evaluated.chain(approved).collect()).since(deadline))
}

/// M10: a paper counts as filed once the logs of as many keepers say so as must agree to a request.
fn paper(logs: &Logs, now: Timestamp, request: &RequestState) -> Option<Alarm> {
    let mut missing = Vec::new();
    let mut filed = 0_usize;
    for words in request.keepers() {
        let Some((answer, word)) = words.answer() else { continue };
        if !word.stated.emergency || !answer.decision.is_yes() {
            continue;
        }
        let named = words.papers.iter().map(|paper| paper.deadline).min();
        let deadline = named.unwrap_or_else(|| after(answer.time, PAPER_SECONDS));
        let known = logs.known_until(&LogName::Keeper(words.keeper)).is_some_and(|time| time >= deadline);
        if words.papers.iter().any(|paper| paper.status == PaperStatus::Filed) {
            filed = filed.saturating_add(1);
        } else if known && now >= deadline {
            let leaves = words.papers.iter().map(|paper| paper.index).chain([word.index]);
            missing.push((deadline, leaves.map(|index| leaf(words, index)).collect::<Vec<_>>()));
        }
    }
    let since = missing.iter().map(|(deadline, _)| *deadline).min()?;
    if filed >= logs.threshold_at(since) {
        return None;
    }
    let desk = LogName::Desk(request.first_word()?.stated.requester);
    let leaves = missing.into_iter().flat_map(|(_, leaves)| leaves).collect();
    Some(Alarm::new(MonitorRule::PaperMissing, vec![desk], leaves).since(since))
}

/// M3, and the half of M1 that only the requester's own words can show.
fn disclosures(logs: &Logs, now: Timestamp, request: &RequestState, largest: &[u64], alarms: &mut Vec<Alarm>) {
    let mut grants: BTreeMap<[u8; 32], Vec<(&KeeperWords, &Evaluated)>> = BTreeMap::new();
    for words in request.keepers() {
        for said in &words.evaluations {
            grants.entry(said.grant).or_default().push((words, said));
        }
    }
    if let Some(requester) = request.first_word().map(|word| word.stated.requester) {
        for (grant, evaluations) in &grants {
            alarms.extend(not_disclosed(logs, now, request, requester, grant, evaluations));
        }
    }
    for (agency, said) in request.disclosures() {
        let disclosed = LeafRef { log: LogName::Desk(*agency), index: said.index };
        let evaluations = grants.get(&said.entry.grant).map(Vec::as_slice).unwrap_or_default();
        let evaluated = evaluations.iter().map(|(words, said)| leaf(words, said.index));
        let keepers: BTreeSet<_> = evaluations.iter().map(|(words, _)| words.keeper).collect();
        let open = open_logs(logs, after(said.time, TWIN_SECONDS));
        let is_opened = said.entry.cells > 0;
        if is_opened && keepers.len().saturating_add(open) < logs.threshold_at(said.time) {
            let leaves = evaluated.clone().chain([disclosed]).collect();
            let alarm = Alarm::new(MonitorRule::DisclosureWithoutEvaluation, vec![disclosed.log], leaves);
            alarms.push(alarm.since(said.time));
        }
        // Which epochs were evaluated is not public, how many is: no choice of so many can hold more cells than the largest ones.
        let epochs = evaluations.iter().map(|(_, said)| said.epochs).max();
        let recorder_known = logs.known_until(&LogName::Recorder).is_some_and(|time| time >= said.time);
        let bound = epochs.map(|epochs| cells_at_most(largest, epochs));
        let too_many = recorder_known && bound.is_some_and(|bound| said.entry.cells > bound);
        if too_many || said.entry.others > said.entry.cells {
            let leaves = evaluated.chain([disclosed]).collect();
            alarms.push(Alarm::new(MonitorRule::DisclosureTooMany, vec![disclosed.log], leaves).since(said.time));
        }
    }
}

fn not_disclosed(
    logs: &Logs,
    now: Timestamp,
    request: &RequestState,
    requester: AgencyId,
    grant: &[u8; 32],
    evaluations: &[(&KeeperWords, &Evaluated)],
) -> Option<Alarm> {
    let desk = LogName::Desk(requester);
    let first = evaluations.iter().map(|(_, said)| said.time).min()?;
    let deadline = after(first, DISCLOSURE_SECONDS);
    let known = logs.known_until(&desk).is_some_and(|time| time >= deadline);
    let said = request.disclosures().iter().any(|(agency, said)| *agency == requester && said.entry.grant == *grant);
    if said || !known || now < deadline {
        return None;
    }
    let leaves = evaluations.iter().map(|(words, said)| leaf(words, said.index)).collect();
    Some(Alarm::new(MonitorRule::DisclosureMissing, vec![desk], leaves).since(deadline))
}

/// M5 and the half of M6 that shows in a decision.
fn policy(logs: &Logs, words: &KeeperWords, word: &RequestWord, alarms: &mut Vec<Alarm>) {
    let log = LogName::Keeper(words.keeper);
    let here = leaf(words, word.index);
    let Some(state) = logs.log(&log) else { return };
    let in_force = state.policy_in_force(word.time);
    let digest = in_force.map_or(logs.charter().charter().policy, |said| said.entry.new);
    // A bundle that is announced after its use was not in force, whatever date the announcement has.
    let backdated = in_force.is_some_and(|said| said.index > word.index);
    if word.policy != digest || backdated {
        let pending = state.policy_to_come(&word.policy, word.time);
        let rule = if pending.is_some() { MonitorRule::PolicyTooEarly } else { MonitorRule::PolicyNotInForce };
        let leaves = pending.or(in_force).map(|said| leaf(words, said.index)).into_iter().chain([here]).collect();
        alarms.push(Alarm::new(rule, vec![log], leaves).since(word.time));
    }
    let humans = words.approvals.iter().filter(|one| one.request_index == word.index && one.policy != word.policy);
    for human in humans {
        let leaves = vec![here, leaf(words, human.index)];
        alarms.push(Alarm::new(MonitorRule::PolicyNotInForce, vec![log], leaves).since(human.time));
    }
    if let Some(bundle) = logs.bundles().get(&word.policy) {
        let known = |rule: &String| bundle.contains(rule) || KEEPER_RULES.contains(&rule.as_str());
        if !word.rules.iter().all(known) {
            alarms.push(Alarm::new(MonitorRule::RuleUnknown, vec![log], vec![here]).since(word.time));
        }
    }
}

/// Rules of the keeper's own code, which no bundle holds (`log.md` section 6.1).
pub(super) const KEEPER_RULES: &[&str] = &[
    "keeper.opening",
    "keeper.expired",
    "keeper.replay",
    "keeper.epochs",
    "keeper.quota",
    "keeper.facts",
    "keeper.constitution",
    "keeper.engine",
];

const fn after(time: Timestamp, seconds: u64) -> Timestamp {
    Timestamp(time.0.saturating_add(seconds))
}

/// Cells of the `count` largest of all closed epochs, from their running sums.
fn cells_at_most(sums: &[u64], count: u64) -> u64 {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(sums.len());
    count.checked_sub(1).and_then(|last| sums.get(last)).copied().unwrap_or(0)
}

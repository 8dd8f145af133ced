//! What the desk does next for one request: pure, from what its keepers said so far. It never sees a plate or a key. Steps go to
//! [`super::filing`], which carries them out and comes back with more answers.

use std::collections::BTreeSet;

use lockplate_core::id::EpochId;

use crate::api::DeskState;

/// A keeper's answer, as far as planning needs it. The signature was checked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Yes.
    Approved {
        /// By a human.
        by_human: bool,
        /// Allowed epochs, sorted.
        epochs: Vec<EpochId>,
        /// Approvals under different policies do not make one grant.
        policy: [u8; 32],
    },
    /// Its human is asked.
    Waiting,
    /// No; `destroyed` where the reason is that no epoch of the window is left and some are destroyed.
    Refused {
        /// See above.
        destroyed: bool,
    },
}

/// How far a keeper's evaluation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evaluating {
    /// Not asked, or asked without an answer.
    None,
    /// It is here.
    Have,
    /// The officer's client says that it is wrong.
    Wrong,
    /// The keeper refuses for good.
    Refused,
    /// The keeper says that an epoch is destroyed.
    Destroyed,
    /// The keeper says that what the request rested on no longer counts.
    Lapsed,
}

/// One keeper of the owner, in charter order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Its place.
    pub(super) place: u8,
    /// Folded name of its legal entity.
    pub(super) entity: String,
    /// `ask_human` of its first filing; decided once, so that a retry is the same bytes.
    pub(super) ask: Option<bool>,
    /// Its answer.
    pub(super) said: Option<Said>,
    /// Humans that its rules ask for.
    pub(super) humans: u8,
    /// It gave a problem that a repeat will not change.
    pub(super) rejected: bool,
    /// A call is under way, or it failed a moment ago.
    pub(super) busy: bool,
    /// The last call did not reach it.
    pub(super) down: bool,
    /// Its evaluation.
    pub(super) evaluating: Evaluating,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// File the request.
    File {
        /// Keeper.
        place: u8,
        /// Ask its human.
        ask: bool,
    },
    /// Ask for the answer of a waiting keeper.
    Look {
        /// Keeper.
        place: u8,
    },
    /// Make the grant of these approvals over these epochs.
    Grant {
        /// Keepers.
        places: Vec<u8>,
        /// Epochs.
        epochs: Vec<EpochId>,
    },
    /// Show the grant.
    Evaluate {
        /// Keeper.
        place: u8,
    },
}

/// The state for people and the steps that may be taken at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) state: DeskState,
    pub(super) steps: Vec<Step>,
}

/// The request as a whole.
#[derive(Debug, Clone)]
pub(super) struct Case<'a> {
    /// Threshold.
    pub(super) t: usize,
    /// Distinct legal entities a grant needs.
    pub(super) entities: usize,
    /// Keepers in charter order.
    pub(super) keepers: &'a [View],
    /// Epochs of the grant, once there is one.
    pub(super) granted: Option<&'a [EpochId]>,
    /// The request is past its `not_after`.
    pub(super) expired: bool,
    /// The last request of this kind needed nobody's yes.
    pub(super) by_rule: bool,
}

/// Plans.
pub(super) fn plan(case: &Case<'_>) -> Plan {
    match case.granted {
        Some(epochs) => plan_evaluations(case, epochs),
        None => plan_approvals(case),
    }
}

fn plan_approvals(case: &Case<'_>) -> Plan {
    let keepers = case.keepers;
    let humans = keepers.iter().map(|keeper| keeper.humans).max().unwrap_or(0);
    let chosen = choose(case, usize::from(humans)).filter(|(_, epochs)| !may_widen(case, epochs.len()));
    if let Some((places, epochs)) = chosen {
        return Plan { state: DeskState::Granted, steps: vec![Step::Grant { places, epochs }] };
    }
    let mut steps = if case.expired { Vec::new() } else { filings(case, humans) };
    let waiting = |keeper: &&View| keeper.said == Some(Said::Waiting);
    if !case.expired {
        steps.extend(
            keepers
                .iter()
                .filter(waiting)
                .filter(|keeper| !keeper.busy)
                .map(|keeper| Step::Look { place: keeper.place }),
        );
    }
    Plan { state: state_of_approvals(case, usize::from(humans)), steps }
}

/// How many humans a grant needs is known only from an answer that is not a no, and a keeper decides once: so one keeper is
/// asked first, with its human; its answer says how many of the others' humans must be asked too. Where the last one of the kind
/// needed none, none is expected, and all are asked at once, each with its human: were it otherwise now, more people than are
/// needed would look at it, and never too few.
fn filings(case: &Case<'_>, humans: u8) -> Vec<Step> {
    let open = |keeper: &&View| keeper.said.is_none() && !keeper.rejected;
    let known = case.keepers.iter().any(|keeper| matches!(keeper.said, Some(Said::Approved { .. } | Said::Waiting)));
    if !known && case.by_rule {
        let free = case.keepers.iter().filter(open).filter(|keeper| !keeper.busy);
        return free.map(|keeper| Step::File { place: keeper.place, ask: keeper.ask.unwrap_or(true) }).collect();
    }
    if !known {
        if case.keepers.iter().any(|keeper| open(&keeper) && keeper.busy && !keeper.down) {
            return Vec::new();
        }
        let next = case.keepers.iter().filter(open).find(|keeper| !keeper.busy);
        return next
            .map(|keeper| Step::File { place: keeper.place, ask: keeper.ask.unwrap_or(true) })
            .into_iter()
            .collect();
    }
    // A keeper that was to ask and cannot be reached keeps its flag; another one is asked beside it.
    let counts = |keeper: &&View| {
        keeper.ask == Some(true)
            && !keeper.rejected
            && !keeper.down
            && !matches!(keeper.said, Some(Said::Refused { .. }))
    };
    let asked = case.keepers.iter().filter(counts).count();
    let mut missing = usize::from(humans).saturating_sub(asked);
    case.keepers
        .iter()
        .filter(open)
        .filter(|keeper| !keeper.busy)
        .map(|keeper| {
            let ask = keeper.ask.unwrap_or_else(|| {
                let ask = missing > 0;
                missing = missing.saturating_sub(1);
                ask
            });
            Step::File { place: keeper.place, ask }
        })
        .collect()
}

fn state_of_approvals(case: &Case<'_>, humans: usize) -> DeskState {
    let keepers = case.keepers;
    let no = |keeper: &&View| keeper.rejected || matches!(keeper.said, Some(Said::Refused { .. }));
    let can_still = keepers.len().saturating_sub(keepers.iter().filter(no).count());
    let all_said = keepers
        .iter()
        .all(|keeper| keeper.rejected || matches!(keeper.said, Some(Said::Approved { .. } | Said::Refused { .. })));
    let by_human =
        keepers.iter().filter(|keeper| matches!(keeper.said, Some(Said::Approved { by_human: true, .. }))).count();
    // A keeper decides once: one that said yes by rule will not ask its human any more.
    let human_yet = keepers
        .iter()
        .filter(|keeper| keeper.said == Some(Said::Waiting) || (keeper.said.is_none() && !keeper.rejected))
        .count();
    if can_still < case.t || all_said || by_human.saturating_add(human_yet) < humans {
        let destroyed = keepers.iter().filter(|keeper| keeper.said == Some(Said::Refused { destroyed: true })).count();
        let refused = keepers.iter().filter(|keeper| keeper.said == Some(Said::Refused { destroyed: false })).count();
        // An epoch is dead once n - t + 1 shares are gone; then no rule matters any more.
        return if destroyed > keepers.len().saturating_sub(case.t) {
            DeskState::Gone
        } else if refused == 0 && destroyed == 0 && keepers.iter().any(|keeper| keeper.rejected) {
            DeskState::Unavailable
        } else {
            DeskState::Refused
        };
    }
    let down = keepers.iter().filter(|keeper| keeper.said.is_none() && !keeper.rejected && keeper.down).count();
    if case.expired || can_still.saturating_sub(down) < case.t {
        DeskState::Unavailable
    } else if keepers.iter().any(|keeper| keeper.said == Some(Said::Waiting)) {
        DeskState::WaitingForHuman
    } else {
        DeskState::Filing
    }
}

/// The approvals that make the widest grant: t (or as many as humans are needed), of one policy, of enough legal entities.
/// At most 16 keepers, so all choices are tried.
fn choose(case: &Case<'_>, humans: usize) -> Option<(Vec<u8>, Vec<EpochId>)> {
    let yes: Vec<(&View, bool, &Vec<EpochId>, &[u8; 32])> = case
        .keepers
        .iter()
        .filter_map(|keeper| match &keeper.said {
            Some(Said::Approved { by_human, epochs, policy }) => Some((keeper, *by_human, epochs, policy)),
            Some(Said::Waiting | Said::Refused { .. }) | None => None,
        })
        .collect();
    let size = case.t.max(humans);
    if yes.len() < size {
        return None;
    }
    let mut best: Option<(Vec<u8>, Vec<EpochId>)> = None;
    for mask in 0..1_u32.checked_shl(u32::try_from(yes.len()).unwrap_or(u32::MAX)).unwrap_or(0) {
        if usize::try_from(mask.count_ones()) != Ok(size) {
            continue;
        }
        let chosen: Vec<_> = yes
            .iter()
            .zip(0_u32..)
            .filter(|(_, bit)| mask.checked_shr(*bit).unwrap_or(0) & 1 == 1)
            .map(|(one, _)| one)
            .collect();
        let entities: BTreeSet<&str> = chosen.iter().map(|(keeper, ..)| keeper.entity.as_str()).collect();
        let policies: BTreeSet<&[u8; 32]> = chosen.iter().map(|(.., policy)| *policy).collect();
        let by_human = chosen.iter().filter(|(_, by_human, ..)| *by_human).count();
        if entities.len() < case.entities || policies.len() != 1 || by_human < humans {
            continue;
        }
        let Some((first, rest)) = chosen.split_first() else { continue };
        let common: Vec<EpochId> = first
            .2
            .iter()
            .filter(|epoch| rest.iter().all(|(_, _, epochs, _)| epochs.binary_search(epoch).is_ok()))
            .copied()
            .collect();
        if !common.is_empty() && best.as_ref().is_none_or(|(_, epochs)| epochs.len() < common.len()) {
            best = Some((chosen.iter().map(|(keeper, ..)| keeper.place).collect(), common));
        }
    }
    best
}

/// A grant is for ever, and what it does not cover is not searched: where an approval allows more than this one would cover, keepers that
/// can be reached are heard first.
fn may_widen(case: &Case<'_>, covered: usize) -> bool {
    let allowed = case.keepers.iter().filter_map(|keeper| match &keeper.said {
        Some(Said::Approved { epochs, .. }) => Some(epochs.len()),
        Some(Said::Waiting | Said::Refused { .. }) | None => None,
    });
    let to_hear = |keeper: &View| keeper.said.is_none() && !keeper.rejected && !keeper.down;
    !case.expired && allowed.max().is_some_and(|most| most > covered) && case.keepers.iter().any(to_hear)
}

fn plan_evaluations(case: &Case<'_>, epochs: &[EpochId]) -> Plan {
    let allows = |keeper: &&View| match &keeper.said {
        Some(Said::Approved { epochs: allowed, .. }) => epochs.iter().all(|epoch| allowed.binary_search(epoch).is_ok()),
        Some(Said::Waiting | Said::Refused { .. }) | None => false,
    };
    let have = case.keepers.iter().filter(|keeper| keeper.evaluating == Evaluating::Have).count();
    if have >= case.t {
        return Plan { state: DeskState::Answered, steps: Vec::new() };
    }
    let candidates: Vec<&View> =
        case.keepers.iter().filter(allows).filter(|keeper| keeper.evaluating == Evaluating::None).collect();
    let short = have.saturating_add(candidates.len()) < case.t;
    let ended = |how: Evaluating| short && case.keepers.iter().any(|keeper| keeper.evaluating == how);
    let (destroyed, lapsed) = (ended(Evaluating::Destroyed), ended(Evaluating::Lapsed));
    let reachable = candidates.iter().filter(|keeper| !keeper.down).count();
    // A keeper that has not answered the request yet may still allow the same epochs.
    let more: Vec<&View> = if have.saturating_add(reachable) < case.t {
        case.keepers.iter().filter(|keeper| keeper.said.is_none() && !keeper.rejected).collect()
    } else {
        Vec::new()
    };
    let coming = more.iter().filter(|keeper| !keeper.down).count();
    let state = if destroyed {
        DeskState::Gone
    } else if lapsed {
        DeskState::Refused
    } else if case.expired || have.saturating_add(reachable).saturating_add(coming) < case.t {
        DeskState::Unavailable
    } else {
        DeskState::Granted
    };
    let mut steps = Vec::new();
    if case.expired || destroyed || lapsed {
        return Plan { state, steps };
    }
    if !short {
        let under_way = candidates.iter().filter(|keeper| keeper.busy && !keeper.down).count();
        let missing = case.t.saturating_sub(have).saturating_sub(under_way);
        let free = candidates.iter().filter(|keeper| !keeper.busy).take(missing);
        steps.extend(free.map(|keeper| Step::Evaluate { place: keeper.place }));
    }
    let free = more.into_iter().filter(|keeper| !keeper.busy);
    steps.extend(free.map(|keeper| Step::File { place: keeper.place, ask: keeper.ask.unwrap_or(false) }));
    Plan { state, steps }
}

#[cfg(test)]
mod tests;

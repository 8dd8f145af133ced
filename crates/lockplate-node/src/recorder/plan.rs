//! What the recorder does next, as a pure function of what it knows and the time: which epochs are dealt, which are closed,
//! where a read belongs, when prekeys are ordered. No I/O and no clock, so a test can play a year in a second.
//! `actor.rs` carries out what is planned and tells what came of it.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::epoch::EpochKind;
use lockplate_core::limits::EPOCHS_PER_DAY_MAX;

use super::Placement;

/// Why a window is open. Two live epochs of one window exist only one after the other (a sealer died).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotKind {
    /// Reads as they pass.
    Live,
    /// Reads with a past label.
    Late,
}

impl SlotKind {
    /// As the epoch header says it.
    #[must_use]
    pub const fn epoch_kind(self) -> EpochKind {
        match self {
            Self::Live => EpochKind::Live,
            Self::Late => EpochKind::Late,
        }
    }
}

/// A place for reads: a capture window of the charter's length, and why it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Why.
    pub kind: SlotKind,
    /// Begin of the window, Unix seconds, a multiple of the epoch length. The end is exclusive.
    pub cap_from: u64,
}

/// A late epoch without a read for so long makes room for another.
const LATE_REST_SECONDS: u64 = 2;
/// Shortest time for which a late epoch is in use before it makes room.
const LATE_TURN_SECONDS_MIN: u64 = 60;
const DAY_SECONDS: u64 = 86_400;

/// A late epoch that is not dealt yet is given up when no read came for it for so long: longer than cameras and files wait before they send
/// again. Given up sooner, it would be dealt again for the same reads, without end on a machine that deals slowly.
const DEALING_IDLE_SECONDS: u64 = 60;

/// How far the epoch of a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Prekeys, shares and receipts are on their way; reads wait.
    Dealing,
    /// Reads are sealed.
    Ready,
}

/// What is known of the epoch of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How far.
    pub phase: Phase,
    /// When the last read came or the slot was opened, Unix seconds.
    pub used_at: u64,
    /// When the phase began, Unix seconds.
    pub since: u64,
}

/// The numbers of the configuration and the charter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Length of a window, seconds, from the charter; at least 1.
    pub epoch_seconds: u64,
    /// Retention after the end of a window, seconds, from the charter.
    pub retention_seconds: u64,
    /// How long a live epoch takes reads after its window has ended, seconds.
    pub overlap_seconds: u64,
    /// Late epochs that are open at once; at least 1.
    pub late_open_max: usize,
    /// A late epoch without reads for so long is closed, seconds.
    pub late_idle_seconds: u64,
    /// Live epochs in 24 hours. Empty and crashed ones count: it bounds what a restart loop can do to searches.
    pub live_per_day_max: u32,
    /// Late epochs in 24 hours: an import of a month of hours takes 720.
    pub late_per_day_max: u32,
    /// Prekeys to have of each keeper.
    pub prekeys_target: u32,
    /// Below it more are ordered.
    pub prekeys_low: u32,
}

impl Seen {
    /// A late epoch may make room for another.
    fn may_go(&self, rules: &Rules, now: u64) -> bool {
        let rests = self.used_at.saturating_add(LATE_REST_SECONDS) <= now;
        let had_its_turn = self.since.saturating_add(rules.late_turn_seconds()) <= now;
        matches!(self.phase, Phase::Ready) && (rests || had_its_turn)
    }
}

impl Default for Rules {
    /// Hourly epochs, seven days of prekeys (`reliability.md` section 4, rule 6).
    fn default() -> Self {
        Self {
            epoch_seconds: 3_600,
            retention_seconds: 21 * 86_400,
            overlap_seconds: 150,
            late_open_max: 8,
            late_idle_seconds: 60,
            live_per_day_max: EPOCHS_PER_DAY_MAX,
            late_per_day_max: 400,
            prekeys_target: 192,
            prekeys_low: 96,
        }
    }
}

impl Rules {
    /// Begin of the window that holds a moment (Unix seconds).
    #[must_use]
    pub const fn window_of(&self, at: u64) -> u64 {
        match at.checked_rem(self.epoch_seconds) {
            Some(into) => at.saturating_sub(into),
            None => at,
        }
    }

    /// How long a late epoch may be in use while others wait: so long that, one after the other, they last a day.
    #[must_use]
    fn late_turn_seconds(&self) -> u64 {
        let places = u64::try_from(self.late_open_max.max(1)).unwrap_or(u64::MAX);
        let turn = DAY_SECONDS.saturating_mul(places).checked_div(self.late_per_day_max.into());
        turn.unwrap_or(DAY_SECONDS).max(LATE_TURN_SECONDS_MIN)
    }

    /// Live epochs of a day that are only for windows that had none: one for each that comes, so that whatever used up the others costs the
    /// window that runs and not the next day.
    fn live_kept(&self) -> u32 {
        let windows = DAY_SECONDS.checked_div(self.epoch_seconds).unwrap_or(1);
        u32::try_from(windows).unwrap_or(u32::MAX).min(self.live_per_day_max / 2)
    }

    /// End of a window, exclusive.
    #[must_use]
    pub const fn window_end(&self, cap_from: u64) -> u64 {
        cap_from.saturating_add(self.epoch_seconds)
    }
}

/// What the planner knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Open slots.
    pub slots: BTreeMap<Slot, Seen>,
    /// Slots whose last dealing failed: not before this moment again.
    pub retry_at: BTreeMap<Slot, u64>,
    /// Late windows for which reads wait.
    pub late_wanted: Vec<u64>,
    /// Live epochs dealt in the last 24 hours.
    pub live_today: u32,
    /// Windows, from the running one on, that had a live epoch.
    pub live_had: BTreeSet<u64>,
    /// Late epochs dealt in the last 24 hours.
    pub late_today: u32,
    /// Prekeys in stock, in charter order.
    pub prekeys: Vec<u32>,
    /// Late epochs are to be closed now, as nobody will send for them any more.
    pub late_done: bool,
    /// Everything is to be closed.
    pub stopping: bool,
}

impl State {
    /// Whether the day's epochs leave one for this slot.
    #[must_use]
    pub fn has_epochs_for(&self, slot: &Slot, rules: &Rules) -> bool {
        match slot.kind {
            SlotKind::Live => self.leaves_live(self.live_today, slot, rules),
            SlotKind::Late => self.late_today < rules.late_per_day_max,
        }
    }

    fn leaves_live(&self, dealt: u32, slot: &Slot, rules: &Rules) -> bool {
        let kept = if self.live_had.contains(&slot.cap_from) { rules.live_kept() } else { 0 };
        dealt < rules.live_per_day_max.saturating_sub(kept)
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Take no more reads for this slot and close its epoch.
    Close(Slot),
    /// Deal an epoch for this slot.
    Deal(Slot),
    /// Order prekeys of the keeper at this place (0 is the charter's first).
    OrderPrekeys {
        /// Place, from 0.
        keeper: usize,
        /// How many.
        count: u32,
    },
}

/// What is to be done at `now` (Unix seconds), closes first. Carrying out an action changes the state so that it is not
/// planned again.
#[must_use]
pub fn plan(state: &State, rules: &Rules, now: u64) -> Vec<Action> {
    let mut actions: Vec<Action> = closes(state, rules, now).into_iter().map(Action::Close).collect();
    if state.stopping {
        return actions;
    }
    let open_after = |slot: &Slot| state.slots.contains_key(slot) && !actions.contains(&Action::Close(*slot));
    let mut deals = Vec::new();
    let current = rules.window_of(now);
    let mut live_today = state.live_today;
    // The window that runs, and the one that follows: it is dealt and receipted an epoch's length ahead, so keepers may be
    // away for so long (LPv1 section 5).
    for cap_from in [current, rules.window_end(current)] {
        let slot = Slot { kind: SlotKind::Live, cap_from };
        if !open_after(&slot) && may_deal(state, &slot, now) && state.leaves_live(live_today, &slot, rules) {
            live_today = live_today.saturating_add(1);
            deals.push(Action::Deal(slot));
        }
    }
    let late_open = state.slots.keys().filter(|slot| slot.kind == SlotKind::Late && open_after(slot)).count();
    let mut late_room = rules.late_open_max.max(1).saturating_sub(late_open);
    let mut late_left = rules.late_per_day_max.saturating_sub(state.late_today);
    for &cap_from in &state.late_wanted {
        let slot = Slot { kind: SlotKind::Late, cap_from };
        if !open_after(&slot) && may_deal(state, &slot, now) && late_left > 0 && late_room > 0 {
            late_left = late_left.saturating_sub(1);
            late_room = late_room.saturating_sub(1);
            deals.push(Action::Deal(slot));
        }
    }
    actions.extend(deals);
    actions.extend(orders(state, rules));
    actions
}

fn may_deal(state: &State, slot: &Slot, now: u64) -> bool {
    state.retry_at.get(slot).is_none_or(|&at| at <= now)
}

fn closes(state: &State, rules: &Rules, now: u64) -> Vec<Slot> {
    // While it is dealt its reads wait or are sent again, and prekeys are spent.
    let idle = |seen: &Seen| match seen.phase {
        Phase::Ready => rules.late_idle_seconds,
        Phase::Dealing => rules.late_idle_seconds.max(DEALING_IDLE_SECONDS),
    };
    let over = |slot: &Slot, seen: &Seen| {
        let end = rules.window_end(slot.cap_from);
        // The shares are due: the key of the epoch must not outlive them in its sealer.
        let due = end.saturating_add(rules.retention_seconds) <= now;
        due || match slot.kind {
            SlotKind::Live => end.saturating_add(rules.overlap_seconds) <= now,
            SlotKind::Late => state.late_done || seen.used_at.max(seen.since).saturating_add(idle(seen)) <= now,
        }
    };
    let mut closes: Vec<Slot> =
        state.slots.iter().filter(|(slot, seen)| state.stopping || over(slot, seen)).map(|(slot, _)| *slot).collect();
    // Room for late windows that wait: the least used go, once they rest or had their turn. One that is being dealt stays, or two windows
    // could push each other out for ever. Cameras that come back with a backlog are in as many windows as they are cameras: those in the
    // oldest ones are dealt for first and catch up, while the others wait for a window to rest. Pushed out at once, each window would be
    // opened again and again, until the epochs of the day are used up.
    let wanted = state.late_wanted.iter().filter(|&&cap_from| {
        let slot = Slot { kind: SlotKind::Late, cap_from };
        !state.slots.contains_key(&slot) && may_deal(state, &slot, now)
    });
    let mut least_used: Vec<(u64, Slot)> = state
        .slots
        .iter()
        .filter(|(slot, seen)| slot.kind == SlotKind::Late && seen.may_go(rules, now) && !closes.contains(slot))
        .map(|(slot, seen)| (seen.used_at, *slot))
        .collect();
    least_used.sort_unstable();
    let staying = state.slots.keys().filter(|slot| slot.kind == SlotKind::Late && !closes.contains(slot)).count();
    let over_full = staying.saturating_add(wanted.count()).saturating_sub(rules.late_open_max.max(1));
    closes.extend(least_used.into_iter().take(over_full).map(|(_, slot)| slot));
    closes
}

fn orders(state: &State, rules: &Rules) -> Vec<Action> {
    let low = state.prekeys.iter().enumerate().filter(|(_, stock)| **stock < rules.prekeys_low.max(1));
    low.map(|(keeper, stock)| Action::OrderPrekeys {
        keeper,
        count: rules.prekeys_target.max(1).saturating_sub(*stock).max(1),
    })
    .collect()
}

/// Where a read belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Here.
    To(Slot),
    /// Its window is past the retention.
    TooOld,
}

/// Where a read with this capture time (Unix ms) belongs at `now` (Unix seconds). A label is a promise to the searcher: a read
/// goes under a window that holds its capture time, or, for a camera whose clock runs ahead of ours, under the window that
/// runs. A read as it passes goes into the live epoch of its window while that is open, and into a late one after.
#[must_use]
pub fn route(state: &State, rules: &Rules, place: Placement, captured_at_ms: i64, now: u64) -> Route {
    let label_ms = match place {
        Placement::TooOld => return Route::TooOld,
        Placement::Open => captured_at_ms,
        Placement::Late { captured_at } => captured_at,
    };
    let Ok(captured) = u64::try_from(label_ms.div_euclid(1_000)) else { return Route::TooOld };
    let (current, window) = (rules.window_of(now), rules.window_of(captured));
    let live = |cap_from| Route::To(Slot { kind: SlotKind::Live, cap_from });
    if window > current {
        let ahead = Slot { kind: SlotKind::Live, cap_from: window };
        // The next window's epoch is there early; beyond it a clock is wrong and the read is labelled as received.
        let ready = state.slots.get(&ahead).is_some_and(|seen| seen.phase == Phase::Ready);
        return if ready { Route::To(ahead) } else { live(current) };
    }
    if rules.window_end(window).saturating_add(rules.retention_seconds) <= now {
        return Route::TooOld;
    }
    let open_live = window == current || state.slots.contains_key(&Slot { kind: SlotKind::Live, cap_from: window });
    match place {
        Placement::Open if open_live => live(window),
        Placement::Open | Placement::Late { .. } | Placement::TooOld => {
            Route::To(Slot { kind: SlotKind::Late, cap_from: window })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;
    const T: u64 = 500_000 * HOUR;

    fn rules() -> Rules {
        Rules { late_open_max: 2, ..Rules::default() }
    }

    fn live(cap_from: u64) -> Slot {
        Slot { kind: SlotKind::Live, cap_from }
    }

    fn late(cap_from: u64) -> Slot {
        Slot { kind: SlotKind::Late, cap_from }
    }

    fn ready(used_at: u64) -> Seen {
        Seen { phase: Phase::Ready, used_at, since: used_at }
    }

    fn stocked() -> State {
        State { prekeys: vec![200, 200, 200], ..State::default() }
    }

    /// Carries the plan out as the shell would if everything worked at once.
    fn carry_out(state: &mut State, rules: &Rules, now: u64) -> Vec<Action> {
        let actions = plan(state, rules, now);
        for action in &actions {
            match action {
                Action::Close(slot) => drop(state.slots.remove(slot)),
                Action::Deal(slot) => {
                    state.slots.insert(*slot, ready(now));
                    state.late_wanted.retain(|wanted| *wanted != slot.cap_from || slot.kind == SlotKind::Live);
                }
                Action::OrderPrekeys { keeper, count } => state.prekeys[*keeper] += count,
            }
        }
        actions
    }

    #[test]
    fn the_running_window_and_the_next_are_dealt_and_then_nothing_is() {
        let mut state = stocked();
        let actions = carry_out(&mut state, &rules(), T + 10);
        assert_eq!(actions, [Action::Deal(live(T)), Action::Deal(live(T + HOUR))]);
        assert_eq!(plan(&state, &rules(), T + 20), []);
    }

    #[test]
    fn at_the_end_of_a_window_the_next_but_one_is_dealt_and_the_old_one_closed_after_the_overlap() {
        let mut state = stocked();
        carry_out(&mut state, &rules(), T);
        assert_eq!(carry_out(&mut state, &rules(), T + HOUR), [Action::Deal(live(T + 2 * HOUR))]);
        assert_eq!(plan(&state, &rules(), T + HOUR + 149), []);
        assert_eq!(carry_out(&mut state, &rules(), T + HOUR + 150), [Action::Close(live(T))]);
    }

    #[test]
    fn no_key_outlives_the_retention_of_its_window_however_busy_the_epoch_is() {
        let rules = Rules { epoch_seconds: 120, retention_seconds: 45, ..rules() };
        let begin = T + 240;
        for slot in [live(begin), late(begin)] {
            let busy = |now| State { slots: [(slot, ready(now))].into(), ..stocked() };
            let closes = |now| plan(&busy(now), &rules, now).contains(&Action::Close(slot));
            assert!(!closes(begin + 164), "{slot:?}");
            assert!(closes(begin + 165), "{slot:?}");
        }
    }

    #[test]
    fn a_year_of_windows_has_always_a_ready_one_and_the_next_ahead() {
        let mut state = stocked();
        let mut dealt = 0;
        for now in (T..T + 365 * 24 * HOUR).step_by(600) {
            dealt += carry_out(&mut state, &rules(), now).iter().filter(|a| matches!(a, Action::Deal(_))).count();
            let current = rules().window_of(now);
            assert!(state.slots.contains_key(&live(current)) && state.slots.contains_key(&live(current + HOUR)));
            assert!(state.slots.len() <= 3);
        }
        assert_eq!(dealt, 365 * 24 + 1);
    }

    #[test]
    fn a_dead_sealers_slot_is_dealt_again_at_once_and_a_failed_dealing_waits() {
        let mut state = stocked();
        carry_out(&mut state, &rules(), T);
        state.slots.remove(&live(T));
        assert_eq!(plan(&state, &rules(), T + 1), [Action::Deal(live(T))]);
        state.retry_at.insert(live(T), T + 5);
        assert_eq!(plan(&state, &rules(), T + 4), []);
        assert_eq!(plan(&state, &rules(), T + 5), [Action::Deal(live(T))]);
    }

    #[test]
    fn the_epochs_of_a_day_are_bounded_each_kind_by_itself() {
        let mut state = State { live_today: 199, ..stocked() };
        assert_eq!(plan(&state, &rules(), T), [Action::Deal(live(T))]);
        state.live_today = 200;
        state.late_wanted = vec![T - HOUR];
        assert_eq!(plan(&state, &rules(), T), [Action::Deal(late(T - HOUR))]);
        state.late_today = 400;
        assert_eq!(plan(&state, &rules(), T), []);
    }

    #[test]
    fn what_uses_up_a_days_epochs_leaves_one_for_each_window_that_comes() {
        let mut state = State { live_today: 175, live_had: [T, T + HOUR].into(), ..stocked() };
        assert_eq!(plan(&state, &rules(), T), [Action::Deal(live(T))], "24 of 200 are kept");
        state.live_today = 176;
        assert_eq!(plan(&state, &rules(), T), []);
        assert!(!state.has_epochs_for(&live(T), &rules()));
        assert_eq!(plan(&state, &rules(), T + HOUR), [Action::Deal(live(T + 2 * HOUR))]);
        // Where windows are short the limit is twice as many as they are.
        let short = Rules { epoch_seconds: 60, live_per_day_max: 2_880, ..rules() };
        state.live_today = 1_439;
        assert_eq!(plan(&state, &short, T), [Action::Deal(live(T)), Action::Deal(live(T + 60))]);
        state.live_today = 1_440;
        assert_eq!(plan(&state, &short, T), [Action::Deal(live(T + 60))]);
    }

    #[test]
    fn late_epochs_are_few_and_the_least_used_goes() {
        let mut state = stocked();
        carry_out(&mut state, &rules(), T);
        state.slots.insert(late(T - 5 * HOUR), ready(T + 1));
        state.slots.insert(late(T - 9 * HOUR), ready(T + 2));
        state.late_wanted = vec![T - 2 * HOUR];
        assert_eq!(plan(&state, &rules(), T + 2), [], "both are in use");
        assert_eq!(
            carry_out(&mut state, &rules(), T + 3),
            [Action::Close(late(T - 5 * HOUR)), Action::Deal(late(T - 2 * HOUR))]
        );
        assert_eq!(plan(&state, &rules(), T + 3), []);
        // Whoever never rests has a turn: with two places and 400 epochs a day, so long that they last it.
        let turn = 86_400 * 2 / 400;
        let busy = |used_at| Seen { used_at, ..ready(T + 3) };
        state.slots.insert(late(T - 9 * HOUR), busy(T + 3 + turn - 1));
        state.slots.insert(late(T - 2 * HOUR), busy(T + 3 + turn));
        state.late_wanted = vec![T - 7 * HOUR];
        assert_eq!(plan(&state, &rules(), T + 2 + turn), []);
        let closed = plan(&state, &rules(), T + 3 + turn);
        assert_eq!(closed, [Action::Close(late(T - 9 * HOUR)), Action::Deal(late(T - 7 * HOUR))]);
        // What is being dealt is not pushed out.
        state.slots.insert(late(T - 9 * HOUR), Seen { phase: Phase::Dealing, used_at: T, since: T });
        state.slots.insert(late(T - 2 * HOUR), Seen { phase: Phase::Dealing, used_at: T, since: T });
        state.late_wanted = vec![T - 7 * HOUR];
        assert_eq!(plan(&state, &rules(), T + 3), []);
    }

    #[test]
    fn late_epochs_close_when_idle_or_done_and_all_close_at_the_end() {
        let mut state = stocked();
        carry_out(&mut state, &rules(), T);
        state.slots.insert(late(T - HOUR), ready(T));
        assert_eq!(plan(&state, &rules(), T + 59), []);
        assert_eq!(plan(&state, &rules(), T + 60), [Action::Close(late(T - HOUR))]);
        // Dealt slowly, it rests from then on; while it is dealt its reads wait, however short the rest is.
        state.slots.insert(late(T - HOUR), Seen { since: T + 30, ..ready(T) });
        assert_eq!(plan(&state, &rules(), T + 89), []);
        let short = Rules { late_idle_seconds: 2, ..rules() };
        state.slots.insert(late(T - HOUR), Seen { phase: Phase::Dealing, used_at: T, since: T });
        assert_eq!(plan(&state, &short, T + 59), []);
        assert_eq!(plan(&state, &short, T + 60), [Action::Close(late(T - HOUR))]);
        state.late_done = true;
        assert_eq!(plan(&state, &rules(), T + 1), [Action::Close(late(T - HOUR))]);
        state.stopping = true;
        assert_eq!(plan(&state, &rules(), T + 1).len(), 3);
    }

    #[test]
    fn prekeys_are_ordered_below_the_low_mark_up_to_the_target() {
        let mut state = State { prekeys: vec![96, 95, 0], ..State::default() };
        state.slots.insert(live(T), ready(T));
        state.slots.insert(live(T + HOUR), ready(T));
        let order = |keeper, count| Action::OrderPrekeys { keeper, count };
        assert_eq!(plan(&state, &rules(), T), [order(1, 97), order(2, 192)]);
    }

    #[test]
    fn a_read_goes_under_a_window_that_holds_it() {
        let mut state = stocked();
        carry_out(&mut state, &rules(), T);
        let to = |state: &State, place, at: u64, now| route(state, &rules(), place, at as i64 * 1_000, now);
        let open = Placement::Open;
        assert_eq!(to(&state, open, T + 5, T + 6), Route::To(live(T)));
        // Ahead of our clock: the next window's epoch, which is there; further ahead, the running one.
        assert_eq!(to(&state, open, T + HOUR + 1, T + HOUR - 2), Route::To(live(T + HOUR)));
        assert_eq!(to(&state, open, T + 9 * HOUR, T), Route::To(live(T)));
        // In the overlap the old window still takes its own.
        carry_out(&mut state, &rules(), T + HOUR);
        assert_eq!(to(&state, open, T + HOUR - 1, T + HOUR + 5), Route::To(live(T)));
        carry_out(&mut state, &rules(), T + HOUR + 150);
        assert_eq!(to(&state, open, T + HOUR - 1, T + HOUR + 151), Route::To(late(T)));
        let told = Placement::Late { captured_at: (T as i64) * 1_000 };
        assert_eq!(to(&state, told, 0, T + HOUR), Route::To(late(T)), "the label counts");
    }

    #[test]
    fn a_read_past_its_retention_is_refused_to_the_second() {
        let at = |now| route(&stocked(), &rules(), Placement::Late { captured_at: T as i64 * 1_000 }, 0, now);
        let end = T + HOUR + 21 * 24 * HOUR;
        assert_eq!(at(end - 1), Route::To(late(T)));
        assert_eq!(at(end), Route::TooOld);
        assert_eq!(route(&stocked(), &rules(), Placement::Open, -1, T), Route::TooOld);
        assert_eq!(route(&stocked(), &rules(), Placement::TooOld, 0, T), Route::TooOld);
    }
}

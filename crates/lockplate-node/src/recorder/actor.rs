//! The recorder's own task: it routes reads to epochs, asks the plan what is due, starts and ends epoch tasks, and orders
//! prekeys. It holds no secret and touches no disk itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::epoch::PrekeyOrder;
use lockplate_core::id::RecorderId;
use lockplate_core::read::Read;
use lockplate_core::segment::epoch_cells_max;
use lockplate_core::sign::SigningKey;
use lockplate_store::segment_store::SegmentStore;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use zeroize::Zeroizing;

use super::close::{self, CloseStep};
use super::epoch::{Call, EpochTask, Group};
use super::keepers::{self, Keeper};
use super::plan::{Action, Phase, Route, Rules, Seen, Slot, SlotKind, State, plan, route};
use super::publish::Told;
use super::sealer_link::SealerProgram;
use super::{
    COMMANDS_MAX, Command, PlacedRead, READS_WAITING_MAX, RecorderError, RecorderHandle, RecorderState, Sealed,
};
use crate::agency_db::{AgencyDb, EpochState};
use crate::client::AddressError;
use crate::clock::Clock;
use crate::db::DbError;
use crate::party_log::{PartyLog, seconds};
use crate::shutdown::Tasks;
use crate::standby::Shipper;

/// How often the plan is asked where nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// How often counts are read from the database again.
const COUNT_PAUSE_S: u64 = 5;
/// Pause after an epoch could not be dealt, or prekeys not be ordered.
const FAILED_PAUSE_S: u64 = 2;
/// Longest pause of a slot whose epochs are logged and end, one after the other: each takes one of the day's.
const TROUBLED_PAUSE_MAX_S: u64 = 120;
/// After so long without trouble a slot's next one is its first again.
const TROUBLE_FORGOTTEN_S: u64 = 600;
/// Prekeys in one order: a keeper answers with 1.8 KiB each.
const ORDER_MAX: u32 = 100;
/// How long the end of the process waits for keepers to be told of the last closes; they are told at the next start else.
const LAST_ROUND_MAX: Duration = Duration::from_secs(5);
/// A day, in seconds.
const DAY_S: u64 = 86_400;
/// Slots that are remembered as outgrown.
const OUTGROWN_MAX: usize = 64;

/// What a recorder works with: its papers, keys and stores. Whoever makes it holds the lock of the data folder.
pub struct RecorderParts {
    /// The charter in force.
    pub charter: Arc<CharterFile>,
    /// Which recorder of the charter this is.
    pub recorder: RecorderId,
    /// The recorder's signing key, named in the charter.
    pub key: Arc<SigningKey>,
    /// Salt of the sealers' generators.
    pub device_secret: Zeroizing<[u8; 32]>,
    /// Tables.
    pub db: AgencyDb,
    /// The recorder's log.
    pub log: PartyLog,
    /// Closed epochs.
    pub archive: Arc<SegmentStore>,
    /// Where the agency has a standby: what it must have before anything is acknowledged.
    pub shipper: Option<Shipper>,
    /// Folder of the spools.
    pub spool: PathBuf,
    /// Spools and archive are in memory, and gone with an earlier run.
    pub in_memory: bool,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl core::fmt::Debug for RecorderParts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RecorderParts").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}

/// What an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderSettings {
    /// What is executed as a sealer.
    pub program: SealerProgram,
    /// Numbers of the plan.
    pub rules: Rules,
    /// Reads of an epoch before any was closed: sets the number of buckets of the first ones.
    pub cells_expected: u64,
    /// For tests of crashes: the process aborts after this step. Works only with the feature `failpoints`.
    pub stop_after: Option<CloseStep>,
}

/// Why a recorder does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// A keeper's address in the charter.
    Address(AddressError),
    /// The database.
    Db(DbError),
    /// The key is not that of this recorder in the charter.
    Key,
    /// The machine gives no thread.
    Thread,
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Address(_) => "a keeper's address in the charter cannot be used",
            Self::Db(_) => "the recorder's database failed",
            Self::Key => "the recorder's key file is not the key that the charter names for this recorder",
            Self::Thread => "the recorder cannot start a thread",
        })
    }
}

impl core::error::Error for StartError {}

impl From<DbError> for StartError {
    fn from(cause: DbError) -> Self {
        Self::Db(cause)
    }
}

/// What epoch tasks share with the actor.
pub(super) struct Shared {
    pub(super) parts: RecorderParts,
    pub(super) settings: RecorderSettings,
    pub(super) keepers: Vec<Keeper>,
    pub(super) tasks: Tasks,
    /// Wakes the courier.
    pub(super) courier: Notify,
    /// What archive servers were told.
    pub(super) told: Told,
    /// Where segments are built, one at a time.
    pub(super) builder: tokio::sync::Mutex<rayon::ThreadPool>,
    /// Cells to expect in slots whose epoch had too few buckets for what came.
    outgrown: Mutex<BTreeMap<Slot, u64>>,
    events: mpsc::UnboundedSender<Event>,
}

impl Shared {
    pub(super) fn now(&self) -> u64 {
        seconds(self.parts.clock.as_ref())
    }

    /// The epoch of a slot is full: the next one of it gets buckets for twice what that one took.
    pub(super) fn has_outgrown(&self, slot: Slot, bucket_bits: u8) {
        let cells = u64::try_from(epoch_cells_max(bucket_bits)).unwrap_or(u64::MAX);
        let mut outgrown = self.outgrown.lock().unwrap_or_else(PoisonError::into_inner);
        outgrown.insert(slot, cells.saturating_mul(2));
        while outgrown.len() > OUTGROWN_MAX {
            outgrown.pop_first();
        }
    }

    /// Cells to expect in a slot, if its last epoch said anything about it.
    pub(super) fn outgrown(&self, slot: Slot) -> u64 {
        self.outgrown.lock().unwrap_or_else(PoisonError::into_inner).get(&slot).copied().unwrap_or(0)
    }

    /// Returns when a standby may be about to take over; never where there is none.
    pub(super) async fn cut_off(&self) {
        match &self.parts.shipper {
            Some(shipper) => shipper.cut_off().await,
            None => core::future::pending().await,
        }
    }

    /// A few events an epoch; the actor outlives its tasks but for a panic, and then the process stops anyway.
    pub(super) fn tell(&self, event: Event) {
        let _actor_gone = self.events.send(event);
    }
}

/// What epoch tasks tell the actor.
pub(super) enum Event {
    /// Reads are sealed from now on.
    Ready { slot: Slot, run: u64 },
    /// No epoch came of it, though its leaf may be in the log; try again later.
    Failed { slot: Slot, run: u64, logged: bool },
    /// The epoch takes no more reads, because it is full or its sealer died; its slot needs another.
    Lost { slot: Slot, run: u64, died: bool },
    /// The task is over.
    Over { run: u64 },
    /// An order of prekeys is through, well or not.
    Ordered { keeper: usize, well: bool },
}

/// Closes what an earlier run left, then starts the recorder's tasks.
///
/// # Errors
/// [`StartError`].
pub async fn start(
    parts: RecorderParts,
    settings: RecorderSettings,
    tasks: &Tasks,
) -> Result<RecorderHandle, StartError> {
    let entry = parts.charter.charter().recorder(parts.recorder).ok_or(StartError::Key)?;
    if entry.key != parts.key.verify_key().0 {
        return Err(StartError::Key);
    }
    let keepers = keepers::of(&parts.charter).map_err(StartError::Address)?;
    let shipper = parts.shipper.clone();
    let (events, heard) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        parts,
        settings,
        keepers,
        tasks: tasks.clone(),
        courier: Notify::new(),
        told: Told::default(),
        builder: close::builder().map_err(|_no_thread| StartError::Thread)?.into(),
        outgrown: Mutex::default(),
        events,
    });
    Box::pin(close::resume(&shared)).await?;
    let (commands, asked) = mpsc::channel(COMMANDS_MAX);
    let waiting = Arc::new(Semaphore::new(READS_WAITING_MAX));
    let actor = Actor {
        state: State { prekeys: vec![0; shared.keepers.len()], ..State::default() },
        shared: Arc::clone(&shared),
        lanes: BTreeMap::new(),
        waiting: BTreeMap::new(),
        running: BTreeMap::new(),
        next_run: 0,
        ordering: BTreeSet::new(),
        order_again_at: BTreeMap::new(),
        troubles: BTreeMap::new(),
        used_up: false,
        counted_at: None,
        damaged: 0,
        late_waiters: Vec::new(),
        stop_waiters: Vec::new(),
        places: Arc::clone(&waiting),
    };
    tasks.spawn_essential("recorder", actor.run(asked, heard));
    tasks.spawn_essential("courier", close::courier(shared));
    Ok(RecorderHandle { commands, waiting, shipper })
}

/// An epoch task as the actor knows it.
struct Lane {
    run: u64,
    groups: mpsc::UnboundedSender<Group>,
}

struct Actor {
    shared: Arc<Shared>,
    state: State,
    lanes: BTreeMap<Slot, Lane>,
    /// Groups for slots that have no lane: a dealing failed, or late epochs are all in use.
    waiting: BTreeMap<Slot, VecDeque<Group>>,
    running: BTreeMap<u64, SlotKind>,
    next_run: u64,
    ordering: BTreeSet<usize>,
    order_again_at: BTreeMap<usize, u64>,
    /// How many epochs of a slot were logged and ended, one soon after the other, and when the last did.
    troubles: BTreeMap<Slot, (u32, u64)>,
    /// The running window can have no more epochs today.
    used_up: bool,
    counted_at: Option<u64>,
    damaged: u64,
    late_waiters: Vec<oneshot::Sender<()>>,
    stop_waiters: Vec<oneshot::Sender<()>>,
    places: Arc<Semaphore>,
}

impl Actor {
    async fn run(mut self, mut asked: mpsc::Receiver<Command>, mut heard: mpsc::UnboundedReceiver<Event>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = asked.recv() => match command {
                    Some(command) => self.obey(command),
                    // Every handle is gone: nobody can send a read any more.
                    None => self.state.stopping = true,
                },
                event = heard.recv() => if let Some(event) = event { self.hear(event) },
                _ = tick.tick() => {}
            }
            self.advance().await;
            if self.state.stopping && self.running.is_empty() {
                break;
            }
        }
        let last = close::courier_round(&self.shared);
        if tokio::time::timeout(LAST_ROUND_MAX, last).await.is_err() {
            tracing::info!("some keepers are told of the last closes at the next start");
        }
        self.stop_waiters.into_iter().chain(self.late_waiters).for_each(tell_done);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Seal { reply, .. } if self.state.stopping => drop(reply.send(Err(RecorderError::Stopping))),
            Command::Seal { reads, places, reply } => self.distribute(reads, places, reply),
            Command::LateDone(reply) => self.late_waiters.push(reply),
            Command::State(reply) => drop(reply.send(self.describe())),
            Command::Stop(reply) => {
                self.state.stopping = true;
                self.stop_waiters.push(reply);
            }
        }
    }

    fn distribute(
        &mut self,
        reads: Vec<PlacedRead>,
        places: OwnedSemaphorePermit,
        reply: oneshot::Sender<Result<Vec<Sealed>, RecorderError>>,
    ) {
        let now = self.shared.now();
        let mut answers = Vec::with_capacity(reads.len());
        let mut by_slot: BTreeMap<Slot, Vec<(usize, Read)>> = BTreeMap::new();
        for (at, PlacedRead { read, place }) in reads.into_iter().enumerate() {
            match route(&self.state, &self.shared.settings.rules, place, read.captured_at, now) {
                Route::TooOld => answers.push(Sealed::TooOld),
                Route::To(slot) => {
                    answers.push(Sealed::Stored);
                    by_slot.entry(slot).or_default().push((at, read));
                }
            }
        }
        let call = Call::new(answers, by_slot.len(), places, reply);
        let since = self.shared.parts.clock.monotonic();
        for (slot, reads) in by_slot {
            let group = Group::new(reads, Arc::clone(&call), since);
            self.send(slot, group, now);
        }
    }

    fn send(&mut self, slot: Slot, group: Group, now: u64) {
        if let Some(seen) = self.state.slots.get_mut(&slot) {
            seen.used_at = now;
        }
        let group = match self.lanes.get(&slot) {
            None => group,
            Some(lane) => match lane.groups.send(group) {
                Ok(()) => return,
                // The task has just given up; its event is on the way.
                Err(mpsc::error::SendError(group)) => group,
            },
        };
        self.waiting.entry(slot).or_default().push_back(group);
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Ready { slot, run } if self.is(slot, run) => {
                if let Some(seen) = self.state.slots.get_mut(&slot) {
                    let now = self.shared.now();
                    *seen = Seen { phase: Phase::Ready, used_at: now, since: now };
                }
            }
            Event::Failed { slot, run, logged } if self.is(slot, run) => {
                self.forget(slot);
                let pause = if logged { self.trouble(slot).max(FAILED_PAUSE_S) } else { FAILED_PAUSE_S };
                self.state.retry_at.insert(slot, self.shared.now().saturating_add(pause));
            }
            Event::Lost { slot, run, died } if self.is(slot, run) => {
                self.forget(slot);
                if died {
                    let pause = self.trouble(slot);
                    self.state.retry_at.insert(slot, self.shared.now().saturating_add(pause));
                }
            }
            // Of a lane that the plan has closed in the meantime.
            Event::Ready { .. } | Event::Failed { .. } | Event::Lost { .. } => {}
            Event::Over { run } => {
                self.running.remove(&run);
                // A task that ended without a word (a panic) leaves its lane.
                let left: Vec<Slot> =
                    self.lanes.iter().filter(|(_, lane)| lane.run == run).map(|(slot, _)| *slot).collect();
                left.into_iter().for_each(|slot| self.forget(slot));
            }
            Event::Ordered { keeper, well } => {
                self.ordering.remove(&keeper);
                self.counted_at = None;
                if !well {
                    self.order_again_at.insert(keeper, self.shared.now().saturating_add(FAILED_PAUSE_S));
                }
            }
        }
    }

    /// An epoch of the slot ended before its time. The pause before the next, seconds: none after the first, because nothing is to wait for
    /// one sealer that died (A13).
    fn trouble(&mut self, slot: Slot) -> u64 {
        let now = self.shared.now();
        self.troubles.retain(|_, (_, at)| at.saturating_add(TROUBLE_FORGOTTEN_S) > now);
        let (count, at) = self.troubles.entry(slot).or_default();
        *at = now;
        let pause = FAILED_PAUSE_S.checked_shl(count.saturating_sub(1)).unwrap_or(TROUBLED_PAUSE_MAX_S);
        let pause = if *count == 0 { 0 } else { pause.min(TROUBLED_PAUSE_MAX_S) };
        *count = count.saturating_add(1).min(u64::BITS - 2);
        pause
    }

    fn is(&self, slot: Slot, run: u64) -> bool {
        self.lanes.get(&slot).is_some_and(|lane| lane.run == run)
    }

    /// Takes no more reads for a slot. Its task sees that and closes.
    fn forget(&mut self, slot: Slot) {
        self.lanes.remove(&slot);
        self.state.slots.remove(&slot);
    }

    async fn advance(&mut self) {
        let now = self.shared.now();
        self.count(now).await;
        self.expire();
        self.state.late_done = !self.late_waiters.is_empty();
        self.state.late_wanted =
            self.waiting.keys().filter(|slot| slot.kind == SlotKind::Late).map(|slot| slot.cap_from).collect();
        self.state.retry_at.retain(|_, at| *at > now);
        let mut known = self.state.clone();
        for (keeper, stock) in known.prekeys.iter_mut().enumerate() {
            if self.ordering.contains(&keeper) || self.order_again_at.get(&keeper).is_some_and(|at| *at > now) {
                *stock = u32::MAX;
            }
        }
        for action in plan(&known, &self.shared.settings.rules, now) {
            match action {
                Action::Close(slot) => self.forget(slot),
                Action::Deal(slot) => self.deal(slot, now),
                Action::OrderPrekeys { keeper, count } => self.order(keeper, count),
            }
        }
        let current = self.shared.settings.rules.window_of(now);
        let current = Slot { kind: SlotKind::Live, cap_from: current };
        let used_up = !self.state.slots.contains_key(&current)
            && !self.state.has_epochs_for(&current, &self.shared.settings.rules);
        if used_up && !self.used_up {
            tracing::error!(
                "the epochs of a day are used up: the running window gets no other, and its reads are refused"
            );
        }
        self.used_up = used_up;
        let late_left = self.running.values().any(|kind| *kind == SlotKind::Late);
        if !self.late_waiters.is_empty() && !late_left {
            core::mem::take(&mut self.late_waiters).into_iter().for_each(tell_done);
        }
    }

    fn deal(&mut self, slot: Slot, now: u64) {
        let run = self.next_run;
        self.next_run = self.next_run.saturating_add(1);
        let (groups, received) = mpsc::unbounded_channel();
        for group in self.waiting.remove(&slot).into_iter().flatten() {
            let _receiver_is_here = groups.send(group);
        }
        self.lanes.insert(slot, Lane { run, groups });
        self.state.slots.insert(slot, Seen { phase: Phase::Dealing, used_at: now, since: now });
        match slot.kind {
            SlotKind::Live => {
                self.state.live_today = self.state.live_today.saturating_add(1);
                self.state.live_had.insert(slot.cap_from);
            }
            SlotKind::Late => self.state.late_today = self.state.late_today.saturating_add(1),
        }
        self.running.insert(run, slot.kind);
        let task = EpochTask { shared: Arc::clone(&self.shared), slot, run, groups: received };
        self.shared.tasks.spawn("epoch", task.run());
    }

    fn order(&mut self, at: usize, count: u32) {
        let Some(keeper) = self.shared.keepers.get(at).cloned() else { return };
        self.ordering.insert(at);
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn("prekeys", async move {
            let well = order(&shared, &keeper, count.min(ORDER_MAX)).await;
            shared.tell(Event::Ordered { keeper: at, well });
        });
    }

    async fn count(&mut self, now: u64) {
        if self.counted_at.is_some_and(|at| now < at.saturating_add(COUNT_PAUSE_S) && at <= now) {
            return;
        }
        let db = &self.shared.parts.db;
        let keepers = u8::try_from(self.shared.keepers.len()).unwrap_or(u8::MAX);
        let counted = async {
            let damaged = db.epochs_in(&[EpochState::Damaged], READS_WAITING_MAX).await?.len();
            let windows = db.live_windows(self.shared.settings.rules.window_of(now)).await?;
            let volume = db.volume(now.saturating_sub(DAY_S)).await?;
            Ok::<_, DbError>((volume, db.prekeys(keepers, now).await?, damaged, windows))
        };
        match counted.await {
            Ok((volume, prekeys, damaged, windows)) => {
                let current = self.shared.settings.rules.window_of(now);
                self.state.live_had.retain(|cap_from| *cap_from >= current);
                self.state.live_had.extend(windows);
                self.damaged = u64::try_from(damaged).unwrap_or(u64::MAX);
                // An epoch that is being dealt is not in the table yet.
                self.state.live_today =
                    volume.live_dealt.max(self.state.live_today.min(volume.live_dealt.saturating_add(2)));
                self.state.late_today = volume.late_dealt;
                self.state.prekeys = prekeys;
            }
            Err(error) => tracing::warn!(%error, "the recorder's tables cannot be read"),
        }
        self.counted_at = Some(now);
    }

    /// Reads do not wait for ever: their callers keep them and come again.
    fn expire(&mut self) {
        let clock = self.shared.parts.clock.monotonic();
        let stopping = self.state.stopping;
        let (state, rules) = (&self.state, &self.shared.settings.rules);
        for (slot, groups) in &mut self.waiting {
            let over = stopping || !state.has_epochs_for(slot, rules);
            while groups.front().is_some_and(|group| over || group.waited_too_long(clock)) {
                if let Some(group) = groups.pop_front() {
                    group.finish(Err(if stopping { RecorderError::Stopping } else { RecorderError::Busy }));
                }
            }
        }
        self.waiting.retain(|_, groups| !groups.is_empty());
    }

    fn describe(&self) -> RecorderState {
        let rules = &self.shared.settings.rules;
        let current = rules.window_of(self.shared.now());
        let ready = |cap_from| {
            let slot = Slot { kind: SlotKind::Live, cap_from };
            self.state.slots.get(&slot).is_some_and(|seen| seen.phase == Phase::Ready)
        };
        RecorderState {
            sealing: ready(current),
            next_ready: ready(rules.window_end(current)),
            reads_waiting: READS_WAITING_MAX.saturating_sub(self.places.available_permits()),
            epochs_open: self.state.slots.len(),
            epochs_damaged: self.damaged,
            prekeys: self.state.prekeys.clone(),
        }
    }
}

/// Whoever waited may be gone.
fn tell_done(waiter: oneshot::Sender<()>) {
    let _gone = waiter.send(());
}

async fn order(shared: &Shared, keeper: &Keeper, count: u32) -> bool {
    let order = shared.parts.key.sign(PrekeyOrder {
        agency: shared.parts.charter.charter().owner.id,
        recorder: shared.parts.recorder,
        count: u16::try_from(count).unwrap_or(u16::MAX),
        time: Timestamp(shared.now()),
    });
    let prekeys = match keeper.order_prekeys(&order).await {
        Ok(prekeys) => prekeys,
        Err(error) => {
            error.trace(keeper.index, "prekeys");
            return false;
        }
    };
    match shared.parts.db.stock_prekeys(keeper.index.0, prekeys).await {
        Ok(added) => added > 0,
        Err(error) => {
            tracing::warn!(%error, "prekeys could not be stored");
            false
        }
    }
}

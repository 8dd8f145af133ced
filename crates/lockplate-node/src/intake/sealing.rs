//! From ready reads to durable ones. It must never say "durable" for a read that is not, also not through a duplicate of a
//! read that is still on its way, and a caller that goes away must not leave a read remembered but unsealed: sealing runs
//! in a task of its own.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use lockplate_core::read::Read;
use lockplate_intake::normalise::Placement;
use lockplate_intake::{Intake, Sealable};
use tokio::sync::oneshot;

use super::passing::OnItsWay;
use super::sink::{Fate, NotTaken, SINK_READS_MAX};
use super::{Inner, Way};

/// Held reads that may wait for a sealer again while others are held.
const WAITING_MAX: usize = 20_000;

/// How often held reads are looked at.
pub(super) const TICK: Duration = Duration::from_millis(500);

/// How often a call is repeated at once where the sealer died under it.
const INTERRUPTIONS_MAX: u32 = 3;

/// So long after a read was refused, and none was sealed since, reads count as refused: without one nobody knows whether they still are.
const REFUSED: Duration = Duration::from_secs(30);

/// How often it is written down whose clock is right.
const KEEP_CLOCKS: Duration = Duration::from_secs(60);

/// What sealing can wait at the end of the process: well within the 45 s of a shutdown.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Pause between two tries at the end of the process.
const DRAIN_PAUSE: Duration = Duration::from_millis(200);

/// What became of the reads of one payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Durable.
    pub(super) stored: u64,
    /// Engine references of those that are past the retention.
    pub(super) too_old: Vec<Option<[u8; 8]>>,
}

impl Inner {
    /// Seals `reads` and waits until they are durable. `duplicates`: the payload also had repeats; then those they repeat
    /// must be durable too.
    ///
    /// On an error every read of it that is not durable is forgotten, so that its repeat is no duplicate.
    pub(super) async fn settle(
        self: &Arc<Self>,
        way: Way,
        entered: OnItsWay,
        reads: Vec<Sealable>,
        duplicates: bool,
    ) -> Result<Settled, NotTaken> {
        let repeats = entered.repeats();
        let mut settled = Settled::default();
        if reads.is_empty() {
            drop(entered);
        } else {
            let (tell, told) = oneshot::channel();
            let inner = Arc::clone(self);
            self.tasks.spawn("seal reads", async move {
                let result = inner.seal(way, reads).await;
                if result.is_err() {
                    inner.lane(way).passing.failed(repeats.source());
                }
                drop(entered);
                // Nobody waits where the caller went away: the reads are durable or forgotten all the same.
                drop(tell.send(result));
            });
            settled = told.await.map_err(|_task_ended| NotTaken::Stopping)??;
        }
        if duplicates && !self.lane(way).passing.are_durable(repeats).await {
            return Err(NotTaken::Busy);
        }
        Ok(settled)
    }

    async fn seal(&self, way: Way, mut reads: Vec<Sealable>) -> Result<Settled, NotTaken> {
        let mut settled = Settled::default();
        while !reads.is_empty() {
            let rest = reads.split_off(reads.len().min(SINK_READS_MAX));
            if let Err((why, left)) = self.seal_batch(way, reads, &mut settled).await {
                // What was held is ours: its source, told so, may never say it again.
                let (ours, theirs): (Vec<_>, Vec<_>) =
                    left.into_iter().chain(rest).partition(|read| way == Way::Live && read.was_held);
                self.keep(ours);
                if theirs.is_empty() {
                    return Ok(settled);
                }
                // Forgotten first, counted by the caller: whoever judged a repeat before it was forgotten sees the count.
                self.with(way, |intake| theirs.iter().for_each(|read| intake.not_durable(read)));
                return Err(why);
            }
            reads = rest;
        }
        Ok(settled)
    }

    /// Seals what can be sealed of a batch: a window without an epoch stands in the way of its own reads alone. What is left comes back.
    async fn seal_batch(
        &self,
        way: Way,
        mut reads: Vec<Sealable>,
        settled: &mut Settled,
    ) -> Result<(), (NotTaken, Vec<Sealable>)> {
        for _again in 0..INTERRUPTIONS_MAX {
            let placed = reads.iter().map(|ready| (ready.read.clone(), ready.placement)).collect();
            let fates = match self.ask_sink(placed).await {
                Ok(fates) if fates.len() == reads.len() => fates,
                // An answer of another length says nothing about any read.
                Ok(_) | Err(NotTaken::Interrupted) => continue,
                Err(why @ (NotTaken::Busy | NotTaken::Stopping)) => return Err((why, reads)),
            };
            let book = self.book();
            let judged = reads.iter().zip(&fates).map(|(ready, fate)| (&ready.read, *fate));
            self.counters.judged(judged, |source| book.name_of(source));
            let (mut stored, mut left, mut later) = (Vec::new(), Vec::new(), None);
            for (read, fate) in reads.into_iter().zip(fates) {
                match fate {
                    Fate::Stored => stored.push(read),
                    Fate::TooOld => settled.too_old.push(read.read.engine_ref),
                    Fate::Not(why) => {
                        later = later.or(Some(why).filter(|why| *why != NotTaken::Interrupted));
                        left.push(read);
                    }
                }
            }
            let count = u64::try_from(stored.len()).unwrap_or(u64::MAX);
            settled.stored = settled.stored.saturating_add(count);
            if way == Way::Live {
                self.load.count(self.clock.monotonic(), count);
            }
            // Only now: a read that its source must send again would raise an alert, or be billed, twice.
            self.beside.observe(stored.iter().filter_map(Sealable::seen).collect());
            match later {
                _ if left.is_empty() => return Ok(()),
                Some(why) => return Err((why, left)),
                None => reads = left,
            }
        }
        Err((NotTaken::Busy, reads))
    }

    /// Asks the sink, and notes whether it refused what was read now.
    pub(super) async fn ask_sink(&self, reads: Vec<(Read, Placement)>) -> Result<Vec<Fate>, NotTaken> {
        let of_now: Vec<bool> = reads.iter().map(|(_, place)| *place == Placement::Open).collect();
        let answer = self.sink.seal(reads).await;
        if of_now.contains(&true) {
            let fates = answer.as_deref().unwrap_or_default();
            let is_taken = fates.iter().zip(of_now).any(|(fate, of_now)| of_now && !matches!(fate, Fate::Not(_)));
            let refused = (!is_taken).then(|| self.clock.monotonic());
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
        }
        answer
    }

    /// False while reads are refused because nothing can be made durable.
    pub(super) fn seals(&self) -> bool {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_none_or(|at| self.clock.monotonic().saturating_sub(at) >= REFUSED)
    }

    /// Held reads that could not be sealed when their hold ended.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// False while what was held cannot be sealed: nothing is added to it then, so that what waits is never more than this and what was
    /// held, grouped or on its way when sealing stopped. Windows of the past that have no epoch yet are waited for.
    pub(super) fn may_hold_more(&self) -> bool {
        let waiting = self.waiting();
        waiting == 0 || (waiting < WAITING_MAX && self.seals())
    }

    /// Lets reads wait whose sources were told "held". Without their pictures: those are for alerts alone, and nobody knows how long.
    fn keep(&self, mut reads: Vec<Sealable>) {
        reads.iter_mut().for_each(|read| read.crop = None);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(reads);
    }

    /// Runs `work` on a lane's state machine.
    pub(super) fn with<T>(&self, way: Way, work: impl FnOnce(&mut Intake) -> T) -> T {
        work(&mut self.lane(way).intake.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what has waited long enough and seals it, with what could not be sealed before. For ever, until the role
    /// stops.
    pub(super) async fn keep_sealing(self: Arc<Self>) {
        while self.ticks().await {
            self.release(false).await;
        }
    }

    async fn ticks(&self) -> bool {
        tokio::select! {
            () = self.tasks.stopping().cancelled() => false,
            () = tokio::time::sleep(TICK) => true,
        }
    }

    /// What has its time whether reads can be sealed or not. For ever, likewise.
    pub(super) async fn keep_time(self: Arc<Self>) {
        while self.ticks().await {
            // Nothing of a file is held, but what was in it is remembered.
            let now = self.clock.now_ms();
            self.with(Way::Import, |intake| intake.forget_old(now));
            self.load.watch(self.clock.monotonic());
            self.refresh_when_due().await;
            self.keep_clocks(false).await;
        }
    }

    /// Remembers over a restart whose clock is right, once a minute and at the end.
    async fn keep_clocks(&self, at_the_end: bool) {
        let (now, kept) = (self.clock.monotonic(), || self.right_clocks.lock().unwrap_or_else(PoisonError::into_inner));
        // Asked twice a second: every clock is gone through where it is time for that.
        if !at_the_end && now.saturating_sub(kept().0) < KEEP_CLOCKS {
            return;
        }
        let right = self.with(Way::Live, |intake| intake.right_clocks());
        if kept().1 == right {
            kept().0 = now;
            return;
        }
        match self.register.set_right_clocks(right.clone()).await {
            Ok(()) => *kept() = (now, right),
            Err(down) => tracing::warn!(%down, "whose clock is right is not remembered over a restart"),
        }
    }

    /// Seals what is due, or at the end everything. True if nothing waits any more.
    pub(super) async fn release(&self, everything: bool) -> bool {
        let _one_at_a_time = self.releasing.lock().await;
        let now = self.clock.now_ms();
        let mut outcome = self.with(Way::Live, |intake| if everything { intake.drain(now) } else { intake.tick(now) });
        self.beside.observe(core::mem::take(&mut outcome.seen));
        let (now, late): (Vec<_>, Vec<_>) =
            outcome.sealables.into_iter().partition(|ready| ready.placement == Placement::Open);
        // Nobody waits for an alert because a window of the past has no epoch yet.
        for mut due in [now, late] {
            while !due.is_empty() {
                let rest = due.split_off(due.len().min(SINK_READS_MAX));
                let all = due.len();
                let left = self.left_of(due).await;
                let is_stuck = left.len() == all;
                self.keep(left);
                due = rest;
                if is_stuck {
                    self.keep(core::mem::take(&mut due));
                }
            }
        }
        self.seal_waiting().await;
        self.waiting() == 0
    }

    /// What could not be sealed of a batch of held reads.
    async fn left_of(&self, held: Vec<Sealable>) -> Vec<Sealable> {
        let sealed = self.seal_batch(Way::Live, held, &mut Settled::default()).await;
        sealed.map_or_else(|(_later, left)| left, |()| Vec::new())
    }

    /// Tries once to seal each read that could not be sealed before, until nothing can be. It waits where it is until it is durable, so that
    /// whoever asks sees it.
    async fn seal_waiting(&self) {
        let waiting = || self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Reads of now first; and few windows of the past are open at a time, so those of a batch are to be few.
        waiting().make_contiguous().sort_by_key(|ready| (ready.placement != Placement::Open, ready.read.captured_at));
        let mut untried = self.waiting();
        while untried > 0 {
            let batch: Vec<Sealable> = waiting().iter().take(untried.min(SINK_READS_MAX)).cloned().collect();
            let all = batch.len();
            let left = self.left_of(batch).await;
            let is_stuck = left.len() == all;
            {
                // Others only add to it.
                let mut waiting = waiting();
                waiting.drain(..all);
                waiting.extend(left);
            }
            if is_stuck || all == 0 {
                return;
            }
            untried = untried.saturating_sub(all);
        }
    }

    /// The end: takes no payload any more, waits for those on their way, seals what is held.
    pub(super) async fn finish(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.import.passing.all_ended().await;
        self.live.passing.all_ended().await;
        self.keep_clocks(true).await;
        let started = self.clock.monotonic();
        while !self.release(true).await {
            if self.clock.monotonic().saturating_sub(started) > DRAIN_MAX {
                let reads = self.waiting();
                self.counters.lost_held(reads);
                return tracing::error!(reads, "held reads could not be sealed before the end");
            }
            tokio::time::sleep(DRAIN_PAUSE).await;
        }
    }
}

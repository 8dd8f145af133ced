//! The active machine's end of the journal: what became durable here is in the store before anybody is told. Callers that come while a
//! record is on its way share the next one. It never says "shipped" of what the winner of the journal would not read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cipher::Run;
use super::journal::{Claimed, Journal, StoreFault};
use super::record::{Piece, RECORD_BYTES_MAX};
use crate::clock::Clock;

/// How long a caller has waited before reads are refused rather than queued behind it.
const BEHIND_AFTER: Duration = Duration::from_secs(5);
/// Part of the silence after which a standby takes over. Then this machine must have ended its sealers.
const CUT_OFF_PART: f64 = 0.75;
/// Bytes that may wait before reads are refused.
const WAITING_BYTES_MAX: usize = 4 * RECORD_BYTES_MAX;
/// Bytes for which nobody waits, before a record is made for them.
const UNHURRIED_BYTES_MAX: usize = 1024 * 1024;
/// Pauses between tries of a store that does not answer.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Bytes of the journal after which a new base is due.
const BASE_BYTES: u64 = 64 * 1024 * 1024;
/// Longest wait for the last record at the end of the process.
const RESIGN_MAX: Duration = Duration::from_secs(5);

/// What was to be shipped is not known to be in the journal: nothing may be said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotShipped;

impl core::fmt::Display for NotShipped {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a change is not known to be in the standby's journal")
    }
}

impl core::error::Error for NotShipped {}

/// Why shipping ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Another machine owns the journal.
    Fenced,
    /// It was asked to end.
    Stopped,
}

struct Waiter {
    /// Pieces, counted from the first ever, that must have gone.
    upto: u64,
    since: Duration,
    reply: oneshot::Sender<()>,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// Pieces that were ever taken out.
    gone: u64,
    waiting: VecDeque<Waiter>,
    /// Since when the first caller of the record waits that the store has not answered yet.
    on_its_way: Option<Duration>,
    ended: bool,
}

impl Queue {
    fn add(&mut self, pieces: Vec<Piece>) -> u64 {
        for piece in pieces {
            self.bytes = self.bytes.saturating_add(piece.size());
            self.pieces.push_back(piece);
        }
        self.gone.saturating_add(u64::try_from(self.pieces.len()).unwrap_or(u64::MAX))
    }

    fn is_due(&self) -> bool {
        !self.waiting.is_empty() || self.bytes > UNHURRIED_BYTES_MAX
    }

    /// The pieces of the next record, and who waits for nothing beyond them.
    fn take(&mut self) -> (Vec<Piece>, Vec<Waiter>) {
        let (mut pieces, mut bytes) = (Vec::new(), 1_usize);
        while let Some(piece) = self.pieces.front() {
            let size = piece.size();
            bytes = bytes.saturating_add(size);
            if bytes > RECORD_BYTES_MAX {
                break;
            }
            self.bytes = self.bytes.saturating_sub(size);
            self.gone = self.gone.saturating_add(1);
            pieces.extend(self.pieces.pop_front());
        }
        let mut waiters = Vec::new();
        while self.waiting.front().is_some_and(|waiter| waiter.upto <= self.gone) {
            waiters.extend(self.waiting.pop_front());
        }
        (pieces, waiters)
    }
}

struct Inner {
    queue: Mutex<Queue>,
    wake: Notify,
    next: AtomicU64,
    inherited: bool,
    since_base: AtomicU64,
    base_due: Notify,
    heads: Mutex<()>,
    over: CancellationToken,
    /// No record was made for so long that a standby may take over.
    cut_off: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
}

/// Ships changes. Cheap to clone; all clones are the same queue.
#[derive(Clone)]
pub struct Shipper {
    inner: Arc<Inner>,
}

impl core::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shipper").field("next", &self.next()).finish_non_exhaustive()
    }
}

impl Shipper {
    /// `next` is the number of the record after the one that made this run the owner.
    pub(super) fn new(next: u64, inherited: bool, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            queue: Mutex::default(),
            wake: Notify::new(),
            next: AtomicU64::new(next),
            inherited,
            since_base: AtomicU64::new(0),
            base_due: Notify::new(),
            heads: Mutex::default(),
            over: CancellationToken::new(),
            cut_off: watch::Sender::new(false),
            clock,
        };
        Self { inner: Arc::new(inner) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Whole pieces only: a panic elsewhere leaves the queue usable.
        self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another machine was the active one before.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.inner.inherited
    }

    /// Number of the next record.
    pub(super) fn next(&self) -> u64 {
        self.inner.next.load(Ordering::Acquire)
    }

    /// Ships with the next record, whenever that is; what is shipped later comes after it.
    pub fn later(&self, pieces: Vec<Piece>) {
        let mut queue = self.queue();
        if !queue.ended {
            queue.add(pieces);
        }
        let due = queue.is_due();
        drop(queue);
        if due {
            self.inner.wake.notify_one();
        }
    }

    fn enter(&self, pieces: Vec<Piece>) -> Result<oneshot::Receiver<()>, NotShipped> {
        let (reply, shipped) = oneshot::channel();
        let since = self.inner.clock.monotonic();
        let mut queue = self.queue();
        if queue.ended {
            return Err(NotShipped);
        }
        let upto = queue.add(pieces);
        queue.waiting.push_back(Waiter { upto, since, reply });
        drop(queue);
        self.inner.wake.notify_one();
        Ok(shipped)
    }

    /// Returns when these pieces, and all before them, are in the journal. With none: when a record was made after the call, which
    /// shows that this machine was the owner then. Waits as long as the store does not answer. Dropped, the pieces may be shipped.
    ///
    /// # Errors
    /// [`NotShipped`]: another machine owns the journal, or the process ends.
    pub async fn ship(&self, pieces: Vec<Piece>) -> Result<(), NotShipped> {
        self.enter(pieces)?.await.map_err(|_ended| NotShipped)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`Shipper::ship`].
    pub fn ship_blocking(&self, pieces: Vec<Piece>) -> Result<(), NotShipped> {
        self.enter(pieces)?.blocking_recv().map_err(|_ended| NotShipped)
    }

    /// Whether what is shipped now would wait long: then no read is taken.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let now = self.inner.clock.monotonic();
        let queue = self.queue();
        let first = queue.on_its_way.or_else(|| queue.waiting.front().map(|waiter| waiter.since));
        first.is_some_and(|since| now.saturating_sub(since) > BEHIND_AFTER)
            || queue.bytes > WAITING_BYTES_MAX
            || queue.ended
            || *self.inner.cut_off.borrow()
    }

    /// Returns when no record was made for so long that a standby, which may reach the store, is about to take over: from then on this machine
    /// must hold no key of an epoch. At once while that is so.
    pub async fn cut_off(&self) {
        // The sender lives as long as this.
        let mut seen = self.inner.cut_off.subscribe();
        let _is_so = seen.wait_for(|cut_off| *cut_off).await.is_ok();
    }

    /// Returns when that is not so.
    pub async fn connected(&self) {
        let mut seen = self.inner.cut_off.subscribe();
        let _is_so = seen.wait_for(|cut_off| !*cut_off).await.is_ok();
    }

    /// Held while the head of a log is in the journal and not yet on the disk.
    pub(super) fn while_heads_stand(&self) -> MutexGuard<'_, ()> {
        self.inner.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A closed epoch makes much of the journal superfluous.
    pub fn base_is_due(&self) {
        self.inner.base_due.notify_one();
    }

    /// Waits until a base is due.
    pub(super) async fn until_base_is_due(&self) {
        self.inner.base_due.notified().await;
        self.inner.since_base.store(0, Ordering::Release);
    }

    /// Cancelled at the end of the process.
    pub(super) fn is_over(&self) -> CancellationToken {
        self.inner.over.clone()
    }

    /// Makes the last record, which says that this run is over, and ends; the standby need not wait. Without `in_order` it only ends.
    pub(super) async fn end(&self, in_order: bool) {
        if in_order && tokio::time::timeout(RESIGN_MAX, self.ship(vec![Piece::Resigned])).await.is_err() {
            tracing::warn!("the journal could not be told of the end of this run: the standby waits its time");
        }
        self.inner.over.cancel();
    }

    /// Makes records until another machine owns the journal, or the end. What waits then is dropped, and its callers are told nothing
    /// but [`NotShipped`].
    pub(super) async fn run(self, journal: Journal, run: Run, signs_of_life: Duration, takeover: Duration) -> Ended {
        let ended = self.make_records(&journal, run, signs_of_life, takeover).await;
        let mut queue = self.queue();
        queue.ended = true;
        queue.pieces.clear();
        queue.waiting.clear();
        ended
    }

    async fn make_records(&self, journal: &Journal, run: Run, signs_of_life: Duration, takeover: Duration) -> Ended {
        // A standby cannot have seen the last record before it was begun here.
        let mut begun = Instant::now();
        loop {
            let due = async {
                while !self.queue().is_due() {
                    self.inner.wake.notified().await;
                }
            };
            tokio::select! {
                _due_or_quiet_too_long = tokio::time::timeout(signs_of_life, due) => {}
                () = self.inner.over.cancelled() => return Ended::Stopped,
            }
            let (pieces, waiters) = self.queue().take();
            let number = self.next();
            let Ok(object) = journal.record(run, number, &pieces) else {
                tracing::error!("a record of the journal is too large: internal error, our bug");
                return Ended::Stopped;
            };
            self.queue().on_its_way = waiters.first().map(|waiter| waiter.since);
            let this_one = Instant::now();
            let claimed = {
                let claim = self.claim(journal, number, &object);
                tokio::pin!(claim);
                tokio::select! {
                    claimed = &mut claim => claimed,
                    () = tokio::time::sleep_until(begun + takeover.mul_f64(CUT_OFF_PART)) => {
                        tracing::error!("the store of the journal has not answered for long: the keys of open epochs are erased");
                        self.inner.cut_off.send_replace(true);
                        claim.await
                    }
                }
            };
            begun = this_one;
            self.queue().on_its_way = None;
            match claimed {
                Some(Claimed::Mine) => drop(self.inner.cut_off.send_replace(false)),
                Some(Claimed::Taken) => return Ended::Fenced,
                None => return Ended::Stopped,
            }
            self.inner.next.store(number.saturating_add(1), Ordering::Release);
            let bytes = u64::try_from(object.len()).unwrap_or(u64::MAX);
            if self.inner.since_base.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes) >= BASE_BYTES {
                self.base_is_due();
            }
            for waiter in waiters {
                let _caller_gone = waiter.reply.send(());
            }
        }
    }

    /// `None` where the process ends before the store has answered.
    async fn claim(&self, journal: &Journal, number: u64, object: &bytes::Bytes) -> Option<Claimed> {
        let mut pause = RETRY_MIN;
        loop {
            match journal.claim(number, object).await {
                Ok(claimed) => return Some(claimed),
                Err(fault) => {
                    if pause == RETRY_MIN {
                        tracing::warn!(%fault, "a record of the journal is not made yet: nothing is acknowledged until it is");
                    }
                    // An object of another key at our number: somebody else writes here.
                    if fault == StoreFault::Foreign {
                        return Some(Claimed::Taken);
                    }
                }
            }
            tokio::select! {
                () = self.inner.over.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
            pause = pause.saturating_mul(2).min(RETRY_MAX);
        }
    }
}

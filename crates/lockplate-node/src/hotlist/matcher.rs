//! Comparing reads with the lists in force, on a thread of its own beside the sealing of reads. Handing a read over takes as long whether
//! it hits or not, and no answer to a camera waits for what comes of it. Reads come from [`crate::intake`]; hits go to [`AlertSink`]; a read
//! that hits nothing leaves nothing here.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::hotlist::matching::{Comparison, HeldTracks, Marks, ReadFacts, compare, is_beyond_refining};
use lockplate_core::hotlist::set::ListSet;
use lockplate_core::read::Read;
use lockplate_core::vocabulary::Purpose;
use lockplate_intake::Seen;
use tokio::sync::oneshot;

use super::law::purpose_of;
use crate::alerts::{AlertSink, Sighted};
use crate::clock::Clock;
use crate::intake::{Beside, KnownCamera};
use crate::party_log::seconds;

/// Reads that may wait to be compared: some seconds of the fastest archive. Beyond it a read is not compared, and that is counted.
const SEEN_WAITING_MAX: usize = 20_000;
/// Batches in the queue; each is a payload.
const BATCHES_MAX: usize = SEEN_WAITING_MAX;
/// How often tracks are looked at whose source says no more.
const TICK: Duration = Duration::from_millis(250);
/// A track of which nothing was heard for so long is over: intake holds none longer than 30 s.
const TRACK_MS: i64 = 60_000;

/// A list that is matched.
pub(super) struct InForce {
    pub(super) set: ListSet,
    pub(super) marks: Arc<Mutex<Marks>>,
    /// What the entries of a custom list are for.
    pub(super) purpose: Option<Purpose>,
    /// Alert key of another agency whose list it is.
    pub(super) sealed_to: Option<HpkePublicKey>,
    /// Creators of custom entries.
    pub(super) creators: BTreeMap<String, [u8; 32]>,
}

enum Job {
    Seen(Vec<Seen>),
    Canary { list: [u8; 16], read: Box<Read>, reply: oneshot::Sender<bool> },
    End,
}

#[derive(Default)]
struct Shared {
    lists: RwLock<BTreeMap<[u8; 16], Arc<InForce>>>,
    places: RwLock<BTreeMap<u32, String>>,
    waiting: AtomicUsize,
    not_compared: AtomicU64,
}

/// The matcher. Cheap to clone.
#[derive(Clone)]
pub struct Matcher {
    queue: Arc<OnceLock<SyncSender<Job>>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Matcher(..)")
    }
}

impl Default for Matcher {
    fn default() -> Self {
        Self::new()
    }
}

impl Matcher {
    /// Without lists, and before [`start`](Self::start) it takes no reads.
    #[must_use]
    pub fn new() -> Self {
        Self { queue: Arc::default(), thread: Arc::default(), shared: Arc::default() }
    }

    /// Starts the thread, once.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(&self, alerts: Arc<dyn AlertSink>, clock: Arc<dyn Clock>) -> std::io::Result<()> {
        let (queue, jobs) = sync_channel(BATCHES_MAX);
        let worker = Worker {
            shared: Arc::clone(&self.shared),
            alerts,
            clock,
            tracks: HeldTracks::default(),
            held: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("matcher".to_owned()).spawn(move || worker.run(&jobs))?;
        // A second thread would end at once: nothing holds its queue.
        if self.queue.set(queue).is_ok() {
            *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        }
        Ok(())
    }

    /// Compares what waits, and ends the thread. To be called when intake takes no more reads. Blocks.
    pub fn finish(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(thread), Some(queue)) = (thread, self.queue.get()) else { return };
        if queue.send(Job::End).is_ok() && thread.join().is_err() {
            tracing::error!("the matcher panicked: internal error, our bug");
        }
    }

    /// Reads that were not compared because too many waited.
    #[must_use]
    pub fn not_compared(&self) -> u64 {
        self.shared.not_compared.load(Ordering::Relaxed)
    }

    pub(super) fn list(&self, list: &[u8; 16]) -> Option<Arc<InForce>> {
        self.shared.lists.read().unwrap_or_else(PoisonError::into_inner).get(list).cloned()
    }

    /// Puts a list in force in place of what it was, in one step.
    pub(super) fn swap(&self, list: [u8; 16], now: Option<InForce>) {
        let mut lists = self.shared.lists.write().unwrap_or_else(PoisonError::into_inner);
        let before = match now {
            Some(now) => lists.insert(list, Arc::new(now)),
            None => lists.remove(&list),
        };
        drop(lists);
        // Wiping five million entries takes a while: not under the lock.
        drop(before);
    }

    /// Sends an invented read the way of every read, for one list. True if it came out as a hit; nobody is told of it.
    pub(super) async fn canary(&self, list: [u8; 16], read: Read) -> bool {
        let (reply, told) = oneshot::channel();
        let job = Job::Canary { list, read: Box::new(read), reply };
        let sent = self.queue.get().is_some_and(|queue| queue.try_send(job).is_ok());
        sent && told.await.unwrap_or(false)
    }
}

impl Beside for Matcher {
    fn know(&self, cameras: &[KnownCamera]) {
        let places = cameras.iter().map(|camera| (camera.number, camera.place.clone()));
        // A read may be compared after its camera was removed.
        self.shared.places.write().unwrap_or_else(PoisonError::into_inner).extend(places);
    }

    fn observe(&self, seen: Vec<Seen>) {
        let Some(queue) = self.queue.get() else { return };
        let reads = seen.len();
        if reads == 0 {
            return;
        }
        let waiting = self.shared.waiting.fetch_add(reads, Ordering::Relaxed);
        let refused = waiting.saturating_add(reads) > SEEN_WAITING_MAX
            || matches!(queue.try_send(Job::Seen(seen)), Err(TrySendError::Full(_) | TrySendError::Disconnected(_)));
        if refused {
            self.shared.waiting.fetch_sub(reads, Ordering::Relaxed);
            self.shared.not_compared.fetch_add(u64::try_from(reads).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    alerts: Arc<dyn AlertSink>,
    clock: Arc<dyn Clock>,
    tracks: HeldTracks,
    /// What tracks showed last, and when.
    held: BTreeMap<u64, (i64, Seen)>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        let mut looked_at = self.clock.now_ms();
        loop {
            match jobs.recv_timeout(TICK) {
                Ok(Job::Seen(batch)) => {
                    let reads = batch.len();
                    for seen in batch {
                        self.take(seen);
                    }
                    self.shared.waiting.fetch_sub(reads, Ordering::Relaxed);
                }
                Ok(Job::Canary { list, read, reply }) => {
                    // Nobody listens any more where the list's task has ended.
                    let _gone = reply.send(self.is_hit(&list, &read));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = self.clock.now_ms();
            if now.saturating_sub(looked_at).unsigned_abs() >= TICK.as_millis().try_into().unwrap_or(u64::MAX) {
                looked_at = now;
                self.look_at_tracks(now);
            }
        }
    }

    fn take(&mut self, seen: Seen) {
        if seen.track == 0 {
            self.compare(&seen);
            return;
        }
        let now = self.clock.now_ms();
        let due = self.tracks.observe(seen.track, &seen.read.plate, seen.is_final, now);
        if due {
            self.compare(&seen);
        }
        if seen.is_final {
            self.tracks.forget(seen.track);
            self.held.remove(&seen.track);
        } else {
            self.held.insert(seen.track, (now, seen));
        }
    }

    fn look_at_tracks(&mut self, now: i64) {
        for track in self.tracks.settled(now) {
            if let Some((_, seen)) = self.held.get(&track).cloned() {
                self.compare(&seen);
            }
        }
        // What ended as a repeat of another pass ends without a word.
        let over: Vec<u64> = self
            .held
            .iter()
            .filter(|(_, (heard, _))| now.saturating_sub(*heard) > TRACK_MS)
            .map(|(track, _)| *track)
            .collect();
        for track in over {
            self.tracks.forget(track);
            self.held.remove(&track);
        }
    }

    fn compare(&mut self, seen: &Seen) {
        let lists: Vec<Arc<InForce>> =
            self.shared.lists.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let facts = ReadFacts { read: &seen.read, of_frames: seen.of_frames, conf_min: seen.conf_min };
        for list in lists {
            let comparison = compared(&list, &facts, self.now());
            // A pass counts once, as it was in the end.
            if seen.is_final {
                self.alerts.suppressed(&comparison);
            }
            for hit in comparison.hits {
                let waits = !seen.is_final && !is_beyond_refining(&hit, &seen.read);
                if waits || (seen.track != 0 && !self.tracks.is_first(seen.track, &hit)) {
                    continue;
                }
                // INVARIANT: a class that is loaded has a purpose, and a custom list says its own.
                let Some(purpose) = list.purpose.or_else(|| purpose_of(hit.entry.class)) else { continue };
                let place = self.place_of(seen.read.camera);
                let creator = list.creators.get(&hit.entry.entry_id).copied();
                self.alerts.hit(Sighted {
                    hit,
                    read: seen.read.clone(),
                    crop: seen.crop.clone().unwrap_or_default(),
                    stamp: *list.set.stamp(),
                    place,
                    creator,
                    purpose,
                    sealed_to: list.sealed_to.clone(),
                });
            }
        }
    }

    fn place_of(&self, camera: u32) -> String {
        let places = self.shared.places.read().unwrap_or_else(PoisonError::into_inner);
        places.get(&camera).cloned().unwrap_or_default()
    }

    fn is_hit(&self, list: &[u8; 16], read: &Read) -> bool {
        let list = self.shared.lists.read().unwrap_or_else(PoisonError::into_inner).get(list).cloned();
        let facts = ReadFacts { read, of_frames: false, conf_min: 0 };
        list.is_some_and(|list| !compared(&list, &facts, self.now()).hits.is_empty())
    }

    fn now(&self) -> Timestamp {
        Timestamp(seconds(self.clock.as_ref()))
    }
}

fn compared(list: &InForce, facts: &ReadFacts<'_>, now: Timestamp) -> Comparison {
    let marks = list.marks.lock().unwrap_or_else(PoisonError::into_inner);
    compare(&list.set, &marks, facts, now)
}

#[cfg(test)]
mod tests;

//! One epoch, from prekeys to close: a task with its own sealer child. It must never log an epoch that fewer than t keepers
//! hold, seal before `epoch.dealt` is durable, or acknowledge what the sealer has not acknowledged.

use core::ops::Range;
use core::pin::{Pin, pin};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lockplate_core::Timestamp;
use lockplate_core::entry::{self, EpochDealt, LogEntry};
use lockplate_core::epoch::{EpochHeader, EpochKind, ShareReceipt};
use lockplate_core::id::{EpochId, KeeperIndex};
use lockplate_core::read::{Read, ReadFlags};
use lockplate_core::segment::{bucket_bits_for, epoch_cells_max};
use lockplate_core::sign::{Signed, Statement as _};
use lockplate_store::spool::FRAME_CELLS_MAX;
use rand_core::Rng as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use zeroize::Zeroizing;

use super::actor::{Event, Shared};
use super::close;
use super::keepers::Keeper;
use super::plan::{Slot, SlotKind};
use super::sealer_link::{LinkBroken, SealerLink};
use super::{RecorderError, Sealed};
use crate::agency_db::EpochState;
use crate::party_log::NotLogged;
use crate::rng::SystemRng;
use crate::sealer::wire::{Ask, Deal, NotSealed, Tell};
use crate::standby::{CHUNK_BYTES, Piece, Shipper};

/// After t receipts, how long the other keepers are waited for.
const RECEIPTS_ALL_WAIT: Duration = Duration::from_millis(1_500);
/// Pause before a keeper is asked again for its receipt, or prekeys are looked for again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Pause of the attempts to hand the share to a keeper that was away when its epoch began.
const STRAGGLER_PAUSE: Duration = Duration::from_secs(10);
/// How long reads wait for an epoch before their callers are told to keep them.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Frames that the sealer may have at a time: one that it seals and one that it syncs. With more of them, each is smaller and dearer.
const FRAMES_AT_A_TIME: usize = 2;
/// How long a batch waits for the standby's journal before its callers are told to keep their reads.
const SHIP_WAIT_MAX: Duration = Duration::from_secs(10);

/// Where the answer to a call goes.
pub(super) type Reply = oneshot::Sender<Result<Vec<Sealed>, RecorderError>>;

/// A call of [`super::RecorderHandle::seal`]: answered when its last group is.
pub(super) struct Call {
    answers: Mutex<Option<(Vec<Sealed>, Reply)>>,
    left: AtomicUsize,
    /// The places of its reads in the queue, given back when the call is answered.
    _places: OwnedSemaphorePermit,
}

impl Call {
    pub(super) fn new(answers: Vec<Sealed>, groups: usize, places: OwnedSemaphorePermit, reply: Reply) -> Arc<Self> {
        let call =
            Self { answers: Mutex::new(Some((answers, reply))), left: AtomicUsize::new(groups), _places: places };
        if groups == 0 {
            call.answer();
        }
        Arc::new(call)
    }

    fn group_done(&self, places: &[usize], result: Result<(), RecorderError>) {
        if let (Err(why), Some((answers, _))) = (result, &mut *self.answers()) {
            for place in places {
                if let Some(answer) = answers.get_mut(*place) {
                    *answer = Sealed::Not(why);
                }
            }
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.answer();
        }
    }

    fn answer(&self) {
        if let Some((answers, reply)) = self.answers().take() {
            // The caller may be gone; the reads are sealed or not all the same.
            let _caller_gone = reply.send(Ok(answers));
        }
    }

    fn answers(&self) -> MutexGuard<'_, Option<(Vec<Sealed>, Reply)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reads of one call that go into one epoch. Dropped without an answer it says [`RecorderError::Interrupted`].
pub(super) struct Group {
    reads: Vec<Read>,
    /// Where the answers of its reads stand in the call.
    places: Vec<usize>,
    call: Option<Arc<Call>>,
    /// Monotonic clock at arrival.
    pub(super) since: Duration,
}

impl Group {
    pub(super) fn new(reads: Vec<(usize, Read)>, call: Arc<Call>, since: Duration) -> Self {
        let (places, reads) = reads.into_iter().unzip();
        Self { reads, places, call: Some(call), since }
    }

    pub(super) fn finish(mut self, result: Result<(), RecorderError>) {
        if let Some(call) = self.call.take() {
            call.group_done(&self.places, result);
        }
    }

    pub(super) fn waited_too_long(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= WAIT_MAX
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.group_done(&self.places, Err(RecorderError::Interrupted));
        }
    }
}

/// The task of one epoch.
pub(super) struct EpochTask {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: Slot,
    /// Number of this task, for its events.
    pub(super) run: u64,
    /// Reads in clear are bounded by the places of the handle, not here.
    pub(super) groups: mpsc::UnboundedReceiver<Group>,
}

/// Tells the actor that the task is over, however it ends.
struct Over(Arc<Shared>, u64);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.tell(Event::Over { run: self.1 });
    }
}

/// An epoch that is dealt and has its receipts.
struct Receipted {
    link: SealerLink,
    header: Signed<EpochHeader>,
    receipts: Vec<Signed<ShareReceipt>>,
    /// Keepers that have not answered yet, with their envelopes.
    stragglers: Vec<(Keeper, Vec<u8>)>,
}

/// Why an epoch was not dealt: traced where it happened.
struct NotDealt;

/// Why sealing did not begin: traced where it happened.
enum NotStarted {
    /// Nothing of the epoch is in the log for certain, or the next start goes on with it.
    NotDealt,
    /// Its leaf is in the log, so it gets its close, without a read in it.
    Logged(Box<Signed<EpochHeader>>),
}

impl From<NotDealt> for NotStarted {
    fn from(_not_dealt: NotDealt) -> Self {
        Self::NotDealt
    }
}

/// Why sealing ended.
enum Ended {
    /// The actor wants the epoch closed.
    Asked,
    /// The epoch takes no more cells; a new one is needed for the slot.
    Full,
    /// The sealer is gone.
    Died,
}

impl EpochTask {
    pub(super) async fn run(mut self) {
        let _over = Over(Arc::clone(&self.shared), self.run);
        let mut queue = VecDeque::new();
        let dealing = pin!(deal_while_connected(Arc::clone(&self.shared), self.slot));
        let receipted = match self.while_reads_wait(dealing, &mut queue).await {
            None => return,
            Some(Ok(receipted)) => receipted,
            Some(Err(NotDealt)) => return self.give_up(queue, false),
        };
        let stragglers = receipted.stragglers.clone();
        let mut starting = pin!(start(Arc::clone(&self.shared), receipted));
        let started = match self.while_reads_wait(starting.as_mut(), &mut queue).await {
            Some(started) => started,
            // Its leaf may be in the log by now.
            None => starting.await,
        };
        let (mut link, header) = match started {
            Ok(started) => started,
            Err(NotStarted::NotDealt) => return self.give_up(queue, false),
            Err(NotStarted::Logged(header)) => {
                self.give_up(queue, true);
                // Closing may wait for a store, and nobody is to wait with it.
                return close::close(&self.shared, &header, None).await;
            }
        };
        let _while_open = self.hand_out_the_rest(&header, stragglers);
        self.shared.tell(Event::Ready { slot: self.slot, run: self.run });
        let mut standby = self.shared.parts.shipper.clone().map(|shipper| SpoolShip {
            shipper,
            path: close::spool_path(&self.shared, header.claimed().epoch_id),
            epoch: header.claimed().epoch_id,
            at: 0,
            there: 0,
        });
        let cells_max = u32::try_from(epoch_cells_max(header.claimed().bucket_bits)).unwrap_or(u32::MAX);
        let ended = self.seal(&mut link, cells_max, queue, standby.as_mut()).await;
        if matches!(ended, Ended::Full | Ended::Died) {
            if matches!(ended, Ended::Full) {
                self.shared.has_outgrown(self.slot, header.claimed().bucket_bits);
            }
            // Told before the old epoch is closed: the next one must seal within two seconds (A13).
            self.shared.tell(Event::Lost { slot: self.slot, run: self.run, died: matches!(ended, Ended::Died) });
            // Closing may wait for a store, and nobody is to wait with it.
            self.turn_away(RecorderError::Interrupted);
        }
        let tally = match ended {
            Ended::Asked | Ended::Full => match link.ask(&Ask::Close).await {
                Ok(Tell::Closed(tally)) => Some(tally),
                Ok(_) | Err(LinkBroken) => None,
            },
            Ended::Died => None,
        };
        if tally.is_none() {
            tracing::warn!("a sealer ended without a close: its epoch is closed as orphaned");
        }
        link.gone().await;
        close::close(&self.shared, &header, tally).await;
    }

    fn give_up(&mut self, queue: VecDeque<Group>, logged: bool) {
        self.shared.tell(Event::Failed { slot: self.slot, run: self.run, logged });
        queue.into_iter().for_each(|group| group.finish(Err(RecorderError::Busy)));
        self.turn_away(RecorderError::Busy);
    }

    /// Takes no group any more, and answers those that had come.
    fn turn_away(&mut self, why: RecorderError) {
        self.groups.close();
        while let Ok(group) = self.groups.try_recv() {
            group.finish(Err(why));
        }
    }

    /// Works while reads arrive and wait. `None`: the actor wants no epoch here any more.
    async fn while_reads_wait<W: Future>(
        &mut self,
        mut work: Pin<&mut W>,
        queue: &mut VecDeque<Group>,
    ) -> Option<W::Output> {
        let mut tick = tokio::time::interval(RETRY_PAUSE);
        loop {
            tokio::select! {
                done = work.as_mut() => return Some(done),
                group = self.groups.recv() => queue.push_back(group?),
                _ = tick.tick() => {
                    let now = self.shared.parts.clock.monotonic();
                    let behind = self.shared.parts.shipper.as_ref().is_some_and(Shipper::is_behind);
                    while queue.front().is_some_and(|group| behind || group.waited_too_long(now)) {
                        if let Some(group) = queue.pop_front() {
                            group.finish(Err(RecorderError::Busy));
                        }
                    }
                }
            }
        }
    }

    /// Goes on handing shares to the keepers that were away, as long as the guard lives.
    fn hand_out_the_rest(
        &self,
        header: &Signed<EpochHeader>,
        stragglers: Vec<(Keeper, Vec<u8>)>,
    ) -> tokio_util::sync::DropGuard {
        let over = tokio_util::sync::CancellationToken::new();
        for (keeper, envelope) in stragglers {
            let (over, header) = (over.clone(), header.clone());
            self.shared.tasks.spawn("straggler", async move {
                let hand_over = async {
                    while keeper.deal_share(&header, &envelope).await.is_err() {
                        tokio::time::sleep(STRAGGLER_PAUSE).await;
                    }
                };
                tokio::select! { () = over.cancelled() => {}, () = hand_over => {} }
            });
        }
        over.drop_guard()
    }

    /// Natural group commit: what came in while [`FRAMES_AT_A_TIME`] frames are under way goes into the next one. After `cells_max` cells the epoch
    /// is full.
    async fn seal(
        &mut self,
        link: &mut SealerLink,
        cells_max: u32,
        mut queue: VecDeque<Group>,
        mut standby: Option<&mut SpoolShip>,
    ) -> Ended {
        let mut under_way: VecDeque<UnderWay> = VecDeque::new();
        let (mut asked_to_end, mut is_full, mut refused) = (false, false, None);
        // Sealed, or under way to it.
        let mut cells = 0_u32;
        let shared = Arc::clone(&self.shared);
        let mut cut_off = pin!(shared.cut_off());
        loop {
            while let Ok(group) = self.groups.try_recv() {
                queue.push_back(group);
            }
            if cells >= cells_max && !is_full {
                is_full = true;
                self.groups.close();
            }
            if is_full {
                queue.drain(..).for_each(|group| group.finish(Err(RecorderError::Interrupted)));
            } else if !queue.is_empty() && under_way.len() < FRAMES_AT_A_TIME {
                let batch = take_batch(&mut queue);
                if standby.as_ref().is_some_and(|standby| standby.shipper.is_behind()) {
                    batch.into_iter().for_each(|group| group.finish(Err(RecorderError::Busy)));
                    continue;
                }
                match self.send(link, batch).await {
                    Ok(sent) => {
                        cells = sent.iter().fold(cells, |sum, frame| sum.saturating_add(frame.cells));
                        under_way.extend(sent);
                    }
                    // Dropped: their callers are told that they were interrupted.
                    Err(LinkBroken) => return Ended::Died,
                }
                continue;
            }
            if under_way.is_empty() {
                match (is_full, asked_to_end) {
                    (true, _) => return Ended::Full,
                    (false, true) => return Ended::Asked,
                    (false, false) => {}
                }
                tokio::select! {
                    group = self.groups.recv() => match group {
                        Some(group) => queue.push_back(group),
                        None => asked_to_end = true,
                    },
                    () = link.died() => return Ended::Died,
                    () = &mut cut_off => return Ended::Died,
                }
                continue;
            }
            let told = tokio::select! {
                told = link.hear() => told,
                group = self.groups.recv(), if !asked_to_end && under_way.len() < FRAMES_AT_A_TIME => {
                    match group {
                        Some(group) => queue.push_back(group),
                        None => asked_to_end = true,
                    }
                    continue;
                }
                () = &mut cut_off => return Ended::Died,
            };
            let Some(frame) = under_way.pop_front() else { return Ended::Died };
            refused = match told {
                Ok(Tell::Sealed { cells: sealed, spool_bytes }) if sealed == frame.cells => match &mut standby {
                    Some(standby) => tokio::select! {
                        shipped = standby.ship(spool_bytes) => refused.or(shipped.err()),
                        // A standby may take over: nothing is acknowledged, and the key goes with the sealer.
                        () = &mut cut_off => return Ended::Died,
                    },
                    None => refused,
                },
                Ok(Tell::NotSealed(NotSealed::DiskFull)) => {
                    cells = cells.saturating_sub(frame.cells);
                    Some(RecorderError::Busy)
                }
                Ok(Tell::NotSealed(NotSealed::EpochFull)) => {
                    is_full = true;
                    // Before anybody is told: who comes again waits for the next epoch, and is not interrupted here again and again.
                    self.groups.close();
                    Some(RecorderError::Interrupted)
                }
                Ok(_) | Err(LinkBroken) => return Ended::Died,
            };
            if !frame.last_of.is_empty() {
                let result = refused.take().map_or(Ok(()), Err);
                frame.last_of.into_iter().for_each(|group| group.finish(result));
            }
        }
    }

    /// One batch, in as many frames as it takes; as a rule one.
    async fn send(&self, link: &mut SealerLink, batch: Vec<Group>) -> Result<Vec<UnderWay>, LinkBroken> {
        let late = self.slot.kind == SlotKind::Late;
        let records: Vec<Zeroizing<Vec<u8>>> = batch
            .iter()
            .flat_map(|group| &group.reads)
            .map(|read| {
                let record = if late {
                    Read { flags: read.flags.with(ReadFlags::LATE), ..read.clone() }.to_record()
                } else {
                    read.to_record()
                };
                // The bounds of a plate make the mandatory fields fit.
                record.map(Zeroizing::new).map_err(|_too_long| LinkBroken)
            })
            .collect::<Result<_, _>>()?;
        let mut records = records;
        let mut sent = Vec::new();
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(FRAME_CELLS_MAX));
            let cells = u32::try_from(records.len()).map_err(|_bounded| LinkBroken)?;
            link.send(&Ask::Seal(records)).await?;
            sent.push(UnderWay { cells, last_of: Vec::new() });
            records = rest;
        }
        if let Some(last) = sent.last_mut() {
            last.last_of = batch;
        }
        Ok(sent)
    }
}

/// A frame that the sealer has and has not answered.
struct UnderWay {
    cells: u32,
    /// The groups that end with it: they are durable when this frame and those before it are.
    last_of: Vec<Group>,
}

/// What is new in a spool, and the standby's journal.
struct SpoolShip {
    shipper: Shipper,
    path: PathBuf,
    epoch: EpochId,
    /// Bytes that were handed over.
    at: u64,
    /// Bytes that are known to be in the journal.
    there: u64,
}

impl SpoolShip {
    /// Ships what the sealer has written and synced, which is the spool up to `durable`: behind it the next commit may be half written.
    /// Several frames may share a commit, and then only the first makes a record. What is not known to be in the journal in time is not acknowledged; it may be there
    /// later all the same, which is harmless (I9).
    async fn ship(&mut self, durable: u64) -> Result<(), RecorderError> {
        if durable <= self.there {
            return Ok(());
        }
        let (path, epoch, at) = (self.path.clone(), self.epoch, self.at);
        let read = tokio::task::spawn_blocking(move || new_pieces(&path, epoch, at..durable)).await;
        let Ok(Ok(pieces)) = read else {
            tracing::error!("a spool cannot be read for the standby: its reads are not acknowledged");
            return Err(RecorderError::Busy);
        };
        self.at = self.at.max(durable);
        let shipped = tokio::time::timeout(SHIP_WAIT_MAX, self.shipper.ship(pieces)).await;
        shipped.map_err(|_elapsed| RecorderError::Busy)?.map_err(|_not_shipped| RecorderError::Busy)?;
        self.there = self.at;
        Ok(())
    }
}

/// The bytes `range` of a spool.
fn new_pieces(path: &Path, epoch: EpochId, range: Range<u64>) -> std::io::Result<Vec<Piece>> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut file = file.take(range.end.saturating_sub(range.start));
    let (mut pieces, mut at) = (Vec::new(), range.start);
    while at < range.end {
        let mut bytes = Vec::new();
        let most = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
        if file.by_ref().take(most).read_to_end(&mut bytes)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let next = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        pieces.push(Piece::Spool { epoch, at, bytes });
        at = next;
    }
    Ok(pieces)
}

/// Groups from the front that fit one commit; a group that is larger goes alone.
fn take_batch(queue: &mut VecDeque<Group>) -> Vec<Group> {
    let mut batch: Vec<Group> = Vec::new();
    let mut reads = 0_usize;
    while let Some(group) = queue.pop_front() {
        let with = reads.saturating_add(group.reads.len());
        if !batch.is_empty() && with > FRAME_CELLS_MAX {
            queue.push_front(group);
            break;
        }
        reads = with;
        batch.push(group);
    }
    batch
}

fn not_stored(error: &crate::db::DbError) -> NotDealt {
    tracing::warn!(%error, "an epoch was not dealt");
    NotDealt
}

fn dealt_leaf(header: &EpochHeader) -> LogEntry {
    LogEntry::EpochDealt(EpochDealt {
        owner: header.agency,
        recorder: header.recorder,
        header: header.hash(),
        cap_from: header.cap_from,
        cap_to: header.cap_to,
        destroy_after: header.destroy_after,
        kind: match header.kind {
            EpochKind::Live => entry::EpochKind::Live,
            EpochKind::Late => entry::EpochKind::Late,
            EpochKind::Canary => entry::EpochKind::Canary,
        },
        t: header.threshold.t(),
        n: header.threshold.n(),
    })
}

/// [`deal`], while no standby may be about to take over: from then on this machine must hold no key of an epoch.
async fn deal_while_connected(shared: Arc<Shared>, slot: Slot) -> Result<Receipted, NotDealt> {
    if let Some(shipper) = &shared.parts.shipper {
        shipper.connected().await;
    }
    tokio::select! {
        dealt = deal(Arc::clone(&shared), slot) => dealt,
        () = shared.cut_off() => Err(NotDealt),
    }
}

/// Leaf first, then the sealer starts.
async fn start(shared: Arc<Shared>, receipted: Receipted) -> Result<(SealerLink, Signed<EpochHeader>), NotStarted> {
    let Receipted { mut link, header, receipts, .. } = receipted;
    let parts = &shared.parts;
    let epoch = header.claimed().epoch_id;
    let from = parts.log.size().await.map_err(|_log| NotDealt)?;
    parts.db.epoch_logs_from(epoch, from).await.map_err(|error| not_stored(&error))?;
    let mut logging = pin!(parts.log.append(vec![dealt_leaf(header.claimed())]));
    let logged = tokio::select! {
        logged = logging.as_mut() => logged,
        () = shared.cut_off() => {
            // A standby may close this epoch and say that its key is gone, so it is. What was begun ends all the same.
            link.kill().await;
            logging.await
        }
    };
    match logged {
        Ok(_index) => {}
        Err(NotLogged::Unwritten) => return Err(NotStarted::NotDealt),
        Err(NotLogged::ClockBack) => {
            link.gone().await;
            // It has no leaf and no read, for certain: nothing is left to close.
            parts.db.epoch_never_was(epoch).await.map_err(|error| not_stored(&error))?;
            return Err(NotStarted::NotDealt);
        }
        Err(NotLogged::Unwitnessed) => {
            link.gone().await;
            return Err(NotStarted::Logged(Box::new(header)));
        }
    }
    parts.db.epoch_is(epoch, EpochState::Open).await.map_err(|error| not_stored(&error))?;
    let receipts = receipts.iter().map(Signed::to_bytes).collect();
    match link.ask(&Ask::Receipts(receipts)).await {
        Ok(Tell::Started) => Ok((link, header)),
        other => {
            tracing::warn!(answer = ?other.ok(), "a sealer did not start on its receipts");
            link.gone().await;
            Err(NotStarted::Logged(Box::new(header)))
        }
    }
}

/// Prekeys, a sealer, shares out, receipts in. Dropping the future kills the sealer; nothing was logged then.
async fn deal(shared: Arc<Shared>, slot: Slot) -> Result<Receipted, NotDealt> {
    let parts = &shared.parts;
    let keepers = u8::try_from(shared.keepers.len()).map_err(|_sixteen_at_most| NotDealt)?;
    // Every try uses up prekeys: none where the log would refuse the epoch in the end.
    parts.log.may_append().await.map_err(|_traced| NotDealt)?;
    let prekeys = take_prekeys(&shared, keepers).await?;
    let volume = parts.db.volume(0).await.map_err(|error| not_stored(&error))?;
    let recent = match slot.kind {
        SlotKind::Live => volume.live_cells,
        SlotKind::Late => volume.late_cells,
    };
    let recent = if recent == 0 { shared.settings.cells_expected } else { recent };
    let recent = recent.max(shared.outgrown(slot));
    let rules = &shared.settings.rules;
    let mut run = [0; 16];
    SystemRng.fill_bytes(&mut run);
    let now = Timestamp(shared.now());
    let ask = Ask::Deal(Box::new(Deal {
        device_secret: parts.device_secret.clone(),
        run,
        spool: parts.spool.clone(),
        now,
        recorder: parts.recorder,
        cap_from: Timestamp(slot.cap_from),
        cap_to: Timestamp(rules.window_end(slot.cap_from)),
        kind: slot.kind.epoch_kind(),
        bucket_bits: bucket_bits_for(recent),
        charter: parts.charter.bytes().to_vec(),
        prekeys,
    }));
    let broken = |LinkBroken| {
        tracing::warn!("a sealer ended before its epoch was dealt");
        NotDealt
    };
    let mut link = SealerLink::start(&shared.settings.program).await.map_err(broken)?;
    let told = link.ask(&ask).await.map_err(broken)?;
    let Tell::Dealt { header, envelopes } = told else {
        tracing::error!(answer = ?told, "a sealer refused to deal");
        return Err(NotDealt);
    };
    let value = EpochHeader::decode(&header).map_err(|_malformed| NotDealt)?;
    let header = parts.key.sign(value);
    let log_from = parts.log.size().await.map_err(|_log| NotDealt)?;
    parts.db.epoch_dealt(header.clone(), slot, log_from, now).await.map_err(|error| not_stored(&error))?;
    let (receipts, stragglers) = collect_receipts(&shared, &header, envelopes).await?;
    Ok(Receipted { link, header, receipts, stragglers })
}

async fn take_prekeys(shared: &Shared, keepers: u8) -> Result<Vec<Vec<u8>>, NotDealt> {
    // A prekey has to be valid when the sealer checks it, a moment later.
    const MARGIN_S: u64 = 30;
    let begun = shared.parts.clock.monotonic();
    loop {
        let until = shared.now().saturating_add(MARGIN_S);
        let taken = shared.parts.db.take_prekeys(keepers, until).await.map_err(|error| not_stored(&error))?;
        if let Some(prekeys) = taken {
            return Ok(prekeys);
        }
        if shared.parts.clock.monotonic().saturating_sub(begun) >= WAIT_MAX {
            tracing::warn!("an epoch was not dealt: a keeper's prekeys are used up");
            return Err(NotDealt);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Asks all keepers, again and again; goes on with t after a short wait for the rest. The one dealt epoch is kept however
/// long that takes: dealing anew would use up prekeys while keepers are away.
async fn collect_receipts(
    shared: &Shared,
    header: &Signed<EpochHeader>,
    envelopes: Vec<(KeeperIndex, Vec<u8>)>,
) -> Result<(Vec<Signed<ShareReceipt>>, Vec<(Keeper, Vec<u8>)>), NotDealt> {
    let needed = usize::from(shared.parts.charter.threshold().t());
    let envelopes: BTreeMap<KeeperIndex, Vec<u8>> = envelopes.into_iter().collect();
    let mut asked = FuturesUnordered::new();
    let mut missing = BTreeMap::new();
    for keeper in &shared.keepers {
        let envelope = envelopes.get(&keeper.index).ok_or(NotDealt)?;
        missing.insert(keeper.index, (keeper.clone(), envelope.clone()));
        asked.push(async move {
            let mut traced = false;
            loop {
                match keeper.deal_share(header, envelope).await {
                    Ok(receipt) => return (keeper.index, receipt),
                    Err(error) => {
                        if !traced {
                            error.trace(keeper.index, "share");
                            traced = true;
                        }
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
            }
        });
    }
    let mut receipts = Vec::new();
    while receipts.len() < needed {
        let (index, receipt) = asked.next().await.ok_or(NotDealt)?;
        missing.remove(&index);
        receipts.push(receipt);
    }
    let rest = async {
        while let Some((index, receipt)) = asked.next().await {
            missing.remove(&index);
            receipts.push(receipt);
        }
    };
    if tokio::time::timeout(RECEIPTS_ALL_WAIT, rest).await.is_err() {
        tracing::warn!(receipts = receipts.len(), "an epoch begins without the receipt of every keeper");
    }
    Ok((receipts, missing.into_values().collect()))
}

//! Rounds: all witnesses are asked about one head at a time, because cosignatures of different heads do not add up. A round ends
//! with its quorum, or after a while without it; then the newest head is the next one's. What was appended in between is
//! covered by that head, so the log never waits for its witnesses, only its callers do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockplate_log::{NoteSignature, SignedCheckpoint};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{NoCosignature, Publish, WITNESS_CALL, WitnessPeer, WitnessSet};
use crate::clock::Clock;
use crate::party_log::seconds;
use crate::release::Published;
use crate::shutdown::Tasks;

/// A log that is idle asks again so often, so that its cosignatures stay young.
const REFRESH: Duration = Duration::from_secs(600);
/// First pause after a witness gave nothing; it doubles up to [`BACK_OFF_MAX`].
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// Longest pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// Pause after a witness asked for one.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// Pause after a head could not be published.
const PUBLISH_PAUSE: Duration = Duration::from_secs(1);
/// Questions that one witness gets at once and in a second: below what a witness allows a log (`log.md` section 8).
const QUESTIONS_A_SECOND: u32 = 9;

/// Where whoever owns a log shows its newest head, after each append.
#[derive(Clone, Debug)]
pub struct Heads(watch::Sender<Option<Arc<SignedCheckpoint>>>);

impl Default for Heads {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Heads {
    /// A place where nothing is shown yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows the newest head: durable, and its tiles in place. The head of an empty log is nobody's business.
    pub fn show(&self, head: &SignedCheckpoint) {
        if head.checkpoint().size() > 0 {
            self.0.send_replace(Some(Arc::new(head.clone())));
        }
    }
}

/// The tasks that have a log's heads cosigned and published.
pub struct Cosigner {
    /// The witnesses.
    pub set: WitnessSet,
    /// Folder of the tiles that are served.
    pub public: PathBuf,
    /// What each witness has, as it said before the start.
    pub sizes: Vec<Option<u64>>,
    /// The clock by which cosignatures are judged.
    pub clock: Arc<dyn Clock>,
}

impl core::fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cosigner").field("set", &self.set).finish_non_exhaustive()
    }
}

/// A line of one witness.
struct Line {
    peer: usize,
    head: Arc<SignedCheckpoint>,
    line: NoteSignature,
}

impl Cosigner {
    /// Starts: heads that `heads` shows are cosigned and handed to `publisher`; afterwards `published` is raised.
    pub fn start(self, heads: &Heads, published: Published, publisher: Arc<dyn Publish>, tasks: &Tasks) {
        let Self { set, public, sizes, clock } = self;
        // What was shown before this start is as new as what comes.
        let mut newest = heads.0.subscribe();
        newest.mark_changed();
        let (lines, heard) = mpsc::channel(set.peers().len().max(1).saturating_mul(2));
        let target = watch::Sender::new(None);
        for (at, peer) in set.peers().iter().enumerate() {
            let courier = Courier {
                at,
                peer: peer.clone(),
                old: sizes.get(at).copied().flatten().unwrap_or(0),
                public: public.clone(),
                clock: Arc::clone(&clock),
                target: target.subscribe(),
                lines: lines.clone(),
            };
            let stopping = tasks.stopping().clone();
            tasks.spawn_essential("witness-courier", async move {
                tokio::select! { () = courier.run() => {}, () = stopping.cancelled() => {} }
            });
        }
        let rounds = Rounds {
            set,
            newest,
            target,
            heard,
            _keeps_open: lines,
            lines: Vec::new(),
            is_published: false,
            published,
            publisher,
        };
        tasks.spawn_essential("witness-rounds", rounds.run(tasks.stopping().clone()));
    }
}

struct Rounds {
    set: WitnessSet,
    newest: watch::Receiver<Option<Arc<SignedCheckpoint>>>,
    target: watch::Sender<Option<Arc<SignedCheckpoint>>>,
    heard: mpsc::Receiver<Line>,
    /// So that a log without witnesses does not take their absence for the end.
    _keeps_open: mpsc::Sender<Line>,
    /// Of the target, one a witness.
    lines: Vec<(usize, NoteSignature)>,
    /// Whether the target is.
    is_published: bool,
    published: Published,
    publisher: Arc<dyn Publish>,
}

impl Rounds {
    async fn run(mut self, stopping: CancellationToken) {
        let mut over_at: Option<Instant> = None;
        let mut again_at: Option<Instant> = None;
        loop {
            let over = async |at: Option<Instant>| match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            };
            let mut publish = false;
            tokio::select! {
                () = stopping.cancelled() => return,
                changed = self.newest.changed() => if changed.is_err() { return },
                () = over(over_at) => over_at = None,
                () = over(again_at) => { again_at = None; publish = true; }
                heard = self.heard.recv() => if let Some(line) = heard { publish = self.take(line); },
            }
            if publish && self.publish().await.is_err() {
                again_at = Some(Instant::now() + PUBLISH_PAUSE);
            }
            let is_over = self.is_published || over_at.is_none();
            if is_over && self.next_target() {
                over_at = Some(Instant::now() + WITNESS_CALL.total);
                again_at = None;
                // A log without witnesses has its quorum at once.
                if self.is_quorum() && self.publish().await.is_err() {
                    again_at = Some(Instant::now() + PUBLISH_PAUSE);
                }
            }
        }
    }

    /// Goes on to the newest head, if it is another one.
    fn next_target(&mut self) -> bool {
        let newest = self.newest.borrow_and_update().clone();
        let Some(newest) = newest else { return false };
        let same = self.target.borrow().as_ref().is_some_and(|target| target.checkpoint() == newest.checkpoint());
        if same {
            return false;
        }
        self.lines.clear();
        self.is_published = false;
        self.target.send_replace(Some(newest));
        true
    }

    /// Whether there is something to publish now. Lines of an earlier round are too late.
    fn take(&mut self, Line { peer, head, line }: Line) -> bool {
        let of_target = self.target.borrow().as_ref().is_some_and(|target| target.checkpoint() == head.checkpoint());
        if !of_target {
            return false;
        }
        self.lines.retain(|(other, _)| *other != peer);
        self.lines.push((peer, line));
        self.lines.sort_by_key(|(peer, _)| *peer);
        self.is_quorum()
    }

    fn is_quorum(&self) -> bool {
        let present = |key: &lockplate_log::VerifierKey| {
            let mut peers = self.lines.iter().filter_map(|(at, _)| self.set.peers().get(*at));
            peers.any(|peer| peer.key() == key)
        };
        self.set.is_quorum(&present)
    }

    async fn publish(&mut self) -> Result<(), super::NotPublished> {
        let Some(target) = self.target.borrow().clone() else { return Ok(()) };
        let size = target.checkpoint().size();
        let lines = self.lines.iter().map(|(_, line)| line.clone()).collect();
        self.publisher.publish(target, lines).await.inspect_err(|error| {
            tracing::warn!(%error, "the newest checkpoint waits");
        })?;
        self.is_published = true;
        self.published.raise(size);
        Ok(())
    }
}

/// Asks one witness about each target until it has cosigned it, and again after a while.
struct Courier {
    at: usize,
    peer: WitnessPeer,
    old: u64,
    public: PathBuf,
    clock: Arc<dyn Clock>,
    target: watch::Receiver<Option<Arc<SignedCheckpoint>>>,
    lines: mpsc::Sender<Line>,
}

impl Courier {
    async fn run(mut self) {
        let mut back_off = BACK_OFF_MIN;
        let mut cosigned: Option<(Arc<SignedCheckpoint>, Instant)> = None;
        let mut pace = Pace::new();
        loop {
            let target = self.target.borrow_and_update().clone();
            let due = match (&target, &cosigned) {
                (None, _) => None,
                (Some(target), Some((known, at))) if target.checkpoint() == known.checkpoint() => Some(*at + REFRESH),
                (Some(_), _) => Some(Instant::now()),
            };
            match due {
                None => {
                    if self.target.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Some(at) => tokio::select! {
                    changed = self.target.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        continue;
                    }
                    () = tokio::time::sleep_until(at) => {}
                },
            }
            let Some(head) = target else { continue };
            tokio::time::sleep_until(pace.next()).await;
            let clock = Arc::clone(&self.clock);
            let asked = self.peer.cosign(&head, &mut self.old, &self.public, || seconds(clock.as_ref())).await;
            match asked {
                Ok(line) => {
                    back_off = BACK_OFF_MIN;
                    cosigned = Some((Arc::clone(&head), Instant::now()));
                    if self.lines.send(Line { peer: self.at, head, line }).await.is_err() {
                        return;
                    }
                }
                Err(NoCosignature::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
                Err(error) => {
                    self.trace(&error);
                    tokio::time::sleep(back_off).await;
                    back_off = back_off.saturating_mul(2).min(BACK_OFF_MAX);
                }
            }
        }
    }

    fn trace(&self, error: &NoCosignature) {
        let witness = self.peer.name();
        match error {
            NoCosignature::Lied(_) | NoCosignature::KnowsMore | NoCosignature::Own(_) => {
                tracing::error!(witness, %error, "no cosignature");
            }
            NoCosignature::Peer(_) | NoCosignature::Busy | NoCosignature::Refused(_) => {
                tracing::warn!(witness, %error, "no cosignature");
            }
        }
    }
}

/// When the next question may go out: so many at once, then so many a second.
struct Pace {
    /// Time up to which the questions of the past are paid for.
    paid: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { paid: Instant::now() }
    }

    fn next(&mut self) -> Instant {
        let price = Duration::from_secs(1) / QUESTIONS_A_SECOND;
        let now = Instant::now();
        let credit = Duration::from_secs(1).saturating_sub(price);
        let at = self.paid.checked_sub(credit).unwrap_or(now).max(now);
        self.paid = self.paid.max(now) + price;
        at
    }
}

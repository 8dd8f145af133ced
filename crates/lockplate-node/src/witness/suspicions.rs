//! What a witness does about a checkpoint that does not fit what it stands for. A suspicion, which anybody can make, becomes a proof where
//! the log's own tiles under one signed checkpoint do not begin with the other; then the log is frozen, and what convicts it is kept in a
//! form that everybody can check. One that the tiles explain is dropped. What the tiles do not tell is looked at again when the record grows.

use std::sync::atomic::Ordering;

use lockplate_log::{AddCheckpoint, Refusal, SignedCheckpoint, SignedNote, VerifierKey};
use lockplate_store::witness_files::record_id;

use super::{Inner, StandingError, Watched, Witness};
use crate::follow::evidence::{Evidence, Fork, NotTold};
use crate::party_log::seconds;

/// What two checkpoints that one log signed are to each other.
enum Compared {
    /// Of one log.
    Same,
    /// Not of one log; where their sizes differ with how the larger one begins.
    Forked(Option<Fork>),
    /// The log's tiles do not tell.
    Unknown,
}

impl Witness {
    /// The alarm for a refusal that is evidence, and the look at what it is about. What two roots of one size prove is kept before this
    /// returns.
    pub(super) async fn suspect(&self, asked: &AddCheckpoint, refusal: Refusal, watched: &Watched) {
        let log = watched.key.name();
        tracing::error!(%log, proved = refusal.proves_fork(), "log-fork: the log signed what does not fit what is recorded");
        if refusal.proves_fork() {
            self.hold(asked, watched).await;
        } else {
            watched.suspected.store(true, Ordering::Release);
            self.look(watched);
        }
    }

    /// Holds a body against what this witness stands for.
    pub(super) async fn hold(&self, asked: &AddCheckpoint, watched: &Watched) {
        if let Some(other) = signed_in(asked, &watched.key) {
            self.hold_against(watched, &other, Some(asked.to_bytes())).await;
        }
    }

    /// Looks at the suspicions that are kept against a log, in a task of its own.
    pub(super) fn look(&self, watched: &Watched) {
        let (this, id) = (self.clone(), record_id(watched.key.name()));
        self.inner.tasks.spawn("suspicions", async move {
            let Some(watched) = this.inner.logs.get(&id) else { return };
            // Whoever waits already sees what came in between.
            let Ok(_place) = watched.looks.try_acquire() else { return };
            let _one = watched.looking.lock().await;
            this.look_at_all(watched).await;
        });
    }

    async fn look_at_all(&self, watched: &Watched) {
        watched.suspected.store(false, Ordering::Release);
        let log = watched.key.name().clone();
        let kept = self.blocking(move |inner| inner.files.suspicions(&log).map_err(|_os| StandingError::Disk)).await;
        let mut unsettled = kept.is_err();
        for body in kept.unwrap_or_default() {
            let asked = AddCheckpoint::parse(&body).ok();
            let Some(other) = asked.and_then(|asked| signed_in(&asked, &watched.key)) else { continue };
            match self.hold_against(watched, &other, Some(body.clone())).await {
                Compared::Forked(_) => return,
                Compared::Unknown => unsettled = true,
                Compared::Same => {
                    let log = watched.key.name().clone();
                    tracing::warn!(%log, "the log does extend what is recorded: somebody sent a wrong proof");
                    let drop =
                        move |inner: &Inner| inner.files.drop_suspicion(&log, &body).map_err(|_os| StandingError::Disk);
                    unsettled |= self.blocking(drop).await.is_err();
                }
            }
        }
        if unsettled {
            watched.suspected.store(true, Ordering::Release);
        }
    }

    /// A log published what its copy here does not fit.
    pub(super) async fn doubt(&self, log: &VerifierKey) {
        let Some(watched) = self.inner.logs.get(&record_id(log.name())) else { return };
        let Some(tiles) = &watched.tiles else { return };
        let Ok(note) = tiles.checkpoint().await else { return };
        if let Ok(signed) = SignedCheckpoint::parse(&note, log) {
            self.hold_against(watched, &signed, None).await;
        }
    }

    /// Compares a checkpoint that the log signed with those that this witness has cosigned or serves. Where they cannot be of one log, what
    /// convicts it is kept and it is frozen.
    async fn hold_against(&self, watched: &Watched, other: &SignedCheckpoint, body: Option<Vec<u8>>) -> Compared {
        let id = record_id(watched.key.name());
        let known = self.blocking(move |inner| inner.known(inner.logs.get(&id).ok_or(StandingError::Unknown)?)).await;
        let known = known.unwrap_or_default();
        let mut held = if known.is_empty() { Compared::Unknown } else { Compared::Same };
        for known in known {
            match self.compare(watched, &known, other).await {
                Compared::Same => {}
                Compared::Unknown => held = Compared::Unknown,
                Compared::Forked(fork) => {
                    let seen = seconds(self.inner.clock.as_ref());
                    let evidence = Evidence::fork(&watched.key, (&known, other), fork.as_ref(), seen);
                    self.convict(watched, evidence, body).await;
                    return Compared::Forked(fork);
                }
            }
        }
        held
    }

    async fn convict(&self, watched: &Watched, evidence: Evidence, body: Option<Vec<u8>>) {
        let log = watched.key.name().clone();
        tracing::error!(%log, "log-fork: the log signed two histories: it is frozen");
        let convicted = self.blocking(move |inner| {
            // What cannot be kept is no reason to cosign on.
            let kept = evidence.keep(&inner.files.evidence_folder(&log)).map(drop);
            let frozen = match body {
                Some(body) => inner.files.freeze_on(&log, &body),
                None => inner.files.freeze(&log),
            };
            frozen.and(kept).map_err(|_os| StandingError::Disk)
        });
        if convicted.await.is_err() {
            // Essential and ended: the role stops with a failure.
            self.inner.tasks.spawn_essential("witness-files", async {});
        }
    }

    /// The tiles under the larger checkpoint decide, the log's own or those of the copy here: they are proved against it.
    async fn compare(&self, watched: &Watched, one: &SignedCheckpoint, other: &SignedCheckpoint) -> Compared {
        let (one, other) = (one.checkpoint(), other.checkpoint());
        if one.size() == other.size() {
            return if one.root() == other.root() { Compared::Same } else { Compared::Forked(None) };
        }
        let (small, large) = if one.size() < other.size() { (one, other) } else { (other, one) };
        let (small, large) = (small.clone(), large.clone());
        let shown = match &watched.tiles {
            Some(tiles) => tiles.fork(large.clone(), small.clone()).await,
            None => Err(NotTold),
        };
        let looked = match (shown, self.inner.mirror.clone()) {
            (Err(NotTold), Some(mirror)) => {
                let copied = move || {
                    let read = mirror.tiles(large.origin());
                    Fork::under(large, &small, read)
                };
                tokio::task::spawn_blocking(copied).await.unwrap_or(Err(NotTold))
            }
            (shown, _) => shown,
        };
        match looked {
            Ok(Some(fork)) => Compared::Forked(Some(fork)),
            Ok(None) => Compared::Same,
            Err(NotTold) => Compared::Unknown,
        }
    }
}

/// The checkpoint of a body, with the log's line alone: whoever sent it may have added lines of his own.
fn signed_in(asked: &AddCheckpoint, key: &VerifierKey) -> Option<SignedCheckpoint> {
    let note = asked.note();
    let lines = note.signatures().iter().filter(|line| line.is_by(key)).take(1).cloned().collect();
    let bare = SignedNote::new(note.text(), lines).ok()?;
    SignedCheckpoint::from_note(bare, key).ok()
}

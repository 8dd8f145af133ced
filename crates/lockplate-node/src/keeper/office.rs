//! The keeper's one desk: everything that reads and changes its state, one visitor after the other, on a blocking thread. It
//! never waits for the network. What a visitor asks for stands in the modules beside this one; this one makes sure that a
//! failed disk ends the process instead of being retried (reliability.md section 1, I3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use lockplate_core::authorisation::Withdrawn;
use lockplate_core::charter::{Charter, CharterFile, LeafWait};
use lockplate_core::directory::Trust;
use lockplate_core::entry::PaperStatus;
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::id::{EpochId, KeeperIndex};
use lockplate_core::keeper::{ClosedEpoch, Keeper};
use lockplate_core::passkey::Passkey;
use lockplate_core::vocabulary::DeclarationName;
use lockplate_core::{ErrorKind, Timestamp};
use lockplate_log::{NoteSignature, SignedCheckpoint};
use lockplate_store::log_files::FileLogStorage;
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::directories::Directories;
use super::kek::{KekError, KekTable};
use super::notice::CodesNow;
use super::orders::PendingTrust;
use super::policies::Policies;
use super::requests::Filing;
use crate::clock::Clock;
use crate::cosign::{Heads, NotPublished, Publish};
use crate::db::{Db, DbError, DbErrorKind};
use crate::problem::ProblemKind;
use crate::release::{Releaser, Unreleased};

/// Visitors that may wait at a time; more get 503.
const QUEUE_MAX: usize = 256;

/// Why a visitor gets no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// A refusal to tell the caller.
    Problem(ProblemKind),
    /// The database.
    Db(DbError),
    /// Memory and disk can no longer be assumed to agree: the process stops.
    Fatal,
}

impl Fault {
    /// The same for another caller of the same turn.
    pub(super) const fn again(&self) -> Self {
        match self {
            Self::Problem(kind) => Self::Problem(*kind),
            Self::Db(error) => Self::Db(*error),
            Self::Fatal => Self::Fatal,
        }
    }
}

impl From<ProblemKind> for Fault {
    fn from(kind: ProblemKind) -> Self {
        Self::Problem(kind)
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<KekError> for Fault {
    fn from(error: KekError) -> Self {
        match error {
            error if error.must_stop() => Self::Fatal,
            KekError::Unknown => ProblemKind::EpochDestroyed.into(),
            KekError::Durable(_) | KekError::Full => ProblemKind::Unavailable.into(),
            KekError::Read(_) | KekError::NoGeneration | KekError::Torn => ProblemKind::Internal.into(),
        }
    }
}

impl From<lockplate_core::Error> for Fault {
    fn from(error: lockplate_core::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Malformed => ProblemKind::Malformed,
            ErrorKind::Invalid
            | ErrorKind::KeeperMisbehaved
            | ErrorKind::OwnerMisbehaved
            | ErrorKind::TooFewKeepers { .. } => ProblemKind::Invalid,
            ErrorKind::EpochDestroyed => ProblemKind::EpochDestroyed,
            ErrorKind::Unavailable => ProblemKind::Unavailable,
            ErrorKind::Internal => ProblemKind::Internal,
        };
        tracing::debug!(what = error.what(), "refused");
        kind.into()
    }
}

/// Leaves whose consequence is not stored yet, because a process ended, or a write failed, in between.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// Request leaves without stored answer: request digest, leaf index.
    pub(super) requests: BTreeMap<[u8; 32], u64>,
    /// Evaluation leaves without stored answer: grant digest, leaf index.
    pub(super) evaluations: BTreeMap<[u8; 32], u64>,
    /// Approval leaves of requests that still wait in the database: request digest, leaf index.
    pub(super) approvals: BTreeMap<[u8; 32], u64>,
    /// Declarations whose leaf is there: digest of the object.
    pub(super) declarations: BTreeSet<[u8; 32]>,
    /// Headers whose `share.received` leaf is there.
    pub(super) received: BTreeSet<[u8; 32]>,
    /// Headers whose `share.destroyed` leaf is there.
    pub(super) destroyed: BTreeSet<[u8; 32]>,
    /// Request leaves whose `opening.published` leaf is there: index of the first, index of the second.
    pub(super) published: BTreeMap<u64, u64>,
    /// Ranges of the request leaves of months whose `openings.erased` leaf is there.
    pub(super) erased: BTreeSet<(u64, u64)>,
    /// Orders to delay notice whose `embargo` leaf is there: digest of the object.
    pub(super) delays: BTreeSet<[u8; 32]>,
    /// `paper` leaves of emergencies: request digest and what the leaf says, leaf index.
    pub(super) papers: BTreeMap<([u8; 32], PaperStatus), u64>,
}

/// Everything a visitor may touch.
pub(super) struct Office {
    pub(super) keeper: Keeper<FileLogStorage>,
    pub(super) kek: KekTable,
    pub(super) opening_key: HpkeSecretKey,
    pub(super) trust: Trust,
    /// Passkeys of this keeper's people by their ids, which the charter names.
    pub(super) passkeys: BTreeMap<[u8; 32], Passkey>,
    /// The trust list that waits for its time.
    pub(super) pending_trust: Option<PendingTrust>,
    /// Papers and keys that no longer count.
    pub(super) withdrawn: Withdrawn,
    pub(super) policies: Policies,
    pub(super) declaration_texts: BTreeMap<DeclarationName, [u8; 32]>,
    pub(super) factors: BTreeSet<String>,
    /// Requests that one agency may file in an hour.
    pub(super) requests_an_hour: u32,
    pub(super) prekeys_max: u32,
    pub(super) unfinished: Unfinished,
    /// Epochs whose papers were verified by this process.
    pub(super) closed: BTreeMap<EpochId, Arc<ClosedEpoch>>,
    /// Directories that were verified by this process.
    pub(super) directories: Directories,
    /// What the second clock said last, as its distance to this one; the later of both decides what is expired.
    pub(super) second_clock_ahead_s: u64,
    /// Owners' codes answered in the running minute.
    pub(super) codes_now: CodesNow,
    /// Where the newest head is shown to whoever has it cosigned.
    pub(super) heads: Heads,
    /// What strangers can see.
    pub(super) releaser: Releaser,
}

impl Office {
    pub(super) fn charter(&self) -> &Charter {
        self.keeper.charter().charter()
    }

    pub(super) const fn charter_file(&self) -> &CharterFile {
        self.keeper.charter()
    }

    pub(super) const fn index(&self) -> KeeperIndex {
        self.keeper.index()
    }

    /// Its place and its name for people.
    pub(super) fn named(&self) -> (KeeperIndex, String) {
        let name = self.charter().keeper(self.index()).map(|entry| entry.name.clone());
        (self.index(), name.unwrap_or_default())
    }

    /// The later of the two clocks: expired by either is expired (reliability.md section 1).
    pub(super) const fn latest(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(self.second_clock_ahead_s))
    }

    /// Has the newest head cosigned, and then published. Nobody waits for it here.
    pub(super) fn publish(&self) {
        self.heads.show(self.keeper.log().head());
    }

    /// A value that rests on everything logged so far.
    pub(super) fn resting_on_all<T>(&self, value: T) -> Unreleased<T> {
        Unreleased::on_log(value, self.keeper.log().size())
    }

    /// Turns an error of a step that appends to the log into what the process must do.
    pub(super) fn log_fault(&self, error: lockplate_core::Error) -> Fault {
        let poisoned = matches!(self.keeper.log().inclusion_proof(0, 0), Err(lockplate_log::Error::Poisoned));
        tracing::error!(%error, "nothing is appended to the own log");
        if poisoned { Fault::Fatal } else { error.into() }
    }
}

/// The door to the one desk. Cheap to clone.
#[derive(Clone)]
pub(super) struct Desk {
    inner: Arc<Inner>,
}

/// A filing that waits for the next turn, and where its answer is told.
struct Queued {
    filing: Filing,
    reply: oneshot::Sender<Result<Unreleased<Vec<u8>>, ProblemKind>>,
}

struct Inner {
    office: Mutex<Office>,
    filings: Mutex<Vec<Queued>>,
    db: Db,
    clock: Arc<dyn Clock>,
    places: Semaphore,
    broken: CancellationToken,
    releaser: Releaser,
    wait: LeafWait,
}

impl core::fmt::Debug for Desk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Desk").field("broken", &self.inner.broken.is_cancelled()).finish_non_exhaustive()
    }
}

impl Desk {
    pub(super) fn new(office: Office, db: Db, clock: Arc<dyn Clock>) -> Self {
        let (places, broken) = (Semaphore::new(QUEUE_MAX), CancellationToken::new());
        let (releaser, wait) = (office.releaser.clone(), office.charter().keeper_leaves);
        let office = Mutex::new(office);
        let filings = Mutex::default();
        Self { inner: Arc::new(Inner { office, filings, db, clock, places, broken, releaser, wait }) }
    }

    /// Cancelled once nothing can be answered any more and the process has to end.
    pub(super) fn broken(&self) -> &CancellationToken {
        &self.inner.broken
    }

    /// Runs `work` alone, on a blocking thread, and then waits until the leaves that its value rests on are confirmed by others:
    /// the way for everything that leaves the keeper. The desk is free while the caller waits.
    pub(super) async fn answer<T, F>(&self, work: F) -> Result<T, ProblemKind>
    where
        T: Send + 'static,
        F: FnOnce(&mut Office, &mut Connection, Timestamp) -> Result<Unreleased<T>, Fault> + Send + 'static,
    {
        let held = self.visit(work).await?;
        self.inner.releaser.release(held, self.inner.wait).await
    }

    /// The clock of the keeper.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.clock)
    }

    /// Files a request, together with all others that wait for their turn, and waits until its leaf is confirmed. There are never more
    /// than [`QUEUE_MAX`], so one turn takes them all and each caller's own turn finds its filing or an answer.
    pub(super) async fn file(&self, filing: Filing) -> Result<Vec<u8>, ProblemKind> {
        let _place = self.inner.places.try_acquire().map_err(|_full| ProblemKind::Unavailable)?;
        let (reply, told) = oneshot::channel();
        self.inner.filings.lock().map_err(|_poisoned| ProblemKind::Unavailable)?.push(Queued { filing, reply });
        let desk = self.clone();
        let turn = self.inside(move |office, db, now| {
            let queued = desk.inner.filings.lock().map_err(|_poisoned| Fault::Fatal)?.drain(..).collect::<Vec<_>>();
            let (filings, replies): (Vec<_>, Vec<_>) =
                queued.into_iter().map(|Queued { filing, reply }| (filing, reply)).unzip();
            let mut end = Ok(());
            for (reply, answer) in replies.into_iter().zip(office.file_requests(db, filings, now)) {
                let told = answer.map_err(|fault| match fault {
                    Fault::Problem(kind) => kind,
                    Fault::Db(error) => desk.failed(error),
                    Fault::Fatal => {
                        end = Err(Fault::Fatal);
                        ProblemKind::Unavailable
                    }
                });
                let _gone = reply.send(told);
            }
            end
        });
        let turn = turn.await;
        // Somebody else's turn may have answered; without an answer, the own turn says why.
        let held = told.await.map_err(|_dropped| turn.err().unwrap_or(ProblemKind::Unavailable))??;
        self.inner.releaser.release(held, self.inner.wait).await
    }

    /// Runs `work` alone, on a blocking thread. It runs to its end even if the caller goes away. For what does not leave the
    /// keeper; [`answer`](Self::answer) is for the rest.
    pub(super) async fn visit<T, F>(&self, work: F) -> Result<T, ProblemKind>
    where
        T: Send + 'static,
        F: FnOnce(&mut Office, &mut Connection, Timestamp) -> Result<T, Fault> + Send + 'static,
    {
        let _place = self.inner.places.try_acquire().map_err(|_full| ProblemKind::Unavailable)?;
        self.inside(work).await
    }

    /// As [`visit`](Self::visit), for the keeper's own tasks, which are few and must not find the queue full.
    async fn inside<T, F>(&self, work: F) -> Result<T, ProblemKind>
    where
        T: Send + 'static,
        F: FnOnce(&mut Office, &mut Connection, Timestamp) -> Result<T, Fault> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let done = self.inner.db.call(move |connection| {
            // The turn of the database is the turn of the office: nobody else can hold this lock now.
            let mut office = inner.office.lock().map_err(|_poisoned| DbError::new(DbErrorKind::Fatal))?;
            let now = super::now(inner.clock.as_ref());
            match office.come_into_force(connection, now).and_then(|()| work(&mut office, connection, now)) {
                Ok(value) => Ok(Ok(value)),
                Err(Fault::Problem(kind)) => Ok(Err(kind)),
                Err(Fault::Db(error)) => Err(error),
                Err(Fault::Fatal) => Err(DbError::new(DbErrorKind::Fatal)),
            }
        });
        match done.await {
            Ok(answer) => answer,
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: DbError) -> ProblemKind {
        match error.kind() {
            DbErrorKind::Fatal | DbErrorKind::Foreign => {
                tracing::error!(%error, "the keeper's state cannot be relied on any more: the process stops");
                self.inner.broken.cancel();
                ProblemKind::Unavailable
            }
            DbErrorKind::Full | DbErrorKind::Busy => ProblemKind::Unavailable,
            DbErrorKind::Constraint => ProblemKind::Conflicting,
            DbErrorKind::NoRow | DbErrorKind::Internal => {
                tracing::error!(%error, "a statement failed: internal error, our bug");
                ProblemKind::Internal
            }
        }
    }
}

impl Publish for Desk {
    fn publish(
        &self,
        head: Arc<SignedCheckpoint>,
        cosignatures: Vec<NoteSignature>,
    ) -> BoxFuture<'_, Result<(), NotPublished>> {
        let published = self.inside(move |office, _db, _now| Ok(office.keeper.publish(&head, &cosignatures)?));
        Box::pin(async move { published.await.map_err(|_traced| NotPublished) })
    }
}

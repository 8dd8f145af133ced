//! The desk of a requesting agency: it signs officers' sessions, files their requests with every keeper of the owner, collects
//! approvals into a grant and sealed answers under it, and logs disclosures. It must never see a plate, a blind or a read, and
//! must never act before what it acts on is on stable storage. Requests come from [`crate::search`]; answers go back there.

mod disclosure;
mod filing;
mod hold;
mod plan;
mod store;

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::stream::{self, StreamExt as _};
use lockplate_core::Timestamp;
use lockplate_core::authorisation::{SessionBody, SessionStatement, verify_session};
use lockplate_core::charter::{AgencyPage, CharterFile};
use lockplate_core::directory::{Declaration, VerifiedDirectory};
use lockplate_core::filing::{DeskCall, DeskCallKind};
use lockplate_core::hotlist::handover::AlertsAsked;
use lockplate_core::id::b64url;
use lockplate_core::limits::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, OPENING_BYTES_MAX};
use lockplate_core::request::FiledRequest;
use lockplate_core::sign::{Signed, SigningKey, VerifyKey};
use lockplate_core::signed::{Header, Signable as _, SignedObject, VersionOne};
use lockplate_log::NoteSigner;
use lockplate_oprf::Secret;
use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, Semaphore};
use zeroize::Zeroizing;

use crate::api::{
    B64, CulpritNamed, DeskFiled, DeskKeeper, DeskLooked, DeskState, DeskStatus, Done, ObjectFiled, SessionAsked,
    SessionGiven,
};
use crate::client::{AddressError, CallLimits, PeerClient, PeerError, PeerTrust};
use crate::clock::Clock;
use crate::db::{Db, DbError};
use crate::http::BoundedJson;
use crate::officers::{AgencyIdentity, Roster, RosterError, check_passcode, sign_directory};
use crate::party_log::PartyLog;
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;
use crate::shutdown::{ExitKind, Tasks};
use crate::standby::DbShip;

/// Bytes of a filed request: 24 Openings and 16 attachments at their bounds, in base64.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a keeper's answer: an evaluation at its bound, in base64.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bad passcodes until a key is locked, and for how many seconds (`authorisation.md` section 8).
const TRIES_MAX: u32 = 5;
const LOCK_SECONDS: i64 = 600;
/// RFC 8176: a key held in software, whose signature the request itself carries, and a passcode.
pub(crate) const FACTORS: [&str; 2] = ["swk", "pwd"];
/// A directory is signed anew after a day; changed officers are noticed within seconds ("within 60 s", section 5).
const DIRECTORY_RENEW_SECONDS: i64 = 86_400;
const DIRECTORY_LOOK: Duration = Duration::from_secs(5);
/// Keepers that get the directory at a time: those that are away hold a place for the seconds that a call may take.
const PUSHES_AT_A_TIME: usize = 64;
/// Calls to one keeper at a time. Each keeper has its own count, so one that hangs holds up nobody else's.
const CALLS_A_KEEPER: usize = 8;
/// Requests that are worked on at a time: a hundred officers who each ask a hundred owners.
const UNDER_WAY_MAX: usize = 10_000;
/// Times a directory is pushed at once, where the one before was overtaken meanwhile.
const PUSHES_MAX: usize = 3;

/// What a desk needs to know. Keys come from files of mode 0600 that the caller has read.
#[derive(Debug)]
pub struct DeskSettings {
    /// Folder of `desk.db`.
    pub data: PathBuf,
    /// The roster of officers ([`Roster`]).
    pub officers: PathBuf,
    /// Who the agency is.
    pub agency: AgencyIdentity,
    /// Signs the directory; in the owners' trust lists.
    pub agency_key: NoteSigner,
    /// Signs session statements; named in the directory.
    pub desk_key: NoteSigner,
    /// The same key, for the slips of filings and calls for alerts.
    pub slip_key: SigningKey,
    /// Origin of the desk's log.
    pub log_origin: String,
    /// Charters of the owners that may be asked, each pinned by the caller.
    pub owners: Vec<CharterFile>,
    /// Signed declarations (`.auth`) to file with them.
    pub declarations: Vec<Vec<u8>>,
    /// Ships `desk.db` to a standby.
    pub ship: Option<DbShip>,
    /// `desk.db` is another machine's, and the list of officers this one's.
    pub inherited: bool,
}

/// Why a desk cannot start.
#[derive(Debug)]
pub enum DeskError {
    /// `desk.db`.
    Db(DbError),
    /// An address in a charter.
    Address(AddressError),
    /// A declaration is none.
    Declaration,
}

impl DeskError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Db(error) => error.exit_kind(),
            Self::Address(error) => error.exit_kind(),
            Self::Declaration => ExitKind::Config,
        }
    }
}

impl fmt::Display for DeskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Db(error) => error.fmt(f),
            Self::Address(error) => error.fmt(f),
            Self::Declaration => f.write_str("a declaration is not a signed declaration"),
        }
    }
}

impl core::error::Error for DeskError {}

/// A step that failed inside.
#[derive(Debug, Clone, Copy)]
enum DeskFault {
    Db(DbError),
    Core,
    /// A row, owner or keeper that must be there is not.
    Gone,
}

impl fmt::Display for DeskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Db(error) => error.fmt(f),
            Self::Core => f.write_str("a stored structure is not well-formed"),
            Self::Gone => f.write_str("a request, owner or keeper is not known any more"),
        }
    }
}

impl From<DbError> for DeskFault {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<lockplate_core::Error> for DeskFault {
    fn from(_: lockplate_core::Error) -> Self {
        Self::Core
    }
}

impl From<DeskFault> for Problem {
    fn from(fault: DeskFault) -> Self {
        Self::new(match fault {
            DeskFault::Db(_) => ProblemKind::Unavailable,
            DeskFault::Core | DeskFault::Gone => ProblemKind::Internal,
        })
    }
}

/// What is true of a keeper at this moment only.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    busy: bool,
    down: bool,
}

/// An owner and the clients of its keepers.
struct Owner {
    charter: CharterFile,
    clients: Vec<(u8, KeeperClient)>,
}

/// The way to one keeper, for a bounded number of callers.
struct KeeperClient {
    client: PeerClient,
    turns: Semaphore,
}

impl KeeperClient {
    /// POSTs when it is its turn.
    async fn post_json<B: Serialize + Sync, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, PeerError> {
        let _turn = self.turns.acquire().await;
        self.client.post_json(path, body, None).await
    }
}

impl Owner {
    fn new(charter: CharterFile) -> Result<Self, DeskError> {
        let limits = CallLimits { body_bytes: ANSWER_BYTES_MAX, ..CallLimits::default() };
        let client = |url: &str, pin| PeerClient::new(url, PeerTrust::Pinned(pin), limits);
        let clients = charter.charter().keepers.iter();
        let clients = clients.map(|keeper| {
            let client = client(&keeper.url, keeper.tls_pin)?;
            Ok((keeper.index.0, KeeperClient { client, turns: Semaphore::new(CALLS_A_KEEPER) }))
        });
        let clients = clients.collect::<Result<_, _>>().map_err(DeskError::Address)?;
        Ok(Self { charter, clients })
    }

    fn client(&self, place: u8) -> Option<&KeeperClient> {
        self.clients.iter().find(|(own, _)| *own == place).map(|(_, client)| client)
    }

    fn key(&self, place: u8) -> Option<VerifyKey> {
        filing::keeper_key(self, place)
    }
}

/// A request that is being worked on.
struct Job {
    /// By place; 0 is the grant.
    flags: Vec<Flags>,
    again: bool,
    wake: Arc<Notify>,
}

struct Inner {
    agency: AgencyIdentity,
    agency_key: NoteSigner,
    desk_key: NoteSigner,
    slip_key: SigningKey,
    log_origin: String,
    roster: Roster,
    owners: BTreeMap<[u8; 16], Owner>,
    declarations: Vec<(Option<[u8; 16]>, Vec<u8>)>,
    db: Db,
    log: PartyLog,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    jobs: Mutex<BTreeMap<[u8; 32], Job>>,
    /// (owner, keeper, serial) that have the directory.
    pushed: Mutex<BTreeSet<([u8; 16], u8, i64)>>,
    /// (owner, keeper, serial) that were refused, so that it is said once.
    refused: Mutex<BTreeSet<([u8; 16], u8, i64)>>,
    /// Kinds of requests of which the last needed nobody's yes.
    by_rule: Mutex<BTreeSet<filing::Kind>>,
    /// The list of officers as this process found it.
    roster_at_start: Mutex<Option<[u8; 32]>>,
    inherited: bool,
    /// It was said that the list is not the other machine's.
    told: AtomicBool,
    /// One directory is signed at a time: two of one serial would split the keepers for a day.
    directing: tokio::sync::Mutex<()>,
    /// Disclosures are logged one after the other.
    disclosing: tokio::sync::Mutex<()>,
}

/// The desk. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk(..)")
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Maps of plain values: a panic between two writes leaves none half-made.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Opens `desk.db`, goes on with unfinished requests, and keeps the owners' keepers supplied with the directory. Blocks
    /// while the database is opened; call it inside a tokio runtime. `log` is the desk's own log.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn start(
        settings: DeskSettings,
        log: PartyLog,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, DeskError> {
        let db = Db::open_shipped(&settings.data.join("desk.db"), store::MIGRATIONS, settings.ship)
            .map_err(DeskError::Db)?;
        db.end_with(tasks);
        let mut owners = BTreeMap::new();
        for charter in settings.owners {
            owners.insert(charter.charter().owner.id.0, Owner::new(charter)?);
        }
        let declarations = settings
            .declarations
            .into_iter()
            .map(|object| {
                let declaration: Declaration = SignedObject::parse(&object)
                    .and_then(|signed| signed.read())
                    .map_err(|_form| DeskError::Declaration)?;
                Ok((declaration.body.owner, object))
            })
            .collect::<Result<_, _>>()?;
        let desk = Self {
            inner: Arc::new(Inner {
                agency: settings.agency,
                agency_key: settings.agency_key,
                desk_key: settings.desk_key,
                slip_key: settings.slip_key,
                log_origin: settings.log_origin,
                roster: Roster::at(&settings.officers),
                owners,
                declarations,
                db,
                log,
                clock,
                tasks: tasks.clone(),
                jobs: Mutex::default(),
                pushed: Mutex::default(),
                by_rule: Mutex::default(),
                roster_at_start: Mutex::default(),
                told: AtomicBool::new(false),
                inherited: settings.inherited,
                refused: Mutex::default(),
                directing: tokio::sync::Mutex::default(),
                disclosing: tokio::sync::Mutex::default(),
            }),
        };
        tasks.spawn_essential("desk", desk.clone().keep_going());
        Ok(desk)
    }

    /// Its database.
    pub(crate) fn db(&self) -> &Db {
        &self.inner.db
    }

    fn now_i64(&self) -> i64 {
        self.inner.clock.now_ms().div_euclid(1_000)
    }

    fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.now_i64()).unwrap_or(0))
    }

    /// True for a session statement of this desk for this request, still fresh: another one would take its place in vain.
    fn gave(&self, session: &B64, digest: &[u8; 32]) -> bool {
        let factors = FACTORS.map(str::to_owned).into();
        let key = self.inner.desk_key.verifier_key();
        SignedObject::parse(&session.0)
            .is_ok_and(|object| verify_session(&object, key, digest, &factors, self.now()).unwrap_or(false))
    }

    fn owner(&self, id: [u8; 16]) -> Option<&Owner> {
        self.inner.owners.get(&id)
    }

    /// Resumes what a restart left, then looks after the directory until the role stops.
    async fn keep_going(self) {
        let now = self.now_i64();
        match self.inner.db.call(move |connection| store::unfinished(connection, now)).await {
            Ok(digests) => digests.into_iter().for_each(|digest| self.wake(digest)),
            Err(error) => tracing::error!(%error, "unfinished requests cannot be read"),
        }
        let stopping = self.inner.tasks.stopping().clone();
        loop {
            let now = self.now_i64();
            if let Err(error) =
                self.inner.db.transaction(move |connection| store::forget_openings(connection, now)).await
            {
                tracing::warn!(%error, "sealed openings that nobody needs any more are still here");
            }
            let pushes = self.pushes().await;
            tokio::select! {
                () = stopping.cancelled() => return,
                () = stream::iter(pushes).buffer_unordered(PUSHES_AT_A_TIME).collect::<()>() => {}
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(DIRECTORY_LOOK) => {}
            }
        }
    }

    /// A push for each keeper that has not the directory in force.
    async fn pushes(&self) -> Vec<impl Future<Output = ()> + Send + '_> {
        let serial = match self.directory().await {
            Ok(directory) => directory.serial,
            Err(fault) => {
                tracing::error!(%fault, "the directory of officers cannot be signed");
                return Vec::new();
            }
        };
        let pushed = locked(&self.inner.pushed);
        let keepers = self
            .inner
            .owners
            .iter()
            .flat_map(|(id, owner)| owner.clients.iter().map(move |(place, _)| (*id, owner, *place)));
        let missing = keepers.filter(|(id, _, place)| !pushed.contains(&(*id, *place, serial)));
        missing.map(|(_, owner, place)| self.push_to(owner, place)).collect()
    }

    fn wake(&self, digest: [u8; 32]) {
        let mut jobs = locked(&self.inner.jobs);
        if let Some(job) = jobs.get_mut(&digest) {
            job.again = true;
            job.wake.notify_one();
            return;
        }
        jobs.insert(digest, Job { flags: vec![Flags::default(); 17], again: false, wake: Arc::default() });
        drop(jobs);
        let desk = self.clone();
        self.inner.tasks.spawn("request", async move { desk.drive(digest).await });
    }

    /// Whether one more request may be worked on; one that is under way already may come again.
    fn has_room(&self, digest: &[u8; 32]) -> bool {
        let jobs = locked(&self.inner.jobs);
        jobs.len() < UNDER_WAY_MAX || jobs.contains_key(digest)
    }

    async fn woken(&self, digest: &[u8; 32]) {
        let wake = locked(&self.inner.jobs).get(digest).map(|job| Arc::clone(&job.wake));
        match wake {
            Some(wake) => wake.notified().await,
            None => core::future::pending().await,
        }
    }

    /// True if nobody woke the job since it planned last; then it is over.
    fn leave(&self, digest: &[u8; 32]) -> bool {
        let mut jobs = locked(&self.inner.jobs);
        match jobs.get_mut(digest) {
            Some(job) if job.again => {
                job.again = false;
                false
            }
            Some(_) | None => {
                jobs.remove(digest);
                true
            }
        }
    }

    fn forget(&self, digest: &[u8; 32]) {
        locked(&self.inner.jobs).remove(digest);
    }

    fn flag(&self, digest: &[u8; 32], place: u8, change: impl FnOnce(&mut Flags)) {
        if let Some(flags) =
            locked(&self.inner.jobs).get_mut(digest).and_then(|job| job.flags.get_mut(usize::from(place)))
        {
            change(flags);
        }
    }

    fn flags(&self, digest: &[u8; 32]) -> Vec<Flags> {
        locked(&self.inner.jobs).get(digest).map(|job| job.flags.clone()).unwrap_or_default()
    }

    /// The person of an active officer whose passcode this is; the key was proved by the caller.
    async fn with_passcode(&self, key: [u8; 32], passcode: Zeroizing<String>) -> Result<String, Problem> {
        let roster = self.inner.roster.clone();
        let find = tokio::task::spawn_blocking(move || roster.find(&key));
        let officer =
            find.await.map_err(|_panicked| ProblemKind::Internal)?.map_err(|_roster| ProblemKind::Unavailable)?;
        let now = self.now_i64();
        if officer.is_some() {
            let begin = move |connection: &rusqlite::Transaction<'_>| {
                store::begin_try(connection, &key, now, (TRIES_MAX, LOCK_SECONDS))
            };
            if let Some(locked) = self.inner.db.transaction(begin).await.map_err(DeskFault::Db)? {
                return Err(
                    Problem::new(ProblemKind::Rate).with_retry_after_s(u32::try_from(locked).unwrap_or(u32::MAX))
                );
            }
        }
        let person = officer.as_ref().filter(|officer| officer.active).map(|officer| officer.person.clone());
        let check = tokio::task::spawn_blocking(move || check_passcode(officer.as_ref(), &passcode));
        let fits = check.await.map_err(|_panicked| ProblemKind::Internal)?;
        let person = person.filter(|_| fits).ok_or(ProblemKind::NotSignedIn)?;
        self.inner.db.transaction(move |connection| store::end_try(connection, &key)).await.map_err(DeskFault::Db)?;
        Ok(person)
    }

    /// True for an officer whose call and passcode these are: the two factors of a shift at hot lists and alerts
    /// ([`crate::shift`]).
    pub(crate) async fn admits(&self, key: [u8; 32], call: &B64, passcode: Zeroizing<String>) -> Result<(), Problem> {
        if !is_called(call, key, [0; 32], DeskCallKind::SignIn, self.now()) {
            return Err(ProblemKind::NotSignedIn.into());
        }
        self.with_passcode(key, passcode).await.map(drop)
    }

    /// Signs a call for the alerts on a list of this agency, and the directory in which the key that signs stands.
    pub(crate) async fn ask_for_alerts(&self, asked: AlertsAsked) -> Result<(B64, B64), Problem> {
        Ok((B64(self.inner.slip_key.sign(asked).to_bytes()), self.signed_directory().await?))
    }

    /// The directory in force, as other agencies verify it.
    pub(crate) async fn signed_directory(&self) -> Result<B64, Problem> {
        Ok(B64(self.directory().await?.object))
    }

    /// Who the agency is.
    pub(crate) fn agency(&self) -> &AgencyIdentity {
        &self.inner.agency
    }

    /// The own officers, as the directory in force names them.
    pub(crate) async fn officers(&self) -> Result<VerifiedDirectory, Problem> {
        let object = SignedObject::parse(&self.directory().await?.object).map_err(DeskFault::from)?;
        let own = &self.inner.agency;
        let known = AgencyPage {
            id: own.id,
            name: own.name.clone(),
            state: own.state,
            level: own.level,
            desk_log: None,
            url: String::new(),
            tls_pin: [0; 32],
        };
        let keys = [self.inner.agency_key.verifier_key().clone()];
        Ok(VerifiedDirectory::verify(&object, &known, &keys, None, self.now()).map_err(DeskFault::from)?)
    }

    /// The directory in force; signed anew when officers changed or a day is over.
    async fn directory(&self) -> Result<store::DirectoryRow, DeskFault> {
        let _turn = self.inner.directing.lock().await;
        let roster = self.inner.roster.clone();
        let officers =
            tokio::task::spawn_blocking(move || roster.officers()).await.map_err(|_panicked| DeskFault::Gone)?;
        let officers = officers.map_err(|_roster| DeskFault::Core)?;
        let mut hash = Sha256::new();
        for officer in &officers {
            // Not the passcode: it is nobody's business but the desk's.
            let public = (&officer.person, &officer.keys, officer.trained_until, officer.active, &officer.roles);
            hash.update(serde_json::to_vec(&public).unwrap_or_default());
        }
        let hash: [u8; 32] = hash.finalize().into();
        // An older list must not bring back whom the machine that was taken over from has suspended: it counts once it is changed here.
        let is_as_at_the_start = *locked(&self.inner.roster_at_start).get_or_insert(hash) == hash;
        let now = self.now_i64();
        let last = self.inner.db.call(|connection| store::directory(connection)).await?;
        let last_serial = last.as_ref().map_or(0, |last| last.serial);
        if let Some(last) = &last
            && last.roster == hash
            && (last.issued..last.issued.saturating_add(DIRECTORY_RENEW_SECONDS)).contains(&now)
        {
            return Ok(last.clone());
        }
        if self.inner.inherited
            && is_as_at_the_start
            && let Some(last) = last
            && last.roster != hash
        {
            if !self.inner.told.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    "officers.json of this machine is not the list that the other machine signed last, whose directory stays in force: copy \
                     it from there, or change an officer here"
                );
            }
            return Ok(last);
        }
        // The clock as serial: it rises even where the database was lost.
        let serial = last_serial.saturating_add(1).max(now);
        let object = sign_directory(
            &self.inner.agency,
            &officers,
            (u64::try_from(serial).unwrap_or(0), self.now()),
            &self.inner.log_origin,
            self.inner.desk_key.verifier_key(),
            &self.inner.agency_key,
            &mut SystemRng,
        )
        .map_err(|_too_many: RosterError| DeskFault::Core)?;
        let row = store::DirectoryRow { serial, issued: now, roster: hash, object };
        self.inner
            .db
            .transaction(move |connection| store::replace_directory(connection, row, last_serial))
            .await
            .map_err(DeskFault::Db)
    }

    /// Gives a keeper the directory and the declarations, if it does not have them.
    async fn push_to(&self, owner: &Owner, place: u8) {
        let Some(client) = owner.client(place) else { return };
        let id = owner.charter.charter().owner.id.0;
        let mut last = None;
        for _overtaken in 0..PUSHES_MAX {
            let directory = match self.directory().await {
                Ok(directory) => directory,
                Err(fault) => return tracing::error!(%fault, "the directory of officers cannot be signed"),
            };
            let entry = (id, place, directory.serial);
            if last == Some(directory.serial) || locked(&self.inner.pushed).contains(&entry) {
                return;
            }
            last = Some(directory.serial);
            let body = ObjectFiled { object: B64(directory.object) };
            match client.post_json::<_, Done>("/v1/directories", &body).await {
                Ok(Done {}) => {
                    if self.push_declarations(client, id, place).await {
                        locked(&self.inner.pushed).insert(entry);
                    }
                    return;
                }
                // Perhaps a newer one was there first: look whether there is one. Nothing is marked, so it is tried again.
                Err(PeerError::Problem(problem)) if problem.kind().status() < 500 => {
                    if locked(&self.inner.refused).insert(entry) {
                        let slug = problem.kind().slug();
                        tracing::warn!(keeper = place, slug, "a keeper does not take the directory");
                    }
                }
                Err(error) => return tracing::debug!(keeper = place, %error, "a keeper has no directory yet"),
            }
        }
    }

    /// False if the keeper has to be told again.
    async fn push_declarations(&self, client: &KeeperClient, owner: [u8; 16], place: u8) -> bool {
        for (named, object) in &self.inner.declarations {
            if named.is_some_and(|named| named != owner) {
                continue;
            }
            let body = ObjectFiled { object: B64(object.clone()) };
            match client.post_json::<_, Done>("/v1/declarations", &body).await {
                Ok(Done {}) => {}
                // Said no: it will say so again; a request shows it to the officer.
                Err(PeerError::Problem(problem))
                    if problem.kind().status() < 500 && problem.kind() != ProblemKind::Rate =>
                {
                    let slug = problem.kind().slug();
                    tracing::warn!(keeper = place, slug, "a keeper does not take a declaration");
                }
                Err(error) => {
                    tracing::debug!(keeper = place, %error, "a keeper has no declaration yet");
                    return false;
                }
            }
        }
        true
    }

    /// Loads a request for whoever proves to hold the key that filed it. Anything wrong is the 404 of an unknown request: a
    /// digest is public, what hangs on it is not.
    async fn called(&self, digest: [u8; 32], call: &B64, kind: DeskCallKind) -> Result<(), Problem> {
        let loaded = self.load(digest).await?.ok_or(ProblemKind::NotFound)?;
        let filed = FiledRequest::from_bytes(&loaded.row.filed).map_err(DeskFault::from)?;
        if is_called(call, filed.request.claimed().officer_key, digest, kind, self.now()) {
            Ok(())
        } else {
            Err(ProblemKind::NotFound.into())
        }
    }

    async fn status(&self, digest: [u8; 32]) -> Result<DeskStatus, Problem> {
        let loaded = self.load(digest).await?.ok_or(ProblemKind::NotFound)?;
        let owner = self.owner(loaded.row.owner).ok_or(ProblemKind::NotFound)?;
        let planned = self.plan(owner, &loaded, &self.flags(&digest))?;
        let state = filing::shown_state(planned.state, loaded.row.is_done());
        let mut evaluations = Vec::new();
        let mut keepers = Vec::new();
        for keeper in loaded.keepers {
            let entry = owner.charter.charter().keeper(lockplate_core::id::KeeperIndex(keeper.place));
            keepers.push(DeskKeeper {
                index: keeper.place,
                name: entry.map(|entry| entry.name.clone()).unwrap_or_default(),
                answer: keeper.answer,
                problem: keeper.problem,
            });
            // One that was called wrong stays listed: only the officer's client can judge, and it may judge again.
            evaluations.extend(keeper.evaluation.map(|bytes| (keeper.place, B64(bytes))));
        }
        Ok(DeskStatus { state, keepers, grant: loaded.row.grant.map(B64), evaluations })
    }
}

/// The desk's doors.
pub fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/v1/desk/sessions", post(sessions))
        .route("/v1/desk/requests", post(requests).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
        .route("/v1/desk/requests/{digest}/look", post(look))
        .route("/v1/desk/requests/{digest}/disclosure", post(disclosure::disclosure))
        .route("/v1/desk/requests/{digest}/hold", post(hold::hold))
        .route("/v1/desk/requests/{digest}/culprits", post(culprits))
        .with_state(desk)
}

fn array<const N: usize>(bytes: &B64) -> Result<[u8; N], ProblemKind> {
    bytes.0.as_slice().try_into().map_err(|_length| ProblemKind::Malformed)
}

fn digest_of_path(text: &str) -> Result<[u8; 32], ProblemKind> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_hex| ProblemKind::NotFound)?;
    Ok(digest)
}

/// True for a fresh call of this kind about this request under this key.
fn is_called(call: &B64, key: [u8; 32], request_digest: [u8; 32], kind: DeskCallKind, now: Timestamp) -> bool {
    Signed::<DeskCall>::from_bytes(&call.0).is_ok_and(|signed| {
        signed
            .verify(&VerifyKey(key))
            .is_ok_and(|call| call.request_digest == request_digest && call.kind == kind && call.is_fresh(now))
    })
}

/// Key file and passcode: two factors, the first proved by the call: without it a stranger could use up an officer's tries. The tries are counted before they are judged, so that many at once count as many.
async fn sessions(
    State(desk): State<Desk>,
    BoundedJson(asked): BoundedJson<SessionAsked>,
) -> Result<Json<SessionGiven>, Problem> {
    let (key, request_digest) = (array::<32>(&asked.officer_key)?, array::<32>(&asked.request_digest)?);
    let passcode = Zeroizing::new(asked.passcode);
    if !is_called(&asked.call, key, request_digest, DeskCallKind::Session, desk.now()) {
        return Err(ProblemKind::NotSignedIn.into());
    }
    let person = desk.with_passcode(key, passcode).await?;
    let signer = &desk.inner.desk_key;
    let name = signer.verifier_key().name().as_str().to_owned();
    let statement = SessionStatement {
        header: Header { v: VersionOne, nonce: nonce(), issued: desk.now(), issuer: name.clone() },
        body: SessionBody {
            provider: name,
            subject: b64url(&Sha256::digest(person.as_bytes())),
            acr: String::new(),
            amr: FACTORS.map(str::to_owned).into(),
            auth_time: desk.now(),
            request_digest,
        },
    };
    let session = statement.sign(&[signer]).map_err(|_core| ProblemKind::Internal)?;
    Ok(Json(SessionGiven { session: B64(session) }))
}

fn nonce() -> [u8; 16] {
    *Secret::<16>::random(&mut SystemRng).expose_secret()
}

async fn requests(
    State(desk): State<Desk>,
    BoundedJson(body): BoundedJson<DeskFiled>,
) -> Result<Json<DeskStatus>, Problem> {
    let filed = FiledRequest::from_bytes(&body.filed.0).map_err(|_form| ProblemKind::Malformed)?;
    let request = filed.verify().map_err(|_signature| ProblemKind::Invalid)?;
    let digest = filed.request.signed_hash();
    let owner = desk.owner(request.owner_agency.0).ok_or(ProblemKind::Invalid)?;
    let recipients = owner.charter.charter().keepers.len().saturating_add(owner.charter.charter().auditors.len());
    let too_long = |limit: usize| move |one: &B64| one.0.len() > limit;
    if body.openings.iter().any(too_long(OPENING_BYTES_MAX))
        || body.attachments.len() > ATTACHMENTS_MAX
        || body.attachments.iter().chain(&body.session).any(too_long(ATTACHMENT_BYTES_MAX))
    {
        return Err(ProblemKind::TooLarge.into());
    }
    let roster = desk.inner.roster.clone();
    let key = request.officer_key;
    let find = tokio::task::spawn_blocking(move || roster.find(&key));
    let officer = find.await.map_err(|_panicked| ProblemKind::Internal)?.map_err(|_roster| ProblemKind::Unavailable)?;
    if !officer.is_some_and(|officer| officer.active) {
        return Err(ProblemKind::NotSignedIn.into());
    }
    if body.session.as_ref().is_some_and(|session| !desk.gave(session, &digest)) {
        return Err(ProblemKind::NotSignedIn.into());
    }
    let not_after = i64::try_from(request.not_after.0).unwrap_or(i64::MAX);
    if request.requester_agency != desk.inner.agency.id
        || body.openings.len() != recipients
        || not_after <= desk.now_i64()
    {
        return Err(ProblemKind::Invalid.into());
    }
    if !desk.has_room(&digest) {
        return Err(ProblemKind::Unavailable.into());
    }
    // What opens a plate travels in the Openings: a disclosure that comes here would be written down in clear.
    if body.attachments.iter().any(|one| SignedObject::parse(&one.0).is_err()) {
        return Err(Problem::new(ProblemKind::Malformed).with_pointer("/attachments"));
    }
    let row = store::RequestRow {
        owner: request.owner_agency.0,
        filed: body.filed.0,
        openings: serde_json::to_string(&body.openings).map_err(|_our_type| ProblemKind::Internal)?,
        attachments: serde_json::to_string(&body.attachments).map_err(|_our_type| ProblemKind::Internal)?,
        session: body.session.map(|B64(bytes)| bytes),
        not_after,
        grant: None,
        claimed: None,
        register: None,
    };
    let places: Vec<u8> = owner.clients.iter().map(|(place, _)| *place).collect();
    desk.inner
        .db
        .transaction(move |connection| store::insert(connection, &digest, &row, &places))
        .await
        .map_err(DeskFault::Db)?;
    desk.wake(digest);
    // Only that it was taken: a filed request gets about, so a repeat must show no more than the first time. The rest is for `look`.
    Ok(Json(DeskStatus { state: DeskState::Filing, keepers: Vec::new(), grant: None, evaluations: Vec::new() }))
}

async fn look(
    State(desk): State<Desk>,
    Path(digest): Path<String>,
    BoundedJson(looked): BoundedJson<DeskLooked>,
) -> Result<Json<DeskStatus>, Problem> {
    let digest = digest_of_path(&digest)?;
    desk.called(digest, &looked.call, DeskCallKind::Look).await?;
    desk.status(digest).await.map(Json)
}

/// Asks one more keeper. Nothing is deleted.
async fn culprits(
    State(desk): State<Desk>,
    Path(digest): Path<String>,
    BoundedJson(named): BoundedJson<CulpritNamed>,
) -> Result<Json<Done>, Problem> {
    let digest = digest_of_path(&digest)?;
    desk.called(digest, &named.call, DeskCallKind::Culprit).await?;
    let changed = desk
        .inner
        .db
        .transaction(move |connection| {
            Ok(connection.execute(
                "UPDATE keeper SET evaluating = 2 WHERE digest = ?1 AND place = ?2 AND evaluating = 1",
                params![digest, named.keeper],
            )?)
        })
        .await
        .map_err(DeskFault::Db)?;
    if changed > 0 {
        tracing::warn!(keeper = named.keeper, "an officer's client says that a keeper's evaluation is wrong");
        desk.wake(digest);
    }
    Ok(Json(Done {}))
}

#[cfg(test)]
mod tests;

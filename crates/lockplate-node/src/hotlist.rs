//! Hot lists at the recorder: a list is registered by its steward, its files are read, decided, logged and only then matched, beside the
//! sealing of reads (`hotlists.md` sections 3 to 5). Entries of extracts are in memory only. Hits go to [`crate::alerts`]; what an entry, a
//! load or a hit is stands in `lockplate_core::hotlist`, how files are read in `lockplate_intake::hotlist_file`.
//!
//! Order of a load: signatures → policy, class by class → set → leaf in the log, cosigned → numbers in `agency.db` → in force.

mod doors;
mod fetch;
pub mod law;
mod loading;
mod matcher;
mod people;
mod settings;
pub(crate) mod store;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use axum::body::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::directory::Directory;
use lockplate_core::entry::{HotlistLeaf, ListClass, ListKind, LogEntry};
use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey};
use lockplate_core::facts::OfficerFacts;
use lockplate_core::hotlist::kept::{Kept, KeptLoad, open_kept, seal_kept};
use lockplate_core::hotlist::load::{HoldReason, LoadOutcome, LoadRefusal, Loaded, PastLoad, TwoPeople, retired};
use lockplate_core::hotlist::matching::{Marks, canary, is_overdue, is_too_old};
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::hotlist::steward::{ListConfig, LoadOrder, OrderedDelivery, steward_digests};
use lockplate_core::id::AgencyId;
use lockplate_core::person::ByPerson;
use lockplate_core::sign::VerifyKey;
use lockplate_core::signed::SignedObject;
use lockplate_core::vocabulary::Role;
use lockplate_core::wire::th;
use lockplate_intake::hotlist_file::Template;
use lockplate_oprf::Secret;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

pub use doors::{HEADER_ORDERS, ListRegistered, orders_value};
pub use matcher::{Matcher, SEEN_WAITING_MAX};
pub use settings::{Fetched, HotlistTable, PullTable, check as check_tables};

use crate::agency_db::AgencyDb;
use crate::alerts::Marking;
use crate::api::B64;
use crate::clock::Clock;
use crate::db::{Db, DbError};
use crate::party_log::{NotLogged, PartyLog, seconds};
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;
use crate::shift::Shifts;
use crate::shutdown::{ExitKind, Tasks};
use law::{Acted, ListLaw};
use loading::{Judged, NotRead};
use matcher::InForce;
use people::Party;
use store::{ListRow, LoadRow};

/// Lists of one recorder.
pub const LISTS_MAX: usize = 64;
/// Pieces of a file that wait for its parser.
const PIECES_MAX: usize = 16;
/// How often places of cameras are read again, and lists looked after.
const TICK: Duration = Duration::from_secs(10);
/// How often the canary of a list flies (section 4).
const CANARY_SECONDS: u64 = 3_600;
/// How long it may take.
const CANARY_MAX: Duration = Duration::from_secs(60);
const DAY_SECONDS: u64 = 86_400;

/// What hot lists are made of.
pub struct HotListParts {
    /// The charter.
    pub charter: Arc<CharterFile>,
    /// The rules.
    pub law: Arc<ListLaw>,
    /// Officers who are signed in.
    pub shifts: Shifts,
    /// `agency.db`.
    pub db: AgencyDb,
    /// The recorder's log.
    pub log: PartyLog,
    /// What is kept is sealed with it.
    pub key: HpkeSecretKey,
    /// Compares.
    pub matcher: Matcher,
    /// Lists that are fetched.
    pub fetched: Vec<Fetched>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The role's tasks.
    pub tasks: Tasks,
}

impl fmt::Debug for HotListParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HotListParts(..)")
    }
}

/// The hot lists of a recorder. Cheap to clone.
#[derive(Clone)]
pub struct HotLists(Arc<Inner>);

impl fmt::Debug for HotLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HotLists(..)")
    }
}

struct Inner {
    charter: Arc<CharterFile>,
    law: Arc<ListLaw>,
    shifts: Shifts,
    db: AgencyDb,
    log: PartyLog,
    key: HpkeSecretKey,
    public: HpkePublicKey,
    matcher: Matcher,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    index_key: u64,
    id_key: [u8; 32],
    lists: RwLock<BTreeMap<[u8; 16], Arc<List>>>,
    /// Lists are registered one after the other.
    registering: tokio::sync::Mutex<()>,
}

/// A registered list.
struct List {
    row: ListRow,
    config: ListConfig,
    steward: [u8; 32],
    template: Option<Template>,
    marks: Arc<Mutex<Marks>>,
    /// One load at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    note: Mutex<Note>,
}

/// What is said of a list on the health page.
#[derive(Clone, Debug, Default)]
struct Note {
    /// The last load that was not taken, and why.
    refused: Option<&'static str>,
    canary_at: u64,
    canary: Option<bool>,
}

/// How a load came to the recorder.
enum Brought {
    /// By people who signed for the file.
    Ordered { order: LoadOrder, signers: Vec<(OfficerFacts, BTreeSet<Role>)>, orders: Vec<Vec<u8>> },
    /// From where the steward's list is fetched.
    Fetched { delivery: OrderedDelivery },
    /// From `agency.db`, after a restart: logged before.
    Kept { order: Option<LoadOrder>, signers: Vec<(OfficerFacts, BTreeSet<Role>)> },
}

/// One class of a load, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassReport {
    /// The class.
    pub class: String,
    /// In the list after the load.
    pub accepted: u64,
    /// Of them new.
    pub added: u64,
    /// Gone.
    pub removed: u64,
    /// Of a class that is not matched here.
    pub dropped: u64,
    /// Refused one by one.
    pub refused: u64,
}

/// What became of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadReport {
    /// Name of the list.
    pub list: String,
    /// `live`, `held` or `refused`.
    pub state: String,
    /// Why it is held or refused, in words.
    pub why: Vec<String>,
    /// Number of the load; 0 where it was refused.
    pub sequence: u64,
    /// Entries of the list after it.
    pub entries: u64,
    /// By class.
    pub classes: Vec<ClassReport>,
    /// Refused entries by reason, in words.
    pub refusals: BTreeMap<String, u64>,
    /// Entries whose end was brought forward to the longest life of their class.
    pub cut: u64,
    /// What somebody must be told, in words.
    pub alarms: Vec<String>,
}

/// `GET /v1/hotlists`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListsHealth {
    /// The lists, by name.
    pub lists: Vec<ListHealth>,
    /// Reads since the start that were compared with no list, because too many waited.
    pub not_compared: u64,
}

/// A list on the health page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListHealth {
    /// Its name.
    pub list: String,
    /// Its id in the log, hexadecimal.
    pub id: String,
    /// What its steward signed.
    pub config: B64,
    /// `extract`, `custom` or `amber`.
    pub kind: String,
    /// `live`, `absent`, `overdue`, `too old`, `silent` or `retired`.
    pub state: String,
    /// Number of the load in force.
    pub sequence: u64,
    /// Unix seconds at which its source made it.
    pub produced_at: u64,
    /// Entries.
    pub entries: u64,
    /// Entries by class.
    pub classes: BTreeMap<String, u64>,
    /// Why the last file was not taken.
    pub refused: Option<String>,
}

/// The desk of another agency whose list is matched here.
pub(crate) struct ListDesk {
    /// Signs what it asks.
    pub(crate) key: VerifyKey,
    /// Of the directory in which the key stands.
    pub(crate) serial: u64,
    /// Hash of the own charter: what it asks of this recorder names it.
    pub(crate) charter: [u8; 32],
}

/// Why hot lists do not start.
#[derive(Debug)]
pub enum HotListError {
    /// The database.
    Db(DbError),
    /// The key.
    Core(lockplate_core::Error),
    /// No thread.
    Thread(std::io::Error),
}

impl HotListError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Db(cause) => cause.exit_kind(),
            Self::Core(_) => ExitKind::Config,
            Self::Thread(_) => ExitKind::Unavailable,
        }
    }
}

impl fmt::Display for HotListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Db(cause) => cause.fmt(f),
            Self::Core(cause) => write!(f, "the key of kept lists cannot be used: {cause}"),
            Self::Thread(_) => f.write_str("the system gives no thread to compare reads on"),
        }
    }
}

impl core::error::Error for HotListError {}

impl From<DbError> for HotListError {
    fn from(cause: DbError) -> Self {
        Self::Db(cause)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl List {
    fn of(row: ListRow) -> Option<Self> {
        let signed = ByPerson::<ListConfig>::from_bytes(&row.config).ok()?;
        let template = match &row.template {
            Some(text) => Some(Template::parse(text).ok()?),
            None => None,
        };
        Some(Self {
            config: signed.claimed().clone(),
            steward: *signed.claimed_key(),
            template,
            row,
            marks: Arc::default(),
            turn: Arc::default(),
            note: Mutex::default(),
        })
    }
}

impl HotLists {
    /// Puts in force what is kept, and begins to fetch the rest. Reads are compared from now on.
    ///
    /// # Errors
    /// [`HotListError`].
    pub async fn start(parts: HotListParts) -> Result<Self, HotListError> {
        let public = parts.key.public_key().map_err(HotListError::Core)?;
        let secret = Secret::<32>::random(&mut SystemRng);
        let (index, _) = secret
            .expose_secret()
            .split_first_chunk::<8>()
            .ok_or(HotListError::Core(lockplate_core::Error::internal("32 bytes begin with 8")))?;
        // The same after a restart: what is known of an entry hangs on its id.
        let id_key = th("list-ids", &[parts.key.seed().expose_secret()]);
        let lists = Self(Arc::new(Inner {
            charter: parts.charter,
            law: parts.law,
            shifts: parts.shifts,
            db: parts.db,
            log: parts.log,
            key: parts.key,
            public,
            matcher: parts.matcher,
            clock: parts.clock,
            tasks: parts.tasks.clone(),
            index_key: u64::from_be_bytes(*index),
            id_key,
            lists: RwLock::default(),
            registering: tokio::sync::Mutex::default(),
        }));
        for row in store::lists(lists.db()).await? {
            let name = row.name.clone();
            match List::of(row) {
                Some(list) => lists.restore(Arc::new(list)).await?,
                None => tracing::error!(list = name, "a registered hot list cannot be read: it is not matched"),
            }
        }
        lists.refresh_places().await;
        parts.tasks.spawn_essential("hot lists", lists.clone().keep_time());
        for fetched in parts.fetched {
            parts.tasks.spawn_essential("hot list fetch", lists.clone().fetch(fetched));
        }
        Ok(lists)
    }

    fn db(&self) -> &Db {
        self.0.db.db()
    }

    fn now(&self) -> Timestamp {
        Timestamp(seconds(self.0.clock.as_ref()))
    }

    fn list(&self, list: &[u8; 16]) -> Option<Arc<List>> {
        self.0.lists.read().unwrap_or_else(PoisonError::into_inner).get(list).cloned()
    }

    fn named(&self, name: &str) -> Option<Arc<List>> {
        let lists = self.0.lists.read().unwrap_or_else(PoisonError::into_inner);
        lists.values().find(|list| list.config.name == name && !list.config.retired).cloned()
    }

    fn put(&self, list: Arc<List>) {
        let mut lists = self.0.lists.write().unwrap_or_else(PoisonError::into_inner);
        lists.insert(list.config.settings.list, list);
    }

    fn own(&self) -> AgencyId {
        self.0.charter.charter().owner.id
    }

    /// The agency whose list it is, with its people.
    async fn party(&self, list: &List) -> Result<Party, Problem> {
        if list.config.agency == self.own() {
            return Ok(Party::own(self.0.shifts.officers().await?));
        }
        let directory = list.row.directory.as_ref().ok_or(ProblemKind::NotSignedIn)?;
        Party::other(self.0.charter.charter(), directory, self.now()).ok_or_else(|| ProblemKind::NotSignedIn.into())
    }

    /// The desk of the agency whose list it is, by the directory that it shows: its own, valid now, and no older than the one that it
    /// registered the list with. None for everybody else, the own agency included.
    pub(crate) fn desk_of(&self, list: &[u8; 16], directory: &[u8]) -> Option<ListDesk> {
        let list = self.list(list).filter(|list| list.config.agency != self.own())?;
        let registered =
            SignedObject::parse(list.row.directory.as_ref()?).and_then(|object| object.read::<Directory>());
        let party = Party::other(self.0.charter.charter(), directory, self.now())?;
        let (serial, least) = (party.directory.serial(), registered.ok()?.body.serial);
        if party.agency.id != list.config.agency || serial < least {
            return None;
        }
        Some(ListDesk { key: party.desk_key()?, serial, charter: self.0.charter.hash() })
    }

    /// What is known of single entries, and the loads that live with the recorder.
    async fn restore(&self, list: Arc<List>) -> Result<(), HotListError> {
        let id = list.config.settings.list;
        if let Some(sealed) = store::marks(self.db(), id).await? {
            match open_kept(&self.0.key, &id, Kept::Marks, &sealed).and_then(|plain| Marks::from_bytes(&plain)) {
                Ok(marks) => *locked(&list.marks) = marks,
                Err(_torn) => {
                    tracing::error!(list = list.config.name, "what was known of its entries cannot be opened")
                }
            }
        }
        self.put(Arc::clone(&list));
        if list.config.retired {
            return Ok(());
        }
        for (kept, sealed) in store::kept(self.db(), id).await? {
            if !self.load_kept(&list, kept, &sealed).await {
                tracing::error!(list = list.config.name, "a kept load cannot be put in force again");
            }
        }
        Ok(())
    }

    async fn load_kept(&self, list: &Arc<List>, kept: Kept, sealed: &[u8]) -> bool {
        let Ok(plain) = open_kept(&self.0.key, &list.config.settings.list, kept, sealed).map(Zeroizing::new) else {
            return false;
        };
        let Ok(KeptLoad { file, orders }) = KeptLoad::from_bytes(&plain) else { return false };
        let Ok(party) = self.party(list).await else { return false };
        let signed: Option<Vec<_>> = orders.iter().map(|bytes| ByPerson::<LoadOrder>::from_bytes(bytes).ok()).collect();
        let Some(signed) = signed else { return false };
        // Whoever left the agency since signs for nothing any more: such entries are refused, as they would be today.
        let signers = signed.iter().filter_map(|order| party.signer(order)).collect();
        let order = signed.first().map(|order| order.claimed().clone());
        let (send, pieces) = mpsc::channel(PIECES_MAX);
        let whole = Bytes::from(file.to_vec());
        if send.send(Some(whole)).await.is_err() || send.send(Some(Bytes::new())).await.is_err() {
            return false;
        }
        let report = self.load(list, Brought::Kept { order, signers }, pieces).await;
        report.is_ok_and(|report| report.state == "live")
    }

    /// Takes one file. Pieces end with an empty one; a channel that closes before is a file that broke off.
    async fn load(
        &self,
        list: &Arc<List>,
        brought: Brought,
        pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<LoadReport, Problem> {
        let _one_at_a_time = list.turn.lock().await;
        // It may have ended, or been signed anew, while this load waited for its turn.
        if self.list(&list.config.settings.list).is_none_or(|now| now.config != list.config) {
            return Err(ProblemKind::Conflicting.into());
        }
        let (id, kind, now) = (list.config.settings.list, list.config.settings.kind, self.now());
        let party = self.party(list).await?;
        let history = store::loads(self.db(), id).await.map_err(down)?;
        let before = self.0.matcher.list(&id);
        let (acted, delivery, ordered) = self.acting(list, &party, &brought, now)?;
        let officer = acted.officer.key_id;
        let (live_elsewhere, new_today) = if kind == SetKind::Custom && !brought.is_kept() {
            self.custom_counts(&id, officer, now).await?
        } else {
            (0, 0)
        };
        let is_kept = brought.is_kept();
        let supervised = acted.approvers.iter().any(|(_, roles)| roles.contains(&Role::Supervisor));
        let past = |row: &LoadRow| PastLoad {
            entries: row.entries,
            classes: row.classes.iter().filter(|(_, n)| *n > 0).map(|(class, _)| *class).collect(),
        };
        let past: Vec<PastLoad> = history.iter().map(past).collect();
        let lost: BTreeMap<ListClass, u64> =
            history.last().map(|row| row.classes.iter().copied().collect()).unwrap_or_default();
        let file = ordered.as_ref().map(|order| order.file);
        let work = {
            let (list, law, before) = (Arc::clone(list), Arc::clone(&self.0.law), before.clone());
            let (index_key, id_key) = (self.0.index_key, self.0.id_key);
            let mut pieces = pieces;
            move || {
                let judged = Judged {
                    config: &list.config,
                    template: list.template.as_ref(),
                    delivery,
                    law: &law,
                    acted,
                    steward: list.steward,
                    supervised,
                    before: before.as_deref(),
                    history: &past,
                    lost: &lost,
                    live_elsewhere,
                    new_today,
                    index_key,
                    id_key,
                    now,
                };
                loading::read(&judged, &mut pieces, file)
            }
        };
        let read = tokio::task::spawn_blocking(work).await.map_err(|_panicked| ProblemKind::Internal)?;
        let read = match read {
            Ok(read) => read,
            Err(why) => return Ok(refused(list, why)),
        };
        let (loaded, held) = match read.outcome {
            LoadOutcome::Ready(loaded) => (*loaded, Vec::new()),
            // What is kept was released before it was logged.
            LoadOutcome::Held(held) if is_kept => (held.into_loaded(), Vec::new()),
            LoadOutcome::Held(held) => {
                let reasons: Vec<HoldReason> = held.reasons().iter().copied().collect();
                match (*held).release(brought.two_people(&party), false) {
                    Ok(loaded) => (loaded, Vec::new()),
                    Err(held) => (held.into_loaded(), reasons),
                }
            }
        };
        if !held.is_empty() {
            locked(&list.note).refused = Some("it waits for people to release it");
            let why = held.iter().map(|reason| reason.label().to_owned()).collect();
            return Ok(LoadReport { state: "held".to_owned(), why, ..report_of(list, &loaded) });
        }
        // The same file once more, after a restart: it is in the log. An earlier one would bring back what was taken off.
        let sequence = loaded.set().stamp().sequence;
        let last = history.last().filter(|last| last.sequence >= sequence);
        let is_same = |last: &LoadRow| last.sequence == sequence && last.file == read.file && is_within(&loaded, last);
        let is_logged = is_kept || last.is_some_and(is_same);
        if !is_logged && last.is_some() {
            return Ok(refused(list, NotRead::Load(LoadRefusal::Gap)));
        }
        let report = report_of(list, &loaded);
        if !is_logged {
            self.log_and_keep(list, &loaded, &brought, officer, (read.file, &read.bytes, read.is_full)).await?;
        }
        // What is kept is in parts: the first of them does not know the entries of the later ones.
        if !is_kept {
            loaded.confirm(&mut locked(&list.marks));
            self.keep_marks(list).await;
        }
        locked(&list.note).refused = None;
        let in_force = InForce {
            set: loaded.into_set(),
            marks: Arc::clone(&list.marks),
            purpose: list.config.purpose,
            sealed_to: list.config.alert_key.clone(),
            creators: read.creators,
        };
        // The set before is wiped there, which takes a moment for millions.
        let matcher = self.0.matcher.clone();
        tokio::task::spawn_blocking(move || matcher.swap(id, Some(in_force)))
            .await
            .map_err(|_panicked| ProblemKind::Internal)?;
        if !is_kept {
            self.fly_canary(list).await;
        }
        Ok(report)
    }

    /// Who does it, what the file is, and what was signed.
    fn acting(
        &self,
        list: &List,
        party: &Party,
        brought: &Brought,
        now: Timestamp,
    ) -> Result<(Acted, Option<OrderedDelivery>, Option<LoadOrder>), ProblemKind> {
        let is_own = list.config.agency == self.own();
        let refuse = || ProblemKind::NotSignedIn;
        let steward = || party.officer(&list.steward).map(|(facts, _)| facts).ok_or_else(refuse);
        let seconds: Vec<_> = match &list.row.approval {
            Some(bytes) if !is_own => {
                let approval = ByPerson::<ListConfig>::from_bytes(bytes).map_err(|_form| refuse())?;
                party.signer(&approval).into_iter().collect()
            }
            Some(_) | None => Vec::new(),
        };
        match brought {
            Brought::Fetched { delivery } => {
                let acted = party.acted(steward()?, seconds, list.row.mfa, now);
                Ok((acted, Some(delivery.clone()), None))
            }
            Brought::Ordered { order, signers, .. } => {
                let ((first, _), others) = signers.split_first().ok_or_else(refuse)?;
                // An extract is its steward's; a custom entry is brought by whoever has the case.
                let may = first.key_id == list.steward || (is_own && list.config.settings.kind == SetKind::Custom);
                if !may || !party.directory.is_in_service(&first.key_id, now) {
                    return Err(refuse());
                }
                let others = others.iter().cloned().chain(seconds).collect();
                let acted = party.acted(first.clone(), others, list.row.mfa || is_own, now);
                Ok((acted, order.delivery.clone(), Some(order.clone())))
            }
            Brought::Kept { order, signers } => {
                let (officer, others) = match signers.split_first() {
                    Some(((first, _), others)) => (first.clone(), others.to_vec()),
                    None => (steward()?, Vec::new()),
                };
                let delivery = order.as_ref().and_then(|order| order.delivery.clone());
                Ok((party.acted(officer, others, true, now), delivery, None))
            }
        }
    }

    /// Live entries in other custom lists, and entries that the officer has added today.
    async fn custom_counts(&self, id: &[u8; 16], officer: [u8; 32], now: Timestamp) -> Result<(u64, u64), Problem> {
        let custom: Vec<[u8; 16]> = {
            let lists = self.0.lists.read().unwrap_or_else(PoisonError::into_inner);
            let custom = lists.values().filter(|list| list.config.settings.kind == SetKind::Custom);
            custom.map(|list| list.config.settings.list).collect()
        };
        let elsewhere = custom.iter().filter(|other| *other != id).filter_map(|other| self.0.matcher.list(other));
        let live = elsewhere.map(|list| list.set.entries()).fold(0, u64::saturating_add);
        let midnight = Timestamp(now.0.saturating_sub(now.0 % DAY_SECONDS));
        let today = store::added_by(self.db(), officer, midnight, custom).await.map_err(down)?;
        Ok((live, today))
    }

    /// Writes the leaf, and when it is cosigned the numbers, and sealed what lives with the recorder.
    async fn log_and_keep(
        &self,
        list: &List,
        loaded: &Loaded,
        brought: &Brought,
        officer: [u8; 32],
        (file, bytes, is_full): ([u8; 32], &[u8], bool),
    ) -> Result<(), Problem> {
        let (id, stamp) = (list.config.settings.list, *loaded.set().stamp());
        let mut salts = self.salts(&id, stamp.sequence, &file);
        let mut set_salt = [0; 16];
        salts.fill_bytes(&mut set_salt);
        let (sd, who) = steward_digests(&list.steward, &mut salts).map_err(|_core| ProblemKind::Internal)?;
        let leaf = loaded.leaf(&set_salt, sd);
        self.append_once(leaf).await?;
        let kept = if list.config.settings.kind == SetKind::Extract {
            None
        } else {
            let plain = KeptLoad { file: Zeroizing::new(bytes.to_vec()), orders: brought.orders().to_vec() }.to_bytes();
            let kept = Kept::Load { sequence: stamp.sequence };
            let sealed = seal_kept(&self.0.public, &id, kept, &plain, &mut SystemRng);
            Some(sealed.map_err(|_core| ProblemKind::Internal)?)
        };
        let row = LoadRow {
            sequence: stamp.sequence,
            loaded_at: self.now(),
            file,
            officer,
            added: loaded.counts().iter().map(|one| one.added).fold(0, u64::saturating_add),
            entries: loaded.set().entries(),
            classes: loaded.counts().iter().map(|one| (one.class, one.accepted)).collect(),
            set_salt,
            steward: who.expose_text().to_owned(),
        };
        store::put_load(self.db(), id, row, kept, is_full).await.map_err(down)
    }

    /// Salts of a leaf, from the key, the list and the file: tried again after its quorum was missing, it is the same leaf.
    fn salts(&self, list: &[u8; 16], sequence: u64, file: &[u8; 32]) -> ChaCha20Rng {
        let secret = self.0.key.seed();
        let parts: [&[u8]; 4] = [secret.expose_secret(), list, &sequence.to_be_bytes(), file];
        ChaCha20Rng::from_seed(th("list-salts", &parts))
    }

    /// Logs a leaf, unless it is the newest one of its list.
    async fn append_once(&self, leaf: HotlistLeaf) -> Result<(), Problem> {
        let said = leaf.clone();
        #[expect(clippy::wildcard_enum_match_arm, reason = "asks for one variant; every other one is no list")]
        let same = move |entry: &LogEntry| match entry {
            LogEntry::Hotlist(known) if known.list == said.list => Some(*known == said),
            _ => None,
        };
        self.0.log.append_once(LogEntry::Hotlist(leaf), same).await.map(drop).map_err(unlogged)
    }

    /// Ends a list whose turn the caller holds: its leaf, and then nothing of it is matched or kept.
    async fn retire(&self, list: &Arc<List>) -> Result<(), Problem> {
        let id = list.config.settings.list;
        let history = store::loads(self.db(), id).await.map_err(down)?;
        if let Some(last) = history.last() {
            let classes = retired(&last.classes.iter().copied().collect());
            let sequence = last.sequence.saturating_add(1);
            let mut salts = self.salts(&id, sequence, &last.file);
            let (sd, _who) = steward_digests(&list.steward, &mut salts).map_err(|_core| ProblemKind::Internal)?;
            let decisions =
                classes.iter().map(|one| th("list-retired", &[&id, one.class.name().as_bytes(), &list.row.config]));
            let leaf = HotlistLeaf {
                list: id,
                kind: ListKind::Retire,
                sequence,
                // Tried again it is the same leaf, so it has no time of its own.
                produced_at: last.loaded_at.to_minute(),
                decisions: decisions.collect(),
                classes,
                set: [0; 32],
                sd,
            };
            self.append_once(leaf).await?;
        }
        let matcher = self.0.matcher.clone();
        tokio::task::spawn_blocking(move || matcher.swap(id, None)).await.map_err(|_panicked| ProblemKind::Internal)?;
        store::forget_kept(self.db(), id).await.map_err(down)
    }

    async fn keep_marks(&self, list: &List) {
        let id = list.config.settings.list;
        let plain = Zeroizing::new(locked(&list.marks).to_bytes());
        let stored = match seal_kept(&self.0.public, &id, Kept::Marks, &plain, &mut SystemRng) {
            Ok(sealed) => store::put_marks(self.db(), id, sealed).await.is_ok(),
            Err(_core) => false,
        };
        if !stored {
            tracing::error!(list = list.config.name, "what is known of its entries cannot be kept over a restart");
        }
    }

    async fn refresh_places(&self) {
        match self.0.db.cameras().await {
            Ok(cameras) => {
                let places = cameras.into_iter().map(|camera| (camera.number, camera.camera.place)).collect();
                self.0.matcher.set_places(places);
            }
            Err(_down) => tracing::warn!("places of cameras cannot be read: alerts show those of before"),
        }
    }

    /// Sends an invented read of an entry of the list the way of every read.
    async fn fly_canary(&self, list: &Arc<List>) {
        let (id, now) = (list.config.settings.list, self.now());
        let read = {
            let in_force = self.0.matcher.list(&id);
            in_force.and_then(|in_force| canary(&in_force.set, &locked(&in_force.marks), now))
        };
        // A list without an entry in force has nothing to show.
        let Some(read) = read else { return };
        let hit = tokio::time::timeout(CANARY_MAX, self.0.matcher.canary(id, read)).await.unwrap_or(false);
        if !hit {
            tracing::error!(list = list.config.name, "list-silent: an invented read of an entry was no hit");
        }
        let mut note = locked(&list.note);
        note.canary = Some(hit);
        note.canary_at = now.0;
    }

    async fn keep_time(self) {
        let mut told = 0;
        loop {
            tokio::select! {
                () = self.0.tasks.stopping().cancelled() => return,
                () = tokio::time::sleep(TICK) => {}
            }
            self.refresh_places().await;
            let not_compared = self.0.matcher.not_compared();
            if not_compared > core::mem::replace(&mut told, not_compared) {
                tracing::error!(reads = not_compared, "reads-not-compared: too many waited; they are sealed like any");
            }
            for list in self.all() {
                let due = self.now().0.saturating_sub(locked(&list.note).canary_at) >= CANARY_SECONDS;
                if due && !list.config.retired {
                    self.fly_canary(&list).await;
                }
            }
        }
    }

    /// Every list, out of the lock.
    fn all(&self) -> Vec<Arc<List>> {
        self.0.lists.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How the lists are.
    #[must_use]
    pub fn health(&self) -> ListsHealth {
        let now = self.now();
        let mut health: Vec<ListHealth> = self.all().iter().map(|list| self.health_of(list, now)).collect();
        health.sort_by(|one, other| one.list.cmp(&other.list));
        ListsHealth { lists: health, not_compared: self.0.matcher.not_compared() }
    }

    fn health_of(&self, list: &List, now: Timestamp) -> ListHealth {
        let settings = &list.config.settings;
        let in_force = self.0.matcher.list(&settings.list);
        let note = locked(&list.note).clone();
        let stamp = in_force.as_ref().map(|in_force| *in_force.set.stamp());
        let state = match &stamp {
            _ if list.config.retired => "retired",
            None => "absent",
            Some(stamp) if is_too_old(settings.kind, stamp, now) => "too old",
            Some(_) if note.canary == Some(false) => "silent",
            Some(stamp) if is_overdue(settings.kind, stamp, now) => "overdue",
            Some(_) => "live",
        };
        let classes = in_force.as_ref().map(|in_force| in_force.set.classes().clone()).unwrap_or_default();
        ListHealth {
            list: list.config.name.clone(),
            id: hex::encode(settings.list),
            config: B64(list.row.config.clone()),
            kind: settings.kind.name().to_owned(),
            state: state.to_owned(),
            sequence: stamp.map_or(0, |stamp| stamp.sequence),
            produced_at: stamp.map_or(0, |stamp| stamp.produced_at.0),
            entries: in_force.map_or(0, |in_force| in_force.set.entries()),
            classes: classes.into_iter().map(|(class, n)| (class.name().to_owned(), n)).collect(),
            refused: note.refused.map(str::to_owned),
        }
    }
}

/// The lists as alerts know them. Weak, so that the two do not keep each other, and the log they write to, open for ever.
struct Marked(Weak<Inner>);

impl Marked {
    fn mark(&self, list: &[u8; 16], change: impl FnOnce(&mut Marks, Timestamp)) {
        if let Some(inner) = self.0.upgrade() {
            HotLists(inner).mark(list, change);
        }
    }
}

impl Marking for Marked {
    fn suspend(&self, list: &[u8; 16], entry_id: &str) {
        self.mark(list, |marks, now| marks.suspend(entry_id, now));
    }

    fn wrong_state(&self, list: &[u8; 16], entry_id: &str) {
        self.mark(list, |marks, _| marks.wrong_state(entry_id));
    }
}

impl HotLists {
    /// What closed alerts do to entries.
    #[must_use]
    pub fn marking(&self) -> Arc<dyn Marking> {
        Arc::new(Marked(Arc::downgrade(&self.0)))
    }

    fn mark(&self, list: &[u8; 16], change: impl FnOnce(&mut Marks, Timestamp)) {
        let Some(list) = self.list(list) else { return };
        change(&mut locked(&list.marks), self.now());
        let lists = self.clone();
        self.0.tasks.spawn("keep marks", async move { lists.keep_marks(&list).await });
    }
}

impl Brought {
    const fn is_kept(&self) -> bool {
        matches!(self, Self::Kept { .. })
    }

    fn orders(&self) -> &[Vec<u8>] {
        match self {
            Self::Ordered { orders, .. } => orders,
            Self::Fetched { .. } | Self::Kept { .. } => &[],
        }
    }

    /// Two persons who signed for this file.
    fn two_people(&self, party: &Party) -> Option<TwoPeople> {
        let Self::Ordered { signers, .. } = self else { return None };
        let (first, others) = signers.split_first()?;
        others.iter().find_map(|(other, _)| TwoPeople::new(&party.directory, &first.0.key_id, &other.key_id))
    }
}

/// Nothing in the set that the leaf does not speak of: the same file loaded again under the rules of today.
fn is_within(loaded: &Loaded, row: &LoadRow) -> bool {
    loaded.set().classes().iter().all(|(class, n)| row.classes.iter().any(|(known, most)| known == class && n <= most))
}

fn refused(list: &List, why: NotRead) -> LoadReport {
    let label = why.label();
    locked(&list.note).refused = Some(label);
    tracing::warn!(list = list.config.name, why = label, "a load of a hot list was refused: the set before stays");
    LoadReport {
        list: list.config.name.clone(),
        state: "refused".to_owned(),
        why: vec![label.to_owned()],
        ..LoadReport::default()
    }
}

fn report_of(list: &List, loaded: &Loaded) -> LoadReport {
    let class = |one: &lockplate_core::entry::ListCounts| ClassReport {
        class: one.class.name().to_owned(),
        accepted: one.accepted,
        added: one.added,
        removed: one.removed,
        dropped: one.dropped,
        refused: one.refused,
    };
    LoadReport {
        list: list.config.name.clone(),
        state: "live".to_owned(),
        why: Vec::new(),
        sequence: loaded.set().stamp().sequence,
        entries: loaded.set().entries(),
        classes: loaded.counts().iter().map(class).collect(),
        refusals: loaded.refusals().iter().map(|(why, n)| (why.label().to_owned(), *n)).collect(),
        cut: loaded.cut(),
        alarms: loaded.alarms().iter().map(|alarm| alarm.label().to_owned()).collect(),
    }
}

fn down(_db: DbError) -> Problem {
    Problem::new(ProblemKind::Unavailable)
}

fn unlogged(_not_logged: NotLogged) -> Problem {
    Problem::new(ProblemKind::Unavailable)
}

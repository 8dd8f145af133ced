//! Hot lists at the recorder: a list is registered by its steward, its files are read, decided, logged and only then matched, beside the
//! sealing of reads (`hotlists.md` sections 3 to 5). Entries of extracts are in memory only. Hits go to [`crate::alerts`]; what an entry, a
//! load or a hit is stands in `lockplate_core::hotlist`, how files are read in `lockplate_intake::hotlist_file`.
//!
//! Order of a load: signatures → policy, class by class → set → written down → leaf in the log, cosigned → numbers in `agency.db` → in force.

mod change;
mod doors;
mod fetch;
mod health;
mod keeping;
pub mod law;
mod load;
mod loading;
mod matcher;
mod people;
mod settings;
pub(crate) mod store;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::directory::Directory;
use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey};
use lockplate_core::hotlist::matching::Marks;
use lockplate_core::hotlist::steward::ListConfig;
use lockplate_core::id::AgencyId;
use lockplate_core::person::ByPerson;
use lockplate_core::sign::VerifyKey;
use lockplate_core::signed::SignedObject;
use lockplate_core::wire::th;
use lockplate_intake::hotlist_file::Template;
use lockplate_oprf::Secret;

pub use doors::{HEADER_ORDERS, ListRegistered, SharedAsked, SharedLists, orders_value};
pub use health::{ListHealth, ListsHealth};
pub use load::{ClassReport, LoadReport};
pub use matcher::Matcher;
pub use settings::{Fetched, HotlistTable, PullTable, check as check_tables};

use crate::agency_db::AgencyDb;
use crate::clock::Clock;
use crate::db::{Db, DbError};
use crate::party_log::{PartyLog, seconds};
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;
use crate::shift::Shifts;
use crate::shutdown::{ExitKind, Tasks};
use law::ListLaw;
use load::Waiting;
use people::Party;
use store::ListRow;

/// Lists of one recorder.
pub const LISTS_MAX: usize = 64;
/// Pieces of a file that wait for its parser.
const PIECES_MAX: usize = 16;

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
    /// Custom lists are loaded one after the other. It is taken before the turn of a list.
    customs: tokio::sync::Mutex<()>,
}

/// A registered list.
struct List {
    row: ListRow,
    config: ListConfig,
    steward: [u8; 32],
    template: Option<Template>,
    marks: Arc<Mutex<Marks>>,
    /// One change at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The load whose leaf is not confirmed yet, where this process made it.
    waiting: Mutex<Option<Waiting>>,
    note: Mutex<Note>,
}

/// What is said of a list on the health page.
#[derive(Clone, Debug, Default)]
struct Note {
    /// The last load that was not taken, and why.
    refused: Option<&'static str>,
    /// What somebody must be told of the last load, until a better one.
    alarm: Option<&'static str>,
    canary_at: u64,
    canary: Option<bool>,
    /// The log knows of a load of it.
    was_loaded: bool,
    /// A change of it is in the log and not confirmed.
    waits: bool,
    /// The alarm that was told last.
    told: Option<&'static str>,
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
            waiting: Mutex::default(),
            note: Mutex::default(),
        })
    }

    /// As somebody signed it anew: the set in force goes on, with the same knowledge of its entries.
    fn goes_on(&mut self, known: &Self) {
        self.marks = Arc::clone(&known.marks);
        self.turn = Arc::clone(&known.turn);
        self.note = Mutex::new(locked(&known.note).clone());
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
            customs: tokio::sync::Mutex::default(),
        }));
        // What was logged before the end of the last run and is confirmed now.
        lists.settle_all().await;
        for row in store::lists(lists.db()).await? {
            let name = row.name.clone();
            match List::of(row) {
                Some(list) => lists.restore(Arc::new(list)).await?,
                None => tracing::error!(list = name, "a registered hot list cannot be read: it is not matched"),
            }
        }
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

    /// Entries of one extract that the charter lets.
    fn extract_entries_max(&self) -> u64 {
        self.0.charter.charter().extract_entries_max
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
        let least = registered_serial(&list)?;
        let party = Party::other(self.0.charter.charter(), directory, self.now())?;
        let serial = party.directory.serial();
        if party.agency.id != list.config.agency || serial < least {
            return None;
        }
        Some(ListDesk { key: party.desk_key()?, serial, charter: self.0.charter.hash() })
    }

    /// Every list, out of the lock.
    fn all(&self) -> Vec<Arc<List>> {
        self.0.lists.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Serial of the directory that another agency registered its list with.
fn registered_serial(list: &List) -> Option<u64> {
    let object = SignedObject::parse(list.row.directory.as_ref()?).ok()?;
    Some(object.read::<Directory>().ok()?.body.serial)
}

fn down(_db: DbError) -> Problem {
    Problem::new(ProblemKind::Unavailable)
}

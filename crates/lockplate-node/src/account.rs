//! The account list of a toll or parking operator (`hotlists.md` section 8): a pass of a customer's plate leaves the recorder as a passage,
//! sealed to the operator's billing key and without a plate; every other read is sealed like any read and handed to nobody. An operator's
//! recorder has this list and no hot list, a police recorder has hot lists and none of this.

mod doors;
mod settings;

use core::fmt;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use lockplate_core::Timestamp;
use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::hotlist::account::{AccountEntry, AccountSet, AccountSettings, Passage, seal_passage};
use lockplate_core::json::parse_time;
use lockplate_core::plate::{Jurisdiction, Plate};
use lockplate_core::vocabulary::ArchiveKind;
use lockplate_core::wire::th;
use lockplate_intake::Seen;
use lockplate_oprf::Secret;
use rusqlite::params;
use tokio::runtime::Handle;

pub use doors::{GateAnswer, GateAsked, PassageCount, PassagesListed, PassagesTaken, Sealed};
pub use settings::{AccountConfig, AccountSection};

use crate::agency_db::AgencyDb;
use crate::clock::Clock;
use crate::intake::Beside;
use crate::party_log::seconds;
use crate::rng::SystemRng;
use crate::shutdown::Tasks;

/// The table; an entry of the migrations of `agency.db`.
pub(crate) const MIGRATION: &str =
    "CREATE TABLE passage (number INTEGER PRIMARY KEY AUTOINCREMENT, sealed BLOB NOT NULL) STRICT;";

/// Passes that wait to be compared; beyond it they are counted and not billed.
const WAITING_MAX: usize = 20_000;
/// How long passages are gathered before they are written.
const GATHER: Duration = Duration::from_millis(200);
/// Passages in one write.
const GATHERED_MAX: usize = 500;
/// How often the operator's file is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes of the operator's file: ten million accounts.
const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Hours that are counted.
const HOURS_MAX: u64 = 48;
/// Facilities that are counted apart.
const FACILITIES_MAX: usize = 2_000;
const HOUR_SECONDS: u64 = 3_600;

/// What accounts are made of.
pub struct AccountParts {
    /// The section of the configuration.
    pub section: AccountSection,
    /// Kind of the archive, from the charter.
    pub archive: ArchiveKind,
    /// `agency.db`.
    pub db: AgencyDb,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The role's tasks.
    pub tasks: Tasks,
}

impl fmt::Debug for AccountParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountParts(..)")
    }
}

/// Where a camera stands for billing: facility and lane.
type Lanes = BTreeMap<u32, (String, String)>;

struct Inner {
    list: [u8; 16],
    to: HpkePublicKey,
    settings: AccountSettings,
    index_key: u64,
    token: crate::intake::TokenHash,
    db: AgencyDb,
    clock: Arc<dyn Clock>,
    set: RwLock<Option<Arc<AccountSet>>>,
    lanes: RwLock<Arc<Lanes>>,
    /// By facility and hour: passes of customers, and of others.
    counts: Mutex<BTreeMap<(String, u64), (u64, u64)>>,
    lost: AtomicU64,
}

/// The account list of a recorder. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
    queue: SyncSender<Vec<Seen>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts(..)")
    }
}

/// Why the operator's file is not taken. The accounts before stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotTaken {
    Unreadable,
    Line(u64),
    Refused(&'static str),
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("it cannot be read, or is larger than an account list can be"),
            Self::Line(line) => write!(f, "line {line} is no account"),
            Self::Refused(what) => f.write_str(what),
        }
    }
}

impl Accounts {
    /// Starts to compare and to watch the operator's file.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(parts: AccountParts) -> std::io::Result<Self> {
        let AccountParts { section, archive, db, clock, tasks } = parts;
        let (digest, secret) = (th("account-list", &[section.name.as_bytes()]), Secret::<8>::random(&mut SystemRng));
        let mut list = [0; 16];
        list.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        let settings = AccountSettings {
            list,
            archive,
            accounts_max: section.accounts_max,
            allow_state_unread: section.allow_state_unread,
            trust_jurisdiction: section.trust_state,
        };
        let inner = Arc::new(Inner {
            list,
            to: section.billing_key.clone(),
            settings,
            index_key: u64::from_be_bytes(*secret.expose_secret()),
            token: section.token,
            db,
            clock,
            set: RwLock::default(),
            lanes: RwLock::default(),
            counts: Mutex::default(),
            lost: AtomicU64::new(0),
        });
        let (queue, jobs) = sync_channel(WAITING_MAX);
        let (worker, runtime) = (Arc::clone(&inner), Handle::current());
        let thread =
            std::thread::Builder::new().name("accounts".to_owned()).spawn(move || worker.run(&jobs, &runtime))?;
        tasks.spawn_essential("accounts", Arc::clone(&inner).watch(section, tasks.clone()));
        Ok(Self { inner, queue, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Writes what waits, and ends the thread. To be called when intake takes no more reads. Blocks.
    pub fn finish(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nothing at all is the end.
        if let Some(thread) = thread
            && self.queue.send(Vec::new()).is_ok()
            && thread.join().is_err()
        {
            tracing::error!("the accounts' thread panicked: internal error, our bug");
        }
    }
}

impl Beside for Accounts {
    fn observe(&self, seen: Vec<Seen>) {
        // A pass is billed once, when it is over.
        let passes: Vec<Seen> = seen.into_iter().filter(|seen| seen.is_final).collect();
        let count = u64::try_from(passes.len()).unwrap_or(u64::MAX);
        if count > 0 && self.queue.try_send(passes).is_err() {
            self.inner.lost.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Inner {
    /// Ends with an empty batch, or with the last sender.
    fn run(&self, jobs: &Receiver<Vec<Seen>>, runtime: &Handle) {
        let mut gathered: Vec<Vec<u8>> = Vec::new();
        loop {
            let ended = match jobs.recv_timeout(GATHER) {
                Ok(passes) if passes.is_empty() => true,
                Ok(passes) => {
                    gathered.extend(passes.iter().filter_map(|seen| self.passage(seen)));
                    if gathered.len() < GATHERED_MAX {
                        continue;
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if !gathered.is_empty() {
                self.keep(core::mem::take(&mut gathered), runtime);
            }
            if ended {
                return;
            }
        }
    }

    fn passage(&self, seen: &Seen) -> Option<Vec<u8>> {
        let now = Timestamp(seconds(self.clock.as_ref()));
        let lanes = Arc::clone(&self.lanes.read().unwrap_or_else(PoisonError::into_inner));
        let (facility, lane) = lanes.get(&seen.read.camera)?;
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner).clone();
        let found = set.and_then(|set| set.account_of(&seen.read, now));
        self.count(facility, now, found.is_some());
        let at = u64::try_from(seen.read.captured_at.div_euclid(1_000)).unwrap_or(0);
        let passage = Passage::new(found?, facility, lane, Timestamp(at)).ok()?;
        seal_passage(&self.to, &self.list, &passage, &mut SystemRng).ok()
    }

    fn count(&self, facility: &str, now: Timestamp, is_customer: bool) {
        let hour = now.0 / HOUR_SECONDS;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|(_, counted), _| counted.saturating_add(HOURS_MAX) > hour);
        if counts.len() >= FACILITIES_MAX.saturating_mul(usize::try_from(HOURS_MAX).unwrap_or(1)) {
            return;
        }
        let (customers, others) = counts.entry((facility.to_owned(), hour)).or_default();
        let count = if is_customer { customers } else { others };
        *count = count.saturating_add(1);
    }

    fn keep(&self, passages: Vec<Vec<u8>>, runtime: &Handle) {
        let count = u64::try_from(passages.len()).unwrap_or(u64::MAX);
        let write = self.db.db().transaction(move |connection| {
            let mut insert = connection.prepare_cached("INSERT INTO passage (sealed) VALUES (?1)")?;
            for sealed in passages {
                insert.execute(params![sealed])?;
            }
            Ok(())
        });
        if runtime.block_on(write).is_err() {
            self.lost.fetch_add(count, Ordering::Relaxed);
            tracing::error!(passages = count, "passages could not be written: they are not billed");
        }
    }

    /// Reads the operator's file whenever it is another, and the places of cameras.
    async fn watch(self: Arc<Self>, section: AccountSection, tasks: Tasks) {
        let (mut seen, mut taken) = (None, None);
        loop {
            match self.db.cameras().await {
                Ok(cameras) => {
                    let lane = |camera: crate::agency_db::Camera| {
                        let facility =
                            if camera.camera.group.is_empty() { section.name.clone() } else { camera.camera.group };
                        (camera.number, (facility, camera.camera.place))
                    };
                    let lanes = Arc::new(cameras.into_iter().map(lane).collect());
                    *self.lanes.write().unwrap_or_else(PoisonError::into_inner) = lanes;
                }
                Err(_down) => tracing::warn!("places of cameras cannot be read: those of before stay"),
            }
            let path = section.file.clone();
            let found = tokio::task::spawn_blocking(move || version(&path)).await.unwrap_or(None);
            // A file that still grows is not there yet.
            if found.is_some() && found == seen && found != taken {
                let (inner, path) = (Arc::clone(&self), section.file.clone());
                match tokio::task::spawn_blocking(move || inner.read(&path)).await {
                    Ok(Ok(set)) => *self.set.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(set)),
                    Ok(Err(why)) => tracing::error!(%why, "the account list is not taken: the accounts before stay"),
                    Err(_panicked) => tracing::error!("the account list could not be read: internal error, our bug"),
                }
                taken = found;
            }
            seen = found;
            tokio::select! {
                () = tasks.stopping().cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn read(&self, path: &Path) -> Result<AccountSet, NotTaken> {
        let mut reader = csv::ReaderBuilder::new().from_path(path).map_err(|_io| NotTaken::Unreadable)?;
        let header = reader.headers().map_err(|_csv| NotTaken::Unreadable)?;
        if header.iter().ne(["plate", "jurisdiction", "account_id", "valid_from", "valid_to"]) {
            return Err(NotTaken::Line(1));
        }
        let mut fault = None;
        let mut line: u64 = 1;
        let entries = reader.records().map_while(|record| {
            line = line.saturating_add(1);
            let entry = record.ok().and_then(|record| entry_of(&record));
            if entry.is_none() {
                fault.get_or_insert(line);
            }
            entry
        });
        let set = AccountSet::build(self.settings, self.index_key, entries);
        match (fault, set) {
            (Some(line), _) => Err(NotTaken::Line(line)),
            (None, Ok(set)) => Ok(set),
            (None, Err(error)) => Err(NotTaken::Refused(error.what())),
        }
    }
}

fn entry_of(record: &csv::StringRecord) -> Option<AccountEntry> {
    let mut cells = record.iter();
    let mut next = || cells.next().map(str::trim);
    let plate = Plate::parse(next()?)?;
    let jurisdiction = Jurisdiction::parse(next()?)?;
    let account_id = next()?.to_owned();
    let (valid_from, valid_to) = (parse_time(next()?)?, parse_time(next()?)?);
    Some(AccountEntry { plate, jurisdiction, account_id, valid_from, valid_to })
}

/// Length and time of the file: another of either is another file.
fn version(path: &Path) -> Option<(u64, u128)> {
    let metadata = std::fs::metadata(path).ok().filter(|file| file.is_file() && file.len() <= FILE_BYTES_MAX)?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((metadata.len(), modified.as_nanos()))
}

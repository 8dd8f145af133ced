//! The account list of a toll or parking operator (`hotlists.md` section 8): a pass of a customer's plate leaves the recorder as a passage,
//! sealed to the operator's billing key and without a plate; every other read is sealed like any read and handed to nobody. An operator's
//! recorder has this list and no hot list, a police recorder has hot lists and none of this.

mod doors;
mod settings;

use core::fmt;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use lockplate_core::Timestamp;
use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::hotlist::account::{
    AccountEntry, AccountMatch, AccountSet, AccountSettings, Passage, seal_passage,
};
use lockplate_core::hotlist::load::{has_shrunk, too_many_bad};
use lockplate_core::json::parse_time;
use lockplate_core::plate::Jurisdiction;
use lockplate_core::read::Read;
use lockplate_core::vocabulary::ArchiveKind;
use lockplate_core::wire::th;
use lockplate_intake::Seen;
use lockplate_intake::duplicates::Hasher;
use lockplate_intake::hotlist_file::{Refusal, listed_plate};
use lockplate_oprf::Secret;
use rusqlite::{OptionalExtension as _, params};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub use doors::{GateAnswer, GateAsked, PassageCount, PassagesListed, PassagesTaken, Sealed};
pub use settings::{AccountConfig, AccountSection};

use crate::agency_db::AgencyDb;
use crate::clock::Clock;
use crate::intake::{Beside, KnownCamera};
use crate::party_log::seconds;
use crate::rng::SystemRng;
use crate::shutdown::Tasks;

/// The table; an entry of the migrations of `agency.db`.
pub(crate) const MIGRATION: &str =
    "CREATE TABLE passage (number INTEGER PRIMARY KEY AUTOINCREMENT, sealed BLOB NOT NULL) STRICT;";

/// By what a pass is known again when a camera tells it twice, over restarts and after the passage was fetched; an entry of the
/// migrations of `agency.db`.
pub(crate) const MIGRATION_ONCE: &str = "
CREATE TABLE passage_key (key INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE INDEX passage_key_at ON passage_key (at);
";

/// How many accounts the file had that was taken last: a restart must not take a file that was cut off; an entry of the migrations of
/// `agency.db`.
pub(crate) const MIGRATION_SIZE: &str =
    "CREATE TABLE account_list (id INTEGER PRIMARY KEY CHECK (id = 1), accounts INTEGER NOT NULL) STRICT;";

/// Reads of one engine id and one text within so long are one pass, as intake has it for sources that send again.
const SAME_WITHIN_SECONDS: u64 = 24 * 3_600;
/// Longest time for which it is known that a pass was billed; a retention that is shorter ends it earlier.
const KNOWN_SECONDS_MAX: u64 = 7 * 24 * 3_600;
/// Passes that wait to be compared; beyond it they are counted as lost.
const WAITING_MAX: usize = 20_000;
/// How long the first passage waits for others before they are written: what a crash can lose.
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
    /// Accounts that there may be, from the charter.
    pub accounts_max: u64,
    /// How long reads are kept, seconds, from the charter.
    pub retention_seconds: u64,
    /// Key of this recorder under which passes are known again; never in `agency.db`.
    pub pass_key: Zeroizing<[u8; 32]>,
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

/// A passage to be written.
struct Kept {
    sealed: Vec<u8>,
    /// The same for the same pass.
    key: i64,
    /// When it was, Unix seconds.
    at: i64,
}

struct Inner {
    name: String,
    list: [u8; 16],
    to: HpkePublicKey,
    settings: AccountSettings,
    index_key: u64,
    hasher: Hasher,
    known_seconds: u64,
    token: crate::intake::TokenHash,
    db: AgencyDb,
    clock: Arc<dyn Clock>,
    set: RwLock<Option<Arc<AccountSet>>>,
    lanes: RwLock<Lanes>,
    /// By facility and hour: passes of customers, and of others.
    counts: Mutex<BTreeMap<(String, u64), (u64, u64)>>,
    lost: AtomicU64,
    /// There are accounts.
    loaded: CancellationToken,
    /// Nothing more is waited for.
    finishing: CancellationToken,
}

/// The account list of a recorder. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
    queue: SyncSender<Option<Seen>>,
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
    /// Many lines name no plate that an account can have.
    Plates(u64),
    /// It has none, or far fewer accounts than before, and nobody says that this is meant.
    Shrunk {
        before: u64,
        now: u64,
    },
    /// How many there were before is not known.
    Db,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("it cannot be read, or is larger than an account list can be"),
            Self::Line(line) => write!(f, "line {line} is no account"),
            Self::Refused(what) => f.write_str(what),
            Self::Plates(lines) => write!(f, "{lines} lines have no whole plate of 2 to 16 characters"),
            Self::Shrunk { before, now } => write!(
                f,
                "it has {now} accounts after {before}, as a file has that was cut off; if that is meant, write {now} into a file of its name \
                 with .entries behind it"
            ),
            Self::Db => f.write_str("the database does not say how many accounts there were"),
        }
    }
}

impl Accounts {
    /// Starts to compare and to watch the operator's file.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(parts: AccountParts) -> std::io::Result<Self> {
        let AccountParts { section, archive, accounts_max, retention_seconds, pass_key, db, clock, tasks } = parts;
        let (digest, secret) = (th("account-list", &[section.name.as_bytes()]), Secret::<8>::random(&mut SystemRng));
        let mut list = [0; 16];
        list.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        let settings = AccountSettings {
            list,
            archive,
            accounts_max,
            allow_state_unread: section.allow_state_unread,
            trust_jurisdiction: section.trust_state,
        };
        let inner = Arc::new(Inner {
            name: section.name,
            list,
            to: section.billing_key,
            settings,
            index_key: u64::from_be_bytes(*secret.expose_secret()),
            hasher: Hasher::new(&pass_key),
            known_seconds: retention_seconds.min(KNOWN_SECONDS_MAX),
            token: section.token,
            db,
            clock,
            set: RwLock::default(),
            lanes: RwLock::default(),
            counts: Mutex::default(),
            lost: AtomicU64::new(0),
            loaded: CancellationToken::new(),
            finishing: CancellationToken::new(),
        });
        let (queue, jobs) = sync_channel(WAITING_MAX);
        let (worker, runtime) = (Arc::clone(&inner), Handle::current());
        let thread =
            std::thread::Builder::new().name("accounts".to_owned()).spawn(move || worker.run(&jobs, &runtime))?;
        tasks.spawn_essential("accounts", Arc::clone(&inner).watch(section.file, tasks.clone()));
        Ok(Self { inner, queue, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Writes what waits, and ends the thread. To be called when intake takes no more reads. Blocks.
    pub fn finish(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.inner.finishing.cancel();
        if let Some(thread) = thread
            && self.queue.send(None).is_ok()
            && thread.join().is_err()
        {
            tracing::error!("the accounts' thread panicked: internal error, our bug");
        }
        let lost = self.inner.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(
                passes = lost,
                "passes that could not be compared or kept since the start: they are not billed"
            );
        }
    }
}

impl Beside for Accounts {
    fn know(&self, cameras: &[KnownCamera]) {
        let lanes = cameras.iter().map(|camera| {
            let facility = if camera.group.is_empty() { &self.inner.name } else { &camera.group };
            (camera.number, (facility.clone(), camera.place.clone()))
        });
        // A pass may be told after its camera was removed.
        self.inner.lanes.write().unwrap_or_else(PoisonError::into_inner).extend(lanes);
    }

    fn observe(&self, seen: Vec<Seen>) {
        // A pass is billed once, when it is over.
        for mut pass in seen.into_iter().filter(|seen| seen.is_final) {
            pass.crop = None;
            if self.queue.try_send(Some(pass)).is_err() {
                self.inner.lose(1);
            }
        }
    }
}

fn unix_seconds(ms: i64) -> u64 {
    u64::try_from(ms.div_euclid(1_000)).unwrap_or(0)
}

/// One customer had the plate by the camera's clock, another when the read came, and the clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TwoCustomers;

/// Whose plate it was when it passed: a late read may tell of another customer.
fn customer_of(set: &AccountSet, read: &Read) -> Result<Option<AccountMatch>, TwoCustomers> {
    let had_it = |ms: i64| set.account_of(read, Timestamp(unix_seconds(ms)));
    let found = had_it(read.captured_at);
    let before = read.source_time.and_then(had_it);
    match (&found, before) {
        (Some(found), Some(before)) if found.account_id != before.account_id => Err(TwoCustomers),
        _ => Ok(found),
    }
}

impl Inner {
    /// Ends with a `None`, or with the last sender.
    fn run(&self, jobs: &Receiver<Option<Seen>>, runtime: &Handle) {
        // Without the accounts a customer would be taken for a stranger: what comes before them waits in the queue.
        runtime.block_on(async {
            tokio::select! {
                () = self.loaded.cancelled() => {}
                () = self.finishing.cancelled() => {}
            }
        });
        let mut gathered: Vec<Kept> = Vec::new();
        // A time, not a silence: on a busy road there is none.
        let mut due: Option<Duration> = None;
        loop {
            let next = match due {
                None => jobs.recv().map_err(|_gone| RecvTimeoutError::Disconnected),
                Some(due) => jobs.recv_timeout(due.saturating_sub(self.clock.monotonic())),
            };
            let ended = match next {
                Ok(Some(seen)) => {
                    if let Some(kept) = self.passage(&seen) {
                        gathered.push(kept);
                        due.get_or_insert(self.clock.monotonic().saturating_add(GATHER));
                    }
                    false
                }
                Ok(None) | Err(RecvTimeoutError::Disconnected) => true,
                Err(RecvTimeoutError::Timeout) => false,
            };
            let is_due = due.is_some_and(|due| due <= self.clock.monotonic());
            if !gathered.is_empty() && (ended || is_due || gathered.len() >= GATHERED_MAX) {
                self.keep(core::mem::take(&mut gathered), runtime);
                due = None;
            }
            if ended {
                return;
            }
        }
    }

    fn lose(&self, passes: u64) {
        self.lost.fetch_add(passes, Ordering::Relaxed);
    }

    fn set(&self) -> Option<Arc<AccountSet>> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sealed passage, of a customer. What cannot be compared or billed is counted.
    fn passage(&self, seen: &Seen) -> Option<Kept> {
        let now = Timestamp(seconds(self.clock.as_ref()));
        let (Some((facility, lane)), Some(set)) = (self.lane(seen.read.camera), self.set()) else {
            self.lose(1);
            return None;
        };
        let Ok(found) = customer_of(&set, &seen.read) else {
            self.lose(1);
            return None;
        };
        let at = unix_seconds(seen.read.captured_at);
        self.count(&facility, now, found.is_some());
        let passage = Passage::new(found?, &facility, &lane, Timestamp(at));
        let sealed = passage.and_then(|passage| seal_passage(&self.to, &self.list, &passage, &mut SystemRng));
        if sealed.is_err() {
            self.lose(1);
        }
        Some(Kept { sealed: sealed.ok()?, key: self.key(seen), at: i64::try_from(at).unwrap_or(i64::MAX) })
    }

    /// The same for a pass that is told again: by the engine's id, or by the time that the camera gave it. One that stands before the
    /// camera passes once, however often it is told.
    fn key(&self, Seen { read, is_parked, .. }: &Seen) -> i64 {
        let time = read.source_time.unwrap_or(read.captured_at).to_be_bytes();
        let (kind, mark) = match &read.engine_ref {
            _ if *is_parked => (b"parked".as_slice(), &[0; 8]),
            Some(reference) => (b"id".as_slice(), reference),
            None => (b"time".as_slice(), &time),
        };
        let (source, camera) = (read.source.to_be_bytes(), read.camera.to_be_bytes());
        let text = read.plate.expose_text().as_bytes();
        self.hasher.hash(&[b"passage", &source, &camera, kind, mark, text]).cast_signed()
    }

    fn lane(&self, camera: u32) -> Option<(String, String)> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(&camera).cloned()
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

    fn keep(&self, passages: Vec<Kept>, runtime: &Handle) {
        let count = u64::try_from(passages.len()).unwrap_or(u64::MAX);
        let write = self.db.db().transaction(move |connection| {
            let mut known = connection.prepare_cached("SELECT at FROM passage_key WHERE key = ?1")?;
            let mut note = connection.prepare_cached(
                "INSERT INTO passage_key (key, at) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
            )?;
            let mut insert = connection.prepare_cached("INSERT INTO passage (sealed) VALUES (?1)")?;
            for Kept { sealed, key, at } in passages {
                let before: Option<i64> = known.query_row([key], |row| row.get(0)).optional()?;
                // Told again, it goes on being known: a car may be parked for days.
                note.execute([key, at])?;
                // An engine may count its ids from 1 again.
                if before.is_none_or(|before| before.abs_diff(at) > SAME_WITHIN_SECONDS) {
                    insert.execute(params![sealed])?;
                }
            }
            Ok(())
        });
        if runtime.block_on(write).is_err() {
            self.lose(count);
            tracing::error!(passages = count, "passages could not be written: they are not billed");
        }
    }

    /// A keyed hash of a plate is no longer there than it is of use, nor than the read may be.
    async fn forget_old(&self) {
        let before = seconds(self.clock.as_ref()).saturating_sub(self.known_seconds);
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let gone = self.db.db().transaction(move |connection| {
            connection.execute("DELETE FROM passage_key WHERE at < ?1", [before])?;
            Ok(())
        });
        if gone.await.is_err() {
            tracing::warn!("by what old passes are known cannot be deleted: tried again");
        }
    }

    /// Reads the operator's file whenever it is another.
    async fn watch(self: Arc<Self>, file: PathBuf, tasks: Tasks) {
        let (mut seen, mut taken, mut is_first) = (None, None, true);
        loop {
            let path = file.clone();
            let look = move || version(&path).map(|found| (found, version(&said_path(&path))));
            let found = tokio::task::spawn_blocking(look).await.unwrap_or(None);
            // A file that still grows is not there yet. At the start reads wait for it, so that an old one is taken at once.
            let settled_by =
                u128::from(seconds(self.clock.as_ref()).saturating_sub(LOOK.as_secs())).saturating_mul(1_000_000_000);
            let is_settled =
                found == seen || (is_first && found.is_some_and(|((_, modified), _)| modified <= settled_by));
            if found.is_some() && is_settled && found != taken {
                let why = self.take(&file).await.err();
                if let Some(why) = why {
                    tracing::error!(%why, "account-list-refused: the accounts before stay");
                }
                taken = if why == Some(NotTaken::Db) { None } else { found };
            }
            if self.set().is_none() {
                tracing::warn!("there is no account list: passes wait to be compared, and a gate is not answered");
            }
            (seen, is_first) = (found, false);
            self.forget_old().await;
            tokio::select! {
                () = tasks.stopping().cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Takes the file, if it is one.
    async fn take(self: &Arc<Self>, file: &Path) -> Result<(), NotTaken> {
        let select = "SELECT accounts FROM account_list WHERE id = 1";
        let before =
            self.db.db().call(move |db| Ok(db.query_row(select, [], |row| row.get::<_, i64>(0)).optional()?));
        let before = before.await.map_err(|_db| NotTaken::Db)?.map_or(0, |known| u64::try_from(known).unwrap_or(0));
        let (inner, path) = (Arc::clone(self), file.to_path_buf());
        let read = move || {
            let set = inner.read(&path)?;
            let now = set.accounts();
            let is_meant =
                || std::fs::read_to_string(said_path(&path)).is_ok_and(|said| said.trim().parse() == Ok(now));
            if (now == 0 || has_shrunk(before, now)) && !is_meant() {
                return Err(NotTaken::Shrunk { before, now });
            }
            Ok(set)
        };
        let read = tokio::task::spawn_blocking(read).await;
        let set = read.unwrap_or(Err(NotTaken::Refused("it could not be read: internal error, our bug")))?;
        let now = i64::try_from(set.accounts()).unwrap_or(i64::MAX);
        let note = self.db.db().transaction(move |db| {
            db.execute("INSERT OR REPLACE INTO account_list (id, accounts) VALUES (1, ?1)", [now])?;
            Ok(())
        });
        note.await.map_err(|_db| NotTaken::Db)?;
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(set));
        self.loaded.cancel();
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<AccountSet, NotTaken> {
        let mut reader = csv::ReaderBuilder::new().from_path(path).map_err(|_io| NotTaken::Unreadable)?;
        let header = reader.headers().map_err(|_csv| NotTaken::Unreadable)?;
        if header.iter().ne(["plate", "jurisdiction", "account_id", "valid_from", "valid_to"]) {
            return Err(NotTaken::Line(1));
        }
        let mut fault = None;
        let mut line: u64 = 1;
        let mut refused: BTreeMap<Refusal, u64> = BTreeMap::new();
        let entries = reader.records().map_while(|record| {
            line = line.saturating_add(1);
            let entry = record.ok().and_then(|record| entry_of(&record));
            if entry.is_none() {
                fault.get_or_insert(line);
            }
            entry
        });
        let entries = entries.filter_map(|entry| {
            let counted = |why: Refusal| {
                let count = refused.entry(why).or_default();
                *count = count.saturating_add(1);
            };
            entry.map_err(counted).ok()
        });
        let set = AccountSet::build(self.settings, self.index_key, entries);
        if let Some(line) = fault {
            return Err(NotTaken::Line(line));
        }
        for (why, lines) in &refused {
            tracing::warn!(reason = why.name(), lines, "account-lines-refused: they name no whole plate");
        }
        let bad = refused.values().fold(0, |sum: u64, lines| sum.saturating_add(*lines));
        if too_many_bad(bad, line.saturating_sub(1)) {
            return Err(NotTaken::Plates(bad));
        }
        set.map_err(|error| NotTaken::Refused(error.what()))
    }
}

/// None of a line that is no account; a refusal where it is one and its plate is none.
fn entry_of(record: &csv::StringRecord) -> Option<Result<AccountEntry, Refusal>> {
    let mut cells = record.iter();
    let mut next = || cells.next().map(str::trim);
    let plate = listed_plate(next()?);
    let jurisdiction = Jurisdiction::parse(next()?)?;
    let account_id = next()?.to_owned();
    let (valid_from, valid_to) = (parse_time(next()?)?, parse_time(next()?)?);
    Some(plate.map(|plate| AccountEntry { plate, jurisdiction, account_id, valid_from, valid_to }))
}

/// Where the operator says how many accounts the file has, if it has far fewer than before.
fn said_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".entries");
    path.into()
}

/// Length and time of the file: another of either is another file.
fn version(path: &Path) -> Option<(u64, u128)> {
    let metadata = std::fs::metadata(path).ok().filter(|file| file.is_file() && file.len() <= FILE_BYTES_MAX)?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((metadata.len(), modified.as_nanos()))
}

#[cfg(test)]
mod tests;

use super::*;

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use lockplate_core::entry::{DisclosureLeaf, LogEntry, LogKind, Outcome};
use lockplate_core::id::{AgencyId, EpochId};
use lockplate_log::{NoteSigner, Origin};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::clock::SystemClock;
use crate::cosign::WitnessSet;
use crate::db::Db;
use crate::party_log::{LogOnDisk, LogWitnesses, PartyLog};
use crate::shutdown::Tasks;

const SCHEMA: &[&str] = &["CREATE TABLE thing (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)"];
const ORIGIN: &str = "harbour.example/log/recorder";

/// One machine of an agency, as far as it ships.
struct Machine {
    active: Active,
    db: Db,
    log: PartyLog,
    tasks: Tasks,
}

fn parts(store: &Arc<dyn ObjectStore>, data: &FilePath, takeover_ms: u64) -> StandbyParts {
    StandbyParts {
        journal: Journal::new(store.clone(), Path::from("agency"), Cipher::new(Zeroizing::new([7; 32]), [1; 16])),
        data: data.to_owned(),
        logs: BTreeMap::from([(LogOf::Recorder, ORIGIN.replace('/', "+"))]),
        signs_of_life: Duration::from_millis(100),
        takeover: Duration::from_millis(takeover_ms),
        clock: Arc::new(SystemClock::new()),
    }
}

impl Machine {
    async fn start(store: &Arc<dyn ObjectStore>, data: &FilePath) -> Self {
        let taken = take_part(parts(store, data, 600), &CancellationToken::new(), || {}).await.unwrap();
        let active = taken.expect("it was not asked to stop");
        let tasks = Tasks::new();
        let (path, ship) = (data.join("agency.db"), DbShip::new(active.shipper().clone(), DbOf::Agency));
        let signer = NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[3; 32]).unwrap();
        let set = WitnessSet::nobody(signer.verifier_key().clone());
        let log_ship = LogShip::new(active.shipper().clone(), LogOf::Recorder);
        let (logs, tasks_too) = (data.join("log"), tasks.clone());
        let (db, log) = tokio::task::spawn_blocking(move || {
            let db = Db::open_shipped(&path, SCHEMA, Some(ship)).unwrap();
            let (party, clock) = (([9; 16], [0; 32]), Arc::new(SystemClock::new()));
            let log = LogOnDisk::load_shipped(&logs, signer, LogKind::Desk, party, clock, &tasks_too, Some(log_ship));
            (db, log.unwrap())
        })
        .await
        .unwrap();
        let witnesses = LogWitnesses {
            set,
            without: std::collections::BTreeSet::new(),
            wait: lockplate_core::charter::LeafWait::Durable,
        };
        let log = log.start(witnesses).await.unwrap();
        active.write_bases(vec![db.clone()]);
        Self { active, db, log, tasks }
    }

    async fn insert(&self, id: i64, bytes: Vec<u8>) {
        let inserted = self.db.transaction(move |db| {
            db.execute("INSERT INTO thing VALUES (?1, ?2)", rusqlite::params![id, bytes])?;
            Ok(())
        });
        inserted.await.unwrap();
    }

    async fn things(&self) -> Vec<(i64, i64)> {
        let things = self.db.call(|db| {
            let mut rows = db.prepare("SELECT id, length(bytes) FROM thing ORDER BY id")?;
            Ok(rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
        });
        things.await.unwrap()
    }

    async fn say(&self, cells: u64) -> u64 {
        let leaf = DisclosureLeaf {
            request: [1; 32],
            grant: [2; 32],
            owner: AgencyId([3; 16]),
            cells,
            others: 0,
            outcome: Outcome::None,
        };
        self.log.append(vec![LogEntry::Disclosure(leaf)]).await.unwrap()[0]
    }

    /// The process is gone from one moment to the next, as far as a test can have that: nothing is shipped any more.
    async fn kill(self) {
        self.active.end(false).await;
        drop((self.db, self.log));
        let _cut_off = self.tasks.finish(Duration::from_secs(10)).await;
    }
}

async fn ship_spool(machine: &Machine, epoch: EpochId, at: u64, bytes: &[u8]) {
    machine.active.shipper().ship(vec![Piece::Spool { epoch, at, bytes: bytes.to_vec() }]).await.unwrap();
}

fn keys(store: &Arc<dyn ObjectStore>, folder: &'static str) -> impl Future<Output = Vec<String>> + use<> {
    use futures_util::TryStreamExt as _;
    let listed = store.list(Some(&Path::from("agency").join(folder)));
    async move { listed.map_ok(|object| object.location.to_string()).try_collect::<Vec<_>>().await.unwrap() }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_on_the_machine_that_takes_over_though_the_first_ones_disk_is_gone() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let epoch = EpochId([5; 16]);

    let one = Machine::start(&store, first.path()).await;
    one.insert(1, vec![1; 10]).await;
    // More than a piece holds, so in several pieces of several records.
    one.insert(2, vec![2; 9_000_000]).await;
    let deleted = one.db.transaction(|db| Ok(db.execute("DELETE FROM thing WHERE id = 1", [])?));
    assert_eq!(deleted.await, Ok(1));
    let failed = one.db.transaction(|db| {
        db.execute("INSERT INTO thing VALUES (7, x'00')", [])?;
        Err::<(), _>(crate::db::DbError::new(crate::db::DbErrorKind::Constraint))
    });
    failed.await.unwrap_err();
    let mut last = 0;
    for cells in 0..300 {
        last = one.say(cells).await;
    }
    ship_spool(&one, epoch, 0, b"cells and ").await;
    ship_spool(&one, epoch, 10, b"more cells").await;
    one.kill().await;
    drop(first);

    let two = Machine::start(&store, second.path()).await;
    assert_eq!(two.things().await, [(2, 9_000_000)]);
    assert_eq!(two.log.size().await, Ok(last + 1));
    assert_eq!(std::fs::read(second.path().join(format!("spool/{epoch}.cells"))).unwrap(), b"cells and more cells");
    assert_eq!(two.say(1_000).await, last + 1, "one log goes on");
    two.insert(3, vec![3; 3]).await;

    // A base of what is there now: most of the journal is removed, and a third machine begins there.
    two.active.shipper().base_is_due();
    let before = keys(&store, "journal").await.len();
    until("a base is written", async || keys(&store, "journal").await.len() < before / 2).await;
    assert_eq!(keys(&store, "base").await.len(), 1);
    two.insert(4, vec![4; 4]).await;
    two.say(1_001).await;
    two.kill().await;
    drop(second);
    let third = tempfile::tempdir().unwrap();
    let three = Machine::start(&store, third.path()).await;
    assert_eq!(three.things().await, [(2, 9_000_000), (3, 3), (4, 4)]);
    assert_eq!(three.log.size().await, Ok(last + 3));
    three.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_comes_back_behind_another_keeps_its_old_files_aside_and_follows() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = Machine::start(&store, first.path()).await;
    one.insert(1, vec![1]).await;
    // A cell that was never shipped, so never acknowledged.
    std::fs::create_dir_all(first.path().join("spool")).unwrap();
    std::fs::File::create(first.path().join("spool/unshipped.cells")).unwrap();
    one.kill().await;

    // The same machine again: nobody else came between, nothing is kept aside.
    let one = Machine::start(&store, first.path()).await;
    assert_eq!(one.things().await, [(1, 1)]);
    assert!(!first.path().join("spool/unshipped.cells").exists());
    let aside = |folder: &TempDir| {
        let names =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("fenced-")).collect::<Vec<_>>()
    };
    assert!(aside(&first).is_empty());

    // The other machine takes over while this one hangs; what this one then wants to say is said to nobody.
    std::fs::File::create(first.path().join("spool/unshipped.cells")).unwrap();
    let fenced = CancellationToken::new();
    let told = fenced.clone();
    let standby = parts(&store, second.path(), 0);
    let two = take_part(standby, &CancellationToken::new(), move || told.cancel()).await.unwrap().unwrap();
    until("the first is fenced", async || one.active.shipper().ship(vec![]).await.is_err()).await;
    let refused = one.db.transaction(|db| Ok(db.execute("INSERT INTO thing VALUES (2, x'00')", [])?)).await;
    assert_eq!(refused.unwrap_err().kind(), crate::db::DbErrorKind::Fatal);
    assert!(!fenced.is_cancelled(), "the second is not");
    one.kill().await;

    // It comes back, and reads; it may not claim, because the second lives.
    let stop = CancellationToken::new();
    let following = take_part(parts(&store, first.path(), 60_000), &stop, || {});
    let look = async {
        until("the old files are aside", async || aside(&first).len() == 1).await;
        stop.cancel();
    };
    let (followed, ()) = tokio::join!(following, look);
    assert!(followed.unwrap().is_none(), "it was asked to stop before it was the active one");
    let aside = first.path().join(&aside(&first)[0]);
    assert!(aside.join("spool/unshipped.cells").exists() && aside.join("agency.db").exists());
    two.end(true).await;

    // The second resigned: nobody waits for it.
    let one = tokio::time::timeout(Duration::from_secs(20), Machine::start(&store, first.path())).await.unwrap();
    assert_eq!(one.things().await, [(1, 1)], "what was not shipped is not there");
    one.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_slept_through_a_base_does_not_own_a_number_that_was_removed() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = Machine::start(&store, first.path()).await;
    one.insert(1, vec![1]).await;
    let journal = parts(&store, first.path(), 0).journal;
    // A record that a sleeper would try next, and that a base has replaced.
    let number = one.active.shipper().next();
    one.insert(2, vec![2]).await;
    until("the record is there", async || journal.read(number).await.unwrap().is_some()).await;
    until("a base replaces it", async || {
        one.active.shipper().base_is_due();
        journal.read(number).await.unwrap().is_none()
    })
    .await;
    // The sleeper's put succeeds, and the machine that checks as it must finds the base beyond it.
    let object = journal.record(cipher::Run::random(), number, &[Piece::Owner]).unwrap();
    assert_eq!(journal.claim(number, &object).await, Ok(journal::Claimed::Mine));
    assert!(journal.newest_base().await.unwrap().unwrap() > number);
    // The owner goes on undisturbed, and one that joins is not led astray.
    one.insert(3, vec![3]).await;
    one.kill().await;
    let two = Machine::start(&store, second.path()).await;
    assert_eq!(two.things().await.len(), 3);
    two.kill().await;
}

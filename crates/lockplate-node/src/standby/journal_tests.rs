use super::*;

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use lockplate_core::id::EpochId;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutResult,
};
use zeroize::Zeroizing;

use crate::clock::SystemClock;
use crate::standby::ship::{Ended, Shipper};
use crate::standby::watch::{Event, Step, Watch};

/// A sequence of numbers by which a run of a test can be had again (xorshift).
#[derive(Debug)]
pub(in crate::standby) struct Dice(Mutex<u64>);

impl Dice {
    pub(in crate::standby) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// True once in `one_in` times.
    pub(in crate::standby) fn hits(&self, one_in: u64) -> bool {
        let mut state = self.0.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11).is_multiple_of(one_in)
    }
}

/// A store on a bad network: a request is lost, or is carried out and its answer is lost, or is carried out late.
#[derive(Debug)]
struct Lossy {
    inner: InMemory,
    dice: Dice,
    /// Puts whose caller has given up, and which arrive all the same.
    late: Mutex<Vec<(Path, PutPayload, PutOptions)>>,
}

impl core::fmt::Display for Lossy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Lossy")
    }
}

impl Lossy {
    fn lost() -> StoreError {
        StoreError::Generic { store: "lossy", source: "lost".into() }
    }

    async fn pass<T>(&self, ask: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
        while self.dice.hits(3) {
            tokio::task::yield_now().await;
        }
        if self.dice.hits(4) {
            let late = self.late.lock().unwrap().pop();
            if let Some((path, payload, options)) = late {
                let _too_late_or_not = self.inner.put_opts(&path, payload, options).await;
            }
        }
        if self.dice.hits(8) {
            return Err(Self::lost());
        }
        let answer = ask.await;
        if self.dice.hits(8) { Err(Self::lost()) } else { answer }
    }
}

#[async_trait::async_trait]
impl ObjectStore for Lossy {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        if self.dice.hits(8) {
            self.late.lock().unwrap().push((path.clone(), payload, options));
            return Err(Self::lost());
        }
        self.pass(self.inner.put_opts(path, payload, options)).await
    }
    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }
    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.pass(self.inner.get_opts(path, options)).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A store whose put ignores its condition.
#[derive(Debug)]
struct Unconditional(InMemory);

impl core::fmt::Display for Unconditional {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Unconditional")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Unconditional {
    async fn put_opts(&self, path: &Path, payload: PutPayload, _: PutOptions) -> object_store::Result<PutResult> {
        self.0.put_opts(path, payload, PutOptions::default()).await
    }
    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }
    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.0.get_opts(path, options).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

pub(in crate::standby) fn journal(store: Arc<dyn ObjectStore>) -> Journal {
    Journal::new(store, Path::from("agency"), Cipher::new(Zeroizing::new([7; 32]), [1; 16]))
}

/// One machine: it follows, claims without waiting, ships values and dies, again and again.
async fn machine(journal: Journal, dice: Arc<Dice>, name: u64, acknowledged: Arc<Mutex<Vec<(Run, u64)>>>) {
    let mut value = name * 1_000_000;
    for _life in 0..6 {
        let now = Duration::ZERO;
        let mut watch = Watch::new(0, now, BTreeSet::new());
        let (run, number) = loop {
            let event = match watch.plan(now, Duration::ZERO) {
                Step::Read(number) => match journal.read(number).await {
                    Ok(Some(record)) => Event::Record { run: record.run, resigned: false },
                    Ok(None) => Event::Nothing,
                    Err(_down) => Event::NoAnswer,
                },
                Step::Pause => Event::Woke,
                Step::Claim(number) => {
                    let run = Run::random();
                    let object = journal.record(run, number, &[Piece::Owner]).unwrap();
                    let claimed = loop {
                        match journal.claim(number, &object).await {
                            Ok(claimed) => break claimed,
                            Err(_down) => tokio::task::yield_now().await,
                        }
                    };
                    match claimed {
                        Claimed::Mine => break (run, number),
                        Claimed::Taken => Event::Taken,
                    }
                }
            };
            watch = watch.apply(event, now);
            tokio::task::yield_now().await;
        };
        let shipper = Shipper::new(number + 1, false, Arc::new(SystemClock::new()));
        let work = async {
            for _ in 0..20 {
                let values: Vec<u64> = (value..value + 3).collect();
                value += 3;
                let ship =
                    |at: &u64| shipper.ship(vec![Piece::Spool { epoch: EpochId([0; 16]), at: *at, bytes: vec![] }]);
                for (at, shipped) in values.iter().zip(join_all(values.iter().map(ship)).await) {
                    match shipped {
                        Ok(()) => acknowledged.lock().unwrap().push((run, *at)),
                        Err(_fenced) => return,
                    }
                }
                if dice.hits(12) {
                    // Killed: what is on its way may or may not arrive.
                    return;
                }
            }
        };
        tokio::select! {
            ended = shipper.clone().run(journal.clone(), run, Duration::from_millis(1), Duration::from_secs(60)) => assert_eq!(ended, Ended::Fenced),
            () = work => {}
        }
    }
}

/// Owners that there were, and values that were acknowledged.
async fn two_machines(seed: u64) -> (usize, usize) {
    let store = Arc::new(Lossy { inner: InMemory::new(), dice: Dice::new(seed), late: Mutex::default() });
    let journal = journal(store);
    let acknowledged = Arc::default();
    let dice = Arc::new(Dice::new(seed + 1_000));
    let machines = (1..=2).map(|name| machine(journal.clone(), dice.clone(), name, Arc::clone(&acknowledged)));
    join_all(machines).await;
    let (mut owner, mut owned, mut found, mut number) = (None, BTreeSet::new(), BTreeMap::new(), 0);
    loop {
        let record = match journal.read(number).await {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(_lost) => continue,
        };
        if record.pieces.contains(&Piece::Owner) {
            assert!(owned.insert(record.run), "seed {seed}: a run owns the journal once");
            owner = Some(record.run);
        }
        assert_eq!(owner, Some(record.run), "seed {seed}: record {number} is not the owner's");
        for piece in record.pieces {
            if let Piece::Spool { at, .. } = piece {
                assert_eq!(found.insert(at, record.run), None, "seed {seed}: a value twice");
            }
        }
        number += 1;
    }
    let acknowledged = acknowledged.lock().unwrap();
    for (run, value) in acknowledged.iter() {
        assert_eq!(found.get(value), Some(run), "seed {seed}: an acknowledged value is missing");
    }
    (owned.len(), acknowledged.len())
}

#[tokio::test]
async fn with_two_writers_and_lost_answers_there_is_one_owner_at_a_time_and_nothing_acknowledged_is_missing() {
    // Together, because each waits a lot for its store.
    let outcomes = join_all((1..60).map(two_machines)).await;
    let (owners, said) = outcomes.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(owners > 59 * 4 && said > 59 * 10, "{owners} owners acknowledged {said} values");
}

#[tokio::test]
async fn a_store_that_ignores_the_condition_is_refused() {
    assert_eq!(journal(Arc::new(InMemory::new())).probe().await, Ok(()));
    assert_eq!(journal(Arc::new(Unconditional(InMemory::new()))).probe().await, Err(StoreFault::NotConditional));
}

#[tokio::test]
async fn another_agencys_record_at_the_next_number_is_no_answer() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let ours = journal(store.clone());
    let theirs = Journal::new(store, Path::from("agency"), Cipher::new(Zeroizing::new([8; 32]), [1; 16]));
    let object = theirs.record(Run::random(), 0, &[Piece::Owner]).unwrap();
    assert_eq!(theirs.claim(0, &object).await, Ok(Claimed::Mine));
    assert_eq!(ours.read(0).await, Err(StoreFault::Foreign));
    let own = ours.record(Run::random(), 0, &[Piece::Owner]).unwrap();
    assert_eq!(ours.claim(0, &own).await, Ok(Claimed::Taken));
    assert_eq!(ours.read(1).await, Ok(None));
}

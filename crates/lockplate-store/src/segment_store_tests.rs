#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose, which `durable` cannot")]
use super::*;
use crate::conformance::{self, Violation};
use object_store::memory::InMemory;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tempfile::tempdir;

const EPOCH: EpochId = EpochId([9; 16]);

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn segment(seed: u64) -> Segment {
    Segment::build(3, Vec::new(), &mut ChaCha20Rng::seed_from_u64(seed)).unwrap()
}

async fn closed_folder(folder: &FilePath) -> SegmentStore {
    let store = SegmentStore::open_folder(folder).unwrap();
    store.put_segment(EPOCH, Bytes::from_static(b"h"), segment(1)).await.unwrap();
    store.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
    store
}

#[tokio::test]
async fn the_folder_conforms() {
    let folder = tempdir().unwrap();
    let store = SegmentStore::open_folder(&folder.path().join("archive")).unwrap();
    conformance::check(&store, &mut rng()).await.unwrap();
    store.sweep().unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("archive")).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn the_object_store_conforms() {
    for prefix in ["", "agency/archive"] {
        let store = SegmentStore::over(Arc::new(InMemory::new()), Path::from(prefix), true);
        conformance::check(&store, &mut rng()).await.unwrap();
    }
}

/// An archive that serves before the close and swaps two buckets: the suite must be able to fail.
struct Liar(SegmentStore, bool);

impl Archive for Liar {
    async fn put_segment(&self, epoch: EpochId, header: Bytes, segment: Segment) -> Result<EpochStat, Error> {
        self.0.put_segment(epoch, header, segment).await
    }
    async fn put_close(&self, epoch: EpochId, close: Bytes) -> Result<(), Error> {
        self.0.put_close(epoch, close).await
    }
    async fn get_bucket(&self, epoch: EpochId, bucket: u32) -> Result<Bytes, Error> {
        if self.1 { self.0.get_bucket(epoch, bucket ^ 1).await } else { self.0.get_bucket(epoch, bucket).await }
    }
    async fn papers(&self, epoch: EpochId) -> Result<Papers, Error> {
        self.0.papers(epoch).await
    }
    async fn forget_epoch(&self, epoch: EpochId) -> Result<(), Error> {
        if self.1 { self.0.forget_epoch(epoch).await } else { Ok(()) }
    }
    async fn stat(&self, epoch: EpochId) -> Result<EpochStat, Error> {
        self.0.stat(epoch).await
    }
    async fn list(&self) -> Result<Vec<EpochId>, Error> {
        self.0.list().await
    }
}

#[tokio::test]
async fn the_suite_catches_archives_that_break_the_contract() {
    let over = || SegmentStore::over(Arc::new(InMemory::new()), Path::default(), true);
    let swapped = conformance::check(&Liar(over(), true), &mut rng()).await;
    assert_eq!(swapped, Err(Violation("a bucket carries a valid proof")));
    let kept = conformance::check(&Liar(over(), false), &mut rng()).await;
    assert_eq!(kept, Err(Violation("stat of an unknown epoch is NotFound")));
}

#[tokio::test]
async fn a_restart_finds_the_epoch_and_sweeps_temporaries_away() {
    let folder = tempdir().unwrap();
    drop(closed_folder(folder.path()).await);
    let leftover = folder.path().join(EPOCH.to_string()).join("segment#1");
    std::fs::write(&leftover, b"half").unwrap();
    let store = SegmentStore::open_folder(folder.path()).unwrap();
    assert!(!leftover.exists());
    assert!(store.get_bucket(EPOCH, 7).await.is_ok());
    assert_eq!(store.list().await.unwrap(), [EPOCH]);
}

#[tokio::test]
async fn buckets_that_are_read_together_are_those_that_are_read_alone() {
    let folder = tempdir().unwrap();
    drop(closed_folder(folder.path()).await);
    let store = SegmentStore::open_folder(folder.path()).unwrap();
    let other = EpochId([10; 16]);
    store.put_segment(other, Bytes::from_static(b"h"), segment(2)).await.unwrap();
    let asked = [(EPOCH, 7), (other, 1), (EPOCH, 0), (EPOCH, 7)];
    assert!(matches!(store.get_buckets(&asked).await, Err(Error::NotClosed)));
    store.put_close(other, Bytes::from_static(b"c")).await.unwrap();
    let together = store.get_buckets(&asked).await.unwrap();
    let mut alone = Vec::new();
    for (epoch, bucket) in asked {
        alone.push(store.get_bucket(epoch, bucket).await.unwrap());
    }
    assert_eq!(together, alone);
    assert!(matches!(store.get_buckets(&[(EPOCH, 7), (EPOCH, 8)]).await, Err(Error::NoSuchBucket)));
}

#[tokio::test]
async fn an_interrupted_put_is_made_again_with_a_new_segment() {
    let folder = tempdir().unwrap();
    let store = closed_folder(folder.path()).await;
    let epoch = folder.path().join(EPOCH.to_string());
    for lost in [CLOSE, INDEX] {
        std::fs::remove_file(epoch.join(lost)).unwrap();
    }
    drop(store);
    let store = SegmentStore::open_folder(folder.path()).unwrap();
    assert!(matches!(store.stat(EPOCH).await, Err(Error::NotFound)));
    let stat = store.put_segment(EPOCH, Bytes::from_static(b"h"), segment(2)).await.unwrap();
    assert_eq!(stat.segment_root, segment(2).root());
    store.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
    assert!(store.get_bucket(EPOCH, 0).await.is_ok());
}

// A12: a machine that was paused between its look at the epoch and its put wakes when another has closed it.
#[tokio::test]
async fn a_late_writer_takes_nothing_from_the_epoch_that_another_closed() {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (epoch, first, late) in [(EPOCH, 1, 2), (EpochId([8; 16]), 2, 1)] {
        let over = || SegmentStore::over(Arc::clone(&bucket), Path::from("agency"), true);
        let (active, paused) = (over(), over());
        active.put_segment(epoch, Bytes::from_static(b"h"), segment(first)).await.unwrap();
        active.put_close(epoch, Bytes::from_static(b"c")).await.unwrap();
        let put = paused.put_new_segment(epoch, Bytes::from_static(b"h"), segment(late)).await;
        assert!(matches!(put, Err(Error::Conflict)), "{put:?}");
        let stat = over().stat(epoch).await.unwrap();
        assert_eq!((stat.segment_root, stat.closed), (segment(first).root(), true));
        for number in 0..8 {
            let served = over().get_bucket(epoch, number).await.unwrap();
            BucketProof::from_bytes(&served).unwrap().verify(number, &segment(first).root(), 3).unwrap();
        }
        active.forget_epoch(epoch).await.unwrap();
        let left: Vec<_> = bucket.list(Some(&active.folder(epoch))).try_collect().await.unwrap();
        assert!(left.is_empty(), "the late segment goes with its epoch: {left:?}");
    }
}

#[tokio::test]
async fn an_archive_that_was_copied_from_a_folder_into_a_bucket_is_served() {
    let folder = tempdir().unwrap();
    drop(closed_folder(folder.path()).await);
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for entry in std::fs::read_dir(folder.path().join(EPOCH.to_string())).unwrap() {
        let entry = entry.unwrap();
        let path = Path::from(format!("agency/{EPOCH}/{}", entry.file_name().to_str().unwrap()));
        bucket.put(&path, std::fs::read(entry.path()).unwrap().into()).await.unwrap();
    }
    let store = SegmentStore::over(Arc::clone(&bucket), Path::from("agency"), true);
    for number in 0..8 {
        let served = store.get_bucket(EPOCH, number).await.unwrap();
        BucketProof::from_bytes(&served).unwrap().verify(number, &segment(1).root(), 3).unwrap();
    }
    store.forget_epoch(EPOCH).await.unwrap();
    let left: Vec<_> = bucket.list(Some(&store.folder(EPOCH))).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_failed_tries_left_in_a_bucket_goes_when_one_succeeds() {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = SegmentStore::over(Arc::clone(&bucket), Path::from("agency"), true);
    for seed in [2, 3] {
        let failed = segment(seed);
        store.put(&store.segment(EPOCH, &failed.root()), failed.into_bytes().into()).await.unwrap();
    }
    store.put_segment(EPOCH, Bytes::from_static(b"h"), segment(1)).await.unwrap();
    store.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
    let left: Vec<_> = bucket.list(Some(&store.folder(EPOCH))).try_collect().await.unwrap();
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(store.get_bucket(EPOCH, 7).await.is_ok());
}

#[tokio::test]
async fn a_forgotten_epoch_is_out_of_the_way_at_once_and_its_room_is_given_back_by_the_sweep() {
    let folder = tempdir().unwrap();
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    // Twice: the second finds what the first left.
    for _ in 0..2 {
        let store = closed_folder(folder.path()).await;
        store.forget_epoch(EPOCH).await.unwrap();
        assert!(matches!(store.get_bucket(EPOCH, 0).await, Err(Error::NotFound)));
        assert_eq!(store.list().await.unwrap(), []);
        assert_eq!(names(), [format!("{EPOCH}.tmp")]);
    }
    SegmentStore::open_folder(folder.path()).unwrap().sweep().unwrap();
    assert!(names().is_empty());
}

// A15, D8: rot or tampering on the archive's own disk is never served, whichever byte it hits.
#[tokio::test]
async fn damaged_objects_are_not_served() {
    let folder = tempdir().unwrap();
    drop(closed_folder(folder.path()).await);
    for (name, step) in [(INDEX, 1), (SEGMENT, 997)] {
        let path = folder.path().join(EPOCH.to_string()).join(name);
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            let store = SegmentStore::over(
                Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()),
                Path::default(),
                true,
            );
            let mut failed = 0;
            for bucket in 0..8 {
                match store.get_bucket(EPOCH, bucket).await {
                    Ok(bytes) => {
                        let proof = BucketProof::from_bytes(&bytes).unwrap();
                        proof.verify(bucket, &segment(1).root(), 3).unwrap();
                    }
                    Err(Error::Damaged(_) | Error::NoSuchBucket | Error::Unavailable(_)) => failed += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            // On the count of cells no bucket rests where it says too many; `fsck` compares it with the close.
            assert!(failed > 0 || (name == INDEX && (9..17).contains(&at)), "{name} {at}");
        }
        std::fs::write(&path, &good).unwrap();
    }
    std::fs::remove_file(folder.path().join(EPOCH.to_string()).join(SEGMENT)).unwrap();
    let store = SegmentStore::open_folder(folder.path()).unwrap();
    assert!(matches!(store.get_bucket(EPOCH, 0).await, Err(Error::Damaged(_))));
}

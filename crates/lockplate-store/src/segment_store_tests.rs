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
            // The count of cells is the one field that no bucket rests on; `fsck` compares it with the close.
            assert_eq!(failed == 0, name == INDEX && (9..17).contains(&at), "{name} {at}");
        }
        std::fs::write(&path, &good).unwrap();
    }
    std::fs::remove_file(folder.path().join(EPOCH.to_string()).join(SEGMENT)).unwrap();
    let store = SegmentStore::open_folder(folder.path()).unwrap();
    assert!(matches!(store.get_bucket(EPOCH, 0).await, Err(Error::Damaged(_))));
}

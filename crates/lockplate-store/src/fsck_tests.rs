#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose, which `durable` cannot")]
use super::*;
use crate::contract::Archive as _;
use crate::segment_store::SegmentStore;
use crate::spool::SpoolWriter;
use bytes::Bytes;
use lockplate_core::segment::{Segment, SpoolCell};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tempfile::{TempDir, tempdir};

const EPOCH: EpochId = EpochId([5; 16]);

fn segment() -> Segment {
    Segment::build(2, Vec::new(), &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of the caller's closure")]
fn promised(_: EpochId, _: &[u8], _: &[u8]) -> Option<Promise> {
    let segment = segment();
    Some(Promise { bucket_bits: 2, cells_padded: segment.cells_padded(), segment_root: segment.root() })
}

async fn archive() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let store = SegmentStore::open_folder(folder.path()).unwrap();
    store.put_segment(EPOCH, Bytes::from_static(b"h"), segment()).await.unwrap();
    store.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
    let epoch = folder.path().join(EPOCH.to_string());
    (folder, epoch)
}

fn problems(report: &Report) -> Vec<Problem> {
    report.findings.iter().map(|finding| finding.problem.clone()).collect()
}

#[tokio::test]
async fn a_sound_archive_has_no_findings() {
    let (folder, _) = archive().await;
    let mut told = Vec::new();
    let report = check_archive(folder.path(), promised, |progress| told.push(progress)).unwrap();
    assert_eq!(report, Report { epochs: 1, cells: 64, ..Report::default() });
    let total = 64 * u64::try_from(CELL_BYTES).unwrap();
    assert!(told.is_sorted_by_key(|progress| progress.done) && told.iter().all(|progress| progress.total == total));
    assert_eq!(told.last(), Some(&Progress { done: total, total }));
    assert_eq!(report.worst(), Severity::Ok);
}

#[tokio::test]
async fn every_flipped_byte_of_index_and_segment_is_found() {
    let (folder, epoch) = archive().await;
    for (name, step) in [(INDEX, 1), (SEGMENT, 61)] {
        let path = epoch.join(name);
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(
                check_archive(folder.path(), promised, |_| {}).unwrap().worst(),
                Severity::Failed,
                "{name} {at}"
            );
        }
        for length in [good.len() - 1, good.len() + 1, 0] {
            let mut bad = good.clone();
            bad.resize(length, 0);
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(
                check_archive(folder.path(), promised, |_| {}).unwrap().worst(),
                Severity::Failed,
                "{name} {length}"
            );
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[tokio::test]
async fn papers_that_are_missing_or_promise_something_else_are_found() {
    let (folder, epoch) = archive().await;
    let check =
        |promise: fn(EpochId, &[u8], &[u8]) -> Option<Promise>| check_archive(folder.path(), promise, |_| {}).unwrap();
    assert_eq!(problems(&check(|_, _, _| None)), [Problem::Unverified]);
    let other = check(|e, h, c| promised(e, h, c).map(|p| Promise { segment_root: [0; 32], ..p }));
    assert_eq!(problems(&other), [Problem::Mismatch("the signed papers promise another segment")]);
    check_archive(
        folder.path(),
        |epoch, header, close| {
            assert_eq!((epoch, header, close), (EPOCH, b"h".as_slice(), b"c".as_slice()));
            None
        },
        |_| {},
    )
    .unwrap();
    std::fs::write(epoch.join(HEADER), b"").unwrap();
    assert_eq!(problems(&check(promised)), [Problem::Papers]);
    std::fs::remove_file(epoch.join(HEADER)).unwrap();
    assert_eq!(problems(&check(promised)), [Problem::Papers]);
    std::fs::remove_file(epoch.join(CLOSE)).unwrap();
    assert_eq!(problems(&check(promised)), [Problem::NotClosed]);
    std::fs::remove_file(epoch.join(INDEX)).unwrap();
    let report = check(promised);
    assert_eq!(problems(&report), [Problem::Unfinished]);
    assert_eq!(report.worst(), Severity::Ok, "what a crash leaves is no alarm");
}

#[tokio::test]
async fn strange_and_leftover_files_are_listed() {
    let (folder, epoch) = archive().await;
    for path in [epoch.join("segment#1"), epoch.join("x"), folder.path().join("y"), folder.path().join("z.0.tmp")] {
        std::fs::write(path, b"").unwrap();
    }
    let report = check_archive(folder.path(), promised, |_| {}).unwrap();
    let mut found = problems(&report);
    found.sort_by_key(Problem::severity);
    assert_eq!(found, [Problem::LeftoverTemporary, Problem::LeftoverTemporary, Problem::Foreign, Problem::Foreign]);
    assert_eq!(report.worst(), Severity::Warning);
}

#[test]
fn spools_are_told_whole_torn_or_damaged() {
    let folder = tempdir().unwrap();
    let path = folder.path().join(format!("{EPOCH}{SPOOL_SUFFIX}"));
    let mut writer = SpoolWriter::create(&path, EPOCH).unwrap();
    for _ in 0..2 {
        writer.append(&[SpoolCell { bucket: 0, cell: [1; CELL_BYTES] }]).unwrap();
    }
    let check = || check_spools(folder.path()).unwrap();
    assert_eq!(problems(&check()), [Problem::OrphanSpool(writer.tally())]);
    assert_eq!(check().cells, 2);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() - 1]).unwrap();
    assert!(matches!(problems(&check())[..], [Problem::TornSpool(SpoolTally { count: 1, .. })]));
    assert_eq!(check().worst(), Severity::Warning);
    let mut bad = good.clone();
    bad[60] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    assert_eq!(problems(&check()), [Problem::DamagedSpool]);
    assert_eq!(check().worst(), Severity::Failed);
    std::fs::write(folder.path().join("a"), b"").unwrap();
    assert!(problems(&check()).contains(&Problem::Foreign));
}

#[test]
fn a_report_is_bounded_and_says_what_it_left_out() {
    let mut report = Report::default();
    for _ in 0..FINDINGS_MAX + 5 {
        report.add(Path::new("a"), Problem::LeftoverTemporary);
    }
    assert_eq!((report.findings.len(), report.more), (FINDINGS_MAX, 5));
    assert_eq!(report.worst(), Severity::Warning);
    report.add(Path::new("a"), Problem::DamagedSpool);
    assert_eq!(report.worst(), Severity::Failed, "a failure that is left out still counts");
}

mod logs {
    use super::*;

    use lockplate_log::{Entry, Log, NoteSigner, Origin};

    use crate::log_files::FileLogStorage;

    struct Said(usize);

    impl Entry for Said {
        fn leaf(&self) -> Vec<u8> {
            format!("leaf {}", self.0).into_bytes()
        }
        fn time(&self) -> u64 {
            1
        }
    }

    fn log() -> (TempDir, Log<FileLogStorage>) {
        let folder = tempdir().unwrap();
        let origin = Origin::parse("clerk.millbrook.example/log/keeper").unwrap();
        let storage = FileLogStorage::acquire(folder.path(), &origin).unwrap();
        let mut log = Log::create(storage, NoteSigner::new(origin, &[7; 32]).unwrap()).unwrap();
        for batch in [0..300, 300..550, 550..800] {
            drop(log.append_batch(batch.map(Said).collect()).unwrap());
        }
        let head = log.head().clone();
        log.publish(&head, &[]).unwrap();
        (folder, log)
    }

    fn check(log: &Log<FileLogStorage>) -> Report {
        check_log(&log.storage().public(), log.head().checkpoint(), |_, _| {}).unwrap()
    }

    #[test]
    fn a_sound_log_has_no_findings() {
        let (_folder, log) = log();
        let report = check(&log);
        assert_eq!((report.worst(), report.epochs, report.cells), (Severity::Ok, 1, 800));
        assert_eq!(problems(&report), []);
        // A temporary of a crash is as it should be; what nobody of ours wrote is told.
        let tiles = log.storage().public().join("tile/0");
        std::fs::write(tiles.join("000.7.tmp"), b"half").unwrap();
        assert_eq!(problems(&check(&log)), [Problem::LeftoverTemporary]);
        std::fs::write(tiles.join("readme"), b"?").unwrap();
        std::fs::write(log.storage().public().join("x"), b"?").unwrap();
        assert_eq!(check(&log).worst(), Severity::Warning);
        assert_eq!(check(&log).findings.len(), 3);
    }

    #[test]
    fn every_damage_is_found_and_what_is_beside_it_still_checked() {
        let (_folder, log) = log();
        let public = log.storage().public();
        let damage = |file: &str| {
            let mut bytes = std::fs::read(public.join(file)).unwrap();
            bytes[5] ^= 1;
            std::fs::write(public.join(file), bytes).unwrap();
        };
        damage("tile/entries/000");
        std::fs::remove_file(public.join("tile/0/001")).unwrap();
        let report = check(&log);
        assert_eq!(report.worst(), Severity::Failed);
        let paths: Vec<_> = report.findings.iter().map(|finding| finding.path.clone()).collect();
        assert_eq!(paths, [public.join("tile/entries/000"), public.join("tile/0/001")]);
        assert_eq!(report.cells, 800 - 512, "the rest was read");
        damage("tile/0/003.p/32");
        let report = check(&log);
        assert_eq!((report.findings[0].path.clone(), report.cells), (public.join("tile/0/003.p/32"), 0));
        std::fs::write(public.join("tile/0/003.p/33"), [0; 32]).unwrap();
        assert!(check(&log).findings.iter().any(|finding| finding.path.ends_with("tile/0/003.p/33")));
    }
}

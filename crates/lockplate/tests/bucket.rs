//! The archive in a bucket of an S3-compatible store, against a real S3 server: the contract, a store that fails in each way it can, and
//! towns of real processes whose closed epochs lie there. What was acknowledged is found, nothing unverified is served, and a store that is
//! away never reads as "no match" (A15, D8).
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::wildcard_enum_match_arm,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says by a panic what is wrong"
)]

mod store;
mod town;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use lockplate_core::epoch::EpochHeader;
use lockplate_core::id::EpochId;
use lockplate_core::limits::CELL_BYTES;
use lockplate_core::segment::{BucketProof, Segment, SpoolCell};
use lockplate_core::sign::Signed;
use lockplate_node::api::EpochList;
use lockplate_node::object_storage::BucketSettings;
use lockplate_store::conformance;
use lockplate_store::contract::{Archive as _, Error};
use lockplate_store::segment_store::{PART_BYTES, PUBLIC, SegmentStore, why};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use store::front::Front;
use store::{Asked, Bad, Bucket};
use town::{PATIENCE, READER, Terms, Town, WRITER, moment, pause, wait_until};

const EPOCH: EpochId = EpochId([7; 16]);
const PLATES: [&str; 3] = ["KXT4107", "KXT4206", "WRN3317"];
const CREDENTIALS: &str = "keys/archive.s3";

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

/// The archive in the bucket, opened as an agency opens it.
fn archive(bucket: &Bucket, prefix: &str, key: (&str, &str), conditional_put: bool) -> SegmentStore {
    let folder = tempfile::tempdir().unwrap();
    town::write_secret(&folder.path().join("s3"), format!("{}\n{}\n", key.0, key.1).as_bytes());
    let config = toml::from_str(&bucket.section(prefix, "s3", conditional_put)).unwrap();
    let file = folder.path().join("agency.toml");
    let opened = BucketSettings::of(&file, "recorder.archive", folder.path(), config).unwrap().open().unwrap();
    SegmentStore::over(opened.store, opened.prefix, opened.conditional_put)
}

fn segment(cells: u32) -> Segment {
    let mut rng = rng();
    let cells = (0..cells).map(|n| {
        let mut cell = [0; CELL_BYTES];
        rng.fill_bytes(&mut cell);
        SpoolCell { bucket: n % 8, cell }
    });
    Segment::build(3, cells.collect(), &mut ChaCha20Rng::seed_from_u64(2)).unwrap()
}

/// True if the bytes are this bucket of this segment, proved.
fn is_bucket(bytes: &[u8], bucket: u32, segment: &Segment) -> bool {
    let proof = BucketProof::from_bytes(bytes).unwrap();
    proof.verify(bucket, &segment.root(), segment.bucket_bits()).unwrap().bytes() == segment.bucket(bucket).unwrap()
}

#[test]
fn a_bucket_keeps_every_sentence_of_the_contract() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        for (prefix, conditional_put) in [("", true), ("millbrook/a", true), ("millbrook/b", false)] {
            let archive = archive(&bucket, prefix, WRITER, conditional_put);
            conformance::check(&archive, &mut rng()).await.unwrap();
            assert!(archive.list().await.unwrap().is_empty(), "nothing is left behind");
        }
        // Two recorders in one bucket do not see each other.
        let (one, other) = (archive(&bucket, "one", WRITER, true), archive(&bucket, "other", WRITER, true));
        one.put_segment(EPOCH, Bytes::from_static(b"h"), segment(9)).await.unwrap();
        assert!(matches!(other.stat(EPOCH).await, Err(Error::NotFound)));
        assert!(other.list().await.unwrap().is_empty());
    });
}

#[test]
fn a_large_segment_goes_in_parts_is_read_in_two_ranges_a_bucket_and_is_dropped_in_five_requests() {
    let bucket = Bucket::start();
    let large = u32::try_from(2 * PART_BYTES / CELL_BYTES).unwrap() + 1_000;
    let mut requests_of_a_drop = Vec::new();
    bucket.runtime().block_on(async {
        for cells in [50, large] {
            let archive = archive(&bucket, "", WRITER, true);
            let segment = segment(cells);
            archive.put_segment(EPOCH, Bytes::from_static(b"h"), segment.clone()).await.unwrap();
            let parts = bucket.asked().iter().filter(|asked| asked.query.contains("partNumber=")).count();
            assert_eq!(parts, if cells == large { 3 } else { 0 });
            archive.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
            assert!(is_bucket(&archive.get_bucket(EPOCH, 0).await.unwrap(), 0, &segment));
            bucket.asked();
            assert!(is_bucket(&archive.get_bucket(EPOCH, 5).await.unwrap(), 5, &segment));
            let asked = bucket.asked();
            assert!(asked.iter().all(|asked| asked.method == Method::GET && asked.range), "{asked:?}");
            assert_eq!(asked.len(), 2, "a range of the index and one of the segment");
            let begun = moment();
            archive.forget_epoch(EPOCH).await.unwrap();
            eprintln!("an epoch of {cells} cells was dropped in {:?}", begun.elapsed());
            requests_of_a_drop.push(bucket.asked().len());
        }
    });
    assert_eq!(requests_of_a_drop, [5, 5], "four objects and one look at what else there is, whatever their size");
}

#[test]
fn what_buckets_of_one_epoch_share_is_read_once() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        let (writer, segment) = (archive(&bucket, "", WRITER, true), segment(400));
        let asked_of = [EPOCH, EpochId([6; 16])];
        for epoch in asked_of {
            writer.put_segment(epoch, Bytes::from_static(b"h"), segment.clone()).await.unwrap();
            writer.put_close(epoch, Bytes::from_static(b"c")).await.unwrap();
        }
        let asked: Vec<_> = asked_of.into_iter().flat_map(|epoch| (0..8).map(move |number| (epoch, number))).collect();
        bucket.asked();
        // A fresh process, which knows nothing yet.
        let together = archive(&bucket, "", READER, true).get_buckets(&asked).await.unwrap();
        for ((_, number), bytes) in asked.iter().zip(&together) {
            assert!(is_bucket(bytes, *number, &segment));
        }
        assert_eq!(
            bucket.asked().len(),
            2 * asked_of.len() + 2 * asked.len(),
            "index and close of an epoch, and two ranges of a bucket"
        );
    });
}

#[test]
fn a_part_that_fails_leaves_no_segment_and_no_parts() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        let archive = archive(&bucket, "", WRITER, true);
        let large = segment(u32::try_from(PART_BYTES / CELL_BYTES).unwrap() + 1_000);
        bucket.go_wrong(Bad::Status(500), 100, |asked| asked.query.contains("partNumber=2"));
        let put = archive.put_segment(EPOCH, Bytes::from_static(b"h"), large.clone()).await;
        assert!(matches!(put, Err(Error::Unavailable(_))), "{put:?}");
        bucket.be_well();
        assert!(bucket.asked().iter().any(|asked| asked.method == Method::DELETE && asked.query.contains("uploadId=")));
        assert!(matches!(archive.stat(EPOCH).await, Err(Error::NotFound)));
        archive.put_segment(EPOCH, Bytes::from_static(b"h"), large.clone()).await.unwrap();
        archive.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
        assert!(is_bucket(&archive.get_bucket(EPOCH, 7).await.unwrap(), 7, &large));
    });
}

#[test]
fn a_put_whose_answer_is_lost_is_known_for_ones_own() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        let archive = archive(&bucket, "", WRITER, true);
        archive.try_conditional_put().await.unwrap();
        let segment = segment(50);
        // Carried out, and no answer; and a store that says so only after the library has asked again.
        for (bad, object) in [(Bad::ResponseCut, "index"), (Bad::ResponseCut, "close")] {
            bucket.go_wrong(bad, 1, move |asked| asked.method == Method::PUT && asked.key.contains(object));
        }
        let put = async || archive.put_segment(EPOCH, Bytes::from_static(b"h"), segment.clone()).await;
        let first = put().await;
        assert!(matches!(first, Ok(_) | Err(Error::Unavailable(_))), "never a conflict with oneself: {first:?}");
        assert_eq!(put().await.unwrap().segment_root, segment.root());
        let first = archive.put_close(EPOCH, Bytes::from_static(b"c")).await;
        assert!(matches!(first, Ok(()) | Err(Error::Unavailable(_))), "{first:?}");
        archive.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
        assert_eq!(bucket.be_well(), 0, "both answers were lost");
        assert!(is_bucket(&archive.get_bucket(EPOCH, 1).await.unwrap(), 1, &segment));
    });
}

#[test]
fn a_store_that_overwrites_in_spite_of_the_condition_is_found_out_before_it_can() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        bucket.go_wrong(Bad::Overwritten, 100, |asked| asked.method == Method::PUT);
        let trusting = archive(&bucket, "", WRITER, true);
        let put = trusting.put_segment(EPOCH, Bytes::from_static(b"h"), segment(9)).await;
        assert_eq!(why(&put.unwrap_err()), "it ignores `If-None-Match: *`");
        assert!(matches!(trusting.stat(EPOCH).await, Err(Error::NotFound)));
        // Said openly, it is worked with: looked for first.
        let open = archive(&bucket, "", WRITER, false);
        open.try_conditional_put().await.unwrap();
        open.put_segment(EPOCH, Bytes::from_static(b"h"), segment(9)).await.unwrap();
        open.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
        let other = open.put_close(EPOCH, Bytes::from_static(b"d")).await;
        assert!(matches!(other, Err(Error::Conflict)), "{other:?}");
    });
}

#[test]
fn whoever_may_only_read_reads_and_is_told_why_it_cannot_write() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        let (writer, reader) = (archive(&bucket, "", WRITER, true), archive(&bucket, "", READER, true));
        let stranger = archive(&bucket, "", ("writer", "another-secret"), true);
        let segment = segment(50);
        writer.put_segment(EPOCH, Bytes::from_static(b"h"), segment.clone()).await.unwrap();
        writer.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
        assert!(is_bucket(&reader.get_bucket(EPOCH, 2).await.unwrap(), 2, &segment));
        for refused in
            [reader.put_public(Bytes::from_static(b"{}")).await.map(drop), stranger.stat(EPOCH).await.map(drop)]
        {
            assert_eq!(why(&refused.unwrap_err()), "it refuses the credentials");
        }
    });
}

/// Every way in which a read can fail: an error or the right bytes, never others, and the right ones when all is well again.
#[test]
fn a_store_that_fails_gives_an_error_and_never_other_bytes() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        let writer = archive(&bucket, "", WRITER, true);
        let segment = segment(400);
        writer.put_segment(EPOCH, Bytes::from_static(b"h"), segment.clone()).await.unwrap();
        writer.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
        let bads = [
            Bad::Status(500),
            Bad::Status(503),
            Bad::Status(404),
            Bad::RequestCut,
            Bad::ResponseCut,
            Bad::BodyCut,
            Bad::Altered,
        ];
        for bad in bads {
            for object in ["index", "segment", "close", "header"] {
                // A fresh process, which knows nothing yet.
                let archive = archive(&bucket, "", READER, true);
                bucket.go_wrong(bad, 1_000, move |asked| asked.key.contains(object));
                for number in 0..4 {
                    match archive.get_bucket(EPOCH, number).await {
                        Ok(bytes) => assert!(is_bucket(&bytes, number, &segment), "{bad:?} {object}"),
                        Err(Error::NotFound | Error::NotClosed) => assert_eq!(bad, Bad::Status(404), "{object}"),
                        Err(Error::Unavailable(_) | Error::Damaged(_)) => {}
                        Err(error) => panic!("{bad:?} {object}: {error:?}"),
                    }
                    if bad == Bad::RequestCut || bad == Bad::ResponseCut {
                        // Each try waits for the library's repeats.
                        break;
                    }
                }
                bucket.be_well();
                assert!(is_bucket(&archive.get_bucket(EPOCH, 6).await.unwrap(), 6, &segment), "{bad:?} {object}");
            }
        }
    });
}

/// A machine of the store that was wiped answers so for some seconds: it must not be taken for an empty archive.
#[test]
fn a_bucket_that_is_not_there_is_a_store_that_is_away() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        let archive = archive(&bucket, "", WRITER, true);
        archive.put_segment(EPOCH, Bytes::from_static(b"h"), segment(400)).await.unwrap();
        archive.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
        assert!(matches!(archive.stat(EpochId([6; 16])).await, Err(Error::NotFound)), "an epoch that never was");
        for method in [Method::GET, Method::PUT] {
            bucket.go_wrong(Bad::NoBucket, 1_000, move |asked| asked.method == method);
            let fresh = self::archive(&bucket, "", WRITER, true);
            assert!(matches!(
                fresh.put_segment(EpochId([6; 16]), Bytes::from_static(b"h"), segment(9)).await,
                Err(Error::Unavailable(_))
            ));
            bucket.be_well();
        }
        bucket.go_wrong(Bad::NoBucket, 1_000, |asked| asked.method == Method::GET);
        assert!(matches!(archive.stat(EPOCH).await, Err(Error::Unavailable(_))));
        assert!(matches!(archive.get_bucket(EPOCH, 1).await, Err(Error::Unavailable(_))));
        bucket.be_well();
        assert!(archive.get_bucket(EPOCH, 1).await.is_ok());
    });
}

/// A machine of the store hangs, before its answer or in it, and another one answers before a read would be given up.
#[test]
fn a_read_that_hangs_is_asked_for_again_in_time_for_a_searcher() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        let archive = archive(&bucket, "", WRITER, true);
        let segment = segment(400);
        archive.put_segment(EPOCH, Bytes::from_static(b"h"), segment.clone()).await.unwrap();
        archive.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
        bucket.go_wrong(Bad::Hung, 2, |asked| asked.key.contains("segment"));
        bucket.go_wrong(Bad::BodyHung, 2, |asked| asked.key.contains("segment"));
        let begun = moment();
        assert!(is_bucket(&archive.get_bucket(EPOCH, 3).await.unwrap(), 3, &segment));
        assert!(begun.elapsed() < Duration::from_secs(19), "{:?}", begun.elapsed());
        assert_eq!(bucket.be_well(), 0, "all of them hung");
    });
}

/// A store that answers drop by drop is given up in bounded time.
#[test]
fn a_slow_store_is_given_up() {
    let bucket = Bucket::start();
    bucket.runtime().block_on(async {
        let archive = archive(&bucket, "", WRITER, true);
        let segment = segment(400);
        archive.put_segment(EPOCH, Bytes::from_static(b"h"), segment.clone()).await.unwrap();
        archive.put_close(EPOCH, Bytes::from_static(b"c")).await.unwrap();
        bucket.go_wrong(Bad::Slow, 1_000, |asked| asked.key.contains("segment"));
        let begun = moment();
        let read = archive.get_bucket(EPOCH, 3).await;
        assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
        assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", begun.elapsed());
        bucket.be_well();
        assert!(is_bucket(&archive.get_bucket(EPOCH, 3).await.unwrap(), 3, &segment));
    });
}

fn in_a_bucket(bucket: &Bucket) -> Terms {
    Terms { bucket: Some(bucket.section("millbrook", CREDENTIALS, true)), ..Terms::default() }
}

/// Epochs of which the bucket has objects.
fn of_epochs(bucket: &Bucket) -> BTreeSet<String> {
    let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    // The server leaves empty folders behind.
    let epochs = entries(bucket.object("millbrook")).filter(|entry| entries(entry.path()).next().is_some());
    epochs.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn a_town_with_its_archive_in_a_bucket_is_searched_over_restarts() {
    let bucket = Bucket::start();
    let mut town = Town::start(in_a_bucket(&bucket));
    let mut acknowledged = town.post_all(&PLATES, 30);
    town.find_all(&acknowledged);
    assert!(!of_epochs(&bucket).is_empty(), "epochs lie in the bucket");
    assert!(!town.data("agency").join("archive").exists(), "and nowhere else");
    // Killed in the middle of an epoch, and started again.
    acknowledged.extend(town.post_all(&PLATES, 6));
    town.agency.take().unwrap().kill();
    town.start_agency();
    town.wait_sealing();
    acknowledged.extend(town.post_all(&PLATES, 6));
    town.find_all(&acknowledged);
    town.nobody_panicked();
    let said = town.all_said();
    assert!(!said.contains(WRITER.1), "the secret key is in no trace");
    town.stop_and_check();
}

#[test]
fn an_epoch_past_its_retention_leaves_the_bucket() {
    let bucket = Bucket::start();
    let mut town = Town::start(Terms { retention_seconds: 24, ..in_a_bucket(&bucket) });
    let acknowledged = town.post_all(&PLATES[..1], 5);
    town.find_all(&acknowledged);
    let listed = town.epochs().epochs;
    let headers = listed.iter().map(|one| Signed::<EpochHeader>::from_bytes(&one.header.0).unwrap().claimed().clone());
    let oldest = headers.min_by_key(|header| header.destroy_after).unwrap().epoch_id.to_string();
    // One that cannot be dropped keeps none of the others.
    let of_it = oldest.clone();
    bucket.go_wrong(Bad::Status(503), usize::MAX, move |asked| asked.query.contains(&of_it));
    for _later in 0..3 {
        pause(4_000);
        town.post_all(&PLATES[..1], 2);
    }
    let mut seen = BTreeSet::new();
    wait_until("another epoch is gone", || {
        let there = of_epochs(&bucket);
        seen.extend(there.iter().cloned());
        seen.difference(&there).any(|epoch| *epoch != oldest)
    });
    assert!(of_epochs(&bucket).contains(&oldest), "what could not be dropped is still there");
    bucket.be_well();
    wait_until("it is gone too", || !of_epochs(&bucket).contains(&oldest));
    // Housekeeping comes every ten seconds; epochs go on being made and dropped.
    wait_until("its objects are gone too", || {
        let EpochList { epochs, open, .. } = town.epochs();
        of_epochs(&bucket).len() <= epochs.len() + usize::try_from(open).unwrap() + 2
    });
    town.nobody_panicked();
    town.stop_all();
}

/// The store is away, slow or half there while epochs close: reads are taken all the same, every close is tried until it succeeds, and what
/// was acknowledged is found.
#[test]
fn nothing_acknowledged_is_lost_while_the_store_fails() {
    let puts = |name: &'static str| move |asked: &Asked| asked.method == Method::PUT && asked.key.contains(name);
    let bucket = Bucket::start();
    let mut town = Town::start(in_a_bucket(&bucket));
    let mut acknowledged = town.post_all(&PLATES, 6);
    bucket.go_wrong(Bad::Status(500), 5, puts("segment"));
    bucket.go_wrong(Bad::RequestCut, 2, puts("header"));
    bucket.go_wrong(Bad::ResponseCut, 2, puts("index"));
    bucket.go_wrong(Bad::ResponseCut, 2, puts("close"));
    bucket.go_wrong(Bad::Status(503), 2, puts("close"));
    bucket.go_wrong(Bad::Altered, 2, |asked| asked.method == Method::GET && asked.key.ends_with("index"));
    bucket.go_wrong(Bad::Status(404), 2, |asked| asked.method == Method::GET && asked.key.ends_with("index"));
    let (taken, refused) = town.post_for(12_000, &PLATES);
    assert!(refused.is_empty(), "reads need no store: {refused:?}");
    acknowledged.extend(taken);
    bucket.be_well();
    town.find_all(&acknowledged);
    // Away altogether, and the agency is started meanwhile.
    bucket.go_wrong(Bad::Status(503), usize::MAX, |_any| true);
    town.agency.take().unwrap().kill();
    town.start_agency();
    town.wait_sealing();
    acknowledged.extend(town.post_all(&PLATES, 9));
    let searched = town.search(PLATES[0]);
    assert_eq!(searched.code, 6, "not found is not said: {} {}", searched.document, searched.stderr);
    assert!(searched.document["found"].as_array().is_none_or(Vec::is_empty));
    assert!(searched.document.to_string().contains("archive"), "{} {}", searched.document, searched.stderr);
    bucket.be_well();
    let begun = moment();
    while town.epochs().open > 1 {
        assert!(begun.elapsed() < 2 * PATIENCE, "closed when the store is there again");
        pause(200);
    }
    town.find_all(&acknowledged);
    // Lost and altered objects: an error that names the archive.
    for bad in [Bad::Status(404), Bad::Altered] {
        bucket.go_wrong(bad, usize::MAX, |asked| asked.method == Method::GET && asked.key.contains("segment"));
        let searched = town.search(PLATES[0]);
        assert_eq!(searched.code, 6, "{bad:?} {} {}", searched.document, searched.stderr);
        assert!(searched.document.to_string().contains("archive"), "{} {}", searched.document, searched.stderr);
        bucket.be_well();
    }
    town.find_all(&acknowledged);
    town.nobody_panicked();
    town.stop_and_check();
}

/// Two archive servers that may only read the bucket, behind one front: a search goes through them, one may die, and neither ever shows an
/// epoch that is not whole.
#[test]
fn any_archive_server_over_the_bucket_answers_a_search() {
    let bucket = Bucket::start();
    let mut town = Town::found(Terms { agency_front: true, ..in_a_bucket(&bucket) });
    let [agency, servers @ ..] = &town.behind_front;
    let address = town.charter.charter().archive.url.strip_prefix("https://").unwrap().parse().unwrap();
    let front = Front::start(&town.data("agency").join("keys"), address, *agency, servers);
    for place in 0..town::KEEPERS {
        town.start_keeper(place);
    }
    // The front sends the register of cameras to the servers, which need the recorder's list: so the agency is first.
    town.start_everything_but_keepers();
    wait_until("the recorder has told of its epochs", || bucket.object(&format!("millbrook/{PUBLIC}")).exists());
    let (first, mut second) = (town.start_archive_server(1), Some(town.start_archive_server(2)));
    let mut acknowledged = town.post_all(&PLATES, 12);
    town.find_all(&acknowledged);
    let served = front.served();
    assert!(served.iter().all(|count| *count > 0), "both servers answered: {served:?}");
    second.take().unwrap().kill();
    acknowledged.extend(town.post_all(&PLATES, 6));
    town.find_all(&acknowledged);
    assert!(front.served()[0] > served[0]);
    // Half put: a segment without its close, and a close whose list came first.
    let before = town.epochs().epochs.len();
    bucket.go_wrong(Bad::Status(503), usize::MAX, |asked| asked.method == Method::PUT && asked.key.ends_with("close"));
    let whole =
        |town: &Town| town.epochs().epochs.iter().all(|one| !one.close.0.is_empty() && !one.header.0.is_empty());
    acknowledged.extend(town.post_all(&PLATES, 3));
    let begun = moment();
    while begun.elapsed() < Duration::from_secs(9) {
        let shown = town.epochs();
        assert!(whole(&town) && shown.epochs.len() <= before + 2, "an epoch without its close is open");
        pause(100);
    }
    bucket.be_well();
    town.find_all(&acknowledged);
    let said = town.all_said();
    assert!(!said.contains(WRITER.1) && !said.contains(READER.1), "no secret key in a trace");
    town.nobody_panicked();
    first.stop();
    town.stop_all();
    front.stop();
}

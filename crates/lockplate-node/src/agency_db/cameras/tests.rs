use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lockplate_core::charter::LeafWait;
use lockplate_core::entry::LogKind;
use lockplate_log::{NoteSigner, Origin};
use tempfile::TempDir;

use super::super::MIGRATIONS;
use super::*;
use crate::clock::TestClock;
use crate::cosign::WitnessSet;
use crate::party_log::{LogOnDisk, LogWitnesses};
use crate::shutdown::Tasks;

const OWNER: AgencyId = AgencyId([3; 16]);
const NOW_MS: i64 = 1_800_000_000_000;
const NOW: Timestamp = Timestamp(1_800_000_000);

struct Office {
    _folder: TempDir,
    db: AgencyDb,
    log: PartyLog,
    clock: Arc<TestClock>,
    tasks: Tasks,
}

impl Office {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = AgencyDb::open(&folder.path().join("agency.db")).unwrap();
        db.add_source("gate".into(), "rekor".into(), [1; 32], "{}".into()).await.unwrap();
        let signer = NoteSigner::new(Origin::parse("alpr.example/log/recorder").unwrap(), &[3; 32]).unwrap();
        let set = WitnessSet::nobody(signer.verifier_key().clone());
        let (clock, tasks) = (Arc::new(TestClock::new(NOW_MS)), Tasks::new());
        let party = ([9; 16], [0; 32]);
        let logs = folder.path().join("log");
        let log = LogOnDisk::load(&logs, signer, LogKind::Recorder, party, clock.clone(), &tasks).unwrap();
        let witnesses = LogWitnesses { set, without: BTreeSet::new(), wait: LeafWait::Durable };
        Self { _folder: folder, db, log: log.start(witnesses).await.unwrap(), clock, tasks }
    }

    async fn add(&self, key: &str) -> Result<u32, CameraError> {
        self.db.add_camera(&self.log, OWNER, new(key), NOW).await
    }

    async fn change(&self, number: u32, edit: CameraEdit) -> Result<bool, CameraError> {
        self.db.change_camera(&self.log, OWNER, number, edit, NOW).await.map(|(_, changed)| changed)
    }

    /// Whether the newest of so many entries says this change of the register as it is now.
    async fn newest_says(&self, size: u64, change: CameraChange, count: u64) -> bool {
        let register = register_digest(&self.db.cameras().await.unwrap()).unwrap();
        let expected = LogEntry::Camera(CameraLeaf { owner: OWNER, change, register, cameras: count, effective: NOW });
        self.log.size().await.unwrap() == size
            && self.log.contains(size - 1, move |entry| *entry == expected).await.unwrap()
    }

    async fn end(self) {
        drop(self.log);
        self.tasks.finish(Duration::from_secs(10)).await.unwrap();
    }
}

fn new(key: &str) -> NewCamera {
    NewCamera {
        source: 1,
        key: key.into(),
        place: "Main Street".into(),
        position: Some((41.5, -72.7)),
        group: String::new(),
        purpose: ArchiveKind::Police,
        zone: String::new(),
    }
}

fn to(place: &str) -> CameraEdit {
    CameraEdit::Move { place: place.into(), lat: Some(1.0), lon: Some(2.0), zone: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_one_leaf_with_the_digest_of_the_register_after_it() {
    let office = Office::open().await;
    assert_eq!(office.add("a/1").await, Ok(1));
    assert!(office.newest_says(2, CameraChange::Add, 1).await);
    assert_eq!(office.add("a/2").await, Ok(2));
    assert!(office.newest_says(3, CameraChange::Add, 2).await);
    assert_eq!(office.add("a/1").await, Err(CameraError::Invalid), "the key is taken");

    assert_eq!(office.change(1, to("School Lane")).await, Ok(true));
    assert!(office.newest_says(4, CameraChange::Change, 2).await);
    assert_eq!(office.change(1, to("School Lane")).await, Ok(false), "it is there already");
    assert_eq!(office.change(1, CameraEdit::Pause).await, Ok(true));
    assert!(office.newest_says(5, CameraChange::Pause, 2).await, "a paused camera is one of the register");
    assert_eq!(office.change(1, CameraEdit::Resume).await, Ok(true));
    assert!(office.newest_says(6, CameraChange::Change, 2).await);
    assert_eq!(office.change(1, CameraEdit::Pause).await, Ok(true));
    assert!(office.newest_says(7, CameraChange::Pause, 2).await, "the second time is said as well");
    assert_eq!(office.change(1, CameraEdit::Remove).await, Ok(true));
    assert!(office.newest_says(8, CameraChange::Remove, 1).await);
    assert_eq!(office.change(1, CameraEdit::Resume).await, Err(CameraError::Unknown), "gone for good");
    assert_eq!(office.change(9, CameraEdit::Pause).await, Err(CameraError::Unknown));
    // Its key is free, its number is not; the list shows where its reads were made.
    assert_eq!(office.add("a/1").await, Ok(3));
    let listed = listed(&office.db.cameras().await.unwrap()).cameras;
    let shown: Vec<_> = listed.iter().map(|c| (c.camera, c.place.as_str(), c.state, c.engine.as_str())).collect();
    assert_eq!(
        shown,
        [
            (1, "School Lane", CameraState::Removed, "rekor"),
            (2, "Main Street", CameraState::Active, "rekor"),
            (3, "Main Street", CameraState::Active, "rekor")
        ]
    );
    office.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_of_its_own_is_public() {
    let office = Office::open().await;
    office.add("a/1").await.unwrap();
    let zones = async || -> Vec<_> {
        listed(&office.db.cameras().await.unwrap()).cameras.into_iter().map(|camera| camera.zone).collect()
    };
    let of =
        |zone: &str| CameraEdit::Move { place: "Main Street".into(), lat: None, lon: None, zone: Some(zone.into()) };
    assert_eq!(zones().await, [None]);
    assert_eq!(office.change(1, of("America/Chicago")).await, Ok(true));
    assert_eq!(zones().await, [Some("America/Chicago".to_owned())]);
    assert!(office.newest_says(3, CameraChange::Change, 1).await);
    assert_eq!(office.change(1, of("")).await, Ok(true));
    assert!(zones().await == [None] && office.newest_says(4, CameraChange::Change, 1).await);
    office.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_logged_is_not_made_and_bad_values_are_not_logged() {
    let office = Office::open().await;
    office.add("a/1").await.unwrap();
    let before = office.db.cameras().await.unwrap();
    office.clock.jump_to(NOW_MS - 1_000);
    let not_logged = CameraError::NotLogged(NotLogged::ClockBack);
    for edit in [CameraEdit::Pause, CameraEdit::Remove, to("Elsewhere")] {
        assert_eq!(office.change(1, edit).await, Err(not_logged));
    }
    assert_eq!(office.add("a/2").await, Err(not_logged));
    office.clock.jump_to(NOW_MS);
    let half = CameraEdit::Move { place: "Elsewhere".into(), lat: Some(1.0), lon: None, zone: None };
    let zone = CameraEdit::Move { place: "Elsewhere".into(), lat: None, lon: None, zone: Some("Mars/Olympus".into()) };
    for edit in [to(" "), to(&"p".repeat(TEXT_CHARS_MAX + 1)), half, zone] {
        assert_eq!(office.change(1, edit.clone()).await, Err(CameraError::Invalid), "{edit:?}");
    }
    // A passage of an operator has room for 64 bytes of lane and facility.
    let toll = |place: String, group: String| NewCamera { place, group, purpose: ArchiveKind::Toll, ..new("a/3") };
    for camera in [toll("p".repeat(65), String::new()), toll("Lane 1".into(), "g".repeat(65))] {
        assert_eq!(office.db.add_camera(&office.log, OWNER, camera, NOW).await, Err(CameraError::Invalid));
    }
    assert_eq!(office.db.cameras().await.unwrap(), before);
    assert_eq!(office.log.size().await, Ok(2));
    office.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_without_its_row_is_taken_up_by_the_same_change_and_righted_by_another() {
    let office = Office::open().await;
    office.add("a/1").await.unwrap();
    let mut all = office.db.cameras().await.unwrap();
    all[0].apply(CameraEdit::Pause).unwrap();
    // The process ended between the two.
    log_change(&office.log, OWNER, CameraChange::Pause, &all, NOW).await.unwrap();
    assert_eq!(office.change(1, CameraEdit::Pause).await, Ok(true));
    assert!(office.newest_says(3, CameraChange::Pause, 1).await, "not said twice");
    all[0].apply(CameraEdit::Remove).unwrap();
    log_change(&office.log, OWNER, CameraChange::Remove, &all, NOW).await.unwrap();
    assert_eq!(office.change(1, CameraEdit::Resume).await, Ok(true));
    assert!(office.newest_says(5, CameraChange::Change, 1).await);
    office.db.restate_cameras(&office.log, OWNER, NOW).await.unwrap();
    assert_eq!(office.log.size().await, Ok(5), "said already");
    office.end().await;
}

#[tokio::test]
async fn cameras_of_the_first_version_are_kept_and_get_the_purpose_of_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agency.db");
    {
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.execute_batch(
            "PRAGMA user_version = 1; INSERT INTO source VALUES (4, 'gate', 'openalpr', x'00', '{}');
             UPDATE source SET token_hash = zeroblob(32);
             INSERT INTO camera VALUES (7, 4, 'a/1', 'Bridge', 1.5, 2.5, 'north', 1), (8, 4, 'a/2', 'Mill', NULL, NULL, '', 0)",
        )
        .unwrap();
    }
    let db = AgencyDb::open(&path).unwrap();
    assert_eq!(db.cameras_serve(ArchiveKind::Toll).await, Ok(2));
    assert_eq!(db.cameras_serve(ArchiveKind::Toll).await, Ok(0));
    let cameras = db.cameras().await.unwrap();
    let shown: Vec<_> =
        cameras.iter().map(|c| (c.number, c.camera.place.as_str(), c.camera.position, c.state)).collect();
    assert_eq!(shown, [(7, "Bridge", Some((1.5, 2.5)), CameraState::Active), (8, "Mill", None, CameraState::Paused)]);
    assert!(cameras.iter().all(|c| c.camera.purpose == ArchiveKind::Toll && c.engine == "openalpr"));
}

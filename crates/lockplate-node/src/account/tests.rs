//! Which files of an operator are taken, without an agency around it.

use lockplate_core::envelope::HpkeSecretKey;

use super::*;
use crate::clock::TestClock;
use crate::intake::TokenHash;

const NOW_MS: i64 = 1_795_348_800_000;

fn started(folder: &Path, tasks: &Tasks) -> Accounts {
    let section = AccountSection {
        name: "bridge".to_owned(),
        // The watch finds nothing: the files of a test are taken by hand.
        file: folder.join("none.csv"),
        billing_key: HpkeSecretKey::random(&mut SystemRng).public_key().unwrap(),
        token: TokenHash::from_hex(&"0".repeat(64)).unwrap(),
        allow_state_unread: false,
        trust_state: false,
    };
    let parts = AccountParts {
        section,
        archive: ArchiveKind::Toll,
        accounts_max: 10_000,
        retention_seconds: 86_400,
        pass_key: Zeroizing::new([7; 32]),
        db: AgencyDb::open(&folder.join("agency.db")).unwrap(),
        clock: Arc::new(TestClock::new(NOW_MS)),
        tasks: tasks.clone(),
    };
    Accounts::start(parts).unwrap()
}

/// A file of `count` accounts and these plates.
fn file(folder: &Path, count: usize, plates: &[&str]) -> PathBuf {
    let path = folder.join("accounts.csv");
    let mut text = "plate,jurisdiction,account_id,valid_from,valid_to\n".to_owned();
    let listed = (0..count).map(|number| format!("KXT{number:04}"));
    for plate in listed.chain(plates.iter().map(|plate| (*plate).to_owned())) {
        text.push_str(&format!("{plate},US-CT,A-1,2026-01-01T00:00:00Z,2030-01-01T00:00:00Z\n"));
    }
    lockplate_store::durable::replace(&path, text.as_bytes()).unwrap();
    path
}

fn passes(accounts: &Accounts, plate: &str) -> bool {
    let plate = lockplate_core::plate::Plate::parse(plate).unwrap();
    let read = Read::beyond_doubt(plate, Jurisdiction::parse("US-CT"), NOW_MS);
    accounts.inner.set().unwrap().may_pass(&read, Timestamp(1_795_348_800))
}

async fn end(accounts: Accounts, tasks: Tasks) {
    tasks.finish(Duration::from_secs(20)).await.unwrap();
    tokio::task::spawn_blocking(move || accounts.finish()).await.unwrap();
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_not_taken_unless_somebody_says_that_it_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("accounts.csv.entries");
    let say = |text: &str| lockplate_store::durable::replace(&said, text.as_bytes()).unwrap();
    let (tasks, none) = (Tasks::new(), |now| Err(NotTaken::Shrunk { before: 0, now }));
    let accounts = started(folder.path(), &tasks);
    assert_eq!(accounts.inner.take(&file(folder.path(), 0, &[])).await, none(0), "a header alone");
    assert_eq!(accounts.inner.take(&file(folder.path(), 100, &[])).await, Ok(()));
    assert_eq!(accounts.inner.take(&file(folder.path(), 70, &[])).await, Ok(()), "three in ten");
    let cut = |before, now| Err(NotTaken::Shrunk { before, now });
    assert_eq!(accounts.inner.take(&file(folder.path(), 48, &[])).await, cut(70, 48));
    assert_eq!(accounts.inner.take(&file(folder.path(), 0, &[])).await, cut(70, 0));
    assert!(passes(&accounts, "KXT0069"), "the accounts before stay");
    end(accounts, tasks).await;

    // Nor after a start, which knows no accounts; and the number that is said is of this very file.
    let tasks = Tasks::new();
    let accounts = started(folder.path(), &tasks);
    assert_eq!(accounts.inner.take(&file(folder.path(), 48, &[])).await, cut(70, 48));
    say("47\n");
    assert_eq!(accounts.inner.take(&file(folder.path(), 48, &[])).await, cut(70, 48));
    say("48\n");
    assert_eq!(accounts.inner.take(&file(folder.path(), 48, &[])).await, Ok(()));
    assert_eq!(accounts.inner.take(&file(folder.path(), 10, &[])).await, cut(48, 10), "what was said holds once");
    assert!(passes(&accounts, "KXT0047") && !passes(&accounts, "KXT0048"));
    end(accounts, tasks).await;
}

#[test]
fn a_pass_whose_time_is_not_believed_is_not_billed_to_the_next_owner() {
    let at = |ms: i64| Timestamp(unix_seconds(NOW_MS + ms));
    let hour = 3_600_000;
    let plate = lockplate_core::plate::Plate::parse("KXT0001").unwrap();
    let account = |id: &str, from: i64, to: i64| AccountEntry {
        plate: plate.clone(),
        jurisdiction: Jurisdiction::parse("US-CT").unwrap(),
        account_id: id.to_owned(),
        valid_from: at(from),
        valid_to: at(to),
    };
    let settings = AccountSettings {
        list: [1; 16],
        archive: ArchiveKind::Toll,
        accounts_max: 10,
        allow_state_unread: false,
        trust_jurisdiction: false,
    };
    let accounts = [account("OLD", -100 * hour, -hour), account("NEW", -hour, 100 * hour)];
    let set = AccountSet::build(settings, 7, accounts.into_iter()).unwrap();
    let read = Read::beyond_doubt(plate, Jurisdiction::parse("US-CT"), NOW_MS);
    let by_camera = |ms: i64| Read { source_time: Some(NOW_MS + ms), ..read.clone() };
    let of = |read: &Read| customer_of(&set, read).map(|found| found.unwrap().account_id);
    assert_eq!(of(&read), Ok("NEW".to_owned()));
    assert_eq!(of(&by_camera(-3 * hour)), Err(TwoCustomers));
    // The same customer, or nobody, by the camera's clock.
    assert_eq!(of(&by_camera(hour)), Ok("NEW".to_owned()));
    assert_eq!(of(&by_camera(-1_000 * hour)), Ok("NEW".to_owned()));
}

#[tokio::test]
async fn a_line_without_a_whole_plate_is_no_account() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let accounts = started(folder.path(), &tasks);
    let odd = ["KLM*", "A?", "%1234567", "A", "ABCDEFGHJKLMNPRTX"];
    assert_eq!(accounts.inner.take(&file(folder.path(), 20, &odd)).await, Ok(()));
    assert_eq!(accounts.inner.set().unwrap().accounts(), 20);
    for plate in ["KLM", "A", "1234567"] {
        assert!(!passes(&accounts, plate), "{plate}");
    }
    assert!(passes(&accounts, "KXT0001"));
    let many = ["KLM*"; 10];
    assert_eq!(accounts.inner.take(&file(folder.path(), 20, &many)).await, Err(NotTaken::Plates(10)));
    end(accounts, tasks).await;
}

//! `doctor` on the folders of an agency and keepers that really ran: clean as they are, and every damage is found where it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_node::agency;
use lockplate_node::doctor::{Report, Severity, StoreRefused, check_store};
use lockplate_node::settings::DataFolder;
use lockplate_node::shutdown::{ExitKind, Tasks};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::agency::{HOUR, NOW, Town, live, seal, wait_until_next_is_ready};

/// After everything that the towns do.
const LATER: Timestamp = Timestamp(NOW + 3 * HOUR);

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Changes one byte of a file; `from_end` counts from 1.
fn flip(path: &Path, from_end: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn flip_middle(path: &Path) {
    flip(path, usize::try_from(fs::metadata(path).unwrap().len()).unwrap() / 2);
}

fn sql(path: &Path, statement: &str) {
    assert!(Connection::open(path).unwrap().execute(statement, []).unwrap() > 0, "{statement}");
}

/// The one entry of a folder whose name satisfies `wanted`.
fn entry(folder: &Path, wanted: impl Fn(&str) -> bool) -> PathBuf {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| wanted(path.file_name().unwrap().to_str().unwrap()))
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("nothing fits in {}", folder.display()))
}

fn log(data: &Path) -> PathBuf {
    entry(&data.join("log"), |_| true)
}

fn archived(data: &Path) -> PathBuf {
    entry(&data.join("archive"), |_| true)
}

fn has(report: &Report, severity: Severity, place: &str) -> bool {
    report.findings.iter().any(|finding| finding.severity == severity && finding.place.contains(place))
}

fn check(data: &Path) -> Report {
    check_store(data, None, LATER, &mut |_| {}).unwrap()
}

/// What is done to a folder, how bad it is, and what the place of the finding must hold.
type Case<'a> = (&'a str, &'a dyn Fn(&Path), Severity, &'a str);

/// Each case on its own copy of `data`, the charter beside it.
fn run_cases(data: &Path, cases: &[Case<'_>]) {
    for (name, damage, severity, place) in cases {
        let folder = tempfile::tempdir().unwrap();
        let copied = folder.path().join("data");
        copy(data, &copied);
        fs::copy(data.parent().unwrap().join("charter.auth"), folder.path().join("charter.auth")).unwrap();
        assert_eq!(check(&copied).worst(), Severity::Ok, "{name}: clean before");
        damage(&copied);
        let report = check(&copied);
        assert!(has(&report, *severity, place), "{name}: {:?}", report.findings);
        assert_eq!(report.worst(), *severity, "{name}: {:?}", report.findings);
        let code = if *severity == Severity::Failed { ExitKind::Problems } else { ExitKind::Done };
        assert_eq!(report.exit_kind(), code, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_folders_are_clean_and_every_damage_is_found() {
    let mut town = Town::new().await;
    let agency = town.start().await;
    seal(&agency, live(0..300)).await;
    wait_until_next_is_ready(&agency).await;
    let data = town.folder.path().join("agency");
    assert!(
        matches!(check_store(&data, None, LATER, &mut |_| {}), Err(StoreRefused::Running(_))),
        "a running agency is left alone"
    );
    town.clock.advance(Duration::from_secs(HOUR));
    town.wait_for_closed(1).await;
    agency.end().await.unwrap();
    for place in 0..3 {
        town.stop_keeper(place).await;
    }

    let report = check(&data);
    assert_eq!(report.worst(), Severity::Ok, "{:?}", report.findings);
    assert!(report.counts.cells >= 300 && report.counts.epochs >= 2 && report.counts.log_entries >= 5, "{report:?}");
    agency_cases(&data);
    // The archive forgets an epoch close first; past its retention that is no loss.
    let forgotten = town.folder.path().join("forgotten");
    copy(&data, &forgotten);
    fs::remove_file(archived(&forgotten).join("close")).unwrap();
    assert_eq!(check(&forgotten).worst(), Severity::Failed);
    let over = Timestamp(NOW + 30 * 24 * HOUR);
    assert_eq!(check_store(&forgotten, None, over, &mut |_| {}).unwrap().worst(), Severity::Warning);

    let data = town.folder.path().join("keeper-1");
    let report = check(&data);
    assert_eq!(report.worst(), Severity::Ok, "{:?}", report.findings);
    assert!(report.counts.shares >= 2, "{report:?}");
    keeper_cases(&data);
    refusals(&data);
}

fn agency_cases(data: &Path) {
    run_cases(
        data,
        &[
            (
                "open to others",
                &|data| fs::set_permissions(data, fs::Permissions::from_mode(0o755)).unwrap(),
                Severity::Warning,
                ".",
            ),
            ("segment", &|data| flip(&archived(data).join("segment"), 100), Severity::Failed, "/segment bucket"),
            (
                "segment cut",
                &|data| {
                    let path = archived(data).join("segment");
                    let bytes = fs::read(&path).unwrap();
                    fs::write(&path, &bytes[..bytes.len() - 256]).unwrap();
                },
                Severity::Failed,
                "archive/",
            ),
            ("index", &|data| flip(&archived(data).join("index"), 1), Severity::Failed, "/segment bucket"),
            (
                "root in the index",
                &|data| {
                    let path = archived(data).join("index");
                    let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
                    flip(&path, length - 20);
                },
                Severity::Failed,
                "archive/",
            ),
            (
                "close gone",
                &|data| fs::remove_file(archived(data).join("close")).unwrap(),
                Severity::Failed,
                "archive/",
            ),
            ("close altered", &|data| flip_middle(&archived(data).join("close")), Severity::Failed, "archive/"),
            ("header altered", &|data| flip_middle(&archived(data).join("header")), Severity::Failed, "archive/"),
            ("epoch gone", &|data| fs::remove_dir_all(archived(data)).unwrap(), Severity::Failed, "archive/"),
            (
                "tile",
                &|data| {
                    flip_middle(&entry(&log(data).join("public/tile/0/000.p"), |_| true));
                },
                Severity::Failed,
                "public/tile/0/000.p/",
            ),
            (
                "bundle",
                &|data| {
                    flip_middle(&entry(&log(data).join("public/tile/entries/000.p"), |_| true));
                },
                Severity::Failed,
                "public/tile/entries/000.p/",
            ),
            (
                "bundle gone",
                &|data| {
                    fs::remove_dir_all(log(data).join("public/tile/entries/000.p")).unwrap();
                },
                Severity::Failed,
                "public/tile/entries/000.p/",
            ),
            ("head", &|data| flip_middle(&log(data).join("head")), Severity::Failed, "/head"),
            ("head gone", &|data| fs::remove_file(log(data).join("head")).unwrap(), Severity::Failed, "/head"),
            (
                "epoch row gone",
                &|data| {
                    sql(&data.join("agency.db"), "DELETE FROM told");
                    sql(&data.join("agency.db"), "DELETE FROM epoch WHERE state = 3");
                },
                Severity::Failed,
                "header ",
            ),
            (
                "close of the row altered",
                &|data| {
                    sql(&data.join("agency.db"), "UPDATE epoch SET close = zeroblob(144) WHERE state = 3");
                },
                Severity::Failed,
                "agency.db epoch",
            ),
            (
                "damaged epoch",
                &|data| {
                    sql(&data.join("agency.db"), "UPDATE epoch SET state = 5 WHERE state = 3");
                },
                Severity::Failed,
                "agency.db epoch",
            ),
            ("database gone", &|data| fs::remove_file(data.join("agency.db")).unwrap(), Severity::Failed, "agency.db"),
            (
                "other release",
                &|data| {
                    Connection::open(data.join("agency.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
                },
                Severity::Failed,
                "agency.db",
            ),
            (
                "no database",
                &|data| fs::write(data.join("agency.db"), [7; 8_192]).unwrap(),
                Severity::Failed,
                "agency.db",
            ),
            (
                "hot journal",
                &|data| fs::write(data.join("agency.db-journal"), [7; 512]).unwrap(),
                Severity::Warning,
                "agency.db",
            ),
            ("temporary", &|data| fs::write(log(data).join("head.tmp"), b"x").unwrap(), Severity::Warning, "head.tmp"),
            (
                "spool left over",
                &|data| {
                    let epoch = archived(data).file_name().unwrap().to_str().unwrap().to_owned();
                    fs::write(data.join(format!("spool/{epoch}.cells")), b"whatever").unwrap();
                },
                Severity::Warning,
                "spool/",
            ),
            (
                "spool of nobody",
                &|data| {
                    fs::write(data.join("spool/AAAAAAAAAAAAAAAAAAAAAA.cells"), b"whatever").unwrap();
                },
                Severity::Failed,
                "spool/AAAA",
            ),
        ],
    );
}

fn keeper_cases(data: &Path) {
    let table = |data: &Path| entry(&data.join("kek"), |name| name.ends_with(".table"));
    run_cases(
        data,
        &[
            (
                "share row gone",
                &|data| {
                    sql(&data.join("keeper.db"), "DELETE FROM epoch WHERE id = (SELECT min(id) FROM epoch)");
                },
                Severity::Failed,
                "header ",
            ),
            (
                "share gone",
                &|data| {
                    sql(
                        &data.join("keeper.db"),
                        "UPDATE epoch SET share = NULL WHERE id = (SELECT min(id) FROM epoch)",
                    );
                },
                Severity::Failed,
                "keeper.db epoch",
            ),
            (
                "share swapped",
                &|data| {
                    let swap = "UPDATE epoch SET share = (SELECT share FROM epoch WHERE id = (SELECT max(id) FROM epoch)) \
                            WHERE id = (SELECT min(id) FROM epoch)";
                    sql(&data.join("keeper.db"), swap);
                },
                Severity::Failed,
                "keeper.db epoch",
            ),
            (
                "header altered",
                &|data| {
                    sql(
                        &data.join("keeper.db"),
                        "UPDATE epoch SET header = zeroblob(400) WHERE id = (SELECT min(id) FROM epoch)",
                    );
                },
                Severity::Failed,
                "keeper.db epoch",
            ),
            (
                "destroyed without a word",
                &|data| {
                    sql(
                        &data.join("keeper.db"),
                        "UPDATE epoch SET destroyed_at = 1, share = NULL WHERE id = (SELECT min(id) FROM epoch)",
                    );
                },
                Severity::Failed,
                "keeper.db epoch",
            ),
            (
                "receipt lost",
                &|data| {
                    sql(
                        &data.join("keeper.db"),
                        "UPDATE epoch SET receipt = NULL WHERE id = (SELECT min(id) FROM epoch)",
                    );
                },
                Severity::Warning,
                "keeper.db epoch",
            ),
            (
                "request of nowhere",
                &|data| {
                    let row = "INSERT INTO request VALUES (zeroblob(32), x'00', x'00', x'00', NULL, 1, 1, 0, x'00', x'00', 99, 24322, 1, 2, NULL, NULL, NULL)";
                    sql(&data.join("keeper.db"), row);
                },
                Severity::Failed,
                "request 0000",
            ),
            (
                "grant of nowhere",
                &|data| {
                    sql(&data.join("keeper.db"), "INSERT INTO evaluation VALUES (zeroblob(32), x'00', NULL, 1)");
                },
                Severity::Failed,
                "grant 0000",
            ),
            (
                "prekey torn",
                &|data| {
                    sql(
                        &data.join("keeper.db"),
                        "UPDATE prekey SET seed = zeroblob(60) WHERE id = (SELECT min(id) FROM prekey)",
                    );
                },
                Severity::Failed,
                "keeper.db prekey (1)",
            ),
            (
                "private part of a request of a month without a key",
                &|data| {
                    let row = "INSERT INTO request VALUES (zeroblob(32), x'00', x'00', x'00', NULL, 1, 1, 0, x'00', x'00', 99, 24322, 1, 2, x'00', NULL, NULL)";
                    sql(&data.join("keeper.db"), row);
                },
                Severity::Failed,
                "keeper.db request (1)",
            ),
            ("key table", &|data| flip_middle(&table(data)), Severity::Failed, "kek"),
            (
                "root of the key table",
                &|data| {
                    flip(&entry(&data.join("kek"), |name| name.ends_with(".root")), 1);
                },
                Severity::Failed,
                "kek",
            ),
            (
                "older key table",
                &|data| {
                    fs::copy(table(data), data.join("kek/0000000000000000.table")).unwrap();
                },
                Severity::Warning,
                "kek",
            ),
            (
                "log",
                &|data| {
                    flip_middle(&entry(&log(data).join("public/tile/entries/000.p"), |_| true));
                },
                Severity::Failed,
                "public/tile/entries/000.p/",
            ),
        ],
    );
}

fn refusals(data: &Path) {
    let folder: TempDir = tempfile::tempdir().unwrap();
    assert!(matches!(check_store(folder.path(), None, LATER, &mut |_| {}), Err(StoreRefused::NotADataFolder(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a folder that is none is left as it is");
    let copied = folder.path().join("deep/data");
    copy(data, &copied);
    let refused = check_store(&copied, None, LATER, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, StoreRefused::NoCharter(_)));
    assert_eq!(refused.exit_kind(), ExitKind::Config);
    let charter = data.parent().unwrap().join("charter.auth");
    assert_eq!(check_store(&copied, Some(&charter), LATER, &mut |_| {}).unwrap().worst(), Severity::Ok);
    let held = DataFolder::lock(&copied).unwrap();
    assert!(matches!(check_store(&copied, Some(&charter), LATER, &mut |_| {}), Err(StoreRefused::Running(_))));
    drop(held);
    fs::write(copied.join("agency.db"), b"").unwrap();
    assert!(matches!(check_store(&copied, Some(&charter), LATER, &mut |_| {}), Err(StoreRefused::TwoRoles(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_nothing_is_lost_and_a_torn_spool_is_a_warning() {
    let town = Town::new().await;
    let (settings, clock) = (town.agency.clone(), town.clock.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let agency = agency::start(settings, clock, &Tasks::new()).await.unwrap();
            // Two frames of the spool.
            seal(&agency, live(0..300)).await;
            seal(&agency, live(300..500)).await;
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
    })
    .join()
    .unwrap();
    let data = town.folder.path().join("agency");
    let report = check(&data);
    assert!(report.worst() < Severity::Failed, "{:?}", report.findings);
    assert!(report.counts.cells == 500 && has(&report, Severity::Ok, "spool/"), "{report:?}");

    let spools = fs::read_dir(data.join("spool")).unwrap().map(|entry| entry.unwrap().path());
    let spool = spools.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let bytes = fs::read(&spool).unwrap();
    fs::write(&spool, &bytes[..bytes.len() - 100]).unwrap();
    let report = check(&data);
    assert!(has(&report, Severity::Warning, "spool/"), "{:?}", report.findings);
    assert!(report.worst() == Severity::Warning && report.counts.cells < 500, "{report:?}");
    // In the middle, where more follows, it is damage.
    fs::write(&spool, &bytes).unwrap();
    flip(&spool, bytes.len() - 1_000);
    let report = check(&data);
    assert!(has(&report, Severity::Failed, "spool/"), "{:?}", report.findings);
}

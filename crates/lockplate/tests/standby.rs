//! An agency on two machines over one bucket of a real S3 server: the active one is killed with its disk, hangs and comes back, or loses
//! its store; what was acknowledged is found by a lawful search, under one log, and the machine that was overtaken says nothing more.
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
    clippy::disallowed_methods,
    reason = "a test says by a panic what is wrong"
)]

mod store;
mod town;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Method;
use store::{Asked, Bad, Bucket};
use town::lan::Lan;
use town::process::{Process, signal};
use town::{Acknowledged, BINARY, Terms, Town, moment, pause, wait_until, write, write_secret};

const PLATES: [&str; 3] = ["KXT4107", "KXT4206", "WRN3317"];
/// Silence after which the standby takes over.
const TAKEOVER: Duration = Duration::from_secs(4);
/// Beyond it: the standby looks twice a second, opens its files and its log, and deals its first epoch.
const A_FEW_SECONDS: Duration = Duration::from_secs(20);
/// In order or cut off, whatever the store does.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Exit code of a machine that another has taken over from.
const FENCED: i32 = 9;

fn free_port() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

/// The agency's address, before whichever machine is the active one.
struct Relay {
    to: Arc<Mutex<SocketAddr>>,
}

impl Relay {
    fn start(at: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let to = Arc::new(Mutex::new(to));
        let target = Arc::clone(&to);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(*target.lock().unwrap()) else { continue };
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    std::thread::spawn(move || {
                        let _ended = std::io::copy(&mut from, &mut to);
                        let _closed = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { to }
    }
}

/// One machine.
struct Machine {
    party: &'static str,
    listen: SocketAddr,
    lan: SocketAddr,
}

/// The town, and the agency's two machines.
struct Pair {
    bucket: Bucket,
    town: Town,
    relay: Relay,
    machines: [Machine; 2],
}

impl Pair {
    /// The first machine is active; the second has its files and does not run.
    fn start() -> Self {
        let mut pair = Self::found();
        pair.town.start_everything();
        let town = &pair.town;
        // What an operator copies to the second machine: the papers, the keys, the list of officers.
        for path in ["charter.auth", "card.json", "data/officers.json"] {
            let bytes = std::fs::read(town.home("agency").join(path)).unwrap();
            write_secret(&town.home("agency-2").join(path), &bytes);
        }
        for entry in std::fs::read_dir(town.data("agency").join("keys")).unwrap() {
            let entry = entry.unwrap();
            let bytes = std::fs::read(entry.path()).unwrap();
            write_secret(&town.data("agency-2").join("keys").join(entry.file_name()), &bytes);
        }
        pair
    }

    /// Nothing runs yet.
    fn found() -> Self {
        let bucket = Bucket::start();
        let section = bucket.section("millbrook", "keys/archive.s3", true);
        let town = Town::found(Terms { epoch_seconds: 6, bucket: Some(section), ..Terms::default() });
        let file = town.home("agency").join("agency.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let public = text.split("address = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let machines = [
            Machine { party: "agency", listen: free_port(), lan: town.lan_at },
            Machine { party: "agency-2", listen: free_port(), lan: free_port() },
        ];
        for Machine { party, listen, lan } in &machines {
            let own = text.replace(&public, &listen.to_string()).replace(&town.lan_at.to_string(), &lan.to_string());
            let own =
                format!("{own}\n[standby]\nsigns_of_life_seconds = 1\ntakeover_seconds = {}\n", TAKEOVER.as_secs());
            write(&town.home(party).join("agency.toml"), own.as_bytes());
        }
        let relay = Relay::start(public.parse().unwrap(), machines[0].listen);
        Self { bucket, town, relay, machines }
    }

    fn run(&self, place: usize) -> Process {
        let party = self.machines[place].party;
        Process::start(party, BINARY, &self.town.role(party), &self.town.traces(), &self.town.home(party))
    }

    /// The end of a test: everything that was acknowledged is found, and all processes end in order.
    fn has_lost_nothing(&mut self, acknowledged: &[Acknowledged]) {
        self.town.wait_sealing();
        self.town.find_all(acknowledged);
        self.town.nobody_panicked();
        self.town.stop_all();
    }

    /// Starts a machine whose journal is not whole: it ends, says so, and its own files stay as they were.
    fn is_refused(&self, place: usize) {
        let spools = || {
            let files = files_below(&self.town.data(self.machines[place].party).join("spool"));
            files.into_iter().map(|path| (path.metadata().unwrap().len(), path)).collect::<Vec<_>>()
        };
        let before = spools();
        assert!(!before.is_empty());
        let mut refused = self.run(place);
        assert_eq!(refused.wait(ENDS_WITHIN).and_then(|status| status.code()), Some(6));
        assert!(refused.said().contains("has lost a part of the standby's journal"), "{}", refused.said());
        assert_eq!(spools(), before, "its own files are as they were");
    }

    /// Starts a machine that finds another active, and waits until it has read the journal.
    fn stand_by(&self, place: usize) -> Process {
        let mut process = self.run(place);
        wait_until("the standby has read the journal to its end", || {
            assert!(process.ended().is_none(), "the standby ended:\n{}", process.said());
            process.said().contains("has read the journal to its end")
        });
        process
    }

    /// Waits until machine `place` takes reads; it is the agency from now on. How long that took.
    fn taken_over_by(&mut self, place: usize, mut process: Process, acknowledged: &mut Vec<Acknowledged>) -> Duration {
        let begun = moment();
        *self.relay.to.lock().unwrap() = self.machines[place].listen;
        self.town.lan_at = self.machines[place].lan;
        let mut lan = self.town.lan();
        loop {
            if let Ok(read) = self.town.post(&mut lan, PLATES[0]) {
                acknowledged.push(read);
                break;
            }
            assert!(process.ended().is_none(), "the standby ended:\n{}", process.said());
            assert!(begun.elapsed() < TAKEOVER + A_FEW_SECONDS, "no takeover:\n{}", process.said());
            pause(50);
        }
        self.town.agency = Some(process);
        begun.elapsed()
    }
}

/// Files in a folder and below it, in order.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

fn has_folder(data: &Path, begins: &str) -> bool {
    let entries = std::fs::read_dir(data).unwrap();
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(begins))
}

/// I1, I4. The machine is gone in the middle of its work, and so is its disk.
#[test]
fn a_machine_that_is_gone_with_its_disk_is_taken_over_from_and_nothing_acknowledged_is_lost() {
    let mut pair = Pair::start();
    let mut acknowledged = pair.town.post_all(&PLATES, 10);
    // One that could not take reads does not stand by.
    let taken = TcpListener::bind(pair.machines[1].lan).unwrap();
    let mut unfit = pair.run(1);
    assert_eq!(unfit.wait(ENDS_WITHIN).and_then(|status| status.code()), Some(3), "{}", unfit.said());
    assert!(unfit.said().contains(&format!("cannot listen on {}", pair.machines[1].lan)), "{}", unfit.said());
    drop((taken, unfit));
    let standby = pair.stand_by(1);
    let (more, refused) = pair.town.post_for(9_000, &PLATES);
    assert!(more.len() > 50 && refused.is_empty(), "{} taken, refused: {refused:?}", more.len());
    acknowledged.extend(more);
    assert!(!pair.town.closes().is_empty(), "an epoch was closed by the first machine");
    pair.town.agency.take().unwrap().kill();
    std::fs::remove_dir_all(pair.town.data("agency")).unwrap();

    let took = pair.taken_over_by(1, standby, &mut acknowledged);
    eprintln!("reads are taken again {} ms after the active machine and its disk were gone", took.as_millis());
    pair.town.wait_sealing();
    acknowledged.extend(pair.town.post_all(&PLATES, 20));
    pair.town.find_all(&acknowledged);
    let orphaned = pair.town.closes().values().filter(|(_, orphaned)| *orphaned).count();
    assert!(orphaned >= 1, "the log says which epoch's sealer was lost");
    pair.town.nobody_panicked();
    pair.town.stop_all();
}

/// I4, A12. The active machine hangs, is taken over from, and goes on: it ends by itself and has acknowledged nothing. Then it stands by,
/// and takes over in its turn.
#[test]
fn a_machine_that_was_paused_ends_as_fenced_and_comes_back_as_standby() {
    let mut pair = Pair::start();
    let mut acknowledged = pair.town.post_all(&PLATES, 20);
    let standby = pair.stand_by(1);
    let mut paused = pair.town.agency.take().unwrap();
    let first_lan = pair.machines[0].lan;
    signal(paused.pid(), "STOP");
    pair.taken_over_by(1, standby, &mut acknowledged);
    acknowledged.extend(pair.town.post_all(&PLATES, 10));

    signal(paused.pid(), "CONT");
    let mut lan = Lan::new(first_lan);
    let begun = moment();
    let status = loop {
        if let Some(status) = paused.ended() {
            break status;
        }
        let said = pair.town.post(&mut lan, PLATES[1]);
        assert!(said.is_err(), "the machine that was taken over from acknowledged a read: {said:?}");
        assert!(begun.elapsed() < Duration::from_secs(40), "it goes on:\n{}", paused.said());
    };
    assert_eq!(status.code(), Some(FENCED), "{}", paused.said());
    assert!(paused.said().contains("another machine has taken over"), "{}", paused.said());

    // Had it been paused in the very put of the list for archive servers, this is what it would have left.
    let list = pair.bucket.object("millbrook/public");
    let older = r#"{"epochs":[],"cameras":{"cameras":[]}}"#;
    std::fs::write(&list, older).unwrap();
    wait_until("the list in the bucket is the owner's again", || std::fs::read_to_string(&list).unwrap() != older);

    let back = pair.stand_by(0);
    assert!(has_folder(&pair.town.data("agency"), "fenced-"), "its old files are kept for a person");
    assert!(!pair.town.data("agency").join("agency.db").exists(), "and are not used");
    acknowledged.extend(pair.town.post_all(&PLATES, 10));
    pair.town.agency.take().unwrap().kill();
    pair.taken_over_by(0, back, &mut acknowledged);
    pair.has_lost_nothing(&acknowledged);
}

/// I6. The second machine has an older list of officers: whoever was suspended on the first stays so.
#[test]
fn an_officer_who_was_suspended_stays_so_after_a_takeover() {
    let mut pair = Pair::start();
    let mut acknowledged = pair.town.post_all(&PLATES, 20);
    let standby = pair.stand_by(1);
    wait_until("the epoch with the reads is closed", || !pair.town.closes().is_empty());
    let suspend = |party: &str| {
        let officers = pair.town.data(party).join("officers.json");
        let text = std::fs::read_to_string(&officers).unwrap();
        let suspended =
            text.replace("\"active\":true", "\"active\":false").replace("\"active\": true", "\"active\": false");
        assert_ne!(text, suspended);
        write_secret(&officers, suspended.as_bytes());
    };
    // The directory that a keeper has.
    let serial = || {
        let path = pair.town.data("keeper-1").join("keeper.db");
        let db = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        db.query_row("SELECT max(serial) FROM directory", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = serial();
    suspend("agency");
    wait_until("the keepers have the new directory", || serial() > before);
    let refused = |town: &Town| town.search(PLATES[0]).code != 0;
    wait_until("the officer is refused", || refused(&pair.town));
    pair.town.agency.take().unwrap().kill();
    pair.taken_over_by(1, standby, &mut acknowledged);
    pair.town.wait_sealing();
    // An answer, and not only that the machine is not ready yet.
    let said = std::cell::RefCell::new(String::new());
    wait_until("the officer is answered", || {
        let searched = pair.town.search(PLATES[0]);
        assert_ne!(searched.code, 0, "a suspended officer searches again");
        *said.borrow_mut() = searched.stderr.clone();
        searched.code != 6
    });
    eprintln!("after the takeover: {}", said.borrow());
    for _ in 0..3 {
        pause(1_000);
        assert!(refused(&pair.town), "a suspended officer searches again");
    }
    assert!(pair.town.all_said().contains("is not the list that the other machine signed last"));
    pair.town.nobody_panicked();
    pair.town.stop_all();
}

/// A15. The store has lost a record of the journal: the machine does not go on from the hole, and its own files stay.
#[test]
fn a_journal_with_a_hole_is_refused_and_the_machines_own_files_stay() {
    let mut pair = Pair::start();
    let mut acknowledged = pair.town.post_all(&PLATES, 20);
    assert!(!pair.town.agency.as_ref().unwrap().sealers().is_empty(), "sealers are found while they seal");
    pair.town.agency.take().unwrap().kill();
    let journal = pair.bucket.object("millbrook/standby/journal");
    let mut records: Vec<_> = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    records.retain(|path| path.file_name().unwrap().len() == 20);
    records.sort();
    let lost = &records[records.len() - 3];
    let aside = pair.town.home("agency").join("lost-record");
    std::fs::rename(lost, &aside).unwrap();
    pair.is_refused(0);
    // With the object back, nothing is lost.
    std::fs::rename(&aside, lost).unwrap();
    let process = pair.run(0);
    pair.taken_over_by(0, process, &mut acknowledged);
    pair.has_lost_nothing(&acknowledged);
}

/// A15. The store has lost a part of the base, and nothing brings it back: the machine with the files of its last run goes on with
/// another prefix, as `docs/standby.md` says, and nothing acknowledged is lost.
#[test]
fn where_a_part_of_a_base_is_lost_another_prefix_goes_on_with_the_machines_own_files() {
    let mut pair = Pair::start();
    let mut acknowledged = pair.town.post_all(&PLATES, 20);
    let parts = || files_below(&pair.bucket.object("millbrook/standby/parts"));
    wait_until("there is a base", || !parts().is_empty());
    pair.town.agency.take().unwrap().kill();
    for part in parts() {
        std::fs::remove_file(part).unwrap();
    }
    pair.is_refused(0);
    let file = pair.town.home("agency").join("agency.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    write(&file, text.replace("[standby]\n", "[standby]\nprefix = \"anew\"\n").as_bytes());
    let process = pair.run(0);
    pair.taken_over_by(0, process, &mut acknowledged);
    acknowledged.extend(pair.town.post_all(&PLATES, 10));
    pair.has_lost_nothing(&acknowledged);
}

/// A15. The machine that begins the journal ends before its first base is whole: started again, it begins anew and is not locked out.
#[test]
fn a_machine_that_ended_before_its_first_base_begins_again() {
    let mut pair = Pair::found();
    for place in 0..3 {
        pair.town.start_keeper(place);
    }
    let of_a_base = |asked: &Asked| asked.method == Method::PUT && asked.key.contains("/standby/base/");
    pair.bucket.go_wrong(Bad::Status(503), usize::MAX, of_a_base);
    let mut first = pair.run(0);
    wait_until("the list of the first base is put", || {
        assert!(first.ended().is_none(), "{}", first.said());
        pair.bucket.asked().iter().any(of_a_base)
    });
    first.kill();
    pair.bucket.be_well();
    assert!(!files_below(&pair.bucket.object("millbrook/standby/journal")).is_empty(), "the journal was begun");
    assert!(files_below(&pair.bucket.object("millbrook/standby/base")).is_empty(), "and has no base");
    pair.town.start_everything_but_keepers();
    let acknowledged = pair.town.post_all(&PLATES, 10);
    pair.has_lost_nothing(&acknowledged);
}

/// I1. The bucket itself is not there, for both machines: the active one ends when it is told to, the standby does not take that for a
/// silence of the other, and takes over once the bucket is back.
#[test]
fn a_bucket_that_is_away_keeps_no_machine_from_ending_and_is_no_silence() {
    let mut pair = Pair::start();
    let mut acknowledged = pair.town.post_all(&PLATES, 20);
    let mut standby = pair.stand_by(1);
    pair.bucket.go_wrong(Bad::NoBucket, usize::MAX, |_| true);
    let mut active = pair.town.agency.take().unwrap();
    signal(active.pid(), "TERM");
    let ended = active.wait(ENDS_WITHIN);
    assert!(ended.is_some(), "it did not end:\n{}", active.said());
    pause(u64::try_from((TAKEOVER + TAKEOVER / 2).as_millis()).unwrap());
    assert!(standby.ended().is_none(), "{}", standby.said());
    let said = standby.said();
    assert!(!said.contains("is the active one") && !said.contains("has lost a part"), "{said}");
    pair.bucket.be_well();
    pair.taken_over_by(1, standby, &mut acknowledged);
    acknowledged.extend(pair.town.post_all(&PLATES, 10));
    pair.has_lost_nothing(&acknowledged);
}

/// I1. Without its store the active machine acknowledges nothing, says so, and goes on when the store does.
#[test]
fn without_its_store_a_machine_acknowledges_nothing_and_resumes() {
    let mut pair = Pair::start();
    let mut acknowledged = pair.town.post_all(&PLATES, 20);
    pair.bucket.go_wrong(Bad::Status(503), usize::MAX, |_| true);
    let (taken, refused) = pair.town.post_for(25_000, &PLATES);
    assert!(taken.is_empty(), "{} reads were acknowledged without the store", taken.len());
    assert!(!refused.is_empty() && refused.iter().all(|why| why.starts_with("503")), "{refused:?}");
    assert!(!pair.town.seals(), "and it says that it is not ready");
    // Another machine may reach the store and have taken over: no key of an epoch outlives that silence.
    assert!(pair.town.agency.as_ref().unwrap().sealers().is_empty(), "it still holds keys");
    pair.bucket.be_well();
    wait_until("reads are taken again", || {
        let mut lan = pair.town.lan();
        match pair.town.post(&mut lan, PLATES[2]) {
            Ok(read) => {
                acknowledged.push(read);
                true
            }
            Err(_refused) => false,
        }
    });
    acknowledged.extend(pair.town.post_all(&PLATES, 10));
    pair.has_lost_nothing(&acknowledged);
}

/// Nor does one that is dealt and waits for a keeper's receipt.
#[test]
fn without_its_store_a_machine_holds_no_key_that_was_only_dealt() {
    let mut pair = Pair::start();
    for place in [0, 1] {
        pair.town.keepers[place].take().unwrap().kill();
    }
    let sealers = |pair: &Pair| pair.town.agency.as_ref().unwrap().sealers();
    let before = sealers(&pair);
    wait_until("only such sealers are left", || {
        let now = sealers(&pair);
        !now.is_empty() && now.iter().all(|pid| !before.contains(pid))
    });
    pair.bucket.go_wrong(Bad::Status(503), usize::MAX, |_| true);
    wait_until("no key is left", || sealers(&pair).is_empty());
    pair.bucket.be_well();
    for place in [0, 1] {
        pair.town.start_keeper(place);
    }
    pair.town.wait_sealing();
    let acknowledged = pair.town.post_all(&PLATES, 10);
    pair.has_lost_nothing(&acknowledged);
}

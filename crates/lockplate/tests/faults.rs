//! Faults, each with the real processes of a town: what was acknowledged is found by a lawful search afterwards
//! (`reliability.md` I1), nobody panics, and `lockplate doctor` finds every store clean.
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

mod town;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lockplate_core::entry::{Leaf, LogEntry, parse_leaf};
use lockplate_core::segment::epoch_cells_max;
use town::lan::Lan;
use town::process::{Process, lives, memory_kib, signal};
use town::{BINARY, FORMATS, Terms, Town, command, has_tool, moment, now_ms, pause, wait_until, write};

const PLATES: [&str; 3] = ["KXT4107", "KXT4206", "WRN3317"];

fn files(folder: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// A13, D9. The machine stops in the middle of a write: the agency and its sealers are gone, the last frame of the spool is
/// torn, and the frames before it hold what was acknowledged.
#[test]
fn a_torn_spool_tail_loses_nothing_acknowledged() {
    for cut in [false, true] {
        let mut town = Town::start(Terms { epoch_seconds: 6, ..Terms::default() });
        let mut acknowledged = town.post_all(&PLATES, 60);
        // The frame that will be torn. Where it is cut it was as if never acknowledged, so it is not expected back.
        let torn = town.post_all(&PLATES[..1], 1);
        town.agency.take().unwrap().kill();
        let spools = files(&town.data("agency").join("spool"), ".cells");
        let longest = spools.iter().max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
        let length = std::fs::metadata(longest).unwrap().len();
        assert!(length > 32, "the spool holds what was acknowledged");
        let file = std::fs::File::options().append(true).open(longest).unwrap();
        if cut {
            file.set_len(length - 100).unwrap();
        } else {
            std::io::Write::write_all(&mut &file, &b"LPSF\0\0\0\x3eTORN".repeat(7)).unwrap();
            acknowledged.extend(torn);
        }
        file.sync_all().unwrap();
        drop(file);
        town.start_agency();
        town.wait_sealing();
        acknowledged.extend(town.post_all(&PLATES, 6));
        town.find_all(&acknowledged);
        assert!(town.closes().values().any(|(_, orphaned)| *orphaned), "the log says that an epoch was orphaned");
        town.nobody_panicked();
        town.stop_and_check();
    }
}

/// A13. The sealer is killed; reads go on within 2 s, under the next epoch.
#[test]
fn a_killed_sealer_costs_two_seconds_and_no_acknowledged_read() {
    let mut town = Town::start(Terms { epoch_seconds: 30, ..Terms::default() });
    let mut acknowledged = town.post_all(&PLATES, 30);
    let sealers = town.agency.as_ref().unwrap().sealers();
    assert!(!sealers.is_empty(), "there is a sealer");
    for sealer in &sealers {
        signal(*sealer, "KILL");
    }
    let killed = moment();
    let mut lan = town.lan();
    let first = loop {
        match town.post(&mut lan, PLATES[0]) {
            Ok(read) => break read,
            Err(_refused) => pause(20),
        }
        assert!(killed.elapsed() < Duration::from_secs(20), "no read was taken again");
    };
    let gap = killed.elapsed();
    acknowledged.push(first);
    acknowledged.extend(town.post_all(&PLATES, 30));
    eprintln!("reads are sealed again {} ms after the sealers were killed", gap.as_millis());
    assert!(gap < Duration::from_secs(2), "{gap:?}");
    assert!(sealers.iter().all(|sealer| !lives(*sealer)));
    // The agency's orderly end closes what is open; the next start serves it.
    town.agency.take().unwrap().stop();
    town.start_agency();
    town.find_all(&acknowledged);
    let orphaned = town.closes().values().filter(|(_, orphaned)| *orphaned).count();
    assert!(orphaned >= 1, "the log says that an epoch was orphaned");
    town.nobody_panicked();
    town.stop_and_check();
}

/// Stands between a recorder (standard input) and a real sealer, and says after so many reads that the epoch takes no more: a million
/// would take minutes. The frames are those of `sealer/wire.rs`: 7 is "seal" with a count of reads, 9 and 1 is "not sealed, full".
const SOON_FULL: &str = r#"
import socket, struct, subprocess, sys
recorder = socket.socket(fileno=0)
ours, theirs = socket.socketpair()
real = subprocess.Popen([BINARY, "sealer"], stdin=theirs, stdout=subprocess.DEVNULL, env={})
theirs.close()

def frame(of):
    data = of.recv(4, socket.MSG_WAITALL)
    if len(data) < 4:
        sys.exit(real.wait() if of is ours else ours.close() or real.wait())
    return data + of.recv(struct.unpack(">I", data)[0], socket.MSG_WAITALL)

recorder.sendall(frame(ours))
taken = 0
while True:
    ask = frame(recorder)
    if ask[4] == 7:
        reads = struct.unpack(">H", ask[5:7])[0]
        if taken + reads > 60:
            recorder.sendall(bytes([0, 0, 0, 2, 9, 1]))
            continue
        taken += reads
    ours.sendall(ask)
    recorder.sendall(frame(ours))
"#;

/// An epoch takes no more reads before its hour is over. Many cameras are sending: each is answered when its read is sealed under the next epoch,
/// and none is turned away.
#[test]
fn a_full_epoch_turns_nobody_away() {
    use std::os::unix::fs::PermissionsExt as _;

    let python = command("sh").args(["-c", "command -v python3"]).output().unwrap();
    let python = String::from_utf8(python.stdout).unwrap();
    let mut town = Town::found(Terms { epoch_seconds: 30, sources: 4, ..Terms::default() });
    let sealer = town.home("agency").join("soon-full");
    write(&sealer, format!("#!{python}{}", SOON_FULL.replace("BINARY", &format!("{BINARY:?}"))).as_bytes());
    std::fs::set_permissions(&sealer, std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = town.home("agency").join("agency.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    write(&file, text.replace("[recorder]\n", &format!("[recorder]\nsealer = {sealer:?}\n")).as_bytes());
    town.start_everything();

    let mut lans: Vec<(Lan, String)> = (0..24).map(|at| (town.lan(), town.door(&format!("own-{}", at % 4)))).collect();
    let mut acknowledged = Vec::new();
    for round in 0..25 {
        let reads: Vec<_> = (0..24).map(|at| town.read(&format!("KXT{}", 4_000 + round * 24 + at))).collect();
        std::thread::scope(|scope| {
            for ((lan, door), (_, line)) in lans.iter_mut().zip(&reads) {
                scope.spawn(|| {
                    let (status, body) = lan.post(door, "application/x-ndjson", line.as_bytes()).unwrap();
                    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
                });
            }
        });
        acknowledged.extend(reads.into_iter().map(|(read, _)| read).step_by(23));
        pause(20);
    }
    town.find_all(&acknowledged[..6]);
    let closes = town.closes();
    assert!(closes.len() > 6 && closes.values().all(|(_, orphaned)| !orphaned), "{} epochs closed", closes.len());
    town.nobody_panicked();
    town.stop_and_check();
}

/// A file of few reads of past hours, then one of many: an hour that nobody forecast is not one bucket that every search of it has to fetch.
#[test]
fn an_hour_that_was_not_forecast_has_buckets_of_bounded_size() {
    let mut town = Town::start(Terms { epoch_seconds: 10, ..Terms::default() });
    let hour = now_ms() / 10_000 * 10_000 - 7_200_000;
    let mut import = |name: &str, count: usize, at_ms: i64| {
        let file = town.home("agency").join(name);
        let lines = (0..count).map(|at| {
            let time = at_ms + i64::try_from(at / 2).unwrap();
            format!(
                "{{\"plate\":\"KX{at:05}\",\"camera\":\"file-1\",\"captured_at\":{time},\"id\":\"{name}-{at}\",\"conf\":0.9}}\n"
            )
        });
        write(&file, lines.collect::<String>().as_bytes());
        let mut import = command(BINARY);
        import.args(["import", "--json", "--config"]).arg(town.home("agency").join("agency.toml"));
        let done = import.arg("--state").arg(town.home("agency")).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && said.contains(&format!("\"accepted\":{count}")), "{said}");
        town.wait_closed();
    };
    import("few.ndjson", 5, hour);
    import("many.ndjson", 12_000, hour + 600_000);
    let mut cells = 0;
    for leaf in town.leaves("recorder") {
        if let Leaf::Known(stamped) = parse_leaf(&leaf).unwrap()
            && let LogEntry::EpochClosed(close) = stamped.entry()
        {
            cells += close.cells;
            // A batch is not cut in two, and a bucket has up to fifteen cells of padding, an empty one sixteen.
            let most = u64::try_from(epoch_cells_max(close.bucket_bits)).unwrap() + 4_096 + (16 << close.bucket_bits);
            assert!(close.cells <= most, "{} cells in 2^{} buckets", close.cells, close.bucket_bits);
        }
    }
    assert!(cells >= 12_005, "{cells} cells with their padding");
    let from = u64::try_from((hour + 600_000) / 1_000).unwrap();
    let searched = town.search_between("KX07777", (from, from + 10));
    assert_eq!((searched.code, searched.times().len()), (0, 1), "{} {}", searched.document, searched.stderr);
    town.nobody_panicked();
    town.stop_and_check();
}

/// The recorder is killed in the middle of an epoch, its sealers see the end of their stream and go.
#[test]
fn a_killed_recorder_loses_nothing_acknowledged() {
    let mut town = Town::start(Terms::default());
    let mut acknowledged = town.post_all(&PLATES, 20);
    for _round in 0..3 {
        let sealers = town.agency.as_ref().unwrap().sealers();
        town.agency.take().unwrap().kill_alone();
        let killed = moment();
        while sealers.iter().any(|sealer| lives(*sealer)) {
            assert!(killed.elapsed() < Duration::from_secs(5), "a sealer outlives its recorder");
            pause(20);
        }
        town.start_agency();
        town.wait_sealing();
        acknowledged.extend(town.post_all(&PLATES, 20));
    }
    town.find_all(&acknowledged);
    town.nobody_panicked();
    town.stop_and_check();
}

/// A1, A14. Killed at the n-th file call that makes something durable, counted from a moment when an epoch is about to close:
/// before it is carried out. Whatever was done before, there is one close and one root an epoch afterwards.
#[test]
fn killed_between_the_steps_of_a_close_there_is_one_close_and_one_root() {
    let there = command("strace").arg("-V").output().is_ok();
    if !has_tool("killed_between_the_steps_of_a_close", "strace", there) {
        return;
    }
    let calls = "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,link,linkat";
    let mut town = Town::start(Terms { epoch_seconds: 3, ..Terms::default() });
    let mut acknowledged = town.post_all(&PLATES, 9);
    let mut points = BTreeSet::new();
    for nth in [1, 2, 3, 4, 5, 6, 8, 11] {
        let pid = town.agency.as_ref().unwrap().pid();
        let trace = town.home("agency").join(format!("strace-{nth}.txt"));
        // Threads are followed; a sealer is let go at its exec, because it refuses to live under a tracer.
        let line = [
            "-f",
            "-qq",
            "-b",
            "execve",
            "-y",
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={calls}:signal=KILL:when={nth}"),
            "-o",
            &trace.display().to_string(),
            "-p",
            &pid.to_string(),
        ]
        .map(str::to_owned);
        let mut tracer = Process::start("strace", "strace", &line, &town.traces(), &town.home("agency"));
        // Reads go on while it happens, so that some are acknowledged right before the end.
        let mut lan = town.lan();
        let begun = moment();
        let mut agency = town.agency.take().unwrap();
        while agency.ended().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the injected signal did not come");
            if let Ok(read) = town.post(&mut lan, PLATES[0]) {
                acknowledged.push(read);
            }
            pause(100);
        }
        drop(agency);
        let _traced_to_the_end = tracer.wait(Duration::from_secs(5));
        drop(tracer);
        let text = std::fs::read_to_string(&trace).unwrap();
        if let Some(last) = text.lines().rev().find(|line| line.contains('<') && line.contains('(')) {
            let call = last.split_whitespace().nth(1).unwrap_or_default().split('(').next().unwrap_or_default();
            let file = last.split('<').nth(1).unwrap_or_default().split('>').next().unwrap_or_default();
            points.insert(format!("{call} {}", file.rsplit("/agency/").next().unwrap_or_default()));
        }
        town.start_agency();
        town.wait_sealing();
        acknowledged.extend(town.post_all(&PLATES, 3));
        town.closes();
    }
    eprintln!("killed at: {points:#?}");
    town.find_all(&acknowledged);
    // The archive lists a close once it is durable, strangers see it in the log once witnesses have confirmed it.
    let listed = town.epochs();
    assert!(!listed.epochs.is_empty());
    wait_until("every listed close is on the register", || town.closes().len() >= listed.epochs.len());
    town.nobody_panicked();
    town.stop_and_check();
}

/// A3. A sync fails once: the process ends with an error rather than trust its memory, acknowledges nothing that it could not
/// sync, and starts again clean.
#[test]
fn a_sync_that_fails_once_ends_the_process_and_loses_nothing() {
    let there = command("strace").arg("-V").output().is_ok();
    if !has_tool("a_sync_that_fails_once", "strace", there) {
        return;
    }
    let mut town = Town::start(Terms { epoch_seconds: 3, ..Terms::default() });
    let mut acknowledged = town.post_all(&PLATES, 9);
    // At different points of a period. The first one of a thread: a later one could be long in coming, as work goes round the threads.
    for later in [0, 1_100, 1_900] {
        pause(later);
        let pid = town.agency.as_ref().unwrap().pid();
        let inject = "inject=fsync,fdatasync:error=EIO:when=1";
        let line = ["-f", "-qq", "-b", "execve", "-e", "trace=fsync,fdatasync", "-e", inject, "-o", "/dev/null", "-p"]
            .map(str::to_owned);
        let line: Vec<String> = line.into_iter().chain([pid.to_string()]).collect();
        let mut tracer = Process::start("strace", "strace", &line, &town.traces(), &town.home("agency"));
        let mut lan = town.lan();
        let begun = moment();
        let mut agency = town.agency.take().unwrap();
        let ended = loop {
            if let Some(status) = agency.ended() {
                break status;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "a failed sync did not end the process:\n{}\n{}",
                tracer.said(),
                agency.said()
            );
            // It cannot take hold of a process whose threads come and go in that moment.
            if tracer.ended().is_some() && agency.ended().is_none() {
                tracer = Process::start("strace", "strace", &line, &town.traces(), &town.home("agency"));
            }
            if let Ok(read) = town.post(&mut lan, PLATES[0]) {
                acknowledged.push(read);
            }
            pause(50);
        };
        eprintln!("a sync failed {later} ms later; the agency ended with {ended}");
        assert!(!ended.success(), "a failed sync is an error");
        drop(agency);
        let _traced_to_the_end = tracer.wait(Duration::from_secs(5));
        drop(tracer);
        town.start_agency();
        town.wait_sealing();
        acknowledged.extend(town.post_all(&PLATES, 3));
    }
    town.find_all(&acknowledged);
    town.closes();
    town.nobody_panicked();
    town.stop_and_check();
}

/// A14 once more, by what is seen on the disk: killed as soon as the segment, and as soon as the close, is there.
#[test]
fn killed_when_the_segment_or_the_close_appears() {
    let mut town = Town::start(Terms { epoch_seconds: 3, ..Terms::default() });
    let mut acknowledged = Vec::new();
    for file in ["segment", "close", "spool"] {
        acknowledged.extend(town.post_all(&PLATES, 9));
        let archive = town.data("agency").join("archive");
        let spool = town.data("agency").join("spool");
        let count = |name: &str| -> usize {
            let epochs = std::fs::read_dir(&archive).into_iter().flatten().flatten();
            epochs.filter(|epoch| files(&epoch.path(), name).len() == 1).count()
        };
        let spools: BTreeSet<_> = files(&spool, ".cells").into_iter().collect();
        let before = count(file);
        let begun = moment();
        loop {
            let there = if file == "spool" { spools.iter().any(|path| !path.exists()) } else { count(file) > before };
            if there {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no {file} appeared: {:?}", files(&archive, ""));
            std::thread::yield_now();
        }
        town.agency.take().unwrap().kill();
        town.start_agency();
        town.wait_sealing();
    }
    town.find_all(&acknowledged);
    town.closes();
    town.nobody_panicked();
    town.stop_and_check();
}

/// Two of three keepers are enough for everything; with one the request stands and the exit code says "try again".
#[test]
fn one_keeper_may_be_down_and_two_may_not() {
    let mut town = Town::start(Terms::default());
    let mut acknowledged = town.post_all(&PLATES[..1], 10);
    town.keepers[2].take().unwrap().kill();
    acknowledged.extend(town.post_all(&PLATES[..1], 10));
    pause(5_000);
    acknowledged.extend(town.post_all(&PLATES[..1], 10));
    town.find_all(&acknowledged);
    town.keepers[1].take().unwrap().kill();
    let searched = town.search(PLATES[0]);
    assert_eq!(searched.code, 6, "{} {}", searched.document, searched.stderr);
    assert_eq!(searched.document["exit"], 6);
    // Back again, the same question has an answer.
    town.start_keeper(1);
    town.start_keeper(2);
    town.find_all(&acknowledged);
    town.nobody_panicked();
    town.stop_and_check();
}

/// A10. A second process on a data folder ends at once with 3, and the first does not notice.
#[test]
fn a_second_process_on_a_data_folder_is_refused() {
    let mut town = Town::start(Terms::default());
    let mut acknowledged = town.post_all(&PLATES[..1], 5);
    for party in ["agency", "keeper-1"] {
        let begun = moment();
        let done = command(BINARY).args(town.role(party)).current_dir(town.home(party)).output().unwrap();
        let took = begun.elapsed();
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains("another process uses this data folder"), "{stderr}");
        assert!(took < Duration::from_secs(1), "{party}: {took:?}");
    }
    acknowledged.extend(town.post_all(&PLATES[..1], 5));
    town.find_all(&acknowledged);
    town.stop_and_check();
}

/// A small file system of its own; unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m,mode=0700");
        let done =
            command("mount").args(["-t", "tmpfs", "-o", &size, "lockplate-test"]).arg(folder.path()).output().ok()?;
        done.status.success().then_some(Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _lazily = command("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// A5. The disk is full: cameras are told to come again, nothing acknowledged is lost, and it goes on when there is room.
#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let tmpfs = Tmpfs::mount(24);
    if !has_tool("a_full_disk", "mount(8) of a tmpfs, for which the test must be root", tmpfs.is_some()) {
        return;
    }
    let tmpfs = tmpfs.unwrap();
    let data = tmpfs.0.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut town = Town::start(Terms { agency_data: Some(data), ..Terms::default() });
    let mut acknowledged = town.post_all(&PLATES, 20);
    // Filled to the last byte by somebody else.
    let ballast = tmpfs.0.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    for size in [64 * 1024, 512, 1] {
        while std::io::Write::write_all(&mut file, &vec![7; size]).is_ok() {}
    }
    drop(file);
    let (taken, refused) = town.post_for(9_000, &PLATES);
    eprintln!("on the full disk: {} taken, {} refused, such as {:?}", taken.len(), refused.len(), refused.first());
    acknowledged.extend(taken);
    assert!(!refused.is_empty(), "a full disk refuses at last");
    let ended = town.agency.as_mut().unwrap().ended();
    let honest = |text: &String| text.starts_with("503") || ended.is_some();
    assert!(refused.iter().all(honest), "only 503: {:?}", refused.iter().find(|text| !honest(text)));
    std::fs::remove_file(&ballast).unwrap();
    if let Some(status) = town.agency.as_mut().unwrap().ended() {
        // `reliability.md` section 1: where a sync failed the process exits rather than trust its memory.
        eprintln!("the agency stopped ({status}) and is started again");
        drop(town.agency.take());
        town.start_agency();
    }
    town.wait_sealing();
    acknowledged.extend(town.post_all(&PLATES, 20));
    town.find_all(&acknowledged);
    town.nobody_panicked();
    town.stop_and_check();
}

/// A keeper who lies is named, and the others suffice. The liar holds keeper 3's own keys: its signature is good, its answer
/// is not.
#[test]
fn a_lying_keeper_is_named_and_the_others_suffice() {
    let mut town = Town::found(Terms { front_door: true, ..Terms::default() });
    let liar = town.start_liar();
    town.start_everything();
    let acknowledged = town.post_all(&PLATES[..1], 10);
    town.ask_for_nothing_later();
    // The honest keepers 1 and 2 would suffice without the liar ever being asked: one of them is down.
    town.wait_closed();
    let searched = town.search(PLATES[0]);
    assert_eq!(searched.code, 0, "{} {}", searched.document, searched.stderr);
    town.keepers[0].take().unwrap().kill();
    let mut named = false;
    let searched = town.search(PLATES[0]);
    // Keepers 2 and 3: one lies, so there is no answer but also no wrong one.
    assert!([5, 6].contains(&searched.code), "{} {}", searched.document, searched.stderr);
    named |= searched.document.to_string().contains("Keeper 3") || searched.stderr.contains("Keeper 3");
    town.start_keeper(0);
    town.find_all(&acknowledged);
    assert!(liar.lies() > 0, "the liar was asked");
    assert!(named, "the liar is named: {} {}", searched.document, searched.stderr);
    town.nobody_panicked();
    liar.stop();
    town.stop_and_check();
}

/// E1 over real sockets: 10,000 mutated payloads a format on kept connections get only the answers of `intake.md` section 5
/// and 6, and good reads still get through.
#[test]
fn ten_thousand_malformed_payloads_a_format_get_only_the_answers_of_the_book() {
    const EACH: usize = 10_000;
    const SOURCES: usize = 14;
    let mut town = Town::start(Terms { epoch_seconds: 60, sources: SOURCES, verbose: 0, ..Terms::default() });
    let warm = town.post_all(&PLATES, 50);
    let pid = town.agency.as_ref().unwrap().pid();
    let doors: Vec<Vec<String>> =
        FORMATS.iter().map(|(name, _)| (0..SOURCES).map(|at| town.door(&format!("{name}-{at}"))).collect()).collect();
    // Warmed up: parsers, buffers and connections have their memory.
    for (format, doors) in FORMATS.iter().zip(&doors) {
        malformed(format.0, doors, town.lan_at, 300, 99);
    }
    let before = memory_kib(pid);
    let begun = moment();
    let at = town.lan_at;
    let answers: Vec<(String, std::collections::BTreeMap<u16, usize>)> = std::thread::scope(|scope| {
        let running: Vec<_> = FORMATS
            .iter()
            .zip(&doors)
            .zip(1_u64..)
            .map(|((format, doors), seed)| (format.0, scope.spawn(move || malformed(format.0, doors, at, EACH, seed))))
            .collect();
        running.into_iter().map(|(name, thread)| (name.to_owned(), thread.join().unwrap())).collect()
    });
    let after = memory_kib(pid);
    eprintln!("{EACH} payloads a format in {:?}; memory {before} KiB, then {after} KiB; {answers:?}", begun.elapsed());
    for (format, answers) in &answers {
        assert_eq!(answers.values().sum::<usize>(), EACH, "every payload of {format} was answered");
        let allowed: &[u16] = match format.as_str() {
            // Own formats: counts, or a problem of the table of section 6.
            "own" | "csv" => &[200, 400, 403, 413, 415, 422, 429],
            // Whoever repeats or unsubscribes at an error is told 200 (section 5).
            _ => &[200, 429],
        };
        assert!(answers.keys().all(|status| allowed.contains(status)), "{format}: {answers:?}");
        let judged: usize = answers.iter().filter(|(status, _)| **status != 429).map(|(_, count)| count).sum();
        assert!(judged * 10 >= EACH * 9, "{format}: the rate limit kept too many from the parser: {answers:?}");
    }
    assert!(after.saturating_sub(before) < 64 * 1024, "memory grew from {before} to {after} KiB");
    assert!(town.agency.as_mut().unwrap().ended().is_none());
    let mut good = warm;
    good.extend(town.post_all(&PLATES, 10));
    town.nobody_panicked();
    let said = town.all_said();
    assert!(PLATES.iter().all(|plate| !said.contains(plate)), "no plate in a trace");
    town.agency.take().unwrap().stop();
    town.start_agency();
    town.stop_and_check();
    drop(good);
}

/// Sends mutated payloads of a format, over several sources in turn so that the rate limit of one is not what answers.
fn malformed(
    format: &str,
    doors: &[String],
    at: std::net::SocketAddr,
    count: usize,
    seed: u64,
) -> std::collections::BTreeMap<u16, usize> {
    let mut dice = town::dice::Dice::new(seed);
    let mut lan = Lan::new(at);
    let mut answers = std::collections::BTreeMap::new();
    for number in 0..count {
        let (kind, body) = town::dice::payload(format, &mut dice);
        let answer = lan.post(&doors[number % doors.len()], kind, &body);
        match answer {
            Ok((status, body)) => {
                assert!(!String::from_utf8_lossy(&body).contains("XKP4120"), "an answer echoes a value");
                *answers.entry(status).or_default() += 1;
            }
            Err(error) => panic!("{format} payload {number}: {error}"),
        }
    }
    assert!(lan.connections <= 2 + u64::try_from(count / 100).unwrap(), "connections are kept: {}", lan.connections);
    answers
}

//! What must not be found (`reliability.md` G1, G2; issue A): 1,000 planted plates and the keys of every epoch, in the files,
//! traces and core dumps of a town that was used, crashed and aborted, and in the memory of what outlives an epoch. Each scan
//! has a control: a scanner that finds nothing must be one that can find.
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

use curve25519_dalek::Scalar;
use lockplate_node::keeper::kek::KekTable;
use lockplate_node::rng::SystemRng;
use town::dice::Dice;
use town::process::{descendants, is_sealer, lives, signal};
use town::scan::{Hit, Scanner, base64};
use town::{BINARY, Terms, Town, command, has_tool, moment, now_ms, pause, wait_until, write};

const PLANTED: usize = 1_000;

/// Plates that occur nowhere else, of characters that folding leaves alone: one needle is both texts.
fn plates(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let letters: Vec<char> = "ACEFGHJKLMNPRTUVWXY34679".chars().collect();
    let mut all = BTreeSet::new();
    while all.len() < PLANTED {
        all.insert((0..7).map(|_| letters[dice.below(letters.len())]).collect::<String>());
    }
    all.into_iter().collect()
}

fn seed() -> u64 {
    let seed = u64::try_from(now_ms()).unwrap();
    eprintln!("seed of the planted plates: {seed}");
    seed
}

/// Shares of a keeper, opened with the tables in its own folder: epoch id, s_j, c_j. The keeper is stopped or at rest.
fn shares(data: &Path) -> Vec<([u8; 16], [u8; 32], [u8; 32])> {
    // A copy: opening the table takes files away that are not in force.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(data.join("kek")).unwrap().flatten() {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let table = KekTable::open(copy.path(), &mut SystemRng).unwrap();
    let db = rusqlite::Connection::open(data.join("keeper.db")).unwrap();
    let mut rows = db.prepare("SELECT id, share FROM epoch WHERE share IS NOT NULL").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    let opened = rows.map(|row| {
        let (id, wrapped) = row.unwrap();
        let secret = table.unwrap(&id, &wrapped).unwrap();
        (id, secret[..32].try_into().unwrap(), secret[32..].try_into().unwrap())
    });
    opened.collect()
}

/// Value at zero of the line through two shares.
fn at_zero(first: (u64, &[u8; 32]), second: (u64, &[u8; 32])) -> [u8; 32] {
    let scalar = |bytes: &[u8; 32]| Option::<Scalar>::from(Scalar::from_canonical_bytes(*bytes)).unwrap();
    let (i, j) = (Scalar::from(first.0), Scalar::from(second.0));
    let weight = |own: Scalar, other: Scalar| other * (other - own).invert();
    (weight(i, j) * scalar(first.1) + weight(j, i) * scalar(second.1)).to_bytes()
}

/// A secret with a name for messages.
type Secret = (String, Vec<u8>);

/// The keys and peppers (k and c) of all epochs, put together from the keepers' shares as no party of the protocol can.
fn epoch_keys(town: &Town) -> (Vec<Secret>, Vec<Secret>) {
    let all: Vec<_> = (1..=3).map(|place| shares(&town.data(&format!("keeper-{place}")))).collect();
    let (mut keys, mut parts) = (Vec::new(), Vec::new());
    for (id, s1, c1) in &all[0] {
        let name: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let of = |place: usize| all[place].iter().find(|(other, ..)| other == id);
        let (Some((_, s2, c2)), Some((_, s3, c3))) = (of(1), of(2)) else { continue };
        let k = at_zero((1, s1), (2, s2));
        assert_eq!(k, at_zero((1, s1), (3, s3)), "two different pairs of shares give one key");
        let c = at_zero((1, c1), (2, c2));
        assert_eq!(c, at_zero((2, c2), (3, c3)));
        keys.push((format!("key of epoch {name}"), k.to_vec()));
        keys.push((format!("pepper of epoch {name}"), c.to_vec()));
        for (place, bytes) in [(1, s1), (2, s2), (3, s3), (1, c1), (2, c2), (3, c3)] {
            parts.push((format!("share {place} of epoch {name}"), bytes.to_vec()));
        }
    }
    assert!(!keys.is_empty(), "there are epochs");
    (keys, parts)
}

fn none(what: &str, hits: &[Hit]) {
    let shown: Vec<String> =
        hits.iter().take(10).map(|hit| format!("{} as {} in {}", hit.name, hit.encoding, hit.place)).collect();
    assert!(hits.is_empty(), "{what}: {} hits, such as {shown:#?}", hits.len());
}

/// The control of every scan here: a planted copy is found in each encoding, at each alignment.
#[test]
fn the_scanner_finds_a_planted_copy_in_every_encoding() {
    let plates = plates(7);
    let secret = (0..32_u8).map(|at| at.wrapping_mul(37) ^ 0x5A).collect::<Vec<u8>>();
    let scanner = Scanner::new(&plates, &[("a key".to_owned(), secret.clone())]);
    let noise: Vec<u8> = {
        let mut dice = Dice::new(3);
        (0..1 << 20).map(|_| dice.roll().to_le_bytes()[2]).collect()
    };
    none("noise", &scanner.bytes("noise", &noise));
    let folder = tempfile::tempdir().unwrap();
    for needle in [plates[0].as_bytes(), plates[999].as_bytes(), &secret] {
        let hex: String = needle.iter().map(|byte| format!("{byte:02x}")).collect();
        let utf16 = |bytes: fn(u16) -> [u8; 2]| needle.iter().flat_map(|b| bytes(u16::from(*b))).collect::<Vec<u8>>();
        let mut copies = vec![needle.to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()];
        for alignment in 0..3 {
            let text = [b"xy".repeat(2)[..alignment].to_vec(), needle.to_vec(), b"tail".to_vec()].concat();
            copies.push(base64(&text).into_bytes());
            copies.push(base64(&text).replace('+', "-").replace('/', "_").replace('=', "").into_bytes());
        }
        if needle.len() == 7 {
            copies.extend([utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)]);
        }
        for (number, copy) in copies.iter().enumerate() {
            let file = folder.path().join("sub").join(format!("{number}"));
            write(&file, &[&noise[..5_000], copy, &noise[..3_000]].concat());
            let (hits, files) = scanner.folder(folder.path());
            assert!(!hits.is_empty() && files.len() == 1, "copy {number} is found");
            std::fs::remove_file(&file).unwrap();
        }
    }
}

/// A process whose memory holds a plate is caught; this one does.
#[test]
fn the_scanner_finds_a_planted_copy_in_memory() {
    let plates = plates(11);
    // Put together at run time in a process that has no list of needles.
    let mut child =
        command("sh").args(["-c", "read a; read b; sleep 30"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), format!("{}\n", plates[5]).as_bytes()).unwrap();
    let scanner = Scanner::new(&plates, &[]);
    let mut found = false;
    for _try in 0..40 {
        pause(50);
        if let Some((hits, _)) = scanner.memory(child.id()) {
            found |= hits.iter().any(|hit| hit.name == plates[5]);
        }
        if found {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    if has_tool("the_scanner_finds_a_planted_copy_in_memory", "the right to read other processes' memory", found) {
        assert!(found);
    }
}

/// G1. A town is used, crashes, and is aborted with core dumps allowed: no plate and no key anywhere on disk or in a trace.
#[test]
fn no_planted_plate_and_no_key_in_any_file_trace_or_core() {
    let plates = plates(seed());
    let mut town = Town::start(Terms { epoch_seconds: 4, verbose: 3, ..Terms::default() });
    // Half comes by webhook, half by import of a file that lies outside of every data folder.
    let mut lan = town.lan();
    let webhook = town.door("own-0");
    for chunk in plates[..PLANTED / 2].chunks(25) {
        let lines: String = chunk.iter().map(|plate| town.read(plate).1).collect();
        let (status, body) = lan.post(&webhook, "application/x-ndjson", lines.as_bytes()).unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    // Refused ones too: an unknown camera, a cut line, a placeholder of a form.
    for plate in &plates[..50] {
        for body in [
            format!("{{\"plate\":\"{plate}\",\"camera\":\"nobody\",\"captured_at\":{}}}", now_ms()),
            format!("{{\"plate\":\"{plate}\",\"camera\":\"c1\",\"captured_at\":\"yesterday\"}}"),
            format!("{{\"plate\":\"{plate}\",\"cam"),
        ] {
            let (status, answer) = lan.post(&webhook, "application/x-ndjson", body.as_bytes()).unwrap();
            assert!((400..500).contains(&status));
            assert!(!String::from_utf8_lossy(&answer).contains(plate), "an answer echoes a plate");
        }
        let (_status, _body) = lan.post(&town.door("openalpr-0"), "application/json", plate.as_bytes()).unwrap();
    }
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("reads.ndjson");
    let before = now_ms() - 3_600_000;
    let lines: String = plates[PLANTED / 2..]
        .iter()
        .enumerate()
        .map(|(at, plate)| {
            let time = before + i64::try_from(at % 8).unwrap();
            format!(
                "{{\"plate\":\"{plate}\",\"camera\":\"file-1\",\"captured_at\":{time},\"id\":\"f{at}\",\"conf\":0.9}}\n"
            )
        })
        .collect();
    write(&file, lines.as_bytes());
    let config = town.home("agency").join("agency.toml");
    let imported = command(BINARY)
        .args(["import", "--json", "-v", "-v", "-v", "--config"])
        .arg(&config)
        .arg("--state")
        .arg(town.home("agency"))
        .arg(&file)
        .output()
        .unwrap();
    write(&town.traces().join("import.stdout"), &imported.stdout);
    write(&town.traces().join("import.stderr"), &imported.stderr);
    assert_eq!(imported.status.code(), Some(0), "{}", String::from_utf8_lossy(&imported.stderr));
    let report = String::from_utf8_lossy(&imported.stdout).into_owned();
    assert!(report.contains("\"accepted\":500"), "{report}");
    town.wait_closed();
    for plate in &plates[..20] {
        let searched = town.search(plate);
        assert_eq!(searched.code, 0, "{} {}", searched.document, searched.stderr);
        assert_eq!(searched.times().len(), 1, "the plate is found once");
    }
    // What a court gets names its plate, and lies where the officer puts it; what is held is sealed and may lie anywhere.
    let package = outside.path().join("package");
    let kept = town.search_with(&plates[0], &["--package", &package.display().to_string()]);
    assert_eq!(kept.code, 0, "{} {}", kept.document, kept.stderr);
    let (hits, files) = Scanner::new(&plates, &[]).folder(&package);
    assert!(files.len() == 2 && hits.iter().all(|hit| hit.name == plates[0]), "its own plate and no other");
    let supervisor = town.supervisor().display().to_string();
    let case = town.home("officer").join("case.key").display().to_string();
    let made = command(BINARY).args(["sign", "new-case-key", "--name", "Records", "--key", &case]).output().unwrap();
    assert_eq!(made.status.code(), Some(0));
    let (public, folder) = (format!("{case}.pub"), town.home("officer").display().to_string());
    let hold = ["--hold", "--case-key", &public, "--hold-folder", &folder, "--second", &supervisor];
    // The new list of officers reaches the keepers within seconds.
    let mut held = town.search_with(&plates[1], &hold);
    for _again in 0..20 {
        if held.code == 0 {
            break;
        }
        pause(500);
        held = town.search_with(&plates[1], &hold);
    }
    assert_eq!(held.code, 0, "{} {}", held.document, held.stderr);
    assert_eq!(held.document["result"], "held");
    // Requests that are filed and not fetched wait in the officer's folder, sealed.
    for plate in &plates[20..25] {
        let filed = town.file_only(plate);
        assert_eq!(filed.code, 0, "{} {}", filed.document, filed.stderr);
    }
    let pending = std::fs::read_dir(town.home("officer").join("searches")).unwrap().count();
    assert!(pending >= 5, "{pending} searches wait");
    // A crash in mid-epoch, and an abort with core dumps allowed: agency, sealers and a keeper.
    let more: String = plates[..25].iter().map(|plate| town.read(plate).1).collect();
    let (status, _) = lan.post(&webhook, "application/x-ndjson", more.as_bytes()).unwrap();
    assert_eq!(status, 200);
    town.agency.take().unwrap().kill();
    let dumping = |line: &[String]| {
        let mut all = vec!["-c".to_owned(), "ulimit -c unlimited && exec \"$0\" \"$@\"".to_owned(), BINARY.to_owned()];
        all.extend(line.iter().cloned());
        all
    };
    let line = town.role("agency");
    town.start_agency_as("sh", &dumping(&line));
    town.wait_sealing();
    let mut lan = town.lan();
    let more: String = plates[25..50].iter().map(|plate| town.read(plate).1).collect();
    let (status, _) = lan.post(&webhook, "application/x-ndjson", more.as_bytes()).unwrap();
    assert_eq!(status, 200);
    let mut agency = town.agency.take().unwrap();
    let sealers = agency.sealers();
    assert!(!sealers.is_empty());
    signal(sealers[0], "ABRT");
    wait_until("the aborted sealer is gone", || !lives(sealers[0]));
    let more: String = plates[50..75].iter().map(|plate| town.read(plate).1).collect();
    let begun = moment();
    while lan.post(&webhook, "application/x-ndjson", more.as_bytes()).map_or(0, |(status, _)| status) != 200 {
        assert!(begun.elapsed() < town::PATIENCE);
        pause(50);
    }
    signal(agency.pid(), "ABRT");
    let ended = agency.wait(town::PATIENCE);
    assert!(ended.is_some(), "an aborted agency ends");
    drop(agency);
    let mut keeper = town.keepers[0].take().unwrap();
    signal(keeper.pid(), "ABRT");
    assert!(keeper.wait(town::PATIENCE).is_some());
    drop(keeper);
    let cores = |town: &Town| {
        let (_, files) = Scanner::new(&["NEVERFOUND".to_owned()], &[]).folder(town.folder.path());
        let core = |path: &&std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("core");
        files.iter().filter(core).cloned().collect::<Vec<_>>()
    };
    assert_eq!(cores(&town), Vec::<std::path::PathBuf>::new(), "nobody leaves a core");

    // As the disks lie, with write-ahead logs and spools of the crash.
    let (keys, parts) = epoch_keys(&town);
    let secrets: Vec<_> = keys.iter().chain(&parts).cloned().collect();
    let scanner = Scanner::new(&plates, &secrets);
    let (hits, files) = scanner.folder(town.folder.path());
    eprintln!("{} files scanned for {} plates and {} secrets of epochs", files.len(), plates.len(), secrets.len());
    for ending in [".cells", "keeper.db", "agency.db", ".stderr", ".stdout", "checkpoint"] {
        assert!(files.iter().any(|file| file.to_string_lossy().ends_with(ending)), "there is a file {ending} to scan");
    }
    none("after the crash", &hits);

    // And after everything was taken up and closed.
    town.start_keeper(0);
    town.start_agency();
    town.wait_closed();
    town.stop_all();
    let (keys, parts) = epoch_keys(&town);
    let secrets: Vec<_> = keys.into_iter().chain(parts).collect();
    none("at the end", &Scanner::new(&plates, &secrets).folder(town.folder.path()).0);
    town.doctor();
}

/// G2. After the close of an epoch no surviving process holds its key; while it is open its sealer alone does, if the system
/// lets anybody look at all.
#[test]
fn no_surviving_process_holds_the_key_of_a_closed_epoch() {
    let plates = plates(seed());
    let mut town = Town::start(Terms { epoch_seconds: 5, ..Terms::default() });
    let mut lan = town.lan();
    let webhook = town.door("own-0");
    for chunk in plates.chunks(50) {
        let lines: String = chunk.iter().map(|plate| town.read(plate).1).collect();
        let (status, _) = lan.post(&webhook, "application/x-ndjson", lines.as_bytes()).unwrap();
        assert_eq!(status, 200);
    }
    let agency = town.agency.as_ref().unwrap().pid();
    let sealers = town.agency.as_ref().unwrap().sealers();
    assert!(!sealers.is_empty());
    // The keys of the epochs that are open now, and of those closed before.
    let (keys, _) = epoch_keys(&town);
    let in_use = Scanner::new(&[], &keys);
    let live: Vec<_> = sealers.iter().filter_map(|pid| in_use.memory(*pid)).collect();
    if live.is_empty() {
        eprintln!("the system refuses to show the memory of a live sealer, even to this test: that is the pass");
    } else {
        let held: BTreeSet<String> = live.iter().flat_map(|(hits, _)| hits).map(|hit| hit.name.clone()).collect();
        eprintln!("live sealers, seen with all rights of root: {held:?}");
        assert!(held.iter().any(|name| name.starts_with("key of")), "control: the live sealer holds its key");
    }
    town.wait_closed();
    let begun = moment();
    while sealers.iter().any(|pid| lives(*pid)) {
        assert!(begun.elapsed() < std::time::Duration::from_secs(12), "a sealer outlives its epoch");
        pause(50);
    }
    let survivors: Vec<(String, u32)> = [("agency".to_owned(), agency)]
        .into_iter()
        .chain((0..3).map(|at| (format!("keeper {}", at + 1), town.keepers[at].as_ref().unwrap().pid())))
        .collect();
    let scanner = Scanner::new(&plates, &keys);
    for (name, pid) in &survivors {
        let Some((hits, seen)) = scanner.memory(*pid) else {
            // Reading is refused to root as well: nobody else can.
            eprintln!("the memory of {name} cannot be read");
            assert!(!has_tool("no_surviving_process", "the right to read other processes' memory", false));
            continue;
        };
        let (of_keys, of_plates): (Vec<Hit>, Vec<Hit>) =
            hits.into_iter().partition(|hit| hit.name.contains(" of epoch "));
        eprintln!("{name}: {} MiB seen, {} hits of keys, {} of plates", seen >> 20, of_keys.len(), of_plates.len());
        none(&format!("keys of closed epochs in the memory of {name}"), &of_keys);
        if name != "agency" {
            none(&format!("plates in the memory of {name}, whom nobody asked"), &of_plates);
        }
    }
    for pid in descendants(agency) {
        assert!(is_sealer(pid), "an agency has no other children than sealers");
    }
    town.nobody_panicked();
    town.stop_and_check();
}

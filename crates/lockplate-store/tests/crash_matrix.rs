//! The crash matrix (`log.md` sections 3 and 10, line "Storage"): a process that appends to a real folder is killed at each of its file calls,
//! or has one of them fail, and so is the process that takes up what is left. Afterwards, with everything that ever left any of them kept by
//! a recorder: no two signed heads of one size with other roots and none that the log does not extend, no acknowledged leaf missing or
//! changed, none twice after the retry, and every tile proved.
//!
//! The child is this test binary under `strace`, which kills at the n-th call of one kind (before it is carried out) or gives it an error.
//! Calls are counted by a run without injection first. By default every eleventh point is taken; `LOCKPLATE_CRASH_ALL=1` takes all.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test starts its own child, and says by a panic what is wrong"
)]

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::io::Write as _;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use lockplate_log::{
        AddCheckpoint, CosignatureSigner, Entry, Error, Log, LogView, NoteSigner, Origin, Refusal, SignedCheckpoint,
        WitnessRecord,
    };
    use lockplate_store::durable::{LockError, is_temporary};
    use lockplate_store::fsck;
    use lockplate_store::log_files::{AcquireError, FileLogStorage, folder_reader};
    use lockplate_store::witness_files::{AddError, WitnessFiles};

    /// What the child reads to know that it is one: the scene, the number of the run, and the folder.
    const CHILD: &str = "LOCKPLATE_CRASH_CHILD";
    /// Every call by which files change, and the opens between them.
    const CALLS: &str =
        "openat,write,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,ftruncate";
    /// Every n-th point in the short form.
    const STRIDE: usize = 11;
    /// Leaves in the log that is there before: the batches below complete a tile.
    const BASE: usize = 254;
    /// The batches of the scene, in numbers of requests.
    const BATCHES: [&[usize]; 3] = [&[1_000], &[1_001, 1_002, 1_003], &[1_004]];

    /// A request as a party logs it: the same request, logged by another run, is another leaf (another nonce).
    struct Request {
        number: usize,
        run: usize,
    }

    impl Entry for Request {
        fn leaf(&self) -> Vec<u8> {
            format!("request {} nonce {} {}", self.number, self.run, "-".repeat(self.number % 40)).into_bytes()
        }
        fn time(&self) -> u64 {
            1_000
        }
    }

    fn number_of(leaf: &[u8]) -> usize {
        std::str::from_utf8(leaf).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn origin() -> Origin {
        Origin::parse("clerk.millbrook.example/log/keeper").unwrap()
    }

    fn signer() -> NoteSigner {
        NoteSigner::new(origin(), &[7; 32]).unwrap()
    }

    fn witness() -> CosignatureSigner {
        CosignatureSigner::new(Origin::parse("court.example/witness").unwrap(), &[8; 32]).unwrap()
    }

    fn log_folder(folder: &Path) -> PathBuf {
        folder.join("log/clerk.millbrook.example+log+keeper")
    }

    /// Takes a lock that another thread's child may hold for a moment: between fork and exec it has the files of this process.
    fn patiently<T>(acquire: impl Fn() -> Result<T, AcquireError>) -> T {
        for _ in 0..500 {
            match acquire() {
                Err(AcquireError::Lock(LockError::Held)) => std::thread::sleep(std::time::Duration::from_millis(10)),
                taken => return taken.expect("a folder that can be locked"),
            }
        }
        panic!("another process holds the lock");
    }

    fn storage(folder: &Path) -> FileLogStorage {
        patiently(|| FileLogStorage::acquire(&folder.join("log"), &origin()))
    }

    fn witness_files(folder: &Path) -> WitnessFiles {
        patiently(|| WitnessFiles::acquire(&folder.join("witness")))
    }

    fn open(folder: &Path) -> Result<Log<FileLogStorage>, Error> {
        let storage = storage(folder);
        if log_folder(folder).join("head").exists() {
            Log::load(storage, signer(), |_| Some(1_000), 2_000)
        } else {
            Log::create(storage, signer())
        }
    }

    /// What a party does: takes up its log, logs the requests that are not there yet, acts on each, and publishes a head while later ones
    /// are being logged.
    fn append_scene(folder: &Path, run: usize, say: &mut dyn FnMut(String)) -> Result<(), Error> {
        let mut log = open(folder)?;
        say(head_line(log.head()));
        let mut there = BTreeSet::new();
        for bundle in 0..log.size().div_ceil(256) {
            there.extend(log.bundle(bundle)?.iter().map(|leaf| number_of(leaf)));
        }
        let mut unpublished = log.head().clone();
        for batch in BATCHES {
            let fresh: Vec<Request> =
                batch.iter().filter(|number| !there.contains(number)).map(|&number| Request { number, run }).collect();
            for logged in log.append_batch(fresh)? {
                let leaf = String::from_utf8(logged.get().leaf()).expect("text");
                say(format!("ack {} {leaf}", logged.index()));
            }
            say(head_line(log.head()));
            log.publish(&unpublished, &[])?;
            unpublished = log.head().clone();
        }
        log.publish(&unpublished, &[])
    }

    fn head_line(head: &SignedCheckpoint) -> String {
        format!("head {}", hex(&head.to_bytes()))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2).expect("two digits"), 16).expect("hex");
        (0..text.len()).step_by(2).map(pair).collect()
    }

    /// What a log and a witness do: one head after the other is cosigned, and the log learns from a refusal what the witness has.
    fn witness_scene(folder: &Path, asks: &[Vec<AddCheckpoint>], say: &mut dyn FnMut(String)) -> Result<(), AddError> {
        let files = witness_files(folder);
        let mut old = 0;
        while old + 1 < asks.len() {
            match files.add_checkpoint(&asks[old][1], signer().verifier_key(), &witness(), || 1_000) {
                Ok(record) => {
                    old += 1;
                    say(format!("cosigned {}", hex(&record.to_bytes())));
                }
                Err(AddError::Refused(Refusal::Conflict(size))) => old = usize::try_from(size).expect("small"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Bodies that ask for head `old + i` when the witness has `old`.
    fn make_asks() -> Vec<Vec<AddCheckpoint>> {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path()).unwrap();
        let mut heads = vec![log.head().clone()];
        for number in 0..5 {
            drop(log.append(Request { number, run: 0 }).unwrap());
            heads.push(log.head().clone());
        }
        let ask = |old: usize, head: &SignedCheckpoint| {
            AddCheckpoint::new(&log.consistency_proof(old as u64, head.checkpoint().size()).unwrap(), head).unwrap()
        };
        (0..heads.len()).map(|old| heads[old..].iter().map(|head| ask(old, head)).collect()).collect()
    }

    fn asks_text(asks: &[Vec<AddCheckpoint>]) -> String {
        asks.iter().map(|row| row.iter().map(|ask| hex(&ask.to_bytes())).collect::<Vec<_>>().join(" ") + "\n").collect()
    }

    fn asks_from(text: &str) -> Vec<Vec<AddCheckpoint>> {
        text.lines().map(|row| row.split(' ').map(|ask| AddCheckpoint::parse(&unhex(ask)).unwrap()).collect()).collect()
    }

    /// Not a test: what [`run_child`] starts.
    #[test]
    #[ignore = "started by the other tests of this file"]
    fn child() {
        let Ok(scene) = std::env::var(CHILD) else { return };
        let (scene, rest) = scene.split_once(' ').unwrap();
        let (run, folder) = rest.split_once(' ').unwrap();
        let mut say = |line: String| {
            let mut out = std::io::stdout().lock();
            out.write_all(format!("{line}\n").as_bytes()).unwrap();
            out.flush().unwrap();
        };
        if scene == "append" {
            append_scene(Path::new(folder), run.parse().unwrap(), &mut say).unwrap();
        } else {
            let asks = asks_from(&fs::read_to_string(Path::new(folder).join("asks")).unwrap());
            witness_scene(Path::new(folder), &asks, &mut say).unwrap();
        }
        say("done".to_owned());
    }

    /// One point of the matrix.
    #[derive(Clone, Debug)]
    struct Point {
        call: String,
        nth: usize,
        /// What happens there, in strace's words.
        strike: &'static str,
    }

    struct Ended {
        /// What the child said before it ended.
        said: Vec<String>,
        /// Calls of each kind by the thread that worked.
        calls: BTreeMap<String, usize>,
        struck: bool,
    }

    fn run_child(scene: &str, folder: &Path, run: usize, point: Option<&Point>) -> Ended {
        let trace = folder.join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", &format!("trace={CALLS}"), "-o"]).arg(&trace);
        if let Some(Point { call, nth, strike }) = point {
            command.args(["-e", &format!("inject={call}:{strike}:when={nth}")]);
        }
        command.arg(std::env::current_exe().unwrap());
        // Two threads, so that the scene has one of its own, whose calls strace counts from 1.
        command.args(["--exact", "tests::child", "--ignored", "--nocapture", "--test-threads", "2", "-q"]);
        // A child that panics as it should must not read its debug symbols under the tracer.
        let command = command.env("RUST_BACKTRACE", "0").env(CHILD, format!("{scene} {run} {}", folder.display()));
        let output = command.output().unwrap();
        let text = fs::read_to_string(&trace).unwrap();
        let struck = text.contains("killed by SIGKILL") || text.contains("(INJECTED)");
        // A line is "1234 fsync(3) = 0"; the thread that takes a lock file is the one.
        let thread_of = |line: &str| line.split(' ').next().map(str::to_owned);
        let worker = text.lines().find(|line| line.contains("/lock\"")).and_then(thread_of);
        let mut calls = BTreeMap::new();
        for line in text.lines().filter(|line| thread_of(line) == worker && !line.contains("resumed>")) {
            if let Some((call, _)) = line.split_once('(') {
                *calls.entry(call.rsplit(' ').next().unwrap().to_owned()).or_default() += 1;
            }
        }
        let said: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        assert!(
            struck || said.iter().any(|line| line == "done"),
            "a child that was not struck ended badly: {}\n{}",
            said.join("\n"),
            String::from_utf8_lossy(&output.stderr)
        );
        Ended { said, calls, struck }
    }

    /// All points of a scene: killed before each call, and each failing in the ways it can.
    fn points(scene: &str, base: &Path) -> Vec<Point> {
        let dir = copied(base);
        let mut points = Vec::new();
        for (call, count) in run_child(scene, dir.path(), 1, None).calls {
            for nth in 1..=count {
                let mut strikes = vec!["signal=KILL", "error=EIO"];
                if ["openat", "write", "mkdir", "mkdirat", "link", "linkat", "rename"].contains(&call.as_str()) {
                    strikes.push("error=ENOSPC");
                }
                points.extend(strikes.into_iter().map(|strike| Point { call: call.clone(), nth, strike }));
            }
        }
        points
    }

    /// The points of this run with their numbers: all of them, or every so many.
    fn chosen(points: Vec<Point>, offset: usize) -> impl Iterator<Item = (usize, Point)> {
        let all = std::env::var("LOCKPLATE_CRASH_ALL").is_ok_and(|value| value == "1");
        let (skip, step) = if all { (0, 1) } else { (offset, STRIDE) };
        points.into_iter().enumerate().skip(skip).step_by(step)
    }

    fn copied(base: &Path) -> tempfile::TempDir {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                let to = to.join(path.file_name().unwrap());
                if path.is_dir() {
                    copy(&path, &to);
                } else {
                    fs::copy(&path, &to).unwrap();
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        copy(base, dir.path());
        dir
    }

    /// The recording witness: everything that ever left a process, or that the next one may find and go on from.
    #[derive(Default)]
    struct Recorder {
        heads: BTreeMap<u64, SignedCheckpoint>,
        acknowledged: BTreeMap<u64, String>,
    }

    impl Recorder {
        fn hear(&mut self, what: &str, folder: &Path, said: &[String]) {
            for line in said {
                if let Some(note) = line.strip_prefix("head ") {
                    self.head(what, &unhex(note));
                } else if let Some((index, leaf)) = line.strip_prefix("ack ").and_then(|ack| ack.split_once(' ')) {
                    let twice = self.acknowledged.insert(index.parse().unwrap(), leaf.to_owned());
                    assert!(twice.is_none(), "{what}: two leaves were acknowledged at {index}");
                }
            }
            for file in ["head", "public/checkpoint"] {
                if let Ok(bytes) = fs::read(log_folder(folder).join(file)) {
                    self.head(what, &bytes);
                }
            }
        }

        fn head(&mut self, what: &str, note: &[u8]) {
            let signed =
                SignedCheckpoint::parse(note, signer().verifier_key()).expect("whatever is there is whole and signed");
            let known = self.heads.entry(signed.checkpoint().size()).or_insert_with(|| signed.clone());
            assert_eq!(known.checkpoint().root(), signed.checkpoint().root(), "{what}: two heads of one size, a fork");
        }

        /// After the retry: the log has what it must have, once, and every tile is proved.
        fn check(&self, what: &str, folder: &Path) {
            let log = open(folder).unwrap_or_else(|error| panic!("{what}: the log does not start: {error:?}"));
            let public = log.storage().public();
            let view = LogView::load(log.head().checkpoint().clone(), folder_reader(&public)).unwrap();
            let mut leaves = Vec::new();
            view.verify::<Error>(0..view.bundle_count(), |_, leaf| {
                leaves.push(String::from_utf8(leaf.to_vec()).unwrap());
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{what}: {error}"));
            for (index, leaf) in &self.acknowledged {
                assert_eq!(leaves.get(usize::try_from(*index).unwrap()), Some(leaf), "{what}: an acknowledged leaf");
            }
            let numbers: Vec<usize> = leaves.iter().map(|leaf| number_of(leaf.as_bytes())).collect();
            let once: BTreeSet<usize> = numbers.iter().copied().collect();
            assert_eq!(once.len(), numbers.len(), "{what}: a leaf twice");
            assert!(
                BATCHES.iter().copied().flatten().all(|number| once.contains(number)),
                "{what}: the retry is there"
            );
            for head in self.heads.values() {
                assert_eq!(view.extends(head.checkpoint()), Ok(true), "{what}: a head that the log does not extend");
            }
            let report = fsck::check_log(&public, log.head().checkpoint(), |_, _| {}).unwrap();
            assert_eq!(report.worst(), fsck::Severity::Ok, "{what}: {:?}", report.findings);
            assert_eq!(report.cells, log.size());
            assert_eq!(log.published().map(|published| published.checkpoint().size()), Some(log.size()), "{what}");
            assert_eq!(leftovers(&log_folder(folder)), Vec::<PathBuf>::new(), "{what}");
        }
    }

    /// Staging files and temporaries; those among the tiles stay for `fsck` to list.
    fn leftovers(folder: &Path) -> Vec<PathBuf> {
        let list = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let staging = list(folder.join("staging"));
        let rest = list(folder.to_owned()).chain(list(folder.join("public"))).filter(|path| is_temporary(path));
        staging.chain(rest).collect()
    }

    fn has_strace(test: &str) -> bool {
        let there = Command::new("strace").arg("-V").output().is_ok();
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(there || !ci, "{test}: strace is missing, and in CI nothing is skipped");
        if !there {
            eprintln!("SKIPPED {test}: strace is missing on this machine");
        }
        there
    }

    /// Strikes a scene at each chosen point, and then its restart; lets it finish and checks.
    fn append_matrix(test: &str, base: &Path) {
        let all = points("append", base);
        let (mut struck, mut struck_again, count) = (0, 0, all.len());
        for (at, point) in chosen(all.clone(), 0) {
            let dir = copied(base);
            let mut recorder = Recorder::default();
            let ended = run_child("append", dir.path(), 1, Some(&point));
            let what = format!("{point:?}");
            recorder.hear(&what, dir.path(), &ended.said);
            struck += usize::from(ended.struck);
            // The restart is struck too, at a point that walks through the matrix.
            let second = &all[(at * 31 + 17) % count];
            let ended = run_child("append", dir.path(), 2, Some(second));
            let what = format!("{what}, then {second:?}");
            recorder.hear(&what, dir.path(), &ended.said);
            struck_again += usize::from(ended.struck);
            let mut said = Vec::new();
            let last = append_scene(dir.path(), 3, &mut |line| said.push(line));
            recorder.hear(&what, dir.path(), &said);
            assert_eq!(last, Ok(()), "{what}: the retry");
            recorder.check(&what, dir.path());
        }
        eprintln!("{test}: {count} points, {struck} struck, {struck_again} of the restarts as well");
        assert!(struck >= 40 && struck_again >= 10, "the matrix struck: {struck}, {struck_again}");
    }

    fn base_log(leaves: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path()).unwrap();
        drop(log.append_batch((0..leaves).map(|number| Request { number, run: 0 }).collect()).unwrap());
        let head = log.head().clone();
        log.publish(&head, &[]).unwrap();
        dir
    }

    #[test]
    fn struck_at_each_file_call_of_append_a_log_neither_forks_nor_loses_nor_doubles() {
        if has_strace("append") {
            append_matrix("append", base_log(BASE).path());
        }
    }

    /// The same from nothing: a log that is made and filled, struck at each call.
    #[test]
    fn struck_while_it_is_made_a_log_is_made_again_or_found() {
        if has_strace("create") {
            append_matrix("create", tempfile::tempdir().unwrap().path());
        }
    }

    /// Killed between persist and answer, or anywhere else: the record is never behind what was answered, and never goes back.
    #[test]
    fn struck_at_each_file_call_a_witness_never_answers_what_it_has_not_recorded() {
        if !has_strace("witness") {
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let asks = make_asks();
        fs::write(base.path().join("asks"), asks_text(&asks)).unwrap();
        let parse = |bytes: &[u8]| {
            WitnessRecord::parse(bytes, signer().verifier_key(), witness().verifier_key()).expect("whole and signed")
        };
        let recorded = |folder: &Path| {
            witness_files(folder).read(&origin()).unwrap().map_or(0, |bytes| parse(&bytes).checkpoint().size())
        };
        let mut struck = 0;
        for (_, point) in chosen(points("witness", base.path()), 3) {
            let dir = copied(base.path());
            let ended = run_child("witness", dir.path(), 1, Some(&point));
            struck += usize::from(ended.struck);
            let answered = ended.said.iter().filter_map(|line| line.strip_prefix("cosigned ")).next_back();
            let answered = answered.map_or(0, |hex| parse(&unhex(hex)).checkpoint().size());
            assert!(recorded(dir.path()) >= answered, "{point:?}: answered and not recorded");
            witness_scene(dir.path(), &asks, &mut |_| ()).unwrap();
            assert_eq!(recorded(dir.path()), 5, "{point:?}: the log asks again, and gets there");
        }
        eprintln!("witness: {struck} struck");
        assert!(struck >= 10, "the matrix struck: {struck}");
    }

    /// A head that is cut anywhere is refused; it is neither taken up, nor taken for a log that was never made.
    #[test]
    fn a_torn_head_is_refused_at_every_byte() {
        let base = base_log(3);
        let head = log_folder(base.path()).join("head");
        let whole = fs::read(&head).unwrap();
        let load = || Log::load(storage(base.path()), signer(), |_| Some(1_000), 2_000);
        for cut in 0..whole.len() {
            let fillers: &[&[u8]] = if cut % 9 == 0 { &[b"", &[0; 7], b"\n"] } else { &[b""] };
            for &filler in fillers {
                let torn = [&whole[..cut], filler].concat();
                if torn == whole {
                    continue;
                }
                fs::write(&head, &torn).unwrap();
                assert!(load().is_err(), "cut at {cut}");
                assert_eq!(
                    Log::create(storage(base.path()), signer()).err(),
                    Some(Error::AlreadyExists),
                    "cut at {cut}"
                );
                assert_eq!(fs::read(&head).unwrap(), torn, "it is left for a human");
            }
        }
        fs::write(&head, &whole).unwrap();
        assert_eq!(load().unwrap().size(), 3);
    }
}

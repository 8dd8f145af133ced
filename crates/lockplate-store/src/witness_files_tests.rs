use super::*;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lockplate_log::{Checkpoint, ConsistencyProof, Entry, Log, NoteSigner, SignedCheckpoint};

use crate::log_files::FileLogStorage;

struct Said(u64);

impl Entry for Said {
    fn leaf(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
    fn time(&self) -> u64 {
        1
    }
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

/// A log with its head of every size.
fn grown(folder: &Path, said: impl Iterator<Item = u64>) -> (Log<FileLogStorage>, Vec<SignedCheckpoint>) {
    let mut log = Log::create(FileLogStorage::acquire(folder, &origin()).unwrap(), signer()).unwrap();
    let mut heads = vec![log.head().clone()];
    for number in said {
        drop(log.append(Said(number)).unwrap());
        heads.push(log.head().clone());
    }
    (log, heads)
}

fn ask(log: &Log<FileLogStorage>, old: u64, head: &SignedCheckpoint) -> AddCheckpoint {
    AddCheckpoint::new(&log.consistency_proof(old, head.checkpoint().size()).unwrap(), head).unwrap()
}

fn add(files: &WitnessFiles, asked: &AddCheckpoint) -> Result<Checkpoint, AddError> {
    let record = files.add_checkpoint(asked, signer().verifier_key(), &witness(), || 1_000)?;
    Ok(record.checkpoint().clone())
}

fn refusal(result: Result<Checkpoint, AddError>) -> Refusal {
    match result {
        Err(AddError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (log, heads) = grown(&dir.path().join("log"), 0..6);
    let folder = dir.path().join("witness");
    let files = WitnessFiles::acquire(&folder).unwrap();
    assert_eq!(files.read(&origin()).unwrap(), None);
    add(&files, &ask(&log, 0, &heads[4])).unwrap();
    assert!(matches!(WitnessFiles::acquire(&folder), Err(AcquireError::Lock(durable::LockError::Held))));
    drop(files);
    fs::File::create(folder.join("x.0.tmp")).unwrap();

    let files = WitnessFiles::acquire(&folder).unwrap();
    let served = files.read(&origin()).unwrap().unwrap();
    let record = WitnessRecord::parse(&served, signer().verifier_key(), witness().verifier_key()).unwrap();
    assert_eq!(record.checkpoint().size(), 4);
    assert!(folder.join(record_id(&origin())).is_file());
    assert_eq!(record_id(&origin()).len(), 64);
    assert_eq!(refusal(add(&files, &ask(&log, 0, &heads[6]))), Refusal::Conflict(4));
    add(&files, &ask(&log, 4, &heads[6])).unwrap();
    // The clock went back.
    let back = files.add_checkpoint(&ask(&log, 6, &heads[6]), signer().verifier_key(), &witness(), || 999);
    assert!(matches!(back, Err(AddError::Clock(lockplate_log::Error::ClockBack))));
}

#[test]
fn a_fork_freezes_the_log_and_a_failing_proof_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (log, heads) = grown(&dir.path().join("log"), 0..6);
    let (_forked, forks) = grown(&dir.path().join("fork"), 100..106);
    let folder = dir.path().join("witness");
    let files = WitnessFiles::acquire(&folder).unwrap();
    add(&files, &ask(&log, 0, &heads[4])).unwrap();
    // Anybody may send a signed checkpoint with rubbish for a proof. It is kept, and the log goes on.
    let rubbish = |hash: u8| {
        let proof = ConsistencyProof::from_parts(4, 6, vec![[hash; 32].into(); 3]).unwrap();
        AddCheckpoint::new(&proof, &heads[6]).unwrap()
    };
    assert_eq!(refusal(add(&files, &rubbish(1))), Refusal::Inconsistent);
    assert_eq!(refusal(add(&files, &rubbish(1))), Refusal::Inconsistent);
    assert_eq!(files.evidence(&origin()).unwrap(), [rubbish(1).to_bytes()], "kept once");
    assert!(!files.is_frozen(&origin()).unwrap());
    add(&files, &ask(&log, 4, &heads[5])).unwrap();
    for hash in 0..=u8::MAX {
        let body = [b"old 5\n".to_vec(), vec![hash]].concat();
        files.keep_evidence(&origin(), EvidenceSort::Suspicion, &body).unwrap();
    }
    assert_eq!(files.evidence(&origin()).unwrap().len(), SUSPICIONS_MAX, "a bound for rubbish");

    // Two signed roots of one size need nobody's word.
    let fork = AddCheckpoint::new(&ConsistencyProof::from_parts(5, 5, Vec::new()).unwrap(), &forks[5]).unwrap();
    assert_eq!(refusal(add(&files, &fork)), Refusal::Forked);
    assert!(files.is_frozen(&origin()).unwrap());
    assert_eq!(refusal(add(&files, &ask(&log, 5, &heads[6]))), Refusal::Frozen, "the good branch neither");
    drop(files);
    let files = WitnessFiles::acquire(&folder).unwrap();
    assert_eq!(refusal(add(&files, &ask(&log, 5, &heads[6]))), Refusal::Frozen, "after a restart too");
    files.thaw(&origin()).unwrap();
    assert_eq!(add(&files, &ask(&log, 5, &heads[6])).unwrap().size(), 6);
    assert!(!files.evidence(&origin()).unwrap().is_empty(), "what was kept stays");
    let other = Origin::parse("mayor.example/log").unwrap();
    assert!(files.evidence(&other).unwrap().is_empty() && !files.is_frozen(&other).unwrap());
}

#[test]
fn no_number_of_suspicions_keeps_the_proof_of_a_fork_out() {
    let dir = tempfile::tempdir().unwrap();
    let (log, heads) = grown(&dir.path().join("log"), 0..6);
    let (_forked, forks) = grown(&dir.path().join("fork"), 100..106);
    let folder = dir.path().join("witness");
    let files = WitnessFiles::acquire(&folder).unwrap();
    add(&files, &ask(&log, 0, &heads[4])).unwrap();
    for hash in 0..u8::try_from(2 * SUSPICIONS_MAX).unwrap() {
        let proof = ConsistencyProof::from_parts(4, 6, vec![[hash; 32].into(); 3]).unwrap();
        let rubbish = AddCheckpoint::new(&proof, &heads[6]).unwrap();
        assert_eq!(refusal(add(&files, &rubbish)), Refusal::Inconsistent);
    }
    assert_eq!(files.evidence(&origin()).unwrap().len(), SUSPICIONS_MAX);
    let recorded = files.read(&origin()).unwrap().unwrap();

    let kept = folder.join(format!("{}.evidence", record_id(&origin())));
    let proofs = || {
        let names = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(PROOF_PREFIX)).collect();
        names.sort();
        names
    };
    assert!(proofs().is_empty());
    let fork = AddCheckpoint::new(&ConsistencyProof::from_parts(4, 4, Vec::new()).unwrap(), &forks[4]).unwrap();
    for round in 0..2 {
        assert_eq!(refusal(add(&files, &fork)), Refusal::Forked);
        let names = proofs();
        assert_eq!(names.len(), 2, "round {round}: kept, and kept once: {names:?}");
        assert!(names[0].ends_with(".asked") && names[1].ends_with(".recorded"), "{names:?}");
        assert_eq!(fs::read(kept.join(&names[0])).unwrap(), fork.to_bytes());
        assert_eq!(fs::read(kept.join(&names[1])).unwrap(), recorded);
        assert!(files.is_frozen(&origin()).unwrap());
        files.thaw(&origin()).unwrap();
    }
    let all = files.evidence(&origin()).unwrap();
    assert_eq!((all.len(), &all[0]), (SUSPICIONS_MAX + 1, &fork.to_bytes()), "the proof first");

    // A suspicion that became a proof is kept as one, whether or not it found room as a suspicion.
    for number in 0..2 * PROOFS_MAX {
        files.freeze_on(&origin(), format!("old 4\n{number}").as_bytes()).unwrap();
    }
    assert!(files.is_frozen(&origin()).unwrap());
    let all = files.evidence(&origin()).unwrap();
    assert_eq!(all.len(), SUSPICIONS_MAX + PROOFS_MAX, "a bound for proofs");
    assert!(all.contains(&fork.to_bytes()), "the first one stays");
    // One that was kept as a suspicion is not kept twice, and makes room for another.
    let other = Origin::parse("mayor.example/log").unwrap();
    for sort in [EvidenceSort::Suspicion, EvidenceSort::Proof, EvidenceSort::Suspicion] {
        files.keep_evidence(&other, sort, b"old 4\n").unwrap();
        assert_eq!(files.evidence(&other).unwrap(), [b"old 4\n".to_vec()]);
    }
    assert!(files.bodies(&other, EvidenceSort::Suspicion).unwrap().is_empty());
    let first = |number: usize| all.contains(&format!("old 4\n{number}").into_bytes());
    assert!(first(0) && first(PROOFS_MAX - 2) && !first(PROOFS_MAX - 1));
}

#[test]
fn the_evidence_of_a_fork_convinces_a_stranger() {
    let dir = tempfile::tempdir().unwrap();
    let (log, heads) = grown(&dir.path().join("log"), 0..3);
    let (_forked, forks) = grown(&dir.path().join("fork"), 100..103);
    let folder = dir.path().join("witness");
    let files = WitnessFiles::acquire(&folder).unwrap();
    add(&files, &ask(&log, 0, &heads[3])).unwrap();
    let fork = AddCheckpoint::new(&ConsistencyProof::from_parts(3, 3, Vec::new()).unwrap(), &forks[3]).unwrap();
    assert_eq!(refusal(add(&files, &fork)), Refusal::Forked);
    let kept = folder.join(format!("{}.evidence", record_id(&origin())));
    let read = |ending: &str| {
        let mut entries = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path());
        fs::read(entries.find(|path| path.extension().unwrap() == ending).unwrap()).unwrap()
    };
    let recorded = SignedCheckpoint::parse(&read("recorded"), signer().verifier_key()).unwrap();
    let asked = AddCheckpoint::parse(&read("asked")).unwrap();
    let asked = SignedCheckpoint::from_note(asked.note().clone(), signer().verifier_key()).unwrap();
    assert_eq!(recorded.checkpoint().size(), asked.checkpoint().size());
    assert_ne!(recorded.checkpoint().root(), asked.checkpoint().root());
}

#[test]
fn a_record_that_is_not_ours_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (log, heads) = grown(&dir.path().join("log"), 0..3);
    let files = WitnessFiles::acquire(&dir.path().join("witness")).unwrap();
    add(&files, &ask(&log, 0, &heads[2])).unwrap();
    let good = files.read(&origin()).unwrap().unwrap();
    let mut flipped = good.clone();
    flipped[60] ^= 1;
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("cut", good[..good.len() - 1].to_vec()),
        ("flipped", flipped),
        ("without our line", heads[2].to_bytes()),
        ("too long", vec![b'a'; NOTE_BYTES_MAX + 1]),
    ] {
        files.replace(&origin(), &bytes).unwrap();
        let error = add(&files, &ask(&log, 2, &heads[3])).unwrap_err();
        assert!(matches!(error, AddError::Altered(_) | AddError::Storage(_)), "{what}: {error:?}");
        assert_eq!(
            fs::read(dir.path().join("witness").join(record_id(&origin()))).unwrap(),
            bytes,
            "{what} is left alone"
        );
    }
}

/// `log.md` section 10: two requests in a race, and the record never goes back. Threads ask for sizes as they like; one watches the file.
#[test]
fn requests_in_a_race_never_roll_the_record_back() {
    let dir = tempfile::tempdir().unwrap();
    let (log, heads) = grown(&dir.path().join("log"), 0..40);
    let asks: Vec<Vec<AddCheckpoint>> =
        (0..heads.len()).map(|old| heads[old..].iter().map(|head| ask(&log, old as u64, head)).collect()).collect();
    let files = WitnessFiles::acquire(&dir.path().join("witness")).unwrap();
    let clock = AtomicU64::new(1_000);
    let done = AtomicBool::new(false);
    let size_now = || {
        files.read(&origin()).unwrap().map_or(0, |bytes| {
            let record = WitnessRecord::parse(&bytes, signer().verifier_key(), witness().verifier_key()).unwrap();
            usize::try_from(record.checkpoint().size()).unwrap()
        })
    };
    let cosigned = Mutex::new(0_usize);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..4_usize)
            .map(|thread| {
                let (files, asks, clock, cosigned) = (&files, &asks, &clock, &cosigned);
                scope.spawn(move || {
                    let mut believed = 0;
                    for round in 0..60_usize {
                        let new = (believed + 1 + (round * 7 + thread * 3) % 4).min(40);
                        let now = || clock.fetch_add(1, Ordering::SeqCst);
                        match files.add_checkpoint(
                            &asks[believed][new - believed],
                            signer().verifier_key(),
                            &witness(),
                            now,
                        ) {
                            Ok(record) => {
                                believed = usize::try_from(record.checkpoint().size()).unwrap();
                                *cosigned.lock().unwrap() += 1;
                            }
                            Err(AddError::Refused(Refusal::Conflict(size))) => {
                                believed = usize::try_from(size).unwrap()
                            }
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::SeqCst) {
                let size = size_now();
                assert!(size >= last, "the record went back from {last} to {size}");
                last = size;
            }
        });
        for asker in askers {
            asker.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
        watcher.join().unwrap();
    });
    assert_eq!(size_now(), 40);
    assert!(*cosigned.lock().unwrap() >= 40 / 4, "they did cosign");
}

//! A crash at every write of a log's life, in three kinds, and again at every write of the restart: nothing returned is lost, nothing is
//! logged twice, and all checkpoints ever released are of one tree.

use lockplate_log::merkle::{leaf_hash, root};
use lockplate_log::{Error, Hash, Log, LogFile};

use crate::memory::{Memory, NOW, Said, Strike, leaf_time, said, signer};

/// Leaves a batch: the first, up to a tile's edge, over it, and one beyond.
const SCRIPT: [usize; 5] = [1, 254, 1, 2, 3];

/// What left the process: entries acted on, and checkpoints signed for witnesses or strangers.
#[derive(Default)]
struct Released {
    entries: Vec<(u64, Said)>,
    checkpoints: Vec<(u64, Hash)>,
}

impl Released {
    fn head(&mut self, log: &Log<Memory>) {
        self.checkpoints.push((log.size(), log.root()));
    }
}

fn take_up(storage: Memory) -> Result<Log<Memory>, Error> {
    match Log::load(storage.clone(), signer(), leaf_time, NOW) {
        // Nothing was ever returned by `create`, so the operator runs it again.
        Err(Error::Missing(LogFile::Head)) => Log::create(storage, signer()),
        result => result,
    }
}

/// Runs the script from wherever the log is: the callers retry what is not in it. Returns at the first error.
fn run(storage: Memory, released: &mut Released) -> Result<Log<Memory>, Error> {
    let mut log = take_up(storage)?;
    released.head(&log);
    let mut next = usize::try_from(log.size()).unwrap();
    let mut end = 0;
    for batch in SCRIPT {
        end += batch;
        if next < end {
            for logged in log.append_batch((next..end).map(said).collect())? {
                released.entries.push((logged.index(), logged.get().clone()));
            }
            released.head(&log);
            next = end;
        }
        let head = log.head().clone();
        log.publish(&head, &[])?;
    }
    Ok(log)
}

fn check(log: &Log<Memory>, released: &Released) {
    let total: usize = SCRIPT.iter().sum();
    assert_eq!(log.size(), total as u64);
    let leaves: Vec<Vec<u8>> =
        (0..log.size()).step_by(256).flat_map(|first| log.bundle(first / 256).unwrap()).collect();
    let expected: Vec<Vec<u8>> = (0..total).map(|number| lockplate_log::Entry::leaf(&said(number))).collect();
    assert_eq!(leaves, expected, "every entry once, in order");
    for (index, entry) in &released.entries {
        assert_eq!(
            leaves[usize::try_from(*index).unwrap()],
            lockplate_log::Entry::leaf(entry),
            "a returned entry is in the log"
        );
    }
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    for (size, seen) in &released.checkpoints {
        assert_eq!(root(&hashes[..usize::try_from(*size).unwrap()]), *seen, "a released checkpoint is of this tree");
    }
}

fn writes_of_a_good_run() -> usize {
    let storage = Memory::default();
    let mut released = Released::default();
    let log = run(storage.restart(None), &mut released).unwrap();
    check(&log, &released);
    assert_eq!(released.entries.len(), SCRIPT.iter().sum::<usize>());
    storage.0.borrow().writes
}

#[test]
fn a_crash_at_each_write_loses_and_doubles_nothing() {
    let writes = writes_of_a_good_run();
    assert!(writes >= 32, "the script goes through every step: {writes}");
    for strike in [Strike::Before, Strike::After, Strike::Cached] {
        for at in 0..writes {
            let storage = Memory::default();
            let mut released = Released::default();
            let error = run(storage.restart(Some((at, strike))), &mut released).unwrap_err();
            assert!(error.is_fatal());
            assert!(storage.was_struck());
            let log = run(storage.restart(None), &mut released).unwrap();
            check(&log, &released);
            drop(log);
            storage.cut_power();
            check(&run(storage.restart(None), &mut released).unwrap(), &released);
        }
    }
}

#[test]
fn a_crash_in_the_restart_after_a_crash_loses_and_doubles_nothing() {
    let writes = writes_of_a_good_run();
    let mut both = 0;
    for first in [Strike::Before, Strike::After, Strike::Cached] {
        for second in [Strike::Before, Strike::After, Strike::Cached] {
            for at in 0..writes {
                for again in [0, 1, 2, 3, 5, 8] {
                    let storage = Memory::default();
                    let mut released = Released::default();
                    let error = run(storage.restart(Some((at, first))), &mut released).unwrap_err();
                    assert!(error.is_fatal());
                    // Power may go between the two crashes or not; the seed is the place.
                    if (at + again) % 2 == 0 {
                        storage.cut_power();
                    }
                    let struck = run(storage.restart(Some((again, second))), &mut released);
                    both += usize::from(struck.is_err());
                    drop(struck);
                    storage.cut_power();
                    let log = run(storage.restart(None), &mut released).unwrap();
                    check(&log, &released);
                }
            }
        }
    }
    assert!(both > 1_000, "the restart was struck too: {both}");
}

#[test]
fn after_a_failed_write_nothing_works_and_nothing_is_written() {
    let storage = Memory::default();
    let mut log = Log::create(storage.restart(None), signer()).unwrap();
    let writes = storage.0.borrow().writes;
    storage.0.borrow_mut().plan = Some((writes + 1, Strike::Before));
    let error = log.append(said(0)).unwrap_err();
    assert!(matches!(error, Error::Storage { file: LogFile::Head, .. }), "{error:?}");
    assert!(error.is_fatal());
    let before = storage.0.borrow().seen.clone();
    assert_eq!(log.append(said(0)).unwrap_err(), Error::Poisoned);
    assert_eq!(log.leaf(0).unwrap_err(), Error::Poisoned);
    assert_eq!(log.receipt(0).unwrap_err(), Error::Poisoned);
    assert_eq!(log.consistency_proof(0, 0).unwrap_err(), Error::Poisoned);
    let head = log.head().clone();
    assert_eq!(log.publish(&head, &[]).unwrap_err(), Error::Poisoned);
    assert_eq!(storage.0.borrow().seen, before);
}

#[test]
fn a_failed_publication_can_be_repeated() {
    let storage = Memory::default();
    let mut log = Log::create(storage.restart(None), signer()).unwrap();
    drop(log.append(said(0)).unwrap());
    let head = log.head().clone();
    let writes = storage.0.borrow().writes;
    storage.0.borrow_mut().plan = Some((writes, Strike::Before));
    assert!(matches!(log.publish(&head, &[]).unwrap_err(), Error::Storage { file: LogFile::Published, .. }));
    assert!(log.published().is_none());
    storage.0.borrow_mut().struck = false;
    log.publish(&head, &[]).unwrap();
    assert_eq!(log.published(), Some(&head));
}

//! The spool's end of the sealer: cells that are sealed become durable here, and are told then. A thread of its own, so that a frame is
//! sealed while the one before it is synced; everything that was sealed meanwhile shares the next sync (group commit). It holds no key.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;

use lockplate_core::segment::SpoolCell;
use lockplate_store::spool::{Error, FRAME_CELLS_MAX, SpoolTally, SpoolWriter};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Rng as _, SeedableRng as _};

use super::End;
use super::wire::{NotSealed, Refusal, Tell, write_tell};

/// What one frame of the recorder came to.
pub(super) enum Commit {
    /// Sealed.
    Cells(Vec<SpoolCell>),
    /// The counter of a plate is used up: the epoch takes no more.
    UsedUp,
}

/// Writes what comes until the sender is gone; count and digest of what is durable then. After an error the recorder hears nothing more.
pub(super) fn keep(
    mut spool: SpoolWriter,
    commits: &Receiver<Commit>,
    mut answers: UnixStream,
    mut rng: impl CryptoRng,
) -> Result<SpoolTally, End> {
    let kept = keep_all(&mut spool, commits, &mut answers, &mut rng);
    if kept.is_err() {
        // Ends the wait for the next frame too. Where it is shut already there is none.
        let _shut_before = answers.shutdown(Shutdown::Both);
    }
    kept.map(|()| spool.tally())
}

fn keep_all(
    spool: &mut SpoolWriter,
    commits: &Receiver<Commit>,
    answers: &mut UnixStream,
    rng: &mut impl CryptoRng,
) -> Result<(), End> {
    let mut next = commits.recv().ok();
    while let Some(commit) = next.take() {
        let Commit::Cells(mut cells) = commit else {
            tell(answers, &Tell::NotSealed(NotSealed::EpochFull))?;
            next = commits.recv().ok();
            continue;
        };
        let mut counts = vec![cells.len()];
        while let Ok(more) = commits.try_recv() {
            match more {
                Commit::Cells(more) if cells.len().saturating_add(more.len()) <= FRAME_CELLS_MAX => {
                    counts.push(more.len());
                    cells.extend(more);
                }
                other @ (Commit::Cells(_) | Commit::UsedUp) => {
                    next = Some(other);
                    break;
                }
            }
        }
        shuffle(&mut cells, rng);
        let not_sealed = append(spool, &cells)?;
        for count in counts {
            let told = not_sealed.map_or_else(
                || Tell::Sealed { cells: u32::try_from(count).unwrap_or(u32::MAX), spool_bytes: spool.bytes() },
                Tell::NotSealed,
            );
            tell(answers, &told)?;
        }
        if next.is_none() {
            next = commits.recv().ok();
        }
    }
    Ok(())
}

/// One group commit: all of it on stable storage, or none and why.
fn append(spool: &mut SpoolWriter, cells: &[SpoolCell]) -> Result<Option<NotSealed>, End> {
    match spool.append(cells) {
        Ok(()) => Ok(None),
        Err(Error::Full) => Ok(Some(NotSealed::EpochFull)),
        Err(Error::Durable(error)) if error.must_stop() => Err(End::MustStop),
        Err(Error::Durable(_)) => Ok(Some(NotSealed::DiskFull)),
        Err(Error::BatchTooLarge | Error::Read(_) | Error::Foreign | Error::Damaged { .. }) => {
            Err(End::Refused(Refusal::Frame))
        }
    }
}

fn tell(answers: &mut UnixStream, what: &Tell) -> Result<(), End> {
    if write_tell(answers, what) { Ok(()) } else { Err(End::Gone) }
}

/// Fisher and Yates: the spool shows the order of commits, not of reads within one (LPv1 section 6). 64 random bits modulo
/// at most 4,096 are even to within 2^-52. One draw of the hedged generator seeds a commit.
fn shuffle(cells: &mut [SpoolCell], rng: &mut impl CryptoRng) {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    let mut rng = ChaCha20Rng::from_seed(seed);
    for at in (1..cells.len()).rev() {
        let span = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(1);
        let other = usize::try_from(rng.next_u64() % span).unwrap_or(at);
        cells.swap(at, other);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::mpsc::sync_channel;

    use lockplate_core::id::EpochId;
    use lockplate_core::limits::CELL_BYTES;
    use lockplate_store::spool::SpoolReader;

    use super::*;
    use crate::rng::SystemRng;
    use crate::sealer::wire::frame_length;

    fn cells(from: u8, count: u8) -> Vec<SpoolCell> {
        (from..from + count).map(|n| SpoolCell { bucket: n.into(), cell: [n; CELL_BYTES] }).collect()
    }

    fn told(stream: &mut UnixStream) -> Tell {
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        let mut frame = vec![0; frame_length(head).unwrap()];
        stream.read_exact(&mut frame).unwrap();
        Tell::from_frame(&frame).unwrap()
    }

    #[test]
    fn frames_that_wait_share_a_commit_and_each_gets_its_answer_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (path, epoch) = (folder.path().join("e.cells"), EpochId([7; 16]));
        let spool = SpoolWriter::create(&path, epoch).unwrap();
        let (mut recorder, ours) = UnixStream::pair().unwrap();
        let (to_disk, commits) = sync_channel(8);
        for commit in
            [Commit::Cells(cells(0, 5)), Commit::Cells(cells(5, 90)), Commit::UsedUp, Commit::Cells(cells(95, 1))]
        {
            to_disk.send(commit).unwrap();
        }
        drop(to_disk);
        let tally = keep(spool, &commits, ours, SystemRng).unwrap_or_else(|_| panic!("it was written"));
        assert_eq!(tally.count, 96);
        let (first, second, third, last) =
            (told(&mut recorder), told(&mut recorder), told(&mut recorder), told(&mut recorder));
        let Tell::Sealed { cells: 5, spool_bytes } = first else { panic!("{first:?}") };
        assert_eq!(second, Tell::Sealed { cells: 90, spool_bytes }, "both are in one commit");
        assert_eq!(third, Tell::NotSealed(NotSealed::EpochFull));
        assert_eq!(last, Tell::Sealed { cells: 1, spool_bytes: std::fs::metadata(&path).unwrap().len() });
        let kept = SpoolReader::recover(&path, epoch).unwrap();
        assert_eq!((kept.tally, kept.torn_tail), (tally, false));
        let order: Vec<u32> = kept.cells.iter().map(|cell| cell.bucket).collect();
        assert!(!order[..95].is_sorted(), "a commit does not show in which order its reads came");
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..96).collect::<Vec<u32>>());
    }
}

//! The sealer: a child process, one an epoch, that alone holds the epoch's key. It deals the epoch, seals reads into its
//! spool, and exits; **its exit is the erasure** (LPv1 section 7). It opens no file but the spool, no socket at all, and
//! sends no secret anywhere: what leaves are headers, sealed envelopes, counts and a digest.
//!
//! Started by exec of this binary with its end of a socket pair as standard input (`recorder/sealer_link.rs`); the
//! protocol is in `sealer/wire.rs`. It is hardened before the first byte is read: not dumpable, no core, not traceable,
//! memory locked where the system allows it. When the recorder is gone the stream ends, and so does the sealer; the spool
//! is then an orphan, which needs no key to be closed.

pub(crate) mod wire;
mod writer;

use std::io::{Read as IoRead, Write as IoWrite};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{SyncSender, sync_channel};

use lockplate_core::charter::CharterFile;
use lockplate_core::epoch::{Dealt, EpochPlan, Prekey, ShareReceipt, VerifiedPrekey, deal};
use lockplate_core::read::Read;
use lockplate_core::seal::{NONCE_BYTES, Prepared, Sealer};
use lockplate_core::sign::{Signed, Statement as _, VerifyKey};
use lockplate_core::{Error, ErrorKind, Timestamp};
use lockplate_store::spool::{SPOOL_SUFFIX, SpoolWriter};
use rand_core::CryptoRng;
use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};
use rustix::mm::MlockAllFlags;
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wire::{Ask, Deal, Refusal, Tell, read_frame, write_tell};
use writer::Commit;
use zeroize::Zeroizing;

use crate::rng::HedgedRng;
use crate::shutdown::ExitKind;

/// Reads of a frame from which on all cores work at it: smaller ones are many, and the other cores have enough to do.
const PREPARED_MIN: usize = 64;
/// Sealed frames that may wait for the disk.
const UNSYNCED_MAX: usize = 8;
/// Stack of a thread that does curve arithmetic, all of it locked in memory.
const STACK_BYTES: usize = 256 * 1024;

/// The main loop of the child: `lockplate sealer`. Returns when the epoch is closed, or when the recorder is gone.
///
/// Refuses ([`ExitKind::Usage`]) unless standard input is a Unix stream socket: nobody starts it by hand.
/// [`ExitKind::Internal`] where the process could not be hardened: it must not hold a key then.
#[must_use]
pub fn run_child() -> ExitKind {
    let stdin = std::io::stdin();
    let fd = stdin.as_fd();
    let is_pair = sockopt::socket_domain(fd).is_ok_and(|domain| domain == AddressFamily::UNIX)
        && sockopt::socket_type(fd).is_ok_and(|kind| kind == SocketType::STREAM);
    if !is_pair {
        let _best_effort =
            writeln!(std::io::stderr(), "the sealer is started by `lockplate agency` and by nobody else");
        return ExitKind::Usage;
    }
    let Some(locked) = harden() else {
        let _best_effort = writeln!(std::io::stderr(), "the sealer cannot be hardened and so holds no key");
        return ExitKind::Internal;
    };
    // Refused only where there is a pool already, and there is none.
    let _there_is_one = rayon::ThreadPoolBuilder::new().stack_size(STACK_BYTES).build_global();
    match fd.try_clone_to_owned() {
        Ok(owned) => serve(UnixStream::from(owned), locked),
        Err(_no_descriptor) => ExitKind::Unavailable,
    }
}

/// Not dumpable, no tracer, no core; `Some(true)` if memory is locked too, `None` if the first part failed.
fn harden() -> Option<bool> {
    secmem_proc::harden_process().ok()?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).ok()?;
    // Under a limit, locking what is allocated later would make an allocation fail in the middle of an epoch, so only
    // what is there is locked, and the recorder is told that this is not all.
    let unlimited = getrlimit(Resource::Memlock).current.is_none() || rustix::process::geteuid().is_root();
    let flags = if unlimited { MlockAllFlags::CURRENT | MlockAllFlags::FUTURE } else { MlockAllFlags::CURRENT };
    Some(rustix::mm::mlockall(flags).is_ok() && unlimited)
}

/// One epoch over `stream`. Total on what the other side sends.
fn serve(mut stream: UnixStream, locked: bool) -> ExitKind {
    if !write_tell(&mut stream, &Tell::Hello { locked }) {
        return ExitKind::Unavailable;
    }
    match run(&mut stream) {
        Ok(()) => ExitKind::Done,
        Err(End::Gone) => ExitKind::Unavailable,
        Err(End::MustStop) => ExitKind::Internal,
        Err(End::Refused(why)) => {
            let _told = write_tell(&mut stream, &Tell::Refused(why));
            ExitKind::Internal
        }
    }
}

/// Why an epoch ended without a close.
enum End {
    /// The recorder is gone.
    Gone,
    /// A sync failed: what is on the disk is not known, and nothing more is said about it.
    MustStop,
    /// Told.
    Refused(Refusal),
}

fn next(stream: &mut impl IoRead) -> Result<Ask, End> {
    let frame = read_frame(stream).ok_or(End::Gone)?;
    frame.and_then(|frame| Ask::from_frame(&frame)).map_err(|_bad| End::Refused(Refusal::Frame))
}

fn tell(stream: &mut impl IoWrite, what: &Tell) -> Result<(), End> {
    if write_tell(stream, what) { Ok(()) } else { Err(End::Gone) }
}

fn run(stream: &mut UnixStream) -> Result<(), End> {
    let Ask::Deal(asked) = next(stream)? else { return Err(End::Refused(Refusal::Frame)) };
    let mut rng = HedgedRng::new(asked.device_secret.clone(), asked.run);
    let dealt = deal_epoch(&asked, &mut rng)?;
    let header = dealt.header().encode();
    let epoch = dealt.header().epoch_id;
    tell(stream, &Tell::Dealt { header, envelopes: dealt.envelopes().to_vec() })?;
    let Some(mut sealer) = start(stream, dealt)? else { return Ok(()) };
    let path = asked.spool.join(format!("{epoch}{SPOOL_SUFFIX}"));
    let spool = SpoolWriter::create(&path, epoch).map_err(|_error| End::Refused(Refusal::Spool))?;
    tell(stream, &Tell::Started)?;
    let answers = stream.try_clone().map_err(|_descriptors| End::Refused(Refusal::Spool))?;
    // A stream of its own: the writer draws side by side with the sealing.
    let order = HedgedRng::new(asked.device_secret.clone(), asked.run.map(|byte| !byte));
    let (to_disk, commits) = sync_channel(UNSYNCED_MAX);
    let writer = std::thread::Builder::new().stack_size(STACK_BYTES);
    let writer = writer.spawn(move || writer::keep(spool, &commits, answers, order));
    let writer = writer.map_err(|_no_thread| End::Refused(Refusal::Spool))?;
    let ended = seal_what_comes(stream, &mut sealer, &to_disk, &mut rng);
    drop(to_disk);
    // What the writer says comes first: after a failed sync nothing else counts.
    let tally = writer.join().map_err(|_panicked| End::MustStop)??;
    ended?;
    // Ended before it is told: nothing can be sealed after the count is out.
    let _cells = sealer.close();
    tell(stream, &Tell::Closed(tally))
}

fn deal_epoch(asked: &Deal, rng: &mut impl CryptoRng) -> Result<Dealt, End> {
    let file = CharterFile::verify(&asked.charter).map_err(|_invalid| End::Refused(Refusal::Charter))?;
    let charter = file.charter();
    if charter.recorder(asked.recorder).is_none() || asked.prekeys.len() != charter.keepers.len() {
        return Err(End::Refused(Refusal::Charter));
    }
    let verified = charter.keepers.iter().zip(&asked.prekeys).map(|(keeper, prekey)| {
        let key: [u8; 32] = keeper.key.public_key().try_into().map_err(|_length| Error::internal("an Ed25519 key"))?;
        VerifiedPrekey::new(&Signed::<Prekey>::from_bytes(prekey)?, &VerifyKey(key), asked.now)
    });
    let prekeys = verified.collect::<Result<Vec<_>, _>>().map_err(|_invalid| End::Refused(Refusal::Prekeys))?;
    let plan = EpochPlan {
        agency: charter.owner.id,
        recorder: asked.recorder,
        cap_from: asked.cap_from,
        cap_to: asked.cap_to,
        kind: asked.kind,
        bucket_bits: asked.bucket_bits,
        threshold: file.threshold(),
        charter_hash: file.hash(),
        destroy_after: Timestamp(charter.destroy_after(asked.cap_to.0)),
    };
    deal(&plan, prekeys, rng).map_err(|_invalid| End::Refused(Refusal::Prekeys))
}

/// Waits for enough receipts. `None`: the recorder closed an epoch that was never started.
fn start(stream: &mut (impl IoRead + IoWrite), mut dealt: Dealt) -> Result<Option<Sealer>, End> {
    loop {
        let receipts = match next(stream)? {
            Ask::Receipts(receipts) => receipts,
            Ask::Close => return Ok(None),
            Ask::Deal(_) | Ask::Seal(_) => return Err(End::Refused(Refusal::Frame)),
        };
        let receipts = receipts.iter().map(|receipt| Signed::<ShareReceipt>::from_bytes(receipt));
        let receipts = receipts.collect::<Result<Vec<_>, _>>().map_err(|_bad| End::Refused(Refusal::Receipts))?;
        let (back, error) = match dealt.receipted(&receipts) {
            Ok(receipted) => return Ok(Some(Sealer::start(receipted))),
            Err(back) => *back,
        };
        let ErrorKind::TooFewKeepers { got, needed } = error.kind() else {
            return Err(End::Refused(Refusal::Receipts));
        };
        tell(stream, &Tell::TooFew { got, needed })?;
        dealt = back;
    }
}

/// Seals frame after frame until the recorder asks for the close, or is gone. Cells go to the writer, which answers for them.
fn seal_what_comes(
    stream: &mut UnixStream,
    sealer: &mut Sealer,
    to_disk: &SyncSender<Commit>,
    rng: &mut impl CryptoRng,
) -> Result<(), End> {
    loop {
        let commit = match next(stream)? {
            Ask::Seal(records) => seal(sealer, &records, rng)?,
            Ask::Close => return Ok(()),
            Ask::Deal(_) | Ask::Receipts(_) => return Err(End::Refused(Refusal::Frame)),
        };
        // The writer has ended, and says why.
        to_disk.send(commit).map_err(|_ended| End::Gone)?;
    }
}

/// The cells of one frame.
fn seal(sealer: &mut Sealer, records: &[Zeroizing<Vec<u8>>], rng: &mut impl CryptoRng) -> Result<Commit, End> {
    let reads = records.iter().map(|record| Read::from_record(record));
    let reads: Vec<Read> = reads.collect::<Result<_, _>>().map_err(|_bad| End::Refused(Refusal::Frame))?;
    if reads.len() >= PREPARED_MIN {
        // Two of one plate are prepared twice and admitted once. What cannot be prepared cannot be sealed either, and is said below.
        let prepared: Vec<Prepared> = reads.par_iter().filter_map(|read| sealer.prepare(read).ok().flatten()).collect();
        for plate in prepared {
            sealer.admit(plate).map_err(|_wide| End::Refused(Refusal::Frame))?;
        }
    }
    // The only way to fail is 2^32 reads of one plate: the next epoch starts its counters anew.
    let reserved = reads.iter().map(|read| sealer.reserve(read)).collect::<Result<Vec<_>, _>>();
    let Ok(reserved) = reserved else { return Ok(Commit::UsedUp) };
    let mut nonces = vec![[0; NONCE_BYTES]; reads.len()];
    rng.fill_bytes(nonces.as_flattened_mut());
    let work = reserved.into_par_iter().zip(&reads).zip(&nonces).with_min_len(PREPARED_MIN);
    let cells = work.map(|((reserved, read), nonce)| reserved.into_cell(read, nonce)).collect::<Result<_, _>>();
    // Its records came from reads, so they fit.
    cells.map(Commit::Cells).map_err(|_too_long| End::Refused(Refusal::Frame))
}

#[cfg(test)]
mod tests;

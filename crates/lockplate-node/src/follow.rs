//! Follows a log of somebody else: fetches what is new into a folder, proves all of it, and only then calls it the folder's checkpoint.
//! It must never overwrite what it proved before, believe a byte that the signed root does not cover, or forget a lie: both notes of a
//! fork, or the altered file beside the note, stay in the folder as an evidence file. Monitors, the register, mirrors and
//! `lockplate verify` read logs through this module and through nothing else.
//!
//! # The folder
//!
//! ```text
//! policy                        the trust file: the log's key, its witnesses, the quorum
//! checkpoint                    newest proved checkpoint, as served, with cosignatures
//! checkpoint.old                the one before it, of a smaller size
//! tile/<L>/<N>[.p/<W>]          every hash tile that `checkpoint` needs
//! tile/entries/<N>[.p/<W>]      every bundle
//! receipts/<N>.tlog-proof       receipts, where somebody asked for them; `.leaf` beside each
//! evidence/<what>-<hash>.json   what somebody else's server should not have said (`evidence`)
//! ```
//!
//! It is what other people's verifiers read (`tests/verifiers`). A folder may hold more tiles than its checkpoint covers: they came with a
//! call that was interrupted, and are proved by the next one. A partial tile may be missing where the full one is there.

pub mod evidence;

use core::fmt;
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lockplate_log::limits::{NOTE_BYTES_MAX, QUORUM_AGE_SECONDS_MAX, QUORUM_STALE_SECONDS, TILE_WIDTH};
use lockplate_log::tile::tiles_between;
use lockplate_log::{
    Checkpoint, Cosigned, Error as LogError, LogFile, LogView, Receipt, SignedCheckpoint, SignedNote, TileKind,
    TilePath, VerifierKey, WitnessPolicy,
};
use lockplate_store::durable::{self, LockFile};
use lockplate_store::log_files::{BUNDLE_BYTES_MAX, folder_reader, read_bounded, tile_bytes_max};

use crate::client::{AddressError, CallLimits, PeerClient, PeerError, PeerTrust};
use crate::follow::evidence::{EVIDENCE_FOLDER, Evidence, Fork};
use crate::shutdown::ExitKind;

/// Name of the trust file in a folder.
pub const POLICY_FILE: &str = "policy";
/// Name of the newest proved checkpoint.
pub const CHECKPOINT_FILE: &str = "checkpoint";
/// Name of the one before it.
pub const OLD_CHECKPOINT_FILE: &str = "checkpoint.old";
/// Name of the folder of receipts.
pub const RECEIPTS_FOLDER: &str = "receipts";
/// Leaves that one call fetches at most: 64 million, ten years of a large state. What claims to be larger is refused before it fills a disk.
pub const NEW_LEAVES_MAX: u64 = 1 << 26;
/// Files that are asked for at a time.
const FETCHES_AT_ONCE: usize = 8;
/// Rounds of asking for the edge of a log: six levels for either size, each perhaps cut from a full tile, and the last bundle.
const EDGE_ROUNDS_MAX: usize = 32;
/// Threads that prove at a time.
const PROOF_THREADS_MAX: usize = 16;
/// What a call may spend; the bound of a body is set by what is asked for.
const CALL: CallLimits =
    CallLimits { connect: Duration::from_secs(5), total: Duration::from_secs(60), body_bytes: BUNDLE_BYTES_MAX };

/// Who reads, and so what is done about an old quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Acts on what it reads: refuses a checkpoint whose quorum is over a day old.
    RelyingParty,
    /// Watches: takes what is there and reports its age ([`Followed::freshness`]).
    Monitor,
}

/// Where a log is, how its server is known, and whose signatures it needs.
#[derive(Clone, Debug)]
pub struct LogSource {
    /// Its URL without a final slash: scheme, and what the origin says.
    pub prefix_url: String,
    /// How the server is known.
    pub trust: PeerTrust,
    /// The log's key and the quorum of its witnesses.
    pub policy: WitnessPolicy,
    /// What an old quorum means to the caller.
    pub reader: Reader,
}

/// Gets a file of a log from a folder.
pub type FolderRead = Box<dyn Fn(TilePath) -> Result<Option<Vec<u8>>, LogError> + Send + Sync>;

/// A log that was proved from its first leaf to the last, in a folder.
#[derive(Debug)]
pub struct Followed {
    view: LogView<FolderRead>,
    old: Option<Checkpoint>,
    cosigned: Cosigned,
}

/// How young the youngest quorum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The trust file asks for no witness.
    Unwitnessed,
    /// Less than an hour.
    Fresh,
    /// Over an hour: an alarm of a monitor.
    Old,
    /// Over a day: no ground to act on.
    Stale,
}

/// What a log's server did that no honest one does. Each stands in an evidence file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Two signed checkpoints that no one log can have: the key's holder is convicted by them.
    Forked,
    /// A checkpoint smaller than one it published before, though consistent with it: an old copy was put back.
    WentBack,
    /// A checkpoint that is not the log's: malformed, or a signature of a known key does not verify.
    AlteredCheckpoint,
    /// A tile or bundle that is not what the signed root says.
    AlteredTile(TilePath),
    /// Tiles at the right edge of the tree that do not add up to the signed root; which of them is wrong cannot be told.
    AlteredEdge,
}

/// Why a log could not be followed. Nothing of the folder's proved state was changed.
#[derive(Debug)]
pub enum FollowError {
    /// The address is none.
    Address(AddressError),
    /// The server gave no usable answer.
    Unavailable(PeerError),
    /// Nothing is published there yet.
    Unpublished,
    /// The server published a checkpoint and has not all of its files.
    Incomplete(TilePath),
    /// The server says what it must not; the file keeps it.
    Lied {
        /// What it did.
        lie: Lie,
        /// The evidence file, or the folder of them where it is full.
        evidence: PathBuf,
    },
    /// The newest checkpoint has no quorum of witnesses.
    Unconfirmed,
    /// It has one, made at this time (seconds since 1970), over a day ago.
    Stale(u64),
    /// A witness confirmed more of the log than its server shows.
    Withheld {
        /// Leaves that are shown.
        shown: u64,
        /// Leaves that were confirmed.
        confirmed: u64,
    },
    /// A cosignature lies in the future: one of the two clocks is wrong.
    Clock,
    /// The log grew by more than [`NEW_LEAVES_MAX`].
    TooMuch,
    /// The trust file names no log of this origin.
    UnknownLog,
    /// Files that an interrupted call left in the folder were torn, and are removed. [`follow`] has tried again by itself; its caller may.
    Leftovers,
    /// What was proved earlier is damaged in this folder, not at the server.
    Damaged(LogFile),
    /// The folder cannot be read or written, or another process uses it.
    Folder(std::io::Error),
    /// A worker died: our bug.
    Internal,
}

impl FollowError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Address(cause) => cause.exit_kind(),
            Self::Lied { .. } => ExitKind::Lied,
            Self::Unavailable(_)
            | Self::Unpublished
            | Self::Incomplete(_)
            | Self::Unconfirmed
            | Self::Stale(_)
            | Self::Withheld { .. }
            | Self::Clock
            | Self::Leftovers
            | Self::TooMuch => ExitKind::Unavailable,
            Self::UnknownLog | Self::Damaged(_) | Self::Folder(_) => ExitKind::Config,
            Self::Internal => ExitKind::Internal,
        }
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forked => f.write_str("the log is forked: its key signed two checkpoints that no one log can have"),
            Self::WentBack => f.write_str("the log went back: its server shows less than it published before"),
            Self::AlteredCheckpoint => f.write_str("the checkpoint that is shown is not the log's"),
            Self::AlteredTile(path) => write!(f, "the {path} that is shown is not what the log signed"),
            Self::AlteredEdge => f.write_str("the tiles that are shown do not add up to what the log signed"),
        }
    }
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address(_) => "the log has no usable address",
            Self::Unavailable(_) => "the log's server gives no usable answer",
            Self::Unpublished => "the log has published nothing yet",
            Self::Incomplete(path) => return write!(f, "the log's server has no {path}, which its checkpoint needs"),
            Self::Lied { lie, .. } => return lie.fmt(f),
            Self::Unconfirmed => "too few witnesses confirm the log's newest checkpoint",
            Self::Stale(_) => "the witnesses confirmed the log's newest checkpoint over a day ago",
            Self::Withheld { shown, confirmed } => {
                return write!(f, "the log goes on showing {shown} entries, and a witness confirmed {confirmed} of it");
            }
            Self::Clock => "a witness's signature lies in the future: its clock or this machine's is wrong",
            Self::TooMuch => "the log claims to have grown beyond all measure",
            Self::UnknownLog => "the trust file has no key for this log",
            Self::Leftovers => "files of an interrupted call were torn; try again",
            // A folder of this kind has its tiles without the `public/` that a log has above them.
            Self::Damaged(LogFile::Tile(path)) => {
                return write!(f, "the folder's own {path} is damaged or not there; begin with an empty folder");
            }
            Self::Damaged(file) => return write!(f, "the folder's own {file} is damaged; begin with an empty folder"),
            Self::Folder(_) => "the folder of the log cannot be used",
            Self::Internal => "internal error: our bug",
        })
    }
}

impl core::error::Error for FollowError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Address(cause) => Some(cause),
            Self::Unavailable(cause) => Some(cause),
            Self::Folder(cause) => Some(cause),
            Self::Unpublished
            | Self::Incomplete(_)
            | Self::Lied { .. }
            | Self::Unconfirmed
            | Self::Stale(_)
            | Self::Withheld { .. }
            | Self::Clock
            | Self::TooMuch
            | Self::UnknownLog
            | Self::Leftovers
            | Self::Damaged(_)
            | Self::Internal => None,
        }
    }
}

impl From<durable::Error> for FollowError {
    fn from(error: durable::Error) -> Self {
        Self::Folder(error.into())
    }
}

impl Followed {
    /// The log, for reading. Every leaf of it has been proved once already and is proved again when it is read.
    #[must_use]
    pub const fn view(&self) -> &LogView<FolderRead> {
        &self.view
    }

    /// The newest checkpoint.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        self.view.checkpoint()
    }

    /// What the folder had before this call, if it had anything.
    #[must_use]
    pub const fn old(&self) -> Option<&Checkpoint> {
        self.old.as_ref()
    }

    /// The newest checkpoint with its note, and the cosignatures of the trust file's witnesses.
    #[must_use]
    pub const fn cosigned(&self) -> &Cosigned {
        &self.cosigned
    }

    /// Indices of the leaves that this call added.
    #[must_use]
    pub fn new_leaves(&self) -> Range<u64> {
        self.old.as_ref().map_or(0, Checkpoint::size)..self.checkpoint().size()
    }

    /// Writes receipts of these leaves below `folder` (`receipts/<index>.tlog-proof` and the leaf beside it), for verifiers that read nothing
    /// else. Not durable: they can be made again at any time.
    ///
    /// # Errors
    /// [`FollowError::Folder`]; [`FollowError::Internal`] for an index outside the log.
    pub fn save_receipts(&self, folder: &Path, indices: impl IntoIterator<Item = u64>) -> Result<(), FollowError> {
        let receipts = folder.join(RECEIPTS_FOLDER);
        std::fs::create_dir_all(&receipts).map_err(FollowError::Folder)?;
        for index in indices {
            let (leaf, receipt) = self.receipt(index)?;
            durable::place(&receipts.join(format!("{index}.tlog-proof")), &receipt.to_bytes())?;
            durable::place(&receipts.join(format!("{index}.leaf")), &leaf)?;
        }
        Ok(())
    }

    /// The newest checkpoint with its signatures.
    #[must_use]
    pub const fn signed(&self) -> &SignedCheckpoint {
        &self.cosigned.signed
    }

    /// A leaf and its receipt against the newest checkpoint.
    ///
    /// # Errors
    /// As [`Followed::save_receipts`].
    pub fn receipt(&self, index: u64) -> Result<(Vec<u8>, Receipt), FollowError> {
        let leaf = self.view.leaf(index).map_err(unexpected)?;
        let proof = self.view.inclusion_proof(index, self.checkpoint().size()).map_err(unexpected)?;
        let receipt = Receipt::new(&leaf, &proof, &self.cosigned.signed).map_err(unexpected)?;
        Ok((leaf, receipt))
    }

    /// Compares the log with a checkpoint of it that somebody else has, its witness say: both are signed by the log, so one that is not of
    /// this tree convicts it. `folder` is the one that was followed into; the evidence goes there.
    ///
    /// # Errors
    /// [`FollowError::Lied`] for a fork; [`FollowError::Damaged`] and [`FollowError::Folder`] for the own files.
    pub fn check_against(
        &self,
        folder: &Path,
        policy: &WitnessPolicy,
        other: &SignedCheckpoint,
        now: u64,
    ) -> Result<(), FollowError> {
        let fork = || Fork::of(&self.view, other.checkpoint());
        contradiction(folder, policy, (&self.cosigned.signed, other), now, fork)?.map_or(Ok(()), Err)
    }

    /// How young the quorum is.
    #[must_use]
    pub fn freshness(&self, now: u64) -> Freshness {
        match self.cosigned.quorum_at {
            None => Freshness::Unwitnessed,
            Some(_) if self.cosigned.check_age(now, QUORUM_AGE_SECONDS_MAX).is_err() => Freshness::Stale,
            Some(_) if self.cosigned.check_age(now, QUORUM_STALE_SECONDS).is_err() => Freshness::Old,
            Some(_) => Freshness::Fresh,
        }
    }
}

/// Brings `folder` up to the log's newest published checkpoint and proves everything that came. Makes the folder where there is none; `now` is
/// in seconds since 1970. A call that failed or was cut off may be repeated, and goes on where it was.
///
/// On return the folder's files are on stable storage. Not for two processes at a time: the second is refused.
///
/// # Errors
/// [`FollowError`].
pub async fn follow(source: &LogSource, folder: &Path, now: u64) -> Result<Followed, FollowError> {
    match attempt(source, folder, now).await {
        // A power cut can tear files that no checkpoint vouched for yet. That is not the server's lie: without them it is judged.
        Err(FollowError::Leftovers) => attempt(source, folder, now).await,
        done => done,
    }
}

async fn attempt(source: &LogSource, folder: &Path, now: u64) -> Result<Followed, FollowError> {
    let client = PeerClient::new(&source.prefix_url, source.trust, CALL).map_err(FollowError::Address)?;
    let fetched = client.get_file("/checkpoint", NOTE_BYTES_MAX).await.map_err(FollowError::Unavailable)?;
    let note = fetched.ok_or(FollowError::Unpublished)?.to_vec();

    let (policy, reader, dir) = (source.policy.clone(), source.reader, folder.to_path_buf());
    let mut step = blocking(move || Step::begin(dir, policy, note, reader, now)).await?;
    // What the server shows of the tree's edge, by itself: a fork shows in it, before a leaf is fetched.
    if step.known_size() < step.newest().size() {
        let edge = look_at_edge(&client, &step).await?;
        step = blocking(move || step.take_edge(edge).map(|()| step)).await?;
        fetch(&client, &mut step).await?;
    }
    blocking(move || step.prove_and_keep()).await
}

/// Proves a log that somebody saved in a folder, from its first leaf, and that it extends `checkpoint.old` if that is there. Changes nothing.
///
/// # Errors
/// [`FollowError`]; here `evidence` names the file of the folder that is not as it should be.
pub fn open(folder: &Path, policy: &WitnessPolicy, reader: Reader, now: u64) -> Result<Followed, FollowError> {
    let at = |file: &str| folder.join(file);
    let lied = |lie, file: String| FollowError::Lied { lie, evidence: folder.join(file) };
    let note = read_file(&at(CHECKPOINT_FILE), NOTE_BYTES_MAX)?.ok_or(FollowError::Unpublished)?;
    let cosigned = match policy.check(&note, now) {
        Ok(cosigned) => cosigned,
        Err(error) => return Err(judge(error).unwrap_or_else(|| lied(Lie::AlteredCheckpoint, CHECKPOINT_FILE.into()))),
    };
    demand_fresh(&cosigned, reader, now)?;
    let about = |error: LogError| {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others are about the reading, not about what was read")]
        match error {
            LogError::Altered(LogFile::Tile(path)) => lied(Lie::AlteredTile(path), path.to_string()),
            LogError::EdgeUnproved => lied(Lie::AlteredEdge, "tile".into()),
            other => unexpected(other),
        }
    };
    let view = LogView::load(cosigned.signed.checkpoint().clone(), read_from(folder)).map_err(about)?;
    let mut old = None;
    if let Some(note) = read_file(&at(OLD_CHECKPOINT_FILE), NOTE_BYTES_MAX)? {
        let signed = SignedCheckpoint::parse(&note, log_key(policy, &cosigned)?)
            .map_err(|_refused| lied(Lie::AlteredCheckpoint, OLD_CHECKPOINT_FILE.into()))?;
        let consistent = signed.checkpoint().size() <= view.checkpoint().size()
            && view.extends(signed.checkpoint()).map_err(about)?;
        if !consistent {
            return Err(lied(Lie::Forked, OLD_CHECKPOINT_FILE.into()));
        }
        old = Some(signed.checkpoint().clone());
    }
    in_ranges(&view, 0, |range| view.verify(range, |_, _| Ok::<(), LogError>(()))).map_err(about)?;
    Ok(Followed { view, old, cosigned })
}

/// Splits the bundles from that of leaf `from` to the end into as many ranges as this machine has processors, lets `work` loose on each in a
/// thread of its own, and returns the results in order. Blocks.
///
/// # Errors
/// The error of the lowest range that has one.
pub fn in_ranges<T: Send, E: Send + From<LogError>>(
    view: &LogView<FolderRead>,
    from: u64,
    work: impl Fn(Range<u64>) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let (first, end) = (from / u64::from(TILE_WIDTH), view.bundle_count());
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(PROOF_THREADS_MAX);
    let share = end.saturating_sub(first).div_ceil(u64::try_from(processors).unwrap_or(1)).max(1);
    let ranges: Vec<Range<u64>> = (first..end)
        .step_by(usize::try_from(share).unwrap_or(usize::MAX))
        .map(|start| start..start.saturating_add(share).min(end))
        .collect();
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = ranges.into_iter().map(|range| scope.spawn(move || work(range))).collect();
        // A worker that panicked has said why; its range counts as unproved.
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(LogError::Poisoned.into()))).collect()
    })
}

/// One call between its looks at the disk.
struct Step {
    _lock: LockFile,
    dir: PathBuf,
    policy: WitnessPolicy,
    note: Vec<u8>,
    cosigned: Cosigned,
    known: Option<SignedCheckpoint>,
    /// Files of the edge that this call put there.
    fetched: BTreeSet<TilePath>,
    /// Files beyond what is known that were there already.
    leftovers: BTreeSet<TilePath>,
    now: u64,
}

impl Step {
    /// Judges the note that the server gave, alone and against the one the folder has.
    fn begin(
        dir: PathBuf,
        policy: WitnessPolicy,
        note: Vec<u8>,
        reader: Reader,
        now: u64,
    ) -> Result<Self, FollowError> {
        durable::create_dir(&dir)?;
        let lock = LockFile::acquire(&dir).map_err(|held| FollowError::Folder(std::io::Error::other(held)))?;
        let cosigned = match policy.check(&note, now) {
            Ok(cosigned) => cosigned,
            // Honest witnesses confirm no fork: the log's own signature is what convicts it.
            Err(LogError::NoQuorum) => {
                return Err(unconfirmed_fork(&dir, &policy, &note, now)?.unwrap_or(FollowError::Unconfirmed));
            }
            Err(error) => return Err(judge(error).unwrap_or_else(|| altered_checkpoint(&dir, &policy, &note, now))),
        };
        demand_fresh(&cosigned, reader, now)?;
        let key = log_key(&policy, &cosigned)?;
        let known = match read_file(&dir.join(CHECKPOINT_FILE), NOTE_BYTES_MAX)? {
            Some(bytes) => {
                let signed = SignedCheckpoint::parse(&bytes, key);
                Some(signed.map_err(|_refused| FollowError::Damaged(LogFile::Published))?)
            }
            None => None,
        };
        let (fetched, leftovers) = (BTreeSet::new(), BTreeSet::new());
        let step = Self { _lock: lock, dir, policy, note, cosigned, known, fetched, leftovers, now };
        step.check_size()?;
        Ok(step)
    }

    fn newest(&self) -> &Checkpoint {
        self.cosigned.signed.checkpoint()
    }

    fn known_size(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.checkpoint().size())
    }

    /// A log that does not grow is the same, an older state of it, or another one.
    fn check_size(&self) -> Result<(), FollowError> {
        let Some(known) = self.known.as_ref() else { return self.check_growth() };
        let (old, new) = (known.checkpoint(), self.newest());
        if new.size() > old.size() {
            return self.check_growth();
        }
        let fork = || Fork::of(&LogView::load(old.clone(), folder_reader(&self.dir))?, new);
        match contradiction(&self.dir, &self.policy, (known, &self.cosigned.signed), self.now, fork)? {
            Some(fork) => Err(fork),
            None if new.size() == old.size() => Ok(()),
            None => Err(self.lied(Lie::WentBack, &self.evidence("went-back"))),
        }
    }

    fn check_growth(&self) -> Result<(), FollowError> {
        let new = self.newest().size().saturating_sub(self.known_size());
        if new > NEW_LEAVES_MAX { Err(FollowError::TooMuch) } else { Ok(()) }
    }

    /// Judges the edge as the server shows it: the log must begin with what the folder has. Its files go into the folder, over whatever an
    /// interrupted call left there.
    fn take_edge(&mut self, edge: Edge) -> Result<(), FollowError> {
        if let Some(fork) = &edge.fork {
            return Err(self.lied(Lie::Forked, &self.evidence("fork").with_fork(fork)));
        }
        for (path, bytes) in edge.tiles {
            if self.is_new(path) {
                put(&self.dir.join(path.to_string()), &bytes)?;
                self.fetched.insert(path);
            }
        }
        Ok(())
    }

    /// With everything there: each leaf and tile that is new is the one that was signed. Then the folder's checkpoint is this one.
    fn prove_and_keep(self) -> Result<Followed, FollowError> {
        let view = LogView::load(self.newest().clone(), read_from(&self.dir)).map_err(damaged)?;
        let proved = in_ranges(&view, self.known_size(), |range| view.verify(range, |_, _| Ok::<(), LogError>(())));
        proved.map_err(|error| self.about(error))?;
        let old_partials = match read_file(&self.dir.join(OLD_CHECKPOINT_FILE), NOTE_BYTES_MAX)? {
            Some(bytes) => SignedNote::parse(&bytes).and_then(|note| Checkpoint::parse(note.text())).ok(),
            None => None,
        };
        durable::sync_file_system(&self.dir)?;
        durable::replace(&self.dir.join(POLICY_FILE), self.policy.to_text().as_bytes())?;
        if let Some(known) = self.known.as_ref().filter(|known| known.checkpoint().size() < self.newest().size()) {
            durable::replace(&self.dir.join(OLD_CHECKPOINT_FILE), &known.to_bytes())?;
        }
        durable::replace(&self.dir.join(CHECKPOINT_FILE), &self.note)?;
        if let Some(forgotten) = old_partials {
            self.remove_partials(forgotten.size());
        }
        let old = self.known.map(|known| known.checkpoint().clone());
        Ok(Followed { view, old, cosigned: self.cosigned })
    }

    /// Removes the partial tiles of a size that neither checkpoint of the folder needs any more. What cannot be removed does no harm.
    fn remove_partials(&self, size: u64) {
        let needed = [self.known_size(), self.newest().size()];
        for path in partials(size).filter(|path| !needed.iter().any(|&size| partials(size).any(|other| other == *path)))
        {
            let _harmless = std::fs::remove_file(self.dir.join(path.to_string()));
        }
    }

    fn evidence(&self, what: &'static str) -> Evidence {
        let key = log_key(&self.policy, &self.cosigned).map(VerifierKey::to_string).unwrap_or_default();
        let notes = self.known.iter().map(SignedCheckpoint::to_bytes).chain([self.note.clone()]);
        Evidence::new(what, key, notes.collect(), self.now)
    }

    fn lied(&self, lie: Lie, evidence: &Evidence) -> FollowError {
        match evidence.keep(&self.dir.join(EVIDENCE_FOLDER)) {
            Ok(evidence) => FollowError::Lied { lie, evidence },
            Err(error) => error.into(),
        }
    }

    /// Whose fault an error of the log's is. What this call fetched is the server's, and is removed so that it is asked for again.
    fn about(&self, error: LogError) -> FollowError {
        let LogError::Altered(LogFile::Tile(path)) = error else { return damaged(error) };
        if !self.leftovers.is_empty() {
            for path in &self.leftovers {
                let _asked_again = std::fs::remove_file(self.dir.join(path.to_string()));
            }
            return FollowError::Leftovers;
        }
        if !self.is_new(path) {
            return damaged(error);
        }
        let file = self.dir.join(path.to_string());
        let bytes = read_file(&file, BUNDLE_BYTES_MAX).ok().flatten().unwrap_or_default();
        let told = self.altered(path, &bytes);
        let _asked_again = std::fs::remove_file(&file);
        told
    }

    fn altered(&self, path: TilePath, bytes: &[u8]) -> FollowError {
        self.lied(Lie::AlteredTile(path), &self.evidence("altered").with_file(path, bytes))
    }

    fn is_new(&self, path: TilePath) -> bool {
        !path.fits(self.known_size())
    }
}

/// The files of a log's edge, proved, and what they say about the checkpoint that the folder has.
struct Edge {
    tiles: BTreeMap<TilePath, Vec<u8>>,
    fork: Option<Fork>,
}

/// Reads the right edge of the log and the way to what the folder has from the server alone: the folder's own files are of the tree that it
/// knows, and in a fork they would look altered. What the proof asks for is fetched and the proof begins again, at most [`EDGE_ROUNDS_MAX`]
/// times: a level a round, and one more where a partial file is cut from the full one.
async fn look_at_edge(client: &PeerClient, step: &Step) -> Result<Edge, FollowError> {
    let mut tiles: BTreeMap<TilePath, Option<Vec<u8>>> = BTreeMap::new();
    for _ in 0..EDGE_ROUNDS_MAX {
        let asked = Mutex::new(BTreeSet::new());
        let result = {
            let read = |path| match tiles.get(&path) {
                Some(there) => Ok(there.clone()),
                None => {
                    asked.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
                    Ok(None)
                }
            };
            LogView::load(step.newest().clone(), read).and_then(|view| match &step.known {
                Some(known) => Fork::of(&view, known.checkpoint()),
                None => Ok(None),
            })
        };
        let asked = asked.into_inner().unwrap_or_else(PoisonError::into_inner);
        // A full file in place of a partial one is asked for only where the partial one is known to be gone.
        let gone = |path: &TilePath| {
            tiles
                .iter()
                .any(|(other, there)| there.is_none() && other.kind() == path.kind() && other.index() == path.index())
        };
        let partial = |path: &TilePath| {
            asked.iter().any(|other| !other.is_full() && other.kind() == path.kind() && other.index() == path.index())
        };
        let wanted: Vec<TilePath> =
            asked.iter().copied().filter(|path| !path.is_full() || gone(path) || !partial(path)).collect();
        if wanted.is_empty() {
            let found = |tiles: BTreeMap<TilePath, Option<Vec<u8>>>| {
                tiles.into_iter().filter_map(|(path, bytes)| Some((path, bytes?))).collect()
            };
            return match result {
                Ok(fork) => Ok(Edge { tiles: found(tiles), fork }),
                Err(LogError::Missing(LogFile::Tile(path))) => Err(FollowError::Incomplete(path)),
                Err(LogError::Altered(LogFile::Tile(path))) => {
                    let bytes = tiles.get(&path).cloned().flatten().unwrap_or_default();
                    Err(step.altered(path, &bytes))
                }
                Err(LogError::EdgeUnproved) => Err(step.lied(Lie::AlteredEdge, &step.evidence("altered"))),
                Err(error) => Err(unexpected(error)),
            };
        }
        for path in wanted {
            let got =
                client.get_file(&format!("/{path}"), tile_bytes_max(path)).await.map_err(FollowError::Unavailable)?;
            tiles.insert(path, got.map(|bytes| bytes.to_vec()));
        }
    }
    Err(FollowError::Internal)
}

/// Fetches the files between the two sizes that the folder has not.
async fn fetch(client: &PeerClient, step: &mut Step) -> Result<(), FollowError> {
    // What is partial is at the edge, and there already.
    let paths = tiles_between(step.known_size(), step.newest().size());
    let paths = paths.filter(|path| path.is_full() && !step.fetched.contains(path));
    let fetches = stream::iter(paths.map(|path| fetch_one(client, &step.dir, path)));
    let leftovers: Vec<Option<TilePath>> = fetches.buffer_unordered(FETCHES_AT_ONCE).try_collect().await?;
    step.leftovers.extend(leftovers.into_iter().flatten());
    Ok(())
}

/// Gets one full file, and names it if it was there already.
async fn fetch_one(client: &PeerClient, dir: &Path, path: TilePath) -> Result<Option<TilePath>, FollowError> {
    let place = dir.join(path.to_string());
    if tokio::fs::try_exists(&place).await.map_err(FollowError::Folder)? {
        return Ok(Some(path));
    }
    let got = client.get_file(&format!("/{path}"), tile_bytes_max(path)).await.map_err(FollowError::Unavailable)?;
    let bytes = got.ok_or(FollowError::Incomplete(path))?;
    blocking(move || put(&place, &bytes)).await?;
    Ok(None)
}

fn put(place: &Path, bytes: &[u8]) -> Result<(), FollowError> {
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(FollowError::Folder)?;
    }
    Ok(durable::place(place, bytes)?)
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FollowError> + Send + 'static,
) -> Result<T, FollowError> {
    tokio::task::spawn_blocking(work).await.map_err(|_panicked| FollowError::Internal)?
}

/// The partial tiles and the partial bundle of a tree.
fn partials(size: u64) -> impl Iterator<Item = TilePath> {
    let kinds = (0..6).map(TileKind::Hashes).chain([TileKind::Entries]);
    kinds.filter_map(move |kind| {
        let level = match kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let at_level = size.checked_shr(u32::from(level).saturating_mul(8))?;
        let [width, ..] = at_level.to_le_bytes();
        TilePath::new(kind, at_level >> 8, u16::from(width)).ok()
    })
}

/// A checkpoint that the trust file refuses, where that is nobody's lie.
const fn judge(error: LogError) -> Option<FollowError> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all else is a note that no honest server of this log shows")]
    match error {
        LogError::CosignatureTime => Some(FollowError::Clock),
        _ => None,
    }
}

/// The fork, if a checkpoint that nobody confirmed contradicts what was proved before.
fn unconfirmed_fork(
    dir: &Path,
    policy: &WitnessPolicy,
    note: &[u8],
    now: u64,
) -> Result<Option<FollowError>, FollowError> {
    let Some(known) = read_file(&dir.join(CHECKPOINT_FILE), NOTE_BYTES_MAX)? else { return Ok(None) };
    let signed = |key: &VerifierKey, note: &[u8]| SignedCheckpoint::parse(note, key).ok();
    let found = policy.logs().iter().find_map(|log| Some((signed(&log.key, &known)?, signed(&log.key, note)?)));
    let Some((known, other)) = found else { return Ok(None) };
    contradiction(dir, policy, (&known, &other), now, || {
        Fork::of(&LogView::load(known.checkpoint().clone(), folder_reader(dir))?, other.checkpoint())
    })
}

/// The fork, if another checkpoint that the log signed is not of the tree that was proved. It must be no larger: what a larger one begins
/// with would have to be fetched, and nobody relies on it before it is confirmed. `fork` reads the proved tree, where it is needed.
fn contradiction(
    dir: &Path,
    policy: &WitnessPolicy,
    (known, other): (&SignedCheckpoint, &SignedCheckpoint),
    now: u64,
    fork: impl FnOnce() -> Result<Option<Fork>, LogError>,
) -> Result<Option<FollowError>, FollowError> {
    let (old, new) = (known.checkpoint(), other.checkpoint());
    if new.size() > old.size() || new == old {
        return Ok(None);
    }
    let key = policy.logs().iter().find(|log| log.key.name() == old.origin()).ok_or(FollowError::UnknownLog)?;
    let fork = if new.size() == old.size() {
        None
    } else {
        let Some(fork) = fork().map_err(damaged)? else { return Ok(None) };
        Some(fork)
    };
    let evidence = Evidence::fork(&key.key, (known, other), fork.as_ref(), now).keep(&dir.join(EVIDENCE_FOLDER))?;
    Ok(Some(FollowError::Lied { lie: Lie::Forked, evidence }))
}

fn altered_checkpoint(dir: &Path, policy: &WitnessPolicy, note: &[u8], now: u64) -> FollowError {
    let key = policy.logs().first().map(|log| log.key.to_string()).unwrap_or_default();
    match Evidence::new("altered", key, vec![note.to_vec()], now).keep(&dir.join(EVIDENCE_FOLDER)) {
        Ok(evidence) => FollowError::Lied { lie: Lie::AlteredCheckpoint, evidence },
        Err(error) => error.into(),
    }
}

fn demand_fresh(cosigned: &Cosigned, reader: Reader, now: u64) -> Result<(), FollowError> {
    match (reader, cosigned.check_age(now, QUORUM_AGE_SECONDS_MAX)) {
        (Reader::RelyingParty, Err(_stale)) => Err(FollowError::Stale(cosigned.quorum_at.unwrap_or(0))),
        (Reader::RelyingParty, Ok(())) | (Reader::Monitor, _) => Ok(()),
    }
}

/// The key of the log whose checkpoint this is.
fn log_key<'a>(policy: &'a WitnessPolicy, cosigned: &Cosigned) -> Result<&'a VerifierKey, FollowError> {
    let origin = cosigned.signed.checkpoint().origin();
    let log = policy.logs().iter().find(|log| log.key.name() == origin);
    log.map(|log| &log.key).ok_or(FollowError::UnknownLog)
}

/// An error about what was proved before.
fn damaged(error: LogError) -> FollowError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others do not come from reading tiles")]
    match error {
        LogError::Altered(file) | LogError::Missing(file) => FollowError::Damaged(file),
        LogError::EdgeUnproved => FollowError::Damaged(LogFile::Published),
        other => unexpected(other),
    }
}

fn unexpected(error: LogError) -> FollowError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only the storage can fail where the grammar has been checked")]
    match error {
        LogError::Missing(file) | LogError::Altered(file) => FollowError::Damaged(file),
        LogError::Storage { .. } => FollowError::Folder(std::io::Error::other(error)),
        _ => FollowError::Internal,
    }
}

fn read_from(folder: &Path) -> FolderRead {
    Box::new(folder_reader(folder))
}

fn read_file(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, FollowError> {
    read_bounded(path, bytes_max).map_err(FollowError::Folder)
}

#[cfg(test)]
mod tests;

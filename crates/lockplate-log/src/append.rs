//! The log itself: [`Log::append`] and the evidence it gives, [`Logged`]. It never acts on a leaf, never signs a smaller or another tree, and
//! after the first failed write does nothing more. A `Logged` goes to the step that may only follow a durable record.

use core::fmt;

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::edge::{Files, ReadTile, RightEdge, TileReader, tile_of};
use crate::error::{Error, LogFile, StorageFault};
use crate::limits::{BATCH_BYTES_MAX, BATCH_LEAVES_MAX, LEAF_BYTES_MAX};
use crate::merkle::{ConsistencyProof, Hash, InclusionProof, root_at};
use crate::note::{NoteSignature, NoteSigner, Origin};
use crate::proof::Receipt;
use crate::storage::{LogStorage, StagingName, parse_staging, staging_bytes};
use crate::tile::{TilePath, parse_bundle};

/// Something that can be logged.
pub trait Entry {
    /// The leaf: the exact bytes that are hashed and kept for ever, 1 to 65,535. The same at every call.
    fn leaf(&self) -> Vec<u8>;

    /// When it happened, in seconds since 1970; the time that also stands in the leaf.
    fn time(&self) -> u64;
}

impl<T: Entry + ?Sized> Entry for Box<T> {
    fn leaf(&self) -> Vec<u8> {
        (**self).leaf()
    }

    fn time(&self) -> u64 {
        (**self).time()
    }
}

/// Reads the time (seconds since 1970) out of a leaf that [`Entry::leaf`] wrote; `None` if it cannot. The log does not know what a leaf says.
pub type LeafTime = fn(&[u8]) -> Option<u64>;

/// The proof that an entry is on stable storage, under a head that its log has signed. Made by [`Log::append`] and [`Log::append_batch`]
/// only; consumed by the step that acts. It binds order, not which log: whoever acts owns his log.
///
/// ```
/// use lockplate_log::{Error, Entry, Log, LogStorage, Logged};
///
/// fn act<E: Entry>(logged: Logged<E>) -> E {
///     logged.into_inner()
/// }
/// fn log_then_act<S: LogStorage, E: Entry>(log: &mut Log<S>, entry: E) -> Result<E, Error> {
///     let logged = log.append(entry)?;
///     Ok(act(logged))
/// }
/// ```
///
/// Nobody else makes one:
///
/// ```compile_fail,E0451
/// use lockplate_log::{Entry, Logged};
///
/// fn forge<E: Entry>(entry: E) -> Logged<E> {
///     Logged { index: 0, entry }
/// }
/// ```
///
/// Acting without logging does not compile:
///
/// ```compile_fail,E0308
/// use lockplate_log::{Entry, Logged};
///
/// fn act<E: Entry>(logged: Logged<E>) -> E {
///     logged.into_inner()
/// }
/// fn act_unlogged<E: Entry>(entry: E) -> E {
///     act(entry)
/// }
/// ```
///
/// Nor does acting twice on one record:
///
/// ```compile_fail,E0382
/// use lockplate_log::{Entry, Logged};
///
/// fn act_twice<E: Entry>(logged: Logged<E>) -> (E, E) {
///     (logged.into_inner(), logged.into_inner())
/// }
/// ```
///
/// Nor copying the record, even of an entry that can be copied:
///
/// ```compile_fail,E0277
/// use lockplate_log::Logged;
///
/// fn needs_clone<T: Clone>() {}
/// needs_clone::<Logged<u64>>();
/// ```
///
/// Nor logging a thing and keeping it:
///
/// ```compile_fail,E0382
/// use lockplate_log::{Entry, Error, Log, LogStorage};
///
/// fn log_and_keep<S: LogStorage, E: Entry>(log: &mut Log<S>, entry: E) -> Result<E, Error> {
///     log.append(entry)?;
///     Ok(entry)
/// }
/// ```
#[must_use = "an entry was logged so that something may be done"]
pub struct Logged<T> {
    index: u64,
    entry: T,
}

impl<T> Logged<T> {
    /// The leaf's index in the log.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The entry.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.entry
    }

    /// The entry, giving up the evidence.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.entry
    }
}

impl<T> fmt::Debug for Logged<T> {
    // The entry may hold what no trace may hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logged").field("index", &self.index).finish_non_exhaustive()
    }
}

/// A log: one origin, one key, one storage, one process. Synchronous; every append is durable when it returns.
pub struct Log<S> {
    storage: S,
    signer: NoteSigner,
    head: SignedCheckpoint,
    /// The bytes of `head` as this process wrote or loaded them; the file must still be these before it is replaced.
    head_bytes: Vec<u8>,
    edge: RightEdge,
    published: Option<SignedCheckpoint>,
    last_time: Option<u64>,
    poisoned: bool,
}

/// Names the file a storage call was about.
fn about(file: LogFile) -> impl Fn(StorageFault) -> Error {
    move |fault| Error::Storage { file, fault }
}

fn read_tile<S: LogStorage>(storage: &S) -> impl Fn(TilePath) -> Result<Option<Vec<u8>>, Error> + '_ {
    |path| storage.read_tile(path).map_err(about(LogFile::Tile(path)))
}

impl<S: LogStorage> Log<S> {
    /// Makes a log on an empty storage: signs and stores the head of size 0. Its origin is the signer's name, never used before.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if there is a head, a published checkpoint or a staging file; storage errors.
    pub fn create(mut storage: S, signer: NoteSigner) -> Result<Self, Error> {
        let head = storage.read_head().map_err(about(LogFile::Head))?;
        let published = storage.read_published().map_err(about(LogFile::Published))?;
        let staging = storage.list_staging().map_err(about(LogFile::Staging))?;
        if head.is_some() || published.is_some() || !staging.is_empty() {
            return Err(Error::AlreadyExists);
        }
        let empty = Checkpoint::new(signer.verifier_key().name().clone(), 0, Hash::empty())?;
        let head = SignedCheckpoint::sign(empty, &signer)?;
        let head_bytes = head.to_bytes();
        storage.replace_head(&head_bytes).map_err(about(LogFile::Head))?;
        let edge = RightEdge::default();
        Ok(Self { storage, signer, head, head_bytes, edge, published: None, last_time: None, poisoned: false })
    }

    /// Takes up a log that exists: the start-up checks 1 to 4 of `log.md` section 3, as far as they need no network. `now` is in seconds
    /// since 1970; `leaf_time` reads the time of the last leaf. An append that a crash cut off after its commit point is finished here; one
    /// that was cut off before it is forgotten. Nothing is signed.
    ///
    /// The caller then asks its witnesses (check 5) and publishes the head.
    ///
    /// # Errors
    /// Each is a reason not to start. [`Error::Missing`] without a head; note and checkpoint errors for a head that is not ours;
    /// [`Error::Altered`], [`Error::EdgeUnproved`] if tiles do not fit the head; [`Error::PublishedAhead`] for an old copy of the log;
    /// [`Error::ClockAhead`], [`Error::LeafTime`]; storage errors.
    pub fn load(mut storage: S, signer: NoteSigner, leaf_time: LeafTime, now: u64) -> Result<Self, Error> {
        let head_bytes = storage.read_head().map_err(about(LogFile::Head))?.ok_or(Error::Missing(LogFile::Head))?;
        let head = SignedCheckpoint::parse(&head_bytes, signer.verifier_key())?;
        // A head with other or more lines than ours alone was not written by this code.
        if head.note().signatures().len() != 1 || head.to_bytes() != head_bytes {
            return Err(Error::Altered(LogFile::Head));
        }
        let edge = finish_staged(&mut storage, head.checkpoint(), &head_bytes)?;
        let published = load_published(&storage, &signer, head.checkpoint(), &edge)?;
        let mut log = Self { storage, signer, head, head_bytes, edge, published, last_time: None, poisoned: false };
        if let Some(last) = log.size().checked_sub(1) {
            let time = leaf_time(&log.leaf(last)?).ok_or(Error::LeafTime)?;
            if time > now {
                return Err(Error::ClockAhead);
            }
            log.last_time = Some(time);
        }
        Ok(log)
    }

    /// Logs one entry; durable when it returns. Costs some five files and fsyncs; where many come at once use [`Log::append_batch`].
    ///
    /// # Errors
    /// As [`Log::append_batch`].
    pub fn append<T: Entry>(&mut self, entry: T) -> Result<Logged<T>, Error> {
        self.append_batch(vec![entry])?.pop().ok_or(Error::Poisoned)
    }

    /// Logs entries under one signed head, in order; all are durable when it returns. An empty batch does nothing.
    ///
    /// # Errors
    /// Nothing was written and the log goes on: [`Error::LeafLength`], [`Error::BatchTooLarge`] (4,096 leaves, 8 MiB), [`Error::ClockBack`] if
    /// an entry's time is before the one's before it, [`Error::TreeFull`]. The entries are dropped with the error.
    /// **The log is poisoned and the process must exit**: [`Error::Storage`], [`Error::HeadReplaced`], [`Error::Poisoned`]. Whether the
    /// entries are logged is then known only after a restart.
    pub fn append_batch<T: Entry>(&mut self, entries: Vec<T>) -> Result<Vec<Logged<T>>, Error> {
        self.check_alive()?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let (leaves, last_time) = self.check_batch(&entries)?;
        let first = self.size();
        let mut edge = self.edge.clone();
        let files = edge.extend(&leaves)?;
        let next = Checkpoint::new(self.origin().clone(), edge.size(), edge.root())?;
        let staging = staging_bytes(&files)?;

        // Steps 3 to 6. Whatever fails from here on leaves the disk in a state this process cannot know.
        self.poisoned = true;
        let (head, head_bytes) = self.write(next, &staging, &files)?;
        self.poisoned = false;

        self.head = head;
        self.head_bytes = head_bytes;
        self.edge = edge;
        self.last_time = Some(last_time);
        Ok((first..).zip(entries).map(|(index, entry)| Logged { index, entry }).collect())
    }

    /// Step 1: the limits, and time that only goes forward. Returns the leaves and the last one's time.
    fn check_batch<T: Entry>(&self, entries: &[T]) -> Result<(Vec<Vec<u8>>, u64), Error> {
        if entries.len() > BATCH_LEAVES_MAX {
            return Err(Error::BatchTooLarge);
        }
        let mut time = self.last_time.unwrap_or(0);
        let mut bytes = 0_usize;
        let mut leaves = Vec::with_capacity(entries.len());
        for entry in entries {
            if entry.time() < time {
                return Err(Error::ClockBack);
            }
            time = entry.time();
            let leaf = entry.leaf();
            if leaf.is_empty() || leaf.len() > LEAF_BYTES_MAX {
                return Err(Error::LeafLength);
            }
            bytes = bytes.saturating_add(leaf.len());
            if bytes > BATCH_BYTES_MAX {
                return Err(Error::BatchTooLarge);
            }
            leaves.push(leaf);
        }
        Ok((leaves, time))
    }

    /// Steps 3 to 6: stage, sign, replace the head, apply.
    fn write(&mut self, next: Checkpoint, staging: &[u8], files: &Files) -> Result<(SignedCheckpoint, Vec<u8>), Error> {
        let name = StagingName::of(&next);
        self.storage.write_staging(name, staging).map_err(about(LogFile::Staging))?;
        let head = SignedCheckpoint::sign(next, &self.signer)?;
        let head_bytes = head.to_bytes();
        let on_disk = self.storage.read_head().map_err(about(LogFile::Head))?;
        // Two processes that both sign on one head would fork the log; the lock forbids it, this notices it.
        if on_disk.as_ref() != Some(&self.head_bytes) {
            return Err(Error::HeadReplaced);
        }
        self.storage.replace_head(&head_bytes).map_err(about(LogFile::Head))?;
        apply(&mut self.storage, files)?;
        self.storage.remove_staging(name).map_err(about(LogFile::Staging))?;
        Ok((head, head_bytes))
    }

    /// Publishes a head of this log with the cosignatures collected for it (step 8): from then on strangers see it. It may be an earlier head
    /// than the newest: appends go on while witnesses are asked, and the caller keeps a clone of the [`Log::head`] it asked about. The
    /// published size never shrinks; the same size again replaces the cosignatures. Whether they are a quorum, and verify, is the caller's to check.
    ///
    /// # Errors
    /// [`Error::PublishedBackwards`] if a larger head is published already; [`Error::OutOfRange`] if it is larger than this log's head;
    /// [`Error::ForeignOrigin`], [`Error::NoKnownSignature`] if it is not this log's; [`Error::MalformedNote`] for too many or equal
    /// cosignatures; [`Error::HeadReplaced`] for a head that this key signed for another tree; [`Error::Storage`], after which publishing may
    /// be tried again; [`Error::Poisoned`].
    pub fn publish(&mut self, head: &SignedCheckpoint, cosignatures: &[NoteSignature]) -> Result<(), Error> {
        self.check_alive()?;
        let mut note = head.note().clone();
        for cosignature in cosignatures {
            note = note.with_signature(cosignature.clone())?;
        }
        let signed = SignedCheckpoint::from_note(note, self.signer.verifier_key())?;
        if signed.checkpoint().size() > self.size() {
            return Err(Error::OutOfRange);
        }
        let published = self.published.as_ref().map(|published| published.checkpoint().size());
        if published.is_some_and(|size| size > signed.checkpoint().size()) {
            return Err(Error::PublishedBackwards);
        }
        // Signed by this key and not of this tree: another process forked the log. It must not be shown as ours.
        if self.root_at(signed.checkpoint().size())? != signed.checkpoint().root() {
            return Err(Error::HeadReplaced);
        }
        self.storage.replace_published(&signed.to_bytes()).map_err(about(LogFile::Published))?;
        self.published = Some(signed);
        Ok(())
    }

    /// Start-up check 5 of `log.md` section 3, for one witness that answered: what it last cosigned must be the beginning of what is here.
    /// An older one is normal. Whether enough witnesses answered is
    /// [`WitnessPolicy::is_enough_answers`](crate::policy::WitnessPolicy::is_enough_answers).
    ///
    /// # Errors
    /// [`Error::OldCopy`] if it is larger, or of another tree: nothing may be signed. [`Error::ForeignOrigin`]; otherwise as
    /// [`Log::inclusion_proof`].
    pub fn check_witnessed(&self, seen: &Checkpoint) -> Result<(), Error> {
        if seen.origin() != self.origin() {
            return Err(Error::ForeignOrigin);
        }
        if seen.size() > self.size() || self.root_at(seen.size())? != seen.root() {
            return Err(Error::OldCopy);
        }
        Ok(())
    }

    /// The log's name.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        self.signer.verifier_key().name()
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The root over all leaves.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.head.checkpoint().root()
    }

    /// The newest head, signed by this log alone: what witnesses are asked to cosign. Not to be shown to strangers before it is published.
    #[must_use]
    pub const fn head(&self) -> &SignedCheckpoint {
        &self.head
    }

    /// The newest published checkpoint, with its cosignatures.
    #[must_use]
    pub const fn published(&self) -> Option<&SignedCheckpoint> {
        self.published.as_ref()
    }

    /// The time of the last leaf in seconds since 1970; no entry may be before it.
    #[must_use]
    pub const fn last_time(&self) -> Option<u64> {
        self.last_time
    }

    /// The storage, for reading what it knows of a failure.
    #[must_use]
    pub const fn storage(&self) -> &S {
        &self.storage
    }

    /// The root over the first `size` leaves.
    ///
    /// # Errors
    /// As [`Log::inclusion_proof`].
    pub fn root_at(&self, size: u64) -> Result<Hash, Error> {
        self.with_reader(size, |reader| root_at(reader, size))
    }

    /// The proof that leaf `index` is in the first `size` leaves.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `index` is not below `size` or `size` above the log's; [`Error::Missing`], [`Error::Altered`] with the file;
    /// storage errors; [`Error::Poisoned`].
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<InclusionProof, Error> {
        self.with_reader(size, |reader| InclusionProof::make(reader, index, size))
    }

    /// The proof that the first `old_size` leaves are the beginning of the first `new_size`.
    ///
    /// # Errors
    /// As [`Log::inclusion_proof`].
    pub fn consistency_proof(&self, old_size: u64, new_size: u64) -> Result<ConsistencyProof, Error> {
        self.with_reader(new_size, |reader| ConsistencyProof::make(reader, old_size, new_size))
    }

    /// The receipt of leaf `index` against the newest published checkpoint, as it is served.
    ///
    /// # Errors
    /// [`Error::NotPublished`] if that checkpoint does not have the leaf yet; otherwise as [`Log::inclusion_proof`] and [`Receipt::new`].
    pub fn receipt(&self, index: u64) -> Result<Vec<u8>, Error> {
        self.check_alive()?;
        let published = self
            .published
            .as_ref()
            .filter(|published| index < published.checkpoint().size())
            .ok_or(Error::NotPublished)?;
        let proof = self.inclusion_proof(index, published.checkpoint().size())?;
        Ok(Receipt::new(&self.leaf(index)?, &proof, published)?.to_bytes())
    }

    /// The bytes of leaf `index`, proved against the head.
    ///
    /// # Errors
    /// As [`Log::inclusion_proof`].
    pub fn leaf(&self, index: u64) -> Result<Vec<u8>, Error> {
        let (bundle, place) = tile_of(index);
        let mut leaves = self.bundle(bundle)?;
        let place = usize::from(place);
        if place < leaves.len() { Ok(leaves.swap_remove(place)) } else { Err(Error::OutOfRange) }
    }

    /// The leaves 256 * `index` .. 256 * (`index` + 1), as far as they exist, proved against the head. For reading a log from its beginning.
    ///
    /// # Errors
    /// As [`Log::inclusion_proof`].
    pub fn bundle(&self, index: u64) -> Result<Vec<Vec<u8>>, Error> {
        self.with_reader(self.size(), |reader| {
            let (bytes, width) = reader.bundle(index)?;
            Ok(parse_bundle(&bytes, width)?.into_iter().map(<[u8]>::to_vec).collect())
        })
    }

    fn with_reader<T>(&self, size: u64, ask: impl FnOnce(&TileReader<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.check_alive()?;
        if size > self.size() {
            return Err(Error::OutOfRange);
        }
        ask(&TileReader { edge: &self.edge, read: &read_tile(&self.storage) })
    }

    const fn check_alive(&self) -> Result<(), Error> {
        if self.poisoned { Err(Error::Poisoned) } else { Ok(()) }
    }
}

impl<S> fmt::Debug for Log<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checkpoint = self.head.checkpoint();
        f.debug_struct("Log").field("head", checkpoint).field("poisoned", &self.poisoned).finish_non_exhaustive()
    }
}

/// Step 6, and its repeat after a crash.
fn apply<S: LogStorage>(storage: &mut S, files: &Files) -> Result<(), Error> {
    for (path, bytes) in files {
        storage.create_tile(*path, bytes).map_err(about(LogFile::Tile(*path)))?;
    }
    Ok(())
}

/// Start-up checks 2 and 3: proves the right edge, with the staging file's tiles before the disk's, then applies and removes that file.
fn finish_staged<S: LogStorage>(storage: &mut S, head: &Checkpoint, head_bytes: &[u8]) -> Result<RightEdge, Error> {
    let mut staged = None;
    for name in storage.list_staging().map_err(about(LogFile::Staging))? {
        if name == StagingName::of(head) {
            let bytes = storage.read_staging(name).map_err(about(LogFile::Staging))?;
            staged = Some((name, parse_staging(&bytes.ok_or(Error::Missing(LogFile::Staging))?)?));
        } else {
            storage.remove_staging(name).map_err(about(LogFile::Staging))?;
        }
    }
    // The last process may have died between the rename of the head and the fsync of its directory: what was read may be in the cache only.
    storage.replace_head(head_bytes).map_err(about(LogFile::Head))?;
    let Some((name, files)) = staged else {
        let edge = RightEdge::load(head, &read_tile(storage))?;
        check_last_full_bundle(&TileReader { edge: &edge, read: &read_tile(storage) })?;
        return Ok(edge);
    };
    let edge = {
        let from_disk = read_tile(storage);
        let read = |path: TilePath| match files.iter().find(|(staged, _)| *staged == path) {
            Some((_, bytes)) => Ok(Some(bytes.clone())),
            None => from_disk(path),
        };
        let edge = RightEdge::load(head, &read)?;
        let reader = TileReader { edge: &edge, read: &read as &ReadTile<'_> };
        // Nothing of the staging file is applied unless all of it is part of the tree.
        for (path, bytes) in &files {
            reader.check_staged(*path, bytes)?;
        }
        edge
    };
    apply(storage, &files)?;
    storage.remove_staging(name).map_err(about(LogFile::Staging))?;
    Ok(edge)
}

/// Where the tree ends with a full bundle, that one is "the last bundle" which check 3 re-hashes.
fn check_last_full_bundle(reader: &TileReader<'_>) -> Result<(), Error> {
    match reader.edge.size().checked_sub(1) {
        Some(last) => reader.bundle(tile_of(last).0).map(|_| ()),
        None => Ok(()),
    }
}

/// Start-up check 4: what strangers have seen must be ours and the beginning of what we have.
fn load_published<S: LogStorage>(
    storage: &S,
    signer: &NoteSigner,
    head: &Checkpoint,
    edge: &RightEdge,
) -> Result<Option<SignedCheckpoint>, Error> {
    let Some(bytes) = storage.read_published().map_err(about(LogFile::Published))? else {
        return Ok(None);
    };
    let published = SignedCheckpoint::parse(&bytes, signer.verifier_key())?;
    let seen = published.checkpoint();
    if seen.size() > head.size() {
        return Err(Error::PublishedAhead);
    }
    let reader = TileReader { edge, read: &read_tile(storage) };
    if root_at(&reader, seen.size())? != seen.root() {
        return Err(Error::PublishedAhead);
    }
    Ok(Some(published))
}

//! [`Archive`] over `object_store`: a folder by default, an S3-compatible store by the same code. It never looks into a cell, and it answers
//! nothing that it has not checked against the stored root. What it returns goes to requesters, who check it against the logged one.
//!
//! # Objects of an epoch, in the order in which they are written
//!
//! ```text
//! <epoch>/header    the signed EpochHeader
//! <epoch>/segment   the buckets back to back; on a remote store `segment-<root>`
//! <epoch>/index     "LPINDEX1" | uint8 bucket_bits | uint64 cells_padded | segment_root[32]                  49 bytes
//!                   then for each bucket: uint32 first cell | uint32 cells | path[32 * bucket_bits]
//! <epoch>/close     the signed EpochClose
//! ```
//! `index` is the commit point of `put_segment`, `close` that of `put_close`. A bucket's place and path stand side by side, so a bucket is two
//! range reads, of the index and of the segment, and nothing is hashed again to make a proof; at 13 bits that costs 1.3 % of the segment.
//!
//! # Durability
//!
//! Local: `LocalFileSystem::with_fsync` writes a temporary, syncs it, renames or links it, and syncs the folder; without that switch it syncs
//! nothing. One hole remains in it: a folder that a crashed process made and did not sync is taken as it is by the next. So
//! [`SegmentStore::open_folder`] syncs the archive's folder and every epoch's. Remote: the store's own promise.
//!
//! # Remote stores
//!
//! A put whose answer was lost is repeated below this code, and then finds its own object: so a refused first put is compared with what is
//! stored. A segment over [`PART_BYTES`] goes in parts and is there when the last request ends, whole or not at all. Parts of a process that
//! was killed stay in the bucket, seen by nobody, until a rule of the bucket removes them (`docs/operating.md`). A segment has its root in its
//! name: a machine that was paused in the middle of a put, and wakes when another closed the epoch, lays its own beside the one that is read,
//! and [`forget_epoch`](Archive::forget_epoch) removes both. `index` and `close` are put with `If-None-Match: *`. A store that ignores it would let a second writer overwrite in silence, so it is tried out before the first
//! such put, on [`PROBE`]. Where the operator says that the store has no such thing, the object is looked for before the put, and the lock
//! of the one recorder is all that keeps a second writer away.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::future::{try_join, try_join_all};
use futures_util::{StreamExt as _, TryStreamExt as _};
use lockplate_core::id::EpochId;
use lockplate_core::limits::{BUCKET_BITS_MAX, CELL_BYTES};
use lockplate_core::segment::{BUCKET_CELLS_MAX, BucketProof, SEGMENT_PADDED_CELLS_MAX, Segment};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload,
};

use crate::contract::{Archive, EpochStat, Error, PAPER_BYTES_MAX, Papers};
use crate::durable;

/// Names of the objects of an epoch.
pub(crate) const HEADER: &str = "header";
pub(crate) const SEGMENT: &str = "segment";
pub(crate) const INDEX: &str = "index";
pub(crate) const CLOSE: &str = "close";

/// Index heads kept in memory, so that a search over many epochs reads each once: 64 bytes each.
const HEADS_MAX: usize = 65_536;
/// Bytes of one part of a segment on a remote store, and of the largest segment that goes in one piece.
pub const PART_BYTES: usize = 16 * 1024 * 1024;
/// The object with what the recorder tells archive servers ([`SegmentStore::put_public`]). No epoch has this name.
pub const PUBLIC: &str = "public";
/// Bytes of that object.
pub const PUBLIC_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 3;
/// The object on which a remote store shows whether it honours `If-None-Match: *`. No epoch has this name.
pub const PROBE: &str = "conditional-put-probe";
/// In the answer of a machine of the store that has not heard of the bucket yet: it knows of no object either.
const NO_BUCKET: &str = "<Code>NoSuchBucket</Code>";
const INDEX_MAGIC: &[u8; 8] = b"LPINDEX1";
/// Bytes of the index before its first bucket.
pub(crate) const INDEX_HEAD_BYTES: usize = 49;

/// Segments as objects.
#[derive(Debug)]
pub struct SegmentStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    kind: Kind,
    /// Of closed epochs only: what is in them does not change.
    heads: Mutex<BTreeMap<EpochId, IndexHead>>,
}

/// What is behind the store, where it makes a difference.
#[derive(Debug)]
enum Kind {
    /// A folder of this machine: a first put is atomic, an object goes in one piece.
    Local(PathBuf),
    /// A remote store that has a first put; true once it was tried out.
    Remote { tried: AtomicBool },
    /// A remote store that has none.
    RemoteUnconditional,
}

/// A remote store took an `If-None-Match: *` over an object that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoConditionalPut;

impl std::fmt::Display for NoConditionalPut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the archive's store ignores `If-None-Match: *` and overwrites")
    }
}

impl std::error::Error for NoConditionalPut {}

impl SegmentStore {
    /// The archive in a local folder, which is made if it is missing. The caller holds the lock of the data folder. Temporaries of a crashed
    /// process are removed and every folder is synced. Blocks: call it at start, before serving.
    ///
    /// # Errors
    /// [`durable::Error`]: the archive cannot be used.
    pub fn open_folder(folder: &FilePath) -> Result<Self, durable::Error> {
        durable::create_dir(folder)?;
        durable::settle_folders(folder, is_staging)?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| durable::Error::cannot_open(std::io::Error::other(error)))?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self {
            store: Arc::new(store),
            prefix: Path::default(),
            kind: Kind::Local(folder.to_owned()),
            heads: Mutex::default(),
        })
    }

    /// The archive below `prefix` of any object store that is durable when a put returns. For a local folder use
    /// [`SegmentStore::open_folder`]: a plain `LocalFileSystem` is not.
    ///
    /// Without `conditional_put` the store's `PutMode::Create` is never used: see the module.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>, prefix: Path, conditional_put: bool) -> Self {
        let kind = match conditional_put {
            true => Kind::Remote { tried: AtomicBool::new(false) },
            false => Kind::RemoteUnconditional,
        };
        Self { store, prefix, kind, heads: Mutex::default() }
    }

    /// True of a store behind a network: what failed there may be well again later, and no memory of this process disagrees with it.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        !matches!(self.kind, Kind::Local(_))
    }

    /// Tries out whether the store honours `If-None-Match: *`, where it is relied on and was not tried before. Otherwise it is tried before
    /// the first put that needs it.
    ///
    /// # Errors
    /// `Unavailable` with [`NoConditionalPut`] as its source: it does not. Otherwise the store failed, and nothing is known.
    pub async fn try_conditional_put(&self) -> Result<(), Error> {
        let Kind::Remote { tried } = &self.kind else { return Ok(()) };
        if tried.load(Ordering::Relaxed) {
            return Ok(());
        }
        let probe = self.prefix.clone().join(PROBE);
        self.put_as(&probe, Bytes::from_static(PROBE.as_bytes()), PutMode::Overwrite).await?;
        match self.put_as(&probe, Bytes::from_static(b"overwritten"), PutMode::Create).await {
            Err(Error::Conflict) => {
                tried.store(true, Ordering::Relaxed);
                Ok(())
            }
            Ok(()) => Err(Error::Unavailable(Box::new(NoConditionalPut))),
            Err(error) => Err(error),
        }
    }

    /// Lays what the recorder tells everybody beside the epochs, in place of what was there. Public, and of no meaning here. Returns the tag
    /// by which [`public_tag`](Self::public_tag) knows it, where the store gives any.
    ///
    /// # Errors
    /// `Invalid` over [`PUBLIC_BYTES_MAX`]; `Full` and `Unavailable` as they say.
    pub async fn put_public(&self, bytes: Bytes) -> Result<Option<String>, Error> {
        if bytes.len() > PUBLIC_BYTES_MAX {
            return Err(Error::Invalid);
        }
        let path = self.prefix.clone().join(PUBLIC);
        Ok(self.store.put(&path, PutPayload::from_bytes(bytes)).await.map_err(put_error)?.e_tag)
    }

    /// The tag of what lies there now; `None` of nothing, or where the store gives none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn public_tag(&self) -> Result<Option<String>, Error> {
        match self.store.head(&self.prefix.clone().join(PUBLIC)).await {
            Ok(object) => Ok(object.e_tag),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }

    /// What was put there last.
    ///
    /// # Errors
    /// `NotFound` before the first; `Damaged`, `Unavailable`.
    pub async fn public(&self) -> Result<Bytes, Error> {
        self.read(&self.prefix.clone().join(PUBLIC), 0..PUBLIC_BYTES_MAX).await
    }

    /// Some buckets, as [`get_bucket`](Archive::get_bucket) reads each, at the same time. What buckets of one epoch share is read once.
    ///
    /// # Errors
    /// Those of `get_bucket`, of the first that failed.
    pub async fn get_buckets(&self, asked: &[(EpochId, u32)]) -> Result<Vec<Bytes>, Error> {
        let epochs: BTreeSet<EpochId> = asked.iter().map(|(epoch, _)| *epoch).collect();
        try_join_all(epochs.into_iter().map(|epoch| self.closed_head(epoch))).await?;
        try_join_all(asked.iter().map(|(epoch, bucket)| self.get_bucket(*epoch, *bucket))).await
    }

    /// Gives back the room of forgotten epochs: in a folder [`forget_epoch`](Archive::forget_epoch) only lays them aside, because freeing the
    /// blocks of a large file takes longer than anybody should wait. Blocks, as long as there is something to free.
    ///
    /// # Errors
    /// [`durable::Error`]: what is left is found by the next call.
    pub fn sweep(&self) -> Result<(), durable::Error> {
        match &self.kind {
            Kind::Local(folder) => durable::remove_aside(folder),
            Kind::Remote { .. } | Kind::RemoteUnconditional => Ok(()),
        }
    }

    fn object(&self, epoch: EpochId, name: &str) -> Path {
        self.folder(epoch).join(name)
    }

    fn folder(&self, epoch: EpochId) -> Path {
        self.prefix.clone().join(epoch.to_string())
    }

    fn segment(&self, epoch: EpochId, root: &[u8; 32]) -> Path {
        match self.is_remote() {
            false => self.object(epoch, SEGMENT),
            true => self.object(epoch, &format!("{SEGMENT}-{}", hex::encode(root))),
        }
    }

    /// A range of a segment. One that was copied from a folder into a bucket has the folder's name, and is as good: its root is checked.
    async fn read_segment(&self, epoch: EpochId, root: &[u8; 32], range: Range<usize>) -> Result<Bytes, Error> {
        let (named, plain) = (self.segment(epoch, root), self.object(epoch, SEGMENT));
        match self.read_exactly(&named, range.clone()).await {
            Err(Error::NotFound) if named != plain => self.read_exactly(&plain, range).await,
            other => other,
        }
    }

    /// Removes segments that tries before this one left, once the index says which one counts.
    async fn tidy(&self, epoch: EpochId, root: &[u8; 32]) {
        if !self.is_remote() {
            return;
        }
        let (folder, own) = (self.folder(epoch), self.segment(epoch, root));
        let Ok(listed) = self.store.list(Some(&folder)).try_collect::<Vec<_>>().await else { return };
        let is_old = |path: &Path| {
            *path != own
                && path
                    .filename()
                    .is_some_and(|name| name.strip_prefix(SEGMENT).is_some_and(|rest| rest.starts_with('-')))
        };
        for old in listed.into_iter().map(|object| object.location).filter(is_old) {
            // What stays goes with its epoch.
            let _gone = self.store.delete(&old).await;
        }
    }

    /// Writes what [`put_segment`](Archive::put_segment) found nothing of.
    async fn put_new_segment(&self, epoch: EpochId, header: Bytes, segment: Segment) -> Result<EpochStat, Error> {
        let head = IndexHead::of(&segment);
        let index = index_bytes(&segment)?;
        // Without an index nothing was confirmed: what an interrupted call left is overwritten.
        self.put(&self.object(epoch, HEADER), header).await?;
        self.put(&self.segment(epoch, &head.root), segment.into_bytes().into()).await?;
        match self.create(&self.object(epoch, INDEX), index.into()).await {
            // The answer to this very put was lost, and the store was asked again.
            Err(Error::Conflict) if self.index_head(epoch).await? == head => Ok(head.stat(false)),
            Err(error) => Err(error),
            Ok(()) => {
                self.tidy(epoch, &head.root).await;
                Ok(head.stat(false))
            }
        }
    }

    /// Puts an object that must not be there yet; `Conflict` where it is.
    async fn create(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        Box::pin(self.try_conditional_put()).await?;
        match &self.kind {
            Kind::Local(_) | Kind::Remote { .. } => self.put_as(path, bytes, PutMode::Create).await,
            Kind::RemoteUnconditional if self.exists(path).await? => Err(Error::Conflict),
            Kind::RemoteUnconditional => self.put_as(path, bytes, PutMode::Overwrite).await,
        }
    }

    /// Puts an object over whatever is there, in parts where it is large and the store remote.
    async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        // Boxed: what is rare and remote alone does not make every caller's future large.
        match self.is_remote() && bytes.len() > PART_BYTES {
            true => Box::pin(self.put_in_parts(path, bytes)).await,
            false => self.put_as(path, bytes, PutMode::Overwrite).await,
        }
    }

    async fn put_in_parts(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        let mut upload = self.store.put_multipart(path).await.map_err(put_error)?;
        let mut rest = bytes;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let part = rest.split_to(PART_BYTES.min(rest.len()));
            parts.push(upload.put_part(PutPayload::from_bytes(part)));
        }
        let put = futures_util::stream::iter(parts).buffered(PARTS_AT_ONCE).try_collect::<()>().await;
        let done = match put {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            // As far as the store is there: what is left of it is a rule of the bucket's.
            let _aborted = upload.abort().await;
            return Err(put_error(error));
        }
        Ok(())
    }

    async fn put_as(&self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<(), Error> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.store.put_opts(path, PutPayload::from_bytes(bytes), options).await.map(drop).map_err(put_error)
    }

    /// A range, cut where the object ends.
    async fn read(&self, path: &Path, range: Range<usize>) -> Result<Bytes, Error> {
        let limit = range.len();
        let options = GetOptions { range: Some(GetRange::Bounded(wide(range)?)), ..GetOptions::default() };
        let found = self.store.get_opts(path, options).await.map_err(store_error)?;
        bounded(found, limit).await
    }

    /// A range that the index says is there: in a folder one step on another thread, where [`Self::read`] takes two and asks for the metadata.
    async fn read_exactly(&self, path: &Path, range: Range<usize>) -> Result<Bytes, Error> {
        if self.is_remote() {
            // Bounded there, because a store may answer with more than it was asked for.
            return self.read(path, range).await;
        }
        let wanted = wide(range.clone())?;
        match self.store.get_ranges(path, core::slice::from_ref(&wanted)).await {
            Ok(found) => Ok(found.into_iter().next().unwrap_or_default()),
            // Stores say it in different words where an object is shorter; cut, the caller sees it.
            Err(_) => self.read(path, range).await,
        }
    }

    async fn exists(&self, path: &Path) -> Result<bool, Error> {
        // No HEAD: its answer has no body, which tells a missing object from a missing bucket. No object is empty.
        match self.read(path, 0..1).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn index_head(&self, epoch: EpochId) -> Result<IndexHead, Error> {
        let head = self.read(&self.object(epoch, INDEX), 0..INDEX_HEAD_BYTES).await?;
        IndexHead::parse(&head).ok_or(Error::Damaged("the head of an index is damaged"))
    }

    /// The head of a closed epoch.
    async fn closed_head(&self, epoch: EpochId) -> Result<IndexHead, Error> {
        if let Some(head) = self.heads().get(&epoch) {
            return Ok(*head);
        }
        let close = self.object(epoch, CLOSE);
        let (head, closed) = try_join(self.index_head(epoch), self.exists(&close)).await?;
        if !closed {
            return Err(Error::NotClosed);
        }
        let mut heads = self.heads();
        if heads.len() >= HEADS_MAX {
            heads.pop_first();
        }
        heads.insert(epoch, head);
        Ok(head)
    }

    /// One bucket, proved against the stored root.
    async fn proved_bucket(&self, epoch: EpochId, bucket: u32) -> Result<Bytes, Error> {
        let head = self.closed_head(epoch).await?;
        let record = head.record_range(bucket).ok_or(Error::NoSuchBucket)?;
        let record = self.read_exactly(&self.object(epoch, INDEX), record).await?;
        let record = head.parse_record(&record).ok_or(Error::Damaged("an index is damaged"))?;
        // So that a damaged number does not ask for memory that the segment never had.
        if record.bytes.end > head.segment_bytes() {
            return Err(Error::Damaged("an index names a bucket beyond its segment"));
        }
        let cells = match self.read_segment(epoch, &head.root, record.bytes.clone()).await {
            // Lost, or forgotten between the two reads: only the first is damage.
            Err(Error::NotFound) if self.exists(&self.object(epoch, INDEX)).await? => {
                return Err(Error::Damaged("a closed epoch lacks its segment"));
            }
            other => other?,
        };
        // A store cuts a range at the end of the object without a word.
        if cells.len() != record.bytes.len() {
            return Err(Error::Damaged("a segment is shorter than its index says"));
        }
        let proof = BucketProof { bucket, cells: cells.into(), path: record.path };
        proof
            .verify(bucket, &head.root, head.bucket_bits)
            .map_err(|_unproved| Error::Damaged("a bucket does not lead to the stored root"))?;
        Ok(proof.to_bytes().into())
    }

    fn heads(&self) -> std::sync::MutexGuard<'_, BTreeMap<EpochId, IndexHead>> {
        // Whole values only: a panic elsewhere leaves the map usable.
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a store failed, for the operator: a fixed sentence. The store's own words are not shown: they name keys and objects.
#[must_use]
pub fn why(error: &Error) -> &'static str {
    let Error::Unavailable(source) = error else { return "see the error" };
    if source.is::<NoConditionalPut>() {
        return "it ignores `If-None-Match: *`";
    }
    match source.downcast_ref::<object_store::Error>() {
        Some(object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) => {
            "it refuses the credentials"
        }
        Some(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
            "it does not know a request that is needed"
        }
        Some(_) => "it did not answer in time, or with an error",
        None => "its bucket is not there",
    }
}

fn wide(range: Range<usize>) -> Result<Range<u64>, Error> {
    let bound =
        |at: usize| u64::try_from(at).map_err(|_wide| Error::Damaged("the index names bytes beyond any segment"));
    Ok(bound(range.start)?..bound(range.end)?)
}

/// A temporary of `LocalFileSystem`: `name#1`.
pub(crate) fn is_staging(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, serial)| !serial.is_empty() && serial.bytes().all(|b| b.is_ascii_digit()))
}

impl Archive for SegmentStore {
    async fn put_segment(&self, epoch: EpochId, header: Bytes, segment: Segment) -> Result<EpochStat, Error> {
        if header.is_empty() || header.len() > PAPER_BYTES_MAX {
            return Err(Error::Invalid);
        }
        let head = IndexHead::of(&segment);
        match self.index_head(epoch).await {
            Ok(stored) if stored == head => self.stat(epoch).await,
            Ok(_) => Err(Error::Conflict),
            Err(Error::NotFound) => self.put_new_segment(epoch, header, segment).await,
            Err(error) => Err(error),
        }
    }

    async fn put_close(&self, epoch: EpochId, close: Bytes) -> Result<(), Error> {
        if close.is_empty() || close.len() > PAPER_BYTES_MAX {
            return Err(Error::Invalid);
        }
        self.index_head(epoch).await?;
        let path = self.object(epoch, CLOSE);
        match self.create(&path, close.clone()).await {
            Err(Error::Conflict) if self.read(&path, 0..PAPER_BYTES_MAX).await? == close => Ok(()),
            other => other,
        }
    }

    async fn get_bucket(&self, epoch: EpochId, bucket: u32) -> Result<Bytes, Error> {
        let read = self.proved_bucket(epoch, bucket).await;
        if matches!(read, Err(Error::Damaged(_))) {
            // The head itself may have come altered over a network: it is read again.
            self.heads().remove(&epoch);
        }
        read
    }

    async fn papers(&self, epoch: EpochId) -> Result<Papers, Error> {
        self.closed_head(epoch).await?;
        let missing = |error| {
            let lost = matches!(error, Error::NotFound);
            if lost { Error::Damaged("a closed epoch lacks its header or close") } else { error }
        };
        Ok(Papers {
            header: self.read(&self.object(epoch, HEADER), 0..PAPER_BYTES_MAX).await.map_err(missing)?,
            close: self.read(&self.object(epoch, CLOSE), 0..PAPER_BYTES_MAX).await.map_err(missing)?,
        })
    }

    async fn forget_epoch(&self, epoch: EpochId) -> Result<(), Error> {
        if let Kind::Local(folder) = &self.kind {
            let aside = durable::lay_aside(&folder.join(epoch.to_string()));
            self.heads().remove(&epoch);
            return aside.map_err(|error| Error::Unavailable(error.into()));
        }
        // First what makes it served, last what makes it large: an interrupted call leaves nothing that is served.
        for name in [CLOSE, INDEX] {
            match self.store.delete(&self.object(epoch, name)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(store_error(error)),
            }
            self.heads().remove(&epoch);
        }
        let folder = self.folder(epoch);
        let rest: Vec<Path> =
            self.store.list(Some(&folder)).map_ok(|object| object.location).try_collect().await.map_err(store_error)?;
        for path in rest {
            self.store.delete(&path).await.map_err(store_error)?;
        }
        Ok(())
    }

    async fn stat(&self, epoch: EpochId) -> Result<EpochStat, Error> {
        let head = self.index_head(epoch).await?;
        Ok(head.stat(self.exists(&self.object(epoch, CLOSE)).await?))
    }

    async fn list(&self) -> Result<Vec<EpochId>, Error> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty());
        let listed = self.store.list_with_delimiter(prefix).await.map_err(store_error)?;
        let mut epochs: Vec<EpochId> =
            listed.common_prefixes.iter().filter_map(|path| EpochId::parse(path.filename()?)).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }
}

/// The bytes of an answer, and none beyond what was asked for, whatever the store sends.
async fn bounded(found: GetResult, limit: usize) -> Result<Bytes, Error> {
    match found.payload {
        GetResultPayload::File(..) => found.bytes().await.map_err(store_error),
        GetResultPayload::Stream(mut chunks) => {
            let mut bytes = BytesMut::new();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(store_error)?;
                if chunk.len() > limit.saturating_sub(bytes.len()) {
                    return Err(Error::Damaged("a store answered with more than was asked for"));
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes.freeze())
        }
    }
}

/// Of a put: that a bucket is missing does not mean that an epoch is.
fn put_error(error: object_store::Error) -> Error {
    let missing = matches!(error, object_store::Error::NotFound { .. });
    if missing { Error::Unavailable("the archive's bucket is not there".into()) } else { store_error(error) }
}

/// Whether a store says that an object is not there. That its bucket is not, is no word about the object.
#[must_use]
pub fn is_absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { source, .. } if !source.to_string().contains(NO_BUCKET))
}

fn store_error(error: object_store::Error) -> Error {
    if is_absent(&error) {
        return Error::NotFound;
    }
    if matches!(error, object_store::Error::NotFound { .. }) {
        return Error::Unavailable("the archive's bucket is not there".into());
    }
    if matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) {
        return Error::Conflict;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(link) = cause {
        if let Some(io) = link.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        {
            return Error::Full(Box::new(error));
        }
        cause = link.source();
    }
    Error::Unavailable(Box::new(error))
}

/// The fixed head of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexHead {
    pub(crate) bucket_bits: u8,
    pub(crate) cells_padded: u64,
    pub(crate) root: [u8; 32],
}

/// Where one bucket lies, and its path.
pub(crate) struct IndexRecord {
    pub(crate) bytes: Range<usize>,
    pub(crate) path: Vec<[u8; 32]>,
}

impl IndexHead {
    fn of(segment: &Segment) -> Self {
        Self { bucket_bits: segment.bucket_bits(), cells_padded: segment.cells_padded(), root: segment.root() }
    }

    const fn stat(&self, closed: bool) -> EpochStat {
        EpochStat { bucket_bits: self.bucket_bits, cells_padded: self.cells_padded, segment_root: self.root, closed }
    }

    fn to_bytes(self) -> Vec<u8> {
        [INDEX_MAGIC.as_slice(), &[self.bucket_bits], &self.cells_padded.to_be_bytes(), &self.root].concat()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (&[bucket_bits], rest) = rest.split_first_chunk::<1>()?;
        let (cells, rest) = rest.split_first_chunk::<8>()?;
        let root = <[u8; 32]>::try_from(rest).ok()?;
        (magic == INDEX_MAGIC && bucket_bits <= BUCKET_BITS_MAX).then_some(Self {
            bucket_bits,
            cells_padded: u64::from_be_bytes(*cells),
            root,
        })
    }

    /// Bytes of the segment.
    fn segment_bytes(&self) -> usize {
        usize::try_from(self.cells_padded).unwrap_or(usize::MAX).saturating_mul(CELL_BYTES)
    }

    /// Bytes of the record of one bucket.
    pub(crate) fn record_bytes(&self) -> usize {
        usize::from(self.bucket_bits).saturating_mul(32).saturating_add(8)
    }

    pub(crate) const fn buckets(&self) -> u32 {
        1 << self.bucket_bits
    }

    fn record_range(&self, bucket: u32) -> Option<Range<usize>> {
        let at = usize::try_from(bucket).ok().filter(|_| bucket < self.buckets())?;
        let start = at.checked_mul(self.record_bytes())?.checked_add(INDEX_HEAD_BYTES)?;
        Some(start..start.checked_add(self.record_bytes())?)
    }

    pub(crate) fn parse_record(&self, bytes: &[u8]) -> Option<IndexRecord> {
        let (first, rest) = bytes.split_first_chunk::<4>()?;
        let (cells, path) = rest.split_first_chunk::<4>()?;
        let first =
            usize::try_from(u32::from_be_bytes(*first)).ok().filter(|&first| first <= SEGMENT_PADDED_CELLS_MAX)?;
        let cells =
            usize::try_from(u32::from_be_bytes(*cells)).ok().filter(|&n| (1..=BUCKET_CELLS_MAX).contains(&n))?;
        let (path, odd) = path.as_chunks::<32>();
        let start = first.checked_mul(CELL_BYTES)?;
        let bytes = start..start.checked_add(cells.checked_mul(CELL_BYTES)?)?;
        (odd.is_empty() && path.len() == usize::from(self.bucket_bits))
            .then(|| IndexRecord { bytes, path: path.to_vec() })
    }
}

fn index_bytes(segment: &Segment) -> Result<Vec<u8>, Error> {
    let head = IndexHead::of(segment);
    let mut bytes = head.to_bytes();
    let mut first = 0_u32;
    for bucket in 0..segment.buckets() {
        let cells = segment.bucket(bucket).map(|cells| cells.chunks(CELL_BYTES).len());
        let cells = cells.and_then(|cells| u32::try_from(cells).ok()).ok_or(Error::Invalid)?;
        let path = segment.path(bucket).map_err(|_range| Error::Invalid)?;
        bytes.extend_from_slice(&first.to_be_bytes());
        bytes.extend_from_slice(&cells.to_be_bytes());
        bytes.extend_from_slice(path.as_flattened());
        first = first.checked_add(cells).ok_or(Error::Invalid)?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "segment_store_tests.rs"]
mod tests;

//! The life of one epoch in an object store, asked of the real [`SegmentStore`] over a store in memory that counts: which requests a close
//! makes, a bucket the first time and later, and the end of the retention.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{BoxStream, StreamExt as _};
use lockplate_core::id::EpochId;
use lockplate_core::limits::CELL_BYTES;
use lockplate_core::segment::{BucketProof, Segment, SpoolCell};
use lockplate_store::contract::Archive as _;
use lockplate_store::segment_store::{PROBE, SegmentStore};
use lockplate_store::spool::SpoolWriter;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::dice::Dice;

const EPOCH: EpochId = EpochId([9; 16]);

/// What was asked of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    pub(super) puts: u64,
    pub(super) gets: u64,
    pub(super) deletes: u64,
    pub(super) lists: u64,
    pub(super) bytes_put: u64,
    pub(super) bytes_got: u64,
}

impl Requests {
    pub(super) const fn add(&mut self, other: &Self) {
        self.puts += other.puts;
        self.gets += other.gets;
        self.deletes += other.deletes;
        self.lists += other.lists;
        self.bytes_put += other.bytes_put;
        self.bytes_got += other.bytes_got;
    }
}

/// What an epoch costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// To close it.
    pub(super) closed: Requests,
    /// The first bucket that a process fetches of it, beside what every bucket costs.
    pub(super) first: Requests,
    /// Every bucket, but for its bytes.
    pub(super) bucket: Requests,
    /// To forget it.
    pub(super) forgotten: Requests,
    pub(super) objects: u64,
    /// Beside the segment.
    pub(super) other_bytes: u64,
}

/// Bytes that a store sends for one bucket: its record in the index, and its cells.
pub(super) fn fetched_bytes(bucket_bits: u8, cells: u64) -> u64 {
    8 + 32 * u64::from(bucket_bits) + cells * cell_bytes()
}

/// Bytes that the archive sends for it.
pub(super) fn proof_bytes(bucket_bits: u8, cells: u64) -> u64 {
    12 + 32 * u64::from(bucket_bits) + cells * cell_bytes()
}

pub(super) fn cell_bytes() -> u64 {
    u64::try_from(CELL_BYTES).unwrap_or(u64::MAX)
}

/// Builds a segment of `cells` cells and takes it through all that becomes of it. Fails where the real store sends other bytes than
/// [`fetched_bytes`] and [`proof_bytes`] say.
pub(super) fn life(header: &[u8], close: &[u8], bucket_bits: u8, cells: u64, dice: &mut Dice) -> anyhow::Result<Life> {
    let store = Arc::new(Counting::default());
    let archive = SegmentStore::over(Arc::<Counting>::clone(&store), Path::default(), true);
    // Once a process, not once an epoch.
    now(archive.try_conditional_put())?.context("the first put")?;
    store.taken();
    let cell = |dice: &mut Dice| {
        let bucket = u32::try_from(dice.below(1 << bucket_bits)).unwrap_or(0);
        SpoolCell { bucket, cell: [0; CELL_BYTES] }
    };
    let cells: Vec<SpoolCell> = (0..cells).map(|_| cell(dice)).collect();
    let segment = Segment::build(bucket_bits, cells, dice.rng()).context("a segment")?;
    let segment_bytes = u64::try_from(segment.bytes().len())?;
    let cells = u64::try_from(segment.bucket(0).map_or(0, <[u8]>::len))? / cell_bytes();
    // As the recorder does it: it looks whether an earlier run got so far.
    if now(archive.stat(EPOCH))?.is_ok() {
        bail!("a new epoch is in the archive");
    }
    now(archive.put_segment(EPOCH, Bytes::copy_from_slice(header), segment))?.context("the segment")?;
    now(archive.put_close(EPOCH, Bytes::copy_from_slice(close)))?.context("the close")?;
    let closed = store.taken();
    let (objects, stored) = store.content()?;
    let proof = now(archive.get_bucket(EPOCH, 0))?.context("a bucket")?;
    let mut first = store.taken();
    now(archive.get_bucket(EPOCH, 0))?.context("a bucket")?;
    let mut bucket = store.taken();
    now(archive.forget_epoch(EPOCH))?.context("the end")?;
    let forgotten = store.taken();
    let sent = BucketProof::from_bytes(&proof).context("a proof")?.to_bytes().len();
    if u64::try_from(sent)? != proof_bytes(bucket_bits, cells) || bucket.bytes_got != fetched_bytes(bucket_bits, cells)
    {
        bail!("a bucket is not as long as this tool thinks");
    }
    if store.content()?.0 != 0 {
        bail!("a forgotten epoch left something");
    }
    first.gets -= bucket.gets;
    first.bytes_got -= bucket.bytes_got;
    bucket.bytes_got = 0;
    Ok(Life { closed, first, bucket, forgotten, objects, other_bytes: stored - segment_bytes })
}

/// Bytes that a spool takes for one commit, and for each cell in it, from a spool that is written.
pub(super) fn spool_bytes() -> anyhow::Result<(u64, u64)> {
    let path = std::env::temp_dir().join(format!("lockplate-scaling-{}.cells", std::process::id()));
    let measured = written_spool(&path);
    std::fs::remove_file(&path).context("the spool cannot be removed")?;
    measured
}

fn written_spool(path: &std::path::Path) -> anyhow::Result<(u64, u64)> {
    let length = || std::fs::metadata(path).map(|file| file.len());
    let cell = SpoolCell { bucket: 0, cell: [0; CELL_BYTES] };
    let mut spool = SpoolWriter::create(path, EPOCH).context("a spool")?;
    let begin = length()?;
    spool.append(&[cell]).context("a frame")?;
    let one = length()?;
    spool.append(&[cell, cell]).context("a frame")?;
    let each = length()? - one - (one - begin);
    Ok((one - begin - each, each))
}

/// The value of a future that never waits, as none does over memory.
fn now<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    future.now_or_never().context("a store in memory waits")
}

/// A store in memory that counts.
#[derive(Debug, Default)]
struct Counting {
    inner: InMemory,
    asked: Arc<Mutex<Requests>>,
}

impl Counting {
    fn count(&self, count: impl FnOnce(&mut Requests)) {
        count_in(&self.asked, count);
    }

    /// What was asked since the last time.
    fn taken(&self) -> Requests {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Objects of the epoch and their bytes; not counted.
    fn content(&self) -> anyhow::Result<(u64, u64)> {
        let listed: Vec<ObjectMeta> =
            now(self.inner.list(None).collect::<Vec<_>>())?.into_iter().collect::<Result<_>>().context("a list")?;
        let objects: Vec<ObjectMeta> =
            listed.into_iter().filter(|object| object.location.filename() != Some(PROBE)).collect();
        Ok((u64::try_from(objects.len())?, objects.iter().map(|object| object.size).sum()))
    }
}

fn count_in(asked: &Mutex<Requests>, count: impl FnOnce(&mut Requests)) {
    count(&mut asked.lock().unwrap_or_else(PoisonError::into_inner));
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that counts")
    }
}

fn length(payload: &PutPayload) -> u64 {
    u64::try_from(payload.content_length()).unwrap_or(u64::MAX)
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.count(|asked| {
            asked.puts += 1;
            asked.bytes_put += length(&payload);
        });
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.count(|asked| asked.puts += 1);
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(CountingUpload { inner, asked: Arc::clone(&self.asked) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.inner.get_opts(location, options).await;
        let bytes = found.as_ref().map_or(0, |found| found.range.end - found.range.start);
        self.count(|asked| {
            asked.gets += 1;
            asked.bytes_got += bytes;
        });
        found
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let asked = Arc::clone(&self.asked);
        self.inner.delete_stream(locations.inspect(move |_| count_in(&asked, |asked| asked.deletes += 1)).boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count(|asked| asked.lists += 1);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.count(|asked| asked.lists += 1);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// An upload in parts: its begin was counted, its parts and its end are.
#[derive(Debug)]
struct CountingUpload {
    inner: Box<dyn MultipartUpload>,
    asked: Arc<Mutex<Requests>>,
}

#[async_trait]
impl MultipartUpload for CountingUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        count_in(&self.asked, |asked| {
            asked.puts += 1;
            asked.bytes_put += length(&payload);
        });
        self.inner.put_part(payload)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        count_in(&self.asked, |asked| asked.puts += 1);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

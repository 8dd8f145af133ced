//! The seam between closed epochs and where they lie: [`Archive`], its contract in prose. No I/O here; [`crate::segment_store`] implements it
//! and [`crate::conformance`] tests each sentence.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use lockplate_core::id::EpochId;
use lockplate_core::segment::Segment;

/// Bytes of a signed header and of a signed close: a header of 16 keepers has under 2 KiB.
pub const PAPER_BYTES_MAX: usize = 64 * 1024;

/// Why an archive did not do what it was asked, by fault.
#[derive(Debug)]
pub enum Error {
    /// The archive has no such epoch.
    NotFound,
    /// The epoch has its segment but no close yet: it is not served. Ask again when it is logged.
    NotClosed,
    /// The epoch has fewer buckets. The caller's mistake.
    NoSuchBucket,
    /// The epoch has another segment or close, which stays. Final: take what [`Archive::stat`] says.
    Conflict,
    /// A header or close that is empty or over [`PAPER_BYTES_MAX`]. The caller's mistake.
    Invalid,
    /// What is stored is not what was put: this archive's disk or store is at fault. Final until repaired; nothing of it is served.
    Damaged(&'static str),
    /// No room. Nothing was confirmed; try again when there is.
    Full(Box<dyn std::error::Error + Send + Sync>),
    /// The store failed. On a remote store the caller retries. On local files a failed **write** may have been a failed fsync, so the
    /// process exits (`durable`).
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "the archive has no such epoch",
            Self::NotClosed => "the epoch is not closed yet",
            Self::NoSuchBucket => "the epoch has no such bucket",
            Self::Conflict => "the archive holds another segment or close of this epoch",
            Self::Invalid => "a header or close is empty or too long",
            Self::Damaged(what) => what,
            Self::Full(_) => "the archive has no room",
            Self::Unavailable(_) => "the archive's store failed",
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Full(source) | Self::Unavailable(source) => Some(&**source),
            Self::NotFound
            | Self::NotClosed
            | Self::NoSuchBucket
            | Self::Conflict
            | Self::Invalid
            | Self::Damaged(_) => None,
        }
    }
}

/// What an archive knows of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStat {
    /// The segment has 2^`bucket_bits` buckets.
    pub bucket_bits: u8,
    /// Cells, padding included.
    pub cells_padded: u64,
    /// Root over the buckets.
    pub segment_root: [u8; 32],
    /// Is the signed close there too, so that buckets are served?
    pub closed: bool,
}

/// The signed papers of a closed epoch, byte for byte as put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Papers {
    /// The signed `EpochHeader`.
    pub header: Bytes,
    /// The signed `EpochClose`.
    pub close: Bytes,
}

/// Where closed epochs lie. **Not trusted**: it can lose an epoch or refuse to answer, and both are seen; every bucket it gives is checked by
/// the requester against the logged root, so it cannot give a wrong one unseen. It learns which buckets are fetched and nothing else.
///
/// **Order at close** (`reliability.md` section 4, rule 2): [`put_segment`](Self::put_segment) → `EpochClose` logged →
/// [`put_close`](Self::put_close) → spool removed. After a crash in between, [`stat`](Self::stat) says how far it came. The padding is random,
/// so a segment built again has another root: whoever finds a segment takes its root and builds none.
///
/// **Concurrency.** Any number of readers at any time. Writers of *different* epochs at any time. An epoch has one writer, its recorder, which
/// makes one call at a time; the lock on its data folder sees to that.
pub trait Archive: Send + Sync {
    /// Stores header and segment. On return both are durable, and visible to [`stat`](Self::stat), not yet served. After a crash in the
    /// middle `stat` knows nothing, and the call is made again, with this segment or a new one.
    ///
    /// A repeat with the same segment is harmless. With another one, once a call has returned: [`Error::Conflict`], and the first stays.
    ///
    /// # Errors
    /// `Conflict`, `Invalid` are final; `Full`, `Unavailable` as they say. On error nothing is confirmed.
    fn put_segment(
        &self,
        epoch: EpochId,
        header: Bytes,
        segment: Segment,
    ) -> impl Future<Output = Result<EpochStat, Error>> + Send;

    /// Stores the signed close, after it was logged. On return it is durable and the epoch is served.
    ///
    /// A repeat with the same bytes is harmless; with others it is `Conflict`, and the first stays.
    ///
    /// # Errors
    /// `NotFound` before `put_segment`; `Conflict`; `Invalid`; `Full` and `Unavailable` as they say.
    fn put_close(&self, epoch: EpochId, close: Bytes) -> impl Future<Output = Result<(), Error>> + Send;

    /// One bucket of a closed epoch with its inclusion proof: the wire bytes of a
    /// [`BucketProof`](lockplate_core::segment::BucketProof). The same steps for every bucket, so nothing but its length tells buckets apart.
    /// The proof was checked against the stored root before it is returned: a rotten disk says `Damaged` and is not taken for a liar.
    ///
    /// # Errors
    /// `NotFound`, `NotClosed`, `NoSuchBucket`, `Damaged`, `Unavailable`. Readers may retry `Unavailable`.
    fn get_bucket(&self, epoch: EpochId, bucket: u32) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// Header and close of a closed epoch.
    ///
    /// # Errors
    /// `NotFound`, `NotClosed`, `Damaged`, `Unavailable`.
    fn papers(&self, epoch: EpochId) -> impl Future<Output = Result<Papers, Error>> + Send;

    /// Drops an epoch with all it has, closed or not, in time that does not grow with its cells. On return no call finds it. This is
    /// housekeeping: an epoch is dead when its shares are destroyed, and a copy that outlives this call opens nothing. So it is **not**
    /// durable at once: after a power cut the epoch may be back, and the caller, who knows what is dead, drops it again.
    ///
    /// An absent epoch is no error; repeats are harmless. An interrupted call leaves an epoch that is no longer served.
    ///
    /// # Errors
    /// `Unavailable`: try again.
    fn forget_epoch(&self, epoch: EpochId) -> impl Future<Output = Result<(), Error>> + Send;

    /// What there is of an epoch. Reads no bucket.
    ///
    /// # Errors
    /// `NotFound` also if `put_segment` did not come to its end; `Damaged`; `Unavailable`.
    fn stat(&self, epoch: EpochId) -> impl Future<Output = Result<EpochStat, Error>> + Send;

    /// The epochs of which anything is stored, in order of id; `stat` says what. A hint on stores that list late.
    ///
    /// # Errors
    /// `Unavailable`.
    fn list(&self) -> impl Future<Output = Result<Vec<EpochId>, Error>> + Send;
}

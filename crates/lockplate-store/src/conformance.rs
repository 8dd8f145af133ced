//! One suite that every [`Archive`] must pass: each sentence of the contract that a caller can observe, tried on synthetic epochs. It proves
//! nothing about power cuts; those need a killed machine. Tests run it, and so may an operator on a new store before trusting it.

use std::fmt;

use bytes::Bytes;
use lockplate_core::id::EpochId;
use lockplate_core::limits::CELL_BYTES;
use lockplate_core::segment::{BucketProof, Segment, SpoolCell};
use rand_core::CryptoRng;

use crate::contract::{Archive, Error, PAPER_BYTES_MAX, Papers};

/// A sentence of the contract that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation(pub &'static str);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Violation {}

fn must(holds: bool, sentence: &'static str) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation(sentence)) }
}

fn segment(rng: &mut impl CryptoRng) -> Result<Segment, Violation> {
    let cells = (0..200_u32)
        .map(|n| {
            let mut cell = [0; CELL_BYTES];
            rng.fill_bytes(&mut cell);
            // Bucket 3 gets none, bucket 0 most.
            SpoolCell { bucket: if n < 150 { 0 } else { n % 3 }, cell }
        })
        .collect();
    Segment::build(2, cells, rng).map_err(|_bounds| Violation("the suite could not build a segment"))
}

/// Runs the suite on an archive; afterwards its own epochs, whose ids are random, are forgotten.
///
/// # Errors
/// The first [`Violation`].
pub async fn check(archive: &impl Archive, rng: &mut impl CryptoRng) -> Result<(), Violation> {
    let mut epochs = [EpochId([0; 16]); 2];
    for epoch in &mut epochs {
        rng.fill_bytes(&mut epoch.0);
    }
    let [first, second] = epochs;
    absent(archive, first).await?;
    let stored = segment(rng)?;
    staged(archive, first, &stored, &segment(rng)?).await?;
    closed(archive, first, &stored).await?;
    neighbours(archive, first, second, &stored, &segment(rng)?).await?;
    forgotten(archive, first, second).await
}

async fn absent(archive: &impl Archive, epoch: EpochId) -> Result<(), Violation> {
    must(matches!(archive.stat(epoch).await, Err(Error::NotFound)), "stat of an unknown epoch is NotFound")?;
    must(
        matches!(archive.get_bucket(epoch, 0).await, Err(Error::NotFound)),
        "a bucket of an unknown epoch is NotFound",
    )?;
    must(matches!(archive.papers(epoch).await, Err(Error::NotFound)), "papers of an unknown epoch are NotFound")?;
    let close = archive.put_close(epoch, Bytes::from_static(b"close")).await;
    must(matches!(close, Err(Error::NotFound)), "a close needs a segment")?;
    must(archive.forget_epoch(epoch).await.is_ok(), "forgetting an absent epoch is no error")
}

async fn staged(archive: &impl Archive, epoch: EpochId, segment: &Segment, other: &Segment) -> Result<(), Violation> {
    let header = Bytes::from_static(b"header");
    for paper in [Bytes::new(), vec![0; PAPER_BYTES_MAX + 1].into()] {
        let put = archive.put_segment(epoch, paper, segment.clone()).await;
        must(matches!(put, Err(Error::Invalid)), "an empty or oversized header is Invalid")?;
    }
    must(matches!(archive.stat(epoch).await, Err(Error::NotFound)), "a refused put leaves nothing")?;
    for _repeat in 0..2 {
        let put = archive.put_segment(epoch, header.clone(), segment.clone()).await;
        let stat = put.map_err(|_error| Violation("put_segment succeeds, and a repeat with the same segment too"))?;
        must(stat.segment_root == segment.root() && !stat.closed, "put_segment says what is stored")?;
    }
    let put = archive.put_segment(epoch, header, other.clone()).await;
    must(matches!(put, Err(Error::Conflict)), "another segment of a stored epoch is Conflict")?;
    let stat = archive.stat(epoch).await.map_err(|_error| Violation("stat knows a stored segment"))?;
    let told = (stat.segment_root, stat.cells_padded, stat.bucket_bits, stat.closed);
    let expected = (segment.root(), segment.cells_padded(), segment.bucket_bits(), false);
    must(told == expected, "stat tells root, cells, bits and that there is no close; the first segment stays")?;
    must(matches!(archive.get_bucket(epoch, 0).await, Err(Error::NotClosed)), "an epoch without close is not served")?;
    must(matches!(archive.papers(epoch).await, Err(Error::NotClosed)), "an epoch without close has no papers")
}

async fn closed(archive: &impl Archive, epoch: EpochId, segment: &Segment) -> Result<(), Violation> {
    let close = Bytes::from_static(b"close");
    for paper in [Bytes::new(), vec![0; PAPER_BYTES_MAX + 1].into()] {
        must(
            matches!(archive.put_close(epoch, paper).await, Err(Error::Invalid)),
            "an empty or oversized close is Invalid",
        )?;
    }
    for _repeat in 0..2 {
        must(
            archive.put_close(epoch, close.clone()).await.is_ok(),
            "put_close succeeds, and a repeat with the same bytes too",
        )?;
    }
    let other = archive.put_close(epoch, Bytes::from_static(b"other")).await;
    must(matches!(other, Err(Error::Conflict)), "another close of a closed epoch is Conflict")?;
    must(archive.stat(epoch).await.is_ok_and(|stat| stat.closed), "stat tells that the epoch is closed")?;
    let papers = Papers { header: Bytes::from_static(b"header"), close };
    must(archive.papers(epoch).await.is_ok_and(|found| found == papers), "papers come back byte for byte")?;
    serves(archive, epoch, segment).await?;
    for beyond in [segment.buckets(), u32::MAX] {
        let found = archive.get_bucket(epoch, beyond).await;
        must(matches!(found, Err(Error::NoSuchBucket)), "a bucket beyond the last is NoSuchBucket")?;
    }
    Ok(())
}

async fn serves(archive: &impl Archive, epoch: EpochId, segment: &Segment) -> Result<(), Violation> {
    for bucket in 0..segment.buckets() {
        let bytes = archive.get_bucket(epoch, bucket).await.map_err(|_error| Violation("every bucket is served"))?;
        let proof = BucketProof::from_bytes(&bytes).map_err(|_error| Violation("a bucket is in its wire form"))?;
        let verified = proof.verify(bucket, &segment.root(), segment.bucket_bits());
        let verified = verified.map_err(|_error| Violation("a bucket carries a valid proof"))?;
        must(segment.bucket(bucket) == Some(verified.bytes()), "a bucket is the one that was put")?;
    }
    Ok(())
}

async fn neighbours(
    archive: &impl Archive,
    first: EpochId,
    second: EpochId,
    first_segment: &Segment,
    second_segment: &Segment,
) -> Result<(), Violation> {
    let put = archive.put_segment(second, Bytes::from_static(b"h2"), second_segment.clone()).await;
    must(put.is_ok(), "a second epoch can be put")?;
    must(archive.put_close(second, Bytes::from_static(b"c2")).await.is_ok(), "a second epoch can be closed")?;
    serves(archive, second, second_segment).await?;
    serves(archive, first, first_segment).await?;
    let listed = archive.list().await.map_err(|_error| Violation("list succeeds"))?;
    must(listed.is_sorted(), "list is in order of id")?;
    must(listed.contains(&first) && listed.contains(&second), "list names every epoch")
}

async fn forgotten(archive: &impl Archive, first: EpochId, second: EpochId) -> Result<(), Violation> {
    for _repeat in 0..2 {
        must(archive.forget_epoch(first).await.is_ok(), "forget_epoch succeeds, and its repeat too")?;
    }
    absent(archive, first).await?;
    must(archive.get_bucket(second, 0).await.is_ok(), "forgetting one epoch leaves the others")?;
    must(archive.forget_epoch(second).await.is_ok(), "forget_epoch succeeds")?;
    let listed = archive.list().await.map_err(|_error| Violation("list succeeds"))?;
    must(!listed.contains(&first) && !listed.contains(&second), "list does not name a forgotten epoch")
}

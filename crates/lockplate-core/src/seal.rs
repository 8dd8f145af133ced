//! Sealing (LPv1 section 6): a read goes in, a cell with its bucket comes out. Runs in the sealer process, which holds the
//! epoch's key and writes nothing but cells; `open.rs` is the mirror of this file, in the same order.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use lockplate_oprf::{Secret, oprf};
use rand_core::CryptoRng;
use sha2::Sha256;

use crate::epoch::{EpochSecret, ReceiptedEpoch};
use crate::error::{Error, Result};
use crate::id::{AgencyId, EpochId};
use crate::limits::{CELL_BYTES, RECORD_BYTES_MAX, RECORD_PADDED_BYTES};
use crate::plate::PlateInput;
use crate::read::Read;
use crate::segment::SpoolCell;

/// Bytes of a cell's nonce.
pub const NONCE_BYTES: usize = 12;

/// What is kept of a plate for the rest of its epoch: PRK, bucket, next counter.
struct Seen {
    prk: Secret<32>,
    bucket: u32,
    next: u32,
}

impl Seen {
    fn first(prk: Secret<32>, secret: &EpochSecret) -> Result<Self> {
        let bucket = bucket_of(&prk, secret.epoch_id, secret.bucket_bits)?;
        Ok(Self { prk, bucket, next: 0 })
    }
}

/// Seals the reads of one epoch. Started from [`ReceiptedEpoch`] evidence, ended by value: nothing is sealed after close.
///
/// ```
/// use lockplate_core::{read::Read, seal::Sealer};
/// fn last(mut sealer: Sealer, read: &Read, rng: &mut impl rand_core::CryptoRng) {
///     let _ = sealer.seal(read, rng);
///     let _ = sealer.close();
/// }
/// ```
/// ```compile_fail,E0382
/// use lockplate_core::{read::Read, seal::Sealer};
/// fn last(mut sealer: Sealer, read: &Read, rng: &mut impl rand_core::CryptoRng) {
///     let _ = sealer.close();
///     let _ = sealer.seal(read, rng);
/// }
/// ```
pub struct Sealer {
    secret: EpochSecret,
    agency: AgencyId,
    seen: BTreeMap<PlateInput, Seen>,
    sealed: u64,
}

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// The curve arithmetic of one plate, done: only [`Sealer::prepare`] makes one, for the epoch of its sealer.
pub struct Prepared {
    input: PlateInput,
    prk: Secret<32>,
}

impl core::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Prepared(..)")
    }
}

/// The counter of one cell, spent by sealing it: it cannot be copied.
pub struct Reserved {
    prk: Secret<32>,
    bucket: u32,
    counter: u32,
    epoch_id: EpochId,
}

impl core::fmt::Debug for Reserved {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Reserved(..)")
    }
}

impl Reserved {
    /// Seals the read it was reserved for; the nonce is random.
    ///
    /// # Errors
    /// `Internal` if the record does not fit.
    pub fn into_cell(self, read: &Read, nonce: &[u8; NONCE_BYTES]) -> Result<SpoolCell> {
        let record = zeroize::Zeroizing::new(read.to_record()?);
        let keys = cell_keys(&self.prk, self.epoch_id, self.counter)?;
        Ok(SpoolCell { bucket: self.bucket, cell: seal_cell(&keys, self.epoch_id, nonce, &record)? })
    }
}

/// What a sealer says when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Reads sealed, padding not counted.
    pub cells: u64,
}

impl Sealer {
    /// Starts sealing.
    #[must_use]
    pub fn start(epoch: ReceiptedEpoch) -> Self {
        Self { agency: epoch.header.agency, secret: epoch.secret, seen: BTreeMap::new(), sealed: 0 }
    }

    /// Does beforehand what costs most of sealing a read whose plate this epoch has not seen; none where it has. Threads may do
    /// it side by side, and of two that did it for one plate the first counts.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn prepare(&self, read: &Read) -> Result<Option<Prepared>> {
        let input = self.input(read);
        if self.seen.contains_key(&input) {
            return Ok(None);
        }
        let prk = prk_of(&self.secret, &input)?;
        Ok(Some(Prepared { input, prk }))
    }

    /// Takes what was prepared by this sealer.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn admit(&mut self, Prepared { input, prk }: Prepared) -> Result<()> {
        if let Entry::Vacant(entry) = self.seen.entry(input) {
            entry.insert(Seen::first(prk, &self.secret)?);
        }
        Ok(())
    }

    fn input(&self, read: &Read) -> PlateInput {
        PlateInput::new(self.agency, &read.plate, read.key_jurisdiction())
    }

    /// Takes the next counter of a read's plate; [`Reserved::into_cell`] seals under it, on any thread. The counter moves on even if the
    /// caller fails to store the cell: a tag or key is never used twice, and an opener looks past such a gap.
    ///
    /// # Errors
    /// `Unavailable` after 2^32 - 1 reads of one plate.
    pub fn reserve(&mut self, read: &Read) -> Result<Reserved> {
        let input = self.input(read);
        let secret = &self.secret;
        let seen = match self.seen.entry(input) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let prk = prk_of(secret, entry.key())?;
                entry.insert(Seen::first(prk, secret)?)
            }
        };
        let counter = seen.next;
        seen.next =
            counter.checked_add(1).ok_or(Error::new(crate::error::ErrorKind::Unavailable, "a counter is used up"))?;
        self.sealed = self.sealed.saturating_add(1);
        Ok(Reserved { prk: seen.prk.clone(), bucket: seen.bucket, counter, epoch_id: secret.epoch_id })
    }

    /// Seals one read: [`Sealer::reserve`] and [`Reserved::into_cell`] with a nonce from `rng`.
    ///
    /// # Errors
    /// As both.
    pub fn seal(&mut self, read: &Read, rng: &mut impl CryptoRng) -> Result<SpoolCell> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        self.reserve(read)?.into_cell(read, &nonce)
    }

    /// Ends the epoch at this sealer. Erasure is the exit of the process, which the caller now makes.
    #[must_use]
    pub fn close(self) -> Sealed {
        Sealed { cells: self.sealed }
    }
}

/// The PRK of a plate: one hash to the curve, one multiplication, one extraction.
fn prk_of(secret: &EpochSecret, input: &PlateInput) -> Result<Secret<32>> {
    let y = oprf::evaluate(&secret.key, input.expose_bytes())?;
    Ok(extract(&secret.kappa, &y))
}

/// `PRK = HKDF-Extract(salt = kappa, ikm = y)`.
pub(crate) fn extract(kappa: &Secret<32>, y: &Secret<64>) -> Secret<32> {
    let (prk, _) = Hkdf::<Sha256>::extract(Some(kappa.expose_secret()), y.expose_secret());
    Secret::new(prk.into())
}

/// First `bucket_bits` bits of `HKDF-Expand(PRK, "LPv1 bucket" || epoch_id, 4)`.
pub(crate) fn bucket_of(prk: &Secret<32>, epoch_id: EpochId, bucket_bits: u8) -> Result<u32> {
    let mut word = [0; 4];
    expand(prk, &[b"LPv1 bucket", &epoch_id.0], &mut word)?;
    Ok(u32::from_be_bytes(word).checked_shr(32_u32.saturating_sub(u32::from(bucket_bits))).unwrap_or(0))
}

/// Tag and key of one cell.
pub(crate) struct CellKeys {
    pub(crate) tag: [u8; 32],
    key: Secret<32>,
}

impl CellKeys {
    /// Tag and key of a cell that somebody revealed.
    pub(crate) const fn revealed(tag: [u8; 32], key: Secret<32>) -> Self {
        Self { tag, key }
    }

    /// The key, to reveal this one cell.
    pub(crate) fn into_key(self) -> Secret<32> {
        self.key
    }
}

/// `T || K = HKDF-Expand(PRK, "LPv1 rec" || epoch_id || uint32 i, 64)`.
pub(crate) fn cell_keys(prk: &Secret<32>, epoch_id: EpochId, counter: u32) -> Result<CellKeys> {
    let mut okm = zeroize::Zeroizing::new([0; 64]);
    expand(prk, &[b"LPv1 rec", &epoch_id.0, &counter.to_be_bytes()], okm.as_mut_slice())?;
    let (tag, key) = okm.split_at(32);
    let wrong = Error::internal("half of 64 bytes is 32 bytes");
    Ok(CellKeys { tag: tag.try_into().map_err(|_length| wrong.clone())?, key: Secret::from_slice(key).ok_or(wrong)? })
}

fn expand(prk: &Secret<32>, info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    Hkdf::<Sha256>::from_prk(prk.expose_secret())
        .map_err(|_length| Error::internal("a PRK has 32 bytes"))?
        .expand_multi_info(info, out)
        .map_err(|_length| Error::internal("HKDF output is short"))
}

fn cell_aad(epoch_id: EpochId, tag: &[u8; 32]) -> Vec<u8> {
    [b"LPv1 rec".as_slice(), &epoch_id.0, tag].concat()
}

/// `T || nonce || AES-256-GCM(K, nonce, aad, pad196(record))`, 256 bytes.
pub(crate) fn seal_cell(
    keys: &CellKeys,
    epoch_id: EpochId,
    nonce: &[u8; 12],
    record: &[u8],
) -> Result<[u8; CELL_BYTES]> {
    let too_long = Error::internal("a record does not fit a cell");
    if record.len() > RECORD_BYTES_MAX {
        return Err(too_long);
    }
    let mut padded = zeroize::Zeroizing::new(Vec::with_capacity(RECORD_PADDED_BYTES));
    padded.extend_from_slice(record);
    padded.push(0x80);
    padded.resize(RECORD_PADDED_BYTES, 0);
    let sealed = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*keys.key.expose_secret()))
        .encrypt(&Nonce::from(*nonce), Payload { msg: &padded, aad: &cell_aad(epoch_id, &keys.tag) })
        .map_err(|_aead| Error::internal("sealing a cell failed"))?;
    let mut cell = Vec::with_capacity(CELL_BYTES);
    cell.extend_from_slice(&keys.tag);
    cell.extend_from_slice(nonce);
    cell.extend_from_slice(&sealed);
    cell.try_into().map_err(|_length| too_long)
}

/// The record inside a cell whose tag matched; the mirror of [`seal_cell`].
pub(crate) fn open_cell(
    keys: &CellKeys,
    epoch_id: EpochId,
    cell: &[u8; CELL_BYTES],
) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let forged = Error::owner("a cell with the right tag does not open");
    let (tag, rest) = cell.split_at(32);
    let (nonce, sealed) = rest.split_at(12);
    let tag: &[u8; 32] = tag.try_into().map_err(|_length| forged.clone())?;
    let nonce: [u8; 12] = nonce.try_into().map_err(|_length| forged.clone())?;
    let mut padded = zeroize::Zeroizing::new(
        Aes256Gcm::new(&Key::<Aes256Gcm>::from(*keys.key.expose_secret()))
            .decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad: &cell_aad(epoch_id, tag) })
            .map_err(|_aead| forged.clone())?,
    );
    let end = padded.iter().rposition(|byte| *byte != 0).ok_or_else(|| forged.clone())?;
    if padded.get(end) != Some(&0x80) {
        return Err(forged);
    }
    padded.truncate(end);
    Ok(padded)
}

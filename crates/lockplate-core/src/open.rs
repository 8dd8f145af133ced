//! Opening (LPv1 sections 9 and 10): the mirror of `seal.rs`, in the same order. Evaluations are verified, combined into the
//! PRK of each epoch, and one bucket an epoch is opened. A wrong answer names its keeper or the owner; nothing partial is
//! ever returned.

use lockplate_oprf::oprf::{self, Blind};
use lockplate_oprf::proof::{self, KeyStatement, Proof};
use lockplate_oprf::sharing::{self, PepperShare, ShareIndex};
use lockplate_oprf::{Element as Point, Secret};
use subtle::ConstantTimeEq as _;

use crate::approval::Grant;
use crate::envelope::{HpkeSecretKey, decrypt};
use crate::epoch::{EpochHeader, kappa, kappa_commit};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{EpochId, KeeperIndex};
use crate::limits::{ELEMENT_EPOCHS_MAX, TAG_GAP_MAX};
use crate::plate::PlateInput;
use crate::read::Read;
use crate::seal::{CellKeys, bucket_of, cell_keys, extract, open_cell};
use crate::segment::VerifiedBucket;
use crate::sign::{Signed, Statement, VerifyKey};
use crate::wire::{Reader, Writer};

/// A keeper's answer to a grant: encrypted to the request's `response_pk`, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The grant.
    pub grant_digest: [u8; 32],
    /// The keeper.
    pub index: KeeperIndex,
    /// HPKE ciphertext of the answer.
    pub sealed: Vec<u8>,
}

impl Statement for Evaluation {
    const LABEL: &'static str = "evaluation";
    const BYTES_MAX: usize = 32 + 1 + 4 + 2048 + 64 * 64 + ELEMENT_EPOCHS_MAX * (48 + 32);

    fn encode(&self) -> Vec<u8> {
        Writer::new().raw(&self.grant_digest).u8(self.index.0).lv32(&self.sealed).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let evaluation =
            Self { grant_digest: r.array()?, index: KeeperIndex(r.u8()?), sealed: r.lv32(Self::BYTES_MAX)?.to_vec() };
        r.end()?;
        Ok(evaluation)
    }
}

pub(crate) fn evaluation_info(grant_digest: &[u8; 32]) -> Vec<u8> {
    [b"LPv1 eval".as_slice(), grant_digest].concat()
}

/// The plaintext of an [`Evaluation`]: `(epoch_id, c_{e,j})*`, then for each element the proof and `E_e` in the same order.
pub(crate) struct EvaluationText {
    pub(crate) peppers: Vec<(EpochId, Secret<32>)>,
    pub(crate) elements: Vec<(Proof, Vec<Point>)>,
}

impl EvaluationText {
    pub(crate) fn encode(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut w = Writer::new();
        w.u32(u32::try_from(self.peppers.len()).unwrap_or(u32::MAX));
        for (epoch, c) in &self.peppers {
            w.raw(&epoch.0).raw(c.expose_secret());
        }
        w.u8(u8::try_from(self.elements.len()).unwrap_or(u8::MAX));
        for (proof, evaluated) in &self.elements {
            w.raw(&proof.to_bytes());
            for point in evaluated {
                w.raw(&point.to_bytes());
            }
        }
        zeroize::Zeroizing::new(w.finish())
    }

    fn decode(bytes: &[u8], epochs: usize, elements: usize) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let wrong = Error::malformed("an evaluation does not have the shape of its grant");
        if usize::try_from(r.u32()?).ok() != Some(epochs) {
            return Err(wrong);
        }
        let mut peppers = Vec::with_capacity(epochs);
        for _ in 0..epochs {
            peppers.push((EpochId(r.array()?), Secret::new(r.array()?)));
        }
        if usize::from(r.u8()?) != elements {
            return Err(wrong);
        }
        let mut out = Vec::with_capacity(elements);
        for _ in 0..elements {
            let proof = Proof::from_bytes(r.raw(64)?)?;
            let evaluated = (0..epochs).map(|_| Ok(Point::from_bytes(r.raw(32)?)?)).collect::<Result<_>>()?;
            out.push((proof, evaluated));
        }
        r.end()?;
        Ok(Self { peppers, elements: out })
    }
}

/// Evidence that one keeper's answer is right for every element and epoch of the grant; what [`combine`] takes. Only
/// [`verify_evaluation`] makes one.
///
/// ```compile_fail,E0451
/// use lockplate_core::open::VerifiedEvaluation;
/// fn forge(seen: VerifiedEvaluation) -> VerifiedEvaluation { VerifiedEvaluation { ..seen } }
/// ```
pub struct VerifiedEvaluation {
    index: ShareIndex,
    peppers: Vec<PepperShare>,
    elements: Vec<Vec<Point>>,
}

impl core::fmt::Debug for VerifiedEvaluation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "VerifiedEvaluation(keeper {})", self.index.get())
    }
}

/// Opens and checks one keeper's answer: signature, shape, pepper commitments, one proof an element over all epochs.
/// `headers` are those of the grant's epochs, same order.
///
/// # Errors
/// As [`answer_of`]. `KeeperMisbehaved` naming the keeper for what it signed as its answer to this grant and is no right one.
pub fn verify_evaluation(
    evaluation: &Signed<Evaluation>,
    keeper: &VerifyKey,
    index: KeeperIndex,
    grant: &Grant,
    headers: &[EpochHeader],
    response: &HpkeSecretKey,
) -> Result<VerifiedEvaluation> {
    check_headers(grant, headers)?;
    let answer = answer_of(evaluation, keeper, index, grant)?;
    verify_answer(answer, keeper, index, grant, headers, response).map_err(|error| match error.kind() {
        ErrorKind::Internal => error,
        ErrorKind::Malformed
        | ErrorKind::Invalid
        | ErrorKind::KeeperMisbehaved
        | ErrorKind::OwnerMisbehaved
        | ErrorKind::TooFewKeepers { .. }
        | ErrorKind::EpochDestroyed
        | ErrorKind::Unavailable => Error::keeper(index, "a keeper's evaluation is wrong"),
    })
}

/// What a keeper signed as its answer to this grant, right or wrong.
///
/// # Errors
/// `Invalid` if it did not sign it, or signed it for another grant or as another keeper of the charter: others carry its answers, so
/// that shows nothing of the keeper.
pub fn answer_of<'a>(
    evaluation: &'a Signed<Evaluation>,
    keeper: &VerifyKey,
    index: KeeperIndex,
    grant: &Grant,
) -> Result<&'a Evaluation> {
    let answer = evaluation.verify(keeper)?;
    if answer.grant_digest == grant.digest() && answer.index == index {
        Ok(answer)
    } else {
        Err(Error::invalid("an evaluation answers another grant"))
    }
}

fn check_headers(grant: &Grant, headers: &[EpochHeader]) -> Result<()> {
    let same = headers.len() == grant.epoch_ids.len()
        && headers.iter().zip(&grant.epoch_ids).all(|(header, id)| header.epoch_id == *id);
    if same { Ok(()) } else { Err(Error::internal("headers and epochs of a grant are not in the same order")) }
}

fn verify_answer(
    value: &Evaluation,
    keeper: &VerifyKey,
    index: KeeperIndex,
    grant: &Grant,
    headers: &[EpochHeader],
    response: &HpkeSecretKey,
) -> Result<VerifiedEvaluation> {
    let grant_digest = grant.digest();
    let request = grant.request.claimed();
    let plaintext =
        zeroize::Zeroizing::new(decrypt(response, &evaluation_info(&grant_digest), &[index.0], &value.sealed)?);
    let text = EvaluationText::decode(&plaintext, headers.len(), request.elements.len())?;
    let at = ShareIndex::new(index.0)?;
    let mut peppers = Vec::with_capacity(headers.len());
    let mut public_shares = Vec::with_capacity(headers.len());
    let mut header_hashes = Vec::with_capacity(headers.len());
    for (header, (epoch_id, c)) in headers.iter().zip(&text.peppers) {
        let pepper = PepperShare::from_bytes(at, c.expose_secret())?;
        let slot = header.slot(index).ok_or(Error::invalid("the keeper has no slot in the epoch"))?;
        let committed = bool::from(kappa_commit(header.epoch_id, &pepper).ct_eq(&slot.kappa_commit));
        if *epoch_id != header.epoch_id || slot.keeper_key_id != keeper.0 || !committed {
            return Err(Error::invalid("a pepper share is not the committed one"));
        }
        peppers.push(pepper);
        public_shares.push(header.commitment.public_share(at));
        header_hashes.push(header.hash());
    }
    let mut elements = Vec::with_capacity(request.elements.len());
    for (element, (proof, evaluated)) in request.elements.iter().zip(text.elements) {
        let statements: Vec<KeyStatement<'_>> = header_hashes
            .iter()
            .zip(&public_shares)
            .zip(&evaluated)
            .map(|((header_hash, public_share), evaluated)| KeyStatement { header_hash, public_share, evaluated })
            .collect();
        proof::verify(&grant_digest, at, &element.blinded, &statements, &proof)?;
        elements.push(evaluated);
    }
    Ok(VerifiedEvaluation { index: at, peppers, elements })
}

/// The key of one plate in one epoch: opens that plate's cells there and nothing else.
pub struct PlateKey {
    prk: Secret<32>,
    epoch_id: EpochId,
    bucket: u32,
    /// Which element of the request.
    element: usize,
}

impl core::fmt::Debug for PlateKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PlateKey(..)")
    }
}

impl PlateKey {
    /// The one bucket to fetch in this epoch.
    #[must_use]
    pub const fn bucket(&self) -> u32 {
        self.bucket
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch_id(&self) -> EpochId {
        self.epoch_id
    }

    /// Which element of the request, counted from 0.
    #[must_use]
    pub const fn element(&self) -> usize {
        self.element
    }
}

/// Combines t or more verified evaluations (LPv1 section 10): for each element and epoch `N = r^-1 sum lambda_j E_{e,j}` and
/// the pepper, then PRK and bucket. `inputs` are those of the request's Opening. Order of the result: element by element,
/// epochs as in `headers`.
///
/// # Errors
/// `TooFewKeepers` below the threshold; `Internal` if the evaluations are not of one grant.
pub fn combine(
    evaluations: &[VerifiedEvaluation],
    inputs: &[(PlateInput, Blind)],
    headers: &[EpochHeader],
) -> Result<Vec<PlateKey>> {
    let combining = Combining::new(evaluations, inputs, headers)?;
    combining.places().map(|(element, epoch)| combining.key(element, epoch)).collect()
}

/// What [`combine`] does, key by key: a caller with several cores shares the work out.
pub struct Combining<'a> {
    evaluations: &'a [VerifiedEvaluation],
    inputs: &'a [(PlateInput, Blind)],
    headers: &'a [EpochHeader],
    kappas: Vec<Secret<32>>,
}

impl core::fmt::Debug for Combining<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Combining(..)")
    }
}

impl<'a> Combining<'a> {
    /// Combines the peppers.
    ///
    /// # Errors
    /// As [`combine`].
    pub fn new(
        evaluations: &'a [VerifiedEvaluation],
        inputs: &'a [(PlateInput, Blind)],
        headers: &'a [EpochHeader],
    ) -> Result<Self> {
        let mut kappas = Vec::with_capacity(headers.len());
        for (at, header) in headers.iter().enumerate() {
            let (got, needed) = (u8::try_from(evaluations.len()).unwrap_or(u8::MAX), header.threshold.t());
            if got < needed {
                return Err(Error::new(ErrorKind::TooFewKeepers { got, needed }, "too few keepers have answered"));
            }
            let shares = evaluations
                .iter()
                .map(|e| {
                    let share = e.peppers.get(at).ok_or_else(torn)?;
                    Ok(PepperShare::from_bytes(share.index(), share.to_bytes().expose_secret())?)
                })
                .collect::<Result<Vec<_>>>()?;
            kappas.push(kappa(header.epoch_id, &sharing::combine_peppers(&shares, header.threshold)?));
        }
        Ok(Self { evaluations, inputs, headers, kappas })
    }

    /// Every element with every epoch, in the order of [`combine`].
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let epochs = self.headers.len();
        (0..self.inputs.len()).flat_map(move |element| (0..epochs).map(move |epoch| (element, epoch)))
    }

    /// The key of an element in an epoch.
    ///
    /// # Errors
    /// `Internal` if there is none of these, or the evaluations are not of one grant.
    pub fn key(&self, element: usize, epoch: usize) -> Result<PlateKey> {
        let (input, r) = self.inputs.get(element).ok_or_else(torn)?;
        let (header, kappa) = self.headers.get(epoch).zip(self.kappas.get(epoch)).ok_or_else(torn)?;
        let point = |e: &VerifiedEvaluation| Some((e.index, *e.elements.get(element)?.get(epoch)?));
        let points = self.evaluations.iter().map(point).collect::<Option<Vec<_>>>().ok_or_else(torn)?;
        let n = sharing::combine_unblinded(&points, header.threshold, r)?;
        let prk = extract(kappa, &oprf::finalize(input.expose_bytes(), &n));
        let bucket = bucket_of(&prk, header.epoch_id, header.bucket_bits)?;
        Ok(PlateKey { prk, epoch_id: header.epoch_id, bucket, element })
    }
}

fn torn() -> Error {
    Error::internal("verified evaluations are not of one grant")
}

/// The key of one cell: opens this cell and no other, not even of the same plate in the same epoch. What an officer may hand on.
#[derive(Clone, Debug)]
pub struct CellKey(Secret<32>);

impl CellKey {
    /// The key of the cell in which `read` stood.
    ///
    /// # Errors
    /// `Internal` if `read` was not found under `key`.
    pub fn of(key: &PlateKey, read: &OpenedRead) -> Result<Self> {
        let keys = cell_keys(&key.prk, key.epoch_id, read.counter)?;
        if keys.tag == read.tag && key.epoch_id == read.epoch_id {
            Ok(Self(keys.into_key()))
        } else {
            Err(Error::internal("a read was found under another key"))
        }
    }

    /// From its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Its bytes, for an evidence package.
    #[must_use]
    pub const fn to_secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Opens the one cell with this tag in a bucket that was proved under the logged root.
    ///
    /// # Errors
    /// `OwnerMisbehaved` if the bucket has no such cell, or it does not open under this key to a well-formed record.
    pub fn read(&self, epoch_id: EpochId, tag: [u8; 32], bucket: &VerifiedBucket<'_>) -> Result<Read> {
        let cell = bucket.find(&tag).ok_or(Error::owner("a bucket has no cell of this tag"))?;
        let record = open_cell(&CellKeys::revealed(tag, self.0.clone()), epoch_id, cell)?;
        Read::from_record(&record).map_err(|_malformed| Error::owner("a cell holds no well-formed record"))
    }
}

/// One opened read and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedRead {
    /// The read.
    pub read: Read,
    /// Its epoch.
    pub epoch_id: EpochId,
    /// Which element of the request found it, counted from 0.
    pub element: usize,
    /// Its counter.
    pub counter: u32,
    /// Tag of its cell: with the bucket and its inclusion proof, the evidence that it was there before anybody searched.
    pub tag: [u8; 32],
}

/// Opens every read of one plate in one bucket that was proved to stand under the logged root. Tags are tried in order of the
/// counter, 8 past the last hit.
///
/// # Errors
/// `OwnerMisbehaved` if a cell with the right tag does not open or holds no record: nothing of the bucket is returned then.
pub fn open(key: &PlateKey, bucket: &VerifiedBucket<'_>) -> Result<Vec<OpenedRead>> {
    let mut found = Vec::new();
    let mut counter = 0_u32;
    let mut misses = 0_u32;
    while misses < TAG_GAP_MAX {
        let keys = cell_keys(&key.prk, key.epoch_id, counter)?;
        if let Some(cell) = bucket.find(&keys.tag) {
            let record = open_cell(&keys, key.epoch_id, cell)?;
            let read =
                Read::from_record(&record).map_err(|_malformed| Error::owner("a cell holds no well-formed record"))?;
            found.push(OpenedRead { read, epoch_id: key.epoch_id, element: key.element, counter, tag: keys.tag });
            misses = 0;
        } else {
            misses = misses.saturating_add(1);
        }
        let Some(next) = counter.checked_add(1) else { break };
        counter = next;
    }
    Ok(found)
}

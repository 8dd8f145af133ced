//! Epochs: prekeys, dealing, headers, share envelopes and receipts (LPv1 section 5). The key of an epoch is made here and
//! must never leave the sealer process: [`Dealt`] goes through [`Dealt::receipted`] into the
//! [`Sealer`](crate::seal::Sealer), and no accessor shows what it holds.

use lockplate_oprf::oprf::{Element, PrfKey};
use lockplate_oprf::sharing::{KeyShare, Pepper, PepperShare, ShareIndex, Threshold, VssCommitment};
use lockplate_oprf::{Secret, sharing};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;

use crate::Timestamp;
use crate::envelope::{
    ENCAPPED_KEY_BYTES, HpkePublicKey, HpkeSecretKey, PUBLIC_KEY_BYTES, TAG_BYTES, decrypt, encrypt,
};
use crate::error::{Error, Result};
use crate::id::{AgencyId, EpochId, KeeperIndex, RecorderId};
use crate::limits::{BUCKET_BITS_MAX, KEEPERS_MAX};
use crate::sign::{Signed, Statement, VerifyKey};
use crate::wire::{Reader, Writer, th};

/// The one cipher suite of version 1.
pub const SUITE: u16 = 1;

/// Bytes of every share envelope: encapsulated key, `s_j || c_j`, tag.
pub const SHARE_ENVELOPE_BYTES: usize = ENCAPPED_KEY_BYTES + 64 + TAG_BYTES;

/// A one-time public key of a keeper for one share (LPv1 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prekey {
    /// The keeper's signing key, which is its key id.
    pub keeper_key_id: [u8; 32],
    /// Random name of this prekey.
    pub prekey_id: [u8; 16],
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until, exclusive.
    pub not_after: Timestamp,
    /// X-Wing public key.
    pub public_key: HpkePublicKey,
}

impl Statement for Prekey {
    const LABEL: &'static str = "prekey";
    const BYTES_MAX: usize = 32 + 16 + 8 + 8 + PUBLIC_KEY_BYTES;

    fn encode(&self) -> Vec<u8> {
        Writer::new()
            .raw(&self.keeper_key_id)
            .raw(&self.prekey_id)
            .u64(self.not_before.0)
            .u64(self.not_after.0)
            .raw(self.public_key.as_bytes())
            .finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let prekey = Self {
            keeper_key_id: r.array()?,
            prekey_id: r.array()?,
            not_before: Timestamp(r.u64()?),
            not_after: Timestamp(r.u64()?),
            public_key: HpkePublicKey::from_slice(r.raw(PUBLIC_KEY_BYTES)?)
                .ok_or(Error::internal("an X-Wing public key has 1216 bytes"))?,
        };
        r.end()?;
        Ok(prekey)
    }
}

/// Evidence that a prekey is signed by the keeper that must have made it and is valid now. Dealing consumes it, so one
/// prekey serves one share. Only [`VerifiedPrekey::new`] makes one:
///
/// ```
/// use lockplate_core::epoch::VerifiedPrekey;
/// fn deal_one(prekey: VerifiedPrekey) { drop(prekey) }
/// fn once(prekey: VerifiedPrekey) { deal_one(prekey) }
/// ```
/// ```compile_fail,E0382
/// use lockplate_core::epoch::VerifiedPrekey;
/// fn deal_one(prekey: VerifiedPrekey) { drop(prekey) }
/// fn twice(prekey: VerifiedPrekey) { deal_one(prekey); deal_one(prekey) }
/// ```
#[derive(Debug)]
pub struct VerifiedPrekey(Prekey);

impl VerifiedPrekey {
    /// Checks signature, owner and validity.
    ///
    /// # Errors
    /// `Invalid` if the prekey is another keeper's, not signed by it, or not valid at `now`.
    pub fn new(prekey: &Signed<Prekey>, keeper: &VerifyKey, now: Timestamp) -> Result<Self> {
        let value = prekey.verify(keeper)?;
        if value.keeper_key_id != keeper.0 {
            return Err(Error::invalid("a prekey names another keeper"));
        }
        if now < value.not_before || now >= value.not_after {
            return Err(Error::invalid("a prekey is not valid now"));
        }
        Ok(Self(value.clone()))
    }

    /// Name of the prekey.
    #[must_use]
    pub const fn id(&self) -> [u8; 16] {
        self.0.prekey_id
    }
}

/// Why an epoch exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochKind {
    /// 1: reads as they pass.
    Live,
    /// 2: reads with a past label.
    Late,
    /// 3: the daily self-test.
    Canary,
}

impl EpochKind {
    const fn code(self) -> u8 {
        match self {
            Self::Live => 1,
            Self::Late => 2,
            Self::Canary => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Live),
            2 => Some(Self::Late),
            3 => Some(Self::Canary),
            _ => None,
        }
    }
}

/// A keeper's place in an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperSlot {
    /// Share index, 1 to n.
    pub index: KeeperIndex,
    /// The keeper's signing key.
    pub keeper_key_id: [u8; 32],
    /// The prekey its share is wrapped to.
    pub prekey_id: [u8; 16],
    /// `TH("kappa-share", epoch_id, j, c_j)`.
    pub kappa_commit: [u8; 32],
}

/// Everything public about an epoch (LPv1 section 5), signed by the recorder. The Feldman vector is for keepers and
/// requesters only; logs hold [`EpochHeader::hash`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochHeader {
    /// Owner.
    pub agency: AgencyId,
    /// Recorder.
    pub recorder: RecorderId,
    /// Random name of the epoch.
    pub epoch_id: EpochId,
    /// Capture window, from (inclusive).
    pub cap_from: Timestamp,
    /// Capture window, to (exclusive).
    pub cap_to: Timestamp,
    /// Kind.
    pub kind: EpochKind,
    /// The segment has `2^bucket_bits` buckets.
    pub bucket_bits: u8,
    /// t of n.
    pub threshold: Threshold,
    /// One slot a keeper, in order of index.
    pub slots: Vec<KeeperSlot>,
    /// `A_0 .. A_{t-1}`.
    pub commitment: VssCommitment,
    /// Charter in force.
    pub charter_hash: [u8; 32],
    /// Keepers destroy their shares from this moment on.
    pub destroy_after: Timestamp,
}

impl EpochHeader {
    /// `header_hash = TH("epoch-header", header)`.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        th("epoch-header", &[&self.encode()])
    }

    /// The slot of one keeper.
    #[must_use]
    pub fn slot(&self, index: KeeperIndex) -> Option<&KeeperSlot> {
        self.slots.iter().find(|slot| slot.index == index)
    }
}

impl Statement for EpochHeader {
    const LABEL: &'static str = "sig-epoch-header";
    const BYTES_MAX: usize = 2 + 48 + 16 + 3 + 1 + 16 * (1 + 32 + 16 + 32) + 16 * 32 + 32 + 8;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u16(SUITE).raw(&self.agency.0).raw(&self.recorder.0).raw(&self.epoch_id.0);
        w.u64(self.cap_from.0).u64(self.cap_to.0).u8(self.kind.code()).u8(self.bucket_bits);
        w.u8(self.threshold.t()).u8(self.threshold.n());
        for slot in &self.slots {
            w.u8(slot.index.0).raw(&slot.keeper_key_id).raw(&slot.prekey_id).raw(&slot.kappa_commit);
        }
        w.raw(&self.commitment.to_bytes()).raw(&self.charter_hash).u64(self.destroy_after.0).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        if r.u16()? != SUITE {
            return Err(Error::malformed("an epoch header has an unknown suite"));
        }
        let agency = AgencyId(r.array()?);
        let recorder = RecorderId(r.array()?);
        let epoch_id = EpochId(r.array()?);
        let (cap_from, cap_to) = (Timestamp(r.u64()?), Timestamp(r.u64()?));
        let kind = EpochKind::from_code(r.u8()?).ok_or(Error::malformed("an epoch header has an unknown kind"))?;
        let bucket_bits = r.u8()?;
        if bucket_bits > BUCKET_BITS_MAX || cap_from >= cap_to {
            return Err(Error::malformed("an epoch header has an impossible window or bucket count"));
        }
        let t = r.u8()?;
        let threshold = Threshold::new(t, r.u8()?)?;
        let mut slots = Vec::with_capacity(usize::from(KEEPERS_MAX));
        for want in 1..=threshold.n() {
            let slot = KeeperSlot {
                index: KeeperIndex(r.u8()?),
                keeper_key_id: r.array()?,
                prekey_id: r.array()?,
                kappa_commit: r.array()?,
            };
            if slot.index.0 != want {
                return Err(Error::malformed("the keeper slots of an epoch header are out of order"));
            }
            slots.push(slot);
        }
        let commitment = VssCommitment::from_bytes(r.raw(32_usize.saturating_mul(usize::from(t)))?, threshold)?;
        let header = Self {
            agency,
            recorder,
            epoch_id,
            cap_from,
            cap_to,
            kind,
            bucket_bits,
            threshold,
            slots,
            commitment,
            charter_hash: r.array()?,
            destroy_after: Timestamp(r.u64()?),
        };
        r.end()?;
        Ok(header)
    }

    fn signed_hash(bytes: &[u8]) -> [u8; 32] {
        th(Self::LABEL, &[&th("epoch-header", &[bytes])])
    }
}

/// A keeper's word that it holds its share (LPv1 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareReceipt {
    /// The epoch's header hash.
    pub header_hash: [u8; 32],
    /// The keeper.
    pub index: KeeperIndex,
    /// The keeper's clock.
    pub time: Timestamp,
}

impl Statement for ShareReceipt {
    const LABEL: &'static str = "share-receipt";
    const BYTES_MAX: usize = 41;

    fn encode(&self) -> Vec<u8> {
        Writer::new().raw(&self.header_hash).u8(self.index.0).u64(self.time.0).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let receipt = Self { header_hash: r.array()?, index: KeeperIndex(r.u8()?), time: Timestamp(r.u64()?) };
        r.end()?;
        Ok(receipt)
    }
}

/// The end of an epoch (LPv1 section 7), signed by the recorder and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochClose {
    /// The epoch's header hash.
    pub header_hash: [u8; 32],
    /// Cells of the segment, padding included.
    pub cells_padded: u64,
    /// Root of the bucket tree.
    pub segment_root: [u8; 32],
    /// When the sealer process was seen gone.
    pub erased_at: Timestamp,
}

impl Statement for EpochClose {
    const LABEL: &'static str = "epoch-close";
    const BYTES_MAX: usize = 80;

    fn encode(&self) -> Vec<u8> {
        Writer::new()
            .raw(&self.header_hash)
            .u64(self.cells_padded)
            .raw(&self.segment_root)
            .u64(self.erased_at.0)
            .finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let close = Self {
            header_hash: r.array()?,
            cells_padded: r.u64()?,
            segment_root: r.array()?,
            erased_at: Timestamp(r.u64()?),
        };
        r.end()?;
        Ok(close)
    }
}

/// What a recorder decides before it deals an epoch.
#[derive(Clone, Debug)]
pub struct EpochPlan {
    /// Owner.
    pub agency: AgencyId,
    /// Recorder.
    pub recorder: RecorderId,
    /// Capture window, from.
    pub cap_from: Timestamp,
    /// Capture window, to.
    pub cap_to: Timestamp,
    /// Kind.
    pub kind: EpochKind,
    /// `2^bucket_bits` buckets.
    pub bucket_bits: u8,
    /// t of n.
    pub threshold: Threshold,
    /// Charter in force.
    pub charter_hash: [u8; 32],
    /// Shares are destroyed from this moment on.
    pub destroy_after: Timestamp,
}

/// The secret of an epoch. No accessor, no `Clone`: it moves from dealing into the sealer and dies with the process.
pub(crate) struct EpochSecret {
    pub(crate) key: PrfKey,
    pub(crate) kappa: Secret<32>,
    pub(crate) epoch_id: EpochId,
    pub(crate) bucket_bits: u8,
}

/// An epoch that is dealt but not receipted: nothing can be sealed under it.
pub struct Dealt {
    header: EpochHeader,
    envelopes: Vec<(KeeperIndex, Vec<u8>)>,
    secret: EpochSecret,
}

impl core::fmt::Debug for Dealt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Dealt({:?})", self.header.epoch_id)
    }
}

/// Deals an epoch: fresh key and pepper, one wrapped share a prekey. `prekeys` holds one a keeper, in order of index.
///
/// # Errors
/// `Invalid` if there is not exactly one prekey a keeper; `Malformed` if a prekey's public key is not usable.
pub fn deal(plan: &EpochPlan, prekeys: Vec<VerifiedPrekey>, rng: &mut impl CryptoRng) -> Result<Dealt> {
    if prekeys.len() != usize::from(plan.threshold.n()) {
        return Err(Error::invalid("dealing needs one prekey of each keeper"));
    }
    let mut epoch_id = [0; 16];
    rng.fill_bytes(&mut epoch_id);
    let epoch_id = EpochId(epoch_id);
    let key = PrfKey::random(rng);
    let pepper = Pepper::random(rng);
    let (shares, commitment) = sharing::split(&key, plan.threshold, rng);
    let pepper_shares = sharing::split_pepper(&pepper, plan.threshold, rng);
    let slots = prekeys
        .iter()
        .zip(&pepper_shares)
        .map(|(VerifiedPrekey(prekey), share)| KeeperSlot {
            index: KeeperIndex(share.index().get()),
            keeper_key_id: prekey.keeper_key_id,
            prekey_id: prekey.prekey_id,
            kappa_commit: kappa_commit(epoch_id, share),
        })
        .collect();
    let header = EpochHeader {
        agency: plan.agency,
        recorder: plan.recorder,
        epoch_id,
        cap_from: plan.cap_from,
        cap_to: plan.cap_to,
        kind: plan.kind,
        bucket_bits: plan.bucket_bits,
        threshold: plan.threshold,
        slots,
        commitment,
        charter_hash: plan.charter_hash,
        destroy_after: plan.destroy_after,
    };
    let header_hash = header.hash();
    let envelopes = shares
        .iter()
        .zip(&pepper_shares)
        .zip(prekeys)
        .map(|((share, pepper_share), prekey)| {
            Ok((KeeperIndex(share.index().get()), wrap(share, pepper_share, prekey, &header_hash, rng)?))
        })
        .collect::<Result<_>>()?;
    let kappa = kappa(epoch_id, &pepper);
    Ok(Dealt { header, envelopes, secret: EpochSecret { key, kappa, epoch_id, bucket_bits: plan.bucket_bits } })
}

impl Dealt {
    /// The header; the recorder signs it.
    #[must_use]
    pub const fn header(&self) -> &EpochHeader {
        &self.header
    }

    /// One share envelope a keeper, [`SHARE_ENVELOPE_BYTES`] each.
    #[must_use]
    pub fn envelopes(&self) -> &[(KeeperIndex, Vec<u8>)] {
        &self.envelopes
    }

    /// Counts the receipts: each signed by the keeper of its slot, for this header, no keeper twice. On too few the dealt
    /// epoch comes back, so that more receipts can be waited for.
    ///
    /// # Errors
    /// `TooFewKeepers` below the threshold; `KeeperMisbehaved` names a keeper whose receipt is not for this header or not
    /// signed by it.
    pub fn receipted(
        self,
        receipts: &[Signed<ShareReceipt>],
    ) -> core::result::Result<ReceiptedEpoch, Box<(Self, Error)>> {
        match self.count_receipts(receipts) {
            Ok(()) => Ok(ReceiptedEpoch { header: self.header, secret: self.secret }),
            Err(error) => Err(Box::new((self, error))),
        }
    }

    fn count_receipts(&self, receipts: &[Signed<ShareReceipt>]) -> Result<()> {
        let header_hash = self.header.hash();
        let mut seen = std::collections::BTreeSet::new();
        for receipt in receipts {
            let index = receipt.claimed().index;
            let slot = self.header.slot(index).ok_or(Error::invalid("a receipt names no keeper of this epoch"))?;
            let lied = Error::keeper(index, "a keeper's receipt is not for this epoch");
            let value = receipt.verify(&VerifyKey(slot.keeper_key_id)).map_err(|_unsigned| lied.clone())?;
            if value.header_hash != header_hash {
                return Err(lied);
            }
            seen.insert(index);
        }
        let (got, needed) = (u8::try_from(seen.len()).unwrap_or(u8::MAX), self.header.threshold.t());
        if got < needed {
            return Err(Error::new(
                crate::error::ErrorKind::TooFewKeepers { got, needed },
                "too few keepers have confirmed their share",
            ));
        }
        Ok(())
    }
}

/// Evidence that at least t keepers hold their share: the only thing a sealer starts from.
///
/// ```compile_fail,E0451
/// use lockplate_core::epoch::ReceiptedEpoch;
/// fn forge(epoch: ReceiptedEpoch) -> ReceiptedEpoch { ReceiptedEpoch { ..epoch } }
/// ```
pub struct ReceiptedEpoch {
    pub(crate) header: EpochHeader,
    pub(crate) secret: EpochSecret,
}

impl core::fmt::Debug for ReceiptedEpoch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ReceiptedEpoch({:?})", self.header.epoch_id)
    }
}

fn wrap(
    share: &KeyShare,
    pepper: &PepperShare,
    prekey: VerifiedPrekey,
    header_hash: &[u8; 32],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    let mut plaintext = zeroize::Zeroizing::new([0; 64]);
    let (s, c) = plaintext.split_at_mut(32);
    s.copy_from_slice(share.to_secret().expose_secret());
    c.copy_from_slice(pepper.to_bytes().expose_secret());
    encrypt(&prekey.0.public_key, &share_info(header_hash), &[share.index().get()], plaintext.as_slice(), rng)
}

fn share_info(header_hash: &[u8; 32]) -> Vec<u8> {
    [b"LPv1 share".as_slice(), header_hash].concat()
}

/// `kappa = TH("kappa", epoch_id, c)`.
pub(crate) fn kappa(epoch_id: EpochId, pepper: &Pepper) -> Secret<32> {
    Secret::new(th("kappa", &[&epoch_id.0, pepper.to_secret().expose_secret()]))
}

/// `kappa_commit_j = TH("kappa-share", epoch_id, j, c_j)`.
pub(crate) fn kappa_commit(epoch_id: EpochId, share: &PepperShare) -> [u8; 32] {
    th("kappa-share", &[&epoch_id.0, &[share.index().get()], share.to_bytes().expose_secret()])
}

/// A keeper's share of one epoch, checked against the header it came with. Not `Clone`: destroying takes it by value.
pub struct HeldShare {
    /// The epoch's header hash.
    header_hash: [u8; 32],
    pub(crate) share: KeyShare,
    pub(crate) pepper: PepperShare,
}

impl core::fmt::Debug for HeldShare {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HeldShare(..)")
    }
}

impl HeldShare {
    /// The epoch's header hash.
    #[must_use]
    pub const fn header_hash(&self) -> [u8; 32] {
        self.header_hash
    }

    /// `s_j || c_j` for wrapped storage under the epoch's own key-encryption key.
    #[must_use]
    pub fn to_secret(&self) -> Secret<64> {
        let mut bytes = zeroize::Zeroizing::new([0; 64]);
        let (s, c) = bytes.split_at_mut(32);
        s.copy_from_slice(self.share.to_secret().expose_secret());
        c.copy_from_slice(self.pepper.to_bytes().expose_secret());
        Secret::new(*bytes)
    }

    /// From wrapped storage. The checks of [`unwrap_share`] are made again, so a damaged store cannot answer wrongly.
    ///
    /// # Errors
    /// `Internal` if the stored share is not the one that was dealt.
    pub fn from_secret(secret: &Secret<64>, dealt: &DealtShare) -> Result<Self> {
        dealt.check(secret.expose_secret()).map_err(not_of_its_epoch)
    }

    /// The same of many epochs, at a third of the cost.
    ///
    /// # Errors
    /// `Internal` if any stored share is not the one that was dealt.
    pub fn from_secrets(stored: &[(&Secret<64>, &DealtShare)], rng: &mut impl CryptoRng) -> Result<Vec<Self>> {
        let held = stored.iter().map(|(secret, dealt)| dealt.read(secret.expose_secret()));
        let held = held.collect::<Result<Vec<_>>>().map_err(not_of_its_epoch)?;
        let pairs: Vec<_> =
            held.iter().zip(stored).map(|(one, (_, dealt))| (&one.share, &dealt.public_share)).collect();
        KeyShare::verify_all(&pairs, rng).map_err(|_feldman| not_of_its_epoch(off_header()))?;
        Ok(held)
    }

    /// Ends the share. The caller has deleted its key-encryption key; what is left is the evidence for the log.
    #[must_use]
    pub fn destroy(self, due: DueForDestruction) -> Destroyed {
        Destroyed { header_hash: due.header_hash, index: KeeperIndex(self.share.index().get()) }
    }
}

/// Opens a share envelope and checks it: Feldman (`s_j G = sum j^m A_m`) and the pepper's commitment. A keeper signs a
/// receipt only after this and after the share is durable.
///
/// # Errors
/// `Malformed` if the envelope does not open under the prekey and header; `OwnerMisbehaved` if the dealer's share does not
/// fit the header.
pub fn unwrap_share(
    envelope: &[u8],
    prekey: &HpkeSecretKey,
    header: &EpochHeader,
    index: KeeperIndex,
) -> Result<HeldShare> {
    let header_hash = header.hash();
    let plaintext = zeroize::Zeroizing::new(decrypt(prekey, &share_info(&header_hash), &[index.0], envelope)?);
    let secret: &[u8; 64] =
        plaintext.as_slice().try_into().map_err(|_length| Error::malformed("a share has not 64 bytes"))?;
    DealtShare::of(header, index)?.check(secret)
}

/// What a header says in public of one keeper's share. Made once an epoch, because it costs more than the comparison.
#[derive(Clone, Debug)]
pub struct DealtShare {
    header_hash: [u8; 32],
    epoch_id: EpochId,
    at: ShareIndex,
    public_share: Element,
    kappa_commit: [u8; 32],
}

impl DealtShare {
    /// Of the keeper at a place.
    ///
    /// # Errors
    /// `OwnerMisbehaved` if the header has no slot for it; `Invalid` if it is no place.
    pub fn of(header: &EpochHeader, index: KeeperIndex) -> Result<Self> {
        let at = ShareIndex::new(index.0)?;
        let slot = header.slot(index).ok_or_else(off_header)?;
        Ok(Self {
            header_hash: header.hash(),
            epoch_id: header.epoch_id,
            at,
            public_share: header.commitment.public_share(at),
            kappa_commit: slot.kappa_commit,
        })
    }

    /// The epoch's header hash.
    #[must_use]
    pub const fn header_hash(&self) -> &[u8; 32] {
        &self.header_hash
    }

    /// `F_j`, against which this keeper's proofs are checked.
    #[must_use]
    pub const fn public_share(&self) -> &Element {
        &self.public_share
    }

    fn check(&self, secret: &[u8; 64]) -> Result<HeldShare> {
        let held = self.read(secret)?;
        held.share.verify(&self.public_share).map_err(|_feldman| off_header())?;
        Ok(held)
    }

    /// All of the check but Feldman's.
    fn read(&self, secret: &[u8; 64]) -> Result<HeldShare> {
        let (s, c) = secret.split_at(32);
        let share = KeyShare::from_bytes(self.at, s).map_err(|_scalar| off_header())?;
        let pepper = PepperShare::from_bytes(self.at, c).map_err(|_scalar| off_header())?;
        if !bool::from(kappa_commit(self.epoch_id, &pepper).ct_eq(&self.kappa_commit)) {
            return Err(off_header());
        }
        Ok(HeldShare { header_hash: self.header_hash, share, pepper })
    }
}

fn not_of_its_epoch(_mismatch: Error) -> Error {
    Error::internal("a stored share does not belong to its epoch")
}

fn off_header() -> Error {
    Error::owner("the dealer's share does not fit the epoch header")
}

/// Evidence that an epoch's retention has ended by two clocks (LPv1 section 12). Only [`DueForDestruction::new`] makes one.
#[derive(Debug)]
pub struct DueForDestruction {
    header_hash: [u8; 32],
}

impl DueForDestruction {
    /// `own` is the keeper's clock, `witnessed` a time that another party signed. `destroyed_today` and `spans` are
    /// seconds of capture window: what was destroyed in the last 24 hours, so that a clock jump destroys at most one
    /// epoch-day per real day. An epoch that is kept for a day at most, from its first read on, is not held up by that: all
    /// there is of such an archive is less than what the brake lets go, and a delay would outlive the law's minutes.
    #[must_use]
    pub fn new(header: &EpochHeader, own: Timestamp, witnessed: Timestamp, destroyed_today_s: u64) -> Option<Self> {
        let span = header.cap_to.0.saturating_sub(header.cap_from.0);
        let kept = header.destroy_after.0.saturating_sub(header.cap_from.0);
        let within_rate = kept <= 86_400 || destroyed_today_s == 0 || destroyed_today_s.saturating_add(span) <= 86_400;
        let due = header.destroy_after <= own && header.destroy_after <= witnessed;
        (due && within_rate).then(|| Self { header_hash: header.hash() })
    }
}

/// Evidence for the `share.destroyed` leaf.
#[derive(Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// The epoch's header hash.
    pub header_hash: [u8; 32],
    /// The keeper.
    pub index: KeeperIndex,
}

/// The owner's recorder asks a keeper for prekeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrekeyOrder {
    /// Owner.
    pub agency: AgencyId,
    /// Recorder.
    pub recorder: RecorderId,
    /// How many.
    pub count: u16,
    /// The recorder's clock, against replay.
    pub time: Timestamp,
}

impl Statement for PrekeyOrder {
    const LABEL: &'static str = "prekey-order";
    const BYTES_MAX: usize = 42;

    fn encode(&self) -> Vec<u8> {
        Writer::new().raw(&self.agency.0).raw(&self.recorder.0).u16(self.count).u64(self.time.0).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let order = Self {
            agency: AgencyId(r.array()?),
            recorder: RecorderId(r.array()?),
            count: r.u16()?,
            time: Timestamp(r.u64()?),
        };
        r.end()?;
        Ok(order)
    }
}

//! Evidence holds (LPv1 section 10.2): reads that a granted request found are sealed anew, to the key of a records custodian, before
//! their epochs are destroyed. The desk's public leaf comes first and commits to case, supervisors, reads and key without telling
//! them; the file that holds the reads says in clear only what the leaf says in public.

use lockplate_oprf::Secret;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::Timestamp;
use crate::approval::Grant;
use crate::charter::Charter;
use crate::disclosure::{Disclosure, SD_OTHER, disclose};
use crate::entry::{HoldLeaf, SaltedDigests};
use crate::envelope::{ENCAPPED_KEY_BYTES, HpkePublicKey, HpkeSecretKey, TAG_BYTES, decrypt, encrypt};
use crate::error::{Error, ErrorKind, Result};
use crate::json::{Field as _, Json};
use crate::package::PACKAGE_BYTES_MAX;
use crate::request::SecondSignature;
use crate::salted::{SaltedName, person};
use crate::sign::Statement;
use crate::wire::{Reader, Writer};

/// First bytes of the file of a hold.
pub const HOLD_MAGIC: &[u8] = b"lockplate-hold/1\n";
/// Bytes of the file of a hold.
pub const HOLD_BYTES_MAX: usize =
    HOLD_MAGIC.len() + HoldHead::BYTES + 4 + ENCAPPED_KEY_BYTES + PACKAGE_BYTES_MAX + TAG_BYTES;

/// Salted names of a `hold` leaf beside `case_number`, which has the form and the salt of the request's.
const SUPERVISOR: &str = "supervisor";
const HELD: &str = "held";
const CASE_KEY: &str = "case_key";

/// The digest by which a case key is named: SHA-256 of its public half.
#[must_use]
pub fn case_key_id(key: &HpkePublicKey) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// The latest end of a hold: `opening_keep_seconds` of the owner's charter after the earliest approval. Until then an auditor can
/// open the request on which the hold rests; afterwards nobody could say any more what it was for.
#[must_use]
pub fn latest_until(charter: &Charter, grant: &Grant) -> Timestamp {
    let decided = grant.approvals.iter().map(|approval| approval.claimed().time.0).min().unwrap_or(0);
    Timestamp(decided.saturating_add(charter.opening_keep_seconds))
}

/// What the officer's client says it holds, signed by the officer, so that the desk's log cannot say it for him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldClaim {
    /// The request.
    pub request_digest: [u8; 32],
    /// The grant.
    pub grant_digest: [u8; 32],
    /// Cells held.
    pub cells: u64,
    /// Until when.
    pub until: Timestamp,
    /// Salted digests of the leaf, sorted.
    pub sd: [[u8; 32]; SD_OTHER],
}

impl Statement for HoldClaim {
    const LABEL: &'static str = "hold";
    const BYTES_MAX: usize = 80 + 32 * SD_OTHER;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(&self.request_digest).raw(&self.grant_digest).u64(self.cells).u64(self.until.0);
        w.raw(self.sd.as_flattened()).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let claim = Self {
            request_digest: r.array()?,
            grant_digest: r.array()?,
            cells: r.u64()?,
            until: Timestamp(r.u64()?),
            sd: [r.array()?, r.array()?, r.array()?, r.array()?],
        };
        r.end()?;
        Ok(claim)
    }
}

impl HoldClaim {
    /// What a desk asks of a claim before it logs it: the grant is this one, something is held, and not for longer than the charter
    /// lets. `now` is the desk's clock.
    ///
    /// # Errors
    /// `Invalid` if any of that does not hold.
    pub fn check(&self, charter: &Charter, grant: &Grant, now: Timestamp) -> Result<()> {
        if self.request_digest != grant.request.signed_hash() || self.grant_digest != grant.digest() {
            return Err(Error::invalid("a hold is of another grant"));
        }
        if self.cells == 0 {
            return Err(Error::invalid("a hold of nothing"));
        }
        if self.until <= now || self.until > latest_until(charter, grant) {
            return Err(Error::invalid("a hold ends before it begins, or after the charter's time"));
        }
        self.leaf().map(drop)
    }

    /// The public leaf.
    ///
    /// # Errors
    /// `Malformed` if the digests are not sorted.
    pub fn leaf(&self) -> Result<HoldLeaf> {
        Ok(HoldLeaf {
            request: self.request_digest,
            grant: self.grant_digest,
            cells: self.cells,
            until: self.until,
            sd: SaltedDigests::new(self.sd.to_vec())?,
        })
    }
}

/// What the salted digests of a hold commit to. All salts come from the request's own secret, so whoever may open the request may
/// open these, and nobody else.
#[derive(Clone, Copy, Debug)]
pub struct HeldFor<'a> {
    /// The request's secret of salts.
    pub salts: &'a Secret<32>,
    /// The case number of the request's statement.
    pub case_number: &'a str,
    /// The second persons who signed the request, the supervisor among them.
    pub seconds: &'a [SecondSignature],
    /// What is held, by the digest of its cells' keys ([`held_digest`](crate::package::held_digest)).
    pub held: [u8; 32],
    /// The key to which it is sealed ([`case_key_id`]).
    pub case_key: [u8; 32],
}

impl HeldFor<'_> {
    /// The disclosures: `case_number`, `supervisor`, `held`, `case_key`.
    ///
    /// # Errors
    /// `Invalid` if a value is too long.
    pub fn disclosures(&self) -> Result<[Disclosure; SD_OTHER]> {
        let seconds = self.seconds.iter().map(|second| person(&second.key_id)).collect();
        Ok([
            disclose(self.salts, SaltedName::CaseNumber.name(), &Json::text(self.case_number))?,
            disclose(self.salts, SUPERVISOR, &Json::Array(seconds))?,
            disclose(self.salts, HELD, &self.held.to_json())?,
            disclose(self.salts, CASE_KEY, &self.case_key.to_json())?,
        ])
    }

    /// The digests as the leaf has them. No decoy: every slot is in use.
    ///
    /// # Errors
    /// As [`HeldFor::disclosures`].
    pub fn digests(&self) -> Result<[[u8; 32]; SD_OTHER]> {
        let mut digests = self.disclosures()?.map(|one| one.digest());
        digests.sort_unstable();
        Ok(digests)
    }
}

/// What the file of a hold says in clear: what the public leaf says, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldHead {
    /// The request.
    pub request_digest: [u8; 32],
    /// The grant.
    pub grant_digest: [u8; 32],
    /// Until when it may be opened.
    pub until: Timestamp,
    /// Entry of the hold in the desk's log.
    pub register: u64,
    /// Which case key opens it.
    pub case_key: [u8; 32],
}

impl HoldHead {
    const BYTES: usize = 3 * 32 + 2 * 8;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(&self.request_digest).raw(&self.grant_digest).u64(self.until.0).u64(self.register);
        w.raw(&self.case_key).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let head = Self {
            request_digest: r.array()?,
            grant_digest: r.array()?,
            until: Timestamp(r.u64()?),
            register: r.u64()?,
            case_key: r.array()?,
        };
        r.end()?;
        Ok(head)
    }

    fn info(&self) -> Vec<u8> {
        [b"LPv1 hold".as_slice(), &self.grant_digest].concat()
    }
}

/// The file of a hold: `"lockplate-hold/1\n" || head || lv32(HPKE ciphertext)`; info `"LPv1 hold" || grant_digest`, aad the head.
/// `package` is an evidence package.
///
/// # Errors
/// `Malformed` if the key is not usable, `Invalid` if the package is too long or the head names another key.
pub fn wrap_hold(head: &HoldHead, to: &HpkePublicKey, package: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>> {
    if package.len() > PACKAGE_BYTES_MAX {
        return Err(Error::invalid("an evidence package is too long"));
    }
    if head.case_key != case_key_id(to) {
        return Err(Error::invalid("a hold is sealed to another key than it names"));
    }
    let clear = head.encode();
    let sealed = encrypt(to, &head.info(), &clear, package, rng)?;
    Ok([HOLD_MAGIC, &clear, &Writer::new().lv32(&sealed).finish()].concat())
}

/// The head of the file of a hold, nothing opened.
///
/// # Errors
/// `Malformed` if it is none.
pub fn hold_head(file: &[u8]) -> Result<HoldHead> {
    parts(file).map(|(head, _)| head)
}

fn parts(file: &[u8]) -> Result<(HoldHead, &[u8])> {
    let bad = || Error::malformed("not the file of a hold");
    let rest = file.strip_prefix(HOLD_MAGIC).filter(|_| file.len() <= HOLD_BYTES_MAX).ok_or_else(bad)?;
    let (head, rest) = rest.split_at_checked(HoldHead::BYTES).ok_or_else(bad)?;
    let mut r = Reader::new(rest);
    let sealed = r.lv32(HOLD_BYTES_MAX)?;
    r.end()?;
    Ok((HoldHead::decode(head)?, sealed))
}

/// Opens the file of a hold for the custodian. The end of the hold binds this program; it cannot bind another one that has file and
/// key.
///
/// # Errors
/// `EpochDestroyed` once the hold is over; `Malformed` if it is no such file, for another key, or altered.
pub fn unwrap_hold(file: &[u8], secret: &HpkeSecretKey, now: Timestamp) -> Result<(HoldHead, Zeroizing<Vec<u8>>)> {
    let (head, sealed) = parts(file)?;
    if head.case_key != case_key_id(&secret.public_key()?) {
        return Err(Error::malformed("the hold is sealed to another key"));
    }
    let package = decrypt(secret, &head.info(), &head.encode(), sealed).map(Zeroizing::new)?;
    // After the check of the head: an end that somebody wrote in says nothing.
    if now >= head.until {
        return Err(Error::new(ErrorKind::EpochDestroyed, "the hold is over; what it held may be opened no longer"));
    }
    Ok((head, package))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    fn head(key: &HpkePublicKey) -> HoldHead {
        HoldHead {
            request_digest: [1; 32],
            grant_digest: [2; 32],
            until: Timestamp(2_000),
            register: 7,
            case_key: case_key_id(key),
        }
    }

    #[test]
    fn a_hold_opens_for_its_key_before_its_end_and_unaltered() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = HpkeSecretKey::random(&mut rng);
        let key = secret.public_key().unwrap();
        let file = wrap_hold(&head(&key), &key, b"AB12345 in a package", &mut rng).unwrap();
        assert!(!file.windows(7).any(|part| part == b"AB12345"));
        assert_eq!(hold_head(&file).unwrap(), head(&key));
        let (found, package) = unwrap_hold(&file, &secret, Timestamp(1_999)).unwrap();
        assert_eq!((found, package.as_slice()), (head(&key), b"AB12345 in a package".as_slice()));
        let over = unwrap_hold(&file, &secret, Timestamp(2_000)).unwrap_err();
        assert_eq!(over.kind(), ErrorKind::EpochDestroyed);
        let stranger = HpkeSecretKey::random(&mut rng);
        assert_eq!(unwrap_hold(&file, &stranger, Timestamp(1)).unwrap_err().kind(), ErrorKind::Malformed);
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            let refused = unwrap_hold(&altered, &secret, Timestamp(1_999)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Malformed, "byte {at}, the end of the hold among them");
        }
        assert!(wrap_hold(&head(&key), &stranger.public_key().unwrap(), b"x", &mut rng).is_err());
    }

    #[test]
    fn the_digests_open_under_their_names_and_hang_on_every_value() {
        let salts = Secret::new([3; 32]);
        let seconds = [SecondSignature { key_id: [5; 32], signature: [0; 64] }];
        let held =
            HeldFor { salts: &salts, case_number: "26-1234", seconds: &seconds, held: [6; 32], case_key: [7; 32] };
        let digests = held.digests().unwrap();
        assert_eq!(digests, held.digests().unwrap(), "a repeat says the same");
        assert!(digests.is_sorted_by(|before, after| before < after));
        let leaf = SaltedDigests::<SD_OTHER>::new(digests.to_vec()).unwrap();
        let [case_number, supervisor, _, _] = held.disclosures().unwrap();
        assert_eq!(*leaf.expose_field("case_number", &case_number).unwrap(), Json::text("26-1234"));
        assert!(leaf.expose_field("case_number", &supervisor).is_err());
        let none = Secret::new([4; 32]);
        for other in [
            HeldFor { salts: &none, ..held },
            HeldFor { case_number: "26-1235", ..held },
            HeldFor { seconds: &[], ..held },
            HeldFor { held: [7; 32], ..held },
            HeldFor { case_key: [8; 32], ..held },
        ] {
            assert_ne!(other.digests().unwrap(), digests);
        }
    }

    proptest! {
        #[test]
        fn parsing_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..300), magic: bool) {
            let file = if magic { [HOLD_MAGIC, &bytes].concat() } else { bytes };
            drop(hold_head(&file));
        }
    }
}

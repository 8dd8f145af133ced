//! What a recorder keeps on its disk of lists that live with it: custom and AMBER loads, and what it knows of single entries. Sealed to
//! the recorder's own key, since the content of a list is never on a disk in clear. Extracts are not kept at all.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::steward::SIGNERS_MAX;
use crate::envelope::{HpkePublicKey, HpkeSecretKey, decrypt, encrypt};
use crate::error::{Error, Result};
use crate::wire::{Reader, Writer};

/// Which of a list's records it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The file of a load and the orders for it.
    Load {
        /// Its sequence.
        sequence: u64,
    },
    /// [`Marks`](super::matching::Marks).
    Marks,
}

impl Kept {
    const fn aad(self) -> [u8; 9] {
        let [a, b, c, d, e, f, g, h] = match self {
            Self::Load { sequence } => sequence.to_be_bytes(),
            Self::Marks => [0; 8],
        };
        let kind = match self {
            Self::Load { .. } => 1,
            Self::Marks => 2,
        };
        [kind, a, b, c, d, e, f, g, h]
    }
}

fn info(list: &[u8; 16]) -> Vec<u8> {
    [b"LPv1 kept list".as_slice(), list].concat()
}

/// Seals a record.
///
/// # Errors
/// `Malformed` if the key is not usable.
pub fn seal_kept(
    to: &HpkePublicKey,
    list: &[u8; 16],
    kept: Kept,
    plain: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    encrypt(to, &info(list), &kept.aad(), plain, rng)
}

/// Opens what [`seal_kept`] sealed.
///
/// # Errors
/// `Malformed` if it is another record, or sealed to another key.
pub fn open_kept(secret: &HpkeSecretKey, list: &[u8; 16], kept: Kept, sealed: &[u8]) -> Result<Vec<u8>> {
    decrypt(secret, &info(list), &kept.aad(), sealed)
}

/// A load as it is kept: the file, and what people signed for it.
pub struct KeptLoad {
    /// The file.
    pub file: Zeroizing<Vec<u8>>,
    /// `ByPerson<LoadOrder>` each; none of a file that was fetched.
    pub orders: Vec<Vec<u8>>,
    /// Whose cases custom entries are, by entry, where somebody else than who brought this file had brought them before.
    pub creators: BTreeMap<String, [u8; 32]>,
}

impl core::fmt::Debug for KeptLoad {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeptLoad(..)")
    }
}

impl KeptLoad {
    /// To be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::new();
        w.lv32(&self.file).u8(u8::try_from(self.orders.len()).unwrap_or(u8::MAX));
        for order in &self.orders {
            w.lv32(order);
        }
        for (entry, creator) in &self.creators {
            w.lv8(entry.as_bytes()).raw(creator);
        }
        Zeroizing::new(w.finish())
    }

    /// Reads what [`KeptLoad::to_bytes`] wrote.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let file = Zeroizing::new(r.lv32(bytes.len())?.to_vec());
        let orders = usize::from(r.u8()?);
        if orders > SIGNERS_MAX {
            return Err(Error::malformed("more people signed a load than can"));
        }
        let orders = (0..orders).map(|_| r.lv32(bytes.len()).map(<[u8]>::to_vec)).collect::<Result<_>>()?;
        // What was kept by a program of before ends here.
        let mut rest = r.rest();
        let mut creators = BTreeMap::new();
        while !rest.is_empty() {
            let mut r = Reader::new(rest);
            let entry = core::str::from_utf8(r.lv8()?).map_err(|_text| Error::malformed("an entry's id is no text"))?;
            creators.insert(entry.to_owned(), r.array()?);
            rest = r.rest();
        }
        Ok(Self { file, orders, creators })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn a_kept_load_opens_as_itself_and_as_nothing_else() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let secret = HpkeSecretKey::random(&mut rng);
        let orders = vec![b"one".to_vec(), b"two".to_vec()];
        let load = KeptLoad { file: Zeroizing::new(b"a file".to_vec()), orders, creators: BTreeMap::new() };
        let kept = Kept::Load { sequence: 4 };
        let sealed = seal_kept(&secret.public_key().unwrap(), &[1; 16], kept, &load.to_bytes(), &mut rng).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"a file"));
        let opened = KeptLoad::from_bytes(&open_kept(&secret, &[1; 16], kept, &sealed).unwrap()).unwrap();
        assert_eq!((&opened.file, &opened.orders), (&load.file, &load.orders));
        for (list, other) in [([2; 16], kept), ([1; 16], Kept::Load { sequence: 5 }), ([1; 16], Kept::Marks)] {
            assert!(open_kept(&secret, &list, other, &sealed).is_err());
        }
        let bytes = load.to_bytes();
        for cut in 0..bytes.len() {
            assert!(KeptLoad::from_bytes(&bytes[..cut]).is_err());
        }
        let creators = BTreeMap::from([("e1".to_owned(), [4; 32]), ("e2".to_owned(), [5; 32])]);
        let bytes = KeptLoad { creators: creators.clone(), ..load }.to_bytes();
        assert_eq!(KeptLoad::from_bytes(&bytes).unwrap().creators, creators);
        assert!(KeptLoad::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    }
}

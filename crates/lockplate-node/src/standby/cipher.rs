//! Nobody reads along: what goes to the store is encrypted under a key that only the agency's machines have. A key is used by one run
//! alone, and a run numbers what it encrypts, so that no key and nonce come twice, even where two machines encrypt for one place of the
//! journal.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use rand_core::Rng as _;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::record::RECORD_BYTES_MAX;
use crate::rng::SystemRng;

const MAGIC: &[u8; 8] = b"LPSTBY1\n";
const LABEL: &[u8] = b"lockplate/standby/v1";
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 24;
/// Bytes of an object of the journal or of a base, at most.
pub(super) const OBJECT_BYTES_MAX: usize = HEAD_BYTES + RECORD_BYTES_MAX + TAG_BYTES;

/// One run of one process as owner of the journal, or one writing of a base: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run(pub(super) [u8; 16]);

impl Run {
    pub(super) fn random() -> Self {
        let mut run = [0; 16];
        SystemRng.fill_bytes(&mut run);
        Self(run)
    }
}

/// Where an object stands; bound to its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A record of the journal.
    Record(u64),
    /// A part of the base that begins at a record.
    Part { base: u64, part: u32 },
    /// The list of a base's parts.
    List { base: u64 },
}

impl Place {
    /// What differs between any two objects of one run.
    fn nonce(self) -> [u8; 12] {
        let (kind, number) = match self {
            Self::Record(number) => (1_u32, number),
            Self::Part { part, .. } => (2, part.into()),
            Self::List { .. } => (3, 0),
        };
        let mut nonce = [0; 12];
        for (to, from) in nonce.iter_mut().zip(kind.to_be_bytes().into_iter().chain(number.to_be_bytes())) {
            *to = from;
        }
        nonce
    }

    fn base(self) -> u64 {
        match self {
            Self::Record(_) => 0,
            Self::Part { base, .. } | Self::List { base } => base,
        }
    }
}

/// The key of an agency's journal.
#[derive(Clone)]
pub struct Cipher {
    master: Zeroizing<[u8; 32]>,
    agency: [u8; 16],
}

impl core::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cipher(..)")
    }
}

impl Cipher {
    /// `master` is in the file `standby` of the keys folder, the same on both machines; `agency` is the recorder's id.
    #[must_use]
    pub const fn new(master: Zeroizing<[u8; 32]>, agency: [u8; 16]) -> Self {
        Self { master, agency }
    }

    fn of_run(&self, run: Run) -> Option<Aes256Gcm> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(&run.0), self.master.as_slice()).expand(LABEL, key.as_mut_slice()).ok()?;
        let mut array = Key::<Aes256Gcm>::from(*key);
        let cipher = Aes256Gcm::new(&array);
        array.zeroize();
        Some(cipher)
    }

    fn bound_to(&self, place: Place) -> Vec<u8> {
        [LABEL, self.agency.as_slice(), &place.base().to_be_bytes(), &place.nonce()].concat()
    }

    /// The object with this content. A run encrypts one content for one place.
    pub(super) fn encrypt(&self, run: Run, place: Place, plaintext: &[u8]) -> Option<Vec<u8>> {
        let aad = self.bound_to(place);
        let payload = Payload { msg: plaintext, aad: &aad };
        let sealed = self.of_run(run)?.encrypt(&Nonce::from(place.nonce()), payload).ok()?;
        Some([MAGIC.as_slice(), &run.0, &sealed].concat())
    }

    /// The content of an object, and the run that wrote it; `None` where it is not one of this agency at this place.
    pub(super) fn decrypt(&self, place: Place, object: &[u8]) -> Option<(Run, Vec<u8>)> {
        if object.len() > OBJECT_BYTES_MAX {
            return None;
        }
        let (run, sealed) = object.strip_prefix(MAGIC)?.split_first_chunk::<16>()?;
        let run = Run(*run);
        let payload = Payload { msg: sealed, aad: &self.bound_to(place) };
        let plaintext = self.of_run(run)?.decrypt(&Nonce::from(place.nonce()), payload).ok()?;
        Some((run, plaintext))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_at_its_place_by_its_agency_and_nowhere_else() {
        let cipher = Cipher::new(Zeroizing::new([7; 32]), [1; 16]);
        let run = Run::random();
        let place = Place::Record(5);
        let object = cipher.encrypt(run, place, b"a cell").unwrap();
        assert_eq!(cipher.decrypt(place, &object), Some((run, b"a cell".to_vec())));
        assert!(!object.windows(6).any(|window| window == b"a cell"));
        for other in [Place::Record(6), Place::Part { base: 0, part: 5 }, Place::List { base: 5 }] {
            assert_eq!(cipher.decrypt(other, &object), None, "{other:?}");
        }
        assert_eq!(Cipher::new(Zeroizing::new([7; 32]), [2; 16]).decrypt(place, &object), None, "another agency");
        assert_eq!(Cipher::new(Zeroizing::new([8; 32]), [1; 16]).decrypt(place, &object), None, "another key");
        let part = cipher.encrypt(run, Place::Part { base: 1, part: 0 }, b"").unwrap();
        assert_eq!(cipher.decrypt(Place::Part { base: 2, part: 0 }, &part), None, "another base");
        for at in 0..object.len() {
            let mut bent = object.clone();
            bent[at] ^= 1;
            assert_eq!(cipher.decrypt(place, &bent), None, "byte {at}");
            assert_eq!(cipher.decrypt(place, &object[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn two_runs_never_share_a_key_and_one_never_a_nonce() {
        let cipher = Cipher::new(Zeroizing::new([7; 32]), [1; 16]);
        let (one, two) = (Run::random(), Run::random());
        assert_ne!(one, two);
        let object = |run, place| cipher.encrypt(run, place, &[0; 32]).unwrap();
        assert_ne!(object(one, Place::Record(5))[HEAD_BYTES..], object(two, Place::Record(5))[HEAD_BYTES..]);
        let nonces = [
            Place::Record(0),
            Place::Record(1),
            Place::Part { base: 9, part: 0 },
            Place::Part { base: 9, part: 1 },
            Place::List { base: 9 },
        ]
        .map(Place::nonce);
        for (at, nonce) in nonces.iter().enumerate() {
            assert!(!nonces[..at].contains(nonce));
        }
    }
}

//! What an officer's client must remember between filing and fetching: blinds, the response key, the plate as typed. It rests on
//! disk only sealed under a key that comes from the officer's own key file, and is deleted when the answer was opened
//! (`reliability.md` H8). Nothing else of a search is ever written by this client but evidence of a lie.

use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::limits::ELEMENTS_MAX;
use lockplate_core::plate::{Jurisdiction, PlateInput};
use lockplate_core::sign::SigningKey;
use lockplate_core::statement::StatementText;
use lockplate_oprf::Secret;
use lockplate_oprf::oprf::Blind;
use lockplate_store::durable;
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::SearchFault;

/// Domain of the key and of the associated data.
const LABEL: &[u8] = b"LPv1 pending search";
/// Longest pending file: 24 Openings and 16 attachments at their bounds, twice over.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// First byte of the plaintext.
const VERSION: u8 = 2;
const NONCE_BYTES: usize = 12;

/// A filed request as its officer's client holds it.
pub(super) struct Pending {
    pub(super) request_digest: [u8; 32],
    pub(super) charter_hash: [u8; 32],
    pub(super) response: HpkeSecretKey,
    pub(super) inputs: Vec<(PlateInput, Blind)>,
    /// What was sworn to; for holds and evidence packages.
    pub(super) statement: StatementText,
    /// s_r, likewise.
    pub(super) salts: Secret<32>,
    /// The plate as typed.
    pub(super) asked: Zeroizing<String>,
    pub(super) state: Option<Jurisdiction>,
    /// `FiledRequest`.
    pub(super) filed: Vec<u8>,
    pub(super) openings: Vec<Vec<u8>>,
    /// `.auth` files; what opens a plate is in the Openings.
    pub(super) attachments: Vec<Vec<u8>>,
}

impl core::fmt::Debug for Pending {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Pending(..)")
    }
}

/// What lies there is not this officer's, or damaged.
pub(super) const TORN: SearchFault = SearchFault::File("the pending search does not open under this key file");
/// Nothing lies there.
pub(super) const ABSENT: SearchFault =
    SearchFault::File("there is no pending search of this number here; it was fetched, or filed elsewhere");

impl Pending {
    /// Seals it to `folder`; durable on return. A repeat replaces it.
    pub(super) fn save(
        &self,
        folder: &Path,
        officer: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(), SearchFault> {
        seal_to(&path(folder, &self.request_digest), LABEL, &self.request_digest, officer, &self.encode(), rng)
    }

    /// Opens the one of this digest.
    pub(super) fn load(folder: &Path, officer: &SigningKey, digest: &[u8; 32]) -> Result<Self, SearchFault> {
        let plaintext = open_sealed(&path(folder, digest), LABEL, digest, officer)?.ok_or(ABSENT)?;
        Self::decode(&plaintext, *digest).ok_or(TORN)
    }

    /// Digests of all in `folder`, sorted; none where there is no folder.
    pub(super) fn list(folder: &Path) -> Result<Vec<[u8; 32]>, SearchFault> {
        let unread = |_os| SearchFault::File("the folder of pending searches cannot be read");
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unread(error)),
        };
        let mut digests = Vec::new();
        for entry in entries {
            let name = entry.map_err(unread)?.file_name();
            let Some(hexadecimal) = name.to_str().and_then(|name| name.strip_suffix(".pending")) else { continue };
            let mut digest = [0; 32];
            if hex::decode_to_slice(hexadecimal, &mut digest).is_ok() {
                digests.push(digest);
            }
        }
        digests.sort_unstable();
        Ok(digests)
    }

    /// Forgets it.
    pub(super) fn remove(folder: &Path, digest: &[u8; 32]) -> Result<(), SearchFault> {
        durable::remove(&path(folder, digest))
            .map_err(|_os| SearchFault::File("the pending search could not be removed"))
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let state = self.state.as_ref().map(Jurisdiction::code).unwrap_or_default();
        let blinds: Vec<Secret<32>> = self.inputs.iter().map(|(_, blind)| blind.to_secret()).collect();
        let mut fields: Vec<&[u8]> = vec![
            &self.charter_hash,
            self.response.seed().expose_secret(),
            self.asked.as_bytes(),
            state.as_bytes(),
            &self.filed,
            self.statement.expose_bytes(),
            self.salts.expose_secret(),
        ];
        for ((input, _), blind) in self.inputs.iter().zip(&blinds) {
            fields.push(input.expose_bytes());
            fields.push(blind.expose_secret());
        }
        fields.extend(self.openings.iter().map(Vec::as_slice));
        fields.extend(self.attachments.iter().map(Vec::as_slice));
        // Reserved once, so that no half-written copy stays behind in a buffer that grew.
        let room = fields.iter().map(|field| field.len().saturating_add(4)).fold(8, usize::saturating_add);
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        let count = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        out.extend_from_slice(&[
            VERSION,
            count(self.inputs.len()),
            count(self.openings.len()),
            count(self.attachments.len()),
        ]);
        for field in fields {
            out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(field);
        }
        out
    }

    fn decode(bytes: &[u8], request_digest: [u8; 32]) -> Option<Self> {
        let (&[VERSION, inputs, openings, attachments], mut rest) = bytes.split_first_chunk::<4>()? else {
            return None;
        };
        if !(1..=ELEMENTS_MAX).contains(&usize::from(inputs)) {
            return None;
        }
        let mut next = || {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            let (field, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            rest = tail;
            Some(field)
        };
        let charter_hash = next()?.try_into().ok()?;
        let response = HpkeSecretKey::from_seed(Secret::from_slice(next()?)?);
        let asked = Zeroizing::new(core::str::from_utf8(next()?).ok()?.to_owned());
        let state = match core::str::from_utf8(next()?).ok()? {
            "" => None,
            code => Some(Jurisdiction::parse(code)?),
        };
        let filed = next()?.to_vec();
        let statement = StatementText::from_bytes(next()?).ok()?;
        let salts = Secret::from_slice(next()?)?;
        let inputs = (0..inputs)
            .map(|_| Some((PlateInput::from_bytes(next()?)?, Blind::from_bytes(next()?).ok()?)))
            .collect::<Option<_>>()?;
        let openings = (0..openings).map(|_| next().map(<[u8]>::to_vec)).collect::<Option<_>>()?;
        let attachments = (0..attachments).map(|_| next().map(<[u8]>::to_vec)).collect::<Option<_>>()?;
        rest.is_empty().then_some(Self {
            request_digest,
            charter_hash,
            response,
            inputs,
            statement,
            salts,
            asked,
            state,
            filed,
            openings,
            attachments,
        })
    }
}

fn path(folder: &Path, digest: &[u8; 32]) -> PathBuf {
    folder.join(format!("{}.pending", hex::encode(digest)))
}

/// Seals a file of a search to its officer's key; durable on return. The label keeps kinds of files apart, the number files.
pub(super) fn seal_to(
    path: &Path,
    label: &[u8],
    number: &[u8; 32],
    officer: &SigningKey,
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(), SearchFault> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let aad = [label, number].concat();
    let sealed = cipher(officer, label, number)?
        .encrypt(&Nonce::from(nonce), Payload { msg: plaintext, aad: &aad })
        .map_err(|_aead| SearchFault::Internal("a pending search could not be sealed"))?;
    let unwritten = |_os| SearchFault::File("the folder of pending searches cannot be written");
    if let Some(folder) = path.parent() {
        durable::create_dir(folder).map_err(unwritten)?;
    }
    durable::replace(path, &[nonce.as_slice(), &sealed].concat()).map_err(unwritten)
}

/// Opens what [`seal_to`] wrote; `None` where there is no file.
pub(super) fn open_sealed(
    path: &Path,
    label: &[u8],
    number: &[u8; 32],
    officer: &SigningKey,
) -> Result<Option<Zeroizing<Vec<u8>>>, SearchFault> {
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_os) => return Err(ABSENT),
    };
    if length > FILE_BYTES_MAX {
        return Err(TORN);
    }
    let bytes = std::fs::read(path).map_err(|_os| ABSENT)?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(TORN)?;
    let aad = [label, number].concat();
    let opened = cipher(officer, label, number)?.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: &aad });
    opened.map(|plaintext| Some(Zeroizing::new(plaintext))).map_err(|_aead| TORN)
}

/// The key of one file. The signing key's seed serves as key material under a label of its own; HKDF keeps the two uses apart.
fn cipher(officer: &SigningKey, label: &[u8], number: &[u8; 32]) -> Result<Aes256Gcm, SearchFault> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(number), officer.to_seed().expose_secret())
        .expand(label, key.as_mut_slice())
        .map_err(|_length| SearchFault::Internal("32 bytes are within the bound of hkdf"))?;
    let mut array = Key::<Aes256Gcm>::from(*key);
    let cipher = Aes256Gcm::new(&array);
    array.zeroize();
    Ok(cipher)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;
    use lockplate_core::id::AgencyId;
    use lockplate_core::plate::Plate;
    use lockplate_core::signed::VersionOne;
    use lockplate_core::statement::{OffenceStated, PlateName, Statement};
    use lockplate_core::vocabulary::Offence;

    fn statement(plate: &Plate, state: Option<Jurisdiction>) -> StatementText {
        StatementText::new(Statement {
            v: VersionOne,
            plate: PlateName::new(plate, state),
            on_behalf_of: AgencyId([1; 16]),
            case_number: "26-1234".to_owned(),
            offence: OffenceStated { class: Offence::Felony, text: String::new() },
            facts: "The owner reported it stolen.".to_owned(),
            emergency: false,
            hold: false,
            attachments: Vec::new(),
        })
        .unwrap()
    }

    fn pending() -> Pending {
        let plate = Plate::parse("AB12345").unwrap();
        let state = Jurisdiction::parse("US-CT");
        Pending {
            request_digest: [7; 32],
            charter_hash: [8; 32],
            response: HpkeSecretKey::random(&mut SystemRng),
            inputs: vec![
                (PlateInput::new(AgencyId([1; 16]), &plate, state), Blind::random(&mut SystemRng)),
                (PlateInput::new(AgencyId([1; 16]), &plate, None), Blind::random(&mut SystemRng)),
            ],
            statement: statement(&plate, state),
            salts: Secret::new([6; 32]),
            asked: Zeroizing::new("ab 12345".to_owned()),
            state,
            filed: b"a filed request".to_vec(),
            openings: vec![vec![1; 50], vec![2; 60]],
            attachments: vec![b"a signed object".to_vec()],
        }
    }

    #[test]
    fn it_comes_back_for_the_same_key_only_and_holds_nothing_in_clear() {
        let folder = tempfile::tempdir().unwrap();
        let officer = SigningKey::random(&mut SystemRng);
        let saved = pending();
        saved.save(folder.path(), &officer, &mut SystemRng).unwrap();
        let bytes = std::fs::read(path(folder.path(), &[7; 32])).unwrap();
        let blind = saved.inputs[0].1.to_secret();
        let secrets: [&[u8]; 6] = [
            b"12345",
            b"26-1234",
            &[6; 32],
            saved.response.seed().expose_secret(),
            blind.expose_secret(),
            saved.inputs[0].0.expose_bytes(),
        ];
        for secret in secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
        assert_eq!(Pending::list(folder.path()).unwrap(), [[7; 32]]);
        let again = Pending::load(folder.path(), &officer, &[7; 32]).unwrap();
        assert_eq!(again.encode().as_slice(), saved.encode().as_slice());
        let stranger = SigningKey::random(&mut SystemRng);
        assert!(matches!(Pending::load(folder.path(), &stranger, &[7; 32]), Err(SearchFault::File(_))));
        Pending::remove(folder.path(), &[7; 32]).unwrap();
        assert!(Pending::load(folder.path(), &officer, &[7; 32]).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_torn_file_is_refused_at_every_length_and_bit() {
        let folder = tempfile::tempdir().unwrap();
        let officer = SigningKey::random(&mut SystemRng);
        pending().save(folder.path(), &officer, &mut SystemRng).unwrap();
        let file = path(folder.path(), &[7; 32]);
        let good = std::fs::read(&file).unwrap();
        for length in [0, 11, 12, 40, good.len() - 1] {
            std::fs::write(&file, &good[..length]).unwrap();
            assert!(Pending::load(folder.path(), &officer, &[7; 32]).is_err());
        }
        let mut flipped = good;
        flipped[20] ^= 1;
        std::fs::write(&file, &flipped).unwrap();
        assert!(Pending::load(folder.path(), &officer, &[7; 32]).is_err());
        for length in 0..40 {
            assert!(Pending::decode(&pending().encode()[..length], [7; 32]).is_none());
        }
    }
}

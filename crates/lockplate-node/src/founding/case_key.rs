//! The key of a case: a records custodian's, to which held reads are sealed. The private half stays with the custodian; the public half is a
//! small file with a name, handed to officers.

use std::path::Path;

use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey, PUBLIC_KEY_BYTES};
use lockplate_core::hold::case_key_id;
use lockplate_core::id::{b64url, from_b64url};
use lockplate_oprf::Secret;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::FoundingError;
use crate::settings::{create_secret_file, read_public_file, read_secret};

const SCHEMA: &str = "lockplate/case-key/1";
/// Characters of a name.
const NAME_CHARS_MAX: usize = 100;

/// The public half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseKeyCard {
    schema: String,
    /// Whose it is, for people.
    pub name: String,
    key: String,
}

impl CaseKeyCard {
    /// Reads a card.
    ///
    /// # Errors
    /// `KeyFile` if there is none, `Refused` if it is not one.
    pub fn read(path: &Path) -> Result<Self, FoundingError> {
        let bytes = read_public_file(path)?;
        let card: Self = serde_json::from_slice(&bytes).map_err(|_json| FoundingError::Refused("not a case key"))?;
        let fits = card.schema == SCHEMA && is_name(&card.name) && card.public_key().is_some();
        if fits { Ok(card) } else { Err(FoundingError::Refused("not a case key")) }
    }

    /// The key.
    #[must_use]
    pub fn public_key(&self) -> Option<HpkePublicKey> {
        from_b64url::<PUBLIC_KEY_BYTES>(&self.key).and_then(|bytes| HpkePublicKey::from_slice(&bytes))
    }

    /// The fingerprint by which two people compare it.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        Some(hex::encode(case_key_id(&self.public_key()?)))
    }
}

fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX && !name.chars().any(char::is_control)
}

/// Makes a case key in a new file (mode 0600) and gives its public half.
///
/// # Errors
/// `Name` for a name that cannot be shown; `KeyFile` if there is a file already, or it cannot be made.
pub fn make_case_key(path: &Path, name: &str, rng: &mut impl CryptoRng) -> Result<CaseKeyCard, FoundingError> {
    if !is_name(name) {
        return Err(FoundingError::Name("the name of a case key is empty, too long, or not text"));
    }
    let secret = HpkeSecretKey::random(rng);
    let line = Zeroizing::new(format!("{}\n", hex::encode(secret.seed().expose_secret())));
    create_secret_file(path, line.as_bytes())?;
    let key = secret.public_key()?;
    Ok(CaseKeyCard { schema: SCHEMA.to_owned(), name: name.to_owned(), key: b64url(key.as_bytes()) })
}

/// The private half.
///
/// # Errors
/// `KeyFile`: missing, open to others, or no such key.
pub fn read_case_key(path: &Path) -> Result<HpkeSecretKey, FoundingError> {
    Ok(HpkeSecretKey::from_seed(Secret::new(*read_secret(path)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;

    #[test]
    fn a_key_is_made_once_and_its_card_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (key, card) = (folder.path().join("case.key"), folder.path().join("case.key.pub"));
        let made = make_case_key(&key, "Records, Millbrook", &mut SystemRng).unwrap();
        std::fs::write(&card, serde_json::to_vec(&made).unwrap()).unwrap();
        let read = CaseKeyCard::read(&card).unwrap();
        assert_eq!(read, made);
        assert_eq!(read.public_key(), Some(read_case_key(&key).unwrap().public_key().unwrap()));
        assert!(make_case_key(&key, "Records", &mut SystemRng).is_err(), "a key is never overwritten");
        for name in ["", " ", "a\nb", &"x".repeat(101)] {
            assert!(make_case_key(&folder.path().join("other.key"), name, &mut SystemRng).is_err());
        }
        let text = std::fs::read_to_string(&card).unwrap();
        for bad in [text.replace("case-key/1", "case-key/2"), text.replace("\"key\":\"", "\"key\":\"AA"), "{}".into()] {
            std::fs::write(&card, bad).unwrap();
            assert!(CaseKeyCard::read(&card).is_err());
        }
    }
}

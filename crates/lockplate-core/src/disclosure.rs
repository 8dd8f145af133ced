//! Salted digests (RFC 9901, `log.md` section 6.1): how a public leaf commits to a private value. The digest is in the leaf for
//! ever; the disclosure, which opens it, goes to those who may see the value; destroying the secret of the salts closes every
//! digest for ever. No value may be printed here.

use hkdf::Hkdf;
use lockplate_oprf::Secret;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Result};
use crate::id::{b64url, from_b64url};
use crate::json::{Field as _, Json, parse_canonical};

/// Digests in `_sd` of a `request` leaf, always.
pub const SD_REQUEST: usize = 16;
/// Digests in `_sd` of every other leaf that has one, always.
pub const SD_OTHER: usize = 4;
/// Bytes of a disclosure's text; 64 plate elements of 82 + 32 bytes in base64 twice are the longest.
pub const DISCLOSURE_BYTES_MAX: usize = 32 * 1024;

/// The disclosure of one private field of a request. `salts` is s_r: 32 random bytes, made by the requester and sent in the
/// Openings, from which every salt of the request comes, so that all keepers' digests agree. s_r opens every field.
///
/// # Errors
/// `Invalid` if the value is outside the alphabet of canonical JSON or too long.
pub fn disclose(salts: &Secret<32>, name: &str, value: &Json) -> Result<Disclosure> {
    Disclosure::new(salt(salts, name)?, name, value)
}

/// The salt of one field, 16 bytes. Opens that field and no other.
fn salt(salts: &Secret<32>, name: &str) -> Result<[u8; 16]> {
    let mut salt = [0; 16];
    Hkdf::<Sha256>::new(None, salts.expose_secret())
        .expand_multi_info(&[b"LPv1 sd ", name.as_bytes()], &mut salt)
        .ok()
        .ok_or(Error::internal("16 bytes are within the bound of hkdf"))?;
    Ok(salt)
}

/// The opening of one digest: salt, name and value. Secret until it is served.
#[derive(Clone, PartialEq, Eq)]
pub struct Disclosure {
    text: String,
    name: String,
    value: Json,
}

impl core::fmt::Debug for Disclosure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Disclosure(..)")
    }
}

impl Drop for Disclosure {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl Disclosure {
    /// A disclosure under a salt of its own (a plate of a court paper, made before there is a request).
    ///
    /// # Errors
    /// `Invalid` if the value is outside the alphabet of canonical JSON or too long.
    pub fn new(salt: [u8; 16], name: &str, value: &Json) -> Result<Self> {
        let triple = Json::Array(vec![Json::bytes(&salt), Json::text(name), value.clone()]);
        let text = b64url(&triple.to_canonical_bytes()?);
        if text.len() > DISCLOSURE_BYTES_MAX {
            return Err(Error::invalid("a disclosed value is too long"));
        }
        Ok(Self { text, name: name.to_owned(), value: value.clone() })
    }

    /// Reads a disclosure in the one form this project writes: 16 bytes of salt, no spaces, canonical value.
    ///
    /// # Errors
    /// `Malformed` for everything else.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || Error::malformed("not a disclosure");
        if text.len() > DISCLOSURE_BYTES_MAX {
            return Err(bad());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().ok_or_else(bad)?;
        let [salt, name, value] =
            <[Json; 3]>::try_from(Vec::<Json>::from_json(parse_canonical(&bytes)?)?).ok().ok_or_else(bad)?;
        from_b64url::<16>(&String::from_json(salt)?).ok_or_else(bad)?;
        Ok(Self { text: text.to_owned(), name: String::from_json(name)?, value })
    }

    /// The text that travels.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        &self.text
    }

    /// Name of the field. A digest opened under another name proves nothing: compare it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    #[must_use]
    pub const fn expose_value(&self) -> &Json {
        &self.value
    }

    /// What stands in the leaf or paper.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_of(&self.text)
    }
}

/// SHA-256 over the ASCII text of a disclosure (RFC 9901 section 4.2.3).
#[must_use]
pub fn digest_of(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// `_sd`: the digests filled up to `slots` with random ones and sorted, so that neither number nor order tells which fields
/// there are.
///
/// # Errors
/// `Internal` if there are more digests than slots.
pub fn fill_digests(digests: &[[u8; 32]], slots: usize, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Vec<[u8; 32]>> {
    if digests.len() > slots {
        return Err(Error::internal("more salted fields than a leaf has room for"));
    }
    let mut filled = digests.to_vec();
    filled.resize_with(slots, || {
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        random
    });
    filled.sort_unstable();
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    #[test]
    fn known_answer_of_rfc_9901() {
        let text = "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0";
        assert_eq!(b64url(&digest_of(text)), "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0");
        assert!(Disclosure::parse(text).is_err(), "it has spaces, which this project never writes");
    }

    #[test]
    fn known_answer_of_the_design() {
        let secret = Secret::new(core::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(b64url(&salt(&secret, "case_number").unwrap()), "XRfBOefXVF4KtSQaz7Xj-g");
        let disclosure = disclose(&secret, "case_number", &Json::text("26-1234")).unwrap();
        assert_eq!(b64url(&disclosure.digest()), "DQqm-yzj-stHrVgVORTDciFXPpWn5s_88CO4uStUkQM");
        assert_eq!(Disclosure::parse(disclosure.expose_text()).unwrap(), disclosure);
    }

    #[test]
    fn known_answer_of_the_courts_sample() {
        // ../shared/verifiers/authorisation/sample.disclosure and the plate digest of sample.auth.
        let text = "WyJZMGVhMXBvSkN5V0NkLXlQdW0tWlFRIiwicGxhdGUiLHsic3RhdGUiOiJVUy1DVCIsInRleHQiOiJBQjEyMzQ1In1d";
        let disclosure = Disclosure::parse(text).unwrap();
        assert_eq!(b64url(&disclosure.digest()), "rRUGzR3w6d7qoeymvghLc4ofx4tybCDd-3mWAEsSd9s");
        assert_eq!(disclosure.name(), "plate");
        assert_eq!(
            *disclosure.expose_value(),
            Json::object([("state", Json::text("US-CT")), ("text", Json::text("AB12345"))])
        );
        assert_eq!(format!("{disclosure:?}"), "Disclosure(..)");
    }

    #[test]
    fn other_names_and_secrets_give_other_digests() {
        let secret = Secret::new([1; 32]);
        let digest = |secret: &Secret<32>, name| disclose(secret, name, &Json::text("x")).unwrap().digest();
        assert_ne!(digest(&secret, "facts"), digest(&secret, "offence"));
        assert_ne!(digest(&secret, "facts"), digest(&Secret::new([2; 32]), "facts"));
        assert_eq!(digest(&secret, "facts"), digest(&secret, "facts"));
    }

    #[test]
    fn digests_are_filled_to_their_number_and_sorted() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let filled = fill_digests(&[[200; 32], [3; 32]], SD_OTHER, &mut rng).unwrap();
        assert_eq!(filled.len(), SD_OTHER);
        assert!(filled.is_sorted() && filled.contains(&[200; 32]) && filled.contains(&[3; 32]));
        assert_ne!(filled, fill_digests(&[[200; 32], [3; 32]], SD_OTHER, &mut rng).unwrap(), "the filling is fresh");
        assert!(fill_digests(&[[0; 32]; 4], SD_OTHER, &mut rng).is_ok());
        assert!(fill_digests(&[[0; 32]; 5], SD_OTHER, &mut rng).is_err());
    }

    #[test]
    fn a_disclosure_ends_at_its_bound() {
        let fits = Json::Str("x".repeat(24_536));
        let text = Disclosure::new([0; 16], "n", &fits).unwrap();
        assert!(text.expose_text().len() <= DISCLOSURE_BYTES_MAX);
        assert!(Disclosure::new([0; 16], "n", &Json::Str("x".repeat(24_600))).is_err());
    }

    proptest! {
        #[test]
        fn parsing_is_total(text in "[A-Za-z0-9_-]{0,80}|.{0,20}") {
            if let Ok(disclosure) = Disclosure::parse(&text) {
                prop_assert_eq!(disclosure.expose_text(), text);
            }
        }

        #[test]
        fn every_disclosure_comes_back(name in "[a-z_]{1,12}", value in "[ -~]{0,40}", seed in any::<[u8; 32]>()) {
            let disclosure = disclose(&Secret::new(seed), &name, &Json::Str(value)).unwrap();
            prop_assert_eq!(Disclosure::parse(disclosure.expose_text()).unwrap(), disclosure);
        }
    }
}

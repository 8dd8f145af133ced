//! Passkeys (`authorisation.md` section 1): who signed which 32 bytes with a WebAuthn authenticator. Pure: the challenge is what the
//! caller wants signed, so there is no state between question and answer, and what was signed is bound byte for byte.
//!
//! It never decides whom to trust, never asks for an attestation, and never looks at the signature counter: a reused assertion is
//! stopped by what its challenge is about. The verdicts go to [`crate::signed`] and [`crate::person`].
//!
//! In scope (W3C Web Authentication Level 3): the COSE keys of ES256 and Ed25519, one assertion (section 7.2), the client and
//! authenticator data of a registration without attestation (section 7.1). Out of scope: everything that a browser does.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use lockplate_log::note::{Origin, SignatureType, VerifierKey};
use minicbor::data::Type;
use p256::ecdsa::signature::Verifier as _;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::id::b64url;
use crate::wire::{Reader, Writer, th};

/// What follows the type byte 0xff of a verifier key that is a passkey; then comes the COSE key.
pub const NOTE_IDENTIFIER: &[u8] = b"lockplate/webauthn-v1";
/// The type byte of such a key.
pub const NOTE_TYPE: u8 = 0xff;
/// Bytes of an assertion, its three lengths included.
pub const ASSERTION_BYTES_MAX: usize = 2_048;
/// Origins of one relying party.
pub const ORIGINS_MAX: usize = 8;
/// Bytes of an RP ID (a DNS name), and of an origin.
pub const ORIGIN_BYTES_MAX: usize = 300;
/// Bytes of a credential's id (WebAuthn section 5.8.3: at most 1,023).
pub const CREDENTIAL_ID_BYTES_MAX: usize = 1_023;

/// RP ID hash, flags, counter.
const AUTHENTICATOR_HEAD: usize = 37;
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

/// kty EC2, alg ES256, crv P-256, x follows: the one canonical spelling (CTAP2 canonical CBOR) before the coordinates.
const ES256_HEAD: [u8; 10] = [0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
/// Between x and y.
const ES256_MIDDLE: [u8; 3] = [0x22, 0x58, 0x20];
/// kty OKP, alg EdDSA, crv Ed25519, x follows.
const EDDSA_HEAD: [u8; 10] = [0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20];

#[derive(Clone, PartialEq, Eq)]
enum Algorithm {
    Es256(p256::ecdsa::VerifyingKey),
    EdDsa(ed25519_dalek::VerifyingKey),
}

/// The public half of a passkey in its one canonical spelling: 77 bytes for ES256, 42 for Ed25519.
#[derive(Clone, PartialEq, Eq)]
pub struct CoseKey {
    bytes: Vec<u8>,
    algorithm: Algorithm,
}

impl core::fmt::Debug for CoseKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "CoseKey({})", b64url(&self.id()))
    }
}

impl CoseKey {
    /// Reads a whole COSE key (RFC 9052, RFC 9053).
    ///
    /// # Errors
    /// `Malformed` for any other algorithm (RSA), curve, spelling or length, or coordinates that are no point of the curve.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (key, rest) = Self::split(bytes)?;
        if rest.is_empty() { Ok(key) } else { Err(Error::malformed("a passkey's key has trailing bytes")) }
    }

    /// The key at the beginning of `bytes`, and what follows. Two spellings of one key would be two ids, so there is one.
    fn split(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let bad = || Error::malformed("not the key of a passkey (ES256 or Ed25519)");
        let mut r = Reader::new(bytes);
        let head: [u8; 10] = r.array()?;
        let x: [u8; 32] = r.array()?;
        if head == EDDSA_HEAD {
            let point = ed25519_dalek::VerifyingKey::from_bytes(&x).map_err(|_not_a_point| bad())?;
            // Under a key of small order one signature fits many texts; a point spelt in a second way would be a second key.
            if point.is_weak() || point.to_edwards().compress().as_bytes() != &x {
                return Err(bad());
            }
            let spelt = [head.as_slice(), &x].concat();
            return Ok((Self { bytes: spelt, algorithm: Algorithm::EdDsa(point) }, r.rest()));
        }
        let middle: [u8; 3] = r.array()?;
        let y: [u8; 32] = r.array()?;
        if head != ES256_HEAD || middle != ES256_MIDDLE {
            return Err(bad());
        }
        let sec1 = [[0x04].as_slice(), &x, &y].concat();
        let point = p256::ecdsa::VerifyingKey::from_sec1_bytes(&sec1).map_err(|_not_a_point| bad())?;
        let spelt = [head.as_slice(), &x, &middle, &y].concat();
        Ok((Self { bytes: spelt, algorithm: Algorithm::Es256(point) }, r.rest()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// TH("passkey", COSE key): the id under which charter and directory name it.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        th("passkey", &[&self.bytes])
    }

    /// The verifier key under which a trust list names it: type 0xff, our identifier, the COSE key (LPv1 section 11.2).
    ///
    /// # Errors
    /// `Malformed` if `name` cannot be the name of a key.
    pub fn verifier_key(&self, name: &str) -> Result<VerifierKey> {
        let public = [NOTE_IDENTIFIER, &self.bytes].concat();
        let key = Origin::parse(name).and_then(|name| VerifierKey::new(name, SignatureType::Other(NOTE_TYPE), &public));
        key.ok().ok_or(Error::malformed("this cannot be the name of a key"))
    }

    /// The key of a verifier key of type 0xff with our identifier; none for verifier keys of other kinds.
    ///
    /// # Errors
    /// As [`CoseKey::parse`].
    pub(crate) fn of_verifier_key(key: &VerifierKey) -> Option<Result<Self>> {
        if key.signature_type() != SignatureType::Other(NOTE_TYPE) {
            return None;
        }
        key.public_key().strip_prefix(NOTE_IDENTIFIER).map(Self::parse)
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        let refused = || Error::invalid("a passkey's signature does not hold");
        match &self.algorithm {
            Algorithm::Es256(key) => {
                // DER, both numbers from 1 to the order less one; s may be high (WebAuthn does not ask for a low one).
                let signature = p256::ecdsa::Signature::from_der(signature).map_err(|_form| refused())?;
                key.verify(message, &signature).map_err(|_mismatch| refused())
            }
            Algorithm::EdDsa(key) => {
                let signature = <&[u8; 64]>::try_from(signature).map_err(|_length| refused())?;
                key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature))
                    .map_err(|_mismatch| refused())
            }
        }
    }
}

/// The site for which a passkey signs: its RP ID and the exact origins of its pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    rp_id: String,
    origins: Vec<String>,
}

impl RelyingParty {
    /// An RP ID (a DNS name without port) and 1 to 8 origins (scheme, host and, where not the default one, port). Origins are
    /// compared byte for byte: no wildcard, no sub-domain.
    ///
    /// # Errors
    /// `Malformed` if one is empty or too long, there is no origin or too many, or an origin has a path.
    pub fn new(rp_id: &str, origins: &[String]) -> Result<Self> {
        let fits = |text: &str| !text.is_empty() && text.len() <= ORIGIN_BYTES_MAX && text.is_ascii();
        let is_origin = |origin: &String| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            fits(origin) && host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
        };
        if !fits(rp_id) || rp_id.contains([':', '/']) {
            return Err(Error::malformed("not the name of a site"));
        }
        if origins.is_empty() || origins.len() > ORIGINS_MAX || !origins.iter().all(is_origin) {
            return Err(Error::malformed("not the origins of a site"));
        }
        Ok(Self { rp_id: rp_id.to_owned(), origins: origins.to_vec() })
    }

    /// The RP ID.
    #[must_use]
    pub fn rp_id(&self) -> &str {
        &self.rp_id
    }

    /// The origins.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// What the browser says of a ceremony: its type, challenge and place.
    fn check_client(&self, client: &[u8], kind: &str, challenge: &[u8; 32]) -> Result<()> {
        let refused = |what: &'static str| Error::invalid(what);
        let data: serde_json::Value =
            serde_json::from_slice(client).map_err(|_form| Error::malformed("a passkey's client data is not json"))?;
        let text = |name: &str| data.get(name).and_then(serde_json::Value::as_str);
        if text("type") != Some(kind) {
            return Err(refused("a passkey was used for another ceremony"));
        }
        if text("challenge") != Some(b64url(challenge).as_str()) {
            return Err(refused("a passkey signed another challenge"));
        }
        if !text("origin").is_some_and(|origin| self.origins.iter().any(|own| own == origin)) {
            return Err(refused("a passkey was used on another page"));
        }
        match data.get("crossOrigin") {
            None | Some(serde_json::Value::Bool(false)) => Ok(()),
            Some(_) => Err(refused("a passkey was used inside the page of another site")),
        }
    }

    /// What the authenticator says: for which site, and that a person was there and was verified. Returns flags and what follows
    /// the head.
    fn check_authenticator<'a>(&self, data: &'a [u8]) -> Result<(u8, &'a [u8])> {
        let (head, rest) = data
            .split_at_checked(AUTHENTICATOR_HEAD)
            .ok_or(Error::malformed("a passkey's authenticator data is cut short"))?;
        let mut r = Reader::new(head);
        let site: [u8; 32] = r.array()?;
        let flags = r.u8()?;
        if site != <[u8; 32]>::from(Sha256::digest(self.rp_id.as_bytes())) {
            return Err(Error::invalid("a passkey was used for another site"));
        }
        if flags & USER_PRESENT == 0 || flags & USER_VERIFIED == 0 {
            return Err(Error::invalid("a passkey was used without verifying the person"));
        }
        Ok((flags, rest))
    }
}

/// One answer of an authenticator to `navigator.credentials.get`, as it came. Proves nothing before it is verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Assertion {
    authenticator_data: Vec<u8>,
    client_data: Vec<u8>,
    signature: Vec<u8>,
}

impl core::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Assertion(..)")
    }
}

impl Assertion {
    /// From the three values that the browser hands out.
    ///
    /// # Errors
    /// `Malformed` if one is empty, or they are over [`ASSERTION_BYTES_MAX`] together.
    pub fn new(authenticator_data: &[u8], client_data: &[u8], signature: &[u8]) -> Result<Self> {
        let assertion = Self {
            authenticator_data: authenticator_data.to_vec(),
            client_data: client_data.to_vec(),
            signature: signature.to_vec(),
        };
        let parts = [authenticator_data, client_data, signature];
        let total = parts.iter().fold(0_usize, |total, part| total.saturating_add(part.len()).saturating_add(2));
        if parts.iter().any(|part| part.is_empty()) || total > ASSERTION_BYTES_MAX {
            return Err(Error::malformed("a passkey's answer is empty or too long"));
        }
        Ok(assertion)
    }

    /// Reads `lv16(authenticatorData) || lv16(clientDataJSON) || lv16(signature)`.
    ///
    /// # Errors
    /// `Malformed` if it is cut short, too long, or goes on.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > ASSERTION_BYTES_MAX {
            return Err(Error::malformed("a passkey's answer is empty or too long"));
        }
        let mut r = Reader::new(bytes);
        let (authenticator_data, client_data, signature) = (r.lv16()?, r.lv16()?, r.lv16()?);
        r.end()?;
        Self::new(authenticator_data, client_data, signature)
    }

    /// What [`Assertion::from_bytes`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Writer::new().lv16(&self.authenticator_data).lv16(&self.client_data).lv16(&self.signature).finish()
    }
}

/// A passkey that somebody trusts, with the site for which it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its public half.
    pub key: CoseKey,
    /// Its site.
    pub site: RelyingParty,
}

impl Passkey {
    /// Checks that this passkey signed exactly `challenge` on one of its pages: ceremony, challenge, origin, no foreign frame, RP
    /// ID, presence and verification of the person, signature, in this order.
    ///
    /// # Errors
    /// `Malformed` for forms that cannot be read, else `Invalid`, each with the step that does not hold.
    pub fn verify(&self, challenge: &[u8; 32], assertion: &Assertion) -> Result<()> {
        self.site.check_client(&assertion.client_data, "webauthn.get", challenge)?;
        let (flags, rest) = self.site.check_authenticator(&assertion.authenticator_data)?;
        if flags & ATTESTED != 0 {
            return Err(Error::malformed("a passkey's answer holds a key, which only a registration does"));
        }
        check_extensions(flags, rest)?;
        let client_hash = Sha256::digest(&assertion.client_data);
        let message = [assertion.authenticator_data.as_slice(), &client_hash].concat();
        self.key.verify(&message, &assertion.signature)
    }
}

/// A passkey that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The id by which a browser finds it again.
    pub credential_id: Vec<u8>,
    /// Its public half.
    pub key: CoseKey,
}

/// Reads the answer to `navigator.credentials.create` without attestation: authenticator data and client data. Nothing in it is
/// signed; whoever takes the key on must ask for an assertion over a fresh challenge at once ([`Passkey::verify`]).
///
/// # Errors
/// `Malformed` for forms that cannot be read and for keys of other kinds; `Invalid` for another ceremony, challenge, page or
/// site, or if the person was not verified.
pub fn read_registration(
    site: &RelyingParty,
    challenge: &[u8; 32],
    authenticator_data: &[u8],
    client_data: &[u8],
) -> Result<Registered> {
    if authenticator_data.len().saturating_add(client_data.len()) > ASSERTION_BYTES_MAX.saturating_mul(2) {
        return Err(Error::malformed("a passkey's answer is empty or too long"));
    }
    site.check_client(client_data, "webauthn.create", challenge)?;
    let (flags, rest) = site.check_authenticator(authenticator_data)?;
    if flags & ATTESTED == 0 {
        return Err(Error::malformed("a registration holds no key"));
    }
    let mut r = Reader::new(rest);
    let _model: [u8; 16] = r.array()?;
    let credential_id = r.lv16()?;
    if credential_id.is_empty() || credential_id.len() > CREDENTIAL_ID_BYTES_MAX {
        return Err(Error::malformed("a passkey's id is empty or too long"));
    }
    let (key, rest) = CoseKey::split(r.rest())?;
    check_extensions(flags, rest)?;
    Ok(Registered { credential_id: credential_id.to_vec(), key })
}

/// What follows is one CBOR map if the flag says so, and nothing otherwise. What extensions say is not looked at.
fn check_extensions(flags: u8, rest: &[u8]) -> Result<()> {
    let bad = || Error::malformed("a passkey's authenticator data has bytes that its flags do not announce");
    if flags & EXTENSIONS == 0 {
        return if rest.is_empty() { Ok(()) } else { Err(bad()) };
    }
    let mut decoder = minicbor::Decoder::new(rest);
    if decoder.datatype().map_err(|_form| bad())? != Type::Map {
        return Err(bad());
    }
    decoder.skip().map_err(|_form| bad())?;
    if decoder.position() == rest.len() { Ok(()) } else { Err(bad()) }
}

#[cfg(test)]
pub(crate) mod tests;

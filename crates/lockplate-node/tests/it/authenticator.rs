//! An authenticator and a browser in software: answers a challenge as they do, and lies where a test says so.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockplate_core::passkey::{Assertion, CoseKey, Passkey, RelyingParty};
use lockplate_node::passkeys::EnrolledPasskey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256};

pub(crate) const RP_ID: &str = "clerk.millbrook.example";
pub(crate) const ORIGIN: &str = "https://keeper.clerk.millbrook.example";

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) struct Authenticator {
    key: SigningKey,
    pub(crate) credential: Vec<u8>,
}

impl Authenticator {
    pub(crate) fn new(seed: u8) -> Self {
        Self { key: SigningKey::from_slice(&[seed; 32]).unwrap(), credential: vec![seed; 16] }
    }

    fn cose(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let head = hex::decode("a5010203262001215820").unwrap();
        [&head[..], point.x().unwrap(), &[0x22, 0x58, 0x20], point.y().unwrap()].concat()
    }

    pub(crate) fn key_id(&self) -> [u8; 32] {
        CoseKey::parse(&self.cose()).unwrap().id()
    }

    /// Its public half, as `keeper enrol` writes it.
    pub(crate) fn enrolled(&self, name: &str) -> EnrolledPasskey {
        let site = RelyingParty::new(RP_ID, &[ORIGIN.to_owned()]).unwrap();
        let passkey = Passkey { key: CoseKey::parse(&self.cose()).unwrap(), site };
        EnrolledPasskey { name: name.to_owned(), credential: self.credential.clone(), passkey }
    }

    fn client_data(kind: &str, challenge: &str, origin: &str) -> Vec<u8> {
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#).into_bytes()
    }

    /// The assertion over a challenge (base64url), base64url.
    pub(crate) fn get(&self, challenge: &str, rp_id: &str, origin: &str) -> String {
        let site: [u8; 32] = Sha256::digest(rp_id.as_bytes()).into();
        let authenticator = [&site[..], &[0x05, 0, 0, 0, 1]].concat();
        let client = Self::client_data("webauthn.get", challenge, origin);
        let message = [&authenticator[..], &Sha256::digest(&client)].concat();
        let signature: Signature = self.key.sign(&message);
        let assertion = Assertion::new(&authenticator, &client, signature.to_der().as_bytes()).unwrap();
        b64(&assertion.to_bytes())
    }

    /// On the keeper's own page.
    pub(crate) fn sign(&self, challenge: &str) -> String {
        self.get(challenge, RP_ID, ORIGIN)
    }

    /// Authenticator data and client data of a registration, base64url.
    pub(crate) fn create(&self, challenge: &str, rp_id: &str, origin: &str) -> (String, String) {
        let site: [u8; 32] = Sha256::digest(rp_id.as_bytes()).into();
        let length = u16::try_from(self.credential.len()).unwrap().to_be_bytes();
        let data = [&site[..], &[0x45, 0, 0, 0, 0], &[0; 16], &length, &self.credential, &self.cose()].concat();
        (b64(&data), b64(&Self::client_data("webauthn.create", challenge, origin)))
    }
}

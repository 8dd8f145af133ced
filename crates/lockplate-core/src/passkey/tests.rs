#![expect(clippy::arithmetic_side_effects, reason = "tests count on small numbers of their own")]

use p256::ecdsa::signature::Signer as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

pub(crate) const RP_ID: &str = "clerk.millbrook.example";
pub(crate) const ORIGIN: &str = "https://keeper.clerk.millbrook.example";

enum Secret {
    Es256(p256::ecdsa::SigningKey),
    EdDsa(ed25519_dalek::SigningKey),
}

/// An authenticator in software: signs whatever it is told, so that each lie can be told alone.
pub(crate) struct SoftKey(Secret);

/// What an authenticator and a browser say; each field can be made wrong alone.
pub(crate) struct Says {
    pub(crate) kind: &'static str,
    pub(crate) challenge: String,
    pub(crate) origin: String,
    pub(crate) cross_origin: Option<Value>,
    pub(crate) rp_id: String,
    pub(crate) flags: u8,
    pub(crate) tail: Vec<u8>,
}

impl Says {
    pub(crate) fn truth(challenge: &[u8; 32]) -> Self {
        Self {
            kind: "webauthn.get",
            challenge: b64url(challenge),
            origin: ORIGIN.to_owned(),
            cross_origin: Some(json!(false)),
            rp_id: RP_ID.to_owned(),
            flags: USER_PRESENT | USER_VERIFIED,
            tail: Vec::new(),
        }
    }

    pub(crate) fn authenticator_data(&self) -> Vec<u8> {
        let site: [u8; 32] = Sha256::digest(self.rp_id.as_bytes()).into();
        [&site[..], &[self.flags], &[0, 0, 0, 9], &self.tail].concat()
    }

    pub(crate) fn client_data(&self) -> Vec<u8> {
        // In the order in which browsers write it (WebAuthn section 5.8.1.1).
        let cross = self.cross_origin.as_ref().map_or_else(String::new, |cross| format!(",\"crossOrigin\":{cross}"));
        let (kind, challenge, origin) = (json!(self.kind), json!(self.challenge), json!(self.origin));
        format!("{{\"type\":{kind},\"challenge\":{challenge},\"origin\":{origin}{cross}}}").into_bytes()
    }
}

impl Assertion {
    /// The same under another signature.
    pub(crate) fn with_signature(self, signature: &[u8]) -> Self {
        Self { signature: signature.to_vec(), ..self }
    }

    /// The numbers r and s of an ES256 signature.
    pub(crate) fn numbers(&self) -> ([u8; 32], [u8; 32]) {
        let (r, s) = p256::ecdsa::Signature::from_der(&self.signature).unwrap().split_bytes();
        (r.into(), s.into())
    }
}

impl SoftKey {
    pub(crate) fn es256(seed: u8) -> Self {
        Self(Secret::Es256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()))
    }

    pub(crate) fn eddsa(seed: u8) -> Self {
        Self(Secret::EdDsa(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])))
    }

    pub(crate) fn cose(&self) -> Vec<u8> {
        match &self.0 {
            Secret::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = (point.x().unwrap(), point.y().unwrap());
                [&ES256_HEAD[..], x, &ES256_MIDDLE, y].concat()
            }
            Secret::EdDsa(key) => [&EDDSA_HEAD[..], key.verifying_key().as_bytes()].concat(),
        }
    }

    pub(crate) fn passkey(&self) -> Passkey {
        let site = RelyingParty::new(RP_ID, &[ORIGIN.to_owned()]).unwrap();
        Passkey { key: CoseKey::parse(&self.cose()).unwrap(), site }
    }

    pub(crate) fn answer(&self, says: &Says) -> Assertion {
        let (authenticator, client) = (says.authenticator_data(), says.client_data());
        let message = [&authenticator[..], &Sha256::digest(&client)].concat();
        let signature = match &self.0 {
            Secret::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(&message);
                signature.to_der().as_bytes().to_vec()
            }
            Secret::EdDsa(key) => ed25519_dalek::Signer::sign(key, &message).to_vec(),
        };
        Assertion::new(&authenticator, &client, &signature).unwrap()
    }

    pub(crate) fn sign(&self, challenge: &[u8; 32]) -> Assertion {
        self.answer(&Says::truth(challenge))
    }
}

const CHALLENGE: [u8; 32] = [7; 32];

fn with(change: impl FnOnce(&mut Says)) -> Result<()> {
    let key = SoftKey::es256(1);
    let mut says = Says::truth(&CHALLENGE);
    change(&mut says);
    key.passkey().verify(&CHALLENGE, &key.answer(&says))
}

#[test]
fn both_algorithms_sign_the_challenge_and_nothing_else() {
    for key in [SoftKey::es256(1), SoftKey::eddsa(2)] {
        let (passkey, assertion) = (key.passkey(), key.sign(&CHALLENGE));
        passkey.verify(&CHALLENGE, &assertion).unwrap();
        assert_eq!(Assertion::from_bytes(&assertion.to_bytes()).unwrap(), assertion);
        assert!(passkey.verify(&[8; 32], &assertion).is_err(), "of another request");
        assert!(SoftKey::es256(3).passkey().verify(&CHALLENGE, &assertion).is_err(), "another key");
        assert_eq!(passkey.key.id(), th("passkey", &[&key.cose()]));
    }
    assert!(with(|says| says.cross_origin = None).is_ok(), "absent is not foreign");
}

#[test]
fn every_lie_of_a_browser_is_refused_alone() {
    assert!(with(|says| says.kind = "webauthn.create").is_err());
    assert!(with(|says| says.challenge.push('=')).is_err(), "padded");
    assert!(with(|says| says.challenge = b64url(&[9; 32])).is_err());
    for origin in [
        format!("{ORIGIN}:8443"),
        format!("{ORIGIN}/"),
        ORIGIN.replace("keeper", "other"),
        ORIGIN.replace("https", "http"),
        ORIGIN.replace("keeper.", "x.keeper."),
        ORIGIN.to_uppercase(),
    ] {
        assert!(with(|says| says.origin = origin).is_err());
    }
    for cross in [json!(true), json!("false"), Value::Null] {
        assert!(with(|says| says.cross_origin = Some(cross)).is_err());
    }
}

#[test]
fn every_lie_of_an_authenticator_is_refused_alone() {
    assert!(with(|says| says.rp_id = "millbrook.example".to_owned()).is_err());
    assert!(with(|says| says.flags = USER_VERIFIED).is_err(), "nobody was there");
    assert!(with(|says| says.flags = USER_PRESENT).is_err(), "nobody was verified");
    assert!(with(|says| says.flags |= ATTESTED).is_err(), "a key in an answer");
    assert!(with(|says| says.tail = vec![0]).is_err(), "bytes that no flag announces");
    let extended = |tail: Vec<u8>| {
        with(|says| {
            says.flags |= EXTENSIONS;
            says.tail = tail;
        })
    };
    assert!(extended(vec![0xa1, 0x61, b'x', 0xf5]).is_ok());
    for tail in [vec![], vec![0xf5], vec![0xa1, 0x61], vec![0xa0, 0xa0]] {
        assert!(extended(tail).is_err());
    }
    let key = SoftKey::es256(1);
    let good = key.sign(&CHALLENGE);
    for cut in 0..good.authenticator_data.len() {
        let short = Assertion { authenticator_data: good.authenticator_data[..cut].to_vec(), ..good.clone() };
        assert!(key.passkey().verify(&CHALLENGE, &short).is_err());
    }
}

#[test]
fn extension_data_of_64_kib_is_refused_before_it_is_read() {
    let good = SoftKey::es256(1).sign(&CHALLENGE);
    let rest = good.to_bytes().len() - good.authenticator_data.len();
    let of = |len: usize| Assertion::new(&vec![0; len], &good.client_data, &good.signature);
    assert!(of(ASSERTION_BYTES_MAX - rest).is_ok());
    assert!(of(ASSERTION_BYTES_MAX - rest + 1).is_err());
    assert!(of(65_536).is_err());
    assert!(Assertion::from_bytes(&vec![0; ASSERTION_BYTES_MAX + 1]).is_err());
    assert!(Assertion::new(b"", &good.client_data, &good.signature).is_err());
    let bytes = good.to_bytes();
    for cut in 0..bytes.len() {
        assert!(Assertion::from_bytes(&bytes[..cut]).is_err());
    }
    assert!(Assertion::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}

/// DER of two numbers, as an ECDSA signature is written.
pub(crate) fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let int = |number: &[u8]| {
        let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len() - 1);
        let mut number = number[first..].to_vec();
        if number[0] >= 0x80 {
            number.insert(0, 0);
        }
        [&[2, u8::try_from(number.len()).unwrap()], &number[..]].concat()
    };
    let body = [int(r), int(s)].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

/// The order of P-256 less a number.
pub(crate) fn order_less(number: &[u8; 32]) -> [u8; 32] {
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let mut rest = [0; 32];
    let mut borrow = 0_i16;
    for at in (0..32).rev() {
        let digit = i16::from(order[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(digit < 0);
        rest[at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    rest
}

#[test]
fn s_may_be_high_or_low_and_neither_number_zero_or_above_the_order() {
    let order = order_less(&[0; 32]);
    let key = SoftKey::es256(1);
    let good = key.sign(&CHALLENGE);
    let (r, s) = good.numbers();
    let other = order_less(&s);
    let check = |signature: Vec<u8>| key.passkey().verify(&CHALLENGE, &good.clone().with_signature(&signature));
    assert!(check(der(&r, &s)).is_ok());
    assert!(check(der(&r, &other)).is_ok(), "order - s is the other good one");
    for bad in [
        der(&[0; 32], &s),
        der(&r, &[0; 32]),
        der(&order, &s),
        der(&r, &order),
        der(&[0xff; 32], &s),
        [&r[..], &s].concat(),
        [&der(&r, &s)[..], &[0]].concat(),
        vec![0x30, 0],
    ] {
        assert!(check(bad).is_err());
    }
}

#[test]
fn keys_of_other_kinds_and_spellings_are_none() {
    let (es256, eddsa) = (SoftKey::es256(1).cose(), SoftKey::eddsa(1).cose());
    assert_eq!((es256.len(), eddsa.len()), (77, 42));
    let rsa = hex::decode(format!("a401030339010020590100{}2143010001", "c5".repeat(256))).unwrap();
    let mut off_curve = es256.clone();
    off_curve[76] ^= 1;
    let mut p384 = es256.clone();
    p384[6] = 2;
    let mut rs1 = es256.clone();
    rs1[4] = 0x38;
    // The same map with x in a longer length prefix: another spelling, so another id.
    let spelt = [&es256[..8], &[0x59, 0, 0x20], &es256[10..]].concat();
    let small = [&EDDSA_HEAD[..], &[1], &[0; 31]].concat();
    for bad in [rsa, off_curve, p384, rs1, spelt, small, es256[..76].to_vec(), [&eddsa[..], &[0]].concat(), vec![]] {
        assert!(CoseKey::parse(&bad).is_err());
    }
}

#[test]
fn a_site_is_a_name_and_exact_origins() {
    let origins = |count: usize| vec![ORIGIN.to_owned(); count];
    assert!(RelyingParty::new(RP_ID, &origins(ORIGINS_MAX)).is_ok());
    assert!(RelyingParty::new(RP_ID, &origins(ORIGINS_MAX + 1)).is_err());
    assert!(RelyingParty::new(RP_ID, &[]).is_err());
    let long = "a".repeat(ORIGIN_BYTES_MAX + 1);
    for rp_id in ["", "https://a.example", "a.example:8443", &long] {
        assert!(RelyingParty::new(rp_id, &origins(1)).is_err());
    }
    for origin in ["", "a.example", "https://", "https://a.example/", "android:apk-key-hash:x"] {
        assert!(RelyingParty::new(RP_ID, &[origin.to_owned()]).is_err());
    }
}

/// Attested credential data: model, id, key.
fn attested(id: &[u8], cose: &[u8]) -> Vec<u8> {
    [&[0; 16][..], &u16::try_from(id.len()).unwrap().to_be_bytes(), id, cose].concat()
}

fn registration(change: impl FnOnce(&mut Says)) -> Result<Registered> {
    let mut says = Says::truth(&CHALLENGE);
    says.kind = "webauthn.create";
    says.flags |= ATTESTED;
    says.tail = attested(&[5; 16], &SoftKey::es256(1).cose());
    change(&mut says);
    let site = SoftKey::es256(1).passkey().site;
    read_registration(&site, &CHALLENGE, &says.authenticator_data(), &says.client_data())
}

#[test]
fn a_registration_gives_its_key_or_nothing() {
    let made = registration(|_| ()).unwrap();
    assert_eq!((made.credential_id, made.key), (vec![5; 16], SoftKey::es256(1).passkey().key));
    let with_extensions = registration(|says| {
        says.flags |= EXTENSIONS;
        says.tail.extend([0xa1, 0x61, b'x', 0xf5]);
    });
    assert!(with_extensions.is_ok());
    assert!(registration(|says| says.kind = "webauthn.get").is_err());
    assert!(registration(|says| says.challenge = b64url(&[1; 32])).is_err());
    assert!(registration(|says| says.origin.push('x')).is_err());
    assert!(registration(|says| says.rp_id.push('x')).is_err());
    assert!(registration(|says| says.flags &= !USER_VERIFIED).is_err());
    assert!(registration(|says| says.flags &= !ATTESTED).is_err());
    assert!(registration(|says| says.tail.push(0)).is_err());
    assert!(registration(|says| says.tail.truncate(40)).is_err());
    assert!(registration(|says| says.tail = attested(&[], &SoftKey::es256(1).cose())).is_err());
    assert!(registration(|says| says.tail = attested(&[5; 1_023], &SoftKey::es256(1).cose())).is_ok());
    assert!(registration(|says| says.tail = attested(&[5; 1_024], &SoftKey::es256(1).cose())).is_err());
    assert!(registration(|says| says.tail = attested(&[5; 16], &[0xa4; 77])).is_err());
}

#[test]
fn a_verifier_key_of_our_identifier_is_a_passkey() {
    let of =
        |kind, public: &[u8]| VerifierKey::new(Origin::parse("court.example/judge").unwrap(), kind, public).unwrap();
    let cose = SoftKey::es256(1).cose();
    let ours = of(SignatureType::Other(NOTE_TYPE), &[NOTE_IDENTIFIER, &cose].concat());
    assert_eq!(CoseKey::of_verifier_key(&ours).unwrap().unwrap().as_bytes(), cose);
    let strange = of(SignatureType::Other(NOTE_TYPE), b"somebody/else-v1 ..");
    assert!(CoseKey::of_verifier_key(&strange).is_none());
    let broken = of(SignatureType::Other(NOTE_TYPE), &[NOTE_IDENTIFIER, b".."].concat());
    assert!(CoseKey::of_verifier_key(&broken).unwrap().is_err());
    let file = of(SignatureType::Ed25519, ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key().as_bytes());
    assert!(CoseKey::of_verifier_key(&file).is_none());
}

proptest! {
    #[test]
    fn reading_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..200, flip in 1_u8..) {
        drop(Assertion::from_bytes(&bytes));
        drop(CoseKey::parse(&bytes));
        let site = SoftKey::es256(1).passkey().site;
        drop(read_registration(&site, &CHALLENGE, &bytes, &bytes));
        let key = SoftKey::eddsa(1);
        let mut altered = key.sign(&CHALLENGE).to_bytes();
        let at = at % altered.len();
        altered[at] ^= flip;
        if let Ok(altered) = Assertion::from_bytes(&altered) {
            prop_assert!(key.passkey().verify(&CHALLENGE, &altered).is_err(), "byte {at}");
        }
    }
}

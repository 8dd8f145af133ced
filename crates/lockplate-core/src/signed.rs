//! Signed objects (`.auth` files, `authorisation.md` section 1): one line of canonical JSON as a signed note. This module never
//! decides whom to trust; it says who signed what, and the digest by which leaves cite it. Charter, directory, trust list,
//! declarations and court papers are all of this form.

use std::collections::BTreeMap;

use lockplate_log::note::{NoteSignature, NoteSigner, SignatureType, SignedNote, VerifierKey};

use crate::Timestamp;
use crate::directory::TrustEntry;
use crate::error::{Error, Result};
use crate::json::{Field, Fields, Json, json_object, parse_canonical};
use crate::passkey::{Assertion, CoseKey, Passkey, RelyingParty};
use crate::wire::th;

/// Bytes of a signed object, signatures included.
pub const OBJECT_BYTES_MAX: usize = crate::limits::CHARTER_BYTES_MAX;
/// Signature lines of a signed object.
pub const OBJECT_SIGNATURES_MAX: usize = 16;

/// `v` 1, the only version there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionOne;

impl Field for VersionOne {
    fn to_json(&self) -> Json {
        Json::Int(1)
    }

    fn from_json(value: Json) -> Result<Self> {
        if value == Json::Int(1) { Ok(Self) } else { Err(Error::malformed("an unknown version")) }
    }
}

/// A verifier key in its text form, `name+id+base64`.
impl Field for VerifierKey {
    fn to_json(&self) -> Json {
        Json::Str(self.to_string())
    }

    fn from_json(value: Json) -> Result<Self> {
        Self::parse(&String::from_json(value)?).ok().ok_or(Error::malformed("not a verifier key"))
    }
}

/// `""` is none.
impl Field for Option<VerifierKey> {
    fn to_json(&self) -> Json {
        self.as_ref().map_or_else(|| Json::text(""), Field::to_json)
    }

    fn from_json(value: Json) -> Result<Self> {
        if value == Json::text("") { Ok(None) } else { Field::from_json(value).map(Some) }
    }
}

json_object! {
    /// What every signed object carries besides its kind.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Header {
        /// Version.
        v: VersionOne,
        /// 16 random bytes: two equal papers differ.
        nonce: [u8; 16],
        /// When it was signed, by the signer's clock.
        issued: Timestamp,
        /// Name of the key that answers for it; it must be among the good signatures.
        issuer: String,
    }
}

/// A signed object as it came: verified by nobody yet. The bytes are kept verbatim, because the digest is over them.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedObject {
    note: SignedNote,
    value: Json,
}

impl core::fmt::Debug for SignedObject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SignedObject(..)")
    }
}

impl SignedObject {
    /// Reads a signed object of at most 256 KiB and 16 signatures.
    ///
    /// # Errors
    /// `Malformed` if it is not a signed note of exactly one line of canonical JSON, or over a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::parse_within(bytes, OBJECT_BYTES_MAX, OBJECT_SIGNATURES_MAX)
    }

    /// As [`SignedObject::parse`], under other limits (the charter is larger).
    pub(crate) fn parse_within(bytes: &[u8], bytes_max: usize, signatures_max: usize) -> Result<Self> {
        if bytes.len() > bytes_max {
            return Err(Error::malformed("the signed object is too long"));
        }
        let note = SignedNote::parse(bytes).ok().ok_or(Error::malformed("not a signed note"))?;
        if note.signatures().len() > signatures_max {
            return Err(Error::malformed("the signed object has too many signatures"));
        }
        let line = note.text().strip_suffix('\n').ok_or(Error::malformed("not a signed note"))?;
        // A second line has an LF in it, which no canonical JSON has.
        let value = parse_canonical(line.as_bytes())?;
        Ok(Self { note, value })
    }

    /// TH("authorisation", text with its LF): how requests and leaves name it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_of(self.note.text())
    }

    /// The signed line, its LF included.
    #[must_use]
    pub fn text(&self) -> &str {
        self.note.text()
    }

    /// The object's fields. Trusted by nobody before [`SignedObject::verify`].
    ///
    /// # Errors
    /// `Malformed` if it is not an object.
    pub fn fields(&self) -> Result<Fields> {
        Fields::of(self.value.clone())
    }

    /// The object as a `T`, all its fields taken.
    ///
    /// # Errors
    /// `Malformed` if it is not exactly a `T`.
    pub fn read<T: Field>(&self) -> Result<T> {
        T::from_json(self.value.clone())
    }

    /// The keys of `known` whose Ed25519 signature over the text is good, at least one. Lines of unknown keys and of other
    /// kinds of signature are ignored; [`SignedObject::verify_entries`] knows passkeys as well.
    ///
    /// # Errors
    /// `Invalid` if a known key's line fails (it spoils the whole object), or there is no good line at all.
    pub fn verify<'a>(&self, known: &'a [VerifierKey]) -> Result<Vec<&'a VerifierKey>> {
        let refused = Error::invalid("the signatures of the object do not hold");
        let good = self.note.verify(known).ok().ok_or_else(|| refused.clone())?;
        // A cosignature (type 0x04) is over other bytes than this text alone and says nothing about a paper.
        let keys: Vec<_> = good
            .into_iter()
            .map(|good| good.key)
            .filter(|key| key.signature_type() == SignatureType::Ed25519)
            .collect();
        if keys.is_empty() { Err(refused) } else { Ok(keys) }
    }

    /// As [`SignedObject::verify`], for the entries of a trust list, whose keys may be passkeys: the entries under which a line is
    /// good, at least one. A passkey's line is judged for the site that its own entry names.
    ///
    /// # Errors
    /// `Invalid` if a known key's line fails (it spoils the whole object), or there is no good line at all.
    pub fn verify_entries<'a>(&self, known: &'a [TrustEntry]) -> Result<Vec<&'a TrustEntry>> {
        let refused = || Error::invalid("the signatures of the object do not hold");
        // One key may stand in the list twice (an expired entry and its renewal); the note layer wants each key once.
        let keys: BTreeMap<String, VerifierKey> =
            known.iter().map(|entry| (entry.vkey.to_string(), entry.vkey.clone())).collect();
        let keys: Vec<VerifierKey> = keys.into_values().collect();
        let by_file = match self.verify(&keys) {
            Ok(keys) => keys,
            // The one error that says nothing against the object: no line is by any key file.
            Err(_) if matches!(self.note.verify(&keys), Err(lockplate_log::Error::NoKnownSignature)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut good = Vec::new();
        let mut by_passkey: BTreeMap<String, bool> = BTreeMap::new();
        for entry in known {
            let holds = match self.is_by_passkey(entry) {
                Some(holds) => {
                    let any = by_passkey.entry(entry.vkey.to_string()).or_default();
                    *any = *any || holds;
                    holds
                }
                None => by_file.contains(&&entry.vkey),
            };
            if holds {
                good.push(entry);
            }
        }
        if good.is_empty() || by_passkey.into_values().any(|holds| !holds) { Err(refused()) } else { Ok(good) }
    }

    /// Whether the line by an entry's passkey holds; none if the entry is no passkey, or has no line here.
    fn is_by_passkey(&self, entry: &TrustEntry) -> Option<bool> {
        let key = CoseKey::of_verifier_key(&entry.vkey)?;
        let line = self.note.signatures().iter().find(|line| line.is_by(&entry.vkey))?;
        let holds = || {
            let passkey = Passkey { key: key?, site: RelyingParty::new(&entry.rp_id, &entry.origins)? };
            passkey.verify(&self.digest(), &Assertion::from_bytes(line.signature())?)
        };
        Some(holds().is_ok())
    }

    /// The file with one more signature: for objects that several sign.
    ///
    /// # Errors
    /// `Invalid` if this key signed already, or the object is full.
    pub fn cosign(&self, signer: &NoteSigner) -> Result<Vec<u8>> {
        let signed = self.note.signatures().iter().any(|line| line.is_by(signer.verifier_key()));
        if signed || self.note.signatures().len() >= OBJECT_SIGNATURES_MAX {
            return Err(Error::invalid("this key signed already, or the object has all the signatures it can have"));
        }
        let note = self.note.clone().with_signature(sign_text(self.note.text(), signer)?);
        let bytes = note.ok().ok_or(Error::invalid("the object cannot be signed so"))?.to_bytes();
        if bytes.len() > OBJECT_BYTES_MAX { Err(Error::invalid("the signed object is too long")) } else { Ok(bytes) }
    }

    /// The file as it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.note.to_bytes()
    }
}

/// An object that nobody signed yet, for a signature that is made elsewhere: a passkey signs in a browser, over the digest, and what
/// comes back is taken only if it holds. Only [`Signable::unsigned`] makes one, so its text is always that of one of this crate's
/// typed objects.
#[derive(Clone, PartialEq, Eq)]
pub struct UnsignedObject(String);

impl core::fmt::Debug for UnsignedObject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("UnsignedObject(..)")
    }
}

impl UnsignedObject {
    /// What [`SignedObject::digest`] will be, and the challenge of a passkey.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_of(&self.0)
    }

    /// Signs with every key given and returns the file.
    ///
    /// # Errors
    /// `Invalid` if the file would be over 256 KiB, or there are 0 or over 16 signers or one of them twice.
    pub fn sign(&self, signers: &[&NoteSigner]) -> Result<Vec<u8>> {
        self.with(signers.iter().map(|signer| sign_text(&self.0, signer)).collect::<Result<Vec<_>>>()?)
    }

    /// The file with the line of a passkey that signed exactly this object on one of its own pages. `name` is that of its verifier
    /// key ([`CoseKey::verifier_key`]).
    ///
    /// # Errors
    /// As [`Passkey::verify`]; `Malformed` if `name` cannot be the name of a key; `Invalid` if the file would be over 256 KiB.
    pub fn sign_by_passkey(&self, name: &str, passkey: &Passkey, assertion: &Assertion) -> Result<Vec<u8>> {
        passkey.verify(&self.digest(), assertion)?;
        let key = passkey.key.verifier_key(name)?;
        let line = NoteSignature::new(key.name().clone(), key.id(), &assertion.to_bytes());
        self.with(vec![line.ok().ok_or(Error::internal("an assertion is never empty"))?])
    }

    fn with(&self, lines: Vec<NoteSignature>) -> Result<Vec<u8>> {
        let count = lines.len();
        let note = SignedNote::new(&self.0, lines).ok().ok_or(Error::invalid("the object cannot be signed so"))?;
        let bytes = note.to_bytes();
        if bytes.len() > OBJECT_BYTES_MAX || count > OBJECT_SIGNATURES_MAX {
            return Err(Error::invalid("the signed object is too long"));
        }
        Ok(bytes)
    }
}

fn digest_of(text: &str) -> [u8; 32] {
    th("authorisation", &[text.as_bytes()])
}

/// The text of an object: its canonical JSON and LF.
pub(crate) fn text_of(object: &impl Field) -> Result<String> {
    let mut text = String::from_utf8(object.to_json().to_canonical_bytes()?)
        .ok()
        .ok_or(Error::internal("canonical json is utf-8"))?;
    text.push('\n');
    Ok(text)
}

/// Signs one of this crate's typed objects; the only way to a signature line here.
pub(crate) fn sign_text(text: &str, signer: &NoteSigner) -> Result<NoteSignature> {
    signer.sign(text).ok().ok_or(Error::internal("the text of an object is always a note's text"))
}

/// A typed object that is signed and travels as a `.auth` file. Implemented by this crate's objects only.
pub trait Signable: Field + sealed::Sealed {
    /// Signs with every key given and returns the file.
    ///
    /// # Errors
    /// `Invalid` if a text of the object is outside the alphabet of canonical JSON, the file would be over 256 KiB, or there are
    /// 0 or over 16 signers or one of them twice.
    fn sign(&self, signers: &[&NoteSigner]) -> Result<Vec<u8>> {
        self.unsigned()?.sign(signers)
    }

    /// The object before it is signed.
    ///
    /// # Errors
    /// `Invalid` if a text of the object is outside the alphabet of canonical JSON.
    fn unsigned(&self) -> Result<UnsignedObject> {
        text_of(self).map(UnsignedObject)
    }
}

/// Declares a signed object: `kind`, header, then the fields of its body.
macro_rules! signed_kind {
    ($($(#[$doc:meta])* $name:ident($body:ident) = $kind:literal)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// Common fields.
            pub header: $crate::signed::Header,
            /// Its own fields.
            pub body: $body,
        }

        impl $crate::json::Field for $name {
            fn to_json(&self) -> $crate::json::Json {
                let kind = $crate::json::Json::text($kind);
                let mut fields = std::collections::BTreeMap::from([("kind".to_owned(), kind)]);
                $crate::json::JsonObject::put(&self.header, &mut fields);
                $crate::json::JsonObject::put(&self.body, &mut fields);
                $crate::json::Json::Object(fields)
            }

            fn from_json(value: $crate::json::Json) -> $crate::error::Result<Self> {
                let mut fields = $crate::json::Fields::of(value)?;
                fields.expect("kind", &$crate::json::Json::text($kind))?;
                let object = Self {
                    header: $crate::json::JsonObject::take(&mut fields)?,
                    body: $crate::json::JsonObject::take(&mut fields)?,
                };
                fields.finish()?;
                Ok(object)
            }
        }

        impl $crate::signed::sealed::Sealed for $name {}
        impl $crate::signed::Signable for $name {}
    )*};
}
pub(crate) use signed_kind;

pub(crate) mod sealed {
    /// Keeps [`super::Signable`] to this crate: nobody signs a text of his own making through it.
    pub trait Sealed {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::authorisation::Paper;
    use crate::directory::TrustRole;
    use crate::passkey::tests::{Says, SoftKey};
    use lockplate_log::note::Origin;
    use proptest::prelude::*;

    /// Made by `../shared/verifiers/authorisation` with PyPI `cryptography` and `webauthn`: an Ed25519 and a passkey line.
    const SAMPLE: &str = concat!(
        r#"{"court":"Superior Court, Millbrook","docket":"FST-CR26-0001234","issued":"2026-11-21T09:00:00Z","issuer":"superior-court.ct.example/judge-17","kind":"search-warrant","max_requests":3,"nonce":"eDd7UldXtJRCf4kBT5fXmQ","offence":"felony","officer":"","owners":["TBApaX7jWHFdOhSirdgXxA"],"pdf":"","plates":["rRUGzR3w6d7qoeymvghLc4ofx4tybCDd-3mWAEsSd9s"],"purpose":"crimeInvestigation","requester":"xLKvRyLuVOMXZyh1stjPSQ","supersedes":"","v":1,"valid_from":"2026-11-21T09:00:00Z","valid_until":"2026-12-01T00:00:00Z","window":["2026-11-10T00:00:00Z","2026-11-20T00:00:00Z"]}"#,
        "\n\n",
        "\u{2014} superior-court.ct.example/clerk-2026 GZhq/sJCsyfHiu3ppoYO67gM+ifNe24D/Tx/iZeTmu7Jkq/vrRbwKpgWwVfDvIOrboPxKjCPIc73BU12/mAV9omu5AA=\n",
        "\u{2014} superior-court.ct.example/judge-17 9fGl1wAlISGVTsLvwxo//dE0feZpsCpYwIX7Bvh0IwaDLGR+DxgFAAAAAACXeyJ0eXBlIjoid2ViYXV0aG4uZ2V0IiwiY2hhbGxlbmdlIjoicVhyVG0zbVdWTlFZODA1dGowZkFZSVZ1V0tUMmZ1SEowaV8yNUc5S2FXRSIsIm9yaWdpbiI6Imh0dHBzOi8vc2lnbi5zdXBlcmlvci1jb3VydC5jdC5leGFtcGxlIiwiY3Jvc3NPcmlnaW4iOmZhbHNlfQBHMEUCIEHGYeOzE6uUcEnfOU1fZ9rVj8NqEsIyxR0UwmniL5q3AiEAj3QzXWa4EF7YpUc8awLOKiJK0tMWiyJJeYkgkoyfW5c=\n",
    );
    const CLERK: &str = "superior-court.ct.example/clerk-2026+19986afe+ASuo6yjeWy06NpGg7tYWTpC5QOaJA6oOMQo6Jb9NZIuB";
    const PASSKEY: &str = "superior-court.ct.example/judge-17+f5f1a5d7+/2xvY2twbGF0ZS93ZWJhdXRobi12MaUBAgMmIAEhWCBkhp6vmMpugBe54AJZRJLgm9X6mXzZCy7yIGxHRm+90SJYIPIOTztPBvFGBqxFdLV7cvdQRxiKjEgcbV52oprL4jBo";

    #[test]
    fn the_sample_of_other_peoples_code_verifies_and_has_their_digest() {
        let object = SignedObject::parse(SAMPLE.as_bytes()).unwrap();
        // The passkey's own challenge is the digest: `challenge` inside the second line.
        assert_eq!(crate::id::b64url(&object.digest()), "qXrTm3mWVNQY805tj0fAYIVuWKT2fuHJ0i_25G9KaWE");
        let keys = [VerifierKey::parse(CLERK).unwrap(), VerifierKey::parse(PASSKEY).unwrap()];
        assert_eq!(object.verify(&keys).unwrap(), vec![&keys[0]]);
        assert!(object.verify(&keys[1..]).is_err(), "a passkey is known by its entry only");
        assert_eq!(object.to_bytes(), SAMPLE.as_bytes());
        assert_eq!(format!("{object:?}"), "SignedObject(..)");
    }

    fn entry(vkey: &str) -> TrustEntry {
        TrustEntry {
            name: "Somebody".to_owned(),
            role: TrustRole::Judge,
            court: "Superior Court, Millbrook".to_owned(),
            vkey: VerifierKey::parse(vkey).unwrap(),
            rp_id: "superior-court.ct.example".to_owned(),
            origins: vec!["https://sign.superior-court.ct.example".to_owned()],
            valid_from: Timestamp(0),
            valid_until: Timestamp(u64::MAX),
            may_issue: false,
            agency: None,
        }
    }

    #[test]
    fn a_line_by_a_passkey_of_the_trust_list_counts_for_its_own_site() {
        let object = SignedObject::parse(SAMPLE.as_bytes()).unwrap();
        let (clerk, judge) = (entry(CLERK), entry(PASSKEY));
        let both = [clerk.clone(), judge.clone()];
        assert_eq!(object.verify_entries(&both).unwrap(), vec![&both[0], &both[1]]);
        assert_eq!(object.verify_entries(&both[1..]).unwrap(), vec![&both[1]], "a passkey alone");
        assert_eq!(object.verify_entries(&both[..1]).unwrap(), vec![&both[0]], "an unknown passkey's line is ignored");
        assert!(object.verify_entries(&[]).is_err());
        // A renewal under another page: only the entry whose site fits answers, and nothing is spoilt.
        let moved = TrustEntry { origins: vec!["https://new.superior-court.ct.example".to_owned()], ..judge.clone() };
        let renewed = [moved.clone(), judge.clone()];
        assert_eq!(object.verify_entries(&renewed).unwrap(), vec![&renewed[1]]);
        // A known key whose line fails spoils the object, the good line beside it as well.
        let other_site = TrustEntry { rp_id: "ct.example".to_owned(), ..judge.clone() };
        let no_site = TrustEntry { rp_id: String::new(), ..judge.clone() };
        for spoilt in [moved, other_site, no_site] {
            assert!(object.verify_entries(&[clerk.clone(), spoilt]).is_err());
        }
    }

    #[test]
    fn an_unsigned_object_takes_the_line_of_a_passkey_that_signed_it_and_no_other() {
        let read = SignedObject::parse(SAMPLE.as_bytes()).unwrap().read::<Paper>().unwrap();
        let (paper, name) = (read.unsigned().unwrap(), "judge.court.example");
        assert_eq!(paper.digest(), SignedObject::parse(SAMPLE.as_bytes()).unwrap().digest());
        assert_eq!(format!("{paper:?}"), "UnsignedObject(..)");
        for (key, other) in [(SoftKey::es256(1), SoftKey::es256(2)), (SoftKey::eddsa(1), SoftKey::eddsa(2))] {
            let passkey = key.passkey();
            let file = paper.sign_by_passkey(name, &passkey, &key.sign(&paper.digest())).unwrap();
            let object = SignedObject::parse(&file).unwrap();
            assert_eq!(object.digest(), paper.digest());
            let site = &passkey.site;
            let known = [TrustEntry {
                vkey: passkey.key.verifier_key(name).unwrap(),
                rp_id: site.rp_id().to_owned(),
                origins: site.origins().to_vec(),
                ..entry(CLERK)
            }];
            assert_eq!(object.verify_entries(&known).unwrap(), vec![&known[0]]);
            // Of another object, by another key, on another page: no file at all.
            let elsewhere = Says { origin: "https://evil.example".to_owned(), ..Says::truth(&paper.digest()) };
            for bad in [key.sign(&[7; 32]), other.sign(&paper.digest()), key.answer(&elsewhere)] {
                assert!(paper.sign_by_passkey(name, &passkey, &bad).is_err());
            }
            assert!(paper.sign_by_passkey("A. Judge", &passkey, &key.sign(&paper.digest())).is_err(), "no key's name");
        }
        // The one spelling that PyPI's `webauthn` and this crate agree on.
        let key = VerifierKey::parse(PASSKEY).unwrap();
        let cose = CoseKey::of_verifier_key(&key).unwrap().unwrap();
        assert_eq!(cose.verifier_key(key.name().as_str()).unwrap(), key);
    }

    #[test]
    fn a_known_line_that_fails_spoils_the_object_whichever_kind_it_is() {
        let known = [entry(CLERK), entry(PASSKEY)];
        let lines: Vec<&str> = SAMPLE.lines().collect();
        let note = |clerk: &str, judge: &str| {
            let text = format!("{}\n\n{clerk}\n{judge}\n", lines[0]);
            SignedObject::parse(text.as_bytes()).unwrap().verify_entries(&known).is_ok()
        };
        assert!(note(lines[2], lines[3]));
        // The last 16 letters are inside the signature.
        let spoil = |line: &str| {
            let (head, tail) = line.split_at(line.len() - 16);
            let turned = if tail.starts_with('A') { "B" } else { "A" };
            format!("{head}{turned}{}", tail.split_at(1).1)
        };
        assert!(!note(&spoil(lines[2]), lines[3]));
        assert!(!note(lines[2], &spoil(lines[3])));
    }

    #[test]
    fn altered_texts_and_forms_are_refused() {
        let keys = [VerifierKey::parse(CLERK).unwrap()];
        let altered = SAMPLE.replace("\"max_requests\":3", "\"max_requests\":4");
        assert!(SignedObject::parse(altered.as_bytes()).unwrap().verify(&keys).is_err());
        for bad in [
            SAMPLE.replace("{\"court\"", "{ \"court\""),
            SAMPLE.replacen('\n', "\n{}\n", 1),
            SAMPLE.replace("\"v\":1,", "\"v\":1,\"v\":1,"),
            SAMPLE.trim_end().to_owned(),
        ] {
            assert!(SignedObject::parse(bad.as_bytes()).is_err());
        }
    }

    #[test]
    fn sixteen_signatures_and_256_kib_are_the_bounds() {
        let text = "{}\n";
        let with = |count: u8| {
            let lines = (0..count)
                .map(|i| {
                    let name = Origin::parse(&format!("key{i}")).unwrap();
                    sign_text(text, &NoteSigner::new(name, &[i; 32]).unwrap()).unwrap()
                })
                .collect();
            SignedNote::new(text, lines).unwrap().to_bytes()
        };
        assert!(SignedObject::parse(&with(16)).is_ok());
        assert!(SignedObject::parse(&with(17)).is_err());
        let signer = NoteSigner::new(Origin::parse("k").unwrap(), &[1; 32]).unwrap();
        let long = |bytes: usize| {
            let head = format!("\"{}\"\n", "x".repeat(bytes));
            // The bytes of a note, whether or not there may be a note of so many.
            [head.as_bytes(), b"\n", format!("{}\n", sign_text(&head, &signer).unwrap()).as_bytes()].concat()
        };
        let rest = long(1).len() - 1;
        assert!(SignedObject::parse(&long(OBJECT_BYTES_MAX - rest)).is_ok());
        assert!(SignedObject::parse(&long(OBJECT_BYTES_MAX - rest + 1)).is_err());
    }

    proptest! {
        #[test]
        fn parsing_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..SAMPLE.len(), flip in any::<u8>()) {
            drop(SignedObject::parse(&bytes));
            let mut sample = SAMPLE.as_bytes().to_vec();
            sample[cut] ^= flip;
            drop(SignedObject::parse(&sample));
            drop(SignedObject::parse(&SAMPLE.as_bytes()[..cut]));
        }
    }
}

//! C2SP signed notes and verifier keys: parse, write, sign, verify. It never decides whom to trust: the reader hands in the keys. Checkpoints,
//! receipts and the authorisations of courts are all notes.
//!
//! Rules (`log.md` section 2): a signature by an unknown (name, id) is ignored; one by a known key that fails spoils the whole note; without
//! one known good signature the note is refused. Two lines of one (name, id) are refused, because then "the" signature of that key is not
//! defined.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::cosignature;
use crate::error::Error;
use crate::limits::{
    KEY_NAME_BYTES_MAX, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, PUBLIC_KEY_BYTES_MAX, VERIFIER_KEY_BYTES_MAX,
};

/// What begins a signature line: an em dash and a space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// The name of a key; of a log's key it is the log's origin. 1 to 255 bytes without space, `+` or control character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Origin(String);

impl Origin {
    /// Reads a name.
    ///
    /// # Errors
    /// [`Error::MalformedName`] if it is empty, over 255 bytes, or has a white space, `+` or control character.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if text.is_empty() || text.len() > KEY_NAME_BYTES_MAX || text.chars().any(bad) {
            return Err(Error::MalformedName);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The type byte of a key, from C2SP `signed-note`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureType {
    /// 0x01: Ed25519 over the text. Logs, courts.
    Ed25519,
    /// 0x04: Ed25519 over a time and the text. Witnesses.
    CosignatureV1,
    /// Any other byte (0x06 ML-DSA-44, 0xff with an identifier of its own): carried along, never verified here, its lines are ignored.
    Other(u8),
}

impl SignatureType {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            0x01 => Self::Ed25519,
            0x04 => Self::CosignatureV1,
            other => Self::Other(other),
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
            Self::Other(byte) => byte,
        }
    }
}

/// The four bytes that, with a name, say whose a signature is: SHA-256(name || LF || type || public key)[:4].
fn key_id(name: &Origin, kind: SignatureType, public: &[u8]) -> [u8; 4] {
    let digest =
        Sha256::new().chain_update(name.as_str()).chain_update([b'\n', kind.byte()]).chain_update(public).finalize();
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
    [a, b, c, d]
}

/// A public key by which notes are verified, with its name: the `vkey` of C2SP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifierKey {
    name: Origin,
    id: [u8; 4],
    kind: SignatureType,
    public: Vec<u8>,
    point: Option<VerifyingKey>,
}

impl VerifierKey {
    /// A key from its parts. `public` is what follows the type byte: 32 bytes for [`SignatureType::Ed25519`] and
    /// [`SignatureType::CosignatureV1`], 1 to 1,312 for others.
    ///
    /// # Errors
    /// [`Error::MalformedKey`] if the length is wrong, the bytes are no point, a point of small order or not its one spelling, or `Other` names a type that has its
    /// own variant.
    pub fn new(name: Origin, kind: SignatureType, public: &[u8]) -> Result<Self, Error> {
        let point = match kind {
            SignatureType::Ed25519 | SignatureType::CosignatureV1 => {
                let bytes = <&[u8; 32]>::try_from(public).ok().ok_or(Error::MalformedKey)?;
                let point = VerifyingKey::from_bytes(bytes).ok().ok_or(Error::MalformedKey)?;
                // Under a key of small order one signature fits many texts; a point spelt in a second way would be a second key.
                if point.is_weak() || point.to_edwards().compress().as_bytes() != bytes {
                    return Err(Error::MalformedKey);
                }
                Some(point)
            }
            SignatureType::Other(byte) => {
                if SignatureType::from_byte(byte) != kind || public.is_empty() || public.len() >= PUBLIC_KEY_BYTES_MAX {
                    return Err(Error::MalformedKey);
                }
                None
            }
        };
        let id = key_id(&name, kind, public);
        Ok(Self { name, id, kind, public: public.to_vec(), point })
    }

    /// Reads `name+<8 lower-case hex of the id>+base64(type || public key)`.
    ///
    /// # Errors
    /// [`Error::MalformedKey`] if the grammar, the id or the key is wrong; [`Error::MalformedName`] for the name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > VERIFIER_KEY_BYTES_MAX {
            return Err(Error::MalformedKey);
        }
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::MalformedKey);
        };
        let name = Origin::parse(name)?;
        let key = STANDARD.decode(key).ok().ok_or(Error::MalformedKey)?;
        let (&kind, public) = key.split_first().ok_or(Error::MalformedKey)?;
        let key = Self::new(name, SignatureType::from_byte(kind), public)?;
        if key.id_hex() == id { Ok(key) } else { Err(Error::MalformedKey) }
    }

    /// The key's name; of a log's key, the log's origin.
    #[must_use]
    pub const fn name(&self) -> &Origin {
        &self.name
    }

    /// The key's id, 4 bytes.
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The key's type.
    #[must_use]
    pub const fn signature_type(&self) -> SignatureType {
        self.kind
    }

    /// The public key without its type byte.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    fn id_hex(&self) -> String {
        let [a, b, c, d] = self.id;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }

    /// Verifies one signature over a note's text. `None`: this type of key cannot be verified here. Otherwise the cosignature's time, in
    /// seconds, if the type has one.
    fn verify(&self, text: &str, signature: &[u8]) -> Option<Result<Option<u64>, Error>> {
        let point = self.point.as_ref()?;
        Some(match self.kind {
            SignatureType::CosignatureV1 => cosignature::verify(point, text, signature).map(Some),
            SignatureType::Ed25519 | SignatureType::Other(_) => {
                verify_ed25519(point, text.as_bytes(), signature).map(|()| None)
            }
        })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, self.id_hex(), STANDARD.encode(key))
    }
}

/// Strict Ed25519 (no point of small order, canonical scalar) over a message.
pub(crate) fn verify_ed25519(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> Result<(), Error> {
    let bytes = <&[u8; 64]>::try_from(signature).ok().ok_or(Error::BadSignature)?;
    key.verify_strict(message, &Signature::from_bytes(bytes)).ok().ok_or(Error::BadSignature)
}

/// A private key that signs notes with type 0x01: a log, a court. Its Debug shows the name only; dropping it wipes the key.
pub struct NoteSigner {
    verifier: VerifierKey,
    key: SigningKey,
}

impl NoteSigner {
    /// A signer from its name and its 32-byte Ed25519 seed.
    ///
    /// # Errors
    /// [`Error::MalformedKey`] if the seed gives a weak key, which no random one does.
    pub fn new(name: Origin, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, SignatureType::Ed25519, key.verifying_key().as_bytes())?;
        Ok(Self { verifier, key })
    }

    /// The public half.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a note's text; it goes into [`SignedNote::new`] or [`SignedNote::with_signature`].
    ///
    /// # Errors
    /// [`Error::MalformedNote`] if the text is not one: it ends in LF and has no other control character.
    pub fn sign(&self, text: &str) -> Result<NoteSignature, Error> {
        check_text(text)?;
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        NoteSignature::new(self.verifier.name.clone(), self.verifier.id, &signature)
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteSigner").field("name", &self.verifier.name).finish_non_exhaustive()
    }
}

/// One signature line of a note: whose it claims to be, and bytes. Proves nothing by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteSignature {
    name: Origin,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl NoteSignature {
    /// A line from its parts; `signature` is what follows the id.
    ///
    /// # Errors
    /// [`Error::MalformedNote`] if the signature is empty.
    pub fn new(name: Origin, id: [u8; 4], signature: &[u8]) -> Result<Self, Error> {
        if signature.is_empty() || signature.len() > NOTE_BYTES_MAX {
            return Err(Error::MalformedNote);
        }
        Ok(Self { name, id, signature: signature.to_vec() })
    }

    /// Reads one line without its LF: em dash, space, name, space, base64 of id and signature. What a witness answers.
    ///
    /// # Errors
    /// [`Error::MalformedNote`] on anything else.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let rest = line.strip_prefix(SIGNATURE_PREFIX).ok_or(Error::MalformedNote)?;
        let (name, signature) = rest.split_once(' ').ok_or(Error::MalformedNote)?;
        let name = Origin::parse(name).ok().ok_or(Error::MalformedNote)?;
        let bytes = STANDARD.decode(signature).ok().ok_or(Error::MalformedNote)?;
        let (&id, signature) = bytes.split_first_chunk::<4>().ok_or(Error::MalformedNote)?;
        Self::new(name, id, signature)
    }

    /// The name it claims.
    #[must_use]
    pub const fn name(&self) -> &Origin {
        &self.name
    }

    /// The key id it claims.
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The signature without the id.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether it claims to be by this key: name and id are the key's. Nothing is verified.
    #[must_use]
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.id == key.id && self.name == key.name
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_vec();
        bytes.extend_from_slice(&self.signature);
        write!(f, "{SIGNATURE_PREFIX}{} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A note: a text and 1 to 32 signature lines, at most 256 KiB. Nothing is verified before [`SignedNote::verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A good signature by a trusted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedSignature<'a> {
    /// The reader's key.
    pub key: &'a VerifierKey,
    /// The time a cosignature was made, in seconds since 1970; the reader compares it with its clock
    /// ([`Cosignature::check_time`](crate::cosignature::Cosignature::check_time)). None for type 0x01.
    pub cosigned_at: Option<u64>,
}

impl SignedNote {
    /// A note from a text and its signatures.
    ///
    /// # Errors
    /// [`Error::MalformedNote`] if the text is not one, if there are 0 or over 32 signatures or two of one (name, id), or over 256 KiB.
    pub fn new(text: &str, signatures: Vec<NoteSignature>) -> Result<Self, Error> {
        check_text(text)?;
        if signatures.is_empty() || signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(Error::MalformedNote);
        }
        let twin = |(i, a): (usize, &NoteSignature)| {
            signatures.iter().skip(i).skip(1).any(|b| a.id == b.id && a.name == b.name)
        };
        if signatures.iter().enumerate().any(twin) {
            return Err(Error::MalformedNote);
        }
        let note = Self { text: text.to_owned(), signatures };
        if note.to_bytes().len() > NOTE_BYTES_MAX { Err(Error::MalformedNote) } else { Ok(note) }
    }

    /// The note with one more signature at its end.
    ///
    /// # Errors
    /// As [`SignedNote::new`].
    pub fn with_signature(mut self, signature: NoteSignature) -> Result<Self, Error> {
        self.signatures.push(signature);
        Self::new(&self.text, self.signatures)
    }

    /// Reads a note: UTF-8 without control characters but LF; a text ending in LF; an empty line; signature lines, each ending in LF.
    ///
    /// # Errors
    /// [`Error::MalformedNote`] on anything else, also if written again it would be other bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Error::MalformedNote);
        }
        let note = core::str::from_utf8(bytes).ok().ok_or(Error::MalformedNote)?;
        // The last empty line is the border: the text itself may have empty lines, the signatures may not.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(Error::MalformedNote)?;
        let lines = lines.strip_suffix('\n').ok_or(Error::MalformedNote)?;
        let signatures: Result<Vec<_>, Error> =
            lines.split('\n').take(NOTE_SIGNATURES_MAX.saturating_add(1)).map(NoteSignature::parse).collect();
        Self::new(&format!("{text}\n"), signatures?)
    }

    /// The text, its last LF included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines, verified or not.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The note as it is stored and sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.text.clone();
        out.push('\n');
        for signature in &self.signatures {
            out.push_str(&signature.to_string());
            out.push('\n');
        }
        out.into_bytes()
    }

    /// Verifies every signature by one of `keys` and returns the good ones, in the note's order. Keys of other types than Ed25519 and
    /// cosignature/v1 count as unknown.
    ///
    /// # Errors
    /// [`Error::AmbiguousKey`] if two of the keys have one name and id; [`Error::BadSignature`] if any known key's signature fails, even
    /// beside good ones (a party that sends such a note is not to be trusted with the rest); [`Error::CosignatureTime`] likewise for its
    /// time; [`Error::NoKnownSignature`] if there is none.
    pub fn verify<'a>(&self, keys: &'a [VerifierKey]) -> Result<Vec<VerifiedSignature<'a>>, Error> {
        let mut good = Vec::new();
        for signature in &self.signatures {
            let mut known = keys.iter().filter(|key| signature.is_by(key));
            let Some(key) = known.next() else { continue };
            if known.next().is_some() {
                return Err(Error::AmbiguousKey);
            }
            if let Some(verdict) = key.verify(&self.text, &signature.signature) {
                good.push(VerifiedSignature { key, cosigned_at: verdict? });
            }
        }
        if good.is_empty() { Err(Error::NoKnownSignature) } else { Ok(good) }
    }
}

/// The text of a note: not empty, ends in LF, no other control character, within the limit.
fn check_text(text: &str) -> Result<(), Error> {
    let bad = |c: char| c < ' ' && c != '\n';
    if !text.ends_with('\n') || text.len() > NOTE_BYTES_MAX || text.chars().any(bad) {
        return Err(Error::MalformedNote);
    }
    Ok(())
}

//! "Was my plate searched?" (`log.md` section 7). For each element of a request the keeper computes a tag from the plate's
//! pseudorandom value under a key of its own and from the leaf's nonce; the tags are published after the embargo. A registered
//! owner gets a code for exactly one plate from the owner agency's records custodian, has the value evaluated blindly by every
//! keeper, and compares the published tags himself. The keeper learns from the evaluation that a code was used, and no plate.
//!
//! Without the value a tag is noise, and equal plates have unequal tags in every leaf. Whoever has the value sees every search
//! of that plate at that keeper whose tags are published, past and future: a code is as good as the registration it rests on.

use hmac::{Hmac, KeyInit as _, Mac as _};
use lockplate_log::note::NoteSigner;
use lockplate_oprf::{Blind, Element, PrfKey, Secret, oprf};
use rand_core::CryptoRng;
use sha2::Sha256;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Timestamp;
use crate::authorisation::{Withdrawn, recognised};
use crate::directory::{Trust, TrustRole};
use crate::error::{Error, Result};
use crate::id::AgencyId;
use crate::json::{Field as _, Fields, Json, json_object, parse_canonical};
use crate::limits::ATTACHMENT_BYTES_MAX;
use crate::plate::{Jurisdiction, Plate, PlateInput};
use crate::signed::{Header, Signable as _, SignedObject, VersionOne, signed_kind};

/// A code is valid for at most 30 days, like the proof of registration it rests on.
pub const CODE_SECONDS_MAX: u64 = 30 * 86_400;
/// Elements of a code: the plate with its state, and without one.
pub const CODE_ELEMENTS_MAX: usize = 2;
/// Bytes of an owner's file: `{code, elements: [[input, r], ..], v}`, bytes in base64url.
pub const OWNER_CODE_BYTES_MAX: usize = 2 * ATTACHMENT_BYTES_MAX;

/// What tells the key of this use from every other that the same seed could be put to.
const KEY_INFO: &[u8] = b"LPv1 notice";

/// First 16 bytes of HMAC-SHA-256(F_j(input), "LPv1 notice" || nonce).
pub type NoticeTag = [u8; 16];

/// A keeper's own key for notice tags. It never leaves the keeper and is in no charter: losing it ends the answers about leaves
/// before, and whoever has it can try all plates on published tags.
pub struct NoticeKey(PrfKey);

impl core::fmt::Debug for NoticeKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("NoticeKey(..)")
    }
}

impl NoticeKey {
    /// From the 32 random bytes of the keeper's key file (RFC 9497 section 3.2.1, `DeriveKeyPair`).
    ///
    /// # Errors
    /// `Internal`, which no random seed meets.
    pub fn from_seed(seed: &Secret<32>) -> Result<Self> {
        Ok(Self(PrfKey::derive(seed, KEY_INFO)?))
    }

    /// F_j(input).
    ///
    /// # Errors
    /// `Internal`: no input that is a plate's can fail.
    pub fn value(&self, input: &PlateInput) -> Result<NoticeValue> {
        Ok(NoticeValue(oprf::evaluate(&self.0, input.expose_bytes())?))
    }

    /// The tags of a leaf: one an element, sorted, so that their order says nothing about the elements'.
    ///
    /// # Errors
    /// As [`NoticeKey::value`].
    pub fn tags<'a>(&self, inputs: impl Iterator<Item = &'a PlateInput>, nonce: &[u8; 16]) -> Result<Vec<NoticeTag>> {
        let mut tags = inputs.map(|input| self.value(input)?.tag(nonce)).collect::<Result<Vec<_>>>()?;
        tags.sort_unstable();
        Ok(tags)
    }

    /// Multiplies blinded elements, in order. Says nothing about them: what a code allows is checked before.
    ///
    /// # Errors
    /// None in practice: elements are not the identity and the key is not zero.
    pub fn evaluate_blinded(&self, elements: &[Element]) -> Result<Vec<Element>> {
        elements.iter().map(|element| Ok(oprf::evaluate_blinded(&self.0, element)?)).collect()
    }
}

/// A plate's value at one keeper. Finds every published tag of that plate there.
#[derive(Clone, PartialEq, Eq)]
pub struct NoticeValue(Secret<64>);

impl core::fmt::Debug for NoticeValue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("NoticeValue(..)")
    }
}

impl NoticeValue {
    /// The tag of a leaf with this nonce.
    ///
    /// # Errors
    /// None in practice: HMAC takes keys of every length.
    pub fn tag(&self, nonce: &[u8; 16]) -> Result<NoticeTag> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret());
        let mut mac = mac.ok().ok_or(Error::internal("hmac takes keys of every length"))?;
        mac.update(KEY_INFO);
        mac.update(nonce);
        let full = mac.finalize().into_bytes();
        let tag = full.first_chunk::<16>().ok_or(Error::internal("hmac-sha-256 has 32 bytes"))?;
        Ok(*tag)
    }

    /// True if a leaf with this nonce and these published tags is about the plate.
    ///
    /// # Errors
    /// As [`NoticeValue::tag`].
    pub fn is_among(&self, tags: &[NoticeTag], nonce: &[u8; 16]) -> Result<bool> {
        Ok(tags.contains(&self.tag(nonce)?))
    }
}

/// A plate as its owner asks about it: inputs with the blinding factors that hide them. Made by the custodian (for a code) or by
/// an auditor (for his check of a leaf's tags), and kept by whoever shall read the answer.
pub struct BlindedInputs(Vec<(PlateInput, Blind)>);

impl core::fmt::Debug for BlindedInputs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("BlindedInputs(..)")
    }
}

impl BlindedInputs {
    /// From inputs and blinding factors that are there: for known answers.
    #[cfg(test)]
    pub(crate) const fn from_parts(parts: Vec<(PlateInput, Blind)>) -> Self {
        Self(parts)
    }

    /// Draws a fresh blinding factor for each input.
    #[must_use]
    pub fn new(inputs: Vec<PlateInput>, rng: &mut impl CryptoRng) -> Self {
        Self(inputs.into_iter().map(|input| (input, Blind::random(rng))).collect())
    }

    /// Both forms under which a search may ask for a plate: with its state, and without one.
    #[must_use]
    pub fn of_plate(owner: AgencyId, plate: &Plate, state: Jurisdiction, rng: &mut impl CryptoRng) -> Self {
        Self::new(vec![PlateInput::new(owner, plate, Some(state)), PlateInput::new(owner, plate, None)], rng)
    }

    /// What a keeper is shown.
    ///
    /// # Errors
    /// None in practice: those of [`oprf::blind`].
    pub fn elements(&self) -> Result<Vec<Element>> {
        self.0.iter().map(|(input, r)| Ok(oprf::blind(input.expose_bytes(), r)?)).collect()
    }

    /// The plate's values at the keeper that evaluated the elements, in their order.
    ///
    /// # Errors
    /// `Invalid` if there are not as many as were asked for.
    pub fn finalize(&self, evaluated: &[Element]) -> Result<Vec<NoticeValue>> {
        if evaluated.len() != self.0.len() {
            return Err(Error::invalid("the keeper did not answer for every element"));
        }
        let values = self.0.iter().zip(evaluated);
        values
            .map(|((input, r), element)| {
                Ok(NoticeValue(oprf::finalize(input.expose_bytes(), &oprf::unblind(element, r)?)))
            })
            .collect()
    }
}

json_object! {
    /// Fields of a one-time code. The blinded elements bind it to one plate and tell no keeper which.
    #[derive(Clone, Debug, PartialEq, Eq)]
    NoticeCodeBody {
        /// The owner whose keepers answer.
        owner: AgencyId,
        /// What they evaluate.
        elements: Vec<[u8; 32]>,
        /// Valid until (exclusive), at most 30 days after it was issued.
        until: Timestamp,
    }
}

signed_kind! {
    /// A one-time code, signed by the owner's records custodian.
    NoticeCode(NoticeCodeBody) = "notice-code"
}

/// A code that a keeper may answer once. Only [`verify_code`] makes one.
#[derive(Debug)]
pub struct VerifiedCode {
    digest: [u8; 32],
    until: Timestamp,
    elements: Vec<Element>,
}

impl VerifiedCode {
    /// Digest of the object: the keeper remembers it until [`VerifiedCode::until`] and answers it no second time.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Nobody need remember it after that.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// What to evaluate.
    #[must_use]
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }
}

/// Checks a code: signed by a records custodian of this owner whose key is valid, in force, one or two elements.
///
/// # Errors
/// `Malformed` if it is not a code; `Invalid` if signature, owner, time or an element does not hold.
pub fn verify_code(
    object: &SignedObject,
    owner: AgencyId,
    trust: &Trust,
    withdrawn: &Withdrawn,
    now: Timestamp,
) -> Result<VerifiedCode> {
    let code: NoticeCode = object.read()?;
    let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
    let signers = recognised(object, &code.header, trust, withdrawn, now);
    let by_custodian = signers.iter().any(|entry| entry.role == TrustRole::Custodian && entry.agency == Some(owner.0));
    rule(by_custodian, "the code is not signed by the owner's records custodian")?;
    let NoticeCodeBody { owner: named, elements, until } = code.body;
    rule(named == owner, "the code is another owner's")?;
    let length = until.0.saturating_sub(code.header.issued.0);
    rule(now < until && length <= CODE_SECONDS_MAX, "the code is not in force, or for too long")?;
    rule((1..=CODE_ELEMENTS_MAX).contains(&elements.len()), "the code has no element, or too many")?;
    let elements = elements.iter().map(|bytes| Ok(Element::from_bytes(bytes)?)).collect::<Result<Vec<_>>>()?;
    Ok(VerifiedCode { digest: object.digest(), until, elements })
}

/// A code with what only its holder has: the plate and the blinding factors. Keepers are sent [`OwnerCode::code`] and nothing else.
pub struct OwnerCode {
    code: Vec<u8>,
    inputs: BlindedInputs,
}

impl core::fmt::Debug for OwnerCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OwnerCode(..)")
    }
}

impl OwnerCode {
    /// Issues a code for one plate, at the records custodian's.
    ///
    /// # Errors
    /// `Invalid` if it would be valid for over 30 days or the signer's name cannot stand in an object.
    pub fn issue(
        owner: AgencyId,
        plate: &Plate,
        state: Jurisdiction,
        times: (Timestamp, Timestamp),
        custodian: &NoteSigner,
        rng: &mut impl CryptoRng,
    ) -> Result<Self> {
        let (issued, until) = times;
        if until <= issued || until.0.saturating_sub(issued.0) > CODE_SECONDS_MAX {
            return Err(Error::invalid("a code is valid for 30 days at most"));
        }
        let inputs = BlindedInputs::of_plate(owner, plate, state, rng);
        let elements = inputs.elements()?.iter().map(Element::to_bytes).collect();
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let issuer = custodian.verifier_key().name().as_str().to_owned();
        let header = Header { v: VersionOne, nonce, issued, issuer };
        let code = NoticeCode { header, body: NoticeCodeBody { owner, elements, until } }.sign(&[custodian])?;
        Ok(Self { code, inputs })
    }

    /// The signed part, which goes to keepers.
    #[must_use]
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// True if every element of the code is this plate's at this owner, in whatever state it is registered.
    #[must_use]
    pub fn is_for(&self, owner: AgencyId, plate: &Plate) -> bool {
        let folded = plate.fold();
        self.inputs.0.iter().all(|(input, _)| input.agency() == owner && input.folded_text() == folded)
    }

    /// What makes values out of keepers' answers.
    #[must_use]
    pub const fn inputs(&self) -> &BlindedInputs {
        &self.inputs
    }

    /// The owner's file. It names the plate: whoever reads it can ask in the owner's place.
    ///
    /// # Errors
    /// None in practice: the file is within the bounds of canonical JSON.
    pub fn expose_file(&self) -> Result<Vec<u8>> {
        let elements = self.inputs.0.iter().map(|(input, r)| {
            Json::Array(vec![Json::bytes(input.expose_bytes()), Json::bytes(r.to_secret().expose_secret())])
        });
        let elements = Json::Array(elements.collect());
        let fields = [("v", VersionOne.to_json()), ("code", Json::bytes(&self.code)), ("elements", elements)];
        Json::object(fields).to_canonical_bytes()
    }

    /// Reads an owner's file (a final line break is no part of it) and checks that its code is for its plate; who signed the
    /// code is for keepers to check.
    ///
    /// # Errors
    /// `Malformed` if it is not such a file; `Invalid` if the code is for other elements.
    pub fn from_file(bytes: &[u8]) -> Result<Self> {
        let bad = || Error::malformed("not an owner's code");
        if bytes.len() > OWNER_CODE_BYTES_MAX {
            return Err(bad());
        }
        let mut fields = Fields::of(parse_canonical(bytes.strip_suffix(b"\n").unwrap_or(bytes))?)?;
        let _one: VersionOne = fields.take("v")?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().ok_or_else(bad);
        let code = decode(&fields.take::<String>("code")?)?;
        let elements: Vec<Vec<String>> = fields.take("elements")?;
        fields.finish()?;
        let inputs = elements.iter().map(|pair| {
            let [input, r] = pair.as_slice() else { return Err(bad()) };
            let input = PlateInput::from_bytes(&decode(input)?).ok_or_else(bad)?;
            Ok((input, Blind::from_bytes(&decode(r)?)?))
        });
        let inputs = BlindedInputs(inputs.collect::<Result<Vec<_>>>()?);
        let signed: NoticeCode = SignedObject::parse(&code)?.read()?;
        let elements: Vec<_> = inputs.elements()?.iter().map(Element::to_bytes).collect();
        if signed.body.elements == elements {
            Ok(Self { code, inputs })
        } else {
            Err(Error::invalid("the code is for another plate than the file names"))
        }
    }
}

#[cfg(test)]
mod tests;

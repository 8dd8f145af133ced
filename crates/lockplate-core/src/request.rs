//! Requests and Openings (LPv1 section 8). B is the commitment: what is asked, approved, logged and multiplied are the same
//! 32 bytes. A keeper has seen the plate only when it holds an [`Opened`] request, made by [`check_opening`] alone.

use std::collections::BTreeSet;

use lockplate_oprf::oprf::{self, Blind};
use lockplate_oprf::{Element as Point, Secret};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};

use crate::Timestamp;
use crate::disclosure::{DISCLOSURE_BYTES_MAX, Disclosure};
use crate::envelope::{HpkePublicKey, HpkeSecretKey, PUBLIC_KEY_BYTES, decrypt, encrypt};
use crate::epoch::SUITE;
use crate::error::{Error, Result};
use crate::id::{AgencyId, RequestId};
use crate::limits::{ATTACHMENTS_MAX, ELEMENTS_MAX, OPENING_BYTES_MAX, REQUEST_SIGNATURES_MAX};
use crate::plate::{IndexKind, PlateInput};
use crate::sign::{Signed, Statement, VerifyKey};
use crate::statement::StatementText;
use crate::vocabulary::{Basis, Purpose};
use crate::wire::{Reader, Writer, th};

/// One blinded element: `B = r * HashToGroup(input)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Kind of the input.
    pub index_kind: IndexKind,
    /// B; never the identity.
    pub blinded: Point,
}

/// What an officer asks for (LPv1 section 8). Public but for what the Openings hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchRequest {
    /// Chosen by the requester.
    pub request_id: RequestId,
    /// Whose archive.
    pub owner_agency: AgencyId,
    /// Who asks.
    pub requester_agency: AgencyId,
    /// Id of the officer's signing key; for key files the Ed25519 public key itself.
    pub officer_key: [u8; 32],
    /// What for.
    pub purpose: Purpose,
    /// Legal basis stated.
    pub basis: Basis,
    /// Digest of the `.auth` file, 32 zero bytes without one.
    pub authorisation_digest: [u8; 32],
    /// 1 to 64 elements.
    pub elements: Vec<Element>,
    /// Window, from (inclusive).
    pub win_from: Timestamp,
    /// Window, to (exclusive).
    pub win_to: Timestamp,
    /// Nothing is approved or evaluated from this moment on.
    pub not_after: Timestamp,
    /// The requester's wish for the end of the embargo.
    pub notice_after: Timestamp,
    /// Key for the answers.
    pub response_pk: HpkePublicKey,
    /// `TH("openings", ..)`: binds the Openings of all recipients.
    pub openings_hash: [u8; 32],
}

impl SearchRequest {
    /// `request_digest = TH("request", request)`.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        th(Self::LABEL, &[&self.encode()])
    }

    fn opening_info(&self) -> Vec<u8> {
        let zeroed = Self { openings_hash: [0; 32], ..self.clone() };
        [b"LPv1 opening".as_slice(), &zeroed.digest()].concat()
    }
}

impl Statement for SearchRequest {
    const LABEL: &'static str = "request";
    const BYTES_MAX: usize = 2 + 48 + 32 + 4 + 32 + 1 + 64 * 33 + 32 + PUBLIC_KEY_BYTES + 32;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u16(SUITE).raw(&self.request_id.0).raw(&self.owner_agency.0).raw(&self.requester_agency.0);
        w.raw(&self.officer_key).u16(self.purpose.code()).u16(self.basis.code()).raw(&self.authorisation_digest);
        w.u8(u8::try_from(self.elements.len()).unwrap_or(u8::MAX));
        for element in &self.elements {
            w.u8(element.index_kind.code()).raw(&element.blinded.to_bytes());
        }
        w.u64(self.win_from.0).u64(self.win_to.0).u64(self.not_after.0).u64(self.notice_after.0);
        w.raw(self.response_pk.as_bytes()).raw(&self.openings_hash).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        if r.u16()? != SUITE {
            return Err(Error::malformed("a request has an unknown suite"));
        }
        let request_id = RequestId(r.array()?);
        let (owner_agency, requester_agency) = (AgencyId(r.array()?), AgencyId(r.array()?));
        let officer_key = r.array()?;
        let purpose = Purpose::from_code(r.u16()?).ok_or(Error::malformed("a request has an unknown purpose"))?;
        let basis = Basis::from_code(r.u16()?).ok_or(Error::malformed("a request has an unknown basis"))?;
        let authorisation_digest = r.array()?;
        let count = usize::from(r.u8()?);
        if !(1..=ELEMENTS_MAX).contains(&count) {
            return Err(Error::malformed("a request has no elements or more than 64"));
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            let index_kind =
                IndexKind::from_code(r.u8()?).ok_or(Error::malformed("a request has an unknown index kind"))?;
            elements.push(Element { index_kind, blinded: Point::from_bytes(r.raw(32)?)? });
        }
        let request = Self {
            request_id,
            owner_agency,
            requester_agency,
            officer_key,
            purpose,
            basis,
            authorisation_digest,
            elements,
            win_from: Timestamp(r.u64()?),
            win_to: Timestamp(r.u64()?),
            not_after: Timestamp(r.u64()?),
            notice_after: Timestamp(r.u64()?),
            response_pk: HpkePublicKey::from_slice(r.raw(PUBLIC_KEY_BYTES)?)
                .ok_or(Error::internal("an X-Wing public key has 1216 bytes"))?,
            openings_hash: r.array()?,
        };
        r.end()?;
        Ok(request)
    }
}

/// A second person's signature over the same request digest.
#[derive(Clone, PartialEq, Eq)]
pub struct SecondSignature {
    /// Id of the signing key.
    pub key_id: [u8; 32],
    /// Ed25519 over the request digest.
    pub signature: [u8; 64],
}

impl core::fmt::Debug for SecondSignature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SecondSignature(..)")
    }
}

/// A request as it is filed: the officer's signature first, then second persons'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiledRequest {
    /// The signed request.
    pub request: Signed<SearchRequest>,
    /// At most three further signatures.
    pub seconds: Vec<SecondSignature>,
}

impl FiledRequest {
    /// The request, if the officer's and every second person's signature verify.
    ///
    /// # Errors
    /// `Invalid` if one does not, if a key signs twice, or if there are too many.
    pub fn verify(&self) -> Result<&SearchRequest> {
        let request = self.request.verify(&VerifyKey(self.request.claimed().officer_key))?;
        if self.seconds.len() >= REQUEST_SIGNATURES_MAX {
            return Err(Error::invalid("a request carries too many signatures"));
        }
        let mut keys = BTreeSet::from([request.officer_key]);
        for second in &self.seconds {
            self.request.verify_countersignature(&VerifyKey(second.key_id), &second.signature)?;
            if !keys.insert(second.key_id) {
                return Err(Error::invalid("a key signs a request twice"));
            }
        }
        Ok(request)
    }

    /// `lv32(signed request) || uint8 count || (key_id[32] || signature[64])*`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.lv32(&self.request.to_bytes()).u8(u8::try_from(self.seconds.len()).unwrap_or(u8::MAX));
        for second in &self.seconds {
            w.raw(&second.key_id).raw(&second.signature);
        }
        w.finish()
    }

    /// Reads what [`FiledRequest::to_bytes`] wrote; signatures are not checked here.
    ///
    /// # Errors
    /// `Malformed` if the bytes are not well-formed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let request = Signed::from_bytes(r.lv32(SearchRequest::BYTES_MAX.saturating_add(68))?)?;
        let count = usize::from(r.u8()?);
        if count >= REQUEST_SIGNATURES_MAX {
            return Err(Error::malformed("a request carries too many signatures"));
        }
        let mut seconds = Vec::with_capacity(count);
        for _ in 0..count {
            seconds.push(SecondSignature { key_id: r.array()?, signature: r.array()? });
        }
        r.end()?;
        Ok(Self { request, seconds })
    }
}

/// What an Opening holds: inputs and blinds, the officer's statement, and the secret of the salted digests.
pub struct OpeningText {
    /// One a element, in the order of the request.
    pub elements: Vec<(PlateInput, Blind)>,
    /// The statement; its exact bytes are hashed.
    pub statement: StatementText,
    /// Disclosures of plates that court papers name (`authorisation.md` section 2): they travel here, past the desk.
    pub disclosures: Vec<Disclosure>,
    /// s_r: salts of the leaf's private fields come from it (`log.md` section 6.1).
    pub salts: Secret<32>,
}

impl core::fmt::Debug for OpeningText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OpeningText(..)")
    }
}

impl OpeningText {
    fn encode(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut w = Writer::new();
        w.u8(u8::try_from(self.elements.len()).unwrap_or(u8::MAX));
        for (input, blind) in &self.elements {
            w.lv8(input.expose_bytes()).raw(blind.to_secret().expose_secret());
        }
        w.lv32(self.statement.expose_bytes());
        w.u8(u8::try_from(self.disclosures.len()).unwrap_or(u8::MAX));
        for disclosure in &self.disclosures {
            w.lv32(disclosure.expose_text().as_bytes());
        }
        w.raw(self.salts.expose_secret());
        zeroize::Zeroizing::new(w.finish())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let count = usize::from(r.u8()?);
        if !(1..=ELEMENTS_MAX).contains(&count) {
            return Err(Error::malformed("an Opening has no elements or more than 64"));
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            let input = PlateInput::from_bytes(r.lv8()?).ok_or(Error::malformed("a plate input is not well-formed"))?;
            elements.push((input, Blind::from_bytes(r.raw(32)?)?));
        }
        let statement = StatementText::from_bytes(r.lv32(OPENING_BYTES_MAX)?)?;
        let count = usize::from(r.u8()?);
        if count > ATTACHMENTS_MAX {
            return Err(Error::malformed("an Opening carries too many disclosures"));
        }
        let disclosures = (0..count)
            .map(|_| {
                let text = core::str::from_utf8(r.lv32(DISCLOSURE_BYTES_MAX)?);
                Disclosure::parse(text.map_err(|_utf8| Error::malformed("a disclosure is not text"))?)
            })
            .collect::<Result<_>>()?;
        let salts = Secret::new(r.array()?);
        r.end()?;
        Ok(Self { elements, statement, disclosures, salts })
    }
}

/// The Openings of one request and the hashes that bind them.
#[derive(Clone, Debug)]
pub struct Openings {
    /// One sealed Opening a recipient: keepers in charter order, then auditors.
    pub sealed: Vec<Vec<u8>>,
    /// SHA-256 of each, same order.
    pub hashes: Vec<[u8; 32]>,
}

/// Blinds every input and completes the request: elements, sealed Openings, `openings_hash`. `draft` holds everything else;
/// its elements and `openings_hash` are replaced. `recipients` are the keepers' keys in charter order, then the auditors'.
///
/// # Errors
/// `Invalid` if there are no elements or more than 64; `Malformed` if a recipient's key is not usable.
pub fn draft_request(
    draft: SearchRequest,
    text: &OpeningText,
    recipients: &[HpkePublicKey],
    rng: &mut impl CryptoRng,
) -> Result<(SearchRequest, Openings)> {
    if !(1..=ELEMENTS_MAX).contains(&text.elements.len()) {
        return Err(Error::invalid("a request has no elements or more than 64"));
    }
    let elements = text
        .elements
        .iter()
        .map(|(input, r)| Ok(Element { index_kind: input.kind(), blinded: oprf::blind(input.expose_bytes(), r)? }))
        .collect::<Result<_>>()?;
    let mut request = SearchRequest { elements, openings_hash: [0; 32], ..draft };
    let info = request.opening_info();
    let plaintext = text.encode();
    let sealed = recipients
        .iter()
        .map(|recipient| encrypt(recipient, &info, &[], &plaintext, rng))
        .collect::<Result<Vec<_>>>()?;
    let hashes: Vec<[u8; 32]> = sealed.iter().map(|opening| Sha256::digest(opening).into()).collect();
    request.openings_hash = openings_hash(&text.statement.digest(&text.salts), &hashes);
    Ok((request, Openings { sealed, hashes }))
}

/// `openings_hash = TH("openings", statement_digest, SHA-256(Opening_1), ..)` (`authorisation.md` section 4).
#[must_use]
pub fn openings_hash(statement_digest: &[u8; 32], hashes: &[[u8; 32]]) -> [u8; 32] {
    let parts: Vec<&[u8]> =
        core::iter::once(statement_digest.as_slice()).chain(hashes.iter().map(<[u8; 32]>::as_slice)).collect();
    th("openings", &parts)
}

/// Evidence that a keeper has seen what it decides on: signatures verify, the Opening opens, every B is recomputed, and all
/// recipients were told the same story. Only [`check_opening`] makes one.
///
/// ```compile_fail,E0451
/// use lockplate_core::request::{Opened, SearchRequest};
/// fn forge(seen: Opened<SearchRequest>) -> Opened<SearchRequest> { Opened { ..seen } }
/// ```
pub struct Opened<T> {
    value: T,
    filed: FiledRequest,
    text: OpeningText,
    hashes: Vec<[u8; 32]>,
}

impl<T> core::fmt::Debug for Opened<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Opened(..)")
    }
}

impl Opened<SearchRequest> {
    /// The request.
    #[must_use]
    pub const fn request(&self) -> &SearchRequest {
        &self.value
    }

    /// The request with its signatures.
    #[must_use]
    pub const fn filed(&self) -> &FiledRequest {
        &self.filed
    }

    /// What the Opening said.
    #[must_use]
    pub const fn text(&self) -> &OpeningText {
        &self.text
    }

    /// SHA-256 of every recipient's Opening, keepers in charter order, then auditors.
    #[must_use]
    pub fn opening_hashes(&self) -> &[[u8; 32]] {
        &self.hashes
    }
}

/// Checks signatures, opens the Opening addressed to recipient `position` (0-based: keepers in charter order, then
/// auditors), recomputes every B, and compares `openings_hash`.
///
/// # Errors
/// `Invalid` if a signature fails, a B is not the blinding of its input, a kind differs, or the Openings differ from what
/// the request binds; `Malformed` if the Opening does not open.
pub fn check_opening(
    filed: FiledRequest,
    opening: &[u8],
    hashes: Vec<[u8; 32]>,
    position: usize,
    secret: &HpkeSecretKey,
) -> Result<Opened<SearchRequest>> {
    let request = filed.verify()?.clone();
    if opening.len() > OPENING_BYTES_MAX {
        return Err(Error::malformed("an Opening is too large"));
    }
    let own: [u8; 32] = Sha256::digest(opening).into();
    if hashes.get(position) != Some(&own) {
        return Err(Error::invalid("an Opening is not the one the request binds"));
    }
    let plaintext = zeroize::Zeroizing::new(decrypt(secret, &request.opening_info(), &[], opening)?);
    check_text(filed, OpeningText::decode(&plaintext)?, hashes)
}

/// What [`check_opening`] does once an Opening is open: signatures, what the request binds, every B. Whoever was given the text itself, in
/// an evidence package, checks it as a keeper does.
pub(crate) fn check_text(
    filed: FiledRequest,
    text: OpeningText,
    hashes: Vec<[u8; 32]>,
) -> Result<Opened<SearchRequest>> {
    let request = filed.verify()?.clone();
    if openings_hash(&text.statement.digest(&text.salts), &hashes) != request.openings_hash {
        return Err(Error::invalid("the Openings are not the ones the request binds"));
    }
    if text.elements.len() != request.elements.len() {
        return Err(Error::invalid("an Opening does not cover every element"));
    }
    for (element, (input, r)) in request.elements.iter().zip(&text.elements) {
        // The attack this stops: get leave for plate A, have plate B multiplied.
        if element.index_kind != input.kind() || oprf::blind(input.expose_bytes(), r)? != element.blinded {
            return Err(Error::invalid("an element is not the blinding of what the Opening says"));
        }
    }
    Ok(Opened { value: request, filed, text, hashes })
}

/// What the officer's client says it opened (LPv1 section 10), signed by the officer so that the desk's log cannot say it for
/// him. Counts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisclosureClaim {
    /// The request.
    pub request_digest: [u8; 32],
    /// The grant.
    pub grant_digest: [u8; 32],
    /// Cells opened.
    pub cells: u64,
    /// Of them, cells whose text or jurisdiction cannot be the plate asked for.
    pub others: u64,
}

impl Statement for DisclosureClaim {
    const LABEL: &'static str = "disclosure";
    const BYTES_MAX: usize = 80;

    fn encode(&self) -> Vec<u8> {
        Writer::new().raw(&self.request_digest).raw(&self.grant_digest).u64(self.cells).u64(self.others).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let claim = Self { request_digest: r.array()?, grant_digest: r.array()?, cells: r.u64()?, others: r.u64()? };
        r.end()?;
        Ok(claim)
    }
}

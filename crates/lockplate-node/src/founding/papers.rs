//! Papers that parties sign beside the charter: entries of the trust list, court papers, declarations. The court's plate stays
//! with the court and the officer: the paper names it by a salted digest, and the disclosure that opens it is a file of its own.

use std::collections::BTreeMap;
use std::path::Path;

use lockplate_core::Timestamp;
use lockplate_core::authorisation::{PAPER_SECONDS_MAX, Paper, PaperKind, PaperSource, PaperTerms, disclose_plate};
use lockplate_core::directory::{Declaration, DeclarationBody, TrustEntry, TrustRole};
use lockplate_core::id::{AgencyId, from_b64url};
use lockplate_core::json::parse_time;
use lockplate_core::passkey::{Assertion, RelyingParty};
use lockplate_core::plate::Plate;
use lockplate_core::signed::{Header, Signable, UnsignedObject, VersionOne};
use lockplate_core::statement::PlateName;
use lockplate_core::vocabulary::{DeclarationName, Offence, Purpose};
use lockplate_intake::jurisdiction::{self, NoCode};
use lockplate_log::note::VerifierKey;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{AgencyCard, AuditorCard, FoundingError, note_signer};
use crate::passkeys::EnrolledPasskey;
use crate::search::has_wildcard;

/// Words of the declaration under CT Public Act 26-14, version 1. Wording unconfirmed, a lawyer must supply it.
const CT_26_14_V1: &str = include_str!("../../../../docs/declarations/ct-26-14-v1.txt");
/// The same under 625 ILCS 5/2-130(c).
const IL_2_130_C_V1: &str = include_str!("../../../../docs/declarations/il-2-130-c-v1.txt");
/// The same under P.L.2026, c.4 of New Jersey.
const NJ_2026_4_V1: &str = include_str!("../../../../docs/declarations/nj-2026-4-v1.txt");
/// The same under Laws 2026, chapter 20 of New Mexico.
const NM_2026_20_V1: &str = include_str!("../../../../docs/declarations/nm-2026-20-v1.txt");

/// The exact words a declaration carries by digest.
#[must_use]
pub const fn declaration_text(name: DeclarationName) -> &'static str {
    match name {
        DeclarationName::Ct2614 => CT_26_14_V1,
        DeclarationName::Il2130c => IL_2_130_C_V1,
        DeclarationName::Nj20264 => NJ_2026_4_V1,
        DeclarationName::Nm202620 => NM_2026_20_V1,
    }
}

/// The words that keepers accept, by SHA-256 ([`lockplate_core::directory::verify_declaration`]).
#[must_use]
pub fn declaration_texts() -> BTreeMap<DeclarationName, [u8; 32]> {
    let digest = |name| Sha256::digest(declaration_text(name).as_bytes()).into();
    DeclarationName::ALL.iter().map(|name| (*name, digest(*name))).collect()
}

/// The entry of the trust list by which an owner's keepers recognise an agency's directory and declarations.
///
/// # Errors
/// `Refused` for a card that cannot be read.
pub fn agency_trust_entry(
    card: &AgencyCard,
    valid_from: Timestamp,
    valid_until: Timestamp,
) -> Result<TrustEntry, FoundingError> {
    let unreadable = FoundingError::Refused("the agency's card has no readable id or key");
    let (Some(id), Ok(vkey)) = (AgencyId::parse(&card.id), VerifierKey::parse(&card.agency_key)) else {
        return Err(unreadable);
    };
    let entry = trust_entry(&card.name, TrustRole::Agency, vkey.into(), valid_from, valid_until);
    Ok(TrustEntry { agency: Some(id.0), ..entry })
}

/// A key as a trust list takes it: of a key file, or a passkey with the site for which it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub vkey: VerifierKey,
    /// The passkey's site; none for a key file.
    pub site: Option<RelyingParty>,
}

impl From<VerifierKey> for TrustedKey {
    fn from(vkey: VerifierKey) -> Self {
        Self { vkey, site: None }
    }
}

impl TrustedKey {
    /// That of a passkey's file, whose name becomes the name of the key.
    ///
    /// # Errors
    /// `Name` where that name cannot be a key's: the passkey was made for a keeper's page.
    pub fn of_passkey(file: &EnrolledPasskey) -> Result<Self, FoundingError> {
        let vkey = file.passkey.key.verifier_key(&file.name);
        let vkey = vkey.map_err(|_grammar| FoundingError::Name("this cannot be the name of a key"))?;
        Ok(Self { vkey, site: Some(file.passkey.site.clone()) })
    }
}

/// The entry of a judge of `court`.
#[must_use]
pub fn court_trust_entry(
    name: &str,
    court: &str,
    key: impl Into<TrustedKey>,
    valid_from: Timestamp,
    valid_until: Timestamp,
) -> TrustEntry {
    TrustEntry { court: court.to_owned(), ..trust_entry(name, TrustRole::Judge, key.into(), valid_from, valid_until) }
}

/// The entry of an agency's records custodian: what he attests and the codes he issues count for that agency only.
#[must_use]
pub fn custodian_trust_entry(
    name: &str,
    agency: AgencyId,
    key: impl Into<TrustedKey>,
    valid_from: Timestamp,
    valid_until: Timestamp,
) -> TrustEntry {
    let entry = trust_entry(name, TrustRole::Custodian, key.into(), valid_from, valid_until);
    TrustEntry { agency: Some(agency.0), ..entry }
}

/// The entry of an auditor, by which keepers recognise his calls and reviews.
///
/// # Errors
/// `Refused` for a card that cannot be read.
pub fn auditor_trust_entry(
    card: &AuditorCard,
    valid_from: Timestamp,
    valid_until: Timestamp,
) -> Result<TrustEntry, FoundingError> {
    let vkey = VerifierKey::parse(&card.vkey)
        .map_err(|_grammar| FoundingError::Refused("the auditor's card has no readable key"))?;
    Ok(trust_entry(&card.name, TrustRole::Auditor, vkey.into(), valid_from, valid_until))
}

fn trust_entry(
    name: &str,
    role: TrustRole,
    key: TrustedKey,
    valid_from: Timestamp,
    valid_until: Timestamp,
) -> TrustEntry {
    let TrustedKey { vkey, site } = key;
    let (rp_id, origins) =
        site.map_or_else(Default::default, |site| (site.rp_id().to_owned(), site.origins().to_vec()));
    TrustEntry {
        name: name.to_owned(),
        role,
        court: String::new(),
        vkey,
        rp_id,
        origins,
        valid_from,
        valid_until,
        may_issue: false,
        agency: None,
    }
}

/// A plate in a court's order, in clear: the order stays with the court and the officer.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlateOrdered {
    /// Jurisdiction such as `US-CT` or `POL`, or empty where it is not known.
    pub state: String,
    /// Text of the plate.
    pub text: String,
}

/// What a judge orders, as the clerk writes it down (JSON). Times are `2026-11-22T14:00:00Z`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarrantOrder {
    /// `search-warrant` or `court-order`.
    pub kind: String,
    /// Name of the judge's key in the trust list.
    pub issuer: String,
    /// The court.
    pub court: String,
    /// Docket number.
    pub docket: String,
    /// Valid from (inclusive).
    pub valid_from: String,
    /// Valid until (exclusive), at most 366 days later.
    pub valid_until: String,
    /// Id of the agency that may ask.
    pub requester: String,
    /// The officer's key, base64url; empty for any officer of that agency.
    pub officer: String,
    /// Ids of the owners that may be asked.
    pub owners: Vec<String>,
    /// The plates.
    pub plates: Vec<PlateOrdered>,
    /// The time that may be searched, from and to.
    pub window: (String, String),
    /// Purpose, by its name in the policy.
    pub purpose: String,
    /// Class of the offence, by its name in the policy.
    pub offence: String,
    /// Requests under this paper at one keeper, at least 1.
    pub max_requests: u64,
    /// SHA-256 of the paper itself, 64 hexadecimal digits or base64url, or empty.
    pub pdf: String,
    /// Digest of the paper that this one replaces, 64 hexadecimal digits or base64url, or empty.
    pub supersedes: String,
}

macro_rules! redacted {
    ($($name:ident)*) => {$(
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

pub(super) use redacted;

redacted! { PlateOrdered WarrantOrder SignedPaper DraftPaper PasskeyPaper }

/// A signed paper with the disclosures of its plates.
#[derive(Clone)]
pub struct SignedPaper {
    /// The `.auth` file.
    pub auth: Vec<u8>,
    /// One text a plate, in the order of the order's plates.
    pub disclosures: Vec<String>,
    /// Opens the person whom the paper names by digest, if it names one. Stays with the signer.
    pub person: Option<String>,
    /// By which requests and entries name it.
    pub digest: [u8; 32],
}

/// A paper that nobody signed yet: the object, and what stays beside it.
#[derive(Clone)]
pub struct DraftPaper {
    object: UnsignedObject,
    issuer: String,
    disclosures: Vec<String>,
    person: Option<String>,
}

impl DraftPaper {
    /// `issuer` is the object's own; `disclosures` and `person` open what it names by digest.
    pub(super) fn new(
        object: &impl Signable,
        issuer: &str,
        disclosures: Vec<String>,
        person: Option<String>,
    ) -> Result<Self, FoundingError> {
        Ok(Self { object: object.unsigned()?, issuer: issuer.to_owned(), disclosures, person })
    }

    /// Signs it with a key file.
    ///
    /// # Errors
    /// `KeyFile`; `Rule`.
    pub fn sign(self, key: &Path) -> Result<SignedPaper, FoundingError> {
        let auth = self.object.sign(&[&note_signer(key, &self.issuer)?])?;
        Ok(self.signed(auth))
    }

    fn signed(self, auth: Vec<u8>) -> SignedPaper {
        let digest = self.object.digest();
        SignedPaper { auth, disclosures: self.disclosures, person: self.person, digest }
    }
}

/// A paper together with the passkey that is to sign it.
#[derive(Clone)]
pub struct PasskeyPaper {
    draft: DraftPaper,
    passkey: EnrolledPasskey,
}

impl PasskeyPaper {
    /// # Errors
    /// `Refused` if the paper's issuer is not the name of this passkey; `Name` if that can be no key's name.
    pub fn new(draft: DraftPaper, passkey: EnrolledPasskey) -> Result<Self, FoundingError> {
        TrustedKey::of_passkey(&passkey)?;
        // Keepers look for the issuer among the good signatures: under another name the paper would count for nothing.
        if draft.issuer != passkey.name {
            return Err(refused("issuer: not the name of this passkey"));
        }
        Ok(Self { draft, passkey })
    }

    /// The passkey.
    #[must_use]
    pub const fn passkey(&self) -> &EnrolledPasskey {
        &self.passkey
    }

    /// The challenge, by which requests and entries will name the paper.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.draft.object.digest()
    }

    /// The paper with what the authenticator answered.
    ///
    /// # Errors
    /// `Rule` unless this passkey signed exactly this paper on one of its own pages.
    pub fn sign(&self, assertion: &Assertion) -> Result<SignedPaper, FoundingError> {
        let EnrolledPasskey { name, passkey, .. } = &self.passkey;
        let auth = self.draft.object.sign_by_passkey(name, passkey, assertion)?;
        Ok(self.draft.clone().signed(auth))
    }
}

/// Signs what a judge orders with the judge's key file.
///
/// # Errors
/// `KeyFile`; `Refused` naming the field that cannot be read; `Rule`.
pub fn sign_warrant(
    order: &WarrantOrder,
    key: &Path,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<SignedPaper, FoundingError> {
    draft_warrant(order, now, rng)?.sign(key)
}

/// What a judge orders, before it is signed.
pub(super) fn draft_warrant(
    order: &WarrantOrder,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<DraftPaper, FoundingError> {
    let kind = PaperKind::from_name(&order.kind).ok_or(refused("kind: neither search-warrant nor court-order"))?;
    draft_paper(order, PaperSource::Court(kind), now, rng)
}

/// A paper of a court, or what a custodian says of one, before it is signed.
pub(super) fn draft_paper(
    order: &WarrantOrder,
    source: PaperSource,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<DraftPaper, FoundingError> {
    let times = times_of(order)?;
    if order.max_requests == 0 {
        return Err(refused("max_requests: a paper of no request; at least 1"));
    }
    let mut disclosures = Vec::new();
    let mut plates = Vec::new();
    for plate in &order.plates {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let disclosure = disclose_plate(&named(plate)?, salt)?;
        plates.push(disclosure.digest());
        disclosures.push(disclosure.expose_text().to_owned());
    }
    let paper = Paper {
        header: header(&order.issuer, now, rng),
        source,
        terms: PaperTerms {
            court: order.court.clone(),
            docket: order.docket.clone(),
            valid_from: times.valid.0,
            valid_until: times.valid.1,
            requester: agency(&order.requester, "requester: not an agency's id")?,
            officer: optional(&order.officer, "officer: not a key")?,
            owners: order
                .owners
                .iter()
                .map(|id| agency(id, "owners: not an agency's id"))
                .collect::<Result<Vec<_>, _>>()?,
            plates,
            window: times.window,
            purpose: Purpose::from_name(&order.purpose).ok_or(refused("purpose: not on the list"))?,
            offence: Offence::from_name(&order.offence).ok_or(refused("offence: not on the list"))?,
            max_requests: order.max_requests,
            pdf: optional(&order.pdf, "pdf: not a digest")?,
            supersedes: optional(&order.supersedes, "supersedes: not a digest")?,
        },
    };
    DraftPaper::new(&paper, &order.issuer, disclosures, None)
}

/// The times of an order.
struct OrderTimes {
    valid: (Timestamp, Timestamp),
    window: (Timestamp, Timestamp),
}

/// Keepers believe no paper of other times; the signer is to hear it before he signs.
fn times_of(order: &WarrantOrder) -> Result<OrderTimes, FoundingError> {
    let valid_from = time(&order.valid_from, "valid_from: not a time")?;
    let valid_until = time(&order.valid_until, "valid_until: not a time")?;
    let window = (time(&order.window.0, "window: not a time")?, time(&order.window.1, "window: not a time")?);
    if valid_until <= valid_from {
        return Err(refused("valid_until: not after valid_from"));
    }
    if valid_until.0.saturating_sub(valid_from.0) > PAPER_SECONDS_MAX {
        return Err(refused("valid_until: more than 366 days after valid_from"));
    }
    if window.1 <= window.0 {
        return Err(refused("window: ends before it begins"));
    }
    Ok(OrderTimes { valid: (valid_from, valid_until), window })
}

pub(super) fn named(plate: &PlateOrdered) -> Result<PlateName, FoundingError> {
    // The canonical form would leave a wildcard out, and the paper would name another plate than the one ordered.
    let whole = Some(plate.text.as_str()).filter(|text| !has_wildcard(text));
    let whole = whole.ok_or(refused("plates: * % _ ? # @ are in no plate; name the whole plate"))?;
    let text = Plate::parse(whole).filter(|plate| !plate.is_overlong());
    let text = text.ok_or(refused("plates: not the text of a plate, 1 to 16 letters and digits"))?;
    let state = match plate.state.as_str() {
        "" => None,
        code => Some(jurisdiction::written(code).map_err(|no_code| {
            refused(match no_code {
                NoCode::Bare => {
                    "plates: two letters of a state alone could be a country's; write US-CT, and for a country of these \
                     letters its three: DEU"
                }
                NoCode::Unknown => "plates: no such code of a state or country; write it like US-CT, or a country as PL",
            })
        })?),
    };
    Ok(PlateName::new(&text, state))
}

/// What an agency declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclarationTerms {
    /// Which declaration.
    pub declaration: DeclarationName,
    /// To which owner; none for every owner of that state.
    pub owner: Option<AgencyId>,
    /// Name and office of the person who signs.
    pub signer: String,
    /// In force from (inclusive).
    pub valid_from: Timestamp,
    /// In force until (exclusive), at most two years later.
    pub valid_until: Timestamp,
}

/// Signs a declaration with the agency's key file; the `.auth` file.
///
/// # Errors
/// `KeyFile`; `Refused` for an unreadable card; `Rule`.
pub fn sign_declaration(
    card: &AgencyCard,
    key: &Path,
    terms: &DeclarationTerms,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, FoundingError> {
    let vkey =
        VerifierKey::parse(&card.agency_key).map_err(|_grammar| refused("the agency's card has no readable key"))?;
    let signer = note_signer(key, vkey.name().as_str())?;
    let words = declaration_text(terms.declaration);
    let declaration = Declaration {
        header: header(vkey.name().as_str(), now, rng),
        body: DeclarationBody {
            agency: agency(&card.id, "the agency's card has no readable id")?,
            owner: terms.owner.map(|owner| owner.0),
            declaration: terms.declaration,
            text: Sha256::digest(words.as_bytes()).into(),
            signer: terms.signer.clone(),
            valid_from: terms.valid_from,
            valid_until: terms.valid_until,
            pdf: None,
        },
    };
    Ok(declaration.sign(&[&signer])?)
}

pub(super) fn header(issuer: &str, now: Timestamp, rng: &mut impl CryptoRng) -> Header {
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    Header { v: VersionOne, nonce, issued: now, issuer: issuer.to_owned() }
}

pub(super) const fn refused(what: &'static str) -> FoundingError {
    FoundingError::Refused(what)
}

pub(super) fn time(text: &str, what: &'static str) -> Result<Timestamp, FoundingError> {
    parse_time(text).ok_or(refused(what))
}

pub(super) fn agency(text: &str, what: &'static str) -> Result<AgencyId, FoundingError> {
    AgencyId::parse(text).ok_or(refused(what))
}

/// A digest or none, as hexadecimal digits or base64url: commands print the first, registers and cards have the second. No text is both.
pub(super) fn optional(text: &str, what: &'static str) -> Result<Option<[u8; 32]>, FoundingError> {
    let digest = || hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok()).or_else(|| from_b64url(text));
    if text.is_empty() { Ok(None) } else { digest().map(Some).ok_or(refused(what)) }
}

//! Orders that a person writes down as JSON and signs with `lockplate sign`: a court's warrant or order, or what a records custodian says of
//! one; a court's delay of notice; a proof of registration; a revocation, a trust list, a policy change. What names a plate or a person stays
//! with the signer and in the disclosures; the signed file holds digests.

use std::path::Path;

use lockplate_core::Timestamp;
use lockplate_core::authorisation::{Attested, CourtCall, PaperKind, PaperSource, disclose_plate};
use lockplate_core::directory::{TrustEntry, TrustList, TrustListBody};
use lockplate_core::disclosure::Disclosure;
use lockplate_core::embargo::{DelayNotice, DelayNoticeBody};
use lockplate_core::json::{Field as _, Json, parse_canonical};
use lockplate_core::ownership::{Ownership, OwnershipBody};
use lockplate_core::policy_change::{PolicyChange, PolicyChangeBody};
use lockplate_core::revocation::{Revocation, RevocationBody, RevocationReason};
use lockplate_core::signed::SignedObject;
use lockplate_log::note::VerifierKey;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::papers::{DraftPaper, agency, draft_paper, draft_warrant, header, named, optional, redacted, refused, time};
use super::{FoundingError, PlateOrdered, SignedPaper, WarrantOrder, note_signer};

/// What a judge orders so that nobody is told yet. Times are `2026-11-22T14:00:00Z`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelayOrder {
    /// Always `delay-notice`.
    pub kind: String,
    /// Name of the judge's key in the trust list.
    pub issuer: String,
    /// The court.
    pub court: String,
    /// Docket number.
    pub docket: String,
    /// The request: the 64 hexadecimal digits that `search` prints, and its page of the register.
    pub request: String,
    /// Until then nobody is told, at most 366 days from now.
    pub until: String,
}

/// What a records custodian saw at the counter.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnershipOrder {
    /// Always `ownership`.
    pub kind: String,
    /// Name of the custodian's key in the trust list.
    pub issuer: String,
    /// Id of the owner of the archive.
    pub owner: String,
    /// The person, in clear.
    pub person: String,
    /// The plates as they are registered.
    pub plates: Vec<PlateOrdered>,
    /// The person is the registered owner, and showed who he is.
    pub registered: bool,
    /// Every co-registrant consented, or there is none.
    pub co_registrants_consent: bool,
    /// Valid until, at most 30 days from now.
    pub until: String,
}

redacted! { OwnershipOrder AttestationOrder }

/// What a records custodian says of a paper that he holds in his hands.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationOrder {
    /// Always `attestation`.
    pub kind: String,
    /// Who at the court confirmed the paper.
    pub called: CalledOrder,
    /// What the paper says. Its `issuer` is the name of the custodian's key, and its `pdf` is required.
    pub paper: WarrantOrder,
}

/// A call to the court.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalledOrder {
    /// Who answered.
    pub who: String,
    /// When.
    pub time: String,
}

/// A paper, a declaration or a key that no longer counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationOrder {
    /// Always `revocation`.
    pub kind: String,
    /// Name of the signing key.
    pub issuer: String,
    /// Digest of the object, 64 hexadecimal digits or base64url; empty for a key.
    pub object: String,
    /// The key as it stands in the trust list; empty for an object.
    pub key: String,
    /// Why: `compromised`, `mistake`, `ended`, `superseded` or `other`.
    pub reason: String,
    /// From then on.
    pub from: String,
}

/// The keys that an owner's keepers recognise from some day on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustListOrder {
    /// Always `trust-list`.
    pub kind: String,
    /// Name of the signing key.
    pub issuer: String,
    /// Id of the owner.
    pub owner: String,
    /// One more than that of the list in force; the charter's is 0.
    pub serial: u64,
    /// Digest of the list in force, 64 hexadecimal digits or base64url; empty for the charter's.
    pub previous: String,
    /// All entries, as they stand in the charter.
    pub entries: Vec<serde_json::Value>,
}

/// Which policy follows which.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyChangeOrder {
    /// Always `policy-change`.
    pub kind: String,
    /// Name of the signing key.
    pub issuer: String,
    /// Id of the owner.
    pub owner: String,
    /// Policy digest in force, 64 hexadecimal digits as `lockplate policy check` prints it.
    pub old: String,
    /// Policy digest of the bundle that follows; the same to cancel a change that waits.
    pub new: String,
    /// Not before then.
    pub effective: String,
    /// SHA-256 of the published text that says what becomes allowed, 64 hexadecimal digits; empty for a change that is narrower.
    pub allows: String,
}

/// Any of them, told apart by `kind`.
#[derive(Clone, Debug)]
pub enum Order {
    /// A court's warrant or order.
    Warrant(Box<WarrantOrder>),
    /// What a custodian says of a court's paper.
    Attestation(Box<AttestationOrder>),
    /// A revocation.
    Revocation(RevocationOrder),
    /// A trust list.
    TrustList(TrustListOrder),
    /// A policy change.
    PolicyChange(PolicyChangeOrder),
    /// A court's delay of notice.
    Delay(DelayOrder),
    /// A custodian's proof of registration.
    Ownership(OwnershipOrder),
}

impl Order {
    /// Reads an order.
    ///
    /// # Errors
    /// Where the file stops to be one: line and column, and no word of it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let Kind { kind } = serde_json::from_slice(bytes)?;
        match kind.as_str() {
            "delay-notice" => serde_json::from_slice(bytes).map(Self::Delay),
            "ownership" => serde_json::from_slice(bytes).map(Self::Ownership),
            "attestation" => serde_json::from_slice(bytes).map(|order| Self::Attestation(Box::new(order))),
            "revocation" => serde_json::from_slice(bytes).map(Self::Revocation),
            "trust-list" => serde_json::from_slice(bytes).map(Self::TrustList),
            "policy-change" => serde_json::from_slice(bytes).map(Self::PolicyChange),
            _ => serde_json::from_slice(bytes).map(|order| Self::Warrant(Box::new(order))),
        }
    }

    /// The order in words, a line each, as it will be signed. Names plates and persons: for the signer's eyes.
    #[must_use]
    pub fn expose_words(&self) -> Vec<String> {
        match self {
            Self::Warrant(order) => warrant_words(order),
            Self::Attestation(order) => {
                let mut words = vec![format!(
                    "attestation by {}: the paper was seen, and {} confirmed it at {}",
                    order.paper.issuer, order.called.who, order.called.time
                )];
                words.extend(warrant_words(&order.paper));
                words
            }
            Self::Revocation(order) => vec![
                format!("revocation of {}{}", order.object, order.key),
                format!("  reason     {}", order.reason),
                format!("  from       {}", order.from),
            ],
            Self::TrustList(order) => {
                let mut words =
                    vec![format!("trust list no. {} of {}, after {}", order.serial, order.owner, order.previous)];
                let field = |entry: &serde_json::Value, name: &str| {
                    entry.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
                };
                words.extend(order.entries.iter().map(|entry| {
                    let (role, name, court) = (field(entry, "role"), field(entry, "name"), field(entry, "court"));
                    format!("  {role:<10} {name} {court} {}", field(entry, "vkey"))
                }));
                words
            }
            Self::PolicyChange(order) => vec![
                format!("policy change for {}", order.owner),
                format!("  old        {}", order.old),
                format!("  new        {}", order.new),
                format!("  allows     {}", if order.allows.is_empty() { "nothing new" } else { order.allows.as_str() }),
                format!("  not before {}", order.effective),
            ],
            Self::Delay(order) => vec![
                format!("{} of {}, docket {}", order.kind, order.court, order.docket),
                format!("  request    {}", order.request),
                format!("  nobody is told before {}", order.until),
            ],
            Self::Ownership(order) => {
                let yes = |fact| if fact { "yes" } else { "no" };
                let mut words =
                    vec![format!("{} for {}", order.kind, order.owner), format!("  person     {}", order.person)];
                words.extend(plate_words(&order.plates));
                words.extend([
                    format!("  registered {}", yes(order.registered)),
                    format!("  consents   {}", yes(order.co_registrants_consent)),
                    format!("  in force   until {}", order.until),
                ]);
                words
            }
        }
    }

    /// Signs it with a key file.
    ///
    /// # Errors
    /// `KeyFile`; `Refused` naming the field that cannot be read; `Rule`.
    pub fn sign(&self, key: &Path, now: Timestamp, rng: &mut impl CryptoRng) -> Result<SignedPaper, FoundingError> {
        self.draft(now, rng)?.sign(key)
    }

    /// The paper before it is signed; `now` is when it says that it was issued.
    ///
    /// # Errors
    /// `Refused` naming the field that cannot be read; `Rule`.
    pub fn draft(&self, now: Timestamp, rng: &mut impl CryptoRng) -> Result<DraftPaper, FoundingError> {
        match self {
            Self::Warrant(order) => draft_warrant(order, now, rng),
            Self::Attestation(order) => draft_attestation(order, now, rng),
            Self::Revocation(order) => draft_revocation(order, now, rng),
            Self::TrustList(order) => draft_trust_list(order, now, rng),
            Self::PolicyChange(order) => draft_policy_change(order, now, rng),
            Self::Delay(order) => draft_delay(order, now, rng),
            Self::Ownership(order) => draft_ownership(order, now, rng),
        }
    }
}

fn plate_words(plates: &[PlateOrdered]) -> Vec<String> {
    plates.iter().map(|plate| format!("  plate      {} {}", plate.text, plate.state)).collect()
}

fn warrant_words(order: &WarrantOrder) -> Vec<String> {
    let mut words = vec![
        format!("{} of {}, docket {}", order.kind, order.court, order.docket),
        format!("  for        {} on {}", order.requester, order.owners.join(", ")),
    ];
    words.extend(plate_words(&order.plates));
    words.extend([
        format!("  time       {} to {}", order.window.0, order.window.1),
        format!("  purpose    {}, offence {}", order.purpose, order.offence),
        format!("  in force   {} to {}, {} requests at most", order.valid_from, order.valid_until, order.max_requests),
    ]);
    let named = [("officer", &order.officer), ("file", &order.pdf), ("replaces", &order.supersedes)];
    let named = named.iter().filter(|(_, text)| !text.is_empty());
    words.extend(named.map(|(what, text)| format!("  {what:<10} {text}")));
    words
}

fn draft_attestation(
    order: &AttestationOrder,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<DraftPaper, FoundingError> {
    let paper_kind = PaperKind::from_name(&order.paper.kind);
    let paper_kind = paper_kind.ok_or(refused("paper.kind: neither search-warrant nor court-order"))?;
    if order.paper.pdf.is_empty() {
        return Err(refused("paper.pdf: an attestation names the paper that was seen by its SHA-256"));
    }
    let called =
        CourtCall { who: order.called.who.clone(), time: time(&order.called.time, "called.time: not a time")? };
    draft_paper(&order.paper, PaperSource::Attestation(Attested { paper_kind, called }), now, rng)
}

fn draft_revocation(
    order: &RevocationOrder,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<DraftPaper, FoundingError> {
    let revoked = match order.key.as_str() {
        "" => None,
        text => Some(VerifierKey::parse(text).map_err(|_grammar| refused("key: not a key of the trust list"))?),
    };
    let body = RevocationBody {
        object: optional(&order.object, "object: not a digest")?,
        key: revoked,
        reason: RevocationReason::from_name(&order.reason).ok_or(refused("reason: not on the list"))?,
        from: time(&order.from, "from: not a time")?,
    };
    DraftPaper::new(&Revocation { header: header(&order.issuer, now, rng), body }, &order.issuer, Vec::new(), None)
}

fn draft_trust_list(
    order: &TrustListOrder,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<DraftPaper, FoundingError> {
    let entry = |value: &serde_json::Value| {
        let text = serde_json::to_vec(value).unwrap_or_default();
        let entry = parse_canonical(&text).and_then(TrustEntry::from_json);
        entry.map_err(|_form| refused("entries: not entries as they stand in a charter"))
    };
    let body = TrustListBody {
        owner: agency(&order.owner, "owner: not an agency's id")?,
        serial: order.serial,
        previous: optional(&order.previous, "previous: not a digest")?,
        entries: order.entries.iter().map(entry).collect::<Result<_, FoundingError>>()?,
    };
    DraftPaper::new(&TrustList { header: header(&order.issuer, now, rng), body }, &order.issuer, Vec::new(), None)
}

fn draft_policy_change(
    order: &PolicyChangeOrder,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<DraftPaper, FoundingError> {
    let body = PolicyChangeBody {
        owner: agency(&order.owner, "owner: not an agency's id")?,
        old: digest(&order.old, "old: not the 64 hexadecimal digits of a policy")?,
        new: digest(&order.new, "new: not the 64 hexadecimal digits of a policy")?,
        effective: time(&order.effective, "effective: not a time")?,
        allows: match order.allows.as_str() {
            "" => None,
            text => Some(digest(text, "allows: not 64 hexadecimal digits")?),
        },
    };
    DraftPaper::new(&PolicyChange { header: header(&order.issuer, now, rng), body }, &order.issuer, Vec::new(), None)
}

fn digest(text: &str, what: &'static str) -> Result<[u8; 32], FoundingError> {
    hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(refused(what))
}

/// Adds one more signature to a paper that several sign: policy signers, for one.
///
/// # Errors
/// `KeyFile`; `Rule` if it is no signed object, or this key signed it already.
pub fn cosign(paper: &[u8], key: &Path, name: &str) -> Result<Vec<u8>, FoundingError> {
    Ok(SignedObject::parse(paper)?.cosign(&note_signer(key, name)?)?)
}

fn draft_delay(order: &DelayOrder, now: Timestamp, rng: &mut impl CryptoRng) -> Result<DraftPaper, FoundingError> {
    let body = DelayNoticeBody {
        court: order.court.clone(),
        docket: order.docket.clone(),
        request: digest(&order.request, "request: not the 64 hexadecimal digits of a request")?,
        until: time(&order.until, "until: not a time")?,
    };
    let object = DelayNotice { header: header(&order.issuer, now, rng), body };
    DraftPaper::new(&object, &order.issuer, Vec::new(), None)
}

fn draft_ownership(
    order: &OwnershipOrder,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<DraftPaper, FoundingError> {
    let mut salt = || {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        salt
    };
    let person = Disclosure::new(salt(), "person", &Json::text(&order.person))?;
    let disclosures = order
        .plates
        .iter()
        .map(|plate| Ok(disclose_plate(&named(plate)?, salt())?))
        .collect::<Result<Vec<_>, FoundingError>>()?;
    let body = OwnershipBody {
        owner: agency(&order.owner, "owner: not an agency's id")?,
        person: person.digest(),
        plates: disclosures.iter().map(Disclosure::digest).collect(),
        registered: order.registered,
        co_registrants_consent: order.co_registrants_consent,
        until: time(&order.until, "until: not a time")?,
    };
    let object = Ownership { header: header(&order.issuer, now, rng), body };
    let texts = disclosures.iter().map(|one| one.expose_text().to_owned()).collect();
    DraftPaper::new(&object, &order.issuer, texts, Some(person.expose_text().to_owned()))
}

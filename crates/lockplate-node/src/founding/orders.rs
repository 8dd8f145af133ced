//! Orders that a person writes down as JSON and signs with `lockplate sign`: a court's warrant or order, a court's delay of
//! notice, a records custodian's proof of registration. What names a plate or a person stays with the signer and in the
//! disclosures; the signed file holds digests.

use std::path::Path;

use lockplate_core::Timestamp;
use lockplate_core::authorisation::disclose_plate;
use lockplate_core::disclosure::Disclosure;
use lockplate_core::embargo::{DelayNotice, DelayNoticeBody};
use lockplate_core::json::Json;
use lockplate_core::ownership::{Ownership, OwnershipBody};
use lockplate_core::signed::{Signable, SignedObject};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::papers::{agency, header, named, redacted, refused, time};
use super::{FoundingError, PlateOrdered, SignedPaper, WarrantOrder, note_signer, sign_warrant};

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

redacted! { OwnershipOrder }

/// Any of them, told apart by `kind`.
#[derive(Clone, Debug)]
pub enum Order {
    /// A court's warrant or order.
    Warrant(Box<WarrantOrder>),
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
            _ => serde_json::from_slice(bytes).map(|order| Self::Warrant(Box::new(order))),
        }
    }

    /// The order in words, a line each, as it will be signed. Names plates and persons: for the signer's eyes.
    #[must_use]
    pub fn expose_words(&self) -> Vec<String> {
        let plates = |plates: &[PlateOrdered]| {
            plates.iter().map(|plate| format!("  plate      {} {}", plate.text, plate.state)).collect::<Vec<_>>()
        };
        match self {
            Self::Warrant(order) => {
                let mut words = vec![
                    format!("{} of {}, docket {}", order.kind, order.court, order.docket),
                    format!("  for        {} on {}", order.requester, order.owners.join(", ")),
                ];
                words.extend(plates(&order.plates));
                words.extend([
                    format!("  time       {} to {}", order.window.0, order.window.1),
                    format!("  purpose    {}, offence {}", order.purpose, order.offence),
                    format!(
                        "  in force   {} to {}, {} requests at most",
                        order.valid_from, order.valid_until, order.max_requests
                    ),
                ]);
                words
            }
            Self::Delay(order) => vec![
                format!("{} of {}, docket {}", order.kind, order.court, order.docket),
                format!("  request    {}", order.request),
                format!("  nobody is told before {}", order.until),
            ],
            Self::Ownership(order) => {
                let yes = |fact| if fact { "yes" } else { "no" };
                let mut words =
                    vec![format!("{} for {}", order.kind, order.owner), format!("  person     {}", order.person)];
                words.extend(plates(&order.plates));
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
        match self {
            Self::Warrant(order) => sign_warrant(order, key, now, rng),
            Self::Delay(order) => sign_delay(order, key, now, rng),
            Self::Ownership(order) => sign_ownership(order, key, now, rng),
        }
    }
}

fn sign_delay(
    order: &DelayOrder,
    key: &Path,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<SignedPaper, FoundingError> {
    let request = hex::decode(&order.request).ok().and_then(|bytes| bytes.try_into().ok());
    let request: [u8; 32] = request.ok_or(refused("request: not the 64 hexadecimal digits of a request"))?;
    let body = DelayNoticeBody {
        court: order.court.clone(),
        docket: order.docket.clone(),
        request,
        until: time(&order.until, "until: not a time")?,
    };
    let object = DelayNotice { header: header(&order.issuer, now, rng), body };
    signed(&object, &order.issuer, key, Vec::new(), None)
}

fn sign_ownership(
    order: &OwnershipOrder,
    key: &Path,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<SignedPaper, FoundingError> {
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
    signed(&object, &order.issuer, key, texts, Some(person.expose_text().to_owned()))
}

fn signed(
    object: &impl Signable,
    issuer: &str,
    key: &Path,
    disclosures: Vec<String>,
    person: Option<String>,
) -> Result<SignedPaper, FoundingError> {
    let auth = object.sign(&[&note_signer(key, issuer)?])?;
    let digest = SignedObject::parse(&auth)?.digest();
    Ok(SignedPaper { auth, disclosures, person, digest })
}

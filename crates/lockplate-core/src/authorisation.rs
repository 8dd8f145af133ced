//! Court papers, and how `judicial` is computed (`authorisation.md` sections 2 and 3). Pure: a keeper hands in the file as it came
//! with the request and what it verified of the request; the steps are those of the page, in its order, and each refusal names
//! its step. A paper never helps by default: whatever does not hold is [`Verified::NONE`] or a refusal.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_log::note::VerifierKey;

use crate::Timestamp;
use crate::directory::{Trust, TrustEntry, TrustRole};
use crate::disclosure::Disclosure;
use crate::error::{Error, Result};
use crate::id::AgencyId;
use crate::json::{Field, Fields, Json, JsonObject, json_names, json_object};
use crate::ownership::Ownership;
use crate::request::{Opened, SearchRequest};
use crate::signed::{Header, Signable, SignedObject, sealed};
use crate::statement::PlateName;
use crate::vocabulary::{Assurance, Basis, Offence, Purpose};

/// A court paper is valid for at most 366 days.
pub const PAPER_SECONDS_MAX: u64 = 366 * 86_400;
/// A log-on counts for so many seconds.
pub const SESSION_SECONDS_MAX: u64 = 30 * 60;

json_names! {
    /// Kind of a court paper.
    PaperKind {
        /// A search warrant.
        SearchWarrant = "search-warrant",
        /// A court order.
        CourtOrder = "court-order",
    }
}

impl PaperKind {
    /// The basis a request states when it rests on such a paper.
    #[must_use]
    pub const fn basis(self) -> Basis {
        match self {
            Self::SearchWarrant => Basis::SearchWarrant,
            Self::CourtOrder => Basis::CourtOrder,
        }
    }
}

json_object! {
    /// What a court paper allows. Plates are named by salted digests; nothing else in it is secret.
    #[derive(Clone, PartialEq, Eq)]
    PaperTerms {
        /// The court.
        court: String,
        /// Docket number.
        docket: String,
        /// Valid from (inclusive).
        valid_from: Timestamp,
        /// Valid until (exclusive).
        valid_until: Timestamp,
        /// The agency that may ask.
        requester: AgencyId,
        /// The officer's key id; none for any officer of that agency.
        officer: Option<[u8; 32]>,
        /// The owners that may be asked.
        owners: Vec<AgencyId>,
        /// Salted digests of the plates.
        plates: Vec<[u8; 32]>,
        /// The time that may be searched, [from, to).
        window: (Timestamp, Timestamp),
        /// Purpose.
        purpose: Purpose,
        /// Class of the offence.
        offence: Offence,
        /// Requests under this paper at one keeper.
        max_requests: u64,
        /// SHA-256 of the paper itself.
        pdf: Option<[u8; 32]>,
        /// Digest of the object that this one replaces.
        supersedes: Option<[u8; 32]>,
    }
    /// Who at the court confirmed a paper, and when.
    #[derive(Clone, PartialEq, Eq)]
    CourtCall {
        /// Who.
        who: String,
        /// When.
        time: Timestamp,
    }
    /// What an attestation adds.
    #[derive(Clone, PartialEq, Eq)]
    Attested {
        /// Kind of the paper that was seen.
        paper_kind: PaperKind,
        /// Who confirmed it.
        called: CourtCall,
    }
    /// What an agency's desk says of an officer's log-on, for requests signed with a key file.
    #[derive(Clone, PartialEq, Eq)]
    SessionBody {
        /// The identity provider.
        provider: String,
        /// Its pseudonym of the person.
        subject: String,
        /// `acr` of the ID token, or empty.
        acr: String,
        /// `amr` of the ID token.
        amr: BTreeSet<String>,
        /// When the person logged on.
        auth_time: Timestamp,
        /// The request it is for.
        request_digest: [u8; 32],
    }
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

redacted! { PaperTerms CourtCall Attested SessionBody Paper SessionStatement PaperRequest }

/// Who vouches for a paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaperSource {
    /// The court signed it.
    Court(PaperKind),
    /// The owner's records custodian saw it and signed what it says.
    Attestation(Attested),
}

/// A `search-warrant`, `court-order` or `attestation`.
#[derive(Clone, PartialEq, Eq)]
pub struct Paper {
    /// Common fields.
    pub header: Header,
    /// Who vouches for it.
    pub source: PaperSource,
    /// What it allows.
    pub terms: PaperTerms,
}

impl Field for Paper {
    fn to_json(&self) -> Json {
        let mut fields = BTreeMap::new();
        self.header.put(&mut fields);
        self.terms.put(&mut fields);
        let kind = match &self.source {
            PaperSource::Court(kind) => kind.to_json(),
            PaperSource::Attestation(attested) => {
                attested.put(&mut fields);
                Json::text("attestation")
            }
        };
        fields.insert("kind".to_owned(), kind);
        Json::Object(fields)
    }

    fn from_json(value: Json) -> Result<Self> {
        let mut fields = Fields::of(value)?;
        let kind: String = fields.take("kind")?;
        let source = if kind == "attestation" {
            PaperSource::Attestation(Attested::take(&mut fields)?)
        } else {
            PaperSource::Court(PaperKind::from_name(&kind).ok_or(Error::malformed("not a court paper"))?)
        };
        let paper = Self { header: Header::take(&mut fields)?, source, terms: PaperTerms::take(&mut fields)? };
        fields.finish()?;
        Ok(paper)
    }
}

impl sealed::Sealed for Paper {}
impl Signable for Paper {}

/// A `session` object: the desk's word on how an officer logged on.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionStatement {
    /// Common fields.
    pub header: Header,
    /// Its own fields.
    pub body: SessionBody,
}

impl Field for SessionStatement {
    fn to_json(&self) -> Json {
        let mut fields = BTreeMap::from([("kind".to_owned(), Json::text("session"))]);
        self.header.put(&mut fields);
        self.body.put(&mut fields);
        Json::Object(fields)
    }

    fn from_json(value: Json) -> Result<Self> {
        let mut fields = Fields::of(value)?;
        fields.expect("kind", &Json::text("session"))?;
        let statement = Self { header: Header::take(&mut fields)?, body: SessionBody::take(&mut fields)? };
        fields.finish()?;
        Ok(statement)
    }
}

impl sealed::Sealed for SessionStatement {}
impl Signable for SessionStatement {}

/// A step of `authorisation.md` section 3 that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 1: the file is not the one that the request names.
    Digest,
    /// 2: it is not a paper.
    Form,
    /// 3: no good signature of a key that may issue it.
    Signature,
    /// 4: not valid now, or for too long.
    Validity,
    /// 5: another agency or officer.
    Requester,
    /// 6: another owner.
    Owner,
    /// 7: another plate.
    Plate,
    /// 8: outside the window, or another purpose or offence.
    Scope,
    /// 9: used up.
    Uses,
    /// 10: revoked or superseded.
    Withdrawn,
    /// 11: the request states another basis.
    Basis,
}

impl Step {
    /// Its id, beside the rule that refuses the request (`base.claimed-paper`).
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.words().0
    }

    /// Why the paper does not count, for the officer.
    #[must_use]
    pub const fn say(self) -> &'static str {
        self.words().1
    }

    /// What would mend it.
    #[must_use]
    pub const fn fix(self) -> &'static str {
        self.words().2
    }

    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Digest => (
                "paper.other-file",
                "The file attached is not the paper that the request names.",
                "Attach the paper itself.",
            ),
            Self::Form => (
                "paper.form",
                "The file attached is not a signed paper of a court or of the records custodian.",
                "Attach the signed file as the court or the custodian made it.",
            ),
            Self::Signature => (
                "paper.signature",
                "The paper is not signed by a judge, clerk or custodian whose key this owner recognises, or was changed after signing.",
                "Ask the court for a paper signed with its enrolled key, or have the owner's records custodian attest it.",
            ),
            Self::Validity => {
                ("paper.expired", "The paper is not in force now.", "Ask the court for a paper that is in force.")
            }
            Self::Requester => (
                "paper.other-agency",
                "The paper names another agency or another officer.",
                "Let the agency and officer file that the paper names.",
            ),
            Self::Owner => (
                "paper.other-owner",
                "The paper does not name this owner of reads.",
                "Ask the owners that the paper names.",
            ),
            Self::Plate => (
                "paper.other-plate",
                "The paper does not name this plate, or the file that discloses its plate was not attached.",
                "Ask for the plate that the paper names, and attach its disclosure.",
            ),
            Self::Scope => (
                "paper.other-scope",
                "The request goes beyond the paper's time, purpose or offence.",
                "Ask within the time the paper covers, for its purpose and offence.",
            ),
            Self::Uses => {
                ("paper.used-up", "The paper has been used as often as it allows.", "Ask the court for another paper.")
            }
            Self::Withdrawn => (
                "paper.withdrawn",
                "The paper was revoked, or a later one took its place.",
                "Attach the paper in force.",
            ),
            Self::Basis => (
                "paper.other-kind",
                "The paper is of another kind than the basis stated.",
                "State the basis that the paper is: a search warrant or a court order.",
            ),
        }
    }
}

/// What a keeper verified of a request, as far as a paper is concerned.
#[derive(Clone, PartialEq, Eq)]
pub struct PaperRequest {
    /// `authorisation_digest` of the request.
    pub authorisation_digest: [u8; 32],
    /// The officer's agency.
    pub requester: AgencyId,
    /// Owner of the archive.
    pub owner: AgencyId,
    /// Key id under which the officer's signature is good.
    pub officer_key: [u8; 32],
    /// Purpose stated.
    pub purpose: Purpose,
    /// Basis stated.
    pub basis: Basis,
    /// Class of the offence stated.
    pub offence: Offence,
    /// Window asked, [from, to).
    pub window: (Timestamp, Timestamp),
    /// The plate named in the opened statement.
    pub plate: PlateName,
    /// Other requests (distinct digests) under this paper in this keeper's log.
    pub uses: u64,
}

impl PaperRequest {
    /// What a request asks under its paper, used for the first time.
    #[must_use]
    pub fn of(request: &Opened<SearchRequest>) -> Self {
        let (asked, statement) = (request.request(), request.text().statement.statement());
        Self {
            authorisation_digest: asked.authorisation_digest,
            requester: asked.requester_agency,
            owner: asked.owner_agency,
            officer_key: asked.officer_key,
            purpose: asked.purpose,
            basis: asked.basis,
            offence: statement.offence.class,
            window: (asked.win_from, asked.win_to),
            plate: statement.plate.clone(),
            uses: 0,
        }
    }
}

/// Who withdrew a paper. A keeper may hear of it before it sees the paper, so whether it counts is seen then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WithdrawnBy {
    /// The key of this name, which counts if it issued the paper.
    Issuer(String),
    /// A later paper of this court, which counts if the paper is of the same court.
    Court(String),
    /// Enough policy signers.
    Signers,
}

/// What a keeper knows of withdrawn papers and keys, from its own log and files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Papers that were revoked or superseded, by digest.
    pub papers: BTreeMap<[u8; 32], BTreeSet<WithdrawnBy>>,
    /// Keys that were revoked, by the text of their vkey, and from when.
    pub keys: BTreeMap<String, Timestamp>,
}

impl Withdrawn {
    /// True if the paper of this digest, issuer and court (empty for papers of no court) was withdrawn by somebody who may.
    #[must_use]
    pub fn covers(&self, digest: &[u8; 32], issuer: &str, court: &str) -> bool {
        self.papers.get(digest).into_iter().flatten().any(|by| match by {
            WithdrawnBy::Issuer(name) => name == issuer,
            WithdrawnBy::Court(of) => !court.is_empty() && of == court,
            WithdrawnBy::Signers => true,
        })
    }

    fn has_revoked(&self, entry: &TrustEntry, now: Timestamp) -> bool {
        self.keys.get(&entry.vkey.to_string()).is_some_and(|from| *from <= now)
    }
}

/// The keys that sign for an agency now: on the trust list, valid, not revoked.
#[must_use]
pub fn agency_keys(trust: &Trust, withdrawn: &Withdrawn, agency: AgencyId, now: Timestamp) -> Vec<VerifierKey> {
    let own = |entry: &&TrustEntry| entry.role == TrustRole::Agency && entry.agency == Some(agency.0);
    let entries = trust.entries().iter().filter(own);
    let entries = entries.filter(|entry| entry.is_valid_at(now) && !withdrawn.has_revoked(entry, now));
    entries.map(|entry| entry.vkey.clone()).collect()
}

/// The facts that come of a paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// A court's paper that counts.
    pub judicial: bool,
    /// How it was verified.
    pub assurance: Assurance,
    /// Valid from.
    pub valid_from: Timestamp,
    /// Valid until.
    pub valid_until: Timestamp,
}

impl Verified {
    /// No paper: what stands in the facts when a request names none.
    pub const NONE: Self =
        Self { judicial: false, assurance: Assurance::None, valid_from: Timestamp(0), valid_until: Timestamp(0) };
}

/// Judges the paper that came with a request: the eleven steps of `authorisation.md` section 3.
///
/// `disclosures` open plates of the paper; `accept_attested` is the charter's switch.
///
/// # Errors
/// The first step that does not hold. The keeper treats it as [`Verified::NONE`] and lets the policy refuse a claimed court
/// basis (`base.claimed-paper`); for [`Step::Basis`] it refuses by `keeper.facts`.
pub fn judge(
    file: &[u8],
    request: &PaperRequest,
    disclosures: &[Disclosure],
    trust: &Trust,
    withdrawn: &Withdrawn,
    accept_attested: bool,
    now: Timestamp,
) -> core::result::Result<Verified, Step> {
    let step = |holds: bool, step: Step| if holds { Ok(()) } else { Err(step) };
    let object = SignedObject::parse(file).ok().ok_or(Step::Form)?;
    let digest = object.digest();
    step(digest == request.authorisation_digest, Step::Digest)?;
    let paper: Paper = object.read().ok().ok_or(Step::Form)?;
    step(has_good_signer(&object, &paper, request, trust, withdrawn, now), Step::Signature)?;

    let terms = &paper.terms;
    let length = terms.valid_until.0.saturating_sub(terms.valid_from.0);
    step(terms.valid_from <= now && now < terms.valid_until && length <= PAPER_SECONDS_MAX, Step::Validity)?;
    let officer_fits = terms.officer.is_none_or(|officer| officer == request.officer_key);
    step(terms.requester == request.requester && officer_fits, Step::Requester)?;
    step(terms.owners.contains(&request.owner), Step::Owner)?;
    step(names_plate(&terms.plates, &request.plate, disclosures), Step::Plate)?;
    let inside =
        terms.window.0 <= request.window.0 && request.window.1 <= terms.window.1 && request.window.0 < request.window.1;
    step(inside && terms.purpose == request.purpose && terms.offence == request.offence, Step::Scope)?;
    step(request.uses < terms.max_requests, Step::Uses)?;
    step(!withdrawn.covers(&digest, &paper.header.issuer, &terms.court), Step::Withdrawn)?;
    let (kind, judicial, assurance) = match &paper.source {
        PaperSource::Court(kind) => (*kind, true, Assurance::CourtKey),
        PaperSource::Attestation(attested) => (attested.paper_kind, accept_attested, Assurance::CustodianAttested),
    };
    step(kind.basis() == request.basis, Step::Basis)?;
    Ok(Verified { judicial, assurance, valid_from: terms.valid_from, valid_until: terms.valid_until })
}

/// The paper that a good paper takes the place of, and the court of both. A keeper that has seen the later one refuses the earlier.
#[must_use]
pub fn supersedes(
    object: &SignedObject,
    owner: AgencyId,
    trust: &Trust,
    withdrawn: &Withdrawn,
    now: Timestamp,
) -> Option<([u8; 32], WithdrawnBy)> {
    let paper: Paper = object.read().ok()?;
    let earlier = paper.terms.supersedes?;
    let mut signers = recognised(object, &paper.header, trust, withdrawn, now).into_iter();
    let good = signers.any(|entry| may_issue(entry, &paper, owner));
    (good && !withdrawn.covers(&object.digest(), &paper.header.issuer, &paper.terms.court))
        .then_some((earlier, WithdrawnBy::Court(paper.terms.court)))
}

/// Step 3: the issuer's own signature is good, and the issuer may issue this paper.
fn has_good_signer(
    object: &SignedObject,
    paper: &Paper,
    request: &PaperRequest,
    trust: &Trust,
    withdrawn: &Withdrawn,
    now: Timestamp,
) -> bool {
    let entries = recognised(object, &paper.header, trust, withdrawn, now);
    entries.into_iter().any(|entry| may_issue(entry, paper, request.owner))
}

/// The entries of the trust list that answer for an object: the issuer's own key, with a good signature on it, valid when it was
/// signed and not revoked now. What each may sign is for the caller to say. Empty if a known key's line fails.
pub(crate) fn recognised<'t>(
    object: &SignedObject,
    header: &Header,
    trust: &'t Trust,
    withdrawn: &Withdrawn,
    now: Timestamp,
) -> Vec<&'t TrustEntry> {
    let Ok(good) = object.verify_entries(trust.entries()) else { return Vec::new() };
    // An object from the future would outlive a later revocation of its key.
    if header.issued > now {
        return Vec::new();
    }
    good.into_iter()
        .filter(|entry| entry.vkey.name().as_str() == header.issuer)
        .filter(|entry| entry.is_valid_at(header.issued) && !withdrawn.has_revoked(entry, now))
        .collect()
}

fn may_issue(entry: &TrustEntry, paper: &Paper, owner: AgencyId) -> bool {
    let of_the_court = !entry.court.is_empty() && entry.court == paper.terms.court;
    match (&paper.source, entry.role) {
        (PaperSource::Court(_), TrustRole::Judge) => of_the_court,
        (PaperSource::Court(_), TrustRole::Clerk) => of_the_court && entry.may_issue,
        // The attested paper's own digest is required: what the custodian saw can be found again.
        (PaperSource::Attestation(_), TrustRole::Custodian) => {
            entry.agency == Some(owner.0) && paper.terms.pdf.is_some()
        }
        (
            PaperSource::Court(_) | PaperSource::Attestation(_),
            TrustRole::Judge
            | TrustRole::Clerk
            | TrustRole::Custodian
            | TrustRole::Supervisor
            | TrustRole::Agency
            | TrustRole::Auditor
            | TrustRole::Steward,
        ) => false,
    }
}

/// Step 7: a disclosure that came along opens a plate of the paper, under the name `plate`, to exactly the plate named. `plates`
/// are the paper's salted digests.
pub(crate) fn names_plate(plates: &[[u8; 32]], plate: &PlateName, disclosures: &[Disclosure]) -> bool {
    disclosures.iter().any(|disclosure| {
        plates.contains(&disclosure.digest())
            && disclosure.name() == "plate"
            && *disclosure.expose_value() == plate.to_json()
    })
}

/// The owners whom an attached object is about: those that a court paper or an attestation names, the one of a proof of
/// registration. `None` for an object of another kind, which names no owner. Says nothing of whether the object holds: each
/// keeper judges that ([`judge`], step 6, and `judge_ownership`); a requester learns here whom to spare a request that cannot pass.
#[must_use]
pub fn owners_named(object: &SignedObject) -> Option<Vec<AgencyId>> {
    if let Ok(paper) = object.read::<Paper>() {
        return Some(paper.terms.owners);
    }
    object.read::<Ownership>().ok().map(|proof| vec![proof.body.owner])
}

/// The disclosure of a plate for a paper; its digest goes into [`PaperTerms::plates`]. 16 random bytes of salt.
///
/// # Errors
/// None in practice: those of [`Disclosure::new`].
pub fn disclose_plate(plate: &PlateName, salt: [u8; 16]) -> Result<Disclosure> {
    Disclosure::new(salt, "plate", &plate.to_json())
}

/// True if a session statement shows two factors for one request: signed by the agency's desk key, for this request, log-on at
/// most 30 minutes old and not in the future, and `amr` with two different factors of `factors`, the
/// configured list. Absent means no.
///
/// # Errors
/// `Malformed` if it is not a session statement; `Invalid` if its signature does not hold.
pub fn verify_session(
    object: &SignedObject,
    desk_key: &VerifierKey,
    request_digest: &[u8; 32],
    factors: &BTreeSet<String>,
    now: Timestamp,
) -> Result<bool> {
    let statement: SessionStatement = object.read()?;
    let keys = [desk_key.clone()];
    crate::directory::issued_by(&statement.header, &object.verify(&keys)?)?;
    let body = statement.body;
    let age = now.0.checked_sub(body.auth_time.0);
    let recent = age.is_some_and(|age| age <= SESSION_SECONDS_MAX);
    let two_factors = body.amr.intersection(factors).count() >= 2;
    Ok(recent && two_factors && body.request_digest == *request_digest)
}

#[cfg(test)]
mod tests;

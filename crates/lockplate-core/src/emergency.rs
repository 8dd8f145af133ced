//! Emergencies (`authorisation.md` section 4): a search that cannot wait for a court. Two people say so under their names, nothing else
//! gets shorter, and within a day a paper says why: a court's, or a supervisor's written report. Whether a declaration counts, and whether
//! a paper files it, is decided here; the deadline and what follows from missing it are the keeper's.

use lockplate_log::note::{NoteSigner, Origin, SignatureType, VerifierKey};
use lockplate_oprf::Secret;
use rand_core::CryptoRng;

use crate::Timestamp;
use crate::directory::{CLOCK_SKEW_SECONDS_MAX, VerifiedDirectory, issued_by};
use crate::disclosure::{DISCLOSURE_BYTES_MAX, Disclosure};
use crate::envelope::{HpkePublicKey, HpkeSecretKey, decrypt, encrypt};
use crate::error::{Error, Result};
use crate::id::{b64url, from_b64url};
use crate::json::{json_names, json_object};
use crate::limits::ATTACHMENTS_MAX;
use crate::request::{Opened, SearchRequest};
use crate::sign::SigningKey;
use crate::signed::{Header, Signable as _, SignedObject, VersionOne, signed_kind};
use crate::vocabulary::Role;
use crate::wire::{Reader, Writer, th};

/// The paper of an emergency is due after so many seconds.
pub const PAPER_DUE_SECONDS: u64 = 86_400;
/// A declaration is made for the request at hand: it is at most so old when it is filed.
pub const DECLARED_SECONDS_MAX: u64 = 3_600;

/// How names of officers' keys begin in a signed object; the key's id follows.
const OFFICER: &str = "officer-";

json_names! {
    /// What is feared.
    Danger {
        /// Somebody may die.
        Life = "life",
        /// Somebody was taken.
        Abduction = "abduction",
        /// Somebody may be gravely hurt.
        SeriousInjury = "serious_injury",
        /// Somebody dangerous escapes.
        Escape = "escape",
    }
}

json_object! {
    /// Fields of a declared emergency.
    #[derive(Clone, Debug, PartialEq, Eq)]
    ExigencyBody {
        /// `request_id` of the request it is for.
        request_id: [u8; 16],
        /// What is feared.
        danger: Danger,
        /// [`facts_digest`] of what the officer states.
        facts: [u8; 32],
        /// When the paper is due: [`PAPER_DUE_SECONDS`] after `issued`.
        deadline: Timestamp,
    }
    /// Fields of a supervisor's report on an emergency.
    #[derive(Clone, Debug, PartialEq, Eq)]
    EmergencyReportBody {
        /// `request_digest` of the emergency.
        request: [u8; 32],
        /// SHA-256 of the written report, which stays with the agency.
        report: [u8; 32],
    }
}

signed_kind! {
    /// A declared emergency, signed by the officer and a supervisor.
    Exigency(ExigencyBody) = "exigency"
    /// A supervisor's written report, which files an emergency.
    EmergencyReport(EmergencyReportBody) = "emergency-report"
}

/// The name of an officer's key in a signed object: the key's id, and nobody's name.
#[must_use]
pub fn officer_name(key_id: &[u8; 32]) -> String {
    format!("{OFFICER}{}", b64url(key_id))
}

/// An officer's Ed25519 key as the key of a signed object.
///
/// # Errors
/// `Invalid` if it is no key.
pub fn officer_note_key(key_id: &[u8; 32]) -> Result<VerifierKey> {
    Origin::parse(&officer_name(key_id))
        .and_then(|name| VerifierKey::new(name, SignatureType::Ed25519, key_id))
        .ok()
        .ok_or(Error::invalid("an officer's key is not usable"))
}

/// The key id that an issuer's name holds, if it is an officer's.
fn officer_of(issuer: &str) -> Option<[u8; 32]> {
    from_b64url(issuer.strip_prefix(OFFICER)?)
}

/// What an emergency says of its facts: `TH("exigency-facts", s_r, facts)`. The desk, which holds the declaration, cannot test a guess on it.
#[must_use]
pub fn facts_digest(salts: &Secret<32>, facts: &str) -> [u8; 32] {
    th("exigency-facts", &[salts.expose_secret(), facts.as_bytes()])
}

/// An officer's key as the signer of objects.
fn officer_signer(key: &SigningKey) -> Result<NoteSigner> {
    let name = Origin::parse(&officer_name(&key.verify_key().0)).ok();
    name.and_then(|name| NoteSigner::new(name, key.to_seed().expose_secret()).ok())
        .ok_or(Error::internal("a key's id is a name"))
}

fn officer_header(key: &SigningKey, now: Timestamp, rng: &mut impl CryptoRng) -> Header {
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    Header { v: VersionOne, nonce, issued: now, issuer: officer_name(&key.verify_key().0) }
}

/// Declares an emergency for a request that is being drawn up: `officer` first, then those who sign with him.
///
/// # Errors
/// `Invalid` if a key signs twice or there are too many.
pub fn declare(
    (request_id, danger, facts): ([u8; 16], Danger, [u8; 32]),
    officer: &SigningKey,
    seconds: &[SigningKey],
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    let deadline = Timestamp(now.0.saturating_add(PAPER_DUE_SECONDS));
    let body = ExigencyBody { request_id, danger, facts, deadline };
    let signers = core::iter::once(officer).chain(seconds).map(officer_signer).collect::<Result<Vec<_>>>()?;
    Exigency { header: officer_header(officer, now, rng), body }.sign(&signers.iter().collect::<Vec<_>>())
}

/// A supervisor's signed report on an emergency; `report` is the SHA-256 of what is written.
///
/// # Errors
/// None in practice: those of [`Signable::sign`](crate::signed::Signable::sign).
pub fn sign_report(
    request: [u8; 32],
    report: [u8; 32],
    supervisor: &SigningKey,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    let body = EmergencyReportBody { request, report };
    EmergencyReport { header: officer_header(supervisor, now, rng), body }.sign(&[&officer_signer(supervisor)?])
}

/// What binds sealed disclosures to the request that their paper files.
fn paper_info(request_digest: &[u8; 32]) -> Vec<u8> {
    [b"LPv1 paper".as_slice(), request_digest].concat()
}

/// Disclosures of the plates of a court's paper that files an emergency, sealed to one keeper's opening key.
///
/// # Errors
/// `Malformed` if the key is not usable; `Invalid` if there are too many.
pub fn seal_disclosures(
    keeper: &HpkePublicKey,
    request_digest: &[u8; 32],
    disclosures: &[Disclosure],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    if disclosures.len() > ATTACHMENTS_MAX {
        return Err(Error::invalid("too many disclosures"));
    }
    let mut w = Writer::new();
    w.u8(u8::try_from(disclosures.len()).unwrap_or(u8::MAX));
    for disclosure in disclosures {
        w.lv32(disclosure.expose_text().as_bytes());
    }
    encrypt(keeper, &paper_info(request_digest), &[], &zeroize::Zeroizing::new(w.finish()), rng)
}

/// Opens what [`seal_disclosures`] sealed.
///
/// # Errors
/// `Malformed` if it was sealed to another keeper or for another request, or holds something else.
pub fn open_disclosures(secret: &HpkeSecretKey, request_digest: &[u8; 32], sealed: &[u8]) -> Result<Vec<Disclosure>> {
    let plain = zeroize::Zeroizing::new(decrypt(secret, &paper_info(request_digest), &[], sealed)?);
    let mut r = Reader::new(&plain);
    let count = usize::from(r.u8()?);
    if count > ATTACHMENTS_MAX {
        return Err(Error::malformed("too many disclosures"));
    }
    let disclosures = (0..count)
        .map(|_| {
            let text = core::str::from_utf8(r.lv32(DISCLOSURE_BYTES_MAX)?);
            Disclosure::parse(text.map_err(|_utf8| Error::malformed("a disclosure is not text"))?)
        })
        .collect::<Result<Vec<_>>>()?;
    r.end()?;
    Ok(disclosures)
}

/// An emergency that two people declared. Only [`verify_exigency`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    deadline: Timestamp,
}

impl Declared {
    /// When its paper is due.
    #[must_use]
    pub const fn deadline(self) -> Timestamp {
        self.deadline
    }
}

/// Checks a declared emergency: for this very request and these facts, made now, and signed by the officer and by another person
/// who is an active supervisor of the same agency and also signed the request.
///
/// # Errors
/// `Malformed` if it is no such object; `Invalid` if anything of it does not hold.
pub fn verify_exigency(
    object: &SignedObject,
    request: &Opened<SearchRequest>,
    directory: &VerifiedDirectory,
    now: Timestamp,
) -> Result<Declared> {
    let exigency: Exigency = object.read()?;
    let asked = request.request();
    let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
    let signers = core::iter::once(&asked.officer_key).chain(request.filed().seconds.iter().map(|one| &one.key_id));
    let keys = signers.clone().map(officer_note_key).collect::<Result<Vec<_>>>()?;
    let good = object.verify(&keys)?;
    issued_by(&exigency.header, &good)?;
    let signed = |key_id: &[u8; 32]| good.iter().any(|key| key.public_key() == key_id.as_slice());
    rule(signed(&asked.officer_key), "the officer did not sign the emergency")?;
    let is_supervisor = |key_id: &[u8; 32]| {
        directory.are_two_persons(&asked.officer_key, key_id)
            && directory.is_in_service(key_id, now)
            && directory.roles(key_id).is_some_and(|roles| roles.contains(&Role::Supervisor))
    };
    rule(signers.skip(1).any(|key_id| signed(key_id) && is_supervisor(key_id)), "no supervisor signed the emergency")?;
    let (body, issued) = (&exigency.body, exigency.header.issued);
    let text = request.text();
    let facts = facts_digest(&text.salts, &text.statement.statement().facts);
    rule(body.request_id == asked.request_id.0, "the emergency is another request's")?;
    rule(body.facts == facts, "the emergency states other facts")?;
    rule(issued.0 <= now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX), "the emergency is declared in the future")?;
    rule(now.0 <= issued.0.saturating_add(DECLARED_SECONDS_MAX), "the emergency was declared too long ago")?;
    rule(issued.0.checked_add(PAPER_DUE_SECONDS) == Some(body.deadline.0), "the emergency has another deadline")?;
    Ok(Declared { deadline: body.deadline })
}

/// Checks a supervisor's report on an emergency that `officer_key` filed: signed by another person of the same agency who is an active
/// supervisor now.
///
/// # Errors
/// `Malformed` if it is no report; `Invalid` if it is another request's or not so signed.
pub fn verify_report(
    object: &SignedObject,
    request_digest: &[u8; 32],
    officer_key: &[u8; 32],
    directory: &VerifiedDirectory,
    now: Timestamp,
) -> Result<()> {
    let report: EmergencyReport = object.read()?;
    let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
    let issuer = officer_of(&report.header.issuer).ok_or(Error::invalid("the report's issuer is no officer"))?;
    let key = officer_note_key(&issuer)?;
    issued_by(&report.header, &object.verify(core::slice::from_ref(&key))?)?;
    let supervises = directory.roles(&issuer).is_some_and(|roles| roles.contains(&Role::Supervisor));
    rule(supervises && directory.is_in_service(&issuer, now), "the report is not a supervisor's")?;
    rule(directory.are_two_persons(officer_key, &issuer), "an officer cannot report on the own emergency")?;
    rule(report.body.request == *request_digest, "the report is on another request")?;
    rule(report.header.issued.0 <= now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX), "the report is of the future")
}

#[cfg(test)]
pub(crate) mod tests;

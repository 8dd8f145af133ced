//! From cards to a charter, and each party's signature on it. A keeper signs only a draft in which its own entry holds its own
//! keys: a draft with a stranger's keys under its name would let the stranger answer for it.

use lockplate_core::charter::{
    AcceptKeyFiles, AgencyPage, ArchiveEntry, AuditorEntry, Charter, CharterFile, CharterKind, KeeperEntry, LeafWait,
    OPENING_KEY_BYTES, Owner, RecorderEntry, WitnessEntry, WitnessKind,
};
use lockplate_core::directory::TrustEntry;
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::id::{AgencyId, KeeperIndex, RecorderId, from_b64url};
use lockplate_core::json::{Field as _, parse_canonical};
use lockplate_core::signed::VersionOne;
use lockplate_core::vocabulary::{ArchiveKind, Level, State};
use lockplate_log::note::{NoteSignature, NoteSigner, VerifierKey};
use lockplate_oprf::Secret;
use lockplate_policy::MinuteLaw;
use zeroize::Zeroizing;

use super::cards::{AGENCY_CARD, AUDITOR_CARD, KEEPER_CARD, WITNESS_CARD};
use super::{
    AgencyCard, AgencyFiles, AuditorCard, FoundingError, KeeperCard, KeeperFiles, WitnessCard, cosignature_signer,
};
use crate::settings::{read_secret, read_signing_key};
use crate::tls::TlsIdentity;

/// What the parties agree on besides their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharterTerms {
    /// What the archive is for.
    pub archive_kind: ArchiveKind,
    /// Keepers that must agree.
    pub threshold: u8,
    /// Length of a capture window, seconds.
    pub epoch_seconds: u64,
    /// Retention after the end of the capture window, seconds.
    pub retention_seconds: u64,
    /// How long keepers keep openings, seconds.
    pub opening_keep_seconds: u64,
    /// Entries of one extract, at most; 0 of an operator.
    pub extract_entries_max: u64,
    /// Accounts of an operator, at most; 0 of the police.
    pub accounts_max: u64,
    /// Whose key files count.
    pub accept_key_files: AcceptKeyFiles,
    /// Whether a paper that only the owner's custodian attests counts.
    pub accept_attested: bool,
    /// Keys the keepers recognise: courts, other agencies.
    pub trust: Vec<TrustEntry>,
    /// Digest of the policy bundle.
    pub policy: [u8; 32],
    /// Policy signers.
    pub policy_signers: Vec<VerifierKey>,
    /// Of whom so many are needed for a looser policy.
    pub policy_quorum: u8,
    /// Auditors.
    pub auditors: Vec<AuditorEntry>,
    /// p: how many of a hundred leaves are audited.
    pub audit_percent: u8,
    /// Cards of outside witnesses.
    pub witnesses: Vec<WitnessCard>,
    /// How many of them must cosign on top of the keepers.
    pub outside_witnesses: u8,
    /// What a keeper's leaf waits for.
    pub keeper_leaves: LeafWait,
    /// What a leaf of recorder and desk waits for.
    pub agency_leaves: LeafWait,
    /// Cards of the requesters whom the register shows by name; the owner is there by itself.
    pub agencies: Vec<AgencyCard>,
}

/// Drafts the charter of an owner and its keepers, who are numbered in the order given.
///
/// # Errors
/// `Refused` for a card that cannot be read, and where reads were kept longer than the law of the owner's state lets; `Rule` where the charter breaks one of its own rules.
pub fn draft_charter(
    owner: &AgencyCard,
    keepers: &[KeeperCard],
    terms: CharterTerms,
) -> Result<Charter, FoundingError> {
    let bad = |what| FoundingError::Refused(what);
    let agencies: Vec<_> = core::iter::once(owner).chain(&terms.agencies).collect();
    if agencies.iter().any(|card| card.schema != AGENCY_CARD)
        || keepers.iter().any(|card| card.schema != KEEPER_CARD)
        || terms.witnesses.iter().any(|card| card.schema != WITNESS_CARD)
    {
        return Err(bad("one of the files is not a card of the kind asked for"));
    }
    let archive = owner.archive.as_ref().ok_or(bad("the agency's card names no recorder, so it owns no archive"))?;
    let keepers = keepers
        .iter()
        .zip(1..)
        .map(|(card, place)| keeper_entry(card, KeeperIndex(place)))
        .collect::<Result<Vec<_>, _>>()?;
    let page = agency_page(owner)?;
    let charter = Charter {
        v: VersionOne,
        kind: CharterKind::Charter,
        owner: Owner { id: page.id, name: page.name, state: page.state, level: page.level },
        archive_kind: terms.archive_kind,
        agency_key: verifier_key(&owner.agency_key)?,
        archive: ArchiveEntry {
            url: owner.url.clone(),
            tls_pin: bytes(&owner.tls_pin)?,
            log_key: verifier_key(&archive.recorder_log_key)?,
        },
        recorders: vec![RecorderEntry {
            id: RecorderId::parse(&archive.recorder).ok_or(bad("the agency's card has no readable recorder id"))?,
            key: bytes(&archive.recorder_key)?,
        }],
        keepers,
        threshold: terms.threshold,
        witnesses: terms.witnesses.iter().map(witness_entry).collect::<Result<Vec<_>, _>>()?,
        outside_witnesses: terms.outside_witnesses,
        keeper_leaves: terms.keeper_leaves,
        agency_leaves: terms.agency_leaves,
        agencies: agencies.into_iter().map(agency_page).collect::<Result<Vec<_>, _>>()?,
        audit_percent: terms.audit_percent,
        auditors: terms.auditors,
        trust: terms.trust,
        policy: terms.policy,
        policy_signers: terms.policy_signers,
        policy_quorum: terms.policy_quorum,
        epoch_seconds: terms.epoch_seconds,
        retention_seconds: terms.retention_seconds,
        opening_keep_seconds: terms.opening_keep_seconds,
        extract_entries_max: terms.extract_entries_max,
        accounts_max: terms.accounts_max,
        accept_key_files: terms.accept_key_files,
        accept_attested: terms.accept_attested,
    };
    // Says now, and not when everybody has signed, which rule the draft breaks.
    charter.to_text()?;
    check_law(&charter)?;
    Ok(charter)
}

/// What the law of the owner's state says of the archive itself.
fn check_law(charter: &Charter) -> Result<(), FoundingError> {
    match MinuteLaw::of_charter(charter) {
        Ok(_bound_or_not) => Ok(()),
        Err(too_long) => Err(FoundingError::Refused(too_long.says())),
    }
}

fn keeper_entry(card: &KeeperCard, index: KeeperIndex) -> Result<KeeperEntry, FoundingError> {
    Ok(KeeperEntry {
        index,
        legal_entity: card.legal_entity.clone(),
        name: card.name.clone(),
        key: verifier_key(&card.key)?,
        opening_key: bytes::<OPENING_KEY_BYTES>(&card.opening_key)?,
        log_key: verifier_key(&card.log_key)?,
        witness_key: verifier_key(&card.witness_key)?,
        url: card.url.clone(),
        tls_pin: bytes(&card.tls_pin)?,
        human_keys: card.human_keys.iter().map(|key| bytes(key)).collect::<Result<Vec<_>, _>>()?,
    })
}

fn witness_entry(card: &WitnessCard) -> Result<WitnessEntry, FoundingError> {
    Ok(WitnessEntry {
        name: card.name.clone(),
        operator: card.operator.clone(),
        key: verifier_key(&card.vkey)?,
        url: card.url.clone(),
        tls_pin: bytes(&card.tls_pin)?,
        kind: WitnessKind::from_name(&card.kind)
            .ok_or(FoundingError::Refused("a witness's card names neither witness nor mirror"))?,
    })
}

fn agency_page(card: &AgencyCard) -> Result<AgencyPage, FoundingError> {
    let bad = |what| FoundingError::Refused(what);
    Ok(AgencyPage {
        id: AgencyId::parse(&card.id).ok_or(bad("an agency's card has no readable id"))?,
        name: card.name.clone(),
        state: State::parse(&card.state).ok_or(bad("an agency's card names an unknown state"))?,
        level: Level::from_name(&card.level).ok_or(bad("an agency's card names an unknown level"))?,
        desk_log: Some(verifier_key(&card.desk_log_key)?),
        url: card.url.clone(),
        tls_pin: bytes(&card.tls_pin)?,
    })
}

/// An auditor's entry of a charter, from his card.
///
/// # Errors
/// `Refused` for a file that is no auditor's card, or a key that cannot be read.
pub fn auditor_entry(card: &AuditorCard) -> Result<AuditorEntry, FoundingError> {
    if card.schema != AUDITOR_CARD {
        return Err(FoundingError::Refused("one of the files is not a card of the kind asked for"));
    }
    Ok(AuditorEntry { name: card.name.clone(), opening_key: bytes::<OPENING_KEY_BYTES>(&card.opening_key)? })
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], FoundingError> {
    from_b64url(text).ok_or(FoundingError::Refused("a card holds a key that cannot be read"))
}

fn verifier_key(text: &str) -> Result<VerifierKey, FoundingError> {
    VerifierKey::parse(text).map_err(|_grammar| FoundingError::Refused("a card holds a key that cannot be read"))
}

/// Reads a draft: the charter's text without signatures.
///
/// # Errors
/// `Rule` where it is not the canonical text of a charter, or breaks a rule.
pub fn read_draft(text: &[u8]) -> Result<Charter, FoundingError> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let charter = Charter::from_json(parse_canonical(line)?)?;
    charter.to_text()?;
    Ok(charter)
}

/// The agency's signature on a draft.
///
/// # Errors
/// `KeyFile`; `Refused` where the draft names another agency's keys; `Rule`.
pub fn sign_as_agency(charter: &Charter, files: &AgencyFiles) -> Result<NoteSignature, FoundingError> {
    let agency = signer_of(&files.agency, &charter.agency_key)?;
    let pin = TlsIdentity::load_or_create(&files.tls)?.pin();
    let log = signer_of(&files.recorder_log, &charter.archive.log_key);
    match (agency, log) {
        (Some(agency), Ok(Some(_))) if pin == charter.archive.tls_pin => Ok(charter.sign(&agency)?),
        (_, Err(error)) => Err(error),
        (Some(_) | None, Ok(_)) => Err(FoundingError::Refused("the draft does not hold this agency's own keys")),
    }
}

/// A keeper's signature on a draft, and its place in it.
///
/// # Errors
/// `KeyFile`; `Refused` where no entry of the draft holds exactly this keeper's keys, or the draft keeps reads longer than the
/// law of the owner's state lets; `Rule`.
pub fn sign_as_keeper(charter: &Charter, files: &KeeperFiles) -> Result<(KeeperIndex, NoteSignature), FoundingError> {
    check_law(charter)?;
    let seed = read_secret(&files.opening)?;
    let opening_key = HpkeSecretKey::from_seed(Secret::new(*seed)).public_key()?;
    let pin = TlsIdentity::load_or_create(&files.tls)?.pin();
    for entry in &charter.keepers {
        let Some(signer) = signer_of(&files.key, &entry.key)? else { continue };
        let log = signer_of(&files.log, &entry.log_key)?.is_some();
        let witness = cosignature_signer(&files.witness, entry.witness_key.name().as_str())?;
        let cosigns = *witness.verifier_key() == entry.witness_key;
        if log && cosigns && entry.opening_key == *opening_key.as_bytes() && entry.tls_pin == pin {
            return Ok((entry.index, charter.sign(&signer)?));
        }
    }
    Err(FoundingError::Refused(
        "no entry of the draft holds exactly this keeper's own keys: do not sign it, ask for a draft from your card",
    ))
}

/// The key file as a signer under the name of `expected`; none where it is another key.
fn signer_of(path: &std::path::Path, expected: &VerifierKey) -> Result<Option<NoteSigner>, FoundingError> {
    let seed = Zeroizing::new(read_signing_key(path)?.to_bytes());
    let signer = NoteSigner::new(expected.name().clone(), &seed)
        .map_err(|_weak| FoundingError::Refused("a key file holds a key that cannot sign"))?;
    Ok((signer.verifier_key() == expected).then_some(signer))
}

/// Joins a draft with the signature lines of its agency and all its keepers.
///
/// # Errors
/// `Refused` for a line that is none; `Rule` where one is missing or wrong.
pub fn assemble(charter: &Charter, lines: &[String]) -> Result<CharterFile, FoundingError> {
    let signatures = lines
        .iter()
        .map(|line| NoteSignature::parse(line.trim_end()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_grammar| FoundingError::Refused("one of the files holds no signature line"))?;
    Ok(CharterFile::assemble(charter, signatures)?)
}

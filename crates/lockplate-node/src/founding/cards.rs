//! Keys and cards of parties. A card holds public halves and names only and may be sent by mail; whoever drafts a charter
//! compares it by voice with the party (the charter is signed by all, so a swapped card shows when the keeper signs).

use std::path::{Path, PathBuf};

use lockplate_core::charter::WitnessKind;
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::id::{AgencyId, RecorderId, b64url};
use lockplate_log::note::VerifierKey;
use lockplate_oprf::Secret;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::{FoundingError, cosignature_signer, in_folder, make_note_key, make_person_key};
use crate::passkeys::EnrolledPasskey;
use crate::settings::{folder_is_there, read_or_create_secret, read_or_create_signing_key};
use crate::tls::TlsIdentity;

/// Where a keeper's key files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperFiles {
    /// Ed25519, PKCS#8 PEM: signs prekeys, receipts, approvals, evaluations and the charter.
    pub key: PathBuf,
    /// X-Wing seed, 32 bytes in hexadecimal: opens what is sealed to this keeper.
    pub opening: PathBuf,
    /// 32 bytes in hexadecimal: the key of the notice tags. Has no public half, so no card names it.
    pub notice: PathBuf,
    /// Ed25519, PKCS#8 PEM: signs the log's checkpoints.
    pub log: PathBuf,
    /// Ed25519, PKCS#8 PEM: cosigns the checkpoints of others' logs and signs nothing else.
    pub witness: PathBuf,
    /// TLS key; its certificate lies beside it.
    pub tls: PathBuf,
}

impl KeeperFiles {
    /// The names in one folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            key: in_folder(folder, "signing.pem"),
            opening: in_folder(folder, "opening.secret"),
            notice: in_folder(folder, "notice.secret"),
            log: in_folder(folder, "log.pem"),
            witness: in_folder(folder, "witness.pem"),
            tls: in_folder(folder, "tls.pem"),
        }
    }
}

/// Where an outside witness's key files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessFiles {
    /// Ed25519, PKCS#8 PEM: cosigns checkpoints and signs nothing else.
    pub witness: PathBuf,
    /// TLS key; its certificate lies beside it.
    pub tls: PathBuf,
}

impl WitnessFiles {
    /// The names in one folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { witness: in_folder(folder, "witness.pem"), tls: in_folder(folder, "tls.pem") }
    }
}

/// Where an auditor's key files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditorFiles {
    /// X-Wing seed, 32 bytes in hexadecimal: opens the Openings sealed to this auditor.
    pub opening: PathBuf,
    /// Ed25519, PKCS#8 PEM: signs calls for Openings and reviews.
    pub key: PathBuf,
}

impl AuditorFiles {
    /// The names in one folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { opening: in_folder(folder, "opening.secret"), key: in_folder(folder, "auditor.pem") }
    }
}

/// Where an agency's key files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgencyFiles {
    /// Ed25519, PKCS#8 PEM: signs the charter, the directory of officers and declarations.
    pub agency: PathBuf,
    /// Ed25519, PKCS#8 PEM: signs epoch headers and closes. Owners only.
    pub recorder: PathBuf,
    /// Ed25519, PKCS#8 PEM: the recorder's log. Owners only.
    pub recorder_log: PathBuf,
    /// Ed25519, PKCS#8 PEM: signs session statements.
    pub desk: PathBuf,
    /// Ed25519, PKCS#8 PEM: the desk's log.
    pub desk_log: PathBuf,
    /// TLS key; its certificate lies beside it.
    pub tls: PathBuf,
    /// 32 bytes in hexadecimal: hedges the sealers' randomness. Owners only.
    pub device: PathBuf,
    /// X-Wing seed, 32 bytes in hexadecimal: opens alerts. Made at the first start.
    pub alert: PathBuf,
    /// X-Wing seed, 32 bytes in hexadecimal: opens the lists that live with the recorder. Made at the first start.
    pub hotlist: PathBuf,
    /// 32 bytes in hexadecimal: by it a toll operator's recorder knows a pass again. Made at the first start.
    pub passage: PathBuf,
}

impl AgencyFiles {
    /// The names in one folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            agency: in_folder(folder, "agency.pem"),
            recorder: in_folder(folder, "recorder.pem"),
            recorder_log: in_folder(folder, "recorder-log.pem"),
            desk: in_folder(folder, "desk.pem"),
            desk_log: in_folder(folder, "desk-log.pem"),
            tls: in_folder(folder, "tls.pem"),
            device: in_folder(folder, "device.key"),
            alert: in_folder(folder, "alert.key"),
            hotlist: in_folder(folder, "hotlist.key"),
            passage: in_folder(folder, "passage.key"),
        }
    }
}

/// Who a keeper is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperParty {
    /// Name for people.
    pub name: String,
    /// The legal entity it belongs to.
    pub legal_entity: String,
    /// Name of its machine without scheme and port: names of its keys begin with it.
    pub host: String,
    /// Base address, `https://..`, without a slash at its end.
    pub url: String,
}

/// Who an outside witness is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessParty {
    /// Name for people.
    pub name: String,
    /// The legal entity that runs it.
    pub operator: String,
    /// Name of its machine without scheme and port: the name of its key begins with it.
    pub host: String,
    /// Base address, `https://..`, without a slash at its end.
    pub url: String,
    /// What it does besides cosigning.
    pub kind: WitnessKind,
}

/// Who an agency is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgencyParty {
    /// Name for people.
    pub name: String,
    /// ORI number, or empty.
    pub ori: String,
    /// Two-letter state; `US` for federal agencies.
    pub state: String,
    /// Level, by its name in the policy.
    pub level: String,
    /// A law-enforcement agency.
    pub law_enforcement: bool,
    /// Name of its machine without scheme and port: names of its keys begin with it.
    pub host: String,
    /// Base address, `https://..`, without a slash at its end.
    pub url: String,
    /// It has cameras of its own, so it needs recorder and archive.
    pub owner: bool,
}

/// A keeper's public halves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeeperCard {
    /// Always `lockplate-keeper-card/1`.
    pub schema: String,
    /// Name for people.
    pub name: String,
    /// The legal entity it belongs to.
    pub legal_entity: String,
    /// Verifier key of the keeper.
    pub key: String,
    /// X-Wing public key, base64url.
    pub opening_key: String,
    /// Verifier key of its log; the name is the log's origin.
    pub log_key: String,
    /// Verifier key of its cosignatures, type 0x04.
    pub witness_key: String,
    /// Base address.
    pub url: String,
    /// SHA-256 of its TLS key, base64url.
    pub tls_pin: String,
    /// Ids of the keys of the people who decide for it, base64url.
    pub human_keys: Vec<String>,
}

/// The owner's part of an agency's card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveCard {
    /// Id of its recorder, base64url.
    pub recorder: String,
    /// Ed25519 key of its recorder, base64url.
    pub recorder_key: String,
    /// Verifier key of the recorder's log; the name is the log's origin.
    pub recorder_log_key: String,
}

/// An agency's public halves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgencyCard {
    /// Always `lockplate-agency-card/1`.
    pub schema: String,
    /// Its id, base64url of 16 random bytes.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// ORI number, or empty.
    pub ori: String,
    /// State.
    pub state: String,
    /// Level.
    pub level: String,
    /// A law-enforcement agency.
    pub law_enforcement: bool,
    /// Verifier key of the agency.
    pub agency_key: String,
    /// Verifier key of its desk.
    pub desk_key: String,
    /// Verifier key of its desk's log; the name is the log's origin.
    pub desk_log_key: String,
    /// Base address.
    pub url: String,
    /// SHA-256 of its TLS key, base64url.
    pub tls_pin: String,
    /// Recorder and archive; absent for an agency that only asks.
    pub archive: Option<ArchiveCard>,
}

/// An outside witness's public halves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessCard {
    /// Always `lockplate-witness-card/1`.
    pub schema: String,
    /// Name for people.
    pub name: String,
    /// The legal entity that runs it.
    pub operator: String,
    /// Verifier key of its cosignatures, type 0x04.
    pub vkey: String,
    /// Base address.
    pub url: String,
    /// SHA-256 of its TLS key, base64url.
    pub tls_pin: String,
    /// `witness` or `mirror`.
    pub kind: String,
}

/// An auditor's public halves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditorCard {
    /// Always `lockplate-auditor-card/1`.
    pub schema: String,
    /// Name for people.
    pub name: String,
    /// X-Wing public key, base64url.
    pub opening_key: String,
    /// Verifier key of what he signs.
    pub vkey: String,
}

/// What a keeper's card calls itself.
pub(super) const KEEPER_CARD: &str = "lockplate-keeper-card/1";
/// What an agency's card calls itself.
pub(super) const AGENCY_CARD: &str = "lockplate-agency-card/1";
/// What an outside witness's card calls itself.
pub(super) const WITNESS_CARD: &str = "lockplate-witness-card/1";
/// What an auditor's card calls itself.
pub(super) const AUDITOR_CARD: &str = "lockplate-auditor-card/1";

/// Makes a keeper's keys (those that are there are kept) and its card. `human_keys` are files of the people who decide: passkeys'
/// files as `keeper enrol` wrote them, or key files, which are made where absent and belong on those people's own media, not in
/// the keeper's folder. The folders for them must be there: a mistyped medium is told before any key is made.
///
/// # Errors
/// [`FoundingError`]: a key file, the TLS key, or a name.
pub fn found_keeper(
    files: &KeeperFiles,
    human_keys: &[PathBuf],
    party: &KeeperParty,
    rng: &mut impl CryptoRng,
) -> Result<KeeperCard, FoundingError> {
    for path in human_keys {
        folder_is_there(path)?;
    }
    let key = make_note_key(&files.key, &format!("{}/keeper", party.host), rng)?;
    let log_key = make_note_key(&files.log, &format!("{}/log/keeper", party.host), rng)?;
    let witness_key = make_witness_key(&files.witness, &party.host, rng)?;
    let opening_key = make_opening_key(&files.opening, rng)?;
    drop(read_or_create_secret(&files.notice, rng)?);
    let tls = TlsIdentity::load_or_create(&files.tls)?;
    let human_keys = human_keys
        .iter()
        .map(|path| {
            let id = if EnrolledPasskey::is_at(path)? {
                EnrolledPasskey::read(path)?.passkey.key.id()
            } else {
                make_person_key(path, rng)?
            };
            Ok(b64url(&id))
        })
        .collect::<Result<Vec<_>, FoundingError>>()?;
    Ok(KeeperCard {
        schema: KEEPER_CARD.to_owned(),
        name: party.name.clone(),
        legal_entity: party.legal_entity.clone(),
        key: key.to_string(),
        opening_key,
        log_key: log_key.to_string(),
        witness_key: witness_key.to_string(),
        url: party.url.clone(),
        tls_pin: b64url(&tls.pin()),
        human_keys,
    })
}

/// The cosigning key `<host>/witness` at `path`; where the file is absent it is made first.
fn make_witness_key(path: &Path, host: &str, rng: &mut impl CryptoRng) -> Result<VerifierKey, FoundingError> {
    drop(read_or_create_signing_key(path, rng)?);
    Ok(cosignature_signer(path, &format!("{host}/witness"))?.verifier_key().clone())
}

/// The public X-Wing key, base64url, of the seed at `path`; where the file is absent it is made first.
fn make_opening_key(path: &Path, rng: &mut impl CryptoRng) -> Result<String, FoundingError> {
    let seed = read_or_create_secret(path, rng)?;
    let key = HpkeSecretKey::from_seed(Secret::new(*seed)).public_key()?;
    Ok(b64url(key.as_bytes()))
}

/// Makes an outside witness's keys (those that are there are kept) and its card.
///
/// # Errors
/// [`FoundingError`]: a key file, the TLS key, or a name.
pub fn found_witness(
    files: &WitnessFiles,
    party: &WitnessParty,
    rng: &mut impl CryptoRng,
) -> Result<WitnessCard, FoundingError> {
    let vkey = make_witness_key(&files.witness, &party.host, rng)?;
    let tls = TlsIdentity::load_or_create(&files.tls)?;
    Ok(WitnessCard {
        schema: WITNESS_CARD.to_owned(),
        name: party.name.clone(),
        operator: party.operator.clone(),
        vkey: vkey.to_string(),
        url: party.url.clone(),
        tls_pin: b64url(&tls.pin()),
        kind: party.kind.name().to_owned(),
    })
}

/// Makes an auditor's keys (those that are there are kept) and his card. `key_name` is the name under which he signs, such as
/// `auditor.state.example`.
///
/// # Errors
/// [`FoundingError`]: a key file or a name.
pub fn found_auditor(
    files: &AuditorFiles,
    name: &str,
    key_name: &str,
    rng: &mut impl CryptoRng,
) -> Result<AuditorCard, FoundingError> {
    let vkey = make_note_key(&files.key, key_name, rng)?;
    let opening_key = make_opening_key(&files.opening, rng)?;
    Ok(AuditorCard { schema: AUDITOR_CARD.to_owned(), name: name.to_owned(), opening_key, vkey: vkey.to_string() })
}

/// Makes an agency's keys (those that are there are kept) and its card. `id` is kept when a card is written again; without one
/// a random id is drawn.
///
/// # Errors
/// [`FoundingError`]: a key file, the TLS key, or a name.
pub fn found_agency(
    files: &AgencyFiles,
    party: &AgencyParty,
    earlier: Option<&AgencyCard>,
    rng: &mut impl CryptoRng,
) -> Result<AgencyCard, FoundingError> {
    let mut random_id = || {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        id
    };
    let (agency_id, recorder_id) = (AgencyId(random_id()), RecorderId(random_id()));
    let name = |tail: &str| format!("{}/{tail}", party.host);
    let agency_key = make_note_key(&files.agency, &name("agency"), rng)?;
    let desk_key = make_note_key(&files.desk, &name("desk"), rng)?;
    let desk_log_key = make_note_key(&files.desk_log, &name("log/desk"), rng)?;
    let tls = TlsIdentity::load_or_create(&files.tls)?;
    let archive = if party.owner {
        drop(read_or_create_secret(&files.device, rng)?);
        let recorder_key = read_or_create_signing_key(&files.recorder, rng)?.verifying_key().to_bytes();
        Some(ArchiveCard {
            recorder: earlier
                .and_then(|card| card.archive.as_ref())
                .map_or_else(|| recorder_id.to_string(), |archive| archive.recorder.clone()),
            recorder_key: b64url(&recorder_key),
            recorder_log_key: make_note_key(&files.recorder_log, &name("log/recorder"), rng)?.to_string(),
        })
    } else {
        None
    };
    Ok(AgencyCard {
        schema: AGENCY_CARD.to_owned(),
        id: earlier.map_or_else(|| agency_id.to_string(), |card| card.id.clone()),
        name: party.name.clone(),
        ori: party.ori.clone(),
        state: party.state.clone(),
        level: party.level.clone(),
        law_enforcement: party.law_enforcement,
        agency_key: agency_key.to_string(),
        desk_key: desk_key.to_string(),
        desk_log_key: desk_log_key.to_string(),
        url: party.url.clone(),
        tls_pin: b64url(&tls.pin()),
        archive,
    })
}

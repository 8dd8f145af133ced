//! Founding: how parties that do not trust each other come to one charter. Each party makes its own keys on its own machine
//! and hands out a card of public halves; the agency drafts a charter from the cards; each keeper compares its entry with its
//! own keys and signs; the agency joins the signatures. This module must never see two parties' secrets at once, and takes no
//! decision that the law or the protocol reserves: it makes files. They go to the settings of the roles.

mod cards;
mod case_key;
mod charter;
mod orders;
mod papers;
mod settings;

use core::fmt;
use std::path::{Path, PathBuf};

use lockplate_log::cosignature::CosignatureSigner;
use lockplate_log::note::{NoteSigner, Origin, VerifierKey};
use lockplate_oprf::Secret;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::passkeys::PasskeyFileError;
use crate::settings::{KeyFileError, read_or_create_signing_key, read_signing_key};
use crate::shutdown::ExitKind;
use crate::tls::TlsError;

pub use cards::{
    AgencyCard, AgencyFiles, AgencyParty, ArchiveCard, AuditorCard, AuditorFiles, KeeperCard, KeeperFiles, KeeperParty,
    WitnessCard, WitnessFiles, WitnessParty, found_agency, found_auditor, found_keeper, found_witness,
};
pub use case_key::{CaseKeyCard, make_case_key, read_case_key};
pub use charter::{CharterTerms, assemble, auditor_entry, draft_charter, read_draft, sign_as_agency, sign_as_keeper};
pub use orders::{
    AttestationOrder, CalledOrder, DelayOrder, Order, OwnershipOrder, PolicyChangeOrder, RevocationOrder,
    TrustListOrder, cosign,
};
pub use papers::{
    DeclarationTerms, DraftPaper, PasskeyPaper, PlateOrdered, SignedPaper, TrustedKey, WarrantOrder,
    agency_trust_entry, auditor_trust_entry, court_trust_entry, custodian_trust_entry, declaration_text,
    declaration_texts, sign_declaration, sign_warrant,
};

pub use settings::{DECLARATION_FILE, KeeperTerms, OfficerTerms, keeper_toml, officer_toml};

/// Why a step of the founding was not carried out.
#[derive(Debug)]
pub enum FoundingError {
    /// A key file is missing, open to others, already there, or unreadable.
    KeyFile(KeyFileError),
    /// The file of a person's passkey.
    Passkey(PasskeyFileError),
    /// The TLS key cannot be used.
    Tls(TlsError),
    /// A name is empty, too long, or has a character that names of keys may not have.
    Name(&'static str),
    /// What another party handed over does not fit; the sentence says what.
    Refused(&'static str),
    /// A rule of the charter or of a signed object does not hold.
    Rule(lockplate_core::Error),
}

impl FoundingError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::KeyFile(_) | Self::Passkey(_) | Self::Name(_) | Self::Refused(_) | Self::Rule(_) => ExitKind::Config,
            Self::Tls(cause) => cause.exit_kind(),
        }
    }
}

impl fmt::Display for FoundingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile(cause) => cause.fmt(f),
            Self::Passkey(cause) => cause.fmt(f),
            Self::Tls(cause) => cause.fmt(f),
            Self::Name(what) | Self::Refused(what) => f.write_str(what),
            Self::Rule(cause) => cause.fmt(f),
        }
    }
}

impl core::error::Error for FoundingError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::KeyFile(cause) => cause.source(),
            Self::Passkey(cause) => cause.source(),
            Self::Tls(cause) => cause.source(),
            Self::Rule(cause) => cause.source(),
            Self::Name(_) | Self::Refused(_) => None,
        }
    }
}

impl From<KeyFileError> for FoundingError {
    fn from(cause: KeyFileError) -> Self {
        Self::KeyFile(cause)
    }
}

impl From<PasskeyFileError> for FoundingError {
    fn from(cause: PasskeyFileError) -> Self {
        Self::Passkey(cause)
    }
}

impl From<TlsError> for FoundingError {
    fn from(cause: TlsError) -> Self {
        Self::Tls(cause)
    }
}

impl From<lockplate_core::Error> for FoundingError {
    fn from(cause: lockplate_core::Error) -> Self {
        Self::Rule(cause)
    }
}

/// The key at `path` as a signer of notes under `name`; the file must be there.
///
/// # Errors
/// `KeyFile`; `Name` where `name` cannot be a key's name.
pub fn note_signer(path: &Path, name: &str) -> Result<NoteSigner, FoundingError> {
    let seed = Zeroizing::new(read_signing_key(path)?.to_bytes());
    let name = Origin::parse(name).map_err(|_grammar| FoundingError::Name("this cannot be the name of a key"))?;
    NoteSigner::new(name, &seed).map_err(|_weak| FoundingError::Name("this cannot be the name of a key"))
}

/// The key at `path` as a cosigner under `name`; the file must be there, and the key signs nothing else.
///
/// # Errors
/// As [`note_signer`].
pub fn cosignature_signer(path: &Path, name: &str) -> Result<CosignatureSigner, FoundingError> {
    let seed = Zeroizing::new(read_signing_key(path)?.to_bytes());
    let name = Origin::parse(name).map_err(|_grammar| FoundingError::Name("this cannot be the name of a key"))?;
    CosignatureSigner::new(name, &seed).map_err(|_weak| FoundingError::Name("this cannot be the name of a key"))
}

/// As [`note_signer`]; where the file is absent a key is made first (mode 0600). Returns the public half.
///
/// # Errors
/// As [`note_signer`].
pub fn make_note_key(path: &Path, name: &str, rng: &mut impl CryptoRng) -> Result<VerifierKey, FoundingError> {
    drop(read_or_create_signing_key(path, rng)?);
    Ok(note_signer(path, name)?.verifier_key().clone())
}

/// The Ed25519 public key of the key file at `path`; where the file is absent a key is made first (mode 0600). For people:
/// officers, keepers' deciders.
///
/// # Errors
/// `KeyFile`.
pub fn make_person_key(path: &Path, rng: &mut impl CryptoRng) -> Result<[u8; 32], FoundingError> {
    Ok(read_or_create_signing_key(path, rng)?.verifying_key().to_bytes())
}

/// The key at `path` as a signer of protocol statements.
///
/// # Errors
/// `KeyFile`.
pub fn statement_signer(path: &Path) -> Result<lockplate_core::sign::SigningKey, FoundingError> {
    Ok(lockplate_core::sign::SigningKey::from_seed(&Secret::new(read_signing_key(path)?.to_bytes())))
}

/// Path of a file in the folder of a party's keys.
fn in_folder(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

#[cfg(test)]
pub(crate) mod tests;

//! The officers of one requesting agency: who may file, who has which role, whose passcode opens the desk. The roster is one
//! JSON file of mode 0600, written by the command line and read anew at each use; it names people by salted digests only. From
//! it comes the signed `directory` that owners' keepers believe. It must never hold a passcode, only its slow hash.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use lockplate_core::Timestamp;
use lockplate_core::directory::{DIRECTORY_SECONDS_MAX, Directory, DirectoryBody, OfficerEntry};
use lockplate_core::id::AgencyId;
use lockplate_core::signed::{Header, Signable as _, VersionOne};
use lockplate_core::vocabulary::{Level, Role, State};
use lockplate_log::{NoteSigner, VerifierKey};
use lockplate_store::durable;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// Officers of one agency; a directory of so many is below the 256 KiB of a signed object with a key or two each.
pub const OFFICERS_MAX: usize = 1_000;
/// Characters of a passcode.
pub const PASSCODE_CHARS: core::ops::RangeInclusive<usize> = 8..=128;
/// Bytes of a roster file.
const ROSTER_BYTES_MAX: u64 = 1024 * 1024;

/// Why the roster or directory cannot be used or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterError {
    /// The file cannot be read or written.
    Io,
    /// The file is not a roster.
    Malformed,
    /// A key stands in it already.
    KnownKey,
    /// No officer has this key.
    UnknownKey,
    /// Shorter than 8 or longer than 128 characters.
    Passcode,
    /// Too many officers, or the directory would be longer than keepers accept.
    TooMany,
    /// A hash or signature could not be made: our bug.
    Internal,
}

impl core::fmt::Display for RosterError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Io => "the file of officers cannot be read or written",
            Self::Malformed => "the file of officers is not one of this program",
            Self::KnownKey => "an officer has this key already",
            Self::UnknownKey => "no officer has this key",
            Self::Passcode => "a passcode has 8 to 128 characters",
            Self::TooMany => "the agency has more officers than a directory takes",
            Self::Internal => "the officer could not be written down: internal error, our bug",
        })
    }
}

impl core::error::Error for RosterError {}

/// An officer in the roster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfficerRow {
    /// Salted digest of the person, 32 bytes in hexadecimal.
    pub person: String,
    /// Ids of the person's signing keys, 32 bytes each in hexadecimal.
    pub keys: Vec<String>,
    /// Training is valid until, Unix seconds.
    pub trained_until: u64,
    /// Active.
    pub active: bool,
    /// Names of roles.
    pub roles: Vec<String>,
    /// Argon2id hash of the passcode, PHC form.
    pub passcode: Option<String>,
}

impl core::fmt::Debug for OfficerRow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OfficerRow(..)")
    }
}

/// The roster's file.
#[derive(Debug, Clone)]
pub struct Roster {
    path: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RosterFile {
    officers: Vec<OfficerRow>,
}

impl Roster {
    /// The roster at `path`; the file may not exist yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// All officers; none where there is no file yet.
    ///
    /// # Errors
    /// `Io`, `Malformed`.
    pub fn officers(&self) -> Result<Vec<OfficerRow>, RosterError> {
        let length = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(_os) => return Err(RosterError::Io),
        };
        if length > ROSTER_BYTES_MAX {
            return Err(RosterError::Malformed);
        }
        let bytes = std::fs::read(&self.path).map_err(|_os| RosterError::Io)?;
        let file: RosterFile = serde_json::from_slice(&bytes).map_err(|_json| RosterError::Malformed)?;
        Ok(file.officers)
    }

    fn write(&self, officers: Vec<OfficerRow>) -> Result<(), RosterError> {
        if officers.len() > OFFICERS_MAX {
            return Err(RosterError::TooMany);
        }
        let bytes = serde_json::to_vec_pretty(&RosterFile { officers }).map_err(|_our_type| RosterError::Internal)?;
        durable::replace(&self.path, &bytes).map_err(|_os| RosterError::Io)
    }

    /// Adds an officer with one key; the person's digest is random. Durable on return.
    ///
    /// # Errors
    /// `KnownKey`, `Passcode`, `TooMany`, `Io`, `Malformed`.
    pub fn add_officer(
        &self,
        key: &[u8; 32],
        trained_until: Timestamp,
        roles: &BTreeSet<Role>,
        passcode: Option<&str>,
        rng: &mut impl CryptoRng,
    ) -> Result<(), RosterError> {
        let mut officers = self.officers()?;
        let key = hex::encode(key);
        if officers.iter().any(|officer| officer.keys.contains(&key)) {
            return Err(RosterError::KnownKey);
        }
        let mut person = [0; 32];
        rng.fill_bytes(&mut person);
        officers.push(OfficerRow {
            person: hex::encode(person),
            keys: vec![key],
            trained_until: trained_until.0,
            active: true,
            roles: roles.iter().map(|role| role.name().to_owned()).collect(),
            passcode: passcode.map(|passcode| hash_passcode(passcode, rng)).transpose()?,
        });
        self.write(officers)
    }

    /// Sets the passcode of the officer who has this key.
    ///
    /// # Errors
    /// `UnknownKey`, `Passcode`, `Io`, `Malformed`.
    pub fn set_passcode(&self, key: &[u8; 32], passcode: &str, rng: &mut impl CryptoRng) -> Result<(), RosterError> {
        let hash = hash_passcode(passcode, rng)?;
        self.change(key, |officer| officer.passcode = Some(hash))
    }

    /// Makes an officer inactive or active again: in force at the desk at once, at keepers with the next directory.
    ///
    /// # Errors
    /// `UnknownKey`, `Io`, `Malformed`.
    pub fn set_active(&self, key: &[u8; 32], active: bool) -> Result<(), RosterError> {
        self.change(key, |officer| officer.active = active)
    }

    fn change(&self, key: &[u8; 32], change: impl FnOnce(&mut OfficerRow)) -> Result<(), RosterError> {
        let mut officers = self.officers()?;
        let key = hex::encode(key);
        change(officers.iter_mut().find(|officer| officer.keys.contains(&key)).ok_or(RosterError::UnknownKey)?);
        self.write(officers)
    }

    /// The officer of a key.
    ///
    /// # Errors
    /// `Io`, `Malformed`.
    pub fn find(&self, key: &[u8; 32]) -> Result<Option<OfficerRow>, RosterError> {
        let key = hex::encode(key);
        Ok(self.officers()?.into_iter().find(|officer| officer.keys.contains(&key)))
    }
}

fn hash_passcode(passcode: &str, rng: &mut impl CryptoRng) -> Result<String, RosterError> {
    if !PASSCODE_CHARS.contains(&passcode.chars().count()) {
        return Err(RosterError::Passcode);
    }
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    let hash = Argon2::default().hash_password_with_salt(passcode.as_bytes(), &salt);
    Ok(hash.map_err(|_bounds| RosterError::Internal)?.to_string())
}

/// True if the passcode is the officer's. Takes some 20 ms and 19 MiB, as long for an officer without one: call it on a blocking
/// thread.
#[must_use]
pub fn check_passcode(officer: Option<&OfficerRow>, passcode: &str) -> bool {
    /// Of a passcode that nobody has; same cost as a real one.
    const NOBODY: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let hash = officer.and_then(|officer| officer.passcode.as_deref());
    let fits = Argon2::default().verify_password(passcode.as_bytes(), hash.unwrap_or(NOBODY)).is_ok();
    fits && hash.is_some()
}

/// Who the agency is, for its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgencyIdentity {
    /// Its id.
    pub id: AgencyId,
    /// Its name.
    pub name: String,
    /// Its ORI number, or empty.
    pub ori: String,
    /// Its state; `US` for federal agencies.
    pub state: State,
    /// Its level.
    pub level: Level,
    /// A law-enforcement agency.
    pub law_enforcement: bool,
}

/// Builds and signs the directory of these officers with the agency's key, valid for seven days.
///
/// # Errors
/// `Malformed` for a row that is none; `TooMany` if the object would be longer than keepers accept (256 KiB).
pub fn sign_directory(
    agency: &AgencyIdentity,
    officers: &[OfficerRow],
    (serial, now): (u64, Timestamp),
    desk_log: &str,
    desk_key: &VerifierKey,
    agency_key: &NoteSigner,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, RosterError> {
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    let directory = Directory {
        header: Header {
            v: VersionOne,
            nonce,
            issued: now,
            issuer: agency_key.verifier_key().name().as_str().to_owned(),
        },
        body: DirectoryBody {
            agency: agency.id,
            name: agency.name.clone(),
            ori: agency.ori.clone(),
            state: agency.state,
            level: agency.level,
            law_enforcement: agency.law_enforcement,
            serial,
            valid_until: Timestamp(now.0.saturating_add(DIRECTORY_SECONDS_MAX)),
            officers: officers.iter().map(entry).collect::<Result<_, _>>()?,
            desk_log: desk_log.to_owned(),
            desk_key: desk_key.clone(),
        },
    };
    directory.sign(&[agency_key]).map_err(|_too_long| RosterError::TooMany)
}

fn entry(row: &OfficerRow) -> Result<OfficerEntry, RosterError> {
    let role = |name: &String| Role::from_name(name).ok_or(RosterError::Malformed);
    Ok(OfficerEntry {
        person: digest(&row.person)?,
        keys: row.keys.iter().map(|key| digest(key)).collect::<Result<_, _>>()?,
        trained_until: Timestamp(row.trained_until),
        active: row.active,
        roles: row.roles.iter().map(role).collect::<Result<_, _>>()?,
    })
}

fn digest(text: &str) -> Result<[u8; 32], RosterError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_hex| RosterError::Malformed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;
    use lockplate_core::charter::AgencyPage;
    use lockplate_core::directory::VerifiedDirectory;
    use lockplate_core::signed::SignedObject;
    use lockplate_log::Origin;

    #[test]
    fn a_passcode_opens_only_for_its_officer_and_is_in_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let roster = Roster::at(&folder.path().join("officers.json"));
        assert_eq!(roster.officers(), Ok(vec![]));
        let until = Timestamp(2_000_000_000);
        roster
            .add_officer(&[1; 32], until, &BTreeSet::from([Role::Supervisor]), Some("correct horse"), &mut SystemRng)
            .unwrap();
        roster.add_officer(&[2; 32], until, &BTreeSet::new(), None, &mut SystemRng).unwrap();
        assert_eq!(
            roster.add_officer(&[1; 32], until, &BTreeSet::new(), None, &mut SystemRng),
            Err(RosterError::KnownKey)
        );
        let one = roster.find(&[1; 32]).unwrap();
        assert!(check_passcode(one.as_ref(), "correct horse"));
        assert!(!check_passcode(one.as_ref(), "correct Horse"));
        let two = roster.find(&[2; 32]).unwrap();
        assert!(two.is_some() && !check_passcode(two.as_ref(), "") && !check_passcode(None, "correct horse"));
        let text = std::fs::read_to_string(folder.path().join("officers.json")).unwrap();
        assert!(text.contains("$argon2id$") && !text.contains("correct horse"));
        assert_eq!(roster.set_passcode(&[2; 32], "short", &mut SystemRng), Err(RosterError::Passcode));
        roster.set_passcode(&[2; 32], "battery staple", &mut SystemRng).unwrap();
        assert!(check_passcode(roster.find(&[2; 32]).unwrap().as_ref(), "battery staple"));
        assert_eq!(roster.set_active(&[3; 32], false), Err(RosterError::UnknownKey));
        roster.set_active(&[2; 32], false).unwrap();
        assert!(!roster.find(&[2; 32]).unwrap().unwrap().active);
    }

    #[test]
    fn the_directory_is_what_keepers_accept() {
        let folder = tempfile::tempdir().unwrap();
        let roster = Roster::at(&folder.path().join("officers.json"));
        let now = Timestamp(1_800_000_000);
        roster.add_officer(&[1; 32], now, &BTreeSet::from([Role::Supervisor]), None, &mut SystemRng).unwrap();
        let agency = AgencyIdentity {
            id: AgencyId([9; 16]),
            name: "Harbour Police Department".to_owned(),
            ori: String::new(),
            state: State::parse("CT").unwrap(),
            level: Level::Local,
            law_enforcement: true,
        };
        let signer = |name: &str, seed| NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap();
        let (key, desk) = (signer("harbour.example/agency", 1), signer("harbour.example/desk", 2));
        let officers = roster.officers().unwrap();
        let sign = |officers: &[OfficerRow], serial| {
            let desk_log = "harbour.example/log/desk";
            sign_directory(&agency, officers, (serial, now), desk_log, desk.verifier_key(), &key, &mut SystemRng)
        };
        let object = SignedObject::parse(&sign(&officers, 5).unwrap()).unwrap();
        let keys = [key.verifier_key().clone()];
        let (name, state, level) = (agency.name.clone(), agency.state, agency.level);
        let known =
            AgencyPage { id: agency.id, name, state, level, desk_log: None, url: String::new(), tls_pin: [0; 32] };
        let verified = VerifiedDirectory::verify(&object, &known, &keys, Some(4), now).unwrap();
        assert!(verified.roles(&[1; 32]).unwrap().contains(&Role::Supervisor));
        assert!(verified.is_fresh(Timestamp(now.0 + 6 * 86_400)) && !verified.is_fresh(Timestamp(now.0 + 8 * 86_400)));
        assert!(VerifiedDirectory::verify(&object, &known, &keys, Some(5), now).is_err());

        // As many as there may be, each with a role.
        let numbered = |at: usize| OfficerRow {
            person: format!("{at:064x}"),
            keys: vec![format!("{:064x}", OFFICERS_MAX + at)],
            ..officers[0].clone()
        };
        let all: Vec<_> = (0..OFFICERS_MAX).map(numbered).collect();
        let object = SignedObject::parse(&sign(&all, 6).unwrap()).unwrap();
        let verified = VerifiedDirectory::verify(&object, &known, &keys, Some(5), now).unwrap();
        assert_eq!(verified.body().officers.len(), OFFICERS_MAX);
        let with_three_keys = |row: &OfficerRow| OfficerRow { keys: vec![row.keys[0].clone(); 3], ..row.clone() };
        let too_long: Vec<_> = all.iter().map(with_three_keys).collect();
        assert!(matches!(sign(&too_long, 7), Err(RosterError::TooMany)));
    }
}

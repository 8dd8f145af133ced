//! The people who decide at a keeper, as its own configuration knows them: name, keys, and after how long they are told. The
//! charter names their keys by id only and binds; what stands here can add nobody. It goes to the page, the prompts and the
//! office.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lettre::Address;
use lockplate_core::charter::HUMANS_MAX;
use lockplate_core::id::from_b64url;
use lockplate_core::passkey::Passkey;
use serde::Deserialize;

use super::KeeperError;
use crate::passkeys::EnrolledPasskey;
use crate::settings::ConfigError;

/// Passkeys of one person.
const PASSKEYS_MAX: usize = 4;

/// Characters of a name.
const NAME_CHARS_MAX: usize = 80;

/// Longest waiting time of a deputy, minutes.
const AFTER_MINUTES_MAX: u32 = 24 * 60;

/// One `[[people]]` of `keeper.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonConfig {
    /// Name, for people.
    pub name: String,
    /// Key ids of key files, base64url of 32 bytes.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Files that `keeper enrol` wrote.
    #[serde(default)]
    pub passkeys: Vec<PathBuf>,
    /// Minutes a request waits before this person is told; 0 for those on duty, more for deputies.
    #[serde(default)]
    pub after_minutes: u32,
    /// Address for prompts; without one the person looks at the page.
    pub mail: Option<String>,
}

/// A person whose values hold; the files are not read yet.
#[derive(Clone)]
pub(super) struct PersonSettings {
    name: String,
    keys: Vec<[u8; 32]>,
    passkeys: Vec<PathBuf>,
    after_minutes: u32,
    mail: Option<Address>,
}

impl core::fmt::Debug for PersonSettings {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PersonSettings(..)")
    }
}

/// Checks the values of `[[people]]`.
///
/// # Errors
/// [`ConfigError`] that names the person's place in the file.
pub(super) fn check(file: &Path, people: Vec<PersonConfig>) -> Result<Vec<PersonSettings>, ConfigError> {
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    if people.len() > HUMANS_MAX {
        return Err(ConfigError::refused(file, None, format!("there are more than {HUMANS_MAX} `people`")));
    }
    let checked = people.into_iter().zip(1_usize..).map(|(person, place)| {
        let refuse = |what: &str| ConfigError::refused(file, None, format!("`people` number {place}: {what}"));
        let name = person.name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(refuse("`name` is empty or too long"));
        }
        let keys = person.keys.iter().map(|key| from_b64url(key).ok_or_else(|| refuse("`keys` holds no key id")));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() && person.passkeys.is_empty() {
            return Err(refuse("neither `keys` nor `passkeys`, so this person could decide nothing"));
        }
        if person.passkeys.len() > PASSKEYS_MAX || keys.len() > HUMANS_MAX {
            return Err(refuse("too many keys"));
        }
        if person.after_minutes > AFTER_MINUTES_MAX {
            return Err(refuse("`after_minutes` is more than a day"));
        }
        let mail = person.mail.map(|mail| mail.parse().map_err(|_form| refuse("`mail` is no address"))).transpose()?;
        Ok(PersonSettings {
            name: name.to_owned(),
            keys,
            passkeys: person.passkeys.iter().map(|path| folder.join(path)).collect(),
            after_minutes: person.after_minutes,
            mail,
        })
    });
    checked.collect()
}

/// A person of this keeper.
pub(super) struct Person {
    /// Name, for people.
    pub(super) name: String,
    /// Passkeys.
    pub(super) passkeys: Vec<EnrolledPasskey>,
    /// Minutes a request waits before this person is told.
    pub(super) after_minutes: u32,
    /// Where to.
    pub(super) mail: Option<Address>,
}

/// All of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct People(Arc<[Person]>);

impl core::fmt::Debug for People {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "People({})", self.0.len())
    }
}

impl People {
    /// Reads the passkeys' files and compares every key with the charter's.
    ///
    /// # Errors
    /// `Passkey` where a file cannot be read; `Unfit` where the charter does not name a key, or two people share one.
    pub(super) fn read(settings: &[PersonSettings], named: &[[u8; 32]]) -> Result<Self, KeeperError> {
        let mut seen = BTreeSet::new();
        let mut people = Vec::new();
        for person in settings {
            let passkeys =
                person.passkeys.iter().map(|path| EnrolledPasskey::read(path)).collect::<Result<Vec<_>, _>>()?;
            let ids = passkeys.iter().map(|enrolled| enrolled.passkey.key.id()).chain(person.keys.iter().copied());
            for id in ids {
                if !named.contains(&id) {
                    return Err(KeeperError::Unfit(
                        "`people` names a key that the charter does not name for this keeper",
                    ));
                }
                if !seen.insert(id) {
                    return Err(KeeperError::Unfit("`people` names a key twice"));
                }
            }
            people.push(Person {
                name: person.name.clone(),
                passkeys,
                after_minutes: person.after_minutes,
                mail: person.mail.clone(),
            });
        }
        Ok(Self(people.into()))
    }

    /// In the order of the configuration.
    pub(super) fn all(&self) -> &[Person] {
        &self.0
    }

    /// All passkeys by their ids.
    pub(super) fn passkeys(&self) -> BTreeMap<[u8; 32], Passkey> {
        let all = self.0.iter().flat_map(|person| &person.passkeys);
        all.map(|enrolled| (enrolled.passkey.key.id(), enrolled.passkey.clone())).collect()
    }

    /// The person, by place, and the passkey that a browser names.
    pub(super) fn by_credential(&self, credential: &[u8]) -> Option<(usize, &Passkey)> {
        self.0.iter().enumerate().find_map(|(place, person)| {
            let found = person.passkeys.iter().find(|enrolled| enrolled.credential == credential)?;
            Some((place, &found.passkey))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clerk() -> PersonConfig {
        PersonConfig {
            name: "A. Clerk".to_owned(),
            keys: vec!["AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM".to_owned()],
            passkeys: Vec::new(),
            after_minutes: 0,
            mail: Some("clerk@court.example".to_owned()),
        }
    }

    fn one(change: impl FnOnce(&mut PersonConfig)) -> Result<Vec<PersonSettings>, ConfigError> {
        let mut person = clerk();
        change(&mut person);
        check(Path::new("keeper.toml"), vec![person])
    }

    #[test]
    fn people_have_names_keys_and_bounds() {
        assert!(one(|_| ()).is_ok());
        assert!(one(|p| p.after_minutes = AFTER_MINUTES_MAX).is_ok());
        assert!(one(|p| p.after_minutes = AFTER_MINUTES_MAX + 1).is_err());
        assert!(one(|p| p.name = " ".to_owned()).is_err());
        assert!(one(|p| p.name = "x".repeat(NAME_CHARS_MAX + 1)).is_err());
        assert!(one(|p| p.keys.clear()).is_err());
        assert!(one(|p| p.keys = vec!["AwMD".to_owned()]).is_err());
        assert!(one(|p| p.passkeys = vec![PathBuf::new(); PASSKEYS_MAX + 1]).is_err());
        assert!(one(|p| p.mail = Some("clerk\r\nBcc: x@y.example".to_owned())).is_err());
        assert!(check(Path::new("keeper.toml"), vec![clerk(); HUMANS_MAX + 1]).is_err());
    }

    #[test]
    fn every_key_is_one_of_the_charters_and_one_persons() {
        let settings = check(Path::new("keeper.toml"), vec![clerk()]).unwrap();
        assert_eq!(People::read(&settings, &[[3; 32]]).unwrap().all().len(), 1);
        assert!(matches!(People::read(&settings, &[[4; 32]]), Err(KeeperError::Unfit(_))));
        let twice = check(Path::new("keeper.toml"), vec![clerk(), clerk()]).unwrap();
        assert!(matches!(People::read(&twice, &[[3; 32]]), Err(KeeperError::Unfit(_))));
    }
}

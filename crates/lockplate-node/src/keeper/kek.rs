//! The key-encryption keys of a keeper: one a share and one a private prekey, in a small table under a root (LPv1 section 12).
//! To destroy a share is to write the table without its key under a new root, and then to make the old root and table
//! disappear. Nothing else in this process may write a share, a prekey or a key of the month anywhere but wrapped under a key
//! of this table.
//!
//! # Crash safety
//!
//! A generation is two files: `<generation>.root` and `<generation>.table`. A change writes the next generation, root first,
//! each durable on return; then it overwrites and removes the old one. The newest generation whose table opens under its root
//! is in force; what else lies in the folder is removed at the next start. So a crash leaves the old table or the new one, and
//! a removal that was acknowledged has left only the new one.
//!
//! # What this does not give
//!
//! Overwriting before unlinking is best effort: a copy-on-write file system, a flash translation layer or a snapshot keeps
//! old blocks. Without hardware that holds the root (a TPM, in a later release) the log says `best_effort`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use lockplate_oprf::Secret;
use lockplate_store::durable;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Name of a key in the table: an epoch's id, a prekey's id, or that of a month's key. Random, so no two are equal.
pub type KekName = [u8; 16];

/// Most keys of a table: two years of hourly shares, a stock of prekeys, and room.
pub const KEYS_MAX: usize = 65_536;

/// First bytes of a root file; a root is 32 bytes after it.
const ROOT_MAGIC: &[u8] = b"lockplate.kek/root@v1\n";

/// Domain of the table's encryption; the generation follows it.
const TABLE_LABEL: &[u8] = b"LPv1 kek table";

/// Domain of what a key of the table wraps; its name follows it.
const WRAP_LABEL: &[u8] = b"LPv1 kek wrap";

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const ENTRY_BYTES: usize = 16 + 32;

/// Largest file of the folder that is read.
const FILE_BYTES_MAX: usize = NONCE_BYTES + KEYS_MAX * ENTRY_BYTES + TAG_BYTES;

/// Why the table could not be read or changed.
#[derive(Debug)]
pub enum KekError {
    /// A file could not be read or written. See [`KekError::must_stop`].
    Durable(durable::Error),
    /// Reading the folder failed.
    Read(std::io::Error),
    /// There are files, but no generation whose table opens under its root.
    NoGeneration,
    /// The table is full.
    Full,
    /// The name is not in the table: what it wrapped is destroyed.
    Unknown,
    /// What was wrapped does not open under its key.
    Torn,
}

impl KekError {
    /// Whether memory and disk can no longer be assumed to agree.
    #[must_use]
    pub const fn must_stop(&self) -> bool {
        match self {
            Self::Durable(error) => error.must_stop(),
            Self::Read(_) | Self::NoGeneration | Self::Full | Self::Unknown | Self::Torn => false,
        }
    }
}

impl fmt::Display for KekError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Durable(_) => "the table of key-encryption keys could not be written",
            Self::Read(_) => "the table of key-encryption keys could not be read",
            Self::NoGeneration => {
                "no table of key-encryption keys opens; restore the folder `kek` or found this keeper anew"
            }
            Self::Full => "the table of key-encryption keys is full",
            Self::Unknown => "the key-encryption key is destroyed",
            Self::Torn => "a wrapped secret does not open under its key",
        })
    }
}

impl core::error::Error for KekError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Durable(cause) => Some(cause),
            Self::Read(cause) => Some(cause),
            Self::NoGeneration | Self::Full | Self::Unknown | Self::Torn => None,
        }
    }
}

impl From<durable::Error> for KekError {
    fn from(cause: durable::Error) -> Self {
        Self::Durable(cause)
    }
}

/// The table in force.
pub struct KekTable {
    folder: PathBuf,
    generation: u64,
    keys: BTreeMap<KekName, Secret<32>>,
}

impl fmt::Debug for KekTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KekTable").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl KekTable {
    /// Takes up the table in `folder` (made where absent) and removes every generation but the one in force. The caller holds
    /// the lock of the data folder.
    ///
    /// # Errors
    /// [`KekError::NoGeneration`] if there are tables and none opens: then every share is lost, and starting with an empty
    /// table would hide it.
    pub fn open(folder: &Path, rng: &mut impl CryptoRng) -> Result<Self, KekError> {
        durable::create_dir(folder)?;
        durable::remove_temporaries(folder)?;
        let (generations, others) = generations(folder)?;
        let found = generations
            .iter()
            .rev()
            .find_map(|&generation| read_generation(folder, generation).map(|keys| (generation, keys)));
        let table = match found {
            Some((generation, keys)) => Self { folder: folder.to_owned(), generation, keys },
            None if generations.is_empty() => {
                // A root alone is what a crash at the very first start leaves.
                tracing::info!(leftovers = others, "a new table of key-encryption keys is made");
                let mut table = Self { folder: folder.to_owned(), generation: 0, keys: BTreeMap::new() };
                table.replace(BTreeMap::new(), rng)?;
                table
            }
            None => return Err(KekError::NoGeneration),
        };
        table.remove_others(rng)?;
        Ok(table)
    }

    /// The newest table as it lies in `folder`; nothing is made, written or removed. For `lockplate doctor`, which holds the lock
    /// of the data folder.
    ///
    /// # Errors
    /// [`KekError::NoGeneration`] if there is no table or the newest one does not open: it was put in place whole, so it is damaged.
    pub fn look(folder: &Path) -> Result<Self, KekError> {
        let (generations, _others) = generations(folder)?;
        let generation = generations.last().copied().ok_or(KekError::NoGeneration)?;
        let keys = read_generation(folder, generation).ok_or(KekError::NoGeneration)?;
        Ok(Self { folder: folder.to_owned(), generation, keys })
    }

    /// Whether a name is in the table.
    #[must_use]
    pub fn holds(&self, name: &KekName) -> bool {
        self.keys.contains_key(name)
    }

    /// Keys in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Names in the table, sorted.
    pub fn names(&self) -> impl Iterator<Item = &KekName> {
        self.keys.keys()
    }

    /// Adds a fresh key for each of `names` and takes away those of `gone`, in one generation. Durable on return: the taken
    /// keys are on no file of the folder any more. A name that is there keeps its key; one that is not there may be taken away.
    ///
    /// # Errors
    /// [`KekError::Full`]; [`KekError::Durable`], after which the old table is in force unless it says stop.
    pub fn change(&mut self, names: &[KekName], gone: &[KekName], rng: &mut impl CryptoRng) -> Result<(), KekError> {
        let mut keys = self.keys.clone();
        for name in gone {
            keys.remove(name);
        }
        for name in names {
            keys.entry(*name).or_insert_with(|| Secret::random(rng));
        }
        if keys.len() > KEYS_MAX {
            return Err(KekError::Full);
        }
        if keys.len() == self.keys.len() && keys.keys().eq(self.keys.keys()) {
            return Ok(());
        }
        self.replace(keys, rng)?;
        self.remove_others(rng)
    }

    /// Wraps a secret under the key of `name`: nonce, ciphertext, tag.
    ///
    /// # Errors
    /// [`KekError::Unknown`] if there is no such key.
    pub fn wrap(&self, name: &KekName, secret: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, KekError> {
        let key = self.keys.get(name).ok_or(KekError::Unknown)?;
        seal(key, &[WRAP_LABEL, name].concat(), secret, rng)
    }

    /// Opens what [`KekTable::wrap`] made.
    ///
    /// # Errors
    /// [`KekError::Unknown`] if the key is destroyed, [`KekError::Torn`] if it does not open.
    pub fn unwrap(&self, name: &KekName, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, KekError> {
        let key = self.keys.get(name).ok_or(KekError::Unknown)?;
        open(key, &[WRAP_LABEL, name].concat(), wrapped).ok_or(KekError::Torn)
    }

    /// Writes the next generation. The old one is still there.
    fn replace(&mut self, keys: BTreeMap<KekName, Secret<32>>, rng: &mut impl CryptoRng) -> Result<(), KekError> {
        let generation = self.generation.saturating_add(1);
        let root = Secret::<32>::random(rng);
        let mut text = Zeroizing::new(Vec::with_capacity(keys.len().saturating_mul(ENTRY_BYTES)));
        for (name, key) in &keys {
            text.extend_from_slice(name);
            text.extend_from_slice(key.expose_secret());
        }
        let table = seal(&root, &table_aad(generation), &text, rng)?;
        let file = Zeroizing::new([ROOT_MAGIC, root.expose_secret().as_slice()].concat());
        // `replace`, not `write_new`: a crash may have left a root of this number, which no table was ever written under.
        durable::replace(&self.path(generation, "root"), &file)?;
        durable::replace(&self.path(generation, "table"), &table)?;
        self.generation = generation;
        self.keys = keys;
        Ok(())
    }

    /// Overwrites and removes every file of the folder that is not of the generation in force.
    fn remove_others(&self, rng: &mut impl CryptoRng) -> Result<(), KekError> {
        let kept = [self.path(self.generation, "root"), self.path(self.generation, "table")];
        for entry in std::fs::read_dir(&self.folder).map_err(KekError::Read)? {
            let path = entry.map_err(KekError::Read)?.path();
            if !kept.contains(&path) && path.is_file() {
                overwrite(&path, rng);
                durable::remove(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, generation: u64, kind: &str) -> PathBuf {
        self.folder.join(format!("{generation:016x}.{kind}"))
    }
}

/// Writes random bytes over a file's content, best effort: where it fails, the removal that follows still counts.
fn overwrite(path: &Path, rng: &mut impl CryptoRng) {
    let written = OpenOptions::new().write(true).open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        let mut noise = [0; 4096];
        let mut left = length;
        while left > 0 {
            rng.fill_bytes(&mut noise);
            let part = usize::try_from(left).unwrap_or(noise.len()).min(noise.len());
            file.write_all(noise.get(..part).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(part).unwrap_or(left));
        }
        file.sync_data()
    });
    if let Err(error) = written {
        tracing::warn!(kind = ?error.kind(), "an old table of key-encryption keys could not be overwritten before removal");
    }
}

/// Numbers of the tables in the folder, oldest first, and how many other files there are.
fn generations(folder: &Path) -> Result<(Vec<u64>, usize), KekError> {
    let mut generations: Vec<u64> = Vec::new();
    let mut others = 0_usize;
    for entry in std::fs::read_dir(folder).map_err(KekError::Read)? {
        let name = entry.map_err(KekError::Read)?.file_name();
        match name.to_str().and_then(|name| name.split_once('.')) {
            Some((number, "table")) => generations.extend(parse_generation(number)),
            Some(_) | None => others = others.saturating_add(1),
        }
    }
    generations.sort_unstable();
    Ok((generations, others))
}

fn parse_generation(text: &str) -> Option<u64> {
    let number = u64::from_str_radix(text, 16).ok()?;
    (format!("{number:016x}") == text).then_some(number)
}

fn table_aad(generation: u64) -> Vec<u8> {
    [TABLE_LABEL, &generation.to_be_bytes()].concat()
}

/// The keys of a generation, if it is complete.
fn read_generation(folder: &Path, generation: u64) -> Option<BTreeMap<KekName, Secret<32>>> {
    let root = read_bounded(&folder.join(format!("{generation:016x}.root")))?;
    let root = Secret::<32>::from_slice(root.strip_prefix(ROOT_MAGIC)?)?;
    let table = read_bounded(&folder.join(format!("{generation:016x}.table")))?;
    let text = open(&root, &table_aad(generation), &table)?;
    let (entries, rest) = text.as_chunks::<ENTRY_BYTES>();
    let mut keys = BTreeMap::new();
    for entry in entries {
        let (name, key) = entry.split_at(16);
        keys.insert(name.try_into().ok()?, Secret::from_slice(key)?);
    }
    rest.is_empty().then_some(keys)
}

fn read_bounded(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    let limit = u64::try_from(FILE_BYTES_MAX).ok()?;
    let file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    if length > limit {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).ok()?.saturating_add(1)));
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn seal(key: &Secret<32>, aad: &[u8], text: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, KekError> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let sealed = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key.expose_secret()))
        .encrypt(&Nonce::from(nonce), Payload { msg: text, aad })
        .map_err(|_aead| KekError::Torn)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn open(key: &Secret<32>, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, msg) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key.expose_secret()))
        .decrypt(&Nonce::from(*nonce), Payload { msg, aad })
        .ok()
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;

    const A: KekName = [1; 16];
    const B: KekName = [2; 16];

    fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn what_was_wrapped_opens_after_a_restart_and_under_no_other_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = KekTable::open(folder.path(), &mut SystemRng).unwrap();
        table.change(&[A, B], &[], &mut SystemRng).unwrap();
        let wrapped = table.wrap(&A, b"share", &mut SystemRng).unwrap();
        drop(table);
        let table = KekTable::open(folder.path(), &mut SystemRng).unwrap();
        assert_eq!(table.unwrap(&A, &wrapped).unwrap().as_slice(), b"share");
        assert!(matches!(table.unwrap(&B, &wrapped), Err(KekError::Torn)));
        assert!(matches!(table.unwrap(&[3; 16], &wrapped), Err(KekError::Unknown)));
        assert_eq!(files(folder.path()).len(), 2, "one root and one table");
    }

    #[test]
    fn a_key_taken_away_is_under_no_file_that_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = KekTable::open(folder.path(), &mut SystemRng).unwrap();
        table.change(&[A, B], &[], &mut SystemRng).unwrap();
        let before = files(folder.path());
        let wrapped = table.wrap(&A, b"share", &mut SystemRng).unwrap();
        table.change(&[], &[A], &mut SystemRng).unwrap();
        let after = files(folder.path());
        assert_eq!(after.len(), 2);
        assert!(after.iter().all(|file| !before.contains(file)), "neither the old root nor the old table is left");
        let again = KekTable::open(folder.path(), &mut SystemRng).unwrap();
        assert!(!again.holds(&A) && again.holds(&B));
        assert!(matches!(again.unwrap(&A, &wrapped), Err(KekError::Unknown)));
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_table_or_the_new_one_and_nothing_else() {
        // The files of a change in the order in which they come and go: new root, new table, old ones away.
        let folder = tempfile::tempdir().unwrap();
        let mut table = KekTable::open(folder.path(), &mut SystemRng).unwrap();
        table.change(&[A], &[], &mut SystemRng).unwrap();
        let old = files(folder.path());
        table.change(&[B], &[A], &mut SystemRng).unwrap();
        let new = files(folder.path());
        let is_root = |file: &&(String, Vec<u8>)| file.0.ends_with(".root");
        let new_root: Vec<_> = new.iter().filter(is_root).cloned().collect();
        let old_table: Vec<_> = old.iter().filter(|file| !is_root(file)).cloned().collect();
        let cases = [
            (old.clone(), A),
            ([old.clone(), new_root].concat(), A),
            ([old.clone(), new.clone()].concat(), B),
            ([old_table, new.clone()].concat(), B),
            (new, B),
        ];
        for (state, held) in cases {
            let crashed = tempfile::tempdir().unwrap();
            for (name, bytes) in &state {
                File::create(crashed.path().join(name)).unwrap().write_all(bytes).unwrap();
            }
            let table = KekTable::open(crashed.path(), &mut SystemRng).unwrap();
            assert_eq!(table.names().copied().collect::<Vec<_>>(), [held]);
            assert_eq!(files(crashed.path()).len(), 2);
        }
    }

    #[test]
    fn a_damaged_table_is_an_error_and_never_an_empty_table() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = KekTable::open(folder.path(), &mut SystemRng).unwrap();
        table.change(&[A], &[], &mut SystemRng).unwrap();
        for (name, bytes) in files(folder.path()) {
            let path = folder.path().join(&name);
            for at in [0, bytes.len() / 2, bytes.len() - 1] {
                let mut torn = bytes.clone();
                torn[at] ^= 1;
                File::create(&path).unwrap().write_all(&torn).unwrap();
                assert!(matches!(KekTable::open(folder.path(), &mut SystemRng), Err(KekError::NoGeneration)), "{name}");
            }
            File::create(&path).unwrap().write_all(&bytes).unwrap();
        }
        assert!(KekTable::open(folder.path(), &mut SystemRng).unwrap().holds(&A));
    }

    #[test]
    fn debug_shows_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let table = KekTable::open(folder.path(), &mut SystemRng).unwrap();
        assert_eq!(format!("{table:?}"), "KekTable { generation: 1, .. }");
    }
}

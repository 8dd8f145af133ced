//! The texts a decision is made under, and their digest. A bundle is given as strings: this module reads no disk. What the
//! texts say is checked by `lint.rs`; a `Bundle` is only known to have a sane shape, not to be loadable.

use std::collections::BTreeMap;

use lockplate_core::vocabulary::State;
use sha2::{Digest as _, Sha256};

use crate::error::{Fault, LoadError};

/// Path of the schema.
pub const SCHEMA: &str = "lockplate.cedarschema";
/// Path of the base pack, the only one with permits.
pub const BASE_PACK: &str = "00-base.cedar";
/// Path of the pack that an agency adds to its state's floor: forbids only.
pub const LOCAL_PACK: &str = "local.cedar";
/// Files in a bundle: the schema, base, local and every state's pack, with their properties.
pub const FILES_MAX: usize = 128;
/// Bytes in one file. The base pack, the largest shipped, has 16 KB.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// Policies in a bundle. All ten state packs together have 59.
pub const POLICIES_MAX: usize = 1024;

/// Folder of the properties inside a bundle.
const PROPERTIES: &str = "props/";
/// Suffix of packs and property files.
const PACK_SUFFIX: &str = ".cedar";
/// Characters in the name of a pack, suffix not counted.
const NAME_MAX: usize = 40;

/// Schema and base pack with its properties: part of every shipped bundle.
const SHIPPED_BASE: [(&str, &str); 3] = [
    (SCHEMA, include_str!("../packs/lockplate.cedarschema")),
    (BASE_PACK, include_str!("../packs/00-base.cedar")),
    ("props/00-base.cedar", include_str!("../packs/props/00-base.cedar")),
];

/// A state's code, its pack and the pack's properties.
type StatePack = (&'static str, [(&'static str, &'static str); 2]);

macro_rules! state_packs {
    ($($code:literal $name:literal)*) => { [$(($code, [
        (concat!($name, ".cedar"), include_str!(concat!("../packs/", $name, ".cedar"))),
        (concat!("props/", $name, ".cedar"), include_str!(concat!("../packs/props/", $name, ".cedar"))),
    ])),*] };
}

/// The states with a pack (`law.md` section 1). Connecticut's is the default pack.
const STATE_PACKS: [StatePack; 10] = state_packs! {
    "CA" "ca" "CT" "ct" "IL" "il" "MN" "mn" "NH" "nh" "NJ" "nj" "NM" "nm" "VA" "va" "VT" "vt" "WA" "wa"
};

/// The files of one bundle, sorted by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, String>,
}

/// Open brackets at one place of a file; the shipped packs have 5.
const NESTING_MAX: usize = 64;
/// `if` in one statement, and `.` in one: each nests in the parser's tree as a bracket does.
const CHAIN_MAX: usize = 128;

/// The engine's parser recurses, and a stack that overflows ends the process: so nesting is bounded before it sees a text.
/// Brackets inside strings and comments count as well; that only refuses more.
fn is_shallow(text: &str) -> bool {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth = depth.saturating_add(1),
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return false;
        }
    }
    text.split(';').all(|statement| {
        let count = |needle: &str| statement.matches(needle).count();
        count("if") <= CHAIN_MAX && count(".") <= CHAIN_MAX && count("!") <= CHAIN_MAX
    })
}

impl Bundle {
    /// The bundle compiled into this crate for owners in `state`: the base pack, and the state's pack where there is one.
    #[must_use]
    pub fn shipped(state: State) -> Self {
        Self::of_packs(STATE_PACKS.iter().filter(|(code, _)| *code == state.code()))
    }

    /// The base pack with every state's pack: for proofs and tests, and for no owner. It decides for an owner in a state as
    /// that state's bundle does, because each rule of a state asks for the owner's state.
    #[must_use]
    pub fn shipped_all() -> Self {
        Self::of_packs(STATE_PACKS.iter())
    }

    /// The states that have a pack, by code.
    pub fn states_with_a_pack() -> impl Iterator<Item = State> {
        STATE_PACKS.iter().filter_map(|(code, _)| State::parse(code))
    }

    fn of_packs(packs: impl Iterator<Item = &'static StatePack>) -> Self {
        let files = SHIPPED_BASE.iter().chain(packs.flat_map(|(_, files)| files));
        Self { files: files.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// A bundle from (path, text), in any order. Paths are those inside the bundle's folder, with `/`.
    ///
    /// # Errors
    /// A path that no bundle has, a path given twice, a schema or base pack missing, properties without their pack, a size
    /// over [`FILES_MAX`] or [`FILE_BYTES_MAX`].
    pub fn from_files(given: impl IntoIterator<Item = (String, String)>) -> Result<Self, LoadError> {
        let mut files = BTreeMap::new();
        for (path, text) in given {
            if path != SCHEMA && pack_name(path.strip_prefix(PROPERTIES).unwrap_or(&path)).is_none() {
                return Err(LoadError::new(&path, None, Fault::UnknownFile));
            }
            if text.len() > FILE_BYTES_MAX || files.len() == FILES_MAX || !is_shallow(&text) {
                return Err(LoadError::new(&path, None, Fault::TooLarge));
            }
            if files.insert(path.clone(), text).is_some() {
                return Err(LoadError::new(&path, None, Fault::FileTwice));
            }
        }
        for needed in [SCHEMA, BASE_PACK] {
            if !files.contains_key(needed) {
                return Err(LoadError::new(needed, None, Fault::FileMissing));
            }
        }
        for path in files.keys() {
            if path.strip_prefix(PROPERTIES).is_some_and(|pack| !files.contains_key(pack)) {
                return Err(LoadError::new(path, None, Fault::NoPackForProperties));
            }
        }
        Ok(Self { files })
    }

    /// Path and text of every file, sorted by path bytes.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Policy digest, 32 bytes: SHA-256 over the output of `LC_ALL=C sha256sum <files sorted by path>` (`law.md` section 7).
    ///
    /// Of each file: 64 lower-case hex digits, two spaces, the path, one LF.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut list = Sha256::new();
        for (path, text) in self.files() {
            // INVARIANT: paths hold no backslash and no line break, which sha256sum would escape.
            for byte in Sha256::digest(text.as_bytes()) {
                list.update([hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
            list.update(b"  ");
            list.update(path.as_bytes());
            list.update(b"\n");
        }
        list.finalize().into()
    }

    pub(crate) fn schema(&self) -> Option<&str> {
        self.files.get(SCHEMA).map(String::as_str)
    }

    /// Path, name and text of every pack; properties are not packs.
    pub(crate) fn packs(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.files().filter_map(|(path, text)| Some((path, pack_name(path)?, text)))
    }

    /// Path and text of every property file.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.starts_with(PROPERTIES))
    }
}

/// Lower-case hex digit of a value from 0 to 15.
const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    }
}

/// `ct` of `ct.cedar`; `None` for any other path, folders included.
fn pack_name(path: &str) -> Option<&str> {
    let name = path.strip_suffix(PACK_SUFFIX)?;
    let lawful = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (!name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(lawful)).then_some(name)
}

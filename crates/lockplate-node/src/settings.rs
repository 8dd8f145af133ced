//! Configuration files and key files: from a path to a checked value, or to a refusal an operator can act on. A secret
//! never stands in a configuration file, only its path does, and a key file that others can read is refused, never used
//! with a warning. The `Config` structs of the roles live with the roles; what comes out of here goes to `main`, which
//! wires the role.

use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rand_core::CryptoRng;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::shutdown::ExitKind;

/// Largest configuration file, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Largest key or certificate file, in bytes.
pub const KEY_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Permission bits of group and others: none may be set on a key file or a data folder.
const MODE_OTHERS: u32 = 0o077;

/// How many characters a misspelt key may differ in and still be offered a neighbour.
const NEIGHBOUR_DISTANCE_MAX: usize = 3;

/// What stands before a setting in the environment.
const ENVIRONMENT_PREFIX: &str = "LOCKPLATE_";

/// Name of the lock file in a data folder.
const LOCK_FILE: &str = "lock";

/// Permission bits of a data folder. What lies in it relies on them: databases, logs and sockets are made with the umask.
const FOLDER_MODE: u32 = 0o700;

/// A configuration file was refused.
///
/// The text shows file, line, column, what was expected and the nearest name. It may repeat a word of the file: the
/// file holds no secret.
#[derive(Debug)]
pub struct ConfigError {
    file: PathBuf,
    position: Option<(usize, usize)>,
    message: String,
    nearest: Option<String>,
    cause: Option<std::io::Error>,
}

impl ConfigError {
    /// A value of the file that parses but does not hold, found where `Settings` are made: `position` is line and
    /// column from 1.
    #[must_use]
    pub fn refused(file: &Path, position: Option<(usize, usize)>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), position, message: message.into(), nearest: None, cause: None }
    }

    /// Line and column, both counted from 1, columns in characters.
    #[must_use]
    pub const fn position(&self) -> Option<(usize, usize)> {
        self.position
    }

    /// The expected key nearest to an unknown one.
    #[must_use]
    pub fn nearest(&self) -> Option<&str> {
        self.nearest.as_deref()
    }

    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        ExitKind::Config
    }

    fn unreadable(file: &Path, cause: std::io::Error) -> Self {
        Self { cause: Some(cause), ..Self::refused(file, None, "the file cannot be read") }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "\ndid you mean `{nearest}`?")?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// Reads a TOML file into `C`, which mirrors it one to one and refuses unknown keys (`#[serde(deny_unknown_fields)]`).
///
/// # Errors
/// [`ConfigError`]: unreadable, larger than [`CONFIG_BYTES_MAX`], not UTF-8, not TOML, unknown key, missing key, value
/// of another type.
pub fn load<C: DeserializeOwned>(path: &Path) -> Result<C, ConfigError> {
    let mut text = String::new();
    let file = File::open(path).map_err(|cause| ConfigError::unreadable(path, cause))?;
    let read = file
        .take(CONFIG_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|cause| ConfigError::unreadable(path, cause))?;
    if u64::try_from(read).is_ok_and(|read| read > CONFIG_BYTES_MAX) {
        return Err(ConfigError::refused(path, None, format!("the file is larger than {CONFIG_BYTES_MAX} bytes")));
    }
    parse(path, &text)
}

/// As [`load`], with `LOCKPLATE_<SECTION>__<KEY>` of the environment over the file (interfaces.md section 6).
///
/// `environment` is what `main` hands in (`std::env::vars`); names without the prefix or without `__` are left alone, and
/// names are taken in lower case. A value that reads as a TOML value is one, any other is a string. The file must be good
/// TOML by itself; what an error of the sum of both concerns has no place in the file.
///
/// # Errors
/// As [`load`]; also where a name leads through a key that is no section.
pub fn load_over<C: DeserializeOwned>(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<C, ConfigError> {
    let over: Vec<_> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase(), value)))
        .filter(|(name, _)| name.contains("__"))
        .collect();
    if over.is_empty() {
        return load(path);
    }
    let mut table: toml::Table = load(path)?;
    for (name, value) in over {
        if !set(&mut table, &name, toml_value(value)) {
            return Err(ConfigError::refused(
                path,
                None,
                format!("the environment sets `{name}` through a key that is no section"),
            ));
        }
    }
    table.try_into().map_err(|error: toml::de::Error| ConfigError {
        nearest: nearest_expected(error.message()),
        ..ConfigError::refused(
            path,
            None,
            format!("with {ENVIRONMENT_PREFIX}* of the environment: {}", error.message()),
        )
    })
}

fn set(table: &mut toml::Table, name: &str, value: toml::Value) -> bool {
    let Some((section, rest)) = name.split_once("__") else {
        table.insert(name.to_owned(), value);
        return true;
    };
    let below = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    below.as_table_mut().is_some_and(|below| set(below, rest, value))
}

fn toml_value(text: String) -> toml::Value {
    let mut table = toml::from_str::<toml::Table>(&format!("value = {text}")).unwrap_or_default();
    match (table.remove("value"), table.is_empty()) {
        (Some(value), true) => value,
        (Some(_), false) | (None, _) => toml::Value::String(text),
    }
}

/// As [`load`], from text: `file` is only the name in errors. For templates and samples.
///
/// # Errors
/// As [`load`].
pub fn parse<C: DeserializeOwned>(file: &Path, text: &str) -> Result<C, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError {
        nearest: nearest_expected(error.message()),
        position: error.span().map(|span| line_and_column(text, span.start)),
        ..ConfigError::refused(file, None, error.message())
    })
}

/// Line and column, from 1, of a byte offset: also for [`toml::Spanned`] values that are checked after parsing.
#[must_use]
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
    (line, column)
}

/// The name nearest to the unknown one in serde's sentence "unknown field `x`, expected one of `a`, `b`".
///
/// serde hands out the names only as text; should its sentence change, the hint is lost and nothing else.
fn nearest_expected(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let unknown = quoted.next()?;
    let (distance, nearest) = quoted.map(|name| (edit_distance(unknown, name), name)).min()?;
    (distance <= NEIGHBOUR_DISTANCE_MAX && distance < unknown.chars().count()).then(|| nearest.to_owned())
}

/// Levenshtein distance in characters.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, have) in from.chars().enumerate() {
        let mut left = index + 1;
        let mut next = vec![left];
        for ((want, &above), &diagonal) in to.iter().zip(row.iter().skip(1)).zip(row.iter()) {
            let replaced = diagonal + usize::from(have != *want);
            left = replaced.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// A key file was refused.
#[derive(Debug)]
pub struct KeyFileError {
    path: PathBuf,
    reason: KeyFileReason,
}

/// What is wrong with a key file.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileReason {
    /// Reading, creating or syncing failed.
    Io(std::io::Error),
    /// Group or others have some permission on it; these are its permission bits.
    OpenToOthers(u32),
    /// It belongs to another user than the one of this process, and not to root.
    ForeignOwner,
    /// A folder, device or pipe.
    NotAFile,
    /// Larger than [`KEY_FILE_BYTES_MAX`].
    TooLarge,
    /// Its content is not a key of the kind expected.
    Malformed,
    /// It was to be created and is there.
    Exists,
    /// The folder it is to be made in is not there.
    NoFolder,
    /// Another process holds the lock of this data folder.
    Locked,
    /// Group or others can enter this data folder, and this process cannot close it; these are its permission bits.
    FolderOpenToOthers(u32),
}

impl KeyFileError {
    /// An input or output error on this path.
    #[must_use]
    pub fn io(path: &Path, cause: std::io::Error) -> Self {
        Self::new(path, KeyFileReason::Io(cause))
    }

    fn new(path: &Path, reason: KeyFileReason) -> Self {
        Self { path: path.to_owned(), reason }
    }

    /// What is wrong.
    #[must_use]
    pub const fn reason(&self) -> &KeyFileReason {
        &self.reason
    }

    /// The exit code that fits: "configuration or data folder refused".
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        ExitKind::Config
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            KeyFileReason::Io(_) => write!(f, "{path}: cannot be read or written"),
            KeyFileReason::OpenToOthers(mode) => {
                write!(f, "{path}: others than the owner may use this file (mode {mode:04o})\nrun: chmod 600 {path}")
            }
            KeyFileReason::ForeignOwner => write!(f, "{path}: the file belongs to another user"),
            KeyFileReason::NotAFile => write!(f, "{path}: not a regular file"),
            KeyFileReason::TooLarge => write!(f, "{path}: larger than {KEY_FILE_BYTES_MAX} bytes"),
            KeyFileReason::Malformed => write!(f, "{path}: the content is not a key of the kind expected here"),
            KeyFileReason::Exists => write!(f, "{path}: the file exists and is never overwritten"),
            KeyFileReason::NoFolder => {
                let folder = folder_of(&self.path).display();
                write!(
                    f,
                    "{path}: the folder it is to be made in is not there\nmake it first: mkdir -p -m 700 {folder}"
                )
            }
            KeyFileReason::Locked => write!(f, "{path}: another process uses this data folder"),
            KeyFileReason::FolderOpenToOthers(mode) => write!(
                f,
                "{path}: others than the owner can enter this data folder (mode {mode:04o}), and it cannot be closed from here\nrun as its owner: chmod 700 {path}"
            ),
        }
    }
}

impl core::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        if let KeyFileReason::Io(cause) = &self.reason { Some(cause) } else { None }
    }
}

/// The bytes of a secret file: a regular file of this user or root, closed to group and others, at most
/// [`KEY_FILE_BYTES_MAX`].
///
/// # Errors
/// [`KeyFileError`] where any of that does not hold.
pub fn read_secret_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let refuse = |reason| KeyFileError::new(path, reason);
    let file = open_regular(path)?;
    // The open file is judged, not the path: the path may be another file by the time it is opened.
    let metadata = file.metadata().map_err(|cause| KeyFileError::io(path, cause))?;
    let owner_fits = metadata.uid() == rustix::process::geteuid().as_raw() || metadata.uid() == 0;
    if !owner_fits {
        return Err(refuse(KeyFileReason::ForeignOwner));
    }
    if metadata.mode() & MODE_OTHERS != 0 {
        return Err(refuse(KeyFileReason::OpenToOthers(metadata.mode() & 0o7777)));
    }
    read_bounded(path, file)
}

/// The password in a secret file ([`read_secret_file`]): its first line, which must be the only one, and not empty.
///
/// # Errors
/// [`KeyFileError`] where any of that does not hold.
pub fn read_password(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let bytes = read_secret_file(path)?;
    core::str::from_utf8(&bytes)
        .ok()
        .map(|text| text.trim_end_matches(['\r', '\n']))
        .filter(|line| !line.is_empty() && !line.chars().any(char::is_control))
        .map(|line| Zeroizing::new(line.to_owned()))
        .ok_or_else(|| KeyFileError::new(path, KeyFileReason::Malformed))
}

/// The bytes of a file that is no secret (a certificate): a regular file of at most [`KEY_FILE_BYTES_MAX`].
///
/// # Errors
/// [`KeyFileError`] where that does not hold.
pub fn read_public_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let file = open_regular(path)?;
    read_bounded(path, file)
}

fn open_regular(path: &Path) -> Result<File, KeyFileError> {
    // O_NONBLOCK: opening a pipe somebody put there must not hang the start.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(|cause| KeyFileError::io(path, cause))?;
    let metadata = file.metadata().map_err(|cause| KeyFileError::io(path, cause))?;
    if metadata.is_file() { Ok(file) } else { Err(KeyFileError::new(path, KeyFileReason::NotAFile)) }
}

fn read_bounded(path: &Path, file: File) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    // Reserved once, so that no half-read copy stays behind in a buffer that grew.
    let capacity = usize::try_from(KEY_FILE_BYTES_MAX + 1).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let read =
        file.take(KEY_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|cause| KeyFileError::io(path, cause))?;
    if u64::try_from(read).is_ok_and(|read| read > KEY_FILE_BYTES_MAX) {
        return Err(KeyFileError::new(path, KeyFileReason::TooLarge));
    }
    Ok(bytes)
}

/// Creates a file with mode 0600 that holds exactly `bytes`; durable on return, and never there half-written.
///
/// # Errors
/// [`KeyFileReason::Exists`] where the file is there (it is left as it was), [`KeyFileReason::Io`] otherwise.
pub fn create_secret_file(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let io = |cause: std::io::Error| match cause.kind() == std::io::ErrorKind::AlreadyExists {
        true => KeyFileError::new(path, KeyFileReason::Exists),
        false => KeyFileError::io(path, cause),
    };
    let mut temporary_name = path.as_os_str().to_owned();
    temporary_name.push(format!(".new-{}", std::process::id()));
    let temporary = PathBuf::from(temporary_name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // A link, not a rename: it fails where the name is taken, so a key is never overwritten, not even in a race.
        std::fs::hard_link(&temporary, path)
    })();
    let removed = std::fs::remove_file(&temporary);
    written.map_err(io)?;
    removed.map_err(io)?;
    File::open(folder_of(path)).and_then(|folder| folder.sync_all()).map_err(io)
}

/// The folder of a file.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// That a key file can be made where it is absent, so that nothing is made for a mistyped path.
///
/// # Errors
/// [`KeyFileReason::NoFolder`] where its folder is not there.
pub fn folder_is_there(path: &Path) -> Result<(), KeyFileError> {
    if folder_of(path).is_dir() { Ok(()) } else { Err(KeyFileError::new(path, KeyFileReason::NoFolder)) }
}

/// The Ed25519 signing key at `path` (PKCS#8 PEM, unencrypted, mode 0600 or stricter).
///
/// # Errors
/// [`KeyFileError`]: missing, open to others, or not such a key.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    let bytes = read_secret_file(path)?;
    core::str::from_utf8(&bytes)
        .ok()
        .and_then(|pem| SigningKey::from_pkcs8_pem(pem).ok())
        .ok_or_else(|| KeyFileError::new(path, KeyFileReason::Malformed))
}

/// As [`read_signing_key`]; where the file is absent a key is drawn from `rng` and written first.
///
/// # Errors
/// [`KeyFileError`] as there, or where the file cannot be created.
pub fn read_or_create_signing_key(path: &Path, rng: &mut impl CryptoRng) -> Result<SigningKey, KeyFileError> {
    if !path.try_exists().map_err(|cause| KeyFileError::io(path, cause))? {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        let key = SigningKey::from_bytes(&seed);
        let pem =
            key.to_pkcs8_pem(LineEnding::LF).map_err(|_encoding| KeyFileError::new(path, KeyFileReason::Malformed))?;
        create_secret_file(path, pem.as_bytes())?;
    }
    read_signing_key(path)
}

/// The 32-byte secret at `path`: one line of 64 hexadecimal digits or of standard base64, mode 0600 or stricter.
///
/// # Errors
/// [`KeyFileError`]: missing, open to others, or not 32 bytes in one of these encodings.
pub fn read_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let bytes = read_secret_file(path)?;
    let line = bytes.trim_ascii();
    let mut secret = Zeroizing::new([0; 32]);
    let decoded = if line.len() == 64 {
        hex::decode_to_slice(line, secret.as_mut_slice()).is_ok()
    } else {
        // 44 characters decode to at most 33 bytes, and the decoder asks for room for all of them.
        let mut room = Zeroizing::new([0; 33]);
        let whole = line.len() == 44 && BASE64.decode_slice(line, room.as_mut_slice()) == Ok(32);
        secret.iter_mut().zip(room.iter()).for_each(|(to, from)| *to = *from);
        whole
    };
    if decoded { Ok(secret) } else { Err(KeyFileError::new(path, KeyFileReason::Malformed)) }
}

/// As [`read_secret`]; where the file is absent 32 bytes are drawn from `rng` and written first, in hexadecimal.
///
/// # Errors
/// [`KeyFileError`] as there, or where the file cannot be created.
pub fn read_or_create_secret(path: &Path, rng: &mut impl CryptoRng) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    if !path.try_exists().map_err(|cause| KeyFileError::io(path, cause))? {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut_slice());
        let mut line = Zeroizing::new([0; 65]);
        if let [digits @ .., end] = line.as_mut_slice() {
            hex::encode_to_slice(secret.as_slice(), digits)
                .map_err(|_length| KeyFileError::new(path, KeyFileReason::Malformed))?;
            *end = b'\n';
        }
        create_secret_file(path, line.as_slice())?;
    }
    read_secret(path)
}

/// The right to use a data folder, held by one process at a time (reliability.md section 4, rule 4). Released when
/// dropped or killed.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder (mode 0700) where it is absent, and locks it. One that group or others can enter is closed to them
    /// first, with a warning in the trace: what lies in it relies on that.
    ///
    /// # Errors
    /// [`KeyFileReason::FolderOpenToOthers`] where it is open and belongs to another user or its mode cannot be set,
    /// [`KeyFileReason::Locked`] where another process holds it, [`KeyFileReason::Io`] otherwise; all mean exit 3.
    pub fn lock(path: &Path) -> Result<Self, KeyFileError> {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, FOLDER_MODE);
        builder.recursive(true).create(path).map_err(|cause| KeyFileError::io(path, cause))?;
        close_folder(path)?;
        Self::lock_as_it_is(path)
    }

    /// As [`DataFolder::lock`], of a folder that is there and whose mode is left alone: for `doctor`, which mends nothing.
    ///
    /// # Errors
    /// [`KeyFileReason::Locked`] where another process holds it, [`KeyFileReason::Io`] otherwise.
    pub fn lock_as_it_is(path: &Path) -> Result<Self, KeyFileError> {
        let io = |cause| KeyFileError::io(path, cause);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(std::fs::TryLockError::WouldBlock) => Err(KeyFileError::new(path, KeyFileReason::Locked)),
            Err(std::fs::TryLockError::Error(cause)) => Err(io(cause)),
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Permission bits of group and others on a data folder, if there are any.
///
/// # Errors
/// The folder's metadata cannot be read.
pub fn others_may_enter(folder: &Path) -> std::io::Result<Option<u32>> {
    let mode = std::fs::metadata(folder)?.mode() & 0o7777;
    Ok((mode & MODE_OTHERS != 0).then_some(mode))
}

/// Takes every permission on the folder from group and others.
fn close_folder(path: &Path) -> Result<(), KeyFileError> {
    // The open folder is judged and changed, not the path: the path may be another one in between.
    let folder = File::open(path).map_err(|cause| KeyFileError::io(path, cause))?;
    let metadata = folder.metadata().map_err(|cause| KeyFileError::io(path, cause))?;
    let mode = metadata.mode() & 0o7777;
    if mode & MODE_OTHERS == 0 {
        return Ok(());
    }
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    if !own || folder.set_permissions(std::fs::Permissions::from_mode(FOLDER_MODE)).is_err() {
        return Err(KeyFileError::new(path, KeyFileReason::FolderOpenToOthers(mode)));
    }
    tracing::warn!(folder = %path.display(), mode = format_args!("{mode:04o}"), "others could enter the data folder; it was closed to them (mode 0700)");
    Ok(())
}

#[cfg(test)]
mod tests;

//! Evidence files: what a log's server showed that no honest one shows, kept as it was shown. A fork's file convicts by itself: it has both
//! signed notes and, where their sizes differ, the proof that the larger tree does not begin with the smaller one. The other kinds are a
//! record: the note is signed, but that the server sent the rest with it only the reader can say. The file never holds more than was
//! public anyway.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockplate_log::{
    Checkpoint, ConsistencyProof, Error as LogError, Hash, LogView, SignedCheckpoint, TilePath, VerifierKey,
};
use lockplate_store::durable;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Name of the folder that the files lie in.
pub const EVIDENCE_FOLDER: &str = "evidence";
/// Evidence files of one kind in one folder: a liar may lie in a new way every minute, and one lie is enough. No kind takes the place of
/// another: a fork is proof, the rest are records.
pub const EVIDENCE_FILES_MAX: usize = 64;
/// Bytes of an altered file that are kept; a longer one is cut.
pub const EVIDENCE_FILE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of an evidence file.
pub const EVIDENCE_BYTES_MAX: usize = 4 * 1024 * 1024;

const SCHEMA: &str = "lockplate/evidence/1";

/// What is in an evidence file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    schema: String,
    /// `fork`, `went-back`, `altered`.
    what: String,
    /// The log's verifier key.
    log: String,
    /// When it was seen, in seconds since 1970.
    seen: u64,
    /// The notes as they were served, the one that was proved before first.
    notes: Vec<String>,
    /// Base64: the root that the larger tree has at the size of the smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root_at_smaller: Option<String>,
    /// Base64: the hashes that prove it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    consistency: Vec<String>,
    /// The file that is not what was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Base64: its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

/// What an evidence file shows to somebody who was not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The holder of this key signed two checkpoints that no one log can have. Nothing else needs to be believed.
    Forked(Box<VerifierKey>),
    /// Nothing: the notes do not contradict each other, or this log's key did not sign them all. The rest is the word of whoever kept the file.
    Record(Box<VerifierKey>),
}

/// The file is not evidence: it has not the form of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotEvidence;

impl core::fmt::Display for NotEvidence {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the file has not the form of evidence")
    }
}

impl core::error::Error for NotEvidence {}

/// That the larger of two trees begins with another root than the smaller one's, and the proof.
pub(crate) struct Fork {
    root: Hash,
    proof: Vec<Hash>,
}

impl Fork {
    /// The fork, if the log of `view` does not begin with `older`.
    pub(crate) fn of<F: Fn(TilePath) -> Result<Option<Vec<u8>>, LogError>>(
        view: &LogView<F>,
        older: &Checkpoint,
    ) -> Result<Option<Self>, LogError> {
        if view.extends(older)? {
            return Ok(None);
        }
        let root = view.root_at(older.size())?;
        let proof = view.consistency_proof(older.size(), view.checkpoint().size())?;
        Ok(Some(Self { root, proof: proof.hashes().to_vec() }))
    }

    /// The same for the log under `large`, whose tiles `read` gets; [`NotTold`] where they do not tell. They are proved against `large`, so it does
    /// not matter who serves them. Blocks as long as `read` does.
    pub(crate) fn under<F: Fn(TilePath) -> Result<Option<Vec<u8>>, LogError>>(
        large: Checkpoint,
        small: &Checkpoint,
        read: F,
    ) -> Result<Option<Self>, NotTold> {
        LogView::load(large, read).and_then(|view| Self::of(&view, small)).map_err(|_log| NotTold)
    }
}

/// Whether there is a fork cannot be told: a tile is missing or does not prove.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotTold;

impl Evidence {
    /// Of two checkpoints that one log's key signed; `fork` only where their sizes differ: two roots of one size need no proof.
    pub(crate) fn fork(
        log: &VerifierKey,
        notes: (&SignedCheckpoint, &SignedCheckpoint),
        fork: Option<&Fork>,
        seen: u64,
    ) -> Self {
        let evidence = Self::new("fork", log.to_string(), vec![notes.0.to_bytes(), notes.1.to_bytes()], seen);
        match fork {
            Some(fork) => evidence.with_fork(fork),
            None => evidence,
        }
    }

    pub(super) fn new(what: &str, log: String, notes: Vec<Vec<u8>>, seen: u64) -> Self {
        let text = |note: Vec<u8>| String::from_utf8_lossy(&note).into_owned();
        Self {
            schema: SCHEMA.to_owned(),
            what: what.to_owned(),
            log,
            seen,
            notes: notes.into_iter().map(text).collect(),
            root_at_smaller: None,
            consistency: Vec::new(),
            path: None,
            bytes: None,
        }
    }

    pub(super) fn with_fork(mut self, fork: &Fork) -> Self {
        self.root_at_smaller = Some(fork.root.to_base64());
        self.consistency = fork.proof.iter().map(|hash| hash.to_base64()).collect();
        self
    }

    pub(super) fn with_file(mut self, path: TilePath, bytes: &[u8]) -> Self {
        self.path = Some(path.to_string());
        self.bytes = Some(STANDARD.encode(bytes.get(..EVIDENCE_FILE_BYTES_MAX).unwrap_or(bytes)));
        self
    }

    /// Writes the file, durable on return, and says where it is. The same lie seen again is the same file; where there are too many, the
    /// folder stands for all.
    pub(crate) fn keep(&self, folder: &Path) -> Result<PathBuf, durable::Error> {
        durable::create_dir(folder)?;
        let timeless = Self { seen: 0, ..self.clone() }.to_bytes();
        let digest = hex::encode(Sha256::digest(&timeless).get(..8).unwrap_or_default());
        let path = folder.join(format!("{}-{digest}.json", self.what));
        let count = std::fs::read_dir(folder).map_or(0, |entries| {
            let of_kind = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&self.what));
            of_kind.take(EVIDENCE_FILES_MAX).count()
        });
        if count >= EVIDENCE_FILES_MAX && !path.exists() {
            return Ok(folder.to_path_buf());
        }
        match durable::write_new(&path, &self.to_bytes()) {
            Err(error) if error.io_kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(path),
        }
    }

    /// The forks of a log that were proved by earlier runs: a log that forked stays one that forked.
    #[must_use]
    pub fn kept_forks(folder: &Path, log: &VerifierKey) -> Vec<Self> {
        Self::kept_fork_files(folder, log).into_iter().map(|(_, fork)| fork).collect()
    }

    /// The same with their files.
    #[must_use]
    pub fn kept_fork_files(folder: &Path, log: &VerifierKey) -> Vec<(PathBuf, Self)> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let named = |name: &str| name.starts_with("fork-") && name.ends_with(".json");
        let forks = entries.flatten().filter(|entry| named(&entry.file_name().to_string_lossy()));
        let read = forks.take(EVIDENCE_FILES_MAX).filter_map(|entry| {
            let path = entry.path();
            let fork = Self::parse(&std::fs::read(&path).ok()?).ok()?;
            Some((path, fork))
        });
        read.filter(|(_, fork)| matches!(fork.check(), Ok(Verdict::Forked(key)) if *key == *log)).collect()
    }

    /// The notes, as they were served.
    #[must_use]
    pub fn notes(&self) -> Vec<Vec<u8>> {
        self.notes.iter().map(|note| note.clone().into_bytes()).collect()
    }

    fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers only: there is nothing that cannot be written.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads an evidence file. Nothing is checked before [`Evidence::check`].
    ///
    /// # Errors
    /// [`NotEvidence`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NotEvidence> {
        if bytes.len() > EVIDENCE_BYTES_MAX {
            return Err(NotEvidence);
        }
        let evidence: Self = serde_json::from_slice(bytes).map_err(|_form| NotEvidence)?;
        if evidence.schema == SCHEMA { Ok(evidence) } else { Err(NotEvidence) }
    }

    /// `fork`, `went-back` or `altered`, as whoever kept the file says.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// When he says to have seen it, in seconds since 1970.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// What the file proves by itself.
    ///
    /// # Errors
    /// [`NotEvidence`] without the key of a log.
    pub fn check(&self) -> Result<Verdict, NotEvidence> {
        let key = VerifierKey::parse(&self.log).map_err(|_form| NotEvidence)?;
        let signed = self.notes.iter().map(|note| SignedCheckpoint::parse(note.as_bytes(), &key));
        let forked = match signed.collect::<Result<Vec<_>, _>>().as_deref() {
            Ok([one, two]) => self.is_fork(one, two),
            // One note contradicts nothing; an altered checkpoint is not the log's word.
            Ok(_) | Err(_) => false,
        };
        Ok(if forked { Verdict::Forked(Box::new(key)) } else { Verdict::Record(Box::new(key)) })
    }

    fn is_fork(&self, one: &SignedCheckpoint, two: &SignedCheckpoint) -> bool {
        let (one, two) = (one.checkpoint(), two.checkpoint());
        if one.size() == two.size() {
            return one.root() != two.root();
        }
        let (small, large) = if one.size() < two.size() { (one, two) } else { (two, one) };
        let hashes: Result<Vec<Hash>, _> = self.consistency.iter().map(|text| Hash::from_base64(text)).collect();
        let root = self.root_at_smaller.as_deref().map(Hash::from_base64);
        let (Ok(hashes), Some(Ok(root))) = (hashes, root) else { return false };
        // The larger tree begins with `root`, and that is not what was signed for this size.
        let proof = ConsistencyProof::from_parts(small.size(), large.size(), hashes);
        small.size() > 0 && root != small.root() && proof.is_ok_and(|proof| proof.verify(root, large.root()).is_ok())
    }
}

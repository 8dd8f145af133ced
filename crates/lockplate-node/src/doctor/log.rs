//! One log of a party, read from its first entry to its head: every bundle, every tile, the signed head and the published one.
//! It is `Log::load` without the key and without a write. It must not call a log good of which it did not read a leaf.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use lockplate_core::Timestamp;
use lockplate_core::entry::{Leaf, LogEntry, LogKind, parse_leaf};
use lockplate_log::limits::{LEAF_BYTES_MAX, NOTE_BYTES_MAX, TILE_WIDTH};
use lockplate_log::merkle::{leaf_hash, node_hash, root};
use lockplate_log::tile::{parse_bundle, tile_bytes};
use lockplate_log::{Checkpoint, Hash, SignedCheckpoint, SignedNote, StagingName, TileKind, TilePath, VerifierKey};

use super::{Report, place};

/// Bytes of a full bundle of the longest leaves.
const BUNDLE_BYTES_MAX: usize = (LEAF_BYTES_MAX + 2) * TILE_WIDTH as usize;
/// Bytes of a full hash tile.
const TILE_BYTES_MAX: usize = 32 * TILE_WIDTH as usize;
/// Tiles named that do not fit; one is enough to look.
const BAD_TILES_MAX: usize = 16;

/// The folder name of a log below `log/`.
pub(super) fn folder_name(key: &VerifierKey) -> String {
    key.name().as_str().replace('/', "+")
}

/// What the proof of a tree ran into.
enum Trouble {
    /// A file of the tree is not there.
    Missing(TilePath),
    /// A file of the tree cannot be read, or says something else than the head.
    Altered(TilePath),
    /// The leaves do not lead to this root, and no one file is known to be at fault.
    Root,
}

/// A log to be read.
pub(super) struct LogCheck<'a> {
    /// The data folder.
    pub(super) dir: &'a Path,
    /// The log's folder in it.
    pub(super) folder: &'a Path,
    /// Its key; without one the signatures are not checked.
    pub(super) key: Option<&'a VerifierKey>,
    /// Whose.
    pub(super) kind: LogKind,
    /// The clock.
    pub(super) now: Timestamp,
}

impl LogCheck<'_> {
    /// Reads the log; `visit` gets every entry that this release knows, with its index. True if all entries up to the head are
    /// proved: only then may what `visit` gathered be relied on.
    pub(super) fn run(&self, report: &mut Report, mut visit: impl FnMut(u64, &LogEntry)) -> bool {
        let Some(head) = self.head("head", report) else { return false };
        let published = if self.folder.join("public/checkpoint").exists() {
            let Some(published) = self.head("public/checkpoint", report) else { return false };
            Some(published)
        } else {
            report.warn("the log was never published", self.place("public/checkpoint"));
            None
        };
        if published.as_ref().is_some_and(|published| published.size() > head.size()) {
            report.fail("the log has published more than it holds: it is an old copy", self.place("head"));
            return false;
        }
        let staged = self.folder.join("staging").join(StagingName::of(&head).to_string()).exists();
        let mut order = Order::new(self.kind, self.now, head.origin().as_str());
        let trouble = self.prove(&head, published.as_ref(), |index, leaf| order.look(index, leaf, &mut visit));
        if staged {
            report.warn("an append was cut off after it was signed; the next start finishes it", self.place("staging"));
        }
        match trouble {
            Ok(()) => {}
            // Its tiles are in the staging file still. What strangers saw is proved; the rest the next start proves.
            Err(found) if staged && found.iter().all(|trouble| matches!(trouble, Trouble::Missing(_))) => {
                let proved = published.is_some_and(|published| self.prove(&published, None, |_, _| {}).is_ok());
                if !proved {
                    found.into_iter().for_each(|trouble| self.tell(&trouble, report));
                }
                return false;
            }
            Err(found) => {
                found.into_iter().for_each(|trouble| self.tell(&trouble, report));
                return false;
            }
        }
        report.counts.log_entries = report.counts.log_entries.saturating_add(head.size());
        let sound = order.tell(self, report);
        if sound {
            report.ok("every entry of the log is proved against its signed head", self.place(""));
        }
        sound
    }

    fn place(&self, name: &str) -> String {
        let path = if name.is_empty() { self.folder.to_owned() } else { self.folder.join(name) };
        place(self.dir, &path)
    }

    fn tell(&self, trouble: &Trouble, report: &mut Report) {
        match trouble {
            Trouble::Missing(path) => {
                report.fail("a file of the log is missing", self.place(&format!("public/{path}")));
            }
            Trouble::Altered(path) => {
                report.fail("a file of the log does not fit the signed head", self.place(&format!("public/{path}")));
            }
            Trouble::Root => report.fail("the entries of the log do not lead to its signed head", self.place("head")),
        }
    }

    /// A checkpoint of this log.
    fn head(&self, name: &str, report: &mut Report) -> Option<Checkpoint> {
        let bytes = match read_bounded(&self.folder.join(name), NOTE_BYTES_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                report.fail("the log has no head", self.place(name));
                return None;
            }
            Err(_io) => {
                report.fail("a head of the log cannot be read", self.place(name));
                return None;
            }
        };
        let read = match self.key {
            Some(key) => SignedCheckpoint::parse(&bytes, key).map(|signed| signed.checkpoint().clone()),
            None => SignedNote::parse(&bytes).and_then(|note| Checkpoint::parse(note.text())),
        };
        if read.is_err() {
            report.fail("a head of the log is damaged, or not signed by the log's key", self.place(name));
        }
        read.ok()
    }

    /// Hashes every leaf up to `head` and compares every tile on the way; `earlier` must be a head of the same tree.
    fn prove(
        &self,
        head: &Checkpoint,
        earlier: Option<&Checkpoint>,
        mut visit: impl FnMut(u64, &[u8]),
    ) -> Result<(), Vec<Trouble>> {
        let mut tree = Tree::default();
        let mut bad = Vec::new();
        let mut earlier_holds = earlier.is_none_or(|earlier| earlier.size() == 0);
        let width_max = u64::from(TILE_WIDTH);
        let mut first = 0_u64;
        while first < head.size() {
            let index = first / width_max;
            let width = u16::try_from(head.size().saturating_sub(first).min(width_max)).unwrap_or(TILE_WIDTH);
            let Ok(path) = TilePath::new(TileKind::Entries, index, width) else { return Err(vec![Trouble::Root]) };
            let bytes = match self.tile(path, BUNDLE_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(trouble) => return Err(vec![trouble]),
            };
            let Ok(leaves) = parse_bundle(&bytes, width) else { return Err(vec![Trouble::Altered(path)]) };
            let mut hashes = Vec::with_capacity(leaves.len());
            for (at, leaf) in (first..).zip(leaves) {
                let hash = leaf_hash(leaf);
                hashes.push(hash);
                tree.push(hash);
                let size = at.saturating_add(1);
                if let Some(earlier) = earlier.filter(|earlier| earlier.size() == size) {
                    earlier_holds = tree.root() == earlier.root();
                }
                visit(at, leaf);
            }
            self.compare(0, index, &hashes, &mut bad);
            if width == TILE_WIDTH {
                tree.fill(1, root(&hashes), &mut |level, index, hashes| self.compare(level, index, hashes, &mut bad));
            }
            first = first.saturating_add(width_max);
        }
        for (level, (index, hashes)) in &tree.levels {
            if !hashes.is_empty() {
                self.compare(*level, *index, hashes, &mut bad);
            }
        }
        if tree.root() != head.root() {
            // The tile beside an altered bundle still has the hashes that were signed: it says which bundle it is.
            let bundle = bad.iter().find_map(|trouble| match trouble {
                Trouble::Altered(path) if path.kind() == TileKind::Hashes(0) => {
                    TilePath::new(TileKind::Entries, path.index(), path.width()).ok()
                }
                Trouble::Altered(_) | Trouble::Missing(_) | Trouble::Root => None,
            });
            return Err(vec![bundle.map_or(Trouble::Root, Trouble::Altered)]);
        }
        if !earlier_holds {
            bad.push(Trouble::Root);
        }
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }

    /// A tile on the disk with the hashes that it must have.
    fn compare(&self, level: u8, index: u64, hashes: &[Hash], bad: &mut Vec<Trouble>) {
        let path = u16::try_from(hashes.len())
            .ok()
            .and_then(|width| TilePath::new(TileKind::Hashes(level), index, width).ok());
        let trouble = match path {
            None => Some(Trouble::Root),
            Some(path) => match self.tile(path, TILE_BYTES_MAX) {
                Ok(bytes) => (bytes != tile_bytes(hashes)).then_some(Trouble::Altered(path)),
                Err(trouble) => Some(trouble),
            },
        };
        if bad.len() < BAD_TILES_MAX {
            bad.extend(trouble);
        }
    }

    fn tile(&self, path: TilePath, bytes_max: usize) -> Result<Vec<u8>, Trouble> {
        match read_bounded(&self.folder.join("public").join(path.to_string()), bytes_max) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Trouble::Missing(path)),
            Err(_io) => Err(Trouble::Altered(path)),
        }
    }
}

/// What a tree is so far: the roots of its perfect subtrees, and the tile under way at each level above the first.
#[derive(Default)]
struct Tree {
    /// Height and root, largest first.
    parts: Vec<(u32, Hash)>,
    /// Level: number of the tile under way, and its hashes.
    levels: BTreeMap<u8, (u64, Vec<Hash>)>,
}

impl Tree {
    fn push(&mut self, leaf: Hash) {
        let (mut height, mut hash) = (0_u32, leaf);
        while let Some((_, left)) = self.parts.pop_if(|(other, _)| *other == height) {
            hash = node_hash(left, hash);
            height = height.saturating_add(1);
        }
        self.parts.push((height, hash));
    }

    fn root(&self) -> Hash {
        let hashes = self.parts.iter().rev().map(|(_, hash)| *hash);
        hashes.reduce(|right, left| node_hash(left, right)).unwrap_or_else(Hash::empty)
    }

    /// The root of a full tile goes into the level above it; a tile that is full with it is given to `full`.
    fn fill(&mut self, level: u8, hash: Hash, full: &mut impl FnMut(u8, u64, &[Hash])) {
        let (index, hashes) = self.levels.entry(level).or_default();
        hashes.push(hash);
        if hashes.len() >= usize::from(TILE_WIDTH) {
            full(level, *index, hashes);
            let above = root(hashes);
            *index = index.saturating_add(1);
            hashes.clear();
            self.fill(level.saturating_add(1), above, full);
        }
    }
}

/// What is wrong with the leaves as such, by the index of the first.
struct Order<'a> {
    kind: LogKind,
    now: Timestamp,
    origin: &'a str,
    last: u64,
    malformed: Option<u64>,
    foreign: Option<u64>,
    back: Option<u64>,
    unknown: Option<u64>,
    no_genesis: bool,
}

impl<'a> Order<'a> {
    const fn new(kind: LogKind, now: Timestamp, origin: &'a str) -> Self {
        let (malformed, foreign, back, unknown) = (None, None, None, None);
        Self { kind, now, origin, last: 0, malformed, foreign, back, unknown, no_genesis: false }
    }

    fn look(&mut self, index: u64, leaf: &[u8], visit: &mut impl FnMut(u64, &LogEntry)) {
        let Ok(leaf) = parse_leaf(leaf) else {
            self.malformed.get_or_insert(index);
            return;
        };
        if leaf.origin() != self.origin {
            self.foreign.get_or_insert(index);
        }
        if leaf.time().0 < self.last {
            self.back.get_or_insert(index);
        }
        self.last = leaf.time().0;
        match leaf {
            Leaf::Known(stamped) => {
                let entry = stamped.entry();
                if !entry.belongs_in(self.kind) {
                    self.foreign.get_or_insert(index);
                }
                if index == 0 {
                    self.no_genesis = !matches!(entry, LogEntry::Genesis(genesis) if genesis.role == self.kind);
                }
                visit(index, entry);
            }
            Leaf::Unknown(_) => {
                self.unknown.get_or_insert(index);
            }
        }
    }

    fn tell(&self, log: &LogCheck<'_>, report: &mut Report) -> bool {
        let place = |index: u64| format!("{} entry {index}", log.place(""));
        let failures = [
            (self.malformed, "an entry of the log cannot be read"),
            (self.foreign, "an entry of the log was written for another log"),
            (self.back, "the time of the log goes back"),
            (self.no_genesis.then_some(0), "the log does not begin with the entry of its founding"),
        ];
        let mut sound = true;
        for (index, what) in failures {
            if let Some(index) = index {
                report.fail(what, place(index));
                sound = false;
            }
        }
        if let Some(index) = self.unknown {
            report.warn("an entry of the log is of a later release", place(index));
        }
        if self.last > self.now.0 {
            report.warn("the newest entry of the log is later than the clock of this machine", log.place(""));
        }
        sound
    }
}

/// `None` where there is no such file.
fn read_bounded(path: &Path, bytes_max: usize) -> std::io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max { Err(ErrorKind::FileTooLarge.into()) } else { Ok(Some(bytes)) }
}

#[cfg(test)]
mod tests;

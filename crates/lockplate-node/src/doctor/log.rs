//! One log of a party, read from its first entry to its head: every bundle, every tile, the signed head and the published one.
//! It is `Log::load` without the key and without a write. It must not call a log good of which it did not read a leaf.

use std::path::Path;

use lockplate_core::Timestamp;
use lockplate_core::entry::{Leaf, LogEntry, LogKind, parse_leaf};
use lockplate_log::limits::NOTE_BYTES_MAX;
use lockplate_log::{Checkpoint, LogView, SignedCheckpoint, SignedNote, StagingName, VerifierKey};
use lockplate_store::fsck::{self, Problem};
use lockplate_store::log_files::{folder_reader, read_bounded};

use super::found::{severity, tell};
use super::{Report, Severity, place};

/// The folder name of a log below `log/`.
pub(super) fn folder_name(key: &VerifierKey) -> String {
    key.name().as_str().replace('/', "+")
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
        let public = self.folder.join("public");
        let mut order = Order::new(self.kind, self.now, head.origin().as_str());
        let Ok(mut checked) = fsck::check_log(&public, &head, |index, leaf| order.look(index, leaf, &mut visit)) else {
            report.fail("the files of the log cannot be listed", self.place("public"));
            return false;
        };
        // Those of the whole folder are told in one place.
        checked.findings.retain(|found| found.problem != Problem::LeftoverTemporary);
        if staged {
            report.warn("an append was cut off after it was signed; the next start finishes it", self.place("staging"));
        }
        let failed: Vec<_> =
            checked.findings.iter().filter(|found| severity(&found.problem) == Severity::Failed).collect();
        if !failed.is_empty() {
            // Its tiles are in the staging file still. What strangers saw is proved; the rest the next start proves.
            let pending = staged && failed.iter().all(|found| found.problem == Problem::Missing);
            if !(pending && published.is_some_and(|published| proves(&public, &published))) {
                tell(self.dir, &checked, &self.place("public"), report);
            }
            return false;
        }
        tell(self.dir, &checked, &self.place("public"), report);
        if !published.is_none_or(|published| extends(&public, &head, &published)) {
            report.fail("what was published is not of this log", self.place("public/checkpoint"));
            return false;
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
}

/// Every leaf and tile of a head is there.
fn proves(public: &Path, head: &Checkpoint) -> bool {
    LogView::load(head.clone(), folder_reader(public)).is_ok_and(|view| {
        let read = view.verify::<lockplate_log::Error>(0..view.bundle_count(), |_, _| Ok(()));
        read.is_ok()
    })
}

/// An earlier head is of the same tree.
fn extends(public: &Path, head: &Checkpoint, earlier: &Checkpoint) -> bool {
    LogView::load(head.clone(), folder_reader(public)).and_then(|view| view.extends(earlier)) == Ok(true)
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

#[cfg(test)]
mod tests;

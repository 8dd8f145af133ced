//! An agency's folder: its log, its database, its archive and its spools tell of the same epochs, or the difference is found. It
//! must never take the database's word for a root: roots come from the log and from signed closes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::entry::{LogEntry, LogKind};
use lockplate_core::epoch::{EpochClose, EpochHeader};
use lockplate_core::id::EpochId;
use lockplate_core::sign::{Signed, VerifyKey};
use lockplate_log::VerifierKey;
use lockplate_policy::MinuteLaw;
use lockplate_store::contract::{Archive as _, Error as ArchiveError};
use lockplate_store::fsck::{self, Problem, Progress, Promise};
use rusqlite::Connection;

use super::found::{left_out, sentence, severity, tell};
use super::log::{LogCheck, folder_name};
use super::{COMPARED_MAX, InBucket, Report, Severity, open_db, place};
use crate::agency::memory::cells_on_disk;
use crate::agency_db::{self, EpochState};
use crate::founding::AgencyCard;
use crate::settings::read_public_file;

/// Version of `desk.db`.
const DESK_SCHEMA: u32 = 2;

/// What the log says of an epoch's end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct LoggedClose {
    root: [u8; 32],
    cells: u64,
    bucket_bits: u8,
}

/// What the recorder's log says, by header hash.
#[derive(Default)]
struct Logged {
    dealt: BTreeSet<[u8; 32]>,
    closed: BTreeMap<[u8; 32], LoggedClose>,
    twice: Option<u64>,
    full: bool,
}

impl Logged {
    #[expect(clippy::wildcard_enum_match_arm, reason = "asks for the two kinds of entry that are about epochs")]
    fn take(&mut self, index: u64, entry: &LogEntry) {
        if self.dealt.len().max(self.closed.len()) >= COMPARED_MAX {
            self.full = true;
            return;
        }
        match entry {
            LogEntry::EpochDealt(leaf) => {
                self.dealt.insert(leaf.header);
            }
            LogEntry::EpochClosed(leaf) => {
                let close = LoggedClose { root: leaf.root, cells: leaf.cells, bucket_bits: leaf.bucket_bits };
                if self.closed.insert(leaf.header, close).is_some() {
                    self.twice.get_or_insert(index);
                }
            }
            _ => {}
        }
    }
}

/// What the database says of an epoch.
struct Known {
    state: EpochState,
    header: [u8; 32],
    destroy_after: Timestamp,
    /// Root of its signed close.
    root: Option<[u8; 32]>,
}

/// Checks recorder and archive, which is in `bucket` where there is one.
pub(super) fn check_owner(
    dir: &Path,
    charter: &CharterFile,
    bucket: Option<&InBucket>,
    now: Timestamp,
    progress: &mut dyn FnMut(Progress),
    report: &mut Report,
) {
    let key = &charter.charter().archive.log_key;
    let folder = dir.join("log").join(folder_name(key));
    let mut logged = Logged::default();
    let log = LogCheck { dir, folder: &folder, key: Some(key), kind: LogKind::Recorder, now };
    let log_holds = log.run(report, |index, entry| logged.take(index, entry));
    if let Some(index) = logged.twice {
        report.fail("an epoch is closed twice in the log", format!("{} entry {index}", place(dir, &folder)));
    }
    if logged.full {
        report.warn("the log tells of more epochs than this check compares", place(dir, &folder));
    }
    let logged = (log_holds && !logged.full).then_some(logged);

    let known = open_db(dir, "agency.db", agency_db::schema(), report).and_then(|db| known(&db, charter, report));
    let parties = Parties { charter };
    let law = MinuteLaw::of_charter(charter.charter());
    if law.is_err() {
        report.fail("the charter keeps reads longer than the law of the owner's state lets", "charter");
    }
    let in_memory = !matches!(law, Ok(None));
    let (closed, spools) = if in_memory {
        kept_in_memory(dir, report);
        (BTreeMap::new(), BTreeSet::new())
    } else {
        let closed = match bucket {
            Some(bucket) => in_bucket(bucket, &parties, logged.as_ref(), report),
            None => archive(dir, &parties, logged.as_ref(), progress, report),
        };
        (closed, spools(dir, known.as_ref(), report))
    };
    if let Some(known) = &known {
        for (epoch, row) in known {
            let here = Here { archived: closed.get(epoch).copied(), spool: spools.contains(epoch), in_memory };
            compare(*epoch, row, here, logged.as_ref(), now, report);
        }
        if let Some(logged) = &logged {
            let headers: BTreeSet<&[u8; 32]> = known.values().map(|row| &row.header).collect();
            for header in logged.dealt.iter().filter(|header| !headers.contains(header)) {
                report.fail("the log deals an epoch that the database does not know", header_place(header));
            }
            for header in logged.closed.keys().filter(|header| !logged.dealt.contains(*header)) {
                report.fail("the log closes an epoch that it never dealt", header_place(header));
            }
        }
        for epoch in closed.keys().filter(|epoch| !known.contains_key(*epoch)) {
            report.fail("the archive holds an epoch that the database does not know", archive_place(*epoch));
        }
    }
}

fn header_place(header: &[u8; 32]) -> String {
    format!("header {}", hex::encode(header))
}

fn archive_place(epoch: EpochId) -> String {
    format!("archive/{epoch}")
}

/// Who may sign epochs.
struct Parties<'a> {
    charter: &'a CharterFile,
}

impl Parties<'_> {
    fn header(&self, bytes: &[u8]) -> Option<EpochHeader> {
        let signed = Signed::<EpochHeader>::from_bytes(bytes).ok()?;
        let mut recorders = self.charter.charter().recorders.iter();
        let recorder = recorders.find(|recorder| recorder.id == signed.claimed().recorder)?;
        let header = signed.verify(&VerifyKey(recorder.key)).ok()?;
        (header.agency == self.charter.charter().owner.id).then(|| header.clone())
    }

    fn close(&self, bytes: &[u8], header: &EpochHeader) -> Option<EpochClose> {
        let signed = Signed::<EpochClose>::from_bytes(bytes).ok()?;
        let mut recorders = self.charter.charter().recorders.iter();
        let recorder = recorders.find(|recorder| recorder.id == header.recorder)?;
        let close = signed.verify(&VerifyKey(recorder.key)).ok()?;
        (close.header_hash == header.hash()).then(|| close.clone())
    }
}

impl Parties<'_> {
    /// What the signed papers of an epoch promise, and whether the log says so too.
    fn promise(&self, epoch: EpochId, header: &[u8], close: &[u8], logged: Option<&Logged>) -> Option<(Promise, bool)> {
        let header = self.header(header).filter(|header| header.epoch_id == epoch)?;
        let close = self.close(close, &header)?;
        let promise = Promise {
            bucket_bits: header.bucket_bits,
            cells_padded: close.cells_padded,
            segment_root: close.segment_root,
        };
        let in_log =
            LoggedClose { root: close.segment_root, cells: close.cells_padded, bucket_bits: header.bucket_bits };
        let is_logged = logged.is_none_or(|logged| logged.closed.get(&header.hash()) == Some(&in_log));
        Some((promise, is_logged))
    }
}

/// The epochs of the database, their papers verified. `None` where they cannot be read.
fn known(db: &Connection, charter: &CharterFile, report: &mut Report) -> Option<BTreeMap<EpochId, Known>> {
    let parties = Parties { charter };
    let mut known = BTreeMap::new();
    let read = |report: &mut Report, known: &mut BTreeMap<EpochId, Known>| -> rusqlite::Result<bool> {
        let mut statement = db.prepare("SELECT id, header, close, state FROM epoch ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if known.len() >= COMPARED_MAX {
                return Ok(false);
            }
            let id = EpochId(row.get(0)?);
            let place = || format!("agency.db epoch {id}");
            let (header, close): (Vec<u8>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
            let Some(header) = parties.header(&header).filter(|header| header.epoch_id == id) else {
                report.fail("the header of an epoch is not signed by a recorder of the charter", place());
                continue;
            };
            let signed = close.as_ref().map(|close| parties.close(close, &header));
            if signed.as_ref().is_some_and(Option::is_none) {
                report.fail("the close of an epoch is not signed by its recorder", place());
            }
            let Some(state) = state_of(row.get(3)?) else {
                report.fail("an epoch is in a state that this release does not know", place());
                continue;
            };
            let root = signed.flatten().map(|close| close.segment_root);
            let destroy_after = header.destroy_after;
            known.insert(id, Known { state, header: header.hash(), destroy_after, root });
        }
        Ok(true)
    };
    match read(report, &mut known) {
        Ok(true) => Some(known),
        Ok(false) => {
            report.warn("the database knows more epochs than this check compares", "agency.db");
            None
        }
        Err(_) => {
            report.fail("a row of the database cannot be read", "agency.db epoch");
            None
        }
    }
}

const fn state_of(code: i64) -> Option<EpochState> {
    match code {
        0 => Some(EpochState::Dealt),
        1 => Some(EpochState::Open),
        2 => Some(EpochState::Closing),
        3 => Some(EpochState::Closed),
        4 => Some(EpochState::Destroyed),
        5 => Some(EpochState::Damaged),
        _ => None,
    }
}

/// Closed epochs of the archive, with the roots that their papers promise.
fn archive(
    dir: &Path,
    parties: &Parties<'_>,
    logged: Option<&Logged>,
    progress: &mut dyn FnMut(Progress),
    report: &mut Report,
) -> BTreeMap<EpochId, [u8; 32]> {
    let folder = dir.join("archive");
    let mut closed = BTreeMap::new();
    let mut unlogged = Vec::new();
    let promise = |epoch, header: &[u8], close: &[u8]| {
        let (promise, is_logged) = parties.promise(epoch, header, close, logged)?;
        closed.insert(epoch, promise.segment_root);
        if !is_logged {
            unlogged.push(epoch);
        }
        Some(promise)
    };
    let checked = fsck::check_archive(&folder, promise, progress);
    let Ok(checked) = checked else {
        report.fail("the archive cannot be listed", "archive");
        return closed;
    };
    report.counts.epochs = report.counts.epochs.saturating_add(checked.epochs);
    report.counts.cells = report.counts.cells.saturating_add(checked.cells);
    for epoch in unlogged {
        report.fail("a closed epoch of the archive is not in the log, or with another root", archive_place(epoch));
    }
    tell(dir, &checked, "archive", report);
    if checked.worst() == fsck::Severity::Ok {
        report.ok("every bucket of the archive leads to the root that was signed", "archive");
    }
    closed
}

/// The same of an archive in a bucket, by the papers, the heads of the indexes and one bucket of each epoch: the others are not fetched.
fn in_bucket(
    bucket: &InBucket,
    parties: &Parties<'_>,
    logged: Option<&Logged>,
    report: &mut Report,
) -> BTreeMap<EpochId, [u8; 32]> {
    let mut closed = BTreeMap::new();
    let Ok(epochs) = bucket.runtime.block_on(bucket.archive.list()) else {
        report.fail("the archive's bucket cannot be listed", "bucket");
        return closed;
    };
    let before = report.worst();
    for epoch in epochs {
        report.counts.epochs = report.counts.epochs.saturating_add(1);
        let read = bucket.runtime.block_on(async {
            let read = (bucket.archive.stat(epoch).await?, bucket.archive.papers(epoch).await?);
            bucket.archive.get_bucket(epoch, 0).await?;
            Ok::<_, ArchiveError>(read)
        });
        let place = || format!("bucket {}", archive_place(epoch));
        let (stat, papers) = match read {
            Ok(read) => read,
            Err(ArchiveError::NotFound | ArchiveError::NotClosed) => {
                report.ok("the close of an epoch was interrupted and goes on at the next start", place());
                continue;
            }
            Err(_) => {
                report.fail("an epoch of the bucket cannot be read, or is damaged", place());
                continue;
            }
        };
        match parties.promise(epoch, &papers.header, &papers.close, logged) {
            None => report.fail("the papers of an epoch are not signed by its recorder", place()),
            Some((promise, is_logged)) => {
                closed.insert(epoch, promise.segment_root);
                let stored = Promise {
                    bucket_bits: stat.bucket_bits,
                    cells_padded: stat.cells_padded,
                    segment_root: stat.segment_root,
                };
                if stored != promise {
                    report.fail("the signed papers promise another segment", place());
                }
                if !is_logged {
                    report.fail("a closed epoch of the archive is not in the log, or with another root", place());
                }
            }
        }
    }
    if report.worst() == before {
        report.ok(
            "every epoch of the bucket has the papers and the root that were signed; of each one bucket of cells was fetched",
            "bucket",
        );
    }
    closed
}

/// Epochs that have a spool.
fn spools(dir: &Path, known: Option<&BTreeMap<EpochId, Known>>, report: &mut Report) -> BTreeSet<EpochId> {
    let folder = dir.join("spool");
    let mut spools = BTreeSet::new();
    let Ok(checked) = fsck::check_spools(&folder) else {
        report.fail("the folder of the spools cannot be listed", "spool");
        return spools;
    };
    report.counts.spools = report.counts.spools.saturating_add(checked.epochs);
    report.counts.cells = report.counts.cells.saturating_add(checked.cells);
    for finding in &checked.findings {
        let epoch = finding.path.file_stem().and_then(|stem| EpochId::parse(stem.to_str()?));
        spools.extend(epoch);
        let state = epoch.and_then(|epoch| known?.get(&epoch)).map(|row| row.state);
        let is_spool = matches!(finding.problem, Problem::OrphanSpool(_) | Problem::TornSpool(_));
        let (severity, what) = match state {
            Some(EpochState::Closed | EpochState::Destroyed) => {
                (Severity::Warning, "the spool of a closed epoch was not removed")
            }
            None if is_spool && known.is_some() => {
                (Severity::Failed, "a spool holds reads of an epoch that the database does not know")
            }
            Some(EpochState::Dealt | EpochState::Open | EpochState::Closing | EpochState::Damaged) | None => {
                (severity(&finding.problem), sentence(&finding.problem))
            }
        };
        report.add(severity, what, place(dir, &finding.path));
    }
    left_out(&checked, "spool", report);
    spools
}

/// Where the parts of an epoch are.
#[derive(Clone, Copy)]
struct Here {
    archived: Option<[u8; 32]>,
    spool: bool,
    /// Neither can be here.
    in_memory: bool,
}

/// An owner whose law lets no read lie on a disk.
fn kept_in_memory(dir: &Path, report: &mut Report) {
    if cells_on_disk(dir) {
        report.fail(
            "sealed reads lie on the disk, which the law of the owner's state does not let: remove `spool` and `archive`",
            ".",
        );
    } else {
        report.ok("no sealed read is on the disk: this owner's are in memory only", ".");
    }
    super::machine::swap(report);
}

/// One epoch of the database with log, archive and spool.
fn compare(epoch: EpochId, row: &Known, here: Here, logged: Option<&Logged>, now: Timestamp, report: &mut Report) {
    let db_place = || format!("agency.db epoch {epoch}");
    let close = logged.and_then(|logged| logged.closed.get(&row.header));
    if close.is_some_and(|close| row.root.is_some_and(|root| root != close.root)) {
        report.fail("the log and the database know two closes of one epoch", db_place());
    }
    let dealt = logged.is_none_or(|logged| logged.dealt.contains(&row.header));
    if !dealt && row.state != EpochState::Dealt {
        report.fail("an epoch was used that the log never dealt", db_place());
    }
    match row.state {
        // The next start looks into the log and closes it, or forgets it.
        EpochState::Dealt => {}
        EpochState::Open => {
            if !here.spool && !here.in_memory {
                report.warn("an epoch is open and has no spool: no read of it was kept", db_place());
            }
        }
        EpochState::Closing => {
            if row.root.is_none() {
                report.fail("an epoch is being closed without a signed close", db_place());
            }
            if !here.spool && here.archived.is_none() && !here.in_memory {
                report.warn("an epoch is being closed and has no spool any more", db_place());
            }
        }
        EpochState::Closed => {
            if logged.is_some() && close.is_none() {
                report.fail("a closed epoch has no close in the log", db_place());
            }
            if here.in_memory {
                // Gone with the process; the next start notes it.
            } else if here.archived.is_none() && row.destroy_after <= now {
                // The archive forgets before the database does, the close first.
                report.warn(
                    "an epoch past its retention is half forgotten; the recorder goes on with it",
                    archive_place(epoch),
                );
            } else if here.archived.is_none() {
                report.fail("a closed epoch is not whole in the archive", archive_place(epoch));
            } else if here.archived != row.root {
                report.fail("the archive and the database know two closes of one epoch", archive_place(epoch));
            }
        }
        EpochState::Destroyed => {
            if here.archived.is_some() {
                report.warn("an epoch past its retention is still in the archive", archive_place(epoch));
            }
        }
        EpochState::Damaged => {
            report.fail("the spool of an epoch did not hold what was acknowledged", db_place());
        }
    }
}

/// Checks desk and desk log, where there are any. `beside` is the folder of the founding's papers.
pub(super) fn check_desk(
    dir: &Path,
    beside: Option<&Path>,
    charter: Option<&CharterFile>,
    now: Timestamp,
    report: &mut Report,
) {
    if dir.join("desk.db").exists() {
        drop(open_db(dir, "desk.db", DESK_SCHEMA, report));
    }
    let recorder = charter.map(|charter| folder_name(&charter.charter().archive.log_key));
    let key = beside.and_then(desk_log_key);
    let Ok(entries) = std::fs::read_dir(dir.join("log")) else {
        report.fail("the folder of the logs cannot be listed", "log");
        return;
    };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort_unstable();
    for folder in folders {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if recorder.as_deref() == Some(&name) || !folder.is_dir() {
            continue;
        }
        let key = key.as_ref().filter(|key| folder_name(key) == name);
        if key.is_none() {
            let what = "the signature of a log was not checked: no card names its key";
            report.add(Severity::CouldNotCheck, what, place(dir, &folder));
        }
        LogCheck { dir, folder: &folder, key, kind: LogKind::Desk, now }.run(report, |_, _| {});
    }
}

/// The key of the desk's log, from the agency's card.
fn desk_log_key(folder: &Path) -> Option<VerifierKey> {
    let bytes = read_public_file(&folder.join("card.json")).ok()?;
    let card: AgencyCard = serde_json::from_slice(&bytes).ok()?;
    VerifierKey::parse(&card.desk_log_key).ok()
}

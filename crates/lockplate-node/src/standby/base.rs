//! Bases: everything the journal carries, as it is at some record, so that a machine can begin there and what came before can be removed.
//!
//! A base is written while the agency works, so its files are of different moments, each as new as the record at which the base begins or
//! newer. That is enough: what changed since is in the records that follow, and every piece of them says what is, not how it differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use lockplate_core::id::EpochId;
use lockplate_log::{TileKind, TilePath};
use lockplate_store::log_files::{BUNDLE_BYTES_MAX, read_bounded};
use lockplate_store::spool::SPOOL_SUFFIX;
use tokio::runtime::Handle;

use super::cipher::Run;
use super::files::Files;
use super::journal::{Claimed, Journal, StoreFault};
use super::record::{CHUNK_BYTES, DbOf, LogFileName, LogOf, Piece, RECORD_BYTES_MAX};

/// Records of owners that are remembered, and so never removed. A machine that slept through more changes of owner than this is not
/// promised anything.
const OWNERS_MAX: usize = 4_096;
/// Groups of parts that a base takes over from earlier ones; beyond it everything is written anew.
const GROUPS_MAX: usize = 500;
/// Tries of a store that does not answer, and the pause between them: a base that is not written is written later.
const TRIES: u32 = 10;
const TRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
const LIST_VERSION: u8 = 1;

/// Why a base could not be written or read.
#[derive(Debug)]
pub enum BaseFault {
    /// A file of the agency.
    Io(io::Error),
    /// The store.
    Store(StoreFault),
    /// Another machine has begun a base at the same record: this one is no longer the owner.
    Taken,
}

impl From<io::Error> for BaseFault {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

impl From<StoreFault> for BaseFault {
    fn from(cause: StoreFault) -> Self {
        Self::Store(cause)
    }
}

impl core::fmt::Display for BaseFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Io(cause) => write!(f, "a file of the data folder could not be read for a base: {}", cause.kind()),
            Self::Store(cause) => cause.fmt(f),
            Self::Taken => f.write_str("another machine wrote a base at the same record"),
        }
    }
}

impl core::error::Error for BaseFault {}

/// Parts that one writing made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    base: u64,
    run: Run,
    first: u32,
    parts: u32,
    /// Full tiles, which never change: later bases take them over.
    lasting: bool,
}

/// What a base's list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) owners: BTreeSet<u64>,
    pub(super) groups: Vec<Group>,
}

impl List {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![LIST_VERSION];
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        out.extend_from_slice(&count(self.owners.len()));
        self.owners.iter().for_each(|owner| out.extend_from_slice(&owner.to_be_bytes()));
        out.extend_from_slice(&count(self.groups.len()));
        for group in &self.groups {
            out.extend_from_slice(&group.base.to_be_bytes());
            out.extend_from_slice(&group.run.0);
            out.extend_from_slice(&group.first.to_be_bytes());
            out.extend_from_slice(&group.parts.to_be_bytes());
            out.push(u8::from(group.lasting));
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (count, mut rest) = rest.split_first_chunk::<4>()?;
        let mut list = Self::default();
        for _ in 0..u32::from_be_bytes(*count) {
            let (owner, tail) = rest.split_first_chunk::<8>()?;
            list.owners.insert(u64::from_be_bytes(*owner));
            rest = tail;
        }
        let (count, mut rest) = rest.split_first_chunk::<4>()?;
        for _ in 0..u32::from_be_bytes(*count) {
            let (base, tail) = rest.split_first_chunk::<8>()?;
            let (run, tail) = tail.split_first_chunk::<16>()?;
            let (first, tail) = tail.split_first_chunk::<4>()?;
            let (parts, tail) = tail.split_first_chunk::<4>()?;
            let (lasting, tail) = tail.split_first()?;
            list.groups.push(Group {
                base: u64::from_be_bytes(*base),
                run: Run(*run),
                first: u32::from_be_bytes(*first),
                parts: u32::from_be_bytes(*parts),
                lasting: *lasting == 1,
            });
            rest = tail;
        }
        (*version == LIST_VERSION && rest.is_empty()).then_some(list)
    }
}

/// What a machine knows of the bases: what the next one goes on from.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Records that say who owns the journal.
    pub(super) owners: BTreeSet<u64>,
    /// Groups that last.
    groups: Vec<Group>,
    /// The full tiles in them.
    tiles: BTreeSet<(LogOf, TilePath)>,
}

/// Reads the base that begins at `from`, piece by piece. `None` where a newer one has replaced it. Blocks.
pub(super) fn read(
    journal: &Journal,
    from: u64,
    runtime: &Handle,
    mut each: impl FnMut(&Piece) -> io::Result<()>,
) -> Result<Option<Known>, BaseFault> {
    let Some(list) = runtime.block_on(again(|| journal.read_list(from)))? else { return Ok(None) };
    let list = List::decode(&list).ok_or(StoreFault::Foreign)?;
    let mut known = Known { owners: list.owners, ..Known::default() };
    for group in list.groups {
        for part in group.first..group.first.saturating_add(group.parts) {
            let Some(pieces) = runtime.block_on(again(|| journal.read_part(group.base, group.run, part)))? else {
                return Ok(None);
            };
            for piece in &pieces {
                each(piece)?;
                if let Piece::Log { log, file: LogFileName::Tile(tile), .. } = piece
                    && group.lasting
                {
                    known.tiles.insert((*log, *tile));
                }
            }
        }
        if group.lasting {
            known.groups.push(group);
        }
    }
    Ok(Some(known))
}

/// Writes a base that begins at record `from`, of the files as they are; every record before `from` is in them. Then removes what it
/// replaces. Blocks.
pub(super) fn write(
    journal: &Journal,
    files: &Files,
    from: u64,
    runtime: &Handle,
    mut known: Known,
) -> Result<Known, BaseFault> {
    if known.groups.len() >= GROUPS_MAX {
        known.groups.clear();
        known.tiles.clear();
    }
    while known.owners.len() > OWNERS_MAX {
        known.owners.pop_first();
    }
    let run = Run::random();
    let mut parts = Parts { journal, runtime, from, run, pieces: Vec::new(), bytes: 1, part: 0 };
    let tiles = tiles(files)?;
    for (log, tile) in &tiles {
        if tile.is_full() && !known.tiles.contains(&(*log, *tile)) {
            parts.log_file(files, *log, LogFileName::Tile(*tile))?;
            known.tiles.insert((*log, *tile));
        }
    }
    let lasting = parts.cut(0)?;
    for (log, tile) in tiles.iter().filter(|(_, tile)| !tile.is_full()) {
        parts.log_file(files, *log, LogFileName::Tile(*tile))?;
    }
    for log in files.logs.keys() {
        let staging = files.log(*log).map(|folder| names(&folder.join("staging"))).transpose()?.unwrap_or_default();
        let staging = staging.iter().filter_map(|name| LogFileName::parse(&format!("staging/{name}")));
        // A staging file before the head that it belongs to.
        for file in staging.chain([LogFileName::Head, LogFileName::Published]) {
            parts.log_file(files, *log, file)?;
        }
    }
    for name in names(&files.spools())? {
        if let Some(epoch) = name.strip_suffix(SPOOL_SUFFIX).and_then(EpochId::parse) {
            parts.spool(&files.spool(epoch), epoch)?;
        }
    }
    for db in [DbOf::Agency, DbOf::Desk] {
        parts.database(&files.db(db), db)?;
    }
    let passing = parts.cut(lasting)?;
    let group =
        |first: u32, end: u32, lasting| Group { base: from, run, first, parts: end.saturating_sub(first), lasting };
    if lasting > 0 {
        known.groups.push(group(0, lasting, true));
    }
    let groups = known.groups.iter().copied().chain([group(lasting, passing, false)]).collect();
    let list = List { owners: known.owners.clone(), groups }.encode();
    match runtime.block_on(again(|| journal.put_list(from, run, &list)))? {
        Claimed::Mine => {}
        Claimed::Taken => return Err(BaseFault::Taken),
    }
    let used = known.groups.iter().map(|group| (group.base, group.run)).collect();
    if let Err(fault) = runtime.block_on(journal.remove_before(from, &known.owners, &used)) {
        tracing::warn!(%fault, "what a base replaced could not all be removed; the next one removes it");
    }
    Ok(known)
}

/// A few tries where the store does not answer.
async fn again<T, W: Future<Output = Result<T, StoreFault>>>(mut ask: impl FnMut() -> W) -> Result<T, StoreFault> {
    let mut tries = 1;
    loop {
        match ask().await {
            Err(StoreFault::Down) if tries < TRIES => {
                tries = tries.saturating_add(1);
                tokio::time::sleep(TRY_PAUSE).await;
            }
            other => return other,
        }
    }
}

/// Gathers pieces into parts.
struct Parts<'a> {
    journal: &'a Journal,
    runtime: &'a Handle,
    from: u64,
    run: Run,
    pieces: Vec<Piece>,
    bytes: usize,
    part: u32,
}

impl Parts<'_> {
    fn add(&mut self, piece: Piece) -> Result<(), BaseFault> {
        let size = piece.size();
        if self.bytes.saturating_add(size) > RECORD_BYTES_MAX {
            self.put()?;
        }
        self.bytes = self.bytes.saturating_add(size);
        self.pieces.push(piece);
        Ok(())
    }

    fn put(&mut self) -> Result<(), BaseFault> {
        let pieces = core::mem::take(&mut self.pieces);
        let put = again(|| self.journal.put_part(self.from, self.run, self.part, &pieces));
        self.runtime.block_on(put)?;
        self.part = self.part.saturating_add(1);
        self.bytes = 1;
        Ok(())
    }

    /// Ends a group that began at part `first`: the number of the part after it.
    fn cut(&mut self, first: u32) -> Result<u32, BaseFault> {
        if !self.pieces.is_empty() {
            self.put()?;
        }
        Ok(self.part.max(first))
    }

    fn log_file(&mut self, files: &Files, log: LogOf, file: LogFileName) -> Result<(), BaseFault> {
        let Some(path) = files.log_file(log, file) else { return Ok(()) };
        let bound = BUNDLE_BYTES_MAX.max(lockplate_log::limits::STAGING_BYTES_MAX);
        // A staging file may be gone by now.
        let Some(bytes) = read_bounded(&path, bound)? else { return Ok(()) };
        Piece::log_file(log, file, &bytes).into_iter().try_for_each(|piece| self.add(piece))
    }

    fn spool(&mut self, path: &Path, epoch: EpochId) -> Result<(), BaseFault> {
        let Some(file) = open(path)? else { return Ok(()) };
        let (mut at, mut bytes) = (0_u64, vec![0; CHUNK_BYTES]);
        loop {
            let read = file.read_at(&mut bytes, at)?;
            let content = bytes.get(..read).unwrap_or_default();
            if content.is_empty() {
                return Ok(());
            }
            self.add(Piece::Spool { epoch, at, bytes: content.to_vec() })?;
            at = at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
    }

    /// The pages of the main file. Nothing is in the write-ahead log that is told as stored and not in it (`db.rs`).
    fn database(&mut self, path: &Path, db: DbOf) -> Result<(), BaseFault> {
        let Some(file) = open(path)? else { return Ok(()) };
        let mut size = [0; 2];
        if file.metadata()?.len() < 512 {
            return Ok(());
        }
        file.read_exact_at(&mut size, 16)?;
        // 1 stands for 65,536.
        let page_bytes = match u16::from_be_bytes(size) {
            1 => 65_536_u32,
            other => other.into(),
        };
        let whole = usize::try_from(page_bytes).unwrap_or(usize::MAX);
        let pages = file.metadata()?.len().checked_div(page_bytes.into()).unwrap_or(0);
        let pages = u32::try_from(pages)
            .map_err(|_larger_than_sqlite_has| io::ErrorKind::FileTooLarge)
            .map_err(io::Error::from)?;
        let at_once = CHUNK_BYTES.checked_div(whole.saturating_add(4)).unwrap_or(1).max(1);
        let numbers: Vec<u32> = (1..=pages).collect();
        for chunk in numbers.chunks(at_once) {
            let mut content = Vec::with_capacity(whole.saturating_add(4).saturating_mul(chunk.len()));
            for number in chunk {
                let before = u64::from(number.saturating_sub(1));
                let mut page = vec![0; whole];
                match file.read_exact_at(&mut page, before.saturating_mul(page_bytes.into())) {
                    // The file has become shorter: a record that follows says so.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                    read => read?,
                }
                content.extend_from_slice(&number.to_be_bytes());
                content.extend_from_slice(&page);
            }
            self.add(Piece::Pages { db, page_bytes, pages, more: false, content })?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names in a folder; none where there is no folder.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose()).collect()
}

/// The tiles of the logs: all that are full, and the parts of those that are not or were the last ones a moment ago. What is behind them
/// is in full tiles.
fn tiles(files: &Files) -> io::Result<BTreeSet<(LogOf, TilePath)>> {
    let mut found = Vec::new();
    for log in files.logs.keys() {
        let Some(folder) = files.log(*log) else { continue };
        let public = folder.join("public");
        let mut folders = vec![public.join("tile")];
        while let Some(folder) = folders.pop() {
            for name in names(&folder)? {
                let path = folder.join(name);
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(path) = path.strip_prefix(&public).ok().and_then(Path::to_str)
                    && let Ok(tile) = TilePath::parse(path)
                {
                    found.push((*log, tile));
                }
            }
        }
    }
    let mut last: BTreeMap<(LogOf, TileKind), u64> = BTreeMap::new();
    for (log, tile) in &found {
        let last = last.entry((*log, tile.kind())).or_default();
        *last = tile.index().max(*last);
    }
    let is_old = |(log, tile): &(LogOf, TilePath)| {
        let last = last.get(&(*log, tile.kind())).copied().unwrap_or(0);
        !tile.is_full() && tile.index().saturating_add(1) < last
    };
    found.retain(|tile| !is_old(tile));
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_written_and_no_part_of_it_is_one() {
        let group = |base, lasting| Group { base, run: Run([7; 16]), first: 1, parts: 3, lasting };
        let list = List { owners: BTreeSet::from([0, 9]), groups: vec![group(4, true), group(9, false)] };
        let bytes = list.encode();
        assert_eq!(List::decode(&bytes), Some(list));
        for cut in 0..bytes.len() {
            assert_eq!(List::decode(&bytes[..cut]), None);
        }
        assert_eq!(List::decode(&[&bytes[..], &[0]].concat()), None);
    }
}

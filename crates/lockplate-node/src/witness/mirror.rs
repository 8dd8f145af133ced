//! A mirror: a complete copy of every log that is watched, served to strangers, and the condition under which its witness
//! cosigns. It fetches by GET what it lacks, proves it against the log's signed checkpoint, and only then calls it held. A log that
//! loses its disk is restored from here (`lockplate keeper restore --log-from`).

use core::fmt;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use lockplate_log::limits::{NOTE_BYTES_MAX, TILE_WIDTH};
use lockplate_log::{
    Checkpoint, Error as LogError, LogView, Origin, SignedCheckpoint, SignedNote, TilePath, VerifierKey, WitnessRecord,
    tiles_between,
};
use lockplate_store::durable;
use lockplate_store::log_files::folder_reader;
use lockplate_store::witness_files::record_id;
use tokio::sync::Mutex;

use super::{TileSource, WatchedLog};
use crate::log_door::{self, LogDoor};
use crate::shutdown::Tasks;

/// How long a log that asks for a cosignature is kept waiting for the copy; it goes on without it.
const COMPLETE_MAX: Duration = Duration::from_secs(2);
/// Files that are asked for at a time.
const FETCHES_AT_ONCE: usize = 8;
/// Name of the file that says what was proved to be held: the three lines of a checkpoint.
const HELD: &str = "held";
/// Name of the file with the newest checkpoint, as strangers read it.
const CHECKPOINT: &str = "checkpoint";
/// Where copies are served.
const MIRROR_PREFIX: &str = "/mirror";

/// Where the copy of a log is below the address of a mirror.
pub(crate) fn mirror_prefix(log: &Origin) -> String {
    format!("{MIRROR_PREFIX}/{}", record_id(log))
}

/// The copies. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Mirror {
    folder: PathBuf,
    logs: Arc<BTreeMap<Origin, Arc<Mutex<Option<Checkpoint>>>>>,
    tasks: Tasks,
}

/// A log and what is held of it, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The log.
    pub origin: Origin,
    /// Leaves that are held and proved.
    pub size: u64,
}

/// A copy is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// No such log.
    Unknown,
    /// It takes longer; the fetching goes on.
    Fetching,
    /// The log's server did not hand over a file.
    Source,
    /// What it handed over is not what the log signed, or the log does not extend what is held.
    Unproved,
    /// The own disk.
    Disk,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the log is not mirrored here",
            Self::Fetching => "the copy of the log is still being fetched",
            Self::Source => "the log's server does not hand over every file",
            Self::Unproved => "the log's files are not what it signed, or not what it signed before",
            Self::Disk => "the copy of the log cannot be read or written",
        })
    }
}

impl core::error::Error for Incomplete {}

impl Mirror {
    /// Copies of `logs` below `folder`. Blocks.
    ///
    /// # Errors
    /// [`Incomplete::Disk`].
    pub fn open(folder: &Path, logs: &[WatchedLog], tasks: &Tasks) -> Result<Self, Incomplete> {
        let mut held = BTreeMap::new();
        for log in logs.iter().filter(|log| log.tiles.is_some()) {
            let own = folder.join(record_id(log.key.name()));
            durable::create_dir(&own.join("tile")).map_err(|_os| Incomplete::Disk)?;
            durable::remove_temporaries(&own).map_err(|_os| Incomplete::Disk)?;
            let checkpoint = match std::fs::read_to_string(own.join(HELD)) {
                Ok(text) => Some(Checkpoint::parse(&text).map_err(|_altered| Incomplete::Disk)?),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(_os) => return Err(Incomplete::Disk),
            };
            held.insert(log.key.name().clone(), Arc::new(Mutex::new(checkpoint)));
        }
        Ok(Self { folder: folder.to_owned(), logs: Arc::new(held), tasks: tasks.clone() })
    }

    /// The copies as strangers read them: `/mirror/<hex of sha256(origin)>/checkpoint` and `/tile/..`.
    pub fn routes(&self) -> Router {
        self.logs.keys().fold(Router::new(), |router, origin| {
            let copy = self.folder.join(record_id(origin));
            router.merge(log_door::routes(&mirror_prefix(origin), LogDoor::new(copy, None)))
        })
    }

    /// The checkpoint of a log that is served, if it is that log's. Blocks.
    pub(super) fn served(&self, log: &VerifierKey) -> Option<SignedCheckpoint> {
        let served = self.folder.join(record_id(log.name())).join(CHECKPOINT);
        SignedCheckpoint::parse(&std::fs::read(served).ok()?, log).ok()
    }

    /// Reads the copy of a log.
    pub(super) fn tiles(&self, log: &Origin) -> impl Fn(TilePath) -> Result<Option<Vec<u8>>, LogError> + use<> {
        folder_reader(&self.folder.join(record_id(log)))
    }

    /// What is held of each log.
    pub async fn held(&self) -> Vec<Mirrored> {
        let mut all = Vec::new();
        for (origin, held) in self.logs.iter() {
            let size = held.lock().await.as_ref().map_or(0, Checkpoint::size);
            all.push(Mirrored { origin: origin.clone(), size });
        }
        all
    }

    /// Makes sure that everything a signed checkpoint covers is held: fetches what is missing and proves it. Goes on fetching where
    /// the caller cannot wait.
    ///
    /// # Errors
    /// [`Incomplete`]; then the checkpoint is not to be cosigned.
    pub async fn complete(&self, tiles: &TileSource, checkpoint: &Checkpoint) -> Result<(), Incomplete> {
        let held = Arc::clone(self.logs.get(checkpoint.origin()).ok_or(Incomplete::Unknown)?);
        let (done, finished) = tokio::sync::oneshot::channel();
        let folder = self.folder.join(record_id(checkpoint.origin()));
        let (tiles, checkpoint) = (tiles.clone(), checkpoint.clone());
        // A task of its own: whoever asked may go away, and what was fetched is kept.
        self.tasks.spawn("mirror", async move {
            let mut held = held.lock().await;
            let ended = fetch(&folder, &mut held, &tiles, checkpoint).await;
            let _asker_gone = done.send(ended);
        });
        match tokio::time::timeout(COMPLETE_MAX, finished).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(_panicked)) => Err(Incomplete::Disk),
            Err(_elapsed) => Err(Incomplete::Fetching),
        }
    }

    /// Serves a checkpoint from the moment it is cosigned: a log that loses its disk needs the newest. [`follow`](Self::follow) puts
    /// the one with all cosignatures in its place once the log has published it.
    ///
    /// # Errors
    /// [`Incomplete`].
    pub async fn show(&self, record: &WitnessRecord) -> Result<(), Incomplete> {
        let origin = record.checkpoint().origin();
        let held = self.logs.get(origin).ok_or(Incomplete::Unknown)?.lock().await;
        let (served, size) = (self.folder.join(record_id(origin)).join(CHECKPOINT), record.checkpoint().size());
        let bytes = record.to_bytes();
        let shown = tokio::task::spawn_blocking(move || serve(&served, &bytes, |there| there < size));
        let shown = shown.await.map_err(|_panicked| Incomplete::Disk)?;
        drop(held);
        shown
    }

    /// Fetches what a log has published since the last time, and serves its checkpoint. For logs that do not ask.
    ///
    /// # Errors
    /// [`Incomplete`].
    pub async fn follow(&self, log: &VerifierKey, tiles: &TileSource) -> Result<(), Incomplete> {
        let note = tiles.checkpoint().await.map_err(|_peer| Incomplete::Source)?;
        let within = note.len() <= NOTE_BYTES_MAX;
        let signed = SignedCheckpoint::parse(&note, log).ok().filter(|_| within).ok_or(Incomplete::Unproved)?;
        let held = Arc::clone(self.logs.get(log.name()).ok_or(Incomplete::Unknown)?);
        let folder = self.folder.join(record_id(log.name()));
        let mut held = held.lock().await;
        let size = signed.checkpoint().size();
        fetch(&folder, &mut held, tiles, signed.checkpoint().clone()).await?;
        // What was cosigned meanwhile is newer than what is published.
        let serve = move || serve(&folder.join(CHECKPOINT), &note, |there| there <= size);
        let replaced = tokio::task::spawn_blocking(serve);
        replaced.await.map_err(|_panicked| Incomplete::Disk)?
    }
}

/// Serves a checkpoint in place of the one that is there, if the size of that one says so. Blocks.
fn serve(served: &Path, note: &[u8], replaces: impl FnOnce(u64) -> bool) -> Result<(), Incomplete> {
    if replaces(served_size(served)?) { durable::replace(served, note).map_err(|_os| Incomplete::Disk) } else { Ok(()) }
}

/// Size of the checkpoint that is served, 0 without one. The own file: it was verified before it was written. Blocks.
fn served_size(served: &Path) -> Result<u64, Incomplete> {
    match std::fs::read(served) {
        Ok(bytes) => {
            let note = SignedNote::parse(&bytes).map_err(|_altered| Incomplete::Disk)?;
            Ok(Checkpoint::parse(note.text()).map_err(|_altered| Incomplete::Disk)?.size())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(_os) => Err(Incomplete::Disk),
    }
}

/// Fetches and proves what `checkpoint` covers and `held` does not.
async fn fetch(
    folder: &Path,
    held: &mut Option<Checkpoint>,
    tiles: &TileSource,
    checkpoint: Checkpoint,
) -> Result<(), Incomplete> {
    let old = held.clone();
    let old_size = old.as_ref().map_or(0, Checkpoint::size);
    if checkpoint.size() > old_size {
        let wanted = stream::iter(tiles_between(old_size, checkpoint.size()));
        let one = async |path: TilePath| one_file(folder, tiles, path).await;
        wanted.map(one).buffer_unordered(FETCHES_AT_ONCE).try_collect::<Vec<()>>().await?;
    }
    let (folder, new) = (folder.to_owned(), checkpoint.clone());
    let proved = tokio::task::spawn_blocking(move || prove(&folder, old, new));
    let grown = proved.await.map_err(|_panicked| Incomplete::Disk)??;
    if grown {
        *held = Some(checkpoint);
    }
    Ok(())
}

/// One file, unless it is there. A partial tile that is gone is cut from the full one by whoever reads.
async fn one_file(folder: &Path, tiles: &TileSource, path: TilePath) -> Result<(), Incomplete> {
    let full = TilePath::new(path.kind(), path.index(), TILE_WIDTH).map_err(|_range| Incomplete::Source)?;
    for wanted in [path, full] {
        let file = folder.join(wanted.to_string());
        if tokio::fs::try_exists(&file).await.map_err(|_os| Incomplete::Disk)? {
            return Ok(());
        }
        if let Some(bytes) = tiles.tile(wanted).await.map_err(|_peer| Incomplete::Source)? {
            let written = tokio::task::spawn_blocking(move || {
                if let Some(parent) = file.parent() {
                    durable::create_dir(parent)?;
                }
                durable::replace(&file, &bytes)
            });
            return written.await.map_err(|_panicked| Incomplete::Disk)?.map_err(|_os| Incomplete::Disk);
        }
    }
    Err(Incomplete::Source)
}

/// Proves every new file against the checkpoint, and the checkpoint against what was held. True if more is held now. A file that
/// does not prove is removed, so that the next try fetches it again. Blocks.
fn prove(folder: &Path, old: Option<Checkpoint>, new: Checkpoint) -> Result<bool, Incomplete> {
    let old_size = old.as_ref().map_or(0, Checkpoint::size);
    let proved = (|| {
        if new.size() <= old_size {
            // Covered already, if it is of the same log.
            return match old {
                Some(old) => Ok(LogView::load(old, folder_reader(folder))?.extends(&new)?),
                None => Ok(true),
            };
        }
        let view = LogView::load(new.clone(), folder_reader(folder))?;
        let first = old_size / u64::from(TILE_WIDTH);
        view.verify::<LogError>(first..view.bundle_count(), |_, _| Ok(()))?;
        match &old {
            Some(old) => view.extends(old),
            None => Ok(true),
        }
    })();
    match proved {
        Ok(true) if new.size() > old_size => {
            durable::replace(&folder.join(HELD), new.to_text().as_bytes()).map_err(|_os| Incomplete::Disk)?;
            Ok(true)
        }
        Ok(true) => Ok(false),
        Ok(false) => Err(Incomplete::Unproved),
        Err(_unproved) => {
            for path in tiles_between(old_size, new.size()) {
                let _not_there = std::fs::remove_file(folder.join(path.to_string()));
            }
            Err(Incomplete::Unproved)
        }
    }
}

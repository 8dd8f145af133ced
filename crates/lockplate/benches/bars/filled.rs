//! A town whose archive is filled to a chosen number of cells, for the rows about growth. Everything in it went the product's own way: late
//! epochs of past hours, dealt to keepers that are processes, reads imported over HTTP, the real close and the real segment writer. Only the
//! mass is not sealed, because sealing 222 million reads takes hours: between the recorder and each real sealer stands a program of this
//! bench ([`sealer`]) that, when a late epoch closes, appends seeded random cells to the spool and answers with count and digest of all. A random
//! cell looks like a sealed one to everybody without a key, the archive first of all. The product has no such door: the recorder starts what
//! `[recorder] sealer` names, and believes what that says of its spool, as it believes the real one.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use lockplate_core::epoch::{EpochHeader, EpochKind};
use lockplate_core::segment::SpoolCell;
use lockplate_core::sign::Statement as _;
use lockplate_node::client::PeerTrust;
use lockplate_node::import::{ImportClient, ImportPlan};
use lockplate_store::spool::{FRAME_CELLS_MAX, SPOOL_SUFFIX, SpoolReader, SpoolTally, SpoolWriter};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::json;
use zeroize::Zeroizing;

use super::plates::plate;
use super::town::{BINARY, KEEPERS, Terms, Town, now_ms, write, write_secret};
use super::{Options, seconds};

/// First argument of this program where it stands between recorder and sealer.
pub(crate) const SEALER: &str = "--filling-sealer";
pub(crate) const HOUR: u64 = 3_600;
/// Plates that can be searched, each once: a keeper asks a person after nine searches of one.
pub(crate) const PLATES: u64 = 190;
/// Every plate is read in one hour of so many.
const EVERY_HOURS: u64 = 24;
/// So many cells are closed side by side: recorder and sealers hold them in memory.
const CELLS_AT_A_TIME: u64 = 500_000;
/// So many windows at most: each is two processes while it is open.
const WINDOWS_AT_A_TIME: u64 = 16;
/// Bytes on the disk of one cell, with the padding and the paths of its bucket.
const CELL_DISK_BYTES: u64 = 290;
/// What must stay free beside the archive: spools of what is closed side by side, logs, databases.
const SPARE_BYTES: u64 = 3 << 30;
/// Key of the import in the town's folder.
const IMPORT_KEY: [u8; 32] = [0x5c; 32];
/// Longer than the longest window that is searched, so that nothing falls due meanwhile.
const RETENTION_SECONDS: u64 = 30 * 86_400;

/// What is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    /// Hourly epochs, the last ones that are over.
    pub(crate) epochs: u64,
    /// Cells of each, real and random ones, without the padding.
    pub(crate) cells_each: u64,
}

impl Size {
    pub(crate) const fn cells(self) -> u64 {
        self.epochs * self.cells_each
    }
}

/// Where the archive is, and what happens while it is filled.
pub(crate) trait Place {
    /// Copies of a cell on this disk.
    fn copies(&self) -> u64 {
        1
    }

    /// Section of the archive's bucket in `agency.toml`, and the two lines of its credentials file; none for a folder.
    fn bucket(&self) -> Option<(String, String)> {
        None
    }

    /// So many windows are filled.
    ///
    /// # Errors
    /// What ends the bench.
    fn filled(&mut self, _windows: u64) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A folder of the agency.
pub(crate) struct Folder;

impl Place for Folder {}

/// A filled archive and its town, everything running.
pub(crate) struct Filled {
    pub(crate) town: Town,
    pub(crate) size: Size,
    /// End of the last filled hour, Unix seconds.
    pub(crate) until: u64,
    /// Seconds that the filling took, from the first import to the last close.
    pub(crate) took: f64,
}

/// None, said loudly, where the disk has no room for it.
pub(crate) fn build(options: &Options, size: Size, place: &mut dyn Place) -> anyhow::Result<Option<Filled>> {
    let work = options.work.join("filled");
    std::fs::create_dir_all(work.join("agency"))?;
    // Other processes are told of it, which stand in other folders.
    let work = work.canonicalize()?;
    let needed = size.cells() * CELL_DISK_BYTES * place.copies() + SPARE_BYTES;
    let free = free_bytes(&work)?;
    if free < needed {
        eprintln!(
            "SKIPPED {} cells: {} has {} GB free and {} GB are needed",
            size.cells(),
            work.display(),
            free >> 30,
            needed.div_ceil(1 << 30)
        );
        return Ok(None);
    }
    let (bucket, credentials) = place.bucket().unzip();
    let mut town = Town::found(Terms {
        bucket,
        epoch_seconds: HOUR,
        retention_seconds: RETENTION_SECONDS,
        // A state whose law leaves the retention to the agency.
        state: "NJ",
        agency_data: Some(work.join("agency")),
        ..Terms::default()
    });
    let program = work.join("sealer");
    write_program(&program, size.cells_each)?;
    let config = town.home("agency").join("agency.toml");
    let text = std::fs::read_to_string(&config)?;
    let text = text
        .replace(
            "[recorder]\n",
            &format!(
                "[recorder]\nsealer = \"{}\"\nlate_open_max = 32\nlate_epochs_per_day_max = 2000\n",
                program.display()
            ),
        )
        .replace("prekeys_target = 12\nprekeys_low = 6\n", "")
        // Of a busy machine: an epoch that rests is dealt anew for the next read.
        .replace("late_idle_seconds = 2\n", "")
        .replace("cells_expected = 2000", &format!("cells_expected = {}", size.cells_each));
    write(&config, text.as_bytes());
    if let Some(lines) = credentials {
        write_secret(&town.data("agency").join("keys/archive.s3"), lines.as_bytes());
    }
    // A bench asks more than an agency may in an hour.
    for keeper in 1..=KEEPERS {
        let config = town.home(&format!("keeper-{keeper}")).join("keeper.toml");
        let text = std::fs::read_to_string(&config)?;
        write(&config, format!("{text}\n[limits]\nrequests_an_hour = 1000000\n").as_bytes());
    }
    town.start_everything();
    let until = u64::try_from(now_ms() / 1_000)? / HOUR * HOUR;
    let from = until - size.epochs * HOUR;
    let key = Zeroizing::new(IMPORT_KEY);
    let importer =
        ImportClient::new(&town.card().url, PeerTrust::Pinned(town.charter.charter().archive.tls_pin), &key)?;
    let step = (CELLS_AT_A_TIME / size.cells_each).clamp(1, WINDOWS_AT_A_TIME);
    let (took, ()) = seconds(|| {
        let mut begin = 0;
        while begin < size.epochs {
            let windows = begin..(begin + step).min(size.epochs);
            let file = work.join("reads.ndjson");
            write(&file, reads(from, windows.clone()).as_bytes());
            let plan = ImportPlan { state_folder: work.clone(), ..ImportPlan::new(file) };
            let report = town.runtime().block_on(importer.import(&plan, |_| {}))?;
            // A repeat after a wait that was too long is no second read.
            if report.rejected > 0 || report.lines != report.accepted + report.duplicate {
                bail!("reads were not taken: {report:?}");
            }
            begin = windows.end;
            place.filled(begin)?;
            eprint!("\r  {begin} of {} hours are filled  ", size.epochs);
        }
        eprintln!();
        town_is_told(&town, size)
    })?;
    Ok(Some(Filled { town, size, until, took }))
}

/// Reads of the plates in these windows, counted from the first one; one more of a plate that nobody asks for, so that no window is empty.
fn reads(from: u64, windows: core::ops::Range<u64>) -> String {
    let mut lines = String::new();
    for window in windows {
        let there = (0..PLATES).filter(|number| is_read(*number, window)).chain([PLATES]);
        for (at, number) in (0_u64..).zip(there) {
            let line = json!({
                "plate": plate(number), "camera": "file-1", "captured_at": (from + window * HOUR) * 1_000 + at * 15_000 + 1,
                "id": format!("{window}-{number}"), "conf": 0.93, "jurisdiction": "US-NJ", "jurisdiction_conf": 0.95,
                "vehicle_class": "car", "vehicle_colour": "white", "motion": "approaching",
            });
            lines.push_str(&format!("{line}\n"));
        }
    }
    lines
}

/// Whether a plate was read in the window of this number.
const fn is_read(number: u64, window: u64) -> bool {
    (number * 7 + window).is_multiple_of(EVERY_HOURS)
}

impl Filled {
    /// Reads of plate `number` in the last `hours` filled ones.
    pub(crate) fn expected(&self, number: u64, hours: u64) -> usize {
        (self.size.epochs - hours..self.size.epochs).filter(|window| is_read(number, *window)).count()
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.town.data("agency").join("archive")
    }
}

/// Waits until every keeper was told of every close: a search leaves out an epoch of which one does not know that it is closed.
fn town_is_told(town: &Town, size: Size) -> anyhow::Result<()> {
    let db = rusqlite::Connection::open(town.data("agency").join("agency.db"))?;
    let sql = "SELECT (SELECT count(*) FROM told), 3 * (SELECT count(*) FROM epoch WHERE state = 3),
                      (SELECT coalesce(sum(cells), 0) FROM epoch WHERE state = 3 AND orphaned = 0)";
    let wanted = (3 * i64::try_from(size.epochs)?, i64::try_from(size.cells())?);
    for _ in 0..600 {
        // Busy: the agency writes.
        let (told, all, cells) =
            db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap_or((0_i64, 1_i64, 0_i64));
        if told == all && all >= wanted.0 && cells >= wanted.1 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    bail!("not all epochs were closed with all their cells, or not all closes were told")
}

pub(crate) fn free_bytes(folder: &Path) -> anyhow::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What the recorder starts: this bench, with what it needs to know, because a sealer has one argument and no environment.
fn write_program(path: &Path, cells: u64) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let text = format!("#!/bin/sh\nexec '{}' {SEALER} '{BINARY}' {cells}\n", own.display());
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}

/// Stands between a recorder (standard input) and the real sealer: passes every frame on, and fills the spool of a late epoch before its
/// tally is told. The frames are those of `lockplate-node/src/sealer/wire.rs`.
pub(crate) fn sealer(binary: &str, cells: u64) -> anyhow::Result<()> {
    let mut recorder = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut real = Command::new(binary)
        .arg("sealer")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()
        .context("the real sealer cannot be started")?;
    let (mut folder, mut header) = (PathBuf::new(), None);
    pass(&mut ours, &mut recorder)?;
    while let Some(ask) = frame(&mut recorder)? {
        if ask.first() == Some(&DEAL) {
            folder = spool_folder(&ask).context("a deal is shorter than a deal")?;
        }
        send(&mut ours, &ask)?;
        let Some(mut told) = frame(&mut ours)? else { break };
        match told.first() {
            Some(&DEALT) => header = Some(EpochHeader::decode(lv32(&told).context("no header was dealt")?)?),
            Some(&CLOSED) => {
                // Its key is gone with it, as always.
                real.wait()?;
                let header = header.as_ref().context("an epoch was closed that was never dealt")?;
                if header.kind == EpochKind::Late {
                    let tally = fill(&folder, header, cells)?;
                    told = [&[CLOSED][..], &tally.count.to_be_bytes(), &tally.digest].concat();
                }
            }
            Some(_) | None => {}
        }
        send(&mut recorder, &told)?;
    }
    drop(ours);
    real.wait()?;
    Ok(())
}

const DEAL: u8 = 2;
const DEALT: u8 = 3;
const CLOSED: u8 = 11;

fn pass(from: &mut UnixStream, to: &mut UnixStream) -> anyhow::Result<()> {
    let hello = frame(from)?.context("the real sealer says nothing")?;
    send(to, &hello)
}

/// A frame without its length; `None` at the end of the stream.
fn frame(from: &mut UnixStream) -> anyhow::Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    if from.read_exact(&mut head).is_err() {
        return Ok(None);
    }
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(head))?];
    from.read_exact(&mut frame)?;
    Ok(Some(frame))
}

fn send(to: &mut UnixStream, frame: &[u8]) -> anyhow::Result<()> {
    to.write_all(&u32::try_from(frame.len())?.to_be_bytes())?;
    to.write_all(frame)?;
    Ok(())
}

/// Type, magic, device secret and run, then the folder.
fn spool_folder(deal: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let (length, rest) = deal.get(1 + 8 + 32 + 16..)?.split_first_chunk::<2>()?;
    let bytes = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

fn lv32(told: &[u8]) -> Option<&[u8]> {
    let (length, rest) = told.get(1..)?.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The same spool with random cells behind the real ones, through the product's own reader and writer.
fn fill(folder: &Path, header: &EpochHeader, cells: u64) -> anyhow::Result<SpoolTally> {
    let path = folder.join(format!("{}{SPOOL_SUFFIX}", header.epoch_id));
    let mut left = SpoolReader::recover(&path, header.epoch_id)?.cells;
    std::fs::remove_file(&path)?;
    let mut writer = SpoolWriter::create(&path, header.epoch_id)?;
    let mut seed = [0; 32];
    seed.iter_mut().zip(header.epoch_id.0).for_each(|(to, from)| *to = from);
    let mut rng = ChaCha8Rng::from_seed(seed);
    let last = (1_u32 << header.bucket_bits) - 1;
    let mut missing = usize::try_from(cells)?.saturating_sub(left.len());
    loop {
        while left.len() < FRAME_CELLS_MAX && missing > 0 {
            let mut cell = [0; lockplate_core::limits::CELL_BYTES];
            rng.fill_bytes(&mut cell);
            left.push(SpoolCell { bucket: rng.next_u32() & last, cell });
            missing -= 1;
        }
        if left.is_empty() {
            return Ok(writer.tally());
        }
        let rest = left.split_off(left.len().min(FRAME_CELLS_MAX));
        writer.append(&left)?;
        left = rest;
    }
}

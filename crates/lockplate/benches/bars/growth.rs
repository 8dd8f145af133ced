//! Rows S4, S5, S9 and S11: the search of one plate, and the end of an epoch, in archives of growing size ([`super::filled`]). A search is the
//! library call that `lockplate search` makes, in one process that stays, so that kept connections are counted and the start of a process is
//! not; the command itself is measured beside it. An archive is built once a run for all rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lockplate_core::Timestamp;
use lockplate_core::id::{AgencyId, EpochId};
use lockplate_core::plate::Jurisdiction;
use lockplate_core::segment::{SEGMENT_CELLS_MAX, Segment, SpoolCell, bucket_bits_for};
use lockplate_core::vocabulary::{Basis, Offence, Purpose};
use lockplate_node::client::{PeerClient, PeerTrust};
use lockplate_node::clock::SystemClock;
use lockplate_node::rng::SystemRng;
use lockplate_node::search::{
    Asked, EMBARGO_S, Fetched, Mode, Officer, Searcher, Timings, VALID_FOR_S, desk_limits, read_person_key,
};
use lockplate_store::contract::Archive as _;
use lockplate_store::segment_store::SegmentStore;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use rustix::fs::{Advice, fadvise};
use zeroize::Zeroizing;

use super::filled::{self, Filled, HOUR, PLATES, Size, free_bytes};
use super::plates::plate;
use super::postgres::Postgres;
use super::report::{Bar, Figure, Series};
use super::town::command;
use super::town::process::{memory_kib, status_kib};
use super::{Measured, Options, bytes_below, seconds};

/// Three weeks of hours, and the archives of a small city, a large one and a big county.
const EPOCHS: u64 = 504;
const SMALL: Size = Size { epochs: EPOCHS, cells_each: 4_000 };
pub(super) const LARGE: Size = Size { epochs: EPOCHS, cells_each: 73_000 };
const COUNTY: Size = Size { epochs: EPOCHS, cells_each: 440_000 };
/// What fits half a minute.
const QUICK: Size = Size { epochs: WEEK, cells_each: 12_000 };
pub(super) const WEEK: u64 = 168;
/// Rows of the peer, beyond which its table takes longer to make than all else.
const PEER_ROWS_MAX: u64 = 40_000_000;
pub(super) const BETWEEN_SEARCHES: Duration = Duration::from_millis(500);
/// Bytes of a row of the peer with its index, and of what sorting the index needs meanwhile.
const PEER_ROW_BYTES: u64 = 260;
const SEARCH_MS_P50: f64 = 150.0;
const SEARCH_MS_P99: f64 = 500.0;
const CRYPTOGRAPHY_MS: f64 = 40.0;
const LONG_MS_P50: f64 = 400.0;
const GROWTH_MOST: f64 = 1.5;
const DROP_MS: f64 = 50.0;

/// What was measured in an archive of one size.
#[derive(Clone, Default)]
struct OfSize {
    cells: u64,
    padded_bytes: u64,
    fill_seconds: f64,
    warm: Searches,
    cold: Searches,
    long: Searches,
    command: Series,
    start: Series,
    sealing: Series,
    memory_mib: f64,
    dropped: Series,
    drop_bytes: u64,
    dropped_largest: Series,
    swept_largest: Series,
    doctor_mb_s: f64,
    doctor_mib: f64,
    peer: Option<Peer>,
}

/// Searches of one kind, milliseconds of each.
#[derive(Clone, Default)]
pub(super) struct Searches {
    pub(super) total: Series,
    parts: Vec<Timings>,
    keeper: Series,
    /// CPU of the searching process, the agency and the three keepers together.
    cpu: [Series; 3],
}

#[derive(Clone)]
struct Peer {
    version: String,
    rows: u64,
    week: Series,
    three_weeks: Series,
}

static MEASURED: Mutex<BTreeMap<Size, Option<Arc<OfSize>>>> = Mutex::new(BTreeMap::new());

/// Row S4.
pub(super) fn week(options: &Options) -> anyhow::Result<Measured> {
    let size = if options.quick { QUICK } else { LARGE };
    let Some(of) = of_size(options, size)? else { return Ok(skipped(size)) };
    let mut figures = Vec::new();
    for (name, searches) in [("warm", &of.warm), ("cold", &of.cold)] {
        figures.extend(search_figures(&format!("{WEEK} epochs, {name}"), searches, SEARCH_MS_P50, Some(SEARCH_MS_P99)));
    }
    if let (Some(peer), Some(first)) = (&of.peer, figures.first_mut()) {
        let median = Series(vec![first.ours.median(); peer.week.0.len()]);
        figures.push(Figure {
            what: format!("{WEEK} hours of one plate, beside an indexed query"),
            unit: "ms",
            ours: median,
            peer: Some((format!("SELECT in {} rows", peer.rows), peer.week.clone())),
            bar: None,
        });
    }
    figures.push(plain("the same with a new process of `lockplate search`", "ms", of.command.clone()));
    let mut how = how(&of);
    how.push(stages(&of.warm, "warm"));
    how.push(stages(&of.cold, "cold"));
    Ok(Measured { figures, how })
}

/// Row S5.
pub(super) fn three_weeks(options: &Options) -> anyhow::Result<Measured> {
    if options.quick {
        return Ok(Measured {
            figures: Vec::new(),
            how: vec!["Not measured in a quick run: it has one week of epochs.".to_owned()],
        });
    }
    let Some(of) = of_size(options, LARGE)? else { return Ok(skipped(LARGE)) };
    let mut figures = search_figures(&format!("{EPOCHS} epochs, warm"), &of.long, LONG_MS_P50, None);
    if let (Some(peer), Some(first)) = (&of.peer, figures.first_mut()) {
        let median = Series(vec![first.ours.median(); peer.three_weeks.0.len()]);
        let peer = Some((format!("SELECT in {} rows", peer.rows), peer.three_weeks.clone()));
        let what = format!("{EPOCHS} hours of one plate, beside an indexed query");
        figures.push(Figure { what, unit: "ms", ours: median, peer, bar: None });
    }
    Ok(Measured { figures, how: vec![stages(&of.long, "warm")] })
}

/// Row S9.
pub(super) fn growth(options: &Options) -> anyhow::Result<Measured> {
    let sizes: &[Size] = if options.quick { &[QUICK] } else { &[SMALL, LARGE, COUNTY] };
    let (mut all, mut how, mut figures) = (Vec::new(), Vec::new(), Vec::new());
    for size in sizes {
        match of_size(options, *size)? {
            Some(of) => all.push(of),
            None => how.extend(skipped(*size).how),
        }
    }
    for of in &all {
        let millions = format!("{:.0} M cells", f64_of(of.cells) / 1e6);
        figures.push(plain(&format!("{millions}: search over {WEEK} epochs, warm, p50"), "ms", median(&of.warm.total)));
        figures.push(plain(&format!("{millions}: the same, cold"), "ms", median(&of.cold.total)));
        figures.push(plain(&format!("{millions}: memory of the agency"), "MiB", Series(vec![of.memory_mib])));
        figures.push(plain(&format!("{millions}: start of the agency until it answers"), "ms", of.start.clone()));
        figures.push(plain(&format!("{millions}: until it seals"), "ms", of.sealing.clone()));
        figures.push(plain(
            &format!("{millions}: filled"),
            "MB/s",
            Series(vec![f64_of(of.cells) * 256.0 / 1e6 / of.fill_seconds]),
        ));
    }
    for of in &all {
        let millions = format!("{:.0} M cells", f64_of(of.cells) / 1e6);
        figures.push(plain(&format!("{millions}: `lockplate doctor` reads"), "MB/s", Series(vec![of.doctor_mb_s])));
        figures.push(plain(&format!("{millions}: its memory at most"), "MiB", Series(vec![of.doctor_mib])));
    }
    let growth = |what: &str, value: &dyn Fn(&OfSize) -> f64| {
        let values: Vec<f64> = all.iter().map(|of| value(of)).collect();
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        Figure {
            what: format!("{what}, most over least of the sizes"),
            unit: "x",
            ours: Series(vec![most / least]),
            peer: None,
            bar: Some(Bar::AtMost(GROWTH_MOST)),
        }
    };
    if all.len() > 1 {
        figures.push(growth("search, warm, p50", &|of| of.warm.total.median()));
        figures.push(growth("search, cold, p50", &|of| of.cold.total.median()));
        figures.push(growth("memory of the agency", &|of| of.memory_mib));
        figures.push(growth("memory of doctor", &|of| of.doctor_mib));
        figures.push(growth("start of the agency", &|of| of.start.median()));
    }
    how.extend(all.iter().map(|of| {
        format!(
            "{} cells in {} epochs: {:.1} GB on the disk, filled in {:.0} s.",
            of.cells,
            if options.quick { WEEK } else { EPOCHS },
            f64_of(of.padded_bytes) / 1e9,
            of.fill_seconds
        )
    }));
    Ok(Measured { figures, how })
}

/// Row S11.
pub(super) fn dropping(options: &Options) -> anyhow::Result<Measured> {
    let size = if options.quick { QUICK } else { LARGE };
    let Some(of) = of_size(options, size)? else { return Ok(skipped(size)) };
    let figure =
        |what: String, ours: Series| Figure { what, unit: "ms", ours, peer: None, bar: Some(Bar::AtMost(DROP_MS)) };
    Ok(Measured {
        figures: vec![
            figure(format!("an epoch of {:.0} MB dropped", f64_of(of.drop_bytes) / 1e6), of.dropped.clone()),
            figure(format!("one with {SEGMENT_CELLS_MAX} cells, the most there can be"), of.dropped_largest.clone()),
            plain("the room of the latter given back, which nobody waits for", "ms", of.swept_largest.clone()),
        ],
        how: vec![
            "What the agency does when an epoch is past its retention: `forget_epoch` of the archive's own store, in a folder, with the data on the \
             disk. The blocks of its file are freed afterwards, in another thread. The keepers destroy their shares by themselves, and no size matters there."
                .to_owned(),
        ],
    })
}

fn skipped(size: Size) -> Measured {
    let how = format!("SKIPPED the archive of {} cells: there is no room for it on this disk.", size.cells());
    Measured { figures: Vec::new(), how: vec![how] }
}

fn plain(what: &str, unit: &'static str, ours: Series) -> Figure {
    Figure::alone(what, unit, ours, None)
}

fn median(of: &Series) -> Series {
    Series(vec![of.median()])
}

fn f64_of(number: u64) -> f64 {
    // Below 2^53 in everything that is counted here.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let number = number as f64;
    number
}

fn ms(of: Duration) -> f64 {
    of.as_secs_f64() * 1_000.0
}

fn search_figures(name: &str, of: &Searches, p50: f64, p99: Option<f64>) -> Vec<Figure> {
    let bar = |what: &str, value: f64, most: f64| Figure {
        what: format!("{name}, {what}"),
        unit: "ms",
        ours: Series(vec![value]),
        peer: None,
        bar: Some(Bar::AtMost(most)),
    };
    let mut figures = vec![bar("p50", of.total.median(), p50)];
    figures.extend(p99.map(|most| bar("p99", of.total.quantile(0.99), most)));
    if p99.is_some() {
        // Keepers work side by side, so one of them counts.
        let own = Series(of.parts.iter().map(|part| ms(part.cryptography)).collect());
        figures.push(bar(
            "cryptography of the searcher and of one keeper",
            own.median() + of.keeper.median(),
            CRYPTOGRAPHY_MS,
        ));
    }
    figures
}

/// The table of the parts, as one sentence of the report.
pub(super) fn stages(of: &Searches, name: &str) -> String {
    let part =
        |get: &dyn Fn(&Timings) -> Duration| Series(of.parts.iter().map(|part| ms(get(part))).collect()).median();
    format!(
        "Where the time of a {name} search goes, medians in ms: filing {:.1}, approvals {:.1}, list and register {:.1}, evaluations {:.1}, buckets {:.1}, \
         telling {:.1}; cryptography of the searcher {:.1}, a keeper's whole evaluation {:.1}. CPU a search: searcher {:.1}, agency {:.1}, three keepers {:.1}. \
         {} searches: p50 {:.1}, p90 {:.1}, p99 {:.1}, most {:.1}.",
        part(&|part| part.filing),
        part(&|part| part.approving),
        part(&|part| part.listing),
        part(&|part| part.evaluating),
        part(&|part| part.opening),
        part(&|part| part.telling),
        part(&|part| part.cryptography),
        of.keeper.median(),
        of.cpu[0].median(),
        of.cpu[1].median(),
        of.cpu[2].median(),
        of.total.0.len(),
        of.total.median(),
        of.total.quantile(0.9),
        of.total.quantile(0.99),
        of.total.quantile(1.0),
    )
}

fn how(of: &OfSize) -> Vec<String> {
    let mut how = vec![
        format!(
            "An archive of {} cells; one agency and three keepers as processes, TLS on the loopback, two of three keepers needed, approval by rule; the officer \
             logs on with a passcode (Argon2id) for each search; every search is of another plate, asked with its state and without (2 elements), and finds \
             every read that was imported of it.",
            of.cells
        ),
        "A search is the library call of `lockplate search` in a process that stays, from the typed plate to the logged disclosure; half a second \
         lies between two.".to_owned(),
        "Cold: before each search the agency is started anew and the kernel is told to forget the pages of every file of the archive \
         (`posix_fadvise`)."
            .to_owned(),
    ];
    match &of.peer {
        Some(peer) => how.push(format!(
            "PostgreSQL {}: defaults, {} rows with the fields of a read, an index on (plate, time), one client over a Unix socket with a prepared statement; it \
             checks nobody's right and proves nothing.",
            peer.version.trim(),
            peer.rows
        )),
        None => how.push("PostgreSQL was not measured here: it is not installed, or its table has no room or would be too large.".to_owned()),
    }
    how
}

/// Measures an archive of this size, once a run.
fn of_size(options: &Options, size: Size) -> anyhow::Result<Option<Arc<OfSize>>> {
    if let Some(known) = MEASURED.lock().unwrap_or_else(PoisonError::into_inner).get(&size) {
        return Ok(known.clone());
    }
    let measured = if size.cells() > options.cells { None } else { measure(options, size)?.map(Arc::new) };
    MEASURED.lock().unwrap_or_else(PoisonError::into_inner).insert(size, measured.clone());
    Ok(measured)
}

fn measure(options: &Options, size: Size) -> anyhow::Result<Option<OfSize>> {
    eprintln!("  an archive of {} cells", size.cells());
    let Some(mut filled) = filled::build(options, size, &mut filled::Folder)? else { return Ok(None) };
    let mut of = OfSize { cells: size.cells(), fill_seconds: filled.took, ..OfSize::default() };
    let (warm, cold, long) = if options.quick { (12, 3, 0) } else { (100, 10, 40) };
    let hours = size.epochs.min(EPOCHS);
    let asker = Asker::new(&filled)?;
    let mut plates = 0..PLATES;
    let mut next = || plates.next().context("no plate is left to be searched");
    // Unmeasured: connections, directories, caches.
    for _ in 0..3 {
        asker.search(&filled, next()?, WEEK)?;
    }
    for _ in 0..warm {
        asker.measure(&filled, next()?, WEEK, &mut of.warm)?;
    }
    for _ in 0..long {
        asker.measure(&filled, next()?, hours, &mut of.long)?;
    }
    for _ in 0..5 {
        of.command.0.push(asker.command(&filled, next()?)?);
    }
    let agency = filled.town.agency.as_ref().context("the agency")?.pid();
    of.memory_mib = f64_of(memory_kib(agency)) / 1_024.0;
    of.padded_bytes = bytes_below(&filled.archive())?;
    for _ in 0..cold {
        filled.town.agency.take().context("the agency")?.stop();
        forget_pages(&filled.archive())?;
        let begun = Instant::now();
        filled.town.start_agency();
        of.start.0.push(ms(begun.elapsed()));
        filled.town.wait_sealing();
        of.sealing.0.push(ms(begun.elapsed()));
        // A new process of the agency has new connections to everybody; so has a searcher that was just opened.
        let asker = Asker::new(&filled)?;
        asker.measure(&filled, next()?, WEEK, &mut of.cold)?;
    }
    filled.town.stop_all();
    (of.doctor_mb_s, of.doctor_mib) = doctor(&filled, of.padded_bytes)?;
    let rounds = if options.quick { 5 } else { 20 };
    (of.dropped, of.drop_bytes) = drop_epochs(&filled.archive(), rounds)?;
    (of.dropped_largest, of.swept_largest) = drop_largest(&options.work.join("largest"))?;
    drop(filled);
    std::fs::remove_dir_all(options.work.join("filled")).context("the archive that was measured cannot be removed")?;
    of.peer = peer(options, size)?;
    Ok(Some(of))
}

/// The officer's side.
pub(super) struct Asker {
    searcher: Searcher,
    officer: Officer,
    runtime: tokio::runtime::Runtime,
}

impl Asker {
    pub(super) fn new(filled: &Filled) -> anyhow::Result<Self> {
        let town = &filled.town;
        let home = town.home("officer");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let trust = PeerTrust::Pinned(town.charter.charter().archive.tls_pin);
        let desk = PeerClient::new(&town.card().url, trust, desk_limits())?;
        let folder = home.join("searches");
        std::fs::create_dir_all(&folder)?;
        let searcher = Searcher::new(town.charter.clone(), desk, folder, Arc::new(SystemClock::new()))
            .map_err(|fault| anyhow::anyhow!("{fault:?}"))?;
        let officer = Officer {
            key: read_person_key(&home.join("officer.pem"))?,
            agency: AgencyId::parse(town.agency_id()).context("the agency has an id")?,
            passcode: Some(Zeroizing::new(std::fs::read_to_string(home.join("passcode"))?)),
            seconds: Vec::new(),
        };
        Ok(Self { searcher, officer, runtime })
    }

    /// One search of plate `number` in the last `hours` filled ones; it must find what is there.
    fn search(&self, filled: &Filled, number: u64, hours: u64) -> anyhow::Result<(f64, Fetched)> {
        let asked = Asked {
            plate: Zeroizing::new(plate(number)),
            state: Some(Jurisdiction::parse("US-NJ").context("a state")?),
            spellings: Mode::Fold,
            purpose: Purpose::StolenVehicle,
            basis: Basis::None,
            case_number: "26-1234".to_owned(),
            offence: Offence::Felony,
            offence_text: "larceny of a motor vehicle".to_owned(),
            facts: "The owner reported the grey van stolen from the yard this morning.".to_owned(),
            emergency: None,
            hold: false,
            from: Timestamp(filled.until - hours * HOUR),
            to: Timestamp(filled.until),
            on_behalf_of: None,
            authorisation: None,
            disclosures: Vec::new(),
            valid_for_s: VALID_FOR_S,
            embargo_s: EMBARGO_S,
        };
        let begun = Instant::now();
        let wait = Duration::from_secs(60);
        let searched = self
            .runtime
            .block_on(async { self.searcher.search(&self.officer, &asked, wait, &mut SystemRng, &mut |_| {}).await });
        let fetched = searched.map_err(|fault| anyhow::anyhow!("a search: {fault:?}"))?;
        let took = ms(begun.elapsed());
        let (epochs, expected) = (usize::try_from(hours)?, filled.expected(number, hours));
        if fetched.epochs != epochs || fetched.found.len() != expected || fetched.disclosure.is_none() {
            bail!("a search of {} epochs found {} of {expected} reads", fetched.epochs, fetched.found.len());
        }
        Ok((took, fetched))
    }

    pub(super) fn measure(&self, filled: &Filled, number: u64, hours: u64, into: &mut Searches) -> anyhow::Result<()> {
        let town = &filled.town;
        let agency = vec![town.agency.as_ref().context("the agency")?.pid()];
        let keepers = town.keepers.iter().flatten().map(super::town::process::Process::pid).collect();
        let parties = [vec![std::process::id()], agency, keepers];
        // One that comes alone: a keeper's log is put to its witnesses nine times a second at most, and each search makes two leaves in it.
        std::thread::sleep(BETWEEN_SEARCHES);
        let before = parties.each_ref().map(cpu_ms);
        let traced = keeper_traces(&town.traces())?.len();
        let (took, fetched) = self.search(filled, number, hours)?;
        into.total.0.push(took);
        into.parts.push(fetched.timings);
        for ((series, before), party) in into.cpu.iter_mut().zip(before).zip(&parties) {
            series.0.push(cpu_ms(party) - before);
        }
        let traces = keeper_traces(&town.traces())?;
        into.keeper.0.extend(traces.get(traced..).unwrap_or_default());
        Ok(())
    }

    /// The same by the command, from its start to its end.
    fn command(&self, filled: &Filled, number: u64) -> anyhow::Result<f64> {
        let window = (filled.until - WEEK * HOUR, filled.until);
        let (took, searched) = seconds(|| Ok(filled.town.search_between(&plate(number), window)))?;
        if searched.code != 0 {
            bail!("lockplate search: {}", searched.stderr);
        }
        Ok(took * 1_000.0)
    }
}

/// CPU time of processes so far, by the kernel's own account of every thread that lives.
fn cpu_ms(pids: &Vec<u32>) -> f64 {
    let mut sum = 0.0;
    for pid in pids {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanoseconds = text.split(' ').next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
            sum += nanoseconds / 1e6;
        }
    }
    sum
}

/// How long each evaluation took its keeper, as keepers trace it.
fn keeper_traces(folder: &Path) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("keeper-") || !name.ends_with(".stderr") {
            continue;
        }
        for line in String::from_utf8_lossy(&std::fs::read(&path)?)
            .lines()
            .filter(|line| line.contains("a grant was evaluated"))
        {
            let field = line.split("took_us=").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            took.push(field.context("a keeper traces how long it took")?.parse::<f64>()? / 1_000.0);
        }
    }
    Ok(took)
}

/// `lockplate doctor --store` on the stopped agency: MB a second, and the most memory it ever had, MiB.
fn doctor(filled: &Filled, bytes: u64) -> anyhow::Result<(f64, f64)> {
    let (data, charter) = (filled.town.data("agency"), filled.town.home("agency").join("charter.auth"));
    let begun = Instant::now();
    let mut child = command(super::town::BINARY)
        .args(["--quiet", "doctor", "--store"])
        .arg(&data)
        .arg("--charter")
        .arg(&charter)
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let mut peak = 0.0_f64;
    let status = loop {
        peak = status_kib(child.id(), "VmHWM:").map_or(peak, |kib| f64_of(kib) / 1_024.0);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = begun.elapsed().as_secs_f64();
    if !status.success() {
        bail!("lockplate doctor found something in an archive that nobody harmed");
    }
    Ok((f64_of(bytes) / 1e6 / took, peak))
}

/// The epochs of an archive folder.
fn epochs_below(archive: &Path) -> anyhow::Result<Vec<EpochId>> {
    let mut epochs = Vec::new();
    for entry in std::fs::read_dir(archive)? {
        epochs.extend(EpochId::parse(&entry?.file_name().to_string_lossy()));
    }
    Ok(epochs)
}

fn for_each_file(archive: &Path, mut see: impl FnMut(&File) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for epoch in epochs_below(archive)? {
        for entry in std::fs::read_dir(archive.join(epoch.to_string()))? {
            see(&File::open(entry?.path())?)?;
        }
    }
    Ok(())
}

/// What the kernel holds of an archive's files: a search reads them from the disk then.
fn forget_pages(archive: &Path) -> anyhow::Result<()> {
    for_each_file(archive, |file| Ok(fadvise(file, 0, None, Advice::DontNeed)?))
}

/// The same of all files below a folder, but for what a process has mapped.
pub(super) fn forget_pages_below(folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget_pages_below(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            fadvise(File::open(entry.path())?, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Drops epochs of a stopped agency's archive, the filled ones, one after the other.
fn drop_epochs(archive: &Path, rounds: usize) -> anyhow::Result<(Series, u64)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let store = SegmentStore::open_folder(archive)?;
    let (mut took, mut bytes) = (Series::default(), 0);
    for epoch in epochs_below(archive)? {
        let length = std::fs::metadata(archive.join(epoch.to_string()).join("segment"))?.len();
        // Live epochs of the last hour are empty.
        if length < 100_000 {
            continue;
        }
        if took.0.len() == rounds {
            break;
        }
        bytes = length;
        took.0.push(seconds(|| Ok(runtime.block_on(store.forget_epoch(epoch))?))?.0 * 1_000.0);
        store.sweep()?;
    }
    Ok((took, bytes))
}

/// The same of epochs with as many cells as one can have.
fn drop_largest(folder: &Path) -> anyhow::Result<(Series, Series)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let store = SegmentStore::open_folder(folder)?;
    let bits = bucket_bits_for(u64::try_from(SEGMENT_CELLS_MAX)?);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (mut took, mut swept) = (Series::default(), Series::default());
    for round in 0..3 {
        let epoch = EpochId([round; 16]);
        let cells = (0..SEGMENT_CELLS_MAX).map(|_| {
            let mut cell = [0; lockplate_core::limits::CELL_BYTES];
            rng.fill_bytes(&mut cell);
            SpoolCell { bucket: rng.next_u32() & ((1 << bits) - 1), cell }
        });
        let cells: Vec<SpoolCell> = cells.collect();
        let segment = Segment::build(bits, cells, &mut SystemRng).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        runtime.block_on(async {
            store.put_segment(epoch, "header".into(), segment).await?;
            store.put_close(epoch, "close".into()).await
        })?;
        took.0.push(seconds(|| Ok(runtime.block_on(store.forget_epoch(epoch))?))?.0 * 1_000.0);
        swept.0.push(seconds(|| Ok(store.sweep()?))?.0 * 1_000.0);
    }
    std::fs::remove_dir_all(folder)?;
    Ok((took, swept))
}

/// As many rows in PostgreSQL, one plate of them a query.
fn peer(options: &Options, size: Size) -> anyhow::Result<Option<Peer>> {
    if size != LARGE && size != QUICK {
        return Ok(None);
    }
    let rows = size.cells().min(PEER_ROWS_MAX);
    if free_bytes(&options.work)? < rows * PEER_ROW_BYTES + (1 << 30) {
        eprintln!("SKIPPED PostgreSQL: there is no room for {rows} rows");
        return Ok(None);
    }
    let Some(postgres) = Postgres::start(&options.postgres, &options.work)? else { return Ok(None) };
    let (plates, length) = (rows / 35, size.epochs * HOUR);
    postgres.sql(&format!(
        "DROP INDEX reads_plate_time;
         INSERT INTO reads SELECT 1, int8send(k), k % 290, now() - make_interval(secs => {length}.0 * k / {rows}), NULL, 1, 'P' || (k::bigint * 7919) % {plates},
           'US-NJ', 950, true, 930, 3, 900, 12, 800, 4, 850, 1, 1, 0 FROM generate_series(1, {rows}) AS k;
         CREATE INDEX reads_plate_time ON reads (plate, captured_at);"
    ))?;
    postgres.sql("VACUUM ANALYZE reads")?;
    let ask = |hours: u64| -> anyhow::Result<Series> {
        let script = format!(
            "\\set n random(0, {plates} - 1)\nSELECT * FROM reads WHERE plate = 'P' || :n AND captured_at >= now() - interval '{hours} hours';\n"
        );
        let mut took = Series::default();
        for _ in 0..3 {
            took.0.push(1_000.0 / postgres.load("select.sql", &script, 1, 3)?);
        }
        Ok(took)
    };
    let peer =
        Peer { version: postgres.sql("SHOW server_version")?, rows, week: ask(WEEK)?, three_weeks: ask(EPOCHS)? };
    drop(postgres);
    std::fs::remove_dir_all(options.work.join("postgres")).context("the peer's folder cannot be removed")?;
    Ok(Some(peer))
}

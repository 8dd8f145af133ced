//! The same figures by closed formulas, one agency after the other. Each is short enough for a sheet of paper; `docs/scaling.md` explains
//! them, and [`super::play`] is what they are held against. No function of the product is called here: a formula that leaned on the code
//! could not be wrong when the code changes.

use super::dice::real;
use super::figures::Figures;
use super::profile::{Agency, DAY, LATE_LAG_HOURS_MAX, Profile, Question};

/// Cells that a bucket is planned for at the busiest hour, and what it is padded to a multiple of.
const BUCKET_CELLS: f64 = 128.0;
const PAD: f64 = 16.0;
/// Bytes of a cell, in the segment and in the spool.
const CELL: f64 = 256.0;
const SPOOL_CELL: f64 = 260.0;
/// Bytes of a frame of the spool beside its cells.
const FRAME: f64 = 36.0;
/// Bytes of an index before its first bucket; of one bucket in it, beside 32 for each bit.
const INDEX_HEAD: f64 = 49.0;
const INDEX_BUCKET: f64 = 8.0;
/// Bytes of a bucket's proof beside its cells and 32 for each bit.
const PROOF: f64 = 12.0;
/// A signed close.
const CLOSE: f64 = 148.0;
/// Signed prekey, share envelope, signed receipt.
const DEALING: f64 = 1_348.0 + 1_200.0 + 109.0;
/// Objects of an epoch: header, segment, index, close.
const OBJECTS: f64 = 4.0;
/// A segment of more bytes goes in parts of so many, and takes a PUT at its begin and one at its end.
const PART: f64 = 16_777_216.0;
/// LIST of an epoch: what failed tries left when it closes, and what is left of it at its end.
const LISTS: f64 = 2.0;
/// GET of a close: whether the epoch is there (twice), and the index's head once more.
const CLOSE_GETS: f64 = 3.0;
/// GET when a server reads an epoch first: its close, and the head of its index.
const FIRST_READ_GETS: f64 = 2.0;
/// GET of a bucket: its record in the index, and its cells.
const BUCKET_GETS: f64 = 2.0;
/// Bytes of leaves: an epoch's two of the recorder, a keeper's two of an epoch, its two of a search, the desk's one.
const LEAF_DEALT: f64 = 392.0;
const LEAF_CLOSED: f64 = 327.0;
const LEAF_RECEIVED: f64 = 205.0;
const LEAF_DESTROYED: f64 = 242.0;
const LEAF_REQUEST: f64 = 1_675.0;
const LEAF_EVALUATION: f64 = 272.0;
const LEAF_DISCLOSURE: f64 = 318.0;

/// All agencies together.
pub(super) fn figures(profile: &Profile, agencies: &[Agency]) -> Figures {
    let mut total = Figures::default();
    let filed: f64 = agencies.iter().map(|agency| agency.searches_a_day).sum();
    let asked_by_others = profile.pooled * profile.partner_part(agencies.len());
    for agency in agencies {
        let own = agency.searches_a_day;
        add(profile, agency, own + asked_by_others * (filed - own), &mut total);
    }
    total
}

/// The buckets of one kind of epoch.
struct Buckets {
    number: f64,
    bits: f64,
}

impl Buckets {
    /// As many as the busiest epoch needs, a power of two.
    fn of(most: f64) -> Self {
        let bits = (most / BUCKET_CELLS).ceil().max(1.0).log2().ceil();
        Self { number: bits.exp2(), bits }
    }

    /// Cells of a bucket of an epoch of `cells`: half a step of padding more, and a step at least.
    fn padded(&self, cells: f64) -> f64 {
        (cells / self.number + (PAD - 1.0) / 2.0).max(PAD)
    }

    fn index_bytes(&self) -> f64 {
        INDEX_HEAD + self.number * (INDEX_BUCKET + 32.0 * self.bits)
    }
}

/// One owner's archive with its recorder, keepers and standby; `searches` arrive in a day.
fn add(profile: &Profile, agency: &Agency, searches: f64, total: &mut Figures) {
    let (n, t) = (f64::from(profile.keepers), f64::from(profile.threshold));
    let (epochs, late) = (real(profile.epochs_a_day()), profile.late_windows_a_day);
    let epoch_reads = agency.reads_a_day / epochs;

    // Buckets, by the busiest epoch of a day; for late ones, by the largest of 24 of one size.
    let buckets = Buckets::of(epoch_reads * profile.load_most());
    let late_reads = profile.reads_a_camera / epochs;
    let late_buckets = Buckets::of(late_reads + 2.0 * late_reads.sqrt());
    let padded: f64 = profile.loads().map(|load| buckets.padded(epoch_reads * load)).sum::<f64>() / epochs;
    let late_padded = late_buckets.padded(late_reads);

    // Bytes of an epoch, and what becomes of it.
    let header = 178.0 + 81.0 * n + 32.0 * t;
    let bytes = |cells: f64, buckets: &Buckets| cells * buckets.number * CELL + buckets.index_bytes() + header + CLOSE;
    let (live_bytes, late_bytes) = (bytes(padded, &buckets), bytes(late_padded, &late_buckets));
    // A late epoch expires with its label, which is older than it is.
    let days = real(profile.retention_days);
    let late_days = days - real(LATE_LAG_HOURS_MAX) / 48.0;
    let closed = epochs + late;

    // Searches: epochs in a window, and how many of them the rules let each question have.
    let (mut live, mut all, mut weighed) = (0.0, 0.0, 0.0);
    let mut keeper_bytes = 0.0;
    for window in &profile.windows {
        let hours = real(window.hours);
        let live_in = hours / 24.0 * epochs;
        let late_in = late * late_days_in(hours);
        for question in &profile.questions {
            let elements = elements(question);
            let found = (live_in + late_in).min((real(profile.element_epochs_max) / elements).floor());
            let part = window.part * question.part;
            let live_found = found * live_in / (live_in + late_in);
            live += part * elements * live_found;
            all += part * elements * found;
            weighed += part * found;
            keeper_bytes += part * search_bytes(n, t, elements, found);
        }
    }
    let bucket = |padded: f64, buckets: &Buckets| padded * CELL + 32.0 * buckets.bits;
    let (live_bucket, late_bucket) = (bucket(padded, &buckets), bucket(late_padded, &late_buckets));
    let bucket_bytes = searches * (live * live_bucket + (all - live) * late_bucket);
    let fetched = searches * all;
    // Whether an epoch is closed, and its index's head, are read once by a server that is asked for it.
    let first_read = if weighed > 0.0 { FIRST_READ_GETS * closed } else { 0.0 };

    total.reads += agency.reads_a_day + late * late_reads;
    total.epochs += closed;
    total.cells += epochs * padded * buckets.number + late * late_padded * late_buckets.number;
    total.objects += OBJECTS * (epochs * days + late * late_days);
    total.bytes_stored += epochs * days * live_bytes + late * late_days * late_bytes;
    let parts = |cells: f64| {
        let parts = (buckets.padded(cells) * buckets.number * CELL / PART).ceil();
        if parts > 1.0 { parts + 1.0 } else { 0.0 }
    };
    total.puts += OBJECTS * closed + profile.loads().map(|load| parts(epoch_reads * load)).sum::<f64>();
    total.gets += CLOSE_GETS * closed + first_read + BUCKET_GETS * fetched;
    total.deletes += OBJECTS * closed;
    total.lists += LISTS * closed;
    total.bytes_put += epochs * live_bytes + late * late_bytes;
    total.bytes_got += bucket_bytes + INDEX_BUCKET * fetched;
    total.requests += searches;
    total.buckets += fetched;
    total.bucket_bytes += bucket_bytes + PROOF * fetched;
    total.shares += n * closed;
    total.dealing_bytes += n * DEALING * closed;
    total.decisions += n * searches;
    total.element_epochs += t * fetched;
    total.element_epochs_most = total.element_epochs_most.max(fetched * t / n / real(DAY));
    total.keeper_bytes += searches * keeper_bytes;
    total.leaves += closed * (2.0 + 2.0 * n) + searches * (n + t + 1.0);
    total.leaf_bytes += closed * (LEAF_DEALT + LEAF_CLOSED + n * (LEAF_RECEIVED + LEAF_DESTROYED))
        + searches * (n * LEAF_REQUEST + t * LEAF_EVALUATION + LEAF_DISCLOSURE);
    let (commits, signs) = journal(profile, epoch_reads);
    total.journal_puts += commits + signs;
    total.journal_bytes += commits * FRAME + agency.reads_a_day * SPOOL_CELL;
    let cores: Vec<f64> = profile.loads().map(|load| sealing_cores(profile, agency, epoch_reads * load)).collect();
    total.cores += cores.iter().sum::<f64>() / epochs;
    total.cores_most = cores.into_iter().fold(total.cores_most, f64::max);
    let most = epoch_reads * profile.load_most();
    let closing = f64::max(most * SPOOL_CELL, bytes(buckets.padded(most), &buckets));
    total.closing_bytes = total.closing_bytes.max(closing);
}

/// How many days' worth of late epochs have their label in the last hours: one comes up to [`LATE_LAG_HOURS_MAX`] after its label.
fn late_days_in(hours: f64) -> f64 {
    let lag = real(LATE_LAG_HOURS_MAX);
    if hours >= lag { (hours - lag / 2.0) / 24.0 } else { hours * hours / (2.0 * lag) / 24.0 }
}

/// Elements of a question: with a state and without one, for each text. `near` is the text, each character left out, and a 1 before and after.
fn elements(question: &Question) -> f64 {
    let texts = if question.near { question.plate.chars().count() + 3 } else { 1 };
    2.0 * real(u64::try_from(texts).unwrap_or(u64::MAX))
}

/// Bytes at all keepers' doors: `n` requests with their Openings and approvals, `t` grants and evaluations.
fn search_bytes(n: f64, t: f64, elements: f64, epochs: f64) -> f64 {
    let request = 1_485.0 + 33.0 * elements;
    // HPKE, the statement, and 50 + 7 bytes of each input and its blind.
    let opening = 1_136.0 + 430.0 + 65.0 * elements;
    let approval = 254.0 + 16.0 * epochs;
    let grant = request + t * (4.0 + approval) + 16.0 * epochs;
    let evaluation = 1_246.0 + 48.0 * epochs + elements * (64.0 + 32.0 * epochs);
    n * (request + opening + 32.0 * n + approval) + t * (grant + evaluation)
}

/// Commits and signs of life a day. A record is on its way for `put`; after it the next goes at once if a read came meanwhile, or else with
/// the next read.
fn journal(profile: &Profile, epoch_reads: f64) -> (f64, f64) {
    let (length, put) = (real(profile.epoch_seconds), profile.put_ms / 1_000.0);
    let (mut commits, mut signs) = (0.0, 0.0);
    for load in profile.loads() {
        let rate = epoch_reads * load / length;
        let commits_a_second = 1.0 / (put + (-rate * put).exp() / rate);
        let quiet = (-rate * profile.sign_of_life_seconds).exp();
        commits += commits_a_second * length;
        signs += commits_a_second * quiet / (1.0 - quiet) * length;
    }
    (commits, signs)
}

/// Cores that seal the reads of one epoch: a plate costs much the first time. Trips are of all vehicles alike.
fn sealing_cores(profile: &Profile, agency: &Agency, reads: f64) -> f64 {
    let vehicles = agency.reads_a_day * profile.vehicles_a_daily_read;
    let new = vehicles * (1.0 - (-reads / profile.reads_a_trip / vehicles).exp());
    (new * profile.seal_new_us + (reads - new) * profile.seal_seen_us) / 1e6 / real(profile.epoch_seconds)
}

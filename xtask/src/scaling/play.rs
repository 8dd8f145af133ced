//! The days of a profile, event by event: vehicles pass cameras, epochs are dealt, filled, padded, closed and forgotten, officers search,
//! a standby's journal takes commits. Nothing here is a formula of [`super::model`]: sizes are those of the product's own functions and
//! encodings, and what an object store is asked for comes from [`super::probe`].

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use lockplate_core::segment::{SEGMENT_CELLS_MAX, SpoolCell, bucket_bits_for, padded_cells};
use lockplate_store::segment_store::PART_BYTES;

use super::dice::{Dice, real};
use super::figures::Figures;
use super::probe::{self, Life, Requests};
use super::profile::{Agency, DAY, LATE_LAG_HOURS_MAX, Profile};
use super::wire::{self, Wire};

/// Searches begin so long before the days that are counted, so that archives are read as on any day.
const SEARCHES_BEFORE: u64 = 2 * DAY;
/// An hour, in seconds.
const HOUR: u64 = 3_600;
/// Closed epochs of which the largest sets the buckets of the next, as the recorder's database does it.
const RECENT_EPOCHS: usize = 24;
/// Cells to expect before any epoch was closed: the default of `agency.toml`.
const CELLS_EXPECTED: u64 = 4_096;
/// Streams of draws: searches, and the probe; those of an agency are its place.
const SEARCHES: u64 = u64::MAX - 1;
const PROBE: u64 = u64::MAX - 2;

/// A closed epoch in an archive.
struct Stored {
    cap_from: u64,
    destroy_after: u64,
    bucket_bits: u8,
    /// Cells of each bucket with its padding.
    padded: Vec<u32>,
    bytes: u64,
    life: Life,
    /// Places plates in buckets.
    salt: u64,
    /// This server has its head.
    known: bool,
}

/// A search that an agency files.
struct Search {
    by: usize,
    /// Begin of the epoch in which it comes.
    at: u64,
    question: usize,
    hours: u64,
    plate: u64,
    pooled: bool,
}

/// What the product's functions say, kept so that each is asked once.
struct Sizes<'a> {
    wire: &'a mut Wire,
    lives: BTreeMap<(u8, u64), Life>,
    dice: Dice,
    elements: Vec<u64>,
    /// Of a frame of the spool: itself, and each cell.
    spool: (u64, u64),
    /// Leaves of an epoch that is dealt and closed, of one that expires, of a search: their number and their bytes.
    leaves_of_epoch: (u64, u64),
    leaves_of_end: (u64, u64),
    leaves_of_search: (u64, u64),
}

impl<'a> Sizes<'a> {
    fn new(profile: &Profile, seed: u64, wire: &'a mut Wire) -> anyhow::Result<Self> {
        let elements = |question| anyhow::Ok(u64::try_from(wire::spellings(question)?.elements())?);
        let leaf = wire::leaf_bytes;
        let (n, t) = (u64::from(profile.keepers), u64::from(profile.threshold));
        Ok(Self {
            wire,
            lives: BTreeMap::new(),
            dice: Dice::new(seed, PROBE),
            elements: profile.questions.iter().map(elements).collect::<anyhow::Result<_>>()?,
            spool: probe::spool_bytes()?,
            leaves_of_epoch: (2 + n, leaf("epoch.dealt")? + leaf("epoch.closed")? + n * leaf("share.received")?),
            leaves_of_end: (n, n * leaf("share.destroyed")?),
            leaves_of_search: (n + t + 1, n * leaf("request")? + t * leaf("evaluation")? + leaf("disclosure")?),
        })
    }

    fn life(&mut self, bucket_bits: u8, cells: u64, bytes: u64) -> anyhow::Result<Life> {
        // A remote store takes a longer segment in more parts.
        let by = (bucket_bits, bytes.div_ceil(u64::try_from(PART_BYTES)?));
        if let Some(life) = self.lives.get(&by) {
            return Ok(*life);
        }
        let life = probe::life(&self.wire.header, &self.wire.close, bucket_bits, cells, &mut self.dice)?;
        self.lives.insert(by, life);
        Ok(life)
    }
}

/// Plays as many days as the retention has, and then `days` that are counted.
pub(super) fn play(
    profile: &Profile,
    agencies: &[Agency],
    days: u64,
    seed: u64,
    wire: &mut Wire,
) -> anyhow::Result<Figures> {
    let mut sizes = Sizes::new(profile, seed, wire)?;
    let end = profile.retention_seconds() + days * DAY;
    let searches = searches(profile, agencies, seed, end);
    let mut total = Figures::default();
    for (place, agency) in agencies.iter().enumerate() {
        let dice = Dice::new(seed, u64::try_from(place)?);
        let partners = profile.partner_part(agencies.len());
        let asked = searches.iter().filter(|search| {
            let partner = real(mix(mix(seed) ^ u64::try_from(search.by * agencies.len() + place).unwrap_or(0)) >> 11);
            search.by == place || (search.pooled && partner < partners * real(1 << 53))
        });
        let mut owner = Owner::new(profile, agency, dice);
        owner.play(end, asked, &mut sizes)?;
        owner.add_to(&mut total, days);
    }
    Ok(total)
}

/// What all officers search, in the order of time.
fn searches(profile: &Profile, agencies: &[Agency], seed: u64, end: u64) -> Vec<Search> {
    let mut dice = Dice::new(seed, SEARCHES);
    let mut searches = Vec::new();
    let mut at = profile.retention_seconds().saturating_sub(SEARCHES_BEFORE);
    while at < end {
        for (by, agency) in agencies.iter().enumerate() {
            let mean = agency.searches_a_day / real(profile.epochs_a_day()) * profile.load_at(at);
            for _ in 0..dice.poisson(mean) {
                let (question, hours) = (dice.part(), dice.part());
                searches.push(Search {
                    by,
                    at,
                    question: chosen(question, profile.questions.iter().map(|question| question.part)),
                    hours: profile
                        .windows
                        .get(chosen(hours, profile.windows.iter().map(|window| window.part)))
                        .map_or(0, |window| window.hours),
                    plate: dice.bits(),
                    pooled: dice.part() < profile.pooled,
                });
            }
        }
        at += profile.epoch_seconds;
    }
    searches
}

/// Which of some parts, which are 1 together, a number below 1 falls into.
fn chosen(number: f64, parts: impl Iterator<Item = f64>) -> usize {
    let mut sum = 0.0;
    let mut at = 0;
    for (place, part) in parts.enumerate() {
        if number >= sum {
            at = place;
        }
        sum += part;
    }
    at
}

/// One agency's recorder, archive, keepers and standby.
struct Owner<'a> {
    profile: &'a Profile,
    agency: &'a Agency,
    dice: Dice,
    vehicles: u64,
    /// The epoch in which a vehicle was last seen.
    seen: Vec<u32>,
    archive: Vec<Stored>,
    /// Cells of the last live and late epochs.
    recent: [Vec<u64>; 2],
    requests: Requests,
    counted: Counted,
}

/// Whole numbers of the days that are counted.
#[derive(Default)]
struct Counted {
    reads: u64,
    epochs: u64,
    ends: u64,
    cells: u64,
    searches: u64,
    buckets: u64,
    bucket_bytes: u64,
    element_epochs: u64,
    keeper_bytes: u64,
    leaves: u64,
    leaf_bytes: u64,
    dealing_bytes: u64,
    journal_puts: u64,
    journal_bytes: u64,
    sealing_us: f64,
    cores_most: f64,
    closing_bytes: u64,
}

impl<'a> Owner<'a> {
    fn new(profile: &'a Profile, agency: &'a Agency, dice: Dice) -> Self {
        let vehicles = super::dice::whole(agency.reads_a_day * profile.vehicles_a_daily_read).max(1);
        Self {
            profile,
            agency,
            dice,
            vehicles,
            seen: vec![u32::MAX; usize::try_from(vehicles).unwrap_or(0)],
            archive: Vec::new(),
            recent: [Vec::new(), Vec::new()],
            requests: Requests::default(),
            counted: Counted::default(),
        }
    }

    fn play<'s>(
        &mut self,
        end: u64,
        searches: impl Iterator<Item = &'s Search>,
        sizes: &mut Sizes<'_>,
    ) -> anyhow::Result<()> {
        let mut searches = searches.peekable();
        let mut at = 0;
        while at < end {
            // The days before only fill the archive.
            let counts = at >= self.profile.retention_seconds();
            self.forget(at, counts, sizes);
            while let Some(search) = searches.next_if(|search| search.at <= at) {
                self.search(search, counts, sizes)?;
            }
            let cells = self.live_epoch(at, counts, sizes)?;
            if counts {
                self.journal(cells, sizes.spool);
            }
            let late = self.profile.late_windows_a_day / real(self.profile.epochs_a_day());
            for _ in 0..self.dice.poisson(late) {
                self.late_epoch(at, counts, sizes)?;
            }
            at += self.profile.epoch_seconds;
        }
        Ok(())
    }

    /// Epochs past their retention go.
    fn forget(&mut self, now: u64, counts: bool, sizes: &Sizes<'_>) {
        let (gone, kept) =
            core::mem::take(&mut self.archive).into_iter().partition(|stored| stored.destroy_after <= now);
        self.archive = kept;
        let gone: Vec<Stored> = gone;
        for stored in gone.iter().filter(|_| counts) {
            self.requests.add(&stored.life.forgotten);
            self.counted.ends += 1;
            self.counted.leaves += sizes.leaves_of_end.0;
            self.counted.leaf_bytes += sizes.leaves_of_end.1;
        }
    }

    /// The reads of one window, vehicle by vehicle; the number of its cells.
    fn live_epoch(&mut self, cap_from: u64, counts: bool, sizes: &mut Sizes<'_>) -> anyhow::Result<u64> {
        let bucket_bits = bucket_bits_for(self.recent_cells(0));
        let (mut buckets, salt) = (vec![0_u32; 1 << bucket_bits], self.dice.bits());
        let reads = self.agency.reads_a_day / real(self.profile.epochs_a_day()) * self.profile.load_at(cap_from);
        let stamp = u32::try_from(cap_from / self.profile.epoch_seconds)?;
        let (mut cells, mut new) = (0, 0_u64);
        for _ in 0..self.dice.poisson(reads / self.profile.reads_a_trip) {
            let vehicle = self.dice.below(self.vehicles);
            let passes = self.dice.geometric(self.profile.reads_a_trip);
            let bucket = buckets.get_mut(bucket_of(salt, vehicle, bucket_bits)).context("a bucket")?;
            *bucket += u32::try_from(passes)?;
            cells += passes;
            let last = self.seen.get_mut(usize::try_from(vehicle)?).context("a vehicle")?;
            new += u64::from(*last != stamp);
            *last = stamp;
        }
        if usize::try_from(cells)? > SEGMENT_CELLS_MAX {
            bail!("an epoch has more cells than a segment holds: the profile needs shorter epochs");
        }
        let sealing_us = real(new) * self.profile.seal_new_us + real(cells - new) * self.profile.seal_seen_us;
        if counts {
            self.counted.sealing_us += sealing_us;
            let cores = sealing_us / 1e6 / real(self.profile.epoch_seconds);
            self.counted.cores_most = self.counted.cores_most.max(cores);
        }
        self.close(0, cap_from, bucket_bits, salt, &buckets, counts, sizes)
    }

    /// A camera comes back with the reads of a past window.
    fn late_epoch(&mut self, now: u64, counts: bool, sizes: &mut Sizes<'_>) -> anyhow::Result<()> {
        let lag = (1 + self.dice.below(LATE_LAG_HOURS_MAX)) * HOUR / self.profile.epoch_seconds;
        let Some(cap_from) = now.checked_sub(lag * self.profile.epoch_seconds) else { return Ok(()) };
        let bucket_bits = bucket_bits_for(self.recent_cells(1));
        let (mut buckets, salt) = (vec![0_u32; 1 << bucket_bits], self.dice.bits());
        for _ in 0..self.dice.poisson(self.profile.reads_a_camera / real(self.profile.epochs_a_day())) {
            let vehicle = self.dice.below(self.vehicles);
            *buckets.get_mut(bucket_of(salt, vehicle, bucket_bits)).context("a bucket")? += 1;
        }
        self.close(1, cap_from, bucket_bits, salt, &buckets, counts, sizes)?;
        Ok(())
    }

    fn recent_cells(&self, kind: usize) -> u64 {
        self.recent.get(kind).and_then(|recent| recent.iter().max()).copied().unwrap_or(CELLS_EXPECTED)
    }

    #[expect(clippy::too_many_arguments, reason = "an epoch is what it is")]
    fn close(
        &mut self,
        kind: usize,
        cap_from: u64,
        bucket_bits: u8,
        salt: u64,
        buckets: &[u32],
        counts: bool,
        sizes: &mut Sizes<'_>,
    ) -> anyhow::Result<u64> {
        let cells: u64 = buckets.iter().map(|cells| u64::from(*cells)).sum();
        let padded = buckets
            .iter()
            .map(|cells| Ok(u32::try_from(padded_cells(usize::try_from(*cells)?))?))
            .collect::<anyhow::Result<Vec<u32>>>()?;
        let all: u64 = padded.iter().map(|cells| u64::from(*cells)).sum();
        let segment_bytes = all * probe::cell_bytes();
        let life = sizes.life(bucket_bits, cells, segment_bytes)?;
        let bytes = segment_bytes + life.other_bytes;
        if counts {
            self.requests.add(&Requests { bytes_put: bytes, ..life.closed });
            self.counted.reads += cells;
            self.counted.epochs += 1;
            self.counted.cells += all;
            self.counted.dealing_bytes += sizes.wire.dealing_bytes;
            self.counted.leaves += sizes.leaves_of_epoch.0;
            self.counted.leaf_bytes += sizes.leaves_of_epoch.1;
            let spooled = cells * u64::try_from(size_of::<SpoolCell>())?;
            // What is written into the segment is given back of the spool.
            self.counted.closing_bytes = self.counted.closing_bytes.max(spooled.max(bytes));
        }
        if let Some(recent) = self.recent.get_mut(kind) {
            recent.truncate(RECENT_EPOCHS - 1);
            recent.insert(0, cells);
        }
        let destroy_after = cap_from + self.profile.epoch_seconds + self.profile.retention_seconds();
        self.archive.push(Stored { cap_from, destroy_after, bucket_bits, padded, bytes, life, salt, known: false });
        Ok(cells)
    }

    /// One request: elements and epochs, one bucket each.
    fn search(&mut self, search: &Search, counts: bool, sizes: &mut Sizes<'_>) -> anyhow::Result<()> {
        let question = self.profile.questions.get(search.question).context("a question")?;
        let elements = sizes.elements.get(search.question).copied().context("a question")?;
        let from = search.at.saturating_sub(search.hours * HOUR);
        let until = search.at;
        let inside = |stored: &Stored| stored.cap_from >= from && stored.cap_from + self.profile.epoch_seconds <= until;
        let mut epochs: Vec<&mut Stored> = self.archive.iter_mut().filter(|stored| inside(stored)).collect();
        // An officer whose question is too long for the rules asks for the newest.
        epochs.sort_unstable_by_key(|stored| core::cmp::Reverse(stored.cap_from));
        epochs.truncate(usize::try_from(self.profile.element_epochs_max / elements)?);
        let found = u64::try_from(epochs.len())?;
        let vehicle = search.plate % self.vehicles;
        for stored in epochs {
            if !stored.known {
                stored.known = true;
                if counts {
                    self.requests.add(&stored.life.first);
                }
            }
            for element in 0..elements {
                // The first is a vehicle of the town, the others are other texts.
                let plate = if element == 0 { vehicle } else { mix(search.plate ^ element) };
                let at = bucket_of(stored.salt, plate, stored.bucket_bits);
                let cells = u64::from(stored.padded.get(at).copied().context("a bucket")?);
                if counts {
                    let bytes_got = probe::fetched_bytes(stored.bucket_bits, cells);
                    self.requests.add(&Requests { bytes_got, ..stored.life.bucket });
                    self.counted.buckets += 1;
                    self.counted.bucket_bytes += probe::proof_bytes(stored.bucket_bits, cells);
                }
            }
        }
        if counts && found > 0 {
            self.counted.searches += 1;
            self.counted.element_epochs += found * elements * u64::from(self.profile.threshold);
            self.counted.keeper_bytes += sizes.wire.search_bytes(question, found)?;
            self.counted.leaves += sizes.leaves_of_search.0;
            self.counted.leaf_bytes += sizes.leaves_of_search.1;
        }
        Ok(())
    }

    /// The records that a standby's journal takes in one epoch: a commit goes when the one before is stored, with all that came meanwhile.
    fn journal(&mut self, cells: u64, (frame, each): (u64, u64)) {
        let (length, put) = (real(self.profile.epoch_seconds), self.profile.put_ms / 1_000.0);
        let rate = real(cells) / length;
        let (mut puts, mut cells, mut signs) = (0_u64, 0_u64, 0.0);
        // When the last record was begun, when the store has it, and reads that wait for that.
        let (mut begun, mut free, mut waiting) = (0.0_f64, 0.0_f64, 0_u64);
        let mut now = 0.0;
        if rate > 0.0 {
            loop {
                now += self.dice.gap(rate);
                if now >= length {
                    break;
                }
                if waiting > 0 && now >= free {
                    begun = free;
                    free += put;
                    puts += 1;
                    waiting = 0;
                }
                cells += 1;
                if now >= free {
                    signs += ((now - begun) / self.profile.sign_of_life_seconds).floor();
                    begun = now;
                    free = now + put;
                    puts += 1;
                } else {
                    waiting += 1;
                }
            }
        }
        puts += u64::from(waiting > 0);
        signs += ((length - begun) / self.profile.sign_of_life_seconds).floor();
        self.counted.journal_puts += puts + super::dice::whole(signs);
        self.counted.journal_bytes += puts * frame + cells * each;
    }

    fn add_to(&self, total: &mut Figures, days: u64) {
        let Counted { sealing_us, cores_most, .. } = self.counted;
        let counted = &self.counted;
        let day = |count: u64| real(count) / real(days);
        let (n, t) = (f64::from(self.profile.keepers), f64::from(self.profile.threshold));
        total.reads += day(counted.reads);
        total.epochs += day(counted.epochs);
        total.cells += day(counted.cells);
        total.objects += self.archive.iter().map(|stored| real(stored.life.objects)).sum::<f64>();
        total.bytes_stored += self.archive.iter().map(|stored| real(stored.bytes)).sum::<f64>();
        total.puts += day(self.requests.puts);
        total.gets += day(self.requests.gets);
        total.deletes += day(self.requests.deletes);
        total.lists += day(self.requests.lists);
        total.bytes_put += day(self.requests.bytes_put);
        total.bytes_got += day(self.requests.bytes_got);
        total.requests += day(counted.searches);
        total.buckets += day(counted.buckets);
        total.bucket_bytes += day(counted.bucket_bytes);
        total.shares += day(counted.epochs) * n;
        total.dealing_bytes += day(counted.dealing_bytes);
        total.decisions += day(counted.searches) * n;
        total.element_epochs += day(counted.element_epochs);
        let keeper = day(counted.element_epochs) / t * (t / n) / real(DAY);
        total.element_epochs_most = total.element_epochs_most.max(keeper);
        total.keeper_bytes += day(counted.keeper_bytes);
        total.leaves += day(counted.leaves);
        total.leaf_bytes += day(counted.leaf_bytes);
        total.journal_puts += day(counted.journal_puts);
        total.journal_bytes += day(counted.journal_bytes);
        total.cores += sealing_us / 1e6 / real(DAY) / real(days);
        total.cores_most = total.cores_most.max(cores_most);
        total.closing_bytes = total.closing_bytes.max(real(counted.closing_bytes));
    }
}

/// The bucket of a plate: as even as that of a pseudorandom function, and the same for all reads of a plate in an epoch.
fn bucket_of(salt: u64, plate: u64, bucket_bits: u8) -> usize {
    let hash = mix(salt ^ mix(plate));
    usize::try_from(hash.checked_shr(64 - u32::from(bucket_bits)).unwrap_or(0)).unwrap_or(0)
}

/// The finaliser of SplitMix64.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

//! What is counted, the lines of the table, and how far model and play may be apart in each.

use serde_json::{Value, json};

use super::dice::real;
use super::profile::Agency;

/// Of a day, all agencies together, where nothing else is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) reads: f64,
    pub(super) epochs: f64,
    /// Cells with their padding.
    pub(super) cells: f64,
    /// Objects that are there at the end.
    pub(super) objects: f64,
    /// Their bytes.
    pub(super) bytes_stored: f64,
    pub(super) puts: f64,
    pub(super) gets: f64,
    pub(super) deletes: f64,
    pub(super) lists: f64,
    pub(super) bytes_put: f64,
    pub(super) bytes_got: f64,
    /// Requests that arrive at owners: a search of ten archives is ten.
    pub(super) requests: f64,
    pub(super) buckets: f64,
    pub(super) bucket_bytes: f64,
    pub(super) shares: f64,
    pub(super) dealing_bytes: f64,
    pub(super) decisions: f64,
    pub(super) element_epochs: f64,
    /// Of the keeper that is asked most, a second.
    pub(super) element_epochs_most: f64,
    pub(super) keeper_bytes: f64,
    pub(super) leaves: f64,
    pub(super) leaf_bytes: f64,
    pub(super) journal_puts: f64,
    pub(super) journal_bytes: f64,
    /// Cores that seal, on average.
    pub(super) cores: f64,
    /// Of the largest recorder in its busiest hour.
    pub(super) cores_most: f64,
    /// Bytes that the largest recorder needs to close its largest epoch.
    pub(super) closing_bytes: f64,
}

/// A line of the table.
pub(super) struct Line {
    pub(super) name: &'static str,
    of: fn(&Figures) -> f64,
    scale: f64,
    unit: &'static str,
    /// How far apart the two may be, percent.
    within: f64,
}

const fn line(name: &'static str, of: fn(&Figures) -> f64, scale: f64, unit: &'static str, within: f64) -> Line {
    Line { name, of, scale, unit, within }
}

pub(super) const LINES: &[Line] = &[
    line("reads", |f| f.reads, 1e6, "M a day", 1.0),
    line("epochs closed", |f| f.epochs, 1.0, "a day", 3.0),
    line("cells with padding", |f| f.cells, 1e6, "M a day", 2.0),
    line("objects stored", |f| f.objects, 1e3, "k", 3.0),
    line("bytes stored", |f| f.bytes_stored, 1e9, "GB", 2.0),
    line("PUT", |f| f.puts, 1e3, "k a day", 3.0),
    line("GET", |f| f.gets, 1e3, "k a day", 6.0),
    line("DELETE", |f| f.deletes, 1e3, "k a day", 5.0),
    line("LIST", |f| f.lists, 1e3, "k a day", 5.0),
    line("bytes put", |f| f.bytes_put, 1e9, "GB a day", 2.0),
    line("bytes fetched", |f| f.bytes_got, 1e9, "GB a day", 6.0),
    line("requests at owners", |f| f.requests, 1e3, "k a day", 5.0),
    line("buckets fetched", |f| f.buckets, 1e3, "k a day", 6.0),
    line("bytes a bucket", |f| f.bucket_bytes / f.buckets, 1e3, "kB", 3.0),
    line("shares dealt", |f| f.shares, 1e3, "k a day", 3.0),
    line("bytes of prekeys, shares, receipts", |f| f.dealing_bytes, 1e6, "MB a day", 3.0),
    line("decisions of keepers", |f| f.decisions, 1e3, "k a day", 5.0),
    line("element-epochs evaluated", |f| f.element_epochs, 1e6, "M a day", 6.0),
    line("busiest keeper, mean", |f| f.element_epochs_most, 1.0, "element-epochs/s", 12.0),
    line("bytes at keepers' doors", |f| f.keeper_bytes, 1e9, "GB a day", 6.0),
    line("leaves of logs", |f| f.leaves, 1e3, "k a day", 5.0),
    line("bytes of leaves", |f| f.leaf_bytes, 1e6, "MB a day", 6.0),
    line("PUT of standbys' journals", |f| f.journal_puts, 1e6, "M a day", 3.0),
    line("bytes of journals", |f| f.journal_bytes, 1e9, "GB a day", 3.0),
    line("cores that seal, mean", |f| f.cores, 1e-3, "thousandths", 3.0),
    line("largest recorder seals, busiest hour", |f| f.cores_most, 1e-3, "thousandths of a core", 10.0),
    line("largest recorder, to close an epoch", |f| f.closing_bytes, 1e6, "MB", 10.0),
];

/// Model and play beside each other.
pub(super) struct Report {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) days: u64,
    pub(super) agencies: Vec<Agency>,
    pub(super) expected: Figures,
    pub(super) counted: Figures,
}

/// One line with its two values.
pub(super) struct Compared {
    pub(super) name: &'static str,
    unit: &'static str,
    expected: f64,
    counted: f64,
    within: f64,
}

impl Compared {
    /// How much more the model says, percent of what was counted.
    fn deviation(&self) -> f64 {
        let nothing = self.counted.abs().max(self.expected.abs()) < f64::EPSILON;
        if nothing { 0.0 } else { (self.expected / self.counted - 1.0) * 100.0 }
    }

    pub(super) fn agrees(&self) -> bool {
        // False as well for what is no number.
        self.deviation().abs() <= self.within
    }
}

impl Report {
    pub(super) fn lines(&self) -> impl Iterator<Item = Compared> {
        LINES.iter().map(|line| Compared {
            name: line.name,
            unit: line.unit,
            expected: (line.of)(&self.expected) / line.scale,
            counted: (line.of)(&self.counted) / line.scale,
            within: line.within,
        })
    }

    pub(super) fn agrees(&self) -> bool {
        self.lines().all(|line| line.agrees())
    }

    pub(super) fn to_json(&self) -> Value {
        let lines: Vec<Value> = self
            .lines()
            .map(|line| {
                json!({ "name": line.name, "unit": line.unit, "model": line.expected, "simulation": line.counted,
                    "deviation_percent": line.deviation(), "within_percent": line.within, "agrees": line.agrees() })
            })
            .collect();
        let cameras: u64 = self.agencies.iter().map(|agency| agency.cameras).sum();
        json!({ "schema": "lockplate/scaling/1", "profile": self.name, "seed": self.seed, "days": self.days,
            "agencies": self.agencies.len(), "cameras": cameras, "agrees": self.agrees(), "lines": lines })
    }

    pub(super) fn to_markdown(&self) -> String {
        let cameras: u64 = self.agencies.iter().map(|agency| agency.cameras).sum();
        let searches: f64 = self.agencies.iter().map(|agency| agency.searches_a_day).sum();
        let mut text = format!(
            "Profile {}, seed {}, {} days: {} agencies, {cameras} cameras, {searches:.0} searches filed a day.\n\n\
             | What | Model | Simulation | Model is off by | May be off by |\n|---|---:|---:|---:|---:|\n",
            self.name,
            self.seed,
            self.days,
            self.agencies.len(),
        );
        for line in self.lines() {
            let unit = if line.unit.is_empty() { String::new() } else { format!(" {}", line.unit) };
            let (off, within) = (line.deviation(), line.within);
            let verdict = if line.agrees() { "" } else { " **too far**" };
            text += &format!(
                "| {} | {} | {}{unit} | {off:+.1} %{verdict} | {within:.0} % |\n",
                line.name,
                figure(line.expected),
                figure(line.counted),
            );
        }
        text + &format!("\nLargest agency: {} cameras.", self.agencies.iter().map(|one| one.cameras).max().unwrap_or(0))
    }
}

/// Four figures, as people read them.
fn figure(value: f64) -> String {
    let digits = (3.0 - value.abs().max(1e-3).log10().floor()).clamp(0.0, 4.0);
    let digits = usize::try_from(super::dice::whole(digits)).unwrap_or(0);
    if value >= real(10_000) { super::dice::whole(value).to_string() } else { format!("{value:.digits$}") }
}

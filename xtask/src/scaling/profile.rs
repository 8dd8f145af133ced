//! A profile: what is known or assumed of the agencies of a town, a state or a nation, and the agencies that are drawn from it.

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::dice::{Dice, real, whole};

/// The profile that is played where none is named.
pub(super) const NATION: &str = include_str!("../../profiles/nation.toml");

const HOUR: u64 = 3_600;
pub(super) const DAY: u64 = 86_400;
/// A late epoch comes up to so long after its window.
pub(super) const LATE_LAG_HOURS_MAX: u64 = 48;
/// Nine of ten draws of a normal are below this.
const NINE_OF_TEN: f64 = 1.281_55;
/// How closely the searches of an agency go with its cameras.
const TOGETHER: f64 = 0.8;
/// Stream of draws of the agencies; those of one agency are its place.
const DRAWN: u64 = u64::MAX;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) name: String,
    reads_a_day: f64,
    pub(super) reads_a_camera: f64,
    cameras: Spread,
    searches_a_month: Spread,
    partners: f64,
    pub(super) pooled: f64,
    pub(super) windows: Vec<Window>,
    pub(super) questions: Vec<Question>,
    pub(super) keepers: u8,
    pub(super) threshold: u8,
    pub(super) epoch_seconds: u64,
    pub(super) retention_days: u64,
    pub(super) late_windows_a_day: f64,
    pub(super) reads_a_trip: f64,
    pub(super) vehicles_a_daily_read: f64,
    pub(super) element_epochs_max: u64,
    pub(super) sign_of_life_seconds: f64,
    pub(super) put_ms: f64,
    pub(super) seal_new_us: f64,
    pub(super) seal_seen_us: f64,
    load: Vec<f64>,
}

/// A quantity that is spread over agencies: its logarithm is normal, up to `most`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spread {
    median: f64,
    nine_of_ten: f64,
    most: f64,
}

impl Spread {
    fn sigma(&self) -> f64 {
        (self.nine_of_ten / self.median).ln() / NINE_OF_TEN
    }

    fn at(&self, normal: f64) -> f64 {
        (self.median * (self.sigma() * normal).exp()).min(self.most)
    }

    /// The normal whose value this is.
    fn place_of(&self, value: f64) -> f64 {
        (value / self.median).ln() / self.sigma()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    pub(super) hours: u64,
    pub(super) part: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    pub(super) plate: String,
    #[serde(default)]
    pub(super) near: bool,
    pub(super) part: f64,
}

/// One agency, as it was drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agency {
    pub(super) cameras: u64,
    pub(super) reads_a_day: f64,
    /// Filed by its own officers.
    pub(super) searches_a_day: f64,
}

impl Profile {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let profile: Self = toml::from_str(text).context("the profile is not as it should be")?;
        let one = |parts: f64| (parts - 1.0).abs() < 1e-6;
        let windows: f64 = profile.windows.iter().map(|window| window.part).sum();
        let questions: f64 = profile.questions.iter().map(|question| question.part).sum();
        let load = profile.load.iter().sum::<f64>() / 24.0;
        if profile.load.len() != 24 || !one(load) || !one(windows) || !one(questions) {
            bail!("a profile has 24 hours of mean 1, and parts that are 1 together");
        }
        if profile.epoch_seconds == 0 || !DAY.is_multiple_of(profile.epoch_seconds) || profile.retention_days == 0 {
            bail!("epochs divide a day, and are kept a day at least");
        }
        Ok(profile)
    }

    /// The agencies, the largest first.
    pub(super) fn agencies(&self, seed: u64) -> Vec<Agency> {
        let mut dice = Dice::new(seed, DRAWN);
        let mut agencies: Vec<Agency> = Vec::new();
        let mut reads = 0.0;
        while reads < self.reads_a_day {
            let (size, other) = (dice.normal(), dice.normal());
            let cameras = whole(if agencies.is_empty() { self.cameras.most } else { self.cameras.at(size) }).max(1);
            let reads_a_day = real(cameras) * self.reads_a_camera;
            let active = TOGETHER * size + (1.0 - TOGETHER * TOGETHER).sqrt() * other;
            agencies.push(Agency { cameras, reads_a_day, searches_a_day: self.searches_a_month.at(active) / 30.0 });
            reads += reads_a_day;
        }
        agencies
    }

    /// One agency of so many cameras, whose officers search as much as those of the others of its size.
    pub(super) fn one_agency(&self, cameras: u64) -> Vec<Agency> {
        let searches_a_day = self.searches_a_month.at(self.cameras.place_of(real(cameras))) / 30.0;
        vec![Agency { cameras, reads_a_day: real(cameras) * self.reads_a_camera, searches_a_day }]
    }

    /// Part of the other agencies that are partners of one.
    pub(super) fn partner_part(&self, agencies: usize) -> f64 {
        let others = u64::try_from(agencies).unwrap_or(u64::MAX).saturating_sub(1);
        if others == 0 { 0.0 } else { (self.partners / real(others)).min(1.0) }
    }

    pub(super) const fn epochs_a_day(&self) -> u64 {
        DAY / self.epoch_seconds
    }

    pub(super) const fn retention_seconds(&self) -> u64 {
        self.retention_days * DAY
    }

    /// Load of an epoch by its begin, mean 1.
    pub(super) fn load_at(&self, cap_from: u64) -> f64 {
        let hours = self.epoch_seconds.div_ceil(HOUR);
        let of = |hour: u64| usize::try_from((cap_from / HOUR + hour) % 24).ok().and_then(|at| self.load.get(at));
        (0..hours).filter_map(of).sum::<f64>() / real(hours)
    }

    /// The largest of a day.
    pub(super) fn load_most(&self) -> f64 {
        self.loads().fold(0.0, f64::max)
    }

    /// Of all epochs of a day.
    pub(super) fn loads(&self) -> impl Iterator<Item = f64> {
        (0..self.epochs_a_day()).map(|epoch| self.load_at(epoch * self.epoch_seconds))
    }
}

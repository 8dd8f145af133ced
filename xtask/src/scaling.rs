//! `cargo xtask scaling`: what archives of a given size ask of an object store, of their keepers and of their recorders. Closed formulas that
//! a person can follow ([`model`]) stand beside the same days played event by event through the product's own functions ([`play`]), and the
//! table says how far they are apart. A line that is further apart than it may be fails the run.

mod dice;
mod figures;
mod model;
mod play;
mod probe;
mod profile;
#[cfg(test)]
mod tests;
mod wire;

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use figures::Report;
use profile::{Agency, Profile};

/// Days are played and counted, after as many as the retention has, until so many searches were filed, and where archives are searched by
/// others, so many that were asked of all: with fewer, chance is more than what the formulas leave out.
const SEARCHES_PLAYED: f64 = 5_000.0;
const SEED: u64 = 1;

/// `[--days N] [--seed S] [--profile FILE] [--cameras N] [--json]`: with `--cameras`, one agency of that size.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let (mut days, mut seed, mut profile, mut cameras, mut json) = (None, SEED, None, None, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--days" => days = Some(value()?.parse().context("--days is a number")?),
            "--seed" => seed = value()?.parse().context("--seed is a number")?,
            "--profile" => profile = Some(value()?),
            "--cameras" => cameras = Some(value()?.parse().context("--cameras is a number")?),
            "--json" => json = true,
            _ => bail!("usage: cargo xtask scaling [--days N] [--seed S] [--profile FILE] [--cameras N] [--json]"),
        }
    }
    if days == Some(0) || cameras == Some(0) {
        bail!("--days and --cameras are at least 1");
    }
    let text = match profile {
        None => profile::NATION.to_owned(),
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?,
    };
    let profile = Profile::parse(&text)?;
    let agencies = cameras.map_or_else(|| profile.agencies(seed), |cameras| profile.one_agency(cameras));
    let filed: f64 = agencies.iter().map(|agency| agency.searches_a_day).sum();
    let weighty = if agencies.len() > 1 && profile.pooled > 0.0 { filed * profile.pooled } else { filed };
    let days = days.unwrap_or_else(|| dice::whole((SEARCHES_PLAYED / weighty).ceil()));
    let report = compare(&profile, agencies, days, seed)?;
    println!("{}", if json { report.to_json().to_string() } else { report.to_markdown() });
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The agencies, played and calculated.
fn compare(profile: &Profile, agencies: Vec<Agency>, days: u64, seed: u64) -> anyhow::Result<Report> {
    let counted = play::play(profile, &agencies, days, seed, &mut wire::Wire::new(profile)?)?;
    let expected = model::figures(profile, &agencies);
    Ok(Report { name: profile.name.clone(), seed, days, agencies, expected, counted })
}

//! Row S12: the archive on a cluster of three Garage nodes. The work is that of `scripts/garage`, which kills a node in each phase, wipes one and
//! drops epochs; this row starts it and repeats its figures. It takes nine minutes and a Garage, so it runs only where both are wanted.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::report::{Bar, Figure, Series};
use super::town::{BINARY, command};
use super::{Measured, Options};

/// Where `scripts/garage` builds the one that it needs.
const GARAGE: &str = "target/garage/bin/garage";

pub(super) fn measure(options: &Options) -> anyhow::Result<Measured> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if options.quick || !root.join(GARAGE).is_file() {
        let how = format!(
            "Not measured: in a whole run, where a Garage 2.5 is at {GARAGE} (`scripts/garage` builds one in some twenty minutes), it takes nine \
             minutes."
        );
        return Ok(Measured { figures: Vec::new(), how: vec![how] });
    }
    let ran = command(root.join("scripts/garage").to_str().context("a path of this repository")?)
        .current_dir(&root)
        .args(["--bin", BINARY])
        .output()
        .context("scripts/garage cannot be started")?;
    let report: Value = serde_json::from_slice(&ran.stdout).context("what scripts/garage printed")?;
    if !ran.status.success() || report.get("right") != Some(&Value::Bool(true)) {
        bail!("scripts/garage: something did not hold:\n{}", String::from_utf8_lossy(&ran.stderr));
    }
    let phases = report.get("phases").and_then(Value::as_object).context("phases")?;
    let number = |phase: &Value, name: &str| phase.get(name).and_then(Value::as_f64);
    let mut figures = Vec::new();
    let mut wrong = 0.0;
    for (name, phase) in phases {
        let Some(median) = number(phase, "median_seconds") else { continue };
        figures.push(Figure::alone(format!("{name}: a search of some minutes"), "s", Series(vec![median]), None));
        wrong += ["missing", "wrong", "unavailable"].iter().filter_map(|kind| number(phase, kind)).sum::<f64>();
    }
    figures.push(Figure::alone(
        "reads missing, answers wrong or not given, in all phases",
        "",
        Series(vec![wrong]),
        Some(Bar::AtMost(0.0)),
    ));
    Ok(Measured {
        figures,
        how: vec![
            "Three Garage nodes on the loopback, replication 3, everything synced; a node is killed in each phase, one is wiped and healed, epochs are \
             dropped; every read that was acknowledged is searched for. Epochs are of ten seconds with some 400 reads in all: the bar of 1.5 s is for the \
             168 hours of S4, which are not played here."
                .to_owned(),
        ],
    })
}

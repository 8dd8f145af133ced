//! `lockplate audit report`: the figures of a month, counted from the public logs alone. What the logs do not say is not in it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use comfy_table::{Table, presets};
use lockplate_audit::report::Figures;
use lockplate_audit::time::{Month, Period, ZoneOffset};
use lockplate_core::Timestamp;
use lockplate_core::json::time_text;
use lockplate_node::follow::Reader;
use lockplate_node::shutdown::ExitKind;
use lockplate_node::verify::Watch;
use serde_json::json;

use super::{CharterArgs, zone};
use crate::agency::now;
use crate::exit::Ended;
use crate::screen::Screen;
use crate::verify::{Scratch, alarm_line, party, tell_bundles};

/// Figures of a month.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    charter: CharterArgs,
    /// The month, such as 2026-11; without it, since the logs began
    #[arg(long, value_name = "MONTH")]
    month: Option<String>,
    /// Minutes that clocks there are ahead of UTC, by which the report tells night from day
    #[arg(long, value_name = "MINUTES", default_value_t = 0, allow_negative_numbers = true)]
    utc_offset_minutes: i16,
    /// One row a number: figure, key, count, number
    #[arg(long)]
    csv: bool,
    /// Folder that keeps the logs for the next time
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Follows the logs and counts.
pub(crate) async fn run(args: ReportArgs, screen: &Screen) -> Result<ExitKind> {
    let period = match &args.month {
        Some(month) => Period::Month(Month::parse(month).ok_or(Ended::usage("a month is written like 2026-11"))?),
        None => Period::All,
    };
    let zone = zone(args.utc_offset_minutes)?;
    if args.csv && screen.json() {
        return Err(Ended::usage("--csv and --json are two forms of one thing").into());
    }
    let charter = args.charter.charter(screen).await?;
    let scratch = if args.data.is_none() { Some(Scratch::new()?) } else { None };
    let folder = args.data.clone().or_else(|| scratch.as_ref().map(|scratch| scratch.path().to_path_buf()));
    let mut watch = Watch::new(charter, &folder.unwrap_or_default(), Reader::Monitor)?;
    tell_bundles(&watch)?;
    let at = now();
    let look = watch.look(at.0).await;
    let figures = watch.with_logs(|logs| Figures::of(logs, period, zone, at));
    let kind = look.exit_kind();
    let charter = watch.charter().charter();
    if screen.json() {
        let logs: Vec<_> = look.logs.iter().map(crate::verify::log_document).collect();
        screen.document(&json!({
            "schema": "lockplate/audit/1",
            "kind": "report",
            "owner": charter.owner.name,
            "figures": figures,
            "logs": logs,
            "alarms": look.alarms,
            "exit": kind.code(),
        }));
        return Ok(kind);
    }
    if args.csv {
        let mut csv = csv::Writer::from_writer(Vec::new());
        for row in figures.rows() {
            csv.serialize(row)?;
        }
        let text = csv.into_inner().map_err(|_memory| Ended::internal("the rows could not be written"))?;
        screen.line(String::from_utf8_lossy(&text).trim_end());
    } else {
        screen.heading(&format!("{}, {period}, as of {}", charter.owner.name, time_text(Timestamp(at.0))));
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(["figure", "of", "count", "number"]);
        for row in figures.rows() {
            let name = row_name(row.figure, figures.zone);
            table.add_row([name, row.key, row.count.to_owned(), row.number.to_string()]);
        }
        screen.line(&table.to_string());
    }
    // The figures are what the parties say; whoever reads them must know what speaks against it.
    for log in &look.logs {
        if let Err(error) = &log.seen {
            screen.note(&format!("{:<12} {}: {error}", "not counted", party(charter, &log.name)));
        }
    }
    for alarm in &look.alarms {
        screen.note(&alarm_line(charter, alarm));
    }
    Ok(kind)
}

/// A figure's name for people. What is night depends on the clock, so that row says by which one.
fn row_name(figure: &str, zone: ZoneOffset) -> String {
    if figure == "off_hours" { format!("{figure} (clock {zone})") } else { figure.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_night_is_shown_with_its_clock() {
        let zone = ZoneOffset::from_minutes(-300).unwrap();
        assert_eq!(row_name("off_hours", zone), "off_hours (clock UTC-05:00)");
        assert_eq!(row_name("requests", zone), "requests");
    }
}

//! `lockplate import FILE...`: files of reads into the running agency. A progress bar on a terminal, bad lines by number on
//! standard error, counts at the end; an interrupted import goes on where it stopped.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use lockplate_intake::own::Form;
use lockplate_node::import::{ImportPlan, ImportProgress, ImportReport};
use lockplate_node::shutdown::ExitKind;
use serde_json::json;

use crate::Globals;
use crate::agency::config_path;
use crate::desk_client::OwnAgency;
use crate::screen::Screen;

/// Bring files of reads in.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// NDJSON or CSV, plain, gzip or zstd
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Names of the fields
    #[arg(long, value_enum, default_value_t = Fields::Own)]
    fields: Fields,
    /// Format; without it by the name of the file
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Take only reads of cameras of this group
    #[arg(long, alias = "agency")]
    group: Option<String>,
    /// A state named without a confidence becomes part of the key
    #[arg(long)]
    trust_jurisdiction: bool,
    /// Camera list (CSV) to register first
    #[arg(long, value_name = "FILE")]
    cameras: Option<PathBuf>,
    /// Folder in which it is written down how far the import is
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
    /// Begin with the first line, whatever an earlier run reached
    #[arg(long)]
    restart: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Fields {
    /// time, camera, plate, state, ..
    Own,
    /// The traffic sample of this project
    Traffic,
    /// Results of fast-alpr, with camera and captured_at added
    FastAlpr,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One JSON object a line
    Ndjson,
    /// Comma-separated, with a header
    Csv,
    /// The same in Latin-1
    CsvLatin1,
}

/// Imports every file in turn.
pub(crate) async fn run(args: ImportArgs, globals: &Globals, screen: &Screen) -> Result<ExitKind> {
    let agency = OwnAgency::open(&config_path(globals))?;
    let client = agency.import_client()?;
    if let Some(cameras) = &args.cameras {
        let said = client.add_cameras(cameras).await?;
        screen.note(&format!("{} cameras added, {} were there before", said.added, said.known));
    }
    let mut reports = Vec::new();
    // A file of which nothing was good is most likely the wrong file, map or camera register.
    let mut nothing_good = false;
    for file in &args.files {
        let plan = ImportPlan {
            form: args.format.map(|format| match format {
                Format::Ndjson => Form::Ndjson,
                Format::Csv => Form::Csv { latin: false },
                Format::CsvLatin1 => Form::Csv { latin: true },
            }),
            fields: match args.fields {
                Fields::Own => "own".to_owned(),
                Fields::Traffic => "traffic".to_owned(),
                Fields::FastAlpr => "fast-alpr".to_owned(),
            },
            group: args.group.clone(),
            trust_jurisdiction: args.trust_jurisdiction,
            state_folder: args.state.clone(),
            restart: args.restart,
            ..ImportPlan::new(file.clone())
        };
        let bar = bar(screen);
        let report = client.import(&plan, |progress| advance(&bar, progress)).await;
        bar.finish_and_clear();
        let report = report?;
        tell(file, &report, screen);
        nothing_good |= report.rejected > 0 && report.accepted == 0 && report.duplicate == 0;
        reports.push(json!({ "file": file, "report": report }));
    }
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/import/1", "files": reports }));
    }
    Ok(if nothing_good { ExitKind::Problems } else { ExitKind::Done })
}

fn bar(screen: &Screen) -> ProgressBar {
    if !screen.draws() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let template = "{bar:30} {percent:>3} %  {msg}  {elapsed} gone, {eta} to go";
    // A template that does not parse is our own bug and no reason not to import.
    ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style))
}

fn advance(bar: &ProgressBar, progress: &ImportProgress) {
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes_done);
    bar.set_message(format!(
        "{} lines, {} sealed, {} refused",
        progress.lines_done, progress.accepted, progress.rejected
    ));
}

fn tell(file: &std::path::Path, report: &ImportReport, screen: &Screen) {
    for problem in &report.problems {
        let place = problem.pointer.as_deref().map_or_else(String::new, |pointer| format!(" at {pointer}"));
        screen.note(&format!("{}:{}: {}{place}", file.display(), problem.line, problem.r#type));
    }
    let listed = u64::try_from(report.problems.len()).unwrap_or(u64::MAX);
    if report.rejected > listed {
        screen.note(&format!("{}: {} more lines refused", file.display(), report.rejected.saturating_sub(listed)));
    }
    if screen.json() {
        return;
    }
    if let Some(line) = report.resumed_from {
        screen.line(&format!("{}: went on from line {line}", file.display()));
    }
    screen.line(&format!(
        "{}: {} lines: {} sealed, {} seen before, {} without a readable plate, {} of other groups, {} refused",
        file.display(),
        report.lines,
        report.accepted,
        report.duplicate,
        report.unreadable,
        report.skipped,
        report.rejected
    ));
}

//! `lockplate policy prove`: what the rules promise holds for every request there can be, or here is one for which it does not.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lockplate_core::vocabulary::State;
use lockplate_node::shutdown::ExitKind;
use lockplate_policy::Bundle;
use lockplate_prove::{Because, Cvc5, Failure, NoSolver, Progress, Prover, Report};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{NOT_ADVICE, Rules, hex_of, parse_state};
use crate::exit::Ended;
use crate::screen::Screen;

/// Prove what rules promise. Without a folder or a state: all shipped packs together
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// Folders with rules
    #[arg(value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// State whose shipped rules are meant, by its two letters; any number of times
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    state: Vec<State>,
    /// The rules of every state that has a pack, and all shipped packs together
    #[arg(long)]
    all: bool,
}

/// Proves each set and prints what fails.
pub(crate) fn run(args: &ProveArgs, screen: &Screen) -> Result<ExitKind> {
    let mut sets: Vec<Rules> = args.folders.iter().cloned().map(Rules::Folder).collect();
    sets.extend(args.state.iter().copied().map(Rules::State));
    // The small ones first: which requests their rules decide is then known to all packs together.
    if args.all {
        sets.extend(Bundle::states_with_a_pack().map(Rules::State));
    }
    if args.all || sets.is_empty() {
        sets.push(Rules::All);
    }
    // All sets are read before the first is proved: a minute of work must not end in a misspelt folder.
    let checked = sets.iter().map(|rules| Ok((rules.name(), rules.checked()?))).collect::<Result<Vec<_>>>()?;
    let cvc5 = solver()?;
    let version = cvc5.version().to_owned();
    let prover = Prover::new(cvc5);
    let mut documents = Vec::new();
    let mut failed = false;
    for (name, bundle) in &checked {
        let bar = bar(screen, name);
        let began = Instant::now();
        let report = prover.prove(bundle, &|progress| advance(&bar, progress));
        bar.finish_and_clear();
        let report = report.map_err(|error| Ended::internal(error.to_string()))?;
        let seconds = began.elapsed().as_secs();
        failed |= !report.failures.is_empty();
        if screen.json() {
            documents.push(document(name, &report, seconds));
        } else {
            tell(name, &report, seconds, screen);
        }
    }
    let kind = if failed { ExitKind::Problems } else { ExitKind::Done };
    if screen.json() {
        screen.document(&json!({
            "schema": "lockplate/policy/1",
            "kind": "prove",
            "solver": format!("cvc5 {version}"),
            "sets": documents,
            "exit": kind.code(),
        }));
    } else {
        screen.note(&format!(
            "Proved with cvc5 {version}. A proof is about these rules, not about the facts. {NOT_ADVICE}"
        ));
    }
    Ok(kind)
}

/// The solver that $CVC5 names, or the one on the PATH.
pub(super) fn solver() -> Result<Cvc5> {
    let named = std::env::var_os("CVC5").filter(|path| !path.is_empty());
    let program = named.clone().unwrap_or_else(|| OsString::from("cvc5"));
    Ok(Cvc5::at(&program).map_err(|error| {
        let where_looked = if named.is_some() { "the program that $CVC5 names" } else { "no cvc5 on the PATH" };
        let hint = match error {
            NoSolver::NotThere => "install it (Debian and Ubuntu: apt install cvc5), or name it in $CVC5",
            NoSolver::NotCvc5 => "name a cvc5 in $CVC5; other solvers are not used",
        };
        Ended::of(ExitKind::Unavailable, format!("{error}: {where_looked}\n{hint}"))
    })?)
}

fn tell(name: &str, report: &Report, seconds: u64, screen: &Screen) {
    let failed = report.failures.len();
    screen.heading(&format!("{name}: {} checks, {failed} failed, {seconds} s", report.checks));
    screen.line(&format!(
        "{} rules, {} properties; {} forbids looked at, {} declared to name a refusal only",
        report.rules, report.properties, report.forbids, report.redundant
    ));
    for failure in &report.failures {
        screen.line(&format!("\n{}", failure_words(failure)));
    }
}

/// A failure with its story.
fn failure_words(failure: &Failure) -> String {
    let about = failure.about.as_ref().map_or_else(String::new, |about| format!(" {about}"));
    let action = failure.action.as_ref().map_or_else(String::new, |action| format!(" ({action})"));
    let head = format!("FAILED {}{about}{action}: {}", failure.proof.sign(), failure.promise);
    match &failure.because {
        Because::Story(story) => {
            let lines: Vec<String> = story.lines().iter().map(|line| format!("  {line}")).collect();
            format!("{head}\n{}", lines.join("\n"))
        }
        Because::Empty(why) => format!("{head}\n  Why: {why}."),
        Because::Undecided(why) => format!("{head}\n  Not proved: {why}."),
    }
}

pub(super) fn failure_document(failure: &Failure) -> Value {
    let (story, why) = match &failure.because {
        Because::Story(story) => (Some(story.lines()), None),
        Because::Empty(why) => (None, Some((*why).to_owned())),
        Because::Undecided(why) => (None, Some(format!("not proved: {why}"))),
    };
    json!({
        "proof": failure.proof.sign(),
        "about": failure.about,
        "action": failure.action,
        "promise": failure.promise,
        "story": story,
        "why": why,
    })
}

fn document(name: &str, report: &Report, seconds: u64) -> Value {
    json!({
        "name": name,
        "digest": hex_of(&report.digest),
        "rules": report.rules,
        "properties": report.properties,
        "checks": report.checks,
        "forbids": report.forbids,
        "redundant": report.redundant,
        "seconds": seconds,
        "failures": report.failures.iter().map(failure_document).collect::<Vec<_>>(),
    })
}

fn bar(screen: &Screen, name: &str) -> ProgressBar {
    if !screen.draws() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    bar.set_message(name.to_owned());
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} questions  {msg}  {elapsed}");
    // A template that does not parse is our own bug and no reason not to prove.
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(u64::try_from(progress.planned).unwrap_or(u64::MAX));
    bar.set_position(u64::try_from(progress.done).unwrap_or(u64::MAX));
}

//! `lockplate agency alerts`: an officer's terminal for alerts. It shows what comes, opens one alert, and says what the officer has seen,
//! asked and done. There is no way from here to a search: whoever wants reads of the past files a request.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use lockplate_core::entry::Disposition;
use lockplate_core::hotlist::alert::{AlertContent, AlertText, BANNER, Given};
use lockplate_core::json::{parse_time, time_text};
use lockplate_core::plate::Jurisdiction;
use lockplate_intake::jurisdiction;
use lockplate_intake::vehicle;
use lockplate_node::alerts::terminal::Terminal;
use lockplate_node::alerts::wire::{
    AlertEvent, AlertLine, AlertOpened, CheckedBy, Said, SeenWhere, StepTaken, alert_id,
};
use lockplate_node::client::{CallLimits, PeerError};
use lockplate_node::clock::SystemClock;
use lockplate_node::problem::ProblemKind;
use lockplate_node::settings::create_secret_file;
use lockplate_node::shutdown::ExitKind;
use serde_json::json;
use zeroize::Zeroizing;

use crate::Globals;
use crate::agency::now;
use crate::exit::Ended;
use crate::owner_code::read_plate_words;
use crate::screen::Screen;
use crate::search::OwnDesk;

/// A stream is begun again after so long.
const STREAM_MAX: Duration = Duration::from_secs(20 * 60);
/// Pause before the desk is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Watch alerts, look at them, and say what became of them.
#[derive(Debug, Args)]
pub(crate) struct AlertsArgs {
    #[command(subcommand)]
    task: Option<AlertsTask>,
}

#[derive(Debug, Subcommand)]
enum AlertsTask {
    /// Show alerts as they come, from the oldest that waits (what happens without a subcommand)
    Watch,
    /// Show all that one alert says; each look is on record
    Show {
        #[command(flatten)]
        alert: AlertArg,
        /// Where the picture of the plate goes
        #[arg(long, value_name = "FILE")]
        crop: Option<PathBuf>,
    },
    /// Say which plate and state you see; another one than listed rejects the alert
    Look(LookArgs),
    /// Say what the source of the entry answered
    Confirm(ConfirmArgs),
    /// Say how the alert ended
    Close {
        #[command(flatten)]
        alert: AlertArg,
        /// recovered, arrest, located_safe, checked_no_action, misread, wrong_state, wrong_vehicle, stale_entry, lost, not_followed_up, duplicate
        #[arg(long = "as", value_name = "DISPOSITION")]
        disposition: String,
        /// Whether somebody was stopped
        #[arg(long, value_enum)]
        stopped: YesNo,
    },
}

#[derive(Debug, Args)]
struct AlertArg {
    /// Number of the alert, 32 digits
    alert: String,
}

#[derive(Debug, Args)]
struct LookArgs {
    #[command(flatten)]
    alert: AlertArg,
    /// The plate as you see it. For trials: other users of this machine can see it
    #[arg(long, required_unless_present = "plate_file", conflicts_with = "plate_file")]
    plate: Option<String>,
    /// File that holds the plate and nothing else; - reads standard input
    #[arg(long, value_name = "FILE")]
    plate_file: Option<PathBuf>,
    /// Its state or country as you see it, such as US-CT; left out where it cannot be made out
    #[arg(long)]
    state: Option<String>,
    /// Where you see it
    #[arg(long, value_enum)]
    seen: Seen,
}

#[derive(Debug, Args)]
struct ConfirmArgs {
    #[command(flatten)]
    alert: AlertArg,
    /// The source's reference for its answer; with --who
    #[arg(long, requires = "who", required_unless_present_any = ["case_officer", "supervisor"])]
    reference: Option<String>,
    /// Who answered
    #[arg(long, requires = "reference")]
    who: Option<String>,
    /// When, such as 2026-11-22T14:00:00Z; without it now
    #[arg(long, value_name = "TIME", requires = "reference")]
    at: Option<String>,
    /// You are the officer whose case a custom entry is
    #[arg(long, conflicts_with_all = ["reference", "supervisor"])]
    case_officer: bool,
    /// You are a supervisor, and it is a custom entry
    #[arg(long, conflicts_with = "reference")]
    supervisor: bool,
    /// The entry does not hold any more
    #[arg(long)]
    not_confirmed: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Seen {
    /// On the picture of the plate
    Crop,
    /// On the road
    Road,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum YesNo {
    /// Somebody was stopped
    Yes,
    /// Nobody was
    No,
}

/// Carries out one task.
pub(crate) async fn run(args: AlertsArgs, globals: &Globals, screen: &Screen) -> Result<ExitKind> {
    let task = args.task.unwrap_or(AlertsTask::Watch);
    // Wrong words are said before a configuration is looked for.
    let said = said(&task)?;
    let path = globals.config.clone().unwrap_or_else(|| PathBuf::from("officer.toml"));
    let reads_plate = matches!(&task, AlertsTask::Look(look) if look.plate_file.as_deref() == Some(Path::new("-")));
    let (terminal, has_passcode) = sign_in(&path, reads_plate).await?;
    match (&task, said) {
        (AlertsTask::Watch, _) => watch(terminal, has_passcode.then_some(&path), screen).await,
        (AlertsTask::Show { alert, crop }, _) => show(&terminal, alert, crop.as_deref(), screen).await,
        (AlertsTask::Look(LookArgs { alert, .. }), Some(said))
        | (AlertsTask::Confirm(ConfirmArgs { alert, .. }), Some(said))
        | (AlertsTask::Close { alert, .. }, Some(said)) => {
            let content = content_of(&terminal.show(&alert.alert).await.map_err(explained)?)?;
            check(&content, &said)?;
            let line = terminal.step(&content.text, said).await.map_err(explained)?;
            show_line(&line, screen);
            Ok(ExitKind::Done)
        }
        (AlertsTask::Look(_) | AlertsTask::Confirm(_) | AlertsTask::Close { .. }, None) => {
            Err(Ended::internal("a step without words").into())
        }
    }
}

/// What a task says of an alert; none of one that says nothing.
fn said(task: &AlertsTask) -> Result<Option<Said>> {
    let alert = match task {
        AlertsTask::Watch => return Ok(None),
        AlertsTask::Show { alert, .. } | AlertsTask::Close { alert, .. } => alert,
        AlertsTask::Look(look) => &look.alert,
        AlertsTask::Confirm(confirm) => &confirm.alert,
    };
    if alert_id(&alert.alert).is_none() {
        return Err(Ended::usage("an alert's number has 32 hexadecimal digits").into());
    }
    Ok(match task {
        AlertsTask::Watch | AlertsTask::Show { .. } => None,
        AlertsTask::Look(look) => Some(look.said()?),
        AlertsTask::Confirm(confirm) => Some(confirm.said()?),
        AlertsTask::Close { disposition, stopped, .. } => {
            if Disposition::from_name(disposition).is_none() {
                return Err(Ended::usage("--as: not a disposition of the list; see --help").into());
            }
            Some(Said::Close { disposition: disposition.clone(), stopped: *stopped == YesNo::Yes })
        }
    })
}

impl LookArgs {
    fn said(&self) -> Result<Said> {
        let state = self.state.as_deref().map(jurisdiction::written).transpose();
        let state = state.map_err(|no_code| Ended::usage(format!("--state: {}", no_code.hint())))?;
        let plate = match &self.plate_file {
            Some(file) => read_plate_words(file)?,
            None => Zeroizing::new(self.plate.clone().unwrap_or_default()),
        };
        let on = match self.seen {
            Seen::Crop => SeenWhere::Crop,
            Seen::Road => SeenWhere::Road,
        };
        let state = state.as_ref().map(Jurisdiction::code).map(str::to_owned);
        let said = Said::Look { plate: plate.trim().to_owned(), state, on };
        if said.meant().is_none() {
            return Err(Ended::usage("--plate: no letter or digit in it").into());
        }
        Ok(said)
    }
}

impl ConfirmArgs {
    fn said(&self) -> Result<Said> {
        let by = match (&self.reference, &self.who) {
            (Some(reference), Some(who)) => {
                let at = match self.at.as_deref() {
                    None => now(),
                    Some(text) => parse_time(text)
                        .ok_or_else(|| Ended::usage("--at: expected a time such as 2026-11-22T14:00:00Z"))?,
                };
                CheckedBy::Source { reference: reference.clone(), who: who.clone(), at: time_text(at) }
            }
            (Some(_) | None, _) if self.case_officer => CheckedBy::CaseOfficer,
            (Some(_) | None, _) => CheckedBy::Supervisor,
        };
        Ok(Said::LiveCheck { confirmed: !self.not_confirmed, by })
    }
}

/// Signed in, and whether that goes without a person: the passcode is in a file.
async fn sign_in(path: &Path, reads_plate: bool) -> Result<(Terminal, bool)> {
    let limits = CallLimits { total: STREAM_MAX, ..CallLimits::default() };
    let OwnDesk { client, key, passcode_file, .. } = OwnDesk::open(path, limits)?;
    if reads_plate && passcode_file.is_none() {
        let what = "standard input is the plate: set `passcode_file` in officer.toml, or name a file for the plate";
        return Err(Ended::usage(what).into());
    }
    let passcode = crate::agency::passcode(passcode_file.as_deref())?;
    let terminal = Terminal::sign_in(client, key, &passcode, Arc::new(SystemClock::new())).await;
    Ok((terminal.map_err(explained)?, passcode_file.is_some()))
}

/// Shows events until somebody ends it. A desk that is away is tried again, from where it was. One that was started anew knows no shifts:
/// with the passcode in a file (`again` is the configuration) the terminal signs in once more, as long as its shift would have lasted.
async fn watch(mut terminal: Terminal, again: Option<&PathBuf>, screen: &Screen) -> Result<ExitKind> {
    let until = terminal.until();
    if !screen.json() {
        screen.heading(BANNER);
    }
    let (mut after, mut told) = (None, false);
    loop {
        let ended = follow(&terminal, &mut after, screen).await;
        match ended {
            Ok(()) => told = false,
            Err(PeerError::Unreachable | PeerError::TimedOut) => {
                if !core::mem::replace(&mut told, true) {
                    screen.note("The desk cannot be reached; trying again.");
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) if error.problem() == Some(ProblemKind::Rate) => {
                return Err(Ended::of(ExitKind::Refused, "you watch at as many terminals as one may: end one").into());
            }
            Err(error) => match again {
                Some(path) if error.problem() == Some(ProblemKind::NotSignedIn) && now() < until => {
                    terminal = sign_in(path, false).await?.0;
                    screen.note("The desk has ended the shift; signed in again.");
                }
                Some(_) | None => return Err(explained(error)),
            },
        }
    }
}

async fn follow(terminal: &Terminal, after: &mut Option<u64>, screen: &Screen) -> Result<(), PeerError> {
    let mut events = terminal.events(*after).await?;
    while let Some((name, event)) = events.next().await? {
        *after = events.number();
        if screen.json() {
            screen.document(&json!({ "schema": "lockplate/agency/1", "event": name, "alert": event }));
        } else {
            screen.line(&event_line(&name, &event));
        }
    }
    Ok(())
}

fn event_line(name: &str, event: &AlertEvent) -> String {
    let what = match name {
        "alert" => matched_words(&event.matched),
        "escalated" if event.state == "raised" => "NOBODY HAS LOOKED YET",
        "escalated" => "NOBODY HAS SAID HOW IT ENDED",
        "stale" => "entry out of date; its agency is told",
        _ => event.state.as_str(),
    };
    let place = event.place.as_deref().unwrap_or("-");
    format!("{}  {}  {}  {what}  {}", event.raised_at, event.class, plain(place), event.id)
}

fn matched_words(matched: &str) -> &str {
    match matched {
        "plate_and_state" => "plate and state",
        "plate_only" => "plate alone: state not read, check it first",
        "possible_misread" => "possible misread: the texts differ",
        other => other,
    }
}

async fn show(terminal: &Terminal, alert: &AlertArg, crop: Option<&Path>, screen: &Screen) -> Result<ExitKind> {
    let opened = terminal.show(&alert.alert).await.map_err(explained)?;
    let content = content_of(&opened)?;
    if let Some(path) = crop {
        if content.crop.is_empty() {
            screen.note("There is no picture of the plate: look on the road.");
        } else {
            // Closed to everybody else, and never over another file.
            create_secret_file(path, &content.crop)?;
        }
    }
    if screen.json() {
        let (alert, text) = (&opened.alert, &opened.text);
        screen.document(
            &json!({ "schema": "lockplate/agency/1", "alert": alert, "text": text, "steps": opened.steps, "crop": crop }),
        );
        return Ok(ExitKind::Done);
    }
    screen.heading(&content.text.banner);
    lines_of(&opened.alert, &content.text).iter().for_each(|line| screen.line(line));
    opened.steps.iter().for_each(|step| screen.line(&step_line(step)));
    Ok(ExitKind::Done)
}

/// Everything that an alert says, one thing a line. Nothing is left out: what is not known is said to be.
fn lines_of(alert: &AlertLine, text: &AlertText) -> Vec<String> {
    let (entry, read, law) = (&text.entry, &text.read, &text.law);
    let state = |state: Option<Jurisdiction>| state.map_or_else(|| "not known".to_owned(), |one| one.code().to_owned());
    let conf =
        |conf: Given| conf.0.map_or_else(|| "not said".to_owned(), |conf| format!("{}.{} %", conf / 10, conf % 10));
    let car = |class: Given, make: Given, colour: Given| {
        let word = |list, code: Given| code.0.and_then(|code| vehicle::name_of(list, code)).unwrap_or("?");
        let (class, make) = (word(vehicle::CLASSES, class), word(vehicle::MAKES, make));
        format!("{class}, {make}, {}", word(vehicle::COLOURS, colour))
    };
    let live = if text.live { "live" } else { "NOT LIVE" };
    let mut lines = vec![
        format!("alert      {} {} (hit {} times)", alert.id, alert.state, alert.count),
        format!("match      {} ({live})", matched_words(text.matched.name())),
    ];
    lines.extend(text.remarks.iter().map(|remark| format!("           ! {}", plain(remark))));
    lines.extend([
        format!("listed     {} of {}: {}", plain(&entry.plate), state(entry.jurisdiction), entry.class.name()),
        format!("           {}", car(entry.vehicle_class, entry.vehicle_make, entry.vehicle_colour)),
        format!("read       {} of {}", plain(&read.plate), state(read.jurisdiction)),
        format!("           {}", car(read.vehicle_class, read.vehicle_make, read.vehicle_colour)),
        format!("           confidence: plate {}, state {}", conf(read.conf), conf(read.jurisdiction_conf)),
        format!("where      camera {}, {}, {}", read.camera, plain(&read.place), read.motion.name()),
        format!("when       {} ({})", plain(&read.captured_at), read.time_quality.name()),
        format!("entry      {} {}, offence {}", entry.origin.name(), plain(&entry.entry_id), entry.offence.name()),
        format!("           file {}, basis {}", plain(&entry.source_file), entry.basis.name()),
        format!("           case {}, agency {}", plain(&entry.case), plain(&entry.agency)),
        format!("           entered {} days ago, expires {}", entry.age_days, time_text(entry.expires_at)),
        format!("           list made {} hours ago", entry.list_age_hours),
        format!("note       {}", plain(&entry.note)),
        format!("law        plate and state confirmed by eye: {}", yes_no(law.visual_confirmation)),
        format!("           an alert alone is no suspicion: {}", yes_no(law.no_suspicion)),
        format!("           kept {} days; rules {}", law.retain_days, plain(&law.rules.join(", "))),
        format!("deadlines  look by {}, say how it ended by {}", time_text(text.look_by), time_text(text.dispose_by)),
    ]);
    lines
}

fn step_line(step: &StepTaken) -> String {
    let words = match &step.said {
        Said::Look { plate, state, on } => {
            let on = match on {
                SeenWhere::Crop => "picture",
                SeenWhere::Road => "road",
            };
            format!("seen on the {on}: {} of {}", plate, state.as_deref().unwrap_or("no state made out"))
        }
        Said::LiveCheck { confirmed, by } => {
            let by = match by {
                CheckedBy::Source { reference, who, at } => format!("{who}, reference {reference}, {at}"),
                CheckedBy::CaseOfficer => "the case officer".to_owned(),
                CheckedBy::Supervisor => "a supervisor".to_owned(),
            };
            format!("{} by {by}", if *confirmed { "confirmed" } else { "NOT confirmed" })
        }
        Said::Close { disposition, stopped } => format!("closed as {disposition}; stopped: {}", yes_no(*stopped)),
    };
    format!("step       {} {}", step.at, plain(&words))
}

const fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A text of somebody else's without what would move a terminal's cursor.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn show_line(line: &AlertLine, screen: &Screen) {
    if screen.json() {
        return screen.document(&json!({ "schema": "lockplate/agency/1", "alert": line }));
    }
    match (line.state.as_str(), line.disposition.as_deref()) {
        ("looked", _) => {
            screen.line("It is the plate that is listed. Now confirm the entry at its source: alerts confirm")
        }
        ("verified", _) => screen.line("Verified. Say how it ends within 72 hours: alerts close"),
        ("rejected", Some(reason)) => {
            screen.line(&format!("REJECTED as {reason}: nothing may be done on this alert. Close it as {reason}."));
        }
        ("closed", Some(how)) => screen.line(&format!("Closed as {how}.")),
        (state, _) => screen.line(state),
    }
}

fn content_of(opened: &AlertOpened) -> Result<AlertContent> {
    let content = opened.content();
    Ok(content.ok_or_else(|| {
        Ended::of(ExitKind::Unavailable, "the desk shows an alert in another form than this release knows")
    })?)
}

/// What the desk would refuse in fewer words.
fn check(content: &AlertContent, said: &Said) -> Result<()> {
    if let Said::Look { state, on, .. } = said {
        if *on == SeenWhere::Crop && content.crop.is_empty() {
            return Err(Ended::usage("--seen: there is no picture of the plate; look on the road").into());
        }
        if state.is_none() && content.text.entry.jurisdiction.is_some() {
            return Err(Ended::usage("--state: the entry names a state, so the state must be seen as well").into());
        }
    }
    Ok(())
}

/// What the desk's no means here.
fn explained(error: PeerError) -> anyhow::Error {
    let (kind, what) = match error.problem() {
        Some(ProblemKind::NotSignedIn) => {
            (ExitKind::Refused, "not signed in: key, passcode or clock do not fit, or the shift is over")
        }
        Some(ProblemKind::Lapsed) => (ExitKind::Refused, "you are not in service, or your training is over"),
        Some(ProblemKind::Refused) => {
            let rule = if let PeerError::Problem(problem) = &error { problem.rule() } else { None };
            let what = format!("the policy does not let you read this hit: {}", rule.unwrap_or("no rule allows it"));
            return Ended::of(ExitKind::Refused, what).into();
        }
        Some(ProblemKind::Conflicting) => (
            ExitKind::Refused,
            "the alert does not wait for this: it is expired or closed, or somebody was faster; see alerts show",
        ),
        Some(ProblemKind::Invalid) => (
            ExitKind::Refused,
            "this does not hold for this alert: another disposition than it was rejected for, an answer from before the read, or a person who may not confirm it",
        ),
        Some(ProblemKind::NotFound) => (ExitKind::Refused, "there is no such alert, or it is erased"),
        Some(_) | None => return error.into(),
    };
    Ended::of(kind, what).into()
}

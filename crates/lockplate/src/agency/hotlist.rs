//! `lockplate agency hotlist`: what a steward, and whoever has a case, does with lists. Plates are read from standard input or a file and
//! written nowhere. With `--at` a list is matched at another agency's recorder ([`elsewhere`]).

mod elsewhere;
mod file;
mod settings;

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::load::LoadMode;
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::hotlist::steward::{ListConfig, LoadOrder, OrderedDelivery};
use lockplate_core::id::AgencyId;
use lockplate_core::json::{parse_time, time_text};
use lockplate_core::person::ByPerson;
use lockplate_core::vocabulary::{Basis, Offence};
use lockplate_intake::hotlist_file::never_loaded_name;
use lockplate_node::client::CallLimits;
use lockplate_node::hotlist::{HEADER_ORDERS, ListHealth, ListsHealth, LoadReport, orders_value};
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::search::read_person_key;
use lockplate_node::shift::SignedIn;
use lockplate_node::shutdown::ExitKind;
use rand_core::Rng as _;
use serde_json::json;
use zeroize::Zeroizing;

use self::elsewhere::Elsewhere;
use self::file::ListFile;
use self::settings::{ChangeArgs, NewArgs, SharedArg};
use super::{now, passcode};
use crate::Globals;
use crate::exit::Ended;
use crate::load_order::OrderFile;
use crate::screen::Screen;
use crate::search::{OwnDesk, PinnedOwner, hex_of, usage};

const DAY: u64 = 86_400;
/// Why entries of the agency's own are dropped.
const NOT_LET_IN: &str =
    "a supervisor must sign for entries of the agency's own (--second), and the rules must let them in";

/// Register, load and end hot lists.
#[derive(Debug, Args)]
pub(crate) struct HotlistArgs {
    #[command(subcommand)]
    task: HotlistTask,
}

#[derive(Debug, Subcommand)]
enum HotlistTask {
    /// Register a list, with you as its steward
    New(NewArgs),
    /// Sign other settings of a list; they hold from its next load on. A supervisor becomes its steward by it
    Change(ChangeArgs),
    /// Load a file
    Load(LoadArgs),
    /// Put one plate on a list of the agency's own; the plate is read from standard input
    Add(AddArgs),
    /// Take one entry off a list of the agency's own
    Remove {
        /// Name of the list
        #[arg(long)]
        list: String,
        /// Id of the entry, as `add` printed it
        #[arg(long)]
        entry: String,
        /// Key file of a supervisor, where neither the list nor the entry is yours
        #[arg(long, value_name = "FILE")]
        second: Vec<PathBuf>,
    },
    /// Show the lists and what is in force
    List {
        #[command(flatten)]
        there: AtArg,
    },
    /// End a list: nothing of it is matched or kept from then on
    Retire {
        /// Name of the list
        #[arg(long)]
        list: String,
        #[command(flatten)]
        there: AtArg,
    },
}

#[derive(Debug, Args)]
struct AtArg {
    /// At the recorder of this owner of officer.toml, by name or id, whose charter names your agency; without it at the own one
    #[arg(long, value_name = "NAME|ID")]
    at: Option<String>,
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// The file
    file: PathBuf,
    /// Name of the list
    #[arg(long)]
    list: String,
    /// Key file of a second person, for a load that grew or has entries of the agency's own
    #[arg(long, value_name = "FILE")]
    second: Vec<PathBuf>,
    /// Number of the load, where the file's format does not say it
    #[arg(long)]
    sequence: Option<u64>,
    /// When its source made it, where the format does not say it; now if absent
    #[arg(long, value_name = "TIME")]
    produced_at: Option<String>,
    /// The load before, of a file that only says what changed
    #[arg(long)]
    base: Option<u64>,
    /// The whole file is of entries to take off
    #[arg(long)]
    removes: bool,
    /// The source's own name of the file: it counts as the file of every line, and of one that nobody loads nothing is loaded
    #[arg(long, default_value = "")]
    source_file: String,
    /// Load nothing; write here what a human keeper signs with `lockplate sign load`
    #[arg(long, value_name = "FILE", conflicts_with = "order")]
    ask: Option<PathBuf>,
    /// What a human keeper signed: more than five plates of one case need it
    #[arg(long, value_name = "FILE")]
    order: Option<PathBuf>,
    #[command(flatten)]
    there: AtArg,
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Name of the list
    #[arg(long)]
    list: String,
    /// State of the plate, such as US-CT; left out only if nobody knows it
    #[arg(long)]
    state: Option<String>,
    /// Case number
    #[arg(long)]
    case: String,
    /// Legal basis: reasonableSuspicion, courtOrder, searchWarrant, statutoryDuty
    #[arg(long)]
    basis: String,
    /// Class of the offence: none, felony, grossMisdemeanor, misdemeanor, infraction
    #[arg(long, default_value = "none")]
    offence: String,
    /// ORI of your agency
    #[arg(long)]
    ori: String,
    /// Days until it ends, at most 30
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// No alert where the camera did not read the state
    #[arg(long)]
    state_required: bool,
    /// Also match texts that a camera may read for it
    #[arg(long)]
    near: bool,
    /// For whoever looks at the alert, at most 200 characters
    #[arg(long, default_value = "")]
    note: String,
    /// Key file of the supervisor who signs it
    #[arg(long, value_name = "FILE")]
    second: PathBuf,
}

/// Carries out one task.
pub(crate) async fn run(mut args: HotlistArgs, globals: &Globals, screen: &Screen) -> Result<ExitKind> {
    let limits = CallLimits { total: Duration::from_secs(900), ..CallLimits::default() };
    let path = globals.config.clone().unwrap_or_else(|| PathBuf::from("officer.toml"));
    // Wrong words are said before anybody signs in.
    match &args.task {
        HotlistTask::New(new) => new.check()?,
        HotlistTask::Change(change) => change.check()?,
        HotlistTask::Load(_)
        | HotlistTask::Add(_)
        | HotlistTask::Remove { .. }
        | HotlistTask::List { .. }
        | HotlistTask::Retire { .. } => {}
    }
    let OwnDesk { client, key, agency, passcode_file } = OwnDesk::open(&path, limits)?;
    let owner = args.task.at().map(|at| PinnedOwner::find(&path, at)).transpose()?;
    owner.iter().try_for_each(|owner| elsewhere::check(owner, agency))?;
    // An own charter that officer.toml does not name is the recorder's to hold against it.
    let own = if owner.is_none() { PinnedOwner::find(&path, &agency.to_string()).ok() } else { None };
    owner.iter().chain(&own).try_for_each(|owner| settings::bound_entries(&mut args.task, owner))?;
    if passcode_file.is_none() && matches!(args.task, HotlistTask::Add(_)) {
        return Err(Ended::usage("standard input is the plate: set `passcode_file` in officer.toml").into());
    }
    let passcode = passcode(passcode_file.as_deref())?;
    let officer = match SignedIn::sign_in(client, key, &passcode, now()).await {
        Err(error) if owner.is_some() && error.problem() == Some(ProblemKind::NotFound) => {
            return Err(elsewhere::no_alert_key().into());
        }
        officer => officer?,
    };
    let there = match owner {
        Some(owner) => Some(Elsewhere::open(owner, &officer, passcode, limits).await?),
        None => None,
    };
    let steward = Steward { officer, agency, there };
    match args.task {
        HotlistTask::New(new) => steward.register(&new, screen).await,
        HotlistTask::Change(change) => steward.sign_anew(&change, screen).await,
        HotlistTask::Load(load) => steward.load_file(&load, screen).await,
        HotlistTask::Add(add) => steward.add(&add, screen).await,
        HotlistTask::Remove { list, entry, second } => steward.remove(&list, &entry, &second, screen).await,
        HotlistTask::List { .. } => steward.list(screen).await,
        HotlistTask::Retire { list, .. } => steward.retire(&list, screen).await,
    }
}

impl HotlistTask {
    /// The owner at whose recorder it is done, if not at the own one.
    fn at(&self) -> Option<&str> {
        match self {
            Self::New(NewArgs { shared: SharedArg { there, .. }, .. })
            | Self::Change(ChangeArgs { shared: SharedArg { there, .. }, .. })
            | Self::Load(LoadArgs { there, .. })
            | Self::List { there }
            | Self::Retire { there, .. } => there.at.as_deref(),
            Self::Add(_) | Self::Remove { .. } => None,
        }
    }
}

struct Steward {
    officer: SignedIn,
    agency: AgencyId,
    /// None: at the own recorder.
    there: Option<Elsewhere>,
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRng.fill_bytes(&mut bytes);
    bytes
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))
}

impl Steward {
    async fn lists(&self) -> Result<ListsHealth> {
        match &self.there {
            // Reads that were compared with nothing are the other recorder's business.
            Some(there) => Ok(ListsHealth { lists: there.lists(&self.officer).await?, not_compared: 0 }),
            None => Ok(self.officer.get("/v1/hotlists").await?),
        }
    }

    async fn named(&self, name: &str) -> Result<(ListHealth, ByPerson<ListConfig>)> {
        let named = |list: &ListHealth| list.list == name && list.state != "retired";
        let found = self.lists().await?.lists.into_iter().find(named);
        let found = found.ok_or_else(|| Ended::usage(format!("{name}: no list of this name is registered")))?;
        let signed = ByPerson::<ListConfig>::from_bytes(&found.config.0)?;
        if let Some(there) = &self.there {
            there.check_steward(&signed, self.agency, &self.officer)?;
        }
        Ok((found, signed))
    }

    async fn load_file(&self, args: &LoadArgs, screen: &Screen) -> Result<ExitKind> {
        let (_, signed) = self.named(&args.list).await?;
        let config = signed.claimed();
        let file = ListFile::open(&args.file)?;
        if let Some(there) = &self.there {
            // Whoever signs for the file must stand in the directory that is known there.
            there.say(&self.officer, &signed, None, None).await?;
        }
        if let Some(path) = &args.order {
            let OrderFile { order, signed } = OrderFile::read(path)?;
            return Ok(self.show(&self.bring(order, file, (&args.second, signed)).await?, screen));
        }
        // A file of a name that nobody loads is that file, whatever it is called here.
        let name = args.file.file_name().unwrap_or_default().to_string_lossy();
        let source_file = never_loaded_name(&name).unwrap_or(&args.source_file);
        // The own format says all of it but its source's name for the file.
        let is_own = config.template == [0; 32];
        let is_said = is_own && source_file.is_empty();
        let delivery = if is_said { None } else { Some(delivery(args, source_file, is_own.then_some(0))?) };
        let order = order_for(config, &file, delivery);
        if let Some(path) = &args.ask {
            OrderFile { order, signed: Vec::new() }.write(path)?;
            screen.line(&format!(
                "Hand {} and the file to a human keeper, who signs with `lockplate sign load`; then load the file with --order.",
                path.display()
            ));
            return Ok(ExitKind::Done);
        }
        Ok(self.show(&self.bring(order, file, (&args.second, Vec::new())).await?, screen))
    }

    async fn bring(
        &self,
        order: LoadOrder,
        file: ListFile,
        (seconds, signed): (&[PathBuf], Vec<ByPerson<LoadOrder>>),
    ) -> Result<LoadReport> {
        let mut orders = vec![ByPerson::with_key(self.officer.key(), order.clone())];
        for second in seconds {
            orders.push(ByPerson::with_key(&read_person_key(second)?, order.clone()));
        }
        orders.extend(signed);
        let value = orders_value(&orders).ok_or_else(|| usage("--second", "at most three people beside you"))?;
        let path = format!("/v1/hotlists/{}/loads", hex_of(&order.list));
        let Some(there) = &self.there else {
            let mut headers = self.officer.headers();
            headers.insert(HEADER_ORDERS, value);
            let answer = self.officer.client().post_with(&path, headers, file.body().await?).await?;
            return Ok(serde_json::from_slice(&answer)?);
        };
        there.bring(&path, value, file.body().await?).await
    }

    /// Says what became of a file.
    fn show(&self, report: &LoadReport, screen: &Screen) -> ExitKind {
        let ended = show(report, screen);
        let Some(there) = &self.there else { return ended };
        if report.state == "live" && report.entries == 0 && report.classes.iter().any(|class| class.dropped > 0) {
            screen.note(&format!(
                "The rules of {} let nothing of it be matched. A federal agency's list needs a judge's order, for which there is no way yet.",
                there.name()
            ));
            return ExitKind::Refused;
        }
        ended
    }

    /// A load of one line, made in memory.
    async fn change(
        &self,
        list: &str,
        lines: &[serde_json::Value],
        seconds: &[PathBuf],
        screen: &Screen,
    ) -> Result<ExitKind> {
        let (health, signed) = self.named(list).await?;
        let config = signed.claimed();
        if config.settings.kind != SetKind::Custom || config.template != [0; 32] {
            return Err(usage("--list", "a custom list whose files come in the own format").into());
        }
        // The first load is the list; every other one says what changes.
        let is_first = health.state == "absent" && health.sequence == 0;
        if is_first && lines.iter().any(|line| line["op"] == "remove") {
            return Err(Ended::of(ExitKind::Refused, format!("{list}: no entry is in this list")).into());
        }
        let mut header = json!({
            "list": config.name,
            "mode": if is_first { "full" } else { "incremental" },
            "sequence": health.sequence.saturating_add(1),
            "produced_at": time_text(now()),
            "entries": lines.len(),
        });
        if !is_first && let Some(header) = header.as_object_mut() {
            header.insert("base".to_owned(), health.sequence.into());
        }
        let mut file = Zeroizing::new(format!("{header}\n").into_bytes());
        for line in lines {
            file.extend_from_slice(format!("{line}\n").as_bytes());
        }
        let file = ListFile::InMemory(file);
        let report = self.bring(order_for(config, &file, None), file, (seconds, Vec::new())).await?;
        let ended = self.show(&report, screen);
        // A load of several lines says it of each class; whoever asked for one line hears why it is not taken.
        if let Some(why) = why_nothing(&report) {
            screen.error(&format!("nothing changes: {why}"));
            return Ok(ExitKind::Refused);
        }
        Ok(ended)
    }

    async fn add(&self, args: &AddArgs, screen: &Screen) -> Result<ExitKind> {
        Basis::from_name(&args.basis).ok_or_else(|| usage("--basis", "one of those of --help"))?;
        Offence::from_name(&args.offence).ok_or_else(|| usage("--offence", "one of those of --help"))?;
        let mut plate = Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut plate).context("standard input cannot be read")?;
        let entry = hex_of(&random::<8>());
        let expires = Timestamp(now().0.saturating_add(args.days.saturating_mul(DAY)));
        let line = json!({
            "entry_id": entry,
            "plate": plate.trim(),
            "jurisdiction": args.state,
            "class": "custom",
            "source_file": "",
            "offence": args.offence,
            "entered_at": time_text(now()),
            "expires_at": time_text(expires),
            "case": args.case,
            "basis": args.basis,
            "agency": args.ori,
            "state_required": args.state_required,
            "variants": if args.near { "near" } else { "none" },
            "note": args.note,
        });
        let ended = self.change(&args.list, &[line], std::slice::from_ref(&args.second), screen).await?;
        // What waits for the log takes effect by itself.
        if matches!(ended, ExitKind::Done | ExitKind::Unavailable) {
            screen.note(&format!("The entry's id is {entry}."));
        }
        Ok(ended)
    }

    async fn remove(&self, list: &str, entry: &str, seconds: &[PathBuf], screen: &Screen) -> Result<ExitKind> {
        let line = json!({ "entry_id": entry, "op": "remove" });
        self.change(list, &[line], seconds, screen).await
    }

    async fn list(&self, screen: &Screen) -> Result<ExitKind> {
        let ListsHealth { lists, not_compared } = self.lists().await?;
        if not_compared > 0 {
            screen.note(&format!("Alarm: {not_compared} reads were compared with no list, because too many waited."));
        }
        if screen.json() {
            screen.document(&json!({ "schema": "lockplate/hotlist/1", "lists": lists, "not_compared": not_compared }));
            return Ok(ExitKind::Done);
        }
        for list in &lists {
            let made = if list.produced_at == 0 {
                String::new()
            } else {
                format!(", made {}", time_text(Timestamp(list.produced_at)))
            };
            let number = if list.sequence == 0 { String::new() } else { format!(", load {}", list.sequence) };
            screen
                .line(&format!("{}  {}  {}  {} entries{number}{made}", list.list, list.kind, list.state, list.entries));
            for (class, n) in &list.classes {
                screen.line(&format!("    {class}: {n}"));
            }
            if list.waits {
                screen
                    .line("    a change of it is logged, and takes effect once the log's witnesses have confirmed it");
            }
            if let Some(alarm) = &list.alarm {
                screen.line(&format!("    alarm: {alarm}"));
            }
            if let Some(why) = &list.refused {
                screen.line(&format!("    the last file was not taken: {why}"));
            }
        }
        if lists.is_empty() {
            screen.line("No list is registered.");
        }
        Ok(ExitKind::Done)
    }
}

fn order_for(config: &ListConfig, file: &ListFile, delivery: Option<OrderedDelivery>) -> LoadOrder {
    LoadOrder { list: config.settings.list, file: file.sha256(), delivery, time: now() }
}

fn delivery(args: &LoadArgs, source_file: &str, unsaid: Option<u64>) -> Result<OrderedDelivery> {
    let sequence = args
        .sequence
        .or(unsaid)
        .ok_or_else(|| usage("--sequence", "the number of the load: this list's format does not say it"))?;
    let produced_at = match &args.produced_at {
        None => now(),
        Some(text) => parse_time(text).ok_or_else(|| usage("--produced-at", "a time such as 2026-11-22T14:00:00Z"))?,
    };
    Ok(OrderedDelivery {
        mode: args.base.map_or(LoadMode::Full, |base| LoadMode::Incremental { base }),
        sequence,
        produced_at,
        source_file: source_file.to_owned(),
        removes: args.removes,
    })
}

/// Of a load of one line: why it does nothing, if it does not.
fn why_nothing(report: &LoadReport) -> Option<String> {
    let dropped = report.classes.iter().any(|class| class.dropped > 0);
    let mut reasons: Vec<&str> = report.refusals.keys().map(String::as_str).collect();
    reasons.extend(dropped.then_some(NOT_LET_IN));
    reasons.extend((report.removals_unknown > 0).then_some("the list has no such entry"));
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

fn show(report: &LoadReport, screen: &Screen) -> ExitKind {
    let ended = match report.state.as_str() {
        "live" => ExitKind::Done,
        "waiting" => ExitKind::Unavailable,
        _ => ExitKind::Refused,
    };
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/hotlist/1", "load": report }));
        return ended;
    }
    match report.state.as_str() {
        "live" => screen
            .line(&format!("Load {} of {} is in force: {} entries.", report.sequence, report.list, report.entries)),
        "waiting" => screen.line(&format!("Load {} of {} is not in force yet.", report.sequence, report.list)),
        "held" => screen.line(&format!("The load of {} is held; the set before stays in force.", report.list)),
        _ => screen.line(&format!("The load of {} was refused; the set before stays in force.", report.list)),
    }
    for why in &report.why {
        screen.line(&format!("    {why}"));
    }
    for class in &report.classes {
        let mut parts = Vec::new();
        if report.state != "refused" {
            parts.push(format!("{} in the list", class.accepted));
        }
        let mut part = |n: u64, what: &str| {
            if n > 0 {
                parts.push(format!("{n} {what}"))
            }
        };
        part(class.added, "new");
        part(class.removed, "gone");
        let dropped = if class.class == ListClass::Custom.name() {
            NOT_LET_IN
        } else {
            "this class is not matched here, or a second person must sign for it"
        };
        part(class.dropped, &format!("dropped: {dropped}"));
        part(class.refused, "refused");
        screen.line(&format!("    {}: {}", class.class, parts.join(", ")));
    }
    for (why, n) in &report.refusals {
        screen.line(&format!("    refused, {why}: {n}"));
    }
    if report.removals_unknown > 0 {
        screen.line(&format!("    to be taken off and not in the list: {}", report.removals_unknown));
    }
    if report.cut > 0 {
        screen.line(&format!(
            "    {} entries end earlier than their list says, at the longest life of their class",
            report.cut
        ));
    }
    for alarm in &report.alarms {
        screen.note(&format!("Alarm: {alarm}."));
    }
    if report.state == "held" {
        screen.note(
            "Have those people sign the same load: a second person with --second; a human keeper with --ask, `lockplate sign load`, --order.",
        );
    }
    ended
}

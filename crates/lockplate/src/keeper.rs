//! `lockplate keeper`: the always-on node of one keeper, and what its own people do at it. Decisions are signed with a person's
//! own key file; the node only hands them on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use lockplate_core::Timestamp;
use lockplate_core::json::time_text;
use lockplate_core::keeper::Verdict;
use lockplate_core::vocabulary::DeclarationName;
use lockplate_node::api::{AnswerState, KeeperAnswer};
use lockplate_node::clock::SystemClock;
use lockplate_node::founding::{self, KeeperFiles, KeeperParty, KeeperTerms};
use lockplate_node::keeper::admin::{self, AdminError, WaitingRequest};
use lockplate_node::keeper::enrol::{self, EnrolOffice, EnrolTerms};
use lockplate_node::keeper::once::{OnceError, Waiting};
use lockplate_node::keeper::{self, KeeperSettings, restore};
use lockplate_node::passkeys::EnrolledPasskey;
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::shutdown::{ExitKind, SHUTDOWN_MAX, Tasks};
use lockplate_store::durable;
use serde_json::json;

use crate::Globals;
use crate::exit::Ended;
use crate::screen::Screen;

/// What the last page that a person sees gets to be shown.
const LAST_PAGE: Duration = Duration::from_secs(2);

/// The commented template, which is the sample of the documentation.
const TEMPLATE: &str = include_str!("../../../docs/samples/keeper.toml");

/// Run a keeper, or decide at one.
#[derive(Debug, Args)]
pub(crate) struct KeeperArgs {
    /// Print a commented configuration and exit
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    task: Option<KeeperTask>,
}

#[derive(Debug, Subcommand)]
enum KeeperTask {
    /// Run the keeper (what happens without a subcommand)
    Run(RunArgs),
    /// Serve one page on which a person who decides here makes a passkey; writes its public file
    Enrol(EnrolArgs),
    /// Make this keeper's keys and its card for the agency
    Init(InitArgs),
    /// Sign the agency's draft charter, after comparing it with this keeper's own keys; writes keeper.toml
    SignCharter(SignArgs),
    /// Show the requests that wait for a person here
    Waiting,
    /// Say yes to a request
    Approve(ApproveArgs),
    /// Say no to a request
    Refuse(RefuseArgs),
    /// Show whether the keeper runs and how many requests wait
    Status,
    /// Show the logs of others that this keeper confirms
    Witnessed,
    /// Confirm a log of others again after a person has looked at the evidence
    Clear(ClearArgs),
    /// Bring the own log back from a copy; the keeper must be stopped
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// Address of the copy: https://..../mirror/<64 digits>, or the log's own old address
    #[arg(long, value_name = "URL")]
    log_from: String,
    /// SHA-256 of the TLS key that answers there, 64 hexadecimal digits; not needed for a party of the charter
    #[arg(long, value_name = "HEX")]
    pin: Option<String>,
}

#[derive(Debug, Default, Args)]
struct RunArgs {
    /// Start although this witness of the own log does not answer; the log will say so. May be given more than once
    #[arg(long = "start-without", value_name = "NAME")]
    start_without: Vec<String>,
}

#[derive(Debug, Args)]
struct ClearArgs {
    /// The log's origin, as `keeper witnessed` shows it
    #[arg(long)]
    origin: String,
}

#[derive(Debug, Args)]
struct EnrolArgs {
    /// The person's name, such as "A. Clerk"
    #[arg(long)]
    name: String,
    /// File to write; it holds no secret
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Loopback address and port to listen at
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8543")]
    listen: SocketAddr,
    /// Origin under which browsers will see the keeper's page: https://HOST, or http://localhost:PORT on this machine
    #[arg(long, value_name = "URL")]
    origin: String,
    /// Host for which the passkey is made: that of the origin, or a parent of it
    #[arg(long, value_name = "HOST")]
    rp_id: String,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Folder to make: keys and data in DIR/data, the card in DIR/card.json
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Name for people, such as "Town Clerk"
    #[arg(long)]
    name: String,
    /// The legal entity this keeper belongs to
    #[arg(long, value_name = "ENTITY")]
    legal_entity: String,
    /// Name of this machine; names of its keys begin with it
    #[arg(long)]
    host: String,
    /// Address under which the others reach it, https://..
    #[arg(long)]
    url: String,
    /// File of a passkey from `keeper enrol`, or key file, of a person who decides here. A key file is made where absent, and belongs
    /// on that person's own medium
    #[arg(long = "human", value_name = "FILE", required = true)]
    humans: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct SignArgs {
    /// The folder of `keeper init`
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// The agency's draft
    #[arg(long, value_name = "FILE")]
    draft: PathBuf,
    /// Address and port this keeper listens at
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
}

#[derive(Debug, Args)]
struct ApproveArgs {
    /// First digits of the request, as `keeper waiting` shows them
    request: String,
    /// The deciding person's key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

#[derive(Debug, Args)]
struct RefuseArgs {
    /// First digits of the request, as `keeper waiting` shows them
    request: String,
    /// The deciding person's key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Why
    #[arg(long, value_enum, default_value_t = Reason::Doubt)]
    reason: Reason,
}

/// Reasons of the closed list.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reason {
    /// The paper cannot be read or judged
    PaperUnclear,
    /// The paper names another plate
    WrongPlate,
    /// The paper does not cover what is asked
    OutOfScope,
    /// The keeper doubts what is stated
    Doubt,
    /// Something else
    Other,
}

impl Reason {
    const fn verdict(self) -> Verdict {
        match self {
            Self::PaperUnclear => Verdict::PaperUnclear,
            Self::WrongPlate => Verdict::WrongPlate,
            Self::OutOfScope => Verdict::OutOfScope,
            Self::Doubt => Verdict::Doubt,
            Self::Other => Verdict::Other,
        }
    }
}

/// Carries out one task.
pub(crate) async fn run(args: KeeperArgs, globals: &Globals, screen: &Screen) -> Result<ExitKind> {
    if args.print_config {
        screen.line(TEMPLATE.trim_end());
        return Ok(ExitKind::Done);
    }
    match args.task {
        None => serve(globals, &RunArgs::default()).await,
        Some(KeeperTask::Run(run)) => serve(globals, &run).await,
        Some(KeeperTask::Enrol(enrol)) => enrol_person(enrol, screen).await,
        Some(KeeperTask::Init(init)) => make(&init, screen),
        Some(KeeperTask::SignCharter(sign)) => sign_charter(&sign, screen),
        Some(KeeperTask::Waiting) => waiting(&settings(globals)?, screen).await,
        Some(KeeperTask::Approve(args)) => {
            decide(&settings(globals)?, &args.request, &args.key, Verdict::Approve, screen).await
        }
        Some(KeeperTask::Refuse(args)) => {
            decide(&settings(globals)?, &args.request, &args.key, args.reason.verdict(), screen).await
        }
        Some(KeeperTask::Status) => status(&settings(globals)?, screen).await,
        Some(KeeperTask::Witnessed) => witnessed(&settings(globals)?, screen).await,
        Some(KeeperTask::Restore(args)) => bring_back(&settings(globals)?, &args, screen).await,
        Some(KeeperTask::Clear(clear)) => clear_log(&settings(globals)?, &clear.origin, screen).await,
    }
}

fn settings(globals: &Globals) -> Result<KeeperSettings> {
    let path = globals.config.clone().unwrap_or_else(|| PathBuf::from("keeper.toml"));
    Ok(KeeperSettings::load(&path, std::env::vars())?)
}

async fn serve(globals: &Globals, run: &RunArgs) -> Result<ExitKind> {
    let mut settings = settings(globals)?;
    run.start_without.iter().for_each(|witness| settings.start_without(witness));
    let tasks = Tasks::new();
    tasks.stop_on_signals().context("the system refuses signal handlers")?;
    let ran = keeper::run(settings, Arc::new(SystemClock::new()), tasks.clone()).await;
    let finished = tasks.finish(SHUTDOWN_MAX).await;
    ran?;
    finished.map_err(|unfinished| Ended::internal(unfinished.to_string()))?;
    Ok(ExitKind::Done)
}

async fn enrol_person(args: EnrolArgs, screen: &Screen) -> Result<ExitKind> {
    let terms = EnrolTerms {
        office: EnrolOffice::Keeper,
        name: args.name,
        listen: args.listen,
        origin: args.origin,
        rp_id: args.rp_id,
    };
    let id = lockplate_core::id::b64url(&make_passkey(terms, &args.out, screen).await?.passkey.key.id());
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/keeper/1", "passkey": id, "file": args.out }));
    } else {
        screen.line(&format!("Passkey made; its public half is in {}.", args.out.display()));
        screen.line("Give this file to keeper init with --human, and name it in [[people]] of keeper.toml.");
    }
    Ok(ExitKind::Done)
}

/// Serves the page on which a person makes a passkey, and writes its public half to `out`.
pub(crate) async fn make_passkey(terms: EnrolTerms, out: &Path, screen: &Screen) -> Result<EnrolledPasskey> {
    if out.exists() {
        return Err(Ended::config(format!(
            "{}: is there already; a person's second passkey gets a file of its own",
            out.display()
        ))
        .into());
    }
    let tasks = Tasks::new();
    tasks.stop_on_signals().context("the system refuses signal handlers")?;
    let waiting = enrol::enrol(terms, &tasks, &mut SystemRng).await?;
    await_person(waiting, &tasks, screen, |made| write_json(out, &serde_json::to_value(made.to_file())?)).await
}

/// Waits at a page until its person is done, or a signal ends it; `keep` puts away what came of it.
pub(crate) async fn await_person<T>(
    waiting: Waiting<T>,
    tasks: &Tasks,
    screen: &Screen,
    keep: impl FnOnce(&T) -> Result<()>,
) -> Result<T> {
    screen.note(&format!("Open this address in the person's browser: {}", waiting.url));
    let done = tokio::select! {
        done = waiting.finish() => done,
        () = tasks.stopping().cancelled() => Err(OnceError::Stopped),
    };
    let kept = done.as_ref().map_or(Ok(()), keep);
    // The page that says "done" still leaves, and fetches its style.
    tokio::time::sleep(LAST_PAGE).await;
    let finished = tasks.finish(SHUTDOWN_MAX).await;
    kept?;
    let done = done?;
    finished.map_err(|unfinished| Ended::internal(unfinished.to_string()))?;
    Ok(done)
}

fn make(args: &InitArgs, screen: &Screen) -> Result<ExitKind> {
    let keys = args.folder.join("data/keys");
    private_data(&keys)?;
    let party = KeeperParty {
        name: args.name.clone(),
        legal_entity: args.legal_entity.clone(),
        host: args.host.clone(),
        url: args.url.clone(),
    };
    let card = founding::found_keeper(&KeeperFiles::in_folder(&keys), &args.humans, &party, &mut SystemRng)?;
    let path = args.folder.join("card.json");
    write_json(&path, &serde_json::to_value(&card)?)?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/keeper/1", "card": card, "file": path }));
    } else {
        screen.line(&format!("Keys made in {} (closed to everybody else).", keys.display()));
        screen.line(&format!("Send {} to the agency; it holds no secret.", path.display()));
    }
    Ok(ExitKind::Done)
}

fn sign_charter(args: &SignArgs, screen: &Screen) -> Result<ExitKind> {
    let draft = std::fs::read(&args.draft)
        .map_err(|_cause| Ended::config(format!("{}: cannot be read", args.draft.display())))?;
    let charter = founding::read_draft(&draft)?;
    let files = KeeperFiles::in_folder(&args.folder.join("data/keys"));
    let (index, line) = founding::sign_as_keeper(&charter, &files)?;
    durable::replace(&args.folder.join("charter.sig"), format!("{line}\n").as_bytes())?;
    let terms = KeeperTerms {
        place: index.0,
        listen: args.listen,
        plain_loopback: false,
        destruction_every_seconds: (charter.retention_seconds / 20).clamp(1, 60),
    };
    let words = founding::declaration_text(DeclarationName::Ct2614);
    durable::replace(&args.folder.join(founding::DECLARATION_FILE), words.as_bytes())?;
    durable::replace(&args.folder.join("keeper.toml"), founding::keeper_toml(&terms).as_bytes())?;
    let label =
        if charter.custody_label() { lockplate_core::charter::CUSTODY_LABEL } else { "no party can open alone" };
    if screen.json() {
        screen.document(&json!({
            "schema": "lockplate/keeper/1", "place": index.0, "signature": line.to_string(), "custody": label,
        }));
    } else {
        screen.line(&format!("Signed as keeper {} of {}: {label}.", index.0, charter.keepers.len()));
        screen.line(&format!("Send {} to the agency.", args.folder.join("charter.sig").display()));
    }
    Ok(ExitKind::Done)
}

async fn waiting(settings: &KeeperSettings, screen: &Screen) -> Result<ExitKind> {
    let requests = admin::waiting(&settings.admin_socket()).await?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/keeper/1", "waiting": requests }));
    } else if requests.is_empty() {
        screen.line("Nothing waits for a person.");
    } else {
        for request in &requests {
            show(request, screen);
        }
    }
    Ok(ExitKind::Done)
}

/// The card of a request: who asks, for what, and the one thing to judge.
fn show(request: &WaitingRequest, screen: &Screen) {
    let state = request.state.as_deref().unwrap_or("state not known");
    let spellings =
        if request.spellings == 1 { "1 spelling".to_owned() } else { format!("{} spellings", request.spellings) };
    screen.heading(&format!("Request {}", request.digest.get(..12).unwrap_or(&request.digest)));
    let asks = agency(&request.requester_name, &request.requester);
    let asks = if request.on_behalf_of == request.requester {
        asks
    } else {
        format!("{asks} on behalf of {}", agency(&request.on_behalf_of_name, &request.on_behalf_of))
    };
    screen.line(&format!("  agency    {asks}"));
    screen.line(&format!("  officer   {} (pseudonym of the public register)", request.officer));
    screen.line(&format!("  plate     {} ({state}), {spellings}", request.plate));
    let (from, to) = (time_text(Timestamp(request.window.0)), time_text(Timestamp(request.window.1)));
    screen.line(&format!("  time      {from} to {to}, {} periods", request.epochs));
    screen.line(&format!("  purpose   {} on the basis of {}", request.purpose, request.basis));
    screen.line(&format!("  case      {} ({})", request.case_number, request.offence));
    screen.line(&format!("  facts     {}", request.facts));
    if request.emergency {
        screen.line("  EMERGENCY is declared");
    }
    if request.hold {
        screen.line("  The reads are to be kept as evidence");
    }
    screen.line(&format!("  signed    by the officer and {} more", request.second_signatures));
    let judge = match &request.authorisation {
        Some(digest) => format!("Is the paper {} signed by a judge, and for this plate and time?", short(digest)),
        None => "No court paper is attached. Are the facts enough for this purpose?".to_owned(),
    };
    if request.authorisation.is_some() {
        let counts = if request.judicial { "counts as a judge's" } else { "does not count as a judge's" };
        screen.line(&format!("  paper     verified as {}, {counts}", request.assurance));
    }
    for file in &request.attachments {
        screen.line(&format!("  file      {file}"));
    }
    screen.line(&format!("  rules     {}", request.rules.join(", ")));
    screen.line(&format!("  register  entry {}", request.register));
    screen.line(&format!("  to judge  {judge}"));
    screen.line(&format!("  answer until {}", time_text(Timestamp(request.not_after))));
}

/// By its name in the charter, with its id.
fn agency(name: &str, id: &str) -> String {
    if name.is_empty() { id.to_owned() } else { format!("{name} ({id})") }
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

async fn decide(
    settings: &KeeperSettings,
    request: &str,
    key: &Path,
    verdict: Verdict,
    screen: &Screen,
) -> Result<ExitKind> {
    let key = founding::statement_signer(key)?;
    let now = crate::agency::now();
    let answer = admin::decide(&settings.admin_socket(), request, verdict, &key, now).await.map_err(undecided)?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/keeper/1", "answer": answer }));
    } else {
        screen.line(&said(&answer));
    }
    Ok(ExitKind::Done)
}

/// Why a decision counts for nothing. At this door nobody signs in: a key that is not known is the only way to this no.
fn undecided(error: AdminError) -> anyhow::Error {
    if let AdminError::Refused(ProblemKind::NotSignedIn) = error {
        let what = "this key is none of this keeper's people, whom the charter names\ngive the key file that was named when the \
                    keeper's card was made (keeper init --human)";
        return Ended::of(ExitKind::Refused, what).into();
    }
    error.into()
}

fn said(answer: &KeeperAnswer) -> String {
    let what = match answer.state {
        AnswerState::Approved => "Approved",
        AnswerState::Refused => "Refused",
        AnswerState::Waiting => "Still waiting",
    };
    format!("{what}; the request is entry {} of this keeper's public register.", answer.register)
}

async fn status(settings: &KeeperSettings, screen: &Screen) -> Result<ExitKind> {
    let requests = admin::waiting(&settings.admin_socket()).await?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/keeper/1", "running": true, "waiting": requests.len() }));
    } else {
        screen.line(&format!("The keeper runs; {} requests wait for a person.", requests.len()));
    }
    Ok(ExitKind::Done)
}

async fn witnessed(settings: &KeeperSettings, screen: &Screen) -> Result<ExitKind> {
    let logs = admin::witnessed(&settings.admin_socket()).await?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/keeper/1", "witnessed": logs }));
        return Ok(ExitKind::Done);
    }
    for log in logs {
        let size = log.size.map_or("never asked".to_owned(), |size| format!("{size} entries confirmed"));
        screen.line(&format!("{}  {size}", log.origin));
        if log.frozen {
            screen.line(&format!(
                "  FROZEN: {} pieces of evidence lie in witness/ of the data folder; look at them, then: lockplate keeper clear --origin {}",
                log.evidence, log.origin
            ));
        }
    }
    Ok(ExitKind::Done)
}

/// 64 hexadecimal digits.
fn pin_of(digits: &str) -> Result<[u8; 32]> {
    let refuse = || Ended::usage("--pin has 64 hexadecimal digits");
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(refuse().into());
    }
    let mut pin = [0; 32];
    for (byte, pair) in pin.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = core::str::from_utf8(pair).map_err(|_ascii| refuse())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_digit| refuse())?;
    }
    Ok(pin)
}

async fn bring_back(settings: &KeeperSettings, args: &RestoreArgs, screen: &Screen) -> Result<ExitKind> {
    let pin = args.pin.as_deref().map(pin_of).transpose()?;
    let restored = restore::restore(settings, &args.log_from, pin, &SystemClock::new()).await?;
    if screen.json() {
        screen.document(
            &json!({ "schema": "lockplate/keeper/1", "entries_before": restored.before, "entries": restored.after }),
        );
    } else {
        screen.line(&format!(
            "The log has {} entries again, each proved against the log's own signature; {} were here before.",
            restored.after, restored.before
        ));
    }
    Ok(ExitKind::Done)
}

async fn clear_log(settings: &KeeperSettings, origin: &str, screen: &Screen) -> Result<ExitKind> {
    let was_frozen = admin::clear(&settings.admin_socket(), origin).await?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/keeper/1", "cleared": origin, "was_frozen": was_frozen }));
    } else if was_frozen {
        screen.line("Cleared: the log is confirmed again. The evidence stays.");
    } else {
        screen.line("Nothing to clear: this log is not frozen.");
    }
    Ok(ExitKind::Done)
}

/// Makes a folder that only this user can enter; those above it that are missing are made with the umask.
pub(crate) fn private_folder(path: &Path) -> Result<()> {
    durable::create_dir(path).map_err(|error| Ended::config(format!("{}: {error}", path.display())))?;
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(path, closed)
        .map_err(|_cause| Ended::config(format!("{}: cannot be closed to others", path.display())))?;
    Ok(())
}

/// Makes a folder inside a data folder, both closed to everybody else: by the outer one everything that is made in it is.
pub(crate) fn private_data(inner: &Path) -> Result<()> {
    if let Some(data) = inner.parent() {
        private_folder(data)?;
    }
    private_folder(inner)
}

/// Writes a JSON document for people to send on.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let text = format!("{}\n", serde_json::to_string_pretty(value)?);
    durable::replace(path, text.as_bytes()).map_err(|error| Ended::config(format!("{}: {error}", path.display())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockplate_node::keeper::KeeperConfig;

    #[test]
    fn the_template_and_the_file_of_the_founding_are_configurations() {
        let file = Path::new("docs/samples/keeper.toml");
        let config: KeeperConfig = lockplate_node::settings::parse(file, TEMPLATE).unwrap();
        assert!(KeeperSettings::try_from((file, config)).is_ok());
        let terms = KeeperTerms {
            place: 2,
            listen: "127.0.0.1:9000".parse().unwrap(),
            plain_loopback: false,
            destruction_every_seconds: 1,
        };
        let config: KeeperConfig = lockplate_node::settings::parse(file, &founding::keeper_toml(&terms)).unwrap();
        assert!(KeeperSettings::try_from((file, config)).is_ok());
    }

    #[test]
    fn init_closes_the_data_folder_and_makes_nothing_for_a_person_whose_folder_is_missing() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("clerk");
        let mut args = InitArgs {
            folder: folder.clone(),
            name: "Town Clerk".to_owned(),
            legal_entity: "Town of Millbrook".to_owned(),
            host: "clerk.millbrook.example".to_owned(),
            url: "https://127.0.0.1:8441".to_owned(),
            humans: vec![home.path().join("people/clerk.pem")],
        };
        let screen = Screen::new(false, true, false);
        let error = make(&args, &screen).unwrap_err();
        assert!(error.to_string().contains("mkdir"), "{error}");
        assert_eq!(std::fs::read_dir(folder.join("data/keys")).unwrap().count(), 0, "no key is made");
        args.humans = vec![home.path().join("clerk.pem")];
        assert!(make(&args, &screen).is_ok());
        let mode = |path: &str| std::fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("data"), mode("data/keys")), (0o700, 0o700));
    }

    #[test]
    fn a_strangers_key_is_told_as_one_and_other_ends_stay_as_they_are() {
        let stranger = undecided(AdminError::Refused(ProblemKind::NotSignedIn));
        assert!(stranger.to_string().starts_with("this key is none of this keeper's people"), "{stranger}");
        assert_eq!(crate::exit::kind_of(&stranger), ExitKind::Refused);
        let decided = undecided(AdminError::Refused(ProblemKind::Conflicting));
        assert_eq!(decided.to_string(), ProblemKind::Conflicting.detail());
        assert_eq!(crate::exit::kind_of(&undecided(AdminError::NoSuchRequest)), ExitKind::Usage);
    }

    #[test]
    fn a_data_folder_that_was_made_open_is_closed() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
        private_data(&data.join("keys")).unwrap();
        for path in [data.clone(), data.join("keys")] {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700, "{}", path.display());
        }
    }
}

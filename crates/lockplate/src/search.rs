//! `lockplate search`: one plate, one window, one request to each owner that is asked. The officer's own machine draws up and signs the
//! requests, waits for the keepers, checks every answer and opens the reads; a request that is not answered yet stands, and `fetch` goes on
//! with it.

mod keep;
mod paper;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Table;
use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::emergency::Danger;
use lockplate_core::id::{AgencyId, from_b64url};
use lockplate_core::json::{parse_time, time_text};
use lockplate_core::plate::Jurisdiction;
use lockplate_core::sign::SigningKey;
use lockplate_core::vocabulary::{Basis, Offence, Purpose};
use lockplate_intake::jurisdiction;
use lockplate_node::api::{AnswerState, DeskState, DeskStatus, ReasonText};
use lockplate_node::client::{CallLimits, PeerClient, PeerTrust};
use lockplate_node::clock::{Clock, SystemClock};
use lockplate_node::rng::SystemRng;
use lockplate_node::search::federation::{Drafted, Federation, NamedOwner, OWNERS_MAX};
use lockplate_node::search::{
    self, Asked, EMBARGO_S, Fetched, Filed, Mode, Officer, Refusal, SearchFault, VALID_FOR_S, desk_limits,
    read_person_key,
};
use lockplate_node::settings::{self, ConfigError, read_public_file, read_secret_file};
use lockplate_node::shutdown::ExitKind;
use report::Report;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::Globals;
use crate::alerts::plain;
use crate::exit::{self, Ended};
use crate::owner_code::{WHOLE_PLATE, read_plate_words, read_words};
use crate::screen::Screen;

/// Largest `.auth` or disclosure file that is attached.
const ATTACHED_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a file of facts: what a whole statement holds at most.
const FACTS_FILE_BYTES_MAX: u64 = 32 * 1024;
/// Longest wait on the command line, seconds: a week.
const WAIT_SECONDS_MAX: u64 = 7 * 86_400;

/// Ask the keepers of one or more owners about one plate.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct SearchArgs {
    #[command(subcommand)]
    task: Option<SearchTask>,
    #[command(flatten)]
    ask: AskArgs,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    keep: keep::KeepArgs,
}

#[derive(Debug, Subcommand)]
enum SearchTask {
    /// File the request, one to each owner, and print the number; does not wait
    File(Box<AskArgs>),
    /// Show where a search stands
    Status(NumberArgs),
    /// Wait for the answers of a filed search and open them
    Fetch(FetchArgs),
    /// File the paper of an emergency: a court's, or a supervisor's written report
    Paper(paper::PaperArgs),
    /// Open what was held as evidence, with the key of the case
    OpenHold(keep::OpenHoldArgs),
}

#[derive(Debug, Args)]
struct NumberArgs {
    /// Number of the search, 64 digits
    request: String,
}

#[derive(Debug, Args)]
struct FetchArgs {
    #[command(flatten)]
    number: NumberArgs,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    keep: keep::KeepArgs,
}

#[derive(Debug, Args)]
struct WaitArgs {
    /// Seconds to wait for keepers before the request is left standing
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
}

#[derive(Debug, Args)]
struct AskArgs {
    /// Owner to ask, by the name in officer.toml or by its id; may be given more than once
    #[arg(long, value_name = "NAME|ID")]
    owner: Vec<String>,
    /// Ask every owner of officer.toml; with a paper, every owner that it names
    #[arg(long, conflicts_with = "owner")]
    all_owners: bool,
    /// The plate, whole: letters and digits. For trials: other users of this machine can see it
    #[arg(long, required_unless_present = "plate_file", conflicts_with = "plate_file")]
    plate: Option<String>,
    /// File that holds the plate and nothing else; - reads standard input
    #[arg(long, value_name = "FILE")]
    plate_file: Option<PathBuf>,
    /// Its state or country, such as US-CT, CA-ON or POL. Without it, only reads are found whose state was not read
    #[arg(long)]
    state: Option<String>,
    /// Why: stolenVehicle, missingPerson, crimeInvestigation, ..
    #[arg(long, required = true)]
    purpose: Option<String>,
    /// Legal basis: none, reasonableSuspicion, courtOrder, searchWarrant, exigency, ..
    #[arg(long, default_value = "none")]
    basis: String,
    /// Case number
    #[arg(long = "case", value_name = "NUMBER", required = true)]
    case_number: Option<String>,
    /// The facts, in a sentence of at least 20 characters. For trials: other users of this machine can see it
    #[arg(long, required_unless_present = "facts_file", conflicts_with = "facts_file")]
    facts: Option<String>,
    /// File that holds the facts; - reads standard input
    #[arg(long, value_name = "FILE")]
    facts_file: Option<PathBuf>,
    /// Class of the offence: none, felony, grossMisdemeanor, misdemeanor, infraction
    #[arg(long, default_value = "none")]
    offence: String,
    /// The offence in words
    #[arg(long, value_name = "TEXT", default_value = "")]
    offence_text: String,
    /// Begin: 2026-11-22T14:00:00Z, or -72h, -90m, -2d before now
    #[arg(long, value_name = "TIME", default_value = "-72h", allow_hyphen_values = true)]
    from: String,
    /// End: as --from, or now
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    to: String,
    /// Spellings asked for besides the plate itself
    #[arg(long, value_enum, default_value_t = Spellings::Exact)]
    spellings: Spellings,
    /// Signed court paper (.auth)
    #[arg(long, value_name = "FILE")]
    auth: Option<PathBuf>,
    /// File that discloses the paper's plate
    #[arg(long, value_name = "FILE")]
    disclosure: Vec<PathBuf>,
    /// Key file of a second person, who signs the same request
    #[arg(long, value_name = "FILE")]
    second: Vec<PathBuf>,
    /// Id of the agency for which the request is made, if not the officer's own
    #[arg(long, value_name = "ID")]
    on_behalf_of: Option<String>,
    /// Declare an emergency, with --basis exigency and a supervisor's --second; a paper is due within 24 hours (`search paper`)
    #[arg(long, value_name = "DANGER", value_enum)]
    emergency: Option<Feared>,
    /// Keep what is found as evidence: needs a case number, a supervisor's --second, and --case-key
    #[arg(long)]
    hold: bool,
}

/// How far spellings go.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Spellings {
    /// The plate, with letters and digits that look alike
    Exact,
    /// And one character missing or added
    Near,
    /// And one character that engines confuse
    Wide,
}

/// What is feared in an emergency.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Feared {
    /// Somebody may die
    Life,
    /// Somebody was taken
    Abduction,
    /// Somebody may be gravely hurt
    SeriousInjury,
    /// Somebody dangerous escapes
    Escape,
}

impl Feared {
    const fn danger(self) -> Danger {
        match self {
            Self::Life => Danger::Life,
            Self::Abduction => Danger::Abduction,
            Self::SeriousInjury => Danger::SeriousInjury,
            Self::Escape => Danger::Escape,
        }
    }
}

/// `officer.toml`: who asks, at which desk, under which charters. Paths are relative to the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfficerConfig {
    /// The owner that is asked where none is named.
    charter: Option<PathBuf>,
    charter_hash: Option<String>,
    agency: String,
    desk: String,
    desk_pin: String,
    key: PathBuf,
    #[serde(default)]
    passcode_file: Option<PathBuf>,
    folder: PathBuf,
    /// Further owners.
    #[serde(default)]
    owner: Vec<OwnerConfig>,
}

/// One `[[owner]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerConfig {
    /// What `--owner` calls it; the name of its charter where nothing is said.
    name: Option<String>,
    charter: PathBuf,
    charter_hash: String,
}

/// Carries out one task.
pub(crate) async fn run(args: SearchArgs, globals: &Globals, screen: &Screen) -> Result<ExitKind> {
    let path = globals.config.clone().unwrap_or_else(|| PathBuf::from("officer.toml"));
    if let Some(SearchTask::OpenHold(open)) = &args.task {
        return keep::open(open, screen);
    }
    check_usage(&args)?;
    let desk = Desk::open(&path)?;
    match args.task {
        Some(SearchTask::OpenHold(_)) => Err(Ended::internal("a hold is opened without a desk").into()),
        Some(SearchTask::File(ask)) => {
            let (drafted, spared, officer) = desk.draft(&ask)?;
            let mut report = Report::new(&desk.federation, drafted.number, drafted.parts.len(), screen);
            report.begin(&drafted, &spared);
            let filed = desk.federation.file(&officer, &drafted, &mut |part, news| report.hear(part, &news)).await;
            Ok(report.filed(filed?))
        }
        Some(SearchTask::Status(number)) => {
            let officer = desk.officer(&[])?;
            let digest = digest_of(&number.request)?;
            let parts = desk.federation.status(&officer, &digest).await?;
            report::show_statuses(&desk.federation, &number.request, &parts, screen);
            Ok(ExitKind::Done)
        }
        Some(SearchTask::Fetch(fetch)) => {
            let digest = digest_of(&fetch.number.request)?;
            let officer = desk.officer(&[])?;
            let wait = fetch.wait.duration();
            let case_key = fetch.keep.case_key()?;
            let keep = fetch.keep.keep(case_key.as_ref())?;
            let owners = desk.federation.requests(&officer, &digest)?;
            let mut report = Report::new(&desk.federation, digest, owners, screen);
            let told =
                desk.federation.fetch(&officer, &digest, wait, keep, &mut |part, news| report.hear(part, &news)).await;
            Ok(report.end(told?))
        }
        Some(SearchTask::Paper(args)) => {
            let owner = args.owner().map_or(Some(0), |text| desk.federation.find(text));
            let charter = owner.and_then(|owner| desk.federation.charter(owner));
            let charter = charter.ok_or_else(|| usage("--owner", "the name or id of an owner of officer.toml"))?;
            paper::file(&args, charter, &desk.folder(), screen).await
        }
        None => {
            let (drafted, spared, officer) = desk.draft(&args.ask)?;
            let wait = args.wait.duration();
            let case_key = args.keep.case_key()?;
            let keep = args.keep.keep(case_key.as_ref())?;
            let mut report = Report::new(&desk.federation, drafted.number, drafted.parts.len(), screen);
            report.begin(&drafted, &spared);
            let told = desk
                .federation
                .search(&officer, &drafted, wait, keep, &mut |part, news| report.hear(part, &news))
                .await;
            Ok(report.end(told?))
        }
    }
}

impl WaitArgs {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.min(WAIT_SECONDS_MAX))
    }
}

/// Wrong words are said before a configuration is looked for: they are wrong under any.
fn check_usage(args: &SearchArgs) -> Result<()> {
    let ask = match &args.task {
        Some(SearchTask::File(ask)) => ask.as_ref(),
        Some(SearchTask::Status(number)) => return digest_of(&number.request).map(drop),
        Some(SearchTask::Fetch(fetch)) => {
            return digest_of(&fetch.number.request).and_then(|_| fetch.keep.check());
        }
        Some(SearchTask::Paper(args)) => return digest_of(args.request()).map(drop),
        Some(SearchTask::OpenHold(_)) => return Ok(()),
        None => {
            args.keep.check()?;
            args.keep.check_folder()?;
            if args.ask.hold != args.keep.holds() {
                return Err(usage("--hold", "--case-key FILE with it, and --case-key only with it").into());
            }
            &args.ask
        }
    };
    ask.check()
}

/// An owner of `officer.toml`, with its charter pinned.
pub(crate) struct PinnedOwner {
    file: PathBuf,
    named: NamedOwner,
}

impl PinnedOwner {
    /// The owner that `--at` names: by id, or by name as `--owner` does.
    pub(crate) fn find(path: &Path, text: &str) -> Result<Self> {
        let config: OfficerConfig = settings::load_over(path, std::env::vars())?;
        let (files, named): (Vec<_>, Vec<_>) =
            config.pinned(path)?.into_iter().map(|owner| (owner.file, owner.named)).unzip();
        let place = NamedOwner::find(&named, text);
        let found = place.and_then(|place| files.into_iter().zip(named).nth(place));
        let found = found.map(|(file, named)| Self { file, named });
        Ok(found.ok_or_else(|| usage("--at", "the name or id of an owner of officer.toml"))?)
    }

    pub(crate) fn called(&self) -> &str {
        self.named.called()
    }

    pub(crate) const fn charter(&self) -> &CharterFile {
        &self.named.charter
    }

    /// Name, file of the charter, charter.
    pub(crate) fn into_parts(self) -> (String, PathBuf, CharterFile) {
        (self.named.called().to_owned(), self.file, self.named.charter)
    }
}

/// The officer's own desk, and who comes to it.
pub(crate) struct OwnDesk {
    pub(crate) client: PeerClient,
    pub(crate) key: SigningKey,
    pub(crate) agency: AgencyId,
    pub(crate) passcode_file: Option<PathBuf>,
}

impl OwnDesk {
    /// What `officer.toml` says of it; owners' charters are not read.
    pub(crate) fn open(path: &Path, limits: CallLimits) -> Result<Self> {
        let config: OfficerConfig = settings::load_over(path, std::env::vars())?;
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let client = config.desk_client(path, limits)?;
        let key = read_person_key(&base.join(&config.key))?;
        let agency = AgencyId::parse(&config.agency).ok_or_else(|| Ended::config("`agency` is not an agency's id"))?;
        Ok(Self { client, key, agency, passcode_file: config.passcode_file.map(|file| base.join(file)) })
    }
}

impl OfficerConfig {
    fn desk_client(&self, path: &Path, limits: CallLimits) -> Result<PeerClient> {
        let pin = from_b64url(&self.desk_pin)
            .ok_or_else(|| ConfigError::refused(path, None, "`desk_pin` is not the pin of a TLS key"))?;
        Ok(PeerClient::new(&self.desk, PeerTrust::Pinned(pin), limits)?)
    }

    /// Every owner, the one of `charter` first.
    fn owners(&self) -> Result<Vec<OwnerConfig>, &'static str> {
        let first = match (self.charter.clone(), self.charter_hash.clone()) {
            (Some(charter), Some(charter_hash)) => Some(OwnerConfig { name: None, charter, charter_hash }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err("`charter` and `charter_hash` stand together"),
        };
        let owners: Vec<_> = first.into_iter().chain(self.owner.iter().cloned()).collect();
        if owners.is_empty() {
            return Err("no owner is named: add `charter` with `charter_hash`, or `[[owner]]`");
        }
        // Before a hundred and one charters are read.
        if owners.len() > OWNERS_MAX { Err("more than 100 owners are named") } else { Ok(owners) }
    }

    /// The same with their charters, each the one whose hash stands beside it; `path` is the file.
    fn pinned(&self, path: &Path) -> Result<Vec<PinnedOwner>> {
        let refuse = |what: &str| ConfigError::refused(path, None, what);
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let pin = |OwnerConfig { name, charter: file, charter_hash }| {
            let charter = CharterFile::verify(&read_public_file(&base.join(&file))?)
                .map_err(|error| refuse(&format!("the charter it names is not valid: {error}")))?;
            if hex_of(&charter.hash()) != charter_hash {
                let what = "`charter_hash` is not the hash of the charter: it is another charter than the one pinned";
                return Err(refuse(what).into());
            }
            Ok(PinnedOwner { file, named: NamedOwner { name, charter } })
        };
        self.owners().map_err(refuse)?.into_iter().map(pin).collect()
    }
}

impl AskArgs {
    /// What is wrong whoever asks. Files are not read yet.
    fn check(&self) -> Result<()> {
        self.vocabulary()?;
        self.state()?;
        if self.plate.as_deref().is_some_and(search::has_wildcard) {
            return Err(Ended::usage(format!("--plate: {WHOLE_PLATE}")).into());
        }
        let is_input = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        if is_input(&self.plate_file) && is_input(&self.facts_file) {
            return Err(usage("--plate-file or --facts-file", "a file: standard input is one of them only").into());
        }
        Ok(())
    }

    fn state(&self) -> Result<Option<Jurisdiction>> {
        let state = self.state.as_deref().map(jurisdiction::written).transpose();
        Ok(state.map_err(|no_code| Ended::usage(format!("--state: {}", no_code.hint())))?)
    }

    fn plate(&self) -> Result<Zeroizing<String>> {
        match &self.plate_file {
            Some(file) => read_plate_words(file),
            None => Ok(Zeroizing::new(self.plate.clone().unwrap_or_default())),
        }
    }

    /// The facts. A statement is of one line, so the lines of a file are joined.
    fn facts(&self) -> Result<Zeroizing<String>> {
        let Some(file) = &self.facts_file else {
            return Ok(Zeroizing::new(self.facts.clone().unwrap_or_default()));
        };
        let text = read_words(file, FACTS_FILE_BYTES_MAX)?;
        Ok(Zeroizing::new(text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")))
    }

    fn vocabulary(&self) -> Result<(Purpose, Basis, Offence)> {
        let purpose = Purpose::from_name(self.purpose.as_deref().unwrap_or_default())
            .ok_or_else(|| usage("--purpose", &names(Purpose::ALL.iter().map(|one| one.name()))))?;
        let basis = Basis::from_name(&self.basis)
            .ok_or_else(|| usage("--basis", &names(Basis::ALL.iter().map(|one| one.name()))))?;
        let offence = Offence::from_name(&self.offence)
            .ok_or_else(|| usage("--offence", &names(Offence::ALL.iter().map(|one| one.name()))))?;
        Ok((purpose, basis, offence))
    }
}

/// The officer's desk with everything the configuration names.
struct Desk {
    config: OfficerConfig,
    base: PathBuf,
    federation: Federation,
    clock: Arc<SystemClock>,
}

impl Desk {
    fn open(path: &Path) -> Result<Self> {
        let config: OfficerConfig = settings::load_over(path, std::env::vars())?;
        let base = path.parent().unwrap_or_else(|| Path::new("")).to_path_buf();
        let owners = config.pinned(path)?.into_iter().map(|owner| owner.named).collect();
        let client = config.desk_client(path, desk_limits())?;
        let folder = base.join(&config.folder);
        crate::keeper::private_folder(&folder)?;
        let clock = Arc::new(SystemClock::new());
        let shared: Arc<dyn Clock> = Arc::<SystemClock>::clone(&clock);
        let federation = Federation::new(owners, &client, &folder, &shared)?;
        Ok(Self { config, base, federation, clock })
    }

    /// The owners that are asked, and those that are spared a request that cannot pass.
    fn choose(&self, ask: &AskArgs, asked: &Asked) -> Result<(Vec<usize>, Vec<usize>)> {
        let all: Vec<usize> = (0..self.federation.len()).collect();
        if ask.all_owners {
            let named = self.federation.named_by_paper(&all, asked);
            if named.is_empty() {
                return Err(usage("--auth", "a paper that names an owner of officer.toml").into());
            }
            let spared = all.into_iter().filter(|owner| !named.contains(owner)).collect();
            return Ok((named, spared));
        }
        if ask.owner.is_empty() {
            // The owner of `charter`, or the only one there is.
            return if self.config.charter.is_some() || self.federation.len() == 1 {
                Ok((vec![0], Vec::new()))
            } else {
                Err(usage("--owner", "one or more owners of officer.toml, or --all-owners").into())
            };
        }
        let mut owners = Vec::new();
        for text in &ask.owner {
            let owner = self.federation.find(text);
            let owner = owner.ok_or_else(|| usage("--owner", "the name or id of an owner of officer.toml"))?;
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        Ok((owners, Vec::new()))
    }

    /// The requests, and the owners that are spared one.
    fn draft(&self, ask: &AskArgs) -> Result<(Drafted, Vec<usize>, Officer)> {
        let (asked, officer) = self.asked(ask)?;
        let (owners, spared) = self.choose(ask, &asked)?;
        let drafted = self.federation.draft(&officer, &asked, &owners, &mut SystemRng)?;
        Ok((drafted, spared, officer))
    }

    /// Where searches under way are.
    fn folder(&self) -> PathBuf {
        self.base.join(&self.config.folder)
    }

    fn officer(&self, seconds: &[PathBuf]) -> Result<Officer> {
        let key = read_person_key(&self.base.join(&self.config.key))?;
        let agency =
            AgencyId::parse(&self.config.agency).ok_or_else(|| Ended::config("`agency` is not an agency's id"))?;
        let passcode = match &self.config.passcode_file {
            None => None,
            Some(file) => Some(passcode(&self.base.join(file))?),
        };
        let seconds = seconds.iter().map(|path| read_person_key(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Officer { key, agency, passcode, seconds })
    }

    fn asked(&self, ask: &AskArgs) -> Result<(Asked, Officer)> {
        let on_behalf_of = match ask.on_behalf_of.as_deref() {
            None => None,
            Some(id) => Some(AgencyId::parse(id).ok_or_else(|| usage("--on-behalf-of", "an agency's id"))?),
        };
        let now = self.clock.now_ms().div_euclid(1_000);
        let disclosures = ask
            .disclosure
            .iter()
            .map(|path| {
                let bytes = attached(path)?;
                let text = String::from_utf8(bytes).map_err(|_bytes| usage("--disclosure", "a text file"))?;
                Ok(Zeroizing::new(text.trim().to_owned()))
            })
            .collect::<Result<Vec<_>>>()?;
        let (purpose, basis, offence) = ask.vocabulary()?;
        let asked = Asked {
            plate: ask.plate()?,
            state: ask.state()?,
            spellings: match ask.spellings {
                Spellings::Exact => Mode::Fold,
                Spellings::Near => Mode::Near,
                Spellings::Wide => Mode::Wide,
            },
            purpose,
            basis,
            case_number: ask.case_number.clone().unwrap_or_default(),
            offence,
            offence_text: ask.offence_text.clone(),
            facts: core::mem::take(&mut *ask.facts()?),
            emergency: ask.emergency.map(Feared::danger),
            hold: ask.hold,
            from: moment(&ask.from, now).ok_or_else(|| usage("--from", "2026-11-22T14:00:00Z, -72h or now"))?,
            to: moment(&ask.to, now).ok_or_else(|| usage("--to", "2026-11-22T14:00:00Z, -1h or now"))?,
            on_behalf_of,
            authorisation: ask.auth.as_deref().map(attached).transpose()?,
            disclosures,
            valid_for_s: VALID_FOR_S,
            embargo_s: EMBARGO_S,
        };
        Ok((asked, self.officer(&ask.second)?))
    }
}

pub(crate) fn usage(flag: &str, expected: &str) -> Ended {
    Ended::usage(format!("{flag}: expected {expected}"))
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", all.collect::<Vec<_>>().join(", "))
}

/// A time: canonical RFC 3339 in UTC, `now`, or a whole number of seconds, minutes, hours or days before now.
fn moment(text: &str, now: i64) -> Option<Timestamp> {
    if text == "now" {
        return u64::try_from(now).ok().map(Timestamp);
    }
    if let Some(ago) = text.strip_prefix('-') {
        let unit: i64 = match ago.chars().last()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let digits = ago.get(..ago.len().checked_sub(1)?)?;
        let count = digits.parse::<u32>().ok()?;
        let before = now.checked_sub(i64::from(count).checked_mul(unit)?)?;
        return u64::try_from(before).ok().map(Timestamp);
    }
    parse_time(text)
}

pub(crate) fn passcode(path: &Path) -> Result<Zeroizing<String>> {
    let bytes = read_secret_file(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_bytes| Ended::config("the passcode file is not text"))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn attached(path: &Path) -> Result<Vec<u8>> {
    let unreadable = || Ended::usage(format!("{}: cannot be read", path.display()));
    let length = std::fs::metadata(path).map_err(|_cause| unreadable())?.len();
    if length > ATTACHED_BYTES_MAX {
        return Err(Ended::usage(format!("{}: larger than a signed paper can be", path.display())).into());
    }
    Ok(std::fs::read(path).map_err(|_cause| unreadable())?)
}

fn digest_of(text: &str) -> Result<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut digest = [0; 32];
    let pairs = text.as_bytes().chunks(2);
    let whole = text.len() == 64;
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let [high, low] = pair else { break };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(Ended::usage("a request's number has 64 hexadecimal digits").into());
        };
        *byte = high << 4 | low;
    }
    if whole { Ok(digest) } else { Err(Ended::usage("a request's number has 64 hexadecimal digits").into()) }
}

pub(crate) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn show_filed(filed: &Filed, screen: &Screen) {
    let (from, to) = (time_text(filed.window.from), time_text(filed.window.to));
    let moved = if filed.window.moved { ", made smaller to whole periods" } else { "" };
    screen.note(&format!(
        "Asking from {from} to {to}{moved}; spellings, with the state and without one: {}.",
        filed.elements
    ));
    screen.note(&format!("Request {}", hex_of(&filed.request_digest)));
}

/// One line: what each keeper has said so far.
fn progress(status: &DeskStatus) -> String {
    let keepers = status.keepers.iter().map(|keeper| {
        let said = match (&keeper.answer, &keeper.problem) {
            (Some(answer), _) => match answer.state {
                AnswerState::Approved => format!("yes (entry {})", answer.register),
                AnswerState::Refused => format!("no (entry {})", answer.register),
                AnswerState::Waiting => format!("a person is asked (entry {})", answer.register),
            },
            (None, Some(_)) => String::new(),
            (None, None) => "asked".to_owned(),
        };
        let problem = keeper.problem.as_deref().map(|problem| match problem {
            "unreachable" => "cannot be reached",
            "keeper-misbehaved" => "gave a wrong answer",
            other => other,
        });
        let said = [Some(said.as_str()), problem].into_iter().flatten().filter(|words| !words.is_empty());
        format!("{}: {}", keeper.name, said.collect::<Vec<_>>().join(", "))
    });
    let keepers = keepers.collect::<Vec<_>>().join(" \u{b7} ");
    format!("{} \u{b7} {keepers}", state_words(status.state))
}

const fn state_words(state: DeskState) -> &'static str {
    match state {
        DeskState::Filing => "filed",
        DeskState::WaitingForHuman => "waiting for a person at a keeper",
        DeskState::Granted => "approved, being answered",
        DeskState::Answered => "answered",
        DeskState::Refused => "refused",
        DeskState::Gone => "destroyed",
        DeskState::Unavailable => "too few keepers can be reached",
        DeskState::Disclosed => "answered and accounted for",
    }
}

fn status_document(number: &str, status: &DeskStatus) -> Value {
    let keepers: Vec<_> = status
        .keepers
        .iter()
        .map(|keeper| json!({ "keeper": keeper.index, "name": keeper.name, "answer": keeper.answer, "problem": keeper.problem }))
        .collect();
    json!({
        "schema": search::SCHEMA, "request": number, "state": status.state, "keepers": keepers,
        "answers": status.evaluations.len(),
    })
}

fn show(fetched: &Fetched, screen: &Screen) {
    show_culprits(fetched, screen);
    if fetched.is_no_match() && fetched.epochs_not_searched == 0 {
        screen.heading("No match, checked.");
    } else if fetched.is_no_match() {
        screen.heading("No match in the periods searched, checked.");
    } else {
        screen.line(&table(fetched, None).to_string());
        let reads = counted(fetched.found.len(), "read");
        screen.heading(&format!("{reads} found, each proved to have been there before anybody asked."));
    }
    screen.line(&format!("{}.", periods(fetched)));
    if fetched.epochs_not_searched > 0 {
        screen.line(
            "Not searched is what is not closed yet, and what not all of the keepers that agreed hold or allow. Ask for it in a new request.",
        );
    }
    screen.line(&format!("On the public register: {}.", entries(fetched)));
}

/// What was searched, and what was not.
fn periods(fetched: &Fetched) -> String {
    let mut said = format!("{} searched", counted(fetched.epochs, "period"));
    if fetched.epochs_not_searched > 0 {
        said.push_str(&format!(", {} NOT searched", fetched.epochs_not_searched));
    }
    if fetched.epochs_destroyed > 0 {
        said.push_str(&format!(", {} destroyed and not to be read again", fetched.epochs_destroyed));
    }
    said
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn entries(fetched: &Fetched) -> String {
    let entries: Vec<String> = fetched.register.iter().map(|(_, name, entry)| format!("{name} no. {entry}")).collect();
    entries.join(", ")
}

fn show_culprits(fetched: &Fetched, screen: &Screen) {
    for culprit in &fetched.culprits {
        let evidence =
            culprit.evidence.as_ref().map_or_else(String::new, |path| format!(" Evidence: {}", path.display()));
        screen.line(&format!(
            "Keeper {} ({}) gave a wrong answer. It was thrown away; the others sufficed.{evidence}",
            culprit.keeper, culprit.name
        ));
    }
}

/// The reads found, with their owner where there is more than one.
fn table(fetched: &Fetched, owner: Option<&str>) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    let columns = ["time", "camera", "place", "read as", "confidence", "why"];
    let remarked = fetched.found.iter().any(|found| !found.remarks().is_empty());
    table.set_header(owner.map(|_| "owner").into_iter().chain(columns).chain(remarked.then_some("remarks")));
    for found in &fetched.found {
        let read_as =
            found.state.as_ref().map_or_else(|| found.text.clone(), |state| format!("{} ({state})", found.text));
        let confidence =
            found.confidence.map_or_else(|| "not said".to_owned(), |conf| format!("{}.{} %", conf / 10, conf % 10));
        let cells = [
            found.time_text(),
            found.camera.to_string(),
            found.place.as_deref().map(plain).unwrap_or_default(),
            read_as,
            confidence,
            format!("{}; {}", found.why_text(), found.why_state()),
        ];
        let remarks = remarked.then(|| found.remarks().join("\n"));
        table.add_row(owner.map(str::to_owned).into_iter().chain(cells).chain(remarks));
    }
    table
}

/// The document of a search without a result.
fn fault_document(fault: &SearchFault, number: &str) -> Value {
    let mut document = exit::problem("search", fault.exit_kind(), &fault.to_string());
    if let Some(fields) = document.as_object_mut() {
        fields.insert("request".to_owned(), json!(number));
        if let SearchFault::Refused(refusals) = fault {
            let refusals: Vec<_> = refusals
                .iter()
                .map(|one| json!({ "keeper": one.keeper, "name": one.name, "register": one.register, "reasons": one.reasons }))
                .collect();
            fields.insert("refusals".to_owned(), json!(refusals));
        }
        if let SearchFault::Lied { evidence, .. } = fault {
            fields.insert("evidence".to_owned(), json!(evidence));
        }
    }
    document
}

/// Prints why there is no result. Never "no match".
fn show_fault(fault: &SearchFault, number: &str, screen: &Screen) {
    if let SearchFault::Refused(refusals) = fault {
        show_refusals(refusals, screen);
    } else {
        screen.error(&fault.to_string());
    }
    if let SearchFault::Lied { evidence: Some(path), .. } = fault {
        screen.note(&format!("the evidence is in {}", path.display()));
    }
    if matches!(fault, SearchFault::Waiting(_) | SearchFault::Unavailable(_)) {
        screen.note(&format!("the request stands; go on with: lockplate search fetch {number}"));
    }
}

fn show_refusals(refusals: &[Refusal], screen: &Screen) {
    screen.heading("Refused. Nothing was opened.");
    for line in refusal_lines(refusals) {
        screen.line(&line);
    }
}

/// Each rule once, with what it says, since keepers of one owner decide under one policy; then every keeper's no.
fn refusal_lines(refusals: &[Refusal]) -> Vec<String> {
    let mut told: Vec<&ReasonText> = Vec::new();
    for reason in refusals.iter().flat_map(|refusal| &refusal.reasons) {
        if !told.contains(&reason) {
            told.push(reason);
        }
    }
    let mut lines = reason_lines(told);
    lines.extend(refusals.iter().map(|refusal| {
        let rules: Vec<&str> = refusal.reasons.iter().map(|reason| reason.rule.as_str()).collect();
        format!("  {} (register no. {}): {}", refusal.name, refusal.register, rules.join(", "))
    }));
    lines
}

fn reason_lines<'a>(reasons: impl IntoIterator<Item = &'a ReasonText>) -> Vec<String> {
    let mut lines = Vec::new();
    for reason in reasons {
        lines.push(format!("  {}", reason.rule));
        lines.push(format!("    why     {}", reason.say));
        lines.extend(reason.cite.iter().map(|cite| format!("    law     {cite} (not legal advice)")));
        lines.extend(reason.fix.iter().map(|fix| format!("    lawful  {fix}")));
        lines.push(String::new());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockplate_core::plate::Plate;

    #[test]
    fn times_are_absolute_or_before_now() {
        let now = 1_800_000_000;
        assert_eq!(moment("now", now), Some(Timestamp(1_800_000_000)));
        assert_eq!(moment("-90m", now), Some(Timestamp(1_800_000_000 - 5_400)));
        assert_eq!(moment("-2d", now), Some(Timestamp(1_800_000_000 - 172_800)));
        assert_eq!(moment("2026-11-22T14:00:00Z", now).map(time_text).as_deref(), Some("2026-11-22T14:00:00Z"));
        for bad in ["", "-", "-h", "yesterday", "+3h", "-3y", "-99999999999h", "2026-11-22 14:00", "-4294967295d"] {
            assert_eq!(moment(bad, now), None, "{bad}");
        }
    }

    #[derive(Debug, clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: SearchArgs,
    }

    /// A search with these words besides purpose and case number.
    fn typed(more: &[&str]) -> Result<AskArgs, clap::Error> {
        let line = ["search", "--purpose", "stolenVehicle", "--case", "26-1"].iter().chain(more);
        <Typed as clap::Parser>::try_parse_from(line).map(|typed| typed.args.ask)
    }

    #[test]
    fn plate_and_facts_come_from_files_or_from_the_line_and_never_from_both() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            lockplate_store::durable::replace(&path, text.as_bytes()).unwrap();
            path.display().to_string()
        };
        let plate = file("plate", "QXZ 4471\n");
        let facts = file("facts", "The owner reported the blue car\n  stolen this morning.\n\n");
        let ask = typed(&["--plate-file", &plate, "--facts-file", &facts]).unwrap();
        ask.check().unwrap();
        assert_eq!(Plate::parse(&ask.plate().unwrap()), Plate::parse("QXZ4471"));
        assert_eq!(ask.facts().unwrap().as_str(), "The owner reported the blue car stolen this morning.");
        let ask = typed(&["--plate", "QXZ4471", "--facts", "It was stolen."]).unwrap();
        assert_eq!((ask.plate().unwrap().as_str(), ask.facts().unwrap().as_str()), ("QXZ4471", "It was stolen."));
        for bad in [
            &["--plate", "QXZ4471"] as &[&str],
            &["--plate-file", &plate],
            &["--plate", "QXZ4471", "--plate-file", &plate, "--facts", "x"],
            &["--plate-file", &plate, "--facts", "x", "--facts-file", &facts],
        ] {
            assert!(typed(bad).is_err(), "{bad:?}");
        }
        let both = typed(&["--plate-file", "-", "--facts-file", "-"]).unwrap().check().unwrap_err();
        assert_eq!(exit::kind_of(&both), ExitKind::Usage);
        let wild = file("wild", "QXZ*\n");
        let wild = typed(&["--plate-file", &wild, "--facts-file", &facts]).unwrap().plate().unwrap_err();
        assert!(wild.to_string().contains("name the whole plate") && !wild.to_string().contains("QXZ"), "{wild}");
        let long = file("long", &"x".repeat(40_000));
        let long = typed(&["--plate-file", &plate, "--facts-file", &long]).unwrap().facts().unwrap_err();
        assert!(long.to_string().contains("larger"), "{long}");
    }

    #[test]
    fn a_state_is_a_code_that_exists() {
        let state = |code: &str| typed(&["--plate", "QXZ4471", "--facts", "x", "--state", code]).unwrap().state();
        assert_eq!(state("US-CT").unwrap(), Jurisdiction::parse("US-CT"));
        assert_eq!(state("DEU").unwrap(), Jurisdiction::parse("DE"));
        for bad in ["CT", "QC", "US-ZZ", "ZZ", "connecticut", ""] {
            let error = state(bad).unwrap_err();
            assert!(error.to_string().contains("US-CT") && exit::kind_of(&error) == ExitKind::Usage, "{error}");
        }
    }

    #[test]
    fn numbers_of_requests_have_sixty_four_digits() {
        let digest = [0xAB; 32];
        assert_eq!(digest_of(&hex_of(&digest)).unwrap(), digest);
        for bad in ["", "ab", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert!(digest_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_sample_is_a_configuration() {
        let text = include_str!("../../../docs/samples/officer.toml");
        let config: OfficerConfig = settings::parse(Path::new("docs/samples/officer.toml"), text).unwrap();
        assert!(from_b64url::<32>(&config.desk_pin).is_some());
        assert!(AgencyId::parse(&config.agency).is_some());
        let owners = config.owners().unwrap();
        assert_eq!(owners.len(), 3, "the one of `charter` and two more");
        assert!(owners.iter().all(|owner| owner.charter_hash.len() == 64));
        assert_eq!(owners[1].name.as_deref(), Some("Eastport"));

        // What names an owner by half, none, or too many is refused.
        let with = |change: &dyn Fn(&mut OfficerConfig)| {
            let mut config = config.clone();
            change(&mut config);
            config.owners().map(|owners| owners.len())
        };
        assert!(with(&|config| config.charter_hash = None).is_err());
        assert!(with(&|config| config.charter = None).is_err());
        let only_listed = |config: &mut OfficerConfig| (config.charter, config.charter_hash) = (None, None);
        assert_eq!(with(&only_listed), Ok(2));
        let fill = |count| move |config: &mut OfficerConfig| config.owner = vec![config.owner[0].clone(); count];
        assert_eq!(with(&fill(OWNERS_MAX - 1)), Ok(OWNERS_MAX));
        assert!(with(&fill(OWNERS_MAX)).is_err());
        let nobody = |config: &mut OfficerConfig| {
            only_listed(config);
            config.owner.clear();
        };
        assert!(with(&nobody).is_err());
    }

    #[test]
    fn a_refusal_explains_each_rule_once_and_then_names_the_keepers() {
        let reason = |rule: &str, cite: Option<&str>, fix: Option<&str>| ReasonText {
            rule: rule.to_owned(),
            say: format!("{rule} says so"),
            cite: cite.map(str::to_owned),
            fix: fix.map(str::to_owned),
        };
        let (first, second) = (reason("a.one", Some("Act 1"), Some("ask otherwise")), reason("b.two", None, None));
        let refusal =
            |keeper, name: &str, register, reasons| Refusal { keeper, name: name.to_owned(), register, reasons };
        let refusals = [refusal(1, "Clerk", 7, vec![first.clone(), second]), refusal(2, "Court", 9, vec![first])];
        let lines = refusal_lines(&refusals);
        let expected = [
            "  a.one",
            "    why     a.one says so",
            "    law     Act 1 (not legal advice)",
            "    lawful  ask otherwise",
            "",
            "  b.two",
            "    why     b.two says so",
            "",
            "  Clerk (register no. 7): a.one, b.two",
            "  Court (register no. 9): a.one",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_table_says_what_a_time_is() {
        use lockplate_core::read::{ReadFlags, TimeQuality};
        use lockplate_core::spellings::{StateMatch, TextMatch, Why};
        use lockplate_node::search::{Found, Proof, Snapped};
        let found = |time_quality, source_time_ms| Found {
            time_ms: 1_795_345_200_042,
            time_quality,
            source_time_ms,
            flags: ReadFlags::default(),
            camera: 7,
            place: None,
            text: "AB12345".to_owned(),
            confidence: None,
            state: None,
            why: Why { text: TextMatch::Same, state: StateMatch::NotRead },
            proof: Proof { epoch_id: [1; 16], header_hash: [2; 32], segment_root: [3; 32], bucket: 5, tag: [4; 32] },
            merged: 0,
        };
        let shown = |found| {
            let (from, to) = (Timestamp(1_795_345_200), Timestamp(1_795_348_800));
            let fetched = Fetched {
                request_digest: [0; 32],
                grant_digest: [0; 32],
                window: Snapped { from, to, moved: false },
                elements: 1,
                epochs: 1,
                epochs_destroyed: 0,
                epochs_not_searched: 0,
                found,
                cells: 2,
                others: 0,
                culprits: Vec::new(),
                register: Vec::new(),
                disclosure: None,
                kept: None,
                timings: search::Timings::default(),
            };
            table(&fetched, None).to_string()
        };
        let exact = found(TimeQuality::Exact, None);
        let wrong = found(TimeQuality::ReceiveTime, Some(1_774_000_000_000));
        assert!(!shown(vec![exact.clone()]).contains("remarks"));
        let text = shown(vec![exact, wrong]);
        assert!(text.contains("camera clock wrong: time of receipt"), "{text}");
        assert!(text.contains("the camera said 2026-03-20T09:46:40.000Z"), "{text}");
    }

    #[test]
    fn a_keepers_line_says_what_it_said() {
        let status = DeskStatus {
            state: DeskState::WaitingForHuman,
            keepers: vec![lockplate_node::api::DeskKeeper {
                index: 1,
                name: "Town Clerk".to_owned(),
                answer: None,
                problem: Some("unreachable".to_owned()),
            }],
            grant: None,
            evaluations: Vec::new(),
        };
        assert_eq!(progress(&status), "waiting for a person at a keeper \u{b7} Town Clerk: cannot be reached");
    }
}

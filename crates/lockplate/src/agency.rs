//! `lockplate agency`: the agency's process, its founding, and the registers its administrators keep.

mod camera;
mod hotlist;
mod passages;
mod register;
mod snippet;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use lockplate_core::Timestamp;
use lockplate_core::charter::{AcceptKeyFiles, CUSTODY_LABEL, LeafWait};
use lockplate_core::hotlist::limits::EXTRACT_ENTRIES_DEFAULT;
use lockplate_core::id::{AgencyId, b64url};
use lockplate_core::json::{parse_time, time_text};
use lockplate_core::vocabulary::{ArchiveKind, DeclarationName, Role, State};
use lockplate_log::VerifierKey;
use lockplate_node::agency::{self, AgencySettings};
use lockplate_node::clock::{Clock as _, SystemClock};
use lockplate_node::founding::{
    self, AgencyCard, AgencyFiles, AgencyParty, AuditorCard, CharterTerms, DeclarationTerms, FoundingError, KeeperCard,
    TrustedKey, WitnessCard,
};
use lockplate_node::officers::Roster;
use lockplate_node::passkeys::EnrolledPasskey;
use lockplate_node::rng::SystemRng;
use lockplate_node::shutdown::{ExitKind, Tasks};
use lockplate_policy::Bundle;
use lockplate_store::durable;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use zeroize::Zeroizing;

use self::camera::CameraTask;
use crate::Globals;
use crate::alerts::{self, AlertsArgs};
use crate::desk_client::{self, SourceTask};
use crate::exit::Ended;
use crate::keeper::{private_data, write_json};
use crate::owner_code::{self, OwnerCodeArgs};
use crate::screen::Screen;
use crate::search::hex_of;

/// The commented template, which is the sample of the documentation.
const TEMPLATE: &str = include_str!("../../../docs/samples/agency.toml");
/// Largest card or terms file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Seconds in a day.
const DAY: u64 = 86_400;

/// Run an agency, or keep its registers.
#[derive(Debug, Args)]
pub(crate) struct AgencyArgs {
    /// Print a commented configuration and exit
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    task: Option<AgencyTask>,
}

#[derive(Debug, Subcommand)]
enum AgencyTask {
    /// Run the agency (what happens without a subcommand)
    Run(RunArgs),
    /// Make this agency's keys and its card
    Init(InitArgs),
    /// Draft the charter from cards, and join the signatures
    #[command(subcommand)]
    Charter(CharterTask),
    /// Keep the register of cameras
    #[command(subcommand)]
    Camera(CameraTask),
    /// Make a source's token and print its section of agency.toml
    #[command(subcommand)]
    Source(SourceTask),
    /// Register, load and end hot lists
    Hotlist(Box<hotlist::HotlistArgs>),
    /// Fetch the passes of a toll or parking operator's customers
    Passages(passages::PassagesArgs),
    /// Keep the list of officers
    #[command(subcommand)]
    Officer(OfficerTask),
    /// Make a registered owner's one-time code for "was my plate searched?"
    OwnerCode(Box<OwnerCodeArgs>),
    /// Watch alerts, look at them, and say what became of them; an officer's, with officer.toml
    Alerts(Box<AlertsArgs>),
    /// Sign a statutory declaration and file it with an owner's keepers
    Declare(DeclareArgs),
    /// Write the public register as a folder; needs no key of the agency
    Register(register::RegisterArgs),
}

#[derive(Debug, Default, Args)]
struct RunArgs {
    /// Start although this witness of the own logs does not answer; the logs will say so. May be given more than once
    #[arg(long = "start-without", value_name = "NAME")]
    start_without: Vec<String>,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Folder to make: keys and data in DIR/data, the card in DIR/card.json
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Name for people
    #[arg(long)]
    name: String,
    /// ORI number
    #[arg(long, default_value = "")]
    ori: String,
    /// Two-letter state; US for a federal agency
    #[arg(long)]
    state: String,
    /// local, county, state, tribal, federal
    #[arg(long, default_value = "local")]
    level: String,
    /// Name of this machine; names of its keys begin with it
    #[arg(long)]
    host: String,
    /// Address under which the others reach it, https://..
    #[arg(long)]
    url: String,
    /// It only asks others and has no cameras
    #[arg(long)]
    asks_only: bool,
}

#[derive(Debug, Subcommand)]
enum CharterTask {
    /// Draft the charter from the terms and the cards they name; writes charter.draft
    Draft {
        /// The folder of `agency init`
        #[arg(long, value_name = "DIR")]
        folder: PathBuf,
        /// The terms (TOML); paths in it are relative to the file
        #[arg(long, value_name = "FILE")]
        terms: PathBuf,
    },
    /// Join the draft with the keepers' signatures; writes charter.auth
    Assemble {
        /// The folder of `agency init`
        #[arg(long, value_name = "DIR")]
        folder: PathBuf,
        /// Each keeper's charter.sig
        #[arg(long = "signature", value_name = "FILE", required = true)]
        signatures: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum OfficerTask {
    /// Add an officer; the passcode is read from a file or from standard input
    Add {
        /// The officer's key file; made where absent
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Until when the training is valid, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        trained_until: String,
        /// supervisor, custodian, prosecutor, stateCustodian
        #[arg(long)]
        role: Vec<String>,
        /// File of mode 0600 with the passcode; without it standard input
        #[arg(long, value_name = "FILE")]
        passcode_file: Option<PathBuf>,
    },
    /// Set an officer's passcode
    Passcode {
        /// The officer's key file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// File of mode 0600 with the passcode; without it standard input
        #[arg(long, value_name = "FILE")]
        passcode_file: Option<PathBuf>,
    },
    /// Take an officer out of service
    Suspend {
        /// The officer's key file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// List the officers, without names: there are none
    List,
}

#[derive(Debug, Args)]
struct DeclareArgs {
    /// CT-26-14
    declaration: String,
    /// The folder of `agency init`
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// The charter of the owner to whom it is made
    #[arg(long, value_name = "FILE")]
    charter: PathBuf,
    /// Name and office of the person who signs
    #[arg(long)]
    signer: String,
    /// Days it is in force, at most two years
    #[arg(long, default_value_t = 365)]
    days: u64,
}

/// The terms of a charter, as the parties agreed on them (TOML).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsFile {
    /// Card files, in the order of the keepers' places.
    keepers: Vec<PathBuf>,
    /// Keepers that must agree.
    threshold: u8,
    /// Length of a period, seconds.
    epoch_seconds: u64,
    /// Retention after the end of a period, seconds.
    retention_seconds: u64,
    /// police, toll, parking.
    #[serde(default = "police")]
    archive_kind: String,
    /// Entries of one extract, at most: 1,000,000 of the police where nothing is said, and up to 5,000,000.
    extract_entries_max: Option<u64>,
    /// Accounts of a toll or parking operator, at most: an operator without has no account list.
    #[serde(default)]
    accounts_max: u64,
    /// own or all.
    #[serde(default = "own")]
    accept_key_files: String,
    /// Whether a paper that only the owner's custodian attests counts.
    #[serde(default)]
    accept_attested: bool,
    /// Verifier keys of the policy signers.
    policy_signers: Vec<String>,
    /// Of whom so many are needed.
    policy_quorum: u8,
    /// Cards of agencies whose officers may ask; the owner's own is there by itself.
    #[serde(default)]
    agencies: Vec<PathBuf>,
    /// Judges.
    #[serde(default)]
    judge: Vec<JudgeTerms>,
    /// The owner's records custodians: they attest papers and registrations, and issue owners' codes.
    #[serde(default)]
    custodian: Vec<CustodianTerms>,
    /// Cards of auditors.
    #[serde(default)]
    auditors: Vec<PathBuf>,
    /// How many of a hundred leaves are audited.
    #[serde(default = "five")]
    audit_percent: u8,
    /// Outside witnesses.
    #[serde(default)]
    witness: Vec<WitnessTerms>,
    /// How many of them must cosign on top of the keepers.
    #[serde(default)]
    outside_witnesses: u8,
    /// cosigned or durable: what a keeper's entries wait for.
    #[serde(default = "cosigned")]
    keeper_leaves: String,
    /// cosigned or durable: what the entries of recorder and desk wait for.
    #[serde(default = "durable")]
    agency_leaves: String,
    /// Days for which agencies' and judges' keys are recognised.
    #[serde(default = "year")]
    trust_days: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JudgeTerms {
    name: String,
    court: String,
    /// Verifier key of a key file; or a passkey instead.
    key: Option<String>,
    /// File that `lockplate sign new-passkey` wrote.
    passkey: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CustodianTerms {
    name: String,
    /// As of a judge. Owners' codes are signed with a key file only.
    key: Option<String>,
    passkey: Option<PathBuf>,
}

/// One outside witness: the card that `lockplate witness init` made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessTerms {
    card: PathBuf,
}

fn cosigned() -> String {
    LeafWait::Cosigned.name().to_owned()
}

fn durable() -> String {
    LeafWait::Durable.name().to_owned()
}

const fn five() -> u8 {
    5
}

fn police() -> String {
    ArchiveKind::Police.name().to_owned()
}

fn own() -> String {
    AcceptKeyFiles::Own.name().to_owned()
}

const fn year() -> u64 {
    365
}

/// Carries out one task.
pub(crate) async fn run(args: AgencyArgs, globals: &Globals, screen: &Screen) -> Result<ExitKind> {
    if args.print_config {
        screen.line(TEMPLATE.trim_end());
        return Ok(ExitKind::Done);
    }
    match args.task {
        None => serve(globals, &RunArgs::default()).await,
        Some(AgencyTask::Run(run)) => serve(globals, &run).await,
        Some(AgencyTask::Init(init)) => make(&init, screen),
        Some(AgencyTask::Charter(CharterTask::Draft { folder, terms })) => draft(&folder, &terms, screen),
        Some(AgencyTask::Charter(CharterTask::Assemble { folder, signatures })) => {
            assemble(&folder, &signatures, screen)
        }
        Some(AgencyTask::Camera(task)) => camera::run(task, &config_path(globals), screen).await,
        Some(AgencyTask::Source(task)) => desk_client::source(&task, screen),
        Some(AgencyTask::Hotlist(args)) => hotlist::run(*args, globals, screen).await,
        Some(AgencyTask::Passages(args)) => passages::run(&args, &config_path(globals), screen).await,
        Some(AgencyTask::Officer(task)) => officer(task, globals, screen),
        Some(AgencyTask::OwnerCode(args)) => owner_code::run(&args, screen),
        Some(AgencyTask::Alerts(args)) => alerts::run(*args, globals, screen).await,
        Some(AgencyTask::Declare(args)) => declare(&args, screen).await,
        Some(AgencyTask::Register(args)) => register::run(args, screen).await,
    }
}

/// Where the agency's configuration is.
pub(crate) fn config_path(globals: &Globals) -> PathBuf {
    globals.config.clone().unwrap_or_else(|| PathBuf::from("agency.toml"))
}

/// The clock of a person at the command line.
pub(crate) fn now() -> Timestamp {
    Timestamp(u64::try_from(SystemClock::new().now_ms().div_euclid(1_000)).unwrap_or(0))
}

async fn serve(globals: &Globals, run: &RunArgs) -> Result<ExitKind> {
    let mut settings = AgencySettings::load(&config_path(globals), std::env::vars())?;
    run.start_without.iter().for_each(|witness| settings.start_without(witness));
    let tasks = Tasks::new();
    tasks.stop_on_signals().context("the system refuses signal handlers")?;
    Box::pin(agency::run(settings, Arc::new(SystemClock::new()), tasks)).await?;
    Ok(ExitKind::Done)
}

fn make(args: &InitArgs, screen: &Screen) -> Result<ExitKind> {
    let keys = args.folder.join("data/keys");
    private_data(&keys)?;
    let party = AgencyParty {
        name: args.name.clone(),
        ori: args.ori.clone(),
        state: args.state.clone(),
        level: args.level.clone(),
        law_enforcement: true,
        host: args.host.clone(),
        url: args.url.clone(),
        owner: !args.asks_only,
    };
    let path = args.folder.join("card.json");
    let earlier = if path.exists() { Some(read_card::<AgencyCard>(&path)?) } else { None };
    let card = founding::found_agency(&AgencyFiles::in_folder(&keys), &party, earlier.as_ref(), &mut SystemRng)?;
    write_json(&path, &serde_json::to_value(&card)?)?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/agency/1", "card": card, "file": path }));
    } else {
        screen.line(&format!("Keys made in {} (closed to everybody else).", keys.display()));
        screen.line(&format!("The card {} holds no secret.", path.display()));
    }
    Ok(ExitKind::Done)
}

/// A file of bounded size.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    let unreadable = || Ended::config(format!("{}: cannot be read", path.display()));
    if std::fs::metadata(path).map_err(|_cause| unreadable())?.len() > FILE_BYTES_MAX {
        return Err(Ended::config(format!("{}: larger than such a file can be", path.display())).into());
    }
    Ok(std::fs::read(path).map_err(|_cause| unreadable())?)
}

fn read_card<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_file(path)?;
    Ok(serde_json::from_slice(&bytes).map_err(|error| {
        Ended::config(format!("{}:{}:{}: not a card", path.display(), error.line(), error.column()))
    })?)
}

fn draft(folder: &Path, terms_path: &Path, screen: &Screen) -> Result<ExitKind> {
    let terms: TermsFile = lockplate_node::settings::load(terms_path)?;
    let base = terms_path.parent().unwrap_or_else(|| Path::new(""));
    let owner: AgencyCard = read_card(&folder.join("card.json"))?;
    let keepers = terms.keepers.iter().map(|path| read_card(&base.join(path))).collect::<Result<Vec<KeeperCard>>>()?;
    let charter = founding::draft_charter(&owner, &keepers, charter_terms(&terms, base, &owner)?)?;
    let line = founding::sign_as_agency(&charter, &AgencyFiles::in_folder(&folder.join("data/keys")))?;
    durable::replace(&folder.join("charter.draft"), charter.to_text()?.as_bytes())?;
    durable::replace(&folder.join("charter.sig"), format!("{line}\n").as_bytes())?;
    let label = if charter.custody_label() { CUSTODY_LABEL } else { "no party can open alone" };
    if screen.json() {
        screen.document(
            &json!({ "schema": "lockplate/agency/1", "draft": folder.join("charter.draft"), "custody": label }),
        );
    } else {
        screen.line(&format!(
            "Drafted for {} keepers, {} of whom must agree: {label}.",
            keepers.len(),
            terms.threshold
        ));
        screen.line(&format!("Send {} to each keeper to sign.", folder.join("charter.draft").display()));
    }
    if let Some(note) = quorum_note(terms.policy_quorum) {
        screen.note(note);
    }
    Ok(ExitKind::Done)
}

/// What a quorum of one means, which the number alone does not say.
const fn quorum_note(policy_quorum: u8) -> Option<&'static str> {
    match policy_quorum {
        1 => Some(
            "Note: policy_quorum is 1, so one policy signer alone can loosen the rules (after the 14 days of notice) and add trusted keys \
             (after 72 hours); the charter cannot be changed later.",
        ),
        _ => None,
    }
}

fn charter_terms(terms: &TermsFile, base: &Path, owner: &AgencyCard) -> Result<CharterTerms> {
    let refuse = |what: &str| Ended::config(format!("the terms of the charter: {what}"));
    let key = |text: &String| VerifierKey::parse(text).map_err(|_grammar| refuse("a key in it cannot be read"));
    let trusted = |text: Option<&String>, passkey: Option<&PathBuf>| match (text, passkey) {
        (Some(text), None) => Ok(TrustedKey::from(key(text)?)),
        (None, Some(path)) => {
            let file = EnrolledPasskey::read(&base.join(path)).map_err(FoundingError::from)?;
            Ok(TrustedKey::of_passkey(&file)?)
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(anyhow::Error::from(refuse("a judge or custodian has either a `key` or a `passkey`")))
        }
    };
    let state = State::parse(&owner.state).ok_or_else(|| refuse("the owner's card names an unknown state"))?;
    let from = now();
    let until = Timestamp(from.0.saturating_add(terms.trust_days.saturating_mul(DAY)));
    let mut trust = vec![founding::agency_trust_entry(owner, from, until)?];
    let agencies =
        terms.agencies.iter().map(|path| read_card(&base.join(path))).collect::<Result<Vec<AgencyCard>>>()?;
    for card in &agencies {
        trust.push(founding::agency_trust_entry(card, from, until)?);
    }
    for judge in &terms.judge {
        let key = trusted(judge.key.as_ref(), judge.passkey.as_ref())?;
        trust.push(founding::court_trust_entry(&judge.name, &judge.court, key, from, until));
    }
    let owner_id = AgencyId::parse(&owner.id).ok_or_else(|| refuse("the owner's card has no readable id"))?;
    for one in &terms.custodian {
        let key = trusted(one.key.as_ref(), one.passkey.as_ref())?;
        trust.push(founding::custodian_trust_entry(&one.name, owner_id, key, from, until));
    }
    let mut auditors = Vec::new();
    for path in &terms.auditors {
        let card: AuditorCard = read_card(&base.join(path))?;
        trust.push(founding::auditor_trust_entry(&card, from, until)?);
        auditors.push(founding::auditor_entry(&card)?);
    }
    let witnesses =
        terms.witness.iter().map(|one| read_card(&base.join(&one.card))).collect::<Result<Vec<WitnessCard>>>()?;
    let wait = |name: &str| {
        LeafWait::from_name(name).ok_or_else(|| refuse("`keeper_leaves` and `agency_leaves` are cosigned or durable"))
    };
    let archive_kind = ArchiveKind::from_name(&terms.archive_kind)
        .ok_or_else(|| refuse("`archive_kind` is police, toll or parking"))?;
    let extract_entries = match archive_kind {
        ArchiveKind::Police => EXTRACT_ENTRIES_DEFAULT,
        ArchiveKind::Toll | ArchiveKind::Parking => 0,
    };
    Ok(CharterTerms {
        archive_kind,
        threshold: terms.threshold,
        epoch_seconds: terms.epoch_seconds,
        retention_seconds: terms.retention_seconds,
        opening_keep_seconds: lockplate_core::charter::OPENING_KEEP_SECONDS_MIN,
        extract_entries_max: terms.extract_entries_max.unwrap_or(extract_entries),
        accounts_max: terms.accounts_max,
        accept_key_files: AcceptKeyFiles::from_name(&terms.accept_key_files)
            .ok_or_else(|| refuse("`accept_key_files` is own or all"))?,
        accept_attested: terms.accept_attested,
        trust,
        policy: Bundle::shipped(state).digest(),
        policy_signers: terms.policy_signers.iter().map(key).collect::<Result<Vec<_>, _>>()?,
        policy_quorum: terms.policy_quorum,
        auditors,
        audit_percent: terms.audit_percent,
        witnesses,
        outside_witnesses: terms.outside_witnesses,
        keeper_leaves: wait(&terms.keeper_leaves)?,
        agency_leaves: wait(&terms.agency_leaves)?,
        agencies,
    })
}

fn assemble(folder: &Path, signatures: &[PathBuf], screen: &Screen) -> Result<ExitKind> {
    let charter = founding::read_draft(&read_file(&folder.join("charter.draft"))?)?;
    let lines = [folder.join("charter.sig")]
        .iter()
        .chain(signatures)
        .map(|path| {
            let bytes = read_file(path)?;
            String::from_utf8(bytes).map_err(|_bytes| Ended::config(format!("{}: not text", path.display())).into())
        })
        .collect::<Result<Vec<_>>>()?;
    let file = founding::assemble(&charter, &lines)?;
    durable::replace(&folder.join("charter.auth"), file.bytes())?;
    let hash = hex_of(&file.hash());
    if screen.json() {
        screen
            .document(&json!({ "schema": "lockplate/agency/1", "charter": folder.join("charter.auth"), "hash": hash }));
    } else {
        screen.line(&format!("The charter is signed by all: {}.", folder.join("charter.auth").display()));
        screen.line(&format!("Its hash, by which everybody pins it: {hash}"));
    }
    Ok(ExitKind::Done)
}

fn officer(task: OfficerTask, globals: &Globals, screen: &Screen) -> Result<ExitKind> {
    let settings = AgencySettings::load(&config_path(globals), std::env::vars())?;
    let path =
        settings.officers().ok_or_else(|| Ended::config("this agency has no `[desk]`, so it has no officers"))?;
    let roster = Roster::at(path);
    let refused = |error: lockplate_node::officers::RosterError| Ended::config(error.to_string());
    let public = |key: &Path| Ok::<_, anyhow::Error>(founding::statement_signer(key)?.verify_key().0);
    let done = |what: &str, key: &[u8; 32], line: &str| {
        if screen.json() {
            screen.document(&json!({ "schema": "lockplate/agency/1", "key": hex_of(key), "done": what }));
        } else {
            screen.line(line);
        }
    };
    match task {
        OfficerTask::Add { key, trained_until, role, passcode_file } => {
            let until = parse_time(&trained_until)
                .ok_or_else(|| Ended::usage("--trained-until: expected a time such as 2027-01-01T00:00:00Z"))?;
            let roles = role
                .iter()
                .map(|name| Role::from_name(name).ok_or_else(|| Ended::usage("--role: not a role of the list")))
                .collect::<Result<BTreeSet<_>, _>>()?;
            let passcode = passcode(passcode_file.as_deref())?;
            let id = founding::make_person_key(&key, &mut SystemRng)?;
            roster.add_officer(&id, until, &roles, Some(&passcode), &mut SystemRng).map_err(refused)?;
            done("added", &id, &format!("Officer added; key {}.", b64url(&id)));
        }
        OfficerTask::Passcode { key, passcode_file } => {
            let id = public(&key)?;
            roster.set_passcode(&id, &passcode(passcode_file.as_deref())?, &mut SystemRng).map_err(refused)?;
            done("passcode set", &id, "Passcode set.");
        }
        OfficerTask::Suspend { key } => {
            let id = public(&key)?;
            roster.set_active(&id, false).map_err(refused)?;
            done("suspended", &id, "Taken out of service: at the desk at once, at keepers with the next list.");
        }
        OfficerTask::List => {
            let officers = roster.officers().map_err(refused)?;
            if screen.json() {
                let shown: Vec<_> = officers
                    .iter()
                    .map(|one| json!({ "keys": one.keys, "active": one.active, "roles": one.roles, "trained_until": one.trained_until }))
                    .collect();
                screen.document(&json!({ "schema": "lockplate/agency/1", "officers": shown }));
            } else {
                for one in officers {
                    let state = if one.active { "active" } else { "suspended" };
                    let until = time_text(Timestamp(one.trained_until));
                    screen.line(&format!(
                        "{} {state}, trained until {until} {}",
                        one.keys.join(" "),
                        one.roles.join(", ")
                    ));
                }
            }
        }
    }
    Ok(ExitKind::Done)
}

/// The passcode: from a file of mode 0600, or one line of standard input. Never an argument.
pub(crate) fn passcode(file: Option<&Path>) -> Result<Zeroizing<String>> {
    match file {
        Some(path) => crate::search::passcode(path),
        None => {
            let mut line = Zeroizing::new(String::new());
            std::io::stdin().read_line(&mut line).context("standard input cannot be read")?;
            Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
        }
    }
}

async fn declare(args: &DeclareArgs, screen: &Screen) -> Result<ExitKind> {
    let declaration = DeclarationName::from_name(&args.declaration)
        .ok_or_else(|| Ended::usage("not a declaration of the list: CT-26-14, IL-2-130-c, NJ-2026-4, NM-2026-20"))?;
    let card: AgencyCard = read_card(&args.folder.join("card.json"))?;
    let charter = lockplate_core::charter::CharterFile::verify(&read_file(&args.charter)?)
        .map_err(|error| Ended::config(format!("{}: {error}", args.charter.display())))?;
    let from = now();
    let terms = DeclarationTerms {
        declaration,
        owner: Some(charter.charter().owner.id),
        signer: args.signer.clone(),
        valid_from: from,
        valid_until: Timestamp(from.0.saturating_add(args.days.saturating_mul(DAY))),
    };
    let key = AgencyFiles::in_folder(&args.folder.join("data/keys")).agency;
    let object = founding::sign_declaration(&card, &key, &terms, from, &mut SystemRng)?;
    let path = args.folder.join(format!("declaration-{}.auth", args.declaration));
    durable::replace(&path, &object)?;
    let filed = desk_client::file_declaration(&charter, &object).await?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/agency/1", "declaration": path, "keepers": filed }));
    } else {
        screen.line(&format!("Declared, and entered in the public registers of {}.", filed.join(", ")));
    }
    Ok(ExitKind::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_a_configuration() {
        let file = Path::new("docs/samples/agency.toml");
        let config: agency::AgencyConfig = lockplate_node::settings::parse(file, TEMPLATE).unwrap();
        assert!(AgencySettings::try_from((file, config)).is_ok());
    }

    #[test]
    fn a_quorum_of_one_is_told_as_what_it_is() {
        assert!(quorum_note(1).is_some_and(|note| note.contains("one policy signer alone can loosen the rules")));
        assert_eq!(quorum_note(2), None);
    }

    #[test]
    fn init_closes_the_data_folder() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let args = InitArgs {
            folder: home.path().join("millbrook"),
            name: "Millbrook Police Department".to_owned(),
            ori: String::new(),
            state: "CT".to_owned(),
            level: "local".to_owned(),
            host: "millbrook.example".to_owned(),
            url: "https://127.0.0.1:8444".to_owned(),
            asks_only: false,
        };
        assert!(make(&args, &Screen::new(false, true, false)).is_ok());
        for path in ["data", "data/keys"] {
            let mode = std::fs::metadata(args.folder.join(path)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o700, "{path}");
        }
    }
}

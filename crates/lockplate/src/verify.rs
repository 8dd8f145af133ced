//! `lockplate verify`: is what an agency and its keepers publish true, and who says so? One argument decides. It prints "valid" only beside the
//! owner, the keepers, the witnesses that confirmed and the custody label; otherwise it says who lied and where the evidence is, what could
//! not be had, or which rules are broken.

mod package;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use lockplate_audit::monitor::{Alarm, Gap};
use lockplate_core::Timestamp;
use lockplate_core::charter::{CUSTODY_LABEL, Charter, CharterFile, LogName};
use lockplate_core::facts::AccessPolicy as _;
use lockplate_core::json::time_text;
use lockplate_log::{Error as LogError, WitnessPolicy};
use lockplate_node::follow::evidence::{Evidence, Verdict};
use lockplate_node::follow::{self, FollowError, Freshness, Reader};
use lockplate_node::shutdown::ExitKind;
use lockplate_node::verify::alarm::{self, AlarmFault};
use lockplate_node::verify::package::PACKAGE_FILE;
use lockplate_node::verify::pin::{self, PinError, Target};
use lockplate_node::verify::receipt::{self, ReceiptFault, Receipted, Trust};
use lockplate_node::verify::{CHARTER_FILE, Confirmation, Look, Watch};
use lockplate_node::witness::Shown;
use lockplate_policy::{Bundle, CedarPolicy};
use lockplate_store::durable;
use rand_core::Rng as _;
use serde_json::{Value, json};

use crate::agency::now;
use crate::exit::Ended;
use crate::screen::Screen;

/// Bytes of a file given as an argument: the largest is an evidence package, of 96 MiB at most.
const FILE_BYTES_MAX: u64 = 96 * 1024 * 1024;
/// How a receipt begins.
const RECEIPT_MAGIC: &[u8] = b"c2sp.org/tlog-proof@v1\n";
/// Where evidence goes that was not asked to be saved elsewhere, below the working folder.
const EVIDENCE_HERE: &str = "lockplate-evidence";

/// What stands in place of "valid" where no charter says whose keys they are.
const BY_TRUST_FILE: &str = "as the keys of the trust file signed it, whosever they are";

/// Check what an agency and its keepers publish, and say by whom it is valid.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Address with the charter's hash (https://host/#HASH), charter file, saved folder, evidence package, receipt, alarm or evidence file
    target: String,
    /// Hash that the charter must have, where TARGET is a file or a saved folder
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// Charter against which a receipt, a saved log or evidence is checked
    #[arg(long, value_name = "FILE")]
    charter: Option<PathBuf>,
    /// Trust file against which a receipt or a saved log is checked, in place of a charter
    #[arg(long, value_name = "FILE", conflicts_with = "charter")]
    trust: Option<PathBuf>,
    /// Keep what was fetched: one folder a log, as other people's verifiers read it
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

/// How the charter is known to be the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PinnedBy {
    /// By its hash.
    Hash,
    /// By nothing but that this file was named.
    File,
}

/// Decides.
pub(crate) async fn run(args: VerifyArgs, screen: &Screen) -> Result<ExitKind> {
    let hash = args.hash.as_deref().map(pin::parse_hash).transpose()?;
    match Target::parse(&args.target)? {
        Target::Url { .. } if hash.is_some() => {
            Err(Ended::usage("the address has the hash of the charter; --hash is for files").into())
        }
        Target::Url { base, hash } => {
            let charter = pinned(pin::fetch_charter(&base, hash).await)?;
            fetch_and_judge(&args, charter, PinnedBy::Hash, screen).await
        }
        Target::Path(path) if path.join(PACKAGE_FILE).is_file() => {
            let path = path.join(PACKAGE_FILE);
            package::judge(&args, &path, &read_file(&path)?, hash, screen)
        }
        Target::Path(path) if path.is_dir() => saved(&args, &path, hash, screen).await,
        Target::Path(path) => {
            let bytes = read_file(&path)?;
            if bytes.starts_with(RECEIPT_MAGIC) {
                return judge_receipt(&args, &path, &bytes, hash, screen);
            }
            if package::is_package(&path, &bytes) {
                return package::judge(&args, &path, &bytes, hash, screen);
            }
            if bytes.trim_ascii_start().starts_with(b"{") && !bytes.windows(2).any(|pair| pair == b"\n\n") {
                if alarm::is_alarm(&bytes) {
                    return judge_alarm(&args, &bytes, hash, screen);
                }
                return judge_evidence(&args, &bytes, hash, screen);
            }
            let charter = pinned(pin::pin(&bytes, hash))?;
            fetch_and_judge(&args, charter, pinned_by(hash), screen).await
        }
    }
}

const fn pinned_by(hash: Option<[u8; 32]>) -> PinnedBy {
    if hash.is_some() { PinnedBy::Hash } else { PinnedBy::File }
}

/// A charter, or the exit that its absence is; a wrong one is kept as evidence.
pub(crate) fn pinned(result: Result<CharterFile, PinError>) -> Result<CharterFile> {
    match result {
        Ok(charter) => Ok(charter),
        Err(PinError::OtherCharter(bytes)) => {
            let kept = keep_here("other-charter.auth", &bytes)?;
            let message = format!("{}; what was shown: {}", PinError::OtherCharter(Vec::new()), kept.display());
            Err(Ended::of(ExitKind::Lied, message).into())
        }
        Err(error) => Err(error.into()),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(PinError::File)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Ended::config("the file is larger than anything that can be verified").into());
    }
    Ok(std::fs::read(path).map_err(PinError::File)?)
}

/// Puts evidence where the user is, durable on return.
fn keep_here(name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let folder = Path::new(EVIDENCE_HERE);
    let keep = || -> Result<PathBuf, durable::Error> {
        durable::create_dir(folder)?;
        let path = folder.join(name);
        durable::replace(&path, bytes)?;
        Ok(path)
    };
    keep().map_err(|error| Ended::config(format!("the evidence cannot be kept here: {error}")).into())
}

/// A folder that is gone when the program is done with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder among the system's temporary ones.
    pub(crate) fn new() -> Result<Self> {
        let name = format!("lockplate-verify-{:016x}", lockplate_node::rng::SystemRng.next_u64());
        let folder = std::env::temp_dir().join(name);
        durable::create_dir(&folder).map_err(|error| Ended::config(format!("no place to work in: {error}")))?;
        Ok(Self(folder))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

/// Follows all logs of a charter and says what they come to.
async fn fetch_and_judge(
    args: &VerifyArgs,
    charter: CharterFile,
    pinned_by: PinnedBy,
    screen: &Screen,
) -> Result<ExitKind> {
    let scratch = if args.save.is_none() { Some(Scratch::new()?) } else { None };
    let folder = scratch.as_ref().map(|scratch| scratch.path().to_path_buf()).or_else(|| args.save.clone());
    let folder = folder.unwrap_or_default();
    let mut watch = Watch::new(charter, &folder, Reader::RelyingParty)?;
    tell_bundles(&watch)?;
    let look = watch.look(now().0).await;
    if args.save.is_some() {
        watch.save_receipts()?;
    }
    report(&watch, &look, pinned_by, if scratch.is_some() { Kept::NoLonger } else { Kept::Fetched }, screen)
}

/// What somebody saved: a whole town, or one log with its trust file.
async fn saved(args: &VerifyArgs, folder: &Path, hash: Option<[u8; 32]>, screen: &Screen) -> Result<ExitKind> {
    if args.save.is_some() {
        return Err(Ended::usage("the folder is saved already").into());
    }
    if folder.join(CHARTER_FILE).exists() {
        let charter = pinned(pin::read_charter(&folder.join(CHARTER_FILE), hash))?;
        let mut watch = Watch::new(charter, folder, Reader::Monitor)?;
        tell_bundles(&watch)?;
        let look = watch.look_at_saved_as_of_then(now().0).await;
        return report(&watch, &look, pinned_by(hash), Kept::Saved, screen);
    }
    let (policy, charter) = match (&args.charter, &args.trust) {
        (Some(file), _) => {
            let charter = pinned(pin::read_charter(file, hash))?;
            let note = read_file(&folder.join(follow::CHECKPOINT_FILE))?;
            let origin = note.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let log = charter.charter().logs().find(|log| log.key.name().as_str().as_bytes() == origin);
            let log = log.ok_or(Ended::of(ExitKind::Lied, "the saved log is none of the charter's"))?;
            let policy = charter.charter().witness_policy(&log.name);
            (policy.context("the charter has no trust file for this log")?, Some(charter))
        }
        (None, Some(file)) => (trust_file(file)?, None),
        // The trust file in the folder is the word of whoever made the folder.
        (None, None) => {
            return Err(Ended::usage(
                "a saved log is checked against somebody's keys\nadd --charter FILE or --trust FILE",
            )
            .into());
        }
    };
    let at = now().0;
    let dir = folder.to_path_buf();
    let opened = tokio::task::spawn_blocking(move || follow::open(&dir, &policy, Reader::Monitor, at)).await?;
    let followed = opened.map_err(|error| {
        if let FollowError::Lied { lie, evidence } = &error {
            return Ended::of(ExitKind::Lied, format!("{lie}; evidence: {}", evidence.display())).into();
        }
        anyhow::Error::from(error)
    })?;
    let confirmed: Vec<String> =
        followed.cosigned().cosignatures.iter().map(|cosignature| cosignature.witness().to_string()).collect();
    let kind = match followed.freshness(at) {
        Freshness::Unwitnessed | Freshness::Fresh | Freshness::Old => ExitKind::Done,
        Freshness::Stale => ExitKind::Problems,
    };
    if screen.json() {
        screen.document(&json!({
            "schema": "lockplate/verify/1",
            "kind": "log",
            "as_signed": true,
            // Without a charter nobody has said whose log it is.
            "valid": kind == ExitKind::Done && charter.is_some(),
            "origin": followed.checkpoint().origin().as_str(),
            "entries": followed.checkpoint().size(),
            "confirmed_by": confirmed,
            "confirmed_at": followed.cosigned().quorum_at.map(|time| time_text(Timestamp(time))),
            "exit": kind.code(),
        }));
        return Ok(kind);
    }
    let checkpoint = followed.checkpoint();
    let verdict = if kind != ExitKind::Done {
        "STALE: as it was when last confirmed"
    } else if charter.is_some() {
        "valid"
    } else {
        BY_TRUST_FILE
    };
    screen.heading(&format!(
        "{verdict}: {} entries of {} are the ones that were signed",
        checkpoint.size(),
        checkpoint.origin()
    ));
    if let Some(charter) = &charter {
        show_parties(charter.charter(), screen);
    }
    screen.line(&format!("confirmed by: {}", listed(&confirmed)));
    Ok(kind)
}

fn trust_file(file: &Path) -> Result<WitnessPolicy> {
    let text = String::from_utf8(read_file(file)?).map_err(|_bytes| Ended::config("the trust file is not text"))?;
    WitnessPolicy::parse(&text).map_err(|error: LogError| Ended::config(error.to_string()).into())
}

/// One receipt.
fn judge_receipt(
    args: &VerifyArgs,
    path: &Path,
    bytes: &[u8],
    hash: Option<[u8; 32]>,
    screen: &Screen,
) -> Result<ExitKind> {
    let beside = path.with_extension("leaf");
    let leaf = if beside.is_file() { Some(read_file(&beside)?) } else { None };
    let (charter, policy) = match (&args.charter, &args.trust) {
        (Some(file), _) => (Some(pinned(pin::read_charter(file, hash))?), None),
        (None, Some(file)) => (None, Some(trust_file(file)?)),
        (None, None) => {
            return Err(Ended::usage("a receipt is checked against somebody's key\nadd --charter FILE").into());
        }
    };
    let trust = match (&charter, &policy) {
        (Some(charter), _) => Trust::Charter(charter.charter()),
        (None, Some(policy)) => Trust::Policy(policy),
        (None, None) => return Err(Ended::internal("a receipt without anybody to trust").into()),
    };
    let good = receipt::check(bytes, leaf.as_deref(), trust, now().0).map_err(|fault| {
        Ended::of(ExitKind::Lied, format!("{fault}; the receipt is the evidence: {}", path.display()))
    })?;
    show_receipt(&good, charter.as_ref().map(CharterFile::charter), screen);
    Ok(ExitKind::Done)
}

fn show_receipt(good: &Receipted, charter: Option<&Charter>, screen: &Screen) {
    let checkpoint = good.cosigned.signed.checkpoint();
    let witness = |name: &str| {
        let known = charter.zip(good.log).and_then(|(charter, log)| {
            let found = charter.witnesses_of(&log).find(|witness| witness.key.name().as_str() == name)?;
            Some(format!("{} ({})", found.name, found.operator))
        });
        known.unwrap_or_else(|| name.to_owned())
    };
    let confirmed: Vec<String> =
        good.cosigned.cosignatures.iter().map(|cosignature| witness(cosignature.witness().as_str())).collect();
    if screen.json() {
        let mut document = json!({
            "schema": "lockplate/verify/1",
            "kind": "receipt",
            "as_signed": true,
            "valid": charter.is_some(),
            "origin": checkpoint.origin().as_str(),
            "index": good.index,
            "entries": checkpoint.size(),
            "type": good.type_name,
            "confirmed_by": confirmed,
            "confirmed_at": good.cosigned.quorum_at.map(|time| time_text(Timestamp(time))),
            "exit": 0,
        });
        if let (Some(charter), Some(fields)) = (charter, document.as_object_mut()) {
            fields.insert("owner".to_owned(), json!(charter.owner.name));
            fields.insert("custody_label".to_owned(), json!(charter.custody_label()));
        }
        screen.document(&document);
        return;
    }
    let what = good.type_name.as_deref().unwrap_or("not of the agreed form");
    let verdict = if charter.is_some() { "valid" } else { BY_TRUST_FILE };
    screen.heading(&format!("{verdict}: entry {} of {} ({what})", good.index, checkpoint.origin()));
    if let Some(charter) = charter {
        show_parties(charter, screen);
    }
    screen.line(&format!("confirmed by: {}", listed(&confirmed)));
    if let Some(time) = good.cosigned.quorum_at {
        screen.line(&format!("confirmed at: {}", time_text(Timestamp(time))));
    }
}

/// What an evidence file proves to somebody who was not there.
fn judge_evidence(args: &VerifyArgs, bytes: &[u8], hash: Option<[u8; 32]>, screen: &Screen) -> Result<ExitKind> {
    let refused = |_not| Ended::config("the file is neither a charter nor a receipt nor evidence");
    // What a witness shows is a list of such files, of which one is enough.
    let shown = serde_json::from_slice::<Shown>(bytes).ok();
    let evidence = match shown {
        Some(Shown { forks, .. }) => {
            let convicts = forks.iter().position(|fork| matches!(fork.check(), Ok(Verdict::Forked(_))));
            let nothing = Ended::config("the witness shows nothing against the register");
            forks.into_iter().nth(convicts.unwrap_or(0)).ok_or(nothing)?
        }
        None => Evidence::parse(bytes).map_err(refused)?,
    };
    let verdict = evidence.check().map_err(refused)?;
    let (Verdict::Forked(key) | Verdict::Record(key)) = &verdict;
    let charter = args.charter.as_ref().map(|file| pinned(pin::read_charter(file, hash))).transpose()?;
    let log = charter.as_ref().map(|charter| charter.charter().logs().find(|log| log.key == key.as_ref()));
    let whose = match (&charter, &log) {
        (Some(charter), Some(Some(log))) => party(charter.charter(), &log.name),
        (Some(_), _) => {
            return Err(Ended::of(ExitKind::Lied, "the log of the evidence is none of the charter's").into());
        }
        (None, _) => key.name().to_string(),
    };
    let forked = matches!(verdict, Verdict::Forked(_));
    // A fork is proved, whoever shows it. Anything else is the word of whoever kept the file.
    let kind = if forked { ExitKind::Lied } else { ExitKind::Problems };
    if screen.json() {
        screen.document(&json!({
            "schema": "lockplate/verify/1",
            "kind": "evidence",
            "what": evidence.what(),
            "proved": forked,
            "log": key.name().as_str(),
            "key": key.to_string(),
            "seen": time_text(Timestamp(evidence.seen())),
            "exit": kind.code(),
        }));
        return Ok(kind);
    }
    if forked {
        screen.heading(&format!("proved: {whose} signed two versions of one register that cannot both be true"));
        screen.line(&format!("its key: {key}"));
    } else {
        screen.heading(&format!("not proved against {whose}: what the file shows is the word of whoever kept it"));
    }
    Ok(kind)
}

/// What an alarm's file proves: its entries. Exit 7, as where the alarm was raised.
fn judge_alarm(args: &VerifyArgs, bytes: &[u8], hash: Option<[u8; 32]>, screen: &Screen) -> Result<ExitKind> {
    let Some(file) = &args.charter else {
        return Err(Ended::usage("an alarm's entries are checked against somebody's keys\nadd --charter FILE").into());
    };
    let charter = pinned(pin::read_charter(file, hash))?;
    let charter = charter.charter();
    let checked = alarm::check(bytes, charter, now().0).map_err(|fault| match fault {
        AlarmFault::Malformed | AlarmFault::Fork | AlarmFault::Receipt(ReceiptFault::Malformed) => {
            Ended::config(fault.to_string())
        }
        AlarmFault::Receipt(_) | AlarmFault::OtherEntry => Ended::of(ExitKind::Lied, fault.to_string()),
    })?;
    let kind = ExitKind::Problems;
    if screen.json() {
        let proved: Vec<Value> = checked
            .proved
            .iter()
            .map(|entry| json!({ "log": entry.log.to_string(), "index": entry.index, "type": entry.type_name }))
            .collect();
        screen.document(&json!({
            "schema": "lockplate/verify/1",
            "kind": "alarm",
            "proved": false,
            "rule": checked.rule.name(),
            "number": checked.rule.id(),
            "text": checked.rule.explain(),
            "entries_proved": proved,
            "entries_named_only": checked.bare,
            "exit": kind.code(),
        }));
        return Ok(kind);
    }
    screen.heading(&format!("not proved by this file alone: alarm {}, {}", checked.rule.id(), checked.rule.explain()));
    for entry in &checked.proved {
        let what = entry.type_name.as_deref().unwrap_or("not of the agreed form");
        screen.line(&format!("{:<12} entry {} of {} ({what})", "as signed", entry.index, party(charter, &entry.log)));
    }
    if checked.bare > 0 {
        screen.line(&format!("{:<12} {} entries that the file only names", "not shown", checked.bare));
    }
    screen.line(
        "That nothing else in the registers explains them is the word of whoever kept the file: ask the registers.",
    );
    Ok(kind)
}

/// Tells the rules that come with this program for the owner's state, so that a citation of any other rule from them is found.
pub(crate) fn tell_bundles(watch: &Watch) -> Result<()> {
    tell_rules(watch, &shipped_policy(watch.charter().charter())?);
    Ok(())
}

/// The same for rules that are loaded already.
pub(crate) fn tell_rules(watch: &Watch, policy: &CedarPolicy) {
    watch.tell_bundle(policy.digest(), policy.rules().map(str::to_owned).collect());
}

/// The rules that come with this program for the owner's state.
pub(crate) fn shipped_policy(charter: &Charter) -> Result<CedarPolicy> {
    let policy = CedarPolicy::load(&Bundle::shipped(charter.owner.state));
    Ok(policy.map_err(|_ours| Ended::internal("the rules of this program are broken"))?)
}

/// Whose log it is, for people.
pub(crate) fn party(charter: &Charter, log: &LogName) -> String {
    match log {
        LogName::Keeper(index) => match charter.keeper(*index) {
            Some(keeper) => format!("keeper {} ({}, {})", index.0, keeper.name, keeper.legal_entity),
            None => format!("keeper {}", index.0),
        },
        LogName::Recorder => format!("{}, recorder", charter.owner.name),
        LogName::Desk(id) => {
            let name = charter.agency(*id).map(|agency| agency.name.clone());
            format!("{}, desk", name.unwrap_or_else(|| id.to_string()))
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join("; ") }
}

fn show_parties(charter: &Charter, screen: &Screen) {
    screen.line(&format!("owner: {}", charter.owner.name));
    let keepers: Vec<String> =
        charter.keepers.iter().map(|keeper| format!("{} ({})", keeper.name, keeper.legal_entity)).collect();
    screen.line(&format!("keepers, {} of {} must agree: {}", charter.threshold, keepers.len(), keepers.join("; ")));
    screen.line(&format!("custody: {}", custody(charter)));
}

fn custody(charter: &Charter) -> String {
    if charter.custody_label() {
        CUSTODY_LABEL.to_uppercase()
    } else {
        format!("{} legal entities hold the keys, and none of them can open anything alone", charter.legal_entities())
    }
}

/// Who confirmed, each once.
fn confirmations(look: &Look) -> Vec<(String, String)> {
    let all = look.logs.iter().filter_map(|log| log.seen.as_ref().ok()).flat_map(|seen| &seen.confirmed_by);
    let each: BTreeSet<(String, String)> =
        all.map(|Confirmation { name, operator, .. }| (name.clone(), operator.clone())).collect();
    each.into_iter().collect()
}

/// An evidence file that outlives the program.
fn evidence_of(error: &FollowError, scratch: bool) -> Result<Option<PathBuf>> {
    let FollowError::Lied { evidence, .. } = error else { return Ok(None) };
    if !scratch || evidence.is_dir() {
        return Ok(Some(evidence.clone()));
    }
    let name = evidence.file_name().and_then(|name| name.to_str()).unwrap_or("evidence.json").to_owned();
    Ok(Some(keep_here(&name, &read_file(evidence)?)?))
}

/// Where the logs are that a round was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// In a folder that goes with the program.
    NoLonger,
    /// In the user's folder, fetched just now.
    Fetched,
    /// In the user's folder, fetched by somebody some time.
    Saved,
}

/// What one round comes to.
fn report(watch: &Watch, look: &Look, pinned_by: PinnedBy, kept: Kept, screen: &Screen) -> Result<ExitKind> {
    let (scratch, saved) = (kept == Kept::NoLonger, kept == Kept::Saved);
    let kind = look.exit_kind();
    let mut logs = Vec::new();
    let mut evidence = Vec::new();
    for log in &look.logs {
        let kept = log.seen.as_ref().err().map(|error| evidence_of(error, scratch)).transpose()?.flatten();
        evidence.extend(kept.clone());
        logs.push((log, kept));
    }
    // A convicting alarm has its file from the follower; the others are kept where the user keeps the logs.
    if !scratch {
        for alarm in &look.alarms {
            evidence.push(watch.keep_alarm(alarm)?);
        }
    }
    if screen.json() {
        screen.document(&document(watch, look, pinned_by, kind, &evidence));
        return Ok(kind);
    }
    let charter = watch.charter().charter();
    let hash = hex_of(&watch.charter().hash());
    match pinned_by {
        PinnedBy::Hash => screen.note(&format!("charter {hash}")),
        PinnedBy::File => screen.note(&format!(
            "TRUSTING THE FILE ITSELF: its charter has the hash {hash}; compare it with what the agency and the keepers print"
        )),
    }
    if saved {
        screen.note(&format!("as of {}: nobody was asked what came after", time_text(Timestamp(look.at))));
    }
    for (log, kept) in &logs {
        let whose = party(charter, &log.name);
        match &log.seen {
            Ok(seen) => screen.line(&format!(
                "{:<12} {whose}: {} entries, confirmed {} by {}",
                "as signed",
                seen.size,
                seen.confirmed_at.map_or_else(|| "never".to_owned(), |time| time_text(Timestamp(time))),
                listed(&seen.confirmed_by.iter().map(|by| by.name.clone()).collect::<Vec<_>>())
            )),
            Err(error) => {
                let word = if error.exit_kind() != ExitKind::Lied {
                    "NOT SEEN"
                } else if saved {
                    "NOT AS SIGNED"
                } else {
                    "LIED"
                };
                screen.line(&format!("{word:<12} {whose}: {}", with_cause(error)));
                if let Some(file) = kept {
                    screen.line(&format!("{:<12} evidence: {}", "", file.display()));
                }
            }
        }
    }
    for alarm in &look.alarms {
        screen.line(&alarm_line(charter, alarm));
    }
    for gap in &look.gaps {
        screen.note(&format!("{:<12} {}", "not checked", gap_text(charter, gap)));
    }
    let entries: u64 = look.logs.iter().filter_map(|log| log.seen.as_ref().ok()).map(|seen| seen.size).sum();
    let verdict = match kind {
        ExitKind::Done => {
            format!("valid: {entries} entries of {} registers are as they were signed, and keep the rules", logs.len())
        }
        ExitKind::Lied if saved => {
            "NOT VALID: this is not what was signed; a party lied, or somebody changed the files".to_owned()
        }
        ExitKind::Lied => "NOT VALID: somebody lied; keep the evidence and show it to others".to_owned(),
        ExitKind::Problems if look.alarms.iter().all(|alarm| alarm.rule.id() == "M8") => {
            "NOT VALID: the registers are as they were signed, and not confirmed lately".to_owned()
        }
        ExitKind::Problems => {
            "NOT VALID: the registers are as they were signed, and show that rules were broken".to_owned()
        }
        ExitKind::Internal
        | ExitKind::Usage
        | ExitKind::Config
        | ExitKind::Refused
        | ExitKind::Unavailable
        | ExitKind::Gone
        | ExitKind::Fenced
        | ExitKind::Interrupted => "NOT VALID: not everything could be read; try again".to_owned(),
    };
    screen.heading(&verdict);
    show_parties(charter, screen);
    let by: Vec<String> =
        confirmations(look).into_iter().map(|(name, operator)| format!("{name} ({operator})")).collect();
    screen.line(&format!("confirmed by: {}", listed(&by)));
    Ok(kind)
}

/// Who lied, and where the evidence is: for commands that are about something else.
pub(crate) fn tell_lies(watch: &Watch, look: &Look, scratch: bool, screen: &Screen) -> Result<()> {
    let charter = watch.charter().charter();
    for log in &look.logs {
        let Some(error) = log.seen.as_ref().err().filter(|error| error.exit_kind() == ExitKind::Lied) else { continue };
        screen.error(&format!("LIED: {}: {}", party(charter, &log.name), with_cause(error)));
        if let Some(file) = evidence_of(error, scratch)? {
            screen.error(&format!("evidence: {}", file.display()));
        }
    }
    for alarm in look.alarms.iter().filter(|alarm| alarm.rule.is_proof()) {
        screen.error(&alarm_line(charter, alarm));
        if !scratch {
            screen.error(&format!("evidence: {}", watch.keep_alarm(alarm)?.display()));
        }
    }
    Ok(())
}

/// One alarm as a line.
pub(crate) fn alarm_line(charter: &Charter, alarm: &Alarm) -> String {
    let whose: Vec<String> = alarm.logs.iter().map(|log| party(charter, log)).collect();
    let leaves: Vec<String> = alarm.leaves.iter().map(|leaf| format!("{}:{}", leaf.log, leaf.index)).collect();
    let place = if leaves.is_empty() { String::new() } else { format!(" [{}]", leaves.join(", ")) };
    format!("{:<12} {}: {}{place}", format!("ALARM {}", alarm.rule.id()), whose.join("; "), alarm.text())
}

/// What could not be checked, for people.
pub(crate) fn gap_text(charter: &Charter, gap: &Gap) -> String {
    match gap {
        Gap::DeskUnknown { desk } => {
            format!("what {} opened: the charter does not say where its register is", party(charter, desk))
        }
        Gap::LogUnread { log } => format!("the register of {}", party(charter, log)),
        Gap::UnknownLeaves { log, count } => {
            format!("{count} entries of {}, of kinds that this release does not know", party(charter, log))
        }
        Gap::BundleUnknown { count } => {
            format!("whether {count} sets of rules hold the rules that were cited from them")
        }
    }
}

/// An error with what lies behind it.
pub(crate) fn with_cause(error: &FollowError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn document(watch: &Watch, look: &Look, pinned_by: PinnedBy, kind: ExitKind, evidence: &[PathBuf]) -> Value {
    let charter = watch.charter().charter();
    let keepers: Vec<Value> = charter
        .keepers
        .iter()
        .map(|keeper| json!({ "index": keeper.index.0, "name": keeper.name, "legal_entity": keeper.legal_entity }))
        .collect();
    let by: Vec<Value> =
        confirmations(look).into_iter().map(|(name, operator)| json!({ "name": name, "operator": operator })).collect();
    let logs: Vec<Value> = look.logs.iter().map(log_document).collect();
    let evidence: Vec<String> = evidence.iter().map(|path| path.display().to_string()).collect();
    json!({
        "schema": "lockplate/verify/1",
        "kind": "town",
        "valid": kind == ExitKind::Done,
        "owner": charter.owner.name,
        "charter": hex_of(&watch.charter().hash()),
        "pinned_by": match pinned_by { PinnedBy::Hash => "hash", PinnedBy::File => "file" },
        "keepers": keepers,
        "threshold": charter.threshold,
        "legal_entities": charter.legal_entities(),
        "custody_label": charter.custody_label(),
        "confirmed_by": by,
        "logs": logs,
        "alarms": look.alarms,
        "not_checked": look.gaps,
        "evidence": evidence,
        "exit": kind.code(),
    })
}

/// One log of one round.
pub(crate) fn log_document(log: &lockplate_node::verify::LogLook) -> Value {
    match &log.seen {
        Ok(seen) => json!({
            "log": log.name.to_string(),
            "origin": log.origin,
            "entries": seen.size,
            "added": seen.added,
            "confirmed_at": seen.confirmed_at.map(|time| time_text(Timestamp(time))),
            "confirmed_by": seen.confirmed_by.iter().map(|by| &by.name).collect::<Vec<_>>(),
        }),
        Err(error) => json!({
            "log": log.name.to_string(),
            "origin": log.origin,
            "error": with_cause(error),
            "lied": error.exit_kind() == ExitKind::Lied,
        }),
    }
}

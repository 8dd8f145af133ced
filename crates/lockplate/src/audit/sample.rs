//! `lockplate audit sample`: an auditor's round. The roots of checkpoints that others confirmed decide which leaves are looked at
//! (`log.md` section 7); each is fetched from its keeper, opened with the auditor's own key, and compared with the public leaf: the
//! request, every blinded element, every salted digest, the notice tags, and the decision, by asking the same rules again. It prints no
//! plate. Run it at least once a day: only checkpoints that were fetched can decide.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use lockplate_audit::logs::OpeningState;
use lockplate_audit::sample::{Due, Plan, plan};
use lockplate_audit::{Head, LeafRef};
use lockplate_core::Timestamp;
use lockplate_core::audit::replay::{Decided, Replayed, replay};
use lockplate_core::audit::{
    Audited, AuditorCall, AuditorCallBody, EscrowFault, Review, ReviewBody, SAMPLE_AFTER_SECONDS, auditor_digest,
    check_escrow, check_notice,
};
use lockplate_core::charter::{Charter, KeeperEntry, LogName};
use lockplate_core::directory::TrustRole;
use lockplate_core::entry::{Leaf, LogEntry, RequestLeaf, Stamped, leaf_time, parse_leaf};
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::notice::BlindedInputs;
use lockplate_core::request::FiledRequest;
use lockplate_core::signed::{Header, Signable as _, VersionOne};
use lockplate_log::NoteSigner;
use lockplate_node::client::PeerError;
use lockplate_node::follow::Reader;
use lockplate_node::founding::{AuditorFiles, found_auditor};
use lockplate_node::oversight::{Oversight, elements};
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::settings::read_secret;
use lockplate_node::shutdown::ExitKind;
use lockplate_node::verify::Watch;
use lockplate_oprf::{Element, Secret};
use lockplate_policy::CedarPolicy;
use lockplate_store::durable;
use rand_core::Rng as _;
use serde::Serialize;
use serde_json::json;

use super::CharterArgs;
use super::mine::{leaves, saved};
use crate::agency::now;
use crate::exit::Ended;
use crate::keeper::write_json;
use crate::owner_code::trusted_signer;
use crate::screen::Screen;
use crate::verify::{party, shipped_policy, tell_lies, tell_rules};

/// Where checkpoints are kept, one folder a log.
const HEADS: &str = "heads";
/// Where the end of the last filed review is kept, one file a keeper.
const REVIEWED: &str = "reviewed";
/// Seconds for which a call is good.
const CALL_SECONDS: u64 = 600;

/// Make an auditor's keys and card.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Folder for the keys; the card goes to DIR/card.json
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Name for people, as it shall stand in the charter
    #[arg(long)]
    name: String,
    /// Name of the key, such as auditor.state.example
    #[arg(long)]
    key_name: String,
}

/// Makes them; keys that are there are kept.
pub(crate) fn init(args: &InitArgs, screen: &Screen) -> Result<ExitKind> {
    durable::create_dir(&args.folder).map_err(|error| Ended::config(format!("{}: {error}", args.folder.display())))?;
    let card = found_auditor(&AuditorFiles::in_folder(&args.folder), &args.name, &args.key_name, &mut SystemRng)?;
    let path = args.folder.join("card.json");
    write_json(&path, &serde_json::to_value(&card).context("a card could not be written")?)?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/audit/1", "kind": "init", "card": path }));
    } else {
        screen.line(&format!("Send {} to the agency: it goes into the charter.", path.display()));
    }
    Ok(ExitKind::Done)
}

/// Look at the entries that chance has chosen.
#[derive(Debug, Args)]
pub(crate) struct SampleArgs {
    #[command(flatten)]
    charter: CharterArgs,
    /// Folder of `audit init`
    #[arg(long, value_name = "DIR")]
    auditor_key: PathBuf,
    /// Folder that keeps the logs and every checkpoint seen
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Sign the review and file it with the keepers
    #[arg(long)]
    file: bool,
}

/// The auditor, as the charter knows him.
struct Auditor {
    secret: HpkeSecretKey,
    signer: NoteSigner,
    digest: [u8; 32],
}

/// What came of one leaf.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
enum Looked {
    /// It says what its leaf says.
    Good {
        /// Whether the rules were asked again, or had not been asked.
        replayed: bool,
    },
    /// Refused by a keeper that could not open it: there is nothing to compare.
    Nothing,
    /// Erased before it was looked at.
    Erased,
    /// Somebody lied.
    Failed {
        /// About what.
        what: String,
    },
    /// It could not be had.
    NotHad {
        /// Why.
        why: String,
    },
}

#[derive(Debug, Serialize)]
struct Line {
    index: u64,
    #[serde(flatten)]
    looked: Looked,
}

#[derive(Debug, Serialize)]
struct Round {
    keeper: u8,
    from: u64,
    to: u64,
    passed: u64,
    undecided: u64,
    lines: Vec<Line>,
    register: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Round {
    fn count(&self, of: impl Fn(&Looked) -> bool) -> u64 {
        u64::try_from(self.lines.iter().filter(|line| of(&line.looked)).count()).unwrap_or(u64::MAX)
    }

    fn failed(&self) -> u64 {
        self.count(|looked| matches!(looked, Looked::Failed { .. }))
    }

    fn sampled(&self) -> u64 {
        self.count(|looked| matches!(looked, Looked::Good { .. } | Looked::Failed { .. }))
    }

    fn not_had(&self) -> u64 {
        self.count(|looked| matches!(looked, Looked::NotHad { .. }))
    }
}

/// One round over all keepers.
pub(crate) async fn run(args: SampleArgs, screen: &Screen) -> Result<ExitKind> {
    let charter = args.charter.charter(screen).await?;
    let auditor = auditor(&args.auditor_key, charter.charter())?;
    let rules = shipped_policy(charter.charter())?;
    let oversight = Oversight::new(charter.charter())?;
    let mut watch = Watch::new(charter.clone(), &args.data, Reader::Monitor)?;
    tell_rules(&watch, &rules);
    let at = now();
    let look = watch.look(at.0).await;
    tell_lies(&watch, &look, false, screen)?;
    let mut rounds = Vec::new();
    for keeper in &charter.charter().keepers {
        let followed = match saved(&charter, &args.data, keeper.index, at) {
            Ok(followed) => followed,
            Err(error) => {
                rounds.push(unread(keeper, error.to_string()));
                continue;
            }
        };
        let policy = charter
            .charter()
            .witness_policy(&LogName::Keeper(keeper.index))
            .map_err(|_core| Ended::config("the charter gives no trust file"))?;
        let folder = args.data.join(HEADS).join(keeper.log_key.name().as_str().replace('/', "+"));
        let newest = Head::of(followed.cosigned(), at);
        keep_head(&folder, &newest, at)?;
        let heads = read_heads(&folder, &policy)?;
        let leaves = leaves(&followed).map_err(Ended::internal)?;
        let from = reviewed(&args.data, keeper)?;
        let to = decided_to(&leaves, &heads).max(from);
        let planned = watch.with_logs(|logs| plan(logs, keeper.index, &heads, from, to));
        let at_hand = AtHand {
            auditor: &auditor,
            charter: charter.charter(),
            policy: &rules,
            oversight: &oversight,
            watch: &watch,
        };
        let mut round = at_hand.look_at(keeper, &leaves, &planned).await?;
        (round.from, round.to) = (from, to);
        round.undecided = u64::try_from(leaves.len()).unwrap_or(u64::MAX).saturating_sub(to);
        if args.file && from < to && round.not_had() == 0 {
            match file(&auditor, &oversight, keeper, &round, at).await {
                Ok(register) => {
                    round.register = Some(register);
                    set_reviewed(&args.data, keeper, to)?;
                }
                Err(error) => round.problem = Some(format!("the review was not taken: {error}")),
            }
        }
        rounds.push(round);
    }
    let kind = if look.exit_kind() == ExitKind::Lied {
        ExitKind::Lied
    } else if rounds.iter().any(|round| round.failed() > 0) {
        ExitKind::Problems
    } else if rounds.iter().any(|round| round.not_had() > 0 || round.problem.is_some()) {
        ExitKind::Unavailable
    } else {
        ExitKind::Done
    };
    if screen.json() {
        screen.document(&json!({
            "schema": "lockplate/audit/1",
            "kind": "sample",
            "owner": charter.charter().owner.name,
            "percent": charter.charter().audit_percent,
            "keepers": rounds,
            "exit": kind.code(),
        }));
    } else {
        for round in &rounds {
            say(charter.charter(), round, screen);
        }
    }
    Ok(kind)
}

fn unread(keeper: &KeeperEntry, why: String) -> Round {
    let keeper = keeper.index.0;
    Round { keeper, from: 0, to: 0, passed: 0, undecided: 0, lines: Vec::new(), register: None, problem: Some(why) }
}

fn auditor(folder: &Path, charter: &Charter) -> Result<Auditor> {
    let files = AuditorFiles::in_folder(folder);
    let secret = HpkeSecretKey::from_seed(Secret::new(*read_secret(&files.opening)?));
    let public = secret.public_key().map_err(|_core| Ended::internal("the opening key has no public half"))?;
    let digest = auditor_digest(public.as_bytes());
    if !charter.auditors.iter().any(|auditor| auditor_digest(&auditor.opening_key) == digest) {
        return Err(Ended::config("the charter names no auditor of this opening key").into());
    }
    Ok(Auditor { secret, signer: trusted_signer(&files.key, charter, TrustRole::Auditor)?, digest })
}

impl Auditor {
    fn header(&self, at: Timestamp) -> Header {
        let mut nonce = [0; 16];
        SystemRng.fill_bytes(&mut nonce);
        Header { v: VersionOne, nonce, issued: at, issuer: self.signer.verifier_key().name().as_str().to_owned() }
    }

    fn call(&self, keeper: &KeeperEntry, index: u64, elements: &[Element]) -> Result<Vec<u8>> {
        let at = now();
        let body = AuditorCallBody {
            log: keeper.log_key.name().as_str().to_owned(),
            index,
            auditor: self.digest,
            elements: elements.iter().map(Element::to_bytes).collect(),
            until: Timestamp(at.0.saturating_add(CALL_SECONDS)),
        };
        let call = AuditorCall { header: self.header(at), body }.sign(&[&self.signer]);
        Ok(call.map_err(|_core| Ended::internal("a call could not be signed"))?)
    }
}

/// The index up to which every leaf has had a day and a confirmed checkpoint after it.
fn decided_to(leaves: &[Vec<u8>], heads: &[Head]) -> u64 {
    let Some(newest) = heads.iter().filter_map(|head| head.confirmed).max() else { return 0 };
    let waits =
        |leaf: &Vec<u8>| leaf_time(leaf).is_none_or(|time| time.saturating_add(SAMPLE_AFTER_SECONDS) > newest.0);
    let size = heads.iter().map(|head| head.checkpoint.size()).max().unwrap_or(0);
    let first = leaves.iter().position(waits).unwrap_or(leaves.len());
    u64::try_from(first).unwrap_or(u64::MAX).min(size)
}

/// What every look needs.
struct AtHand<'a> {
    auditor: &'a Auditor,
    charter: &'a Charter,
    policy: &'a CedarPolicy,
    oversight: &'a Oversight,
    watch: &'a Watch,
}

impl AtHand<'_> {
    async fn look_at(&self, keeper: &KeeperEntry, leaves: &[Vec<u8>], plan: &Plan) -> Result<Round> {
        let mut round = Round { passed: plan.passed, problem: None, ..unread(keeper, String::new()) };
        for Due { leaf, .. } in &plan.due {
            let bytes = usize::try_from(leaf.index).ok().and_then(|position| leaves.get(position));
            let Some(Ok(Leaf::Known(stamped))) = bytes.map(|bytes| parse_leaf(bytes)) else { continue };
            let LogEntry::Request(request) = stamped.entry() else { continue };
            let looked = self.look_at_one(keeper, leaf.index, request, &stamped).await?;
            round.lines.push(Line { index: leaf.index, looked });
        }
        Ok(round)
    }

    async fn look_at_one(
        &self,
        keeper: &KeeperEntry,
        index: u64,
        leaf: &RequestLeaf,
        stamped: &Stamped,
    ) -> Result<Looked> {
        if leaf.is_bare_refusal() && leaf.escrow.is_empty() {
            return Ok(Looked::Nothing);
        }
        let given = match self.oversight.opening(keeper.index, &self.auditor.call(keeper, index, &[])?).await {
            Ok(given) => given,
            Err(error) => return Ok(self.not_had(&error, keeper, index, stamped.at())),
        };
        let failed = |fault: EscrowFault| Looked::Failed { what: fault.to_string() };
        let Ok(filed) = FiledRequest::from_bytes(&given.filed.0) else { return Ok(failed(EscrowFault::Request)) };
        let hashes = given.opening_hashes.iter().map(|hash| hash.0.as_slice().try_into().ok()).collect();
        let Some(hashes) = hashes else { return Ok(failed(EscrowFault::Opening)) };
        let nonce = stamped.nonce();
        let audited = Audited { leaf, nonce, filed, hashes, opening: &given.opening.0 };
        let opened = match check_escrow(self.charter, &self.auditor.secret, audited) {
            Ok(opened) => opened,
            Err(fault) => return Ok(failed(fault)),
        };
        let time = stamped.at();
        let window = (opened.request().win_from, opened.request().win_to);
        let dealt = self.watch.with_logs(|logs| logs.dealt_within(window, time));
        let replayed = match replay(self.policy, self.charter, &opened, Decided { leaf, time, dealt }) {
            Ok(replayed) => replayed != Replayed::OtherRules,
            Err(fault) => return Ok(Looked::Failed { what: fault.to_string() }),
        };
        // A second call: which elements belong to the leaf is known only now, and the keeper must not know it.
        let inputs = opened.text().elements.iter().map(|(input, _)| input.clone()).collect();
        let blinded = BlindedInputs::new(inputs, &mut SystemRng);
        let asked = blinded.elements().map_err(|_core| Ended::internal("an input could not be blinded"))?;
        let answered = match self.oversight.opening(keeper.index, &self.auditor.call(keeper, index, &asked)?).await {
            Ok(given) => elements(&given.evaluated),
            Err(error) => return Ok(self.not_had(&error, keeper, index, stamped.at())),
        };
        let values = answered.ok().and_then(|answered| blinded.finalize(&answered).ok());
        let Some(values) = values else { return Ok(failed(EscrowFault::Notice)) };
        Ok(check_notice(&opened, &values, leaf, &nonce).map_or_else(failed, |()| Looked::Good { replayed }))
    }

    /// What it means that a keeper does not give an Opening. That it is erased counts where its log says so, and not before its time.
    fn not_had(&self, error: &PeerError, keeper: &KeeperEntry, index: u64, time: Timestamp) -> Looked {
        let lied = |what: &str| Looked::Failed { what: what.to_owned() };
        let problem = error.problem();
        if problem == Some(ProblemKind::NotFound) {
            // The leaf names an Opening of this auditor, and its keeper says there is none.
            return lied("the keeper does not give the opening that the leaf names");
        }
        if problem != Some(ProblemKind::OpeningErased) {
            return Looked::NotHad { why: error.to_string() };
        }
        if time.0.saturating_add(self.charter.opening_keep_seconds) > now().0 {
            return lied("the keeper says that the opening is erased, and its time is not over");
        }
        let leaf = LeafRef { log: LogName::Keeper(keeper.index), index };
        if self.watch.with_logs(|logs| logs.opening_state(&leaf)) == OpeningState::Erased {
            Looked::Erased
        } else {
            // Its log says so in a moment, or the next round finds that it does not.
            Looked::NotHad { why: "erased, and not in the register yet".to_owned() }
        }
    }
}

async fn file(
    auditor: &Auditor,
    oversight: &Oversight,
    keeper: &KeeperEntry,
    round: &Round,
    at: Timestamp,
) -> Result<u64> {
    let body = ReviewBody {
        log: keeper.log_key.name().as_str().to_owned(),
        auditor: auditor.digest,
        from: round.from,
        to: round.to,
        sampled: round.sampled(),
        failed: round.failed(),
    };
    let review = Review { header: auditor.header(at), body }.sign(&[&auditor.signer]);
    let review = review.map_err(|_core| Ended::internal("the review could not be signed"))?;
    Ok(oversight.file_review(keeper.index, &review).await?)
}

/// Keeps a checkpoint under the time at which it was fetched.
fn keep_head(folder: &Path, head: &Head, at: Timestamp) -> Result<()> {
    let refuse = |error: durable::Error| Ended::config(format!("{}: {error}", folder.display()));
    durable::create_dir(folder).map_err(refuse)?;
    let confirmed = head.confirmed.map_or(0, |time| time.0);
    let path = folder.join(format!("{:012}-{:012}-{confirmed:012}", at.0, head.checkpoint.size()));
    durable::replace(&path, &head.note).map_err(refuse)?;
    Ok(())
}

/// The checkpoints kept, in the order in which they were fetched; each is judged again.
fn read_heads(folder: &Path, policy: &lockplate_log::WitnessPolicy) -> Result<Vec<Head>> {
    let unreadable = || format!("{}: cannot be read", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let name = entry.with_context(unreadable)?.file_name();
        let fetched = name.to_str().and_then(|name| name.get(..12)?.parse::<u64>().ok());
        names.extend(fetched.map(|fetched| (fetched, name)));
    }
    names.sort();
    let mut heads = Vec::new();
    for (fetched, name) in names {
        let note = std::fs::read(folder.join(name)).with_context(unreadable)?;
        if let Ok(cosigned) = policy.check(&note, fetched) {
            heads.push(Head::of(&cosigned, Timestamp(fetched)));
        }
    }
    Ok(heads)
}

fn reviewed(data: &Path, keeper: &KeeperEntry) -> Result<u64> {
    let path = data.join(format!("{REVIEWED}-{}", keeper.index.0));
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            Ok(text.trim().parse().map_err(|_form| Ended::config(format!("{}: not a number", path.display())))?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(_os) => Err(Ended::config(format!("{}: cannot be read", path.display())).into()),
    }
}

fn set_reviewed(data: &Path, keeper: &KeeperEntry, to: u64) -> Result<()> {
    let path = data.join(format!("{REVIEWED}-{}", keeper.index.0));
    let written = durable::replace(&path, format!("{to}\n").as_bytes());
    Ok(written.map_err(|error| Ended::config(format!("{}: {error}", path.display())))?)
}

fn say(charter: &Charter, round: &Round, screen: &Screen) {
    let name = party(charter, &LogName::Keeper(lockplate_core::id::KeeperIndex(round.keeper)));
    if let Some(problem) = &round.problem {
        screen.line(&format!("{name}: {problem}."));
    }
    screen.line(&format!(
        "{name}: entries {} to {}: {} looked at, {} failed; chance passed over {}; {} not decided yet.",
        round.from,
        round.to,
        round.sampled(),
        round.failed(),
        round.passed,
        round.undecided,
    ));
    for line in &round.lines {
        match &line.looked {
            Looked::Good { replayed: true } => {}
            Looked::Good { replayed: false } => screen.line(&format!(
                "  entry {}: as opened, but decided by rules that this program does not have",
                line.index
            )),
            Looked::Nothing => screen.line(&format!("  entry {}: refused unopened, nothing to compare", line.index)),
            Looked::Erased => screen.line(&format!("  entry {}: erased", line.index)),
            Looked::Failed { what } => screen.line(&format!("  entry {}: FAILED: {what}", line.index)),
            Looked::NotHad { why } => screen.line(&format!("  entry {}: not had: {why}", line.index)),
        }
    }
    if let Some(register) = round.register {
        screen.line(&format!("  review filed: entry {register}"));
    }
}

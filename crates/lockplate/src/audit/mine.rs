//! `lockplate audit mine`: "was my plate searched?", on the owner's machine. The code from the records custodian's counter has the
//! plate's values evaluated blindly by every keeper; the tags that keepers published after embargoes are compared here, and nobody
//! learns what was found. It never says "no" while it cannot know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use lockplate_audit::mine::{Answer, Mine, Published, Verdict};
use lockplate_audit::register::Decision;
use lockplate_core::Timestamp;
use lockplate_core::charter::{Charter, CharterFile, LogName};
use lockplate_core::entry::{Leaf, LogEntry, parse_leaf};
use lockplate_core::id::KeeperIndex;
use lockplate_core::json::time_text;
use lockplate_core::keeper::CodeRule;
use lockplate_core::notice::{NoticeValue, OwnerCode};
use lockplate_node::api::B64;
use lockplate_node::client::PeerError;
use lockplate_node::follow::{self, Followed, Reader};
use lockplate_node::oversight::{Oversight, Served, elements};
use lockplate_node::problem::ProblemKind;
use lockplate_node::settings::read_secret_file;
use lockplate_node::shutdown::ExitKind;
use lockplate_node::verify::{Watch, log_folder};
use lockplate_oprf::Element;
use lockplate_store::durable;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::CharterArgs;
use crate::agency::now;
use crate::exit::Ended;
use crate::owner_code::read_plate;
use crate::screen::Screen;
use crate::verify::{Scratch, tell_bundles, tell_lies};

/// Bytes of a file of answers.
const ANSWERS_BYTES_MAX: u64 = 64 * 1024;

/// Was my plate searched?
#[derive(Debug, Args)]
pub(crate) struct MineArgs {
    #[command(flatten)]
    charter: CharterArgs,
    /// The file from the agency's counter
    #[arg(long, value_name = "FILE")]
    code: PathBuf,
    /// File that holds the plate and nothing else; - reads standard input
    #[arg(long, value_name = "FILE")]
    plate_file: PathBuf,
    /// Folder that keeps the logs for the next time
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Asks, compares, and says what was found.
pub(crate) async fn run(args: MineArgs, screen: &Screen) -> Result<ExitKind> {
    let charter = args.charter.charter(screen).await?;
    let code = OwnerCode::from_file(&read_secret_file(&args.code)?)
        .map_err(|_core| Ended::config(format!("{}: not an owner's code, or altered", args.code.display())))?;
    let plate = read_plate(&args.plate_file)?;
    if !code.is_for(charter.charter().owner.id, &plate) {
        return Err(Ended::usage("the code is for another plate or another archive; ask at the counter").into());
    }
    let scratch = if args.data.is_none() { Some(Scratch::new()?) } else { None };
    let folder = args.data.clone().or_else(|| scratch.as_ref().map(|scratch| scratch.path().to_path_buf()));
    let folder = folder.unwrap_or_default();
    let oversight = Oversight::new(charter.charter())?;
    let asked = ask(&oversight, charter.charter(), &code, &args.code).await?;

    let mut watch = Watch::new(charter.clone(), &folder, Reader::Monitor)?;
    tell_bundles(&watch)?;
    let at = now();
    let look = watch.look(at.0).await;
    tell_lies(&watch, &look, scratch.is_some(), screen)?;
    let mut silent = asked.silent;
    let mut mine = Mine::new(asked.values);
    let mut unopened = BTreeSet::new();
    for keeper in &charter.charter().keepers {
        if silent.contains_key(&keeper.index) {
            continue;
        }
        let told = match saved(&charter, &folder, keeper.index, at) {
            Ok(followed) => compare(&mut mine, &oversight, keeper.index, &followed, &mut unopened).await,
            Err(error) => {
                let seen = look.logs.iter().find(|log| log.name == LogName::Keeper(keeper.index));
                Err(seen.and_then(|log| log.seen.as_ref().err()).map_or_else(|| error.to_string(), ToString::to_string))
            }
        };
        if let Err(why) = told {
            silent.insert(keeper.index, why);
        }
    }
    let answer = watch.with_logs(|logs| mine.answer(logs, at));
    let kind = if look.exit_kind() == ExitKind::Lied {
        ExitKind::Lied
    } else if !answer.withheld.is_empty() || !answer.forged.is_empty() || !answer.contradicted.is_empty() {
        ExitKind::Problems
    } else if silent.len() >= usize::from(charter.charter().threshold) {
        // A granted search stands in so many logs; with fewer away one of them is among those compared.
        ExitKind::Unavailable
    } else {
        ExitKind::Done
    };
    if screen.json() {
        let silent: BTreeMap<u8, &String> = silent.iter().map(|(keeper, why)| (keeper.0, why)).collect();
        screen.document(&json!({
            "schema": "lockplate/audit/1",
            "kind": "mine",
            "owner": charter.charter().owner.name,
            "answer": answer,
            "unopened": unopened.len(),
            "silent": silent,
            "exit": kind.code(),
        }));
    } else {
        say(charter.charter(), &answer, &silent, unopened.len(), screen);
    }
    Ok(kind)
}

struct AskedKeepers {
    values: BTreeMap<KeeperIndex, Vec<NoticeValue>>,
    /// Why a keeper's entries are not compared, in words.
    silent: BTreeMap<KeeperIndex, String>,
}

/// Answers of keepers, kept beside the code: a code works once a keeper, and the owner may want to look again when more embargoes
/// are over. They are blinded; without the code they tell nothing.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    schema: String,
    answers: BTreeMap<u8, Vec<B64>>,
}

const ANSWERS_SCHEMA: &str = "lockplate/owner-answers/1";

/// Has the code evaluated by every keeper that has not answered it yet.
async fn ask(oversight: &Oversight, charter: &Charter, code: &OwnerCode, file: &Path) -> Result<AskedKeepers> {
    let mut name = file.as_os_str().to_owned();
    name.push(".answers");
    let path = PathBuf::from(name);
    let mut kept = read_answers(&path)?;
    let mut asked = AskedKeepers { values: BTreeMap::new(), silent: BTreeMap::new() };
    for keeper in charter.keepers.iter().map(|keeper| keeper.index) {
        let answered = match kept.answers.get(&keeper.0) {
            Some(answer) => elements(answer),
            None => oversight.evaluate_code(keeper, code.code()).await,
        };
        let values = answered.map_err(|error| in_words(&error)).and_then(|answered| {
            let values = code.inputs().finalize(&answered);
            let bytes = answered.iter().map(|element: &Element| B64(element.to_bytes().to_vec())).collect();
            kept.answers.entry(keeper.0).or_insert(bytes);
            values.map_err(|_count| "its answer does not fit the code".to_owned())
        });
        match values {
            Ok(values) => {
                asked.values.insert(keeper, values);
            }
            Err(why) => {
                kept.answers.remove(&keeper.0);
                asked.silent.insert(keeper, why);
            }
        }
    }
    ANSWERS_SCHEMA.clone_into(&mut kept.schema);
    let bytes = serde_json::to_vec(&kept).map_err(|_our_type| Ended::internal("the answers could not be written"))?;
    durable::replace(&path, &bytes).map_err(|error| Ended::config(format!("{}: {error}", path.display())))?;
    Ok(asked)
}

fn read_answers(path: &Path) -> Result<Answers> {
    let refuse = |what: &str| Ended::config(format!("{}: {what}", path.display()));
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Answers::default()),
        Err(_os) => return Err(refuse("cannot be read").into()),
        Ok(metadata) if metadata.len() > ANSWERS_BYTES_MAX => return Err(refuse("not answers of keepers").into()),
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(|_os| refuse("cannot be read"))?;
    let answers: Answers = serde_json::from_slice(&bytes).map_err(|_form| refuse("not answers of keepers"))?;
    if answers.schema == ANSWERS_SCHEMA { Ok(answers) } else { Err(refuse("not answers of keepers").into()) }
}

fn in_words(error: &PeerError) -> String {
    let problem = error.problem();
    if problem == Some(ProblemKind::Spent) {
        "it answered this code before, and no longer; ask for a new one at the counter".to_owned()
    } else if problem == Some(ProblemKind::Invalid) {
        "it does not take this code: too old, or not signed by this agency's records custodian".to_owned()
    } else {
        error.to_string()
    }
}

/// The keeper's log as it was just proved into the folder.
pub(super) fn saved(charter: &CharterFile, folder: &Path, keeper: KeeperIndex, at: Timestamp) -> Result<Followed> {
    let log = LogName::Keeper(keeper);
    let charter = charter.charter();
    let key = charter.logs().find(|one| one.name == log).map(|one| one.key);
    let key = key.ok_or(Ended::internal("a keeper without a log"))?;
    let policy = charter.witness_policy(&log).map_err(|_core| Ended::config("the charter gives no trust file"))?;
    Ok(follow::open(&log_folder(folder, key.name().as_str()), &policy, Reader::Monitor, at.0)?)
}

/// Every leaf of a log, in order.
pub(super) fn leaves(followed: &Followed) -> Result<Vec<Vec<u8>>, String> {
    let view = followed.view();
    let mut leaves = Vec::new();
    for bundle in 0..view.bundle_count() {
        leaves.extend(view.bundle(bundle).map_err(|error| error.to_string())?);
    }
    Ok(leaves)
}

/// Compares the published tags of one keeper's log. `unopened` are requests that this keeper refused without having opened them:
/// it never knew the plate, and no tag can be.
async fn compare(
    mine: &mut Mine,
    oversight: &Oversight,
    keeper: KeeperIndex,
    followed: &Followed,
    unopened: &mut BTreeSet<[u8; 32]>,
) -> Result<(), String> {
    let leaves = leaves(followed)?;
    let (mut requests, mut published, mut erased) = (Vec::new(), BTreeSet::new(), Vec::new());
    for (index, bytes) in (0_u64..).zip(&leaves) {
        let Ok(Leaf::Known(stamped)) = parse_leaf(bytes) else { continue };
        #[expect(clippy::wildcard_enum_match_arm, reason = "asks for the three kinds of leaf that matter here")]
        match stamped.entry() {
            LogEntry::Request(leaf) => {
                let bare = [CodeRule::Opening, CodeRule::Facts].iter().any(|rule| leaf.rules.contains(rule.id()));
                if bare {
                    unopened.insert(leaf.request);
                } else {
                    requests.push(index);
                }
            }
            LogEntry::OpeningPublished(leaf) => {
                published.insert(leaf.index);
            }
            LogEntry::OpeningsErased(leaf) => erased.push(leaf.from..leaf.to),
            _ => {}
        }
    }
    let gone = |index: &u64| erased.iter().any(|range| range.contains(index));
    let open: Vec<u64> = requests.iter().copied().filter(|index| published.contains(index) && !gone(index)).collect();
    let served = oversight.served(keeper, &open).await.map_err(|error| error.to_string())?;
    for index in requests {
        let position = usize::try_from(index).map_err(|_range| "its log is too large".to_owned())?;
        let leaf = leaves.get(position).map(Vec::as_slice).unwrap_or_default();
        mine.look(keeper, index, leaf, || match served.get(&index) {
            _ if gone(&index) => Published::Erased,
            Some(Served::Disclosures(texts)) => Published::Disclosures(texts),
            // Erased as well, and its log will have to say so.
            Some(Served::Erased) => Published::Erased,
            Some(Served::Nothing) | None => Published::NotYet,
        });
    }
    Ok(())
}

const fn words(decision: Decision) -> &'static str {
    match decision {
        Decision::Granted => "searched",
        Decision::Refused => "asked for, and refused,",
        Decision::Waiting => "asked for, and not decided yet,",
    }
}

/// The answer in plain words.
fn say(charter: &Charter, answer: &Answer, silent: &BTreeMap<KeeperIndex, String>, unopened: usize, screen: &Screen) {
    let entries = |count: u64| if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
    let granted = answer.searches.iter().any(|search| search.decision == Decision::Granted);
    screen.heading(match answer.verdict {
        Verdict::Searched if granted => "Your plate was searched.",
        Verdict::Searched => "Somebody asked for your plate and got nothing so far.",
        Verdict::NotAmongPublished => {
            "Your plate is not among the entries that could be compared. That is not \"never\"."
        }
        Verdict::InNone => "Your plate is in none of the entries.",
    });
    for search in &answer.searches {
        let window = match (search.from, search.to) {
            (Some(from), Some(to)) => format!(", reads of {} to {}", time_text(from), time_text(to)),
            (None, _) | (_, None) => String::new(),
        };
        screen.line(&format!(
            "  {}  {} by {}, for {} (basis: {}){window}",
            time_text(search.time),
            words(search.decision),
            search.requester.label(),
            search.purpose,
            search.basis,
        ));
        screen.line(&format!("      register entry {}", search.id));
    }
    screen.line(&format!("Compared: {}.", entries(answer.compared)));
    if answer.closed > 0 {
        let until =
            answer.closed_until.map_or_else(String::new, |until| format!(", the last until {}", time_text(until)));
        screen
            .line(&format!("Still closed: {}{until}. Ask again then with the same code file.", entries(answer.closed)));
    }
    if answer.erased > 0 {
        screen.line(&format!("Erased after their time: {}; nobody can compare them any more.", entries(answer.erased)));
    }
    if unopened > 0 {
        screen.line(&format!(
            "Refused without the plate being looked at: {}; nothing was searched under them there.",
            entries(u64::try_from(unopened).unwrap_or(u64::MAX))
        ));
    }
    let unlooked = answer.unread.saturating_sub(u64::try_from(unopened).unwrap_or(u64::MAX));
    if unlooked > 0 {
        screen.line(&format!("Not looked at, because their keepers did not answer: {}.", entries(unlooked)));
    }
    let name = |index: KeeperIndex| charter.keeper(index).map_or_else(|| index.0.to_string(), |one| one.name.clone());
    for (keeper, why) in silent {
        screen.line(&format!("Not compared: the entries of {}: {why}.", name(*keeper)));
    }
    for (leaves, what) in [
        (&answer.withheld, "should be open by now and is not served"),
        (&answer.forged, "is served with something that is not this entry's"),
        (&answer.contradicted, "denies what another keeper's entry shows"),
    ] {
        for leaf in leaves {
            if let LogName::Keeper(keeper) = &leaf.log {
                screen.line(&format!("PROBLEM: entry {} of {} {what}.", leaf.index, name(*keeper)));
            }
        }
    }
}

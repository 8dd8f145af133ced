//! `lockplate policy`: look at rules, ask them, test them, prove what they promise, and compare two sets. For lawyers and the people
//! who keep an owner's rules; it runs anywhere, reads files, and speaks to no keeper. Nothing here is legal advice.

mod check;
mod diff;
mod explain;
mod prove;
mod test;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use lockplate_core::facts::Obligations;
use lockplate_core::vocabulary::State;
use lockplate_node::policy_folder::{self, PolicyFolderError};
use lockplate_node::shutdown::ExitKind;
use lockplate_policy::{Bundle, CheckedBundle, Fault, LoadError};
use lockplate_store::log_files::read_bounded;
use serde_json::{Value, json};

use crate::exit::Ended;
use crate::screen::Screen;

/// Said wherever statutes are cited.
const NOT_ADVICE: &str = "Not legal advice.";

/// Look at rules, ask them, test them, prove what they promise
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    task: PolicyTask,
}

#[derive(Debug, Subcommand)]
enum PolicyTask {
    /// Check that rules can be put in force, and list them
    Check(check::CheckArgs),
    /// Ask the rules about one request, and show every rule that speaks
    Explain(explain::ExplainArgs),
    /// Ask the rules about a file of test cases
    Test(test::TestArgs),
    /// Prove what the rules promise, for every request there can be
    Prove(prove::ProveArgs),
    /// Say what new rules are to old ones: equal, narrower or looser
    Diff(diff::DiffArgs),
}

/// Does what was asked.
pub(crate) fn run(args: &PolicyArgs, screen: &Screen) -> Result<ExitKind> {
    match &args.task {
        PolicyTask::Check(args) => check::run(args, screen),
        PolicyTask::Explain(args) => explain::run(args, screen),
        PolicyTask::Test(args) => test::run(args, screen),
        PolicyTask::Prove(args) => prove::run(args, screen),
        PolicyTask::Diff(args) => diff::run(args, screen),
    }
}

/// Where a set of rules comes from.
#[derive(Clone, Debug)]
enum Rules {
    /// Shipped with this program, for owners in a state.
    State(State),
    /// Shipped with this program, every state's pack at once.
    All,
    /// A folder.
    Folder(PathBuf),
}

/// A set of rules as somebody names it: a state for its shipped rules, or a folder.
#[derive(Debug, Args)]
struct OneSet {
    /// Folder with the rules: lockplate.cedarschema, 00-base.cedar, the state's pack, local.cedar, props/
    #[arg(value_name = "FOLDER", conflicts_with = "state")]
    folder: Option<PathBuf>,
    /// State whose shipped rules are meant, by its two letters
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    state: Option<State>,
}

impl OneSet {
    fn rules(&self) -> Option<Rules> {
        self.folder.clone().map(Rules::Folder).or(self.state.map(Rules::State))
    }
}

impl Rules {
    /// Two letters for a state's shipped rules, or a folder.
    fn parse(text: &str) -> Self {
        match owner_state(text) {
            Some(state) => Self::State(state),
            None => Self::Folder(PathBuf::from(text)),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::State(state) => format!("{} (shipped)", state.code()),
            Self::All => "all packs (shipped)".to_owned(),
            Self::Folder(folder) => folder.display().to_string(),
        }
    }

    /// The texts. A folder that is none is a configuration that is refused; rules that are unfit are a finding.
    fn bundle(&self) -> Result<Result<Bundle, LoadError>> {
        match self {
            Self::State(state) => Ok(Ok(Bundle::shipped(*state))),
            Self::All => Ok(Ok(Bundle::shipped_all())),
            Self::Folder(folder) => match policy_folder::read(folder) {
                Ok(bundle) => Ok(Ok(bundle)),
                Err(PolicyFolderError::Bundle(error)) => Ok(Err(error)),
                Err(error) => {
                    let cause =
                        std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
                    Err(Ended::config(format!("{}: {error}{cause}", folder.display())).into())
                }
            },
        }
    }

    /// The rules, or an end that says what is wrong with them and what to do.
    fn checked(&self) -> Result<CheckedBundle> {
        let checked = self.bundle()?.and_then(|bundle| CheckedBundle::of(&bundle));
        Ok(checked.map_err(|error| self.unfit(&error))?)
    }

    fn unfit(&self, error: &LoadError) -> Ended {
        Ended::of(ExitKind::Problems, format!("{}: {error}\n{}", self.name(), remedy(error.fault())))
    }
}

/// The state of an owner of an archive, or US for a federal one. XX, which the rules know as "abroad", is nobody's who keeps reads here.
fn owner_state(text: &str) -> Option<State> {
    State::parse(text).filter(|state| state.code() != ABROAD)
}

/// How the rules call what is no state of the US.
const ABROAD: &str = "XX";

fn parse_state(text: &str) -> Result<State, String> {
    owner_state(text).ok_or_else(|| {
        let states: Vec<&str> = State::ALL.into_iter().filter(|code| *code != ABROAD).collect();
        format!("a state is written by its two letters, one of {}", states.join(" "))
    })
}

/// A text file the user names, of at most `bytes_max` bytes.
fn read_text(path: &Path, bytes_max: usize) -> Result<String> {
    let refused = |what: &str| Ended::usage(format!("{}: {what}", path.display()));
    let bytes = match read_bounded(path, bytes_max) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(refused("is not there").into()),
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            return Err(refused("is larger than such a file may be").into());
        }
        Err(_cause) => return Err(refused("cannot be read").into()),
    };
    Ok(String::from_utf8(bytes).map_err(|_bytes| refused("is not text"))?)
}

/// What to do about a fault, a sentence.
fn remedy(fault: &Fault) -> &'static str {
    match fault {
        Fault::UnknownFile => {
            "keep only lockplate.cedarschema, packs (a-z, 0-9 and - before .cedar) and props/ in the folder"
        }
        Fault::FileTwice | Fault::FileMissing => {
            "a folder of rules holds lockplate.cedarschema and 00-base.cedar, each once; take them from a release"
        }
        Fault::TooLarge => "split the file, or nest its conditions less",
        Fault::NoPackForProperties => "a file in props/ goes with the pack of the same name",
        Fault::Syntax(_) => "mend the text at the place named",
        Fault::Validation(_) => "use the names of lockplate.cedarschema, and no condition that can never apply",
        Fault::Template => "write the rule out for each case; a standing order is a fact, not a template",
        Fault::Id(_) => "give each rule an @id of its own that begins with the name of its pack and a dot",
        Fault::AnnotationMissing(_) | Fault::AnnotationUnknown(_) | Fault::AnnotationMalformed(_) => {
            "docs/policy.md lists the annotations of permits, forbids and properties, and how each is written"
        }
        Fault::Construct(_) => {
            "a rule that can fail is skipped, so only the constructs that cannot are allowed: docs/policy.md"
        }
        Fault::PermitOutsideBase => "a state's or local pack only forbids; what is permitted stands in 00-base.cedar",
        Fault::PropertyNotPermit => "write what the property describes as a permit, with @check",
        Fault::NotFormatted => "run the Cedar formatter over the file (line width 120, indent 2)",
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Duties in words.
fn duties_words(duties: &Obligations) -> String {
    let people = match duties.approvers {
        0 => "no person must agree".to_owned(),
        1 => "one person must agree".to_owned(),
        more => format!("{more} persons must agree"),
    };
    let confirm = if duties.confirm_visual { "; a person compares plate and state first" } else { "" };
    format!(
        "{people}; kept {} days at most; told after {} days at most{confirm}",
        duties.retain_days, duties.notice_days
    )
}

fn duties_document(duties: &Obligations) -> Value {
    json!({
        "approvers": duties.approvers,
        "retain_days": duties.retain_days,
        "notice_days": duties.notice_days,
        "confirm_visual": duties.confirm_visual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_a_state_or_a_folder() {
        assert!(matches!(Rules::parse("CT"), Rules::State(state) if state.code() == "CT"));
        assert!(matches!(Rules::parse("ct"), Rules::Folder(_)));
        assert!(matches!(Rules::parse("XX"), Rules::Folder(_)));
        assert!(matches!(Rules::parse("./CT"), Rules::Folder(_)));
    }

    #[test]
    fn an_unknown_state_is_refused_with_the_list() {
        for bad in ["XX", "ZZ", "Ohio", "oh", ""] {
            let said = parse_state(bad).unwrap_err();
            assert!(said.contains(" AL AK ") && said.contains(" OH ") && !said.contains("XX"), "{said}");
        }
        assert!(parse_state("OH").is_ok() && parse_state("US").is_ok());
    }

    #[test]
    fn unfit_rules_name_file_rule_and_what_to_do() {
        let shipped = Bundle::shipped(State::parse("CT").unwrap());
        let text = "@id(\"local.x\")\nforbid (principal, action, resource);\n";
        let files = shipped.files().chain([("local.cedar", text)]);
        let bundle = Bundle::from_files(files.map(|(path, text)| (path.to_owned(), text.to_owned()))).unwrap();
        let error = CheckedBundle::of(&bundle).unwrap_err();
        let said = Rules::All.unfit(&error).to_string();
        assert!(said.starts_with("all packs (shipped): local.cedar: local.x: annotation @cite is missing\n"), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}

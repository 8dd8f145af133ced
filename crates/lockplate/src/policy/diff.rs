//! `lockplate policy diff`: what new rules are to old ones, and so who must sign them and from when they hold. It states nothing by
//! itself: the relation is computed, and what becomes allowed is shown as requests.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use lockplate_node::shutdown::ExitKind;
use lockplate_prove::{Comparison, DutyChange, Looser, Relation, Story, compare};
use serde_json::{Value, json};

use super::prove::{failure_document, solver};
use super::{NOT_ADVICE, Rules, hex_of};
use crate::exit::Ended;
use crate::screen::Screen;

/// Say what new rules are to old ones
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The rules in force: a folder, or a state's two letters for its shipped rules
    #[arg(value_name = "OLD")]
    old: String,
    /// The rules that should take their place, named likewise
    #[arg(value_name = "NEW")]
    new: String,
}

/// Compares and prints.
pub(crate) fn run(args: &DiffArgs, screen: &Screen) -> Result<ExitKind> {
    let (old, new) = (Rules::parse(&args.old), Rules::parse(&args.new));
    let (before, after) = (old.checked()?, new.checked()?);
    let compared = compare(&before, &after, &solver()?).map_err(|error| Ended::internal(error.to_string()))?;
    if screen.json() {
        screen.document(&document(&old, &new, &compared));
        return Ok(ExitKind::Done);
    }
    screen.heading(compared.relation.name());
    screen.line(demand(compared.relation));
    for (what, rules) in [("added", &compared.added), ("removed", &compared.removed), ("altered", &compared.altered)] {
        if !rules.is_empty() {
            screen.line(&format!("rules {what}: {}", rules.join(", ")));
        }
    }
    for property in &compared.dropped {
        screen.line(&format!("property dropped: {}{}", property.id, if property.constitution { PINNED } else { "" }));
    }
    for change in &compared.duties {
        screen.line(&format!("duty changed: {}", duty_words(change)));
    }
    for looser in compared.looser.iter().filter_map(looser_words) {
        screen.line(&format!("\n{looser}"));
    }
    for (promise, actions) in broken(&compared.looser) {
        screen.line(&format!("\nLOOSER: a promise does not hold any more ({}): {promise}", actions.join(", ")));
    }
    for (action, story) in &compared.refused {
        screen.line(&format!("\nBECOMES REFUSED ({action}), for example:\n{}", indented(story)));
    }
    screen.note(&format!(
        "{} ({}) to {} ({}). {NOT_ADVICE}",
        old.name(),
        hex_of(&compared.old),
        new.name(),
        hex_of(&compared.new)
    ));
    Ok(ExitKind::Done)
}

/// Beside a property that a new set of rules alone cannot drop.
const PINNED: &str = " (pinned by the charter: dropping it needs a new charter)";

/// What change control asks for (`law.md` section 7).
const fn demand(relation: Relation) -> &'static str {
    match relation {
        Relation::Equal => {
            "The same requests are allowed, with the same duties. One policy signer; in force on the next full minute after the register shows it."
        }
        Relation::Narrower => {
            "Nothing becomes allowed and no duty is lighter. One policy signer; in force on the next full minute after the register shows it."
        }
        Relation::Looser => {
            "As many policy signers as the charter asks for; in force 14 days after the register shows it, at the earliest, with what becomes allowed published beside it. One signer can call it off until then."
        }
    }
}

fn duty_words(change: &DutyChange) -> String {
    let unit = match change.duty {
        "approvers" => "persons who must agree",
        "retain" => "days kept at most",
        "notice" => "days until told at most",
        _ => "a person compares plate and state first (1: yes)",
    };
    format!("{}: @{} from {} to {} ({unit})", change.rule, change.duty, change.before, change.after)
}

/// What makes it looser, properties apart.
fn looser_words(looser: &Looser) -> Option<String> {
    Some(match looser {
        Looser::Schema => "LOOSER: the schema differs, so the two cannot be compared.".to_owned(),
        Looser::Allows { action, story } => format!("BECOMES ALLOWED ({action}), for example:\n{}", indented(story)),
        Looser::PermitGone(rule) => {
            format!("LOOSER: the permit {rule} is gone, and its duties with it where another permit covers the same.")
        }
        Looser::PermitAltered(rule) => format!("LOOSER: the conditions of the permit {rule} were altered."),
        Looser::Duty(change) => format!("LOOSER: a lighter duty: {}.", duty_words(change)),
        Looser::Undecided { action, why } => format!("LOOSER, because not decided ({action}): {why}."),
        Looser::Property(_) => return None,
    })
}

/// Each property that does not hold, with the kinds of request. Their stories are those of what becomes allowed once more; they
/// stand in the document of `--json`, and `policy prove` tells them.
fn broken(all: &[Looser]) -> BTreeMap<String, Vec<&str>> {
    let mut broken: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for looser in all {
        if let Looser::Property(failure) = looser {
            let about = failure.about.as_deref().unwrap_or_default();
            let promise = format!("{} {about}: {}", failure.proof.sign(), failure.promise);
            broken.entry(promise).or_default().extend(failure.action.as_deref());
        }
    }
    broken
}

fn indented(story: &Story) -> String {
    let lines: Vec<String> = story.lines().iter().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

fn document(old: &Rules, new: &Rules, compared: &Comparison) -> Value {
    let duty = |change: &DutyChange| json!({ "rule": change.rule, "duty": change.duty, "before": change.before, "after": change.after });
    let looser = compared.looser.iter().map(|looser| match looser {
        Looser::Schema => json!({ "because": "schema" }),
        Looser::Allows { action, story } => json!({ "because": "allows", "action": action, "story": story.lines() }),
        Looser::PermitGone(rule) => json!({ "because": "permit-gone", "rule": rule }),
        Looser::PermitAltered(rule) => json!({ "because": "permit-altered", "rule": rule }),
        Looser::Duty(change) => json!({ "because": "duty", "change": duty(change) }),
        Looser::Property(failure) => json!({ "because": "property", "failure": failure_document(failure) }),
        Looser::Undecided { action, why } => json!({ "because": "undecided", "action": action, "why": why }),
    });
    let refused = compared.refused.iter().map(|(action, story)| json!({ "action": action, "story": story.lines() }));
    let dropped = compared.dropped.iter().map(|one| json!({ "property": one.id, "constitution": one.constitution }));
    json!({
        "schema": "lockplate/policy/1",
        "kind": "diff",
        "old": { "name": old.name(), "digest": hex_of(&compared.old) },
        "new": { "name": new.name(), "digest": hex_of(&compared.new) },
        "relation": compared.relation.name(),
        "demands": demand(compared.relation),
        "looser": looser.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
        "duties": compared.duties.iter().map(duty).collect::<Vec<_>>(),
        "added": compared.added,
        "removed": compared.removed,
        "altered": compared.altered,
        "dropped": dropped.collect::<Vec<_>>(),
        "exit": 0,
    })
}

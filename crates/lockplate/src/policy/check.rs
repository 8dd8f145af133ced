//! `lockplate policy check`: can these rules be put in force? It does what a keeper does when it starts, and lists what it read.

use anyhow::Result;
use clap::Args;
use lockplate_node::shutdown::ExitKind;
use lockplate_policy::{Bundle, Check, CheckedBundle, Rule};
use serde_json::{Value, json};

use super::{NOT_ADVICE, OneSet, Rules, duties_document, duties_words, hex_of};
use crate::screen::Screen;

/// Check that rules can be put in force. Without a folder or a state: the rules of every state that has a pack
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    set: OneSet,
}

/// Checks each set and prints it.
pub(crate) fn run(args: &CheckArgs, screen: &Screen) -> Result<ExitKind> {
    let sets = match args.set.rules() {
        Some(rules) => vec![rules],
        None => Bundle::states_with_a_pack().map(Rules::State).collect(),
    };
    let checked = sets.iter().map(|rules| Ok((rules.name(), rules.checked()?))).collect::<Result<Vec<_>>>()?;
    if screen.json() {
        let sets: Vec<Value> = checked.iter().map(|(name, bundle)| document(name, bundle)).collect();
        screen.document(&json!({ "schema": "lockplate/policy/1", "kind": "check", "sets": sets, "exit": 0 }));
        return Ok(ExitKind::Done);
    }
    for (name, bundle) in &checked {
        screen.heading(&format!("{name}: can be put in force"));
        screen.line(&format!("digest {}", hex_of(&bundle.digest())));
        let permits = bundle.rules().filter(Rule::is_permit).count();
        let forbids = bundle.rules().count().saturating_sub(permits);
        screen.line(&format!("{permits} permits, {forbids} forbids, {} properties", bundle.properties().len()));
        // One set is shown whole; ten would bury it.
        if let [_] = checked.as_slice() {
            list(bundle, screen);
        }
    }
    screen.note(NOT_ADVICE);
    Ok(ExitKind::Done)
}

fn list(bundle: &CheckedBundle, screen: &Screen) {
    let indent = " ".repeat(8);
    for rule in bundle.rules() {
        let kind = if rule.is_permit() { "permit" } else { "forbid" };
        screen.line(&format!("\n{kind:<7} {}\n{indent}{}", rule.id(), rule.reason.say));
        if let Some(duties) = &rule.obligations {
            screen.line(&format!("{indent}duties: {}", duties_words(duties)));
        }
        if let Some(cite) = &rule.reason.cite {
            let note = |name, what: &str| {
                rule.policy.annotation(name).map_or_else(String::new, |text| format!("; {what} {text}"))
            };
            screen.line(&format!("{indent}{cite}{}{}", note("since", "since"), note("mark", "certainty")));
        }
        if let Some(reading) = rule.policy.annotation("reading") {
            screen.line(&format!("{indent}stricter than the text: {reading}"));
        }
    }
    for property in bundle.properties() {
        let pinned = if property.constitution { " (pinned by the charter)" } else { "" };
        screen.line(&format!(
            "\n{:<7} {}{pinned}\n{indent}{}",
            check_word(property.check),
            property.id(),
            property.say
        ));
    }
}

const fn check_word(check: Check) -> &'static str {
    match check {
        Check::Never => "never",
        Check::Always => "always",
    }
}

fn document(name: &str, bundle: &CheckedBundle) -> Value {
    let rules = bundle.rules().map(|rule| {
        json!({
            "rule": rule.id(),
            "file": rule.file,
            "effect": if rule.is_permit() { "permit" } else { "forbid" },
            "say": rule.reason.say,
            "cite": rule.reason.cite,
            "fix": rule.reason.fix,
            "since": rule.policy.annotation("since"),
            "mark": rule.policy.annotation("mark"),
            "reading": rule.policy.annotation("reading"),
            "redundant": rule.redundant,
            "obligations": rule.obligations.as_ref().map(duties_document),
        })
    });
    let properties = bundle.properties().iter().map(|property| {
        json!({
            "property": property.id(),
            "file": property.file,
            "check": check_word(property.check),
            "constitution": property.constitution,
            "say": property.say,
        })
    });
    json!({
        "name": name,
        "digest": hex_of(&bundle.digest()),
        "rules": rules.collect::<Vec<_>>(),
        "properties": properties.collect::<Vec<_>>(),
    })
}

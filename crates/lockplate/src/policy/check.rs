//! `lockplate policy check`: can these rules be put in force? It does what a keeper does when it starts, and lists what it read.

use anyhow::Result;
use clap::Args;
use comfy_table::{Table, presets};
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
            screen.line(&table(bundle).to_string());
        }
    }
    screen.note(NOT_ADVICE);
    Ok(ExitKind::Done)
}

fn table(bundle: &CheckedBundle) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["", "rule", "says", "statute"]);
    for rule in bundle.rules() {
        let (kind, says) = match &rule.obligations {
            Some(duties) => ("permit", format!("{} ({})", rule.reason.say, duties_words(duties))),
            None => ("forbid", rule.reason.say.clone()),
        };
        table.add_row([kind, rule.id(), &says, rule.reason.cite.as_deref().unwrap_or_default()]);
    }
    for property in bundle.properties() {
        let kind = match property.check {
            Check::Never => "never",
            Check::Always => "always",
        };
        let pinned = if property.constitution { "pinned by the charter" } else { "" };
        table.add_row([kind, property.id(), &property.say, pinned]);
    }
    table
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
            "check": match property.check { Check::Never => "never", Check::Always => "always" },
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

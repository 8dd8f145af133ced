//! `lockplate policy test`: a file of cases, each with the answer it must get. Whoever changes a pack sees at once which known
//! request is answered otherwise. All differences are listed, not the first one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use lockplate_core::facts::PolicyAnswer;
use lockplate_node::shutdown::ExitKind;
use lockplate_policy::{CASES_BYTES_MAX, Case, CedarPolicy};
use serde_json::{Value, json};

use super::{OneSet, Rules, duties_document, duties_words, read_text};
use crate::exit::Ended;
use crate::screen::Screen;

/// Ask the rules about a file of test cases. Without a folder or a state: each case under the shipped rules of its owner's state
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// File of cases, one a line (docs/policy.md)
    #[arg(value_name = "CASES.ndjson")]
    cases: PathBuf,
    #[command(flatten)]
    set: OneSet,
    /// All shipped packs together
    #[arg(long, conflicts_with_all = ["folder", "state"])]
    all: bool,
}

/// Asks every case and lists the differences.
pub(crate) fn run(args: &TestArgs, screen: &Screen) -> Result<ExitKind> {
    let text = read_text(&args.cases, CASES_BYTES_MAX)?;
    let cases = Case::read_all(&text).map_err(|error| {
        Ended::usage(format!("{}: {error}\ndocs/policy.md describes files of cases", args.cases.display()))
    })?;
    let given = if args.all { Some(Rules::All) } else { args.set.rules() };
    let mut loaded: BTreeMap<String, CedarPolicy> = BTreeMap::new();
    let mut different = Vec::new();
    for case in &cases {
        let rules = given.clone().unwrap_or(Rules::State(case.owner));
        let name = rules.name();
        if !loaded.contains_key(&name) {
            let policy =
                rules.bundle()?.and_then(|bundle| CedarPolicy::load(&bundle)).map_err(|error| rules.unfit(&error))?;
            loaded.insert(name.clone(), policy);
        }
        if let Some(policy) = loaded.get(&name) {
            let answer = policy.answer(&case.question);
            if answer != case.expected {
                different.push((case, answer));
            }
        }
    }
    let kind = if different.is_empty() { ExitKind::Done } else { ExitKind::Problems };
    if screen.json() {
        let list: Vec<Value> = different
            .iter()
            .map(|(case, answer)| json!({ "case": case.id, "expected": document(&case.expected), "got": document(answer) }))
            .collect();
        screen.document(&json!({
            "schema": "lockplate/policy/1",
            "kind": "test",
            "cases": cases.len(),
            "different": list,
            "exit": kind.code(),
        }));
        return Ok(kind);
    }
    for (case, answer) in &different {
        screen.line(&format!("{}\n  expected {}\n  got      {}", case.id, words(&case.expected), words(answer)));
    }
    screen.line(&format!("{} cases, {} answered otherwise", cases.len(), different.len()));
    Ok(kind)
}

fn words(answer: &PolicyAnswer) -> String {
    let list = |rules: &std::collections::BTreeSet<String>| rules.iter().cloned().collect::<Vec<_>>().join(", ");
    match answer {
        PolicyAnswer::Allow { rules, obligations } => {
            format!("allowed by {} ({})", list(rules), duties_words(obligations))
        }
        PolicyAnswer::Deny { rules } => format!("refused by {}", list(rules)),
    }
}

fn document(answer: &PolicyAnswer) -> Value {
    match answer {
        PolicyAnswer::Allow { rules, obligations } => {
            json!({ "decision": "allow", "rules": rules, "obligations": duties_document(obligations) })
        }
        PolicyAnswer::Deny { rules } => json!({ "decision": "deny", "rules": rules }),
    }
}

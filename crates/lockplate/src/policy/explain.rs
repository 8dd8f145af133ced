//! `lockplate policy explain`: what the rules say of one request, before anybody asks. The request is a file of facts as a keeper
//! would compute them; it holds no plate, and nothing of it is repeated but what the rules say.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use lockplate_core::facts::{AccessPolicy as _, PolicyAnswer, Reason};
use lockplate_node::shutdown::ExitKind;
use lockplate_policy::{Bundle, CedarPolicy, QUESTION_BYTES_MAX, Question};
use serde_json::{Value, json};

use super::{NOT_ADVICE, OneSet, Rules, duties_document, duties_words, hex_of, read_text};
use crate::exit::Ended;
use crate::screen::Screen;

/// Ask the rules about one request. Without a folder or a state: the shipped rules of the archive owner's state
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// File with the facts of one request (docs/policy.md)
    #[arg(value_name = "REQUEST.json")]
    request: PathBuf,
    #[command(flatten)]
    set: OneSet,
}

/// Asks, prints, and ends with the decision.
pub(crate) fn run(args: &ExplainArgs, screen: &Screen) -> Result<ExitKind> {
    let text = read_text(&args.request, QUESTION_BYTES_MAX)?;
    let question = Question::from_json(&text)
        .map_err(|error| Ended::usage(format!("{}: {error}\ndocs/policy.md lists the keys", args.request.display())))?;
    let rules = args.set.rules().unwrap_or(Rules::State(match &question {
        Question::Search(facts) => facts.owner.state,
        Question::List(facts) => facts.owner.state,
    }));
    let policy = rules.bundle()?.and_then(|bundle| CedarPolicy::load(&bundle)).map_err(|error| rules.unfit(&error))?;
    let answer = policy.answer(&question);
    let (spoken, kind) = (policy.spoken(&question), kind_of(&answer));
    let said = |rule: &String| policy.explain(rule);
    let permits: Vec<Reason> = spoken.permits.iter().filter_map(said).collect();
    // What decided comes first: the keeper's own rule stands in for an engine that failed.
    let decided = match &answer {
        PolicyAnswer::Deny { rules } => rules.iter().chain(spoken.forbids.difference(rules)).filter_map(said).collect(),
        PolicyAnswer::Allow { .. } => spoken.forbids.iter().filter_map(said).collect::<Vec<Reason>>(),
    };
    if screen.json() {
        screen.document(&json!({
            "schema": "lockplate/policy/1",
            "kind": "explain",
            "rules": rules.name(),
            "digest": hex_of(&policy.digest()),
            "decision": if kind == ExitKind::Done { "allow" } else { "deny" },
            "permits": permits.iter().map(document).collect::<Vec<_>>(),
            "forbids": decided.iter().map(document).collect::<Vec<_>>(),
            "obligations": match &answer {
                PolicyAnswer::Allow { obligations, .. } => duties_document(obligations),
                PolicyAnswer::Deny { .. } => Value::Null,
            },
            "exit": kind.code(),
        }));
        return Ok(kind);
    }
    screen.heading(if kind == ExitKind::Done { "allowed" } else { "refused" });
    for reason in &decided {
        screen.line(&format!("\nforbidden by {}\n  {}", reason.rule, reason.say));
        if let Some(cite) = &reason.cite {
            screen.line(&format!("  Statute: {cite}"));
        }
        if let Some(fix) = &reason.fix {
            screen.line(&format!("  What would make it lawful: {fix}"));
        }
    }
    for reason in &permits {
        screen.line(&format!("\npermitted by {}\n  {}", reason.rule, reason.say));
    }
    match &answer {
        PolicyAnswer::Allow { obligations, .. } => screen.line(&format!("\nduties: {}", duties_words(obligations))),
        PolicyAnswer::Deny { .. } if permits.is_empty() => {}
        PolicyAnswer::Deny { .. } => screen.line("\nOne rule that forbids is enough, whatever permits."),
    }
    if let Rules::State(state) = &rules
        && !Bundle::states_with_a_pack().any(|one| one == *state)
    {
        screen.note(&format!("There is no pack of {}: the base pack alone was asked.", state.code()));
    }
    screen.note(&format!("{}, digest {}. {NOT_ADVICE}", rules.name(), hex_of(&policy.digest())));
    Ok(kind)
}

const fn kind_of(answer: &PolicyAnswer) -> ExitKind {
    match answer {
        PolicyAnswer::Allow { .. } => ExitKind::Done,
        PolicyAnswer::Deny { .. } => ExitKind::Refused,
    }
}

fn document(reason: &Reason) -> Value {
    json!({ "rule": reason.rule, "say": reason.say, "cite": reason.cite, "fix": reason.fix })
}

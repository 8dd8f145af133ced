//! The words of the rules that are code and not policy: refusals a keeper makes before, beside or instead of the engine.
//! The words of policies stand in their annotations.

use lockplate_core::facts::Reason;

/// The rule named where the engine itself failed: nothing was decided, so nothing is allowed (`law.md` section 5).
pub const ENGINE_RULE: &str = "keeper.engine";

/// The rule of what the charter pins: refused although the rules in force allow it.
pub const CONSTITUTION_RULE: &str = "keeper.constitution";

/// Rule, why, way out.
const KEEPER_RULES: [(&str, &str, &str); 8] = [
    (
        "keeper.opening",
        "What was shown to this keeper does not match what was asked: the request must open to exactly the plate and the statements it was made from.",
        "File the request again from the search desk; if it happens twice, the desk's software is at fault.",
    ),
    (
        "keeper.expired",
        "The request arrived outside the time for which the officer signed it.",
        "File a new request; if it happens twice, check the clock of the search desk.",
    ),
    ("keeper.replay", "This request was already decided. One request is decided once.", "File a new request."),
    (
        "keeper.epochs",
        "The request names hours of reads that this keeper cannot answer for: still open, destroyed, outside the dates asked for, or of another owner.",
        "Ask for dates that are over and still kept, and file the request again.",
    ),
    (
        "keeper.quota",
        "The request asks for more hours and spellings than are opened at once, or it is one hold too many: 200 requests of one officer within 24 hours, or 10 for one plate within 30 days without a judge's order.",
        "Ask for fewer days or fewer spellings; for a hold, wait, or attach a judge's order.",
    ),
    (
        "keeper.facts",
        "Something the rules must know could not be established: for example the officer's entry in the directory, a signature, or the kind of the paper.",
        "Check that the directory is up to date and that every paper and signature is attached, and file the request again.",
    ),
    (
        CONSTITUTION_RULE,
        "The rules in force would allow this, and the founding charter says that no rule ever may.",
        "No rule can make this lawful here. Tell the policy signers that their rules do not keep the charter.",
    ),
    (
        ENGINE_RULE,
        "The keeper could not decide under its rules, and what is not decided is refused.",
        "File the request again; if it happens twice, tell the operator of the keeper.",
    ),
];

/// The words of a rule of the keeper's code; `None` for any other rule.
pub(crate) fn keeper_reason(rule: &str) -> Option<Reason> {
    let (id, say, fix) = KEEPER_RULES.iter().find(|(id, ..)| *id == rule)?;
    Some(Reason { rule: (*id).to_owned(), say: (*say).to_owned(), cite: None, fix: Some((*fix).to_owned()) })
}

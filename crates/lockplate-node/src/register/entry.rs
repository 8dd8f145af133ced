//! One entry in plain words: who asked whom for what, why, what each keeper said, what was opened, what stays private, and how
//! to check it without trusting this page. It says what the parties state, and by whom; it never says more.

use askama::Template;
use lockplate_audit::logs::LogName;
use lockplate_audit::register::{Decision, Entry, KeeperDecision, KeeperPart};
use lockplate_core::entry::RefusalReason;
use lockplate_core::id::KeeperIndex;
use lockplate_core::vocabulary::{Action, Assurance};

use super::say::{self, Moment, number};
use super::shell::{Badge, Shell, Tab, badge, basis, purpose};
use super::site::{Page, RenderError, Site, Trouble};
use super::words::{Lang, Words, fill};

#[derive(Template)]
#[template(path = "register/entry.html")]
struct EntryPage<'a> {
    shell: Shell,
    w: &'static Words,
    number: String,
    state: Badge,
    emergency: bool,
    story: Vec<String>,
    terms: Vec<(&'static str, String)>,
    keepers: Vec<Keeper<'a>>,
    rules_title: &'static str,
    rules: Vec<Rule<'a>>,
    rules_of_today: bool,
    duties: Vec<String>,
    paper: Option<String>,
    opened: Vec<String>,
    private: Vec<String>,
    receipts: Vec<(String, String)>,
    command: String,
    full_number: String,
}

struct Keeper<'a> {
    name: &'a str,
    said: Vec<Said>,
    silent: &'static str,
}

struct Said {
    decision: String,
    reason: Option<&'static str>,
    when: Moment,
    line: String,
}

struct Rule<'a> {
    known: bool,
    say: &'a str,
    cite: Option<&'a str>,
    fix: Option<&'a str>,
}

/// Eight digits of the permanent number, for people to read out; the whole one is below.
pub(crate) fn short_number(entry: &Entry) -> String {
    let id = entry.id.to_string();
    format!("{}-{}", id.get(..4).unwrap_or_default(), id.get(4..8).unwrap_or_default())
}

/// What the entry is about, in one line.
pub(crate) fn title(lang: Lang, entry: &Entry) -> String {
    let w = lang.words();
    let who = entry.requester.label();
    match Action::from_name(entry.action) {
        Some(Action::OwnerAccess) => w.entry_title_own.to_owned(),
        Some(Action::HoldEvidence) => fill(w.entry_title_hold, &[who]),
        Some(Action::Search) | None => fill(w.entry_title, &[who]),
    }
}

pub(super) fn page(site: &Site, lang: Lang, entry: &Entry) -> Result<String, RenderError> {
    let w = lang.words();
    let shell = Shell::new(site, lang, &Page::Entry(entry.id), Tab::Entries, title(lang, entry));
    let rules = entry.rules.iter().map(|rule| match site.rules.get(rule) {
        Some(Some(words)) => {
            Rule { known: true, say: &words.say, cite: words.cite.as_deref(), fix: refusal_fix(entry, words) }
        }
        Some(None) | None => Rule { known: false, say: "", cite: None, fix: None },
    });
    let page = EntryPage {
        number: fill(w.entry_number, &[&short_number(entry)]),
        state: badge(w, entry.decision),
        emergency: entry.emergency,
        story: story(site, lang, entry),
        terms: terms(site, lang, entry),
        keepers: site
            .summary
            .keepers
            .iter()
            .map(|keeper| said(site, lang, entry, keeper.keeper, &keeper.name))
            .collect(),
        rules_title: if entry.decision == Decision::Refused { w.entry_rules_refused } else { w.entry_rules },
        rules: rules.collect(),
        rules_of_today: entry.keepers.iter().any(|part| part.policy != site.policy),
        duties: duties(lang, entry),
        paper: paper(lang, entry),
        opened: opened(site, lang, entry),
        private: private(site, lang, entry),
        receipts: receipts(site, lang, entry),
        command: command(site),
        full_number: entry.id.to_string(),
        shell,
        w,
    };
    Ok(page.render()?)
}

/// What would make it lawful is said of refusals alone: under a yes it would be a riddle.
fn refusal_fix<'a>(entry: &Entry, words: &'a lockplate_core::facts::Reason) -> Option<&'a str> {
    if entry.decision == Decision::Granted { None } else { words.fix.as_deref() }
}

fn story(site: &Site, lang: Lang, entry: &Entry) -> Vec<String> {
    let w = lang.words();
    let when = say::moment(lang, entry.time).text;
    let days = say::plural(entry.window_days, w.day_one, w.days);
    let owner = site.summary.owner.label();
    let mut story = vec![fill(w.entry_story, &[&when, entry.requester.label(), owner, &days])];
    if entry.on_behalf_of.id != entry.requester.id {
        story.push(fill(w.entry_behalf, &[entry.on_behalf_of.label()]));
    }
    let yes = entry.keepers.iter().filter(|part| part.decision.is_yes()).count();
    let (n, t) = (say::count(site.summary.keepers.len()), number(site.summary.threshold.into()));
    story.push(match entry.decision {
        Decision::Granted => fill(w.entry_granted, &[&say::count(yes), &n, &t]),
        Decision::Refused => w.entry_refused.to_owned(),
        Decision::Waiting => w.entry_waiting.to_owned(),
    });
    story
}

fn terms(site: &Site, lang: Lang, entry: &Entry) -> Vec<(&'static str, String)> {
    let w = lang.words();
    let paper = Assurance::from_name(entry.assurance).map_or(w.unknown, |assurance| say::assurance(lang, assurance));
    let first = entry.keepers.first();
    let (allowed, refused) = first.map_or((0, 0), |part| (part.epochs_allowed, part.epochs_refused));
    let (allowed, refused) = (periods(site, lang, allowed), periods(site, lang, refused));
    let days = say::plural(entry.window_days, w.day_one, w.days);
    vec![
        (w.entry_purpose, purpose(lang, entry.purpose).to_owned()),
        (w.entry_basis, basis(lang, entry.basis).to_owned()),
        (w.entry_paper, paper.to_owned()),
        (w.entry_officer, fill(w.entry_officer_text, &[&entry.officer])),
        (w.entry_spellings, number(entry.elements)),
        (w.entry_span, format!("{days}; {}", fill(w.entry_span_hours, &[&allowed, &refused]))),
    ]
}

/// Periods of reads: hours, where a period is one.
pub(crate) fn periods(site: &Site, lang: Lang, count: u64) -> String {
    let w = lang.words();
    if site.town.epoch_seconds == 3_600 {
        say::plural(count, w.hour_one, w.hours)
    } else {
        say::plural(count, w.period_one, w.periods)
    }
}

fn said<'a>(site: &'a Site, lang: Lang, entry: &Entry, keeper: u8, name: &'a str) -> Keeper<'a> {
    let w = lang.words();
    let line = |index: u64| fill(w.line_of, &[&number(index)]);
    let mut said = Vec::new();
    if let Some(part) = entry.keepers.iter().find(|part| part.keeper == keeper) {
        let (decision, reason) = decision(lang, part);
        let when = say::moment(lang, part.time);
        said.push(Said { decision: decision.to_owned(), reason, when, line: line(part.leaf.index) });
        said.extend(part.evaluations.iter().map(|answer| Said {
            decision: fill(w.decision_answered, &[&periods(site, lang, answer.epochs)]),
            reason: None,
            when: say::moment(lang, answer.time),
            line: line(answer.leaf.index),
        }));
    }
    let record = site.record(LogName::Keeper(KeeperIndex(keeper)));
    let reached = record.is_some_and(|record| record.trouble != Some(Trouble::Unavailable));
    Keeper { name, said, silent: if reached { w.entry_silent } else { w.entry_silent_unreached } }
}

fn decision(lang: Lang, part: &KeeperPart) -> (&'static str, Option<&'static str>) {
    let w = lang.words();
    let why = |reason: Option<RefusalReason>| reason.map(|reason| say::reason(lang, reason));
    match part.decision {
        KeeperDecision::Allowed => (w.decision_allow, None),
        KeeperDecision::Approved => (w.decision_approve, None),
        KeeperDecision::Asked => (w.decision_ask, None),
        KeeperDecision::RefusedByHuman(reason) => (w.decision_refuse, why(reason)),
        KeeperDecision::RefusedByRule => (w.decision_deny, None),
    }
}

fn duties(lang: Lang, entry: &Entry) -> Vec<String> {
    let w = lang.words();
    let Some(duties) = entry.obligations.filter(|_| entry.decision != Decision::Refused) else { return Vec::new() };
    let mut said = vec![fill(w.duty_retain, &[&say::plural(duties.retain_days.into(), w.day_one, w.days)])];
    if duties.approvers > 0 {
        said.push(say::plural(duties.approvers.into(), w.duty_person, w.duty_people));
    }
    if duties.confirm_visual {
        said.push(w.duty_look.to_owned());
    }
    said
}

/// How it stands with the paper of an emergency.
fn paper(lang: Lang, entry: &Entry) -> Option<String> {
    let w = lang.words();
    let paper = entry.paper?;
    let text = match paper.status {
        "filed" => w.paper_filed,
        "overdue" => w.paper_overdue,
        _ => w.paper_due,
    };
    Some(fill(text, &[&say::moment(lang, paper.deadline).text]))
}

fn opened(site: &Site, lang: Lang, entry: &Entry) -> Vec<String> {
    let w = lang.words();
    let answers = entry.keepers.iter().flat_map(|part| &part.evaluations);
    // Every keeper answers for the same periods, so the most that one answered for is what could be opened.
    let Some(most) = answers.map(|answer| answer.epochs).max() else { return vec![w.opened_nothing.to_owned()] };
    let who = entry.requester.label();
    let disclosed = match &entry.disclosure {
        None => w.opened_missing.to_owned(),
        Some(said) => match said.outcome {
            "found" => found(lang, who, said.cells, said.others),
            "none" => fill(w.opened_none, &[who]),
            _ => fill(w.opened_failed, &[who]),
        },
    };
    vec![fill(w.opened_answers, &[&periods(site, lang, most)]), disclosed]
}

/// How many reads were opened, and how many of them were of other plates.
fn found(lang: Lang, who: &str, reads: u64, others: u64) -> String {
    let w = lang.words();
    // "Of these" needs more than one.
    let of_these = match (reads, others) {
        (1, 0) => w.opened_right.to_owned(),
        (1, 1) => w.opened_wrong.to_owned(),
        _ => say::plural(others, w.opened_others_one, w.opened_others),
    };
    fill(w.opened_found, &[who, &say::plural(reads, w.read_one, w.reads), &of_these])
}

fn private(site: &Site, lang: Lang, entry: &Entry) -> Vec<String> {
    let w = lang.words();
    let until = say::date(lang, entry.embargo);
    let window = if entry.embargo > site.summary.as_of { w.private_until } else { w.private_open };
    let keep = say::span(lang, site.town.opening_keep_seconds);
    vec![w.private_always.to_owned(), fill(window, &[&until]), fill(w.private_kept, &[&keep])]
}

/// Where the receipt of each line of the page is.
fn receipts(site: &Site, lang: Lang, entry: &Entry) -> Vec<(String, String)> {
    let w = lang.words();
    let keepers = entry.keepers.iter().flat_map(|part| {
        let leaves = core::iter::once(part.leaf).chain(part.evaluations.iter().map(|answer| answer.leaf));
        leaves.map(move |leaf| (leaf, part.name.clone()))
    });
    let desk = entry.disclosure.iter().map(|said| (said.leaf, entry.requester.label().to_owned()));
    let addressed = keepers.chain(desk).filter_map(|(leaf, name)| {
        let address = &site.record(leaf.log)?.address;
        let href = format!("{address}/receipt/{}", leaf.index);
        (!address.is_empty()).then(|| (href, fill(w.check_receipt, &[&number(leaf.index), &name])))
    });
    addressed.collect()
}

/// The command that fetches everything from a keeper's office, and not from the agency, and checks it.
pub(crate) fn command(site: &Site) -> String {
    format!("lockplate verify {}", site.town.pinned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_read_is_not_said_as_many() {
        let said = |lang, reads, others| found(lang, "Eastport", reads, others);
        assert_eq!(said(Lang::En, 1, 0), "Eastport opened 1 read. It was of the plate asked for.");
        assert_eq!(said(Lang::Es, 1, 1), "Eastport abrió 1 lectura. No era de la placa pedida.");
        assert_eq!(said(Lang::En, 2, 1), "Eastport opened 2 reads. Of these, 1 was not of the plate asked for.");
        assert_eq!(said(Lang::Es, 12, 0), "Eastport abrió 12 lecturas. De ellas, 0 no eran de la placa pedida.");
    }
}

//! What a search tells while it runs and when it is over. One owner: its keepers' answers line by line, then the result. Several: each
//! owner's answer as soon as it is there, under the owner's name, a line of counts that stays on a terminal, then what was refused and by
//! which rules, and what is still open.

use std::collections::BTreeMap;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use lockplate_core::id::b64url;
use lockplate_core::json::time_text;
use lockplate_node::api::{AnswerState, DeskState, DeskStatus, ReasonText};
use lockplate_node::search::federation::{Drafted, Federation, News, Part, Tally};
use lockplate_node::search::{self, Fetched, Refusal, SearchFault};
use lockplate_node::shutdown::ExitKind;
use serde_json::{Value, json};

use super::{
    counted, entries, fault_document, hex_of, keep, periods, progress, reason_lines, show, show_culprits, show_fault,
    show_filed, state_words, status_document, table,
};
use crate::screen::Screen;

/// Why an owner gets no request.
const NOT_NAMED: &str = "the paper does not name it";

/// Tells one search.
pub(super) struct Report<'a> {
    federation: &'a Federation,
    screen: &'a Screen,
    number: String,
    /// Owners that are asked.
    owners: usize,
    bar: ProgressBar,
    /// The last line about the one owner.
    last: String,
    /// Where requests without an answer stand.
    standing: BTreeMap<usize, DeskState>,
    ended: Tally,
    not_asked: Vec<(usize, String)>,
    /// Every rule that refused, once.
    reasons: Vec<ReasonText>,
}

impl<'a> Report<'a> {
    pub(super) fn new(federation: &'a Federation, number: [u8; 32], owners: usize, screen: &'a Screen) -> Self {
        let bar = if owners > 1 && screen.draws() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        // A template that does not parse is our own bug and no reason not to search.
        let bar = ProgressStyle::with_template("{msg}  {elapsed}").map_or(bar.clone(), |style| bar.with_style(style));
        Self {
            federation,
            screen,
            number: hex_of(&number),
            owners,
            bar,
            last: String::new(),
            standing: BTreeMap::new(),
            ended: Tally::default(),
            not_asked: Vec::new(),
            reasons: Vec::new(),
        }
    }

    const fn is_single(&self) -> bool {
        self.owners == 1
    }

    /// What is asked, whom, and who is not; `spared` are the owners that the paper does not name.
    pub(super) fn begin(&mut self, drafted: &Drafted, spared: &[usize]) {
        self.not_asked.extend(spared.iter().map(|owner| (*owner, NOT_NAMED.to_owned())));
        self.not_asked.extend(drafted.left_out.iter().map(|(owner, fault)| (*owner, fault.to_string())));
        if !spared.is_empty() {
            let names: Vec<&str> = spared.iter().map(|owner| self.federation.name(*owner)).collect();
            self.screen.note(&format!("Not asked, because {NOT_NAMED}: {}.", names.join(", ")));
        }
        for (owner, fault) in &drafted.left_out {
            self.screen.note(&format!("Not asked: {}: {fault}", self.federation.name(*owner)));
        }
        if let ([(_, filed)], true) = (drafted.parts.as_slice(), self.is_single()) {
            return show_filed(filed, self.screen);
        }
        let windows = drafted.parts.iter().map(|(_, filed)| filed.window);
        let span = windows.clone().map(|window| window.from).min().zip(windows.map(|window| window.to).max());
        if let Some((from, to)) = span {
            self.screen.note(&format!(
                "Asking {} owners from {} to {}, each for its own whole periods.",
                self.owners,
                time_text(from),
                time_text(to)
            ));
        }
        self.screen.note(&format!("Search {}", self.number));
    }

    /// One owner's news.
    pub(super) fn hear(&mut self, part: &Part, news: &News<'_>) {
        match news {
            News::Filed => {}
            News::Status(status) => {
                self.standing.insert(part.owner, status.state);
                let line = if self.is_single() { progress(status) } else { self.counts() };
                if line == self.last {
                    return;
                }
                if self.is_single() {
                    self.screen.note(&line);
                }
                self.bar.set_message(line.clone());
                self.last = line;
            }
            News::Ended(ended) => {
                self.standing.remove(&part.owner);
                self.ended.count(ended);
                let bar = self.bar.clone();
                bar.suspend(|| self.tell_end(part, ended));
                bar.set_message(self.counts());
            }
        }
    }

    fn tell_end(&mut self, part: &Part, ended: &Result<Fetched, SearchFault>) {
        if self.screen.json() {
            let document = match ended {
                Ok(fetched) => keep::document(fetched),
                Err(fault) => fault_document(fault, &hex_of(&part.request)),
            };
            let mut document = with_owner(document, self.federation, part.owner);
            if let (Some(fields), false) = (document.as_object_mut(), self.is_single()) {
                fields.insert("search".to_owned(), json!(self.number));
            }
            return self.screen.document(&document);
        }
        let owner = part.owner;
        match ended {
            Ok(fetched) if self.is_single() => {
                if !keep::is_held(fetched) {
                    show(fetched, self.screen);
                }
                keep::show_kept(fetched, self.screen);
            }
            Err(fault) if self.is_single() => show_fault(fault, &self.number, self.screen),
            Ok(fetched) => self.tell_answer(owner, fetched),
            Err(fault) => self.tell_fault(owner, fault),
        }
    }

    fn tell_answer(&self, owner: usize, fetched: &Fetched) {
        let name = self.federation.name(owner);
        show_culprits(fetched, self.screen);
        let searched = format!("{}; {}", periods(fetched), entries(fetched));
        if fetched.is_no_match() && fetched.epochs_not_searched == 0 {
            self.screen.line(&format!("{name}: no match, checked ({searched})"));
        } else if fetched.is_no_match() {
            self.screen.line(&format!("{name}: no match in the periods searched ({searched})"));
        } else if keep::is_held(fetched) {
            self.screen.line(&format!("{name}: {searched}"));
        } else {
            self.screen.heading(&format!("{name}: {} found ({searched})", counted(fetched.found.len(), "read")));
            self.screen.line(&table(fetched, Some(name)).to_string());
        }
        keep::show_kept(fetched, self.screen);
    }

    fn tell_fault(&mut self, owner: usize, fault: &SearchFault) {
        let name = self.federation.name(owner);
        if let SearchFault::Refused(refusals) = fault {
            self.screen.line(&format!("{name}: {}", refused_words(refusals)));
            for reason in refusals.iter().flat_map(|refusal| &refusal.reasons) {
                if !self.reasons.contains(reason) {
                    self.reasons.push(reason.clone());
                }
            }
            return;
        }
        self.screen.line(&format!("{name}: {fault}"));
        if let SearchFault::Lied { evidence: Some(path), .. } = fault {
            self.screen.note(&format!("the evidence is in {}", path.display()));
        }
    }

    /// How many have said what so far, those included whose keepers do not answer at this moment.
    fn counts(&self) -> String {
        let away = self.standing.values().filter(|state| **state == DeskState::Unavailable).count();
        counts_text(self.owners, &self.ended, self.ended.unavailable.saturating_add(away))
    }

    /// The number of what was filed; an owner to which it could not be filed was named.
    pub(super) fn filed(&self, tally: Tally) -> ExitKind {
        self.bar.finish_and_clear();
        if self.screen.json() {
            let mut document = json!({ "schema": search::SCHEMA, "request": self.number, "state": "filed" });
            if let (Some(fields), false) = (document.as_object_mut(), self.is_single()) {
                fields.insert("owners".to_owned(), json!(self.owners));
                fields.insert("not_asked".to_owned(), self.not_asked_document());
            }
            self.screen.document(&document);
        } else {
            self.screen.line(&self.number);
        }
        tally.exit_kind()
    }

    /// The end of the search: the counts, the rules, what is open.
    pub(super) fn end(&self, tally: Tally) -> ExitKind {
        self.bar.finish_and_clear();
        let kind = tally.exit_kind();
        if self.is_single() {
            return kind;
        }
        if self.screen.json() {
            self.screen.document(&json!({
                "schema": search::SCHEMA,
                "request": self.number,
                "summary": {
                    "owners": self.owners,
                    "answered": tally.answered(),
                    "with_reads": tally.found,
                    "refused": tally.refused,
                    "destroyed": tally.gone,
                    "lied": tally.lied,
                    "waiting": tally.waiting,
                    "unavailable": tally.unavailable,
                    "failed": tally.failed,
                },
                "not_asked": self.not_asked_document(),
                "exit": kind.code(),
            }));
            return kind;
        }
        if !self.reasons.is_empty() {
            self.screen.line("");
            self.screen.line("The rules by which owners refused:");
            reason_lines(&self.reasons).iter().for_each(|line| self.screen.line(line));
        }
        self.screen.heading(&format!("{}.", counts_text(self.owners, &tally, tally.unavailable)));
        if tally.open() > 0 {
            let number = &self.number;
            self.screen.note(&format!("what is open stands; go on with: lockplate search fetch {number}"));
        }
        kind
    }

    fn not_asked_document(&self) -> Value {
        let not_asked =
            self.not_asked.iter().map(|(owner, why)| with_owner(json!({ "why": why }), self.federation, *owner));
        not_asked.collect()
    }
}

/// "31 of 85 answered, 2 with reads, 40 refused, 1 cannot be reached".
fn counts_text(owners: usize, tally: &Tally, away: usize) -> String {
    let mut text = format!("{} of {owners} answered, {} with reads", tally.answered(), tally.found);
    for (count, words) in [
        (tally.refused, "refused"),
        (tally.gone, "destroyed"),
        (tally.lied, "answered wrongly"),
        (tally.waiting, "still to answer"),
        (away, "cannot be reached"),
        (tally.failed, "failed"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {words}"));
        }
    }
    text
}

/// The rules of an owner's refusal, and where it stands.
fn refused_words(refusals: &[Refusal]) -> String {
    let mut rules: Vec<&str> = Vec::new();
    for reason in refusals.iter().flat_map(|refusal| &refusal.reasons) {
        if !rules.contains(&reason.rule.as_str()) {
            rules.push(&reason.rule);
        }
    }
    let entries: Vec<String> = refusals.iter().map(|one| format!("{} no. {}", one.name, one.register)).collect();
    format!("refused by {} ({})", rules.join(", "), entries.join(", "))
}

/// A document with the owner that it is about.
fn with_owner(mut document: Value, federation: &Federation, owner: usize) -> Value {
    if let (Some(fields), Some(id)) = (document.as_object_mut(), federation.id(owner)) {
        fields.insert("owner".to_owned(), json!({ "id": b64url(&id.0), "name": federation.name(owner) }));
    }
    document
}

/// Where each request of a search stands.
pub(super) fn show_statuses(federation: &Federation, number: &str, parts: &[(Part, DeskStatus)], screen: &Screen) {
    for (part, status) in parts {
        if screen.json() {
            let mut document = with_owner(status_document(&hex_of(&part.request), status), federation, part.owner);
            if let (Some(fields), false) = (document.as_object_mut(), parts.len() == 1) {
                fields.insert("search".to_owned(), json!(number));
            }
            screen.document(&document);
        } else if parts.len() == 1 {
            screen.line(&progress(status));
        } else {
            screen.line(&format!("{}: {}", federation.name(part.owner), short(status)));
        }
    }
}

/// Where a request stands, and whose answer is missing.
fn short(status: &DeskStatus) -> String {
    let missing = status
        .keepers
        .iter()
        .filter(|keeper| keeper.answer.as_ref().is_none_or(|answer| answer.state == AnswerState::Waiting));
    let missing: Vec<&str> = missing.map(|keeper| keeper.name.as_str()).collect();
    let state = state_words(status.state);
    if missing.is_empty() { state.to_owned() } else { format!("{state}; no answer yet of {}", missing.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_say_what_there_is_and_leave_out_what_there_is_not() {
        let mut tally = Tally::default();
        (tally.found, tally.no_match, tally.refused) = (2, 29, 40);
        assert_eq!(counts_text(85, &tally, 1), "31 of 85 answered, 2 with reads, 40 refused, 1 cannot be reached");
        let mut tally = Tally::default();
        (tally.gone, tally.lied, tally.waiting, tally.failed) = (1, 1, 3, 1);
        assert_eq!(
            counts_text(6, &tally, 0),
            "0 of 6 answered, 0 with reads, 1 destroyed, 1 answered wrongly, 3 still to answer, 1 failed"
        );
    }

    #[test]
    fn a_refusal_in_a_line_names_each_rule_once_and_every_entry() {
        let reason = |rule: &str| ReasonText { rule: rule.to_owned(), say: String::new(), cite: None, fix: None };
        let refusal = |keeper, name: &str, register| Refusal {
            keeper,
            name: name.to_owned(),
            register,
            reasons: vec![reason("a.one"), reason("b.two")],
        };
        let words = refused_words(&[refusal(1, "Clerk", 7), refusal(2, "Court", 9)]);
        assert_eq!(words, "refused by a.one, b.two (Clerk no. 7, Court no. 9)");
    }
}

//! The register as data: one table (CSV), one document (JSON), one feed of new entries (Atom), and the month's report as a
//! document. The same model as the pages, no field more. Texts of other parties are kept from being taken for formulas by a
//! spreadsheet (CSV) or for markup (Atom).

use std::collections::BTreeMap;

use askama::Template;
use lockplate_audit::monitor::MonitorRule;
use lockplate_audit::register::{Change, Entry, Summary};
use lockplate_audit::time::Month;
use lockplate_core::json::time_text;
use lockplate_core::vocabulary::Action;
use serde::Serialize;

use super::entry::title;
use super::shell::{badge, basis, purpose};
use super::site::{RenderError, Site, Trouble};
use super::words::{Lang, fill};

/// Entries of the feed: whoever reads it once a day misses none of a busy town.
const FEED_ENTRIES: usize = 100;

const COLUMNS: [&str; 23] = [
    "id",
    "time",
    "decision",
    "requester",
    "requester_id",
    "on_behalf_of",
    "on_behalf_of_id",
    "officer",
    "action",
    "purpose",
    "basis",
    "assurance",
    "judicial",
    "emergency",
    "spellings",
    "window_days",
    "rules",
    "private_until",
    "keepers_yes",
    "keepers_no",
    "reads_opened",
    "reads_of_others",
    "outcome",
];

impl From<csv::Error> for RenderError {
    fn from(_memory_does_not_fail: csv::Error) -> Self {
        Self
    }
}

impl From<serde_json::Error> for RenderError {
    fn from(_memory_does_not_fail: serde_json::Error) -> Self {
        Self
    }
}

/// All entries as a table, newest first. Names are as in JSON; times RFC 3339 in UTC.
pub(super) fn csv(site: &Site) -> Result<String, RenderError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(COLUMNS)?;
    for entry in &site.entries {
        table.write_record(cells(entry).iter().map(|cell| inert(cell)))?;
    }
    let bytes = table.into_inner().map_err(|_memory_does_not_fail| RenderError)?;
    String::from_utf8(bytes).map_err(|_cells_are_text| RenderError)
}

fn cells(entry: &Entry) -> [String; 23] {
    let own = |text: &str| text.to_owned();
    let yes = entry.keepers.iter().filter(|part| part.decision.is_yes()).count();
    let no = entry.keepers.iter().filter(|part| part.decision.is_no()).count();
    let said = entry.disclosure.as_ref();
    [
        entry.id.to_string(),
        time_text(entry.time),
        own(super::site::decision_name(entry.decision)),
        own(entry.requester.label()),
        entry.requester.id.clone(),
        own(entry.on_behalf_of.label()),
        entry.on_behalf_of.id.clone(),
        entry.officer.clone(),
        own(entry.action),
        own(entry.purpose),
        own(entry.basis),
        own(entry.assurance),
        entry.judicial.to_string(),
        entry.emergency.to_string(),
        entry.elements.to_string(),
        entry.window_days.to_string(),
        entry.rules.join(" "),
        time_text(entry.embargo),
        yes.to_string(),
        no.to_string(),
        said.map_or_else(String::new, |said| said.cells.to_string()),
        said.map_or_else(String::new, |said| said.others.to_string()),
        said.map_or_else(String::new, |said| own(said.outcome)),
    ]
}

/// A cell that no spreadsheet runs: a text that begins like a formula gets an apostrophe in front (OWASP, "CSV injection").
fn inert(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    summary: &'a Summary,
    records: Vec<RecordLine<'a>>,
    alarms: &'a BTreeMap<MonitorRule, u64>,
    changes: &'a [Change],
    entries: &'a [Entry],
}

#[derive(Serialize)]
struct RecordLine<'a> {
    log: String,
    address: &'a str,
    entries: u64,
    confirmed: Option<String>,
    confirmed_by: &'a [String],
    trouble: Option<&'static str>,
}

/// Everything that the pages show, as one document.
pub(super) fn json(site: &Site) -> Result<String, RenderError> {
    let records = site.records.iter().map(|(name, record, state)| RecordLine {
        log: name.to_string(),
        address: &record.address,
        entries: state.size,
        confirmed: state.confirmed.map(time_text),
        confirmed_by: &record.confirmed_by,
        trouble: record.trouble.map(|trouble| match trouble {
            Trouble::Unavailable => "unavailable",
            Trouble::Stale => "stale",
            Trouble::Lied => "lied",
        }),
    });
    let document = Document {
        schema: "lockplate/register/1",
        summary: &site.summary,
        records: records.collect(),
        alarms: &site.alarms,
        changes: &site.chronicle,
        entries: &site.entries,
    };
    Ok(format!("{}\n", serde_json::to_string(&document)?))
}

/// The report of a month as one document.
pub(super) fn report_json(site: &Site, month: Month) -> Result<String, RenderError> {
    let figures = site.months.figures(month).ok_or(RenderError)?;
    let document = serde_json::json!({
        "schema": "lockplate/report/1",
        "owner": site.summary.owner,
        "as_of": time_text(site.summary.as_of),
        "figures": figures,
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
}

#[derive(Template)]
#[template(path = "register/feed.xml", escape = "html")]
struct Feed<'a> {
    lang: Lang,
    title: String,
    base: &'a str,
    owner: &'a str,
    updated: String,
    items: Vec<Item>,
}

struct Item {
    title: String,
    number: String,
    published: String,
    updated: String,
    summary: String,
}

/// The newest entries as a feed, under their permanent addresses.
pub(super) fn feed(site: &Site, lang: Lang) -> Result<String, RenderError> {
    let w = lang.words();
    let owner = site.summary.owner.label();
    let items: Vec<Item> = site.entries.iter().take(FEED_ENTRIES).map(|entry| item(lang, owner, entry)).collect();
    let newest = items.iter().map(|item| item.updated.clone()).max();
    let feed = Feed {
        lang,
        title: format!("{} – {owner}", w.site),
        base: &site.town.base,
        owner,
        updated: newest.unwrap_or_else(|| time_text(site.summary.as_of)),
        items,
    };
    Ok(feed.render()?)
}

fn item(lang: Lang, owner: &str, entry: &Entry) -> Item {
    let w = lang.words();
    let days = super::say::plural(entry.window_days, w.day_one, w.days);
    let when = super::say::moment(lang, entry.time).text;
    let story = match Action::from_name(entry.action) {
        Some(Action::OwnerAccess) => w.entry_title_own.to_owned(),
        Some(Action::Search | Action::HoldEvidence) | None => {
            fill(w.entry_story, &[&when, entry.requester.label(), owner, &days])
        }
    };
    // The last thing that anybody said of it: a reader of the feed sees the entry again when that changes.
    let said = entry
        .keepers
        .iter()
        .flat_map(|part| core::iter::once(part.time).chain(part.evaluations.iter().map(|answer| answer.time)));
    let updated = said.chain(entry.disclosure.as_ref().map(|said| said.time)).max().unwrap_or(entry.time);
    Item {
        title: format!("{}: {}", badge(w, entry.decision).text, title(lang, entry)),
        number: entry.id.to_string(),
        published: time_text(entry.time),
        updated: time_text(updated),
        summary: format!("{story} {} · {}", purpose(lang, entry.purpose), basis(lang, entry.basis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_begins_like_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"] {
            assert_eq!(inert(text), format!("'{text}"));
        }
        for text in ["Eastport", "", "a=1", "'=1", "2026-11-01"] {
            assert_eq!(inert(text), text);
        }
    }
}

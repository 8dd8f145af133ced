//! What the pages have in common: the frame, and the pieces that several of them show. All links are relative, so that the
//! same bytes work from a server and from a folder.

use lockplate_audit::register::{Decision, Entry};
use lockplate_core::vocabulary::{Basis, Purpose};

use super::say::{self, Moment};
use super::site::{ListOf, Page, ROWS, Site, pages_of};
use super::words::{Lang, Words, fill};

/// The tab that is marked in the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Overview,
    Entries,
    Reports,
    Changes,
    How,
}

/// The frame of a page.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) lang: Lang,
    pub(crate) title: String,
    pub(crate) owner: String,
    /// Up to the folder of the register.
    pub(crate) root: String,
    /// Up to the folder of the language.
    pub(crate) home: String,
    /// The same page in the other language.
    pub(crate) other: String,
    pub(crate) tab: Tab,
    pub(crate) made: String,
    pub(crate) custody_label: bool,
    path: String,
}

impl Shell {
    pub(crate) fn new(site: &Site, lang: Lang, page: &Page, tab: Tab, title: String) -> Self {
        let w = lang.words();
        let path = page.path();
        let home = "../".repeat(path.matches('/').count());
        let root = format!("{home}{}", "../".repeat(lang.folder().matches('/').count()));
        let made = say::moment(lang, site.summary.as_of).text;
        Self {
            lang,
            title,
            owner: site.summary.owner.label().to_owned(),
            other: format!("{root}{}{path}", lang.other().folder()),
            root,
            home,
            tab,
            made: fill(w.made, &[&made, &say::count(site.records.len())]),
            custody_label: site.summary.custody_label,
            path,
        }
    }

    pub(crate) fn tabs(&self) -> [(Tab, &'static str, &'static str); 5] {
        let w = self.lang.words();
        [
            (Tab::Overview, "index.html", w.nav_overview),
            (Tab::Entries, "entries.html", w.nav_entries),
            (Tab::Reports, "reports.html", w.nav_reports),
            (Tab::Changes, "changes.html", w.nav_changes),
            (Tab::How, "how.html", w.nav_how),
        ]
    }

    /// Is this page the one at `href`?
    pub(crate) fn is(&self, href: &str) -> bool {
        self.path == href
    }

    pub(crate) fn english(&self) -> bool {
        self.lang == Lang::En
    }
}

/// A word and a sign for what was decided.
#[derive(Clone, Debug)]
pub(crate) struct Badge {
    pub(crate) class: &'static str,
    pub(crate) text: &'static str,
}

pub(crate) const fn badge(w: &'static Words, decision: Decision) -> Badge {
    match decision {
        Decision::Granted => Badge { class: "granted", text: w.state_granted },
        Decision::Refused => Badge { class: "refused", text: w.state_refused },
        Decision::Waiting => Badge { class: "waiting", text: w.state_waiting },
    }
}

/// One entry in a list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) when: Moment,
    /// Below the folder of the language.
    pub(crate) href: String,
    pub(crate) what: String,
    pub(crate) state: Badge,
    pub(crate) emergency: bool,
    pub(crate) rest: String,
}

pub(crate) fn row(lang: Lang, entry: &Entry) -> Row {
    let w = lang.words();
    let days = say::plural(entry.window_days, w.row_days_one, w.row_days);
    Row {
        when: say::moment(lang, entry.time),
        href: Page::Entry(entry.id).path(),
        what: fill(w.row_asked, &[entry.requester.label(), purpose(lang, entry.purpose)]),
        state: badge(w, entry.decision),
        emergency: entry.emergency,
        rest: format!("{days} · {}", basis(lang, entry.basis)),
    }
}

/// A purpose by its name in leaves; the model has only names of the closed list.
pub(crate) fn purpose(lang: Lang, name: &str) -> &'static str {
    Purpose::from_name(name).map_or(lang.words().unknown, |purpose| say::purpose(lang, purpose))
}

/// The same of a basis.
pub(crate) fn basis(lang: Lang, name: &str) -> &'static str {
    Basis::from_name(name).map_or(lang.words().unknown, |basis| say::basis(lang, basis))
}

/// A table of figures: the first column names the row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) caption: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Line>,
}

impl Sheet {
    /// What the figure at `at` of a row is, for screens too narrow for columns.
    pub(crate) fn label(&self, at: &usize) -> &'static str {
        self.columns.iter().skip(1).nth(*at).copied().unwrap_or_default()
    }
}

/// One row of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) href: Option<String>,
    /// The name is English, whatever the page is.
    pub(crate) english: bool,
    pub(crate) figures: Vec<String>,
    /// The same as numbers, for a chart.
    pub(crate) values: Vec<u64>,
}

impl Line {
    pub(crate) fn of(name: String, values: Vec<u64>) -> Self {
        Self { name, ..Self::default() }.with(values)
    }

    pub(crate) fn with(mut self, values: Vec<u64>) -> Self {
        self.figures = values.iter().copied().map(say::number).collect();
        self.values = values;
        self
    }
}

/// A picture on a page.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) href: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) alt: String,
}

/// The way through a list of several pages.
#[derive(Clone, Debug)]
pub(crate) struct Pager {
    pub(crate) count: usize,
    pub(crate) text: String,
    pub(crate) newer: Option<String>,
    pub(crate) older: Option<String>,
}

/// For page `number` of `rows` rows, where `page` makes the path of a page below the folder of the language.
pub(crate) fn pager(shell: &Shell, rows: usize, number: usize, page: impl Fn(usize) -> Page) -> Pager {
    let count = pages_of(rows);
    let href = |number: usize| format!("{}{}", shell.home, page(number).path());
    Pager {
        count,
        text: fill(shell.lang.words().page_of, &[&say::count(number), &say::count(count)]),
        newer: (number > 1).then(|| href(number.saturating_sub(1))),
        older: (number < count).then(|| href(number.saturating_add(1))),
    }
}

/// The rows of page `number`, from 1.
pub(crate) fn of_page<T>(rows: &[T], number: usize) -> &[T] {
    let from = number.saturating_sub(1).saturating_mul(ROWS);
    rows.get(from..rows.len().min(from.saturating_add(ROWS))).unwrap_or_default()
}

/// Where the list of an agency, purpose, rule, decision or month is, from a page of `shell`; none where it does not exist.
pub(crate) fn list_href(site: &Site, shell: &Shell, list: ListOf) -> Option<String> {
    site.lists.contains_key(&list).then(|| format!("{}{}", shell.home, Page::List(list, 1).path()))
}

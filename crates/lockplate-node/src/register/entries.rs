//! Lists of entries: all, and those of one agency, purpose, rule, decision or month. The filters are pages too, so that nobody
//! learns from a search form who is curious about what.

use askama::Template;
use lockplate_audit::register::{Counts, Decision};

use super::say::{self, number};
use super::shell::{Pager, Row, Shell, Tab, badge, of_page, pager, purpose, row};
use super::site::{ListOf, Page, RenderError, Site};
use super::words::{Lang, Words, fill};

#[derive(Template)]
#[template(path = "register/entries.html")]
struct Entries {
    shell: Shell,
    w: &'static Words,
    only: Option<Only>,
    count: String,
    facets: Vec<Facet>,
    rows: Vec<Row>,
    pages: Pager,
}

struct Only {
    text: String,
    english: bool,
}

struct Facet {
    name: &'static str,
    /// Its choices are texts of rules, which are English.
    english: bool,
    choices: Vec<Choice>,
}

struct Choice {
    href: String,
    name: String,
    count: String,
    here: bool,
}

pub(super) fn page(site: &Site, lang: Lang, list: &ListOf, number: usize) -> Result<String, RenderError> {
    let w = lang.words();
    let places = site.lists.get(list).map(Vec::as_slice).unwrap_or_default();
    let name = (*list != ListOf::All).then(|| name_of(site, lang, list));
    let title = name.as_ref().map_or_else(|| w.entries_title.to_owned(), |name| fill(w.filter_only, &[name]));
    let title = if number > 1 { format!("{title} ({})", say::count(number)) } else { title };
    let shell = Shell::new(site, lang, &Page::List(list.clone(), number), Tab::Entries, title);
    let rows = of_page(places, number).iter().filter_map(|place| site.entries.get(*place));
    let page = Entries {
        only: name.map(|name| Only {
            text: fill(w.filter_only, &[&name]),
            english: matches!(list, ListOf::Rule(_)) && lang == Lang::En,
        }),
        count: say::plural(say::wide(places.len()), w.entries_count_one, w.entries_count),
        facets: facets(site, lang, list),
        rows: rows.map(|entry| row(lang, entry)).collect(),
        pages: pager(&shell, places.len(), number, |number| Page::List(list.clone(), number)),
        shell,
        w,
    };
    Ok(page.render()?)
}

/// The value that a list shows, in words.
fn name_of(site: &Site, lang: Lang, list: &ListOf) -> String {
    match list {
        ListOf::All => lang.words().entries_title.to_owned(),
        ListOf::Agency(id) => {
            let known = site.facets.agencies.iter().find(|(party, _)| party.id == *id);
            known.map_or_else(|| id.clone(), |(party, _)| party.label().to_owned())
        }
        ListOf::Purpose(name) => purpose(lang, name).to_owned(),
        ListOf::Rule(rule) => rule_text(site, lang, rule),
        ListOf::Decision(decision) => badge(lang.words(), *decision).text.to_owned(),
        ListOf::Month(month) => say::month(lang, *month),
    }
}

/// The sentence of a rule; rules have no shorter name that people would understand.
pub(crate) fn rule_text(site: &Site, lang: Lang, rule: &str) -> String {
    match site.rules.get(rule) {
        Some(Some(words)) => words.say.clone(),
        Some(None) | None => lang.words().rule_unknown.to_owned(),
    }
}

fn facets(site: &Site, lang: Lang, here: &ListOf) -> Vec<Facet> {
    let w = lang.words();
    let choice = |list: ListOf, counts: &Counts| Choice {
        href: Page::List(list.clone(), 1).path(),
        name: name_of(site, lang, &list),
        count: number(counts.all()),
        here: list == *here,
    };
    let all = site.facets.all;
    let decisions = [
        (Decision::Granted, Counts { granted: all.granted, ..Counts::default() }),
        (Decision::Refused, Counts { refused: all.refused, ..Counts::default() }),
        (Decision::Waiting, Counts { waiting: all.waiting, ..Counts::default() }),
    ];
    let facets = &site.facets;
    let facet = |name, english, choices: Vec<Choice>| Facet { name, english, choices };
    let agencies = facets.agencies.iter().map(|(party, counts)| choice(ListOf::Agency(party.id.clone()), counts));
    let purposes = facets.purposes.iter().map(|(name, counts)| choice(ListOf::Purpose((*name).to_owned()), counts));
    let rules = facets.rules.iter().map(|(rule, counts)| choice(ListOf::Rule(rule.clone()), counts));
    let months = facets.months.iter().map(|(month, counts)| choice(ListOf::Month(*month), counts));
    let decisions = decisions.iter().filter(|(_, counts)| counts.all() > 0);
    [
        facet(w.filter_agency, false, agencies.collect()),
        facet(w.filter_purpose, false, purposes.collect()),
        facet(
            w.filter_decision,
            false,
            decisions.map(|(one, counts)| choice(ListOf::Decision(*one), counts)).collect(),
        ),
        facet(w.filter_month, false, months.collect()),
        facet(w.filter_rule, true, rules.collect()),
    ]
    .into_iter()
    .filter(|facet| !facet.choices.is_empty())
    .collect()
}

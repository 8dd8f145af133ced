//! The first screen: what a resident asks first. It must say what is missing or not to be believed before anything else, and
//! the custody label before that.

use askama::Template;
use lockplate_audit::logs::LogName;

use super::say::{self, Moment, number};
use super::shell::{Figure, Line, Row, Sheet, Shell, Tab, list_href, row};
use super::site::{ListOf, Page, RenderError, Site, Trouble};
use super::words::{Lang, Words, fill};
use super::{alarms, figures};

/// Entries shown on the first screen.
const LATEST: usize = 8;
#[derive(Template)]
#[template(path = "register/overview.html")]
struct Overview<'a> {
    shell: Shell,
    w: &'static Words,
    troubles: Vec<String>,
    facts: Vec<Fact>,
    who_title: String,
    who: Option<Sheet>,
    latest: Vec<Row>,
    all_entries: String,
    months: Option<Sheet>,
    chart: Option<Figure>,
    keepers_text: String,
    keepers: Vec<Keeper<'a>>,
    records: Vec<Shown>,
}

struct Fact {
    name: String,
    figure: String,
    lines: Vec<String>,
}

struct Keeper<'a> {
    name: &'a str,
    of: String,
}

struct Shown {
    name: String,
    size: String,
    confirmed: Option<Moment>,
    by: String,
}

pub(super) fn page(site: &Site, lang: Lang) -> Result<String, RenderError> {
    let w = lang.words();
    let summary = &site.summary;
    let title = fill(w.overview_title, &[summary.owner.label()]);
    let shell = Shell::new(site, lang, &Page::Overview, Tab::Overview, title);
    let (t, n) = (number(summary.threshold.into()), say::count(summary.keepers.len()));
    let month = say::month(lang, summary.month);
    let months = site.months.by_month(lang, &shell);
    let chart = match &months {
        Some(sheet) => Some(site.months.picture(site, lang, &shell, &figures::Picture::Months, &sheet.caption)?),
        None => None,
    };
    let page = Overview {
        troubles: troubles(site, lang),
        facts: facts(site, lang, &month),
        who_title: fill(w.who_title, &[&month]),
        who: who(site, lang, &shell, &month),
        latest: site.entries.iter().take(LATEST).map(|entry| row(lang, entry)).collect(),
        all_entries: say::plural(say::wide(site.entries.len()), w.latest_all_one, w.latest_all),
        months,
        chart,
        keepers_text: fill(w.keepers_text, &[&t, &n]),
        keepers: summary
            .keepers
            .iter()
            .map(|keeper| Keeper { name: &keeper.name, of: fill(w.keeper_of, &[&keeper.legal_entity]) })
            .collect(),
        records: site
            .records
            .iter()
            .map(|(name, record, state)| Shown {
                name: party(site, lang, *name),
                size: number(state.size),
                confirmed: state.confirmed.map(|time| say::moment(lang, time)),
                by: if record.confirmed_by.is_empty() {
                    w.fresh_self.to_owned()
                } else {
                    say::list(lang, &record.confirmed_by)
                },
            })
            .collect(),
        shell,
        w,
    };
    Ok(page.render()?)
}

fn facts(site: &Site, lang: Lang, month: &str) -> Vec<Fact> {
    let w = lang.words();
    let summary = &site.summary;
    let counts = summary.this_month;
    let cameras = match summary.cameras {
        Some(cameras) => (number(cameras.count), fill(w.fact_cameras_since, &[&say::date(lang, cameras.since)])),
        None => ("–".to_owned(), w.fact_cameras_unknown.to_owned()),
    };
    let fact = |name: String, figure, lines| Fact { name, figure, lines };
    let mut facts = vec![
        fact(w.fact_cameras.to_owned(), cameras.0, vec![cameras.1]),
        fact(w.fact_kept.to_owned(), say::span(lang, summary.retention_seconds), vec![w.fact_kept_text.to_owned()]),
        fact(
            fill(w.fact_searches, &[month]),
            number(counts.all()),
            vec![
                say::plural(counts.granted, w.fact_granted_one, w.fact_granted),
                say::plural(counts.refused, w.fact_refused_one, w.fact_refused),
                fill(w.fact_waiting, &[&number(counts.waiting)]),
            ],
        ),
    ];
    facts.push(fact(fill(w.fact_emergencies, &[month]), number(summary.emergencies), papers(site, lang)));
    let (t, n) = (number(summary.threshold.into()), say::count(summary.keepers.len()));
    let keepers = fill(w.fact_keepers_of, &[&t, &n]);
    // Under the label that sentence would be the opposite of the truth.
    let custody = if summary.custody_label {
        vec![w.fact_keepers_text.to_owned(), w.fact_keepers_one_party.to_owned()]
    } else {
        vec![fill(w.label_none, &[&t, &n, &number(summary.legal_entities)])]
    };
    facts.push(fact(w.fact_keepers.to_owned(), keepers, custody));
    facts.push(match &summary.self_test {
        None => fact(w.fact_selftest.to_owned(), "–".to_owned(), vec![w.selftest_none.to_owned()]),
        Some(test) => {
            let line = match test.result {
                "found" => say::plural(test.keepers, w.selftest_found_one, w.selftest_found),
                "missed" => w.selftest_missed.to_owned(),
                _ => w.selftest_error.to_owned(),
            };
            fact(w.fact_selftest.to_owned(), say::date(lang, test.time), vec![line])
        }
    });
    facts
}

/// The papers of this month's emergencies that are over their deadline, where there was an emergency.
fn papers(site: &Site, lang: Lang) -> Vec<String> {
    let figures = site.months.figures(site.summary.month).filter(|figures| figures.emergencies.all() > 0);
    let overdue = figures.map(|figures| figures.papers.overdue);
    let w = lang.words();
    overdue.map(|overdue| say::plural(overdue, w.fact_papers_one, w.fact_papers)).into_iter().collect()
}

fn who(site: &Site, lang: Lang, shell: &Shell, month: &str) -> Option<Sheet> {
    let w = lang.words();
    let rows = site.summary.who_asked.iter().map(|(party, counts)| Line {
        href: list_href(site, shell, ListOf::Agency(party.id.clone())),
        ..Line::of(party.label().to_owned(), vec![counts.granted, counts.refused, counts.waiting])
    });
    let rows: Vec<Line> = rows.collect();
    (!rows.is_empty()).then(|| Sheet {
        caption: fill(w.who_title, &[month]),
        columns: vec![w.col_agency, w.col_granted, w.col_refused, w.col_waiting],
        rows,
    })
}

/// What is missing here or not to be believed.
pub(crate) fn troubles(site: &Site, lang: Lang) -> Vec<String> {
    let w = lang.words();
    let mut troubles = Vec::new();
    for (name, record, state) in &site.records {
        let who = party(site, lang, *name);
        let since = state.confirmed.map(|time| say::moment(lang, time).text);
        let text = match (record.trouble, since) {
            (None, _) => continue,
            (Some(Trouble::Unavailable), Some(since)) => fill(w.trouble_unavailable, &[&who, &since]),
            (Some(Trouble::Unavailable), None) => fill(w.trouble_never, &[&who]),
            (Some(Trouble::Stale), Some(since)) => fill(w.trouble_stale, &[&who, &since]),
            (Some(Trouble::Stale), None) => fill(w.trouble_stale_never, &[&who]),
            (Some(Trouble::Lied), Some(since)) => fill(w.trouble_lied, &[&who, &since]),
            (Some(Trouble::Lied), None) => fill(w.trouble_lied_never, &[&who]),
        };
        troubles.push(text);
    }
    troubles.extend(alarms::lines(lang, &site.alarms));
    troubles
}

/// Whose log it is, for people.
pub(crate) fn party(site: &Site, lang: Lang, name: LogName) -> String {
    let w = lang.words();
    match name {
        LogName::Keeper(index) => {
            let keeper = site.summary.keepers.iter().find(|keeper| keeper.keeper == index.0);
            fill(w.party_keeper, &[keeper.map_or(w.unknown, |keeper| keeper.name.as_str()), &number(index.0.into())])
        }
        LogName::Recorder => fill(w.party_recorder, &[site.summary.owner.label()]),
        LogName::Desk(agency) => {
            let id = agency.to_string();
            fill(w.party_desk, &[site.names.get(&id).unwrap_or(&id)])
        }
    }
}

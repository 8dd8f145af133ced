//! The monthly report: figures, each as a table, some as a chart as well. A chart is drawn from the very rows of the table
//! that stands beside it, so the two cannot differ.

use std::collections::BTreeMap;

use askama::Template;
use lockplate_audit::logs::Logs;
use lockplate_audit::register::{Counts, Entry};
use lockplate_audit::report::{self, Figures};
use lockplate_audit::time::{Month, Period, ZoneOffset};
use lockplate_core::Timestamp;

use super::chart::{self, BARS_MAX, Bar, Look};
use super::entries::rule_text;
use super::say::{self, number};
use super::shell::{Figure, Line, Sheet, Shell, Tab, list_href, purpose};
use super::site::{ListOf, Page, RenderError, Site};
use super::words::{Lang, Words, fill};

/// Months of the chart on the first screen: two bars each.
const MONTHS_SHOWN: usize = BARS_MAX / 2;
/// Months that have a report: 20 years, the newest first. A clock gone astray must not make a thousand pages.
const MONTHS_MAX: usize = 240;
/// Rows of a table of the report; the rest is summed up in the last one.
const ROWS_SHOWN: usize = 40;

/// A chart of one month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Decisions,
    Agencies,
    Purposes,
}

impl Topic {
    const ALL: [Self; 3] = [Self::Decisions, Self::Agencies, Self::Purposes];

    const fn name(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::Agencies => "agencies",
            Self::Purposes => "purposes",
        }
    }
}

/// A chart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Picture {
    /// Requests by month.
    Months,
    /// Of one month.
    Of(Month, Topic),
}

impl Picture {
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Months => "chart/months.svg".to_owned(),
            Self::Of(month, topic) => format!("chart/{month}-{}.svg", topic.name()),
        }
    }

    pub(crate) fn parse(path: &str) -> Option<Self> {
        let name = path.strip_prefix("chart/")?.strip_suffix(".svg")?;
        if name == "months" {
            return Some(Self::Months);
        }
        let (month, topic) = (name.get(..7)?, name.get(7..)?.strip_prefix('-')?);
        let topic = Topic::ALL.into_iter().find(|one| one.name() == topic)?;
        Month::parse(month).map(|month| Self::Of(month, topic))
    }
}

/// The months that have a report.
#[derive(Clone, Debug)]
pub(crate) struct Months {
    /// Newest first.
    order: Vec<Month>,
    figures: BTreeMap<Month, Figures>,
}

impl Months {
    /// Every month from the first entry to the current one.
    pub(crate) fn of(logs: &Logs, entries: &[Entry], zone: ZoneOffset, now: Timestamp) -> Self {
        let last = Month::of(now);
        let first = entries.iter().map(|entry| entry.month).min().unwrap_or(last).min(last);
        let mut order: Vec<Month> = entries.iter().map(|entry| entry.month).filter(|month| *month > last).collect();
        let mut month = first;
        while month < last {
            order.push(month);
            month = month.next();
        }
        order.push(last);
        order.sort_unstable_by(|one, other| other.cmp(one));
        order.dedup();
        order.truncate(MONTHS_MAX);
        let figures = order.iter().map(|month| (*month, Figures::of(logs, Period::Month(*month), zone, now)));
        let figures = figures.collect();
        Self { order, figures }
    }

    pub(crate) fn all(&self) -> Vec<Month> {
        self.order.clone()
    }

    pub(crate) fn has(&self, month: Month) -> bool {
        self.figures.contains_key(&month)
    }

    pub(crate) fn figures(&self, month: Month) -> Option<&Figures> {
        self.figures.get(&month)
    }

    pub(crate) fn pictures(&self) -> Vec<Picture> {
        let of = self.order.iter().flat_map(|month| Topic::ALL.map(|topic| Picture::Of(*month, topic)));
        core::iter::once(Picture::Months).chain(of).collect()
    }

    /// Requests of the last months.
    pub(crate) fn by_month(&self, lang: Lang, shell: &Shell) -> Option<Sheet> {
        let w = lang.words();
        let shown = self.order.iter().take(MONTHS_SHOWN);
        let rows: Vec<Line> = shown
            .filter_map(|month| {
                let figures = self.figures.get(month)?;
                let href = format!("{}{}", shell.home, Page::Report(*month).path());
                Some(Line {
                    href: Some(href),
                    ..Line::of(
                        say::month(lang, *month),
                        vec![figures.requests.granted, figures.requests.refused, figures.requests.waiting],
                    )
                })
            })
            .collect();
        let caption = w.chart_months.to_owned();
        let columns = vec![w.col_month, w.col_granted, w.col_refused, w.col_waiting];
        (!rows.is_empty()).then_some(Sheet { caption, columns, rows })
    }

    /// The rows that a picture is drawn from.
    fn sheet_of(&self, site: &Site, lang: Lang, shell: &Shell, picture: &Picture) -> Option<Sheet> {
        match picture {
            Picture::Months => self.by_month(lang, shell),
            Picture::Of(month, topic) => {
                let figures = self.figures.get(month)?;
                Some(match topic {
                    Topic::Decisions => decisions(lang, figures),
                    Topic::Agencies => agencies(site, lang, shell, figures),
                    Topic::Purposes => purposes(site, lang, shell, figures),
                })
            }
        }
    }

    /// The picture itself.
    pub(crate) fn draw(&self, site: &Site, lang: Lang, picture: &Picture) -> Result<String, RenderError> {
        let page = Page::Chart(picture.clone());
        let shell = Shell::new(site, lang, &page, Tab::Reports, String::new());
        let sheet = self.sheet_of(site, lang, &shell, picture).ok_or(RenderError)?;
        Ok(chart::bars(&bars_of(lang, picture, &sheet))?)
    }

    /// The picture as a page shows it, with the size that it is drawn in.
    pub(crate) fn picture(
        &self,
        site: &Site,
        lang: Lang,
        shell: &Shell,
        picture: &Picture,
        caption: &str,
    ) -> Result<Figure, RenderError> {
        let sheet = self.sheet_of(site, lang, shell, picture).ok_or(RenderError)?;
        let (width, height) = chart::size(bars_of(lang, picture, &sheet).len());
        Ok(Figure {
            href: format!("{}{}", shell.home, picture.path()),
            width,
            height,
            alt: fill(lang.words().report_chart_of, &[caption]),
        })
    }
}

/// The bars of a table: each row's first figure; of the table by month what was granted and what was refused.
fn bars_of(lang: Lang, picture: &Picture, sheet: &Sheet) -> Vec<Bar> {
    let w = lang.words();
    let bar = |label: String, value: Option<&u64>, look| Bar {
        label,
        value: value.copied().unwrap_or(0),
        figure: number(value.copied().unwrap_or(0)),
        look,
    };
    match picture {
        Picture::Months => sheet
            .rows
            .iter()
            .flat_map(|row| {
                let label = |what: &str| format!("{}: {}", row.name, what.to_lowercase());
                [
                    bar(label(w.col_granted), row.values.first(), Look::Filled),
                    bar(label(w.col_refused), row.values.get(1), Look::Outlined),
                ]
            })
            .collect(),
        Picture::Of(_, Topic::Decisions) => sheet
            .rows
            .iter()
            .map(|row| {
                let look = if row.name == w.sum_refused { Look::Outlined } else { Look::Filled };
                bar(row.name.clone(), row.values.first(), look)
            })
            .collect(),
        Picture::Of(_, Topic::Agencies | Topic::Purposes) => sheet
            .rows
            .iter()
            .take(BARS_MAX)
            .map(|row| bar(row.name.clone(), row.values.first(), Look::Filled))
            .collect(),
    }
}

fn decisions(lang: Lang, figures: &Figures) -> Sheet {
    let w = lang.words();
    let counts = figures.requests;
    let rows = [(w.sum_granted, counts.granted), (w.sum_refused, counts.refused), (w.sum_waiting, counts.waiting)];
    Sheet {
        caption: w.report_decisions.to_owned(),
        columns: vec![w.col_what, w.col_requests],
        rows: rows.map(|(name, value)| Line::of(name.to_owned(), vec![value])).to_vec(),
    }
}

const fn split_columns(w: &Words, first: &'static str) -> [&'static str; 5] {
    [first, w.col_requests, w.col_granted, w.col_refused, w.col_waiting]
}

fn split(counts: Counts) -> Vec<u64> {
    vec![counts.all(), counts.granted, counts.refused, counts.waiting]
}

/// Rows that come with most requests first, the rest summed up in one.
fn splits<K>(lang: Lang, lines: &[report::Line<K>], name: impl Fn(&K) -> Line) -> Vec<Line> {
    let (shown, rest) = lines.split_at(lines.len().min(ROWS_SHOWN));
    let mut rows: Vec<Line> = shown.iter().map(|line| name(&line.key).with(split(line.counts))).collect();
    if !rest.is_empty() {
        let sum = rest.iter().fold(Counts::default(), |sum, line| Counts {
            granted: sum.granted.saturating_add(line.counts.granted),
            refused: sum.refused.saturating_add(line.counts.refused),
            waiting: sum.waiting.saturating_add(line.counts.waiting),
        });
        let w = lang.words();
        rows.push(Line::of(say::plural(say::wide(rest.len()), w.row_rest_one, w.row_rest), split(sum)));
    }
    rows
}

fn agencies(site: &Site, lang: Lang, shell: &Shell, figures: &Figures) -> Sheet {
    let w = lang.words();
    let rows = splits(lang, &figures.by_agency, |party| Line {
        href: list_href(site, shell, ListOf::Agency(party.id.clone())),
        ..Line::of(party.label().to_owned(), Vec::new())
    });
    Sheet { caption: w.report_agencies.to_owned(), columns: split_columns(w, w.col_agency).to_vec(), rows }
}

fn purposes(site: &Site, lang: Lang, shell: &Shell, figures: &Figures) -> Sheet {
    let w = lang.words();
    let rows = splits(lang, &figures.by_purpose, |name| Line {
        href: list_href(site, shell, ListOf::Purpose((*name).to_owned())),
        ..Line::of(purpose(lang, name).to_owned(), Vec::new())
    });
    Sheet { caption: w.report_purposes.to_owned(), columns: split_columns(w, w.col_purpose).to_vec(), rows }
}

#[derive(Template)]
#[template(path = "register/reports.html")]
struct Reports {
    shell: Shell,
    w: &'static Words,
    sheet: Option<Sheet>,
}

pub(super) fn list(site: &Site, lang: Lang) -> Result<String, RenderError> {
    let w = lang.words();
    let shell = Shell::new(site, lang, &Page::Reports, Tab::Reports, w.reports_title.to_owned());
    let rows = site.months.order.iter().filter_map(|month| {
        let figures = site.months.figures(*month)?;
        let href = Some(format!("{}{}", shell.home, Page::Report(*month).path()));
        Some(Line { href, ..Line::of(say::month(lang, *month), split(figures.requests)) })
    });
    let rows: Vec<Line> = rows.collect();
    let caption = w.reports_title.to_owned();
    let sheet = (!rows.is_empty()).then(|| Sheet { caption, columns: split_columns(w, w.col_month).to_vec(), rows });
    Ok(Reports { shell, w, sheet }.render()?)
}

#[derive(Template)]
#[template(path = "register/report.html")]
struct Report {
    shell: Shell,
    w: &'static Words,
    running: bool,
    json: String,
    sections: Vec<Section>,
}

struct Section {
    title: &'static str,
    text: Option<String>,
    chart: Option<Figure>,
    sheet: Option<Sheet>,
}

pub(super) fn report(site: &Site, lang: Lang, month: Month) -> Result<String, RenderError> {
    let w = lang.words();
    let figures = site.months.figures(month).ok_or(RenderError)?;
    let title = fill(w.report_title, &[&say::month(lang, month)]);
    let shell = Shell::new(site, lang, &Page::Report(month), Tab::Reports, title);
    let drawn = |topic, title: &'static str, sheet: Sheet| {
        let picture = Picture::Of(month, topic);
        let some = !sheet.rows.is_empty();
        let chart = if some { Some(site.months.picture(site, lang, &shell, &picture, title)?) } else { None };
        Ok::<_, RenderError>(Section { title, text: None, chart, sheet: some.then_some(sheet) })
    };
    let plain = |title: &'static str, text: Option<String>, sheet: Sheet| {
        let sheet = (!sheet.rows.is_empty()).then_some(sheet);
        Section { title, text, chart: None, sheet }
    };
    let english = (lang != Lang::En).then(|| w.rule_english.to_owned());
    let officers_text = fill(w.report_officers_text, &[&say::count(ROWS_SHOWN)]);
    let sections = vec![
        drawn(Topic::Decisions, w.report_decisions, decisions(lang, figures))?,
        plain(w.report_summary, None, summary(lang, figures)),
        drawn(Topic::Agencies, w.report_agencies, agencies(site, lang, &shell, figures))?,
        plain(w.report_behalf, None, behalf(lang, figures)),
        drawn(Topic::Purposes, w.report_purposes, purposes(site, lang, &shell, figures))?,
        plain(w.report_rules, english, rules(site, lang, &shell, figures)),
        plain(w.report_officers, Some(officers_text), officers(lang, figures)),
        plain(w.report_hotlists, Some(w.report_hotlists_text.to_owned()), hot_lists(lang, figures)),
        plain(w.report_alerts, None, alerts(lang, figures)),
        plain(w.report_reads, None, reads(site, lang, figures)),
        plain(w.report_oversight, None, oversight(lang, figures)),
    ];
    let json = format!("{}report/{month}.json", shell.root);
    let running = month.end() > site.summary.as_of;
    Ok(Report { shell, w, running, json, sections }.render()?)
}

/// A table of single numbers.
fn numbers(w: &Words, caption: &str, rows: Vec<(String, u64)>) -> Sheet {
    Sheet {
        caption: caption.to_owned(),
        columns: vec![w.col_what, w.col_number],
        rows: rows.into_iter().map(|(name, value)| Line::of(name, vec![value])).collect(),
    }
}

fn summary(lang: Lang, figures: &Figures) -> Sheet {
    let w = lang.words();
    let own = |text: &str| text.to_owned();
    let rows = vec![
        (own(w.sum_emergencies), figures.emergencies.all()),
        (own(w.sum_emergencies_granted), figures.emergencies.granted),
        (own(w.sum_papers_late), figures.papers.late),
        (own(w.sum_papers_overdue), figures.papers.overdue),
        (own(w.sum_judicial), figures.judicial.part),
        (fill(w.sum_night, &[&figures.zone.to_string()]), figures.off_hours.part),
        (own(w.sum_officers), say::wide(figures.by_officer.len())),
        (own(w.sum_disclosed), figures.disclosed.part),
        (own(w.sum_undisclosed), figures.disclosed.of.saturating_sub(figures.disclosed.part)),
        (own(w.sum_opened), figures.reads_opened),
        (own(w.sum_held), figures.reads_held),
    ];
    numbers(w, w.report_summary, rows)
}

fn behalf(lang: Lang, figures: &Figures) -> Sheet {
    let w = lang.words();
    let rows = splits(lang, &figures.on_behalf_of, |party| Line::of(party.label().to_owned(), Vec::new()));
    Sheet { caption: w.report_behalf.to_owned(), columns: split_columns(w, w.col_agency).to_vec(), rows }
}

fn rules(site: &Site, lang: Lang, shell: &Shell, figures: &Figures) -> Sheet {
    let w = lang.words();
    let rows = splits(lang, &figures.by_rule, |rule| Line {
        href: list_href(site, shell, ListOf::Rule(rule.clone())),
        english: site.rules.get(rule).is_some_and(Option::is_some),
        ..Line::of(rule_text(site, lang, rule), Vec::new())
    });
    Sheet { caption: w.report_rules.to_owned(), columns: split_columns(w, w.col_rule).to_vec(), rows }
}

fn officers(lang: Lang, figures: &Figures) -> Sheet {
    let w = lang.words();
    let rows = splits(lang, &figures.by_officer, |officer| {
        Line::of(format!("{} ({})", officer.pseudonym, officer.agency.label()), Vec::new())
    });
    Sheet { caption: w.report_officers.to_owned(), columns: split_columns(w, w.col_officer).to_vec(), rows }
}

fn hot_lists(lang: Lang, figures: &Figures) -> Sheet {
    let w = lang.words();
    let rows = figures.hot_lists.iter().map(|line| {
        let values = vec![line.received, line.loaded, line.dropped, line.refused];
        Line { english: true, ..Line::of(spaced(line.class), values) }
    });
    let columns = vec![w.col_class, w.col_received, w.col_accepted, w.col_dropped, w.col_refused];
    Sheet { caption: w.report_hotlists.to_owned(), columns, rows: rows.collect() }
}

/// A class by its name in entries, as words: `stolen_vehicle`, `stolenVehicle`.
fn spaced(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            text.push(' ');
        }
        text.push(if letter == '_' || letter == '-' { ' ' } else { letter.to_ascii_lowercase() });
    }
    text
}

fn alerts(lang: Lang, figures: &Figures) -> Sheet {
    let w = lang.words();
    let alerts = &figures.alerts;
    let own = |text: &str| text.to_owned();
    if alerts.days == 0 {
        return Sheet::default();
    }
    let rows = vec![
        (own(w.sum_alerts), alerts.raised_all),
        (own(w.sum_alerts_handed), alerts.handed.part),
        (own(w.sum_alerts_taken), alerts.taken),
        (own(w.sum_alerts_looked), alerts.looked.part),
        (own(w.sum_alerts_expired), alerts.expired.part),
        (own(w.sum_alerts_verified), alerts.verified.part),
        (own(w.sum_alerts_closed), alerts.closed_all),
        (own(w.sum_misread), alerts.misread.part),
        (own(w.sum_wrong_state), alerts.wrong_state.part),
        (own(w.sum_stale_entry), alerts.stale_entry.part),
        (own(w.sum_stopped), alerts.stopped.part),
        (own(w.sum_stopped_wrongly), alerts.stopped_wrongly.part),
        (own(w.sum_alerts_overdue), alerts.overdue),
    ];
    numbers(w, w.report_alerts, rows)
}

fn oversight(lang: Lang, figures: &Figures) -> Sheet {
    let w = lang.words();
    let own = |text: &str| text.to_owned();
    let rows = vec![
        (own(w.sum_selftests), figures.self_tests.found),
        (own(w.sum_selftests_failed), figures.self_tests.missed.saturating_add(figures.self_tests.error)),
        (own(w.sum_reviewed), figures.oversight.sampled),
        (own(w.sum_review_failed), figures.oversight.failed),
        (own(w.sum_erased), figures.oversight.erased),
    ];
    numbers(w, w.report_oversight, rows)
}

fn reads(site: &Site, lang: Lang, figures: &Figures) -> Sheet {
    let w = lang.words();
    let hours = site.town.epoch_seconds == 3_600;
    let own = |text: &str| text.to_owned();
    let unit = |of_hours: &str, of_periods: &str| own(if hours { of_hours } else { of_periods });
    let mut rows = vec![
        (unit(w.sum_hours_dealt, w.sum_periods_dealt), figures.epochs.dealt),
        (unit(w.sum_hours_closed, w.sum_periods_closed), figures.epochs.closed),
        (unit(w.sum_hours_destroyed, w.sum_periods_destroyed), figures.epochs.destroyed),
        (own(w.sum_parts_due), figures.destruction.due),
        (own(w.sum_parts_destroyed), figures.destruction.destroyed),
        (own(w.sum_parts_late), figures.destruction.late),
        (own(w.sum_parts_overdue), figures.destruction.overdue),
    ];
    if let Some(cameras) = figures.cameras {
        rows.insert(0, (own(w.sum_cameras), cameras));
    }
    numbers(w, w.report_reads, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_one_path_each() {
        let month = Month::parse("2026-11").unwrap();
        let all = core::iter::once(Picture::Months).chain(Topic::ALL.map(|topic| Picture::Of(month, topic)));
        for picture in all {
            assert_eq!(Picture::parse(&picture.path()), Some(picture));
        }
        for bad in ["chart/2026-11.svg", "chart/2026-13-agencies.svg", "chart/.svg", "chart/x", "chart/2026-11-x.svg"] {
            assert_eq!(Picture::parse(bad), None, "{bad}");
        }
    }
}

//! The two pages that are mostly words: what changed, and how it works and what it cannot do. The second one says the limits
//! as plainly as the promises.

use askama::Template;
use lockplate_audit::register::{Change, ChangeKind};
use lockplate_core::entry::KeySubject;

use super::entry::command;
use super::overview::party;
use super::say::{self, Moment, number};
use super::shell::{Pager, Shell, Tab, of_page, pager};
use super::site::{Page, RenderError, Site};
use super::words::{Lang, Words, fill};

#[derive(Template)]
#[template(path = "register/changes.html")]
struct Changes {
    shell: Shell,
    w: &'static Words,
    rows: Vec<Row>,
    pages: Pager,
}

struct Row {
    when: Moment,
    what: String,
    lines: Vec<String>,
    by: String,
}

pub(super) fn changes(site: &Site, lang: Lang, number: usize) -> Result<String, RenderError> {
    let w = lang.words();
    let title =
        if number > 1 { format!("{} ({})", w.changes_title, say::count(number)) } else { w.changes_title.to_owned() };
    let shell = Shell::new(site, lang, &Page::Changes(number), Tab::Changes, title);
    let rows = of_page(&site.chronicle, number).iter().map(|change| row(site, lang, change));
    let page =
        Changes { rows: rows.collect(), pages: pager(&shell, site.chronicle.len(), number, Page::Changes), shell, w };
    Ok(page.render()?)
}

fn row(site: &Site, lang: Lang, change: &Change) -> Row {
    let w = lang.words();
    let (what, mut lines) = said(lang, &change.what);
    if change.effective != change.time {
        lines.push(fill(w.change_effective, &[&say::moment(lang, change.effective).text]));
    }
    let by = change.leaves.iter().map(|leaf| fill(w.change_by, &[&party(site, lang, leaf.log), &number(leaf.index)]));
    let by: Vec<String> = by.collect();
    Row { when: say::moment(lang, change.time), what, lines, by: by.join(" · ") }
}

fn said(lang: Lang, what: &ChangeKind) -> (String, Vec<String>) {
    let w = lang.words();
    match what {
        ChangeKind::Charter { t, n, custody_label } => {
            let label = custody_label.then(|| w.change_charter_label.to_owned());
            let text = fill(w.change_charter, &[&number((*t).into()), &number((*n).into())]);
            (text, label.into_iter().collect())
        }
        ChangeKind::Policy { relation } => {
            let text = match *relation {
                "equal" => w.change_policy_equal,
                "narrower" => w.change_policy_narrower,
                "looser" => w.change_policy_looser,
                _ => w.change_policy_first,
            };
            (text.to_owned(), Vec::new())
        }
        ChangeKind::Key { subject, change } => {
            let subject = KeySubject::from_name(subject).map_or(w.unknown, |subject| say::subject(lang, subject));
            let text = match *change {
                "enrol" => w.change_key_enrol,
                "replace" => w.change_key_replace,
                _ => w.change_key_revoke,
            };
            (fill(text, &[subject]), Vec::new())
        }
        ChangeKind::Declaration { agency, declaration, change } => {
            let text = if *change == "file" { w.change_declaration_file } else { w.change_declaration_withdraw };
            (fill(text, &[agency.label(), declaration]), Vec::new())
        }
        ChangeKind::Resumed { missing, .. } => (fill(w.change_resumed, &[&say::list(lang, missing)]), Vec::new()),
        ChangeKind::Camera { change, cameras } => {
            let text = match *change {
                "add" => w.change_camera_add,
                "remove" => w.change_camera_remove,
                "pause" => w.change_camera_pause,
                _ => w.change_camera_change,
            };
            (fill(text, &[&say::plural(*cameras, w.cameras_now_one, w.cameras_now)]), Vec::new())
        }
    }
}

#[derive(Template)]
#[template(path = "register/how.html")]
struct How {
    shell: Shell,
    w: &'static Words,
    sections: Vec<Section>,
    command: String,
    make: String,
    charter: String,
    records: Vec<(String, String)>,
}

struct Section {
    title: String,
    steps: bool,
    lines: Vec<String>,
}

pub(super) fn how(site: &Site, lang: Lang) -> Result<String, RenderError> {
    let w = lang.words();
    let shell = Shell::new(site, lang, &Page::How, Tab::How, w.how_title.to_owned());
    let charter = hex::encode(site.town.charter);
    let records = site.records.iter().filter(|(_, record, _)| !record.address.is_empty());
    let page = How {
        sections: sections(site, lang),
        command: command(site),
        make: format!("lockplate agency register {} --out register", site.town.pinned),
        charter,
        records: records
            .map(|(name, record, _)| (format!("{}/checkpoint", record.address), party(site, lang, *name)))
            .collect(),
        shell,
        w,
    };
    Ok(page.render()?)
}

fn sections(site: &Site, lang: Lang) -> Vec<Section> {
    let w = lang.words();
    let summary = &site.summary;
    let (t, n) = (number(summary.threshold.into()), say::count(summary.keepers.len()));
    let kept = say::span(lang, summary.retention_seconds);
    let erased = say::span(lang, site.town.opening_keep_seconds);
    let own = |text: &str| text.to_owned();
    let sampled = if site.town.auditors == 0 {
        own(w.how_not_1_none)
    } else {
        fill(w.how_not_1, &[&number(site.town.audit_percent.into())])
    };
    let section = |title: String, lines: Vec<String>| Section { title, steps: false, lines };
    vec![
        Section {
            title: own(w.how_search),
            steps: true,
            lines: vec![
                own(w.how_1),
                own(w.how_2),
                own(w.how_3),
                fill(w.how_4, &[&t, &n]),
                own(w.how_5),
                fill(w.how_6, &[&kept]),
            ],
        },
        section(fill(w.how_can, &[&t, &n]), vec![fill(w.how_can_1, &[&t]), own(w.how_can_2), fill(w.how_can_3, &[&t])]),
        section(own(w.how_proves), vec![own(w.how_proves_1), own(w.how_proves_2), own(w.how_proves_3)]),
        section(own(w.how_not), vec![sampled, own(w.how_not_2), own(w.how_not_3), own(w.how_not_4), own(w.how_not_5)]),
        section(
            own(w.how_private),
            vec![own(w.how_private_1), own(w.how_private_2), fill(w.how_private_3, &[&erased])],
        ),
        section(own(w.how_mine), vec![fill(w.how_mine_text, &[summary.owner.label()])]),
    ]
}

//! The page of an evidence package: for a judge, on paper or on a screen, without a script. It says what was checked and what nobody can
//! check from a package; it says nothing that is not in the package.

use askama::Template;
use lockplate_core::charter::{CUSTODY_LABEL, Charter};
use lockplate_core::id::KeeperIndex;
use lockplate_core::json::time_text;
use lockplate_core::vocabulary::{Basis, Purpose};

use super::{CheckedPackage, RuleSaid};

struct Row {
    number: usize,
    time: String,
    remarks: Vec<String>,
    place: String,
    read_as: String,
    confidence: String,
    why: String,
    repeat: bool,
}

struct Yes {
    name: String,
    entity: String,
    how: &'static str,
    time: String,
    register: u64,
}

#[derive(Template)]
#[template(path = "package/index.html")]
struct Page<'a> {
    owner: &'a str,
    requester: String,
    behalf: Option<String>,
    officer: String,
    seconds: Vec<String>,
    plate: &'a str,
    state: &'a str,
    spellings: usize,
    from: String,
    to: String,
    purpose: String,
    basis: String,
    paper: Option<String>,
    judicial: bool,
    case_number: &'a str,
    offence: String,
    facts: &'a str,
    emergency: bool,
    request: String,
    approvals: Vec<Yes>,
    threshold: u8,
    keepers: usize,
    custody_label: Option<&'static str>,
    rules: &'a [RuleSaid],
    replayed: bool,
    policy: String,
    rows: Vec<Row>,
    periods: usize,
    others: u64,
    disclosure: Option<u64>,
    desk: String,
    held: Option<String>,
    hold_entry: Option<u64>,
    keep_until: String,
    watchers: &'a [String],
    charter: String,
    made: String,
    maker: &'a str,
}

fn agency(charter: &Charter, id: lockplate_core::id::AgencyId) -> String {
    charter.agency(id).map_or_else(|| format!("agency {id}"), |agency| agency.name.clone())
}

fn key(bytes: &[u8; 32]) -> String {
    hex::encode(bytes.get(..8).unwrap_or_default())
}

/// Words for names of the closed lists: `stolenVehicle` becomes "stolen vehicle".
fn spaced(name: &str) -> String {
    let mut text = String::with_capacity(name.len().saturating_add(4));
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// A time as people write it; the page says that all are UTC.
fn human(text: &str) -> String {
    text.replace('T', " ").trim_end_matches('Z').to_owned()
}

fn person(charter: &Charter, keeper: KeeperIndex) -> (String, String) {
    charter.keeper(keeper).map(|entry| (entry.name.clone(), entry.legal_entity.clone())).unwrap_or_default()
}

pub(super) fn render(it: &CheckedPackage) -> Result<String, askama::Error> {
    let (checked, package) = (&it.checked, &it.package);
    let charter = it.charter.charter();
    let asked = checked.opened.request();
    let statement = checked.opened.text().statement.statement();
    let place = |camera: u32| {
        let named = package.places.iter().find(|place| place.camera == camera);
        named.map_or_else(|| format!("camera {camera}"), |place| format!("camera {camera}: {}", place.place))
    };
    let rows = package.reads.iter().zip(1..).map(|(read, number)| Row {
        number,
        time: human(&read.time),
        remarks: read.remarks(),
        place: place(read.camera),
        read_as: if read.state.is_empty() { read.plate.clone() } else { format!("{} ({})", read.plate, read.state) },
        confidence: if read.confidence.is_empty() { "not said".to_owned() } else { read.confidence.clone() },
        why: read.why.clone(),
        repeat: read.repeat,
    });
    let approvals = checked.approvers.iter().map(|yes| {
        let (name, entity) = person(charter, yes.keeper);
        let how = if yes.by_person { "a person of this keeper" } else { "by the rules" };
        Yes { name, entity, how, time: human(&time_text(yes.time)), register: yes.register }
    });
    let behalf = (statement.on_behalf_of != asked.requester_agency).then(|| agency(charter, statement.on_behalf_of));
    let offence = [spaced(statement.offence.class.name()), statement.offence.text.clone()];
    let offence: Vec<String> = offence.into_iter().filter(|text| !text.is_empty() && text != "none").collect();
    let page = Page {
        owner: &charter.owner.name,
        requester: agency(charter, asked.requester_agency),
        behalf,
        officer: key(&asked.officer_key),
        seconds: checked.opened.filed().seconds.iter().map(|second| key(&second.key_id)).collect(),
        plate: &statement.plate.text,
        state: statement.plate.state.as_ref().map_or("", |state| state.code()),
        spellings: asked.elements.len(),
        from: human(&time_text(asked.win_from)),
        to: human(&time_text(asked.win_to)),
        purpose: spaced(Purpose::name(asked.purpose)),
        basis: spaced(Basis::name(asked.basis)),
        paper: (asked.authorisation_digest != [0; 32]).then(|| hex::encode(asked.authorisation_digest)),
        judicial: checked.judicial,
        case_number: &statement.case_number,
        offence: offence.join(": "),
        facts: &statement.facts,
        emergency: statement.emergency,
        request: hex::encode(asked.digest()),
        approvals: approvals.collect(),
        threshold: charter.threshold,
        keepers: charter.keepers.len(),
        custody_label: charter.custody_label().then_some(CUSTODY_LABEL),
        rules: &it.rules,
        replayed: checked.replayed,
        policy: hex::encode(checked.policy),
        rows: rows.collect(),
        periods: checked.epochs,
        others: checked.others,
        disclosure: checked.disclosure,
        desk: agency(charter, asked.requester_agency),
        held: checked.held.map(|held| human(&time_text(held.until))),
        hold_entry: checked.held.and_then(|held| held.register),
        keep_until: human(&time_text(checked.keep_until)),
        watchers: &it.confirmed_by,
        charter: hex::encode(it.charter.hash()),
        made: human(&time_text(package.made)),
        maker: &package.maker,
    };
    page.render()
}

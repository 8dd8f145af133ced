//! The register as a site: which addresses it has, and what lies at each. A [`Site`] is made once from what the logs say at a
//! moment and is then read only; a page is rendered when somebody asks for it, so that neither memory nor start-up pays for
//! pages that nobody reads. The same paths are files of an exported folder. A path that is not in the table has no page: none
//! of its characters reaches a file system or a template.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_audit::logs::{LogName, Logs};
use lockplate_audit::monitor::{Alarm, MonitorRule};
use lockplate_audit::register::{Change, Decision, Entry, EntryId, Facets, Register, Summary};
use lockplate_audit::time::{Month, ZoneOffset};
use lockplate_core::Timestamp;
use lockplate_core::facts::Reason;

use super::chart::ChartError;
use super::words::Lang;
use super::{data, entries, entry, figures, overview, prose};

/// Rows of one page of a list: with the filters beside them a page stays below 100 kB.
pub(crate) const ROWS: usize = 50;

/// What a follower knows of one log beside its leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Base address of the log, `https://../log/keeper`.
    pub address: String,
    /// The operators whose confirmation stands under the newest checkpoint.
    pub confirmed_by: Vec<String>,
    /// What is wrong with it, if anything.
    pub trouble: Option<Trouble>,
}

/// Why a log's newest statements are missing, or must not be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It could not be reached.
    Unavailable,
    /// It was reached, and nobody has confirmed it for too long.
    Stale,
    /// It contradicts itself, or what it serves is not what it signed.
    Lied,
}

/// The words of rules, as the bundle that this program holds has them.
pub trait RuleWords: Send + Sync {
    /// Digest of the bundle.
    fn digest(&self) -> [u8; 32];
    /// The words of a rule; `None` for one that it does not hold.
    fn explain(&self, rule: &str) -> Option<Reason>;
}

impl<P: lockplate_core::facts::AccessPolicy + Send + Sync> RuleWords for P {
    fn digest(&self) -> [u8; 32] {
        lockplate_core::facts::AccessPolicy::digest(self)
    }

    fn explain(&self, rule: &str) -> Option<Reason> {
        lockplate_core::facts::AccessPolicy::explain(self, rule)
    }
}

/// All that a site is made from. Nothing else goes in.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What the verified logs say.
    pub logs: &'a Logs,
    /// How each log was followed; a log that is absent was never reached.
    pub records: &'a BTreeMap<LogName, Record>,
    /// What the monitor found.
    pub alarms: &'a [Alarm],
    /// The words of rules.
    pub rules: &'a dyn RuleWords,
    /// The clock by which the report tells night from day.
    pub zone: ZoneOffset,
    /// Which month is the current one, and what is in force.
    pub now: Timestamp,
}

impl core::fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inputs").field("now", &self.now).finish_non_exhaustive()
    }
}

/// The bytes at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its media type, with the character set.
    pub media_type: &'static str,
    /// What is served.
    pub bytes: Vec<u8>,
}

/// Our bug: a page of the table could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderError;

impl core::fmt::Display for RenderError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a page of the register cannot be made")
    }
}

impl core::error::Error for RenderError {}

impl From<askama::Error> for RenderError {
    fn from(_template: askama::Error) -> Self {
        Self
    }
}

impl From<ChartError> for RenderError {
    fn from(_drawing: ChartError) -> Self {
        Self
    }
}

/// A list of entries: all, or those of one value of one facet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ListOf {
    All,
    Agency(String),
    Purpose(String),
    Rule(String),
    Decision(Decision),
    Month(Month),
}

/// A page that exists in each language.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Page {
    Overview,
    List(ListOf, usize),
    Entry(EntryId),
    Changes(usize),
    How,
    Reports,
    Report(Month),
    Chart(figures::Picture),
    Feed,
}

/// Every address of the register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    In(Lang, Page),
    Style,
    Mark,
    Csv,
    Json,
    ReportJson(Month),
}

/// The register at one moment.
pub struct Site {
    pub(crate) summary: Summary,
    pub(crate) facets: Facets,
    pub(crate) chronicle: Vec<Change>,
    /// Newest first. About 2 kB an entry, the only part that grows.
    pub(crate) entries: Vec<Entry>,
    /// Places in `entries`.
    pub(crate) lists: BTreeMap<ListOf, Vec<usize>>,
    pub(crate) places: BTreeMap<EntryId, usize>,
    pub(crate) months: figures::Months,
    pub(crate) town: Town,
    pub(crate) records: Vec<(LogName, Record, RecordState)>,
    pub(crate) alarms: BTreeMap<MonitorRule, u64>,
    pub(crate) rules: BTreeMap<String, Option<Reason>>,
    pub(crate) policy: String,
    /// Agencies that the charter names, by id.
    pub(crate) names: BTreeMap<String, String>,
}

impl core::fmt::Debug for Site {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Site").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

/// The terms of the charter that pages tell.
#[derive(Clone, Debug)]
pub(crate) struct Town {
    /// Address of the register, with a slash at the end.
    pub(crate) base: String,
    /// Address of the first keeper with the charter's hash: what a stranger names to check everything.
    pub(crate) pinned: String,
    pub(crate) charter: [u8; 32],
    pub(crate) epoch_seconds: u64,
    pub(crate) opening_keep_seconds: u64,
    pub(crate) auditors: usize,
    pub(crate) audit_percent: u8,
}

/// What the logs' own heads say of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordState {
    pub(crate) size: u64,
    pub(crate) confirmed: Option<Timestamp>,
    pub(crate) closed: bool,
}

impl Site {
    /// The site of what the logs say.
    #[must_use]
    pub fn new(inputs: Inputs<'_>) -> Self {
        let Inputs { logs, records, alarms, rules, zone, now } = inputs;
        let register = Register::of(logs, now);
        let entries: Vec<Entry> = register.entries().collect();
        let mut lists: BTreeMap<ListOf, Vec<usize>> = BTreeMap::from([(ListOf::All, Vec::new())]);
        let mut cited: BTreeSet<&str> = BTreeSet::new();
        for (place, entry) in entries.iter().enumerate() {
            cited.extend(entry.keepers.iter().flat_map(|part| part.rules.iter().map(String::as_str)));
            for list in lists_of(entry) {
                lists.entry(list).or_default().push(place);
            }
        }
        let charter = logs.charter().charter();
        let records = logs
            .names()
            .map(|name| {
                let record = records.get(&name).cloned().unwrap_or_else(|| Record {
                    trouble: Some(Trouble::Unavailable),
                    address: charter.log(&name).map_or_else(String::new, |log| log.url()),
                    ..Record::default()
                });
                let head = logs.head(&name);
                let state = RecordState {
                    size: logs.seen(&name),
                    confirmed: head.and_then(|head| head.confirmed),
                    closed: false,
                };
                (name, record, state)
            })
            .collect();
        let months = figures::Months::of(logs, &entries, zone, now);
        Self {
            summary: register.summary(),
            facets: register.facets(),
            chronicle: register.chronicle(),
            rules: cited.into_iter().map(|rule| (rule.to_owned(), rules.explain(rule))).collect(),
            policy: lockplate_core::id::b64url(&rules.digest()),
            places: entries.iter().enumerate().map(|(place, entry)| (entry.id, place)).collect(),
            town: Town {
                base: format!("{}/register/", charter.archive.url),
                pinned: pinned(logs),
                charter: logs.charter().hash(),
                epoch_seconds: charter.epoch_seconds,
                opening_keep_seconds: charter.opening_keep_seconds,
                auditors: charter.auditors.len(),
                audit_percent: charter.audit_percent,
            },
            names: names(logs, &entries),
            alarms: super::alarms::count(alarms),
            entries,
            lists,
            months,
            records,
        }
    }

    /// Every path of the site, each once.
    pub fn paths(&self) -> impl Iterator<Item = String> + '_ {
        self.addresses().map(|address| address.path())
    }

    /// The file at a path relative to the register, without a slash in front: `index.html`, `es/entries.html`. `None` where
    /// there is none.
    ///
    /// # Errors
    /// [`RenderError`], which is our bug.
    pub fn file(&self, path: &str) -> Result<Option<File>, RenderError> {
        match self.find(path) {
            Some(address) => self.render(&address).map(Some),
            None => Ok(None),
        }
    }

    fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        let plain = [Address::Style, Address::Mark, Address::Csv, Address::Json].into_iter();
        let plain = plain.chain(self.months.all().into_iter().map(Address::ReportJson));
        plain.chain(Lang::ALL.into_iter().flat_map(|lang| self.pages().map(move |page| Address::In(lang, page))))
    }

    fn pages(&self) -> impl Iterator<Item = Page> + '_ {
        let lists = self
            .lists
            .iter()
            .flat_map(|(list, places)| (1..=pages_of(places.len())).map(|page| Page::List(list.clone(), page)));
        let months = self.months.all().into_iter();
        let pictures = self.months.pictures().into_iter().map(Page::Chart);
        [Page::Overview, Page::How, Page::Reports, Page::Feed]
            .into_iter()
            .chain((1..=pages_of(self.chronicle.len())).map(Page::Changes))
            .chain(lists)
            .chain(self.entries.iter().map(|entry| Page::Entry(entry.id)))
            .chain(months.map(Page::Report))
            .chain(pictures)
    }

    /// The address of a path, if this site has it. Only the one spelling that [`Address::path`] writes is found.
    pub(crate) fn find(&self, path: &str) -> Option<Address> {
        let address = Address::parse(path)?;
        let there = match &address {
            Address::In(_, page) => self.has(page),
            Address::ReportJson(month) => self.months.has(*month),
            Address::Style | Address::Mark | Address::Csv | Address::Json => true,
        };
        (there && address.path() == path).then_some(address)
    }

    fn has(&self, page: &Page) -> bool {
        match page {
            Page::Overview | Page::How | Page::Reports | Page::Feed => true,
            Page::List(list, page) => {
                self.lists.get(list).is_some_and(|places| (1..=pages_of(places.len())).contains(page))
            }
            Page::Entry(id) => self.places.contains_key(id),
            Page::Changes(page) => (1..=pages_of(self.chronicle.len())).contains(page),
            Page::Report(month) => self.months.has(*month),
            Page::Chart(picture) => self.months.pictures().contains(picture),
        }
    }

    fn render(&self, address: &Address) -> Result<File, RenderError> {
        let text = |media_type, text: String| File { media_type, bytes: text.into_bytes() };
        Ok(match address {
            Address::Style => text("text/css; charset=utf-8", STYLE.to_owned()),
            Address::Mark => text(SVG, MARK.to_owned()),
            Address::Csv => text("text/csv; charset=utf-8; header=present", data::csv(self)?),
            Address::Json => text(JSON, data::json(self)?),
            Address::ReportJson(month) => text(JSON, data::report_json(self, *month)?),
            Address::In(lang, page) => match page {
                Page::Feed => text("application/atom+xml; charset=utf-8", data::feed(self, *lang)?),
                Page::Chart(picture) => text(SVG, self.months.draw(self, *lang, picture)?),
                Page::Overview => text(HTML, overview::page(self, *lang)?),
                Page::List(list, number) => text(HTML, entries::page(self, *lang, list, *number)?),
                Page::Entry(id) => match self.entry(*id) {
                    Some(entry) => text(HTML, entry::page(self, *lang, entry)?),
                    None => return Err(RenderError),
                },
                Page::Changes(number) => text(HTML, prose::changes(self, *lang, *number)?),
                Page::How => text(HTML, prose::how(self, *lang)?),
                Page::Reports => text(HTML, figures::list(self, *lang)?),
                Page::Report(month) => text(HTML, figures::report(self, *lang, *month)?),
            },
        })
    }

    pub(crate) fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.places.get(&id).and_then(|place| self.entries.get(*place))
    }

    pub(crate) fn record(&self, log: LogName) -> Option<&Record> {
        self.records.iter().find(|(name, ..)| *name == log).map(|(_, record, _)| record)
    }
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";
const STYLE: &str = include_str!("../../templates/register/style.css");
const MARK: &str = include_str!("../../templates/register/mark.svg");

/// The names of the agencies that the charter knows or that have asked.
fn names(logs: &Logs, entries: &[Entry]) -> BTreeMap<String, String> {
    let asked = entries.iter().map(|entry| (entry.requester.id.clone(), entry.requester.label().to_owned()));
    let known = logs.charter().charter().agencies.iter();
    asked.chain(known.map(|agency| (agency.id.to_string(), agency.name.clone()))).collect()
}

/// Pages of a list; an empty one has a page too.
pub(crate) fn pages_of(rows: usize) -> usize {
    rows.div_ceil(ROWS).max(1)
}

fn pinned(logs: &Logs) -> String {
    let file = logs.charter();
    let keeper = file.charter().keepers.first().map_or(file.charter().archive.url.as_str(), |keeper| &keeper.url);
    format!("{keeper}/#{}", hex::encode(file.hash()))
}

fn lists_of(entry: &Entry) -> Vec<ListOf> {
    let mut lists = vec![
        ListOf::All,
        ListOf::Agency(entry.requester.id.clone()),
        ListOf::Purpose(entry.purpose.to_owned()),
        ListOf::Decision(entry.decision),
        ListOf::Month(entry.month),
    ];
    lists.extend(entry.rules.iter().map(|rule| ListOf::Rule(rule.clone())));
    lists
}

pub(crate) const fn decision_name(decision: Decision) -> &'static str {
    match decision {
        Decision::Granted => "granted",
        Decision::Refused => "refused",
        Decision::Waiting => "waiting",
    }
}

impl ListOf {
    /// Path without page and ending.
    fn stem(&self) -> String {
        match self {
            Self::All => "entries".to_owned(),
            Self::Agency(id) => format!("agency/{}", slug(id)),
            Self::Purpose(name) => format!("purpose/{}", slug(name)),
            Self::Rule(rule) => format!("rule/{}", slug(rule)),
            Self::Decision(decision) => format!("decision/{}", decision_name(*decision)),
            Self::Month(month) => format!("month/{month}"),
        }
    }

    fn parse(stem: &str) -> Option<Self> {
        if stem == "entries" {
            return Some(Self::All);
        }
        let (facet, value) = stem.split_once('/')?;
        match facet {
            "agency" => unslug(value).map(Self::Agency),
            "purpose" => unslug(value).map(Self::Purpose),
            "rule" => unslug(value).map(Self::Rule),
            "decision" => [Decision::Granted, Decision::Refused, Decision::Waiting]
                .into_iter()
                .find(|decision| decision_name(*decision) == value)
                .map(Self::Decision),
            "month" => Month::parse(value).map(Self::Month),
            _ => None,
        }
    }
}

impl Page {
    /// Path below the folder of its language.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Overview => "index.html".to_owned(),
            Self::List(list, page) => numbered(&list.stem(), *page),
            Self::Entry(id) => format!("entry/{id}.html"),
            Self::Changes(page) => numbered("changes", *page),
            Self::How => "how.html".to_owned(),
            Self::Reports => "reports.html".to_owned(),
            Self::Report(month) => format!("report/{month}.html"),
            Self::Chart(picture) => picture.path(),
            Self::Feed => "register.atom".to_owned(),
        }
    }

    fn parse(path: &str) -> Option<Self> {
        match path {
            "index.html" => return Some(Self::Overview),
            "how.html" => return Some(Self::How),
            "reports.html" => return Some(Self::Reports),
            "register.atom" => return Some(Self::Feed),
            _ => {}
        }
        if let Some(picture) = figures::Picture::parse(path) {
            return Some(Self::Chart(picture));
        }
        let stem = path.strip_suffix(".html")?;
        if let Some(id) = stem.strip_prefix("entry/") {
            return EntryId::parse(id).map(Self::Entry);
        }
        if let Some(month) = stem.strip_prefix("report/") {
            return Month::parse(month).map(Self::Report);
        }
        let (stem, page) = match stem.split_once('.') {
            Some((stem, page)) => (stem, page.parse().ok()?),
            None => (stem, 1),
        };
        if stem == "changes" {
            Some(Self::Changes(page))
        } else {
            ListOf::parse(stem).map(|list| Self::List(list, page))
        }
    }
}

impl Address {
    pub(crate) fn path(&self) -> String {
        match self {
            Self::In(lang, page) => format!("{}{}", lang.folder(), page.path()),
            Self::Style => "style.css".to_owned(),
            Self::Mark => "mark.svg".to_owned(),
            Self::Csv => "register.csv".to_owned(),
            Self::Json => "register.json".to_owned(),
            Self::ReportJson(month) => format!("report/{month}.json"),
        }
    }

    fn parse(path: &str) -> Option<Self> {
        match path {
            "style.css" => return Some(Self::Style),
            "mark.svg" => return Some(Self::Mark),
            "register.csv" => return Some(Self::Csv),
            "register.json" => return Some(Self::Json),
            _ => {}
        }
        if let Some(month) = path.strip_prefix("report/").and_then(|path| path.strip_suffix(".json")) {
            return Month::parse(month).map(Self::ReportJson);
        }
        match path.strip_prefix(Lang::Es.folder()) {
            Some(path) => Page::parse(path).map(|page| Self::In(Lang::Es, page)),
            None => Page::parse(path).map(|page| Self::In(Lang::En, page)),
        }
    }
}

fn numbered(stem: &str, page: usize) -> String {
    if page <= 1 { format!("{stem}.html") } else { format!("{stem}.{page}.html") }
}

/// A text of a leaf as one part of a path: letters, digits and hyphens stay, everything else is `_` and two hex digits a
/// byte. One to one, so that no two values share an address, and never `.`, `..` or empty.
fn slug(text: &str) -> String {
    let mut slug = String::from(if text.is_empty() { "_" } else { "" });
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            slug.push(char::from(byte));
        } else {
            slug.push_str(&format!("_{byte:02x}"));
        }
    }
    slug
}

fn unslug(slug: &str) -> Option<String> {
    if slug == "_" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(slug.len());
    let mut rest = slug.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'_' {
            let pair = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(core::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

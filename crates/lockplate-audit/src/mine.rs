//! "Was my plate searched?" (`log.md` section 7, `docs/adr/0011`). The owner of a plate holds, for each keeper, the plate's value under that
//! keeper's notice key; each keeper publishes, once an entry's embargo is over, one tag for every spelling that was asked for. Whoever has
//! the value can tell which tags are his; to everybody else they are noise. Everything happens on the owner's machine.
//!
//! It must never say "no" while it cannot know: an entry that is still closed, erased or withheld is counted and said. A disclosure that
//! does not open a digest of its leaf proves nothing and is held against its keeper.

use std::collections::BTreeMap;

use lockplate_core::Timestamp;
use lockplate_core::disclosure::Disclosure;
use lockplate_core::entry::{Leaf, LogEntry, RequestLeaf, parse_leaf};
use lockplate_core::id::KeeperIndex;
use lockplate_core::json::Field as _;
use lockplate_core::notice::{NoticeTag, NoticeValue};
use lockplate_core::salted::{SaltedName, published_tags};
use serde::Serialize;

use crate::logs::{LeafRef, LogName, Logs};
use crate::register::{Decision, EntryId, Party, Register};
use crate::time;

/// Seconds after the end of an embargo within which a keeper publishes.
pub const PUBLISH_SECONDS: u64 = time::DAY;
/// Disclosures that are looked at for one leaf: `window` and `notice`, and room for names of a later release.
pub const DISCLOSURES_MAX: usize = 16;

/// What a keeper serves for one of its leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published<'a> {
    /// The texts of the disclosures.
    Disclosures(&'a [String]),
    /// Nothing yet.
    NotYet,
    /// Erased for ever.
    Erased,
}

/// What came of one leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// Its tags were compared and one is the owner's.
    Match,
    /// Its tags were compared and none is.
    Other,
    /// Closed until then.
    Closed(Timestamp),
    /// Erased.
    Erased,
    /// What was served opens no digest of the leaf, or is no list of tags.
    False,
}

/// The comparison while leaves are fed to it.
#[derive(Debug)]
pub struct Mine {
    values: BTreeMap<KeeperIndex, Vec<NoticeValue>>,
    requests: BTreeMap<[u8; 32], Vec<(LeafRef, Seen)>>,
    windows: BTreeMap<[u8; 32], (Timestamp, Timestamp)>,
}

impl Mine {
    /// `values`: for each keeper that answered, the plate's values under its notice key, one a spelling (with its state, without).
    #[must_use]
    pub const fn new(values: BTreeMap<KeeperIndex, Vec<NoticeValue>>) -> Self {
        Self { values, requests: BTreeMap::new(), windows: BTreeMap::new() }
    }

    /// The keepers whose leaves can be compared.
    pub fn keepers(&self) -> impl Iterator<Item = KeeperIndex> {
        self.values.keys().copied()
    }

    /// Looks at a leaf of a keeper's log. Every leaf may be given; only `request` leaves of keepers that answered are looked at.
    /// `published` is asked for those alone.
    pub fn look<'a>(
        &mut self,
        keeper: KeeperIndex,
        index: u64,
        leaf: &[u8],
        published: impl FnOnce() -> Published<'a>,
    ) {
        let Some(values) = self.values.get(&keeper) else { return };
        let Ok(Leaf::Known(leaf)) = parse_leaf(leaf) else { return };
        let LogEntry::Request(request) = leaf.entry() else { return };
        let here = LeafRef { log: LogName::Keeper(keeper), index };
        let seen = match published() {
            Published::NotYet => Seen::Closed(request.embargo),
            Published::Erased => Seen::Erased,
            Published::Disclosures(texts) => {
                let opened = open(request, texts);
                if let Some(window) = opened.window {
                    self.windows.entry(request.request).or_insert(window);
                }
                match opened.tags {
                    Tags::None => Seen::Closed(request.embargo),
                    Tags::False => Seen::False,
                    Tags::List(tags) => {
                        let nonce = leaf.nonce();
                        // HMAC takes every key, so a value that gives no tag does not happen; it would be no match.
                        let own = |value: &NoticeValue| value.is_among(&tags, &nonce).unwrap_or(false);
                        if values.iter().any(own) { Seen::Match } else { Seen::Other }
                    }
                }
            }
        };
        self.requests.entry(request.request).or_default().push((here, seen));
    }

    /// What can be said at a moment. `logs` are the same logs; an embargo that a court prolonged is taken from them.
    #[must_use]
    pub fn answer(&self, logs: &Logs, now: Timestamp) -> Answer {
        let register = Register::of(logs, now);
        let mut answer = Answer::empty(now);
        for (digest, leaves) in &self.requests {
            answer.count(logs, now, leaves);
            let matched: Vec<LeafRef> = of(leaves, |seen| seen == Seen::Match);
            if matched.is_empty() {
                continue;
            }
            // Two keepers compared the same spellings: whoever's tags say otherwise is not telling what it saw.
            answer.contradicted.extend(of(leaves, |seen| seen == Seen::Other));
            if let Some(entry) = register.entry(EntryId(*digest)) {
                let window = self.windows.get(digest);
                answer.searches.push(Search {
                    id: entry.id,
                    time: entry.time,
                    decision: entry.decision,
                    requester: entry.requester,
                    on_behalf_of: entry.on_behalf_of,
                    purpose: entry.purpose,
                    basis: entry.basis,
                    judicial: entry.judicial,
                    from: window.map(|(from, _)| *from),
                    to: window.map(|(_, to)| *to),
                    leaves: matched,
                });
            }
        }
        let unread = logs
            .requests()
            .iter()
            .filter(|(digest, request)| request.first_word().is_some() && !self.requests.contains_key(*digest));
        answer.unread = u64::try_from(unread.count()).unwrap_or(u64::MAX);
        answer.searches.sort_by_key(|search| core::cmp::Reverse((search.time, search.id)));
        answer.silent = logs
            .keeper_logs()
            .map(|(keeper, _)| keeper)
            .filter(|keeper| !self.values.contains_key(keeper))
            .map(|keeper| keeper.0)
            .collect();
        answer.conclude();
        answer
    }
}

fn of(leaves: &[(LeafRef, Seen)], wanted: impl Fn(Seen) -> bool) -> Vec<LeafRef> {
    leaves.iter().filter(|(_, seen)| wanted(*seen)).map(|(leaf, _)| *leaf).collect()
}

enum Tags {
    /// No disclosure of that name.
    None,
    /// One that is not the leaf's, or is no list of tags.
    False,
    List(Vec<NoticeTag>),
}

struct Opened {
    tags: Tags,
    window: Option<(Timestamp, Timestamp)>,
}

/// Reads what a keeper serves for a leaf. Only what opens a digest of the leaf, under its own name, counts.
fn open(request: &RequestLeaf, texts: &[String]) -> Opened {
    let mut opened = Opened { tags: Tags::None, window: None };
    for text in texts.iter().take(DISCLOSURES_MAX) {
        let Ok(disclosure) = Disclosure::parse(text) else {
            opened.tags = Tags::False;
            continue;
        };
        let is_of_leaf = request.sd.contains(&disclosure.digest());
        let is = |name: SaltedName| disclosure.name() == name.name();
        if is(SaltedName::Notice) {
            let tags = published_tags(&disclosure).ok().filter(|_| is_of_leaf);
            opened.tags = tags.map_or(Tags::False, Tags::List);
        } else if is(SaltedName::Window) && is_of_leaf {
            let window = <(Timestamp, Timestamp)>::from_json(disclosure.expose_value().clone());
            opened.window = window.ok().filter(|(from, to)| from < to);
        }
    }
    opened
}

/// What the owner is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The plate was asked for.
    Searched,
    /// Not in the entries that could be compared, and some could not.
    NotAmongPublished,
    /// Every entry was compared, and the plate stands in none.
    InNone,
}

/// A request that asked for the owner's plate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Search {
    /// The register entry.
    pub id: EntryId,
    /// When.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// What it came to. A refused request asked for the plate and got nothing.
    pub decision: Decision,
    /// Who asked.
    pub requester: Party,
    /// For whom.
    pub on_behalf_of: Party,
    /// Why.
    pub purpose: &'static str,
    /// On what basis.
    pub basis: &'static str,
    /// A judge's paper that counts.
    pub judicial: bool,
    /// The window asked, from; none if it was not published.
    #[serde(serialize_with = "time::text_or_null")]
    pub from: Option<Timestamp>,
    /// The window asked, to.
    #[serde(serialize_with = "time::text_or_null")]
    pub to: Option<Timestamp>,
    /// The leaves whose tags match.
    pub leaves: Vec<LeafRef>,
}

/// The answer. Counts are of requests; each stands in several logs and is compared if it is in one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// In short.
    pub verdict: Verdict,
    /// The moment it holds for.
    #[serde(serialize_with = "time::text")]
    pub as_of: Timestamp,
    /// Requests for this plate, newest first.
    pub searches: Vec<Search>,
    /// Requests compared.
    pub compared: u64,
    /// Requests that are still closed everywhere.
    pub closed: u64,
    /// When the last of those opens.
    #[serde(serialize_with = "time::text_or_null")]
    pub closed_until: Option<Timestamp>,
    /// Requests whose openings are erased, so that nobody can compare them any more.
    pub erased: u64,
    /// Requests of which no leaf was looked at: they stand only in logs of keepers that gave no value, or were not read.
    pub unread: u64,
    /// Leaves whose embargo has been over for a day and for which nothing is served.
    pub withheld: Vec<LeafRef>,
    /// Leaves for which something is served that is not theirs.
    pub forged: Vec<LeafRef>,
    /// Leaves whose tags deny what another keeper's tags say of the same request.
    pub contradicted: Vec<LeafRef>,
    /// Places of keepers that gave no value: their leaves were not compared.
    pub silent: Vec<u8>,
}

impl Answer {
    const fn empty(as_of: Timestamp) -> Self {
        Self {
            verdict: Verdict::InNone,
            as_of,
            searches: Vec::new(),
            compared: 0,
            closed: 0,
            closed_until: None,
            erased: 0,
            unread: 0,
            withheld: Vec::new(),
            forged: Vec::new(),
            contradicted: Vec::new(),
            silent: Vec::new(),
        }
    }

    fn count(&mut self, logs: &Logs, now: Timestamp, leaves: &[(LeafRef, Seen)]) {
        let until = |leaf: &LeafRef, embargo: Timestamp| {
            logs.embargo_prolonged(leaf).map_or(embargo, |later| later.max(embargo))
        };
        let closed = leaves.iter().filter_map(|(leaf, seen)| match seen {
            Seen::Closed(embargo) => Some((*leaf, until(leaf, *embargo))),
            Seen::Match | Seen::Other | Seen::Erased | Seen::False => None,
        });
        let closed: Vec<_> = closed.collect();
        let overdue = closed.iter().filter(|(_, until)| until.0.saturating_add(PUBLISH_SECONDS) <= now.0);
        self.withheld.extend(overdue.map(|(leaf, _)| *leaf));
        self.forged.extend(of(leaves, |seen| seen == Seen::False));
        if leaves.iter().any(|(_, seen)| matches!(seen, Seen::Match | Seen::Other)) {
            self.compared = self.compared.saturating_add(1);
        } else if let Some(first) = closed.iter().map(|(_, until)| *until).min() {
            self.closed = self.closed.saturating_add(1);
            self.closed_until = self.closed_until.max(Some(first));
        } else if leaves.iter().any(|(_, seen)| *seen == Seen::Erased) {
            self.erased = self.erased.saturating_add(1);
        }
    }

    fn conclude(&mut self) {
        let open_ends = self.closed > 0 || self.erased > 0 || self.unread > 0 || !self.forged.is_empty();
        self.verdict = if !self.searches.is_empty() {
            Verdict::Searched
        } else if open_ends {
            Verdict::NotAmongPublished
        } else {
            Verdict::InNone
        };
    }
}

#[cfg(test)]
mod tests;

//! The values that the register is made of. Names of fields stay: pages, CSV and JSON are made from them.

use lockplate_core::Timestamp;
use lockplate_core::entry::RefusalReason;
use lockplate_core::facts::Obligations;
use lockplate_core::id::AgencyId;
use serde::{Serialize, Serializer};

use crate::logs::{LeafRef, Logs, OpeningState};
use crate::time::{self, Month};

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Allowed or approved in the logs of at least t keepers.
    Granted,
    /// So many keepers refused that t can no longer agree, or all that answered refused.
    Refused,
    /// Neither yet.
    Waiting,
}

/// What one keeper's log says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeeperDecision {
    /// Allowed by rule.
    Allowed,
    /// Approved by the keeper's human.
    Approved,
    /// The keeper's human was asked and has not answered.
    Asked,
    /// Refused by the keeper's human.
    RefusedByHuman(Option<RefusalReason>),
    /// Refused by rule.
    RefusedByRule,
}

impl KeeperDecision {
    /// A yes?
    #[must_use]
    pub const fn is_yes(self) -> bool {
        matches!(self, Self::Allowed | Self::Approved)
    }

    /// A no?
    #[must_use]
    pub const fn is_no(self) -> bool {
        matches!(self, Self::RefusedByHuman(_) | Self::RefusedByRule)
    }

    /// Its name in JSON and CSV.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Approved => "approved",
            Self::Asked => "asked",
            Self::RefusedByHuman(_) => "refused_by_human",
            Self::RefusedByRule => "refused_by_rule",
        }
    }
}

impl Serialize for KeeperDecision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The id of an entry, and its permanent address: 64 lower-case hex digits of the request digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub [u8; 32]);

impl EntryId {
    /// From exactly 64 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => byte.checked_sub(b'0'),
            b'a'..=b'f' => byte.checked_sub(b'a').and_then(|value| value.checked_add(10)),
            _ => None,
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let bytes =
            pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect::<Option<Vec<u8>>>()?;
        <[u8; 32]>::try_from(bytes).ok().map(Self)
    }
}

impl core::fmt::Display for EntryId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An agency as it is shown: its id, and its name where the charter knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Party {
    /// 22 characters of its id.
    pub id: String,
    /// Its name; none for an agency that the charter does not name.
    pub name: Option<String>,
}

impl Party {
    pub(crate) fn of(logs: &Logs, id: AgencyId) -> Self {
        Self { id: id.to_string(), name: logs.agency(id).map(str::to_owned) }
    }

    /// The name, or the id where there is none.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// Duties that come with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Duties {
    /// Human approvals needed besides the agreement of keepers.
    pub approvers: u8,
    /// Days for which what was found may be kept.
    pub retain_days: u32,
    /// Longest days until the time window and the notice are published.
    pub notice_days: u32,
    /// A person compares plate and state before anybody acts.
    pub confirm_visual: bool,
}

impl From<Obligations> for Duties {
    fn from(duties: Obligations) -> Self {
        let Obligations { approvers, retain_days, notice_days, confirm_visual } = duties;
        Self { approvers, retain_days, notice_days, confirm_visual }
    }
}

/// One keeper's part in an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeeperPart {
    /// Its place.
    pub keeper: u8,
    /// Its name.
    pub name: String,
    /// Its decision.
    pub decision: KeeperDecision,
    /// Why its human refused.
    pub reason: Option<&'static str>,
    /// The leaf that gave the decision.
    pub leaf: LeafRef,
    /// The leaf that holds the request; the same where a rule decided.
    pub request: LeafRef,
    /// Until then its window and notice stay closed; what a court prolonged is in it.
    #[serde(serialize_with = "time::text")]
    pub embargo: Timestamp,
    /// Where its openings stand.
    pub openings: OpeningState,
    /// When.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// Rules it cites, sorted.
    pub rules: Vec<String>,
    /// Periods it allows.
    pub epochs_allowed: u64,
    /// Periods inside the window that it does not.
    pub epochs_refused: u64,
    /// Digest of its policy bundle, base64url.
    pub policy: String,
    /// Its answers to the search: leaf and time of each.
    pub evaluations: Vec<EvaluationPart>,
}

/// One answer of a keeper to a granted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EvaluationPart {
    /// The leaf.
    pub leaf: LeafRef,
    /// When.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// Periods.
    pub epochs: u64,
    /// Spellings in each.
    pub elements: u64,
}

/// What the requester said it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DisclosurePart {
    /// The leaf.
    pub leaf: LeafRef,
    /// When.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// Reads opened.
    pub cells: u64,
    /// Of them, reads that cannot be the plate asked for.
    pub others: u64,
    /// `found`, `none` or `failed`.
    pub outcome: &'static str,
}

/// The paper of an emergency, by the words of all keepers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PaperPart {
    /// `due`, `filed` or `overdue`: filed if any keeper says so, else the last word.
    pub status: &'static str,
    /// When it had to be filed.
    #[serde(serialize_with = "time::text")]
    pub deadline: Timestamp,
    /// When a keeper first wrote down that it was filed.
    #[serde(serialize_with = "time::text_or_null")]
    pub filed: Option<Timestamp>,
}

/// Reads kept as evidence for a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HoldPart {
    /// The leaf.
    pub leaf: LeafRef,
    /// When.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// Reads kept.
    pub cells: u64,
    /// Until when.
    #[serde(serialize_with = "time::text")]
    pub until: Timestamp,
}

/// One request, as all logs tell it. Public fields are those of the keeper with the lowest place; the monitor compares the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its permanent id.
    pub id: EntryId,
    /// When a keeper first wrote it down.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// The month of that.
    pub month: Month,
    /// What it came to.
    pub decision: Decision,
    /// Who asked.
    pub requester: Party,
    /// For whom; the requester itself where for nobody else.
    pub on_behalf_of: Party,
    /// The officer's pseudonym of this year, base64url.
    pub officer: String,
    /// `search`, `holdEvidence` or `ownerAccess`.
    pub action: &'static str,
    /// Purpose stated.
    pub purpose: &'static str,
    /// Basis stated.
    pub basis: &'static str,
    /// How a court's paper was verified.
    pub assurance: &'static str,
    /// A judge's paper that counts.
    pub judicial: bool,
    /// Declared as an emergency.
    pub emergency: bool,
    /// Fingerprint of the paper, base64url.
    pub authorisation: Option<String>,
    /// Spellings asked for.
    pub elements: u64,
    /// Days of the window, rounded up.
    pub window_days: u64,
    /// Rules that decided, of all keepers that decided so, sorted.
    pub rules: Vec<String>,
    /// Duties of a grant.
    pub obligations: Option<Duties>,
    /// Until then the window and the notice stay closed; the latest of all keepers.
    #[serde(serialize_with = "time::text")]
    pub embargo: Timestamp,
    /// How it stands with the paper of an emergency; none where no keeper says anything of one.
    pub paper: Option<PaperPart>,
    /// What is kept as evidence.
    pub holds: Vec<HoldPart>,
    /// Each keeper's part, by place.
    pub keepers: Vec<KeeperPart>,
    /// What the requester said it opened; the last word where it said more than one.
    pub disclosure: Option<DisclosurePart>,
}

/// How a list of values splits by decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Granted.
    pub granted: u64,
    /// Refused.
    pub refused: u64,
    /// Waiting.
    pub waiting: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, decision: Decision) {
        let counter = match decision {
            Decision::Granted => &mut self.granted,
            Decision::Refused => &mut self.refused,
            Decision::Waiting => &mut self.waiting,
        };
        *counter = counter.saturating_add(1);
    }

    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.granted.saturating_add(self.refused).saturating_add(self.waiting)
    }
}

/// What the register can be filtered by, each value with its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facets {
    /// Requesting agencies.
    pub agencies: Vec<(Party, Counts)>,
    /// Purposes, by name.
    pub purposes: Vec<(&'static str, Counts)>,
    /// Rules, by id.
    pub rules: Vec<(String, Counts)>,
    /// Months, latest first.
    pub months: Vec<(Month, Counts)>,
    /// All.
    pub all: Counts,
}

/// A keeper as the register shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeeperLine {
    /// Its place.
    pub keeper: u8,
    /// Its name.
    pub name: String,
    /// The legal entity it belongs to.
    pub legal_entity: String,
    /// Origin of its log.
    pub origin: String,
    /// Entries of its log.
    pub leaves: u64,
    /// Time of the last of them.
    #[serde(serialize_with = "time::text_or_null")]
    pub last_leaf: Option<Timestamp>,
    /// When its log was last confirmed by independent watchers; none if never.
    #[serde(serialize_with = "time::text_or_null")]
    pub confirmed: Option<Timestamp>,
}

/// The cameras, by the newest statement in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cameras {
    /// How many.
    pub count: u64,
    /// Since when.
    #[serde(serialize_with = "time::text")]
    pub since: Timestamp,
    /// The leaf that says so.
    pub leaf: LeafRef,
}

/// The last self-test: invented reads that were sealed and must be found again with the help of keepers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SelfTest {
    /// When.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// `found`, `missed` or `error`.
    pub result: &'static str,
    /// Keepers that answered.
    pub keepers: u64,
    /// The leaf that says so.
    pub leaf: LeafRef,
}

/// A hot list as its last load left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListLine {
    /// Its id, base64url.
    pub list: String,
    /// The leaf of its last change.
    pub leaf: LeafRef,
    /// When that was.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// When its source made it.
    #[serde(serialize_with = "time::text")]
    pub produced_at: Timestamp,
    /// It has ended.
    pub retired: bool,
    /// Entries by class; classes without any are not there.
    pub entries: Vec<(&'static str, u64)>,
}

/// Periods of reads and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Epochs {
    /// Dealt.
    pub dealt: u64,
    /// Closed.
    pub closed: u64,
    /// Destroyed: so few keepers have a share left that nobody can open it.
    pub destroyed: u64,
}

/// The first screen: what a resident asks first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The owner.
    pub owner: Party,
    /// The moment it holds for.
    #[serde(serialize_with = "time::text")]
    pub as_of: Timestamp,
    /// Hash of the charter, base64url.
    pub charter: String,
    /// Keepers that must agree.
    pub threshold: u8,
    /// Keepers.
    pub keepers: Vec<KeeperLine>,
    /// Distinct legal entities among the keepers.
    pub legal_entities: u64,
    /// One party can open everything: by the charter, or by a charter leaf in force in any keeper's log.
    pub custody_label: bool,
    /// How long reads are kept, seconds after the end of their period.
    pub retention_seconds: u64,
    /// The cameras; none if the recorder's log says nothing.
    pub cameras: Option<Cameras>,
    /// The last self-test; none if there was none yet.
    pub self_test: Option<SelfTest>,
    /// The hot lists, by id.
    pub hot_lists: Vec<ListLine>,
    /// Periods.
    pub epochs: Epochs,
    /// The current month.
    pub month: Month,
    /// Requests of the current month.
    pub this_month: Counts,
    /// Requests of all time.
    pub all_time: Counts,
    /// Who asked in the current month, most requests first.
    pub who_asked: Vec<(Party, Counts)>,
    /// Emergencies of the current month.
    pub emergencies: u64,
}

/// A change that the keepers and the recorder announced, once, with every log that says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// When it was first written down.
    #[serde(serialize_with = "time::text")]
    pub time: Timestamp,
    /// From then on.
    #[serde(serialize_with = "time::text")]
    pub effective: Timestamp,
    /// What changes.
    pub what: ChangeKind,
    /// Digest of what it names, base64url.
    pub digest: String,
    /// The leaves that say so.
    pub leaves: Vec<LeafRef>,
}

/// What changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChangeKind {
    /// A charter.
    Charter {
        /// Keepers that must agree.
        t: u8,
        /// Keepers.
        n: u8,
        /// One party can open everything.
        custody_label: bool,
    },
    /// A policy bundle.
    Policy {
        /// `equal`, `narrower`, `looser`, or `first`.
        relation: &'static str,
    },
    /// A key.
    Key {
        /// Whose.
        subject: &'static str,
        /// `enrol`, `replace` or `revoke`.
        change: &'static str,
    },
    /// A declaration of another agency.
    Declaration {
        /// Who declares.
        agency: Party,
        /// Which declaration.
        declaration: &'static str,
        /// `file` or `withdraw`.
        change: &'static str,
    },
    /// The camera register.
    Camera {
        /// `add`, `change`, `remove` or `pause`.
        change: &'static str,
        /// Cameras after it.
        cameras: u64,
    },
    /// A register went on after a stop, and a person vouched for watchers that could not be asked.
    Resumed {
        /// The log.
        log: String,
        /// Names of the watchers that were not asked.
        missing: Vec<String>,
    },
}

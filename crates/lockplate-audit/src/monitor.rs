//! The monitor: what everybody can hold against a party from the public logs alone (`log.md` section 8, rules M1 to M11). Alarms are a
//! function of what has been said and of a moment, so a later leaf clears what was only late, and never what was wrong. What is absent
//! counts as missing only once the log that should hold it is known beyond its deadline: a log that nobody can read is an alarm of its
//! own (M8), not a hundred others.

mod epochs;
mod lists;
mod requests;
mod single;

use lockplate_core::Timestamp;
use serde::{Serialize, Serializer};

pub(crate) use self::epochs::destruction_deadline;
use crate::logs::{LeafRef, LogName, Logs};
use crate::time;

/// Seconds within which the twins of a grant must stand in the other keepers' logs (M2).
pub const TWIN_SECONDS: u64 = 60;
/// Seconds after an evaluation within which the requester says what it opened (M3).
pub const DISCLOSURE_SECONDS: u64 = time::DAY;
/// Seconds after an emergency request within which its paper is filed, where no leaf names a deadline (M10).
pub const PAPER_SECONDS: u64 = time::DAY;
/// Windows after the end of its capture window in which an epoch is closed (M4).
pub const CLOSE_WINDOWS: u64 = 2;
/// Seconds after `destroy_after` within which a keeper says that its share is destroyed; as long as the epoch was kept where that
/// is less (M4).
pub const DESTROY_SECONDS: u64 = time::DAY;
/// Seconds between the leaf of a looser policy and its effect (M6).
pub const LOOSER_SECONDS: u64 = 14 * time::DAY;
/// Seconds between the leaf of a fresh institution's key and its effect (M6).
pub const KEY_SECONDS: u64 = 3 * time::DAY;
/// Seconds after which a log without a fresh confirmation is an alarm (M8).
pub const STALE_SECONDS: u64 = time::HOUR;
/// Seconds after which nobody may rely on it (M8).
pub const REFUSE_SECONDS: u64 = time::DAY;

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal $says:literal,)*) => {
        /// What an alarm is about: one rule of the design, told apart where the rule has several halves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MonitorRule { $($(#[$doc])* $variant,)* }

        impl MonitorRule {
            /// Every rule, in order of number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Number of the rule in the design, 1 to 11.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$variant => $number,)* }
            }

            /// Its name in JSON and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// From its name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|rule| rule.name() == name)
            }

            /// What has happened, in one sentence for people.
            #[must_use]
            pub const fn explain(self) -> &'static str {
                match self { $(Self::$variant => $says,)* }
            }
        }
    };
}

rules! {
    /// M1: no request in the same log before the evaluation.
    EvaluationWithoutRequest = 1 "evaluation-without-request"
        "a keeper answered a search that its own register does not show as allowed before",
    /// M1: an approval that names no request waiting for a human.
    ApprovalWithoutRequest = 1 "approval-without-request"
        "a keeper's human decided a request that its own register does not show as waiting for a human",
    /// M1: opened reads without t evaluations anywhere.
    DisclosureWithoutEvaluation = 1 "disclosure-without-evaluation"
        "an agency says that it opened reads, and fewer keepers than must agree say that they answered",
    /// M2: the request does not even stand in t logs.
    TwinMissing = 2 "twin-missing"
        "a search was answered, and the request stands in the registers of fewer keepers than must agree",
    /// M2: it stands there, but is not granted by t in time.
    GrantTooFew = 2 "grant-too-few"
        "a search was answered, and fewer keepers than must agree had allowed it in time",
    /// M2: the humans whose approval the rules demand did not give it.
    HumanMissing = 2 "human-missing"
        "a search was answered without the approvals by people that its rules demand",
    /// M2: keepers tell different stories of one request.
    TwinsDiffer = 2 "twins-differ"
        "two keepers describe the same request differently",
    /// M3: nothing disclosed within a day.
    DisclosureMissing = 3 "disclosure-missing"
        "an agency has not said what it opened, a day after keepers answered its search",
    /// M3: more opened than there is.
    DisclosureTooMany = 3 "disclosure-too-many"
        "an agency says that it opened more reads than the periods it searched can hold",
    /// M4: sealing began before enough keepers had a share.
    ReceiptsMissing = 4 "receipts-missing"
        "reads were sealed before enough keepers confirmed that they hold a share of the key",
    /// M4: the key should be gone by now.
    CloseMissing = 4 "close-missing"
        "a period of reads is over and has not been closed",
    /// M4: one epoch, two stories.
    ClosedTwice = 4 "closed-twice"
        "a period of reads was closed twice",
    /// M4: a share outlives its date.
    DestructionMissing = 4 "destruction-missing"
        "a keeper has not said that it destroyed its share of a period whose time is over",
    /// M5: another rule book than the one in force.
    PolicyNotInForce = 5 "policy-not-in-force"
        "a keeper decided by rules that were not in force",
    /// M5: a rule that is not in the book.
    RuleUnknown = 5 "rule-unknown"
        "a keeper cites a rule that the rules it names do not hold",
    /// M5: an auditor who opened the facts found that they are others.
    ReviewFailed = 5 "review-failed"
        "an auditor opened entries of a register and found that they do not say what was asked",
    /// M6: rules used before their date.
    PolicyTooEarly = 6 "policy-too-early"
        "a keeper decided by rules that were announced but not yet in force",
    /// M6: too little notice.
    LooserTooSoon = 6 "looser-too-soon"
        "rules that allow more were to take effect less than 14 days after they were announced",
    /// M6: a new charter's numbers before its date.
    CharterTooEarly = 6 "charter-too-early"
        "a period of reads was shared out by a charter that was not in force",
    /// M6: a key that is used or takes effect too soon.
    KeyTooSoon = 6 "key-too-soon"
        "a new key was to count less than 72 hours after it was announced",
    /// M7: two histories.
    Fork = 7 "fork"
        "a register was shown in two versions that cannot both be true",
    /// M8: no fresh confirmation for an hour.
    Stale = 8 "stale"
        "no independent confirmation of a register within the last hour is known",
    /// M8: none for a day.
    StaleRefused = 8 "stale-refused"
        "no independent confirmation of a register within the last day is known; do not rely on it",
    /// M9: a leaf that is not as leaves are.
    LeafMalformed = 9 "leaf-malformed"
        "a register holds an entry that is not in the agreed form, or that it may not hold",
    /// M9: no auditor can open it.
    EscrowMissing = 9 "escrow-missing"
        "a keeper wrote down a request so that not every auditor can open it",
    /// M9: a clock that ran backwards.
    TimeBack = 9 "time-back"
        "an entry of a register is dated before the one that precedes it",
    /// M10: no paper for an emergency.
    PaperMissing = 10 "paper-missing"
        "a search was made as an emergency, and its paper was not filed in time",
    /// M11: a hot list whose numbers do not add up.
    HotlistCounts = 11 "hotlist-counts"
        "the numbers that a hot list was loaded with do not add up",
}

impl MonitorRule {
    /// `M1` to `M11`.
    #[must_use]
    pub fn id(self) -> String {
        format!("M{}", self.number())
    }

    /// True if the attached notes prove, without this program, that a party lied: it signed both.
    #[must_use]
    pub const fn is_proof(self) -> bool {
        matches!(self, Self::Fork)
    }
}

impl Serialize for MonitorRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One alarm. Two calls that find the same thing give equal alarms, so a watcher can tell what is new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Alarm {
    /// The rule.
    pub rule: MonitorRule,
    /// The logs that it is held against.
    #[serde(serialize_with = "log_names")]
    pub logs: Vec<LogName>,
    /// The leaves involved, sorted. Their bytes: [`Alarm::evidence`].
    pub leaves: Vec<LeafRef>,
    /// Since when it holds.
    #[serde(serialize_with = "time::text_or_null")]
    pub since: Option<Timestamp>,
    /// The two signed notes of a fork.
    #[serde(skip)]
    pub notes: Vec<Vec<u8>>,
}

impl Alarm {
    pub(crate) fn new(rule: MonitorRule, mut logs: Vec<LogName>, mut leaves: Vec<LeafRef>) -> Self {
        logs.sort_unstable();
        logs.dedup();
        leaves.sort_unstable();
        leaves.dedup();
        Self { rule, logs, leaves, since: None, notes: Vec::new() }
    }

    pub(crate) const fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// One sentence for people.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        self.rule.explain()
    }

    /// The alarm with the exact bytes of its leaves and notes, for a file that others can check. `read` gets a leaf and its receipt from the
    /// log's tiles; one that it cannot get is named without them.
    pub fn evidence(&self, logs: &Logs, mut read: impl FnMut(&LeafRef) -> Option<(Vec<u8>, Vec<u8>)>) -> Evidence {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let leaf = |leaf: &LeafRef| {
            let (bytes, receipt) = read(leaf).unzip();
            EvidenceLeaf {
                log: leaf.log,
                origin: logs.origin(&leaf.log).unwrap_or_default().to_owned(),
                index: leaf.index,
                leaf: bytes.map(text),
                receipt: receipt.map(text),
            }
        };
        let checkpoint = |log: &LogName| logs.head(log).map(|head| String::from_utf8_lossy(&head.note).into_owned());
        Evidence {
            schema: ALARM_SCHEMA,
            rule: self.rule,
            number: self.rule.id(),
            text: self.text(),
            leaves: self.leaves.iter().map(leaf).collect(),
            notes: self.notes.iter().map(|note| String::from_utf8_lossy(note).into_owned()).collect(),
            checkpoints: self.logs.iter().filter_map(checkpoint).collect(),
        }
    }
}

/// How an alarm's file names its form.
pub const ALARM_SCHEMA: &str = "lockplate/alarm/1";

/// A leaf with its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceLeaf {
    /// The log.
    #[serde(serialize_with = "log_name")]
    pub log: LogName,
    /// Its origin.
    pub origin: String,
    /// The leaf's index.
    pub index: u64,
    /// The leaf, verbatim where it is UTF-8 as every good one is; none if it could not be read.
    pub leaf: Option<String>,
    /// The receipt that proves the leaf, as `log.md` section 2 writes it.
    pub receipt: Option<String>,
}

/// What stands in an evidence file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// [`ALARM_SCHEMA`].
    pub schema: &'static str,
    /// The rule, by name.
    pub rule: MonitorRule,
    /// `M1` to `M11`.
    pub number: String,
    /// What has happened.
    pub text: &'static str,
    /// The leaves.
    pub leaves: Vec<EvidenceLeaf>,
    /// The two signed notes of a fork.
    pub notes: Vec<String>,
    /// The newest checkpoint of each log involved: what the leaves are proved against.
    pub checkpoints: Vec<String>,
}

/// Something that could not be checked: neither an alarm nor its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "gap", rename_all = "snake_case")]
pub enum Gap {
    /// Searches of this agency were answered, and nobody knows where it writes what it opened.
    DeskUnknown {
        /// The log that would be its desk's.
        #[serde(serialize_with = "log_name")]
        desk: LogName,
    },
    /// A log of which no checkpoint, or not all leaves, have been taken.
    LogUnread {
        /// The log.
        #[serde(serialize_with = "log_name")]
        log: LogName,
    },
    /// Leaves of a type that this release does not know.
    UnknownLeaves {
        /// The log.
        #[serde(serialize_with = "log_name")]
        log: LogName,
        /// How many.
        count: u64,
    },
    /// Decisions under a policy bundle whose rules are not known here.
    BundleUnknown {
        /// How many bundles.
        count: u64,
    },
}

fn log_name<S: Serializer>(log: &LogName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(log)
}

#[expect(clippy::ptr_arg, reason = "the shape that serde asks for")]
fn log_names<S: Serializer>(logs: &Vec<LogName>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(logs.iter().map(LogName::to_string))
}

/// All alarms that hold at a moment, sorted by rule.
#[must_use]
pub fn alarms(logs: &Logs, now: Timestamp) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    single::check(logs, now, &mut alarms);
    requests::check(logs, now, &mut alarms);
    epochs::check(logs, now, &mut alarms);
    lists::check(logs, &mut alarms);
    alarms.sort_unstable();
    alarms
}

/// What could not be checked.
#[must_use]
pub fn gaps(logs: &Logs) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for (log, state) in logs.logs() {
        if state.known_until().is_none() {
            gaps.push(Gap::LogUnread { log });
        }
        if state.unknown_leaves() > 0 {
            gaps.push(Gap::UnknownLeaves { log, count: state.unknown_leaves() });
        }
    }
    gaps.extend(requests::gaps(logs));
    gaps.sort_unstable();
    gaps.dedup();
    gaps
}

#[cfg(test)]
mod tests;

//! What officers' terminals and the desk of alerts say to each other. Lists and events hold what is in clear of an alert, and the place of
//! its camera; the content comes with [`AlertOpened`] alone.

use core::fmt;

use lockplate_core::entry::Disposition;
use lockplate_core::hotlist::alert::{
    AlertContent, AlertRecord, AlertState, AlertText, Closing, ConfirmedBy, LiveCheck, Seen, SeenOn, StepKind,
};
use lockplate_core::hotlist::limits::ALERT_BYTES_MAX;
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::json::{Field as _, parse_canonical_within, parse_time, time_text};
use lockplate_core::plate::{Jurisdiction, Plate};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::B64;

/// `GET /v1/alerts/introduction`: what another agency's recorder has to know to match a list of this agency. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduction {
    /// Alerts on it are sealed to this key.
    pub alert_key: B64,
    /// The agency's signed directory of the day: whose officers sign for it.
    pub directory: B64,
}

/// An alert in clear, as `GET /v1/alerts` lists it. Ids in hexadecimal, times RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertLine {
    /// Its id, 32 digits.
    pub id: String,
    /// The list's, 32 digits.
    pub list: String,
    /// `extract`, `custom` or `amber`: who confirms an entry.
    pub kind: String,
    /// Class of the entry.
    pub class: String,
    /// How the read met it.
    pub matched: String,
    /// Somebody was notified.
    pub live: bool,
    /// Minute in which it was raised.
    pub raised_at: String,
    /// To be looked at before.
    pub look_by: String,
    /// To be disposed of before.
    pub dispose_by: String,
    /// `raised`, `looked`, `verified`, `rejected`, `closed`, `expired`.
    pub state: String,
    /// As what it was rejected or closed.
    pub disposition: Option<String>,
    /// How often the entry was hit at the camera within ten minutes, the first time included.
    pub count: u64,
}

impl AlertLine {
    /// Of a record.
    #[must_use]
    pub fn of(record: &AlertRecord, count: u64) -> Self {
        let (state, disposition) = match record.state {
            AlertState::Raised => ("raised", None),
            AlertState::Looked { .. } => ("looked", None),
            AlertState::Verified => ("verified", None),
            AlertState::Rejected { reason } => ("rejected", Some(reason)),
            AlertState::Closed { disposition, .. } => ("closed", Some(disposition)),
            AlertState::Expired { .. } => ("expired", None),
        };
        let kind = match record.kind {
            SetKind::Extract => "extract",
            SetKind::Custom => "custom",
            SetKind::Amber => "amber",
        };
        Self {
            id: hex::encode(record.alert),
            list: hex::encode(record.list),
            kind: kind.to_owned(),
            class: record.class.name().to_owned(),
            matched: record.matched.name().to_owned(),
            live: record.live,
            raised_at: time_text(record.raised_at),
            look_by: time_text(record.look_by()),
            dispose_by: time_text(record.dispose_by()),
            state: state.to_owned(),
            disposition: disposition.map(|one| one.name().to_owned()),
            count,
        }
    }
}

/// `GET /v1/alerts`: what is to be looked at, then what is to be disposed of, each oldest first, at most a thousand.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertList {
    /// The alerts.
    pub alerts: Vec<AlertLine>,
}

/// Data of an event of `GET /v1/alerts/stream`. The name of the event says what happened: `alert`, `escalated` (nobody has looked),
/// `step` (an officer took one), `stale` (an entry of `agency` is out of date).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertEvent {
    /// The alert's id, 32 digits.
    pub id: String,
    /// Class of the entry.
    pub class: String,
    /// How the read met it.
    pub matched: String,
    /// Minute in which it was raised.
    pub raised_at: String,
    /// Its state now.
    pub state: String,
    /// Where the camera stands; not of a step as it is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// ORI of the agency that entered the entry; only of `stale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agency: Option<String>,
}

/// `GET /v1/alerts/{id}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertOpened {
    /// In clear.
    pub alert: AlertLine,
    /// All that it says ([`AlertText`]); the banner is its first line.
    pub text: Value,
    /// JPEG or PNG of the plate; empty where there is none.
    pub crop: B64,
    /// What officers did, in order.
    pub steps: Vec<StepTaken>,
}

impl fmt::Debug for AlertOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlertOpened(..)")
    }
}

impl AlertOpened {
    /// Its content as a value; none if the text is not one that this release writes.
    #[must_use]
    pub fn content(&self) -> Option<AlertContent> {
        // Keys of a `Value` are sorted, as canonical text has them.
        let bytes = serde_json::to_vec(&self.text).ok()?;
        let text = AlertText::from_json(parse_canonical_within(&bytes, ALERT_BYTES_MAX).ok()?).ok()?;
        Some(AlertContent { text, crop: self.crop.0.clone() })
    }
}

/// A step that was taken.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepTaken {
    /// `ByPerson<AlertStep>`.
    pub step: B64,
    /// What was said, whose salted digest the officer signed.
    pub said: Said,
    /// When it was taken.
    pub at: String,
}

impl fmt::Debug for StepTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepTaken(..)")
    }
}

/// `POST /v1/alerts/{id}/steps`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepAsked {
    /// `ByPerson<AlertStep>`.
    pub step: B64,
    /// What is said, whose salted digest the officer signed.
    pub said: Said,
}

impl fmt::Debug for StepAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepAsked(..)")
    }
}

/// What an officer says with a step.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Said {
    /// Plate and state as seen.
    Look {
        /// The plate, typed.
        plate: String,
        /// The state's code; none where it cannot be made out.
        state: Option<String>,
        /// `crop` or `road`.
        on: SeenWhere,
    },
    /// The entry was asked about.
    LiveCheck {
        /// It holds.
        confirmed: bool,
        /// Who says so.
        by: CheckedBy,
    },
    /// How the alert ends.
    Close {
        /// Name of the disposition.
        disposition: String,
        /// Somebody was stopped.
        stopped: bool,
    },
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Said(..)")
    }
}

/// Where plate and state were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenWhere {
    /// On the crop.
    Crop,
    /// On the road.
    Road,
}

/// Who confirms an entry.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum CheckedBy {
    /// Its source, asked now.
    Source {
        /// The source's reference.
        reference: String,
        /// Who answered.
        who: String,
        /// When, RFC 3339.
        at: String,
    },
    /// The officer whose case it is, who signs the step.
    CaseOfficer,
    /// A supervisor, who signs the step.
    Supervisor,
}

impl fmt::Debug for CheckedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckedBy(..)")
    }
}

/// A step's words as values.
#[derive(Clone)]
pub enum Meant {
    /// Step 1.
    Look(Seen),
    /// Step 2.
    LiveCheck(LiveCheck),
    /// Step 3.
    Close(Closing),
}

impl fmt::Debug for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meant(..)")
    }
}

impl Meant {
    /// Which step it is.
    #[must_use]
    pub const fn step(&self) -> StepKind {
        match self {
            Self::Look(_) => StepKind::Look,
            Self::LiveCheck(_) => StepKind::LiveCheck,
            Self::Close(_) => StepKind::Close,
        }
    }

    /// Digest that the officer signs.
    #[must_use]
    pub fn said(&self, text: &AlertText) -> [u8; 32] {
        match self {
            Self::Look(seen) => seen.said(text),
            Self::LiveCheck(check) => check.said(text),
            Self::Close(closing) => closing.said(text),
        }
    }
}

impl Said {
    /// As values; none for a text that is no plate, state, time or disposition.
    #[must_use]
    pub fn meant(&self) -> Option<Meant> {
        Some(match self {
            Self::Look { plate, state, on } => {
                let jurisdiction = match state {
                    Some(code) => Some(Jurisdiction::parse(code)?),
                    None => None,
                };
                let on = match on {
                    SeenWhere::Crop => SeenOn::Crop,
                    SeenWhere::Road => SeenOn::Road,
                };
                Meant::Look(Seen { plate: Plate::parse(plate)?, jurisdiction, on })
            }
            Self::LiveCheck { confirmed, by } => {
                let by = match by {
                    CheckedBy::Source { reference, who, at } => {
                        ConfirmedBy::Source { reference: reference.clone(), who: who.clone(), at: parse_time(at)? }
                    }
                    CheckedBy::CaseOfficer => ConfirmedBy::CaseOfficer,
                    CheckedBy::Supervisor => ConfirmedBy::Supervisor,
                };
                Meant::LiveCheck(LiveCheck { confirmed: *confirmed, by })
            }
            Self::Close { disposition, stopped } => {
                Meant::Close(Closing { disposition: Disposition::from_name(disposition)?, stopped: *stopped })
            }
        })
    }
}

/// `GET /v1/alerts/health`, from this machine alone: numbers and no alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertHealth {
    /// Not looked at yet.
    pub raised: u64,
    /// Looked at and not disposed of.
    pub waiting: u64,
    /// Expired and not erased yet: nobody looked in time.
    pub expired: u64,
    /// Of those that wait: not disposed of in 72 hours.
    pub overdue: u64,
    /// On lists of other agencies, and not fetched by them yet.
    pub to_hand_over: u64,
    /// Own lists at other agencies' recorders that did not answer last.
    pub silent_recorders: u64,
    /// Hits without an alert since the start: the queue was full, or the database did not take them.
    pub hits_lost: u64,
    /// Notices without a receiver since the start: a queue was full, or all tries failed.
    pub notices_lost: u64,
    /// Numbers of cameras of which more than a fifth of this month's alerts were misreads.
    pub misreading_cameras: Vec<u32>,
}

/// The id of an alert from its 32 digits.
#[must_use]
pub fn alert_id(text: &str) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    hex::decode_to_slice(text, &mut id).ok()?;
    Some(id)
}

/// `POST /v1/alerts/handed`: the agency whose list it is asks for its alerts. The answer waits some seconds for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedAsked {
    /// `Signed<AlertsAsked>` of the asker's desk.
    pub call: B64,
    /// The asker's signed directory, which names the desk's key.
    pub directory: B64,
}

/// Its answer: oldest first, and all of them are later than the one that was named.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedGiven {
    /// At most 32.
    pub alerts: Vec<HandedAlert>,
}

/// An alert, sealed to the asker's alert key. What it is about is said by what is sealed alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedAlert {
    /// Its id, 32 digits.
    pub id: String,
    /// How often the entry was hit so far.
    pub count: u64,
    /// Text and crop.
    pub sealed: B64,
}

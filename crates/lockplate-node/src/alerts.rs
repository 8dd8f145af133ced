//! Alerts (`hotlists.md` sections 6 and 7): hits of the matcher become sealed alerts, are told to whoever is to look, and are worked on by
//! officers step by step. Nothing of an alert but id, list, class, kind of match, minute, state and deadlines is in clear anywhere.
//!
//! **In scope:** rule 10 and raising ([`Alerts`]), the tables, the officers' doors with their stream of events ([`wire`]), notices, the
//! clock (expiry, escalation, erasure), the day's leaf; alerts on other agencies' lists, which those fetch here, and alerts on own lists
//! that other agencies' recorders match, which are fetched there.
//!
//! **Out of scope:** lists and matching, which call [`AlertSink`] and are called as [`Marking`]; what an alert says and which step may
//! follow which (`lockplate_core::hotlist::alert`); the law ([`crate::hotlist::law`]). Nothing here leads from an alert to a search.

mod clockwork;
mod doors;
mod duty;
mod feed;
mod handing;
mod notify;
mod raising;
mod settings;
pub(crate) mod store;
mod taking;
pub mod terminal;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lockplate_core::Timestamp;
use lockplate_core::directory::VerifiedDirectory;
use lockplate_core::entry::Suppression;
use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey};
use lockplate_core::hotlist::alert::{AlertContent, open_alert};
use lockplate_core::hotlist::matching::{Comparison, Hit};
use lockplate_core::hotlist::set::SetStamp;
use lockplate_core::read::Read;
use lockplate_core::vocabulary::Purpose;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::duty::Duty;
use self::feed::Feed;
use self::handing::Handing;
pub(crate) use self::notify::NoNotices;
use self::notify::{Notice, Notifier, Why};
pub use self::settings::{AlertMailConfig, AlertSettings, AlertsConfig, FromConfig, MqttConfig, WebhookConfig};
use self::store::{AlertRow, AlertStore};
use crate::agency_db::AgencyDb;
use crate::clock::Clock;
use crate::hotlist::law::{Acted, Decided, ListLaw, Matter};
use crate::party_log::{PartyLog, seconds};
use crate::shift::Shifts;
use crate::shutdown::Tasks;

/// Hits that wait to be raised: of a large agency, those of some hours.
const HITS_MAX: usize = 4_096;

/// A hit with everything that its alert says.
#[derive(Clone)]
pub struct Sighted {
    /// The hit.
    pub hit: Hit,
    /// The read.
    pub read: Read,
    /// JPEG or PNG of the plate; empty where there is none.
    pub crop: Vec<u8>,
    /// The set that was hit.
    pub stamp: SetStamp,
    /// For what the list is matched: of a custom list what its steward signed, of every other one that of the class.
    pub purpose: Purpose,
    /// Place of the camera in words.
    pub place: String,
    /// Key of the officer who brought a custom entry, whose case it is.
    pub creator: Option<[u8; 32]>,
    /// Alert key of another agency whose list this is; none: the own alert key.
    pub sealed_to: Option<HpkePublicKey>,
}

impl core::fmt::Debug for Sighted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sighted(..)")
    }
}

/// Where the matcher tells what it found. Both return at once: the matcher has reads waiting.
pub trait AlertSink: Send + Sync + 'static {
    /// A read met an entry.
    fn hit(&self, sighted: Sighted);
    /// What a comparison did not make a hit of, for the day's numbers.
    fn suppressed(&self, comparison: &Comparison);
}

/// What closed alerts do to lists (`lockplate_core::hotlist::alert::Effect`).
pub trait Marking: Send + Sync + 'static {
    /// The entry is stale: not matched until a newer load confirms it.
    fn suspend(&self, list: &[u8; 16], entry_id: &str);
    /// The entry was hit by another state's plate once more.
    fn wrong_state(&self, list: &[u8; 16], entry_id: &str);
}

/// What the desk of alerts is made of.
#[derive(Debug)]
pub struct AlertParts {
    /// The agency's database.
    pub db: AgencyDb,
    /// The recorder's log.
    pub log: PartyLog,
    /// Who is signed in.
    pub shifts: Shifts,
    /// Which officer may read which hit.
    pub law: Arc<ListLaw>,
    /// Opens alerts.
    pub key: HpkeSecretKey,
    /// `[alerts]`.
    pub settings: AlertSettings,
}

struct Inner {
    store: AlertStore,
    log: PartyLog,
    shifts: Shifts,
    law: Arc<ListLaw>,
    key: HpkeSecretKey,
    public: HpkePublicKey,
    settings: AlertSettings,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    notifier: Notifier,
    feed: Feed,
    duty: Duty,
    handing: Handing,
    /// Own lists at other recorders that did not answer last.
    silent: AtomicU64,
    /// Called with what steps do to lists.
    marking: Mutex<Option<Arc<dyn Marking>>>,
    hits: mpsc::Sender<Sighted>,
    /// What was suppressed since it was last written down.
    suppressed: Mutex<BTreeMap<Suppression, u64>>,
    /// Hits that raised no alert for want of room.
    lost: AtomicU64,
    /// One change of states at a time: a step is decided on what it then changes.
    turn: tokio::sync::Mutex<()>,
    /// The matcher has ended: what waits is the rest.
    finished: CancellationToken,
}

/// The desk of alerts. Cheap to clone; all clones are the same desk.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

impl core::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Alerts(..)")
    }
}

impl Alerts {
    /// Starts it, as tasks of `tasks`. Blocks for key files; call it inside a tokio runtime.
    ///
    /// # Errors
    /// A key file, TLS, or a value of `[alerts]`.
    pub(crate) fn start(parts: AlertParts, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<Self, NoNotices> {
        let AlertParts { db, log, shifts, law, key, settings } = parts;
        let public = key.public_key().map_err(|_core| NoNotices::Unfit("the key of alerts cannot be used"))?;
        let notifier = Notifier::start(&settings, &clock, tasks)?;
        let (hits, queue) = mpsc::channel(HITS_MAX);
        let alerts = Self(Arc::new(Inner {
            store: AlertStore::new(db.db().clone()),
            log,
            shifts,
            law,
            key,
            public,
            settings,
            clock,
            tasks: tasks.clone(),
            notifier,
            feed: Feed::new(),
            duty: Duty::new(),
            handing: Handing::new(),
            silent: AtomicU64::new(0),
            marking: Mutex::default(),
            hits,
            suppressed: Mutex::default(),
            lost: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
            finished: CancellationToken::new(),
        }));
        tasks.spawn_essential("alerts", alerts.clone().raise_all(queue));
        tasks.spawn_essential("alerts-clock", alerts.clone().keep_time());
        tasks.spawn_essential("alerts-days", alerts.clone().keep_days());
        Ok(alerts)
    }

    /// Who is told what steps do to lists; the last call counts.
    pub fn attach(&self, marking: Arc<dyn Marking>) {
        *self.0.marking.lock().unwrap_or_else(PoisonError::into_inner) = Some(marking);
    }

    /// The matcher has ended: what it found is raised, then the desk ends.
    pub(crate) fn finish(&self) {
        self.0.finished.cancel();
    }

    fn now(&self) -> Timestamp {
        Timestamp(seconds(self.0.clock.as_ref()))
    }

    fn lose(&self, count: u64) {
        lose(&self.0.lost, count, "hits-lost: hits raised no alert");
    }

    fn take_suppressed(&self) -> BTreeMap<Suppression, u64> {
        core::mem::take(&mut *self.0.suppressed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What an alert of the own key says; none if the row is damaged, which is traced.
    fn open(&self, row: &AlertRow, sealed: &[u8]) -> Option<AlertContent> {
        let opened = open_alert(&self.0.key, &row.record, sealed);
        opened.inspect_err(|_core| tracing::error!("a sealed alert does not open: was keys/alert.key replaced?")).ok()
    }

    fn notice(&self, row: &AlertRow, why: Why, place: &str) -> Notice {
        let link = format!("{}/{}", self.0.settings.link, hex::encode(row.record.alert));
        let (class, matched) = (row.record.class, row.record.matched);
        Notice { why, alert: row.record.alert, class, matched, place: place.to_owned(), link }
    }

    /// Whether the policy lets an officer read an alert.
    fn decide(
        &self,
        key: &[u8; 32],
        officers: &VerifiedDirectory,
        row: &AlertRow,
        says: &AlertContent,
    ) -> Option<Decided> {
        let agency = officers.agency_facts(BTreeSet::new(), 0);
        let (entry, now) = (&says.text.entry, self.now());
        let acted = Acted {
            officer: officers.officer_facts(key, agency.clone())?,
            approvers: Vec::new(),
            on_behalf_of: agency,
            judicial: false,
            // A shift begins with two.
            mfa: true,
            now,
        };
        let left = entry.expires_at.0.saturating_sub(now.0).div_ceil(86_400);
        let matter = Matter {
            class: row.record.class,
            purpose: row.purpose,
            basis: entry.basis,
            case_number: !entry.case.trim().is_empty(),
            offence: entry.offence,
            expires_in_days: i64::try_from(left).unwrap_or(i64::MAX),
        };
        Some(self.0.law.read_hit(&acted, &matter))
    }
}

/// Counts, and traces the first, second, fourth .. of them: what goes on for a night fills no disk.
fn lose(lost: &AtomicU64, count: u64, what: &'static str) {
    let before = lost.fetch_add(count, Ordering::Relaxed);
    let lost = before.saturating_add(count);
    if lost.checked_ilog2() != before.checked_ilog2() {
        tracing::error!(lost, "{what}");
    }
}

impl AlertSink for Alerts {
    fn hit(&self, sighted: Sighted) {
        if self.0.hits.try_send(sighted).is_err() {
            self.lose(1);
        }
    }

    fn suppressed(&self, comparison: &Comparison) {
        if comparison.suppressed.is_empty() {
            return;
        }
        let mut counts = self.0.suppressed.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, n) in &comparison.suppressed {
            let count = counts.entry(*reason).or_default();
            *count = count.saturating_add(*n);
        }
    }
}

#[cfg(test)]
mod tests;

//! Fetching alerts on own lists that other agencies' recorders match (`[[alerts.from]]`). An alert is opened with the own key and stored as
//! any other; only then is the other recorder told, with the next call, that it need not keep it. Its id is the key, so nothing that
//! comes twice is here twice. One that comes long after its hit is recorded and nobody is notified.
//!
//! Out of scope: what officers' steps do to the list. A stale entry goes from the other recorder with the next load of the list.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::directory::CLOCK_SKEW_SECONDS_MAX;
use lockplate_core::hotlist::alert::{AlertContent, AlertRecord, open_handed};
use lockplate_core::hotlist::handover::AlertsAsked;
use lockplate_core::hotlist::limits::EXPIRED_KEPT_SECONDS;

use super::Alerts;
use super::handing::{PATH, WAIT};
use super::notify::NoNotices;
use super::settings::AlertSettings;
use super::store::NewAlert;
use super::wire::{HandedAlert, HandedAsked, HandedGiven, alert_id};
use crate::client::{AddressError, CallLimits, PeerClient, PeerError, PeerTrust};
use crate::db::DbError;
use crate::desk::Desk;
use crate::hotlist::law::purpose_of;
use crate::problem::Problem;
use crate::settings::read_public_file;

/// Pause before a recorder that did not answer is asked again.
const PAUSE: Duration = Duration::from_secs(2);
/// An answer without alerts that came sooner did not wait: no call follows at once.
const SOON: Duration = Duration::from_secs(1);
/// Until the last byte of an answer: the door waits, then a page of alerts comes.
const CALL_MAX: Duration = WAIT.saturating_add(Duration::from_secs(20));
/// So long after the minute of the hit an alert is late, s: a read is late two minutes after the car has passed.
const LATE_SECONDS: u64 = 60 + 120;

/// A recorder and a list of this agency there.
#[derive(Clone)]
struct Source {
    client: PeerClient,
    charter: [u8; 32],
    list: [u8; 16],
}

/// Why nothing was taken.
enum NotTaken {
    Desk(Problem),
    Peer(PeerError),
    Db(DbError),
    TooMany,
}

impl core::fmt::Display for NotTaken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Desk(problem) => f.write_str(problem.kind().detail()),
            Self::Peer(error) => error.fmt(f),
            Self::Db(error) => error.fmt(f),
            Self::TooMany => f.write_str("more alerts of other recorders came in a day than are taken"),
        }
    }
}

impl Alerts {
    /// Begins to fetch, as tasks of its own. Blocks for charters; call it inside a tokio runtime.
    ///
    /// # Errors
    /// A charter cannot be read, is another one than the one whose hash stands beside it, or has no usable address.
    pub(crate) fn take_from(&self, settings: &AlertSettings, desk: &Desk) -> Result<(), NoNotices> {
        for from in &settings.from {
            let charter = CharterFile::verify(&read_public_file(&from.charter)?)
                .map_err(|_core| NoNotices::Unfit("a charter of `alerts.from` cannot be read"))?;
            if charter.hash() != from.hash {
                return Err(NoNotices::Unfit("a charter of `alerts.from` is not the one whose hash stands beside it"));
            }
            let archive = &charter.charter().archive;
            let limits = CallLimits { total: CALL_MAX, ..CallLimits::default() };
            let client = PeerClient::new(&archive.url, PeerTrust::Pinned(archive.tls_pin), limits);
            let client = client.map_err(|_address: AddressError| {
                NoNotices::Unfit("a charter of `alerts.from` names no address that can be called")
            })?;
            for list in &from.lists {
                let source = Source { client: client.clone(), charter: from.hash, list: *list };
                self.0.tasks.spawn_essential("alerts-from", self.clone().take_all(source, desk.clone()));
            }
        }
        Ok(())
    }

    async fn take_all(self, source: Source, desk: Desk) {
        let stopping = self.0.tasks.stopping().clone();
        let (mut after, mut last_ms, mut is_silent) = ([0; 16], 0_u64, false);
        loop {
            let begun = self.0.clock.monotonic();
            last_ms = u64::try_from(self.0.clock.now_ms()).unwrap_or(0).max(last_ms.saturating_add(1));
            let asked = AlertsAsked { charter: source.charter, list: source.list, after, time_ms: last_ms };
            let taken = tokio::select! {
                () = stopping.cancelled() => return,
                taken = self.take_some(&source, asked, &desk) => taken,
            };
            let was_silent = core::mem::replace(&mut is_silent, taken.is_err());
            let pause = match taken {
                Ok(Some(last)) => {
                    after = last;
                    Duration::ZERO
                }
                Ok(None) => SOON.saturating_sub(self.0.clock.monotonic().saturating_sub(begun)),
                Err(error) => {
                    if !was_silent {
                        tracing::warn!(list = hex::encode(source.list), %error, "alerts-from-silent: no alerts from another recorder");
                    }
                    PAUSE
                }
            };
            match (was_silent, is_silent) {
                (false, true) => drop(self.0.silent.fetch_add(1, Ordering::Relaxed)),
                (true, false) => drop(self.0.silent.fetch_sub(1, Ordering::Relaxed)),
                (true, true) | (false, false) => {}
            }
            tokio::select! { () = stopping.cancelled() => return, () = tokio::time::sleep(pause) => {} }
        }
    }

    /// One call, and everything that it brings. The id of the last alert that is stored here now; none if there was nothing.
    async fn take_some(&self, source: &Source, asked: AlertsAsked, desk: &Desk) -> Result<Option<[u8; 16]>, NotTaken> {
        let (call, directory) = desk.ask_for_alerts(asked).await.map_err(NotTaken::Desk)?;
        let body = HandedAsked { call, directory };
        let given: HandedGiven = source.client.post_json(PATH, &body, None).await.map_err(NotTaken::Peer)?;
        let Some(last) = given.alerts.last() else { return Ok(None) };
        let last = alert_id(&last.id).ok_or(NotTaken::Peer(PeerError::Malformed))?;
        let (mut alerts, mut places) = (Vec::new(), Vec::new());
        for handed in given.alerts {
            match self.new_of(source.list, &handed) {
                Some((new, place)) => {
                    alerts.push(new);
                    places.push(place);
                }
                // It would stand before all that come after it for ever.
                None => tracing::error!("an alert of another recorder does not open, or is none: it is passed over"),
            }
        }
        let stored = self.0.store.take(alerts.clone(), self.now()).await.map_err(NotTaken::Db)?;
        let stored = stored.ok_or(NotTaken::TooMany)?;
        for ((new, stored), place) in alerts.into_iter().zip(stored).zip(places) {
            if let Some(stored) = stored {
                self.tell(new, stored, &place);
            }
        }
        Ok(Some(last))
    }

    /// None of an alert that is not sealed to the own key or not what one is.
    fn new_of(&self, list: [u8; 16], handed: &HandedAlert) -> Option<(NewAlert, String)> {
        let (content, record) = open_handed(&self.0.key, &list, &alert_id(&handed.id)?, &handed.sealed.0).ok()?;
        let now = self.now();
        let (record, purpose) = (taken_record(record, now)?, purpose_of(content.text.entry.class)?);
        let AlertContent { text, .. } = content;
        let sealed = handed.sealed.0.clone();
        Some((NewAlert { record, purpose, own: true, here: None, count: handed.count, sealed }, text.read.place))
    }
}

/// The record as it is stored here: not live if it comes late. None of one from the future, or that would be erased by now.
fn taken_record(record: AlertRecord, now: Timestamp) -> Option<AlertRecord> {
    let age = now.0.saturating_sub(record.raised_at.0);
    let is_over = now.0 >= record.look_by().0.saturating_add(EXPIRED_KEPT_SECONDS);
    if is_over || record.raised_at.0 > now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
        return None;
    }
    Some(AlertRecord { live: record.live && age <= LATE_SECONDS, ..record })
}

//! From a hit to an alert that somebody is told of: rule 10, the content, the seal, one transaction for all hits that wait, then the
//! events and notices. What cannot be stored is not told either: nobody could open it.

use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::facts::OfficerFacts;
use lockplate_core::hotlist::alert::{AlertLaw, Raising, raise, seal_alert};
use lockplate_core::hotlist::limits::REPEAT_SECONDS;
use lockplate_core::hotlist::matching::{Repeat, Repeats};
use lockplate_core::hotlist::tally::Ages;
use rand_core::Rng as _;
use tokio::sync::mpsc;

use super::notify::Why;
use super::store::{AlertRow, NewAlert, Sightings, Stored};
use super::{Alerts, Sighted};
use crate::db::DbErrorKind;
use crate::hotlist::law::{Acted, Matter};
use crate::rng::SystemRng;

/// Hits of one transaction.
const BATCH: usize = 64;
/// Counts of what was suppressed are written down so often.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the end waits for the matcher.
const FINISH_MAX: Duration = Duration::from_secs(20);

impl Alerts {
    /// Raises what the matcher finds until it has ended and nothing waits any more.
    pub(super) async fn raise_all(self, mut queue: mpsc::Receiver<Sighted>) {
        let mut repeats = self.known_repeats().await;
        let (stopping, finished) = (self.0.tasks.stopping().clone(), self.0.finished.clone());
        let ended = async {
            stopping.cancelled().await;
            tokio::time::timeout(FINISH_MAX, finished.cancelled()).await
        };
        let mut ended = core::pin::pin!(ended);
        let mut batch = Vec::with_capacity(BATCH);
        let mut closed = false;
        loop {
            tokio::select! {
                _ = &mut ended, if !closed => {
                    closed = true;
                    queue.close();
                }
                taken = queue.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        self.sight(Vec::new(), &mut repeats).await;
                        return;
                    }
                }
                () = tokio::time::sleep(PAUSE) => {}
            }
            self.sight(core::mem::take(&mut batch), &mut repeats).await;
        }
    }

    async fn sight(&self, batch: Vec<Sighted>, repeats: &mut Repeats) {
        let now = self.now();
        let mut sightings = Sightings { suppressed: self.take_suppressed(), ..Sightings::default() };
        let mut places = Vec::new();
        for sighted in &batch {
            let mut alert = [0; 16];
            SystemRng.fill_bytes(&mut alert);
            match repeats.take(&sighted.hit, sighted.read.camera, alert, now) {
                Repeat::Again { alert } => sightings.again.push(alert),
                Repeat::First => match self.made(sighted, alert, now) {
                    Some(new) => {
                        sightings.alerts.push(new);
                        places.push(&sighted.place);
                    }
                    None => {
                        repeats.withdraw(&alert);
                        self.lose(1);
                    }
                },
            }
        }
        if sightings.alerts.is_empty() && sightings.again.is_empty() && sightings.suppressed.is_empty() {
            return;
        }
        let Some(all) = self.stored(&sightings, now).await else {
            sightings.alerts.iter().for_each(|new| repeats.withdraw(&new.record.alert));
            return;
        };
        if sightings.alerts.iter().any(|new| !new.own) {
            self.0.handing.wake();
        }
        for ((new, stored), place) in sightings.alerts.into_iter().zip(all).zip(places) {
            // Another agency's list is that agency's to look at.
            if new.own {
                self.tell(new, stored, place);
            }
        }
    }

    /// Tells everybody of an alert that is stored. A late one is only recorded.
    pub(super) fn tell(&self, new: NewAlert, Stored { number, change }: Stored, place: &str) {
        let NewAlert { record, purpose, own, here, count, .. } = new;
        let row = AlertRow { number, change, late: false, record, purpose, own, taken: here.is_none(), count };
        if row.record.live {
            self.0.feed.news(&row, place);
            self.0.notifier.notify(self.notice(&row, Why::Raised, place));
        }
    }

    /// Rule 10 goes on over a restart with what the own alerts of the last minutes say. Those that are sealed to other agencies say nothing
    /// here: such an entry may be one alert more after a restart.
    async fn known_repeats(&self) -> Repeats {
        let mut repeats = Repeats::default();
        let since = Timestamp(self.now().0.saturating_sub(REPEAT_SECONDS).saturating_sub(60));
        let rows = match self.0.store.raised_since(since).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "the alerts of the last minutes cannot be read: some may be raised once more");
                return repeats;
            }
        };
        for row in rows {
            let Ok(Some((row, sealed))) = self.0.store.own(row.record.alert).await else { continue };
            if let Some(content) = self.open(&row, &sealed) {
                repeats.restore(&content.text, &row.record);
            }
        }
        repeats
    }

    /// Stores all of it. While the disk is full or held it waits, and so do the hits behind, up to the queue's bound; none if the
    /// database does not take it, which is counted.
    async fn stored(&self, sightings: &Sightings, now: Timestamp) -> Option<Vec<Stored>> {
        loop {
            match self.0.store.sighted(sightings.clone(), now).await {
                Ok(stored) => return Some(stored),
                Err(error) if waits(error.kind()) && !self.0.finished.is_cancelled() => {
                    tracing::warn!(%error, "alerts wait for the database");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(%error, "alerts were not stored");
                    self.lose(u64::try_from(sightings.alerts.len()).unwrap_or(u64::MAX));
                    return None;
                }
            }
        }
    }

    /// None if it cannot be sealed.
    fn made(&self, sighted: &Sighted, alert: [u8; 16], now: Timestamp) -> Option<NewAlert> {
        let mut salt = [0; 32];
        SystemRng.fill_bytes(&mut salt);
        let law = self.law_of(sighted, now);
        let raising = Raising {
            alert,
            salt,
            stamp: &sighted.stamp,
            place: &sighted.place,
            creator: sighted.creator,
            law: &law,
            now,
        };
        let (content, record) = raise(&sighted.hit, &sighted.read, &sighted.crop, &raising);
        let to = sighted.sealed_to.as_ref().unwrap_or(&self.0.public);
        let sealed = seal_alert(to, &content, &mut SystemRng).ok()?;
        let (purpose, own) = (sighted.purpose, sighted.sealed_to.is_none());
        let here = Some((sighted.read.camera, Ages::of(&content.text)));
        Some(NewAlert { record, purpose, own, here, count: 1, sealed })
    }

    /// The words about the law of the place. They are those for any officer of the own agency who is in service: nobody has been named
    /// yet, and whoever opens the alert is decided on by name.
    fn law_of(&self, sighted: &Sighted, now: Timestamp) -> AlertLaw {
        let owner = self.0.law.owner().clone();
        let trained_until = Timestamp(now.0.saturating_add(1));
        let officer = OfficerFacts { key_id: [0; 32], agency: owner.clone(), trained_until, active: true };
        let acted = Acted { officer, approvers: Vec::new(), on_behalf_of: owner, judicial: false, mfa: true, now };
        let entry = &sighted.hit.entry;
        let matter = Matter {
            class: entry.class,
            purpose: sighted.purpose,
            basis: entry.basis,
            case_number: !entry.case.trim().is_empty(),
            offence: entry.offence,
            expires_in_days: 1,
        };
        self.0.law.alert_law(&self.0.law.read_hit(&acted, &matter))
    }
}

const fn waits(kind: DbErrorKind) -> bool {
    match kind {
        DbErrorKind::Full | DbErrorKind::Busy => true,
        DbErrorKind::Fatal
        | DbErrorKind::Constraint
        | DbErrorKind::NoRow
        | DbErrorKind::Foreign
        | DbErrorKind::Internal => false,
    }
}

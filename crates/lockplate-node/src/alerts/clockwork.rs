//! What time alone does to alerts: nobody looked and it is said again, then it is expired; overdue ones are counted; what is over is
//! erased; and a day that is over goes into the log.

use std::time::Duration;

use lockplate_core::entry::LogEntry;

use super::Alerts;
use super::notify::Why;

/// Pause between two looks at the clock.
const PAUSE: Duration = Duration::from_secs(1);

impl Alerts {
    /// Looks at the clock until the role stops.
    pub(super) async fn keep_time(self) {
        let stopping = self.0.tasks.stopping().clone();
        loop {
            self.tick().await;
            self.0.duty.look(&self.0.shifts).await;
            tokio::select! { () = stopping.cancelled() => return, () = tokio::time::sleep(PAUSE) => {} }
        }
    }

    /// Writes days down until the role stops. A task of its own: a log that waits for its witnesses must keep no alert from expiring and
    /// no officer out of service watching.
    pub(super) async fn keep_days(self) {
        let stopping = self.0.tasks.stopping().clone();
        loop {
            self.log_days().await;
            tokio::select! { () = stopping.cancelled() => return, () = tokio::time::sleep(PAUSE) => {} }
        }
    }

    async fn tick(&self) {
        let ticked = {
            let _turn = self.0.turn.lock().await;
            self.0.store.tick(self.now(), self.0.settings.escalate_seconds).await
        };
        let ticked = match ticked {
            Ok(ticked) => ticked,
            Err(error) => return tracing::warn!(%error, "alerts are not looked after"),
        };
        if ticked.expired > 0 {
            tracing::warn!(count = ticked.expired, "alerts-expired: nobody looked in time");
        }
        if ticked.unfetched > 0 {
            tracing::warn!(
                count = ticked.unfetched,
                "alerts-not-fetched: the agency whose list it is did not come in time"
            );
        }
        if !ticked.overdue.is_empty() {
            tracing::warn!(count = ticked.overdue.len(), "alerts-overdue: nobody said in time how they ended");
        }
        let unseen = ticked.escalate.into_iter().map(|row| (row, Why::Escalated));
        for (row, why) in unseen.chain(ticked.overdue.into_iter().map(|row| (row, Why::Overdue))) {
            let sealed = self.0.store.own(row.record.alert).await;
            let Ok(Some((_, sealed))) = sealed else { continue };
            let Some(content) = self.open(&row, &sealed) else { continue };
            self.0.feed.news(&row, &content.text.read.place);
            self.0.notifier.notify(self.notice(&row, why, &content.text.read.place));
        }
    }

    /// One leaf for each day that is over. One that is not confirmed yet is found when it is tried again.
    async fn log_days(&self) {
        let days = match self.0.store.unlogged(self.now()).await {
            Ok(days) => days,
            Err(error) => return tracing::warn!(%error, "the counts of alerts cannot be read"),
        };
        for leaf in days {
            let day = leaf.day;
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "asks for one variant; every other one counts no alerts"
            )]
            let same = move |entry: &LogEntry| match entry {
                LogEntry::Alerts(known) => (known.day == day).then_some(true),
                _ => None,
            };
            if let Err(error) = self.0.log.append_once(LogEntry::Alerts(leaf), same).await {
                return tracing::warn!(%error, "a day of alerts is not in the log yet");
            }
            if let Err(error) = self.0.store.logged(day).await {
                return tracing::warn!(%error, "a day of alerts is in the log, and the database does not know");
            }
        }
    }
}

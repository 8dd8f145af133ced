//! Keeps the served register up to date: follows every log of the charter, the agency's own included and by the same door as
//! strangers, and makes the site anew when something has changed. What cannot be followed is said on the pages, with the time
//! it was last confirmed; what was proved before stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockplate_audit::monitor::Alarm;
use lockplate_audit::time::ZoneOffset;
use lockplate_core::Timestamp;
use lockplate_core::charter::{Charter, CharterFile, LogName};

use super::serve::Shown;
use super::site::{Inputs, Record, RuleWords, Site, Trouble};
use crate::clock::Clock;
use crate::follow::{FollowError, Freshness, Reader};
use crate::shutdown::Tasks;
use crate::verify::{Look, Watch};

/// What a register is kept from.
pub struct Keeping {
    /// All logs of the charter.
    pub watch: Watch,
    /// The words of rules.
    pub rules: Arc<dyn RuleWords>,
    /// The clock by which night and day are told apart.
    pub zone: ZoneOffset,
    /// From the end of one look to the next.
    pub every: Duration,
}

impl core::fmt::Debug for Keeping {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Keeping").field("every", &self.every).finish_non_exhaustive()
    }
}

/// What a site shows beside the leaves: where it is equal, and no leaf was added, the site need not be made again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Around {
    records: BTreeMap<LogName, Record>,
    alarms: Vec<Alarm>,
    /// Size of each log, and when it was last confirmed.
    heads: Vec<Option<(u64, Option<u64>)>>,
    /// The current month and what is in force change with it.
    day: u64,
}

impl Keeping {
    /// Keeps the logs of `charter` in `folder`.
    ///
    /// # Errors
    /// [`FollowError::Folder`].
    pub fn new(
        charter: CharterFile,
        folder: &Path,
        rules: Arc<dyn RuleWords>,
        known: impl IntoIterator<Item = String>,
    ) -> Result<Self, FollowError> {
        let watch = Watch::new(charter, folder, Reader::Monitor)?;
        watch.tell_bundle(rules.digest(), known.into_iter().collect());
        Ok(Self { watch, rules, zone: ZoneOffset::UTC, every: Duration::from_secs(60) })
    }

    /// Looks once and makes the site, whether something changed or not.
    pub async fn site(&mut self, now: u64) -> (Site, Look) {
        let look = self.watch.look(now).await;
        (self.of(&look, &around(self.watch.charter().charter(), &look, None)), look)
    }

    /// Looks again and again, until `tasks` stop. What was saved by an earlier run is shown at once.
    pub fn start(mut self, shown: Shown, clock: Arc<dyn Clock>, tasks: &Tasks) {
        let stopping = tasks.stopping().clone();
        let keeping = async move {
            let now = || u64::try_from(clock.now_ms().div_euclid(1_000)).unwrap_or(0);
            let saved = self.watch.look_at_saved(now()).await;
            // A first start has nothing saved; an empty register would say that nobody ever asked.
            let mut last = around(self.watch.charter().charter(), &saved, None);
            if saved.logs.iter().any(|log| log.seen.is_ok()) {
                shown.show(Arc::new(self.of(&saved, &last)));
            }
            loop {
                let look = self.watch.look(now()).await;
                let around = around(self.watch.charter().charter(), &look, Some(&last));
                if last != around {
                    shown.show(Arc::new(self.of(&look, &around)));
                    last = around;
                }
                tokio::time::sleep(self.every).await;
            }
        };
        // A look that is cut off is taken up again by the next start; the end of the agency must not wait for a slow peer.
        tasks.spawn("register", async move {
            tokio::select! { () = stopping.cancelled() => {}, () = keeping => {} }
        });
    }

    fn of(&self, look: &Look, around: &Around) -> Site {
        self.watch.with_logs(|logs| {
            Site::new(Inputs {
                logs,
                records: &around.records,
                alarms: &look.alarms,
                rules: &*self.rules,
                zone: self.zone,
                now: Timestamp(look.at),
            })
        })
    }
}

/// `last` is what was shown before: who confirmed what of a log that cannot be reached is still what was proved then.
fn around(charter: &Charter, look: &Look, last: Option<&Around>) -> Around {
    let before = |log: &LogName| {
        last.and_then(|last| last.records.get(log)).map_or_else(Vec::new, |record| record.confirmed_by.clone())
    };
    let records = charter.logs().map(|log| {
        let seen = look.logs.iter().find(|seen| seen.name == log.name).map(|seen| &seen.seen);
        let (confirmed_by, trouble) = match seen {
            Some(Ok(seen)) => {
                let names = seen.confirmed_by.iter().map(|one| one.name.clone()).collect();
                (names, stale(seen.freshness).then_some(Trouble::Stale))
            }
            Some(Err(error)) => (before(&log.name), Some(trouble_of(error))),
            None => (before(&log.name), Some(Trouble::Unavailable)),
        };
        (log.name, Record { address: log.url(), confirmed_by, trouble })
    });
    let heads = look.logs.iter().map(|log| log.seen.as_ref().ok().map(|seen| (seen.size, seen.confirmed_at)));
    Around { records: records.collect(), alarms: look.alarms.clone(), heads: heads.collect(), day: look.at / 86_400 }
}

const fn stale(freshness: Freshness) -> bool {
    match freshness {
        Freshness::Unwitnessed | Freshness::Fresh => false,
        Freshness::Old | Freshness::Stale => true,
    }
}

const fn trouble_of(error: &FollowError) -> Trouble {
    match error {
        FollowError::Lied { .. } => Trouble::Lied,
        FollowError::Unconfirmed | FollowError::Stale(_) | FollowError::Withheld { .. } => Trouble::Stale,
        FollowError::Address(_)
        | FollowError::Unavailable(_)
        | FollowError::Unpublished
        | FollowError::Incomplete(_)
        | FollowError::Clock
        | FollowError::TooMuch
        | FollowError::UnknownLog
        | FollowError::Leftovers
        | FollowError::Damaged(_)
        | FollowError::Folder(_)
        | FollowError::Internal => Trouble::Unavailable,
    }
}

//! How lists are: for the health page, and for whoever watches the traces. An invented read of each list goes the way of every read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::hotlist::matching::{canary, is_overdue, is_too_old};
use lockplate_core::id::AgencyId;
use serde::{Deserialize, Serialize};

use super::{HotLists, List, locked};
use crate::api::B64;

/// How often lists are looked after.
const TICK: Duration = Duration::from_secs(10);
/// How often the canary of a list flies (section 4).
const CANARY_SECONDS: u64 = 3_600;
/// How long it may take.
const CANARY_MAX: Duration = Duration::from_secs(60);

/// A load that took away far more than a day does. It is in force: what was taken off must not alert.
pub(super) const SHRUNK: &str =
    "list-shrunk: the load in force is much smaller than the one before: see with its source that nothing is missing";
/// Of files that nobody brings.
pub(super) const NOT_TAKEN: &str =
    "list-not-taken: the last file that was fetched is not in force: see why, and bring one";

/// `GET /v1/hotlists`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListsHealth {
    /// The lists, by name.
    pub lists: Vec<ListHealth>,
    /// Reads since the start that were compared with no list, because too many waited.
    pub not_compared: u64,
}

/// A list on the health page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListHealth {
    /// Its name.
    pub list: String,
    /// Its id in the log, hexadecimal.
    pub id: String,
    /// What its steward signed.
    pub config: B64,
    /// `extract`, `custom` or `amber`.
    pub kind: String,
    /// `live`, `absent`, `overdue`, `too old`, `silent` or `retired`.
    pub state: String,
    /// Number of the load in force.
    pub sequence: u64,
    /// Unix seconds at which its source made it.
    pub produced_at: u64,
    /// Entries.
    pub entries: u64,
    /// Entries by class.
    pub classes: BTreeMap<String, u64>,
    /// Why the last file was not taken.
    pub refused: Option<String>,
    /// What somebody must be told, in words.
    #[serde(default)]
    pub alarm: Option<String>,
    /// A change of it is logged, and takes effect once the log's witnesses have confirmed it.
    pub waits: bool,
}

/// How a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    Absent { was_loaded: bool },
    Overdue,
    TooOld,
    Silent,
    Retired,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Absent { .. } => "absent",
            Self::Overdue => "overdue",
            Self::TooOld => "too old",
            Self::Silent => "silent",
            Self::Retired => "retired",
        }
    }

    /// What somebody must be told. A list that was never loaded waits for its steward, who knows it.
    const fn alarm(self) -> Option<&'static str> {
        match self {
            Self::Absent { was_loaded: true } => {
                Some("list-absent: nothing of it is matched until its file is loaded again")
            }
            Self::Overdue => Some("list-overdue: its source has not renewed it, and soon nothing of it is matched"),
            Self::TooOld => Some("list-too-old: nothing of it is matched until a newer file is loaded"),
            Self::Silent => Some("list-silent: an invented read of an entry was no hit"),
            Self::Live | Self::Absent { was_loaded: false } | Self::Retired => None,
        }
    }
}

impl HotLists {
    /// Sends an invented read of an entry of the list the way of every read.
    pub(super) async fn fly_canary(&self, list: &Arc<List>) {
        let (id, now) = (list.config.settings.list, self.now());
        let read = {
            let in_force = self.0.matcher.list(&id);
            in_force.and_then(|in_force| canary(&in_force.set, &locked(&in_force.marks), now))
        };
        // A list without an entry in force has nothing to show.
        let Some(read) = read else { return };
        let hit = tokio::time::timeout(CANARY_MAX, self.0.matcher.canary(id, read)).await.unwrap_or(false);
        {
            let mut note = locked(&list.note);
            note.canary = Some(hit);
            note.canary_at = now.0;
        }
        self.tell(list);
    }

    /// Says an alarm when it begins, and once.
    fn tell(&self, list: &List) {
        let alarm = self.alarm_of(list, self.now());
        let told = core::mem::replace(&mut locked(&list.note).told, alarm);
        match alarm {
            Some(alarm) if told != Some(alarm) => tracing::error!(list = list.config.name, "{alarm}"),
            None if told.is_some() => tracing::info!(list = list.config.name, "the list has no alarm any more"),
            Some(_) | None => {}
        }
    }

    pub(super) async fn keep_time(self) {
        let mut told = 0;
        loop {
            tokio::select! {
                () = self.0.tasks.stopping().cancelled() => return,
                () = tokio::time::sleep(TICK) => {}
            }
            self.settle_all().await;
            let not_compared = self.0.matcher.not_compared();
            if not_compared > core::mem::replace(&mut told, not_compared) {
                tracing::error!(reads = not_compared, "reads-not-compared: too many waited; they are sealed like any");
            }
            for list in self.all() {
                let due = self.now().0.saturating_sub(locked(&list.note).canary_at) >= CANARY_SECONDS;
                if due && !list.config.retired {
                    self.fly_canary(&list).await;
                }
                self.tell(&list);
            }
        }
    }

    /// How the lists are.
    #[must_use]
    pub fn health(&self) -> ListsHealth {
        ListsHealth { lists: self.health_of_all(|_any| true), not_compared: self.0.matcher.not_compared() }
    }

    /// How the lists of one agency are.
    pub(super) fn health_of_agency(&self, agency: AgencyId) -> Vec<ListHealth> {
        self.health_of_all(|list| list.config.agency == agency)
    }

    fn health_of_all(&self, is_asked: impl Fn(&List) -> bool) -> Vec<ListHealth> {
        let (now, all) = (self.now(), self.all());
        let asked = all.iter().filter(|list| is_asked(list));
        let mut health: Vec<ListHealth> = asked.map(|list| self.health_of(list, now)).collect();
        health.sort_by(|one, other| one.list.cmp(&other.list));
        health
    }

    /// True while no list has an alarm. Reads are taken and sealed all the same.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let now = self.now();
        self.all().iter().all(|list| self.alarm_of(list, now).is_none())
    }

    /// How the list is comes before how its last load was.
    fn alarm_of(&self, list: &List, now: Timestamp) -> Option<&'static str> {
        let of_load = || locked(&list.note).alarm.filter(|_| !list.config.retired);
        self.state_of(list, now).alarm().or_else(of_load)
    }

    fn state_of(&self, list: &List, now: Timestamp) -> State {
        let kind = list.config.settings.kind;
        let stamp = self.0.matcher.list(&list.config.settings.list).map(|in_force| *in_force.set.stamp());
        let note = locked(&list.note);
        match &stamp {
            _ if list.config.retired => State::Retired,
            None => State::Absent { was_loaded: note.was_loaded },
            Some(stamp) if is_too_old(kind, stamp, now) => State::TooOld,
            Some(_) if note.canary == Some(false) => State::Silent,
            Some(stamp) if is_overdue(kind, stamp, now) => State::Overdue,
            Some(_) => State::Live,
        }
    }

    fn health_of(&self, list: &List, now: Timestamp) -> ListHealth {
        let settings = &list.config.settings;
        let in_force = self.0.matcher.list(&settings.list);
        let note = locked(&list.note).clone();
        let stamp = in_force.as_ref().map(|in_force| *in_force.set.stamp());
        let classes = in_force.as_ref().map(|in_force| in_force.set.classes().clone()).unwrap_or_default();
        ListHealth {
            list: list.config.name.clone(),
            id: hex::encode(settings.list),
            config: B64(list.row.config.clone()),
            kind: settings.kind.name().to_owned(),
            state: self.state_of(list, now).name().to_owned(),
            sequence: stamp.map_or(0, |stamp| stamp.sequence),
            produced_at: stamp.map_or(0, |stamp| stamp.produced_at.0),
            entries: in_force.map_or(0, |in_force| in_force.set.entries()),
            classes: classes.into_iter().map(|(class, n)| (class.name().to_owned(), n)).collect(),
            refused: note.refused.map(str::to_owned),
            alarm: self.alarm_of(list, now).map(str::to_owned),
            waits: note.waits,
        }
    }
}

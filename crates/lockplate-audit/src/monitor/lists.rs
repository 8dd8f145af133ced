//! M11: the numbers of hot lists. A leaf says of each class how many entries are in the list after the load, how many of them are new and
//! how many went; with the load before, each number follows from the others. No list has more entries than the charter lets. Serials of what
//! was signed about a list rise.

use std::collections::BTreeMap;

use lockplate_core::entry::{HotlistLeaf, ListClass, ListKind};

use super::{Alarm, MonitorRule};
use crate::logs::{LeafRef, LogName, Logs, Said};

pub(super) fn check(logs: &Logs, alarms: &mut Vec<Alarm>) {
    let most = logs.charter().charter().extract_entries_max;
    for (_, changes) in logs.recorder().lists() {
        let mut list = List::default();
        for said in changes {
            let (adds_up, before) = (list.adds_up(said), list.last);
            list.take(said);
            let grew = said.entry.classes.iter().any(|one| one.added > 0);
            if !adds_up || (grew && list.total() > most) {
                let indices = before.into_iter().chain([said.index]);
                let leaves = indices.map(|index| LeafRef { log: LogName::Recorder, index }).collect();
                let alarm = Alarm::new(MonitorRule::HotlistCounts, vec![LogName::Recorder], leaves);
                alarms.push(alarm.since(said.time));
            }
        }
    }
}

/// A list as its leaves so far make it.
#[derive(Default)]
struct List {
    /// Index of the leaf before.
    last: Option<u64>,
    /// Its sequence; none before the first complete set and after the end.
    sequence: Option<u64>,
    entries: BTreeMap<&'static str, u64>,
    /// Serial of what was signed last.
    serial: Option<u64>,
}

impl List {
    fn adds_up(&self, said: &Said<HotlistLeaf>) -> bool {
        let leaf = &said.entry;
        let in_order = match leaf.kind {
            ListKind::Full => self.sequence.is_none_or(|last| leaf.sequence > last),
            // A gap means that a change is missing here.
            ListKind::Incremental => self.sequence.is_some_and(|last| Some(leaf.sequence) == last.checked_add(1)),
            ListKind::Retire => self.sequence.is_some() || self.serial.is_some(),
            ListKind::Config => self.serial.is_none_or(|last| leaf.sequence > last),
        };
        let named = |class: &&'static str| leaf.classes.iter().any(|one| one.class.name() == *class);
        // A complete set names every class that had entries; otherwise they went uncounted.
        let whole = match leaf.kind {
            ListKind::Full => self.entries.iter().filter(|(_, n)| **n > 0).all(|(class, _)| named(class)),
            ListKind::Incremental | ListKind::Retire | ListKind::Config => true,
        };
        let balanced = leaf.classes.iter().all(|one| {
            let before = self.entries.get(one.class.name()).copied().unwrap_or(0);
            let after = before.checked_add(one.added).and_then(|sum| sum.checked_sub(one.removed));
            let taken_out = leaf.kind != ListKind::Retire || one.accepted == 0;
            // The policy lets a class of a load in or not; no policy lets in those that are never loaded. What others signed for in a custom
            // list stays in it, whoever brings what changes.
            let stays = one.class == ListClass::Custom && leaf.kind == ListKind::Incremental;
            let one_way = one.dropped == 0 || (one.added == 0 && (one.accepted == 0 || stays));
            let lawful = one.accepted == 0 || one.class.may_be_loaded();
            after == Some(one.accepted) && one.added <= one.accepted && taken_out && one_way && lawful
        });
        in_order && whole && balanced && leaf.produced_at <= said.time
    }

    fn total(&self) -> u64 {
        self.entries.values().fold(0, |sum, entries| sum.saturating_add(*entries))
    }

    /// What the leaf says holds from then on, right or wrong: one wrong leaf is one alarm.
    fn take(&mut self, said: &Said<HotlistLeaf>) {
        let leaf = &said.entry;
        self.last = Some(said.index);
        if leaf.kind == ListKind::Config {
            self.serial = Some(leaf.sequence);
            return;
        }
        if leaf.kind != ListKind::Incremental {
            self.entries.clear();
        }
        self.sequence = (leaf.kind != ListKind::Retire).then_some(leaf.sequence);
        if leaf.kind != ListKind::Retire {
            self.entries.extend(leaf.classes.iter().map(|one| (one.class.name(), one.accepted)));
        }
    }
}

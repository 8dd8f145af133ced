//! One change of a list: written down, logged, confirmed by the log's witnesses, and only then in force. While the witnesses are away the
//! change waits, over a restart as well, and another of the same list waits behind it: no sequence is said twice. The log is the truth:
//! what is written down and not in it never was, what is in it takes effect once it is confirmed, whoever went away meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockplate_core::entry::{HotlistLeaf, ListCounts, ListKind, LogEntry};
use lockplate_core::hotlist::load::retired;
use lockplate_core::hotlist::steward::{ListConfig, config_digest, steward_digests};
use lockplate_core::person::ByPerson;
use lockplate_core::wire::th;

use super::load::Waiting;
use super::store::{self, ListRow, LoadRow};
use super::{HotLists, List, down, locked};
use crate::party_log::NotLogged;
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;

/// A change that is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Leaves that the log had when it was written down: its own is not among them.
    pub(super) from: u64,
    pub(super) leaf: HotlistLeaf,
    pub(super) effect: Effect,
}

/// What a change does once it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A load: its numbers, and sealed what lives with the recorder. `is_full`: what was kept of earlier loads goes.
    Load { row: LoadRow, kept: Option<Vec<u8>>, is_full: bool },
    /// The list as somebody signed it: new, otherwise than before, or ended.
    Signed(ListRow),
}

/// What became of the change of a list that was under way.
#[derive(Debug)]
pub(super) enum Settled {
    /// There is none, any more or at all.
    Nothing,
    /// It is in the log, and its witnesses have not confirmed it.
    Waits(Box<Change>),
}

/// How long the quorum of a change is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Somebody waits for the answer, who will ask again.
    Some,
    /// It is looked at from time to time.
    None,
}

impl HotLists {
    /// Logs a change, and puts it in force once it is confirmed. The caller holds the turn of the list, and has settled what was before.
    ///
    /// # Errors
    /// [`ProblemKind::LogUnwitnessed`]: it is in the log and takes effect by itself. Otherwise nothing was said.
    pub(super) async fn change(&self, leaf: HotlistLeaf, effect: Effect) -> Result<(), Problem> {
        let from = self.0.log.size().await.map_err(unlogged)?;
        let change = Change { from, leaf, effect };
        store::put_change(self.db(), change.clone()).await.map_err(down)?;
        match self.0.log.append(vec![LogEntry::Hotlist(change.leaf.clone())]).await {
            Ok(_) => self.take_effect(change).await,
            Err(NotLogged::Unwitnessed) => {
                self.wait_of(&change.leaf.list, true);
                Err(ProblemKind::LogUnwitnessed.into())
            }
            Err(NotLogged::ClockBack) => {
                store::forget_change(self.db(), change.leaf.list).await.map_err(down)?;
                Err(unlogged(NotLogged::ClockBack))
            }
            // Nobody knows: the next look at the log says.
            Err(NotLogged::Unwritten) => Err(unlogged(NotLogged::Unwritten)),
        }
    }

    /// Ends what is under way of a list, as the log has it. The caller holds the turn of the list.
    ///
    /// # Errors
    /// The database or the log cannot be read.
    pub(super) async fn settle(&self, list: &[u8; 16], patience: Patience) -> Result<Settled, Problem> {
        let Some(change) = store::change_of(self.db(), *list).await.map_err(down)? else { return Ok(Settled::Nothing) };
        let leaf = change.leaf.clone();
        let found = move |entry: &LogEntry| matches!(entry, LogEntry::Hotlist(known) if *known == leaf);
        let Some(index) = self.0.log.find(change.from, found).await.map_err(unlogged)? else {
            store::forget_change(self.db(), *list).await.map_err(down)?;
            if let Some(list) = self.list(list) {
                *locked(&list.waiting) = None;
            }
            return Ok(Settled::Nothing);
        };
        let is_confirmed =
            self.0.log.is_confirmed(index) || patience == Patience::Some && self.0.log.quorum(index).await.is_ok();
        if !is_confirmed {
            self.wait_of(list, true);
            return Ok(Settled::Waits(Box::new(change)));
        }
        self.take_effect(change).await?;
        Ok(Settled::Nothing)
    }

    /// Ends what is under way of all lists, as far as it is confirmed and nobody has their turn.
    pub(super) async fn settle_all(&self) {
        let changes = match store::changes(self.db()).await {
            Ok(changes) => changes,
            Err(_down) => return tracing::warn!("changes of hot lists that wait for the log cannot be read"),
        };
        for Change { leaf, .. } in changes {
            let known = self.list(&leaf.list);
            let settled = match &known {
                Some(list) => {
                    let Ok(_turn) = list.turn.try_lock() else { continue };
                    self.settle(&leaf.list, Patience::None).await
                }
                None => {
                    let Ok(_turn) = self.0.registering.try_lock() else { continue };
                    self.settle(&leaf.list, Patience::None).await
                }
            };
            if settled.is_err() {
                tracing::warn!("a change of a hot list that waits for the log cannot be looked at");
            }
        }
    }

    async fn take_effect(&self, change: Change) -> Result<(), Problem> {
        let (id, kind) = (change.leaf.list, change.leaf.kind);
        store::take_effect(self.db(), change.clone()).await.map_err(down)?;
        self.wait_of(&id, false);
        match change.effect {
            Effect::Load { row, kept, .. } => {
                let Some(list) = self.list(&id) else { return Ok(()) };
                let waiting = locked(&list.waiting).take().filter(|waiting| waiting.sequence() == row.sequence);
                match (waiting, kept) {
                    (Some(Waiting { loaded, creators }), _) => self.put_in_force(&list, loaded, creators, true).await,
                    // It waited over a restart. An extract comes again from where it came from.
                    (None, Some(sealed)) => {
                        self.load_kept(&list, row.sequence, &sealed).await;
                        Ok(())
                    }
                    (None, None) => Ok(()),
                }
            }
            Effect::Signed(row) => {
                let mut list = List::of(row).ok_or(ProblemKind::Internal)?;
                if kind == ListKind::Retire {
                    self.swap(id, None).await?;
                }
                if let Some(known) = self.list(&id) {
                    list.goes_on(&known);
                }
                self.put(Arc::new(list));
                Ok(())
            }
        }
    }

    fn wait_of(&self, list: &[u8; 16], waits: bool) {
        if let Some(list) = self.list(list) {
            locked(&list.note).waits = waits;
        }
    }

    /// Lists that are about to be, or to have another name.
    pub(super) async fn names_to_come(&self) -> Result<BTreeSet<([u8; 16], String)>, Problem> {
        let changes = store::changes(self.db()).await.map_err(down)?;
        let named = changes.into_iter().filter_map(|change| match change.effect {
            Effect::Signed(row) => Some((row.list, row.name)),
            Effect::Load { .. } => None,
        });
        Ok(named.collect())
    }
}

impl HotLists {
    /// The leaf of a list as somebody signed it: how it is matched, or that it ends and every entry goes.
    pub(super) async fn leaf_of(&self, signed: &ByPerson<ListConfig>) -> Result<HotlistLeaf, Problem> {
        let config = signed.claimed();
        let list = config.settings.list;
        let (sd, _who) =
            steward_digests(signed.claimed_key(), &mut SystemRng).map_err(|_core| ProblemKind::Internal)?;
        let leaf = HotlistLeaf {
            list,
            kind: ListKind::Config,
            sequence: config.serial,
            // A clock that is a little ahead must not make a leaf that is of its own future.
            produced_at: config.time.min(self.now()).to_minute(),
            classes: Vec::new(),
            set: config_digest(signed),
            decisions: Vec::new(),
            sd,
        };
        if !config.retired {
            return Ok(leaf);
        }
        let history = store::loads(self.db(), list).await.map_err(down)?;
        let last: BTreeMap<_, _> =
            history.last().map(|last| last.classes.iter().copied().collect()).unwrap_or_default();
        let classes = retired(&last);
        let decision = |one: &ListCounts| th("list-retired", &[&list, one.class.name().as_bytes(), &leaf.set]);
        Ok(HotlistLeaf {
            kind: ListKind::Retire,
            sequence: history.last().map_or(0, |last| last.sequence).saturating_add(1),
            decisions: classes.iter().map(decision).collect(),
            classes,
            ..leaf
        })
    }
}

fn unlogged(not_logged: NotLogged) -> Problem {
    not_logged.problem().into()
}

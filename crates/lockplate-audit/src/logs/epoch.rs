//! What the logs say about one epoch: dealt and closed by the recorder, received and destroyed by the keepers.

use lockplate_core::Timestamp;
use lockplate_core::entry::{DestroyMethod, DestroyReason, EpochClosed, EpochDealt, ShareDestroyed};
use lockplate_core::id::KeeperIndex;

use super::{Said, WORDS_MAX, insert_exact, push_exact};

/// A keeper destroyed its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destroyed {
    pub(crate) keeper: KeeperIndex,
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
    pub(crate) method: DestroyMethod,
    pub(crate) reason: DestroyReason,
}

/// A keeper has a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) keeper: KeeperIndex,
    pub(crate) index: u64,
    pub(crate) time: Timestamp,
}

/// One epoch, by its `header` digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EpochState {
    dealt: Vec<Said<EpochDealt>>,
    closed: Vec<Said<EpochClosed>>,
    received: Vec<Received>,
    destroyed: Vec<Destroyed>,
}

impl EpochState {
    pub(super) fn dealt(&mut self, index: u64, time: Timestamp, said: &EpochDealt) -> bool {
        push_exact(&mut self.dealt, Said { index, time, entry: said.clone() })
    }

    pub(super) fn closed(&mut self, index: u64, time: Timestamp, said: &EpochClosed) -> bool {
        push_exact(&mut self.closed, Said { index, time, entry: said.clone() })
    }

    pub(super) fn received(&mut self, keeper: KeeperIndex, index: u64, time: Timestamp) -> bool {
        if self.received.iter().filter(|one| one.keeper == keeper).count() >= WORDS_MAX {
            return false;
        }
        let at = self.received.partition_point(|one| (one.keeper, one.index) < (keeper, index));
        insert_exact(&mut self.received, at, Received { keeper, index, time });
        true
    }

    pub(super) fn destroyed(
        &mut self,
        keeper: KeeperIndex,
        index: u64,
        time: Timestamp,
        said: &ShareDestroyed,
    ) -> bool {
        if self.destroyed.iter().filter(|one| one.keeper == keeper).count() >= WORDS_MAX {
            return false;
        }
        let at = self.destroyed.partition_point(|one| (one.keeper, one.index) < (keeper, index));
        let (method, reason) = (said.method, said.reason);
        insert_exact(&mut self.destroyed, at, Destroyed { keeper, index, time, method, reason });
        true
    }

    /// The first statement that it was dealt.
    pub(crate) fn dealing(&self) -> Option<&Said<EpochDealt>> {
        self.dealt.first()
    }

    /// Every statement that it was closed, in order; an honest recorder makes one.
    pub(crate) fn closings(&self) -> &[Said<EpochClosed>] {
        &self.closed
    }

    /// Receipts by keeper.
    pub(crate) fn receipts(&self) -> &[Received] {
        &self.received
    }

    /// The first statement of a keeper that its share is destroyed.
    pub(crate) fn destruction(&self, keeper: KeeperIndex) -> Option<&Destroyed> {
        self.destroyed.iter().find(|one| one.keeper == keeper)
    }

    /// Keepers that confirmed a share, each once, by place.
    pub(crate) fn keepers_with_receipt(&self) -> impl Iterator<Item = KeeperIndex> {
        let mut last = None;
        let keepers = self.received.iter().map(|one| one.keeper);
        keepers.filter(move |keeper| last.replace(*keeper) != Some(*keeper))
    }

    /// When so few shares were left that nobody can open it any more: at the (n-t+1)th destruction. None while it can be opened.
    pub(crate) fn dead_since(&self) -> Option<Timestamp> {
        let dealt = &self.dealing()?.entry;
        let mut last = None;
        let first = self.destroyed.iter().filter(|one| last.replace(one.keeper) != Some(one.keeper));
        let mut times: Vec<Timestamp> = first.map(|one| one.time).collect();
        times.sort_unstable();
        times.get(usize::from(dealt.n).checked_sub(usize::from(dealt.t))?).copied()
    }
}

/// Distinct members of a sorted sequence.
pub(crate) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> usize {
    let mut last = None;
    values.fold(0_usize, |count, value| {
        let fresh = last.as_ref() != Some(&value);
        last = Some(value);
        count.saturating_add(usize::from(fresh))
    })
}

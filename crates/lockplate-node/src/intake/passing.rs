//! Payloads between their judgement and their sealing. A repeat of a read that is among them must not be answered before that read is
//! durable, nor after it failed; nobody else waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Those of one lane. A repeat is of the same source: others do not count.
#[derive(Default)]
pub(super) struct Passing {
    table: Mutex<Table>,
    ended: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// Source of each payload that is on its way.
    open: BTreeMap<u64, u16>,
    /// Payloads that could not be made durable, by source.
    failures: BTreeMap<u16, u64>,
}

/// A payload that is on its way until this is dropped.
pub(super) struct OnItsWay {
    passing: Arc<Passing>,
    number: u64,
    repeats: Repeats,
}

/// What a payload repeats may be on its way, since before it was judged.
#[derive(Clone, Copy)]
pub(super) struct Repeats {
    source: u16,
    failures: u64,
}

impl Passing {
    /// Announces a payload of `source` before the state machine sees it.
    pub(super) fn enter(self: &Arc<Self>, source: u16) -> OnItsWay {
        let mut table = self.table();
        let number = table.next;
        table.next = number.saturating_add(1);
        table.open.insert(number, source);
        let failures = table.failures_of(source);
        OnItsWay { passing: Arc::clone(self), number, repeats: Repeats { source, failures } }
    }

    /// Counts a payload of `source` that is not durable. Its reads are forgotten before.
    pub(super) fn failed(&self, source: u16) {
        let mut table = self.table();
        let failures = table.failures.entry(source).or_default();
        *failures = failures.saturating_add(1);
    }

    /// Waits for what of the source is on its way. False if some of it failed since the payload was announced: what it repeats may be
    /// that. The payload itself must be over.
    pub(super) async fn are_durable(&self, repeats: Repeats) -> bool {
        self.ended(|source| source == repeats.source).await;
        self.table().failures_of(repeats.source) == repeats.failures
    }

    /// Waits for whatever is on its way.
    pub(super) async fn all_ended(&self) {
        self.ended(|_| true).await;
    }

    /// What comes after the call is not waited for.
    async fn ended(&self, counts: impl Fn(u16) -> bool) {
        let until = self.table().next;
        loop {
            let mut ended = core::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if !self.table().open.range(..until).any(|(_, source)| counts(*source)) {
                return;
            }
            ended.await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repeats {
    /// Whose they are.
    pub(super) const fn source(self) -> u16 {
        self.source
    }
}

impl Table {
    fn failures_of(&self, source: u16) -> u64 {
        self.failures.get(&source).copied().unwrap_or_default()
    }
}

impl OnItsWay {
    /// What is asked for repeats in it, once it is over.
    pub(super) const fn repeats(&self) -> Repeats {
        self.repeats
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.passing.table().open.remove(&self.number);
        self.passing.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_repeat_waits_for_its_own_source_and_for_nobody_who_comes_later() {
        let passing = Arc::new(Passing::default());
        let other = passing.enter(1);
        let first = passing.enter(2);
        let repeat = passing.enter(2);
        let asked = repeat.repeats();
        drop(repeat);
        let waiting = passing.are_durable(asked);
        let mut waiting = core::pin::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let later = passing.enter(2);
        drop(first);
        assert!(waiting.await, "the one before it is over");
        drop(other);
        let mut all = core::pin::pin!(passing.all_ended());
        assert!(futures_util::poll!(&mut all).is_pending());
        drop(later);
        all.await;
    }

    #[tokio::test]
    async fn what_failed_since_is_no_repeat_and_other_sources_do_not_matter() {
        let passing = Arc::new(Passing::default());
        let (first, repeat) = (passing.enter(2), passing.enter(2));
        let asked = repeat.repeats();
        drop(repeat);
        passing.failed(1);
        passing.failed(2);
        drop(first);
        assert!(!passing.are_durable(asked).await);
        let again = passing.enter(2);
        let asked = again.repeats();
        drop(again);
        assert!(passing.are_durable(asked).await);
    }
}

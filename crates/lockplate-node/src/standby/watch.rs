//! What a machine does next with what it has read of the journal: a plan without a clock, a store or a disk of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cipher::Run;

/// What the machine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    /// Number of the first record that it has not read.
    next: u64,
    /// When it last heard of the owner, or learned that the store does not answer. Monotonic clock of this machine.
    heard: Duration,
    /// Nothing was at `next` a moment ago.
    at_end: bool,
    /// The owner is known to be gone: it resigned, or it was an earlier run of this machine.
    owner_gone: bool,
    /// Runs on this machine that may have owned the journal. This process holds the machine's data folder, so they are dead.
    dead: BTreeSet<Run>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The next record was read and applied.
    Record { run: Run, resigned: bool },
    /// There is no next record.
    Nothing,
    /// The store did not answer: whether the owner lives is not known.
    NoAnswer,
    /// A pause is over.
    Woke,
    /// Somebody else made the record that was to be this machine's.
    Taken,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the record.
    Read(u64),
    /// Pause.
    Pause,
    /// Try to make this record, which makes this machine the owner.
    Claim(u64),
}

impl Watch {
    pub(super) const fn new(next: u64, now: Duration, dead: BTreeSet<Run>) -> Self {
        Self { next, heard: now, at_end: false, owner_gone: false, dead }
    }

    pub(super) fn apply(mut self, event: Event, now: Duration) -> Self {
        match event {
            Event::Record { run, resigned } => {
                self.next = self.next.saturating_add(1);
                self.heard = now;
                self.at_end = false;
                self.owner_gone = resigned || self.dead.contains(&run);
            }
            Event::Nothing => self.at_end = true,
            // Silence counts only while the store answers.
            Event::NoAnswer => self.heard = now,
            Event::Woke | Event::Taken => self.at_end = false,
        }
        self
    }

    pub(super) fn plan(&self, now: Duration, takeover: Duration) -> Step {
        if !self.at_end {
            Step::Read(self.next)
        } else if self.owner_gone || now.saturating_sub(self.heard) >= takeover {
            Step::Claim(self.next)
        } else {
            Step::Pause
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEOVER: Duration = Duration::from_secs(20);
    const OWNER: Run = Run([1; 16]);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn record(run: Run) -> Event {
        Event::Record { run, resigned: false }
    }

    #[test]
    fn it_reads_to_the_end_and_claims_after_silence_only() {
        let mut watch = Watch::new(7, at(0), BTreeSet::new());
        assert_eq!(watch.plan(at(100), TAKEOVER), Step::Read(7), "what was not looked at is no silence");
        watch = watch.apply(record(OWNER), at(100));
        assert_eq!(watch.plan(at(100), TAKEOVER), Step::Read(8));
        watch = watch.apply(Event::Nothing, at(101));
        assert_eq!(watch.plan(at(119), TAKEOVER), Step::Pause);
        watch = watch.apply(Event::Woke, at(119));
        assert_eq!(watch.plan(at(119), TAKEOVER), Step::Read(8));
        watch = watch.apply(Event::Nothing, at(120));
        assert_eq!(watch.plan(at(120), TAKEOVER), Step::Claim(8));
        // The owner was only slow: its record is read, and the silence begins anew.
        watch = watch.apply(Event::Taken, at(120));
        assert_eq!(watch.plan(at(120), TAKEOVER), Step::Read(8));
        watch = watch.apply(record(OWNER), at(121)).apply(Event::Nothing, at(121));
        assert_eq!(watch.plan(at(122), TAKEOVER), Step::Pause);
    }

    #[test]
    fn a_store_that_does_not_answer_is_no_silence_of_the_owner() {
        let watch = Watch::new(0, at(0), BTreeSet::new()).apply(Event::NoAnswer, at(60)).apply(Event::Nothing, at(61));
        assert_eq!(watch.plan(at(79), TAKEOVER), Step::Pause);
        assert_eq!(watch.plan(at(80), TAKEOVER), Step::Claim(0));
    }

    #[test]
    fn an_owner_that_resigned_or_was_this_machine_is_not_waited_for() {
        let start = Watch::new(3, at(0), BTreeSet::from([OWNER]));
        let resigned = start.clone().apply(Event::Record { run: Run([2; 16]), resigned: true }, at(1));
        assert_eq!(resigned.apply(Event::Nothing, at(1)).plan(at(1), TAKEOVER), Step::Claim(4));
        let own = start.clone().apply(record(OWNER), at(1)).apply(Event::Nothing, at(1));
        assert_eq!(own.plan(at(1), TAKEOVER), Step::Claim(4));
        // Somebody else took over since: he is waited for.
        let other = own.apply(Event::Woke, at(2)).apply(record(Run([2; 16])), at(2)).apply(Event::Nothing, at(2));
        assert_eq!(other.plan(at(3), TAKEOVER), Step::Pause);
    }
}

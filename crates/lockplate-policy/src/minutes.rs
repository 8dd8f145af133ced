//! States whose law counts the life of a read in minutes. The rules of the packs are asked when somebody asks; a read that
//! nobody asks for is out of their reach. So what such a law says of the archive itself stands here, and the founding, the
//! keepers and the agency refuse a charter or a configuration that does not fit. **Not legal advice.**

use lockplate_core::charter::Charter;
use lockplate_core::vocabulary::State;

/// Longest pause between two looks of a keeper at its clock under such a law, seconds.
pub const LOOK_SECONDS_MAX: u64 = 5;
/// Seconds that are left for the end of a share: a keeper's pause ([`LOOK_SECONDS_MAX`]), the question to the second clock (5), and
/// 5 by which the clock of a good camera may run ahead, so that its read is labelled with the window that follows.
pub const ENDING_SECONDS: u64 = 15;

/// A law by which a read that nothing came of is gone after minutes, and leaves no history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinuteLaw {
    kept_seconds: u64,
    too_long: &'static str,
    on_disk: &'static str,
}

/// RSA 261:75-b, VIII: purged "within 3 minutes of their capture", unless something came of the read.
const NEW_HAMPSHIRE: MinuteLaw = MinuteLaw {
    kept_seconds: 180,
    too_long: "the law of New Hampshire lets a read that nothing came of be kept for 3 minutes (N.H. RSA 261:75-b, VIII; not \
               legal advice): `epoch_seconds` and `retention_seconds` are 165 together at most, which leaves 15 for the ending",
    on_disk: "the law of New Hampshire lets no history of reads be kept (N.H. RSA 261:75-b, VIII; not legal advice): set \
              `recorder.memory` to a folder in memory, such as /dev/shm/lockplate",
};

/// The charter of an owner under such a law keeps reads for longer than it lets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptTooLong(MinuteLaw);

impl KeptTooLong {
    /// What is wrong, the statute, and what to do: one fixed sentence.
    #[must_use]
    pub const fn says(self) -> &'static str {
        self.0.too_long
    }
}

impl core::fmt::Display for KeptTooLong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.says())
    }
}

impl core::error::Error for KeptTooLong {}

impl MinuteLaw {
    /// The law of a state; none where reads may be kept for days, or no pack says otherwise.
    #[must_use]
    pub fn of(state: State) -> Option<Self> {
        (state.code() == "NH").then_some(NEW_HAMPSHIRE)
    }

    /// The law that binds the owner of a charter, if one does. The first read of an epoch is the one that is kept longest, from
    /// the begin of its window until its shares are gone: the window, the retention, and [`ENDING_SECONDS`].
    ///
    /// # Errors
    /// [`KeptTooLong`].
    pub fn of_charter(charter: &Charter) -> Result<Option<Self>, KeptTooLong> {
        let Some(law) = Self::of(charter.owner.state) else { return Ok(None) };
        let kept = charter.epoch_seconds.saturating_add(charter.retention_seconds).saturating_add(ENDING_SECONDS);
        if kept <= law.kept_seconds { Ok(Some(law)) } else { Err(KeptTooLong(law)) }
    }

    /// Said to an agency under this law that would write cells to a disk: the statute, and what to do.
    #[must_use]
    pub const fn memory_only(self) -> &'static str {
        self.on_disk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(code: &str) -> State {
        State::parse(code).unwrap()
    }

    #[test]
    fn only_new_hampshire_counts_in_minutes_and_says_its_statute() {
        let bound: Vec<&str> = State::ALL.into_iter().filter(|code| MinuteLaw::of(state(code)).is_some()).collect();
        assert_eq!(bound, ["NH"]);
        let law = MinuteLaw::of(state("NH")).unwrap();
        for said in [law.memory_only(), KeptTooLong(law).says()] {
            assert!(said.contains("261:75-b") && said.contains("not legal advice"), "{said}");
        }
        // The sentence names the very number that is checked.
        let most = law.kept_seconds - ENDING_SECONDS;
        assert!(KeptTooLong(law).says().contains(&format!("are {most} together")));
        const { assert!(LOOK_SECONDS_MAX + 5 <= ENDING_SECONDS, "a look and the second clock's answer fit into the ending") };
    }
}

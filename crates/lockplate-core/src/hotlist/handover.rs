//! How the agency whose list was hit fetches its alerts from the recorder of somebody else's cameras (`hotlists.md` section 6: "a shared
//! list's owner gets the alert; the camera's owner sees the count"). The statement is signed with the key of the asker's desk, which the
//! recorder finds in the asker's own signed directory. What is fetched is sealed to the asker's alert key, so a statement in wrong hands
//! shows no alert; it is bound to one recorder, list and moment all the same, since it also says what need not be kept any longer.
//!
//! Out of scope: the doors, memory of the last call, and storage (`lockplate-node`); what an alert says ([`super::alert`]).

use crate::Timestamp;
use crate::directory::CLOCK_SKEW_SECONDS_MAX;
use crate::error::Result;
use crate::sign::Statement;
use crate::wire::{Reader, Writer, th};

/// What the session of an officer is for who asks the recorder of another agency how the own agency's lists there are. It names the
/// recorder by the hash of its charter: a session that one recorder has seen is worth nothing at another.
#[must_use]
pub fn lists_asked(charter: &[u8; 32]) -> [u8; 32] {
    th("lists-asked", &[charter])
}

/// "Hand me the alerts on my list after this one."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertsAsked {
    /// Hash of the charter of the recorder that is asked.
    pub charter: [u8; 32],
    /// The list.
    pub list: [u8; 16],
    /// The last alert that the asker has stored: it and everything before it need not be kept any longer. Zeros: none yet.
    pub after: [u8; 16],
    /// The asker's clock, milliseconds since the Unix epoch. Rises with each call about a list: none is taken twice.
    pub time_ms: u64,
}

impl AlertsAsked {
    /// Made at about `now`?
    #[must_use]
    pub const fn is_fresh(&self, now: Timestamp) -> bool {
        (self.time_ms / 1_000).abs_diff(now.0) <= CLOCK_SKEW_SECONDS_MAX
    }
}

impl Statement for AlertsAsked {
    const LABEL: &'static str = "alerts-asked";
    const BYTES_MAX: usize = 32 + 16 + 16 + 8;

    fn encode(&self) -> Vec<u8> {
        Writer::new().raw(&self.charter).raw(&self.list).raw(&self.after).u64(self.time_ms).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let asked = Self { charter: r.array()?, list: r.array()?, after: r.array()?, time_ms: r.u64()? };
        r.end()?;
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(asked) = AlertsAsked::decode(&bytes) {
                prop_assert_eq!(asked.encode(), bytes);
            }
        }
    }

    #[test]
    fn it_comes_back_and_is_good_for_five_minutes() {
        let asked = AlertsAsked { charter: [1; 32], list: [2; 16], after: [3; 16], time_ms: 1_000_999 };
        assert_eq!(AlertsAsked::decode(&asked.encode()), Ok(asked));
        assert_eq!(asked.encode().len(), AlertsAsked::BYTES_MAX);
        assert!(AlertsAsked::decode(&asked.encode()[1..]).is_err());
        assert!(asked.is_fresh(Timestamp(1_300)) && asked.is_fresh(Timestamp(700)));
        assert!(!asked.is_fresh(Timestamp(1_301)) && !asked.is_fresh(Timestamp(699)));
    }
}

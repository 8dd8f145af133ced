//! The second clock of destruction (LPv1 section 12): a time that another party signs over a fresh nonce, so that one wrong
//! clock destroys nothing. It proves what that party's clock said, not what time it was.

use crate::Timestamp;
use crate::error::Result;
use crate::sign::Statement;
use crate::wire::{Reader, Writer};

/// A party's clock, signed on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeStatement {
    /// Chosen by whoever asks; an old answer does not fit a new question.
    pub nonce: [u8; 16],
    /// The party's clock.
    pub time: Timestamp,
}

impl Statement for TimeStatement {
    const LABEL: &'static str = "time";
    const BYTES_MAX: usize = 24;

    fn encode(&self) -> Vec<u8> {
        Writer::new().raw(&self.nonce).u64(self.time.0).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let statement = Self { nonce: r.array()?, time: Timestamp(r.u64()?) };
        r.end()?;
        Ok(statement)
    }
}

//! The end of Openings (`log.md` section 7). A month is over when its last moment and the charter's `opening_keep_seconds` lie
//! behind both clocks, this keeper's and the one that others signed; at most one month goes in a real day, so that clocks that
//! jump together cannot take everything at once. The order is that of shares: the month's key is destroyed and that is durable,
//! then the log says so, then the rows go.

use lockplate_core::Timestamp;
use lockplate_core::entry::{LogEntry, OpeningsErased};
use lockplate_core::keeper::DecisionRecord;
use rusqlite::{Connection, params};

use super::super::db;
use super::super::kek::KekName;
use super::super::office::{Fault, Office};
use super::months::Month;
use crate::problem::ProblemKind;
use crate::rng::SystemRng;

const DAY: u64 = 86_400;

impl Office {
    /// Whether anything of this module or of [`super::publication`] is due by the own clock: then the others are asked for the time.
    pub(in crate::keeper) fn openings_are_due(&self, connection: &Connection, now: Timestamp) -> Result<bool, Fault> {
        let closed = db::requests_closed(connection, now, 1)?;
        Ok(!closed.is_empty() || self.erasable(connection, now, now)?.is_some())
    }

    /// The oldest month and its key, if it is over and none was erased today.
    fn erasable(
        &self,
        connection: &Connection,
        over_by: Timestamp,
        now: Timestamp,
    ) -> Result<Option<(Month, KekName)>, Fault> {
        let Some((month, key)) = db::month_keys(connection)?.first().copied() else { return Ok(None) };
        let today = db::last_erasure(connection)?.is_some_and(|last| now.0 < last.0.saturating_add(DAY));
        Ok((!today && self.erased_from(month) <= over_by).then_some((month, key)))
    }

    /// From when on the Openings of a month are erased.
    pub(super) fn erased_from(&self, month: Month) -> Timestamp {
        Timestamp(month.end().0.saturating_add(self.charter().opening_keep_seconds))
    }

    /// Erases the oldest month, if both clocks call it over and none was erased today.
    pub(in crate::keeper) fn erase_due(
        &mut self,
        connection: &mut Connection,
        witnessed: Timestamp,
        now: Timestamp,
    ) -> Result<u32, Fault> {
        let Some((month, key)) = self.erasable(connection, now.min(witnessed), now)? else { return Ok(0) };
        self.kek.change(&[], &[key], &mut SystemRng)?;
        self.finish_erasure(connection, month, now)?;
        Ok(1)
    }

    /// Says that a month whose key is gone is erased, and drops its rows.
    fn finish_erasure(&mut self, connection: &mut Connection, month: Month, now: Timestamp) -> Result<(), Fault> {
        // Half-open, as all ranges in leaves.
        let span = db::kept_span(connection, month)?.map(|(from, last, count)| (from, last.saturating_add(1), count));
        if let Some((from, to, count)) = span
            && !self.unfinished.erased.contains(&(from, to))
        {
            let entry = LogEntry::OpeningsErased(OpeningsErased { from, to, count });
            let logged = self.keeper.state(vec![entry], now, &mut SystemRng);
            logged.map_err(|error| self.log_fault(error))?;
            self.unfinished.erased.insert((from, to));
            self.publish();
        }
        let transaction = db::begin(connection)?;
        for digest in db::kept_requests(&transaction, month)? {
            // What is left says nothing of the person but what the public leaf says.
            let row = db::request(&transaction, &digest)?.ok_or(ProblemKind::Internal)?;
            let record = DecisionRecord { officer_key: [0; 32], ..row.record };
            transaction.execute(
                "UPDATE request SET kept = NULL, shown = NULL, who = NULL, waits = 0,
                                    officer = ?2, record = ?3 WHERE digest = ?1",
                params![digest, record.officer_key, record.to_bytes()],
            )?;
            transaction.execute("DELETE FROM escrow WHERE request = ?1", [digest])?;
            transaction.execute("DELETE FROM plate_tag WHERE request = ?1", [digest])?;
        }
        transaction.execute("DELETE FROM month_key WHERE month = ?1", [month.0])?;
        db::set_last_erasure(&transaction, now)?;
        transaction.commit()?;
        if let Some((from, to, _count)) = span {
            self.unfinished.erased.remove(&(from, to));
        }
        Ok(())
    }

    /// A month whose key is gone is erased, whether or not the log and the database say so yet.
    pub(in crate::keeper) fn finish_erasures(
        &mut self,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let months: Vec<(Month, KekName)> = db::month_keys(connection)?;
        for (month, key) in months {
            if !self.kek.holds(&key) {
                if db::kept_span(connection, month)?.is_some() {
                    tracing::info!("an erasure that was cut off is finished");
                }
                self.finish_erasure(connection, month, now)?;
            }
        }
        Ok(())
    }
}

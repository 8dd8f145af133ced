//! A decision rests on a paper and on an officer. Both are looked at again before a person's yes counts and before anything is multiplied: a
//! judge who takes back an order, a key that is revoked, an officer who leaves end what waits and what was allowed (`authorisation.md`
//! sections 2, 5 and 7). That a paper is over is in the record already: nothing is evaluated from then on.

use lockplate_core::Timestamp;
use lockplate_core::authorisation::{PaperRequest, judge};
use lockplate_core::keeper::DecisionRecord;
use lockplate_core::vocabulary::Assurance;
use rusqlite::Connection;

use super::db::RequestRow;
use super::office::{Fault, Office};
use crate::problem::ProblemKind;

impl Office {
    /// True if the paper and the officer of a decision still count as they did.
    pub(super) fn still_stands(
        &self,
        connection: &Connection,
        row: &RequestRow,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        let DecisionRecord { officer_key, leaf_index, .. } = &row.record;
        let leaf = self.logged_request(leaf_index.ok_or(ProblemKind::Internal)?)?.leaf;
        let directory = self.fresh_directory(connection, leaf.requester, now)?;
        if !directory.is_some_and(|known| known.is_in_service(officer_key, now)) {
            return Ok(false);
        }
        if leaf.assurance == Assurance::None {
            return Ok(true);
        }
        let (opened, Some(paper)) = self.reopen_with_paper(connection, row)? else { return Ok(false) };
        let judged = judge(
            &paper,
            &PaperRequest::of(&opened),
            &opened.text().disclosures,
            &self.trust,
            &self.withdrawn,
            self.charter().accept_attested,
            now,
        );
        let as_then = (leaf.judicial, leaf.assurance);
        Ok(judged.is_ok_and(|verified| (verified.judicial, verified.assurance) == as_then))
    }
}

//! What auditors and courts bring (`log.md` section 7): an auditor's call for the sealed Opening of one leaf, his signed weekly
//! review, and a court's order to delay the end of an embargo. Each is a signed object; whom the trust list does not name as an
//! auditor of the charter, or as a court, gets nothing. What changes something is logged before it counts, and once, whatever is
//! repeated.

use lockplate_core::Timestamp;
use lockplate_core::audit::{verify_call, verify_review};
use lockplate_core::embargo::{DelayNotice, verify_delay};
use lockplate_core::entry::{EmbargoLeaf, LogEntry, ReviewLeaf};
use lockplate_core::signed::SignedObject;
use rusqlite::Connection;

use super::super::db;
use super::super::office::{Fault, Office};
use super::escrowed;
use crate::api::{B64, OpeningGiven};
use crate::problem::ProblemKind;
use crate::release::Unreleased;
use crate::rng::SystemRng;

impl Office {
    /// `POST /v1/auditor/openings`: the Opening sealed to the calling auditor, what it is checked against, and the elements he
    /// asked for, evaluated under the notice key.
    pub(in crate::keeper) fn give_opening(
        &mut self,
        connection: &mut Connection,
        call: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<OpeningGiven>, Fault> {
        let object = SignedObject::parse(call)?;
        let origin = self.keeper.log().origin().as_str();
        let call = verify_call(&object, self.charter(), origin, &self.trust, &self.withdrawn, now)?;
        if call.index >= self.releaser.published() {
            return Err(ProblemKind::NotFound.into());
        }
        let row = db::request_at(connection, call.index)?.ok_or(ProblemKind::NotFound)?;
        let kept = self.kept(connection, &row)?;
        let wrapped = escrowed(connection, &row.record.request_digest, &call.auditor)?.ok_or(ProblemKind::NotFound)?;
        let opening = self.unwrap_private(connection, row.month, &wrapped)?;
        let evaluated = self.keeper.notice_key().evaluate_blinded(&call.elements)?;
        let given = db::count_up(connection, db::Counter::AuditorOpenings)?;
        tracing::info!(given, "an auditor was given an opening");
        let (hashes, _) = kept.hashes.0.as_chunks::<32>();
        let answer = OpeningGiven {
            filed: kept.filed,
            opening: B64(opening.to_vec()),
            opening_hashes: hashes.iter().map(|hash| B64(hash.to_vec())).collect(),
            evaluated: evaluated.iter().map(|element| B64(element.to_bytes().to_vec())).collect(),
        };
        Ok(Unreleased::on_leaf(answer, call.index))
    }

    /// `POST /v1/reviews`: an auditor's signed review becomes a leaf; its index. A repeat gets the same; another result for the
    /// same range is refused.
    pub(in crate::keeper) fn store_review(
        &mut self,
        connection: &mut Connection,
        review: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<u64>, Fault> {
        let object = SignedObject::parse(review)?;
        let published = self.releaser.published();
        let log = (self.keeper.log().origin().as_str(), published);
        let review = verify_review(&object, self.charter(), log, &self.trust, &self.withdrawn, now)?;
        let leaf = ReviewLeaf {
            from: review.from,
            to: review.to,
            auditor: review.auditor,
            sampled: review.sampled,
            failed: review.failed,
        };
        let index = match db::review(connection, &leaf)? {
            Some((index, true)) => index,
            Some((_other, false)) => return Err(ProblemKind::Conflicting.into()),
            None => {
                let entry = LogEntry::Review(leaf.clone());
                let logged = self.keeper.state(vec![entry], now, &mut SystemRng);
                let index = logged.map_err(|error| self.log_fault(error))?.first().copied();
                let index = index.ok_or(ProblemKind::Internal)?;
                self.publish();
                // Where this fails a repeat writes a second, equal leaf: it says the same and changes nothing.
                db::store_review(connection, &leaf, index)?;
                index
            }
        };
        Ok(Unreleased::on_leaf(index, index))
    }

    /// `POST /v1/authorisations`: a court's order to delay notice extends the embargo of one request. A repeat is harmless.
    pub(in crate::keeper) fn delay_notice(
        &mut self,
        connection: &mut Connection,
        order: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<()>, Fault> {
        let object = SignedObject::parse(order)?;
        let request = object.read::<DelayNotice>()?.body.request;
        let row = db::request(connection, &request)?.ok_or(ProblemKind::NotFound)?;
        let index = row.record.leaf_index.ok_or(ProblemKind::Internal)?;
        if db::delay_is_known(connection, &object.digest())? {
            return Ok(self.resting_on_all(()));
        }
        let embargo = db::embargo(connection, index)?.ok_or(ProblemKind::Conflicting)?;
        let delay = verify_delay(&object, &request, embargo, &self.trust, &self.withdrawn, now)?;
        if self.erased_from(row.month) <= delay.until {
            // It would be erased unopened: then a shorter order is needed, or none.
            return Err(ProblemKind::Invalid.into());
        }
        if !self.unfinished.delays.contains(&delay.authorisation) {
            let leaf = EmbargoLeaf { request_index: index, until: delay.until, authorisation: delay.authorisation };
            let logged = self.keeper.state(vec![LogEntry::Embargo(leaf)], now, &mut SystemRng);
            logged.map_err(|error| self.log_fault(error))?;
            self.unfinished.delays.insert(delay.authorisation);
            self.publish();
        }
        let transaction = db::begin(connection)?;
        db::extend_embargo(&transaction, index, delay.until, &delay.authorisation)?;
        transaction.commit()?;
        self.unfinished.delays.remove(&delay.authorisation);
        Ok(self.resting_on_all(()))
    }
}

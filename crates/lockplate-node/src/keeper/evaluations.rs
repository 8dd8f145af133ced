//! Evaluating grants (LPv1 section 9). A grant is spent once: its leaf first, then its answer is stored, then it is sent; a
//! repeat gets the stored bytes until they are erased, after 24 hours and at the latest with the first of its epochs.

use std::sync::Arc;

use lockplate_core::Timestamp;
use lockplate_core::approval::Grant;
use lockplate_core::entry::evaluated_grant;
use lockplate_core::epoch::{EpochClose, EpochHeader, HeldShare};
use lockplate_core::id::EpochId;
use lockplate_core::keeper::{ClosedEpoch, HeldEpoch};
use lockplate_core::sign::Signed;
use lockplate_log::LogStorage;
use lockplate_log::append::Log;
use lockplate_oprf::Secret;
use rusqlite::{Connection, params};

use super::db;
use super::office::{Fault, Office};
use crate::problem::ProblemKind;
use crate::release::Unreleased;
use crate::rng::SystemRng;

/// Closed epochs whose papers are remembered as verified: 30 days of hours and as many late ones, under 2 KiB each.
const CLOSED_MAX: usize = 2_048;
/// A stored answer is kept for so many seconds.
const ANSWER_SECONDS: u64 = 86_400;

impl Office {
    /// `POST /v1/evaluations`.
    pub(super) fn evaluate(
        &mut self,
        connection: &mut Connection,
        grant: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<Vec<u8>>, Fault> {
        let grant = Grant::from_bytes(grant)?;
        let digest = grant.digest();
        let spent = match db::evaluation(connection, &digest, self.latest(now))? {
            Some(Some(answer)) => return Ok(self.resting_on_all(answer)),
            Some(None) => true,
            None => false,
        };
        let request_digest = grant.request.signed_hash();
        let row = db::request(connection, &request_digest)?.ok_or(ProblemKind::NotFound)?;
        // Core checks this again; here it keeps strangers from making the keeper open thousands of shares.
        grant.check_approvals(self.charter(), &row.record.policy_digest, 0)?;
        let mut stored = Vec::with_capacity(grant.epoch_ids.len());
        let rows = db::at_once(connection)?;
        let mut erase_at = now.0.saturating_add(ANSWER_SECONDS);
        for id in &grant.epoch_ids {
            let epoch = db::epoch(&rows, *id)?.ok_or(ProblemKind::Invalid)?;
            let share = match epoch.share {
                Some(share) if !epoch.destroyed && epoch.destroy_after > self.latest(now) => share,
                Some(_) | None => return Err(ProblemKind::EpochDestroyed.into()),
            };
            let close = epoch.close.ok_or(ProblemKind::Invalid)?;
            erase_at = erase_at.min(epoch.destroy_after.0);
            let closed = self.closed_epoch(*id, &epoch.header, &close)?;
            let secret = Secret::<64>::from_slice(&self.kek.unwrap(&id.0, &share)?).ok_or(ProblemKind::Internal)?;
            stored.push((secret, closed));
        }
        drop(rows);
        let dealt: Vec<_> = stored.iter().map(|(secret, closed)| (secret, closed.dealt())).collect();
        let shares = HeldShare::from_secrets(&dealt, &mut SystemRng)?;
        let held = stored.into_iter().zip(shares).map(|((_, closed), share)| HeldEpoch::new(closed, share));
        let held = held.collect::<Result<Vec<_>, _>>()?;
        // After the epochs: who asks again for a destroyed hour learns that it is destroyed.
        if spent {
            return Err(ProblemKind::Spent.into());
        }
        if !self.still_stands(connection, &row, now)? {
            return Err(ProblemKind::Lapsed.into());
        }
        let resumed = self.unfinished.evaluations.get(&digest).copied();
        let first = self.keeper.log().size();
        let evaluated = self.keeper.evaluate(grant, &row.record, held, resumed, now, &mut SystemRng);
        // The leaf may be there although no answer came out.
        if let Some(index) = leaf_of(self.keeper.log(), first, &digest) {
            self.unfinished.evaluations.insert(digest, index);
            self.publish();
        }
        let answer = evaluated.map_err(|error| self.log_fault(error))?.to_bytes();
        connection.execute(
            "INSERT INTO evaluation (grant_digest, request, answer, erase_at) VALUES (?1, ?2, ?3, ?4)",
            params![digest, request_digest, answer, db::column(Timestamp(erase_at))],
        )?;
        self.unfinished.evaluations.remove(&digest);
        Ok(self.resting_on_all(answer))
    }
}

impl Office {
    /// The evidence that an epoch is closed. Its two signatures are verified once; they cost more than its evaluation.
    fn closed_epoch(&mut self, id: EpochId, header: &[u8], close: &[u8]) -> Result<Arc<ClosedEpoch>, Fault> {
        if let Some(closed) = self.closed.get(&id) {
            return Ok(Arc::clone(closed));
        }
        let header = Signed::<EpochHeader>::from_bytes(header)?;
        let close = Signed::<EpochClose>::from_bytes(close)?;
        let recorder = self.recorder_key(header.claimed().agency, header.claimed().recorder)?;
        let closed = Arc::new(ClosedEpoch::new(&header, &close, &recorder, self.index())?);
        if self.closed.len() >= CLOSED_MAX {
            self.closed.pop_first();
        }
        self.closed.insert(id, Arc::clone(&closed));
        Ok(closed)
    }
}

/// The index of the evaluation leaf of a grant, if it is the one that was just written.
fn leaf_of<S: LogStorage>(log: &Log<S>, at: u64, grant: &[u8; 32]) -> Option<u64> {
    let leaf = log.leaf(at).ok()?;
    (evaluated_grant(&leaf) == Some(*grant)).then_some(at)
}

//! What the last process left half done. The own log is the truth about what was decided, evaluated, received and destroyed;
//! the database and the key table are made to agree with it before the first visitor. Nothing is signed here but the statement
//! of a destruction whose key is already gone (reliability.md section 4, rules 2 and 3).

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::entry::{
    DeclarationChange, DestroyMethod, DestroyReason, Leaf, LogEntry, ShareDestroyed, evaluated_grant, human_outcome,
    parse_leaf, request_outcome,
};
use lockplate_core::epoch::EpochHeader;
use lockplate_core::sign::Signed;
use lockplate_core::signed::SignedObject;
use lockplate_log::limits::TILE_WIDTH;
use rusqlite::Connection;

use super::db;
use super::office::{Fault, Office};
use crate::problem::ProblemKind;
use crate::rng::SystemRng;

impl Office {
    /// Run once at start, before the doors open.
    pub(super) fn recover(&mut self, connection: &mut Connection, now: Timestamp) -> Result<(), Fault> {
        self.read_tail(connection)?;
        self.load_orders(connection)?;
        self.log_revocations(connection, now)?;
        self.load_policies(connection)?;
        self.finish_approvals(connection, now)?;
        self.finish_destructions(connection, now)?;
        self.finish_erasures(connection, now)?;
        self.drop_orphaned_keys(connection, now)?;
        self.publish();
        self.note_progress(connection)
    }

    /// Everything in the log so far is in the database: the next start need not read it again.
    pub(super) fn note_progress(&self, connection: &mut Connection) -> Result<(), Fault> {
        let unfinished = &self.unfinished;
        let clean = unfinished.requests.is_empty()
            && unfinished.evaluations.is_empty()
            && unfinished.approvals.is_empty()
            && unfinished.declarations.is_empty()
            && unfinished.received.is_empty()
            && unfinished.destroyed.is_empty()
            && unfinished.published.is_empty()
            && unfinished.erased.is_empty()
            && unfinished.delays.is_empty()
            && unfinished.papers.is_empty();
        let size = self.keeper.log().size();
        if clean && db::log_indexed_to(connection)? < size {
            db::set_log_indexed_to(connection, size)?;
        }
        Ok(())
    }

    fn read_tail(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        let (from, size) = (db::log_indexed_to(connection)?, self.keeper.log().size());
        if from > size {
            tracing::error!("the database knows more of the log than there is: the log is an old copy");
            return Err(Fault::Fatal);
        }
        let width = u64::from(TILE_WIDTH);
        let mut bundle = from / width;
        while bundle.saturating_mul(width) < size {
            let leaves = self.keeper.log().bundle(bundle).map_err(|_log| Fault::Fatal)?;
            for (index, leaf) in (bundle.saturating_mul(width)..).zip(leaves) {
                if index >= from {
                    self.compare(connection, index, &leaf)?;
                }
            }
            bundle = bundle.saturating_add(1);
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "asks for the kinds of leaf that have a consequence here")]
    fn compare(&mut self, connection: &mut Connection, index: u64, leaf: &[u8]) -> Result<(), Fault> {
        if let Some(request) = request_outcome(leaf) {
            if db::request(connection, &request.request)?.is_none() {
                self.unfinished.requests.insert(request.request, index);
            }
        } else if let Some(human) = human_outcome(leaf) {
            let waits = db::request(connection, &human.request)?.is_some_and(|row| row.waits);
            if waits && self.unfinished.approvals.insert(human.request, index).is_some() {
                tracing::warn!("the log holds two decisions of a person on one request");
            }
        } else if let Some(grant) = evaluated_grant(leaf) {
            if db::evaluation(connection, &grant, Timestamp(0))?.is_none() {
                self.unfinished.evaluations.insert(grant, index);
            }
        } else if let Ok(Leaf::Known(stamped)) = parse_leaf(leaf) {
            match stamped.entry() {
                LogEntry::Declaration(entry) if entry.change == DeclarationChange::Withdraw => {
                    db::delete_declaration(connection, &entry.object)?;
                }
                LogEntry::Paper(entry) => self.compare_paper(connection, entry, index)?,
                LogEntry::Key(entry) => db::orders::set_revocation_logged(connection, &entry.entry.list)?,
                LogEntry::Policy(entry) => db::bundles::note_leaf(connection, &entry.new, index)?,
                LogEntry::Declaration(entry) => {
                    let filed = db::declarations(connection, entry.agency)?;
                    if !filed.iter().any(|known| is_object(known, &entry.object)) {
                        self.unfinished.declarations.insert(entry.object);
                    }
                }
                LogEntry::ShareReceived(entry) => {
                    let row = db::epoch_by_header(connection, &entry.header)?;
                    if row.is_some_and(|(_, row)| row.receipt.is_none() && !row.destroyed) {
                        self.unfinished.received.insert(entry.header);
                    }
                }
                LogEntry::ShareDestroyed(entry) => {
                    let row = db::epoch_by_header(connection, &entry.header)?;
                    if row.is_some_and(|(_, row)| !row.destroyed) {
                        self.unfinished.destroyed.insert(entry.header);
                    }
                }
                LogEntry::OpeningPublished(entry) => {
                    let row = db::shown(connection, entry.index)?;
                    if row.is_some_and(|row| row.published.is_none() && row.kept) {
                        self.unfinished.published.insert(entry.index, index);
                    }
                }
                LogEntry::OpeningsErased(entry) if db::shown(connection, entry.from)?.is_some_and(|row| row.kept) => {
                    self.unfinished.erased.insert((entry.from, entry.to));
                }
                LogEntry::Embargo(entry) => {
                    db::extend_embargo(connection, entry.request_index, entry.until, &entry.authorisation)?;
                }
                LogEntry::Review(entry) => db::store_review(connection, entry, index)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A person's decision that is in the log ends the waiting, whether or not the database says so yet.
    fn finish_approvals(&mut self, connection: &mut Connection, now: Timestamp) -> Result<(), Fault> {
        let waiting: Vec<[u8; 32]> = self.unfinished.approvals.keys().copied().collect();
        for digest in waiting {
            self.finish_waiting(connection, digest, None, now)?;
        }
        Ok(())
    }

    /// A share whose key is gone is destroyed, whether or not the log and the database say so yet.
    fn finish_destructions(&mut self, connection: &mut Connection, now: Timestamp) -> Result<(), Fault> {
        for (id, _receipted) in db::epochs_held(connection)? {
            if self.kek.holds(&id.0) {
                continue;
            }
            let row = db::epoch(connection, id)?.ok_or(ProblemKind::Internal)?;
            let header_hash = Signed::<EpochHeader>::from_bytes(&row.header)?.claimed().hash();
            self.log_destruction(header_hash, now)?;
            db::mark_destroyed(connection, id, now)?;
            self.unfinished.destroyed.remove(&header_hash);
        }
        Ok(())
    }

    /// Appends the statement of a destruction, unless it is there.
    pub(super) fn log_destruction(&mut self, header: [u8; 32], now: Timestamp) -> Result<(), Fault> {
        if self.unfinished.destroyed.contains(&header) {
            return Ok(());
        }
        let leaf = LogEntry::ShareDestroyed(ShareDestroyed {
            header,
            index: self.index(),
            method: DestroyMethod::BestEffort,
            reason: DestroyReason::Retention,
        });
        let logged = self.keeper.state(vec![leaf], now, &mut SystemRng);
        logged.map_err(|error| self.log_fault(error))?;
        self.unfinished.destroyed.insert(header);
        Ok(())
    }

    /// Keys that wrap nothing: made before a write that did not happen, or of a prekey whose share is stored.
    fn drop_orphaned_keys(&mut self, connection: &mut Connection, now: Timestamp) -> Result<(), Fault> {
        let mut used: BTreeSet<[u8; 16]> = db::epochs_held(connection)?.into_iter().map(|(id, _)| id.0).collect();
        used.extend(db::prekeys(connection, now)?.into_iter().map(|(id, _)| id));
        let periods: Vec<Vec<u8>> = connection
            .prepare_cached("SELECT name FROM period_key")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        used.extend(periods.into_iter().filter_map(|name| <[u8; 16]>::try_from(name).ok()));
        used.extend(db::month_keys(connection)?.into_iter().map(|(_month, name)| name));
        let orphans: Vec<_> = self.kek.names().filter(|name| !used.contains(*name)).copied().collect();
        self.kek.change(&[], &orphans, &mut SystemRng)?;
        Ok(())
    }
}

fn is_object(bytes: &[u8], digest: &[u8; 32]) -> bool {
    SignedObject::parse(bytes).is_ok_and(|object| object.digest() == *digest)
}

//! Emergencies at a keeper (`authorisation.md` section 4). That a paper is due stands in the log before anything is answered; a paper files
//! it; a day without one is logged too, and from that second on the rules refuse whatever the agency asks without a judge.

use lockplate_core::Timestamp;
use lockplate_core::authorisation::{Paper, PaperRequest, PaperSource, judge};
use lockplate_core::decision::DecisionRecord;
use lockplate_core::emergency::{open_disclosures, verify_report};
use lockplate_core::entry::{LogEntry, PaperLeaf, PaperStatus};
use lockplate_core::id::AgencyId;
use lockplate_core::keeper::Answer;
use lockplate_core::signed::SignedObject;
use rusqlite::Connection;

use super::db;
use super::office::{Fault, Office};
use crate::problem::ProblemKind;
use crate::release::Unreleased;
use crate::rng::SystemRng;

/// Overdue papers that are logged in one round.
const OVERDUE_A_ROUND_MAX: u32 = 256;

impl Office {
    /// The leaf that says that the paper of an allowed emergency is due, and when that is; none for any other request.
    pub(super) fn paper_is_due(&mut self, answer: &Answer, now: Timestamp) -> Result<Option<(Timestamp, u64)>, Fault> {
        let Answer::Approved { record, .. } = answer else { return Ok(None) };
        let Some(deadline) = record.paper_due else { return Ok(None) };
        let leaf =
            PaperLeaf { request: record.request_digest, status: PaperStatus::Due, deadline, authorisation: None };
        Ok(Some((deadline, self.log_paper(leaf, now)?)))
    }

    /// Writes a `paper` leaf, unless it is there from before.
    fn log_paper(&mut self, leaf: PaperLeaf, now: Timestamp) -> Result<u64, Fault> {
        let about = (leaf.request, leaf.status);
        if let Some(index) = self.unfinished.papers.get(&about) {
            return Ok(*index);
        }
        let logged = self.keeper.state(vec![LogEntry::Paper(leaf)], now, &mut SystemRng);
        let index = logged.map_err(|error| self.log_fault(error))?.first().copied().ok_or(ProblemKind::Internal)?;
        self.unfinished.papers.insert(about, index);
        self.publish();
        Ok(index)
    }

    /// Remembers an emergency beside its answer. The request's own leaf says whose it is.
    pub(super) fn store_emergency(
        &mut self,
        connection: &Connection,
        record: &DecisionRecord,
        deadline: Timestamp,
    ) -> Result<(), Fault> {
        let leaf = self.logged_request(record.leaf_index.ok_or(ProblemKind::Internal)?)?.leaf;
        let (digest, agencies) = (record.request_digest, (leaf.requester, leaf.on_behalf_of));
        db::emergencies::insert(connection, &digest, agencies, deadline)?;
        self.unfinished.papers.remove(&(digest, PaperStatus::Due));
        Ok(())
    }

    /// `POST /v1/papers`: files the paper of an emergency, a court's or a supervisor's report. Late is better than never. A repeat is
    /// harmless.
    pub(super) fn file_paper(
        &mut self,
        connection: &mut Connection,
        (request, paper, disclosures): ([u8; 32], &[u8], Option<&[u8]>),
        now: Timestamp,
    ) -> Result<Unreleased<()>, Fault> {
        let object = SignedObject::parse(paper)?;
        let emergency = db::emergencies::find(connection, &request)?.ok_or(ProblemKind::NotFound)?;
        match emergency.filed {
            Some(filed) if filed == object.digest() => return Ok(self.resting_on_all(())),
            Some(_other) => return Err(ProblemKind::Conflicting.into()),
            None => {}
        }
        let row = db::request(connection, &request)?.ok_or(ProblemKind::NotFound)?;
        let kind: String = object.fields()?.take("kind")?;
        if kind == "emergency-report" {
            let agency = emergency.requester;
            let directory = self.fresh_directory(connection, agency, now)?.ok_or(ProblemKind::NotSignedIn)?;
            verify_report(&object, &request, &row.record.officer_key, &directory, now)?;
        } else {
            let sealed = disclosures.ok_or(ProblemKind::Malformed)?;
            self.judge_late_paper(connection, &row, &object, sealed, now)?;
        }
        let authorisation = Some(object.digest());
        let leaf = PaperLeaf { request, status: PaperStatus::Filed, deadline: emergency.deadline, authorisation };
        self.log_paper(leaf, now)?;
        db::emergencies::set_filed(connection, &request, &object.digest())?;
        self.unfinished.papers.remove(&(request, PaperStatus::Filed));
        Ok(self.resting_on_all(()))
    }

    /// A court's paper files an emergency if the request could have rested on it.
    fn judge_late_paper(
        &self,
        connection: &Connection,
        row: &db::RequestRow,
        object: &SignedObject,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), Fault> {
        let disclosures = open_disclosures(&self.opening_key, &row.record.request_digest, sealed)?;
        let opened = self.reopen(connection, row)?;
        let kind = match object.read::<Paper>()?.source {
            PaperSource::Court(kind) => kind,
            PaperSource::Attestation(attested) => attested.paper_kind,
        };
        let asked = PaperRequest {
            authorisation_digest: object.digest(),
            basis: kind.basis(),
            uses: db::paper_uses(connection, &object.digest(), &row.record.request_digest)?,
            ..PaperRequest::of(&opened)
        };
        let accept_attested = self.charter().accept_attested;
        let judged =
            judge(&object.to_bytes(), &asked, &disclosures, &self.trust, &self.withdrawn, accept_attested, now);
        match judged {
            Ok(verified) if verified.judicial => Ok(()),
            Ok(_) | Err(_) => Err(ProblemKind::Invalid.into()),
        }
    }

    /// Logs each paper that did not come in time, once.
    pub(super) fn log_overdue_papers(&mut self, connection: &Connection, now: Timestamp) -> Result<(), Fault> {
        for (request, deadline) in db::emergencies::newly_overdue(connection, now, OVERDUE_A_ROUND_MAX)? {
            let leaf = PaperLeaf { request, status: PaperStatus::Overdue, deadline, authorisation: None };
            self.log_paper(leaf, now)?;
            db::emergencies::set_overdue(connection, &request)?;
            self.unfinished.papers.remove(&(request, PaperStatus::Overdue));
            tracing::warn!("the paper of an emergency is overdue; its agency is suspended until it is filed");
        }
        Ok(())
    }

    /// What a `paper` leaf of the own log says is made true in the database.
    pub(super) fn compare_paper(&mut self, connection: &Connection, leaf: &PaperLeaf, index: u64) -> Result<(), Fault> {
        let known = db::emergencies::find(connection, &leaf.request)?.is_some();
        match (leaf.status, leaf.authorisation) {
            (PaperStatus::Filed, Some(paper)) => db::emergencies::set_filed(connection, &leaf.request, &paper)?,
            (PaperStatus::Overdue, _) => db::emergencies::set_overdue(connection, &leaf.request)?,
            (PaperStatus::Due, _) if !known => {
                self.unfinished.papers.insert((leaf.request, leaf.status), index);
            }
            (PaperStatus::Due | PaperStatus::Filed, _) => {}
        }
        Ok(())
    }

    /// Overdue papers of the agencies that a request is for.
    pub(super) fn overdue_papers(
        connection: &Connection,
        agencies: [AgencyId; 2],
        now: Timestamp,
    ) -> Result<std::collections::BTreeMap<AgencyId, u32>, Fault> {
        agencies.into_iter().map(|agency| Ok((agency, db::emergencies::overdue(connection, agency, now)?))).collect()
    }
}

//! What is private of a request, kept beside the log and never in it (`log.md` section 7): the filed request, the sealed Opening
//! of this keeper and through it the secret of the salts, the auditors' sealed Openings, who of this keeper's people decided,
//! and what was published after the embargo. All of it is wrapped under the key of the calendar month of the request's leaf,
//! which lies in the table of key-encryption keys; when that key is destroyed, nobody can open any of it again, whatever copy of
//! the database is left.

mod auditors;
mod erasure;
pub(super) mod months;
pub(super) mod publication;

use lockplate_core::Timestamp;
use lockplate_core::charter::Charter;
use lockplate_core::entry::{Leaf, LogEntry, RequestLeaf, parse_leaf};
use lockplate_core::evidence::named_attachment;
use lockplate_core::request::{FiledRequest, Opened, SearchRequest, check_opening};
use rand_core::Rng as _;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use self::months::Month;
use super::db;
use super::kek::{KekError, KekName};
use super::office::{Fault, Office};
use crate::api::B64;
use crate::problem::ProblemKind;
use crate::rng::SystemRng;

/// What a keeper needs to open a request again. The Opening in it is sealed to this keeper; window and officer's key are not.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    filed: B64,
    opening: B64,
    /// One after the other.
    hashes: B64,
    /// The paper that the request names, where one came along.
    #[serde(default)]
    paper: Option<B64>,
}

/// What a request leaf says that the keeper needs later.
pub(super) struct LoggedRequest {
    /// Time of the leaf: decides the month.
    pub(super) time: Timestamp,
    /// Its random bytes: the notice tags hang on them.
    pub(super) nonce: [u8; 16],
    pub(super) leaf: Box<RequestLeaf>,
}

/// Whether the Openings that a desk sent along for the auditors are those that the request binds, one an auditor in the order of
/// the charter. `hashes` has been checked to have one a recipient.
pub(super) fn are_the_auditors(charter: &Charter, hashes: &[[u8; 32]], sent: &[Vec<u8>]) -> bool {
    let bound = hashes.get(charter.keepers.len()..).unwrap_or_default();
    let own = sent.iter().map(|opening| <[u8; 32]>::from(Sha256::digest(opening)));
    bound.len() == charter.auditors.len() && own.eq(bound.iter().copied())
}

/// Recipients of an Opening: keepers, then auditors.
pub(super) const fn recipients(charter: &Charter) -> usize {
    charter.keepers.len().saturating_add(charter.auditors.len())
}

/// A key that is gone, or bytes that are gone with it, are an answer of their own here: erased is not an error.
fn erased(error: KekError) -> Fault {
    match error {
        KekError::Unknown => ProblemKind::OpeningErased.into(),
        error @ (KekError::Durable(_)
        | KekError::Read(_)
        | KekError::NoGeneration
        | KekError::Full
        | KekError::Torn) => error.into(),
    }
}

impl Office {
    /// The name of a month's key; it is made where there is none yet. Durable on return.
    pub(super) fn month_key(&mut self, connection: &Connection, month: Month) -> Result<KekName, Fault> {
        if let Some(name) = db::month_key(connection, month)? {
            return Ok(name);
        }
        let mut name = [0; 16];
        SystemRng.fill_bytes(&mut name);
        self.kek.change(&[name], &[], &mut SystemRng)?;
        connection.execute("INSERT INTO month_key (month, name) VALUES (?1, ?2)", params![month.0, name])?;
        Ok(name)
    }

    /// Wraps something private under the key of a month that is there.
    pub(super) fn wrap_private(&self, name: &KekName, private: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(self.kek.wrap(name, private, &mut SystemRng)?)
    }

    /// Opens what [`Office::wrap_private`] made.
    ///
    /// # Errors
    /// `opening-erased` once the month's key is destroyed.
    pub(super) fn unwrap_private(
        &self,
        connection: &Connection,
        month: Month,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let name = db::month_key(connection, month)?.ok_or(ProblemKind::OpeningErased)?;
        self.kek.unwrap(&name, wrapped).map_err(erased)
    }

    /// Wraps what opens a request again.
    pub(super) fn wrap_request(
        &self,
        name: &KekName,
        filed: &FiledRequest,
        opening: &[u8],
        hashes: &[[u8; 32]],
        attachments: &[Vec<u8>],
    ) -> Result<Vec<u8>, Fault> {
        let paper = named_attachment(attachments, filed.request.claimed());
        let kept = Kept {
            filed: B64(filed.to_bytes()),
            opening: B64(opening.to_vec()),
            hashes: B64(hashes.concat()),
            paper: paper.map(|(bytes, _)| B64(bytes.to_vec())),
        };
        let text = serde_json::to_vec(&kept).map_err(|_our_type| ProblemKind::Internal)?;
        self.wrap_private(name, &text)
    }

    fn kept(&self, connection: &Connection, row: &db::RequestRow) -> Result<Kept, Fault> {
        let wrapped = row.kept.as_ref().ok_or(ProblemKind::OpeningErased)?;
        let text = self.unwrap_private(connection, row.month, wrapped)?;
        serde_json::from_slice(&text).map_err(|_our_own| ProblemKind::Internal.into())
    }

    /// Opens the Opening of a stored request again: for this keeper's own people, and for what is published after the embargo.
    ///
    /// # Errors
    /// `opening-erased` once it is.
    pub(super) fn reopen(&self, connection: &Connection, row: &db::RequestRow) -> Result<Opened<SearchRequest>, Fault> {
        Ok(self.reopen_with_paper(connection, row)?.0)
    }

    /// The same, with the paper that the request names.
    pub(super) fn reopen_with_paper(
        &self,
        connection: &Connection,
        row: &db::RequestRow,
    ) -> Result<(Opened<SearchRequest>, Option<Vec<u8>>), Fault> {
        let kept = self.kept(connection, row)?;
        let filed = FiledRequest::from_bytes(&kept.filed.0)?;
        let (hashes, _) = kept.hashes.0.as_chunks::<32>();
        let position = usize::from(self.index().0.saturating_sub(1));
        let opened = check_opening(filed, &kept.opening.0, hashes.to_vec(), position, &self.opening_key)?;
        Ok((opened, kept.paper.map(|B64(paper)| paper)))
    }

    /// A request leaf of the own log, read back.
    pub(super) fn logged_request(&self, index: u64) -> Result<LoggedRequest, Fault> {
        let bytes = self.keeper.log().leaf(index).map_err(|_log| Fault::Fatal)?;
        let Ok(Leaf::Known(stamped)) = parse_leaf(&bytes) else { return Err(ProblemKind::Internal.into()) };
        let LogEntry::Request(leaf) = stamped.entry() else { return Err(ProblemKind::Internal.into()) };
        Ok(LoggedRequest { time: stamped.at(), nonce: stamped.nonce(), leaf: leaf.clone() })
    }
}

/// The sealed Opening of one auditor, wrapped.
fn escrowed(connection: &Connection, request: &[u8; 32], auditor: &[u8; 32]) -> Result<Option<Vec<u8>>, Fault> {
    let sql = "SELECT opening FROM escrow WHERE request = ?1 AND auditor = ?2";
    Ok(connection.prepare_cached(sql)?.query_row(params![request, auditor], |row| row.get(0)).optional()?)
}

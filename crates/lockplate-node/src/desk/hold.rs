//! The hold door: before an officer's client writes found reads to a file, sealed to a case key, the desk logs that it will: one leaf a
//! request, whatever is repeated and wherever the process ends. It sees digests and counts only.

use axum::Json;
use axum::extract::{Path, State};
use lockplate_core::entry::LogEntry;
use lockplate_core::hold::HoldClaim;
use lockplate_core::sign::{Signed, VerifyKey};
use rusqlite::params;

use super::{Desk, DeskFault, digest_of_path, store};
use crate::api::{DisclosureLogged, HoldMade};
use crate::http::BoundedJson;
use crate::party_log::NotLogged;
use crate::problem::{Problem, ProblemKind};

/// `POST /v1/desk/requests/{digest}/hold`.
pub(super) async fn hold(
    State(desk): State<Desk>,
    Path(digest): Path<String>,
    BoundedJson(made): BoundedJson<HoldMade>,
) -> Result<Json<DisclosureLogged>, Problem> {
    let digest = digest_of_path(&digest)?;
    // One at a time: a repeat must find the first one's entry.
    let _turn = desk.inner.disclosing.lock().await;
    let loaded = desk.load(digest).await?.ok_or(ProblemKind::NotFound)?;
    let grant = loaded.grant.ok_or(ProblemKind::Conflicting)?;
    let owner = desk.owner(loaded.row.owner).ok_or(ProblemKind::NotFound)?;
    let signed = Signed::<HoldClaim>::from_bytes(&made.claim.0).map_err(|_form| ProblemKind::Malformed)?;
    let officer = VerifyKey(grant.request.claimed().officer_key);
    let claim = signed.verify(&officer).map_err(|_signature| ProblemKind::Invalid)?;
    let known = desk.inner.db.call(move |connection| store::hold(connection, &digest)).await.map_err(DeskFault::Db)?;
    let repeat = match known {
        Some(known) if known.claim != made.claim.0 => return Err(ProblemKind::Conflicting.into()),
        Some(store::Held { register: Some(register), .. }) => {
            return Ok(Json(DisclosureLogged { register: u64::try_from(register).unwrap_or(0) }));
        }
        Some(known) => Some(known.log_from),
        None => None,
    };
    claim.check(owner.charter.charter(), &grant, desk.now()).map_err(|_core| ProblemKind::Invalid)?;
    let leaf = claim.leaf().map_err(|_core| ProblemKind::Invalid)?;
    let log = &desk.inner.log;
    let there = match repeat {
        // The process ended after the claim was written down, before or after its leaf.
        Some(from) => {
            let wanted = leaf.clone();
            let same = move |entry: &LogEntry| matches!(entry, LogEntry::Hold(one) if *one == wanted);
            let from = u64::try_from(from).unwrap_or(0);
            log.find(from, same).await.map_err(|_log| ProblemKind::Unavailable)?
        }
        None => {
            let size = log.size().await.map_err(|_log| ProblemKind::Unavailable)?;
            let log_from = i64::try_from(size).map_err(|_range| ProblemKind::Internal)?;
            let held = store::Held { claim: made.claim.0, log_from, register: None };
            let write = move |connection: &rusqlite::Transaction<'_>| store::insert_hold(connection, &digest, &held);
            desk.inner.db.transaction(write).await.map_err(DeskFault::Db)?;
            None
        }
    };
    let register = match there {
        Some(index) => log.confirm(index).await.map(|()| index).map_err(NotLogged::problem)?,
        None => {
            let logged = log.append(vec![LogEntry::Hold(leaf)]).await.map_err(NotLogged::problem)?;
            logged.first().copied().ok_or(ProblemKind::Internal)?
        }
    };
    let column = i64::try_from(register).map_err(|_range| ProblemKind::Internal)?;
    let store = move |connection: &rusqlite::Transaction<'_>| {
        connection.execute("UPDATE hold SET register = ?2 WHERE digest = ?1", params![digest, column])?;
        Ok(())
    };
    desk.inner.db.transaction(store).await.map_err(DeskFault::Db)?;
    Ok(Json(DisclosureLogged { register }))
}

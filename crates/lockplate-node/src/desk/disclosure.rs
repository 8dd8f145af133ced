//! The disclosure door: the officer's client says what it opened, signed, and the desk logs it: one leaf a claim, whatever is
//! repeated and wherever the process ends. It sees counts only, never a read.

use axum::Json;
use axum::extract::{Path, State};
use lockplate_core::entry::{DisclosureLeaf, LogEntry, Outcome};
use lockplate_core::request::DisclosureClaim;
use lockplate_core::sign::{Signed, Statement as _, VerifyKey};
use rusqlite::params;

use super::{Desk, DeskFault, digest_of_path, store};
use crate::api::{DisclosureLogged, DisclosureMade};
use crate::http::BoundedJson;
use crate::party_log::NotLogged;
use crate::problem::{Problem, ProblemKind};

/// `POST /v1/desk/requests/{digest}/disclosure`.
pub(super) async fn disclosure(
    State(desk): State<Desk>,
    Path(digest): Path<String>,
    BoundedJson(made): BoundedJson<DisclosureMade>,
) -> Result<Json<DisclosureLogged>, Problem> {
    let digest = digest_of_path(&digest)?;
    let outcome = Outcome::from_name(&made.outcome).ok_or(ProblemKind::Invalid)?;
    // One at a time: a repeat must find the first one's entry.
    let _turn = desk.inner.disclosing.lock().await;
    let loaded = desk.load(digest).await?.ok_or(ProblemKind::NotFound)?;
    let grant = loaded.grant.ok_or(ProblemKind::Conflicting)?;
    let claim = DisclosureClaim {
        request_digest: digest,
        grant_digest: grant.digest(),
        cells: made.cells,
        others: made.others,
    };
    let statement = claim.encode();
    let length = u32::try_from(statement.len()).map_err(|_fixed| ProblemKind::Internal)?;
    let framed = [length.to_be_bytes().as_slice(), &statement, &made.signed.0].concat();
    let signed = Signed::<DisclosureClaim>::from_bytes(&framed).map_err(|_form| ProblemKind::Malformed)?;
    let request = grant.request.claimed();
    signed.verify(&VerifyKey(request.officer_key)).map_err(|_signature| ProblemKind::Invalid)?;
    if made.others > made.cells {
        return Err(ProblemKind::Invalid.into());
    }
    let repeat = match &loaded.row.claimed {
        Some(known) if known.claim == framed && known.outcome == outcome.name() => Some(known.log_from),
        // What failed may be finished later; everything else is said once.
        Some(known) if known.has_failed() => None,
        Some(_) => return Err(ProblemKind::Conflicting.into()),
        None => None,
    };
    if let (Some(_), Some(register)) = (repeat, loaded.row.register) {
        return Ok(Json(DisclosureLogged { register: u64::try_from(register).unwrap_or(0) }));
    }
    let leaf = DisclosureLeaf {
        request: digest,
        grant: claim.grant_digest,
        owner: request.owner_agency,
        cells: made.cells,
        others: made.others,
        outcome,
    };
    let log = &desk.inner.log;
    let there = match repeat {
        // The process ended after the claim was written down, before or after its leaf.
        Some(from) => {
            let wanted = leaf.clone();
            let same = move |entry: &LogEntry| matches!(entry, LogEntry::Disclosure(one) if *one == wanted);
            let from = u64::try_from(from).unwrap_or(0);
            log.find(from, same).await.map_err(|_log| ProblemKind::Unavailable)?
        }
        None => {
            let size = log.size().await.map_err(|_log| ProblemKind::Unavailable)?;
            let log_from = i64::try_from(size).map_err(|_range| ProblemKind::Internal)?;
            let claimed = store::Claimed { claim: framed, outcome: outcome.name().to_owned(), log_from };
            let write = move |connection: &rusqlite::Transaction<'_>| store::claim(connection, &digest, &claimed);
            desk.inner.db.transaction(write).await.map_err(DeskFault::Db)?;
            None
        }
    };
    let register = match there {
        Some(index) => log.confirm(index).await.map(|()| index).map_err(NotLogged::problem)?,
        None => {
            let logged = log.append(vec![LogEntry::Disclosure(leaf)]).await.map_err(NotLogged::problem)?;
            logged.first().copied().ok_or(ProblemKind::Internal)?
        }
    };
    let column = i64::try_from(register).map_err(|_range| ProblemKind::Internal)?;
    let store = move |connection: &rusqlite::Transaction<'_>| {
        connection.execute("UPDATE request SET register = ?2 WHERE digest = ?1", params![digest, column])?;
        Ok(())
    };
    desk.inner.db.transaction(store).await.map_err(DeskFault::Db)?;
    desk.wake(digest);
    Ok(Json(DisclosureLogged { register }))
}

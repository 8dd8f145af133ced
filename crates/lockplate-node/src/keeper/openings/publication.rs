//! After the embargo (`log.md` section 7): when the time that a request's leaf names is over, by this keeper's clock **and** by
//! the one that others signed, the keeper logs `opening.published` and then serves the disclosures of `window` and `notice`, and
//! of nothing else. A court's `delay-notice` moves the time back, logged before it counts; nothing moves it forward.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use lockplate_core::Timestamp;
use lockplate_core::disclosure::Disclosure;
use lockplate_core::entry::{LogEntry, OpeningPublished};
use lockplate_core::keeper::CodeRule;
use lockplate_core::salted::{SaltedName, disclosure_of, published};
use rusqlite::{Connection, params};

use super::super::db;
use super::super::office::{Desk, Fault, Office};
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;

/// Openings published in one round.
const PUBLISHED_A_ROUND_MAX: u32 = 256;

/// Digits of the largest leaf index.
const INDEX_DIGITS_MAX: usize = 15;

/// How long others may keep a copy before they ask again: what is erased must be gone with them too.
const KEPT_BY_OTHERS: HeaderValue = HeaderValue::from_static("public, max-age=300");

const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

impl Office {
    /// Publishes what both clocks call due. One that fails does not hold up the others.
    pub(in crate::keeper) fn publish_due(
        &mut self,
        connection: &mut Connection,
        witnessed: Timestamp,
        now: Timestamp,
    ) -> Result<u32, Fault> {
        let mut published = 0_u32;
        for row in db::requests_closed(connection, now.min(witnessed), PUBLISHED_A_ROUND_MAX)? {
            match self.publish_one(connection, &row, now) {
                Ok(()) => published = published.saturating_add(1),
                Err(Fault::Problem(problem)) => {
                    tracing::warn!(slug = problem.slug(), "what is due after an embargo could not be published");
                }
                Err(fault @ (Fault::Db(_) | Fault::Fatal)) => return Err(fault),
            }
        }
        Ok(published)
    }

    fn publish_one(&mut self, connection: &mut Connection, row: &db::RequestRow, now: Timestamp) -> Result<(), Fault> {
        let index = row.record.leaf_index.ok_or(ProblemKind::Internal)?;
        let Some(disclosures) = self.public_disclosures(connection, row, index)? else {
            // Looked at and never again: its own leaf stands for the one that says it is published.
            return store(connection, row, index, None);
        };
        let texts: Vec<&str> = disclosures.iter().map(Disclosure::expose_text).collect();
        let shown = serde_json::to_vec(&texts).map_err(|_our_type| ProblemKind::Internal)?;
        let key = db::month_key(connection, row.month)?.ok_or(ProblemKind::OpeningErased)?;
        let shown = self.wrap_private(&key, &shown)?;
        let leaf = match self.unfinished.published.get(&index).copied() {
            Some(leaf) => leaf,
            None => {
                let names = SaltedName::ALL.iter().copied().filter(|name| name.is_for_the_public()).collect();
                let entry = LogEntry::OpeningPublished(OpeningPublished { index, names });
                let logged = self.keeper.state(vec![entry], now, &mut SystemRng);
                let leaf = logged.map_err(|error| self.log_fault(error))?.first().copied();
                let leaf = leaf.ok_or(ProblemKind::Internal)?;
                self.unfinished.published.insert(index, leaf);
                self.publish();
                leaf
            }
        };
        store(connection, row, leaf, Some(&shown))?;
        self.unfinished.published.remove(&index);
        Ok(())
    }

    /// The disclosures that the public gets; none where the keeper could not open or judge the request, and the leaf holds decoys.
    fn public_disclosures(
        &self,
        connection: &Connection,
        row: &db::RequestRow,
        index: u64,
    ) -> Result<Option<Vec<Disclosure>>, Fault> {
        let bare = [CodeRule::Opening, CodeRule::Facts].iter().any(|rule| row.record.rules.contains(rule.id()));
        let logged = self.logged_request(index)?;
        let opened = match self.reopen(connection, row) {
            Ok(opened) => opened,
            Err(Fault::Problem(ProblemKind::Malformed | ProblemKind::Invalid)) if bare => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let window = disclosure_of(&opened, SaltedName::Window, &[])?;
        if bare && !logged.leaf.sd.contains(&window.digest()) {
            return Ok(None);
        }
        Ok(Some(published(&opened, self.keeper.notice_key(), &logged.nonce, logged.leaf.sd.digests())?))
    }

    /// What is served of a leaf: exact bytes of a JSON array of disclosures.
    ///
    /// # Errors
    /// `not-found` for what is no request leaf, is still closed, or whose `opening.published` others have not confirmed yet;
    /// `opening-erased` once it is.
    pub(in crate::keeper) fn shown(&self, connection: &Connection, index: u64) -> Result<Vec<u8>, Fault> {
        let row = db::shown(connection, index)?.ok_or(ProblemKind::NotFound)?;
        if !row.kept {
            return Err(ProblemKind::OpeningErased.into());
        }
        let (Some(leaf), Some(wrapped)) = (row.published, row.shown) else { return Err(ProblemKind::NotFound.into()) };
        if leaf >= self.releaser.published() {
            return Err(ProblemKind::NotFound.into());
        }
        Ok(self.unwrap_private(connection, row.month, &wrapped)?.to_vec())
    }
}

/// Notes that a request is published, by which leaf, and what is shown of it.
fn store(connection: &Connection, row: &db::RequestRow, leaf: u64, shown: Option<&[u8]>) -> Result<(), Fault> {
    let leaf = i64::try_from(leaf).map_err(|_range| ProblemKind::Internal)?;
    connection.execute(
        "UPDATE request SET published = ?2, shown = ?3 WHERE digest = ?1",
        params![row.record.request_digest, leaf, shown],
    )?;
    Ok(())
}

/// `GET <log prefix>/openings/<index>`.
pub(in crate::keeper) fn routes(prefix: &str, desk: Desk) -> Router {
    let any_origin = |mut response: Response| async move {
        // On refusals too: a page that asks from elsewhere must see whether an entry is still closed or erased.
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
        response
    };
    Router::new()
        .route(&format!("{prefix}/openings/{{index}}"), get(openings))
        .layer(axum::middleware::map_response(any_origin))
        .with_state(desk)
}

async fn openings(State(desk): State<Desk>, Path(index): Path<String>) -> Result<Response, Problem> {
    let digits = index.len() <= INDEX_DIGITS_MAX && index.bytes().all(|byte| byte.is_ascii_digit());
    let number = index.parse::<u64>().ok().filter(|number| digits && number.to_string() == index);
    let number = number.ok_or(ProblemKind::NotFound)?;
    let shown = desk.visit(move |office, db, _now| office.shown(db, number)).await?;
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], shown).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, KEPT_BY_OTHERS);
    Ok(response)
}

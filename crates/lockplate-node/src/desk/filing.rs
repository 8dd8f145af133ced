//! Carries out what [`super::plan`] says for one request: calls keepers side by side, writes down every answer before the next
//! step, waits before it tries again. A repeat sends the same bytes. It decides nothing and opens nothing.

use core::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lockplate_core::approval::{Approval, Grant};
use lockplate_core::filing::FilingSlip;
use lockplate_core::id::KeeperIndex;
use lockplate_core::keeper::CodeRule;
use lockplate_core::open::{Evaluation, answer_of};
use lockplate_core::request::FiledRequest;
use lockplate_core::sign::{Signed, VerifyKey};
use rusqlite::params;
use sha2::{Digest as _, Sha256};

use super::plan::{Case, Evaluating, Plan, Said, Step, View, plan};
use super::{Desk, DeskFault, Flags, Owner, locked, store};
use crate::api::{AnswerState, B64, DeskState, Evaluated, GrantShown, KeeperAnswer, RequestFiled};
use crate::client::PeerError;
use crate::problem::ProblemKind;

/// First and longest pause after a call that failed.
const REST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Pause between two looks at a waiting keeper.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The answer is stored.
    Stored,
    /// Not yet: look again later.
    NotYet,
    /// The keeper could not be reached, or said "later".
    Failed,
    /// A pause is over.
    Rested,
}

/// Everything of a request, from the database.
pub(super) struct Loaded {
    pub(super) row: store::RequestRow,
    pub(super) keepers: Vec<store::KeeperRow>,
    pub(super) grant: Option<Grant>,
}

impl Desk {
    /// Loads a request; `None` if there is none.
    pub(super) async fn load(&self, digest: [u8; 32]) -> Result<Option<Loaded>, DeskFault> {
        let loaded = self
            .inner
            .db
            .call(move |connection| {
                let Some(row) = store::request(connection, &digest)? else { return Ok(None) };
                Ok(Some((row, store::keepers(connection, &digest)?)))
            })
            .await?;
        let Some((row, keepers)) = loaded else { return Ok(None) };
        let grant = row.grant.as_deref().map(Grant::from_bytes).transpose()?;
        Ok(Some(Loaded { row, keepers, grant }))
    }

    /// Where a loaded request stands and what comes next.
    pub(super) fn plan(&self, owner: &Owner, loaded: &Loaded, flags: &[Flags]) -> Result<Plan, DeskFault> {
        let views = views(owner, loaded, flags)?;
        let charter = owner.charter.charter();
        let t = usize::from(owner.charter.threshold().t());
        let by_rule = locked(&self.inner.by_rule).contains(&kind_of(&FiledRequest::from_bytes(&loaded.row.filed)?));
        let case = Case {
            t,
            entities: t.min(charter.legal_entities()),
            keepers: &views,
            granted: loaded.grant.as_ref().map(|grant| grant.epoch_ids.as_slice()),
            expired: loaded.row.not_after <= self.now_i64(),
            by_rule,
        };
        Ok(plan(&case))
    }

    /// Works on one request until nothing is left to do or its time is over.
    pub(super) async fn drive(self, digest: [u8; 32]) {
        let mut rests = std::collections::BTreeMap::<u8, Duration>::new();
        let mut calls: FuturesUnordered<BoxFuture<'static, (u8, Ended)>> = FuturesUnordered::new();
        let mut done = std::collections::VecDeque::new();
        loop {
            // The calls are polled along: one of them may be next in the queue for the database, and while nobody polls it the
            // database serves nobody else, these next steps included.
            let planned = {
                let steps = self.next_steps(digest);
                tokio::pin!(steps);
                loop {
                    tokio::select! {
                        planned = &mut steps => break planned,
                        Some(ended) = calls.next(), if !calls.is_empty() => done.push_back(ended),
                    }
                }
            };
            let planned = match planned {
                Ok(planned) => planned,
                Err(fault) => {
                    tracing::error!(%fault, "a request cannot be worked on");
                    break;
                }
            };
            for step in planned {
                let place = match &step {
                    Step::File { place, .. } | Step::Look { place } | Step::Evaluate { place } => *place,
                    Step::Grant { .. } => 0,
                };
                self.flag(&digest, place, |flags| flags.busy = true);
                let desk = self.clone();
                calls.push(Box::pin(async move { (place, desk.carry_out(digest, step).await) }));
            }
            let stopping = self.inner.tasks.stopping().clone();
            let ended = if let Some(ended) = done.pop_front() {
                Some(ended)
            } else if calls.is_empty() {
                if self.leave(&digest) {
                    break;
                }
                continue;
            } else {
                tokio::select! {
                    ended = calls.next() => ended,
                    () = self.woken(&digest) => None,
                    () = stopping.cancelled() => break,
                }
            };
            let Some((place, ended)) = ended else { continue };
            let rest = match ended {
                Ended::Stored => {
                    rests.remove(&place);
                    self.flag(&digest, place, |flags| *flags = Flags::default());
                    continue;
                }
                Ended::Rested => {
                    self.flag(&digest, place, |flags| flags.busy = false);
                    continue;
                }
                Ended::NotYet => {
                    self.flag(&digest, place, |flags| flags.down = false);
                    LOOK_AGAIN
                }
                Ended::Failed => {
                    self.flag(&digest, place, |flags| flags.down = true);
                    let rest = rests.entry(place).or_insert(REST.0);
                    let now = *rest;
                    *rest = now.saturating_mul(2).min(REST.1);
                    now
                }
            };
            calls.push(Box::pin(async move {
                tokio::time::sleep(rest).await;
                (place, Ended::Rested)
            }));
        }
        self.forget(&digest);
    }

    async fn next_steps(&self, digest: [u8; 32]) -> Result<Vec<Step>, DeskFault> {
        let loaded = self.load(digest).await?.ok_or(DeskFault::Gone)?;
        if loaded.row.is_done() {
            return Ok(Vec::new());
        }
        let owner = self.owner(loaded.row.owner).ok_or(DeskFault::Gone)?;
        Ok(self.plan(owner, &loaded, &self.flags(&digest))?.steps)
    }

    async fn carry_out(&self, digest: [u8; 32], step: Step) -> Ended {
        let done = match step {
            Step::File { place, ask } => self.file_with(digest, place, ask).await,
            // Filed again with the wish that is stored: keepers answer only whom a desk vouches for.
            Step::Look { place } => self.file_with(digest, place, false).await,
            Step::Grant { places, epochs } => self.grant(digest, &places, epochs).await,
            Step::Evaluate { place } => self.evaluate(digest, place).await,
        };
        done.unwrap_or_else(|fault| {
            tracing::warn!(%fault, "a step of a request failed");
            Ended::Failed
        })
    }

    async fn file_with(&self, digest: [u8; 32], place: u8, ask: bool) -> Result<Ended, DeskFault> {
        let loaded = self.load(digest).await?.ok_or(DeskFault::Gone)?;
        let owner = self.owner(loaded.row.owner).ok_or(DeskFault::Gone)?;
        let client = owner.client(place).ok_or(DeskFault::Gone)?;
        // A keeper that refuses the directory refuses the request in its own words.
        self.push_to(owner, place).await;
        let ask = self.inner.db.transaction(move |connection| store::fix_ask(connection, &digest, place, ask)).await?;
        let openings: Vec<B64> = serde_json::from_str(&loaded.row.openings).map_err(|_our_row| DeskFault::Gone)?;
        let attachments: Vec<B64> =
            serde_json::from_str(&loaded.row.attachments).map_err(|_our_row| DeskFault::Gone)?;
        let own = usize::from(place.saturating_sub(1));
        let hashes: Vec<B64> = openings.iter().map(|one| B64(Sha256::digest(&one.0).to_vec())).collect();
        let opening = openings.get(own).ok_or(DeskFault::Gone)?;
        let keepers = owner.charter.charter().keepers.len();
        let auditor_openings = openings.get(keepers..).ok_or(DeskFault::Gone)?.to_vec();
        let slip = FilingSlip::of(
            KeeperIndex(place),
            &loaded.row.filed,
            &opening.0,
            &slices(&hashes),
            &slices(&attachments),
            loaded.row.session.as_deref(),
            ask,
        );
        let kind = kind_of(&FiledRequest::from_bytes(&loaded.row.filed)?);
        let body = RequestFiled {
            filed: B64(loaded.row.filed),
            opening: B64(opening.0.clone()),
            auditor_openings,
            opening_hashes: hashes,
            attachments,
            session: loaded.row.session.map(B64),
            ask_human: ask,
            slip: B64(self.inner.slip_key.sign(slip).to_bytes()),
        };
        let answered = client.post_json::<_, KeeperAnswer>("/v1/requests", &body).await;
        if let Ok(answer) = &answered {
            self.learn(kind, answer);
        }
        self.answered(digest, owner, place, answered).await
    }

    /// How the next one of this kind is filed. Forgotten at a restart: then one keeper is asked first again.
    fn learn(&self, kind: Kind, answer: &KeeperAnswer) {
        let mut by_rule = locked(&self.inner.by_rule);
        match answer.state {
            AnswerState::Approved if answer.humans_needed == 0 => drop(by_rule.insert(kind)),
            AnswerState::Approved | AnswerState::Waiting => drop(by_rule.remove(&kind)),
            AnswerState::Refused => {}
        }
    }

    async fn answered(
        &self,
        digest: [u8; 32],
        owner: &Owner,
        place: u8,
        answered: Result<KeeperAnswer, PeerError>,
    ) -> Result<Ended, DeskFault> {
        let answer = match answered {
            Ok(answer) => answer,
            Err(PeerError::Problem(problem)) if is_final(problem.kind()) => {
                return self.problem(digest, place, problem.kind().slug(), true).await;
            }
            Err(PeerError::Problem(problem)) => return self.problem(digest, place, problem.kind().slug(), false).await,
            Err(_transport) => return self.problem(digest, place, "unreachable", false).await,
        };
        if !holds(owner, place, &digest, &answer) {
            return self.problem(digest, place, ProblemKind::KeeperMisbehaved.slug(), true).await;
        }
        let waits = answer.state == AnswerState::Waiting;
        let text = serde_json::to_string(&answer).map_err(|_our_type| DeskFault::Gone)?;
        self.inner
            .db
            .transaction(move |connection| {
                connection.execute(
                    "UPDATE keeper SET answer = ?3, problem = NULL WHERE digest = ?1 AND place = ?2",
                    params![digest, place, text],
                )?;
                Ok(())
            })
            .await?;
        Ok(if waits { Ended::NotYet } else { Ended::Stored })
    }

    async fn problem(
        &self,
        digest: [u8; 32],
        place: u8,
        slug: &'static str,
        rejected: bool,
    ) -> Result<Ended, DeskFault> {
        self.inner
            .db
            .transaction(move |connection| {
                connection.execute(
                    "UPDATE keeper SET problem = ?3, rejected = rejected OR ?4 WHERE digest = ?1 AND place = ?2",
                    params![digest, place, slug, rejected],
                )?;
                Ok(())
            })
            .await?;
        Ok(if rejected { Ended::Stored } else { Ended::Failed })
    }

    async fn grant(
        &self,
        digest: [u8; 32],
        places: &[u8],
        epoch_ids: Vec<lockplate_core::id::EpochId>,
    ) -> Result<Ended, DeskFault> {
        let loaded = self.load(digest).await?.ok_or(DeskFault::Gone)?;
        let filed = FiledRequest::from_bytes(&loaded.row.filed)?;
        let approvals = loaded
            .keepers
            .iter()
            .filter(|keeper| places.contains(&keeper.place))
            .filter_map(|keeper| keeper.answer.as_ref()?.approval.as_ref())
            .map(|approval| Signed::from_bytes(&approval.0))
            .collect::<Result<_, _>>()?;
        let bytes = Grant { request: filed.request, approvals, epoch_ids }.to_bytes();
        self.inner
            .db
            .transaction(move |connection| {
                // One grant a request, for ever: evaluations under two do not combine.
                connection.execute(
                    "UPDATE request SET grant_bytes = COALESCE(grant_bytes, ?2) WHERE digest = ?1",
                    params![digest, bytes],
                )?;
                Ok(())
            })
            .await?;
        Ok(Ended::Stored)
    }

    async fn evaluate(&self, digest: [u8; 32], place: u8) -> Result<Ended, DeskFault> {
        let loaded = self.load(digest).await?.ok_or(DeskFault::Gone)?;
        let owner = self.owner(loaded.row.owner).ok_or(DeskFault::Gone)?;
        let client = owner.client(place).ok_or(DeskFault::Gone)?;
        let bytes = loaded.row.grant.ok_or(DeskFault::Gone)?;
        let (grant, key) = (Grant::from_bytes(&bytes)?, owner.key(place).ok_or(DeskFault::Gone)?);
        let shown = GrantShown { grant: B64(bytes) };
        let (evaluating, bytes, slug) = match client.post_json::<_, Evaluated>("/v1/evaluations", &shown).await {
            Ok(Evaluated { evaluation: B64(bytes) }) => {
                let signed = Signed::<Evaluation>::from_bytes(&bytes);
                if signed.is_ok_and(|signed| answer_of(&signed, &key, KeeperIndex(place), &grant).is_ok()) {
                    (1, Some(bytes), None)
                } else {
                    // Its TLS key said it, and nothing that could be shown to others. It is asked again: a mended keeper's answer counts.
                    tracing::error!(
                        keeper = place,
                        "a keeper's answer to a grant is not one that it signed for this grant"
                    );
                    return self.problem(digest, place, ProblemKind::KeeperMisbehaved.slug(), false).await;
                }
            }
            Err(PeerError::Problem(problem)) if is_final(problem.kind()) => {
                let kind = problem.kind();
                let evaluating = if kind == ProblemKind::EpochDestroyed {
                    4
                } else if kind == ProblemKind::Lapsed {
                    5
                } else {
                    3
                };
                (evaluating, None, Some(kind.slug()))
            }
            Err(_later) => return self.problem(digest, place, "unreachable", false).await,
        };
        self.inner
            .db
            .transaction(move |connection| {
                connection.execute(
                    "UPDATE keeper SET evaluating = ?3, evaluation = ?4, problem = ?5
                     WHERE digest = ?1 AND place = ?2 AND evaluating = 0",
                    params![digest, place, evaluating, bytes, slug],
                )?;
                Ok(())
            })
            .await?;
        Ok(Ended::Stored)
    }
}

/// What decides, more than all else, whether rules ask for people: whose archive, what for, on what basis.
pub(super) type Kind = ([u8; 16], &'static str, &'static str);

fn kind_of(filed: &FiledRequest) -> Kind {
    let asked = filed.request.claimed();
    (asked.owner_agency.0, asked.purpose.name(), asked.basis.name())
}

fn slices(items: &[B64]) -> Vec<&[u8]> {
    items.iter().map(|one| one.0.as_slice()).collect()
}

/// A problem that the same bytes will meet again.
const fn is_final(kind: ProblemKind) -> bool {
    matches!(
        kind,
        ProblemKind::Malformed
            | ProblemKind::Invalid
            | ProblemKind::Refused
            | ProblemKind::NotSignedIn
            | ProblemKind::NotFound
            | ProblemKind::TooLarge
            | ProblemKind::UnsupportedType
            | ProblemKind::Spent
            | ProblemKind::Conflicting
            | ProblemKind::Lapsed
            | ProblemKind::EpochDestroyed
    )
}

/// The answer says what its signed approval says, and the approval is this keeper's on this request.
fn holds(owner: &Owner, place: u8, digest: &[u8; 32], answer: &KeeperAnswer) -> bool {
    let Some(approval) = &answer.approval else { return answer.state == AnswerState::Waiting };
    let Some(key) = owner.key(place) else { return false };
    let Ok(signed) = Signed::<Approval>::from_bytes(&approval.0) else { return false };
    let Ok(approval) = signed.verify(&key) else { return false };
    let yes = answer.state == AnswerState::Approved;
    approval.request_digest == *digest
        && approval.keeper_key == key.0
        && answer.state != AnswerState::Waiting
        && approval.decision.is_approval() == yes
}

fn views(owner: &Owner, loaded: &Loaded, flags: &[Flags]) -> Result<Vec<View>, DeskFault> {
    loaded
        .keepers
        .iter()
        .map(|keeper| {
            let entry = owner.charter.charter().keeper(KeeperIndex(keeper.place)).ok_or(DeskFault::Gone)?;
            let flag = flags.get(usize::from(keeper.place)).copied().unwrap_or_default();
            Ok(View {
                place: keeper.place,
                // Equal texts are one entity, however they are spaced and cased (charter).
                entity: entry.legal_entity.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase(),
                ask: keeper.ask,
                said: keeper.answer.as_ref().map(said).transpose()?,
                humans: keeper.answer.as_ref().map_or(0, |answer| answer.humans_needed),
                rejected: keeper.rejected,
                busy: flag.busy,
                down: flag.down,
                evaluating: match keeper.evaluating {
                    1 => Evaluating::Have,
                    2 => Evaluating::Wrong,
                    3 => Evaluating::Refused,
                    4 => Evaluating::Destroyed,
                    5 => Evaluating::Lapsed,
                    _ => Evaluating::None,
                },
            })
        })
        .collect()
}

fn said(answer: &KeeperAnswer) -> Result<Said, DeskFault> {
    Ok(match (answer.state, &answer.approval) {
        (AnswerState::Approved, Some(approval)) => {
            let signed = Signed::<Approval>::from_bytes(&approval.0)?;
            let approval = signed.claimed();
            Said::Approved {
                by_human: approval.decision == lockplate_core::approval::Decided::ApprovedByHuman,
                epochs: approval.epochs.clone(),
                policy: approval.policy_digest,
            }
        }
        (AnswerState::Waiting, _) | (AnswerState::Approved, None) => Said::Waiting,
        (AnswerState::Refused, _) => Said::Refused {
            destroyed: answer.epochs_destroyed > 0 && answer.rules.iter().any(|rule| rule == CodeRule::Epochs.id()),
        },
    })
}

/// The state for people; disclosure is the end whatever the plan says.
pub(super) const fn shown_state(planned: DeskState, disclosed: bool) -> DeskState {
    if disclosed { DeskState::Disclosed } else { planned }
}

/// The key of a keeper.
pub(super) fn keeper_key(owner: &Owner, place: u8) -> Option<VerifyKey> {
    let entry = owner.charter.charter().keeper(KeeperIndex(place))?;
    entry.key.public_key().try_into().ok().map(VerifyKey)
}

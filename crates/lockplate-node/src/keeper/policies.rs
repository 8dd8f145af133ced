//! Change control at a keeper (`law.md` section 7). A bundle comes signed, with its files and, where it allows more, with the published text
//! that says what; the keeper compares the files with those in force itself, logs the change, and adopts it when its time has come. Exactly
//! one digest applies at a time. What was in force stays readable, so that every decision can be asked again.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use lockplate_core::Timestamp;
use lockplate_core::entry::{LogEntry, PolicyLeaf, PolicyRelation};
use lockplate_core::facts::AccessPolicy as _;
use lockplate_core::policy_change::{Accepted, read_policy_change, verify_policy_change};
use lockplate_core::signed::SignedObject;
use lockplate_policy::{Bundle, CedarPolicy, CheckedBundle, SeenRelation, same_body, seen_relation};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::db;
use super::office::{Desk, Fault, Office};
use crate::api::{PolicyFile, PolicyFiled, PolicyShown};
use crate::problem::{Problem, ProblemKind};
use crate::release::Unreleased;
use crate::rng::SystemRng;

/// Characters of the text that says what a looser policy allows.
const ALLOWS_BYTES_MAX: usize = 256 * 1024;
/// Bundles that are kept: a change a month for over forty years.
const BUNDLES_MAX: u32 = 500;

/// The bundle in force, the one of the founding, and the one that waits.
#[derive(Debug)]
pub(super) struct Policies {
    in_force: Bundle,
    founding: Bundle,
    pending: Option<Pending>,
}

/// A change that waits for its time.
#[derive(Debug)]
struct Pending {
    row: i64,
    bundle: Bundle,
    effective: Timestamp,
    /// It counts once this leaf is published.
    leaf: u64,
}

impl Policies {
    /// The bundle that the charter names.
    pub(super) fn founding(bundle: Bundle) -> Self {
        Self { in_force: bundle.clone(), founding: bundle, pending: None }
    }
}

/// A row of `policy_bundle`.
pub(super) struct BundleRow {
    pub(super) id: i64,
    pub(super) files: String,
    pub(super) effective: Timestamp,
    pub(super) leaf: Option<u64>,
    pub(super) state: BundleState,
}

/// What became of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BundleState {
    Waits = 0,
    WasInForce = 1,
    Cancelled = 2,
}

impl BundleState {
    pub(super) const fn of(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Waits),
            1 => Some(Self::WasInForce),
            2 => Some(Self::Cancelled),
            _ => None,
        }
    }
}

impl Office {
    /// `POST /v1/policies`. A repeat of the change that waits is harmless.
    pub(super) fn file_policy(
        &mut self,
        connection: &mut Connection,
        filed: &PolicyFiled,
        now: Timestamp,
    ) -> Result<Unreleased<()>, Fault> {
        let object = SignedObject::parse(&filed.object.0)?;
        let body = read_policy_change(&object)?;
        let in_force = self.keeper.policy().digest();
        if body.new == body.old {
            return self.cancel_policy(connection, &object, in_force, now);
        }
        if let Some(pending) = &self.policies.pending {
            let again = pending.bundle.digest() == body.new;
            return if again { Ok(self.resting_on_all(())) } else { Err(ProblemKind::Conflicting.into()) };
        }
        if body.new == in_force {
            return Ok(self.resting_on_all(()));
        }
        // Whoever signs first: to read the rules takes seconds that a stranger must not have.
        verify_policy_change(&object, self.charter(), &in_force, PolicyRelation::Equal, now)?;
        let bundle = bundle_of(&filed.files)?;
        if bundle.digest() != body.new {
            return Err(ProblemKind::Invalid.into());
        }
        let refused = |_lint| ProblemKind::Invalid;
        let checked = CheckedBundle::of(&bundle).map_err(refused)?;
        let founding = CheckedBundle::of(&self.policies.founding).map_err(|_lint| ProblemKind::Internal)?;
        let relation = match seen_relation(&self.policies.in_force, &bundle) {
            SeenRelation::Equal => PolicyRelation::Equal,
            SeenRelation::Narrower => PolicyRelation::Narrower,
            SeenRelation::NotSeen(why) => {
                tracing::info!(%why, "a policy change is not seen to be narrower");
                PolicyRelation::Looser
            }
        };
        let accepted = verify_policy_change(&object, self.charter(), &in_force, relation, now)?;
        let said = filed.allows.as_deref().map(|text| <[u8; 32]>::from(Sha256::digest(text.as_bytes())));
        let says_something = |text: &String| !text.trim().is_empty() && text.len() <= ALLOWS_BYTES_MAX;
        let fits = keeps_constitution(&founding, &checked)
            && filed.allows.as_ref().is_none_or(says_something)
            && accepted.allows == said;
        if !fits {
            return Err(ProblemKind::Invalid.into());
        }
        if db::bundles::count_all(connection)? >= BUNDLES_MAX {
            return Err(ProblemKind::Rate.into());
        }
        let files = serde_json::to_string(&filed.files).map_err(|_our_type| ProblemKind::Internal)?;
        // The row first: after a crash between the two, one without a leaf is forgotten, and nobody was told anything.
        let row = db::bundles::insert(connection, &body.new, &files, filed.allows.as_deref(), accepted.effective)?;
        let leaf = self.log_policy(in_force, &accepted, now)?;
        db::bundles::set_leaf(connection, row, leaf)?;
        self.policies.pending = Some(Pending { row, bundle, effective: accepted.effective, leaf });
        Ok(self.resting_on_all(()))
    }

    fn log_policy(&mut self, old: [u8; 32], accepted: &Accepted, now: Timestamp) -> Result<u64, Fault> {
        let leaf = LogEntry::Policy(PolicyLeaf {
            owner: self.charter().owner.id,
            old: Some(old),
            new: accepted.new,
            relation: accepted.relation,
            signers: accepted.signers,
            effective: accepted.effective,
        });
        let logged = self.keeper.state(vec![leaf], now, &mut SystemRng).map_err(|error| self.log_fault(error))?;
        self.publish();
        Ok(logged.first().copied().ok_or(ProblemKind::Internal)?)
    }

    /// Whoever may tighten may also leave things as they are.
    fn cancel_policy(
        &mut self,
        connection: &Connection,
        object: &SignedObject,
        in_force: [u8; 32],
        now: Timestamp,
    ) -> Result<Unreleased<()>, Fault> {
        let accepted = verify_policy_change(object, self.charter(), &in_force, PolicyRelation::Equal, now)?;
        let Some(pending) = &self.policies.pending else { return Ok(self.resting_on_all(())) };
        db::bundles::set_state(connection, pending.row, BundleState::Cancelled)?;
        self.policies.pending = None;
        self.log_policy(in_force, &accepted, now)?;
        Ok(self.resting_on_all(()))
    }

    /// Adopts the change that has waited long enough.
    pub(super) fn put_policy_in_force(
        &mut self,
        connection: &Connection,
        published: u64,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let due = |one: &mut Pending| one.effective <= now && one.leaf < published;
        let Some(pending) = self.policies.pending.take_if(due) else { return Ok(()) };
        db::bundles::set_state(connection, pending.row, BundleState::WasInForce)?;
        self.adopt(pending.bundle)
    }

    fn adopt(&mut self, bundle: Bundle) -> Result<(), Fault> {
        let policy = CedarPolicy::load(&bundle).map_err(|_was_checked| Fault::Fatal)?;
        tracing::info!(policy = hex::encode(policy.digest()), "a policy is in force");
        self.keeper.adopt(Box::new(policy));
        self.policies.in_force = bundle;
        Ok(())
    }

    /// Reads back the bundle in force and the one that waits. Run once at start, after the log was read.
    pub(super) fn load_policies(&mut self, connection: &Connection) -> Result<(), Fault> {
        let founding = &self.policies.founding;
        if !db::bundles::is_known(connection, &founding.digest())? {
            let files: Vec<_> = founding.files().map(PolicyFile::new).collect();
            let files = serde_json::to_string(&files).map_err(|_our_type| ProblemKind::Internal)?;
            let row = db::bundles::insert(connection, &founding.digest(), &files, None, Timestamp(0))?;
            db::bundles::set_state(connection, row, BundleState::WasInForce)?;
        }
        db::bundles::forget_unlogged(connection)?;
        for row in db::bundles::all(connection)? {
            let files: Vec<PolicyFile> = serde_json::from_str(&row.files).map_err(|_torn| Fault::Fatal)?;
            let bundle = bundle_of(&files).map_err(|_torn| Fault::Fatal)?;
            match (row.state, row.leaf) {
                (BundleState::WasInForce, _) if bundle.digest() != self.policies.in_force.digest() => {
                    self.adopt(bundle)?
                }
                (BundleState::Waits, Some(leaf)) => {
                    let pending = Pending { row: row.id, bundle, effective: row.effective, leaf };
                    self.policies.pending = Some(pending);
                }
                (BundleState::WasInForce | BundleState::Waits | BundleState::Cancelled, _) => {}
            }
        }
        Ok(())
    }
}

/// Every starred property of the founding bundle, which the charter pins by its digest, stands in the new one word for word.
fn keeps_constitution(founding: &CheckedBundle, new: &CheckedBundle) -> bool {
    founding.properties().iter().filter(|property| property.constitution).all(|property| {
        new.properties().iter().any(|other| {
            other.id() == property.id()
                && other.constitution
                && other.check == property.check
                && same_body(&other.policy, &property.policy)
        })
    })
}

fn bundle_of(files: &[PolicyFile]) -> Result<Bundle, ProblemKind> {
    let files = files.iter().map(|file| (file.path.clone(), file.text.clone()));
    Bundle::from_files(files).map_err(|_shape| ProblemKind::Malformed)
}

/// What anybody may read: the bundles, by digest, and what a looser one allows.
pub(super) fn routes(desk: Desk) -> Router {
    Router::new().route("/policy/{digest}", get(show)).with_state(desk)
}

async fn show(State(desk): State<Desk>, Path(digest): Path<String>) -> Result<Json<PolicyShown>, Problem> {
    let mut wanted = [0; 32];
    hex::decode_to_slice(&digest, &mut wanted).map_err(|_form| ProblemKind::NotFound)?;
    let shown = desk.visit(move |office, db, _now| {
        let (files, allows, effective) = db::bundles::newest(db, &wanted)?.ok_or(ProblemKind::NotFound)?;
        Ok(PolicyShown {
            schema: "lockplate/policy-bundle/1".to_owned(),
            digest: hex::encode(wanted),
            in_force: office.keeper.policy().digest() == wanted,
            effective: effective.0,
            allows,
            files: serde_json::from_str(&files).map_err(|_torn| ProblemKind::Internal)?,
        })
    });
    Ok(Json(shown.await?))
}

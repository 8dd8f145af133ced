//! Doors of hot lists: lists are registered and ended by their stewards, files are brought, and what is in force is told to whoever runs
//! the machine. Entries never leave.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{Stream, StreamExt as _};
use lockplate_core::Timestamp;
use lockplate_core::authorisation::verify_session;
use lockplate_core::hotlist::handover::lists_asked;
use lockplate_core::hotlist::load::HumanKeeper;
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::hotlist::steward::{ListConfig, LoadOrder, SIGNERS_MAX};
use lockplate_core::person::ByPerson;
use lockplate_core::sign::Statement as _;
use lockplate_core::signed::SignedObject;
use lockplate_core::vocabulary::Role;
use lockplate_intake::hotlist_file::Template;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::change::{Effect, Patience, Settled};
use super::health::{ListHealth, ListsHealth};
use super::load::{Brought, LoadReport};
use super::people::Party;
use super::store::{self, ListRow};
use super::{HotLists, LISTS_MAX, List, PIECES_MAX, down, registered_serial};
use crate::api::{B64, Done};
use crate::desk::FACTORS;
use crate::http::BoundedJson;
use crate::problem::{Problem, ProblemKind};

/// Signed orders for the file in the body: base64url without padding, with commas between them.
pub const HEADER_ORDERS: HeaderName = HeaderName::from_static("lockplate-load-orders");
/// Bytes of a registration: a directory, a template, signatures.
const REGISTRATION_BYTES_MAX: usize = 1024 * 1024;
/// How long after it was signed something may be brought: a load that grew waits for a second person.
const ORDER_SECONDS_MAX: u64 = 3 * 86_400;
/// Difference between the clocks of signer and recorder.
const SKEW_SECONDS_MAX: u64 = 300;

/// `POST /v1/hotlists`: a list as its steward signs it, new, changed or ended.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRegistered {
    /// `ByPerson<ListConfig>`.
    pub config: B64,
    /// The template whose SHA-256 stands in it; absent where files come in the own format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Of another agency's list: its signed directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<B64>,
    /// Of another agency's list: its desk's session statement over the digest of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<B64>,
    /// Of another agency's list: the same configuration signed by a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<B64>,
}

/// `POST /v1/hotlists/shared`: an officer of another agency asks how that agency's lists here are.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedAsked {
    /// The agency's signed directory.
    pub directory: B64,
    /// Its desk's session statement over [`lists_asked`] of this recorder's charter.
    pub session: B64,
}

impl core::fmt::Debug for SharedAsked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SharedAsked(..)")
    }
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedLists {
    /// The agency's lists, by name; nobody else's.
    pub lists: Vec<ListHealth>,
}

impl core::fmt::Debug for ListRegistered {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ListRegistered(..)")
    }
}

impl HotLists {
    /// `POST /v1/hotlists`, `GET /v1/hotlists`, `POST /v1/hotlists/shared`, `POST /v1/hotlists/{id}/loads`.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/v1/hotlists", post(register).layer(DefaultBodyLimit::max(REGISTRATION_BYTES_MAX)))
            .route("/v1/hotlists", get(list))
            .route("/v1/hotlists/shared", post(shared).layer(DefaultBodyLimit::max(REGISTRATION_BYTES_MAX)))
            // The parser counts, and refuses at its bound.
            .route("/v1/hotlists/{id}/loads", post(load).layer(DefaultBodyLimit::disable()))
            .with_state(self.clone())
    }

    async fn register(&self, headers: &HeaderMap, asked: ListRegistered) -> Result<(), Problem> {
        let malformed = || Problem::new(ProblemKind::Malformed);
        let signed = ByPerson::<ListConfig>::from_bytes(&asked.config.0).map_err(|_form| malformed())?;
        let config = signed.claimed().clone();
        let is_own = config.agency == self.own();
        let now = self.now();
        // Whoever owns the cameras ends what is matched at them: no directory of the other agency's is needed for that.
        let ends_here = !is_own && config.retired && asked.directory.is_none();
        let by_own = is_own || ends_here;
        let (party, mfa) = self.stewards(headers, &asked, &config, *signed.claimed_key(), by_own).await?;
        let refuse = |pointer: &'static str| Problem::new(ProblemKind::Invalid).with_pointer(pointer);
        let steward = party.signer(&signed).ok_or_else(|| Problem::new(ProblemKind::NotSignedIn))?;
        if !party.directory.is_in_service(&steward.0.key_id, now) {
            return Err(ProblemKind::NotSignedIn.into());
        }
        // What lives with the recorder is the recorder's own.
        if !is_own && (config.settings.kind != SetKind::Extract || config.alert_key.is_none()) {
            return Err(refuse("/config"));
        }
        // A second person signs this very configuration, or another list's approval would do.
        let approves = |B64(second): &B64| {
            let second = ByPerson::<ListConfig>::from_bytes(second).ok().filter(|second| *second.claimed() == config);
            let second = second.and_then(|second| party.signer(&second));
            second.is_some_and(|(second, _)| party.is_second(&steward.0.key_id, &second.key_id, now))
        };
        if asked.approval.as_ref().is_some_and(|approval| !approves(approval)) {
            return Err(refuse("/approval"));
        }
        if config.entries_max > self.extract_entries_max() {
            return Err(refuse("/config/entries_max"));
        }
        let _one_at_a_time = self.0.registering.lock().await;
        let id = config.settings.list;
        // No load of it is between its leaf and its set while this one changes.
        let turn = self.list(&id).map(|known| Arc::clone(&known.turn));
        let _one_at_a_time = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        if let Settled::Waits(_) = self.settle(&id, Patience::Some).await? {
            return Err(ProblemKind::LogUnwitnessed.into());
        }
        let known = self.list(&id);
        let follows = known.as_ref().is_none_or(|known| {
            known.config.serial < config.serial
                && known.config.agency == config.agency
                && known.config.settings.kind == config.settings.kind
                && !known.config.retired
        });
        // The same once more, with a newer directory.
        let is_same = known.as_ref().is_some_and(|known| known.config == config && known.steward == steward.0.key_id);
        if !follows && !is_same {
            return Err(Problem::new(ProblemKind::Conflicting));
        }
        // What is known may be signed long ago: whoever shows a newer directory of another agency does that for months. The session is of now.
        if !is_same && config.time.0.abs_diff(now.0) > SKEW_SECONDS_MAX {
            return Err(refuse("/config/time"));
        }
        if known
            .as_ref()
            .filter(|_| !by_own)
            .and_then(|known| registered_serial(known))
            .is_some_and(|least| party.directory.serial() < least)
        {
            return Err(ProblemKind::NotSignedIn.into());
        }
        let again = known.as_ref().filter(|_| is_same);
        let by_same_template = known.as_ref().filter(|known| known.config.template == config.template);
        let template_text = asked.template.or_else(|| by_same_template.and_then(|known| known.row.template.clone()));
        let approval =
            asked.approval.map(|B64(bytes)| bytes).or_else(|| again.and_then(|known| known.row.approval.clone()));
        let template: [u8; 32] = match &template_text {
            None => [0; 32],
            Some(text) if Template::parse(text).is_ok() => Sha256::digest(text.as_bytes()).into(),
            Some(_) => return Err(refuse("/template")),
        };
        if template != config.template {
            return Err(refuse("/template"));
        }
        // A list is its steward's; when he has left, a supervisor takes it over or ends it. Another agency's one only ends.
        let takes_over = by_own && steward.1.contains(&Role::Supervisor);
        if known.as_ref().is_some_and(|known| known.steward != steward.0.key_id) && !takes_over {
            return Err(ProblemKind::NotSignedIn.into());
        }
        // Names and places are taken by lists that live, and by those whose leaf is not confirmed yet.
        let mut names = self.names_to_come().await?;
        for list in self.all().iter().filter(|list| !list.config.retired) {
            names.insert((list.config.settings.list, list.config.name.clone()));
        }
        names.retain(|(list, _)| *list != id);
        let places = names.iter().map(|(list, _)| list).collect::<BTreeSet<_>>().len();
        if known.is_none() && (places >= LISTS_MAX || config.retired || config.serial == 0) {
            return Err(refuse("/config"));
        }
        if !config.retired && names.iter().any(|(_, name)| *name == config.name) {
            return Err(Problem::new(ProblemKind::Conflicting));
        }
        let row = ListRow {
            list: id,
            // The name of a list that ended is free again.
            name: if config.retired { hex::encode(id) } else { config.name.clone() },
            config: asked.config.0,
            approval,
            template: template_text,
            // Alerts that were raised on it are still fetched.
            directory: asked.directory.map(|B64(bytes)| bytes).or_else(|| known.as_ref()?.row.directory.clone()),
            mfa,
        };
        let mut list = List::of(row.clone()).ok_or_else(malformed)?;
        if let Some(known) = known.filter(|_| is_same) {
            store::put_list(self.db(), row).await.map_err(down)?;
            list.goes_on(&known);
            self.put(Arc::new(list));
            return Ok(());
        }
        let leaf = self.leaf_of(&signed).await?;
        self.change(leaf, Effect::Signed(row)).await
    }

    /// The agency whose list it is, or the own one, and whether the steward showed two factors: here, or at the own desk.
    async fn stewards(
        &self,
        headers: &HeaderMap,
        asked: &ListRegistered,
        config: &ListConfig,
        steward: [u8; 32],
        by_own: bool,
    ) -> Result<(Party, bool), Problem> {
        let refused = || Problem::new(ProblemKind::NotSignedIn);
        if by_own {
            if self.0.shifts.officer(headers)? != steward {
                return Err(refused());
            }
            return Ok((Party::own(self.0.shifts.officers().await?), true));
        }
        let directory = asked.directory.as_ref().ok_or_else(refused)?;
        let party = Party::other(self.0.charter.charter(), &directory.0, self.now()).ok_or_else(refused)?;
        if party.agency.id != config.agency {
            return Err(refused());
        }
        let session = asked.session.as_ref().ok_or_else(refused)?;
        let mfa = self.two_factors(&party, session, &ListConfig::signed_hash(&config.encode()))?;
        Ok((party, mfa))
    }

    /// Whether the desk of another agency says that an officer signed in with two factors for what has this digest.
    fn two_factors(&self, party: &Party, session: &B64, digest: &[u8; 32]) -> Result<bool, ProblemKind> {
        let refused = |_core| ProblemKind::NotSignedIn;
        let session = SignedObject::parse(&session.0).map_err(refused)?;
        let factors = FACTORS.map(str::to_owned).into();
        // The clock of that desk may be ahead; a session is shorter here by what it may be.
        let now = Timestamp(self.now().0.saturating_add(SKEW_SECONDS_MAX));
        verify_session(&session, &party.directory.body().desk_key, digest, &factors, now).map_err(refused)
    }

    fn shared(&self, asked: &SharedAsked) -> Result<SharedLists, ProblemKind> {
        let refused = ProblemKind::NotSignedIn;
        let party = Party::other(self.0.charter.charter(), &asked.directory.0, self.now()).ok_or(refused)?;
        if !self.two_factors(&party, &asked.session, &lists_asked(&self.0.charter.hash()))? {
            return Err(refused);
        }
        Ok(SharedLists { lists: self.health_of_agency(party.agency.id) })
    }

    async fn bring(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<LoadReport, Problem> {
        let refused = || Problem::new(ProblemKind::NotSignedIn);
        let orders = orders_of(headers).ok_or_else(|| Problem::new(ProblemKind::Malformed))?;
        let mut list = [0; 16];
        hex::decode_to_slice(id, &mut list).map_err(|_digits| ProblemKind::NotFound)?;
        let list = self.list(&list).filter(|list| !list.config.retired).ok_or(ProblemKind::NotFound)?;
        let party = self.party(&list).await?;
        let (first, _) = orders.split_first().ok_or_else(refused)?;
        let order = first.claimed().clone();
        // All sign the same bytes, or they sign different things.
        if orders.iter().any(|other| other.claimed() != &order) || order.list != list.config.settings.list {
            return Err(Problem::new(ProblemKind::Invalid));
        }
        let charter = self.0.charter.charter();
        let decides = |order: &&ByPerson<LoadOrder>| {
            let key = order.claimed_key();
            HumanKeeper::is_one(charter, key) && party.officer(key).is_none()
        };
        let (keepers, officers): (Vec<_>, Vec<_>) = orders.iter().partition(decides);
        let keepers = keepers.into_iter().map(|order| HumanKeeper::new(charter, order)).collect::<Option<Vec<_>>>();
        let keeper = keepers.ok_or_else(refused)?.first().copied();
        let signers = officers.into_iter().map(|order| party.signer(order)).collect::<Option<Vec<_>>>();
        let signers = signers.filter(|signers| !signers.is_empty()).ok_or_else(refused)?;
        let is_own = list.config.agency == self.own();
        if is_own && self.0.shifts.officer(headers)? != *first.claimed_key() {
            return Err(refused());
        }
        let now = self.now();
        let is_fresh = |time: Timestamp| {
            time.0 <= now.0.saturating_add(SKEW_SECONDS_MAX) && now.0.saturating_sub(time.0) <= ORDER_SECONDS_MAX
        };
        if !is_fresh(order.time) {
            return Err(Problem::new(ProblemKind::Invalid));
        }
        let orders = orders.iter().map(ByPerson::to_bytes).collect();
        let (send, pieces) = mpsc::channel(PIECES_MAX);
        self.0.tasks.spawn("hot list body", pump(body.into_data_stream(), send));
        // A task of its own: a caller that goes away leaves no load between its leaf and its set.
        let lists = self.clone();
        let (tell, told) = oneshot::channel();
        self.0.tasks.spawn("hot list load", async move {
            let report = lists.load(&list, Brought::Ordered { order, signers, keeper, orders }, pieces).await;
            drop(tell.send(report));
        });
        told.await.map_err(|_ended| ProblemKind::Unavailable)?
    }
}

/// Passes a body on. It ends with an empty piece; a body that breaks off ends without one.
pub(super) async fn pump<E>(mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin, to: mpsc::Sender<Option<Bytes>>) {
    while let Some(piece) = pieces.next().await {
        let piece = piece.ok().filter(|piece| !piece.is_empty());
        let broke_off = piece.is_none();
        if to.send(piece).await.is_err() || broke_off {
            return;
        }
    }
    let _parser_gone = to.send(Some(Bytes::new())).await;
}

/// The value of [`HEADER_ORDERS`]; none for more people than can sign.
#[must_use]
pub fn orders_value(orders: &[ByPerson<LoadOrder>]) -> Option<HeaderValue> {
    let parts: Vec<String> = orders.iter().map(|order| URL_SAFE_NO_PAD.encode(order.to_bytes())).collect();
    HeaderValue::from_str(&parts.join(",")).ok().filter(|_| (1..=SIGNERS_MAX).contains(&orders.len()))
}

fn orders_of(headers: &HeaderMap) -> Option<Vec<ByPerson<LoadOrder>>> {
    let text = headers.get(&HEADER_ORDERS)?.to_str().ok()?;
    let parts: Vec<&str> = text.split(',').take(SIGNERS_MAX.saturating_add(1)).collect();
    if parts.len() > SIGNERS_MAX {
        return None;
    }
    let order = |part: &&str| ByPerson::from_bytes(&URL_SAFE_NO_PAD.decode(part.trim()).ok()?).ok();
    parts.iter().map(order).collect()
}

async fn register(
    State(lists): State<HotLists>,
    headers: HeaderMap,
    BoundedJson(asked): BoundedJson<ListRegistered>,
) -> Result<Json<Done>, Problem> {
    // A task of its own: a caller that goes away leaves no change between its leaf and its effect.
    let (tell, told) = oneshot::channel();
    let registering = lists.clone();
    lists.0.tasks.spawn("hot list registration", async move {
        drop(tell.send(registering.register(&headers, asked).await));
    });
    told.await.map_err(|_ended| ProblemKind::Unavailable)??;
    Ok(Json(Done {}))
}

async fn list(State(lists): State<HotLists>, headers: HeaderMap) -> Result<Json<ListsHealth>, Problem> {
    let officer = lists.0.shifts.officer(&headers)?;
    if !lists.0.shifts.officers().await?.is_in_service(&officer, lists.now()) {
        return Err(ProblemKind::NotSignedIn.into());
    }
    Ok(Json(lists.health()))
}

async fn shared(
    State(lists): State<HotLists>,
    BoundedJson(asked): BoundedJson<SharedAsked>,
) -> Result<Json<SharedLists>, Problem> {
    Ok(Json(lists.shared(&asked)?))
}

async fn load(
    State(lists): State<HotLists>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<LoadReport>, Problem> {
    lists.bring(&id, &headers, body).await.map(Json)
}

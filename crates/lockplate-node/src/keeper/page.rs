//! The keeper's own page, on a listener of its own: what waits for a person, one card a request, and the answer under that person's
//! passkey. It comes from the keeper's node and never from the agency (`interfaces.md` section 1.3), shows plates to people who
//! are signed in and to nobody else, and decides nothing: an answer goes to [`Office::conclude`], the one door, which verifies
//! that a passkey of the charter signed exactly this request and verdict. A session opens the list; it is no approval.

pub(super) mod cards;
pub(super) mod frame;
pub(super) mod order;
mod sessions;
pub(super) mod words;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Json, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockplate_core::Timestamp;
use lockplate_core::approval::Approval;
use lockplate_core::id::{KeeperIndex, b64url};
use lockplate_core::keeper::{HumanDecision, Verdict};
use lockplate_core::passkey::{Assertion, RelyingParty};
use lockplate_core::person::ByPerson;
use lockplate_core::sign::{Signed, Statement as _};
use serde::{Deserialize, Serialize};

use self::cards::{Card, Ceremony, Done, SignIn, Trouble, Waiting};
use self::frame::{Frame, SignedIn, html};
use self::sessions::{COOKIE_BYTES_MAX, Session, Sessions};
use self::words::Words;
use super::office::{Desk, Office};
use super::people::People;
use super::requests::place;
use crate::api::{AnswerState, B64, KeeperAnswer};
use crate::clock::Clock;
use crate::http::{Limits, ListenError, ListenOn, Server, TlsMode};
use crate::problem::ProblemKind;
use crate::register::words::{Lang, fill};
use crate::settings::ConfigError;
use crate::shutdown::Tasks;
use crate::tls::TlsIdentity;

/// How far the time in a decision may be from the node's, seconds: between preparing and signing lies one touch.
const DECISION_SECONDS_MAX: u64 = 600;

/// Bytes of a posted form: an assertion of 2,048 bytes and a registration, in base64.
const FORM_BYTES_MAX: usize = 16 * 1024;

const STYLE: &str =
    concat!(include_str!("../../templates/register/style.css"), include_str!("../../templates/keeper/page.css"));
const SCRIPT: &str = include_str!("../../templates/keeper/page.js");
const MARK: &str = include_str!("../../templates/register/mark.svg");

/// `[page]` of `keeper.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageConfig {
    /// Address and port.
    pub address: SocketAddr,
    /// No TLS, on loopback and nowhere else: behind a local proxy, or for a browser on the same machine.
    #[serde(default)]
    pub plain_loopback: bool,
    /// Origin under which browsers see the page, for which passkeys were made.
    pub origin: String,
    /// RP ID for which they were made.
    pub rp_id: String,
    /// TLS key, PKCS#8 PEM, relative to the data folder; its certificate lies beside it.
    #[serde(default = "tls_default")]
    pub tls: PathBuf,
}

fn tls_default() -> PathBuf {
    PathBuf::from("keys/page.pem")
}

/// A `[page]` whose values hold.
#[derive(Debug, Clone)]
pub(super) struct PageSettings {
    address: SocketAddr,
    tls: Option<PathBuf>,
    pub(super) origin: String,
    site: RelyingParty,
}

impl PageSettings {
    /// # Errors
    /// [`ConfigError`] where origin and RP ID do not fit each other, or a browser would refuse passkeys there.
    pub(super) fn check(file: &Path, data: &Path, config: PageConfig) -> Result<Self, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, what.to_owned());
        let site = site_of(&config.origin, &config.rp_id).map_err(refuse)?;
        let tls = (!config.plain_loopback).then(|| data.join(&config.tls));
        Ok(Self { address: config.address, tls, origin: config.origin, site })
    }
}

/// The site of one origin, if browsers let passkeys of this RP ID work there: the RP ID is the origin's host or a parent of it,
/// and the origin is https, or this machine.
///
/// # Errors
/// A sentence for whoever wrote the configuration.
pub(super) fn site_of(origin: &str, rp_id: &str) -> Result<RelyingParty, &'static str> {
    let site = RelyingParty::new(rp_id, &[origin.to_owned()]);
    let site =
        site.map_err(|_form| "the origin is https:// and a host, without a slash at its end; the RP ID is a host")?;
    let (secure, rest) = match origin.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, origin.strip_prefix("http://").unwrap_or_default()),
    };
    let host = rest.split(':').next().unwrap_or_default();
    if !secure && host != "localhost" {
        return Err("the origin is neither https:// nor http://localhost, so browsers refuse passkeys there");
    }
    let below = host.strip_suffix(rp_id).is_some_and(|head| head.is_empty() || head.ends_with('.'));
    if below { Ok(site) } else { Err("the RP ID is neither the host of the origin nor a parent of it") }
}

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
struct Page(Arc<Inner>);

struct Inner {
    desk: Desk,
    people: People,
    site: RelyingParty,
    secure: bool,
    keeper: KeeperIndex,
    office: String,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
}

/// A handler's state: the page in one language.
#[derive(Clone)]
struct Tongue {
    page: Page,
    lang: Lang,
}

/// A bound listener of the page; nothing is answered yet.
pub(super) struct PageDoor {
    server: Server,
    settings: PageSettings,
}

impl PageDoor {
    /// # Errors
    /// [`ListenError`], or what TLS said.
    pub(super) async fn bind(settings: PageSettings) -> Result<Self, super::KeeperError> {
        let tls = match &settings.tls {
            None => TlsMode::PlainLoopback,
            Some(path) => TlsMode::Pinned(TlsIdentity::load_or_create(path)?.server_config()?),
        };
        let limits = Limits { body_bytes: FORM_BYTES_MAX, connections: 64, ..Limits::default() };
        let bound: Result<Server, ListenError> = Server::bind(ListenOn { addr: settings.address, tls }, limits).await;
        Ok(Self { server: bound?, settings })
    }

    /// Where it answers.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Answers until `tasks` stop.
    pub(super) fn serve(
        self,
        desk: Desk,
        people: People,
        named: (KeeperIndex, String),
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) {
        let Self { server, settings: PageSettings { site, origin, .. } } = self;
        let (keeper, office) = named;
        let secure = origin.starts_with("https://");
        let inner = Inner { desk, people, site, secure, keeper, office, sessions: Sessions::default(), clock };
        server.serve(routes(&Page(Arc::new(inner))), tasks);
    }
}

fn routes(page: &Page) -> Router {
    let mut all = assets("");
    for lang in Lang::ALL {
        let home = frame::home(lang);
        let tongue = Tongue { page: page.clone(), lang };
        let router = Router::new()
            .route(home, get(waiting))
            .route(&format!("{home}sign-in"), post(sign_in).get(async || Redirect::to(home)))
            .route(&format!("{home}sign-out"), post(sign_out))
            .route(&format!("{home}request/{{digest}}"), get(card))
            .route(&format!("{home}request/{{digest}}/prepare"), post(prepare))
            .route(&format!("{home}request/{{digest}}/answer"), post(answer).get(async || Redirect::to(home)))
            .with_state(tongue);
        all = all.merge(router);
    }
    all
}

/// Style, script and mark, below `root`.
pub(super) fn assets(root: &str) -> Router {
    let file = |media: &'static str, text: &'static str| get(async move || ([(header::CONTENT_TYPE, media)], text));
    Router::new()
        .route(&format!("{root}/page.css"), file("text/css; charset=utf-8", STYLE))
        .route(&format!("{root}/page.js"), file("text/javascript; charset=utf-8", SCRIPT))
        .route(&format!("{root}/mark.svg"), file("image/svg+xml", MARK))
}

/// A post that another site's page caused never counts, whatever cookie came with it. Browsers send `Sec-Fetch-Site` to every page
/// that may use passkeys; `Origin` is `null` in a form's post, because these pages send no referrer.
pub(super) fn is_own_post(headers: &HeaderMap, origins: &[String]) -> bool {
    let fits = |name: &str, good: &dyn Fn(&str) -> bool| match headers.get(name) {
        None => true,
        Some(value) => value.to_str().is_ok_and(good),
    };
    fits("sec-fetch-site", &|site| site == "same-origin")
        && fits("origin", &|origin| origin == "null" || origins.iter().any(|own| own == origin))
}

impl Page {
    fn now(&self) -> Timestamp {
        super::now(self.0.clock.as_ref())
    }

    /// The cookie's name: with `__Host-` no other host and no plain connection can set it.
    fn cookie(&self) -> &'static str {
        if self.0.secure { "__Host-session" } else { "session" }
    }

    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let name = self.cookie();
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|cookie| cookie.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let secret = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
        let secret = (secret.len() <= COOKIE_BYTES_MAX).then_some(secret)?;
        self.0.sessions.find(secret, self.0.clock.monotonic())
    }

    /// The session of a post that its own page made: by cookie, by the page's secret, and by no other site.
    fn session_of_post(&self, headers: &HeaderMap, csrf: &str) -> Option<Session> {
        if !is_own_post(headers, self.0.site.origins()) {
            return None;
        }
        self.session(headers).filter(|session| session.csrf_is(csrf))
    }

    fn frame(&self, lang: Lang, title: String, path: &str, session: Option<&Session>) -> Frame {
        let signed_in = session.map(|session| {
            let name = self.0.people.all().get(session.person).map_or("", |person| person.name.as_str());
            SignedIn { who: fill(Words::of(lang).signed_in, &[name]), csrf: session.csrf.clone() }
        });
        Frame::new(lang, title, self.0.office.clone(), path, signed_in)
    }

    fn sign_in_page(&self, lang: Lang, refused: bool) -> Response {
        let w = Words::of(lang);
        let credentials = self.0.people.all().iter().flat_map(|person| &person.passkeys);
        let credentials: Vec<String> = credentials.map(|one| URL_SAFE_NO_PAD.encode(&one.credential)).collect();
        let ceremony = (!credentials.is_empty()).then(|| {
            let (id, challenge) = self.0.sessions.begin(self.0.clock.monotonic());
            let rp_id = self.0.site.rp_id().to_owned();
            Ceremony { id, challenge: b64url(&challenge), credentials: credentials.join(" "), rp_id }
        });
        let frame = self.frame(lang, w.sign_in_title.to_owned(), "", None);
        html(if refused { StatusCode::FORBIDDEN } else { StatusCode::OK }, &SignIn { frame, w, refused, ceremony })
    }

    fn trouble(&self, lang: Lang, session: &Session, kind: ProblemKind) -> Response {
        let w = Words::of(lang);
        // One sentence for what a person can do now; the status says the rest to programs.
        let (status, what) = match kind.status() {
            400 | 413 | 415 | 422 => (StatusCode::BAD_REQUEST, w.trouble_form),
            401 | 403 => (StatusCode::FORBIDDEN, w.trouble_signature),
            404 | 409 | 410 => (StatusCode::NOT_FOUND, w.trouble_gone),
            _ => (StatusCode::SERVICE_UNAVAILABLE, w.trouble_unavailable),
        };
        let frame = self.frame(lang, w.trouble_title.to_owned(), "", Some(session));
        html(status, &Trouble { frame, w, what })
    }
}

async fn waiting(State(Tongue { page, lang }): State<Tongue>, headers: HeaderMap) -> Response {
    let Some(session) = page.session(&headers) else { return page.sign_in_page(lang, false) };
    match page.0.desk.visit(Office::list_waiting).await {
        Ok(requests) => {
            let w = Words::of(lang);
            let frame = page.frame(lang, w.site.to_owned(), "", Some(&session)).at_home();
            html(StatusCode::OK, &Waiting::new(frame, w, &requests))
        }
        Err(kind) => page.trouble(lang, &session, kind),
    }
}

async fn card(
    State(Tongue { page, lang }): State<Tongue>,
    UrlPath(digest): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    let Some(session) = page.session(&headers) else { return page.sign_in_page(lang, false) };
    let requests = match page.0.desk.visit(Office::list_waiting).await {
        Ok(requests) => requests,
        Err(kind) => return page.trouble(lang, &session, kind),
    };
    let Some(request) = requests.iter().find(|request| request.digest == digest) else {
        return page.trouble(lang, &session, ProblemKind::NotFound);
    };
    let w = Words::of(lang);
    let title = fill(w.card_title, &[&request.register.to_string()]);
    let frame = page.frame(lang, title, &format!("request/{}", request.digest), Some(&session));
    html(StatusCode::OK, &Card::new(frame, w, request, &session.csrf))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignInForm {
    ceremony: String,
    credential: String,
    assertion: String,
}

async fn sign_in(
    State(Tongue { page, lang }): State<Tongue>,
    headers: HeaderMap,
    form: Result<Form<SignInForm>, FormRejection>,
) -> Response {
    let signed = form.ok().filter(|_| is_own_post(&headers, page.0.site.origins())).and_then(|Form(form)| {
        let challenge = page.0.sessions.take(&form.ceremony, page.0.clock.monotonic())?;
        let (person, assertion) = page.0.passkey_answer(&form.credential, &form.assertion)?;
        let (at, passkey) = person;
        passkey.verify(&challenge, &assertion).ok().map(|()| at)
    });
    let Some(person) = signed else {
        tracing::info!("a sign-in at the keeper's page was refused");
        return page.sign_in_page(lang, true);
    };
    let secret = page.0.sessions.open(person, page.0.clock.monotonic());
    tracing::info!("one of the keeper's people signed in");
    let (name, secure) = (page.cookie(), if page.0.secure { "; Secure" } else { "" });
    let cookie = format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}");
    with_cookie(Redirect::to(frame::home(lang)).into_response(), &cookie)
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

impl Inner {
    /// The person, by place, and passkey that a form names, with what the authenticator said.
    fn passkey_answer(
        &self,
        credential: &str,
        assertion: &str,
    ) -> Option<((usize, &lockplate_core::passkey::Passkey), Assertion)> {
        let credential = URL_SAFE_NO_PAD.decode(credential).ok()?;
        let assertion = Assertion::from_bytes(&URL_SAFE_NO_PAD.decode(assertion).ok()?).ok()?;
        Some((self.people.by_credential(&credential)?, assertion))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignOutForm {
    csrf: String,
}

async fn sign_out(
    State(Tongue { page, lang }): State<Tongue>,
    headers: HeaderMap,
    form: Result<Form<SignOutForm>, FormRejection>,
) -> Response {
    if let Some(session) = form.ok().and_then(|Form(form)| page.session_of_post(&headers, &form.csrf)) {
        page.0.sessions.close(&session);
    }
    let (name, secure) = (page.cookie(), if page.0.secure { "; Secure" } else { "" });
    let cookie = format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{secure}");
    with_cookie(Redirect::to(frame::home(lang)).into_response(), &cookie)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrepareForm {
    csrf: String,
    verdict: String,
}

/// What the authenticator is asked to sign.
#[derive(Serialize)]
struct ToSign {
    decision: String,
    challenge: String,
    rp_id: String,
    credentials: Vec<String>,
}

/// The bytes of one decision and their challenge. Nothing is kept: what comes back is judged by itself.
async fn prepare(
    State(Tongue { page, .. }): State<Tongue>,
    UrlPath(digest): UrlPath<String>,
    headers: HeaderMap,
    form: Result<Form<PrepareForm>, FormRejection>,
) -> Result<Json<ToSign>, ProblemKind> {
    let Form(form) = form.map_err(|_form| ProblemKind::Malformed)?;
    let session = page.session_of_post(&headers, &form.csrf).ok_or(ProblemKind::NotSignedIn)?;
    let verdict = Verdict::from_name(&form.verdict).ok_or(ProblemKind::Malformed)?;
    let request_digest = digest_of(&digest).ok_or(ProblemKind::NotFound)?;
    let decision = HumanDecision { request_digest, index: page.0.keeper, verdict, time: page.now() }.encode();
    let person = page.0.people.all().get(session.person).ok_or(ProblemKind::NotSignedIn)?;
    Ok(Json(ToSign {
        challenge: b64url(&HumanDecision::signed_hash(&decision)),
        decision: b64url(&decision),
        rp_id: page.0.site.rp_id().to_owned(),
        credentials: person.passkeys.iter().map(|one| URL_SAFE_NO_PAD.encode(&one.credential)).collect(),
    }))
}

fn digest_of(digits: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(digits, &mut digest).ok().map(|()| digest)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerForm {
    csrf: String,
    verdict: String,
    decision: String,
    credential: String,
    assertion: String,
}

async fn answer(
    State(Tongue { page, lang }): State<Tongue>,
    UrlPath(digest): UrlPath<String>,
    headers: HeaderMap,
    form: Result<Form<AnswerForm>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return match page.session(&headers) {
            Some(session) => page.trouble(lang, &session, ProblemKind::Malformed),
            None => page.sign_in_page(lang, false),
        };
    };
    let Some(session) = page.session_of_post(&headers, &form.csrf) else { return page.sign_in_page(lang, false) };
    let (verdict, signed) = match signed_answer(&page, &session, &digest, &form) {
        Ok(signed) => signed,
        Err(kind) => return page.trouble(lang, &session, kind),
    };
    let told = page.0.desk.answer(move |office, db, now| office.conclude(db, &signed, now)).await;
    let told =
        told.and_then(|told| serde_json::from_slice::<KeeperAnswer>(&told).map_err(|_our_own| ProblemKind::Internal));
    match told {
        Ok(told) => {
            let w = Words::of(lang);
            let approved = told.state == AnswerState::Approved;
            let frame = page.frame(lang, w.done_title.to_owned(), "", Some(&session));
            let own = told.approval.and_then(|B64(approval)| Signed::<Approval>::from_bytes(&approval).ok());
            let own = own.map_or(told.register, |approval| approval.claimed().leaf_index);
            html(StatusCode::OK, &Done::new(frame, w, approved, verdict, (own, told.register), digest))
        }
        Err(kind) => page.trouble(lang, &session, kind),
    }
}

/// What the form says, as the office takes it: of this request, this keeper, the verdict that the page showed, in time, and by the
/// person who is signed in. Whether the passkey signed it, the office says.
fn signed_answer(
    page: &Page,
    session: &Session,
    digest: &str,
    form: &AnswerForm,
) -> Result<(Verdict, Vec<u8>), ProblemKind> {
    let malformed = |_form| ProblemKind::Malformed;
    let decision = URL_SAFE_NO_PAD.decode(&form.decision).map_err(|_digits| ProblemKind::Malformed)?;
    let decision = HumanDecision::decode(&decision).map_err(malformed)?;
    let fits = Some(decision.request_digest) == digest_of(digest)
        && place(decision.index) == place(page.0.keeper)
        && decision.verdict.name() == form.verdict
        && decision.time.0.abs_diff(page.now().0) <= DECISION_SECONDS_MAX;
    if !fits {
        return Err(ProblemKind::Malformed);
    }
    let answered = page.0.passkey_answer(&form.credential, &form.assertion).ok_or(ProblemKind::Malformed)?;
    let ((person, passkey), assertion) = answered;
    if person != session.person {
        return Err(ProblemKind::NotSignedIn);
    }
    let verdict = decision.verdict;
    Ok((verdict, ByPerson::with_assertion(decision, passkey.key.id(), assertion).to_bytes()))
}

#[cfg(test)]
mod tests;

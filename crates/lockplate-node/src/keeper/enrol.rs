//! `keeper enrol`: one page, served until one person has made one passkey on it. Nothing of a registration without attestation is
//! signed, so the new passkey must sign a second challenge at once: what is written down works, and on the very page whose origin
//! it names. The address holds a secret, so that nobody else on the way enrols in the person's place. It goes to the founding.

use core::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockplate_core::id::b64url;
use lockplate_core::passkey::{Assertion, Passkey, RelyingParty, read_registration};
use lockplate_core::wire::th;
use rand_core::CryptoRng;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::page::cards::Enrol;
use super::page::frame::{Frame, html};
use super::page::words::Words;
use super::page::{assets, is_own_post, site_of};
use crate::http::{Limits, ListenError, ListenOn, Server, TlsMode};
use crate::passkeys::EnrolledPasskey;
use crate::register::words::{Lang, fill};
use crate::shutdown::{ExitKind, Tasks};

/// Bytes of the posted form.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// What an enrolment needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolTerms {
    /// Name of the person.
    pub name: String,
    /// Loopback address and port; browsers reach it under the origin, through the proxy that will carry the keeper's page.
    pub listen: SocketAddr,
    /// Origin of the keeper's page.
    pub origin: String,
    /// RP ID.
    pub rp_id: String,
}

/// Why nobody enrolled.
#[derive(Debug)]
pub enum EnrolError {
    /// Origin and RP ID do not fit; says why.
    Site(&'static str),
    /// The address.
    Listen(ListenError),
    /// Stopped before it was done.
    Stopped,
}

impl EnrolError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Site(_) => ExitKind::Usage,
            Self::Listen(cause) => cause.exit_kind(),
            Self::Stopped => ExitKind::Unavailable,
        }
    }
}

impl fmt::Display for EnrolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(what) => f.write_str(what),
            Self::Listen(cause) => cause.fmt(f),
            Self::Stopped => f.write_str("stopped before a passkey was made"),
        }
    }
}

impl core::error::Error for EnrolError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Listen(cause) => Some(cause),
            Self::Site(_) | Self::Stopped => None,
        }
    }
}

/// A page that waits for its person.
#[derive(Debug)]
pub struct Enrolment {
    /// The address to open, secret included.
    pub url: String,
    done: oneshot::Receiver<EnrolledPasskey>,
}

impl Enrolment {
    /// Waits for the person.
    ///
    /// # Errors
    /// `Stopped`.
    pub async fn finish(self) -> Result<EnrolledPasskey, EnrolError> {
        self.done.await.map_err(|_stopped| EnrolError::Stopped)
    }
}

struct Shared {
    name: String,
    site: RelyingParty,
    root: String,
    user: String,
    made: [u8; 32],
    shown: [u8; 32],
    done: Mutex<Option<oneshot::Sender<EnrolledPasskey>>>,
}

#[derive(Clone)]
struct Tongue {
    shared: Arc<Shared>,
    lang: Lang,
}

/// Serves the page until `tasks` stop.
///
/// # Errors
/// `Site`, `Listen`.
pub async fn enrol(terms: EnrolTerms, tasks: &Tasks, rng: &mut impl CryptoRng) -> Result<Enrolment, EnrolError> {
    let site = site_of(&terms.origin, &terms.rp_id).map_err(EnrolError::Site)?;
    let mut random = || {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let root = format!("/enrol/{}", b64url(&random()));
    let (sender, done) = oneshot::channel();
    let shared = Arc::new(Shared {
        name: terms.name,
        site,
        user: b64url(&random()),
        made: random(),
        // With a label of its own, so that it can be no decision's.
        shown: th("sign-in", &[&random()]),
        done: Mutex::new(Some(sender)),
        root: root.clone(),
    });
    let limits = Limits { body_bytes: FORM_BYTES_MAX, connections: 16, ..Limits::default() };
    let on = ListenOn { addr: terms.listen, tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, limits).await.map_err(EnrolError::Listen)?;
    server.serve(routes(&shared), tasks);
    Ok(Enrolment { url: format!("{}{root}/", terms.origin), done })
}

fn routes(shared: &Arc<Shared>) -> Router {
    let mut all = assets(&shared.root);
    for lang in Lang::ALL {
        let state = Tongue { shared: Arc::clone(shared), lang };
        all = all.merge(Router::new().route(&shared.path(lang), get(page).post(finish)).with_state(state));
    }
    all
}

impl Shared {
    fn path(&self, lang: Lang) -> String {
        match lang {
            Lang::En => format!("{}/", self.root),
            Lang::Es => format!("{}/es/", self.root),
        }
    }

    fn page(&self, lang: Lang, done: bool, refused: bool) -> Response {
        let w = Words::of(lang);
        let title = if done { w.enrol_done_title } else { w.enrol_title };
        let office = self.site.rp_id().to_owned();
        let page = Enrol {
            frame: Frame::apart(lang, title.to_owned(), office, &self.root, self.path(lang.other())),
            w,
            done,
            refused,
            who: fill(w.enrol_who, &[&self.name]),
            name: self.name.clone(),
            user: self.user.clone(),
            rp_id: self.site.rp_id().to_owned(),
            action: self.path(lang),
            made: b64url(&self.made),
            shown: b64url(&self.shown),
        };
        html(if refused { StatusCode::FORBIDDEN } else { StatusCode::OK }, &page)
    }

    /// The passkey of a form: made for this page, and shown to work.
    fn enrolled(&self, form: &EnrolForm) -> Option<EnrolledPasskey> {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let (authenticator, client) = (bytes(&form.authenticator)?, bytes(&form.client)?);
        let made = read_registration(&self.site, &self.made, &authenticator, &client).ok()?;
        let passkey = Passkey { key: made.key, site: self.site.clone() };
        let assertion = Assertion::from_bytes(&bytes(&form.assertion)?).ok()?;
        passkey.verify(&self.shown, &assertion).ok()?;
        Some(EnrolledPasskey { name: self.name.clone(), credential: made.credential_id, passkey })
    }
}

async fn page(State(Tongue { shared, lang }): State<Tongue>) -> Response {
    let done = shared.done.lock().unwrap_or_else(PoisonError::into_inner).is_none();
    shared.page(lang, done, false)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolForm {
    authenticator: String,
    client: String,
    assertion: String,
}

async fn finish(
    State(Tongue { shared, lang }): State<Tongue>,
    headers: HeaderMap,
    form: Result<Form<EnrolForm>, FormRejection>,
) -> Response {
    let form = form.ok().filter(|_| is_own_post(&headers, shared.site.origins()));
    let Some(enrolled) = form.and_then(|Form(form)| shared.enrolled(&form)) else {
        return shared.page(lang, false, true);
    };
    let sender = shared.done.lock().unwrap_or_else(PoisonError::into_inner).take();
    match sender {
        Some(sender) => {
            let _nobody_waits = sender.send(enrolled);
            shared.page(lang, true, false)
        }
        // Somebody was first; whoever waits has one passkey and takes no other.
        None => shared.page(lang, false, true),
    }
}

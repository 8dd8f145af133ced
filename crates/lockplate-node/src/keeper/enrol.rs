//! One person makes one passkey, on a page of its own. Nothing of a registration without attestation is signed, so the new passkey must
//! sign a second challenge at once: what is written down works, and on the very page whose origin it names. It goes to the
//! founding.

use std::net::SocketAddr;
use std::sync::Arc;

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
use lockplate_core::passkey::{Assertion, Passkey, read_registration};
use lockplate_core::wire::th;
use rand_core::CryptoRng;
use serde::Deserialize;

use super::once::{Once, OnceError, Waiting, serve};
use super::page::cards::Enrol;
use super::page::frame::{Frame, Office, html};
use super::page::site_of;
use super::page::words::Words;
use crate::passkeys::EnrolledPasskey;
use crate::register::words::{Lang, fill};
use crate::shutdown::Tasks;

pub use super::page::frame::Office as EnrolOffice;

/// What an enrolment needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolTerms {
    /// Whose pages the passkey will sign on.
    pub office: Office,
    /// Name of the person; of the key, where papers are signed.
    pub name: String,
    /// Loopback address and port; browsers reach it under the origin, through the proxy that will carry the office's page.
    pub listen: SocketAddr,
    /// Origin of the office's page.
    pub origin: String,
    /// RP ID.
    pub rp_id: String,
}

struct Shared {
    once: Once<EnrolledPasskey>,
    office: Office,
    name: String,
    user: String,
    made: [u8; 32],
    shown: [u8; 32],
}

/// Serves the page until `tasks` stop.
///
/// # Errors
/// `Site`, `Listen`.
pub async fn enrol(
    terms: EnrolTerms,
    tasks: &Tasks,
    rng: &mut impl CryptoRng,
) -> Result<Waiting<EnrolledPasskey>, OnceError> {
    let site = site_of(&terms.origin, &terms.rp_id).map_err(OnceError::Site)?;
    let (once, waiting) = Once::new("enrol", site, rng);
    let mut random = || {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let shared = Arc::new(Shared {
        once,
        office: terms.office,
        name: terms.name,
        user: b64url(&random()),
        made: random(),
        // With a label of its own, so that it can be no decision's and no paper's.
        shown: th("sign-in", &[&random()]),
    });
    serve(routes(&shared), terms.listen, tasks).await?;
    Ok(waiting)
}

fn routes(shared: &Arc<Shared>) -> Router {
    Lang::ALL.into_iter().fold(shared.once.assets(), |all, lang| {
        let state = (Arc::clone(shared), lang);
        all.merge(Router::new().route(&shared.once.path(lang), get(page).post(finish)).with_state(state))
    })
}

impl Shared {
    fn page(&self, lang: Lang, done: bool, refused: bool) -> Response {
        let w = Words::of(lang);
        let title = if done { w.enrol_done_title } else { w.enrol_title };
        let rp_id = self.once.site().rp_id();
        let other = self.once.path(lang.other());
        let page = Enrol {
            frame: Frame::apart(lang, title.to_owned(), (self.office, rp_id.to_owned()), self.once.root(), other),
            w,
            done,
            refused,
            who: fill(w.enrol_who, &[&self.name]),
            what: match self.office {
                Office::Keeper => w.enrol_text,
                Office::Court => w.enrol_text_court,
            },
            name: self.name.clone(),
            user: self.user.clone(),
            rp_id: rp_id.to_owned(),
            action: self.once.path(lang),
            made: b64url(&self.made),
            shown: b64url(&self.shown),
        };
        html(if refused { StatusCode::FORBIDDEN } else { StatusCode::OK }, &page)
    }

    /// The passkey of a form: made for this page, and shown to work.
    fn enrolled(&self, form: &EnrolForm) -> Option<EnrolledPasskey> {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let (authenticator, client) = (bytes(&form.authenticator)?, bytes(&form.client)?);
        let made = read_registration(self.once.site(), &self.made, &authenticator, &client).ok()?;
        let passkey = Passkey { key: made.key, site: self.once.site().clone() };
        let assertion = Assertion::from_bytes(&bytes(&form.assertion)?).ok()?;
        passkey.verify(&self.shown, &assertion).ok()?;
        Some(EnrolledPasskey { name: self.name.clone(), credential: made.credential_id, passkey })
    }
}

async fn page(State((shared, lang)): State<(Arc<Shared>, Lang)>) -> Response {
    shared.page(lang, shared.once.is_done(), false)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolForm {
    authenticator: String,
    client: String,
    assertion: String,
}

async fn finish(
    State((shared, lang)): State<(Arc<Shared>, Lang)>,
    headers: HeaderMap,
    form: Result<Form<EnrolForm>, FormRejection>,
) -> Response {
    let form = form.ok().filter(|_| shared.once.is_own_post(&headers));
    let enrolled = form.and_then(|Form(form)| shared.enrolled(&form));
    let done = enrolled.is_some_and(|enrolled| shared.once.finish(enrolled));
    shared.page(lang, done, !done)
}

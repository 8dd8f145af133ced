//! One person signs one paper with a passkey, on a page of its own that shows the order in words and the paper's fingerprint. What
//! is signed is fixed before the page is served, and only a paper whose signature our own verifier takes leaves it. An
//! authenticator does not show what it signs: the page says so. The paper goes to whoever started the page.

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
use lockplate_core::passkey::Assertion;
use rand_core::CryptoRng;
use serde::Deserialize;

use super::once::{Once, OnceError, Waiting, serve};
use super::page::cards::PaperPage;
use super::page::frame::{Frame, Office, html};
use super::page::order;
use super::page::site_of;
use super::page::words::Words;
use crate::fingerprint;
use crate::founding::{Order, PasskeyPaper, SignedPaper};
use crate::register::words::{Lang, fill};
use crate::shutdown::Tasks;

struct Shared {
    once: Once<SignedPaper>,
    paper: PasskeyPaper,
    order: Order,
}

/// Serves the page until `tasks` stop. `order` is what the person reads; it may name a plate, and leaves by this page alone.
///
/// # Errors
/// `Site` where the passkey was made for pages on which browsers refuse it; `Listen`.
pub async fn ask(
    paper: PasskeyPaper,
    order: Order,
    listen: SocketAddr,
    tasks: &Tasks,
    rng: &mut impl CryptoRng,
) -> Result<Waiting<SignedPaper>, OnceError> {
    let site = paper.passkey().passkey.site.clone();
    site.origins().iter().try_for_each(|origin| site_of(origin, site.rp_id()).map(drop)).map_err(OnceError::Site)?;
    let (once, waiting) = Once::new("sign", site, rng);
    let shared = Arc::new(Shared { once, paper, order });
    serve(routes(&shared), listen, tasks).await?;
    Ok(waiting)
}

fn routes(shared: &Arc<Shared>) -> Router {
    Lang::ALL.into_iter().fold(shared.once.assets(), |all, lang| {
        let state = (Arc::clone(shared), lang);
        all.merge(Router::new().route(&shared.once.path(lang), get(page).post(sign)).with_state(state))
    })
}

impl Shared {
    fn page(&self, lang: Lang, done: bool, refused: bool) -> Response {
        let w = Words::of(lang);
        let title = if done { w.paper_done_title } else { w.paper_title };
        let signer = self.paper.passkey();
        let (rp_id, digest) = (signer.passkey.site.rp_id(), self.paper.digest());
        let other = self.once.path(lang.other());
        let page = PaperPage {
            frame: Frame::apart(lang, title.to_owned(), (Office::Court, rp_id.to_owned()), self.once.root(), other),
            w,
            done,
            refused,
            who: fill(w.enrol_who, &[&signer.name]),
            order: order::terms(lang, &self.order),
            words: fingerprint::words(&digest),
            digits: fill(w.paper_digits, &[&fingerprint::digits(&digest)]),
            rp_id: rp_id.to_owned(),
            credential: URL_SAFE_NO_PAD.encode(&signer.credential),
            action: self.once.path(lang),
            challenge: b64url(&digest),
        };
        html(if refused { StatusCode::FORBIDDEN } else { StatusCode::OK }, &page)
    }

    fn signed(&self, form: &SignForm) -> Option<SignedPaper> {
        let assertion = Assertion::from_bytes(&URL_SAFE_NO_PAD.decode(&form.assertion).ok()?).ok()?;
        self.paper.sign(&assertion).ok()
    }
}

async fn page(State((shared, lang)): State<(Arc<Shared>, Lang)>) -> Response {
    shared.page(lang, shared.once.is_done(), false)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignForm {
    assertion: String,
}

async fn sign(
    State((shared, lang)): State<(Arc<Shared>, Lang)>,
    headers: HeaderMap,
    form: Result<Form<SignForm>, FormRejection>,
) -> Response {
    let form = form.ok().filter(|_| shared.once.is_own_post(&headers));
    let signed = form.and_then(|Form(form)| shared.signed(&form));
    let done = signed.is_some_and(|signed| shared.once.finish(signed));
    shared.page(lang, done, !done)
}

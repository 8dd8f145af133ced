//! One page in two languages, served on loopback until one person has done one thing on it with a passkey. The address holds a
//! secret, so that nobody else on the way does it in the person's place; what the thing is, and whether it was done, the caller
//! says ([`super::enrol`], [`super::sign_page`]).

use core::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use axum::Router;
use axum::http::HeaderMap;
use lockplate_core::id::b64url;
use lockplate_core::passkey::RelyingParty;
use rand_core::CryptoRng;
use tokio::sync::oneshot;

use super::page::{assets, is_own_post};
use crate::http::{Limits, ListenError, ListenOn, Server, TlsMode};
use crate::register::words::Lang;
use crate::shutdown::{ExitKind, Tasks};

/// Bytes of the posted form.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Why the person did not do it.
#[derive(Debug)]
pub enum OnceError {
    /// Origin and RP ID do not fit; says why.
    Site(&'static str),
    /// The address.
    Listen(ListenError),
    /// Stopped before it was done.
    Stopped,
}

impl OnceError {
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

impl fmt::Display for OnceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(what) => f.write_str(what),
            Self::Listen(cause) => cause.fmt(f),
            Self::Stopped => f.write_str("stopped before the person used a passkey"),
        }
    }
}

impl core::error::Error for OnceError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Listen(cause) => Some(cause),
            Self::Site(_) | Self::Stopped => None,
        }
    }
}

/// A page that waits for its person, and what will come of it.
#[derive(Debug)]
pub struct Waiting<T> {
    /// The address to open, secret included.
    pub url: String,
    done: oneshot::Receiver<T>,
}

impl<T> Waiting<T> {
    /// Waits for the person.
    ///
    /// # Errors
    /// `Stopped`.
    pub async fn finish(self) -> Result<T, OnceError> {
        self.done.await.map_err(|_stopped| OnceError::Stopped)
    }
}

/// What the handlers of such a page share.
pub(super) struct Once<T> {
    site: RelyingParty,
    root: String,
    done: Mutex<Option<oneshot::Sender<T>>>,
}

impl<T> Once<T> {
    /// A page below `door`, for the browsers of `site` under its first origin.
    pub(super) fn new(door: &str, site: RelyingParty, rng: &mut impl CryptoRng) -> (Self, Waiting<T>) {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        let root = format!("/{door}/{}", b64url(&secret));
        let (sender, done) = oneshot::channel();
        let origin = site.origins().first().map_or("", String::as_str);
        let waiting = Waiting { url: format!("{origin}{root}/"), done };
        (Self { site, root, done: Mutex::new(Some(sender)) }, waiting)
    }

    /// Style, script and mark, below the secret address.
    pub(super) fn assets(&self) -> Router {
        assets(&self.root)
    }

    pub(super) const fn site(&self) -> &RelyingParty {
        &self.site
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Where the page is in a language.
    pub(super) fn path(&self, lang: Lang) -> String {
        match lang {
            Lang::En => format!("{}/", self.root),
            Lang::Es => format!("{}/es/", self.root),
        }
    }

    pub(super) fn is_own_post(&self, headers: &HeaderMap) -> bool {
        is_own_post(headers, self.site.origins())
    }

    pub(super) fn is_done(&self) -> bool {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Hands over what was done; false if somebody was first, for whoever waits takes one and no other.
    pub(super) fn finish(&self, what: T) -> bool {
        let sender = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        let first = sender.is_some();
        if let Some(sender) = sender {
            let _nobody_waits = sender.send(what);
        }
        first
    }
}

/// Serves the page until `tasks` stop.
///
/// # Errors
/// `Listen`; the address must be of loopback.
pub(super) async fn serve(routes: Router, listen: SocketAddr, tasks: &Tasks) -> Result<(), OnceError> {
    let limits = Limits { body_bytes: FORM_BYTES_MAX, connections: 16, ..Limits::default() };
    let on = ListenOn { addr: listen, tls: TlsMode::PlainLoopback };
    Server::bind(on, limits).await.map_err(OnceError::Listen)?.serve(routes, tasks);
    Ok(())
}

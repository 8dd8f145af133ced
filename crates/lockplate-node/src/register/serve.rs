//! The register over HTTP, below `/register/`: GET and HEAD, no cookie, no parameter, nothing that a visitor sends is kept.
//! Pages are made when asked for, so one visit costs one page; the headers of every response (policy, HSTS, nosniff, referrer,
//! opener) are those of [`crate::http`].

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::site::Site;
use crate::problem::{Problem, ProblemKind};

/// Where it is.
pub const PREFIX: &str = "/register/";
/// Characters of the longest path: a rule of 48 bytes, each written as three characters, and its page.
const PATH_MAX: usize = 192;
/// Browsers ask again every time, and get 304 where nothing is new.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The site that is shown; replaced as a whole, so that no page mixes two moments.
#[derive(Clone, Default)]
pub struct Shown(Arc<RwLock<Option<Arc<Site>>>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("site", &self.site().is_some()).finish()
    }
}

impl Shown {
    /// Nothing yet: the register answers 503 until the first site is there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this site.
    pub fn show(&self, site: Arc<Site>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(site);
    }

    fn site(&self) -> Option<Arc<Site>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `/register/`, everything below it, and `/`, which leads there.
pub fn routes(shown: Shown) -> Router {
    Router::new()
        .route("/", get(async || Redirect::to(PREFIX)))
        .route("/register", get(async || Redirect::to(PREFIX)))
        .route(PREFIX, get(index))
        .route("/register/es", get(async || Redirect::to("/register/es/")))
        .route("/register/es/", get(spanish))
        .route("/register/{*path}", get(page))
        .with_state(shown)
}

async fn index(State(shown): State<Shown>, headers: HeaderMap) -> Result<Response, Problem> {
    answer(shown, "index.html".to_owned(), headers).await
}

async fn spanish(State(shown): State<Shown>, headers: HeaderMap) -> Result<Response, Problem> {
    answer(shown, "es/index.html".to_owned(), headers).await
}

async fn page(State(shown): State<Shown>, Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    answer(shown, path, headers).await
}

async fn answer(shown: Shown, path: String, headers: HeaderMap) -> Result<Response, Problem> {
    if path.len() > PATH_MAX {
        return Err(ProblemKind::NotFound.into());
    }
    let site = shown.site().ok_or(ProblemKind::Unavailable)?;
    let made =
        tokio::task::spawn_blocking(move || site.file(&path)).await.map_err(|_panicked| ProblemKind::Internal)?;
    let file = made.map_err(|_our_bug| ProblemKind::Internal)?.ok_or(ProblemKind::NotFound)?;
    let etag = format!("\"{}\"", hex::encode(Sha256::digest(&file.bytes).get(..16).unwrap_or_default()));
    let etag = HeaderValue::from_str(&etag).map_err(|_hex_is_ascii| ProblemKind::Internal)?;
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| matches(seen, &etag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type))], Body::from(file.bytes)).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, REVALIDATE);
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}

/// `If-None-Match` is a list; a proxy that compresses marks what it kept as weak.
fn matches(seen: &HeaderValue, etag: &HeaderValue) -> bool {
    let Ok(seen) = seen.to_str() else { return false };
    seen.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || etag == one)
}

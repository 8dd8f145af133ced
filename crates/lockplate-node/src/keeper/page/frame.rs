//! The frame of the keeper's pages, and how a page leaves: with its own policy for scripts, and verbatim even where its status is
//! not a success.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse as _, Response};

use super::words::Words;
use crate::http::Verbatim;
use crate::problem::ProblemKind;
use crate::register::words::Lang;

/// `interfaces.md` section 7, row "scripted".
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
     script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'",
);

/// Whose page it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Office {
    /// A keeper's: its people answer requests.
    Keeper,
    /// A court's, or a records custodian's: papers are signed.
    Court,
}

/// Who is signed in, for the menu.
pub(in crate::keeper) struct SignedIn {
    pub(super) who: String,
    pub(super) csrf: String,
}

/// The frame of a page.
pub(in crate::keeper) struct Frame {
    pub(super) lang: Lang,
    pub(super) title: String,
    pub(super) office: String,
    /// What the pages are, below the office's name.
    pub(super) site: &'static str,
    /// Where style and script are.
    pub(super) root: String,
    /// The list, in this language.
    pub(super) home: String,
    pub(super) is_home: bool,
    /// The same page in the other language.
    pub(super) other: String,
    pub(super) signed_in: Option<SignedIn>,
}

/// Where the list is in a language.
pub(super) const fn home(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "/",
        Lang::Es => "/es/",
    }
}

impl Frame {
    /// `path` is what follows the list's own path.
    pub(super) fn new(lang: Lang, title: String, office: String, path: &str, signed_in: Option<SignedIn>) -> Self {
        let (home, other) = (home(lang).to_owned(), format!("{}{path}", home(lang.other())));
        let site = Words::of(lang).site;
        Self { lang, title, office, site, root: "/".to_owned(), home, is_home: false, other, signed_in }
    }

    /// This is the list itself.
    pub(super) fn at_home(self) -> Self {
        Self { is_home: true, ..self }
    }

    /// For pages that are not the office's own list: with everything below `root`. An office is what it is and its name.
    pub(in crate::keeper) fn apart(
        lang: Lang,
        title: String,
        (kind, office): (Office, String),
        root: &str,
        other: String,
    ) -> Self {
        let root = format!("{root}/");
        let site = match kind {
            Office::Keeper => Words::of(lang).enrol_site,
            Office::Court => Words::of(lang).court_site,
        };
        Self { lang, title, office, site, home: root.clone(), root, is_home: false, other, signed_in: None }
    }

    pub(super) fn english(&self) -> bool {
        self.lang == Lang::En
    }
}

/// A page as a response.
pub(in crate::keeper) fn html(status: StatusCode, page: &impl Template) -> Response {
    let Ok(text) = page.render() else { return ProblemKind::Internal.into_response() };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    ];
    let mut response = (status, headers, text).into_response();
    response.extensions_mut().insert(Verbatim);
    response
}

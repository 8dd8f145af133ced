//! Who sends, where no token stands in the address: `Authorization` with Bearer, Basic or Digest. Whoever says nothing is asked,
//! with the same challenge whatever source is meant; whoever says something wrong gets the answer of an address that is not
//! there. Digest protects the password and not the payload: on a plain listener anybody on the way can change that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use lockplate_intake::SourceKind;
use lockplate_intake::limits::BODY_BYTES_MAX;
use zeroize::Zeroizing;

use super::digest::{Algorithm, Ha1, REALM, Shown};
use super::{Door, Inner, SourceSettings};
use crate::problem::{Problem, ProblemKind};
use crate::settings::read_password;

/// A user of one source.
#[derive(Clone, Debug)]
pub(super) struct User {
    source: String,
    file: PathBuf,
    ha1: Ha1,
}

/// All users, by name.
pub(super) type Users = BTreeMap<String, User>;

/// The users of `sources`. A file that was read before is not read again; one that cannot be read leaves its source without a
/// user, which is said. Blocks.
pub(super) fn users_of(sources: &[SourceSettings], before: &Users) -> Users {
    let mut users = Users::new();
    for source in sources {
        let Some(login) = &source.login else { continue };
        let known =
            before.get(&login.user).filter(|user| user.source == source.name && user.file == login.password_file);
        let ha1 = match known {
            Some(user) => Ok(user.ha1.clone()),
            None => read_password(&login.password_file).map(|password| Ha1::of(&login.user, REALM, &password)),
        };
        match ha1 {
            Ok(ha1) => {
                let user = User { source: source.name.clone(), file: login.password_file.clone(), ha1 };
                drop(users.insert(login.user.clone(), user));
            }
            Err(refused) => tracing::error!(source = source.name, "nobody can sign in: {refused}"),
        }
    }
    users
}

/// Why a request is not taken.
pub(super) enum Unknown {
    /// It says nothing that could be judged: it is asked, or asked again because its nonce has ended.
    Ask { stale: bool },
    /// It is wrong.
    Nobody,
}

impl Inner {
    /// The source that `request` speaks for: the one `named`, or without a name the ITSAPI source of its user.
    pub(super) fn signed_in(
        &self,
        door: Door,
        named: Option<&str>,
        request: &Request,
    ) -> Result<Arc<SourceSettings>, Unknown> {
        let ask = Unknown::Ask { stale: false };
        let Some(header) = request.headers().get(AUTHORIZATION) else { return Err(ask) };
        let (scheme, rest) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Unknown::Nobody)?;
        let source = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => named.and_then(|name| self.by_token(name, rest.trim())),
            "basic" => self.by_basic(named, rest.trim()),
            "digest" => self.by_digest(named, header.to_str().unwrap_or_default(), request)?,
            _ => return Err(ask),
        };
        source.filter(|source| self.may_come(source, door, request)).ok_or(Unknown::Nobody)
    }

    fn by_basic(&self, named: Option<&str>, encoded: &str) -> Option<Arc<SourceSettings>> {
        let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        let (user, password) = core::str::from_utf8(&bytes).ok()?.split_once(':')?;
        let (source, ha1) = self.user(named, user);
        let is_right = Ha1::of(user, REALM, password).is(&ha1);
        source.filter(|_| is_right)
    }

    fn by_digest(
        &self,
        named: Option<&str>,
        header: &str,
        request: &Request,
    ) -> Result<Option<Arc<SourceSettings>>, Unknown> {
        let now = self.clock.monotonic();
        let Some(shown) = Shown::parse(header) else { return Err(Unknown::Ask { stale: false }) };
        if !self.nonces.knows(&shown, now) {
            // Whoever it is: also after a restart of ours.
            return Err(Unknown::Ask { stale: true });
        }
        let (source, ha1) = self.user(named, &shown.user);
        let asked_for = request.uri().path_and_query().is_some_and(|here| here.as_str() == shown.uri);
        let is_right = shown.is_by(&ha1, request.method().as_str()) && asked_for;
        match source.filter(|_| is_right) {
            Some(_) if !self.nonces.count(&shown, now) => Err(Unknown::Ask { stale: true }),
            source => Ok(source),
        }
    }

    /// The source of a user, with what is known of its password. For a user there is not: what costs the same and is nobody's.
    fn user(&self, named: Option<&str>, user: &str) -> (Option<Arc<SourceSettings>>, Ha1) {
        let book = self.book();
        let known = book.users.get(user).filter(|known| named.is_none_or(|name| name == known.source));
        let source = known.and_then(|known| book.sources.get(&known.source)).cloned();
        let source = source.filter(|source| named.is_some() || source.config.kind == SourceKind::Dahua);
        let ha1 = known.map_or_else(Ha1::nobody, |known| known.ha1.clone());
        (source, ha1)
    }

    /// What is said to one that is not known. Its body is read to the end and dropped: a camera that still writes would not
    /// hear the answer.
    pub(super) async fn refuse(&self, door: Door, why: Unknown, request: Request) -> Response {
        let mut body = request.into_body().into_data_stream();
        let mut left = BODY_BYTES_MAX;
        while let Some(Ok(chunk)) = body.next().await {
            match left.checked_sub(chunk.len()) {
                Some(less) => left = less,
                None => break,
            }
        }
        let stale = match why {
            Unknown::Nobody => return Problem::new(ProblemKind::IntakeNotFound).into_response(),
            Unknown::Ask { stale } => stale,
        };
        let mut response = Problem::new(ProblemKind::NotSignedIn).into_response();
        let nonce = self.nonces.give(self.clock.monotonic());
        let digest = |algorithm: Algorithm| {
            let stale = if stale { ", stale=true" } else { "" };
            format!("Digest realm=\"{REALM}\", qop=\"auth\", algorithm={}, nonce=\"{nonce}\"{stale}", algorithm.name())
        };
        let basic = format!("Basic realm=\"{REALM}\"");
        // Basic sends the password itself: nobody is asked for that where others can listen.
        let last = (door == Door::Protected).then_some(basic);
        for challenge in [digest(Algorithm::Sha256), digest(Algorithm::Md5)].into_iter().chain(last) {
            if let Ok(value) = HeaderValue::try_from(challenge) {
                response.headers_mut().append(WWW_AUTHENTICATE, value);
            }
        }
        response
    }
}

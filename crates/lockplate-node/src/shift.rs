//! Officers who are signed in for a shift at hot lists and alerts: key file and passcode, two factors, once for some hours. It decides
//! nothing about what they may do: that is asked of the policy at each step. Requests are not made here: each of them is signed in
//! for by itself, at the desk.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::routing::post;
use axum::{Json, Router};
use lockplate_core::Timestamp;
use lockplate_core::directory::VerifiedDirectory;
use lockplate_core::filing::{DeskCall, DeskCallKind};
use lockplate_core::sign::SigningKey;
use lockplate_oprf::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::api::{B64, SessionAsked, SessionGiven};
use crate::client::{PeerClient, PeerError, decode};
use crate::clock::Clock;
use crate::desk::Desk;
use crate::http::BoundedJson;
use crate::party_log::seconds;
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;

/// Length of a shift.
pub const SHIFT: Duration = Duration::from_secs(12 * 3_600);
/// Shifts of one person at a time: each command at a terminal begins one. Beyond it that person's first ends, and nobody else's.
const SHIFTS_PERSON_MAX: usize = 100;

/// `POST /v1/officers/sign-in`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInAsked {
    /// The officer's signing key id.
    pub officer_key: B64,
    /// `Signed<DeskCall>` of kind sign-in.
    pub call: B64,
    /// The passcode.
    pub passcode: String,
}

impl fmt::Debug for SignInAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInAsked(..)")
    }
}

/// Its answer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInGiven {
    /// Shown as `Authorization: Bearer ..`, base64url of 32 bytes.
    pub token: String,
    /// Unix seconds at which the shift ends.
    pub until: u64,
}

impl fmt::Debug for SignInGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInGiven(..)")
    }
}

struct Shift {
    key: [u8; 32],
    /// A second key is no second person.
    person: [u8; 32],
    until: Duration,
    /// Streams that are open by it.
    watching: usize,
}

/// A stream that is open by a shift.
pub(crate) struct Watching {
    shifts: Shifts,
    token: [u8; 32],
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.shifts.watched(&self.token, |watching| watching.saturating_sub(1));
    }
}

struct Inner {
    desk: Desk,
    clock: Arc<dyn Clock>,
    /// By SHA-256 of the token.
    shifts: Mutex<BTreeMap<[u8; 32], Shift>>,
}

/// Who is signed in. Cheap to clone; a restart signs everybody out.
#[derive(Clone)]
pub struct Shifts(Arc<Inner>);

impl fmt::Debug for Shifts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shifts(..)")
    }
}

impl Shifts {
    /// Nobody yet.
    #[must_use]
    pub fn new(desk: Desk, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { desk, clock, shifts: Mutex::default() }))
    }

    /// `POST /v1/officers/sign-in`.
    pub fn routes(&self) -> Router {
        Router::new().route("/v1/officers/sign-in", post(sign_in)).with_state(self.clone())
    }

    /// The key of the officer whose shift a request belongs to. Whether the officer is still in service is asked of
    /// [`officers`](Self::officers), by whoever decides.
    ///
    /// # Errors
    /// `not-signed-in`.
    pub fn officer(&self, headers: &HeaderMap) -> Result<[u8; 32], ProblemKind> {
        let refused = ProblemKind::NotSignedIn;
        let token = token_of(headers).ok_or(refused)?;
        let now = self.0.clock.monotonic();
        let mut shifts = self.0.shifts.lock().unwrap_or_else(PoisonError::into_inner);
        shifts.retain(|_, shift| now < shift.until);
        shifts.get(&token).map(|shift| shift.key).ok_or(refused)
    }

    /// A stream is open by the shift of these headers until this is dropped: of its person's shifts it is the last to end for another.
    pub(crate) fn watch(&self, headers: &HeaderMap) -> Option<Watching> {
        let token = token_of(headers)?;
        self.watched(&token, |watching| watching.saturating_add(1));
        Some(Watching { shifts: self.clone(), token })
    }

    fn watched(&self, token: &[u8; 32], change: impl FnOnce(usize) -> usize) {
        let mut shifts = self.0.shifts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shift) = shifts.get_mut(token) {
            shift.watching = change(shift.watching);
        }
    }

    /// The officers of this agency.
    ///
    /// # Errors
    /// The desk cannot say.
    pub async fn officers(&self) -> Result<VerifiedDirectory, Problem> {
        self.0.desk.officers().await
    }

    /// The directory of the day in which they stand, signed.
    ///
    /// # Errors
    /// The desk cannot say.
    pub async fn signed_directory(&self) -> Result<B64, Problem> {
        self.0.desk.signed_directory().await
    }

    /// The clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(seconds(self.0.clock.as_ref()))
    }

    fn begin(&self, key: [u8; 32], person: [u8; 32]) -> SignInGiven {
        let token = lockplate_core::id::b64url(Secret::<32>::random(&mut SystemRng).expose_secret());
        let now = self.0.clock.monotonic();
        let mut shifts = self.0.shifts.lock().unwrap_or_else(PoisonError::into_inner);
        shifts.retain(|_, shift| now < shift.until);
        enter(&mut shifts, digest(&token), Shift { key, person, until: now.saturating_add(SHIFT), watching: 0 });
        let until = seconds(self.0.clock.as_ref()).saturating_add(SHIFT.as_secs());
        SignInGiven { token, until }
    }
}

/// Of a person with as many as one may have the first ends, one by which somebody watches last.
fn enter(shifts: &mut BTreeMap<[u8; 32], Shift>, token: [u8; 32], new: Shift) {
    let own = shifts.iter().filter(|(_, shift)| shift.person == new.person);
    if own.clone().count() >= SHIFTS_PERSON_MAX {
        let first = own.min_by_key(|(_, shift)| (shift.watching > 0, shift.until)).map(|(token, _)| *token);
        first.map(|first| shifts.remove(&first));
    }
    shifts.insert(token, new);
}

fn token_of(headers: &HeaderMap) -> Option<[u8; 32]> {
    Some(digest(headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

async fn sign_in(
    State(shifts): State<Shifts>,
    BoundedJson(asked): BoundedJson<SignInAsked>,
) -> Result<Json<SignInGiven>, Problem> {
    let key = asked.officer_key.0.as_slice().try_into().map_err(|_length| ProblemKind::Malformed)?;
    shifts.0.desk.admits(key, &asked.call, Zeroizing::new(asked.passcode)).await?;
    // A key of nobody can do nothing with a shift.
    let person = shifts.officers().await?.person(&key).unwrap_or(key);
    Ok(Json(shifts.begin(key, person)))
}

/// The own desk's word, for somebody else, that an officer has signed in with key and passcode for what has this digest; `now` is the
/// officer's clock. It needs no shift.
///
/// # Errors
/// [`PeerError`]: `not-signed-in` where key, passcode or clock do not fit.
pub async fn session(
    desk: &PeerClient,
    key: &SigningKey,
    passcode: &str,
    digest: &[u8; 32],
    now: Timestamp,
) -> Result<B64, PeerError> {
    let call = DeskCall { request_digest: *digest, kind: DeskCallKind::Session, time: now };
    let asked = SessionAsked {
        officer_key: B64(key.verify_key().0.to_vec()),
        passcode: passcode.to_owned(),
        request_digest: B64(digest.to_vec()),
        call: B64(key.sign(call).to_bytes()),
    };
    let given: SessionGiven = desk.post_json("/v1/desk/sessions", &asked, None).await?;
    Ok(given.session)
}

/// An officer's client, signed in for a shift.
pub struct SignedIn {
    client: PeerClient,
    key: SigningKey,
    bearer: HeaderValue,
    until: Timestamp,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedIn(..)")
    }
}

impl SignedIn {
    /// Signs in with key and passcode; `now` is the officer's clock.
    ///
    /// # Errors
    /// [`PeerError`]: `not-signed-in` where key, passcode or clock do not fit.
    pub async fn sign_in(
        client: PeerClient,
        key: SigningKey,
        passcode: &str,
        now: Timestamp,
    ) -> Result<Self, PeerError> {
        let call = DeskCall { request_digest: [0; 32], kind: DeskCallKind::SignIn, time: now };
        let asked = SignInAsked {
            officer_key: B64(key.verify_key().0.to_vec()),
            call: B64(key.sign(call).to_bytes()),
            passcode: passcode.to_owned(),
        };
        let given: SignInGiven = client.post_json("/v1/officers/sign-in", &asked, None).await?;
        let bearer = Zeroizing::new(format!("Bearer {}", given.token));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_characters| PeerError::Malformed)?;
        bearer.set_sensitive(true);
        Ok(Self { client, key, bearer, until: Timestamp(given.until) })
    }

    /// When the shift ends, by the desk's clock.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// The officer's key.
    #[must_use]
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The client; what it sends must carry [`headers`](Self::headers).
    #[must_use]
    pub const fn client(&self) -> &PeerClient {
        &self.client
    }

    /// What each call of the shift carries.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, self.bearer.clone())])
    }

    /// GETs a JSON document.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, PeerError> {
        decode(&self.client.get_with(path, self.headers()).await?)
    }

    /// POSTs a JSON document.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<T, PeerError> {
        let body = serde_json::to_vec(body).map_err(|_our_type| PeerError::Unsendable)?;
        let mut headers = self.headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        decode(&self.client.post_with(path, headers, body).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_signs_in_without_end_throws_out_nobody_else_and_no_terminal_of_their_own() {
        let mut shifts = BTreeMap::new();
        let shift = |person: u8, at: u64, watching| Shift {
            key: [person; 32],
            person: [person; 32],
            until: Duration::from_secs(at),
            watching,
        };
        let token = |number: u64| digest(&number.to_string());
        enter(&mut shifts, token(0), shift(1, 0, 0));
        enter(&mut shifts, token(1), shift(2, 1, 1));
        for number in 2..1_100 {
            enter(&mut shifts, token(number), shift(2, number, 0));
        }
        assert_eq!(shifts.len(), 1 + SHIFTS_PERSON_MAX);
        assert!(shifts.contains_key(&token(0)), "another person's");
        assert!(shifts.contains_key(&token(1)), "the first of all, by which somebody watches");
        assert!(shifts.contains_key(&token(1_099)) && !shifts.contains_key(&token(2)));
    }
}

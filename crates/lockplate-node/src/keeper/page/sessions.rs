//! Who is signed in at the keeper's page: secrets in memory only, gone with the process. Fifteen minutes without a request end a
//! session, eight hours end it in any case. Times are the process's monotonic ones.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockplate_core::id::b64url;
use lockplate_core::wire::th;
use rand_core::Rng as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::rng::SystemRng;

/// A session ends so long after its last request.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);
/// And so long after it began.
const AGE_MAX: Duration = Duration::from_secs(8 * 3_600);
/// Sessions at a time; the one that was silent longest gives way.
const SESSIONS_MAX: usize = 64;
/// How long a sign-in may take.
const CEREMONY_MAX: Duration = Duration::from_secs(5 * 60);
/// Sign-ins begun at a time; the oldest gives way.
const CEREMONIES_MAX: usize = 256;
/// Characters of a cookie's value: 32 bytes in base64url.
pub(super) const COOKIE_BYTES_MAX: usize = 43;

/// A session as a handler sees it.
#[derive(Clone)]
pub(super) struct Session {
    /// Place of the person in the configuration.
    pub(super) person: usize,
    /// The secret of this session's pages: a post without it was not made by one of them.
    pub(super) csrf: String,
    key: [u8; 32],
}

impl Session {
    pub(super) fn csrf_is(&self, shown: &str) -> bool {
        self.csrf.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

struct Open {
    session: Session,
    began: Duration,
    seen: Duration,
}

#[derive(Default)]
struct State {
    /// By SHA-256 of the cookie's value: what is looked up is no secret.
    open: BTreeMap<[u8; 32], Open>,
    begun: BTreeMap<String, ([u8; 32], Duration)>,
}

#[derive(Default)]
pub(super) struct Sessions(Mutex<State>);

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRng.fill_bytes(&mut bytes);
    bytes
}

fn key_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

impl Open {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.seen) >= IDLE_MAX || now.saturating_sub(self.began) >= AGE_MAX
    }
}

impl Sessions {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a sign-in: its id, and the challenge to sign. The challenge can be no decision's: it has a label of its own.
    pub(super) fn begin(&self, now: Duration) -> (String, [u8; 32]) {
        let (id, challenge) = (b64url(&random()), th("sign-in", &[&random()]));
        let mut state = self.state();
        state.begun.retain(|_, (_, began)| now.saturating_sub(*began) < CEREMONY_MAX);
        if state.begun.len() >= CEREMONIES_MAX {
            let oldest = state.begun.iter().min_by_key(|(_, (_, began))| *began).map(|(id, _)| id.clone());
            oldest.and_then(|id| state.begun.remove(&id));
        }
        state.begun.insert(id.clone(), (challenge, now));
        (id, challenge)
    }

    /// The challenge of a sign-in that was begun in time; it can be answered once.
    pub(super) fn take(&self, id: &str, now: Duration) -> Option<[u8; 32]> {
        let (challenge, began) = self.state().begun.remove(id)?;
        (now.saturating_sub(began) < CEREMONY_MAX).then_some(challenge)
    }

    /// Opens a session; the value of its cookie.
    pub(super) fn open(&self, person: usize, now: Duration) -> String {
        let secret = b64url(&random());
        let key = key_of(&secret);
        let mut state = self.state();
        state.open.retain(|_, open| !open.is_over(now));
        if state.open.len() >= SESSIONS_MAX {
            let silent = state.open.iter().min_by_key(|(_, open)| open.seen).map(|(key, _)| *key);
            silent.and_then(|key| state.open.remove(&key));
        }
        let session = Session { person, csrf: b64url(&random()), key };
        state.open.insert(key, Open { session, began: now, seen: now });
        secret
    }

    /// The session of a cookie's value, if it is not over; it was seen now.
    pub(super) fn find(&self, secret: &str, now: Duration) -> Option<Session> {
        let (key, mut state) = (key_of(secret), self.state());
        if state.open.get(&key)?.is_over(now) {
            state.open.remove(&key);
            return None;
        }
        let open = state.open.get_mut(&key)?;
        open.seen = now;
        Some(open.session.clone())
    }

    pub(super) fn close(&self, session: &Session) {
        drop(self.state().open.remove(&session.key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    #[test]
    fn a_session_ends_when_it_is_silent_too_old_or_closed() {
        let sessions = Sessions::default();
        let secret = sessions.open(3, NOW);
        assert_eq!(secret.len(), COOKIE_BYTES_MAX);
        let found = sessions.find(&secret, NOW).unwrap();
        assert_eq!(found.person, 3);
        assert!(found.csrf_is(&found.csrf.clone()) && !found.csrf_is("") && !found.csrf_is(&secret));
        assert!(sessions.find("somebody", NOW).is_none());
        let almost = IDLE_MAX.checked_sub(Duration::from_secs(1)).unwrap();
        assert!(sessions.find(&secret, NOW + almost).is_some());
        assert!(sessions.find(&secret, NOW + almost + almost).is_some(), "each request keeps it open");
        assert!(sessions.find(&secret, NOW + almost + almost + IDLE_MAX).is_none());
        assert!(sessions.find(&secret, NOW).is_none(), "over is over");

        let secret = sessions.open(0, NOW);
        let mut at = NOW;
        while at < NOW + AGE_MAX {
            assert!(sessions.find(&secret, at).is_some());
            at += almost;
        }
        assert!(sessions.find(&secret, at).is_none(), "eight hours");

        let secret = sessions.open(0, NOW);
        sessions.close(&sessions.find(&secret, NOW).unwrap());
        assert!(sessions.find(&secret, NOW).is_none());
    }

    #[test]
    fn a_sign_in_is_answered_once_and_in_time() {
        let sessions = Sessions::default();
        let (id, challenge) = sessions.begin(NOW);
        assert_eq!(sessions.take(&id, NOW), Some(challenge));
        assert_eq!(sessions.take(&id, NOW), None);
        let (id, other) = sessions.begin(NOW);
        assert_ne!(challenge, other);
        assert_eq!(sessions.take(&id, NOW + CEREMONY_MAX), None);
    }

    #[test]
    fn both_are_bounded_and_the_oldest_gives_way() {
        let sessions = Sessions::default();
        let (first, _) = sessions.begin(NOW);
        let secret = sessions.open(0, NOW);
        for second in 1..=CEREMONIES_MAX {
            let at = NOW + Duration::from_millis(u64::try_from(second).unwrap());
            drop((sessions.begin(at), sessions.open(0, at)));
        }
        let state = sessions.state();
        assert_eq!((state.begun.len(), state.open.len()), (CEREMONIES_MAX, SESSIONS_MAX));
        drop(state);
        assert!(sessions.take(&first, NOW).is_none() && sessions.find(&secret, NOW).is_none());
    }
}

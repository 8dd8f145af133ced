//! An officer's side of alerts: signs in for a shift, follows the stream, opens an alert, signs steps. It decides nothing and shows
//! nothing; whatever it hands out of an alert's content its caller must not trace.

use core::fmt;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use lockplate_core::Timestamp;
use lockplate_core::filing::{DeskCall, DeskCallKind};
use lockplate_core::hotlist::alert::{AlertStep, AlertText};
use lockplate_core::person::ByPerson;
use lockplate_core::sign::SigningKey;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::doors::LAST_EVENT_ID;
use super::wire::{AlertEvent, AlertLine, AlertList, AlertOpened, Said, StepAsked};
use crate::api::B64;
use crate::client::{Lines, PeerClient, PeerError};
use crate::clock::Clock;
use crate::party_log::seconds;
use crate::shift::{SignInAsked, SignInGiven};

/// An officer who is signed in.
pub struct Terminal {
    client: PeerClient,
    key: SigningKey,
    bearer: HeaderValue,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Terminal(..)")
    }
}

impl Terminal {
    /// Signs in with key and passcode.
    ///
    /// # Errors
    /// [`PeerError`]: `not-signed-in` where key, passcode or clock do not fit.
    pub async fn sign_in(
        client: PeerClient,
        key: SigningKey,
        passcode: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PeerError> {
        let time = Timestamp(seconds(clock.as_ref()));
        let call = DeskCall { request_digest: [0; 32], kind: DeskCallKind::SignIn, time };
        let asked = SignInAsked {
            officer_key: B64(key.verify_key().0.to_vec()),
            call: B64(key.sign(call).to_bytes()),
            passcode: passcode.to_owned(),
        };
        let given: SignInGiven = client.post_json("/v1/officers/sign-in", &asked, None).await?;
        let bearer = Zeroizing::new(format!("Bearer {}", given.token));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_characters| PeerError::Malformed)?;
        bearer.set_sensitive(true);
        Ok(Self { client, key, bearer, clock })
    }

    /// What waits for a look or a disposition.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn waiting(&self) -> Result<AlertList, PeerError> {
        self.get("/v1/alerts").await
    }

    /// One alert with its content.
    ///
    /// # Errors
    /// [`PeerError`]: `refused` where the policy does not let this officer read it.
    pub async fn show(&self, id: &str) -> Result<AlertOpened, PeerError> {
        self.get(&format!("/v1/alerts/{id}")).await
    }

    /// Signs what is said of an alert and says it.
    ///
    /// # Errors
    /// [`PeerError`]: `conflicting` where the alert does not wait for it, `invalid` where it does not hold.
    pub async fn step(&self, text: &AlertText, said: Said) -> Result<AlertLine, PeerError> {
        let meant = said.meant().ok_or(PeerError::Unsendable)?;
        let time = Timestamp(seconds(self.clock.as_ref()));
        let step = AlertStep { alert: text.alert, step: meant.step(), said: meant.said(text), time };
        let asked = StepAsked { step: B64(ByPerson::with_key(&self.key, step).to_bytes()), said };
        let body = serde_json::to_vec(&asked).map_err(|_our_type| PeerError::Unsendable)?;
        let mut headers = self.headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let path = format!("/v1/alerts/{}/steps", hex::encode(text.alert));
        decode(&self.client.post_with(&path, headers, body.into()).await?)
    }

    /// Events after a number; without one from the oldest alert that waits.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn events(&self, after: Option<u64>) -> Result<Events, PeerError> {
        let mut headers = self.headers();
        if let Some(number) = after {
            headers.insert(LAST_EVENT_ID, HeaderValue::from(number));
        }
        Ok(Events { lines: self.client.lines("/v1/alerts/stream", headers).await?, number: after })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, PeerError> {
        decode(&self.client.get_with(path, self.headers()).await?)
    }

    fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, self.bearer.clone())])
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PeerError> {
    serde_json::from_slice(bytes).map_err(|_peers_text| PeerError::Malformed)
}

/// Events as they come.
#[derive(Debug)]
pub struct Events {
    lines: Lines,
    number: Option<u64>,
}

impl Events {
    /// Number of the last alert that came: what to name when coming again.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        self.number
    }

    /// The next event with its name; none where the desk has ended the stream, as it does after some minutes.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn next(&mut self) -> Result<Option<(String, AlertEvent)>, PeerError> {
        let (mut name, mut data) = (String::new(), None);
        while let Some(line) = self.lines.next().await? {
            match line.split_once(": ") {
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("id", value)) => self.number = Some(value.parse().map_err(|_digits| PeerError::Malformed)?),
                Some(("data", value)) => data = Some(decode(value.as_bytes())?),
                Some(_) | None => {}
            }
            if line.is_empty()
                && let Some(data) = data.take()
            {
                return Ok(Some((name, data)));
            }
        }
        Ok(None)
    }
}

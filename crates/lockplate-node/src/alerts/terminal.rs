//! An officer's side of alerts: signs in for a shift, follows the stream, opens an alert, signs steps. It decides nothing and shows
//! nothing; whatever it hands out of an alert's content its caller must not trace.

use core::fmt;
use std::sync::Arc;

use axum::http::HeaderValue;
use lockplate_core::Timestamp;
use lockplate_core::hotlist::alert::{AlertStep, AlertText};
use lockplate_core::person::ByPerson;
use lockplate_core::sign::SigningKey;

use super::doors::LAST_EVENT_ID;
use super::wire::{AlertEvent, AlertLine, AlertList, AlertOpened, Said, StepAsked};
use crate::api::B64;
use crate::client::{Lines, PeerClient, PeerError, decode};
use crate::clock::Clock;
use crate::party_log::seconds;
use crate::shift::SignedIn;

/// An officer who is signed in.
pub struct Terminal {
    officer: SignedIn,
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
        let now = Timestamp(seconds(clock.as_ref()));
        Ok(Self { officer: SignedIn::sign_in(client, key, passcode, now).await?, clock })
    }

    /// When the shift ends, by the desk's clock.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.officer.until()
    }

    /// What waits for a look or a disposition.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn waiting(&self) -> Result<AlertList, PeerError> {
        self.officer.get("/v1/alerts").await
    }

    /// One alert with its content.
    ///
    /// # Errors
    /// [`PeerError`]: `refused` where the policy does not let this officer read it.
    pub async fn show(&self, id: &str) -> Result<AlertOpened, PeerError> {
        self.officer.get(&format!("/v1/alerts/{id}")).await
    }

    /// Signs what is said of an alert and says it.
    ///
    /// # Errors
    /// [`PeerError`]: `conflicting` where the alert does not wait for it, `invalid` where it does not hold.
    pub async fn step(&self, text: &AlertText, said: Said) -> Result<AlertLine, PeerError> {
        let meant = said.meant().ok_or(PeerError::Unsendable)?;
        let time = Timestamp(seconds(self.clock.as_ref()));
        let step = AlertStep { alert: text.alert, step: meant.step(), said: meant.said(text), time };
        let asked = StepAsked { step: B64(ByPerson::with_key(self.officer.key(), step).to_bytes()), said };
        let path = format!("/v1/alerts/{}/steps", hex::encode(text.alert));
        self.officer.post(&path, &asked).await
    }

    /// Events after a number; without one from the oldest alert that waits.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn events(&self, after: Option<u64>) -> Result<Events, PeerError> {
        let mut headers = self.officer.headers();
        if let Some(number) = after {
            headers.insert(LAST_EVENT_ID, HeaderValue::from(number));
        }
        Ok(Events { lines: self.officer.client().lines("/v1/alerts/stream", headers).await?, number: after })
    }
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

//! An officer at the own desk, outside of requests: `officer.toml` says which desk and which key, the passcode is the second factor.

use std::path::{Path, PathBuf};

use anyhow::Result;
use lockplate_core::filing::{DeskCall, DeskCallKind};
use lockplate_core::id::{AgencyId, from_b64url};
use lockplate_core::sign::SigningKey;
use lockplate_node::api::B64;
use lockplate_node::client::{CallLimits, PeerClient, PeerTrust};
use lockplate_node::search::read_person_key;
use lockplate_node::settings;
use lockplate_node::shift::{SignInAsked, SignInGiven};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::agency::{now, passcode};
use crate::exit::Ended;
use crate::search::OfficerConfig;

/// An officer with the key, at the desk.
pub(crate) struct AtDesk {
    /// Client of the agency.
    pub(crate) client: PeerClient,
    /// The officer's key.
    pub(crate) key: SigningKey,
    /// The officer's agency.
    pub(crate) agency: AgencyId,
    passcode: Option<PathBuf>,
}

impl AtDesk {
    /// Reads `officer.toml`.
    pub(crate) fn open(path: &Path, limits: CallLimits) -> Result<Self> {
        let config: OfficerConfig = settings::load_over(path, std::env::vars())?;
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let pin =
            from_b64url(&config.desk_pin).ok_or_else(|| Ended::config("`desk_pin` is not the pin of a TLS key"))?;
        let agency = AgencyId::parse(&config.agency).ok_or_else(|| Ended::config("`agency` is not an agency's id"))?;
        Ok(Self {
            client: PeerClient::new(&config.desk, PeerTrust::Pinned(pin), limits)?,
            key: read_person_key(&base.join(&config.key))?,
            agency,
            passcode: config.passcode_file.map(|file| base.join(file)),
        })
    }

    /// Signs in for a shift: the header to show from then on. The passcode comes from the file that `officer.toml` names, else from
    /// standard input.
    pub(crate) async fn sign_in(&self) -> Result<HeaderMap> {
        let passcode: Zeroizing<String> = passcode(self.passcode.as_deref())?;
        let call = DeskCall { request_digest: [0; 32], kind: DeskCallKind::SignIn, time: now() };
        let asked = SignInAsked {
            officer_key: B64(self.key.verify_key().0.to_vec()),
            call: B64(self.key.sign(call).to_bytes()),
            passcode: passcode.to_string(),
        };
        let given: SignInGiven = self.client.post_json("/v1/officers/sign-in", &asked, None).await?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", given.token))?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }
}

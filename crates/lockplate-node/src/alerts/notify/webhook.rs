//! Webhooks: a signed POST, as Standard Webhooks 1.0 has it, so that receivers use a library of theirs: `webhook-id`, `webhook-timestamp`,
//! and `webhook-signature: v1,<base64 of HMAC-SHA-256 over id "." timestamp "." body>`. No redirect is followed, no proxy of the
//! environment is used, and nothing that the receiver says is read.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lockplate_core::Timestamp;
use lockplate_core::json::time_text;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use rustls::ClientConfig;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::address::{Allowed, Judged, Lookup};
use super::{NoNotices, Notice, PAUSES, Receiver, Why};
use crate::alerts::settings::WebhookConfig;
use crate::clock::Clock;
use crate::intake::AddressRange;
use crate::party_log::seconds;
use crate::rng::SystemRng;
use crate::settings::{ConfigError, read_or_create_secret};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Longest time for one try.
const TRY_MAX: Duration = Duration::from_secs(10);

/// A webhook of the configuration.
#[derive(Clone, Debug)]
pub(in crate::alerts) struct HookNotices {
    url: Url,
    key_file: PathBuf,
    allowed: Allowed,
    escalation: bool,
}

impl HookNotices {
    /// # Errors
    /// [`ConfigError`].
    pub(in crate::alerts) fn check(file: &Path, data: &Path, config: WebhookConfig) -> Result<Self, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, what);
        let ranges = config.allow.iter().map(|range| AddressRange::parse(range)).collect::<Option<Vec<_>>>();
        let ranges = ranges.ok_or_else(|| refuse("`alerts.webhook.allow` holds address ranges such as 10.1.0.0/16"))?;
        let url = Url::parse(&config.url).map_err(|_syntax| refuse("`alerts.webhook.url` is no address"))?;
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let plain = url.scheme() == "http";
        if !bare || url.cannot_be_a_base() || !(plain || url.scheme() == "https") || (plain && ranges.is_empty()) {
            return Err(refuse(
                "`alerts.webhook.url` is an https address without user and password; http only to a range of `allow`",
            ));
        }
        let allowed = Allowed { ranges, ranges_only: plain };
        // A literal address is connected to without being looked up.
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if host.parse::<IpAddr>().is_ok_and(|address| !allowed.admits(address)) {
            return Err(refuse(
                "`alerts.webhook.url` is an address that is not public: write its range into `allow` if it is meant",
            ));
        }
        Ok(Self { url, key_file: data.join(config.key_file), allowed, escalation: config.escalation })
    }
}

/// One receiver.
pub(in crate::alerts) struct Webhook {
    client: Client,
    url: Url,
    key: Zeroizing<[u8; 32]>,
    escalation: bool,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// Reads the key, or makes it; connects to nobody yet.
    pub(in crate::alerts) fn new(
        hook: &HookNotices,
        lookup: Lookup,
        tls: ClientConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoNotices> {
        let judged = Judged { allowed: hook.allowed.clone(), lookup };
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            // A kept connection would go on to an address that the name does not have any more.
            .pool_max_idle_per_host(0)
            .timeout(TRY_MAX)
            .dns_resolver(Arc::new(judged))
            .tls_backend_preconfigured(tls)
            .build();
        let client = client.map_err(|_library| NoNotices::Unfit("the client of a webhook cannot be set up"))?;
        let key = read_or_create_secret(&hook.key_file, &mut SystemRng)?;
        Ok(Self { client, url: hook.url.clone(), key, escalation: hook.escalation, clock })
    }

    /// One try. An error says whether another one makes sense.
    pub(super) async fn post(&self, id: &str, notice: &Notice) -> Result<(), bool> {
        let now = seconds(self.clock.as_ref());
        let body = notice.to_json(&time_text(Timestamp(now)));
        let timestamp = now.to_string();
        let signature = sign(&self.key, id, &timestamp, &body).ok_or(false)?;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ID, id)
            .header(TIMESTAMP, timestamp)
            .header(SIGNATURE, signature)
            .body(body);
        match request.send().await.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Ok(()),
            Ok(StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) | Err(_) => Err(true),
            Ok(status) => Err(status.is_server_error()),
        }
    }
}

impl Receiver for Webhook {
    fn wants(&self, why: &Why) -> bool {
        match why {
            Why::Raised => !self.escalation,
            Why::Escalated | Why::Overdue => true,
            Why::Stale(_) => false,
        }
    }

    fn tell<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            // The same of every try: by it the receiver knows a repeat.
            let id = format!("{}-{}", notice.why.name(), hex::encode(notice.alert));
            let mut pauses = PAUSES.into_iter();
            loop {
                match (self.post(&id, notice).await, pauses.next()) {
                    (Ok(()), _) => return true,
                    (Err(true), Some(pause)) => tokio::time::sleep(pause).await,
                    (Err(_), _) => return false,
                }
            }
        })
    }
}

fn sign(key: &[u8; 32], id: &str, timestamp: &str, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in [id, ".", timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

//! `[alerts]` of `agency.toml`: who is told of alerts beside the officers' terminals, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lettre::Address;
use serde::Deserialize;

use super::notify::mail::MailNotices;
use super::notify::mqtt::MqttNotices;
use super::notify::webhook::HookNotices;
use crate::mail::{MailConfig, MailSettings};
use crate::settings::ConfigError;

/// Webhooks of one agency.
const WEBHOOKS_MAX: usize = 16;
/// Own lists at other agencies' recorders: each is a call that waits there.
const FROM_LISTS_MAX: usize = 256;
/// Addresses of each kind that mail goes to.
const ADDRESSES_MAX: usize = 64;
/// Minutes until it is said again that nobody has looked: an alert is expired 30 after its full minute.
const ESCALATE_MINUTES_MAX: u32 = 28;
/// Days that records law may want alerts kept on which somebody was stopped: a century.
const RECORDS_DAYS_MAX: u64 = 36_500;

/// `[alerts]`. Without it alerts go to the officers' terminals alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// Address that notices lead to; `/` and the id of the alert are appended.
    pub link: Option<String>,
    /// Minutes after which it is said again that nobody has looked.
    pub escalate_minutes: u32,
    /// Days that alerts are kept on which somebody was stopped; 730 where records law says nothing.
    pub records_days: Option<u64>,
    /// `[[alerts.webhook]]`.
    pub webhook: Vec<WebhookConfig>,
    /// `[alerts.mail]`.
    pub mail: Option<AlertMailConfig>,
    /// `[alerts.mqtt]`.
    pub mqtt: Option<MqttConfig>,
    /// `[[alerts.from]]`.
    pub from: Vec<FromConfig>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        let (webhook, from) = (Vec::new(), Vec::new());
        Self { link: None, escalate_minutes: 10, records_days: None, webhook, mail: None, mqtt: None, from }
    }
}

/// One `[[alerts.webhook]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where notices are posted; `https`, or `http` to a range of `allow`.
    pub url: String,
    /// 32 bytes in hexadecimal that sign them, relative to the data folder; made where the file is absent.
    pub key_file: PathBuf,
    /// Ranges of addresses that are not public and may be connected to, such as `10.1.0.0/16`.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Told of what nobody has looked at, and of nothing else.
    #[serde(default)]
    pub escalation: bool,
}

/// `[alerts.mail]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertMailConfig {
    /// Told of every alert.
    #[serde(default)]
    pub to: Vec<String>,
    /// Told of what nobody has looked at.
    #[serde(default)]
    pub escalate_to: Vec<String>,
    /// Told that an entry of theirs is out of date, by ORI.
    #[serde(default)]
    pub agencies: BTreeMap<String, String>,
    /// The mail server.
    pub smtp: MailConfig,
}

/// `[alerts.mqtt]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// Name or address of the broker.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// No TLS: a broker on this machine, and nowhere else.
    #[serde(default)]
    pub plain_loopback: bool,
    /// Topic of notices.
    pub topic: String,
    /// User name, where the broker asks for one.
    pub user: Option<String>,
    /// File with the password, mode 0600.
    pub password_file: Option<PathBuf>,
}

/// One `[[alerts.from]]`: another agency whose recorder matches lists of this one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromConfig {
    /// The charter of that agency's archive, which names its address and key.
    pub charter: PathBuf,
    /// The charter's hash, 64 hexadecimal digits: what pins it.
    pub hash: String,
    /// Ids of the own lists there, 32 hexadecimal digits each.
    pub lists: Vec<String>,
}

/// The same with its values checked.
#[derive(Debug, Clone)]
pub(super) struct FromSettings {
    pub(super) charter: PathBuf,
    pub(super) hash: [u8; 32],
    pub(super) lists: Vec<[u8; 16]>,
}

/// `[alerts]` with its values checked.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    pub(super) link: String,
    pub(super) escalate_seconds: u64,
    pub(super) records_seconds: Option<u64>,
    pub(super) webhooks: Vec<HookNotices>,
    pub(super) mail: Option<MailNotices>,
    pub(super) mqtt: Option<MqttNotices>,
    pub(super) from: Vec<FromSettings>,
}

impl AlertSettings {
    /// Checks the section of a file. Key files of webhooks are relative to `data`, everything else to the file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn check(file: &Path, data: &Path, config: AlertsConfig) -> Result<Self, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, what);
        if config.escalate_minutes == 0 || config.escalate_minutes > ESCALATE_MINUTES_MAX {
            return Err(refuse("`alerts.escalate_minutes` is from 1 to 28: after 30 minutes an alert is expired"));
        }
        if config.records_days.is_some_and(|days| days == 0 || days > RECORDS_DAYS_MAX) {
            return Err(refuse("`alerts.records_days` is from 1 to 36500"));
        }
        if config.webhook.len() > WEBHOOKS_MAX {
            return Err(refuse("`alerts.webhook` stands there at most 16 times"));
        }
        let told = !config.webhook.is_empty() || config.mail.is_some() || config.mqtt.is_some();
        let link = match config.link {
            Some(link) if link.starts_with("https://") => link,
            None if !told => String::new(),
            Some(_) | None => {
                return Err(refuse("`alerts.link` is the https address that notices lead to, and notices need one"));
            }
        };
        let webhooks = config.webhook.into_iter().map(|hook| HookNotices::check(file, data, hook));
        let mail = match config.mail {
            None => None,
            Some(mail) => Some(mail_notices(file, mail)?),
        };
        let lists = config.from.iter().map(|from| from.lists.len()).fold(0, usize::saturating_add);
        if lists > FROM_LISTS_MAX || config.from.iter().any(|from| from.lists.is_empty()) {
            return Err(refuse("`alerts.from` names at least one list each, and at most 256 together"));
        }
        let from = config.from.iter().map(|from| from_settings(file, from)).collect::<Result<_, _>>()?;
        let mqtt = config.mqtt.map(|mqtt| MqttNotices::check(file, mqtt)).transpose()?;
        Ok(Self {
            link: link.trim_end_matches('/').to_owned(),
            escalate_seconds: u64::from(config.escalate_minutes).saturating_mul(60),
            records_seconds: config.records_days.map(|days| days.saturating_mul(86_400)),
            webhooks: webhooks.collect::<Result<_, _>>()?,
            mail,
            mqtt,
            from,
        })
    }
}

fn from_settings(file: &Path, config: &FromConfig) -> Result<FromSettings, ConfigError> {
    let refuse = |what: &str| ConfigError::refused(file, None, what);
    let mut hash = [0; 32];
    hex::decode_to_slice(&config.hash, &mut hash)
        .map_err(|_digits| refuse("`alerts.from.hash` has 64 hexadecimal digits"))?;
    let list = |text: &String| {
        let mut list = [0; 16];
        hex::decode_to_slice(text, &mut list)
            .map_err(|_digits| refuse("`alerts.from.lists` are ids of 32 hexadecimal digits"))?;
        Ok(list)
    };
    let lists = config.lists.iter().map(list).collect::<Result<Vec<_>, ConfigError>>()?;
    // Two that ask about one list would each take the other's calls for old ones.
    if lists.iter().collect::<BTreeSet<_>>().len() != lists.len() {
        return Err(refuse("`alerts.from.lists` names a list twice"));
    }
    let charter = file.parent().unwrap_or_else(|| Path::new("")).join(&config.charter);
    Ok(FromSettings { charter, hash, lists })
}

fn mail_notices(file: &Path, config: AlertMailConfig) -> Result<MailNotices, ConfigError> {
    let refuse = |what: &str| ConfigError::refused(file, None, what);
    if config.to.len().max(config.escalate_to.len()).max(config.agencies.len()) > ADDRESSES_MAX {
        return Err(refuse("`alerts.mail` has at most 64 addresses of a kind"));
    }
    let address = |text: &String| {
        text.parse::<Address>().map_err(|_form| refuse("`alerts.mail` has an entry that is no address"))
    };
    let agencies = config.agencies.iter().map(|(ori, mail)| Ok((ori.clone(), address(mail)?)));
    Ok(MailNotices {
        to: config.to.iter().map(address).collect::<Result<_, _>>()?,
        escalate_to: config.escalate_to.iter().map(address).collect::<Result<_, _>>()?,
        agencies: agencies.collect::<Result<_, ConfigError>>()?,
        smtp: MailSettings::check(file, "alerts.mail.smtp", config.smtp)?,
    })
}

//! Mail through the office's own mail server: prompts to a keeper's people, alerts to an agency's. What a mail says its callers say;
//! none of them says a plate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde::Deserialize;

use crate::settings::{ConfigError, KeyFileError, read_secret_file};

/// Longest time for one mail.
const SEND_MAX: Duration = Duration::from_secs(30);

/// `[mail]` of `keeper.toml`, `[alerts.mail.smtp]` of `agency.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// Name or address of the mail server.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// Sender.
    pub from: String,
    /// User name, where the server asks for one.
    pub user: Option<String>,
    /// File with the password, mode 0600.
    pub password_file: Option<PathBuf>,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailSecurity {
    /// TLS from the first byte (port 465).
    Tls,
    /// TLS before anything is said (port 587); a server without it gets nothing.
    Starttls,
    /// None: a server on this machine, and nowhere else.
    PlainLoopback,
}

/// A mail server whose values hold.
#[derive(Clone)]
pub(crate) struct MailSettings {
    server: String,
    port: u16,
    security: MailSecurity,
    from: Address,
    user: Option<(String, PathBuf)>,
}

impl core::fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("MailSettings(..)")
    }
}

impl MailSettings {
    /// `section` is its name in the file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn check(file: &Path, section: &str, config: MailConfig) -> Result<Self, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, what.replace("mail.", &format!("{section}.")));
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let loopback = ["localhost", "127.0.0.1", "::1"].contains(&config.server.as_str());
        if config.security == MailSecurity::PlainLoopback && !loopback {
            return Err(refuse("`mail.security` is plain_loopback, and `mail.server` is not this machine"));
        }
        let from = config.from.parse().map_err(|_form| refuse("`mail.from` is no address"))?;
        let user = match (config.user, config.password_file) {
            (Some(user), Some(path)) => Some((user, folder.join(path))),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(refuse("`mail.user` and `mail.password_file` go together"));
            }
        };
        Ok(Self { server: config.server, port: config.port, security: config.security, from, user })
    }
}

/// Why mail cannot be sent at all.
#[derive(Debug)]
pub(crate) enum MailRefused {
    /// The password's file.
    File(KeyFileError),
    /// A value that does not fit: a fixed sentence that says what to mend.
    Unfit(&'static str),
}

impl From<KeyFileError> for MailRefused {
    fn from(cause: KeyFileError) -> Self {
        Self::File(cause)
    }
}

/// Sends mail.
pub(crate) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Address,
}

impl Mailer {
    /// Reads the password; connects to nobody yet.
    ///
    /// # Errors
    /// [`MailRefused`].
    pub(crate) fn new(settings: &MailSettings) -> Result<Self, MailRefused> {
        let unfit = MailRefused::Unfit("the configured mail server's name cannot be the name of a server");
        let named = TlsParameters::new(settings.server.clone());
        let tls = match settings.security {
            MailSecurity::PlainLoopback => Tls::None,
            MailSecurity::Tls => Tls::Wrapper(named.map_err(|_name| unfit)?),
            MailSecurity::Starttls => Tls::Required(named.map_err(|_name| unfit)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.server)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(SEND_MAX));
        if let Some((user, path)) = &settings.user {
            let password = read_secret_file(path)?;
            let password = core::str::from_utf8(&password);
            let password = password.map_err(|_utf8| MailRefused::Unfit("the file of the mail password is not text"))?;
            builder = builder.credentials(Credentials::new(user.clone(), password.trim_end().to_owned()));
        }
        Ok(Self { transport: builder.build(), from: settings.from.clone() })
    }

    /// Sends one mail of plain text.
    ///
    /// # Errors
    /// Nothing but that it was not sent: what a server says may name the person.
    pub(crate) async fn send(&self, to: Address, subject: String, body: String) -> Result<(), NotSent> {
        let message = Message::builder()
            .from(Mailbox::new(None, self.from.clone()))
            .to(Mailbox::new(None, to))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(body)
            .map_err(|_form| NotSent::Ever)?;
        let sent = tokio::time::timeout(SEND_MAX, self.transport.send(message)).await;
        match sent {
            Ok(Ok(_server_text)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(NotSent::Ever),
            Ok(Err(_)) | Err(_) => Err(NotSent::Yet),
        }
    }
}

/// A mail was not sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NotSent {
    /// The server cannot be reached, or wants it later (4xx).
    Yet,
    /// The server refuses it (5xx), or it is no mail.
    Ever,
}

//! Notices to an MQTT broker (3.1.1), at least once. TLS is set up here and the stream handed to the library, so that it is the same
//! TLS as everywhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lockplate_core::Timestamp;
use lockplate_core::json::time_text;
use rumqttc::{AsyncClient, Broker, EventLoop, MqttOptions, PublishOptions, ValidatedTopic};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{NoNotices, Notice, Receiver, Why};
use crate::alerts::settings::MqttConfig;
use crate::clock::Clock;
use crate::party_log::seconds;
use crate::rng::SystemRng;
use crate::settings::{ConfigError, read_secret_file};
use crate::shutdown::Tasks;

/// Pause after a broken connection.
const PAUSE: Duration = Duration::from_secs(1);
/// A notice that the broker has not taken in this time comes too late.
const TAKEN_MAX: Duration = Duration::from_secs(60);

/// The broker of the configuration.
#[derive(Clone)]
pub(in crate::alerts) struct MqttNotices {
    server: String,
    port: u16,
    plain: bool,
    topic: ValidatedTopic,
    user: Option<(String, PathBuf)>,
}

impl core::fmt::Debug for MqttNotices {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("MqttNotices(..)")
    }
}

impl MqttNotices {
    /// # Errors
    /// [`ConfigError`].
    pub(in crate::alerts) fn check(file: &Path, config: MqttConfig) -> Result<Self, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, what);
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let loopback = ["localhost", "127.0.0.1", "::1"].contains(&config.server.as_str());
        if config.plain_loopback && !loopback {
            return Err(refuse("`alerts.mqtt.plain_loopback` is set, and `alerts.mqtt.server` is not this machine"));
        }
        let topic = ValidatedTopic::new(config.topic)
            .map_err(|_grammar| refuse("`alerts.mqtt.topic` is a topic without wildcards"))?;
        let user = match (config.user, config.password_file) {
            (Some(user), Some(path)) => Some((user, folder.join(path))),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(refuse("`alerts.mqtt.user` and `alerts.mqtt.password_file` go together"));
            }
        };
        Ok(Self { server: config.server, port: config.port, plain: config.plain_loopback, topic, user })
    }
}

/// One broker.
pub(in crate::alerts) struct MqttReceiver {
    client: AsyncClient,
    topic: ValidatedTopic,
    clock: Arc<dyn Clock>,
}

impl MqttReceiver {
    /// Reads the password, and keeps a connection from now on.
    pub(in crate::alerts) fn start(
        notices: &MqttNotices,
        tls: ClientConfig,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, NoNotices> {
        let unfit = || NoNotices::Unfit("`alerts.mqtt` cannot be used: a name, topic or user is too long");
        // A name of its own at each start: two clients of one name would throw each other out.
        let mut id = [0; 8];
        rand_core::Rng::fill_bytes(&mut SystemRng, &mut id);
        let mut options =
            MqttOptions::new(format!("lockplate-{}", hex::encode(id)), Broker::tcp(&*notices.server, notices.port));
        if let Some((user, path)) = &notices.user {
            let password = read_secret_file(path)?;
            options.set_credentials(user.clone(), password.trim_ascii_end().to_vec());
        }
        if !notices.plain {
            let name = ServerName::try_from(notices.server.clone()).map_err(|_name| unfit())?;
            let (connector, port) = (TlsConnector::from(Arc::new(tls)), notices.port);
            let server = notices.server.clone();
            options.set_socket_connector(move |_address, _options| {
                let (connector, name, server) = (connector.clone(), name.clone(), server.clone());
                async move {
                    let stream = TcpStream::connect((server.as_str(), port)).await?;
                    connector.connect(name, stream).await
                }
            });
        }
        let (client, connection) = AsyncClient::builder(options).capacity(1).try_build().map_err(|_options| unfit())?;
        tasks.spawn("mqtt", keep_connected(connection, tasks.stopping().clone()));
        Ok(Self { client, topic: notices.topic.clone(), clock })
    }
}

async fn keep_connected(mut connection: EventLoop, stopping: CancellationToken) {
    let mut away = false;
    while let Some(polled) = stopping.run_until_cancelled(connection.poll()).await {
        if polled.is_ok() {
            away = false;
            continue;
        }
        if !core::mem::replace(&mut away, true) {
            tracing::warn!("the MQTT broker of alerts cannot be reached");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Receiver for MqttReceiver {
    fn wants(&self, why: &Why) -> bool {
        match why {
            Why::Raised | Why::Escalated | Why::Overdue => true,
            Why::Stale(_) => false,
        }
    }

    fn tell<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let body = notice.to_json(&time_text(Timestamp(seconds(self.clock.as_ref()))));
            let options = PublishOptions::at_least_once();
            let taken = async {
                loop {
                    let queued = self.client.publish_tracked(self.topic.clone(), body.clone(), options).await;
                    if let Ok(notice) = queued
                        && notice.wait_async().await.is_ok()
                    {
                        return;
                    }
                    // The connection broke before the broker said that it has it.
                    tokio::time::sleep(PAUSE).await;
                }
            };
            tokio::time::timeout(TAKEN_MAX, taken).await.is_ok()
        })
    }
}

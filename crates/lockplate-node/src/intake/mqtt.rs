//! Messages of a broker (Frigate, `intake.md` 8.4): MQTT 3.1.1, QoS 1, one message after the other. A message is acknowledged
//! once what it says is durable, held, or refused for good; until then the broker keeps it, also over a broken connection and a
//! restart of ours. While it can be neither durable nor held nothing more is read. A message beyond the bound is refused for good,
//! alone. What Frigate publishes with QoS 0, its default, the broker keeps for nobody.
//!
//! The library writes to `log`, for which this process has no listener; its errors are never printed, because some of them hold
//! a packet.

mod bounded;

use std::path::PathBuf;
use std::sync::Arc;

use lockplate_intake::SourceKind;
use lockplate_intake::limits::BODY_BYTES_MAX;
use reqwest::Url;
use rumqttc::{
    AckMode, AsyncClient, Broker, ConnectReturnCode, ConnectionError, Event, MqttOptions, Packet, Publish, QoS,
    SubscribeFilter, SubscribeReasonCode,
};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsConnector;

use self::bounded::{Bounded, CUT};
use super::Inner;
use super::fetched::Pause;
use super::payload::Unpacked;
use super::settings::{USER_RULE, is_user};
use crate::settings::{read_password, read_public_file};
use crate::tls;

/// Between two signs of life on an idle connection, seconds.
const KEEP_ALIVE_S: u16 = 30;

/// Bytes of what we send: acknowledgements and one subscription.
const OUTGOING_BYTES_MAX: usize = 64 * 1024;

/// Topics of one source, and bytes of one of them.
const TOPICS_MAX: usize = 16;
const TOPIC_BYTES_MAX: usize = 256;

/// Bytes of a client id.
const CLIENT_ID_BYTES_MAX: usize = 80;

/// `mqtt` of a source, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttTable {
    /// `mqtt://host:1883`, or `mqtts://host:8883` with TLS.
    pub broker: String,
    /// Topics to read; those of Frigate where it is absent.
    #[serde(default = "topics_of_frigate")]
    pub topics: Vec<String>,
    /// Name to log on with; with `password_file`.
    #[serde(default)]
    pub username: Option<String>,
    /// File with the password, mode 0600.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM of the authority that vouches for the broker; with `mqtts` only, and there always.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// By which the broker knows this reader again: of no other client of the broker. `lockplate-` and the source's name where it
    /// is absent.
    #[serde(default)]
    pub client_id: Option<String>,
}

fn topics_of_frigate() -> Vec<String> {
    ["frigate/events", "frigate/tracked_object_update"].map(str::to_owned).to_vec()
}

/// An `mqtt` whose values hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSettings {
    host: String,
    port: u16,
    topics: Vec<String>,
    login: Option<(String, PathBuf)>,
    authority: Option<PathBuf>,
    client_id: String,
}

impl MqttTable {
    /// Checks it for a source `name` of `kind`.
    pub(super) fn check(&self, kind: SourceKind, name: &str) -> Result<MqttSettings, &'static str> {
        const ADDRESS: &str = "mqtt.broker is an address such as mqtt://10.1.0.5:1883 or mqtts://broker.example";
        if kind != SourceKind::Frigate {
            return Err("mqtt is for the engine frigate");
        }
        let url: Url = self.broker.parse().map_err(|_no_url| ADDRESS)?;
        let host = url.host_str().ok_or(ADDRESS)?;
        let is_bare = url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none();
        let (port, authority) = match (url.scheme(), &self.ca_file) {
            _ if !is_bare => return Err(ADDRESS),
            ("mqtt", None) => (1883, None),
            ("mqtts", Some(file)) => (8883, Some(file.clone())),
            ("mqtt", Some(_)) => return Err("mqtt.ca_file is for an address that begins with mqtts"),
            ("mqtts", None) => return Err("mqtt.ca_file is needed for an address that begins with mqtts"),
            (_, _) => return Err(ADDRESS),
        };
        let name_of_host = host.trim_matches(['[', ']']).to_owned();
        if authority.is_some() && ServerName::try_from(name_of_host).is_err() {
            return Err(ADDRESS);
        }
        let is_topic = |topic: &String| topic.len() <= TOPIC_BYTES_MAX && rumqttc::valid_filter(topic);
        if !(1..=TOPICS_MAX).contains(&self.topics.len()) || !self.topics.iter().all(is_topic) {
            return Err("mqtt.topics holds 1 to 16 topics of at most 256 bytes");
        }
        let login = match (&self.username, &self.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) if is_user(user) => Some((user.clone(), file.clone())),
            (Some(_), Some(_)) => return Err(USER_RULE),
            (Some(_), None) | (None, Some(_)) => return Err("mqtt.username and mqtt.password_file go together"),
        };
        let client_id = self.client_id.clone().unwrap_or_else(|| format!("lockplate-{name}"));
        let id_fits = (1..=CLIENT_ID_BYTES_MAX).contains(&client_id.len())
            && client_id.bytes().all(|byte| byte.is_ascii_graphic());
        if !id_fits {
            return Err("mqtt.client_id is 1 to 80 printable ASCII characters without blanks");
        }
        Ok(MqttSettings {
            host: host.to_owned(),
            port: url.port().unwrap_or(port),
            topics: self.topics.clone(),
            login,
            authority,
            client_id,
        })
    }
}

/// How a connection ended.
struct Lost {
    /// It stood before.
    stood: bool,
    /// A fixed sentence.
    why: &'static str,
}

/// Reads messages of the source `name` for ever, over as many connections as that takes.
pub(super) async fn listen(inner: &Arc<Inner>, name: &str, settings: &MqttSettings) {
    let mut pause = Pause::new();
    loop {
        let lost = match options(settings).await {
            Ok(options) => connection(inner, name, settings, options, &mut pause).await,
            Err(why) => Some(Lost { stood: false, why }),
        };
        let Some(lost) = lost else { return };
        if lost.stood {
            inner.lost(name, lost.why);
        } else {
            tracing::warn!(source = name, why = lost.why, "there is no connection to the broker");
        }
        pause.wait().await;
    }
}

/// Reads the files: again for each connection, so that a changed password is taken.
async fn options(settings: &MqttSettings) -> Result<MqttOptions, &'static str> {
    let files = settings.clone();
    let read = tokio::task::spawn_blocking(move || {
        let login = match files.login {
            Some((user, path)) => Some((user, read_password(&path)?)),
            None => None,
        };
        Ok((login, files.authority.map(|path| read_public_file(&path)).transpose()?))
    });
    let read = read.await.map_err(|_task| "the files could not be read")?;
    let (login, authority) = read.map_err(|_file: crate::settings::KeyFileError| "a file cannot be read")?;
    let mut options = MqttOptions::new(&settings.client_id, Broker::tcp(&settings.host, settings.port));
    options.set_keep_alive(KEEP_ALIVE_S);
    options.set_max_packet_size(BODY_BYTES_MAX, OUTGOING_BYTES_MAX);
    options.set_ack_mode(AckMode::Manual);
    // The library sends what it was given before it reads on, but hands out a whole batch first: of a larger one the acknowledgements
    // would pile up, and all would come again where the connection ends.
    options.set_read_batch_size(1);
    options.try_set_clean_session(false).map_err(|_empty_id| "the client id is refused")?;
    if let Some((user, password)) = login {
        options.set_credentials(user, password.as_bytes().to_vec());
    }
    if let Some(pem) = authority {
        let config =
            tls::client_config_of_authority(&pem).map_err(|_library| "the authority's file holds no certificate")?;
        let connector = TlsConnector::from(Arc::new(config));
        let host = settings.host.trim_matches(['[', ']']).to_owned();
        let server = ServerName::try_from(host).map_err(|_name| "the broker's name cannot be in a certificate")?;
        options.set_socket_connector(move |address, network| {
            let (connector, server) = (connector.clone(), server.clone());
            async move {
                let stream = rumqttc::default_socket_connect(address, network).await?;
                Ok::<_, std::io::Error>(Bounded::new(connector.connect(server, stream).await?, BODY_BYTES_MAX))
            }
        });
    } else {
        options.set_socket_connector(|address, network| async move {
            let stream = rumqttc::default_socket_connect(address, network).await?;
            Ok::<_, std::io::Error>(Bounded::new(stream, BODY_BYTES_MAX))
        });
    }
    Ok(options)
}

/// One connection, to its end; none where it is the source or the process that ends.
async fn connection(
    inner: &Arc<Inner>,
    name: &str,
    settings: &MqttSettings,
    options: MqttOptions,
    pause: &mut Pause,
) -> Option<Lost> {
    let mut lost = Lost { stood: false, why: "the broker cannot be asked" };
    let filters = settings.topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
    // At most one thing waits to be sent: the subscription, then the acknowledgement of the message that was read last.
    let Ok((client, mut events)) = AsyncClient::builder(options).capacity(1).try_build() else {
        return Some(lost);
    };
    if client.try_subscribe_many(filters).is_err() {
        return Some(lost);
    }
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(message))) => {
                if !taken(inner, name, &message).await {
                    return None;
                }
                if client.try_ack(&message).is_err() {
                    return Some(Lost { why: "an acknowledgement could not be sent", ..lost });
                }
            }
            Ok(Event::Incoming(Packet::SubAck(answer))) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Some(Lost { why: "the broker refuses a topic", ..lost });
                }
                tracing::info!(source = name, "the broker sends");
            }
            Ok(_) => continue,
            Err(error) => {
                return Some(Lost { why: reason(&error), ..lost });
            }
        }
        // What waited at the broker comes before its answer to the subscription.
        lost.stood = true;
        pause.reset();
    }
}

/// True once the message may be acknowledged.
async fn taken(inner: &Arc<Inner>, name: &str, message: &Publish) -> bool {
    // A topic that is no text is that of no message we asked for.
    let topic = core::str::from_utf8(&message.topic).unwrap_or_default();
    if message.payload == CUT {
        inner.counters.rejected(name, lockplate_intake::Slug::TooLarge, 1);
        tracing::warn!(source = name, "a message is larger than 8 MiB: it is refused");
        return true;
    }
    let unpacked = Arc::new(Unpacked::message(message.payload.clone(), topic, message.retain));
    match inner.parse_fetched(name, &unpacked).await {
        Some((source, parsed)) => inner.deliver_fetched(&source, parsed, &unpacked, 0).await,
        None => false,
    }
}

/// In fixed words: the library's own can hold what the broker sent.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list grows, and all of it means: no connection")]
const fn reason(error: &ConnectionError) -> &'static str {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "the broker refuses the name or the password",
        ConnectionError::ConnectionRefused(_) => "the broker refuses us",
        ConnectionError::Io(_) | ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            "the broker cannot be reached"
        }
        _ => "the broker ended the connection or does not speak MQTT 3.1.1",
    }
}

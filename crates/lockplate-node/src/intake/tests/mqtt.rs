//! Messages of a broker, against mosquitto. Where that program is not installed the tests say so and prove nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS};

use super::*;

const PASSWORD: &str = "a secret word";

/// Messages that the broker keeps for a reader, beyond the 20 that are on their way (its default).
const BACKLOG: usize = 1_500;

/// A mosquitto of its own.
struct Mosquitto {
    folder: tempfile::TempDir,
    port: u16,
    tls_port: u16,
    child: Child,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Writes an authority, and a key and a certificate of it for this machine's address.
#[expect(clippy::disallowed_methods, reason = "files of a test")]
fn authority(folder: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    for (name, pem) in [("ca.pem", authority.pem()), ("server.pem", server.pem()), ("server.key", key.serialize_pem())]
    {
        std::fs::write(folder.join(name), pem).unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}

#[expect(clippy::disallowed_methods, reason = "the broker is a process of its own, with its own files")]
impl Mosquitto {
    /// None, and the reason printed, where the program is not there.
    async fn start() -> Option<Self> {
        let (Some(broker), Some(passwords)) = (program("mosquitto"), program("mosquitto_passwd")) else {
            println!("skipped: the program mosquitto is not installed (apt-get install mosquitto)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        authority(folder.path());
        let (port, tls_port) = (free_port(), free_port());
        let users = folder.path().join("users");
        let made = Command::new(passwords).args(["-b", "-c"]).arg(&users).args(["reader", PASSWORD]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let user = if rustix::process::geteuid().is_root() { "user root\n" } else { "" };
        let at = folder.path().display();
        let config = format!(
            "listener {port} 127.0.0.1\nlistener {tls_port} 127.0.0.1\ncertfile {at}/server.pem\nkeyfile {at}/server.key\n\
             allow_anonymous false\npassword_file {}\npersistence true\n\
             persistence_location {at}/\nmax_queued_messages {BACKLOG}\n{user}",
            users.display()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        let child = Self::process(&broker, folder.path());
        let this = Self { folder, port, tls_port, child };
        this.answers().await;
        Some(this)
    }

    fn process(program: &Path, folder: &Path) -> Child {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        Command::new(program)
            .arg("-c")
            .arg(folder.join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    async fn answers(&self) {
        for _try in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("mosquitto does not answer");
    }

    /// Ends as on an orderly stop, so that it keeps what it has, and begins again.
    async fn restart(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.child = Self::process(&program("mosquitto").unwrap(), self.folder.path());
        self.answers().await;
    }

    fn options(&self, client: &str) -> MqttOptions {
        let mut options = MqttOptions::new(client, ("127.0.0.1", self.port));
        options.set_credentials("reader", PASSWORD.as_bytes().to_vec());
        options.set_max_packet_size(1 << 20, 1 << 24);
        options
    }

    /// Publishes and waits until the broker has them.
    async fn publish(&self, messages: &[(&str, String, bool)]) {
        let (client, mut events) = AsyncClient::builder(self.options("publisher")).capacity(BACKLOG).build();
        for (topic, body, retained) in messages {
            let how = PublishOptions::new(QoS::AtLeastOnce).retain(*retained);
            client.try_publish((*topic).to_owned(), body.clone().into_bytes(), how).unwrap();
        }
        let mut left = messages.len();
        while left > 0 {
            if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
                left -= 1;
            }
        }
        client.try_disconnect().unwrap();
        while events.poll().await.is_ok() {}
    }
}

/// A source that reads at the broker; `kind` is that of its parser. Frigate's messages are held, so that a busy recorder is felt
/// only with another.
fn at_broker(broker: &Mosquitto, kind: SourceKind) -> SourceSettings {
    let file = broker.folder.path().join("password");
    if !file.exists() {
        password_file(broker.folder.path(), PASSWORD);
    }
    let mqtt = MqttTable {
        broker: format!("mqtt://127.0.0.1:{}", broker.port),
        topics: vec!["frigate/events".into(), "frigate/tracked_object_update".into()],
        username: Some("reader".into()),
        password_file: Some(file),
        ca_file: None,
        client_id: None,
    };
    let table = SourceTable { token_sha256: None, mqtt: Some(mqtt), ..source_table("broker", "frigate") };
    let mut settings = table.check(70).unwrap();
    settings.config = lockplate_intake::SourceConfig::new(70, kind);
    settings
}

async fn reading(broker: &Mosquitto, kind: SourceKind, key: &str, busy: bool) -> Town {
    let town = town().await;
    *town.sink.refuses.lock().unwrap() = busy.then_some(NotTaken::Busy);
    town.add(at_broker(broker, kind), key).await;
    town.state.start();
    town
}

/// Publishes until a message has come through: the subscription stands, and no other message is on its way.
async fn stands(town: &Town, broker: &Mosquitto) {
    let before = town.counts("broker").payloads;
    for _try in 0..10 {
        broker.publish(&[(EVENTS, "{\"type\":\"snapshot\"}".into(), false)]).await;
        for _look in 0..40 {
            if town.counts("broker").payloads > before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    panic!("nothing comes: {}", std::fs::read_to_string(broker.folder.path().join("log")).unwrap());
}

/// What was taken is acknowledged a moment later.
async fn acknowledged() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

const EVENTS: &str = "frigate/events";

#[tokio::test]
async fn events_of_frigate_become_reads_and_what_is_retained_or_twice_does_not() {
    let Some(broker) = Mosquitto::start().await else { return };
    broker.publish(&[(EVENTS, frigate("OLD1"), true)]).await;
    let town = reading(&broker, SourceKind::Frigate, "1", false).await;
    town.until("the retained one", |town| town.counts("broker").other_events == 1).await;
    assert_eq!(town.counts("broker").held, 0);
    let update = frigate("FR123").replace("\"end\"", "\"update\"");
    let lpr = format!(
        r#"{{"type":"lpr","id":"f-LPR","camera":"1","plate":"FR456","score":0.9,"timestamp":{}}}"#,
        NOW_MS / 1_000
    );
    broker
        .publish(&[
            (EVENTS, update, false),
            (EVENTS, frigate("FR123"), false),
            (EVENTS, frigate("FR123"), false),
            ("frigate/tracked_object_update", lpr, false),
            ("frigate/stats", frigate("OTHER"), false),
            (EVENTS, "{\"type\":".into(), false),
        ])
        .await;
    town.until("all of them", |town| town.counts("broker").payloads == 6).await;
    town.until("the bad one", |town| town.counts("broker").rejected.get("intake-malformed") == Some(&1)).await;
    assert_eq!(town.sink.texts(), [""; 0], "held");
    town.clock.advance(Duration::from_secs(30));
    town.state.0.release(false).await;
    let mut texts = town.sink.texts();
    texts.sort();
    assert_eq!(texts, ["FR123", "FR456"]);
    acknowledged().await;
    town.tasks.finish(Duration::from_secs(5)).await.unwrap();

    // All was acknowledged, the bad one too: nothing comes again but, behind it, what is retained.
    let again = reading(&broker, SourceKind::Frigate, "1", false).await;
    again.until("the retained one", |again| again.counts("broker").other_events == 1).await;
    assert_eq!((again.counts("broker").held, again.counts("broker").rejected.get("intake-malformed")), (0, None));
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let Some(broker) = Mosquitto::start().await else { return };
    let town = reading(&broker, SourceKind::Rekor, "1", false).await;
    stands(&town, &broker).await;
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    let before = town.counts("broker").payloads;
    broker.publish(&[(EVENTS, group("u-1", "AB1", false), false), (EVENTS, group("u-2", "AB2", false), false)]).await;
    town.until("the first", |town| town.counts("broker").payloads == before + 1).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(town.counts("broker").payloads, before + 1, "while it is not durable nothing more is read");
    town.tasks.finish(Duration::from_secs(5)).await.unwrap();
    assert_eq!(town.sink.texts(), [""; 0]);

    // Another process, with an empty memory: the broker has kept both.
    let next = reading(&broker, SourceKind::Rekor, "1", true).await;
    next.until("the first again", |next| next.counts("broker").payloads == 1).await;
    *next.sink.refuses.lock().unwrap() = None;
    next.until("both", |next| next.sink.texts() == ["AB1", "AB2"]).await;
    acknowledged().await;
    next.tasks.finish(Duration::from_secs(5)).await.unwrap();

    // Now they are acknowledged.
    let last = reading(&broker, SourceKind::Rekor, "1", false).await;
    stands(&last, &broker).await;
    assert_eq!(last.sink.texts(), [""; 0]);
}

#[tokio::test]
async fn a_broker_that_restarts_is_found_again_and_a_source_that_is_removed_is_left() {
    let Some(mut broker) = Mosquitto::start().await else { return };
    let town = reading(&broker, SourceKind::Rekor, "1", false).await;
    stands(&town, &broker).await;
    broker.restart().await;
    // Kept for the reader that is not there yet.
    broker.publish(&[(EVENTS, group("u-1", "AB1", false), false)]).await;
    town.until("the read", |town| town.sink.texts() == ["AB1"]).await;
    assert_eq!(town.counts("broker").lost_upstream, 1);

    town.register.0.lock().unwrap().sources.clear();
    town.state.refresh().await.unwrap();
    tokio::time::sleep(REFRESH + Duration::from_millis(500)).await;
    let before = town.counts("broker").payloads;
    broker.publish(&[(EVENTS, group("u-2", "AB2", false), false)]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((town.counts("broker").payloads, town.sink.texts()), (before, vec!["AB1".to_owned()]));
    assert_eq!(town.counts("broker").lost_upstream, 1, "what was taken away is not lost");
}

#[tokio::test]
async fn over_tls_the_broker_is_the_one_that_the_authority_vouches_for() {
    let Some(broker) = Mosquitto::start().await else { return };
    let other = tempfile::tempdir().unwrap();
    authority(other.path());
    for (folder, right) in [(broker.folder.path(), true), (other.path(), false)] {
        let town = town().await;
        let file = broker.folder.path().join("password");
        let mqtt = MqttTable {
            broker: format!("mqtts://127.0.0.1:{}", broker.tls_port),
            topics: vec![EVENTS.into()],
            username: Some("reader".into()),
            password_file: Some(if right { password_file(broker.folder.path(), PASSWORD) } else { file }),
            ca_file: Some(folder.join("ca.pem")),
            client_id: Some(format!("reader-{right}")),
        };
        let table = SourceTable { token_sha256: None, mqtt: Some(mqtt), ..source_table("broker", "frigate") };
        town.add(table.check(70).unwrap(), "1").await;
        town.state.start();
        if right {
            stands(&town, &broker).await;
        } else {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            broker.publish(&[(EVENTS, frigate("FR1"), false)]).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(town.counts("broker").payloads, 0);
        }
    }
}

#[tokio::test]
async fn a_message_beyond_the_bound_is_refused_alone_and_what_waits_behind_it_comes() {
    let Some(broker) = Mosquitto::start().await else { return };
    let town = reading(&broker, SourceKind::Rekor, "1", false).await;
    stands(&town, &broker).await;
    acknowledged().await;
    town.tasks.finish(Duration::from_secs(5)).await.unwrap();

    // While nobody reads, the broker keeps all of it.
    let large = || (EVENTS, " ".repeat(BODY_BYTES_MAX + 1), false);
    let small = |uuid: &str, plate: &str| (EVENTS, group(uuid, plate, false), false);
    broker.publish(&[small("u-1", "AB1"), large(), small("u-2", "AB2"), large(), small("u-3", "AB3")]).await;
    let next = reading(&broker, SourceKind::Rekor, "1", false).await;
    next.until("what waited", |next| next.sink.texts() == ["AB1", "AB2", "AB3"]).await;
    assert_eq!(next.counts("broker").rejected.get("intake-too-large"), Some(&2));
    assert_eq!(next.counts("broker").lost_upstream, 0, "one connection");
    acknowledged().await;
    next.tasks.finish(Duration::from_secs(5)).await.unwrap();

    // Refused for good: it does not come again.
    let last = reading(&broker, SourceKind::Rekor, "1", false).await;
    stands(&last, &broker).await;
    assert_eq!((last.sink.texts(), last.counts("broker").rejected.get("intake-too-large")), (Vec::new(), None));
}

/// Publishes a read of each plate.
async fn publish_reads(broker: &Mosquitto, plates: &[String]) {
    let messages: Vec<_> = plates.iter().map(|plate| (EVENTS, group(plate, plate, false), false)).collect();
    broker.publish(&messages).await;
}

fn plates(letter: char, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{letter}{number:04}")).collect()
}

/// Waits until a read of each of `plates` is durable, in that order, and nothing else.
async fn sealed(town: &Town, plates: &[String]) {
    town.until("every read", |town| {
        // Time passes for the pace of a source, which is 200 a second.
        town.clock.advance(Duration::from_millis(250));
        town.sink.sealed.lock().unwrap().len() >= plates.len()
    })
    .await;
    assert_eq!(town.sink.texts(), plates);
}

#[tokio::test]
async fn what_waited_while_nobody_read_comes_at_the_next_start() {
    let Some(broker) = Mosquitto::start().await else { return };
    let town = reading(&broker, SourceKind::Rekor, "1", false).await;
    stands(&town, &broker).await;
    acknowledged().await;
    town.tasks.finish(Duration::from_secs(5)).await.unwrap();

    let plates = plates('A', 400);
    publish_reads(&broker, &plates).await;
    let next = reading(&broker, SourceKind::Rekor, "1", false).await;
    sealed(&next, &plates).await;
    acknowledged().await;
    let counts = next.counts("broker");
    assert_eq!((counts.payloads, counts.lost_upstream), (400, 0), "each once, over one connection");
}

#[tokio::test]
async fn a_burst_that_comes_while_the_recorder_is_busy_is_taken_when_it_is_free() {
    let Some(mut broker) = Mosquitto::start().await else { return };
    let town = reading(&broker, SourceKind::Rekor, "1", false).await;
    stands(&town, &broker).await;
    let before = town.counts("broker").payloads;
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    let mut plates = plates('A', BACKLOG);
    publish_reads(&broker, &plates).await;
    town.until("the first", |town| town.counts("broker").payloads == before + 1).await;
    *town.sink.refuses.lock().unwrap() = None;
    sealed(&town, &plates).await;
    acknowledged().await;
    let counts = town.counts("broker");
    assert_eq!((counts.payloads, counts.lost_upstream), (before + 1_500, 0), "each once, over one connection");

    // The connection ends meanwhile: what was in our hands comes again, and is the same read.
    *town.sink.refuses.lock().unwrap() = Some(NotTaken::Busy);
    let more = self::plates('B', 400);
    publish_reads(&broker, &more).await;
    town.until("the first of them", |town| town.counts("broker").payloads == before + 1_501).await;
    broker.restart().await;
    *town.sink.refuses.lock().unwrap() = None;
    plates.extend(more);
    sealed(&town, &plates).await;
    assert_eq!(town.counts("broker").lost_upstream, 1);
}

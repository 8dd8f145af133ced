//! Receivers of notices as others run them, as far as a test needs them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Posted = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

/// A receiver of webhooks.
pub(super) struct Hooks {
    pub(super) address: SocketAddr,
    posted: Posted,
}

impl Hooks {
    pub(super) async fn start() -> Self {
        let posted = Posted::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(take).with_state(Arc::clone(&posted));
        drop(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                drop(tokio::spawn(async move {
                    let io = hyper_util::rt::TokioIo::new(stream);
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
                }));
            }
        }));
        Self { address, posted }
    }

    pub(super) fn bodies(&self, path: &str) -> Vec<String> {
        let posted = self.posted.lock().unwrap();
        posted.iter().filter(|(to, ..)| to == path).map(|(.., body)| body.clone()).collect()
    }

    /// By RFC 2104 as it is written there, and by what Standard Webhooks says is signed.
    pub(super) fn check_signatures(&self, key: &[u8]) {
        let posted = self.posted.lock().unwrap();
        assert!(!posted.is_empty());
        for (_, headers, body) in posted.iter() {
            let header = |name: &str| headers.get(name).unwrap().to_str().unwrap();
            let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
            let mut block = [0; 64];
            block[..key.len()].copy_from_slice(key);
            let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(signed).finalize();
            let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
            assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(outer)));
            assert!(header("webhook-timestamp").parse::<u64>().is_ok());
        }
        let mut ids: Vec<_> =
            posted.iter().map(|(path, headers, _)| (path, headers.get("webhook-id").unwrap())).collect();
        ids.sort_unstable_by_key(|(path, id)| (path.as_str(), id.as_bytes()));
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all, "each once");
    }
}

async fn take(State(posted): State<Posted>, uri: Uri, headers: HeaderMap, body: Bytes) -> &'static str {
    let body = String::from_utf8(body.to_vec()).unwrap();
    posted.lock().unwrap().push((uri.path().to_owned(), headers, body));
    "taken"
}

/// A mail server that takes everything (RFC 5321, as far as one mail needs it).
pub(super) struct MailServer {
    pub(super) address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, mails) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let all = Arc::clone(&mails);
        drop(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                drop(tokio::spawn(talk(stream, Arc::clone(&all))));
            }
        }));
        Self { address, mails }
    }

    /// Mails to an address that begins so.
    pub(super) fn to(&self, address: &str) -> Vec<String> {
        let header = format!("To: {address}");
        self.mails.lock().unwrap().iter().filter(|mail| mail.contains(&header)).cloned().collect()
    }

    pub(super) fn all(&self) -> String {
        self.mails.lock().unwrap().join("\n")
    }
}

async fn talk(stream: TcpStream, mails: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 ready\r\n").await.ok()?;
    while let Some(line) = lines.next_line().await.ok()? {
        let answer: &[u8] = match line.get(..4)? {
            "EHLO" => b"250 mail.example\r\n",
            "QUIT" => b"221 bye\r\n",
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                let mut mail = String::new();
                while let Some(line) = lines.next_line().await.ok()? {
                    if line == "." {
                        break;
                    }
                    mail.push_str(&line);
                    mail.push('\n');
                }
                mails.lock().unwrap().push(mail);
                b"250 taken\r\n"
            }
            _ => b"250 good\r\n",
        };
        write.write_all(answer).await.ok()?;
    }
    Some(())
}

/// Mosquitto, where the machine has it.
pub(super) struct Broker {
    child: Child,
    at: SocketAddr,
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Broker {
    pub(super) fn start(at: SocketAddr) -> Option<Self> {
        let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            eprintln!("SKIPPED: there is no mosquitto; notices by MQTT were NOT tested");
            return None;
        };
        let mut command = Command::new(program);
        let child = command.arg("-p").arg(at.port().to_string()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Some(Self { child: child.unwrap(), at })
    }

    /// Messages of a topic from now on.
    pub(super) fn listen(&self, topic: &'static str) -> Arc<Mutex<Vec<String>>> {
        let taken = Arc::<Mutex<Vec<String>>>::default();
        let all = Arc::clone(&taken);
        let options = MqttOptions::new("listener", rumqttc::Broker::tcp("127.0.0.1", self.at.port()));
        let (client, mut connection) = AsyncClient::builder(options).capacity(10).build();
        drop(tokio::spawn(async move {
            client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
            loop {
                match connection.poll().await {
                    Ok(Event::Incoming(Incoming::Publish(publish))) => {
                        all.lock().unwrap().push(String::from_utf8(publish.payload.to_vec()).unwrap());
                    }
                    Ok(_) => {}
                    Err(_not_up_yet) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }));
        taken
    }
}

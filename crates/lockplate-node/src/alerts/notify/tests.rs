use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::address::{Lookup, system_lookup};
use super::mail::{MailNotices, MailReceiver};
use super::webhook::{HookNotices, Webhook};
use super::*;
use crate::alerts::settings::WebhookConfig;
use crate::clock::TestClock;
use crate::http::{Limits, ListenOn, Server, TlsMode};
use crate::mail::{MailConfig, MailSecurity, MailSettings};

fn notice() -> Notice {
    Notice {
        why: Why::Raised,
        alert: [0xa1; 16],
        class: ListClass::StolenVehicle,
        matched: MatchKind::PlateOnly,
        place: "Main St \"at\" Elm".to_owned(),
        link: "https://alerts.example/a1".to_owned(),
    }
}

fn checked(url: &str, allow: &[&str]) -> Result<HookNotices, crate::settings::ConfigError> {
    let allow = allow.iter().map(|range| (*range).to_owned()).collect();
    let config = WebhookConfig { url: url.to_owned(), key_file: "hook.key".into(), allow, escalation: false };
    HookNotices::check(Path::new("/etc/agency.toml"), Path::new("/nowhere"), config)
}

/// A receiver that answers with one status after the other, the last one for ever.
#[derive(Clone)]
struct Hooks {
    posted: Arc<Mutex<Vec<(String, String)>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
}

impl Hooks {
    async fn start(at: &str, tls: TlsMode, statuses: &[u16], tasks: &Tasks) -> (Self, SocketAddr) {
        let statuses = statuses.iter().rev().copied().collect();
        let hooks = Self { posted: Arc::default(), statuses: Arc::new(Mutex::new(statuses)) };
        let on = ListenOn { addr: at.parse().unwrap(), tls };
        let server = Server::bind(on, Limits::default()).await.unwrap();
        let address = server.local_addr();
        server.serve(Router::new().fallback(take).with_state(hooks.clone()), tasks);
        (hooks, address)
    }

    fn posted(&self) -> Vec<(String, String)> {
        self.posted.lock().unwrap().clone()
    }
}

async fn take(State(hooks): State<Hooks>, uri: Uri, headers: HeaderMap) -> Response {
    let id = headers.get("webhook-id").map_or("", |id| id.to_str().unwrap()).to_owned();
    hooks.posted.lock().unwrap().push((uri.path().to_owned(), id));
    let mut statuses = hooks.statuses.lock().unwrap();
    let status = if statuses.len() > 1 { statuses.pop() } else { statuses.last().copied() };
    (StatusCode::from_u16(status.unwrap()).unwrap(), [("location", "/elsewhere")]).into_response()
}

fn hook_at(url: &str, allow: &[&str], lookup: Lookup, tls: ClientConfig, folder: &Path) -> Webhook {
    let allow = allow.iter().map(|range| (*range).to_owned()).collect();
    let config = WebhookConfig { url: url.to_owned(), key_file: "hook.key".into(), allow, escalation: false };
    let hook = HookNotices::check(Path::new("agency.toml"), folder, config).unwrap();
    Webhook::new(&hook, lookup, tls, Arc::new(TestClock::new(1_800_000_000_000))).unwrap()
}

/// Answers for every name with these, one set after the other.
fn lookups(answers: &[&[&str]]) -> Lookup {
    let answers: Vec<Vec<IpAddr>> =
        answers.iter().rev().map(|one| one.iter().map(|text| text.parse().unwrap()).collect()).collect();
    let answers = Mutex::new(answers);
    Arc::new(move |_name| {
        let answer = answers.lock().unwrap().pop().unwrap_or_default();
        Box::pin(async move { Ok(answer) })
    })
}

fn no_tls() -> ClientConfig {
    tls::client_config([0; 32]).unwrap()
}

#[test]
fn addresses_that_lead_inside_are_refused_where_they_are_written_down() {
    for (url, allow, good) in [
        ("https://hooks.example/alpr", &[] as &[&str], true),
        ("https://8.8.8.8/alpr?desk=1", &[], true),
        ("https://10.1.2.3/alpr", &["10.1.0.0/16"], true),
        ("http://10.1.2.3/alpr", &["10.1.0.0/16"], true),
        ("http://hooks.example/alpr", &[], false),
        ("https://127.0.0.1/", &[], false),
        ("https://2130706433/", &[], false),
        ("https://0x7f.1/", &[], false),
        ("https://[::ffff:127.0.0.1]/", &[], false),
        ("https://169.254.169.254/latest/meta-data", &[], false),
        ("https://10.2.0.1/", &["10.1.0.0/16"], false),
        ("http://8.8.8.8/", &["10.1.0.0/16"], false),
        ("https://user:secret@hooks.example/", &[], false),
        ("ftp://hooks.example/", &[], false),
        ("file:///etc/passwd", &[], false),
        ("hooks.example", &[], false),
        ("https://hooks.example/", &["10/8"], false),
    ] {
        assert_eq!(checked(url, allow).is_ok(), good, "{url}");
    }
}

#[test]
fn a_notice_says_where_and_what_and_no_more() {
    let json = notice().to_json("2026-11-22T14:00:00Z");
    let expected = "{\"type\":\"alert.raised\",\"timestamp\":\"2026-11-22T14:00:00Z\",\"data\":{\"alert\":\
                    \"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\",\"class\":\"stolenVehicle\",\"matched\":\"plate_only\",\
                    \"camera\":\"Main St \\\"at\\\" Elm\",\"link\":\"https://alerts.example/a1\"}}";
    assert_eq!(json, expected);
}

#[tokio::test]
async fn a_receiver_that_is_not_ready_is_told_again_and_one_that_sends_elsewhere_is_not_followed() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let allow: &[&str] = &["127.0.0.0/8"];
    let hook = |at: SocketAddr| hook_at(&format!("http://{at}/alpr"), allow, system_lookup(), no_tls(), folder.path());
    let (busy, at) = Hooks::start("127.0.0.1:0", TlsMode::PlainLoopback, &[503, 429, 200], &tasks).await;
    assert!(hook(at).tell(&notice()).await);
    let posted = busy.posted();
    assert_eq!(posted.len(), 3);
    assert!(posted.iter().all(|one| *one == posted[0] && one.1.starts_with("alert.raised-a1a1")), "{posted:?}");
    for status in [302, 307, 400, 410] {
        let (hooks, at) = Hooks::start("127.0.0.1:0", TlsMode::PlainLoopback, &[status], &tasks).await;
        assert!(!hook(at).tell(&notice()).await, "{status}");
        assert_eq!(hooks.posted().len(), 1, "{status}");
    }
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}

/// DNS rebinding: the name means the receiver once, and then the machine's own service of the same port.
#[tokio::test]
async fn a_name_is_judged_at_each_connection() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (good, at) = Hooks::start("127.0.0.2:0", TlsMode::PlainLoopback, &[200], &tasks).await;
    let inside = format!("127.0.0.1:{}", at.port());
    let (inside, _) = Hooks::start(&inside, TlsMode::PlainLoopback, &[200], &tasks).await;
    let answers: [&[&str]; 4] = [&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2", "127.0.0.1"], &["127.0.0.2"]];
    let url = format!("http://hooks.example:{}/alpr", at.port());
    let hook = hook_at(&url, &["127.0.0.2"], lookups(&answers), no_tls(), folder.path());
    let mut said = Vec::new();
    for _answer in answers {
        said.push(hook.post("id", &notice()).await);
    }
    assert_eq!(said, [Ok(()), Err(true), Err(true), Ok(())]);
    assert_eq!((good.posted().len(), inside.posted().len()), (2, 0));
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_receiver_is_known_by_the_name_in_its_certificate() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = || Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let tls = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (hooks, at) = Hooks::start("127.0.0.1:0", TlsMode::Pinned(Arc::new(server)), &[200], &tasks).await;
    for (name, good) in [("hooks.example", true), ("other.example", false)] {
        let url = format!("https://{name}:{}/alpr", at.port());
        let hook = hook_at(&url, &["127.0.0.1"], lookups(&[&["127.0.0.1"]]), tls.clone(), folder.path());
        assert_eq!(hook.post("id", &notice()).await.is_ok(), good, "{name}");
    }
    assert_eq!(hooks.posted().len(), 1);
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}

struct Away;

impl Receiver for Away {
    fn wants(&self, why: &Why) -> bool {
        *why == Why::Raised
    }

    fn tell<'a>(&'a self, _notice: &'a Notice) -> BoxFuture<'a, bool> {
        Box::pin(core::future::pending())
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody_and_what_it_misses_is_counted() {
    let tasks = Tasks::new();
    let notifier = Notifier::of(vec![Arc::new(Away)], &tasks);
    for _notice in 0..=QUEUE_MAX {
        notifier.notify(notice());
        tokio::task::yield_now().await;
    }
    assert_eq!(notifier.lost(), 0, "one is being told, the others wait");
    notifier.notify(notice());
    assert_eq!(notifier.lost(), 1);
    notifier.notify(Notice { why: Why::Stale("CT0000001".to_owned()), ..notice() });
    assert_eq!(notifier.lost(), 1, "not for it");
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}

/// A mail server that says one thing after the other to whoever names a receiver, the last for ever; how often it was asked.
async fn mail_server(answers: &'static [&'static str]) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&asked);
    drop(tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let count = Arc::clone(&count);
            drop(tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 ready\r\n").await.unwrap();
                let mut is_mail = false;
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer = match line.get(..4) {
                        _ if is_mail && line != "." => continue,
                        Some("RCPT") => {
                            let at = usize::try_from(count.fetch_add(1, Ordering::SeqCst)).unwrap();
                            answers[at.min(answers.len() - 1)]
                        }
                        Some("DATA") => "354 go on",
                        Some(_) | None => "250 good",
                    };
                    is_mail = line == "DATA";
                    write.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
                }
            }));
        }
    }));
    (port, asked)
}

fn mail_at(port: u16) -> MailReceiver {
    mail_to(port, &["desk@pd.example"]).remove(0)
}

fn mail_to(port: u16, addresses: &[&str]) -> Vec<MailReceiver> {
    let config = MailConfig {
        server: "127.0.0.1".to_owned(),
        port,
        security: MailSecurity::PlainLoopback,
        from: "alpr@pd.example".to_owned(),
        user: None,
        password_file: None,
    };
    let smtp = MailSettings::check(Path::new("agency.toml"), "alerts.mail.smtp", config).unwrap();
    let to: Vec<lettre::Address> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let escalate_to = to.iter().take(1).cloned().collect();
    MailReceiver::each(&MailNotices { to, escalate_to, agencies: Default::default(), smtp }).unwrap()
}

#[tokio::test]
async fn mail_that_is_wanted_later_is_sent_again_and_mail_that_is_refused_is_not() {
    let (port, asked) = mail_server(&["451 4.7.1 greylisted", "250 good"]).await;
    assert!(mail_at(port).tell(&notice()).await);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let (port, asked) = mail_server(&["550 5.1.1 nobody of that name"]).await;
    assert!(!mail_at(port).tell(&notice()).await);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// A mailbox that is full must not keep others waiting.
#[test]
fn each_address_has_a_receiver_of_its_own() {
    let both = mail_to(25, &["one@pd.example", "two@pd.example", "one@pd.example"]);
    let wants = |why: Why| both.iter().map(|one| one.wants(&why)).collect::<Vec<_>>();
    assert_eq!((wants(Why::Raised), wants(Why::Escalated)), (vec![true, true], vec![true, false]));
}

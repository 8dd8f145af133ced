use super::*;
use crate::http::{BoundedBytes, BoundedJson, Limits, ListenOn, Server, TlsMode};
use crate::problem::ProblemKind;
use crate::rng::SystemRng;
use crate::settings::{KeyFileReason, create_secret_file};
use crate::shutdown::Tasks;
use crate::tls::{TlsError, TlsIdentity};
use axum::Router;
use axum::extract::{Extension, Query};
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

const ANSWER_BYTES: usize = 100;

fn app() -> Router {
    Router::new()
        .route("/v1/echo", post(|BoundedJson(note): BoundedJson<Note>| async move { axum::Json(note) }))
        .route("/v1/raw", post(|BoundedBytes(bytes): BoundedBytes| async move { bytes }))
        .route("/v1/id", post(|Extension(id): Extension<RequestId>| async move { id.as_str().to_owned() }))
        .route("/v1/query", get(|Query(query): Query<BTreeMap<String, String>>| async move { axum::Json(query) }))
        .route("/v1/gone", get(|| async { ProblemKind::EpochDestroyed }))
        .route("/v1/at", get(|| async { "x".repeat(ANSWER_BYTES) }))
        .route("/v1/beyond", get(|| async { "x".repeat(ANSWER_BYTES + 1) }))
        .route("/v1/away", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/v1/at")]) }))
        .route("/v1/never", get(|| async { std::future::pending::<()>().await }))
}

fn limits() -> CallLimits {
    CallLimits { connect: Duration::from_secs(5), total: Duration::from_secs(5), body_bytes: ANSWER_BYTES }
}

async fn start(tls: TlsMode) -> (SocketAddr, Tasks) {
    let server = Server::bind(ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls }, Limits::default()).await.unwrap();
    let (addr, tasks) = (server.local_addr(), Tasks::new());
    server.serve(app(), &tasks);
    (addr, tasks)
}

async fn plain() -> (PeerClient, Tasks) {
    let (addr, tasks) = start(TlsMode::PlainLoopback).await;
    (PeerClient::new(&format!("http://{addr}/v1/"), PeerTrust::PlainLoopback, limits()).unwrap(), tasks)
}

fn identity(folder: &tempfile::TempDir, name: &str) -> TlsIdentity {
    TlsIdentity::load_or_create(&folder.path().join(name)).unwrap()
}

#[tokio::test]
async fn the_pinned_key_is_accepted_and_any_other_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (keeper, other) = (identity(&folder, "keeper.key"), identity(&folder, "other.key"));
    let (addr, _tasks) = start(TlsMode::Pinned(keeper.server_config().unwrap())).await;
    let base = format!("https://{addr}");
    let client = |pin| PeerClient::new(&base, PeerTrust::Pinned(pin), limits()).unwrap();
    let note = Note { text: "hello".to_owned() };
    assert_eq!(client(keeper.pin()).post_json("/v1/echo", &note, None).await, Ok(note));
    let mut one_bit_off = keeper.pin();
    one_bit_off[31] ^= 1;
    for wrong in [other.pin(), one_bit_off, [0; 32]] {
        assert_eq!(client(wrong).get_bytes("/v1/at", &[]).await, Err(PeerError::WrongKey));
    }
}

#[tokio::test]
async fn any_key_is_for_https_and_for_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (addr, _tasks) = start(TlsMode::Pinned(identity(&folder, "keeper.key").server_config().unwrap())).await;
    let client = PeerClient::new(&format!("https://{addr}"), PeerTrust::AnyKey, limits()).unwrap();
    assert_eq!(client.get_file("/v1/at", ANSWER_BYTES).await.unwrap().unwrap().len(), ANSWER_BYTES);
    assert_eq!(client.get_file("/v1/at", ANSWER_BYTES - 1).await, Err(PeerError::TooLarge));
    assert_eq!(client.get_file("/v1/nothing", 10).await, Ok(None));
    assert!(client.get_file("/v1/gone", 10).await.unwrap().is_none(), "gone is not there either");
    let plain = PeerClient::new(&format!("http://{addr}"), PeerTrust::AnyKey, limits());
    assert_eq!(plain.unwrap_err(), AddressError::WrongScheme);
}

#[tokio::test]
async fn a_copied_certificate_without_its_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = identity(&folder, "keeper.key");
    // The thief has the public certificate and a key of their own, and a TLS stack that does not check that they fit.
    let thief_key = rcgen::KeyPair::generate().unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(thief_key.serialize_der()).unwrap();
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certificate = std::fs::read(folder.path().join("keeper.crt")).unwrap();
    let chain = vec![rustls::pki_types::pem::PemObject::from_pem_slice(&certificate).unwrap()];
    let stolen = std::sync::Arc::new(rustls::sign::CertifiedKey::new(chain, signer));
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(stolen)));
    let (addr, _tasks) = start(TlsMode::Pinned(std::sync::Arc::new(config))).await;
    let client = PeerClient::new(&format!("https://{addr}"), PeerTrust::Pinned(keeper.pin()), limits()).unwrap();
    assert_eq!(client.get_bytes("/v1/at", &[]).await, Err(PeerError::WrongKey));
}

#[tokio::test]
async fn tls_1_2_is_refused_by_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = identity(&folder, "keeper.key");
    let (addr, _tasks) = start(TlsMode::Pinned(keeper.server_config().unwrap())).await;
    let handshake = async |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        connector.connect("lockplate".try_into().unwrap(), stream).await.unwrap_err().to_string()
    };
    assert!(handshake(&[&rustls::version::TLS12]).await.contains("ProtocolVersion"), "no common version");
    assert!(handshake(&[&rustls::version::TLS13]).await.contains("certificate"), "1.3 gets as far as the certificate");
}

#[test]
fn an_identity_is_kept_closed_and_must_fit_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = identity(&folder, "a.key");
    assert_eq!(identity(&folder, "a.key").pin(), made.pin(), "read back, not made again");
    std::fs::remove_file(folder.path().join("a.crt")).unwrap();
    assert_eq!(identity(&folder, "a.key").pin(), made.pin(), "the pin is of the key, not of the certificate");
    let other = identity(&folder, "b.key");
    assert_ne!(other.pin(), made.pin());
    std::fs::copy(folder.path().join("b.crt"), folder.path().join("a.crt")).unwrap();
    let key = folder.path().join("a.key");
    assert!(matches!(TlsIdentity::load_or_create(&key).unwrap_err(), TlsError::Mismatch(_)));
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let error = TlsIdentity::load_or_create(&key).unwrap_err();
    assert!(matches!(&error, TlsError::File(file) if matches!(file.reason(), KeyFileReason::OpenToOthers(0o644))));
    assert_eq!(error.exit_kind(), ExitKind::Config);
    let broken = folder.path().join("c.key");
    create_secret_file(&broken, b"not a key").unwrap();
    assert!(matches!(TlsIdentity::load_or_create(&broken).unwrap_err(), TlsError::Unusable(_)));
    assert!(!format!("{made:?}").contains("key"), "Debug shows the pin and nothing else");
}

#[test]
fn addresses_that_could_lead_elsewhere_are_refused() {
    let pin = PeerTrust::Pinned([1; 32]);
    let plain = PeerTrust::PlainLoopback;
    let refused = |base: &str, trust| PeerClient::new(base, trust, limits()).err();
    for (base, trust, expected) in [
        ("https://keeper.example:8443", pin, None),
        ("https://192.0.2.7/lockplate", pin, None),
        ("http://127.0.0.1:1", plain, None),
        ("http://[::1]:1", plain, None),
        ("http://localhost:1", plain, Some(AddressError::PlainOffLoopback)),
        ("http://192.0.2.7", plain, Some(AddressError::PlainOffLoopback)),
        ("http://127.0.0.1.example", plain, Some(AddressError::PlainOffLoopback)),
        ("http://keeper.example", pin, Some(AddressError::WrongScheme)),
        ("https://127.0.0.1", plain, Some(AddressError::WrongScheme)),
        ("ftp://127.0.0.1", plain, Some(AddressError::WrongScheme)),
        ("https://user@keeper.example", pin, Some(AddressError::NotAnAddress)),
        ("https://keeper.example/?a=b", pin, Some(AddressError::NotAnAddress)),
        ("keeper.example", pin, Some(AddressError::NotAnAddress)),
        ("mailto:x", pin, Some(AddressError::NotAnAddress)),
    ] {
        assert_eq!(refused(base, trust), expected, "{base}");
    }
}

#[tokio::test]
async fn bodies_queries_and_ids_arrive_as_sent() {
    let (client, _tasks) = plain().await;
    let bytes = Bytes::from_static(&[0, 255, 10, 13]);
    assert_eq!(client.post_bytes("/raw", bytes.clone(), None).await, Ok(bytes));
    let id = RequestId::random(&mut SystemRng);
    assert_eq!(client.post_bytes("/id", Bytes::new(), Some(&id)).await, Ok(Bytes::from(id.as_str().to_owned())));
    let query: BTreeMap<String, String> = client.get_json("/query", &[("a", "b&c=d #é")]).await.unwrap();
    assert_eq!(query, BTreeMap::from([("a".to_owned(), "b&c=d #é".to_owned())]));
    for path in ["query", "/../query", "/./query", "/a/.."] {
        assert_eq!(client.get_bytes(path, &[]).await, Err(PeerError::Unsendable), "{path}");
    }
}

#[tokio::test]
async fn a_problem_is_typed_and_other_failures_are_named_without_the_peers_text() {
    let (client, _tasks) = plain().await;
    let gone = client.get_bytes("/gone", &[]).await.unwrap_err();
    let PeerError::Problem(gone) = gone else { panic!("{gone}") };
    assert_eq!(gone.kind(), ProblemKind::EpochDestroyed);
    assert!(gone.request_id().is_some());
    let absent = client.get_bytes("/a?b#c", &[]).await.unwrap_err();
    assert!(matches!(absent, PeerError::Problem(problem) if problem.kind() == ProblemKind::NotFound));
    assert_eq!(client.get_bytes("/away", &[]).await, Err(PeerError::Malformed), "a redirect is not followed");
    assert_eq!(client.get_bytes("/at", &[]).await.map(|body| body.len()), Ok(ANSWER_BYTES));
    assert_eq!(client.get_bytes("/beyond", &[]).await, Err(PeerError::TooLarge));
    assert_eq!(client.get_json::<Note>("/at", &[]).await, Err(PeerError::Malformed));
}

#[tokio::test]
async fn silence_and_absence_are_told_apart() {
    let (addr, tasks) = start(TlsMode::PlainLoopback).await;
    let hasty = CallLimits { total: Duration::from_millis(100), ..limits() };
    let client = PeerClient::new(&format!("http://{addr}"), PeerTrust::PlainLoopback, hasty).unwrap();
    assert_eq!(client.get_bytes("/v1/never", &[]).await, Err(PeerError::TimedOut));
    tasks.stop();
    let absent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = PeerClient::new(&format!("http://{absent}"), PeerTrust::PlainLoopback, limits()).unwrap();
    assert_eq!(client.get_bytes("/v1/at", &[]).await, Err(PeerError::Unreachable));
}

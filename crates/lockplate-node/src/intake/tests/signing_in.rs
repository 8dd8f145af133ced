//! Sources without a token in the address: Bearer, Basic, Digest, and the fixed paths of ITSAPI.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use super::*;
use crate::intake::digest::Challenge;

const PASSWORD: &str = "a secret word";

/// A town with a Dahua camera `gate` that signs in.
async fn with_gate(folder: &std::path::Path) -> Town {
    let town = town().await;
    let table = SourceTable {
        token_sha256: None,
        user: Some("gate-user".into()),
        password_file: Some(password_file(folder, PASSWORD)),
        ..source_table("gate", "dahua")
    };
    town.add(table.check(50).unwrap(), "1").await;
    town
}

const TOLL_GATE: &str = "/NotificationInfo/TollgateInfo";

fn send(uri: &str, body: &str, authorization: Option<&str>) -> Request {
    let mut request = post_of(uri, "application/json", body.to_owned());
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    request
}

async fn said(town: &Town, door: Door, request: Request) -> (u16, HeaderMap, String) {
    let response = town.state.routes(door).oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, String::from_utf8(body.to_vec()).unwrap())
}

fn challenges(headers: &HeaderMap) -> Vec<String> {
    headers.get_all(WWW_AUTHENTICATE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// A challenge of the door, as a camera asks for it; `only` those with this word.
async fn challenge(town: &Town, only: &str) -> Challenge {
    let (status, headers, _) = said(town, Door::Protected, send(TOLL_GATE, "{}", None)).await;
    assert_eq!(status, 401);
    let all = challenges(&headers);
    Challenge::best(all.iter().map(String::as_str).filter(|text| text.contains(only))).unwrap()
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn a_camera_signs_in_with_digest_on_the_paths_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let town = with_gate(folder.path()).await;
    for (algorithm, plate) in [("SHA-256", "AB123"), ("MD5", "CD456")] {
        let mut challenge = challenge(&town, algorithm).await;
        let mut shown = || challenge.answer("gate-user", PASSWORD, "POST", TOLL_GATE, "c").unwrap().to_string();
        let (first, second) = (shown(), shown());
        let (status, _, body) = said(&town, Door::Protected, send(TOLL_GATE, &toll_gate(plate), Some(&first))).await;
        assert_eq!((status, body.as_str()), (200, r#"{"result":"true"}"#), "{algorithm}");
        let (status, headers, _) = said(&town, Door::Protected, send(TOLL_GATE, &toll_gate("XX"), Some(&first))).await;
        assert_eq!(status, 401, "somebody else's repeat");
        assert!(challenges(&headers)[0].contains("stale=true"));
        assert_eq!(said(&town, Door::Protected, send(TOLL_GATE, &toll_gate(plate), Some(&second))).await.0, 200);
    }
    assert_eq!(town.sink.texts(), ["AB123", "CD456"]);
    for path in ["/NotificationInfo/KeepAlive", "/NotificationInfo/DeviceInfo"] {
        let shown = challenge(&town, "MD5").await.answer("gate-user", PASSWORD, "POST", path, "c").unwrap();
        let (status, _, body) = said(&town, Door::Protected, send(path, r#"{"DeviceID":"1"}"#, Some(&shown))).await;
        assert_eq!((status, body.as_str()), (200, r#"{"result":"true"}"#));
    }
    assert!(town.state.health().cameras.iter().any(|camera| camera.camera == 50));
    // The nonce ends.
    let shown = challenge(&town, "MD5").await.answer("gate-user", PASSWORD, "POST", TOLL_GATE, "c").unwrap();
    town.clock.advance(Duration::from_secs(61));
    let (status, headers, _) = said(&town, Door::Protected, send(TOLL_GATE, "{}", Some(&shown))).await;
    assert!(status == 401 && challenges(&headers)[0].contains("stale=true"));
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let town = with_gate(folder.path()).await;
    let token = format!("Bearer {}", token_text(&TOKEN).as_str());
    let wrong_token = format!("Bearer {}", token_text(&[8; 32]).as_str());
    let mut refused = Vec::new();
    for (uri, authorization) in [
        (TOLL_GATE, basic("gate-user", "another word")),
        (TOLL_GATE, basic("nobody", PASSWORD)),
        (TOLL_GATE, basic("nobody", "")),
        (TOLL_GATE, token.clone()),
        ("/in/v1/gate", basic("gate-user", "another word")),
        ("/in/v1/gate", basic("nobody", PASSWORD)),
        ("/in/v1/gate", token.clone()),
        ("/in/v1/own", basic("gate-user", PASSWORD)),
        ("/in/v1/nobody", basic("gate-user", PASSWORD)),
        ("/in/v1/own", wrong_token.clone()),
        ("/in/v1/nobody", wrong_token),
        ("/in/v1/gate", "Basic !".into()),
        ("/in/v1/gate", "Basic".into()),
    ] {
        refused.push(said(&town, Door::Protected, send(uri, "{}", Some(&authorization))).await);
    }
    for (user, password, path) in [
        ("gate-user", "another word", TOLL_GATE),
        ("nobody", PASSWORD, TOLL_GATE),
        ("gate-user", PASSWORD, "/NotificationInfo/KeepAlive"),
    ] {
        let shown = challenge(&town, "SHA-256").await.answer(user, password, "POST", path, "c").unwrap();
        refused.push(said(&town, Door::Protected, send(TOLL_GATE, "{}", Some(&shown))).await);
    }
    // Right, over a listener that is not for it.
    refused.push(said(&town, Door::Lan, send(TOLL_GATE, "{}", Some(&basic("gate-user", PASSWORD)))).await);
    for (status, headers, body) in &refused {
        assert_eq!((*status, headers, body), (404, &refused[0].1, &refused[0].2));
    }

    let mut asked = Vec::new();
    for uri in [TOLL_GATE, "/in/v1/gate", "/in/v1/own", "/in/v1/nobody"] {
        for authorization in [None, Some("Negotiate x"), Some("Digest realm=\"x\"")] {
            let (status, headers, body) = said(&town, Door::Protected, send(uri, "{}", authorization)).await;
            let schemes: Vec<String> =
                challenges(&headers).iter().map(|text| text.split("nonce").next().unwrap().to_owned()).collect();
            asked.push((status, schemes, body));
        }
    }
    assert!(asked.iter().all(|one| one == &asked[0] && one.0 == 401 && one.1.len() == 3));
    let (_, headers, _) = said(&town, Door::Lan, send(TOLL_GATE, "{}", None)).await;
    assert!(challenges(&headers).iter().all(|text| text.starts_with("Digest")), "the password itself is not asked for");

    for (uri, authorization, body) in [
        (TOLL_GATE, basic("gate-user", PASSWORD), toll_gate("AB1")),
        ("/in/v1/gate", basic("gate-user", PASSWORD), toll_gate("AB2")),
        ("/in/v1/dahua", token, toll_gate("AB3")),
    ] {
        assert_eq!(said(&town, Door::Protected, send(uri, &body, Some(&authorization))).await.0, 200, "{uri}");
    }
    assert_eq!(town.sink.texts(), ["AB1", "AB2", "AB3"]);
    assert!(!format!("{:?}", town.register.0.lock().unwrap().sources).contains(PASSWORD));
}

/// Over a real connection: the challenge reaches the camera, also one that writes for long before it listens.
#[tokio::test]
async fn the_challenge_reaches_a_camera_that_sends_a_large_payload_first() {
    let folder = tempfile::tempdir().unwrap();
    let town = with_gate(folder.path()).await;
    let on = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, Limits::default()).await.unwrap();
    let url = format!("http://{}{TOLL_GATE}", server.local_addr());
    server.serve(town.state.routes(Door::Protected), &town.tasks);
    let tls = crate::tls::client_config([0; 32]).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap();
    let large = format!("{}{}", toll_gate("AB123"), " ".repeat(4 << 20));
    let post = || client.post(&url).header("content-type", "application/json").body(large.clone());
    let asked = post().send().await.unwrap();
    assert_eq!(asked.status(), 401);
    let all = challenges(asked.headers());
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(asked.text().await.unwrap().contains("urn:lockplate:problem:not-signed-in"));
    let mut challenge = Challenge::best(all.iter().map(String::as_str)).unwrap();
    let shown = challenge.answer("gate-user", PASSWORD, "POST", TOLL_GATE, "c").unwrap();
    let taken = post().header(AUTHORIZATION, shown.as_str()).send().await.unwrap();
    assert_eq!((taken.status().as_u16(), taken.text().await.unwrap().as_str()), (200, r#"{"result":"true"}"#));
    assert_eq!(town.sink.texts(), ["AB123"]);
}

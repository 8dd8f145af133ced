use super::*;
use axum::extract::Extension;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BODY_BYTES: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Greeting {
    name: String,
}

fn app() -> Router {
    Router::new()
        .route(
            "/hello",
            post(|BoundedJson(greeting): BoundedJson<Greeting>| async move { greeting.name.len().to_string() }),
        )
        .route("/raw", post(|BoundedBytes(bytes): BoundedBytes| async move { bytes.len().to_string() }))
        .route(
            "/large",
            post(|BoundedBytes(bytes): BoundedBytes| async move { bytes.len().to_string() })
                .layer(DefaultBodyLimit::max(200)),
        )
        .route(
            "/who",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>, Extension(id): Extension<RequestId>| async move {
                format!("{} {}", peer.ip(), id.as_str())
            }),
        )
        .route("/library", get(|| async { (StatusCode::IM_A_TEAPOT, "SELECT plate FROM /var/lib/secret.db") }))
        .route("/refused", get(|| async { Problem::refused("rule-7", "a statute", 1042) }))
        .route(
            "/panics",
            get(|| async {
                assert!(std::hint::black_box(false), "SECRET");
            }),
        )
        .route("/never", get(|| async { std::future::pending::<()>().await }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(150)).await;
                "finished"
            }),
        )
        .route("/cached", get(|| async { ([(header::CACHE_CONTROL, "public"), (header::SERVER, "leak/1.0")], "page") }))
}

fn limits() -> Limits {
    Limits {
        header_read: Duration::from_millis(300),
        request: Duration::from_millis(600),
        body_bytes: BODY_BYTES,
        ..Limits::default()
    }
}

async fn plain(limits: Limits) -> (SocketAddr, Tasks) {
    let on = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, limits).await.unwrap();
    let (addr, tasks) = (server.local_addr(), Tasks::new());
    server.serve(app(), &tasks);
    (addr, tasks)
}

/// Sends raw text on a connection of its own and returns all that comes back until the server closes.
async fn exchange(addr: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that cuts a body short may reset the connection after its answer.
    let _reset_or_end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get_path(addr: SocketAddr, path: &str) -> String {
    exchange(addr, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

async fn post_body(addr: SocketAddr, path: &str, media_type: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {media_type}\r\ncontent-length: {length}"
    );
    exchange(addr, &format!("{head}\r\n\r\n{body}")).await
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn problem(answer: &str) -> Problem {
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
    Problem::parse(status, body(answer).as_bytes()).unwrap()
}

#[tokio::test]
async fn plain_http_off_loopback_is_refused_and_on_loopback_is_not() {
    for addr in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0", "[2001:db8::1]:0"] {
        let on = ListenOn { addr: addr.parse().unwrap(), tls: TlsMode::PlainLoopback };
        let error = Server::bind(on, Limits::default()).await.unwrap_err();
        assert!(matches!(error, ListenError::PlainOffLoopback(_)), "{addr}");
        assert_eq!(error.exit_kind(), ExitKind::Config);
    }
    for (ip, is_private) in [
        ("10.1.0.2", true),
        ("172.31.255.255", true),
        ("192.168.7.1", true),
        ("169.254.0.1", true),
        ("fd00::7", true),
        ("fe80::1", true),
        ("::1", true),
        ("172.32.0.1", false),
        ("0.0.0.0", false),
        ("::", false),
        ("::ffff:10.1.0.2", false),
        ("2001:db8::1", false),
    ] {
        let (addr, tls) = (SocketAddr::new(ip.parse().unwrap(), 0), TlsMode::PlainLan);
        let bound = Server::bind(ListenOn { addr, tls }, Limits::default()).await;
        let is_refused = matches!(bound, Err(ListenError::PlainOffLoopback(_)));
        assert_eq!(is_refused, !is_private, "{ip}: this machine need not have it");
    }
    let (addr, _tasks) = plain(limits()).await;
    let taken = ListenOn { addr, tls: TlsMode::PlainLoopback };
    assert!(matches!(Server::bind(taken, Limits::default()).await.unwrap_err(), ListenError::Bind(..)));
}

#[tokio::test]
async fn a_body_at_the_bound_is_read_and_one_byte_more_is_413() {
    let (addr, _tasks) = plain(limits()).await;
    let at = post_body(addr, "/raw", "application/octet-stream", &"x".repeat(BODY_BYTES)).await;
    assert_eq!(body(&at), BODY_BYTES.to_string());
    let beyond = post_body(addr, "/raw", "application/octet-stream", &"x".repeat(BODY_BYTES + 1)).await;
    assert_eq!(problem(&beyond).kind(), ProblemKind::TooLarge);
    let json =
        post_body(addr, "/hello", "application/json", &format!("{{\"name\":\"{}\"}}", "x".repeat(BODY_BYTES))).await;
    assert_eq!(problem(&json).kind(), ProblemKind::TooLarge);
    // Without a declared length the count is what stops it.
    let chunk = format!("{:x}\r\n{}\r\n", BODY_BYTES + 1, "x".repeat(BODY_BYTES + 1));
    let head = "POST /raw HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(problem(&exchange(addr, &format!("{head}{chunk}0\r\n\r\n")).await).kind(), ProblemKind::TooLarge);
    let own_limit = post_body(addr, "/large", "application/octet-stream", &"x".repeat(200)).await;
    assert_eq!(body(&own_limit), "200");
}

#[tokio::test]
async fn json_is_strict_and_its_values_never_come_back() {
    let (addr, _tasks) = plain(limits()).await;
    assert_eq!(body(&post_body(addr, "/hello", "Application/JSON; charset=utf-8", r#"{"name":"abc"}"#).await), "3");
    for bad in
        [r#"{"name":"abc","SECRET":1}"#, r#"{"name":"abc"} SECRET"#, r#"{"name":["SECRET"]}"#, r#"{"SECRET"#, r#"{}"#]
    {
        let answer = post_body(addr, "/hello", "application/json", bad).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(problem(&answer).kind(), ProblemKind::Malformed, "{bad}");
        assert!(problem(&answer).position().is_some());
        assert!(!answer.contains("SECRET"));
    }
    let other_type = post_body(addr, "/hello", "text/plain", r#"{"name":"abc"}"#).await;
    assert_eq!(problem(&other_type).kind(), ProblemKind::UnsupportedType);
}

#[tokio::test]
async fn deep_nesting_is_an_error_and_not_a_crash() {
    let deep = Limits { body_bytes: 1024 * 1024, ..limits() };
    let (addr, _tasks) = plain(deep).await;
    let answer = post_body(addr, "/hello", "application/json", &"[".repeat(100_000)).await;
    assert_eq!(problem(&answer).kind(), ProblemKind::Malformed);
}

#[tokio::test]
async fn what_fails_without_a_problem_becomes_one() {
    let (addr, _tasks) = plain(limits()).await;
    let library = get_path(addr, "/library").await;
    assert_eq!(problem(&library).kind(), ProblemKind::Malformed);
    assert!(!library.contains("SELECT") && !library.contains("/var/lib"));
    let absent = get_path(addr, "/etc/SECRET?plate=SECRET").await;
    assert_eq!(problem(&absent).kind(), ProblemKind::NotFound);
    assert!(!absent.contains("SECRET"));
    let method = get_path(addr, "/hello").await;
    assert_eq!(problem(&method).kind(), ProblemKind::MethodNotAllowed);
    assert!(method.contains("allow: POST\r\n"), "{method}");
    let refused = problem(&get_path(addr, "/refused").await);
    assert_eq!(
        (refused.rule(), refused.citation(), refused.register()),
        (Some("rule-7"), Some("a statute"), Some(1042))
    );
}

#[tokio::test]
async fn a_panic_is_a_500_without_its_text_and_the_server_goes_on() {
    let (addr, tasks) = plain(limits()).await;
    let answer = get_path(addr, "/panics").await;
    assert_eq!(problem(&answer).kind(), ProblemKind::Internal);
    assert!(!answer.contains("SECRET"));
    assert!(!tasks.stopping().is_cancelled());
    assert!(get_path(addr, "/slow").await.ends_with("finished"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_503_with_retry_after() {
    let (addr, _tasks) = plain(limits()).await;
    let answer = get_path(addr, "/never").await;
    assert_eq!(problem(&answer).kind(), ProblemKind::Unavailable);
    assert!(answer.contains("retry-after: 5\r\n"), "{answer}");
    // A body that never ends is the same to us.
    let head = "POST /raw HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\nonly this";
    assert_eq!(problem(&exchange(addr, head).await).kind(), ProblemKind::Unavailable);
}

#[tokio::test]
async fn a_door_that_takes_what_takes_long_has_a_bound_of_its_own() {
    let slow = SlowDoor { begins: "/ne", ends: "er", request: Duration::from_millis(1_200) };
    let (addr, _tasks) = plain(Limits { slow: Some(slow), ..limits() }).await;
    for (path, least, most) in [("/never", 1_200, 10_000), ("/never?at=once", 1_200, 10_000), ("/nevermore", 0, 600)] {
        let started = tokio::time::Instant::now();
        let answer = get_path(addr, path).await;
        let took = started.elapsed();
        assert!(
            (Duration::from_millis(least)..Duration::from_millis(most)).contains(&took),
            "{path} {took:?} {answer}"
        );
    }
    let other = SlowDoor { begins: "/raw", ..slow };
    let (addr, _tasks) = plain(Limits { slow: Some(other), ..limits() }).await;
    let started = tokio::time::Instant::now();
    assert_eq!(problem(&get_path(addr, "/never").await).kind(), ProblemKind::Unavailable);
    assert!(started.elapsed() < Duration::from_millis(1_100), "the others are as strict as before");
}

#[tokio::test]
async fn slow_headers_silence_and_idle_connections_are_cut() {
    let (addr, _tasks) = plain(limits()).await;
    let cut = async |first: &str| {
        let started = tokio::time::Instant::now();
        let answer = exchange(addr, first).await;
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "cut by the header limit of 0.3 s, not by the patience of the test"
        );
        answer
    };
    assert!(!cut("GET /slow HTTP/1.1\r\nhost: x\r\nx-half: ").await.contains("finished"));
    assert_eq!(cut("").await, "");
    assert!(cut("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.ends_with("finished"), "keep-alive ends too");
}

#[tokio::test]
async fn headers_are_bounded() {
    let (addr, _tasks) = plain(limits()).await;
    let with_headers = |count: usize| {
        let fields: String = (0..count).map(|index| format!("x-{index}: 1\r\n")).collect();
        format!("GET /cached HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n")
    };
    assert!(exchange(addr, &with_headers(HEADERS_MAX - 2)).await.starts_with("HTTP/1.1 200 "));
    assert!(exchange(addr, &with_headers(HEADERS_MAX - 1)).await.starts_with("HTTP/1.1 431 "));
    let long = format!("GET /cached HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(HEADER_BYTES_MAX));
    assert!(exchange(addr, &long).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn request_ids_come_in_and_go_out_and_bad_ones_are_replaced() {
    let (addr, _tasks) = plain(limits()).await;
    let ask = async |id: &str| {
        exchange(addr, &format!("GET /who HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n"))
            .await
    };
    let given = "2f1c0e9a-7b6d-4c35-8a21-0f9e8d7c6b5a";
    let answer = ask(given).await;
    assert!(answer.contains(&format!("x-request-id: {given}\r\n")));
    assert_eq!(body(&answer), format!("127.0.0.1 {given}"));
    for bad in ["PLATE123", "x y z x y z x y z x y z", &"a".repeat(65)] {
        let answer = ask(bad).await;
        assert!(answer.contains("x-request-id: ") && !answer.contains(bad), "{answer}");
    }
}

#[tokio::test]
async fn security_headers_are_set_and_no_server_is_named() {
    let (addr, _tasks) = plain(limits()).await;
    let answer = get_path(addr, "/who").await;
    for line in [
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-opener-policy: same-origin",
        "cache-control: no-store",
        "content-security-policy: default-src 'none';",
    ] {
        assert!(answer.contains(line), "{line} in {answer}");
    }
    assert!(!answer.contains("strict-transport-security"), "plain HTTP promises no TLS");
    let page = get_path(addr, "/cached").await;
    assert!(page.contains("cache-control: public\r\n") && !page.contains("no-store"), "a page may set its own");
    assert!(!page.to_lowercase().contains("server:"), "{page}");
}

#[tokio::test]
async fn more_connections_than_the_cap_wait_their_turn() {
    let (addr, _tasks) = plain(Limits { connections: 1, ..limits() }).await;
    let holder = TcpStream::connect(addr).await.unwrap();
    // The only place is taken by a silent caller until the header limit of 0.3 s cuts it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = tokio::time::Instant::now();
    assert!(get_path(addr, "/who").await.starts_with("HTTP/1.1 200 "));
    assert!(started.elapsed() > Duration::from_millis(150));
    drop(holder);
}

#[tokio::test]
async fn shutdown_finishes_the_response_under_way_and_takes_no_new_connection() {
    let (addr, tasks) = plain(limits()).await;
    let started = tokio::time::Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tasks.finish(Duration::from_secs(5)).await
    };
    let (under_way, finished) = tokio::join!(get_path(addr, "/slow"), stop);
    assert_eq!(finished, Ok(()));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(under_way.ends_with("finished"));
    assert!(TcpStream::connect(addr).await.is_err());
    assert!(!tasks.failed());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever_for_one_request() {
    let stubborn = Limits { request: Duration::from_secs(60), drain: Duration::from_millis(100), ..limits() };
    let (addr, tasks) = plain(stubborn).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(tasks.finish(Duration::from_secs(5)).await, Ok(()), "cut off after the drain time");
}

#[tokio::test]
async fn an_old_connection_ends_after_the_response_it_is_in() {
    let (addr, _tasks) = plain(Limits { connection_age: Duration::from_millis(50), ..limits() }).await;
    let answer = exchange(addr, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.contains("connection: close") && answer.ends_with("finished"), "{answer}");
}

#[tokio::test]
async fn whoever_takes_nothing_of_his_answer_is_cut_off_and_what_waited_for_him_is_gone() {
    let alive = Arc::new(());
    let held = Arc::downgrade(&alive);
    let answer = futures_util::stream::repeat_with(move || {
        let _with_the_answer = &alive;
        Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65_536]))
    });
    let answer = Arc::new(std::sync::Mutex::new(Some(answer)));
    let endless = move || {
        let answer = answer.lock().unwrap().take().unwrap();
        async { Body::from_stream(answer) }
    };
    let app = Router::new().route("/endless", get(endless));
    let on = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, Limits { stall: Duration::from_millis(200), ..limits() }).await.unwrap();
    let (addr, tasks) = (server.local_addr(), Tasks::new());
    server.serve(app, &tasks);
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Whoever reads is not cut off, however long it takes.
    let mut some = vec![0; 65_536];
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(700) {
        stream.read_exact(&mut some).await.unwrap();
    }
    assert!(held.upgrade().is_some());
    let begun = std::time::Instant::now();
    while held.upgrade().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is still held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(stream);
}

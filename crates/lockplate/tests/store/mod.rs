//! A bucket of a real S3 server (`s3s-fs`: HTTP, SigV4, ranges, conditional puts, parts) over a folder, on a loopback port of the test's own
//! process; and before it what a network and a store do on a bad day. It outlives every process of a town.

pub mod front;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::{SecretKey, SimpleAuth};
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;

use crate::town::{READER, WRITER};

/// Name of the bucket.
pub const NAME: &str = "alpr";

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Answered with this status, and not carried out.
    Status(u16),
    /// A machine of the store that was just wiped: it has not heard of the bucket.
    NoBucket,
    /// The connection ends before the request is read.
    RequestCut,
    /// It is carried out, and the connection ends without an answer.
    ResponseCut,
    /// It is carried out, and the connection ends in the middle of the answer.
    BodyCut,
    /// The answer comes at a hundred bytes a second.
    Slow,
    /// It is taken, and there is no answer for a minute.
    Hung,
    /// The answer's head comes, and nothing more for a minute.
    BodyHung,
    /// One bit of the answer's body is another.
    Altered,
    /// A condition on the put is ignored.
    Overwritten,
}

/// A request as the store sees it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    /// Key, without the bucket.
    pub key: String,
    pub query: String,
    pub range: bool,
}

struct Rule {
    bad: Bad,
    on: Box<dyn Fn(&Asked) -> bool + Send>,
    times: usize,
}

#[derive(Default)]
struct Day {
    rules: Mutex<Vec<Rule>>,
    asked: Mutex<Vec<Asked>>,
}

/// The store with its one bucket.
pub struct Bucket {
    pub address: SocketAddr,
    folder: TempDir,
    day: Arc<Day>,
    runtime: tokio::runtime::Runtime,
}

impl Bucket {
    /// Starts the store.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("lockplate-bucket-").tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(NAME)).unwrap();
        let mut auth = SimpleAuth::new();
        for (id, secret) in [WRITER, READER] {
            auth.register(id.to_owned(), SecretKey::from(secret));
        }
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        service.set_auth(auth);
        let service = service.build();
        let day = Arc::new(Day::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (own, root) = (Arc::clone(&day), folder.path().to_owned());
        runtime.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (service, day, root) = (service.clone(), Arc::clone(&own), root.clone());
                connections.spawn(async move {
                    let answer = service_fn(|request| answer(&service, &day, &root, request));
                    // An error is what a bad day makes.
                    let _ended =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { address, folder, day, runtime }
    }

    /// A section of a configuration, without its head.
    pub fn section(&self, prefix: &str, credentials: &str, conditional_put: bool) -> String {
        format!(
            "endpoint = \"http://{}\"\nplain_http = true\nbucket = \"{NAME}\"\nprefix = \"{prefix}\"\n\
             credentials_file = \"{credentials}\"\nconditional_put = {conditional_put}\n",
            self.address
        )
    }

    /// The next `times` requests that fit go wrong.
    pub fn go_wrong(&self, bad: Bad, times: usize, on: impl Fn(&Asked) -> bool + Send + 'static) {
        self.day.rules.lock().unwrap().push(Rule { bad, on: Box::new(on), times });
    }

    /// All is well again. How many requests that were to go wrong did not come.
    pub fn be_well(&self) -> usize {
        let rules = std::mem::take(&mut *self.day.rules.lock().unwrap());
        rules.iter().map(|rule| rule.times).sum()
    }

    /// Requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.day.asked.lock().unwrap())
    }

    /// Where an object lies on the disk.
    pub fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join(NAME).join(key)
    }

    /// The runtime of the store.
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }
}

impl Day {
    fn bad(&self, asked: &Asked) -> Option<Bad> {
        self.asked.lock().unwrap().push(asked.clone());
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && (rule.on)(asked))?;
        rule.times -= 1;
        Some(rule.bad)
    }
}

fn error(code: u16, name: &str) -> Response<Body> {
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{name}</Code><Message>a bad day</Message></Error>");
    let body = Full::new(Bytes::from(xml)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

async fn answer(
    service: &S3Service,
    day: &Day,
    root: &std::path::Path,
    request: Request<Incoming>,
) -> std::io::Result<Response<Body>> {
    let gone = || std::io::Error::other("a bad day");
    let head = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked = Asked {
        method: request.method().clone(),
        key: request.uri().path().trim_start_matches('/').trim_start_matches(NAME).trim_start_matches('/').to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        range: !head("range").is_empty(),
    };
    let reader = head("authorization").contains(&format!("Credential={}/", READER.0));
    let conditional = !head("if-none-match").is_empty();
    let bad = day.bad(&asked);
    if reader && asked.method != Method::GET && asked.method != Method::HEAD {
        return Ok(error(403, "AccessDenied"));
    }
    match bad {
        Some(Bad::Status(code)) => return Ok(error(code, if code == 503 { "SlowDown" } else { "InternalError" })),
        Some(Bad::NoBucket) => return Ok(error(404, "NoSuchBucket")),
        Some(Bad::RequestCut) => return Err(gone()),
        Some(Bad::Hung) => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return Err(gone());
        }
        Some(Bad::Overwritten) if conditional => {
            // The condition is signed and stays: there is nothing for it to find.
            let _absent = std::fs::remove_file(root.join(NAME).join(&asked.key));
        }
        _ => {}
    }
    let response = service.call(request.map(s3s::Body::from)).await.map_err(std::io::Error::other)?;
    let (parts, body) = response.into_parts();
    let body = BodyExt::collect(body).await.map_err(std::io::Error::other)?.to_bytes();
    let whole = |bytes: Bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    let body = match bad {
        Some(Bad::ResponseCut) => return Err(gone()),
        Some(Bad::BodyCut) => {
            let half = body.slice(..body.len() / 2);
            let cut = futures_util::stream::iter([Ok(Frame::data(half)), Err(gone())]);
            StreamBody::new(cut).boxed_unsync()
        }
        Some(Bad::BodyHung) => {
            let nothing = futures_util::stream::once(async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Err(gone())
            });
            StreamBody::new(Box::pin(nothing)).boxed_unsync()
        }
        Some(Bad::Slow) => {
            let drops = futures_util::stream::iter(body.chunks(100).map(Bytes::copy_from_slice).collect::<Vec<_>>());
            let slowly = drops.then(async |drop| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(Frame::data(drop))
            });
            StreamBody::new(Box::pin(slowly)).boxed_unsync()
        }
        Some(Bad::Altered) => {
            let mut altered = body.to_vec();
            let middle = altered.len() / 2;
            if let Some(byte) = altered.get_mut(middle) {
                *byte ^= 1;
            }
            whole(altered.into())
        }
        _ => whole(body),
    };
    Ok(Response::from_parts(parts, body))
}

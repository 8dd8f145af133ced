//! A party's log as strangers read it (`log.md` section 4): checkpoint, tiles, entries, receipts, GET and HEAD only. A path
//! that has not been through the grammar of `lockplate-log` never touches a file. Nothing here decides or signs; what is served
//! is what the log published. Used by keepers and agencies alike.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::BoxFuture;
use lockplate_log::limits::{LEAF_BYTES_MAX, NOTE_BYTES_MAX, TILE_PATH_BYTES_MAX, TILE_WIDTH};
use lockplate_log::{TileKind, TilePath};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use tokio::io::AsyncReadExt as _;

use crate::problem::{Problem, ProblemKind};

/// Bytes of the largest file that is served: a full bundle of the longest leaves.
const FILE_BYTES_MAX: usize = (LEAF_BYTES_MAX + 2) * (TILE_WIDTH as usize);

/// Digits of the largest leaf index.
const INDEX_DIGITS_MAX: usize = 15;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const SHORT: HeaderValue = HeaderValue::from_static("max-age=5");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

/// Makes the receipt of one leaf against the newest published checkpoint; only the process that owns the log can.
pub trait Receipts: Send + Sync {
    /// The receipt's bytes; [`ProblemKind::NotFound`] for a leaf that is not published.
    fn receipt(&self, index: u64) -> BoxFuture<'_, Result<Vec<u8>, Problem>>;
}

/// One served log.
#[derive(Clone)]
pub struct LogDoor {
    public: PathBuf,
    receipts: Option<Arc<dyn Receipts>>,
}

impl core::fmt::Debug for LogDoor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LogDoor").field("receipts", &self.receipts.is_some()).finish_non_exhaustive()
    }
}

impl LogDoor {
    /// Serves the folder `public` of a log ([`lockplate_store::log_files::FileLogStorage::public`]); receipts where somebody
    /// can make them.
    #[must_use]
    pub fn new(public: PathBuf, receipts: Option<Arc<dyn Receipts>>) -> Self {
        Self { public, receipts }
    }
}

/// Routes of one log below `prefix`, for example `/log/keeper`.
pub fn routes(prefix: &str, door: LogDoor) -> Router {
    Router::new()
        .route(&format!("{prefix}/checkpoint"), get(checkpoint))
        .route(&format!("{prefix}/receipt/{{index}}"), get(receipt))
        .route(&format!("{prefix}/tile/{{*path}}"), get(tile))
        .with_state(door)
}

async fn checkpoint(State(door): State<LogDoor>, headers: HeaderMap) -> Result<Response, Problem> {
    let bytes = read(door.public.join("checkpoint"), NOTE_BYTES_MAX).await?;
    let etag = format!("\"{}\"", hex::encode(Sha256::digest(&bytes).get(..16).unwrap_or_default()));
    let etag = HeaderValue::from_str(&etag).map_err(|_hex_is_ascii| ProblemKind::Internal)?;
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| *seen == etag);
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { answer(bytes, TEXT) };
    response.headers_mut().insert(header::CACHE_CONTROL, SHORT);
    response.headers_mut().insert(header::ETAG, etag);
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    Ok(response)
}

async fn tile(State(door): State<LogDoor>, Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    if path.len() > TILE_PATH_BYTES_MAX {
        return Err(ProblemKind::NotFound.into());
    }
    let path = TilePath::parse(&format!("tile/{path}")).map_err(|_grammar| ProblemKind::NotFound)?;
    let bytes = read(door.public.join(path.to_string()), FILE_BYTES_MAX).await?;
    let entries = matches!(path.kind(), TileKind::Entries);
    let mut response = if entries && accepts_gzip(&headers) {
        let mut response = answer(compress(bytes).await?, OCTETS);
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        answer(bytes, OCTETS)
    };
    if entries {
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, IMMUTABLE);
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    Ok(response)
}

async fn receipt(State(door): State<LogDoor>, Path(index): Path<String>) -> Result<Response, Problem> {
    let digits = index.len() <= INDEX_DIGITS_MAX && index.bytes().all(|byte| byte.is_ascii_digit());
    let number = index.parse::<u64>().ok().filter(|number| digits && number.to_string() == index);
    let receipts = door.receipts.as_ref().ok_or(ProblemKind::NotFound)?;
    let bytes = receipts.receipt(number.ok_or(ProblemKind::NotFound)?).await?;
    let mut response = answer(bytes, TEXT);
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    Ok(response)
}

fn answer(bytes: Vec<u8>, media_type: HeaderValue) -> Response {
    ([(header::CONTENT_TYPE, media_type)], Body::from(bytes)).into_response()
}

async fn read(path: PathBuf, limit: usize) -> Result<Vec<u8>, Problem> {
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Err(ProblemKind::NotFound.into());
        }
        Err(_os) => return Err(ProblemKind::Unavailable.into()),
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).await.map_err(|_os| ProblemKind::Unavailable)?;
    Ok(bytes)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

async fn compress(bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
    let packed = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).and_then(|()| encoder.finish())
    });
    match packed.await {
        Ok(Ok(packed)) => Ok(packed),
        Ok(Err(_)) | Err(_) => Err(ProblemKind::Internal.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{Method, Request};
    use http_body_util::BodyExt as _;
    use std::io::Read as _;
    use tower::ServiceExt as _;

    struct One;

    impl Receipts for One {
        fn receipt(&self, index: u64) -> BoxFuture<'_, Result<Vec<u8>, Problem>> {
            Box::pin(
                async move { if index == 0 { Ok(b"receipt".to_vec()) } else { Err(ProblemKind::NotFound.into()) } },
            )
        }
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
        };
        put("public/tile/0/000.p/1", &[7; 32]);
        put("public/tile/entries/000.p/1", &[9; 500]);
        put("head", b"never served");
        folder
    }

    async fn ask(
        folder: &tempfile::TempDir,
        method: Method,
        path: &str,
        gzip: bool,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let door = LogDoor::new(folder.path().join("public"), Some(Arc::new(One)));
        let mut request = Request::builder().method(method).uri(path);
        if gzip {
            request = request.header(header::ACCEPT_ENCODING, "br, gzip;q=0.5");
        }
        let response = routes("/log/keeper", door).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn the_table_of_the_page_holds() {
        let folder = folder();
        let (status, ..) = ask(&folder, Method::GET, "/log/keeper/checkpoint", false).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "nothing is published yet");
        std::fs::File::create(folder.path().join("public/checkpoint")).unwrap().write_all(b"note").unwrap();
        let (status, headers, body) = ask(&folder, Method::GET, "/log/keeper/checkpoint", false).await;
        assert_eq!((status, body.as_slice()), (StatusCode::OK, b"note".as_slice()));
        assert_eq!(headers[header::CACHE_CONTROL], SHORT);
        assert_eq!(headers[header::CONTENT_TYPE], TEXT);
        assert!(headers.contains_key(header::ETAG));
        let (_, headers, body) = ask(&folder, Method::GET, "/log/keeper/tile/0/000.p/1", true).await;
        assert_eq!((body.len(), &headers[header::CACHE_CONTROL]), (32, &IMMUTABLE));
        assert_eq!(headers[header::CONTENT_TYPE], OCTETS);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], ANY_ORIGIN);
        let (_, headers, packed) = ask(&folder, Method::GET, "/log/keeper/tile/entries/000.p/1", true).await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, [9; 500]);
        let (_, headers, plain) = ask(&folder, Method::GET, "/log/keeper/tile/entries/000.p/1", false).await;
        assert_eq!((plain.len(), headers.contains_key(header::CONTENT_ENCODING)), (500, false));
        let (status, _, body) = ask(&folder, Method::GET, "/log/keeper/receipt/0", false).await;
        assert_eq!((status, body.as_slice()), (StatusCode::OK, b"receipt".as_slice()));
        let (status, _, body) = ask(&folder, Method::HEAD, "/log/keeper/checkpoint", false).await;
        assert_eq!((status, body.len()), (StatusCode::OK, 0));
        let (status, ..) = ask(&folder, Method::POST, "/log/keeper/checkpoint", false).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_path_outside_the_grammar_touches_no_file() {
        let folder = folder();
        for path in [
            "tile/../../head",
            "tile/%2e%2e/%2e%2e/head",
            "tile/0/0",
            "tile/0/000.p/01",
            "tile/00/000.p/1",
            "tile/entries/000.p/256",
            "tile/0/000",
            "receipt/00",
            "receipt/-1",
            "receipt/1",
            "receipt/99999999999999999999",
            "head",
            "staging/1-0000000000000000",
        ] {
            let (status, _, body) = ask(&folder, Method::GET, &format!("/log/keeper/{path}"), false).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(!body.windows(5).any(|part| part == b"never"), "{path}");
        }
    }
}

//! The archive's bucket: an S3-compatible store by configuration only. From a section of a file to an `ObjectStore` that speaks with the
//! node's own TLS and with bounded time, so that [`SegmentStore`](lockplate_store::segment_store::SegmentStore) is the one code for a folder
//! and for a bucket.
//!
//! It must never show a credential, follow a redirect, use a proxy or a credential of the environment, or speak plain HTTP beyond a private
//! network. What the store says is not believed: buckets are checked where they are read, and by whoever asked.

use core::fmt;
use std::net::IpAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::response::Parts;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use hyper::body::Frame;
use object_store::aws::{AmazonS3Builder, AwsCredential, S3ConditionalPut};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, RetryConfig, StaticCredentialProvider};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::http::is_of_private_network;
use crate::settings::{ConfigError, KeyFileError, read_secret_file};
use crate::shutdown::ExitKind;
use crate::tls::{self, TlsError};

/// Until a connection to the store stands, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A read whose answer has not begun is asked for once more after this time, and again: a machine of the store that hangs has others beside it,
/// and a searcher waits for 30 s in all.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(3);
/// One read, until its last byte: a bucket has some 100 KiB.
const READ_MAX: Duration = Duration::from_secs(20);
/// One write: at most a part of [`PART_BYTES`](lockplate_store::segment_store::PART_BYTES).
const WRITE_MAX: Duration = Duration::from_secs(60);
/// Repeats of one request after the first try.
const RETRIES_MAX: usize = 3;
/// No request is repeated when it is this old: a reader of the archive waits for it.
const RETRY_WITHIN: Duration = Duration::from_secs(30);
/// Between two repeats, at most.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Idle connections that are kept: one for each bucket that is read at once.
const IDLE_CONNECTIONS_MAX: usize = crate::archive::READS_MAX;
/// A key id and a secret key are shorter in every store there is.
const CREDENTIAL_BYTES_MAX: usize = 1_024;
/// Longest name of a bucket (S3), and of a region or prefix.
const NAME_BYTES_MAX: usize = 256;

/// The section that names a bucket, one to one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketConfig {
    /// `https://s3.example`, without the bucket.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// What requests are signed for.
    #[serde(default = "region")]
    pub region: String,
    /// What the names of all objects begin with: one recorder's own.
    #[serde(default)]
    pub prefix: String,
    /// `https://host/bucket/..`; otherwise `https://bucket.host/..`.
    #[serde(default = "yes")]
    pub path_style: bool,
    /// File of two lines, key id and secret key; mode 0600.
    pub credentials_file: PathBuf,
    /// Authorities that vouch for the store (PEM); without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// `http://` to a literal address of the loopback or of a private network.
    #[serde(default)]
    pub plain_http: bool,
    /// The store honours `If-None-Match: *`. Without it a second writer of one epoch is found too late.
    #[serde(default = "yes")]
    pub conditional_put: bool,
}

fn region() -> String {
    "us-east-1".to_owned()
}

const fn yes() -> bool {
    true
}

/// A bucket whose section holds. Opened with [`open`](Self::open); nothing was connected to or read before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSettings {
    endpoint: Url,
    config: BucketConfig,
    prefix: Path,
    credentials: PathBuf,
    ca_file: Option<PathBuf>,
}

/// A bucket, ready to be asked.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The store. Durable when a put returns, by its own promise.
    pub store: Arc<dyn ObjectStore>,
    /// Below it lies everything of this recorder.
    pub prefix: Path,
    /// `PutMode::Create` and `PutMode::Update` are the store's own, atomic. Where it is false they are refused by the store, and whoever
    /// needs them has to do without: a standby recorder must not.
    pub conditional_put: bool,
}

/// Why a bucket is not opened. Nothing of the credentials is in the text.
#[derive(Debug)]
pub enum BucketRefused {
    /// The file with the credentials.
    File(KeyFileError),
    /// The file holds no two lines of plain text.
    Credentials(PathBuf),
    /// TLS, or the file of authorities.
    Tls(TlsError),
    /// The library refused the settings: our bug, they were checked.
    Library,
}

impl BucketRefused {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::File(_) | Self::Credentials(_) => ExitKind::Config,
            Self::Tls(cause) => cause.exit_kind(),
            Self::Library => ExitKind::Internal,
        }
    }
}

impl fmt::Display for BucketRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(cause) => cause.fmt(f),
            Self::Credentials(path) => {
                write!(f, "{}: two lines are expected, the key id and the secret key of the bucket", path.display())
            }
            Self::Tls(cause) => write!(f, "the archive's store: {cause}"),
            Self::Library => f.write_str("the archive's store cannot be set up: internal error, our bug"),
        }
    }
}

impl core::error::Error for BucketRefused {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File(cause) => Some(cause),
            Self::Tls(cause) => Some(cause),
            Self::Credentials(_) | Self::Library => None,
        }
    }
}

impl BucketSettings {
    /// Checks the values of section `name` of `file`. The credentials' path is relative to `data`, the authorities' to the file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn of(file: &FilePath, name: &str, data: &FilePath, config: BucketConfig) -> Result<Self, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, format!("`{name}.{what}"));
        let endpoint = Url::parse(&config.endpoint).map_err(|_syntax| refuse("endpoint` is no URL"))?;
        let bare = endpoint.username().is_empty()
            && endpoint.password().is_none()
            && endpoint.query().is_none()
            && endpoint.fragment().is_none()
            && endpoint.path() == "/";
        if !bare || endpoint.host_str().is_none() {
            return Err(refuse("endpoint` is scheme, host and port alone, such as https://s3.example"));
        }
        match (endpoint.scheme(), config.plain_http) {
            ("https", false) => {}
            ("http", true) if literal_address(&endpoint).is_some_and(is_of_private_network) => {}
            ("http", true) => {
                return Err(refuse(
                    "endpoint`: plain HTTP is for a literal address of this machine or of a private network, such as \
                     http://10.1.0.5:3900",
                ));
            }
            ("http", false) => {
                return Err(refuse("endpoint` is plain HTTP: use https, or say `plain_http = true`"));
            }
            ("https", true) => return Err(refuse("plain_http` is set, and the endpoint is https")),
            (_, true | false) => return Err(refuse("endpoint` begins with https://")),
        }
        let is_name = |text: &str| {
            (1..=NAME_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        };
        if !is_name(&config.bucket) {
            return Err(refuse("bucket` has letters, digits, `.`, `-` and `_`"));
        }
        if !is_name(&config.region) {
            return Err(refuse("region` has letters, digits, `.`, `-` and `_`"));
        }
        let parts = || config.prefix.split('/');
        if !config.prefix.is_empty() && !parts().all(|part| is_name(part) && part != "." && part != "..") {
            return Err(refuse("prefix` is parts of letters, digits, `.`, `-` and `_` between single `/`"));
        }
        let prefix = Path::from(config.prefix.as_str());
        let credentials = data.join(&config.credentials_file);
        let ca_file = config.ca_file.as_ref().map(|path| file.parent().unwrap_or(FilePath::new("")).join(path));
        Ok(Self { endpoint, prefix, credentials, ca_file, config })
    }

    /// Whether an object can be made only where there is none.
    pub(crate) const fn has_conditional_put(&self) -> bool {
        self.config.conditional_put
    }

    /// The bucket. Reads the credentials and the authorities, and connects to nothing. Blocks.
    ///
    /// The credentials stay in this process' memory, in the library's hands, for as long as the store is used.
    ///
    /// # Errors
    /// [`BucketRefused`].
    pub fn open(&self) -> Result<Bucket, BucketRefused> {
        let bytes = read_secret_file(&self.credentials).map_err(BucketRefused::File)?;
        let credential = credential_of(&bytes).ok_or_else(|| BucketRefused::Credentials(self.credentials.clone()))?;
        let conditional = match self.config.conditional_put {
            true => S3ConditionalPut::ETagMatch,
            false => S3ConditionalPut::Disabled,
        };
        // Virtual hosts: the library wants the bucket in the endpoint.
        let endpoint = match (self.config.path_style, self.endpoint.host_str()) {
            (false, Some(host)) => {
                let port = self.endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}://{}.{host}{port}", self.endpoint.scheme(), self.config.bucket)
            }
            (true | false, _) => self.endpoint.as_str().trim_end_matches('/').to_owned(),
        };
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: BACKOFF_MAX, ..BackoffConfig::default() },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_WITHIN,
        };
        let store = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_virtual_hosted_style_request(!self.config.path_style)
            .with_bucket_name(&self.config.bucket)
            .with_region(&self.config.region)
            .with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
            .with_allow_http(self.config.plain_http)
            .with_conditional_put(conditional)
            // One DELETE an object is what every store knows; an epoch has four.
            .with_disable_bulk_delete(true)
            .with_retry(retry)
            .with_http_connector(Connector { client: self.client().map_err(BucketRefused::Tls)? })
            .build()
            .map_err(|_checked| BucketRefused::Library)?;
        Ok(Bucket { store: Arc::new(store), prefix: self.prefix.clone(), conditional_put: self.config.conditional_put })
    }

    fn client(&self) -> Result<reqwest::Client, TlsError> {
        let config = match self.config.plain_http {
            // reqwest sets TLS up even where none is used; a pin no key has keeps https shut.
            true => tls::client_config([0; 32])?,
            false => tls::web_client_config(self.ca_file.as_deref())?,
        };
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .https_only(!self.config.plain_http)
            .connect_timeout(CONNECT_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .tls_backend_preconfigured(config)
            .build()
            .map_err(|_library| TlsError::Library(rustls::Error::General(String::new())))
    }
}

/// Key id and secret key, a line each, and nothing else.
fn credential_of(bytes: &[u8]) -> Option<AwsCredential> {
    let text = core::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    let (key_id, secret_key) = (lines.next()?, lines.next()?);
    let plain = |line: &str| {
        (1..=CREDENTIAL_BYTES_MAX).contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_graphic())
    };
    (plain(key_id) && plain(secret_key) && lines.next().is_none()).then(|| AwsCredential {
        key_id: key_id.to_owned(),
        secret_key: secret_key.to_owned(),
        token: None,
    })
}

fn literal_address(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// Hands the library the node's own client: its TLS, its authorities, its times.
#[derive(Debug)]
struct Connector {
    client: reqwest::Client,
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Requests(self.client.clone())))
    }
}

#[derive(Debug)]
struct Requests(reqwest::Client);

impl HttpService for Requests {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let (reads, time) = match *request.method() {
                Method::GET | Method::HEAD => (true, READ_MAX),
                Method::PUT | Method::POST => (false, WRITE_MAX),
                _ => (false, READ_MAX),
            };
            let mut request = reqwest::Request::try_from(request.map(reqwest::Body::wrap)).map_err(http_error)?;
            *request.timeout_mut() = Some(time);
            let (head, begin, rest) = match reads {
                true => first_answer(&self.0, request).await?,
                false => begun(&self.0, request).await?,
            };
            let body = stream::iter(begin.map(Ok)).chain(BodyStream::new(rest.map_err(http_error)));
            Ok(HttpResponse::from_parts(head, HttpResponseBody::new(StreamBody::new(body))))
        })
    }
}

/// An answer up to the first bytes of its body.
type Begun = (Parts, Option<Frame<Bytes>>, reqwest::Body);

async fn begun(client: &reqwest::Client, request: reqwest::Request) -> Result<Begun, HttpError> {
    let response: axum::http::Response<reqwest::Body> = client.execute(request).await.map_err(http_error)?.into();
    let (head, mut body) = response.into_parts();
    let begin = body.frame().await.transpose().map_err(http_error)?;
    Ok((head, begin, body))
}

/// Whichever answer to a request without a body begins first. None is given up for another, and a fault counts where no other is to come.
async fn first_answer(client: &reqwest::Client, mut request: reqwest::Request) -> Result<Begun, HttpError> {
    // An empty one, which cannot be sent twice.
    *request.body_mut() = None;
    let mut asked = FuturesUnordered::new();
    let mut again = tokio::time::interval(READ_AGAIN_AFTER);
    loop {
        tokio::select! {
            _ = again.tick() => match request.try_clone() {
                Some(request) => asked.push(begun(client, request)),
                None => return begun(client, request).await,
            },
            Some(answer) = asked.next() => match answer {
                Err(_) if !asked.is_empty() => {}
                answer => return answer,
            },
        }
    }
}

/// By fault, for the library's retries. The address, which names an epoch, is taken out.
fn http_error(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        // Repeated where a repeat changes nothing.
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        endpoint = "https://s3.millbrook.example"
        bucket = "alpr"
        prefix = "millbrook/archive"
        credentials_file = "archive.s3"
    "#;

    fn settings(lines: &str) -> Result<BucketSettings, String> {
        let config = toml::from_str(lines).map_err(|error| error.to_string())?;
        BucketSettings::of(FilePath::new("agency.toml"), "recorder.archive", FilePath::new("data"), config)
            .map_err(|refused| refused.to_string())
    }

    fn with(key: &str, value: &str) -> Result<BucketSettings, String> {
        let mut table: toml::Table = toml::from_str(GOOD).unwrap();
        table.insert(key.to_owned(), toml::from_str::<toml::Table>(&format!("v = {value}")).unwrap()["v"].clone());
        settings(&table.to_string())
    }

    #[test]
    fn what_does_not_hold_is_refused_with_the_name_of_the_key() {
        assert!(settings(GOOD).is_ok());
        for (key, value, says) in [
            ("endpoint", r#""s3.example""#, "endpoint` is no URL"),
            ("endpoint", r#""https://u:p@s3.example""#, "host and port alone"),
            ("endpoint", r#""https://s3.example/bucket""#, "host and port alone"),
            ("endpoint", r#""ftp://s3.example""#, "begins with https"),
            ("endpoint", r#""http://10.0.0.5:3900""#, "say `plain_http = true`"),
            ("plain_http", "true", "the endpoint is https"),
            ("bucket", r#""a/b""#, "bucket`"),
            ("bucket", r#""""#, "bucket`"),
            ("region", r#""us east""#, "region`"),
            ("prefix", r#""/a""#, "prefix`"),
            ("prefix", r#""a/../b""#, "prefix`"),
            ("secret_key", r#""x""#, "unknown field"),
        ] {
            let refused = with(key, value).unwrap_err();
            assert!(refused.contains(says), "{key} = {value}: {refused}");
        }
    }

    #[test]
    fn plain_http_is_for_a_private_network_and_only_where_it_is_said() {
        let plain = |endpoint: &str| {
            settings(&format!("endpoint = \"{endpoint}\"\nbucket = \"b\"\ncredentials_file = \"c\"\nplain_http = true"))
        };
        for good in ["http://127.0.0.1:9000", "http://10.1.0.5:3900", "http://[::1]:9000", "http://192.168.1.2"] {
            assert!(plain(good).is_ok(), "{good}");
        }
        // A name may lead anywhere.
        for bad in ["http://localhost:9000", "http://8.8.8.8", "http://0.0.0.0:9000", "http://s3.example"] {
            assert!(plain(bad).unwrap_err().contains("private network"), "{bad}");
        }
    }

    #[test]
    fn credentials_are_two_lines_and_are_never_shown() {
        for good in ["id\nsecret", "id\nsecret\n", "id\r\nsecret\r\n"] {
            let found = credential_of(good.as_bytes()).unwrap();
            assert_eq!((found.key_id.as_str(), found.secret_key.as_str()), ("id", "secret"));
            assert!(!format!("{found:?}").contains("\"secret\""));
        }
        for bad in ["", "id", "id\n", "id\nse cret\n", "id\nsecret\nmore\n", "\nsecret\n"] {
            assert!(credential_of(bad.as_bytes()).is_none(), "{bad:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.s3");
        let opened = |mode: u32| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::write(&path, "key-id-1\nplanted-secret-1\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let mut settings = with("plain_http", "false").unwrap();
            settings.credentials = path.clone();
            settings.open()
        };
        assert!(matches!(opened(0o644), Err(BucketRefused::File(_))), "others may read it");
        // Where a system has no authorities, only the secrets matter here.
        if let Ok(bucket) = opened(0o600) {
            assert!(!format!("{bucket:?}").contains("planted-secret"));
        }
    }
}

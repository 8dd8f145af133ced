//! An archive server: the public routes of an archive in a bucket, for reading. Any number of them stand over one bucket; none needs a
//! table, a log or a key of the recorder, and one that may only read the bucket is enough.
//!
//! The time and the log are the recorder's: whoever puts servers before an agency sends `/v1/epochs`, `/v1/buckets`, `/v1/cameras` and
//! `/v1/charter` to them and everything else to the agency.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use lockplate_core::charter::CharterFile;
use lockplate_store::segment_store::SegmentStore;
use serde::Deserialize;

use super::published::FromBucket;
use super::{ArchiveState, BucketPlaces, Known, routes};
use crate::agency::{AgencyError, ListenConfig};
use crate::clock::Clock;
use crate::http::{Limits, ListenOn, Server, TlsMode};
use crate::object_storage::{BucketConfig, BucketSettings};
use crate::problem::Problem;
use crate::settings::{self, ConfigError, read_public_file};
use crate::shutdown::Tasks;
use crate::tls::TlsIdentity;

/// `archive.toml`, one to one. Paths are relative to the folder of the file; `docs/samples/archive.toml` explains every key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// The signed charter of the archive.
    pub charter: PathBuf,
    /// TLS key; made where the file is absent.
    #[serde(default = "tls_key")]
    pub tls_key: PathBuf,
    /// Where to listen.
    pub listen: ListenConfig,
    /// The recorder's bucket. Credentials that may read it are enough.
    pub bucket: BucketConfig,
}

fn tls_key() -> PathBuf {
    PathBuf::from("tls.pem")
}

/// A configuration whose values hold.
#[derive(Debug, Clone)]
pub struct ArchiveSettings {
    charter: PathBuf,
    tls_key: PathBuf,
    listen: ListenConfig,
    bucket: BucketSettings,
}

impl ArchiveSettings {
    /// Reads `archive.toml`, with `LOCKPLATE_*` of `environment` over it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        Self::of(path, settings::load_over(path, environment)?)
    }

    /// Checks the values of a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn of(file: &Path, config: ArchiveConfig) -> Result<Self, ConfigError> {
        let folder = file.parent().unwrap_or(Path::new(""));
        Ok(Self {
            charter: folder.join(config.charter),
            tls_key: folder.join(config.tls_key),
            listen: config.listen,
            bucket: BucketSettings::of(file, "bucket", folder, config.bucket)?,
        })
    }
}

/// Starts a server; it runs as tasks of `tasks`. Its address.
///
/// # Errors
/// [`AgencyError`]: a file, TLS, the address.
pub async fn start(settings: ArchiveSettings, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<SocketAddr, AgencyError> {
    let charter = Arc::new(CharterFile::verify(&read_public_file(&settings.charter)?)?);
    let tls = if settings.listen.plain_loopback {
        TlsMode::PlainLoopback
    } else {
        let identity = TlsIdentity::load_or_create(&settings.tls_key)?;
        if identity.pin() != charter.charter().archive.tls_pin {
            tracing::warn!(
                "this server's TLS key is not the charter's: only a proxy that holds that key can stand before it"
            );
        }
        TlsMode::Pinned(identity.server_config()?)
    };
    let server = Server::bind(ListenOn { addr: settings.listen.address, tls }, Limits::default()).await?;
    let address = server.local_addr();
    let bucket = settings.bucket.open()?;
    let archive = Arc::new(SegmentStore::over(bucket.store, bucket.prefix, bucket.conditional_put));
    let known = Arc::new(FromBucket::new(Arc::clone(&archive)));
    let health =
        Router::new().route("/livez", get(async || "ok")).route("/readyz", get(readyz)).with_state(Arc::clone(&known));
    let places = Arc::new(BucketPlaces::default());
    let state =
        ArchiveState { charter, known: Known::Bucket(known), archive, in_memory: false, key: None, places, clock };
    server.serve(routes(state).merge(health), tasks);
    tracing::info!(%address, "the archive server answers");
    Ok(address)
}

/// The recorder's list can be read.
async fn readyz(State(known): State<Arc<FromBucket>>) -> Result<&'static str, Problem> {
    known.published().await.map(|_list| "ok")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_holds_and_a_misspelt_key_is_refused() {
        let file = Path::new("docs/samples/archive.toml");
        let sample = include_str!("../../../../docs/samples/archive.toml");
        let config: ArchiveConfig = settings::parse(file, sample).unwrap();
        let held = ArchiveSettings::of(file, config).unwrap();
        assert_eq!(held.charter, Path::new("docs/samples/millbrook.charter"));
        let wrong = sample.replace("tls_key", "tls_keys");
        assert_eq!(settings::parse::<ArchiveConfig>(file, &wrong).unwrap_err().nearest(), Some("tls_key"));
    }
}

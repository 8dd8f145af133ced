//! Files of lists that nobody brings: the newest of a folder, or what an address gives. The steward signed for the list and for how its
//! files are read; a file that is held or refused leaves the set before, and people look.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::hotlist::load::LoadMode;
use lockplate_core::hotlist::steward::OrderedDelivery;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, ETAG, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::doors::pump;
use super::load::Brought;
use super::settings::{Fetched, From, PullTable};
use super::{HotLists, List, PIECES_MAX};
use crate::settings::read_secret_file;
use crate::tls;

/// How often a folder is looked into.
const LOOK: Duration = Duration::from_secs(5);
/// Pause after an address did not give a file.
const RETRY: Duration = Duration::from_secs(60);
/// How long one file may take on its way.
const PULL_MAX: Duration = Duration::from_secs(900);
const PIECE_BYTES: usize = 64 * 1024;

/// The newest file of a folder, as far as it says something.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Newest {
    path: PathBuf,
    bytes: u64,
    modified: u64,
}

/// What an address said of its file last.
#[derive(Clone, Debug, Default)]
struct Version {
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

impl HotLists {
    /// For ever, until the role stops.
    pub(super) async fn fetch(self, fetched: Fetched) {
        match &fetched.from {
            From::Folder(folder) => self.watch(&fetched, folder).await,
            From::Address(pull) => self.pull_again(&fetched, pull).await,
        }
    }

    async fn rests(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.0.tasks.stopping().cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    fn fetched_list(&self, fetched: &Fetched) -> Option<Arc<List>> {
        let list = self.named(&fetched.name).filter(|list| !list.config.retired);
        // Another agency's files would need its word for each of them, and a custom entry that of whoever has the case.
        list.filter(|list| list.config.agency == self.own())
    }

    async fn watch(&self, fetched: &Fetched, folder: &Path) {
        let (mut seen, mut taken): (Option<Newest>, Option<Newest>) = (None, None);
        while self.rests(LOOK).await {
            let Some(list) = self.fetched_list(fetched) else { continue };
            let at = folder.to_owned();
            let newest = tokio::task::spawn_blocking(move || newest_in(&at)).await.unwrap_or(None);
            // A file that still grows is not there yet.
            let rests = newest.is_some() && newest == seen;
            seen.clone_from(&newest);
            let Some(newest) = newest.filter(|newest| rests && taken.as_ref() != Some(newest)) else { continue };
            let (send, pieces) = mpsc::channel(PIECES_MAX);
            let path = newest.path.clone();
            let reading = tokio::task::spawn_blocking(move || send_file(&path, &send));
            let delivery = delivery(fetched, newest.modified, self.now());
            let report = self.load(&list, Brought::Fetched { delivery }, pieces).await;
            drop(reading.await);
            // What could not be judged now, because the log or the desk was away, is tried again.
            if report.is_ok() {
                taken = Some(newest);
            }
        }
    }

    async fn pull_again(&self, fetched: &Fetched, pull: &PullTable) {
        let mut version = Version::default();
        let mut pause = Duration::from_secs(1);
        while self.rests(pause).await {
            pause = RETRY.min(Duration::from_secs(pull.every_seconds));
            let Some(list) = self.fetched_list(fetched) else { continue };
            match self.pull(fetched, pull, &list, &version).await {
                Some(next) => {
                    version = next;
                    pause = Duration::from_secs(pull.every_seconds);
                }
                None => tracing::warn!(list = fetched.name, "a hot list cannot be fetched: the set before stays"),
            }
        }
    }

    async fn pull(&self, fetched: &Fetched, pull: &PullTable, list: &Arc<List>, known: &Version) -> Option<Version> {
        let config = tls::web_client_config(pull.ca_file.as_deref()).ok()?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .timeout(PULL_MAX)
            .tls_backend_preconfigured(config)
            .build()
            .ok()?;
        let mut request = client.get(&pull.url);
        if let Some(path) = pull.authorization_file.clone() {
            let secret = tokio::task::spawn_blocking(move || read_secret_file(&path)).await.ok()?.ok()?;
            let text = Zeroizing::new(secret.trim_ascii().to_vec());
            let mut value = HeaderValue::from_bytes(&text).ok()?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.modified)] {
            if let Some(value) = value {
                request = request.header(name, value.clone());
            }
        }
        let answer = request.send().await.ok()?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Some(known.clone());
        }
        if answer.status() != StatusCode::OK {
            return None;
        }
        let header = |name| answer.headers().get(name).cloned();
        let version = Version { etag: header(ETAG), modified: header(LAST_MODIFIED) };
        let modified = version.modified.as_ref().and_then(|value| value.to_str().ok());
        let modified = modified.and_then(|text| httpdate::parse_http_date(text).ok()).and_then(unix);
        let delivery = delivery(fetched, modified.unwrap_or(self.now().0), self.now());
        let (send, pieces) = mpsc::channel(PIECES_MAX);
        self.0.tasks.spawn("hot list body", pump(answer.bytes_stream(), send));
        self.load(list, Brought::Fetched { delivery }, pieces).await.ok().map(|_report| version)
    }
}

/// A full file, numbered by when its source made it: sources whose format says more say it in the file.
fn delivery(fetched: &Fetched, modified: u64, now: Timestamp) -> OrderedDelivery {
    OrderedDelivery {
        mode: LoadMode::Full,
        sequence: modified,
        produced_at: Timestamp(modified.min(now.0)),
        source_file: fetched.source_file.clone(),
        removes: false,
    }
}

fn unix(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn newest_in(folder: &Path) -> Option<Newest> {
    let mut newest: Option<Newest> = None;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Names that programs give to what they are still writing.
        if name.starts_with('.') || [".part", ".tmp", ".filepart"].iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let Some(metadata) = entry.metadata().ok().filter(std::fs::Metadata::is_file) else { continue };
        let Some(modified) = metadata.modified().ok().and_then(unix) else { continue };
        let found = Newest { path: entry.path(), bytes: metadata.len(), modified };
        if newest.as_ref().is_none_or(|newest| (newest.modified, &newest.path) < (found.modified, &found.path)) {
            newest = Some(found);
        }
    }
    newest
}

fn send_file(path: &Path, to: &mpsc::Sender<Option<Bytes>>) {
    let Ok(mut file) = std::fs::File::open(path) else { return };
    let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece) {
            Ok(bytes) => {
                let sent = piece.get(..bytes).map(Bytes::copy_from_slice).unwrap_or_default();
                if to.blocking_send(Some(sent)).is_err() || bytes == 0 {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_broken) => return,
        }
    }
}

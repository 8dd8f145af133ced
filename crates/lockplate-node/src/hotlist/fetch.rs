//! Files of lists that nobody brings: the newest of a folder, or what an address gives. The steward signed for the list and for how its
//! files are read; a file that is held or refused leaves the set before, and people look. What stands in the way of a file is said on the
//! list for as long as it lasts, and once in the trace.

mod sftp;
#[cfg(test)]
mod tests;

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use futures_util::TryStreamExt as _;
use lockplate_core::Timestamp;
use lockplate_core::hotlist::load::LoadMode;
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::hotlist::steward::{ListConfig, OrderedDelivery};
use lockplate_core::id::AgencyId;
use lockplate_intake::hotlist_file::never_loaded_name;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, ETAG, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use rustix::fs::{Mode, OFlags};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

pub(super) use self::sftp::{Machine, host_key};
use super::doors::pump;
use super::health::NOT_TAKEN;
use super::load::Brought;
use super::settings::{Fetched, From, PullTable};
use super::{HotLists, List, LoadReport, PIECES_MAX, locked};
use crate::problem::Problem;
use crate::settings::read_secret_file;
use crate::tls;

/// Pause before the first look after a start.
const FIRST: Duration = Duration::from_secs(1);
/// How often a folder is looked into, and whether a list is there that is to be fetched.
const LOOK: Duration = Duration::from_secs(5);
/// Pause after a file could not be had, or not be judged.
const RETRY: Duration = Duration::from_secs(60);
/// How long one file may take on its way.
const PULL_MAX: Duration = Duration::from_secs(900);
/// Longest silence of an address while it sends: other loads of the list wait meanwhile.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const PIECE_BYTES: usize = 64 * 1024;
/// How far the clock of whoever puts a file down may be ahead.
const SKEW_MS_MAX: u64 = 300_000;
/// Files that are passed over to find one that may be put in force.
const PASSED_MAX: usize = 8;

/// What makes a list of the pieces of a file: apart from where files come from.
trait Loads: Sync {
    /// As [`HotLists::load`]: pieces end with an empty one. `is_dated`: the source said when it made the file.
    fn load(
        &self,
        delivery: OrderedDelivery,
        is_dated: bool,
        pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> impl Future<Output = Result<LoadReport, Problem>> + Send;

    /// Something is matched.
    fn is_in_force(&self) -> bool;
}

struct LoadsList<'a> {
    lists: &'a HotLists,
    list: &'a Arc<List>,
}

impl Loads for LoadsList<'_> {
    async fn load(
        &self,
        delivery: OrderedDelivery,
        is_dated: bool,
        pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<LoadReport, Problem> {
        self.lists.load(self.list, Brought::Fetched { delivery, is_dated }, pieces).await
    }

    fn is_in_force(&self) -> bool {
        self.lists.0.matcher.list(&self.list.config.settings.list).is_some()
    }
}

/// Why there is no file, in fixed words, and when to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NotFetched {
    why: &'static str,
    again: Duration,
}

impl NotFetched {
    /// Looking costs nothing.
    const fn soon(why: &'static str) -> Self {
        Self { why, again: LOOK }
    }

    const fn later(why: &'static str) -> Self {
        Self { why, again: RETRY }
    }
}

/// What could not be judged because the log or the desk was away is tried again.
const AWAY: NotFetched = NotFetched::later("a file is there and cannot be judged now: the log or the desk is away");

/// After a restart: what is in force is of an older file.
const NEWER_REFUSED: &str = "a newer file was refused: the one before it is in force";

impl HotLists {
    /// For ever, until the role stops.
    pub(super) async fn fetch(self, fetched: Fetched) {
        let mut place: Option<(ListConfig, Place)> = None;
        let mut trouble = Trouble::default();
        let mut pause = FIRST;
        while self.rests(pause).await {
            pause = LOOK;
            let Some(list) = self.named(&fetched.name) else { continue };
            if let Some(why) = refuses(&list.config, self.own()) {
                trouble.is(&list, why);
                continue;
            }
            let (known, at) = place.get_or_insert_with(|| (list.config.clone(), Place::new(&fetched)));
            if *known != list.config {
                if known.settings.list == list.config.settings.list {
                    at.signed_anew();
                } else {
                    *at = Place::new(&fetched);
                }
                known.clone_from(&list.config);
            }
            pause = match at.look(&fetched, self.now(), &LoadsList { lists: &self, list: &list }).await {
                Ok(()) => {
                    trouble.is_over(&list);
                    fetched.from.every()
                }
                Err(NotFetched { why, again }) => {
                    trouble.is(&list, why);
                    again
                }
            };
        }
    }

    async fn rests(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.0.tasks.stopping().cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

impl From {
    fn every(&self) -> Duration {
        match self {
            Self::Folder(_) => LOOK,
            Self::Address(PullTable { every_seconds, .. }) | Self::Machine { every_seconds, .. } => {
                Duration::from_secs(*every_seconds)
            }
        }
    }
}

/// Another agency's files would need its word for each of them, and a custom entry that of whoever has the case.
fn refuses(config: &ListConfig, own: AgencyId) -> Option<&'static str> {
    if config.agency != own {
        return Some("another agency's list is not fetched: its steward brings each file");
    }
    (config.settings.kind == SetKind::Custom)
        .then_some("a custom list is not fetched: whoever has the case brings the entry")
}

/// What stands in the way of the files of a list now.
#[derive(Debug, Default)]
struct Trouble {
    now: Option<&'static str>,
    /// What was said of the list's last file before.
    before: Option<&'static str>,
}

impl Trouble {
    fn is(&mut self, list: &List, why: &'static str) {
        let mut note = locked(&list.note);
        if why == NEWER_REFUSED {
            note.alarm = Some(NOT_TAKEN);
        }
        if note.refused != Some(why) {
            if self.now.is_none() || note.refused != self.now {
                self.before = note.refused;
            }
            note.refused = Some(why);
        }
        if self.now.replace(why) != Some(why) {
            tracing::warn!(list = list.config.name, why, "a hot list cannot be fetched: the set before stays");
        }
    }

    fn is_over(&mut self, list: &List) {
        let Some(why) = self.now.take() else { return };
        let before = self.before.take();
        let mut note = locked(&list.note);
        // What a load said meanwhile stays.
        if note.refused == Some(why) {
            note.refused = before;
        }
        tracing::info!(list = list.config.name, "a hot list is fetched again");
    }
}

/// Where files are looked for, and what is known of them.
enum Place {
    Folder(Folder),
    Address(Box<Address>),
}

impl Place {
    fn new(fetched: &Fetched) -> Self {
        match &fetched.from {
            From::Folder(at) => Self::Folder(Folder::new(Shelf::Here(at.clone()))),
            From::Machine { machine, .. } => Self::Folder(Folder::new(Shelf::There(Box::new(machine.clone())))),
            From::Address(pull) => Self::Address(Box::new(Address::new(pull))),
        }
    }

    /// The list was signed anew: what was refused, or waits for people, is judged again. What is in force stays.
    fn signed_anew(&mut self) {
        match self {
            Self::Folder(folder) => {
                folder.passed.clear();
                if !folder.is_live {
                    folder.taken = None;
                }
            }
            Self::Address(address) if !address.is_live => address.known = Version::default(),
            Self::Address(_) => {}
        }
    }

    async fn look(&mut self, fetched: &Fetched, now: Timestamp, to: &impl Loads) -> Result<(), NotFetched> {
        match self {
            Self::Folder(folder) => folder.look(fetched, now, to).await,
            Self::Address(address) => address.look(fetched, now, to).await,
        }
    }
}

/// A file of a folder, as far as it says something.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Newest {
    path: PathBuf,
    bytes: u64,
    modified_ms: u64,
}

impl Newest {
    /// None for what is no file with a time.
    fn of(path: PathBuf, metadata: &Metadata) -> Option<Self> {
        let modified_ms = metadata.modified().ok().and_then(unix_ms).filter(|_| metadata.is_file())?;
        Some(Self { path, bytes: metadata.len(), modified_ms })
    }
}

/// Where a folder is.
enum Shelf {
    Here(PathBuf),
    There(Box<Machine>),
}

impl Shelf {
    async fn newest(&self, now: Timestamp, passed: &[Newest]) -> Result<(Option<Newest>, bool), NotFetched> {
        match self {
            Self::Here(at) => {
                let at = at.clone();
                let files = tokio::task::spawn_blocking(move || files_in(&at)).await;
                let files = files.map_err(std::io::Error::other).and_then(|files| files);
                let files = files.map_err(|_cause| NotFetched::soon("the folder of its files cannot be read"))?;
                Ok(newest_of(files, now, passed))
            }
            Self::There(machine) => {
                let connection = machine.connect().await.map_err(NotFetched::later)?;
                let files = tokio::time::timeout(PULL_MAX, connection.list()).await;
                connection.end().await;
                let files = files.unwrap_or(Err("the machine does not answer in time")).map_err(NotFetched::later)?;
                Ok(newest_of(files, now, passed))
            }
        }
    }

    /// A machine that is asked seldom is asked twice in a row, whether its file rests.
    const fn rest(&self) -> Option<Duration> {
        match self {
            Self::Here(_) => None,
            Self::There(_) => Some(LOOK),
        }
    }

    async fn send(&self, newest: Newest, to: mpsc::Sender<Option<Bytes>>) -> Sent {
        match self {
            Self::Here(_) => {
                let sending = tokio::task::spawn_blocking(move || send_file(&newest, &to));
                sending.await.unwrap_or(Sent::Unreadable)
            }
            Self::There(machine) => {
                let Ok(connection) = machine.connect().await else { return Sent::Unreadable };
                let sent = tokio::time::timeout(PULL_MAX, connection.send(&newest, &to)).await;
                connection.end().await;
                sent.unwrap_or(Sent::Unreadable)
            }
        }
    }
}

/// A folder in which somebody puts files down.
struct Folder {
    shelf: Shelf,
    /// The newest at the last look.
    seen: Option<Newest>,
    /// The last one that was judged.
    taken: Option<Newest>,
    /// And put in force.
    is_live: bool,
    /// What was refused while nothing was in force, as after a restart: the file before it may be the one that was.
    passed: Vec<Newest>,
}

impl Folder {
    const fn new(shelf: Shelf) -> Self {
        Self { shelf, seen: None, taken: None, is_live: false, passed: Vec::new() }
    }

    async fn look(&mut self, fetched: &Fetched, now: Timestamp, to: &impl Loads) -> Result<(), NotFetched> {
        let (mut newest, mut is_ahead) = self.shelf.newest(now, &self.passed).await?;
        let is_new = newest.is_some() && newest != self.taken;
        if let Some(rest) = self.shelf.rest().filter(|_| is_new) {
            self.seen = newest;
            tokio::time::sleep(rest).await;
            (newest, is_ahead) = self.shelf.newest(now, &self.passed).await?;
        }
        // A file that still grows is not there yet.
        let rests = newest.is_some() && newest == self.seen;
        self.seen.clone_from(&newest);
        if let Some(newest) = newest.filter(|newest| rests && self.taken.as_ref() != Some(newest)) {
            self.take(newest, fetched, now, to).await?;
        }
        if is_ahead {
            return Err(NotFetched::soon("a file has a time in the future: it is left out"));
        }
        if self.is_live && !self.passed.is_empty() {
            return Err(NotFetched::soon(NEWER_REFUSED));
        }
        Ok(())
    }

    async fn take(
        &mut self,
        newest: Newest,
        fetched: &Fetched,
        now: Timestamp,
        to: &impl Loads,
    ) -> Result<(), NotFetched> {
        let (send, pieces) = mpsc::channel(PIECES_MAX);
        let sending = self.shelf.send(newest.clone(), send);
        let name = newest.path.file_name().unwrap_or_default().to_string_lossy();
        let loading = to.load(delivery(fetched, &name, newest.modified_ms, now), true, pieces);
        match tokio::join!(sending, loading) {
            (Sent::Unreadable, _) => Err(NotFetched::later("a file is there and cannot be read")),
            // What it became is seen at the next looks.
            (Sent::Changed, Ok(_)) => Ok(()),
            // Refused or not, the same bytes would be judged the same again.
            (Sent::Whole | Sent::Unwanted, Ok(report)) => {
                self.is_live = report.state == "live";
                if self.is_live {
                    self.passed.retain(|passed| passed.modified_ms > newest.modified_ms);
                } else if report.state == "refused" && !to.is_in_force() && self.passed.len() < PASSED_MAX {
                    self.passed.push(newest.clone());
                }
                self.taken = Some(newest);
                Ok(())
            }
            (Sent::Whole | Sent::Unwanted | Sent::Changed, Err(_away)) => Err(AWAY),
        }
    }
}

/// What became of a file on its way to the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Whole,
    /// The parser wanted no more of it.
    Unwanted,
    /// It is not the file any more that was found resting.
    Changed,
    Unreadable,
}

/// The files of a folder. Of a symbolic link its own kind counts: what it leads to is not in this folder.
fn files_in(folder: &Path) -> std::io::Result<Vec<Newest>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        files.extend(entry.metadata().ok().and_then(|metadata| Newest::of(entry.path(), &metadata)));
    }
    Ok(files)
}

/// The newest of these files but those that were `passed` over; and whether one was left out whose time is yet to come: it would stand
/// before every other until then.
fn newest_of(files: Vec<Newest>, now: Timestamp, passed: &[Newest]) -> (Option<Newest>, bool) {
    let latest_ms = now.0.saturating_mul(1_000).saturating_add(SKEW_MS_MAX);
    // Names that programs give to what they are still writing.
    let is_unfinished = |file: &Newest| {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('.') || [".part", ".tmp", ".filepart"].iter().any(|end| name.ends_with(end))
    };
    let (files, ahead): (Vec<Newest>, Vec<Newest>) = files
        .into_iter()
        .filter(|file| !is_unfinished(file) && !passed.contains(file))
        .partition(|file| file.modified_ms <= latest_ms);
    let newest =
        files.into_iter().max_by(|one, other| (one.modified_ms, &one.path).cmp(&(other.modified_ms, &other.path)));
    (newest, !ahead.is_empty())
}

fn send_file(newest: &Newest, to: &mpsc::Sender<Option<Bytes>>) -> Sent {
    // Whoever writes into the folder may have put something else at the path meanwhile: a link, or a pipe that nobody fills.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(opened) = rustix::fs::open(&newest.path, flags, Mode::empty()) else { return Sent::Unreadable };
    let mut file = File::from(opened);
    let is_same = |file: &File| {
        let metadata = file.metadata().ok();
        metadata.and_then(|metadata| Newest::of(newest.path.clone(), &metadata)).as_ref() == Some(newest)
    };
    if !is_same(&file) {
        return Sent::Changed;
    }
    let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
    loop {
        let bytes = match file.read(&mut piece) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_broken) => return Sent::Unreadable,
        };
        // Written to while it was read: without its end the parser takes nothing of it.
        if bytes == 0 && !is_same(&file) {
            return Sent::Changed;
        }
        let sent = piece.get(..bytes).map(Bytes::copy_from_slice).unwrap_or_default();
        if to.blocking_send(Some(sent)).is_err() {
            return Sent::Unwanted;
        }
        if bytes == 0 {
            return Sent::Whole;
        }
    }
}

/// What an address said of its file last.
#[derive(Clone, Debug, Default)]
struct Version {
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

/// An address that gives a file.
struct Address {
    pull: PullTable,
    /// The last file that was judged.
    known: Version,
    /// And put in force.
    is_live: bool,
}

impl Address {
    fn new(pull: &PullTable) -> Self {
        Self { pull: pull.clone(), known: Version::default(), is_live: false }
    }

    async fn look(&mut self, fetched: &Fetched, now: Timestamp, to: &impl Loads) -> Result<(), NotFetched> {
        let answer = self.ask().await.map_err(NotFetched::later)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return Ok(()),
            status => return Err(NotFetched::later(unwanted(status))),
        }
        let header = |name| answer.headers().get(name).cloned();
        let version = Version { etag: header(ETAG), modified: header(LAST_MODIFIED) };
        let modified = version.modified.as_ref().and_then(|value| value.to_str().ok());
        let modified = modified.and_then(|text| httpdate::parse_http_date(text).ok()).and_then(unix_ms);
        // A time that is yet to come would stand in the way of every later file.
        let now_ms = now.0.saturating_mul(1_000);
        let name = answer.url().path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
        let delivery = delivery(fetched, name, modified.unwrap_or(now_ms).min(now_ms), now);
        let (send, pieces) = mpsc::channel(PIECES_MAX);
        let broke_off = AtomicBool::new(false);
        let body = pin!(answer.bytes_stream().inspect_err(|_broken| broke_off.store(true, Ordering::Relaxed)));
        let mut loading = pin!(to.load(delivery, modified.is_some(), pieces));
        let report = tokio::select! {
            report = &mut loading => report,
            () = pump(body, send) => loading.await,
        };
        let report = report.map_err(|_away| AWAY)?;
        // Remembered, it would not be sent again.
        if broke_off.load(Ordering::Relaxed) {
            return Err(NotFetched::later("the file broke off on its way"));
        }
        self.is_live = report.state == "live";
        self.known = version;
        Ok(())
    }

    async fn ask(&self) -> Result<reqwest::Response, &'static str> {
        let (authority, secret) = (self.pull.ca_file.clone(), self.pull.authorization_file.clone());
        let read = tokio::task::spawn_blocking(move || -> Result<_, &'static str> {
            let config = tls::web_client_config(authority.as_deref())
                .map_err(|_file| "the certificates to trust cannot be read")?;
            let secret = secret.map(|path| read_secret_file(&path)).transpose();
            Ok((config, secret.map_err(|_file| "the file with the authorization cannot be read")?))
        });
        let (config, secret) = read.await.map_err(|_task| "its files cannot be read")??;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE_MAX)
            .timeout(PULL_MAX)
            .tls_backend_preconfigured(config)
            .build()
            .map_err(|_library| "TLS could not be set up")?;
        let mut request = client.get(&self.pull.url);
        if let Some(secret) = secret {
            let mut value = HeaderValue::from_bytes(secret.trim_ascii())
                .map_err(|_text| "the file with the authorization holds no header's value")?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        for (name, value) in [(IF_NONE_MATCH, &self.known.etag), (IF_MODIFIED_SINCE, &self.known.modified)] {
            if let Some(value) = value {
                request = request.header(name, value.clone());
            }
        }
        // The library's own words hold the address.
        request.send().await.map_err(|_library| "the address cannot be reached, or its certificate is not trusted")
    }
}

fn unwanted(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "the address refuses the authorization",
        StatusCode::NOT_FOUND | StatusCode::GONE => "the address has no file",
        status if status.is_redirection() => "the address sends elsewhere, where nobody follows",
        _ => "the address answers with an error",
    }
}

/// A full file, numbered by when its source made it, Unix ms: sources whose format says more say it in the file. A file of a name that nobody
/// loads is that file, whatever the configuration calls it.
fn delivery(fetched: &Fetched, name: &str, modified_ms: u64, now: Timestamp) -> OrderedDelivery {
    OrderedDelivery {
        mode: LoadMode::Full,
        sequence: modified_ms,
        produced_at: Timestamp((modified_ms / 1_000).min(now.0)),
        source_file: never_loaded_name(name).unwrap_or(&fetched.source_file).to_owned(),
        removes: false,
    }
}

fn unix_ms(time: SystemTime) -> Option<u64> {
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

//! Intake over HTTP, and from brokers and cameras that are asked: payloads and files go in, reads leave for the recorder, and the
//! answer waits until they are durable. It must never store, trace or echo a payload, nor tell a wrong token from an unknown
//! source. What is a read, a duplicate or a held one is decided in `lockplate-intake`; reads go to the [`ReadSink`].
//!
//! Order of every payload (`intake.md`): authenticate, limit, unpack, parse, find the camera, judge the clock, drop
//! duplicates, hold or seal, make durable, answer. Held reads are in memory only: a crash loses at most 30 s of them
//! (I1 names that exception); an orderly end seals them ([`IntakeState::finish`]).

mod access;
mod cameras;
mod counters;
mod digest;
mod fetched;
mod files;
mod load;
mod login;
mod mqtt;
mod passing;
mod payload;
mod pull;
mod register;
mod sealing;
mod settings;
mod shapes;
mod sink;
#[cfg(test)]
pub(crate) mod tests;
mod webhook;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::Extensions;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lockplate_core::vocabulary::ArchiveKind;
use lockplate_intake::limits::BODY_BYTES_MAX;
use lockplate_intake::time::Zone;
use lockplate_intake::{Intake, Sealable};
use rand_core::CryptoRng;
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

pub use access::{AddressRange, PAYLOADS_PER_SECOND_MAX, TokenHash, token_text};
pub use cameras::{CAMERA_SILENT_MS, CameraAlarm, CameraHealth, offset_text};
pub use counters::{IntakeHealth, SourceCounts};
pub use fetched::Fetched;
pub use files::{
    CAMERAS_OF_CALL_MAX, CamerasAdded, CamerasNew, HEADER_FIELDS, HEADER_FILE, HEADER_GROUP, HEADER_LINE_OFFSET,
    HEADER_TRUST,
};
pub use load::LoadHealth;
pub use mqtt::{MqttSettings, MqttTable};
pub use pull::{PullSettings, PullTable};
pub use register::{AgencyRegister, SourcesRefused};
pub use settings::{
    IMPORT_SOURCE_NAME, Login, SOURCE_NAME_BYTES_MAX, SOURCES_MAX, SourceRefused, SourceSettings, SourceTable,
    check_files, check_tables,
};
pub use shapes::FailedShape;
pub use sink::{
    Asked, Beside, Fate, FieldFault, KnownCamera, NewCamera, Nobody, NotTaken, Obstacle, PLACE_CHARS_MAX, ReadSink,
    Register, RegisterDown, Registered, SINK_READS_MAX,
};

use crate::clock::Clock;
use crate::problem::{Problem, ProblemKind};
use crate::shutdown::Tasks;
use access::Pace;
use counters::Counters;
use digest::Nonces;
use load::Load;
use login::{Users, users_of};
use passing::Passing;
use payload::Room;
use shapes::Shapes;
use webhook::PARSERS_MAX;

/// How often the register of cameras and sources is read again: a revoked token is dead within 5 s (D14).
const REFRESH: Duration = Duration::from_secs(4);

/// Where Dahua's cameras send to, whatever they are told.
const ITSAPI_PATHS: [&str; 3] =
    ["/NotificationInfo/TollgateInfo", "/NotificationInfo/KeepAlive", "/NotificationInfo/DeviceInfo"];

/// Mark on a response that must not be sent: the connection is closed instead, because the caller takes any status for a
/// delivery (`intake.md` section 5). Obeyed by [`crate::http`].
#[derive(Clone, Copy, Debug)]
pub struct CloseUnanswered;

impl IntoResponse for CloseUnanswered {
    fn into_response(self) -> Response {
        let mut response = ().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Where sources post to, those of ITSAPI apart.
pub const SOURCE_PATHS: &str = "/in/v1/";

/// Which listener the routes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// TLS, or loopback behind it: every source, files and cameras.
    Protected,
    /// Plain HTTP in a local network: only sources marked `lan`.
    Lan,
}

/// What intake is made of.
pub struct IntakeParts {
    /// Where reads go.
    pub sink: Arc<dyn ReadSink>,
    /// Who looks at them beside.
    pub beside: Arc<dyn Beside>,
    /// Cameras and sources.
    pub register: Arc<dyn Register>,
    /// The agency's import key; without one `POST /v1/import` and `POST /v1/cameras` are not there.
    pub import_key: Option<Zeroizing<[u8; 32]>>,
    /// Retention of the charter, ms.
    pub retention_ms: i64,
    /// The archive's kind in the charter: what its cameras are there for.
    pub archive_kind: ArchiveKind,
    /// What is acknowledged is in memory, and gone with the process: the own format's answer says so.
    pub in_memory: bool,
    /// Reads a second that the recorder is rated for: above it there is an alarm.
    pub rated_reads_per_second: u32,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The role's tasks.
    pub tasks: Tasks,
}

impl fmt::Debug for IntakeParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntakeParts(..)")
    }
}

/// Intake of one agency. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct IntakeState(Arc<Inner>);

impl fmt::Debug for IntakeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntakeState(..)")
    }
}

/// Two ways in, with a state machine each: a file of a million lines must not push what cameras sent out of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Live,
    Import,
}

struct Lane {
    intake: Mutex<Intake>,
    /// Payloads between their judgement and their sealing.
    passing: Arc<Passing>,
}

impl Lane {
    fn new(rng: &mut impl CryptoRng, retention_ms: i64) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        let intake = Intake::new(&key).forgetting_after(retention_ms);
        Self { intake: Mutex::new(intake), passing: Arc::default() }
    }
}

struct Inner {
    sink: Arc<dyn ReadSink>,
    beside: Arc<dyn Beside>,
    register: Arc<dyn Register>,
    import_key: Option<TokenHash>,
    retention_ms: i64,
    archive_kind: ArchiveKind,
    in_memory: bool,
    clock: Arc<dyn Clock>,
    started_ms: i64,
    tasks: Tasks,
    live: Lane,
    import: Lane,
    book: RwLock<Arc<Book>>,
    refreshed: Mutex<Duration>,
    paces: Mutex<BTreeMap<u16, Pace>>,
    rooms: Mutex<BTreeMap<u16, Room>>,
    import_room: Room,
    /// Large payloads are parsed a few at a time: what is built of one may be many times its size.
    parsers: Semaphore,
    counters: Counters,
    /// When clocks were right last, as the register has it, and since when it has that.
    right_clocks: Mutex<(Duration, BTreeMap<u32, i64>)>,
    /// Alarms of cameras that were traced and are not over.
    alarms: Mutex<BTreeSet<(u32, CameraAlarm)>>,
    nonces: Nonces,
    shapes: Shapes,
    load: Load,
    waiting: Mutex<VecDeque<Sealable>>,
    releasing: tokio::sync::Mutex<()>,
    /// When the sink refused, if that was its last answer.
    refused: Mutex<Option<Duration>>,
    late_done: tokio::sync::Mutex<Option<LateDone>>,
    closing: AtomicBool,
}

/// The end of the closing of late epochs that goes on; `None` until then.
type LateDone = watch::Receiver<Option<Result<(), NotTaken>>>;

/// The register as it was read last.
#[derive(Default)]
struct Book {
    sources: BTreeMap<String, Arc<SourceSettings>>,
    cameras: BTreeMap<(u16, String), (u32, String)>,
    /// Number and group by key alone, for files; `None` where two sources use one key.
    by_key: BTreeMap<String, Option<(u32, String)>>,
    /// Sources of cameras that are paused, by the engine's key; they are in neither map above.
    paused: BTreeMap<String, BTreeSet<u16>>,
    /// Every camera by number.
    known: BTreeMap<u32, KnownCamera>,
    /// Who may sign in.
    users: Users,
    import_source: u16,
}

impl Book {
    fn new(registered: Registered, users: Users) -> Self {
        let mut book = Self { import_source: registered.import_source, users, ..Self::default() };
        let mut zones: BTreeMap<u16, BTreeMap<String, Zone>> = BTreeMap::new();
        for camera in registered.cameras {
            let KnownCamera { number, source, key, group, active, zone, .. } = camera.clone();
            book.known.insert(number, camera);
            if !active {
                book.paused.entry(key).or_default().insert(source);
                continue;
            }
            if let Some(zone) = zone {
                zones.entry(source).or_default().insert(key.clone(), zone);
            }
            let same_key = book.by_key.entry(key.clone()).or_insert_with(|| Some((number, group.clone())));
            if same_key.as_ref().is_some_and(|(other, _)| *other != number) {
                *same_key = None;
            }
            book.cameras.insert((source, key), (number, group));
        }
        for mut source in registered.sources {
            source.config.camera_zones = zones.remove(&source.config.number).unwrap_or_default();
            book.sources.insert(source.name.clone(), Arc::new(source));
        }
        book
    }

    fn camera_of(&self, source: u16, key: &str) -> Option<u32> {
        self.cameras.get(&(source, key.to_owned())).map(|(camera, _)| *camera)
    }

    /// A camera of this source that is paused.
    fn is_paused(&self, source: u16, key: &str) -> bool {
        self.paused.get(key).is_some_and(|sources| sources.contains(&source))
    }

    /// Of a source that may speak, or of imported files.
    fn name_of(&self, source: u16) -> Option<&str> {
        let named = self.sources.iter().find(|(_, settings)| settings.config.number == source);
        let of_files = (source == self.import_source).then_some(IMPORT_SOURCE_NAME);
        named.map(|(name, _)| name.as_str()).or(of_files)
    }

    /// A camera of a file: one of the import source, or of whichever source alone uses the key.
    fn camera_of_file(&self, key: &str) -> Option<(u32, &str)> {
        let own = self.cameras.get(&(self.import_source, key.to_owned()));
        own.or_else(|| self.by_key.get(key)?.as_ref()).map(|(number, group)| (*number, group.as_str()))
    }
}

impl Inner {
    const fn lane(&self, way: Way) -> &Lane {
        match way {
            Way::Live => &self.live,
            Way::Import => &self.import,
        }
    }

    fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn refresh(&self) -> Result<(), RegisterDown> {
        let registered = self.register.registered().await?;
        self.beside.know(&registered.cameras);
        let (sources, before) = (registered.sources.clone(), self.book());
        let users = tokio::task::spawn_blocking(move || users_of(&sources, &before.users));
        let book = Book::new(registered, users.await.map_err(|_panicked| RegisterDown)?);
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
        *self.refreshed.lock().unwrap_or_else(PoisonError::into_inner) = self.clock.monotonic();
        Ok(())
    }

    async fn refresh_when_due(&self) {
        let last = *self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.clock.monotonic().saturating_sub(last) < REFRESH {
            return;
        }
        if self.refresh().await.is_err() {
            tracing::warn!("the register of cameras and sources cannot be read: the last one stays in force");
        }
        self.trace_alarms();
    }

    fn admits(&self, source: u16) -> bool {
        let now = self.clock.monotonic();
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.entry(source).or_insert_with(|| Pace::new(now)).admits(now)
    }

    fn room(&self, source: u16) -> Room {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(source).or_default().clone()
    }
}

impl IntakeState {
    /// Reads the register; nothing is taken before [`start`](Self::start) and the routes are served.
    ///
    /// # Errors
    /// [`RegisterDown`].
    pub async fn new(parts: IntakeParts, rng: &mut (impl CryptoRng + Send)) -> Result<Self, RegisterDown> {
        let mut nonce_key = Zeroizing::new([0; 64]);
        rng.fill_bytes(nonce_key.as_mut_slice());
        let inner = Inner {
            sink: parts.sink,
            beside: parts.beside,
            register: parts.register,
            import_key: parts.import_key.map(|key| TokenHash::of(&key)),
            retention_ms: parts.retention_ms,
            archive_kind: parts.archive_kind,
            in_memory: parts.in_memory,
            started_ms: parts.clock.now_ms(),
            clock: parts.clock,
            tasks: parts.tasks,
            live: Lane::new(rng, parts.retention_ms),
            import: Lane::new(rng, parts.retention_ms),
            book: RwLock::default(),
            refreshed: Mutex::default(),
            paces: Mutex::default(),
            rooms: Mutex::default(),
            import_room: Room::default(),
            parsers: Semaphore::new(PARSERS_MAX),
            counters: Counters::default(),
            right_clocks: Mutex::default(),
            alarms: Mutex::default(),
            nonces: Nonces::new(nonce_key),
            shapes: Shapes::default(),
            load: Load::new(parts.rated_reads_per_second),
            waiting: Mutex::default(),
            releasing: tokio::sync::Mutex::default(),
            refused: Mutex::default(),
            late_done: tokio::sync::Mutex::default(),
            closing: AtomicBool::new(false),
        };
        inner.refresh().await?;
        let right = inner.register.right_clocks().await?;
        inner.with(Way::Live, |intake| intake.know_clocks(right.clone()));
        *inner.right_clocks.lock().unwrap_or_else(PoisonError::into_inner) = (inner.clock.monotonic(), right);
        Ok(Self(Arc::new(inner)))
    }

    /// Starts the tasks that release held reads, read the register again, and fetch from sources. They end
    /// with the role's tasks and do not seal what is held: that is [`finish`](Self::finish).
    pub fn start(&self) {
        // A source is added with a restart.
        self.watch_shapes();
        self.0.tasks.spawn_essential("intake", Arc::clone(&self.0).keep_sealing());
        self.0.tasks.spawn_essential("intake register", Arc::clone(&self.0).keep_time());
        self.0.tasks.spawn_essential("fetched sources", Arc::clone(&self.0).keep_fetching());
    }

    /// For ten minutes from now on the shapes of payloads that fail are shown in [`health`](Self::health): a camera was added.
    pub fn watch_shapes(&self) {
        self.0.shapes.watch(self.0.clock.monotonic());
    }

    /// The routes of one listener: `POST /in/v1/{source}/{token}`, `POST /in/v1/{source}` and the three paths of ITSAPI, and behind the
    /// protected door `POST /v1/import`, `POST /v1/import/done`, `POST /v1/cameras`, `POST /v1/cameras/{camera}`,
    /// `POST /v1/cameras/{camera}/test` and `GET /v1/intake/health` (callers on this machine, and whoever holds the import key).
    pub fn routes(&self, door: Door) -> Router {
        type OnePath = Result<Path<String>, PathRejection>;
        type TwoPaths = Result<Path<(String, String)>, PathRejection>;
        let unlimited = axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX);
        let mut router = Router::new()
            .route(
                "/in/v1/{source}/{token}",
                post(move |State(state), path: TwoPaths, request| webhook::by_token(state, door, path, request)),
            )
            .route(
                "/in/v1/{source}",
                post(move |State(state), path: OnePath, request| async move {
                    let name = path.map_or_else(|_no_text| String::new(), |Path(name)| name);
                    webhook::by_login(state, door, Some(&name), request).await
                }),
            );
        for path in ITSAPI_PATHS {
            let handler = move |State(state), request| webhook::by_login(state, door, None, request);
            router = router.route(path, post(handler));
        }
        if door == Door::Protected {
            router = router
                .route("/v1/import", post(files::import))
                .route("/v1/import/done", post(files::done))
                .route("/v1/cameras", post(files::cameras))
                .route("/v1/cameras/{camera}", post(cameras::change))
                .route("/v1/cameras/{camera}/test", post(cameras::test))
                .route("/v1/intake/health", get(health));
        }
        router.layer(unlimited).with_state(self.clone())
    }

    /// Reads the register at once: after a source was added or revoked.
    ///
    /// # Errors
    /// [`RegisterDown`]; the last one stays in force.
    pub async fn refresh(&self) -> Result<(), RegisterDown> {
        self.0.refresh().await
    }

    /// Takes no payload any more, waits for those on their way and seals everything that is held. To be called at SIGTERM
    /// before the recorder is stopped; at most 20 s.
    pub async fn finish(&self) {
        self.0.finish().await;
    }

    /// False while reads are refused, or held ones wait, because nothing can be made durable: for `/readyz`. Where no read comes that is
    /// not noticed.
    #[must_use]
    pub fn seals(&self) -> bool {
        self.0.seals()
    }

    /// The counters.
    #[must_use]
    pub fn health(&self) -> IntakeHealth {
        let shapes = self.0.shapes.seen(self.0.clock.monotonic());
        let load = self.0.load.health(self.0.clock.monotonic());
        self.0.counters.health(self.0.camera_health(), self.0.waiting(), load, shapes)
    }
}

/// `GET /v1/intake/health`: for people on this machine, and whoever holds the import key.
async fn health(State(state): State<IntakeState>, request: Request) -> Response {
    let from_here = peer_of(request.extensions()).is_some_and(|peer| peer.is_loopback());
    if from_here || state.0.holds_import_key(request.headers()) {
        Json(state.health()).into_response()
    } else {
        Problem::new(ProblemKind::NotFound).into_response()
    }
}

/// Where a request comes from; a router without a listener (a test) knows no address.
fn peer_of(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical())
}

/// The problem document of a slug.
const fn kind_of(slug: lockplate_intake::Slug) -> ProblemKind {
    use lockplate_intake::Slug;
    match slug {
        Slug::Malformed => ProblemKind::IntakeMalformed,
        Slug::UnknownCamera => ProblemKind::IntakeUnknownCamera,
        Slug::NotFound => ProblemKind::IntakeNotFound,
        Slug::TooLarge => ProblemKind::IntakeTooLarge,
        Slug::UnsupportedType => ProblemKind::IntakeUnsupportedType,
        Slug::MissingField => ProblemKind::IntakeMissingField,
        Slug::OutOfRange => ProblemKind::IntakeOutOfRange,
        Slug::TooOld => ProblemKind::IntakeTooOld,
        Slug::Rate => ProblemKind::IntakeRate,
        Slug::Unavailable => ProblemKind::IntakeUnavailable,
    }
}

//! A town on paper: a charter and five logs whose keys the test holds, so that it can write into them whatever it likes, and be any party
//! that lies. The logs are served with TLS as keepers and agencies serve them; the programs that read them are the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::routing::get;
use lockplate_core::Timestamp;
use lockplate_core::charter::{
    AcceptKeyFiles, AgencyPage, ArchiveEntry, Charter, CharterFile, CharterKind, KeeperEntry, LeafWait, LogName,
    OPENING_KEEP_SECONDS_MIN, OPENING_KEY_BYTES, Owner, RecorderEntry, WitnessEntry, WitnessKind,
};
use lockplate_core::disclosure::SD_REQUEST;
use lockplate_core::entry::{
    DisclosureLeaf, EvaluationLeaf, Genesis, LogEntry, LogKind, Outcome, PolicyLeaf, PolicyRelation, RequestDecision,
    RequestLeaf, SaltedDigests, SdAlgorithm, Stamped,
};
use lockplate_core::facts::Obligations;
use lockplate_core::id::{AgencyId, KeeperIndex, RecorderId};
use lockplate_core::signed::VersionOne;
use lockplate_core::vocabulary::{Action, ArchiveKind, Assurance, Basis, Level, Purpose, State};
use lockplate_log::{CosignatureSigner, Entry, Log, NoteSigner, Origin};
use lockplate_node::http::{Limits, ListenOn, Server, TlsMode};
use lockplate_node::log_door::{LogDoor, routes};
use lockplate_node::rng::SystemRng;
use lockplate_node::shutdown::Tasks;
use lockplate_node::tls::TlsIdentity;
use lockplate_policy::Bundle;
use lockplate_store::log_files::FileLogStorage;
use serde_json::Value;
use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_lockplate");
pub const KEEPERS: u8 = 3;
pub const OWNER: AgencyId = AgencyId([1; 16]);
pub const EASTPORT: AgencyId = AgencyId([7; 16]);
pub const DESK: LogName = LogName::Desk(EASTPORT);
const GRANT: [u8; 32] = [0xcd; 32];

pub const fn keeper(place: u8) -> LogName {
    LogName::Keeper(KeeperIndex(place))
}

#[expect(clippy::disallowed_methods, reason = "a test lives in the time of the programs it starts")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A leaf that need not be one.
pub struct Raw {
    bytes: Vec<u8>,
    time: u64,
}

impl Entry for Raw {
    fn leaf(&self) -> Vec<u8> {
        self.bytes.clone()
    }
    fn time(&self) -> u64 {
        self.time
    }
}

/// One party's log.
struct PaperLog {
    log: Log<FileLogStorage>,
    public: PathBuf,
    kind: LogKind,
}

/// The town.
pub struct PaperTown {
    pub folder: TempDir,
    pub charter: CharterFile,
    logs: BTreeMap<LogName, PaperLog>,
    /// What each log's server shows: its own public folder, or another one.
    shown: BTreeMap<LogName, Arc<Mutex<PathBuf>>>,
    runtime: tokio::runtime::Runtime,
    _tasks: Tasks,
}

fn origin(text: &str) -> Origin {
    Origin::parse(text).unwrap()
}

/// Keys from fixed strings: what a name signs with.
fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::new(origin(name), &[seed; 32]).unwrap()
}

fn cosigner(name: &str, seed: u8) -> CosignatureSigner {
    CosignatureSigner::new(origin(name), &[seed; 32]).unwrap()
}

fn log_signer(name: LogName) -> NoteSigner {
    match name {
        LogName::Keeper(index) => signer(&format!("k{}.example/log/keeper", index.0), 40 + index.0),
        LogName::Recorder => signer("alpr.millbrook.example/log/recorder", 60),
        LogName::Desk(_) => signer("alpr.eastport.example/log/desk", 61),
    }
}

fn witness(place: u8) -> CosignatureSigner {
    cosigner(&format!("k{place}.example/witness"), 80 + place)
}

fn library() -> CosignatureSigner {
    cosigner("library.example/witness", 90)
}

/// Shows the folder that stands in the shared place at the time of the request.
fn doors(shown: BTreeMap<LogName, Arc<Mutex<PathBuf>>>, charter: Vec<u8>, records: PathBuf) -> Router {
    let kept = |folder: PathBuf, suffix: &'static str| {
        move |axum::extract::Path(id): axum::extract::Path<String>| async move {
            std::fs::read(folder.join(id + suffix)).map_err(|_absent| StatusCode::NOT_FOUND)
        }
    };
    let mut router = Router::new()
        .route("/v1/charter", get(move || async move { charter }))
        .route("/witness/{id}/checkpoint", get(kept(records.clone(), "")))
        .route("/witness/{id}/evidence", get(kept(records, ".evidence")));
    for (name, place) in shown {
        let show = |Shared(place): Shared<Arc<Mutex<PathBuf>>>, request: axum::extract::Request| async move {
            use tower::ServiceExt as _;
            let public = place.lock().map(|public| public.clone()).unwrap_or_default();
            let path = request.uri().path().to_owned();
            if public.as_os_str().is_empty() {
                return axum::response::IntoResponse::into_response((StatusCode::NOT_FOUND, path));
            }
            let prefix =
                ["/log/keeper", "/log/recorder", "/log/desk"].into_iter().find(|prefix| path.starts_with(prefix));
            // A request of its own: the parameters of this router's path would count as the door's.
            let asked = axum::extract::Request::builder().uri(&path).body(axum::body::Body::empty()).unwrap();
            let door = routes(prefix.unwrap_or("/log"), LogDoor::new(public, None));
            axum::response::IntoResponse::into_response(door.oneshot(asked).await)
        };
        let path = format!("{}/{{*rest}}", name.path());
        router = router.merge(Router::new().route(&path, get(show)).with_state(place));
    }
    router
}

impl PaperTown {
    /// Founded: every log has its first leaves and is published, confirmed by everybody.
    pub fn found() -> Self {
        Self::found_at(now() - 40 * 86_400)
    }

    fn found_at(time: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("lockplate-paper-").tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let tasks = Tasks::new();
        let parties = ["k1", "k2", "k3", "millbrook", "eastport"];
        let mut servers = BTreeMap::new();
        for party in parties {
            let identity = TlsIdentity::load_or_create(&folder.path().join(format!("{party}.key"))).unwrap();
            let tls = TlsMode::Pinned(identity.server_config().unwrap());
            let listen = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls };
            let server = runtime.block_on(Server::bind(listen, Limits::default())).unwrap();
            servers.insert(party, (identity.pin(), server));
        }
        let at = |party: &str| {
            let (pin, server) = &servers[party];
            (format!("https://{}", server.local_addr()), *pin)
        };
        let charter = charter(&at);

        let mut logs = BTreeMap::new();
        let mut shown = BTreeMap::new();
        for log in charter.charter().logs() {
            let signer = log_signer(log.name);
            let storage = FileLogStorage::acquire(folder.path(), signer.verifier_key().name()).unwrap();
            let public = storage.public();
            shown.insert(log.name, Arc::new(Mutex::new(public.clone())));
            let kind = match log.name {
                LogName::Keeper(_) => LogKind::Keeper,
                LogName::Recorder => LogKind::Recorder,
                LogName::Desk(_) => LogKind::Desk,
            };
            logs.insert(log.name, PaperLog { log: Log::create(storage, signer).unwrap(), public, kind });
        }
        for (party, (_, server)) in servers {
            let mine = |name: &LogName| match (name, party) {
                (LogName::Keeper(index), party) => party == format!("k{}", index.0),
                (LogName::Recorder, party) => party == "millbrook",
                (LogName::Desk(_), party) => party == "eastport",
            };
            let mine = shown.iter().filter(|(name, _)| mine(name)).map(|(name, place)| (*name, Arc::clone(place)));
            let app = doors(mine.collect(), charter.bytes().to_vec(), folder.path().join(format!("records-{party}")));
            let _entered = runtime.enter();
            server.serve(app, &tasks);
        }
        let mut town = Self { folder, charter, logs, shown, runtime, _tasks: tasks };
        town.begin(time);
        town.publish();
        town
    }

    fn begin(&mut self, time: u64) {
        let policy = self.policy();
        for name in self.names() {
            let genesis = Genesis { party: [3; 16], role: self.logs[&name].kind, charter: self.charter.hash() };
            self.say(name, time, LogEntry::Genesis(genesis));
            if !matches!(name, LogName::Desk(_)) {
                let relation = PolicyRelation::Looser;
                let effective = Timestamp(time);
                let leaf = PolicyLeaf { owner: OWNER, old: None, new: policy, relation, signers: 1, effective };
                self.say(name, time, LogEntry::Policy(leaf));
            }
        }
    }

    fn policy(&self) -> [u8; 32] {
        self.charter.charter().policy
    }

    pub fn names(&self) -> Vec<LogName> {
        self.logs.keys().copied().collect()
    }

    /// Writes one leaf.
    pub fn say(&mut self, name: LogName, time: u64, entry: LogEntry) {
        let log = self.logs.get_mut(&name).unwrap();
        let origin = log.log.origin().as_str().to_owned();
        let leaf = Stamped::new(entry, log.kind, &origin, Timestamp(time), &mut SystemRng).unwrap();
        log.log.append(leaf).map(drop).unwrap();
    }

    /// Writes any bytes as a leaf.
    pub fn say_bytes(&mut self, name: LogName, time: u64, bytes: &[u8]) {
        self.logs.get_mut(&name).unwrap().log.append(Raw { bytes: bytes.to_vec(), time }).map(drop).unwrap();
    }

    /// Publishes every log's head, confirmed now by all.
    pub fn publish(&mut self) {
        for name in self.names() {
            self.publish_one(name, now(), &[1, 2, 3]);
        }
    }

    /// Publishes one log's head, confirmed at a moment by these keepers (but its own) and the library.
    pub fn publish_one(&mut self, name: LogName, time: u64, by: &[u8]) {
        let log = self.logs.get_mut(&name).unwrap();
        let head = log.log.head().clone();
        let mut lines = vec![library().cosign(head.checkpoint(), time).unwrap()];
        for place in by.iter().filter(|place| name != keeper(**place)) {
            lines.push(witness(*place).cosign(head.checkpoint(), time).unwrap());
        }
        log.log.publish(&head, &lines).unwrap();
    }

    /// A keeper shows as its record the newest head of a log of another town, which it confirmed.
    pub fn record(&self, place: u8, name: LogName, other: &Self) {
        let head = other.logs[&name].log.head();
        let line = witness(place).cosign(head.checkpoint(), now()).unwrap();
        let mut lines = head.note().signatures().to_vec();
        lines.push(line);
        let note = lockplate_log::SignedNote::new(head.note().text(), lines).unwrap();
        let folder = self.folder.path().join(format!("records-k{place}"));
        std::fs::create_dir_all(&folder).unwrap();
        let id = lockplate_store::witness_files::record_id(head.checkpoint().origin());
        write(&folder.join(id), &note.to_bytes());
    }

    /// A keeper shows that it refused the newest head of a log of another town, beside that of this one: both are of one size.
    pub fn refuse(&self, place: u8, name: LogName, other: &Self) {
        let (one, two) = (self.logs[&name].log.head(), other.logs[&name].log.head());
        assert_eq!(one.checkpoint().size(), two.checkpoint().size());
        let note = |head: &lockplate_log::SignedCheckpoint| String::from_utf8(head.to_bytes()).unwrap();
        let key = self.charter.charter().log(&name).unwrap().key.to_string();
        let notes = [note(one), note(two)];
        let fork = serde_json::json!({ "schema": "lockplate/evidence/1", "what": "fork", "log": key, "seen": 0, "notes": notes });
        let shown = serde_json::json!({ "frozen": true, "forks": [fork] });
        let file = self.refused_file(place, name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        write(&file, shown.to_string().as_bytes());
    }

    /// What a keeper shows of a log that it refused.
    pub fn refused(&self, place: u8, name: LogName) -> Vec<u8> {
        std::fs::read(self.refused_file(place, name)).unwrap()
    }

    fn refused_file(&self, place: u8, name: LogName) -> PathBuf {
        let id = lockplate_store::witness_files::record_id(self.logs[&name].log.head().checkpoint().origin());
        self.folder.path().join(format!("records-k{place}")).join(id + ".evidence")
    }

    /// The public folder of a log.
    pub fn public(&self, name: LogName) -> &Path {
        &self.logs[&name].public
    }

    /// Lets a log's server show another folder; an empty path is nothing at all.
    pub fn show(&self, name: LogName, public: &Path) {
        *self.shown[&name].lock().unwrap() = public.to_path_buf();
    }

    /// Address of a party.
    pub fn address(&self, name: LogName) -> String {
        self.charter.charter().log(&name).unwrap().base_url.to_owned()
    }

    pub fn hash(&self) -> String {
        self.charter.hash().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What a person types.
    pub fn url(&self) -> String {
        format!("{}/#{}", self.address(LogName::Recorder), self.hash())
    }

    pub fn charter_file(&self) -> PathBuf {
        let file = self.folder.path().join("charter.auth");
        write(&file, self.charter.bytes());
        file
    }

    /// A search that went as it should: allowed by three keepers at `time`, answered by two, disclosed.
    pub fn good_search(&mut self, request: u8, time: u64) {
        for place in 1..=KEEPERS {
            self.request(keeper(place), request, time);
        }
        for place in 1..=2 {
            self.evaluation(keeper(place), request, time + 2);
        }
        self.disclosure(request, time + 4);
    }

    pub fn request(&mut self, name: LogName, request: u8, time: u64) {
        let leaf = RequestLeaf {
            request: [request; 32],
            owner: OWNER,
            requester: EASTPORT,
            on_behalf_of: EASTPORT,
            officer: [4; 10],
            action: Action::Search,
            purpose: Purpose::StolenVehicle,
            basis: Basis::ReasonableSuspicion,
            assurance: Assurance::None,
            judicial: false,
            emergency: false,
            authorisation: None,
            elements: 2,
            window_days: 7,
            epochs_allowed: 4,
            epochs_refused: 0,
            decision: RequestDecision::Allow,
            rules: BTreeSet::from(["base.search".to_owned()]),
            obligations: Some(Obligations { approvers: 0, retain_days: 30, notice_days: 180, confirm_visual: true }),
            policy: self.policy(),
            engine: "cedar-policy 4.14.1".to_owned(),
            embargo: Timestamp(time + 180 * 86_400),
            sd: SaltedDigests::<SD_REQUEST>::new((0..16).map(|byte| [byte; 32]).collect()).unwrap(),
            sd_alg: SdAlgorithm::Sha256,
            escrow: Vec::new(),
        };
        self.say(name, time, LogEntry::Request(Box::new(leaf)));
    }

    pub fn evaluation(&mut self, name: LogName, request: u8, time: u64) {
        let leaf = EvaluationLeaf { request: [request; 32], grant: GRANT, epochs: 4, elements: 2 };
        self.say(name, time, LogEntry::Evaluation(leaf));
    }

    pub fn disclosure(&mut self, request: u8, time: u64) {
        let (request, outcome) = ([request; 32], Outcome::None);
        let leaf = DisclosureLeaf { request, grant: GRANT, owner: OWNER, cells: 0, others: 0, outcome };
        self.say(DESK, time, LogEntry::Disclosure(leaf));
    }

    /// Runs the program in an empty folder of its own.
    pub fn run(&self, line: &[&str]) -> Said {
        let at = self.folder.path().join(format!("at-{:016x}", rand_core::Rng::next_u64(&mut SystemRng)));
        std::fs::create_dir_all(&at).unwrap();
        let done = command().args(line).current_dir(&at).output().unwrap();
        Said {
            code: done.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: String::from_utf8_lossy(&done.stderr).into_owned(),
            at,
        }
    }

    pub const fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }
}

/// What the program said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
    /// Its working folder.
    pub at: PathBuf,
}

impl Said {
    /// Its one document.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A document a line.
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "tests start real processes")]
pub fn command() -> Command {
    let mut command = Command::new(BINARY);
    command.stdin(Stdio::null());
    command
}

pub fn write(path: &Path, bytes: &[u8]) {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn charter(at: &dyn Fn(&str) -> (String, [u8; 32])) -> CharterFile {
    let state = State::parse("CT").unwrap();
    let agency = signer("alpr.millbrook.example/agency", 200);
    let office = |place: u8| signer(&format!("k{place}.example/keeper"), place);
    let keepers = (1..=KEEPERS).map(|place| {
        let (url, tls_pin) = at(&format!("k{place}"));
        KeeperEntry {
            index: KeeperIndex(place),
            legal_entity: format!("Office {place}"),
            name: format!("Keeper {place}"),
            key: office(place).verifier_key().clone(),
            opening_key: [place; OPENING_KEY_BYTES],
            log_key: log_signer(keeper(place)).verifier_key().clone(),
            witness_key: witness(place).verifier_key().clone(),
            url,
            tls_pin,
            human_keys: vec![[place + 100; 32]],
        }
    });
    let page = |id, name: &str, party: &str, desk_log| {
        let (url, tls_pin) = at(party);
        AgencyPage { id, name: name.to_owned(), state, level: Level::Local, desk_log, url, tls_pin }
    };
    let (url, tls_pin) = at("millbrook");
    let charter = Charter {
        v: VersionOne,
        kind: CharterKind::Charter,
        owner: Owner { id: OWNER, name: "Millbrook Police Department".to_owned(), state, level: Level::Local },
        archive_kind: ArchiveKind::Police,
        agency_key: agency.verifier_key().clone(),
        archive: ArchiveEntry { url, tls_pin, log_key: log_signer(LogName::Recorder).verifier_key().clone() },
        recorders: vec![RecorderEntry { id: RecorderId([2; 16]), key: [70; 32] }],
        keepers: keepers.collect(),
        threshold: 2,
        auditors: vec![],
        trust: vec![],
        policy: Bundle::shipped(state).digest(),
        policy_signers: vec![signer("clerk", 210).verifier_key().clone()],
        policy_quorum: 1,
        epoch_seconds: 3_600,
        retention_seconds: 21 * 86_400,
        opening_keep_seconds: OPENING_KEEP_SECONDS_MIN,
        extract_entries_max: 1_000_000,
        accounts_max: 0,
        accept_key_files: AcceptKeyFiles::Own,
        accept_attested: true,
        witnesses: vec![WitnessEntry {
            name: "Public Library".to_owned(),
            operator: "Millbrook Public Library".to_owned(),
            key: library().verifier_key().clone(),
            url: "https://library.example".to_owned(),
            tls_pin: [9; 32],
            kind: WitnessKind::Witness,
        }],
        outside_witnesses: 0,
        keeper_leaves: LeafWait::Cosigned,
        agency_leaves: LeafWait::Durable,
        agencies: vec![
            page(OWNER, "Millbrook Police Department", "millbrook", None),
            page(EASTPORT, "Eastport Police", "eastport", Some(log_signer(DESK).verifier_key().clone())),
        ],
        audit_percent: 5,
    };
    let mut lines = vec![charter.sign(&agency).unwrap()];
    lines.extend((1..=KEEPERS).map(|place| charter.sign(&office(place)).unwrap()));
    CharterFile::assemble(&charter, lines).unwrap()
}

/// Serves one folder as a log at the address of a party, with that party's TLS key, until dropped.
pub fn serve(runtime: &tokio::runtime::Runtime, key: &Path, url: &str, prefix: &str, public: &Path) -> Tasks {
    let identity = TlsIdentity::load_or_create(key).unwrap();
    let tls = TlsMode::Pinned(identity.server_config().unwrap());
    let addr = url.trim_start_matches("https://").parse().unwrap();
    let tasks = Tasks::new();
    let _entered = runtime.enter();
    let server = runtime.block_on(Server::bind(ListenOn { addr, tls }, Limits::default())).unwrap();
    server.serve(routes(prefix, LogDoor::new(public.to_path_buf(), None)), &tasks);
    tasks
}

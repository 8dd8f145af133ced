//! Searches from file to disclosure: three keepers, an agency with recorder, archive and desk, real sealers, on loopback TLS.
//! Keeper 2 and the archive stand behind doors that hold their keys and can lie.

mod keep;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::charter::{AcceptKeyFiles, CharterFile, KeeperEntry, LeafWait};
use lockplate_core::entry::{DisclosureLeaf, Leaf, LogEntry, Outcome, parse_leaf, request_outcome};
use lockplate_core::epoch::EpochClose;
use lockplate_core::filing::{DeskCall, DeskCallKind};
use lockplate_core::keeper::Verdict;
use lockplate_core::open::Evaluation;
use lockplate_core::plate::{Jurisdiction, Plate};
use lockplate_core::read::{Motion, Read, ReadFlags, TimeQuality, Vehicle};
use lockplate_core::sign::{Signed, SigningKey};
use lockplate_core::vocabulary::{ArchiveKind, Basis, Offence, Purpose, Role, State};
use lockplate_node::agency::{self, Agency, AgencyConfig, AgencySettings};
use lockplate_node::api::{
    B64, BucketsAsked, CulpritNamed, DeskFiled, DeskLooked, DeskState, DeskStatus, DisclosureLogged, DisclosureMade,
    Done, EpochList, Evaluated,
};
use lockplate_node::client::{CallLimits, PeerClient, PeerError, PeerTrust};
use lockplate_node::clock::TestClock;
use lockplate_node::founding::{
    AgencyCard, AgencyFiles, AgencyParty, CharterTerms, KeeperFiles, KeeperParty, PlateOrdered, SignedPaper,
    WarrantOrder, agency_trust_entry, assemble, court_trust_entry, draft_charter, found_agency, found_keeper,
    make_note_key, sign_as_agency, sign_as_keeper, sign_warrant, statement_signer,
};
use lockplate_node::http::{Limits, ListenOn, Server, TlsMode};
use lockplate_node::keeper::{self, KeeperConfig, KeeperSettings, admin};
use lockplate_node::officers::Roster;
use lockplate_node::problem::{Problem, ProblemKind};
use lockplate_node::recorder::{PlacedRead, Placement, Sealed, SealerProgram};
use lockplate_node::rng::SystemRng;
use lockplate_node::search::{Asked, EMBARGO_S, Fetched, Liar, Mode, Officer, SearchFault, Searcher, desk_limits};
use lockplate_node::settings;
use lockplate_node::shutdown::{ExitKind, Tasks};
use lockplate_node::tls::TlsIdentity;
use lockplate_policy::{Bundle, CedarPolicy};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::ports::free_port;
use crate::town_clock::TownClock;

/// 2026-11-22T12:00:00Z.
const NOW: u64 = 1_795_348_800;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
/// Shorter than the 21 days of the law, so that what is destroyed is not refused for its age.
const RETENTION: u64 = 7 * DAY;
const PLATE: &str = "AB12345";
const NOBODY: &str = "ZZ00001";
const PASSCODE: &str = "correct horse";
const JUDGE: &str = "judge.court.example";
const PATIENCE: Duration = Duration::from_secs(90);

/// Path and honest answer to what is told instead.
type Trick = Box<dyn Fn(&str, Bytes) -> Bytes + Send + Sync>;

/// A door with the key of the party behind it.
struct Front {
    backend: PeerClient,
    trick: Mutex<Option<Trick>>,
    /// So many of the next requests for buckets meet a store that is away.
    away: Mutex<u32>,
    posted: Mutex<Vec<(String, Bytes)>>,
}

impl Front {
    async fn open(address: SocketAddr, key: &Path, backend: SocketAddr, tasks: &Tasks) -> Arc<Self> {
        let identity = TlsIdentity::load_or_create(key).unwrap();
        let limits = CallLimits { body_bytes: 64 << 20, ..CallLimits::default() };
        let trust = PeerTrust::Pinned(identity.pin());
        let backend = PeerClient::new(&format!("https://{backend}"), trust, limits).unwrap();
        let front =
            Arc::new(Self { backend, trick: Mutex::default(), away: Mutex::default(), posted: Mutex::default() });
        let on = ListenOn { addr: address, tls: TlsMode::Pinned(identity.server_config().unwrap()) };
        let server = Server::bind(on, Limits::default()).await.unwrap();
        server.serve(Router::new().fallback(pass).with_state(Arc::clone(&front)), tasks);
        front
    }

    fn lie(&self, trick: impl Fn(&str, Bytes) -> Bytes + Send + Sync + 'static) {
        *self.trick.lock().unwrap() = Some(Box::new(trick));
    }

    fn be_honest(&self) {
        *self.trick.lock().unwrap() = None;
    }

    /// The last body that was posted to a path with this end.
    fn posted(&self, end: &str) -> (String, Bytes) {
        self.posted.lock().unwrap().iter().rev().find(|(path, _)| path.ends_with(end)).unwrap().clone()
    }

    /// How many buckets each request so far asked for.
    fn buckets_asked(&self) -> Vec<usize> {
        let posted = self.posted.lock().unwrap();
        let asked = posted.iter().filter(|(path, _)| path == "/v1/buckets");
        asked.map(|(_, body)| serde_json::from_slice::<BucketsAsked>(body).unwrap().buckets.len()).collect()
    }
}

async fn pass(Shared(front): Shared<Arc<Front>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).unwrap();
    let query: Vec<_> = query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let body = to_bytes(body, 16 << 20).await.unwrap();
    if parts.method == Method::POST {
        front.posted.lock().unwrap().push((path.clone(), body.clone()));
    }
    if path == "/v1/buckets" {
        let mut away = front.away.lock().unwrap();
        if *away > 0 {
            *away -= 1;
            return Problem::new(ProblemKind::Unavailable).into_response();
        }
    }
    let ask = async || {
        if parts.method == Method::POST {
            let json = HeaderValue::from_static("application/json");
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
            front.backend.post_with(&path, headers, body.clone()).await
        } else {
            front.backend.get_bytes(&path, &query).await
        }
    };
    let mut answer = ask().await;
    // A kept connection of before a restart is found closed when it is used.
    for _again in 0..3 {
        if matches!(answer, Err(PeerError::Unreachable)) {
            answer = ask().await;
        }
    }
    match answer {
        Ok(honest) => {
            let told = match &*front.trick.lock().unwrap() {
                Some(trick) => trick(&path, honest),
                None => honest,
            };
            Body::from(told).into_response()
        }
        Err(PeerError::Problem(problem)) => problem.into_response(),
        Err(_transport) => Problem::new(ProblemKind::Unavailable).into_response(),
    }
}

/// The buckets of an answer to `POST /v1/buckets`.
fn frames(mut answer: &[u8]) -> Vec<Vec<u8>> {
    let mut buckets = Vec::new();
    while let Some((length, rest)) = answer.split_first_chunk() {
        let (bucket, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
        buckets.push(bucket.to_vec());
        answer = rest;
    }
    buckets
}

fn joined(buckets: &[Vec<u8>]) -> Bytes {
    let framed = |bucket: &Vec<u8>| [&u32::try_from(bucket.len()).unwrap().to_be_bytes(), &**bucket].concat();
    buckets.iter().flat_map(framed).collect()
}

struct Town {
    folder: TempDir,
    clock: Arc<TestClock>,
    charter: CharterFile,
    card: AgencyCard,
    files: AgencyFiles,
    keeper_files: Vec<KeeperFiles>,
    keeper_settings: Vec<KeeperSettings>,
    keepers: Vec<Option<Tasks>>,
    settings: AgencySettings,
    agency: Option<Agency>,
    officer: Officer,
    supervisor: SigningKey,
    archive: Arc<Front>,
    keeper_2: Arc<Front>,
    doors: Tasks,
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
}

impl Town {
    /// Four reads in two closed hours: two of the plate, two of others.
    async fn new() -> Self {
        let mut town = Self::found().await;
        town.start_keepers(&[0, 1, 2]).await;
        Box::pin(town.start_agency()).await;
        let reads = vec![
            late(PLATE, NOW - 3 * HOUR + 60, 1),
            late("CD67890", NOW - 3 * HOUR + 61, 1),
            late(PLATE, NOW - 2 * HOUR + 70, 2),
            late("EF13579", NOW - 2 * HOUR + 71, 2),
        ];
        let sealed = super::agency::seal(town.agency.as_ref().unwrap(), reads).await;
        assert_eq!(sealed, [Sealed::Stored; 4]);
        town.agency.as_ref().unwrap().recorder().unwrap().late_done().await.unwrap();
        let told = async {
            let db = rusqlite::Connection::open(town.folder.path().join("agency/agency.db")).unwrap();
            let sql = "SELECT (SELECT count(*) FROM told), 3 * (SELECT count(*) FROM epoch WHERE state = 3)";
            loop {
                let (told, all): (i64, i64) =
                    db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap_or((0, 1));
                if told == all && told >= 6 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("keepers are told of the closes");
        town
    }

    async fn found() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("agency/keys")).unwrap();
        let files = AgencyFiles::in_folder(&path("agency/keys"));
        let (public, private) = (free_port(), free_port());
        let party = AgencyParty {
            name: "Millbrook Police Department".to_owned(),
            ori: String::new(),
            state: "CT".to_owned(),
            level: "local".to_owned(),
            law_enforcement: true,
            host: "alpr.example".to_owned(),
            url: format!("https://{public}"),
            owner: true,
        };
        let card = found_agency(&files, &party, None, &mut SystemRng).unwrap();
        write(&path("card.json"), &serde_json::to_vec(&card).unwrap());
        let (mut cards, mut keeper_files, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for place in 1..=3_u8 {
            let keys = path(&format!("keeper-{place}/keys"));
            std::fs::create_dir_all(&keys).unwrap();
            let own = free_port();
            let shown = if place == 2 { free_port() } else { own };
            let party = KeeperParty {
                name: format!("Keeper {place}"),
                legal_entity: format!("Office {place}"),
                host: format!("k{place}.example"),
                url: format!("https://{shown}"),
            };
            let files = KeeperFiles::in_folder(&keys);
            let human = path(&format!("human-{place}.pem"));
            cards.push(found_keeper(&files, &[human], &party, &mut SystemRng).unwrap());
            keeper_files.push(files);
            addresses.push((own, shown));
        }
        let judge = make_note_key(&path("judge.pem"), JUDGE, &mut SystemRng).unwrap();
        let (from, until) = (Timestamp(NOW - DAY), Timestamp(NOW + 300 * DAY));
        let policy = CedarPolicy::load(&Bundle::shipped(State::parse("CT").unwrap())).unwrap();
        let terms = CharterTerms {
            archive_kind: ArchiveKind::Police,
            threshold: 2,
            epoch_seconds: HOUR,
            retention_seconds: RETENTION,
            opening_keep_seconds: 366 * DAY,
            extract_entries_max: 1_000_000,
            accounts_max: 0,
            accept_key_files: AcceptKeyFiles::Own,
            accept_attested: true,
            trust: vec![
                agency_trust_entry(&card, from, until).unwrap(),
                court_trust_entry("Judge 17", "Superior Court", judge, from, until),
            ],
            policy: lockplate_core::facts::AccessPolicy::digest(&policy),
            policy_signers: vec![make_note_key(&path("policy.pem"), "clerk.example", &mut SystemRng).unwrap()],
            policy_quorum: 1,
            auditors: Vec::new(),
            audit_percent: 5,
            witnesses: Vec::new(),
            outside_witnesses: 0,
            keeper_leaves: LeafWait::Cosigned,
            agency_leaves: LeafWait::Durable,
            agencies: Vec::new(),
        };
        let draft = draft_charter(&card, &cards, terms).unwrap();
        let mut lines = vec![sign_as_agency(&draft, &files).unwrap().to_string()];
        lines.extend(keeper_files.iter().map(|files| sign_as_keeper(&draft, files).unwrap().1.to_string()));
        let charter = assemble(&draft, &lines).unwrap();
        write(&path("charter.auth"), charter.bytes());
        let keeper_settings = addresses.iter().zip(1..).map(|((own, _), place)| {
            let text = format!(
                "data = 'keeper-{place}'\ncharter = 'charter.auth'\nplace = {place}\n[listen]\naddress = '{own}'\n\
                 [destruction]\nevery_seconds = 1"
            );
            let config: KeeperConfig = settings::parse(&path("keeper.toml"), &text).unwrap();
            KeeperSettings::try_from((path("keeper.toml").as_path(), config)).unwrap()
        });
        let keeper_settings = keeper_settings.collect();
        let text = format!(
            "data = 'agency'\n[listen]\naddress = '{private}'\n[recorder]\ncharter = 'charter.auth'\n\
             prekeys_target = 12\nprekeys_low = 6\n[desk]\ncard = 'card.json'"
        );
        let config: AgencyConfig = settings::parse(&path("agency.toml"), &text).unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let program = SealerProgram {
            path: std::env::current_exe().unwrap(),
            arguments: ["--exact", "agency::sealer_child", name, "--ignored", "--nocapture"].map(str::to_owned).into(),
        };
        let settings = AgencySettings::try_from((path("agency.toml").as_path(), config)).unwrap().with_sealer(program);
        let officer = Officer {
            key: SigningKey::random(&mut SystemRng),
            agency: charter.charter().owner.id,
            passcode: Some(Zeroizing::new(PASSCODE.to_owned())),
            seconds: Vec::new(),
        };
        let roster = Roster::at(&path("agency/officers.json"));
        let (key, trained) = (officer.key.verify_key().0, Timestamp(NOW + 100 * DAY));
        roster.add_officer(&key, trained, &BTreeSet::new(), Some(PASSCODE), &mut SystemRng).unwrap();
        let supervisor = SigningKey::random(&mut SystemRng);
        let roles = BTreeSet::from([Role::Supervisor]);
        roster.add_officer(&supervisor.verify_key().0, trained, &roles, None, &mut SystemRng).unwrap();
        let doors = Tasks::new();
        let archive = Front::open(public, &files.tls, private, &doors).await;
        let (own, shown) = addresses[1];
        let keeper_2 = Front::open(shown, &keeper_files[1].tls, own, &doors).await;
        Self {
            clock: Arc::new(TestClock::new(i64::try_from((NOW + 600) * 1_000).unwrap())),
            keepers: vec![None, None, None],
            agency: None,
            folder,
            charter,
            card,
            files,
            keeper_files,
            keeper_settings,
            settings,
            officer,
            supervisor,
            archive,
            keeper_2,
            doors,
        }
    }

    async fn start_keeper(&mut self, place: usize) {
        self.begin_keeper(place).await.ready().await.unwrap();
    }

    /// It witnesses others, and waits for the witnesses of its own log.
    async fn begin_keeper(&mut self, place: usize) -> keeper::Started {
        let tasks = Tasks::new();
        let started =
            keeper::start(self.keeper_settings[place].clone(), TownClock::over(&self.clock), &tasks).await.unwrap();
        self.keepers[place] = Some(tasks);
        started
    }

    async fn start_keepers(&mut self, places: &[usize]) {
        let mut started = Vec::new();
        for place in places {
            started.push(self.begin_keeper(*place).await);
        }
        for mut keeper in started {
            keeper.ready().await.unwrap();
        }
    }

    async fn stop_keeper(&mut self, place: usize) {
        self.keepers[place].take().unwrap().finish(Duration::from_secs(20)).await.unwrap();
    }

    async fn start_agency(&mut self) {
        self.agency = Some(agency::start(self.settings.clone(), self.clock.clone(), &Tasks::new()).await.unwrap());
    }

    async fn stop_agency(&mut self) {
        self.agency.take().unwrap().end().await.unwrap();
    }

    async fn end(mut self) {
        self.stop_agency().await;
        for tasks in self.keepers.into_iter().flatten() {
            tasks.finish(Duration::from_secs(20)).await.unwrap();
        }
        self.doors.finish(Duration::from_secs(20)).await.unwrap();
    }

    fn pending_folder(&self) -> PathBuf {
        self.folder.path().join("pending")
    }

    fn pending_files(&self, tail: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.pending_folder()) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.to_str().unwrap().ends_with(tail)).collect()
    }

    fn public(&self) -> PeerClient {
        let archive = &self.charter.charter().archive;
        PeerClient::new(&archive.url, PeerTrust::Pinned(archive.tls_pin), desk_limits()).unwrap()
    }

    /// A new one each time, as each command is a process of its own.
    fn searcher(&self) -> Searcher {
        Searcher::new(self.charter.clone(), self.public(), self.pending_folder(), TownClock::over(&self.clock)).unwrap()
    }

    fn ask(&self, plate: &str) -> Asked {
        Asked {
            plate: Zeroizing::new(plate.to_owned()),
            state: Jurisdiction::parse("US-CT"),
            spellings: Mode::Fold,
            purpose: Purpose::StolenVehicle,
            basis: Basis::None,
            case_number: "26-1234".to_owned(),
            offence: Offence::Felony,
            offence_text: "larceny of a motor vehicle".to_owned(),
            facts: "The owner reported the grey van stolen from the yard this morning.".to_owned(),
            emergency: None,
            hold: false,
            from: Timestamp(NOW - DAY),
            to: Timestamp(NOW),
            on_behalf_of: None,
            authorisation: None,
            disclosures: Vec::new(),
            valid_for_s: DAY,
            embargo_s: EMBARGO_S,
        }
    }

    async fn file(&self, asked: &Asked) -> [u8; 32] {
        self.searcher().file(&self.officer, asked, &mut SystemRng).await.unwrap().request_digest
    }

    async fn fetch(&self, digest: &[u8; 32], wait: Duration) -> Result<Fetched, SearchFault> {
        self.searcher().fetch(&self.officer, digest, wait, &mut |_| {}).await
    }

    async fn search(&self, asked: &Asked) -> Result<Fetched, SearchFault> {
        let digest = self.file(asked).await;
        self.fetch(&digest, PATIENCE).await
    }

    async fn status(&self, digest: &[u8; 32], wanted: DeskState) -> DeskStatus {
        let wait = async {
            loop {
                let status = self.searcher().status(&self.officer, digest).await.unwrap();
                if status.state == wanted {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the request gets there in time")
    }

    /// Leaves of a published log as a stranger reads them.
    async fn leaves(client: &PeerClient, role: &str) -> Vec<Vec<u8>> {
        let note = match client.get_bytes(&format!("/log/{role}/checkpoint"), &[]).await {
            // Begun, and not confirmed yet.
            Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::NotFound => return Vec::new(),
            note => note.unwrap(),
        };
        let size: u16 = String::from_utf8(note.to_vec()).unwrap().lines().nth(1).unwrap().parse().unwrap();
        let path = format!("/log/{role}/tile/entries/000.p/{size}");
        let bundle = client.get_bytes(&path, &[]).await.unwrap();
        lockplate_log::tile::parse_bundle(&bundle, size).unwrap().into_iter().map(<[u8]>::to_vec).collect()
    }

    async fn keeper_leaves(&self, place: usize) -> Vec<Vec<u8>> {
        let entry: &KeeperEntry = &self.charter.charter().keepers[place];
        let client = PeerClient::new(&entry.url, PeerTrust::Pinned(entry.tls_pin), CallLimits::default()).unwrap();
        Self::leaves(&client, "keeper").await
    }

    /// How the keepers' logs say that a request ended, one line a leaf.
    async fn outcomes(&self, place: usize, digest: &[u8; 32]) -> Vec<bool> {
        let leaves = self.keeper_leaves(place).await;
        let of_request = leaves.iter().filter_map(|leaf| request_outcome(leaf));
        of_request.filter(|outcome| outcome.request == *digest).map(|outcome| outcome.allowed).collect()
    }

    /// What a keeper's log holds of requests and their evaluations: epochs come and go meanwhile.
    async fn asked_leaves(&self, place: usize) -> usize {
        let leaves = self.keeper_leaves(place).await;
        let about_requests = leaves.iter().filter(|leaf| match parse_leaf(leaf).unwrap() {
            Leaf::Known(stamped) => matches!(stamped.entry(), LogEntry::Request(_) | LogEntry::Evaluation(_)),
            Leaf::Unknown(_) => false,
        });
        about_requests.count()
    }

    /// The disclosures of the desk's published log, once there are so many: it is published when witnesses have confirmed it.
    async fn disclosures(&self, count: usize) -> Vec<(u64, DisclosureLeaf)> {
        let wait = async {
            loop {
                let leaves = Self::leaves(&self.public(), "desk").await;
                let disclosures = disclosures_in(&leaves);
                if disclosures.len() >= count {
                    return disclosures;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the disclosures are published in time")
    }

    fn warrant(&self) -> SignedPaper {
        let owner = self.card.id.clone();
        let order = WarrantOrder {
            kind: "search-warrant".to_owned(),
            issuer: JUDGE.to_owned(),
            court: "Superior Court".to_owned(),
            docket: "26-1".to_owned(),
            valid_from: "2026-11-22T00:00:00Z".to_owned(),
            valid_until: "2026-12-22T00:00:00Z".to_owned(),
            requester: owner.clone(),
            officer: String::new(),
            owners: vec![owner],
            plates: vec![PlateOrdered { state: "US-CT".to_owned(), text: PLATE.to_owned() }],
            window: ("2026-11-01T00:00:00Z".to_owned(), "2026-11-23T00:00:00Z".to_owned()),
            purpose: "crimeInvestigation".to_owned(),
            offence: "felony".to_owned(),
            max_requests: 3,
            pdf: String::new(),
            supersedes: String::new(),
        };
        sign_warrant(&order, &self.folder.path().join("judge.pem"), Timestamp(NOW), &mut SystemRng).unwrap()
    }
}

fn disclosures_in(leaves: &[Vec<u8>]) -> Vec<(u64, DisclosureLeaf)> {
    let known = leaves.iter().zip(0..).filter_map(|(leaf, at)| match parse_leaf(leaf).unwrap() {
        Leaf::Known(stamped) => match stamped.entry() {
            LogEntry::Disclosure(leaf) => Some((at, leaf.clone())),
            _ => None,
        },
        Leaf::Unknown(_) => None,
    });
    known.collect()
}

pub(crate) fn late(plate: &str, captured_at: u64, camera: u32) -> PlacedRead {
    let captured_at = i64::try_from(captured_at * 1_000).unwrap();
    let read = Read {
        source: 1,
        engine_ref: None,
        camera,
        captured_at,
        source_time: None,
        time_quality: TimeQuality::Exact,
        plate: Plate::parse(plate).unwrap(),
        jurisdiction: Jurisdiction::parse("US-CT"),
        jur_conf: Some(990),
        jurisdiction_trusted: true,
        conf: Some(980),
        vehicle: Vehicle::default(),
        motion: Motion::Unknown,
        frames: 1,
        flags: ReadFlags::default(),
    };
    PlacedRead { read, place: Placement::Late { captured_at } }
}

/// Files below a folder, keys of the town excepted, that hold `text` in clear.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if path.is_file() {
            // A part of a database, or of a segment, may go while it is looked for.
            let bytes = match std::fs::read(&path) {
                Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.unwrap(),
            };
            if bytes.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes())) {
                found.push(path);
            }
        }
    }
    found
}

fn lied(answer: Result<Fetched, SearchFault>) -> (Liar, PathBuf) {
    match answer {
        Err(fault @ SearchFault::Lied { .. }) => {
            assert_eq!(fault.exit_kind(), ExitKind::Lied);
            let SearchFault::Lied { who, what, evidence } = fault else { panic!("a lie") };
            (who, evidence.unwrap_or_else(|| panic!("no evidence: {what}")))
        }
        other => panic!("a lie that was not noticed: {other:?}"),
    }
}

/// Evidence is for strangers: the request as filed, what was shown, and nothing that opens anything.
fn check_evidence(town: &Town, path: &Path, about: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], "lockplate/search-evidence/1");
    assert_eq!(document["about"], about);
    assert_eq!(document["charter"], hex::encode(town.charter.hash()));
    assert!(document["request"].as_str().unwrap().len() > 100 && !document["shown"].is_null());
    assert!(!text.contains(PLATE));
    document
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filed_looked_at_and_fetched_by_three_processes_opened_exactly_and_disclosed_once() {
    let mut town = Town::new().await;
    let asked = town.ask(PLATE);
    let filed = town.searcher().file(&town.officer, &asked, &mut SystemRng).await.unwrap();
    let digest = filed.request_digest;
    assert_eq!((filed.window.from, filed.window.to, filed.window.moved), (asked.from, asked.to, false));
    assert_eq!(filed.elements, 2, "one spelling under the state and under none");

    // Between the calls there is one sealed file, and no plate on any disk of the town.
    assert_eq!(town.pending_files("").len(), 1);
    assert_eq!(town.searcher().pending().unwrap(), [digest]);
    assert_eq!(files_with(town.folder.path(), PLATE), [] as [PathBuf; 0]);
    let status = town.status(&digest, DeskState::Answered).await;
    assert_eq!(status.keepers.len(), 3);

    // The digest stands in public logs: whoever has it and not the officer's key has found nothing.
    let other = SigningKey::random(&mut SystemRng);
    let time = Timestamp(NOW + 600);
    let of = |key: &SigningKey, digest, kind| B64(key.sign(DeskCall { request_digest: digest, kind, time }).to_bytes());
    let look = DeskCallKind::Look;
    for (digest, call) in [
        (digest, of(&other, digest, look)),
        (digest, of(&town.officer.key, digest, DeskCallKind::Session)),
        (digest, of(&town.officer.key, [1; 32], look)),
        (digest, B64(Vec::new())),
        ([1; 32], of(&town.officer.key, [1; 32], look)),
    ] {
        let path = format!("/v1/desk/requests/{}", hex::encode(digest));
        let named = CulpritNamed { keeper: 1, call: B64(call.0.clone()) };
        let (door, looked) = (format!("{path}/look"), DeskLooked { call });
        let looked = town.public().post_json::<_, DeskStatus>(&door, &looked, None).await.unwrap_err();
        assert!(matches!(&looked, PeerError::Problem(p) if p.kind() == ProblemKind::NotFound), "{looked:?}");
        let told = town.public().post_json::<_, Done>(&format!("{path}/culprits"), &named, None).await.unwrap_err();
        assert!(matches!(&told, PeerError::Problem(p) if p.kind() == ProblemKind::NotFound), "{told:?}");
    }

    let fetched = town.fetch(&digest, PATIENCE).await.unwrap();
    let lines: Vec<_> = fetched.found.iter().map(|one| (one.time_ms, one.camera, one.text.as_str())).collect();
    let at = |seconds: u64| i64::try_from(seconds * 1_000).unwrap();
    assert_eq!(lines, [(at(NOW - 3 * HOUR + 60), 1, PLATE), (at(NOW - 2 * HOUR + 70), 2, PLATE)]);
    assert!(fetched.found.iter().all(|one| (one.why_text(), one.why_state()) == ("same text", "state the same")));
    assert_eq!((fetched.cells, fetched.others, fetched.epochs, fetched.epochs_destroyed), (2, 0, 2, 0));
    assert!(fetched.culprits.is_empty() && fetched.register.len() >= 2);
    let leaf = DisclosureLeaf {
        request: digest,
        grant: fetched.grant_digest,
        owner: town.charter.charter().owner.id,
        cells: 2,
        others: 0,
        outcome: Outcome::Found,
    };
    assert_eq!(town.disclosures(1).await, [(fetched.disclosure.unwrap(), leaf)]);
    assert_eq!(town.pending_files(""), [] as [PathBuf; 0], "opened and forgotten");
    assert!(matches!(town.fetch(&digest, PATIENCE).await, Err(SearchFault::File(_))));
    for place in 0..3 {
        assert!(town.outcomes(place, &digest).await.iter().all(|allowed| *allowed));
    }

    let filing = town.archive.posted("/v1/desk/requests").1;
    let first_session = serde_json::from_slice::<DeskFiled>(&filing).unwrap().session;

    // A plate that nobody saw: every epoch opened, and that is a result.
    let none = town.search(&town.ask(NOBODY)).await.unwrap();
    assert!(none.is_no_match() && none.epochs == 2 && none.cells == 0 && none.disclosure.is_some());
    assert_eq!(none.to_json()["result"], "no match, checked");
    assert_eq!(town.disclosures(2).await[1].1.outcome, Outcome::None);

    // The same bytes again, whoever lost an answer: the same answers, no leaf more.
    let filing = town.archive.posted("/v1/desk/requests").1;
    let body: DeskFiled = serde_json::from_slice(&filing).unwrap();
    town.status(&none.request_digest, DeskState::Disclosed).await;
    let mut before = Vec::new();
    for place in 0..3 {
        before.push(town.asked_leaves(place).await);
        assert_eq!(town.outcomes(place, &none.request_digest).await, [true], "one leaf a keeper");
    }
    for _again in 0..2 {
        let status: DeskStatus = town.public().post_json("/v1/desk/requests", &body, None).await.unwrap();
        assert_eq!(status.state, DeskState::Filing, "whoever posts it again learns nothing");
        assert!(status.keepers.is_empty() && status.grant.is_none() && status.evaluations.is_empty());
    }
    let (path, told) = town.archive.posted("/disclosure");
    let told: DisclosureMade = serde_json::from_slice(&told).unwrap();
    let again: DisclosureLogged = town.public().post_json(&path, &told, None).await.unwrap();
    assert_eq!(Some(again.register), none.disclosure);
    let other = DisclosureMade { outcome: "found".to_owned(), ..told };
    let conflict = town.public().post_json::<_, DisclosureLogged>(&path, &other, None).await;
    assert!(matches!(&conflict, Err(PeerError::Problem(p)) if p.kind() == ProblemKind::Conflicting), "{conflict:?}");

    // The desk ends between a leaf and its row: the repeat finds the leaf.
    town.stop_agency().await;
    let db = rusqlite::Connection::open(town.folder.path().join("agency/desk.db")).unwrap();
    assert_eq!(db.execute("UPDATE request SET register = NULL", []).unwrap(), 2);
    drop(db);
    town.start_agency().await;
    let told = DisclosureMade { outcome: "none".to_owned(), ..other };
    let again: DisclosureLogged = town.public().post_json(&path, &told, None).await.unwrap();
    assert_eq!(Some(again.register), none.disclosure);
    assert_eq!(town.disclosures(2).await.len(), 2);
    for (place, size) in before.into_iter().enumerate() {
        assert_eq!(town.asked_leaves(place).await, size, "keeper {place} logged nothing more");
    }

    // A repeat without a session takes none away; one with a session of another request is refused.
    let sessions = |db: &str| {
        let db = rusqlite::Connection::open(town.folder.path().join(db)).unwrap();
        db.query_row("SELECT count(*) FROM request WHERE session IS NOT NULL", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let bare = DeskFiled { session: None, ..serde_json::from_slice(&filing).unwrap() };
    let _status: DeskStatus = town.public().post_json("/v1/desk/requests", &bare, None).await.unwrap();
    assert_eq!(sessions("agency/desk.db"), 2);
    let swapped = DeskFiled { session: first_session, ..bare };
    let refused = town.public().post_json::<_, DeskStatus>("/v1/desk/requests", &swapped, None).await;
    assert!(matches!(&refused, Err(PeerError::Problem(p)) if p.kind() == ProblemKind::NotSignedIn), "{refused:?}");

    // A desk takes no disclosure of a plate, and no stranger's request.
    let attached = DeskFiled { attachments: vec![B64(b"a disclosure".to_vec())], ..body };
    let refused = town.public().post_json::<_, DeskStatus>("/v1/desk/requests", &attached, None).await;
    assert!(matches!(&refused, Err(PeerError::Problem(p)) if p.kind() == ProblemKind::Malformed), "{refused:?}");
    town.officer.key = SigningKey::random(&mut SystemRng);
    let stranger = town.searcher().file(&town.officer, &asked, &mut SystemRng).await;
    assert!(matches!(stranger, Err(SearchFault::NotSignedIn)), "{stranger:?}");
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_by_rule_on_every_register_and_after_retention_gone() {
    let town = Town::new().await;
    let unlawful = Asked { purpose: Purpose::CivilImmigration, basis: Basis::AdministrativeWarrant, ..town.ask(PLATE) };
    let digest = town.file(&unlawful).await;
    let fault = town.fetch(&digest, PATIENCE).await.unwrap_err();
    assert_eq!(fault.exit_kind(), ExitKind::Refused);
    let SearchFault::Refused(refusals) = fault else { panic!("{fault:?}") };
    assert!(refusals.len() >= 2);
    for refusal in &refusals {
        let rule = refusal.reasons.iter().find(|reason| reason.rule == "base.civil-immigration").unwrap();
        assert!(rule.cite.is_some() && rule.fix.is_some(), "{rule:?}");
        let leaf =
            &town.keeper_leaves(usize::from(refusal.keeper) - 1).await[usize::try_from(refusal.register).unwrap()];
        assert_eq!(request_outcome(leaf).unwrap().request, digest);
    }
    let everywhere = async {
        for place in 0..3 {
            while town.outcomes(place, &digest).await != [false] {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, everywhere).await.expect("the refusal stands in every keeper's log");

    // A passcode that is not the officer's files nothing.
    let officer = Officer {
        key: SigningKey::from_seed(&town.officer.key.to_seed()),
        agency: town.officer.agency,
        passcode: Some(Zeroizing::new("battery staple".to_owned())),
        seconds: Vec::new(),
    };
    let bad = town.searcher().file(&officer, &town.ask(PLATE), &mut SystemRng).await;
    assert!(matches!(bad, Err(SearchFault::NotSignedIn)), "{bad:?}");

    // The retention is over by both clocks: the keys are gone, and that is not "no match".
    let early = town.file(&town.ask(PLATE)).await;
    town.status(&early, DeskState::Answered).await;
    town.clock.advance(Duration::from_secs(RETENTION));
    let destroyed = async {
        for place in 0..3 {
            loop {
                let leaves = town.keeper_leaves(place).await;
                let gone = leaves.iter().filter(|leaf| match parse_leaf(leaf).unwrap() {
                    Leaf::Known(stamped) => matches!(stamped.entry(), LogEntry::ShareDestroyed(_)),
                    Leaf::Unknown(_) => false,
                });
                if gone.count() >= 2 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, destroyed).await.expect("shares are destroyed in time");
    let digest = town.file(&town.ask(PLATE)).await;
    let fault = town.fetch(&digest, PATIENCE).await.unwrap_err();
    assert!(matches!(fault, SearchFault::Gone), "{fault:?}");
    assert_eq!(fault.exit_kind().code(), 8);
    // Answered in time, fetched too late: the archive does not show those hours any more.
    let fault = town.fetch(&early, Duration::ZERO).await.unwrap_err();
    assert!(matches!(fault, SearchFault::Gone), "{fault:?}");
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_or_absent_keeper_is_named_and_done_without_and_two_are_too_many() {
    let mut town = Town::new().await;
    let key = statement_signer(&town.keeper_files[1].key).unwrap();
    town.keeper_2.lie(move |path, honest| {
        if path != "/v1/evaluations" {
            return honest;
        }
        let answer: Evaluated = serde_json::from_slice(&honest).unwrap();
        let mut wrong = Signed::<Evaluation>::from_bytes(&answer.evaluation.0).unwrap().claimed().clone();
        *wrong.sealed.last_mut().unwrap() ^= 1;
        let answer = Evaluated { evaluation: B64(key.sign(wrong).to_bytes()) };
        serde_json::to_vec(&answer).unwrap().into()
    });
    // The grant is of 1 and 2; 3 comes back when both have answered.
    town.stop_keeper(2).await;
    let digest = town.file(&town.ask(PLATE)).await;
    town.status(&digest, DeskState::Answered).await;
    town.start_keeper(2).await;
    town.archive.lie(|path, honest| if path == "/v1/buckets" { Bytes::new() } else { honest });
    assert_eq!(town.fetch(&digest, PATIENCE).await.unwrap_err().exit_kind(), ExitKind::Unavailable);
    // All three answers lie at the desk by now: the wrong one costs no further look, and a desk that cannot be told of it no result.
    town.archive.lie(|path, honest| if path.ends_with("/culprits") { Bytes::new() } else { honest });
    let fetched = town.fetch(&digest, Duration::ZERO).await.unwrap();
    town.archive.be_honest();
    assert_eq!(fetched.found.len(), 2);
    let [culprit] = fetched.culprits.as_slice() else { panic!("{:?}", fetched.culprits) };
    assert_eq!((culprit.keeper, culprit.name.as_str()), (2, "Keeper 2"));
    let document = check_evidence(&town, culprit.evidence.as_ref().unwrap(), "keeper-2");
    assert_eq!(document["shown"]["keeper"], 2);

    // The liar and an absent one: no result, and who lied is said.
    town.stop_keeper(2).await;
    let digest = town.file(&town.ask(PLATE)).await;
    town.status(&digest, DeskState::Answered).await;
    let (who, evidence) = lied(town.fetch(&digest, Duration::from_secs(3)).await);
    assert_eq!(who, Liar::Keepers(vec![2]));
    check_evidence(&town, &evidence, "keeper-2");
    town.keeper_2.be_honest();

    // One keeper down: two suffice.
    let fetched = town.search(&town.ask(PLATE)).await.unwrap();
    assert!(fetched.found.len() == 2 && fetched.culprits.is_empty());
    let outcomes: Vec<_> = town.disclosures(3).await.into_iter().map(|(_, leaf)| leaf.outcome).collect();
    assert_eq!(outcomes, [Outcome::Found, Outcome::Failed, Outcome::Found]);

    // Two down: unavailable, and the request stands until they are back.
    town.stop_keeper(1).await;
    let digest = town.file(&town.ask(PLATE)).await;
    let fault = town.fetch(&digest, Duration::from_secs(2)).await.unwrap_err();
    // The one that is left is confirmed by nobody, so it tells nothing either.
    assert!(matches!(fault, SearchFault::Unavailable(_) | SearchFault::Waiting(_)), "{fault:?}");
    assert_eq!(fault.exit_kind(), ExitKind::Unavailable);
    town.start_keepers(&[1, 2]).await;
    let fetched = town.fetch(&digest, PATIENCE).await.unwrap();
    assert_eq!(fetched.found.len(), 2);
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_keeper_answered_is_the_desks_and_names_no_keeper() {
    let mut town = Town::new().await;
    // The grant is of 1 and 2; 3 is never asked.
    town.stop_keeper(2).await;
    let digest = town.file(&town.ask(PLATE)).await;
    let status = town.status(&digest, DeskState::Answered).await;
    assert_eq!(status.evaluations.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2]);
    let other = town.file(&town.ask(PLATE)).await;
    let of_other = town.status(&other, DeskState::Answered).await.evaluations[1].1.clone();
    type Lie = Arc<dyn Fn(&mut Vec<(u8, B64)>) + Send + Sync>;
    let with_answers = |lie: Lie| {
        town.archive.lie(move |path, honest| {
            if !path.ends_with("/look") {
                return honest;
            }
            let mut status: DeskStatus = serde_json::from_slice(&honest).unwrap();
            lie(&mut status.evaluations);
            serde_json::to_vec(&status).unwrap().into()
        });
    };

    // Instead of an answer that is needed: made up, another keeper's, with a signature that somebody changed, and the same keeper's to
    // another grant.
    let lies: [Lie; 4] = [
        Arc::new(|answers| answers[1] = (3, B64(b"an answer".to_vec()))),
        Arc::new(|answers| answers[1] = (3, answers[0].1.clone())),
        Arc::new(|answers| *answers[1].1.0.last_mut().unwrap() ^= 1),
        Arc::new(move |answers| answers[1].1 = of_other.clone()),
    ];
    for lie in lies {
        with_answers(lie);
        let fault = town.fetch(&digest, Duration::ZERO).await.unwrap_err();
        assert!(matches!(fault, SearchFault::Lied { who: Liar::Desk, evidence: None, .. }), "{fault:?}");
    }

    // Beside two good ones, and in front of one of the same keeper: they suffice, whatever else the desk shows.
    with_answers(Arc::new(|answers| {
        for place in [1, 3] {
            answers.insert(0, (place, B64(b"an answer".to_vec())));
        }
    }));
    let fetched = town.fetch(&digest, Duration::ZERO).await.unwrap();
    assert!(fetched.found.len() == 2 && fetched.culprits.is_empty(), "{:?}", fetched.culprits);
    assert_eq!(town.pending_files(".json"), [] as [PathBuf; 0], "there is nothing to prove of any keeper");
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_answers_another_grant_is_said_to_and_is_asked_again() {
    let mut town = Town::new().await;
    town.stop_keeper(2).await;
    let earlier = town.file(&town.ask(PLATE)).await;
    let of_earlier = town.status(&earlier, DeskState::Answered).await.evaluations[1].1.clone();
    town.keeper_2.lie(move |path, honest| {
        if path != "/v1/evaluations" {
            return honest;
        }
        serde_json::to_vec(&Evaluated { evaluation: of_earlier.clone() }).unwrap().into()
    });
    let digest = town.file(&town.ask(PLATE)).await;
    let status = town.status(&digest, DeskState::Unavailable).await;
    let problems: Vec<_> = status.keepers.iter().map(|keeper| keeper.problem.as_deref()).collect();
    assert_eq!(problems, [None, Some("keeper-misbehaved"), Some("unreachable")]);
    assert_eq!(status.evaluations.len(), 1, "what is no answer is not shown as one");
    town.keeper_2.be_honest();
    let fetched = town.fetch(&digest, PATIENCE).await.unwrap();
    assert_eq!(fetched.found.len(), 2);
    assert_eq!(town.status(&digest, DeskState::Disclosed).await.keepers[1].problem, None);
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_archive_makes_up_is_a_lie_with_evidence_and_never_no_match() {
    let town = Town::new().await;
    let digest = town.file(&town.ask(PLATE)).await;
    town.status(&digest, DeskState::Answered).await;
    let window = [("from", &*(NOW - DAY).to_string()), ("to", &*NOW.to_string())];
    let listed: EpochList = town.public().get_json("/v1/epochs", &window).await.unwrap();
    assert_eq!(listed.epochs.len(), 2);
    let with_buckets = |lie: fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>| {
        town.archive
            .lie(move |path, honest| if path == "/v1/buckets" { joined(&lie(frames(&honest))) } else { honest });
    };

    // A byte of a bucket; in a cell and in its proof.
    let in_a_cell = |mut buckets: Vec<Vec<u8>>| {
        let middle = buckets[0].len() / 2;
        buckets[0][middle] ^= 1;
        buckets
    };
    let in_its_proof = |mut buckets: Vec<Vec<u8>>| {
        *buckets[0].last_mut().unwrap() ^= 1;
        buckets
    };
    for lie in [in_a_cell, in_its_proof] {
        with_buckets(lie);
        let (who, evidence) = lied(town.fetch(&digest, PATIENCE).await);
        assert_eq!(who, Liar::Owner);
        check_evidence(&town, &evidence, "archive");
    }

    // The bucket of another hour, which stands under that hour's root; and no bucket at all.
    with_buckets(|mut buckets| {
        buckets.swap(0, 2);
        buckets
    });
    assert_eq!(lied(town.fetch(&digest, PATIENCE).await).0, Liar::Owner);
    with_buckets(|mut buckets| {
        buckets[1].clear();
        buckets
    });
    assert_eq!(lied(town.fetch(&digest, PATIENCE).await).0, Liar::Owner);

    // Fewer than were asked for, and one cut off: not looked at, and that is not "no match".
    with_buckets(|mut buckets| {
        buckets.pop();
        buckets
    });
    assert_eq!(town.fetch(&digest, PATIENCE).await.unwrap_err().exit_kind(), ExitKind::Unavailable);
    town.archive.lie(|path, honest| if path == "/v1/buckets" { honest.slice(..honest.len() - 1) } else { honest });
    assert_eq!(town.fetch(&digest, PATIENCE).await.unwrap_err().exit_kind(), ExitKind::Unavailable);
    // One bucket an answer: twice more it is asked for what has not come, and then no further.
    with_buckets(|mut buckets| {
        buckets.truncate(1);
        buckets
    });
    assert_eq!(town.fetch(&digest, PATIENCE).await.unwrap_err().exit_kind(), ExitKind::Unavailable);
    assert!(town.archive.buckets_asked().ends_with(&[4, 3, 2]), "{:?}", town.archive.buckets_asked());
    // Its store was away: it is asked once more, and then no further. The two spellings of an hour stand together.
    town.archive.be_honest();
    *town.archive.away.lock().unwrap() = 2;
    assert_eq!(town.fetch(&digest, PATIENCE).await.unwrap_err().exit_kind(), ExitKind::Unavailable);
    let other = town.file(&town.ask(PLATE)).await;
    town.status(&other, DeskState::Answered).await;
    *town.archive.away.lock().unwrap() = 1;
    assert_eq!(town.fetch(&other, PATIENCE).await.unwrap().found.len(), 2);
    assert!(town.archive.buckets_asked().ends_with(&[2, 4, 4, 4, 4]), "{:?}", town.archive.buckets_asked());
    let asked: BucketsAsked = serde_json::from_slice(&town.archive.posted("/v1/buckets").1).unwrap();
    let epochs: Vec<_> = asked.buckets.iter().map(|asked| asked.epoch.0.clone()).collect();
    assert!(epochs[0] == epochs[1] && epochs[1] != epochs[2] && epochs[2] == epochs[3]);
    // Away once, and the next two answers break off.
    let third = town.file(&town.ask(PLATE)).await;
    town.status(&third, DeskState::Answered).await;
    let breaks = AtomicU32::new(2);
    town.archive.lie(move |path, honest| {
        let breaks = || breaks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if path == "/v1/buckets" && breaks() { joined(&frames(&honest)[..1]) } else { honest }
    });
    *town.archive.away.lock().unwrap() = 1;
    assert_eq!(town.fetch(&third, PATIENCE).await.unwrap().found.len(), 2);
    assert!(town.archive.buckets_asked().ends_with(&[4, 4, 3, 2]), "{:?}", town.archive.buckets_asked());
    town.archive.be_honest();

    // A close signed by the recorder that is not the one in its register.
    let recorder = statement_signer(&town.files.recorder).unwrap();
    town.archive.lie(move |path, honest| {
        if path != "/v1/epochs" {
            return honest;
        }
        let mut list: EpochList = serde_json::from_slice(&honest).unwrap();
        for epoch in &mut list.epochs {
            let close = Signed::<EpochClose>::from_bytes(&epoch.close.0).unwrap().claimed().clone();
            epoch.close = B64(recorder.sign(EpochClose { segment_root: [7; 32], ..close }).to_bytes());
        }
        serde_json::to_vec(&list).unwrap().into()
    });
    let (who, evidence) = lied(town.fetch(&digest, PATIENCE).await);
    assert_eq!(who, Liar::Owner);
    let document = check_evidence(&town, &evidence, "register");
    assert_eq!(document["shown"]["epochs"].as_array().unwrap().len(), 2);

    // Hours withheld that the keepers granted.
    town.archive.lie(move |path, honest| {
        if path != "/v1/epochs" {
            return honest;
        }
        let mut list: EpochList = serde_json::from_slice(&honest).unwrap();
        list.epochs.pop();
        serde_json::to_vec(&list).unwrap().into()
    });
    let fault = town.fetch(&digest, PATIENCE).await.unwrap_err();
    assert!(matches!(fault, SearchFault::Lied { who: Liar::Owner, .. }), "{fault:?}");

    // It comes to its senses, though its server ends once in the middle of the third bucket: the last two are asked for again. The
    // same request is opened, and the register says both.
    let cut = AtomicBool::new(false);
    town.archive.lie(move |path, honest| {
        if path != "/v1/buckets" || cut.swap(true, Ordering::Relaxed) {
            return honest;
        }
        let begun = joined(&frames(&honest)[..3]);
        begun.slice(..begun.len() - 1)
    });
    let fetched = town.fetch(&digest, PATIENCE).await.unwrap();
    assert_eq!((fetched.found.len(), fetched.disclosure.is_some()), (2, true));
    assert!(town.archive.buckets_asked().ends_with(&[4, 2]), "{:?}", town.archive.buckets_asked());
    let outcomes: Vec<_> = town.disclosures(4).await.into_iter().map(|(_, leaf)| leaf.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Found, Outcome::Found, Outcome::Found]);
    assert!(town.searcher().pending().unwrap().is_empty());
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_court_paper_waits_for_a_person_while_the_desk_is_started_anew() {
    let mut town = Town::new().await;
    let paper = town.warrant();
    let asked = Asked {
        purpose: Purpose::CrimeInvestigation,
        basis: Basis::SearchWarrant,
        authorisation: Some(paper.auth.clone()),
        disclosures: paper.disclosures.iter().cloned().map(Zeroizing::new).collect(),
        ..town.ask(PLATE)
    };
    let digest = town.file(&asked).await;
    let status = town.status(&digest, DeskState::WaitingForHuman).await;
    let waiting = status.keepers.iter().position(|keeper| {
        keeper.answer.as_ref().is_some_and(|answer| answer.state == lockplate_node::api::AnswerState::Waiting)
    });
    let place = waiting.unwrap();
    let fault = town.fetch(&digest, Duration::ZERO).await.unwrap_err();
    assert!(matches!(fault, SearchFault::Waiting(DeskState::WaitingForHuman)), "{fault:?}");
    assert_eq!(fault.exit_kind(), ExitKind::Unavailable);
    assert_eq!(files_with(&town.folder.path().join("agency"), PLATE), [] as [PathBuf; 0]);
    assert_eq!(files_with(&town.folder.path().join("agency"), &paper.disclosures[0]), [] as [PathBuf; 0]);
    assert_eq!(files_with(&town.pending_folder(), &paper.disclosures[0]), [] as [PathBuf; 0]);

    town.stop_agency().await;
    let socket = town.keeper_settings[place].admin_socket();
    let human = statement_signer(&town.folder.path().join(format!("human-{}.pem", place + 1))).unwrap();
    let prefix = hex::encode(&digest[..4]);
    admin::decide(&socket, &prefix, Verdict::Approve, &human, Timestamp(NOW + 600)).await.unwrap();
    town.start_agency().await;
    let fetched = town.fetch(&digest, PATIENCE).await.unwrap();
    assert_eq!(fetched.found.len(), 2);
    assert!(fetched.register.iter().any(|(keeper, ..)| usize::from(*keeper) == place + 1));
    for place in 0..3 {
        assert!(town.outcomes(place, &digest).await.len() <= 1, "asked once, however often it was filed");
    }

    // Without its disclosure the paper shows nothing, and the keepers say no.
    let blind = Asked { disclosures: Vec::new(), ..asked };
    let fault = town.search(&blind).await.unwrap_err();
    assert!(matches!(fault, SearchFault::Refused(_)), "{fault:?}");
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keepers_hold_one_directory_and_a_suspension_reaches_each() {
    let town = Town::new().await;
    let held = || -> BTreeSet<Vec<u8>> {
        (1..=3)
            .map(|place| {
                let folder = town.folder.path().join(format!("keeper-{place}"));
                let db = rusqlite::Connection::open(folder.join("keeper.db")).unwrap();
                db.query_row("SELECT object FROM directory", [], |row| row.get(0)).unwrap_or_default()
            })
            .collect()
    };
    let one = async |old: &[u8]| {
        let one = async {
            loop {
                let held: Vec<_> = held().into_iter().collect();
                if let [object] = held.as_slice()
                    && !object.is_empty()
                    && object != old
                {
                    return object.clone();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), one).await.expect("one directory at all keepers")
    };
    let mut last = one(&[]).await;
    let roster = Roster::at(&town.folder.path().join("agency/officers.json"));
    for active in [false, true, false] {
        roster.set_active(&town.officer.key.verify_key().0, active).unwrap();
        last = one(&last).await;
    }
    town.end().await;
}

//! A town of real processes for the tests of faults and secrets: one agency and three keepers of three legal entities, founded
//! as people found them, on loopback ports, each a process of the binary under test. Nothing here is a double: what a test
//! kills, fills or searches is what runs in an office.

pub mod dice;
pub mod lan;
pub mod liar;
pub mod process;
pub mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lockplate_core::Timestamp;
use lockplate_core::charter::{AcceptKeyFiles, CharterFile, LeafWait};
use lockplate_core::entry::{Leaf, LogEntry, parse_leaf};
use lockplate_core::facts::AccessPolicy as _;
use lockplate_core::id::AgencyId;
use lockplate_core::vocabulary::{ArchiveKind, DeclarationName, State};
use lockplate_node::api::EpochList;
use lockplate_node::client::{CallLimits, PeerClient, PeerError, PeerTrust};
use lockplate_node::founding::{
    AgencyCard, AgencyFiles, AgencyParty, AuditorFiles, CharterTerms, DECLARATION_FILE, KeeperFiles, KeeperParty,
    KeeperTerms, OfficerTerms, agency_trust_entry, assemble, auditor_entry, auditor_trust_entry, court_trust_entry,
    custodian_trust_entry, declaration_text, draft_charter, found_agency, found_auditor, found_keeper, keeper_toml,
    make_case_key, make_note_key, make_person_key, officer_toml, sign_as_agency, sign_as_keeper,
};
use lockplate_node::intake::{TokenHash, token_text};
use lockplate_node::rng::SystemRng;
use lockplate_policy::{Bundle, CedarPolicy};
use serde_json::{Value, json};
use tempfile::TempDir;

use lan::Lan;
use process::Process;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_lockplate");
/// Keepers of the town, threshold 2.
pub const KEEPERS: usize = 3;
/// Longest wait for something that takes a second or two: slow machines, two tests at a time.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Name of the records custodian's key.
pub const CUSTODIAN: &str = "records.millbrook.example";
/// Name of a judge's key.
pub const JUDGE: &str = "judge.district-court.example";
/// His court.
pub const COURT: &str = "District Court of Invented County";
const DAY: u64 = 86_400;
/// Key id and secret key of whoever may write the archive's bucket.
pub const WRITER: (&str, &str) = ("writer", "writer-secret-of-the-test");
/// Of whoever may only read it.
pub const READER: (&str, &str) = ("reader", "reader-secret-of-the-test");
/// Token of an operator.
pub const OPERATOR: [u8; 32] = [0xee; 32];
const PASSCODE: &str = "correct-horse-battery";

/// What a test wants otherwise than usual.
pub struct Terms {
    /// Length of an epoch, seconds.
    pub epoch_seconds: u64,
    /// How often the flag that makes processes talk stands on their command lines.
    pub verbose: usize,
    /// A folder for the agency's data on another file system.
    pub agency_data: Option<PathBuf>,
    /// Sources a format: each may send 200 payloads a second.
    pub sources: usize,
    /// Keeper 3 listens without TLS at another port: a front door of the test's own stands at its address.
    pub front_door: bool,
    /// State of the agency, which chooses the policy.
    pub state: &'static str,
    /// Retention after the end of an epoch, seconds.
    pub retention_seconds: u64,
    /// Folder in memory for the recorder.
    pub memory: Option<PathBuf>,
    /// Section of the archive's bucket, without its head.
    pub bucket: Option<String>,
    /// The agency listens without TLS at another port: a front of the test's own stands at its address, before it and two archive servers.
    pub agency_front: bool,
    /// What the archive is for. An operator's recorder has an account list.
    pub archive_kind: ArchiveKind,
    /// Other agencies of the charter: folder, state, level. They have keys and no process.
    pub others: Vec<(&'static str, &'static str, &'static str)>,
    /// Name of the agency's machine: two towns of one test are two agencies.
    pub host: &'static str,
    /// Agencies of the charter that have a town of their own.
    pub neighbours: Vec<AgencyCard>,
    /// Reads of an epoch before any was closed: so many buckets it has.
    pub cells_expected: u64,
    /// Formats of the sources, each with so many.
    pub formats: &'static [(&'static str, &'static str)],
    /// Entries of a hot list that the charter allows.
    pub extract_entries_max: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            epoch_seconds: 4,
            verbose: 1,
            agency_data: None,
            sources: 1,
            front_door: false,
            state: "CT",
            retention_seconds: 21 * DAY,
            memory: None,
            bucket: None,
            agency_front: false,
            archive_kind: ArchiveKind::Police,
            others: Vec::new(),
            host: "alpr.millbrook.example",
            neighbours: Vec::new(),
            cells_expected: 2_000,
            formats: &FORMATS,
            extract_entries_max: 1_000_000,
        }
    }
}

/// The town.
pub struct Town {
    /// Everything on disk; removed at the end.
    pub folder: TempDir,
    /// The charter.
    pub charter: CharterFile,
    /// Keepers, in charter order; none while one is down.
    pub keepers: [Option<Process>; KEEPERS],
    /// The agency, with its sealers as children.
    pub agency: Option<Process>,
    /// The real address of keeper 3 where a front door stands before it.
    pub behind: Option<SocketAddr>,
    /// The real address of the agency where a front stands before it, and those of its archive servers.
    pub behind_front: [SocketAddr; 3],
    /// Listener of the cameras.
    pub lan_at: SocketAddr,
    card: AgencyCard,
    /// Cards of the other agencies.
    pub others: Vec<AgencyCard>,
    tokens: BTreeMap<String, String>,
    terms: Terms,
    founded_at: u64,
    asked_until: Option<u64>,
    runtime: tokio::runtime::Runtime,
    agency_peer: PeerClient,
    keeper_peers: Vec<PeerClient>,
    last_ms: i64,
    reads: u64,
}

/// A read that was answered with success: it must be found, whatever happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acknowledged {
    /// Plate asked for later.
    pub plate: String,
    /// Capture time, ms; unique in the town.
    pub at_ms: i64,
}

/// What `lockplate search` said.
#[derive(Debug)]
pub struct Searched {
    /// Exit code.
    pub code: i32,
    /// Its one document.
    pub document: Value,
    /// Standard error.
    pub stderr: String,
}

impl Searched {
    /// Capture times of the reads found, as text.
    pub fn times(&self) -> BTreeSet<String> {
        let found = self.document["found"].as_array().cloned().unwrap_or_default();
        found.iter().filter_map(|read| read["time"].as_str().map(str::to_owned)).collect()
    }
}

/// Now, ms since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a test compares with the time that real processes live in")]
pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A moment of the test's own clock.
#[expect(clippy::disallowed_methods, reason = "a test waits for real processes")]
pub fn moment() -> Instant {
    Instant::now()
}

/// Waits a little.
#[expect(clippy::disallowed_methods, reason = "a test waits for real processes")]
pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// A command, for tests.
#[expect(clippy::disallowed_methods, reason = "tests start real processes")]
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// Writes a file of a test.
pub fn write(path: &Path, bytes: &[u8]) {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
}

/// As [`write`], for the owner alone.
pub fn write_secret(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    write(path, bytes);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Polls until `is_so` or [`PATIENCE`] is over; says `what` was waited for in vain.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = moment();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        pause(50);
    }
}

/// True where a test that needs `tool` can run; otherwise says so loudly, and fails where CI promises that it is there.
pub fn has_tool(test: &str, tool: &str, there: bool) -> bool {
    #[expect(clippy::disallowed_methods, reason = "CI says by a variable that nothing may be skipped")]
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(there || !ci, "{test}: {tool} is missing, and in CI nothing is skipped");
    if !there {
        eprintln!("SKIPPED {test}: {tool} is missing on this machine");
    }
    there
}

/// Ports of the loopback that are free now, below the range from which the kernel takes the ports of outgoing connections.
/// Held together, so that no two are the same. Each test process has a block of ports to itself: it keeps listening at the
/// block's first one, so that a test in another process takes another block.
fn free_ports<const N: usize>() -> [SocketAddr; N] {
    static BLOCK: std::sync::OnceLock<TcpListener> = std::sync::OnceLock::new();
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(1);
    let first = BLOCK.get_or_init(|| {
        let blocks = (10_000..17_800_u16).step_by(300);
        blocks.filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).next().expect("a block of ports is free")
    });
    // Every town of this process begins elsewhere: a party keeps its port while it is down.
    let begin = first.local_addr().unwrap().port() + NEXT.fetch_add(20, std::sync::atomic::Ordering::Relaxed);
    let held: Vec<TcpListener> =
        (begin..20_000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).take(N).collect();
    core::array::from_fn(|at| held[at].local_addr().unwrap())
}

/// RFC 3339 of a moment in seconds.
fn time_text(seconds: u64) -> String {
    lockplate_core::json::time_text(Timestamp(seconds))
}

/// A moment as results show it.
pub fn shown(at_ms: i64) -> String {
    let whole = time_text(u64::try_from(at_ms.div_euclid(1_000)).unwrap());
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), at_ms.rem_euclid(1_000))
}

/// Formats that the town's sources send, with the name that their sources begin with and their engine.
pub const FORMATS: [(&str, &str); 4] =
    [("own", "own"), ("csv", "own"), ("openalpr", "rekor"), ("recognizer", "platerecognizer")];

impl Town {
    /// Founds a town and starts every process of it.
    pub fn start(terms: Terms) -> Self {
        let mut town = Self::found(terms);
        town.start_everything();
        town
    }

    /// Starts every process, adds officer and cameras, and waits until reads are sealed.
    pub fn start_everything(&mut self) {
        for place in 0..KEEPERS {
            self.start_keeper(place);
        }
        self.start_everything_but_keepers();
    }

    /// As [`Town::start_everything`], where the keepers run.
    pub fn start_everything_but_keepers(&mut self) {
        self.add_officer();
        self.start_agency();
        self.add_cameras();
        self.wait_sealing();
    }

    /// Keys, cards, charter and configurations; no process runs yet.
    pub fn found(terms: Terms) -> Self {
        let folder = tempfile::Builder::new().prefix("lockplate-town-").tempdir().unwrap();
        let root = folder.path();
        let [agency_at, lan_at, behind, k1, k2, k3, f1, f2, f3] = free_ports::<9>();
        let agency = root.join("agency");
        if let Some(data) = &terms.agency_data {
            std::fs::create_dir_all(&agency).unwrap();
            std::os::unix::fs::symlink(data, agency.join("data")).unwrap();
        }
        let data = agency.join("data");
        std::fs::create_dir_all(data.join("keys")).unwrap();
        let files = AgencyFiles::in_folder(&data.join("keys"));
        let party = AgencyParty {
            name: "Millbrook Police Department".to_owned(),
            ori: String::new(),
            state: terms.state.to_owned(),
            level: "local".to_owned(),
            law_enforcement: true,
            host: terms.host.to_owned(),
            url: format!("https://{agency_at}"),
            owner: true,
        };
        let card = found_agency(&files, &party, None, &mut SystemRng).unwrap();
        let mut cards = Vec::new();
        let mut keeper_files = Vec::new();
        for (place, address) in (1_u8..).zip([k1, k2, k3]) {
            let keys = root.join(format!("keeper-{place}/data/keys"));
            std::fs::create_dir_all(&keys).unwrap();
            let files = KeeperFiles::in_folder(&keys);
            let party = KeeperParty {
                name: format!("Keeper {place}"),
                legal_entity: format!("Office {place}"),
                host: format!("k{place}.example"),
                url: format!("https://{address}"),
            };
            let human = root.join(format!("people/human-{place}.pem"));
            std::fs::create_dir_all(root.join("people")).unwrap();
            cards.push(found_keeper(&files, &[human], &party, &mut SystemRng).unwrap());
            keeper_files.push(files);
        }
        let mut others = Vec::new();
        for (name, state, level) in &terms.others {
            let keys = root.join(name).join("data/keys");
            std::fs::create_dir_all(&keys).unwrap();
            let party = AgencyParty {
                name: (*name).to_owned(),
                state: (*state).to_owned(),
                level: (*level).to_owned(),
                host: format!("{name}.example"),
                url: format!("https://{name}.example"),
                ..party.clone()
            };
            others.push(found_agency(&AgencyFiles::in_folder(&keys), &party, None, &mut SystemRng).unwrap());
        }
        others.extend(terms.neighbours.iter().cloned());
        let founded_at = u64::try_from(now_ms() / 1_000).unwrap();
        let policy = CedarPolicy::load(&Bundle::shipped(State::parse(terms.state).unwrap())).unwrap();
        let (from, until) = (Timestamp(founded_at - 60), Timestamp(founded_at + 300 * DAY));
        let signer = make_note_key(&root.join("people/policy.pem"), "clerk.example", &mut SystemRng).unwrap();
        let records = make_note_key(&root.join("people/records.pem"), CUSTODIAN, &mut SystemRng).unwrap();
        let judge = make_note_key(&root.join("people/judge.pem"), JUDGE, &mut SystemRng).unwrap();
        let auditor_files = AuditorFiles::in_folder(&root.join("auditor"));
        std::fs::create_dir_all(root.join("auditor")).unwrap();
        let auditor = found_auditor(&auditor_files, "State Auditor", "auditor.example", &mut SystemRng).unwrap();
        let is_police = terms.archive_kind == ArchiveKind::Police;
        let charter_terms = CharterTerms {
            archive_kind: terms.archive_kind,
            threshold: 2,
            epoch_seconds: terms.epoch_seconds,
            retention_seconds: terms.retention_seconds,
            opening_keep_seconds: 366 * DAY,
            extract_entries_max: if is_police { terms.extract_entries_max } else { 0 },
            accounts_max: if is_police { 0 } else { 100 },
            accept_key_files: AcceptKeyFiles::Own,
            accept_attested: true,
            trust: vec![
                agency_trust_entry(&card, from, until).unwrap(),
                custodian_trust_entry("Records", AgencyId::parse(&card.id).unwrap(), records, from, until),
                auditor_trust_entry(&auditor, from, until).unwrap(),
                court_trust_entry("Judge of the trial", COURT, judge, from, until),
            ]
            .into_iter()
            .chain(others.iter().map(|card| agency_trust_entry(card, from, until).unwrap()))
            .collect(),
            policy: policy.digest(),
            policy_signers: vec![signer],
            policy_quorum: 1,
            auditors: vec![auditor_entry(&auditor).unwrap()],
            audit_percent: 5,
            witnesses: Vec::new(),
            outside_witnesses: 0,
            keeper_leaves: LeafWait::Cosigned,
            agency_leaves: LeafWait::Durable,
            agencies: others.clone(),
        };
        let draft = draft_charter(&card, &cards, charter_terms).unwrap();
        let mut lines = vec![sign_as_agency(&draft, &files).unwrap().to_string()];
        lines.extend(keeper_files.iter().map(|files| sign_as_keeper(&draft, files).unwrap().1.to_string()));
        let charter = assemble(&draft, &lines).unwrap();
        write(&agency.join("charter.auth"), charter.bytes());
        write(&agency.join("card.json"), serde_json::to_string(&card).unwrap().as_bytes());
        for (place, address) in (1_u8..).zip([k1, k2, k3]) {
            let home = root.join(format!("keeper-{place}"));
            let hidden = terms.front_door && place == 3;
            let keeper = KeeperTerms {
                place,
                listen: if hidden { behind } else { address },
                plain_loopback: hidden,
                destruction_every_seconds: 60,
            };
            write(&home.join("charter.auth"), charter.bytes());
            write(&home.join(DECLARATION_FILE), declaration_text(DeclarationName::Ct2614).as_bytes());
            write(&home.join("keeper.toml"), keeper_toml(&keeper).as_bytes());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let peer = |url: &str, pin| PeerClient::new(url, PeerTrust::Pinned(pin), CallLimits::default()).unwrap();
        let agency_peer = peer(&card.url, charter.charter().archive.tls_pin);
        let keeper_peers = charter.charter().keepers.iter().map(|entry| peer(&entry.url, entry.tls_pin)).collect();
        let mut town = Self {
            folder,
            charter,
            keepers: [None, None, None],
            agency: None,
            behind: terms.front_door.then_some(behind),
            behind_front: [f1, f2, f3],
            lan_at,
            card,
            others,
            tokens: BTreeMap::new(),
            terms,
            founded_at,
            asked_until: None,
            runtime,
            agency_peer,
            keeper_peers,
            last_ms: 0,
            reads: 0,
        };
        town.write_agency(if town.terms.agency_front { f1 } else { agency_at });
        town.write_officer();
        town
    }

    fn write_agency(&mut self, listen: SocketAddr) {
        let mut text = format!(
            "data = \"data\"\n\n[listen]\naddress = \"{listen}\"\n\n[keys]\nimport = \"keys/import.key\"\n\n\
             [recorder]\ncharter = \"charter.auth\"\nlan = \"{}\"\noverlap_seconds = 1\nlate_idle_seconds = 2\n\
             prekeys_target = 12\nprekeys_low = 6\ncells_expected = {}\n\n[desk]\n",
            self.lan_at, self.terms.cells_expected
        );
        if let Some(memory) = &self.terms.memory {
            text = text.replace("[recorder]\n", &format!("[recorder]\nmemory = \"{}\"\n", memory.display()));
        }
        if self.terms.agency_front {
            text = text.replace("\n\n[keys]", "\nplain_loopback = true\n\n[keys]");
        }
        if let Some(bucket) = &self.terms.bucket {
            text.push_str(&format!("\n[recorder.archive]\n{bucket}"));
            let credentials = |(id, secret): (&str, &str)| format!("{id}\n{secret}\n");
            write_secret(&self.data("agency").join("keys/archive.s3"), credentials(WRITER).as_bytes());
            for (place, listen) in (1..).zip(&self.behind_front[1..]) {
                let home = self.home(&format!("archive-{place}"));
                let toml = format!(
                    "charter = \"charter.auth\"\n\n[listen]\naddress = \"{listen}\"\nplain_loopback = true\n\n[bucket]\n{bucket}"
                );
                write(&home.join("archive.toml"), toml.as_bytes());
                write(&home.join("charter.auth"), self.charter.bytes());
                write_secret(&home.join("keys/archive.s3"), credentials(READER).as_bytes());
            }
        }
        if self.terms.archive_kind != ArchiveKind::Police {
            let people = self.home("people");
            let card = make_case_key(&people.join("billing.key"), "Billing", &mut SystemRng).unwrap();
            write(&people.join("billing.json"), serde_json::to_string(&card).unwrap().as_bytes());
            write_secret(&people.join("operator.token"), token_text(&OPERATOR).as_bytes());
            text.push_str(&format!(
                "\n[account]\nname = \"north-bridge\"\nfile = \"../people/accounts.csv\"\nbilling_key = \"../people/billing.json\"\n\
                 token_sha256 = \"{}\"\n",
                TokenHash::of(&OPERATOR).to_hex()
            ));
        }
        let mut number = 0_u16;
        for (name, engine) in self.terms.formats {
            for at in 0..self.terms.sources {
                number += 1;
                let token = core::array::from_fn(|at| number.to_be_bytes()[at % 2]);
                let source = format!("{name}-{at}");
                text.push_str(&format!(
                    "\n[[intake.source]]\nname = \"{source}\"\nengine = \"{engine}\"\ntoken_sha256 = \"{}\"\n\
                     zone = \"America/New_York\"\nlan = true\n",
                    TokenHash::of(&token).to_hex()
                ));
                self.tokens.insert(source, token_text(&token).to_string());
            }
        }
        write(&self.home("agency").join("agency.toml"), text.as_bytes());
        write_secret(&self.data("agency").join("keys/import.key"), format!("{}\n", "5c".repeat(32)).as_bytes());
    }

    fn write_officer(&self) {
        let home = self.home("officer");
        std::fs::create_dir_all(&home).unwrap();
        make_person_key(&home.join("officer.pem"), &mut SystemRng).unwrap();
        write(&home.join("charter.auth"), self.charter.bytes());
        write_secret(&home.join("passcode"), PASSCODE.as_bytes());
        let terms = OfficerTerms {
            charter: "charter.auth".to_owned(),
            charter_hash: self.charter.hash(),
            agency: self.card.id.clone(),
            desk: self.card.url.clone(),
            desk_pin: self.card.tls_pin.clone(),
            key: "officer.pem".to_owned(),
            passcode_file: Some("passcode".to_owned()),
            folder: "searches".to_owned(),
        };
        write(&home.join("officer.toml"), officer_toml(&terms).as_bytes());
    }

    /// Folder of a party.
    pub fn home(&self, party: &str) -> PathBuf {
        self.folder.path().join(party)
    }

    /// Data folder of a party.
    pub fn data(&self, party: &str) -> PathBuf {
        self.home(party).join("data")
    }

    /// Where the outputs of processes lie.
    pub fn traces(&self) -> PathBuf {
        self.home("traces")
    }

    fn verbose(&self) -> Vec<String> {
        vec!["--verbose".to_owned(); self.terms.verbose]
    }

    /// Command line of a role, without the program.
    pub fn role(&self, party: &str) -> Vec<String> {
        let verb = party.split('-').next().unwrap();
        let mut line = vec![verb.to_owned()];
        line.push("--config".to_owned());
        line.push(self.home(party).join(format!("{verb}.toml")).display().to_string());
        line.extend(self.verbose());
        line
    }

    /// Starts keeper `place` (from 0) and waits until it answers.
    pub fn start_keeper(&mut self, place: usize) {
        let party = format!("keeper-{}", place + 1);
        let process = Process::start(&party, BINARY, &self.role(&party), &self.traces(), &self.home(&party));
        self.keepers[place] = Some(process);
        if let (2, Some(behind)) = (place, self.behind) {
            wait_until("the hidden keeper answers", || std::net::TcpStream::connect(behind).is_ok());
        } else {
            let peer = self.keeper_peers[place].clone();
            self.ready(&party, &peer);
        }
    }

    /// Starts the agency and waits until it is alive; it seals a moment later.
    pub fn start_agency(&mut self) {
        let line = self.role("agency");
        self.start_agency_as(BINARY, &line);
    }

    /// As [`Town::start_agency`], by way of another program.
    pub fn start_agency_as(&mut self, program: &str, line: &[String]) {
        let process = Process::start("agency", program, line, &self.traces(), &self.home("agency"));
        self.agency = Some(process);
        let peer = self.agency_peer.clone();
        self.ready("agency", &peer);
    }

    fn ready(&mut self, party: &str, peer: &PeerClient) {
        let begun = moment();
        loop {
            if self.runtime.block_on(peer.get_bytes("/livez", &[])).is_ok() {
                return;
            }
            let process = match party {
                "agency" => self.agency.as_mut(),
                "keeper-1" => self.keepers[0].as_mut(),
                "keeper-2" => self.keepers[1].as_mut(),
                _ => self.keepers[2].as_mut(),
            };
            let process = process.unwrap();
            if let Some(code) = process.ended() {
                panic!("{party} ended with {code:?} instead of starting:\n{}", process.said());
            }
            assert!(begun.elapsed() < PATIENCE, "{party} does not answer:\n{}", process.said());
            pause(50);
        }
    }

    /// Starts archive server `place` (1 or 2) and waits until it is ready.
    pub fn start_archive_server(&self, place: usize) -> Process {
        let party = format!("archive-{place}");
        let mut process = Process::start(&party, BINARY, &self.role(&party), &self.traces(), &self.home(&party));
        let at = self.behind_front[place];
        let peer = PeerClient::new(&format!("http://{at}"), PeerTrust::PlainLoopback, CallLimits::default()).unwrap();
        wait_until("the archive server is ready", || {
            assert!(process.ended().is_none(), "{party} ended:\n{}", process.said());
            self.runtime.block_on(peer.get_bytes("/readyz", &[])).is_ok()
        });
        process
    }

    /// What the agency answers a stranger.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, PeerError> {
        self.runtime.block_on(self.agency_peer.get_bytes(path, &[])).map(|bytes| bytes.to_vec())
    }

    /// What the agency says of itself.
    pub fn readiness(&self) -> Value {
        serde_json::from_slice(&self.get("/readyz").unwrap()).unwrap()
    }

    /// Whether the agency says that it seals.
    pub fn seals(&self) -> bool {
        self.runtime.block_on(self.agency_peer.get_bytes("/readyz", &[])).is_ok()
    }

    /// Waits until the agency seals.
    pub fn wait_sealing(&mut self) {
        let begun = moment();
        while !self.seals() {
            let process = self.agency.as_mut().unwrap();
            assert!(process.ended().is_none(), "the agency ended:\n{}", process.said());
            assert!(begun.elapsed() < PATIENCE, "the agency does not seal:\n{}", process.said());
            pause(50);
        }
    }

    /// A task at the agency's command line; must succeed.
    fn at_the_agency(&self, task: &[&str]) {
        let config = self.home("agency").join("agency.toml");
        let done = command(BINARY).arg("agency").args(task).arg("--config").arg(&config).output().unwrap();
        assert!(done.status.success(), "agency {task:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A task at the agency's command line: its exit code and its one document.
    pub fn agency_says(&self, task: &[&str]) -> (i32, Value) {
        let config = self.home("agency").join("agency.toml");
        let done = command(BINARY).args(["--json", "agency"]).args(task).arg("--config").arg(&config).output().unwrap();
        let document = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
        (done.status.code().unwrap_or(-1), document)
    }

    fn add_cameras(&mut self) {
        let mut csv = String::from("key,place,lat,lon,group,source\n");
        for source in self.tokens.keys() {
            csv.push_str(&format!("7,Main Street,,,,{source}\nc1,North gate,,,,{source}\n"));
        }
        csv.push_str("file-1,Files,,,,\n");
        let file = self.home("agency").join("cameras.csv");
        write(&file, csv.as_bytes());
        self.at_the_agency(&["camera", "import", &file.display().to_string()]);
    }

    fn add_officer(&mut self) {
        let home = self.home("officer");
        let (key, passcode) = (home.join("officer.pem"), home.join("passcode"));
        let until = time_text(self.founded_at + 100 * DAY);
        self.at_the_agency(&[
            "officer",
            "add",
            "--key",
            &key.display().to_string(),
            "--trained-until",
            &until,
            "--passcode-file",
            &passcode.display().to_string(),
        ]);
    }

    /// A connection of a camera.
    pub fn lan(&self) -> Lan {
        Lan::new(self.lan_at)
    }

    /// Address that a source posts to.
    pub fn door(&self, source: &str) -> String {
        format!("/in/v1/{source}/{}", self.tokens[source])
    }

    /// A read in the own format, with a capture time that no other read has.
    pub fn read(&mut self, plate: &str) -> (Acknowledged, String) {
        self.last_ms = now_ms().max(self.last_ms + 1);
        self.reads += 1;
        let line = json!({
            "plate": plate, "camera": "c1", "captured_at": self.last_ms, "id": format!("n{}-{}", self.reads, self.last_ms),
            "conf": 0.93, "jurisdiction": format!("US-{}", self.terms.state), "jurisdiction_conf": 0.95,
        });
        (Acknowledged { plate: plate.to_owned(), at_ms: self.last_ms }, format!("{line}\n"))
    }

    /// Posts one read; what was acknowledged, if it was.
    pub fn post(&mut self, lan: &mut Lan, plate: &str) -> Result<Acknowledged, String> {
        let (read, line) = self.read(plate);
        let answer = lan.post(&self.door("own-0"), "application/x-ndjson", line.as_bytes());
        match answer {
            Ok((200, body)) => {
                let answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                let taken = answer["accepted"].as_u64().unwrap_or(0) + answer["duplicate"].as_u64().unwrap_or(0);
                if taken == 1 { Ok(read) } else { Err(format!("200 {answer}")) }
            }
            Ok((status, body)) => Err(format!("{status} {}", String::from_utf8_lossy(&body))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Posts `count` reads of the plates in turn; all must be acknowledged.
    pub fn post_all(&mut self, plates: &[&str], count: usize) -> Vec<Acknowledged> {
        let mut lan = self.lan();
        (0..count).map(|at| self.post(&mut lan, plates[at % plates.len()]).unwrap()).collect()
    }

    /// Posts reads for so long, one after another; what was acknowledged. Refusals and broken connections are what a test
    /// of faults makes, and are counted.
    pub fn post_for(&mut self, ms: u64, plates: &[&str]) -> (Vec<Acknowledged>, Vec<String>) {
        let mut lan = self.lan();
        let (begun, mut good, mut bad) = (moment(), Vec::new(), Vec::new());
        while begun.elapsed() < Duration::from_millis(ms) {
            match self.post(&mut lan, plates[(good.len() + bad.len()) % plates.len()]) {
                Ok(read) => {
                    good.push(read);
                    // Below the quota of a source, 200 payloads a second.
                    pause(6);
                }
                Err(error) => {
                    bad.push(error);
                    pause(20);
                }
            }
        }
        (good, bad)
    }

    /// Whole window of the town until now.
    fn window(&self) -> (u64, u64) {
        let length = self.terms.epoch_seconds;
        let now = u64::try_from(now_ms() / 1_000).unwrap();
        (self.founded_at / length * length, self.asked_until.unwrap_or(now) / length * length)
    }

    /// Searches from now on ask for nothing after the present epoch: a keeper that is down later has no share of what is dealt meanwhile.
    pub fn ask_for_nothing_later(&mut self) {
        let now = u64::try_from(now_ms() / 1_000).unwrap();
        self.asked_until = Some(now + self.terms.epoch_seconds);
    }

    /// Waits until every epoch that can hold a read taken up to now is closed and in the archive.
    pub fn wait_closed(&mut self) {
        let length = self.terms.epoch_seconds;
        let now = u64::try_from(now_ms() / 1_000).unwrap();
        let end = (now / length + 1) * length;
        let begun = moment();
        let mut last;
        loop {
            let over = u64::try_from(now_ms() / 1_000).unwrap() > end + 1;
            let (from, to) = (self.window().0.to_string(), end.to_string());
            let listed = self.runtime.block_on(
                self.agency_peer.get_json::<EpochList>("/v1/epochs", &[("from", from.as_str()), ("to", to.as_str())]),
            );
            match listed {
                Ok(list) if over && list.open == 0 && !list.epochs.is_empty() => return,
                Ok(list) => last = format!("{} closed, {} open", list.epochs.len(), list.open),
                Err(error) => last = error.to_string(),
            }
            let process = self.agency.as_mut().unwrap();
            assert!(process.ended().is_none(), "the agency ended:\n{}", process.said());
            let patience = PATIENCE + Duration::from_secs(length);
            assert!(begun.elapsed() < patience, "epochs are not closed ({last}):\n{}", process.said());
            pause(100);
        }
    }

    /// Number of epochs that the archive lists as closed, and open ones, in the window of the town.
    pub fn epochs(&self) -> EpochList {
        let (from, to) = self.window();
        let (from, to) = (from.to_string(), to.to_string());
        let query = [("from", from.as_str()), ("to", to.as_str())];
        self.runtime.block_on(self.agency_peer.get_json("/v1/epochs", &query)).unwrap()
    }

    /// One lawful search by the own officer, over the whole life of the town.
    pub fn search(&self, plate: &str) -> Searched {
        self.search_by(&["search"], plate)
    }

    /// Files the same request and leaves it: what waits for `fetch` lies in the officer's folder.
    pub fn file_only(&self, plate: &str) -> Searched {
        self.search_by(&["search", "file"], plate)
    }

    /// A registered owner's request, filed by the agency's officer under the proof of registration and its disclosure.
    pub fn own_record(&self, plate: &str, paper: Option<(&Path, &Path)>) -> Searched {
        let (from, to) = self.window();
        let mut line = ["search", "--json", "--config"].map(str::to_owned).to_vec();
        line.push(self.home("officer").join("officer.toml").display().to_string());
        let (from, to) = (time_text(from), time_text(to));
        let asked = ["--plate", plate, "--state", "US-CT", "--purpose", "ownRecord", "--case", "26-77"];
        let facts =
            ["--facts", "The registered owner asks for the reads of the own vehicle.", "--from", &from, "--to", &to];
        line.extend(asked.iter().chain(&facts).map(|word| (*word).to_owned()));
        line.extend(["--wait".to_owned(), "25".to_owned()]);
        if let Some((auth, disclosure)) = paper {
            line.extend(["--auth".to_owned(), auth.display().to_string()]);
            line.extend(["--disclosure".to_owned(), disclosure.display().to_string()]);
        }
        self.run_search(&line)
    }

    /// As [`Town::search`], with more on the command line.
    pub fn search_with(&self, plate: &str, more: &[&str]) -> Searched {
        let mut line = self.search_line(&["search"], plate, self.window());
        line.extend(more.iter().map(|word| (*word).to_owned()));
        self.run_search(&line)
    }

    /// A supervisor who can sign as a second person; the key file.
    pub fn supervisor(&self) -> PathBuf {
        let file = self.home("officer").join("supervisor.pem");
        let key = make_person_key(&file, &mut SystemRng).unwrap();
        let roster = lockplate_node::officers::Roster::at(&self.data("agency").join("officers.json"));
        let trained = Timestamp(self.founded_at + 300 * DAY);
        let roles = BTreeSet::from([lockplate_core::vocabulary::Role::Supervisor]);
        roster.add_officer(&key, trained, &roles, None, &mut SystemRng).unwrap();
        file
    }

    /// Card of the agency.
    pub const fn card(&self) -> &AgencyCard {
        &self.card
    }

    /// Id of the agency.
    pub fn agency_id(&self) -> &str {
        &self.card.id
    }

    fn search_by(&self, verb: &[&str], plate: &str) -> Searched {
        self.run_search(&self.search_line(verb, plate, self.window()))
    }

    /// One lawful search by the own officer over another window, Unix seconds.
    pub fn search_between(&self, plate: &str, window: (u64, u64)) -> Searched {
        self.run_search(&self.search_line(&["search"], plate, window))
    }

    fn search_line(&self, verb: &[&str], plate: &str, (from, to): (u64, u64)) -> Vec<String> {
        let state = format!("US-{}", self.terms.state);
        let mut line: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
        line.extend(["--json".to_owned(), "--config".to_owned()]);
        line.push(self.home("officer").join("officer.toml").display().to_string());
        line.extend(self.verbose());
        line.extend(
            [
                "--plate",
                plate,
                "--state",
                &state,
                "--purpose",
                "stolenVehicle",
                "--case",
                "26-1234",
                "--offence",
                "felony",
                "--offence-text",
                "larceny of a motor vehicle",
                "--facts",
                "The owner reported the grey van stolen from the yard this morning.",
                "--from",
                &time_text(from),
                "--to",
                &time_text(to),
            ]
            .map(str::to_owned),
        );
        if verb.len() == 1 {
            line.extend(["--wait".to_owned(), "25".to_owned()]);
        }
        line
    }

    fn run_search(&self, line: &[String]) -> Searched {
        let done = command(BINARY).args(line).output().unwrap();
        let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        let file = self.traces().join(format!("search-{}.stderr", now_ms()));
        write(&file, &done.stderr);
        let document = serde_json::from_str(&stdout).unwrap_or(Value::Null);
        Searched { code: done.status.code().unwrap_or(-1), document, stderr }
    }

    /// Invariant I1: each acknowledged read is found by a lawful search of its plate, once.
    pub fn find_all(&mut self, acknowledged: &[Acknowledged]) {
        self.wait_closed();
        let plates: BTreeSet<&str> = acknowledged.iter().map(|read| read.plate.as_str()).collect();
        for plate in plates {
            let searched = self.search(plate);
            assert_eq!(searched.code, 0, "{} {}", searched.document, searched.stderr);
            let found = searched.times();
            let mine = acknowledged.iter().filter(|read| read.plate == plate);
            let missing: Vec<String> = mine.map(|read| shown(read.at_ms)).filter(|at| !found.contains(at)).collect();
            assert!(missing.is_empty(), "acknowledged and not found: {missing:?}; found {} reads", found.len());
            let lines = searched.document["found"].as_array().map_or(0, Vec::len);
            assert_eq!(lines, found.len(), "a read is shown once");
        }
    }

    /// Leaves of a log of the agency (`recorder`, `desk`).
    pub fn leaves(&self, log: &str) -> Vec<Vec<u8>> {
        self.leaves_at(&self.agency_peer, log)
    }

    /// Leaves of the log of keeper `place` (from 0).
    pub fn keeper_leaves(&self, place: usize) -> Vec<Vec<u8>> {
        self.leaves_at(&self.keeper_peers[place], "keeper")
    }

    fn leaves_at(&self, peer: &PeerClient, log: &str) -> Vec<Vec<u8>> {
        let get = |path: String| self.runtime.block_on(peer.get_bytes(&path, &[])).unwrap();
        let checkpoint = String::from_utf8(get(format!("/log/{log}/checkpoint")).to_vec()).unwrap();
        let size: u16 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
        let mut leaves = Vec::new();
        for tile in 0..=size / 256 {
            let width = (size - tile * 256).min(256);
            if width == 0 {
                break;
            }
            let part = if width == 256 { String::new() } else { format!(".p/{width}") };
            let bundle = get(format!("/log/{log}/tile/entries/{tile:03}{part}"));
            leaves.extend(lockplate_log::tile::parse_bundle(&bundle, width).unwrap().iter().map(|leaf| leaf.to_vec()));
        }
        leaves
    }

    /// Closes in the recorder's log: header hash, root, orphaned. No epoch may stand in it twice.
    pub fn closes(&self) -> BTreeMap<[u8; 32], ([u8; 32], bool)> {
        let mut closes = BTreeMap::new();
        for leaf in self.leaves("recorder") {
            if let Leaf::Known(stamped) = parse_leaf(&leaf).unwrap()
                && let LogEntry::EpochClosed(close) = stamped.entry()
            {
                let twice = closes.insert(close.header, (close.root, close.orphaned));
                assert!(twice.is_none(), "two closes of one epoch in the log");
            }
        }
        closes
    }

    /// Stops every process in order and lets `doctor` look at every store.
    pub fn stop_and_check(&mut self) {
        self.stop_all();
        self.doctor();
    }

    /// SIGTERM to every process that runs; each must end with 0.
    pub fn stop_all(&mut self) {
        if let Some(agency) = self.agency.take() {
            agency.stop();
        }
        for keeper in &mut self.keepers {
            if let Some(keeper) = keeper.take() {
                keeper.stop();
            }
        }
    }

    /// `lockplate doctor --store` on every data folder: clean.
    pub fn doctor(&self) {
        for party in ["agency", "keeper-1", "keeper-2", "keeper-3"] {
            let data = self.data(party);
            let charter = self.home(party).join("charter.auth");
            let line = [data.as_os_str(), "--charter".as_ref(), charter.as_os_str()];
            let mut doctor = command(BINARY);
            doctor.args(["doctor", "--store"]).args(line);
            if party == "agency" && self.terms.bucket.is_some() {
                doctor.arg("--config").arg(self.home("agency").join("agency.toml"));
            }
            let done = doctor.output().unwrap();
            assert_eq!(
                done.status.code(),
                Some(0),
                "doctor found something in {party}:\n{}{}",
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            );
        }
    }

    /// The end of what each process said last: with a failed test, whose folder is gone with it.
    fn last_words(&self) {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.traces()).into_iter().flatten().flatten().map(|e| e.path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "stderr")) {
            let text = String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = text.lines().filter(|line| !line.contains("request answered")).collect();
            eprintln!("== {}\n{}", file.display(), lines[lines.len().saturating_sub(12)..].join("\n"));
        }
    }

    /// What every process wrote so far: for scans, and for messages of failed assertions.
    pub fn all_said(&self) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(self.traces()).unwrap() {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()));
        }
        text
    }

    /// No process said that it panicked.
    pub fn nobody_panicked(&self) {
        let said = self.all_said();
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("panic at") || line.contains("our bug") || line.contains("panicked=true"))
            .collect();
        assert!(lines.is_empty(), "{lines:?}");
    }

    /// A client of the agency.
    pub fn agency_peer(&self) -> PeerClient {
        self.agency_peer.clone()
    }

    /// The runtime of the test's own clients.
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.last_words();
        }
    }
}

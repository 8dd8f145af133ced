//! Hot lists with real processes: a steward registers a list and loads files, cameras send reads, alerts come. What is looked for is what
//! an agency would notice: who is stopped wrongly, what the public log says, what lies on the disk.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::wildcard_enum_match_arm,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says by a panic what is wrong"
)]

mod town;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use lockplate_core::Timestamp;
use lockplate_core::authorisation::{SessionBody, SessionStatement};
use lockplate_core::entry::{HotlistLeaf, Leaf, ListKind, LogEntry, parse_leaf};
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::hotlist::set::{ListSettings, SetKind};
use lockplate_core::hotlist::steward::{ListConfig, LoadOrder};
use lockplate_core::id::AgencyId;
use lockplate_core::person::ByPerson;
use lockplate_core::sign::{SigningKey, Statement as _};
use lockplate_core::signed::{Header, Signable as _, VersionOne};
use lockplate_core::vocabulary::{Level, State};
use lockplate_log::{NoteSigner, VerifierKey};
use lockplate_node::alerts::terminal::Terminal;
use lockplate_node::alerts::wire::{AlertList, CheckedBy, Said as Word, SeenWhere};
use lockplate_node::api::{B64, Done};
use lockplate_node::clock::{Clock, SystemClock};
use lockplate_node::founding::{AgencyCard, AgencyFiles, note_signer};
use lockplate_node::hotlist::{HEADER_ORDERS, ListRegistered, LoadReport, orders_value};
use lockplate_node::officers::{AgencyIdentity, OfficerRow, sign_directory};
use lockplate_node::rng::SystemRng;
use lockplate_node::shift::SignedIn;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use town::{BINARY, Terms, Town, command, now_ms, pause, wait_until, write};

/// The 13 classes of the extract, and whether they are matched.
const CLASSES: [(&str, bool); 13] = [
    ("stolenVehicle", true),
    ("stolenPlate", true),
    ("wantedPerson", true),
    ("missingPerson", true),
    ("protectionOrder", false),
    ("extremeRiskOrder", false),
    ("gang", false),
    ("terroristScreening", false),
    ("supervisedRelease", false),
    ("sexOffender", false),
    ("immigrationViolator", false),
    ("protectiveInterest", false),
    ("violentPerson", false),
];

/// What a command said: exit code and its one document.
struct Said {
    code: i32,
    document: Value,
    stderr: String,
}

/// A town with a steward and a supervisor.
struct Lists {
    town: Town,
    second: PathBuf,
    sequences: BTreeMap<String, u64>,
}

fn time(at_ms: i64) -> String {
    lockplate_core::json::time_text(Timestamp(u64::try_from(at_ms / 1_000).unwrap()))
}

/// One entry of an extract.
fn entry(id: &str, plate: &str, state: Option<&str>, class: &str) -> Value {
    json!({
        "entry_id": id, "plate": plate, "jurisdiction": state, "class": class, "source_file": "INV", "offence": "felony",
        "entered_at": time(now_ms() - 86_400_000), "expires_at": time(now_ms() + 86_400_000), "case": "26-0042",
        "basis": "statutoryDuty", "agency": "CT0000000",
    })
}

/// A full file of the own format.
fn full_file(name: &str, sequence: u64, entries: &[Value]) -> String {
    let header = json!({
        "list": name, "mode": "full", "sequence": sequence, "produced_at": time(now_ms()), "entries": entries.len(),
    });
    let lines: Vec<String> = std::iter::once(&header).chain(entries).map(Value::to_string).collect();
    format!("{}\n", lines.join("\n"))
}

impl Lists {
    fn start() -> Self {
        Self::start_as(Terms { epoch_seconds: 60, ..Terms::default() })
    }

    fn start_as(terms: Terms) -> Self {
        let town = Town::start(terms);
        let second = town.supervisor();
        Self { town, second, sequences: BTreeMap::new() }
    }

    fn run(&self, args: &[&str], input: Option<&str>) -> Said {
        let officer = self.town.home("officer").join("officer.toml");
        let mut command = command(BINARY);
        command.args(["--json", "agency", "hotlist"]).args(args).arg("--config").arg(&officer);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.unwrap_or("").as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let document = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        Said { code: done.status.code().unwrap_or(-1), document, stderr }
    }

    fn new_list(&self, name: &str, more: &[&str]) {
        let said = self.run(&[&["new", "--name", name][..], more].concat(), None);
        assert_eq!(said.code, 0, "{}", said.stderr);
    }

    /// Loads entries as a full file of the own format.
    fn load(&mut self, name: &str, entries: &[Value], with_second: bool) -> Said {
        let file = self.next_file(name, entries);
        self.load_file(name, &file, with_second)
    }

    fn next_file(&mut self, name: &str, entries: &[Value]) -> Vec<u8> {
        let sequence = self.sequences.entry(name.to_owned()).or_default();
        *sequence += 1;
        full_file(name, *sequence, entries).into_bytes()
    }

    fn load_file(&self, name: &str, bytes: &[u8], with_second: bool) -> Said {
        let file = self.town.home("officer").join("list.ndjson");
        write(&file, bytes);
        let path = file.display().to_string();
        let mut args = vec!["load", &path, "--list", name];
        let second = self.second.display().to_string();
        if with_second {
            args.extend(["--second", &second]);
        }
        let said = self.run(&args, None);
        std::fs::remove_file(&file).unwrap();
        said
    }

    fn health(&self, name: &str) -> Value {
        let said = self.run(&["list"], None);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let lists = said.document["lists"].as_array().unwrap();
        lists.iter().find(|list| list["list"] == name).cloned().unwrap_or(Value::Null)
    }

    /// Leaves of hot lists in the recorder's log.
    fn leaves(&self) -> Vec<HotlistLeaf> {
        let mut found = Vec::new();
        for leaf in self.town.leaves("recorder") {
            if let Leaf::Known(stamped) = parse_leaf(&leaf).unwrap()
                && let LogEntry::Hotlist(leaf) = stamped.entry()
            {
                found.push(leaf.clone());
            }
        }
        found
    }

    /// Of them those that change entries.
    fn loads(&self) -> Vec<HotlistLeaf> {
        self.leaves().into_iter().filter(|leaf| leaf.kind != ListKind::Config).collect()
    }

    /// A read as a camera sends it.
    fn pass(&self, plate: &str, state: Option<&str>, camera: &str) {
        let at = now_ms();
        let line = json!({
            "plate": plate, "camera": camera, "captured_at": at, "id": format!("r{at}-{plate}"), "conf": 0.95,
            "jurisdiction": state, "jurisdiction_conf": state.map(|_| 0.97),
        });
        let door = self.town.door("own-0");
        let answer = self.town.lan().post(&door, "application/x-ndjson", format!("{line}\n").as_bytes()).unwrap();
        assert_eq!(answer.0, 200, "{}", String::from_utf8_lossy(&answer.1));
        pause(5);
    }
}

#[test]
fn a_list_is_held_released_logged_and_matched_and_its_content_lies_on_no_disk() {
    let mut lists = Lists::start();
    lists.new_list("state", &["--kind", "extract"]);
    assert_eq!(lists.health("state")["state"], "absent");

    // The whole extract, one entry a class: it has classes that no load before had, so one person does not put it in force.
    let all: Vec<Value> = CLASSES
        .iter()
        .enumerate()
        .map(|(at, (class, _))| entry(&format!("e{at}"), &format!("ZKX{at:03}"), Some("US-CT"), class))
        .collect();
    let held = lists.load("state", &all, false);
    assert_eq!((held.code, &held.document["load"]["state"]), (4, &json!("held")), "{}", held.stderr);
    assert!(lists.loads().is_empty(), "nothing is logged of a load that is not in force");
    let loaded = lists.load("state", &all, true);
    assert_eq!((loaded.code, &loaded.document["load"]["state"]), (0, &json!("live")), "{}", loaded.stderr);
    let leaves = lists.loads();
    let [leaf] = leaves.as_slice() else { panic!("{} leaves", leaves.len()) };
    for (class, is_matched) in CLASSES {
        let counts = leaf.classes.iter().find(|one| one.class.name() == class).unwrap();
        let expected = if is_matched { (1, 0) } else { (0, 1) };
        assert_eq!((counts.accepted, counts.dropped), expected, "{class}");
    }
    assert_eq!(lists.health("state")["state"], "live");

    // A custom entry needs a case and a supervisor.
    lists.new_list("own", &["--kind", "custom", "--purpose", "missingPerson"]);
    let second = lists.second.display().to_string();
    let add = ["add", "--list", "own", "--case", "26-0099", "--basis", "reasonableSuspicion", "--ori", "CT0000000"];
    let added = lists.run(&[&add[..], &["--state", "US-CT", "--second", &second]].concat(), Some("QWE777\n"));
    assert_eq!(added.code, 0, "{} {}", added.document, added.stderr);
    // One that is taken off by command leaves the other.
    let other = lists.run(&[&add[..], &["--state", "US-CT", "--second", &second]].concat(), Some("QWE779\n"));
    let id = other.stderr.split("The entry's id is ").nth(1).unwrap().split('.').next().unwrap();
    let off = lists.run(&["remove", "--list", "own", "--entry", id], None);
    assert_eq!((off.code, &off.document["load"]["entries"]), (0, &json!(1)), "{} {}", off.document, off.stderr);

    // Nothing of it is on the agency's disk in clear, also after a stop.
    lists.town.agency.take().unwrap().stop();
    for secret in ["ZKX000", "ZKX010", "QWE777", "26-0042", "26-0099"] {
        assert!(!contains(&lists.town.data("agency"), secret.as_bytes()), "{secret} lies in the data folder");
        assert!(!lists.town.all_said().contains(secret), "{secret} was said");
    }

    // The extract is gone with the process; what is the agency's own is matched again, and the log says nothing new.
    lists.town.start_agency();
    lists.town.wait_sealing();
    assert_eq!(lists.health("state")["state"], "absent");
    assert_eq!((&lists.health("own")["state"], &lists.health("own")["entries"]), (&json!("live"), &json!(1)));
    assert_eq!(lists.loads().len(), 4);

    // The list ends; the log says what went.
    let retired = lists.run(&["retire", "--list", "own"], None);
    assert_eq!(retired.code, 0, "{}", retired.stderr);
    let leaves = lists.leaves();
    let last = leaves.last().unwrap();
    assert_eq!((last.kind, last.classes.iter().map(|one| one.removed).sum::<u64>()), (ListKind::Retire, 1));
    assert_eq!(lists.health("own")["state"], "retired");
    lists.town.stop_and_check();
    lists.town.nobody_panicked();
}

/// True if some file under a folder holds these bytes.
fn contains(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return contains(&path, bytes);
        }
        let content = std::fs::read(&path).unwrap_or_default();
        content.windows(bytes.len()).any(|part| part == bytes)
    })
}

impl Lists {
    /// Signed in at the desk.
    fn shift(&self) -> SignedIn {
        let key = lockplate_node::search::read_person_key(&self.town.home("officer").join("officer.pem")).unwrap();
        let now = Timestamp(u64::try_from(now_ms() / 1_000).unwrap());
        let passcode = std::fs::read_to_string(self.town.home("officer").join("passcode")).unwrap();
        let signing_in = SignedIn::sign_in(self.town.agency_peer(), key, &passcode, now);
        self.town.runtime().block_on(signing_in).unwrap()
    }

    /// Alerts that wait, as (class, match, count).
    fn alerts(&self, shift: &SignedIn) -> Vec<(String, String, u64)> {
        let list: AlertList = self.town.runtime().block_on(shift.get("/v1/alerts")).unwrap();
        list.alerts.into_iter().map(|alert| (alert.class, alert.matched, alert.count)).collect()
    }
}

#[test]
fn cars_that_were_stopped_wrongly_raise_no_alert_here() {
    let mut lists = Lists::start();
    lists.new_list("state", &["--kind", "extract"]);
    let mut motorcycle = entry("e1", "KJR842", Some("US-MT"), "stolenVehicle");
    motorcycle["vehicle"] = json!({ "class": "motorcycle" });
    let entries = [
        motorcycle,
        entry("e2", "ZKX4411", Some("US-CT"), "stolenVehicle"),
        entry("e3", "ZKX9001", Some("US-CT"), "stolenPlate"),
        entry("w1", "ZKX*", Some("US-CT"), "stolenVehicle"),
        entry("o1", "Z", Some("US-CT"), "stolenVehicle"),
    ];
    let loaded = lists.load("state", &entries, true);
    assert_eq!(loaded.code, 0, "{} {}", loaded.document, loaded.stderr);
    assert_eq!(loaded.document["load"]["entries"], 3, "a wildcard and one character are no entries");
    let refusals = &loaded.document["load"]["refusals"];
    assert_eq!(
        (refusals["wildcard in the plate"].as_u64(), refusals["plate too short or too long"].as_u64()),
        (Some(1), Some(1))
    );
    let shift = lists.shift();

    // Aurora 2020: the same characters on another state's plate.
    lists.pass("KJR842", Some("US-CO"), "c1");
    // One character misread.
    lists.pass("ZKX4417", Some("US-CT"), "c1");
    // The listed one, twice within ten minutes: one alert.
    lists.pass("ZKX4411", Some("US-CT"), "c1");
    pause(20);
    lists.pass("ZKX4411", Some("US-CT"), "c1");
    // The state was not read: said so, and told apart.
    lists.pass("ZKX9001", None, "c1");
    wait_until("the alerts are raised", || lists.alerts(&shift).len() >= 2);
    pause(500);
    let mut alerts = lists.alerts(&shift);
    alerts.sort();
    let expected = [("stolenPlate", "plate_only", 1), ("stolenVehicle", "plate_and_state", 2)];
    let expected: Vec<_> =
        expected.iter().map(|(class, kind, n)| ((*class).to_owned(), (*kind).to_owned(), *n)).collect();
    assert_eq!(alerts, expected);

    // What a newer load does not name alerts no more.
    let loaded = lists.load("state", &entries[..1], true);
    assert_eq!(loaded.code, 0, "{} {}", loaded.document, loaded.stderr);
    lists.pass("ZKX4411", Some("US-CT"), "7");
    lists.pass("ZKX9001", Some("US-CT"), "7");
    pause(1_000);
    assert_eq!(lists.alerts(&shift).len(), 2, "taken off the list and still alerting");
    lists.town.stop_and_check();
    lists.town.nobody_panicked();
}

/// Another agency with an officer and a supervisor, who have keys and no machine here.
struct Neighbour {
    id: AgencyId,
    desk_key: NoteSigner,
    directory: Vec<u8>,
    officer: SigningKey,
    supervisor: SigningKey,
}

impl Neighbour {
    fn of(town: &Town, card: &AgencyCard, name: &str) -> Self {
        let files = AgencyFiles::in_folder(&town.home(name).join("data/keys"));
        let signer = |path: &Path, key: &str| {
            let named = VerifierKey::parse(key).unwrap();
            note_signer(path, named.name().as_str()).unwrap()
        };
        let (agency_key, desk_key) = (signer(&files.agency, &card.agency_key), signer(&files.desk, &card.desk_key));
        let key = |byte: u8| SigningKey::from_seed(&lockplate_oprf::Secret::new([byte; 32]));
        let (officer, supervisor) = (key(101), key(102));
        let row = |key: &SigningKey, person: u8, roles: &[&str]| OfficerRow {
            person: format!("{person:02x}").repeat(32),
            keys: vec![hex(&key.verify_key().0)],
            trained_until: u64::try_from(now_ms() / 1_000).unwrap() + 86_400,
            active: true,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            passcode: None,
        };
        let identity = AgencyIdentity {
            id: AgencyId::parse(&card.id).unwrap(),
            name: card.name.clone(),
            ori: String::new(),
            state: State::parse(&card.state).unwrap(),
            level: Level::from_name(&card.level).unwrap(),
            law_enforcement: true,
        };
        let rows = [row(&officer, 1, &[]), row(&supervisor, 2, &["supervisor"])];
        let serial = u64::try_from(now_ms() / 1_000).unwrap();
        let log = desk_key.verifier_key().name().as_str().to_owned();
        let directory = sign_directory(
            &identity,
            &rows,
            (serial, Timestamp(serial)),
            &log,
            desk_key.verifier_key(),
            &agency_key,
            &mut SystemRng,
        );
        Self { id: identity.id, desk_key, directory: directory.unwrap(), officer, supervisor }
    }

    /// Registers a list of this agency at the town's recorder; `None` where it is refused.
    fn register(&self, town: &Town, name: &str, second: &SigningKey) -> Option<[u8; 16]> {
        let now = Timestamp(u64::try_from(now_ms() / 1_000).unwrap());
        let list: [u8; 16] = self.id.0.map(|byte| byte ^ 0x5a);
        let alert = HpkeSecretKey::random(&mut SystemRng).public_key().unwrap();
        let config = ListConfig {
            agency: self.id,
            name: name.to_owned(),
            settings: ListSettings { list, kind: SetKind::Extract, conf_min: 800, trust_jurisdiction: false },
            purpose: None,
            template: [0; 32],
            entries_max: 1_000,
            alert_key: Some(alert),
            serial: 1,
            retired: false,
            time: now,
        };
        let session = SessionStatement {
            header: Header {
                v: VersionOne,
                nonce: [7; 16],
                issued: now,
                issuer: self.desk_key.verifier_key().name().as_str().to_owned(),
            },
            body: SessionBody {
                provider: self.desk_key.verifier_key().name().as_str().to_owned(),
                subject: "officer".to_owned(),
                acr: String::new(),
                amr: ["swk", "pwd"].map(str::to_owned).into(),
                auth_time: now,
                request_digest: ListConfig::signed_hash(&config.encode()),
            },
        };
        let asked = ListRegistered {
            config: B64(ByPerson::with_key(&self.officer, config.clone()).to_bytes()),
            template: None,
            directory: Some(B64(self.directory.clone())),
            session: Some(B64(session.sign(&[&self.desk_key]).unwrap())),
            approval: Some(B64(ByPerson::with_key(second, config.clone()).to_bytes())),
        };
        let peer = town.agency_peer();
        let said = town.runtime().block_on(peer.post_json::<_, Done>("/v1/hotlists", &asked, None));
        said.is_ok().then_some(list)
    }

    fn load(&self, town: &Town, list: [u8; 16], name: &str, sequence: u64, entries: &[Value]) -> LoadReport {
        let header = json!({
            "list": name, "mode": "full", "sequence": sequence, "produced_at": time(now_ms()), "entries": entries.len(),
        });
        let lines: Vec<String> = std::iter::once(&header).chain(entries).map(Value::to_string).collect();
        let file = format!("{}\n", lines.join("\n")).into_bytes();
        let order = LoadOrder {
            list,
            file: Sha256::digest(&file).into(),
            delivery: None,
            time: Timestamp(u64::try_from(now_ms() / 1_000).unwrap()),
        };
        let orders = [&self.officer, &self.supervisor].map(|key| ByPerson::with_key(key, order.clone()));
        let headers = reqwest::header::HeaderMap::from_iter([(HEADER_ORDERS, orders_value(&orders).unwrap())]);
        let path = format!("/v1/hotlists/{}/loads", hex(&list));
        let answer = town.runtime().block_on(town.agency_peer().post_with(&path, headers, file)).unwrap();
        serde_json::from_slice(&answer).unwrap()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_list_called_hsi_master_of_a_federal_agency_loads_nothing_and_the_log_says_so() {
    let others = vec![("eastport", "CT", "local"), ("bureau", "US", "federal")];
    let town = Town::start(Terms { epoch_seconds: 60, others, ..Terms::default() });
    let second = town.supervisor();
    let lists = Lists { town, second, sequences: BTreeMap::new() };
    let (town, cards) = (&lists.town, lists.town.others.clone());
    let neighbour = Neighbour::of(town, &cards[0], "eastport");
    let bureau = Neighbour::of(town, &cards[1], "bureau");
    let entries = [
        entry("s1", "ZKX5501", Some("US-CT"), "stolenVehicle"),
        entry("m1", "ZKX5502", Some("US-CT"), "missingPerson"),
        entry("i1", "ZKX5503", Some("US-CT"), "immigrationViolator"),
    ];
    let name = "HSI MASTER";
    let master = bureau.register(town, name, &bureau.supervisor).unwrap();
    let report = bureau.load(town, master, name, 1, &entries);
    assert_eq!(report.entries, 0, "{report:?}");
    assert!(report.classes.iter().all(|class| class.accepted == 0 && class.dropped == 1), "{report:?}");
    let leaves = lists.loads();
    let [leaf] = leaves.as_slice() else { panic!("{} leaves: {report:?}", leaves.len()) };
    assert_eq!(leaf.list, master);
    assert_eq!(leaf.classes.iter().map(|one| one.dropped).sum::<u64>(), 3);

    // A neighbour's list of the same kind: without a second person nothing of it is matched, with one what the law lets in.
    assert!(
        neighbour.register(town, "eastport stolen", &neighbour.officer).is_none(),
        "nobody is his own second person"
    );
    let shared = neighbour.register(town, "eastport stolen", &neighbour.supervisor).unwrap();
    let report = neighbour.load(town, shared, "eastport stolen", 1, &entries);
    let accepted: BTreeMap<&str, u64> = report.classes.iter().map(|one| (one.class.as_str(), one.accepted)).collect();
    assert_eq!(
        (accepted["stolenVehicle"], accepted["missingPerson"], accepted["immigrationViolator"]),
        (1, 1, 0),
        "{report:?}"
    );

    // Its alerts are its own: the camera's owner has the count and cannot open one.
    let shift = lists.shift();
    for at in 1..=3 {
        lists.pass(&format!("ZKX550{at}"), Some("US-CT"), "c1");
    }
    wait_until("the hits are raised", || town.all_said().contains("panic") || alerts_kept(town) >= 2);
    pause(500);
    assert_eq!(alerts_kept(town), 2, "the immigration entry is matched by nobody");
    assert!(lists.alerts(&shift).is_empty(), "another agency's alert is shown here");

    // Strangers, and what was signed for something else, get nowhere.
    let stranger = Neighbour { id: bureau.id, ..Neighbour::of(town, &cards[0], "eastport") };
    assert!(stranger.register(town, "other", &stranger.supervisor).is_none());
    lists.town.nobody_panicked();
}

#[test]
fn a_list_at_another_agencys_recorder_is_registered_loaded_and_ended_by_command_and_its_hits_are_shown_at_home() {
    let epoch_seconds = 60;
    let mut here = Lists::start_as(Terms { epoch_seconds, host: "alpr.eastport.example", ..Terms::default() });
    let neighbours = vec![here.town.card().clone()];
    let mut there = Lists::start_as(Terms { epoch_seconds, neighbours, ..Terms::default() });
    let harbour = Town::found(Terms { host: "alpr.harbour.example", ..Terms::default() });
    let home = here.town.home("officer");
    let mut config = std::fs::read_to_string(home.join("officer.toml")).unwrap();
    for (name, charter) in [("North", &there.town.charter), ("Harbour", &harbour.charter)] {
        write(&home.join(format!("{name}.charter")), charter.bytes());
        let hash = hex(&charter.hash());
        config.push_str(&format!(
            "\n[[owner]]\nname = \"{name}\"\ncharter = \"{name}.charter\"\ncharter_hash = \"{hash}\"\n"
        ));
    }
    write(&home.join("officer.toml"), config.as_bytes());

    // What cannot be is said in words.
    let second = here.second.display().to_string();
    let new = |at: &str, kind: &str, more: &[&str]| {
        here.run(&[&["new", "--name", "shared", "--kind", kind, "--at", at], more].concat(), None)
    };
    let signed = ["--second", second.as_str()];
    let own = home.join("officer.pem").display().to_string();
    let signed_twice = ["--second", own.as_str()];
    let change = |more: &[&str]| {
        here.run(&[&["change", "--list", "shared", "--at", "North", "--conf-min", "810"], more].concat(), None)
    };
    for (said, code, what) in [
        (new("Nobody", "extract", &signed), 2, "the name or id of an owner"),
        (new(here.town.agency_id(), "extract", &signed), 2, "another owner than your own agency"),
        (new("North", "extract", &[]), 2, "--second"),
        (change(&[]), 2, "--second"),
        (new("North", "amber", &signed), 2, "--kind"),
        (new("North", "extract", &signed_twice), 2, "another person"),
        (new("Harbour", "extract", &signed), 4, "the charter of Harbour does not name your agency"),
    ] {
        assert_eq!(said.code, code, "{what}: {} {}", said.document, said.stderr);
        assert!(said.document["detail"].as_str().unwrap().contains(what), "{}", said.document);
    }
    there.new_list("of the north", &["--kind", "extract"]);
    let made = new("north", "extract", &signed);
    assert_eq!(made.code, 0, "{} {}", made.document, made.stderr);
    assert_eq!(change(&signed_twice).code, 2);
    let changed = change(&signed);
    assert_eq!((changed.code, &changed.document["serial"]), (0, &json!(2)), "{}", changed.stderr);
    assert_eq!(here.health("shared"), Value::Null, "it is at the other recorder, and not at the own one");

    // The lines that the command printed go into the own agency.toml. A second supervisor came after the list was registered.
    here.town.agency.take().unwrap().stop();
    let agency = here.town.home("agency");
    let mut config = std::fs::read_to_string(agency.join("agency.toml")).unwrap();
    config.push_str(&format!("\n{}", made.document["section"].as_str().unwrap()));
    write(&agency.join("agency.toml"), config.as_bytes());
    write(&agency.join("North.charter"), there.town.charter.bytes());
    let late = home.join("late.pem").display().to_string();
    let passcode = home.join("passcode").display().to_string();
    let (until, role) = (time(now_ms() + 86_400_000), "supervisor");
    let add =
        ["officer", "add", "--key", &late, "--trained-until", &until, "--role", role, "--passcode-file", &passcode];
    let (code, added) = here.town.agency_says(&add);
    assert_eq!((code, &added["done"], added["key"].as_str().unwrap().len()), (0, &json!("added"), 64), "{added}");
    here.town.start_agency();
    here.town.wait_sealing();

    // The rules of the other owner decide: of a dropped class nothing is matched, which is no success.
    let mut load = |entries: &[Value], more: &[&str]| {
        let file = home.join("list.ndjson");
        let bytes = here.next_file("shared", entries);
        write(&file, &bytes);
        here.run(&[&["load", &file.display().to_string(), "--list", "shared", "--at", "North"], more].concat(), None)
    };
    let gang = entry("g1", "ZKX5509", Some("US-CT"), "gang");
    let dropped = load(std::slice::from_ref(&gang), &["--second", &late]);
    assert_eq!(
        (dropped.code, &dropped.document["load"]["entries"]),
        (4, &json!(0)),
        "{} {}",
        dropped.document,
        dropped.stderr
    );
    assert!(dropped.stderr.contains("The rules of North"), "{}", dropped.stderr);
    let listed = [entry("s1", "ZKX5501", Some("US-CT"), "stolenVehicle"), gang];
    let held = load(&listed, &[]);
    assert_eq!((held.code, &held.document["load"]["state"]), (4, &json!("held")), "{} {}", held.document, held.stderr);
    let loaded = load(&listed, &["--second", &late]);
    assert_eq!(
        (loaded.code, &loaded.document["load"]["state"]),
        (0, &json!("live")),
        "{} {}",
        loaded.document,
        loaded.stderr
    );
    let north = there.town.agency_id().to_owned();
    let list = |here: &Lists| here.run(&["list", "--at", &north], None);
    let shown = list(&here).document["lists"].clone();
    let [shown] = shown.as_array().unwrap().as_slice() else { panic!("not the own list alone: {shown}") };
    assert_eq!((&shown["list"], &shown["state"], &shown["entries"]), (&json!("shared"), &json!("live"), &json!(1)));

    // A hit there is an alert here, and here alone.
    there.pass("ZKX5501", Some("US-CT"), "c1");
    there.pass("ZKX5509", Some("US-CT"), "c1");
    let shift = here.shift();
    wait_until("the alert came home", || !here.alerts(&shift).is_empty());
    let mut watch = command(BINARY);
    watch.args(["--json", "agency", "alerts", "--config"]).arg(home.join("officer.toml")).stdout(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let event = next();
    assert_eq!((&event["event"], &event["alert"]["class"]), (&json!("alert"), &json!("stolenVehicle")), "{event}");
    // An agency that is started anew has forgotten its shifts: the terminal signs in again and misses nothing.
    here.town.agency.take().unwrap().stop();
    here.town.start_agency();
    here.town.wait_sealing();
    there.pass("ZKX5501", Some("US-CT"), "7");
    let again = next();
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(again["event"] == "alert" && again["alert"]["id"] != event["alert"]["id"], "{again}");
    assert_eq!(here.alerts(&here.shift()).len(), 2);
    assert!(there.alerts(&there.shift()).is_empty(), "another agency's alert is shown there");

    // The owner of the cameras ends a list at them, by a supervisor's word.
    let ended = here.run(&["new", "--name", "second", "--kind", "extract", "--at", "North", "--second", &second], None);
    assert_eq!(ended.code, 0, "{} {}", ended.document, ended.stderr);
    let retire = ["retire", "--list", "second"];
    assert_eq!((there.run(&retire, None).code, &there.health("second")["state"]), (4, &json!("absent")), "an officer");
    let owners = there.town.home("officer");
    let chief = owners.join("chief.pem").display().to_string();
    let passcode = owners.join("passcode").display().to_string();
    let add =
        ["officer", "add", "--key", &chief, "--trained-until", &until, "--role", role, "--passcode-file", &passcode];
    assert_eq!(there.town.agency_says(&add).0, 0);
    let officer = std::fs::read_to_string(owners.join("officer.toml")).unwrap();
    write(&owners.join("chief.toml"), officer.replace("officer.pem", "chief.pem").as_bytes());
    let mut line = command(BINARY);
    line.args(["--json", "agency", "hotlist"]).args(retire).arg("--config").arg(owners.join("chief.toml"));
    let done = line.output().unwrap();
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(there.health("second")["state"], "retired");

    // It is its steward's.
    let other = std::fs::read_to_string(home.join("officer.toml")).unwrap().replace("officer.pem", "late.pem");
    write(&home.join("late.toml"), other.as_bytes());
    let mut line = command(BINARY);
    line.args(["--json", "agency", "hotlist", "retire", "--list", "shared", "--at", "North", "--config"]);
    let done = line.arg(home.join("late.toml")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.code() == Some(4) && said.contains("only its steward"), "{said}");
    let retired = here.run(&["retire", "--list", "shared", "--at", "North"], None);
    assert_eq!(retired.code, 0, "{} {}", retired.document, retired.stderr);
    assert_eq!(there.health("shared")["state"], "retired");
    there.town.agency.take().unwrap().stop();
    let away = list(&here);
    assert_eq!(away.code, 6, "{} {}", away.document, away.stderr);
    assert!(away.document["detail"].as_str().unwrap().contains("does not answer"), "{}", away.document);
    for lists in [&mut here, &mut there] {
        lists.town.stop_and_check();
        lists.town.nobody_panicked();
    }
}

/// Alerts in the database, sealed to whomever.
fn alerts_kept(town: &Town) -> i64 {
    let db = rusqlite::Connection::open(town.data("agency").join("agency.db")).unwrap();
    db.query_row("SELECT count(*) FROM alert", [], |row| row.get(0)).unwrap()
}

#[test]
fn lists_that_change_while_cars_pass_lose_no_read_and_raise_nothing_that_was_taken_off() {
    let mut lists = Lists::start();
    lists.new_list("state", &["--kind", "extract"]);
    let listed =
        [entry("e1", "ZKX4411", Some("US-CT"), "stolenVehicle"), entry("e2", "ZKX9001", Some("US-CT"), "stolenPlate")];
    assert_eq!(lists.load("state", &listed, true).code, 0);
    let door = lists.town.door("own-0");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let camera = {
        let (mut lan, stop) = (lists.town.lan(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut taken = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let at = now_ms();
                let plate =
                    if taken.is_multiple_of(7) { "ZKX4411".to_owned() } else { format!("QQ{:05}", taken % 90_000) };
                let line = json!({
                    "plate": plate, "camera": "c1", "captured_at": at, "id": format!("t{taken}-{at}"), "conf": 0.95,
                    "jurisdiction": "US-CT", "jurisdiction_conf": 0.97,
                });
                let answer = lan.post(&door, "application/x-ndjson", format!("{line}\n").as_bytes()).unwrap();
                assert_eq!(answer.0, 200, "{}", String::from_utf8_lossy(&answer.1));
                taken += 1;
                pause(8);
            }
            taken
        })
    };
    for round in 0..4 {
        let now = if round % 2 == 0 { &listed[1..] } else { &listed[..] };
        let said = lists.load("state", now, true);
        assert_eq!(said.code, 0, "{} {}", said.document, said.stderr);
    }
    let said = lists.load("state", &listed[1..], true);
    assert_eq!(said.code, 0, "{} {}", said.document, said.stderr);
    // The answer to the load came after the swap: from here on nothing of the entry that went.
    pause(300);
    let shift = lists.shift();
    let before: u64 = lists.alerts(&shift).iter().map(|(_, _, count)| count).sum();
    pause(1_500);
    let after: u64 = lists.alerts(&shift).iter().map(|(_, _, count)| count).sum();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(camera.join().unwrap() > 50);
    assert_eq!(after, before, "an entry that was taken off was hit");
    assert!(before > 0, "and while it was listed it was");
    assert_eq!(lists.loads().len(), 6, "each load has its leaf");
    lists.town.stop_and_check();
    lists.town.nobody_panicked();
}

#[test]
fn an_entry_that_is_out_of_date_stays_silent_over_a_new_word_and_a_restart_until_a_newer_load_names_it() {
    let mut lists = Lists::start();
    lists.new_list("state", &["--kind", "extract"]);
    let listed = [entry("e1", "ZKX4411", Some("US-CT"), "stolenVehicle")];
    let file = lists.next_file("state", &listed);
    assert_eq!(lists.load_file("state", &file, true).code, 0);
    lists.pass("ZKX4411", Some("US-CT"), "c1");
    let shift = lists.shift();
    wait_until("the hit is raised", || !lists.alerts(&shift).is_empty());
    // Made before the entry was found to be out of date: it confirms nothing.
    let older = lists.next_file("state", &listed);
    pause(1_100);
    lists.find_stale(&shift);
    let found = lists.alerts(&shift);
    // Another camera: the first one's alert is not repeated for ten minutes.
    let is_silent = |lists: &Lists, shift: &SignedIn, after: &str| {
        lists.pass("ZKX4411", Some("US-CT"), "7");
        pause(1_500);
        assert_eq!(lists.alerts(shift), found, "out of date and still alerting, after {after}");
    };
    is_silent(&lists, &shift, "the disposition");

    // The steward signs other settings.
    let changed = lists.run(&["change", "--list", "state", "--conf-min", "700"], None);
    assert_eq!((changed.code, &changed.document["serial"]), (0, &json!(2)), "{}", changed.stderr);
    let beyond = lists.run(&["change", "--list", "state", "--entries-max", "5000000"], None);
    assert_eq!(beyond.code, 2, "more than the charter lets: {}", beyond.stderr);
    is_silent(&lists, &shift, "a new word on the list");
    assert_eq!(lists.load_file("state", &older, true).code, 0);
    is_silent(&lists, &shift, "a load that was made before");

    lists.town.agency.take().unwrap().stop();
    lists.town.start_agency();
    lists.town.wait_sealing();
    assert_eq!(lists.load_file("state", &older, true).code, 0, "the same file once more");
    let shift = lists.shift();
    is_silent(&lists, &shift, "a restart");

    assert_eq!(lists.load("state", &listed, true).code, 0);
    lists.pass("ZKX4411", Some("US-CT"), "7");
    wait_until("the entry is matched again", || lists.alerts(&shift).len() > found.len());
    let kinds: Vec<ListKind> = lists.leaves().iter().map(|leaf| leaf.kind).collect();
    use ListKind::{Config, Full};
    assert_eq!(kinds, [Config, Full, Config, Full, Full]);
    lists.town.stop_and_check();
    lists.town.nobody_panicked();
}

#[test]
fn the_same_file_once_more_confirms_no_entry_whatever_its_number_and_date() {
    const TEMPLATE: &str = "source = \"Invented\"\nkind = \"hot\"\nformat = \"delimited\"\ndelimiter = \";\"\nheader = false\n\
        cells = 3\nencoding = \"utf-8\"\nend = \"line_break\"\nstates = \"iso\"\nclass_from = \"column\"\nlife_hours = 48\n\
        basis = \"statutoryDuty\"\nagency = \"CT0000000\"\nentered_at_from_file = true\nentry_id_from_plate = true\n\
        [columns]\nplate = 1\nstate = 2\nclass = 3\n[classes]\nV = \"stolenVehicle\"\n";
    let mut lists = Lists::start();
    let home = lists.town.home("officer");
    let (template, file) = (home.join("state.toml"), home.join("state.csv"));
    write(&template, TEMPLATE.as_bytes());
    write(&file, b"ZKX4411;CT;V\nZKX9001;CT;V\n");
    lists.new_list("state", &["--kind", "extract", "--template", &template.display().to_string()]);
    let load = |lists: &Lists, sequence: &str| {
        let (file, second) = (file.display().to_string(), lists.second.display().to_string());
        let loaded = lists.run(&["load", &file, "--list", "state", "--sequence", sequence, "--second", &second], None);
        assert_eq!((loaded.code, &loaded.document["load"]["state"]), (0, &json!("live")), "{}", loaded.stderr);
    };
    load(&lists, "1");
    lists.pass("ZKX4411", Some("US-CT"), "c1");
    let shift = lists.shift();
    wait_until("the hit is raised", || !lists.alerts(&shift).is_empty());
    lists.find_stale(&shift);
    let found = lists.alerts(&shift);
    pause(1_100);
    let changed = lists.run(&["change", "--list", "state", "--trust-state", "true"], None);
    assert_eq!(changed.code, 0, "and the template stays: {}", changed.stderr);
    load(&lists, "2");
    // Another camera: the first one's alert is not repeated for ten minutes.
    lists.pass("ZKX4411", Some("US-CT"), "7");
    pause(1_500);
    assert_eq!(lists.alerts(&shift), found, "nobody looked at it since");
    write(&file, b"ZKX4411;CT;V\n");
    load(&lists, "3");
    lists.pass("ZKX4411", Some("US-CT"), "7");
    wait_until("the entry is matched again", || lists.alerts(&shift).len() > found.len());
    lists.town.stop_and_check();
    lists.town.nobody_panicked();
}

#[test]
fn a_command_that_changes_nothing_fails_and_says_why() {
    let lists = Lists::start();
    lists.new_list("own", &["--kind", "custom", "--purpose", "missingPerson"]);
    let home = lists.town.home("officer");
    let (second, own_key) = (lists.second.display().to_string(), home.join("officer.pem").display().to_string());
    let add = |second: &str, case: &str, plate: &str| {
        let line = ["add", "--list", "own", "--state", "US-CT", "--basis", "reasonableSuspicion", "--ori", "CT0000000"];
        lists.run(&[&line[..], &["--case", case, "--second", second]].concat(), Some(&format!("{plate}\n")))
    };
    let nothing = |said: Said, reason: &str| {
        let load = &said.document["load"];
        assert_eq!((said.code, &load["state"]), (4, &json!("refused")), "{reason}: {load}");
        assert!(load["why"][0].as_str().unwrap().contains("nothing changes"), "{load}");
        assert!(
            said.stderr.contains("error: nothing changes: ") && said.stderr.contains(reason),
            "{reason}: {}",
            said.stderr
        );
        assert!(!said.stderr.contains("The entry's id"), "{}", said.stderr);
    };
    let empty = lists.run(&["remove", "--list", "own", "--entry", "no-such-id"], None);
    assert_eq!((empty.code, empty.document["detail"].as_str()), (4, Some("own: no entry is in this list")));
    // The first and every later one.
    for is_first in [true, false] {
        nothing(add(&second, "26-1", "AD*"), "wildcard in the plate");
        nothing(add(&second, "26-1", "A"), "plate too short or too long");
        nothing(add(&second, " ", "ADX11"), "no case number");
        nothing(add(&own_key, "26-1", "ADX11"), "a supervisor must sign");
        if is_first {
            let added = add(&second, "26-1", "ADX10");
            assert_eq!((added.code, &added.document["load"]["entries"]), (0, &json!(1)), "{}", added.stderr);
        }
    }
    let unknown = lists.run(&["remove", "--list", "own", "--entry", "no-such-id"], None);
    assert_eq!(unknown.document["load"]["removals_unknown"], 1, "{}", unknown.document);
    nothing(unknown, "the list has no such entry");
    assert_eq!(lists.loads().len(), 1, "nothing of it is a load");

    // The name that a source has for a file counts, and that of the file itself, whatever its lines say.
    lists.new_list("state", &["--kind", "extract"]);
    let name = "NCIC_Immigration_Violators.ndjson";
    let mut stolen = entry("s1", "ZKX5501", Some("US-CT"), "stolenVehicle");
    stolen["source_file"] = json!("");
    for (sequence, file, said_of_it) in [(1, "list.ndjson", name), (2, name, "")] {
        let file = home.join(file);
        write(&file, full_file("state", sequence, &[stolen.clone()]).as_bytes());
        let path = file.display().to_string();
        let load = ["load", &path, "--list", "state", "--source-file", said_of_it, "--second", &second];
        let said = lists.run(&load, None);
        let class = &said.document["load"]["classes"][0];
        assert_eq!(
            (&class["class"], &class["accepted"], &class["dropped"]),
            (&json!("immigrationViolator"), &json!(0), &json!(1))
        );
    }

    // A template that cannot be read, by its key or line.
    let template = home.join("template.toml");
    for (text, what) in [("kind = \"hot\"\n= 1\n", "line 2"), ("kind = \"hot\"\nlayout = 1\n", "`format`")] {
        write(&template, text.as_bytes());
        let path = template.display().to_string();
        let new = lists.run(&["new", "--name", "by template", "--kind", "extract", "--template", &path], None);
        assert_eq!(new.code, 2, "{} {}", new.document, new.stderr);
        assert!(new.document["detail"].as_str().unwrap().contains(what), "{}", new.document);
    }
    lists.town.nobody_panicked();
}

#[test]
fn a_human_keeper_signs_for_six_plates_of_a_case_with_a_key_that_never_leaves_its_machine() {
    let lists = Lists::start();
    lists.new_list("own", &["--kind", "custom", "--purpose", "missingPerson"]);
    let plates: Vec<Value> = (0..6)
        .map(|at| {
            let plate = format!("ZKX77{at}");
            let mut line = entry(&format!("c{at}"), &plate, Some("US-CT"), "custom");
            line["basis"] = json!("reasonableSuspicion");
            line
        })
        .collect();
    let header = json!({ "list": "own", "mode": "full", "sequence": 1, "produced_at": time(now_ms()), "entries": 6 });
    let lines: Vec<String> = std::iter::once(&header).chain(&plates).map(Value::to_string).collect();
    let home = lists.town.home("officer");
    let (file, order, other) = (home.join("case.ndjson"), home.join("case.order"), home.join("other.ndjson"));
    write(&file, format!("{}\n", lines.join("\n")).as_bytes());
    write(&other, b"another file\n");
    let [file, order, other, second] = [&file, &order, &other, &lists.second].map(|path| path.display().to_string());
    let load = |more: &[&str]| lists.run(&[&["load", &file, "--list", "own"], more].concat(), None);
    let held = load(&["--second", &second]);
    assert_eq!((held.code, &held.document["load"]["state"]), (4, &json!("held")), "{}", held.stderr);

    let asked = load(&["--ask", &order]);
    assert_eq!(asked.code, 0, "{}", asked.stderr);
    assert!(lists.loads().is_empty() && lists.health("own")["state"] == "absent", "nothing is loaded by asking");
    let human = lists.town.home("people").join("human-2.pem").display().to_string();
    let sign = |file: &str| {
        let line = ["sign", "load", file, "--order", &order, "--key", &human, "--yes"];
        command(BINARY).args(line).output().unwrap()
    };
    assert_eq!(sign(&other).status.code(), Some(4), "what is signed is this very file");
    let unsigned = load(&["--order", &order, "--second", &second]);
    assert_eq!(unsigned.code, 4, "nobody signed: {}", unsigned.stderr);
    let signed = sign(&file);
    assert_eq!(signed.status.code(), Some(0), "{}", String::from_utf8_lossy(&signed.stderr));
    let loaded = load(&["--order", &order, "--second", &second]);
    assert_eq!((loaded.code, &loaded.document["load"]["entries"]), (0, &json!(6)), "{}", loaded.stderr);
    lists.town.nobody_panicked();
}

fn seconds() -> Timestamp {
    Timestamp(u64::try_from(now_ms() / 1_000).unwrap())
}

fn base64(text: &str) -> Vec<u8> {
    let B64(bytes) = serde_json::from_value(json!(text)).unwrap();
    bytes
}

impl Lists {
    /// Looks at the one alert that waits, and hears from its source that the car is not stolen any more.
    fn find_stale(&self, shift: &SignedIn) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let passcode = std::fs::read_to_string(self.town.home("officer").join("passcode")).unwrap();
        let key = lockplate_node::search::read_person_key(&self.town.home("officer").join("officer.pem")).unwrap();
        self.town.runtime().block_on(async {
            let terminal = Terminal::sign_in(self.town.agency_peer(), key, &passcode, clock).await.unwrap();
            let list: AlertList = shift.get("/v1/alerts").await.unwrap();
            let text = terminal.show(&list.alerts[0].id).await.unwrap().content().unwrap().text;
            let look = Word::Look { plate: "ZKX4411".into(), state: Some("US-CT".into()), on: SeenWhere::Road };
            terminal.step(&text, look).await.unwrap();
            let by = CheckedBy::Source { reference: "NIC/W1".into(), who: "dispatch".into(), at: time(now_ms()) };
            let line = terminal.step(&text, Word::LiveCheck { confirmed: false, by }).await.unwrap();
            assert_eq!(line.disposition.as_deref(), Some("stale_entry"));
        });
        // It is told to the list beside the answer.
        pause(500);
    }
}

#[test]
fn in_new_hampshire_a_hit_is_all_that_leaves_the_recorder() {
    let shm = Path::new("/dev/shm");
    if !town::has_tool("in_new_hampshire_a_hit_is_all_that_leaves_the_recorder", "a tmpfs at /dev/shm", shm.is_dir()) {
        return;
    }
    let memory = tempfile::Builder::new().prefix("lockplate-nh-").tempdir_in(shm).unwrap();
    let terms = Terms {
        epoch_seconds: 4,
        retention_seconds: 30,
        state: "NH",
        memory: Some(memory.path().join("recorder")),
        ..Terms::default()
    };
    let town = Town::start(terms);
    assert_eq!(town.agency_says(&["camera", "list"]).1["profile"], "NH");
    let second = town.supervisor();
    let mut lists = Lists { town, second, sequences: BTreeMap::new() };
    lists.new_list("state", &["--kind", "extract"]);
    let said = lists.load("state", &[entry("e1", "ZKX4411", Some("US-NH"), "stolenVehicle")], true);
    assert_eq!(said.code, 0, "{} {}", said.document, said.stderr);
    lists.pass("ZKX4411", Some("US-NH"), "c1");
    lists.pass("QQX0001", Some("US-NH"), "c1");
    let shift = lists.shift();
    wait_until("the hit is raised", || !lists.alerts(&shift).is_empty());
    assert_eq!(lists.alerts(&shift), [("stolenVehicle".to_owned(), "plate_and_state".to_owned(), 1)]);
    // The read itself is searched for by nobody.
    lists.town.wait_closed();
    let searched = lists.town.search("ZKX4411");
    assert!(searched.code != 0 && searched.document.to_string().contains("nh."), "{}", searched.document);
    lists.town.stop_all();
    lists.town.nobody_panicked();
}

/// A server of one file on this machine; what it was asked.
struct Shelf {
    address: std::net::SocketAddr,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Shelf {
    fn with(file: String) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let shelf = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = Arc::clone(&shelf.asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut question = Vec::new();
                let mut byte = [0];
                while !question.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    question.push(byte[0]);
                }
                asked.lock().unwrap().push(String::from_utf8(question).unwrap());
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", file.len());
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(file.as_bytes()).unwrap();
            }
        });
        shelf
    }
}

#[test]
fn lists_that_are_fetched_are_in_force_by_themselves_and_again_after_a_restart() {
    const SECRET: &str = "Bearer an-invented-secret";
    let mut lists = Lists::start();
    let entries = [
        entry("e1", "ZKX4411", Some("US-CT"), "stolenVehicle"),
        entry("e2", "ZKX9001", Some("US-CT"), "stolenVehicle"),
    ];
    for name in ["watched", "pulled"] {
        lists.new_list(name, &["--kind", "extract"]);
        // The first load of an extract waits for people.
        assert_eq!(lists.load(name, &entries[..1], true).code, 0);
    }
    lists.new_list("own", &["--kind", "custom", "--purpose", "missingPerson"]);
    lists.town.agency.take().unwrap().stop();

    let shelf = Shelf::with(full_file("pulled", 2, &entries));
    let home = lists.town.home("agency");
    let secret = home.join("pulled.secret");
    write(&secret, SECRET.as_bytes());
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut config = std::fs::read_to_string(home.join("agency.toml")).unwrap();
    config.push_str(&format!(
        "\n[[hotlist]]\nname = \"watched\"\nwatch = \"drop\"\n\n[[hotlist]]\nname = \"own\"\nwatch = \"drop\"\n\n\
         [[hotlist]]\nname = \"pulled\"\npull = {{ url = \"http://{}/list\", authorization_file = \"pulled.secret\" }}\n",
        shelf.address
    ));
    write(&home.join("agency.toml"), config.as_bytes());
    lists.town.start_agency();
    lists.town.wait_sealing();
    wait_until("the address was asked", || lists.health("pulled")["state"] == "live");
    let refused = |lists: &Lists, name: &str| lists.health(name)["refused"].as_str().unwrap_or_default().to_owned();
    assert_eq!(refused(&lists, "watched"), "the folder of its files cannot be read");
    assert!(refused(&lists, "own").starts_with("a custom list is not fetched"), "{}", refused(&lists, "own"));
    assert_eq!(lists.health("watched")["state"], "absent");
    write(&home.join("drop/a.ndjson"), full_file("watched", 2, &entries).as_bytes());
    wait_until("the file was taken", || lists.health("watched")["state"] == "live");
    for name in ["watched", "pulled"] {
        let health = lists.health(name);
        assert_eq!((&health["sequence"], &health["entries"], &health["refused"]), (&json!(2), &json!(2), &Value::Null));
    }
    assert!(shelf.asked.lock().unwrap()[0].contains(SECRET));

    // A newer one that is none: said, and the set before stays.
    write(&home.join("drop/b.ndjson"), b"no list at all\n");
    wait_until("the bad file was judged", || !refused(&lists, "watched").is_empty());
    let health = lists.health("watched");
    assert_eq!((&health["state"], &health["entries"]), (&json!("live"), &json!(2)));

    // The source renames its codes: nothing of it could be matched. Nobody waits for the answer, so it is an alarm.
    let renamed = [entry("e1", "ZKX4411", Some("US-CT"), "SV")];
    write(&home.join("drop/c.ndjson"), full_file("watched", 3, &renamed).as_bytes());
    wait_until("the file was judged", || refused(&lists, "watched").contains("the list would be empty"));
    let rings =
        |lists: &Lists| lists.health("watched")["alarm"].as_str().unwrap_or_default().starts_with("list-not-taken");
    let health = lists.health("watched");
    assert_eq!((&health["state"], &health["entries"]), (&json!("live"), &json!(2)));
    assert!(rings(&lists), "{health}");
    wait_until("it is told", || lists.town.all_said().contains("list-not-taken"));

    // Nothing of them is on a disk but in the folder, and nobody said the secret. After a restart they are fetched again, past the bad one,
    // and the log says nothing new: they are the files that it spoke of.
    assert_eq!(lists.loads().len(), 4);
    lists.town.agency.take().unwrap().stop();
    for said in ["ZKX4411", "ZKX9001", "an-invented-secret"] {
        assert!(!contains(&lists.town.data("agency"), said.as_bytes()), "{said} lies in the data folder");
        assert!(!lists.town.all_said().contains(said), "{said} was said");
    }
    lists.town.start_agency();
    lists.town.wait_sealing();
    wait_until("both are there again", || {
        ["watched", "pulled"].iter().all(|name| lists.health(name)["state"] == "live")
    });
    assert_eq!(lists.loads().len(), 4);
    wait_until("that the newer one is bad is said", || {
        refused(&lists, "watched") == "a newer file was refused: the one before it is in force"
    });
    assert!(rings(&lists));
    lists.town.stop_and_check();
    lists.town.nobody_panicked();
}

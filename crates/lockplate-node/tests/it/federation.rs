//! One federal requester and 85 owner agencies of eleven states: every owner with keepers, charter, logs and policy of its own, on an
//! address of its own, in this process, over TLS. Four owners have an archive with reads in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use lockplate_core::Timestamp;
use lockplate_core::charter::{AcceptKeyFiles, CharterFile, LeafWait, LogName};
use lockplate_core::entry::{Leaf, LogEntry, RequestDecision, RequestLeaf, parse_leaf};
use lockplate_core::id::{AgencyId, KeeperIndex};
use lockplate_core::keeper::Verdict;
use lockplate_core::plate::Jurisdiction;
use lockplate_core::sign::SigningKey;
use lockplate_core::vocabulary::{ArchiveKind, Basis, Offence, Purpose, Role, State};
use lockplate_node::agency::{self, Agency, AgencyConfig, AgencySettings};
use lockplate_node::client::{PeerClient, PeerTrust};
use lockplate_node::clock::{Clock, TestClock};
use lockplate_node::follow::{LogSource, Reader, follow};
use lockplate_node::founding::{
    AgencyCard, AgencyFiles, AgencyParty, CharterTerms, KeeperFiles, KeeperParty, PlateOrdered, SignedPaper,
    WarrantOrder, agency_trust_entry, assemble, court_trust_entry, draft_charter, found_agency, found_keeper,
    make_note_key, sign_as_agency, sign_as_keeper, sign_warrant, statement_signer,
};
use lockplate_node::keeper::{self, KeeperConfig, KeeperSettings, admin};
use lockplate_node::officers::Roster;
use lockplate_node::recorder::{Sealed, SealerProgram};
use lockplate_node::rng::SystemRng;
use lockplate_node::search::federation::{Federation, NamedOwner, News, Part, Tally};
use lockplate_node::search::{Asked, EMBARGO_S, Keep, Mode, Officer, SearchFault, desk_limits};
use lockplate_node::settings;
use lockplate_node::shutdown::{ExitKind, Tasks};
use lockplate_policy::Bundle;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::search::{late, write};
use crate::town_clock::TownClock;

/// Owners; "more than 80 agencies" in the story.
const OWNERS: usize = 85;
/// Their states, in turn.
const STATES: [&str; 11] = ["CT", "CA", "IL", "NJ", "NH", "VA", "WA", "VT", "MN", "NM", "NY"];
/// Owners with an archive: the warrant names all but the last. Connecticut, New Jersey, Virginia; the last is in Connecticut too.
const WITH_READS: [usize; 4] = [0, 3, 16, 11];
/// An owner whose keepers can be made to keep everybody waiting.
const SLOW: usize = 5;
/// Owners that are away in the last part.
const DOWN: [usize; 5] = [20, 33, 46, 59, 84];
/// 2026-11-22T12:00:00Z.
const NOW: u64 = 1_795_348_800;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
const PLATE: &str = "AB12345";
const PASSCODE: &str = "correct horse";
const JUDGE: &str = "judge.district.example";
const PATIENCE: Duration = Duration::from_secs(120);

/// The address of a party: every owner is a host of its own on the loopback, so that no two tests and no two owners meet.
fn host(owner: usize, port: u16) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = u8::try_from(owner + 1).unwrap();
    SocketAddr::from((Ipv4Addr::new(127, 64 | (high & 63), low, last), port))
}

/// A way to a keeper on which nothing passes while it is held.
async fn hold(shown: SocketAddr, behind: SocketAddr, held: watch::Receiver<bool>, tasks: &Tasks) {
    let listener = TcpListener::bind(shown).await.unwrap();
    let (stopping, tasks_too) = (tasks.stopping().clone(), tasks.clone());
    tasks.spawn("held-way", async move {
        loop {
            let (mut caller, _) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                () = stopping.cancelled() => return,
            };
            let (mut held, stopping) = (held.clone(), stopping.clone());
            tasks_too.spawn("held-call", async move {
                let Ok(mut keeper) = TcpStream::connect(behind).await else { return };
                let (mut from_caller, mut to_caller) = caller.split();
                let (mut from_keeper, mut to_keeper) = keeper.split();
                let there = async {
                    let mut bytes = vec![0; 16 * 1024];
                    while let Ok(count @ 1..) = from_caller.read(&mut bytes).await {
                        held.wait_for(|held| !held).await.unwrap();
                        if to_keeper.write_all(&bytes[..count]).await.is_err() {
                            break;
                        }
                    }
                };
                // Whoever ends it, both ends learn of it.
                tokio::select! {
                    () = there => {}
                    _over = tokio::io::copy(&mut from_keeper, &mut to_caller) => {}
                    () = stopping.cancelled() => {}
                }
            });
        }
    });
}

/// One owner agency with its keepers.
struct Owner {
    name: String,
    charter: CharterFile,
    card: AgencyCard,
    keepers: Vec<(KeeperSettings, Option<Tasks>)>,
    humans: Vec<PathBuf>,
}

impl Owner {
    /// Two keepers of two offices, both of whom must agree.
    fn found(number: usize, folder: &Path, requester: &AgencyCard, judge: &lockplate_log::VerifierKey) -> Self {
        let home = folder.join(format!("owner-{number:02}"));
        let path = |name: &str| home.join(name);
        std::fs::create_dir_all(path("agency/keys")).unwrap();
        let files = AgencyFiles::in_folder(&path("agency/keys"));
        let state = STATES[number % STATES.len()];
        let name = format!("Town {number:02} Police Department");
        let party = AgencyParty {
            name: name.clone(),
            ori: String::new(),
            state: state.to_owned(),
            level: "local".to_owned(),
            law_enforcement: true,
            host: format!("alpr.town-{number:02}.example"),
            url: format!("https://{}", host(number, 8_440)),
            owner: true,
        };
        let card = found_agency(&files, &party, None, &mut SystemRng).unwrap();
        let (mut cards, mut keeper_files, mut humans) = (Vec::new(), Vec::new(), Vec::new());
        for place in 1..=2_u16 {
            let keys = path(&format!("keeper-{place}/keys"));
            std::fs::create_dir_all(&keys).unwrap();
            let party = KeeperParty {
                name: format!("Keeper {place} of town {number:02}"),
                legal_entity: format!("Office {place}"),
                host: format!("k{place}.town-{number:02}.example"),
                url: format!("https://{}", host(number, 8_440 + place)),
            };
            let files = KeeperFiles::in_folder(&keys);
            let human = path(&format!("human-{place}.pem"));
            cards.push(found_keeper(&files, core::slice::from_ref(&human), &party, &mut SystemRng).unwrap());
            keeper_files.push(files);
            humans.push(human);
        }
        let (from, until) = (Timestamp(NOW - DAY), Timestamp(NOW + 300 * DAY));
        let terms = CharterTerms {
            archive_kind: ArchiveKind::Police,
            threshold: 2,
            // New Hampshire lets reads be kept for minutes, and no charter there says otherwise.
            epoch_seconds: if state == "NH" { 120 } else { HOUR },
            retention_seconds: if state == "NH" { 45 } else { 21 * DAY },
            opening_keep_seconds: 366 * DAY,
            extract_entries_max: 1_000_000,
            accounts_max: 0,
            accept_key_files: AcceptKeyFiles::All,
            accept_attested: true,
            trust: vec![
                agency_trust_entry(&card, from, until).unwrap(),
                agency_trust_entry(requester, from, until).unwrap(),
                court_trust_entry("Judge 17", "District Court", judge.clone(), from, until),
            ],
            policy: Bundle::shipped(State::parse(state).unwrap()).digest(),
            policy_signers: vec![make_note_key(&path("policy.pem"), "clerk.example", &mut SystemRng).unwrap()],
            policy_quorum: 1,
            auditors: Vec::new(),
            audit_percent: 5,
            witnesses: Vec::new(),
            outside_witnesses: 0,
            keeper_leaves: LeafWait::Cosigned,
            agency_leaves: LeafWait::Durable,
            agencies: vec![requester.clone()],
        };
        let draft = draft_charter(&card, &cards, terms).unwrap();
        let mut lines = vec![sign_as_agency(&draft, &files).unwrap().to_string()];
        lines.extend(keeper_files.iter().map(|files| sign_as_keeper(&draft, files).unwrap().1.to_string()));
        let charter = assemble(&draft, &lines).unwrap();
        write(&path("charter.auth"), charter.bytes());
        let keepers = (1..=2_u16).map(|place| {
            let port = if number == SLOW { 9_440 } else { 8_440 } + place;
            let text = format!(
                "data = 'keeper-{place}'\ncharter = 'charter.auth'\nplace = {place}\n[listen]\naddress = '{}'",
                host(number, port)
            );
            let config: KeeperConfig = settings::parse(&path("keeper.toml"), &text).unwrap();
            (KeeperSettings::try_from((path("keeper.toml").as_path(), config)).unwrap(), None)
        });
        Self { name, charter, card, keepers: keepers.collect(), humans }
    }

    async fn start(&mut self, clock: &Arc<TestClock>) {
        let mut started = Vec::new();
        for (settings, running) in &mut self.keepers {
            let tasks = Tasks::new();
            started.push(keeper::start(settings.clone(), TownClock::over(clock), &tasks).await.unwrap());
            *running = Some(tasks);
        }
        for mut keeper in started {
            keeper.ready().await.unwrap();
        }
    }

    async fn stop(&mut self) {
        for (_, running) in &mut self.keepers {
            if let Some(tasks) = running.take() {
                tasks.finish(Duration::from_secs(30)).await.unwrap();
            }
        }
    }

    /// Requests in the public log of a keeper, every leaf of it proved from the first to the last under its confirmed head.
    async fn requests(&self, place: u8, folder: &Path) -> Vec<RequestLeaf> {
        let charter = self.charter.charter();
        let name = LogName::Keeper(KeeperIndex(place));
        let log = charter.log(&name).unwrap();
        let source = LogSource {
            prefix_url: log.url(),
            trust: PeerTrust::Pinned(log.tls_pin),
            policy: charter.witness_policy(&name).unwrap(),
            reader: Reader::RelyingParty,
        };
        let folder = folder.join(log.key.name().as_str().replace('/', "+"));
        let followed = follow(&source, &folder, NOW + 600).await.unwrap();
        assert_eq!(followed.cosigned().cosignatures.len(), 1, "the other keeper confirmed it");
        let mut requests = Vec::new();
        let view = followed.view();
        let every_leaf = view.verify::<lockplate_log::Error>(0..view.bundle_count(), |_, leaf| {
            if let Leaf::Known(stamped) = parse_leaf(leaf).unwrap()
                && let LogEntry::Request(request) = stamped.entry()
            {
                requests.push(RequestLeaf::clone(request));
            }
            Ok(())
        });
        every_leaf.unwrap();
        requests
    }
}

/// Everybody.
struct Country {
    folder: TempDir,
    clock: Arc<TestClock>,
    owners: Vec<Owner>,
    archives: Vec<Agency>,
    requester: AgencyCard,
    desk: Option<Agency>,
    officer: Officer,
    held: watch::Sender<bool>,
    doors: Tasks,
}

impl Country {
    fn found() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("desk/keys")).unwrap();
        let files = AgencyFiles::in_folder(&path("desk/keys"));
        let party = AgencyParty {
            name: "Federal Enforcement Office".to_owned(),
            ori: String::new(),
            state: "US".to_owned(),
            level: "federal".to_owned(),
            law_enforcement: true,
            host: "desk.federal.example".to_owned(),
            url: format!("https://{}", host(OWNERS, 8_440)),
            owner: false,
        };
        let requester = found_agency(&files, &party, None, &mut SystemRng).unwrap();
        write(&path("card.json"), &serde_json::to_vec(&requester).unwrap());
        let judge = make_note_key(&path("judge.pem"), JUDGE, &mut SystemRng).unwrap();
        let owners: Vec<Owner> =
            (0..OWNERS).map(|number| Owner::found(number, folder.path(), &requester, &judge)).collect();

        let person = || SigningKey::random(&mut SystemRng);
        let officer = Officer {
            key: person(),
            agency: AgencyId::parse(&requester.id).unwrap(),
            passcode: Some(Zeroizing::new(PASSCODE.to_owned())),
            seconds: vec![person()],
        };
        let (roster, trained) = (Roster::at(&path("desk/officers.json")), Timestamp(NOW + 100 * DAY));
        let (first, second) = (officer.key.verify_key().0, officer.seconds[0].verify_key().0);
        roster.add_officer(&first, trained, &BTreeSet::new(), Some(PASSCODE), &mut SystemRng).unwrap();
        roster.add_officer(&second, trained, &BTreeSet::from([Role::Supervisor]), None, &mut SystemRng).unwrap();
        let mut text =
            format!("data = 'desk'\n[listen]\naddress = '{}'\n[desk]\ncard = 'card.json'\n", host(OWNERS, 8_440));
        for (number, owner) in owners.iter().enumerate() {
            let hash = hex::encode(owner.charter.hash());
            text.push_str(&format!("[[desk.owner]]\ncharter = 'owner-{number:02}/charter.auth'\nhash = '{hash}'\n"));
        }
        write(&path("desk.toml"), text.as_bytes());
        Self {
            clock: Arc::new(TestClock::new(i64::try_from((NOW + 600) * 1_000).unwrap())),
            folder,
            owners,
            archives: Vec::new(),
            requester,
            desk: None,
            officer,
            held: watch::Sender::new(false),
            doors: Tasks::new(),
        }
    }

    async fn start(&mut self) {
        for place in 1..=2 {
            let (shown, behind) = (host(SLOW, 8_440 + place), host(SLOW, 9_440 + place));
            hold(shown, behind, self.held.subscribe(), &self.doors).await;
        }
        let clock = Arc::clone(&self.clock);
        stream::iter(self.owners.iter_mut().map(|owner| owner.start(&clock))).buffer_unordered(6).collect::<()>().await;
        for number in WITH_READS {
            let archive = self.archive(number).await;
            self.archives.push(archive);
        }
        let settings = AgencySettings::load(&self.folder.path().join("desk.toml"), []).unwrap();
        self.desk = Some(agency::start(settings, self.clock.clone(), &Tasks::new()).await.unwrap());
    }

    /// Recorder and archive of one owner, with reads in three closed hours: the plate in two hours and an hour before, another plate in each.
    async fn archive(&self, number: usize) -> Agency {
        let home = self.folder.path().join(format!("owner-{number:02}"));
        let text = format!(
            "data = 'agency'\n[listen]\naddress = '{}'\n[recorder]\ncharter = 'charter.auth'\n\
             prekeys_target = 12\nprekeys_low = 6",
            host(number, 8_440)
        );
        let config: AgencyConfig = settings::parse(&home.join("agency.toml"), &text).unwrap();
        let name = self.folder.path().file_name().unwrap().to_str().unwrap();
        let program = SealerProgram {
            path: std::env::current_exe().unwrap(),
            arguments: ["--exact", "agency::sealer_child", name, "--ignored", "--nocapture"].map(str::to_owned).into(),
        };
        let settings = AgencySettings::try_from((home.join("agency.toml").as_path(), config)).unwrap();
        let agency = agency::start(settings.with_sealer(program), self.clock.clone(), &Tasks::new()).await.unwrap();
        let reads: Vec<_> = [6, 3, 2]
            .into_iter()
            .flat_map(|ago| {
                let at = NOW - ago * HOUR + 60 + u64::try_from(number).unwrap();
                [late(PLATE, at, 1), late("CD67890", at + 1, 1)]
            })
            .collect();
        assert_eq!(super::agency::seal(&agency, reads).await, [Sealed::Stored; 6]);
        agency.recorder().unwrap().late_done().await.unwrap();
        let told = async {
            let db = rusqlite::Connection::open(home.join("agency/agency.db")).unwrap();
            let sql = "SELECT (SELECT count(*) FROM told), 2 * (SELECT count(*) FROM epoch WHERE state = 3)";
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
        agency
    }

    /// A new one each time, as each command is a process of its own.
    fn federation(&self) -> Federation {
        let pin = lockplate_core::id::from_b64url(&self.requester.tls_pin).unwrap();
        let desk = PeerClient::new(&self.requester.url, PeerTrust::Pinned(pin), desk_limits()).unwrap();
        let owners = self.owners.iter().map(|owner| NamedOwner { name: None, charter: owner.charter.clone() });
        let clock: Arc<dyn Clock> = TownClock::over(&self.clock);
        Federation::new(owners.collect(), &desk, &self.folder.path().join("pending"), &clock).unwrap()
    }

    fn ask(purpose: Purpose, basis: Basis) -> Asked {
        Asked {
            plate: Zeroizing::new(PLATE.to_owned()),
            state: Jurisdiction::parse("US-CT"),
            spellings: Mode::Fold,
            purpose,
            basis,
            case_number: "26-1234".to_owned(),
            offence: Offence::Felony,
            offence_text: "an invented offence".to_owned(),
            facts: "A witness saw this invented car leave the yard in the morning.".to_owned(),
            emergency: None,
            hold: false,
            from: Timestamp(NOW - 4 * HOUR),
            to: Timestamp(NOW - HOUR),
            on_behalf_of: None,
            authorisation: None,
            disclosures: Vec::new(),
            valid_for_s: DAY,
            embargo_s: EMBARGO_S,
        }
    }

    /// Civil immigration on an administrative warrant.
    fn unlawful() -> Asked {
        Self::ask(Purpose::CivilImmigration, Basis::AdministrativeWarrant)
    }

    fn warrant(&self) -> SignedPaper {
        let order = WarrantOrder {
            kind: "search-warrant".to_owned(),
            issuer: JUDGE.to_owned(),
            court: "District Court".to_owned(),
            docket: "26-1".to_owned(),
            valid_from: "2026-11-22T00:00:00Z".to_owned(),
            valid_until: "2026-12-22T00:00:00Z".to_owned(),
            requester: self.requester.id.clone(),
            officer: String::new(),
            owners: WITH_READS[..3].iter().map(|number| self.owners[*number].card.id.clone()).collect(),
            plates: vec![PlateOrdered { state: "US-CT".to_owned(), text: PLATE.to_owned() }],
            window: ("2026-11-22T08:00:00Z".to_owned(), "2026-11-22T11:00:00Z".to_owned()),
            purpose: "crimeInvestigation".to_owned(),
            offence: "felony".to_owned(),
            max_requests: 1,
            pdf: String::new(),
            supersedes: String::new(),
        };
        sign_warrant(&order, &self.folder.path().join("judge.pem"), Timestamp(NOW), &mut SystemRng).unwrap()
    }

    /// Waits until a keeper's person is asked about a request, and has him say yes.
    async fn approve(&self, owner: usize, request: &[u8; 32]) {
        let prefix = hex::encode(&request[..4]);
        let asked = async {
            loop {
                for ((settings, _), human) in self.owners[owner].keepers.iter().zip(&self.owners[owner].humans) {
                    let key = statement_signer(human).unwrap();
                    let now = Timestamp(NOW + 600);
                    if admin::decide(&settings.admin_socket(), &prefix, Verdict::Approve, &key, now).await.is_ok() {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("a person is asked");
    }

    /// Files of the officer's folder with this end of their name.
    fn left(&self, ending: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("pending")).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
    }

    async fn end(mut self) {
        self.desk.take().unwrap().end().await.unwrap();
        for archive in self.archives {
            archive.end().await.unwrap();
        }
        stream::iter(self.owners.iter_mut().map(Owner::stop)).buffer_unordered(8).collect::<()>().await;
        self.doors.finish(Duration::from_secs(20)).await.unwrap();
    }
}

/// Resident memory of this process at its highest, MiB.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Says how far a test has come, and what it costs.
struct Costs(std::time::Instant);

impl Costs {
    #[expect(clippy::disallowed_methods, reason = "a test measures real time")]
    fn begin() -> Self {
        Self(std::time::Instant::now())
    }

    fn say(&self, what: &str) {
        eprintln!("{:6.1} s  {:5} MiB  {:5} files  {what}", self.0.elapsed().as_secs_f64(), memory_mib(), open_files());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eighty_five_owners_refuse_by_name_in_public_and_open_to_a_judge_what_he_names() {
    let costs = Costs::begin();
    let mut country = Country::found();
    costs.say("founded");
    country.start().await;
    costs.say("started");
    let officer = &country.officer;

    // Civil immigration on an administrative warrant: refused by every owner, each by its own keepers.
    let federation = country.federation();
    let everybody: Vec<usize> = (0..OWNERS).collect();
    let drafted = federation.draft(officer, &Country::unlawful(), &everybody, &mut SystemRng).unwrap();
    assert_eq!((drafted.parts.len(), drafted.left_out.len(), country.left(".pending").len()), (OWNERS, 0, OWNERS));
    let (mut refused, mut seen) = (BTreeMap::new(), 0_usize);
    let mut hear = |part: &Part, news: News<'_>| match news {
        News::Filed => {}
        News::Status(_) => seen += 1,
        News::Ended(Err(SearchFault::Refused(refusals))) => drop(refused.insert(part.owner, refusals.clone())),
        News::Ended(other) => panic!("{}: {other:?}", country.owners[part.owner].name),
    };
    let tally = federation.search(officer, &drafted, PATIENCE, Keep::Nothing, &mut hear).await.unwrap();
    costs.say("refused");
    assert_eq!((tally.refused, refused.len(), tally.exit_kind()), (OWNERS, OWNERS, ExitKind::Refused));
    assert!(seen >= OWNERS);
    for refusal in refused.values().flatten() {
        let rules: BTreeSet<&str> = refusal.reasons.iter().map(|reason| reason.rule.as_str()).collect();
        assert!(rules.is_superset(&BTreeSet::from(["base.civil-immigration", "base.immigration-paper"])), "{rules:?}");
    }
    assert!(country.left("").is_empty(), "all have ended, and nothing of it is left on the officer's disk");

    // It stands in the public log of every keeper, once.
    let requests: BTreeMap<usize, [u8; 32]> =
        drafted.parts.iter().map(|(part, _)| (part.owner, part.request)).collect();
    let watched = country.folder.path().join("watched");
    let logs = country.owners.iter().enumerate().flat_map(|(number, owner)| [(number, owner, 1), (number, owner, 2)]);
    let leaves: Vec<(usize, RequestLeaf)> = stream::iter(logs)
        .map(async |(number, owner, place)| {
            // The desk asks the second keeper too when the first has said no; its log is confirmed a moment later.
            let there = async {
                loop {
                    let requests = owner.requests(place, &watched).await;
                    if let [request] = requests.as_slice() {
                        return request.clone();
                    }
                    assert!(requests.is_empty(), "{}: {} requests", owner.name, requests.len());
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            };
            (number, tokio::time::timeout(PATIENCE, there).await.expect("the refusal is published"))
        })
        .buffer_unordered(4)
        .collect()
        .await;
    costs.say("read in every log");
    assert_eq!(leaves.len(), 2 * OWNERS);
    let requester = AgencyId::parse(&country.requester.id).unwrap();
    let mut digests = BTreeSet::new();
    for (number, leaf) in &leaves {
        let owner = country.owners[*number].charter.charter();
        assert_eq!((leaf.request, leaf.owner, leaf.requester), (requests[number], owner.owner.id, requester));
        assert_eq!((leaf.purpose, leaf.basis), (Purpose::CivilImmigration, Basis::AdministrativeWarrant));
        assert_eq!((leaf.decision, leaf.judicial, leaf.epochs_allowed), (RequestDecision::Deny, false, 0));
        for rule in ["base.civil-immigration", "base.immigration-paper"] {
            assert!(leaf.rules.contains(rule), "{:?}", leaf.rules);
        }
        assert_eq!(leaf.policy, owner.policy);
        digests.insert(leaf.request);
    }
    assert_eq!(digests.len(), OWNERS, "each owner's request is its own");
    let states: BTreeSet<&str> =
        country.owners.iter().map(|owner| owner.charter.charter().owner.state.code()).collect();
    assert!(states.len() >= 6, "{states:?}");

    // A judge's warrant for one plate: of all owners those that it names are asked, and open exactly that.
    let paper = country.warrant();
    let lawful = Asked {
        authorisation: Some(paper.auth.clone()),
        disclosures: paper.disclosures.iter().cloned().map(Zeroizing::new).collect(),
        ..Country::ask(Purpose::CrimeInvestigation, Basis::SearchWarrant)
    };
    let federation = country.federation();
    let named = federation.named_by_paper(&everybody, &lawful);
    assert_eq!(named, WITH_READS[..3]);
    // The last one has the plate too, is not named by the paper, and is asked by name all the same.
    let unnamed = federation.find(&country.owners[WITH_READS[3]].name.to_uppercase()).unwrap();
    assert_eq!(unnamed, WITH_READS[3]);
    let asked: Vec<usize> = named.iter().copied().chain([unnamed]).collect();
    let drafted = federation.draft(officer, &lawful, &asked, &mut SystemRng).unwrap();
    let mut ends = BTreeMap::new();
    let approvals = async {
        for (part, _) in drafted.parts.iter().filter(|(part, _)| part.owner != unnamed) {
            country.approve(part.owner, &part.request).await;
        }
    };
    let mut hear = |part: &Part, news: News<'_>| {
        if let News::Ended(ended) = news {
            let told = match ended {
                Ok(fetched) => Ok(fetched.found.iter().map(|one| (one.time_ms, one.text.clone())).collect::<Vec<_>>()),
                Err(SearchFault::Refused(refusals)) => Err(refusals.clone()),
                Err(other) => panic!("{}: {other:?}", country.owners[part.owner].name),
            };
            assert!(ends.insert(part.owner, told).is_none());
        }
    };
    let search = federation.search(officer, &drafted, PATIENCE, Keep::Nothing, &mut hear);
    let (tally, ()) = tokio::join!(search, approvals);
    let tally = tally.unwrap();
    costs.say("searched under the warrant");
    assert_eq!((tally.found, tally.refused, ends.len(), tally.exit_kind()), (3, 1, 4, ExitKind::Done));
    for number in named {
        let at = |ago: u64| {
            let seconds = NOW - ago * HOUR + 60 + u64::try_from(number).unwrap();
            (i64::try_from(seconds * 1_000).unwrap(), PLATE.to_owned())
        };
        assert_eq!(ends[&number], Ok(vec![at(3), at(2)]), "exactly the plate, exactly the window, of this owner");
    }
    let Err(refusals) = &ends[&unnamed] else { panic!("opened to a paper that does not name it") };
    let rules: BTreeSet<&str> =
        refusals.iter().flat_map(|one| &one.reasons).map(|reason| reason.rule.as_str()).collect();
    assert!(rules.contains("base.claimed-paper") && rules.contains("base.federal-needs-court"), "{rules:?}");
    assert_eq!(country.owners[1].requests(1, &watched).await.len(), 1, "who was not asked has not heard of it");

    // Five owners are away, and one keeps everybody waiting: the others answer, and who is away is named.
    for number in DOWN {
        country.owners[number].stop().await;
    }
    country.held.send_replace(true);
    let officer = &country.officer;
    let federation = country.federation();
    let drafted = federation.draft(officer, &Country::unlawful(), &everybody, &mut SystemRng).unwrap();
    let filed = federation.file(officer, &drafted, &mut |_, _| {}).await.unwrap();
    assert_eq!((filed, filed.exit_kind()), (Tally::default(), ExitKind::Done));
    let away = BTreeSet::from_iter(DOWN.into_iter().chain([SLOW]));
    let others = OWNERS - away.len();
    let (mut answered, mut unreached) = (BTreeSet::new(), BTreeSet::new());
    // One command after the other, by the number alone.
    let rounds = async {
        loop {
            unreached.clear();
            let mut hear = |part: &Part, news: News<'_>| match news {
                News::Ended(Err(SearchFault::Refused(_))) => assert!(answered.insert(part.owner), "told once"),
                News::Ended(Err(SearchFault::Unavailable(_) | SearchFault::Waiting(_))) => {
                    unreached.insert(part.owner);
                }
                News::Ended(other) => panic!("{other:?}"),
                News::Filed | News::Status(_) => {}
            };
            let fetch = country
                .federation()
                .fetch(officer, &drafted.number, Duration::from_secs(2), Keep::Nothing, &mut hear)
                .await;
            let tally = fetch.unwrap();
            assert_eq!(tally.refused + tally.open(), OWNERS);
            assert_eq!(tally.exit_kind(), ExitKind::Unavailable, "not all have said their last word");
            if answered.len() == others {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, rounds).await.expect("those who are there answer although one holds on");
    costs.say("answered by all who are there");
    assert_eq!(unreached, away);
    country.held.send_replace(false);
    let slow = async {
        while !answered.contains(&SLOW) {
            let mut hear = |part: &Part, news: News<'_>| match news {
                News::Ended(Err(SearchFault::Refused(_))) => assert!(answered.insert(part.owner), "told once"),
                News::Ended(Err(SearchFault::Unavailable(_) | SearchFault::Waiting(_))) => {
                    assert!(away.contains(&part.owner));
                }
                News::Ended(other) => panic!("{other:?}"),
                News::Filed | News::Status(_) => {}
            };
            let wait = Duration::from_secs(2);
            country.federation().fetch(officer, &drafted.number, wait, Keep::Nothing, &mut hear).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, slow).await.expect("the slow one answers when it can");
    costs.say("answered by the slow one");
    let standing = country.federation().status(officer, &drafted.number).await.unwrap();
    let open: BTreeSet<usize> =
        standing.iter().filter(|(part, _)| part.end.is_none()).map(|(part, _)| part.owner).collect();
    assert_eq!(open, BTreeSet::from(DOWN));
    assert_eq!(country.left(".pending").len(), DOWN.len(), "only what is open is kept");
    for file in country.left("") {
        let bytes = std::fs::read(file).unwrap();
        assert!(!bytes.windows(PLATE.len()).any(|part| part == PLATE.as_bytes()), "no plate on the officer's disk");
    }
    country.end().await;
    costs.say("over");
}

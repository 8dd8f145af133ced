//! Hot lists of a real agency over TLS, with witnesses that go away and come back: what is in the log is in force once it is confirmed,
//! whoever stopped meanwhile, and nothing else is; who may say what about a list.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::entry::{HotlistLeaf, ListKind, LogEntry};
use lockplate_core::hotlist::set::{ListSettings, SetKind};
use lockplate_core::hotlist::steward::{ListConfig, LoadOrder, config_digest};
use lockplate_core::id::AgencyId;
use lockplate_core::json::{Field as _, time_text};
use lockplate_core::person::ByPerson;
use lockplate_core::sign::SigningKey;
use lockplate_core::vocabulary::{Purpose, Role};
use lockplate_node::agency::Agency;
use lockplate_node::api::{B64, Done};
use lockplate_node::client::{CallLimits, PeerError};
use lockplate_node::clock::Clock as _;
use lockplate_node::hotlist::{
    HEADER_ORDERS, LISTS_MAX, ListHealth, ListRegistered, ListsHealth, LoadReport, orders_value,
};
use lockplate_node::officers::Roster;
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::search::read_person_key;
use lockplate_node::shift::SignedIn;
use lockplate_oprf::Secret;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::agency::{HOUR, NOW, Town};
use crate::alerts::Traces;

const PASSCODE: &str = "correct horse";
const PATIENCE: Duration = Duration::from_secs(60);
/// The keepers whose absence leaves a log without its quorum.
const AWAY: [usize; 2] = [1, 2];

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([byte; 32]))
}

fn steward() -> SigningKey {
    key(0x61)
}

fn supervisor() -> SigningKey {
    key(0x62)
}

fn colleague() -> SigningKey {
    key(0x63)
}

fn roster(town: &Town) -> Roster {
    Roster::at(&town.folder.path().join("agency/officers.json"))
}

/// A town whose agency has a steward, a supervisor and a colleague; nothing runs of it but the keepers.
async fn town() -> Town {
    let town = Town::with("[desk]\ncard = 'card.json'\n[alerts]\nlink = 'https://alerts.example/a'\n").await;
    for (key, roles) in [
        (steward(), BTreeSet::new()),
        (supervisor(), BTreeSet::from([Role::Supervisor])),
        (colleague(), BTreeSet::new()),
    ] {
        let trained = Timestamp(NOW + 100 * 86_400);
        roster(&town).add_officer(&key.verify_key().0, trained, &roles, Some(PASSCODE), &mut SystemRng).unwrap();
    }
    town
}

fn now(town: &Town) -> Timestamp {
    Timestamp(u64::try_from(town.clock.now_ms() / 1_000).unwrap())
}

/// A list of the agency's own as its steward would sign it.
fn config(town: &Town, byte: u8, kind: SetKind) -> ListConfig {
    ListConfig {
        agency: AgencyId(town.owner()),
        name: format!("list {byte}"),
        settings: ListSettings { list: [byte; 16], kind, conf_min: 800, trust_jurisdiction: false },
        purpose: (kind == SetKind::Custom).then_some(Purpose::MissingPerson),
        template: [0; 32],
        entries_max: 1_000_000,
        alert_key: None,
        serial: 1,
        retired: false,
        time: now(town),
    }
}

fn line(id: &str, plate: &str, class: &str, case: &str) -> Value {
    json!({
        "entry_id": id, "plate": plate, "jurisdiction": "US-CT", "class": class, "source_file": "INV", "offence": "felony",
        "entered_at": time_text(Timestamp(NOW)), "expires_at": time_text(Timestamp(NOW + 10 * 86_400)), "case": case,
        "basis": "reasonableSuspicion", "agency": "CT0000000",
    })
}

/// Some lines of one case.
fn lines(plates: core::ops::Range<usize>, case: &str) -> Vec<Value> {
    plates.map(|at| line(&format!("e{at}"), &format!("ZKX{at:03}"), "custom", case)).collect()
}

/// A file of the own format: full with sequence 1, else what changed.
fn file(config: &ListConfig, sequence: u64, now: Timestamp, lines: &[Value]) -> Vec<u8> {
    let is_full = sequence == 1 || config.settings.kind == SetKind::Extract;
    let mut header = json!({
        "list": config.name, "mode": if is_full { "full" } else { "incremental" }, "sequence": sequence,
        "produced_at": time_text(now), "entries": lines.len(),
    });
    if !is_full {
        header["base"] = json!(sequence - 1);
    }
    let lines: Vec<String> = std::iter::once(&header).chain(lines).map(Value::to_string).collect();
    format!("{}\n", lines.join("\n")).into_bytes()
}

/// An officer in a shift.
struct Shift(SignedIn);

impl Shift {
    async fn of(town: &Town, key: SigningKey) -> Self {
        let limits = CallLimits { total: Duration::from_secs(300), ..CallLimits::default() };
        Self(SignedIn::sign_in(town.client_within(limits), key, PASSCODE, now(town)).await.unwrap())
    }

    async fn say(&self, config: &ListConfig) -> Result<(), ProblemKind> {
        let config = B64(ByPerson::with_key(self.0.key(), config.clone()).to_bytes());
        let asked = ListRegistered { config, template: None, directory: None, session: None, approval: None };
        let said: Result<Done, PeerError> = self.0.post("/v1/hotlists", &asked).await;
        said.map(drop).map_err(|error| error.problem().unwrap())
    }

    /// Brings a file, with others who sign for it.
    async fn bring(
        &self,
        town: &Town,
        list: &ListConfig,
        file: &[u8],
        others: &[SigningKey],
    ) -> Result<LoadReport, ProblemKind> {
        let digest = Sha256::digest(file).into();
        let order = LoadOrder { list: list.settings.list, file: digest, delivery: None, time: now(town) };
        let keys = std::iter::once(self.0.key()).chain(others);
        let orders: Vec<_> = keys.map(|key| ByPerson::with_key(key, order.clone())).collect();
        let mut headers = self.0.headers();
        headers.insert(HEADER_ORDERS, orders_value(&orders).unwrap());
        let path = format!("/v1/hotlists/{}/loads", hex::encode(list.settings.list));
        let said = self.0.client().post_with(&path, headers, file.to_vec()).await;
        said.map(|bytes| serde_json::from_slice(&bytes).unwrap()).map_err(|error| error.problem().unwrap())
    }

    async fn lists(&self) -> Result<Vec<ListHealth>, PeerError> {
        self.0.get::<ListsHealth>("/v1/hotlists").await.map(|health| health.lists)
    }

    async fn health(&self, list: &ListConfig) -> Option<ListHealth> {
        let id = hex::encode(list.settings.list);
        self.lists().await.unwrap().into_iter().find(|one| one.id == id)
    }

    /// A list with a first load.
    async fn begin(&self, town: &Town, config: &ListConfig, lines: &[Value]) {
        self.say(config).await.unwrap();
        let file = file(config, 1, now(town), lines);
        let said = self.bring(town, config, &file, &[supervisor()]).await.unwrap();
        assert_eq!(said.state, "live", "{said:?}");
    }
}

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_elapsed| panic!("not in time: {what}"));
}

/// Leaves of lists by list, as a stranger reads them.
async fn leaves(town: &Town) -> BTreeMap<u8, Vec<HotlistLeaf>> {
    let mut leaves: BTreeMap<u8, Vec<HotlistLeaf>> = BTreeMap::new();
    for entry in town.log().await {
        if let LogEntry::Hotlist(leaf) = entry {
            leaves.entry(leaf.list[0]).or_default().push(leaf);
        }
    }
    leaves
}

fn said(leaves: &BTreeMap<u8, Vec<HotlistLeaf>>, list: u8) -> Vec<(ListKind, u64)> {
    leaves.get(&list).into_iter().flatten().map(|leaf| (leaf.kind, leaf.sequence)).collect()
}

async fn send_away(town: &mut Town) {
    for place in AWAY {
        town.stop_keeper(place).await;
    }
}

use ListKind::{Config, Full, Incremental, Retire};

#[tokio::test(flavor = "multi_thread")]
async fn a_load_whose_witnesses_are_away_is_said_once_and_takes_effect_when_they_are_back() {
    let mut town = town().await;
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let (own, other) = (config(&town, 1, SetKind::Custom), config(&town, 2, SetKind::Custom));
    officer.begin(&town, &own, &lines(0..1, "26-1")).await;
    officer.begin(&town, &other, &lines(10..11, "26-2")).await;
    send_away(&mut town).await;

    let two = [supervisor()];
    let second = file(&own, 2, now(&town), &lines(1..2, "26-1"));
    let waits = officer.bring(&town, &own, &second, &two).await.unwrap();
    assert_eq!((waits.state.as_str(), waits.sequence, waits.entries), ("waiting", 2, 2), "{waits:?}");
    let health = officer.health(&own).await.unwrap();
    assert_eq!(
        (health.sequence, health.entries, health.waits),
        (1, 1, true),
        "nothing is in force before it is confirmed"
    );
    // Another file of the same number, as an officer makes it who tries again.
    let again = file(&own, 2, now(&town), &lines(2..3, "26-1"));
    let refused = officer.bring(&town, &own, &again, &two).await.unwrap();
    assert_eq!(refused.state, "refused");
    assert!(refused.why[0].contains("waits for the log's witnesses"), "{refused:?}");
    let same = officer.bring(&town, &own, &second, &two).await.unwrap();
    assert_eq!((same.state.as_str(), same.sequence), ("waiting", 2), "the same file is found again");
    // Caps of the agency's own lists are counted over all of them.
    let elsewhere = file(&other, 2, now(&town), &lines(11..12, "26-2"));
    let refused = officer.bring(&town, &other, &elsewhere, &two).await.unwrap();
    assert!(refused.state == "refused" && refused.why[0].contains("another list"), "{refused:?}");

    town.start_keepers(&AWAY).await;
    until("the load is in force", async || officer.health(&own).await.unwrap().sequence == 2).await;
    let health = officer.health(&own).await.unwrap();
    assert_eq!((health.entries, health.waits), (2, false));
    let same = officer.bring(&town, &own, &second, &two).await.unwrap();
    assert_eq!((same.state.as_str(), same.sequence, same.entries), ("live", 2, 2), "asked again, it is what it was");
    let third = file(&own, 3, now(&town), &lines(2..3, "26-1"));
    assert_eq!(officer.bring(&town, &own, &third, &two).await.unwrap().state, "live");
    let leaves = leaves(&town).await;
    assert_eq!(said(&leaves, 1), [(Config, 1), (Full, 1), (Incremental, 2), (Incremental, 3)], "each number once");
    assert_eq!(said(&leaves, 2), [(Config, 1), (Full, 1)]);
    agency.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_logged_before_an_end_is_in_force_after_it_and_what_was_not_never_was() {
    let mut town = town().await;
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let two = [supervisor()];
    let [loaded, ended, untouched] = [1, 2, 3].map(|byte| config(&town, byte, SetKind::Custom));
    let extract = config(&town, 4, SetKind::Extract);
    for (at, list) in [&loaded, &ended, &untouched].into_iter().enumerate() {
        officer.begin(&town, list, &lines(10 * at..10 * at + 1, "26-1")).await;
    }
    let stolen = |n: usize| {
        (0..n).map(|at| line(&format!("s{at}"), &format!("QQX{at:03}"), "stolenVehicle", "")).collect::<Vec<_>>()
    };
    officer.begin(&town, &extract, &stolen(1)).await;
    let renamed = config(&town, 7, SetKind::Custom);
    officer.say(&renamed).await.unwrap();
    send_away(&mut town).await;

    let second = file(&extract, 2, now(&town), &stolen(2));
    assert_eq!(officer.bring(&town, &extract, &second, &two).await.unwrap().state, "waiting");
    let change = file(&loaded, 2, now(&town), &lines(1..2, "26-1"));
    assert_eq!(officer.bring(&town, &loaded, &change, &two).await.unwrap().state, "waiting");
    let end = ListConfig { serial: 2, retired: true, ..ended.clone() };
    assert_eq!(officer.say(&end).await, Err(ProblemKind::LogUnwitnessed));
    let new = config(&town, 5, SetKind::Custom);
    assert_eq!(officer.say(&new).await, Err(ProblemKind::LogUnwitnessed));
    let namesake = ListConfig { name: new.name.clone(), ..config(&town, 6, SetKind::Custom) };
    assert_eq!(officer.say(&namesake).await, Err(ProblemKind::Conflicting), "the name is taken");
    let other_name = ListConfig { name: "another name".to_owned(), serial: 2, ..renamed.clone() };
    assert_eq!(officer.say(&other_name).await, Err(ProblemKind::LogUnwitnessed));
    for name in [&renamed.name, &other_name.name] {
        let namesake = ListConfig { name: name.clone(), ..config(&town, 6, SetKind::Custom) };
        assert_eq!(
            officer.say(&namesake).await,
            Err(ProblemKind::Conflicting),
            "both names are taken until it is confirmed"
        );
    }
    drop(agency.end().await);
    // As after a crash between writing a load down and its leaf: a change of which the log knows nothing.
    let known = LogEntry::Hotlist(plant(&town));
    town.start_keepers(&AWAY).await;

    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    until("the load is in force", async || officer.health(&loaded).await.unwrap().sequence == 2).await;
    assert_eq!(officer.health(&loaded).await.unwrap().entries, 2);
    until("the list has ended", async || officer.health(&ended).await.unwrap().state == "retired").await;
    assert_eq!(officer.health(&ended).await.unwrap().entries, 0);
    until("the new list is there", async || officer.health(&new).await.is_some()).await;
    until("it has its name", async || officer.health(&renamed).await.unwrap().list == "another name").await;
    let health = officer.health(&untouched).await.unwrap();
    assert_eq!((health.state.as_str(), health.sequence, health.entries), ("live", 1, 1));
    until("nothing is under way", async || under_way(&town) == 0).await;
    assert!(!town.log().await.contains(&known), "what was only written down is not said later");
    let next = file(&untouched, 2, now(&town), &lines(21..22, "26-1"));
    let next = officer.bring(&town, &untouched, &next, &two).await.unwrap();
    assert_eq!((next.state.as_str(), next.entries), ("live", 2), "and its number is free: {next:?}");
    // An extract is in memory only: its file comes again and is logged already.
    let health = officer.health(&extract).await.unwrap();
    assert_eq!((health.state.as_str(), health.waits), ("absent", false));
    assert_eq!(officer.bring(&town, &extract, &second, &two).await.unwrap().state, "live");
    // The end once more, and another word on it.
    assert_eq!(officer.say(&end).await, Ok(()));
    assert_eq!(officer.say(&ListConfig { serial: 3, ..end.clone() }).await, Err(ProblemKind::Conflicting));
    let leaves = leaves(&town).await;
    assert_eq!(said(&leaves, 1), [(Config, 1), (Full, 1), (Incremental, 2)]);
    assert_eq!(said(&leaves, 2), [(Config, 1), (Full, 1), (Retire, 2)], "a list that is ended twice has one leaf");
    assert_eq!(said(&leaves, 3), [(Config, 1), (Full, 1), (Incremental, 2)]);
    assert_eq!(said(&leaves, 7), [(Config, 1), (Config, 2)]);
    assert_eq!(said(&leaves, 4), [(Config, 1), (Full, 1), (Full, 2)]);
    assert_eq!(said(&leaves, 5), [(Config, 1)]);
    agency.end().await.unwrap();
    // Once more: an end is an end, also from the disk.
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let health = officer.health(&ended).await.unwrap();
    assert_eq!((health.state.as_str(), health.entries), ("retired", 0));
    assert_eq!(officer.health(&loaded).await.unwrap().entries, 2);
    agency.end().await.unwrap();
}

fn db(town: &Town) -> rusqlite::Connection {
    rusqlite::Connection::open(town.folder.path().join("agency/agency.db")).unwrap()
}

fn under_way(town: &Town) -> i64 {
    db(town).query_row("SELECT count(*) FROM hotlist_change", [], |row| row.get(0)).unwrap()
}

/// Writes down a change of list 3 that was never logged, made from that of list 1.
fn plant(town: &Town) -> HotlistLeaf {
    let db = db(town);
    let text: Vec<u8> =
        db.query_row("SELECT leaf FROM hotlist_change WHERE list = ?1", [[1_u8; 16]], |row| row.get(0)).unwrap();
    let leaf = HotlistLeaf::from_json(lockplate_core::json::parse_canonical(&text).unwrap()).unwrap();
    let leaf = HotlistLeaf { list: [3; 16], ..leaf };
    let text = leaf.to_json().to_canonical_bytes().unwrap();
    let sql = "INSERT INTO hotlist_change (list, from_leaf, leaf, loaded_at, file, officer, set_salt, steward, kept, is_full)
               SELECT ?1, 0, ?2, loaded_at, file, officer, set_salt, steward, kept, is_full FROM hotlist_change WHERE list = ?3";
    assert_eq!(db.execute(sql, rusqlite::params![[3_u8; 16], text, [1_u8; 16]]).unwrap(), 1);
    leaf
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_plate_of_a_case_needs_a_human_keeper_in_whichever_list_it_is() {
    let town = town().await;
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let (one, other) = (config(&town, 1, SetKind::Custom), config(&town, 2, SetKind::Custom));
    officer.begin(&town, &one, &lines(0..3, "26-0042")).await;
    officer.say(&other).await.unwrap();
    let file = file(&other, 1, now(&town), &lines(3..6, "26 0042"));
    let held = officer.bring(&town, &other, &file, &[supervisor()]).await.unwrap();
    assert_eq!(held.state, "held", "{held:?}");
    assert!(held.why[0].contains("human keeper"), "{held:?}");
    let colleagues = officer.bring(&town, &other, &file, &[supervisor(), colleague()]).await.unwrap();
    assert_eq!(colleagues.state, "held", "officers are no keepers");
    let stranger = officer.bring(&town, &other, &file, &[supervisor(), key(9)]).await;
    assert_eq!(stranger.unwrap_err(), ProblemKind::NotSignedIn);
    let keeper = || read_person_key(&town.human()).unwrap();
    let unsupervised = officer.bring(&town, &other, &file, &[keeper()]).await.unwrap();
    assert_eq!(
        (unsupervised.state.as_str(), unsupervised.classes[0].dropped),
        ("refused", 3),
        "a keeper is no supervisor of officers"
    );
    let loaded = officer.bring(&town, &other, &file, &[supervisor(), keeper()]).await.unwrap();
    assert_eq!((loaded.state.as_str(), loaded.entries), ("live", 3), "{loaded:?}");
    agency.end().await.unwrap();
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    for list in [&one, &other] {
        let health = officer.health(list).await.unwrap();
        assert_eq!((health.state.as_str(), health.entries), ("live", 3), "kept, with what was signed for it");
    }
    agency.end().await.unwrap();
}

/// Nobody signs twice for an entry: who takes another one off, and who leaves, changes nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn entries_stay_that_others_signed_for_whoever_brings_the_next_file_or_leaves() {
    let town = town().await;
    let other = key(0x64);
    let (trained, roles) = (Timestamp(NOW + 100 * 86_400), BTreeSet::from([Role::Supervisor]));
    roster(&town).add_officer(&other.verify_key().0, trained, &roles, Some(PASSCODE), &mut SystemRng).unwrap();
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let own = config(&town, 1, SetKind::Custom);
    officer.begin(&town, &own, &lines(0..4, "26-0042")).await;
    let state = |said: LoadReport| (said.state, said.entries);
    let live = |entries| ("live".to_owned(), entries);
    let more = file(&own, 2, now(&town), &lines(4..5, "26-0043"));
    assert_eq!(state(officer.bring(&town, &own, &more, &[key(0x64)]).await.unwrap()), live(5));
    let off = file(&own, 3, now(&town), &[json!({"entry_id": "e0", "op": "remove"})]);
    assert_eq!(
        state(officer.bring(&town, &own, &off, &[]).await.unwrap()),
        live(4),
        "one is gone, by an officer alone"
    );
    agency.end().await.unwrap();
    roster(&town).set_active(&other.verify_key().0, false).unwrap();
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let health = officer.health(&own).await.unwrap();
    assert_eq!((health.state.as_str(), health.entries), ("live", 3), "that of the supervisor who left");
    agency.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_two_people_released_is_in_force_again_after_a_restart_without_them() {
    let town = town().await;
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let list = config(&town, 1, SetKind::Extract);
    let stolen = |n: usize| -> Vec<Value> {
        (0..n).map(|at| line(&format!("e{at}"), &format!("ZK{at:04}"), "stolenVehicle", "")).collect()
    };
    officer.begin(&town, &list, &stolen(10)).await;
    let grown = file(&list, 2, now(&town), &stolen(1_500));
    assert_eq!(officer.bring(&town, &list, &grown, &[]).await.unwrap().state, "held");
    assert_eq!(officer.bring(&town, &list, &grown, &[supervisor()]).await.unwrap().state, "live");
    agency.end().await.unwrap();
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let said = officer.bring(&town, &list, &grown, &[]).await.unwrap();
    assert_eq!((said.state.as_str(), said.entries, said.sequence), ("live", 1_500, 2), "{said:?}");
    let larger = file(&list, 3, now(&town), &stolen(3_000));
    assert_eq!(officer.bring(&town, &list, &larger, &[]).await.unwrap().state, "held", "another file waits for them");
    agency.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_about_a_list_is_in_the_log_and_only_its_steward_or_a_supervisor_says_it() {
    let town = town().await;
    let agency = town.start().await;
    let [officer, chief, other] =
        [Shift::of(&town, steward()).await, Shift::of(&town, supervisor()).await, Shift::of(&town, colleague()).await];
    let first = config(&town, 1, SetKind::Custom);
    let beyond = ListConfig { entries_max: first.entries_max + 1, ..first.clone() };
    assert_eq!(officer.say(&beyond).await, Err(ProblemKind::Invalid), "the charter lets no more");
    officer.begin(&town, &first, &lines(0..1, "26-1")).await;
    let settings = ListSettings { conf_min: 950, ..first.settings };
    let second = ListConfig { settings, serial: 2, ..first.clone() };
    assert_eq!(other.say(&second).await, Err(ProblemKind::NotSignedIn));
    officer.say(&second).await.unwrap();
    officer.say(&second).await.unwrap();
    let third = ListConfig { serial: 3, ..second.clone() };
    chief.say(&third).await.unwrap();
    assert_eq!(officer.health(&first).await.unwrap().entries, 1, "the set in force goes on");
    let end = ListConfig { serial: 4, retired: true, ..third.clone() };
    // It is the supervisor's now.
    assert_eq!(
        (other.say(&end).await, officer.say(&end).await),
        (Err(ProblemKind::NotSignedIn), Err(ProblemKind::NotSignedIn))
    );
    chief.say(&end).await.unwrap();
    let leaves = leaves(&town).await;
    let leaves = &leaves[&1];
    let signed = |shift: &Shift, config: &ListConfig| config_digest(&ByPerson::with_key(shift.0.key(), config.clone()));
    let expected = [
        (Config, 1, signed(&officer, &first)),
        (Full, 1, leaves[1].set),
        (Config, 2, signed(&officer, &second)),
        (Config, 3, signed(&chief, &third)),
        (Retire, 2, signed(&chief, &end)),
    ];
    assert_eq!(leaves.iter().map(|leaf| (leaf.kind, leaf.sequence, leaf.set)).collect::<Vec<_>>(), expected);

    // Whoever is suspended sees no list.
    assert_eq!(other.lists().await.unwrap().len(), 1);
    roster(&town).set_active(&colleague().verify_key().0, false).unwrap();
    assert_eq!(other.lists().await.unwrap_err().problem(), Some(ProblemKind::NotSignedIn));

    // The name of what ended is free, and so is its place.
    let namesake = ListConfig { name: first.name.clone(), ..config(&town, 100, SetKind::Custom) };
    officer.say(&namesake).await.unwrap();
    let twice = ListConfig { name: first.name.clone(), ..config(&town, 101, SetKind::Custom) };
    assert_eq!(officer.say(&twice).await, Err(ProblemKind::Conflicting));
    for byte in 101..100 + u8::try_from(LISTS_MAX).unwrap() {
        officer.say(&config(&town, byte, SetKind::Extract)).await.unwrap();
    }
    let more = config(&town, 250, SetKind::Extract);
    assert_eq!(officer.say(&more).await, Err(ProblemKind::Invalid), "no place");
    officer.say(&ListConfig { serial: 2, retired: true, ..namesake }).await.unwrap();
    officer.say(&more).await.unwrap();
    agency.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_waited_for_its_turn_does_not_bring_back_a_list_that_ended() {
    let town = town().await;
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let list = config(&town, 1, SetKind::Extract);
    let many = |n: usize| {
        (0..n).map(|at| line(&format!("s{at}"), &format!("Q{at:06}"), "stolenVehicle", "")).collect::<Vec<_>>()
    };
    officer.begin(&town, &list, &many(40_000)).await;
    // The first is judged for a while; the end and the second load come meanwhile, one after the other.
    let (second, third) = (file(&list, 2, now(&town), &many(40_000)), file(&list, 3, now(&town), &many(2)));
    let end = ListConfig { serial: 2, retired: true, ..list.clone() };
    let two = [supervisor()];
    let after = |ms| tokio::time::sleep(Duration::from_millis(ms));
    let (_first, ended, queued) = tokio::join!(
        officer.bring(&town, &list, &second, &two),
        async {
            after(40).await;
            officer.say(&end).await
        },
        async {
            after(80).await;
            officer.bring(&town, &list, &third, &two).await
        },
    );
    assert_eq!(ended, Ok(()));
    assert!(queued.is_err() || queued.is_ok_and(|report| report.state == "live"), "before the end it may be taken");
    let health = officer.health(&list).await.unwrap();
    assert_eq!((health.state.as_str(), health.entries), ("retired", 0));
    assert_eq!(said(&leaves(&town).await, 1).last().unwrap().0, Retire, "the end is the last word");
    agency.end().await.unwrap();
}

/// What `/readyz` says of hot lists. Not before it seals.
async fn hot_lists(town: &Town) -> Value {
    let client = town.client_within(CallLimits::default());
    until("it is ready", async || client.get_json::<Value>("/readyz", &[]).await.is_ok()).await;
    client.get_json::<Value>("/readyz", &[]).await.unwrap()["hot_lists"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_list_is_not_switched_off_by_an_officer_alone_nor_moved_on_by_what_changes_nothing() {
    let town = town().await;
    let agency = town.start().await;
    let [officer, other] = [Shift::of(&town, steward()).await, Shift::of(&town, colleague()).await];
    let own = config(&town, 1, SetKind::Custom);
    officer.begin(&town, &own, &lines(0..3, "26-1")).await;
    let off = |id: &str| json!({"entry_id": id, "op": "remove"});
    let state = |said: LoadReport| (said.state, said.entries);
    let (refused, live) = (("refused".to_owned(), 0), |entries| ("live".to_owned(), entries));

    // A whole file of one line that nobody else signed; the same with a supervisor is the list.
    let header = json!({
        "list": own.name, "mode": "full", "sequence": 2, "produced_at": time_text(now(&town)), "entries": 1,
    });
    let whole = format!("{header}\n{}\n", line("z", "ZZX999", "custom", "26-2")).into_bytes();
    for shift in [&other, &officer] {
        let said = shift.bring(&town, &own, &whole, &[]).await.unwrap();
        assert_eq!((said.state.as_str(), said.classes[0].dropped), ("refused", 1), "{said:?}");
        assert!(said.why[0].contains("the list would be empty"), "{said:?}");
    }
    // One entry of others, or all but one.
    for ids in [&["e0"][..], &["e0", "e1"]] {
        let ids: Vec<Value> = ids.iter().map(|id| off(id)).collect();
        let said = other.bring(&town, &own, &file(&own, 2, now(&town), &ids), &[]).await.unwrap();
        assert!(said.state == "refused" && said.why[0].contains("others brought"), "{said:?}");
    }
    assert_eq!(said(&leaves(&town).await, 1), [(Config, 1), (Full, 1)], "nothing of it is a load");
    // What a person brings and what changes nothing is no load: the next one has the same number.
    let nothing = [(vec![off("nobody")], vec![supervisor()]), (lines(7..8, "26-7"), vec![]), (vec![], vec![])];
    for (lines, others) in nothing {
        let file = file(&own, 2, now(&town), &lines);
        let said = officer.bring(&town, &own, &file, &others).await.unwrap();
        assert!(said.state == "refused" && said.why[0].contains("nothing changes"), "{said:?}");
    }
    assert_eq!(said(&leaves(&town).await, 1), [(Config, 1), (Full, 1)], "nothing of it is a load either");

    // One's own goes by one's own word, others' by the steward's or a supervisor's.
    let more = file(&own, 2, now(&town), &lines(3..4, "26-3"));
    assert_eq!(state(other.bring(&town, &own, &more, &[supervisor()]).await.unwrap()), live(4));
    let own_off = file(&own, 3, now(&town), &[off("e3")]);
    assert_eq!(state(other.bring(&town, &own, &own_off, &[]).await.unwrap()), live(3));
    let others_off = file(&own, 4, now(&town), &[off("e0")]);
    assert_eq!(state(other.bring(&town, &own, &others_off, &[]).await.unwrap()), refused);
    assert_eq!(state(other.bring(&town, &own, &others_off, &[supervisor()]).await.unwrap()), live(2));
    let last_off = file(&own, 5, now(&town), &[off("e1"), off("e2")]);
    assert_eq!(state(officer.bring(&town, &own, &last_off, &[]).await.unwrap()), live(0), "by its steward");
    agency.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extract_that_shrinks_is_told_until_the_next_good_load_and_one_that_loses_all_is_not_loaded() {
    let traces = Traces::begin();
    let town = town().await;
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let list = config(&town, 1, SetKind::Extract);
    let some = |n: usize, class: &str| -> Vec<Value> {
        (0..n).map(|at| line(&format!("e{at}"), &format!("ZK{at:04}"), class, "")).collect()
    };
    officer.begin(&town, &list, &some(10, "stolenVehicle")).await;
    assert_eq!(hot_lists(&town).await, "ok");
    let load = async |sequence, lines: &[Value]| {
        officer.bring(&town, &list, &file(&list, sequence, now(&town), lines), &[]).await.unwrap()
    };
    let renamed = load(2, &some(10, "SV")).await;
    assert_eq!((renamed.state.as_str(), renamed.sequence), ("refused", 0), "{renamed:?}");
    assert_eq!((officer.health(&list).await.unwrap().entries, hot_lists(&town).await), (10, json!("ok")));
    assert_eq!(load(2, &some(5, "stolenVehicle")).await.entries, 5);
    let health = officer.health(&list).await.unwrap();
    assert!(health.state == "live" && health.alarm.unwrap().starts_with("list-shrunk"));
    assert_eq!(hot_lists(&town).await, "warning");
    until("it is told", async || traces.count("list-shrunk") == 1).await;
    assert_eq!(load(3, &some(6, "stolenVehicle")).await.entries, 6);
    assert_eq!((officer.health(&list).await.unwrap().alarm, hot_lists(&town).await), (None, json!("ok")));
    agency.end().await.unwrap();

    // Nothing is in force after a restart: what the log speaks of counts.
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let renamed = file(&list, 4, now(&town), &some(10, "SV"));
    assert_eq!(officer.bring(&town, &list, &renamed, &[]).await.unwrap().state, "refused");
    assert_eq!(officer.health(&list).await.unwrap().state, "absent");
    agency.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_overdue_too_old_or_away_is_told_once_and_stops_no_read() {
    let traces = Traces::begin();
    let town = town().await;
    let agency = town.start().await;
    let officer = Shift::of(&town, steward()).await;
    let (list, never) = (config(&town, 1, SetKind::Extract), config(&town, 2, SetKind::Extract));
    officer.begin(&town, &list, &[line("s1", "QQX001", "stolenVehicle", "")]).await;
    officer.say(&never).await.unwrap();
    assert_eq!(hot_lists(&town).await, "ok", "a list that was never loaded is no alarm");
    town.clock.advance(Duration::from_secs(13 * HOUR));
    // Shifts end after twelve hours.
    let officer = Shift::of(&town, steward()).await;
    assert_eq!(officer.health(&list).await.unwrap().state, "overdue");
    assert_eq!(hot_lists(&town).await, "warning");
    until("it is told", async || traces.count("list-overdue") == 1).await;
    town.clock.advance(Duration::from_secs(13 * HOUR));
    until("it is told", async || traces.count("list-too-old") == 1).await;
    let officer = Shift::of(&town, steward()).await;
    let newer = file(&list, 2, now(&town), &[line("s1", "QQX001", "stolenVehicle", "")]);
    assert_eq!(officer.bring(&town, &list, &newer, &[supervisor()]).await.unwrap().state, "live");
    assert_eq!(hot_lists(&town).await, "ok");
    agency.end().await.unwrap();
    let agency: Agency = town.start().await;
    until("it is told", async || traces.count("list-absent") == 1).await;
    assert_eq!(hot_lists(&town).await, "warning");
    // Two more looks at the lists.
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!(["list-overdue", "list-too-old", "list-absent"].map(|alarm| traces.count(alarm)), [1, 1, 1]);
    assert!(!traces.text().contains("QQX001"));
    agency.end().await.unwrap();
}

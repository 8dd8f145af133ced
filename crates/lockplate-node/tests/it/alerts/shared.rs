//! Two agencies over TLS: one has the cameras, the other the list. The alert is looked at and closed where the list is; where the cameras
//! are only its count stays. A third agency gets nothing.

use lockplate_core::authorisation::{SessionBody, SessionStatement};
use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey};
use lockplate_core::hotlist::handover::{AlertsAsked, lists_asked};
use lockplate_core::hotlist::set::ListSettings;
use lockplate_core::hotlist::steward::ListConfig;
use lockplate_core::id::AgencyId;
use lockplate_core::sign::Statement as _;
use lockplate_core::signed::{Header, Signable as _, VersionOne};
use lockplate_core::vocabulary::{Level, State};
use lockplate_log::{NoteSigner, VerifierKey};
use lockplate_node::alerts::wire::{HandedAsked, HandedGiven};
use lockplate_node::api::Done;
use lockplate_node::founding::{AgencyCard, AgencyFiles, AgencyParty, found_agency, note_signer, statement_signer};
use lockplate_node::hotlist::{ListRegistered, SharedAsked, SharedLists};
use lockplate_node::officers::{AgencyIdentity, OfficerRow, sign_directory};
use lockplate_node::settings::read_or_create_secret;

use super::*;

const DESK: &str = "[desk]\ncard = 'card.json'\n";
const LIST: [u8; 16] = [0x4c; 16];
const DAY: u64 = 86_400;

/// An agency's keys, without its machine.
struct Keys {
    identity: AgencyIdentity,
    agency: NoteSigner,
    desk: NoteSigner,
    slip: SigningKey,
}

impl Keys {
    fn of(card: &AgencyCard, folder: &std::path::Path) -> Self {
        let files = AgencyFiles::in_folder(folder);
        let signer = |path: &std::path::Path, key: &str| {
            note_signer(path, VerifierKey::parse(key).unwrap().name().as_str()).unwrap()
        };
        let identity = AgencyIdentity {
            id: AgencyId::parse(&card.id).unwrap(),
            name: card.name.clone(),
            ori: String::new(),
            state: State::parse(&card.state).unwrap(),
            level: Level::from_name(&card.level).unwrap(),
            law_enforcement: true,
        };
        Self {
            identity,
            agency: signer(&files.agency, &card.agency_key),
            desk: signer(&files.desk, &card.desk_key),
            slip: statement_signer(&files.desk).unwrap(),
        }
    }

    /// Signed at a time, with the steward, who has two keys, a second person, and one who is out of service.
    fn directory(&self, serial: u64, issued: u64) -> Vec<u8> {
        let officer = |person: &str, keys: &[u8], active| OfficerRow {
            person: person.repeat(32),
            keys: keys.iter().map(|seed| hex::encode(key(*seed).verify_key().0)).collect(),
            trained_until: NOW + 100 * DAY,
            active,
            roles: Vec::new(),
            passcode: None,
        };
        let officers =
            [officer("01", &[0x61, 0x62], true), officer("02", &[0x63], true), officer("03", &[0x64], false)];
        let (log, desk) = (self.desk.verifier_key().name().as_str(), self.desk.verifier_key());
        let made = (serial, Timestamp(issued));
        sign_directory(&self.identity, &officers, made, log, desk, &self.agency, &mut SystemRng).unwrap()
    }

    /// The list, signed at a time.
    fn config(&self, alert: HpkePublicKey, time: Timestamp) -> ListConfig {
        ListConfig {
            agency: self.identity.id,
            name: "stolen of others".to_owned(),
            settings: ListSettings { list: LIST, kind: SetKind::Extract, conf_min: 800, trust_jurisdiction: false },
            purpose: None,
            template: [0; 32],
            entries_max: 1_000,
            alert_key: Some(alert),
            serial: 1,
            retired: false,
            time,
        }
    }

    /// The desk's word for a steward.
    fn session(&self, time: Timestamp, request_digest: [u8; 32]) -> B64 {
        let name = self.desk.verifier_key().name().as_str().to_owned();
        let session = SessionStatement {
            header: Header { v: VersionOne, nonce: [7; 16], issued: time, issuer: name.clone() },
            body: SessionBody {
                provider: name,
                subject: "officer".to_owned(),
                acr: String::new(),
                amr: ["swk", "pwd"].map(str::to_owned).into(),
                auth_time: time,
                request_digest,
            },
        };
        B64(session.sign(&[&self.desk]).unwrap())
    }

    /// Registers a list at the recorder of the cameras; `approved` is what somebody else signs, by the seed of the key.
    async fn register(
        &self,
        cameras: &Town,
        config: &ListConfig,
        serial: u64,
        approved: Option<(&ListConfig, u8)>,
    ) -> Result<(), Option<ProblemKind>> {
        let time = now(&cameras.clock);
        let asked = ListRegistered {
            config: B64(ByPerson::with_key(&steward(), config.clone()).to_bytes()),
            template: None,
            directory: Some(B64(self.directory(serial, time.0))),
            session: Some(self.session(time, ListConfig::signed_hash(&config.encode()))),
            approval: approved.map(|(config, seed)| B64(ByPerson::with_key(&key(seed), config.clone()).to_bytes())),
        };
        let client = cameras.client_within(CallLimits::default());
        let said: Result<Done, _> = client.post_json("/v1/hotlists", &asked, None).await;
        said.map(drop).map_err(|error| error.problem())
    }

    /// Ids of the agency's lists there, by a session for a recorder's charter; the desk's clock is ahead by so many seconds.
    async fn lists(&self, cameras: &Town, charter: [u8; 32], ahead: u64) -> Result<Vec<String>, Option<ProblemKind>> {
        let time = now(&cameras.clock);
        let directory = B64(self.directory(time.0, time.0));
        let asked = SharedAsked { directory, session: self.session(Timestamp(time.0 + ahead), lists_asked(&charter)) };
        let client = cameras.client_within(CallLimits::default());
        let said: Result<SharedLists, _> = client.post_json("/v1/hotlists/shared", &asked, None).await;
        said.map(|said| said.lists.into_iter().map(|list| list.id).collect()).map_err(|error| error.problem())
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32]))
}

fn steward() -> SigningKey {
    key(0x61)
}

/// What somebody shows at the door of the cameras' recorder.
#[derive(Clone, Copy)]
struct Call<'a> {
    cameras: &'a Town,
    by: &'a Keys,
    directory: &'a [u8],
    asked: AlertsAsked,
}

impl Call<'_> {
    async fn make(&self) -> Result<HandedGiven, Option<ProblemKind>> {
        let call = B64(self.by.slip.sign(self.asked).to_bytes());
        let body = HandedAsked { call, directory: B64(self.directory.to_vec()) };
        let client = self.cameras.client_within(CallLimits::default());
        client.post_json("/v1/alerts/handed", &body, None).await.map_err(|error| error.problem())
    }
}

fn hit(cameras: &Town, entry_id: &str, to: &HpkePublicKey) -> Sighted {
    let sighted = stolen(cameras, entry_id);
    let entry = ListEntry { entered_at: Timestamp(0), ..sighted.hit.entry.clone() };
    Sighted { hit: Hit { list: LIST, entry, ..sighted.hit.clone() }, sealed_to: Some(to.clone()), ..sighted }
}

/// (alerts, alerts with content) in a database.
fn kept(town: &Town) -> (i64, i64) {
    let db = rusqlite::Connection::open(town.folder.path().join("agency/agency.db")).unwrap();
    let sql = "SELECT count(*), count(*) FILTER (WHERE length(sealed) > 0) FROM alert";
    db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

async fn is_refused(what: &str, call: Call<'_>) {
    assert_eq!(call.make().await.unwrap_err(), Some(ProblemKind::NotSignedIn), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_on_another_agencys_list_is_looked_at_and_closed_there_and_by_nobody_else() {
    let traces = Traces::begin();
    let mut owner = Town::with(DESK).await;
    enlist(&owner);
    let third_folder = tempfile::tempdir().unwrap();
    let party = AgencyParty {
        name: "Eastport Police".to_owned(),
        ori: String::new(),
        state: "CT".to_owned(),
        level: "local".to_owned(),
        law_enforcement: true,
        host: "eastport.example".to_owned(),
        url: format!("https://{}", free_port()),
        owner: false,
    };
    let files = AgencyFiles::in_folder(third_folder.path());
    let third_card = found_agency(&files, &party, None, &mut SystemRng).unwrap();
    let third = Keys::of(&third_card, third_folder.path());
    let keys = Keys::of(&owner.card(), &owner.folder.path().join("agency/keys"));
    let cameras = Town::among(DESK, &[owner.card(), third_card]).await;
    let charter = cameras.charter.hash();
    owner.reconfigure(&format!(
        "{DESK}[[alerts.from]]\ncharter = '{}'\nhash = '{}'\nlists = ['{}']\n",
        cameras.folder.path().join("charter.auth").display(),
        hex::encode(charter),
        hex::encode(LIST),
    ));
    let seed = read_or_create_secret(&owner.folder.path().join("agency/keys/alert.key"), &mut SystemRng).unwrap();
    let to = HpkeSecretKey::from_seed(Secret::new(*seed)).public_key().unwrap();

    // A list that nobody registered yet is one that does not answer.
    let there = cameras.start().await;
    let here = owner.start().await;
    until("it is said that the recorder is silent", async || health(&owner).await.silent_recorders == 1).await;
    let config = keys.config(to.clone(), now(&cameras.clock));
    let other = ListConfig { entries_max: 999, ..config.clone() };
    for (signed, by, why) in [
        (&other, 0x63, "what the second person signed is another list"),
        (&config, 0x61, "the steward himself"),
        (&config, 0x62, "the steward himself, with another key"),
        (&config, 0x64, "somebody out of service"),
        (&config, 0x65, "a stranger"),
    ] {
        let approved = keys.register(&cameras, &config, 5, Some((signed, by))).await;
        assert_eq!(approved, Err(Some(ProblemKind::Invalid)), "{why}");
    }
    keys.register(&cameras, &config, 5, Some((&config, 0x63))).await.unwrap();
    assert_eq!(keys.lists(&cameras, charter, 200).await.unwrap(), [hex::encode(LIST)]);
    assert_eq!(
        keys.lists(&cameras, charter, 400).await,
        Err(Some(ProblemKind::NotSignedIn)),
        "a session of the future"
    );
    assert_eq!(third.lists(&cameras, charter, 0).await.unwrap(), [""; 0], "each agency sees its own lists");
    assert_eq!(
        keys.lists(&cameras, [1; 32], 0).await,
        Err(Some(ProblemKind::NotSignedIn)),
        "a session for another recorder"
    );
    until("and that it answers", async || health(&owner).await.silent_recorders == 0).await;

    // A hit there is an event here.
    let [one, two] = officers(&owner).await;
    let mut events = one.stream(None).await;
    let mut took = Vec::new();
    let mut ids = Vec::new();
    for number in 0..20 {
        let begun = Instant::now();
        there.alerts().unwrap().hit(hit(&cameras, &number.to_string(), &to));
        let (name, event) = events.next().await;
        took.push(begun.elapsed());
        assert_eq!((name.as_str(), event.place.as_deref()), ("alert", Some(PLACE)));
        ids.push(event.id);
    }
    took.sort_unstable();
    println!("from a hit there to the event here: median {:?}, p95 {:?}", took[10], took[18]);
    assert!(took[18] < Duration::from_secs(3), "{took:?}");
    until("what was handed over is erased there", async || kept(&cameras) == (20, 0)).await;
    let of_cameras = health(&cameras).await;
    assert_eq!((of_cameras.raised, of_cameras.to_hand_over), (0, 0));

    // It is worked on as any other.
    let opened = one.show(&ids[0]).await.unwrap().content().unwrap();
    assert_eq!((opened.text.entry.plate.as_str(), opened.crop.as_slice()), (PLATE, b"jpeg".as_slice()));
    assert_eq!(one.look(&ids[0], PLATE, "US-CT").await.unwrap().state, "looked");
    assert_eq!(two.confirm(&ids[0], true).await.unwrap().state, "verified");
    assert_eq!(one.close(&ids[0], "recovered", true).await.unwrap().state, "closed");
    one.look(&ids[1], "QXZ4477", "US-CT").await.unwrap();
    assert_eq!(one.close(&ids[1], "misread", false).await.unwrap().state, "closed");
    assert_eq!(health(&owner).await.misreading_cameras, [] as [u32; 0], "the camera is another agency's");

    for _step in 0..5 {
        events.next_id("step").await;
    }

    // While this end is away: what is fetched soon is live, what is fetched late is recorded.
    let last = events.events.number();
    drop(events);
    here.end().await.unwrap();
    let advance = |seconds: u64| {
        for town in [&owner, &cameras] {
            town.clock.advance(Duration::from_secs(seconds));
        }
    };
    there.alerts().unwrap().hit(hit(&cameras, "late", &to));
    until("it waits", async || health(&cameras).await.to_hand_over == 1).await;
    advance(200);
    there.alerts().unwrap().hit(hit(&cameras, "soon", &to));
    until("both wait", async || health(&cameras).await.to_hand_over == 2).await;

    // Nobody else gets them, and nothing but what was signed for this recorder, now and once.
    let clock = now(&cameras.clock).0;
    let asked = AlertsAsked { charter, list: LIST, after: [0; 16], time_ms: (clock + 60) * 1_000 };
    // The serial of what the owner's machine has shown: its desk takes the clock.
    let shown = NOW + 600;
    let (fresh, thirds) = (keys.directory(shown, clock), third.directory(shown, clock));
    let good = Call { cameras: &cameras, by: &keys, directory: &fresh, asked };
    is_refused("a third agency", Call { by: &third, directory: &thirds, ..good }).await;
    is_refused("a third agency with the owner's directory", Call { by: &third, ..good }).await;
    is_refused("the owner with another's directory", Call { directory: &thirds, ..good }).await;
    is_refused("a directory that is over", Call { directory: &keys.directory(shown, clock - 8 * DAY), ..good }).await;
    is_refused("a directory that was replaced", Call { directory: &keys.directory(4, clock), ..good }).await;
    is_refused("another recorder's", Call { asked: AlertsAsked { charter: [1; 32], ..asked }, ..good }).await;
    is_refused("an unknown list", Call { asked: AlertsAsked { list: [1; 16], ..asked }, ..good }).await;
    let old = AlertsAsked { time_ms: (clock - 301) * 1_000, ..asked };
    is_refused("an old call", Call { asked: old, ..good }).await;
    let given = good.make().await.unwrap();
    assert_eq!(given.alerts.len(), 2);
    is_refused("the same call again", good).await;
    let later = AlertsAsked { time_ms: asked.time_ms + 1, ..asked };
    is_refused(
        "an older directory than was shown",
        Call { directory: &keys.directory(shown - 1, clock), asked: later, ..good },
    )
    .await;
    let sealed = serde_json::to_string(&given).unwrap();
    assert!(!sealed.contains(PLATE) && !sealed.contains("stolenVehicle") && !sealed.contains(PLACE));
    // They were shown and not confirmed: they are still there, in the form in which the owner's machine finds them.
    assert_eq!(kept(&cameras), (22, 2));

    advance(61);
    let here = owner.start().await;
    let [one, _] = officers(&owner).await;
    let mut events = one.stream(last).await;
    let soon = events.next_id("alert").await;
    until("both are here", async || kept(&owner).0 == 22).await;
    let lines = one.list().await;
    assert_eq!(lines.iter().filter(|line| line.id == soon && line.live).count(), 1);
    assert_eq!(lines.iter().filter(|line| !line.live).count(), 1, "nobody was notified of the late one");
    until("and there no more", async || kept(&cameras) == (22, 0)).await;

    // The numbers of the day: raised where the cameras are, looked at where the list is.
    advance(31 * 60);
    until("nobody looked at the others", async || health(&owner).await.expired == 20).await;
    advance(13 * HOUR);
    until("the leaf there", async || !leaves(cameras.log().await).is_empty()).await;
    until("the leaf here", async || !leaves(owner.log().await).is_empty()).await;
    let (leaf_there, leaf_here) = (leaves(cameras.log().await).remove(0), leaves(owner.log().await).remove(0));
    assert_eq!((leaf_there.raised[0].n, leaf_there.handed, leaf_there.looked, leaf_there.expired), (22, 22, 0, 0));
    let ages: Vec<_> = leaf_there.entry_ages.iter().map(|one| (one.age.name(), one.n)).collect();
    assert_eq!(ages, [("year_or_more", 22)]);
    assert_eq!((leaf_here.raised.len(), leaf_here.taken, leaf_here.looked, leaf_here.verified), (0, 22, 2, 1));
    assert_eq!(leaf_here.closed.iter().map(|one| one.n).sum::<u64>(), 2);
    assert_eq!((leaf_here.expired, leaf_here.handed), (20, 0));

    // What was registered long ago is shown again with the directory of today, and never with an older one; new words are signed now.
    let clock = now(&cameras.clock).0;
    keys.register(&cameras, &config, clock, None).await.unwrap();
    assert_eq!(keys.register(&cameras, &config, 5, None).await, Err(Some(ProblemKind::NotSignedIn)));
    let later = ListConfig { serial: 2, ..config };
    assert_eq!(keys.register(&cameras, &later, clock, None).await, Err(Some(ProblemKind::Invalid)));
    drop(events);
    here.end().await.unwrap();
    there.end().await.unwrap();
    for town in [&owner, &cameras] {
        let db = std::fs::read(town.folder.path().join("agency/agency.db")).unwrap();
        assert!(!db.windows(PLATE.len()).any(|part| part == PLATE.as_bytes()));
    }
    for secret in [PLATE, "QXZ4477", CASE, NOTE] {
        assert!(!traces.text().contains(secret), "{secret}");
    }
}

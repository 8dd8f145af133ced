//! Three keepers on loopback TLS, founded as operators found them; the recorder and the officer are the core functions they
//! will call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::approval::{Approval, Grant};
use lockplate_core::authorisation::{SessionBody, SessionStatement};
use lockplate_core::charter::{AcceptKeyFiles, AuditorEntry, CharterFile, KeeperEntry, LeafWait};
use lockplate_core::directory::{Directory, DirectoryBody, OfficerEntry, TrustEntry, TrustRole};
use lockplate_core::disclosure::Disclosure;
use lockplate_core::emergency::{Danger, declare, facts_digest};
use lockplate_core::entry::{Leaf, LogEntry, parse_leaf, request_outcome};
use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey};
use lockplate_core::epoch::{
    Dealt, EpochClose, EpochHeader, EpochKind, EpochPlan, Prekey, PrekeyOrder, ShareReceipt, VerifiedPrekey, deal,
};
use lockplate_core::filing::FilingSlip;
use lockplate_core::id::{AgencyId, KeeperIndex, RequestId, from_b64url};
use lockplate_core::keeper::Verdict;
use lockplate_core::open::{Evaluation, combine, open, verify_evaluation};
use lockplate_core::plate::{Jurisdiction, Plate, PlateInput};
use lockplate_core::read::{Motion, Read, ReadFlags, TimeQuality, Vehicle};
use lockplate_core::request::{FiledRequest, OpeningText, SearchRequest, SecondSignature, draft_request};
use lockplate_core::seal::Sealer;
use lockplate_core::segment::Segment;
use lockplate_core::sign::{Signed, SigningKey, VerifyKey};
use lockplate_core::signed::{Header, Signable as _, VersionOne};
use lockplate_core::statement::{OffenceStated, PlateName, Statement, StatementText};
use lockplate_core::vocabulary::{ArchiveKind, Basis, Level, Offence, Purpose, Role, State};
use lockplate_log::note::VerifierKey;
use lockplate_node::api::{
    AnswerState, B64, Done, EpochEnded, Evaluated, GrantShown, KeeperAnswer, ObjectFiled, Prekeys, PrekeysAsked,
    RequestFiled, ShareDealt, ShareStored,
};
use lockplate_node::client::{CallLimits, PeerClient, PeerError, PeerTrust};
use lockplate_node::clock::{Clock as _, TestClock};
use lockplate_node::doctor::{Report, Severity, check_store};
use lockplate_node::founding::{
    AgencyCard, AgencyFiles, AgencyParty, CharterTerms, KeeperFiles, KeeperParty, PlateOrdered, SignedPaper,
    WarrantOrder, agency_trust_entry, assemble, court_trust_entry, draft_charter, found_agency, found_keeper,
    make_note_key, note_signer, sign_as_agency, sign_as_keeper, sign_warrant, statement_signer,
};
use lockplate_node::keeper::{KeeperConfig, KeeperError, KeeperSettings, Started, admin, start};
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::settings;
use lockplate_node::shutdown::Tasks;
use lockplate_oprf::Secret;
use lockplate_oprf::oprf::Blind;
use lockplate_policy::{Bundle, CedarPolicy};
use rand_core::Rng as _;
use tempfile::TempDir;

use crate::ports::free_port;
use crate::town_clock::TownClock;

/// 2026-11-22T12:00:00Z.
pub(crate) const NOW: u64 = 1_795_348_800;
pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 86_400;
const RETENTION: u64 = 21 * DAY;
pub(crate) const REQUESTS_AN_HOUR: u32 = 40;
pub(crate) const PLATE: &str = "AB12345";
pub(crate) const JUDGE: &str = "judge.court.example";
pub(crate) const AUDITOR: &str = "auditor.example";
const AUDITOR_NAME: &str = "Civil Liberties Auditor";
pub(crate) const CUSTODIAN: &str = "records.alpr.example";

pub(crate) struct Town {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) charter: CharterFile,
    pub(crate) agency: AgencyCard,
    pub(crate) agency_files: AgencyFiles,
    pub(crate) officer: SigningKey,
    pub(crate) supervisor: SigningKey,
    /// Another key of the officer.
    pub(crate) second_key: SigningKey,
    /// Requests ask for an evidence hold.
    pub(crate) hold: bool,
    /// The plate that requests ask for.
    pub(crate) plate: &'static str,
    /// The directory says that the officer has left.
    pub(crate) officer_left: bool,
    settings: Vec<KeeperSettings>,
    tasks: Vec<Option<Tasks>>,
}

pub(crate) struct Searched {
    pub(crate) filed: FiledRequest,
    pub(crate) body: Vec<RequestFiled>,
    pub(crate) inputs: Vec<(PlateInput, Blind)>,
    response: HpkeSecretKey,
}

/// Who signs an emergency beside the officer: the request, and the declaration if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Emergency<'a> {
    pub(crate) seconds: &'a [&'a SigningKey],
    pub(crate) declared_by: Option<&'a [&'a SigningKey]>,
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
}

/// The auditor's key for Openings.
pub(crate) fn auditor_key() -> HpkeSecretKey {
    HpkeSecretKey::from_seed(Secret::new([42; 32]))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRng.fill_bytes(&mut bytes);
    bytes
}

pub(crate) fn header_at(issuer: &str, issued: u64) -> Header {
    Header { v: VersionOne, nonce: random(), issued: Timestamp(issued), issuer: issuer.to_owned() }
}

impl Town {
    pub(crate) async fn new() -> Self {
        Self::with_people(|_folder| (Vec::new(), String::new())).await
    }

    /// The second keeper has more people: files of their keys, and what its configuration says of them.
    pub(crate) async fn with_people(people: impl FnOnce(&Path) -> (Vec<PathBuf>, String)) -> Self {
        Self::founded(people, Vec::new()).await
    }

    /// Its keepers trust these too.
    pub(crate) async fn with_trust(more: Vec<TrustEntry>) -> Self {
        Self::founded(|_folder| (Vec::new(), String::new()), more).await
    }

    async fn founded(people: impl FnOnce(&Path) -> (Vec<PathBuf>, String), more_trust: Vec<TrustEntry>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = State::parse("CT").unwrap();
        let keys = folder.path().join("agency");
        std::fs::create_dir_all(&keys).unwrap();
        let agency_files = AgencyFiles::in_folder(&keys);
        let party = AgencyParty {
            name: "Millbrook Police Department".to_owned(),
            ori: String::new(),
            state: "CT".to_owned(),
            level: "local".to_owned(),
            law_enforcement: true,
            host: "alpr.example".to_owned(),
            url: format!("https://{}", free_port()),
            owner: true,
        };
        let agency = found_agency(&agency_files, &party, None, &mut SystemRng).unwrap();
        let mut cards = Vec::new();
        let mut files = Vec::new();
        let mut addresses = Vec::new();
        let (more, settings_of_people) = people(folder.path());
        for place in 1..=3_u8 {
            let data = folder.path().join(format!("keeper-{place}"));
            std::fs::create_dir_all(data.join("keys")).unwrap();
            let address = free_port();
            let party = KeeperParty {
                name: format!("Keeper {place}"),
                legal_entity: format!("Office {place}"),
                host: format!("k{place}.example"),
                url: format!("https://{address}"),
            };
            let keeper_files = KeeperFiles::in_folder(&data.join("keys"));
            let human = folder.path().join(format!("human-{place}.pem"));
            let humans: Vec<_> = core::iter::once(human).chain(more.iter().filter(|_| place == 2).cloned()).collect();
            cards.push(found_keeper(&keeper_files, &humans, &party, &mut SystemRng).unwrap());
            files.push(keeper_files);
            addresses.push(address);
        }
        let judge = make_note_key(&folder.path().join("judge.pem"), JUDGE, &mut SystemRng).unwrap();
        let (from, until) = (Timestamp(NOW - DAY), Timestamp(NOW + 300 * DAY));
        let owner_id = from_b64url::<16>(&agency.id).unwrap();
        let key = |file: &str, name| make_note_key(&folder.path().join(file), name, &mut SystemRng).unwrap();
        let person = |name: &str, role, vkey, agency| TrustEntry {
            name: name.to_owned(),
            role,
            court: String::new(),
            vkey,
            rp_id: String::new(),
            origins: Vec::new(),
            valid_from: from,
            valid_until: until,
            may_issue: false,
            agency,
        };
        let policy = CedarPolicy::load(&Bundle::shipped(state)).unwrap();
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
            trust: [
                agency_trust_entry(&agency, from, until).unwrap(),
                court_trust_entry("Judge 17", "Superior Court", judge, from, until),
                person(AUDITOR_NAME, TrustRole::Auditor, key("auditor.pem", AUDITOR), None),
                person("Records", TrustRole::Custodian, key("records.pem", CUSTODIAN), Some(owner_id)),
            ]
            .into_iter()
            .chain(more_trust)
            .collect(),
            policy: lockplate_core::facts::AccessPolicy::digest(&policy),
            policy_signers: vec![
                make_note_key(&folder.path().join("policy.pem"), "clerk.example", &mut SystemRng).unwrap(),
            ],
            policy_quorum: 1,
            auditors: vec![AuditorEntry {
                name: AUDITOR_NAME.to_owned(),
                opening_key: *auditor_key().public_key().unwrap().as_bytes(),
            }],
            audit_percent: 5,
            witnesses: Vec::new(),
            outside_witnesses: 0,
            keeper_leaves: LeafWait::Cosigned,
            agency_leaves: LeafWait::Durable,
            agencies: Vec::new(),
        };
        let draft = draft_charter(&agency, &cards, terms).unwrap();
        let mut lines = vec![sign_as_agency(&draft, &agency_files).unwrap().to_string()];
        lines.extend(files.iter().map(|files| sign_as_keeper(&draft, files).unwrap().1.to_string()));
        let charter = assemble(&draft, &lines).unwrap();
        write(&folder.path().join("charter.auth"), charter.bytes());
        let settings = addresses.iter().zip(1..).map(|(address, place)| {
            let file = folder.path().join("keeper.toml");
            let text = format!(
                "data = 'keeper-{place}'\ncharter = 'charter.auth'\nplace = {place}\n[listen]\naddress = '{address}'\n\
                 [destruction]\nevery_seconds = 1\n[limits]\nrequests_an_hour = {REQUESTS_AN_HOUR}\n{}",
                if place == 2 { settings_of_people.as_str() } else { "" }
            );
            let config: KeeperConfig = settings::parse(&file, &text).unwrap();
            KeeperSettings::try_from((file.as_path(), config)).unwrap()
        });
        let mut town = Self {
            settings: settings.collect(),
            tasks: Vec::new(),
            clock: Arc::new(TestClock::new(i64::try_from(NOW * 1_000).unwrap())),
            officer: SigningKey::random(&mut SystemRng),
            supervisor: SigningKey::random(&mut SystemRng),
            second_key: SigningKey::random(&mut SystemRng),
            hold: false,
            plate: PLATE,
            officer_left: false,
            folder,
            charter,
            agency,
            agency_files,
        };
        town.tasks = vec![None, None, None];
        let mut started = Vec::new();
        for place in 0..3 {
            started.push(town.begin(place).await);
        }
        for mut keeper in started {
            keeper.ready().await.unwrap();
        }
        town.push_directory(1).await;
        town
    }

    pub(crate) async fn push_directory(&self, serial: u64) {
        let directory = self.directory(serial);
        for keeper in self.keepers() {
            let _done: Done =
                post(&keeper, "/v1/directories", &ObjectFiled { object: B64(directory.clone()) }).await.unwrap();
        }
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.clock.now_ms()).unwrap() / 1_000
    }

    /// A request under a fresh warrant waits for one of the second keeper's people; its digest in hex.
    pub(crate) async fn wait_for_a_person(&self, paper: &SignedPaper) -> String {
        let asked = self.ask(Purpose::CrimeInvestigation, Basis::SearchWarrant, Some(paper));
        let waits: KeeperAnswer = post(&self.keepers()[1], "/v1/requests", &asked.body[1]).await.unwrap();
        assert_eq!(waits.state, AnswerState::Waiting, "{:?}", waits.reasons);
        hex::encode(asked.filed.request.signed_hash())
    }

    /// Hours of the window, dealt and closed, so that there is something to ask for.
    pub(crate) async fn one_closed_hour(&self) {
        let (dealt, header) = self.deal().await;
        self.store(&dealt, &header).await;
        let close = EpochClose {
            header_hash: dealt.header().hash(),
            cells_padded: 16,
            segment_root: [1; 32],
            erased_at: Timestamp(NOW),
        };
        let ended = EpochEnded { close: B64(self.recorder().sign(close).to_bytes()) };
        for keeper in &self.keepers() {
            let _done: Done = post(keeper, "/v1/closes", &ended).await.unwrap();
        }
    }

    pub(crate) async fn start(&mut self, place: usize) {
        self.begin(place).await.ready().await.unwrap();
    }

    /// It witnesses others, and waits for the witnesses of its own log.
    pub(crate) async fn begin(&mut self, place: usize) -> Started {
        self.begin_by(place, self.clock.clone()).await
    }

    /// With a clock that need not be the others'.
    pub(crate) async fn begin_by(&mut self, place: usize, clock: Arc<TestClock>) -> Started {
        let tasks = Tasks::new();
        let started = start(self.settings[place].clone(), TownClock::over(&clock), &tasks).await.unwrap();
        self.tasks[place] = Some(tasks);
        started
    }

    pub(crate) async fn stop(&mut self, place: usize) {
        let tasks = self.tasks[place].take().unwrap();
        tasks.finish(Duration::from_secs(20)).await.unwrap();
    }

    pub(crate) fn settings_of(&self, place: usize) -> &KeeperSettings {
        &self.settings[place]
    }

    pub(crate) fn data(&self, place: usize) -> PathBuf {
        self.settings[place].data().to_owned()
    }

    fn entries(&self) -> &[KeeperEntry] {
        &self.charter.charter().keepers
    }

    pub(crate) fn keepers(&self) -> Vec<PeerClient> {
        let client = |entry: &KeeperEntry| {
            PeerClient::new(&entry.url, PeerTrust::Pinned(entry.tls_pin), CallLimits::default()).unwrap()
        };
        self.entries().iter().map(client).collect()
    }

    fn keeper_key(&self, place: usize) -> VerifyKey {
        VerifyKey(self.entries()[place].key.public_key().try_into().unwrap())
    }

    fn directory(&self, serial: u64) -> Vec<u8> {
        let signer = note_signer(&self.agency_files.agency, "alpr.example/agency").unwrap();
        let officer = |person: u8, keys: &[&SigningKey], roles: &[Role]| OfficerEntry {
            person: [person; 32],
            keys: keys.iter().map(|key| key.verify_key().0).collect(),
            trained_until: Timestamp(NOW + 100 * DAY),
            active: person != 1 || !self.officer_left,
            roles: roles.iter().copied().collect(),
        };
        let body = DirectoryBody {
            agency: self.charter.charter().owner.id,
            name: self.agency.name.clone(),
            ori: String::new(),
            state: State::parse("CT").unwrap(),
            level: Level::Local,
            law_enforcement: true,
            serial,
            valid_until: Timestamp(self.now() + 6 * DAY),
            officers: vec![
                officer(1, &[&self.officer, &self.second_key], &[]),
                officer(2, &[&self.supervisor], &[Role::Supervisor]),
            ],
            desk_log: "alpr.example/log/desk".to_owned(),
            desk_key: VerifierKey::parse(&self.agency.desk_key).unwrap(),
        };
        Directory { header: header_at("alpr.example/agency", self.now()), body }.sign(&[&signer]).unwrap()
    }

    fn recorder(&self) -> SigningKey {
        statement_signer(&self.agency_files.recorder).unwrap()
    }

    /// An epoch of the hour before last that all keepers hold, closed; its segment is nobody's.
    pub(crate) async fn close_epoch(&self) {
        let (dealt, header) = self.deal().await;
        assert_eq!(self.store(&dealt, &header).await.len(), 3);
        let close = EpochClose {
            header_hash: dealt.header().hash(),
            cells_padded: 16,
            segment_root: [1; 32],
            erased_at: Timestamp(NOW),
        };
        let ended = EpochEnded { close: B64(self.recorder().sign(close).to_bytes()) };
        for keeper in &self.keepers() {
            let _done: Done = post(keeper, "/v1/closes", &ended).await.unwrap();
        }
    }

    /// Prekeys of all keepers, and an epoch dealt to them; nothing is sent yet.
    async fn deal(&self) -> (Dealt, Signed<EpochHeader>) {
        let charter = self.charter.charter();
        let recorder = charter.recorders[0].id;
        let order = PrekeyOrder { agency: charter.owner.id, recorder, count: 1, time: Timestamp(NOW) };
        let asked = PrekeysAsked { order: B64(self.recorder().sign(order).to_bytes()) };
        let mut prekeys = Vec::new();
        for (place, keeper) in self.keepers().iter().enumerate() {
            let got: Prekeys = post(keeper, "/v1/prekeys", &asked).await.unwrap();
            assert_eq!(got.prekeys.len(), 1);
            let prekey = Signed::<Prekey>::from_bytes(&got.prekeys[0].0).unwrap();
            prekeys.push(VerifiedPrekey::new(&prekey, &self.keeper_key(place), Timestamp(NOW)).unwrap());
        }
        let (cap_from, cap_to) = (Timestamp(NOW - 2 * HOUR), Timestamp(NOW - HOUR));
        let plan = EpochPlan {
            agency: charter.owner.id,
            recorder,
            cap_from,
            cap_to,
            kind: EpochKind::Live,
            bucket_bits: 1,
            threshold: self.charter.threshold(),
            charter_hash: self.charter.hash(),
            destroy_after: Timestamp(charter.destroy_after(cap_to.0)),
        };
        let dealt = deal(&plan, prekeys, &mut SystemRng).unwrap();
        let signed = self.recorder().sign(dealt.header().clone());
        (dealt, signed)
    }

    async fn store(&self, dealt: &Dealt, header: &Signed<EpochHeader>) -> Vec<Signed<ShareReceipt>> {
        let mut receipts = Vec::new();
        for (keeper, (_, envelope)) in self.keepers().iter().zip(dealt.envelopes()) {
            let share = ShareDealt { header: B64(header.to_bytes()), envelope: B64(envelope.clone()) };
            let first: ShareStored = post(keeper, "/v1/shares", &share).await.unwrap();
            let again: ShareStored = post(keeper, "/v1/shares", &share).await.unwrap();
            assert_eq!(first.receipt, again.receipt, "a repeat gets the same receipt");
            receipts.push(Signed::from_bytes(&first.receipt.0).unwrap());
        }
        receipts
    }

    /// A request of the own officer; `change` makes it another one.
    pub(crate) fn ask(&self, purpose: Purpose, basis: Basis, paper: Option<&SignedPaper>) -> Searched {
        self.ask_with(purpose, basis, paper, None)
    }

    /// The same, declared as an emergency by the officer and those who sign with him.
    pub(crate) fn ask_with(
        &self,
        purpose: Purpose,
        basis: Basis,
        paper: Option<&SignedPaper>,
        emergency: Option<Emergency<'_>>,
    ) -> Searched {
        let owner = self.charter.charter().owner.id;
        let plate = Plate::parse(self.plate).unwrap();
        let state = Jurisdiction::parse("US-CT");
        let response = HpkeSecretKey::random(&mut SystemRng);
        let mut attachments: Vec<Vec<u8>> = paper.iter().map(|paper| paper.auth.clone()).collect();
        let disclosures = paper.iter().flat_map(|paper| &paper.disclosures);
        let draft = SearchRequest {
            request_id: RequestId(random()),
            owner_agency: owner,
            requester_agency: owner,
            officer_key: self.officer.verify_key().0,
            purpose,
            basis,
            authorisation_digest: paper.map_or([0; 32], |paper| paper.digest),
            elements: Vec::new(),
            win_from: Timestamp(NOW - DAY),
            win_to: Timestamp(NOW),
            not_after: Timestamp(self.now() + DAY),
            notice_after: Timestamp(self.now() + 30 * DAY),
            response_pk: response.public_key().unwrap(),
            openings_hash: [0; 32],
        };
        let statement = Statement {
            v: VersionOne,
            plate: PlateName::new(&plate, state),
            on_behalf_of: owner,
            case_number: "26-1234".to_owned(),
            offence: OffenceStated { class: Offence::Felony, text: "larceny of a motor vehicle".to_owned() },
            facts: "The owner reported the grey van stolen from the yard this morning.".to_owned(),
            emergency: emergency.is_some(),
            hold: self.hold,
            attachments: Vec::new(),
        };
        let salts = Secret::random(&mut SystemRng);
        if let Some(Emergency { declared_by: Some(by), .. }) = emergency {
            let what = (draft.request_id.0, Danger::Abduction, facts_digest(&salts, &statement.facts));
            let seconds: Vec<_> = by.iter().map(|key| SigningKey::from_seed(&key.to_seed())).collect();
            attachments.push(declare(what, &self.officer, &seconds, Timestamp(self.now()), &mut SystemRng).unwrap());
        }
        let text = OpeningText {
            elements: vec![(PlateInput::new(owner, &plate, state), Blind::random(&mut SystemRng))],
            statement: StatementText::new(statement).unwrap(),
            disclosures: disclosures.map(|text| Disclosure::parse(text).unwrap()).collect(),
            salts,
        };
        let keepers = self.entries().iter().map(|entry| &entry.opening_key);
        let auditors = self.charter.charter().auditors.iter().map(|auditor| &auditor.opening_key);
        let recipients: Vec<_> = keepers.chain(auditors).map(|key| HpkePublicKey::from_slice(key).unwrap()).collect();
        let (request, openings) = draft_request(draft, &text, &recipients, &mut SystemRng).unwrap();
        let request = self.officer.sign(request);
        let seconds = emergency.iter().flat_map(|emergency| emergency.seconds);
        let seconds = seconds
            .map(|key| SecondSignature { key_id: key.verify_key().0, signature: key.countersign(&request) })
            .collect();
        let filed = FiledRequest { request, seconds };
        let session = self.session(filed.request.signed_hash());
        let (to_keepers, to_auditors) = openings.sealed.split_at(self.entries().len());
        let mut body: Vec<RequestFiled> = to_keepers
            .iter()
            .map(|opening| RequestFiled {
                filed: B64(filed.to_bytes()),
                opening: B64(opening.clone()),
                auditor_openings: to_auditors.iter().cloned().map(B64).collect(),
                opening_hashes: openings.hashes.iter().map(|hash| B64(hash.to_vec())).collect(),
                attachments: attachments.iter().cloned().map(B64).collect(),
                session: Some(B64(session.clone())),
                ask_human: true,
                slip: B64(Vec::new()),
            })
            .collect();
        for (place, filing) in body.iter_mut().enumerate() {
            self.vouch(place, filing);
        }
        Searched { filed, body, inputs: text.elements, response }
    }

    /// The desk's slip over a filing as it stands.
    pub(crate) fn vouch(&self, place: usize, filing: &mut RequestFiled) {
        let desk = statement_signer(&self.agency_files.desk).unwrap();
        let slices = |items: &'_ [B64]| items.iter().map(|item| item.0.clone()).collect::<Vec<_>>();
        let (hashes, attachments) = (slices(&filing.opening_hashes), slices(&filing.attachments));
        let slip = FilingSlip::of(
            KeeperIndex(u8::try_from(place + 1).unwrap()),
            &filing.filed.0,
            &filing.opening.0,
            &hashes.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            &attachments.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            filing.session.as_ref().map(|session| session.0.as_slice()),
            filing.ask_human,
        );
        filing.slip = B64(desk.sign(slip).to_bytes());
    }

    fn session(&self, request_digest: [u8; 32]) -> Vec<u8> {
        let signer = note_signer(&self.agency_files.desk, "alpr.example/desk").unwrap();
        let body = SessionBody {
            provider: "desk".to_owned(),
            subject: "officer".to_owned(),
            acr: String::new(),
            amr: ["pwd", "swk"].map(str::to_owned).into(),
            auth_time: Timestamp(self.now()),
            request_digest,
        };
        SessionStatement { header: header_at("alpr.example/desk", self.now()), body }.sign(&[&signer]).unwrap()
    }

    pub(crate) fn warrant(&self) -> SignedPaper {
        sign_warrant(&self.order(), &self.folder.path().join("judge.pem"), Timestamp(NOW), &mut SystemRng).unwrap()
    }

    pub(crate) fn order(&self) -> WarrantOrder {
        let owner = self.agency.id.clone();
        WarrantOrder {
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
        }
    }

    /// What `lockplate doctor --store` finds in the folder of a keeper that is stopped.
    pub(crate) fn doctor(&self, place: usize) -> Report {
        let now = Timestamp(u64::try_from(self.clock.now_ms()).unwrap() / 1_000);
        check_store(&self.data(place), None, now, &mut |_| {}).unwrap()
    }

    /// Leaves of a keeper's published log, over HTTP.
    pub(crate) async fn leaves(&self, place: usize) -> Vec<Vec<u8>> {
        let keeper = &self.keepers()[place];
        let note = keeper.get_bytes("/log/keeper/checkpoint", &[]).await.unwrap();
        let size: u16 = String::from_utf8(note.to_vec()).unwrap().lines().nth(1).unwrap().parse().unwrap();
        let bundle = keeper.get_bytes(&format!("/log/keeper/tile/entries/000.p/{size}"), &[]).await.unwrap();
        lockplate_log::tile::parse_bundle(&bundle, size).unwrap().into_iter().map(<[u8]>::to_vec).collect()
    }
}

pub(crate) async fn post<B: serde::Serialize + Sync, T: serde::de::DeserializeOwned>(
    keeper: &PeerClient,
    path: &str,
    body: &B,
) -> Result<T, PeerError> {
    keeper.post_json(path, body, None).await
}

pub(crate) fn problem<T>(answer: Result<T, PeerError>) -> ProblemKind {
    match answer {
        Err(PeerError::Problem(problem)) => problem.kind(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("an answer where a refusal was due"),
    }
}

fn read() -> Read {
    Read {
        source: 1,
        engine_ref: None,
        camera: 7,
        captured_at: i64::try_from((NOW - 5_400) * 1_000).unwrap(),
        source_time: None,
        time_quality: TimeQuality::Exact,
        plate: Plate::parse(PLATE).unwrap(),
        jurisdiction: Jurisdiction::parse("US-CT"),
        jur_conf: Some(990),
        jurisdiction_trusted: true,
        conf: Some(980),
        vehicle: Vehicle::default(),
        motion: Motion::default(),
        frames: 1,
        flags: ReadFlags::default(),
    }
}

/// Everything from dealing to destruction, with a restart and two crashes in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_goes_in_and_comes_out_by_two_of_three_and_is_gone_after_its_time() {
    let mut town = Town::new().await;
    let keepers = town.keepers();

    // The epoch: dealt, received, sealed, closed.
    let (dealt, header) = town.deal().await;
    let receipts = town.store(&dealt, &header).await;
    let epoch = dealt.header().clone();
    let mut sealer = Sealer::start(dealt.receipted(&receipts).unwrap());
    let cell = sealer.seal(&read(), &mut SystemRng).unwrap();
    let segment = Segment::build(epoch.bucket_bits, vec![cell], &mut SystemRng).unwrap();
    let _sealed = sealer.close();
    let close = EpochClose {
        header_hash: epoch.hash(),
        cells_padded: segment.cells_padded(),
        segment_root: segment.root(),
        erased_at: Timestamp(NOW),
    };
    let search_open = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let early: KeeperAnswer = post(&keepers[0], "/v1/requests", &search_open.body[0]).await.unwrap();
    assert_eq!(early.state, AnswerState::Refused, "the open hour is not searched");
    assert!(early.rules.contains(&"keeper.epochs".to_owned()), "{:?}", early.rules);
    let signed = town.recorder().sign(close.clone());
    for keeper in &keepers {
        for _repeat in 0..2 {
            let ended = EpochEnded { close: B64(signed.to_bytes()) };
            let _done: Done = post(keeper, "/v1/closes", &ended).await.unwrap();
        }
        let other = town.recorder().sign(EpochClose { segment_root: [1; 32], ..close.clone() });
        let ended = EpochEnded { close: B64(other.to_bytes()) };
        assert_eq!(problem(post::<_, Done>(keeper, "/v1/closes", &ended).await), ProblemKind::Conflicting);
    }

    // A lawful search: three yes, a grant of two, opened.
    let search = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let mut approvals = Vec::new();
    for (keeper, body) in keepers.iter().zip(&search.body) {
        let answer: KeeperAnswer = post(keeper, "/v1/requests", body).await.unwrap();
        assert_eq!(answer.state, AnswerState::Approved, "{:?}", answer.reasons);
        let approval = Signed::<Approval>::from_bytes(&answer.approval.unwrap().0).unwrap();
        assert_eq!(approval.claimed().epochs, [epoch.epoch_id]);
        approvals.push(approval);
    }
    let grant = Grant {
        request: search.filed.request.clone(),
        approvals: approvals[..2].to_vec(),
        epoch_ids: vec![epoch.epoch_id],
    };
    let shown = GrantShown { grant: B64(grant.to_bytes()) };
    let short = Grant { approvals: approvals[..1].to_vec(), ..grant.clone() };
    let short = GrantShown { grant: B64(short.to_bytes()) };
    assert_eq!(problem(post::<_, Evaluated>(&keepers[0], "/v1/evaluations", &short).await), ProblemKind::Invalid);
    let mut evaluations = Vec::new();
    let mut verified = Vec::new();
    for (place, keeper) in keepers.iter().enumerate().take(2) {
        let answer: Evaluated = post(keeper, "/v1/evaluations", &shown).await.unwrap();
        let evaluation = Signed::<Evaluation>::from_bytes(&answer.evaluation.0).unwrap();
        let index = KeeperIndex(u8::try_from(place).unwrap() + 1);
        let key = town.keeper_key(place);
        let headers = std::slice::from_ref(&epoch);
        verified.push(verify_evaluation(&evaluation, &key, index, &grant, headers, &search.response).unwrap());
        evaluations.push(answer);
    }
    let keys = combine(&verified, &search.inputs, std::slice::from_ref(&epoch)).unwrap();
    let proof = segment.prove(keys[0].bucket()).unwrap();
    let bucket = proof.verify(keys[0].bucket(), &close.segment_root, epoch.bucket_bits).unwrap();
    let opened = open(&keys[0], &bucket).unwrap();
    assert_eq!(opened.iter().map(|found| found.read.clone()).collect::<Vec<_>>(), [read()]);

    // Repeats change nothing, a restart neither.
    let size = town.leaves(0).await.len();
    let before: KeeperAnswer = post(&keepers[0], "/v1/requests", &search.body[0]).await.unwrap();
    town.stop(0).await;
    town.start(0).await;
    let again: KeeperAnswer = post(&keepers[0], "/v1/requests", &search.body[0]).await.unwrap();
    assert_eq!(again, before);
    let evaluated: Evaluated = post(&keepers[0], "/v1/evaluations", &shown).await.unwrap();
    assert_eq!(evaluated, evaluations[0]);
    assert_eq!(town.leaves(0).await.len(), size, "no second leaf");

    // The process ends between the leaf and its answer: what was not stored is forgotten, and the log is not.
    town.stop(0).await;
    let database = rusqlite::Connection::open(town.data(0).join("keeper.db")).unwrap();
    assert_eq!(database.execute("DELETE FROM evaluation", []).unwrap(), 1);
    let asked = search.filed.request.signed_hash();
    assert_eq!(database.execute("DELETE FROM escrow WHERE request = ?1", [asked]).unwrap(), 1);
    assert_eq!(database.execute("DELETE FROM plate_tag WHERE request = ?1", [asked]).unwrap(), 1);
    assert_eq!(database.execute("DELETE FROM request WHERE digest = ?1", [asked]).unwrap(), 1);
    database.execute("DELETE FROM progress", []).unwrap();
    drop(database);
    let report = town.doctor(0);
    assert_eq!(report.worst(), Severity::Warning, "cut off, not lost: {:?}", report.findings);
    assert_eq!(report.findings.iter().filter(|found| found.severity == Severity::Warning).count(), 2);
    town.start(0).await;
    let resumed: KeeperAnswer = post(&keepers[0], "/v1/requests", &search.body[0]).await.unwrap();
    assert_eq!((resumed.state, resumed.register), (AnswerState::Approved, again.register));
    let evaluated: Evaluated = post(&keepers[0], "/v1/evaluations", &shown).await.unwrap();
    let evaluation = Signed::<Evaluation>::from_bytes(&evaluated.evaluation.0).unwrap();
    let headers = std::slice::from_ref(&epoch);
    verify_evaluation(&evaluation, &town.keeper_key(0), KeeperIndex(1), &grant, headers, &search.response).unwrap();
    assert_eq!(town.leaves(0).await.len(), size, "the leaves that were there are used");

    // A second process on the folder.
    let refused = start(town.settings[0].clone(), town.clock.clone(), &Tasks::new()).await;
    assert!(matches!(refused, Err(KeeperError::File(_))), "{refused:?}");

    // The time of the shares is over by both clocks.
    let old_table = kek_files(&town.data(2));
    town.clock.advance(Duration::from_secs(RETENTION));
    let name = epoch.epoch_id.0;
    for _tenth in 0..150 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if town.leaves(2).await.iter().any(|leaf| destroyed(leaf) == Some(epoch.hash())) {
            break;
        }
    }
    assert!(town.leaves(2).await.iter().any(|leaf| destroyed(leaf) == Some(epoch.hash())), "the log says it");
    for place in [0, 2] {
        let answer = post::<_, Evaluated>(&keepers[place], "/v1/evaluations", &shown).await;
        assert_eq!(problem(answer), ProblemKind::EpochDestroyed);
    }
    town.stop(2).await;
    let new_table = kek_files(&town.data(2));
    assert!(new_table.iter().all(|file| !old_table.contains(file)), "neither the old root nor the old table is left");
    let table = lockplate_node::keeper::kek::KekTable::open(&town.data(2).join("kek"), &mut SystemRng).unwrap();
    assert!(!table.holds(&name));
    town.stop(0).await;
    town.stop(1).await;
    for place in 0..3 {
        let report = town.doctor(place);
        assert_eq!(report.worst(), Severity::Ok, "{:?}", report.findings);
    }
    assert_eq!((town.doctor(2).counts.shares, town.doctor(2).counts.requests), (0, 1));

    // A destruction that the database does not know of is finished at the next start; one that the log does not know of is none.
    let database = rusqlite::Connection::open(town.data(2).join("keeper.db")).unwrap();
    let destroyed_at: i64 = database.query_row("SELECT destroyed_at FROM epoch", [], |row| row.get(0)).unwrap();
    assert_eq!(database.execute("UPDATE epoch SET destroyed_at = NULL", []).unwrap(), 1);
    assert_eq!(town.doctor(2).worst(), Severity::Warning);
    database.execute("UPDATE epoch SET destroyed_at = ?1", [destroyed_at]).unwrap();
    assert_eq!(town.doctor(2).worst(), Severity::Ok);
    let mut table = table;
    table.change(&[name], &[], &mut SystemRng).unwrap();
    assert_eq!(town.doctor(2).worst(), Severity::Failed, "a key under the name of a destroyed share");
}

fn destroyed(leaf: &[u8]) -> Option<[u8; 32]> {
    match parse_leaf(leaf).unwrap() {
        Leaf::Known(stamped) => match stamped.entry() {
            LogEntry::ShareDestroyed(entry) => Some(entry.header),
            _ => None,
        },
        Leaf::Unknown(_) => None,
    }
}

fn kek_files(data: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(data.join("kek")).unwrap();
    entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// Refusals stand on the register before they are told; strangers leave nothing there; a person ends a waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlawful_request_is_refused_on_the_register_and_a_court_paper_waits_for_a_person() {
    let mut town = Town::new().await;
    let keepers = town.keepers();
    let (dealt, header) = town.deal().await;
    let receipts = town.store(&dealt, &header).await;
    assert_eq!(receipts.len(), 3);
    let close = EpochClose {
        header_hash: dealt.header().hash(),
        cells_padded: 16,
        segment_root: [1; 32],
        erased_at: Timestamp(NOW),
    };
    let ended = EpochEnded { close: B64(town.recorder().sign(close).to_bytes()) };
    for keeper in &keepers {
        let _done: Done = post(keeper, "/v1/closes", &ended).await.unwrap();
    }

    let unlawful = town.ask(Purpose::CivilImmigration, Basis::AdministrativeWarrant, None);
    for (place, keeper) in keepers.iter().enumerate() {
        let answer: KeeperAnswer = post(keeper, "/v1/requests", &unlawful.body[place]).await.unwrap();
        assert_eq!(answer.state, AnswerState::Refused);
        assert!(answer.rules.contains(&"base.civil-immigration".to_owned()), "{:?}", answer.rules);
        assert!(answer.reasons.iter().any(|reason| reason.cite.is_some() && reason.fix.is_some()));
        let leaf = &town.leaves(place).await[usize::try_from(answer.register).unwrap()];
        let logged = request_outcome(leaf).unwrap();
        assert_eq!((logged.request, logged.allowed), (unlawful.filed.request.signed_hash(), false));
        assert!(!leaf.windows(PLATE.len()).any(|text| text == PLATE.as_bytes()));
    }

    // A swapped Opening is refused and logged; a stranger and a forged signature are not even logged.
    let mut swapped = town.ask(Purpose::StolenVehicle, Basis::None, None);
    swapped.body[0].opening = unlawful.body[0].opening.clone();
    town.vouch(0, &mut swapped.body[0]);
    let answer: KeeperAnswer = post(&keepers[0], "/v1/requests", &swapped.body[0]).await.unwrap();
    assert_eq!((answer.state, answer.rules), (AnswerState::Refused, vec!["keeper.opening".to_owned()]));
    let size = town.leaves(0).await.len();
    let officer = std::mem::replace(&mut town.officer, SigningKey::random(&mut SystemRng));
    let stranger = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let answer = post::<_, KeeperAnswer>(&keepers[0], "/v1/requests", &stranger.body[0]).await;
    assert_eq!(problem(answer), ProblemKind::NotSignedIn);
    town.officer = officer;
    let mut forged = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let length = forged.body[0].filed.0.len();
    forged.body[0].filed.0[length - 2] ^= 1;
    town.vouch(0, &mut forged.body[0]);
    let answer = post::<_, KeeperAnswer>(&keepers[0], "/v1/requests", &forged.body[0]).await;
    assert_eq!(problem(answer), ProblemKind::NotSignedIn);
    assert_eq!(town.leaves(0).await.len(), size);

    // Keeper 2 has seen the whole filing, and files it with keeper 1 first: spoilt, without its session, with another wish, with
    // the slip that was made for itself. None of it leaves a trace, and the honest filing is answered.
    let honest = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let spoil: [fn(&mut RequestFiled); 6] = [
        |filing| filing.opening = B64(b"garbage".to_vec()),
        |filing| filing.opening_hashes[2] = B64(vec![0; 32]),
        |filing| filing.session = None,
        |filing| filing.ask_human = false,
        |filing| filing.attachments.push(B64(b"paper".to_vec())),
        |filing| filing.slip = B64(vec![0; 4]),
    ];
    for change in spoil {
        let mut spoilt = town.ask(Purpose::StolenVehicle, Basis::None, None).body.remove(0);
        spoilt.clone_from(&honest.body[0]);
        change(&mut spoilt);
        let kind = problem(post::<_, KeeperAnswer>(&keepers[0], "/v1/requests", &spoilt).await);
        assert!(matches!(kind, ProblemKind::NotSignedIn | ProblemKind::Malformed), "{kind:?}");
    }
    let mut forwarded = honest.body[0].clone();
    forwarded.slip = honest.body[1].slip.clone();
    let refused = post::<_, KeeperAnswer>(&keepers[0], "/v1/requests", &forwarded).await;
    assert_eq!(problem(refused), ProblemKind::NotSignedIn);
    assert_eq!(town.leaves(0).await.len(), size);
    let answer: KeeperAnswer = post(&keepers[0], "/v1/requests", &honest.body[0]).await.unwrap();
    assert_eq!(answer.state, AnswerState::Approved, "{:?}", answer.rules);
    // The stored answer is for the desk as well: a stranger who knows the digest learns nothing.
    let mut curious = honest.body[0].clone();
    curious.slip = forwarded.slip;
    let refused = post::<_, KeeperAnswer>(&keepers[0], "/v1/requests", &curious).await;
    assert_eq!(problem(refused), ProblemKind::NotSignedIn);

    // A prekey serves one share; another header for it is refused, and so is a stranger's.
    let mut other = dealt.header().clone();
    other.epoch_id.0[0] ^= 1;
    let share = |header: Signed<EpochHeader>| ShareDealt {
        header: B64(header.to_bytes()),
        envelope: B64(dealt.envelopes()[0].1.clone()),
    };
    let again = post::<_, ShareStored>(&keepers[0], "/v1/shares", &share(town.recorder().sign(other.clone()))).await;
    assert_eq!(problem(again), ProblemKind::Spent);
    let strange = post::<_, ShareStored>(&keepers[0], "/v1/shares", &share(town.officer.sign(other))).await;
    assert_eq!(problem(strange), ProblemKind::Invalid);

    // A court's paper is looked at by a person.
    let paper = town.warrant();
    let asked = town.ask(Purpose::CrimeInvestigation, Basis::SearchWarrant, Some(&paper));
    let waits: KeeperAnswer = post(&keepers[1], "/v1/requests", &asked.body[1]).await.unwrap();
    assert_eq!((waits.state, waits.humans_needed), (AnswerState::Waiting, 1), "{:?}", waits.reasons);
    let socket = town.settings[1].admin_socket();
    let waiting = admin::waiting(&socket).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].plate.as_str(), waiting[0].case_number.as_str()), (PLATE, "26-1234"));
    let human = statement_signer(&town.folder.path().join("human-2.pem")).unwrap();
    let strange = statement_signer(&town.folder.path().join("human-1.pem")).unwrap();
    let prefix: &str = &waiting[0].digest.chars().take(8).collect::<String>();
    let refused = admin::decide(&socket, prefix, Verdict::Approve, &strange, Timestamp(NOW)).await;
    assert!(matches!(refused, Err(admin::AdminError::Refused(ProblemKind::NotSignedIn))), "{refused:?}");
    let decided = admin::decide(&socket, prefix, Verdict::Approve, &human, Timestamp(NOW)).await.unwrap();
    assert_eq!((decided.state, decided.register), (AnswerState::Approved, waits.register));
    assert!(admin::waiting(&socket).await.unwrap().is_empty());
    let repeated: KeeperAnswer = post(&keepers[1], "/v1/requests", &asked.body[1]).await.unwrap();
    assert_eq!(repeated, decided);
    let leaf = town.leaves(1).await.pop().unwrap();
    assert!(matches!(parse_leaf(&leaf).unwrap(), Leaf::Known(s) if matches!(s.entry(), LogEntry::Approval(_))));
    // The process ended between the person's leaf and its storing: the leaf ends the waiting, nobody is asked again, and the
    // opposite cannot be said.
    let size = town.leaves(1).await.len();
    town.stop(1).await;
    let database = rusqlite::Connection::open(town.data(1).join("keeper.db")).unwrap();
    let digest = asked.filed.request.signed_hash();
    let waiting = serde_json::to_vec(&waits).unwrap();
    let changed = database.execute(
        "UPDATE request SET waits = 1, answer = ?2, who = NULL WHERE digest = ?1",
        rusqlite::params![digest, waiting],
    );
    assert_eq!(changed.unwrap(), 1);
    database.execute("DELETE FROM progress", []).unwrap();
    drop(database);
    town.start(1).await;
    assert!(admin::waiting(&socket).await.unwrap().is_empty());
    let refused = admin::decide(&socket, prefix, Verdict::Doubt, &human, Timestamp(NOW)).await;
    assert!(refused.is_err(), "{refused:?}");
    let finished: KeeperAnswer = post(&keepers[1], "/v1/requests", &asked.body[1]).await.unwrap();
    assert_eq!(finished, decided);
    assert_eq!(town.leaves(1).await.len(), size, "no second decision");
    for place in 0..3 {
        town.stop(place).await;
    }
    let _ids_are_of_the_charter: AgencyId = town.charter.charter().owner.id;
}

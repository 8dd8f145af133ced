//! An invented town with a year of its register behind it: a charter that everybody signed, and one log a party whose leaves
//! are real ones, under checkpoints signed by the log's key. Deterministic, so that pages can be compared with a file. Used by
//! the tests and by `examples/register_town.rs`, whose pages the browser tests read.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_audit::logs::{Head, LogName, Logs};
use lockplate_audit::time::ZoneOffset;
use lockplate_core::Timestamp;
use lockplate_core::audit::auditor_digest;
use lockplate_core::charter::{
    AcceptKeyFiles, AgencyPage, ArchiveEntry, AuditorEntry, Charter, CharterFile, CharterKind, KeeperEntry, LeafWait,
    OPENING_KEEP_SECONDS_MIN, OPENING_KEY_BYTES, Owner, RecorderEntry,
};
use lockplate_core::disclosure::{SD_OTHER, SD_REQUEST};
use lockplate_core::entry::{
    CameraChange, CameraLeaf, CanaryLeaf, CanaryResult, CharterLeaf, DeclarationChange, DeclarationLeaf, DestroyMethod,
    DestroyReason, DisclosureLeaf, EpochClosed, EpochDealt, EpochKind, Escrow, EvaluationLeaf, Genesis, HotlistLeaf,
    HumanApprovalLeaf, HumanDecision, KeyChange, KeyChanged, KeyLeaf, KeyName, KeySubject, ListClass, ListCounts,
    ListKind, LogEntry, LogKind, Outcome, PaperLeaf, PaperStatus, PolicyLeaf, PolicyRelation, RefusalReason,
    RequestDecision, RequestLeaf, SaltedDigests, SdAlgorithm, ShareDestroyed, ShareReceived, Stamped,
};
use lockplate_core::facts::Obligations;
use lockplate_core::id::{AgencyId, KeeperIndex, RecorderId};
use lockplate_core::json::parse_time;
use lockplate_core::signed::VersionOne;
use lockplate_core::vocabulary::{Action, ArchiveKind, Assurance, Basis, DeclarationName, Level, Purpose, State};
use lockplate_log::Checkpoint;
use lockplate_log::cosignature::CosignatureSigner;
use lockplate_log::merkle::{leaf_hash, root};
use lockplate_log::note::{NoteSigner, Origin, SignedNote, VerifierKey};
use lockplate_node::register::{Inputs, Record, Site, Trouble};
use lockplate_policy::{Bundle, CedarPolicy};

pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 24 * HOUR;
/// When everybody looks: noon of 28 November 2026.
pub(crate) const NOW: &str = "2026-11-28T12:00:00Z";
const FOUNDED: &str = "2026-07-01T08:00:00Z";

const OWNER: AgencyId = AgencyId([1; 16]);
const EASTPORT: AgencyId = AgencyId([7; 16]);
const SHERIFF: AgencyId = AgencyId([8; 16]);
const FEDERAL: AgencyId = AgencyId([9; 16]);
const TASK_FORCE: AgencyId = AgencyId([10; 16]);
/// Asks without standing in the charter.
const STRANGER: AgencyId = AgencyId([0xf3; 16]);

/// What a town is like.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Requests.
    pub(crate) requests: usize,
    /// One legal entity holds two of the three keepers.
    pub(crate) one_party: bool,
    /// One keeper's log cannot be reached any more, another one has lied.
    pub(crate) trouble: bool,
    /// Every name of a party is this one.
    pub(crate) name: Option<&'static str>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { requests: 40, one_party: false, trouble: false, name: None }
    }
}

/// A town.
pub(crate) struct Town {
    pub(crate) logs: Logs,
    pub(crate) records: BTreeMap<LogName, Record>,
    pub(crate) alarms: Vec<lockplate_audit::monitor::Alarm>,
    policy: CedarPolicy,
    now: Timestamp,
}

impl Town {
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut book = Book::founded(plan);
        book.first_weeks();
        for number in 0..plan.requests {
            book.request(number, plan.requests);
        }
        book.last_day();
        book.seal(plan)
    }

    pub(crate) fn site(&self) -> Site {
        Site::new(Inputs {
            logs: &self.logs,
            records: &self.records,
            alarms: &self.alarms,
            rules: &self.policy,
            zone: ZoneOffset::from_minutes(-300).unwrap(),
            now: self.now,
        })
    }
}

pub(crate) fn at(text: &str) -> u64 {
    parse_time(text).unwrap().0
}

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap()
}

const KEEPERS: [(&str, &str, &str); 3] = [
    ("Millbrook City Clerk", "City of Millbrook", "clerk.millbrook.example"),
    ("Superior Court, Harbor District", "Judicial Branch", "court.harbor.example"),
    ("Harbor County Auditor", "Harbor County", "auditor.harbor.example"),
];

fn log_signer(log: LogName) -> NoteSigner {
    match log {
        LogName::Keeper(index) => {
            let (.., host) = KEEPERS[usize::from(index.0) - 1];
            signer(&format!("{host}/log/keeper"), index.0 + 40)
        }
        LogName::Recorder => signer("alpr.millbrook.example/log/recorder", 201),
        LogName::Desk(id) => signer(&format!("agency-{}.example/log/desk", id.0[0]), 100 + id.0[0]),
    }
}

/// Name of a party; all of them the planned one where the plan has one.
fn named(plan: &Plan, name: &str) -> String {
    plan.name.unwrap_or(name).to_owned()
}

fn agencies(plan: &Plan) -> Vec<(AgencyId, String)> {
    let long =
        "Interjurisdictional Task Force of the Northern Shoreline Municipalities on Vehicle Theft, Division Three";
    [
        (OWNER, "Millbrook Police Department"),
        (EASTPORT, "Eastport Police"),
        (SHERIFF, "Harbor County Sheriff’s Office"),
        (FEDERAL, "Federal Field Office, Removal Operations"),
        (TASK_FORCE, long),
    ]
    .map(|(id, name)| (id, named(plan, name)))
    .to_vec()
}

fn charter(plan: &Plan) -> CharterFile {
    let agency = signer("alpr.millbrook.example/agency", 200);
    let keeper_key = |place: u8| signer(&format!("{}/keeper", KEEPERS[usize::from(place) - 1].2), place);
    let keepers = (1..=3_u8).map(|place| {
        let (name, entity, host) = KEEPERS[usize::from(place) - 1];
        let entity = if plan.one_party && place == 3 { KEEPERS[0].1 } else { entity };
        KeeperEntry {
            index: KeeperIndex(place),
            legal_entity: named(&Plan { name: plan.name.filter(|_| plan.one_party), ..plan.clone() }, entity),
            name: named(plan, name),
            key: keeper_key(place).verifier_key().clone(),
            opening_key: [place; OPENING_KEY_BYTES],
            log_key: log_signer(LogName::Keeper(KeeperIndex(place))).verifier_key().clone(),
            witness_key: witness_key(&format!("{host}/witness"), place + 80),
            url: format!("https://{host}"),
            tls_pin: [place; 32],
            human_keys: vec![[place + 60; 32]],
        }
    });
    let charter = Charter {
        v: VersionOne,
        kind: CharterKind::Charter,
        owner: Owner {
            id: OWNER,
            name: named(plan, "Millbrook Police Department"),
            state: State::parse("CT").unwrap(),
            level: Level::Local,
        },
        archive_kind: ArchiveKind::Police,
        agency_key: agency.verifier_key().clone(),
        archive: ArchiveEntry {
            url: "https://alpr.millbrook.example".to_owned(),
            tls_pin: [9; 32],
            log_key: log_signer(LogName::Recorder).verifier_key().clone(),
        },
        recorders: vec![RecorderEntry { id: RecorderId([2; 16]), key: [70; 32] }],
        keepers: keepers.collect(),
        threshold: 2,
        witnesses: vec![],
        outside_witnesses: 0,
        keeper_leaves: LeafWait::Cosigned,
        agency_leaves: LeafWait::Durable,
        agencies: agencies(plan).into_iter().map(page).collect(),
        audit_percent: 5,
        auditors: vec![AuditorEntry { name: named(plan, "State Auditor"), opening_key: [99; OPENING_KEY_BYTES] }],
        trust: vec![],
        policy: policy_digest(),
        policy_signers: vec![signer("clerk", 210).verifier_key().clone()],
        policy_quorum: 1,
        epoch_seconds: HOUR,
        retention_seconds: 21 * DAY,
        opening_keep_seconds: 2 * OPENING_KEEP_SECONDS_MIN,
        extract_entries_max: 1_000_000,
        accounts_max: 0,
        accept_key_files: AcceptKeyFiles::Own,
        accept_attested: true,
    };
    let mut lines = vec![charter.sign(&agency).unwrap()];
    lines.extend((1..=3).map(|place| charter.sign(&keeper_key(place)).unwrap()));
    CharterFile::assemble(&charter, lines).unwrap()
}

fn witness_key(name: &str, seed: u8) -> VerifierKey {
    CosignatureSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap().verifier_key().clone()
}

fn page((id, name): (AgencyId, String)) -> AgencyPage {
    let (state, level) = if id == FEDERAL { ("US", Level::Federal) } else { ("CT", Level::Local) };
    AgencyPage {
        id,
        name,
        state: State::parse(state).unwrap(),
        level,
        desk_log: Some(log_signer(LogName::Desk(id)).verifier_key().clone()),
        url: address(LogName::Desk(id)).trim_end_matches("/log/desk").to_owned(),
        tls_pin: [id.0[0]; 32],
    }
}

fn bundle() -> Bundle {
    Bundle::shipped(State::parse("CT").unwrap())
}

fn policy_digest() -> [u8; 32] {
    bundle().digest()
}

/// The logs while they are written.
struct Book {
    logs: Logs,
    leaves: BTreeMap<LogName, Vec<Vec<u8>>>,
    last: BTreeMap<LogName, u64>,
    desks: BTreeMap<AgencyId, LogName>,
}

fn kind(log: LogName) -> LogKind {
    match log {
        LogName::Keeper(_) => LogKind::Keeper,
        LogName::Recorder => LogKind::Recorder,
        LogName::Desk(_) => LogKind::Desk,
    }
}

fn keeper(place: u8) -> LogName {
    LogName::Keeper(KeeperIndex(place))
}

fn digests<const N: usize>(seed: u8) -> SaltedDigests<N> {
    SaltedDigests::new((0..N).map(|place| [u8::try_from(place).unwrap() * 8 + seed % 8; 32]).collect()).unwrap()
}

/// 32 bytes that look like a digest and differ for every number.
fn digest(kind: u8, number: usize) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    hash.update([kind]);
    hash.update(number.to_be_bytes());
    hash.finalize().into()
}

impl Book {
    fn founded(plan: &Plan) -> Self {
        let logs = Logs::new(charter(plan));
        let desks = agencies(plan).into_iter().map(|(id, _)| (id, LogName::Desk(id))).collect();
        let hash = logs.charter().hash();
        let label = logs.charter().charter().custody_label();
        let entities = u64::try_from(logs.charter().charter().legal_entities()).unwrap();
        let mut book = Self { logs, leaves: BTreeMap::new(), last: BTreeMap::new(), desks };
        let founded = at(FOUNDED);
        let names: Vec<LogName> = book.logs.names().collect();
        for log in names {
            book.say(log, founded, LogEntry::Genesis(Genesis { party: [3; 16], role: kind(log), charter: hash }));
            if kind(log) == LogKind::Desk {
                continue;
            }
            let charter = CharterLeaf {
                owner: OWNER,
                old: None,
                new: hash,
                t: 2,
                n: 3,
                legal_entities: entities,
                custody_label: label,
                effective: Timestamp(founded),
            };
            book.say(log, founded + 60, LogEntry::Charter(charter));
            let policy = PolicyLeaf {
                owner: OWNER,
                old: None,
                new: policy_digest(),
                relation: PolicyRelation::Narrower,
                signers: 1,
                effective: Timestamp(founded),
            };
            book.say(log, founded + 60, LogEntry::Policy(policy));
        }
        book
    }

    fn say(&mut self, log: LogName, time: u64, entry: LogEntry) {
        // Every log's clock runs forward, whatever order the story is told in.
        let time = time.max(self.last.get(&log).copied().unwrap_or(0));
        self.last.insert(log, time);
        let origin = self.logs.origin(&log).unwrap().to_owned();
        let index = self.logs.seen(&log);
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&index.to_be_bytes());
        let stamped = Stamped::with_nonce(entry, kind(log), &origin, Timestamp(time), nonce).unwrap();
        self.logs.see(&log, index, stamped.leaf_bytes()).unwrap();
        self.leaves.entry(log).or_default().push(stamped.leaf_bytes().to_vec());
    }

    fn keepers(&mut self, time: u64, entry: &LogEntry) {
        for place in 1..=3 {
            self.say(keeper(place), time, entry.clone());
        }
    }

    /// Cameras, keys, declarations, and the first periods of reads.
    fn first_weeks(&mut self) {
        let founded = at(FOUNDED);
        for camera in 1..=8_u64 {
            let change = if camera == 5 { CameraChange::Pause } else { CameraChange::Add };
            let leaf = CameraLeaf {
                owner: OWNER,
                change,
                register: digest(b'c', usize::try_from(camera).unwrap()),
                cameras: camera,
                effective: Timestamp(founded + camera * HOUR),
            };
            self.say(LogName::Recorder, founded + camera * HOUR, LogEntry::Camera(leaf));
        }
        for (number, (subject, change)) in [
            (KeySubject::Court, KeyChange::Enrol),
            (KeySubject::Officer, KeyChange::Enrol),
            (KeySubject::Officer, KeyChange::Revoke),
            (KeySubject::Supervisor, KeyChange::Replace),
        ]
        .into_iter()
        .enumerate()
        {
            let time = founded + DAY + u64::try_from(number).unwrap() * HOUR;
            let effective = Timestamp(time + 3 * DAY);
            let name = match subject {
                KeySubject::Court => KeyName::Institution(digest(b'k', number)),
                _ => KeyName::Person(digests::<SD_OTHER>(1)),
            };
            let entry = KeyChanged { subject, change, list: digest(b'l', number), effective };
            self.keepers(time, &LogEntry::Key(KeyLeaf { entry, name }));
        }
        let declaration = DeclarationLeaf {
            owner: OWNER,
            agency: TASK_FORCE,
            declaration: DeclarationName::Ct2614,
            change: DeclarationChange::File,
            object: digest(b'd', 1),
            valid_from: Timestamp(founded + 2 * DAY),
            valid_until: Timestamp(founded + 367 * DAY),
        };
        self.keepers(founded + 2 * DAY, &LogEntry::Declaration(declaration));
        for day in 3..6 {
            self.period(founded + day * DAY);
        }
        let narrower = PolicyLeaf {
            owner: OWNER,
            old: Some(digest(b'p', 0)),
            new: policy_digest(),
            relation: PolicyRelation::Narrower,
            signers: 1,
            effective: Timestamp(founded + 7 * DAY),
        };
        self.keepers(founded + 6 * DAY, &LogEntry::Policy(narrower));
    }

    /// An hour of reads from the dealing of its keys to their end.
    fn period(&mut self, from: u64) {
        let header = digest(b'e', usize::try_from(from).unwrap());
        for place in 1..=3 {
            let leaf = ShareReceived { header, index: KeeperIndex(place) };
            self.say(keeper(place), from - 120, LogEntry::ShareReceived(leaf));
        }
        let dealt = EpochDealt {
            owner: OWNER,
            recorder: RecorderId([2; 16]),
            header,
            cap_from: Timestamp(from),
            cap_to: Timestamp(from + HOUR),
            destroy_after: Timestamp(from + HOUR + 21 * DAY),
            kind: EpochKind::Live,
            t: 2,
            n: 3,
        };
        self.say(LogName::Recorder, from - 60, LogEntry::EpochDealt(dealt));
        let closed = EpochClosed {
            header,
            root: digest(b'r', 1),
            cells: 512,
            bucket_bits: 4,
            erased_at: Timestamp(from + HOUR + 150),
            orphaned: false,
        };
        self.say(LogName::Recorder, from + HOUR + 160, LogEntry::EpochClosed(closed));
        for place in 1..=3 {
            let leaf = ShareDestroyed {
                header,
                index: KeeperIndex(place),
                method: DestroyMethod::Kek,
                reason: DestroyReason::Retention,
            };
            self.say(keeper(place), from + HOUR + 21 * DAY + 600, LogEntry::ShareDestroyed(leaf));
        }
    }

    /// One request of the story, its time in proportion to its number.
    fn request(&mut self, number: usize, of: usize) {
        let (from, to) = (at("2026-08-03T06:00:00Z"), at("2026-11-28T09:00:00Z"));
        let share = u64::try_from(number).unwrap() * ((to - from) / u64::try_from(of.max(1)).unwrap());
        let time = from + share + u64::try_from(number % 17).unwrap() * 61;
        let last = number + 20 >= of;
        let base = leaf(number, time);
        match number % 20 {
            3 | 11 => self.refused(time, immigration(base)),
            7 => self.by_person(time, warrant(base), true, last),
            13 => self.by_person(time, warrant(base), false, last),
            5 => self.emergency(time, base),
            9 => self.refused(time, stranger(base)),
            15 => self.granted(time, behalf(base), 2),
            17 => self.granted(time, own_record(base), 3),
            19 => self.refused(time, expired(base)),
            _ => self.granted(time, base, 3),
        }
    }

    fn granted(&mut self, time: u64, leaf: RequestLeaf, keepers: u8) {
        let request = LogEntry::Request(Box::new(leaf.clone()));
        for place in 1..=keepers {
            self.say(keeper(place), time + u64::from(place), request.clone());
        }
        self.answered(time + 30, &leaf);
    }

    fn answered(&mut self, time: u64, leaf: &RequestLeaf) {
        let grant = digest(b'g', usize::try_from(time).unwrap());
        for place in 1..=2 {
            let (request, epochs, elements) = (leaf.request, leaf.epochs_allowed, leaf.elements);
            let leaf = EvaluationLeaf { request, grant, epochs, elements };
            self.say(keeper(place), time + u64::from(place), LogEntry::Evaluation(leaf));
        }
        let Some(desk) = self.desks.get(&leaf.requester).copied() else { return };
        let (cells, others, outcome) = match time % 7 {
            0 | 1 => (0, 0, Outcome::None),
            2 => (0, 0, Outcome::Failed),
            odd => (odd * 3, odd % 2, Outcome::Found),
        };
        let disclosure = DisclosureLeaf { request: leaf.request, grant, owner: OWNER, cells, others, outcome };
        self.say(desk, time + 40, LogEntry::Disclosure(disclosure));
    }

    fn refused(&mut self, time: u64, leaf: RequestLeaf) {
        let leaf = RequestLeaf {
            decision: RequestDecision::Deny,
            obligations: None,
            epochs_refused: leaf.epochs_allowed,
            epochs_allowed: 0,
            ..leaf
        };
        let request = LogEntry::Request(Box::new(leaf));
        for place in 1..=3 {
            self.say(keeper(place), time + u64::from(place), request.clone());
        }
    }

    /// A person at each keeper is asked; the newest requests still wait.
    fn by_person(&mut self, time: u64, leaf: RequestLeaf, yes: bool, waits: bool) {
        let leaf = RequestLeaf {
            decision: RequestDecision::Ask,
            obligations: Some(Obligations { approvers: 1, retain_days: 90, notice_days: 180, confirm_visual: false }),
            rules: rules(&["base.search", "base.search-human"]),
            ..leaf
        };
        let mut indices = Vec::new();
        for place in 1..=3 {
            indices.push(self.logs.seen(&keeper(place)));
            self.say(keeper(place), time + u64::from(place), LogEntry::Request(Box::new(leaf.clone())));
        }
        if waits {
            return;
        }
        for (place, request_index) in (1..=2).zip(indices) {
            let approval = HumanApprovalLeaf {
                request: leaf.request,
                policy: leaf.policy,
                request_index,
                decision: if yes { HumanDecision::Approve } else { HumanDecision::Refuse },
                opened: true,
                reason: (!yes).then_some(RefusalReason::WrongPlate),
                sd: digests::<SD_OTHER>(2),
            };
            self.say(keeper(place), time + 20 * 60 + u64::from(place), LogEntry::Approval(approval));
        }
        if yes {
            self.answered(time + 30 * 60, &leaf);
        }
    }

    fn emergency(&mut self, time: u64, leaf: RequestLeaf) {
        let leaf = RequestLeaf {
            emergency: true,
            purpose: Purpose::MissingPerson,
            basis: Basis::Exigency,
            window_days: 1,
            epochs_allowed: 12,
            ..leaf
        };
        let (request, deadline) = (leaf.request, Timestamp(time + DAY));
        self.granted(time, leaf, 3);
        // Every other agency files its paper in time.
        if time.is_multiple_of(2) {
            let authorisation = Some(digest(b'w', 7));
            let paper = PaperLeaf { request, status: PaperStatus::Filed, deadline, authorisation };
            self.keepers(time + HOUR, &LogEntry::Paper(paper));
        } else {
            let paper = PaperLeaf { request, status: PaperStatus::Due, deadline, authorisation: None };
            self.keepers(time + 60, &LogEntry::Paper(paper));
        }
    }

    /// A load of a hot list, and the self-test of the last day.
    fn last_day(&mut self) {
        let noon = at("2026-11-27T12:00:00Z");
        let counts =
            |class, accepted, dropped| ListCounts { class, accepted, added: accepted, removed: 0, dropped, refused: 1 };
        let load = HotlistLeaf {
            list: [5; 16],
            kind: ListKind::Full,
            sequence: 1,
            produced_at: Timestamp(noon),
            classes: vec![counts(ListClass::ImmigrationViolator, 0, 214), counts(ListClass::StolenVehicle, 1_031, 0)],
            set: digest(b's', 1),
            decisions: vec![digest(b's', 2), digest(b's', 3)],
            sd: digests::<SD_OTHER>(3),
        };
        self.say(LogName::Recorder, noon + 600, LogEntry::Hotlist(load));
        let test = CanaryLeaf { header: digest(b'e', 1), result: CanaryResult::Found, keepers: 3 };
        self.say(LogName::Recorder, noon + HOUR, LogEntry::Canary(test));
    }

    /// Checkpoints over everything, confirmed by the other keepers, and how the logs were followed.
    fn seal(mut self, plan: &Plan) -> Town {
        let now = at(NOW);
        let names: Vec<LogName> = self.logs.names().collect();
        let mut records = BTreeMap::new();
        for log in names {
            if plan.trouble && log == LogName::Desk(SHERIFF) {
                continue;
            }
            let confirmed = if plan.trouble && log == keeper(2) { now - 3 * DAY } else { now - 4 * 60 };
            let signer = log_signer(log);
            let hashes: Vec<_> = self.leaves[&log].iter().map(|leaf| leaf_hash(leaf)).collect();
            let origin = signer.verifier_key().name().clone();
            let checkpoint = Checkpoint::new(origin, self.logs.seen(&log), root(&hashes)).unwrap();
            let line = signer.sign(&checkpoint.to_text()).unwrap();
            let note = SignedNote::new(&checkpoint.to_text(), vec![line]).unwrap().to_bytes();
            self.logs.tell_head(&log, Head { checkpoint, note, confirmed: Some(Timestamp(confirmed)) }).unwrap();
            let others = (1..=3_u8).filter(|place| log != keeper(*place));
            let others = others.map(|place| named(plan, KEEPERS[usize::from(place) - 1].0)).collect();
            records.insert(log, Record { address: address(log), confirmed_by: others, trouble: None });
        }
        if plan.trouble {
            records.get_mut(&keeper(2)).unwrap().trouble = Some(Trouble::Unavailable);
            records.get_mut(&LogName::Recorder).unwrap().trouble = Some(Trouble::Lied);
        }
        let policy = CedarPolicy::load(&bundle()).unwrap();
        self.logs.tell_bundle(policy_digest(), policy.rules().map(str::to_owned).collect());
        let now = Timestamp(now);
        let alarms = if plan.trouble { lockplate_audit::monitor::alarms(&self.logs, now) } else { Vec::new() };
        Town { logs: self.logs, records, alarms, policy, now }
    }
}

fn address(log: LogName) -> String {
    match log {
        LogName::Keeper(index) => format!("https://{}/log/keeper", KEEPERS[usize::from(index.0) - 1].2),
        LogName::Recorder => "https://alpr.millbrook.example/log/recorder".to_owned(),
        LogName::Desk(id) => format!("https://agency-{}.example/log/desk", id.0[0]),
    }
}

fn rules(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn leaf(number: usize, time: u64) -> RequestLeaf {
    let requester = [OWNER, EASTPORT, SHERIFF, TASK_FORCE, OWNER, EASTPORT, OWNER][number % 7];
    let purpose = [
        Purpose::StolenVehicle,
        Purpose::CrimeInvestigation,
        Purpose::StolenPlate,
        Purpose::StolenVehicle,
        Purpose::WantedPerson,
        Purpose::AmberAlert,
        Purpose::HumanTrafficking,
        Purpose::CourtProceeding,
    ][number % 8];
    let mut officer = [0; 10];
    officer.copy_from_slice(&digest(b'o', number % 60)[..10]);
    let days = u64::try_from(number % 9).unwrap() + 1;
    RequestLeaf {
        request: digest(b'q', number),
        owner: OWNER,
        requester,
        on_behalf_of: requester,
        officer,
        action: Action::Search,
        purpose,
        basis: Basis::ReasonableSuspicion,
        assurance: Assurance::None,
        judicial: false,
        emergency: false,
        authorisation: None,
        elements: u64::try_from(number % 4).unwrap() + 1,
        window_days: days,
        epochs_allowed: days * 24,
        epochs_refused: 0,
        decision: RequestDecision::Allow,
        rules: rules(&["base.search"]),
        obligations: Some(Obligations { approvers: 0, retain_days: 90, notice_days: 180, confirm_visual: true }),
        policy: policy_digest(),
        engine: "cedar-policy 4.14.1".to_owned(),
        embargo: Timestamp(time + if number.is_multiple_of(6) { DAY } else { 180 * DAY }),
        sd: digests::<SD_REQUEST>(u8::try_from(number % 8).unwrap()),
        sd_alg: SdAlgorithm::Sha256,
        escrow: vec![Escrow { auditor: auditor_digest(&[99; OPENING_KEY_BYTES]), opening: digest(b'e', number) }],
    }
}

fn immigration(leaf: RequestLeaf) -> RequestLeaf {
    RequestLeaf {
        requester: FEDERAL,
        on_behalf_of: FEDERAL,
        purpose: Purpose::CivilImmigration,
        basis: Basis::AdministrativeWarrant,
        window_days: 21,
        epochs_allowed: 504,
        rules: rules(&["base.civil-immigration", "base.immigration-paper", "ct.out-of-state", "ct.uses"]),
        ..leaf
    }
}

fn stranger(leaf: RequestLeaf) -> RequestLeaf {
    let rules = rules(&["base.requester", "keeper.facts", "local.unknown-rule"]);
    RequestLeaf { requester: STRANGER, on_behalf_of: STRANGER, rules, ..leaf }
}

fn expired(leaf: RequestLeaf) -> RequestLeaf {
    RequestLeaf { rules: rules(&["keeper.epochs", "keeper.expired"]), ..leaf }
}

fn warrant(leaf: RequestLeaf) -> RequestLeaf {
    RequestLeaf {
        purpose: Purpose::CrimeInvestigation,
        basis: Basis::SearchWarrant,
        assurance: Assurance::CourtKey,
        judicial: true,
        authorisation: Some(digest(b'w', usize::try_from(leaf.embargo.0).unwrap())),
        ..leaf
    }
}

fn behalf(leaf: RequestLeaf) -> RequestLeaf {
    RequestLeaf { requester: EASTPORT, on_behalf_of: TASK_FORCE, ..leaf }
}

fn own_record(leaf: RequestLeaf) -> RequestLeaf {
    RequestLeaf {
        requester: OWNER,
        on_behalf_of: OWNER,
        action: Action::OwnerAccess,
        purpose: Purpose::OwnRecord,
        basis: Basis::Consent,
        rules: rules(&["base.owner-access"]),
        ..leaf
    }
}

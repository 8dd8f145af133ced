//! A small invented town for tests: a charter that everybody signed, and logs whose leaves are real ones.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::Timestamp;
use lockplate_core::audit::auditor_digest;
use lockplate_core::charter::{
    AcceptKeyFiles, AgencyPage, ArchiveEntry, AuditorEntry, Charter, CharterFile, CharterKind, KeeperEntry, LeafWait,
    OPENING_KEEP_SECONDS_MIN, OPENING_KEY_BYTES, Owner, RecorderEntry,
};
use lockplate_core::disclosure::{SD_OTHER, SD_REQUEST};
use lockplate_core::entry::{
    CharterLeaf, DisclosureLeaf, EpochClosed, EpochDealt, EpochKind, Escrow, EvaluationLeaf, Genesis,
    HumanApprovalLeaf, HumanDecision, LogEntry, LogKind, Outcome, PolicyLeaf, PolicyRelation, RequestDecision,
    RequestLeaf, SaltedDigests, SdAlgorithm, ShareReceived, Stamped,
};
use lockplate_core::facts::Obligations;
use lockplate_core::id::{AgencyId, KeeperIndex, RecorderId};
use lockplate_core::signed::VersionOne;
use lockplate_core::vocabulary::{Action, ArchiveKind, Assurance, Basis, Level, Purpose, State};
use lockplate_log::merkle::{Hash, leaf_hash, root};
use lockplate_log::note::{NoteSigner, Origin};
use lockplate_log::{Checkpoint, CosignatureSigner};

use crate::logs::{Head, LeafRef, LogName, Logs, kind_of};
use crate::monitor::{Alarm, MonitorRule, alarms};

pub(crate) const OWNER: AgencyId = AgencyId([1; 16]);
pub(crate) const EASTPORT: AgencyId = AgencyId([7; 16]);
pub(crate) const STRANGER: AgencyId = AgencyId([8; 16]);
pub(crate) const POLICY: [u8; 32] = [5; 32];
const AUDITOR: [u8; OPENING_KEY_BYTES] = [99; OPENING_KEY_BYTES];
pub(crate) const REQUEST: [u8; 32] = [0xab; 32];
pub(crate) const GRANT: [u8; 32] = [0xcd; 32];
pub(crate) const HEADER: [u8; 32] = [0xe1; 32];
/// Noon of 22 November 2026, UTC.
pub(crate) const NOON: u64 = 1_795_348_800;
/// When the logs begin: long before.
pub(crate) const FOUNDED: u64 = NOON - 40 * 86_400;
pub(crate) const DESK: LogName = LogName::Desk(EASTPORT);

pub(crate) const fn keeper(place: u8) -> LogName {
    LogName::Keeper(KeeperIndex(place))
}

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap()
}

fn cosigner(name: &str, seed: u8) -> CosignatureSigner {
    CosignatureSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap()
}

fn agency_page(id: AgencyId, name: &str, desk: Option<&str>) -> AgencyPage {
    AgencyPage {
        id,
        name: name.to_owned(),
        state: State::parse("CT").unwrap(),
        level: Level::Local,
        desk_log: desk.map(|origin| signer(origin, id.0[0] + 220).verifier_key().clone()),
        url: "https://alpr.eastport.example".to_owned(),
        tls_pin: [10; 32],
    }
}

/// Two of three keepers of three legal entities.
pub(crate) fn charter() -> CharterFile {
    let agency = signer("alpr.millbrook.example/agency", 200);
    let keepers = (1..=3_u8).map(|place| KeeperEntry {
        index: KeeperIndex(place),
        legal_entity: format!("Entity {place}"),
        name: format!("Keeper {place}"),
        key: signer(&format!("k{place}.example/keeper"), place).verifier_key().clone(),
        opening_key: [place; OPENING_KEY_BYTES],
        log_key: signer(&format!("k{place}.example/log/keeper"), place + 40).verifier_key().clone(),
        witness_key: cosigner(&format!("k{place}.example/witness"), place + 80).verifier_key().clone(),
        url: format!("https://k{place}.example"),
        tls_pin: [place; 32],
        human_keys: vec![[place + 60; 32]],
    });
    let charter = Charter {
        v: VersionOne,
        kind: CharterKind::Charter,
        owner: Owner {
            id: OWNER,
            name: "Millbrook Police Department".to_owned(),
            state: State::parse("CT").unwrap(),
            level: Level::Local,
        },
        archive_kind: ArchiveKind::Police,
        agency_key: agency.verifier_key().clone(),
        archive: ArchiveEntry {
            url: "https://alpr.millbrook.example".to_owned(),
            tls_pin: [9; 32],
            log_key: signer("alpr.millbrook.example/log/recorder", 201).verifier_key().clone(),
        },
        recorders: vec![RecorderEntry { id: RecorderId([2; 16]), key: [70; 32] }],
        keepers: keepers.collect(),
        threshold: 2,
        witnesses: vec![],
        outside_witnesses: 0,
        keeper_leaves: LeafWait::Cosigned,
        agency_leaves: LeafWait::Durable,
        agencies: vec![
            agency_page(OWNER, "Millbrook Police Department", None),
            agency_page(EASTPORT, "Eastport Police", Some("alpr.eastport.example/log/desk")),
        ],
        audit_percent: 5,
        auditors: vec![AuditorEntry { name: "State Auditor".to_owned(), opening_key: AUDITOR }],
        trust: vec![],
        policy: POLICY,
        policy_signers: vec![signer("clerk", 210).verifier_key().clone()],
        policy_quorum: 1,
        epoch_seconds: 3_600,
        retention_seconds: 21 * 86_400,
        opening_keep_seconds: OPENING_KEEP_SECONDS_MIN,
        extract_entries_max: 1_000_000,
        accounts_max: 0,
        accept_key_files: AcceptKeyFiles::Own,
        accept_attested: true,
    };
    let mut lines = vec![charter.sign(&agency).unwrap()];
    lines.extend((1..=3).map(|place| charter.sign(&signer(&format!("k{place}.example/keeper"), place)).unwrap()));
    CharterFile::assemble(&charter, lines).unwrap()
}

/// The logs of the town while they are written.
#[derive(Clone)]
pub(crate) struct Book {
    pub(crate) logs: Logs,
    leaves: BTreeMap<LogName, Vec<Vec<u8>>>,
}

impl Book {
    /// Every log has its first leaves, written at [`FOUNDED`].
    pub(crate) fn founded() -> Self {
        let logs = Logs::new(charter());
        let mut book = Self { logs, leaves: BTreeMap::new() };
        let names: Vec<LogName> = book.logs.names().collect();
        for log in names {
            let genesis = Genesis { party: [3; 16], role: kind_of(&log), charter: [4; 32] };
            book.say(log, FOUNDED, LogEntry::Genesis(genesis));
            if kind_of(&log) != LogKind::Desk {
                book.say(log, FOUNDED, LogEntry::Charter(charter_leaf(2, 3, FOUNDED)));
                book.say(log, FOUNDED, LogEntry::Policy(policy_leaf(None, POLICY, FOUNDED)));
            }
        }
        book
    }

    /// Writes one leaf and tells it to the logs.
    pub(crate) fn say(&mut self, log: LogName, time: u64, entry: LogEntry) -> LeafRef {
        let origin = self.logs.origin(&log).unwrap().to_owned();
        self.say_as(log, &origin, time, entry)
    }

    /// The same with an origin of one's own choice.
    pub(crate) fn say_as(&mut self, log: LogName, origin: &str, time: u64, entry: LogEntry) -> LeafRef {
        let kind = LogEntry::TYPES
            .iter()
            .find(|name| **name == entry.type_name())
            .and_then(|_| {
                [kind_of(&log), LogKind::Keeper, LogKind::Recorder, LogKind::Desk]
                    .into_iter()
                    .find(|kind| entry.belongs_in(*kind))
            })
            .unwrap();
        let index = self.logs.seen(&log);
        let stamped = Stamped::with_nonce(entry, kind, origin, Timestamp(time), nonce_of(index)).unwrap();
        self.say_bytes(log, stamped.leaf_bytes())
    }

    /// Any bytes as the next leaf.
    pub(crate) fn say_bytes(&mut self, log: LogName, bytes: &[u8]) -> LeafRef {
        let index = self.logs.seen(&log);
        self.logs.see(&log, index, bytes).unwrap();
        self.leaves.entry(log).or_default().push(bytes.to_vec());
        LeafRef { log, index }
    }

    pub(crate) fn leaves(&self) -> &BTreeMap<LogName, Vec<Vec<u8>>> {
        &self.leaves
    }

    pub(crate) fn root(&self, log: &LogName) -> Hash {
        root(&self.leaves[log].iter().map(|leaf| leaf_hash(leaf)).collect::<Vec<_>>())
    }

    /// A checkpoint over all leaves of a log, confirmed at a moment.
    pub(crate) fn head(&self, log: &LogName, confirmed: Option<u64>) -> Head {
        let origin = Origin::parse(self.logs.origin(log).unwrap()).unwrap();
        let checkpoint = Checkpoint::new(origin, self.logs.seen(log), self.root(log)).unwrap();
        Head { note: checkpoint.to_text().into_bytes(), checkpoint, confirmed: confirmed.map(Timestamp) }
    }

    /// All logs confirmed at a moment.
    pub(crate) fn confirm(&mut self, time: u64) {
        let names: Vec<LogName> = self.logs.names().collect();
        for log in names {
            self.confirm_one(log, time);
        }
    }

    pub(crate) fn confirm_one(&mut self, log: LogName, time: u64) {
        let head = self.head(&log, Some(time));
        self.logs.tell_head(&log, head).unwrap();
    }

    /// Alarms of a rule at a moment at which all logs are fresh.
    pub(crate) fn fresh_alarms(&mut self, rule: MonitorRule, now: u64) -> Vec<Alarm> {
        self.confirm(now);
        self.alarms(rule, now)
    }

    pub(crate) fn alarms(&self, rule: MonitorRule, now: u64) -> Vec<Alarm> {
        alarms(&self.logs, Timestamp(now)).into_iter().filter(|alarm| alarm.rule == rule).collect()
    }

    /// Every rule that has an alarm at a moment at which all logs are fresh.
    pub(crate) fn raised(&mut self, now: u64) -> BTreeSet<&'static str> {
        self.confirm(now);
        alarms(&self.logs, Timestamp(now)).into_iter().map(|alarm| alarm.rule.name()).collect()
    }

    /// A search that went as it should: allowed by all three keepers at `time`, answered by two, disclosed.
    pub(crate) fn good_search(&mut self, time: u64) {
        for place in 1..=3 {
            self.say(keeper(place), time, LogEntry::Request(Box::new(request())));
        }
        for place in 1..=2 {
            self.say(keeper(place), time + 5, evaluation());
        }
        self.say(DESK, time + 10, disclosure());
    }

    /// An epoch that went as it should, from the dealing to the close.
    pub(crate) fn good_epoch(&mut self, cap_from: u64) {
        for place in 1..=3 {
            self.say(keeper(place), cap_from - 60, received(place));
        }
        self.say(LogName::Recorder, cap_from - 50, LogEntry::EpochDealt(dealt(cap_from)));
        self.say(LogName::Recorder, cap_from + 3_605, LogEntry::EpochClosed(closed(cap_from)));
    }
}

/// The nonce of a leaf of a [`Book`].
pub(crate) fn nonce_of(index: u64) -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&index.to_be_bytes());
    nonce
}

pub(crate) fn digests<const N: usize>() -> SaltedDigests<N> {
    SaltedDigests::new((0..N).map(|i| [u8::try_from(i).unwrap(); 32]).collect()).unwrap()
}

pub(crate) fn request() -> RequestLeaf {
    RequestLeaf {
        request: REQUEST,
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
        policy: POLICY,
        engine: "cedar-policy 4.14.1".to_owned(),
        embargo: Timestamp(NOON + 180 * 86_400),
        sd: digests::<SD_REQUEST>(),
        sd_alg: SdAlgorithm::Sha256,
        escrow: vec![Escrow { auditor: auditor_digest(&AUDITOR), opening: [6; 32] }],
    }
}

/// The same request as a rule refuses it.
pub(crate) fn refused() -> RequestLeaf {
    RequestLeaf {
        decision: RequestDecision::Deny,
        rules: BTreeSet::from(["base.civil-immigration".to_owned()]),
        obligations: None,
        epochs_allowed: 0,
        epochs_refused: 4,
        ..request()
    }
}

/// The same request as it waits for a keeper's human.
pub(crate) fn asked() -> RequestLeaf {
    let obligations = Some(Obligations { approvers: 1, retain_days: 30, notice_days: 180, confirm_visual: true });
    RequestLeaf { decision: RequestDecision::Ask, obligations, ..request() }
}

pub(crate) fn approval(request_index: u64, decision: HumanDecision) -> LogEntry {
    let (request, policy, reason) = (REQUEST, POLICY, None);
    LogEntry::Approval(HumanApprovalLeaf {
        request,
        policy,
        request_index,
        decision,
        opened: true,
        reason,
        sd: digests::<SD_OTHER>(),
    })
}

pub(crate) const fn evaluation() -> LogEntry {
    LogEntry::Evaluation(EvaluationLeaf { request: REQUEST, grant: GRANT, epochs: 4, elements: 2 })
}

pub(crate) const fn disclosure_leaf() -> DisclosureLeaf {
    DisclosureLeaf { request: REQUEST, grant: GRANT, owner: OWNER, cells: 0, others: 0, outcome: Outcome::None }
}

pub(crate) const fn disclosure() -> LogEntry {
    LogEntry::Disclosure(disclosure_leaf())
}

pub(crate) const fn received(place: u8) -> LogEntry {
    LogEntry::ShareReceived(ShareReceived { header: HEADER, index: KeeperIndex(place) })
}

pub(crate) const fn dealt(cap_from: u64) -> EpochDealt {
    EpochDealt {
        owner: OWNER,
        recorder: RecorderId([2; 16]),
        header: HEADER,
        cap_from: Timestamp(cap_from),
        cap_to: Timestamp(cap_from + 3_600),
        destroy_after: Timestamp(cap_from + 3_600 + 21 * 86_400),
        kind: EpochKind::Live,
        t: 2,
        n: 3,
    }
}

pub(crate) const fn closed(cap_from: u64) -> EpochClosed {
    EpochClosed {
        header: HEADER,
        root: [12; 32],
        cells: 64,
        bucket_bits: 2,
        erased_at: Timestamp(cap_from + 3_601),
        orphaned: false,
    }
}

pub(crate) const fn charter_leaf(t: u8, n: u8, effective: u64) -> CharterLeaf {
    CharterLeaf {
        owner: OWNER,
        old: None,
        new: [4; 32],
        t,
        n,
        legal_entities: 3,
        custody_label: false,
        effective: Timestamp(effective),
    }
}

pub(crate) const fn policy_leaf(old: Option<[u8; 32]>, new: [u8; 32], effective: u64) -> PolicyLeaf {
    let relation = PolicyRelation::Looser;
    PolicyLeaf { owner: OWNER, old, new, relation, signers: 2, effective: Timestamp(effective) }
}

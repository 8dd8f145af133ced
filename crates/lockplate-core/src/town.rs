//! A whole small town in one thread, for tests: one owner, three keepers of three legal entities, real keys, real logs in
//! memory. Everything goes through the public doors of this crate.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use lockplate_log::append::{Entry as _, Log};
use lockplate_log::cosignature::CosignatureSigner;
use lockplate_log::error::StorageFault;
use lockplate_log::note::{NoteSigner, Origin, VerifierKey};
use lockplate_log::storage::{LogStorage, StagingName};
use lockplate_log::tile::TilePath;
use lockplate_oprf::Secret;
use lockplate_oprf::oprf::Blind;
use lockplate_oprf::sharing::Threshold;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::Timestamp;
use crate::approval::{Approval, Grant};
use crate::authorisation::Verified;
use crate::charter::{
    AcceptKeyFiles, AgencyPage, ArchiveEntry, AuditorEntry, Charter, CharterFile, CharterKind, KeeperEntry, LeafWait,
    OPENING_KEEP_SECONDS_MIN, Owner, RecorderEntry,
};
use crate::directory::{Directory, DirectoryBody, OfficerEntry, TrustEntry, TrustRole, VerifiedDirectory};
use crate::disclosure::Disclosure;
use crate::entry::{Leaf, LogEntry, RequestLeaf, parse_leaf};
use crate::envelope::{HpkePublicKey, HpkeSecretKey};
use crate::epoch::{
    DealtShare, EpochClose, EpochHeader, EpochKind, EpochPlan, HeldShare, Prekey, ShareReceipt, VerifiedPrekey, deal,
    unwrap_share,
};
use crate::evidence::{EpochInWindow, Standing};
use crate::facts::{AccessPolicy, AgencyFacts, Obligations, OfficerFacts, PolicyAnswer, Reason, SearchFacts};
use crate::id::{AgencyId, KeeperIndex, RecorderId, RequestId};
use crate::keeper::{Answer, ClosedEpoch, DecisionRecord, HeldEpoch, Keeper};
use crate::notice::NoticeKey;
use crate::open::Evaluation;
use crate::ownership::OwnershipFacts;
use crate::plate::{Jurisdiction, Plate, PlateInput};
use crate::read::{Motion, Read, ReadFlags, TimeQuality, Vehicle};
use crate::request::{FiledRequest, Opened, OpeningText, Openings, SearchRequest, check_opening, draft_request};
use crate::seal::Sealer;
use crate::segment::Segment;
use crate::sign::{Signed, SigningKey};
use crate::signed::{Header, Signable as _, SignedObject, VersionOne};
use crate::statement::{OffenceStated, PlateName, Statement as StatementOfOfficer, StatementText};
use crate::vocabulary::{ArchiveKind, Basis, Level, Offence, Purpose, State};

pub(crate) const OWNER: AgencyId = AgencyId([1; 16]);
pub(crate) const RECORDER: RecorderId = RecorderId([2; 16]);
/// The court of the town's judge.
pub(crate) const COURT: &str = "Superior Court, Millbrook";
/// Name of the town's auditor.
const AUDITOR: &str = "State auditor";
/// The last second of the year 9999, after which texts of times say nothing more.
const LAST_SECOND: Timestamp = Timestamp(253_402_300_799);
pub(crate) const NOON: u64 = 1_790_000_000 / 3_600 * 3_600;

/// Log storage in memory, shared so that a test can look at what a keeper wrote.
#[derive(Clone, Default)]
pub(crate) struct Memory(Rc<RefCell<Files>>);

#[derive(Default)]
struct Files {
    head: Option<Vec<u8>>,
    published: Option<Vec<u8>>,
    tiles: BTreeMap<String, Vec<u8>>,
    staging: BTreeMap<StagingName, Vec<u8>>,
    broken: bool,
}

impl Memory {
    /// From now on every write fails.
    pub(crate) fn break_it(&self) {
        self.0.borrow_mut().broken = true;
    }

    fn write(&self, change: impl FnOnce(&mut Files)) -> Result<(), StorageFault> {
        let mut files = self.0.borrow_mut();
        if files.broken {
            return Err(StorageFault::Io);
        }
        change(&mut files);
        Ok(())
    }
}

impl LogStorage for Memory {
    fn read_head(&self) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(self.0.borrow().head.clone())
    }
    fn replace_head(&mut self, bytes: &[u8]) -> Result<(), StorageFault> {
        self.write(|files| files.head = Some(bytes.to_vec()))
    }
    fn read_published(&self) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(self.0.borrow().published.clone())
    }
    fn replace_published(&mut self, bytes: &[u8]) -> Result<(), StorageFault> {
        self.write(|files| files.published = Some(bytes.to_vec()))
    }
    fn read_tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(self.0.borrow().tiles.get(&path.to_string()).cloned())
    }
    fn create_tile(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), StorageFault> {
        self.write(|files| drop(files.tiles.insert(path.to_string(), bytes.to_vec())))
    }
    fn list_staging(&self) -> Result<Vec<StagingName>, StorageFault> {
        Ok(self.0.borrow().staging.keys().copied().collect())
    }
    fn read_staging(&self, name: StagingName) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(self.0.borrow().staging.get(&name).cloned())
    }
    fn write_staging(&mut self, name: StagingName, bytes: &[u8]) -> Result<(), StorageFault> {
        self.write(|files| drop(files.staging.insert(name, bytes.to_vec())))
    }
    fn remove_staging(&mut self, name: StagingName) -> Result<(), StorageFault> {
        self.write(|files| drop(files.staging.remove(&name)))
    }
}

/// A policy for tests of the protocol: purposes of the list pass, with the duties given; `stolenPlate` is never on it.
#[derive(Clone)]
pub(crate) struct TestPolicy {
    pub(crate) humans: u8,
    pub(crate) digest: [u8; 32],
}

impl AccessPolicy for TestPolicy {
    fn digest(&self) -> [u8; 32] {
        self.digest
    }
    fn engine(&self) -> &str {
        "test 1"
    }
    fn rule_on(&self, facts: &SearchFacts) -> PolicyAnswer {
        if facts.purpose == Purpose::StolenVehicle && facts.plates == 1 && facts.mfa {
            PolicyAnswer::Allow {
                rules: BTreeSet::from(["test.permit".to_owned()]),
                obligations: Obligations {
                    approvers: self.humans,
                    retain_days: 90,
                    notice_days: 180,
                    confirm_visual: false,
                },
            }
        } else {
            PolicyAnswer::Deny { rules: BTreeSet::from(["test.forbid".to_owned()]) }
        }
    }
    fn explain(&self, rule: &str) -> Option<Reason> {
        let known = ["test.permit", "test.forbid"].contains(&rule) || rule.starts_with("keeper.");
        known.then(|| Reason { rule: rule.to_owned(), say: rule.to_owned(), cite: None, fix: None })
    }
}

pub(crate) struct TownKeeper {
    pub(crate) keeper: Keeper<Memory>,
    pub(crate) memory: Memory,
    pub(crate) opening: HpkeSecretKey,
    pub(crate) human: SigningKey,
}

pub(crate) struct Town {
    pub(crate) rng: ChaCha20Rng,
    pub(crate) charter: CharterFile,
    pub(crate) keepers: Vec<TownKeeper>,
    pub(crate) recorder: SigningKey,
    pub(crate) officer: SigningKey,
    pub(crate) auditor: HpkeSecretKey,
    pub(crate) now: Timestamp,
    /// What is asked next is to be held as evidence.
    pub(crate) hold: bool,
}

/// A closed epoch with its shares and its segment.
pub(crate) struct Closed {
    pub(crate) header: Signed<EpochHeader>,
    pub(crate) close: Signed<EpochClose>,
    pub(crate) shares: Vec<Secret<64>>,
    pub(crate) segment: Segment,
}

impl Closed {
    /// The share of the keeper at a place, from 0.
    pub(crate) fn share(&self, place: usize) -> HeldShare {
        let index = KeeperIndex(u8::try_from(place).unwrap() + 1);
        HeldShare::from_secret(&self.shares[place], &DealtShare::of(self.header.claimed(), index).unwrap()).unwrap()
    }
}

/// A request as the officer's client holds it.
pub(crate) struct Asked {
    pub(crate) filed: FiledRequest,
    pub(crate) openings: Openings,
    pub(crate) text: OpeningText,
    pub(crate) response: HpkeSecretKey,
}

pub(crate) fn note_signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap()
}

/// The key of a keeper's notice tags.
pub(crate) fn notice_key(place: u8) -> NoticeKey {
    NoticeKey::from_seed(&Secret::new([place; 32])).unwrap()
}

/// An entry of the trust list that is always valid; judges are of [`COURT`], custodians and agencies of [`OWNER`].
pub(crate) fn trust_entry(role: TrustRole, signer: &NoteSigner) -> TrustEntry {
    let of_court = matches!(role, TrustRole::Judge | TrustRole::Clerk);
    TrustEntry {
        name: if role == TrustRole::Auditor { AUDITOR.to_owned() } else { format!("The {}", role.name()) },
        role,
        court: if of_court { COURT.to_owned() } else { String::new() },
        vkey: signer.verifier_key().clone(),
        rp_id: String::new(),
        origins: vec![],
        valid_from: Timestamp(0),
        valid_until: LAST_SECOND,
        may_issue: false,
        agency: matches!(role, TrustRole::Custodian | TrustRole::Agency).then_some(OWNER.0),
    }
}

fn witness_key(name: &str, seed: u8) -> VerifierKey {
    CosignatureSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap().verifier_key().clone()
}

impl Town {
    pub(crate) fn new(humans: u8) -> Self {
        Self::with_entities(humans, ["Town clerk", "Superior court", "County auditor"])
    }

    pub(crate) fn with_entities(humans: u8, entities: [&str; 3]) -> Self {
        Self::with(humans, entities, None)
    }

    /// One of the first keeper's people has a passkey as well.
    pub(crate) fn with_passkey(humans: u8, key_id: [u8; 32]) -> Self {
        Self::with(humans, ["Town clerk", "Superior court", "County auditor"], Some(key_id))
    }

    fn with(humans: u8, entities: [&str; 3], passkey: Option<[u8; 32]>) -> Self {
        let mut rng = ChaCha20Rng::from_seed([42; 32]);
        let recorder = SigningKey::random(&mut rng);
        let auditor = HpkeSecretKey::random(&mut rng);
        let mut secrets = Vec::new();
        let keepers = (1..=3_u8)
            .map(|place| {
                let (opening, human) = (HpkeSecretKey::random(&mut rng), SigningKey::random(&mut rng));
                let entry = KeeperEntry {
                    index: KeeperIndex(place),
                    legal_entity: entities[usize::from(place) - 1].to_owned(),
                    name: format!("Keeper {place}"),
                    key: note_signer(&format!("k{place}.example/keeper"), place).verifier_key().clone(),
                    opening_key: *opening.public_key().unwrap().as_bytes(),
                    log_key: note_signer(&format!("k{place}.example/log/keeper"), place + 40).verifier_key().clone(),
                    witness_key: witness_key(&format!("k{place}.example/witness"), place + 60),
                    url: format!("https://k{place}.example"),
                    tls_pin: [place; 32],
                    human_keys: core::iter::once(human.verify_key().0).chain(passkey.filter(|_| place == 1)).collect(),
                };
                secrets.push((opening, human));
                entry
            })
            .collect();
        let agency = note_signer("alpr.example/agency", 200);
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
                url: "https://alpr.example".to_owned(),
                tls_pin: [9; 32],
                log_key: note_signer("alpr.example/log/recorder", 201).verifier_key().clone(),
            },
            recorders: vec![RecorderEntry { id: RECORDER, key: recorder.verify_key().0 }],
            keepers,
            threshold: 2,
            witnesses: vec![],
            outside_witnesses: 0,
            keeper_leaves: LeafWait::Durable,
            agency_leaves: LeafWait::Durable,
            agencies: vec![AgencyPage {
                id: OWNER,
                name: "Millbrook Police Department".to_owned(),
                state: State::parse("CT").unwrap(),
                level: Level::Local,
                desk_log: Some(note_signer("alpr.example/log/desk", 202).verifier_key().clone()),
                url: "https://alpr.example".to_owned(),
                tls_pin: [9; 32],
            }],
            audit_percent: 5,
            auditors: vec![AuditorEntry {
                name: AUDITOR.to_owned(),
                opening_key: *auditor.public_key().unwrap().as_bytes(),
            }],
            trust: vec![
                trust_entry(TrustRole::Custodian, &note_signer("custodian.example", 220)),
                trust_entry(TrustRole::Judge, &note_signer("judge.example", 221)),
                trust_entry(TrustRole::Auditor, &note_signer("auditor.example", 222)),
            ],
            policy: [5; 32],
            policy_signers: vec![note_signer("clerk", 210).verifier_key().clone()],
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
        lines.extend(
            (1..=3).map(|place| charter.sign(&note_signer(&format!("k{place}.example/keeper"), place)).unwrap()),
        );
        let charter = CharterFile::assemble(&charter, lines).unwrap();
        let policy = TestPolicy { humans, digest: [5; 32] };
        let keepers = secrets
            .into_iter()
            .zip(1_u8..)
            .map(|((opening, human), place)| {
                let memory = Memory::default();
                let signer = note_signer(&format!("k{place}.example/log/keeper"), place + 40);
                let log = Log::create(memory.clone(), signer).unwrap();
                let key = SigningKey::from_seed(&Secret::new([place; 32]));
                let keeper = Keeper::new(
                    KeeperIndex(place),
                    charter.clone(),
                    key,
                    notice_key(place),
                    Box::new(policy.clone()),
                    log,
                )
                .unwrap();
                TownKeeper { keeper, memory, opening, human }
            })
            .collect();
        let officer = SigningKey::random(&mut rng);
        Self { rng, charter, keepers, recorder, officer, auditor, now: Timestamp(NOON + 7_200), hold: false }
    }

    pub(crate) fn prekey(&mut self, place: usize) -> (Signed<Prekey>, HpkeSecretKey) {
        let secret = HpkeSecretKey::random(&mut self.rng);
        let key = self.keepers[place].keeper.key();
        let mut prekey_id = [0; 16];
        self.rng.fill_bytes(&mut prekey_id);
        let prekey = Prekey {
            keeper_key_id: key.verify_key().0,
            prekey_id,
            not_before: Timestamp(0),
            not_after: Timestamp(u64::MAX),
            public_key: secret.public_key().unwrap(),
        };
        (key.sign(prekey), secret)
    }

    pub(crate) fn plan(&self, cap_from: u64) -> EpochPlan {
        EpochPlan {
            agency: OWNER,
            recorder: RECORDER,
            cap_from: Timestamp(cap_from),
            cap_to: Timestamp(cap_from + 3_600),
            kind: EpochKind::Live,
            bucket_bits: 2,
            threshold: Threshold::new(2, 3).unwrap(),
            charter_hash: self.charter.hash(),
            destroy_after: Timestamp(cap_from + 3_600 + 21 * 86_400),
        }
    }

    /// Deals, receipts, seals and closes one epoch.
    pub(crate) fn epoch(&mut self, cap_from: u64, reads: &[Read]) -> Closed {
        let (mut prekeys, mut secrets) = (Vec::new(), Vec::new());
        for place in 0..3 {
            let (prekey, secret) = self.prekey(place);
            let key = self.keepers[place].keeper.key().verify_key();
            prekeys.push(VerifiedPrekey::new(&prekey, &key, Timestamp(cap_from)).unwrap());
            secrets.push(secret);
        }
        let dealt = deal(&self.plan(cap_from), prekeys, &mut self.rng).unwrap();
        let header = self.recorder.sign(dealt.header().clone());
        let mut shares = Vec::new();
        let mut receipts = Vec::new();
        for ((index, envelope), secret) in dealt.envelopes().iter().zip(&secrets) {
            let share = unwrap_share(envelope, secret, dealt.header(), *index).unwrap();
            shares.push(share.to_secret());
            let receipt = ShareReceipt { header_hash: dealt.header().hash(), index: *index, time: Timestamp(cap_from) };
            receipts.push(self.keepers[usize::from(index.0) - 1].keeper.key().sign(receipt));
        }
        let mut sealer = Sealer::start(dealt.receipted(&receipts[..2]).unwrap());
        let cells = reads.iter().map(|read| sealer.seal(read, &mut self.rng).unwrap()).collect();
        assert_eq!(sealer.close().cells, reads.len() as u64);
        let segment = Segment::build(2, cells, &mut self.rng).unwrap();
        let close = self.recorder.sign(EpochClose {
            header_hash: header.claimed().hash(),
            cells_padded: segment.cells_padded(),
            segment_root: segment.root(),
            erased_at: Timestamp(cap_from + 3_601),
        });
        Closed { header, close, shares, segment }
    }

    pub(crate) fn held(&self, place: usize, epoch: &Closed) -> HeldEpoch {
        let index = KeeperIndex(u8::try_from(place).unwrap() + 1);
        let closed = ClosedEpoch::new(&epoch.header, &epoch.close, &self.recorder.verify_key(), index).unwrap();
        HeldEpoch::new(Arc::new(closed), epoch.share(place)).unwrap()
    }

    pub(crate) fn standing(&self, epochs: &[&Closed]) -> Standing {
        let agency = AgencyFacts {
            id: OWNER,
            state: State::parse("CT").unwrap(),
            level: Level::Local,
            law_enforcement: true,
            declarations: BTreeSet::new(),
            overdue_papers: 0,
        };
        Standing {
            officer: OfficerFacts {
                key_id: self.officer.verify_key().0,
                agency: agency.clone(),
                trained_until: Timestamp(u64::MAX),
                active: true,
            },
            owner: agency.clone(),
            on_behalf_of: agency,
            approvers: vec![],
            approver_roles: BTreeSet::new(),
            mfa: true,
            paper: Verified::NONE,
            paper_fault: None,
            emergency: None,
            ownership: OwnershipFacts::NONE,
            archive_kind: ArchiveKind::Police,
            epochs: epochs
                .iter()
                .map(|epoch| EpochInWindow {
                    epoch_id: epoch.header.claimed().epoch_id,
                    cap_from: epoch.header.claimed().cap_from,
                })
                .collect(),
            epochs_destroyed: 0,
            prior_same_plate_30d: 0,
            requests_last_24h: 0,
            replayed: false,
            ask_human: false,
        }
    }

    /// Draws up a request for one plate, state known and unknown, over [NOON - 3 h, NOON + 1 h).
    pub(crate) fn ask(&mut self, plate: &str, purpose: Purpose) -> Asked {
        let named = Plate::parse(plate).unwrap();
        let inputs = [Jurisdiction::parse("US-CT"), None].map(|state| PlateInput::new(OWNER, &named, state));
        self.ask_under(plate, inputs.into(), purpose, [0; 32], vec![])
    }

    /// The same for any inputs, under a paper whose plates `disclosures` open.
    pub(crate) fn ask_under(
        &mut self,
        plate: &str,
        inputs: Vec<PlateInput>,
        purpose: Purpose,
        authorisation_digest: [u8; 32],
        disclosures: Vec<Disclosure>,
    ) -> Asked {
        let named = Plate::parse(plate).unwrap();
        let state = Jurisdiction::parse("US-CT");
        let elements = inputs.into_iter().map(|input| (input, Blind::random(&mut self.rng))).collect();
        let statement = StatementText::new(StatementOfOfficer {
            v: VersionOne,
            plate: PlateName::new(&named, state),
            on_behalf_of: OWNER,
            case_number: "26-1234".to_owned(),
            offence: OffenceStated { class: Offence::Felony, text: "vehicle theft".to_owned() },
            facts: "the owner reported the car stolen last night".to_owned(),
            emergency: false,
            hold: self.hold,
            attachments: vec![],
        })
        .unwrap();
        let text = OpeningText { elements, statement, disclosures, salts: Secret::random(&mut self.rng) };
        let response = HpkeSecretKey::random(&mut self.rng);
        let mut request_id = [0; 16];
        self.rng.fill_bytes(&mut request_id);
        let draft = SearchRequest {
            request_id: RequestId(request_id),
            owner_agency: OWNER,
            requester_agency: OWNER,
            officer_key: self.officer.verify_key().0,
            purpose,
            basis: Basis::ReasonableSuspicion,
            authorisation_digest,
            elements: vec![],
            win_from: Timestamp(NOON - 3 * 3_600),
            win_to: Timestamp(NOON + 3_600),
            not_after: Timestamp(self.now.0 + 3_600),
            notice_after: Timestamp(self.now.0 + 86_400),
            response_pk: response.public_key().unwrap(),
            openings_hash: [0; 32],
        };
        let recipients = self.recipients();
        let (request, openings) = draft_request(draft, &text, &recipients, &mut self.rng).unwrap();
        let filed = FiledRequest { request: self.officer.sign(request), seconds: vec![] };
        Asked { filed, openings, text, response }
    }

    /// The owner's directory, signed by the agency.
    pub(crate) fn directory(&self, officers: Vec<OfficerEntry>, law_enforcement: bool) -> Vec<u8> {
        let agency = note_signer("alpr.example/agency", 200);
        let body = DirectoryBody {
            agency: OWNER,
            name: "Millbrook Police Department".to_owned(),
            ori: String::new(),
            state: State::parse("CT").unwrap(),
            level: Level::Local,
            law_enforcement,
            serial: 1,
            valid_until: Timestamp(self.now.0 + 86_400),
            officers,
            desk_log: "alpr.example/log/desk".to_owned(),
            desk_key: note_signer("alpr.example/desk", 231).verifier_key().clone(),
        };
        Directory { header: self.header("alpr.example/agency"), body }.sign(&[&agency]).unwrap()
    }

    /// As its readers verify it.
    pub(crate) fn verified_directory(&self, directory: &[u8]) -> VerifiedDirectory {
        let agency = note_signer("alpr.example/agency", 200);
        let object = SignedObject::parse(directory).unwrap();
        VerifiedDirectory::verify(
            &object,
            self.charter.charter().agency(OWNER).unwrap(),
            &[agency.verifier_key().clone()],
            None,
            self.now,
        )
        .unwrap()
    }

    pub(crate) fn header(&self, issuer: &str) -> Header {
        Header { v: VersionOne, nonce: [1; 16], issued: self.now, issuer: issuer.to_owned() }
    }

    /// Keys to which Openings are sealed: the keepers', then the auditor's.
    pub(crate) fn recipients(&self) -> Vec<HpkePublicKey> {
        let keepers = self.keepers.iter().map(|keeper| keeper.opening.public_key().unwrap());
        keepers.chain([self.auditor.public_key().unwrap()]).collect()
    }

    /// The request as keeper `place` opens it.
    pub(crate) fn opened(&self, place: usize, asked: &Asked) -> Opened<SearchRequest> {
        let (filed, hashes) = (asked.filed.clone(), asked.openings.hashes.clone());
        check_opening(filed, &asked.openings.sealed[place], hashes, place, &self.keepers[place].opening).unwrap()
    }

    /// The leaf that keeper `place` writes of a request when it has no epoch for it, and the leaf's nonce.
    pub(crate) fn leaf(&mut self, place: usize, asked: &Asked) -> (RequestLeaf, [u8; 16]) {
        let (opened, standing, now) = (self.opened(place, asked), self.standing(&[]), self.now);
        let decision = self.keepers[place].keeper.decide(opened, &standing, now, &mut self.rng).unwrap();
        let Leaf::Known(stamped) = parse_leaf(&decision.leaf()).unwrap() else { panic!("a known leaf") };
        match stamped.entry() {
            LogEntry::Request(leaf) => ((**leaf).clone(), stamped.nonce()),
            other => panic!("not a request: {other:?}"),
        }
    }

    /// One keeper's answer to a request.
    pub(crate) fn answer(&mut self, place: usize, asked: &Asked, standing: &Standing) -> crate::Result<Answer> {
        let TownKeeper { keeper, opening, .. } = &mut self.keepers[place];
        let opened = check_opening(
            asked.filed.clone(),
            &asked.openings.sealed[place],
            asked.openings.hashes.clone(),
            place,
            opening,
        )?;
        let decision = keeper.decide(opened, standing, self.now, &mut self.rng)?;
        keeper.answer(decision)
    }

    /// Approvals and records of the keepers at `places`.
    pub(crate) fn approvals(
        &mut self,
        places: &[usize],
        asked: &Asked,
        epochs: &[&Closed],
    ) -> (Vec<Signed<Approval>>, Vec<DecisionRecord>) {
        let standing = self.standing(epochs);
        places
            .iter()
            .map(|place| match self.answer(*place, asked, &standing).unwrap() {
                Answer::Approved { approval, record } => (approval, record),
                other => panic!("not approved: {other:?}"),
            })
            .unzip()
    }

    pub(crate) fn grant(asked: &Asked, approvals: Vec<Signed<Approval>>, epochs: &[&Closed]) -> Grant {
        let mut epoch_ids: Vec<_> = epochs.iter().map(|epoch| epoch.header.claimed().epoch_id).collect();
        epoch_ids.sort_unstable();
        Grant { request: asked.filed.request.clone(), approvals, epoch_ids }
    }

    pub(crate) fn evaluate(
        &mut self,
        place: usize,
        grant: &Grant,
        record: &DecisionRecord,
        epochs: &[&Closed],
    ) -> crate::Result<Signed<Evaluation>> {
        let mut sorted = epochs.to_vec();
        sorted.sort_by_key(|epoch| epoch.header.claimed().epoch_id);
        let held = sorted.iter().map(|epoch| self.held(place, epoch)).collect();
        let now = self.now;
        self.keepers[place].keeper.evaluate(grant.clone(), record, held, None, now, &mut self.rng)
    }
}

pub(crate) fn read(plate: &str, state: Option<&str>, at: u64) -> Read {
    Read {
        source: 1,
        engine_ref: None,
        camera: 7,
        captured_at: i64::try_from(at * 1_000).unwrap(),
        source_time: None,
        time_quality: TimeQuality::Exact,
        plate: Plate::parse(plate).unwrap(),
        jurisdiction: state.map(|state| Jurisdiction::parse(state).unwrap()),
        jur_conf: None,
        jurisdiction_trusted: state.is_some(),
        conf: Some(900),
        vehicle: Vehicle::default(),
        motion: Motion::Unknown,
        frames: 1,
        flags: ReadFlags::default(),
    }
}

//! Bytes of what parties send each other: every value is made and encoded by the product's own code, with keys that nobody has.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use lockplate_core::Timestamp;
use lockplate_core::approval::{Approval, Decided, Grant};
use lockplate_core::envelope::{ENCAPPED_KEY_BYTES, HpkePublicKey, HpkeSecretKey, TAG_BYTES};
use lockplate_core::epoch::{
    EpochClose, EpochHeader, EpochKind, EpochPlan, Prekey, ShareReceipt, VerifiedPrekey, deal,
};
use lockplate_core::id::{AgencyId, EpochId, KeeperIndex, RecorderId, RequestId};
use lockplate_core::limits::ELEMENTS_MAX;
use lockplate_core::open::Evaluation;
use lockplate_core::plate::{Jurisdiction, Plate, PlateInput};
use lockplate_core::request::{FiledRequest, OpeningText, SearchRequest, draft_request};
use lockplate_core::sign::{Signed, SigningKey};
use lockplate_core::signed::VersionOne;
use lockplate_core::spellings::{Mode, Spellings};
use lockplate_core::statement::{OffenceStated, PlateName, Statement, StatementText};
use lockplate_core::vocabulary::{Basis, Offence, Purpose};
use lockplate_oprf::Secret;
use lockplate_oprf::oprf::{Blind, ELEMENT_BYTES};
use lockplate_oprf::proof::PROOF_BYTES;
use lockplate_oprf::sharing::Threshold;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::profile::{Profile, Question};

/// One instance of every leaf, with its exact bytes.
const LEAVES: &str = include_str!("../../../spec/vectors/v1/leaves.txt");
const OWNER: AgencyId = AgencyId([1; 16]);
const STATE: &str = "US-ME";
/// Any moment.
const NOW: Timestamp = Timestamp(1_790_000_000);
/// Origin of a keeper's log.
const ORIGIN: &str = "keeper.millbrook.example/log/keeper";
/// Bytes of `(epoch_id, c_{e,j})` of an evaluation: LPv1 section 9.
const PEPPER_BYTES: u64 = 16 + 32;

/// The sizes of one search, by its elements and epochs.
pub(super) struct Wire {
    threshold: Threshold,
    keys: Vec<SigningKey>,
    openers: Vec<HpkePublicKey>,
    officer: SigningKey,
    rng: ChaCha8Rng,
    /// By plate and mode.
    asked: BTreeMap<(String, bool), Asked>,
    searches: BTreeMap<(String, bool, u64), u64>,
    pub(super) header: Vec<u8>,
    pub(super) close: Vec<u8>,
    /// Of one epoch: prekeys, envelopes and receipts of all keepers.
    pub(super) dealing_bytes: u64,
}

/// A filed request and its Openings.
struct Asked {
    filed: FiledRequest,
    opening_bytes: u64,
}

impl Wire {
    pub(super) fn new(profile: &Profile) -> anyhow::Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let threshold = Threshold::new(profile.threshold, profile.keepers).context("the profile's keepers")?;
        let keys: Vec<_> = threshold.indices().map(|_| SigningKey::random(&mut rng)).collect();
        let openers = keys
            .iter()
            .map(|_| HpkeSecretKey::random(&mut rng).public_key())
            .collect::<Result<Vec<_>, _>>()
            .context("a key")?;
        let recorder = SigningKey::random(&mut rng);
        let mut dealing_bytes = 0;
        let mut prekeys = Vec::new();
        for key in &keys {
            let prekey = key.sign(Prekey {
                keeper_key_id: key.verify_key().0,
                prekey_id: [7; 16],
                not_before: Timestamp(0),
                not_after: Timestamp(u64::MAX),
                public_key: HpkeSecretKey::random(&mut rng).public_key().context("a prekey")?,
            });
            dealing_bytes += bytes(&prekey.to_bytes());
            prekeys.push(VerifiedPrekey::new(&prekey, &key.verify_key(), NOW).context("a prekey")?);
        }
        let plan = EpochPlan {
            agency: OWNER,
            recorder: RecorderId([2; 16]),
            cap_from: NOW,
            cap_to: Timestamp(NOW.0 + profile.epoch_seconds),
            kind: EpochKind::Live,
            bucket_bits: 6,
            threshold,
            charter_hash: [3; 32],
            destroy_after: Timestamp(NOW.0 + profile.epoch_seconds + profile.retention_seconds()),
        };
        let dealt = deal(&plan, prekeys, &mut rng).context("dealing")?;
        let header: EpochHeader = dealt.header().clone();
        for (index, envelope) in dealt.envelopes() {
            let receipt = ShareReceipt { header_hash: header.hash(), index: *index, time: NOW };
            dealing_bytes += bytes(envelope) + bytes(&recorder.sign(receipt).to_bytes());
        }
        let close = EpochClose { header_hash: header.hash(), cells_padded: 16, segment_root: [4; 32], erased_at: NOW };
        Ok(Self {
            threshold,
            keys,
            openers,
            officer: SigningKey::random(&mut rng),
            rng,
            asked: BTreeMap::new(),
            searches: BTreeMap::new(),
            header: recorder.sign(header).to_bytes(),
            close: recorder.sign(close).to_bytes(),
            dealing_bytes,
        })
    }

    /// Bytes at the doors of all keepers, for one search of one archive: requests, Openings and approvals, grants and evaluations. On the
    /// wire they stand in JSON as base64, which makes a third more.
    pub(super) fn search_bytes(&mut self, question: &Question, epochs: u64) -> anyhow::Result<u64> {
        let by = (question.plate.clone(), question.near, epochs);
        if let Some(known) = self.searches.get(&by) {
            return Ok(*known);
        }
        let asked = match self.asked.remove(&(question.plate.clone(), question.near)) {
            Some(asked) => asked,
            None => self.ask(question)?,
        };
        let request = &asked.filed.request;
        let elements = u64::try_from(request.claimed().elements.len())?;
        let epoch_ids: Vec<EpochId> = (0..epochs).map(|at| EpochId(u128::from(at).to_be_bytes())).collect();
        let approvals: Vec<Signed<Approval>> = self.keys.iter().map(|key| approval(key, request, &epoch_ids)).collect();
        let filing = bytes(&asked.filed.to_bytes()) + asked.opening_bytes;
        let filings: u64 = approvals.iter().map(|approval| filing + bytes(&approval.to_bytes())).sum();
        let counted = usize::from(self.threshold.t());
        let grant =
            Grant { request: request.clone(), approvals: approvals.into_iter().take(counted).collect(), epoch_ids };
        let answer = evaluation_bytes(&self.officer, elements, epochs)?;
        let total = filings + (bytes(&grant.to_bytes()) + answer) * u64::from(self.threshold.t());
        self.asked.insert((question.plate.clone(), question.near), asked);
        self.searches.insert(by, total);
        Ok(total)
    }

    fn ask(&mut self, question: &Question) -> anyhow::Result<Asked> {
        let state = Jurisdiction::parse(STATE).context("a state")?;
        let named = Plate::parse(&question.plate).context("the profile's plate")?;
        let mut elements = Vec::new();
        for text in spellings(question)?.expose_texts() {
            for state in [Some(state), None] {
                let input = PlateInput::from_spelling(OWNER, text, state).context("a spelling")?;
                elements.push((input, Blind::random(&mut self.rng)));
            }
        }
        let statement = StatementText::new(Statement {
            v: VersionOne,
            plate: PlateName::new(&named, Some(state)),
            on_behalf_of: OWNER,
            case_number: "26-1234".to_owned(),
            offence: OffenceStated { class: Offence::Felony, text: "vehicle theft".to_owned() },
            facts: "the owner reported the car stolen last night".to_owned(),
            emergency: false,
            hold: false,
            attachments: Vec::new(),
        })
        .context("a statement")?;
        let salts = Secret::random(&mut self.rng);
        let text = OpeningText { elements, statement, disclosures: Vec::new(), salts };
        let draft = SearchRequest {
            request_id: RequestId([5; 16]),
            owner_agency: OWNER,
            requester_agency: OWNER,
            officer_key: self.officer.verify_key().0,
            purpose: Purpose::StolenVehicle,
            basis: Basis::ReasonableSuspicion,
            authorisation_digest: [0; 32],
            elements: Vec::new(),
            win_from: NOW,
            win_to: Timestamp(NOW.0 + 3_600),
            not_after: Timestamp(NOW.0 + 86_400),
            notice_after: Timestamp(NOW.0 + 86_400),
            response_pk: HpkeSecretKey::random(&mut self.rng).public_key().context("a key")?,
            openings_hash: [0; 32],
        };
        let (request, openings) = draft_request(draft, &text, &self.openers, &mut self.rng).context("a request")?;
        let sealed = openings.sealed.first().context("a request has an Opening a keeper")?;
        let opening_bytes = bytes(sealed) + openings.hashes.iter().map(|hash| bytes(hash)).sum::<u64>();
        Ok(Asked { filed: FiledRequest { request: self.officer.sign(request), seconds: Vec::new() }, opening_bytes })
    }
}

/// The texts that a question asks for.
pub(super) fn spellings(question: &Question) -> anyhow::Result<Spellings> {
    let mode = if question.near { Mode::Near } else { Mode::Fold };
    Spellings::new(&question.plate, mode, 1, ELEMENTS_MAX).context("the profile asks for too much")
}

fn approval(key: &SigningKey, request: &Signed<SearchRequest>, epochs: &[EpochId]) -> Signed<Approval> {
    key.sign(Approval {
        request_digest: request.signed_hash(),
        keeper_key: key.verify_key().0,
        decision: Decided::ApprovedByRule,
        opened: true,
        policy_digest: [6; 32],
        time: NOW,
        log_origin: ORIGIN.to_owned(),
        leaf_index: 1,
        epochs: epochs.to_vec(),
    })
}

/// Bytes of one keeper's signed answer. What is sealed is as long as LPv1 section 9 says; a test holds it against a known answer.
pub(super) fn evaluation_bytes(key: &SigningKey, elements: u64, epochs: u64) -> anyhow::Result<u64> {
    let each = u64::try_from(PROOF_BYTES)? + epochs * u64::try_from(ELEMENT_BYTES)?;
    let text = 4 + epochs * PEPPER_BYTES + 1 + elements * each;
    let sealed = vec![0; ENCAPPED_KEY_BYTES + usize::try_from(text)? + TAG_BYTES];
    Ok(bytes(&key.sign(Evaluation { grant_digest: [0; 32], index: KeeperIndex(1), sealed }).to_bytes()))
}

/// Bytes of the sample leaf of a type.
pub(super) fn leaf_bytes(type_name: &str) -> anyhow::Result<u64> {
    let head = format!("== {type_name} (");
    let leaf = LEAVES.lines().skip_while(|line| !line.starts_with(&head)).find_map(|line| line.strip_prefix("-> "));
    match leaf {
        Some(leaf) => Ok(bytes(leaf.as_bytes())),
        None => bail!("there is no sample of a leaf of type {type_name}"),
    }
}

fn bytes(of: &[u8]) -> u64 {
    u64::try_from(of.len()).unwrap_or(u64::MAX)
}

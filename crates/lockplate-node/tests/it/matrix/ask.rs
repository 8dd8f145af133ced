//! One request of the matrix: what is asked, the facts that a keeper has to find in it, and the request itself with its papers,
//! signatures and declarations, filed with a keeper as a desk would.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use lockplate_core::Timestamp;
use lockplate_core::authorisation::{SessionBody, SessionStatement};
use lockplate_core::disclosure::Disclosure;
use lockplate_core::emergency::{Danger, declare, facts_digest};
use lockplate_core::entry::{RequestDecision, RequestLeaf};
use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey};
use lockplate_core::facts::{AccessPolicy as _, AgencyFacts, LegalFacts, OfficerFacts, PolicyAnswer, SearchFacts};
use lockplate_core::filing::FilingSlip;
use lockplate_core::id::{KeeperIndex, RequestId, b64url};
use lockplate_core::json::time_text;
use lockplate_core::plate::{Jurisdiction, Plate, PlateInput};
use lockplate_core::request::{FiledRequest, OpeningText, SearchRequest, SecondSignature, draft_request};
use lockplate_core::sign::SigningKey;
use lockplate_core::signed::{Signable as _, VersionOne};
use lockplate_core::spellings::listed;
use lockplate_core::statement::{OffenceStated, PlateName, Statement, StatementText};
use lockplate_core::vocabulary::{Action, Assurance, Basis, Offence, Purpose, Role};
use lockplate_node::api::{AnswerState, B64, KeeperAnswer, RequestFiled};
use lockplate_node::founding::{
    AttestationOrder, CalledOrder, Order, OwnershipOrder, PlateOrdered, SignedPaper, WarrantOrder,
};
use lockplate_node::rng::SystemRng;
use lockplate_oprf::Secret;
use lockplate_oprf::oprf::Blind;
use rand_core::Rng as _;

use super::nation::{COURT, CUSTODIAN, Nation, Owner, Party, may_declare};
use crate::keeper::{DAY, HOUR, JUDGE, NOW, header_at, post};

/// The state of every plate.
const PLATE_STATE: &str = "US-CT";
/// A plate whose every character has others that are taken for it; its beginning is one with many spellings and not too many.
const MANY_SPELLINGS: &str = "B8S5Z2B8S5Z2B8S5";

/// Who files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filer {
    InTurn,
    /// The one who has a second key.
    First,
    Inactive,
    Untrained,
}

/// Who signs with him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    /// An officer without a role.
    Colleague,
    With(Role),
    /// The filer himself, with his second key.
    Himself,
}

/// Who signed a court paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Judge,
    /// The owner's records custodian, who saw it.
    Custodian,
    /// Nobody whom the owner recognises, under the judge's name.
    Impostor,
}

/// What is wrong with a court paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    Expired,
    Future,
    OtherPlate,
    OtherAgency,
    OtherOwner,
    OtherPurpose,
    ShorterWindow,
}

/// A court paper that comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CourtPaper {
    /// `CourtOrder` or `SearchWarrant`.
    pub(super) kind: Basis,
    pub(super) by: By,
    pub(super) flaw: Flaw,
}

/// One request.
#[derive(Clone)]
pub(super) struct Ask<'n> {
    pub(super) nation: &'n Nation,
    pub(super) owner: &'n Owner,
    pub(super) requester: &'n Party,
    pub(super) on_behalf_of: &'n Party,
    pub(super) filer: Filer,
    /// Signed in with two factors.
    pub(super) mfa: bool,
    pub(super) seconds: Vec<Second>,
    pub(super) purpose: Purpose,
    pub(super) basis: Basis,
    pub(super) offence: Offence,
    pub(super) case_number: bool,
    pub(super) facts: bool,
    pub(super) paper: Option<CourtPaper>,
    /// A proof of registration: the registered owner, every co-registrant's consent.
    pub(super) ownership: Option<(bool, bool)>,
    /// From, to.
    pub(super) window: (u64, u64),
    /// Plates asked for, 1 or 2.
    pub(super) plates: u32,
    /// Elements of the first plate.
    pub(super) variants: usize,
    /// To be kept as evidence.
    pub(super) hold: bool,
    /// The officer states an emergency.
    pub(super) emergency: bool,
    /// Allowed requests for the same plate before this one.
    pub(super) prior: u32,
    /// Overdue papers of the requester, and of whom it is for.
    pub(super) overdue: (u32, u32),
}

/// What must become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) answer: PolicyAnswer,
    /// Closed hours in the window.
    pub(super) hours: u32,
}

impl Expected {
    /// The rules, as they must stand in answer and leaf.
    pub(super) fn rules(&self) -> BTreeSet<String> {
        match &self.answer {
            PolicyAnswer::Allow { .. } if self.hours == 0 => BTreeSet::from(["keeper.epochs".to_owned()]),
            PolicyAnswer::Allow { rules, .. } | PolicyAnswer::Deny { rules } => rules.clone(),
        }
    }

    pub(super) fn is_allowed(&self) -> bool {
        matches!(self.answer, PolicyAnswer::Allow { .. }) && self.hours > 0
    }

    /// Compares an answer.
    pub(super) fn check(&self, id: &str, answer: &KeeperAnswer) {
        let rules: BTreeSet<String> = answer.rules.iter().cloned().collect();
        assert_eq!(rules, self.rules(), "{id}: {:?}", answer.reasons);
        match &self.answer {
            PolicyAnswer::Allow { obligations, .. } if self.hours > 0 => {
                let waits = obligations.approvers > 0;
                let state = if waits { AnswerState::Waiting } else { AnswerState::Approved };
                assert_eq!((answer.state, answer.humans_needed), (state, obligations.approvers), "{id}");
                assert_eq!(answer.approval.is_some(), !waits, "{id}");
            }
            PolicyAnswer::Allow { .. } | PolicyAnswer::Deny { .. } => {
                assert_eq!((answer.state, answer.humans_needed), (AnswerState::Refused, 0), "{id}");
                let told: BTreeSet<&String> = answer.reasons.iter().map(|reason| &reason.rule).collect();
                assert!(rules.iter().all(|rule| told.contains(rule)), "{id}: each rule is told in words, {told:?}");
                assert!(answer.reasons.iter().all(|reason| !reason.say.is_empty() && reason.fix.is_some()), "{id}");
            }
        }
    }

    /// Compares the leaf.
    pub(super) fn check_leaf(&self, id: &str, leaf: &RequestLeaf) {
        assert_eq!(leaf.rules, self.rules(), "{id}");
        let (decision, obligations) = match &self.answer {
            PolicyAnswer::Allow { obligations, .. } if self.hours > 0 => {
                let asks = obligations.approvers > 0;
                (if asks { RequestDecision::Ask } else { RequestDecision::Allow }, Some(*obligations))
            }
            PolicyAnswer::Allow { .. } | PolicyAnswer::Deny { .. } => (RequestDecision::Deny, None),
        };
        assert_eq!((leaf.decision, leaf.obligations), (decision, obligations), "{id}");
        let allowed = if self.is_allowed() { u64::from(self.hours) } else { 0 };
        assert_eq!(leaf.epochs_allowed, allowed, "{id}");
    }
}

/// A request that was answered, for the comparison with the log.
pub(super) struct Answered {
    pub(super) id: String,
    pub(super) request: [u8; 32],
    pub(super) expected: Expected,
}

impl Ask<'_> {
    /// The same, to be kept as evidence: a supervisor signs as well.
    pub(super) fn as_hold(&self) -> Self {
        Self { hold: true, prior: 0, ..self.clone() }.with_supervisor()
    }

    /// The same, declared as an emergency by the officer and a supervisor: without a court's paper, which a basis of its own would be.
    pub(super) fn as_emergency(&self) -> Self {
        Self { basis: Basis::Exigency, emergency: true, paper: None, prior: 0, ..self.clone() }.with_supervisor()
    }

    /// True if it is an emergency or a hold itself, or comes after earlier requests of its own.
    pub(super) fn declares_already(&self) -> bool {
        self.hold || self.emergency || self.basis == Basis::Exigency || self.prior > 0
    }

    fn with_supervisor(mut self) -> Self {
        if !self.seconds.contains(&Second::With(Role::Supervisor)) {
            self.seconds.push(Second::With(Role::Supervisor));
        }
        self
    }

    pub(super) fn key(&self, second: Second) -> &SigningKey {
        let staff = &self.requester.staff;
        match second {
            Second::Colleague => &staff.colleague,
            Second::With(role) => staff.with(role),
            Second::Himself => &staff.spare,
        }
    }

    fn roles(&self) -> BTreeSet<Role> {
        let role = |second: &Second| match second {
            Second::With(role) => Some(*role),
            Second::Colleague | Second::Himself => None,
        };
        self.seconds.iter().filter_map(role).collect()
    }

    fn action(&self) -> Action {
        match (self.hold, self.purpose) {
            (true, _) => Action::HoldEvidence,
            (false, Purpose::OwnRecord) => Action::OwnerAccess,
            (false, _) => Action::Search,
        }
    }

    fn agency(&self, party: &Party, overdue: u32) -> AgencyFacts {
        let kind = &party.kind;
        let declared = kind.declares.iter().filter(|name| may_declare(**name, kind.state, self.owner.kind.state));
        AgencyFacts {
            id: party.id,
            state: kind.state,
            level: kind.level,
            law_enforcement: kind.law_enforcement,
            declarations: declared.copied().collect(),
            overdue_papers: overdue,
        }
    }

    /// Judicial, assurance, validity of the court paper, as a keeper must find them.
    fn judged(&self) -> (bool, Assurance, u64, u64) {
        let (valid_from, valid_until) = validity(Flaw::None);
        let counts = self.purpose != Purpose::OwnRecord && self.window.0 < self.window.1;
        match self.paper.filter(|paper| paper.flaw == Flaw::None && counts) {
            Some(CourtPaper { by: By::Judge, .. }) => (true, Assurance::CourtKey, valid_from, valid_until),
            Some(CourtPaper { by: By::Custodian, .. }) => {
                (self.owner.kind.accept_attested, Assurance::CustodianAttested, valid_from, valid_until)
            }
            Some(CourtPaper { by: By::Impostor, .. }) | None => (false, Assurance::None, 0, 0),
        }
    }

    /// Begins of the closed hours in the window.
    fn hours(&self) -> Vec<u64> {
        let (from, to) = self.window;
        self.owner.hours().into_iter().filter(|hour| from <= *hour && hour + HOUR <= to).collect()
    }

    /// The facts for hours that begin at `cap_from`.
    pub(super) fn search_facts(&self, cap_from: u64) -> SearchFacts {
        let now = self.owner.now();
        let requester = self.agency(self.requester, self.overdue.0);
        let officer = |key: &SigningKey, trained: bool, active: bool| OfficerFacts {
            key_id: key.verify_key().0,
            agency: requester.clone(),
            trained_until: Timestamp(if trained { NOW + 40 * DAY } else { NOW }),
            active,
        };
        let staff = &self.requester.staff;
        let filer = officer(staff.first(), self.filer != Filer::Untrained, self.filer != Filer::Inactive);
        let on_behalf_of = if self.on_behalf_of.id == requester.id {
            requester.clone()
        } else {
            self.agency(self.on_behalf_of, self.overdue.1)
        };
        let own = self.requester.id == self.owner.own.id;
        let owner = if own { requester.clone() } else { self.agency(&self.owner.own, 0) };
        let (judicial, assurance, valid_from, valid_until) = self.judged();
        let (registered_owner, co_registrants_consent) =
            self.ownership.filter(|_| self.action() == Action::OwnerAccess).unwrap_or_default();
        let elements = u32::try_from(self.variants).unwrap() + self.plates - 1;
        let roles = self.roles();
        let declared = self.emergency && (self.basis != Basis::Exigency || roles.contains(&Role::Supervisor));
        SearchFacts {
            action: self.action(),
            officer: filer,
            owner,
            archive_kind: self.owner.kind.archive,
            now: Timestamp(now),
            from: Timestamp(self.window.0),
            to: Timestamp(self.window.1),
            window_days: days(self.window.0, self.window.1),
            age_days: days(cap_from, now),
            purpose: self.purpose,
            legal: LegalFacts {
                kind: self.basis,
                judicial,
                assurance,
                valid_from: Timestamp(valid_from),
                valid_until: Timestamp(valid_until),
                case_number: self.case_number,
                offence: self.offence,
                facts_stated: self.facts,
            },
            plates: self.plates,
            variants: elements,
            element_epochs: elements * u32::try_from(self.hours().len()).unwrap(),
            on_behalf_of,
            approvers: self.seconds.iter().map(|second| officer(self.key(*second), true, true)).collect(),
            approver_roles: roles,
            mfa: self.mfa,
            emergency_declared: declared,
            prior_same_plate_30d: self.prior,
            requests_last_24h: 0,
            registered_owner,
            co_registrants_consent,
        }
    }

    /// What the rules of the owner's state say of these facts. A paper of another kind than the basis, and a filer who signs twice, are
    /// stopped before them.
    pub(super) fn expected(&self) -> Expected {
        let hours = self.hours();
        let count = u32::try_from(hours.len()).unwrap();
        let other_kind =
            self.paper.is_some_and(|paper| paper.kind != self.basis) && self.judged() != (false, Assurance::None, 0, 0);
        if other_kind || self.seconds.contains(&Second::Himself) {
            let rules = BTreeSet::from(["keeper.facts".to_owned()]);
            return Expected { answer: PolicyAnswer::Deny { rules }, hours: count };
        }
        let begins = if hours.is_empty() { vec![self.window.0] } else { hours };
        let mut answers = begins.into_iter().map(|begin| self.owner.policy.rule_on(&self.search_facts(begin)));
        let answer = answers.next().unwrap();
        assert!(answers.all(|other| other == answer), "a case has one answer for all its hours");
        Expected { answer, hours: count }
    }

    /// Files it with keeper 1 and compares the answer.
    pub(super) async fn file(&self, id: &str, expected: &Expected) -> Answered {
        self.owner.introduce(self.requester).await;
        self.owner.introduce(self.on_behalf_of).await;
        let plate = if self.variants > 2 { many_spellings(self.variants) } else { fresh_plate() };
        for _ in 0..self.prior {
            let before = Self { prior: 0, paper: None, basis: plain_basis(self.basis), ..self.clone() };
            let (_, body) = before.draft(&plate);
            let answer: KeeperAnswer = post(&self.owner.keeper, "/v1/requests", &body).await.unwrap();
            assert_ne!(answer.state, AnswerState::Refused, "{id}: {:?}", answer.rules);
        }
        let (request, body) = self.draft(&plate);
        let answer: KeeperAnswer = match post(&self.owner.keeper, "/v1/requests", &body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{id}: {error}"),
        };
        expected.check(id, &answer);
        Answered { id: id.to_owned(), request, expected: expected.clone() }
    }

    /// The request, and what a desk files with keeper 1.
    fn draft(&self, plate: &str) -> ([u8; 32], RequestFiled) {
        let owner = self.owner.own.id;
        let now = self.owner.now();
        let named = Plate::parse(plate).unwrap();
        let state = Jurisdiction::parse(PLATE_STATE);
        let papers = self.papers(plate, now);
        let staff = &self.requester.staff;
        let officer = match self.filer {
            Filer::InTurn => staff.filer(),
            Filer::First => staff.first(),
            Filer::Inactive => &staff.inactive,
            Filer::Untrained => &staff.untrained,
        };
        let draft = SearchRequest {
            request_id: RequestId(random()),
            owner_agency: owner,
            requester_agency: self.requester.id,
            officer_key: officer.verify_key().0,
            purpose: self.purpose,
            basis: self.basis,
            authorisation_digest: papers.as_ref().map_or([0; 32], |paper| paper.digest),
            elements: Vec::new(),
            win_from: Timestamp(self.window.0),
            win_to: Timestamp(self.window.1),
            not_after: Timestamp(now + DAY),
            notice_after: Timestamp(now + 30 * DAY),
            response_pk: HpkeSecretKey::random(&mut SystemRng).public_key().unwrap(),
            openings_hash: [0; 32],
        };
        let facts = if self.facts { "A witness saw this invented car leave the yard at dawn." } else { "As above." };
        let statement = Statement {
            v: VersionOne,
            plate: PlateName::new(&named, state),
            on_behalf_of: self.on_behalf_of.id,
            case_number: if self.case_number { "26-1234" } else { "none" }.to_owned(),
            offence: OffenceStated { class: self.offence, text: "an invented offence".to_owned() },
            facts: facts.to_owned(),
            emergency: self.emergency,
            hold: self.hold,
            attachments: Vec::new(),
        };
        let salts = Secret::random(&mut SystemRng);
        let mut attachments: Vec<Vec<u8>> = papers.iter().map(|paper| paper.auth.clone()).collect();
        if self.emergency {
            let what = (draft.request_id.0, Danger::Abduction, facts_digest(&salts, facts));
            let seconds: Vec<_> =
                self.seconds.iter().map(|second| SigningKey::from_seed(&self.key(*second).to_seed())).collect();
            attachments.push(declare(what, officer, &seconds, Timestamp(now), &mut SystemRng).unwrap());
        }
        let disclosures = papers.iter().flat_map(|paper| &paper.disclosures);
        let inputs = self.inputs(&named, state);
        let text = OpeningText {
            elements: inputs.into_iter().map(|input| (input, Blind::random(&mut SystemRng))).collect(),
            statement: StatementText::new(statement).unwrap(),
            disclosures: disclosures.map(|text| Disclosure::parse(text).unwrap()).collect(),
            salts,
        };
        let keepers = &self.owner.charter.charter().keepers;
        let recipients: Vec<_> =
            keepers.iter().map(|entry| HpkePublicKey::from_slice(&entry.opening_key).unwrap()).collect();
        let (request, openings) = draft_request(draft, &text, &recipients, &mut SystemRng).unwrap();
        let request = officer.sign(request);
        let seconds = self.seconds.iter().map(|second| {
            let key = self.key(*second);
            SecondSignature { key_id: key.verify_key().0, signature: key.countersign(&request) }
        });
        let seconds = seconds.collect();
        let filed = FiledRequest { request, seconds };
        let digest = filed.request.signed_hash();
        let filed = filed.to_bytes();
        let session = self.mfa.then(|| self.session(digest, now));
        let hashes: Vec<&[u8]> = openings.hashes.iter().map(<[u8; 32]>::as_slice).collect();
        let sent: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
        let opening = &openings.sealed[0];
        let slip = FilingSlip::of(KeeperIndex(1), &filed, opening, &hashes, &sent, session.as_deref(), true);
        let slip = self.requester.desk().sign(slip).to_bytes();
        let body = RequestFiled {
            opening: B64(opening.clone()),
            auditor_openings: Vec::new(),
            opening_hashes: openings.hashes.iter().map(|hash| B64(hash.to_vec())).collect(),
            attachments: attachments.into_iter().map(B64).collect(),
            session: session.map(B64),
            ask_human: true,
            slip: B64(slip),
            filed: B64(filed),
        };
        (digest, body)
    }

    fn inputs(&self, plate: &Plate, state: Option<Jurisdiction>) -> Vec<PlateInput> {
        let owner = self.owner.own.id;
        let mut inputs = if self.variants == 1 {
            vec![PlateInput::new(owner, plate, state)]
        } else {
            let spellings = listed(plate.expose_text());
            let both = spellings
                .iter()
                .flat_map(|text| [state, None].map(|state| PlateInput::from_spelling(owner, text, state).unwrap()));
            both.take(self.variants).collect()
        };
        assert_eq!(inputs.len(), self.variants, "the plate has too few spellings");
        if self.plates == 2 {
            inputs.push(PlateInput::new(owner, &Plate::parse("QQ77777").unwrap(), state));
        }
        inputs
    }

    fn session(&self, request_digest: [u8; 32], now: u64) -> Vec<u8> {
        let (name, signer) = self.requester.session_signer();
        let body = SessionBody {
            provider: "desk".to_owned(),
            subject: "officer".to_owned(),
            acr: String::new(),
            amr: ["pwd", "swk"].map(str::to_owned).into(),
            auth_time: Timestamp(now),
            request_digest,
        };
        SessionStatement { header: header_at(&name, now), body }.sign(&[&signer]).unwrap()
    }

    /// The paper that comes along, a court's or a proof of registration.
    pub(super) fn papers(&self, plate: &str, now: u64) -> Option<SignedPaper> {
        let named = |text: &str| vec![PlateOrdered { state: PLATE_STATE.to_owned(), text: text.to_owned() }];
        let sign = |order: Order, key| order.sign(key, Timestamp(now), &mut SystemRng).unwrap();
        let owner = self.owner.own.card.id.clone();
        if let Some((registered, co_registrants_consent)) = self.ownership {
            let order = OwnershipOrder {
                kind: "ownership".to_owned(),
                issuer: CUSTODIAN.to_owned(),
                owner,
                person: "Erika Mustermann".to_owned(),
                plates: named(plate),
                registered,
                co_registrants_consent,
                until: time_text(Timestamp(now + 20 * DAY)),
            };
            return Some(sign(Order::Ownership(order), &self.owner.custodian));
        }
        let CourtPaper { kind, by, flaw } = self.paper?;
        let (valid_from, valid_until) = validity(flaw);
        let stranger = || b64url(&[9; 16]);
        let from = if flaw == Flaw::ShorterWindow { self.window.0 + 1 } else { self.window.0 };
        let purpose = match flaw {
            Flaw::OtherPurpose if self.purpose == Purpose::CrimeInvestigation => Purpose::MissingPerson,
            Flaw::OtherPurpose => Purpose::CrimeInvestigation,
            _ => self.purpose,
        };
        let order = WarrantOrder {
            kind: if kind == Basis::CourtOrder { "court-order" } else { "search-warrant" }.to_owned(),
            issuer: if by == By::Custodian { CUSTODIAN } else { JUDGE }.to_owned(),
            court: COURT.to_owned(),
            docket: "26-1".to_owned(),
            valid_from: time_text(Timestamp(valid_from)),
            valid_until: time_text(Timestamp(valid_until)),
            requester: if flaw == Flaw::OtherAgency { stranger() } else { self.requester.card.id.clone() },
            officer: String::new(),
            owners: vec![if flaw == Flaw::OtherOwner { stranger() } else { owner }],
            plates: named(if flaw == Flaw::OtherPlate { "ZZ99999" } else { plate }),
            // No paper is signed for no time at all, whatever the request asks.
            window: (time_text(Timestamp(from)), time_text(Timestamp(self.window.1.max(from + 1)))),
            purpose: purpose.name().to_owned(),
            offence: self.offence.name().to_owned(),
            max_requests: 1,
            pdf: if by == By::Custodian { b64url(&[7; 32]) } else { String::new() },
            supersedes: String::new(),
        };
        let called = CalledOrder { who: "the clerk".to_owned(), time: time_text(Timestamp(now)) };
        Some(match by {
            By::Judge => sign(Order::Warrant(Box::new(order)), &self.nation.judge),
            By::Impostor => sign(Order::Warrant(Box::new(order)), &self.nation.impostor),
            By::Custodian => {
                let attestation = AttestationOrder { kind: "attestation".to_owned(), called, paper: order };
                sign(Order::Attestation(Box::new(attestation)), &self.owner.custodian)
            }
        })
    }
}

/// 2026-11-21 to 2026-12-01, as in the file of cases, unless that is what is wrong.
fn validity(flaw: Flaw) -> (u64, u64) {
    match flaw {
        Flaw::Expired => (NOW - 21 * DAY, NOW),
        Flaw::Future => (NOW + 1, NOW + 9 * DAY),
        _ => (NOW - DAY - 12 * HOUR, NOW + 8 * DAY + 12 * HOUR),
    }
}

/// Days, rounded up; days until a time to come are negative.
fn days(from: u64, to: u64) -> i64 {
    if from <= to {
        i64::try_from((to - from).div_ceil(DAY)).unwrap()
    } else {
        -i64::try_from((from - to).div_ceil(DAY)).unwrap()
    }
}

/// Without a court's paper a court's basis would be refused.
fn plain_basis(basis: Basis) -> Basis {
    match basis {
        Basis::CourtOrder | Basis::SearchWarrant => Basis::None,
        other => other,
    }
}

/// The shortest plate with so many spellings, half of them with the state unknown.
fn many_spellings(count: usize) -> String {
    let lengths = 1..=MANY_SPELLINGS.len();
    let mut plates = lengths.map(|length| &MANY_SPELLINGS[..length]);
    plates.find(|plate| listed(plate).len() * 2 >= count).expect("a plate has as many spellings").to_owned()
}

/// Each request has a plate of its own, so that none counts as a repeat.
fn fresh_plate() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("K{:05}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRng.fill_bytes(&mut bytes);
    bytes
}

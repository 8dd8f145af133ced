use super::*;
use crate::passkey::{self, tests::SoftKey};
use crate::plate::{Jurisdiction, Plate};
use crate::signed::VersionOne;
use lockplate_log::note::{NoteSignature, NoteSigner, Origin, SignatureType, SignedNote};

const DAY: u64 = 86_400;
const NOW: Timestamp = Timestamp(1_795_356_000);
const JUDGE: &str = "superior-court.ct.example/judge-17";
const CUSTODIAN: &str = "alpr.millbrook.example/custodian";
const OWNER: AgencyId = AgencyId([1; 16]);

fn days(days: i64) -> Timestamp {
    Timestamp(NOW.0.checked_add_signed(days * 86_400).unwrap())
}

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap()
}

fn plate() -> PlateName {
    PlateName::new(&Plate::parse("AB12345").unwrap(), Jurisdiction::parse("US-CT"))
}

fn paper() -> Paper {
    Paper {
        header: Header { v: VersionOne, nonce: [4; 16], issued: days(-1), issuer: JUDGE.to_owned() },
        source: PaperSource::Court(PaperKind::SearchWarrant),
        terms: PaperTerms {
            court: "Superior Court, Millbrook".to_owned(),
            docket: "FST-1".to_owned(),
            valid_from: days(-1),
            valid_until: days(9),
            requester: AgencyId([2; 16]),
            officer: Some([3; 32]),
            owners: vec![AgencyId([8; 16]), OWNER],
            plates: vec![[0; 32], disclose_plate(&plate(), [6; 16]).unwrap().digest()],
            window: (days(-12), days(-2)),
            purpose: Purpose::CrimeInvestigation,
            offence: Offence::Felony,
            max_requests: 3,
            pdf: None,
            supersedes: None,
        },
    }
}

fn attestation() -> Paper {
    let called = CourtCall { who: "clerk on duty".to_owned(), time: days(-1) };
    let mut paper = paper();
    paper.source = PaperSource::Attestation(Attested { paper_kind: PaperKind::SearchWarrant, called });
    paper.header.issuer = CUSTODIAN.to_owned();
    paper.terms.pdf = Some([7; 32]);
    paper
}

/// Everything that `judge` looks at; each test changes one thing.
struct Case {
    paper: Paper,
    signer: NoteSigner,
    request: PaperRequest,
    disclosures: Vec<Disclosure>,
    entries: Vec<TrustEntry>,
    withdrawn: Withdrawn,
    accept_attested: bool,
    tamper: fn(Vec<u8>) -> Vec<u8>,
    revoke_paper: bool,
    wrong_digest: bool,
}

fn entry(name: &str, seed: u8, role: TrustRole) -> TrustEntry {
    let of_court = matches!(role, TrustRole::Judge | TrustRole::Clerk);
    TrustEntry {
        name: name.to_owned(),
        role,
        court: if of_court { "Superior Court, Millbrook".to_owned() } else { String::new() },
        vkey: signer(name, seed).verifier_key().clone(),
        rp_id: String::new(),
        origins: vec![],
        valid_from: days(-100),
        valid_until: days(100),
        may_issue: false,
        agency: if of_court { None } else { Some(OWNER.0) },
    }
}

fn case(paper: Paper) -> Case {
    let attested = matches!(paper.source, PaperSource::Attestation(_));
    Case {
        signer: if attested { signer(CUSTODIAN, 2) } else { signer(JUDGE, 1) },
        paper,
        request: PaperRequest {
            authorisation_digest: [0; 32],
            requester: AgencyId([2; 16]),
            owner: OWNER,
            officer_key: [3; 32],
            purpose: Purpose::CrimeInvestigation,
            basis: Basis::SearchWarrant,
            offence: Offence::Felony,
            window: (days(-12), days(-2)),
            plate: plate(),
            uses: 2,
        },
        disclosures: vec![disclose_plate(&plate(), [6; 16]).unwrap()],
        entries: vec![entry(JUDGE, 1, TrustRole::Judge), entry(CUSTODIAN, 2, TrustRole::Custodian)],
        withdrawn: Withdrawn::default(),
        accept_attested: true,
        tamper: |file| file,
        revoke_paper: false,
        wrong_digest: false,
    }
}

fn run(mut case: Case) -> core::result::Result<Verified, Step> {
    let file = (case.tamper)(case.paper.sign(&[&case.signer]).unwrap());
    if let Ok(object) = SignedObject::parse(&file) {
        case.request.authorisation_digest = object.digest();
    }
    if case.wrong_digest {
        case.request.authorisation_digest = [9; 32];
    }
    if case.revoke_paper {
        let by = WithdrawnBy::Court("Superior Court, Millbrook".to_owned());
        case.withdrawn.papers.insert(case.request.authorisation_digest, [by].into());
    }
    let trust = Trust::founding(OWNER, &case.entries);
    judge(&file, &case.request, &case.disclosures, &trust, &case.withdrawn, case.accept_attested, NOW)
}

#[test]
fn a_warrant_under_a_courts_key_counts() {
    let want = Verified { judicial: true, assurance: Assurance::CourtKey, valid_from: days(-1), valid_until: days(9) };
    assert_eq!(run(case(paper())), Ok(want));
    let mut any_officer = case(paper());
    any_officer.paper.terms.officer = None;
    assert_eq!(run(any_officer), Ok(want));
}

#[test]
fn an_attested_warrant_counts_only_if_the_charter_says_so() {
    let mut switched_off = case(attestation());
    switched_off.accept_attested = false;
    let off = run(switched_off).unwrap();
    let on = run(case(attestation())).unwrap();
    assert_eq!((on.judicial, on.assurance), (true, Assurance::CustodianAttested));
    assert_eq!((off.judicial, off.assurance), (false, Assurance::CustodianAttested));
}

/// A warrant under a judge's passkey; `wanted` is what the judge's authenticator signed.
fn by_passkey(wanted: impl FnOnce([u8; 32]) -> [u8; 32]) -> core::result::Result<Verified, Step> {
    let (soft, mut case) = (SoftKey::es256(1), case(paper()));
    let public = [passkey::NOTE_IDENTIFIER, &soft.cose()].concat();
    let vkey =
        VerifierKey::new(Origin::parse(JUDGE).unwrap(), SignatureType::Other(passkey::NOTE_TYPE), &public).unwrap();
    case.entries[0].vkey = vkey.clone();
    case.entries[0].rp_id = passkey::tests::RP_ID.to_owned();
    case.entries[0].origins = vec![passkey::tests::ORIGIN.to_owned()];
    let text = crate::signed::text_of(&case.paper).unwrap();
    let digest = crate::wire::th("authorisation", &[text.as_bytes()]);
    let line = NoteSignature::new(vkey.name().clone(), vkey.id(), &soft.sign(&wanted(digest)).to_bytes()).unwrap();
    let file = SignedNote::new(&text, vec![line]).unwrap().to_bytes();
    case.request.authorisation_digest = digest;
    let trust = Trust::founding(OWNER, &case.entries);
    judge(&file, &case.request, &case.disclosures, &trust, &case.withdrawn, true, NOW)
}

#[test]
fn a_judges_passkey_is_a_courts_key() {
    let verified = by_passkey(|digest| digest).unwrap();
    assert_eq!((verified.judicial, verified.assurance), (true, Assurance::CourtKey));
    assert_eq!(by_passkey(|_| [9; 32]), Err(Step::Signature), "signed another paper");
}

type GoodCase = (&'static str, fn(&mut Case));
type BrokenStep = (&'static str, Step, fn(&mut Case));

#[test]
fn each_step_broken_alone_is_named() {
    let steps: Vec<BrokenStep> = vec![
        ("digest of another object", Step::Digest, |c| c.wrong_digest = true),
        ("not a note", Step::Form, |c| c.tamper = |_| b"{}".to_vec()),
        ("not canonical", Step::Form, |c| c.tamper = |f| [b" ".as_slice(), &f].concat()),
        ("another kind", Step::Form, |c| {
            c.tamper = |f| String::from_utf8(f).unwrap().replace("search-warrant", "delay-notice").into_bytes();
        }),
        ("altered after signing", Step::Signature, |c| {
            c.tamper =
                |f| String::from_utf8(f).unwrap().replace("\"max_requests\":3", "\"max_requests\":4").into_bytes();
        }),
        ("unknown key", Step::Signature, |c| c.signer = signer(JUDGE, 99)),
        ("another key than the issuer's", Step::Signature, |c| c.signer = signer(CUSTODIAN, 2)),
        ("not a judge", Step::Signature, |c| c.entries[0].role = TrustRole::Supervisor),
        ("clerk who may not issue", Step::Signature, |c| c.entries[0].role = TrustRole::Clerk),
        ("another court", Step::Signature, |c| c.entries[0].court = "Superior Court, Eastport".to_owned()),
        ("no court at all", Step::Signature, |c| {
            c.entries[0].court.clear();
            c.paper.terms.court.clear();
        }),
        ("before the key was valid", Step::Signature, |c| c.entries[0].valid_from = Timestamp(days(-1).0 + 1)),
        ("after the key was valid", Step::Signature, |c| c.entries[0].valid_until = days(-1)),
        ("issued in the future", Step::Signature, |c| c.paper.header.issued = Timestamp(NOW.0 + 1)),
        ("key revoked just before", Step::Signature, |c| {
            c.withdrawn.keys.insert(c.entries[0].vkey.to_string(), Timestamp(NOW.0 - 1));
        }),
        ("not yet valid", Step::Validity, |c| c.paper.terms.valid_from = Timestamp(NOW.0 + 1)),
        ("no longer valid", Step::Validity, |c| c.paper.terms.valid_until = NOW),
        ("valid for too long", Step::Validity, |c| {
            c.paper.terms.valid_until = Timestamp(c.paper.terms.valid_from.0 + 366 * DAY + 1);
        }),
        ("another agency", Step::Requester, |c| c.request.requester = OWNER),
        ("another officer", Step::Requester, |c| c.request.officer_key = [4; 32]),
        ("another owner", Step::Owner, |c| c.paper.terms.owners = vec![AgencyId([8; 16])]),
        ("another plate", Step::Plate, |c| c.request.plate.text = "AB12346".to_owned()),
        ("state unknown against known", Step::Plate, |c| c.request.plate.state = None),
        ("no disclosure", Step::Plate, |c| c.disclosures.clear()),
        ("disclosure of another salt", Step::Plate, |c| {
            c.disclosures = vec![disclose_plate(&plate(), [5; 16]).unwrap()]
        }),
        ("disclosure under another name", Step::Plate, |c| {
            c.disclosures = vec![Disclosure::new([6; 16], "officer", &plate().to_json()).unwrap()];
            c.paper.terms.plates.push(c.disclosures[0].digest());
        }),
        ("window a second early", Step::Scope, |c| c.request.window.0 = Timestamp(days(-12).0 - 1)),
        ("window a second late", Step::Scope, |c| c.request.window.1 = Timestamp(days(-2).0 + 1)),
        ("window reversed", Step::Scope, |c| c.request.window = (days(-3), days(-4))),
        ("another purpose", Step::Scope, |c| c.request.purpose = Purpose::WantedPerson),
        ("another offence", Step::Scope, |c| c.request.offence = Offence::Misdemeanor),
        ("used up", Step::Uses, |c| c.request.uses = 3),
        ("withdrawn", Step::Withdrawn, |c| c.revoke_paper = true),
        ("another basis", Step::Basis, |c| c.request.basis = Basis::CourtOrder),
        ("no court basis", Step::Basis, |c| c.request.basis = Basis::ReasonableSuspicion),
    ];
    for (what, step, change) in steps {
        let mut broken = case(paper());
        change(&mut broken);
        assert_eq!(run(broken), Err(step), "{what}");
    }
}

#[test]
fn the_bounds_themselves_hold() {
    let good: Vec<GoodCase> = vec![
        ("366 days", |c| c.paper.terms.valid_until = Timestamp(c.paper.terms.valid_from.0 + 366 * DAY)),
        ("from this second", |c| c.paper.terms.valid_from = NOW),
        ("until the next", |c| c.paper.terms.valid_until = Timestamp(NOW.0 + 1)),
        ("clerk who may", |c| {
            c.entries[0].role = TrustRole::Clerk;
            c.entries[0].may_issue = true;
        }),
        ("key revoked from later on", |c| {
            c.withdrawn.keys.insert(c.entries[0].vkey.to_string(), Timestamp(NOW.0 + 1));
        }),
        ("renewed entry of the same key", |c| {
            let mut old = c.entries[0].clone();
            old.valid_until = days(-50);
            c.entries.insert(0, old);
        }),
        ("court order", |c| {
            c.paper.source = PaperSource::Court(PaperKind::CourtOrder);
            c.request.basis = Basis::CourtOrder;
        }),
    ];
    for (what, change) in good {
        let mut good = case(paper());
        change(&mut good);
        assert!(run(good).is_ok(), "{what}");
    }
}

#[test]
fn an_attestation_needs_the_owners_custodian_and_the_paper() {
    for (what, change) in [
        ("another owner's custodian", (|c| c.entries[1].agency = Some([8; 16])) as fn(&mut Case)),
        ("a judge's key", |c| c.entries[1].role = TrustRole::Judge),
        ("no paper", |c| c.paper.terms.pdf = None),
    ] {
        let mut broken = case(attestation());
        change(&mut broken);
        assert_eq!(run(broken), Err(Step::Signature), "{what}");
    }
    let mut custodian_as_court = case(paper());
    custodian_as_court.paper.header.issuer = CUSTODIAN.to_owned();
    custodian_as_court.signer = signer(CUSTODIAN, 2);
    assert_eq!(run(custodian_as_court), Err(Step::Signature));
}

#[test]
fn papers_come_back_and_print_nothing() {
    for paper in [paper(), attestation()] {
        assert_eq!(Paper::from_json(paper.to_json()).unwrap(), paper);
        assert_eq!(format!("{paper:?} {:?}", paper.terms), "Paper(..) PaperTerms(..)");
    }
    let Json::Object(mut fields) = paper().to_json() else { panic!("an object") };
    fields.insert("extra".to_owned(), Json::Bool(true));
    assert!(Paper::from_json(Json::Object(fields)).is_err());
}

fn session() -> SessionStatement {
    SessionStatement {
        header: Header { v: VersionOne, nonce: [1; 16], issued: NOW, issuer: "alpr.millbrook.example/desk".to_owned() },
        body: SessionBody {
            provider: "https://login.millbrook.example".to_owned(),
            subject: "p-1".to_owned(),
            acr: String::new(),
            amr: ["otp", "pwd"].map(str::to_owned).into(),
            auth_time: Timestamp(NOW.0 - SESSION_SECONDS_MAX),
            request_digest: [5; 32],
        },
    }
}

#[test]
fn a_session_needs_two_factors_a_recent_log_on_and_the_request() {
    let desk = signer("alpr.millbrook.example/desk", 30);
    let factors: BTreeSet<String> = ["pwd", "otp", "hwk"].map(str::to_owned).into();
    let check = |change: fn(&mut SessionStatement), by: &NoteSigner| {
        let mut statement = session();
        change(&mut statement);
        let object = SignedObject::parse(&statement.sign(&[by]).unwrap()).unwrap();
        verify_session(&object, desk.verifier_key(), &[5; 32], &factors, NOW)
    };
    assert_eq!(check(|_| (), &desk), Ok(true));
    assert_eq!(check(|s| s.body.auth_time.0 -= 1, &desk), Ok(false));
    assert_eq!(check(|s| s.body.auth_time.0 = NOW.0 + 1, &desk), Ok(false));
    assert_eq!(check(|s| s.body.request_digest = [6; 32], &desk), Ok(false));
    assert_eq!(check(|s| s.body.amr = ["pwd"].map(str::to_owned).into(), &desk), Ok(false));
    assert_eq!(check(|s| s.body.amr = ["pwd", "geo"].map(str::to_owned).into(), &desk), Ok(false));
    assert_eq!(check(|s| s.body.amr.clear(), &desk), Ok(false));
    assert!(check(|_| (), &signer("alpr.millbrook.example/desk", 31)).is_err());
    assert!(check(|s| s.header.issuer = "another".to_owned(), &desk).is_err());
}

#[test]
fn owners_are_read_from_the_papers_that_name_some() {
    let named = |file: Vec<u8>| owners_named(&SignedObject::parse(&file).unwrap());
    let judge = signer(JUDGE, 17);
    assert_eq!(named(paper().sign(&[&judge]).unwrap()), Some(vec![AgencyId([8; 16]), OWNER]));
    assert_eq!(named(attestation().sign(&[&signer(CUSTODIAN, 18)]).unwrap()), Some(vec![AgencyId([8; 16]), OWNER]));
    let proof = Ownership {
        header: Header { v: VersionOne, nonce: [1; 16], issued: NOW, issuer: CUSTODIAN.to_owned() },
        body: crate::ownership::OwnershipBody {
            owner: OWNER,
            person: [1; 32],
            plates: vec![[2; 32]],
            registered: true,
            co_registrants_consent: true,
            until: days(10),
        },
    };
    assert_eq!(named(proof.sign(&[&signer(CUSTODIAN, 18)]).unwrap()), Some(vec![OWNER]));
    assert_eq!(named(session().sign(&[&signer("alpr.millbrook.example/desk", 30)]).unwrap()), None);
}

#[test]
fn an_agency_signs_with_the_keys_that_are_valid_and_not_revoked() {
    let agency = AgencyId([3; 16]);
    let of = |name: &str, seed: u8, agency: AgencyId| {
        let mut entry = entry(name, seed, TrustRole::Agency);
        entry.agency = Some(agency.0);
        entry
    };
    let own = of("agency.example", 40, agency);
    let mut over = of("old.agency.example", 41, agency);
    over.valid_until = days(-1);
    let other = of("other.example", 42, AgencyId([4; 16]));
    let trust = Trust::founding(OWNER, &[own.clone(), over, other, entry("judge.example", 43, TrustRole::Judge)]);
    let keys = |withdrawn: &Withdrawn, now| agency_keys(&trust, withdrawn, agency, now);
    let mut withdrawn = Withdrawn::default();
    assert_eq!(keys(&withdrawn, NOW), std::slice::from_ref(&own.vkey));
    withdrawn.keys.insert(own.vkey.to_string(), NOW);
    assert_eq!(keys(&withdrawn, Timestamp(NOW.0 - 1)), [own.vkey]);
    assert_eq!(keys(&withdrawn, NOW), []);
}

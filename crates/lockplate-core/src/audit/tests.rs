use lockplate_log::note::NoteSigner;

use super::*;
use crate::entry::{Escrow, SaltedDigests};
use crate::notice::BlindedInputs;
use crate::salted::published;
use crate::signed::{Header, Signable, VersionOne};
use crate::town::{Asked, Town, note_signer, notice_key, trust_entry};
use crate::vocabulary::Purpose;

const NOW: Timestamp = Timestamp(1_795_356_000);
const LOG: &str = "k1.example/log/keeper";

#[test]
fn the_sample_is_that_of_other_peoples_code() {
    // Python's hashlib and integers, root 00 01 .. 1f.
    let root = core::array::from_fn(|i| u8::try_from(i).unwrap());
    let sampled = |percent, end| (0..end).filter(|i| is_sampled(&root, *i, percent)).collect::<Vec<u64>>();
    let five = [12, 23, 25, 47, 53, 82, 126, 143, 148, 155, 170, 210, 226, 230, 287, 331, 347, 358, 398];
    assert_eq!(sampled(5, 400), five);
    let half = [1, 2, 3, 4, 6, 10, 12, 13, 14, 20, 21, 22, 23, 25, 29, 32, 33, 34, 36, 40];
    assert_eq!(sampled(50, 42), half);
    assert!(sampled(0, 400).is_empty());
    assert_eq!(sampled(100, 400).len(), 400);
    let twenty_thousand = sampled(5, 20_000).len();
    // 1,000 expected, standard deviation 31.
    assert!((850..1_150).contains(&twenty_thousand), "{twenty_thousand}");
    assert_ne!(sampled(5, 400), (0..400).filter(|i| is_sampled(&[9; 32], *i, 5)).collect::<Vec<_>>());
}

struct Case {
    town: Town,
    asked: Asked,
    leaf: RequestLeaf,
    nonce: [u8; 16],
}

fn case() -> Case {
    let mut town = Town::new(0);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let (leaf, nonce) = town.leaf(0, &asked);
    Case { town, asked, leaf, nonce }
}

impl Case {
    fn check(&self) -> core::result::Result<Opened<SearchRequest>, EscrowFault> {
        let audited = Audited {
            leaf: &self.leaf,
            nonce: self.nonce,
            filed: self.asked.filed.clone(),
            hashes: self.asked.openings.hashes.clone(),
            opening: &self.asked.openings.sealed[3],
        };
        check_escrow(self.town.charter.charter(), &self.town.auditor, audited)
    }
}

#[test]
fn an_honest_leaf_passes_and_its_tags_too() {
    let mut case = case();
    assert_eq!(case.leaf.escrow.len(), 1);
    let opened = case.check().unwrap();
    let texts = opened.text().elements.iter().map(|(input, _)| input.clone()).collect();
    let blinded = BlindedInputs::new(texts, &mut case.town.rng);
    let values = |place| {
        let evaluated = notice_key(place).evaluate_blinded(&blinded.elements().unwrap()).unwrap();
        blinded.finalize(&evaluated).unwrap()
    };
    assert_eq!(check_notice(&opened, &values(1), &case.leaf, &case.nonce), Ok(()));
    let notice = Err(EscrowFault::Notice);
    assert_eq!(check_notice(&opened, &values(2), &case.leaf, &case.nonce), notice, "another key");
    assert_eq!(check_notice(&opened, &values(1), &case.leaf, &[0; 16]), notice, "another nonce");
    assert_eq!(check_notice(&opened, &values(1)[..1], &case.leaf, &case.nonce), notice, "a tag too few");
    let (other, _) = case.town.leaf(1, &case.asked);
    assert_eq!(check_notice(&opened, &values(1), &other, &case.nonce), notice, "another keeper's leaf");
}

#[test]
fn each_lie_is_named() {
    let mut one = case();
    one.asked.openings.sealed[3][100] ^= 1;
    assert_eq!(one.check().unwrap_err(), EscrowFault::Escrow);
    let mut one = case();
    one.leaf.escrow.clear();
    assert_eq!(one.check().unwrap_err(), EscrowFault::Escrow);
    let mut one = case();
    one.leaf.escrow[0].auditor[0] ^= 1;
    assert_eq!(one.check().unwrap_err(), EscrowFault::Escrow);
    let mut one = case();
    one.town.auditor = HpkeSecretKey::random(&mut one.town.rng);
    assert_eq!(one.check().unwrap_err(), EscrowFault::Escrow, "no auditor of this charter");
    let mut one = case();
    one.leaf.request[0] ^= 1;
    assert_eq!(one.check().unwrap_err(), EscrowFault::Request);
    let mut one = case();
    one.asked.filed = one.town.ask("AB12345", Purpose::StolenVehicle).filed;
    assert_eq!(one.check().unwrap_err(), EscrowFault::Request);
    // A requester who seals another story to the auditor, and a keeper who writes the digest of what came.
    let mut one = case();
    let other = one.town.ask("XYZ999", Purpose::StolenVehicle);
    one.asked.openings.sealed[3] = other.openings.sealed[3].clone();
    let digest = Sha256::digest(&one.asked.openings.sealed[3]).into();
    one.leaf.escrow = vec![Escrow { opening: digest, ..one.leaf.escrow[0].clone() }];
    assert_eq!(one.check().unwrap_err(), EscrowFault::Opening);
    one.asked.openings.hashes[3] = digest;
    assert_eq!(one.check().unwrap_err(), EscrowFault::Opening);
}

#[test]
fn each_field_that_the_leaf_does_not_commit_to_is_named() {
    let honest = case();
    let opened = honest.check().unwrap();
    for name in SaltedName::ALL.iter().filter(|name| **name != SaltedName::Notice) {
        let mut one = case();
        let digest = disclosure_of(&opened, *name, &[]).unwrap().digest();
        let mut digests = one.leaf.sd.digests().to_vec();
        let place = digests.iter().position(|one| *one == digest).unwrap();
        digests[place] = [7; 32];
        digests.sort_unstable();
        one.leaf.sd = SaltedDigests::new(digests).unwrap();
        assert_eq!(one.check().unwrap_err(), EscrowFault::Salted(*name));
    }
}

#[test]
fn what_is_published_is_what_the_leaf_commits_to() {
    let case = case();
    let opened = case.town.opened(0, &case.asked);
    let served = published(&opened, &notice_key(1), &case.nonce, case.leaf.sd.digests()).unwrap();
    let names: Vec<_> = served.iter().map(crate::disclosure::Disclosure::name).collect();
    assert_eq!(names, ["notice", "window"]);
    let tags = crate::salted::published_tags(&served[0]).unwrap();
    assert_eq!(tags.len(), case.asked.text.elements.len());
    assert!(crate::salted::published_tags(&served[1]).is_err());
    for disclosure in &served {
        case.leaf.sd.expose_field(disclosure.name(), disclosure).unwrap();
    }
    assert!(published(&opened, &notice_key(2), &case.nonce, case.leaf.sd.digests()).is_err(), "another key");
    assert!(published(&opened, &notice_key(1), &[0; 16], case.leaf.sd.digests()).is_err(), "another nonce");
    let other = case.town.opened(1, &case.asked);
    assert!(published(&other, &notice_key(1), &case.nonce, case.leaf.sd.digests()).is_ok(), "all are told the same");
}

fn auditor() -> NoteSigner {
    note_signer("auditor.example", 222)
}

fn header() -> Header {
    Header { v: VersionOne, nonce: [1; 16], issued: NOW, issuer: "auditor.example".to_owned() }
}

fn signed(object: &impl Signable) -> SignedObject {
    SignedObject::parse(&object.sign(&[&auditor()]).unwrap()).unwrap()
}

fn digest_in(town: &Town) -> [u8; 32] {
    auditor_digest(&town.charter.charter().auditors[0].opening_key)
}

fn trust_with(change: fn(&mut TrustEntry)) -> Trust {
    let mut entry = trust_entry(TrustRole::Auditor, &auditor());
    change(&mut entry);
    Trust::founding(crate::town::OWNER, &[entry])
}

#[test]
fn a_call_is_answered_to_the_auditor_it_names() {
    let town = Town::new(0);
    let call = || AuditorCall {
        header: header(),
        body: AuditorCallBody {
            log: LOG.to_owned(),
            index: 12,
            auditor: digest_in(&town),
            elements: vec![],
            until: Timestamp(NOW.0 + CALL_SECONDS_MAX),
        },
    };
    let check = |call: &AuditorCall, trust: &Trust, now| {
        verify_call(&signed(call), town.charter.charter(), LOG, trust, &Withdrawn::default(), now)
    };
    let trust = trust_with(|_| ());
    let good = check(&call(), &trust, NOW).unwrap();
    assert_eq!((good.index, good.auditor, good.elements.len()), (12, digest_in(&town), 0));
    assert!(check(&call(), &trust, Timestamp(NOW.0 + CALL_SECONDS_MAX)).is_err(), "expired");
    for (what, change) in [
        ("another log", (|c| c.body.log.push('x')) as fn(&mut AuditorCall)),
        ("another auditor", |c| c.body.auditor[0] ^= 1),
        ("for too long", |c| c.body.until = Timestamp(NOW.0 + CALL_SECONDS_MAX + 1)),
        ("from the future", |c| c.header.issued = Timestamp(NOW.0 + 1)),
        ("not an element", |c| c.body.elements = vec![[255; 32]]),
        ("65 elements", |c| c.body.elements = vec![lockplate_oprf::hash_to_group(b"x").unwrap().to_bytes(); 65]),
        ("another issuer", |c| c.header.issuer = "judge.example".to_owned()),
    ] {
        let mut broken = call();
        change(&mut broken);
        assert!(check(&broken, &trust, NOW).is_err(), "{what}");
    }
    let mut full = call();
    full.body.elements = vec![lockplate_oprf::hash_to_group(b"x").unwrap().to_bytes(); 64];
    assert_eq!(check(&full, &trust, NOW).unwrap().elements.len(), 64);
    for change in [
        (|entry| entry.role = TrustRole::Judge) as fn(&mut TrustEntry),
        |entry| entry.name = "Another auditor".to_owned(),
        |entry| entry.valid_until = NOW,
        |entry| entry.vkey = note_signer("auditor.example", 9).verifier_key().clone(),
    ] {
        assert!(check(&call(), &trust_with(change), NOW).is_err());
    }
}

#[test]
fn a_review_must_add_up_and_be_the_auditors() {
    let town = Town::new(0);
    let review = || Review {
        header: header(),
        body: ReviewBody { log: LOG.to_owned(), auditor: digest_in(&town), from: 3, to: 8, sampled: 5, failed: 5 },
    };
    let check = |review: &Review, trust: &Trust| {
        verify_review(&signed(review), town.charter.charter(), (LOG, 8), trust, &Withdrawn::default(), NOW)
    };
    let trust = trust_with(|_| ());
    assert_eq!(check(&review(), &trust).unwrap(), review().body);
    for (what, change) in [
        ("another log", (|r| r.body.log.push('x')) as fn(&mut Review)),
        ("another auditor", |r| r.body.auditor[0] ^= 1),
        ("beyond the log", |r| r.body.to = 9),
        ("empty", |r| r.body.from = 8),
        ("backwards", |r| r.body.from = 9),
        ("more than there are", |r| r.body.sampled = 6),
        ("more failed than looked at", |r| r.body.sampled = 4),
    ] {
        let mut broken = review();
        change(&mut broken);
        assert!(check(&broken, &trust).is_err(), "{what}");
    }
    assert!(check(&review(), &trust_with(|entry| entry.role = TrustRole::Steward)).is_err());
}

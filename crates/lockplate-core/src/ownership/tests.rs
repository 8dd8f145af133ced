use super::*;
use crate::authorisation::{WithdrawnBy, disclose_plate};
use crate::directory::TrustEntry;
use crate::plate::{Jurisdiction, Plate};
use crate::signed::{Header, Signable as _, VersionOne};
use crate::town::{OWNER, note_signer, trust_entry};
use lockplate_log::note::NoteSigner;

const NOW: Timestamp = Timestamp(1_795_356_000);
const BOTH: OwnershipFacts = OwnershipFacts { registered_owner: true, co_registrants_consent: true };

fn custodian() -> NoteSigner {
    note_signer("custodian.example", 220)
}

fn plate(text: &str) -> PlateName {
    PlateName::new(&Plate::parse(text).unwrap(), Jurisdiction::parse("US-CT"))
}

fn proof() -> Ownership {
    Ownership {
        header: Header { v: VersionOne, nonce: [1; 16], issued: NOW, issuer: "custodian.example".to_owned() },
        body: OwnershipBody {
            owner: OWNER,
            person: [8; 32],
            plates: vec![[9; 32], disclose_plate(&plate("AB12345"), [6; 16]).unwrap().digest()],
            registered: true,
            co_registrants_consent: true,
            until: Timestamp(NOW.0 + OWNERSHIP_SECONDS_MAX),
        },
    }
}

fn judged(proof: &Ownership, asked: &PlateName, change: fn(&mut TrustEntry), now: Timestamp) -> OwnershipFacts {
    let mut entry = trust_entry(TrustRole::Custodian, &custodian());
    change(&mut entry);
    let trust = Trust::founding(OWNER, &[entry]);
    let object = SignedObject::parse(&proof.sign(&[&custodian()]).unwrap()).unwrap();
    let disclosures = [disclose_plate(&plate("AB12345"), [6; 16]).unwrap()];
    judge_ownership(&object, OWNER, asked, &disclosures, &trust, &Withdrawn::default(), now)
}

#[test]
fn a_proof_that_holds_gives_the_facts_it_states() {
    let asked = plate("AB12345");
    assert_eq!(judged(&proof(), &asked, |_| (), NOW), BOTH);
    let last = Timestamp(NOW.0 + OWNERSHIP_SECONDS_MAX - 1);
    assert_eq!(judged(&proof(), &asked, |_| (), last), BOTH);
    assert_eq!(judged(&proof(), &asked, |_| (), Timestamp(last.0 + 1)), OwnershipFacts::NONE);
    let mut alone = proof();
    alone.body.co_registrants_consent = false;
    let want = OwnershipFacts { registered_owner: true, co_registrants_consent: false };
    assert_eq!(judged(&alone, &asked, |_| (), NOW), want);
    let mut not_registered = proof();
    not_registered.body.registered = false;
    let want = OwnershipFacts { registered_owner: false, co_registrants_consent: true };
    assert_eq!(judged(&not_registered, &asked, |_| (), NOW), want);
}

#[test]
fn a_proof_broken_in_one_place_is_none() {
    let asked = plate("AB12345");
    for (what, change) in [
        ("another owner", (|p| p.body.owner = AgencyId([9; 16])) as fn(&mut Ownership)),
        ("another plate", |p| p.body.plates.truncate(1)),
        ("for too long", |p| p.body.until = Timestamp(NOW.0 + OWNERSHIP_SECONDS_MAX + 1)),
        ("from the future", |p| p.header.issued = Timestamp(NOW.0 + 1)),
        ("another issuer", |p| p.header.issuer = "judge.example".to_owned()),
    ] {
        let mut broken = proof();
        change(&mut broken);
        assert_eq!(judged(&broken, &asked, |_| (), NOW), OwnershipFacts::NONE, "{what}");
    }
    for change in [
        (|entry| entry.role = TrustRole::Judge) as fn(&mut TrustEntry),
        |entry| entry.agency = Some([9; 16]),
        |entry| entry.valid_until = NOW,
        |entry| entry.vkey = note_signer("custodian.example", 9).verifier_key().clone(),
    ] {
        assert_eq!(judged(&proof(), &asked, change, NOW), OwnershipFacts::NONE);
    }
    assert_eq!(judged(&proof(), &plate("AB12346"), |_| (), NOW), OwnershipFacts::NONE, "the neighbour's car");
}

#[test]
fn a_withdrawn_proof_is_none() {
    let trust = Trust::founding(OWNER, &[trust_entry(TrustRole::Custodian, &custodian())]);
    let object = SignedObject::parse(&proof().sign(&[&custodian()]).unwrap()).unwrap();
    let disclosures = [disclose_plate(&plate("AB12345"), [6; 16]).unwrap()];
    let mut withdrawn = Withdrawn::default();
    let judge = |withdrawn: &Withdrawn| {
        judge_ownership(&object, OWNER, &plate("AB12345"), &disclosures, &trust, withdrawn, NOW)
    };
    assert_eq!(judge(&withdrawn), BOTH);
    withdrawn.papers.insert(object.digest(), [WithdrawnBy::Signers].into());
    assert_eq!(judge(&withdrawn), OwnershipFacts::NONE);
}

//! Owner access from the signed proof to the facts that the policy sees.

use super::*;
use crate::authorisation::disclose_plate;
use crate::directory::{OfficerEntry, TrustRole};
use crate::disclosure::Disclosure;
use crate::ownership::{Ownership, OwnershipBody};
use crate::plate::{Jurisdiction, Plate, PlateInput};
use crate::signed::Signable as _;
use crate::statement::PlateName;
use crate::town::{Asked, OWNER, Town, note_signer, trust_entry};

fn plate() -> PlateName {
    PlateName::new(&Plate::parse("AB12345").unwrap(), Jurisdiction::parse("US-CT"))
}

fn disclosure() -> Disclosure {
    disclose_plate(&plate(), [6; 16]).unwrap()
}

/// The custodian's proof for the plate.
fn proof(town: &Town) -> Vec<u8> {
    let body = OwnershipBody {
        owner: OWNER,
        person: [8; 32],
        plates: vec![disclosure().digest()],
        registered: true,
        co_registrants_consent: true,
        until: Timestamp(town.now.0 + 10 * DAY),
    };
    let object = Ownership { header: town.header("custodian.example"), body };
    object.sign(&[&note_signer("custodian.example", 220)]).unwrap()
}

fn inputs(texts: &[&str]) -> Vec<PlateInput> {
    let input = |text: &&str| PlateInput::new(OWNER, &Plate::parse(text).unwrap(), Jurisdiction::parse("US-CT"));
    texts.iter().map(input).collect()
}

fn directory(town: &Town, law_enforcement: bool) -> VerifiedDirectory {
    let officer = OfficerEntry {
        person: [7; 32],
        keys: vec![town.officer.verify_key().0],
        trained_until: Timestamp(town.now.0 + DAY),
        active: true,
        roles: BTreeSet::new(),
    };
    town.verified_directory(&town.directory(vec![officer], law_enforcement))
}

/// The facts of a request as keeper 1 gathers them.
fn facts(town: &Town, asked: &Asked, attachments: &[Vec<u8>]) -> SearchFacts {
    facts_under(town, asked, attachments, directory(town, true))
}

fn facts_under(town: &Town, asked: &Asked, attachments: &[Vec<u8>], own: VerifiedDirectory) -> SearchFacts {
    let trust = Trust::founding(
        OWNER,
        &[
            trust_entry(TrustRole::Agency, &note_signer("alpr.example/agency", 200)),
            trust_entry(TrustRole::Custodian, &note_signer("custodian.example", 220)),
        ],
    );
    let directories = BTreeMap::from([(OWNER, Arc::new(own))]);
    let evidence = Evidence {
        charter: town.charter.charter(),
        trust: &trust,
        withdrawn: &Withdrawn::default(),
        directories: &directories,
        declarations: &[],
        declaration_texts: &BTreeMap::new(),
        overdue_papers: &BTreeMap::new(),
        attachments,
        session: None,
        factors: &BTreeSet::new(),
        paper_uses: 0,
        epochs: vec![],
        epochs_destroyed: 0,
        prior_same_plate_30d: 0,
        requests_last_24h: 0,
        replayed: false,
        ask_human: false,
    };
    let opened = town.opened(0, asked);
    gather(&opened, evidence, town.now).unwrap().facts(&opened, town.now, town.now)
}

#[test]
fn owner_access_rests_on_the_proof_that_the_request_names() {
    let mut town = Town::new(0);
    let proof = proof(&town);
    let digest = SignedObject::parse(&proof).unwrap().digest();
    let mut ask =
        |purpose, digest, disclosures| town.ask_under("AB12345", inputs(&["AB12345"]), purpose, digest, disclosures);
    let good = ask(Purpose::OwnRecord, digest, vec![disclosure()]);
    let unnamed = ask(Purpose::OwnRecord, [0; 32], vec![disclosure()]);
    let unopened = ask(Purpose::OwnRecord, digest, vec![]);
    let other_purpose = ask(Purpose::StolenVehicle, digest, vec![disclosure()]);
    let seen = |asked: &Asked, attachments: &[Vec<u8>]| {
        let facts = facts(&town, asked, attachments);
        (facts.action, facts.registered_owner, facts.co_registrants_consent, facts.plates)
    };
    let with = [proof];
    assert_eq!(seen(&good, &with), (Action::OwnerAccess, true, true, 1));
    assert_eq!(seen(&good, &[]), (Action::OwnerAccess, false, false, 1), "the proof did not come along");
    assert_eq!(seen(&unnamed, &with), (Action::OwnerAccess, false, false, 1), "the request does not name it");
    assert_eq!(seen(&unopened, &with), (Action::OwnerAccess, false, false, 1), "nothing opens its plate");
    assert_eq!(seen(&other_purpose, &with), (Action::Search, false, false, 1), "a search gains nothing by it");
}

#[test]
fn owner_access_covers_the_plate_as_registered_and_no_near_spelling() {
    let mut town = Town::new(0);
    let proof = proof(&town);
    let digest = SignedObject::parse(&proof).unwrap().digest();
    let mut ask =
        |texts: &[&str], purpose| town.ask_under("AB12345", inputs(texts), purpose, digest, vec![disclosure()]);
    // Another 8 for the B is the same key; a character less is another car, which a search may ask for and an owner may not.
    let same = ask(&["AB12345", "A812345"], Purpose::OwnRecord);
    let near = ask(&["AB12345", "AB1234"], Purpose::OwnRecord);
    let search = ask(&["AB12345", "AB1234"], Purpose::StolenVehicle);
    let plates = |asked: &Asked| facts(&town, asked, &[]).plates;
    assert_eq!((plates(&same), plates(&near), plates(&search)), (1, 2, 1));
}

#[test]
fn a_hold_is_decided_as_one_whatever_its_purpose() {
    for purpose in Purpose::ALL {
        assert_eq!(action_of(*purpose, true), Action::HoldEvidence);
    }
    assert_eq!(action_of(Purpose::OwnRecord, false), Action::OwnerAccess);
    assert_eq!(action_of(Purpose::StolenVehicle, false), Action::Search);
}

#[test]
fn an_owner_that_is_no_law_enforcement_agency_has_one_description() {
    let mut town = Town::new(0);
    let asked = town.ask("AB12345", Purpose::OwnRecord);
    for law_enforcement in [true, false] {
        let facts = facts_under(&town, &asked, &[], directory(&town, law_enforcement));
        assert_eq!(facts.officer.agency.law_enforcement, law_enforcement);
        assert_eq!(facts.owner, facts.officer.agency, "two descriptions of one agency would be no request");
    }
}

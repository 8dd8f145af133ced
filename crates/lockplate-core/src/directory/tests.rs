use super::*;
use crate::signed::{Signable as _, VersionOne};
use lockplate_log::note::{NoteSigner, Origin};

const NOW: Timestamp = Timestamp(1_795_356_000);
const AGENCY: AgencyId = AgencyId([2; 16]);
const OWNER: AgencyId = AgencyId([1; 16]);

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap()
}

fn header(issuer: &str) -> Header {
    Header { v: VersionOne, nonce: [1; 16], issued: NOW, issuer: issuer.to_owned() }
}

fn directory() -> Directory {
    let officer = |seed: u8| OfficerEntry {
        person: [seed; 32],
        keys: vec![[seed + 1; 32], [seed + 2; 32]],
        trained_until: NOW,
        active: true,
        roles: BTreeSet::from([Role::Supervisor]),
    };
    Directory {
        header: header("agency"),
        body: DirectoryBody {
            agency: AGENCY,
            name: "Eastport Police Department".to_owned(),
            ori: String::new(),
            state: State::parse("NY").unwrap(),
            level: Level::Local,
            law_enforcement: true,
            serial: 5,
            valid_until: Timestamp(NOW.0 + DIRECTORY_SECONDS_MAX),
            officers: vec![officer(10), officer(20)],
            desk_log: "alpr.eastport.example/log/desk".to_owned(),
            desk_key: signer("desk", 4).verifier_key().clone(),
        },
    }
}

fn check(change: fn(&mut Directory), last_serial: Option<u64>, now: Timestamp) -> Result<VerifiedDirectory> {
    let mut directory = directory();
    change(&mut directory);
    let key = signer("agency", 3);
    let object = SignedObject::parse(&directory.sign(&[&key]).unwrap()).unwrap();
    VerifiedDirectory::verify(&object, &page("NY", Level::Local), &[key.verifier_key().clone()], last_serial, now)
}

/// The agency as a charter describes it.
fn page(state: &str, level: Level) -> AgencyPage {
    AgencyPage {
        id: AGENCY,
        name: "Eastport Police Department".to_owned(),
        state: State::parse(state).unwrap(),
        level,
        desk_log: None,
        url: "https://eastport.example".to_owned(),
        tls_pin: [0; 32],
    }
}

#[test]
fn a_fresh_directory_gives_its_facts() {
    let found = check(|_| (), Some(4), NOW).unwrap();
    let agency = found.agency_facts(BTreeSet::new(), 1);
    assert_eq!((agency.id, agency.state.code(), agency.overdue_papers), (AGENCY, "NY", 1));
    assert!(found.officer_facts(&[11; 32], agency.clone()).unwrap().active);
    assert!(found.officer_facts(&[99; 32], agency).is_none());
    assert!(found.roles(&[11; 32]).unwrap().contains(&Role::Supervisor));
    assert!(found.are_two_persons(&[11; 32], &[21; 32]));
    assert!(!found.are_two_persons(&[11; 32], &[12; 32]), "one person's two keys");
    assert!(!found.are_two_persons(&[11; 32], &[99; 32]));
}

#[test]
fn bad_directories_are_refused() {
    assert!(check(|_| (), None, Timestamp(NOW.0 + DIRECTORY_SECONDS_MAX - 1)).is_ok());
    assert!(check(|_| (), None, Timestamp(NOW.0 + DIRECTORY_SECONDS_MAX)).is_err(), "seven days old");
    assert!(check(|_| (), Some(5), NOW).is_err(), "the same serial");
    assert!(check(|d| d.header.issued.0 += CLOCK_SKEW_SECONDS_MAX + 1, None, NOW).is_err(), "from the future");
    for (what, change) in [
        ("valid for too long", (|d| d.body.valid_until.0 += 1) as fn(&mut Directory)),
        ("federal with a state", |d| d.body.level = Level::Federal),
        ("foreign with a state", |d| d.body.level = Level::Foreign),
        ("local in US", |d| d.body.state = State::parse("US").unwrap()),
        ("another agency", |d| d.body.agency = OWNER),
        ("key twice", |d| d.body.officers[1].keys[0] = [11; 32]),
        ("person twice", |d| d.body.officers[1].person = [10; 32]),
        ("issuer not a signer", |d| d.header.issuer = "another".to_owned()),
    ] {
        assert!(check(change, None, NOW).is_err(), "{what}");
    }
}

#[test]
fn an_agency_is_what_the_charter_says_and_not_what_it_says_of_itself() {
    let key = signer("agency", 3);
    let says = |state: &str, level, known: &AgencyPage| {
        let mut directory = directory();
        (directory.body.state, directory.body.level) = (State::parse(state).unwrap(), level);
        let object = SignedObject::parse(&directory.sign(&[&key]).unwrap()).unwrap();
        VerifiedDirectory::verify(&object, known, &[key.verifier_key().clone()], None, NOW).is_ok()
    };
    let (federal, local, texan) = (page("US", Level::Federal), page("CT", Level::Local), page("TX", Level::Local));
    assert!(says("US", Level::Federal, &federal) && says("CT", Level::Local, &local));
    assert!(!says("CT", Level::Local, &federal), "a federal agency is no town");
    assert!(!says("CT", Level::State, &local), "nor a town a state");
    assert!(!says("NY", Level::Local, &texan), "nor Texas New York, whose agencies may declare");
}

fn trust_list(serial: u64, previous: Option<[u8; 32]>) -> TrustList {
    TrustList { header: header("clerk"), body: TrustListBody { owner: OWNER, serial, previous, entries: vec![] } }
}

#[test]
fn a_trust_list_follows_the_one_before_and_needs_its_quorum() {
    let (clerk, council) = (signer("clerk", 5), signer("council", 6));
    let keys = [clerk.verifier_key().clone(), council.verifier_key().clone()];
    let object = |list: &TrustList, by: &[&NoteSigner]| SignedObject::parse(&list.sign(by).unwrap()).unwrap();
    let founding = Trust::founding(OWNER, &[]);
    let first = object(&trust_list(1, None), &[&clerk, &council]);
    let one = founding.succeed(&first, &keys, 2).unwrap();
    assert_eq!(one.serial(), 1);
    assert!(founding.succeed(&object(&trust_list(1, None), &[&clerk]), &keys, 2).is_err(), "one signer of two");
    assert!(founding.succeed(&object(&trust_list(2, None), &[&clerk, &council]), &keys, 2).is_err(), "serial + 2");
    assert!(one.succeed(&first, &keys, 2).is_err(), "the same again");
    let second = |previous| object(&trust_list(2, previous), &[&clerk, &council]);
    assert!(one.succeed(&second(Some(first.digest())), &keys, 2).is_ok());
    assert!(one.succeed(&second(Some([7; 32])), &keys, 2).is_err(), "forked previous");
    let mut foreign = trust_list(1, None);
    foreign.body.owner = AGENCY;
    assert!(founding.succeed(&object(&foreign, &[&clerk, &council]), &keys, 2).is_err());
}

#[test]
fn declarations() {
    let agency = check(|_| (), None, NOW).unwrap();
    let key = signer("agency", 3);
    let texts = BTreeMap::from([(DeclarationName::Ct2614, [8; 32])]);
    let verify = |change: fn(&mut Declaration), agency: &VerifiedDirectory| {
        let mut declaration = Declaration {
            header: header("agency"),
            body: DeclarationBody {
                agency: AGENCY,
                owner: None,
                declaration: DeclarationName::Ct2614,
                text: [8; 32],
                signer: "A. Example, chief".to_owned(),
                valid_from: NOW,
                valid_until: Timestamp(NOW.0 + DECLARATION_SECONDS_MAX),
                pdf: None,
            },
        };
        change(&mut declaration);
        let object = SignedObject::parse(&declaration.sign(&[&key]).unwrap()).unwrap();
        let connecticut = State::parse("CT").unwrap();
        verify_declaration(&object, agency, &[key.verifier_key().clone()], (OWNER, connecticut), &texts, NOW)
    };
    assert_eq!(verify(|_| (), &agency), Ok(DeclarationName::Ct2614));
    assert!(verify(|d| d.body.owner = Some(OWNER.0), &agency).is_ok());
    let texas = {
        let mut directory = directory();
        directory.body.state = State::parse("TX").unwrap();
        let object = SignedObject::parse(&directory.sign(&[&key]).unwrap()).unwrap();
        let keys = [key.verifier_key().clone()];
        VerifiedDirectory::verify(&object, &page("TX", Level::Local), &keys, None, NOW).unwrap()
    };
    assert!(verify(|_| (), &texas).is_err(), "an agency of another state");
    for (what, change) in [
        ("other words", (|d| d.body.text = [9; 32]) as fn(&mut Declaration)),
        ("expired", |d| d.body.valid_until = NOW),
        ("not yet", |d| d.body.valid_from.0 += 1),
        ("too long", |d| d.body.valid_until.0 += 1),
        ("another owner", |d| d.body.owner = Some([9; 16])),
        ("another agency", |d| d.body.agency = OWNER),
        ("to another state", |d| d.body.declaration = DeclarationName::Il2130c),
        ("no signer", |d| d.body.signer.clear()),
    ] {
        assert!(verify(change, &agency).is_err(), "{what}");
    }
}

#[test]
fn a_person_is_one_under_all_keys() {
    let verified = check(|d| d.body.officers[0].keys.push([9; 32]), None, NOW).unwrap();
    let person = verified.person(&[9; 32]).unwrap();
    assert_eq!((person, verified.person(&[8; 32])), ([10; 32], None));
    assert_eq!(verified.keys_of(&person), BTreeSet::from([[9; 32], [11; 32], [12; 32]]));
}

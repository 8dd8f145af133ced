use super::*;
use crate::directory::OfficerEntry;
use crate::request::{FiledRequest, SecondSignature, check_opening};
use crate::sign::SigningKey;
use crate::town::{Asked, Town};
use crate::vocabulary::Purpose;
use std::collections::BTreeSet;

const DAY: u64 = 86_400;

/// A town whose officer has the seed 50; a supervisor has 51, a colleague 52, and 53 is the officer's own second key.
pub(crate) struct Scene {
    pub(crate) town: Town,
    pub(crate) asked: Asked,
}

pub(crate) fn person(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32]))
}

pub(crate) fn signer(seed: u8) -> NoteSigner {
    let name = officer_name(&person(seed).verify_key().0);
    NoteSigner::new(Origin::parse(&name).unwrap(), &[seed; 32]).unwrap()
}

impl Scene {
    pub(crate) fn new(seconds: &[u8]) -> Self {
        let mut town = Town::new(0);
        town.officer = person(50);
        let mut asked = town.ask("AB12345", Purpose::MissingPerson);
        let request = asked.filed.request.clone();
        let sign = |seed: &u8| SecondSignature {
            key_id: person(*seed).verify_key().0,
            signature: person(*seed).countersign(&request),
        };
        asked.filed = FiledRequest { seconds: seconds.iter().map(sign).collect(), request: request.clone() };
        Self { town, asked }
    }

    fn directory(&self, change: impl FnOnce(&mut Vec<OfficerEntry>)) -> VerifiedDirectory {
        self.town.verified_directory(&self.signed_directory(change))
    }

    pub(crate) fn signed_directory(&self, change: impl FnOnce(&mut Vec<OfficerEntry>)) -> Vec<u8> {
        let entry = |person: u8, seeds: &[u8], roles: &[Role]| OfficerEntry {
            person: [person; 32],
            keys: seeds.iter().map(|seed| self::person(*seed).verify_key().0).collect(),
            trained_until: Timestamp(self.town.now.0 + DAY),
            active: true,
            roles: roles.iter().copied().collect::<BTreeSet<_>>(),
        };
        let mut officers =
            vec![entry(1, &[50, 53], &[Role::Supervisor]), entry(2, &[51], &[Role::Supervisor]), entry(3, &[52], &[])];
        change(&mut officers);
        self.town.directory(officers, true)
    }

    pub(crate) fn exigency(&self) -> Exigency {
        let text = &self.asked.text;
        Exigency {
            header: self.town.header(&officer_name(&person(50).verify_key().0)),
            body: ExigencyBody {
                request_id: self.asked.filed.request.claimed().request_id.0,
                danger: Danger::Abduction,
                facts: facts_digest(&text.salts, &text.statement.statement().facts),
                deadline: Timestamp(self.town.now.0 + DAY),
            },
        }
    }

    fn verify(&self, exigency: &Exigency, seeds: &[u8], directory: &VerifiedDirectory, now: u64) -> Result<Declared> {
        let signers: Vec<_> = seeds.iter().map(|seed| signer(*seed)).collect();
        let object = exigency.sign(&signers.iter().collect::<Vec<_>>()).unwrap();
        let (filed, hashes) = (self.asked.filed.clone(), self.asked.openings.hashes.clone());
        let opened = check_opening(filed, &self.asked.openings.sealed[0], hashes, 0, &self.town.keepers[0].opening);
        verify_exigency(&SignedObject::parse(&object).unwrap(), &opened.unwrap(), directory, Timestamp(now))
    }
}

#[test]
fn two_people_declare_an_emergency_and_its_paper_is_due_in_a_day() {
    let scene = Scene::new(&[51]);
    let now = scene.town.now.0;
    let (exigency, directory) = (scene.exigency(), scene.directory(|_| {}));
    let declared = scene.verify(&exigency, &[50, 51], &directory, now).unwrap();
    assert_eq!(declared.deadline(), Timestamp(now + DAY));
    assert!(scene.verify(&exigency, &[50, 51], &directory, now + DECLARED_SECONDS_MAX).is_ok());
    assert!(scene.verify(&exigency, &[50, 51], &directory, now + DECLARED_SECONDS_MAX + 1).is_err(), "an old one");
    assert!(scene.verify(&exigency, &[50, 51], &directory, now - CLOCK_SKEW_SECONDS_MAX - 1).is_err(), "a future one");
}

#[test]
fn one_signature_or_the_same_person_twice_is_no_emergency() {
    let scene = Scene::new(&[51]);
    let now = scene.town.now.0;
    let (exigency, directory) = (scene.exigency(), scene.directory(|_| {}));
    let with = |seeds: &[u8]| scene.verify(&exigency, seeds, &directory, now).is_ok();
    assert_eq!((with(&[50]), with(&[51]), with(&[50, 51])), (false, false, true));
    // The officer is a supervisor too, and has a second key: still one person.
    let alone = Scene::new(&[53]);
    assert!(alone.verify(&alone.exigency(), &[50, 53], &alone.directory(|_| {}), now).is_err());
    let colleague = Scene::new(&[52]);
    assert!(colleague.verify(&colleague.exigency(), &[50, 52], &colleague.directory(|_| {}), now).is_err());
    // Who signed the declaration signed the request as well.
    let absent = Scene::new(&[]);
    assert!(absent.verify(&absent.exigency(), &[50, 51], &absent.directory(|_| {}), now).is_err());
}

#[test]
fn a_supervisor_who_left_or_whose_training_is_over_does_not_count() {
    let scene = Scene::new(&[51]);
    let now = scene.town.now.0;
    for change in [
        (|officers: &mut Vec<OfficerEntry>| officers[1].active = false) as fn(&mut Vec<OfficerEntry>),
        |officers| officers[1].trained_until = Timestamp(0),
        |officers| drop(officers.remove(1)),
        |officers| officers[1].roles.clear(),
    ] {
        assert!(scene.verify(&scene.exigency(), &[50, 51], &scene.directory(change), now).is_err());
    }
}

#[test]
fn a_declaration_is_for_one_request_its_facts_and_one_day() {
    let scene = Scene::new(&[51]);
    let directory = scene.directory(|_| {});
    for change in [
        (|one: &mut ExigencyBody| one.request_id = [0; 16]) as fn(&mut ExigencyBody),
        |one| one.facts = [0; 32],
        |one| one.deadline.0 += 1,
        |one| one.deadline.0 -= 1,
        |one| one.deadline.0 = u64::from(u32::MAX),
    ] {
        let mut exigency = scene.exigency();
        change(&mut exigency.body);
        assert!(scene.verify(&exigency, &[50, 51], &directory, scene.town.now.0).is_err());
    }
    let mut other_issuer = scene.exigency();
    other_issuer.header.issuer = "somebody".to_owned();
    assert!(scene.verify(&other_issuer, &[50, 51], &directory, scene.town.now.0).is_err());
}

#[test]
fn a_report_is_another_supervisors() {
    let scene = Scene::new(&[51]);
    let (now, directory) = (scene.town.now, scene.directory(|_| {}));
    let digest = scene.asked.filed.request.signed_hash();
    let judge = |seed: u8, request: [u8; 32], directory: &VerifiedDirectory, at: Timestamp| {
        let header = scene.town.header(&officer_name(&person(seed).verify_key().0));
        let report = EmergencyReport { header, body: EmergencyReportBody { request, report: [3; 32] } };
        let object = SignedObject::parse(&report.sign(&[&signer(seed)]).unwrap()).unwrap();
        verify_report(&object, &digest, &person(50).verify_key().0, directory, at)
    };
    assert!(judge(51, digest, &directory, now).is_ok());
    assert!(judge(51, [9; 32], &directory, now).is_err(), "another request");
    assert!(judge(52, digest, &directory, now).is_err(), "no supervisor");
    assert!(judge(53, digest, &directory, now).is_err(), "the officer's own other key");
    assert!(judge(54, digest, &directory, now).is_err(), "a stranger");
    assert!(judge(51, digest, &scene.directory(|officers| officers[1].active = false), now).is_err(), "left");
    assert!(judge(51, digest, &directory, Timestamp(now.0 - 301)).is_err(), "of the future");
}

#[test]
fn what_is_declared_reported_and_sealed_by_this_module_passes_it() {
    let mut scene = Scene::new(&[51]);
    let (now, directory) = (scene.town.now, scene.directory(|_| {}));
    let exigency = scene.exigency().body;
    let what = (exigency.request_id, exigency.danger, exigency.facts);
    let object = declare(what, &person(50), &[person(51)], now, &mut scene.town.rng).unwrap();
    let (filed, hashes) = (scene.asked.filed.clone(), scene.asked.openings.hashes.clone());
    let sealed = &scene.asked.openings.sealed[0];
    let opened = check_opening(filed, sealed, hashes, 0, &scene.town.keepers[0].opening).unwrap();
    assert!(verify_exigency(&SignedObject::parse(&object).unwrap(), &opened, &directory, now).is_ok());
    let digest = scene.asked.filed.request.signed_hash();
    let report = sign_report(digest, [3; 32], &person(51), now, &mut scene.town.rng).unwrap();
    let report = SignedObject::parse(&report).unwrap();
    assert!(verify_report(&report, &digest, &person(50).verify_key().0, &directory, now).is_ok());
    let disclosure = Disclosure::new([1; 16], "plate", &crate::json::Json::text("AB12345")).unwrap();
    let to = scene.town.recipients();
    let sealed = seal_disclosures(&to[0], &digest, std::slice::from_ref(&disclosure), &mut scene.town.rng).unwrap();
    let open = |place: usize, digest| open_disclosures(&scene.town.keepers[place].opening, digest, &sealed);
    assert_eq!(open(0, &digest).unwrap().iter().map(Disclosure::digest).collect::<Vec<_>>(), [disclosure.digest()]);
    assert!(open(1, &digest).is_err(), "another keeper");
    assert!(open(0, &[9; 32]).is_err(), "another request");
}

#[test]
fn an_issuers_name_is_an_officers_or_none() {
    let key = person(50).verify_key().0;
    assert_eq!(officer_of(&officer_name(&key)), Some(key));
    for bad in ["", "officer-", "officer-AAAA", "judge.example", &b64url(&key)] {
        assert_eq!(officer_of(bad), None, "{bad}");
    }
}

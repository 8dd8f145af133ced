use std::os::unix::fs::PermissionsExt as _;

use lockplate_core::Timestamp;
use lockplate_core::authorisation::Paper;
use lockplate_core::charter::{AcceptKeyFiles, CharterFile, LeafWait, LogName, WitnessKind};
use lockplate_core::directory::Declaration;
use lockplate_core::disclosure::Disclosure;
use lockplate_core::embargo::DelayNotice;
use lockplate_core::id::b64url;
use lockplate_core::ownership::Ownership;
use lockplate_core::revocation::Revocation;
use lockplate_core::signed::SignedObject;
use lockplate_core::vocabulary::{ArchiveKind, DeclarationName};
use lockplate_log::note::VerifierKey;
use tempfile::TempDir;

use super::*;
use crate::rng::SystemRng;

fn keeper(folder: &TempDir, place: u8) -> (KeeperFiles, KeeperCard) {
    let keys = folder.path().join(format!("keeper-{place}"));
    std::fs::create_dir_all(&keys).unwrap();
    let files = KeeperFiles::in_folder(&keys);
    let party = KeeperParty {
        name: format!("Keeper {place}"),
        legal_entity: format!("Office {place}"),
        host: format!("k{place}.example"),
        url: format!("https://127.0.0.1:{}", 9_000 + u32::from(place)),
    };
    let card = found_keeper(&files, &[keys.join("human.pem")], &party, &mut SystemRng).unwrap();
    (files, card)
}

fn agency(folder: &TempDir, host: &str, owner: bool) -> (AgencyFiles, AgencyCard) {
    let keys = folder.path().join(host);
    std::fs::create_dir_all(&keys).unwrap();
    let files = AgencyFiles::in_folder(&keys);
    let party = AgencyParty {
        name: "Millbrook Police Department".to_owned(),
        ori: String::new(),
        state: "CT".to_owned(),
        level: "local".to_owned(),
        law_enforcement: true,
        host: host.to_owned(),
        url: "https://127.0.0.1:9000".to_owned(),
        owner,
    };
    let card = found_agency(&files, &party, None, &mut SystemRng).unwrap();
    (files, card)
}

fn terms(folder: &TempDir, trust: Vec<lockplate_core::directory::TrustEntry>) -> CharterTerms {
    let signer = make_note_key(&folder.path().join("policy.pem"), "custodian.example", &mut SystemRng).unwrap();
    CharterTerms {
        archive_kind: ArchiveKind::Police,
        threshold: 2,
        epoch_seconds: 3_600,
        retention_seconds: 21 * 86_400,
        opening_keep_seconds: 366 * 86_400,
        extract_entries_max: 1_000_000,
        accounts_max: 0,
        accept_key_files: AcceptKeyFiles::Own,
        accept_attested: true,
        trust,
        policy: [5; 32],
        policy_signers: vec![signer],
        policy_quorum: 1,
        auditors: Vec::new(),
        audit_percent: 5,
        witnesses: Vec::new(),
        outside_witnesses: 0,
        keeper_leaves: LeafWait::Cosigned,
        agency_leaves: LeafWait::Durable,
        agencies: Vec::new(),
    }
}

/// The charter of an owner of this name with two keepers, signed by all; for tests of what reads charters.
pub(crate) fn signed_charter(name: &str, epoch_seconds: u64) -> CharterFile {
    let folder = tempfile::tempdir().unwrap();
    let (owner_files, owner) = agency(&folder, "alpr.example", true);
    let keepers = [keeper(&folder, 1), keeper(&folder, 2)];
    let cards = [keepers[0].1.clone(), keepers[1].1.clone()];
    let terms = CharterTerms { epoch_seconds, ..terms(&folder, Vec::new()) };
    let charter = draft_charter(&AgencyCard { name: name.to_owned(), ..owner }, &cards, terms).unwrap();
    let mut lines = vec![sign_as_agency(&charter, &owner_files).unwrap().to_string()];
    lines.extend(keepers.iter().map(|(files, _)| sign_as_keeper(&charter, files).unwrap().1.to_string()));
    assemble(&charter, &lines).unwrap()
}

#[test]
fn parties_on_their_own_come_to_one_charter() {
    let folder = TempDir::new().unwrap();
    let (agency_files, owner) = agency(&folder, "alpr.example", true);
    let keepers: Vec<_> = (1..=3).map(|place| keeper(&folder, place)).collect();
    let cards: Vec<_> = keepers.iter().map(|(_, card)| card.clone()).collect();
    let (_, other) = agency(&folder, "eastport.example", false);
    let entry = agency_trust_entry(&other, Timestamp(1), Timestamp(2)).unwrap();
    let charter = draft_charter(&owner, &cards, terms(&folder, vec![entry])).unwrap();
    let text = charter.to_text().unwrap();
    let draft = read_draft(text.as_bytes()).unwrap();
    assert_eq!(draft, charter);
    let mut lines = vec![sign_as_agency(&draft, &agency_files).unwrap().to_string()];
    for ((files, _), place) in keepers.iter().zip(1..) {
        let (index, line) = sign_as_keeper(&draft, files).unwrap();
        assert_eq!(index.0, place);
        lines.push(line.to_string());
    }
    let file = assemble(&draft, &lines).unwrap();
    assert_eq!(CharterFile::verify(file.bytes()).unwrap().hash(), file.hash());
    lines.pop();
    assert!(matches!(assemble(&draft, &lines), Err(FoundingError::Rule(_))), "a keeper's line is missing");
}

#[test]
fn no_charter_of_new_hampshire_keeps_a_read_for_longer_than_three_minutes() {
    let folder = TempDir::new().unwrap();
    let (_, owner) = agency(&folder, "alpr.example", true);
    let keepers: Vec<_> = (1..=3).map(|place| keeper(&folder, place)).collect();
    let cards: Vec<_> = keepers.iter().map(|(_, card)| card.clone()).collect();
    let in_state = |state: &str, epoch_seconds, retention_seconds| {
        let terms = CharterTerms { epoch_seconds, retention_seconds, ..terms(&folder, Vec::new()) };
        draft_charter(&AgencyCard { state: state.to_owned(), ..owner.clone() }, &cards, terms)
    };
    // From the first read of an epoch on: its window, the retention, and the time that an end takes.
    assert!(in_state("NH", 120, 45).is_ok() && in_state("NH", 1, 164).is_ok());
    for (epoch, retention) in [(120, 46), (164, 2), (165, 1), (60, 900), (3_600, 21 * 86_400), (1, 86_400)] {
        match in_state("NH", epoch, retention) {
            Err(FoundingError::Refused(what)) => assert!(what.contains("3 minutes"), "{what}"),
            other => panic!("{epoch} {retention}: {other:?}"),
        }
        assert!(in_state("CT", epoch, retention).is_ok(), "the law of another state");
    }
    // A keeper does not sign what an agency drafted by other means.
    let mut draft = in_state("NH", 120, 45).unwrap();
    assert!(sign_as_keeper(&draft, &keepers[0].0).is_ok());
    draft.retention_seconds = 3_600;
    assert!(matches!(sign_as_keeper(&draft, &keepers[0].0), Err(FoundingError::Refused(_))));
}

#[test]
fn a_keeper_signs_no_draft_with_a_strangers_keys() {
    let folder = TempDir::new().unwrap();
    let (agency_files, owner) = agency(&folder, "alpr.example", true);
    let keepers: Vec<_> = (1..=3).map(|place| keeper(&folder, place)).collect();
    let (files, _) = keeper(&folder, 4);
    let mut cards: Vec<_> = keepers.iter().map(|(_, card)| card.clone()).collect();
    let charter = draft_charter(&owner, &cards, terms(&folder, Vec::new())).unwrap();
    assert!(matches!(sign_as_keeper(&charter, &files), Err(FoundingError::Refused(_))));
    // One key of an entry swapped is enough.
    let (_, stranger) = keeper(&folder, 5);
    cards[0].opening_key = stranger.opening_key;
    let swapped = draft_charter(&owner, &cards, terms(&folder, Vec::new())).unwrap();
    assert!(matches!(sign_as_keeper(&swapped, &keepers[0].0), Err(FoundingError::Refused(_))));
    assert!(sign_as_keeper(&swapped, &keepers[1].0).is_ok());
    let (strangers, _) = agency(&folder, "other.example", true);
    assert!(matches!(sign_as_agency(&charter, &strangers), Err(FoundingError::Refused(_))));
    assert!(sign_as_agency(&charter, &agency_files).is_ok());
}

#[test]
fn keys_are_closed_to_others_and_stay_the_same() {
    let folder = TempDir::new().unwrap();
    let (_, first) = agency(&folder, "alpr.example", true);
    let files = AgencyFiles::in_folder(&folder.path().join("alpr.example"));
    for path in [&files.agency, &files.recorder, &files.desk, &files.tls, &files.device, &files.desk_log] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    let party = AgencyParty {
        name: first.name.clone(),
        ori: String::new(),
        state: "CT".to_owned(),
        level: "local".to_owned(),
        law_enforcement: true,
        host: "alpr.example".to_owned(),
        url: first.url.clone(),
        owner: true,
    };
    assert_eq!(found_agency(&files, &party, Some(&first), &mut SystemRng).unwrap(), first);
}

#[test]
fn a_card_names_no_secret() {
    let folder = TempDir::new().unwrap();
    let (files, card) = keeper(&folder, 1);
    let text = serde_json::to_string(&card).unwrap();
    let seed = std::fs::read_to_string(&files.opening).unwrap();
    assert!(!text.contains(seed.trim()));
    assert!(!text.contains("PRIVATE"));
    assert_eq!(serde_json::from_str::<KeeperCard>(&text).unwrap(), card);
}

#[test]
fn a_warrant_names_its_plate_by_digest_only() {
    let folder = TempDir::new().unwrap();
    let (_, owner) = agency(&folder, "alpr.example", true);
    let key = folder.path().join("judge.pem");
    let vkey = make_note_key(&key, "judge.court.example", &mut SystemRng).unwrap();
    let order = WarrantOrder {
        kind: "search-warrant".to_owned(),
        issuer: "judge.court.example".to_owned(),
        court: "District Court".to_owned(),
        docket: "26-mj-1".to_owned(),
        valid_from: "2026-11-22T00:00:00Z".to_owned(),
        valid_until: "2026-12-22T00:00:00Z".to_owned(),
        requester: owner.id.clone(),
        officer: String::new(),
        owners: vec![owner.id.clone()],
        plates: vec![PlateOrdered { state: "US-CT".to_owned(), text: "AB12345".to_owned() }],
        window: ("2026-11-01T00:00:00Z".to_owned(), "2026-11-22T00:00:00Z".to_owned()),
        purpose: "civilImmigration".to_owned(),
        offence: "none".to_owned(),
        max_requests: 1,
        pdf: String::new(),
        supersedes: String::new(),
    };
    let paper = sign_warrant(&order, &key, Timestamp(1_795_000_000), &mut SystemRng).unwrap();
    let object = SignedObject::parse(&paper.auth).unwrap();
    assert_eq!(object.verify(std::slice::from_ref(&vkey)).unwrap(), [&vkey]);
    assert_eq!(object.digest(), paper.digest);
    assert!(!String::from_utf8(paper.auth).unwrap().contains("AB12345"));
    let terms = object.read::<Paper>().unwrap().terms;
    assert_eq!(Disclosure::parse(&paper.disclosures[0]).unwrap().digest(), terms.plates[0]);
    for spoil in [
        |o: &mut WarrantOrder| o.kind = "detainer".to_owned(),
        |o: &mut WarrantOrder| o.window.0 = "yesterday".to_owned(),
        |o: &mut WarrantOrder| o.purpose = "curiosity".to_owned(),
        |o: &mut WarrantOrder| o.requester = "nobody".to_owned(),
        |o: &mut WarrantOrder| o.plates[0].state = "Connecticut".to_owned(),
        |o: &mut WarrantOrder| o.plates[0].state = "CT".to_owned(),
        |o: &mut WarrantOrder| o.plates[0].state = "US-ZZ".to_owned(),
        |o: &mut WarrantOrder| o.plates[0].text = "AB1*".to_owned(),
    ] {
        let mut bad = order.clone();
        spoil(&mut bad);
        assert!(sign_warrant(&bad, &key, Timestamp(1), &mut SystemRng).is_err());
    }
    // What no keeper would believe is not signed, and the field is named.
    type Spoil = fn(&mut WarrantOrder);
    let nonsense: [(&str, Spoil); 5] = [
        ("valid_until: not after", |o| o.valid_until = "2026-11-21T00:00:00Z".to_owned()),
        ("valid_until: not after", |o| o.valid_until.clone_from(&o.valid_from)),
        ("valid_until: more than 366 days", |o| o.valid_until = "2027-11-23T00:00:01Z".to_owned()),
        ("window: ends", |o| o.window.1.clone_from(&o.window.0)),
        ("max_requests: ", |o| o.max_requests = 0),
    ];
    for (what, spoil) in nonsense {
        let mut bad = order.clone();
        spoil(&mut bad);
        match sign_warrant(&bad, &key, Timestamp(1), &mut SystemRng) {
            Err(FoundingError::Refused(said)) => assert!(said.starts_with(what), "{said}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    let mut longest = order.clone();
    longest.valid_until = "2027-11-23T00:00:00Z".to_owned();
    assert!(sign_warrant(&longest, &key, Timestamp(1), &mut SystemRng).is_ok(), "366 days");
}

#[test]
fn digests_in_orders_are_hexadecimal_digits_or_base64url() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("judge.pem");
    make_note_key(&key, "judge.court.example", &mut SystemRng).unwrap();
    let revoke = |object: &str| {
        let order = RevocationOrder {
            kind: "revocation".to_owned(),
            issuer: "judge.court.example".to_owned(),
            object: object.to_owned(),
            key: String::new(),
            reason: "mistake".to_owned(),
            from: "2026-11-22T00:00:00Z".to_owned(),
        };
        let paper = Order::Revocation(order).sign(&key, Timestamp(1), &mut SystemRng)?;
        let body = SignedObject::parse(&paper.auth).unwrap().read::<Revocation>().unwrap().body;
        Ok::<_, FoundingError>(body.object)
    };
    let digest = [0xa7; 32];
    assert_eq!(revoke(&hex::encode(digest)).unwrap(), Some(digest));
    assert_eq!(revoke(&hex::encode_upper(digest)).unwrap(), Some(digest));
    assert_eq!(revoke(&b64url(&digest)).unwrap(), Some(digest));
    for bad in [hex::encode([1; 31]), hex::encode([1; 33]), b64url(&[1; 31]), "g".repeat(64)] {
        assert!(matches!(revoke(&bad), Err(FoundingError::Refused("object: not a digest"))), "{bad}");
    }
}

#[test]
fn the_orders_of_the_manual_are_signed_as_they_stand_there() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key.pem");
    let vkey = make_note_key(&key, "judge.district-court.example", &mut SystemRng).unwrap().to_string();
    let manual = include_str!("../../../../docs/operating.md");
    for kind in ["search-warrant", "trust-list", "revocation"] {
        let start = manual.find(&format!("{{\"kind\":\"{kind}\",\"issuer\"")).unwrap();
        let text = manual[start..].split("```").next().unwrap();
        // The example of a revocation is followed by another order.
        let text = text.split("\n{\"kind\"").next().unwrap().replace("VKEY", &vkey);
        let text = text.replace("council.millbrook.example", "judge.district-court.example");
        let order = Order::from_json(text.as_bytes()).unwrap();
        let paper = order.sign(&key, Timestamp(1_795_000_000), &mut SystemRng).unwrap();
        assert!(SignedObject::parse(&paper.auth).is_ok(), "{kind}");
    }
}

#[test]
fn an_order_is_told_by_its_kind_and_signed_without_its_names() {
    let folder = TempDir::new().unwrap();
    let (_, owner) = agency(&folder, "alpr.example", true);
    let key = folder.path().join("custodian.pem");
    let vkey = make_note_key(&key, "custodian.example", &mut SystemRng).unwrap();
    let ownership = format!(
        r#"{{"kind":"ownership","issuer":"custodian.example","owner":"{}","person":"R. Roe, 1 Elm Street",
        "plates":[{{"state":"US-CT","text":"AB12345"}}],"registered":true,"co_registrants_consent":false,
        "until":"2026-12-22T00:00:00Z"}}"#,
        owner.id
    );
    let order = Order::from_json(ownership.as_bytes()).unwrap();
    assert!(order.expose_words().iter().any(|line| line.contains("AB12345")));
    let paper = order.sign(&key, Timestamp(1_795_000_000), &mut SystemRng).unwrap();
    let text = String::from_utf8(paper.auth.clone()).unwrap();
    assert!(!text.contains("AB12345") && !text.contains("Roe"));
    let object = SignedObject::parse(&paper.auth).unwrap();
    assert_eq!(object.verify(std::slice::from_ref(&vkey)).unwrap(), [&vkey]);
    let body = object.read::<Ownership>().unwrap().body;
    assert!(body.registered && !body.co_registrants_consent);
    assert_eq!(Disclosure::parse(&paper.disclosures[0]).unwrap().digest(), body.plates[0]);
    assert_eq!(Disclosure::parse(&paper.person.unwrap()).unwrap().digest(), body.person);

    let request = hex::encode([4; 32]);
    let delay = format!(
        r#"{{"kind":"delay-notice","issuer":"custodian.example","court":"District Court","docket":"1",
        "request":"{request}","until":"2026-12-22T00:00:00Z"}}"#
    );
    let paper = Order::from_json(delay.as_bytes()).unwrap().sign(&key, Timestamp(1), &mut SystemRng).unwrap();
    let object = SignedObject::parse(&paper.auth).unwrap();
    assert_eq!(object.read::<DelayNotice>().unwrap().body.request, [4; 32]);
    assert!(paper.disclosures.is_empty() && paper.person.is_none());

    for (from, to) in [("2026-12-22", "2026-13-22"), (request.as_str(), ""), (request.as_str(), "x")] {
        let bad = Order::from_json(delay.replace(from, to).as_bytes()).unwrap();
        assert!(bad.sign(&key, Timestamp(1), &mut SystemRng).is_err(), "{to}");
    }
    for bad in [
        delay.replace("docket", "dokket"),
        ownership.replace("delay-notice", "x").replace("person", "name"),
        "{}".to_owned(),
    ] {
        assert!(Order::from_json(bad.as_bytes()).is_err());
    }
}

#[test]
fn witnesses_auditors_and_requesters_enter_the_charter_by_their_cards() {
    let folder = TempDir::new().unwrap();
    let (_, owner) = agency(&folder, "alpr.example", true);
    let (_, other) = agency(&folder, "eastport.example", false);
    let keepers: Vec<_> = (1..=3).map(|place| keeper(&folder, place)).collect();
    let mut cards: Vec<_> = keepers.iter().map(|(_, card)| card.clone()).collect();
    let at = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let party = WitnessParty {
        name: "Library".to_owned(),
        operator: "Millbrook Library".to_owned(),
        host: "library.example".to_owned(),
        url: "https://library.example".to_owned(),
        kind: WitnessKind::Mirror,
    };
    let files = WitnessFiles::in_folder(&at("library"));
    let witness = found_witness(&files, &party, &mut SystemRng).unwrap();
    assert_eq!(found_witness(&files, &party, &mut SystemRng).unwrap(), witness, "the keys stay the same");
    let auditor = AuditorFiles::in_folder(&at("auditor"));
    let auditor = found_auditor(&auditor, "State auditor", "auditor.example", &mut SystemRng).unwrap();
    let with = |witness: &WitnessCard| CharterTerms {
        auditors: vec![auditor_entry(&auditor).unwrap()],
        witnesses: vec![witness.clone()],
        outside_witnesses: 1,
        agencies: vec![other.clone()],
        ..terms(&folder, vec![auditor_trust_entry(&auditor, Timestamp(1), Timestamp(2)).unwrap()])
    };
    let charter = draft_charter(&owner, &cards, with(&witness)).unwrap();
    assert_eq!(charter.logs().count(), 6, "three keepers, the recorder, two desks");
    assert_eq!(charter.agencies[1].desk_log.as_ref().unwrap().to_string(), other.desk_log_key);
    let log = LogName::Desk(charter.agencies[1].id);
    let trust_file = charter.witness_policy(&log).unwrap().to_text();
    assert!(trust_file.contains(&witness.vkey) && trust_file.contains(" https://library.example/witness\n"));
    assert!(auditor_entry(&AuditorCard { schema: witness.schema.clone(), ..auditor.clone() }).is_err());
    assert!(
        draft_charter(&owner, &cards, with(&WitnessCard { kind: "friend".to_owned(), ..witness.clone() })).is_err()
    );
    assert!(draft_charter(&owner, &cards, with(&WitnessCard { schema: String::new(), ..witness.clone() })).is_err());
    // A keeper whose witness key was swapped for the library's does not sign.
    cards[0].witness_key = witness.vkey.clone();
    let swapped = draft_charter(&owner, &cards, terms(&folder, Vec::new())).unwrap();
    assert!(matches!(sign_as_keeper(&swapped, &keepers[0].0), Err(FoundingError::Refused(_))));
    assert!(sign_as_keeper(&swapped, &keepers[1].0).is_ok());
}

#[test]
fn a_declaration_carries_the_digest_of_the_words_in_the_repository() {
    let folder = TempDir::new().unwrap();
    let (files, card) = agency(&folder, "eastport.example", false);
    let terms = DeclarationTerms {
        declaration: DeclarationName::Ct2614,
        owner: None,
        signer: "R. Doe, Chief".to_owned(),
        valid_from: Timestamp(1),
        valid_until: Timestamp(86_400),
    };
    let bytes = sign_declaration(&card, &files.agency, &terms, Timestamp(1), &mut SystemRng).unwrap();
    let object = SignedObject::parse(&bytes).unwrap();
    let vkey = VerifierKey::parse(&card.agency_key).unwrap();
    assert!(object.verify(&[vkey]).is_ok());
    let body = object.read::<Declaration>().unwrap().body;
    assert_eq!(declaration_texts().get(&DeclarationName::Ct2614), Some(&body.text));
    let texts: std::collections::BTreeSet<_> = declaration_texts().into_values().collect();
    assert_eq!(texts.len(), DeclarationName::ALL.len(), "each has words of its own");
}

#[test]
fn a_missing_folder_of_a_person_is_told_before_any_key_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let party = KeeperParty {
        name: "Keeper 1".to_owned(),
        legal_entity: "Office 1".to_owned(),
        host: "k1.example".to_owned(),
        url: "https://127.0.0.1:9000".to_owned(),
    };
    let human = folder.path().join("no-such-medium/clerk.pem");
    let humans = [folder.path().join("here.pem"), human.clone()];
    let files = KeeperFiles::in_folder(&keys);
    let error = found_keeper(&files, &humans, &party, &mut SystemRng).unwrap_err();
    assert_eq!(error.exit_kind(), ExitKind::Config);
    let (said, wanted) = (error.to_string(), format!("mkdir -p -m 700 {}", human.parent().unwrap().display()));
    assert!(said.starts_with(&human.display().to_string()) && said.ends_with(&wanted), "{said}");
    assert!(std::fs::read_dir(&keys).unwrap().next().is_none() && !humans[0].exists(), "nothing was made");
    std::fs::create_dir(human.parent().unwrap()).unwrap();
    assert!(found_keeper(&files, &humans, &party, &mut SystemRng).is_ok());
}

#[test]
fn a_passkeys_file_and_a_key_file_stand_on_one_card_by_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, passkey) = (folder.path().join("keys"), folder.path().join("clerk.json"));
    std::fs::create_dir(&keys).unwrap();
    let enrolled = crate::passkeys::tests::sample();
    std::fs::write(&passkey, serde_json::to_vec(&enrolled.to_file()).unwrap()).unwrap();
    let party = KeeperParty {
        name: "Clerk".to_owned(),
        legal_entity: "Clerk".to_owned(),
        host: "clerk.example".to_owned(),
        url: "https://clerk.example".to_owned(),
    };
    let humans = [passkey.clone(), folder.path().join("deputy.pem")];
    let files = KeeperFiles::in_folder(&keys);
    let card = found_keeper(&files, &humans, &party, &mut SystemRng).unwrap();
    let deputy = make_person_key(&humans[1], &mut SystemRng).unwrap();
    assert_eq!(card.human_keys, [b64url(&enrolled.passkey.key.id()), b64url(&deputy)]);
    // A torn file is told, and no key is made in its place.
    std::fs::write(&passkey, "{}").unwrap();
    assert!(matches!(found_keeper(&files, &humans, &party, &mut SystemRng), Err(FoundingError::Passkey(_))));
    assert_eq!(std::fs::read(&passkey).unwrap(), b"{}");
}

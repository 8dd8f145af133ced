use super::*;
use lockplate_log::note::Origin;
use proptest::prelude::*;

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap()
}

fn keeper_signer(place: u8) -> NoteSigner {
    signer(&format!("keeper{place}.millbrook.example/keeper"), place)
}

fn keeper(place: u8) -> KeeperEntry {
    KeeperEntry {
        index: KeeperIndex(place),
        legal_entity: format!("Entity {place}"),
        name: format!("Keeper {place}"),
        key: keeper_signer(place).verifier_key().clone(),
        opening_key: [place; OPENING_KEY_BYTES],
        log_key: signer(&format!("keeper{place}.millbrook.example/log/keeper"), place + 40).verifier_key().clone(),
        url: format!("https://keeper{place}.millbrook.example"),
        tls_pin: [place; 32],
        human_keys: vec![[place + 80; 32]],
    }
}

fn agency() -> NoteSigner {
    signer("alpr.millbrook.example/agency", 200)
}

fn charter() -> Charter {
    Charter {
        v: VersionOne,
        kind: CharterKind::Charter,
        owner: Owner {
            id: AgencyId([1; 16]),
            name: "Millbrook Police Department".to_owned(),
            state: State::parse("CT").unwrap(),
            level: Level::Local,
        },
        archive_kind: ArchiveKind::Police,
        agency_key: agency().verifier_key().clone(),
        archive: ArchiveEntry {
            url: "https://alpr.millbrook.example".to_owned(),
            tls_pin: [9; 32],
            log_key: signer("alpr.millbrook.example/log/recorder", 201).verifier_key().clone(),
        },
        recorders: vec![RecorderEntry { id: RecorderId([2; 16]), key: [202; 32] }],
        keepers: (1..=3).map(keeper).collect(),
        threshold: 2,
        auditors: vec![AuditorEntry { name: "State auditor".to_owned(), opening_key: [77; OPENING_KEY_BYTES] }],
        trust: vec![],
        policy: [5; 32],
        policy_signers: vec![
            signer("clerk", 210).verifier_key().clone(),
            signer("council", 211).verifier_key().clone(),
        ],
        policy_quorum: 2,
        epoch_seconds: 3_600,
        retention_seconds: 21 * 86_400,
        opening_keep_seconds: 2 * OPENING_KEEP_SECONDS_MIN,
        accept_key_files: AcceptKeyFiles::Own,
        accept_attested: true,
    }
}

fn all_signatures(charter: &Charter) -> Vec<NoteSignature> {
    let mut lines = vec![charter.sign(&agency()).unwrap()];
    lines.extend(charter.keepers.iter().map(|keeper| charter.sign(&keeper_signer(keeper.index.0)).unwrap()));
    lines
}

#[test]
fn a_charter_signed_by_all_comes_back_with_its_hash() {
    let charter = charter();
    let file = CharterFile::assemble(&charter, all_signatures(&charter)).unwrap();
    let again = CharterFile::verify(file.bytes()).unwrap();
    assert_eq!(again, file);
    assert_eq!(again.charter(), &charter);
    assert_eq!(again.hash(), th("charter", &[charter.to_text().unwrap().as_bytes()]));
    assert_eq!((again.threshold().t(), again.threshold().n()), (2, 3));
    assert!(file.bytes().len() <= CHARTER_BYTES_MAX);
}

#[test]
fn every_party_must_have_signed() {
    let charter = charter();
    for missing in 0..4 {
        let mut lines = all_signatures(&charter);
        lines.remove(missing);
        assert!(CharterFile::assemble(&charter, lines).is_err(), "{missing}");
    }
    let other = Charter { threshold: 3, ..charter.clone() };
    let mut lines = all_signatures(&charter);
    lines[1] = other.sign(&keeper_signer(1)).unwrap();
    assert!(CharterFile::assemble(&charter, lines).is_err(), "a signature over another charter");
}

#[test]
fn altered_and_extended_charters_are_refused() {
    let charter = charter();
    let file = CharterFile::assemble(&charter, all_signatures(&charter)).unwrap();
    let text = String::from_utf8(file.bytes().to_vec()).unwrap();
    for (from, to) in [
        ("\"threshold\":2", "\"threshold\":3"),
        ("\"v\":1", "\"v\":2"),
        ("\"v\":1", "\"v\":1,\"w\":1"),
        ("\"kind\":\"charter\",", ""),
    ] {
        assert!(text.contains(from));
        assert!(CharterFile::verify(text.replace(from, to).as_bytes()).is_err(), "{to}");
    }
}

#[test]
fn each_rule_broken_alone_is_refused() {
    let broken = |change: fn(&mut Charter)| {
        let mut changed = charter();
        change(&mut changed);
        changed.to_text().is_err()
    };
    assert!(!broken(|_| ()));
    for (what, change) in [
        ("t = 1", (|c| c.threshold = 1) as fn(&mut Charter)),
        ("t > n", |c| c.threshold = 4),
        ("n = 17", |c| c.keepers = (1..=17).map(keeper).collect()),
        ("no keepers", |c| c.keepers.clear()),
        ("gap", |c| c.keepers[2].index = KeeperIndex(4)),
        ("place twice", |c| c.keepers[2].index = KeeperIndex(2)),
        ("key twice", |c| c.keepers[2].key = c.keepers[1].key.clone()),
        ("log key is signing key", |c| c.keepers[0].log_key = c.keepers[0].key.clone()),
        ("opening key twice", |c| c.keepers[2].opening_key = c.keepers[1].opening_key),
        ("http", |c| c.keepers[0].url = "http://x.example".to_owned()),
        ("final slash", |c| c.archive.url = "https://x.example/".to_owned()),
        ("no name", |c| c.keepers[0].legal_entity = " ".to_owned()),
        ("long name", |c| c.owner.name = "x".repeat(NAME_CHARS_MAX + 1)),
        ("federal in a state", |c| c.owner.level = Level::Federal),
        ("local in US", |c| c.owner.state = State::parse("US").unwrap()),
        ("no recorder", |c| c.recorders.clear()),
        ("recorder twice", |c| c.recorders.push(RecorderEntry { id: c.recorders[0].id, key: [3; 32] })),
        ("auditor twice", |c| c.auditors.push(c.auditors[0].clone())),
        ("quorum 0", |c| c.policy_quorum = 0),
        ("quorum over signers", |c| c.policy_quorum = 3),
        ("epoch too short", |c| c.epoch_seconds = 0),
        ("epoch too long", |c| c.epoch_seconds = 86_401),
        ("no retention", |c| c.retention_seconds = 0),
        ("openings too short", |c| c.opening_keep_seconds = OPENING_KEEP_SECONDS_MIN - 1),
    ] {
        assert!(broken(change), "{what}");
    }
}

#[test]
fn the_custody_label_counts_legal_entities() {
    let mut charter = charter();
    assert!(!charter.custody_label());
    assert_eq!(charter.legal_entities(), 3);
    charter.keepers[2].legal_entity = " entity  1".to_owned();
    assert!(charter.custody_label(), "spelling does not make a second party");
    assert_eq!(charter.legal_entities(), 2);
    charter.threshold = 3;
    assert!(!charter.custody_label());
}

#[test]
fn sixteen_keepers_fit_the_file() {
    let mut charter = charter();
    charter.keepers = (1..=16).map(keeper).collect();
    charter.threshold = 16;
    let file = CharterFile::assemble(&charter, all_signatures(&charter)).unwrap();
    assert!(file.bytes().len() <= CHARTER_BYTES_MAX);
}

#[test]
fn destroy_after_is_the_retention_after_the_window() {
    assert_eq!(charter().destroy_after(1_000), 1_000 + 21 * 86_400);
    assert_eq!(charter().destroy_after(u64::MAX), u64::MAX);
}

proptest! {
    #[test]
    fn reading_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(CharterFile::verify(&bytes));
    }
}

use super::*;
use crate::Timestamp;
use crate::directory::TrustRole;
use lockplate_log::cosignature::CosignatureSigner;
use lockplate_log::note::Origin;
use proptest::prelude::*;

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap()
}

/// No seed of [`signer`].
fn other_seed(kind: u8, seed: u8) -> [u8; 32] {
    let mut bytes = [seed; 32];
    bytes[0] = kind;
    bytes
}

fn witness_key(name: &str, seed: u8) -> VerifierKey {
    let signer = CosignatureSigner::new(Origin::parse(name).unwrap(), &other_seed(0, seed)).unwrap();
    signer.verifier_key().clone()
}

fn desk_log(place: u8) -> VerifierKey {
    let name = Origin::parse(&format!("agency{place}.example/log/desk")).unwrap();
    NoteSigner::new(name, &other_seed(255, place)).unwrap().verifier_key().clone()
}

fn outsider(place: u8) -> WitnessEntry {
    WitnessEntry {
        name: format!("Outsider {place}"),
        operator: format!("Library {place}"),
        key: witness_key(&format!("library{place}.example/witness"), place + 100),
        url: format!("https://library{place}.example"),
        tls_pin: [place; 32],
        kind: WitnessKind::Mirror,
    }
}

fn requester(place: u8) -> AgencyPage {
    AgencyPage {
        id: AgencyId([place; 16]),
        name: format!("Agency {place}"),
        state: State::parse("NY").unwrap(),
        level: Level::County,
        desk_log: Some(desk_log(place)),
        url: format!("https://agency{place}.example"),
        tls_pin: [place; 32],
    }
}

/// One without a desk, whose id is no other one's.
fn further(at: u8) -> AgencyPage {
    let id = AgencyId(core::array::from_fn(|byte| if byte == 0 { at } else { 200 }));
    AgencyPage { id, desk_log: None, ..requester(at) }
}

fn trusted(place: u8, role: TrustRole) -> TrustEntry {
    let name = format!("{}{place}.example/key", role.name());
    TrustEntry {
        name: if role == TrustRole::Agency { String::new() } else { format!("Hon. Number {place}") },
        role,
        court: if role == TrustRole::Judge { format!("Superior Court {place}") } else { String::new() },
        vkey: NoteSigner::new(
            Origin::parse(&name).unwrap(),
            &[place; 32].map(|byte| byte ^ u8::from(role == TrustRole::Judge)),
        )
        .unwrap()
        .verifier_key()
        .clone(),
        rp_id: String::new(),
        origins: Vec::new(),
        valid_from: Timestamp(1_790_000_000),
        valid_until: Timestamp(1_850_000_000),
        may_issue: false,
        agency: (role == TrustRole::Agency).then_some([place; 16]),
    }
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
        witness_key: witness_key(&format!("keeper{place}.millbrook.example/witness"), place + 60),
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
        witnesses: vec![outsider(1), outsider(2)],
        outside_witnesses: 1,
        keeper_leaves: LeafWait::Cosigned,
        agency_leaves: LeafWait::Durable,
        agencies: vec![
            AgencyPage {
                id: AgencyId([1; 16]),
                name: "Millbrook Police Department".to_owned(),
                state: State::parse("CT").unwrap(),
                level: Level::Local,
                desk_log: Some(signer("alpr.millbrook.example/log/desk", 203).verifier_key().clone()),
                url: "https://alpr.millbrook.example".to_owned(),
                tls_pin: [9; 32],
            },
            requester(30),
            AgencyPage { desk_log: None, ..requester(31) },
        ],
        audit_percent: 5,
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
        extract_entries_max: 1_000_000,
        accounts_max: 0,
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
fn a_day_has_room_for_twice_its_windows() {
    let epochs = |epoch_seconds| Charter { epoch_seconds, ..charter() }.live_epochs_per_day_max();
    assert_eq!([3_600, 864, 863, 120, 1].map(epochs), [200, 200, 202, 1_440, 172_800]);
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
        ("witness key of a log", |c| {
            c.keepers[0].witness_key = signer("keeper1.millbrook.example/witness", 61).verifier_key().clone()
        }),
        ("witness key twice", |c| c.keepers[1].witness_key = c.keepers[0].witness_key.clone()),
        ("log key that cosigns", |c| c.keepers[0].log_key = witness_key("keeper1.millbrook.example/log/keeper", 41)),
        ("witness key of a keeper's log", |c| {
            let name = Origin::parse("keeper1.millbrook.example/witness").unwrap();
            let key = c.keepers[0].log_key.public_key().to_vec();
            c.keepers[0].witness_key = VerifierKey::new(name, SignatureType::CosignatureV1, &key).unwrap();
        }),
        ("outsider of the owner", |c| c.witnesses[0].operator = "millbrook  police department".to_owned()),
        ("outsider of a keeper", |c| c.witnesses[0].operator = "ENTITY 2".to_owned()),
        ("outsiders of one operator", |c| c.witnesses[1].operator = "library 1".to_owned()),
        ("outsider without a name", |c| c.witnesses[0].name.clear()),
        ("outsider over http", |c| c.witnesses[0].url = "http://x.example".to_owned()),
        ("address with a space", |c| c.witnesses[0].url = "https://x.example/a b".to_owned()),
        ("outsider with a note key", |c| c.witnesses[0].key = signer("x.example/witness", 150).verifier_key().clone()),
        ("more outsiders asked than are", |c| c.outside_witnesses = 3),
        ("too many outsiders", |c| c.witnesses = (1..=16).map(outsider).collect()),
        ("no agency", |c| c.agencies.clear()),
        ("too many agencies", |c| c.agencies.extend((0..=253).map(further))),
        ("agency twice", |c| c.agencies[1].id = c.agencies[2].id),
        ("owner absent", |c| drop(c.agencies.remove(0))),
        ("owner by another name", |c| c.agencies[0].name = "Somebody".to_owned()),
        ("agency without a name", |c| c.agencies[1].name.clear()),
        ("agency over http", |c| c.agencies[1].url = "http://x.example".to_owned()),
        ("federal agency in a state", |c| c.agencies[1].level = Level::Federal),
        ("desk log that cosigns", |c| c.agencies[1].desk_log = Some(witness_key("agency30.example/log/desk", 30))),
        ("desk with the recorder's origin", |c| {
            c.agencies[1].desk_log = Some(signer("alpr.millbrook.example/log/recorder", 30).verifier_key().clone())
        }),
        ("nothing audited", |c| c.audit_percent = 0),
        ("more than all audited", |c| c.audit_percent = 101),
        ("openings too short", |c| c.opening_keep_seconds = OPENING_KEEP_SECONDS_MIN - 1),
        ("no entries of an extract", |c| c.extract_entries_max = 0),
        ("too many entries of an extract", |c| c.extract_entries_max = EXTRACT_ENTRIES_MAX + 1),
        ("accounts of the police", |c| c.accounts_max = 1),
        ("an extract of an operator", |c| c.archive_kind = ArchiveKind::Toll),
        ("too many accounts", |c| {
            (c.archive_kind, c.extract_entries_max) = (ArchiveKind::Parking, 0);
            c.accounts_max = ACCOUNTS_MAX + 1;
        }),
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
fn the_bounds_of_witnesses_and_agencies_are_reached() {
    let mut charter = charter();
    charter.witnesses = (1..=15).map(outsider).collect();
    charter.outside_witnesses = 15;
    charter.agencies.extend((0..=252).map(further));
    // The key of each, and as many of judges.
    charter.trust =
        (0..=u8::MAX).flat_map(|at| [trusted(at, TrustRole::Agency), trusted(at, TrustRole::Judge)]).collect();
    charter.audit_percent = 100;
    charter.extract_entries_max = EXTRACT_ENTRIES_MAX;
    assert_eq!((charter.agencies.len(), charter.trust.len()), (AGENCIES_MAX, TRUST_ENTRIES_MAX));
    assert_eq!(charter.witnesses.len(), WITNESSES_MAX);
    charter.to_text().unwrap();
}

#[test]
fn logs_stand_where_their_parties_are() {
    let charter = charter();
    let desk = |id| LogName::Desk(AgencyId([id; 16]));
    let names: Vec<_> = charter.logs().map(|log| log.name).collect();
    let keeper = |place| LogName::Keeper(KeeperIndex(place));
    assert_eq!(names, [keeper(1), keeper(2), keeper(3), LogName::Recorder, desk(1), desk(30)]);
    let log = charter.log(&desk(30)).unwrap();
    assert_eq!((log.url().as_str(), log.tls_pin), ("https://agency30.example/log/desk", [30; 32]));
    let url = |name| charter.log(&name).unwrap().url();
    assert_eq!(url(keeper(2)), "https://keeper2.millbrook.example/log/keeper");
    assert_eq!(url(LogName::Recorder), "https://alpr.millbrook.example/log/recorder");
    assert_eq!(charter.log(&desk(31)), None, "an agency without a desk has no log");
    assert!(charter.witness_policy(&desk(31)).is_err());
    assert!(charter.witness_policy(&keeper(4)).is_err());
}

/// Whether those keepers and outsiders are a quorum of a log.
fn quorum(charter: &Charter, log: LogName, keepers: &[u8], outsiders: &[u8]) -> bool {
    let policy = charter.witness_policy(&log).unwrap();
    policy.is_quorum(&|key| {
        keepers.iter().any(|place| *key == keeper(*place).witness_key)
            || outsiders.iter().any(|place| *key == outsider(*place).key)
    })
}

#[test]
fn the_quorum_counts_others_keepers_and_outsiders_apart() {
    let mut charter = charter();
    let own = LogName::Keeper(KeeperIndex(1));
    for (keepers, outsiders, of_keeper, of_agency) in [
        (&[][..], &[1, 2][..], false, false),
        (&[1], &[1, 2], false, false),
        (&[2], &[], false, false),
        (&[2], &[1], true, false),
        (&[1, 3], &[2], true, true),
        (&[1, 2, 3], &[], false, false),
    ] {
        assert_eq!(quorum(&charter, own, keepers, outsiders), of_keeper, "{keepers:?} {outsiders:?}");
        for log in [LogName::Recorder, LogName::Desk(AgencyId([30; 16]))] {
            assert_eq!(quorum(&charter, log, keepers, outsiders), of_agency, "{keepers:?} {outsiders:?}");
        }
    }
    charter.outside_witnesses = 0;
    assert!(quorum(&charter, own, &[3], &[]) && !quorum(&charter, own, &[1], &[1, 2]));
    let text = charter.witness_policy(&own).unwrap().to_text();
    assert!(text.contains("library1.example/witness"), "an outsider that need not cosign is known all the same");
    assert!(!text.contains("keeper1.millbrook.example/witness"), "nobody witnesses himself");
    assert!(text.ends_with("quorum keepers\n"));
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

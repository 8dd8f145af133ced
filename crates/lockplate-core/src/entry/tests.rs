use super::*;
use crate::id::{b64url, from_b64url};
use proptest::prelude::*;

const ORIGIN: &str = "clerk.millbrook.example/log/keeper";
const TIME: Timestamp = Timestamp(1_795_356_007);
const GOLDEN: &str = include_str!("../../../../spec/vectors/v1/leaves.txt");

fn digests<const N: usize>() -> SaltedDigests<N> {
    SaltedDigests::new((0..N).map(|i| [u8::try_from(i).unwrap(); 32]).collect()).unwrap()
}

fn request() -> RequestLeaf {
    RequestLeaf {
        request: [1; 32],
        owner: AgencyId([2; 16]),
        requester: AgencyId([3; 16]),
        on_behalf_of: AgencyId([3; 16]),
        officer: [4; 10],
        action: Action::Search,
        purpose: Purpose::StolenVehicle,
        basis: Basis::ReasonableSuspicion,
        assurance: Assurance::None,
        judicial: false,
        emergency: false,
        authorisation: None,
        elements: 2,
        window_days: 7,
        epochs_allowed: 168,
        epochs_refused: 0,
        decision: RequestDecision::Allow,
        rules: BTreeSet::from(["base.search".to_owned()]),
        obligations: Some(Obligations { approvers: 0, retain_days: 30, notice_days: 180, confirm_visual: true }),
        policy: [5; 32],
        engine: "cedar-policy 4.14.1".to_owned(),
        embargo: Timestamp(TIME.0 + 180 * 86_400),
        sd: digests(),
        sd_alg: SdAlgorithm::Sha256,
        escrow: vec![Escrow { auditor: [6; 32], opening: [7; 32] }],
    }
}

fn all() -> Vec<(LogKind, LogEntry)> {
    use LogKind::{Desk, Keeper, Recorder};
    let (header, grant, owner) = ([8; 32], [9; 32], AgencyId([2; 16]));
    let index = KeeperIndex(1);
    let key = |name| {
        LogEntry::Key(KeyLeaf {
            entry: KeyChanged { subject: KeySubject::Court, change: KeyChange::Enrol, list: [10; 32], effective: TIME },
            name,
        })
    };
    let dealt = EpochDealt {
        owner,
        recorder: RecorderId([11; 16]),
        header,
        cap_from: Timestamp(1_795_352_400),
        cap_to: Timestamp(1_795_356_000),
        destroy_after: Timestamp(1_797_170_400),
        kind: EpochKind::Live,
        t: 2,
        n: 3,
    };
    let closed = EpochClosed { header, root: [12; 32], cells: 4_096, bucket_bits: 5, erased_at: TIME, orphaned: false };
    let approval = HumanApprovalLeaf {
        request: [1; 32],
        policy: [5; 32],
        request_index: 12,
        decision: HumanDecision::Refuse,
        opened: true,
        reason: Some(RefusalReason::OutOfScope),
        sd: digests(),
    };
    let disclosure = DisclosureLeaf { request: [1; 32], grant, owner, cells: 3, others: 1, outcome: Outcome::Found };
    let destroyed = ShareDestroyed { header, index, method: DestroyMethod::Kek, reason: DestroyReason::Retention };
    let charter = CharterLeaf {
        owner,
        old: None,
        new: [13; 32],
        t: 2,
        n: 3,
        legal_entities: 3,
        custody_label: false,
        effective: TIME,
    };
    let policy = PolicyLeaf {
        owner,
        old: Some([5; 32]),
        new: [14; 32],
        relation: PolicyRelation::Looser,
        signers: 2,
        effective: TIME,
    };
    let declaration = DeclarationLeaf {
        owner,
        agency: AgencyId([3; 16]),
        declaration: DeclarationName::Ct2614,
        change: DeclarationChange::File,
        object: [16; 32],
        valid_from: TIME,
        valid_until: Timestamp(TIME.0 + 365 * 86_400),
    };
    let camera = CameraLeaf { owner, change: CameraChange::Add, register: [15; 32], cameras: 20, effective: TIME };
    vec![
        (Keeper, LogEntry::Genesis(Genesis { party: [16; 16], role: Keeper, charter: [13; 32] })),
        (Recorder, LogEntry::EpochDealt(dealt)),
        (Keeper, LogEntry::ShareReceived(ShareReceived { header, index })),
        (Recorder, LogEntry::EpochClosed(closed)),
        (Keeper, LogEntry::Request(Box::new(request()))),
        (Keeper, LogEntry::Approval(approval)),
        (Keeper, LogEntry::Evaluation(EvaluationLeaf { request: [1; 32], grant, epochs: 168, elements: 2 })),
        (Desk, LogEntry::Disclosure(disclosure)),
        (Keeper, LogEntry::ShareDestroyed(destroyed)),
        (Keeper, LogEntry::Charter(charter)),
        (Keeper, LogEntry::Policy(policy)),
        (Keeper, key(KeyName::Institution([17; 32]))),
        (Keeper, key(KeyName::Person(digests()))),
        (Keeper, LogEntry::Declaration(declaration)),
        (Recorder, LogEntry::Camera(camera)),
        (Keeper, LogEntry::LogClosed(LogClosed { successor: String::new() })),
    ]
}

fn stamp(kind: LogKind, entry: LogEntry) -> Result<Stamped> {
    Stamped::with_nonce(entry, kind, ORIGIN, TIME, [18; 16])
}

/// The fields one a line; bytes that are all equal as their number and value.
fn readable(entry: &LogEntry) -> String {
    let mut text = format!("{entry:?}");
    for (length, byte) in [32, 16, 10].into_iter().flat_map(|length| (0..=20_u8).map(move |byte| (length, byte))) {
        text = text.replace(&format!("{:?}", vec![byte; length]), &format!("{length}*{byte:#04x}"));
    }
    text.replace(", ", ",\n   ")
}

#[test]
fn the_golden_file_holds_every_leaf() {
    let mut text =
        String::from("One instance of every leaf of LPv1: what is meant, and the exact bytes of the leaf.\n");
    for (kind, entry) in all() {
        let leaf = stamp(kind, entry.clone()).unwrap();
        let bytes = core::str::from_utf8(leaf.leaf_bytes()).unwrap();
        text.push_str(&format!("\n== {} ({} log)\n{}\n-> {bytes}\n", entry.type_name(), kind.name(), readable(&entry)));
    }
    #[expect(clippy::disallowed_methods, reason = "regenerating vectors is asked for by the environment")]
    if let Ok(path) = std::env::var("LEAVES_OUT") {
        // Written only on demand: `LEAVES_OUT=FILE cargo test`.
        use std::io::Write as _;
        let mut out = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
        out.write_all(text.as_bytes()).unwrap();
    }
    assert!(text == GOLDEN, "an encoding changed: compare spec/vectors/v1/leaves.txt with LEAVES_OUT=FILE");
    for name in LogEntry::TYPES {
        assert!(GOLDEN.contains(&format!("\n== {name} (")), "{name}");
    }
}

#[test]
fn every_leaf_comes_back() {
    for (kind, entry) in all() {
        let stamped = stamp(kind, entry).unwrap();
        assert_eq!(parse_leaf(stamped.leaf_bytes()).unwrap(), Leaf::Known(stamped.clone()));
        assert_eq!(leaf_time(stamped.leaf_bytes()), Some(TIME.0));
        assert_eq!(Entry::time(&stamped), TIME.0);
        assert_eq!(Entry::leaf(&stamped), stamped.leaf_bytes());
    }
}

#[test]
fn each_log_takes_its_own_types_only() {
    for (entry, want) in all().into_iter().map(|(_, entry)| entry).map(|entry| {
        let want = match entry.type_name() {
            "genesis" | "log.closed" => "krd",
            "charter" | "policy" | "key" => "kr",
            "epoch.dealt" | "epoch.closed" | "camera" => "r",
            "disclosure" => "d",
            _ => "k",
        };
        (entry, want)
    }) {
        for (kind, letter) in [(LogKind::Keeper, 'k'), (LogKind::Recorder, 'r'), (LogKind::Desk, 'd')] {
            assert_eq!(stamp(kind, entry.clone()).is_ok(), want.contains(letter), "{} {letter}", entry.type_name());
        }
    }
}

#[test]
fn unknown_types_and_fields_are_kept_and_never_interpreted() {
    let stamped = stamp(LogKind::Keeper, LogEntry::Request(Box::new(request()))).unwrap();
    let text = String::from_utf8(stamped.leaf_bytes().to_vec()).unwrap();
    for changed in [
        text.replace("\"type\":\"request\"", "\"type\":\"hotlist\""),
        text.replace("\"window_days\":7", "\"window_days\":7,\"x\":1"),
    ] {
        let leaf = parse_leaf(changed.as_bytes()).unwrap();
        assert!(matches!(leaf, Leaf::Unknown(_)));
        assert_eq!((leaf.origin(), leaf.time()), (ORIGIN, TIME));
        assert_eq!(request_outcome(changed.as_bytes()), None);
    }
    for bad in [
        text.replace("\"v\":1", "\"v\":2"),
        text.replace("\"window_days\":7,", "").replace(",\"window_days\":7", ""),
        text.replace("\"elements\":2", "\"elements\":\"2\""),
        text.replace("\"decision\":\"allow\"", "\"decision\":\"maybe\""),
        text.replace(":1,", ": 1,"),
        text.replace("\"nonce\"", "\"none\""),
    ] {
        assert!(bad != text && parse_leaf(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn the_salted_digests_are_sixteen_sorted_and_different() {
    let sixteen: Vec<[u8; 32]> = digests::<SD_REQUEST>().digests().to_vec();
    assert!(SaltedDigests::<SD_REQUEST>::new(sixteen.clone()).is_ok());
    assert!(SaltedDigests::<SD_REQUEST>::new(sixteen[..15].to_vec()).is_err());
    assert!(SaltedDigests::<SD_REQUEST>::new([sixteen.clone(), vec![[200; 32]]].concat()).is_err());
    assert!(SaltedDigests::<2>::new(vec![[2; 32], [1; 32]]).is_err());
    assert!(SaltedDigests::<2>::new(vec![[1; 32], [1; 32]]).is_err());
    assert!(digests::<4>().contains(&[3; 32]) && !digests::<4>().contains(&[4; 32]));
}

#[test]
fn leaves_end_at_their_bounds() {
    let closed = |bytes: usize| stamp(LogKind::Keeper, LogEntry::LogClosed(LogClosed { successor: "x".repeat(bytes) }));
    let rest = closed(0).unwrap().leaf_bytes().len();
    assert!(closed(LEAF_BYTES_MAX - rest).is_ok());
    assert!(closed(LEAF_BYTES_MAX - rest + 1).is_err());
    let mut full = request();
    full.rules = (0..RULES_MAX).map(|i| format!("{i:0>width$}", width = RULE_BYTES_MAX)).collect();
    full.escrow.clear();
    assert!(stamp(LogKind::Keeper, LogEntry::Request(Box::new(full.clone()))).is_ok());
    full.rules.insert("one.more".to_owned());
    assert!(stamp(LogKind::Keeper, LogEntry::Request(Box::new(full))).is_err());
}

#[test]
fn outcomes_are_read_back() {
    let stamped = stamp(LogKind::Keeper, LogEntry::Request(Box::new(request()))).unwrap();
    let outcome = request_outcome(stamped.leaf_bytes()).unwrap();
    assert_eq!((outcome.request, outcome.allowed, outcome.decision), ([1; 32], true, RequestDecision::Allow));
    let evaluation = LogEntry::Evaluation(EvaluationLeaf { request: [1; 32], grant: [9; 32], epochs: 1, elements: 1 });
    let evaluation = stamp(LogKind::Keeper, evaluation).unwrap();
    assert_eq!(evaluated_grant(evaluation.leaf_bytes()), Some([9; 32]));
    assert_eq!(evaluated_grant(stamped.leaf_bytes()), None);
    assert_eq!(request_outcome(evaluation.leaf_bytes()), None);
}

#[test]
fn an_officers_name_changes_with_year_and_owner() {
    let name = |owner, key, at| officer_pseudonym(AgencyId([owner; 16]), &[key; 32], Timestamp(at));
    assert_eq!(name(1, 2, 1_767_225_600), name(1, 2, 1_798_761_599), "2026 from its first second to its last");
    assert_ne!(name(1, 2, 1_798_761_599), name(1, 2, 1_798_761_600));
    assert_ne!(name(1, 2, 0), name(2, 2, 0));
    assert_ne!(name(1, 2, 0), name(1, 3, 0));
    // Python: hashlib over lv32 of "LOCKPLATE-V1", label, 01 * 16, 02 * 32, "2026".
    assert_eq!(
        from_b64url::<10>("l9IL20BCC-Au-g"),
        Some(name(1, 2, 1_767_225_600)),
        "{}",
        b64url(&name(1, 2, 1_767_225_600))
    );
}

proptest! {
    #[test]
    fn reading_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0_usize..900, flip in any::<u8>()) {
        drop(parse_leaf(&bytes));
        let mut leaf = stamp(LogKind::Keeper, LogEntry::Request(Box::new(request()))).unwrap().leaf_bytes().to_vec();
        if let Some(byte) = leaf.get_mut(at) {
            *byte ^= flip;
        }
        if let Ok(Leaf::Known(stamped)) = parse_leaf(&leaf) {
            prop_assert_eq!(stamped.leaf_bytes(), leaf.clone());
            // What is understood writes the same bytes again.
            let again = Stamped::with_nonce(stamped.entry().clone(), LogKind::Keeper, stamped.origin(), stamped.at(), stamped.nonce());
            prop_assert_eq!(again.unwrap().leaf, leaf);
        }
    }
}

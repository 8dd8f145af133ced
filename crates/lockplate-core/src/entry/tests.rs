use super::*;
use crate::id::{b64url, from_b64url};
use crate::json::JSON_INT_MAX;
use crate::salted::SaltedName;
use proptest::prelude::*;

const ORIGIN: &str = "clerk.millbrook.example/log/keeper";
const TIME: Timestamp = Timestamp(1_795_356_007);
const MINUTE: Timestamp = Timestamp(1_795_356_000);
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
    ]
    .into_iter()
    .chain(of_recorders())
    .chain(of_aftermath())
    .chain([
        (Keeper, LogEntry::LogResumed(LogResumed { missing: BTreeSet::from(["library.example/witness".to_owned()]) })),
        (Keeper, LogEntry::LogClosed(LogClosed { successor: String::new() })),
    ])
    .collect()
}

fn hotlist() -> HotlistLeaf {
    let counts = |class, accepted, added, removed, dropped, refused| ListCounts {
        class,
        accepted,
        added,
        removed,
        dropped,
        refused,
    };
    HotlistLeaf {
        list: [20; 16],
        kind: ListKind::Full,
        sequence: 17,
        produced_at: Timestamp(1_795_348_800),
        classes: vec![
            counts(ListClass::ImmigrationViolator, 0, 0, 0, 12, 0),
            counts(ListClass::StolenVehicle, 8_123, 40, 35, 0, 2),
        ],
        set: [17; 32],
        decisions: vec![[1; 32], [2; 32]],
        sd: digests(),
    }
}

fn list_config() -> HotlistLeaf {
    HotlistLeaf { kind: ListKind::Config, sequence: 3, classes: vec![], decisions: vec![], ..hotlist() }
}

fn alerts() -> AlertsLeaf {
    let raised = |class, matched, n| AlertsRaised { class, matched, n };
    let closed = |disposition, stopped, n| AlertsClosed { class: ListClass::StolenVehicle, disposition, stopped, n };
    AlertsLeaf {
        day: Day::of(TIME),
        raised: vec![
            raised(ListClass::StolenVehicle, MatchKind::PlateAndState, 4),
            raised(ListClass::StolenVehicle, MatchKind::PlateOnly, 1),
        ],
        handed: 2,
        taken: 1,
        entry_ages: vec![
            AlertsEntryAge { age: EntryAge::UnderDay, n: 1 },
            AlertsEntryAge { age: EntryAge::UnderMonth, n: 4 },
        ],
        list_ages: vec![AlertsListAge { age: ListAge::UnderQuarterDay, n: 5 }],
        suppressed: vec![AlertsSuppressed { reason: Suppression::OtherState, n: 3 }],
        looked: 4,
        verified: 1,
        expired: 0,
        closed: vec![closed(Disposition::Misread, false, 2), closed(Disposition::Recovered, true, 1)],
        overdue: 1,
    }
}

fn of_recorders() -> Vec<(LogKind, LogEntry)> {
    let canary = CanaryLeaf { header: [8; 32], result: CanaryResult::Found, keepers: 2 };
    vec![
        (LogKind::Recorder, LogEntry::Hotlist(hotlist())),
        (LogKind::Recorder, LogEntry::Hotlist(list_config())),
        (LogKind::Recorder, LogEntry::Alerts(alerts())),
        (LogKind::Recorder, LogEntry::Canary(canary)),
    ]
}

fn of_aftermath() -> Vec<(LogKind, LogEntry)> {
    use LogKind::{Desk, Keeper};
    let until = Timestamp(TIME.0 + 90 * 86_400);
    let paper = PaperLeaf { request: [1; 32], status: PaperStatus::Due, deadline: until, authorisation: None };
    let hold = HoldLeaf { request: [1; 32], grant: [9; 32], cells: 3, until, sd: digests() };
    let embargo = EmbargoLeaf { request_index: 12, until, authorisation: [19; 32] };
    let names = BTreeSet::from([SaltedName::Notice, SaltedName::Window]);
    let review = ReviewLeaf { from: 0, to: 400, auditor: [6; 32], sampled: 20, failed: 1 };
    vec![
        (Keeper, LogEntry::Paper(paper)),
        (Desk, LogEntry::Hold(hold)),
        (Keeper, LogEntry::Embargo(embargo)),
        (Keeper, LogEntry::OpeningPublished(OpeningPublished { index: 12, names })),
        (Keeper, LogEntry::OpeningsErased(OpeningsErased { from: 0, to: 400, count: 37 })),
        (Keeper, LogEntry::Review(review)),
    ]
}

fn stamp(kind: LogKind, entry: LogEntry) -> Result<Stamped> {
    let time = if matches!(entry, LogEntry::Hotlist(_)) { MINUTE } else { TIME };
    Stamped::with_nonce(entry, kind, ORIGIN, time, [18; 16])
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
        let time = stamped.at().0;
        assert_eq!(leaf_time(stamped.leaf_bytes()), Some(time));
        assert_eq!(Entry::time(&stamped), time);
        assert_eq!(Entry::leaf(&stamped), stamped.leaf_bytes());
    }
}

#[test]
fn each_log_takes_its_own_types_only() {
    for (entry, want) in all().into_iter().map(|(_, entry)| entry).map(|entry| {
        let want = match entry.type_name() {
            "genesis" | "log.resumed" | "log.closed" => "krd",
            "charter" | "policy" | "key" => "kr",
            "epoch.dealt" | "epoch.closed" | "camera" | "hotlist" | "alerts" | "canary" => "r",
            "disclosure" | "hold" => "d",
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
        text.replace("\"type\":\"request\"", "\"type\":\"request.next\""),
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

/// `log.md` section 10, "Leaves": the text of one good leaf, broken in one place.
#[test]
fn every_bad_form_of_a_leaf_is_refused() {
    let stamped = stamp(LogKind::Keeper, LogEntry::Request(Box::new(request()))).unwrap();
    let text = String::from_utf8(stamped.leaf_bytes().to_vec()).unwrap();
    assert!(parse_leaf(text.as_bytes()).is_ok());
    for (what, from, to) in [
        ("duplicate key, same value", "\"elements\":2", "\"elements\":2,\"elements\":2"),
        ("duplicate key, other value", "\"elements\":2", "\"elements\":2,\"elements\":3"),
        ("unsorted", "\"elements\":2,\"embargo\"", "\"embargo\":\"\",\"elements\":2,\"zz\""),
        ("space", "\"elements\":2", "\"elements\": 2"),
        ("space before a comma", "\"elements\":2,", "\"elements\":2 ,"),
        ("1.0", "\"elements\":2", "\"elements\":2.0"),
        ("1e3", "\"elements\":2", "\"elements\":2e3"),
        ("sign", "\"elements\":2", "\"elements\":-2"),
        ("leading zero", "\"elements\":2", "\"elements\":02"),
        ("2^53", "\"elements\":2", "\"elements\":9007199254740992"),
        ("null", "\"elements\":2", "\"elements\":null"),
        ("escape", "cedar-policy", "\\u0063edar-policy"),
        ("lone surrogate", "cedar-policy", "\\ud800edar-policy"),
        ("not NFC", "cedar-policy", "ce\u{301}dar-policy"),
        ("control character", "cedar-policy", "cedar\u{7f}policy"),
        ("capital key", "\"elements\"", "\"Elements\""),
        ("padding", "\",\"requester\"", "=\",\"requester\""),
    ] {
        let bad = text.replacen(from, to, 1);
        assert!(bad != text && parse_leaf(bad.as_bytes()).is_err(), "{what}");
    }
    for bad in [format!("{text}\n"), format!("{text}{text}"), format!("[{text}]"), String::new(), "{}".to_owned()] {
        assert!(parse_leaf(bad.as_bytes()).is_err());
    }
    assert!(parse_leaf(&[text.as_bytes(), b"\xff"].concat()).is_err());
}

#[test]
fn fifteen_and_seventeen_salted_digests_are_refused() {
    let stamped = stamp(LogKind::Keeper, LogEntry::Request(Box::new(request()))).unwrap();
    let text = String::from_utf8(stamped.leaf_bytes().to_vec()).unwrap();
    let last = format!(",{:?}]", b64url(&[15; 32]));
    assert!(text.contains(&last));
    let fifteen = text.replace(&last, "]");
    let seventeen = text.replace(&last, &format!(",{:?},{:?}]", b64url(&[15; 32]), b64url(&[16; 32])));
    let unsorted = text.replace(&last, &format!(",{:?}]", b64url(&[0; 32])));
    for bad in [fifteen, seventeen, unsorted] {
        assert!(bad != text && parse_leaf(bad.as_bytes()).is_err());
    }
}

#[test]
fn a_disclosure_opens_its_own_field_of_its_own_leaf_only() {
    let window = Disclosure::new([1; 16], "window", &Json::text("x")).unwrap();
    let mut list: Vec<[u8; 32]> = digests::<SD_REQUEST>().digests()[1..].to_vec();
    list.push(window.digest());
    list.sort_unstable();
    let sd = SaltedDigests::<SD_REQUEST>::new(list).unwrap();
    assert_eq!(sd.expose_field("window", &window).unwrap(), &Json::text("x"));
    assert!(sd.expose_field("notice", &window).is_err(), "used under another name");
    let stranger = Disclosure::new([2; 16], "window", &Json::text("x")).unwrap();
    assert!(sd.expose_field("window", &stranger).is_err(), "not in _sd");
    assert!(digests::<SD_REQUEST>().expose_field("window", &window).is_err(), "another leaf");
}

#[test]
fn leaves_whose_numbers_do_not_fit_are_refused() {
    let refused = |kind, entry: LogEntry| {
        assert!(stamp(kind, entry.clone()).is_err(), "{entry:?}");
    };
    let lists = |change: fn(&mut HotlistLeaf)| {
        let mut leaf = hotlist();
        change(&mut leaf);
        LogEntry::Hotlist(leaf)
    };
    assert!(stamp(LogKind::Recorder, lists(|_| ())).is_ok());
    refused(LogKind::Recorder, lists(|leaf| leaf.classes.reverse()));
    refused(LogKind::Recorder, lists(|leaf| leaf.classes[1].class = leaf.classes[0].class));
    refused(LogKind::Recorder, lists(|leaf| leaf.decisions.truncate(1)));
    refused(LogKind::Recorder, lists(|leaf| leaf.kind = ListKind::Config));
    refused(LogKind::Recorder, lists(|leaf| leaf.produced_at = Timestamp(leaf.produced_at.0 + 1)));
    let days = |change: fn(&mut AlertsLeaf)| {
        let mut leaf = alerts();
        change(&mut leaf);
        LogEntry::Alerts(leaf)
    };
    refused(LogKind::Recorder, days(|leaf| leaf.raised.reverse()));
    refused(LogKind::Recorder, days(|leaf| leaf.suppressed.push(leaf.suppressed[0].clone())));
    refused(LogKind::Recorder, days(|leaf| leaf.closed[1].disposition = Disposition::Arrest));
    refused(LogKind::Recorder, days(|leaf| leaf.entry_ages.reverse()));
    refused(LogKind::Recorder, days(|leaf| leaf.list_ages.push(leaf.list_ages[0].clone())));
    refused(LogKind::Recorder, days(|leaf| leaf.handed = 6));
    let range = |from, to, count| LogEntry::OpeningsErased(OpeningsErased { from, to, count });
    assert!(stamp(LogKind::Keeper, range(3, 4, 1)).is_ok());
    refused(LogKind::Keeper, range(3, 4, 2));
    refused(LogKind::Keeper, range(3, 3, 0));
    refused(LogKind::Keeper, range(4, 3, 0));
    let review = |sampled, failed| LogEntry::Review(ReviewLeaf { from: 0, to: 4, auditor: [6; 32], sampled, failed });
    assert!(stamp(LogKind::Keeper, review(4, 4)).is_ok());
    refused(LogKind::Keeper, review(5, 0));
    refused(LogKind::Keeper, review(1, 2));
    let names = |names: &[SaltedName]| {
        LogEntry::OpeningPublished(OpeningPublished { index: 1, names: names.iter().copied().collect() })
    };
    refused(LogKind::Keeper, names(&[]));
    for name in SaltedName::ALL.iter().filter(|name| !name.is_for_the_public()) {
        refused(LogKind::Keeper, names(&[SaltedName::Window, *name]));
    }
    let paper =
        |status, authorisation| LogEntry::Paper(PaperLeaf { request: [1; 32], status, deadline: TIME, authorisation });
    assert!(stamp(LogKind::Keeper, paper(PaperStatus::Filed, Some([1; 32]))).is_ok());
    refused(LogKind::Keeper, paper(PaperStatus::Filed, None));
    refused(LogKind::Keeper, paper(PaperStatus::Overdue, Some([1; 32])));
    let resumed = |count: usize, length: usize| {
        let missing = (0..count).map(|i| format!("{i:0>length$}")).collect();
        LogEntry::LogResumed(LogResumed { missing })
    };
    assert!(stamp(LogKind::Desk, resumed(WITNESSES_MISSING_MAX, 64)).is_ok());
    assert!(stamp(LogKind::Desk, resumed(1, ORIGIN_BYTES_MAX)).is_ok());
    refused(LogKind::Desk, resumed(0, 0));
    refused(LogKind::Desk, resumed(WITNESSES_MISSING_MAX + 1, 64));
    refused(LogKind::Desk, resumed(1, ORIGIN_BYTES_MAX + 1));
}

#[test]
fn a_day_has_one_text() {
    assert_eq!(Day::of(TIME).begin(), Timestamp(1_795_305_600));
    assert_eq!(Day::of(TIME).to_json(), Json::text("2026-11-22"));
    assert_eq!(Day::from_json(Json::text("2026-11-22")).unwrap(), Day::of(TIME));
    for bad in ["2026-11-31", "2026-11-22T00:00:00Z", "26-11-22", "2026-1-22", ""] {
        assert!(Day::from_json(Json::text(bad)).is_err(), "{bad}");
    }
}

#[test]
fn long_leaves_are_those_of_hot_lists_and_alerts() {
    let mut day = alerts();
    day.raised.clear();
    for class in ALL_CLASSES {
        for matched in [MatchKind::PlateAndState, MatchKind::PlateOnly, MatchKind::PossibleMisread] {
            day.raised.push(AlertsRaised { class: *class, matched, n: JSON_INT_MAX });
        }
    }
    day.raised.sort_by_key(|one| (one.class.name(), one.matched.name()));
    let with = |dispositions: &[Disposition]| {
        let mut day = day.clone();
        day.closed.clear();
        for class in ALL_CLASSES {
            for (disposition, stopped) in dispositions.iter().flat_map(|one| [(*one, false), (*one, true)]) {
                day.closed.push(AlertsClosed { class: *class, disposition, stopped, n: JSON_INT_MAX });
            }
        }
        day.closed.sort_by_key(|one| (one.class.name(), one.disposition.name(), one.stopped));
        stamp(LogKind::Recorder, LogEntry::Alerts(day))
    };
    let stamped = with(&[Disposition::Arrest, Disposition::Lost]).unwrap();
    assert!(stamped.leaf_bytes().len() > LEAF_BYTES_MAX);
    assert!(matches!(parse_leaf(stamped.leaf_bytes()), Ok(Leaf::Known(_))));
    let many = [
        Disposition::Arrest,
        Disposition::CheckedNoAction,
        Disposition::Duplicate,
        Disposition::LocatedSafe,
        Disposition::Lost,
        Disposition::NotFollowedUp,
        Disposition::StaleEntry,
        Disposition::WrongVehicle,
    ];
    assert!(with(&many).is_err(), "beyond 16,384 bytes");
}

const ALL_CLASSES: &[ListClass] = &[
    ListClass::StolenVehicle,
    ListClass::StolenPlate,
    ListClass::WantedPerson,
    ListClass::MissingPerson,
    ListClass::AmberAlert,
    ListClass::Custom,
    ListClass::ProtectionOrder,
    ListClass::ExtremeRiskOrder,
    ListClass::Gang,
    ListClass::TerroristScreening,
    ListClass::SupervisedRelease,
    ListClass::SexOffender,
    ListClass::ImmigrationViolator,
    ListClass::ProtectiveInterest,
    ListClass::ViolentPerson,
    ListClass::Unknown,
];

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

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::*;
use crate::approval::Grant;
use crate::charter::LogName;
use crate::entry::{DisclosureLeaf, EpochClosed, LogKind, Stamped};
use crate::entry::{Leaf, LogEntry, Outcome, parse_leaf};
use crate::hold::HoldClaim;
use crate::hold::{HeldFor, latest_until};
use crate::id::KeeperIndex;
use crate::open::CellKey;
use crate::open::{OpenedRead, combine, open, verify_evaluation};
use crate::read::ReadFlags;
use crate::request::DisclosureClaim;
use crate::town::{Asked, Closed, NOON, OWNER, TestPolicy, Town, read};
use crate::vocabulary::{Action, Purpose};
use lockplate_oprf::Secret;

const PLATE: &str = "AB12345";

/// A package, what its receipts prove, and whoever can make others.
struct Made {
    town: Town,
    package: Package,
    proven: Vec<Proven>,
    asked: Asked,
    others: Vec<CellShown>,
}

fn policy() -> TestPolicy {
    TestPolicy { humans: 0, digest: [5; 32] }
}

fn stamped(entry: LogEntry, log: LogName, index: u64) -> Proven {
    let mut rng = ChaCha20Rng::seed_from_u64(index);
    let kind = if log == LogName::Recorder { LogKind::Recorder } else { LogKind::Desk };
    let leaf = Stamped::new(entry, kind, "alpr.example/log", Timestamp(NOON + 7_200), &mut rng).unwrap();
    Proven { log, index, leaf: lockplate_log::append::Entry::leaf(&leaf) }
}

fn epoch_closed(epoch: &Closed, index: u64) -> Proven {
    let close = epoch.close.claimed();
    let entry = EpochClosed {
        header: close.header_hash,
        root: close.segment_root,
        cells: close.cells_padded,
        bucket_bits: 2,
        erased_at: close.erased_at,
        orphaned: false,
    };
    stamped(LogEntry::EpochClosed(entry), LogName::Recorder, index)
}

/// Two reads of the plate in one hour, one of them twice, and one in the next; another state's plate that looks the same is opened as well.
fn made(hold: bool) -> Made {
    let mut town = Town::new(0);
    town.hold = hold;
    let mut twice = read(PLATE, Some("US-CT"), NOON - 7_000);
    twice.engine_ref = Some([9; 8]);
    let mut far = read(PLATE, Some("US-NY"), NOON - 3_500);
    far.jurisdiction_trusted = false;
    far.jur_conf = Some(900);
    let first = town.epoch(NOON - 7_200, &[twice.clone(), twice, read("A812345", Some("US-CT"), NOON - 6_900)]);
    let wrong_clock = Read {
        source_time: Some(1_774_000_000_000),
        time_quality: TimeQuality::ReceiveTime,
        flags: ReadFlags(ReadFlags::CLOCK_OFF),
        ..read(PLATE, None, NOON - 60)
    };
    let second = town.epoch(NOON - 3_600, &[wrong_clock, far]);
    let mut epochs = [&first, &second];
    epochs.sort_by_key(|epoch| epoch.header.claimed().epoch_id);
    let asked = town.ask(PLATE, Purpose::StolenVehicle);
    let (approvals, records) = town.approvals(&[0, 1], &asked, &epochs);
    let grant = Town::grant(&asked, approvals, &epochs);
    let headers: Vec<_> = epochs.iter().map(|epoch| epoch.header.claimed().clone()).collect();
    let evaluations: Vec<_> = (0..2)
        .map(|place| {
            let evaluation = town.evaluate(place, &grant, &records[place], &epochs).unwrap();
            let keeper = &town.keepers[place].keeper;
            let key = keeper.key().verify_key();
            verify_evaluation(&evaluation, &key, keeper.index(), &grant, &headers, &asked.response).unwrap()
        })
        .collect();
    let (mut found, mut buckets) = (Vec::new(), BTreeMap::new());
    for key in combine(&evaluations, &asked.text.elements, &headers).unwrap() {
        let epoch = epochs.iter().find(|epoch| epoch.header.claimed().epoch_id == key.epoch_id()).unwrap();
        let proof = epoch.segment.prove(key.bucket()).unwrap();
        let root = epoch.close.claimed().segment_root;
        for one in open(&key, &proof.verify(key.bucket(), &root, 2).unwrap()).unwrap() {
            let OpenedRead { epoch_id, tag, .. } = one;
            let bytes = *CellKey::of(&key, &one).unwrap().to_secret().expose_secret();
            found.push((CellShown { epoch: epoch_id, bucket: key.bucket(), tag, key: bytes }, one.read));
            buckets.insert((epoch_id, key.bucket()), proof.to_bytes());
        }
    }
    let statement = &asked.text.statement;
    let (others, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, read)| is_other(read, statement));
    assert_eq!((found.len(), others.len()), (4, 1));
    let (cells, reads) = show(found, statement);
    buckets.retain(|place, _| cells.iter().any(|cell| (cell.epoch, cell.bucket) == *place));
    let (request, desk) = (asked.filed.request.signed_hash(), LogName::Desk(OWNER));
    let claim = DisclosureClaim { request_digest: request, grant_digest: grant.digest(), cells: 5, others: 1 };
    let leaf =
        DisclosureLeaf { request, grant: grant.digest(), owner: OWNER, cells: 5, others: 1, outcome: Outcome::Found };
    let mut proven =
        vec![epoch_closed(&first, 4), epoch_closed(&second, 5), stamped(LogEntry::Disclosure(leaf), desk, 3)];
    for (signed, place) in grant.approvals.iter().zip(0..) {
        let index = signed.claimed().leaf_index;
        let log = LogName::Keeper(KeeperIndex(place + 1));
        proven.push(Proven { log, index, leaf: town.keepers[usize::from(place)].keeper.log().leaf(index).unwrap() });
    }
    let mut package = Package {
        schema: SCHEMA.to_owned(),
        maker: "lockplate 0.1.0".to_owned(),
        made: town.now,
        charter: Blob(town.charter.bytes().to_vec()),
        filed: Blob(asked.filed.to_bytes()),
        statement: Blob(statement.expose_bytes().to_vec()),
        elements: asked
            .text
            .elements
            .iter()
            .map(|(input, blind)| ElementShown {
                input: Blob(input.expose_bytes().to_vec()),
                blind: *blind.to_secret().expose_secret(),
            })
            .collect(),
        salts: *asked.text.salts.expose_secret(),
        openings: asked.openings.hashes.clone(),
        grant: Blob(grant.to_bytes()),
        rules: Vec::new(),
        receipts: vec![Blob(b"a receipt".to_vec())],
        epochs: epochs
            .iter()
            .map(|epoch| EpochShown { header: Blob(epoch.header.to_bytes()), close: Blob(epoch.close.to_bytes()) })
            .collect(),
        buckets: buckets.into_iter().map(|((epoch, _), proof)| BucketShown { epoch, proof: Blob(proof) }).collect(),
        cells,
        reads,
        places: vec![PlaceShown { camera: 7, place: "Main St at Elm".to_owned() }],
        disclosure: Blob(town.officer.sign(claim).to_bytes()),
        hold: Blob(Vec::new()),
        case_key: None,
        signature: None,
    };
    if hold {
        package.case_key = Some([3; 32]);
        let held = HeldFor {
            salts: &asked.text.salts,
            case_number: "26-1234",
            seconds: &[],
            held: held_digest(&package.cells),
            case_key: [3; 32],
        };
        let claim = HoldClaim {
            request_digest: request,
            grant_digest: grant.digest(),
            cells: 4,
            until: latest_until(town.charter.charter(), &grant),
            sd: held.digests().unwrap(),
        };
        claim.check(town.charter.charter(), &grant, town.now).unwrap();
        proven.push(stamped(LogEntry::Hold(claim.leaf().unwrap()), desk, 2));
        package.hold = Blob(town.officer.sign(claim).to_bytes());
    }
    package = package.sign(&town.officer).unwrap();
    let others = others.into_iter().map(|(cell, _)| cell).collect();
    Made { town, package, proven, asked, others }
}

impl Made {
    fn check(&self, package: &Package) -> core::result::Result<Checked, PackageFault> {
        package.check(&self.town.charter, &self.proven, Some(&policy()))
    }

    /// What is found where the officer signs what somebody changed, so that only the change itself can be noticed.
    fn changed(&self, change: impl FnOnce(&mut Package)) -> PackageFault {
        let mut package = self.package.clone();
        change(&mut package);
        assert!(package != self.package, "something was changed");
        self.check(&package.sign(&self.town.officer).unwrap()).expect_err("a change that nobody notices")
    }

    fn without(&self, left_out: impl Fn(&Proven) -> bool) -> PackageFault {
        let proven: Vec<_> = self.proven.iter().filter(|one| !left_out(one)).cloned().collect();
        assert!(proven.len() < self.proven.len());
        self.package.check(&self.town.charter, &proven, Some(&policy())).err().unwrap()
    }
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 1;
}

#[test]
fn a_package_comes_back_and_shows_who_approved_what() {
    let made = made(false);
    let bytes = made.package.to_bytes().unwrap();
    assert!(is_package(&bytes) && !is_package(b"{}"));
    let package = Package::parse(&bytes).unwrap();
    assert_eq!(package.to_bytes().unwrap(), bytes);
    let checked = made.check(&package).unwrap();
    let keepers: Vec<_> = checked.approvers.iter().map(|one| (one.keeper.0, one.by_person)).collect();
    assert_eq!(keepers, [(1, false), (2, false)]);
    assert_eq!((checked.cells, checked.others, checked.epochs), (5, 1, 2));
    assert_eq!((checked.disclosure, checked.held, checked.replayed), (Some(3), None, true));
    assert_eq!(checked.keep_until, Timestamp(NOON + 7_200 + 90 * DAY), "the shortest duty, from the decision");
    let shown: Vec<_> = package.reads.iter().map(|one| (one.plate.as_str(), one.repeat)).collect();
    assert_eq!(shown, [(PLATE, false), (PLATE, true), ("A812345", false), (PLATE, false)]);
    let said: Vec<_> = package.reads.iter().map(|one| one.remarks().join("; ")).collect();
    let clock = "camera clock wrong: time of receipt; the camera said 2026-03-20T09:46:40.000Z";
    assert_eq!((said.iter().filter(|said| said.is_empty()).count(), said.iter().any(|said| said == clock)), (3, true));
    assert!(package.check(&made.town.charter, &made.proven, None).is_ok_and(|checked| !checked.replayed));
    let printed = format!("{package:?} {:?} {:?} {:?}", package.reads, package.cells, package.elements);
    assert!(!printed.contains(PLATE) && !printed.contains("Elm"));
}

#[test]
fn a_package_gives_away_nothing_that_opens_what_it_does_not_show() {
    let made = made(false);
    let bytes = made.package.to_bytes().unwrap();
    let holds = |secret: &[u8]| {
        let text = b64url(secret);
        // The last character of base64url depends on what follows.
        let needle = &text.as_bytes()[..text.len() - 1];
        bytes.windows(needle.len()).any(|part| part == needle)
    };
    assert!(holds(&made.package.cells[0].key), "the scan finds what is there");
    assert!(!holds(made.asked.response.seed().expose_secret()), "the key that opens the keepers' answers");
    for other in &made.others {
        assert!(!holds(&other.key) && !holds(&other.tag), "a read of another vehicle is not opened");
    }
    // Its cell may lie in a bucket that is shown; the keys shown do not open it.
    let other = &made.others[0];
    let wrong = made.changed(|package| package.cells[0].tag = other.tag);
    assert_eq!(wrong, PackageFault::Cell);
}

#[test]
fn whatever_is_changed_is_named() {
    use PackageFault as F;
    let made = made(false);
    let changed = |change: fn(&mut Package)| made.changed(change);
    // Reads: time and what it is, camera, plate, state, confidence, flags, why, a repeat; one left out, one shown twice, two swapped.
    for change in [
        (|p: &mut Package| p.reads[0].time = p.reads[3].time.clone()) as fn(&mut Package),
        |p| p.reads[0].time_quality = TimeQuality::AssumedZone,
        |p| p.reads[0].source_time = p.reads[0].time.clone(),
        |p| p.reads[0].flags.push(ReadFlag::Late),
        |p| p.reads[0].camera = 8,
        |p| p.reads[0].plate = "AB12346".to_owned(),
        |p| p.reads[0].state = "US-NY".to_owned(),
        |p| p.reads[0].confidence = "99.9 %".to_owned(),
        |p| p.reads[0].why = "same text; state not read".to_owned(),
        |p| p.reads[1].repeat = false,
        |p| drop(p.reads.pop()),
        |p| p.reads.swap(0, 2),
    ] {
        assert_eq!(changed(change), F::Reads);
    }
    assert_eq!(changed(|p| flip(&mut p.cells[0].key, 5)), F::Cell);
    assert_eq!(changed(|p| flip(&mut p.cells[0].tag, 5)), F::Cell);
    assert_eq!(changed(|p| p.cells[0].bucket ^= 1), F::Cell);
    assert_eq!(changed(|p| p.cells.swap(0, 2)), F::Form);
    assert_eq!(changed(|p| p.cells.push(p.cells[3].clone())), F::Form);
    // A read left out with its words: the public count has it.
    assert_eq!(
        changed(|p| {
            p.cells.remove(0);
            p.reads.remove(0);
            p.reads[0].repeat = false;
        }),
        F::Count
    );
    assert_eq!(changed(|p| flip(&mut p.buckets[0].proof.0, 300)), F::Bucket);
    assert_eq!(changed(|p| p.buckets.swap(0, 1)), F::Form);
    assert_eq!(changed(|p| drop(p.buckets.pop())), F::Cell);
    assert_eq!(changed(|p| flip(&mut p.epochs[0].header.0, 100)), F::Epoch);
    assert_eq!(changed(|p| flip(&mut p.epochs[1].close.0, 40)), F::Epoch);
    assert_eq!(changed(|p| p.epochs[0].close = p.epochs[1].close.clone()), F::Epoch);
    assert_eq!(changed(|p| p.epochs.swap(0, 1)), F::Form);
    assert_eq!(changed(|p| flip(&mut p.filed.0, 30)), F::Request);
    assert_eq!(changed(|p| flip(&mut p.elements[0].blind, 3)), F::Statement);
    assert_eq!(changed(|p| p.elements.swap(0, 1)), F::Statement);
    assert_eq!(changed(|p| flip(&mut p.salts, 3)), F::Statement);
    assert_eq!(changed(|p| flip(&mut p.openings[1], 3)), F::Statement);
    assert_eq!(
        changed(|p| {
            let text = String::from_utf8(p.statement.0.clone()).unwrap();
            p.statement.0 = text.replace("26-1234", "26-1235").into_bytes();
        }),
        F::Statement
    );
    assert_eq!(changed(|p| flip(&mut p.grant.0, 2_000)), F::Grant);
    assert_eq!(changed(|p| flip(&mut p.disclosure.0, 10)), F::Disclosure);
    assert_eq!(changed(|p| p.case_key = Some([1; 32])), F::Hold);
    assert_eq!(changed(|p| p.hold = p.disclosure.clone()), F::Hold);
    assert_eq!(changed(|p| flip(&mut p.charter.0, 100)), F::Form);
    // What nothing else proves is the officer's word: signed again it stands, otherwise not.
    for change in [
        (|p: &mut Package| p.places[0].place = "Elsewhere".to_owned()) as fn(&mut Package),
        |p| p.made = Timestamp(1),
        |p| p.maker = "somebody".to_owned(),
        |p| flip(&mut p.receipts[0].0, 2),
        |p| flip(p.signature.as_mut().unwrap(), 2),
        |p| p.signature = None,
    ] {
        let mut package = made.package.clone();
        change(&mut package);
        assert_eq!(made.check(&package).err(), Some(F::Signature));
    }
    let mut stranger = made.package.clone();
    stranger.made = Timestamp(1);
    let stranger = stranger.sign(&SigningKey::from_seed(&Secret::new([77; 32]))).unwrap();
    assert_eq!(made.check(&stranger).err(), Some(F::Signature));
}

#[test]
fn every_entry_of_a_register_is_needed_and_must_be_the_right_one() {
    use PackageFault as F;
    let made = made(false);
    for place in 1..=2 {
        assert_eq!(made.without(|one| one.log == LogName::Keeper(KeeperIndex(place))), F::Missing);
    }
    assert_eq!(made.without(|one| one.log == LogName::Recorder && one.index == 4), F::Missing);
    assert_eq!(made.without(|one| one.log == LogName::Desk(OWNER)), F::Missing);
    let check = |proven: Vec<Proven>| made.package.check(&made.town.charter, &proven, Some(&policy())).err();
    let mut twice = made.proven.clone();
    twice.push(twice[0].clone());
    assert_eq!(check(twice), Some(F::Extra));
    // The root that was logged is another; the entry is of another log; a leaf of nobody's form.
    let mut other = made.proven.clone();
    let Leaf::Known(known) = parse_leaf(&other[0].leaf).unwrap() else { panic!("known") };
    let LogEntry::EpochClosed(mut said) = known.entry().clone() else { panic!("a close") };
    said.root = [0; 32];
    other[0] = stamped(LogEntry::EpochClosed(said), LogName::Recorder, 4);
    assert_eq!(check(other), Some(F::Missing));
    let mut moved = made.proven.clone();
    moved[0].log = LogName::Desk(OWNER);
    assert_eq!(check(moved), Some(F::Missing));
    let mut unknown = made.proven.clone();
    unknown[0].leaf = b"{}".to_vec();
    assert_eq!(check(unknown), Some(F::Entry));
    // The rules were others, or would not allow it.
    let other = TestPolicy { humans: 0, digest: [6; 32] };
    assert!(matches!(
        made.package.check(&made.town.charter, &made.proven, Some(&other)),
        Err(F::Rules(ReplayFault::Unknown))
    ));
    let humans = TestPolicy { humans: 2, digest: [5; 32] };
    assert!(matches!(made.package.check(&made.town.charter, &made.proven, Some(&humans)), Err(F::Rules(_))));
}

#[test]
fn a_hold_is_decided_as_one_and_kept_until_its_end() {
    let made = made(true);
    let checked = made.check(&made.package).unwrap();
    let until = Timestamp(NOON + 7_200 + made.town.charter.charter().opening_keep_seconds);
    assert_eq!(checked.held, Some(Held { until, register: Some(2) }));
    assert_eq!(checked.keep_until, until);
    for keeper in made.proven.iter().filter(|one| matches!(one.log, LogName::Keeper(_))) {
        let Leaf::Known(known) = parse_leaf(&keeper.leaf).unwrap() else { panic!("known") };
        let LogEntry::Request(leaf) = known.entry() else { panic!("a request") };
        assert_eq!(leaf.action, Action::HoldEvidence);
    }
    assert_eq!(made.without(|one| one.log == LogName::Desk(OWNER) && one.index == 2), PackageFault::Missing);
    assert_eq!(made.changed(|p| p.case_key = Some([4; 32])), PackageFault::Hold);
    assert_eq!(made.changed(|p| p.case_key = None), PackageFault::Hold);
    assert_eq!(made.changed(|p| flip(&mut p.hold.0, 80)), PackageFault::Hold);
    let longer = made.changed(|p| {
        let signed = Signed::<HoldClaim>::from_bytes(&p.hold.0).unwrap();
        let claim = HoldClaim { until: Timestamp(until.0 + 1), ..signed.claimed().clone() };
        p.hold.0 = made.town.officer.sign(claim).to_bytes();
    });
    assert_eq!(longer, PackageFault::Hold);
}

#[test]
fn a_desk_logs_only_holds_that_the_charter_lets() {
    let made = made(true);
    let grant = Grant::from_bytes(&made.package.grant.0).unwrap();
    let (charter, now) = (made.town.charter.charter(), made.town.now);
    let signed = Signed::<HoldClaim>::from_bytes(&made.package.hold.0).unwrap();
    let good = signed.claimed().clone();
    assert!(good.check(charter, &grant, now).is_ok());
    let mut unsorted = good.sd;
    unsorted.swap(0, 1);
    for bad in [
        HoldClaim { request_digest: [0; 32], ..good.clone() },
        HoldClaim { grant_digest: [0; 32], ..good.clone() },
        HoldClaim { cells: 0, ..good.clone() },
        HoldClaim { until: now, ..good.clone() },
        HoldClaim { until: Timestamp(good.until.0 + 1), ..good.clone() },
        HoldClaim { sd: unsorted, ..good.clone() },
    ] {
        assert!(bad.check(charter, &grant, now).is_err());
    }
    assert_eq!(HoldClaim::decode(&good.encode()).unwrap(), good);
}

#[test]
fn nothing_found_is_a_package_as_well_and_says_no_more_than_the_register() {
    let made = made(false);
    let grant = Grant::from_bytes(&made.package.grant.0).unwrap();
    let request = made.asked.filed.request.signed_hash();
    let claim = DisclosureClaim { request_digest: request, grant_digest: grant.digest(), cells: 0, others: 0 };
    let (cells, others, outcome) = (0, 0, Outcome::None);
    let leaf = DisclosureLeaf { request, grant: grant.digest(), owner: OWNER, cells, others, outcome };
    let mut package = made.package.clone();
    package.disclosure = Blob(made.town.officer.sign(claim).to_bytes());
    for list in [&mut package.epochs.len(), &mut package.buckets.len()] {
        assert!(*list > 0);
    }
    (package.epochs, package.buckets, package.cells, package.reads) = (vec![], vec![], vec![], vec![]);
    let package = package.sign(&made.town.officer).unwrap();
    let keepers = made.proven.iter().filter(|one| matches!(one.log, LogName::Keeper(_))).cloned();
    let proven: Vec<_> = keepers.chain([stamped(LogEntry::Disclosure(leaf), LogName::Desk(OWNER), 3)]).collect();
    let checked = package.check(&made.town.charter, &proven, Some(&policy())).unwrap();
    assert_eq!((checked.cells, checked.epochs), (0, 2));
    // The public register says that something was found: then nothing may not be shown.
    assert_eq!(package.check(&made.town.charter, &made.proven, None).err(), Some(PackageFault::Missing));
}

#[test]
fn a_charter_is_not_believed_because_it_came_along() {
    let (made, others) = (made(false), Town::with_entities(0, ["A", "B", "C"]));
    let refused = made.package.check(&others.charter, &made.proven, None);
    assert_eq!(refused.err(), Some(PackageFault::OtherCharter));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn parsing_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(Package::parse(&bytes));
    }
}

/// Every kind of byte: a step that is prime to the fields' lengths visits all of them.
#[test]
fn no_byte_can_be_changed() {
    let made = made(false);
    let bytes = made.package.to_bytes().unwrap();
    for at in (0..bytes.len()).step_by(997) {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        let noticed = match Package::parse(&altered) {
            Err(_) => true,
            Ok(package) => made.check(&package).is_err(),
        };
        assert!(noticed, "byte {at} of {}", bytes.len());
    }
}

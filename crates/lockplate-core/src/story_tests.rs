//! The protocol end to end in one thread, and the attacks that must fail.

use std::collections::BTreeSet;
use std::sync::Arc;

use lockplate_oprf::sharing::ShareIndex;
use lockplate_oprf::{Secret, oprf, sharing};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::Timestamp;
use crate::approval::Grant;
use crate::entry::{Leaf, LogEntry, parse_leaf};
use crate::epoch::{DealtShare, DueForDestruction, EpochHeader, HeldShare, VerifiedPrekey, deal, unwrap_share};
use crate::error::ErrorKind;
use crate::evidence::Standing;
use crate::id::KeeperIndex;
use crate::keeper::{Answer, ClosedEpoch, CodeRule, HeldEpoch, HumanDecision, Outcome, Verdict};
use crate::open::{Evaluation, OpenedRead, VerifiedEvaluation, combine, open, verify_evaluation};
use crate::person::{ByPerson, PersonKey};
use crate::request::check_opening;
use crate::sign::Signed;
use crate::town::{Asked, Closed, NOON, Town, read};
use crate::vocabulary::Purpose;

fn index(place: usize) -> KeeperIndex {
    KeeperIndex(u8::try_from(place).unwrap() + 1)
}

fn headers(epochs: &[&Closed]) -> Vec<EpochHeader> {
    let mut headers: Vec<_> = epochs.iter().map(|epoch| epoch.header.claimed().clone()).collect();
    headers.sort_by_key(|header| header.epoch_id);
    headers
}

fn verified(
    town: &Town,
    place: usize,
    evaluation: &Signed<Evaluation>,
    grant: &Grant,
    asked: &Asked,
    epochs: &[&Closed],
) -> crate::Result<VerifiedEvaluation> {
    let keeper = &town.keepers[place].keeper;
    let key = keeper.key().verify_key();
    verify_evaluation(evaluation, &key, keeper.index(), grant, &headers(epochs), &asked.response)
}

fn open_all(asked: &Asked, evaluations: &[VerifiedEvaluation], epochs: &[&Closed]) -> Vec<OpenedRead> {
    let mut found = Vec::new();
    for key in combine(evaluations, &asked.text.elements, &headers(epochs)).unwrap() {
        let epoch = epochs.iter().find(|epoch| epoch.header.claimed().epoch_id == key.epoch_id()).unwrap();
        let proof = epoch.segment.prove(key.bucket()).unwrap();
        let root = epoch.close.claimed().segment_root;
        found.extend(open(&key, &proof.verify(key.bucket(), &root, 2).unwrap()).unwrap());
    }
    found
}

fn leaf(town: &Town, place: usize, index: u64) -> LogEntry {
    match parse_leaf(&town.keepers[place].keeper.log().leaf(index).unwrap()).unwrap() {
        Leaf::Known(stamped) => stamped.entry().clone(),
        Leaf::Unknown(_) => panic!("unknown leaf"),
    }
}

fn two_hours(town: &mut Town) -> (Closed, Closed) {
    let reads: Vec<_> = (0..40)
        .map(|i| read(&format!("XY{i:03}"), Some("US-CT"), NOON - 7_200 + i))
        .chain([
            read("AB12345", Some("US-CT"), NOON - 7_000),
            read("A812345", Some("US-CT"), NOON - 6_900),
            read("AB12345", Some("US-NY"), NOON - 6_800),
            read("AB12345", None, NOON - 6_700),
        ])
        .collect();
    let first = town.epoch(NOON - 7_200, &reads);
    let second = town.epoch(NOON - 3_600, &[read("AB12345", Some("US-CT"), NOON - 60)]);
    (first, second)
}

#[test]
fn every_pair_of_keepers_opens_exactly_the_reads_of_the_plate() {
    for pair in [[0, 1], [0, 2], [1, 2]] {
        let mut town = Town::new(0);
        let (first, second) = two_hours(&mut town);
        let epochs = [&first, &second];
        let asked = town.ask("AB 12345", Purpose::StolenVehicle);
        let (approvals, records) = town.approvals(&pair, &asked, &epochs);
        let grant = Town::grant(&asked, approvals, &epochs);
        let evaluations: Vec<_> = pair
            .iter()
            .zip(&records)
            .map(|(place, record)| {
                let evaluation = town.evaluate(*place, &grant, record, &epochs).unwrap();
                verified(&town, *place, &evaluation, &grant, &asked, &epochs).unwrap()
            })
            .collect();
        let mut texts: Vec<_> = open_all(&asked, &evaluations, &epochs)
            .into_iter()
            .map(|found| (found.read.plate.expose_text().to_owned(), found.read.jurisdiction.is_some(), found.counter))
            .collect();
        texts.sort();
        let want = [("A812345", true, 1), ("AB12345", false, 0), ("AB12345", true, 0), ("AB12345", true, 0)];
        assert_eq!(texts, want.map(|(text, known, counter)| (text.to_owned(), known, counter)));
    }
}

#[test]
fn no_match_is_an_answer_with_the_same_proofs() {
    let mut town = Town::new(0);
    let (first, _) = two_hours(&mut town);
    let asked = town.ask("NONE1", Purpose::StolenVehicle);
    let (approvals, records) = town.approvals(&[0, 1], &asked, &[&first]);
    let grant = Town::grant(&asked, approvals, &[&first]);
    let evaluations: Vec<_> = (0..2)
        .map(|place| {
            let evaluation = town.evaluate(place, &grant, &records[place], &[&first]).unwrap();
            verified(&town, place, &evaluation, &grant, &asked, &[&first]).unwrap()
        })
        .collect();
    assert!(open_all(&asked, &evaluations, &[&first]).is_empty());
}

#[test]
fn leaves_stand_before_answers_and_refusals_are_leaves_too() {
    let mut town = Town::new(0);
    let (first, _) = two_hours(&mut town);
    let asked = town.ask("AB12345", Purpose::CivilImmigration);
    let standing = town.standing(&[&first]);
    let Answer::Refused { record, approval } = town.answer(0, &asked, &standing).unwrap() else {
        panic!("not refused")
    };
    let LogEntry::Request(entry) = leaf(&town, 0, record.leaf_index.unwrap()) else { panic!("no request leaf") };
    assert_eq!(entry.request, asked.filed.request.signed_hash());
    assert!(entry.rules.contains("test.forbid"));
    assert!(!approval.claimed().decision.is_approval());
    // A log that cannot be written: no answer at all.
    town.keepers[1].memory.break_it();
    let error = town.answer(1, &asked, &standing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn an_opening_for_another_plate_is_refused() {
    // Plate substitution: the request commits to plate A, the Opening tells of plate B.
    let mut town = Town::new(0);
    let a = town.ask("AAA1111", Purpose::StolenVehicle);
    let b = town.ask("BBB2222", Purpose::StolenVehicle);
    let opening = &town.keepers[0].opening;
    for (filed, sealed, hashes) in [
        (&a.filed, &b.openings.sealed[0], &b.openings.hashes),
        (&a.filed, &b.openings.sealed[0], &a.openings.hashes),
        (&a.filed, &a.openings.sealed[0], &b.openings.hashes),
        (&a.filed, &a.openings.sealed[1], &a.openings.hashes),
    ] {
        assert!(check_opening(filed.clone(), sealed, hashes.clone(), 0, opening).is_err());
    }
    assert!(check_opening(a.filed.clone(), &a.openings.sealed[0], a.openings.hashes.clone(), 0, opening).is_ok());
    // An Opening that binds well but tells of another input: `spec/vectors/v1/bad_opening_for_another_plate.json`.
}

#[test]
fn partial_values_of_two_requests_cannot_be_mixed() {
    let mut town = Town::new(0);
    let (first, _) = two_hours(&mut town);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    // The control: on bare shares, the answers of two keepers combine whoever approved what.
    let element = asked.filed.request.claimed().elements[0].blinded;
    let bare: Vec<_> = (0..2)
        .map(|place| {
            let share = first.share(place);
            (ShareIndex::new(index(place).0).unwrap(), oprf::blind_evaluate(&share.share, &element).unwrap())
        })
        .collect();
    assert!(sharing::combine(&bare, first.header.claimed().threshold).is_ok());
    // Against keepers: each request has one approval, none of them gets an evaluation.
    let other = town.ask("AB12345", Purpose::StolenVehicle);
    let (one, one_record) = town.approvals(&[0], &asked, &[&first]);
    let (two, two_record) = town.approvals(&[1], &other, &[&first]);
    let grant = Town::grant(&asked, one.clone(), &[&first]);
    assert!(matches!(
        town.evaluate(0, &grant, &one_record[0], &[&first]).unwrap_err().kind(),
        ErrorKind::TooFewKeepers { got: 1, needed: 2 }
    ));
    let grant = Town::grant(&other, two.clone(), &[&first]);
    assert!(town.evaluate(1, &grant, &two_record[0], &[&first]).is_err());
    // Nor do approvals of two digests make one grant.
    let mixed = Town::grant(&asked, vec![one[0].clone(), two[0].clone()], &[&first]);
    assert!(town.evaluate(0, &mixed, &one_record[0], &[&first]).is_err());
    // Nor one approval twice.
    let twice = Town::grant(&asked, vec![one[0].clone(), one[0].clone()], &[&first]);
    assert!(town.evaluate(0, &twice, &one_record[0], &[&first]).is_err());
}

#[test]
fn a_grant_opens_its_epochs_and_nothing_else() {
    let mut town = Town::new(0);
    let (first, second) = two_hours(&mut town);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let (approvals, records) = town.approvals(&[0, 1], &asked, &[&first]);
    // An epoch that was not decided on.
    let wide = Town::grant(&asked, approvals.clone(), &[&first, &second]);
    assert!(town.evaluate(0, &wide, &records[0], &[&first, &second]).is_err());
    // An expired request.
    let grant = Town::grant(&asked, approvals.clone(), &[&first]);
    town.now = Timestamp(town.now.0 + 3_600);
    assert!(town.evaluate(0, &grant, &records[0], &[&first]).is_err());
    town.now = Timestamp(town.now.0 - 3_600);
    // A keeper that refused.
    let mut refused = records[0].clone();
    refused.outcome = Outcome::Deny;
    assert!(town.evaluate(0, &grant, &refused, &[&first]).is_err());
    assert!(town.evaluate(0, &grant, &records[0], &[&first]).is_ok());
    // Past the retention by the own clock.
    let late = town.ask("AB12345", Purpose::StolenVehicle);
    let (approvals, records) = town.approvals(&[0, 1], &late, &[&first]);
    town.now = Timestamp(first.header.claimed().destroy_after.0);
    let grant = Town::grant(&late, approvals, &[&first]);
    let kind = town.evaluate(0, &grant, &records[0], &[&first]).unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::EpochDestroyed | ErrorKind::Invalid));
}

#[test]
fn a_clock_jump_destroys_a_day_at_most_unless_nothing_is_kept_for_longer() {
    let mut town = Town::new(0);
    let (first, _) = two_hours(&mut town);
    let weeks = first.header.claimed().clone();
    let allowed = |header: &EpochHeader, destroyed_today_s| {
        let due = header.destroy_after;
        assert!(DueForDestruction::new(header, due, Timestamp(due.0 - 1), destroyed_today_s).is_none(), "one clock");
        assert!(DueForDestruction::new(header, Timestamp(due.0 - 1), due, destroyed_today_s).is_none(), "the other");
        DueForDestruction::new(header, due, due, destroyed_today_s).is_some()
    };
    assert!(allowed(&weeks, 0) && allowed(&weeks, 82_800) && !allowed(&weeks, 82_801));
    // All there is of such an archive is what the brake lets go anyway; held up, it would stay behind for ever.
    let kept = |seconds| EpochHeader { destroy_after: Timestamp(weeks.cap_from.0 + seconds), ..weeks.clone() };
    assert!(allowed(&kept(86_400), 10 * 86_400) && !allowed(&kept(86_401), 10 * 86_400));
}

#[test]
fn an_open_epoch_cannot_be_held_for_evaluation() {
    let mut town = Town::new(0);
    let (first, second) = two_hours(&mut town);
    let share = || first.share(0);
    let key = town.recorder.verify_key();
    let closed = |header, close| ClosedEpoch::new(header, close, &key, KeeperIndex(1)).map(Arc::new);
    assert!(HeldEpoch::new(closed(&first.header, &first.close).unwrap(), share()).is_ok());
    // No close of its own, or one that the recorder did not sign.
    assert!(closed(&first.header, &second.close).is_err());
    let forged = town.officer.sign(first.close.claimed().clone());
    assert!(closed(&first.header, &forged).is_err());
    // Closed, and the share of another.
    assert!(HeldEpoch::new(closed(&second.header, &second.close).unwrap(), share()).is_err());
}

#[test]
fn one_legal_entity_with_two_chairs_is_not_a_quorum() {
    let mut town = Town::with_entities(0, ["Town", " town ", "County"]);
    let (first, _) = two_hours(&mut town);
    assert!(town.charter.charter().custody_label());
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let (approvals, records) = town.approvals(&[0, 1], &asked, &[&first]);
    let grant = Town::grant(&asked, approvals, &[&first]);
    assert!(town.evaluate(0, &grant, &records[0], &[&first]).is_err());
}

#[test]
fn a_lying_keeper_is_named_and_the_others_suffice() {
    let mut town = Town::new(0);
    let (first, second) = two_hours(&mut town);
    let epochs = [&first, &second];
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let (approvals, records) = town.approvals(&[0, 1, 2], &asked, &epochs);
    let grant = Town::grant(&asked, approvals, &epochs);
    let good: Vec<_> = (0..3).map(|place| town.evaluate(place, &grant, &records[place], &epochs).unwrap()).collect();
    // Keeper 2 answers with keeper 1's words, cut and flipped bytes.
    let key = town.keepers[1].keeper.key();
    let claimed = good[1].claimed().clone();
    let mut lies = vec![
        Evaluation { sealed: good[0].claimed().sealed.clone(), ..claimed.clone() },
        Evaluation { sealed: claimed.sealed[1..].to_vec(), ..claimed.clone() },
        Evaluation { sealed: vec![], ..claimed.clone() },
    ];
    let mut flipped = claimed.clone();
    *flipped.sealed.last_mut().unwrap() ^= 1;
    lies.push(flipped);
    for lie in lies {
        let error = verified(&town, 1, &key.sign(lie), &grant, &asked, &epochs).unwrap_err();
        assert_eq!((error.kind(), error.culprits()), (ErrorKind::KeeperMisbehaved, [KeeperIndex(2)].as_slice()));
    }
    // Signed by somebody else, its answer to another grant, its words under another index: whoever shows that may have chosen it.
    let of_another_grant = key.sign(Evaluation { grant_digest: [0; 32], ..claimed.clone() });
    let of_another_index = key.sign(Evaluation { index: KeeperIndex(1), ..claimed.clone() });
    for shown in [town.officer.sign(claimed), of_another_grant, of_another_index] {
        let error = verified(&town, 1, &shown, &grant, &asked, &epochs).unwrap_err();
        assert_eq!((error.kind(), error.culprits()), (ErrorKind::Invalid, [].as_slice()));
    }
    let rest: Vec<_> =
        [0, 2].map(|place| verified(&town, place, &good[place], &grant, &asked, &epochs).unwrap()).into();
    assert_eq!(open_all(&asked, &rest, &epochs).len(), 4);
    // One alone is too few.
    let alone = vec![verified(&town, 0, &good[0], &grant, &asked, &epochs).unwrap()];
    let error = combine(&alone, &asked.text.elements, &headers(&epochs)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooFewKeepers { got: 1, needed: 2 });
}

#[test]
fn a_waiting_request_needs_the_right_human() {
    let mut town = Town::new(1);
    let (first, _) = two_hours(&mut town);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let mut standing = town.standing(&[&first]);
    let Answer::Approved { approval: by_rule, record: other } = town.answer(1, &asked, &standing).unwrap() else {
        panic!("not approved")
    };
    standing.ask_human = true;
    let Answer::Waiting { record } = town.answer(0, &asked, &standing).unwrap() else { panic!("not waiting") };
    let say = |verdict| HumanDecision {
        request_digest: record.request_digest,
        index: KeeperIndex(1),
        verdict,
        time: town.now,
    };
    let (now, yes, no) = (town.now, say(Verdict::Approve), say(Verdict::Doubt));
    let stranger = ByPerson::with_key(&town.keepers[1].human, yes.clone());
    let key = PersonKey::File(town.keepers[1].human.verify_key());
    assert!(town.keepers[0].keeper.conclude(record.clone(), &stranger, &key, now, &mut town.rng).is_err());
    let human = PersonKey::File(town.keepers[0].human.verify_key());
    let for_other = HumanDecision { request_digest: [0; 32], ..yes.clone() };
    let wrong = ByPerson::with_key(&town.keepers[0].human, for_other);
    assert!(town.keepers[0].keeper.conclude(record.clone(), &wrong, &human, now, &mut town.rng).is_err());
    let signed = ByPerson::with_key(&town.keepers[0].human, no);
    let (refused, _) = town.keepers[0].keeper.conclude(record.clone(), &signed, &human, now, &mut town.rng).unwrap();
    assert!(matches!(refused, Answer::Refused { .. }));
    let signed = ByPerson::with_key(&town.keepers[0].human, yes);
    let (answer, _) = town.keepers[0].keeper.conclude(record, &signed, &human, now, &mut town.rng).unwrap();
    let Answer::Approved { approval, record } = answer else { panic!("not approved") };
    // A process that ended after the leaf finds the decision in its log: the same approval, no second leaf.
    let (keeper, leaf) = (&town.keepers[0].keeper, approval.claimed().leaf_index);
    let size = keeper.log().size();
    let Answer::Approved { approval: again, .. } = keeper.finish(record.clone(), leaf).unwrap() else {
        panic!("not yes")
    };
    assert_eq!((again, keeper.log().size()), (approval.clone(), size));
    assert!(keeper.finish(record.clone(), record.leaf_index.unwrap()).is_err(), "a request's own leaf");
    // Two yeses by rule are not enough where the policy wants a human among them.
    let standing = town.standing(&[&first]);
    let Answer::Approved { approval: third, .. } = town.answer(2, &asked, &standing).unwrap() else {
        panic!("not approved")
    };
    let grant = Town::grant(&asked, vec![by_rule.clone(), third], &[&first]);
    assert!(town.evaluate(1, &grant, &other, &[&first]).is_err());
    let grant = Town::grant(&asked, vec![approval, by_rule], &[&first]);
    assert!(town.evaluate(0, &grant, &record, &[&first]).is_ok());
    assert!(town.evaluate(1, &grant, &other, &[&first]).is_ok());
}

#[test]
fn an_envelope_cannot_be_reopened_once_the_prekey_is_gone() {
    // The share travels under a one-time key: another prekey of the same keeper, the header altered, or another index open nothing.
    let mut town = Town::new(0);
    let mut prekeys = Vec::new();
    let mut secrets = Vec::new();
    for place in 0..3 {
        let (prekey, secret) = town.prekey(place);
        let key = town.keepers[place].keeper.key().verify_key();
        prekeys.push(VerifiedPrekey::new(&prekey, &key, town.now).unwrap());
        secrets.push(secret);
    }
    let dealt = deal(&town.plan(NOON), prekeys, &mut town.rng).unwrap();
    let (index, envelope) = &dealt.envelopes()[0];
    assert!(unwrap_share(envelope, &secrets[0], dealt.header(), *index).is_ok());
    let (_, fresh) = town.prekey(0);
    assert!(unwrap_share(envelope, &fresh, dealt.header(), *index).is_err());
    assert!(unwrap_share(envelope, &secrets[1], dealt.header(), *index).is_err());
    assert!(unwrap_share(envelope, &secrets[0], dealt.header(), KeeperIndex(2)).is_err());
    let altered = EpochHeader { cap_to: Timestamp(NOON + 7_200), ..dealt.header().clone() };
    assert!(unwrap_share(envelope, &secrets[0], &altered, *index).is_err());
}

#[test]
fn receipts_below_the_threshold_start_no_sealer() {
    let mut town = Town::new(0);
    let prekeys = (0..3)
        .map(|place| {
            let (prekey, _) = town.prekey(place);
            let key = town.keepers[place].keeper.key().verify_key();
            VerifiedPrekey::new(&prekey, &key, town.now).unwrap()
        })
        .collect();
    let dealt = deal(&town.plan(NOON), prekeys, &mut town.rng).unwrap();
    let receipt = |place: usize, header_hash| {
        let receipt = crate::epoch::ShareReceipt { header_hash, index: index(place), time: Timestamp(NOON) };
        town.keepers[place].keeper.key().sign(receipt)
    };
    let hash = dealt.header().hash();
    let one = receipt(0, hash);
    let (dealt, error) = *dealt.receipted(&[one.clone(), one.clone()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooFewKeepers { got: 1, needed: 2 });
    let (dealt, error) = *dealt.receipted(&[one.clone(), receipt(1, [0; 32])]).unwrap_err();
    assert_eq!(error.culprits(), [KeeperIndex(2)]);
    assert!(dealt.receipted(&[one, receipt(2, hash)]).is_ok());
}

#[test]
fn a_prekey_counts_only_for_its_keeper_and_its_time() {
    let mut town = Town::new(0);
    let (prekey, _) = town.prekey(0);
    let (one, two) = (town.keepers[0].keeper.key().verify_key(), town.keepers[1].keeper.key().verify_key());
    assert!(VerifiedPrekey::new(&prekey, &one, town.now).is_ok());
    assert!(VerifiedPrekey::new(&prekey, &two, town.now).is_err());
    let mut value = prekey.claimed().clone();
    value.not_after = town.now;
    let expired = town.keepers[0].keeper.key().sign(value.clone());
    assert!(VerifiedPrekey::new(&expired, &one, town.now).is_err());
    let foreign = town.keepers[1].keeper.key().sign(prekey.claimed().clone());
    assert!(VerifiedPrekey::new(&foreign, &two, town.now).is_err());
}

#[test]
fn counters_never_repeat_and_a_gap_is_looked_past() {
    let mut town = Town::new(0);
    let reads: Vec<_> = (0..30).map(|i| read("AB12345", Some("US-CT"), NOON - 3_600 + i)).collect();
    let epoch = town.epoch(NOON - 3_600, &reads);
    let (cells, _) = epoch.segment.bytes().as_chunks::<256>();
    let tags: BTreeSet<_> = cells.iter().map(|cell| &cell[..32]).collect();
    let nonces: BTreeSet<_> = cells.iter().map(|cell| &cell[..44]).collect();
    assert_eq!((tags.len(), nonces.len()), (cells.len(), cells.len()));
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let (approvals, records) = town.approvals(&[0, 1], &asked, &[&epoch]);
    let grant = Town::grant(&asked, approvals, &[&epoch]);
    let evaluations: Vec<_> = (0..2)
        .map(|place| {
            let evaluation = town.evaluate(place, &grant, &records[place], &[&epoch]).unwrap();
            verified(&town, place, &evaluation, &grant, &asked, &[&epoch]).unwrap()
        })
        .collect();
    let found = open_all(&asked, &evaluations, &[&epoch]);
    assert_eq!(found.iter().map(|read| read.counter).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_bucket_must_stand_under_the_logged_root() {
    let mut town = Town::new(0);
    let (first, second) = two_hours(&mut town);
    let root = first.close.claimed().segment_root;
    let proof = first.segment.prove(1).unwrap();
    assert!(proof.verify(1, &root, 2).is_ok());
    assert!(proof.verify(0, &root, 2).is_err());
    assert!(proof.verify(1, &second.close.claimed().segment_root, 2).is_err());
    let mut cut = proof.clone();
    cut.cells.truncate(cut.cells.len() - 256);
    let mut flipped = proof.clone();
    flipped.cells[40] ^= 1;
    let mut neighbour = proof.clone();
    neighbour.path = first.segment.prove(2).unwrap().path;
    for bad in [cut, flipped, neighbour] {
        assert_eq!(bad.verify(1, &root, 2).unwrap_err().kind(), ErrorKind::OwnerMisbehaved);
    }
}

#[test]
fn a_request_that_cannot_be_opened_is_refused_in_public() {
    let mut town = Town::new(0);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let keeper = &mut town.keepers[0].keeper;
    let decision = keeper.refuse(&asked.filed, CodeRule::Opening, town.now, &mut town.rng).unwrap();
    let Answer::Refused { approval, record } = keeper.answer(decision).unwrap() else { panic!("not refused") };
    assert!(!approval.claimed().opened);
    assert!(record.rules.contains("keeper.opening"));
    let again = crate::keeper::DecisionRecord::from_bytes(&record.to_bytes()).unwrap();
    assert_eq!(again, record);
    // A stranger's request makes no leaf.
    let mut forged = asked.filed.clone();
    forged.request = town.recorder.sign(asked.filed.request.claimed().clone());
    let (size, keeper) = (town.keepers[0].keeper.log().size(), &town.keepers[0].keeper);
    assert!(keeper.refuse(&forged, CodeRule::Opening, town.now, &mut town.rng).is_err());
    assert_eq!(keeper.log().size(), size);
}

#[test]
fn holds_are_counted_as_searches_are() {
    let mut town = Town::new(0);
    let (first, _) = two_hours(&mut town);
    let rules = |town: &mut Town, hold: bool, change: fn(&mut Standing)| {
        town.hold = hold;
        let asked = town.ask("AB12345", Purpose::StolenVehicle);
        let mut standing = town.standing(&[&first]);
        change(&mut standing);
        town.answer(0, &asked, &standing).unwrap().record().rules.clone()
    };
    let quota = BTreeSet::from(["keeper.quota".to_owned()]);
    for (what, change, one_too_many) in [
        ("199 in a day", (|s| s.requests_last_24h = 199) as fn(&mut Standing), false),
        ("200 in a day", |s| s.requests_last_24h = 200, true),
        ("nine of one plate", |s| s.prior_same_plate_30d = 9, false),
        ("ten of one plate", |s| s.prior_same_plate_30d = 10, true),
        (
            "ten of one plate, and a judge",
            |s| {
                s.prior_same_plate_30d = 10;
                s.paper.judicial = true;
            },
            false,
        ),
    ] {
        assert_eq!(rules(&mut town, true, change) == quota, one_too_many, "{what}");
        assert_ne!(rules(&mut town, false, change), quota, "{what}: the policy counts searches");
    }
}

#[test]
fn many_stored_shares_are_held_as_each_alone_would_be() {
    let mut town = Town::new(0);
    let epochs: Vec<Closed> = (0..3).map(|hour| town.epoch(NOON - 3_600 * (4 - hour), &[])).collect();
    let dealt: Vec<_> =
        epochs.iter().map(|one| DealtShare::of(one.header.claimed(), KeeperIndex(1)).unwrap()).collect();
    let mut stored: Vec<Secret<64>> = epochs.iter().map(|one| Secret::new(*one.shares[0].expose_secret())).collect();
    let hold = |stored: &[Secret<64>]| {
        let pairs: Vec<_> = stored.iter().zip(&dealt).collect();
        HeldShare::from_secrets(&pairs, &mut ChaCha20Rng::from_seed([9; 32]))
    };
    let held = hold(&stored).unwrap();
    for (one, epoch) in held.iter().zip(&epochs) {
        assert_eq!(one.header_hash(), epoch.share(0).header_hash());
        assert_eq!(one.to_secret().expose_secret(), epoch.share(0).to_secret().expose_secret());
    }
    // The key's share, then the pepper's.
    for damaged in [0, 32] {
        let mut bytes = *epochs[1].shares[0].expose_secret();
        bytes[damaged] ^= 1;
        stored[1] = Secret::new(bytes);
        assert_eq!(hold(&stored).unwrap_err().kind(), ErrorKind::Internal, "byte {damaged}");
    }
    stored[1] = Secret::new(*epochs[2].shares[0].expose_secret());
    assert_eq!(hold(&stored).unwrap_err().kind(), ErrorKind::Internal, "another hour's");
}

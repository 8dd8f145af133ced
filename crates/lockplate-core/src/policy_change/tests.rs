use super::*;
use crate::signed::{Header, Signable as _, VersionOne};
use crate::town::{OWNER, Town, note_signer};
use lockplate_log::note::NoteSigner;

/// Twenty seconds into a minute.
const NOW: Timestamp = Timestamp(1_795_356_020);
const DAY: u64 = 86_400;

fn charter() -> Charter {
    let mut charter = Town::new(0).charter.charter().clone();
    charter.policy_signers = ["clerk", "council", "custodian"]
        .iter()
        .zip(210..)
        .map(|(name, seed)| note_signer(name, seed).verifier_key().clone())
        .collect();
    charter.policy_quorum = 2;
    charter
}

fn signers(count: usize) -> Vec<NoteSigner> {
    ["clerk", "council", "custodian"]
        .iter()
        .zip(210..)
        .take(count)
        .map(|(name, seed)| note_signer(name, seed))
        .collect()
}

fn change() -> PolicyChange {
    PolicyChange {
        header: Header { v: VersionOne, nonce: [1; 16], issued: NOW, issuer: "clerk".to_owned() },
        body: PolicyChangeBody {
            owner: OWNER,
            old: [1; 32],
            new: [2; 32],
            effective: Timestamp(NOW.0 + 14 * DAY),
            allows: Some([3; 32]),
        },
    }
}

fn judge(change: &PolicyChange, count: usize, relation: PolicyRelation) -> Result<Accepted> {
    let signers = signers(count);
    let object = SignedObject::parse(&change.sign(&signers.iter().collect::<Vec<_>>()).unwrap()).unwrap();
    verify_policy_change(&object, &charter(), &[1; 32], relation, NOW)
}

#[test]
fn what_is_seen_to_be_narrower_takes_one_signer_and_the_next_full_minute() {
    let mut tighter = change();
    tighter.body.allows = None;
    tighter.body.effective = NOW;
    for relation in [PolicyRelation::Narrower, PolicyRelation::Equal] {
        let accepted = judge(&tighter, 1, relation).unwrap();
        assert_eq!((accepted.effective, accepted.signers), (Timestamp(NOW.0 + 40), 1));
    }
    // Signers may ask for a later time.
    let accepted = judge(&change(), 1, PolicyRelation::Narrower).unwrap();
    assert_eq!(accepted.effective, Timestamp(NOW.0 + 14 * DAY));
}

#[test]
fn anything_else_takes_the_quorum_the_notice_and_what_it_allows() {
    let accepted = judge(&change(), 2, PolicyRelation::Looser).unwrap();
    assert_eq!(accepted.relation, PolicyRelation::Looser);
    assert_eq!((accepted.effective, accepted.signers), (Timestamp(NOW.0 + 14 * DAY), 2));
    assert!(judge(&change(), 1, PolicyRelation::Looser).is_err(), "one signer");
    let mut early = change();
    early.body.effective.0 -= 1;
    assert!(judge(&early, 3, PolicyRelation::Looser).is_err(), "a second too early");
    let mut silent = change();
    silent.body.allows = None;
    assert!(judge(&silent, 3, PolicyRelation::Looser).is_err(), "nothing published");
}

#[test]
fn a_change_follows_the_policy_in_force_of_this_owner() {
    for edit in [
        (|one: &mut PolicyChange| one.body.old = [9; 32]) as fn(&mut PolicyChange),
        |one| one.body.owner = AgencyId([9; 16]),
        |one| one.header.issued.0 += 301,
        |one| one.header.issuer = "mayor".to_owned(),
        |one| one.body.effective.0 += 366 * DAY,
    ] {
        let mut other = change();
        edit(&mut other);
        assert!(judge(&other, 3, PolicyRelation::Looser).is_err());
        assert!(judge(&other, 3, PolicyRelation::Narrower).is_err());
    }
    let stranger = note_signer("clerk", 9);
    let object = SignedObject::parse(&change().sign(&[&stranger]).unwrap()).unwrap();
    assert!(verify_policy_change(&object, &charter(), &[1; 32], PolicyRelation::Narrower, NOW).is_err());
}

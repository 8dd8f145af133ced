use super::*;
use crate::directory::{TrustEntry, TrustRole};
use crate::signed::{Header, Signable as _, VersionOne};
use crate::town::{OWNER, Town, note_signer, trust_entry};
use lockplate_log::note::NoteSigner;

fn judge() -> NoteSigner {
    note_signer("judge.example", 221)
}

fn clerk() -> NoteSigner {
    note_signer("clerk", 210)
}

/// A charter with two more policy signers; two of three are needed.
fn charter() -> Charter {
    let mut charter = Town::new(0).charter.charter().clone();
    charter.policy_signers = vec![
        clerk().verifier_key().clone(),
        note_signer("council", 211).verifier_key().clone(),
        note_signer("custodian", 212).verifier_key().clone(),
    ];
    charter.policy_quorum = 2;
    charter
}

fn trust() -> Trust {
    Trust::founding(OWNER, &[entry()])
}

/// The key of a list that waits.
fn pending() -> NoteSigner {
    note_signer("judge.new", 7)
}

fn entry() -> TrustEntry {
    trust_entry(TrustRole::Judge, &judge())
}

fn of(object: Option<[u8; 32]>, key: Option<VerifierKey>, signers: &[&NoteSigner]) -> Result<Revoked> {
    let now = Timestamp(1_795_356_000);
    let issuer = signers[0].verifier_key().name().as_str().to_owned();
    let header = Header { v: VersionOne, nonce: [1; 16], issued: now, issuer };
    let body = RevocationBody { object, key, reason: RevocationReason::Mistake, from: now };
    let object = SignedObject::parse(&Revocation { header, body }.sign(signers).unwrap()).unwrap();
    verify_revocation(&object, &charter(), &trust(), &[trust_entry(TrustRole::Judge, &pending())], now)
}

#[test]
fn a_paper_is_taken_back_by_its_issuer_or_by_enough_signers() {
    let by = |signers: &[&NoteSigner]| of(Some([3; 32]), None, signers);
    let issuer = WithdrawnBy::Issuer("judge.example".to_owned());
    assert_eq!(by(&[&judge()]), Ok(Revoked::Object { digest: [3; 32], by: issuer }));
    let council = note_signer("council", 211);
    assert_eq!(by(&[&clerk(), &council]), Ok(Revoked::Object { digest: [3; 32], by: WithdrawnBy::Signers }));
    assert!(by(&[&clerk()]).is_err(), "one signer is not enough, and issued nothing");
    assert!(by(&[&pending()]).is_err(), "nor did a key that does not count yet");
    assert!(by(&[&note_signer("stranger", 9)]).is_err());
}

#[test]
fn a_key_is_revoked_by_one_signer_or_by_itself() {
    let key = judge().verifier_key().clone();
    let by = |signers: &[&NoteSigner]| of(None, Some(key.clone()), signers);
    let revoked = Revoked::Key { key: key.clone(), from: Timestamp(1_795_356_000) };
    assert_eq!(by(&[&clerk()]), Ok(revoked.clone()));
    assert_eq!(by(&[&judge()]), Ok(revoked));
    assert!(by(&[&note_signer("stranger", 9)]).is_err());
    let waits = pending().verifier_key().clone();
    assert!(of(None, Some(waits.clone()), &[&clerk()]).is_ok(), "a key of the list that waits");
    assert!(of(None, Some(waits), &[&judge()]).is_err());
    let unknown = note_signer("other", 8).verifier_key().clone();
    assert!(of(None, Some(unknown), &[&clerk()]).is_err(), "not on the list");
    assert!(of(None, None, &[&clerk()]).is_err());
    assert!(of(Some([1; 32]), Some(key), &[&clerk()]).is_err());
}

#[test]
fn what_is_withdrawn_counts_only_from_who_may() {
    let mut withdrawn = crate::authorisation::Withdrawn::default();
    let by = [WithdrawnBy::Issuer("judge.example".to_owned()), WithdrawnBy::Court("Court A".to_owned())];
    withdrawn.papers.insert([1; 32], by.into());
    assert!(withdrawn.covers(&[1; 32], "judge.example", "Court B"));
    assert!(withdrawn.covers(&[1; 32], "judge.other", "Court A"));
    assert!(!withdrawn.covers(&[1; 32], "judge.other", "Court B"));
    assert!(!withdrawn.covers(&[1; 32], "judge.other", ""));
    assert!(!withdrawn.covers(&[2; 32], "judge.example", "Court A"));
    withdrawn.papers.insert([2; 32], [WithdrawnBy::Signers].into());
    assert!(withdrawn.covers(&[2; 32], "", ""));
}

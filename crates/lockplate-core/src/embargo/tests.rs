use super::*;
use crate::authorisation::WithdrawnBy;
use crate::directory::TrustEntry;
use crate::id::AgencyId;
use crate::signed::{Header, Signable as _, VersionOne};
use crate::town::{COURT, note_signer, trust_entry};
use lockplate_log::note::NoteSigner;

const DAY: u64 = 86_400;
const NOW: Timestamp = Timestamp(1_795_356_000);
const EMBARGO: Timestamp = Timestamp(NOW.0 + 10 * DAY);
const REQUEST: [u8; 32] = [4; 32];

fn judge() -> NoteSigner {
    note_signer("judge.example", 221)
}

fn order() -> DelayNotice {
    DelayNotice {
        header: Header { v: VersionOne, nonce: [1; 16], issued: NOW, issuer: "judge.example".to_owned() },
        body: DelayNoticeBody {
            court: COURT.to_owned(),
            docket: "FST-1".to_owned(),
            request: REQUEST,
            until: Timestamp(NOW.0 + 90 * DAY),
        },
    }
}

fn check(order: &DelayNotice, change: fn(&mut TrustEntry), now: Timestamp) -> Result<VerifiedDelay> {
    let mut entry = trust_entry(TrustRole::Judge, &judge());
    change(&mut entry);
    let trust = Trust::founding(AgencyId([1; 16]), &[entry]);
    let object = SignedObject::parse(&order.sign(&[&judge()]).unwrap()).unwrap();
    verify_delay(&object, &REQUEST, EMBARGO, &trust, &Withdrawn::default(), now)
}

#[test]
fn a_court_extends_an_embargo() {
    let delay = check(&order(), |_| (), NOW).unwrap();
    assert_eq!(delay.until, Timestamp(NOW.0 + 90 * DAY));
    let bytes = order().sign(&[&judge()]).unwrap();
    assert_eq!(delay.authorisation, SignedObject::parse(&bytes).unwrap().digest());
    assert!(
        check(
            &order(),
            |entry| {
                entry.role = TrustRole::Clerk;
                entry.may_issue = true;
            },
            NOW
        )
        .is_ok()
    );
    assert!(check(&order(), |_| (), Timestamp(EMBARGO.0 - 1)).is_ok());
    assert!(check(&order(), |_| (), EMBARGO).is_err(), "what is published cannot be closed again");
}

#[test]
fn each_broken_order_is_refused() {
    for (what, change) in [
        ("another request", (|o| o.body.request = [5; 32]) as fn(&mut DelayNotice)),
        ("the same time", |o| o.body.until = EMBARGO),
        ("a shorter embargo", |o| o.body.until = Timestamp(EMBARGO.0 - 1)),
        ("for too long", |o| o.body.until = Timestamp(NOW.0 + PAPER_SECONDS_MAX + 1)),
        ("another court", |o| o.body.court = "Probate Court".to_owned()),
        ("from the future", |o| o.header.issued = Timestamp(NOW.0 + 1)),
        ("another issuer", |o| o.header.issuer = "clerk.example".to_owned()),
    ] {
        let mut broken = order();
        change(&mut broken);
        assert!(check(&broken, |_| (), NOW).is_err(), "{what}");
    }
    let mut longest = order();
    longest.body.until = Timestamp(NOW.0 + PAPER_SECONDS_MAX);
    assert!(check(&longest, |_| (), NOW).is_ok());
    for change in [
        (|entry| entry.role = TrustRole::Clerk) as fn(&mut TrustEntry),
        |entry| entry.role = TrustRole::Custodian,
        |entry| entry.court.clear(),
        |entry| entry.valid_until = NOW,
        |entry| entry.vkey = note_signer("judge.example", 9).verifier_key().clone(),
    ] {
        assert!(check(&order(), change, NOW).is_err());
    }
}

#[test]
fn a_withdrawn_order_or_key_is_none() {
    let object = SignedObject::parse(&order().sign(&[&judge()]).unwrap()).unwrap();
    let trust = Trust::founding(AgencyId([1; 16]), &[trust_entry(TrustRole::Judge, &judge())]);
    let with = |withdrawn: &Withdrawn| verify_delay(&object, &REQUEST, EMBARGO, &trust, withdrawn, NOW);
    assert!(with(&Withdrawn::default()).is_ok());
    let mut papers = Withdrawn::default();
    papers.papers.insert(object.digest(), [WithdrawnBy::Court(COURT.to_owned())].into());
    assert!(with(&papers).is_err());
    let mut keys = Withdrawn::default();
    keys.keys.insert(judge().verifier_key().to_string(), NOW);
    assert!(with(&keys).is_err());
}

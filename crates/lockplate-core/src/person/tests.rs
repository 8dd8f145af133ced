use super::*;
use crate::Timestamp;
use crate::decision::{HumanDecision, Verdict};
use crate::id::KeeperIndex;
use crate::passkey::tests::SoftKey;
use lockplate_oprf::Secret;

fn decision() -> HumanDecision {
    HumanDecision {
        request_digest: [3; 32],
        index: KeeperIndex(2),
        verdict: Verdict::Doubt,
        time: Timestamp(1_790_006_400),
    }
}

fn signed_hash() -> [u8; 32] {
    HumanDecision::signed_hash(&decision().encode())
}

#[test]
fn a_key_file_and_a_passkey_sign_the_same_statement() {
    let file = SigningKey::from_seed(&Secret::new([1; 32]));
    let by_file = ByPerson::with_key(&file, decision());
    let soft = SoftKey::es256(1);
    let passkey = PersonKey::Passkey(Box::new(soft.passkey()));
    let by_passkey = ByPerson::with_assertion(decision(), passkey.id(), soft.sign(&signed_hash()));
    let file = PersonKey::File(file.verify_key());
    for (statement, key, stranger) in [(&by_file, &file, &passkey), (&by_passkey, &passkey, &file)] {
        let again = ByPerson::<HumanDecision>::from_bytes(&statement.to_bytes()).unwrap();
        assert_eq!(&again, statement);
        assert_eq!(again.verify(key).unwrap(), &decision());
        assert_eq!(*again.claimed_key(), key.id());
        assert!(again.verify(stranger).is_err());
        assert_eq!(format!("{again:?}"), "ByPerson(42 bytes)");
    }
}

#[test]
fn another_verdict_than_the_one_signed_is_refused() {
    let soft = SoftKey::eddsa(1);
    let passkey = PersonKey::Passkey(Box::new(soft.passkey()));
    let yes = HumanDecision { verdict: Verdict::Approve, ..decision() };
    let turned = ByPerson::with_assertion(yes, passkey.id(), soft.sign(&signed_hash()));
    assert!(turned.verify(&passkey).is_err());
}

#[test]
fn forms_are_exact() {
    let bytes = ByPerson::with_key(&SigningKey::from_seed(&Secret::new([1; 32])), decision()).to_bytes();
    for cut in 0..bytes.len() {
        assert!(ByPerson::<HumanDecision>::from_bytes(&bytes[..cut]).is_err());
    }
    assert!(ByPerson::<HumanDecision>::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    // The kind stands behind the statement and its length.
    for kind in [0, 2, 3] {
        let mut other = bytes.clone();
        other[4 + 42] = kind;
        assert!(ByPerson::<HumanDecision>::from_bytes(&other).is_err(), "kind {kind} with 64 bytes");
    }
}

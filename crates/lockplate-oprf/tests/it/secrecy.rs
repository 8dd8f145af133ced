//! What the types keep to themselves.

use lockplate_oprf::{
    Blind, Error, KeyStatement, Pepper, PrfKey, Secret, Threshold, blind, blind_evaluate, prove, split, split_pepper,
};
use zeroize::ZeroizeOnDrop;

#[test]
fn debug_is_redacted_in_both_styles() {
    let mut rng = crate::rng(20);
    let threshold = Threshold::new(2, 3).unwrap();
    let key = PrfKey::random(&mut rng);
    let (shares, commitment) = split(&key, threshold, &mut rng);
    let pepper = Pepper::random(&mut rng);
    let pepper_shares = split_pepper(&pepper, threshold, &mut rng);
    let r = Blind::random(&mut rng);
    let blinded = blind(b"input", &r).unwrap();
    let evaluated = blind_evaluate(&shares[0], &blinded).unwrap();
    let public_share = commitment.public_share(shares[0].index());
    let statement = KeyStatement { header_hash: &[0; 32], public_share: &public_share, evaluated: &evaluated };
    let proof = prove(&[1; 32], shares[0].index(), &blinded, &[statement], &[&shares[0]], &mut rng).unwrap();
    let printed: [(&dyn std::fmt::Debug, &str); 8] = [
        (&Secret::new([3; 64]), "Secret(..)"),
        (&key, "PrfKey(..)"),
        (&r, "Blind(..)"),
        (&shares[0], "KeyShare(..)"),
        (&pepper, "Pepper(..)"),
        (&pepper_shares[0], "PepperShare(..)"),
        (&blinded, "Element(..)"),
        (&proof, "Proof(..)"),
    ];
    for (value, expected) in printed {
        assert_eq!(format!("{value:?}"), expected);
        assert_eq!(format!("{value:#?}"), expected);
    }
    assert_eq!(format!("{commitment:?}"), "VssCommitment(2 elements)");
}

#[test]
fn secret_types_are_wiped_on_drop() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<Secret<32>>();
    wiped::<PrfKey>();
    wiped::<Blind>();
    wiped::<lockplate_oprf::KeyShare>();
    wiped::<Pepper>();
    wiped::<lockplate_oprf::PepperShare>();
}

#[test]
fn secrets_compare_by_value() {
    let secret = Secret::new([1, 2, 3]);
    assert_eq!(secret, secret.clone());
    for place in 0..3 {
        let mut bytes = [1, 2, 3];
        bytes[place] ^= 0x80;
        assert_ne!(secret, Secret::new(bytes));
    }
}

#[test]
fn random_secrets_differ() {
    let mut rng = crate::rng(21);
    let secret = Secret::<32>::random(&mut rng);
    assert_ne!(secret, Secret::random(&mut rng));
    assert_ne!(secret, Secret::new([0; 32]));
}

/// An error is a small `Copy` value: nothing taken from an input fits into it.
#[test]
fn errors_carry_nothing() {
    fn copies<T: Copy>() {}
    copies::<Error>();
    assert_eq!(size_of::<Error>(), 1);
    assert_eq!(Error::InvalidProof.to_string(), "proof does not verify");
}

//! Sharing: every sufficient subset gives the same value, no smaller one gives anything, and what a bare share does not prevent.

use lockplate_oprf::{
    Blind, Error, KeyShare, KeyStatement, Pepper, PepperShare, PrfKey, ShareIndex, Threshold, VssCommitment, blind,
    blind_evaluate, combine, combine_peppers, combine_unblinded, evaluate, finalize, prove, split, split_pepper,
    unblind, verify,
};
use proptest::prelude::*;

/// All subsets of `0..n`, as lists of positions.
fn subsets(n: u8) -> impl Iterator<Item = Vec<usize>> {
    (0_u32..1 << n).map(move |mask| (0..usize::from(n)).filter(|i| mask >> i & 1 == 1).collect())
}

fn threshold_up_to(n_max: u8) -> impl Strategy<Value = Threshold> {
    (2..=n_max).prop_flat_map(|n| (2..=n, Just(n))).prop_map(|(t, n)| Threshold::new(t, n).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_sufficient_subset_gives_the_direct_value(
        threshold in threshold_up_to(5),
        seed in any::<u64>(),
        input in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut rng = crate::rng(seed);
        let key = PrfKey::random(&mut rng);
        let (shares, commitment) = split(&key, threshold, &mut rng);
        prop_assert_eq!(shares.len(), usize::from(threshold.n()));
        for share in &shares {
            prop_assert_eq!(commitment.verify(share), Ok(()));
        }
        let direct = evaluate(&key, &input).unwrap();
        let r = Blind::random(&mut rng);
        let blinded = blind(&input, &r).unwrap();
        for subset in subsets(threshold.n()) {
            let evaluations: Vec<_> = subset
                .iter()
                .map(|i| (shares[*i].index(), blind_evaluate(&shares[*i], &blinded).unwrap()))
                .collect();
            let combined = combine(&evaluations, threshold);
            if subset.len() < usize::from(threshold.t()) {
                prop_assert_eq!(combined, Err(Error::TooFewShares));
            } else {
                let n = unblind(&combined.unwrap(), &r).unwrap();
                prop_assert_eq!(combine_unblinded(&evaluations, threshold, &r), Ok(n));
                prop_assert_eq!(finalize(&input, &n), direct.clone());
            }
        }
    }

    #[test]
    fn every_sufficient_subset_gives_the_pepper(threshold in threshold_up_to(5), seed in any::<u64>()) {
        let mut rng = crate::rng(seed);
        let pepper = Pepper::random(&mut rng);
        let shares = split_pepper(&pepper, threshold, &mut rng);
        for subset in subsets(threshold.n()) {
            let copies: Vec<_> = subset
                .iter()
                .map(|i| PepperShare::from_bytes(shares[*i].index(), shares[*i].to_bytes().expose_secret()).unwrap())
                .collect();
            let combined = combine_peppers(&copies, threshold);
            if subset.len() < usize::from(threshold.t()) {
                prop_assert_eq!(combined.err(), Some(Error::TooFewShares));
            } else {
                prop_assert_eq!(combined.unwrap().to_secret(), pepper.to_secret());
            }
        }
    }

    #[test]
    fn a_commitment_survives_its_encoding(threshold in threshold_up_to(16), seed in any::<u64>()) {
        let mut rng = crate::rng(seed);
        let (shares, commitment) = split(&PrfKey::random(&mut rng), threshold, &mut rng);
        let bytes = commitment.to_bytes();
        prop_assert_eq!(bytes.len(), 32 * usize::from(threshold.t()));
        let decoded = VssCommitment::from_bytes(&bytes, threshold).unwrap();
        prop_assert_eq!(&decoded, &commitment);
        for share in &shares {
            prop_assert_eq!(decoded.verify(share), Ok(()));
        }
    }
}

/// A value interpolated through too few points is another value: the check of the count is not all that keeps t - 1 keepers out.
#[test]
fn one_share_short_gives_another_value() {
    let mut rng = crate::rng(3);
    let key = PrfKey::random(&mut rng);
    let (shares, _) = split(&key, Threshold::new(3, 5).unwrap(), &mut rng);
    let r = Blind::random(&mut rng);
    let blinded = blind(b"input", &r).unwrap();
    let evaluations: Vec<_> =
        shares[..2].iter().map(|share| (share.index(), blind_evaluate(share, &blinded).unwrap())).collect();
    let wrong = combine(&evaluations, Threshold::new(2, 5).unwrap()).unwrap();
    assert_ne!(finalize(b"input", &unblind(&wrong, &r).unwrap()), evaluate(&key, b"input").unwrap());
}

#[test]
fn the_largest_threshold_works() {
    let mut rng = crate::rng(4);
    let threshold = Threshold::new(16, 16).unwrap();
    let key = PrfKey::random(&mut rng);
    let (shares, commitment) = split(&key, threshold, &mut rng);
    let r = Blind::random(&mut rng);
    let blinded = blind(b"input", &r).unwrap();
    let evaluations: Vec<_> = shares
        .iter()
        .map(|share| {
            commitment.verify(share).unwrap();
            (share.index(), blind_evaluate(share, &blinded).unwrap())
        })
        .collect();
    let n = unblind(&combine(&evaluations, threshold).unwrap(), &r).unwrap();
    assert_eq!(finalize(b"input", &n), evaluate(&key, b"input").unwrap());
}

#[test]
fn two_splits_of_one_key_have_other_shares() {
    let mut rng = crate::rng(5);
    let key = PrfKey::random(&mut rng);
    let threshold = Threshold::new(2, 3).unwrap();
    let (first, first_commitment) = split(&key, threshold, &mut rng);
    let (second, _) = split(&key, threshold, &mut rng);
    for (first, second) in first.iter().zip(&second) {
        assert_ne!(first.to_secret(), second.to_secret());
        assert_eq!(first_commitment.verify(second), Err(Error::ShareOffCommitment));
    }
}

/// The control of the attack of LPv1 §8 ("why two phases"): two keepers that each answer another request, neither of them approved by two,
/// give the value between them. On bare shares it works, so what stops it is a keeper that demands one grant.
#[test]
fn answers_to_two_requests_combine_on_bare_shares() {
    let mut rng = crate::rng(6);
    let threshold = Threshold::new(2, 3).unwrap();
    let key = PrfKey::random(&mut rng);
    let (shares, commitment) = split(&key, threshold, &mut rng);
    let header_hash = [1; 32];
    let mut answer = |share: &KeyShare, grant_digest: [u8; 32]| {
        let r = Blind::random(&mut rng);
        let blinded = blind(b"input", &r).unwrap();
        let evaluated = blind_evaluate(share, &blinded).unwrap();
        let j = share.index();
        let public_share = commitment.public_share(j);
        let statements =
            [KeyStatement { header_hash: &header_hash, public_share: &public_share, evaluated: &evaluated }];
        let proof = prove(&grant_digest, j, &blinded, &statements, &[share], &mut rng).unwrap();
        assert_eq!(verify(&grant_digest, j, &blinded, &statements, &proof), Ok(()));
        (j, unblind(&evaluated, &r).unwrap())
    };
    let mixed: [(ShareIndex, _); 2] = [answer(&shares[0], [7; 32]), answer(&shares[2], [8; 32])];
    let n = combine(&mixed, threshold).unwrap();
    assert_eq!(finalize(b"input", &n), evaluate(&key, b"input").unwrap());
}

//! The arithmetic under the public functions: Horner, Lagrange, small multiples, and the dealing of the known answers, whose coefficients
//! no public function takes.

use super::*;

const KNOWN: &str = include_str!("../../../../spec/vectors/v1/known/lpv1-core.json");

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn share_bytes(epoch: &serde_json::Value, column: usize) -> Vec<Vec<u8>> {
    epoch["shares"].as_array().unwrap().iter().map(|row| bytes(&row[column])).collect()
}

/// At t = 2 the coefficient is the difference of two neighbouring shares.
fn known_polynomial(secret: &[u8], shares: &[Vec<u8>]) -> Polynomial {
    let scalar = |bytes: &[u8]| decode_nonzero_scalar(bytes).unwrap();
    Polynomial::new(Zeroizing::new(vec![scalar(secret), scalar(&shares[1]) - scalar(&shares[0])])).unwrap()
}

#[test]
fn dealing_with_the_known_coefficients_gives_the_known_shares() {
    let known: serde_json::Value = serde_json::from_str(KNOWN).unwrap();
    let epochs = known["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), 3);
    for epoch in epochs {
        let key_shares = share_bytes(epoch, 1);
        let key_polynomial = known_polynomial(&bytes(&epoch["k"]), &key_shares);
        let pepper_shares = share_bytes(epoch, 2);
        let pepper_polynomial = known_polynomial(&bytes(&epoch["c"]), &pepper_shares);
        for (index, (s, c)) in ShareIndex::all().zip(key_shares.iter().zip(&pepper_shares)) {
            assert_eq!(key_polynomial.at(index).as_bytes().as_slice(), s);
            assert_eq!(pepper_polynomial.at(index).as_bytes().as_slice(), c);
        }
        let commitment: Vec<u8> = epoch["A"].as_array().unwrap().iter().flat_map(bytes).collect();
        assert_eq!(key_polynomial.commit().to_bytes(), commitment);
    }
}

#[test]
fn a_polynomial_with_a_zero_coefficient_or_a_zero_share_is_drawn_again() {
    let polynomial = |coefficients: &[Scalar]| Polynomial::new(Zeroizing::new(coefficients.to_vec()));
    assert!(polynomial(&[Scalar::from(5_u8), Scalar::from(7_u8)]).is_some());
    assert!(polynomial(&[Scalar::from(5_u8), Scalar::ZERO]).is_none());
    for index in ShareIndex::all() {
        assert!(polynomial(&[-index.scalar(), Scalar::ONE]).is_none(), "zero at index {}", index.get());
    }
}

#[test]
fn small_multiples_are_multiples() {
    let point = RistrettoPoint::mul_base(&Scalar::from(1_000_003_u32));
    for factor in [0, 1, 2, 3, 15, 16, 12_870, u128::MAX] {
        assert_eq!(times(&point, factor), point * Scalar::from(factor));
    }
}

fn weights(indices: &[u8]) -> (Vec<i128>, u128) {
    let Weights { weights, divisor } = Weights::at_zero(&indices.iter().map(|j| ShareIndex(*j)).collect::<Vec<_>>());
    (weights, divisor)
}

#[test]
fn weights_of_small_sets() {
    assert_eq!(weights(&[1, 2]), (vec![2, -1], 1));
    assert_eq!(weights(&[2, 1]), (vec![-1, 2], 1));
    assert_eq!(weights(&[2, 3]), (vec![3, -2], 1));
    assert_eq!(weights(&[1, 2, 3]), (vec![3, -3, 1], 1));
    assert_eq!(weights(&[1, 3]), (vec![3, -1], 2));
    assert_eq!(weights(&[7]), (vec![1], 1));
}

/// A constant and a straight line come back at zero, from every set of indices there is, and nothing overflows.
#[test]
fn every_set_of_indices_has_weights() {
    for set in 1..1_u32 << SHARES_MAX {
        let indices: Vec<u8> = (1..=SHARES_MAX).filter(|index| set >> (index - 1) & 1 == 1).collect();
        let (weights, divisor) = weights(&indices);
        assert_eq!(weights.iter().sum::<i128>(), i128::try_from(divisor).unwrap(), "{indices:?}");
        let line: i128 = weights.iter().zip(&indices).map(|(weight, index)| weight * i128::from(*index)).sum();
        assert!(indices.len() == 1 || line == 0, "{indices:?}");
    }
}

#[test]
fn the_public_key_is_the_first_element_of_the_commitment() {
    let key = PrfKey::from_bytes(Scalar::from(77_u8).as_bytes()).unwrap();
    let (_, commitment) = split(&key, Threshold::new(3, 5).unwrap(), &mut rng());
    assert_eq!(commitment.0.len(), 3);
    assert_eq!(*commitment.0[0].point(), RistrettoPoint::mul_base(&Scalar::from(77_u8)));
}

fn rng() -> impl CryptoRng {
    use rand_chacha::rand_core::SeedableRng;
    rand_chacha::ChaCha20Rng::from_seed([9; 32])
}

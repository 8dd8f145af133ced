//! What needs a fixed nonce or other weights than the seed gives: the known answers, the hedging, and the forgery that weights prevent.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::oprf::{Blind, PrfKey, blind, blind_evaluate};
use crate::sharing::{Threshold, VssCommitment, split};

const KNOWN: &str = include_str!("../../../../spec/vectors/v1/known/lpv1-core.json");

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array(value: &serde_json::Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

#[test]
fn the_known_nonces_give_the_known_proofs() {
    let known: serde_json::Value = serde_json::from_str(KNOWN).unwrap();
    let grant_digest = array(&known["grant_digest"]);
    let blinded = Element::from_bytes(&bytes(&known["B"])).unwrap();
    let epochs = known["epochs"].as_array().unwrap();
    let evaluations = known["evaluations"].as_array().unwrap();
    assert_eq!((epochs.len(), evaluations.len()), (3, 2));
    for evaluation in evaluations {
        let j = ShareIndex::new(u8::try_from(evaluation["j"].as_u64().unwrap()).unwrap()).unwrap();
        let mut shares = Vec::new();
        let mut owned = Vec::new();
        for (epoch, evaluated) in epochs.iter().zip(evaluation["E"].as_array().unwrap()) {
            let row = &epoch["shares"][usize::from(j.get()) - 1];
            assert_eq!(row[0].as_u64().unwrap(), u64::from(j.get()));
            let share = KeyShare::from_bytes(j, &bytes(&row[1])).unwrap();
            let commitment_bytes: Vec<u8> = epoch["A"].as_array().unwrap().iter().flat_map(bytes).collect();
            let commitment = VssCommitment::from_bytes(&commitment_bytes, Threshold::new(2, 3).unwrap()).unwrap();
            commitment.verify(&share).unwrap();
            let made = blind_evaluate(&share, &blinded).unwrap();
            assert_eq!(made.to_bytes().as_slice(), bytes(evaluated));
            owned.push((array(&epoch["header_hash"]), commitment.public_share(j), made));
            shares.push(share);
        }
        let statements = statements(&owned);
        let witness =
            Witness::new(&grant_digest, j, &blinded, &statements, &shares.iter().collect::<Vec<_>>()).unwrap();
        let proof = witness.prove(&decode_scalar(&bytes(&evaluation["proof_nonce"])).unwrap());
        assert_eq!(proof.to_bytes().as_slice(), bytes(&evaluation["proof"]));
        assert_eq!(verify(&grant_digest, j, &blinded, &statements, &proof), Ok(()));
    }
}

/// One keeper, `count` epochs, true statements.
struct Fixture {
    j: ShareIndex,
    blinded: Element,
    shares: Vec<KeyShare>,
    owned: Vec<([u8; 32], Element, Element)>,
}

const GRANT: [u8; 32] = [5; 32];

fn fixture(count: u8) -> Fixture {
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    let j = ShareIndex::new(2).unwrap();
    let blinded = blind(b"input", &Blind::random(&mut rng)).unwrap();
    let mut shares = Vec::new();
    let mut owned = Vec::new();
    for epoch in 0..count {
        let (dealt, commitment) = split(&PrfKey::random(&mut rng), Threshold::new(2, 3).unwrap(), &mut rng);
        let share = dealt.into_iter().find(|share| share.index() == j).unwrap();
        owned.push(([epoch; 32], commitment.public_share(j), blind_evaluate(&share, &blinded).unwrap()));
        shares.push(share);
    }
    Fixture { j, blinded, shares, owned }
}

fn statements(owned: &[([u8; 32], Element, Element)]) -> Vec<KeyStatement<'_>> {
    owned
        .iter()
        .map(|(header_hash, public_share, evaluated)| KeyStatement { header_hash, public_share, evaluated })
        .collect()
}

/// The attack on a sum without weights: an error added to one evaluation and taken from another cancels, so a keeper could make any single
/// epoch answer "no match" and prove it. The same error under the real weights does not cancel.
#[test]
fn errors_that_cancel_forge_an_unweighted_proof_and_not_ours() {
    let Fixture { j, blinded, shares, mut owned } = fixture(2);
    let error = RistrettoPoint::mul_base(&Scalar::from(12_345_u32));
    owned[0].2 = Element::from_point(owned[0].2.point() + error).unwrap();
    owned[1].2 = Element::from_point(owned[1].2.point() - error).unwrap();
    let statements = statements(&owned);
    let u = Scalar::from(987_654_321_u32);

    let ones = [Scalar::ONE; 2];
    let unweighted = Witness {
        grant_digest: &GRANT,
        j,
        blinded: &blinded,
        seed: [0; 64],
        x: Zeroizing::new(shares.iter().map(|share| *share.scalar()).sum()),
    };
    let forged = unweighted.prove(&u);
    assert_eq!(verify_weighted(&ones, &GRANT, j, &blinded, &statements, &forged), Ok(()), "the attack is real");

    assert_eq!(verify(&GRANT, j, &blinded, &statements, &forged), Err(Error::InvalidProof));
    let shares: Vec<_> = shares.iter().collect();
    let weighted = Witness::new(&GRANT, j, &blinded, &statements, &shares).unwrap().prove(&u);
    assert_eq!(verify(&GRANT, j, &blinded, &statements, &weighted), Err(Error::InvalidProof));
}

/// Weights come after the evaluations: errors fitted to the weights of the true statements meet other weights.
#[test]
fn errors_fitted_to_earlier_weights_are_refused() {
    let Fixture { j, blinded, shares, mut owned } = fixture(2);
    let old_seed = weights_seed(&GRANT, j, &blinded, &statements(&owned)).unwrap();
    let old_weights = weights(&old_seed, 2);
    let error = RistrettoPoint::mul_base(&Scalar::from(12_345_u32));
    owned[0].2 = Element::from_point(owned[0].2.point() + error * old_weights[1]).unwrap();
    owned[1].2 = Element::from_point(owned[1].2.point() - error * old_weights[0]).unwrap();
    let statements = statements(&owned);
    let x = old_weights.iter().zip(&shares).map(|(weight, share)| weight * share.scalar()).sum();
    let fitted = Witness { grant_digest: &GRANT, j, blinded: &blinded, seed: old_seed, x: Zeroizing::new(x) };
    let proof = fitted.prove(&Scalar::from(987_654_321_u32));
    assert_eq!(verify_weighted(&old_weights, &GRANT, j, &blinded, &statements, &proof), Ok(()), "the fit is right");
    assert_eq!(verify(&GRANT, j, &blinded, &statements, &proof), Err(Error::InvalidProof));
}

#[test]
fn a_generator_that_repeats_itself_does_not_repeat_a_nonce() {
    let Fixture { j, blinded, shares, owned } = fixture(2);
    let statements = statements(&owned);
    let shares: Vec<_> = shares.iter().collect();
    let other_grant = [6; 32];
    let stuck = Secret::new([0; 64]);
    let first = Witness::new(&GRANT, j, &blinded, &statements, &shares).unwrap();
    let second = Witness::new(&other_grant, j, &blinded, &statements, &shares).unwrap();
    let fewer = Witness::new(&GRANT, j, &blinded, &statements[..1], &shares[..1]).unwrap();
    assert_eq!(*first.nonce(&stuck), *first.nonce(&stuck));
    assert_ne!(*first.nonce(&stuck), *second.nonce(&stuck));
    assert_ne!(*first.nonce(&stuck), *fewer.nonce(&stuck));
    assert_ne!(*first.nonce(&stuck), *first.nonce(&Secret::new([1; 64])), "fresh randomness counts");
    let other_secret = Witness { x: Zeroizing::new(*first.x + Scalar::ONE), ..first };
    assert_ne!(*other_secret.nonce(&stuck), *second.nonce(&stuck));
}

#[test]
fn the_sums_of_the_prover_are_the_sums_of_the_verifier() {
    let Fixture { j, blinded, shares, owned } = fixture(5);
    let statements = statements(&owned);
    let witness = Witness::new(&GRANT, j, &blinded, &statements, &shares.iter().collect::<Vec<_>>()).unwrap();
    let weights = weights(&witness.seed, 5);
    let sum = |element: fn(&KeyStatement<'_>) -> RistrettoPoint| {
        weights.iter().zip(&statements).map(|(weight, statement)| element(statement) * weight).sum::<RistrettoPoint>()
    };
    assert_eq!(sum(|statement| *statement.public_share.point()), RistrettoPoint::mul_base(&witness.x));
    assert_eq!(sum(|statement| *statement.evaluated.point()), blinded.point() * *witness.x);
}

#[test]
fn weights_have_128_bits_and_differ() {
    let weights = weights(&[8; 64], 100);
    assert_eq!(weights.len(), 100);
    for (i, weight) in weights.iter().enumerate() {
        assert_eq!(weight.as_bytes()[16..], [0; 16]);
        assert!(!weights[..i].contains(weight));
    }
}

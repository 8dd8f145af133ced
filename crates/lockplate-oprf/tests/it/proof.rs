//! The proof: accepted for what was proved, refused for anything else.

use lockplate_oprf::proof::STATEMENTS_MAX;
use lockplate_oprf::{
    Blind, Element, Error, KeyShare, KeyStatement, PrfKey, Proof, ShareIndex, Threshold, blind, blind_evaluate,
    blind_evaluate_each, prove, split, verify,
};
use proptest::prelude::*;

const GRANT: [u8; 32] = [5; 32];

#[derive(Clone)]
struct Epoch {
    header_hash: [u8; 32],
    public_share: Element,
    evaluated: Element,
}

/// Keeper 1's answer over some epochs, and what an alteration can take from elsewhere: keeper 2's side of the same epochs.
struct Answer {
    blinded: Element,
    epochs: Vec<Epoch>,
    shares: Vec<KeyShare>,
    neighbour: Vec<Epoch>,
    proof: Proof,
}

fn j(index: u8) -> ShareIndex {
    ShareIndex::new(index).unwrap()
}

fn statements(epochs: &[Epoch]) -> Vec<KeyStatement<'_>> {
    epochs
        .iter()
        .map(|epoch| KeyStatement {
            header_hash: &epoch.header_hash,
            public_share: &epoch.public_share,
            evaluated: &epoch.evaluated,
        })
        .collect()
}

fn answer(count: u8, seed: u64) -> Answer {
    let mut rng = crate::rng(seed);
    let blinded = blind(b"input", &Blind::random(&mut rng)).unwrap();
    let (mut epochs, mut shares, mut neighbour) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count {
        let (dealt, commitment) = split(&PrfKey::random(&mut rng), Threshold::new(2, 3).unwrap(), &mut rng);
        let side = |share: &KeyShare| Epoch {
            header_hash: [number; 32],
            public_share: commitment.public_share(share.index()),
            evaluated: blind_evaluate(share, &blinded).unwrap(),
        };
        epochs.push(side(&dealt[0]));
        neighbour.push(side(&dealt[1]));
        shares.extend(dealt.into_iter().take(1));
    }
    let proof =
        prove(&GRANT, j(1), &blinded, &statements(&epochs), &shares.iter().collect::<Vec<_>>(), &mut rng).unwrap();
    Answer { blinded, epochs, shares, neighbour, proof }
}

fn check(answer: &Answer, epochs: &[Epoch]) -> Result<(), Error> {
    verify(&GRANT, j(1), &answer.blinded, &statements(epochs), &answer.proof)
}

#[test]
fn many_shares_at_one_element_give_what_each_gives_alone() {
    for count in [0_u8, 1, 15, 16, 40] {
        let answer = answer(count.max(1), 9);
        let shares: Vec<&KeyShare> = answer.shares.iter().take(count.into()).collect();
        let alone: Vec<Element> = shares.iter().map(|share| blind_evaluate(share, &answer.blinded).unwrap()).collect();
        assert_eq!(blind_evaluate_each(&shares, &answer.blinded).unwrap(), alone, "{count} shares");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn true_statements_are_proved(count in 1_u8..12, seed in any::<u64>()) {
        let answer = answer(count, seed);
        prop_assert_eq!(check(&answer, &answer.epochs), Ok(()));
        let decoded = Proof::from_bytes(&answer.proof.to_bytes()).unwrap();
        prop_assert_eq!(decoded, answer.proof);
    }

    #[test]
    fn no_field_of_any_epoch_can_be_changed(count in 2_u8..8, seed in any::<u64>(), place in any::<prop::sample::Index>()) {
        let answer = answer(count, seed);
        let place = place.index(answer.epochs.len());
        let with = |change: &dyn Fn(&mut Epoch)| {
            let mut epochs = answer.epochs.clone();
            change(&mut epochs[place]);
            check(&answer, &epochs)
        };
        prop_assert_eq!(with(&|_| ()), Ok(()));
        prop_assert_eq!(with(&|epoch| epoch.header_hash[31] ^= 1), Err(Error::InvalidProof));
        prop_assert_eq!(with(&|epoch| epoch.evaluated = answer.neighbour[place].evaluated), Err(Error::InvalidProof));
        prop_assert_eq!(with(&|epoch| epoch.public_share = answer.neighbour[place].public_share), Err(Error::InvalidProof));
        prop_assert_eq!(with(&|epoch| *epoch = answer.neighbour[place].clone()), Err(Error::InvalidProof));
    }
}

#[test]
fn swapped_evaluations_are_refused() {
    let answer = answer(3, 1);
    let mut epochs = answer.epochs.clone();
    let first = epochs[0].evaluated;
    epochs[0].evaluated = epochs[1].evaluated;
    epochs[1].evaluated = first;
    assert_eq!(check(&answer, &epochs), Err(Error::InvalidProof));
}

#[test]
fn another_order_is_refused() {
    let answer = answer(3, 2);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let mut epochs = answer.epochs.clone();
        epochs.swap(a, b);
        assert_eq!(check(&answer, &epochs), Err(Error::InvalidProof));
    }
}

#[test]
fn a_missing_or_doubled_epoch_is_refused() {
    let answer = answer(3, 3);
    for place in 0..3 {
        let mut missing = answer.epochs.clone();
        let epoch = missing.remove(place);
        assert_eq!(check(&answer, &missing), Err(Error::InvalidProof));
        let mut doubled = answer.epochs.clone();
        doubled.insert(place, epoch);
        assert_eq!(check(&answer, &doubled), Err(Error::InvalidProof));
    }
}

#[test]
fn another_grant_index_or_element_is_refused() {
    let answer = answer(2, 4);
    let statements = statements(&answer.epochs);
    let mut other_grant = GRANT;
    other_grant[0] ^= 1;
    let refused = Err(Error::InvalidProof);
    assert_eq!(verify(&GRANT, j(1), &answer.blinded, &statements, &answer.proof), Ok(()));
    assert_eq!(verify(&other_grant, j(1), &answer.blinded, &statements, &answer.proof), refused);
    assert_eq!(verify(&GRANT, j(2), &answer.blinded, &statements, &answer.proof), refused);
    let other_element = blind(b"input", &Blind::random(&mut crate::rng(99))).unwrap();
    assert_eq!(verify(&GRANT, j(1), &other_element, &statements, &answer.proof), refused);
}

#[test]
fn no_bit_of_a_proof_can_be_changed() {
    let answer = answer(2, 5);
    let good = answer.proof.to_bytes();
    for bit in 0..8 * good.len() {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let outcome = Proof::from_bytes(&bytes)
            .and_then(|proof| verify(&GRANT, j(1), &answer.blinded, &statements(&answer.epochs), &proof));
        assert!(matches!(outcome, Err(Error::InvalidProof | Error::MalformedProof)), "bit {bit}");
    }
}

/// A keeper that proves with its share of another epoch gets a proof, and the verifier refuses it.
#[test]
fn a_proof_of_a_false_statement_does_not_verify() {
    let answer = answer(2, 6);
    let statements = statements(&answer.epochs);
    let crossed = [&answer.shares[1], &answer.shares[0]];
    let proof = prove(&GRANT, j(1), &answer.blinded, &statements, &crossed, &mut crate::rng(7)).unwrap();
    assert_eq!(verify(&GRANT, j(1), &answer.blinded, &statements, &proof), Err(Error::InvalidProof));
}

#[test]
fn the_prover_refuses_wrong_counts_and_foreign_shares() {
    let answer = answer(2, 8);
    let statements = statements(&answer.epochs);
    let shares: Vec<_> = answer.shares.iter().collect();
    let mut rng = crate::rng(8);
    let mut attempt = |index: u8, statements: &[KeyStatement<'_>], shares: &[&KeyShare]| {
        prove(&GRANT, j(index), &answer.blinded, statements, shares, &mut rng).map(|_| ())
    };
    assert_eq!(attempt(1, &statements, &shares), Ok(()));
    assert_eq!(attempt(1, &statements, &shares[..1]), Err(Error::StatementCount));
    assert_eq!(attempt(1, &statements[..1], &shares), Err(Error::StatementCount));
    assert_eq!(attempt(1, &[], &[]), Err(Error::StatementCount));
    assert_eq!(attempt(2, &statements, &shares), Err(Error::IndexMismatch));
}

#[test]
fn statements_are_bounded() {
    let answer = answer(1, 9);
    let share = &answer.shares[0];
    let one = statements(&answer.epochs)[0];
    let mut rng = crate::rng(9);
    let most = vec![one; STATEMENTS_MAX];
    let proof = prove(&GRANT, j(1), &answer.blinded, &most, &vec![share; STATEMENTS_MAX], &mut rng).unwrap();
    assert_eq!(verify(&GRANT, j(1), &answer.blinded, &most, &proof), Ok(()));
    let too_many = vec![one; STATEMENTS_MAX + 1];
    let refused = prove(&GRANT, j(1), &answer.blinded, &too_many, &vec![share; STATEMENTS_MAX + 1], &mut rng);
    assert_eq!(refused, Err(Error::StatementCount));
    assert_eq!(verify(&GRANT, j(1), &answer.blinded, &too_many, &proof), Err(Error::StatementCount));
    assert_eq!(verify(&GRANT, j(1), &answer.blinded, &[], &proof), Err(Error::StatementCount));
}

#[test]
fn two_proofs_of_one_statement_differ() {
    let answer = answer(1, 10);
    let statements = statements(&answer.epochs);
    let mut rng = crate::rng(11);
    let again = prove(&GRANT, j(1), &answer.blinded, &statements, &[&answer.shares[0]], &mut rng).unwrap();
    assert_ne!(again, answer.proof);
    assert_eq!(verify(&GRANT, j(1), &answer.blinded, &statements, &again), Ok(()));
}

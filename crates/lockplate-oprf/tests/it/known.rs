//! `spec/vectors/v1/known/lpv1-core.json`, which an implementation in another language reproduces. What needs a fixed coefficient or nonce
//! is tested beside the code.

use lockplate_oprf::{
    Blind, Element, KeyShare, KeyStatement, PepperShare, PrfKey, Proof, ShareIndex, Threshold, VssCommitment, blind,
    blind_evaluate, combine, combine_peppers, evaluate, finalize, hash_to_group, unblind, verify,
};
use serde_json::Value;

fn known() -> Value {
    serde_json::from_str(include_str!("../../../../spec/vectors/v1/known/lpv1-core.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn element(value: &Value) -> Element {
    Element::from_bytes(&bytes(value)).unwrap()
}

fn index(value: &Value) -> ShareIndex {
    ShareIndex::new(u8::try_from(value.as_u64().unwrap()).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

fn commitment(epoch: &Value) -> VssCommitment {
    let bytes: Vec<u8> = list(&epoch["A"]).iter().flat_map(bytes).collect();
    VssCommitment::from_bytes(&bytes, threshold()).unwrap()
}

fn threshold() -> Threshold {
    Threshold::new(2, 3).unwrap()
}

#[test]
fn input_to_element() {
    let known = known();
    let input = bytes(&known["plate_input"]);
    assert_eq!(hash_to_group(&input).unwrap(), element(&known["H2G"]));
    let r = Blind::from_bytes(&bytes(&known["r"])).unwrap();
    assert_eq!(blind(&input, &r).unwrap(), element(&known["B"]));
}

#[test]
fn keys_shares_and_outputs() {
    let known = known();
    let input = bytes(&known["plate_input"]);
    for epoch in list(&known["epochs"]) {
        let key = PrfKey::from_bytes(&bytes(&epoch["k"])).unwrap();
        assert_eq!(evaluate(&key, &input).unwrap().expose_secret().as_slice(), bytes(&epoch["oprf_output"]));
        let commitment = commitment(epoch);
        for row in list(&epoch["shares"]) {
            let share = KeyShare::from_bytes(index(&row[0]), &bytes(&row[1])).unwrap();
            assert_eq!(commitment.verify(&share), Ok(()));
            assert_eq!(share.to_secret().expose_secret().as_slice(), bytes(&row[1]));
        }
    }
}

#[test]
fn evaluations_proofs_and_the_requesters_side() {
    let known = known();
    let input = bytes(&known["plate_input"]);
    let grant_digest: [u8; 32] = bytes(&known["grant_digest"]).try_into().unwrap();
    let blinded = element(&known["B"]);
    let r = Blind::from_bytes(&bytes(&known["r"])).unwrap();
    let epochs = list(&known["epochs"]);
    let mut by_epoch = vec![Vec::new(); epochs.len()];
    for evaluation in list(&known["evaluations"]) {
        let j = index(&evaluation["j"]);
        let mut owned = Vec::new();
        for (epoch, (value, column)) in epochs.iter().zip(list(&evaluation["E"]).iter().zip(&mut by_epoch)) {
            let evaluated = element(value);
            let row = &epoch["shares"][usize::from(j.get()) - 1];
            let share = KeyShare::from_bytes(index(&row[0]), &bytes(&row[1])).unwrap();
            assert_eq!(share.index(), j);
            assert_eq!(blind_evaluate(&share, &blinded).unwrap(), evaluated);
            column.push((j, evaluated));
            let header_hash: [u8; 32] = bytes(&epoch["header_hash"]).try_into().unwrap();
            owned.push((header_hash, commitment(epoch).public_share(j), evaluated));
        }
        let statements: Vec<_> = owned
            .iter()
            .map(|(header_hash, public_share, evaluated)| KeyStatement { header_hash, public_share, evaluated })
            .collect();
        let proof = Proof::from_bytes(&bytes(&evaluation["proof"])).unwrap();
        assert_eq!(proof.to_bytes().as_slice(), bytes(&evaluation["proof"]));
        assert_eq!(verify(&grant_digest, j, &blinded, &statements, &proof), Ok(()));
    }
    for (epoch, evaluations) in epochs.iter().zip(&by_epoch) {
        assert_eq!(evaluations.len(), 2);
        let n = unblind(&combine(evaluations, threshold()).unwrap(), &r).unwrap();
        assert_eq!(finalize(&input, &n).expose_secret().as_slice(), bytes(&epoch["oprf_output"]));
    }
}

#[test]
fn peppers_from_every_pair() {
    for epoch in list(&known()["epochs"]) {
        for pair in [[0, 1], [0, 2], [1, 2]] {
            let shares = pair.map(|i: usize| {
                let row = &epoch["shares"][i];
                PepperShare::from_bytes(index(&row[0]), &bytes(&row[2])).unwrap()
            });
            let pepper = combine_peppers(&shares, threshold()).unwrap();
            assert_eq!(pepper.to_secret().expose_secret().as_slice(), bytes(&epoch["c"]));
        }
    }
}

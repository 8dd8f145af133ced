//! `known/lpv1-core.json`, made by another implementation: sealing, the pepper, combination. The group layer checks its own part of the
//! same file with the fixed nonce.

use lockplate_oprf::Element;
use lockplate_oprf::oprf::{self, Blind, PrfKey};
use lockplate_oprf::proof::{self, KeyStatement, Proof};
use lockplate_oprf::sharing::{self, KeyShare, Pepper, PepperShare, ShareIndex, Threshold, VssCommitment};
use serde_json::Value;

use crate::epoch::{kappa, kappa_commit};
use crate::id::EpochId;
use crate::seal::{cell_keys, extract, open_cell, seal_cell};

fn known() -> Value {
    serde_json::from_str(include_str!("../../../../spec/vectors/v1/known/lpv1-core.json")).unwrap()
}

fn of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

fn index(value: &Value) -> ShareIndex {
    ShareIndex::new(u8::try_from(value.as_u64().unwrap()).unwrap()).unwrap()
}

fn epoch_id(epoch: &Value) -> EpochId {
    EpochId(of(&epoch["epoch_id"]).try_into().unwrap())
}

#[test]
fn output_kappa_prk_and_cells() {
    let known = known();
    let input = of(&known["plate_input"]);
    for (number, epoch) in list(&known["epochs"]).iter().enumerate() {
        let id = epoch_id(epoch);
        let y = oprf::evaluate(&PrfKey::from_bytes(&of(&epoch["k"])).unwrap(), &input).unwrap();
        assert_eq!(y.expose_secret().as_slice(), of(&epoch["oprf_output"]));
        let kappa = kappa(id, &Pepper::from_bytes(&of(&epoch["c"])).unwrap());
        assert_eq!(kappa.expose_secret().as_slice(), of(&epoch["kappa"]));
        for (row, commit) in list(&epoch["shares"]).iter().zip(list(&epoch["kappa_commit"])) {
            let share = PepperShare::from_bytes(index(&row[0]), &of(&row[2])).unwrap();
            assert_eq!(kappa_commit(id, &share).as_slice(), of(commit));
        }
        let prk = extract(&kappa, &y);
        assert_eq!(prk.expose_secret().as_slice(), of(&epoch["prk"]));
        for (counter, name, record) in [(0_u8, "cell0", b"first read".as_slice()), (1, "cell1", b"second read")] {
            let cell = of(&epoch[name]);
            let nonce: [u8; 12] = cell[32..44].try_into().unwrap();
            assert_eq!(nonce, [counter * 0x40 + u8::try_from(number).unwrap(); 12], "the file's own fixed nonce");
            let keys = cell_keys(&prk, id, counter.into()).unwrap();
            assert_eq!(seal_cell(&keys, id, &nonce, record).unwrap().as_slice(), cell);
            assert_eq!(open_cell(&keys, id, &cell.try_into().unwrap()).unwrap().as_slice(), record);
        }
    }
}

#[test]
fn evaluations_combine_to_the_recovered_prk() {
    let known = known();
    let (input, threshold) = (of(&known["plate_input"]), Threshold::new(2, 3).unwrap());
    let r = Blind::from_bytes(&of(&known["r"])).unwrap();
    let blinded = oprf::blind(&input, &r).unwrap();
    assert_eq!(blinded.to_bytes().as_slice(), of(&known["B"]));
    let grant_digest: [u8; 32] = of(&known["grant_digest"]).try_into().unwrap();
    let epochs = list(&known["epochs"]);
    let mut columns = vec![(Vec::new(), Vec::new()); epochs.len()];
    for evaluation in list(&known["evaluations"]) {
        let j = index(&evaluation["j"]);
        let mut owned = Vec::new();
        for (at, epoch) in epochs.iter().enumerate() {
            let row = list(&epoch["shares"]).iter().find(|row| index(&row[0]) == j).unwrap();
            let share = KeyShare::from_bytes(j, &of(&row[1])).unwrap();
            let evaluated = oprf::blind_evaluate(&share, &blinded).unwrap();
            assert_eq!(evaluated, Element::from_bytes(&of(&evaluation["E"][at])).unwrap());
            columns[at].0.push((j, evaluated));
            columns[at].1.push(of(&row[2]));
            let commitment: Vec<u8> = list(&epoch["A"]).iter().flat_map(of).collect();
            let public = VssCommitment::from_bytes(&commitment, threshold).unwrap().public_share(j);
            let header_hash: [u8; 32] = of(&epoch["header_hash"]).try_into().unwrap();
            owned.push((header_hash, public, evaluated));
        }
        let statements: Vec<_> = owned
            .iter()
            .map(|(header_hash, public_share, evaluated)| KeyStatement { header_hash, public_share, evaluated })
            .collect();
        let proof = Proof::from_bytes(&of(&evaluation["proof"])).unwrap();
        assert_eq!(proof::verify(&grant_digest, j, &blinded, &statements, &proof), Ok(()));
    }
    for ((epoch, (points, peppers)), prk) in epochs.iter().zip(&columns).zip(list(&known["recovered_prk"])) {
        let n = oprf::unblind(&sharing::combine(points, threshold).unwrap(), &r).unwrap();
        let shares: Vec<_> =
            points.iter().zip(peppers).map(|((j, _), bytes)| PepperShare::from_bytes(*j, bytes).unwrap()).collect();
        let kappa = kappa(epoch_id(epoch), &sharing::combine_peppers(&shares, threshold).unwrap());
        let recovered = extract(&kappa, &oprf::finalize(&input, &n));
        assert_eq!(recovered.expose_secret().as_slice(), of(prk));
        assert_eq!(of(prk), of(&epoch["prk"]));
    }
}

#[test]
fn the_known_answers_are_the_designs_own() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors/v1/known/lpv1-core.json");
    let design = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/lpv1-core.json");
    match std::fs::read_to_string(design) {
        Ok(theirs) => {
            assert!(std::fs::read_to_string(here).unwrap() == theirs, "known/lpv1-core.json is not the design's")
        }
        Err(_) => {
            #[expect(clippy::print_stderr, reason = "a skipped comparison must be seen")]
            {
                eprintln!(
                    "SKIPPED: ../shared/vectors/lpv1-core.json is absent; known/lpv1-core.json is not compared with it"
                );
            }
        }
    }
}

//! RFC 9497 appendix A.1.1, parsed from its own text, directly and through every two of three keepers.

use lockplate_oprf::{
    Blind, Element, PrfKey, Secret, Threshold, blind, blind_evaluate, combine, evaluate, evaluate_blinded, finalize,
    hash_to_group, split, unblind,
};

const APPENDIX: &str = include_str!("rfc9497-a.1.1.txt");

/// The values named `name`, in order; a value goes on over lines that hold nothing but hexadecimal digits.
fn values(name: &str) -> Vec<Vec<u8>> {
    let mut values: Vec<String> = Vec::new();
    let mut within = false;
    for line in APPENDIX.lines().map(str::trim) {
        if let Some((left, right)) = line.split_once(" = ") {
            within = left == name;
            if within {
                values.push(right.to_owned());
            }
        } else if within && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            values.last_mut().unwrap().push_str(line);
        } else {
            within = false;
        }
    }
    values.iter().map(|value| hex::decode(value).unwrap()).collect()
}

struct Vector {
    input: Vec<u8>,
    r: Blind,
    blinded: Vec<u8>,
    evaluated: Vec<u8>,
    output: Vec<u8>,
}

fn key() -> PrfKey {
    let [key] = values("skSm").try_into().unwrap();
    PrfKey::from_bytes(&key).unwrap()
}

fn vectors() -> Vec<Vector> {
    let [inputs, blinds, blinded, evaluated, outputs] =
        ["Input", "Blind", "BlindedElement", "EvaluationElement", "Output"].map(values);
    assert_eq!([&inputs, &blinds, &blinded, &evaluated, &outputs].map(Vec::len), [2; 5]);
    assert!(outputs.iter().all(|output| output.len() == 64));
    (0..2)
        .map(|i| Vector {
            input: inputs[i].clone(),
            r: Blind::from_bytes(&blinds[i]).unwrap(),
            blinded: blinded[i].clone(),
            evaluated: evaluated[i].clone(),
            output: outputs[i].clone(),
        })
        .collect()
}

#[test]
fn the_key_holder_gets_the_output() {
    for vector in vectors() {
        assert_eq!(evaluate(&key(), &vector.input).unwrap().expose_secret().as_slice(), vector.output);
    }
}

#[test]
fn the_requester_gets_the_output_from_the_element() {
    for vector in vectors() {
        assert_eq!(blind(&vector.input, &vector.r).unwrap().to_bytes().as_slice(), vector.blinded);
        let n = unblind(&Element::from_bytes(&vector.evaluated).unwrap(), &vector.r).unwrap();
        assert_eq!(finalize(&vector.input, &n).expose_secret().as_slice(), vector.output);
    }
}

#[test]
fn unblinding_the_blinded_element_gives_the_hash() {
    for vector in vectors() {
        let n = unblind(&Element::from_bytes(&vector.blinded).unwrap(), &vector.r).unwrap();
        assert_eq!(n, hash_to_group(&vector.input).unwrap());
    }
}

#[test]
fn every_two_of_three_keepers_give_the_element_and_the_output() {
    let threshold = Threshold::new(2, 3).unwrap();
    let (shares, _) = split(&key(), threshold, &mut crate::rng(1));
    for vector in vectors() {
        let blinded = Element::from_bytes(&vector.blinded).unwrap();
        for pair in [[0, 1], [0, 2], [1, 2], [2, 0]] {
            let evaluations = pair.map(|i: usize| (shares[i].index(), blind_evaluate(&shares[i], &blinded).unwrap()));
            let combined = combine(&evaluations, threshold).unwrap();
            assert_eq!(combined.to_bytes().as_slice(), vector.evaluated);
            let n = unblind(&combined, &vector.r).unwrap();
            assert_eq!(finalize(&vector.input, &n).expose_secret().as_slice(), vector.output);
        }
    }
}

#[test]
fn the_key_comes_from_its_seed() {
    let [seed] = values("Seed").try_into().unwrap();
    let [info] = values("KeyInfo").try_into().unwrap();
    let seed = Secret::<32>::from_slice(&seed).unwrap();
    let key = PrfKey::derive(&seed, &info).unwrap();
    for vector in vectors() {
        let blinded = Element::from_bytes(&vector.blinded).unwrap();
        let evaluated = evaluate_blinded(&key, &blinded).unwrap();
        assert_eq!(evaluated.to_bytes().to_vec(), vector.evaluated);
        let output = finalize(&vector.input, &unblind(&evaluated, &vector.r).unwrap());
        assert_eq!(output.expose_secret().to_vec(), vector.output);
        let other = PrfKey::derive(&seed, b"another use").unwrap();
        assert_ne!(evaluate(&other, &vector.input).unwrap().expose_secret().to_vec(), vector.output);
    }
    assert!(PrfKey::derive(&seed, &vec![0; 65_535]).is_ok());
    assert!(PrfKey::derive(&seed, &vec![0; 65_536]).is_err());
}

//! `voprf-ng`, which shares no protocol code with this crate, as the other side and as the judge.

use lockplate_oprf::{
    Blind, Element, PrfKey, Threshold, blind, blind_evaluate, combine, evaluate, finalize, split, unblind,
};
use proptest::prelude::*;
use voprf_ng::{BlindedElement, EvaluationElement, OprfClient, OprfServer, Ristretto255};

/// Below the order of the group whatever the bytes.
fn scalar_bytes() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>().prop_map(|mut bytes| {
        bytes[31] &= 0x0f;
        bytes[0] |= 1;
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn their_server_and_our_key_agree(key in scalar_bytes(), input in prop::collection::vec(any::<u8>(), 1..200)) {
        let server = OprfServer::<Ristretto255>::new_with_key(&key).unwrap();
        let ours = evaluate(&PrfKey::from_bytes(&key).unwrap(), &input).unwrap();
        let theirs = server.evaluate(&input).unwrap();
        prop_assert_eq!(ours.expose_secret().as_slice(), theirs.as_slice());
    }

    #[test]
    fn their_server_answers_our_requester(
        key in scalar_bytes(),
        r in scalar_bytes(),
        input in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let server = OprfServer::<Ristretto255>::new_with_key(&key).unwrap();
        let r = Blind::from_bytes(&r).unwrap();
        let blinded = blind(&input, &r).unwrap();
        let evaluated = server.blind_evaluate(&BlindedElement::deserialize(&blinded.to_bytes()).unwrap());
        let n = unblind(&Element::from_bytes(&evaluated.serialize()).unwrap(), &r).unwrap();
        let output = finalize(&input, &n);
        let theirs = server.evaluate(&input).unwrap();
        prop_assert_eq!(output.expose_secret().as_slice(), theirs.as_slice());
    }

    #[test]
    fn our_keepers_answer_their_client(
        key in scalar_bytes(),
        seed in any::<u64>(),
        input in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let mut rng = crate::rng(seed);
        let client = OprfClient::<Ristretto255>::blind(&input, &mut rng).unwrap();
        let blinded = Element::from_bytes(&client.message.serialize()).unwrap();
        let threshold = Threshold::new(3, 5).unwrap();
        let (shares, _) = split(&PrfKey::from_bytes(&key).unwrap(), threshold, &mut rng);
        let evaluations: Vec<_> =
            shares[1..4].iter().map(|share| (share.index(), blind_evaluate(share, &blinded).unwrap())).collect();
        let combined = combine(&evaluations, threshold).unwrap();
        let theirs =
            client.state.finalize(&input, &EvaluationElement::deserialize(&combined.to_bytes()).unwrap()).unwrap();
        let direct = evaluate(&PrfKey::from_bytes(&key).unwrap(), &input).unwrap();
        prop_assert_eq!(theirs.as_slice(), direct.expose_secret().as_slice());
    }
}

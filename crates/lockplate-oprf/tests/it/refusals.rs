//! What must be refused, and as what.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use lockplate_oprf::oprf::INPUT_BYTES_MAX;
use lockplate_oprf::{
    Blind, Element, Error, KeyShare, Pepper, PepperShare, PrfKey, Proof, Secret, ShareIndex, Threshold, VssCommitment,
    blind, blind_evaluate, combine, combine_peppers, evaluate, finalize, hash_to_group, split,
};
use proptest::prelude::*;

/// The order of the group, little-endian: the smallest scalar that is not canonical.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn j(index: u8) -> ShareIndex {
    ShareIndex::new(index).unwrap()
}

fn element(multiple: u64) -> Element {
    Element::from_bytes(&point(multiple).compress().to_bytes()).unwrap()
}

fn point(multiple: u64) -> RistrettoPoint {
    RistrettoPoint::mul_base(&Scalar::from(multiple))
}

#[test]
fn the_identity_is_no_element() {
    assert_eq!(Element::from_bytes(&[0; 32]), Err(Error::IdentityElement));
}

#[test]
fn bad_encodings_are_no_elements() {
    for (what, text) in [
        ("field element above the prime", "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        ("the prime plus 18", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        (
            "the prime: a second encoding of the identity",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ),
        ("negative field element", "0100000000000000000000000000000000000000000000000000000000000000"),
        ("minus one", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        ("no square root", "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"),
    ] {
        assert_eq!(Element::from_bytes(&hex32(text)), Err(Error::MalformedElement), "{what}");
    }
    let good = element(5).to_bytes();
    assert!(Element::from_bytes(&good).is_ok());
    assert_eq!(Element::from_bytes(&good[..31]), Err(Error::MalformedElement));
    assert_eq!(Element::from_bytes(&[&good[..], &[0]].concat()), Err(Error::MalformedElement));
    assert_eq!(Element::from_bytes(&[]), Err(Error::MalformedElement));
    let mut high_bit = good;
    high_bit[31] |= 0x80;
    assert_eq!(Element::from_bytes(&high_bit), Err(Error::MalformedElement));
}

/// Every decoder of a secret scalar.
fn decode_as_every_scalar(bytes: &[u8]) -> [Option<Error>; 5] {
    [
        Blind::from_bytes(bytes).err(),
        PrfKey::from_bytes(bytes).err(),
        KeyShare::from_bytes(j(1), bytes).err(),
        Pepper::from_bytes(bytes).err(),
        PepperShare::from_bytes(j(1), bytes).err(),
    ]
}

#[test]
fn bad_scalars_are_refused_everywhere() {
    let order = hex32(ORDER);
    let mut below = order;
    below[0] -= 1;
    assert_eq!(decode_as_every_scalar(&below), [None; 5], "the greatest scalar");
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(decode_as_every_scalar(&one), [None; 5], "the smallest scalar");
    assert_eq!(decode_as_every_scalar(&[0; 32]), [Some(Error::ZeroScalar); 5], "r = 0 and its like");
    for bad in [&order[..], &[0xff; 32], &one[..31], &[0; 33], &[]] {
        assert_eq!(decode_as_every_scalar(bad), [Some(Error::MalformedScalar); 5]);
    }
}

#[test]
fn bad_proofs_are_malformed() {
    let order = hex32(ORDER);
    let one = Scalar::ONE.to_bytes();
    assert!(Proof::from_bytes(&[one, one].concat()).is_ok());
    for bad in [[order, one].concat(), [one, order].concat(), vec![0; 63], vec![0; 65], vec![]] {
        assert_eq!(Proof::from_bytes(&bad), Err(Error::MalformedProof));
    }
}

#[test]
fn thresholds() {
    for t in 0..=18 {
        for n in 0..=18 {
            let threshold = Threshold::new(t, n);
            if t >= 2 && n >= t && n <= 16 {
                let threshold = threshold.unwrap();
                assert_eq!((threshold.t(), threshold.n()), (t, n));
                assert_eq!(threshold.indices().map(ShareIndex::get).collect::<Vec<_>>(), (1..=n).collect::<Vec<_>>());
            } else {
                assert_eq!(threshold, Err(Error::InvalidThreshold), "{t} of {n}");
            }
        }
    }
    assert_eq!(Threshold::new(2, u8::MAX), Err(Error::InvalidThreshold));
    assert_eq!(Threshold::new(u8::MAX, u8::MAX), Err(Error::InvalidThreshold));
}

#[test]
fn share_indices() {
    for index in 0..=u8::MAX {
        let expected = if (1..=16).contains(&index) { Ok(index) } else { Err(Error::InvalidIndex) };
        assert_eq!(ShareIndex::new(index).map(ShareIndex::get), expected);
        assert_eq!(ShareIndex::try_from(index), ShareIndex::new(index));
    }
}

#[test]
fn inputs_are_bounded() {
    let key = PrfKey::from_bytes(Scalar::from(3_u8).as_bytes()).unwrap();
    let r = Blind::from_bytes(Scalar::from(4_u8).as_bytes()).unwrap();
    let longest = vec![1; INPUT_BYTES_MAX];
    assert!(hash_to_group(&longest).is_ok() && blind(&longest, &r).is_ok() && evaluate(&key, &longest).is_ok());
    let too_long = vec![1; INPUT_BYTES_MAX + 1];
    assert_eq!(hash_to_group(&too_long), Err(Error::InputTooLong));
    assert_eq!(blind(&too_long, &r), Err(Error::InputTooLong));
    assert_eq!(evaluate(&key, &too_long), Err(Error::InputTooLong));
    assert_ne!(finalize(&longest, &element(1)), finalize(&too_long, &element(1)));
}

#[test]
fn a_share_off_its_commitment_is_refused() {
    let mut rng = crate::rng(10);
    let threshold = Threshold::new(2, 3).unwrap();
    let (shares, commitment) = split(&PrfKey::random(&mut rng), threshold, &mut rng);
    let (_, other) = split(&PrfKey::random(&mut rng), threshold, &mut rng);
    for share in &shares {
        let secret = share.to_secret();
        assert_eq!(other.verify(share), Err(Error::ShareOffCommitment), "another epoch");
        for index in threshold.indices().filter(|index| *index != share.index()) {
            let moved = KeyShare::from_bytes(index, secret.expose_secret()).unwrap();
            assert_eq!(commitment.verify(&moved), Err(Error::ShareOffCommitment), "another index");
        }
        let scalar = Scalar::from_canonical_bytes(*secret.expose_secret()).unwrap();
        let off_by_one = KeyShare::from_bytes(share.index(), (scalar + Scalar::ONE).as_bytes()).unwrap();
        assert_eq!(commitment.verify(&off_by_one), Err(Error::ShareOffCommitment), "another value");
    }
}

#[test]
fn of_many_shares_each_is_held_against_its_own_commitment() {
    let mut rng = crate::rng(14);
    let threshold = Threshold::new(2, 3).unwrap();
    let place = threshold.indices().next().unwrap();
    let dealt: Vec<_> = (0..8).map(|_| split(&PrfKey::random(&mut rng), threshold, &mut rng)).collect();
    let public: Vec<_> = dealt.iter().map(|(_, commitment)| commitment.public_share(place)).collect();
    let shares: Vec<_> = dealt.iter().map(|(shares, _)| &shares[0]).collect();
    let mut verify =
        |shares: &[&KeyShare]| KeyShare::verify_all(&shares.iter().copied().zip(&public).collect::<Vec<_>>(), &mut rng);
    assert_eq!((verify(&[]), verify(&shares)), (Ok(()), Ok(())));
    for at in 0..8 {
        let scalar = Scalar::from_canonical_bytes(*shares[at].to_secret().expose_secret()).unwrap();
        let above = KeyShare::from_bytes(place, (scalar + Scalar::ONE).as_bytes()).unwrap();
        let mut some = shares.clone();
        some[at] = &above;
        assert_eq!(verify(&some), Err(Error::ShareOffCommitment), "share {at} is off by one");
        // One too high beside one too low: without weights the sum would be right.
        let next = (at + 1) % 8;
        let scalar = Scalar::from_canonical_bytes(*shares[next].to_secret().expose_secret()).unwrap();
        let below = KeyShare::from_bytes(place, (scalar - Scalar::ONE).as_bytes()).unwrap();
        some[next] = &below;
        assert_eq!(verify(&some), Err(Error::ShareOffCommitment), "shares {at} and {next} are off");
        let mut swapped = shares.clone();
        swapped.swap(at, next);
        assert_eq!(verify(&swapped), Err(Error::ShareOffCommitment), "{at} and {next} are exchanged");
    }
}

#[test]
fn commitments_have_one_length() {
    let mut rng = crate::rng(11);
    let (_, commitment) = split(&PrfKey::random(&mut rng), Threshold::new(3, 5).unwrap(), &mut rng);
    let bytes = commitment.to_bytes();
    let decode = |bytes: &[u8], t| VssCommitment::from_bytes(bytes, Threshold::new(t, 5).unwrap());
    assert_eq!(decode(&bytes, 3), Ok(commitment));
    assert_eq!(decode(&bytes, 2), Err(Error::MalformedCommitment));
    assert_eq!(decode(&bytes, 4), Err(Error::MalformedCommitment));
    assert_eq!(decode(&bytes[..95], 3), Err(Error::MalformedCommitment));
    assert_eq!(decode(&[&bytes[..], &[0]].concat(), 3), Err(Error::MalformedCommitment));
    assert_eq!(decode(&[], 2), Err(Error::MalformedCommitment));
    let mut with_identity = bytes.clone();
    with_identity[64..].fill(0);
    assert_eq!(decode(&with_identity, 3), Err(Error::IdentityElement));
    let mut with_garbage = bytes;
    with_garbage[32..64].fill(0xff);
    assert_eq!(decode(&with_garbage, 3), Err(Error::MalformedElement));
}

/// Such a commitment gives one keeper the share zero: that keeper could answer nothing but the identity, which everybody refuses.
#[test]
fn commitments_whose_public_share_is_the_identity_are_refused() {
    let threshold = Threshold::new(2, 3).unwrap();
    for index in 1..=16_u8 {
        let constant = -(point(9) * Scalar::from(index));
        let bytes = [constant.compress().to_bytes(), point(9).compress().to_bytes()].concat();
        assert_eq!(VssCommitment::from_bytes(&bytes, threshold), Err(Error::IdentityElement), "at index {index}");
    }
    let harmless = [(-(point(9) * Scalar::from(17_u8))).compress().to_bytes(), point(9).compress().to_bytes()].concat();
    assert!(VssCommitment::from_bytes(&harmless, threshold).is_ok());
}

#[test]
fn combining_refuses_bad_sets() {
    let threshold = Threshold::new(2, 3).unwrap();
    let at = |index: u8, multiple| (j(index), element(multiple));
    assert!(combine(&[at(1, 5), at(2, 7)], threshold).is_ok());
    assert_eq!(combine(&[], threshold), Err(Error::TooFewShares));
    assert_eq!(combine(&[at(1, 5)], threshold), Err(Error::TooFewShares));
    assert_eq!(combine(&[at(1, 5), at(1, 5)], threshold), Err(Error::DuplicateIndex));
    assert_eq!(combine(&[at(1, 5), at(2, 6), at(1, 5)], threshold), Err(Error::DuplicateIndex));
    assert_eq!(combine(&[at(1, 5), at(4, 7)], threshold), Err(Error::InvalidIndex));
    // On the line through zero: 2 * 5G - 10G.
    assert_eq!(combine(&[at(1, 5), at(2, 10)], threshold), Err(Error::IdentityElement));
}

#[test]
fn combining_peppers_refuses_bad_sets() {
    let threshold = Threshold::new(2, 3).unwrap();
    let at = |index: u8, value: u8| PepperShare::from_bytes(j(index), Scalar::from(value).as_bytes()).unwrap();
    let error = |shares: &[PepperShare]| combine_peppers(shares, threshold).err();
    assert_eq!(error(&[at(1, 5), at(2, 7)]), None);
    assert_eq!(error(&[]), Some(Error::TooFewShares));
    assert_eq!(error(&[at(3, 5)]), Some(Error::TooFewShares));
    assert_eq!(error(&[at(3, 5), at(3, 7)]), Some(Error::DuplicateIndex));
    assert_eq!(error(&[at(1, 5), at(16, 7)]), Some(Error::InvalidIndex));
    assert_eq!(error(&[at(1, 5), at(2, 10)]), Some(Error::ZeroScalar));
}

#[test]
fn a_wrong_evaluation_changes_the_value() {
    let mut rng = crate::rng(12);
    let threshold = Threshold::new(2, 3).unwrap();
    let (shares, _) = split(&PrfKey::random(&mut rng), threshold, &mut rng);
    let blinded = element(99);
    let right = [0, 1].map(|i: usize| (shares[i].index(), blind_evaluate(&shares[i], &blinded).unwrap()));
    let altered = [right[0], (right[1].0, element(1))];
    let swapped = [(right[0].0, right[1].1), (right[1].0, right[0].1)];
    let value = combine(&right, threshold).unwrap();
    assert_ne!(combine(&altered, threshold).unwrap(), value);
    assert_ne!(combine(&swapped, threshold).unwrap(), value);
}

#[test]
fn secrets_have_one_length() {
    assert_eq!(Secret::<4>::from_slice(&[1, 2, 3, 4]), Some(Secret::new([1, 2, 3, 4])));
    assert_eq!(Secret::<4>::from_slice(&[1, 2, 3]), None);
    assert_eq!(Secret::<4>::from_slice(&[1, 2, 3, 4, 5]), None);
}

proptest! {
    /// Decoders are total, and what they accept they give back byte for byte: one value, one encoding.
    #[test]
    fn decoders_are_total_and_canonical(
        mut bytes in prop::sample::select(vec![0_usize, 31, 32, 33, 63, 64, 65, 96, 127, 128])
            .prop_flat_map(|length| prop::collection::vec(any::<u8>(), length)),
        likely in any::<bool>(),
        t in 2_u8..=4,
    ) {
        if likely {
            // Small and even: always a scalar, and an element one time in a few.
            for chunk in bytes.chunks_exact_mut(32) {
                chunk[0] &= 0xfe;
                chunk[31] &= 0x0f;
            }
        }
        if let Ok(element) = Element::from_bytes(&bytes) {
            prop_assert_eq!(element.to_bytes().to_vec(), bytes.clone());
        }
        if let Ok(r) = Blind::from_bytes(&bytes) {
            prop_assert_eq!(r.to_secret().expose_secret().to_vec(), bytes.clone());
        }
        if let Ok(proof) = Proof::from_bytes(&bytes) {
            prop_assert_eq!(proof.to_bytes().to_vec(), bytes.clone());
        }
        if let Ok(commitment) = VssCommitment::from_bytes(&bytes, Threshold::new(t, 4).unwrap()) {
            prop_assert_eq!(commitment.to_bytes(), bytes);
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(seed in any::<u64>()) {
        let mut rng = crate::rng(seed);
        let r = Blind::random(&mut rng);
        prop_assert_eq!(Blind::from_bytes(r.to_secret().expose_secret()).unwrap().to_secret(), r.to_secret());
        let pepper = Pepper::random(&mut rng);
        prop_assert_eq!(Pepper::from_bytes(pepper.to_secret().expose_secret()).unwrap().to_secret(), pepper.to_secret());
        let element = blind(b"input", &r).unwrap();
        prop_assert_eq!(Element::from_bytes(&element.to_bytes()), Ok(element));
    }
}

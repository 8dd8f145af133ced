use lockplate_log::note::NoteSigner;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::*;
use crate::directory::TrustEntry;
use crate::town::{OWNER, note_signer, trust_entry};

const NOW: Timestamp = Timestamp(1_795_356_000);
const NONCE: [u8; 16] = [7; 16];
const DAY: u64 = 86_400;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([3; 32])
}

fn key(seed: u8) -> NoticeKey {
    NoticeKey::from_seed(&Secret::new([seed; 32])).unwrap()
}

fn input(text: &str, state: Option<&str>) -> PlateInput {
    let state = state.map(|state| Jurisdiction::parse(state).unwrap());
    PlateInput::new(OWNER, &Plate::parse(text).unwrap(), state)
}

fn connecticut() -> Jurisdiction {
    Jurisdiction::parse("US-CT").unwrap()
}

#[test]
fn a_known_answer_of_other_peoples_code() {
    // k, input and F of spec/vectors/v1/known/lpv1-core.json; the tag by Python's hmac over them and the nonce 00 01 .. 0f.
    let k = hex::decode("94c351160f5abc20edb9ec27d48d1fe1074adadf01b588cc9a1b7e42bcfa4801").unwrap();
    let input = hex::decode("01f01d79a6d3935627407d43b5b10dac99010d55532d43543a41423132333435").unwrap();
    let key = NoticeKey(PrfKey::from_bytes(&k).unwrap());
    let nonce = core::array::from_fn(|i| u8::try_from(i).unwrap());
    let tag = key.value(&PlateInput::from_bytes(&input).unwrap()).unwrap().tag(&nonce).unwrap();
    assert_eq!(hex::encode(tag), "419ea58769e0857b2126361b8b6a4853");
}

#[test]
fn the_owner_finds_the_own_plate_and_no_other() {
    let (keeper, plate) = (key(1), Plate::parse("AB12345").unwrap());
    let inputs = BlindedInputs::of_plate(OWNER, &plate, connecticut(), &mut rng());
    let answer = keeper.evaluate_blinded(&inputs.elements().unwrap()).unwrap();
    let values = inputs.finalize(&answer).unwrap();
    let searched = [input("XYZ999", None), input("AB12345", Some("US-CT"))];
    let tags = keeper.tags(searched.iter(), &NONCE).unwrap();
    assert!(tags.is_sorted() && tags.len() == 2);
    assert!(values[0].is_among(&tags, &NONCE).unwrap(), "asked with its state");
    assert!(!values[1].is_among(&tags, &NONCE).unwrap(), "not asked without one");
    assert!(!values[0].is_among(&tags, &[8; 16]).unwrap(), "another leaf's nonce");
    let other = key(2).tags(searched.iter(), &NONCE).unwrap();
    assert!(!values[0].is_among(&other, &NONCE).unwrap(), "another keeper's tags");
    let bare = keeper.tags([input("AB12345", None)].iter(), &NONCE).unwrap();
    assert!(values[1].is_among(&bare, &NONCE).unwrap() && !values[0].is_among(&bare, &NONCE).unwrap());
    let elsewhere = PlateInput::new(AgencyId([9; 16]), &plate, Some(connecticut()));
    assert!(!values[0].is_among(&keeper.tags([elsewhere].iter(), &NONCE).unwrap(), &NONCE).unwrap());
}

#[test]
fn an_answer_short_or_long_is_refused() {
    let inputs = BlindedInputs::of_plate(OWNER, &Plate::parse("AB12345").unwrap(), connecticut(), &mut rng());
    let answer = key(1).evaluate_blinded(&inputs.elements().unwrap()).unwrap();
    assert!(inputs.finalize(&answer[..1]).is_err());
    assert!(inputs.finalize(&[answer.clone(), answer].concat()).is_err());
}

#[test]
fn the_keeper_sees_other_elements_each_time() {
    let mut rng = rng();
    let plate = Plate::parse("AB12345").unwrap();
    let one = BlindedInputs::of_plate(OWNER, &plate, connecticut(), &mut rng).elements().unwrap();
    let two = BlindedInputs::of_plate(OWNER, &plate, connecticut(), &mut rng).elements().unwrap();
    assert!(one[0] != two[0] && one[1] != two[1] && one[0] != one[1]);
}

fn custodian() -> NoteSigner {
    note_signer("custodian.example", 220)
}

fn issue(until: Timestamp) -> Result<OwnerCode> {
    let plate = Plate::parse("AB12345").unwrap();
    OwnerCode::issue(OWNER, &plate, connecticut(), (NOW, until), &custodian(), &mut rng())
}

fn trust(change: fn(&mut TrustEntry)) -> Trust {
    let mut entry = trust_entry(TrustRole::Custodian, &custodian());
    change(&mut entry);
    Trust::founding(OWNER, &[entry])
}

fn check(code: &[u8], trust: &Trust, now: Timestamp) -> Result<VerifiedCode> {
    verify_code(&SignedObject::parse(code)?, OWNER, trust, &Withdrawn::default(), now)
}

#[test]
fn a_code_is_answered_within_its_time_and_comes_back_from_its_file() {
    let until = Timestamp(NOW.0 + CODE_SECONDS_MAX);
    let code = issue(until).unwrap();
    let verified = check(code.code(), &trust(|_| ()), NOW).unwrap();
    assert_eq!((verified.until(), verified.elements().len()), (until, 2));
    assert_eq!(verified.digest(), SignedObject::parse(code.code()).unwrap().digest());
    let file = code.expose_file().unwrap();
    assert!(file.len() <= OWNER_CODE_BYTES_MAX);
    let again = OwnerCode::from_file(&[file.as_slice(), b"\n"].concat()).unwrap();
    assert_eq!(again.expose_file().unwrap(), file);
    let values = again.inputs().finalize(&key(1).evaluate_blinded(verified.elements()).unwrap()).unwrap();
    assert_eq!(values[0], key(1).value(&input("AB12345", Some("US-CT"))).unwrap());
    assert_eq!(values[1], key(1).value(&input("AB12345", None)).unwrap());
    assert!(check(code.code(), &trust(|_| ()), Timestamp(until.0 - 1)).is_ok());
    assert!(check(code.code(), &trust(|_| ()), until).is_err(), "expired");
    assert!(check(code.code(), &trust(|_| ()), Timestamp(NOW.0 - 1)).is_err(), "from the future");
    assert!(issue(Timestamp(until.0 + 1)).is_err());
    assert!(issue(NOW).is_err());
}

#[test]
fn a_code_of_anybody_but_the_owners_custodian_is_refused() {
    let code = issue(Timestamp(NOW.0 + DAY)).unwrap();
    for change in [
        (|entry| entry.role = TrustRole::Supervisor) as fn(&mut TrustEntry),
        |entry| entry.agency = Some([9; 16]),
        |entry| entry.agency = None,
        |entry| entry.valid_from = Timestamp(NOW.0 + 1),
        |entry| entry.valid_until = NOW,
        |entry| entry.vkey = note_signer("custodian.example", 221).verifier_key().clone(),
    ] {
        assert!(check(code.code(), &trust(change), NOW).is_err());
    }
    let object = SignedObject::parse(code.code()).unwrap();
    let mut withdrawn = Withdrawn::default();
    withdrawn.keys.insert(custodian().verifier_key().to_string(), Timestamp(NOW.0 + 5));
    let at = |now| verify_code(&object, OWNER, &trust(|_| ()), &withdrawn, now);
    assert!(at(Timestamp(NOW.0 + 4)).is_ok());
    assert!(at(Timestamp(NOW.0 + 5)).is_err(), "revoked");
    assert!(verify_code(&object, AgencyId([9; 16]), &trust(|_| ()), &Withdrawn::default(), NOW).is_err());
}

/// A code whose body was changed before it was signed.
fn signed(change: fn(&mut NoticeCode)) -> Vec<u8> {
    let good = issue(Timestamp(NOW.0 + DAY)).unwrap();
    let mut code: NoticeCode = SignedObject::parse(good.code()).unwrap().read().unwrap();
    change(&mut code);
    code.sign(&[&custodian()]).unwrap()
}

#[test]
fn a_code_broken_in_one_place_is_refused() {
    assert!(check(&signed(|_| ()), &trust(|_| ()), NOW).is_ok());
    for (what, change) in [
        ("another owner", (|c| c.body.owner = AgencyId([9; 16])) as fn(&mut NoticeCode)),
        ("too long", |c| c.body.until = Timestamp(NOW.0 + CODE_SECONDS_MAX + 1)),
        ("no element", |c| c.body.elements.clear()),
        ("three elements", |c| c.body.elements.push(c.body.elements[0])),
        ("identity", |c| c.body.elements[0] = [0; 32]),
        ("not an element", |c| c.body.elements[0] = [255; 32]),
        ("another issuer", |c| c.header.issuer = "custodian.other.example".to_owned()),
    ] {
        assert!(check(&signed(change), &trust(|_| ()), NOW).is_err(), "{what}");
    }
    assert!(check(&signed(|c| c.body.elements.truncate(1)), &trust(|_| ()), NOW).is_ok());
    assert!(check(b"no code", &trust(|_| ()), NOW).is_err());
}

#[test]
fn a_file_whose_code_is_for_another_plate_is_refused() {
    let code = issue(Timestamp(NOW.0 + DAY)).unwrap();
    let foreign =
        OwnerCode { code: signed(|c| c.body.elements.reverse()), inputs: issue(Timestamp(NOW.0 + 1)).unwrap().inputs };
    assert!(OwnerCode::from_file(&foreign.expose_file().unwrap()).is_err());
    let file = code.expose_file().unwrap();
    for at in [0, file.len() / 2, file.len() - 1] {
        let mut bad = file.clone();
        bad[at] ^= 1;
        assert!(OwnerCode::from_file(&bad).is_err(), "{at}");
    }
    assert!(OwnerCode::from_file(&vec![b' '; OWNER_CODE_BYTES_MAX + 1]).is_err());
}

#[test]
fn nothing_private_is_printed() {
    let code = issue(Timestamp(NOW.0 + DAY)).unwrap();
    let value = key(1).value(&input("AB12345", None)).unwrap();
    assert_eq!(
        format!("{:?} {code:?} {:?} {value:?}", key(1), code.inputs()),
        "NoticeKey(..) OwnerCode(..) BlindedInputs(..) NoticeValue(..)"
    );
    let public = String::from_utf8(code.code().to_vec()).unwrap();
    assert!(!public.contains("AB12345") && !public.contains("US-CT"));
}

#[test]
fn seeds_make_different_keys() {
    let of = |seed| key(seed).value(&input("AB12345", None)).unwrap();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

//! Openings, grants, and what a keeper refuses to evaluate.

use lockplate_oprf::oprf::Blind;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::dealing::{epoch_inputs, with_header};
use super::{Case, Expect, INVALID, MALFORMED, hx};
use crate::Timestamp;
use crate::envelope::encrypt;
use crate::epoch::EpochHeader;
use crate::error::ErrorKind;
use crate::id::{AgencyId, KeeperIndex};
use crate::keeper::{Answer, HumanDecision, Verdict};
use crate::person::ByPerson;
use crate::plate::{Jurisdiction, Plate, PlateInput};
use crate::request::{FiledRequest, SearchRequest, openings_hash};
use crate::town::{NOON, OWNER, Town, read};
use crate::vocabulary::Purpose;
use crate::wire::Writer;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = openings();
    cases.extend(grants());
    cases.extend(human());
    cases.extend(evaluations());
    cases
}

fn hashes(hashes: &[[u8; 32]]) -> Value {
    hashes.iter().map(hx).collect()
}

fn openings() -> Vec<Case> {
    let mut town = Town::new(0);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let seed = |place: usize| hx(town.keepers[place].opening.seed().expose_secret());
    let good = Case::good(
        "good_opening",
        "keeper 1 opens its Opening and recomputes every B",
        "check-opening",
        json!({
            "filed": hx(asked.filed.to_bytes()), "opening": hx(&asked.openings.sealed[0]),
            "hashes": hashes(&asked.openings.hashes), "position": 0, "opening_key_seed": seed(0),
        }),
    );
    let recipients = town.recipients();
    let mut rng = ChaCha20Rng::from_seed([91; 32]);
    let other_plate = PlateInput::new(OWNER, &Plate::parse("XYZ9999").unwrap(), Jurisdiction::parse("US-CT"));
    let honest = asked.filed.request.claimed().clone();
    let filed = |request: SearchRequest| FiledRequest { request: town.officer.sign(request), seconds: vec![] };

    // A requester that seals its own words: the info, hashes and signature are right for them.
    let mut seal = |elements: &[&(PlateInput, Blind)], info_of: &SearchRequest| {
        let mut plaintext = Writer::new();
        plaintext.u8(u8::try_from(elements.len()).unwrap());
        for (input, r) in elements {
            plaintext.lv8(input.expose_bytes()).raw(r.to_secret().expose_secret());
        }
        plaintext.lv32(asked.text.statement.expose_bytes()).u8(0).raw(asked.text.salts.expose_secret());
        let plaintext = plaintext.finish();
        let info = [b"LPv1 opening".as_slice(), &info_of.digest()].concat();
        let sealed: Vec<_> =
            recipients.iter().map(|to| encrypt(to, &info, &[], &plaintext, &mut rng).unwrap()).collect();
        let sums: Vec<[u8; 32]> = sealed.iter().map(|opening| Sha256::digest(opening).into()).collect();
        let openings_hash = openings_hash(&asked.text.statement.digest(&asked.text.salts), &sums);
        let request = filed(SearchRequest { openings_hash, ..honest.clone() });
        json!({"filed": hx(request.to_bytes()), "opening": hx(&sealed[0]), "hashes": hashes(&sums)})
    };
    let elements = &asked.text.elements;
    let zeroed = SearchRequest { openings_hash: [0; 32], ..honest.clone() };
    let substituted = seal(
        &[&(other_plate, Blind::from_bytes(elements[0].1.to_secret().expose_secret()).unwrap()), &elements[1]],
        &zeroed,
    );
    let left_in = seal(&[&elements[0], &elements[1]], &honest);
    let control = seal(&[&elements[0], &elements[1]], &zeroed);
    let mut again = good.input.clone();
    for (key, value) in control.as_object().unwrap() {
        again[key.as_str()] = value.clone();
    }
    let again = Case::good(
        "good_opening_sealed_apart",
        "the control of the dishonest Openings: the same maker, the truth",
        "check-opening",
        again,
    );
    vec![
        Case::bad(
            "bad_opening_for_another_plate",
            "B is not the blinding of what the Opening says",
            &again,
            substituted,
            &["filed", "opening", "hashes"],
            INVALID,
        ),
        Case::bad(
            "bad_opening_for_another_keeper",
            "the Opening is sealed to keeper 1, opened by keeper 2",
            &good,
            json!({"opening_key_seed": seed(1)}),
            &["opening_key_seed"],
            MALFORMED,
        ),
        Case::bad(
            "bad_opening_at_another_position",
            "the Opening is keeper 1's, its place keeper 2's",
            &good,
            json!({"position": 1}),
            &["position"],
            INVALID,
        ),
        Case::bad(
            "bad_opening_openings_hash_left_in",
            "the info covers openings_hash, which must be zero there",
            &again,
            left_in,
            &["filed", "opening", "hashes"],
            MALFORMED,
        ),
        good,
        again,
    ]
}

fn grants() -> Vec<Case> {
    let mut town = Town::new(0);
    let epoch = town.epoch(NOON - 3_600, &[]);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let other = town.ask("AB12345", Purpose::StolenVehicle);
    let (approvals, _) = town.approvals(&[0, 1], &asked, &[&epoch]);
    let (others, _) = town.approvals(&[1], &other, &[&epoch]);
    let grant = |approvals| hx(Town::grant(&asked, approvals, &[&epoch]).to_bytes());
    let good = Case::good(
        "good_grant",
        "two approvals of one digest, by two keepers of two legal entities",
        "check-grant",
        json!({
            "grant": grant(approvals.clone()), "charter": hx(town.charter.bytes()), "policy_digest": hx([5; 32]), "humans": 0,
        }),
    );
    let (first, second) = (approvals[0].clone(), approvals[1].clone());
    let mut unsigned = second.to_bytes();
    *unsigned.last_mut().unwrap() ^= 1;
    let unsigned = crate::sign::Signed::from_bytes(&unsigned).unwrap();
    let one = || Expect::Fails(ErrorKind::TooFewKeepers { got: 1, needed: 2 }, &[]);
    let twin = Town::with_entities(0, ["Town", " town ", "County"]);
    vec![
        Case::bad(
            "bad_grant_one_legal_entity_twice",
            "the charter gives both chairs to one legal entity",
            &good,
            json!({"charter": hx(twin.charter.bytes())}),
            &["charter"],
            one(),
        ),
        Case::bad(
            "bad_grant_approvals_of_two_digests",
            "the second approval is of another request",
            &good,
            json!({"grant": grant(vec![first.clone(), others[0].clone()])}),
            &["grant"],
            INVALID,
        ),
        Case::bad(
            "bad_grant_one_approval",
            "one approval where t is two",
            &good,
            json!({"grant": grant(vec![first.clone()])}),
            &["grant"],
            one(),
        ),
        Case::bad(
            "bad_grant_one_approval_twice",
            "the same approval twice",
            &good,
            json!({"grant": grant(vec![first.clone(), first.clone()])}),
            &["grant"],
            INVALID,
        ),
        Case::bad(
            "bad_grant_bad_signature",
            "one bit of the second approval's signature",
            &good,
            json!({"grant": grant(vec![first, unsigned])}),
            &["grant"],
            INVALID,
        ),
        Case::bad(
            "bad_grant_policy_digest_of_yesterday",
            "the approvals are under another policy than the keeper's",
            &good,
            json!({"policy_digest": hx([6; 32])}),
            &["policy_digest"],
            INVALID,
        ),
        Case::bad(
            "bad_grant_no_human",
            "the policy asks for one human, both approvals are by rule",
            &good,
            json!({"humans": 1}),
            &["humans"],
            INVALID,
        ),
        good,
    ]
}

/// The inputs that make keeper 1.
pub(super) fn keeper_one(town: &Town) -> Value {
    json!({"charter": hx(town.charter.bytes()), "index": 1, "keeper_seed": hx([1; 32]), "log_seed": hx([41; 32]), "rng": hx([92; 32])})
}

fn human() -> Vec<Case> {
    let mut town = Town::new(1);
    let epoch = town.epoch(NOON - 3_600, &[]);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let mut standing = town.standing(&[&epoch]);
    standing.ask_human = true;
    let Answer::Waiting { record } = town.answer(0, &asked, &standing).unwrap() else { panic!("not waiting") };
    let key = &town.keepers[0].human;
    let decision = HumanDecision {
        request_digest: record.request_digest,
        index: KeeperIndex(1),
        verdict: Verdict::Approve,
        time: town.now,
    };
    let decision = ByPerson::with_key(key, decision);
    let mut input = keeper_one(&town);
    input["record"] = hx(record.to_bytes());
    input["decision"] = hx(decision.to_bytes());
    input["human"] = hx(key.verify_key().0);
    input["now"] = json!(town.now.0);
    let good = Case::good("good_approval_by_human", "a person of the keeper approves in time", "conclude", input);
    vec![
        Case::bad(
            "bad_approval_after_not_after",
            "the person approves when the request has expired",
            &good,
            json!({"now": record.not_after.0}),
            &["now"],
            INVALID,
        ),
        Case::bad(
            "bad_approval_by_a_stranger",
            "the key is not one of this keeper's people",
            &good,
            json!({"human": hx(town.keepers[1].human.verify_key().0)}),
            &["human"],
            INVALID,
        ),
        good,
    ]
}

fn evaluations() -> Vec<Case> {
    let mut town = Town::new(0);
    let epoch = town.epoch(NOON - 3_600, &[read("AB12345", Some("US-CT"), NOON - 60)]);
    let next = town.epoch(NOON, &[]);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let (approvals, records) = town.approvals(&[0, 1], &asked, &[&epoch]);
    let grant = Town::grant(&asked, approvals.clone(), &[&epoch]);
    let mut input = keeper_one(&town);
    input["grant"] = hx(grant.to_bytes());
    input["record"] = hx(records[0].to_bytes());
    input["recorder"] = hx(town.recorder.verify_key().0);
    input["now"] = json!(town.now.0);
    input["epochs"] = json!([epoch_inputs(&epoch, 0)]);
    let good = Case::good("good_evaluate", "keeper 1 evaluates for a grant of two approvals", "evaluate", input);
    let header = epoch.header.claimed();
    let under = |header: EpochHeader| json!({"epochs": [epoch_inputs(&with_header(&town, &epoch, header), 0)]});
    let mut open = epoch_inputs(&epoch, 0);
    open["close"] = hx(next.close.to_bytes());
    let bad = |name, title, changes, expect| Case::bad(name, title, &good, changes, &["epochs"], expect);
    let window = asked.filed.request.claimed();
    vec![
        bad(
            "bad_epoch_open",
            "no close of this epoch: the one shown is of another",
            json!({"epochs": [open]}),
            INVALID,
        ),
        bad(
            "bad_epoch_destroyed",
            "the retention of the epoch has passed",
            under(EpochHeader { destroy_after: town.now, ..header.clone() }),
            Expect::Fails(ErrorKind::EpochDestroyed, &[]),
        ),
        bad(
            "bad_epoch_outside_the_window",
            "the capture window begins one second before the granted one",
            under(EpochHeader { cap_from: Timestamp(window.win_from.0 - 1), ..header.clone() }),
            INVALID,
        ),
        bad(
            "bad_epoch_of_another_owner",
            "the epoch belongs to another agency",
            under(EpochHeader { agency: AgencyId([9; 16]), ..header.clone() }),
            INVALID,
        ),
        Case::bad(
            "bad_evaluate_after_not_after",
            "the grant is shown when the request has expired",
            &good,
            json!({"now": window.not_after.0}),
            &["now"],
            INVALID,
        ),
        Case::bad(
            "bad_evaluate_one_approval",
            "a grant of one approval",
            &good,
            json!({"grant": hx(Town::grant(&asked, approvals[..1].to_vec(), &[&epoch]).to_bytes())}),
            &["grant"],
            Expect::Fails(ErrorKind::TooFewKeepers { got: 1, needed: 2 }, &[]),
        ),
        good,
    ]
}

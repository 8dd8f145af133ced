//! What a log says and what is asked about it: leaves and their disclosures, the sample, notice tags, codes, delays, proofs of
//! registration, trust files.

use lockplate_oprf::{Secret, oprf};
use serde_json::{Value, json};

use super::{Case, INVALID, MALFORMED, hx};
use crate::Timestamp;
use crate::authorisation::disclose_plate;
use crate::directory::{TrustEntry, TrustRole};
use crate::disclosure::disclose;
use crate::embargo::{DelayNotice, DelayNoticeBody};
use crate::entry::{LogEntry, LogKind, Stamped};
use crate::id::b64url;
use crate::json::Field as _;
use crate::notice::{NoticeCode, NoticeCodeBody};
use crate::ownership::{Ownership, OwnershipBody};
use crate::plate::{Jurisdiction, Plate, PlateInput};
use crate::signed::{Header, Signable, VersionOne};
use crate::statement::PlateName;
use crate::town::{COURT, OWNER, Town, note_signer, trust_entry};
use crate::vocabulary::Purpose;

const NOW: u64 = 1_795_356_000;
const DAY: u64 = 86_400;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = leaves();
    cases.extend(tags());
    cases.extend(papers());
    cases.extend(charter());
    cases
}

fn leaves() -> Vec<Case> {
    let mut town = Town::new(0);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let (leaf, nonce) = town.leaf(0, &asked);
    let entry = LogEntry::Request(Box::new(leaf));
    let origin = "k1.example/log/keeper";
    let stamped = Stamped::with_nonce(entry, LogKind::Keeper, origin, town.now, nonce).unwrap();
    let text = String::from_utf8(stamped.leaf_bytes().to_vec()).unwrap();
    let good = Case::good(
        "good_leaf",
        "a request leaf of a keeper's log",
        "check-leaf",
        json!({"leaf": text.clone(), "log": "keeper"}),
    );
    let unknown = Case::good(
        "good_leaf_unknown",
        "a leaf with a field that nobody knows is kept, and shown as unknown",
        "check-leaf",
        json!({"leaf": text.replace("\"window_days\":", "\"window\":1,\"window_days\":"), "log": "keeper"}),
    );
    let window = disclose(&asked.text.salts, "window", &(Timestamp(0), Timestamp(0)).to_json()).unwrap();
    let request = asked.filed.request.claimed();
    let own = disclose(&asked.text.salts, "window", &(request.win_from, request.win_to).to_json()).unwrap();
    let disclosed = Case::good(
        "good_disclosure",
        "the window of the request, under the leaf's digests",
        "check-disclosure",
        json!({"leaf": text.clone(), "name": "window", "disclosure": own.expose_text()}),
    );
    let broken = |name, title, from: &str, to: &str| {
        assert!(text.contains(from), "{name}");
        Case::bad(name, title, &good, json!({"leaf": text.replacen(from, to, 1)}), &["leaf"], MALFORMED)
    };
    let (digest, after) = ("\"_sd\":[", format!("\"_sd\":[\"{}\",", b64url(&[0; 32])));
    let first = text.split("\"_sd\":[").nth(1).unwrap().split(',').next().unwrap();
    let long = format!("\"engine\":\"{}\"", "x".repeat(4_096));
    vec![
        broken("bad_leaf_duplicate_key", "a key twice", "\"elements\":2", "\"elements\":2,\"elements\":2"),
        broken(
            "bad_leaf_unsorted",
            "keys out of order",
            "\"elements\":2,\"embargo\"",
            "\"embargo\":\"\",\"elements\":2,\"f\"",
        ),
        broken("bad_leaf_space", "a space", "\"elements\":2", "\"elements\": 2"),
        broken("bad_leaf_fraction", "2.0", "\"elements\":2", "\"elements\":2.0"),
        broken("bad_leaf_exponent", "2e3", "\"elements\":2", "\"elements\":2e3"),
        broken("bad_leaf_null", "null", "\"elements\":2", "\"elements\":null"),
        broken("bad_leaf_escape", "an escaped letter", "\"test 1\"", "\"\\u0074est 1\""),
        broken("bad_leaf_lone_surrogate", "a lone surrogate", "\"test 1\"", "\"\\ud800est 1\""),
        broken("bad_leaf_not_nfc", "a text that is not in NFC", "\"test 1\"", "\"te\u{301}st 1\""),
        broken("bad_leaf_fifteen_digests", "15 salted digests", &format!("{first},"), ""),
        broken("bad_leaf_seventeen_digests", "17 salted digests", digest, &after),
        broken("bad_leaf_too_long", "over 4,096 bytes", "\"engine\":\"test 1\"", &long),
        Case::bad(
            "bad_leaf_of_another_log",
            "in a log that does not take it",
            &good,
            json!({"log": "desk"}),
            &["log"],
            INVALID,
        ),
        Case::bad(
            "bad_disclosure_not_in_the_leaf",
            "another value than the leaf commits to",
            &disclosed,
            json!({"disclosure": window.expose_text()}),
            &["disclosure"],
            INVALID,
        ),
        Case::bad(
            "bad_disclosure_under_another_name",
            "a disclosure used for another field",
            &disclosed,
            json!({"name": "notice"}),
            &["name"],
            INVALID,
        ),
        Case::good(
            "good_sampled",
            "SHA-256(root || uint64 index) is below 5 hundredths of 2^256",
            "sampled",
            json!({"root": hx(core::array::from_fn::<u8, 32, _>(|i| u8::try_from(i).unwrap())), "index": 12, "percent": 5}),
        ),
        Case::good(
            "good_not_sampled",
            "it is not",
            "sampled",
            json!({"root": hx(core::array::from_fn::<u8, 32, _>(|i| u8::try_from(i).unwrap())), "index": 13, "percent": 5}),
        ),
        good,
        unknown,
        disclosed,
    ]
}

fn inputs() -> [PlateInput; 2] {
    let plate = Plate::parse("AB12345").unwrap();
    [Jurisdiction::parse("US-CT"), None].map(|state| PlateInput::new(OWNER, &plate, state))
}

fn tags() -> Vec<Case> {
    let (seed, rs) = ([21; 32], [[3; 32], [4; 32]]);
    let blinded: Vec<Value> = inputs()
        .iter()
        .zip(rs)
        .map(|(input, r)| {
            let r = lockplate_oprf::Blind::from_bytes(&r).unwrap();
            hx(oprf::blind(input.expose_bytes(), &r).unwrap().to_bytes())
        })
        .collect();
    let key = crate::notice::NoticeKey::from_seed(&Secret::new(seed)).unwrap();
    let elements: Vec<_> = blinded
        .iter()
        .map(|one| lockplate_oprf::Element::from_bytes(&hex::decode(one.as_str().unwrap()).unwrap()).unwrap())
        .collect();
    let evaluated: Vec<Value> =
        key.evaluate_blinded(&elements).unwrap().iter().map(|element| hx(element.to_bytes())).collect();
    let texts: Vec<Value> = inputs().iter().map(|input| hx(input.expose_bytes())).collect();
    let finalize = Case::good(
        "good_notice_finalize",
        "the owner unblinds a keeper's answer and finds the tag of a leaf by its nonce",
        "notice-finalize",
        json!({"inputs": texts, "rs": rs.map(hx), "evaluated": evaluated, "nonce": hx([7; 16])}),
    );
    vec![
        Case::good(
            "good_notice_tags",
            "the tags of a leaf: one an element, sorted",
            "notice-tags",
            json!({"seed": hx(seed), "inputs": texts, "nonce": hx([7; 16])}),
        ),
        Case::good(
            "good_notice_evaluate",
            "a keeper multiplies blinded elements by its notice key",
            "notice-evaluate",
            json!({"seed": hx(seed), "elements": blinded}),
        ),
        Case::bad(
            "bad_notice_one_answer_short",
            "an answer for one element of two",
            &finalize,
            json!({"evaluated": &evaluated[..1]}),
            &["evaluated"],
            INVALID,
        ),
        finalize,
    ]
}

fn header(issuer: &str) -> Header {
    Header { v: VersionOne, nonce: [5; 16], issued: Timestamp(NOW), issuer: issuer.to_owned() }
}

fn trust(entries: &[TrustEntry]) -> Value {
    hx(entries.to_vec().to_json().to_canonical_bytes().unwrap())
}

fn signed(object: &impl Signable, issuer: &str, seed: u8) -> Value {
    hx(object.sign(&[&note_signer(issuer, seed)]).unwrap())
}

fn papers() -> Vec<Case> {
    let (custodian, judge) = ("custodian.example", "judge.example");
    let of_custodian = trust(&[trust_entry(TrustRole::Custodian, &note_signer(custodian, 220))]);
    let of_judge = trust(&[trust_entry(TrustRole::Judge, &note_signer(judge, 221))]);
    let elements: Vec<[u8; 32]> = inputs()
        .iter()
        .map(|input| {
            let r = lockplate_oprf::Blind::from_bytes(&[3; 32]).unwrap();
            oprf::blind(input.expose_bytes(), &r).unwrap().to_bytes()
        })
        .collect();
    let code = |owner, elements, days: u64| {
        let body = NoticeCodeBody { owner, elements, until: Timestamp(NOW + days * DAY) };
        NoticeCode { header: header(custodian), body }
    };
    let good_code = code(OWNER, elements.clone(), 30);
    let notice = Case::good(
        "good_notice_code",
        "a one-time code of the owner's records custodian",
        "check-notice-code",
        json!({
            "object": signed(&good_code, custodian, 220), "owner": hx(OWNER.0), "trust": of_custodian.clone(), "now": NOW,
        }),
    );
    let delayed = |request, days: u64| DelayNotice {
        header: header(judge),
        body: DelayNoticeBody {
            court: COURT.to_owned(),
            docket: "FST-1".to_owned(),
            request,
            until: Timestamp(NOW + days * DAY),
        },
    };
    let delay = Case::good(
        "good_delay_notice",
        "a judge extends an embargo",
        "check-delay-notice",
        json!({
            "object": signed(&delayed([4; 32], 90), judge, 221), "request": hx([4; 32]), "embargo": NOW + 10 * DAY,
            "trust": of_judge, "now": NOW,
        }),
    );
    let plate = |text: &str| PlateName::new(&Plate::parse(text).unwrap(), Jurisdiction::parse("US-CT"));
    let disclosure = disclose_plate(&plate("AB12345"), [6; 16]).unwrap();
    let ownership = Ownership {
        header: header(custodian),
        body: OwnershipBody {
            owner: OWNER,
            person: [8; 32],
            plates: vec![disclosure.digest()],
            registered: true,
            co_registrants_consent: true,
            until: Timestamp(NOW + 30 * DAY),
        },
    };
    let owned = |name, title, text: &str, now: u64| {
        let plate = plate(text).to_json().to_canonical_bytes().unwrap();
        Case::good(
            name,
            title,
            "check-ownership",
            json!({
                "object": signed(&ownership, custodian, 220), "owner": hx(OWNER.0), "plate": hx(plate),
                "disclosures": [disclosure.expose_text()], "trust": of_custodian.clone(), "now": now,
            }),
        )
    };
    let bad_code = |name, title, object: &NoticeCode, seed| {
        Case::bad(name, title, &notice, json!({"object": signed(object, custodian, seed)}), &["object"], INVALID)
    };
    let bad_delay = |name, title, object: &DelayNotice| {
        Case::bad(name, title, &delay, json!({"object": signed(object, judge, 221)}), &["object"], INVALID)
    };
    let three = [elements.clone(), vec![elements[0]]].concat();
    vec![
        bad_code("bad_notice_code_31_days", "a code for more than 30 days", &code(OWNER, elements.clone(), 31), 220),
        bad_code("bad_notice_code_three_elements", "a code with three elements", &code(OWNER, three, 30), 220),
        bad_code("bad_notice_code_by_a_stranger", "a code under a key that is not on the list", &good_code, 9),
        bad_code(
            "bad_notice_code_of_another_owner",
            "a code for another owner's keepers",
            &code(crate::id::AgencyId([9; 16]), elements, 30),
            220,
        ),
        Case::bad(
            "bad_notice_code_expired",
            "a code after its time",
            &notice,
            json!({"now": NOW + 30 * DAY}),
            &["now"],
            INVALID,
        ),
        bad_delay("bad_delay_notice_shortens", "a delay to before the embargo's end", &delayed([4; 32], 9)),
        bad_delay("bad_delay_notice_367_days", "a delay of more than 366 days", &delayed([4; 32], 367)),
        bad_delay("bad_delay_notice_of_another_request", "a delay of another request", &delayed([5; 32], 90)),
        Case::bad(
            "bad_delay_notice_after_the_embargo",
            "a delay of what is published already",
            &delay,
            json!({"now": NOW + 10 * DAY}),
            &["now"],
            INVALID,
        ),
        owned("good_ownership", "a proof of registration for the plate asked", "AB12345", NOW),
        owned("good_ownership_of_another_plate", "for another plate it proves nothing", "AB12346", NOW),
        owned("good_ownership_expired", "after its time it proves nothing", "AB12345", NOW + 30 * DAY),
        notice,
        delay,
    ]
}

fn charter() -> Vec<Case> {
    let town = Town::new(0);
    let good = Case::good(
        "good_witness_policy",
        "the trust file of a keeper's log: one of the two others",
        "witness-policy",
        json!({"charter": hx(town.charter.bytes()), "log": "keeper 1"}),
    );
    vec![
        Case::good(
            "good_witness_policy_recorder",
            "the trust file of the recorder's log: two of the three keepers",
            "witness-policy",
            json!({"charter": hx(town.charter.bytes()), "log": "recorder"}),
        ),
        Case::bad(
            "bad_witness_policy_no_such_log",
            "a keeper that the charter does not have",
            &good,
            json!({"log": "keeper 4"}),
            &["log"],
            INVALID,
        ),
        good,
    ]
}

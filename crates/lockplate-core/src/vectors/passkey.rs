//! Cases of passkeys: one assertion over a given challenge, and each lie told alone; and a person's yes signed with one.

use serde_json::{Value, json};

use super::{Case, INVALID, MALFORMED, hx};
use crate::decision::{HumanDecision, Verdict};
use crate::id::{KeeperIndex, b64url};
use crate::keeper::Answer;
use crate::passkey::tests::{ORIGIN, RP_ID, Says, SoftKey, der, order_less};
use crate::person::ByPerson;
use crate::sign::Statement as _;
use crate::town::{NOON, Town};
use crate::vocabulary::Purpose;

const CHALLENGE: [u8; 32] = [7; 32];

fn good(name: &'static str, title: &'static str, key: &SoftKey) -> Case {
    let input = json!({
        "cose": hx(key.cose()), "rp_id": RP_ID, "origin": ORIGIN, "challenge": hx(CHALLENGE),
        "assertion": hx(key.sign(&CHALLENGE).to_bytes()),
    });
    Case::good(name, title, "check-passkey", input)
}

pub(super) fn cases() -> Vec<Case> {
    let key = SoftKey::es256(1);
    let es256 = good("good_passkey_es256", "a passkey of the most common kind", &key);
    let says = |change: &dyn Fn(&mut Says)| {
        let mut says = Says::truth(&CHALLENGE);
        change(&mut says);
        hx(key.answer(&says).to_bytes())
    };
    let bad = |name, title, assertion: Value, expect| {
        Case::bad(name, title, &es256, json!({"assertion": assertion}), &["assertion"], expect)
    };
    let signed = |r: &[u8; 32], s: &[u8; 32]| hx(key.sign(&CHALLENGE).with_signature(&der(r, s)).to_bytes());
    let (r, s) = key.sign(&CHALLENGE).numbers();
    let order = order_less(&[0; 32]);
    let lies = vec![
        bad("bad_passkey_type_create", "made for a registration", says(&|says| says.kind = "webauthn.create"), INVALID),
        bad(
            "bad_passkey_challenge_padded",
            "the challenge with padding",
            says(&|says| says.challenge.push('=')),
            INVALID,
        ),
        bad(
            "bad_passkey_challenge_of_another",
            "the challenge of another request",
            says(&|says| says.challenge = b64url(&[8; 32])),
            INVALID,
        ),
        bad(
            "bad_passkey_origin_with_port",
            "the page on another port",
            says(&|says| says.origin = format!("{ORIGIN}:8443")),
            INVALID,
        ),
        bad(
            "bad_passkey_origin_of_a_sub_domain",
            "the page of a sub-domain",
            says(&|says| says.origin = ORIGIN.replace("https://", "https://x.")),
            INVALID,
        ),
        bad(
            "bad_passkey_origin_http",
            "the page without TLS",
            says(&|says| says.origin = ORIGIN.replace("https", "http")),
            INVALID,
        ),
        bad(
            "bad_passkey_cross_origin",
            "inside the page of another site",
            says(&|says| says.cross_origin = Some(json!(true))),
            INVALID,
        ),
        bad(
            "bad_passkey_rp_id",
            "for another site",
            says(&|says| says.rp_id = "millbrook.example".to_owned()),
            INVALID,
        ),
        bad("bad_passkey_user_not_present", "UP is missing", says(&|says| says.flags = 0x04), INVALID),
        bad("bad_passkey_user_not_verified", "UV is missing", says(&|says| says.flags = 0x01), INVALID),
        bad(
            "bad_passkey_unannounced_bytes",
            "bytes behind the counter that no flag announces",
            says(&|says| says.tail = vec![0xa0]),
            MALFORMED,
        ),
        bad("bad_passkey_r_zero", "r is zero", signed(&[0; 32], &s), INVALID),
        bad("bad_passkey_s_zero", "s is zero", signed(&r, &[0; 32]), INVALID),
        bad("bad_passkey_r_order", "r is the order", signed(&order, &s), INVALID),
        bad("bad_passkey_s_order", "s is the order", signed(&r, &order), INVALID),
        bad(
            "bad_passkey_of_another_key",
            "another passkey of the same site",
            hx(SoftKey::es256(2).sign(&CHALLENGE).to_bytes()),
            INVALID,
        ),
        Case::bad(
            "bad_passkey_rsa",
            "an RSA key",
            &es256,
            json!({"cose": format!("a401030339010020590100{}2143010001", "c5".repeat(256))}),
            &["cose"],
            MALFORMED,
        ),
    ];
    let mut high = good("good_passkey_es256_high_s", "the other s of the same signature", &key);
    high.input["assertion"] = signed(&r, &order_less(&s));
    let eddsa = good("good_passkey_ed25519", "Ed25519", &SoftKey::eddsa(1));
    lies.into_iter().chain([es256, high, eddsa]).chain(decisions()).collect()
}

fn decisions() -> Vec<Case> {
    let key = SoftKey::es256(3);
    let key_id = key.passkey().key.id();
    let mut town = Town::with_passkey(1, key_id);
    let epoch = town.epoch(NOON - 3_600, &[]);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let mut standing = town.standing(&[&epoch]);
    standing.ask_human = true;
    let Answer::Waiting { record } = town.answer(0, &asked, &standing).unwrap() else { panic!("not waiting") };
    let say = |verdict| HumanDecision {
        request_digest: record.request_digest,
        index: KeeperIndex(1),
        verdict,
        time: town.now,
    };
    let yes = say(Verdict::Approve);
    let signed = |said: &HumanDecision| {
        let assertion = key.sign(&HumanDecision::signed_hash(&said.encode()));
        hx(ByPerson::with_assertion(yes.clone(), key_id, assertion).to_bytes())
    };
    let mut input = super::attacks::keeper_one(&town);
    input["record"] = hx(record.to_bytes());
    input["decision"] = signed(&yes);
    input["human"] = hx(key.cose());
    input["rp_id"] = json!(RP_ID);
    input["origin"] = json!(ORIGIN);
    input["now"] = json!(town.now.0);
    let good = Case::good("good_approval_by_passkey", "a person approves with a passkey", "conclude", input);
    vec![
        Case::bad(
            "bad_approval_passkey_of_another_verdict",
            "the passkey signed a no, the container says yes",
            &good,
            json!({"decision": signed(&say(Verdict::Doubt))}),
            &["decision"],
            INVALID,
        ),
        Case::bad(
            "bad_approval_passkey_of_another_time",
            "the passkey signed the same verdict of another second",
            &good,
            json!({"decision": signed(&HumanDecision { time: crate::Timestamp(town.now.0 + 1), ..yes.clone() })}),
            &["decision"],
            INVALID,
        ),
        Case::bad(
            "bad_approval_passkey_of_a_stranger",
            "the passkey is not one of this keeper's people",
            &good,
            json!({"human": hx(SoftKey::es256(4).cose())}),
            &["human"],
            INVALID,
        ),
        good,
    ]
}

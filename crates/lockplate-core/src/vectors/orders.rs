//! What changes whom a keeper believes: emergencies and their reports, revocations, policy changes.

use serde_json::{Value, json};

use super::ops::{array, byte, bytes, hpke, list, of, time};
use super::{Case, INVALID, hx};
use crate::Timestamp;
use crate::authorisation::WithdrawnBy;
use crate::charter::{AgencyPage, Charter, CharterFile};
use crate::directory::{Directory, Trust, VerifiedDirectory};
use crate::emergency::tests::{Scene, person, signer};
use crate::emergency::{EmergencyReport, EmergencyReportBody, Exigency, officer_name, verify_exigency, verify_report};
use crate::entry::PolicyRelation;
use crate::error::Result;
use crate::policy_change::{PolicyChange, PolicyChangeBody, verify_policy_change};
use crate::request::{FiledRequest, check_opening};
use crate::revocation::{Revocation, RevocationBody, RevocationReason, Revoked, verify_revocation};
use crate::signed::{Header, Signable, SignedObject, VersionOne};
use crate::town::{OWNER, Town, note_signer};
use lockplate_log::note::{NoteSigner, VerifierKey};

const DAY: u64 = 86_400;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = emergencies();
    cases.extend(changes());
    cases
}

/// Runs a step of these.
pub(super) fn execute(op: &str, input: &Value) -> Result<Value> {
    let object = SignedObject::parse(&bytes(input, "object"))?;
    let now = time(input, "now");
    match op {
        "check-exigency" => {
            let filed = FiledRequest::from_bytes(&bytes(input, "filed"))?;
            let hashes = list(input, "hashes").iter().map(|hash| of(hash).try_into().unwrap()).collect();
            let position = usize::from(byte(input, "position"));
            let secret = hpke(input, "opening_key_seed");
            let opened = check_opening(filed, &bytes(input, "opening"), hashes, position, &secret)?;
            let declared = verify_exigency(&object, &opened, &directory(input, now)?, now)?;
            Ok(json!({"deadline": declared.deadline().0}))
        }
        "check-emergency-report" => {
            let (request, officer) = (array(input, "request"), array(input, "officer"));
            verify_report(&object, &request, &officer, &directory(input, now)?, now)?;
            Ok(json!({"authorisation": hx(object.digest())}))
        }
        "check-revocation" => {
            let charter = charter(input)?;
            let trust = Trust::founding(charter.owner.id, &charter.trust);
            Ok(match verify_revocation(&object, &charter, &trust, &[], now)? {
                Revoked::Object { digest, by } => {
                    let by = match by {
                        WithdrawnBy::Issuer(name) => name,
                        WithdrawnBy::Court(_) | WithdrawnBy::Signers => "policy signers".to_owned(),
                    };
                    json!({"object": hx(digest), "by": by})
                }
                Revoked::Key { key, from } => json!({"key": key.to_string(), "from": from.0}),
            })
        }
        "check-policy-change" => {
            let relation = PolicyRelation::from_name(input["relation"].as_str().unwrap()).unwrap();
            let accepted = verify_policy_change(&object, &charter(input)?, &array(input, "in_force"), relation, now)?;
            Ok(json!({"effective": accepted.effective.0, "signers": accepted.signers}))
        }
        other => panic!("an unknown op: {other}"),
    }
}

fn directory(input: &Value, now: Timestamp) -> Result<VerifiedDirectory> {
    let object = SignedObject::parse(&bytes(input, "directory"))?;
    let key = VerifierKey::parse(input["agency_key"].as_str().unwrap()).unwrap();
    let body = object.read::<Directory>()?.body;
    let (state, level) = (body.state, body.level);
    let known =
        AgencyPage { id: OWNER, name: body.name, state, level, desk_log: None, url: String::new(), tls_pin: [0; 32] };
    VerifiedDirectory::verify(&object, &known, &[key], None, now)
}

fn charter(input: &Value) -> Result<Charter> {
    Ok(CharterFile::verify(&bytes(input, "charter"))?.charter().clone())
}

fn emergencies() -> Vec<Case> {
    let scene = Scene::new(&[51]);
    let (now, officer) = (scene.town.now.0, person(50).verify_key().0);
    let agency_key = note_signer("alpr.example/agency", 200).verifier_key().to_string();
    let directory = scene.signed_directory(|_| {});
    let signed = |object: &Exigency, seeds: &[u8]| {
        let signers: Vec<_> = seeds.iter().map(|seed| signer(*seed)).collect();
        hx(object.sign(&signers.iter().collect::<Vec<_>>()).unwrap())
    };
    let exigency = scene.exigency();
    let input = |scene: &Scene, object: Value, directory: &[u8]| {
        json!({
            "filed": hx(scene.asked.filed.to_bytes()), "opening": hx(&scene.asked.openings.sealed[0]),
            "hashes": scene.asked.openings.hashes.iter().map(hx).collect::<Value>(), "position": 0,
            "opening_key_seed": hx(scene.town.keepers[0].opening.seed().expose_secret()),
            "object": object, "directory": hx(directory), "agency_key": agency_key, "now": now,
        })
    };
    let good = Case::good(
        "good_exigency",
        "an officer and a supervisor declare an emergency for a request; its paper is due a day later",
        "check-exigency",
        input(&scene, signed(&exigency, &[50, 51]), &directory),
    );
    let bad = |name, title, change: fn(&mut Exigency), seeds: &[u8]| {
        let mut other = exigency.clone();
        change(&mut other);
        Case::bad(name, title, &good, json!({"object": signed(&other, seeds)}), &["object"], INVALID)
    };
    let left = scene.signed_directory(|officers| officers[1].active = false);
    let request = scene.asked.filed.request.signed_hash();
    let report = |seed: u8, request: [u8; 32]| {
        let header = scene.town.header(&officer_name(&person(seed).verify_key().0));
        let report = EmergencyReport { header, body: EmergencyReportBody { request, report: [3; 32] } };
        hx(report.sign(&[&signer(seed)]).unwrap())
    };
    let good_report = Case::good(
        "good_emergency_report",
        "a supervisor's written report files an emergency",
        "check-emergency-report",
        json!({
            "object": report(51, request), "request": hx(request), "officer": hx(officer), "directory": hx(&directory),
            "agency_key": agency_key, "now": now,
        }),
    );
    let bad_report = |name, title, seed, request| {
        Case::bad(name, title, &good_report, json!({"object": report(seed, request)}), &["object"], INVALID)
    };
    vec![
        bad("bad_exigency_one_signature", "the officer alone", |_| {}, &[50]),
        bad("bad_exigency_same_person", "the officer's own second key", |_| {}, &[50, 53]),
        bad(
            "bad_exigency_of_another_request",
            "declared for another request",
            |one| one.body.request_id = [0; 16],
            &[50, 51],
        ),
        bad("bad_exigency_other_facts", "declared on other facts", |one| one.body.facts = [0; 32], &[50, 51]),
        bad("bad_exigency_two_days", "a paper due in two days", |one| one.body.deadline.0 += DAY, &[50, 51]),
        Case::bad(
            "bad_exigency_supervisor_left",
            "the supervisor is no longer active",
            &good,
            json!({"directory": hx(left)}),
            &["directory"],
            INVALID,
        ),
        Case::bad(
            "bad_exigency_too_old",
            "declared over an hour ago",
            &good,
            json!({"now": now + 3_601}),
            &["now"],
            INVALID,
        ),
        good,
        bad_report("bad_emergency_report_by_the_officer", "the officer reports on himself", 53, request),
        bad_report("bad_emergency_report_by_a_colleague", "no supervisor", 52, request),
        bad_report("bad_emergency_report_of_another_request", "a report on another request", 51, [9; 32]),
        good_report,
    ]
}

fn changes() -> Vec<Case> {
    let town = Town::new(0);
    let (now, charter) = (town.now.0, hx(town.charter.bytes()));
    let header =
        |issuer: &str| Header { v: VersionOne, nonce: [1; 16], issued: Timestamp(now), issuer: issuer.to_owned() };
    let (clerk, judge) = (note_signer("clerk", 210), note_signer("judge.example", 221));
    let revocation = |object: Option<[u8; 32]>, key: Option<&NoteSigner>, by: &NoteSigner| {
        let key = key.map(|signer| signer.verifier_key().clone());
        let body = RevocationBody { object, key, reason: RevocationReason::Mistake, from: Timestamp(now) };
        hx(Revocation { header: header(by.verifier_key().name().as_str()), body }.sign(&[by]).unwrap())
    };
    let revoked = |name, title, object| {
        Case::good(name, title, "check-revocation", json!({"object": object, "charter": charter, "now": now}))
    };
    let good = revoked("good_revocation", "a judge takes back a paper", revocation(Some([3; 32]), None, &judge));
    let bad = |name, title, object| Case::bad(name, title, &good, json!({"object": object}), &["object"], INVALID);
    let change = |days: u64, allows: Option<[u8; 32]>| PolicyChange {
        header: header("clerk"),
        body: PolicyChangeBody {
            owner: OWNER,
            old: [5; 32],
            new: [6; 32],
            effective: Timestamp(now + days * DAY),
            allows,
        },
    };
    let changed = |name, title, relation: PolicyRelation, object: &PolicyChange| {
        let input = json!({
            "object": hx(object.sign(&[&clerk]).unwrap()), "charter": charter, "in_force": hx([5; 32]),
            "relation": relation.name(), "now": now,
        });
        Case::good(name, title, "check-policy-change", input)
    };
    let looser = changed(
        "good_policy_change_looser",
        "a change that is not seen to be narrower takes effect after its notice",
        PolicyRelation::Looser,
        &change(14, Some([7; 32])),
    );
    let bad_change = |name, title, object: &PolicyChange, signer: &NoteSigner| {
        let object = hx(object.sign(&[signer]).unwrap());
        Case::bad(name, title, &looser, json!({"object": object}), &["object"], INVALID)
    };
    vec![
        bad(
            "bad_revocation_by_a_stranger",
            "a key that is on no list",
            revocation(Some([3; 32]), None, &note_signer("s", 9)),
        ),
        bad("bad_revocation_of_both", "an object and a key", revocation(Some([3; 32]), Some(&judge), &clerk)),
        bad("bad_revocation_of_nothing", "neither an object nor a key", revocation(None, None, &clerk)),
        bad(
            "bad_revocation_of_an_unknown_key",
            "a key that is not on the trust list",
            revocation(None, Some(&clerk), &clerk),
        ),
        good,
        revoked(
            "good_revocation_of_a_key",
            "a policy signer revokes a judge's key",
            revocation(None, Some(&judge), &clerk),
        ),
        changed(
            "good_policy_change_narrower",
            "a change that is seen to be narrower takes effect at the next full minute",
            PolicyRelation::Narrower,
            &change(0, None),
        ),
        bad_change("bad_policy_change_13_days", "a notice too short", &change(13, Some([7; 32])), &clerk),
        bad_change("bad_policy_change_silent", "it does not say what becomes allowed", &change(14, None), &clerk),
        bad_change(
            "bad_policy_change_by_a_stranger",
            "no policy signer",
            &change(14, Some([7; 32])),
            &note_signer("clerk", 9),
        ),
        Case::bad(
            "bad_policy_change_of_yesterday",
            "it follows another policy than the one in force",
            &looser,
            json!({"in_force": hx([4; 32])}),
            &["in_force"],
            INVALID,
        ),
        looser,
    ]
}

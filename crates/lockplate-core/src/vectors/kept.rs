//! What is kept of a search: the statement that asks for a hold, the file of a hold, one cell opened by its own key.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::{Value, json};

use super::ops::{array, byte, bytes, hpke, list, number, of, time};
use super::{Case, Expect, MALFORMED, OWNER, hx};
use crate::Timestamp;
use crate::envelope::HpkeSecretKey;
use crate::error::{ErrorKind, Result};
use crate::hold::{HeldFor, HoldHead, case_key_id, unwrap_hold, wrap_hold};
use crate::id::EpochId;
use crate::open::CellKey;
use crate::request::SecondSignature;
use crate::seal::cell_keys;
use crate::segment::BucketProof;
use crate::statement::StatementText;
use crate::town::{NOON, Town, read};
use crate::vocabulary::Purpose;
use lockplate_oprf::Secret;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = statements();
    cases.extend(holds());
    cases.extend(cells());
    cases
}

/// Runs a step of these.
pub(super) fn execute(op: &str, input: &Value) -> Result<Value> {
    match op {
        "decode-statement" => {
            let text = StatementText::from_bytes(&bytes(input, "bytes"))?;
            let digest = text.digest(&Secret::new(array(input, "salts")));
            Ok(json!({"hold": text.statement().hold, "digest": hx(digest)}))
        }
        "hold-digests" => {
            let seconds: Vec<_> = list(input, "seconds")
                .iter()
                .map(|key| SecondSignature { key_id: of(key).try_into().unwrap(), signature: [0; 64] })
                .collect();
            let salts = Secret::new(array(input, "salts"));
            let case_number = input["case_number"].as_str().unwrap();
            let (held, case_key) = (array(input, "held"), array(input, "case_key"));
            let held = HeldFor { salts: &salts, case_number, seconds: &seconds, held, case_key };
            Ok(json!({"sd": held.digests()?.iter().map(hx).collect::<Value>()}))
        }
        "unwrap-hold" => {
            let (file, seed) = (bytes(input, "file"), hpke(input, "case_key_seed"));
            let (head, package) = unwrap_hold(&file, &seed, time(input, "now"))?;
            Ok(json!({
                "request_digest": hx(head.request_digest), "grant_digest": hx(head.grant_digest),
                "until": head.until.0, "register": head.register, "package": hx(package.as_slice()),
            }))
        }
        "open-revealed" => {
            let proof = BucketProof::from_bytes(&bytes(input, "proof"))?;
            let wanted = u32::try_from(number(input, "bucket")).unwrap();
            let bucket = proof.verify(wanted, &array(input, "segment_root"), byte(input, "bucket_bits"))?;
            let key = CellKey::from_bytes(array(input, "key"));
            let read = key.read(EpochId(array(input, "epoch_id")), array(input, "tag"), &bucket)?;
            Ok(json!({"record": hx(read.to_record()?)}))
        }
        other => panic!("an unknown op: {other}"),
    }
}

fn statements() -> Vec<Case> {
    let mut town = Town::new(0);
    let search = town.ask("AB12345", Purpose::StolenVehicle).text.statement.expose_bytes().to_vec();
    town.hold = true;
    let hold = town.ask("AB12345", Purpose::StolenVehicle).text.statement.expose_bytes().to_vec();
    let input = |statement: &[u8]| json!({"bytes": hx(statement), "salts": hx([1; 32])});
    let good = Case::good("good_statement", "a statement of a search", "decode-statement", input(&search));
    let text = String::from_utf8(search).unwrap();
    let bad = |name, title, from: &str, to: &str| {
        assert!(text.contains(from));
        let changed = text.replacen(from, to, 1);
        Case::bad(name, title, &good, json!({"bytes": hx(changed)}), &["bytes"], MALFORMED)
    };
    let cases = [
        bad("bad_statement_without_hold", "it does not say whether it is a hold", ",\"hold\":false", ""),
        bad("bad_statement_hold_as_number", "0 in place of false", "\"hold\":false", "\"hold\":0"),
        bad("bad_statement_unknown_field", "a field more", "\"hold\":false", "\"hold\":false,\"holds\":true"),
    ];
    let held = Case::good("good_statement_hold", "a statement of a hold", "decode-statement", input(&hold));
    cases.into_iter().chain([good, held]).collect()
}

fn holds() -> Vec<Case> {
    let mut rng = ChaCha20Rng::from_seed([17; 32]);
    let secret = HpkeSecretKey::from_seed(Secret::new([18; 32]));
    let key = secret.public_key().unwrap();
    let head = HoldHead {
        request_digest: [1; 32],
        grant_digest: [2; 32],
        until: Timestamp(NOON),
        register: 7,
        case_key: case_key_id(&key),
    };
    let file = wrap_hold(&head, &key, b"a package", &mut rng).unwrap();
    let good = Case::good(
        "good_hold",
        "the file of a hold, in time",
        "unwrap-hold",
        json!({"file": hx(&file), "case_key_seed": hx([18; 32]), "now": NOON - 1}),
    );
    // Behind the magic and two digests: the last byte of the end.
    let mut later = file;
    later[17 + 64 + 7] ^= 1;
    let over = Expect::Fails(ErrorKind::EpochDestroyed, &[]);
    vec![
        Case::bad("bad_hold_over", "its end has come", &good, json!({"now": NOON}), &["now"], over),
        Case::bad("bad_hold_end_moved", "another end", &good, json!({"file": hx(later)}), &["file"], MALFORMED),
        Case::bad(
            "bad_hold_for_another_key",
            "the key of another case",
            &good,
            json!({"case_key_seed": hx([19; 32])}),
            &["case_key_seed"],
            MALFORMED,
        ),
        good,
        Case::good(
            "good_hold_digests",
            "what the leaf of a hold commits to",
            "hold-digests",
            json!({
                "salts": hx([1; 32]), "case_number": "26-1234", "seconds": [hx([5; 32])],
                "held": hx([6; 32]), "case_key": hx([7; 32]),
            }),
        ),
    ]
}

fn cells() -> Vec<Case> {
    let mut town = Town::new(0);
    let epoch = town.epoch(NOON - 3_600, &[read("AB12345", Some("US-CT"), NOON - 60), read("XY1", None, NOON - 50)]);
    let (asked, epochs) = (town.ask("AB12345", Purpose::StolenVehicle), [&epoch]);
    let (approvals, records) = town.approvals(&[0, 1], &asked, &epochs);
    let grant = Town::grant(&asked, approvals, &epochs);
    let headers = [epoch.header.claimed().clone()];
    let evaluations: Vec<_> = (0..2)
        .map(|place| {
            let evaluation = town.evaluate(place, &grant, &records[place], &epochs).unwrap();
            let keeper = &town.keepers[place].keeper;
            let verify = keeper.key().verify_key();
            crate::open::verify_evaluation(&evaluation, &verify, keeper.index(), &grant, &headers, &asked.response)
                .unwrap()
        })
        .collect();
    let root = epoch.close.claimed().segment_root;
    let keys = crate::open::combine(&evaluations, &asked.text.elements, &headers).unwrap();
    let found = keys.iter().find_map(|key| {
        let proof = epoch.segment.prove(key.bucket()).unwrap();
        let one = crate::open::open(key, &proof.verify(key.bucket(), &root, 2).unwrap()).unwrap().into_iter().next()?;
        Some((key, proof, one))
    });
    let (key, proof, one) = found.unwrap();
    let cell = *CellKey::of(key, &one).unwrap().to_secret().expose_secret();
    let other = cell_keys(&Secret::new([9; 32]), one.epoch_id, 0).unwrap().into_key();
    let good = Case::good(
        "good_revealed_cell",
        "one cell opened by its own key",
        "open-revealed",
        json!({
            "proof": hx(proof.to_bytes()), "bucket": key.bucket(), "segment_root": hx(root), "bucket_bits": 2,
            "epoch_id": hx(one.epoch_id.0), "tag": hx(one.tag), "key": hx(cell),
        }),
    );
    let bad = |name, title, field: &'static str, value: Value| {
        let differs: &'static [&'static str] = match field {
            "key" => &["key"],
            "tag" => &["tag"],
            _ => &["epoch_id"],
        };
        Case::bad(name, title, &good, json!({field: value}), differs, OWNER)
    };
    let cases = [
        bad("bad_revealed_cell_key", "the key of another cell", "key", hx(other.expose_secret())),
        bad("bad_revealed_cell_tag", "a tag that is not in the bucket", "tag", hx([0; 32])),
        bad("bad_revealed_cell_epoch", "another epoch", "epoch_id", hx([0; 16])),
    ];
    cases.into_iter().chain([good]).collect()
}

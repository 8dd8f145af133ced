//! The vectors of `spec/vectors/v1`: what every implementation must accept, and what it must refuse with which kind of error.
//!
//! Three tests. The cases made here from fixed seeds are, byte for byte, the files on disk; every file on disk does what it says
//! when its steps run against this crate; and no case that must exist is missing. `VECTORS_OUT=FOLDER` and the ignored test
//! `write` make the files anew (`cargo xtask vectors`).

mod attacks;
mod dealing;
mod encodings;
mod kept;
mod known;
mod lists;
mod opening;
mod ops;
mod orders;
mod passkey;
mod register;
mod register_ops;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};

/// What a step must end in.
#[derive(Clone)]
pub(crate) enum Expect {
    /// Success; the result is pinned by the file.
    Out,
    /// This error and these culprits.
    Fails(ErrorKind, &'static [u8]),
}

/// One file. A bad case names the good one it is taken from and the inputs that are not the good one's.
pub(crate) struct Case {
    name: &'static str,
    title: &'static str,
    op: &'static str,
    input: Value,
    expect: Expect,
    like: &'static str,
    differs: &'static [&'static str],
}

impl Case {
    pub(crate) fn good(name: &'static str, title: &'static str, op: &'static str, input: Value) -> Self {
        Self { name, title, op, input, expect: Expect::Out, like: "", differs: &[] }
    }

    /// `like` with the inputs of `changes` in place of its own.
    pub(crate) fn bad(
        name: &'static str,
        title: &'static str,
        like: &Self,
        changes: Value,
        differs: &'static [&'static str],
        expect: Expect,
    ) -> Self {
        let mut input = like.input.clone();
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        for (key, value) in changes {
            assert!(input.get(&key).is_some(), "{name}: {key} is no input of {}", like.name);
            input[key.as_str()] = value;
        }
        Self { name, title, op: like.op, input, expect, like: like.name, differs }
    }
}

/// Lower-case hex, the form of all bytes.
pub(crate) fn hx(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(hex::encode(bytes))
}

const INVALID: Expect = Expect::Fails(ErrorKind::Invalid, &[]);
const MALFORMED: Expect = Expect::Fails(ErrorKind::Malformed, &[]);
const OWNER: Expect = Expect::Fails(ErrorKind::OwnerMisbehaved, &[]);

/// The bad cases that the style guide of the vectors asks for. A keeper that is offered one prekey twice has no file: the private half is
/// consumed by type and erased, and `VerifiedPrekey` is moved into `deal` (see `spec/vectors/README.md`).
const REQUIRED: &[&str] = &[
    "bad_element_identity",
    "bad_element_non_canonical",
    "bad_scalar_non_canonical",
    "bad_scalar_zero",
    "bad_request_wrong_suite",
    "bad_plate_input_unknown_version",
    "bad_request_trailing_byte",
    "bad_request_one_byte_short",
    "bad_request_zero_elements",
    "bad_request_65_elements",
    "bad_threshold_t_1",
    "bad_threshold_t_above_n",
    "bad_threshold_n_17",
    "bad_share_off_commitment",
    "bad_kappa_share_off_commitment",
    "bad_header_altered_after_receipt",
    "bad_prekey_expired",
    "bad_prekey_foreign",
    "bad_prekey_bad_signature",
    "bad_receipts_one_too_few",
    "bad_opening_for_another_plate",
    "bad_opening_for_another_keeper",
    "bad_opening_openings_hash_left_in",
    "bad_grant_one_legal_entity_twice",
    "bad_grant_approvals_of_two_digests",
    "bad_approval_after_not_after",
    "bad_evaluate_after_not_after",
    "bad_grant_policy_digest_of_yesterday",
    "bad_epoch_open",
    "bad_epoch_destroyed",
    "bad_epoch_outside_the_window",
    "bad_epoch_of_another_owner",
    "bad_evaluation_swapped_e",
    "bad_evaluation_altered_e",
    "bad_evaluation_kappa_share",
    "bad_evaluation_proof_for_another_grant",
    "bad_evaluation_proof_for_another_index",
    "bad_evaluation_proof_for_another_epoch_order",
    "bad_bucket_cell_of_255_bytes",
    "bad_bucket_cell_of_257_bytes",
    "bad_bucket_cut_cell",
    "bad_cell_aad_of_another_epoch",
    "bad_cell_padding_without_0x80",
    "bad_bucket_from_another_epoch",
    "bad_bucket_path_of_the_neighbour",
    "bad_bucket_segment_root_other_than_logged",
    "bad_leaf_duplicate_key",
    "bad_leaf_unsorted",
    "bad_leaf_space",
    "bad_leaf_fraction",
    "bad_leaf_exponent",
    "bad_leaf_null",
    "bad_leaf_escape",
    "bad_leaf_lone_surrogate",
    "bad_leaf_not_nfc",
    "bad_leaf_of_another_log",
    "bad_leaf_too_long",
    "bad_leaf_fifteen_digests",
    "bad_leaf_seventeen_digests",
    "bad_disclosure_not_in_the_leaf",
    "bad_disclosure_under_another_name",
    "bad_notice_code_by_a_stranger",
    "bad_notice_code_expired",
    "bad_delay_notice_shortens",
    "bad_approval_passkey_of_another_verdict",
    "bad_approval_passkey_of_a_stranger",
    "bad_passkey_type_create",
    "bad_passkey_challenge_padded",
    "bad_passkey_challenge_of_another",
    "bad_passkey_origin_with_port",
    "bad_passkey_origin_of_a_sub_domain",
    "bad_passkey_origin_http",
    "bad_passkey_cross_origin",
    "bad_passkey_rp_id",
    "bad_passkey_user_not_present",
    "bad_passkey_user_not_verified",
    "bad_passkey_r_zero",
    "bad_passkey_s_order",
    "bad_passkey_rsa",
    "bad_exigency_one_signature",
    "bad_exigency_same_person",
    "bad_emergency_report_by_the_officer",
    "bad_revocation_by_a_stranger",
    "bad_policy_change_13_days",
    "bad_policy_change_silent",
    "bad_statement_without_hold",
    "bad_hold_over",
    "bad_hold_end_moved",
    "bad_revealed_cell_key",
];

fn cases() -> Vec<Case> {
    let mut cases = encodings::cases();
    cases.extend(dealing::cases());
    cases.extend(attacks::cases());
    cases.extend(opening::cases());
    cases.extend(passkey::cases());
    cases.extend(register::cases());
    cases.extend(kept::cases());
    cases.extend(orders::cases());
    cases.extend(lists::cases());
    cases
}

fn fails(error: &Error) -> Value {
    let mut fails = match error.kind() {
        ErrorKind::TooFewKeepers { got, needed } => json!({"kind": "TooFewKeepers", "got": got, "needed": needed}),
        kind => json!({"kind": format!("{kind:?}")}),
    };
    if !error.culprits().is_empty() {
        fails["culprits"] = error.culprits().iter().map(|index| index.0).collect();
    }
    fails
}

/// The text of a file: what the case says, with the result that this crate computes where it must succeed.
fn text(case: &Case) -> String {
    let outcome = ops::execute(case.op, &case.input);
    let mut step = BTreeMap::from([("op", json!(case.op)), ("in", case.input.clone())]);
    match (&case.expect, &outcome) {
        (Expect::Out, Ok(out)) => drop(step.insert("out", out.clone())),
        (Expect::Fails(kind, culprits), Err(error)) => {
            let names: Vec<u8> = error.culprits().iter().map(|index| index.0).collect();
            assert_eq!((error.kind(), names.as_slice()), (*kind, *culprits), "{}: {error}", case.name);
            step.insert("fails", fails(error));
        }
        (Expect::Out, Err(error)) => panic!("{}: must succeed, got {error:?}", case.name),
        (Expect::Fails(kind, _), Ok(_)) => panic!("{}: must fail with {kind:?}", case.name),
    }
    let mut out = format!(
        "{{\n \"format\": \"lockplate-vectors/1\",\n \"spec\": \"LPv1\",\n \"title\": {},\n \"steps\": [\n  {{",
        json!(case.title)
    );
    for (place, key) in ["op", "in", "out", "fails"].into_iter().filter(|key| step.contains_key(key)).enumerate() {
        out.push_str(if place == 0 { "\n" } else { ",\n" });
        out.push_str(&format!("   \"{key}\": "));
        write_value(&mut out, &step[key], 3);
    }
    out.push_str("\n  }\n ]\n}\n");
    out
}

/// Keys sorted whatever features `serde_json` was built with; one input a line.
fn write_value(out: &mut String, value: &Value, indent: usize) {
    let pad = " ".repeat(indent + 1);
    let (open, close, items): (_, _, Vec<(String, &Value)>) = match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            ('{', '}', sorted.into_iter().map(|(key, value)| (format!("{}: ", json!(key)), value)).collect())
        }
        Value::Array(list) => ('[', ']', list.iter().map(|value| (String::new(), value)).collect()),
        plain => return out.push_str(&plain.to_string()),
    };
    out.push(open);
    for (place, (key, value)) in items.iter().enumerate() {
        out.push_str(&format!("{}\n{pad}{key}", if place == 0 { "" } else { "," }));
        write_value(out, value, indent + 1);
    }
    if !items.is_empty() {
        out.push_str(&format!("\n{}", " ".repeat(indent)));
    }
    out.push(close);
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/v1")
}

/// The `good_*` and `bad_*` files of the folder: name without `.json`, text.
fn files() -> BTreeMap<String, String> {
    std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn the_files_are_what_the_seeds_give() {
    let (cases, mut files) = (cases(), files());
    for case in &cases {
        let file = files.remove(case.name);
        assert!(file.as_deref() == Some(&text(case)), "{}: run `cargo xtask vectors` and look at the diff", case.name);
    }
    assert!(files.is_empty(), "files that no case makes: {:?}", files.keys());
}

#[test]
fn a_bad_file_differs_from_a_good_one_in_what_it_names() {
    let cases = cases();
    for bad in cases.iter().filter(|case| case.name.starts_with("bad_")) {
        let good = cases.iter().find(|case| case.name == bad.like).unwrap();
        assert!(matches!(good.expect, Expect::Out) && matches!(bad.expect, Expect::Fails(..)), "{}", bad.name);
        let (Value::Object(ours), Value::Object(theirs)) = (&bad.input, &good.input) else { panic!("{}", bad.name) };
        assert_eq!(ours.len(), theirs.len(), "{}", bad.name);
        let differing: BTreeSet<_> =
            ours.iter().filter(|(key, value)| theirs.get(*key) != Some(value)).map(|(key, _)| key.as_str()).collect();
        assert_eq!(differing, bad.differs.iter().copied().collect(), "{}", bad.name);
    }
}

#[test]
fn every_file_does_what_it_says() {
    let files = files();
    for required in REQUIRED {
        assert!(files.contains_key(*required), "{required}.json is missing");
    }
    for (name, text) in &files {
        let file: Value = serde_json::from_str(text).unwrap();
        assert_eq!((&file["format"], &file["spec"]), (&json!("lockplate-vectors/1"), &json!("LPv1")), "{name}");
        let steps = file["steps"].as_array().unwrap();
        assert!(!steps.is_empty(), "{name}");
        assert_eq!(steps.iter().any(|step| step.get("fails").is_some()), name.starts_with("bad_"), "{name}");
        for step in steps {
            match (ops::execute(step["op"].as_str().unwrap(), &step["in"]), step.get("out"), step.get("fails")) {
                (Ok(out), Some(wanted), None) => assert!(out == *wanted, "{name}: another result"),
                (Err(error), None, Some(wanted)) => assert_eq!(fails(&error), *wanted, "{name}: {error}"),
                (Ok(_), _, _) => panic!("{name}: succeeds, and must not"),
                (Err(error), _, _) => panic!("{name}: fails, and must not: {error}"),
            }
        }
    }
}

#[test]
#[should_panic(expected = "unknown op")]
fn an_unknown_op_is_a_failure() {
    drop(ops::execute("make-tea", &json!({})));
}

#[test]
#[ignore = "writes files; `cargo xtask vectors` runs it"]
#[expect(clippy::disallowed_methods, reason = "a chore of the repository, run by hand")]
fn write() {
    let folder = std::env::var("VECTORS_OUT").unwrap();
    for case in cases() {
        std::fs::write(Path::new(&folder).join(format!("{}.json", case.name)), text(&case)).unwrap();
    }
}

//! The operations of a vector. Each takes its inputs from bytes and numbers alone, so that another implementation can run it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockplate_log::append::Log;
use lockplate_log::note::NoteSigner;
use lockplate_oprf::oprf::{self, Blind};
use lockplate_oprf::sharing::{ShareIndex, Threshold};
use lockplate_oprf::{Element, Secret};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::{Value, json};

use super::{hx, kept, orders, register_ops};
use crate::approval::{Approval, Grant};
use crate::charter::CharterFile;
use crate::decision::{DecisionRecord, HumanDecision};
use crate::envelope::HpkeSecretKey;
use crate::epoch::{DealtShare, EpochClose, EpochHeader, EpochKind, EpochPlan, HeldShare, Prekey, VerifiedPrekey};
use crate::error::{Error, Result};
use crate::hotlist::alert::AlertStep;
use crate::hotlist::handover::AlertsAsked;
use crate::hotlist::steward::{ListConfig, LoadOrder};
use crate::id::{AgencyId, EpochId, KeeperIndex, RecorderId};
use crate::keeper::{Answer, ClosedEpoch, HeldEpoch, Keeper};
use crate::passkey::{Assertion, CoseKey, Passkey, RelyingParty};
use crate::person::{ByPerson, PersonKey};
use crate::plate::PlateInput;
use crate::request::{FiledRequest, SearchRequest, check_opening};
use crate::seal::{cell_keys, open_cell, seal_cell};
use crate::segment::BucketProof;
use crate::sign::{Signed, SigningKey, Statement, VerifyKey};
use crate::town::{Memory, TestPolicy, notice_key};
use crate::{Timestamp, epoch, open};

/// A statement of people, and what they sign.
fn signed_hash<T: Statement>(input: &Value) -> Result<Value> {
    let statement = T::decode(&bytes(input, "bytes"))?;
    Ok(json!({"signed_hash": hx(T::signed_hash(&statement.encode()))}))
}

/// Runs one step.
///
/// # Errors
/// What the crate says. A vector that is itself malformed (a missing input, an unknown op) panics: the test has failed.
pub(super) fn execute(op: &str, input: &Value) -> Result<Value> {
    match op {
        "element" => Ok(json!({"element": hx(Element::from_bytes(&bytes(input, "element"))?.to_bytes())})),
        "scalar" => {
            let r = Blind::from_bytes(&bytes(input, "scalar"))?;
            Ok(json!({"scalar": hx(r.to_secret().expose_secret())}))
        }
        "blind" => {
            let r = Blind::from_bytes(&bytes(input, "r"))?;
            Ok(json!({"b": hx(oprf::blind(&bytes(input, "input"), &r)?.to_bytes())}))
        }
        "threshold" => {
            let threshold = Threshold::new(byte(input, "t"), byte(input, "n"))?;
            Ok(json!({"t": threshold.t(), "n": threshold.n()}))
        }
        "decode-plate-input" => {
            let decoded = PlateInput::from_bytes(&bytes(input, "bytes")).ok_or(Error::malformed("no plate input"))?;
            Ok(json!({"agency": hx(decoded.agency().0), "kind": decoded.kind().code(), "text": decoded.folded_text()}))
        }
        "decode-request" => {
            let request = SearchRequest::decode(&bytes(input, "bytes"))?;
            Ok(json!({"digest": hx(request.digest()), "elements": request.elements.len()}))
        }
        "decode-list-config" => signed_hash::<ListConfig>(input),
        "decode-load-order" => signed_hash::<LoadOrder>(input),
        "decode-alert-step" => signed_hash::<AlertStep>(input),
        "decode-alerts-asked" => signed_hash::<AlertsAsked>(input),
        "decode-header" => {
            let header = EpochHeader::decode(&bytes(input, "bytes"))?;
            Ok(json!({"header_hash": hx(header.hash()), "epoch_id": hx(header.epoch_id.0)}))
        }
        "check-prekey" => {
            let prekey = Signed::<Prekey>::from_bytes(&bytes(input, "prekey"))?;
            let verified = VerifiedPrekey::new(&prekey, &key(input, "keeper"), time(input, "now"))?;
            Ok(json!({"prekey_id": hx(verified.id())}))
        }
        "deal" => deal(input),
        "unwrap-share" => {
            let header = EpochHeader::decode(&bytes(input, "header"))?;
            let held = epoch::unwrap_share(
                &bytes(input, "envelope"),
                &hpke(input, "prekey_seed"),
                &header,
                index(input, "index"),
            )?;
            Ok(json!({"share": hx(held.to_secret().expose_secret()), "header_hash": hx(held.header_hash())}))
        }
        "hold-epoch" => hold(input, index(input, "index"), &key(input, "recorder")).map(|_held| json!({})),
        "check-opening" => opening(input),
        "check-grant" => {
            let grant = Grant::from_bytes(&bytes(input, "grant"))?;
            let charter = CharterFile::verify(&bytes(input, "charter"))?;
            grant.check_approvals(charter.charter(), &array(input, "policy_digest"), byte(input, "humans"))?;
            Ok(json!({"grant_digest": hx(grant.digest())}))
        }
        "conclude" => {
            let decision = ByPerson::<HumanDecision>::from_bytes(&bytes(input, "decision"))?;
            let record = DecisionRecord::from_bytes(&bytes(input, "record"))?;
            let (answer, _disclosure) =
                keeper(input)?.conclude(record, &decision, &person(input)?, time(input, "now"), &mut rng(input))?;
            let Answer::Approved { approval, .. } = answer else { panic!("the decision of the vector is a yes") };
            let _: &Signed<Approval> = &approval;
            Ok(json!({"approval": hx(approval.to_bytes())}))
        }
        "check-passkey" => {
            let passkey = Passkey { key: CoseKey::parse(&bytes(input, "cose"))?, site: site(input)? };
            let assertion = Assertion::from_bytes(&bytes(input, "assertion"))?;
            passkey.verify(&array(input, "challenge"), &assertion)?;
            Ok(json!({"key_id": hx(passkey.key.id())}))
        }
        "evaluate" => {
            let grant = Grant::from_bytes(&bytes(input, "grant"))?;
            let record = DecisionRecord::from_bytes(&bytes(input, "record"))?;
            let recorder = key(input, "recorder");
            let held = list(input, "epochs")
                .iter()
                .map(|epoch| hold(epoch, index(input, "index"), &recorder))
                .collect::<Result<_>>()?;
            let now = time(input, "now");
            let evaluation = keeper(input)?.evaluate(grant, &record, held, None, now, &mut rng(input))?;
            Ok(json!({"evaluation": hx(evaluation.to_bytes())}))
        }
        "search" => search(input),
        "seal-cell" => {
            let (prk, epoch_id) = (Secret::new(array(input, "prk")), EpochId(array(input, "epoch_id")));
            let keys = cell_keys(&prk, epoch_id, counter(input))?;
            let cell = seal_cell(&keys, epoch_id, &array(input, "nonce"), &bytes(input, "record"))?;
            Ok(json!({"cell": hx(cell)}))
        }
        "open-cell" => {
            let (prk, epoch_id) = (Secret::new(array(input, "prk")), EpochId(array(input, "epoch_id")));
            let keys = cell_keys(&prk, epoch_id, counter(input))?;
            Ok(json!({"record": hx(open_cell(&keys, epoch_id, &array(input, "cell"))?.as_slice())}))
        }
        "check-bucket" => {
            let proof = BucketProof::from_bytes(&bytes(input, "proof"))?;
            let wanted = u32::try_from(number(input, "bucket")).unwrap();
            let verified = proof.verify(wanted, &array(input, "segment_root"), byte(input, "bucket_bits"))?;
            Ok(json!({"cells": verified.cells().len()}))
        }
        "decode-statement" | "hold-digests" | "unwrap-hold" | "open-revealed" => kept::execute(op, input),
        "check-exigency" | "check-emergency-report" | "check-revocation" | "check-policy-change" => {
            orders::execute(op, input)
        }
        other => register_ops::execute(other, input),
    }
}

/// 32 bytes are a key file's public key; a COSE key comes with its site.
fn person(input: &Value) -> Result<PersonKey> {
    let human = bytes(input, "human");
    match <[u8; 32]>::try_from(human.as_slice()) {
        Ok(key) => Ok(PersonKey::File(VerifyKey(key))),
        Err(_longer) => Ok(PersonKey::Passkey(Box::new(Passkey { key: CoseKey::parse(&human)?, site: site(input)? }))),
    }
}

fn site(input: &Value) -> Result<RelyingParty> {
    RelyingParty::new(register_ops::text(input, "rp_id"), &[register_ops::text(input, "origin").to_owned()])
}

fn deal(input: &Value) -> Result<Value> {
    let now = time(input, "now");
    let prekeys = list(input, "prekeys")
        .iter()
        .zip(list(input, "keepers"))
        .map(|(prekey, keeper)| {
            VerifiedPrekey::new(&Signed::from_bytes(&of(prekey))?, &VerifyKey(of(keeper).try_into().unwrap()), now)
        })
        .collect::<Result<_>>()?;
    let plan = EpochPlan {
        agency: AgencyId(array(input, "agency")),
        recorder: RecorderId(array(input, "recorder")),
        cap_from: time(input, "cap_from"),
        cap_to: time(input, "cap_to"),
        kind: EpochKind::Live,
        bucket_bits: byte(input, "bucket_bits"),
        threshold: Threshold::new(byte(input, "t"), byte(input, "n"))?,
        charter_hash: array(input, "charter_hash"),
        destroy_after: time(input, "destroy_after"),
    };
    let dealt = epoch::deal(&plan, prekeys, &mut rng(input))?;
    let out = json!({
        "header": hx(dealt.header().encode()),
        "envelopes": dealt.envelopes().iter().map(|(_, envelope)| hx(envelope)).collect::<Value>(),
    });
    let receipts =
        list(input, "receipts").iter().map(|receipt| Signed::from_bytes(&of(receipt))).collect::<Result<Vec<_>>>()?;
    dealt.receipted(&receipts).map_err(|refused| refused.1)?;
    Ok(out)
}

fn hold(input: &Value, index: KeeperIndex, recorder: &VerifyKey) -> Result<HeldEpoch> {
    let header = Signed::<EpochHeader>::from_bytes(&bytes(input, "header"))?;
    let close = Signed::<EpochClose>::from_bytes(&bytes(input, "close"))?;
    let receipted = EpochHeader::decode(&bytes(input, "receipted_header"))?;
    let share = HeldShare::from_secret(&Secret::new(array(input, "share")), &DealtShare::of(&receipted, index)?)?;
    HeldEpoch::new(Arc::new(ClosedEpoch::new(&header, &close, recorder, index)?), share)
}

fn opening(input: &Value) -> Result<Value> {
    let filed = FiledRequest::from_bytes(&bytes(input, "filed"))?;
    let hashes = list(input, "hashes").iter().map(|hash| of(hash).try_into().unwrap()).collect();
    let position = usize::from(byte(input, "position"));
    let opened = check_opening(filed, &bytes(input, "opening"), hashes, position, &hpke(input, "opening_key_seed"))?;
    let inputs: Value = opened.text().elements.iter().map(|(input, _)| hx(input.expose_bytes())).collect();
    Ok(json!({"inputs": inputs}))
}

fn search(input: &Value) -> Result<Value> {
    let grant = Grant::from_bytes(&bytes(input, "grant"))?;
    let headers =
        list(input, "headers").iter().map(|header| EpochHeader::decode(&of(header))).collect::<Result<Vec<_>>>()?;
    let response = hpke(input, "response_seed");
    let verified = list(input, "evaluations")
        .iter()
        .map(|row| {
            let evaluation = Signed::from_bytes(&bytes(row, "evaluation"))?;
            let (keeper, index) = (key(row, "keeper"), index(row, "index"));
            open::verify_evaluation(&evaluation, &keeper, index, &grant, &headers, &response)
        })
        .collect::<Result<Vec<_>>>()?;
    let inputs = list(input, "inputs")
        .iter()
        .map(|row| Ok((PlateInput::from_bytes(&bytes(row, "input")).unwrap(), Blind::from_bytes(&bytes(row, "r"))?)))
        .collect::<Result<Vec<_>>>()?;
    let archive: BTreeMap<_, _> =
        list(input, "buckets").iter().map(|row| ((array(row, "epoch_id"), number(row, "bucket")), row)).collect();
    let mut found = Vec::new();
    for key in open::combine(&verified, &inputs, &headers)? {
        let header = headers.iter().find(|header| header.epoch_id == key.epoch_id()).unwrap();
        let row = archive.get(&(key.epoch_id().0, u64::from(key.bucket()))).expect("the bucket is in the vector");
        let proof = BucketProof::from_bytes(&bytes(row, "proof"))?;
        let bucket = proof.verify(key.bucket(), &array(row, "segment_root"), header.bucket_bits)?;
        for read in open::open(&key, &bucket)? {
            found.push(json!({
                "element": read.element, "epoch_id": hx(read.epoch_id.0), "counter": read.counter, "tag": hx(read.tag),
                "plate": read.read.plate.expose_text(), "record": hx(read.read.to_record()?),
            }));
        }
    }
    Ok(json!({"reads": found}))
}

/// A keeper with an empty log in memory.
fn keeper(input: &Value) -> Result<Keeper<Memory>> {
    let charter = CharterFile::verify(&bytes(input, "charter"))?;
    let index = index(input, "index");
    let origin = charter.charter().keeper(index).unwrap().log_key.name().clone();
    let log = Log::create(Memory::default(), NoteSigner::new(origin, &array(input, "log_seed")).unwrap()).unwrap();
    let policy = TestPolicy { humans: 0, digest: [5; 32] };
    let key = SigningKey::from_seed(&Secret::new(array(input, "keeper_seed")));
    Keeper::new(index, charter, key, notice_key(index.0), Box::new(policy), log)
}

pub(super) fn of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex in a string")).unwrap()
}

pub(super) fn bytes(input: &Value, name: &str) -> Vec<u8> {
    of(input.get(name).unwrap_or_else(|| panic!("the input {name} is missing")))
}

pub(super) fn array<const N: usize>(input: &Value, name: &str) -> [u8; N] {
    bytes(input, name).try_into().unwrap_or_else(|_| panic!("the input {name} has another length"))
}

pub(super) fn number(input: &Value, name: &str) -> u64 {
    input[name].as_u64().unwrap_or_else(|| panic!("the input {name} is no number"))
}

pub(super) fn byte(input: &Value, name: &str) -> u8 {
    u8::try_from(number(input, name)).unwrap()
}

fn counter(input: &Value) -> u32 {
    u32::try_from(number(input, "counter")).unwrap()
}

pub(super) fn list<'a>(input: &'a Value, name: &str) -> &'a [Value] {
    input[name].as_array().unwrap_or_else(|| panic!("the input {name} is no list"))
}

pub(super) fn time(input: &Value, name: &str) -> Timestamp {
    Timestamp(number(input, name))
}

fn index(input: &Value, name: &str) -> KeeperIndex {
    let index = byte(input, name);
    ShareIndex::new(index).unwrap();
    KeeperIndex(index)
}

fn key(input: &Value, name: &str) -> VerifyKey {
    VerifyKey(array(input, name))
}

pub(super) fn hpke(input: &Value, name: &str) -> HpkeSecretKey {
    HpkeSecretKey::from_seed(Secret::new(array(input, name)))
}

fn rng(input: &Value) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(array(input, "rng"))
}

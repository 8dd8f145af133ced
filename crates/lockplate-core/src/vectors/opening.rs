//! Buckets under the logged root, and a whole search: verify, combine, fetch, open; the keepers that lie in it.

use lockplate_oprf::oprf::{Blind, blind_evaluate};
use lockplate_oprf::proof::{self, KeyStatement};
use lockplate_oprf::sharing::ShareIndex;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::{Value, json};

use super::{Case, Expect, MALFORMED, OWNER, hx};
use crate::approval::Grant;
use crate::envelope::encrypt;
use crate::error::ErrorKind;
use crate::id::KeeperIndex;
use crate::open::{Evaluation, EvaluationText, evaluation_info};
use crate::sign::Statement as _;
use crate::town::{Closed, NOON, Town, read};
use crate::vocabulary::Purpose;

pub(super) fn cases() -> Vec<Case> {
    let mut town = Town::new(0);
    let reads: Vec<_> = (0..20)
        .map(|i| read(&format!("XY{i:03}"), Some("US-CT"), NOON - 7_200 + i))
        .chain([read("AB12345", Some("US-CT"), NOON - 7_000), read("AB12345", None, NOON - 6_700)])
        .collect();
    let mut epochs =
        [town.epoch(NOON - 7_200, &reads), town.epoch(NOON - 3_600, &[read("AB12345", Some("US-CT"), NOON - 60)])];
    epochs.sort_by_key(|epoch| epoch.header.claimed().epoch_id);
    let mut cases = buckets(&epochs);
    cases.extend(searches(&mut town, &epochs));
    cases
}

fn buckets(epochs: &[Closed; 2]) -> Vec<Case> {
    let proof = epochs[0].segment.prove(1).unwrap();
    let root = |epoch: &Closed| hx(epoch.close.claimed().segment_root);
    let good = Case::good(
        "good_bucket",
        "a bucket under the logged segment root",
        "check-bucket",
        json!({"proof": hx(proof.to_bytes()), "bucket": 1, "segment_root": root(&epochs[0]), "bucket_bits": 2}),
    );
    let alter = |name, title, change: &dyn Fn(&mut crate::segment::BucketProof), expect| {
        let mut altered = proof.clone();
        change(&mut altered);
        Case::bad(name, title, &good, json!({"proof": hx(altered.to_bytes())}), &["proof"], expect)
    };
    vec![
        alter(
            "bad_bucket_cell_of_255_bytes",
            "the last cell lacks its last byte",
            &|p| p.cells.truncate(p.cells.len() - 1),
            MALFORMED,
        ),
        alter("bad_bucket_cell_of_257_bytes", "the last cell has one byte more", &|p| p.cells.push(0), MALFORMED),
        alter(
            "bad_bucket_cut_cell",
            "the bucket ends in the middle of its last cell",
            &|p| p.cells.truncate(p.cells.len() - 128),
            MALFORMED,
        ),
        alter(
            "bad_bucket_path_of_the_neighbour",
            "the inclusion path of bucket 2",
            &|p| p.path = epochs[0].segment.prove(2).unwrap().path,
            OWNER,
        ),
        alter(
            "bad_bucket_from_another_epoch",
            "bucket 1 of another epoch, with that epoch's path",
            &|p| *p = epochs[1].segment.prove(1).unwrap(),
            OWNER,
        ),
        Case::bad(
            "bad_bucket_segment_root_other_than_logged",
            "the logged root is not this segment's",
            &good,
            json!({"segment_root": root(&epochs[1])}),
            &["segment_root"],
            OWNER,
        ),
        Case::bad(
            "bad_bucket_of_another_number",
            "another bucket than the one asked for",
            &good,
            json!({"bucket": 2}),
            &["bucket"],
            OWNER,
        ),
        good,
    ]
}

/// The true text of keeper `place`'s answer, its parts open to alteration.
fn truth(place: usize, digest: &[u8; 32], grant: &Grant, epochs: &[&Closed]) -> EvaluationText {
    let at = KeeperIndex(u8::try_from(place).unwrap() + 1);
    let index = ShareIndex::new(at.0).unwrap();
    let held: Vec<_> = epochs.iter().map(|epoch| epoch.share(place)).collect();
    let public: Vec<_> = epochs.iter().map(|epoch| epoch.header.claimed().commitment.public_share(index)).collect();
    let hashes: Vec<_> = epochs.iter().map(|epoch| epoch.header.claimed().hash()).collect();
    let mut rng = ChaCha20Rng::from_seed([81; 32]);
    let elements = grant.request.claimed().elements.iter().map(|element| {
        let points: Vec<_> = held.iter().map(|held| blind_evaluate(&held.share, &element.blinded).unwrap()).collect();
        let statements: Vec<_> = (0..epochs.len())
            .map(|i| KeyStatement { header_hash: &hashes[i], public_share: &public[i], evaluated: &points[i] })
            .collect();
        let shares: Vec<_> = held.iter().map(|held| &held.share).collect();
        (proof::prove(digest, index, &element.blinded, &statements, &shares, &mut rng).unwrap(), points)
    });
    let elements = elements.collect();
    let peppers = epochs
        .iter()
        .zip(&held)
        .map(|(epoch, held)| (epoch.header.claimed().epoch_id, held.pepper.to_bytes()))
        .collect();
    EvaluationText { peppers, elements }
}

fn searches(town: &mut Town, epochs: &[Closed; 2]) -> Vec<Case> {
    let both = [&epochs[0], &epochs[1]];
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let (approvals, _) = town.approvals(&[0, 1], &asked, &both);
    let grant = Town::grant(&asked, approvals, &both);
    let digest = grant.digest();
    let signed = |place: usize, text: &EvaluationText| {
        let index = KeeperIndex(u8::try_from(place).unwrap() + 1);
        let key = town.keepers[place].keeper.key();
        let sealed = encrypt(
            &asked.filed.request.claimed().response_pk,
            &evaluation_info(&digest),
            &[index.0],
            &text.encode(),
            &mut ChaCha20Rng::from_seed([82; 32]),
        );
        let evaluation = key.sign(Evaluation { grant_digest: digest, index, sealed: sealed.unwrap() });
        json!({"index": index.0, "keeper": hx(key.verify_key().0), "evaluation": hx(evaluation.to_bytes())})
    };
    let honest = |place: usize| truth(place, &digest, &grant, &both);
    let first = signed(0, &honest(0));
    let second = |change: &dyn Fn(&mut EvaluationText)| {
        let mut text = honest(1);
        change(&mut text);
        json!({"evaluations": [first.clone(), signed(1, &text)]})
    };
    let inputs: Value = asked
        .text
        .elements
        .iter()
        .map(|(input, r): &(_, Blind)| json!({"input": hx(input.expose_bytes()), "r": hx(r.to_secret().expose_secret())}))
        .collect();
    // Every bucket, so that an implementation that computes another number finds no read rather than no bucket.
    let mut buckets = Vec::new();
    for epoch in both {
        for bucket in 0..4 {
            buckets.push(json!({
                "epoch_id": hx(epoch.header.claimed().epoch_id.0), "bucket": bucket,
                "proof": hx(epoch.segment.prove(bucket).unwrap().to_bytes()),
                "segment_root": hx(epoch.close.claimed().segment_root),
            }));
        }
    }
    let good = Case::good(
        "good_search",
        "two keepers answer; the reads of the plate open and no other",
        "search",
        json!({
            "grant": hx(grant.to_bytes()), "response_seed": hx(asked.response.seed().expose_secret()), "inputs": inputs,
            "headers": both.iter().map(|epoch| hx(epoch.header.claimed().encode())).collect::<Value>(),
            "evaluations": second(&|_| ())["evaluations"].clone(), "buckets": buckets,
        }),
    );
    let reversed = [both[1], both[0]];
    let other_order = truth(1, &digest, &grant, &reversed);
    let other_grant = truth(1, &[83; 32], &grant, &both);
    let other_index = honest(0);
    let lying = |name, title, change: &dyn Fn(&mut EvaluationText)| {
        Case::bad(
            name,
            title,
            &good,
            second(change),
            &["evaluations"],
            Expect::Fails(ErrorKind::KeeperMisbehaved, &[2]),
        )
    };
    vec![
        lying("bad_evaluation_swapped_e", "keeper 2 swaps E of two epochs", &|text| text.elements[0].1.swap(0, 1)),
        lying("bad_evaluation_altered_e", "one E of keeper 2 is another element", &|text| {
            text.elements[0].1[0] = text.elements[1].1[0];
        }),
        lying("bad_evaluation_kappa_share", "a kappa share of keeper 2 is another epoch's", &|text| {
            text.peppers[0].1 = text.peppers[1].1.clone();
        }),
        lying("bad_evaluation_proof_for_another_grant", "keeper 2 proves for another grant", &|text| {
            text.elements[0].0.clone_from(&other_grant.elements[0].0);
        }),
        lying("bad_evaluation_proof_for_another_index", "keeper 2 gives the proof of keeper 1", &|text| {
            text.elements[0].0.clone_from(&other_index.elements[0].0);
        }),
        lying("bad_evaluation_proof_for_another_epoch_order", "keeper 2 proves over the epochs in reverse", &|text| {
            text.elements[0].0.clone_from(&other_order.elements[0].0);
        }),
        Case::bad(
            "bad_search_one_keeper",
            "one answer where t is two",
            &good,
            json!({"evaluations": [first.clone()]}),
            &["evaluations"],
            Expect::Fails(ErrorKind::TooFewKeepers { got: 1, needed: 2 }, &[]),
        ),
        good,
    ]
}

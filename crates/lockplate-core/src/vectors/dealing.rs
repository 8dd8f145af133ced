//! Prekeys, dealing, share envelopes, receipts, and the epochs that a keeper may hold.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::{Value, json};

use super::{Case, Expect, INVALID, OWNER, hx};
use crate::Timestamp;
use crate::envelope::encrypt;
use crate::epoch::{EpochHeader, Prekey, ShareReceipt, VerifiedPrekey, deal, unwrap_share};
use crate::error::ErrorKind;
use crate::id::KeeperIndex;
use crate::sign::{Signed, Statement as _};
use crate::town::{Closed, NOON, OWNER as AGENCY, RECORDER, Town, read};

const SEED: [u8; 32] = [71; 32];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = prekeys();
    cases.extend(dealt());
    cases.extend(held());
    cases
}

fn prekeys() -> Vec<Case> {
    let mut town = Town::new(0);
    let (prekey, _) = town.prekey(0);
    let key = |place: usize| town.keepers[place].keeper.key();
    let timed = Prekey { not_after: Timestamp(NOON + 86_400), ..prekey.claimed().clone() };
    let signed = key(0).sign(timed.clone());
    let foreign = key(0).sign(Prekey { keeper_key_id: key(1).verify_key().0, ..timed });
    let mut forged = signed.to_bytes();
    *forged.last_mut().unwrap() ^= 1;
    let good = Case::good(
        "good_prekey",
        "a prekey of its keeper, in its time",
        "check-prekey",
        json!({"prekey": hx(signed.to_bytes()), "keeper": hx(key(0).verify_key().0), "now": NOON}),
    );
    vec![
        Case::bad("bad_prekey_expired", "now is not_after", &good, json!({"now": NOON + 86_400}), &["now"], INVALID),
        Case::bad(
            "bad_prekey_foreign",
            "a prekey that names another keeper",
            &good,
            json!({"prekey": hx(foreign.to_bytes())}),
            &["prekey"],
            INVALID,
        ),
        Case::bad(
            "bad_prekey_bad_signature",
            "one bit of the signature",
            &good,
            json!({"prekey": hx(forged)}),
            &["prekey"],
            INVALID,
        ),
        good,
    ]
}

fn dealt() -> Vec<Case> {
    let mut town = Town::new(0);
    let (prekeys, secrets): (Vec<_>, Vec<_>) = (0..3).map(|place| town.prekey(place)).unzip();
    let keys: Vec<_> = town.keepers.iter().map(|keeper| keeper.keeper.key().verify_key()).collect();
    let plan = town.plan(NOON);
    let verified =
        prekeys.iter().zip(&keys).map(|(prekey, key)| VerifiedPrekey::new(prekey, key, Timestamp(NOON)).unwrap());
    let dealt = deal(&plan, verified.collect(), &mut ChaCha20Rng::from_seed(SEED)).unwrap();
    let header = dealt.header();
    let receipt = |place: usize, header_hash| {
        let index = KeeperIndex(u8::try_from(place).unwrap() + 1);
        hx(town.keepers[place].keeper.key().sign(ShareReceipt { header_hash, index, time: Timestamp(NOON) }).to_bytes())
    };
    let good = Case::good(
        "good_deal",
        "an epoch is dealt to three keepers and receipted by two",
        "deal",
        json!({
            "rng": hx(SEED), "now": NOON,
            "prekeys": prekeys.iter().map(|prekey| hx(prekey.to_bytes())).collect::<Value>(),
            "keepers": keys.iter().map(|key| hx(key.0)).collect::<Value>(),
            "agency": hx(AGENCY.0), "recorder": hx(RECORDER.0),
            "cap_from": plan.cap_from.0, "cap_to": plan.cap_to.0, "bucket_bits": plan.bucket_bits, "t": 2, "n": 3,
            "charter_hash": hx(plan.charter_hash), "destroy_after": plan.destroy_after.0,
            "receipts": [receipt(0, header.hash()), receipt(1, header.hash())],
        }),
    );
    let altered = EpochHeader { cap_to: Timestamp(NOON + 7_200), ..header.clone() };
    let (index, envelope) = &dealt.envelopes()[0];
    let unwrap = Case::good(
        "good_share",
        "keeper 1 opens its share and checks it against the header",
        "unwrap-share",
        json!({
            "envelope": hx(envelope), "prekey_seed": hx(secrets[0].seed().expose_secret()), "header": hx(header.encode()), "index": 1,
        }),
    );
    // What a dishonest dealer seals: a share or a kappa share that is not on the commitments of the header.
    let share = *unwrap_share(envelope, &secrets[0], header, *index).unwrap().to_secret().expose_secret();
    let lie = |at: usize| {
        let mut share = share;
        share[at] ^= 1;
        let info = [b"LPv1 share".as_slice(), &header.hash()].concat();
        let to = secrets[0].public_key().unwrap();
        json!({"envelope": hx(encrypt(&to, &info, &[1], &share, &mut ChaCha20Rng::from_seed([72; 32])).unwrap())})
    };
    vec![
        Case::bad(
            "bad_receipts_one_too_few",
            "one receipt where t is two",
            &good,
            json!({"receipts": [receipt(0, header.hash())]}),
            &["receipts"],
            Expect::Fails(ErrorKind::TooFewKeepers { got: 1, needed: 2 }, &[]),
        ),
        Case::bad(
            "bad_receipt_of_another_header",
            "keeper 2 receipts an altered header",
            &good,
            json!({"receipts": [receipt(0, header.hash()), receipt(1, altered.hash())]}),
            &["receipts"],
            Expect::Fails(ErrorKind::KeeperMisbehaved, &[2]),
        ),
        Case::bad(
            "bad_share_off_commitment",
            "a share off the Feldman commitment",
            &unwrap,
            lie(0),
            &["envelope"],
            OWNER,
        ),
        Case::bad(
            "bad_kappa_share_off_commitment",
            "a kappa share off its commitment",
            &unwrap,
            lie(32),
            &["envelope"],
            OWNER,
        ),
        Case::bad(
            "bad_share_under_an_altered_header",
            "the envelope is bound to the header it was dealt with",
            &unwrap,
            json!({"header": hx(altered.encode())}),
            &["header"],
            super::MALFORMED,
        ),
        good,
        unwrap,
    ]
}

/// What the op `evaluate` and `hold-epoch` take for one epoch.
pub(super) fn epoch_inputs(epoch: &Closed, place: usize) -> Value {
    json!({
        "header": hx(epoch.header.to_bytes()), "close": hx(epoch.close.to_bytes()),
        "receipted_header": hx(epoch.header.claimed().encode()), "share": hx(epoch.shares[place].expose_secret()),
    })
}

/// The same epoch under a header that its recorder signed with one field changed, closed under that header.
pub(super) fn with_header(town: &Town, epoch: &Closed, header: EpochHeader) -> Closed {
    let mut close = epoch.close.claimed().clone();
    close.header_hash = header.hash();
    let header: Signed<EpochHeader> = town.recorder.sign(header);
    Closed { header, close: town.recorder.sign(close), shares: epoch.shares.clone(), segment: epoch.segment.clone() }
}

fn held() -> Vec<Case> {
    let mut town = Town::new(0);
    let epoch = town.epoch(NOON - 3_600, &[read("AB12345", Some("US-CT"), NOON - 60)]);
    let mut input = epoch_inputs(&epoch, 0);
    input["index"] = json!(1);
    input["recorder"] = hx(town.recorder.verify_key().0);
    let good = Case::good("good_epoch_held", "a closed epoch and its share", "hold-epoch", input);
    let receipted = EpochHeader { cap_to: Timestamp(NOON + 3_600), ..epoch.header.claimed().clone() };
    vec![
        Case::bad(
            "bad_header_altered_after_receipt",
            "the header is not the one that the keeper received its share with",
            &good,
            json!({"receipted_header": hx(receipted.encode())}),
            &["receipted_header"],
            INVALID,
        ),
        good,
    ]
}

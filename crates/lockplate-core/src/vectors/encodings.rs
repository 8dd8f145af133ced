//! Elements, scalars, thresholds, inputs, requests, and single cells.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use serde_json::json;
use sha2::Sha256;

use super::{Case, MALFORMED, OWNER, hx};
use crate::id::{AgencyId, EpochId};
use crate::plate::{Jurisdiction, Plate, PlateInput};
use crate::request::SearchRequest;
use crate::seal::{cell_keys, seal_cell};
use crate::sign::Statement as _;
use crate::town::{Town, read};
use crate::vocabulary::Purpose;
use lockplate_oprf::{Secret, oprf};

/// The order of the group, little-endian: the smallest scalar that is not canonical.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = values();
    cases.extend(requests());
    cases.extend(cells());
    cases
}

fn values() -> Vec<Case> {
    let plate = Plate::parse("AB12345").unwrap();
    let input = PlateInput::new(AgencyId([1; 16]), &plate, Jurisdiction::parse("US-CT"));
    let element = oprf::hash_to_group(input.expose_bytes()).unwrap().to_bytes();
    let good_element = Case::good("good_element", "a canonical element", "element", json!({"element": hx(element)}));
    // Negative field elements encode no point: the low bit is the sign.
    let mut negative = element;
    negative[0] |= 1;
    let good_scalar = Case::good("good_scalar", "a canonical scalar", "scalar", json!({"scalar": hx([3; 32])}));
    let good_blind = Case::good(
        "good_blind",
        "B = r * HashToGroup(input)",
        "blind",
        json!({"input": hx(input.expose_bytes()), "r": hx([3; 32])}),
    );
    let good_threshold = Case::good("good_threshold", "2 of 3", "threshold", json!({"t": 2, "n": 3}));
    let good_widest = Case::good("good_threshold_16_of_16", "16 of 16", "threshold", json!({"t": 16, "n": 16}));
    let good_input = Case::good(
        "good_plate_input",
        "a plate input of version 1",
        "decode-plate-input",
        json!({"bytes": hx(input.expose_bytes())}),
    );
    let mut version_two = input.expose_bytes().to_vec();
    version_two[0] = 2;
    vec![
        Case::bad(
            "bad_element_identity",
            "the identity element",
            &good_element,
            json!({"element": hx([0; 32])}),
            &["element"],
            MALFORMED,
        ),
        Case::bad(
            "bad_element_non_canonical",
            "an element that is a negative field element",
            &good_element,
            json!({"element": hx(negative)}),
            &["element"],
            MALFORMED,
        ),
        Case::bad(
            "bad_scalar_non_canonical",
            "a scalar equal to the order of the group",
            &good_scalar,
            json!({"scalar": ORDER}),
            &["scalar"],
            MALFORMED,
        ),
        Case::bad("bad_scalar_zero", "r = 0", &good_blind, json!({"r": hx([0; 32])}), &["r"], MALFORMED),
        Case::bad("bad_threshold_t_1", "t = 1", &good_threshold, json!({"t": 1}), &["t"], MALFORMED),
        Case::bad("bad_threshold_t_above_n", "t > n", &good_threshold, json!({"t": 4}), &["t"], MALFORMED),
        Case::bad("bad_threshold_n_17", "n = 17", &good_widest, json!({"n": 17}), &["n"], MALFORMED),
        Case::bad(
            "bad_plate_input_unknown_version",
            "a plate input of version 2",
            &good_input,
            json!({"bytes": hx(version_two)}),
            &["bytes"],
            MALFORMED,
        ),
        good_element,
        good_scalar,
        good_blind,
        good_threshold,
        good_widest,
        good_input,
    ]
}

fn requests() -> Vec<Case> {
    let mut town = Town::new(0);
    let asked = town.ask("AB12345", Purpose::StolenVehicle);
    let request = asked.filed.request.claimed().clone();
    let bytes = request.encode();
    let with = |count: usize| {
        let elements = request.elements.iter().copied().cycle().take(count).collect();
        json!({"bytes": hx(SearchRequest { elements, ..request.clone() }.encode())})
    };
    let good = Case::good("good_request", "a search request", "decode-request", json!({"bytes": hx(&bytes)}));
    let most =
        Case::good("good_request_64_elements", "the most elements a request may have", "decode-request", with(64));
    let mut suite = bytes.clone();
    suite[1] = 2;
    let long = [bytes.as_slice(), &[0]].concat();
    let short = bytes[..bytes.len() - 1].to_vec();
    let bad =
        |name, title, bytes: Vec<u8>| Case::bad(name, title, &good, json!({"bytes": hx(bytes)}), &["bytes"], MALFORMED);
    vec![
        bad("bad_request_wrong_suite", "suite 2", suite),
        bad("bad_request_trailing_byte", "one byte after the end", long),
        bad("bad_request_one_byte_short", "the last byte is missing", short),
        Case::bad("bad_request_zero_elements", "a request for nothing", &good, with(0), &["bytes"], MALFORMED),
        Case::bad(
            "bad_request_65_elements",
            "one element more than a request may have",
            &most,
            with(65),
            &["bytes"],
            MALFORMED,
        ),
        good,
        most,
    ]
}

fn cells() -> Vec<Case> {
    let (prk, epoch_id, other, nonce) = ([11; 32], EpochId([12; 16]), EpochId([13; 16]), [14; 12]);
    let record = read("AB12345", Some("US-CT"), crate::town::NOON).to_record().unwrap();
    let keys = cell_keys(&Secret::new(prk), epoch_id, 0).unwrap();
    let sealed = |aad: EpochId| seal_cell(&keys, aad, &nonce, &record).unwrap();
    let seal = Case::good(
        "good_cell_sealed",
        "a record is sealed into a cell of 256 bytes",
        "seal-cell",
        json!({"prk": hx(prk), "epoch_id": hx(epoch_id.0), "counter": 0, "nonce": hx(nonce), "record": hx(&record)}),
    );
    let good = Case::good(
        "good_cell",
        "the cell opens to its record",
        "open-cell",
        json!({"prk": hx(prk), "epoch_id": hx(epoch_id.0), "counter": 0, "cell": hx(sealed(epoch_id))}),
    );
    // The cell of a sealer that pads with zeros alone: the right key and nonce, no 0x80.
    let mut okm = [0; 64];
    let info = [b"LPv1 rec".as_slice(), &epoch_id.0, &[0; 4]];
    Hkdf::<Sha256>::from_prk(&prk).unwrap().expand_multi_info(&info, &mut okm).unwrap();
    let (tag, key) = okm.split_at(32);
    let mut padded = vec![0; 196];
    padded[..record.len()].copy_from_slice(&record);
    let aad = [b"LPv1 rec".as_slice(), &epoch_id.0, tag].concat();
    let body = Aes256Gcm::new(&Key::<Aes256Gcm>::from(<[u8; 32]>::try_from(key).unwrap()))
        .encrypt(&Nonce::from(nonce), Payload { msg: &padded, aad: &aad })
        .unwrap();
    let unpadded = [tag, &nonce, &body].concat();
    vec![
        Case::bad(
            "bad_cell_aad_of_another_epoch",
            "a cell sealed under another epoch's AAD",
            &good,
            json!({"cell": hx(sealed(other))}),
            &["cell"],
            OWNER,
        ),
        Case::bad(
            "bad_cell_padding_without_0x80",
            "padding without 0x80",
            &good,
            json!({"cell": hx(unpadded)}),
            &["cell"],
            OWNER,
        ),
        seal,
        good,
    ]
}

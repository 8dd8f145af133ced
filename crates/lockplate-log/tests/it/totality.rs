//! No parser panics, whatever it is given; what it accepts it writes again as it was.

use lockplate_log::merkle::leaf_hash;
use lockplate_log::tile::{parse_bundle, parse_tile};
use lockplate_log::{
    Checkpoint, Entry, Hash, InclusionProof, Log, NoteSignature, Origin, Receipt, SignedCheckpoint, SignedNote,
    StagingName, TilePath, VerifierKey,
};
use proptest::prelude::*;

use crate::memory::{Memory, said, signer};

/// Gives bytes to every parser.
fn feed(bytes: &[u8]) {
    if let Ok(note) = SignedNote::parse(bytes) {
        assert_eq!(note.to_bytes(), bytes);
    }
    drop(SignedCheckpoint::parse(bytes, signer().verifier_key()));
    if let Ok(receipt) = Receipt::parse(bytes) {
        assert_eq!(receipt.to_bytes(), bytes);
        drop(receipt.verify(signer().verifier_key(), b"x"));
    }
    for width in [0, 1, 2, 255, 256, u16::MAX] {
        drop(parse_tile(bytes, width));
        drop(parse_bundle(bytes, width));
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(checkpoint) = Checkpoint::parse(&text) {
        assert_eq!(checkpoint.to_text(), text);
    }
    if let Ok(line) = NoteSignature::parse(&text) {
        assert_eq!(line.to_string(), text);
    }
    if let Ok(key) = VerifierKey::parse(&text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(path) = TilePath::parse(&text) {
        assert_eq!(path.to_string(), text);
    }
    if let Some(name) = StagingName::parse(&text) {
        assert_eq!(name.to_string(), text);
    }
    drop(Origin::parse(&text));
    if let Ok(hash) = Hash::from_base64(&text) {
        assert_eq!(hash.to_base64(), text);
    }
}

fn receipt() -> Vec<u8> {
    let mut log = Log::create(Memory::default(), signer()).unwrap();
    drop(log.append_batch((0..20).map(said).collect()).unwrap());
    let head = log.head().clone();
    log.publish(&head, &[]).unwrap();
    log.receipt(7).unwrap()
}

#[test]
fn malformed_receipts_are_refused() {
    let good = String::from_utf8(receipt()).unwrap();
    let parse = |text: &str| Receipt::parse(text.as_bytes());
    let verify = |text: &str| parse(text).unwrap().verify(signer().verifier_key(), &said(7).leaf());
    verify(&good).unwrap();
    let lines: Vec<&str> = good.split('\n').collect();
    let without = |at: usize| {
        lines.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, line)| *line).collect::<Vec<_>>().join("\n")
    };
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines.insert(at, line);
        lines.join("\n")
    };
    assert!(parse(&without(0)).is_err(), "no first line");
    assert!(verify(&without(1)).is_ok(), "the leaf is optional");
    assert!(parse(&without(2)).is_err(), "no index");
    assert!(parse(&with(1, lines[1])).is_err(), "the leaf twice");
    assert!(parse(&with(2, lines[2])).is_err(), "the index twice");
    assert!(parse(&good.replace("tlog-proof@v1", "tlog-proof@v2")).is_err());
    assert!(parse(&good.replace("index 7", "index 07")).is_err());
    assert!(parse(&good.replace("index 7", "index -7")).is_err());
    assert!(parse(&good.replace("index 7", "index 9223372036854775808")).is_err());
    assert!(parse(&good.replace("index 7", "index 281474976710656")).is_err());
    assert!(parse(&good.replace('\n', "\r\n")).is_err());
    assert!(parse(&format!("{good}\n")).is_err());
    assert!(parse(&with(3, "AAAA")).is_err(), "a short hash");
    let hash = lines[3];
    let many = |count: usize| good.replace(hash, &vec![hash; count].join("\n"));
    assert!(parse(&many(64)).is_err(), "64 hashes");
    assert!(verify(&with(3, hash)).is_err(), "one hash long");
    assert!(verify(&without(3)).is_err(), "one hash short");
    assert!(verify(&good.replace("index 7", "index 6")).is_err(), "the neighbour");
    assert!(verify(&good.replace("index 7", "index 20")).is_err(), "index = size");
    assert!(verify(&good.replace(lines[1], "extra AAAA")).is_err(), "another leaf");
}

#[test]
fn receipts_are_not_made_from_what_does_not_fit() {
    let mut log = Log::create(Memory::default(), signer()).unwrap();
    drop(log.append_batch((0..20).map(said).collect()).unwrap());
    let proof = log.inclusion_proof(7, 20).unwrap();
    assert!(Receipt::new(&said(7).leaf(), &proof, log.head()).is_ok());
    assert!(Receipt::new(&said(8).leaf(), &proof, log.head()).is_err());
    assert!(Receipt::new(b"", &proof, log.head()).is_err());
    assert!(Receipt::new(&said(7).leaf(), &log.inclusion_proof(7, 19).unwrap(), log.head()).is_err());
}

proptest! {
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        feed(&bytes);
    }

    #[test]
    fn random_text(text in "[\\x00-\\x7f\u{2014}\u{a0}]{0,200}") {
        feed(text.as_bytes());
    }

    #[test]
    fn altered_receipts(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4)) {
        let mut bytes = receipt();
        let good = bytes.clone();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        feed(&bytes);
        // Whatever is altered and still verifies is the same statement, with a name or id of no known key in a signature at most.
        if let Ok(receipt) = Receipt::parse(&bytes)
            && let Ok(checkpoint) = receipt.verify(signer().verifier_key(), &said(7).leaf())
        {
            let good = Receipt::parse(&good).unwrap();
            prop_assert_eq!(receipt.index(), 7);
            prop_assert_eq!(checkpoint.note().text(), good.note().text());
        }
    }

    #[test]
    fn proofs_of_any_shape(index in any::<u64>(), size in any::<u64>(), count in 0_usize..70, seed in any::<[u8; 32]>()) {
        for (index, size) in [(index, size), (index % 1_000, 1 + size % 1_000), (index % (1 << 48), (1 << 48) - 1)] {
            if let Ok(proof) = InclusionProof::from_parts(index, size, vec![Hash::from(seed); count]) {
                prop_assert!(proof.verify(leaf_hash(&seed), leaf_hash(b"root")).is_err());
            }
            if let Ok(proof) = lockplate_log::ConsistencyProof::from_parts(index, size, vec![Hash::from(seed); count]) {
                let trivial = index == 0 && count == 0;
                prop_assert!(trivial || proof.verify(leaf_hash(b"old"), leaf_hash(b"new")).is_err());
            }
        }
    }
}

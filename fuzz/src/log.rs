//! A small log whose truth is known, for the targets that judge what a stranger says about it: whatever is accepted must be true.

use std::sync::LazyLock;

use lockplate_log::limits::PROOF_HASHES_MAX;
use lockplate_log::merkle::{HashSource, leaf_hash, root};
use lockplate_log::tile::tile_bytes;
use lockplate_log::{
    AddCheckpoint, Checkpoint, ConsistencyProof, CosignatureSigner, Error, Hash, InclusionProof, LogView, NoteSigner,
    Origin, Receipt, Refusal, SignedCheckpoint, SignedNote, Standing, TileKind, WitnessPolicy, WitnessRecord, consider,
};

/// Leaves of the log.
pub const SIZE: usize = 40;
/// When its heads were cosigned.
pub const NOW: u64 = 1_774_000_000;

/// The log: its leaves, the trust file, and a cosigned head of every size.
pub struct Truth {
    log: NoteSigner,
    witness: CosignatureSigner,
    hashes: Vec<Hash>,
    policy: WitnessPolicy,
    heads: Vec<SignedNote>,
}

struct List<'a>(&'a [Hash]);

impl HashSource for List<'_> {
    fn subtree(&self, height: u32, index: u64) -> Result<Hash, Error> {
        let width = 1_usize << height;
        let from = usize::try_from(index).ok().and_then(|index| index.checked_mul(width)).ok_or(Error::OutOfRange)?;
        self.0.get(from..from + width).map(root).ok_or(Error::OutOfRange)
    }
}

/// Leaf `number`.
pub fn leaf(number: usize) -> Vec<u8> {
    format!("leaf {number}").into_bytes()
}

static TRUTH: LazyLock<Truth> = LazyLock::new(|| {
    let log = NoteSigner::new(Origin::parse("clerk.example/log").expect("a name"), &[7; 32]).expect("a key");
    let witness =
        CosignatureSigner::new(Origin::parse("court.example/witness").expect("a name"), &[8; 32]).expect("a key");
    let text = format!("log {}\nwitness court {}\nquorum court\n", log.verifier_key(), witness.verifier_key());
    let policy = WitnessPolicy::parse(&text).expect("a trust file");
    let hashes: Vec<Hash> = (0..SIZE).map(|number| leaf_hash(&leaf(number))).collect();
    let head = |size: usize| {
        let tree = root(hashes.get(..size).expect("a size of the log"));
        let checkpoint = Checkpoint::new(log.verifier_key().name().clone(), size as u64, tree).expect("a checkpoint");
        let line = log.sign(&checkpoint.to_text()).expect("a text");
        let cosignature = witness.cosign(&checkpoint, NOW).expect("a time");
        SignedNote::new(&checkpoint.to_text(), vec![line, cosignature]).expect("a note")
    };
    let heads = (0..=SIZE).map(head).collect();
    Truth { log, witness, hashes, policy, heads }
});

impl Truth {
    fn head(&self, size: usize) -> &SignedNote {
        self.heads.get(size).expect("a size of the log")
    }

    fn signed(&self, size: usize) -> SignedCheckpoint {
        SignedCheckpoint::from_note(self.head(size).clone(), self.log.verifier_key()).expect("signed")
    }

    fn standing(&self, size: usize) -> Standing {
        let record = self.head(size).to_bytes();
        let record = WitnessRecord::parse(&record, self.log.verifier_key(), self.witness.verifier_key());
        Standing { newest: Some(record.expect("a record")), frozen: false }
    }
}

/// A receipt that the trust file accepts is of a leaf that is there.
pub fn judge_receipt(receipt: &Receipt) {
    let claimed = receipt.leaf().map(<[u8]>::to_vec).unwrap_or_else(|| leaf(7));
    if let Ok(cosigned) = receipt.check(&TRUTH.policy, &claimed, NOW) {
        let index = usize::try_from(receipt.index()).expect("small");
        assert!(index < SIZE && claimed == leaf(index), "a receipt of another leaf was accepted");
        assert!(receipt.verify(TRUTH.log.verifier_key(), &claimed).is_ok(), "the log alone signed it too");
        assert_eq!(cosigned.quorum_at, Some(NOW), "the time of the only cosigner");
    }
}

/// A request that is accepted names a head of the log and the size that is recorded.
pub fn judge_request(asked: &AddCheckpoint) {
    for recorded in [0, 1, 16, SIZE] {
        match consider(asked, TRUTH.log.verifier_key(), &TRUTH.standing(recorded)) {
            Ok(consistent) => {
                let size = usize::try_from(consistent.checkpoint().size()).expect("small");
                assert_eq!(consistent.checkpoint().to_text(), TRUTH.head(size).text(), "a head of the log");
                assert!(asked.old() == recorded as u64 && size >= recorded, "the record never goes back");
            }
            Err(refusal) => assert!((400..=422).contains(&refusal.status()), "a refusal has a status"),
        }
    }
}

/// The first two bytes choose two sizes, the rest is the proof: accepted if and only if it is the proof.
pub fn judge_proof(data: &[u8]) {
    let Some((&[old, new], proof)) = data.split_first_chunk::<2>() else { return };
    let (old, new) = (usize::from(old) % (SIZE + 1), usize::from(new) % (SIZE + 1));
    if old > new {
        return;
    }
    let (chunks, _rest) = proof.as_chunks::<32>();
    let given: Vec<Hash> = chunks.iter().take(PROOF_HASHES_MAX).map(|hash| Hash::from(*hash)).collect();
    let truth = ConsistencyProof::make(&List(&TRUTH.hashes), old as u64, new as u64).expect("a proof");
    for (hashes, good) in [(given.clone(), given == truth.hashes()), (truth.hashes().to_vec(), true)] {
        let proof = ConsistencyProof::from_parts(old as u64, new as u64, hashes).expect("short enough");
        let asked = AddCheckpoint::new(&proof, &TRUTH.signed(new)).expect("a request");
        let verdict = consider(&asked, TRUTH.log.verifier_key(), &TRUTH.standing(old)).map(drop);
        assert_eq!(verdict, if good { Ok(()) } else { Err(Refusal::Inconsistent) }, "a proof is one or is not");
    }
    let index = new.min(SIZE - 1);
    let path = InclusionProof::from_parts(index as u64, SIZE as u64, given.clone()).expect("short enough");
    let truth = InclusionProof::make(&List(&TRUTH.hashes), index as u64, SIZE as u64).expect("a proof");
    let verdict = path.verify(*TRUTH.hashes.get(index).expect("a leaf"), root(&TRUTH.hashes));
    assert_eq!(verdict.is_ok(), given == truth.hashes(), "a path is one or is not");
}

/// A server that answers with these bytes for the tile, or for the bundle, is believed only where they are the true ones.
pub fn judge_tiles(data: &[u8]) {
    let head = TRUTH.signed(SIZE).checkpoint().clone();
    let mut bundle = Vec::new();
    for number in 0..SIZE {
        lockplate_log::tile::push_leaf(&mut bundle, &leaf(number)).expect("a leaf");
    }
    let tile = tile_bytes(&TRUTH.hashes);
    for lie_about_tile in [true, false] {
        let given = |kind: TileKind| if (kind == TileKind::Entries) == lie_about_tile { None } else { Some(data) };
        let read = |path: lockplate_log::TilePath| {
            let truth = if path.kind() == TileKind::Entries { &bundle } else { &tile };
            Ok(Some(given(path.kind()).map_or_else(|| truth.clone(), <[u8]>::to_vec)))
        };
        let honest = data == if lie_about_tile { &tile[..] } else { &bundle[..] };
        assert_eq!(LogView::load(head.clone(), read).is_ok(), honest, "only the true bytes are believed");
    }
}

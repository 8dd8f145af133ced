//! Hashes and proofs against two other implementations: `ct-merkle` and `tlog_tiles`.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use lockplate_log::merkle::{HashSource, leaf_hash, node_hash, root, root_at};
use lockplate_log::{ConsistencyProof, Error, Hash, InclusionProof};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::Sha256;
use tlog_tiles::HashReader;

/// A plain list of leaf hashes.
struct List(Vec<Hash>);

impl HashSource for List {
    fn subtree(&self, height: u32, index: u64) -> Result<Hash, Error> {
        let start = usize::try_from(index << height).unwrap();
        self.0.get(start..start + (1 << height)).map(root).ok_or(Error::OutOfRange)
    }
}

/// `tlog_tiles`' stored hashes.
#[derive(Default)]
struct Stored(Vec<tlog_tiles::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|&index| self.0[usize::try_from(index).unwrap()]).collect())
    }
}

fn leaf(number: usize) -> Vec<u8> {
    format!("leaf {number}").into_bytes()
}

fn list(size: usize) -> List {
    List((0..size).map(|number| leaf_hash(&leaf(number))).collect())
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash.as_bytes())
}

fn ours(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash::from(hash.0)).collect()
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn random_below(rng: &mut ChaCha20Rng, end: u64) -> u64 {
    rng.next_u64() % end
}

#[test]
fn all_proofs_below_300_are_those_of_tlog_tiles() {
    let source = list(300);
    let mut stored = Stored::default();
    for number in 0..300 {
        let more = tlog_tiles::stored_hashes(number as u64, &leaf(number), &stored).unwrap();
        stored.0.extend(more);
    }
    let roots: Vec<Hash> = (0..=300).map(|size| root_at(&source, size).unwrap()).collect();
    for size in 1..=300_u64 {
        let new_root = roots[usize::try_from(size).unwrap()];
        assert_eq!(root(&source.0[..usize::try_from(size).unwrap()]), new_root);
        assert_eq!(tlog_tiles::tree_hash(size, &stored).unwrap().0, *new_root.as_bytes());
        for old in 0..=size {
            let proof = ConsistencyProof::make(&source, old, size).unwrap();
            proof.verify(roots[usize::try_from(old).unwrap()], new_root).unwrap();
            if old > 0 && old < size {
                assert_eq!(ours(&tlog_tiles::prove_tree(size, old, &stored).unwrap()), proof.hashes());
            }
        }
        for index in 0..size {
            let hash = source.0[usize::try_from(index).unwrap()];
            let proof = InclusionProof::make(&source, index, size).unwrap();
            proof.verify(hash, new_root).unwrap();
            assert_eq!(ours(&tlog_tiles::prove_record(size, index, &stored).unwrap()), proof.hashes());
        }
    }
}

#[test]
fn random_sizes_to_70_000_are_those_of_ct_merkle() {
    let mut rng = ChaCha20Rng::seed_from_u64(0x6c6f_636b_706c_6174);
    let mut sizes: Vec<u64> = (0..40).map(|_| 1 + random_below(&mut rng, 70_000)).collect();
    sizes.extend([1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 70_000]);
    sizes.sort_unstable();
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut source = List(Vec::new());
    let mut earlier: Vec<(u64, Hash)> = Vec::new();
    for size in sizes {
        for number in tree.items().len()..usize::try_from(size).unwrap() {
            tree.push(leaf(number));
            source.0.push(leaf_hash(&leaf(number)));
        }
        let new_root = root(&source.0);
        assert_eq!(tree.root().as_bytes().as_slice(), new_root.as_bytes());
        for _ in 0..4 {
            let index = random_below(&mut rng, size);
            let at = usize::try_from(index).unwrap();
            let proof = InclusionProof::make(&source, index, size).unwrap();
            assert_eq!(tree.prove_inclusion(at).as_bytes(), bytes(proof.hashes()));
            proof.verify(source.0[at], new_root).unwrap();
        }
        for &(old, old_root) in earlier.iter().filter(|(old, _)| *old < size) {
            let proof = ConsistencyProof::make(&source, old, size).unwrap();
            assert_eq!(tree.prove_consistency(usize::try_from(size - old).unwrap()).as_bytes(), bytes(proof.hashes()));
            proof.verify(old_root, new_root).unwrap();
        }
        earlier.push((size, new_root));
    }
}

#[test]
fn their_verifiers_agree_on_altered_proofs() {
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let source = list(300);
    let mut refused = 0;
    for _ in 0..2_000 {
        let size = 2 + random_below(&mut rng, 299);
        let index = random_below(&mut rng, size);
        let tree_root = root_at(&source, size).unwrap();
        let hash = source.0[usize::try_from(index).unwrap()];
        let mut path = InclusionProof::make(&source, index, size).unwrap().hashes().to_vec();
        let (mut index, mut size) = (index, size);
        match random_below(&mut rng, 6) {
            0 => path.push(hash),
            1 => drop(path.pop()),
            2 => path.reverse(),
            3 => index ^= 1,
            4 => size += 1,
            _ => path.insert(0, hash),
        }
        let our_verdict =
            InclusionProof::from_parts(index, size, path.clone()).and_then(|proof| proof.verify(hash, tree_root));
        let their_path = path.iter().copied().map(theirs).collect();
        let their_verdict = tlog_tiles::check_record(&their_path, size, theirs(tree_root), index, theirs(hash));
        assert_eq!(our_verdict.is_ok(), their_verdict.is_ok(), "index {index} of {size}, {} hashes", path.len());
        refused += usize::from(our_verdict.is_err());
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn bad_inclusion_proofs_are_refused() {
    let source = list(100);
    let tree_root = root(&source.0);
    let good = InclusionProof::make(&source, 37, 100).unwrap();
    let hash = source.0[37];
    good.verify(hash, tree_root).unwrap();
    let with = |index, size, hashes: Vec<Hash>| {
        InclusionProof::from_parts(index, size, hashes).and_then(|p| p.verify(hash, tree_root))
    };
    let path = good.hashes().to_vec();
    assert_eq!(with(100, 100, path.clone()), Err(Error::OutOfRange));
    assert_eq!(with(0, 0, path.clone()), Err(Error::OutOfRange));
    assert_eq!(with(37, 1 << 63, path.clone()), Err(Error::OutOfRange));
    assert_eq!(with(37, 1 << 48, path.clone()), Err(Error::OutOfRange));
    assert_eq!(with(37, 100, path[1..].to_vec()), Err(Error::InvalidProof));
    assert_eq!(with(37, 100, path[..path.len() - 1].to_vec()), Err(Error::InvalidProof));
    let long = path.iter().copied().chain([tree_root]).collect();
    assert_eq!(with(37, 100, long), Err(Error::InvalidProof));
    let mut swapped = path.clone();
    swapped.swap(0, 1);
    assert_eq!(with(37, 100, swapped), Err(Error::InvalidProof));
    let neighbour = InclusionProof::make(&source, 36, 100).unwrap().hashes().to_vec();
    assert_eq!(with(37, 100, neighbour), Err(Error::InvalidProof));
    assert_eq!(with(37, 100, vec![hash; 64]), Err(Error::MalformedProof));
    assert_eq!(with(37, (1 << 48) - 1, vec![hash; 63]), Err(Error::InvalidProof));
    assert_eq!(good.verify(source.0[36], tree_root), Err(Error::InvalidProof));
    assert_eq!(good.verify(hash, source.0[0]), Err(Error::InvalidProof));
    // An inner node given out as a leaf has another prefix.
    assert_eq!(good.verify(node_hash(source.0[36], hash), tree_root), Err(Error::InvalidProof));
}

#[test]
fn bad_consistency_proofs_are_refused() {
    let source = list(100);
    let (old_root, new_root) = (root(&source.0[..37]), root(&source.0));
    let good = ConsistencyProof::make(&source, 37, 100).unwrap();
    let with =
        |old, new, hashes: Vec<Hash>, a, b| ConsistencyProof::from_parts(old, new, hashes).and_then(|p| p.verify(a, b));
    let path = good.hashes().to_vec();
    assert_eq!(with(37, 100, path.clone(), old_root, new_root), Ok(()));
    assert_eq!(with(100, 37, path.clone(), new_root, old_root), Err(Error::OutOfRange));
    assert_eq!(with(37, 1 << 63, path.clone(), old_root, new_root), Err(Error::OutOfRange));
    assert_eq!(with(37, 37, Vec::new(), old_root, new_root), Err(Error::InvalidProof), "equal sizes with other roots");
    assert_eq!(with(37, 37, Vec::new(), old_root, old_root), Ok(()));
    assert_eq!(with(37, 37, path.clone(), old_root, old_root), Err(Error::InvalidProof), "nothing to prove");
    assert_eq!(with(0, 100, Vec::new(), Hash::empty(), new_root), Ok(()));
    assert_eq!(with(0, 100, path.clone(), Hash::empty(), new_root), Err(Error::InvalidProof));
    assert_eq!(with(0, 100, Vec::new(), old_root, new_root), Err(Error::InvalidProof));
    assert_eq!(with(0, 0, Vec::new(), old_root, old_root), Err(Error::InvalidProof));
    assert_eq!(with(37, 100, vec![old_root; 64], old_root, new_root), Err(Error::MalformedProof));
    assert_eq!(with(37, 100, Vec::new(), old_root, new_root), Err(Error::InvalidProof));
    assert_eq!(with(37, 100, path[1..].to_vec(), old_root, new_root), Err(Error::InvalidProof));
    assert_eq!(with(37, 100, path[..path.len() - 1].to_vec(), old_root, new_root), Err(Error::InvalidProof));
    assert_eq!(
        with(37, 100, path.iter().copied().chain([old_root]).collect(), old_root, new_root),
        Err(Error::InvalidProof)
    );
    assert_eq!(with(36, 100, path.clone(), old_root, new_root), Err(Error::InvalidProof));
    assert_eq!(with(37, 100, path.clone(), new_root, new_root), Err(Error::InvalidProof));
    let mut swapped = path;
    swapped.swap(0, 1);
    assert_eq!(with(37, 100, swapped, old_root, new_root), Err(Error::InvalidProof));
    assert_eq!(with(64, 100, Vec::new(), root(&source.0[..64]), root(&source.0[..64])), Err(Error::InvalidProof));
}

#[test]
fn known_answers_of_rfc_6962() {
    // The eight leaves of the certificate-transparency reference tests and their root.
    let leaves: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let hex = |hash: Hash| hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(hex(root(&hashes[..1])), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    assert_eq!(hex(root(&hashes)), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
}

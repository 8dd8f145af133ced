//! Every bound of this crate, by name and with its unit (`log.md` section 8, "Limits").

/// Bytes of a signed note, signatures included.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;
/// Signature lines of a note. C2SP asks readers to accept at least 16.
pub const NOTE_SIGNATURES_MAX: usize = 32;
/// Bytes of a key name, and so of an origin.
pub const KEY_NAME_BYTES_MAX: usize = 255;
/// Bytes of a verifier key's text: name, eight hex digits, and the base64 of the largest key kind in use anywhere (ML-DSA-44, 1,312 bytes).
pub const VERIFIER_KEY_BYTES_MAX: usize = 2_048;
/// Bytes of a public key with its type byte inside a verifier key.
pub const PUBLIC_KEY_BYTES_MAX: usize = 1_313;
/// Hashes of a proof.
pub const PROOF_HASHES_MAX: usize = 63;
/// A tree has fewer leaves than this: 2^48.
pub const TREE_SIZE_END: u64 = 1 << 48;
/// Bytes of a leaf: what a 16-bit length can say.
pub const LEAF_BYTES_MAX: usize = 65_535;
/// Leaves of one batch, that is, of one signed head.
pub const BATCH_LEAVES_MAX: usize = 4_096;
/// Bytes of the leaves of one batch.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a receipt.
pub const RECEIPT_BYTES_MAX: usize = 96 * 1024;
/// Hashes of a full tile and leaves of a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Bytes of a tile's path; the longest legal one is `tile/entries/x281/x474/x976/x710/655.p/255`.
pub const TILE_PATH_BYTES_MAX: usize = 64;
/// Seconds by which a cosignature may be ahead of the reader's clock.
pub const COSIGNATURE_AHEAD_SECONDS_MAX: u64 = 300;
/// Bytes of a staging file: the batch, the bundle it continues, and every tile it touches, with room to spare.
pub const STAGING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Files of a staging file: 17 bundles, 17 level-0 tiles, and at most two tiles a level above.
pub const STAGING_FILES_MAX: usize = 64;
/// Bytes of a trust file.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;
/// Logs of a trust file.
pub const POLICY_LOGS_MAX: usize = 64;
/// Witnesses of a trust file.
pub const POLICY_WITNESSES_MAX: usize = 64;
/// Groups of a trust file.
pub const POLICY_GROUPS_MAX: usize = 64;
/// Bytes of an `add-checkpoint` body.
pub const ADD_CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Seconds after which a relying party refuses a quorum.
pub const QUORUM_AGE_SECONDS_MAX: u64 = 24 * 3_600;
/// Seconds after which a monitor alarms because no quorum is younger.
pub const QUORUM_STALE_SECONDS: u64 = 3_600;

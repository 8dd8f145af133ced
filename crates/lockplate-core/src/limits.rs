//! Every bound of the protocol, with its unit. A decoder that meets one more refuses; a test stands at each bound.

/// Characters of a canonical plate text.
pub const PLATE_CHARS_MAX: usize = 16;
/// Bytes of a canonical plate text in UTF-8: with a jurisdiction prefix of 7 bytes it fits `key<1..64>`.
pub const PLATE_BYTES_MAX: usize = 57;
/// Bytes of a cell, always.
pub const CELL_BYTES: usize = 256;
/// Bytes of the padded record inside a cell.
pub const RECORD_PADDED_BYTES: usize = 196;
/// Bytes of a record: one less than the padded form, which ends in 0x80.
pub const RECORD_BYTES_MAX: usize = 195;
/// Keepers of a charter.
pub const KEEPERS_MAX: u8 = 16;
/// Elements of one request.
pub const ELEMENTS_MAX: usize = 64;
/// Element-epochs of one request, hard limit (LPv1 section 9).
pub const ELEMENT_EPOCHS_MAX: usize = 20_000;
/// Bits of the bucket number: 2^24 buckets of 128 cells are more than a nation's hour.
pub const BUCKET_BITS_MAX: u8 = 24;
/// A bucket is padded to a multiple of this many cells.
pub const BUCKET_PAD_CELLS: usize = 16;
/// Cells a bucket is planned for.
pub const BUCKET_CELLS_PLANNED: u64 = 128;
/// An opener looks on for this many tags past the last hit, because a failed write leaves a gap in the counter.
pub const TAG_GAP_MAX: u32 = 8;
/// Bytes of the sealed Opening of one recipient.
pub const OPENING_BYTES_MAX: usize = 64 * 1024;
/// Attachments (`.auth` files and disclosures) of one request, and bytes of each.
pub const ATTACHMENTS_MAX: usize = 16;
/// Bytes of one attachment.
pub const ATTACHMENT_BYTES_MAX: usize = 16 * 1024;
/// Signatures on one request: the officer's and second persons'.
pub const REQUEST_SIGNATURES_MAX: usize = 4;
/// Live epochs that a recorder may start in 24 hours, where windows are not so short that a day has more than half as many
/// (`Charter::live_epochs_per_day_max`).
pub const EPOCHS_PER_DAY_MAX: u32 = 200;
/// Bytes of a charter file: 256 agencies with their keys.
pub const CHARTER_BYTES_MAX: usize = 256 * 1024;
/// Confidence (1/1000) from which a jurisdiction named by an engine becomes part of the key, and from which another state makes
/// an opened read one of *others* (`intake.md` sections 2 and 9).
pub const JURISDICTION_CONF_MIN: u16 = 800;

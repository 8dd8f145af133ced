//! Every bound of intake with its unit (`intake.md` sections 2-4). One more is refused; a test stands at each.

/// Bytes of a payload, sent and unpacked.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a line of NDJSON or a CSV record without a crop.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a line that carries a crop.
pub const LINE_WITH_CROP_BYTES_MAX: usize = 512 * 1024;
/// Parts of a multipart payload.
pub const PARTS_MAX: usize = 32;
/// Nested arrays and objects of a JSON payload, nested elements of an XML payload.
pub const NESTING_MAX: usize = 64;
/// Values of a JSON payload, arrays and objects among them; an engine's has some thousands. A small value takes a hundred bytes in memory.
pub const JSON_VALUES_MAX: usize = 50_000;
/// Values of a hot list that is one JSON body: thousands of rows, each with keys that nobody reads.
pub const LIST_VALUES_MAX: usize = 1_000_000;
/// Tags, texts, references and comments of an XML payload; a camera's event has some hundreds.
pub const XML_EVENTS_MAX: usize = 20_000;
/// Lines `key=value` of a payload of Dahua's event stream.
pub const FLAT_LINES_MAX: usize = 10_000;
/// Bytes of a dotted key of a camera.
pub const FLAT_KEY_BYTES_MAX: usize = 256;
/// Bytes of one text that is used (images excepted).
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an engine's id, a track name or a camera key.
pub const ID_BYTES_MAX: usize = 128;
/// Further ids of one observation; a Rekor group carries one a frame.
pub const ALIASES_MAX: usize = 512;
/// Bytes of a plate crop.
pub const CROP_BYTES_MAX: usize = 256 * 1024;
/// Problems listed in an answer; the rest is only counted.
pub const PROBLEMS_MAX: usize = 100;
/// Observations taken from one payload that is not a stream of lines.
pub const OBSERVATIONS_MAX: usize = 1000;
/// Columns of a CSV header.
pub const COLUMNS_MAX: usize = 256;

/// Reads of a camera that its clock offset is the minimum of.
pub const CLOCK_WINDOW_READS: usize = 64;
/// Reads before the window counts; until then each read stands alone.
pub const CLOCK_READS_MIN: usize = 8;
/// Largest offset of a good clock, ms.
pub const CLOCK_OFFSET_MS_MAX: i64 = 5_000;
/// A clock that was right within so long is good, whatever else the camera sends, ms.
pub const CLOCK_RIGHT_MS: i64 = 15 * 60_000;
/// The same before [`CLOCK_READS_MIN`] reads, ms.
pub const CLOCK_OFFSET_EARLY_MS_MAX: i64 = 120_000;
/// Age from which a read belongs into a late epoch, ms.
pub const LATE_AFTER_MS: i64 = 120_000;

/// Window of an engine id, ms.
pub const DUPLICATE_ID_MS: i64 = 15 * 60_000;
/// Window of an engine id for sources that re-send, ms.
pub const DUPLICATE_RESENT_MS: i64 = 24 * 60 * 60_000;
/// Window of (camera, plate) for reads without an id, ms.
pub const DUPLICATE_PLATE_MS: i64 = 10_000;
/// Window of (camera, plate) while the source says parked, ms.
pub const DUPLICATE_PARKED_MS: i64 = 15 * 60_000;
/// Remembered hashes; the oldest goes.
pub const DUPLICATES_MAX: usize = 1_000_000;

/// Longest hold, ms.
pub const HOLD_MS_MAX: i64 = 30_000;
/// Hold of a read whose source said that the vehicle is gone, ms.
pub const HOLD_ENDING_MS: i64 = 2_000;
/// Held reads.
pub const HOLD_READS_MAX: usize = 20_000;
/// Bytes of held reads.
pub const HOLD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A frame joins a track within this edit distance of its leading text.
pub const TRACK_DISTANCE_MAX: usize = 2;
/// And within this time of the track's last frame, ms.
pub const TRACK_JOIN_MS_MAX: i64 = 2_000;
/// A track is final after this silence, ms.
pub const TRACK_SILENCE_MS: i64 = 3_000;
/// Frames are ignored this long after a group of the same agent, ms.
pub const TRACK_GROUPS_RULE_MS: i64 = 10 * 60_000;
/// Different texts remembered in one track.
pub const TRACK_TEXTS_MAX: usize = 64;
/// Open tracks; the oldest becomes final.
pub const TRACKS_MAX: usize = 20_000;
/// Agents whose last group is remembered.
pub const AGENTS_MAX: usize = 10_000;
/// Cameras whose clock is watched; the one not heard for longest goes.
pub const CLOCKS_MAX: usize = 100_000;

/// Lines of the shape of a payload.
pub const SHAPE_LINES_MAX: usize = 100;
/// Characters of one of them.
pub const SHAPE_LINE_CHARS_MAX: usize = 160;

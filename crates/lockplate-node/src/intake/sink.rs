//! The two seams of intake: where reads go, and where cameras are known. Both are traits, so that intake can be driven
//! without a recorder; the real ones stand beside the recorder.

use core::fmt;
use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use lockplate_core::read::Read;
use lockplate_intake::Seen;
use lockplate_intake::limits::ID_BYTES_MAX;
use lockplate_intake::normalise::Placement;
use lockplate_intake::time::Zone;
use serde::{Deserialize, Serialize};

use super::settings::SourceSettings;
use crate::api::{CameraChanged, CameraEdit};
use crate::problem::ProblemKind;

/// What became of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Durable.
    Stored,
    /// Its window is past the retention; it was not sealed and will never be.
    TooOld,
    /// It was not taken. It may be durable all the same; sending it again is harmless (`reliability.md` I9).
    Not(NotTaken),
}

/// Why reads were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// No receipted epoch, full queue or full disk: later.
    Busy,
    /// The sealer ended before it acknowledged: again, now.
    Interrupted,
    /// The process ends.
    Stopping,
}

/// A door to the recorder.
///
/// Contract: on `Ok` each read that is [`Fate::Stored`] is on stable storage (I1) and the fates stand in the order of the
/// reads, each for itself; the caller retries, a repeat is harmless; calls run side by side in any order; a dropped future leaves the
/// reads sealed or not sealed. The recorder is trusted: it is this process.
pub trait ReadSink: Send + Sync + 'static {
    /// Seals reads, at most [`SINK_READS_MAX`].
    fn seal(&self, reads: Vec<(Read, Placement)>) -> BoxFuture<'_, Result<Vec<Fate>, NotTaken>>;

    /// Closes the late epochs, at the end of an import.
    fn late_done(&self) -> BoxFuture<'_, Result<(), NotTaken>>;

    /// What stands in the way of a read now, as far as it is known beforehand: for people, nothing is decided on it.
    fn obstacle(&self) -> BoxFuture<'_, Option<Obstacle>>;
}

/// Why no read can be sealed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No epoch is open, and a keeper's prekeys are used up.
    NoPrekeys,
    /// No epoch is open: its sealer does not run, or too few keepers have taken its shares.
    NoEpoch,
    /// The process ends.
    Stopping,
}

/// Who looks at reads beside their sealing.
///
/// Contract: returns at once and takes as long for every read; nothing that becomes of a read here reaches the answer to its source.
pub trait Beside: Send + Sync + 'static {
    /// The cameras of the register as it is from now on: before the first read of each of them, and after every change.
    fn know(&self, cameras: &[KnownCamera]);

    /// Reads that are durable, and reads that are held as they stand.
    fn observe(&self, seen: Vec<Seen>);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Beside for Nobody {
    fn know(&self, _cameras: &[KnownCamera]) {}

    fn observe(&self, _seen: Vec<Seen>) {}
}

/// Reads of one call of [`ReadSink::seal`].
pub const SINK_READS_MAX: usize = 4_096;

/// A camera as intake needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCamera {
    /// Number in records.
    pub number: u32,
    /// The source that speaks for it.
    pub source: u16,
    /// The engine's key for it.
    pub key: String,
    /// Place in words.
    pub place: String,
    /// Group (of several agencies or sites in one register); may be empty.
    pub group: String,
    /// Its reads are taken; else it is paused, and they are refused as those of a camera nobody knows.
    pub active: bool,
    /// Zone of its local times, where it is not its source's.
    pub zone: Option<Zone>,
    /// When it was added, Unix seconds; 0 if that was before it was noted.
    pub added_at: u64,
    /// When it was last changed, likewise.
    pub changed_at: u64,
}

/// A camera to be added to the register: one element of `POST /v1/cameras`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCamera {
    /// The engine's key, 1 to 128 bytes.
    pub key: String,
    /// Place in words, 1 to 200 characters.
    pub place: String,
    /// Degrees north, -90..=90.
    #[serde(default)]
    pub lat: Option<f64>,
    /// Degrees east, -180..=180.
    #[serde(default)]
    pub lon: Option<f64>,
    /// Group, at most 128 bytes; may be empty.
    #[serde(default)]
    pub group: String,
    /// Name of the source that speaks for it; absent: files brought in with `lockplate import`.
    #[serde(default)]
    pub source: Option<String>,
    /// `police`, `toll` or `parking`: must be the archive's kind in the charter, and is where it is absent.
    #[serde(default)]
    pub purpose: Option<String>,
    /// IANA zone of its local times; absent: its source's.
    #[serde(default)]
    pub zone: Option<String>,
}

/// Characters of a camera's place in words.
pub const PLACE_CHARS_MAX: usize = 200;

/// A field of a camera that cannot be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// Its JSON pointer.
    pub pointer: &'static str,
    /// What it must be.
    pub says: &'static str,
}

/// Registers are shown in terminals and on pages: no line breaks, no codes.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn first_fault(fields: impl IntoIterator<Item = (bool, &'static str, &'static str)>) -> Option<FieldFault> {
    fields.into_iter().find(|(holds, ..)| !holds).map(|(_, pointer, says)| FieldFault { pointer, says })
}

impl NewCamera {
    /// The first field whose bounds do not hold.
    #[must_use]
    pub fn fault(&self) -> Option<FieldFault> {
        let key = !self.key.trim().is_empty() && self.key.len() <= ID_BYTES_MAX && is_plain(&self.key);
        let group = self.group.len() <= ID_BYTES_MAX && is_plain(&self.group);
        let own = [
            (key, "/cameras/key", "the key of a camera is 1 to 128 bytes without line breaks and control characters"),
            (
                group,
                "/cameras/group",
                "the group of a camera is at most 128 bytes without line breaks and control characters",
            ),
        ];
        first_fault(own).or_else(|| place_fault(&self.place, self.lat, self.lon, self.zone.as_deref()))
    }
}

/// The first field of where a camera stands whose bounds do not hold.
fn place_fault(place: &str, lat: Option<f64>, lon: Option<f64>, zone: Option<&str>) -> Option<FieldFault> {
    let degrees = |value: Option<f64>, most: f64| value.is_none_or(|v| v.is_finite() && v.abs() <= most);
    let is_place = !place.trim().is_empty() && place.chars().count() <= PLACE_CHARS_MAX && is_plain(place);
    first_fault([
        (
            is_place,
            "/cameras/place",
            "the place of a camera is 1 to 200 characters without line breaks and control characters",
        ),
        (degrees(lat, 90.0), "/cameras/lat", "the latitude of a camera (lat) is from -90 to 90 degrees"),
        (degrees(lon, 180.0), "/cameras/lon", "the longitude of a camera (lon) is from -180 to 180 degrees"),
        (lat.is_some() == lon.is_some(), "/cameras/lon", "lat and lon of a camera go together"),
        (
            zone.is_none_or(|zone| Zone::parse(zone).is_some()),
            "/cameras/zone",
            "the zone of a camera is an IANA name such as America/New_York",
        ),
    ])
}

impl CameraEdit {
    /// The first field whose bounds do not hold.
    #[must_use]
    pub fn fault(&self) -> Option<FieldFault> {
        match self {
            // Without a zone of its own it has its source's.
            Self::Move { place, lat, lon, zone } => {
                let fault = place_fault(place, *lat, *lon, zone.as_deref().filter(|zone| !zone.is_empty()))?;
                let pointer = fault.pointer.strip_prefix("/cameras").unwrap_or(fault.pointer);
                Some(FieldFault { pointer, ..fault })
            }
            Self::Pause | Self::Resume | Self::Remove => None,
        }
    }
}

/// The register cannot be read or written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterDown;

impl fmt::Display for RegisterDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the register of cameras and sources cannot be read or written at the moment")
    }
}

impl core::error::Error for RegisterDown {}

/// How far a source that is asked was read, to the minute: what it saw is no secret, but when a car passed is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Unix ms by the source's clock: what it read before is durable.
    pub read_to_ms: i64,
    /// Unix ms by ours: it answered then or in the minute that followed.
    pub answered_ms: i64,
}

/// What the register holds at one moment.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// Every camera that was not removed.
    pub cameras: Vec<KnownCamera>,
    /// Every source that may speak.
    pub sources: Vec<SourceSettings>,
    /// Number of the source of imported files.
    pub import_source: u16,
}

/// The register of cameras and sources.
///
/// Contract: `add` writes the `camera` leaf first (I3) and the camera is durable on return; calls run one after the other;
/// the caller asks `registered` first and adds only what is not there. `source` is a number of [`Registered`].
pub trait Register: Send + Sync + 'static {
    /// All of it.
    fn registered(&self) -> BoxFuture<'_, Result<Registered, RegisterDown>>;

    /// Adds a camera that is not there.
    fn add(&self, source: u16, camera: NewCamera) -> BoxFuture<'_, Result<(), RegisterDown>>;

    /// How far a source was read by the runs before this one; none where it never answered.
    fn asked(&self, source: u16) -> BoxFuture<'_, Result<Option<Asked>, RegisterDown>>;

    /// Remembers that.
    fn set_asked(&self, source: u16, asked: Asked) -> BoxFuture<'_, Result<(), RegisterDown>>;

    /// When the clock of each camera was right last in the runs before this one, Unix ms.
    fn right_clocks(&self) -> BoxFuture<'_, Result<BTreeMap<u32, i64>, RegisterDown>>;

    /// Remembers that, and nothing of before.
    fn set_right_clocks(&self, right: BTreeMap<u32, i64>) -> BoxFuture<'_, Result<(), RegisterDown>>;

    /// Changes a camera, in the same order. On an error it is as it was, and the problem is what the caller is told.
    fn change(&self, camera: u32, edit: CameraEdit) -> BoxFuture<'_, Result<CameraChanged, ProblemKind>>;
}

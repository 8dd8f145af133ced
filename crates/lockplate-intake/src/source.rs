//! The seam between a payload and a read: what a source says, before the camera register, duplicates and holding. It must
//! never echo a value of the payload in a problem. Observations go on to [`Intake`](crate::intake::Intake).

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::plate::{Jurisdiction, Plate};
use lockplate_core::read::{Motion, Vehicle};

use crate::jurisdiction::TwoLetters;
use crate::limits::{ID_BYTES_MAX, OBSERVATIONS_MAX, PROBLEMS_MAX, TEXT_BYTES_MAX};
use crate::own::FieldMap;
use crate::time::{SourceTime, Zone};

/// One payload as the shell hands it over: decompressed, bounded, authenticated.
#[derive(Clone, Copy, Default)]
pub struct Payload<'a> {
    /// Value of `Content-Type`, any case, with parameters; empty if absent.
    pub content_type: &'a str,
    /// The body; empty where it came in parts.
    pub body: &'a [u8],
    /// Multipart parts, already split, at most [`PARTS_MAX`](crate::limits::PARTS_MAX).
    pub parts: &'a [Part<'a>],
    /// Value of the header `camera-id`.
    pub camera_header: Option<&'a str>,
    /// Topic of an MQTT message.
    pub topic: Option<&'a str>,
    /// A message that the broker had kept from before: nothing that happens now.
    pub retained: bool,
}

impl core::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Payload(..)")
    }
}

/// One part of a multipart payload.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Field name of its `Content-Disposition`.
    pub name: &'a str,
    /// Its `Content-Type`, if it has one.
    pub content_type: Option<&'a str>,
    /// Its bytes.
    pub body: &'a [u8],
}

impl core::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Part(..)")
    }
}

/// A parser of one kind of source. Contract: total on every payload, no state, no clock; the same payload gives the same
/// [`Parsed`]; a payload that cannot be read gives a problem, never a panic and never a guess.
pub trait Source {
    /// What `payload` says.
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed;
}

/// The sources this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Lockplate's own NDJSON and CSV (`intake.md` 8.1).
    Own,
    /// Open-source `alprd` (8.2): any HTTP status is delivery for it.
    Alprd,
    /// Rekor agent (8.2).
    Rekor,
    /// Lines of `alpr -j` (8.2).
    AlprLines,
    /// Plate Recognizer Stream, Snapshot and cloud hook (8.3).
    PlateRecognizer,
    /// Hikvision cameras, pushed (8.5).
    Hikvision,
    /// Dahua cameras, pushed over ITSAPI (8.6).
    Dahua,
    /// Text of Dahua's event stream (8.6).
    DahuaEvents,
    /// Tattile cameras, XML (8.12).
    Tattile,
    /// Frigate over MQTT (8.4).
    Frigate,
    /// Axis License Plate Verifier (8.7).
    Axis,
    /// Milesight push (8.8).
    Milesight,
    /// UniFi Protect (8.9).
    UniFi,
    /// Genetec AutoVu (8.10).
    Genetec,
    /// Blue Iris with CodeProject.AI (8.11).
    BlueIris,
    /// Verkada (8.12).
    Verkada,
}

impl SourceKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Own,
        Self::Alprd,
        Self::Rekor,
        Self::AlprLines,
        Self::PlateRecognizer,
        Self::Hikvision,
        Self::Dahua,
        Self::DahuaEvents,
        Self::Tattile,
        Self::Frigate,
        Self::Axis,
        Self::Milesight,
        Self::UniFi,
        Self::Genetec,
        Self::BlueIris,
        Self::Verkada,
    ];

    /// What this program knows about it; stands beside its parser.
    #[must_use]
    pub const fn profile(self) -> &'static Profile {
        match self {
            Self::Own => &crate::own::PROFILE,
            Self::Alprd => &crate::openalpr::ALPRD,
            Self::Rekor => &crate::openalpr::REKOR,
            Self::AlprLines => &crate::openalpr::ALPR_LINES,
            Self::PlateRecognizer => &crate::platerecognizer::PROFILE,
            Self::Hikvision => &crate::hikvision::PROFILE,
            Self::Dahua => &crate::dahua::PROFILE,
            Self::DahuaEvents => &crate::dahua_events::PROFILE,
            Self::Tattile => &crate::tattile::PROFILE,
            Self::Frigate => &crate::frigate::PROFILE,
            Self::Axis => &crate::axis::PROFILE,
            Self::Milesight => &crate::milesight::PROFILE,
            Self::UniFi => &crate::unifi::PROFILE,
            Self::Genetec => &crate::genetec::PROFILE,
            Self::BlueIris => &crate::blueiris::PROFILE,
            Self::Verkada => &crate::verkada::PROFILE,
        }
    }

    /// Name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.profile().name
    }

    /// From its name, exact case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// How this source is answered (`intake.md` section 5).
    #[must_use]
    pub const fn answer_rule(self) -> AnswerRule {
        self.profile().answer
    }

    /// The parser.
    #[must_use]
    pub const fn parser(self) -> &'static dyn Source {
        self.profile().parser
    }
}

/// What this program knows about a kind of source beside how to read it.
#[derive(Clone, Copy)]
pub struct Profile {
    /// Name in the configuration.
    pub name: &'static str,
    /// Reads its payloads.
    pub parser: &'static dyn Source,
    /// How it is answered.
    pub answer: AnswerRule,
    /// How two bare letters are read as a jurisdiction, unless the configuration says otherwise.
    pub two_letters: TwoLetters,
    /// It sends again what was not answered, also after a long time: ids are remembered for 24 h.
    pub resends: bool,
    /// It can send local times: a zone must be configured.
    pub local_times: bool,
    /// It sends no camera key: the camera must be configured.
    pub camera_configured: bool,
    /// While it refines a read and the text stays, so does the time of the first message with that text: the later ones say
    /// that the vehicle is still there, or gone.
    pub keeps_time: bool,
    /// Longest ordinary time from the picture to its message, ms: no fault of the camera's clock.
    pub delay_ms: i64,
    /// Confidence below which its texts are too often wrong to act on, 1/1000 (`hotlists.md` section 5, rule 5); 0 for most.
    pub conf_min: u16,
    /// Texts that mean "no plate" in this source, exact case. NULL, NONE, NOPLATE and UNKNOWN are real vanity plates.
    pub placeholders: &'static [&'static str],
}

impl core::fmt::Debug for Profile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Profile({})", self.name)
    }
}

impl Profile {
    /// A source of which no more is known than that it sends once.
    pub(crate) const fn plain(name: &'static str, parser: &'static dyn Source) -> Self {
        Self {
            name,
            parser,
            answer: AnswerRule::ONCE,
            two_letters: TwoLetters::Country,
            resends: false,
            local_times: false,
            camera_configured: false,
            keeps_time: false,
            delay_ms: 0,
            conf_min: 0,
            placeholders: &[],
        }
    }
}

/// How a source is answered. Success is always 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerRule {
    /// What stands in the answer to a good payload.
    pub success: SuccessBody,
    /// For a payload that can never be stored.
    pub poison: PoisonAnswer,
    /// While nothing can be made durable.
    pub busy: BusyAnswer,
}

impl AnswerRule {
    /// An HTTP client that reads the status.
    pub(crate) const HTTP: Self = Self {
        success: SuccessBody::Counts,
        poison: PoisonAnswer::Problem,
        busy: BusyAnswer::Unavailable { tried_ms: 0, retry_after_s: 5 },
    };
    /// A camera of which it is not known that it repeats anything.
    pub(crate) const ONCE: Self = Self { success: SuccessBody::Empty, poison: PoisonAnswer::Success, ..Self::HTTP };
}

/// Body of a successful answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuccessBody {
    /// None.
    Empty,
    /// JSON with what became of each line.
    Counts,
    /// JSON that the source waits for, also where nothing could be stored.
    Json(&'static str),
}

/// Answer to a payload that can never be stored; it is counted like a refusal either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoisonAnswer {
    /// The problem document with the slug's status.
    Problem,
    /// 200: an error would make the source repeat it or unsubscribe.
    Success,
}

/// Answer while nothing can be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusyAnswer {
    /// 503 with `Retry-After`.
    Unavailable {
        /// Storing is tried for so long and no longer, ms: for a source that never repeats, or does not wait. 0: as long as the recorder
        /// keeps a read waiting for its epoch.
        tried_ms: u32,
        /// Seconds.
        retry_after_s: u32,
    },
    /// Close the connection without an answer: any status would count as delivery.
    CloseUnanswered,
}

/// Slug of a problem document; `type` is `urn:lockplate:problem:` + [`Slug::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slug {
    /// Not readable.
    Malformed,
    /// The camera is not in the register.
    UnknownCamera,
    /// Wrong token or unknown source.
    NotFound,
    /// A bound of size.
    TooLarge,
    /// Content type or character set.
    UnsupportedType,
    /// A mandatory field is absent.
    MissingField,
    /// A value outside its range.
    OutOfRange,
    /// Older than the retention.
    TooOld,
    /// More payloads than the source may send.
    Rate,
    /// Nothing can be made durable.
    Unavailable,
}

impl Slug {
    /// Every slug.
    pub const ALL: &'static [Self] = &[
        Self::Malformed,
        Self::UnknownCamera,
        Self::NotFound,
        Self::TooLarge,
        Self::UnsupportedType,
        Self::MissingField,
        Self::OutOfRange,
        Self::TooOld,
        Self::Rate,
        Self::Unavailable,
    ];

    /// The slug.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "intake-malformed",
            Self::UnknownCamera => "intake-unknown-camera",
            Self::NotFound => "intake-not-found",
            Self::TooLarge => "intake-too-large",
            Self::UnsupportedType => "intake-unsupported-type",
            Self::MissingField => "intake-missing-field",
            Self::OutOfRange => "intake-out-of-range",
            Self::TooOld => "intake-too-old",
            Self::Rate => "intake-rate",
            Self::Unavailable => "intake-unavailable",
        }
    }

    /// HTTP status of the problem document.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::UnknownCamera => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::UnsupportedType => 415,
            Self::MissingField | Self::OutOfRange | Self::TooOld => 422,
            Self::Rate => 429,
            Self::Unavailable => 503,
        }
    }

    /// The fixed sentence of `detail`; never a value.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Malformed => "The payload cannot be read.",
            Self::UnknownCamera => "The camera is not in the register.",
            Self::NotFound => "There is nothing at this address.",
            Self::TooLarge => "The payload, a line or a field is longer than allowed.",
            Self::UnsupportedType => "This content type or character set is not accepted here.",
            Self::MissingField => "A mandatory field is absent.",
            Self::OutOfRange => "A value is outside its range.",
            Self::TooOld => "The read is older than the retention period.",
            Self::Rate => "More payloads than this source may send.",
            Self::Unavailable => "Nothing can be made durable just now.",
        }
    }
}

/// What is wrong with a payload or one of its lines. Carries no value of the input: the pointer is made of the names this
/// crate knows and of positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1, in formats of lines.
    pub line: Option<u64>,
    /// Kind.
    pub slug: Slug,
    /// JSON pointer to the field (RFC 6901), if one field is to blame.
    pub pointer: Option<String>,
}

impl Problem {
    /// Of the whole payload.
    #[must_use]
    pub const fn whole(slug: Slug) -> Self {
        Self { line: None, slug, pointer: None }
    }

    /// Of one field.
    #[must_use]
    pub fn at(slug: Slug, pointer: &str) -> Self {
        Self { line: None, slug, pointer: Some(pointer.to_owned()) }
    }

    /// The same, on a line.
    #[must_use]
    pub fn on_line(self, line: u64) -> Self {
        Self { line: Some(line), ..self }
    }
}

/// Configuration of one source, checked. Made by the shell from the TOML.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Number of the source.
    pub number: u16,
    /// Its kind.
    pub kind: SourceKind,
    /// Zone of local times; mandatory where the source can send them.
    pub zone: Option<Zone>,
    /// Zones of cameras that stand in another one than the rest, by camera key.
    pub camera_zones: BTreeMap<String, Zone>,
    /// A named jurisdiction without a confidence becomes part of the key.
    pub trust_jurisdiction: bool,
    /// The source sends again what was not answered: ids are remembered for 24 h.
    pub resends: bool,
    /// Field names of the own format.
    pub fields: FieldMap,
    /// Camera key where the payload carries none (`alpr -j`).
    pub camera: Option<String>,
    /// How two bare letters are read as a jurisdiction.
    pub two_letters: TwoLetters,
    /// Further placeholder texts of this source, raw, exact case.
    pub placeholders: Vec<String>,
    /// What the source calls certain, where its kind leaves that open (Tattile: 100, the default, or 999).
    pub confidence_scale: Option<u16>,
}

/// Why a source's configuration is refused at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigFault {
    /// The source can send local times and no IANA zone is configured.
    ZoneMissing,
    /// The source sends no camera key and none is configured.
    CameraMissing,
}

impl core::fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::ZoneMissing => "this source can send local times: configure its IANA zone",
            Self::CameraMissing => "this source sends no camera key: configure its camera",
        })
    }
}

impl core::error::Error for ConfigFault {}

impl SourceConfig {
    /// The defaults of `kind`.
    #[must_use]
    pub fn new(number: u16, kind: SourceKind) -> Self {
        let profile = kind.profile();
        Self {
            number,
            kind,
            zone: None,
            camera_zones: BTreeMap::new(),
            trust_jurisdiction: false,
            resends: profile.resends,
            fields: FieldMap::own(),
            camera: None,
            two_letters: profile.two_letters,
            placeholders: Vec::new(),
            confidence_scale: None,
        }
    }

    /// Refuses a configuration under which reads would be dropped or mistimed.
    ///
    /// # Errors
    /// The fault to mend before start.
    pub const fn check(&self) -> Result<(), ConfigFault> {
        let profile = self.kind.profile();
        if profile.local_times && self.zone.is_none() {
            return Err(ConfigFault::ZoneMissing);
        }
        if profile.camera_configured && self.camera.is_none() {
            return Err(ConfigFault::CameraMissing);
        }
        Ok(())
    }

    /// The zone of a camera's local times.
    #[must_use]
    pub fn zone_of(&self, camera_key: &str) -> Option<&Zone> {
        self.camera_zones.get(camera_key).or(self.zone.as_ref())
    }

    fn is_placeholder(&self, raw: &str) -> bool {
        self.kind.profile().placeholders.contains(&raw) || self.placeholders.iter().any(|p| p == raw)
    }

    /// The plate that `raw` says; none for a placeholder, and where nothing readable is left.
    pub(crate) fn plate(&self, raw: Option<&str>) -> Option<Plate> {
        raw.filter(|raw| raw.len() <= TEXT_BYTES_MAX && !self.is_placeholder(raw)).and_then(Plate::parse)
    }
}

/// Whether more is to come about the same pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Said and done.
    Final,
    /// May be refined: held under its track or ids.
    Refining,
    /// Over, but a late refinement may be under way: final after [`HOLD_ENDING_MS`](crate::limits::HOLD_ENDING_MS).
    Ending,
    /// One video frame, for the frame grouper.
    Frame,
}

/// What a source says about one pass, before the camera is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Observation {
    /// Line of the payload, from 1, in formats of lines.
    pub line: Option<u64>,
    /// The engine's camera key; the register turns it into a number.
    pub camera_key: String,
    /// The engine's id.
    pub engine_id: Option<String>,
    /// Further ids of the same pass; each is a duplicate key.
    pub aliases: Vec<String>,
    /// Track name under which it is held.
    pub track: Option<String>,
    /// Agent that sent it, for the frame grouper; empty if the source has none.
    pub agent: String,
    /// The source's time.
    pub time: SourceTime,
    /// Canonical text.
    pub plate: Plate,
    /// 1/1000.
    pub conf: Option<u16>,
    /// Named jurisdiction.
    pub jurisdiction: Option<Jurisdiction>,
    /// 1/1000.
    pub jur_conf: Option<u16>,
    /// Vehicle.
    pub vehicle: Vehicle,
    /// Motion.
    pub motion: Motion,
    /// JPEG or PNG of the plate, never decoded; goes into a blob, not into the record.
    pub crop: Option<Vec<u8>>,
    /// Frames merged.
    pub frames: u16,
    /// Whether more is to come.
    pub stage: Stage,
    /// The source says parked or stationary.
    pub parked: bool,
}

impl Observation {
    /// A final observation with nothing but the mandatory fields.
    #[must_use]
    pub fn new(camera_key: String, time: SourceTime, plate: Plate) -> Self {
        Self {
            line: None,
            camera_key,
            engine_id: None,
            aliases: Vec::new(),
            track: None,
            agent: String::new(),
            time,
            plate,
            conf: None,
            jurisdiction: None,
            jur_conf: None,
            vehicle: Vehicle::default(),
            motion: Motion::Unknown,
            crop: None,
            frames: 1,
            stage: Stage::Final,
            parked: false,
        }
    }

    /// Every id of the pass, the engine's own first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.engine_id.iter().chain(&self.aliases).map(String::as_str)
    }
}

impl core::fmt::Debug for Observation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Observation(..)")
    }
}

/// A sign of life of an agent.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Heartbeat {
    /// The agent's own time, Unix ms: a check of its clock.
    pub agent_time: Option<i64>,
    /// Camera keys with the time of their last frame, Unix ms.
    pub cameras: Vec<(String, Option<i64>)>,
}

impl core::fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Heartbeat(..)")
    }
}

/// What was seen and not stored. Counts only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ignored {
    /// Plates with nothing readable left, placeholders, results without a plate.
    pub unreadable: u64,
    /// Fields or columns nobody asked for.
    pub unknown_fields: u64,
    /// Other event types, tests, empty results on the same address.
    pub other_events: u64,
    /// Confidences more than 1% outside 0..1.
    pub confidences: u64,
    /// Crops that are too long, no image, or not base64.
    pub crops: u64,
    /// Lines that are no payload (file paths between the lines of `alpr -j`).
    pub stray_lines: u64,
    /// Frames dropped because the agent sends groups.
    pub frames: u64,
}

impl Ignored {
    /// Sums up.
    pub const fn add(&mut self, other: &Self) {
        self.unreadable = self.unreadable.saturating_add(other.unreadable);
        self.unknown_fields = self.unknown_fields.saturating_add(other.unknown_fields);
        self.other_events = self.other_events.saturating_add(other.other_events);
        self.confidences = self.confidences.saturating_add(other.confidences);
        self.crops = self.crops.saturating_add(other.crops);
        self.stray_lines = self.stray_lines.saturating_add(other.stray_lines);
        self.frames = self.frames.saturating_add(other.frames);
    }
}

/// What a payload says.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// In the order of the payload.
    pub observations: Vec<Observation>,
    /// Seen, not stored.
    pub ignored: Ignored,
    /// Refused lines or payloads; at most [`PROBLEMS_MAX`] are listed.
    pub problems: Vec<Problem>,
    /// All refused, listed or not.
    pub rejected: u64,
    /// A file of what was before: its times say nothing of a clock, and nothing in it is compared with a hot list.
    pub is_file: bool,
    /// Sign of life.
    pub heartbeat: Option<Heartbeat>,
    /// Camera keys of which something was said that is no read: they live. At most [`OBSERVATIONS_MAX`].
    pub heard: BTreeSet<String>,
    /// Agent that sent a finished group: its frames are superfluous.
    pub group_agent: Option<String>,
    /// Ids of passes that are over, without a plate beside it: what is held under them is as with [`Stage::Ending`].
    pub over: Vec<String>,
}

impl Parsed {
    /// A payload that cannot be read at all.
    #[must_use]
    pub fn refused(problem: Problem) -> Self {
        let mut parsed = Self::default();
        parsed.refuse(problem);
        parsed
    }

    /// Counts a problem and lists it while there is room.
    pub fn refuse(&mut self, problem: Problem) {
        self.rejected = self.rejected.saturating_add(1);
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// True if nothing of the payload is usable and something was refused: the poison answer.
    #[must_use]
    pub fn is_poison(&self) -> bool {
        self.rejected > 0 && self.observations.is_empty() && self.heartbeat.is_none()
    }

    /// The camera keys whose cameras live, by what was said that is no read. What names no camera at all is of the one that its
    /// source is configured for.
    pub fn alive<'a>(&'a self, config: &'a SourceConfig) -> impl Iterator<Item = &'a str> {
        let named = self.heartbeat.iter().flat_map(|beat| &beat.cameras).map(|(key, _)| key).chain(&self.heard);
        let names_none = self.observations.is_empty() && self.heartbeat.is_none() && self.heard.is_empty();
        let of_source = config.camera.iter().filter(move |_| names_none && !self.is_poison());
        named.chain(of_source).map(String::as_str)
    }

    /// Notes that a camera lives.
    pub(crate) fn hear(&mut self, camera: &str) {
        if self.heard.len() < OBSERVATIONS_MAX && camera.len() <= ID_BYTES_MAX && !self.heard.contains(camera) {
            self.heard.insert(camera.to_owned());
        }
    }

    /// The plate that a camera's raw text says; where there is none, that is counted, and the camera lives.
    pub(crate) fn readable(&mut self, config: &SourceConfig, camera: &str, raw: Option<&str>) -> Option<Plate> {
        let plate = config.plate(raw);
        if plate.is_none() {
            self.ignored.unreadable = self.ignored.unreadable.saturating_add(1);
            self.hear(camera);
        }
        plate
    }

    pub(crate) const fn other_event(&mut self) {
        self.ignored.other_events = self.ignored.other_events.saturating_add(1);
    }

    pub(crate) fn observe(&mut self, observation: Result<Option<Observation>, Problem>) {
        match observation {
            Ok(Some(_)) if self.observations.len() >= OBSERVATIONS_MAX => self.refuse(Problem::whole(Slug::TooLarge)),
            Ok(Some(observation)) => self.observations.push(observation),
            Ok(None) => {}
            Err(problem) => self.refuse(problem),
        }
    }
}

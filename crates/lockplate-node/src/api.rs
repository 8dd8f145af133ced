//! The words that processes say to each other over HTTP: request and answer bodies of every endpoint, in one place, so that
//! both sides are written against the same types. Signed structures travel as base64 of their exact bytes; nothing here is
//! trusted before the pure floors have verified it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes as standard base64 with padding.
#[derive(Clone, PartialEq, Eq)]
pub struct B64(pub Vec<u8>);

impl core::fmt::Debug for B64 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "B64({} bytes)", self.0.len())
    }
}

impl Serialize for B64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for B64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(|_base64| serde::de::Error::custom("not base64"))
    }
}

/// `POST /v1/prekeys` at a keeper, by the owner's recorder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrekeysAsked {
    /// `Signed<PrekeyOrder>`.
    pub order: B64,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prekeys {
    /// `Signed<Prekey>`, at most as many as asked.
    pub prekeys: Vec<B64>,
}

/// `POST /v1/shares` at a keeper, by the owner's recorder. A repeat gets the same receipt.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareDealt {
    /// `Signed<EpochHeader>`.
    pub header: B64,
    /// The share envelope of this keeper.
    pub envelope: B64,
}

/// Its answer, after the share is durable and the private prekey erased.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareStored {
    /// `Signed<ShareReceipt>`.
    pub receipt: B64,
}

/// `POST /v1/closes` at a keeper, by the owner's recorder. A repeat is harmless; a second close of one epoch is refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochEnded {
    /// `Signed<EpochClose>`.
    pub close: B64,
}

/// Answer of endpoints that have nothing to say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {}

/// `POST /v1/directories` at a keeper: an agency's signed directory (`.auth`), pushed by its desk.
/// `POST /v1/declarations` likewise; `POST /v1/authorisations` takes a court's `delay-notice`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectFiled {
    /// The signed object, exact bytes.
    pub object: B64,
}

/// `POST /v1/requests` at a keeper, by the requester's desk. A repeat gets the stored answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestFiled {
    /// `FiledRequest`: request with the officer's and second persons' signatures.
    pub filed: B64,
    /// The Opening sealed to this keeper.
    pub opening: B64,
    /// The Openings sealed to the auditors, in charter order: the keeper holds them for the auditors and cannot open them.
    pub auditor_openings: Vec<B64>,
    /// SHA-256 of every recipient's Opening, keepers in charter order, then auditors.
    pub opening_hashes: Vec<B64>,
    /// `.auth` files sent along; what opens a plate travels in the Opening.
    pub attachments: Vec<B64>,
    /// The desk's signed session statement, if the officer signed in with two factors.
    pub session: Option<B64>,
    /// This keeper's human is to be asked, if the policy names one.
    pub ask_human: bool,
    /// `Signed<FilingSlip>` by the requester's desk over all of the above. Without it the keeper neither looks nor answers.
    pub slip: B64,
}

/// `POST /v1/auditor/openings` at a keeper, with an `ObjectFiled` that holds an `auditor-call`: its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningGiven {
    /// `FiledRequest` of the leaf.
    pub filed: B64,
    /// The Opening sealed to the calling auditor.
    pub opening: B64,
    /// SHA-256 of every recipient's Opening, keepers in charter order, then auditors.
    pub opening_hashes: Vec<B64>,
    /// The call's elements, evaluated under the keeper's notice key, in order.
    pub evaluated: Vec<B64>,
}

/// `POST /v1/reviews` at a keeper, with an `ObjectFiled` that holds a `review`: its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewLogged {
    /// Entry in the keeper's public log.
    pub register: u64,
}

/// `POST /v1/notice` at a keeper, with an `ObjectFiled` that holds a `notice-code`: its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeEvaluated {
    /// The code's elements, evaluated under the keeper's notice key, in order.
    pub elements: Vec<B64>,
}

/// `POST /v1/papers` at a keeper: the paper that files an emergency.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperFiled {
    /// `request_digest` of the emergency.
    pub request: B64,
    /// The paper (`.auth`): a court's, or a supervisor's `emergency-report`.
    pub object: B64,
    /// Disclosures of the plates of a court's paper, sealed to this keeper.
    pub disclosures: Option<B64>,
}

/// One file of a policy bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Path inside the bundle's folder.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl PolicyFile {
    /// From a file of a bundle.
    #[must_use]
    pub fn new((path, text): (&str, &str)) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

/// `POST /v1/policies` at a keeper: a policy change with its bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFiled {
    /// The `policy-change` (`.auth`).
    pub object: B64,
    /// The files of the bundle that follows; none to cancel a change that waits.
    pub files: Vec<PolicyFile>,
    /// The published text that says what a looser policy allows.
    pub allows: Option<String>,
}

/// `GET /policy/<digest, hex>` at a keeper, by anybody: a bundle that is, was or may come in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyShown {
    /// `lockplate/policy-bundle/1`.
    pub schema: String,
    /// Policy digest, 64 hex digits.
    pub digest: String,
    /// Requests are decided under it now.
    pub in_force: bool,
    /// In force from, unix seconds; 0 for the bundle of the founding.
    pub effective: u64,
    /// What it newly allows, where it is not seen to be narrower than the one before.
    pub allows: Option<String>,
    /// Its files.
    pub files: Vec<PolicyFile>,
}

/// How a keeper stands to a request: answer of `POST /v1/requests`, repeats included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeeperAnswer {
    /// What it says.
    pub state: AnswerState,
    /// `Signed<Approval>`: a yes or a no; absent while a human is asked.
    pub approval: Option<B64>,
    /// The rules that refuse, in words; empty for a yes.
    pub reasons: Vec<ReasonText>,
    /// The permits and forbids that took part, sorted.
    pub rules: Vec<String>,
    /// Entry of the request in the keeper's public log.
    pub register: u64,
    /// Approvals by a human that a grant needs.
    pub humans_needed: u8,
    /// Epochs of the window whose keys are destroyed.
    pub epochs_destroyed: u32,
}

/// State of a request at a keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerState {
    /// Yes.
    Approved,
    /// A human is asked.
    Waiting,
    /// No.
    Refused,
}

/// A rule in words. Not legal advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonText {
    /// Policy id.
    pub rule: String,
    /// Why.
    pub say: String,
    /// Statute, where the rule has one.
    pub cite: Option<String>,
    /// What would make it lawful.
    pub fix: Option<String>,
}

/// `POST /v1/evaluations` at a keeper, by the requester's desk. A repeat gets the stored bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantShown {
    /// `Grant`.
    pub grant: B64,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluated {
    /// `Signed<Evaluation>`.
    pub evaluation: B64,
}

/// `GET /v1/time?nonce=<hex 16 bytes>` at a keeper or agency: the second clock of destruction.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeTold {
    /// `Signed<TimeStatement>`.
    pub time: B64,
}

/// One epoch as the owner's archive lists it: `GET /v1/epochs?from=<unix s>&to=<unix s>` answers `{"epochs": [..]}` with every
/// epoch whose window lies inside, closed and not destroyed, sorted by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochListed {
    /// `Signed<EpochHeader>`.
    pub header: B64,
    /// `Signed<EpochClose>`.
    pub close: B64,
}

/// Answer of `GET /v1/epochs`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochList {
    /// Closed epochs, sorted by id.
    pub epochs: Vec<EpochListed>,
    /// Epochs of the window that are past their retention.
    pub destroyed: u32,
    /// Epochs of the window that are still open.
    pub open: u32,
}

/// `POST /v1/buckets` at an archive: buckets of closed epochs, at most
/// [`BUCKETS_ASKED_MAX`](crate::archive::buckets::BUCKETS_ASKED_MAX). [`buckets`](crate::archive::buckets) says what the answer is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketsAsked {
    /// Answered in this order.
    pub buckets: Vec<BucketAsked>,
}

/// One of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketAsked {
    /// Id of the epoch, 16 bytes.
    pub epoch: B64,
    /// Number of the bucket in it.
    pub bucket: u32,
}

/// One camera of the public register: `GET /v1/cameras` answers `{"cameras": [..]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraListed {
    /// Number in records.
    pub camera: u32,
    /// The engine's key for it.
    pub key: String,
    /// Place in words.
    pub place: String,
    /// Degrees north.
    pub lat: Option<f64>,
    /// Degrees east.
    pub lon: Option<f64>,
    /// `police`, `toll` or `parking`.
    pub purpose: String,
    /// Engine of its source.
    pub engine: String,
    /// Whether its reads are taken in.
    pub state: CameraState,
    /// IANA zone of its local times, where it is not its source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Whether a camera's reads are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CameraState {
    /// They are.
    Active,
    /// For a time they are not.
    Paused,
    /// Never again. It stays listed: reads it made before are in the archive.
    Removed,
}

impl CameraState {
    /// As on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Removed => "removed",
        }
    }
}

/// Answer of `GET /v1/cameras`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraList {
    /// All cameras, those that were removed among them.
    pub cameras: Vec<CameraListed>,
}

/// Body of `POST /v1/cameras/{camera}`, for whoever holds the import key: one change of a camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "camelCase", deny_unknown_fields)]
pub enum CameraEdit {
    /// It stands elsewhere.
    Move {
        /// Place in words, 1 to 200 characters; public.
        place: String,
        /// Degrees north, public; without it and `lon` no position is shown any more.
        #[serde(default)]
        lat: Option<f64>,
        /// Degrees east.
        #[serde(default)]
        lon: Option<f64>,
        /// IANA zone of its local times, or empty for its source's; absent: as it was.
        #[serde(default)]
        zone: Option<String>,
    },
    /// Its reads are refused from now on.
    Pause,
    /// They are taken again.
    Resume,
    /// It is gone for good. Its number is never another's.
    Remove,
}

/// Answer of `POST /v1/cameras/{camera}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraChanged {
    /// The camera now.
    pub camera: CameraListed,
    /// It was another before, and the change is in the log.
    pub changed: bool,
}

/// Answer of `POST /v1/cameras/{camera}/test`, for whoever holds the import key: how far an invented read of the camera came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraTested {
    /// Number in records.
    pub camera: u32,
    /// Text of the read.
    pub plate: String,
    /// In the order of the way; the last one is where it stopped, if it did.
    pub stations: Vec<Station>,
}

impl CameraTested {
    /// The whole way was free.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.stations.iter().all(|station| station.result != StationResult::Stops)
    }
}

/// One station on the way of a read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Station {
    /// `register`, `source`, `camera`, `clock`, `sealer`, `spool` or `search`.
    pub station: String,
    /// What became of the read there.
    pub result: StationResult,
    /// A sentence.
    pub says: String,
}

/// What a station did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StationResult {
    /// The read passed.
    Ok,
    /// It passed, and something is not as it should be.
    Warning,
    /// It did not pass.
    Stops,
}

/// `POST /v1/desk/sessions` at the officer's own desk: key file and passcode make two factors. The statement is bound to one
/// request.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionAsked {
    /// The officer's signing key id.
    pub officer_key: B64,
    /// The officer's passcode; checked against a salted, slow hash, never stored or traced.
    pub passcode: String,
    /// Digest of the request that is about to be filed.
    pub request_digest: B64,
    /// `Signed<DeskCall>` of kind session by the officer's key: strangers cannot use up an officer's tries.
    pub call: B64,
}

impl core::fmt::Debug for SessionAsked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SessionAsked(..)")
    }
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionGiven {
    /// The signed session statement (`.auth`).
    pub session: B64,
}

/// `POST /v1/desk/requests` at the officer's own desk, which files it with every keeper of the owner and collects the answers.
/// The desk never sees the plate: Openings are sealed to keepers and auditors, answers to the request's own key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeskFiled {
    /// `FiledRequest`.
    pub filed: B64,
    /// Sealed Openings, keepers in charter order, then auditors.
    pub openings: Vec<B64>,
    /// `.auth` files sent along; what opens a plate travels in the Opening.
    pub attachments: Vec<B64>,
    /// The session statement of `POST /v1/desk/sessions`.
    pub session: Option<B64>,
}

/// `POST /v1/desk/requests/{request digest, hex}/look`: the officer's client asks where its request stands. Anybody else, who may
/// know the digest from a public log, gets the 404 of an unknown request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeskLooked {
    /// `Signed<DeskCall>` of kind look by the key that filed the request.
    pub call: B64,
}

/// A request at the desk: answer of its `look`. `POST /v1/desk/requests`, repeats included, answers "filing" and nothing else: who
/// posts a filed request need not be who signed it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeskStatus {
    /// Where it stands.
    pub state: DeskState,
    /// One line a keeper, in charter order.
    pub keepers: Vec<DeskKeeper>,
    /// `Grant`, once there is one.
    pub grant: Option<B64>,
    /// Keepers' evaluations so far, with their index.
    pub evaluations: Vec<(u8, B64)>,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeskState {
    /// Keepers are asked.
    Filing,
    /// A human keeper is asked.
    WaitingForHuman,
    /// Enough approvals; keepers are answering.
    Granted,
    /// Enough answers to open.
    Answered,
    /// Refused: fewer than the threshold can still say yes.
    Refused,
    /// The epochs asked for are destroyed.
    Gone,
    /// Too few keepers can be reached; try again.
    Unavailable,
    /// Disclosure made.
    Disclosed,
}

/// One keeper's line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeskKeeper {
    /// Place in the charter.
    pub index: u8,
    /// Name for people.
    pub name: String,
    /// Its answer, once it gave one.
    pub answer: Option<KeeperAnswer>,
    /// Slug of the problem it gave instead of an answer, or `unreachable`.
    pub problem: Option<String>,
}

/// `POST /v1/desk/requests/{request digest, hex}/disclosure`: the officer's client says what it opened; the desk logs it. Only
/// counts: the desk never sees a read. `culprits` names keepers whose evaluation did not verify; the desk asks the others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosureMade {
    /// Cells opened.
    pub cells: u64,
    /// Of them, cells that cannot be the plate asked for.
    pub others: u64,
    /// `found`, `none` or `failed`.
    pub outcome: String,
    /// The officer's signature (64 bytes) over the statement `DisclosureClaim` of core.
    pub signed: B64,
}

/// `POST /v1/desk/requests/{request digest, hex}/culprits`: an evaluation did not verify; the desk drops it and asks the next
/// keeper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CulpritNamed {
    /// Place of the keeper in the charter.
    pub keeper: u8,
    /// `Signed<DeskCall>` of kind culprit by the key that filed the request.
    pub call: B64,
}

/// Answer of the disclosure endpoint.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosureLogged {
    /// Entry in the desk's public log.
    pub register: u64,
}

/// `POST /v1/desk/requests/{request digest, hex}/hold`: the officer's client says what it is about to keep as evidence; the desk logs it
/// first. Digests and counts only. Answer: [`DisclosureLogged`]. A repeat finds the entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldMade {
    /// `Signed<HoldClaim>` by the key that filed the request.
    pub claim: B64,
}

/// `POST /v1/import` at an agency's own loopback or TLS listener: one chunk of a file. Lines keep their numbers, so that a
/// repeated chunk changes nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportAnswer {
    /// Reads sealed.
    pub accepted: u64,
    /// Reads seen before.
    pub duplicate: u64,
    /// Lines without a readable plate.
    pub unreadable: u64,
    /// Lines of cameras that the filter leaves out.
    pub skipped: u64,
    /// Lines refused.
    pub rejected: u64,
    /// The first 100 of them.
    pub problems: Vec<ImportProblem>,
}

/// One refused line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportProblem {
    /// Line number, from 1.
    pub line: u64,
    /// Slug of the problem.
    pub r#type: String,
    /// Field, where one is to blame.
    pub pointer: Option<String>,
}

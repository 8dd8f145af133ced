//! The closed list of all that a log can say (`log.md` section 6). A leaf is one canonical JSON object of typed public fields and
//! digests; it stays public for ever, so no plate, case, officer's name or window is ever in one. Readers keep what they do not
//! know as [`Leaf::Unknown`] and never interpret it. Bytes go to `lockplate-log`, evidence comes back.

mod after;
mod hotlist;

use std::collections::{BTreeMap, BTreeSet};

use lockplate_log::append::Entry;
use rand_core::CryptoRng;

use crate::Timestamp;
use crate::decision::{CodeRule, DecisionRecord, Verdict};
use crate::disclosure::{Disclosure, SD_OTHER, SD_REQUEST, fill_digests};
use crate::error::{Error, Result};
use crate::facts::Obligations;
use crate::id::{AgencyId, KeeperIndex, RecorderId};
use crate::json::{Field, Fields, Json, JsonObject, json_names, json_object, parse_canonical};
use crate::vocabulary::{Action, Assurance, Basis, DeclarationName, Purpose};
use crate::wire::th;

pub use after::{EmbargoLeaf, HoldLeaf, OpeningPublished, OpeningsErased, PaperLeaf, PaperStatus, ReviewLeaf};
pub use hotlist::{
    AlertsClosed, AlertsEntryAge, AlertsLeaf, AlertsListAge, AlertsRaised, AlertsSuppressed, Day, Disposition,
    EntryAge, HotlistLeaf, ListAge, ListClass, ListCounts, ListKind, MatchKind, Suppression,
};

/// Bytes of a leaf of every type but `hotlist` and `alerts`.
pub const LEAF_BYTES_MAX: usize = 4_096;
/// Bytes of a `hotlist` or `alerts` leaf, and of any leaf that a reader keeps, unknown ones included.
pub const LEAF_BYTES_READ_MAX: usize = 16_384;
/// Witnesses that a `log.resumed` leaf names: as many as a charter can have.
pub const WITNESSES_MISSING_MAX: usize = 31;
/// Bytes of a log's origin.
pub const ORIGIN_BYTES_MAX: usize = 255;
/// Rule ids of one decision that fit a request leaf beside everything else.
pub const RULES_MAX: usize = 32;
/// Bytes of one rule id, and of the engine's name.
pub const RULE_BYTES_MAX: usize = 48;

json_names! {
    /// Whose log it is.
    LogKind {
        /// A keeper's.
        Keeper = "keeper",
        /// An agency's recorder's.
        Recorder = "recorder",
        /// A requesting agency's desk's.
        Desk = "desk",
    }
    /// Kind of an epoch.
    EpochKind {
        /// Reads as they come.
        Live = "live",
        /// Reads that came after their window.
        Late = "late",
        /// Planted reads.
        Canary = "canary",
    }
    /// What the rules said of a request.
    RequestDecision {
        /// Allowed by rule.
        Allow = "allow",
        /// The rules allow; this keeper's human is asked.
        Ask = "ask",
        /// No epoch allowed.
        Deny = "deny",
    }
    /// What a keeper's human said.
    HumanDecision {
        /// Yes.
        Approve = "approve",
        /// No.
        Refuse = "refuse",
    }
    /// Why a keeper's human refused.
    RefusalReason {
        /// The paper is not clear.
        PaperUnclear = "paper_unclear",
        /// The paper names another plate.
        WrongPlate = "wrong_plate",
        /// Outside what the paper allows.
        OutOfScope = "out_of_scope",
        /// Doubt.
        Doubt = "doubt",
        /// Something else.
        Other = "other",
    }
    /// What a search gave.
    Outcome {
        /// Reads of the plate.
        Found = "found",
        /// None.
        None = "none",
        /// The search could not be finished.
        Failed = "failed",
    }
    /// How a share was destroyed.
    DestroyMethod {
        /// Its key-encryption key was deleted.
        Kek = "kek",
        /// The same under a key in a TPM.
        Tpm = "tpm",
        /// Deleted without hardware to vouch for it.
        BestEffort = "best_effort",
    }
    /// Why a share was destroyed.
    DestroyReason {
        /// Its time was over.
        Retention = "retention",
        /// Ordered.
        Order = "order",
        /// After an incident.
        Incident = "incident",
    }
    /// How one policy bundle relates to another.
    PolicyRelation {
        /// They allow the same.
        Equal = "equal",
        /// The later one allows less.
        Narrower = "narrower",
        /// The later one allows more, or it is not known to allow less.
        Looser = "looser",
    }
    /// Whose key changes.
    KeySubject {
        /// A court.
        Court = "court",
        /// A records custodian.
        Custodian = "custodian",
        /// A supervisor.
        Supervisor = "supervisor",
        /// An officer.
        Officer = "officer",
        /// An agency.
        Agency = "agency",
        /// A hot-list steward.
        Steward = "steward",
        /// A keeper.
        Keeper = "keeper",
        /// A recorder.
        Recorder = "recorder",
        /// An auditor.
        Auditor = "auditor",
        /// A witness.
        Witness = "witness",
    }
    /// How a key changes.
    KeyChange {
        /// Enrolled.
        Enrol = "enrol",
        /// Replaced.
        Replace = "replace",
        /// Revoked.
        Revoke = "revoke",
    }
    /// What happens to a declaration.
    DeclarationChange {
        /// Filed.
        File = "file",
        /// Withdrawn.
        Withdraw = "withdraw",
    }
    /// How the camera register changes.
    CameraChange {
        /// A camera more.
        Add = "add",
        /// Another place, direction or use.
        Change = "change",
        /// A camera less.
        Remove = "remove",
        /// A camera stops for a time.
        Pause = "pause",
    }
}

/// `""` is no reason (an approval).
impl Field for Option<RefusalReason> {
    fn to_json(&self) -> Json {
        Json::text(self.map_or("", RefusalReason::name))
    }

    fn from_json(value: Json) -> Result<Self> {
        if value == Json::text("") { Ok(None) } else { RefusalReason::from_json(value).map(Some) }
    }
}

/// `_sd` with exactly `N` digests, sorted ([`fill_digests`](crate::disclosure::fill_digests) makes them).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaltedDigests<const N: usize>([[u8; 32]; N]);

impl<const N: usize> SaltedDigests<N> {
    /// From exactly `N` sorted digests.
    ///
    /// # Errors
    /// `Malformed` for another number, order, or a digest that stands twice.
    pub fn new(digests: Vec<[u8; 32]>) -> Result<Self> {
        if !digests.is_sorted_by(|before, after| before < after) {
            return Err(Error::malformed("the salted digests are not sorted"));
        }
        <[[u8; 32]; N]>::try_from(digests).map(Self).ok().ok_or(Error::malformed("not the number of salted digests"))
    }

    /// The digests.
    #[must_use]
    pub const fn digests(&self) -> &[[u8; 32]] {
        &self.0
    }

    /// The value of a field of this leaf, from its disclosure: the digest is one of these, and the field is the one asked for (a
    /// digest opened under another name would let one field pass for another).
    ///
    /// # Errors
    /// `Invalid` if either does not hold.
    pub fn expose_field<'a>(&self, name: &str, disclosure: &'a Disclosure) -> Result<&'a Json> {
        if disclosure.name() == name && self.contains(&disclosure.digest()) {
            Ok(disclosure.expose_value())
        } else {
            Err(Error::invalid("the disclosure is of another leaf or field"))
        }
    }

    /// True if `digest` is one of them.
    #[must_use]
    pub fn contains(&self, digest: &[u8; 32]) -> bool {
        self.0.binary_search(digest).is_ok()
    }
}

impl<const N: usize> Field for SaltedDigests<N> {
    fn to_json(&self) -> Json {
        self.0.to_vec().to_json()
    }

    fn from_json(value: Json) -> Result<Self> {
        Self::new(Field::from_json(value)?)
    }
}

json_names! {
    /// Hash of the salted digests.
    SdAlgorithm {
        /// SHA-256, the only one.
        Sha256 = "sha-256",
    }
}

json_object! {
    /// First leaf of every log.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Genesis {
        /// Id of the agency or recorder; of a keeper the first 16 bytes of its key.
        party: [u8; 16],
        /// Whose log it is.
        role: LogKind,
        /// Hash of the charter.
        charter: [u8; 32],
    }
    /// Shares of a fresh epoch were dealt and receipted.
    #[derive(Clone, Debug, PartialEq, Eq)]
    EpochDealt {
        /// Owner of the archive.
        owner: AgencyId,
        /// Who dealt.
        recorder: RecorderId,
        /// `header_hash`.
        header: [u8; 32],
        /// Capture window, from (inclusive).
        cap_from: Timestamp,
        /// Capture window, to (exclusive).
        cap_to: Timestamp,
        /// When the shares must be gone.
        destroy_after: Timestamp,
        /// Kind.
        kind: EpochKind,
        /// Threshold.
        t: u8,
        /// Keepers.
        n: u8,
    }
    /// A keeper verified and stored its share.
    #[derive(Clone, Debug, PartialEq, Eq)]
    ShareReceived {
        /// `header_hash`.
        header: [u8; 32],
        /// The keeper's place.
        index: KeeperIndex,
    }
    /// The segment of an epoch is written and its sealer gone.
    #[derive(Clone, Debug, PartialEq, Eq)]
    EpochClosed {
        /// `header_hash`.
        header: [u8; 32],
        /// `segment_root`.
        root: [u8; 32],
        /// Cells with their padding.
        cells: u64,
        /// Bits of the bucket number.
        bucket_bits: u8,
        /// When the sealer exited.
        erased_at: Timestamp,
        /// True if the sealer died and another process closed what it left.
        orphaned: bool,
    }
    /// The sealed Opening of one auditor.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Escrow {
        /// SHA-256 of the auditor's public key.
        auditor: [u8; 32],
        /// SHA-256 of his sealed Opening.
        opening: [u8; 32],
    }
    /// A request and what the rules said of it; refusals too.
    #[derive(Clone, Debug, PartialEq, Eq)]
    RequestLeaf {
        /// `request_digest`; binds the elements and hides the plate.
        request: [u8; 32],
        /// Owner of the archive.
        owner: AgencyId,
        /// Agency of the officer.
        requester: AgencyId,
        /// For whom; the requester itself where for nobody else.
        on_behalf_of: AgencyId,
        /// [`officer_pseudonym`].
        officer: [u8; 10],
        /// What is asked.
        action: Action,
        /// Purpose stated.
        purpose: Purpose,
        /// Basis stated.
        basis: Basis,
        /// How a court paper was verified.
        assurance: Assurance,
        /// A court paper that counts.
        judicial: bool,
        /// Declared as an emergency.
        emergency: bool,
        /// Digest of the court paper or other authorisation.
        authorisation: Option<[u8; 32]>,
        /// Elements asked for.
        elements: u64,
        /// Days of the window, rounded up.
        window_days: u64,
        /// Epochs that may be evaluated.
        epochs_allowed: u64,
        /// Epochs inside the window that may not.
        epochs_refused: u64,
        /// Decision.
        decision: RequestDecision,
        /// Ids of the rules that took part; at most [`RULES_MAX`].
        rules: BTreeSet<String>,
        /// Duties that come with it; none for a refusal.
        obligations: Option<Obligations>,
        /// Digest of the policy bundle.
        policy: [u8; 32],
        /// Name and version of the policy engine.
        engine: String,
        /// Until then the embargoed fields stay closed.
        embargo: Timestamp,
        /// Salted digests of the private fields ([`SaltedName`](crate::salted::SaltedName)).
        sd: SaltedDigests<SD_REQUEST> as "_sd",
        /// Their hash.
        sd_alg: SdAlgorithm as "_sd_alg",
        /// The auditors' sealed Openings, in charter order.
        escrow: Vec<Escrow>,
    }
    /// A keeper's human decided.
    #[derive(Clone, Debug, PartialEq, Eq)]
    HumanApprovalLeaf {
        /// `request_digest`.
        request: [u8; 32],
        /// Digest of the policy bundle.
        policy: [u8; 32],
        /// Index of the `request` leaf in this log.
        request_index: u64,
        /// Decision.
        decision: HumanDecision,
        /// The plate was shown to the human.
        opened: bool,
        /// Why not; none for an approval.
        reason: Option<RefusalReason>,
        /// Salted digest of who decided.
        sd: SaltedDigests<SD_OTHER> as "_sd",
    }
    /// A keeper is about to evaluate.
    #[derive(Clone, Debug, PartialEq, Eq)]
    EvaluationLeaf {
        /// `request_digest`.
        request: [u8; 32],
        /// `grant_digest`.
        grant: [u8; 32],
        /// Epochs evaluated.
        epochs: u64,
        /// Elements evaluated in each.
        elements: u64,
    }
    /// What the requester opened.
    #[derive(Clone, Debug, PartialEq, Eq)]
    DisclosureLeaf {
        /// `request_digest`.
        request: [u8; 32],
        /// `grant_digest`.
        grant: [u8; 32],
        /// Owner of the archive.
        owner: AgencyId,
        /// Cells opened.
        cells: u64,
        /// Of them, cells whose text or jurisdiction cannot be the plate asked for.
        others: u64,
        /// Outcome.
        outcome: Outcome,
    }
    /// A keeper destroyed a share.
    #[derive(Clone, Debug, PartialEq, Eq)]
    ShareDestroyed {
        /// `header_hash`.
        header: [u8; 32],
        /// The keeper's place.
        index: KeeperIndex,
        /// How.
        method: DestroyMethod,
        /// Why.
        reason: DestroyReason,
    }
    /// A charter takes effect.
    #[derive(Clone, Debug, PartialEq, Eq)]
    CharterLeaf {
        /// Owner of the archive.
        owner: AgencyId,
        /// Hash of the charter before; none for the first.
        old: Option<[u8; 32]>,
        /// Its hash.
        new: [u8; 32],
        /// Threshold.
        t: u8,
        /// Keepers.
        n: u8,
        /// Distinct legal entities among them.
        legal_entities: u64,
        /// One party can open everything.
        custody_label: bool,
        /// From then on.
        effective: Timestamp,
    }
    /// A policy bundle takes effect.
    #[derive(Clone, Debug, PartialEq, Eq)]
    PolicyLeaf {
        /// Owner of the archive.
        owner: AgencyId,
        /// Digest of the bundle before; none for the first.
        old: Option<[u8; 32]>,
        /// Its digest.
        new: [u8; 32],
        /// How it relates to the one before.
        relation: PolicyRelation,
        /// Policy signers that signed.
        signers: u64,
        /// From then on.
        effective: Timestamp,
    }
    /// A key changes.
    #[derive(Clone, Debug, PartialEq, Eq)]
    KeyChanged {
        /// Whose.
        subject: KeySubject,
        /// How.
        change: KeyChange,
        /// Digest of the trust list or directory that holds the change.
        list: [u8; 32],
        /// From then on.
        effective: Timestamp,
    }
    /// An agency's declaration is filed with the owner, or withdrawn.
    #[derive(Clone, Debug, PartialEq, Eq)]
    DeclarationLeaf {
        /// Owner of the archive.
        owner: AgencyId,
        /// Who declares.
        agency: AgencyId,
        /// Which declaration.
        declaration: DeclarationName,
        /// Filed or withdrawn.
        change: DeclarationChange,
        /// Digest of the signed declaration.
        object: [u8; 32],
        /// In force from.
        valid_from: Timestamp,
        /// In force until.
        valid_until: Timestamp,
    }
    /// The camera register changes.
    #[derive(Clone, Debug, PartialEq, Eq)]
    CameraLeaf {
        /// Owner of the archive.
        owner: AgencyId,
        /// How.
        change: CameraChange,
        /// Digest of the register after the change.
        register: [u8; 32],
        /// Cameras in it.
        cameras: u64,
        /// From then on.
        effective: Timestamp,
    }
}

/// The key a `key` leaf is about: an institution's by digest, a person's by salted digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyName {
    /// SHA-256 of the verifier key's text.
    Institution([u8; 32]),
    /// Salted digests of a person's key.
    Person(SaltedDigests<SD_OTHER>),
}

/// A `key` leaf: the change, and whose key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLeaf {
    /// The change.
    pub entry: KeyChanged,
    /// The key.
    pub name: KeyName,
}

impl JsonObject for KeyLeaf {
    fn put(&self, fields: &mut BTreeMap<String, Json>) {
        self.entry.put(fields);
        match &self.name {
            KeyName::Institution(digest) => fields.insert("key".to_owned(), digest.to_json()),
            KeyName::Person(digests) => fields.insert("_sd".to_owned(), digests.to_json()),
        };
    }

    fn take(fields: &mut Fields) -> Result<Self> {
        let entry = KeyChanged::take(fields)?;
        let name = if fields.has("key") {
            KeyName::Institution(fields.take("key")?)
        } else {
            KeyName::Person(fields.take("_sd")?)
        };
        Ok(Self { entry, name })
    }
}

json_names! {
    /// What came of a planted read.
    CanaryResult {
        /// A search found it.
        Found = "found",
        /// No search found it.
        Missed = "missed",
        /// The search could not be made.
        Error = "error",
    }
}

json_object! {
    /// A planted read was searched for.
    #[derive(Clone, Debug, PartialEq, Eq)]
    CanaryLeaf {
        /// `header_hash` of its epoch.
        header: [u8; 32],
        /// What came of it.
        result: CanaryResult,
        /// Keepers that answered.
        keepers: u8,
    }
    /// The log was started by a person's order without all the witnesses that the start-up check wants.
    #[derive(Clone, Debug, PartialEq, Eq)]
    LogResumed {
        /// Names of the keys of the witnesses not asked.
        missing: BTreeSet<String>,
    }
    /// Last leaf of a log.
    #[derive(Clone, Debug, PartialEq, Eq)]
    LogClosed {
        /// Origin of the log that follows, or empty.
        successor: String,
    }
}

macro_rules! log_entries {
    ($($(#[$doc:meta])* $variant:ident($type:ty) = $name:literal in [$($kind:ident),*],)*) => {
        /// Everything that a log of this release can say.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum LogEntry { $($(#[$doc])* $variant($type),)* }

        impl LogEntry {
            /// The names of all types, in the order of `log.md`.
            pub const TYPES: &'static [&'static str] = &[$($name,)*];

            /// `type` of its leaf.
            #[must_use]
            pub const fn type_name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// True if logs of this kind accept it.
            #[must_use]
            pub fn belongs_in(&self, kind: LogKind) -> bool {
                match self { $(Self::$variant(_) => [$(LogKind::$kind,)*].contains(&kind),)* }
            }

            fn put(&self, fields: &mut BTreeMap<String, Json>) {
                match self { $(Self::$variant(entry) => entry.put(fields),)* }
            }

            fn take(type_name: &str, fields: &mut Fields) -> Result<Option<Self>> {
                match type_name {
                    $($name => <$type as JsonObject>::take(fields).map(Self::$variant).map(Some),)*
                    _ => Ok(None),
                }
            }
        }
    };
}

log_entries! {
    /// First leaf.
    Genesis(Genesis) = "genesis" in [Keeper, Recorder, Desk],
    /// An epoch was dealt.
    EpochDealt(EpochDealt) = "epoch.dealt" in [Recorder],
    /// A share was stored.
    ShareReceived(ShareReceived) = "share.received" in [Keeper],
    /// An epoch was closed.
    EpochClosed(EpochClosed) = "epoch.closed" in [Recorder],
    /// A request was decided by rule.
    Request(Box<RequestLeaf>) = "request" in [Keeper],
    /// A request was decided by a human.
    Approval(HumanApprovalLeaf) = "approval" in [Keeper],
    /// A grant is evaluated.
    Evaluation(EvaluationLeaf) = "evaluation" in [Keeper],
    /// Cells were opened.
    Disclosure(DisclosureLeaf) = "disclosure" in [Desk],
    /// A share was destroyed.
    ShareDestroyed(ShareDestroyed) = "share.destroyed" in [Keeper],
    /// The charter changes.
    Charter(CharterLeaf) = "charter" in [Keeper, Recorder],
    /// The policy changes.
    Policy(PolicyLeaf) = "policy" in [Keeper, Recorder],
    /// A key changes.
    Key(KeyLeaf) = "key" in [Keeper, Recorder],
    /// A declaration is filed or withdrawn.
    Declaration(DeclarationLeaf) = "declaration" in [Keeper],
    /// The camera register changes.
    Camera(CameraLeaf) = "camera" in [Recorder],
    /// A hot list changes.
    Hotlist(HotlistLeaf) = "hotlist" in [Recorder],
    /// The alerts of a day.
    Alerts(AlertsLeaf) = "alerts" in [Recorder],
    /// A planted read was searched for.
    Canary(CanaryLeaf) = "canary" in [Recorder],
    /// The paper of an emergency is due, filed, overdue.
    Paper(PaperLeaf) = "paper" in [Keeper],
    /// Evidence is held.
    Hold(HoldLeaf) = "hold" in [Desk],
    /// An embargo is extended.
    Embargo(EmbargoLeaf) = "embargo" in [Keeper],
    /// Fields are published after the embargo.
    OpeningPublished(OpeningPublished) = "opening.published" in [Keeper],
    /// Openings are destroyed.
    OpeningsErased(OpeningsErased) = "openings.erased" in [Keeper],
    /// An auditor reviewed openings.
    Review(ReviewLeaf) = "review" in [Keeper],
    /// The log goes on without all witnesses.
    LogResumed(LogResumed) = "log.resumed" in [Keeper, Recorder, Desk],
    /// Last leaf.
    LogClosed(LogClosed) = "log.closed" in [Keeper, Recorder, Desk],
}

impl<T: JsonObject> JsonObject for Box<T> {
    fn put(&self, fields: &mut BTreeMap<String, Json>) {
        T::put(self, fields);
    }

    fn take(fields: &mut Fields) -> Result<Self> {
        T::take(fields).map(Self::new)
    }
}

impl HumanApprovalLeaf {
    /// The leaf of a human's decision on a request whose Opening this keeper opened, and the disclosure of who decided (name
    /// `who`, value the id of the person's key). The disclosure is private: it is kept with the request's Opening.
    ///
    /// # Errors
    /// None in practice: those of [`Disclosure::new`].
    pub fn new(
        record: &DecisionRecord,
        request_index: u64,
        verdict: Verdict,
        human: &[u8; 32],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Disclosure)> {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let who = Disclosure::new(salt, "who", &human.to_json())?;
        let (decision, reason) = match verdict {
            Verdict::Approve => (HumanDecision::Approve, None),
            Verdict::PaperUnclear => (HumanDecision::Refuse, Some(RefusalReason::PaperUnclear)),
            Verdict::WrongPlate => (HumanDecision::Refuse, Some(RefusalReason::WrongPlate)),
            Verdict::OutOfScope => (HumanDecision::Refuse, Some(RefusalReason::OutOfScope)),
            Verdict::Doubt => (HumanDecision::Refuse, Some(RefusalReason::Doubt)),
            Verdict::Other => (HumanDecision::Refuse, Some(RefusalReason::Other)),
        };
        let sd = SaltedDigests::new(fill_digests(&[who.digest()], SD_OTHER, rng)?)?;
        let (request, policy) = (record.request_digest, record.policy_digest);
        Ok((Self { request, policy, request_index, decision, opened: true, reason, sd }, who))
    }
}

impl LogEntry {
    #[expect(clippy::wildcard_enum_match_arm, reason = "asks for one variant; every other one is no request")]
    fn into_request(self) -> Option<Box<RequestLeaf>> {
        match self {
            Self::Request(leaf) => Some(leaf),
            _ => None,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "asks for one variant; every other one is no evaluation")]
    fn into_evaluation(self) -> Option<EvaluationLeaf> {
        match self {
            Self::Evaluation(leaf) => Some(leaf),
            _ => None,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "asks for one variant; every other one is no approval")]
    fn into_approval(self) -> Option<HumanApprovalLeaf> {
        match self {
            Self::Approval(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// Bytes of a leaf of this type.
    const fn bytes_max(&self) -> usize {
        if matches!(self, Self::Hotlist(_) | Self::Alerts(_)) { LEAF_BYTES_READ_MAX } else { LEAF_BYTES_MAX }
    }

    /// What a type alone cannot say: counts that fit together, bounds of texts, times.
    #[expect(clippy::wildcard_enum_match_arm, reason = "of every other type each combination of fields is good")]
    fn check(&self) -> Result<()> {
        match self {
            Self::Request(request) => request.check(),
            Self::Hotlist(leaf) => leaf.check(),
            Self::Alerts(leaf) => leaf.check(),
            Self::Paper(leaf) => leaf.check(),
            Self::OpeningPublished(leaf) => leaf.check(),
            Self::OpeningsErased(leaf) => leaf.check(),
            Self::Review(leaf) => leaf.check(),
            Self::LogResumed(leaf) => leaf.check(),
            _ => Ok(()),
        }
    }

    fn check_kind(&self, kind: LogKind) -> Result<()> {
        if self.belongs_in(kind) { Ok(()) } else { Err(Error::invalid("this log does not take leaves of this type")) }
    }
}

impl LogResumed {
    fn check(&self) -> Result<()> {
        let named = |name: &String| (1..=ORIGIN_BYTES_MAX).contains(&name.len());
        if (1..=WITNESSES_MISSING_MAX).contains(&self.missing.len()) && self.missing.iter().all(named) {
            Ok(())
        } else {
            Err(Error::malformed("a log goes on without no witness, or without too many"))
        }
    }
}

impl RequestLeaf {
    /// Refused because it could not be opened or its facts could not be computed: the one kind of request of which no auditor has an
    /// Opening.
    #[must_use]
    pub fn is_bare_refusal(&self) -> bool {
        let bare = [CodeRule::Opening, CodeRule::Facts].iter().any(|rule| self.rules.contains(rule.id()));
        self.decision == RequestDecision::Deny && self.rules.len() == 1 && bare
    }

    fn check(&self) -> Result<()> {
        let rule_fits = |rule: &String| (1..=RULE_BYTES_MAX).contains(&rule.len());
        if self.rules.len() > RULES_MAX || !self.rules.iter().all(rule_fits) || self.engine.len() > RULE_BYTES_MAX {
            return Err(Error::malformed("the rules of a request leaf are too many or too long"));
        }
        Ok(())
    }
}

/// An entry with its origin, time and nonce, and the exact bytes of its leaf. Made by [`Stamped::new`] and [`parse_leaf`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    entry: LogEntry,
    origin: String,
    time: Timestamp,
    nonce: [u8; 16],
    leaf: Vec<u8>,
}

impl Stamped {
    /// An entry of a log of `kind` with a fresh nonce. See [`Stamped::with_nonce`].
    ///
    /// # Errors
    /// As [`Stamped::with_nonce`].
    pub fn new(
        entry: LogEntry,
        kind: LogKind,
        origin: &str,
        time: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self> {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        Self::with_nonce(entry, kind, origin, time, nonce)
    }

    /// Fixes origin, time and nonce and writes the leaf. 4,096 bytes at most; hot-list and alert leaves 16,384.
    ///
    /// # Errors
    /// `Invalid` if the log's kind does not accept this type; `Malformed` or `Invalid` if a text is outside the alphabet or
    /// the leaf too long. Nothing may be done whose leaf cannot be written.
    pub fn with_nonce(entry: LogEntry, kind: LogKind, origin: &str, time: Timestamp, nonce: [u8; 16]) -> Result<Self> {
        entry.check_kind(kind)?;
        if origin.is_empty() || origin.len() > ORIGIN_BYTES_MAX {
            return Err(Error::invalid("the log's origin is empty or too long"));
        }
        entry.check()?;
        let mut fields = BTreeMap::new();
        entry.put(&mut fields);
        for (key, value) in [
            ("v", Json::Int(1)),
            ("type", Json::text(entry.type_name())),
            ("origin", Json::text(origin)),
            ("time", time.to_json()),
            ("nonce", nonce.to_json()),
        ] {
            fields.insert(key.to_owned(), value);
        }
        let leaf = Json::Object(fields).to_canonical_bytes()?;
        if leaf.len() > entry.bytes_max() {
            return Err(Error::invalid("the leaf is too long"));
        }
        Ok(Self { entry, origin: origin.to_owned(), time, nonce, leaf })
    }

    /// What happened.
    #[must_use]
    pub const fn entry(&self) -> &LogEntry {
        &self.entry
    }

    /// The log it was written for.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// When.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.time
    }

    /// The leaf's nonce.
    #[must_use]
    pub const fn nonce(&self) -> [u8; 16] {
        self.nonce
    }

    /// The exact bytes.
    #[must_use]
    pub fn leaf_bytes(&self) -> &[u8] {
        &self.leaf
    }
}

impl Entry for Stamped {
    fn leaf(&self) -> Vec<u8> {
        self.leaf.clone()
    }

    fn time(&self) -> u64 {
        self.time.0
    }
}

/// A leaf as a reader meets it.
#[expect(clippy::large_enum_variant, reason = "nearly every leaf is a known one")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Of a type and with the fields that this release knows.
    Known(Stamped),
    /// Well-formed, but of a type or with fields that this release does not know: kept, shown as unknown, never interpreted.
    Unknown(UnknownLeaf),
}

/// The common fields of a leaf that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLeaf {
    /// `type`.
    pub type_name: String,
    /// `origin`.
    pub origin: String,
    /// `time`.
    pub time: Timestamp,
    /// `nonce`.
    pub nonce: [u8; 16],
}

impl Leaf {
    /// The log it was written for.
    #[must_use]
    pub fn origin(&self) -> &str {
        match self {
            Self::Known(stamped) => &stamped.origin,
            Self::Unknown(unknown) => &unknown.origin,
        }
    }

    /// When.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::Known(stamped) => stamped.time,
            Self::Unknown(unknown) => unknown.time,
        }
    }
}

/// Reads a leaf. A known type with an unknown field is [`Leaf::Unknown`] too.
///
/// # Errors
/// `Malformed` if it is over 16,384 bytes, not canonical JSON, lacks a common field, is of another version, or a field of a
/// known type is missing or not of its type.
pub fn parse_leaf(bytes: &[u8]) -> Result<Leaf> {
    if bytes.len() > LEAF_BYTES_READ_MAX {
        return Err(Error::malformed("the leaf is too long"));
    }
    let mut fields = Fields::of(parse_canonical(bytes)?)?;
    fields.expect("v", &Json::Int(1))?;
    let type_name: String = fields.take("type")?;
    let (origin, time, nonce): (String, Timestamp, [u8; 16]) =
        (fields.take("origin")?, fields.take("time")?, fields.take("nonce")?);
    if origin.is_empty() || origin.len() > ORIGIN_BYTES_MAX {
        return Err(Error::malformed("the log's origin is empty or too long"));
    }
    match LogEntry::take(&type_name, &mut fields)? {
        Some(entry) if fields.finish().is_ok() => {
            entry.check()?;
            if bytes.len() > entry.bytes_max() {
                return Err(Error::malformed("the leaf is too long"));
            }
            Ok(Leaf::Known(Stamped { entry, origin, time, nonce, leaf: bytes.to_vec() }))
        }
        Some(_) | None => Ok(Leaf::Unknown(UnknownLeaf { type_name, origin, time, nonce })),
    }
}

/// The time of a leaf, for `lockplate-log` (its `LeafTime`); `None` if the leaf is not well-formed.
#[must_use]
pub fn leaf_time(bytes: &[u8]) -> Option<u64> {
    parse_leaf(bytes).ok().map(|leaf| leaf.time().0)
}

/// The entry in a leaf, if this release knows it.
fn known(leaf: &[u8]) -> Option<LogEntry> {
    match parse_leaf(leaf).ok()? {
        Leaf::Known(stamped) => Some(stamped.entry),
        Leaf::Unknown(_) => None,
    }
}

/// What a `request` leaf says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestOutcome {
    /// `request_digest`.
    pub request: [u8; 32],
    /// The decision of the leaf.
    pub decision: RequestDecision,
    /// Not refused: allowed, or a human is asked.
    pub allowed: bool,
}

/// What a `request` leaf says; `None` for every other leaf.
#[must_use]
pub fn request_outcome(leaf: &[u8]) -> Option<RequestOutcome> {
    let leaf = known(leaf).and_then(LogEntry::into_request)?;
    let allowed = leaf.decision != RequestDecision::Deny;
    Some(RequestOutcome { request: leaf.request, decision: leaf.decision, allowed })
}

/// What a person's `approval` leaf says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanOutcome {
    /// `request_digest`.
    pub request: [u8; 32],
    /// Index of the request's own leaf.
    pub request_index: u64,
    /// Yes?
    pub approved: bool,
    /// When.
    pub time: Timestamp,
}

/// What an `approval` leaf says; `None` for every other leaf.
#[must_use]
pub fn human_outcome(leaf: &[u8]) -> Option<HumanOutcome> {
    let Leaf::Known(stamped) = parse_leaf(leaf).ok()? else { return None };
    let time = stamped.time;
    let leaf = stamped.entry.into_approval()?;
    let approved = leaf.decision == HumanDecision::Approve;
    Some(HumanOutcome { request: leaf.request, request_index: leaf.request_index, approved, time })
}

/// The grant of an `evaluation` leaf; `None` for every other leaf.
#[must_use]
pub fn evaluated_grant(leaf: &[u8]) -> Option<[u8; 32]> {
    known(leaf).and_then(LogEntry::into_evaluation).map(|leaf| leaf.grant)
}

/// The officer as the public sees him: one name a calendar year and owner, so that one officer's requests can be counted but
/// not followed. First 10 bytes of TH("officer-pseudonym", owner, key id, year as 4 digits).
#[must_use]
pub fn officer_pseudonym(owner: AgencyId, officer_key: &[u8; 32], at: Timestamp) -> [u8; 10] {
    let text = crate::json::time_text(at);
    let year = text.split('-').next().unwrap_or_default();
    let digest = th("officer-pseudonym", &[&owner.0, officer_key, year.as_bytes()]);
    let mut pseudonym = [0; 10];
    for (to, from) in pseudonym.iter_mut().zip(digest) {
        *to = from;
    }
    pseudonym
}

#[cfg(test)]
mod tests;
